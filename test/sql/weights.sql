-- Weights of any size: the loss is the objective, and what double precision
-- solves is solved, against double precision SQL.
SET client_min_messages = warning;
CREATE SCHEMA weights;
SET search_path = weights, public;

CREATE TABLE sm AS SELECT u AS user_id, i AS item_id, 1 + (u * i) % 4 AS rating
    FROM generate_series(1, 30) u, generate_series(1, 40) i WHERE (u * 7 + i * 3) % 5 < 2;

\i test/include/algebra.sql

-- The objective of a model's factors, as the reference has it
CREATE FUNCTION objective(model text, source text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    run record;
    penalty float8;
    errors float8;
BEGIN
    EXECUTE format('SELECT * FROM %I ORDER BY run DESC LIMIT 1', model) INTO run;
    EXECUTE format('CREATE TEMP TABLE r ON COMMIT DROP AS SELECT user_id, item_id, rating::real::float8 AS rating FROM (%s) s', source);
    IF run.feedback = 'explicit' THEN
        EXECUTE format('SELECT sum((rating - $1 - x.bias::float8 - y.bias::float8 - dot(x.factors, y.factors)) ^ 2)
                        FROM r JOIN %I_users x USING (user_id) JOIN %I_items y USING (item_id)', model, model)
            INTO errors USING run.mean_rating;
        EXECUTE format('SELECT sum(n ^ $1 * (dot(f, f) + b ^ 2))
                        FROM (SELECT count(*) AS n, factors AS f, bias::float8 AS b FROM r JOIN %I_users USING (user_id) GROUP BY user_id, factors, bias
                              UNION ALL SELECT count(*), factors, bias FROM r JOIN %I_items USING (item_id) GROUP BY item_id, factors, bias) s', model, model)
            INTO penalty USING run.regularization_scaling;
    ELSE
        EXECUTE format('SELECT sum((1 + $1 * abs(coalesce(rating, 0))) * ((coalesce(rating, 0) > 0)::int - dot(x.factors, y.factors)) ^ 2)
                        FROM %I_users x CROSS JOIN %I_items y LEFT JOIN r USING (user_id, item_id)', model, model)
            INTO errors USING run.alpha;
        EXECUTE format('SELECT sum((others + $2 * n) ^ $1 * dot(f, f))
                        FROM (SELECT count(*) AS n, factors AS f, $3 AS others FROM r JOIN %I_users USING (user_id) GROUP BY user_id, factors
                              UNION ALL SELECT count(*), factors, $4 FROM r JOIN %I_items USING (item_id) GROUP BY item_id, factors) s', model, model)
            INTO penalty USING run.regularization_scaling, run.alpha, run.items::float8, run.users::float8;
    END IF;
    DROP TABLE r;
    RETURN errors + run.regularization * penalty;
END $$;

-- What a training says of itself
CREATE FUNCTION check_loss(source text, options jsonb, OUT loss float8, OUT objective float8, OUT error text) LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE format('SELECT loss FROM als_train(''m'', %L, factors => 8, iterations => 3, %s)', source,
            (SELECT string_agg(format('%I => %L', key, value), ', ') FROM jsonb_each_text(options))) INTO loss;
    EXCEPTION WHEN numeric_value_out_of_range THEN
        error := SQLERRM;
        RETURN;
    END;
    objective := objective('m', source);
    DROP TABLE m;
END $$;

CREATE TABLE losses AS
SELECT size, options, c.*
FROM unnest(ARRAY[1, 1e4, 1e8, 1e12, 1e18]::float8[]) size,
     unnest(ARRAY['{"solver": "cg"}', '{"solver": "cg", "regularization_scaling": 0.5}',
                  '{"solver": "cholesky"}', '{"solver": "cholesky", "regularization_scaling": 1}',
                  '{"nonnegative": true}', '{"nonnegative": true, "regularization_scaling": 0.5}',
                  '{"feedback": "explicit"}', '{"feedback": "explicit", "solver": "cholesky"}',
                  '{"feedback": "explicit", "nonnegative": true, "regularization_scaling": 0}']::jsonb[]) solver,
     unnest(ARRAY[1, 40]) alpha,
     LATERAL (SELECT solver || CASE WHEN solver ? 'feedback' THEN '{}' ELSE jsonb_build_object('alpha', alpha) END) o(options),
     LATERAL check_loss(format('SELECT user_id, item_id, rating * %s::float8 AS rating FROM sm', size), options) c
WHERE alpha = 1 OR NOT solver ? 'feedback';
SELECT count(*) FROM losses;
-- whatever the size, the factors are found
SELECT size, options, error FROM losses WHERE error IS NOT NULL;
SELECT size, options, loss, objective FROM losses
WHERE error IS NULL AND (loss BETWEEN objective * (1 - 2e-6) AND objective * (1 + 2e-6) AND loss >= 0) IS NOT TRUE;

-- nothing is liked: the objective is that of factors next to zero, and not below
SELECT rating, options, c.error, c.loss >= 0 AS not_negative, c.objective < 1e-6 AS zero,
       abs(c.loss - c.objective) <= 1e-12 + 2e-6 * c.objective AS equal
FROM unnest(ARRAY[0, -1]) rating,
     unnest(ARRAY['{"solver": "cg", "alpha": 1}', '{"solver": "cg", "alpha": 40, "regularization_scaling": 1}', '{"solver": "cholesky"}', '{"nonnegative": true}']::jsonb[]) options,
     LATERAL check_loss(format('SELECT user_id, item_id, %s AS rating FROM sm', rating), options) c;

-- Models that trained without complaint: every row can be solved anew, and every
-- user folded in.  How far from zero the gradient of the objective is, against
-- the sizes of what it sums up
CREATE TABLE folded (user_id int, item_id int, rating int, factors real[]);
CREATE FUNCTION gradient(x real[]) RETURNS float8 LANGUAGE sql AS $$
    WITH pairs AS (
        SELECT f.factors, dot(f.factors, x) AS d, coalesce(40 * f.rating, 0) AS w, (f.rating IS NOT NULL)::int AS p FROM folded f
    ), terms AS (
        SELECT c, factors[c]::float8 * ((1 + w) * p - w * d - d) AS term, abs(factors[c]) * ((1 + w) * p + abs(w * d) + abs(d)) AS size
        FROM pairs, generate_series(1, 16) c
    )
    SELECT max(abs(r)) / max(size)
    FROM (SELECT c, sum(term) - 0.01 * x[c] AS r, sum(size) AS size FROM terms GROUP BY c) s
$$;
CREATE FUNCTION solve_anew(seed int, OUT refreshed bigint, OUT gradient float8) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM als_train('few', 'SELECT * FROM sm WHERE (user_id * 11 + item_id * 5) % 7 < 3', factors => 16, alpha => 40, regularization => 0.01, iterations => 2, seed => seed);
    SELECT count(*) FILTER (WHERE als_refresh_user('few', u)) INTO refreshed FROM generate_series(1, 30) u;
    SELECT refreshed + count(*) FILTER (WHERE als_refresh_item('few', i)) INTO refreshed FROM generate_series(1, 40) i;
    FOR u IN 1 .. CASE WHEN seed % 6 = 0 THEN 30 ELSE 0 END LOOP
        DELETE FROM folded;
        INSERT INTO folded SELECT u, item_id, rating, factors FROM few_items LEFT JOIN (SELECT * FROM sm WHERE user_id = u) s USING (item_id);
        gradient := greatest(gradient, gradient((SELECT als_fold_in('few', array_agg(item_id), array_agg(rating)) FROM sm WHERE user_id = u)));
        PERFORM count(*) FROM als_explain('few', u, 1);
    END LOOP;
    DROP TABLE few;
END $$;
SELECT count(*), min(refreshed), max(refreshed), max(gradient) < 1e-6 AS exact FROM generate_series(1, 12) seed, solve_anew(seed);

DROP SCHEMA weights CASCADE;
