-- One name for one thing in all functions: user_id and item_id for an id, users
-- and items for an array of them
SET client_min_messages = warning;
CREATE SCHEMA names;
SET search_path = names, public;
CREATE VIEW parameters AS
    SELECT p.proname AS function, a.name, a.type::regtype, coalesce(a.mode, 'i') = 't' AS result
    FROM pg_depend d JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid,
         unnest(p.proargnames, coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargmodes) a(name, type, mode)
    WHERE d.deptype = 'e' AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'als');
-- what takes values of any type, and what returns them
SELECT result, name, array_agg(DISTINCT function::text COLLATE "C") AS functions FROM parameters
WHERE name <> '' AND type IN ('"any"'::regtype, 'anyelement'::regtype, 'anycompatible'::regtype) GROUP BY 1, 2 ORDER BY 1, name COLLATE "C";
SELECT * FROM parameters WHERE name IN ('id', 'ids', 'item', 'item_ids', 'user', 'user_ids') ORDER BY 1, 2;
-- nor has a function an id of one side where another has that of the other
SELECT * FROM parameters WHERE function LIKE '%similar_users%' AND name = 'item_id' OR function LIKE '%similar_items%' AND name = 'user_id';

-- calls by name, where a name is that of an argument, of a column of the result and of one in the query
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, 1 AS rating FROM generate_series(1, 20) u, generate_series(1, 12) i WHERE (u * 7919 + i * 104729) % 97 < 40;
SELECT users, items FROM als_train('model', 'ratings', factors => 4);
CREATE TABLE text_ratings AS SELECT 'u' || user_id AS user_id, 'i' || item_id AS item_id, 1 AS rating FROM ratings;
SELECT users, items FROM als_train('text_model', 'text_ratings', factors => 4);
CREATE FUNCTION same(query text, other text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE format('WITH a AS (%s), b AS (%s) SELECT CASE WHEN NOT EXISTS ((TABLE a EXCEPT ALL TABLE b) UNION ALL (TABLE b EXCEPT ALL TABLE a)) THEN (SELECT count(*) FROM a) END', query, other) INTO n;
    RETURN n;
END $$;
SELECT same(by_name, by_place), by_name FROM (VALUES
    ('SELECT item_id, score FROM als_similar_items(model => ''model'', item_id => 7, k => 5)', 'SELECT * FROM als_similar_items(''model'', 7, 5)'),
    ('SELECT item_id, score FROM als_similar_items(item_id => ''7'', model => ''model'')', 'SELECT * FROM als_similar_items(''model'', 7)'),
    ('SELECT r.* FROM model_items i, als_similar_items(''model'', item_id => item_id) r', 'SELECT r.* FROM model_items i, als_similar_items(''model'', i.item_id) r'),
    ('SELECT * FROM als_similar_items_as(NULL::text, ''text_model'', item_id => ''i7'')', 'SELECT * FROM als_similar_items_as(NULL::text, ''text_model'', ''i7'')'),
    ('SELECT user_id, score FROM als_similar_users(model => ''model'', user_id => 3, k => 5)', 'SELECT * FROM als_similar_users(''model'', 3, 5)'),
    ('SELECT user_id, score FROM als_similar_users(user_id => ''3'', model => ''model'')', 'SELECT * FROM als_similar_users(''model'', 3)'),
    ('SELECT r.* FROM text_model_users u, als_similar_users_as(NULL::text, ''text_model'', user_id => user_id) r', 'SELECT r.* FROM text_model_users u, als_similar_users_as(NULL::text, ''text_model'', u.user_id) r'),
    ('SELECT item_id, contribution FROM als_explain(model => ''model'', user_id => 3, item_id => 7)', 'SELECT * FROM als_explain(''model'', 3, 7)'),
    ('SELECT item_id, contribution FROM als_explain(item_id => ''7'', user_id => ''3'', model => ''model'')', 'SELECT * FROM als_explain(''model'', 3, 7)'),
    ('SELECT r.* FROM model_items i, als_explain(''model'', 3, item_id => item_id) r', 'SELECT r.* FROM model_items i, als_explain(''model'', 3, i.item_id) r'),
    ('SELECT * FROM als_explain_as(NULL::text, ''text_model'', user_id => ''u3'', item_id => ''i7'')', 'SELECT * FROM als_explain_as(NULL::text, ''text_model'', ''u3'', ''i7'')')) t(by_name, by_place);
DROP SCHEMA names CASCADE;
