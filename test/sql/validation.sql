-- Validation: the metric after each iteration, the best iteration kept, and
-- stopping when it does not get better; against als_evaluate on trainings of
-- that many iterations.
SET client_min_messages = warning;
CREATE SCHEMA validation;
SET search_path = validation, public;
\set SHOW_CONTEXT never

\i test/include/held_out.sql
-- and with pairs that are trained too, unknown users and items, users without a relevant item
CREATE VIEW strange AS SELECT * FROM held_out WHERE user_id <> 3 UNION ALL SELECT * FROM training WHERE user_id IN (1, 2)
    UNION ALL SELECT 3, 3, -1 UNION ALL SELECT 100, 1, 1 UNION ALL SELECT 0, 100, 1 UNION ALL SELECT 100, 100, 1;

-- the newest row of a model
CREATE FUNCTION run_of(model text) RETURNS als_model LANGUAGE plpgsql AS $$
DECLARE
    result als_model;
BEGIN
    EXECUTE format('SELECT * FROM %I ORDER BY run DESC LIMIT 1', model) INTO result;
    RETURN result;
END $$;
\i test/include/models.sql
\i test/include/evaluation.sql
-- what als_evaluate says of a model that is there by then
CREATE FUNCTION evaluated(model text, test text, metric text DEFAULT 'ndcg', rating_column text DEFAULT 'rating')
RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
    RETURN to_jsonb(evaluation(model::regclass, test, rating_column => rating_column))->>metric;
END $$;
-- trainings of 1 to 8 iterations, what als_evaluate says of them
CREATE TABLE expected (kind text, test text, iterations int, measures jsonb, factors text, loss float8);
DO $$
DECLARE
    kind text;
    test text;
    n int;
BEGIN
    FOREACH kind IN ARRAY ARRAY['implicit', 'explicit'] LOOP
        FOR n IN 1..8 LOOP
            PERFORM als_train('plain_' || kind, 'training', feedback => kind, factors => 6, regularization => 0.05, iterations => n);
            FOREACH test IN ARRAY ARRAY['held_out', 'strange'] LOOP
                INSERT INTO expected SELECT kind, test, n, to_jsonb(e), factors_of('plain_' || kind), (run_of('plain_' || kind)).loss
                FROM evaluation('plain_' || kind, test, k => 5) e;
            END LOOP;
        END LOOP;
    END LOOP;
END $$;
SELECT kind, test, count(*) FROM expected GROUP BY kind, test ORDER BY kind, test;

-- Every metric, on what is set aside and on a relation or query: the curve is
-- what als_evaluate says, to the last bit, and the best factors are stored.
CREATE FUNCTION best(curve float8[], lower boolean) RETURNS int LANGUAGE sql AS $$
    SELECT n::int FROM unnest(curve) WITH ORDINALITY c(value, n) ORDER BY CASE WHEN lower THEN value ELSE -value END, n LIMIT 1
$$;
CREATE FUNCTION check_validation(kind text, test text, metric text, validation text, fraction float8)
RETURNS TABLE (curve boolean, best boolean, factors boolean, loss boolean) LANGUAGE plpgsql AS $$
DECLARE
    t als_model;
    wanted float8[];
    n int;
BEGIN
    t := als_train('validated_' || kind, CASE WHEN fraction IS NULL THEN 'training' ELSE 'ratings' END, feedback => kind, factors => 6,
                   regularization => 0.05, iterations => 8, validation => validation, validation_fraction => fraction,
                   validation_metric => metric, validation_k => 5);
    SELECT array_agg((e.measures->>metric)::float8 ORDER BY e.iterations) INTO wanted FROM expected e
    WHERE e.kind = check_validation.kind AND e.test = check_validation.test;
    n := best(wanted, metric IN ('rmse', 'mae'));
    RETURN QUERY SELECT t.validation_curve = wanted, t.best_iteration = n, factors_of('validated_' || check_validation.kind) = e.factors, t.loss = e.loss AND t.loss = t.losses[n]
    FROM expected e WHERE e.kind = check_validation.kind AND e.test = check_validation.test AND e.iterations = n;
END $$;
SELECT test, kind, count(*), bool_and(curve) AS curve, bool_and(best) AS best, bool_and(factors) AS factors, bool_and(loss) AS loss
FROM unnest(ARRAY['implicit', 'explicit']) kind,
     unnest(ARRAY['rmse', 'mae', 'precision', 'recall', 'recall_capped', 'map', 'ndcg', 'mrr', 'hit_rate', 'auc']) metric,
     (VALUES ('held_out', NULL, 0.2), ('held_out', 'held_out', NULL), ('strange', 'SELECT * FROM validation.strange -- all', NULL)) v(test, validation, fraction),
     check_validation(kind, test, metric, validation, fraction)
GROUP BY test, validation, kind ORDER BY test, validation NULLS FIRST, kind;

-- Patience: iterations are those up to the first that is so many behind the best.
CREATE FUNCTION length_with(curve float8[], patience int, lower boolean) RETURNS int LANGUAGE sql AS $$
    SELECT coalesce(min(n), array_length(curve, 1))::int FROM generate_series(1, array_length(curve, 1)) n
    WHERE n - best(curve[1:n], lower) >= patience
$$;
SELECT kind, p.patience, p.iterations, array_length(p.losses, 1) < 40 AS early, array_length(p.losses, 1) = array_length(p.validation_curve, 1) AS same_length,
       array_length(p.losses, 1) = length_with(f.validation_curve, p.patience, kind = 'explicit') AS as_it_should,
       p.validation_curve = f.validation_curve[1:array_length(p.losses, 1)] AS same_curve, p.best_iteration = best(p.validation_curve, kind = 'explicit') AS best
FROM unnest(ARRAY['implicit', 'explicit']) kind, LATERAL als_train('long_' || kind, 'ratings', feedback => kind, factors => 6, iterations => 40, validation_fraction => 0.2) f,
     unnest(ARRAY[1, 2, 5]) asked, LATERAL als_train('short_' || kind, 'ratings', feedback => kind, factors => 6, iterations => 40, validation_fraction => 0.2, patience => asked) p
ORDER BY kind, p.patience;
-- the loss may end it as well
SELECT array_length(losses, 1) < 40 AS early, best_iteration = best(validation_curve, false) AS best
FROM als_train('tolerant', 'ratings', factors => 6, iterations => 40, tolerance => 0.05, validation_fraction => 0.2);
-- the only iteration is the best
SELECT best_iteration, array_length(losses, 1) AS iterations FROM als_train('one', 'ratings', factors => 6, iterations => 1, validation_fraction => 0.2);

-- The row of the model says what was validated on, and with what.
SELECT source, validation, validation_fraction, validation_seed, validation_metric, validation_k, patience, validation_curve IS NOT NULL AS curve
FROM als_train('row', 'ratings', factors => 3, iterations => 3, validation_fraction => 0.2, seed => 7, patience => 2);
SELECT source, validation, validation_fraction, validation_seed, validation_metric, validation_k, patience
FROM als_train('row', 'ratings', factors => 3, iterations => 3, validation => ' SELECT * FROM validation.held_out; ', validation_metric => 'auc', validation_k => 3);
SELECT validation, validation_fraction, validation_seed, validation_metric, validation_k, patience, validation_curve, best_iteration
FROM als_train('row', 'ratings', factors => 3, iterations => 3);
SELECT validation_metric FROM als_train('explicit_row', 'training', feedback => 'explicit', factors => 3, iterations => 3, validation => 'held_out');
-- another seed sets other ratings aside: those of als_holdout
SELECT t.ratings = (SELECT count(DISTINCT (user_id, item_id)) FROM ratings WHERE NOT als_holdout(user_id, item_id, 0.2, 7)) AS trained,
       t.validation_curve[t.best_iteration] = evaluated('seeded', 'SELECT * FROM ratings WHERE als_holdout(user_id, item_id, 0.2, 7)') AS evaluated
FROM als_train('seeded', 'ratings', factors => 3, iterations => 3, validation_fraction => 0.2, seed => 7) t;

-- other solvers, and a warm start
SELECT name, t.validation_curve[t.best_iteration] = evaluated(name, 'held_out') AS evaluated
FROM (VALUES ('cholesky', 'cholesky', false, 0), ('nonnegative', 'cg', true, 0), ('scaled', 'cg', false, 0.5)) s(name, solver, nonnegative, scaling),
     LATERAL als_train(name, 'ratings', factors => 4, iterations => 6, solver => s.solver, nonnegative => s.nonnegative, regularization_scaling => scaling,
                       regularization => 0.001, validation_fraction => 0.2) t;
SELECT t.warm_start, t.validation_curve[t.best_iteration] = evaluated('cholesky', 'held_out') AS evaluated
FROM als_train('cholesky', 'ratings', factors => 4, iterations => 6, warm_start => true, validation_fraction => 0.2) t;

-- ids of other types, and of other types on the two sides
CREATE VIEW text_ratings AS SELECT 'ü ' || user_id AS user_id, 'i' || lpad(item_id::text, 3, '0') COLLATE "C" AS item_id, rating FROM ratings;
CREATE VIEW uuid_ratings AS SELECT md5(user_id::text)::uuid AS user_id, ('00000000-0000-0000-0000-' || lpad(item_id::text, 12, '0'))::uuid AS item_id, rating FROM ratings;
SELECT source, t.validation_curve[t.best_iteration] = evaluated(model, format('SELECT * FROM %s WHERE als_holdout(user_id, item_id, 0.3, 42)', t.source)) AS evaluated
FROM (SELECT 'a_' || s AS model, s FROM unnest(ARRAY['text_ratings', 'uuid_ratings']) s) s, als_train(model, s, factors => 4, iterations => 4, validation_fraction => 0.3) t;
SELECT a.validation_curve = b.validation_curve AS same
FROM als_train('wide', 'training', factors => 4, iterations => 4, validation => 'SELECT user_id::bigint, item_id::text, rating FROM held_out') a,
     als_train('narrow', 'training', factors => 4, iterations => 4, validation => 'held_out') b;
-- every row counts 1
SELECT t.validation_curve[t.best_iteration] = evaluated('counted', 'held_out', rating_column => NULL) AS evaluated
FROM als_train('counted', 'ratings', rating_column => NULL, factors => 4, iterations => 4, validation_fraction => 0.2) t;
-- what is set aside counts as seen: a recommendation has none of it
SELECT count(*) FROM als_recommend('counted', 1, 50) r JOIN ratings ON user_id = 1 AND ratings.item_id = r.item_id;

-- bad input
\i test/include/errors.sql
CREATE VIEW floats AS SELECT user_id::float8, item_id, rating FROM ratings;
\x on
SELECT parameters, t.* FROM unnest(ARRAY['validation => $$held_out$$, validation_fraction => 0.1', 'validation => $$0.1$$', 'patience => 2', 'validation_metric => $$auc$$',
    'validation_fraction => -0.1', 'validation_fraction => 1.1', 'validation_fraction => $$nan$$', 'validation_fraction => 0', 'validation_fraction => 1',
    'validation_fraction => 0.1, validation_metric => $$loss$$', 'validation_fraction => 0.1, validation_metric => $$coverage$$',
    'validation_fraction => 0.1, validation_k => 0', 'validation_fraction => 0.1, validation_k => NULL', 'validation_fraction => 0.1, patience => 0',
    'validation => $$nowhere$$', 'validation => $$SELECT * FROM ratings WHERE false$$', 'validation => $$SELECT 1 AS user_id$$',
    'validation => $$SELECT 1 AS user_id, 1 AS item_id, NULL::int AS rating$$', 'validation => $$SELECT 1000 AS user_id, 1 AS item_id, 1 AS rating$$',
    'validation => $$SELECT 1 AS user_id, 1 AS item_id, -1 AS rating$$', 'validation => $$SELECT 1.5::float8 AS user_id, now() AS item_id, 1 AS rating$$']) parameters,
    try(format('SELECT als_train(%L, %L, %s)', 'bad', 'ratings', parameters)) t;
SELECT * FROM try($$SELECT als_train('bad', 'floats', validation_fraction => 0.1)$$);
SELECT * FROM try($$SELECT als_train('bad', 'SELECT * FROM ratings UNION ALL SELECT NULL, 1, 1', validation_fraction => 0.1)$$);
-- nothing is relevant, but errors can be measured
SELECT * FROM try($$SELECT als_train('bad', 'ratings', factors => 3, validation => 'SELECT 1 AS user_id, 1 AS item_id, -1 AS rating', validation_metric => 'mae')$$);
-- the aggregate does not validate
SELECT * FROM try($$SELECT als_train_agg('bad', user_id, item_id, rating, '{"validation_fraction": 0.1}') FROM ratings$$);
\x off
-- ratings that have been split with this seed have nothing more to set aside
SELECT message, hint FROM try($$SELECT als_train('bad', 'training', validation_fraction => 0.1)$$);
SELECT message FROM try($$SELECT als_train('split_twice', 'training', factors => 3, iterations => 2, validation_fraction => 0.1, seed => 1)$$);
-- a relation may be called like what is no number
CREATE VIEW nan AS SELECT * FROM held_out;
SELECT validation FROM als_train('of_nan', 'training', factors => 3, iterations => 1, validation => 'nan');
-- what is validated on is read as the user who trains
CREATE ROLE regress_als_validation;
GRANT USAGE, CREATE ON SCHEMA validation TO regress_als_validation;
GRANT SELECT ON training TO regress_als_validation;
SET ROLE regress_als_validation;
SELECT code, message FROM try($$SELECT als_train('his', 'training', validation => 'held_out')$$);
SELECT validation_metric FROM als_train('his', 'training', factors => 3, iterations => 2, validation_fraction => 0.2, seed => 1);
RESET ROLE;
DROP TABLE his;
REVOKE ALL ON SCHEMA validation FROM regress_als_validation;
REVOKE ALL ON training FROM regress_als_validation;
DROP ROLE regress_als_validation;
