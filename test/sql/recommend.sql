-- als_recommend and als_predict: filters, ties, live rows, memory
SET client_min_messages = warning;
CREATE SCHEMA recommend;
SET search_path = recommend, public;
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(60, 40, 20);
SELECT users, items FROM als_train('model', 'ratings', factors => 8);
SELECT users, items FROM als_train('explicit_model', 'ratings', feedback => 'explicit', factors => 8, regularization => 0.1);
CREATE TABLE scores AS
    SELECT user_id, item_id::bigint, als_predict('model', user_id, item_id) AS score
    FROM model_users, model_items;

-- what is seen stays out, as of now
SELECT count(*) FROM model_users u, als_recommend('model', user_id, 100) r JOIN ratings USING (item_id)
WHERE ratings.user_id = u.user_id;
SELECT item_id AS best FROM als_recommend('model', 2, 1) \gset
INSERT INTO ratings VALUES (2, :best, 1);
SELECT count(*) FROM als_recommend('model', 2, 100) WHERE item_id = :best;
DELETE FROM ratings WHERE user_id = 2;
SELECT item_id = :best AS back FROM als_recommend('model', 2, 100) WHERE item_id = :best;
SELECT count(*) FROM als_recommend('model', 2, 100);
-- whatever operator = is to the session
SELECT count(*) AS unseen FROM als_recommend('model', 3, 100) \gset
CREATE FUNCTION never(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR = (FUNCTION = never, LEFTARG = int, RIGHTARG = int);
SET search_path = recommend, pg_catalog, public;
SELECT count(*) - :unseen AS more FROM als_recommend('model', 3, 100);
SET search_path = recommend, public;
DROP OPERATOR recommend.= (int, int);

-- exclude: never back, also together with seen; NULLs and unknown ids do not matter
SELECT bool_or(item_id = ANY (ARRAY[1, 2, 3])) AS excluded, count(*)
FROM als_recommend('model', 3, 100, exclude => ARRAY[1, 2, 3, NULL, 999], exclude_seen => false);
SELECT count(*) FROM als_recommend('model', 3, 100, exclude => ARRAY(SELECT item_id FROM model_items));
SELECT count(*) FROM als_recommend('model', 3, 3, exclude => '{}'::bigint[]);
SELECT count(*) FROM als_recommend('model', 3, 3, exclude => NULL);

-- candidates: only those; fewer than k come when fewer are eligible
SELECT array_agg(item_id ORDER BY item_id) FROM als_recommend('model', 3, 10, exclude_seen => false, candidates => ARRAY[5, 7, 9, 999, NULL, 5]);
SELECT array_agg(item_id) FROM als_recommend('model', 3, 10, exclude_seen => false, candidates => ARRAY[5, 7, 9], exclude => ARRAY[7.0, 9.0]);
SELECT count(*) FROM als_recommend('model', 3, 10, candidates => '{}'::int[]);
SELECT count(*) FROM als_recommend('model', 3, 10, candidates => ARRAY(SELECT item_id FROM ratings WHERE user_id = 3));
-- the same as filtering all of them, few candidates or many
SELECT n, bool_and(r.items IS NOT DISTINCT FROM s.items) AS same
FROM unnest(ARRAY[1, 2, 20, 40]) n, model_users u,
     LATERAL (SELECT array_agg((item_id, score)::text) AS items
              FROM als_recommend('model', u.user_id, 5, candidates => ARRAY(SELECT generate_series(1, n)))) r,
     LATERAL (SELECT array_agg((item_id, score)::text) AS items
              FROM (SELECT item_id, score FROM scores
                    WHERE scores.user_id = u.user_id AND item_id <= n
                      AND item_id NOT IN (SELECT item_id FROM ratings WHERE ratings.user_id = u.user_id)
                    ORDER BY score DESC, item_id LIMIT 5) t) s
GROUP BY n ORDER BY n;

-- k
SELECT count(*) FROM als_recommend('model', 3, 0);
SELECT count(*) FROM als_recommend('model', 3, 1);
SELECT count(*) FROM als_recommend('model', 3, 2147483647, exclude_seen => false);
SELECT count(*) FROM als_recommend('model', 3, exclude_seen => false);
SELECT count(*) FROM als_recommend('model', 999);

-- ties come in the order of ids
UPDATE model_items SET factors = (SELECT factors FROM model_items WHERE item_id = 7) WHERE item_id IN (3, 30, 11);
SELECT array_agg(item_id ORDER BY o) FROM (
    SELECT item_id, row_number() OVER () AS o FROM als_recommend('model', 3, 100, exclude_seen => false)) t
WHERE item_id IN (3, 7, 11, 30);
SELECT item_id FROM als_recommend('model', 3, 2, exclude_seen => false, candidates => ARRAY[30, 11, 7, 3]);
SELECT users FROM als_train('model', 'ratings', factors => 8);

-- explicit models return ratings
SELECT bool_and(r.score = als_predict('explicit_model', user_id, item_id)) AS same,
       bool_and(r.score BETWEEN -1 AND 8) AS like_ratings
FROM model_users, als_recommend('explicit_model', user_id, 3) r;

-- the source of a query is live as well, and so is a filter in it
SELECT users FROM als_train('query_model', 'SELECT user_id AS u, item_id AS i, rating FROM recommend.ratings WHERE rating > 1 -- all but the worst',
                            'u', 'i', factors => 8);
SELECT count(*) FROM ratings r, als_recommend('query_model', 5, 100) q WHERE r.user_id = 5 AND r.item_id = q.item_id AND rating > 1;
SELECT count(*) > 0 AS unliked FROM ratings r, als_recommend('query_model', r.user_id, 100) q WHERE r.item_id = q.item_id;

-- a model trained by the aggregate has no live source: nothing is left out
SELECT (als_train_agg('agg_model', user_id, item_id, rating, '{"factors": 8}')).users FROM ratings;
SELECT count(*) FROM als_recommend('agg_model', 5, 100);

-- many at once, in any place where SQL calls a function
SELECT count(*), count(DISTINCT user_id) FROM model_users, LATERAL als_recommend('model', user_id, 2);
SELECT count(*) FROM (SELECT (als_recommend('model', user_id, 2)).* FROM model_users) t;
SELECT count(*) FROM model_users u1, als_recommend('model', u1.user_id, 1) r, als_recommend('explicit_model', u1.user_id, 1) s;

-- scanning with bounds leaves nothing out: 40 factors, 3,000 items, every user
CREATE TABLE dense_ratings AS
    SELECT u AS user_id, i AS item_id, (1 + (u * 31 + i * 17) % 5)::real AS rating
    FROM generate_series(1, 300) u, generate_series(1, 3000) i
    WHERE (u::bigint * 7919 + i * 104729 + u * i * 13) % (97 + i / 4) < 3;
SELECT users, items FROM als_train('dense', 'dense_ratings', factors => 40, iterations => 5);
SELECT users, items FROM als_train('dense_explicit', 'dense_ratings', feedback => 'explicit', factors => 40,
                                   regularization => 0.02, iterations => 5);
SELECT model, k, bool_and(r.items IS NOT DISTINCT FROM s.items) AS same, count(*) AS users
FROM unnest(ARRAY['dense', 'dense_explicit']) model, unnest(ARRAY[1, 10, 100]) k, dense_users u,
     LATERAL (SELECT array_agg((item_id, score)::text) AS items
              FROM als_recommend(model, u.user_id, k, exclude => ARRAY[1, 2, 3])) r,
     LATERAL (SELECT array_agg((item_id, score)::text) AS items
              FROM (SELECT item_id::bigint, als_predict(model, u.user_id, item_id) AS score
                    FROM dense_items i
                    WHERE item_id > 3 AND NOT EXISTS (SELECT FROM dense_ratings
                                                      WHERE dense_ratings.user_id = u.user_id AND dense_ratings.item_id = i.item_id)
                    ORDER BY score DESC, item_id LIMIT k) t) s
GROUP BY model, k ORDER BY model, k;

-- whatever is kept, or not, the answer is the same
CREATE FUNCTION fingerprint() RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM (
        SELECT u.user_id, r.* FROM model_users u, als_recommend('model', user_id, 5, exclude => ARRAY[1, 2]) r
        UNION ALL
        SELECT u.user_id, r.* FROM model_users u, als_recommend('model', user_id, 5, candidates => ARRAY[1, 2, 3, 4, 5, 6]) r
        UNION ALL
        SELECT user_id, item_id, als_predict('model', user_id, item_id) FROM model_users, model_items) t $$;
CREATE TABLE many_items AS SELECT generate_series(1, 20000) AS item_id;
SELECT fingerprint() AS kept INTO fingerprints;
SET als.cache_size = '64kB';
SELECT kept = fingerprint() AS same FROM fingerprints;
-- nothing fits: 20,000 items of 16 factors
SELECT items FROM als_train('wide', 'SELECT item_id % 50 AS user_id, item_id, 1 AS rating FROM recommend.many_items', factors => 16, iterations => 1);
SELECT user_id, count(*), bool_and(score = als_predict('wide', user_id, item_id)) AS same
FROM unnest(ARRAY[1, 2]) user_id, als_recommend('wide', user_id, 5) GROUP BY user_id ORDER BY user_id;
SELECT array_agg(item_id ORDER BY item_id) AS small_cache INTO small FROM als_recommend('wide', 7, 50);
RESET als.cache_size;
SELECT array_agg(item_id ORDER BY item_id) = small_cache AS same FROM als_recommend('wide', 7, 50), small GROUP BY small_cache;
-- two models that take turns
SET als.cache_size = '1MB';
SELECT count(als_predict('wide', 1, item_id)), count(als_predict('model', 3, item_id)) FROM model_items;
RESET als.cache_size;

-- the kernels of every instruction set that the machine has agree, as long as
-- the iterations have not amplified their rounding
CREATE FUNCTION loss_with(kernels text) RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('als.kernels', kernels, true);
    RETURN (als_train('kernel_model', 'recommend.ratings', factors => 20, iterations => 3)).loss;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN NULL;                -- not on this machine
END $$;
SELECT kernels, coalesce(abs(loss_with(kernels) / loss_with('reference') - 1) < 1e-4, true) AS agree
FROM unnest(ARRAY['auto', 'generic', 'avx2', 'avx512']) kernels;

SET client_min_messages = error;
DROP SCHEMA recommend CASCADE;
