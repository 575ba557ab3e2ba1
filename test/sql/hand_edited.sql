-- A model's tables are ordinary tables: whatever somebody writes into them,
-- there is an error or an answer
SET client_min_messages = warning;
CREATE SCHEMA hand_edited;
SET search_path = hand_edited, public;
\set SHOW_CONTEXT never
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(30, 20, 40);

-- Tries a change, and all that uses a model, in turn; the errors that come, and how often
CREATE FUNCTION try_all(model text, change text) RETURNS TABLE (error text, times bigint) LANGUAGE plpgsql AS $$
DECLARE
    call text;
    messages text[] = '{}';
BEGIN
    FOREACH call IN ARRAY ARRAY[
        'als_predict(%L, 3, 4)', 'als_predict(%L, 999, 4)', 'als_recommend(%L, 3)', 'als_recommend(%L, 999)',
        'als_recommend(%L, 999, cold_start => ''popular'')', 'als_recommend_all(%L)', 'als_recommend_all(%L, users => ARRAY[3])',
        'als_recommend_for(%L, ARRAY[1, 2])', 'als_fold_in(%L, ARRAY[1, 2])', 'als_similar_items(%L, 4)', 'als_similar_users(%L, 3)',
        'als_explain(%L, 3, 4)', 'als_evaluate(%L, ''hand_edited.ratings'')', 'als_refresh_user(%L, 3)', 'als_refresh_item(%L, 4)',
        'als_train(%L, ''hand_edited.ratings'', factors => 4, iterations => 1, warm_start => true)']
    LOOP
        BEGIN
            EXECUTE format(change, model);
            EXECUTE format('SELECT count(*) FROM ' || call, model);
            RAISE EXCEPTION 'an answer';
        EXCEPTION WHEN OTHERS THEN
            messages = messages || sqlerrm;
        END;
    END LOOP;
    RETURN QUERY SELECT m, count(*) FROM unnest(messages) m GROUP BY 1 ORDER BY m COLLATE "C";
END $$;
SELECT users, items FROM als_train('implicit', 'ratings', factors => 4, alpha => 40, regularization => 0.01, iterations => 2);
SELECT users, items FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 4, iterations => 2);
SELECT t.* FROM unnest(ARRAY['implicit', 'explicit']) m, try_all(m, 'SELECT %L') t;

-- the row of the run
SELECT set, t.* FROM unnest(ARRAY['user_column = NULL', 'item_column = NULL', 'rating_column = NULL', 'rating_column = ''no such''', 'user_column = ''"; DROP TABLE ratings; --''',
    'source = NULL', 'source = ''''', 'source = ''nothing''', 'source = ''DROP TABLE hand_edited.ratings''', 'source = ''hand_edited.implicit''',
    'feedback = NULL', 'feedback = ''x''', 'feedback = ''explicit''', 'factors = NULL', 'factors = 0', 'factors = 5', 'factors = 2147483647',
    'regularization = NULL', 'regularization = ''NaN''', 'regularization = 0', 'regularization_scaling = ''Infinity''', 'alpha = NULL', 'alpha = -1', 'alpha = 1e300',
    'nonnegative = NULL', 'users = NULL', 'items = -1', 'users = 0, items = 0', 'users = 9223372036854775807, items = 9223372036854775807',
    'user_factors = NULL', 'item_factors = 0', 'item_factors = user_factors', 'item_factors = ''ratings''', 'item_factors = ''pg_class''',
    'losses = NULL, validation_curve = NULL, best_iteration = NULL, seconds = NULL, trained_at = NULL',
    'run = 2147483647', 'run = -1']) set, try_all('implicit', 'UPDATE %I SET ' || set) t;
SELECT set, t.* FROM unnest(ARRAY['mean_rating = NULL', 'mean_rating = ''NaN''', 'mean_rating = 1e300', 'feedback = ''implicit''']) set, try_all('explicit', 'UPDATE %I SET ' || set) t;
SELECT t.* FROM try_all('implicit', 'DELETE FROM %I') t;
SELECT t.* FROM try_all('implicit', 'INSERT INTO %I (run) VALUES (7)') t;

-- the factor tables
SELECT change, t.* FROM unnest(ARRAY['DELETE FROM %I_users', 'DELETE FROM %I_items', 'TRUNCATE %I_users', 'DROP TABLE %I_items',
    'ALTER TABLE %I_items DROP factors', 'ALTER TABLE %I_items ADD extra int', 'ALTER TABLE %I_items ALTER item_id TYPE text', 'ALTER TABLE %I_items ALTER factors TYPE float8[]',
    'ALTER TABLE %I_items ENABLE ROW LEVEL SECURITY', 'ALTER TABLE %I_items DROP CONSTRAINT %1$I_items_pkey',
    'UPDATE %I_items SET factors = ''{}''', 'UPDATE %I_items SET factors = ''{{1,2},{3,4}}''', 'UPDATE %I_items SET factors = ''[0:3]={1,2,3,4}''',
    'UPDATE %I_items SET factors = ''{1,2,3,Infinity}''', 'UPDATE %I_items SET factors = ''{3e38,-3e38,3e38,3e38}''', 'UPDATE %I_users SET factors = ''{1e-45,1e-45,0,0}''']) change,
    try_all('implicit', change) t;
SELECT change, t.* FROM unnest(ARRAY['UPDATE %I_items SET bias = ''NaN''', 'ALTER TABLE %I_items DROP bias', 'UPDATE %I_users SET bias = 3e38, factors = ''{3e38,3e38,3e38,3e38}''']) change,
    try_all('explicit', change) t;
-- all is as it was
SELECT t.* FROM unnest(ARRAY['implicit', 'explicit']) m, try_all(m, 'SELECT %L') t;

-- a source that uses models itself, with memory for neither: what is kept of
-- the one goes while it is being used
CREATE TABLE many AS SELECT u AS user_id, i AS item_id FROM generate_series(1, 40) u, generate_series(1, 2000) i WHERE (u * i) % 7 < 2;
SELECT users, items FROM als_train('other', 'many', rating_column => NULL, factors => 4, iterations => 1);
CREATE VIEW using_other AS
    SELECT 'u' || user_id AS user_id, 'i' || item_id AS item_id, rating FROM ratings
    WHERE (SELECT count(*) FROM als_recommend('other', user_id % 3 + 1, 5)) > 0;
SELECT users, items FROM als_train('outer_model', 'using_other', factors => 4, iterations => 1);
\c -
SET search_path = hand_edited, public;
SET als.cache_size = '64kB';
SELECT count(*) FROM als_recommend_as(NULL::text, 'outer_model', 'u3', 5);
SELECT count(*) FROM als_recommend_as(NULL::text, 'outer_model', 'u3', 5);
BEGIN;
SELECT count(*) FROM generate_series(1, 3) n, als_recommend_as(NULL::text, 'outer_model', 'u' || n, 5);
COMMIT;
SELECT count(*) FROM als_explain_as(NULL::text, 'outer_model', 'u3', 'i4');
SELECT count(*) FROM als_recommend_all_as(NULL::text, NULL::text, 'outer_model', 5);
SELECT count(*) FROM als_recommend_as(NULL::text, 'outer_model', 'nobody', 5, cold_start => 'popular');
SET client_min_messages = warning;
DROP SCHEMA hand_edited CASCADE;
