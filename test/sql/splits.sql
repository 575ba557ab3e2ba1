-- The splits of the guide: what is in which part, and that als_train, als_tune and
-- als_evaluate take each; sampled negatives
SET client_min_messages = warning;
CREATE SCHEMA splits;
SET search_path = splits, public;
-- several ratings of a user, and of all, are of the same day
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, 1 + (u * 31 + i * 17) % 5 AS rating, date '2026-01-01' + (u * 13 + i * 7) % 90 AS rated_at
    FROM generate_series(1, 60) u, generate_series(1, 50) i
    WHERE (u * 7919 + i * 104729 + u * i * 13) % 100 < 95 - i;

-- by time
CREATE VIEW time_training AS SELECT * FROM ratings WHERE rated_at <= (SELECT percentile_disc(0.9) WITHIN GROUP (ORDER BY rated_at) FROM ratings);
CREATE VIEW time_test AS SELECT * FROM ratings WHERE rated_at > (SELECT percentile_disc(0.9) WITHIN GROUP (ORDER BY rated_at) FROM ratings);
SELECT (SELECT max(rated_at) FROM time_training) < (SELECT min(rated_at) FROM time_test) AS before,
       (SELECT count(*) FROM time_training) + (SELECT count(*) FROM time_test) = (SELECT count(*) FROM ratings) AS all,
       (SELECT count(*) FROM time_test) / (SELECT count(*) FROM ratings)::float8 BETWEEN 0.07 AND 0.1 AS share;

-- the last of each user
CREATE VIEW by_place AS SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY rated_at DESC, item_id) AS place FROM ratings;
CREATE VIEW last_training AS SELECT * FROM by_place WHERE place > 1;
CREATE VIEW last_test AS SELECT * FROM by_place WHERE place = 1;
SELECT count(*) = (SELECT count(DISTINCT user_id) FROM ratings) AS one_each, count(*) = count(DISTINCT user_id) AS different,
       bool_and(rated_at >= ALL (SELECT r.rated_at FROM last_training r WHERE r.user_id = t.user_id)) AS last FROM last_test t;

-- folds: each rating is in one, and a larger fraction has what a smaller one has
CREATE VIEW folds AS
    SELECT r.*, f AS fold FROM ratings r, generate_series(1, 5) f WHERE als_holdout(user_id, item_id, f / 5.0) AND NOT als_holdout(user_id, item_id, (f - 1) / 5.0);
SELECT count(*) = (SELECT count(*) FROM ratings) AS all, count(*) = count(DISTINCT (user_id, item_id)) AS once, count(DISTINCT fold) AS folds,
       (SELECT min(n) > max(n) * 0.8 FROM (SELECT count(*) AS n FROM folds GROUP BY fold) s) AS of_a_size FROM folds;
CREATE VIEW fold_training AS SELECT * FROM folds WHERE fold <> 3;
CREATE VIEW fold_test AS SELECT * FROM folds WHERE fold = 3;

-- users, or items, as a whole
SELECT count(*) FILTER (WHERE n = 2) AS split_users, count(*) FILTER (WHERE held_out) BETWEEN 3 AND 24 AS some
FROM (SELECT user_id, count(DISTINCT als_holdout(user_id, 0, 0.2)) AS n, bool_or(als_holdout(user_id, 0, 0.2)) AS held_out FROM ratings GROUP BY user_id) s;
SELECT count(*) FILTER (WHERE n = 2) AS split_items, count(*) FILTER (WHERE held_out) BETWEEN 3 AND 24 AS some
FROM (SELECT item_id, count(DISTINCT als_holdout(0, item_id, 0.2)) AS n, bool_or(als_holdout(0, item_id, 0.2)) AS held_out FROM ratings GROUP BY item_id) s;
CREATE VIEW user_training AS SELECT * FROM ratings WHERE NOT als_holdout(user_id, 0, 0.2);
CREATE VIEW user_test AS SELECT * FROM ratings WHERE als_holdout(user_id, 0, 0.2);
CREATE VIEW item_training AS SELECT * FROM ratings WHERE NOT als_holdout(0, item_id, 0.2);
CREATE VIEW item_test AS SELECT * FROM ratings WHERE als_holdout(0, item_id, 0.2);

-- as validation and as test set: the same figure; nobody knows who is new
CREATE TABLE figures (split text, trained float8, tuned float8, evaluated float8);
CREATE FUNCTION figures_of(split text) RETURNS figures LANGUAGE plpgsql AS $$
DECLARE
    result figures;
    model text = split || '_model';
BEGIN
    result.split = split;
    SELECT validation_curve[best_iteration] INTO result.trained FROM als_train(model, split || '_training', factors => 4, iterations => 5, validation => split || '_test');
    SELECT metric INTO result.tuned FROM als_tune(split || '_tuned', split || '_training', '{"factors": [4], "iterations": [5]}', validation => split || '_test');
    SELECT value INTO result.evaluated FROM als_evaluate(model::regclass, split || '_test') WHERE metric = 'ndcg';
    RETURN result;
END $$;
SELECT split, trained > 0 AS measured, trained = tuned AS tuned, trained = evaluated AS evaluated FROM unnest(ARRAY['time', 'last', 'fold']) s, figures_of(s);
SELECT users > 0 AS users FROM als_train('user_model', 'user_training', factors => 4, iterations => 5);
SELECT users > 0 AS users FROM als_train('item_model', 'item_training', factors => 4, iterations => 5);
SELECT value = (SELECT count(DISTINCT user_id) FROM user_test) AS new_users FROM als_evaluate('user_model', 'user_test') WHERE metric = 'unknown_users';
SELECT value = (SELECT count(DISTINCT item_id) FROM item_test) AS new_items FROM als_evaluate('item_model', 'item_test') WHERE metric = 'unknown_items';

-- Sampled negatives: the item held out among n that the user does not have.  Among
-- all of them it is what als_evaluate says with all ratings to leave out; among some, what
-- sorting says.
CREATE FUNCTION sampled(n int) RETURNS TABLE (user_id int, positive int, negative int) LANGUAGE sql AS $$
    SELECT l.user_id, l.item_id, s.item_id FROM last_test l CROSS JOIN LATERAL (
        SELECT item_id FROM last_model_items i WHERE NOT EXISTS (SELECT FROM ratings r WHERE r.user_id = l.user_id AND r.item_id = i.item_id)
        ORDER BY hashint8extended(item_id, l.user_id) LIMIT n) s
$$;
CREATE FUNCTION figures_among(n int) RETURNS TABLE (users bigint, hit_rate float8, ndcg float8) LANGUAGE sql AS $$
    WITH ranks AS (
        SELECT user_id, 1 + count(*) FILTER (WHERE als_predict('last_model', user_id, negative) >= s.score) AS rank
        FROM sampled(n), LATERAL (SELECT als_predict('last_model', user_id, positive) AS score) s
        GROUP BY user_id, s.score)
    SELECT count(*), avg((rank <= 5)::int), avg(CASE WHEN rank <= 5 THEN 1 / log(2, 1 + rank) ELSE 0 END) FROM ranks
$$;
SELECT s.users = (SELECT value FROM als_evaluate('last_model', 'last_test') WHERE metric = 'users') AS users, abs(s.hit_rate - h.value) < 1e-9 AS hit_rate, abs(s.ndcg - n.value) < 1e-9 AS ndcg
FROM figures_among(1000) s, als_evaluate('last_model', 'last_test', k => 5, training => 'ratings') h, als_evaluate('last_model', 'last_test', k => 5, training => 'ratings') n
WHERE h.metric = 'hit_rate' AND n.metric = 'ndcg';
SELECT s.users, abs(s.hit_rate - o.hit_rate) < 1e-9 AS hit_rate, s.hit_rate > a.hit_rate AS easier, (SELECT bool_and(n = 9) FROM (SELECT count(DISTINCT negative) AS n FROM sampled(9) GROUP BY user_id) c) AS nine_each
FROM figures_among(9) s, figures_among(1000) a, (
    SELECT avg((place <= 5)::int) AS hit_rate FROM (
        SELECT item_id = positive AS is_positive, row_number() OVER (PARTITION BY user_id ORDER BY als_predict('last_model', user_id, item_id) DESC) AS place
        FROM (SELECT user_id, positive, negative AS item_id FROM sampled(9) UNION SELECT user_id, positive, positive FROM sampled(9)) c) p WHERE is_positive) o;

SET client_min_messages = error;
DROP SCHEMA splits CASCADE;
