-- als_tune: every trial is a training by itself, and the best becomes the model.
SET client_min_messages = warning;
CREATE SCHEMA tune;
SET search_path = tune, public;
\set SHOW_CONTEXT never

\i test/include/held_out.sql
CREATE VIEW text_ratings AS SELECT 'ü ' || user_id AS user_id, 'i' || lpad(item_id::text, 3, '0') COLLATE "C" AS item_id, rating FROM ratings;

\i test/include/models.sql
-- als_train with parameters from JSON
CREATE FUNCTION train(model text, source text, parameters jsonb, more text) RETURNS als_model LANGUAGE plpgsql AS $$
DECLARE
    result als_model;
BEGIN
    EXECUTE format('SELECT * FROM als_train(%L, %L, %s)', model, source, concat_ws(', ',
        (SELECT string_agg(format('%I => %L', key, value #>> '{}'), ', ') FROM jsonb_each(parameters)), more)) INTO result;
    RETURN result;
END $$;
CREATE FUNCTION evaluated(model text, test text, metric text) RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT e.value FROM als_evaluate(model::regclass, test) e WHERE e.metric = evaluated.metric);
END $$;

-- Each trial against a training by itself that stops where the trial was best,
-- without validation, on what the split leaves, and als_evaluate; and against
-- als_train with validation.
CREATE TABLE trials AS
    SELECT 'implicit' AS feedback, 'ndcg' AS metric_name, t.* FROM als_tune('tuned_implicit', 'ratings',
        '{"factors": [3, 6], "alpha": [1, 40], "regularization": [0.01, 1], "iterations": 8}', validation_fraction => 0.2) t
    UNION ALL SELECT 'explicit', 'rmse', t.* FROM als_tune('tuned_explicit', 'ratings',
        '{"factors": [3, 6], "regularization": [0.05, 0.5], "solver": ["cg", "cholesky"], "nonnegative": [false, true], "regularization_scaling": [null, 0]}',
        feedback => 'explicit', validation_fraction => 0.2, patience => 2) t;
CREATE TABLE checks (feedback text, trial int, metric boolean, loss boolean, best_is_stored boolean,
    validated_metric boolean, validated_best boolean, validated_iterations boolean, validated_is_stored boolean);
DO $$
DECLARE
    t trials;
    plain als_model;
    validated als_model;
BEGIN
    FOR t IN SELECT * FROM trials LOOP
        plain := train('plain', 'training', t.parameters - 'iterations', format('feedback => %L, iterations => %s', t.feedback, t.best_iteration));
        validated := train('validated', 'ratings', t.parameters, format('feedback => %L, validation_fraction => 0.2, patience => %s', t.feedback,
                           CASE t.feedback WHEN 'explicit' THEN '2' ELSE 'NULL' END));
        INSERT INTO checks VALUES (t.feedback, t.trial, t.metric = evaluated('plain', 'held_out', t.metric_name), t.loss = plain.loss,
            factors_of('tuned_' || t.feedback) = factors_of('plain'), t.metric = validated.validation_curve[validated.best_iteration],
            t.best_iteration = validated.best_iteration, t.iterations = array_length(validated.losses, 1),
            factors_of('tuned_' || t.feedback) = factors_of('validated'));
        DROP TABLE plain, validated;
    END LOOP;
END $$;
-- the factors that are stored are those of the best trial, and of no other
SELECT t.feedback, count(*), count(t.error) AS failed, count(DISTINCT parameters) AS different, bool_and(c.metric) AS metric, bool_and(c.loss) AS loss,
       bool_and(best_is_stored = (rank = 1)) AS best_is_stored, bool_and(validated_metric) AS validated_metric, bool_and(validated_best) AS validated_best,
       bool_and(validated_iterations) AS validated_iterations, bool_and(validated_is_stored = (rank = 1)) AS validated_is_stored
FROM trials t JOIN checks c USING (feedback, trial) GROUP BY t.feedback ORDER BY t.feedback;
-- best first, and trials count in the order of the grid, the last parameter fastest
SELECT feedback, bool_and(rank = by_metric) AS ranked, min(rank), max(rank) FROM (
    SELECT *, row_number() OVER (PARTITION BY feedback ORDER BY CASE feedback WHEN 'explicit' THEN metric ELSE -metric END, trial) AS by_metric FROM trials) t
GROUP BY feedback ORDER BY feedback;
SELECT trial, parameters FROM trials WHERE feedback = 'implicit' ORDER BY trial;
-- the model says what it was trained with
SELECT m.source, to_jsonb(m) @> (t.parameters - 'regularization_scaling') AS parameters, m.validation_fraction, m.validation_seed, m.validation_metric, m.patience, m.best_iteration = t.best_iteration AS best,
       m.validation_curve[m.best_iteration] = t.metric AS metric, m.loss = t.loss AS loss
FROM (SELECT 'implicit' AS f, * FROM tuned_implicit UNION ALL SELECT 'explicit', * FROM tuned_explicit) m JOIN trials t ON t.feedback = m.f AND t.rank = 1 ORDER BY f;
-- a tuned model serves, and is tuned again as any is retrained
SELECT count(*) FROM als_recommend('tuned_implicit', 1, 3);
SELECT rank, parameters FROM als_tune('tuned_implicit', 'ratings', '{}') WHERE rank = 1;
SELECT run, validation_fraction FROM tuned_implicit ORDER BY run;

-- The split is that of the call's seed, whatever seeds the grid has.
SELECT t.trial, t.metric = evaluated('plain_seed_' || t.trial, 'held_out', 'ndcg') AS metric
FROM als_tune('tuned_seed', 'ratings', '{"factors": 3, "iterations": 3, "seed": [1, 2]}', validation_fraction => 0.2) t,
     LATERAL train('plain_seed_' || t.trial, 'training', t.parameters - 'iterations', format('iterations => %s', t.best_iteration)) p WHERE p.run > 0 ORDER BY trial;
SELECT seed IN (1, 2) AS one_of_both, validation_seed FROM tuned_seed;

-- A relation to validate on, another metric, and text ids.
SELECT bool_and(t.metric = evaluated('plain_auc_' || t.trial, 'held_out', 'auc')) AS metric
FROM als_tune('tuned_relation', 'training', '{"factors": [2, 3]}', validation => 'held_out', validation_metric => 'auc') t,
     LATERAL train('plain_auc_' || t.trial, 'training', t.parameters, format('iterations => %s', t.best_iteration)) p WHERE p.run > 0;
SELECT count(*) FROM als_tune('tuned_text', 'text_ratings', '{"factors": [2, 3]}', validation_fraction => 0.2);
SELECT users, validation_curve[best_iteration] = evaluated('tuned_text', 'SELECT * FROM text_ratings WHERE als_holdout(user_id, item_id, 0.2, 42)', 'ndcg') AS metric FROM tuned_text;

-- A tenth is set aside if nothing else is said; ratings are read once, and once more to refit.
CREATE SEQUENCE reads;
SELECT count(*) FROM als_tune('tuned_once', 'SELECT r.* FROM tune.ratings r, (SELECT nextval(''tune.reads'') OFFSET 0) n', '{"factors": [2, 3, 4]}');
SELECT validation_fraction FROM tuned_once;
SELECT last_value FROM reads;
SELECT count(*) FROM als_tune('tuned_once', 'SELECT r.* FROM tune.ratings r, (SELECT nextval(''tune.reads'') OFFSET 0) n', '{"factors": [2, 3, 4]}', refit => true);
SELECT last_value FROM reads;

-- Refitting trains on all ratings, up to the best iteration.
CREATE TABLE refits AS SELECT * FROM als_tune('refitted', 'ratings', '{"factors": [3, 6], "alpha": [1, 40], "regularization": 0.01, "iterations": 40, "tolerance": 0.0001}', refit => true);
SELECT m.iterations = t.best_iteration AS iterations, array_length(m.losses, 1) = t.best_iteration AS done, m.validation_curve, m.validation_metric, m.validation_fraction, m.ratings = p.ratings AS all_ratings,
       factors_of('refitted') = factors_of('plain_refit') AS factors
FROM refits t, refitted m, LATERAL train('plain_refit', 'ratings', t.parameters - 'iterations' - 'tolerance', format('iterations => %s', t.best_iteration)) p WHERE t.rank = 1;

-- A random sample: so many of all, the same for the same seed, others for another.
CREATE FUNCTION sample(n int, s bigint) RETURNS SETOF jsonb LANGUAGE sql AS $$
    SELECT parameters FROM als_tune('sampled', 'ratings', '{"factors": [1, 2, 3, 4], "alpha": [1, 2, 3, 4, 5], "iterations": 1}', trials => n, seed => s) ORDER BY trial
$$;
SELECT (SELECT count(DISTINCT p) FROM sample(7, 1) p) AS seven, (SELECT count(DISTINCT p) FROM sample(100, 1) p) AS all_of_them,
       ARRAY(SELECT sample(7, 1)) = ARRAY(SELECT sample(7, 1)) AS same, ARRAY(SELECT sample(7, 1)) <> ARRAY(SELECT sample(7, 2)) AS other,
       ARRAY(SELECT sample(7, 1)) = ARRAY(SELECT p FROM sample(7, 1) p ORDER BY p->'factors', p->'alpha') AS in_order_of_the_grid;
-- each combination is as likely as any other: 60 samples of 5 out of 20 have each 15 times, give or take
SELECT count(*) AS combinations, min(n) > 3 AND max(n) < 32 AS even FROM (SELECT p, count(*) AS n FROM generate_series(1, 60) s, sample(5, s) p GROUP BY p) n;

-- A trial that fails is a row; the others go on.
SELECT trial, rank IS NULL AS unranked, parameters, metric IS NULL AS no_metric, loss IS NULL AS no_loss, error
FROM als_tune('some_fail', 'ratings', '{"factors": [60, 3], "regularization": [0, 0.1], "iterations": 2, "solver": "cholesky"}') ORDER BY trial;
SELECT regularization > 0 OR factors = 3 AS one_that_worked FROM some_fail;
SELECT array_agg(rank ORDER BY rank) AS ranks, array_agg(error IS NULL) AS failures_last FROM als_tune('some_fail', 'ratings', '{"factors": [60, 3], "regularization": 0, "iterations": 2, "solver": "cholesky"}');

-- bad input
\i test/include/errors.sql
\x on
SELECT grid, t.* FROM unnest(ARRAY['[1]', '3', '{"factor": [3]}', '{"feedback": ["explicit"]}', '{"workers": [1]}', '{"patience": 3}', '{"factors": []}', '{"factors": ["3"]}', '{"factors": [3.5]}',
    '{"factors": [3, 0]}', '{"factors": [[3]]}', '{"factors": [{"from": 3}]}', '{"factors": null}', '{"factors": [3, null]}', '{"alpha": [1, -1]}', '{"alpha": [1e400]}', '{"solver": ["cg", "lu"]}',
    '{"nonnegative": ["true"]}', '{"seed": [1.5]}']) grid,
    try(format('SELECT als_tune(%L, %L, %L)', 'bad', 'ratings', grid)) t;
SELECT parameters, t.* FROM unnest(ARRAY['trials => 0', 'trials => -1', 'refit => NULL', 'feedback => $$neither$$', 'validation => $$held_out$$, validation_fraction => 0.1', 'validation => $$held_out$$, refit => true',
    'validation_fraction => 0', 'validation_fraction => 1', 'validation_fraction => 2', 'validation_metric => $$best$$', 'validation_k => 0', 'patience => 0', 'workers => -1', 'user_column => $$who$$', 'seed => NULL']) parameters,
    try(format('SELECT als_tune(%L, %L, %L, %s)', 'bad', 'ratings', '{}', parameters)) t;
SELECT * FROM try($$SELECT als_tune(NULL, 'ratings', '{}')$$);
SELECT * FROM try($$SELECT als_tune('bad', NULL, '{}')$$);
SELECT * FROM try($$SELECT als_tune('bad', 'nowhere', '{}')$$);
SELECT * FROM try($$SELECT als_tune('bad', 'SELECT * FROM ratings WHERE false', '{}')$$);
SELECT * FROM try($$SELECT als_tune('bad', 'ratings', (SELECT jsonb_build_object('factors', a, 'alpha', a, 'regularization', a, 'seed', a) FROM (SELECT jsonb_agg(i) AS a FROM generate_series(1, 50) i) s))$$);
-- all fail: the old model stays
SELECT md5(factors_of('some_fail')) AS before \gset
SELECT * FROM try($$SELECT als_tune('some_fail', 'ratings', '{"factors": [60, 61], "regularization": 0, "solver": "cholesky"}')$$);
SELECT md5(factors_of('some_fail')) = :'before' AS same;
BEGIN READ ONLY;
SELECT * FROM try($$SELECT als_tune('bad', 'ratings', '{}')$$);
ROLLBACK;
\x off
SELECT relname FROM pg_class WHERE relnamespace = 'tune'::regnamespace AND relname LIKE 'bad%';
-- ratings are read as the user who tunes; somebody else's model is not his to train
CREATE ROLE regress_als_tune;
GRANT USAGE, CREATE ON SCHEMA tune TO regress_als_tune;
SET ROLE regress_als_tune;
SELECT code, message FROM try($$SELECT als_tune('his', 'ratings', '{}')$$);
RESET ROLE;
GRANT SELECT ON ratings TO regress_als_tune;
SET ROLE regress_als_tune;
SELECT code, message FROM try($$SELECT als_tune('some_fail', 'ratings', '{}')$$);
SELECT count(*) FROM als_tune('his', 'ratings', '{"factors": [2, 3]}');
RESET ROLE;
SELECT owner FROM als_models WHERE name = 'his';
DROP TABLE his;
REVOKE ALL ON SCHEMA tune FROM regress_als_tune;
REVOKE ALL ON ratings FROM regress_als_tune;
DROP ROLE regress_als_tune;
