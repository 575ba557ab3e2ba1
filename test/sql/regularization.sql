-- regularization_scaling and nonnegative, against the objective, its gradient
-- and the papers' own form, computed here in double precision SQL.
SET client_min_messages = warning;
SET jit = off;  -- what it would compile runs once
CREATE SCHEMA regularization;
SET search_path = regularization, public;

-- 40 users, 30 items; some ratings are zero or negative
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id,
           ((u * 31 + i * 17) % 11 - 2)::real / 2 AS rating
    FROM generate_series(1, 40) u, generate_series(1, 30) i
    WHERE (u * 7919 + i * 104729 + u * i * 13) % (3 + i % 7) = 0;
SELECT count(*), count(DISTINCT user_id), count(DISTINCT item_id) FROM ratings;

-- The newest run of a model, its factors with the bias, 0 if there is none, and
-- what lambda is multiplied by, from the model's own description.
CREATE FUNCTION describe(model text) RETURNS SETOF als_model
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT * FROM %I ORDER BY run DESC LIMIT 1', model);
END $$;
CREATE FUNCTION side(model text, side text)
RETURNS TABLE (id int, f float8[], bias float8, s float8)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('
        SELECT t.%1$s_id, t.factors::float8[], coalesce((to_jsonb(t) ->> ''bias'')::float8, 0),
               (CASE d.feedback WHEN ''explicit'' THEN n
                ELSE CASE %1$L WHEN ''user'' THEN d.items ELSE d.users END + d.alpha * n END)
               ^ d.regularization_scaling
        FROM %2$I t
        JOIN (SELECT %1$s_id, count(*)::float8 AS n FROM regularization.ratings GROUP BY 1) c USING (%1$s_id)
        CROSS JOIN regularization.describe(%3$L) d',
        side, model || '_' || side || 's', model);
END $$;
\i test/include/algebra.sql

-- Pairs that the objective is about: confidence c, what the factors' inner
-- product is to be, and what it is.
CREATE FUNCTION pairs(model text)
RETURNS TABLE (user_id int, item_id int, c float8, target float8, product float8)
LANGUAGE sql AS $$
    SELECT x.id, y.id, CASE WHEN d.feedback = 'implicit' THEN 1 + d.alpha * abs(coalesce(r.rating, 0)) ELSE 1 END,
           CASE WHEN d.feedback = 'implicit' THEN (coalesce(r.rating, 0) > 0)::int::float8
           ELSE r.rating - d.mean_rating - x.bias - y.bias END,
           dot(x.f, y.f)
    FROM describe(model) d CROSS JOIN side(model, 'user') x CROSS JOIN side(model, 'item') y
    LEFT JOIN ratings r ON r.user_id = x.id AND r.item_id = y.id
    WHERE d.feedback = 'implicit' OR r.rating IS NOT NULL
$$;

-- The objective, both sides' regularization included.
CREATE FUNCTION objective(model text) RETURNS float8 LANGUAGE sql AS $$
    SELECT (SELECT sum(c * (target - product) ^ 2) FROM pairs(model))
         + (SELECT regularization FROM describe(model))
           * ((SELECT sum(s * (dot(f, f) + bias ^ 2)) FROM side(model, 'user'))
            + (SELECT sum(s * (dot(f, f) + bias ^ 2)) FROM side(model, 'item')))
$$;

-- How far the items, solved last, are from the minimum: their gradient, as a
-- share of what it is the sum of.  It may be positive where a factor is held at
-- zero, and that may not be negative: the conditions of Karush, Kuhn and Tucker.
CREATE FUNCTION distance(model text) RETURNS float8 LANGUAGE sql AS $$
    WITH d AS (SELECT * FROM describe(model)),
    terms AS (
        SELECT p.item_id, k.o, d.factors, d.nonnegative, (y.f || y.bias)[k.o] AS at,
               d.regularization * y.s AS lambda, p.c * (p.product - p.target) * k.v AS term,
               p.c * (abs(p.product) + abs(p.target)) * abs(k.v) AS size
        FROM pairs(model) p JOIN side(model, 'item') y ON y.id = p.item_id
        JOIN side(model, 'user') x ON x.id = p.user_id CROSS JOIN d,
        unnest(x.f || CASE d.feedback WHEN 'explicit' THEN 1::float8 END) WITH ORDINALITY k(v, o)
        WHERE k.v IS NOT NULL),
    gradients AS (
        SELECT nonnegative AND o <= factors AS bounded, at,
               sum(term) + lambda * at AS gradient, sum(size) + lambda * abs(at) AS size
        FROM terms GROUP BY item_id, o, factors, nonnegative, at, lambda)
    SELECT max(CASE WHEN bounded AND at < 0 THEN 'infinity'
               WHEN bounded AND at = 0 THEN greatest(-gradient, 0) ELSE abs(gradient) END / size)
    FROM gradients WHERE size > 0
$$;

CREATE TABLE runs AS
    SELECT feedback, solver, nonnegative, nu, lambda, format('%s_%s_%s', feedback, solver, o) AS model
    FROM unnest(ARRAY['implicit', 'explicit']) feedback,
         (VALUES ('cg', false), ('cholesky', false), ('nonnegative', true)) s(solver, nonnegative),
         (VALUES (NULL::float8, 0.1, 'default'), (0, 0.1, 'none'), (0.5, 0.03, 'half'), (1, 0.01, 'one'), (1.3, 0.002, 'more')) n(nu, lambda, o);
-- conjugate gradient is run until it is exact
SELECT r.feedback, r.solver, r.nu, t.regularization_scaling, t.nonnegative, t.solver, t.cg_steps,
       abs(t.loss / objective(model) - 1) < 1e-5 AS loss, distance(model) < 1e-4 AS minimum
FROM runs r, als_train(model, 'ratings', feedback => r.feedback, factors => 6, regularization => lambda,
                       regularization_scaling => nu, alpha => 2, nonnegative => r.nonnegative,
                       solver => CASE WHEN r.solver = 'nonnegative' THEN 'cg' ELSE r.solver END,
                       iterations => 3, cg_steps => 300) t
ORDER BY feedback, r.solver, nu NULLS FIRST;
-- the distance does tell right from wrong
SELECT distance('implicit_cg_one') < 1e-4 AS before;
UPDATE implicit_cg_one SET regularization_scaling = 0.9;
SELECT distance('implicit_cg_one') < 1e-4 AS other_scaling;
UPDATE implicit_nonnegative_one_items SET factors[1] = -factors[1] - 0.1;
SELECT distance('implicit_nonnegative_one') < 1e-4 AS negative;

-- three steps of conjugate gradient report the objective too
SELECT nu, abs(t.loss / objective('steps') - 1) < 1e-5 AS loss
FROM unnest(ARRAY[0.5, 1]) nu, als_train('steps', 'ratings', factors => 6, regularization => 0.1,
                                        regularization_scaling => nu, alpha => 2, iterations => 4) t ORDER BY nu;

-- the default is what it was before there was a choice
SELECT a.loss = b.loss AS implicit
FROM als_train('a', 'ratings', factors => 6, alpha => 40, regularization => 0.01) a,
     als_train('b', 'ratings', factors => 6, alpha => 40, regularization => 0.01, regularization_scaling => 0) b;
SELECT a.loss = b.loss AS explicit
FROM als_train('c', 'ratings', feedback => 'explicit', factors => 6, regularization => 0.1) a,
     als_train('d', 'ratings', feedback => 'explicit', factors => 6, regularization => 0.1, regularization_scaling => 1) b;
-- without regularization there is nothing to scale
SELECT abs(a.loss / b.loss - 1) < 1e-6 AS same
FROM als_train('a', 'ratings', factors => 6, regularization => 0, iterations => 4) a,
     als_train('b', 'ratings', factors => 6, regularization => 0, iterations => 4, regularization_scaling => 1) b;

-- The form of Rendle, Krichene, Zhang and Koren: every row w solves
-- (sum h h' + alpha0 H'H + lambda (n + alpha0 N)^nu I) w = sum h.
CREATE TABLE likes AS SELECT user_id, item_id FROM ratings WHERE rating > 0;
CREATE TABLE rows (side text, id int, f float8[]);
CREATE FUNCTION solve_side(solved text, lambda float8, alpha0 float8, nu float8, rank int) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    gram float8[] := array_fill(0::float8, ARRAY[rank, rank]);
    a float8[];
    b float8[];
    total int := 0;
    n int;
    fixed record;
    solving record;
BEGIN
    FOR fixed IN SELECT f FROM rows WHERE side <> solved LOOP
        total := total + 1;
        FOR i IN 1 .. rank LOOP
            FOR j IN 1 .. rank LOOP
                gram[i][j] := gram[i][j] + alpha0 * fixed.f[i] * fixed.f[j];
            END LOOP;
        END LOOP;
    END LOOP;
    FOR solving IN SELECT id FROM rows WHERE side = solved LOOP
        a := gram;
        b := array_fill(0::float8, ARRAY[rank]);
        n := 0;
        FOR fixed IN SELECT f FROM likes JOIN rows
            ON side <> solved AND id = CASE solved WHEN 'user' THEN item_id ELSE user_id END
            WHERE CASE solved WHEN 'user' THEN user_id ELSE item_id END = solving.id LOOP
            n := n + 1;
            FOR i IN 1 .. rank LOOP
                b[i] := b[i] + fixed.f[i];
                FOR j IN 1 .. rank LOOP
                    a[i][j] := a[i][j] + fixed.f[i] * fixed.f[j];
                END LOOP;
            END LOOP;
        END LOOP;
        FOR i IN 1 .. rank LOOP
            a[i][i] := a[i][i] + lambda * (n + alpha0 * total) ^ nu;
        END LOOP;
        UPDATE rows SET f = solve(a, b) WHERE side = solved AND id = solving.id;
    END LOOP;
END $$;
-- Ours, of a start that is sqrt(1 + alpha0) times theirs: all factors are that
-- many times theirs, all scores 1 + alpha0 times theirs, the order is the same.
CREATE FUNCTION both_forms(solver text, nu float8, alpha0 float8, lambda float8,
                           OUT factors float8, OUT scores float8, OUT same_order boolean)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM als_train('ours', 'likes', rating_column => NULL, factors => 4, alpha => 1, iterations => 1);
    TRUNCATE rows;
    INSERT INTO rows SELECT 'user', user_id, NULL FROM ours_users;
    INSERT INTO rows SELECT 'item', item_id, array_agg(v / sqrt(1 + alpha0) ORDER BY o)
        FROM ours_items i, unnest(i.factors::float8[]) WITH ORDINALITY u(v, o) GROUP BY item_id;
    PERFORM als_train('ours', 'likes', rating_column => NULL, factors => 4, iterations => 2, warm_start => true,
                      alpha => 1 / alpha0, regularization_scaling => nu,
                      regularization => (1 + 1 / alpha0) * alpha0 ^ nu * lambda, solver => solver, cg_steps => 300);
    FOR i IN 1 .. 2 LOOP
        PERFORM solve_side('user', lambda, alpha0, nu, 4);
        PERFORM solve_side('item', lambda, alpha0, nu, 4);
    END LOOP;
    SELECT max(abs(x / sqrt(1 + alpha0) - w)) INTO factors
    FROM (SELECT 'user' AS side, user_id AS id, o.factors::float8[] AS f FROM ours_users o
          UNION ALL SELECT 'item', item_id, o.factors::float8[] FROM ours_items o) ours
    JOIN rows USING (side, id), unnest(ours.f, rows.f) s(x, w);
    CREATE TEMP TABLE scored ON COMMIT DROP AS
        SELECT user_id, item_id, als_predict('ours', user_id, item_id)::float8 AS ours, dot(u.f, i.f) AS theirs
        FROM ours_users JOIN rows u ON u.side = 'user' AND u.id = user_id
        CROSS JOIN ours_items JOIN rows i ON i.side = 'item' AND i.id = item_id;
    SELECT max(abs(ours / (1 + alpha0) - theirs)) INTO scores FROM scored;
    SELECT bool_and(sign(a.ours - b.ours) = sign(a.theirs - b.theirs)) INTO same_order
    FROM scored a JOIN scored b USING (user_id) WHERE abs(a.theirs - b.theirs) > 1e-4;
    DROP TABLE scored;
END $$;
SELECT solver, nu, alpha0, factors < 1e-3 AS factors, scores < 1e-3 AS scores, same_order
FROM unnest(ARRAY['cholesky', 'cg']) solver, unnest(ARRAY[0, 0.5, 1]) nu, unnest(ARRAY[0.1, 1]) alpha0,
     both_forms(solver, nu, alpha0, 0.05) ORDER BY solver, nu, alpha0;

-- nonnegative: no factor is below zero, some are zero; biases are of any sign
SELECT min(v) = 0 AS zeros, max(v) > 0 AS others
FROM (SELECT unnest(factors) AS v FROM implicit_nonnegative_default_users
      UNION ALL SELECT unnest(factors) FROM implicit_nonnegative_default_items) v;
SELECT min(v) = 0 AS zeros, max(v) > 0 AS others
FROM (SELECT unnest(factors) AS v FROM explicit_nonnegative_default_users
      UNION ALL SELECT unnest(factors) FROM explicit_nonnegative_default_items) v;
SELECT min(bias) < 0 AS negative, max(bias) > 0 AS positive FROM explicit_nonnegative_default_items;
-- its loss falls
SELECT kind, bool_and(after <= before * (1 + 1e-6)) AS falls
FROM unnest(ARRAY['implicit', 'explicit']) kind,
     als_train('falls_' || kind, 'ratings', feedback => kind, factors => 8, nonnegative => true,
               regularization => 0.1, iterations => 20) t,
     LATERAL (SELECT l AS after, coalesce(lag(l) OVER (ORDER BY o), 'infinity') AS before
              FROM unnest(t.losses) WITH ORDINALITY s(l, o)) s
GROUP BY kind ORDER BY kind;
-- nothing else is asked of the solver
SELECT a.loss = b.loss AND a.loss = c.loss AS same, b.solver, b.cg_steps
FROM als_train('a', 'ratings', factors => 6, nonnegative => true) a,
     als_train('b', 'ratings', factors => 6, nonnegative => true, solver => 'cholesky') b,
     als_train('three', 'ratings', factors => 6, nonnegative => true, solver => 'cg', cg_steps => 7) c;
-- a warm start from factors of any sign
SELECT min(v) < 0 AS negative FROM d_items, unnest(factors) v;
SELECT t.nonnegative, t.losses[2] <= t.losses[1] AS falls
FROM als_train('d', 'ratings', feedback => 'explicit', factors => 6, regularization => 0.1, nonnegative => true,
               warm_start => true, iterations => 2) t;
SELECT min(v) >= 0 AS nonnegative FROM d_items, unnest(factors) v;
-- the aggregate
SELECT t.regularization_scaling, t.nonnegative, t.loss = u.loss AS same
FROM (SELECT (als_train_agg('e', user_id, item_id, rating,
          '{"factors": 6, "regularization_scaling": 0.5, "nonnegative": true}')).* FROM ratings) t,
     als_train('f', 'ratings', factors => 6, regularization_scaling => 0.5, nonnegative => true) u;
SELECT (als_train_agg('g', user_id, item_id, rating, options)).regularization_scaling
FROM ratings, (VALUES ('{"factors": 2, "regularization": 0.01, "regularization_scaling": null}'::jsonb)) o(options) GROUP BY options;
SELECT (als_train_agg('h', user_id, item_id, rating, '{"factors": 2, "feedback": "explicit", "regularization": 0.01}')).regularization_scaling
FROM ratings;

-- what is not possible
\i test/include/errors.sql
SELECT t.* FROM unnest(ARRAY['regularization_scaling => -0.1', 'regularization_scaling => 2.1',
    'regularization_scaling => ''nan''', 'regularization_scaling => ''infinity''',
    'regularization_scaling => ''-infinity''', 'nonnegative => NULL']) parameter,
    try(format('SELECT als_train(%L, %L, %s)', 'bad', 'ratings', parameter)) t;
SELECT code, message FROM unnest(ARRAY['{"regularization_scaling": "1"}', '{"regularization_scaling": -1}',
    '{"nonnegative": 1}', '{"nonnegative": null}']) options,
    try(format('SELECT als_train_agg(%L, user_id, item_id, rating, %L) FROM ratings', 'bad', options)) t;
-- lambda s, or a rating times its weight, beyond single precision: rows are solved in double,
-- whatever the solver and the number of factors
SELECT a.run, b.run, b.loss / a.loss BETWEEN 1 - 1e-6 AND 1 + 1e-6 AS same
FROM als_train('large_a', 'SELECT user_id, item_id, 1e27 AS rating FROM ratings', factors => 5, alpha => 1e10, regularization => 1e30, regularization_scaling => 1, iterations => 1, solver => 'cholesky') a,
     als_train('large_b', 'SELECT user_id, item_id, 1e27 AS rating FROM ratings', factors => 5, alpha => 1e10, regularization => 1e30, regularization_scaling => 1, iterations => 1) b;
SELECT bool_and(distance(a.factors::float8[], b.factors::float8[]) < 1e-5) AS same, bool_or(0 <> ANY (a.factors)) AS some
FROM large_a_users a JOIN large_b_users b USING (user_id);
CREATE FUNCTION loss_of(solver text, factors int, weight text) RETURNS float8 LANGUAGE sql AS $$
    SELECT loss FROM als_train('weighted', 'SELECT user_id, item_id, rating, 1e38 AS large FROM ratings', weight_column => weight,
        feedback => 'explicit', biases => false, factors => factors, regularization => 0.1, iterations => 2, cg_steps => 100,
        nonnegative => solver = 'nonnegative', solver => CASE solver WHEN 'cg' THEN solver ELSE 'cholesky' END)
$$;
SELECT solver, factors, abs(loss_of(solver, factors, 'large') / loss_of(solver, factors, NULL) / 1e38 - 1) < 1e-5 AS same
FROM unnest(ARRAY[3, 15]) factors, unnest(ARRAY['cg', 'cholesky', 'nonnegative']) solver ORDER BY 1, 2;
-- singular systems
SELECT code, message FROM unnest(ARRAY['factors => 31, regularization_scaling => 1',
    'factors => 31, nonnegative => true', 'feedback => ''explicit'', factors => 31, nonnegative => true']) parameters,
    try(format('SELECT als_train(%L, %L, regularization => 0, %s)', 'bad', 'ratings', parameters)) t;

SET client_min_messages = error;
DROP SCHEMA regularization CASCADE;
