-- Weights of what is solved by oneself: als_fold_in, als_solve and als_solve_row with them
-- are what a training with weight_column does, and the closed form in SQL.
SET client_min_messages = warning;
CREATE SCHEMA solve_weights;
SET search_path = solve_weights, public;
\i test/include/errors.sql
\i test/include/algebra.sql

-- weights of 0, ratings of 0 and below, pairs that are there twice
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, (((u * 31 + i * 17) % 11 - 2) / 2.0)::real AS rating, ((u * 13 + i * 7) % 9 / 4.0)::real AS sure
    FROM generate_series(1, 40) u, generate_series(1, 30) i
    WHERE (u * 7919 + i * 104729 + u * i * 13) % 97 < 35;
INSERT INTO ratings SELECT user_id, item_id, 1, 0.75 FROM ratings WHERE (user_id + item_id) % 7 = 0;
CREATE VIEW text_ratings AS SELECT 'u''' || user_id AS user_id, 'i ' || item_id AS item_id, rating, sure FROM ratings;
CREATE TABLE models (model text, source text, feedback text, scaling float8, nonnegative boolean);
INSERT INTO models VALUES ('implicit', 'ratings', 'implicit', 0, false), ('implicit_scaled', 'ratings', 'implicit', 0.5, false),
    ('implicit_text', 'text_ratings', 'implicit', 0, false), ('implicit_nonnegative', 'ratings', 'implicit', 0, true),
    ('explicit', 'ratings', 'explicit', 0, false), ('explicit_scaled', 'ratings', 'explicit', 1, false),
    ('explicit_text', 'text_ratings', 'explicit', 0.5, false), ('explicit_nonnegative', 'ratings', 'explicit', 1, true);
SELECT count(run) FROM models, als_train(model, source, feedback => feedback, regularization => 0.3, regularization_scaling => scaling, alpha => 2,
                                         factors => 5, iterations => 4, solver => 'cholesky', nonnegative => nonnegative, weight_column => 'sure');
CREATE FUNCTION options(model text, side text) RETURNS jsonb LANGUAGE sql IMMUTABLE
AS $$ SELECT jsonb_build_object('model', 'solve_weights.' || model, 'side', side) $$;

-- The items are what a training solves last, against its users: als_solve finds the same, and
-- with the users' regularization the same loss.
CREATE FUNCTION compare(model text) RETURNS TABLE (items bigint, all_items boolean, same boolean, same_loss boolean, ratings boolean)
LANGUAGE plpgsql AS $$
DECLARE
    run record;
    source text;
    explicit boolean;
BEGIN
    EXECUTE format('SELECT * FROM %I', model) INTO run;
    source := run.source;
    explicit := run.feedback = 'explicit';
    RETURN QUERY EXECUTE format($q$
        WITH solved AS (SELECT item_id, als_solve(user_id, rating, sure, %L) AS s FROM %s GROUP BY item_id),
        users AS (SELECT u.user_id, dot(f, f) * CASE WHEN $1 THEN v ^ $2 ELSE ($3 + $4 * n) ^ $2 END AS size
                  FROM (SELECT user_id, factors::float8[] %s AS f FROM %I) u
                  JOIN (SELECT user_id, count(DISTINCT item_id) AS n, sum(sure) AS v FROM %s GROUP BY 1) r USING (user_id))
        SELECT count(*), count(*) = (SELECT count(*) FROM %I), bool_and((distance((s).factors, i.factors %s) < 1e-5) IS TRUE),
               abs((sum((s).loss) + $5 * (SELECT sum(size) FROM users)) / $6 - 1) < 1e-6, sum((s).ratings) = $7
        FROM solved JOIN %I i USING (item_id)$q$,
        options(model, 'items'), source, CASE WHEN explicit THEN '|| bias::float8' END, model || '_users', source, model || '_items', CASE WHEN explicit THEN '|| bias' END, model || '_items')
    USING explicit, run.regularization_scaling, run.items::float8, run.alpha, run.regularization, run.loss, run.ratings;
END $$;
SELECT m.model, c.* FROM models m, compare(model) c ORDER BY model COLLATE "C";
-- with what else makes a weight written out as the reference has it
CREATE VIEW events AS SELECT *, (ARRAY['glance', 'visit', 'stay'])[1 + (user_id * 5 + item_id * 3) % 3] AS event,
    timestamptz '2024-06-01 12:00+00' - (user_id * 37 + item_id * 101) % 400 * interval '7 hours' AS happened FROM ratings;
SELECT run > 0 AS trained FROM als_train('fading', 'events', feedback => 'explicit', regularization => 0.3, factors => 5, iterations => 4, solver => 'cholesky', weight_column => 'sure',
    event_column => 'event', event_weights => '{"glance": 0, "visit": 1, "stay": 2.5}', time_column => 'happened', half_life => '10 days', reference_time => '2024-06-10 00:00+00');
SELECT count(*), bool_and((distance((s).factors, i.factors || bias) < 1e-5) IS TRUE) AS same
FROM (SELECT item_id, als_solve(user_id, rating, sure * CASE event WHEN 'glance' THEN 0 WHEN 'visit' THEN 1 WHEN 'stay' THEN 2.5 END
          * 2 ^ (extract(epoch FROM happened - timestamptz '2024-06-10 00:00+00') / 864000)::float8, options('fading', 'items')) AS s FROM events GROUP BY item_id) t
    JOIN fading_items i USING (item_id);

-- The closed form: the normal equations of a row with ratings and weights of these ids, as text,
-- of the other side, in double precision, by the words of the reference.
CREATE FUNCTION closed_form(model text, other text, ids text[], ratings float8[], weights float8[]) RETURNS float8[] LANGUAGE plpgsql AS $$
DECLARE
    run record;
    explicit bool;
    n int;
    s float8;
    a float8[];
    b float8[];
BEGIN
    EXECUTE format('SELECT * FROM %I ORDER BY run DESC LIMIT 1', model) INTO run;
    explicit := run.feedback = 'explicit';
    EXECUTE format('CREATE TEMP TABLE f ON COMMIT DROP AS SELECT %I::text AS id, factors::float8[] AS f, %s AS bias FROM %I',
        CASE other WHEN 'items' THEN 'item_id' ELSE 'user_id' END, CASE WHEN explicit THEN 'bias::float8' ELSE '0::float8' END, model || '_' || other);
    -- c weighs (r - x f)^2 for the r of the row: v and the rating, or alpha w and p
    CREATE TEMP TABLE r ON COMMIT DROP AS
        SELECT f.id, CASE WHEN explicit THEN f || 1::float8 ELSE f END AS f, c.*
        FROM (SELECT id, sum(rating * weight) / nullif(sum(weight), 0) AS mean, sum(weight) AS weight, sum(CASE WHEN rating > 0 THEN weight ELSE -weight END) AS signed
              FROM unnest(ids, coalesce(ratings, array_fill(1::float8, ARRAY[cardinality(ids)])), weights) t(id, rating, weight) GROUP BY id) t
        JOIN f USING (id),
        LATERAL (SELECT CASE WHEN explicit THEN t.weight ELSE run.alpha * abs(signed) END AS c,
                        CASE WHEN explicit THEN t.weight * (mean - run.mean_rating - f.bias) WHEN signed > 0 THEN 1 + run.alpha * signed ELSE 0 END AS t) c
        WHERE NOT explicit OR t.weight > 0;
    n := run.factors + explicit::int;
    SELECT CASE WHEN explicit THEN sum(c) ^ run.regularization_scaling ELSE ((SELECT count(*) FROM f) + run.alpha * count(*)) ^ run.regularization_scaling END INTO s FROM r;
    SELECT array_agg(line ORDER BY i) INTO a FROM (
        SELECT i, array_agg(v ORDER BY j) AS line FROM (
            SELECT i, j, (SELECT sum(c * f[i] * f[j]) FROM r) + CASE WHEN explicit THEN 0 ELSE (SELECT sum(f[i] * f[j]) FROM f) END
                   + CASE WHEN i = j THEN run.regularization * s ELSE 0 END AS v
            FROM generate_series(1, n) i, generate_series(1, n) j) t
        GROUP BY i) t;
    SELECT array_agg((SELECT sum(t * f[i]) FROM r) ORDER BY i) INTO b FROM generate_series(1, n) i;
    DROP TABLE f, r;
    RETURN solve(a, b);
END $$;
CREATE TABLE baskets (name text, items int[], ratings float8[], weights float8[]);
INSERT INTO baskets VALUES ('one', '{7}', '{3}', '{2.5}'), ('no ratings', '{7,1,30}', NULL, '{0.5,2,1}'), ('rated', '{7,1,30}', '{2.5,0.5,4}', '{1,10,0.125}'),
    ('signs', '{7,1,30,4}', '{-2,0,3,-0.25}', '{1,2,3,4}'), ('duplicates', '{7,1,7,30,7}', '{1,2,4,3,-1}', '{1,2,0.5,3,0.25}'), ('weighs nothing', '{7,1,30}', '{1,2,3}', '{0,2,0}'),
    ('unknown', '{7,999,30,-1}', '{1,2,3,4}', '{4,3,2,1}'), ('null item', '{7,NULL,30}', '{1,2,3}', '{3,2,1}'), ('large', '{7,1,30}', '{5,1,3}', '{1e6,1,1e-6}'),
    ('all', ARRAY(SELECT generate_series(1, 30)), ARRAY(SELECT i % 5 FROM generate_series(1, 30) i), ARRAY(SELECT i % 7 FROM generate_series(1, 30) i));
CREATE FUNCTION aggregated(model text, other text, ids int[], ratings float8[], weights float8[]) RETURNS real[] LANGUAGE sql AS $$
    SELECT (als_solve(id, coalesce(rating, 1), weight, options(model, CASE other WHEN 'items' THEN 'users' ELSE 'items' END))).factors
    FROM unnest(ids, ratings, weights) t(id, rating, weight) WHERE id IS NOT NULL
$$;
CREATE TABLE calls AS
    SELECT name, model, als_fold_in(model, items, ratings, weights) AS folded, closed_form(model, 'items', items::text[], ratings, weights) AS closed,
           aggregated(model, 'items', items, ratings, weights) AS solved,
           als_solve_row(array_remove(items, NULL), (SELECT array_agg(coalesce(rating, 1)::real ORDER BY n) FROM unnest(items, ratings) WITH ORDINALITY t(item, rating, n) WHERE item IS NOT NULL),
                         (SELECT array_agg(weight::real ORDER BY n) FROM unnest(items, weights) WITH ORDINALITY t(item, weight, n) WHERE item IS NOT NULL), options(model, 'users')) AS row
    FROM baskets, models WHERE NOT nonnegative AND source = 'ratings';
SELECT name, count(*), bool_and((distance(folded, closed) < 1e-5) IS TRUE) AS folded, bool_and((distance(solved, closed) < 1e-4) IS TRUE) AS solved, bool_and((row).factors = solved) AS row
FROM calls GROUP BY name ORDER BY name COLLATE "C";
SELECT model, bool_and((distance(als_fold_in(model, ids, ratings, weights), closed_form(model, 'items', ids, ratings, weights)) < 1e-5) IS TRUE) AS folded,
       bool_and(distance((als_solve_row(ids, ratings::real[], weights::real[], options(model, 'users'))).factors, closed_form(model, 'items', ids, ratings, weights)) < 1e-4) AS row
FROM models, baskets, LATERAL (SELECT array_agg('i ' || item) AS ids FROM unnest(items) item) t
WHERE source = 'text_ratings' AND name IN ('rated', 'signs', 'duplicates', 'weighs nothing', 'unknown', 'all') GROUP BY model ORDER BY model COLLATE "C";
SELECT model, min(f) >= 0 AS nonnegative, distance((als_solve_row(items, ratings::real[], weights::real[], options(model, 'users'))).factors, als_fold_in(model, items, ratings, weights)) < 1e-4 AS same
FROM models, baskets, unnest((als_fold_in(model, items, ratings, weights))[1:5]) f WHERE nonnegative AND name = 'rated' GROUP BY model, items, ratings, weights ORDER BY model COLLATE "C";
-- of an item, against users; of a model that was trained without weights
SELECT run > 0 AS trained FROM als_train('unweighted', 'ratings', feedback => 'explicit', regularization => 0.3, regularization_scaling => 1, factors => 5, iterations => 4);
SELECT model, distance(aggregated(model, 'users', users, ratings, weights), closed_form(model, 'users', users::text[], ratings, weights)) < 1e-4 AS exact
FROM unnest(ARRAY['implicit', 'explicit', 'unweighted']) model, (SELECT array_agg(user_id) AS users, array_agg(rating::float8) AS ratings, array_agg(sure::float8) AS weights FROM ratings WHERE item_id = 5) t;
SELECT bool_and((distance(als_fold_in('unweighted', items, ratings, weights), closed_form('unweighted', 'items', items::text[], ratings, weights)) < 1e-5) IS TRUE) AS exact FROM baskets;

-- What weights mean, to the bit.  Explicit: 1 is none, 2 is the row twice, 0 is not there; of several, the mean by weight, and the sum.
CREATE FUNCTION solved(model text, items int[], ratings float8[], weights float8[]) RETURNS text LANGUAGE sql AS
$$ SELECT als_fold_in(model, items, ratings, weights)::text || als_solve_row(items, ratings::real[], weights::real[], options(model, 'users')) $$;
SELECT solved('explicit_scaled', '{7,1,30}', '{2,3,4}', '{1,1,1}') = als_fold_in('explicit_scaled', '{7,1,30}'::int[], '{2,3,4}')::text || als_solve_row('{7,1,30}'::int[], '{2,3,4}', options('explicit_scaled', 'users')) AS ones,
       solved('explicit_scaled', '{7,1,1}', '{2,3,3}', '{1,1,1}') = solved('explicit_scaled', '{7,1}', '{2,3}', '{1,2}') AS twice,
       solved('explicit_scaled', '{7,1,1}', '{2,1,5}', '{1,3,1}') = solved('explicit_scaled', '{1,7}', '{2,2}', '{4,1}') AS mean,
       solved('explicit_scaled', '{7,1,30}', '{2,3,4}', '{1,0,1}') = solved('explicit_scaled', '{7,30}', '{2,4}', '{1,1}') AS nothing;
-- Implicit: the rating says whether the item is liked, the weight how sure that is; several of a pair add up.
SELECT solved('implicit_scaled', '{7,1,30,4}', '{0.25,3,0,-2}', '{3,0.5,2,4}') = als_fold_in('implicit_scaled', '{7,1,30,4}'::int[], '{3,0.5,-2,-4}')::text || als_solve_row('{7,1,30,4}'::int[], '{3,0.5,-2,-4}', options('implicit_scaled', 'users')) AS signs,
       solved('implicit_scaled', '{7,1,1}', '{1,1,-1}', '{1,3,1}') = solved('implicit_scaled', '{1,7}', '{1,1}', '{2,1}') AS add_up,
       solved('implicit_scaled', '{7,1}', '{1,1}', '{1,0}') = als_fold_in('implicit_scaled', '{7,1}'::int[], '{1,0}')::text || als_solve_row('{7,1}'::int[], '{1,0}', options('implicit_scaled', 'users')) AS zero;
-- neither the order nor the type of ids shows
SELECT model, solved(model, '{7,1,30,1}', '{2,3,4,1}', '{1,0.5,2,3}') = solved(model, '{1,30,1,7}', '{1,4,3,2}', '{3,2,0.5,1}') AS order,
       als_solve_row('{7,1}'::numeric[], '{2,3}', '{1,0.5}', options(model, 'users')) = als_solve_row('{7,1}'::bigint[], '{2,3}', '{1,0.5}', options(model, 'users')) AS types
FROM unnest(ARRAY['implicit', 'explicit']) model;
-- null weights are none; nobody
SELECT als_fold_in(model, ARRAY[7, 1], ARRAY[2, 3], NULL) = als_fold_in(model, ARRAY[7, 1], ARRAY[2, 3]) AS no_weights, als_fold_in(model, ARRAY[7, 1], NULL, NULL) = als_fold_in(model, ARRAY[7, 1]) AS nor_ratings,
       als_fold_in(NULL, ARRAY[7], '{1}', '{1}') AS no_model, als_fold_in(model, NULL::int[], '{1}', '{1}') AS no_items, als_fold_in(model, '{}'::int[], '{}', '{}') AS empty, als_fold_in(model, '{999}'::int[], '{1}', '{1}') AS unknown,
       als_solve_row('{7}'::int[], '{1}', NULL, options(model, 'users')) AS null_row, als_solve_row('{}'::int[], '{}', '{}', options(model, 'users')) AS empty_row
FROM unnest(ARRAY['implicit', 'explicit']) model;
SELECT als_fold_in('explicit', ARRAY[7, 1], ARRAY[2, 3], ARRAY[0, 0]) AS weighs_nothing, als_solve_row(ARRAY[7, 1], '{2,3}', '{0,0}', options('explicit', 'users')) AS row,
       (SELECT als_solve(i, 2, 0, options('explicit', 'users')) FROM unnest(ARRAY[7, 1]) i) AS aggregate;
SELECT als_solve(item_id, rating, sure, options('explicit', 'users')) FROM ratings WHERE false;
-- a row of many, and after it one of few: what is kept from row to row
SELECT bool_and(als_solve_row(items, ratings, weights, options('explicit', 'users')) = s) AS same
FROM (SELECT user_id, array_agg(item_id) AS items, array_agg(rating) AS ratings, array_agg(sure) AS weights, als_solve(item_id, rating, sure, options('explicit', 'users')) AS s
      FROM ratings WHERE user_id % 2 = 0 OR item_id < 5 GROUP BY user_id) t;

-- calls without types, by name, and of other types
PREPARE untyped AS SELECT als_fold_in('implicit', $1, $2, $3) = als_fold_in('implicit', ARRAY[7, 1], ARRAY[2, 3], ARRAY[1, 0.5]) AS same;
SELECT parameter_types FROM pg_prepared_statements WHERE name = 'untyped';
EXECUTE untyped('{7,1}', '{2,3}', '{1,0.5}');
EXECUTE untyped('{7,1}', NULL, NULL);
PREPARE untyped_row AS SELECT als_solve(item_id, $1, $2, $3) = als_solve(item_id, 3, 0.5, options('explicit', 'users')) AS same FROM ratings WHERE user_id = 1;
SELECT parameter_types FROM pg_prepared_statements WHERE name = 'untyped_row';
EXECUTE untyped_row('3', '0.5', '{"model": "solve_weights.explicit", "side": "users"}');
SELECT als_fold_in('implicit', '{7,1}', '{2,3}', '{1,0.5}') = f AS literals, als_fold_in('implicit', '{7,1}', ratings => '{2,3}', weights => '{1,0.5}') = f AS named,
       als_fold_in(weights => ARRAY[1, 0.5], ratings => ARRAY[2, 3]::smallint[], items => ARRAY[7, 1]::bigint[], model => 'implicit') = f AS backwards,
       als_fold_in('implicit', '{7,1}'::varchar, '{2,3}', '{1,0.5}'::real[]) = f AS varchar, als_fold_in('implicit', '{7,1}', NULL, '{1,1}') = als_fold_in('implicit', '{7,1}', '{1,1}') AS null_ratings,
       als_fold_in('implicit', '{7,1}', NULL) = als_fold_in('implicit', '{7,1}') AS of_three
FROM als_fold_in('implicit', ARRAY[7, 1], ARRAY[2, 3]::float8[], ARRAY[1, 0.5]::float8[]) f;
SELECT als_solve_row(ARRAY[7, 1], '{2,3}', '{1,0.5}', '{"model": "solve_weights.implicit", "side": "users"}') = als_solve_row(other_ids => ARRAY[7, 1], ratings => '{2,3}', weights => '{1,0.5}', options => options('implicit', 'users')) AS literals,
       (SELECT als_solve(i, '1', '2', '{"model": "solve_weights.implicit", "side": "users"}') FROM unnest(ARRAY[7, 1]) i) = als_solve_row(ARRAY[7, 1], '{1,1}', '{2,2}', options('implicit', 'users')) AS aggregate,
       (SELECT als_solve(i, 1::smallint, 2::numeric, options('implicit', 'users')) FROM unnest(ARRAY[7, 1]) i) = als_solve_row(ARRAY[7, 1], '{1,1}', '{2,2}', options('implicit', 'users')) AS numbers,
       (SELECT als_solve(i, 2, '{"model": "solve_weights.implicit", "side": "users"}') FROM unnest(ARRAY[7, 1]) i) = als_solve_row(ARRAY[7, 1], '{2,2}', '{"model": "solve_weights.implicit", "side": "users"}') AS of_three;

-- what they share with those without weights
SELECT p.proname, array_agg(DISTINCT (provolatile, proparallel, procost, proisstrict, proacl)::text) AS promises FROM pg_depend d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
WHERE d.deptype = 'e' AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'als') AND proname IN ('als_fold_in', 'als_solve', 'als_solve_row', 'als_solve_transfn') GROUP BY 1 ORDER BY proname COLLATE "C";

-- what they refuse
SELECT statement, t.* FROM unnest(ARRAY[
    $$SELECT als_fold_in('implicit', ARRAY[1, 2], NULL, ARRAY[1])$$,
    $$SELECT als_fold_in('implicit', ARRAY[1, 2], ARRAY[1], ARRAY[1, 1])$$,
    $$SELECT als_fold_in('implicit', ARRAY[1, 2], NULL, '{}')$$,
    $$SELECT als_fold_in('implicit', ARRAY[1, 2], NULL, '{{1,1}}')$$,
    $$SELECT als_fold_in('implicit', ARRAY[1, 2], NULL, ARRAY[1, NULL])$$,
    $$SELECT als_fold_in('implicit', ARRAY[1, 2], NULL, ARRAY[1, 'nan'::float8])$$,
    $$SELECT als_fold_in('explicit', ARRAY[1, 2], NULL, ARRAY[-0.5, 1])$$,
    $$SELECT als_fold_in('explicit', ARRAY[1, 2], NULL, ARRAY['infinity'::float8, 1])$$,
    $$SELECT als_fold_in('explicit', ARRAY[1, NULL], NULL, ARRAY[1, 1e39])$$,
    $$SELECT als_fold_in('explicit', ARRAY[1, 999], NULL, ARRAY[1, 1e-50])$$,
    $$SELECT als_fold_in('explicit', ARRAY[1, 1], NULL, ARRAY[3e38, 3e38])$$,
    $$SELECT als_fold_in('implicit', ARRAY[1, 1], NULL, ARRAY[3e38, 3e38])$$,
    $$SELECT als_fold_in('implicit', 3, NULL, '{1}')$$,
    $$SELECT als_solve(item_id, rating, NULL, options('implicit', 'users')) FROM ratings$$,
    $$SELECT als_solve(item_id, NULL, sure, options('implicit', 'users')) FROM ratings$$,
    $$SELECT als_solve(item_id, rating, sure, NULL) FROM ratings$$,
    $$SELECT als_solve(8, 1, 'NaN', options('implicit', 'users'))$$,
    $$SELECT als_solve(8, 1, -1, options('explicit', 'users'))$$,
    $$SELECT als_solve(8, 1, '-infinity', options('implicit', 'users'))$$,
    $$SELECT als_solve(999, 1, 'infinity', options('explicit', 'users'))$$,
    $$SELECT als_solve('i 8'::text, 1, 1e39, options('explicit_text', 'users'))$$,
    $$SELECT als_solve(8, 1, 1e-50, options('implicit', 'users'))$$,
    $$SELECT als_solve(8, 'NaN', -1, options('implicit', 'users'))$$,
    $$SELECT als_solve(8, 1, 3e38, options('explicit', 'users')) FROM generate_series(1, 2)$$,
    $$SELECT als_solve_row('{8,9}'::int[], '{1,1}', '{1}', options('implicit', 'users'))$$,
    $$SELECT als_solve_row('{8,9}'::int[], '{1,1}', '{{1,1}}', options('implicit', 'users'))$$,
    $$SELECT als_solve_row('{8,9}'::int[], '{1,1}', '{1,NULL}', options('implicit', 'users'))$$,
    $$SELECT als_solve_row('{8,9}'::int[], '{1,1}', '{1,NaN}', options('implicit', 'users'))$$,
    $$SELECT als_solve_row('{8,9}'::int[], '{1,1}', '{-1,1}', options('explicit', 'users'))$$,
    $$SELECT als_solve_row('{8,9}'::int[], '{1,1}', '{Infinity,1}', options('explicit', 'users'))$$,
    $$SELECT als_solve_row('{i 8,i 9}'::text[], '{1,1}', '{1,-1}', options('explicit_text', 'users'))$$,
    $$SELECT als_solve_row('{8,9}'::int[], '{1,1}', '{1,1}', NULL)$$]) statement, try(statement) t;
-- what else PostgreSQL says of these is not the same in all its versions
SELECT statement, code, message FROM unnest(ARRAY[
    $$SELECT als_fold_in('implicit', ARRAY[1, 2], weights => '{1,1}')$$,
    $$SELECT als_solve(8, 1, options('implicit', 'users'), 1)$$]) statement, try(statement);

SET client_min_messages = error;
DROP SCHEMA solve_weights CASCADE;
