-- What may be given as ratings: the name of a relation, or exactly one SELECT
SET client_min_messages = warning;
CREATE SCHEMA sources;
SET search_path = sources, public;
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(30, 20, 39);
CREATE TABLE victim (id integer);
CREATE VIEW locking_view AS SELECT * FROM ratings FOR UPDATE;
CREATE TABLE "SELECT" AS TABLE ratings;
CREATE TABLE "a.b ""c" AS TABLE ratings;

\i test/include/errors.sql

-- a text that closes the parenthesis that it is put into
CREATE FUNCTION injection() RETURNS text LANGUAGE sql AS $$
    SELECT 'SELECT 1 AS user_id,1 AS item_id,1 AS rating) AS ratings; DROP TABLE sources.victim; SELECT ratings.item_id::int, 1::float8 FROM (SELECT 1 AS user_id, 1 AS item_id, 1 AS rating'
$$;
CREATE TABLE given (number integer, source text);
INSERT INTO given VALUES
    (1, injection()),
    (2, 'SELECT * FROM ratings) AS ratings -- '),
    (3, '(SELECT * FROM ratings'),
    (4, 'SELECT * FROM ratings; DROP TABLE sources.victim'),
    (5, 'DROP TABLE sources.victim'),
    (6, ''),
    (7, ' ; ; '),
    (8, '-- nothing'),
    (9, '/* nothing'),
    (10, 'SELECT * INTO sources.copy FROM ratings'),
    (11, 'SELECT * INTO sources.copy FROM ratings UNION ALL SELECT * FROM ratings'),
    (12, 'WITH d AS (DELETE FROM ratings RETURNING *) SELECT * FROM d'),
    (13, 'INSERT INTO victim VALUES (1) RETURNING 1 AS user_id, 1 AS item_id, 1 AS rating'),
    (14, 'EXPLAIN SELECT * FROM ratings'),
    (15, 'SELECT * FROM ratings FOR UPDATE'),
    (16, 'SELECT * FROM (SELECT * FROM ratings FOR SHARE) r'),
    (17, 'SELECT $1::int AS user_id, 1 AS item_id, 1 AS rating'),
    (18, 'ratings; DROP TABLE sources.victim'),
    (19, 'ratings) AS ratings; DROP TABLE sources.victim; --'),
    (20, 'no.such.place.ratings'),
    (21, 'locking_view'), (22, 'SELECT * FROM locking_view'), (23, 'no such view'), (24, 'select'),
    -- and what is fine
    (30, 'ratings'), (31, ' ratings '), (32, '"SELECT"'), (33, '"a.b ""c"'), (34, 'sources.ratings'),
    (35, 'SELECT * FROM ratings;'),
    (36, E' \t\n;SELECT * FROM ratings ; ; '),
    (37, '/* a /* nested */ comment; */ SELECT * FROM ratings -- and; another'),
    (38, 'SELECT user_id, item_id, rating FROM ratings WHERE $q$);$q$ <> '';)'' /* ;) */'),
    (39, 'TABLE ratings'), (40, 'VALUES(1,2,3),(2,3,4)'), (41, '((SELECT * FROM ratings))'),
    (42, 'WITH r AS (TABLE ratings) SELECT * FROM r'), (43, 'TABLE ratings UNION ALL TABLE ratings ORDER BY 1 LIMIT 100'),
    (44, 'SELECT*FROM"ratings"');
SELECT number, t.* FROM given, try(format('SELECT als_train(''model_%s'', %L, user_column => %L, item_column => %L, rating_column => %L, factors => 2, iterations => 1)',
    number, source, CASE number WHEN 40 THEN 'column1' ELSE 'user_id' END, CASE number WHEN 40 THEN 'column2' ELSE 'item_id' END,
    CASE number WHEN 40 THEN 'column3' ELSE 'rating' END)) t ORDER BY number;
-- the same wherever a source is given
SELECT t.* FROM unnest(ARRAY[
    $$SELECT als_train('m', 'ratings', validation => injection())$$,
    $$SELECT als_tune('m', injection(), '{"factors": [2]}', validation_fraction => 0.1)$$,
    $$SELECT als_tune('m', 'ratings', '{"factors": [2]}', validation => injection())$$,
    $$SELECT als_evaluate('model_30', injection())$$,
    $$SELECT als_evaluate('model_30', 'ratings', training => injection())$$,
    $$SELECT als_evaluate_users('model_30', injection())$$]) query, try(query) t;
-- or stored
UPDATE model_30 SET source = injection();
SELECT query, t.* FROM unnest(ARRAY[
    $$SELECT als_recommend('model_30', 1)$$, $$SELECT als_recommend('model_30', 1000)$$,
    $$SELECT als_recommend('model_30', NULL::int, cold_start => 'popular')$$,
    $$SELECT als_recommend_all('model_30')$$, $$SELECT als_explain('model_30', 1, 2)$$,
    $$SELECT als_refresh_user('model_30', 1)$$, $$SELECT als_refresh_item('model_30', 1)$$,
    $$SELECT als_evaluate('model_30', 'ratings')$$]) query, try(query) t;
SELECT count(*) FROM victim;
-- the place of a mistake is that in the source
SELECT als_train('model', 'SELECT * FRM ratings');
-- a query that is kept serves as it was given
SELECT source LIKE '%SELECT * FROM ratings -- and; another' AS kept FROM model_37;
SELECT array(SELECT r FROM als_recommend('model_37', 1) r) = array(SELECT r FROM als_recommend('model_34', 1) r) AS same;
-- a refresh sees what its own transaction has done just before
BEGIN;
INSERT INTO ratings VALUES (1000, 1, 5);
SELECT als_refresh_user('model_34', 1000);
ROLLBACK;
-- and so does a training, in the same statement that calls it
CREATE FUNCTION add_and_train() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ratings VALUES (2000, 1, 5);
    RETURN (als_train('model_34', 'ratings', factors => 2)).users;
END $$;
SELECT add_and_train() - count(DISTINCT user_id) AS added FROM ratings;
-- reading writes nothing by itself; a function in a source does what it always does, but for one that must not
CREATE TABLE audit (who integer);
CREATE FUNCTION audited(who integer) RETURNS integer LANGUAGE plpgsql AS $$BEGIN INSERT INTO audit VALUES (who); RETURN who; END$$;
CREATE FUNCTION stably(who integer) RETURNS integer STABLE LANGUAGE plpgsql AS $$BEGIN INSERT INTO audit VALUES (who); RETURN who; END$$;
SELECT users = (SELECT count(DISTINCT user_id) FROM ratings) AS all FROM als_train('audited', 'SELECT sources.audited(user_id) AS user_id, item_id, rating FROM sources.ratings', factors => 2);
SELECT count(*) - (SELECT count(*) FROM ratings) AS more FROM audit;
SELECT count(*) FROM als_recommend('audited', 1, 5);
SELECT count(*) - 2 * (SELECT count(*) FROM ratings) AS more FROM audit;
SELECT code, message FROM try($$SELECT als_train('audited', 'SELECT sources.stably(user_id) AS user_id, item_id, rating FROM sources.ratings', factors => 2)$$);
DROP SCHEMA sources CASCADE;
