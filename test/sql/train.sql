-- als_train and als_train_agg: sources, parameters, the model's row
SET client_min_messages = warning;
CREATE SCHEMA train;
SET search_path = train, public;

\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(60, 40, 20);

-- the textbook run
SELECT run, source, user_column, item_column, rating_column, feedback, factors,
       regularization, alpha, iterations, solver, cg_steps, tolerance, seed,
       warm_start, users, items, ratings, mean_rating, array_length(losses, 1),
       loss = losses[15] AS last_loss, loss < losses[1] AS falls,
       user_factors, item_factors
FROM als_train('model', 'ratings', alpha => 40, regularization => 0.01);
SELECT count(*) FROM model;
SELECT count(*), min(array_length(factors, 1)), max(array_length(factors, 1)) FROM model_users;
SELECT count(*), min(array_length(factors, 1)), max(array_length(factors, 1)) FROM model_items;
SELECT schema, name, owner = current_user AS own FROM als_models WHERE schema = 'train';

-- every parameter, positionally described in the row
SELECT feedback, factors, regularization, alpha, iterations, solver, cg_steps,
       tolerance, seed, workers, warm_start, array_length(losses, 1)
FROM als_train('explicit_model', 'ratings', feedback => 'explicit', factors => 7,
               regularization => 0.05, alpha => 3, iterations => 4, solver => 'cholesky',
               cg_steps => 5, tolerance => 0, seed => -7, workers => 0);
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = 'explicit_model_users'::regclass AND attnum > 0 ORDER BY attnum;

-- the mean of an explicit model is that of the ratings
SELECT abs(mean_rating - (SELECT avg(rating::float8) FROM ratings)) < 1e-12 AS mean FROM explicit_model;

-- training again adds a row and replaces the factors
SELECT run, factors FROM als_train('model', 'ratings', factors => 10);
SELECT run, factors FROM model ORDER BY run;
SELECT DISTINCT array_length(factors, 1) FROM model_items;

-- another seed is another model, the same seed the same one
CREATE TABLE before AS SELECT * FROM model_users;
SELECT run FROM als_train('model', 'ratings', factors => 10);
SELECT count(*) FROM before JOIN model_users m USING (user_id, factors);
SELECT run FROM als_train('model', 'ratings', factors => 10, seed => 43);
SELECT count(*) FROM before JOIN model_users m USING (user_id, factors);

-- tolerance stops early
SELECT array_length(losses, 1) < 1000 AS early,
       1 - losses[array_length(losses, 1)] / losses[array_length(losses, 1) - 1] <= 0.01 AS flat,
       1 - losses[array_length(losses, 1) - 1] / losses[array_length(losses, 1) - 2] > 0.01 AS not_before
FROM als_train('model', 'ratings', factors => 10, iterations => 1000, tolerance => 0.01);

-- a warm start goes on where the last training ended
SELECT losses[10] AS loss INTO cold
FROM als_train('warm', 'ratings', factors => 10, alpha => 40, regularization => 0.01, iterations => 10, warm_start => true);
SELECT w.losses[1] < c.loss AS better
FROM als_train('warm', 'ratings', factors => 10, alpha => 40, regularization => 0.01, iterations => 1, warm_start => true) w, cold c;
-- also where there are new ids
INSERT INTO ratings VALUES (1000, 1000, 5), (1000, 1, 5);
SELECT w.users, w.losses[1] < c.losses[1] AS better
FROM als_train('warm', 'ratings', factors => 10, alpha => 40, regularization => 0.01, iterations => 1, warm_start => true) w,
     als_train('afresh', 'ratings', factors => 10, alpha => 40, regularization => 0.01, iterations => 1) c;
DELETE FROM ratings WHERE user_id = 1000;
SELECT als_train('warm', 'ratings', factors => 11, warm_start => true);

-- sources: view, materialized view, partitioned table, query, quoted names
CREATE VIEW a_view AS SELECT * FROM ratings;
CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM ratings;
CREATE TABLE "a partitioned" (user_id int, item_id int, rating real) PARTITION BY HASH (user_id);
CREATE TABLE part_0 PARTITION OF "a partitioned" FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE part_1 PARTITION OF "a partitioned" FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO "a partitioned" SELECT * FROM ratings;
CREATE TABLE "Quoted ""names""" ("User" int, "the item" int, "r'" numeric);
INSERT INTO "Quoted ""names""" SELECT * FROM ratings;
SELECT run FROM als_train('reference', 'ratings', factors => 10);
-- (whether a comment in front is kept depends on the version)
SELECT source_name, regexp_replace(t.source, '^-- all of them\s*', '') AS source, t.loss = m.loss AS same
FROM reference m, unnest(ARRAY['train.a_view', 'a_matview', '"a partitioned"',
    'SELECT * FROM train.ratings', '  -- all of them
     WITH all_of_them AS (TABLE ratings) SELECT * FROM all_of_them; ']) source_name,
    als_train('other', source_name, factors => 10) t;
SELECT t.source, t.user_column, t.item_column, t.rating_column, t.loss = m.loss AS same
FROM reference m, als_train('"A ""model"""', '"Quoted ""names"""', 'User', 'the item', 'r''', factors => 10) t;
SELECT count(*) FROM "A ""model""_users";
SELECT als_predict('"A ""model"""', 1, 2) = als_predict('reference', 1, 2) AS same;

-- ratings of every numeric type, and none: every row counts 1
SELECT type, t.loss = m.loss AS same
FROM reference m, unnest(ARRAY['smallint', 'int', 'bigint', 'real', 'float8', 'numeric']) type,
     als_train('other', format('SELECT user_id, item_id, rating::%s AS rating FROM ratings', type), factors => 10) t;
SELECT a.loss = b.loss AS same
FROM als_train('other', 'SELECT user_id, item_id, 1 AS rating FROM ratings', factors => 10) a,
     als_train('another', 'ratings', rating_column => NULL, factors => 10) b;

-- duplicate pairs add up for implicit feedback, and average for explicit
CREATE VIEW doubled AS SELECT user_id, item_id, rating * 0.25 AS rating FROM ratings
    UNION ALL SELECT user_id, item_id, rating * 0.75 FROM ratings;
SELECT t.ratings = m.ratings AS pairs, t.loss = m.loss AS same
FROM reference m, als_train('other', 'doubled', factors => 10) t;
SELECT t.ratings, t.mean_rating = u.mean_rating AS mean, t.loss = u.loss AS same
FROM als_train('doubled_model', 'doubled', feedback => 'explicit', factors => 10) t,
     als_train('halved_model', 'SELECT user_id, item_id, rating / 2 AS rating FROM ratings',
               feedback => 'explicit', factors => 10) u;

-- the aggregate is the same training
SELECT t.source, t.user_column, t.loss = m.loss AS same
FROM reference m, (SELECT (als_train_agg('aggregated', user_id, item_id, rating, '{"factors": 10}')).*
                   FROM ratings) t;
SELECT count(*), count(*) FILTER (WHERE a.factors = b.factors) AS same
FROM aggregated_users a JOIN reference_users b USING (user_id);
SELECT count(*), count(*) FILTER (WHERE a.factors = b.factors) AS same
FROM aggregated_items a JOIN reference_items b USING (item_id);
-- with every option
SELECT feedback, factors, regularization, iterations, solver, seed, workers, loss = before AS same
FROM (SELECT (als_train_agg('aggregated_explicit', user_id, item_id, rating,
    '{"feedback": "explicit", "factors": 7, "regularization": 0.05, "alpha": 3, "iterations": 4,
      "solver": "cholesky", "cg_steps": 5, "tolerance": 0, "seed": -7, "workers": 0,
      "warm_start": false, "verbose": false}')).*, (SELECT loss FROM explicit_model) AS before FROM ratings) t;
-- several models in one query
SELECT (als_train_agg('half_' || user_id % 2, user_id, item_id, rating, '{"factors": 3}')).users
FROM ratings GROUP BY user_id % 2 ORDER BY 1;
SELECT name FROM als_models WHERE name LIKE 'half%' ORDER BY name;
-- no options at all
SELECT (als_train_agg('plain', user_id, item_id, 1, NULL)).factors FROM ratings;
-- any seed
SELECT (als_train_agg('ends', user_id, item_id, 1, '{"factors": 2, "seed": 9223372036854775807}')).seed FROM ratings;
SELECT (als_train_agg('ends', user_id, item_id, 1, '{"factors": 2, "seed": -9223372036854775808}')).seed FROM ratings;

-- in plpgsql, and undone with a subtransaction
DO $$
BEGIN
    BEGIN
        PERFORM als_train('undone', 'ratings', factors => 3);
        RAISE EXCEPTION 'undo';
    EXCEPTION WHEN raise_exception THEN
        RAISE WARNING 'model is there: %', to_regclass('undone') IS NOT NULL;
    END;
END $$;

-- one user, one item, one rating; a user with everything; an item rated once
SELECT users, items, ratings FROM als_train('one', 'SELECT 1 AS user_id, 1 AS item_id, 1 AS rating', factors => 3, alpha => 40, regularization => 0.01);
SELECT round(als_predict('one', 1, 1)::numeric, 2);
SELECT users, items, ratings FROM als_train('everything',
    'SELECT u AS user_id, i AS item_id, 1 AS rating FROM generate_series(1, 5) u, generate_series(1, 20) i
     WHERE u = 1 OR i = u', factors => 3);
SELECT count(*) FROM als_recommend('everything', 1);
SELECT count(*) FROM als_recommend('everything', 2, 100);
SELECT loss < 1e-3 AS fits FROM als_train('one_explicit', 'SELECT 1 AS user_id, 1 AS item_id, 4.5 AS rating',
    feedback => 'explicit', factors => 2);
SELECT round(als_predict('one_explicit', 1, 1)::numeric, 2);

SET client_min_messages = error;
DROP SCHEMA train CASCADE;
