-- alpha, regularization and regularization_scaling where they are left to the
-- rule, against the rule computed here in SQL.
SET client_min_messages = warning;
SET jit = off;
CREATE SCHEMA chosen;
SET search_path = chosen, public;
\i test/include/ratings.sql
\i test/include/errors.sql

-- counts of very different sizes, some negative, some zero, some pairs twice
CREATE TABLE plays AS
    SELECT user_id, item_id,
           (CASE (user_id + item_id) % 9 WHEN 0 THEN 0 WHEN 1 THEN -rating WHEN 2 THEN 1000 * rating ELSE rating END)::real AS rating
    FROM some_ratings(60, 40, 20);
INSERT INTO plays SELECT user_id, item_id, 3 FROM plays WHERE user_id % 10 = 0;
CREATE TABLE stars AS SELECT * FROM some_ratings(90, 25, 30);
INSERT INTO stars SELECT user_id, item_id, 2 FROM stars WHERE user_id % 10 = 0;

-- The formulas of the reference.
CREATE FUNCTION the_rule(source text, feedback text, alpha float8, nu float8, by_ratings bool,
                         OUT alpha_is float8, OUT lambda_is float8) LANGUAGE plpgsql AS $$
DECLARE
    users float8; items float8; n float8; r float8; sigma float8; p float8; e float8; s float8;
BEGIN
    EXECUTE format('WITH pairs AS (SELECT user_id, item_id, CASE WHEN %L = ''implicit'' THEN sum(rating) ELSE avg(rating) END::float8 AS rating FROM %s GROUP BY 1, 2)
                    SELECT count(DISTINCT user_id), count(DISTINCT item_id), count(*),
                           avg(sqrt(abs(rating))) FILTER (WHERE rating <> 0) ^ 2, stddev_pop(rating) FROM pairs', feedback, source)
        INTO users, items, n, r, sigma;
    IF feedback = 'explicit' THEN
        e := 0.55 * sigma * sqrt(n / (users * items)) * (sqrt(users) + sqrt(items));
        s := n / sqrt(users * items);
    ELSE
        alpha_is := coalesce(alpha, 4 * sqrt(items) * users / (n * r));
        p := (n + 1) / (users * items + 2);
        e := 0.5 * (1 + alpha_is * r) * sqrt(p * (1 - p)) * (sqrt(users) + sqrt(items));
        s := CASE WHEN by_ratings THEN n ELSE users * items + alpha_is * n END / sqrt(users * items);
    END IF;
    lambda_is := e / s ^ nu;
END $$;

-- What a model's newest run has, against that; left: what is to be chosen.
CREATE FUNCTION compare(run als_model, source text, alpha float8 DEFAULT NULL, OUT nu float8, OUT alpha_as_said bool, OUT lambda_as_said bool)
LANGUAGE sql AS $$
    SELECT run.regularization_scaling,
           CASE WHEN run.feedback = 'explicit' THEN run.alpha IS NULL ELSE abs(run.alpha / alpha_is - 1) < 1e-6 END,
           abs(run.regularization / lambda_is - 1) < 1e-6
    FROM the_rule(source, run.feedback, alpha, run.regularization_scaling, run.regularization_by = 'ratings')
$$;

SELECT (compare(t, 'plays')).* FROM als_train('plays_model', 'plays', factors => 3) t;
SELECT (compare(t, 'stars')).* FROM als_train('stars_model', 'stars', factors => 3) t;
SELECT (compare(t, 'plays')).* FROM als_train('plays_explicit', 'plays', feedback => 'explicit', factors => 3) t;
SELECT (compare(t, 'stars')).* FROM als_train('stars_explicit', 'stars', feedback => 'explicit', factors => 3) t;
-- the deviation is that from the mean, also where scores have no mean in them
SELECT (compare(t, 'stars')).* FROM als_train('stars_unbiased', 'stars', feedback => 'explicit', factors => 3, biases => false) t;

-- one of them is said: the other is the rule's, for that one
SELECT (compare(t, 'plays', 7)).* FROM als_train('plays_model', 'plays', factors => 3, alpha => 7) t;
SELECT (compare(t, 'plays')).* FROM als_train('plays_model', 'plays', factors => 3, regularization_scaling => 0) t;
SELECT (compare(t, 'plays')).* FROM als_train('plays_model', 'plays', factors => 3, regularization_scaling => 0.3) t;
SELECT (compare(t, 'plays')).* FROM als_train('plays_model', 'plays', factors => 3, regularization_by => 'ratings') t;
SELECT (compare(t, 'stars')).* FROM als_train('stars_explicit', 'stars', feedback => 'explicit', factors => 3, regularization_scaling => 1) t;
-- a regularization that is said has the scaling of the papers
SELECT t.regularization, (compare(t, 'plays')).nu, (compare(t, 'plays')).alpha_as_said FROM als_train('plays_model', 'plays', factors => 3, regularization => 0.1) t;
SELECT t.regularization, t.regularization_scaling FROM als_train('stars_explicit', 'stars', feedback => 'explicit', factors => 3, regularization => 0.1) t;
-- the textbook's
SELECT alpha, regularization, regularization_scaling
FROM als_train('textbook', 'plays', factors => 3, alpha => 40, regularization => 0.01);
-- a later training chooses anew, and a warm start is no obstacle
SELECT (compare(t, 'stars')).* FROM als_train('plays_model', 'stars', factors => 3, warm_start => true) t;

-- The factors do not depend on whether the parameters were chosen or said, the
-- choice not on the order or the unit of the ratings.
CREATE FUNCTION said(model text, source text, feedback text) RETURNS als_model LANGUAGE plpgsql AS $$
DECLARE
    run als_model;
BEGIN
    EXECUTE format('SELECT * FROM %I ORDER BY run DESC LIMIT 1', model) INTO run;
    RETURN als_train('said', source, feedback => feedback, factors => 3, alpha => coalesce(run.alpha, 1),
                     regularization => run.regularization, regularization_scaling => run.regularization_scaling);
END $$;
SELECT c.loss = (said('chosen_model', 'plays', 'implicit')).loss AS same FROM als_train('chosen_model', 'plays', factors => 3) c;
DROP TABLE said;
SELECT c.loss = (said('chosen_explicit', 'stars', 'explicit')).loss AS same FROM als_train('chosen_explicit', 'stars', factors => 3, feedback => 'explicit') c;
SELECT a.alpha = b.alpha AS alpha, a.regularization = b.regularization AS regularization
FROM als_train('one_order', 'SELECT * FROM plays ORDER BY user_id, item_id, rating', factors => 3) a,
     als_train('other_order', 'SELECT * FROM plays ORDER BY rating, item_id DESC, user_id', factors => 3, workers => 0) b;
SELECT a.alpha / b.alpha AS alpha
FROM als_train('one_unit', 'stars', factors => 3) a, als_train('other_unit', 'SELECT user_id, item_id, rating * 16 AS rating FROM stars', factors => 3) b;
SELECT b.regularization / a.regularization AS regularization
FROM als_train('one_explicit', 'stars', feedback => 'explicit', factors => 3) a,
     als_train('other_explicit', 'SELECT user_id, item_id, rating * 16 AS rating FROM stars', feedback => 'explicit', factors => 3) b;

-- the aggregate
WITH runs AS MATERIALIZED (
    SELECT als_train_agg('aggregated', user_id, item_id, rating, '{"factors": 3, "alpha": null, "regularization": null}') AS run FROM plays)
SELECT (compare(run, 'plays')).* FROM runs;

-- als_tune: what the grid does not say, or says is null, is chosen from what
-- trials train from; a refit keeps what was chosen for the best of them.
SELECT count(*) FROM als_tune('tuned', 'plays', '{"factors": 3}', validation => 'stars');
SELECT (compare(t, 'plays')).* FROM tuned t ORDER BY run DESC LIMIT 1;
SELECT parameters FROM als_tune('tuned', 'plays', '{"factors": 3, "alpha": [null, 7], "regularization": null, "iterations": 1}', validation => 'stars') ORDER BY trial;
SELECT count(*) FROM als_tune('tuned', 'plays', '{"factors": 3, "alpha": 7, "regularization": [null], "iterations": 2}', validation => 'stars');
SELECT (compare(t, 'plays', 7)).* FROM tuned t ORDER BY run DESC LIMIT 1;
SELECT count(*) FROM als_tune('refitted', 'plays', '{"factors": 3, "iterations": 3}', validation_fraction => 0.3, seed => 5, refit => true);
SELECT (compare(t, '(SELECT * FROM plays WHERE NOT als_holdout(user_id, item_id, 0.3, 5)) kept')).* FROM refitted t;

-- Ratings that say little: something to train with all the same.
CREATE FUNCTION chosen_for(source text, feedback text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    run als_model;
BEGIN
    run := als_train('little', source, feedback => feedback, factors => 3);
    DROP TABLE little;
    RETURN CASE WHEN run.loss < 'Infinity' AND run.regularization > 0 AND (feedback = 'explicit' OR run.alpha > 0) THEN 'finite' ELSE run::text END;
END $$;
SELECT feedback, what, chosen_for(source, feedback)
FROM unnest(ARRAY['implicit', 'explicit']) feedback,
     (VALUES ('one rating', 'SELECT 1 AS user_id, 1 AS item_id, 1 AS rating'),
             ('one user', 'SELECT 1 AS user_id, i AS item_id, i AS rating FROM generate_series(1, 100) i'),
             ('one item', 'SELECT u AS user_id, 1 AS item_id, u % 5 AS rating FROM generate_series(1, 100) u'),
             ('every pair', 'SELECT u AS user_id, i AS item_id, u * i % 7 AS rating FROM generate_series(1, 20) u, generate_series(1, 20) i'),
             ('all equal', 'SELECT user_id, item_id, 0.1 AS rating FROM chosen.stars'),
             ('all zero', 'SELECT user_id, item_id, 0 AS rating FROM chosen.stars'),
             ('all negative', 'SELECT user_id, item_id, -rating AS rating FROM chosen.stars'),
             ('large', 'SELECT user_id, item_id, rating * 1e20 AS rating FROM chosen.stars'),
             ('small', 'SELECT user_id, item_id, rating * 1e-30 AS rating FROM chosen.stars'),
             ('some large', 'SELECT user_id, item_id, CASE WHEN user_id = item_id THEN 1e20 ELSE rating END AS rating FROM chosen.stars'),
             ('some small', 'SELECT user_id, item_id, CASE WHEN user_id = item_id THEN 1e-30 ELSE rating END AS rating FROM chosen.stars')) v(what, source);
DROP SCHEMA chosen CASCADE;
