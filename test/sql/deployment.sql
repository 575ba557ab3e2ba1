-- Whether a run comes to serve: deploy => 'never', 'if_better'
SET client_min_messages = warning;
CREATE SCHEMA deployment;
SET search_path = deployment, public;
\set SHOW_CONTEXT never
\i test/include/held_out.sql
\i test/include/errors.sql
CREATE FUNCTION runs(model regclass) RETURNS TABLE (run int, factors int, deploy text, compared_with int, keep int, serving boolean, tables text) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT run, factors, deploy, compared_with, keep, serving, concat_ws('' '', user_factors, item_factors) FROM %s ORDER BY run', model);
END $$;

-- the first run serves in any case; others are kept beside it
SELECT run, deploy, serving, user_factors FROM als_train('m', 'training', factors => 4, deploy => 'never', keep => 2);
SELECT als_predict('m', 1, 1) AS first \gset
SELECT run, deploy, serving, user_factors FROM als_train('m', 'training', factors => 6, deploy => 'never');
SELECT als_predict('m', 1, 1) = :first::real AS same, als_predict('m', 1, 1, run => 2) <> :first::real AS other;
SELECT run, deploy, serving, user_factors FROM als_train('m', 'training', factors => 8, deploy => 'never');
SELECT * FROM runs('m');
SELECT als_predict('m', 1, 1) = :first::real AS same;
SELECT als_deploy('m', 3);
SELECT run, deploy, serving, user_factors FROM als_train('m', 'training', factors => 5, deploy => 'always');
SELECT * FROM runs('m');
-- what was trained in vain
SELECT * FROM try('SELECT als_train(''m'', ''training'', deploy => ''never'', keep => 1)');
SELECT * FROM try('SELECT als_train(''new'', ''training'', deploy => ''never'')');
SELECT * FROM try('SELECT als_train(''m'', ''training'', deploy => ''if_better'')');
SELECT * FROM try('SELECT als_train(''m'', ''training'', deploy => ''sometimes'')');
SELECT * FROM try('SELECT als_train(''m'', ''training'', deploy => NULL)');
SELECT * FROM try('SELECT als_train_agg(''m'', user_id, item_id, rating, ''{"deploy": "never"}'') FROM training');
-- a warm start is from the run that serves
SELECT serving, compared_with FROM als_train('m', 'training', factors => 5, iterations => 1, warm_start => true, deploy => 'never');
SELECT * FROM try('SELECT als_train(''m'', ''training'', factors => 8, warm_start => true)');
-- it says nothing of another model than the last of those that were read
SELECT metric, value <> other AS differ FROM als_compare('m', 'm', 'held_out', run => 5) WHERE metric = 'ndcg';

-- better on the same ratings: what als_compare says of both, where both know the same
CREATE FUNCTION check_figures(model text, metric text) RETURNS TABLE (run int, serving boolean, "with" int, better boolean, value_same boolean, other_same boolean, error_same boolean) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format($q$
        SELECT m.run, m.serving, compared_with, CASE WHEN $1 IN ('rmse', 'mae') THEN compared_value < compared_other ELSE compared_value > compared_other END,
            abs(compared_value - c.value) < 1e-12, abs(compared_other - c.other) < 1e-12, abs(compared_error - c.standard_error) < 1e-12
        FROM (SELECT * FROM %1$I ORDER BY run DESC LIMIT 1) m, als_compare(%1$L, %1$L, 'held_out', training => 'training', run => m.run, other_run => m.compared_with) c
        WHERE c.metric = $1$q$, model) USING metric;
END $$;
SELECT run, serving, compared_with FROM als_train('n', 'training', factors => 2, regularization => 10, iterations => 1, validation => 'held_out', deploy => 'if_better', keep => 3);
SELECT run, serving, compared_with FROM als_train('n', 'training', factors => 8, regularization => 0.1, validation => 'held_out', deploy => 'if_better');
SELECT * FROM check_figures('n', 'ndcg');
SELECT run, serving, compared_with FROM als_train('n', 'training', factors => 8, regularization => 10, iterations => 1, validation => 'held_out', deploy => 'if_better');
SELECT * FROM check_figures('n', 'ndcg');
SELECT run, serving, compared_with FROM als_train('n', 'training', factors => 7, regularization => 0.2, validation => 'held_out', validation_metric => 'auc', deploy => 'if_better');
SELECT * FROM check_figures('n', 'auc');
SELECT run, serving, compared_with FROM als_train('n', 'training', factors => 2, regularization => 10, validation => 'held_out', validation_metric => 'recall', validation_k => 3, patience => 1, deploy => 'if_better', workers => 2);
SELECT m.compared_value - c.value AS value, m.compared_other - c.other AS other FROM n m, als_compare('n', 'n', 'held_out', training => 'training', k => 3, run => 5, other_run => m.compared_with) c WHERE m.run = 5 AND metric = 'recall';
SELECT * FROM runs('n');
-- the same run again is no better
SELECT run, serving, compared_value = compared_other AS same, compared_error FROM als_train('n', 'training', factors => 2, regularization => 10, iterations => 1, validation => 'held_out', deploy => 'always');
SELECT run, serving, compared_value = compared_other AS same, compared_error FROM als_train('n', 'training', factors => 2, regularization => 10, iterations => 1, validation => 'held_out', deploy => 'if_better', keep => 1);
SELECT * FROM runs('n');
-- one that is not kept and not better is a row alone
SELECT relname FROM pg_class WHERE relname LIKE 'n\_%' AND relkind = 'r' ORDER BY relname;
SELECT * FROM try('SELECT als_deploy(''n'', 7)');
-- with what is set aside; the ratings that are left are trained from
SELECT run, serving FROM als_train('n', 'ratings', factors => 2, regularization => 10, iterations => 1, validation_fraction => 0.2, deploy => 'if_better', keep => 3);
SELECT run, serving FROM als_train('n', 'ratings', factors => 8, regularization => 0.1, validation_fraction => 0.2, deploy => 'if_better');
SELECT * FROM check_figures('n', 'ndcg');

-- errors, and what only one of them knows
SELECT run FROM als_train('stars', 'SELECT * FROM deployment.training WHERE user_id > -10 AND item_id % 9 > 0', feedback => 'explicit', factors => 3, regularization => 0.5, iterations => 2, keep => 2);
SELECT run, serving FROM als_train('stars', 'SELECT * FROM deployment.training WHERE user_id < 30 AND item_id % 7 > 0', feedback => 'explicit', factors => 6, regularization => 0.1, validation => 'held_out', deploy => 'if_better');
SELECT s.compared_value - sqrt(avg((rating - als_predict('stars', user_id, item_id, run => 2)) ^ 2)) BETWEEN -1e-6 AND 1e-6 AS value,
       s.compared_other - sqrt(avg((rating - als_predict('stars', user_id, item_id, run => 1)) ^ 2)) BETWEEN -1e-6 AND 1e-6 AS other, count(*)
FROM stars s, (SELECT user_id, item_id, avg(rating) AS rating FROM held_out GROUP BY 1, 2) h
WHERE s.run = 2 AND als_predict('stars', user_id, item_id, run => 1) IS NOT NULL AND als_predict('stars', user_id, item_id, run => 2) IS NOT NULL GROUP BY s.compared_value, s.compared_other;
-- rankings: precision of the first five, of users and items that both know
SELECT run FROM als_train('ranked', 'SELECT * FROM deployment.training WHERE user_id > -10 AND item_id % 9 > 0', factors => 3, regularization => 0.5, iterations => 2, keep => 2);
SELECT run, serving FROM als_train('ranked', 'SELECT * FROM deployment.training WHERE user_id < 30 AND item_id % 7 > 0', factors => 6, regularization => 0.1, validation => 'held_out', validation_metric => 'precision', validation_k => 5, deploy => 'if_better', keep => 3);
CREATE VIEW both_know AS    -- neither run may go while it is there
    SELECT u.user_id, i.item_id, coalesce(h.rating > 0, false) AS relevant
    FROM (SELECT user_id FROM ranked_users INTERSECT SELECT user_id FROM ranked_users_1) u CROSS JOIN (SELECT item_id FROM ranked_items INTERSECT SELECT item_id FROM ranked_items_1) i
    LEFT JOIN (SELECT user_id, item_id, sum(rating) AS rating FROM held_out GROUP BY 1, 2) h USING (user_id, item_id)
    WHERE h.rating IS NOT NULL OR NOT EXISTS (SELECT FROM training t WHERE t.user_id < 30 AND t.item_id % 7 > 0 AND (t.user_id, t.item_id) = (u.user_id, i.item_id));
CREATE FUNCTION precision_of(number int) RETURNS TABLE (user_id int, hits float8) LANGUAGE sql AS $$
    SELECT user_id, count(*) FILTER (WHERE relevant AND place <= 5) / 5.0
    FROM (SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY als_predict('ranked', user_id, item_id, run => number) DESC, item_id) AS place FROM both_know) r
    GROUP BY user_id HAVING bool_or(relevant)
$$;
SELECT abs(r.compared_value - avg(a.hits)) < 1e-12 AS value, abs(r.compared_other - avg(b.hits)) < 1e-12 AS other,
       abs(r.compared_error - stddev_samp(a.hits - b.hits) / sqrt(count(*))) < 1e-12 AS error, count(*), r.compared_value <> r.compared_other AS differ
FROM ranked r, precision_of(2) a JOIN precision_of(1) b USING (user_id) WHERE r.run = 2 GROUP BY r.compared_value, r.compared_other, r.compared_error;
-- who know nothing in common cannot be compared, and the run that serves stays
DROP VIEW both_know;
SELECT run, serving, compared_with, compared_value, compared_other, compared_error
FROM als_train('ranked', 'SELECT user_id + 1000 AS user_id, item_id, rating FROM deployment.ratings', factors => 4, validation_fraction => 0.2, deploy => 'if_better');
SELECT run, serving, compared_with, compared_value, compared_other, compared_error
FROM als_train('ranked', 'SELECT user_id, item_id + 1000 AS item_id, rating FROM deployment.ratings', factors => 4, validation_fraction => 0.2, deploy => 'if_better');
-- text ids
CREATE VIEW text_ratings AS SELECT 'user ' || user_id AS user_id, md5(item_id::text)::uuid AS item_id, rating FROM ratings;
SELECT run FROM als_train('text', 'text_ratings', factors => 3, feedback => 'explicit', validation_fraction => 0.2, iterations => 1, regularization => 5, keep => 2);
SELECT run, serving FROM als_train('text', 'text_ratings', factors => 5, feedback => 'explicit', validation_fraction => 0.2, deploy => 'if_better');
SELECT abs(t.compared_value - c.value) < 1e-12 AS value, abs(t.compared_other - c.other) < 1e-12 AS other, abs(t.compared_error - c.standard_error) < 1e-12 AS error
FROM text t, als_compare('text', 'text', 'SELECT * FROM deployment.text_ratings WHERE als_holdout(user_id, item_id, 0.2, 42)', exclude_seen => false, other_run => 1) c WHERE t.run = 2 AND c.metric = 'rmse';
-- the factors of the run that serves are damaged
UPDATE text_users SET factors = '{1}' WHERE user_id = 'user 1';
SELECT * FROM try('SELECT als_train(''text'', ''text_ratings'', factors => 5, feedback => ''explicit'', validation_fraction => 0.2, deploy => ''if_better'')');
SELECT run, serving FROM als_train('text', 'text_ratings', factors => 5, feedback => 'explicit');
-- bits do not depend on workers
SELECT count(DISTINCT (compared_value, compared_other, compared_error)) FROM unnest(ARRAY[0, 1, 3]) w,
    LATERAL als_train('ranked', 'ratings', factors => 4, validation_fraction => 0.3, deploy => 'if_better', keep => 1, workers => w, seed => 1, iterations => 1, regularization => 100);
DROP SCHEMA deployment CASCADE;
