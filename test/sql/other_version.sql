-- A library that is newer or older than the SQL objects, as between an update of
-- the package and ALTER EXTENSION UPDATE, trains and serves: type als_model lacks
-- columns that it knows, or has ones that it does not.
\set VERBOSITY terse
CREATE SCHEMA other_version;
SET search_path = other_version, public;
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, 1 + (u * i) % 4 AS rating
    FROM generate_series(1, 30) u, generate_series(1, 40) i
    WHERE (u * 7 + i * 3) % 5 < 2;
SELECT run FROM als_train('same', 'ratings', factors => 4, iterations => 3, seed => 5);
SELECT run FROM als_train('before', 'ratings', factors => 4, iterations => 3, seed => 5);
SELECT run FROM als_train('rated', 'ratings', factors => 4, iterations => 3, seed => 5, feedback => 'explicit');
CREATE TABLE served AS SELECT * FROM als_recommend('same', 1, 10, false);
CREATE TABLE served_rated AS SELECT * FROM als_recommend('rated', 1, 10, false);

-- whether a model serves what it did, and its new run what is expected of it
CREATE FUNCTION serves(model regclass, what regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    same bool;
BEGIN
    EXECUTE format('SELECT NOT EXISTS (TABLE %s EXCEPT ALL SELECT * FROM als_recommend(%L, 1, 10, false))', what, model) INTO same;
    RETURN CASE WHEN same THEN 'the same' ELSE 'something else' END;
END $$;

BEGIN;
ALTER TYPE public.als_model ADD ATTRIBUTE of_a_newer_version integer CASCADE;
SELECT serves('same', 'served'), serves('rated', 'served_rated');
SELECT run, factors, seed, of_a_newer_version FROM als_train('before', 'ratings', factors => 4, iterations => 3, seed => 5);
SELECT run, factors, seed FROM als_train('after', 'ratings', factors => 4, iterations => 3, seed => 5);
SELECT serves('before', 'served'), serves('after', 'served');
SELECT run, of_a_newer_version FROM before ORDER BY run;
SELECT als_refresh_user('before', 1);
SELECT c.iteration FROM before b, als_convergence(b) c WHERE run = 2;
SELECT count(*) > 0 AS tunes FROM als_tune('tuned', 'ratings', '{"factors": [2, 3]}', validation_fraction => 0.2);
ROLLBACK;

-- all columns that a run can do without
BEGIN;
SET LOCAL client_min_messages = error;
ALTER TYPE public.als_model
    DROP ATTRIBUTE nonnegative CASCADE, DROP ATTRIBUTE patience CASCADE, DROP ATTRIBUTE seconds CASCADE,
    DROP ATTRIBUTE warm_start CASCADE, DROP ATTRIBUTE validation_curve CASCADE, DROP ATTRIBUTE seed CASCADE;
SELECT serves('same', 'served'), serves('rated', 'served_rated');
SELECT run, factors FROM als_train('before', 'ratings', factors => 4, iterations => 3, seed => 5);
SELECT run, factors FROM als_train('after', 'ratings', factors => 4, iterations => 3, seed => 5);
SELECT serves('before', 'served'), serves('after', 'served');
SELECT als_refresh_user('before', 1);
ROLLBACK;

-- one that it cannot do without
BEGIN;
SET LOCAL client_min_messages = error;
ALTER TYPE public.als_model DROP ATTRIBUTE regularization CASCADE;
SAVEPOINT before;
SELECT als_predict('same', 1, 2);
ROLLBACK TO before;
SELECT als_train('same', 'ratings');
ROLLBACK TO before;
SELECT als_train('after', 'ratings');
ROLLBACK;

-- functions that have got an argument since
CREATE FUNCTION says(version text, call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT %I.%s', version, call);
    RETURN 'it worked';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
-- Makes a version of functions in a schema of its own, with other arguments.
CREATE FUNCTION make_version(version text, names text, arguments text, others text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    definition text;
BEGIN
    EXECUTE format('CREATE SCHEMA %I', version);
    FOR definition IN
        SELECT pg_get_functiondef(p.oid) FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid JOIN pg_language l ON l.oid = prolang
        WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'als')
            AND lanname = 'c' AND prokind = 'f' AND proname ~ ('^als_(' || names || ')$')
    LOOP
        EXECUTE regexp_replace(regexp_replace(definition, 'public\.als', version || '.als'), arguments, others);
    END LOOP;
END $$;
BEGIN;
SELECT make_version('older', 'train|predict|tune|import|evaluate.*|compare|recommend.*|audience.*|similar.*|fold_in|explain.*',
                    ', [^,]*\)(\s+RETURNS)', ')\1');
SELECT call, says('older', call) FROM unnest(ARRAY[
    $$als_train('same', 'ratings')$$, $$als_import('imported', 'same_users', 'same_items')$$,
    $$als_predict('same', 1, 2)$$, $$als_evaluate('same', 'ratings')$$, $$als_evaluate_users('same', 'ratings')$$, $$als_compare('same', 'before', 'ratings')$$,
    $$als_recommend('same', 1)$$, $$als_recommend_as(NULL::int, 'same', 1)$$, $$als_recommend_for('same', ARRAY[1])$$, $$als_recommend_together('same', ARRAY[1, 2])$$,
    $$als_recommend_all('same')$$, $$als_audience('same', 1)$$, $$als_similar_items('same', 1)$$, $$als_similar_users('same', 1)$$, $$als_similar_items_all('same')$$,
    $$als_fold_in('same', ARRAY[1])$$, $$als_fold_in('same', ARRAY[1], ARRAY[1])$$, $$als_explain('same', 1, 2)$$]) call;
ROLLBACK;

-- and ones that are to get another, in a version that the library is older than
BEGIN;
SELECT make_version('newer', 'train|predict|tune|import|deploy|holdout|evaluate.*|compare|recommend.*|audience.*|similar.*|fold_in|explain.*|feature_effects|refresh.*|staleness',
                    '\)(\s+RETURNS)', ', added integer DEFAULT 0)\1');
SELECT call, says('newer', call) FROM unnest(ARRAY[
    $$als_train('same', 'ratings')$$, $$als_import('imported', 'same_users', 'same_items')$$, $$als_tune('same', 'ratings')$$,
    $$als_deploy('same', 1)$$, $$als_holdout(1, 2, 0.5)$$, $$als_refresh_user('same', 1)$$, $$als_refresh_item('same', 1)$$, $$als_refresh('same')$$,
    $$als_staleness('same')$$, $$als_explain_features('same', 1, 2)$$, $$als_feature_effects('same', 'user')$$,
    $$als_predict('same', 1, 2)$$, $$als_evaluate('same', 'ratings')$$, $$als_evaluate_users('same', 'ratings')$$, $$als_compare('same', 'before', 'ratings')$$,
    $$als_recommend('same', 1)$$, $$als_recommend_as(NULL::int, 'same', 1)$$, $$als_recommend_for('same', ARRAY[1])$$, $$als_recommend_together('same', ARRAY[1, 2])$$,
    $$als_recommend_all('same')$$, $$als_audience('same', 1)$$, $$als_similar_items('same', 1)$$, $$als_similar_users('same', 1)$$, $$als_similar_items_all('same')$$,
    $$als_fold_in('same', ARRAY[1])$$, $$als_fold_in('same', ARRAY[1], ARRAY[1], ARRAY[1])$$, $$als_explain('same', 1, 2)$$]) call;
\set VERBOSITY default
SELECT newer.als_predict('same', 1, 2);
ROLLBACK;
\set VERBOSITY terse

SELECT serves('same', 'served'), serves('rated', 'served_rated');
SET client_min_messages = error;
DROP SCHEMA other_version CASCADE;
