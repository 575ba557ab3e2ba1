-- als_predict and als_evaluate for pairs of which a model does not know one side, or neither
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
-- errors over all pairs: against SQL; rankings and counts are the same as ever
SELECT users, items FROM als_train('part', 'SELECT * FROM predict.training WHERE user_id > -10 AND item_id < 45', feedback => 'explicit', factors => 4, regularization => 0.1);
CREATE VIEW all_pairs AS SELECT * FROM held_out UNION ALL SELECT 1000, 1, 2 UNION ALL SELECT 1000, 2, 1 UNION ALL SELECT 3, 1000, 2 UNION ALL SELECT 1001, 1000, 1 UNION ALL SELECT 20000000000, 3, 0.5;
CREATE VIEW errors AS
    SELECT user_id, rating - als_predict('part', user_id, item_id, cold_start => 'biases')::float8 AS value, rating - mean_rating AS mean,
           rating - (mean_rating + coalesce((SELECT bias FROM part_users u WHERE u.user_id = t.user_id)::float8, 0) + coalesce((SELECT bias FROM part_items i WHERE i.item_id = t.item_id)::float8, 0)) AS biases
    FROM (SELECT user_id, item_id, avg(rating)::real::float8 AS rating FROM all_pairs GROUP BY 1, 2) t, (SELECT mean_rating::real::float8 FROM part) m;
CREATE VIEW users_errors AS SELECT user_id, count(*) AS pairs, sum(value ^ 2) AS squares, sum(abs(value)) AS absolute FROM errors GROUP BY user_id;
SELECT metric, abs(e.value - s.value) < 1e-6 AS value, abs(e.mean - s.mean) < 1e-6 AS mean, abs(e.biases - s.biases) < 1e-6 AS biases, abs(e.standard_error - s.standard_error) < 1e-6 AS standard_error
FROM als_evaluate('part', 'all_pairs', cold_start => 'biases') e JOIN (
    SELECT 'rmse' AS metric, sqrt(avg(value ^ 2)) AS value, sqrt(avg(mean ^ 2)) AS mean, sqrt(avg(biases ^ 2)) AS biases,
           (SELECT sqrt(count(*) / (count(*) - 1.0) * sum((squares - pairs * (SELECT avg(value ^ 2) FROM errors)) ^ 2)) / sum(pairs) / 2 FROM users_errors) / sqrt(avg(value ^ 2)) AS standard_error FROM errors
    UNION ALL SELECT 'mae', avg(abs(value)), avg(abs(mean)), avg(abs(biases)),
           (SELECT sqrt(count(*) / (count(*) - 1.0) * sum((absolute - pairs * (SELECT avg(abs(value)) FROM errors)) ^ 2)) / sum(pairs) FROM users_errors) FROM errors) s USING (metric);
SELECT count(*), string_agg(metric, ', ') FILTER (WHERE a IS DISTINCT FROM b) AS different, max(a.value) FILTER (WHERE metric = 'unknown_pairs') > 5 AS unknown
FROM als_evaluate('part', 'all_pairs', cold_start => 'biases', workers => 0) a FULL JOIN als_evaluate('part', 'all_pairs', workers => 2) b USING (metric);
SELECT metric, a.value = b.value AS same FROM als_evaluate('model', 'held_out', cold_start => 'biases') a JOIN als_evaluate('model', 'held_out') b USING (metric) WHERE metric IN ('rmse', 'mae');
-- nobody is known
SELECT metric, round(value::numeric, 6) AS value, round(mean::numeric, 6) AS mean FROM als_evaluate('part', 'SELECT 1000 AS user_id, 1000 AS item_id, 1 AS rating', cold_start => 'biases')
WHERE metric IN ('users', 'pairs', 'unknown_pairs', 'users_served') OR metric = 'ndcg';
SELECT abs(e.value - abs(1 - mean_rating)) < 1e-6 AS rmse FROM als_evaluate('part', 'SELECT 1000 AS user_id, 1000 AS item_id, 1 AS rating', cold_start => 'biases') e, part WHERE metric = 'rmse';

SELECT * FROM try($$SELECT als_predict('predict.model', 1, 1, cold_start => 'popular')$$);
SELECT * FROM try($$SELECT als_predict('predict.without', 1, 1, cold_start => 'biases')$$);
SELECT * FROM try($$SELECT als_predict('predict.implicit', 1, 1, cold_start => 'biases')$$);
SELECT * FROM try($$SELECT als_evaluate('predict.without', 'predict.held_out', cold_start => 'biases')$$);
SELECT * FROM try($$SELECT als_evaluate('predict.model', 'predict.held_out', cold_start => 'error')$$);
SELECT * FROM try($$SELECT als_evaluate('predict.model', 'predict.held_out', cold_start => NULL)$$);
SELECT als_predict('without', 1, 1, cold_start => 'none') IS NOT NULL AS none;

SET client_min_messages = error;
DROP SCHEMA predict CASCADE;
