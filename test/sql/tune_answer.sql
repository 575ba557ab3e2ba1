-- What als_tune says of its trials: baseline, p values, the present model, edges.
SET client_min_messages = warning;
CREATE SCHEMA tune_answer;
SET search_path = tune_answer, public;
\set SHOW_CONTEXT never

\i test/include/held_out.sql
-- als_train with parameters from JSON
CREATE FUNCTION train(model text, source text, parameters jsonb, more text) RETURNS als_model LANGUAGE plpgsql AS $$
DECLARE
    result als_model;
BEGIN
    EXECUTE format('SELECT * FROM als_train(%L, %L, %s)', model, source, concat_ws(', ',
        (SELECT string_agg(format('%I => %L', key, value #>> '{}'), ', ') FROM jsonb_each(parameters)), more)) INTO result;
    RETURN result;
END $$;
-- the two-sided tail of the normal distribution, by Simpson's rule
CREATE FUNCTION two_sided(z float8) RETURNS float8 LANGUAGE sql AS $$
    SELECT 2 * sum(exp(-t * t / 2) * CASE WHEN i IN (0, 4000) THEN 1 WHEN i % 2 = 1 THEN 4 ELSE 2 END) * 0.0025 / 3 / sqrt(2 * pi())
    FROM generate_series(0, 4000) i, LATERAL (SELECT z + i * 0.0025) s(t)
$$;
-- What users are worth to a training by itself: sum and weight of each.
CREATE FUNCTION users_of(parameters jsonb, feedback text, best_iteration int, metric text) RETURNS TABLE (who bigint, value float8, weight float8) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM train('plain', 'training', parameters - 'iterations', format('feedback => %L, iterations => %s', feedback, best_iteration));
    RETURN QUERY SELECT u.user_id, CASE metric WHEN 'rmse' THEN u.rmse * u.rmse * u.pairs WHEN 'mae' THEN u.mae * u.pairs WHEN 'auc' THEN u.auc ELSE u.ndcg END,
                        CASE WHEN metric IN ('rmse', 'mae') THEN u.pairs ELSE 1 END::float8
                 FROM als_evaluate_users_as(NULL::bigint, 'plain', 'held_out') u WHERE metric IN ('rmse', 'mae') OR u.relevant > 0;
    DROP TABLE plain;
END $$;

CREATE TABLE answers AS
    SELECT 'implicit' AS feedback, 'ndcg' AS name, t.* FROM als_tune('of_ndcg', 'ratings', '{"factors": {"from": 2, "to": 8}}', trials => 9, validation_fraction => 0.2) t
    UNION ALL SELECT 'implicit', 'auc', t.* FROM als_tune('of_auc', 'ratings', '{"factors": [2, 5], "alpha": [0.1, 1, 10], "iterations": 4}', validation_fraction => 0.2, validation_metric => 'auc') t
    UNION ALL SELECT 'explicit', 'rmse', t.* FROM als_tune('of_rmse', 'ratings', '{"factors": {"from": 2, "to": 4}}', trials => 6, feedback => 'explicit', validation_fraction => 0.2) t
    UNION ALL SELECT 'explicit', 'mae', t.* FROM als_tune('of_mae', 'ratings', '{"factors": 2, "regularization": [0.01, 0.1, 1, 10]}', feedback => 'explicit', validation_fraction => 0.2, validation_metric => 'mae') t;

-- p values: the paired test over users; where they have many pairs, of what each adds to the error, linearized
CREATE TABLE valued AS
    SELECT a.name, a.trial, a.rank, a.p_value, u.* FROM answers a, LATERAL users_of(a.parameters, a.feedback, a.best_iteration, a.name) u;
WITH means AS (
    SELECT *, sum(value) OVER trial / sum(weight) OVER trial AS mean, count(*) OVER trial / sum(weight) OVER trial AS share
    FROM valued WHERE value IS NOT NULL WINDOW trial AS (PARTITION BY name, trial)),
linearized AS (
    SELECT *, CASE name WHEN 'rmse' THEN sqrt(mean) + share * (value - mean * weight) / 2 / sqrt(mean) WHEN 'mae' THEN mean + share * (value - mean * weight) ELSE value END AS v FROM means),
expected AS (
    SELECT l.name, l.trial, l.p_value, CASE WHEN avg(best.v - l.v) = 0 THEN 1 ELSE two_sided(abs(avg(best.v - l.v)) / stddev(best.v - l.v) * sqrt(count(*))) END AS p
    FROM linearized l JOIN linearized best USING (name, who) WHERE best.rank = 1 AND l.rank > 1 GROUP BY l.name, l.trial, l.p_value)
SELECT name, count(*), bool_and(abs(p_value - p) < 1e-4 + 1e-3 * p) AS p_values, count(DISTINCT p) > 2 AS different FROM expected GROUP BY name ORDER BY name;
SELECT name, count(p_value) FILTER (WHERE rank = 1) AS of_the_best, count(DISTINCT baseline) AS baselines, count(remarks) AS remarks FROM answers GROUP BY name ORDER BY name;

-- the baseline: popularity as a model of one factor, the mean by hand
CREATE VIEW everybody AS SELECT DISTINCT user_id, ARRAY[1]::real[] AS factors FROM training;
CREATE VIEW popular AS SELECT item_id, ARRAY[count(DISTINCT user_id)]::real[] AS factors FROM training GROUP BY item_id;
SELECT run FROM als_import('popularity', 'SELECT * FROM everybody', 'SELECT * FROM popular', 'training');
SELECT name, bool_and(baseline = value) AS model, bool_and(abs(baseline - e.popularity) < 1e-9) AS popularity
FROM answers a JOIN als_evaluate('popularity', 'held_out') e ON e.metric = a.name WHERE feedback = 'implicit' GROUP BY name ORDER BY name;
WITH mean AS (SELECT avg(rating) AS mean FROM (SELECT avg(rating) AS rating FROM training GROUP BY user_id, item_id) t),
errors AS (
    SELECT avg(rating) - mean AS error FROM held_out, mean
    WHERE user_id IN (SELECT user_id FROM training) AND item_id IN (SELECT item_id FROM training) GROUP BY user_id, item_id, mean)
SELECT name, bool_and(abs(baseline - CASE name WHEN 'mae' THEN mae ELSE rmse END) < 1e-6) AS mean
FROM answers, (SELECT sqrt(avg(error ^ 2)) AS rmse, avg(abs(error)) AS mae FROM errors) e WHERE feedback = 'explicit' GROUP BY name ORDER BY name;
-- none where there is no mean to predict
SELECT name, count(*), count(baseline) AS baselines FROM (
    SELECT 'implicit' AS name, * FROM als_tune('no_mean', 'ratings', '{"factors": 2}', validation_metric => 'rmse')
    UNION ALL SELECT 'unbiased', * FROM als_tune('unbiased', 'ratings', '{"factors": 2}', feedback => 'explicit', biases => false)) t GROUP BY name ORDER BY name;

-- The present model's parameters are a trial of a search, on the same ratings.
SELECT run FROM als_train('present', 'ratings', factors => 7, alpha => 40, regularization => 0.5, regularization_by => 'ratings', nonnegative => true);
CREATE TABLE searched AS SELECT * FROM als_tune('present', 'ratings', '{"factors": {"to": 4}, "iterations": 6}', trials => 8, validation_fraction => 0.2);
SELECT count(*), max(trial) AS trials FROM searched;
SELECT s.trial, s.parameters, s.iterations, s.remarks, s.metric = p.validation_curve[p.best_iteration] AS metric
FROM searched s, LATERAL train('same', 'ratings', s.parameters, 'validation_fraction => 0.2') p WHERE s.remarks = 'The parameters of the present model.';
SELECT remarks ~ 'the parameters of the present model, trial 8' AS said FROM searched WHERE rank = 1;
-- what they are not is said too, whatever the grid says of the other trials
SELECT run FROM als_train('plain_present', 'ratings', factors => 3);
SELECT parameters @> '{"factors": 3, "nonnegative": false, "regularization_by": "confidence"}' AS its_own
FROM als_tune('plain_present', 'ratings', '{"factors": {"to": 4}, "nonnegative": true, "regularization_by": "ratings", "iterations": 3}', trials => 3) WHERE remarks = 'The parameters of the present model.';
-- where nothing better is found, they are kept
SELECT run FROM als_train('present', 'ratings', factors => 3);
SELECT trial, remarks ~ 'The parameters of the present model are the best\.' AS said
FROM als_tune('present', 'ratings', '{"factors": {"from": 1, "to": 1}, "alpha": {"from": 1e-6, "to": 1e-5}, "iterations": 6}', trials => 3, validation_fraction => 0.2) WHERE rank = 1;
-- no trial where they are another model's, not known, or the only one
SELECT count(*), count(*) FILTER (WHERE remarks ~ 'present') AS present FROM als_tune('popularity', 'ratings', '{"factors": {"to": 3}}', trials => 3);
SELECT count(*), count(*) FILTER (WHERE remarks ~ 'present') AS present FROM als_tune('unbiased', 'ratings', '{"factors": {"to": 3}}', trials => 3, feedback => 'explicit');
SELECT count(*), count(*) FILTER (WHERE remarks ~ 'present') AS present FROM als_tune('unbiased', 'ratings', '{"factors": {"to": 3}}', trials => 1, feedback => 'explicit');

-- What lies at an edge: a grid's least and most, the ends of ranges.
CREATE FUNCTION remarks(grid jsonb, more text DEFAULT 'trials => null') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format('SELECT remarks FROM als_tune(%L, %L, %L, validation => %L, %s) WHERE rank = 1', 'edges', 'training', grid, 'held_out', more) INTO result;
    DROP TABLE edges;
    RETURN result;
END $$;
SELECT remarks('{"factors": [2, 4], "alpha": 1e-5, "regularization": [0.1, 1, 10], "iterations": 8}') ~ 'factors is the (least|most) of the grid: try (less|more)\.' AS factors;
SELECT remarks('{"factors": 3, "regularization": {"from": 1e3, "to": 1e9}, "regularization_scaling": 0}', 'feedback => ''explicit'', trials => 20') ~ 'regularization is at the (lower|upper) end of its range: try \{"regularization": \{"from": \S+, "to": \S+\}\}\.' AS range;
SELECT remarks('{"factors": 3, "regularization": [1e5, 1e6], "iterations": 8}') ~ 'regularization is the (least|most) of the grid: try (less|more)\.' AS regularization;
SELECT remarks('{"factors": 3, "alpha": {}, "regularization": {"from": 1e5, "to": 1e5}, "iterations": 2}') ~ 'regularization is' AS range_of_one_value;
SELECT remarks('{"factors": 3, "alpha": {}, "regularization": {}}') ~ 'factors were tried' AS factors_that_were_said;
-- one that nobody has given has no edge
SELECT remarks('{"factors": 3, "regularization_scaling": {}, "regularization": 1, "alpha": 1}', 'trials => 20') ~ 'regularization_scaling' AS not_given,
       remarks('{"factors": 3, "regularization_scaling": {"from": 0, "to": 1}, "regularization": 1e3}', 'feedback => ''explicit'', trials => 20') ~ 'regularization_scaling is at the lower end of its range\.' AS given;
SELECT remarks('{"factors": 3, "iterations": 1}') ~ 'The last iteration was the best: try more\.' AS iterations;
SELECT remarks('{"factors": 3, "iterations": [50, 60]}', 'timeout => ''1 microsecond'', workers => 0') ~ 'Time was up after 1 of 2 trials\.' AS grid,
       remarks(NULL, 'timeout => ''1 microsecond'', workers => 0') ~ 'Time was up after 1 of 60 trials\.' AS search,
       remarks('{"factors": 3}', 'timeout => ''1 day''') ~ 'Time was up' AS in_time;
-- worse than what is popular, and said to be
SELECT remarks('{"factors": 1, "alpha": 0, "regularization": 1e4, "iterations": 1, "regularization_scaling": 1}') ~ 'It is no better than what is popular, with ndcg 0\.\d+: these ratings do not tell more\.' AS worse;
-- one user tells nothing of chance
SELECT bool_and(p_value IS NULL) AS p_values, max(remarks) ~ '^It is \S+ % better than what is popular, with ndcg 0\.\d+\.' AS said, max(remarks) ~ 'p =|NaN' AS chance
FROM als_tune('of_one', 'training', '{"factors": [1, 3]}', validation => 'SELECT * FROM held_out WHERE user_id = 1');
