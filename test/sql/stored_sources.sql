-- What a model was trained from is read anew when it serves, by whoever asks:
-- names mean what they mean to him, and what is kept is kept of that alone
SET client_min_messages = warning;
CREATE SCHEMA stored_a;
CREATE SCHEMA stored_b;
SET search_path = stored_a, public;
CREATE TABLE stored_a.likes AS
    SELECT u AS user_id, i AS item_id FROM generate_series(1, 30) u, generate_series(1, 20) i WHERE (u * 7 + i * 3) % 5 < 2 AND u % 4 < i;
CREATE TABLE stored_b.likes AS SELECT user_id, 21 - item_id AS item_id FROM stored_a.likes WHERE item_id > 10;
SELECT users, items FROM als_train('stored_a.model', 'SELECT * FROM likes', rating_column => NULL, factors => 2);
-- popular items and what a user has seen, by als and by hand
PREPARE popular AS SELECT array(SELECT r FROM als_recommend('stored_a.model', NULL::int, 100, cold_start => 'popular') r) =
    array(SELECT (item_id::bigint, count::real) FROM (SELECT item_id, count(*) FROM likes GROUP BY item_id) c ORDER BY count DESC, item_id) AS popular,
    array(SELECT item_id FROM als_recommend('stored_a.model', 3, 100) ORDER BY item_id) =
    array(SELECT i FROM generate_series(1::bigint, 20) i EXCEPT SELECT item_id FROM likes WHERE user_id = 3 ORDER BY 1) AS unseen;
EXECUTE popular;
SET search_path = stored_b, public;
EXECUTE popular;
SET search_path = stored_b, stored_a, public;
EXECUTE popular;
SET search_path = stored_a, stored_b, public;
EXECUTE popular;
ALTER TABLE stored_a.likes RENAME TO unlikes;
EXECUTE popular;
DEALLOCATE popular;
ALTER TABLE stored_a.unlikes RENAME TO likes;
SELECT array(SELECT r FROM als_recommend('stored_a.model', NULL::int, 100, cold_start => 'popular') r) =
    array(SELECT (item_id::bigint, count::real) FROM (SELECT item_id, count(*) FROM likes GROUP BY item_id) c ORDER BY count DESC, item_id) AS popular,
    array(SELECT item_id FROM als_recommend('stored_a.model', 3, 100) ORDER BY item_id) =
    array(SELECT i FROM generate_series(1::bigint, 20) i EXCEPT SELECT item_id FROM likes WHERE user_id = 3 ORDER BY 1) AS unseen;
CREATE TEMP TABLE likes AS SELECT user_id, item_id FROM stored_a.likes WHERE item_id < 5;
SELECT array(SELECT r FROM als_recommend('stored_a.model', NULL::int, 100, cold_start => 'popular') r) =
    array(SELECT (item_id::bigint, count::real) FROM (SELECT item_id, count(*) FROM likes GROUP BY item_id) c ORDER BY count DESC, item_id) AS popular,
    array(SELECT item_id FROM als_recommend('stored_a.model', 3, 100) ORDER BY item_id) =
    array(SELECT i FROM generate_series(1::bigint, 20) i EXCEPT SELECT item_id FROM likes WHERE user_id = 3 ORDER BY 1) AS unseen;
DROP TABLE pg_temp.likes;
-- what a name means now counts, and the same tables by another path are kept
SET search_path = stored_a, public;
PREPARE popular AS SELECT array(SELECT r FROM als_recommend('stored_a.model', NULL::int, 100, cold_start => 'popular') r) =
    array(SELECT (item_id::bigint, count::real) FROM (SELECT item_id, count(*) FROM likes GROUP BY item_id) c ORDER BY count DESC, item_id) AS popular,
    array(SELECT item_id FROM als_recommend('stored_a.model', 3, 100) ORDER BY item_id) =
    array(SELECT i FROM generate_series(1::bigint, 20) i EXCEPT SELECT item_id FROM likes WHERE user_id = 3 ORDER BY 1) AS unseen;
EXECUTE popular;
INSERT INTO likes SELECT 100 + u, 20 FROM generate_series(1, 100) u;
SET search_path = stored_a;
SELECT array(SELECT public.als_recommend('model', NULL::int, 100, cold_start => 'popular')) =
    array(SELECT (item_id::bigint, count::real) FROM (SELECT item_id, count(*) FROM likes WHERE user_id < 100 GROUP BY item_id) c ORDER BY count DESC, item_id) AS kept;
-- a name without a schema, which somebody has written by hand, is no other
SET search_path = stored_a, public;
UPDATE model SET source = 'likes';
SET search_path = stored_b, public;
EXECUTE popular;
SET search_path = stored_a, public;
EXECUTE popular;
SET search_path = stored_b, public;
EXECUTE popular;
-- nor is what depends on the time of parsing
SET search_path = stored_a, public;
CREATE TABLE dated AS SELECT *, DATE '2020-02-01' + item_id AS day FROM likes WHERE user_id < 100;
SET datestyle = 'ISO, DMY';
SELECT users FROM als_train('dated_model', $$SELECT * FROM dated WHERE day >= date '01/02/2020'$$, rating_column => NULL, factors => 2);
SELECT count(*) FROM als_recommend('dated_model', NULL::int, 100, cold_start => 'popular');
INSERT INTO dated VALUES (1, 20, '2020-01-03');
SET datestyle = 'ISO, MDY';
SELECT r.score = count(*) AS same FROM dated, als_recommend('dated_model', NULL::int, 100, cold_start => 'popular') r
WHERE r.item_id = 20 AND dated.item_id = 20 GROUP BY r.score;
RESET datestyle;

-- Where the ratings are gone, every function says of which model, and what the caller can do
CREATE TABLE ratings AS SELECT user_id, item_id, (1 + user_id % 3)::real AS rating FROM likes WHERE user_id < 100;
SELECT users FROM als_train('named', 'ratings', factors => 2);
SELECT users FROM als_train('queried', 'SELECT * FROM ratings', factors => 2);
CREATE FUNCTION attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
    detail text;
BEGIN
    EXECUTE format('SELECT FROM %s', call);
    RETURN 'works';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n    ', SQLSTATE || ' ' || SQLERRM, detail, hint);
END $$;
CREATE FUNCTION attempt_all(change text) RETURNS TABLE (outcome text, calls bigint) LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE change;
        RETURN QUERY SELECT replace(o, m, 'MODEL'), count(*)
            FROM unnest(ARRAY['named', 'queried']) m,
                 unnest(ARRAY['als_recommend(''%s'', 1)', 'als_recommend(''%s'', 1, exclude_seen => false)', 'als_recommend(''%s'', 999)',
                              'als_recommend(''%s'', NULL::int, cold_start => ''popular'')', 'als_recommend(''%s'', NULL::int)',
                              'als_recommend_all(''%s'')', 'als_recommend_all(''%s'', exclude_seen => false)', 'als_recommend_all(''%s'', users => ARRAY[1])',
                              'als_explain(''%s'', 1, 2)', 'als_refresh_user(''%s'', 1)', 'als_refresh_item(''%s'', 1)',
                              'als_evaluate(''%s'', ''SELECT 1 AS user_id, 2 AS item_id, 1 AS rating'')',
                              'als_evaluate(''%s'', ''SELECT 1 AS user_id, 2 AS item_id, 1 AS rating'', exclude_seen => false)']) call,
                 LATERAL format(call, m) c, LATERAL attempt(c) o
            WHERE o <> 'works' GROUP BY 1 ORDER BY 1;
        RAISE EXCEPTION USING ERRCODE = 'ALSOK';
    EXCEPTION WHEN SQLSTATE 'ALSOK' THEN
        NULL;
    END;
END $$;
\pset format unaligned
\pset tuples_only
SELECT * FROM attempt_all('DROP TABLE ratings');
SELECT * FROM attempt_all('ALTER TABLE ratings RENAME TO other');
SELECT * FROM attempt_all('ALTER TABLE ratings SET SCHEMA stored_b');
SELECT * FROM attempt_all('ALTER TABLE ratings RENAME user_id TO who');
SELECT * FROM attempt_all('ALTER TABLE ratings RENAME rating TO stars');
SELECT * FROM attempt_all('ALTER TABLE ratings ALTER user_id TYPE point USING point(user_id, 0)');
SELECT * FROM attempt_all('ALTER TABLE ratings ALTER user_id TYPE text');
SELECT * FROM attempt_all('ALTER TABLE ratings RENAME TO other; CREATE SEQUENCE ratings');
-- what still fits goes on
SELECT * FROM attempt_all('ALTER TABLE ratings ALTER user_id TYPE bigint, ALTER item_id TYPE smallint, ALTER rating TYPE numeric');
SELECT * FROM attempt_all('CREATE VIEW stored_a.v AS TABLE ratings; ALTER TABLE ratings RENAME TO other; ALTER VIEW v RENAME TO ratings');
-- ratings.x is no column any more: the function x of somebody is not called in its place
CREATE FUNCTION user_id(ratings) RETURNS integer LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'called'; END$$;
SELECT * FROM attempt_all('ALTER TABLE ratings RENAME user_id TO who');
SET client_min_messages = error;
DROP SCHEMA stored_a, stored_b CASCADE;
