-- Fresh answers, and many rows refreshed at once: fresh => true of als_recommend and
-- als_predict, als_refresh.
SET client_min_messages = warning;
CREATE SCHEMA fresh;
SET search_path = fresh, public;
\i test/include/errors.sql

-- some ratings are zero or negative, some pairs are there twice
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, ((u * 31 + i * 17) % 11 - 2)::real / 2 AS rating, timestamptz '2024-01-01 12:00+00' + u * interval '1 hour' AS rated_at
    FROM generate_series(1, 40) u, generate_series(1, 30) i
    WHERE (u * 7919 + i * 104729 + u * i * 13) % 97 < 25;
INSERT INTO ratings SELECT user_id, item_id, 1, rated_at FROM ratings WHERE (user_id + item_id) % 7 = 0;
CREATE VIEW text_ratings AS SELECT 'u''' || user_id AS user_id, 'i ' || item_id AS item_id, rating, rated_at::date AS rated_at FROM ratings;
CREATE VIEW uuid_ratings AS SELECT md5(user_id::text)::uuid AS user_id, md5(item_id::text)::uuid AS item_id, rating, rated_at AT TIME ZONE 'UTC' AS rated_at FROM ratings;
CREATE VIEW xid_ratings AS SELECT user_id::text::xid AS user_id, item_id::text::xid AS item_id, rating FROM ratings;
SELECT model, users, items
FROM (VALUES ('implicit', 'ratings', 'implicit', 5), ('explicit', 'ratings', 'explicit', 5), ('nonnegative', 'ratings', 'implicit', 5),
             ('text', 'text_ratings', 'implicit', 16), ('uuid', 'uuid_ratings', 'explicit', 16), ('xid', 'xid_ratings', 'implicit', 4)) v(model, source, feedback, factors),
     als_train(model, source, feedback => feedback, factors => factors, regularization => 0.3, alpha => 2, iterations => 4, nonnegative => model = 'nonnegative');

--
-- fresh => true
--
-- Users 1 to 3 have changed their minds, 4 has taken everything back, 100 is new
INSERT INTO ratings VALUES (1, 30, 5, '2024-02-01'), (1, 29, -2, '2024-02-01'), (2, 3, 4, '2024-02-02'), (3, 999, 1, '2024-02-03'),
    (100, 3, 2, '2024-02-04'), (100, 9, 1, '2024-02-04'), (100, 9, 3, '2024-02-04'), (100, 777, 1, '2024-02-04'), (100, 12, -1, '2024-02-04');
UPDATE ratings SET rating = -1 WHERE user_id = 2 AND item_id = 28;
DELETE FROM ratings WHERE user_id = 4;
-- what somebody is recommended who has these ratings
CREATE VIEW baskets AS SELECT user_id, array_agg(item_id) AS items, array_agg(rating::float8) AS ratings FROM ratings GROUP BY user_id;
SELECT model, user_id, count(*), bool_and(f.score = r.score) AS score, bool_and(f.score = p.predicted) AS predicted
FROM unnest(ARRAY['implicit', 'explicit', 'nonnegative']) model, unnest(ARRAY[1, 2, 3, 100]) who JOIN baskets ON user_id = who,
     LATERAL als_recommend(model, who, 100, exclude_seen => false, fresh => true) f
     LEFT JOIN LATERAL als_recommend_for(model, items, ratings, 100, exclude_seen => false) r USING (item_id)
     LEFT JOIN LATERAL als_predict(model, who, f.item_id, fresh => true) p(predicted) ON true
GROUP BY model, user_id ORDER BY model, user_id;
-- without it a known user is as he was trained, and a new one is not predicted for
SELECT count(*) FILTER (WHERE als_predict('implicit', 1, item_id) IS DISTINCT FROM als_predict('implicit', 1, item_id, fresh => true)) > 0 AS differs,
       count(als_predict('implicit', 100, item_id)) AS new, count(als_predict('implicit', 100, item_id, fresh => true)) AS fresh
FROM implicit_items;
-- what als_explain adds up to, which reads the ratings of now anyway
SELECT model, user_id, max(abs(sum + coalesce(constant, 0) - als_predict(model, user_id, 7, fresh => true))) < 1e-5 AS explained
FROM unnest(ARRAY['implicit', 'explicit']) model, unnest(ARRAY[1, 2, 3, 100]) user_id,
     LATERAL (SELECT sum(contribution) FROM als_explain(model, user_id, 7, NULL)) e,
     LATERAL (SELECT CASE model WHEN 'explicit' THEN (SELECT mean_rating FROM explicit ORDER BY run DESC LIMIT 1) + (SELECT bias FROM explicit_items WHERE item_id = 7) END) c(constant)
GROUP BY model, user_id ORDER BY model, user_id;
-- what he has seen is left out; the filters are as ever
SELECT count(*) FILTER (WHERE item_id IN (SELECT item_id FROM ratings WHERE user_id = 1)) AS seen, count(*) > 0 AS rest
FROM als_recommend('implicit', 1, 100, fresh => true);
SELECT array_agg(item_id ORDER BY item_id) FROM als_recommend('implicit', 1, exclude_seen => false, exclude => ARRAY[4], candidates => ARRAY[1, 4, 5], fresh => true);
SELECT count(*) FROM als_recommend_as(NULL::text, 'text', 'u''1', 3, fresh => true);
SELECT count(*) FROM als_recommend_as(NULL::uuid, 'uuid', md5('1'), 3, fresh => true);
-- of a user without ratings nothing is known, whatever the model has stored
SELECT count(*) FROM als_recommend('implicit', 4);
SELECT (SELECT count(*) FROM als_recommend('implicit', 4, fresh => true)) AS none,
       (SELECT count(*) FROM als_recommend('implicit', 4, 3, cold_start => 'popular', fresh => true)) AS popular,
       als_predict('implicit', 4, 1, fresh => true) AS predicted,
       als_predict('explicit', 4, 1, 'biases', fresh => true) = als_predict('explicit', 12345, 1, 'biases') AS by_biases;
SELECT als_predict('implicit', NULL::int, 1, fresh => true), als_predict('implicit', 8000000000, 1, fresh => true), als_predict('implicit', 1, 8000000000, fresh => true);
-- the next rating counts at once
BEGIN;
SELECT als_predict('implicit', 5, 1, fresh => true) AS before \gset
INSERT INTO ratings VALUES (5, 1, 5, now());
SELECT als_predict('implicit', 5, 1, fresh => true) > :before AS more;
ROLLBACK;
-- no source, no fresh ratings
SELECT (als_train_agg('aggregated', user_id, item_id, rating, '{"factors": 3, "alpha": 2, "regularization": 0.3, "iterations": 2}')).users FROM ratings;
SELECT e.* FROM unnest(ARRAY[
    $$SELECT als_recommend('aggregated', 1, fresh => true)$$,
    $$SELECT als_predict('aggregated', 1, 1, fresh => true)$$,
    $$SELECT als_recommend('implicit', 1, fresh => NULL)$$]) s, try(s) e;

--
-- als_refresh
--
-- the same bits as one row after the other, users first, in the order of their ids
CREATE FUNCTION stored(model text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format('SELECT (SELECT string_agg(u::text, '','' ORDER BY user_id::text) FROM %I u) || (SELECT string_agg(i::text, '','' ORDER BY item_id::text) FROM %I i)',
                   model || '_users', model || '_items') INTO result;
    RETURN md5(result);
END $$;
CREATE TABLE outcomes (model text, way text, known bigint, factors text);
DO $$
DECLARE
    m text;
    c record;
BEGIN
    FOREACH m IN ARRAY ARRAY['implicit', 'explicit', 'nonnegative', 'text', 'uuid', 'xid'] LOOP
        FOR c IN SELECT way, format(call, m, u, i) AS call
                 FROM (VALUES ('one by one', $q$SELECT (SELECT count(*) FILTER (WHERE als_refresh_user(%1$L, id)) FROM unnest(%2$s) id) +
                                                       (SELECT count(*) FILTER (WHERE als_refresh_item(%1$L, id)) FROM unnest(%3$s) id)$q$),
                              ('at once', 'SELECT als_refresh(%L, %s, %s)'), ('no workers', 'SELECT als_refresh(%L, %s, %s, workers => 0)'),
                              ('workers', 'SELECT als_refresh(%L, %s, %s, workers => 2)'),
                              ('twice', 'SELECT als_refresh(%1$L, %2$s || %2$s) + als_refresh(%1$L, items => %3$s || %3$s)')) w(way, call),
                      (SELECT CASE WHEN m IN ('implicit', 'explicit', 'nonnegative') THEN 'ARRAY[1,2,3,4,100,101]' WHEN m = 'text' THEN $q$ARRAY['u''1','u''2','u''3','u''4','u''100','u''101']$q$
                                   WHEN m = 'uuid' THEN $q$(SELECT array_agg(md5(n::text)::uuid) FROM unnest(ARRAY[1,2,3,4,100,101]) n)$q$
                                   ELSE $q$ARRAY['1','2','3','4','100','101']::xid[]$q$ END,
                              CASE WHEN m IN ('implicit', 'explicit', 'nonnegative') THEN 'ARRAY[3,9,30,777,778]' WHEN m = 'text' THEN $q$ARRAY['i 3','i 9','i 30','i 777','i 778']$q$
                                   WHEN m = 'uuid' THEN $q$(SELECT array_agg(md5(n::text)::uuid) FROM unnest(ARRAY[3,9,30,777,778]) n)$q$
                                   ELSE $q$ARRAY['3','9','30','777','778']::xid[]$q$ END) a(u, i) LOOP
            BEGIN
                DECLARE
                    known bigint;
                    factors text;
                BEGIN
                    EXECUTE c.call INTO known;
                    factors := stored(m);
                    RAISE EXCEPTION USING ERRCODE = 'ALSOK', MESSAGE = known || ' ' || factors;
                END;
            EXCEPTION WHEN SQLSTATE 'ALSOK' THEN
                INSERT INTO outcomes VALUES (m, c.way, split_part(SQLERRM, ' ', 1)::bigint, split_part(SQLERRM, ' ', 2));
            END;
        END LOOP;
    END LOOP;
END $$;
SELECT model, count(*) AS ways, min(known) AS known, max(known) = min(known) AND count(DISTINCT factors) = 1 AS same, min(factors) <> stored(model) AS changed
FROM outcomes GROUP BY model ORDER BY model;
-- with ratings in temporary files, and where nothing is kept
SET maintenance_work_mem = '1MB';
SET als.cache_size = '64kB';
BEGIN;
SELECT als_refresh('implicit', ARRAY[1, 2, 3, 4, 100, 101], ARRAY[3, 9, 30, 777, 778]) AS known;
SELECT stored('implicit') = factors AS same FROM outcomes WHERE model = 'implicit' AND way = 'one by one';
ROLLBACK;
RESET maintenance_work_mem;
RESET als.cache_size;
-- literals, ids of other types, ids that are none, nobody
SELECT als_refresh('implicit', '{1,2}') AS literal, als_refresh('implicit', ARRAY[1, 8000000000]) AS bigint, als_refresh('implicit', ARRAY[1.0, 1.5]) AS numeric,
       als_refresh('implicit', ARRAY[NULL, 2]) AS with_null, als_refresh('implicit', '{}'::int[]) AS nobody, als_refresh('implicit', items => '{3,3}') AS item,
       als_refresh('implicit', NULL::int[], '{3}') AS items, als_refresh('text', '{u''1,nobody}', '{i 1}') AS text;
PREPARE untyped AS SELECT als_refresh('implicit', $1, $2);
EXECUTE untyped('{1,2}', '{3}');
-- every user and item, more than are looked for one by one; an empty side
SELECT als_refresh('implicit', ARRAY(SELECT generate_series(-20000, 100)), ARRAY(SELECT generate_series(-20000, 999))) AS known;
SELECT count(*) = 39 AND bool_and(factors = als_fold_in('implicit', items, ratings)) IS FALSE AS items_moved_on FROM implicit_users JOIN baskets USING (user_id);
SELECT als_refresh('implicit', ARRAY(SELECT DISTINCT user_id FROM ratings)) AS known;
SELECT count(*), bool_and(factors = als_fold_in('implicit', items, ratings)) AS as_folded_in FROM implicit_users JOIN baskets USING (user_id);
SELECT count(*) FROM (SELECT user_id FROM implicit_users EXCEPT SELECT user_id FROM ratings) t;

-- since: rows that have come or changed, by a column with their time
SELECT since, als_refresh('explicit', since => since::timestamptz, time_column => 'rated_at') AS known
FROM unnest(ARRAY['2024-02-01', '2024-02-03 00:00+00', '2024-02-04 00:00:01+00', '-infinity', 'infinity']) since;
-- dates, and timestamps of UTC
SET TimeZone = 'Asia/Kathmandu';
SELECT als_refresh('text', since => '2024-02-03 23:00+00', time_column => 'rated_at') AS by_date,
       als_refresh('uuid', since => rated_at, time_column => 'rated_at') AS by_timestamp,
       als_refresh('uuid', since => rated_at + interval '1 second', time_column => 'rated_at') AS later
FROM ratings WHERE user_id = 100 AND item_id = 777;
RESET TimeZone;
-- the column that the model fades by, and some more users
SELECT run FROM als_train('fading', 'ratings', time_column => 'rated_at', half_life => '30 days', reference_time => '2024-03-01', factors => 3, alpha => 2, regularization => 0.3);
INSERT INTO ratings VALUES (5, 5, 1, '2024-02-10');
SELECT als_refresh('fading', since => '2024-02-10') AS since, als_refresh('fading', ARRAY[1, 5], since => '2024-02-10') AS more;
SELECT factors = (SELECT factors FROM fading_users WHERE user_id = 5) AS same FROM (
    SELECT als_refresh_user('fading', 5)) r, LATERAL (SELECT factors FROM fading_users WHERE user_id = 5) f;

-- errors
SELECT e.* FROM unnest(ARRAY[
    $$SELECT als_refresh(NULL, ARRAY[1])$$,
    $$SELECT als_refresh('ratings', ARRAY[1])$$,
    $$SELECT als_refresh('implicit', ARRAY[1], workers => -1)$$,
    $$SELECT als_refresh('implicit', 5)$$,
    $$SELECT als_refresh('implicit', ARRAY[now()])$$,
    $$SELECT als_refresh('implicit', since => now())$$,
    $$SELECT als_refresh('implicit', since => now(), time_column => 'item_id')$$,
    $$SELECT als_refresh('implicit', since => now(), time_column => 'nowhere')$$,
    $$SELECT als_refresh('aggregated', ARRAY[1])$$]) s, try(s) e;
BEGIN READ ONLY;
SELECT code, message FROM try($$SELECT als_refresh('implicit', ARRAY[1])$$);
ROLLBACK;
-- of rows that no training would take, those of others do not matter
BEGIN;
INSERT INTO ratings VALUES (6, 1, 'NaN', now());
SELECT als_refresh('implicit', ARRAY[5]);
SELECT * FROM try($$SELECT als_refresh('implicit', ARRAY[5, 6])$$);
ROLLBACK;
-- what keeps rows out
CREATE TRIGGER suppress BEFORE UPDATE ON implicit_users FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
SELECT * FROM try($$SELECT als_refresh('implicit', ARRAY[1])$$);
DROP TRIGGER suppress ON implicit_users;
CREATE RULE r AS ON INSERT TO implicit_users DO INSTEAD NOTHING;
SELECT * FROM try($$SELECT als_refresh('implicit', ARRAY[1])$$);
DROP RULE r ON implicit_users;
-- nothing of a call that fails is left
SELECT stored('implicit') AS before \gset
INSERT INTO ratings VALUES (5, 7, 5, now()), (6, 1, 'NaN', now());
SELECT code FROM try($$SELECT als_refresh('implicit', ARRAY[5, 6])$$);
SELECT code FROM try($$SELECT als_refresh('implicit', ARRAY[5], ARRAY[1])$$);
SELECT stored('implicit') = :'before' AS same;
DELETE FROM ratings WHERE rating = 'NaN';
-- a source that trains the model while it is read
CREATE FUNCTION retrain() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('fresh.retrain', true) = 'on' THEN
        PERFORM set_config('fresh.retrain', 'off', false);
        PERFORM als_train('retrained', 'retraining', factors => 2, iterations => 1);
    END IF;
    RETURN true;
END $$;
CREATE VIEW retraining AS SELECT r.* FROM (SELECT retrain() AS w OFFSET 0) w, ratings r WHERE w.w;
SELECT run FROM als_train('retrained', 'retraining', factors => 2, iterations => 1);
SET fresh.retrain = on;
SELECT * FROM try($$SELECT als_refresh('retrained', ARRAY[1])$$);
SET fresh.retrain = on;
SELECT als_predict('retrained', 1, 1, fresh => true) IS NOT NULL AS starts_over;
-- of tables that are published, as FOR ALL TABLES does it; ids without an order are no primary key
SET client_min_messages = error;
CREATE PUBLICATION regress_als_fresh FOR TABLE xid, xid_users, xid_items;
SET client_min_messages = warning;
SELECT * FROM try($$DO 'BEGIN PERFORM als_refresh_user(''xid'', ''7''::xid), als_refresh(''xid'', ARRAY[''9'', ''12345'']::xid[]); END'$$);
DROP PUBLICATION regress_als_fresh;

SET client_min_messages = error;
DROP SCHEMA fresh CASCADE;
