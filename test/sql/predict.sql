-- als_predict for pairs of which a model does not know one side, or neither
SET client_min_messages = warning;
CREATE SCHEMA predict;
SET search_path = predict, public;
\i test/include/held_out.sql
\i test/include/errors.sql
SELECT users, items FROM als_train('model', 'ratings', feedback => 'explicit', factors => 5, regularization => 0.1);
SELECT users, items FROM als_train('without', 'ratings', feedback => 'explicit', biases => false, factors => 5, regularization => 0.1);
SELECT users, items FROM als_train('implicit', 'ratings', factors => 5);
CREATE VIEW text_ratings AS SELECT 'u' || user_id AS user_id, 'i' || item_id AS item_id, rating FROM ratings;
SELECT users, items FROM als_train('texts', 'text_ratings', feedback => 'explicit', factors => 5, regularization => 0.1);

-- known pairs as ever; else the mean and the bias that is known
SELECT count(*), bool_and(als_predict('model', u, i, cold_start => 'biases') = als_predict('model', u, i)) AS same,
       bool_and(als_predict('model', u, i, 'none') = als_predict('model', u, i)) AS none FROM generate_series(-20, 28) u, generate_series(1, 50, 7) i WHERE als_predict('model', u, i) IS NOT NULL;
SELECT count(*), max(abs(als_predict('model', user_id, 1000, cold_start => 'biases') - (mean_rating + bias))) < 1e-6 AS users FROM model_users, model;
SELECT count(*), max(abs(als_predict('model', 1000, item_id, cold_start => 'biases') - (mean_rating + bias))) < 1e-6 AS items FROM model_items, model;
SELECT count(*), max(abs(als_predict('texts', user_id, 'nothing', cold_start => 'biases') - (mean_rating + bias))) < 1e-6 AS texts FROM texts_users, texts;
SELECT abs(als_predict('model', 1000, 1000, cold_start => 'biases') - mean_rating) < 1e-6 AS neither FROM model;
SELECT als_predict('model', 1000, 1) AS by_default, als_predict('model', 1000, 1, cold_start => 'none') AS none, als_predict('model', NULL::int, 1, cold_start => 'biases') AS null_id,
       als_predict('model', 1, 1, cold_start => NULL) AS null_argument, als_predict('model', 1, 100000000000, cold_start => 'biases') IS NULL AS too_large;
-- over a test set, pairs of unknown users and items in it
SELECT count(*), count(als_predict('model', user_id, item_id)) AS known, count(als_predict('model', user_id, item_id, cold_start => 'biases')) AS predicted
FROM (SELECT user_id, item_id FROM held_out UNION ALL SELECT 1000, 1 UNION ALL SELECT 1, 1000 UNION ALL SELECT 1000, 1000) t;
SELECT * FROM try($$SELECT als_predict('predict.model', 1, 1, cold_start => 'popular')$$);
SELECT * FROM try($$SELECT als_predict('predict.without', 1, 1, cold_start => 'biases')$$);
SELECT * FROM try($$SELECT als_predict('predict.implicit', 1, 1, cold_start => 'biases')$$);
SELECT als_predict('without', 1, 1, cold_start => 'none') IS NOT NULL AS none;

SET client_min_messages = error;
DROP SCHEMA predict CASCADE;
