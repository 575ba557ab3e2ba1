-- als_similar_items, als_similar_users and als_explain, against SQL in double precision
SET client_min_messages = warning;
CREATE SCHEMA similar_test;
SET search_path = similar_test, public;
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(60, 40, 20);
-- evidence against, no evidence, and a pair that comes twice
INSERT INTO ratings VALUES (1, 41, -2), (2, 41, 0), (3, 3, 2), (5, 41, -1);
SELECT users, items FROM als_train('model', 'ratings', factors => 8, regularization => 0.1, alpha => 10);
SELECT users, items FROM als_train('explicit_model', 'ratings', feedback => 'explicit', factors => 8, regularization => 0.1);
\i test/include/algebra.sql

--
-- Neighbours
--

-- the scores, for every pair; an id is not its own neighbour
CREATE FUNCTION check_similar(model text, side text, metric text)
RETURNS TABLE (pairs bigint, expected bigint, itself bigint, exact boolean, falling boolean) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('
        SELECT count(*), (SELECT count(*) * (count(*) - 1) FROM %1$I WHERE dot(factors, factors) > 0),
               count(*) FILTER (WHERE r.id = a.%2$I),
               max(abs(r.score - dot(a.factors, b.factors)
                       / CASE WHEN $1 = ''cosine'' THEN sqrt(dot(a.factors, a.factors) * dot(b.factors, b.factors))
                              ELSE 1 END)) < 1e-5,
               bool_and(r.falling)
        FROM %1$I a,
             LATERAL (SELECT id, score, score <= lag(score, 1, score) OVER (ORDER BY o) AS falling
                      FROM (SELECT %2$I AS id, score, row_number() OVER () AS o
                            FROM %3$I($2, a.%2$I, 100, metric => $1)) t) r
             JOIN %1$I b ON b.%2$I = r.id',
        model || '_' || side || 's', side || '_id', 'als_similar_' || side || 's')
    USING metric, model;
END $$;
SELECT model, side, metric, c.*
FROM unnest(ARRAY['model', 'explicit_model']) model, unnest(ARRAY['item', 'user']) side,
     unnest(ARRAY['cosine', 'inner_product']) metric, check_similar(model, side, metric) c
WHERE (model, side) <> ('model', 'item') ORDER BY 1, 2, 3;
-- cosine is the default
SELECT count(*), bool_and(a = b) AS same
FROM als_similar_items('model', 7) a FULL JOIN als_similar_items('model', 7, 10, 'cosine') b USING (item_id);

-- a zero vector, of an item that speaks for nobody, has no direction
UPDATE model_items SET factors = array_fill(0::real, ARRAY[8]) WHERE item_id = 41;
SELECT count(*) FROM als_similar_items('model', 41);
SELECT count(*), count(*) FILTER (WHERE item_id = 41) AS zero FROM als_similar_items('model', 7, 100);
SELECT count(*), min(score), max(score) FROM als_similar_items('model', 41, 100, 'inner_product');
SELECT score FROM als_similar_items('model', 7, 100, 'inner_product') WHERE item_id = 41;
SELECT 'item' AS side, metric, c.pairs - c.expected AS with_zero, itself, exact, falling
FROM unnest(ARRAY['cosine']) metric, check_similar('model', 'item', metric) c;

-- equal factors have a cosine of exactly 1, and come in the order of ids
UPDATE model_items SET factors = (SELECT factors FROM model_items WHERE item_id = 7) WHERE item_id IN (3, 30, 11);
SELECT * FROM als_similar_items('model', 7, 3);
SELECT item_id FROM als_similar_items('model', 11, 2);
SELECT item_id FROM als_similar_items('model', 7, 3, 'inner_product')
EXCEPT SELECT item_id FROM model_items WHERE factors = (SELECT factors FROM model_items WHERE item_id = 7);
-- in an explicit model they may differ in their biases
UPDATE explicit_model_items SET factors = (SELECT factors FROM explicit_model_items WHERE item_id = 7), bias = 3 WHERE item_id = 5;
SELECT * FROM als_similar_items('explicit_model', 7, 1);

-- the list without what filters leave out, is what they leave of the whole list
CREATE TABLE filters AS
    SELECT * FROM unnest(ARRAY[1, 5, 100]) k, unnest(ARRAY[NULL, -0.2, 0.3, 0.9]::float8[]) min_score,
                  (VALUES (NULL::int[]), ('{1,2,3,999,NULL,7}'), (ARRAY(SELECT generate_series(2, 60, 2)))) e(exclude),
                  (VALUES (NULL::int[]), ('{5,7,9,999,NULL,5}'), (ARRAY(SELECT generate_series(4, 60)))) c(candidates);
CREATE FUNCTION check_filters(model text, side text, metric text, few text)
RETURNS TABLE (lists bigint, empty bigint, same bigint) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('
        SELECT count(*), count(*) FILTER (WHERE e.list IS NULL), count(*) FILTER (WHERE e.list IS NOT DISTINCT FROM f.list)
        FROM %1$I a, filters,
             LATERAL (SELECT array_agg((id, score)::text ORDER BY o) AS list FROM (
                          SELECT %2$I AS id, score, o FROM %3$I($2, a.%2$I, 1000, $1) WITH ORDINALITY r(%2$I, score, o)
                          WHERE (exclude IS NULL OR (%2$I = ANY (exclude)) IS NOT TRUE) AND (candidates IS NULL OR %2$I = ANY (candidates))
                            AND (min_score IS NULL OR score >= min_score) ORDER BY o LIMIT k) t) e,
             LATERAL (SELECT array_agg((%2$I, score)::text ORDER BY o) AS list
                      FROM %3$I($2, a.%2$I, k, $1, exclude, candidates, min_score) WITH ORDINALITY r(%2$I, score, o)) f
        WHERE a.%2$I IN (%4$s)',
        model || '_' || side || 's', side || '_id', 'als_similar_' || side || 's', few)
    USING metric, model;
END $$;
SELECT model, side, metric, lists, sum(empty) OVER () > 0 AS some_empty, same
FROM unnest(ARRAY['model', 'explicit_model']) model, unnest(ARRAY['item', 'user']) side,
     unnest(ARRAY['cosine', 'inner_product']) metric, check_filters(model, side, metric, '7, 40') c ORDER BY 1, 2, 3;
SELECT count(*) FROM als_similar_items('model', 7, 5, exclude => '{1,2}', candidates => '{1,2,3}');
SELECT count(*) FROM als_similar_users('model', 7, 5, min_score => 'Infinity');
SELECT count(*) FROM als_similar_users('model', 7, 5, min_score => '-Infinity');

-- k, unknown ids and nulls
SELECT count(*) FROM als_similar_items('explicit_model', 7, 0);
SELECT count(*) FROM als_similar_items('explicit_model', 7, 2147483647);
SELECT count(*) FROM als_similar_items('model', 999);
SELECT count(*) FROM als_similar_items('model', 5000000000);
SELECT count(*) FROM als_similar_items('model', NULL::int);
SELECT count(*) FROM als_similar_users('model', -1);

-- the same where nothing can be kept
SELECT array_agg(r::text) AS kept INTO kept FROM explicit_model_items i, als_similar_items('explicit_model', i.item_id, 5) r;
SELECT array_agg(r::text) AS kept INTO kept_explained FROM explicit_model_users u, als_explain('model', u.user_id, 7) r;
SET als.cache_size = '64kB';
CREATE TABLE many_items AS SELECT generate_series(1, 5000) AS item_id;
SELECT items FROM als_train('wide', 'SELECT item_id % 50 AS user_id, item_id, 1 AS rating FROM similar_test.many_items',
                            factors => 16, iterations => 2, regularization => 1, rating_column => NULL);
SELECT count(*), bool_and(abs(score - dot(a.factors, b.factors) / sqrt(dot(a.factors, a.factors) * dot(b.factors, b.factors))) < 1e-5) AS exact
FROM wide_items a, als_similar_items('wide', 17, 5000) r JOIN wide_items b USING (item_id) WHERE a.item_id = 17;
SELECT array_agg(r::text) = (SELECT kept FROM kept) AS same FROM explicit_model_items i, als_similar_items('explicit_model', i.item_id, 5) r;
SELECT sum(contribution)::numeric(6, 4) AS read_from_table INTO small FROM als_explain('wide', 7, 17, NULL);
RESET als.cache_size;
SELECT array_agg(r::text) = (SELECT kept FROM kept_explained) AS same FROM explicit_model_users u, als_explain('model', u.user_id, 7) r;
SELECT sum(contribution)::numeric(6, 4) = (SELECT read_from_table FROM small) AS same FROM als_explain('wide', 7, 17, NULL);

-- ids of other types
CREATE VIEW text_ratings AS SELECT 'u''' || user_id AS user_id, md5(item_id::text)::uuid AS item_id, rating FROM ratings;
SELECT users, items FROM als_train('text_model', 'text_ratings', factors => 8);
SELECT count(*) FROM als_similar_users_as(NULL::text, 'text_model', 'u''7', 5);
SELECT count(*) FROM als_similar_users_as(NULL::text, 'text_model', 'nobody', 5);
SELECT count(*) FROM text_model_items m, als_similar_items_as(NULL::uuid, 'text_model', m.item_id, 3)
WHERE m.item_id <> md5('41')::uuid;
SELECT count(*) FROM als_similar_items_as(NULL::uuid, 'text_model', md5('7'));
SELECT count(*) FROM als_similar_items_as(NULL::uuid, 'text_model', md5('7'), 10, 'cosine', '{}', ARRAY[md5('7'), md5('8'), md5('nothing')]);
SELECT count(*) FROM als_explain_as(NULL::uuid, 'text_model', 'u''7', md5('7')) JOIN text_ratings USING (item_id) WHERE user_id = 'u''7';

--
-- Explanations
--

SELECT users FROM als_train('model', 'ratings', factors => 8, regularization => 0.1, alpha => 10);

-- The matrix sum of w f f', with d on its diagonal
CREATE FUNCTION matrix(f float8[], w float8[], d float8) RETURNS float8[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(r ORDER BY i) FROM (
        SELECT i, array_agg((SELECT sum(w[k] * f[k][i] * f[k][j]) FROM generate_subscripts(f, 1) k)
                            + CASE WHEN i = j THEN d ELSE 0 END ORDER BY j) AS r
        FROM generate_subscripts(f, 2) i, generate_subscripts(f, 2) j GROUP BY i) t $$;
CREATE FUNCTION vector(f float8[], t float8[]) RETURNS float8[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg((SELECT sum(t[k] * f[k][i]) FROM generate_subscripts(f, 1) k) ORDER BY i)
    FROM generate_subscripts(f, 2) i $$;
-- A user's factors, solved from the live ratings; NULL: without one of the items
CREATE FUNCTION implicit_user(u int) RETURNS float8[] LANGUAGE sql STABLE AS $$
    SELECT solve(matrix(array_agg(i.factors::float8[]), array_agg(1 + 10 * abs(coalesce(r.rating, 0))), 0.1),
                 vector(array_agg(i.factors::float8[]),
                        array_agg(CASE WHEN r.rating > 0 THEN 1 + 10 * r.rating ELSE 0 END)))
    FROM model_items i
    LEFT JOIN (SELECT item_id, sum(rating::float8) AS rating FROM ratings WHERE user_id = u GROUP BY item_id) r USING (item_id) $$;
CREATE FUNCTION explicit_user(u int) RETURNS float8[] LANGUAGE sql STABLE AS $$
    SELECT solve(matrix(array_agg(i.factors::float8[] || 1.0::float8), array_agg(1.0::float8), 0.1 * count(*)),
                 vector(array_agg(i.factors::float8[] || 1.0::float8), array_agg(r.rating - m.mean_rating - i.bias)))
    FROM explicit_model m, explicit_model_items i
    JOIN (SELECT item_id, avg(rating::float8) AS rating FROM ratings WHERE user_id = u GROUP BY item_id) r USING (item_id) $$;

-- the contributions add up to the score of the user solved exactly
SELECT max(abs(s.sum - dot(x, i.factors))) < 1e-4 AS implicit, count(*)
FROM generate_series(1, 5) u, LATERAL (SELECT implicit_user(u) AS x OFFSET 0) t, model_items i,
     LATERAL (SELECT sum(contribution) FROM als_explain('model', u, i.item_id, NULL)) s;
SELECT max(abs(s.sum - dot(x, i.factors || 1::real))) < 1e-4 AS explicit, count(*)
FROM generate_series(1, 5) u, LATERAL (SELECT explicit_user(u) AS x OFFSET 0) t, explicit_model_items i,
     LATERAL (SELECT sum(contribution) FROM als_explain('explicit_model', u, i.item_id, NULL)) s;
-- each of them: y_i' W y_j c p is what the score would be with this target alone
CREATE FUNCTION implicit_contribution(u int, i int, j int) RETURNS float8 LANGUAGE sql STABLE AS $$
    SELECT dot(solve(matrix(array_agg(m.factors::float8[]), array_agg(1 + 10 * abs(coalesce(r.rating, 0))), 0.1),
                     vector(array_agg(m.factors::float8[]),
                            array_agg(CASE WHEN m.item_id = j AND r.rating > 0 THEN 1 + 10 * r.rating ELSE 0 END))),
               (SELECT factors FROM model_items WHERE item_id = i))
    FROM model_items m
    LEFT JOIN (SELECT item_id, sum(rating::float8) AS rating FROM ratings WHERE user_id = u GROUP BY item_id) r USING (item_id) $$;
SELECT u, count(*), max(abs(contribution - implicit_contribution(u, 7, item_id::int))) < 1e-4 AS exact
FROM generate_series(1, 3) u, als_explain('model', u, 7, 100) GROUP BY u ORDER BY u;

-- what the user has, once each, most first; evidence against contributes nothing by itself
SELECT count(*), count(DISTINCT item_id) = count(*) AS once,
       count(*) = (SELECT count(DISTINCT item_id) FROM ratings WHERE user_id = 3) AS all_of_them
FROM als_explain('model', 3, 7, NULL);
SELECT bool_and(falling) FROM (
    SELECT contribution <= lag(contribution, 1, contribution) OVER (ORDER BY o) AS falling
    FROM (SELECT contribution, row_number() OVER () AS o FROM als_explain('model', 3, 7, NULL)) t) s;
SELECT contribution FROM als_explain('model', 1, 7, 100) WHERE item_id = 41;
SELECT count(*) FROM als_explain('model', 3, 7, 2);
SELECT count(*) FROM als_explain('model', 3, 7, 0);
SELECT array_agg(a::text) = (SELECT array_agg(b::text) FROM als_explain('model', 3, 7, 2) b) AS first_two
FROM (SELECT * FROM als_explain('model', 3, 7, NULL) LIMIT 2) a;

-- near what als_predict says, which has the user as last trained
SELECT abs(sum(contribution) - als_predict('model', 3, 7)) < 0.1 AS near FROM als_explain('model', 3, 7, NULL);
-- and just that once he has been solved exactly
BEGIN;
SELECT als_refresh_user('model', 3) AS implicit, als_refresh_user('explicit_model', 3) AS explicit;
SELECT max(abs(s.sum - als_predict('model', 3, i.item_id))) < 1e-4 AS implicit, count(*)
FROM model_items i, LATERAL (SELECT sum(contribution) FROM als_explain('model', 3, i.item_id, NULL)) s;
SELECT max(abs(m.mean_rating + i.bias + s.sum - als_predict('explicit_model', 3, i.item_id))) < 1e-4 AS explicit, count(*)
FROM explicit_model m, explicit_model_items i,
     LATERAL (SELECT sum(contribution) FROM als_explain('explicit_model', 3, i.item_id, NULL)) s;
ROLLBACK;

-- the ratings are live: a new user, a new rating, one of an item that the model does not know
SELECT count(*) FROM als_explain('model', 1000, 7);
INSERT INTO ratings VALUES (1000, 7, 1), (1000, 12345, 1);
SELECT item_id, contribution > 0.3 AS itself FROM als_explain('model', 1000, 7);
SELECT item_id FROM als_explain('explicit_model', 1000, 7);
SELECT count(*) FROM als_explain('model', 1000, 12345);
SELECT count(*) FROM als_explain('model', NULL::int, 7);
SELECT count(*) FROM als_explain('model', 1000, NULL::int);
SELECT count(*) FROM als_explain('model', 5000000000, 5000000000);
DELETE FROM ratings WHERE user_id = 1000 AND item_id = 7;
SELECT count(*) FROM als_explain('model', 1000, 7);

--
-- Errors
--

\i test/include/errors.sql
SELECT (als_train_agg('agg_model', user_id, item_id, rating, '{"factors": 8}')).users FROM ratings;
SELECT users FROM als_train('free_model', 'SELECT * FROM similar_test.ratings WHERE item_id < 9', feedback => 'explicit', factors => 8, regularization => 0.1);
UPDATE free_model SET regularization = 0;
CREATE TABLE bad_ratings AS SELECT * FROM ratings;
SELECT users FROM als_train('bad_model', 'bad_ratings', factors => 8);
INSERT INTO bad_ratings VALUES (1, 1, NULL), (2, 2, 'NaN'), (3, NULL, 1);
\pset format unaligned
\pset tuples_only on
SELECT * FROM try($$SELECT als_similar_items('model', 1, -1)$$);
SELECT * FROM try($$SELECT als_similar_items('model', 1, NULL)$$);
SELECT * FROM try($$SELECT als_similar_items('model', 1, 1, NULL)$$);
SELECT * FROM try($$SELECT als_similar_items('model', 1, 1, 'euclidean')$$);
SELECT * FROM try($$SELECT als_similar_items('model', 1, 1, exclude => 7)$$);
SELECT * FROM try($$SELECT als_similar_users('model', 1, 1, candidates => ARRAY[now()])$$);
SELECT * FROM try($$SELECT als_similar_items('model', 1, 1, min_score => 'NaN')$$);
SELECT * FROM try($$SELECT als_similar_items(NULL, 1)$$);
SELECT * FROM try($$SELECT als_similar_items('ratings', 1)$$);
SELECT * FROM try($$SELECT als_similar_users('text_model', 'u''7')$$);
SELECT * FROM try($$SELECT als_similar_items('model', now())$$);
SELECT * FROM try($$SELECT als_explain('model', 1, 1, -1)$$);
SELECT * FROM try($$SELECT als_explain(NULL, 1, 1)$$);
SELECT * FROM try($$SELECT als_explain('text_model', 'u''7', md5('7'))$$);
SELECT * FROM try($$SELECT als_explain('agg_model', 1, 1)$$);
SELECT * FROM try($$SELECT als_explain('free_model', 1, 1)$$);
SELECT * FROM try($$SELECT als_explain('bad_model', 1, 1)$$);
SELECT * FROM try($$SELECT als_explain('bad_model', 2, 1)$$);
SELECT * FROM try($$SELECT als_explain('bad_model', 3, 1)$$);

SET client_min_messages = error;
DROP SCHEMA similar_test CASCADE;
