-- als_recommend_together: the best items for several users, against SQL over als_predict
SET client_min_messages = warning;
CREATE SCHEMA together;
SET search_path = together, public;
\i test/include/ratings.sql
\i test/include/errors.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(60, 300, 20);
CREATE INDEX ON ratings (user_id);
SELECT users, items FROM als_train('implicit', 'ratings', factors => 8);
SELECT users, items FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 8, regularization => 0.1);
CREATE TABLE scores AS
    SELECT m AS model, user_id, item_id, als_predict(m::regclass, user_id, item_id) AS score
    FROM unnest(ARRAY['implicit', 'explicit']) m, implicit_users, implicit_items;
CREATE INDEX ON scores (model, user_id);
ANALYZE scores, ratings;

-- all filters at once; the least score is exactly one of the users'
CREATE TABLE calls AS
    SELECT * FROM unnest(ARRAY['implicit', 'explicit']) model, unnest(ARRAY['average', 'least_misery']) by, unnest(ARRAY[true, false]) exclude_seen, unnest(ARRAY[1, 7, 1000]) k,
                  (VALUES ('{3}'::int[]), ('{5,9}'), ('{1,2,3,4,5,6,7}'), ('{8,NULL,8,999,20}')) u(users),
                  (VALUES (1, NULL::int[], NULL::int[]), (2, '{1,2,3,999,NULL}', NULL), (3, '{12}', '{5,12,7,9,999,NULL,5}'), (4, ARRAY[40], ARRAY(SELECT generate_series(10, 200)))) f(f, exclude, candidates);
CREATE FUNCTION combined(calls) RETURNS TABLE (item_id int, score float8, place bigint) LANGUAGE sql STABLE AS $$
    SELECT item_id, score, row_number() OVER (ORDER BY score DESC, item_id)
    FROM (SELECT item_id, CASE $1.by WHEN 'average' THEN avg(score) ELSE min(score) END AS score
          FROM scores WHERE model = $1.model AND user_id = ANY ($1.users) GROUP BY item_id) s
    WHERE NOT ($1.exclude_seen AND EXISTS (SELECT FROM ratings r WHERE r.user_id = ANY ($1.users) AND r.item_id = s.item_id))
      AND ($1.exclude IS NULL OR (item_id = ANY ($1.exclude)) IS NOT TRUE)
      AND ($1.candidates IS NULL OR item_id = ANY ($1.candidates))
    ORDER BY score DESC, item_id LIMIT $1.k $$;
SELECT model, by, count(*), bool_and(same) AS same
FROM calls c, LATERAL (
    SELECT count(*) FILTER (WHERE abs(r.score - e.score) < 1e-5 AND (c.by = 'average' OR (r.item_id, r.score) = (e.item_id, e.score))) = count(*) AS same
    FROM als_recommend_together(c.model::regclass, c.users, c.k, c.exclude_seen, c.exclude, c.candidates, c.by) WITH ORDINALITY r(item_id, score, place) FULL JOIN combined(c) e USING (place)) t
GROUP BY model, by ORDER BY model, by;
-- the scores of an average are those of its items
SELECT model, count(*), max(abs(r.score - mean)) < 1e-5 AS same
FROM unnest(ARRAY['implicit', 'explicit']) model, als_recommend_together(model::regclass, ARRAY[3, 5, 8], 50) r,
     LATERAL (SELECT avg(score) AS mean FROM scores s WHERE s.model = model.model AND s.item_id = r.item_id AND user_id IN (3, 5, 8)) m GROUP BY model ORDER BY model;
-- the same where nothing is kept
SELECT array_agg(r::text) AS kept FROM unnest(ARRAY['average', 'least_misery']) by, als_recommend_together('explicit', ARRAY[3, 5, 8], 20, by => by) r \gset
SET als.cache_size = '64kB';
SELECT array_agg(r::text) = :'kept' AS same FROM unnest(ARRAY['average', 'least_misery']) by, als_recommend_together('explicit', ARRAY[3, 5, 8], 20, by => by) r;
RESET als.cache_size;
-- one user is als_recommend; order and duplicates do not matter
SELECT by, array_agg(r::text) = (SELECT array_agg(a::text) FROM als_recommend('implicit', 7, 20) a) AS same
FROM unnest(ARRAY['average', 'least_misery']) by, als_recommend_together('implicit', ARRAY[7, 7], 20, by => by) r GROUP BY by ORDER BY by;
SELECT array_agg(a::text) = array_agg(b::text) AS same
FROM als_recommend_together('implicit', ARRAY[7, 3, 9, 3], 20, by => 'least_misery') WITH ORDINALITY a(item_id, score, o)
JOIN als_recommend_together('implicit', ARRAY[9, 7, 3], 20, by => 'least_misery') WITH ORDINALITY b(item_id, score, o) USING (o);

-- so many items that an index pays, more users than it takes at once, and ties
CREATE TABLE user_factors AS SELECT u AS user_id, ARRAY(SELECT sin(u * f * 7.3)::real FROM generate_series(1, 6) f) AS factors FROM generate_series(1, 11) u;
CREATE TABLE item_factors AS SELECT i AS item_id, ARRAY(SELECT (sin(j * f * 1.7 + f) * (0.1 + j % 50 / 50.0))::real FROM generate_series(1, 6) f) AS factors FROM generate_series(1, 5000) i, LATERAL (SELECT i - i % 7 / 6 AS j) same;
SELECT (als_import('many', 'together.user_factors', 'together.item_factors', 'SELECT 1 AS user_id, 1 AS item_id, 1 AS rating')).items;
SELECT n, count(*), bool_and(found IS NOT DISTINCT FROM expected) AS same
FROM unnest(ARRAY[1, 2, 5, 11]) n, unnest(ARRAY[1, 30, 5000]) k, unnest(ARRAY[NULL, 0.1]) least,
     LATERAL (SELECT array_agg((item_id, score)::text ORDER BY o) AS found
              FROM als_recommend_together('many', ARRAY(SELECT generate_series(1, n)), k, false, by => 'least_misery', min_score => least) WITH ORDINALITY r(item_id, score, o)) f,
     LATERAL (SELECT array_agg((item_id, score)::text ORDER BY score DESC, item_id) AS expected
              FROM (SELECT item_id, min(als_predict('many', u, item_id)) AS score FROM many_items, generate_series(1, n) u GROUP BY item_id ORDER BY score DESC, item_id LIMIT k) t WHERE least IS NULL OR score >= least) e
GROUP BY n ORDER BY n;

-- with what lists have: each goes by the score of all
SELECT by, count(*), count(DISTINCT item_id % 5) AS groups, bool_and(score >= 0.1) AS at_least
FROM unnest(ARRAY['average', 'least_misery']) by, als_recommend_together('many', ARRAY[1, 2, 3], 20, by => by, groups => 'SELECT item_id, item_id % 5 FROM together.many_items', per_group => 4, min_score => 0.1) GROUP BY by ORDER BY by;
SELECT by, array_agg(r.item_id ORDER BY o) FILTER (WHERE o = 1) AS first
FROM unnest(ARRAY['average', 'least_misery']) by, als_recommend_together('many', ARRAY[1, 2, 3], 5, by => by, boost => 'SELECT 77, 100', diversity => 0.5) WITH ORDINALITY r(item_id, score, o) GROUP BY by ORDER BY by;
SELECT count(*) FROM als_recommend_together('many', ARRAY[1, 2, 3], 20, by => 'least_misery', diversity => 0.5);

-- who is new is folded in, who is not known at all is left out; ratings of now count
INSERT INTO ratings VALUES (999, 3, 5), (999, 8, 1);
SELECT count(*), count(*) FILTER (WHERE item_id IN (3, 8)) AS seen FROM als_recommend_together('implicit', ARRAY[999, 12345], 1000);
SELECT array_agg(r::text) = (SELECT array_agg(a::text) FROM als_recommend('implicit', 999, 20) a) AS same FROM als_recommend_together('implicit', ARRAY[12345, 999], 20) r;
SELECT count(*) FROM als_recommend_together('implicit', ARRAY[12345]);
SELECT count(*) FROM als_recommend_together('implicit', '{}'::int[]);
SELECT count(*) FROM als_recommend_together('implicit', NULL::int[]);
SELECT count(*) FROM als_recommend_together('implicit', '{3,5}', 5);
SELECT count(*) FROM als_recommend_together('implicit', ARRAY[3, 5], 0);

-- ids of other types
CREATE VIEW text_ratings AS SELECT 'u''' || user_id AS user_id, md5(item_id::text)::uuid AS item_id, rating FROM ratings WHERE user_id < 100;
SELECT users, items FROM als_train('text_model', 'text_ratings', factors => 8);
SELECT array_agg((r.item_id, r.score)::text ORDER BY o) = (SELECT array_agg((item_id, score)::text ORDER BY score DESC, item_id) FROM (
    SELECT item_id, min(als_predict('text_model', u, item_id)) AS score FROM text_model_items, unnest(ARRAY['u''3', 'u''5']) u
    WHERE item_id <> md5('9')::uuid AND NOT EXISTS (SELECT FROM text_ratings t WHERE t.user_id IN ('u''3', 'u''5') AND t.item_id = text_model_items.item_id) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10) t) AS same
FROM als_recommend_together_as(NULL::uuid, 'text_model', ARRAY['u''3', 'u''5'], 10, exclude => ARRAY[md5('9')::uuid], by => 'least_misery') WITH ORDINALITY r(item_id, score, o);
SELECT count(*) FROM als_recommend_together_as(NULL::text, 'text_model', '{u''3,"u''5"}', 10, true, '{}', NULL);

-- Errors
SELECT * FROM try($$SELECT als_recommend_together('implicit', ARRAY[1, 2], by => 'most pleasure')$$);
SELECT * FROM try($$SELECT als_recommend_together('implicit', ARRAY[1, 2], by => NULL)$$);
SELECT * FROM try($$SELECT als_recommend_together('implicit', ARRAY[1, 2], -1)$$);
SELECT * FROM try($$SELECT als_recommend_together('implicit', ARRAY[1, 2], NULL)$$);
SELECT * FROM try($$SELECT als_recommend_together('implicit', ARRAY[1, 2], exclude_seen => NULL)$$);
SELECT * FROM try($$SELECT als_recommend_together(NULL, ARRAY[1, 2])$$);
SELECT * FROM try($$SELECT als_recommend_together('ratings', ARRAY[1, 2])$$);
SELECT * FROM try($$SELECT als_recommend_together('implicit', 5)$$);
SELECT * FROM try($$SELECT als_recommend_together('implicit', ARRAY[now()])$$);
SELECT * FROM try($$SELECT als_recommend_together('implicit', '{x}')$$);
SELECT * FROM try($$SELECT als_recommend_together('implicit', ARRAY[1, 2], min_score => 'NaN')$$);
SELECT * FROM try($$SELECT als_recommend_together('implicit', ARRAY[1, 2], diversity => 2)$$);
SELECT * FROM try($$SELECT als_recommend_together('text_model', ARRAY['u''3'])$$);
DROP TABLE ratings CASCADE;
SELECT * FROM try($$SELECT als_recommend_together('implicit', ARRAY[1, 2])$$);
SELECT count(*) FROM als_recommend_together('implicit', ARRAY[1, 2], exclude_seen => false);

SET client_min_messages = error;
DROP SCHEMA together CASCADE;
