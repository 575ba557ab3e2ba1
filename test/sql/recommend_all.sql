-- als_recommend_all: what sorting all scores gives, for everyone
SET client_min_messages = warning;
CREATE SCHEMA recommend_all;
SET search_path = recommend_all, public;
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(150, 300, 20);
SELECT users, items FROM als_train('model', 'ratings', factors => 8);
SELECT users, items FROM als_train('explicit_model', 'ratings', feedback => 'explicit', factors => 8, regularization => 0.1);

-- all scores that a user may be recommended by, ranked
CREATE FUNCTION ranked(model regclass, k int, seen bool DEFAULT false)
RETURNS TABLE (user_id bigint, item_id bigint, score real, rank int) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('
        SELECT user_id, item_id, score, rank::int
        FROM (SELECT user_id::bigint, item_id::bigint, score,
                     row_number() OVER (PARTITION BY user_id ORDER BY score DESC, item_id) AS rank
              FROM (SELECT user_id, item_id, als_predict(%L, user_id, item_id) AS score
                    FROM %I u CROSS JOIN %I i
                    WHERE $2 OR NOT EXISTS (SELECT FROM ratings r WHERE r.user_id = u.user_id AND r.item_id = i.item_id)) s) t
        WHERE rank <= $1', model, model || '_users', model || '_items') USING k, seen;
END $$;
-- rows on one side only
CREATE FUNCTION differences(a text, b text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    result bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM ((TABLE %1$s EXCEPT ALL TABLE %2$s) UNION ALL (TABLE %2$s EXCEPT ALL TABLE %1$s)) d', a, b) INTO result;
    RETURN result;
END $$;

CREATE TABLE recs AS SELECT * FROM als_recommend_all('model');
CREATE TABLE sorted AS SELECT * FROM ranked('model', 10);
SELECT count(*), differences('recs', 'sorted') FROM recs;
CREATE TABLE explicit_recs AS SELECT * FROM als_recommend_all('explicit_model', 7);
CREATE TABLE explicit_sorted AS SELECT * FROM ranked('explicit_model', 7);
SELECT count(*), differences('explicit_recs', 'explicit_sorted') FROM explicit_recs;
CREATE TABLE seen_recs AS SELECT * FROM als_recommend_all('model', 3, exclude_seen => false);
CREATE TABLE seen_sorted AS SELECT * FROM ranked('model', 3, true);
SELECT count(*), differences('seen_recs', 'seen_sorted') FROM seen_recs;
-- more than there is, in rounds of one user
SET maintenance_work_mem = '1MB';
CREATE TABLE everything AS SELECT * FROM als_recommend_all('model', 2147483647);
RESET maintenance_work_mem;
CREATE TABLE everything_sorted AS SELECT * FROM ranked('model', 1000);
SELECT count(*), differences('everything', 'everything_sorted') FROM everything;
-- and what als_recommend gives
SELECT count(*) FROM (
    SELECT user_id, r.* FROM model_users, als_recommend('model', user_id, 10) r
    EXCEPT SELECT user_id, item_id, score FROM recs) d;

-- users: an array or a query of them; nulls, unknown and double ones do not matter
SELECT user_id, count(*), min(rank), max(rank) FROM als_recommend_all('model', users => ARRAY[3, 1, NULL, 3, 999]) GROUP BY 1 ORDER BY 1;
SELECT count(*), count(DISTINCT user_id), count(s) AS right
FROM als_recommend_all('model', users => ARRAY(SELECT DISTINCT user_id FROM ratings WHERE user_id % 2 = 0)) r
     LEFT JOIN sorted s USING (user_id, item_id, score, rank);
SELECT count(*), count(s) AS right FROM als_recommend_all('model', users => '{2, 4}') r LEFT JOIN sorted s USING (user_id, item_id, score, rank);
SELECT count(*) FROM als_recommend_all('model', users => '{}'::int[]);
SELECT count(*) FROM als_recommend_all('model', users => ARRAY[999]);
SELECT count(*) FROM als_recommend_all('model', users => NULL);

-- filters, the same as those of als_recommend
CREATE TABLE filtered AS
    SELECT * FROM als_recommend_all('model', 4, candidates => ARRAY(SELECT generate_series(1, 290, 2)), exclude => ARRAY[7, 9, NULL, 999]);
CREATE TABLE filtered_one AS
    SELECT user_id::bigint, r.*, row_number() OVER (PARTITION BY user_id)::int AS rank
    FROM model_users, als_recommend('model', user_id, 4, candidates => ARRAY(SELECT generate_series(1, 290, 2)), exclude => ARRAY[7, 9]) r;
SELECT count(*), bool_or(item_id IN (7, 9) OR item_id % 2 = 0) AS wrong, differences('filtered', 'filtered_one') FROM filtered;
SELECT count(*) FROM als_recommend_all('model', candidates => '{}'::int[]);
SELECT count(*) FROM als_recommend_all('model', exclude => ARRAY(SELECT item_id FROM model_items));
SELECT count(*) FROM als_recommend_all('model', 0);

-- what is seen is read live; rows without a user or an item say nothing
SELECT item_id AS best FROM recs WHERE user_id = 2 AND rank = 1 \gset
INSERT INTO ratings VALUES (2, :best, 1), (NULL, 5, 1), (5, NULL, 1), (2, 12345, 1), (777, 5, 1);
SELECT count(*) FILTER (WHERE item_id = :best) AS seen, count(*) FROM als_recommend_all('model', users => ARRAY[2]);
SELECT count(*) FILTER (WHERE item_id = :best) AS seen, count(*) FROM als_recommend_all('model') WHERE user_id = 2;
TRUNCATE ratings;
SELECT count(*) FROM als_recommend_all('model', 3) r JOIN seen_recs s USING (user_id, item_id, score, rank);

-- ties come in the order of ids
UPDATE model_items SET factors = (SELECT factors FROM model_items WHERE item_id = 7) WHERE item_id IN (3, 30, 11, 290);
SELECT array_agg(item_id ORDER BY rank) FROM als_recommend_all('model', 1000, users => ARRAY[3]) WHERE item_id IN (3, 7, 11, 30, 290);

-- other ids, as they are and as a type that they become without loss
CREATE TABLE named AS SELECT 'u' || u AS user_id, md5(i::text)::uuid AS item_id FROM generate_series(1, 20) u, generate_series(1, 20) i WHERE (u * i) % 7 < 3;
SELECT users, items FROM als_train('named_model', 'named', rating_column => NULL, factors => 4);
SELECT pg_typeof(user_id) AS user_type, pg_typeof(item_id) AS item_type, count(*) FROM als_recommend_all_as(NULL::text, NULL::uuid, 'named_model', 2) GROUP BY 1, 2;
SELECT count(*), count(r) AS same
FROM als_recommend_all_as(NULL::text, NULL::text, 'named_model', 2, users => ARRAY['u3', 'u4', 'nobody']) a
     LEFT JOIN LATERAL (SELECT * FROM als_recommend_as(NULL::text, 'named_model', a.user_id, 2)) r USING (item_id, score);
SELECT count(*) FROM als_recommend_all_as(NULL::text, NULL::uuid, 'named_model', 2, users => '{u3}', candidates => ARRAY[md5('1'), md5('2'), md5('5'), md5('6')]);
SELECT user_id, item_id, rank FROM als_recommend_all_as(NULL::numeric, NULL::numeric, 'explicit_model', 1, users => ARRAY[1], candidates => ARRAY[5]);
-- the type of ids whose text depends on settings
CREATE TABLE floating AS SELECT (u + 0.1)::float8 AS user_id, i AS item_id FROM generate_series(1, 20) u, generate_series(1, 20) i WHERE (u * i) % 7 < 3;
SELECT users, items FROM als_train('floating_model', 'floating', rating_column => NULL, factors => 4);
SET extra_float_digits = -15;
SELECT count(*), count(f) AS seen FROM als_recommend_all_as(NULL::float8, NULL::int, 'floating_model', 20, users => ARRAY[3.1, 4.1]::float8[]) r LEFT JOIN floating f USING (user_id, item_id);
RESET extra_float_digits;

-- a model whose ratings are gone: nothing is known to have been seen
SELECT (model).users FROM (SELECT als_train_agg('aggregated', u, i, 1, '{"factors": 4}') AS model FROM generate_series(1, 9) u, generate_series(1, 9) i WHERE (u + i) % 3 > 0) t;
SELECT count(*) FROM als_recommend_all('aggregated', 20);

-- inside a transaction that has written, in a function, more than once, in a select list
BEGIN;
DELETE FROM model_users WHERE user_id = 1;
SELECT count(*) FROM als_recommend_all('model', 1, workers => 1);
ROLLBACK;
SELECT count(*), count(DISTINCT r.item_id) > 1 AS different FROM generate_series(1, 2), als_recommend_all('model', 2) r;
SELECT als_recommend_all('model', 1, users => ARRAY[1]) IS NOT NULL AS row;

-- bad input
\set SHOW_CONTEXT never
SELECT * FROM als_recommend_all(NULL);
SELECT * FROM als_recommend_all('ratings');
SELECT * FROM als_recommend_all('model', NULL);
SELECT * FROM als_recommend_all('model', -1);
SELECT * FROM als_recommend_all('model', exclude_seen => NULL);
SELECT * FROM als_recommend_all('model', workers => -1);
SELECT * FROM als_recommend_all('model', users => 5);
SELECT * FROM als_recommend_all('model', users => ARRAY['x']);
SELECT * FROM als_recommend_all('model', exclude => 5);
SELECT * FROM als_recommend_all('named_model');
SELECT * FROM als_recommend_all_as(NULL::text, NULL::bigint, 'named_model');
DROP TABLE named;
SELECT * FROM als_recommend_all_as(NULL::text, NULL::uuid, 'named_model');
SELECT count(*) FROM als_recommend_all_as(NULL::text, NULL::uuid, 'named_model', exclude_seen => false);
DROP SCHEMA recommend_all CASCADE;
