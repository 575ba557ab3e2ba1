-- als_recommend_all and als_evaluate see a model's rows as of one moment, though
-- they read them more than once: first the ids, then the factors.  In between
-- they convert the ids of the ratings, by a cast that changes the factors.
SET client_min_messages = warning;
CREATE SCHEMA one_snapshot;
SET search_path = one_snapshot, public;
CREATE TABLE changing (wanted boolean, times integer);
INSERT INTO changing VALUES (false, 0);
CREATE TYPE given AS (id integer);
CREATE FUNCTION change(value given) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    UPDATE one_snapshot.changing SET wanted = false, times = times + 1 WHERE wanted;
    IF FOUND THEN
        DELETE FROM one_snapshot.model_items WHERE item_id <= 10;
        DELETE FROM one_snapshot.model_users WHERE user_id::integer % 3 = 0;
        UPDATE one_snapshot.model_items SET factors = '{1e9,1e9,1e9,1e9}' WHERE item_id = 11;
        INSERT INTO one_snapshot.model_items SELECT 1000 + n, '{1e9,1e9,1e9,1e9}' FROM generate_series(1, 100) n;
    END IF;
    RETURN value.id;
END $$;
CREATE CAST (given AS integer) WITH FUNCTION change AS IMPLICIT;
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(60, 40, 39);
SELECT users, items FROM als_train('model', 'ratings', factors => 4, iterations => 2);
-- ids that have to be converted
CREATE VIEW given_ratings AS SELECT ROW(user_id)::given AS user_id, item_id, rating FROM ratings;
UPDATE model SET source = 'one_snapshot.given_ratings';

CREATE TEMPORARY TABLE recommended AS SELECT * FROM als_recommend_all('model', 40);
CREATE TEMPORARY TABLE evaluated AS SELECT * FROM als_evaluate('model', 'one_snapshot.given_ratings', exclude_seen => false);
CREATE TEMPORARY TABLE evaluated_users AS SELECT * FROM als_evaluate_users('model', 'one_snapshot.given_ratings', exclude_seen => false);
SELECT count(*), count(DISTINCT user_id) AS users, count(DISTINCT item_id) AS items FROM recommended;

CREATE FUNCTION same(query text, expected regclass) RETURNS TABLE (same boolean, changes integer) LANGUAGE plpgsql AS $$
DECLARE
    different bigint;
BEGIN
    UPDATE one_snapshot.changing SET wanted = true, times = 0;
    EXECUTE format('WITH r AS (%s) SELECT count(*) FROM ((TABLE r EXCEPT TABLE %s) UNION ALL (TABLE %2$s EXCEPT TABLE r)) t', query, expected)
    INTO different;
    RETURN QUERY SELECT different = 0, times FROM one_snapshot.changing;
END $$;
BEGIN;
SELECT * FROM same($$SELECT * FROM als_recommend_all('model', 40)$$, 'recommended');
-- the next call sees what has changed
SELECT count(DISTINCT user_id) AS users, count(*) FILTER (WHERE item_id > 1000) > 0 AS new_items, count(*) FILTER (WHERE item_id <= 10) AS deleted_items
FROM als_recommend_all('model', 200);
ROLLBACK;
BEGIN;
SELECT * FROM same($$SELECT * FROM als_evaluate('model', 'one_snapshot.given_ratings', exclude_seen => false)$$, 'evaluated');
ROLLBACK;
BEGIN;
SELECT * FROM same($$SELECT * FROM als_evaluate_users('model', 'one_snapshot.given_ratings', exclude_seen => false)$$, 'evaluated_users');
ROLLBACK;

-- A source that gives the model's ids another type
CREATE FUNCTION retype() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE one_snapshot.changing SET wanted = false, times = times + 1 WHERE wanted;
    IF FOUND THEN
        ALTER TABLE one_snapshot.retyped_users ALTER user_id TYPE text USING 'user ' || user_id;
        ALTER TABLE one_snapshot.retyped_items ALTER item_id TYPE text USING 'item ' || item_id;
    END IF;
    RETURN true;
END $$;
SELECT users, items FROM als_train('retyped', 'ratings', factors => 4, iterations => 2);
CREATE VIEW retyping AS
    SELECT CASE WHEN retype() THEN 'user ' || user_id END AS user_id, 'item ' || item_id AS item_id, rating FROM ratings;
UPDATE retyped SET source = 'one_snapshot.retyping';
CREATE FUNCTION call_retyped(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    UPDATE one_snapshot.changing SET wanted = true, times = 0;
    EXECUTE query INTO answer;
    RAISE EXCEPTION '%', answer;
EXCEPTION WHEN OTHERS THEN
    RETURN sqlerrm;
END $$;
SELECT call_retyped($$SELECT count(*) FROM als_recommend_all('retyped', 40)$$);
SELECT call_retyped($$SELECT count(*) FROM als_recommend_all_as(NULL::text, NULL::text, 'retyped', 40)$$);
SELECT call_retyped($$SELECT count(*) FROM als_evaluate('retyped', 'one_snapshot.retyping', exclude_seen => false)$$);
SELECT call_retyped($$SELECT count(*) FROM als_evaluate_users('retyped', 'one_snapshot.retyping', exclude_seen => false)$$);
SELECT call_retyped($$SELECT count(user_id) FROM als_evaluate_users_as(NULL::text, 'retyped', 'one_snapshot.retyping', exclude_seen => false)$$);
DROP SCHEMA one_snapshot CASCADE;
