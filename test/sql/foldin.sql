-- New and changed users without retraining: als_fold_in, als_recommend for
-- unknown users, als_recommend_for, als_refresh_user and als_refresh_item.
SET client_min_messages = warning;
CREATE SCHEMA foldin;
SET search_path = foldin, public;

-- 40 users, 30 items; some ratings are zero or negative, some pairs are there
-- twice
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, ((u * 31 + i * 17) % 11 - 2)::real / 2 AS rating
    FROM generate_series(1, 40) u, generate_series(1, 30) i
    WHERE (u * 7919 + i * 104729 + u * i * 13) % 97 < 25;
INSERT INTO ratings SELECT user_id, item_id, 1 FROM ratings WHERE (user_id + item_id) % 7 = 0;
CREATE VIEW text_ratings AS SELECT 'u''' || user_id AS user_id, 'i ' || item_id AS item_id, rating FROM ratings;
CREATE VIEW uuid_ratings AS SELECT md5(user_id::text)::uuid AS user_id, md5(item_id::text)::uuid AS item_id, rating FROM ratings;
SELECT model, users, items
FROM (VALUES ('implicit', 'ratings', 'implicit', 5), ('explicit', 'ratings', 'explicit', 5),
             ('text', 'text_ratings', 'implicit', 16), ('uuid', 'uuid_ratings', 'explicit', 16)) v(model, source, feedback, factors),
     als_train(model, source, feedback => feedback, factors => factors, regularization => 0.3, alpha => 2, iterations => 4);

\i test/include/algebra.sql

-- The factors, and the bias behind them, of a row with ratings of these ids,
-- as text, of the other side ("items" of a user): normal equations in double
-- precision, as in the reference.
CREATE FUNCTION closed_form(model text, other text, ids text[], ratings float8[] DEFAULT NULL)
RETURNS float8[] LANGUAGE plpgsql AS $$
DECLARE
    run record;
    explicit bool;
    n int;
    a float8[];
    b float8[];
BEGIN
    EXECUTE format('SELECT * FROM %I ORDER BY run DESC LIMIT 1', model) INTO run;
    explicit := run.feedback = 'explicit';
    EXECUTE format('CREATE TEMP TABLE f ON COMMIT DROP AS SELECT %I::text AS id, factors::float8[] AS f, %s AS bias FROM %I',
        CASE other WHEN 'items' THEN 'item_id' ELSE 'user_id' END,
        CASE WHEN explicit THEN 'bias::float8' ELSE '0::float8' END, model || '_' || other);
    CREATE TEMP TABLE r ON COMMIT DROP AS
        SELECT f.id, CASE WHEN explicit THEN f || 1::float8 ELSE f END AS f, bias,
               CASE WHEN explicit THEN avg(rating) ELSE sum(rating) END AS rating
        FROM (SELECT unnest(ids) AS id, unnest(coalesce(ratings, array_fill(1::float8, ARRAY[cardinality(ids)]))) AS rating) t
        JOIN f USING (id) GROUP BY f.id, f, bias;
    n := run.factors + explicit::int;
    SELECT array_agg(line ORDER BY i) INTO a FROM (
        SELECT i, array_agg(v ORDER BY j) AS line FROM (
            SELECT i, j,
                   CASE WHEN explicit THEN (SELECT sum(f[i] * f[j]) FROM r)
                        ELSE (SELECT sum(f[i] * f[j]) FROM f) + (SELECT sum(run.alpha * abs(rating) * f[i] * f[j]) FROM r) END
                   + CASE WHEN i <> j THEN 0 WHEN explicit THEN run.regularization * (SELECT count(*) FROM r)
                          ELSE run.regularization END AS v
            FROM generate_series(1, n) i, generate_series(1, n) j) t
        GROUP BY i) t;
    SELECT array_agg((SELECT sum(f[i] * CASE WHEN explicit THEN rating - run.mean_rating - bias
                                             WHEN rating > 0 THEN 1 + run.alpha * rating ELSE 0 END) FROM r) ORDER BY i)
    INTO b FROM generate_series(1, n) i;
    DROP TABLE f, r;
    RETURN solve(a, b);
END $$;

-- as many factors as the model has, and the bias behind them
SELECT array_length(als_fold_in('implicit', ARRAY[1, 2]), 1) AS implicit,
       array_length(als_fold_in('explicit', ARRAY[1, 2]), 1) AS explicit,
       pg_typeof(als_fold_in('implicit', ARRAY[1, 2])) AS type;

-- the closed form: one item, many, ratings of all signs, duplicates, unknown
-- items, which count for nothing
CREATE TABLE baskets (name text, items int[], ratings float8[]);
INSERT INTO baskets VALUES
    ('one', '{7}', NULL), ('three', '{7,1,30}', NULL), ('rated', '{7,1,30}', '{2.5,0.5,4}'),
    ('signs', '{7,1,30,4}', '{-2,0,3,-0.25}'), ('duplicates', '{7,1,7,30,7}', '{1,2,4,3,-1}'),
    ('unknown', '{7,999,30,-1}', '{1,2,3,4}'), ('all', ARRAY(SELECT generate_series(1, 30)), NULL),
    ('null item', '{7,NULL,30}', '{1,2,3}');
SELECT name, model, distance(als_fold_in(model, items, ratings), closed_form(model, 'items', items::text[], ratings)) < 1e-4 AS exact
FROM baskets, unnest(ARRAY['implicit', 'explicit']) model ORDER BY name COLLATE "C", model COLLATE "C";
SELECT name, distance(als_fold_in('text', ids, ratings), closed_form('text', 'items', ids, ratings)) < 1e-4 AS text,
       distance(als_fold_in('uuid', uuids, ratings), closed_form('uuid', 'items', uuids::text[], ratings)) < 1e-4 AS uuid
FROM baskets, LATERAL (SELECT array_agg('i ' || item) AS ids, array_agg(md5(item::text)::uuid) AS uuids FROM unnest(items) item) t
ORDER BY name COLLATE "C";
-- neither the order nor the size of what is kept shows
SELECT als_fold_in('implicit', ARRAY[1, 7, 30], ARRAY[3, 1, 2]) = als_fold_in('implicit', ARRAY[30, 1, 7], ARRAY[2, 3, 1]) AS same;
SELECT als_fold_in('implicit', ARRAY[1, 7, 30]) AS kept INTO folded;
SET als.cache_size = '64kB';
SELECT kept = als_fold_in('implicit', ARRAY[1, 7, 30]) AS same FROM folded;
SELECT items FROM als_train('wide', 'SELECT item_id % 50 AS user_id, item_id, 1 AS rating FROM generate_series(1, 3000) item_id',
                            factors => 100, iterations => 1);
SELECT als_fold_in('wide', ARRAY[1, 2, 3]) AS read INTO wide_folded;
SELECT read = als_fold_in('wide', ARRAY[1, 2, 3]) AS same FROM wide_folded;
RESET als.cache_size;
SELECT read = als_fold_in('wide', ARRAY[1, 2, 3]) AS same FROM wide_folded;

-- literals and other types
SELECT als_fold_in('implicit', '{1,7}') = als_fold_in('implicit', ARRAY[1, 7]) AS literal,
       als_fold_in('implicit', ARRAY[1, 7]::bigint[]) = als_fold_in('implicit', ARRAY[1, 7]) AS bigint,
       als_fold_in('implicit', ARRAY[1, 70000000000]) = als_fold_in('implicit', ARRAY[1]) AS too_large,
       als_fold_in('text', '{i 1}') = als_fold_in('text', ARRAY['i 1'::varchar]) AS text,
       als_fold_in('uuid', ARRAY[md5('1')]) = als_fold_in('uuid', ARRAY[md5('1')::uuid]) AS uuid;
-- nobody
SELECT als_fold_in('implicit', '{}'::int[]) AS empty, als_fold_in('explicit', ARRAY[999]) AS unknown,
       als_fold_in('implicit', NULL::int[]) AS null_items, als_fold_in(NULL, ARRAY[1]) AS null_model,
       als_fold_in('implicit', ARRAY[NULL]::int[]) AS only_null;
-- what is kept follows the items
SELECT als_fold_in('implicit', ARRAY[1, 2]) AS before INTO unchanged;
UPDATE implicit_items SET factors = array_fill(1::real, ARRAY[5]) WHERE item_id = 29;
SELECT before = als_fold_in('implicit', ARRAY[1, 2]) AS same,
       distance(als_fold_in('implicit', ARRAY[1, 2]), closed_form('implicit', 'items', ARRAY[1, 2]::text[])) < 1e-4 AS exact FROM unchanged;
SELECT run FROM als_train('implicit', 'ratings', factors => 5, regularization => 0.3, alpha => 2, iterations => 4);
SELECT before = als_fold_in('implicit', ARRAY[1, 2]) AS same FROM unchanged;

--
-- als_recommend for users whom the model does not know
--
INSERT INTO ratings VALUES (100, 3, 2), (100, 9, 1), (100, 9, 3), (100, 777, 1), (100, 12, -1), (101, 777, 5);
SELECT als_predict('implicit', 100, 3), als_predict('explicit', 100, 3);
-- with their live ratings, in the order of scores
SELECT seen, count(*), bool_and(r.item_id NOT IN (3, 9, 12)) AS unseen, count(*) FILTER (WHERE r.item_id = 777) AS new,
       max(abs(r.score - dot(f.x, i.factors))) < 1e-5 AS exact,
       array_agg(r.item_id ORDER BY o) = array_agg(r.item_id ORDER BY r.score DESC, r.item_id) AS sorted
FROM unnest(ARRAY[true, false]) seen,
     LATERAL (SELECT *, row_number() OVER () AS o FROM als_recommend('implicit', 100, 100, exclude_seen => seen)) r
     JOIN implicit_items i USING (item_id),
     (SELECT closed_form('implicit', 'items', '{3,9,9,12}', '{2,1,3,-1}') AS x) f
GROUP BY seen ORDER BY seen;
SELECT seen, count(*), bool_and(r.item_id NOT IN (3, 9, 12)) AS unseen,
       max(abs(r.score - m.mean_rating - f.x[6] - i.bias - dot(f.x[1:5], i.factors))) < 1e-5 AS exact
FROM unnest(ARRAY[true, false]) seen,
     LATERAL als_recommend('explicit', 100, 100, exclude_seen => seen) r JOIN explicit_items i USING (item_id),
     (SELECT closed_form('explicit', 'items', '{3,9,9,12}', '{2,1,3,-1}') AS x) f, explicit m
GROUP BY seen ORDER BY seen;
SELECT count(*), max(abs(r.score - dot(f.x, i.factors))) < 1e-5 AS exact
FROM als_recommend_as(NULL::text, 'text', 'u''100', 100) r JOIN text_items i USING (item_id),
     (SELECT closed_form('text', 'items', '{i 3,i 9,i 9,i 12}', '{2,1,3,-1}') AS x) f;
SELECT count(*), bool_and(r.item_id NOT IN (md5('3')::uuid, md5('9')::uuid, md5('12')::uuid)) AS unseen
FROM als_recommend_as(NULL::uuid, 'uuid', md5('100')::uuid, 100) r;
SELECT count(*) FROM als_recommend('implicit', 100, 100, exclude => ARRAY[1, 2], candidates => ARRAY[1, 2, 3, 4]);
-- the next rating counts at once
SELECT item_id AS best FROM als_recommend('implicit', 100, 1) \gset
INSERT INTO ratings VALUES (100, :best, 1);
SELECT count(*) FROM als_recommend('implicit', 100, 100) WHERE item_id = :best;
-- a source without ratings: every row counts 1
SELECT users FROM als_train('counted', 'SELECT user_id, item_id FROM ratings WHERE user_id <> 100', rating_column => NULL, factors => 5, alpha => 40, regularization => 0.01);
SELECT count(*) FROM als_recommend('counted', 100, 100);
SELECT users FROM als_train('counted', 'SELECT user_id, item_id FROM ratings WHERE user_id <> 100 OR current_setting(''foldin.everybody'', true) = ''on''',
                            rating_column => NULL, factors => 5, alpha => 40, regularization => 0.01);
SET foldin.everybody = on;
SELECT count(*), max(abs(r.score - dot(f.x, i.factors))) < 1e-5 AS exact
FROM als_recommend('counted', 100, 100) r JOIN counted_items i USING (item_id),
     (SELECT closed_form('counted', 'items', array_agg(item_id::text)) AS x FROM ratings WHERE user_id = 100) f;
RESET foldin.everybody;

-- nothing known of them: 101 has an item that the model does not know, 102 has
-- nothing, one is null, one cannot be
SELECT count(*) FROM als_recommend('implicit', 101);
SELECT count(*) FROM als_recommend('implicit', 102, cold_start => 'none');
SELECT count(*) FROM als_recommend('implicit', NULL::int);
-- popular: by falling number of ratings
CREATE TABLE popular AS SELECT item_id::bigint, count(*) AS n FROM ratings WHERE item_id <= 30 GROUP BY 1;
SELECT who, array_agg((item_id, score)::text ORDER BY o) = (SELECT array_agg((item_id, n)::text ORDER BY n DESC, item_id) FROM popular) AS same
FROM unnest(ARRAY[101, 102, NULL, 8000000000]) who,
     LATERAL (SELECT *, row_number() OVER () AS o FROM als_recommend('implicit', who, 100, cold_start => 'popular')) r
GROUP BY who ORDER BY who;
SELECT array_agg(item_id ORDER BY o) = (SELECT array_agg(item_id ORDER BY n DESC, item_id) FROM (
           SELECT * FROM popular WHERE item_id BETWEEN 5 AND 20 AND item_id <> 10 ORDER BY n DESC, item_id LIMIT 4) p) AS same
FROM (SELECT *, row_number() OVER () AS o
      FROM als_recommend('explicit', 102, 4, candidates => ARRAY(SELECT generate_series(5, 20)) || 777, exclude => ARRAY[10], cold_start => 'popular')) r;
SELECT count(*) FROM als_recommend('implicit', 102, 0, cold_start => 'popular');
SELECT count(*) = 30 AS all FROM als_recommend_as(NULL::text, 'text', 'nobody', 100, cold_start => 'popular');
SET als.cache_size = '64kB';
SELECT count(*) = 30 AS all FROM als_recommend_as(NULL::text, 'text', 'nobody', 100, cold_start => 'popular');
RESET als.cache_size;
-- a known user is none of this
SELECT count(*) = count(*) FILTER (WHERE score < 2) AS scores FROM als_recommend('implicit', 1, cold_start => 'popular');

--
-- als_recommend_for: no user at all
--
SELECT name, model, count(r.*), coalesce(bool_and(r.score = s.score), true) AS exact, coalesce(bool_or(r.item_id = ANY (items)), false) AS given
FROM baskets, unnest(ARRAY['implicit', 'explicit']) model
LEFT JOIN LATERAL als_recommend_for(model, items, ratings, 100) r ON true
LEFT JOIN LATERAL als_recommend_for(model, items, ratings, 100, exclude_seen => false) s ON r.item_id = s.item_id
GROUP BY name, model ORDER BY name COLLATE "C", model COLLATE "C";
SELECT name, count(*), max(abs(r.score - dot(closed_form('implicit', 'items', items::text[], ratings), i.factors))) < 1e-5 AS exact
FROM baskets, als_recommend_for('implicit', items, ratings, 3, exclude_seen => false) r JOIN implicit_items i USING (item_id)
GROUP BY name ORDER BY name COLLATE "C";
-- the same as a user who has these
SELECT array_agg((item_id, score)::text) = (SELECT array_agg((item_id, score)::text) FROM als_recommend('implicit', 100, 7)) AS same
FROM (SELECT array_agg(item_id) AS items, array_agg(rating::float8) AS ratings FROM ratings WHERE user_id = 100) t,
     als_recommend_for('implicit', items, ratings, 7);
SELECT array_agg(item_id ORDER BY item_id) FROM als_recommend_for('implicit', ARRAY[1, 2], exclude => ARRAY[4], candidates => ARRAY[1, 2, 3, 4, 5]);
SELECT count(*), pg_typeof(min(item_id)) FROM als_recommend_for_as(NULL::text, 'text', ARRAY['i 1', 'i 2'], k => 4);
SELECT count(*) FROM als_recommend_for_as(NULL::uuid, 'uuid', ARRAY[md5('1')::uuid, md5('2')::uuid], ARRAY[5, 1]);
SELECT count(*) FROM als_recommend_for('implicit', '{1,2}', k => 2);
SELECT (SELECT count(*) FROM als_recommend_for('implicit', '{}'::int[])) AS empty, (SELECT count(*) FROM als_recommend_for('implicit', ARRAY[999])) AS unknown,
       (SELECT count(*) FROM als_recommend_for('implicit', NULL::int[])) AS null_items;

--
-- als_refresh_user and als_refresh_item
--
-- a new user, known after it: as folded in
SELECT als_refresh_user('implicit', 100), als_refresh_user('explicit', 100), als_refresh_user('text', 'u''100'), als_refresh_user('uuid', md5('100')::uuid);
SELECT distance(factors, closed_form('implicit', 'items', ids, ratings)) < 1e-4 AS implicit,
       (SELECT distance(factors || bias, closed_form('explicit', 'items', ids, ratings)) < 1e-4 FROM explicit_users WHERE user_id = 100) AS explicit
FROM implicit_users, (SELECT array_agg(item_id::text) AS ids, array_agg(rating::float8) AS ratings FROM ratings WHERE user_id = 100) t
WHERE user_id = 100;
SELECT als_predict('implicit', 100, 5) IS NOT NULL AS implicit, als_predict('explicit', 100, 5) IS NOT NULL AS explicit,
       als_predict('text', 'u''100', 'i 5') IS NOT NULL AS text, als_predict('uuid', md5('100'), md5('5')) IS NOT NULL AS uuid;
SELECT count(*) FROM text_users WHERE user_id = 'u''100';
-- a known one whose ratings have changed
INSERT INTO ratings VALUES (1, 30, 5), (1, 29, -2);
SELECT als_refresh_user('implicit', 1), als_refresh_user('explicit', 1);
SELECT count(*), bool_and(distance(factors, closed_form('implicit', 'items', ids, ratings)) < 1e-4) AS implicit
FROM implicit_users, (SELECT array_agg(item_id::text) AS ids, array_agg(rating::float8) AS ratings FROM ratings WHERE user_id = 1) t
WHERE user_id = 1;
SELECT count(*), bool_and(distance(factors || bias, closed_form('explicit', 'items', ids, ratings)) < 1e-4) AS explicit
FROM explicit_users, (SELECT array_agg(item_id::text) AS ids, array_agg(rating::float8) AS ratings FROM ratings WHERE user_id = 1) t
WHERE user_id = 1;
-- twice changes nothing
SELECT factors AS before INTO once FROM implicit_users WHERE user_id = 1;
SELECT als_refresh_user('implicit', 1);
SELECT factors = before AS same FROM implicit_users, once WHERE user_id = 1;
-- items likewise, against the users
SELECT als_refresh_item('implicit', 777), als_refresh_item('explicit', 777), als_refresh_item('explicit', 29);
SELECT bool_and(distance(factors, closed_form('implicit', 'users', ids, ratings)) < 1e-4) AS implicit
FROM implicit_items, (SELECT array_agg(user_id::text) AS ids, array_agg(rating::float8) AS ratings FROM ratings WHERE item_id = 777) t
WHERE item_id = 777;
SELECT item_id, distance(factors || bias, closed_form('explicit', 'users', ids, ratings)) < 1e-4 AS explicit
FROM explicit_items JOIN (SELECT item_id, array_agg(user_id::text) AS ids, array_agg(rating::float8) AS ratings
                          FROM ratings GROUP BY item_id) t USING (item_id)
WHERE item_id IN (29, 777) ORDER BY item_id;
SELECT als_predict('implicit', 100, 777) IS NOT NULL AS known, als_predict('explicit', 1, 777) IS NOT NULL AS known;
-- and folding in goes by the new items
SELECT distance(als_fold_in('implicit', ARRAY[1, 777]), closed_form('implicit', 'items', '{1,777}')) < 1e-4 AS exact;
-- user 101 has item 777 alone, which explicit has learned from 100 just now
SELECT als_refresh_user('implicit', 101), als_refresh_user('explicit', 101);
SELECT count(*) FROM als_recommend('explicit', 101, 3);
-- history gone: forgotten
DELETE FROM ratings WHERE user_id = 100 OR item_id = 29;
SELECT als_refresh_user('implicit', 100), als_refresh_user('implicit', 100), als_refresh_item('implicit', 29), als_refresh_item('implicit', 28);
SELECT (SELECT count(*) FROM implicit_users WHERE user_id = 100) AS users, (SELECT count(*) FROM implicit_items WHERE item_id = 29) AS items;
SELECT als_predict('implicit', 100, 5), als_predict('implicit', 1, 29), als_predict('implicit', 1, 28) IS NOT NULL AS known;
-- unknown with nothing, impossible, null
SELECT als_refresh_user('implicit', 12345), als_refresh_user('implicit', 8000000000), als_refresh_user('implicit', NULL::int), als_refresh_user(NULL, 1);
SELECT als_refresh_item('uuid', md5('12345')), als_refresh_user('text', 'nobody');
PREPARE untyped AS SELECT als_refresh_user('implicit', $1);
EXECUTE untyped('1');
-- rolled back, all is as before
SELECT als_predict('implicit', 1, 5) AS score INTO before;
BEGIN;
INSERT INTO ratings VALUES (1, 5, 50);
SELECT als_refresh_user('implicit', 1);
SELECT als_predict('implicit', 1, 5) = score AS same FROM before;
ROLLBACK;
SELECT als_predict('implicit', 1, 5) = score AS same FROM before;
-- from a trigger on the ratings
CREATE FUNCTION refresh() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM als_refresh_user('implicit', new.user_id);
    RETURN NULL;
END $$;
CREATE TRIGGER refresh AFTER INSERT ON ratings FOR EACH ROW EXECUTE FUNCTION refresh();
INSERT INTO ratings VALUES (200, 1, 1), (200, 2, 1), (201, 3, 1);
SELECT user_id, distance(factors, closed_form('implicit', 'items', ids)) < 1e-4 AS exact
FROM implicit_users JOIN (VALUES (200, '{1,2}'::text[]), (201, '{3}')) v(user_id, ids) USING (user_id) ORDER BY user_id;
DROP TRIGGER refresh ON ratings;
-- many at once
DELETE FROM text_users;
SELECT count(*) FILTER (WHERE als_refresh_user('text', user_id)) = count(*) AS all FROM (SELECT DISTINCT user_id FROM text_ratings WHERE user_id <> 'u''101') t;
SELECT (SELECT count(*) FROM text_users) = (SELECT count(DISTINCT user_id) - 1 FROM text_ratings) AS all;
-- ids with a hash but no order have no unique index
SELECT users FROM als_train('unordered', 'SELECT user_id::text::xid AS user_id, item_id, rating FROM foldin.ratings', factors => 3);
INSERT INTO ratings VALUES (300, 1, 1);
SELECT als_refresh_user('unordered', '300'::xid), als_refresh_user('unordered', '300'::xid), als_refresh_user('unordered', '301'::xid);
SELECT count(*) FROM unordered_users WHERE user_id = '300'::xid;
-- a retraining starts from the ratings, whatever was refreshed
SELECT users, items FROM als_train('implicit', 'ratings', factors => 5, regularization => 0.3, alpha => 2, iterations => 4);

--
-- Errors
--
\i test/include/errors.sql
\x on
SELECT statement, t.* FROM unnest(ARRAY[
    $$als_fold_in('implicit', ARRAY[1, 2], ARRAY[1])$$,
    $$als_fold_in('implicit', ARRAY[1, 2], '{}')$$,
    $$als_fold_in('implicit', ARRAY[1, 2], ARRAY[1, NULL])$$,
    $$als_fold_in('implicit', ARRAY[1, 2], ARRAY[1, 'nan'::float8])$$,
    $$als_fold_in('implicit', ARRAY[1, 2], ARRAY['-infinity'::float8, 1])$$,
    $$als_fold_in('implicit', ARRAY[1, 2], ARRAY[1e200, 1])$$,
    $$als_fold_in('implicit', ARRAY[1, 2], ARRAY[1e-200, 1])$$,
    $$als_fold_in('implicit', ARRAY[1, 1], ARRAY[3e38, 3e38])$$,
    $$als_fold_in('implicit', ARRAY[1, 2], ARRAY[1e20, 1e20])$$,
    $$als_fold_in('implicit', 3)$$,
    $$als_fold_in('implicit', ARRAY[point(1, 1)])$$,
    $$als_fold_in('implicit', '{1,x}')$$,
    $$als_fold_in('ratings', ARRAY[1])$$,
    $$als_recommend_for('implicit', ARRAY[1, 2], ARRAY[1])$$,
    $$als_recommend_for('implicit', ARRAY[1], k => -1)$$,
    $$als_recommend_for('implicit', ARRAY[1], k => NULL)$$,
    $$als_recommend_for('implicit', ARRAY[1], exclude_seen => NULL)$$,
    $$als_recommend_for(NULL, ARRAY[1])$$,
    $$als_recommend_for('text', ARRAY['i 1'])$$,
    $$als_recommend('implicit', 1, cold_start => 'Popular')$$,
    $$als_recommend('implicit', 1, cold_start => NULL)$$,
    $$als_recommend('implicit', 102, cold_start => 'error')$$,
    $$als_recommend('implicit', NULL::int, cold_start => 'error')$$,
    $$als_recommend_as(NULL::text, 'text', 'nobody', cold_start => 'error')$$,
    $$als_refresh_user('ratings', 1)$$,
    $$als_refresh_user('implicit', point(1, 1))$$,
    $$als_refresh_item('implicit', 'x')$$]) statement, try('SELECT ' || statement) t;

-- ratings that a training would not take
INSERT INTO ratings VALUES (400, NULL, 1), (401, 1, NULL), (402, 1, 'nan');
SELECT * FROM try($$SELECT als_recommend('implicit', 400)$$);
SELECT * FROM try($$SELECT als_refresh_user('implicit', 401)$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 402)$$);
DELETE FROM ratings WHERE user_id >= 400;

-- no live ratings
SELECT (als_train_agg('agg', user_id, item_id, rating, '{"factors": 3}')).source IS NULL AS none FROM ratings;
SELECT (SELECT count(*) FROM als_recommend('agg', 999)) AS none, als_fold_in('agg', ARRAY[1]) IS NOT NULL AS folded;
SELECT * FROM try($$SELECT als_recommend('agg', 999, cold_start => 'popular')$$);
SELECT * FROM try($$SELECT als_refresh_user('agg', 1)$$);

-- too little regularization for a single rating, if there is none
SELECT run FROM als_train('singular', 'SELECT u AS user_id, i AS item_id, u * i % 7 AS rating FROM generate_series(1, 12) u, generate_series(1, 12) i',
                          feedback => 'explicit', factors => 2, regularization => 0, solver => 'cholesky');
SELECT * FROM try($$SELECT als_fold_in('singular', ARRAY[1])$$);
SELECT distance(als_fold_in('singular', items, ratings), closed_form('singular', 'items', items::text[], ratings)) < 1e-2 AS enough
FROM (VALUES (ARRAY[1, 2, 3, 4, 5], ARRAY[1, 2, 0, 3, 4])) v(items, ratings);

-- nothing is written where nothing may be
BEGIN READ ONLY;
SELECT * FROM try($$SELECT als_refresh_user('implicit', 1)$$);
SELECT als_fold_in('implicit', ARRAY[1]) IS NOT NULL AS folded;
ROLLBACK;

-- privileges, beyond those in privileges.sql: what is kept, and what each refresh takes
CREATE ROLE als_reader;
GRANT USAGE ON SCHEMA foldin TO als_reader;
GRANT SELECT ON implicit TO als_reader;
-- what the owner has counted in this session is not for others, nor for those
-- who may read no longer, nor for other settings than it was counted with
SELECT count(*) > 0 AS counted FROM als_recommend('implicit', NULL::int, 3, cold_start => 'popular');
SET ROLE als_reader;
SELECT * FROM try($$SELECT als_recommend('implicit', NULL::int, cold_start => 'popular')$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 8000000000, cold_start => 'popular')$$);
RESET ROLE;
GRANT SELECT ON ratings TO als_reader;
SET ROLE als_reader;
SELECT count(*) > 0 AS counted FROM als_recommend('implicit', NULL::int, 3, cold_start => 'popular');
RESET ROLE;
REVOKE SELECT ON ratings FROM als_reader;
SET ROLE als_reader;
SELECT * FROM try($$SELECT als_recommend('implicit', NULL::int, cold_start => 'popular')$$);
RESET ROLE;
CREATE VIEW tenant_ratings AS SELECT * FROM ratings WHERE item_id % 2 = current_setting('foldin.tenant')::int;
SET foldin.tenant = 0;
SELECT items > 0 AS trained FROM als_train('tenant', 'tenant_ratings', factors => 2);
SELECT count(*) > 0 AS counted FROM als_recommend('tenant', NULL::int, cold_start => 'popular');
SET foldin.tenant = 1;
SELECT count(*) AS of_another_tenant FROM als_recommend('tenant', NULL::int, cold_start => 'popular');
DROP TABLE tenant;
DROP VIEW tenant_ratings;
GRANT SELECT ON ratings TO als_reader;
GRANT SELECT, INSERT, UPDATE ON implicit_users TO als_reader;
INSERT INTO ratings VALUES (500, 1, 1), (500, 2, 1);
SET ROLE als_reader;
SELECT count(*) FROM als_recommend('implicit', 500, 3);
SELECT als_refresh_user('implicit', 1), als_refresh_user('implicit', 500);
SELECT * FROM try($$SELECT als_refresh_item('implicit', 1)$$);
RESET ROLE;
DELETE FROM ratings WHERE user_id = 500;
SET ROLE als_reader;
SELECT * FROM try($$SELECT als_refresh_user('implicit', 500)$$);
RESET ROLE;
SELECT als_refresh_user('implicit', 500);
\x off

-- Regularization that grows with n ratings is one of lambda (N + alpha n)^nu
-- (implicit) or lambda n^nu (explicit) for all, as far as one row is concerned.
\x off
SELECT als_train(feedback || '_scaled', 'ratings', feedback => feedback, factors => 5, regularization => 0.3,
                 regularization_scaling => 0.5, alpha => 2, iterations => 4) IS NOT NULL AS trained
FROM (VALUES ('implicit'), ('explicit')) v(feedback);
CREATE TABLE scaled AS
    SELECT als_fold_in('implicit_scaled', ARRAY[1, 2, 3]) AS implicit, als_fold_in('explicit_scaled', ARRAY[1, 2, 3], ARRAY[1, 2, 5]) AS explicit,
           (SELECT sum(contribution) FROM als_explain('implicit_scaled', 1, 5, NULL)) AS implicit_sum,
           (SELECT sum(contribution) FROM als_explain('explicit_scaled', 1, 5, NULL)) AS explicit_sum;
UPDATE implicit_scaled SET regularization = 0.3 * sqrt(items + 2 * 3), regularization_scaling = 0;
UPDATE explicit_scaled SET regularization = 0.3 * sqrt(3), regularization_scaling = 0;
SELECT (SELECT max(abs(a - b)) FROM unnest(implicit, als_fold_in('implicit_scaled', ARRAY[1, 2, 3])) f(a, b)) < 1e-5 AS implicit,
       (SELECT max(abs(a - b)) FROM unnest(explicit, als_fold_in('explicit_scaled', ARRAY[1, 2, 3], ARRAY[1, 2, 5])) f(a, b)) < 1e-5 AS explicit
FROM scaled;
UPDATE implicit_scaled SET regularization = 0.3 * sqrt(items + 2 * n) FROM (SELECT count(DISTINCT item_id) AS n FROM ratings WHERE user_id = 1) r;
UPDATE explicit_scaled SET regularization = 0.3 * sqrt(n) FROM (SELECT count(DISTINCT item_id) AS n FROM ratings WHERE user_id = 1) r;
SELECT abs(implicit_sum - (SELECT sum(contribution) FROM als_explain('implicit_scaled', 1, 5, NULL))) < 1e-5 AS implicit,
       abs(explicit_sum - (SELECT sum(contribution) FROM als_explain('explicit_scaled', 1, 5, NULL))) < 1e-5 AS explicit
FROM scaled;

-- a nonnegative model folds in factors that are not below zero
SELECT als_train('positive', 'ratings', factors => 5, regularization => 0.3, alpha => 2, iterations => 4, nonnegative => true) IS NOT NULL AS trained;
SELECT min(f) >= 0 AS nonnegative, count(*) FROM unnest(als_fold_in('positive', ARRAY[1, 2, 3])) f;
SELECT als_refresh_user('positive', 1), min(f) >= 0 AS nonnegative FROM positive_users, unnest(factors) f WHERE user_id = 1 GROUP BY 1;
\x on
SELECT * FROM try($$SELECT als_explain('positive', 1, 5)$$);
\x off

SET client_min_messages = error;
DROP SCHEMA foldin CASCADE;
DROP ROLE als_reader;
