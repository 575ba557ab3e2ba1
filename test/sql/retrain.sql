-- What a retraining stores goes around what PostgreSQL checks of rows that are
-- inserted: it is refused before the work, or checked
SET client_min_messages = warning;
CREATE SCHEMA retrain;
SET search_path = retrain, public;
CREATE ROLE als_first;
CREATE ROLE als_second;
CREATE ROLE als_group;
GRANT als_group TO als_first;
GRANT ALL ON SCHEMA retrain TO als_first, als_second, als_group;
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(30, 40, 39);
GRANT SELECT ON ratings TO als_first, als_second;
\i test/include/errors.sql
\x on

-- ids beyond what the column of the first training takes
SELECT run FROM als_train('lengths', 'SELECT user_id::text::varchar(3) AS user_id, item_id::numeric(6, 2) AS item_id, rating FROM ratings', factors => 3);
SELECT * FROM try($$SELECT als_train('lengths', 'SELECT (user_id + 1000000)::text::varchar AS user_id, item_id::numeric(6, 2) AS item_id, rating FROM ratings')$$);
SELECT * FROM try($$SELECT als_train('lengths', 'SELECT (user_id::text || ''    '')::varchar(10) AS user_id, item_id::numeric(6, 2) AS item_id, rating FROM ratings')$$);
SELECT * FROM try($$SELECT als_train('lengths', 'SELECT user_id::text::varchar(3) AS user_id, item_id + 0.125 AS item_id, rating FROM ratings')$$);
SELECT * FROM try($$SELECT als_train('lengths', 'SELECT user_id::text::varchar(3) AS user_id, item_id * 1000000.0 AS item_id, rating FROM ratings')$$);
SELECT * FROM try($$SELECT als_train_agg('lengths', (user_id + 1000000)::text::varchar, item_id::numeric(6, 2), rating, '{}') FROM ratings$$);
-- those that fit are stored, of whatever type modifier
SELECT run FROM als_train('lengths', 'SELECT user_id::text::varchar(9) AS user_id, item_id + 0.25 AS item_id, rating FROM ratings', factors => 3);
SELECT max(length(user_id)) AS longest FROM lengths_users;
SELECT run FROM als_train('any_length', 'SELECT user_id::text::varchar AS user_id, item_id, rating FROM ratings', factors => 3);
SELECT run FROM als_train('any_length', 'SELECT (user_id + 1000000)::text::varchar(10) AS user_id, item_id, rating FROM ratings', factors => 3);

-- ids that another collation tells apart
CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
SELECT run FROM als_train('caseless', 'SELECT (''u'' || user_id) COLLATE caseless AS user_id, item_id, rating FROM ratings', factors => 3);
SELECT * FROM try($$SELECT als_train('caseless', 'SELECT CASE item_id % 2 WHEN 0 THEN ''u'' ELSE ''U'' END || user_id AS user_id, item_id, rating FROM ratings')$$);
SELECT run FROM als_train('cased', 'SELECT ''u'' || user_id AS user_id, item_id, rating FROM ratings', factors => 3);
SELECT * FROM try($$SELECT als_train('cased', 'SELECT (CASE item_id % 2 WHEN 0 THEN ''u'' ELSE ''U'' END || user_id) COLLATE caseless AS user_id, item_id, rating FROM ratings')$$);
SELECT run FROM als_train('cased', 'SELECT (''u'' || user_id) COLLATE "C" AS user_id, item_id, rating FROM ratings', factors => 3);

-- ids that no index takes: a model with an order has one
SELECT * FROM try($$SELECT als_train('long', 'SELECT user_id, item_id || (SELECT string_agg(md5(n::text), '''') FROM generate_series(1, 100) n) AS item_id, rating FROM ratings')$$);
SELECT run FROM als_train('long', 'SELECT user_id, item_id || repeat(''x'', 10000) AS item_id, rating FROM ratings', factors => 3);
SELECT * FROM try($$SELECT als_train('long', 'SELECT user_id, item_id || (SELECT string_agg(md5(n::text), '''') FROM generate_series(1, 100) n) AS item_id, rating FROM ratings')$$);
SELECT run, items FROM als_train('longest', 'SELECT user_id, right(item_id || (SELECT string_agg(md5(n::text), '''') FROM generate_series(1, 100) n), 2690) || item_id % 10 AS item_id, rating FROM ratings', factors => 3);

-- constraints and whatever else has a say in rows that are inserted; triggers
-- do not fire, as for REFRESH MATERIALIZED VIEW
CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''fired''; END';
CREATE TABLE known_items AS SELECT DISTINCT item_id FROM ratings;
ALTER TABLE known_items ADD PRIMARY KEY (item_id);
SELECT run FROM als_train('m', 'ratings', factors => 3);
CREATE FUNCTION with_ddl(ddl text) RETURNS TABLE (code text, message text, detail text, hint text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE ddl;
    RETURN QUERY SELECT * FROM try('SELECT als_train(''m'', ''SELECT user_id, item_id + 1 AS item_id, rating, nextval(''''reads'''') FROM ratings'', factors => 3)');
    RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN
END $$;
CREATE SEQUENCE reads;
SELECT * FROM with_ddl('ALTER TABLE m_items ADD FOREIGN KEY (item_id) REFERENCES known_items');
SELECT * FROM with_ddl('CREATE TABLE favourites (item_id int REFERENCES m_items)');
SELECT * FROM with_ddl('ALTER TABLE m_items ADD CHECK (item_id <= 40)');
SELECT * FROM with_ddl('CREATE UNIQUE INDEX by_hundreds ON m_items ((item_id % 100))');
SELECT * FROM with_ddl('ALTER TABLE m_items ADD UNIQUE (item_id, factors)');
SELECT * FROM with_ddl('ALTER TABLE m_items ADD EXCLUDE (item_id WITH =)');
SELECT * FROM with_ddl('CREATE RULE r AS ON INSERT TO m_items DO INSTEAD NOTHING');
SELECT * FROM with_ddl('ALTER TABLE m_items DROP factors, ADD factors real[] GENERATED ALWAYS AS (ARRAY[0, 0, 0]) STORED');
SELECT * FROM with_ddl('CREATE TABLE whole (item_id int NOT NULL, factors real[] NOT NULL) PARTITION BY RANGE (item_id); ALTER TABLE whole ATTACH PARTITION m_items FOR VALUES FROM (0) TO (41)');
SELECT * FROM with_ddl('CREATE TRIGGER t BEFORE INSERT ON m_items EXECUTE FUNCTION never()');
SELECT * FROM with_ddl('CREATE UNIQUE INDEX ON m_items (item_id) INCLUDE (factors); ALTER TABLE m_items DROP CONSTRAINT m_items_pkey');
SELECT last_value, is_called FROM reads;
-- and of the model's own table, if the row does not get in
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE RULE r AS ON INSERT TO m DO INSTEAD NOTHING;
SELECT * FROM try($$SELECT als_train('m', 'ratings', factors => 3)$$);
DROP RULE r ON m;
CREATE TRIGGER t BEFORE INSERT ON m FOR EACH ROW EXECUTE FUNCTION nothing();
SELECT * FROM try($$SELECT als_train('m', 'ratings', factors => 3)$$);
DROP TRIGGER t ON m;
SELECT run FROM als_train('m', 'ratings', factors => 3);

-- a refresh whose row does not get in says so
CREATE FUNCTION refreshed(ddl text) RETURNS TABLE (what text, code text, message text, detail text, hint text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE ddl;
    INSERT INTO ratings VALUES (31, 1, 1), (31, 2, 1);
    DELETE FROM ratings WHERE user_id = 2;
    RETURN QUERY SELECT 'insert', * FROM try('SELECT als_refresh_user(''m'', 31)');
    RETURN QUERY SELECT 'update', * FROM try('SELECT als_refresh_user(''m'', 1)');
    RETURN QUERY SELECT 'delete', * FROM try('SELECT als_refresh_user(''m'', 2)');
    RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN
END $$;
SELECT * FROM refreshed('SELECT');
SELECT * FROM refreshed('CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON m_users FOR EACH ROW EXECUTE FUNCTION nothing()');
SELECT * FROM refreshed('CREATE UNIQUE INDEX one_more ON m_users ((user_id % 30))');
SELECT * FROM refreshed('CREATE RULE r AS ON DELETE TO m_users DO INSTEAD NOTHING');
SELECT * FROM refreshed('CREATE RULE r AS ON UPDATE TO m_users DO INSTEAD NOTHING');
SELECT * FROM refreshed('CREATE RULE r AS ON INSERT TO m_users DO INSTEAD NOTHING');
\x off

-- a model without a run takes its tables over
TRUNCATE m;
SELECT als_predict('m', 1, 1);
SELECT als_train('m', 'ratings', feedback => 'explicit', factors => 3);
SELECT als_train('m', 'SELECT user_id::bigint, item_id, rating FROM ratings', factors => 3);
SELECT run, user_factors, item_factors FROM als_train('m', 'ratings', factors => 3, warm_start => true);
SELECT als_predict('m', 1, 1) IS NOT NULL AS predicts;
ALTER TABLE m_users RENAME TO the_users;
DELETE FROM m;
SELECT run, user_factors, item_factors FROM als_train('m', 'ratings', factors => 3);
-- also without the dependency, by name, if it is the owner's
DELETE FROM pg_depend WHERE refobjid = 'm'::regclass AND objid IN ('the_users'::regclass, 'm_items'::regclass);
ALTER TABLE the_users RENAME TO m_users;
TRUNCATE m;
ALTER TABLE m_items OWNER TO als_first;
SELECT als_train('m', 'ratings', factors => 3);
ALTER TABLE m_items OWNER TO CURRENT_USER;
SELECT run, user_factors, item_factors FROM als_train('m', 'ratings', factors => 3);
SELECT count(*) FROM pg_depend WHERE refobjid = 'm'::regclass AND objid IN ('m_users'::regclass, 'm_items'::regclass);
-- a table of another model, a table of other columns
CREATE TABLE other OF als_model;
ALTER TABLE m_users RENAME TO other_users;
SELECT als_train('other', 'ratings', factors => 3);
ALTER TABLE other_users RENAME TO m_users;
CREATE TABLE other_users (user_id int, favourite int);
SELECT als_train('other', 'ratings', factors => 3);
DROP TABLE other_users;
-- nor one of another model that a row names
SELECT run FROM als_train('edited', 'ratings', factors => 3);
UPDATE edited SET item_factors = 'm_items';
SELECT * FROM try($$SELECT als_train('edited', 'ratings', factors => 3)$$);
DROP TABLE edited, edited_items;
SELECT als_predict('m', 1, 1) IS NOT NULL AS predicts;
-- one of the two is lost
SELECT run, user_factors, item_factors FROM als_train('other', 'ratings', feedback => 'explicit', factors => 3);
DELETE FROM pg_depend WHERE refobjid = 'other'::regclass AND objid = 'other_users'::regclass;
DROP TABLE other_users;
SELECT als_train('other', 'ratings', feedback => 'explicit', factors => 3);
TRUNCATE other;
SELECT run, user_factors, item_factors FROM als_train('other', 'ratings', feedback => 'explicit', factors => 3);

-- the owner is a role that the trainer is a member of: its tables are the owner's
SET ROLE als_first;
CREATE TABLE shared OF als_model;
ALTER TABLE shared OWNER TO als_group;
SELECT run FROM als_train('shared', 'ratings', factors => 3);
SELECT run FROM als_train('shared', 'ratings', factors => 3);
RESET ROLE;
SELECT relname, pg_get_userbyid(relowner) AS owner FROM pg_class WHERE relname LIKE 'shared%' AND relkind = 'r' ORDER BY 1;

-- arrays, whose elements have the length
CREATE TABLE tags AS SELECT ARRAY[user_id::text]::varchar(3)[] AS user_id, item_id, rating FROM ratings;
SELECT run FROM als_train('tagged', 'tags', factors => 3);
SELECT run FROM als_train('tagged', 'tags', factors => 3);
SELECT als_train('tagged', 'SELECT ARRAY[user_id[1] || ''longer'']::varchar[] AS user_id, item_id, rating FROM tags', factors => 3);
SELECT als_train('tagged', 'SELECT user_id::varchar(9)[] AS user_id, item_id, rating FROM tags', factors => 3);
SELECT als_refresh_user('tagged', user_id), (SELECT count(*) > 0 FROM als_recommend('tagged', user_id)) AS recommended FROM tags LIMIT 1;
-- as a domain that has one too
CREATE DOMAIN short_tags AS varchar(3)[];
CREATE DOMAIN rounded AS numeric(4,1)[];
SELECT users FROM als_train('numbered', 'SELECT user_id, ARRAY[item_id::numeric, 0.25] AS item_id, rating FROM ratings', factors => 3);
SELECT * FROM als_similar_users_as(NULL::short_tags, 'tagged', (SELECT min(user_id) FROM tags), 1);
SELECT * FROM als_recommend_as(NULL::rounded, 'numbered', 1, 1);
SELECT count(*) FROM als_recommend_as(NULL::numeric[], 'numbered', 1, 1);
SELECT users FROM als_train('domained', 'SELECT user_id::short_tags AS user_id, item_id, rating FROM tags', factors => 3);
SELECT count(*) FROM als_similar_users_as(NULL::short_tags, 'domained', (SELECT min(user_id) FROM tags), 1);

SET client_min_messages = error;
DROP SCHEMA retrain CASCADE;
DROP ROLE als_first, als_second, als_group;
