-- Models of factors that another program has trained: here those of a model of
-- our own, so that all that is served can be compared with what it serves, and
-- small ones by hand.
\set VERBOSITY default
\set SHOW_CONTEXT never
CREATE SCHEMA import;
SET search_path = import, public;
\i test/include/errors.sql
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, 1 + (u * i) % 4 AS rating
    FROM generate_series(1, 30) u, generate_series(1, 40) i
    WHERE (u * 7 + i * 3) % 5 < 2;
SELECT run FROM als_train('implicit', 'ratings', factors => 5, iterations => 4, solver => 'cholesky', alpha => 40, regularization => 0.01, regularization_scaling => 0.5);
SELECT run FROM als_train('explicit', 'ratings', factors => 5, iterations => 4, feedback => 'explicit', regularization => 0.1);
SELECT run FROM als_train('positive', 'ratings', factors => 5, iterations => 4, alpha => 40, regularization => 0.01, nonnegative => true);

-- by hand
CREATE TABLE hand_users (user_id text, factors real[]);
INSERT INTO hand_users VALUES ('a', '{1,2}'), ('b', '{0.5,-1}');
CREATE TABLE hand_items_of_old AS
    SELECT * FROM (VALUES (10, '{3,1}'::float8[]), (20, '{0,0.5}'), (30, '{-1,4}')) v (item_id, factors);
SELECT run, feedback, factors, users, items, regularization, alpha, mean_rating, iterations, loss, source
FROM als_import('hand', 'SELECT * FROM import.hand_users', 'hand_items_of_old');
ALTER TABLE hand_users RENAME TO hand_users_of_old;
SELECT run, feedback, factors, users, items, regularization, alpha, mean_rating, iterations, loss, source
FROM als_import('hand', 'hand_users_of_old', 'hand_items_of_old');
SELECT u.user_id, i.item_id, als_predict('hand', u.user_id, i.item_id) AS score,
       u.factors[1] * i.factors[1] + u.factors[2] * i.factors[2] AS by_hand
FROM hand_users_of_old u, hand_items_of_old i ORDER BY 1, 2;
SELECT * FROM als_recommend('hand', 'b', 3, false);
SELECT * FROM als_similar_items('hand', 10, 2);

-- and as before: what is served of a copy is what is served of the original
CREATE FUNCTION differences(original text, copy text) RETURNS TABLE (what text, rows bigint, different bigint) LANGUAGE plpgsql AS $$
DECLARE
    what text;
    query text;
BEGIN
    FOR what, query IN VALUES
        ('predictions', 'SELECT als_predict(%L, user_id, item_id) FROM generate_series(1, 31) user_id, generate_series(1, 41) item_id'),
        ('recommendations', 'SELECT r.* FROM generate_series(1, 30) u, als_recommend(%L, u, 5) r'),
        ('for everybody', 'SELECT r.* FROM als_recommend_all(%L, 3) r'),
        ('popular', 'SELECT r.* FROM als_recommend(%L, 99, 5, cold_start => ''popular'') r'),
        ('similar', 'SELECT r.* FROM generate_series(1, 40) i, als_similar_items(%L, i, 5) r'),
        ('folded in', 'SELECT als_fold_in(%L, ARRAY[1, 2, 3, 30], ARRAY[4, 1, 2, 3])'),
        ('explained', 'SELECT r.* FROM generate_series(1, 30, 7) u, als_explain(%L, u, 5) r'),
        ('evaluated', 'SELECT r.* FROM als_evaluate(%L, ''ratings'', exclude_seen => false) r')
    LOOP
        IF what = 'explained' AND original = 'positive' THEN
            CONTINUE;
        END IF;
        EXECUTE format('CREATE TEMP TABLE of_original AS ' || query, original);
        EXECUTE format('CREATE TEMP TABLE of_copy AS ' || query, copy);
        RETURN QUERY EXECUTE format('SELECT %L, count(*), (SELECT count(*) FROM (TABLE of_original EXCEPT ALL TABLE of_copy) d) FROM of_original', what);
        DROP TABLE of_original, of_copy;
    END LOOP;
END $$;
SELECT run, regularization_scaling FROM als_import('of_implicit', 'implicit_users', 'implicit_items', 'ratings',
    regularization => 0.01, regularization_scaling => 0.5, alpha => 40);
SELECT * FROM differences('implicit', 'of_implicit');
SELECT run, regularization_scaling FROM als_import('of_explicit', 'explicit_users',
    'SELECT item_id::bigint, factors::float8[] AS factors, bias FROM explicit_items', 'ratings', feedback => 'explicit', regularization => 0.1,
    mean_rating => (SELECT mean_rating FROM explicit));
SELECT * FROM differences('explicit', 'of_explicit');
SELECT run FROM als_import('of_positive', 'positive_users', 'positive_items', 'ratings', regularization => 0.01, alpha => 40, nonnegative => true);
SELECT * FROM differences('positive', 'of_positive');

-- a run of a model that has been trained, and the other way round
SELECT run, regularization FROM als_import('of_implicit', 'SELECT user_id, factors[2:5] AS factors FROM implicit_users',
    'SELECT item_id, factors[2:5] AS factors FROM implicit_items');
SELECT run, factors, iterations, source FROM of_implicit ORDER BY run;
SELECT sum(als_predict('of_implicit', u.user_id, i.item_id) -
           (SELECT sum(a * b)::real FROM unnest(u.factors[2:5], i.factors[2:5]) AS f (a, b))) < 1e-5 AS same
FROM implicit_users u, implicit_items i;
SELECT run FROM als_import('warm', 'implicit_users', 'implicit_items');
SELECT run, warm_start FROM als_train('warm', 'ratings', factors => 5, iterations => 1, solver => 'cholesky', alpha => 40, regularization => 0.01, regularization_scaling => 0.5, warm_start => true);
SELECT run FROM als_train('again', 'ratings', factors => 5, iterations => 5, solver => 'cholesky', alpha => 40, regularization => 0.01, regularization_scaling => 0.5);
SELECT abs(w.loss / a.loss - 1) < 1e-5 AS continued FROM warm w, again a WHERE w.run = 2;

-- what is not known is said where it is needed
\pset format unaligned
\pset tuples_only
SELECT run FROM als_import('bare', 'implicit_users', 'implicit_items');
SELECT * FROM try($$SELECT als_fold_in('bare', ARRAY[1, 2])$$);
SELECT * FROM try($$SELECT als_explain('bare', 1, 2)$$);
SELECT * FROM try($$SELECT als_refresh_user('bare', 1)$$);
SELECT * FROM try($$SELECT * FROM als_recommend('bare', 1, 2)$$);
SELECT * FROM try($$SELECT * FROM als_recommend('bare', 77, 2)$$);
SELECT * FROM try($$SELECT * FROM als_recommend('bare', 77, 2, cold_start => 'popular')$$);
SELECT * FROM try($$SELECT als_evaluate('bare', 'ratings')$$);
SELECT * FROM try($$SELECT als_recommend_all('bare', 2)$$);
SELECT * FROM try($$SELECT c.* FROM bare b, als_convergence(b) c$$);
SELECT run FROM als_import('bare', 'implicit_users', 'implicit_items', 'ratings', regularization => 0.01);
SELECT * FROM try($$SELECT als_fold_in('bare', ARRAY[1, 2])$$);
SELECT * FROM try($$SELECT als_refresh_user('bare', 1)$$);
SELECT run FROM als_import('bare', 'implicit_users', 'implicit_items', 'ratings', regularization => 0.01, alpha => 40);
SELECT * FROM try($$SELECT als_fold_in('bare', ARRAY[1, 2])$$);

-- what is wrong
CREATE FUNCTION try_import(users text, items text DEFAULT 'implicit_items', more text DEFAULT '') RETURNS TABLE (code text, message text, detail text, hint text) LANGUAGE sql AS
    $$ SELECT * FROM try(format('SELECT als_import(''wrong'', %L, %L%s)', users, items, more)) $$;
CREATE FUNCTION users(id text, factors text) RETURNS text LANGUAGE sql AS
    $$ SELECT format('SELECT %s AS user_id, %s AS factors', id, factors) $$;
SELECT * FROM try_import(NULL);
SELECT * FROM try_import('implicit_users', NULL);
SELECT * FROM try($$SELECT als_import(NULL, 'implicit_users', 'implicit_items')$$);
SELECT * FROM try_import('nothing');
SELECT * FROM try_import('SELECT 1; SELECT 2');
SELECT * FROM try_import('implicit_users_pkey');
SELECT * FROM try_import('ratings');
SELECT * FROM try_import('SELECT 1 AS user_id');
SELECT * FROM try_import('SELECT * FROM implicit_users WHERE false');
SELECT * FROM try_import(users('NULL::int', 'ARRAY[1,2,3,4,5]'));
SELECT * FROM try_import(users('1', 'NULL::real[]'));
SELECT * FROM try_import(users('1', 'ARRAY[1,2,NULL,4,5]'));
SELECT * FROM try_import(users('1', 'ARRAY[]::real[]'));
SELECT * FROM try_import(users('1', 'ARRAY[[1,2],[3,4]]'));
SELECT * FROM try_import(users('1', $$ARRAY[1,2,'NaN',4,5]::real[]$$));
SELECT * FROM try_import(users('1', $$ARRAY[1,2,'Infinity',4,5]::real[]$$));
SELECT * FROM try_import(users('1', 'ARRAY[1e30,0,0,0,0]::real[]'));
SELECT * FROM try_import(users('1', 'ARRAY[1e300,0,0,0,0]::float8[]'));
SELECT * FROM try_import(users('1', 'array_fill(1, ARRAY[1025])'));
SELECT * FROM try_import(users('1', 'ARRAY[1,2,3,4]'));
SELECT * FROM try_import(users('1', '''{1,2,three,4,5}''::text'));
SELECT * FROM try_import(users('1', 'true'));
SELECT * FROM try_import(users('point(1, 2)', 'ARRAY[1,2,3,4,5]'));
SELECT * FROM try_import('TABLE implicit_users UNION ALL SELECT 7, ARRAY[1,2,3,4,5]');
SELECT * FROM try_import('implicit_users', more => ', feedback => ''explicit''');
SELECT * FROM try_import(users('1', 'ARRAY[1,2,3,4,5]') || ', NULL::real AS bias', 'explicit_items', ', feedback => ''explicit''');
-- nor what no score could be computed from
SELECT * FROM try_import(users('1', 'ARRAY[1,2,3,4,5]') || ', 1e20 AS bias', 'explicit_items', ', feedback => ''explicit''');
SELECT * FROM try_import(users('1', 'ARRAY[1,2,3,4,5]') || ', 1 AS bias', 'explicit_items', ', feedback => ''explicit'', mean_rating => 3.4e38');
SELECT * FROM try_import('implicit_users', more => ', feedback => ''other''');
SELECT * FROM try_import(users('1', 'ARRAY[1,2,-3,4,5]'), more => ', nonnegative => true');
SELECT * FROM try_import('implicit_users', more => ', regularization => -1');
SELECT * FROM try_import('implicit_users', more => ', alpha => ''NaN''');
SELECT * FROM try_import('implicit_users', more => ', mean_rating => 3');
SELECT * FROM try_import('explicit_users', 'explicit_items', ', feedback => ''explicit'', mean_rating => ''Infinity''');
SELECT * FROM try_import('implicit_users', more => ', ratings => ''nothing''');
SELECT * FROM try_import('implicit_users', more => ', ratings => ''implicit_users''');
SELECT * FROM try($$SELECT als_import('ratings', 'implicit_users', 'implicit_items')$$);
SELECT * FROM try($$SELECT als_import('implicit', 'explicit_users', 'explicit_items', feedback => 'explicit')$$);
SELECT * FROM try($$SELECT als_import('implicit', 'SELECT ''u'' || user_id AS user_id, factors FROM implicit_users', 'implicit_items')$$);
-- a failed one leaves nothing
SELECT count(*) FROM pg_class WHERE relname LIKE 'wrong%';
SELECT max(run) FROM implicit;

-- with the privileges of who calls it
CREATE ROLE regress_als_importer;
GRANT USAGE, CREATE ON SCHEMA import TO regress_als_importer;
SET ROLE regress_als_importer;
SELECT * FROM try_import('implicit_users');
RESET ROLE;
GRANT SELECT ON implicit_users, implicit_items TO regress_als_importer;
SET ROLE regress_als_importer;
SELECT run FROM als_import('theirs', 'implicit_users', 'implicit_items');
SELECT * FROM try($$SELECT als_import('implicit', 'implicit_users', 'implicit_items')$$);
RESET ROLE;

-- ratings that only this session has
CREATE TEMP TABLE temporary_ratings AS SELECT * FROM ratings;
SELECT source IS NULL AS unknown FROM als_import('kept', 'implicit_users', 'implicit_items', 'temporary_ratings');
BEGIN READ ONLY;
SELECT * FROM try($$SELECT als_import('implicit', 'implicit_users', 'implicit_items')$$);
ROLLBACK;

SET client_min_messages = error;
DROP SCHEMA import CASCADE;
DROP ROLE regress_als_importer;
