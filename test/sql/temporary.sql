-- A model that stays keeps no source that others do not have
CREATE SCHEMA temporary;
SET search_path = temporary, public;
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(30, 40, 39);
CREATE TEMP TABLE mine AS SELECT * FROM ratings;
CREATE TEMP VIEW of_mine AS SELECT * FROM mine;
CREATE TEMP VIEW of_ratings AS SELECT * FROM ratings;
CREATE VIEW stays AS SELECT * FROM ratings;
SELECT name, source, user_column, item_column, rating_column
FROM (VALUES (1, 'from_table', 'mine'), (2, 'from_view', 'of_mine'), (3, 'from_view_of_ratings', 'of_ratings'),
             (4, 'from_query', 'SELECT * FROM ratings WHERE EXISTS (SELECT FROM mine)'),
             (5, 'from_join', 'WITH m AS (SELECT user_id FROM mine LIMIT 5) SELECT r.* FROM ratings r JOIN m USING (user_id)'),
             (6, 'that_stays', 'stays')) v(n, name, ratings),
    LATERAL als_train(name, ratings, factors => 3) t ORDER BY n;
-- what needs the source says why it is not there
SELECT als_predict('from_table', 1, 1) = als_predict('that_stays', 1, 1) AS same;
SELECT count(*) FROM als_recommend('from_table', 1, exclude_seen => false);
SELECT als_recommend('from_table', 1000, cold_start => 'popular');
SELECT als_refresh_user('from_table', 1);
SELECT als_refresh_item('from_table', 1);
SELECT als_explain('from_table', 1, 1);
SELECT als_evaluate('from_table', 'ratings');
-- nor does one that was trained again, until it is from what stays
SELECT source FROM als_train('that_stays', 'mine', factors => 3);
SELECT als_refresh_user('that_stays', 1);
SELECT source FROM als_train('that_stays', 'stays', factors => 3);
SELECT als_refresh_user('that_stays', 1);
-- als_tune says it once, with a refit that reads again
SELECT count(*) FROM als_tune('tuned', 'mine', '{"factors": [2, 3]}', refit => true);
SELECT source FROM tuned;
-- a temporary model may
SET search_path = pg_temp, temporary, public;
SELECT source = (SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()) || '.mine' AS own
FROM als_train('temporary_model', 'mine', factors => 3);
SELECT als_refresh_user('temporary_model', 1);
SET client_min_messages = error;
DROP SCHEMA temporary CASCADE;
