-- Features of users and items: the objective, what solves it, rows without ratings,
-- and what cannot be read.
SET client_min_messages = warning;
SET jit = off;  -- what it would compile runs once
\set SHOW_CONTEXT never
CREATE SCHEMA features;
SET search_path = features, public;
\i test/include/algebra.sql
\i test/include/errors.sql

\i test/include/features.sql
CREATE FUNCTION ridge(run als_model, side text) RETURNS float8 LANGUAGE sql AS
    'SELECT run.feature_regularization * avg(w) FROM scaled(run, side)';

CREATE FUNCTION objective(model text, run als_model) RETURNS float8 LANGUAGE sql AS $$
    WITH users AS (SELECT * FROM rows_of(model, 'user') JOIN scaled(run, 'user') USING (id) JOIN priors_of(model, 'user') USING (id)),
         items AS (SELECT * FROM rows_of(model, 'item') JOIN scaled(run, 'item') USING (id) JOIN priors_of(model, 'item') USING (id)),
         priors AS (SELECT sum((SELECT sum(w * (x - y) ^ 2 + (s - w) * x ^ 2) FROM unnest(f, p) AS d (x, y))) AS penalty
                    FROM (SELECT * FROM users UNION ALL SELECT * FROM items) r)
    SELECT sum(CASE run.feedback WHEN 'explicit' THEN
                   (rating - run.mean_rating - u.f[run.factors + 1] - i.f[run.factors + 1] - dot(u.f[1:run.factors], i.f[1:run.factors])) ^ 2
               ELSE (1 + run.alpha * abs(coalesce(rating, 0))) * ((coalesce(rating, 0) > 0)::int - dot(u.f, i.f)) ^ 2 END)
         + run.regularization * ((SELECT penalty FROM priors)
             + ridge(run, 'user') * coalesce((SELECT sum(dot(f, f)) FROM features_of(model, 'user')), 0)
             + ridge(run, 'item') * coalesce((SELECT sum(dot(f, f)) FROM features_of(model, 'item')), 0))
    FROM users u CROSS JOIN items i LEFT JOIN ratings r ON user_id = u.id AND item_id = i.id
    WHERE run.feedback = 'implicit' OR rating IS NOT NULL
$$;

-- How far the factors of features are from the ridge regression of the rows': the
-- gradient, sum of w (y - B g) g - ridge B, beside the largest sum of w y g
CREATE FUNCTION gradient(model text, run als_model, side text) RETURNS float8 LANGUAGE sql AS $$
    WITH given AS (SELECT id, feature::text, value FROM item_features WHERE side = 'item'
                   UNION ALL SELECT id, feature::text, value FROM user_features WHERE side = 'user'),
         sums AS (SELECT feature, n, sum(w * value * (r.f[n] - p[n])) AS away, sum(w * value * r.f[n]) AS total
                  FROM rows_of(model, side) r JOIN scaled(run, side) USING (id) JOIN priors_of(model, side) USING (id)
                  JOIN given USING (id) CROSS JOIN generate_series(1, cardinality(r.f)) n GROUP BY feature, n)
    SELECT max(abs(coalesce(away, 0) - ridge(run, side) * f.f[n])) / max(abs(total))
    FROM features_of(model, side) f JOIN sums USING (feature)
$$;

-- An iteration may raise the loss where items move on along their last change: with cg and implicit feedback
CREATE FUNCTION check_model(model text, run als_model, OUT feedback text, OUT solver text, OUT new_users int8, OUT new_items int8,
    OUT right_loss boolean, OUT falls boolean, OUT user_features boolean, OUT item_features boolean, OUT right_new boolean) LANGUAGE sql AS $$
    SELECT run.feedback, run.solver, run.new_users, run.new_items, abs(run.loss / objective(model, run) - 1) < 1e-6,
           (SELECT run.loss < run.losses[1] AND bool_and(later <= earlier * (1 + 1e-7) OR (run.feedback, run.solver) = ('implicit', 'cg')) FROM unnest(run.losses, run.losses[2:]) l (earlier, later) WHERE later IS NOT NULL),
           gradient(model, run, 'user') < 1e-5, gradient(model, run, 'item') < 1e-5,
           (SELECT count(*) = run.new_items + run.new_users AND max(distance(f, p)) < 1e-6
            FROM (SELECT * FROM rows_of(model, 'item') JOIN priors_of(model, 'item') USING (id) WHERE id > 30
                  UNION ALL SELECT * FROM rows_of(model, 'user') JOIN priors_of(model, 'user') USING (id) WHERE id > 40) r)
$$;
SELECT c.* FROM als_train('implicit', 'ratings', factors => 3, iterations => 8, item_features => 'item_features',
                          user_features => 'user_features') r, check_model('implicit', r) c;
SELECT c.* FROM als_train('implicit', 'ratings', factors => 3, iterations => 8, solver => 'cholesky', item_features => 'item_features',
                          user_features => 'SELECT * FROM user_features', feature_regularization => 0.5) r, check_model('implicit', r) c;
SELECT c.* FROM als_train('implicit', 'ratings', factors => 3, iterations => 8, solver => 'cholesky', regularization => 5, alpha => 2, regularization_scaling => 0,
                          item_features => 'item_features', user_features => 'user_features') r, check_model('implicit', r) c;
SELECT c.* FROM als_train('implicit', 'ratings', factors => 3, iterations => 8, solver => 'cholesky', regularization => 0.5, regularization_scaling => 1, regularization_by => 'ratings',
                          item_features => 'item_features', user_features => 'user_features') r, check_model('implicit', r) c;
SELECT c.* FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 3, iterations => 8, solver => 'cholesky',
                          item_features => 'item_features', user_features => 'user_features') r, check_model('explicit', r) c;
SELECT c.* FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 17, iterations => 3,
                          item_features => 'item_features', user_features => 'user_features') r, check_model('explicit', r) c;
SELECT c.* FROM als_train('explicit', 'ratings', feedback => 'explicit', biases => false, factors => 3, iterations => 8, solver => 'cholesky',
                          item_features => 'item_features', user_features => 'user_features') r, check_model('explicit', r) c;
SELECT max(abs(bias)) FROM explicit_features;

-- users and then items of one more iteration, as one row after the other says
CREATE FUNCTION next_iteration(model text, kind text, nu float8, OUT users float8, OUT items float8) LANGUAGE plpgsql AS $$
DECLARE
    run als_model;
BEGIN
    run := als_train(model, 'ratings', feedback => kind, factors => 3, iterations => 2, solver => 'cholesky', regularization => 0.3, regularization_scaling => nu,
                     alpha => 2, item_features => 'item_features', user_features => 'user_features');
    CREATE TEMP TABLE user_priors AS SELECT * FROM priors_of(model, 'user') WHERE id <= 40;
    CREATE TEMP TABLE item_priors AS SELECT * FROM priors_of(model, 'item') WHERE id <= 30;
    DELETE FROM others;
    INSERT INTO others SELECT * FROM rows_of(model, 'item') WHERE id <= 30;
    run := als_train(model, 'ratings', feedback => kind, factors => 3, iterations => 1, solver => 'cholesky', regularization => 0.3, regularization_scaling => nu,
                     alpha => 2, item_features => 'item_features', user_features => 'user_features', warm_start => true);
    SELECT max(distance(f, row_of(run, 'user', id, p, s, w))) INTO users FROM rows_of(model, 'user') JOIN user_priors USING (id) JOIN scaled(run, 'user') USING (id);
    DELETE FROM others;
    INSERT INTO others SELECT * FROM rows_of(model, 'user') WHERE id <= 40;
    SELECT max(distance(f, row_of(run, 'item', id, p, s, w))) INTO items FROM rows_of(model, 'item') JOIN item_priors USING (id) JOIN scaled(run, 'item') USING (id);
    DROP TABLE user_priors, item_priors;
END $$;
SELECT kind, nu, users < 1e-4 AS users, items < 1e-4 AS items
FROM (VALUES ('implicit', 1), ('implicit', 0), ('explicit', 1), ('explicit', 0)) k (kind, nu), LATERAL next_iteration(kind, kind, nu) n;

-- many features, more than items: without a matrix
CREATE TABLE few_features AS SELECT * FROM item_features;
INSERT INTO item_features SELECT i, 'tag ' || (i * 40 + n) % 733, 1 FROM generate_series(1, 35) i, generate_series(1, 40) n GROUP BY 1, 2;
SELECT count(DISTINCT feature) > 512 AS many FROM item_features;
SELECT c.* FROM als_train('implicit', 'ratings', factors => 3, iterations => 8, solver => 'cholesky', item_features => 'item_features',
                          user_features => 'user_features') r, check_model('implicit', r) c;
TRUNCATE item_features;
-- and more than a statement inserts
INSERT INTO item_features SELECT i, n::text, 1 FROM generate_series(1, 30) i, generate_series(i, 12000, 30) n;
SELECT c.right_loss, c.item_features FROM als_train('implicit', 'ratings', factors => 3, iterations => 2, solver => 'cholesky', item_features => 'item_features') r, check_model('implicit', r) c;
SELECT count(*) FROM implicit_features WHERE side = 'item';
TRUNCATE item_features;
INSERT INTO item_features SELECT * FROM few_features;

-- collinear ones share what there is
SELECT max(distance(a.f, b.f)) < 1e-6 AS alike, min(dot(a.f, a.f)) > 0.001 AS large FROM features_of('explicit', 'item') a
JOIN features_of('explicit', 'item') b ON b.feature = replace(a.feature, 'kind', 'copy') WHERE a.feature ~ 'kind';
-- ids that the ratings do not have are new ones, all of them if need be
SELECT items, new_items FROM als_train('unknown', 'ratings', factors => 2, item_features => 'SELECT id + 1000, feature, value FROM few_features');

-- one side alone, in the model's row; what is new is served as what is not
SELECT users, items, new_users, new_items, feature_regularization, user_features, item_features, feature_factors FROM als_train('one', 'ratings', factors => 3, item_features => 'item_features');
SELECT side, feature, cardinality(factors), bias IS NULL AS unbiased FROM one_features ORDER BY feature COLLATE "C";
SELECT count(*) FROM one_items;
SELECT count(*) FILTER (WHERE item_id > 30) AS new, count(*) FROM als_recommend('one', 1, 100, exclude_seen => false);
SELECT item_id FROM als_similar_items('one', 33, 100) WHERE item_id > 30 ORDER BY 1;
-- tastes are of a kind, and so are the new items
SELECT item_id % 3 AS kind FROM als_recommend('one', 2, 1, candidates => ARRAY[31, 32, 33]);
-- and those without a feature are drawn to 0, as ever
SELECT als_predict('one', 1, 17) IS NOT NULL AS known;

-- the features of before go with the next run, and the table with the model
SELECT new_items, item_features, feature_factors FROM als_train('one', 'ratings', factors => 3);
SELECT count(*) FROM one_features;
SELECT feature_factors FROM als_train('one', 'ratings', factors => 2, item_features => 'item_features');
SELECT DISTINCT run FROM one_features;
SELECT code, message FROM try('DROP TABLE one_features');
ALTER TABLE one RENAME TO other;
SELECT feature_factors FROM als_train('other', 'ratings', factors => 2, item_features => 'item_features');
DELETE FROM other;
SELECT feature_factors FROM als_train('other', 'ratings', factors => 2, item_features => 'item_features');
DROP TABLE other;
SELECT to_regclass('one_features');

-- runs that are kept keep their features, and bring them along when they are deployed
SELECT feature_factors FROM als_train('kept', 'ratings', factors => 2, item_features => 'item_features', keep => 3);
SELECT feature_factors FROM als_train('kept', 'ratings', factors => 2);
SELECT feature_factors FROM als_train('kept', 'ratings', factors => 2, user_features => 'user_features');
SELECT run, side, count(*) FROM kept_features GROUP BY 1, 2 ORDER BY 1;
SELECT als_deploy('kept', 1);
SELECT feature_factors FROM als_train('kept', 'ratings', factors => 2, user_features => 'user_features');
SELECT run, side, count(*) FROM kept_features GROUP BY 1, 2 ORDER BY 1;
SELECT feature_factors FROM als_train('kept', 'ratings', factors => 2, keep => 1);
SELECT count(*) FROM kept_features;

-- those of a run that does not serve and is not kept are not, and an import's takes the place of others
SELECT serving FROM als_train('unkept', 'ratings', feedback => 'explicit', factors => 2, item_features => 'item_features', validation => 'ratings');
SELECT serving, user_factors FROM als_train('unkept', 'ratings', feedback => 'explicit', factors => 2, item_features => 'item_features', validation => 'ratings', regularization => 1e6, deploy => 'if_better');
SELECT DISTINCT run FROM unkept_features;
SELECT run FROM als_import('unkept', 'SELECT user_id, factors, bias FROM unkept_users', 'SELECT item_id, factors, bias FROM unkept_items', feedback => 'explicit');
SELECT count(*) FROM unkept_features;

-- whatever table a row names: that of another model, a copy, one with more columns
CREATE TABLE a_copy AS TABLE kept_features;
SELECT feature_factors FROM als_train('other', 'ratings', factors => 2, item_features => 'item_features');
CREATE TABLE rows_of_other AS TABLE other_features;
INSERT INTO a_copy TABLE other_features;
CREATE TABLE wider (LIKE other_features INCLUDING ALL, more text);
INSERT INTO wider TABLE other_features;
CREATE TRIGGER als_changed AFTER INSERT ON wider FOR EACH STATEMENT EXECUTE FUNCTION als_changed();
SELECT feature_factors FROM als_train('forged', 'ratings', factors => 2, item_features => 'item_features');
CREATE FUNCTION retrained(named oid) RETURNS regclass LANGUAGE plpgsql AS $$
BEGIN
    UPDATE forged SET feature_factors = named WHERE serving;
    RETURN (als_train('forged', 'ratings', factors => 2, item_features => 'item_features')).feature_factors;
END $$;
SELECT named, retrained(named) FROM unnest('{other_features, a_copy, wider, ratings, forged_users, forged_features, 0}'::regclass[]) named;
UPDATE forged SET feature_factors = 'other_features' WHERE serving;
SELECT feature_factors FROM als_train('forged', 'ratings', factors => 2);
SELECT count(*) FROM forged_features;
DROP TABLE forged;
SELECT to_regclass('forged_features'), (SELECT count(*) FROM a_copy) AS copied, (SELECT count(*) FROM wider) AS wider,
       (SELECT count(*) FROM (TABLE rows_of_other EXCEPT TABLE other_features) d) AS lost;
SELECT feature_factors FROM als_train('other', 'ratings', factors => 2, item_features => 'item_features');

-- what has a say in its rows is refused before the training, which would fail; or once a row is missing
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE FUNCTION with_ddl(ddl text, source text, model text = 'other') RETURNS TABLE (code text, message text, detail text, hint text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE ddl;
    RETURN QUERY SELECT * FROM try(format('SELECT als_train(%L, ''ratings'', factors => 2, feature_regularization => 1e-6, item_features => %L)', model, source));
    RAISE division_by_zero;
EXCEPTION WHEN division_by_zero THEN
END $$;
CREATE VIEW singular AS SELECT id, 'copy ' || n AS feature, 1e7 + id AS value FROM item_features, generate_series(1, 2) n GROUP BY 1, 2, 3;
SELECT code, message FROM with_ddl('', 'singular');
CREATE TABLE known_sides (side text PRIMARY KEY);
SELECT * FROM with_ddl('ALTER TABLE other_features ENABLE ROW LEVEL SECURITY', 'singular');
SELECT * FROM with_ddl('CREATE RULE r AS ON DELETE TO other_features DO INSTEAD NOTHING', 'singular');
SELECT * FROM with_ddl('ALTER TABLE other_features ADD CONSTRAINT never CHECK (side <> ''item'') NOT VALID', 'singular');
SELECT * FROM with_ddl('ALTER TABLE other_features ADD CONSTRAINT known FOREIGN KEY (side) REFERENCES known_sides NOT VALID', 'singular');
SELECT * FROM with_ddl('CREATE TABLE told (run int, side text, feature text, CONSTRAINT telling FOREIGN KEY (run, side, feature) REFERENCES other_features)', 'singular');
SELECT * FROM with_ddl('CREATE UNIQUE INDEX one_each ON other_features (feature)', 'singular');
SELECT * FROM with_ddl('ALTER TABLE other_features ADD CONSTRAINT apart EXCLUDE (feature WITH =)', 'singular');
SELECT * FROM with_ddl('ALTER TABLE other_features ADD more int', 'singular');
SELECT * FROM with_ddl('DROP TABLE IF EXISTS forged_features; CREATE TABLE forged_features (a int)', 'singular', 'forged');
SELECT code, message FROM with_ddl('', 'singular', repeat('m', 56));
SELECT * FROM with_ddl('CREATE TRIGGER t BEFORE INSERT ON other_features FOR EACH ROW EXECUTE FUNCTION nothing()', 'item_features');

-- ids of other types, a domain, features of any type, a third column that is an integer
CREATE DOMAIN known AS bigint;
SELECT new_items FROM als_train('typed', 'ratings', factors => 2, item_features => 'SELECT id::known, (id % 3 = 0), 1 FROM item_features GROUP BY id');
SELECT new_items FROM als_train('typed', 'ratings', factors => 2, item_features => 'SELECT id::text, (id % 3)::numeric FROM item_features GROUP BY id');
SELECT feature FROM typed_features ORDER BY 1;
SELECT new_items FROM als_train('nulls', 'SELECT user_id, ''i'' || item_id AS item_id, rating FROM ratings', factors => 2, item_features => 'SELECT id::text, NULL::text FROM item_features UNION ALL VALUES (''i99'', ''x'')');
SELECT new_items FROM als_train('texts', 'SELECT user_id, ''i'' || item_id AS item_id, rating FROM ratings', factors => 2, item_features => 'SELECT ''i'' || id, feature FROM item_features');
SELECT item_id FROM texts_items WHERE item_id ~ 'i3[1-9]' ORDER BY 1;

-- tuned: the grid has feature_regularization, the search takes it
SELECT parameters, rank = rank() OVER (ORDER BY metric DESC) AS by_metric, error FROM als_tune('tuned', 'ratings', '{"factors": 3, "feature_regularization": [0.1, 1000], "iterations": 2}', item_features => 'item_features') ORDER BY parameters;
SELECT new_items, feature_regularization IN (0.1, 1000) AS tried, feature_factors FROM tuned;
SELECT count(*) > 0 AS searched FROM als_tune('tuned', 'ratings', trials => 3, refit => true, item_features => 'item_features', user_features => 'user_features');
SELECT new_users, new_items, feature_regularization FROM tuned ORDER BY run DESC LIMIT 1;
-- validated, the best of its iterations
SELECT r.best_iteration < 20 AS before_last, c.right_new FROM als_train('validated', 'ratings', factors => 3, iterations => 20, validation_fraction => 0.2, item_features => 'item_features',
    user_features => 'user_features') r, check_model('validated', r) c;

-- what cannot be read
CREATE TABLE wide AS SELECT 1 AS item_id, 'a' AS feature, 1 AS value, 2 AS other;
CREATE VIEW dated AS SELECT 1 AS item_id, current_date AS feature;
SELECT what, t.* FROM (VALUES
    ('nobody'), ('SELECT 1'), ('wide'), ('SELECT 1, ''a'', ''x''::text'), ('SELECT ''x''::text, ''a'''), ('SELECT 1.5, ''a'''), ('SELECT point(1, 2), ''a'''), ('SELECT gen_random_uuid(), ''a'''),
    ('SELECT 1, ''a'', 1::money'), ('SELECT 1, ARRAY[''a'', ''b'']'), ('SELECT 1, ''a'', ''infinity''::numeric'), ('SELECT NULL, NULL'),
    ('SELECT NULL::int, ''a'''), ('SELECT 1, ''a'', NULL::real'), ('SELECT 1, ''a'', ''NaN''::real'), ('SELECT 99, ''a'', ''infinity''::float8'), ('SELECT 99, ''a'', 1e300::float8'),
    ('SELECT 1, ''a'' FROM generate_series(1, 2)'), ('SELECT 99, n % 2 FROM generate_series(1, 3) n'), ('SELECT 1, ''a'' WHERE false'), ('SELECT 1, NULL::text'), ('dated'),
    ('SELECT 1, repeat(''a'', 1025)'), ('DELETE FROM ratings'), ('SELECT 1, ''a'' FROM ratings FOR UPDATE')) w (what),
    try(format('SELECT als_train(%L, %L, factors => 2, item_features => %L)', 'bad', 'ratings', what)) t;
SELECT * FROM try($$SELECT als_train('bad', 'ratings', user_features => 'SELECT 1, ''a'' FROM generate_series(1, 2)')$$);
SELECT * FROM try($$SELECT als_train('bad', 'ratings', item_features => 'SELECT item_id, ''a'', 0.001 FROM ratings GROUP BY 1 UNION ALL SELECT 999, ''a'', 3e38')$$);
SELECT * FROM try($$SELECT als_train('bad', 'ratings', item_features => 'item_features', nonnegative => true)$$);
SELECT * FROM try($$SELECT als_train('bad', 'ratings', user_features => 'user_features', regularization => 0)$$);
SELECT * FROM try($$SELECT als_train('bad', 'ratings', feature_regularization => 1)$$);
SELECT * FROM try($$SELECT als_train('bad', 'ratings', item_features => 'item_features', feature_regularization => 0)$$);
SELECT * FROM try($$SELECT als_tune('bad', 'ratings', '{"feature_regularization": [1, 2]}')$$);
SELECT * FROM try($$SELECT als_tune('bad', 'ratings', '{"feature_regularization": {"from": 1, "to": 2}}', item_features => 'item_features')$$);
SELECT * FROM try($$SELECT als_train('bad', 'ratings', item_features => 'SELECT id, ''copy '' || n, 1e7 + id FROM item_features, generate_series(1, 2) n GROUP BY 1, 2, 3', feature_regularization => 1e-6)$$);
SELECT * FROM try(format('SELECT als_train(%L, %L, item_features => %L)', repeat('m', 56), 'ratings', 'item_features'));
CREATE TABLE taken_features (a int);
SELECT * FROM try($$SELECT als_train('taken', 'ratings', item_features => 'item_features')$$);
SELECT * FROM try($$SELECT als_train_agg('bad', user_id, item_id, rating, '{"item_features": "item_features"}') FROM ratings$$);
CREATE FUNCTION meddle() RETURNS text LANGUAGE plpgsql AS $$ BEGIN DROP TABLE implicit; RETURN 'a'; END $$;
SELECT * FROM try($$SELECT als_train('implicit', 'ratings', item_features => 'SELECT 1, meddle()')$$);

-- how far they spread scores of others, where a row with its bias is longer than its factors
SELECT new_items FROM als_train('spreads', 'ratings', feedback => 'explicit', factors => 16, item_features => 'item_features');
SELECT count(*) > 0 AS some, max(abs(e.spread / s.spread - 1)) < 1e-4 AS right_spread
FROM als_feature_effects('spreads', 'item') e JOIN
     (SELECT f.feature, stddev_pop(dot(f.f[1:16], u.f[1:16])) AS spread FROM features_of('spreads', 'item') f, rows_of('spreads', 'user') u GROUP BY 1) s USING (feature);

-- the present parameters are not tried if they know no features
SELECT nonnegative FROM als_train('present', 'ratings', factors => 3, nonnegative => true);
SELECT count(*) FROM als_tune('present', 'ratings', '{"iterations": 2, "regularization": {"from": 1e6, "to": 1e7}}', trials => 2, item_features => 'few_features');
SELECT run, nonnegative FROM present;

-- their text tells them apart: not by settings
SELECT als_train('settings', 'ratings', factors => 2, item_features => 'SELECT id, feature::text::bytea FROM few_features');
SELECT als_train('settings', 'ratings', factors => 2, item_features => 'SELECT id, point(id, 1) FROM few_features');

-- from a temporary table: others could not read it, and the model does not know it
CREATE TEMP TABLE passing AS SELECT * FROM item_features;
SET client_min_messages = notice;
SELECT new_items, item_features FROM als_train('temporary', 'ratings', factors => 2, item_features => 'passing');
SET client_min_messages = warning;

-- with the privileges of the caller
CREATE ROLE features_reader;
GRANT USAGE, CREATE ON SCHEMA features TO features_reader;
GRANT SELECT ON ratings TO features_reader;
SET ROLE features_reader;
SELECT * FROM try($$SELECT als_train('mine', 'ratings', item_features => 'item_features')$$);
RESET ROLE;
GRANT SELECT ON item_features TO features_reader;
SET ROLE features_reader;
SELECT feature_factors FROM als_train('mine', 'ratings', factors => 2, item_features => 'item_features');
RESET ROLE;
SELECT tableowner FROM pg_tables WHERE tablename = 'mine_features';
DROP SCHEMA features CASCADE;
DROP ROLE features_reader;
