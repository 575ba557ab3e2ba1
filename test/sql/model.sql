-- A model is a relation: names, ownership, privileges, dependencies
SET client_min_messages = warning;
CREATE SCHEMA model;
CREATE SCHEMA elsewhere;
SET search_path = model, public;
CREATE ROLE als_owner;
CREATE ROLE als_reader;
GRANT USAGE ON SCHEMA model, elsewhere TO als_owner, als_reader;
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(30, 20, 25);
\i test/include/errors.sql
\x on

-- to train takes SELECT on the source and CREATE on the schema
SET ROLE als_owner;
SELECT * FROM try($$SELECT als_train('mine', 'ratings', factors => 3)$$);
RESET ROLE;
GRANT CREATE ON SCHEMA model TO als_owner;
SET ROLE als_owner;
SELECT * FROM try($$SELECT als_train('mine', 'ratings', factors => 3)$$);
RESET ROLE;
GRANT SELECT ON ratings TO als_owner;
SET ROLE als_owner;
SELECT run, users, items FROM als_train('mine', 'ratings', factors => 3);
RESET ROLE;
SELECT relname, pg_get_userbyid(relowner) AS owner FROM pg_class
WHERE relnamespace = 'model'::regnamespace AND relname LIKE 'mine%' AND relkind = 'r' ORDER BY relname;

-- to predict takes SELECT on the model, nothing else
SET ROLE als_reader;
SELECT * FROM try($$SELECT als_predict('mine', 1, 2)$$);
SELECT * FROM try($$SELECT als_recommend('mine', 1)$$);
RESET ROLE;
GRANT SELECT ON mine TO als_reader;
SET ROLE als_reader;
SELECT als_predict('mine', 1, 2) IS NOT NULL AS predicted;
SELECT count(*) FROM als_recommend('mine', 1, exclude_seen => false);
SELECT * FROM try($$SELECT * FROM mine_users$$);
-- and the source for what the user has seen, as if the caller had run that
SELECT * FROM try($$SELECT als_recommend('mine', 1)$$);
RESET ROLE;
GRANT SELECT ON ratings TO als_reader;
SET ROLE als_reader;
SELECT count(*) > 0 AS recommended FROM als_recommend('mine', 1);
-- only the owner trains again
SELECT * FROM try($$SELECT als_train('mine', 'ratings', factors => 3)$$);
RESET ROLE;

-- somebody else's factor tables cannot be served by a model of one's own
SET ROLE als_owner;
CREATE TABLE borrowed OF als_model;
INSERT INTO borrowed SELECT * FROM mine;
ALTER TABLE borrowed OWNER TO als_owner;
SELECT als_predict('borrowed', 1, 2) = als_predict('mine', 1, 2) AS own;
RESET ROLE;
GRANT CREATE ON SCHEMA model TO als_reader;
SET ROLE als_reader;
CREATE TABLE stolen OF als_model;
INSERT INTO stolen SELECT * FROM mine;
SELECT * FROM try($$SELECT als_predict('stolen', 1, 2)$$);
RESET ROLE;
DROP TABLE borrowed, stolen;

-- row-level security is not silently passed by
ALTER TABLE mine_items ENABLE ROW LEVEL SECURITY;
SELECT * FROM try($$SELECT als_predict('mine', 1, 2)$$);
ALTER TABLE mine_items DISABLE ROW LEVEL SECURITY;
ALTER TABLE mine ENABLE ROW LEVEL SECURITY;
SET ROLE als_reader;
SELECT * FROM try($$SELECT als_predict('mine', 1, 2)$$);
RESET ROLE;
ALTER TABLE mine DISABLE ROW LEVEL SECURITY;
\x off

-- renaming and moving change nothing
SELECT als_predict('mine', 1, 2) AS score INTO before;
ALTER TABLE mine RENAME TO yours;
ALTER TABLE mine_users SET SCHEMA elsewhere;
ALTER TABLE mine_items RENAME TO "some items";
SELECT als_predict('yours', 1, 2) = score AS same FROM before;
ALTER TABLE yours SET SCHEMA elsewhere;
SELECT als_predict('elsewhere.yours', 1, 2) = score AS same FROM before;
SELECT model, schema, name, owner FROM als_models WHERE name = 'yours';
SELECT run FROM als_train('elsewhere.yours', 'ratings', factors => 4);
SELECT DISTINCT array_length(factors, 1) FROM elsewhere.mine_users;
SELECT user_factors, item_factors FROM elsewhere.yours ORDER BY run;

-- retraining keeps oids, grants, views, indexes
CREATE VIEW a_view AS SELECT count(*) FROM elsewhere.mine_users;
CREATE INDEX by_length ON elsewhere.mine_users (array_length(factors, 1));
GRANT SELECT ON elsewhere.mine_users TO als_reader;
SELECT 'elsewhere.mine_users'::regclass::oid AS oid INTO oid_before;
SELECT run FROM als_train('elsewhere.yours', 'ratings', factors => 5);
SELECT oid = 'elsewhere.mine_users'::regclass AS same FROM oid_before;
SELECT has_table_privilege('als_reader', 'elsewhere.mine_users', 'SELECT') AS granted;
SELECT * FROM a_view;
SET enable_seqscan = off;
SELECT count(*) FROM elsewhere.mine_users WHERE array_length(factors, 1) = 5;
RESET enable_seqscan;
SELECT indisvalid FROM pg_index WHERE indrelid = 'elsewhere.mine_users'::regclass;

-- a retraining that fails leaves the old model
SELECT als_predict('elsewhere.yours', 1, 2) AS score INTO good;
SELECT als_train('elsewhere.yours', 'SELECT user_id, item_id, NULLIF(rating, 1) AS rating FROM ratings');
SELECT als_train('elsewhere.yours', 'ratings', factors => 60, regularization => 0);
BEGIN;
SELECT run FROM als_train('elsewhere.yours', 'ratings', factors => 2);
SELECT als_predict('elsewhere.yours', 1, 2) = score AS old FROM good;
ROLLBACK;
SELECT als_predict('elsewhere.yours', 1, 2) = score AS old FROM good;
SELECT count(*) FROM elsewhere.yours;

-- an open cursor on the factors keeps them
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM elsewhere.mine_users;
FETCH 1 FROM c \g /dev/null
SELECT als_train('elsewhere.yours', 'ratings', factors => 2);
ROLLBACK;

-- what the session keeps follows DML, too
SELECT als_predict('elsewhere.yours', 1, 2) = score AS old FROM good;
UPDATE "some items" SET factors = array_fill(0::real, ARRAY[5]) WHERE item_id = 2;
SELECT als_predict('elsewhere.yours', 1, 2);
DELETE FROM "some items" WHERE item_id = 2;
SELECT als_predict('elsewhere.yours', 1, 2);
BEGIN;
DELETE FROM elsewhere.mine_users;
SELECT als_predict('elsewhere.yours', 1, 3);
ROLLBACK;
SELECT als_predict('elsewhere.yours', 1, 3) IS NOT NULL AS known;
TRUNCATE "some items";
SELECT als_predict('elsewhere.yours', 1, 3);
SELECT count(*) FROM als_recommend('elsewhere.yours', 1);
-- the run that serves has been deleted
SELECT run FROM als_train('elsewhere.yours', 'ratings', factors => 5);
DELETE FROM elsewhere.yours WHERE serving;
SELECT als_predict('elsewhere.yours', 1, 3);
SELECT run FROM als_train('elsewhere.yours', 'ratings', factors => 5);
DELETE FROM elsewhere.yours;
SELECT run, user_factors FROM als_train('elsewhere.yours', 'ratings', factors => 5);
SELECT als_predict('elsewhere.yours', 1, 2) = score AS again FROM good;

-- dropping the model drops the factors, which cannot be dropped alone
DROP TABLE "some items";
DROP VIEW a_view;
DROP TABLE elsewhere.yours;
SELECT relname FROM pg_class WHERE relname IN ('mine_users', 'some items', 'yours');

-- a temporary model
SELECT run FROM als_train('pg_temp.brief', 'ratings', factors => 3);
SELECT als_predict('brief', 1, 2) IS NOT NULL AS known;
SELECT relname, relpersistence FROM pg_class WHERE relname LIKE 'brief%' AND relkind = 'r' ORDER BY relname;

-- the name of a model that exists further down the search path is that model
CREATE SCHEMA first;
SELECT run FROM als_train('shared', 'ratings', factors => 3);
SET search_path = first, model, public;
SELECT run FROM als_train('shared', 'ratings', factors => 3);
SELECT schema, name FROM als_models WHERE name = 'shared';
-- that of another relation there does not hinder a new one
CREATE TABLE model.other ();
SELECT run FROM als_train('other', 'model.ratings', factors => 3);
SELECT schema, name FROM als_models WHERE name = 'other';

-- functions and types explain themselves
SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
    JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'als'
WHERE obj_description(p.oid, 'pg_proc') IS NULL;

SET client_min_messages = error;
DROP SCHEMA model, elsewhere, first CASCADE;
DROP ROLE als_owner, als_reader;
