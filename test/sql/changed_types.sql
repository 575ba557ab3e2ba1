-- Ids of a factor table that get another type, before a call and within one
SET client_min_messages = warning;
\set SHOW_CONTEXT never
\set VERBOSITY terse
CREATE SCHEMA changed_types;
SET search_path = changed_types, public;
CREATE TABLE ratings AS SELECT u AS user_id, i AS item_id FROM generate_series(1, 30) u, generate_series(1, 12) i WHERE (u * 7 + i * 5) % 3 = 0;
CREATE TABLE item_features AS SELECT i AS item_id, 'odd ' || i % 2 AS feature FROM generate_series(1, 12) i;

-- what is popular has been counted by ids of the type that there was
SELECT users, items FROM als_train('popular', 'ratings', factors => 4, rating_column => NULL);
SELECT count(*) FROM als_recommend('popular', 999, 3, cold_start => 'popular');
ALTER TABLE popular_items ALTER item_id TYPE text;
SELECT count(*), min(pg_typeof(item_id)::text) FROM als_recommend_as(NULL::text, 'popular', 999, 3, cold_start => 'popular');

-- users are stored, by a trigger of which items become another type's, and items are next
SELECT users, items FROM als_train('meddled', 'ratings', factors => 4, rating_column => NULL, item_features => 'item_features');
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    ALTER TABLE meddled_items ALTER item_id TYPE numeric;
    RETURN new;
END $$;
CREATE TRIGGER meddle BEFORE UPDATE ON meddled_users FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT als_refresh('meddled', users => ARRAY[1], items => ARRAY[2]);
DROP TRIGGER meddle ON meddled_users;
SELECT als_refresh('meddled', users => ARRAY[1], items => ARRAY[2]);
DROP SCHEMA changed_types CASCADE;
