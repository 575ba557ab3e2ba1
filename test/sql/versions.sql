-- Runs that are kept beside the one that serves: keep, als_deploy, run
SET client_min_messages = warning;
CREATE SCHEMA versions;
SET search_path = versions, public;
\set SHOW_CONTEXT never
\i test/include/held_out.sql
\i test/include/errors.sql

-- what a model answers now, and whether a run of it answers the same
CREATE TABLE answers (model text, run int, answer text);
CREATE FUNCTION answer_of(model text, run int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format($q$
        SELECT md5((SELECT string_agg(als_predict(%1$L, u, i, run => $1)::text, ',' ORDER BY u, i) FROM generate_series(1, 30) u, generate_series(1, 20) i)
            || (SELECT string_agg(r::text, ',') FROM generate_series(1, 30) u, als_recommend(%1$L, u, 5, run => $1) r)
            || (SELECT string_agg(e::text, ',') FROM als_evaluate(%1$L, 'held_out', run => $1) e))$q$, model) INTO result USING run;
    RETURN result;
END $$;
CREATE FUNCTION train(model text, options text) RETURNS TABLE (run int, keep int, serving boolean, tables text) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT run, keep, serving, concat_ws('' '', user_factors, item_factors) FROM als_train(%L, ''training'', %s)', model, options);
    EXECUTE format('INSERT INTO answers SELECT %L, run, answer_of(%1$L, NULL) FROM %1$I WHERE serving', model);
END $$;
CREATE FUNCTION runs(model regclass) RETURNS TABLE (run int, keep int, serving boolean, tables text, answers text) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format($q$
        SELECT m.run, keep, serving, concat_ws(' ', user_factors, item_factors),
            CASE WHEN user_factors IS NOT NULL THEN CASE WHEN answer = answer_of(%L, m.run) AND (NOT serving OR answer = answer_of(%1$L, NULL)) THEN 'as it did' ELSE 'something else' END END
        FROM %1$s m LEFT JOIN answers a ON a.model = %1$L AND a.run = m.run ORDER BY m.run$q$, model);
END $$;

-- one is kept, unless more are asked for; what was asked for is remembered
SELECT * FROM train('m', 'factors => 4');
SELECT * FROM train('m', 'factors => 5');
SELECT * FROM runs('m');
SELECT * FROM train('m', 'factors => 6, keep => 3');
SELECT * FROM train('m', 'factors => 4, seed => 7');
SELECT * FROM train('m', 'factors => 3');
SELECT * FROM runs('m');
SELECT * FROM train('m', 'factors => 2');
SELECT * FROM runs('m');
-- a kept run is what its tables say
SELECT count(*), bool_and(als_predict('m', u.user_id, i.item_id, run => 4) BETWEEN score - 1e-5 AND score + 1e-5) AS exact
FROM m_users_4 u, m_items_4 i, LATERAL (SELECT sum(x * y) AS score FROM unnest(u.factors, i.factors) f(x, y)) s;
SELECT count(*), count(*) FILTER (WHERE als_predict('m', u, i, run => 5) <> als_predict('m', u, i)) AS others FROM generate_series(1, 10) u, generate_series(1, 10) i;

-- back and forth, with the same tables to serve from
SELECT user_factors::oid AS users_before, item_factors::oid AS items_before FROM m WHERE serving \gset
CREATE VIEW a_view AS SELECT count(*), max(cardinality(factors)) AS factors FROM m_users;
CREATE INDEX by_length ON m_users (cardinality(factors));
CREATE ROLE regress_als_reader;
GRANT USAGE ON SCHEMA versions TO regress_als_reader;
GRANT SELECT ON m_users, m TO regress_als_reader;
SELECT als_deploy('m', 4);
SELECT * FROM runs('m');
TABLE a_view;
SELECT als_deploy('m', 5);
SELECT * FROM runs('m');
SELECT als_deploy('m', 6);
SELECT * FROM runs('m');
SELECT als_deploy('m', 6);
SELECT count(*) FROM m WHERE serving AND run = 6 AND user_factors = :users_before AND item_factors = :items_before;
SELECT has_table_privilege('regress_als_reader', 'm_users', 'SELECT') AS granted, indisvalid FROM pg_index WHERE indexrelid = 'by_length'::regclass;
TABLE a_view;
-- of the last three
SELECT als_deploy('m', 4);
SELECT * FROM train('m', 'factors => 7');
SELECT * FROM runs('m');
-- in a transaction that takes it back
BEGIN;
SELECT als_deploy('m', 6);
SELECT answer_of('m', NULL) = answer AS same FROM answers WHERE model = 'm' AND run = 6;
ROLLBACK;
SELECT * FROM runs('m');

-- the run that serves is refreshed, and takes that along
BEGIN;
SELECT als_predict('m', 3, 4) AS before, als_predict('m', 3, 4, run => 6) AS kept_before \gset
INSERT INTO training SELECT 3, i, 5 FROM generate_series(1, 20) i ON CONFLICT DO NOTHING;
SELECT als_refresh_user('m', 3);
SELECT als_predict('m', 3, 4) <> :before::real AS refreshed, als_predict('m', 3, 4, run => 6) = :kept_before::real AS kept;
SELECT als_predict('m', 3, 4) AS refreshed \gset
SELECT als_deploy('m', 6);
SELECT als_predict('m', 3, 4) = :kept_before::real AS deployed, als_predict('m', 3, 4, run => 7) = :refreshed::real AS kept;
SELECT als_deploy('m', 7);
SELECT als_predict('m', 3, 4) = :refreshed::real AS again, als_predict('m', 3, 4, run => 6) = :kept_before::real AS kept;
ROLLBACK;

-- compared, and evaluated, with themselves and each other
SELECT metric, a.value = b.value AS same FROM als_compare('m', 'm', 'held_out', run => 7, other_run => 6) a
JOIN als_compare('m', 'm', 'held_out', other_run => 7) b USING (metric) WHERE a.value <> b.other OR a.other <> b.value;
SELECT metric, round(value::numeric, 4) AS value FROM als_compare('m', 'm', 'held_out', run => 6) WHERE difference <> 0 OR users = 0;
SELECT count(*) FROM als_evaluate('m', 'held_out', run => 7) a JOIN als_evaluate('m', 'held_out') b USING (metric) WHERE a.value <> b.value;
SELECT (SELECT value FROM als_evaluate('m', 'held_out', run => 6) WHERE metric = 'ndcg') - avg(ndcg) BETWEEN -1e-12 AND 1e-12 AS same,
       avg(ndcg) <> (SELECT value FROM als_evaluate('m', 'held_out') WHERE metric = 'ndcg') AS other
FROM als_evaluate_users('m', 'held_out', run => 6);
SELECT count(*), count(*) FILTER (WHERE a IS DISTINCT FROM b) AS differ
FROM als_evaluate_users('m', 'held_out', run => 6) a FULL JOIN als_evaluate_users_as(NULL::bigint, 'm', 'held_out', run => 6) b USING (user_id);
-- lists of everyone are those of each
SELECT count(*), count(*) FILTER (WHERE a.score IS DISTINCT FROM r.score) AS differ, count(*) FILTER (WHERE a.score = als_predict('m', a.user_id, a.item_id)) AS as_served
FROM als_recommend_all('m', 5, ARRAY(SELECT generate_series(1, 30)), run => 6) a FULL JOIN
    (SELECT u AS user_id, r.* FROM generate_series(1, 30) u, als_recommend('m', u, 5, run => 6) r) r USING (user_id, item_id);
SELECT count(*) FROM (SELECT * FROM als_recommend_all('m', 5, run => 6) EXCEPT ALL SELECT * FROM als_recommend_all_as(NULL::bigint, NULL::bigint, 'm', 5, run => 6)) r;
-- users whom it does not know are folded into it, and popular items are its own
SELECT count(*), count(*) FILTER (WHERE r.score = f.score) AS same
FROM als_recommend('m', 9999, 5, cold_start => 'popular', run => 7) r JOIN als_recommend('m', 9999, 5, cold_start => 'popular') f USING (item_id);
INSERT INTO training VALUES (5000, 1, 4), (5000, 2, 4);
SELECT als_deploy('m', 7);
SELECT als_fold_in('m', ARRAY[1, 2], ARRAY[4, 4]) AS folded \gset
SELECT als_deploy('m', 6);
SELECT count(*), bool_and(abs(score - (SELECT sum(x * y) FROM m_items_7 i, unnest(:'folded'::real[], i.factors) f(x, y) WHERE i.item_id = r.item_id)) < 1e-5) AS folded
FROM als_recommend('m', 5000, 5, run => 7) r;
DELETE FROM training WHERE user_id = 5000;

-- what there is not
SELECT t.* FROM unnest(ARRAY['als_predict(''m'', 1, 1, run => %s)', 'als_recommend(''m'', 1, run => %s)', 'als_recommend_as(NULL::int, ''m'', 1, run => %s)',
    'als_evaluate(''m'', ''held_out'', run => %s)', 'als_evaluate_users(''m'', ''held_out'', run => %s)', 'als_evaluate_users_as(NULL::int, ''m'', ''held_out'', run => %s)',
    'als_recommend_all(''m'', run => %s)', 'als_recommend_all_as(NULL::int, NULL::int, ''m'', run => %s)', 'als_compare(''m'', ''m'', ''held_out'', run => %s)', 'als_compare(''m'', ''m'', ''held_out'', other_run => %s)', 'als_deploy(''m'', %s)']) call,
    unnest(ARRAY['1', '99', '0', '-1', '2147483647']) number, try('SELECT ' || format(call, number)) t GROUP BY code, message, detail, hint ORDER BY 1, 2;
SELECT * FROM try('SELECT als_deploy(''m'', NULL)');
SELECT * FROM try('SELECT als_deploy(NULL, 1)');
SELECT * FROM try('SELECT als_deploy(''m_users'', 1)');
SELECT * FROM try('SELECT als_deploy(0, 1)');
SELECT * FROM try('SELECT als_train(''m'', ''training'', keep => 0)');
CREATE TABLE untrained OF als_model;
SELECT * FROM try('SELECT als_deploy(''untrained'', 1)');
SELECT * FROM try('SELECT als_predict(''untrained'', 1, 1, run => 1)');
BEGIN READ ONLY;
SELECT als_predict('m', 1, 1, run => 7) IS NOT NULL AS reads;
SELECT als_deploy('m', 7);
ROLLBACK;

-- SELECT on the model is the right to predict with all of its runs; only the owner deploys
SET ROLE regress_als_reader;
SELECT als_predict('m', 1, 1, run => 7) IS NOT NULL AS may, (SELECT count(*) FROM als_recommend('m', 1, 5, exclude_seen => false, run => 6)) AS items;
SELECT * FROM try('TABLE m_users_7');
SELECT * FROM try('SELECT als_deploy(''m'', 7)');
RESET ROLE;
REVOKE SELECT ON m FROM regress_als_reader;
SET ROLE regress_als_reader;
SELECT * FROM try('SELECT als_predict(''m'', 1, 1, run => 7)');
RESET ROLE;

-- all of it follows the model: other names, schemas, owners
CREATE SCHEMA elsewhere;
ALTER TABLE m_users_7 RENAME TO "kept Users";
ALTER TABLE "kept Users" SET SCHEMA elsewhere;
SELECT * FROM runs('m');
ALTER TABLE m RENAME TO n;
UPDATE answers SET model = 'n';
SELECT als_deploy('n', 7);
SELECT * FROM runs('n');
GRANT CREATE, USAGE ON SCHEMA versions, elsewhere TO regress_als_reader;
GRANT SELECT ON training, held_out TO regress_als_reader;
ALTER TABLE n OWNER TO regress_als_reader;
ALTER TABLE m_users OWNER TO regress_als_reader;
ALTER TABLE m_items OWNER TO regress_als_reader;
SELECT * FROM try('SELECT als_predict(''n'', 1, 1, run => 6)');
SELECT * FROM try('SELECT als_train(''n'', ''training'')');
SELECT * FROM try('SELECT als_deploy(''n'', 6)');
ALTER TABLE n_users_6 OWNER TO regress_als_reader;
ALTER TABLE n_items_6 OWNER TO regress_als_reader;
ALTER TABLE m_users_5 OWNER TO regress_als_reader;
ALTER TABLE m_items_5 OWNER TO regress_als_reader;
-- they have tables of their own: who may not create these is told before anything is read
REVOKE CREATE ON SCHEMA versions FROM regress_als_reader;
SET ROLE regress_als_reader;
SELECT t.* FROM unnest(ARRAY['SELECT als_deploy(''n'', 6)', 'SELECT als_train(''n'', ''not_there'')', 'SELECT als_train(''n'', ''not_there'', keep => 1)']) call, try(call) t;
RESET ROLE;
GRANT CREATE ON SCHEMA versions TO regress_als_reader;
SET ROLE regress_als_reader;
SELECT als_deploy('n', 6);
RESET ROLE;
SELECT als_deploy('n', 7);
SELECT relname, pg_get_userbyid(relowner) AS owner FROM pg_class WHERE relname ~ '^[mn]_(users|items)' AND relkind = 'r' ORDER BY relname;

-- rows that somebody has written
CREATE FUNCTION try_forged(change text) RETURNS TABLE (times bigint, code text, message text, detail text, hint text) LANGUAGE plpgsql AS $$
DECLARE
    call text;
BEGIN
    CREATE TEMP TABLE outcomes (code text, message text, detail text, hint text);
    FOREACH call IN ARRAY ARRAY['als_predict(''n'', 1, 1)', 'als_predict(''n'', 1, 1, run => 6)', 'als_recommend(''n'', 1, run => 6)', 'als_deploy(''n'', 6)',
        'als_train(''n'', ''training'', factors => 3)', 'als_train(''n'', ''training'', factors => 3, keep => 1)', 'als_refresh_user(''n'', 1)'] LOOP
        INSERT INTO outcomes SELECT t.* FROM try(format('DO %L', format('BEGIN %s; PERFORM %s; RAISE EXCEPTION ''an answer''; END', change, call))) t;
    END LOOP;
    RETURN QUERY SELECT count(*), o.* FROM outcomes o GROUP BY o.code, o.message, o.detail, o.hint ORDER BY 2, 3, 4;
    DROP TABLE outcomes;
END $$;
SELECT change, t.* FROM unnest(ARRAY['NULL', 'UPDATE n SET serving = false', 'UPDATE n SET serving = NULL', 'UPDATE n SET serving = true WHERE run IN (6, 7)',
    'DELETE FROM n WHERE serving', 'DELETE FROM n WHERE run = 6', 'UPDATE n SET serving = run = 6', 'UPDATE n SET user_factors = ''m_users'' WHERE run = 6',
    'UPDATE n SET user_factors = ''m_items'' WHERE run = 6', 'UPDATE n SET user_factors = item_factors WHERE run = 6', 'UPDATE n SET user_factors = 0 WHERE run = 6', 'UPDATE n SET user_factors = ''training'' WHERE run = 6',
    'UPDATE n SET item_factors = NULL WHERE run = 6', 'UPDATE n SET factors = 9 WHERE run = 6', 'UPDATE n SET feedback = ''explicit'' WHERE run = 6', 'UPDATE n SET keep = 0', 'UPDATE n SET keep = NULL',
    'INSERT INTO n SELECT (n).* FROM n WHERE run = 6',
    'DELETE FROM n_users_6', 'ALTER TABLE n_users_6 ENABLE ROW LEVEL SECURITY', 'ALTER TABLE n_users_6 DROP factors', 'ALTER TABLE n_users_6 ALTER user_id TYPE text', 'DROP TABLE n_users_6',
    'ALTER TABLE n_users_6 OWNER TO CURRENT_USER', 'CREATE VIEW of_kept AS SELECT * FROM n_users_6', 'UPDATE n_users_6 SET factors = ''{1}'' WHERE user_id = 1']) change, try_forged(change) t;
-- the tables of another model are not taken
SET ROLE regress_als_reader;
SELECT run FROM als_train('another', 'training', factors => 3);
RESET ROLE;
SELECT t.* FROM try_forged('UPDATE n SET (user_factors, item_factors) = (''another_users'', ''another_items'') WHERE run = 6') t;
SELECT als_predict('another', 1, 1) IS NOT NULL AS there;
-- a kept run whose row is gone goes with the next training, and the others with the model
DELETE FROM n WHERE run = 6;
SELECT run FROM als_train('n', 'training', factors => 3);
SELECT run, user_factors, item_factors FROM n ORDER BY run;
SELECT relname FROM pg_class WHERE relname ~ '^[mn]_(users|items)' AND relkind = 'r' ORDER BY relname;
DELETE FROM n;
SELECT run, keep, user_factors FROM als_train('n', 'training', factors => 3);
SELECT relname FROM pg_class WHERE relname ~ '^[mn]_(users|items)' AND relkind = 'r' ORDER BY relname;
SELECT run, user_factors FROM als_train('n', 'training', factors => 3, keep => 2);
DROP VIEW a_view;
DROP TABLE n, another;
SELECT relname FROM pg_class WHERE relname ~ '^[mn]_' AND relkind = 'r' ORDER BY relname;

-- runs of all makers are kept
SELECT run, keep FROM als_train('made', 'training', factors => 3, keep => 9);
SELECT (t).run, (t).keep FROM (SELECT als_train_agg('made', user_id, item_id, rating, '{"factors": 4}') t FROM training) s;
SELECT run, keep FROM als_import('made', 'made_users', 'made_items', 'training', regularization => 0.1, regularization_scaling => 1, alpha => 1);
SELECT count(*) FROM als_tune('made', 'training', '{"factors": [2, 3]}', validation => 'held_out');
SELECT (t).run, (t).keep FROM (SELECT als_train_agg('made', user_id, item_id, rating, '{"factors": 4, "keep": 3}') t FROM training) s;
SELECT run, keep, serving, user_factors, als_predict('made', 1, 1, run => run) IS NOT NULL AS predicts FROM made WHERE user_factors IS NOT NULL ORDER BY run;
SELECT als_deploy('made', 3);
SELECT run, serving, user_factors FROM made ORDER BY run;

-- other ids, and biases
CREATE VIEW text_training AS SELECT 'user ' || user_id AS user_id, md5(item_id::text)::uuid AS item_id, rating FROM training;
SELECT run FROM als_train('text', 'text_training', factors => 3, feedback => 'explicit', keep => 2);
CREATE TABLE text_before AS SELECT user_id, item_id, als_predict('text', user_id, item_id) AS score FROM text_training;
SELECT run FROM als_train('text', 'text_training', factors => 4, feedback => 'explicit', regularization => 0.5);
SELECT count(*), count(*) FILTER (WHERE score = als_predict('text', user_id, item_id, run => 1)) AS same,
       count(*) FILTER (WHERE score = als_predict('text', user_id, item_id)) < 10 AS others FROM text_before;
SELECT count(*) FROM als_recommend_as(NULL::uuid, 'text', 'user 3', 5, run => 1);
SELECT als_predict('text', 'nobody', md5('1')::uuid, 'biases', 1) = mean_rating::real + bias AS by_biases FROM text, text_items_1 WHERE run = 1 AND item_id = md5('1')::uuid;
SELECT als_deploy('text', 1);
SELECT count(*) FILTER (WHERE score = als_predict('text', user_id, item_id)) AS same FROM text_before;
-- a temporary model, and one with a name as long as may be
SELECT run, keep FROM als_train('pg_temp.brief', 'training', factors => 3, keep => 2);
SELECT run, keep FROM als_train('pg_temp.brief', 'training', factors => 3);
SELECT als_deploy('brief', 1);
SELECT run, serving, user_factors = 'pg_temp.brief_users'::regclass AS serve FROM brief ORDER BY run;
SELECT repeat('x', 57) AS long \gset
SELECT run FROM als_train(:'long', 'training', factors => 3, keep => 2);
SELECT run FROM als_train(:'long', 'training', factors => 3);
SELECT user_factors FROM :long ORDER BY run;
DROP SCHEMA versions, elsewhere CASCADE;
DROP ROLE regress_als_reader;
