-- Training against solutions computed here, in double precision SQL.
SET client_min_messages = warning;
CREATE SCHEMA closed_form;
SET search_path = closed_form, public;

-- 40 users, 30 items; some ratings are zero or negative
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id,
           ((u * 31 + i * 17) % 11 - 2)::real / 2 AS rating
    FROM generate_series(1, 40) u, generate_series(1, 30) i
    WHERE (u * 7919 + i * 104729 + u * i * 13) % 97 < 25;
SELECT count(*), count(DISTINCT user_id), count(DISTINCT item_id),
       min(rating), max(rating) FROM ratings;

\i test/include/algebra.sql

-- Normal equations from rows f with weights w and targets t:
-- (base + sum w f f') x = sum t f; matrices are rank x rank, by rows
CREATE FUNCTION normal_equations(f float8[], w float8[], t float8[], n int,
                                 base float8[], rank int) RETURNS float8[]
LANGUAGE plpgsql AS $$
DECLARE
    a float8[] := base;
    b float8[] := array_fill(0::float8, ARRAY[rank]);
    v float8;
BEGIN
    FOR k IN 0 .. n - 1 LOOP
        FOR i IN 1 .. rank LOOP
            v := f[k*rank+i];
            b[i] := b[i] + t[k+1] * v;
            v := v * w[k+1];
            IF v <> 0 THEN
                FOR j IN 1 .. rank LOOP
                    a[(i-1)*rank+j] := a[(i-1)*rank+j] + v * f[k*rank+j];
                END LOOP;
            END IF;
        END LOOP;
    END LOOP;
    RETURN solve((SELECT array_agg(a[(i-1)*rank+1 : i*rank] ORDER BY i) FROM generate_series(1, rank) i), b);
END $$;

-- The last half-iteration solves the items against the stored users: relative
-- distance of stored items from the closed form, the largest of three items.
CREATE FUNCTION implicit_error(model text, rank int, lambda float8, alpha float8)
RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    base float8[];
    x float8[];
    worst float8 := 0;
    item record;
    system record;
BEGIN
    EXECUTE format('CREATE TEMP TABLE x ON COMMIT DROP AS
        SELECT user_id, factors::float8[] AS f FROM %I', model || '_users');
    SELECT array_agg(g ORDER BY i, j) INTO base FROM (
        SELECT i, j, sum(f[i] * f[j]) + CASE WHEN i = j THEN lambda ELSE 0 END AS g
        FROM x, generate_series(1, rank) i, generate_series(1, rank) j
        GROUP BY i, j) gram;
    FOR item IN EXECUTE format('SELECT item_id, factors::float8[] AS y FROM %I
        WHERE item_id IN (1, 2, 30)', model || '_items') LOOP
        SELECT array_agg(u.v ORDER BY r.user_id, u.o) AS f INTO system
        FROM ratings r JOIN x USING (user_id),
             unnest(x.f) WITH ORDINALITY u(v, o)
        WHERE r.item_id = item.item_id;
        SELECT normal_equations(system.f,
            array_agg(alpha * abs(rating) ORDER BY user_id),
            array_agg(CASE WHEN rating > 0 THEN 1 + alpha * rating ELSE 0 END ORDER BY user_id),
            count(*)::int, base, rank) INTO x FROM ratings WHERE item_id = item.item_id;
        worst := greatest(worst, coalesce(distance(item.y, x), 'infinity'));
    END LOOP;
    DROP TABLE x;
    RETURN worst;
END $$;

-- The same for explicit feedback: items' factors and bias.
CREATE FUNCTION explicit_error(model text, factors int, lambda float8)
RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    rank int := factors + 1;
    mean float8;
    n int;
    x float8[];
    worst float8 := 0;
    item record;
    system record;
BEGIN
    EXECUTE format('CREATE TEMP TABLE x ON COMMIT DROP AS
        SELECT user_id, factors::float8[] || 1::float8 AS f, bias FROM %I', model || '_users');
    SELECT avg(rating::float8) INTO mean FROM ratings;
    FOR item IN EXECUTE format('SELECT item_id, factors::float8[] || bias::float8 AS y FROM %I
        WHERE item_id IN (1, 2, 30)', model || '_items') LOOP
        SELECT count(*) INTO n FROM ratings WHERE item_id = item.item_id;
        SELECT array_agg(u.v ORDER BY r.user_id, u.o) AS f INTO system
        FROM ratings r JOIN x USING (user_id),
             unnest(x.f) WITH ORDINALITY u(v, o)
        WHERE r.item_id = item.item_id;
        SELECT normal_equations(system.f,
            array_agg(1::float8 ORDER BY user_id),
            array_agg(rating - mean - bias ORDER BY user_id), n,
            (SELECT array_agg(CASE WHEN i = j THEN lambda * n ELSE 0 END ORDER BY i, j)
             FROM generate_series(1, rank) i, generate_series(1, rank) j), rank)
        INTO x FROM ratings JOIN x USING (user_id) WHERE item_id = item.item_id;
        worst := greatest(worst, coalesce(distance(item.y, x), 'infinity'));
    END LOOP;
    DROP TABLE x;
    RETURN worst;
END $$;

-- Both solvers, implicit: run to convergence, conjugate gradient is exact too
SELECT factors, solver, (als_train(format('i_%s_%s', factors, solver), 'ratings',
           factors => factors, solver => solver, iterations => 2, cg_steps => 300,
           regularization => 0.5, alpha => 2)).run
FROM unnest(ARRAY[1, 3, 16, 64, 100]) factors, unnest(ARRAY['cholesky', 'cg']) solver;
SELECT factors, solver,
       implicit_error(format('i_%s_%s', factors, solver), factors, 0.5, 2) < 1e-4 AS exact
FROM unnest(ARRAY[1, 3, 16, 64, 100]) factors, unnest(ARRAY['cholesky', 'cg']) solver;

-- and explicit
SELECT factors, solver, (als_train(format('e_%s_%s', factors, solver), 'ratings',
           feedback => 'explicit',
           factors => factors, solver => solver, iterations => 2, cg_steps => 300,
           regularization => 0.1)).run
FROM unnest(ARRAY[1, 3, 16, 64, 100]) factors, unnest(ARRAY['cholesky', 'cg']) solver;
SELECT factors, solver,
       explicit_error(format('e_%s_%s', factors, solver), factors, 0.1) < 1e-4 AS exact
FROM unnest(ARRAY[1, 3, 16, 64, 100]) factors, unnest(ARRAY['cholesky', 'cg']) solver;

-- The loss is the objective, over all pairs of users and items.
CREATE FUNCTION implicit_loss(model text, lambda float8, alpha float8) RETURNS float8
LANGUAGE plpgsql AS $$
DECLARE
    result float8;
BEGIN
    EXECUTE format('
        SELECT (SELECT sum((1 + $2 * abs(coalesce(r.rating, 0)))
                           * ((coalesce(r.rating, 0) > 0)::int - closed_form.dot(u.factors, i.factors)) ^ 2)
                FROM %1$I u CROSS JOIN %2$I i
                LEFT JOIN closed_form.ratings r USING (user_id, item_id))
             + $1 * ((SELECT sum(closed_form.dot(factors, factors)) FROM %1$I)
                   + (SELECT sum(closed_form.dot(factors, factors)) FROM %2$I))',
        model || '_users', model || '_items') INTO result USING lambda, alpha;
    RETURN result;
END $$;

CREATE FUNCTION explicit_loss(model text, lambda float8) RETURNS float8
LANGUAGE plpgsql AS $$
DECLARE
    result float8;
BEGIN
    EXECUTE format('
        SELECT sum((r.rating - m.mean - u.bias - i.bias - closed_form.dot(u.factors, i.factors)) ^ 2
                   + $1 * (closed_form.dot(u.factors, u.factors) + u.bias::float8 ^ 2)
                   + $1 * (closed_form.dot(i.factors, i.factors) + i.bias::float8 ^ 2))
        FROM closed_form.ratings r JOIN %1$I u USING (user_id) JOIN %2$I i USING (item_id),
             (SELECT avg(rating::float8) AS mean FROM closed_form.ratings) m',
        model || '_users', model || '_items') INTO result USING lambda;
    RETURN result;
END $$;

CREATE TABLE runs AS
    SELECT s, steps, f, format('l_%s_%s_%s', s, steps, f) AS model
    FROM unnest(ARRAY['cholesky', 'cg']) s, unnest(ARRAY[1, 3]) steps, unnest(ARRAY[3, 20]) f;
CREATE TABLE losses AS
    SELECT runs.*, t.loss FROM runs,
         als_train(model, 'ratings', factors => f, solver => s, cg_steps => steps,
                   regularization => 0.1, alpha => 10, iterations => 4) t;
SELECT s, steps, f, abs(loss / implicit_loss(model, 0.1, 10) - 1) < 1e-5 AS exact
FROM losses ORDER BY s, steps, f;
CREATE TABLE explicit_losses AS
    SELECT runs.*, t.loss FROM runs,
         als_train('x' || model, 'ratings', feedback => 'explicit', factors => f, solver => s,
                   cg_steps => steps, regularization => 0.05, iterations => 4) t;
SELECT s, steps, f, abs(loss / explicit_loss('x' || model, 0.05) - 1) < 1e-5 AS exact
FROM explicit_losses ORDER BY s, steps, f;

-- With the exact solver it never rises.
SELECT kind, count(*) AS iterations, bool_and(after <= before * (1 + 1e-6)) AS falls
FROM unnest(ARRAY['implicit', 'explicit']) kind,
     als_train('monotonic_' || kind, 'ratings', feedback => kind, factors => 8,
               solver => 'cholesky', regularization => 0.1) t,
     LATERAL (SELECT l AS after, coalesce(lag(l) OVER (ORDER BY o), 'infinity') AS before
              FROM unnest(t.losses) WITH ORDINALITY s(l, o)) s
GROUP BY kind ORDER BY kind;

-- als_predict is that inner product, or the rating.
SELECT max(abs(als_predict('i_16_cg', user_id, item_id)
               - dot(u.factors, i.factors))) < 1e-5 AS implicit
FROM i_16_cg_users u CROSS JOIN i_16_cg_items i;
SELECT max(abs(als_predict('e_16_cg', user_id, item_id)
               - (m.mean_rating + u.bias + i.bias + dot(u.factors, i.factors)))) < 1e-5 AS explicit
FROM e_16_cg_users u CROSS JOIN e_16_cg_items i CROSS JOIN e_16_cg m;

-- als_recommend returns what sorting all scores would, for every user and
-- every number of items, with and without what has been seen.
SELECT seen, k, bool_and(r.items IS NOT DISTINCT FROM s.items) AS same
FROM unnest(ARRAY[true, false]) seen, unnest(ARRAY[1, 5, 1000]) k, i_16_cg_users u,
     LATERAL (SELECT array_agg((item_id, score)::text) AS items
              FROM als_recommend('i_16_cg', u.user_id, k, exclude_seen => NOT seen)) r,
     LATERAL (SELECT array_agg((item_id, score)::text) AS items
              FROM (SELECT item_id::bigint, als_predict('i_16_cg', u.user_id, item_id) AS score
                    FROM i_16_cg_items i
                    WHERE seen OR NOT EXISTS (SELECT FROM ratings
                                              WHERE ratings.user_id = u.user_id AND ratings.item_id = i.item_id)
                    ORDER BY score DESC, item_id LIMIT k) t) s
GROUP BY seen, k ORDER BY seen, k;

SET client_min_messages = error;
DROP SCHEMA closed_form CASCADE;
