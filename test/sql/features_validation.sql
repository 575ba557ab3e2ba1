-- Validation and tuning by users and items that the training knows by their features alone.
SET client_min_messages = warning;
SET jit = off;
CREATE SCHEMA features_validation;
SET search_path = features_validation, public;
\i test/include/features.sql
\i test/include/evaluation.sql
-- 31 to 35 and 41, 42 are not trained; 17 has no features, 36 and 43 nobody knows
CREATE TABLE cold AS
    SELECT u AS user_id, i AS item_id, (1 + (u * 31 + i * 17) % 9)::real / 2 AS rating
    FROM generate_series(1, 43) u, generate_series(1, 36) i
    WHERE (i > 30 OR u > 40 OR i = 17) AND (u * 7919 + i * 104729) % 7 < 3;

-- every pair with its score, for those that have factors
CREATE FUNCTION scores(model text, mean float8) RETURNS TABLE (user_id int, item_id int, score float8) LANGUAGE sql AS $$
    SELECT u.id, i.id, CASE WHEN mean IS NULL THEN (SELECT sum(x * y) FROM unnest(u.f, i.f) d (x, y)) ELSE
        mean + u.f[4] + i.f[4] + (SELECT sum(x * y) FROM unnest(u.f[1:3], i.f[1:3]) d (x, y)) END
    FROM rows_of(model, 'user') u CROSS JOIN rows_of(model, 'item') i
$$;

-- RMSE over all pairs of which both have factors
SELECT r.best_iteration, abs(r.validation_curve[r.best_iteration] - rmse) < 1e-5 * rmse AS right_rmse, pairs > 0 AND pairs = known AS all_known
FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 3, iterations => 1, validation => 'cold', validation_metric => 'rmse',
               item_features => 'item_features', user_features => 'user_features') r,
    LATERAL (SELECT sqrt(avg((rating - score) ^ 2)) AS rmse, count(*) AS pairs FROM cold JOIN scores('explicit', r.mean_rating) s USING (user_id, item_id)) e,
    LATERAL (SELECT count(*) AS known FROM cold WHERE user_id <= 42 AND item_id <= 35) k;

-- NDCG@5 over the users with any of these, whatever they have been trained with left out
WITH run AS MATERIALIZED (
    SELECT * FROM als_train('implicit', 'ratings', factors => 3, iterations => 1, validation => 'cold', validation_k => 5,
                            item_features => 'item_features', user_features => 'user_features')),
     ranked AS (SELECT s.user_id, c.item_id IS NOT NULL AS relevant, row_number() OVER (PARTITION BY s.user_id ORDER BY score DESC, s.item_id) AS place
                FROM run, scores('implicit', NULL) s LEFT JOIN cold c USING (user_id, item_id)
                WHERE c.item_id IS NOT NULL OR (s.user_id, s.item_id) NOT IN (SELECT r.user_id, r.item_id FROM ratings r)),
     users AS (SELECT sum(1 / log(2.0, place + 1.0)) FILTER (WHERE relevant AND place <= 5) AS gain,
                      (SELECT sum(1 / log(2.0, n + 1.0)) FROM generate_series(1, least(5, count(*) FILTER (WHERE relevant))) n) AS best
               FROM ranked GROUP BY user_id HAVING bool_or(relevant))
SELECT count(*) AS users, abs(avg(coalesce(gain, 0) / best) - max(validation_curve[1])) < 1e-6 AS right_ndcg FROM users, run;

-- the same as als_evaluate afterwards, whatever the number of workers
SELECT r.validation_curve[r.best_iteration] = (evaluation('implicit', 'cold')).ndcg AS as_evaluated
FROM als_train('implicit', 'ratings', factors => 3, iterations => 4, validation => 'cold', workers => 2,
               item_features => 'item_features', user_features => 'user_features') r;

-- tuned by cold items alone: each trial is what als_train says of it, and the best becomes the model
CREATE TABLE cold_items AS SELECT * FROM cold WHERE item_id > 30 AND user_id <= 40;
CREATE TABLE tuned AS
    SELECT (parameters ->> 'feature_regularization')::float8 AS mu, metric, rank FROM als_tune('tuned_als', 'ratings', '{"factors": 3, "iterations": 3, "feature_regularization": [0.01, 10, 100000]}',
        validation => 'cold_items', item_features => 'item_features');
SELECT mu, (SELECT max(v) = metric FROM unnest((als_train('one', 'ratings', factors => 3, iterations => 3, feature_regularization => mu,
                                                          validation => 'cold_items', item_features => 'item_features')).validation_curve) v) AS as_trained FROM tuned ORDER BY 1;
SELECT count(DISTINCT metric) > 1 AS differ FROM tuned;
SELECT feature_regularization = (SELECT mu FROM tuned WHERE rank = 1) AS best FROM tuned_als WHERE serving;
SELECT count(*) > 0 AS searched FROM als_tune('tuned_als', 'ratings', trials => 3, validation => 'cold_items', item_features => 'item_features');

-- deployed if better than the run that serves, on what both know
SELECT r.compared_with = before.run AS with_last, r.serving = (r.compared_value > r.compared_other) AS if_better,
    r.compared_value = r.validation_curve[r.best_iteration] AS right_value, r.compared_other = before.validation_curve[before.best_iteration] AS right_other
FROM (SELECT * FROM tuned_als WHERE serving) before, als_train('tuned_als', 'ratings', factors => 3, iterations => 3, feature_regularization => 1e9, regularization => 1e6,
    validation => 'cold_items', item_features => 'item_features', deploy => 'if_better') r;

-- factors that leave single precision are said
CREATE TABLE huge AS SELECT id, feature, CASE WHEN id > 30 THEN 3e38 ELSE value / 100 END AS value FROM item_features;
SELECT als_train('bad', 'ratings', factors => 3, validation => 'cold_items', item_features => 'huge', feature_regularization => 1e-3);
DROP SCHEMA features_validation CASCADE;
