-- Functions by which ratings are read or ids converted change the very model:
-- the locks of a training or of a call do not keep its own session away
SET client_min_messages = warning;
CREATE SCHEMA changed;
SET search_path = changed, public;
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(30, 40, 39);
-- what is done at the countdown's end, once
CREATE TABLE act (countdown int, statement text);
CREATE FUNCTION act(id int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    now_due text;
BEGIN
    UPDATE changed.act SET countdown = countdown - 1 WHERE countdown >= 0 RETURNING CASE countdown WHEN 0 THEN statement END INTO now_due;
    IF now_due IS NOT NULL THEN
        EXECUTE now_due;
    END IF;
    RETURN id;
END $$;
CREATE VIEW acting AS SELECT act(user_id) AS user_id, item_id, rating FROM ratings;
CREATE FUNCTION attempt(call text, due int, statement text, source text DEFAULT 'changed.ratings') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    DROP TABLE IF EXISTS changed.model;
    PERFORM als_train('changed.model', source, factors => 3, iterations => 1);
    INSERT INTO act VALUES (due, statement);
    EXECUTE call INTO answer;
    IF EXISTS (SELECT FROM act WHERE countdown > 0) THEN
        RAISE 'nothing was done';
    END IF;
    RAISE SQLSTATE 'ALSOK' USING MESSAGE = coalesce(answer, 'null');
EXCEPTION
    WHEN SQLSTATE 'ALSOK' THEN
        RETURN SQLERRM;
    WHEN OTHERS THEN
        RETURN SQLSTATE || ' ' || regexp_replace(SQLERRM, '\d{4,}', 'OID');
END $$;
CREATE TABLE statements (n int GENERATED ALWAYS AS IDENTITY, statement text);
INSERT INTO statements (statement) VALUES
    ('DROP TABLE changed.model'),
    ('DROP TABLE changed.model; SELECT als_train(''changed.model'', ''changed.ratings'', factors => 2, feedback => ''explicit'')'),
    ('SELECT als_train(''changed.model'', ''changed.ratings'', factors => 2)'),
    ('TRUNCATE changed.model'),
    ('ALTER TABLE changed.model RENAME TO other'),
    ('ALTER TABLE changed.model NOT OF; ALTER TABLE changed.model ALTER source TYPE bigint USING 4702111234474983745'),
    ('ALTER TABLE changed.model_users ALTER user_id TYPE text'),
    ('ALTER TABLE changed.model_users ADD CHECK (user_id < 5) NOT VALID'),
    ('ALTER TABLE changed.model_users ADD FOREIGN KEY (user_id) REFERENCES changed.some_users NOT VALID'),
    ('ALTER TABLE changed.model_users RENAME TO other'),
    ('DELETE FROM changed.model WHERE run < 1');
CREATE TABLE some_users (user_id int PRIMARY KEY);

-- a training, while its ratings are read
SELECT statement, attempt('SELECT run FROM als_train(''changed.model'', ''changed.acting'', factors => 3, iterations => 1)', 7, statement)
FROM statements ORDER BY n;
SELECT attempt('SELECT run FROM als_train(''changed.model'', ''changed.ratings'', factors => 3, iterations => 1, validation => ''changed.acting'')', 7, statement), count(*)
FROM statements GROUP BY 1 ORDER BY 1;
-- the same of one that makes the model
SELECT attempt('SELECT run FROM als_train(''changed.new'', ''changed.acting'', factors => 3, iterations => 1)', 7, statement)
FROM (VALUES ('DROP TABLE changed.new'), ('SELECT als_train(''changed.new'', ''changed.ratings'', factors => 2)'), ('CREATE TABLE changed.new_users (a int)')) v(statement);
-- and of a refit, which reads once more
SELECT statement, attempt('SELECT rank FROM als_tune(''changed.model'', ''changed.acting'', ''{"factors": [3], "iterations": [1]}'', validation_fraction => 0.2, refit => true)', 500, statement)
FROM (SELECT * FROM statements UNION ALL VALUES (98, 'DELETE FROM changed.ratings'), (99, 'TRUNCATE changed.model_users')) s ORDER BY n;
SELECT attempt('SELECT rank FROM als_tune(''changed.new'', ''changed.acting'', ''{"factors": [3], "iterations": [1]}'', validation_fraction => 0.2, refit => true)', 500, statement)
FROM (VALUES ('ALTER TABLE changed.new_users ALTER user_id TYPE text'), ('DROP TABLE changed.new'), ('SELECT 1')) v(statement);

-- A domain's CHECK, wherever a call comes by one
CREATE FUNCTION checks(id int) RETURNS boolean LANGUAGE sql AS 'SELECT changed.act(id) = id';
CREATE DOMAIN checked AS int CHECK (checks(VALUE));
SELECT substring(call, 'als_\w+') AS function, attempt(works, 1, 'DROP TABLE changed.model', source) AS dropped,
    attempt(works, 1, 'ALTER TABLE changed.model RENAME TO other', source) AS renamed
FROM (VALUES ('als_predict(''changed.model'', ''1'', ''2'')'),
             ('als_recommend_as(NULL::int, ''changed.model'', ''1'')'),
             ('als_similar_users_as(NULL::int, ''changed.model'', ''1'')'),
             ('als_explain_as(NULL::int, ''changed.model'', ''1'', ''2'')'),
             ('als_recommend_all_as(NULL::int, NULL::int, ''changed.model'', users => ARRAY[1, 2])'),
             ('als_refresh_user(''changed.model'', ''1'')'),
             ('als_refresh_item(''changed.model'', ''2'')')) c(call),
     format('SELECT ''works'' FROM %s', call) works,
     (SELECT 'SELECT user_id::changed.checked AS user_id, item_id::changed.checked AS item_id, rating FROM changed.ratings') s(source);
-- A cast of the argument
CREATE TYPE who AS (id int);
CREATE FUNCTION who_id(who) RETURNS int LANGUAGE sql AS 'SELECT changed.act(($1).id)';
CREATE CAST (who AS int) WITH FUNCTION who_id(who) AS IMPLICIT;
SELECT substring(call, 'als_\w+') AS function, attempt(call, 1, 'DROP TABLE changed.model') AS dropped,
    attempt(call, 1, 'ALTER TABLE changed.model_users RENAME TO other') AS renamed
FROM (VALUES ('SELECT als_predict(''changed.model'', ROW(1)::changed.who, 2) IS NOT NULL'),
             ('SELECT count(*) FROM als_recommend(''changed.model'', ROW(1)::changed.who)'),
             ('SELECT count(*) FROM als_similar_users(''changed.model'', ROW(1)::changed.who)'),
             ('SELECT count(*) > 0 FROM als_explain(''changed.model'', ROW(1)::changed.who, 2)'),
             ('SELECT als_refresh_user(''changed.model'', ROW(1)::changed.who)'),
             ('SELECT als_refresh_item(''changed.model'', ROW(2)::changed.who)')) c(call);
SET client_min_messages = error;
DROP SCHEMA changed CASCADE;
