-- als_convergence, and als_progress where nothing is being trained; see
-- 016_progress.pl for trainings under way
SET client_min_messages = warning;
CREATE SCHEMA watching;
SET search_path = watching, public;
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(60, 40, 20);
SELECT users, items FROM als_train('model', 'ratings', factors => 8, iterations => 6, validation_fraction => 0.2);

-- a row for each iteration, with what the model's row says
SELECT count(*), bool_and(c.loss = m.losses[c.iteration]) AS losses, bool_and(c.metric = m.validation_curve[c.iteration]) AS metrics,
       count(*) FILTER (WHERE metric_bar LIKE '% best') AS best, max(c.iteration) FILTER (WHERE metric_bar LIKE '% best') = m.best_iteration AS best_iteration
FROM model m, als_convergence(m) c GROUP BY m.best_iteration;
SELECT array_agg(iteration) FROM (SELECT (als_convergence(m)).iteration FROM model m) t;
-- the lowest has a bar of 1, the highest one of the width, between them all is in order
SELECT min(length(loss_bar)), max(length(loss_bar)), min(length(rtrim(metric_bar, ' best'))), max(length(rtrim(metric_bar, ' best'))),
       corr(length(loss_bar), ln(c.loss)) > 0.99 AS logarithmic, corr(length(rtrim(metric_bar, ' best')), c.metric) > 0.99 AS linear
FROM model m, als_convergence(m, 200) c;
-- bars of known numbers
SELECT c.* FROM als_convergence(jsonb_populate_record(NULL::als_model, '{"losses": [1000, 100, 10, 1], "validation_curve": [0.1, 0.3, 0.2, 0.1], "best_iteration": 2}'), 10) c;
SELECT c.* FROM als_convergence(jsonb_populate_record(NULL::als_model, '{"losses": [8, 8]}'), 10) c;
SELECT c.* FROM als_convergence(jsonb_populate_record(NULL::als_model, '{"losses": [8, 0]}'), 0) c;
SELECT c.* FROM als_convergence(NULL) c;
SELECT c.* FROM als_convergence(NULL, NULL) c;
-- any width, and whatever somebody may have written into the model's table
SELECT w AS width, max(length(c.loss_bar)), count(*)
FROM unnest(ARRAY[-2147483648, -1, 0, 1, 7, 1000, 1001, 2147483647]) WITH ORDINALITY AS t(w, o),
     als_convergence(jsonb_populate_record(NULL::als_model, '{"losses": [1000, 100, 10, 1]}'), w) c GROUP BY w, o ORDER BY o;
SELECT c.* FROM als_convergence(jsonb_populate_record(NULL::als_model,
    '{"losses": ["NaN", "Infinity", "-Infinity", null, -1, 0, 5e-324, 1.7e308, 1], "validation_curve": [null, "NaN", 1.7e308, -1.7e308, "Infinity", 5e-324, 0, "-Infinity", 1, 2], "best_iteration": -5}'), 10) c;
SELECT c.* FROM als_convergence(jsonb_populate_record(NULL::als_model, '{"losses": [], "validation_curve": [[1, 2], [3, 4]], "best_iteration": 4}'), 10) c;
SELECT count(*), sum(length(loss_bar)) FROM als_convergence(
    jsonb_populate_record(NULL::als_model, jsonb_build_object('losses', (SELECT jsonb_agg(1 + i % 2) FROM generate_series(1, 100000) i))), 1000);
SELECT c.* FROM als_train('other', 'ratings', factors => 2, iterations => 1) m, LATERAL (SELECT iteration, loss_bar, metric, metric_bar FROM als_convergence(m)) c;

-- progress: nothing now, also after an error, and for anybody
SELECT count(*) FROM als_progress;
SELECT als_train('broken', 'SELECT user_id, item_id, 1 / (item_id % 5) AS rating FROM ratings');
SELECT count(*) FROM als_progress;
CREATE ROLE regress_als_watcher;
SET ROLE regress_als_watcher;
SELECT count(*) FROM als_progress;
RESET ROLE;
DROP ROLE regress_als_watcher;
DROP SCHEMA watching CASCADE;
