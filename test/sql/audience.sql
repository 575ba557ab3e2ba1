-- als_audience: the best users for an item, against sorting als_predict
SET client_min_messages = warning;
CREATE SCHEMA audience;
SET search_path = audience, public;
\i test/include/ratings.sql
\i test/include/errors.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(60, 40, 20);
SELECT users, items FROM als_train('model', 'ratings', factors => 8);
SELECT users, items FROM als_train('explicit_model', 'ratings', feedback => 'explicit', factors => 8, regularization => 0.1);
CREATE TABLE scores AS
    SELECT m AS model, user_id, item_id, als_predict(m::regclass, user_id, item_id) AS score
    FROM unnest(ARRAY['model', 'explicit_model']) m, model_users, model_items;
CREATE INDEX ON scores (model, item_id);
CREATE INDEX ON ratings (item_id);
ANALYZE scores, ratings;

-- all filters at once, with and without who has it already
CREATE TABLE calls AS
    SELECT * FROM unnest(ARRAY['model', 'explicit_model']) model, unnest(ARRAY[true, false]) exclude_seen, unnest(ARRAY[1, 5, 100]) k,
                  (VALUES (1, NULL::int[]), (2, '{1,2,3,999,NULL}'), (3, ARRAY(SELECT generate_series(2, 60, 2)))) e(e, exclude),
                  (VALUES (1, NULL::int[]), (2, '{5,7,9,999,NULL,5}'), (3, ARRAY(SELECT generate_series(10, 60)))) c(c, candidates);
CREATE FUNCTION sorted(calls, item int) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT string_agg((user_id, score)::text, ',' ORDER BY score DESC, user_id)
    FROM (SELECT user_id, score FROM scores s
          WHERE s.model = $1.model AND item_id = item
            AND NOT ($1.exclude_seen AND EXISTS (SELECT FROM ratings r WHERE r.user_id = s.user_id AND r.item_id = item))
            AND ($1.exclude IS NULL OR (user_id = ANY ($1.exclude)) IS NOT TRUE)
            AND ($1.candidates IS NULL OR user_id = ANY ($1.candidates))
          ORDER BY score DESC, user_id LIMIT $1.k) t $$;
CREATE FUNCTION found(calls, item int) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT string_agg((user_id, score)::text, ',' ORDER BY o)
    FROM als_audience($1.model::regclass, item, $1.k, $1.exclude_seen, $1.exclude, $1.candidates) WITH ORDINALITY t(user_id, score, o) $$;
SELECT model, exclude_seen, count(*), bool_and(found(calls, item_id) IS NOT DISTINCT FROM sorted(calls, item_id)) AS same
FROM calls, generate_series(1, 40, 3) item_id GROUP BY 1, 2 ORDER BY 1, 2;
SET als.cache_size = '64kB';
SELECT model, exclude_seen, count(*), bool_and(found(calls, item_id) IS NOT DISTINCT FROM sorted(calls, item_id)) AS same
FROM calls, generate_series(1, 5) item_id GROUP BY 1, 2 ORDER BY 1, 2;
RESET als.cache_size;

-- so many users that an index pays, and ties in the order of ids
SELECT users FROM als_train('many', 'SELECT u AS user_id, i AS item_id, 1 AS rating FROM generate_series(1, 5000) u, generate_series(1, 20) i WHERE (u * 7919 + i * 104729 + u * i * 13) % 101 < 25',
                            factors => 6, iterations => 2);
UPDATE many_users SET factors = (SELECT factors FROM many_users WHERE user_id = 7) WHERE user_id % 100 < 3;
SELECT count(*), bool_and(found = sorted) AS same
FROM generate_series(1, 20) i, unnest(ARRAY[3, 60, 5000]) k,
     LATERAL (SELECT array_agg((user_id, score)::text ORDER BY o) AS found FROM als_audience('many', i, k, false) WITH ORDINALITY t(user_id, score, o)) f,
     LATERAL (SELECT array_agg((user_id, score)::text ORDER BY score DESC, user_id) AS sorted
              FROM (SELECT user_id, als_predict('many', user_id, i) AS score FROM many_users ORDER BY score DESC, user_id LIMIT k) t) s;

-- min_score: a list ends before the first that is less
SELECT count(*), bool_and(found IS NOT DISTINCT FROM sorted) AS same
FROM generate_series(1, 20, 4) i, unnest(ARRAY[3, 60, 5000]) k, unnest(ARRAY['-Infinity', -0.1, 0, 0.5, 0.9, 'Infinity']::float8[]) least,
     LATERAL (SELECT array_agg((user_id, score)::text ORDER BY o) AS found FROM als_audience('many', i, k, false, min_score => least) WITH ORDINALITY t(user_id, score, o)) f,
     LATERAL (SELECT array_agg((user_id, score)::text ORDER BY score DESC, user_id) AS sorted
              FROM (SELECT user_id, als_predict('many', user_id, i) AS score FROM many_users ORDER BY score DESC, user_id LIMIT k) t WHERE score >= least) s;

-- who has it is asked of the ratings of now
SELECT user_id AS best FROM als_audience('model', 3, 1) \gset
INSERT INTO ratings VALUES (:best, 3, 1);
SELECT count(*) FROM als_audience('model', 3, 100) WHERE user_id = :best;
DELETE FROM ratings WHERE item_id = 3;
SELECT user_id = :best AS back FROM als_audience('model', 3, 1, candidates => ARRAY[:best]);
SELECT count(*) FROM als_audience('model', 3, 100);

-- an item that the model does not know is folded in from who has it by now, as als_refresh_item does
INSERT INTO ratings SELECT u, 100, 1 + u % 3 FROM generate_series(2, 12) u;
CREATE TABLE folded AS
    SELECT m AS model, user_id, score FROM unnest(ARRAY['model', 'explicit_model']) m, als_audience(m::regclass, 100, 1000, false);
SELECT count(*) FROM als_audience('model', 100, 1000) JOIN ratings r USING (user_id) WHERE r.item_id = 100;
SELECT als_refresh_item('model', 100), als_refresh_item('explicit_model', 100);
SELECT model, count(*), max(abs(score - als_predict(model::regclass, user_id, 100))) < 1e-5 AS same FROM folded GROUP BY model ORDER BY model;

-- k, unknown ids and nulls
SELECT count(*) FROM als_audience('model', 3, 0);
SELECT count(*) FROM als_audience('model', 3, 9223372036854775807, exclude_seen => false);
SELECT count(*) FROM als_audience('model', 999);
SELECT count(*) FROM als_audience('model', 5000000000);
SELECT count(*) FROM als_audience('model', NULL);
SELECT count(*) FROM als_audience('model', '3', 5);
SELECT count(*) FROM als_audience('model', 3, candidates => '{}'::int[]);

-- a model without a source
SELECT (als_train_agg('sourceless', user_id, item_id, rating, '{"factors": 4}')).users FROM ratings WHERE item_id < 100;
SELECT count(*) FROM als_audience('sourceless', 5);
SELECT count(*) FROM als_audience('sourceless', 999);

-- ids of other types
CREATE VIEW text_ratings AS SELECT 'u''' || user_id AS user_id, md5(item_id::text)::uuid AS item_id, rating FROM ratings;
SELECT users, items FROM als_train('text_model', 'text_ratings', factors => 8);
SELECT i, array_agg((r.user_id, r.score)::text ORDER BY o) = array_agg((s.u, s.score)::text ORDER BY o) AS same
FROM generate_series(5, 7) i,
     als_audience_as(NULL::text, 'text_model', md5(i::text)::uuid, 10, false, exclude => ARRAY['u''1', 'nobody']) WITH ORDINALITY r(user_id, score, o)
     JOIN LATERAL (SELECT user_id AS u, als_predict('text_model', user_id, md5(i::text)) AS score, row_number() OVER (ORDER BY als_predict('text_model', user_id, md5(i::text)) DESC, user_id) AS o
                   FROM text_model_users WHERE user_id <> 'u''1') s USING (o)
GROUP BY i ORDER BY i;
SELECT user_id FROM als_audience_as(NULL::varchar, 'text_model', md5('5'), 1, false, '{"u''1"}', ARRAY['u''1', 'u''2']);

--
-- als_audience_all: what als_audience returns for each
--

DELETE FROM ratings WHERE item_id >= 100;
INSERT INTO ratings SELECT u, 3, 1 FROM generate_series(1, 7) u;
CREATE TABLE all_calls AS
    SELECT *, row_number() OVER () AS n FROM calls, unnest(ARRAY[0, 2]) workers, unnest(ARRAY[NULL, 0.3]) least WHERE k < 100 AND (workers = 0 OR e = 2);
CREATE TABLE everyone AS
    SELECT n, a.item_id, array_agg((a.user_id, a.score)::text ORDER BY rank) AS found, min(rank) = 1 AND max(rank) = count(*) AND count(DISTINCT rank) = count(*) AS ranks
    FROM all_calls c, als_audience_all(model::regclass, k, NULL::int[], exclude_seen, exclude, candidates, workers, least) a GROUP BY n, a.item_id;
SELECT model, exclude_seen, count(*), count(*) FILTER (WHERE found IS NULL) AS empty, bool_and(found IS NOT DISTINCT FROM expected) AS same, bool_and(ranks) AS ranks
FROM all_calls c CROSS JOIN (SELECT item_id FROM model_items WHERE item_id < 100) i
     LEFT JOIN everyone e USING (n, item_id),
     LATERAL (SELECT array_agg((user_id, score)::text ORDER BY o) AS expected FROM als_audience(model::regclass, item_id, k, exclude_seen, exclude, candidates, least) WITH ORDINALITY t(user_id, score, o)) a
GROUP BY 1, 2 ORDER BY 1, 2;
-- of some items; who has them is read of these alone, or of all
SELECT cardinality(items), count(*), array_agg(DISTINCT a.item_id) AS of, bool_and(NOT EXISTS (SELECT FROM ratings r WHERE (r.user_id, r.item_id) = (a.user_id, a.item_id))) AS not_seen
FROM (VALUES ('{3,5,999,NULL,3}'::int[]), ('{}'), (ARRAY(SELECT generate_series(3, 11000)))) i(items), als_audience_all('model', 4, items) a WHERE a.item_id < 6 GROUP BY items ORDER BY 2, cardinality(items);
SELECT count(*) FROM als_audience_all('model', 2, '{3,5}');
SELECT count(*) FROM als_audience_all('model', 0);
SELECT count(*) FROM als_audience_all('sourceless', 3, ARRAY[5, 6]);
-- a zero vector has no audience, nor does als_audience know one for it
UPDATE sourceless_items SET factors = '{0,0,0,0}' WHERE item_id = 5;
SELECT (SELECT count(*) FROM als_audience_all('sourceless', 3, ARRAY[5])) AS everyone, (SELECT count(*) FROM als_audience('sourceless', 5)) AS one;
-- ids of other types
SELECT count(*), bool_and(a.score = als_predict('text_model', a.user_id, a.item_id)) AS same, count(DISTINCT a.item_id) AS items
FROM als_audience_all_as(NULL::uuid, NULL::text, 'text_model', 3, exclude => ARRAY['u''1']) a;
SELECT * FROM try($$SELECT als_audience_all('text_model')$$);
SELECT * FROM try($$SELECT als_audience_all_as(NULL::uuid, NULL::int, 'text_model')$$);
SELECT * FROM try($$SELECT als_audience_all('model', items => 5)$$);
SELECT * FROM try($$SELECT als_audience_all('model', candidates => ARRAY[now()])$$);
SELECT * FROM try($$SELECT als_audience_all('model', workers => -1)$$);
SELECT * FROM try($$SELECT als_audience_all('model', min_score => 'NaN')$$);

-- Errors
SELECT * FROM try($$SELECT als_audience('model', 1, -1)$$);
SELECT * FROM try($$SELECT als_audience('model', 1, NULL)$$);
SELECT * FROM try($$SELECT als_audience('model', 1, exclude_seen => NULL)$$);
SELECT * FROM try($$SELECT als_audience(NULL, 1)$$);
SELECT * FROM try($$SELECT als_audience('ratings', 1)$$);
SELECT * FROM try($$SELECT als_audience('model', now())$$);
SELECT * FROM try($$SELECT als_audience('model', 1, exclude => 5)$$);
SELECT * FROM try($$SELECT als_audience('model', 1, candidates => ARRAY[now()])$$);
SELECT * FROM try($$SELECT als_audience('model', 1, min_score => 'NaN')$$);
SELECT * FROM try($$SELECT als_audience('text_model', md5('5'))$$);
DROP TABLE ratings CASCADE;
SELECT * FROM try($$SELECT als_audience('model', 1)$$);
SELECT * FROM try($$SELECT als_audience_all('model', 1)$$);
SELECT count(*) FROM als_audience('model', 1, exclude_seen => false);

SET client_min_messages = error;
DROP SCHEMA audience CASCADE;
