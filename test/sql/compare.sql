-- als_compare, against SQL over als_evaluate_users and als_predict
SET client_min_messages = warning;
CREATE SCHEMA compare;
SET search_path = compare, public;
\set SHOW_CONTEXT never
\i test/include/held_out.sql
SELECT users, items FROM als_train('good', 'training', factors => 8, regularization => 0.1, alpha => 5);
SELECT users, items FROM als_train('poor', 'SELECT * FROM compare.training WHERE user_id < 35 AND item_id < 48', factors => 2, regularization => 10, iterations => 2);
SELECT users, items FROM als_train('stars', 'training', feedback => 'explicit', factors => 6, regularization => 0.1);
SELECT users, items FROM als_train('few_stars', 'SELECT * FROM compare.training WHERE user_id > -15 AND item_id > 2', feedback => 'explicit', factors => 3, regularization => 0.5);

-- the quantile of Student's t by which a margin is a multiple of the standard error:
-- half of 1 - confidence is beyond it, by the density added up
CREATE FUNCTION gamma_ratio(n int) RETURNS float8 LANGUAGE sql IMMUTABLE AS
    -- Gamma((n + 1) / 2) / Gamma(n / 2), by halves
    $$ SELECT CASE n WHEN 1 THEN 1 / sqrt(pi()) WHEN 2 THEN sqrt(pi()) / 2 ELSE gamma_ratio(n - 2) * (n - 1) / (n - 2) END $$;
CREATE FUNCTION inside(t float8, n int) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
    SELECT gamma_ratio(n) / sqrt(n * pi()) * 2 * t / 2000 / 3 * sum(CASE WHEN i IN (0, 2000) THEN 1 WHEN i % 2 = 1 THEN 4 ELSE 2 END * (1 + (t * i / 2000) ^ 2 / n) ^ (-(n + 1) / 2.0))
    FROM generate_series(0, 2000) i
$$;
SELECT round(inside(2.228139, 10)::numeric, 6) AS ten, round(inside(12.706205, 1)::numeric, 5) AS one;

-- Rankings: the users for whom both have a relevant item.  Errors: the ratios of sums over the users
-- of both, linearized.
CREATE FUNCTION by_definition(first text, second text, threshold float8)
RETURNS TABLE (metric text, users bigint, value float8, other float8, difference float8, standard_error float8) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format($query$
    WITH each AS (
        SELECT m, user_id, v.metric, v.x FROM (SELECT 1 AS m, e.* FROM als_evaluate_users(%1$L, 'held_out', k => 5, relevant_from => %3$L) e
            UNION ALL SELECT 2, e.* FROM als_evaluate_users(%2$L, 'held_out', k => 5, relevant_from => %3$L) e) e,
            LATERAL (VALUES ('precision', e.precision), ('recall', recall), ('recall_capped', recall_capped), ('map', average_precision), ('ndcg', ndcg),
                            ('mrr', reciprocal_rank), ('hit_rate', hit::int), ('auc', auc)) v(metric, x)
    ), sums AS (
        SELECT m, user_id, v.metric, v.sum, e.pairs FROM (SELECT 1 AS m, e.* FROM als_evaluate_users(%1$L, 'held_out') e
            UNION ALL SELECT 2, e.* FROM als_evaluate_users(%2$L, 'held_out') e) e, LATERAL (VALUES ('rmse', rmse ^ 2 * e.pairs), ('mae', mae * e.pairs)) v(metric, sum) WHERE e.pairs > 0
    ), common AS (
        SELECT *, sum(sum) OVER of_all / sum(pairs) OVER of_all AS mean, sum(pairs) OVER of_all / count(*) OVER of_all AS pairs_each
        FROM sums s WHERE user_id IN (SELECT user_id FROM sums WHERE m = 1 INTERSECT SELECT user_id FROM sums WHERE m = 2)
        WINDOW of_all AS (PARTITION BY m, metric)
    ), linear AS (
        SELECT m, user_id, c.metric, CASE c.metric WHEN 'rmse' THEN sqrt(mean) + (sum - mean * pairs) / pairs_each / 2 / sqrt(mean) ELSE mean + (sum - mean * pairs) / pairs_each END AS x
        FROM common c
    ), paired AS (
        SELECT a.metric, a.x AS a, b.x AS b FROM each a JOIN each b USING (user_id, metric) WHERE a.m = 1 AND b.m = 2 AND a.x IS NOT NULL AND b.x IS NOT NULL
        UNION ALL SELECT a.metric, a.x, b.x FROM linear a JOIN linear b USING (user_id, metric) WHERE a.m = 1 AND b.m = 2
    )
    SELECT metric, count(*), avg(a), avg(b), avg(a - b), stddev_samp(a - b) / sqrt(count(*)) FROM paired GROUP BY metric$query$, first, second, threshold);
END $$;
CREATE FUNCTION differences(first text, second text, share float8, threshold float8 DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT count(*) || ' metrics' || coalesce(': ' || string_agg(metric || ' ' || c::text || ' not ' || d::text, '; ') FILTER (WHERE c IS NULL OR d IS NULL OR c.users <> d.users
        OR abs(c.value - d.value) > 1e-9 OR abs(c.other - d.other) > 1e-9 OR abs(c.difference - d.difference) > 1e-9 OR abs(c.standard_error - d.standard_error) > 1e-9
        OR abs(c.lower + c.upper - 2 * c.difference) > 1e-9 OR abs(inside((c.upper - c.difference) / nullif(c.standard_error, 0), (c.users - 1)::int) - share) > 1e-6
        OR (c.k IS NULL) <> (metric IN ('rmse', 'mae', 'mrr', 'auc'))), '')
    FROM als_compare(first::regclass, second::regclass, 'held_out', k => 5, confidence => share, relevant_from => threshold) c
    FULL JOIN by_definition(first, second, coalesce(threshold, 1e-30)) d USING (metric)
$$;
SELECT differences('good', 'poor', 0.95) AS implicit, differences('poor', 'good', 0.5) AS exchanged, differences('stars', 'few_stars', 0.99, 0.75) AS explicit;
-- what is relevant is what is for the first, and only rankings compare across kinds of feedback
SELECT metric, c.users, c.value = a.value AS same, c.k FROM als_compare('stars', 'good', 'held_out') c JOIN als_evaluate('stars', 'held_out') a USING (metric) ORDER BY metric COLLATE "C";
SELECT bool_and(c = d) AS same FROM als_compare('stars', 'good', 'held_out') c JOIN als_compare('stars', 'good', 'held_out', relevant_from => (SELECT mean_rating FROM stars)) d USING (metric);
-- a model and itself: no difference, and no doubt; against the other one it is beyond doubt
SELECT DISTINCT difference, standard_error, lower, upper FROM als_compare('good', 'good', 'held_out');
SELECT metric, difference > 0 AS better, lower > 0 AS beyond_doubt FROM als_compare('good', 'poor', 'held_out') WHERE metric IN ('ndcg', 'auc');
-- one user has no standard error, none no value
SELECT metric, users, value IS NOT NULL AS value, standard_error, lower, upper FROM als_compare('good', 'poor', 'SELECT * FROM compare.held_out WHERE user_id = 8') WHERE metric IN ('ndcg', 'rmse');
SELECT DISTINCT users, value, other, difference FROM als_compare('good', 'poor', 'SELECT * FROM compare.held_out WHERE user_id > 36');
SELECT DISTINCT users, value, other, difference FROM als_compare('good', 'poor', 'SELECT * FROM compare.held_out WHERE false');
-- ids of another type are the same users
CREATE VIEW text_training AS SELECT user_id::text AS user_id, item_id::text AS item_id, rating FROM training;
SELECT users, items FROM als_train('texts', 'text_training', factors => 8, regularization => 0.1, alpha => 5);
SELECT a.metric, a.users = b.users AS users FROM als_compare('texts', 'poor', 'held_out') a JOIN als_compare('good', 'poor', 'held_out') b USING (metric) WHERE metric = 'ndcg';
-- training ratings that are named are those of both
SELECT count(*), bool_and(difference = 0) AS same FROM als_compare('good', 'good', 'held_out', training => 'SELECT 1 AS user_id, 1 AS item_id', workers => 0);

-- bad inputs
SELECT als_compare(NULL, 'good', 'held_out');
SELECT als_compare('good', NULL, 'held_out');
SELECT als_compare('good', 'poor', NULL);
SELECT als_compare('good', 'held_out', 'held_out');
SELECT als_compare('good', 'poor', 'nowhere');
SELECT als_compare('good', 'poor', 'held_out', confidence => 1);
SELECT als_compare('good', 'poor', 'held_out', confidence => 0);
SELECT als_compare('good', 'poor', 'held_out', confidence => 'nan');
SELECT als_compare('good', 'poor', 'held_out', confidence => NULL);
SELECT als_compare('good', 'poor', 'held_out', k => 0);
SELECT users, items FROM als_train('uuids', 'SELECT md5(user_id::text)::uuid AS user_id, item_id, rating FROM compare.training', factors => 2, iterations => 1);
SELECT als_compare('good', 'uuids', 'held_out');

SET client_min_messages = error;
DROP SCHEMA compare CASCADE;
