-- als_evaluate and als_evaluate_users, against plain SQL over als_predict
SET client_min_messages = warning;
CREATE SCHEMA evaluate;
SET search_path = evaluate, public;
\set SHOW_CONTEXT never
\i test/include/algebra.sql
\i test/include/evaluation.sql

-- An example small enough to follow by hand: one factor, so that a score is
-- the item's factor times the user's.
CREATE TABLE example AS SELECT u AS user_id, i AS item_id, 1 AS rating FROM generate_series(1, 4) u, generate_series(1, 8) i;
SELECT run FROM als_train('hand', 'SELECT * FROM evaluate.example WHERE item_id = 1 OR item_id = 1 + user_id OR (user_id = 1 AND item_id = 8)
    OR (user_id = 2 AND item_id > 5)', factors => 1);
-- items by falling score for users 1 to 3: 1, 2, 3, 4 = 5, 6, 7, 8; user 4 has them upside down
UPDATE hand_items SET factors = ARRAY[CASE item_id WHEN 5 THEN 5 ELSE 9 - item_id END]::real[];
UPDATE hand_users SET factors = ARRAY[CASE user_id WHEN 4 THEN -0.125 ELSE 0.125 END]::real[];
-- User 1 has been trained with 1, 2 and 8: 3, 4, 5, 6, 7 are left, of which 4 and 7 are relevant.
-- User 2 with 1, 3, 6, 7, 8, of which 6 is in the test set: 2, 4, 5, 6 are left; 6 is relevant, 2 is not.
-- User 3 has nothing relevant, user 4 has 4 and 5 (a tie) behind 8, 7 and 6, before 3 and 2; user 9 and item 9 are unknown.
CREATE TABLE test (user_id int, item_id int, rating float8);
INSERT INTO test VALUES (1, 4, 2), (1, 7, 1), (2, 6, 1), (2, 2, 0), (3, 2, 0), (3, 3, -1), (4, 4, 1), (4, 5, 1), (9, 1, 1), (1, 9, 1), (9, 9, 1);
SELECT users, pairs, relevant, unknown_users, unknown_items, unknown_pairs, k,
       round(rmse::numeric, 4) AS rmse, round(mae::numeric, 4) AS mae
FROM evaluation('hand', 'evaluate.test', k => 3);
-- what that is: scores - p
SELECT round(sqrt(avg(e * e))::numeric, 4) AS rmse, round(avg(abs(e))::numeric, 4) AS mae
FROM unnest(ARRAY[5/8. - 1, 2/8. - 1, 3/8. - 1, 7/8., 7/8., 6/8., -5/8. - 1, -5/8. - 1]) e;
SELECT user_id, pairs, relevant, round("precision"::numeric, 4) AS precision, recall, recall_capped, round(average_precision::numeric, 4) AS ap,
       round(ndcg::numeric, 4) AS ndcg, reciprocal_rank AS rr, hit, round(auc::numeric, 4) AS auc
FROM als_evaluate_users('hand', 'evaluate.test', k => 3) ORDER BY user_id;
SELECT round("precision"::numeric, 4) AS precision, round(recall::numeric, 4) AS recall, round(recall_capped::numeric, 4) AS capped, round(map::numeric, 4) AS map,
       round(ndcg::numeric, 4) AS ndcg, round(mrr::numeric, 4) AS mrr, round(hit_rate::numeric, 4) AS hit_rate, round(auc::numeric, 4) AS auc, coverage
FROM evaluation('hand', 'evaluate.test', k => 3);
-- without leaving anything out, and leaving out something else
SELECT user_id, reciprocal_rank FROM als_evaluate_users('hand', 'test', exclude_seen => false) ORDER BY user_id;
SELECT user_id, reciprocal_rank FROM als_evaluate_users('hand', 'test', training => 'SELECT 1 AS user_id, 3 AS item_id UNION ALL SELECT 4, 99') ORDER BY user_id;
-- other ratings are relevant; every row counts 1
SELECT users, relevant FROM evaluation('hand', 'test', relevant_from => 2);
SELECT users, relevant FROM evaluation('hand', 'test', relevant_from => -1);
SELECT users, relevant FROM evaluation('hand', 'test', rating_column => NULL);
-- lists of all items have each as often
SELECT run FROM als_import('many', 'SELECT 1 AS user_id, ARRAY[1] AS factors', 'SELECT i AS item_id, ARRAY[i] AS factors FROM generate_series(1, 101) i');
SELECT value FROM als_evaluate('many', 'SELECT 1 AS user_id, 7 AS item_id, 1 AS rating', k => 101, exclude_seen => false) WHERE metric = 'gini';

-- Every measure by its definition: all pairs scored by als_predict, ranked by
-- window functions, or by how many users have an item; training has the pairs to leave out,
-- and to count.  Cosines and differences of how often items are recommended pair by pair.
CREATE FUNCTION by_definition(model text, test text, training text, k int, relevant_from float8, explicit boolean, of text DEFAULT 'value')
RETURNS evaluation LANGUAGE plpgsql AS $$
DECLARE
    result evaluation;
BEGIN
    EXECUTE format($query$
    WITH test AS (
        SELECT user_id, item_id, CASE WHEN %7$L THEN avg(rating)::real ELSE sum(rating)::real END AS rating
        FROM %3$s t GROUP BY user_id, item_id
    ), scored AS (
        SELECT *, als_predict(%1$L, user_id, item_id) AS score FROM test
    ), pairs AS (
        SELECT *, rating >= %6$L::real AS relevant,
               CASE WHEN %7$L THEN rating::float8 WHEN rating > 0 THEN 1 ELSE 0 END - score::float8 AS error
        FROM scored WHERE score IS NOT NULL
    ), users AS (
        SELECT user_id FROM pairs WHERE relevant GROUP BY user_id
    ), counts AS MATERIALIZED (
        SELECT item_id, (SELECT count(DISTINCT user_id) FROM %4$s s WHERE s.item_id = i.item_id) FROM %2$s i
    ), eligible AS (
        SELECT u.user_id, i.item_id, CASE %9$L WHEN 'value' THEN als_predict(%1$L, u.user_id, i.item_id) ELSE c.count END AS score, coalesce(p.relevant, false) AS relevant
        FROM users u CROSS JOIN %2$s i JOIN counts c USING (item_id) LEFT JOIN pairs p ON p.user_id = u.user_id AND p.item_id = i.item_id
        WHERE p.user_id IS NOT NULL OR NOT EXISTS (SELECT FROM %4$s s WHERE s.user_id = u.user_id AND s.item_id = i.item_id)
    ), ranked AS (
        SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY score DESC, item_id) AS rank FROM eligible
    ), found AS (
        SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY rank) AS nth FROM ranked WHERE relevant
    ), by_user AS (
        SELECT user_id, count(*) AS n, count(*) FILTER (WHERE rank <= %5$s) AS hits,
               coalesce(sum(nth::float8 / rank) FILTER (WHERE rank <= %5$s), 0) AS precisions,
               coalesce(sum(ln(2.0::float8) / ln(1 + rank::float8)) FILTER (WHERE rank <= %5$s), 0) AS gain,
               sum(ln(2.0::float8) / ln(1 + nth::float8)) FILTER (WHERE nth <= %5$s) AS ideal,
               1.0 / min(rank) AS reciprocal_rank
        FROM found GROUP BY user_id
    ), contests AS (
        SELECT f.user_id, avg(CASE WHEN f.score > o.score THEN 1 WHEN f.score = o.score THEN 0.5 ELSE 0 END) AS auc
        FROM found f JOIN ranked o ON o.user_id = f.user_id AND NOT o.relevant GROUP BY f.user_id
    ), lists AS (
        SELECT user_id, item_id FROM ranked WHERE rank <= %5$s
    ), novelties AS (
        SELECT avg(log(2, (SELECT nullif(count(DISTINCT user_id), 0) FROM %4$s s) / greatest(count, 1)::numeric)) AS novelty FROM lists JOIN counts USING (item_id) GROUP BY user_id
    ), cosines AS MATERIALIZED (
        SELECT a.item_id AS a, b.item_id AS b, dot(a.factors, b.factors) / sqrt(dot(a.factors, a.factors) * dot(b.factors, b.factors)) AS cosine FROM %2$s a, %2$s b
    ), diversities AS (
        SELECT 1 - avg(cosine) AS diversity FROM lists x JOIN lists y USING (user_id) JOIN cosines ON a = x.item_id AND b = y.item_id WHERE a <> b GROUP BY user_id
    ), recommended AS (
        SELECT item_id, count(user_id) AS times FROM %2$s LEFT JOIN lists USING (item_id) GROUP BY item_id
    ), known AS (
        SELECT DISTINCT user_id IN (SELECT user_id FROM %8$s) AS known, user_id FROM test
    )
    SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM pairs), (SELECT count(*) FROM pairs WHERE relevant),
           (SELECT count(DISTINCT user_id) FROM test WHERE user_id NOT IN (SELECT user_id FROM %8$s)),
           (SELECT count(DISTINCT item_id) FROM test WHERE item_id NOT IN (SELECT item_id FROM %2$s)),
           (SELECT count(*) FROM scored WHERE score IS NULL),
           (SELECT avg(known::int) FROM known), (SELECT sqrt(avg(error * error)) FROM pairs), (SELECT avg(abs(error)) FROM pairs), %5$s,
           avg(hits / %5$s.0), avg(hits::float8 / n), avg(hits::float8 / least(n, %5$s)), avg(precisions / least(n, %5$s)), avg(gain / ideal),
           avg(reciprocal_rank), avg((hits > 0)::int), (SELECT avg(auc) FROM contests),
           (SELECT avg(novelty) FROM novelties), (SELECT avg(diversity) FROM diversities),
           (SELECT count(DISTINCT item_id) FROM lists)::float8 / (SELECT count(*) FROM %2$s),
           (SELECT avg(abs(a.times - b.times)) / 2 / avg(a.times) FROM recommended a, recommended b),
           (SELECT -sum(share * log(2, share)) FROM (SELECT times / sum(times) OVER () AS share FROM recommended) s WHERE share > 0)
    FROM by_user$query$,
        model, model || '_items', test, training, k, relevant_from, explicit, model || '_users', of) INTO result;
    IF of <> 'value' THEN
        SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL INTO result.users, result.pairs, result.relevant, result.unknown_users, result.unknown_items, result.unknown_pairs, result.users_served, result.rmse, result.mae;
    END IF;
    RETURN result;
END $$;
-- the measures in which two evaluations differ, and how many there are to compare
CREATE FUNCTION differences(a evaluation, b evaluation) RETURNS text LANGUAGE sql AS $$
    SELECT count(*) FILTER (WHERE a.value <> 'null' AND b.value <> 'null') || ' measures'
           || coalesce(': ' || string_agg(key || ' is ' || a.value || ', not ' || b.value, '; ' ORDER BY key)
               FILTER (WHERE (a.value = 'null') <> (b.value = 'null') OR abs(nullif(a.value, 'null')::float8 - nullif(b.value, 'null')::float8) > 1e-9), '')
    FROM jsonb_each(to_jsonb(a)) a JOIN jsonb_each(to_jsonb(b)) b USING (key)
$$;
SELECT differences(evaluation('hand', 'test', k => 3), by_definition('hand', 'test', $$(SELECT * FROM example WHERE item_id = 1 OR item_id = 1 + user_id
    OR (user_id = 1 AND item_id = 8) OR (user_id = 2 AND item_id > 5))$$, 3, 1e-30, false)) AS hand;

-- Ratings with zeros, negative ones and duplicate pairs; in the test set also
-- unknown users and items, users without a relevant item or without training,
-- and pairs that are in the training set too.
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, ((u * 31 + i * 17) % 7 - 1)::real / 2 AS rating
    FROM generate_series(-20, 40) u, generate_series(1, 50) i
    WHERE (u * 7919 + i * 104729 + u * i * 13) % 5 IN (0, 1, 2);
INSERT INTO ratings SELECT user_id, item_id, rating / 2 FROM ratings WHERE item_id % 10 = 0;
CREATE VIEW training AS SELECT * FROM ratings WHERE NOT als_holdout(user_id, item_id, 0.3) AND item_id <> 17 AND user_id NOT IN (5, 6);
CREATE VIEW held_out AS SELECT * FROM ratings WHERE als_holdout(user_id, item_id, 0.3)
    UNION ALL SELECT * FROM ratings WHERE user_id IN (1, 2) AND item_id < 9
    UNION ALL SELECT 100, 1, 1 UNION ALL SELECT 0, 100, 1 UNION ALL SELECT 7, 100, 1;
SELECT t.feedback, t.run FROM unnest(ARRAY['implicit', 'explicit']) f, als_train(f, 'training', feedback => f, factors => 5, regularization => 0.1) t;
-- ties: items that are equal, and users for whom all are
CREATE FUNCTION tie(model text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('UPDATE %1$I_items SET factors = (SELECT factors FROM %1$I_items WHERE item_id = 3) WHERE item_id IN (30, 12, 44, 7)', model);
    EXECUTE format('UPDATE %1$I_users SET factors = array_fill(0::real, ARRAY[5]) WHERE user_id IN (-3, 12)', model);
END $$;
SELECT tie('implicit'), tie('explicit');
UPDATE explicit_items SET bias = 0.25 WHERE item_id IN (3, 30, 12, 44, 7);
SELECT users, pairs, relevant, unknown_users, unknown_items, unknown_pairs FROM evaluation('implicit', 'held_out');
SELECT k, differences(evaluation('implicit', 'held_out', k => k), by_definition('implicit', 'held_out', 'training', k, 1e-30, false)) AS implicit,
       differences(evaluation('explicit', 'held_out', k => k), by_definition('explicit', 'held_out', 'training', k, (SELECT mean_rating FROM explicit), true)) AS explicit,
       differences(evaluation('explicit', 'held_out', k => k, relevant_from => 1.1), by_definition('explicit', 'held_out', 'training', k, 1.1, true)) AS relevant_from
FROM unnest(ARRAY[1, 2, 5, 10, 49, 50, 1000]) k;
-- the same of popularity, ties and all; mean and biases; standard errors
SELECT k, differences(evaluation('implicit', 'held_out', k => k, of => 'popularity'), by_definition('implicit', 'held_out', 'training', k, 1e-30, false, 'popularity')) AS implicit,
       differences(evaluation('explicit', 'held_out', k => k, of => 'popularity'), by_definition('explicit', 'held_out', 'training', k, (SELECT mean_rating FROM explicit), true, 'popularity')) AS explicit
FROM unnest(ARRAY[1, 3, 10, 1000]) k;
SELECT differences(evaluation('implicit', 'held_out', training => 'ratings', of => 'popularity'), by_definition('implicit', 'held_out', 'ratings', 10, 1e-30, false, 'popularity')) AS other_training,
       differences(evaluation('implicit', 'held_out', training => 'SELECT * FROM evaluate.ratings WHERE user_id < 1000', exclude_seen => false, of => 'popularity'),
                   evaluation('implicit', 'held_out', training => 'SELECT user_id + 1000 AS user_id, item_id FROM evaluate.ratings', of => 'popularity')) AS counted_only;
SELECT count(*), count(popularity), count(mean), count(biases) FROM als_evaluate('implicit', 'held_out', exclude_seen => false);
CREATE VIEW errors AS
    SELECT user_id, rating - als_predict('explicit', user_id, item_id)::float8 AS model, rating - mean_rating AS mean, rating - (mean_rating + u.bias + i.bias) AS biases
    FROM (SELECT user_id, item_id, avg(rating)::real::float8 AS rating FROM held_out GROUP BY 1, 2) t
    JOIN (SELECT user_id, bias::float8 FROM explicit_users) u USING (user_id) JOIN (SELECT item_id, bias::float8 FROM explicit_items) i USING (item_id), (SELECT mean_rating::real::float8 FROM explicit) m;
CREATE VIEW users_errors AS SELECT user_id, count(*) AS pairs, sum(model ^ 2) AS squares, sum(abs(model)) AS absolute FROM errors GROUP BY user_id;
SELECT metric, abs(e.mean - s.mean) < 1e-9 AS mean, abs(e.biases - s.biases) < 1e-9 AS biases
FROM als_evaluate('explicit', 'held_out') e JOIN (SELECT 'rmse' AS metric, sqrt(avg(mean ^ 2)) AS mean, sqrt(avg(biases ^ 2)) AS biases FROM errors
    UNION ALL SELECT 'mae', avg(abs(mean)), avg(abs(biases)) FROM errors) s USING (metric);
-- of means over users that of the sample, of errors that of a ratio of sums
SELECT metric, abs(e.standard_error - s.standard_error) < 1e-12 AS same
FROM als_evaluate('explicit', 'held_out') e JOIN (
    SELECT key AS metric, stddev_samp(value) / sqrt(count(value)) AS standard_error
    FROM als_evaluate_users('explicit', 'held_out') u, LATERAL (VALUES ('precision', u.precision), ('recall', u.recall), ('recall_capped', u.recall_capped),
        ('map', average_precision), ('ndcg', ndcg), ('mrr', reciprocal_rank), ('hit_rate', hit::int), ('auc', auc)) v(key, value) GROUP BY key
    UNION ALL SELECT 'mae', sqrt(count(*) / (count(*) - 1.0) * sum((absolute - pairs * (SELECT avg(abs(model)) FROM errors)) ^ 2)) / sum(pairs) FROM users_errors
    UNION ALL SELECT 'rmse', sqrt(count(*) / (count(*) - 1.0) * sum((squares - pairs * (SELECT avg(model ^ 2) FROM errors)) ^ 2)) / sum(pairs) / 2 / (SELECT sqrt(avg(model ^ 2)) FROM errors) FROM users_errors
) s USING (metric) ORDER BY metric COLLATE "C";
-- several k at once: each as by itself
SELECT metric, count(*), count(DISTINCT e.k) AS ks, bool_and((e.value, e.standard_error, e.popularity) IS NOT DISTINCT FROM (o.value, o.standard_error, o.popularity)) AS same
FROM als_evaluate('implicit', 'held_out', k => 7, more_k => '{1,50,7,null,3,3,1000}') e
FULL JOIN (SELECT o.*, o.k AS ok FROM unnest(ARRAY[1, 3, 7, 50, 1000]) n, als_evaluate('implicit', 'held_out', k => n) o WHERE o.k IS NOT NULL OR n = 1) o USING (metric)
WHERE e.k IS NOT DISTINCT FROM ok GROUP BY metric ORDER BY metric COLLATE "C";
SELECT count(*) FROM als_evaluate('implicit', 'held_out', more_k => '{}');
SELECT k, metric FROM als_evaluate('implicit', 'held_out', more_k => '{2147483647}') WHERE metric = 'ndcg';
SELECT differences(evaluation('implicit', 'held_out', exclude_seen => false), by_definition('implicit', 'held_out', '(SELECT * FROM training WHERE false)', 10, 1e-30, false)) AS nothing_left_out,
       differences(evaluation('implicit', 'held_out', training => 'SELECT * FROM ratings'), by_definition('implicit', 'held_out', 'ratings', 10, 1e-30, false)) AS all_ratings,
       differences(evaluation('implicit', 'ratings'), by_definition('implicit', 'ratings', 'training', 10, 1e-30, false)) AS test_on_all;
-- every item relevant: there is no other to compare it with
SELECT differences(evaluation('implicit', e, exclude_seen => false), by_definition('implicit', '(' || e || ')', '(SELECT * FROM training WHERE false)', 10, 1e-30, false)), auc IS NULL AS auc
FROM (SELECT 'SELECT 1 AS user_id, item_id, 1 AS rating FROM evaluate.implicit_items') s(e), evaluation('implicit', e, exclude_seen => false);
-- the lists are those of als_recommend: what it returns is what counts as hit
SELECT count(*), bool_and(round((e."precision" * 10)::numeric) = (
    SELECT count(*) FROM als_recommend('implicit', e.user_id, 10) r
    WHERE (SELECT sum(rating) FROM held_out h WHERE h.user_id = e.user_id AND h.item_id = r.item_id) > 0)) AS same
FROM als_evaluate_users('implicit', 'held_out') e WHERE user_id NOT IN (1, 2) AND relevant > 0;
-- als_evaluate is the mean of als_evaluate_users
SELECT e.users = count(reciprocal_rank) AS users, abs(e.precision - avg(u."precision")) < 1e-9 AS precision, abs(e.recall - avg(u.recall)) < 1e-9 AS recall,
       abs(e.recall_capped - avg(u.recall_capped)) < 1e-9 AS capped, abs(e.map - avg(average_precision)) < 1e-9 AS map, abs(e.ndcg - avg(u.ndcg)) < 1e-9 AS ndcg,
       abs(e.mrr - avg(reciprocal_rank)) < 1e-9 AS mrr, abs(e.hit_rate - avg(hit::int)) < 1e-9 AS hit_rate, abs(e.auc - avg(u.auc)) < 1e-9 AS auc,
       abs(e.rmse - sqrt(sum(u.rmse ^ 2 * u.pairs) / sum(u.pairs))) < 1e-9 AS rmse, abs(e.mae - sum(u.mae * u.pairs) / sum(u.pairs)) < 1e-9 AS mae,
       e.pairs = sum(u.pairs) AS pairs, e.relevant = sum(u.relevant) AS relevant
FROM evaluation('explicit', 'held_out') e, als_evaluate_users('explicit', 'held_out') u GROUP BY e.*, e.users, e.precision, e.recall, e.recall_capped, e.map, e.ndcg, e.mrr, e.hit_rate, e.auc, e.rmse, e.mae, e.pairs, e.relevant;

-- ids of other types: the same ranks where the ids have the same order
CREATE VIEW text_training AS SELECT 'ü ' || user_id AS user_id, 'i' || lpad(item_id::text, 3, '0') COLLATE "C" AS item_id, rating FROM training;
CREATE VIEW text_held_out AS SELECT 'ü ' || user_id AS user_id, 'i' || lpad(item_id::text, 3, '0') COLLATE "C" AS item_id, rating FROM held_out;
CREATE VIEW uuid_training AS SELECT md5(user_id::text)::uuid AS "User", ('00000000-0000-0000-0000-' || lpad(item_id::text, 12, '0'))::uuid AS "Item", rating AS "Rating" FROM training;
CREATE VIEW uuid_held_out AS SELECT md5(user_id::text)::uuid AS "User", ('00000000-0000-0000-0000-' || lpad(item_id::text, 12, '0'))::uuid AS "Item", rating AS "Rating" FROM held_out;
SELECT users, items FROM als_train('text', 'text_training', factors => 5, regularization => 0.1);
SELECT users, items FROM als_train('uuid', 'uuid_training', 'User', 'Item', 'Rating', factors => 5, regularization => 0.1);
CREATE FUNCTION take(source text, target text, user_expression text, item_expression text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('UPDATE %2$I_users t SET factors = s.factors FROM %1$I_users s WHERE t.user_id = %3$s', source, target, user_expression);
    EXECUTE format('UPDATE %2$I_items t SET factors = s.factors FROM %1$I_items s WHERE t.item_id = %3$s', source, target, item_expression);
END $$;
SELECT take('implicit', 'text', $$'ü ' || s.user_id$$, $$'i' || lpad(s.item_id::text, 3, '0')$$);
SELECT take('implicit', 'uuid', 'md5(s.user_id::text)::uuid', $$('00000000-0000-0000-0000-' || lpad(s.item_id::text, 12, '0'))::uuid$$);
SELECT differences(e, evaluation('text', 'text_held_out')) AS text, differences(e, evaluation('uuid', 'uuid_held_out', 'User', 'Item', 'Rating')) AS uuid,
       differences(e, evaluation('implicit', 'SELECT user_id::numeric, item_id::text, rating::numeric FROM evaluate.held_out', training => 'SELECT user_id::smallint, item_id::bigint FROM evaluate.training')) AS casts,
       differences(e, evaluation('uuid', 'SELECT "User"::text, "Item"::text, "Rating" FROM evaluate.uuid_held_out', 'User', 'Item', 'Rating')) AS text_as_uuid
FROM evaluation('implicit', 'held_out') e;
SELECT pg_typeof(user_id), count(*), count(*) FILTER (WHERE ndcg = (SELECT ndcg FROM als_evaluate_users('implicit', 'SELECT * FROM evaluate.held_out WHERE user_id = 8'))) > 0 AS same
FROM als_evaluate_users_as(NULL::text, 'text', $$SELECT * FROM evaluate.text_held_out WHERE user_id = 'ü 8'$$) GROUP BY 1;
SELECT pg_typeof(user_id), user_id = md5('8')::uuid AS same FROM als_evaluate_users_as(NULL::uuid, 'uuid', $$SELECT * FROM evaluate.uuid_held_out WHERE "User" = md5('8')::uuid$$, 'User', 'Item', 'Rating');
SELECT pg_typeof(user_id), user_id FROM als_evaluate_users_as(NULL::text, 'implicit', 'SELECT 8 AS user_id, 1 AS item_id, 1 AS rating');

-- nothing to evaluate by: counts of 0, and nulls
\x on
SELECT * FROM evaluation('implicit', 'SELECT * FROM evaluate.held_out WHERE false');
SELECT * FROM evaluation('implicit', 'SELECT 1000 AS user_id, 1 AS item_id, 1 AS rating UNION ALL SELECT 1, 1000, 1');
\x off
SELECT * FROM als_evaluate_users('implicit', 'SELECT * FROM evaluate.held_out WHERE false');
SELECT * FROM als_evaluate_users('implicit', 'SELECT 1000 AS user_id, 1 AS item_id, 1 AS rating');
-- an integer that the model's type cannot hold is unknown
SELECT unknown_users, unknown_items, unknown_pairs FROM evaluation('implicit', 'SELECT 10000000000 AS user_id, 20000000000 AS item_id, 1 AS rating');
-- a training set without rows
SELECT differences(evaluation('implicit', 'held_out', training => 'SELECT * FROM evaluate.training WHERE false'), evaluation('implicit', 'held_out', exclude_seen => false)) AS empty_training;
-- a model of the aggregate knows no training set
SELECT run FROM (SELECT (als_train_agg('aggregated', user_id, item_id, rating, '{"factors": 5, "regularization": 0.1}')).run FROM training) t;
SELECT evaluation('aggregated', 'held_out');
SELECT users > 0 AS named FROM evaluation('aggregated', 'held_out', training => 'training');
SELECT users > 0 AS none FROM evaluation('aggregated', 'held_out', exclude_seen => false);

-- in a function, a read-only transaction, and another query
CREATE FUNCTION ndcg() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT ndcg > 0 FROM evaluation('evaluate.implicit', 'evaluate.held_out')); EXCEPTION WHEN OTHERS THEN RETURN false; END $$;
BEGIN READ ONLY;
SELECT ndcg();
ROLLBACK;
SELECT k, (evaluation('implicit', 'held_out', k => k)).k AS evaluated FROM generate_series(1, 3) k;
SELECT user_id FROM als_evaluate_users('implicit', 'held_out') LIMIT 0;

-- bad inputs
SELECT als_evaluate(NULL, 'held_out');
SELECT als_evaluate('implicit', NULL);
SELECT als_evaluate('implicit', 'held_out', user_column => NULL);
SELECT als_evaluate('implicit', 'held_out', item_column => NULL);
SELECT als_evaluate('implicit', 'held_out', k => NULL);
SELECT als_evaluate('implicit', 'held_out', k => 0);
SELECT als_evaluate('implicit', 'held_out', more_k => '{5,0}');
SELECT als_evaluate('implicit', 'held_out', k => 2147483648);
SELECT als_evaluate('implicit', 'held_out', more_k => '{9223372036854775807}');
SELECT count(*) FROM als_evaluate_users('implicit', 'held_out', k => 2147483648);
SELECT als_evaluate('implicit', 'held_out', more_k => ARRAY(SELECT generate_series(1, 100)));
SELECT count(*) FROM als_evaluate('implicit', 'held_out', more_k => ARRAY[[1, 2], [3, 4]]) WHERE metric = 'ndcg';
SELECT als_evaluate('implicit', 'held_out', exclude_seen => NULL);
SELECT als_evaluate('implicit', 'held_out', relevant_from => 'nan');
SELECT als_evaluate('implicit', 'held_out', relevant_from => 'infinity');
SELECT als_evaluate('implicit', 'held_out', workers => -1);
SELECT als_evaluate('held_out', 'held_out');
SELECT als_evaluate('implicit', 'nowhere');
SELECT als_evaluate('implicit', 'held_out', user_column => 'users');
SELECT als_evaluate('implicit', 'held_out', rating_column => 'stars');
SELECT als_evaluate('implicit', 'held_out', training => 'nowhere');
SELECT als_evaluate('implicit', 'SELECT point(1, 1) AS user_id, 1 AS item_id, 1 AS rating');
SELECT als_evaluate('implicit', 'SELECT now() AS user_id, 1 AS item_id, 1 AS rating');
SELECT als_evaluate('implicit', 'SELECT 1 AS user_id, 1 AS item_id, ''x''::text AS rating');
SELECT als_evaluate('implicit', 'SELECT NULL::int AS user_id, 1 AS item_id, 1 AS rating');
SELECT als_evaluate('implicit', 'SELECT 1 AS user_id, 1 AS item_id, NULL::int AS rating');
SELECT als_evaluate('implicit', 'SELECT 1 AS user_id, 1 AS item_id, ''nan''::real AS rating');
SELECT * FROM als_evaluate_users('text', 'text_held_out');
SELECT * FROM als_evaluate_users_as(NULL::uuid, 'implicit', 'held_out');

-- a user who may only predict evaluates on ratings of his own
CREATE TABLE private AS SELECT * FROM training;
SELECT run FROM als_train('shared', 'private', factors => 5, regularization => 0.1);
CREATE ROLE als_evaluator;
GRANT USAGE ON SCHEMA evaluate TO als_evaluator;
SET SESSION AUTHORIZATION als_evaluator;
CREATE TEMPORARY TABLE mine AS SELECT 8 AS user_id, i AS item_id, 1 AS rating FROM generate_series(1, 5) i;
SELECT als_evaluate('shared', 'mine', exclude_seen => false);
RESET SESSION AUTHORIZATION;
GRANT SELECT ON shared TO als_evaluator;
SET SESSION AUTHORIZATION als_evaluator;
SELECT als_evaluate('shared', 'mine');
SELECT als_evaluate('shared', 'held_out', exclude_seen => false);
SELECT users, pairs FROM evaluation('shared', 'mine', exclude_seen => false);
SELECT user_id, pairs FROM als_evaluate_users('shared', 'mine', training => 'mine');
DROP TABLE mine;
RESET SESSION AUTHORIZATION;

SET client_min_messages = error;
DROP SCHEMA evaluate CASCADE;
DROP ROLE als_evaluator;
