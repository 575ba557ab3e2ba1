-- als_similar_items_all: what als_similar_items returns for each item
SET client_min_messages = warning;
CREATE SCHEMA similar_all;
SET search_path = similar_all, public;
\i test/include/ratings.sql
\i test/include/errors.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(60, 500, 20);
SELECT users, items FROM als_train('implicit', 'ratings', factors => 12);
SELECT users, items FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 12, regularization => 0.1);
-- equal factors, and a zero vector
UPDATE implicit_items SET factors = (SELECT factors FROM implicit_items WHERE item_id = 7) WHERE item_id IN (3, 30, 11, 400);
UPDATE implicit_items SET factors = array_fill(0::real, ARRAY[12]) WHERE item_id = 41;
UPDATE explicit_items SET factors = (SELECT factors FROM explicit_items WHERE item_id = 7), bias = 3 WHERE item_id = 5;

CREATE TABLE calls AS
    SELECT n, model, metric, k, exclude, candidates, min_score
    FROM unnest(ARRAY['implicit', 'explicit']) model, unnest(ARRAY['cosine', 'inner_product']) metric,
         (VALUES (1, 10, NULL::int[], NULL::int[], NULL::float8), (2, 1000, NULL, NULL, NULL), (3, 5, '{1,2,3,7,NULL,999}', ARRAY(SELECT generate_series(1, 500, 3)), NULL),
                 (4, 1000, NULL, '{7,3,11,41,NULL,999}', NULL), (5, 20, '{7}', NULL, 0.6), (6, 3, NULL, '{}', NULL)) c(n, k, exclude, candidates, min_score);
CREATE FUNCTION one_by_one(calls) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE format('SELECT md5(string_agg((i.item_id, s.item_id, s.score, s.rank)::text, '','' ORDER BY i.item_id, s.rank))
        FROM %I i, als_similar_items($1::regclass, i.item_id, $2, $3, $4, $5, $6) WITH ORDINALITY s(item_id, score, rank)', $1.model || '_items')
    USING $1.model, $1.k, $1.metric, $1.exclude, $1.candidates, $1.min_score INTO answer;
    RETURN answer;
END $$;
CREATE FUNCTION at_once(calls, workers int) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT md5(string_agg((item_id, similar_id, score, rank)::text, ',' ORDER BY item_id, rank))
    FROM als_similar_items_all($1.model::regclass, $1.k, NULL::int[], $1.metric, $1.exclude, $1.candidates, workers, $1.min_score) $$;
CREATE TABLE expected AS SELECT n, model, metric, one_by_one(c) AS rows FROM calls c;
SELECT model, metric, count(*), count(rows) AS lists, count(*) FILTER (WHERE at_once(c, 0) IS NOT DISTINCT FROM rows) AS same
FROM calls c JOIN expected USING (n, model, metric) GROUP BY model, metric ORDER BY 1, 2;
SELECT count(*) FILTER (WHERE at_once(c, 2) IS NOT DISTINCT FROM rows) AS same FROM calls c JOIN expected USING (n, model, metric) WHERE n IN (1, 5);
SET maintenance_work_mem = '1MB';
SELECT count(*) FILTER (WHERE at_once(c, 1) IS NOT DISTINCT FROM rows) AS same FROM calls c JOIN expected USING (n, model, metric) WHERE n = 2;
RESET maintenance_work_mem;

-- vectors so short that their squares have lost digits have no cosine, like a zero vector; those a little longer do
BEGIN;
SELECT items FROM als_train('short', 'SELECT i % 7 AS user_id, i AS item_id, 1 AS rating FROM generate_series(1, 80) i', factors => 2, iterations => 1);
UPDATE short_items SET factors = CASE WHEN item_id <= 2 THEN '{3e-23,0}'::real[] WHEN item_id <= 4 THEN '{3e-19,0}' ELSE '{0.9,0.4358899}' END;
SELECT i AS item_id, count(similar_id) AS found, min(score) AS least, max(score) AS greatest, bool_and(score = one.one_score AND similar_id = one.one_id) AS same,
       (SELECT count(*) FROM als_similar_items('short', i, 100)) AS one_by_one
FROM unnest('{1,3,5}'::int[]) i LEFT JOIN als_similar_items_all('short', 100, '{1,3,5}') a ON a.item_id = i
LEFT JOIN LATERAL als_similar_items('short', i, 100) WITH ORDINALITY one(one_id, one_score, rank) ON one.rank = a.rank GROUP BY i ORDER BY i;
ROLLBACK;

-- for some, of whom the model does not know all
SELECT item_id, count(*) FROM als_similar_items_all('implicit', 4, ARRAY[7, 41, 999, NULL, 8, 7]) GROUP BY item_id ORDER BY item_id;
SELECT a.similar_id, a.rank FROM als_similar_items_all('implicit', 3, '{7}') a ORDER BY a.rank;
SELECT count(*) FROM als_similar_items_all('implicit', 0);
SELECT count(*) FROM als_similar_items_all('implicit', items => '{}'::int[]);
SELECT count(*) > 0 AS works FROM als_similar_items_all('implicit', 3, exclude => '{1}', candidates => '{1,2,3}');

-- ids of other types
CREATE VIEW text_ratings AS SELECT user_id, 'i' || item_id AS item_id, rating FROM ratings;
SELECT items FROM als_train('text_model', 'text_ratings', factors => 4);
SELECT count(*), bool_and((a.similar_id, a.score) = (b.item_id, b.score)) AS same
FROM als_similar_items_all_as(NULL::text, 'text_model', 3, exclude => ARRAY['i5']) a
JOIN LATERAL als_similar_items_as(NULL::text, 'text_model', a.item_id, 3, exclude => ARRAY['i5']) WITH ORDINALITY b(item_id, score, rank) ON b.rank = a.rank;
SELECT count(*) FROM als_similar_items_all_as(NULL::varchar, 'text_model', 3, '{i7,i8}');

-- Errors
SELECT * FROM try($$SELECT als_similar_items_all('text_model')$$);
SELECT * FROM try($$SELECT als_similar_items_all('implicit', -1)$$);
SELECT * FROM try($$SELECT als_similar_items_all('implicit', NULL)$$);
SELECT * FROM try($$SELECT als_similar_items_all('implicit', metric => NULL)$$);
SELECT * FROM try($$SELECT als_similar_items_all('implicit', metric => 'euclidean')$$);
SELECT * FROM try($$SELECT als_similar_items_all('implicit', min_score => 'NaN')$$);
SELECT * FROM try($$SELECT als_similar_items_all('implicit', workers => -1)$$);
SELECT * FROM try($$SELECT als_similar_items_all('implicit', items => 7)$$);
SELECT * FROM try($$SELECT als_similar_items_all('implicit', exclude => ARRAY[now()])$$);
SELECT * FROM try($$SELECT als_similar_items_all('ratings')$$);
SELECT * FROM try($$SELECT als_similar_items_all(NULL)$$);

SET client_min_messages = error;
DROP SCHEMA similar_all CASCADE;
