-- Code of users that runs in the middle of a call, and what it may do to models
SET client_min_messages = warning;
CREATE SCHEMA user_code;
SET search_path = user_code, public;
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(60, 40, 39);
SELECT (als_train('other', 'ratings', factors => 8, iterations => 2)).run;

-- A cast to ids that uses another model, which needs all the room there is: what
-- is in use is not freed to make it.
CREATE TYPE given AS (id integer);
CREATE SEQUENCE used;
CREATE FUNCTION use_other(value given) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    PERFORM als_recommend('user_code.other', value.id), nextval('user_code.used');
    PERFORM als_similar_items('user_code.other', value.id);
    RETURN value.id;
END $$;
CREATE CAST (given AS integer) WITH FUNCTION use_other AS IMPLICIT;
SELECT (als_train('model', 'ratings', factors => 8, iterations => 2)).run;
SELECT (als_train('plain', 'ratings', factors => 8, iterations => 2)).run;
CREATE FUNCTION compare() RETURNS TABLE (function text, same boolean) LANGUAGE sql AS $$
    SELECT 'predict', bool_and(als_predict('model', ROW(u)::given, ROW(i)::given) = als_predict('plain', u, i))
    FROM generate_series(1, 10) u, generate_series(1, 10) i
    UNION ALL
    SELECT 'recommend', array(SELECT r FROM generate_series(1, 10) u, als_recommend('model', ROW(u)::given, exclude => ARRAY[ROW(1), ROW(u)]::given[]) r)
         = array(SELECT r FROM generate_series(1, 10) u, als_recommend('plain', u, exclude => ARRAY[1, u]) r)
    UNION ALL
    SELECT 'recommend_for', array(SELECT r FROM generate_series(1, 10) u, als_recommend_for('model', ARRAY[ROW(1), ROW(u)]::given[]) r)
         = array(SELECT r FROM generate_series(1, 10) u, als_recommend_for('plain', ARRAY[1, u]) r)
    UNION ALL
    SELECT 'recommend_all', array(SELECT r FROM als_recommend_all('model', 3, users => ARRAY[ROW(1), ROW(2), ROW(3)]::given[]) r)
         = array(SELECT r FROM als_recommend_all('plain', 3, users => ARRAY[1, 2, 3]) r)
    UNION ALL
    SELECT 'similar', array(SELECT r FROM generate_series(1, 10) u, als_similar_items('model', ROW(u)::given) r)
         = array(SELECT r FROM generate_series(1, 10) u, als_similar_items('plain', u) r)
    UNION ALL
    SELECT 'explain', array(SELECT r FROM generate_series(1, 10) u, als_explain('model', ROW(u)::given, ROW(3)::given) r)
         = array(SELECT r FROM generate_series(1, 10) u, als_explain('plain', u, 3) r)
$$;
SET als.cache_size = '64kB';
SELECT * FROM compare();
SELECT als_refresh_user('model', ROW(5)::given) AND als_refresh_user('plain', 5);
SELECT * FROM compare();
RESET als.cache_size;
SELECT * FROM compare();
SELECT last_value > 500 AS used FROM used;

-- A source that changes the very model: a call works with one version of it, or
-- starts over with the new one.
CREATE FUNCTION touch() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE user_code.touched SET seconds = seconds;
    UPDATE user_code.touched_items SET factors = factors WHERE item_id = 1;
    RETURN true;
END $$;
CREATE VIEW touching AS SELECT * FROM ratings WHERE (SELECT touch());
CREATE TABLE touched_ratings AS TABLE ratings;
SELECT (als_train('touched', 'touched_ratings', factors => 8, iterations => 2)).run;
DROP TABLE touched_ratings;
CREATE VIEW touched_ratings AS TABLE touching;
SELECT array(SELECT r FROM als_recommend('touched', 1) r) = array(SELECT r FROM als_recommend('plain', 1) r) AS recommend,
       array(SELECT item_id FROM als_explain('touched', 1, 2)) = array(SELECT item_id FROM als_explain('plain', 1, 2)) AS explain,
       als_refresh_user('touched', 1) AS refreshed;

CREATE TABLE training (times integer, factors integer);
INSERT INTO training VALUES (0, 8);
CREATE FUNCTION train() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE user_code.training SET times = times - 1, factors = factors + 16 WHERE times > 0;
    IF FOUND THEN
        PERFORM als_train('user_code.trained', 'user_code.ratings', factors => t.factors, iterations => 2)
        FROM user_code.training t;
        -- whose source is the table now
        UPDATE user_code.trained SET source = 'user_code.trained_ratings';
    END IF;
    RETURN true;
END $$;
CREATE TABLE trained_ratings AS TABLE ratings;
SELECT (als_train('trained', 'trained_ratings', factors => 8, iterations => 2)).run;
ALTER TABLE trained_ratings RENAME TO trained_table;
CREATE VIEW trained_ratings AS SELECT * FROM trained_table WHERE (SELECT train());
CREATE FUNCTION as_plain() RETURNS TABLE (recommend boolean, explain boolean) LANGUAGE sql AS $$
    SELECT array(SELECT r FROM als_recommend('trained', 1) r) = array(SELECT r FROM als_recommend('plain', 1) r),
           array(SELECT r FROM als_explain('trained', 1, 2) r) = array(SELECT r FROM als_explain('plain', 1, 2) r)
$$;
UPDATE training SET times = 1;
SELECT count(*) FROM als_recommend('trained', 1);
SELECT factors FROM training;
-- the answers of a model that was trained like that at once
SELECT (als_train('plain', 'ratings', factors => 24, iterations => 2)).run;
SELECT * FROM as_plain();
UPDATE training SET times = 1;
SELECT count(*) FROM als_explain('trained', 1, 2);
UPDATE training SET times = 1;
SELECT als_refresh_user('trained', 1);
UPDATE training SET times = 1;
SELECT count(*) FROM als_recommend('trained', 1000, cold_start => 'popular');
UPDATE training SET times = 1;
SELECT count(*) FROM als_recommend_all('trained', 2);
UPDATE training SET times = 1;
SELECT count(*) > 0 AS evaluated FROM als_evaluate('trained', 'ratings');
UPDATE training SET times = 100;
SELECT count(*) FROM als_recommend('trained', 1);
SELECT count(*) FROM als_explain('trained', 1, 2);
SELECT als_refresh_user('trained', 1);
-- or drops it
CREATE FUNCTION drop_it() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN DROP TABLE IF EXISTS user_code.touched; RETURN true; END $$;
CREATE OR REPLACE VIEW touching AS SELECT * FROM ratings WHERE (SELECT drop_it());
DO $$
BEGIN
    PERFORM als_recommend('touched', 1);
EXCEPTION WHEN undefined_table THEN
    RAISE WARNING 'the model does not exist';
END $$;
SELECT als_predict('touched', 1, 1) IS NOT NULL AS not_dropped_after_all;

-- A cast to ids that trains the very model: the call notices before
-- it reads factors of the new run by the old one.
TRUNCATE training;
CREATE FUNCTION train_self(value given) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE user_code.training SET times = times - 1, factors = 52 - factors WHERE times > 0;
    IF FOUND THEN
        PERFORM als_train('user_code.self', 'user_code.self_ratings', factors => t.factors, iterations => 2)
        FROM user_code.training t;
    END IF;
    RETURN value.id;
END $$;
CREATE CAST (given AS text) WITH FUNCTION train_self AS ASSIGNMENT;
CREATE TABLE self_ratings AS SELECT user_id::text, item_id::text, rating FROM ratings;
CREATE TABLE given_ratings AS SELECT ROW(user_id)::given AS user_id, ROW(item_id)::given AS item_id, rating FROM ratings;
SELECT (als_train('self', 'self_ratings', factors => 12, iterations => 2)).run;
CREATE FUNCTION try_training(query text, count integer DEFAULT 1) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    kept text;
    answer text;
BEGIN
    TRUNCATE user_code.training;
    -- with 12 factors and 40 in turn, beginning with what the model does not have
    INSERT INTO user_code.training SELECT count, factors FROM user_code.self ORDER BY run DESC LIMIT 1;
    EXECUTE query INTO answer;
    IF count = 1 AND (SELECT times FROM user_code.training) <> 0 THEN
        RETURN 'no training';
    END IF;
    EXECUTE query INTO kept;
    RETURN CASE WHEN answer = kept THEN 'as the new model' ELSE answer || ' and then ' || kept END;
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate || ' ' || sqlerrm;
END $$;
SELECT query, try_training('SELECT string_agg(t::text, '' '') FROM ' || query || ' t'), try_training('SELECT string_agg(t::text, '' '') FROM ' || query || ' t', 20) AS always
FROM unnest(ARRAY[
    $$als_predict('self', ROW(5)::given, ROW(7)::given)$$,
    $$als_recommend_as(NULL::text, 'self', ROW(5)::given, 3)$$,
    $$als_recommend_as(NULL::text, 'self', '5'::text, 3, exclude => ARRAY[ROW(1), ROW(2)]::given[])$$,
    $$als_recommend_as(NULL::text, 'self', '5'::text, 3, candidates => ARRAY[ROW(1), ROW(2)]::given[])$$,
    $$als_recommend_for_as(NULL::text, 'self', ARRAY[ROW(1), ROW(2)]::given[], k => 3)$$,
    $$als_recommend_all_as(NULL::text, NULL::text, 'self', 3, users => ARRAY[ROW(1), ROW(2)]::given[])$$,
    $$als_fold_in('self', ARRAY[ROW(1), ROW(2)]::given[])$$,
    $$als_similar_items_as(NULL::text, 'self', ROW(7)::given, 3)$$,
    $$als_explain_as(NULL::text, 'self', ROW(5)::given, ROW(7)::given, 3)$$,
    $$als_evaluate('self', 'user_code.given_ratings')$$]) query;
SELECT try_training($$SELECT als_refresh_user('self', ROW(5)::given)$$), try_training($$SELECT als_refresh_user('self', ROW(5)::given)$$, 20) AS always;

-- Ids that are rows: their comparison keeps state that must outlive a change of
-- the model by the source.
CREATE TYPE pair AS (a integer, b text);
CREATE TABLE pairs AS SELECT (user_id, 'u')::pair AS user_id, (item_id, 'i')::pair AS item_id, rating FROM ratings;
SELECT (als_train('paired', 'pairs', factors => 8, iterations => 2)).run;
ALTER TABLE pairs RENAME TO pairs_table;
CREATE FUNCTION touch_pairs() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN UPDATE user_code.paired SET seconds = seconds; RETURN true; END $$;
CREATE VIEW pairs AS SELECT * FROM pairs_table WHERE (SELECT touch_pairs());
SELECT count(*), min(item_id::text) FROM als_recommend_as(NULL::pair, 'paired', (1, 'u')::pair, 40);
SELECT count(*) FROM als_explain_as(NULL::pair, 'paired', (1, 'u')::pair, (2, 'i')::pair);

-- What a session keeps of models goes with them.
CREATE FUNCTION kept() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'als model'
$$;
DO $$
BEGIN
    FOR i IN 1..20 LOOP
        PERFORM als_train('user_code.passing', 'user_code.ratings', factors => 4, iterations => 1);
        PERFORM als_recommend('user_code.passing', 1);
        DROP TABLE user_code.passing;
    END LOOP;
END $$;
BEGIN;
SELECT count(*) FROM als_recommend('plain', 1);
COMMIT;
SELECT kept() <= (SELECT count(*) FROM als_models) AS only_models_that_exist;
DROP SCHEMA user_code CASCADE;
