-- The objective of Spark's MLlib: regularization_by 'ratings' and biases off.  Its
-- rule for a row is written down here, and iterated from the same start.
SET client_min_messages = warning;
SET jit = off;  -- what it would compile runs once
\set SHOW_CONTEXT never
CREATE SCHEMA mllib_objective;
SET search_path = mllib_objective, public;
\i test/include/algebra.sql
\i test/include/errors.sql

-- some ratings are zero or negative, and user 41 has no other
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, ((u * 31 + i * 17) % 11 - 2)::real / 2 AS rating
    FROM generate_series(1, 40) u, generate_series(1, 30) i
    WHERE (u * 7919 + i * 104729 + u * i * 13) % (3 + i % 7) = 0
    UNION ALL VALUES (41, 3, -1), (41, 5, 0);

-- A row of MLlib: implicit (Y'Y + sum alpha |r| y y' + lambda n I) x = sum of (1 +
-- alpha |r|) y over the n ratings above 0; explicit (sum y y' + lambda n I) x = sum r y.
CREATE TABLE factors (side text, id int, f float8[]);
CREATE FUNCTION mllib_row(kind text, solved text, id int, lambda float8, alpha float8, nu float8) RETURNS float8[]
LANGUAGE plpgsql AS $$
DECLARE
    a float8[] := array_fill(0::float8, ARRAY[4, 4]);
    b float8[] := array_fill(0::float8, ARRAY[4]);
    n float8 := 0;
    other record;
BEGIN
    FOR other IN
        SELECT o.f, r.rating FROM factors o LEFT JOIN ratings r
            ON r.user_id = CASE solved WHEN 'user' THEN mllib_row.id ELSE o.id END
            AND r.item_id = CASE solved WHEN 'item' THEN mllib_row.id ELSE o.id END
        WHERE o.side <> solved LOOP
        CONTINUE WHEN kind = 'explicit' AND other.rating IS NULL;
        n := n + CASE WHEN kind = 'explicit' OR other.rating > 0 THEN 1 ELSE 0 END;
        FOR i IN 1 .. 4 LOOP
            b[i] := b[i] + other.f[i] * CASE WHEN kind = 'explicit' THEN other.rating
                WHEN other.rating > 0 THEN 1 + alpha * other.rating ELSE 0 END;
            FOR j IN 1 .. 4 LOOP
                a[i][j] := a[i][j] + other.f[i] * other.f[j] *
                    CASE kind WHEN 'explicit' THEN 1 ELSE 1 + alpha * abs(coalesce(other.rating, 0)) END;
            END LOOP;
        END LOOP;
    END LOOP;
    FOR i IN 1 .. 4 LOOP
        a[i][i] := a[i][i] + lambda * n ^ nu;
    END LOOP;
    RETURN solve(a, b);
END $$;

-- the factors that als has stored
CREATE FUNCTION stored(model text, side text) RETURNS TABLE (id int, f float8[]) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT %1$s_id, factors::float8[] FROM %2$I', side, model || '_' || side || 's');
END $$;

-- what the factors are worth
CREATE FUNCTION objective(model text, kind text, lambda float8, alpha float8, nu float8) RETURNS float8 LANGUAGE sql AS $$
    SELECT sum(CASE WHEN kind = 'explicit' THEN coalesce((rating - dot(u.f, i.f)) ^ 2, 0)
               ELSE (1 + alpha * abs(coalesce(rating, 0))) * ((coalesce(rating, 0) > 0)::int - dot(u.f, i.f)) ^ 2 END)
         + lambda * (SELECT sum(n ^ nu * dot(f, f)) FROM
                (SELECT id, f, count(*) FILTER (WHERE kind = 'explicit' OR rating > 0) AS n
                 FROM stored(model, 'user') JOIN ratings ON user_id = id GROUP BY id, f
                 UNION ALL SELECT id, f, count(*) FILTER (WHERE kind = 'explicit' OR rating > 0)
                 FROM stored(model, 'item') JOIN ratings ON item_id = id GROUP BY id, f) s)
    FROM stored(model, 'user') u CROSS JOIN stored(model, 'item') i LEFT JOIN ratings ON user_id = u.id AND item_id = i.id
$$;

-- Both from the items of a first iteration, for two more (solve.sql has what a third is); then a user is folded in.
CREATE FUNCTION compare(kind text, solver text, nu float8, OUT largest_difference float8, OUT loss float8, OUT folded float8)
LANGUAGE plpgsql AS $$
DECLARE
    run als_model;
BEGIN
    PERFORM als_train('ours_' || kind, 'ratings', feedback => kind, biases => kind = 'implicit', factors => 4, alpha => 3, iterations => 1);
    DELETE FROM factors;
    INSERT INTO factors SELECT 'item', id, f FROM stored('ours_' || kind, 'item') UNION ALL SELECT 'user', id, NULL FROM stored('ours_' || kind, 'user');
    run := als_train('ours_' || kind, 'ratings', feedback => kind, biases => kind = 'implicit', factors => 4, alpha => 3, regularization => 0.1,
                     regularization_scaling => nu, regularization_by => 'ratings', solver => solver, cg_steps => 300,
                     iterations => 2, warm_start => true);
    FOR i IN 1 .. 2 LOOP
        UPDATE factors SET f = mllib_row(kind, 'user', id, 0.1, 3, nu) WHERE side = 'user';
        UPDATE factors SET f = mllib_row(kind, 'item', id, 0.1, 3, nu) WHERE side = 'item';
    END LOOP;
    SELECT max(abs(a - b)) INTO largest_difference
    FROM (SELECT 'user' AS side, * FROM stored('ours_' || kind, 'user') UNION ALL SELECT 'item', * FROM stored('ours_' || kind, 'item')) s
    JOIN factors t USING (side, id), unnest(s.f, t.f) v (a, b);
    loss := run.loss / objective('ours_' || kind, kind, 0.1, 3, nu) - 1;
    folded := distance((als_fold_in('ours_' || kind, (SELECT array_agg(item_id) FROM ratings WHERE user_id = 8),
                                    (SELECT array_agg(rating) FROM ratings WHERE user_id = 8)))[:4]::float8[],
                       mllib_row(kind, 'user', 8, 0.1, 3, nu));
END $$;
SELECT kind, solver, nu, largest_difference < 1e-4 AS factors, abs(loss) < 1e-5 AS loss, folded < 1e-4 AS folded_in
FROM unnest(ARRAY['implicit', 'explicit']) kind, unnest(ARRAY['cholesky', 'cg']) solver, unnest(ARRAY[0, 0.5, 1]) nu, compare(kind, solver, nu)
ORDER BY 1, 2, 3;
-- and it does tell right from wrong
SELECT abs(t.loss / objective('ours_implicit', 'implicit', 0.1, 3, 1) - 1) < 1e-5 AS same
FROM als_train('ours_implicit', 'ratings', factors => 4, alpha => 3, regularization => 0.1, regularization_scaling => 1) t;

-- what a model says of itself; 1 is the default scaling by ratings
SELECT run, regularization_scaling, regularization_by, biases, mean_rating
FROM als_train('implicit', 'ratings', factors => 4, alpha => 40, regularization => 0.1, regularization_by => 'ratings');
SELECT run, regularization_scaling, regularization_by, biases, mean_rating
FROM als_train('explicit', 'ratings', factors => 4, regularization => 0.1, feedback => 'explicit', biases => false);
SELECT count(*) FROM explicit_users WHERE bias <> 0;
SELECT max(abs(als_predict('explicit', user_id, item_id) - dot(u.factors, i.factors))) < 1e-5 AS inner_products
FROM explicit_users u, explicit_items i;

-- refreshed, a row is MLlib's against the items as they are
SELECT model, als_refresh_user(model, 8), als_refresh_user(model, 41) FROM unnest(ARRAY['implicit', 'explicit']) model;
SELECT count(*) FROM explicit_users WHERE bias <> 0;
DELETE FROM factors;
INSERT INTO factors SELECT 'item', id, f FROM stored('implicit', 'item');
SELECT id, distance(f, mllib_row('implicit', 'user', id, 0.1, 40, 1)) < 1e-5 AS refreshed FROM stored('implicit', 'user') WHERE id = 8;
SELECT f FROM stored('implicit', 'user') WHERE id = 41;
DELETE FROM factors;
INSERT INTO factors SELECT 'item', id, f FROM stored('explicit', 'item');
SELECT id, distance(f, mllib_row('explicit', 'user', id, 0.1, 40, 1)) < 1e-5 AS refreshed FROM stored('explicit', 'user') WHERE id IN (8, 41) ORDER BY 1;
-- what explains a score adds up to it
SELECT abs(sum(contribution) - als_predict('explicit', 8, 3)) < 1e-4 AS explained FROM als_explain('explicit', 8, 3, 100) e (item_id, contribution);
SELECT abs(sum(contribution) - als_predict('implicit', 8, 3)) < 1e-4 AS explained FROM als_explain('implicit', 8, 3, 100) e (item_id, contribution);

-- Without regularization nothing asks for a bias, and other factors are what least squares
-- say: of each row the errors are orthogonal to the factors that it is solved against.  User
-- 13 has as many ratings as there are factors, user 14 too few.
CREATE TABLE plain AS
    SELECT u AS user_id, i AS item_id, ((u * 5 + i * 3 + u * i) % 7 + 1)::real AS rating
    FROM generate_series(1, 12) u, generate_series(1, 9) i WHERE (u + i) % 4 > 0
    UNION ALL VALUES (13, 1, 4), (13, 5, 2);
CREATE FUNCTION slope(model text, solved text, id int) RETURNS float8 LANGUAGE sql AS $$
    SELECT max(abs(slope)) FROM (SELECT sum((rating - dot(u.f, i.f)) * (CASE solved WHEN 'user' THEN i.f ELSE u.f END)[k]) AS slope
        FROM stored(model, 'user') u JOIN plain ON user_id = u.id JOIN stored(model, 'item') i ON item_id = i.id, generate_series(1, 2) k
        WHERE CASE solved WHEN 'user' THEN u.id ELSE i.id END = slope.id GROUP BY k) s
$$;
CREATE FUNCTION unregularized(parameters text, OUT loss bool, OUT items bool, OUT users bool, OUT biases bigint, OUT folded bool, OUT explained bool)
LANGUAGE plpgsql AS $$
DECLARE
    run als_model;
    refreshed bool;
BEGIN
    EXECUTE format('SELECT (t).* FROM als_train(''free'', ''plain'', feedback => ''explicit'', biases => false, regularization => 0, factors => 2, iterations => 4, %s) t', parameters)
        INTO run;
    loss := abs(run.loss / (SELECT sum((rating - dot(u.f, i.f)) ^ 2)
                            FROM plain JOIN stored('free', 'user') u ON user_id = u.id JOIN stored('free', 'item') i ON item_id = i.id) - 1) < 1e-5;
    items := max(slope('free', 'item', id)) < 1e-3 FROM stored('free', 'item');
    refreshed := bool_and(als_refresh_user('free', id)) FROM stored('free', 'user');
    users := refreshed AND max(slope('free', 'user', id)) < 1e-3 FROM stored('free', 'user');
    biases := count(*) FILTER (WHERE bias <> 0) FROM (SELECT bias FROM free_users UNION ALL SELECT bias FROM free_items) b;
    folded := distance((als_fold_in('free', (SELECT array_agg(item_id) FROM plain WHERE user_id = 8),
                                    (SELECT array_agg(rating) FROM plain WHERE user_id = 8)))[:2]::float8[], f) < 1e-5 FROM stored('free', 'user') WHERE id = 8;
    explained := abs(sum(contribution) - als_predict('free', 8, 3)) < 1e-4 FROM als_explain('free', 8, 3, 100) e (item_id, contribution);
END $$;
SELECT solver, u.* FROM unnest(ARRAY['cholesky', 'cg']) solver, unregularized(format('solver => %L, cg_steps => 300', solver)) u ORDER BY 1;
-- of factors that are not negative, those above 0
SELECT run FROM als_train('above', 'plain', feedback => 'explicit', biases => false, regularization => 0, factors => 2, nonnegative => true);
SELECT bool_and(als_refresh_user('above', id)) FROM stored('above', 'user');
SELECT count(*) FILTER (WHERE bias <> 0), max(slope('above', 'user', user_id)) FILTER (WHERE 0 < ALL (factors)) < 1e-3 AS free,
    count(*) FILTER (WHERE 0 < ALL (factors)) > 5 AS some_are
FROM above_users;
INSERT INTO plain VALUES (14, 2, 3);
SELECT code, message FROM try($$SELECT als_train('free', 'plain', feedback => 'explicit', biases => false, regularization => 0, factors => 2, solver => 'cholesky')$$);

-- imported, and the aggregate, and a grid
SELECT regularization_scaling, regularization_by, biases, mean_rating
FROM als_import('imported', 'implicit_users', 'implicit_items', 'ratings', regularization => 0.1, regularization_by => 'ratings', alpha => 40);
SELECT als_fold_in('imported', ARRAY[1, 2, 3]) = als_fold_in('implicit', ARRAY[1, 2, 3]) AS same;
SELECT regularization_scaling, regularization_by, biases, mean_rating
FROM als_import('imported_stars', 'SELECT user_id, factors FROM explicit_users', 'SELECT item_id, factors FROM explicit_items', 'ratings',
                feedback => 'explicit', biases => false, regularization => 0.1);
SELECT als_fold_in('imported_stars', ARRAY[1, 2, 3]) = als_fold_in('explicit', ARRAY[1, 2, 3]) AS same;
SELECT count(*), count(*) FILTER (WHERE bias <> 0) FROM imported_stars_users;
SELECT t.regularization_by, t.biases, t.loss = u.loss AS same
FROM (SELECT (als_train_agg('of_rows', user_id, item_id, rating, '{"factors": 4, "feedback": "explicit", "biases": false, "regularization_by": "ratings", "regularization": 0.1}')).*
      FROM ratings) t, explicit u;
SELECT count(DISTINCT loss), count(*) FROM als_tune('tuned', 'ratings', '{"factors": 2, "regularization_scaling": 1, "regularization_by": ["ratings", "confidence"]}',
    validation_fraction => 0.2);
SELECT count(*) FROM als_tune('tuned_stars', 'ratings', '{"factors": [2, 3]}', feedback => 'explicit', biases => false, validation_fraction => 0.2);
SELECT mean_rating, biases FROM tuned_stars;

-- a warm start leaves no biases behind
SELECT run FROM als_train('warm', 'ratings', factors => 4, regularization => 0.1, feedback => 'explicit');
SELECT run FROM als_train('warm', 'ratings', factors => 4, regularization => 0.1, feedback => 'explicit', biases => false, iterations => 1, warm_start => true);
SELECT count(*) FILTER (WHERE bias <> 0) FROM (SELECT bias FROM warm_users UNION ALL SELECT bias FROM warm_items) b;

-- what is wrong
\pset format unaligned
\pset tuples_only
SELECT t.* FROM unnest(ARRAY['biases => false', 'biases => NULL', 'regularization_by => ''other''', 'regularization_by => NULL']) parameter,
    try(format('SELECT als_train(%L, %L, %s)', 'bad', 'ratings', parameter)) t;
SELECT * FROM try($$SELECT als_import('bad', 'explicit_users', 'explicit_items', biases => false)$$);
SELECT * FROM try($$SELECT als_tune('bad', 'ratings', '{"biases": false}')$$);
SELECT * FROM try($$SELECT (als_train_agg('bad', user_id, item_id, rating, '{"regularization_by": 1}')).* FROM ratings$$);
UPDATE implicit SET regularization_by = 'other';
SELECT * FROM try($$SELECT als_predict('implicit', 1, 2)$$);

SET client_min_messages = error;
DROP SCHEMA mllib_objective CASCADE;
