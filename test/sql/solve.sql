-- als_solve: half an iteration of a training as an aggregate
SET client_min_messages = warning;
CREATE SCHEMA solve;
SET search_path = solve, public;
\i test/include/errors.sql
\i test/include/algebra.sql
\i test/include/held_out.sql

-- The items are what a training solves last, against its users: als_solve finds the
-- same, and with the users' regularization the same loss.
CREATE VIEW text_ratings AS SELECT 'u' || user_id AS user_id, md5(item_id::text)::uuid AS item_id, rating FROM ratings;
CREATE FUNCTION options(model text, side text) RETURNS jsonb LANGUAGE sql IMMUTABLE
AS $$ SELECT jsonb_build_object('model', 'solve.' || model, 'side', side) $$;
CREATE FUNCTION compare(model text, source text) RETURNS TABLE (items bigint, same boolean, same_loss boolean)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format($q$
        WITH solved AS (SELECT item_id, als_solve(user_id, rating, %L) AS s FROM %I GROUP BY item_id),
        users AS (SELECT user_id, als_solve(item_id, rating, %L) AS s FROM %I GROUP BY user_id),
        run AS (SELECT * FROM %I)
        SELECT count(*), bool_and(distance((s).factors, i.factors || %s) < 1e-5),
               abs(sum((s).loss) / (SELECT loss - regularization * (SELECT sum(dot(f, f) * CASE
                   WHEN feedback = 'explicit' THEN n ^ regularization_scaling
                   ELSE (run.items + alpha * n) ^ regularization_scaling END)
                   FROM (SELECT u.factors::float8[] || %s AS f, r.n FROM %I u
                         JOIN (SELECT user_id, count(DISTINCT item_id) AS n FROM %I GROUP BY 1) r USING (user_id)) t) FROM run) - 1) < 1e-6
        FROM solved JOIN %I i USING (item_id)$q$,
        options(model, 'items'), source, options(model, 'users'), source, model,
        CASE model WHEN 'explicit' THEN 'i.bias' ELSE $c$'{}'::real[]$c$ END,
        CASE model WHEN 'explicit' THEN 'u.bias::float8' ELSE $c$'{}'::float8[]$c$ END,
        model || '_users', source, model || '_items');
END $$;
SELECT model, c.* FROM (VALUES ('implicit', 'ratings', 'implicit', 0, false), ('scaled', 'ratings', 'implicit', 0.5, false),
    ('nonnegative', 'ratings', 'implicit', 0, true), ('text', 'text_ratings', 'implicit', 0, false),
    ('explicit', 'ratings', 'explicit', 1, false)) v(model, source, feedback, scaling, nonnegative),
    LATERAL (SELECT run FROM als_train(model, source, feedback => feedback, nonnegative => nonnegative, regularization => 0.3,
                                       regularization_scaling => scaling, factors => 6, alpha => 2, iterations => 3, solver => 'cholesky')) t,
    LATERAL compare(CASE WHEN run = 1 THEN model END, source) c;

-- From the third iteration of conjugate gradient on, users are solved against the items y2 + 0.6 (y2 - y1)
-- that the last change leads to, and the items then against them.
SELECT iterations FROM generate_series(1, 3) n,
    LATERAL als_train('ahead' || n, 'ratings', factors => 6, regularization => 0.3, alpha => 2, cg_steps => 50, iterations => n);
CREATE TABLE solved AS SELECT * FROM ahead2_users;
UPDATE ahead2_items y2 SET factors = (SELECT array_agg((b + 0.6 * (b - a))::real ORDER BY k) FROM unnest(y1.factors, y2.factors) WITH ORDINALITY t(a, b, k))
    FROM ahead1_items y1 WHERE y1.item_id = y2.item_id;
UPDATE solved u SET factors = (s).factors
    FROM (SELECT user_id, als_solve(item_id, rating, options('ahead2', 'users')) AS s FROM ratings GROUP BY user_id) t WHERE t.user_id = u.user_id;
UPDATE ahead2_users u SET factors = s.factors FROM solved s WHERE s.user_id = u.user_id;
SELECT 'users' AS side, count(*), bool_and(distance(a.factors, b.factors) < 1e-4) AS same FROM ahead2_users a JOIN ahead3_users b USING (user_id)
UNION ALL
SELECT 'items', count(*), bool_and(distance((s).factors, b.factors) < 1e-4)
FROM (SELECT item_id, als_solve(user_id, rating, options('ahead2', 'items')) AS s FROM ratings GROUP BY item_id) a JOIN ahead3_items b USING (item_id);

-- a row alone is what als_fold_in says in double precision
SELECT model, count(*), bool_and(distance((s).factors, f) < 1e-4) AS same FROM (
    SELECT model, als_solve(item_id, rating, options(model, 'users')) AS s,
           als_fold_in(model::regclass, array_agg(item_id), array_agg(rating)::float8[]) AS f
    FROM ratings, (VALUES ('implicit')) v(model) GROUP BY model, user_id
    UNION ALL
    SELECT model, als_solve(item_id, rating, options(model, 'users')),
           als_fold_in(model::regclass, array_agg(item_id), array_agg(rating)::float8[])
    FROM ratings, (VALUES ('explicit')) v(model) GROUP BY model, user_id) t
GROUP BY model ORDER BY model COLLATE "C";

-- however rows are grouped, and in whatever order they come; duplicates add up
CREATE TABLE by_hash AS SELECT user_id, als_solve(item_id, rating, options('implicit', 'users')) AS s FROM ratings GROUP BY user_id;
SET enable_hashagg = off;
SELECT count(*) FROM (SELECT user_id, als_solve(item_id, rating, options('implicit', 'users')) AS s
    FROM (SELECT * FROM ratings ORDER BY item_id DESC, rating) r GROUP BY user_id EXCEPT TABLE by_hash) t;
RESET enable_hashagg;
SELECT (SELECT als_solve(i, r, options('implicit', 'users')) FROM (VALUES (8, 1), (9, 2), (8, 3)) v(i, r)) =
       (SELECT als_solve(i, r, options('implicit', 'users')) FROM (VALUES (9, 2), (8, 4)) v(i, r)) AS added_up;

-- of arrays, the same to the bit, in whatever order and with what duplicates they come
CREATE TABLE grouped AS SELECT user_id, array_agg(item_id ORDER BY item_id % 7, rating) AS item_ids, array_agg(rating::real ORDER BY item_id % 7, rating) AS ratings
    FROM ratings GROUP BY user_id;
SELECT count(*) FROM (SELECT user_id, als_solve_row(item_ids, ratings, options('implicit', 'users')) FROM grouped EXCEPT TABLE by_hash) t;
SELECT count(*) FROM (SELECT 'i' || user_id, als_solve_row(md5s, ratings, options('text', 'users'))
    FROM grouped, LATERAL (SELECT array_agg(md5(i::text)::uuid ORDER BY n) AS md5s FROM unnest(item_ids) WITH ORDINALITY u(i, n)) m
    EXCEPT SELECT 'i' || user_id, als_solve(md5(item_id::text)::uuid, rating, options('text', 'users')) FROM ratings GROUP BY user_id) t;
SELECT als_solve_row('{8,9,8}'::int[], '{1,2,3}', options('implicit', 'users')) = als_solve_row('{9,8}'::int[], '{2,4}', options('implicit', 'users')) AS added_up,
       als_solve_row('{12345,8}'::bigint[], '{1,2}', options('implicit', 'users')) = als_solve_row('{8}'::smallint[], '{2}', options('implicit', 'users')) AS known_only,
       als_solve_row('{12345}'::int[], '{1}', options('implicit', 'users')) IS NULL AS unknown, als_solve_row('{}'::int[], '{}', options('implicit', 'users')) IS NULL AS nothing,
       als_solve_row(NULL::int[], '{1}', options('implicit', 'users')) IS NULL AS no_ids, als_solve_row('{8}'::int[], NULL, options('implicit', 'users')) IS NULL AS no_ratings;
SELECT als_solve_row(array_agg(n::bigint), array_agg(n::real), o) = by_numeric AS bigints, als_solve_row(array_agg(n::smallint), array_agg(n::real), o) = by_numeric AS smallints,
       als_solve_row(array_agg(n ORDER BY -n), array_agg(n::real ORDER BY -n), o) = by_numeric AS backwards
FROM (SELECT n, o, als_solve_row(array_agg(n::numeric) OVER (), array_agg(n::real) OVER (), o) AS by_numeric FROM generate_series(1, 1000) n, options('implicit', 'users') o) t GROUP BY o, by_numeric;
SELECT bool_and(als_solve_row(item_ids, ratings, options('explicit', 'users')) = s) AS explicit FROM grouped
    JOIN (SELECT user_id, als_solve(item_id, rating, options('explicit', 'users')) AS s FROM ratings GROUP BY user_id) t USING (user_id);

-- factors on their way: all bits of them, in order
SELECT als_pack_factors(f ORDER BY n) FROM (VALUES (1, '{1,-2}'::real[]), (2, NULL), (3, '{0.5,Infinity}')) v(n, f);
SELECT als_unpack_factors('\x3f800000c00000003f0000007f800000', 2);
SELECT count(*) FROM (SELECT unnest(ids) AS item_id, als_unpack_factors(packed, 6) AS factors
    FROM (SELECT item_id % 3, array_agg(item_id) AS ids, als_pack_factors(factors) AS packed FROM implicit_items GROUP BY 1) p
    EXCEPT SELECT item_id, factors FROM implicit_items) t;
SELECT als_pack_factors(f) IS NULL AS nothing FROM (SELECT NULL::real[] AS f WHERE false) n;
SELECT count(*), count(als_pack_factors) FROM (SELECT als_pack_factors('{}'::real[])) e, als_unpack_factors(als_pack_factors, 5);

-- rows that say nothing, and ids that the model does not know
SELECT als_solve(item_id, rating, options('implicit', 'users')) FROM ratings WHERE false;
SELECT als_solve(i, 1, options('implicit', 'users')) FROM (VALUES (12345), (0)) v(i);
SELECT (SELECT als_solve(i, 1, options('implicit', 'users')) FROM (VALUES (12345), (8), (1.5)) v(i)) =
       (SELECT als_solve(8, 1, options('implicit', 'users'))) AS known_only;

-- a model that changes between two queries of a transaction
BEGIN;
SELECT (als_solve(8, 1, options('implicit', 'users'))).factors[1] <> 0 AS before;
TRUNCATE implicit_items;
SELECT als_solve(8, 1, options('implicit', 'users'));
INSERT INTO implicit_items VALUES (8, '{1,0,0,0,0,0}');
-- b = 1 + alpha, A = 1 + alpha + lambda
SELECT round((als_solve(8, 1, options('implicit', 'users'))).factors[1]::numeric, 5), round(3 / 3.3, 5);
ROLLBACK;

-- A function's call in PL/pgSQL lives as long as the transaction: each row is solved with
-- what the model is then, by hand, by a training, after what has been rolled back, by
-- another model of the name, with other options.
CREATE FUNCTION first_factor(options jsonb) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    solution public.als_solution;
BEGIN
    solution := als_solve_row('{8}'::int[], '{1}', options);
    RETURN round(solution.factors[1]::numeric, 5);
END $$;
CREATE TABLE seen_at (step int, model text, in_a_loop numeric, expected numeric);
CREATE FUNCTION look(step int, model text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    fresh numeric;
BEGIN
    EXECUTE format('SELECT round((als_solve(8, 1, %L)).factors[1]::numeric, 5)', options(model, 'users')) INTO fresh;
    INSERT INTO seen_at VALUES (step, model, first_factor(options(model, 'users')), fresh);
END $$;
SELECT run FROM als_train('loop', 'ratings', factors => 2, regularization => 0.3, alpha => 2, iterations => 1),
    LATERAL als_train('rated', 'ratings', feedback => 'explicit', factors => 2, regularization => 0.3, iterations => 1) r (run2);
DO $$
BEGIN
    FOR step IN 1 .. 6 LOOP
        IF step = 2 THEN
            UPDATE loop_items SET factors = '{3,0}' WHERE item_id = 8;
            UPDATE rated_items SET factors = '{3,0}', bias = 1 WHERE item_id = 8;
        ELSIF step = 3 THEN
            BEGIN
                UPDATE loop_items SET factors = '{0.5,0}' WHERE item_id = 8;
                UPDATE rated_items SET factors = '{0.5,0}', bias = 1 WHERE item_id = 8;
                PERFORM look(-step, 'loop'), look(-step, 'rated');
                RAISE EXCEPTION 'rolled back';
            EXCEPTION WHEN raise_exception THEN
                NULL;
            END;
        ELSIF step = 4 THEN
            PERFORM als_train('loop', 'ratings', factors => 3, regularization => 0.3, alpha => 2, iterations => 1);
            PERFORM als_train('rated', 'ratings', feedback => 'explicit', factors => 3, regularization => 0.3, iterations => 1);
        ELSIF step = 5 THEN
            DROP TABLE loop, loop_users, loop_items;
            PERFORM als_train('loop', 'ratings', factors => 2, regularization => 30, alpha => 2, iterations => 1);
        END IF;
        PERFORM look(step, 'loop'), look(step, 'rated');
    END LOOP;
END $$;
SELECT model, count(*), bool_and(in_a_loop = expected) AS current, count(DISTINCT in_a_loop) AS versions FROM seen_at GROUP BY model ORDER BY model;

-- an explicit row is solved against copies of what it has rated, not of all items, which are 2.5 MB
SELECT items FROM als_train('broad', 'SELECT i % 3 AS user_id, i AS item_id, i % 5 AS rating FROM generate_series(1, 20000) i', feedback => 'explicit', factors => 30, iterations => 1);
SELECT als_solve_row('{1}'::int[], '{1}', options('broad', 'users')) IS NOT NULL AS solved;
CREATE FUNCTION grows_by() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    solving CURSOR FOR SELECT als_solve_row(ARRAY[i], '{1}', options('broad', 'users')) IS NOT NULL FROM generate_series(1, 3) i;
    solved boolean;
    before bigint;
BEGIN
    OPEN solving;
    SELECT sum(total_bytes) INTO before FROM pg_backend_memory_contexts;
    FETCH solving INTO solved;
    RETURN sum(total_bytes) - before FROM pg_backend_memory_contexts;
END $$;
SELECT bytes BETWEEN 1 AND 1500000 AS by_little FROM grows_by() bytes;

-- what it refuses
SELECT als_solve_row(most_common_vals, '{1}', options('implicit', 'users')) FROM pg_stats WHERE false;
ANALYZE ratings;
SELECT code, message, detail, hint FROM try($$SELECT als_solve_row(most_common_vals, '{1}', options('implicit', 'users')) FROM pg_stats WHERE schemaname = 'solve' AND attname = 'item_id' LIMIT 1$$);
SELECT code, message, detail, hint FROM (VALUES
    ($$SELECT als_solve(item_id, rating, NULL) FROM ratings$$),
    ($$SELECT als_solve(item_id, rating, '[]') FROM ratings$$),
    ($$SELECT als_solve(item_id, rating, '"x"') FROM ratings$$),
    ($$SELECT als_solve(item_id, rating, '{"model": 5, "side": "users"}') FROM ratings$$),
    ($$SELECT als_solve(item_id, rating, '{"model": "solve.implicit"}') FROM ratings$$),
    ($$SELECT als_solve(item_id, rating, '{"model": "solve.implicit", "side": "x"}') FROM ratings$$),
    ($$SELECT als_solve(item_id, rating, '{"model": "solve.nowhere", "side": "users"}') FROM ratings$$),
    ($$SELECT als_solve(item_id, rating, '{"model": "solve.ratings", "side": "users"}') FROM ratings$$),
    ($$SELECT als_solve(item_id, rating, options(CASE WHEN item_id = 3 THEN 'text' ELSE 'implicit' END, 'users')) FROM ratings$$),
    ($$SELECT als_solve(now(), rating, options('implicit', 'users')) FROM ratings$$),
    ($$SELECT als_solve(NULL::int, rating, options('implicit', 'users')) FROM ratings$$),
    ($$SELECT als_solve(item_id, NULL, options('implicit', 'users')) FROM ratings$$),
    ($$SELECT als_solve(item_id, 'NaN', options('implicit', 'users')) FROM ratings WHERE item_id = 8$$),
    ($$SELECT als_solve(item_id, 1e300, options('implicit', 'users')) FROM ratings WHERE item_id = 8$$),
    ($$SELECT als_solve(item_id, 3e38, options('implicit', 'users')) FROM ratings, generate_series(1, 2) WHERE item_id = 8$$),
    ($$SELECT als_solve(item_id, rating, options('implicit', 'users')) OVER () FROM ratings$$),
    ($$SELECT als_solve_row('{8}'::int[], '{1}', NULL)$$),
    ($$SELECT als_solve_row('{8}'::int[], '{1}', '{"model": "solve.implicit", "side": "x"}')$$),
    ($$SELECT als_solve_row('{8,9}'::int[], '{1}', options('implicit', 'users'))$$),
    ($$SELECT als_solve_row('{{8,9}}'::int[], '{{1,2}}', options('implicit', 'users'))$$),
    ($$SELECT als_solve_row('{8,NULL}'::int[], '{1,2}', options('implicit', 'users'))$$),
    ($$SELECT als_solve_row('{8,9}'::int[], '{1,NULL}', options('implicit', 'users'))$$),
    ($$SELECT als_solve_row('{8,9}'::int[], '{1,NaN}', options('implicit', 'users'))$$),
    ($$SELECT als_solve_row('{8,9}'::int[], '{-Infinity,1}', options('implicit', 'users'))$$),
    ($$SELECT als_solve_row(ARRAY[now()], '{1}', options('implicit', 'users'))$$),
    ($$SELECT als_pack_factors('{1,NULL}'::real[])$$),
    ($$SELECT als_unpack_factors('\x0000', 1)$$),
    ($$SELECT als_unpack_factors('\x00000000', 0)$$),
    ($$SELECT als_unpack_factors('\x00000000', 2)$$),
    ($$SELECT als_unpack_factors('\x00000000', 2147483647)$$)) v(statement),
    LATERAL try(statement);
SET als.cache_size = '64kB';
SELECT t.* FROM als_train('wide', 'SELECT user_id, item_id, rating FROM solve.ratings', factors => 512, iterations => 1) w,
    LATERAL try(CASE WHEN run = 1 THEN $$SELECT als_solve(item_id, rating, options('wide', 'users')) FROM ratings$$ END) t;
RESET als.cache_size;
UPDATE implicit SET regularization = 0;
DELETE FROM implicit_items WHERE item_id > 5;
SELECT * FROM try($$SELECT als_solve(item_id, rating, options('implicit', 'users')) FROM ratings$$);
UPDATE implicit SET regularization = NULL;
SELECT * FROM try($$SELECT als_solve(item_id, rating, options('implicit', 'users')) FROM ratings$$);

-- factors to start from: those of an id, whatever its integer type
SELECT als_starting_factors(5, 3), als_starting_factors(5::smallint, 3) = als_starting_factors(5::bigint, 3, 42) AS same,
       als_starting_factors(5, 3, 43) <> als_starting_factors(5, 3) AS by_seed, als_starting_factors(NULL::int, 3) IS NULL AS strict;
SELECT round(avg(f)::numeric, 2) AS mean, round(stddev(f)::numeric, 2) AS deviation
FROM generate_series(1, 10000) i, unnest(als_starting_factors('item ' || i, 8)) f;
SELECT code, message, hint FROM (VALUES ('SELECT als_starting_factors(5, 0)'), ('SELECT als_starting_factors(5, 1025)'),
    ('SELECT als_starting_factors(point(1, 1), 5)')) v(statement), LATERAL try(statement);
DROP SCHEMA solve CASCADE;
