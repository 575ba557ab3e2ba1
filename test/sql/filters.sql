-- the idioms of docs/guide.md: filters are SQL
SET client_min_messages = warning;
CREATE SCHEMA filters;
SET search_path = filters, public;
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS movie_id, (1 + (u * 31 + i * 17) % 5)::real AS rating
    FROM generate_series(1, 60) u, generate_series(1, 400) i
    WHERE (u * 7919 + i * 104729 + u * i * 13) % 97 < 9;
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

SET client_min_messages = error;
DROP SCHEMA filters CASCADE;
