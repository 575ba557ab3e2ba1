-- Every function that takes a model takes any regclass: none, of anything, of nothing
SET client_min_messages = warning;
CREATE SCHEMA not_a_model;
SET search_path = not_a_model, public;
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(30, 40, 39);
SELECT run FROM als_train('model', 'ratings', factors => 3);

-- what is no model, by what it is
CREATE TABLE a_table (user_id int);
CREATE TABLE wide (t text);
CREATE TABLE partitioned (user_id int) PARTITION BY RANGE (user_id);
CREATE TABLE partitioned_model OF als_model PARTITION BY RANGE (run);
CREATE TABLE partitioned_model_1 PARTITION OF partitioned_model FOR VALUES FROM (1) TO (100);
CREATE VIEW a_view AS SELECT * FROM model;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM model;
CREATE INDEX an_index ON a_table (user_id);
CREATE INDEX partitioned_index ON partitioned (user_id);
CREATE SEQUENCE a_sequence;
CREATE TYPE composite AS (run integer);
CREATE FOREIGN DATA WRAPPER nothing;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
CREATE FOREIGN TABLE foreign_table (run integer) SERVER nowhere;
CREATE TYPE als_model AS (run integer);
CREATE TABLE other_type OF not_a_model.als_model;
CREATE TABLE things (what text, relation regclass);
INSERT INTO things VALUES
    ('nothing', 0), ('out of range', 4294967295), ('no relation', 'int4'::regtype::oid),
    ('table', 'a_table'), ('toast table', (SELECT reltoastrelid FROM pg_class WHERE oid = 'wide'::regclass)),
    ('partitioned table', 'partitioned'), ('partitioned table OF als_model', 'partitioned_model'),
    ('partition', 'partitioned_model_1'), ('view', 'a_view'), ('materialized view', 'a_matview'),
    ('index', 'an_index'), ('partitioned index', 'partitioned_index'), ('sequence', 'a_sequence'),
    ('composite type', 'composite'), ('type als_model', 'public.als_model'), ('foreign table', 'foreign_table'),
    ('catalog', 'pg_class'), ('table OF another als_model', 'other_type'), ('factor table', 'model_users'),
    ('null', NULL);
-- a table of the type whose columns are others: as many as the type has are
-- dropped first, of a type that a reader by number takes for pointers
DO $$
DECLARE
    attributes text;
BEGIN
    SELECT string_agg(format('d%s bigint', n), ', ') INTO attributes FROM generate_series(1, 36) n;
    EXECUTE format('CREATE TABLE dropped (%s)', attributes);
    SELECT string_agg(format('DROP COLUMN d%s', n), ', ') INTO attributes FROM generate_series(1, 36) n;
    EXECUTE 'INSERT INTO dropped SELECT ' || string_agg('4702111234474983745', ', ') FROM generate_series(1, 36);
    EXECUTE format('ALTER TABLE dropped %s', attributes);
    SELECT string_agg(format('ADD COLUMN %I %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum) INTO attributes
    FROM pg_attribute WHERE attrelid = 'public.als_model'::regclass AND attnum > 0 AND NOT attisdropped;
    EXECUTE format('ALTER TABLE dropped %s', attributes);
    ALTER TABLE dropped OF public.als_model;
END $$;

-- all functions whose argument it can be, with values for the others
CREATE TABLE calls (function regprocedure, call text);
INSERT INTO calls
SELECT p.oid, format('SELECT %I(%s)', proname,
    (SELECT string_agg(CASE WHEN argument_type = 'regclass'::regtype THEN '%1$L::regclass'
                            WHEN argument_name IN ('candidates', 'exclude', 'users', 'items') THEN
                                CASE argument_type WHEN 'text'::regtype THEN '''{1}''' ELSE 'ARRAY[1]' END
                            WHEN argument_name = 'metric' THEN '''cosine'''
                            WHEN argument_name = 'side' THEN '''item'''
                            WHEN argument_name = 'cold_start' THEN '''none'''
                            WHEN argument_type = 'boolean'::regtype THEN 'true'
                            WHEN argument_type = 'double precision[]'::regtype THEN 'ARRAY[1]::double precision[]'
                            WHEN argument_name = 'test' THEN '''ratings'''
                            WHEN argument_name IN ('item_type', 'user_type') THEN 'NULL::bigint'
                            WHEN argument_type = 'text'::regtype THEN '''1'''
                            ELSE '1' END, ', ' ORDER BY n)
     FROM unnest(proargtypes::oid[], proargnames) WITH ORDINALITY a(argument_type, argument_name, n)
     WHERE n <= pronargs - pronargdefaults))
FROM pg_proc p, pg_depend d, pg_extension e
WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' AND d.refobjid = e.oid AND extname = 'als'
    AND EXISTS (SELECT FROM unnest(proargnames, proargtypes::oid[]) a(name, type) WHERE name IN ('model', 'training') AND type = 'regclass'::regtype);
CREATE FUNCTION result(call text, relation regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE format(call, relation::oid) INTO answer;
    RETURN coalesce(answer, 'null');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || regexp_replace(SQLERRM, 'pg_toast_\d+', 'pg_toast_...');
END $$;
SELECT count(DISTINCT split_part(function::text, '(', 1)) > 10 AS many, bool_and(result(call, 'model') !~ '^[0-9A-Z]{5} ') AS all_answer
FROM calls WHERE call NOT LIKE '%track(%' AND call <> 'SELECT als_refresh(%1$L::regclass)';   -- those want it tracked, or not
SELECT what, result(call, relation), count(DISTINCT split_part(function::text, '(', 1)) AS functions
FROM things, calls GROUP BY what, result ORDER BY what, result;
SELECT name FROM als_models WHERE schema = 'not_a_model' ORDER BY name;
-- and als_train, which takes a name
SELECT what, regexp_replace(result(format('SELECT als_train(%L, ''ratings'')', relation::text), NULL), 'pg_toast_\d+', 'pg_toast_...') FROM things
WHERE what NOT IN ('nothing', 'out of range', 'no relation', 'null', 'catalog') ORDER BY what;

-- columns count by name and type, wherever they are: none of the dropped ones is read
SELECT DISTINCT result(call, 'dropped') FROM calls ORDER BY 1;
DELETE FROM dropped;
INSERT INTO dropped SELECT * FROM model;
SELECT als_predict('dropped', 1, 2) = als_predict('model', 1, 2) AS same;
DROP TABLE dropped;
-- a table that is no longer of the type
CREATE TABLE changed OF public.als_model;
INSERT INTO changed SELECT * FROM model;
SELECT als_predict('changed', 1, 2) = als_predict('model', 1, 2) AS same;
ALTER TABLE changed NOT OF;
SELECT result(call, 'changed'), count(*) > 10 AS many FROM calls GROUP BY 1;
ALTER TABLE changed OF public.als_model;
SELECT als_predict('changed', 1, 2) = als_predict('model', 1, 2) AS same;
SET client_min_messages = error;
DROP SCHEMA not_a_model CASCADE;
DROP FOREIGN DATA WRAPPER nothing CASCADE;
