-- What each function takes, from a role with no rights to one with all: what is
-- missing is 42501, and says of what
SET client_min_messages = warning;
CREATE SCHEMA privileges;
SET search_path = privileges, public;
CREATE ROLE regress_als_caller;
GRANT USAGE ON SCHEMA privileges TO regress_als_caller;
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(30, 20, 25);
SELECT users, items FROM als_train('model', 'ratings', factors => 3);
INSERT INTO ratings VALUES (100, 1, 5), (100, 2, 4);

-- 1: known; 100: in the ratings alone; 999: nowhere
CREATE TABLE calls (id int GENERATED ALWAYS AS IDENTITY, call text);
INSERT INTO calls (call) SELECT unnest(ARRAY[
    'als_models',
    'als_progress',
    'als_training_progress()',
    'als_model_stats()',
    'als_stat_models',
    'als_stat_reset()',
    'als_holdout(1, 2, 1)',
    $$als_holdout('1', '2', 1)$$,
    '(SELECT als_convergence(m) FROM model m)',
    $$als_predict('model', 1, 2)$$,
    $$als_predict('model', '1', '2')$$,
    $$als_predict('model', 1, 2, run => 1)$$,
    $$als_predict('model', 1, 2, fresh => true)$$,
    $$als_similar_items('model', 1)$$,
    $$als_similar_items('model', '1')$$,
    $$als_similar_items_as(NULL::int, 'model', 1)$$,
    $$als_similar_items_as(NULL::int, 'model', '1')$$,
    $$als_similar_items_all('model')$$,
    $$als_similar_items_all_as(NULL::int, 'model', items => ARRAY[1])$$,
    $$als_similar_users('model', 1)$$,
    $$als_similar_users('model', '1')$$,
    $$als_similar_users_as(NULL::int, 'model', 1)$$,
    $$als_similar_users_as(NULL::int, 'model', '1')$$,
    $$als_fold_in('model', ARRAY[1, 2])$$,
    $$als_fold_in('model', ARRAY[1, 2], ARRAY[1, 1], ARRAY[1, 1])$$,
    $$als_recommend_for('model', ARRAY[1, 2])$$,
    $$als_recommend_for_as(NULL::int, 'model', ARRAY[1, 2])$$,
    $$als_recommend('model', 1, exclude_seen => false)$$,
    $$als_recommend('model', 1)$$,
    $$als_recommend('model', '1')$$,
    $$als_recommend('model', 1, exclude_seen => false, fresh => true)$$,
    $$als_recommend('model', 1, exclude_seen => false, groups => 'SELECT DISTINCT item_id, 1 FROM ratings')$$,
    $$als_recommend_for('model', ARRAY[1], boost => 'SELECT DISTINCT item_id, 1 FROM ratings')$$,
    $$als_recommend('model', 100, exclude_seen => false)$$,
    $$als_recommend('model', NULL::int, cold_start => 'popular')$$,
    $$als_recommend_as(NULL::int, 'model', 1, exclude_seen => false)$$,
    $$als_recommend_as(NULL::int, 'model', 1)$$,
    $$als_recommend_as(NULL::int, 'model', '1')$$,
    $$als_recommend_as(NULL::int, 'model', 999, cold_start => 'popular')$$,
    $$als_recommend_all('model', exclude_seen => false)$$,
    $$als_recommend_all('model')$$,
    $$als_recommend_all_as(NULL::int, NULL::int, 'model', exclude_seen => false)$$,
    $$als_recommend_all_as(NULL::int, NULL::int, 'model', users => ARRAY[1])$$,
    $$als_recommend_together('model', ARRAY[1, 2], exclude_seen => false)$$,
    $$als_recommend_together('model', ARRAY[1, 2])$$,
    $$als_recommend_together_as(NULL::int, 'model', ARRAY[1, 2])$$,
    $$als_audience('model', 1, exclude_seen => false)$$,
    $$als_audience('model', 1)$$,
    $$als_audience('model', '1')$$,
    $$als_audience('model', 999, exclude_seen => false)$$,
    $$als_audience_as(NULL::int, 'model', 1, exclude_seen => false)$$,
    $$als_audience_as(NULL::int, 'model', '1')$$,
    $$als_audience_all('model', exclude_seen => false)$$,
    $$als_audience_all('model')$$,
    $$als_audience_all_as(NULL::int, NULL::int, 'model', items => ARRAY[1])$$,
    $$als_explain('model', 1, 2)$$,
    $$als_explain('model', '1', '2')$$,
    $$als_explain_as(NULL::int, 'model', 1, 2)$$,
    $$als_explain_as(NULL::int, 'model', '1', '2')$$,
    $$als_evaluate('model', 'SELECT 1 AS user_id, 2 AS item_id, 1 AS rating', exclude_seen => false)$$,
    $$als_evaluate('model', 'SELECT 1 AS user_id, 2 AS item_id, 1 AS rating')$$,
    $$als_evaluate('model', 'ratings', exclude_seen => false)$$,
    $$als_compare('model', 'model', 'ratings')$$,
    $$als_compare('model', 'model', 'SELECT 1 AS user_id, 2 AS item_id, 1 AS rating', exclude_seen => false)$$,
    $$als_evaluate_users('model', 'SELECT 1 AS user_id, 2 AS item_id, 1 AS rating', exclude_seen => false)$$,
    $$als_evaluate_users('model', 'ratings')$$,
    $$als_evaluate_users_as(NULL::int, 'model', 'ratings', training => 'SELECT 1 AS user_id, 1 AS item_id')$$,
    $$als_refresh_user('model', 1)$$,
    $$als_refresh_user('model', '100')$$,
    $$als_refresh_user('model', 999)$$,
    $$als_refresh_user('model', 8000000000)$$,
    $$als_refresh_item('model', 1)$$,
    $$als_refresh_item('model', '1')$$,
    $$als_refresh('model', ARRAY[1, 999])$$,
    $$als_refresh('model', '{8000000000}', ARRAY[1])$$,
    $$als_track('model')$$,
    $$als_staleness('model')$$,
    $$als_untrack('model')$$,
    $$(SELECT als_solve(i, 1, jsonb_build_object('model', 'model', 'side', 'users')) FROM generate_series(1, 9) i)$$,
    $$als_solve_row('{1,2}'::int[], '{1,1}', jsonb_build_object('model', 'model', 'side', 'users'))$$,
    $$(SELECT als_solve(i, 1, 1, jsonb_build_object('model', 'model', 'side', 'users')) FROM generate_series(1, 9) i)$$,
    $$als_solve_row('{1,2}'::int[], '{1,1}', '{1,1}', jsonb_build_object('model', 'model', 'side', 'users'))$$,
    $$als_starting_factors(1, 3)$$,
    $$als_unpack_factors('\x3f800000', 1)$$,
    $$(SELECT als_pack_factors('{1}'))$$,
    $$als_train('model', 'ratings', factors => 3)$$,
    $$als_train('new', 'ratings', factors => 3)$$,
    $$als_deploy('model', 1)$$,
    $$als_train('new', 'SELECT i AS user_id, i AS item_id, 1 AS rating FROM generate_series(1, 9) i', factors => 3, validation => 'ratings')$$,
    $$als_tune('model', 'ratings', '{"factors": 3}')$$,
    $$als_tune('new', 'ratings', '{"factors": 3}')$$,
    $$(SELECT als_train_agg('model', user_id, item_id, rating, '{"factors": 3}') FROM ratings)$$,
    $$(SELECT als_train_agg('new', user_id, item_id, rating, '{"factors": 3}') FROM ratings)$$,
    $$(SELECT als_train_agg('new', i, i, 1, '{"factors": 3}') FROM generate_series(1, 9) i)$$]);
-- all that can be called is; what is left is called by others
SELECT p.oid::regproc AS function FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
    JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'als'
WHERE NOT EXISTS (SELECT FROM calls WHERE call ~ ('\m' || p.proname || '\(')) ORDER BY p.proname;

-- As the caller; whatever it does is undone, and so is the role.
CREATE FUNCTION attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    rows bigint;
    hint text;
BEGIN
    SET LOCAL ROLE regress_als_caller;
    EXECUTE format('SELECT FROM %s r WHERE r IS DISTINCT FROM NULL', call);
    GET DIAGNOSTICS rows = ROW_COUNT;
    RAISE EXCEPTION USING ERRCODE = 'ALSOK', MESSAGE = CASE WHEN rows > 0 THEN 'works' ELSE 'no rows' END;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN CASE WHEN SQLSTATE <> 'ALSOK' THEN SQLSTATE || ' ' ELSE '' END || SQLERRM || coalesce(' (' || nullif(hint, '') || ')', '');
END $$;
-- The session has used the model before, and kept what it read.
CREATE TABLE outcomes (step int, granted text, call_id int, outcome text);
DO $$
DECLARE
    step record;
BEGIN
    FOR step IN SELECT * FROM (VALUES
        (0, 'nothing', ''),
        (1, 'model', 'GRANT SELECT ON model TO regress_als_caller'),
        (2, 'factors', 'GRANT SELECT ON model_users, model_items TO regress_als_caller'),
        (3, 'schema', 'GRANT CREATE ON SCHEMA privileges TO regress_als_caller'),
        (4, 'ratings', 'GRANT SELECT ON ratings TO regress_als_caller'),
        (5, 'writing', 'GRANT INSERT, UPDATE, DELETE ON model_users, model_items TO regress_als_caller'),
        (6, 'all revoked', 'REVOKE ALL ON model, model_users, model_items, ratings FROM regress_als_caller;
                            REVOKE CREATE ON SCHEMA privileges FROM regress_als_caller'),
        (7, 'only ratings', 'GRANT SELECT ON ratings TO regress_als_caller')) v(n, granted, statement) LOOP
        EXECUTE step.statement;
        COMMIT;
        PERFORM als_predict('model', 1, 2), (SELECT count(*) FROM als_recommend('model', 1)),
                (SELECT count(*) FROM als_recommend('model', NULL::int, cold_start => 'popular')),
                (SELECT count(*) FROM als_similar_users('model', 1)), als_fold_in('model', ARRAY[1]);
        INSERT INTO outcomes SELECT step.n, step.granted, id, attempt(call) FROM calls ORDER BY id;
        COMMIT;
    END LOOP;
END $$;
\pset format unaligned
\pset fieldsep ' | '
SELECT call, string_agg(granted, ', ' ORDER BY step) AS granted, outcome
FROM outcomes JOIN calls ON id = call_id GROUP BY id, call, outcome ORDER BY id, min(step);
-- what has been tried as the caller has left nothing behind
SELECT count(*) FROM model;
SELECT name FROM als_models;
-- who may only read keeps no training away, not even by refreshing nobody
GRANT SELECT ON model, model_users, model_items TO regress_als_caller;
SET ROLE regress_als_caller;
BEGIN;
SELECT als_refresh('model', users => '{}'::int[]);
ROLLBACK;
BEGIN;
SELECT als_refresh_item('model', 1);
ROLLBACK;
RESET ROLE;

SET client_min_messages = error;
DROP SCHEMA privileges CASCADE;
DROP ROLE regress_als_caller;
