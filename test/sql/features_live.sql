-- Features as they are now: unknown users and items, refreshing, visitors, and what
-- features do to scores.
SET client_min_messages = warning;
SET jit = off;  -- what it would compile runs once
\set SHOW_CONTEXT never
CREATE SCHEMA features_live;
SET search_path = features_live, public;
\i test/include/algebra.sql
\i test/include/errors.sql
\i test/include/features.sql

SELECT new_users, new_items FROM als_train('implicit', 'ratings', factors => 3, regularization => 0.3, regularization_scaling => 1, alpha => 2,
    item_features => 'item_features', user_features => 'user_features');
SELECT new_users, new_items FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 3, regularization => 0.3, regularization_scaling => 1,
    item_features => 'item_features', user_features => 'user_features');
CREATE FUNCTION newest(model text, OUT run als_model) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT * FROM %I ORDER BY run DESC LIMIT 1', model) INTO run;
END $$;

-- after the training: 101 has features and ratings, 102 features alone, 103 one that is not known, 104 nothing, 105 ratings alone
INSERT INTO user_features VALUES (101, 1, 2), (101, 3, 0.5), (102, 2, 1), (103, 99, 1);
INSERT INTO ratings VALUES (101, 4, 4), (101, 31, 2), (101, 7, 1.5), (105, 4, 4), (105, 7, 1);
INSERT INTO item_features VALUES (201, 'kind 1', 1), (201, 'size', -0.7), (202, 'kind 1', 1), (203, 'unheard of', 1);
INSERT INTO ratings VALUES (3, 201, 4), (5, 201, 1), (42, 201, 3);

-- what a row is drawn to, whether it is stored or not
CREATE FUNCTION prior_of(model text, side text, wanted int) RETURNS float8[] LANGUAGE sql AS $$
    WITH given AS (SELECT feature::text, value FROM item_features WHERE side = 'item' AND id = wanted
                   UNION ALL SELECT feature::text, value FROM user_features WHERE side = 'user' AND id = wanted)
    SELECT array_agg(x ORDER BY n) FROM (
        SELECT n, coalesce(sum(value * f.f[n]), 0) AS x FROM generate_series(1, (SELECT max(cardinality(f)) FROM features_of(model, side))) n
        LEFT JOIN (features_of(model, side) f JOIN given USING (feature)) ON true GROUP BY n) s
$$;
-- the row of somebody as he is now
CREATE FUNCTION solved(model text, side text, wanted int) RETURNS float8[] LANGUAGE plpgsql AS $$
DECLARE
    run als_model := newest(model);
    scale record;
BEGIN
    DELETE FROM others;
    INSERT INTO others SELECT * FROM rows_of(model, CASE side WHEN 'user' THEN 'item' ELSE 'user' END);
    SELECT * INTO scale FROM scaled(run, side) WHERE id = wanted;
    RETURN CASE WHEN FOUND THEN row_of(run, side, wanted, prior_of(model, side, wanted), scale.s, scale.w) ELSE prior_of(model, side, wanted) END;
END $$;
CREATE FUNCTION score(model text, x float8[], y float8[]) RETURNS float8 LANGUAGE sql AS $$
    SELECT dot(x[1:r.factors], y[1:r.factors]) + coalesce(r.mean_rating + x[r.factors + 1] + y[r.factors + 1], 0) FROM newest(model) r
$$;
CREATE FUNCTION as_solved(model text, wanted int) RETURNS TABLE (items int8, right_scores boolean) LANGUAGE plpgsql AS $$
DECLARE
    x float8[] := solved(model, 'user', wanted);
BEGIN
    RETURN QUERY SELECT count(*), max(abs(score - score(model, x, f))) < 1e-5
    FROM als_recommend(model::regclass, wanted, 100, exclude_seen => false) JOIN rows_of(model, 'item') ON id = item_id;
END $$;
SELECT model, u, s.* FROM (VALUES ('implicit'), ('explicit')) m (model), generate_series(101, 105) u, as_solved(model, u) s ORDER BY 1, 2;
-- what he has rated is left out
SELECT count(*), bool_or(item_id IN (4, 31, 7)) AS seen FROM als_recommend('implicit', 101, 100);
-- and his features are those of now
UPDATE user_features SET value = -1 WHERE id = 102;
SELECT s.* FROM as_solved('implicit', 102) s;

-- a visitor is who has the same
CREATE FUNCTION same_lists(model regclass) RETURNS boolean LANGUAGE sql AS $$
    SELECT array(SELECT r FROM als_recommend(model, 101, 20) r)
         = array(SELECT r FROM als_recommend_for(model, ARRAY[4, 31, 7], ARRAY[4, 2, 1.5], 20, features => '{"1": 2, "3": 0.5}') r)
       AND array(SELECT r FROM als_recommend(model, 102, 20) r) = array(SELECT r FROM als_recommend_for(model, NULL, k => 20, features => '{"2": -1}') r)
       AND array(SELECT r FROM als_recommend(model, 102, 20) r) = array(SELECT r FROM als_recommend_for(model, '{}', k => 20, features => '{"2": -1, "99": 7}') r)
       AND array(SELECT r FROM als_recommend(model, 105, 20) r) = array(SELECT r FROM als_recommend_for(model, '{4,7}', '{4,1}', 20, features => '{}') r)
$$;
SELECT same_lists('implicit'), same_lists('explicit');
SELECT count(*) FROM als_recommend_for_as(NULL::text, 'implicit', '{4}', features => '{"2": -1}');
SELECT count(*) FROM als_recommend_for('implicit', NULL, features => '{"99": 1}');
SELECT count(*) FROM als_recommend_for('implicit', NULL, features => NULL);

-- als_predict knows what is stored; fresh, the user is what his features and ratings say now, the item what is stored
SELECT als_predict('explicit', 102, 33) IS NULL AS user_not_stored, als_predict('explicit', 1, 202, fresh => true) IS NULL AS item_not_stored,
    abs(als_predict('explicit', 102, 33, fresh => true) - run.mean_rating - u[4] - i[4] - dot(u[1:3], i[1:3])) < 1e-5 AS by_features
FROM newest('explicit') run, solved('explicit', 'user', 102) u, LATERAL (SELECT f AS i FROM rows_of('explicit', 'item') WHERE id = 33) r;

-- refreshed, an item is what it is solved to be; without ratings what its features say
SELECT model, i, als_refresh_item(model::regclass, i) AS known, distance((SELECT f FROM rows_of(model, 'item') WHERE id = i), solved(model, 'item', i)) < 1e-5 AS solved
FROM (VALUES ('implicit'), ('explicit')) m (model), generate_series(201, 204) i ORDER BY 1, 2;
SELECT count(*) FROM als_audience('implicit', 202, 100);
DELETE FROM item_features WHERE id = 202;
SELECT als_refresh_item('implicit', 202) AS known;
SELECT count(*) FROM implicit_items WHERE item_id = 202;
SELECT als_refresh_user('implicit', 101) AND als_refresh_user('explicit', 101) AND als_refresh_user('explicit', 102) AS known;

-- many at once as one after the other, and whoever asks for fresh answers
CREATE TEMP TABLE one_by_one AS SELECT 'user' AS side, * FROM rows_of('explicit', 'user') WHERE id IN (101, 102) UNION ALL SELECT 'item', * FROM rows_of('explicit', 'item') WHERE id IN (201, 202);
DELETE FROM explicit_users WHERE user_id IN (101, 102);
SELECT als_refresh('explicit', users => ARRAY[101, 102, 104], items => ARRAY[201, 203]);
SELECT bool_and(distance(f, o.f) < 1e-6) AS same, count(*) FROM one_by_one o
JOIN (SELECT 'user' AS side, * FROM rows_of('explicit', 'user') UNION ALL SELECT 'item', * FROM rows_of('explicit', 'item')) r USING (side, id, f);
SELECT abs(als_predict('explicit', 102, 33, fresh => true) - als_predict('explicit', 102, 33)) < 1e-6 AS same;

-- ratings and features make a score, of a user and of an item
CREATE FUNCTION explained(model regclass, u int, i int, OUT of_user boolean, OUT of_item boolean) LANGUAGE sql AS $$
    SELECT abs((SELECT sum(contribution) FROM als_explain(model, u, i, NULL)) + (SELECT sum(contribution) FROM als_explain_features(model, u, i) WHERE side = 'user')
               + coalesce((SELECT mean_rating + f[4] FROM newest(model::text) r, rows_of(model::text, 'item') t WHERE id = i AND r.feedback = 'explicit'), 0)
               - als_predict(model, u, i)) < 1e-5,
           abs((SELECT sum(contribution) FROM als_explain_features(model, u, 33) WHERE side = 'item')
               + coalesce((SELECT mean_rating + f[4] FROM newest(model::text) r, rows_of(model::text, 'user') t WHERE id = u AND r.feedback = 'explicit'), 0)
               - als_predict(model, u, 33)) < 1e-5
$$;
SELECT model, e.* FROM (VALUES ('implicit'), ('explicit')) m (model), explained(model::regclass, 101, 12) e;
SELECT side, feature FROM als_explain_features('implicit', 101, 33) ORDER BY side, feature COLLATE "C";
SELECT count(*) FROM als_explain_features('implicit', 104, 17);
SELECT count(*) FROM als_explain_features('implicit', NULL::int, 17);

-- what a feature does on average, and how much that differs
CREATE FUNCTION right_effects(model text, side text) RETURNS boolean LANGUAGE sql AS $$
    WITH added AS (SELECT feature, dot(b.f[1:3], r.f[1:3]) + coalesce(b.f[4], 0) AS score
                   FROM features_of(model, side) b, rows_of(model, CASE side WHEN 'user' THEN 'item' ELSE 'user' END) r)
    SELECT count(*) > 0 AND max(abs(effect - mean)) < 1e-6 AND max(abs(spread - deviation)) < 1e-6
    FROM als_feature_effects(model::regclass, side) FULL JOIN (SELECT feature, avg(score) AS mean, stddev_pop(score) AS deviation FROM added GROUP BY 1) a USING (feature)
$$;
SELECT model, side, right_effects(model, side) FROM (VALUES ('implicit'), ('explicit')) m (model), (VALUES ('user'), ('item')) s (side) ORDER BY 1, 2;
SELECT * FROM try($$SELECT als_feature_effects('implicit', 'items')$$);
SELECT * FROM try($$SELECT als_feature_effects('implicit', NULL)$$);

-- a model without features, or of one side
SELECT new_users, new_items FROM als_train('plain', 'ratings', factors => 2);
SELECT count(*) FROM als_feature_effects('plain', 'item');
SELECT count(*) FROM als_explain_features('plain', 101, 4);
SELECT * FROM try($$SELECT als_recommend_for('plain', '{4}', features => '{"1": 1}')$$);
SELECT new_users, new_items FROM als_train('plain', 'ratings', factors => 2, item_features => 'item_features');
SELECT count(*) FROM als_feature_effects('plain', 'user');
SELECT DISTINCT side FROM als_explain_features('plain', 3, 4);
SELECT * FROM try($$SELECT als_recommend_for('plain', '{4}', features => '{"1": 1}')$$);

-- wrong features of a visitor
SELECT what, t.* FROM (VALUES ('[]'), ('1'), ('["1"]'), ('{"1": "x"}'), ('{"1": null}'), ('{"1": {}}'), ('{"1": 1e300}'), ('{"1": 1e-300}'), ('{"1": 1e400}')) w (what),
    try(format('SELECT als_recommend_for(%L, %L, features => %L)', 'implicit', '{4}', what)) t;

-- features that no training would take
CREATE FUNCTION live(statement text) RETURNS TABLE (code text, message text, detail text, hint text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN QUERY SELECT * FROM try('SELECT als_recommend(''implicit'', 102)');
    RAISE EXCEPTION USING ERRCODE = 'UUUUU';
EXCEPTION WHEN SQLSTATE 'UUUUU' THEN
    RETURN;
END $$;
SELECT what, t.* FROM (VALUES ('INSERT INTO user_features VALUES (102, 2, 3)'), ('UPDATE user_features SET value = NULL WHERE id = 102'), ('UPDATE user_features SET value = ''NaN'' WHERE id = 102'),
    ('ALTER TABLE user_features ADD other int'), ('DROP TABLE user_features'), ('ALTER TABLE user_features RENAME TO moved'),
    ('ALTER TABLE implicit_features DROP bias'), ('ALTER TABLE implicit_features DROP CONSTRAINT implicit_features_pkey'), ('ALTER TABLE implicit_features ENABLE ROW LEVEL SECURITY'),
    ('UPDATE implicit_features SET factors = ''{1,2}'''), ('UPDATE implicit_features SET factors = ''{1,2,NaN}'''), ('UPDATE implicit_features SET factors = array_fill(3e38::real, ARRAY[3])'), ('DELETE FROM implicit_features'),
    ('UPDATE implicit SET feature_factors = 0'), ('UPDATE implicit SET feature_factors = ''ratings'''), ('UPDATE implicit SET user_features = ''SELECT'''), ('UPDATE implicit SET user_features = ''SELECT 1 AS x, 2 AS y, 3 AS z, 4 AS w''')) w (what), live(what) t;

-- with the privileges of the caller, for whom the model is enough of the model
CREATE ROLE live_reader;
GRANT USAGE ON SCHEMA features_live TO live_reader;
GRANT SELECT ON implicit, ratings TO live_reader;
SET ROLE live_reader;
SELECT * FROM try($$SELECT als_recommend('features_live.implicit', 102)$$);
SELECT count(*) FROM als_recommend_for('implicit', NULL, features => '{"2": 1}');
SELECT count(*) > 0 AS effects FROM als_feature_effects('implicit', 'item');
RESET ROLE;
GRANT SELECT ON user_features TO live_reader;
SET ROLE live_reader;
SELECT count(*) FROM als_recommend('implicit', 102);
RESET ROLE;

-- ids that are none of the model's, and would be by a cast, are nobody's features
CREATE TABLE other_ids AS SELECT id::text, feature FROM user_features;
SELECT new_users FROM als_train('other_ids_als', 'ratings', factors => 3, user_features => 'SELECT id, feature FROM other_ids');
INSERT INTO other_ids VALUES ('guest', '1'), (NULL, '1');
SELECT als_refresh_user('other_ids_als', 1), count(*) > 0 AS recommended FROM als_recommend('other_ids_als', 102, fresh => true);
ALTER TABLE other_ids ALTER id TYPE numeric USING CASE WHEN id = 'guest' THEN 101.6 ELSE id::numeric END;
SELECT als_refresh_user('other_ids_als', 102);

-- ids of another type than the ratings', and a function that trains meanwhile
SELECT new_users FROM als_train('texts', 'ratings', factors => 3, user_features => 'SELECT id::text, feature FROM user_features');
SELECT count(*) FROM als_recommend('texts', 102);
CREATE TABLE meddling (times int);
CREATE FUNCTION meddle() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM meddling) = 1 THEN
        DELETE FROM meddling;
        PERFORM als_train('meddled', 'ratings', factors => 2, user_features => 'SELECT id, feature, meddle() FROM user_features');
    END IF;
    RETURN 1;
END $$;
SELECT new_users FROM als_train('meddled', 'ratings', factors => 3, user_features => 'SELECT id, feature, meddle() FROM user_features');
INSERT INTO user_features VALUES (106, 2, 1);
INSERT INTO meddling VALUES (1);
SELECT count(*) FROM als_recommend('meddled', 106);
SELECT run, factors FROM meddled;
DROP SCHEMA features_live CASCADE;
DROP ROLE live_reader;
