-- als_staleness against what SQL counts
SET client_min_messages = warning;
CREATE SCHEMA staleness;
SET search_path = staleness, public;
\i test/include/errors.sql
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT *, now() - interval '1 day' * (1 + user_id % 9) AS rated_at FROM some_ratings(400, 50);
INSERT INTO ratings SELECT * FROM ratings WHERE user_id % 10 = 0;
SELECT users, items, ratings FROM als_train('model', 'ratings', factors => 3, time_column => 'rated_at', half_life => '1 year');
CREATE VIEW text_ratings AS SELECT user_id::text, item_id::text, rating, rated_at AT TIME ZONE 'UTC' AS rated_at FROM ratings;
SELECT users, items, ratings FROM als_train('of_text', 'text_ratings', factors => 3);
CREATE FUNCTION counted(model text) RETURNS TABLE (ratings bigint, new_ratings bigint, users bigint, unknown_users bigint, items bigint, unknown_items bigint, drift numeric)
LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format($q$
        SELECT pairs, pairs - (SELECT ratings FROM %1$I WHERE serving), users, users - known_users, items, items - known_items, round(drift, 12)
        FROM (SELECT count(DISTINCT (user_id, item_id)) AS pairs, count(DISTINCT user_id) AS users, count(DISTINCT item_id) AS items FROM ratings WHERE user_id IS NOT NULL AND item_id IS NOT NULL) r,
             (SELECT count(*) AS known_users FROM %2$I WHERE user_id::text IN (SELECT user_id::text FROM ratings)) u, (SELECT count(*) AS known_items FROM %3$I WHERE item_id::text IN (SELECT item_id::text FROM ratings)) i,
             (WITH n AS (SELECT count(*) FILTER (WHERE rated_at < (SELECT trained_at FROM %1$I WHERE serving)) AS before, count(*) AS of_all FROM ratings WHERE user_id IS NOT NULL GROUP BY item_id)
              SELECT sum(abs(before / (SELECT sum(before) FROM n) - of_all / (SELECT sum(of_all) FROM n))) / 2 AS drift FROM n) d$q$,
        model, model || '_users', model || '_items');
END $$;
-- nothing new
SELECT run, age >= '0' AND age < '1 hour' AS age, ratings, new_ratings, users, unknown_users, items, unknown_items, drift FROM als_staleness('model');
SELECT new_ratings, unknown_users, unknown_items, drift FROM als_staleness('of_text');
-- a crowd that likes a new item, and others who are gone; pairs that come twice are one
INSERT INTO ratings SELECT u, 51 + u % 2, 1, now() FROM generate_series(350, 700) u, generate_series(1, 2);
INSERT INTO ratings SELECT u, 1, 1, now() FROM generate_series(1, 400) u;
DELETE FROM ratings WHERE user_id < 20;
INSERT INTO ratings VALUES (NULL, 1, 1, now());
SELECT ratings, new_ratings, users, unknown_users, items, unknown_items, round(drift::numeric, 12) FROM als_staleness('model')
UNION ALL SELECT * FROM counted('model')
UNION ALL SELECT ratings, new_ratings, users, unknown_users, items, unknown_items, round(drift::numeric, 12) FROM als_staleness('of_text', time_column => 'rated_at');
-- without a time there is no before
SELECT unknown_users, drift FROM als_staleness('of_text');
-- a sample of users, with all that they have: the same each time, and near the whole
SELECT s.sample, abs(e.ratings - c.ratings) < 0.3 * c.ratings AS ratings, e.new_ratings = e.ratings - (SELECT ratings FROM model) AS new_ratings, abs(e.users - c.users) < 0.3 * c.users AS users,
       abs(e.unknown_users - c.unknown_users) < 0.3 * c.unknown_users AS unknown_users, e.items <= c.items AND e.unknown_items <= c.unknown_items AS items, abs(e.drift - c.drift) < 0.1 AS drift, e = f AS same
FROM counted('model') c, unnest(ARRAY[0.3, 0.9, 1]) s(sample), als_staleness('model', s.sample) e, als_staleness('model', s.sample) f ORDER BY 1;
SELECT e.users = round(count(DISTINCT user_id) / 0.3) AS users, e.ratings = round(count(DISTINCT (user_id, item_id)) / 0.3) AS ratings
FROM als_staleness('model', 0.3) e, ratings WHERE als_holdout(user_id, user_id, 0.3) GROUP BY e.users, e.ratings;
-- what is refreshed is known, what has been trained is seen
SELECT als_refresh('model', items => ARRAY[51]);
SELECT unknown_items FROM als_staleness('model');
DELETE FROM ratings WHERE user_id IS NULL;
SELECT run FROM als_train('model', 'ratings', factors => 3, time_column => 'rated_at', half_life => '1 year');
SELECT run, new_ratings, unknown_users, unknown_items, round(drift::numeric, 12) FROM als_staleness('model');
-- a run that nobody has counted; no ratings
SELECT run FROM als_import('imported', 'SELECT * FROM model_users', 'SELECT * FROM model_items', 'ratings');
SELECT new_ratings, unknown_users, unknown_items, drift FROM als_staleness('imported');
TRUNCATE ratings;
SELECT ratings, new_ratings < 0 AS fewer, users, unknown_users, items, unknown_items, drift FROM als_staleness('model');

SELECT (als_train_agg('aggregated', u, u, 1, '{"factors": 3}')).users FROM generate_series(1, 9) u;
SELECT e.* FROM unnest(ARRAY[
    $$SELECT als_staleness(NULL)$$,
    $$SELECT als_staleness('ratings')$$,
    $$SELECT als_staleness('aggregated')$$,
    $$SELECT als_staleness('model', 0)$$,
    $$SELECT als_staleness('model', 'NaN')$$,
    $$SELECT als_staleness('model', NULL)$$,
    $$SELECT als_staleness('model', time_column => 'user_id')$$,
    $$SELECT als_staleness('model', time_column => 'nowhere')$$]) s, try(s) e;

SET client_min_messages = error;
DROP SCHEMA staleness CASCADE;
