-- the idioms of docs/guide.md: filters are SQL
SET client_min_messages = warning;
CREATE SCHEMA filters;
SET search_path = filters, public;
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT user_id, item_id AS movie_id, rating FROM some_ratings(60, 400, 9);
CREATE TABLE movies AS
    SELECT i AS movie_id, 'movie ' || i AS title, i % 7 AS stock, (ARRAY['drama', 'comedy', 'horror'])[1 + i % 3] AS genre
    FROM generate_series(1, 400) i;
CREATE TABLE shown AS SELECT u AS user_id, i AS movie_id FROM generate_series(1, 60) u, generate_series(1, 400) i WHERE (u + i) % 11 = 0;
SELECT users, items FROM als_train('movie_als', 'ratings', item_column => 'movie_id', factors => 8);

-- every score, to compare with
CREATE TABLE scores AS
    SELECT u.user_id, i.item_id::bigint, als_predict('movie_als', u.user_id, i.item_id) AS score
    FROM movie_als_users u, movie_als_items i
    WHERE NOT EXISTS (SELECT FROM ratings r WHERE r.user_id = u.user_id AND r.movie_id = i.item_id);
ANALYZE scores, movies, shown;
CREATE FUNCTION best(u int, filter text) RETURNS text[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    result text[];
BEGIN
    EXECUTE format('SELECT array_agg((item_id, score)::text) FROM (
                        SELECT item_id, score FROM scores s JOIN movies m ON m.movie_id = s.item_id
                        WHERE s.user_id = $1 AND %s ORDER BY score DESC, item_id LIMIT 10) t', filter)
    INTO result USING u;
    RETURN result;
END $$;

-- in stock
SELECT count(*), bool_and(r.items = best(u.user_id, 'stock > 0')) AS same
FROM movie_als_users u, LATERAL (
    SELECT array_agg((item_id, score)::text) AS items
    FROM als_recommend('movie_als', u.user_id, exclude => ARRAY(SELECT movie_id FROM movies WHERE stock = 0))) r;
-- of a category
SELECT count(*), bool_and(r.items = best(u.user_id, 'genre = ''comedy''')) AS same
FROM movie_als_users u, LATERAL (
    SELECT array_agg((item_id, score)::text) AS items
    FROM als_recommend('movie_als', u.user_id, candidates => ARRAY(SELECT movie_id FROM movies WHERE genre = 'comedy'))) r;
-- already shown to this user
SELECT count(*), bool_and(r.items = best(u.user_id, 'NOT EXISTS (SELECT FROM shown WHERE shown.user_id = $1 AND shown.movie_id = m.movie_id)')) AS same
FROM movie_als_users u, LATERAL (
    SELECT array_agg((item_id, score)::text) AS items
    FROM als_recommend('movie_als', u.user_id, exclude => ARRAY(SELECT movie_id FROM shown s WHERE s.user_id = u.user_id))) r;
-- all of them
SELECT count(*), bool_and(r.items = best(u.user_id, 'stock > 0 AND genre = ''drama'' AND NOT EXISTS (SELECT FROM shown WHERE shown.user_id = $1 AND shown.movie_id = m.movie_id)')) AS same
FROM movie_als_users u, LATERAL (
    SELECT array_agg((item_id, score)::text) AS items
    FROM als_recommend('movie_als', u.user_id,
                       exclude => ARRAY(SELECT movie_id FROM shown s WHERE s.user_id = u.user_id),
                       candidates => ARRAY(SELECT movie_id FROM movies WHERE genre = 'drama' AND stock > 0))) r;
-- for many users, each with the title
SELECT count(*), count(DISTINCT u.user_id) AS users, count(m.title)
FROM movie_als_users u
CROSS JOIN LATERAL als_recommend('movie_als', u.user_id, 5) r
JOIN movies m ON m.movie_id = r.item_id;
-- the k best of a category each
SELECT g.genre, count(*), bool_and(m.genre = g.genre) AS all_of_it
FROM (SELECT DISTINCT genre FROM movies) g
CROSS JOIN LATERAL als_recommend('movie_als', 7, 3, candidates => ARRAY(SELECT movie_id FROM movies WHERE movies.genre = g.genre)) r
JOIN movies m ON m.movie_id = r.item_id
GROUP BY g.genre ORDER BY g.genre;

-- no filter ever lets an item through: seen, excluded or no candidate; kept or not, few or many
CREATE FUNCTION leaks() RETURNS TABLE (returned bigint, seen bigint, excluded bigint, others bigint) LANGUAGE sql VOLATILE AS $$
    SELECT count(*), count(*) FILTER (WHERE s.movie_id IS NOT NULL), count(*) FILTER (WHERE r.item_id % every = 0),
           count(*) FILTER (WHERE r.item_id > last)
    FROM generate_series(1, 12) u(user_id) CROSS JOIN unnest(ARRAY[2, 3, 50]) every CROSS JOIN unnest(ARRAY[5, 20, 200, 400]) last
         CROSS JOIN LATERAL als_recommend('movie_als', u.user_id, 1000,
                               exclude => ARRAY(SELECT generate_series(0, 1000, every)),
                               candidates => ARRAY(SELECT generate_series(1, last))) r
         LEFT JOIN ratings s ON s.user_id = u.user_id AND s.movie_id = r.item_id $$;
CREATE FUNCTION expected() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT count(*) FROM scores, unnest(ARRAY[2, 3, 50]) every, unnest(ARRAY[5, 20, 200, 400]) last
    WHERE user_id <= 12 AND item_id % every <> 0 AND item_id <= last $$;
SELECT returned = expected() AS all_there, seen, excluded, others FROM leaks();
SET als.cache_size = '64kB';
SELECT returned = expected() AS all_there, seen, excluded, others FROM leaks();
RESET als.cache_size;

-- tens of thousands of ids, known and unknown, twice and null
SELECT count(*), count(*) FILTER (WHERE item_id % 2 = 0) AS excluded
FROM als_recommend('movie_als', 7, 1000, exclude_seen => false,
                   exclude => ARRAY(SELECT CASE WHEN i % 100 <> 0 THEN i * 2 % 100000 END FROM generate_series(1, 100000) i)
                              || ARRAY(SELECT generate_series(2, 400, 2)));
SELECT count(*), max(item_id)
FROM als_recommend('movie_als', 7, 1000, exclude_seen => false, candidates => ARRAY(SELECT generate_series(301, 50000)));

-- A catalogue of 60,000 items, and filters of 30,000 ids in no order, some of
-- them twice, with nulls and unknown ids among them: what a WHERE makes of all scores.
CREATE TABLE many_ratings AS
    SELECT i * 13 % 7 + d AS user_id, i AS item_id, (1 + i * 31 % 997)::real / 100 AS rating
    FROM generate_series(1, 60000) i, generate_series(0, i % 2) d;
CREATE INDEX ON many_ratings (user_id);
SELECT users, items FROM als_train('many', 'many_ratings', factors => 4, iterations => 1);
-- somebody new is a user as well, to say which scores als_recommend_for must give
CREATE TABLE basket AS SELECT ARRAY[3, 500, 59999] AS items, ARRAY[2, 1, 4]::float8[] AS ratings;
INSERT INTO many_ratings SELECT 100, item, rating FROM basket, unnest(items, ratings) AS t(item, rating);
INSERT INTO many_users SELECT 100, als_fold_in('many', items, ratings) FROM basket;
CREATE TABLE many_scores AS
    SELECT user_id, item_id::bigint, als_predict('many', user_id, item_id) AS score,
           EXISTS (SELECT FROM many_ratings r WHERE r.user_id = u.user_id AND r.item_id = i.item_id) AS seen
    FROM many_users u, many_items i WHERE user_id IN (1, 100);
ANALYZE many_scores;
SELECT count(*), max(abs(score - (SELECT sum(x::float8 * y) FROM unnest(u.factors, i.factors) f(x, y)))) < 1e-5 AS scores
FROM many_scores JOIN many_users u USING (user_id) JOIN many_items i USING (item_id);
CREATE TABLE ids AS
    SELECT 'odd' AS kind, n, CASE n % 100 WHEN 0 THEN NULL WHEN 50 THEN n + 100000 WHEN 51 THEN -n
                             ELSE CASE WHEN n > 29000 THEN n - 29000 ELSE n END * 2 + 1 END AS id FROM generate_series(0, 29999) n
    UNION ALL SELECT 'upper', n, CASE n % 100 WHEN 0 THEN NULL ELSE CASE WHEN n > 29000 THEN n + 2000 ELSE n + 30001 END END FROM generate_series(0, 29999) n;
ANALYZE ids;
CREATE TABLE arrays AS SELECT kind, array_agg(id ORDER BY hashint4(n)) AS ids FROM ids GROUP BY kind;
SELECT kind, count(*), count(*) - count(id) AS nulls, count(id) - count(DISTINCT id) AS twice, count(*) FILTER (WHERE id NOT BETWEEN 1 AND 60000) AS unknown
FROM ids GROUP BY kind ORDER BY kind;
CREATE TABLE cases AS
    SELECT v.*, with_seen, k
    FROM (VALUES ('odd', NULL), (NULL, 'odd'), ('upper', 'odd')) v(exclude, candidates), (VALUES (false, 10), (true, 10), (false, 60000)) w(with_seen, k);
CREATE VIEW calls AS
    SELECT c.*, e.ids AS exclude_ids, a.ids AS candidates_ids FROM cases c LEFT JOIN arrays e ON e.kind = exclude LEFT JOIN arrays a ON a.kind = candidates;
CREATE TABLE plain AS
    SELECT who, c.*, (SELECT md5(string_agg((item_id, score)::text, ',' ORDER BY score DESC, item_id)) || ' ' || count(*) FROM (
                          SELECT item_id, score FROM many_scores
                          WHERE user_id = who AND (with_seen OR NOT seen)
                            AND (candidates IS NULL OR item_id IN (SELECT id FROM ids WHERE kind = candidates))
                            AND NOT EXISTS (SELECT FROM ids WHERE kind = exclude AND id = item_id)
                          ORDER BY score DESC, item_id LIMIT k) t) AS rows
    FROM unnest(ARRAY[1, 100]) who, cases c;
SELECT who, exclude, candidates, with_seen, array_agg(split_part(rows, ' ', 2)::int ORDER BY k) AS rows FROM plain GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4;
CREATE VIEW answers AS
    SELECT 'als_recommend' AS function, who, exclude, candidates, with_seen, k,
           (SELECT md5(string_agg((item_id, score)::text, ',' ORDER BY o)) || ' ' || count(*)
            FROM als_recommend('many', who, k, NOT with_seen, exclude_ids, candidates_ids) WITH ORDINALITY r(item_id, score, o)) AS rows
    FROM calls, unnest(ARRAY[1, 100]) who
    UNION ALL
    SELECT 'als_recommend_for', 100, exclude, candidates, with_seen, k,
           (SELECT md5(string_agg((item_id, score)::text, ',' ORDER BY o)) || ' ' || count(*)
            FROM als_recommend_for('many', items, ratings, k, NOT with_seen, exclude_ids, candidates_ids) WITH ORDINALITY r(item_id, score, o))
    FROM calls, basket
    UNION ALL
    SELECT 'als_recommend_all', who, exclude, candidates, with_seen, k,
           (SELECT md5(string_agg((item_id, score)::text, ',' ORDER BY rank)) || ' ' || count(*)
            FROM als_recommend_all('many', k, ARRAY[who], NOT with_seen, exclude_ids, candidates_ids))
    FROM calls, unnest(ARRAY[1, 100]) who;
CREATE FUNCTION same(most int) RETURNS TABLE (function text, calls bigint, same bigint) LANGUAGE sql VOLATILE AS $$
    SELECT function, count(*), count(*) FILTER (WHERE a.rows = p.rows)
    FROM answers a JOIN plain p ON (p.who, p.with_seen, p.k) = (a.who, a.with_seen, a.k)
         AND (p.exclude, p.candidates) IS NOT DISTINCT FROM (a.exclude, a.candidates)
    WHERE a.k <= most AND (most > 10 OR NOT a.with_seen) GROUP BY function ORDER BY function COLLATE "C" $$;
SELECT * FROM same(60000);
SET als.cache_size = '64kB';
SELECT * FROM same(10);
RESET als.cache_size;
-- as arrays of other types, as a literal, and as a query
SELECT ids::text AS odd FROM arrays WHERE kind = 'odd' \gset
SELECT type, answer = split_part(rows, ' ', 1) AS same
FROM (SELECT 'bigint' AS type, md5(string_agg((item_id, score)::text, ',')) AS answer
      FROM als_recommend('many', 1, exclude_seen => false, candidates => ARRAY(SELECT id::bigint + CASE WHEN id > 90000 THEN 5000000000 ELSE 0 END FROM ids WHERE kind = 'odd'))
      UNION ALL SELECT 'text', md5(string_agg((item_id, score)::text, ','))
      FROM als_recommend('many', 1, exclude_seen => false, candidates => ARRAY(SELECT id::text FROM ids WHERE kind = 'odd'))
      UNION ALL SELECT 'literal', md5(string_agg((item_id, score)::text, ','))
      FROM als_recommend('many', 1, exclude_seen => false, candidates => :'odd')) t,
     plain WHERE who = 1 AND exclude IS NULL AND candidates = 'odd' AND with_seen AND k = 10 ORDER BY type;
-- and of items whose ids are text
SELECT items FROM als_train('many_text', 'SELECT user_id, ''item '' || item_id AS item_id, rating FROM filters.many_ratings', factors => 4, iterations => 1);
CREATE TABLE text_scores AS SELECT item_id, als_predict('many_text', 1, item_id) AS score FROM many_text_items;
SELECT filter, count(*), (array_agg((item_id, score) ORDER BY o) = CASE filter
    WHEN 'exclude' THEN (SELECT array_agg((item_id, score) ORDER BY score DESC, item_id) FROM text_scores WHERE item_id NOT IN (SELECT 'item ' || id FROM ids WHERE kind = 'odd' AND id IS NOT NULL))
    ELSE (SELECT array_agg((item_id, score) ORDER BY score DESC, item_id) FROM text_scores WHERE item_id IN (SELECT 'item ' || id FROM ids WHERE kind = 'odd')) END) AS same
FROM (SELECT 'exclude' AS filter, * FROM als_recommend_as(NULL::text, 'many_text', 1, 60000, false, exclude => ARRAY(SELECT 'item ' || id FROM ids WHERE kind = 'odd')) WITH ORDINALITY r(item_id, score, o)
      UNION ALL SELECT 'candidates', * FROM als_recommend_as(NULL::text, 'many_text', 1, 60000, false, candidates => ARRAY(SELECT 'item ' || id FROM ids WHERE kind = 'odd')) WITH ORDINALITY r(item_id, score, o)) t
GROUP BY filter ORDER BY filter;

SET client_min_messages = error;
DROP SCHEMA filters CASCADE;
