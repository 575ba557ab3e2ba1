-- Every bad input has an error of its own and leaves nothing behind.
SET client_min_messages = warning;
CREATE SCHEMA errors;
SET search_path = errors, public;
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, 1::real AS rating
    FROM generate_series(1, 8) u, generate_series(1, 6) i WHERE (u * 7 + i * 5) % 3 > 0;
CREATE TABLE texts (user_id text, item_id text, rating text);
CREATE TABLE points (user_id point, item_id int, rating int);
CREATE SEQUENCE a_sequence;
CREATE INDEX an_index ON ratings (user_id);
SELECT run FROM als_train('model', 'ratings', factors => 3);

-- what an error leaves: nothing
CREATE VIEW leftovers AS SELECT relname FROM pg_class
    WHERE relnamespace = 'errors'::regnamespace AND relname LIKE 'bad%';
\i test/include/errors.sql
\x on

-- no rows
SELECT * FROM try($$SELECT als_train('bad', 'texts', rating_column => NULL)$$);
SELECT * FROM try($$SELECT als_train_agg('bad', user_id, item_id, 1, '{}') FROM texts$$);

-- null ids, null and infinite ratings
SELECT * FROM try($$SELECT als_train('bad', 'SELECT NULL::int AS user_id, 7 AS item_id, 1 AS rating')$$);
SELECT * FROM try($$SELECT als_train('bad', 'SELECT 7 AS user_id, NULL::int AS item_id, 1 AS rating')$$);
SELECT * FROM try($$SELECT als_train('bad', 'SELECT NULL::int AS user_id, NULL::int AS item_id, 1 AS rating')$$);
SELECT * FROM try($$SELECT als_train('bad', 'SELECT 7 AS user_id, 8 AS item_id, NULL::int AS rating')$$);
SELECT * FROM try($$SELECT als_train('bad', 'SELECT 7 AS user_id, 8 AS item_id, ''nan''::real AS rating')$$);
SELECT * FROM try($$SELECT als_train('bad', 'SELECT 7 AS user_id, 8 AS item_id, ''nan''::numeric AS rating')$$);
SELECT * FROM try($$SELECT als_train('bad', 'SELECT 7 AS user_id, 8 AS item_id, ''-infinity''::float8 AS rating')$$);
SELECT * FROM try($$SELECT als_train('bad', 'SELECT 7 AS user_id, 8 AS item_id, 1e200::float8 AS rating')$$);
SELECT * FROM try($$SELECT als_train('bad', 'SELECT 7 AS user_id, 8 AS item_id, 1e-200::float8 AS rating')$$);
SELECT * FROM try($$SELECT als_train('bad', 'SELECT 7 AS user_id, 8 AS item_id, 3e38 AS rating FROM generate_series(1, 2)')$$);
SELECT * FROM try($$SELECT als_train_agg('bad', NULL::int, 7, 1, '{}')$$);
SELECT * FROM try($$SELECT als_train_agg('bad', 7, NULL::int, 1, '{}')$$);
SELECT * FROM try($$SELECT als_train_agg('bad', 7, 8, NULL, '{}')$$);

-- missing relation, missing columns, not a relation of rows
SELECT * FROM try($$SELECT als_train('bad', 'nowhere')$$);
SELECT * FROM try($$SELECT als_train('bad', 'nowhere.ratings')$$);
SELECT * FROM try($$SELECT als_train('bad', 'not a name')$$);
SELECT * FROM try($$SELECT als_train('bad', 'a_sequence')$$);
SELECT * FROM try($$SELECT als_train('bad', 'an_index')$$);
SELECT * FROM try($$SELECT als_train('bad', 'ratings', user_column => 'users')$$);
SELECT * FROM try($$SELECT als_train('bad', 'ratings', item_column => 'Item_id')$$);
SELECT * FROM try($$SELECT als_train('bad', 'ratings', rating_column => 'stars')$$);
SELECT * FROM try($$SELECT als_train('bad', 'SELECT * FROM nowhere')$$);
SELECT * FROM try($$SELECT als_train('bad', 'SELECT 1; SELECT 2')$$);
SELECT * FROM try($$SELECT als_train('bad', 'WITH d AS (DELETE FROM ratings RETURNING *) SELECT * FROM d')$$);

-- not numeric, not hashable
SELECT * FROM try($$SELECT als_train('bad', 'texts')$$);
SELECT * FROM try($$SELECT als_train('bad', 'points')$$);
SELECT * FROM try($$SELECT als_train_agg('bad', point(1, 1), 7, 1, '{}')$$);
SELECT * FROM try($$SELECT als_train_agg('bad', 'x', 7, 1, '{}')$$);

-- parameters out of range
SELECT parameter, t.* FROM unnest(ARRAY['factors => 0', 'factors => 1025', 'factors => -1', 'iterations => 0',
    'iterations => 100001', 'regularization => -0.1', 'regularization => ''nan''',
    'regularization => ''infinity''', 'alpha => -1', 'alpha => ''nan''', 'alpha => ''infinity''',
    'feedback => ''Implicit''', 'solver => ''lu''', 'cg_steps => 0', 'tolerance => -1', 'tolerance => ''nan''',
    'workers => -1', 'factors => NULL', 'feedback => NULL', 'user_column => NULL', 'seed => NULL']) parameter,
    try(format('SELECT als_train(%L, %L, %s)', 'bad', 'ratings', parameter)) t;
SELECT * FROM try($$SELECT als_train(NULL, 'ratings')$$);
SELECT * FROM try($$SELECT als_train('bad', NULL)$$);
SELECT options, t.* FROM unnest(ARRAY['{"factor": 3}', '{"factors": "3"}', '{"factors": 3.5}', '{"factors": 0}',
    '{"factors": 1e400}', '{"factors": null}', '{"alpha": "x"}', '{"alpha": -1}', '{"solver": 3}',
    '{"solver": "lu"}', '{"verbose": 1}', '{"seed": 1.5}', '{"seed": 1e30}', '{"user_column": "u"}', '[1]', '3',
    '{"factors": {"a": 1}}']) options,
    try(format('SELECT als_train_agg(%L, user_id, item_id, rating, %L) FROM ratings', 'bad', options)) t;
SELECT * FROM try($$SELECT als_train_agg(NULL, 7, 8, 1, '{}')$$);
SELECT * FROM try($$SELECT als_train_agg('bad' || user_id, user_id, item_id, rating, '{}') FROM ratings$$);
SELECT * FROM try($$SELECT als_train_agg('bad', user_id, item_id, rating, jsonb_build_object('factors', user_id)) FROM ratings$$);
SELECT * FROM try($$SELECT als_train_agg('bad', user_id, item_id, rating, '{}') OVER () FROM ratings$$);

-- names that are taken, or cannot be
CREATE TABLE bad_taken_items ();
SELECT * FROM try($$SELECT als_train('ratings', 'ratings')$$);
SELECT * FROM try($$SELECT als_train('leftovers', 'ratings')$$);
SELECT * FROM try($$SELECT als_train('bad_taken', 'ratings')$$);
SELECT * FROM try($$SELECT als_train('model_users', 'ratings')$$);
SELECT * FROM try($$SELECT als_train('bad_' || repeat('x', 55), 'ratings')$$);
SELECT * FROM try($$SELECT als_train('', 'ratings')$$);
SELECT * FROM try($$SELECT als_train('nowhere.model', 'ratings')$$);
DROP TABLE bad_taken_items;

-- other ids or feedback than the model has
SELECT * FROM try($$SELECT als_train('model', 'SELECT user_id::text, item_id, rating FROM ratings')$$);
SELECT * FROM try($$SELECT als_train('model', 'ratings', feedback => 'explicit')$$);

-- a singular system
SELECT * FROM try($$SELECT als_train('bad', 'ratings', factors => 10, regularization => 0)$$);
SELECT * FROM try($$SELECT als_train('bad', 'ratings', factors => 10, regularization => 0, solver => 'cholesky')$$);
SELECT * FROM try($$SELECT als_train('bad', 'ratings', factors => 7, regularization => 0)$$);
SELECT * FROM try($$SELECT als_train('bad', 'ratings', factors => 10, regularization => 0, solver => 'cholesky', feedback => 'explicit')$$);
-- and factors that overflow
SELECT * FROM try($$SELECT als_train('bad', 'SELECT user_id, item_id, 3e38 * (1 - 2 * ((user_id + item_id) % 2)) AS rating FROM ratings', factors => 3, feedback => 'explicit', regularization => 1e-6)$$);
-- and such that could not be served, though predictions would be finite
SELECT * FROM try($$SELECT als_train('bad', 'SELECT user_id, item_id, 1e37 * ((user_id + item_id) % 3) AS rating FROM ratings', factors => 3, feedback => 'explicit')$$);
SELECT * FROM try($$SELECT als_train_agg('bad', user_id, item_id, 1e37 * ((user_id + item_id) % 3), '{"factors": 3, "feedback": "explicit"}') FROM ratings$$);
SELECT * FROM try($$SELECT * FROM als_tune('bad', 'SELECT user_id, item_id, 1e37 * ((user_id + item_id) % 3) AS rating FROM ratings', '{"factors": [2, 3]}', feedback => 'explicit', validation_fraction => 0.2)$$);
SELECT * FROM try($$SELECT als_train('bad', 'SELECT user_id, item_id, 1e17 * ((user_id + item_id) % 3) AS rating FROM ratings', factors => 3, feedback => 'explicit');
                    SELECT sum(als_predict('bad', user_id, item_id)) FROM ratings$$);
DROP TABLE bad;

-- where nothing may be written
BEGIN READ ONLY;
SELECT * FROM try($$SELECT als_train('bad', 'ratings')$$);
SELECT * FROM try($$SELECT als_train_agg('bad', user_id, item_id, rating, '{}') FROM ratings$$);
ROLLBACK;

-- serving
SELECT * FROM try($$SELECT als_predict('nowhere', 1, 2)$$);
SELECT * FROM try($$SELECT als_predict('ratings', 1, 2)$$);
SELECT * FROM try($$SELECT als_predict('model_users', 1, 2)$$);
SELECT * FROM try($$SELECT als_predict(1, 1, 2)$$);
SELECT * FROM try($$SELECT als_predict('model', point(1, 1), 2)$$);
SELECT * FROM try($$SELECT als_predict('model', 'x', '2')$$);
SELECT * FROM try($$SELECT als_recommend(NULL, 1)$$);
SELECT * FROM try($$SELECT als_recommend('model', 1, -1)$$);
SELECT * FROM try($$SELECT als_recommend('model', 1, NULL)$$);
SELECT * FROM try($$SELECT als_recommend('model', 1, exclude_seen => NULL)$$);
SELECT * FROM try($$SELECT als_recommend('model', 1, exclude => 3)$$);
SELECT * FROM try($$SELECT als_recommend('model', 1, candidates => ARRAY[point(1, 1)])$$);
SELECT * FROM try($$SELECT als_recommend('model', 1, candidates => '{1,x}')$$);
SELECT * FROM try($$SELECT als_recommend_as(NULL::smallint, 'model', 1)$$);
SELECT run FROM als_train('text_model', 'SELECT user_id::text, item_id::text, rating FROM ratings', factors => 3);
SELECT * FROM try($$SELECT als_recommend('text_model', '1')$$);
-- the source is gone
SELECT run FROM als_train('model', 'SELECT * FROM ratings', factors => 3);
ALTER TABLE ratings RENAME TO renamed;
SELECT * FROM try($$SELECT als_recommend('model', 1)$$);
SELECT * FROM try($$SELECT als_recommend('model', 1, exclude_seen => false)$$);

-- what somebody has done to a model
CREATE TABLE untrained OF als_model;
SELECT * FROM try($$SELECT als_predict('untrained', 1, 2)$$);
UPDATE model_items SET factors = '{1,2}' WHERE item_id = 2;
SELECT * FROM try($$SELECT als_predict('model', 1, 2)$$);
UPDATE model_items SET factors = '{1,NULL,2}' WHERE item_id = 2;
SELECT * FROM try($$SELECT als_predict('model', 1, 2)$$);
UPDATE model_items SET factors = '{1,NaN,2}' WHERE item_id = 2;
SELECT * FROM try($$SELECT als_predict('model', 1, 2)$$);
ALTER TABLE model_items ADD COLUMN note text;
SELECT * FROM try($$SELECT als_predict('model', 1, 2)$$);
ALTER TABLE model_items DROP COLUMN note, DROP COLUMN factors;
SELECT * FROM try($$SELECT als_predict('model', 1, 2)$$);
SELECT * FROM try($$DROP TABLE model_items$$);
UPDATE text_model SET factors = 0;
SELECT * FROM try($$SELECT als_predict('text_model', '1', '2')$$);

-- the settings
SELECT code FROM try($$SET als.cache_size = 1$$);
SELECT * FROM try($$SET als.kernels = 'abacus'$$);

\x off
SELECT * FROM leftovers;
SET client_min_messages = error;
DROP SCHEMA errors CASCADE;
