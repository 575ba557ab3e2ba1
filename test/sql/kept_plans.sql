-- Plans that a session keeps from call to call mean what they would if they were new
SET client_min_messages = warning;
CREATE SCHEMA kept_plans;
CREATE SCHEMA kept_other;
SET search_path = kept_plans, public;
\i test/include/ratings.sql
\i test/include/errors.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(40, 60, 10);
SELECT users, items FROM als_train('model', 'ratings', factors => 4);
-- halves here, by which there are two; all in one there
CREATE TABLE kinds AS SELECT item_id, item_id % 2 AS kind FROM model_items;
CREATE TABLE kept_other.kinds AS SELECT item_id, 0 AS kind FROM model_items;
CREATE TABLE boosts AS SELECT 7 AS item_id, 1e6::float8 AS amount;
CREATE TABLE kept_other.boosts AS SELECT 8 AS item_id, 1e6::float8 AS amount;
CREATE FUNCTION listed(source text) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM als_recommend('kept_plans.model', 1, 60, exclude_seen => false, groups => source)
$$;
CREATE FUNCTION first(source text) RETURNS bigint LANGUAGE sql AS $$
    SELECT item_id FROM als_recommend('kept_plans.model', 1, 1, exclude_seen => false, boost => source)
$$;

-- A name in a query, by different paths; and the same tables by whole names
SELECT listed('SELECT item_id, kind FROM kinds'), first('SELECT * FROM boosts');
SET search_path = kept_other, kept_plans, public;
SELECT listed('SELECT item_id, kind FROM kinds'), first('SELECT * FROM boosts');
SELECT listed('SELECT item_id, kind FROM kept_plans.kinds'), first('SELECT * FROM kept_plans.boosts');
SELECT listed('SELECT item_id, kind FROM kept_other.kinds'), first('SELECT * FROM kept_other.boosts');
SET search_path = kept_plans, public;
SELECT listed('SELECT item_id, kind FROM kinds'), first('SELECT * FROM boosts');
SELECT listed('kept_other.kinds'), first('kept_other.boosts');
-- relations by names, of another table, with another type, and with others' rows
\c -
SET client_min_messages = warning;
SET search_path = kept_plans, public;
SELECT listed('kinds'), first('boosts'), listed('kinds'), first('boosts');
SET search_path = kept_other, kept_plans, public;
SELECT listed('kinds'), first('boosts');
SET search_path = kept_plans, public;
ALTER TABLE kinds ALTER item_id TYPE text;
ALTER TABLE boosts ALTER item_id TYPE bigint, ALTER amount TYPE text USING (amount * 2)::text;
SELECT listed('kinds'), first('boosts');
ALTER TABLE kinds RENAME TO old_kinds;
CREATE VIEW kinds AS SELECT item_id, item_id % 3 AS kind FROM model_items;
SELECT listed('kinds'), listed('old_kinds');
CREATE ROLE kept_plans_user;
GRANT USAGE ON SCHEMA kept_plans TO kept_plans_user;
GRANT SELECT ON model, ratings TO kept_plans_user;
SET ROLE kept_plans_user;
SELECT * FROM try($$SELECT listed('kinds')$$);
SELECT * FROM try($$SELECT first('boosts')$$);
RESET ROLE;

-- More texts than are kept, forth and back, each with groups or a boost of its own
CREATE FUNCTION listed_by(n integer) RETURNS bigint LANGUAGE sql AS $$
    SELECT listed(format('SELECT item_id, item_id %% %s FROM kept_plans.model_items', n))
$$;
CREATE VIEW numbers AS SELECT n, (SELECT count(DISTINCT item_id % n) FROM model_items) AS kinds FROM generate_series(1, 30) n;
SELECT count(*), count(DISTINCT kinds), bool_and(listed_by(n) = kinds) FROM numbers;
SELECT bool_and(listed_by(n) = kinds AND first(format('SELECT %s, 1e6::float8', 1 + n % 3)) = 1 + n % 3)
    FROM (SELECT * FROM numbers ORDER BY n DESC) numbers;
-- and from within one that is being read, which stays
CREATE FUNCTION list_many() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT count(*) FILTER (WHERE listed_by(n) <> kinds) FROM numbers
$$;
CREATE VIEW busy_kinds AS SELECT item_id, item_id % 5 + CASE WHEN item_id % 20 = 0 THEN list_many() ELSE 0 END AS kind FROM model_items;
CREATE VIEW busy_boosts AS SELECT 9 + list_many() AS item_id, 1e6::float8 AS amount;
SELECT listed('busy_kinds'), first('busy_boosts'), listed('busy_kinds'), first('busy_boosts');

-- What is folded in, likewise: the ratings of a name, by different paths
CREATE TABLE kept_other.ratings AS SELECT user_id, 61 - item_id AS item_id, rating FROM kept_plans.ratings;
SELECT users, items FROM als_train('by_path', 'SELECT * FROM ratings', factors => 4);
CREATE FUNCTION folded() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(item_id::text, ' ') FROM als_recommend('kept_plans.by_path', 1, 3, exclude_seen => false, fresh => true)
$$;
CREATE TABLE folded_lists AS SELECT folded() AS here, ''::text AS there;
SET search_path = kept_other, kept_plans, public;
UPDATE folded_lists SET there = folded();
SELECT here = there AS same FROM folded_lists;
SET search_path = kept_plans, public;
SELECT folded() = here AS as_here FROM folded_lists;
SET search_path = kept_other, kept_plans, public;
SELECT folded() = there AS as_there FROM folded_lists;
SET search_path = kept_plans, public;

-- Ids whose type has changed since: what is kept takes the other one
CREATE TABLE named AS SELECT user_id::text, item_id, rating FROM ratings;
CREATE TABLE named_kinds AS SELECT item_id, item_id % 2 AS kind FROM model_items;
SELECT users, items FROM als_train('named_als', 'named', factors => 4);
SELECT count(*) FROM als_recommend_as(NULL::int, 'named_als', '1'::text, 60, groups => 'named_kinds');
ALTER TABLE named_als_users ALTER user_id TYPE integer USING user_id::integer;
ALTER TABLE named_als_items ALTER item_id TYPE bigint;
SELECT * FROM try($$SELECT count(*) FROM als_recommend('named_als', 1, 60, groups => 'named_kinds')$$);
ALTER TABLE named ALTER user_id TYPE integer USING user_id::integer;
SELECT count(*) FROM als_recommend('named_als', 1, 60, groups => 'named_kinds');
-- or their collation: what is one id since has been seen
CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE lettered AS SELECT 'u' || user_id AS user_id, item_id, rating FROM ratings;
SELECT users, items FROM als_train('lettered_als', 'lettered', factors => 4);
SELECT item_id AS other FROM als_recommend('lettered_als', 'u1'::text, 1) \gset
INSERT INTO lettered VALUES ('U1', :other, 1);
SELECT count(*) FROM als_recommend('lettered_als', 'u1'::text, 60) WHERE item_id = :other;
ALTER TABLE lettered_als_users ALTER user_id TYPE text COLLATE caseless;
SELECT count(*) FROM als_recommend('lettered_als', 'u1'::text, 60) WHERE item_id = :other;

DROP SCHEMA kept_plans, kept_other CASCADE;
DROP ROLE kept_plans_user;
