-- als_tune without a grid, or with ranges in it: it searches.
SET client_min_messages = warning;
CREATE SCHEMA search;
SET search_path = search, public;
\set SHOW_CONTEXT never

\i test/include/held_out.sql
\i test/include/models.sql
CREATE FUNCTION evaluated(model text, test text, metric text) RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT e.value FROM als_evaluate(model::regclass, test) e WHERE e.metric = evaluated.metric);
END $$;
-- als_train with parameters from JSON
CREATE FUNCTION train(model text, source text, parameters jsonb, more text) RETURNS als_model LANGUAGE plpgsql AS $$
DECLARE
    result als_model;
BEGIN
    EXECUTE format('SELECT * FROM als_train(%L, %L, %s)', model, source, concat_ws(', ',
        (SELECT string_agg(format('%I => %L', key, value #>> '{}'), ', ') FROM jsonb_each(parameters)), more)) INTO result;
    RETURN result;
END $$;

-- Each trial against a training by itself that stops where the trial was best.
CREATE TABLE trials AS
    SELECT 'implicit' AS feedback, 'ndcg' AS metric_name, t.* FROM als_tune('searched_implicit', 'ratings', validation_fraction => 0.2) t
    UNION ALL SELECT 'explicit', 'rmse', t.* FROM als_tune('searched_explicit', 'ratings', trials => 30, feedback => 'explicit', validation_fraction => 0.2) t
    UNION ALL SELECT 'nonnegative', 'map', t.* FROM als_tune('searched_nonnegative', 'ratings', '{"factors": {"from": 3, "to": 10}, "nonnegative": true, "iterations": 7}', trials => 20, validation_fraction => 0.2, validation_metric => 'map') t;
CREATE TABLE checks (feedback text, trial int, metric boolean, loss boolean, stored boolean);
DO $$
DECLARE
    t trials;
    plain als_model;
BEGIN
    FOR t IN SELECT * FROM trials LOOP
        plain := train('plain', 'training', t.parameters - 'iterations', format('feedback => %L, iterations => %s', CASE t.feedback WHEN 'explicit' THEN 'explicit' ELSE 'implicit' END, t.best_iteration));
        INSERT INTO checks VALUES (t.feedback, t.trial, t.metric = evaluated('plain', 'held_out', t.metric_name), t.loss = plain.loss,
            factors_of('searched_' || t.feedback) = factors_of('plain'));
        DROP TABLE plain;
    END LOOP;
END $$;
SELECT feedback, count(*), bool_and(c.metric) AS metric, bool_and(c.loss) AS loss, bool_and(stored) FILTER (WHERE rank = 1) AS best_is_stored
FROM trials t JOIN checks c USING (feedback, trial) GROUP BY feedback ORDER BY feedback;
-- best first; numbered in the order in which they begin
SELECT feedback, bool_and(rank = by_metric) AS ranked, array_agg(trial ORDER BY trial) = array_agg(DISTINCT n ORDER BY n) AS numbered FROM (
    SELECT *, row_number() OVER (PARTITION BY feedback ORDER BY CASE feedback WHEN 'explicit' THEN metric ELSE -metric END, trial) AS by_metric,
           row_number() OVER (PARTITION BY feedback ORDER BY trial)::int AS n FROM trials) t
GROUP BY feedback ORDER BY feedback;

-- What is tried: the first is what als chooses, with few factors; a round has
-- the same number of factors, which doubles, and a third of it goes on.
SELECT feedback, string_agg(DISTINCT (parameters->>'factors'), ', ') AS factors, array_agg(DISTINCT iterations ORDER BY iterations) AS iterations,
       count(*) - count(*) FILTER (WHERE iterations = least) BETWEEN count(*) / 3 AND count(*) / 3 + 5 AS a_third_goes_on
FROM (SELECT *, min(iterations) OVER (PARTITION BY feedback) AS least FROM trials) t GROUP BY feedback ORDER BY feedback;
SELECT bool_and(parameters->'factors' = '16') AS few, count(DISTINCT iterations) AS rungs,
       count(*) FILTER (WHERE iterations = 4) AS ended_first, count(*) FILTER (WHERE iterations = 8) AS ended_next, count(*) FILTER (WHERE iterations = 15) AS went_on
FROM trials WHERE feedback = 'implicit' AND trial <= 24;
-- who is left out was no better than who went on, if he was best then: it would be the better one now
SELECT bool_and(ended.metric <= on_.metric) IS NOT FALSE AS the_best_go_on
FROM trials ended, trials on_ WHERE ended.feedback = 'implicit' AND on_.feedback = 'implicit' AND ended.trial <= 24 AND on_.trial <= 24
AND ended.iterations = 4 AND on_.iterations > 4 AND on_.best_iteration = 4;
CREATE TABLE chosen_for AS SELECT alpha, regularization, regularization_scaling FROM als_train('chosen', 'training', factors => 16);
SELECT abs((parameters->>'alpha')::float8 / alpha - 1) < 0.005 AS alpha, abs((parameters->>'regularization')::float8 / regularization - 1) < 0.005 AS regularization,
       (parameters->>'regularization_scaling')::float8 = regularization_scaling AS scaling
FROM trials, chosen_for WHERE feedback = 'implicit' AND trial = 1;
-- all over the ranges, evenly on a logarithmic scale: a quarter of the points in each quarter
SELECT array_agg(n ORDER BY bucket) AS alphas FROM (
    SELECT bucket, count(*) AS n FROM (SELECT width_bucket(log((parameters->>'alpha')::numeric / alpha::numeric), -1.5, 1.5, 4) AS bucket
        FROM trials, chosen_for WHERE feedback = 'implicit' AND trial BETWEEN 2 AND 24) t GROUP BY bucket) b;
-- then with twice the factors, in a box of half the width around the one that was best at its end, which comes first
SELECT bool_and(t.parameters->'factors' = '32') AS twice, max(abs(log((t.parameters->>'alpha')::numeric / best.alpha))) BETWEEN 0.5 AND 0.76 AS half
FROM trials t, LATERAL (SELECT (parameters->>'alpha')::numeric AS alpha FROM trials WHERE feedback = 'implicit' AND trial = 25) best
WHERE feedback = 'implicit' AND trial BETWEEN 25 AND 36;
SELECT count(*) AS one_of_those_that_went_on FROM trials t JOIN trials first USING (feedback)
WHERE feedback = 'implicit' AND first.trial <= 24 AND first.iterations = 15 AND t.trial = 25 AND t.parameters->'alpha' = first.parameters->'alpha';

-- What is said is kept to: ranges, values and factors.
SELECT count(*), min((parameters->>'alpha')::float8) >= 2 AND max((parameters->>'alpha')::float8) <= 20 AS alpha, bool_and((parameters->>'regularization')::float8 BETWEEN 0.1 AND 10) AS regularization,
       bool_and(parameters @> '{"regularization_scaling": 0, "solver": "cholesky", "seed": 7, "iterations": 3}') AS as_said, array_agg(DISTINCT (parameters->>'factors')::int ORDER BY (parameters->>'factors')::int) AS factors
FROM als_tune('limited_1', 'ratings', '{"factors": {"from": 3, "to": 10}, "alpha": {"from": 2, "to": 20}, "regularization": {"from": 0.1, "to": 10}, "solver": "cholesky", "seed": 7, "iterations": 3}', trials => 20);
SELECT count(*), count(DISTINCT parameters->'alpha') AS alphas, min((parameters->>'factors')::int) AS least, max((parameters->>'factors')::int) AS most, count(DISTINCT parameters->'regularization') > 5 AS regularizations
FROM als_tune('limited_2', 'ratings', '{"factors": {"to": 8}, "alpha": 3, "regularization": {}}', trials => 10);
-- nothing to search but factors: as many trials as there are numbers of them, and doubling pays
SELECT count(*) BETWEEN 1 AND 3 AS trials FROM als_tune('limited_3', 'ratings', '{"factors": {"from": 2, "to": 8}, "alpha": 3, "regularization": 1}');
SELECT bool_and(parameters = '{"alpha": 3, "factors": 2, "regularization": 1, "regularization_scaling": 0.5}'), count(*)
FROM als_tune('limited_4', 'ratings', '{"factors": {"from": 2, "to": 2}, "alpha": 3, "regularization": 1, "regularization_scaling": {"from": 0.5, "to": 0.5}}', trials => 1);
-- a refit trains on all
CREATE TABLE refits AS SELECT * FROM als_tune('refitted', 'ratings', '{"factors": {"from": 2, "to": 4}}', trials => 6, refit => true);
SELECT m.ratings = p.ratings AS all_ratings, factors_of('refitted') = factors_of('plain_refit') AS factors
FROM refits t, refitted m, LATERAL train('plain_refit', 'ratings', t.parameters, format('iterations => %s', t.best_iteration)) p WHERE t.rank = 1;
-- validation_curve: null where it was not measured
SELECT m.validation_curve[1] IS NULL AS first, m.validation_curve[4] IS NOT NULL AS fourth, m.validation_curve[m.best_iteration] = t.metric AS best,
       (SELECT count(*) FROM als_convergence(m) WHERE metric IS NULL) = array_length(m.losses, 1) - (SELECT count(v) FROM unnest(m.validation_curve) v) AS drawn
FROM searched_implicit m, trials t WHERE t.feedback = 'implicit' AND t.rank = 1;

-- The same search twice, another with another seed.
CREATE FUNCTION search(s bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    SELECT string_agg((parameters, metric, iterations, p_value, remarks)::text, ';' ORDER BY trial) INTO result
    FROM als_tune('again', 'ratings', '{"factors": {"to": 8}}', trials => 10, seed => s, validation => 'held_out');
    DROP TABLE again;
    RETURN result;
END $$;
SELECT search(1) = search(1) AS same, search(1) <> search(2) AS other;

-- Time: however little there is, the best so far is left.
SELECT count(*), max(iterations) AS iterations, max(rank) AS rank FROM als_tune('hasty', 'ratings', timeout => '1 microsecond', workers => 0);
SELECT factors, array_length(losses, 1) AS iterations, validation_curve[1] > 0 AS validated FROM hasty;
SELECT count(*), max(iterations) AS iterations FROM als_tune('hasty_1', 'ratings', '{"factors": [3, 4, 5], "iterations": 20}', timeout => '1 microsecond', workers => 0);
SELECT count(*) FROM als_tune('hasty_2', 'ratings', '{"factors": [3, 4, 5], "iterations": 2}', timeout => '10 days');
-- and the same of trials that wait for a process: one each at most has begun
SET max_parallel_maintenance_workers = 2;
SELECT count(*) BETWEEN 1 AND 3 AS begun, bool_or(remarks ~ 'Time was up after [123] of 24 trials') AS said FROM als_tune('hasty_3', 'ratings', '{"factors": [3, 4, 5, 6, 7, 8, 9, 10], "alpha": [1, 2, 3], "iterations": 20}', timeout => '1 microsecond', workers => 2);
RESET max_parallel_maintenance_workers;

-- Numbers are rounded, but not out of their range, and told alike by all sessions.
SET extra_float_digits = -15;
SELECT count(*), bool_and((parameters->'alpha')::numeric BETWEEN 1.2345 AND 1.2346) AS alpha, bool_and((parameters->'regularization')::numeric BETWEEN 0.0012345 AND 0.0012346) AS regularization,
       bool_and((parameters->'regularization_scaling')::numeric BETWEEN 0.123 AND 0.124) AS scaling
FROM als_tune('rounded', 'ratings', '{"factors": 2, "iterations": 2, "alpha": {"from": 1.2345, "to": 1.2346}, "regularization": {"from": 0.0012345, "to": 0.0012346}, "regularization_scaling": {"from": 0.123, "to": 0.124}}', trials => 6);
RESET extra_float_digits;

-- bad input
\i test/include/errors.sql
\x on
SELECT grid, t.* FROM unnest(ARRAY['{"seed": {}}', '{"alpha": {"from": 1}}', '{"alpha": {"from": 3, "to": 2}}', '{"alpha": {"from": 0, "to": 2}}', '{"regularization": {"from": 0, "to": 1}}', '{"alpha": {"to": 1, "from": "1"}}',
    '{"alpha": {"least": 1}}', '{"alpha": {"from": {}, "to": 1}}', '{"factors": {"from": 3.5}}', '{"factors": {"from": 0}}', '{"factors": {"to": 2000}}', '{"factors": {"from": 9, "to": 3}}', '{"regularization_scaling": {"from": 0, "to": 3}}',
    '{"alpha": {}, "factors": [2, 3]}', '{"alpha": {"from": 1e-9, "to": 1e31}}']) grid,
    try(format('SELECT als_tune(%L, %L, %L)', 'bad', 'ratings', grid)) t;
SELECT parameters, t.* FROM unnest(ARRAY['trials => 0', 'timeout => $$0$$', 'timeout => $$-1 day$$', 'timeout => $$300000000 years$$', 'feedback => $$explicit$$, grid => $${"alpha": {"from": 1, "to": 0}}$$']) parameters,
    try(format('SELECT als_tune(%L, %L, %s)', 'bad', 'ratings', parameters)) t;
-- all fail: an error, and nothing is left
SELECT * FROM try($$SELECT als_tune('bad', 'ratings', '{"factors": {"from": 60, "to": 61}, "regularization": 0, "solver": "cholesky"}', trials => 5)$$);
\x off
SELECT relname FROM pg_class WHERE relnamespace = 'search'::regnamespace AND relname LIKE 'bad%';
