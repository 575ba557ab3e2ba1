-- Users of whom nothing is known although the model has them: with implicit
-- feedback, ratings of 0 or less alone make a zero vector.
SET client_min_messages = warning;
CREATE SCHEMA zero_vectors;
SET search_path = zero_vectors, public;
\set SHOW_CONTEXT never
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(40, 30, 40);
INSERT INTO ratings VALUES (100, 1, 0), (100, 2, 0), (101, 1, -3), (101, 2, -1), (101, 3, 0);
SELECT users FROM als_train('model', 'ratings', factors => 4);
SELECT user_id, factors FROM model_users WHERE user_id >= 100 ORDER BY user_id;
SELECT als_predict('model', 100, 5), als_predict('model', 101, 5);

-- in the order of cold_start, as for users whom the model does not have
INSERT INTO ratings VALUES (200, 1, 0), (200, 2, -1);
CREATE VIEW popular AS
    SELECT item_id::bigint, count(*)::real AS score FROM ratings GROUP BY item_id ORDER BY count(*) DESC, item_id;
SELECT user_id, (SELECT count(*) FROM als_recommend('model', user_id)) AS none,
       array(SELECT r::text FROM als_recommend('model', user_id, 5, cold_start => 'popular') r)
     = array(SELECT p::text FROM popular p WHERE item_id NOT IN (SELECT item_id FROM ratings r WHERE r.user_id = u.user_id) LIMIT 5) AS popular,
       array(SELECT r::text FROM als_recommend('model', user_id, 5, exclude_seen => false, cold_start => 'popular') r)
     = array(SELECT p::text FROM popular p LIMIT 5) AS all_popular
FROM unnest(ARRAY[100, 101, 200, 300]) AS u(user_id);
SELECT * FROM als_recommend('model', 100, cold_start => 'error');
SELECT * FROM als_recommend('model', 200, cold_start => 'error');
-- everybody else, and nobody else
SELECT count(*), count(DISTINCT user_id), max(user_id) FROM als_recommend_all('model', 3);
SELECT count(*), max(user_id) FROM als_recommend_all('model', 3, users => ARRAY[100, 5, 101, 200]);
SELECT count(*) FROM als_recommend_all('model', 3, users => ARRAY[100, 101]);
SELECT count(*) FROM als_recommend_for('model', ARRAY[1, 2], ARRAY[0, -1]);
SELECT als_fold_in('model', ARRAY[1, 2], ARRAY[0, -1]);

-- with better ratings by now he is folded in, like anybody new
INSERT INTO ratings VALUES (100, 7, 5), (300, 1, 0), (300, 2, 0), (300, 7, 5);
SELECT array(SELECT r::text FROM als_recommend('model', 100, 5) r) = array(SELECT r::text FROM als_recommend('model', 300, 5) r) AS folded_in,
       (SELECT count(*) FROM als_recommend('model', 100, 5)) AS rows;
SELECT count(*) FROM als_recommend_all('model', 3, users => ARRAY[100]);
SELECT als_refresh_user('model', 100);
SELECT count(*) FROM als_recommend_all('model', 3, users => ARRAY[100]);
-- and with worse ones nothing is known any more, once they are stored
UPDATE ratings SET rating = 0 WHERE user_id = 5;
SELECT count(*) FROM als_recommend('model', 5);
SELECT als_refresh_user('model', 5);
SELECT count(*) FROM als_recommend('model', 5);

-- without ratings to fall back on
SELECT (als_train_agg('agg_model', user_id, item_id, rating, '{"factors": 4}')).users FROM ratings;
SELECT count(*) FROM als_recommend('agg_model', 101);
SELECT * FROM als_recommend('agg_model', 101, cold_start => 'popular');

-- With explicit feedback items have biases, which rank them for such a user as
-- well; scores are what als_predict says.
SELECT users FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 4);
UPDATE explicit_users SET factors = '{0,0,0,0}' WHERE user_id = 7;
SELECT array(SELECT item_id::int FROM als_recommend('explicit', 7, 5, exclude_seen => false, cold_start => 'error'))
     = array(SELECT item_id FROM explicit_items ORDER BY bias DESC, item_id LIMIT 5) AS by_bias,
       array(SELECT item_id::int FROM als_recommend_all('explicit', 5, users => ARRAY[7], exclude_seen => false))
     = array(SELECT item_id FROM explicit_items ORDER BY bias DESC, item_id LIMIT 5) AS all_by_bias,
       (SELECT bool_and(score = als_predict('explicit', 7, item_id)) FROM als_recommend('explicit', 7, 5)) AS predicted;
DROP SCHEMA zero_vectors CASCADE;
