-- What lists of items have beside filters, against SQL over the scores: min_score,
-- groups, diversity, boosts
SET client_min_messages = warning;
CREATE SCHEMA lists;
SET search_path = lists, public;
\i test/include/ratings.sql
\i test/include/errors.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(40, 300, 20);
SELECT users, items FROM als_train('implicit', 'ratings', factors => 8);
SELECT users, items FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 8, regularization => 0.1);
CREATE TABLE scores AS
    SELECT m AS model, user_id, item_id, als_predict(m::regclass, user_id, item_id) AS score
    FROM unnest(ARRAY['implicit', 'explicit']) m, implicit_users, implicit_items;
CREATE INDEX ON scores (model, user_id);
-- Of each user, the scores that come into question
CREATE VIEW eligible AS
    SELECT *, row_number() OVER (PARTITION BY model, user_id ORDER BY score DESC, item_id) AS place
    FROM scores s WHERE NOT EXISTS (SELECT FROM ratings r WHERE r.user_id = s.user_id AND r.item_id = s.item_id);
CREATE TABLE ranked AS TABLE eligible;
CREATE INDEX ON ranked (model, user_id);
ANALYZE ranked, scores;
CREATE VIEW callers AS SELECT model, user_id FROM unnest(ARRAY['implicit', 'explicit']) model, generate_series(1, 40, 3) user_id;

--
-- min_score
--

CREATE VIEW least AS SELECT model, user_id, k, min_score FROM callers, unnest(ARRAY[1, 10, 1000]) k,
    unnest(ARRAY['-Infinity', -1, 0, 0.2, 0.5, 2.5, 3, 3.3, 1e300, 'Infinity']::float8[]) min_score;
SELECT model, count(*), count(*) FILTER (WHERE found IS NULL) AS empty, bool_and(found IS NOT DISTINCT FROM expected) AS same, bool_and(everyone IS NOT DISTINCT FROM expected) AS in_all
FROM least l,
     LATERAL (SELECT array_agg((item_id, score)::text ORDER BY place) AS expected FROM ranked r WHERE (r.model, r.user_id) = (l.model, l.user_id) AND place <= k AND score >= min_score) e,
     LATERAL (SELECT array_agg((item_id, score)::text ORDER BY o) AS found FROM als_recommend(model::regclass, l.user_id, k, min_score => l.min_score) WITH ORDINALITY r(item_id, score, o)) f,
     LATERAL (SELECT array_agg((item_id, score)::text ORDER BY rank) AS everyone FROM als_recommend_all(model::regclass, k, ARRAY[l.user_id], min_score => l.min_score, workers => 0)) a
GROUP BY model ORDER BY model;
SELECT count(*), count(*) FILTER (WHERE a = b) AS same FROM als_recommend_for('explicit', ARRAY[1, 2, 3], ARRAY[1, 5, 3], k => 1000, min_score => 3) a
FULL JOIN (SELECT * FROM als_recommend_for('explicit', ARRAY[1, 2, 3], ARRAY[1, 5, 3], k => 1000) WHERE score >= 3) b USING (item_id);
-- with candidates, few or many
SELECT n, bool_and(found IS NOT DISTINCT FROM expected) AS same
FROM callers l, unnest(ARRAY[3, 30, 300]) n,
     LATERAL (SELECT array_agg((item_id, score)::text ORDER BY place) AS expected FROM ranked r WHERE (r.model, r.user_id) = (l.model, l.user_id) AND item_id <= n AND score >= 0.3) e,
     LATERAL (SELECT array_agg((item_id, score)::text ORDER BY o) AS found FROM als_recommend(model::regclass, l.user_id, 1000, candidates => ARRAY(SELECT generate_series(1, n)), min_score => 0.3) WITH ORDINALITY r(item_id, score, o)) f
GROUP BY n ORDER BY n;
SELECT * FROM try($$SELECT als_recommend('implicit', 1, min_score => 'NaN')$$);
SELECT * FROM try($$SELECT als_recommend_for('implicit', ARRAY[1], min_score => 'NaN')$$);
SELECT * FROM try($$SELECT als_recommend_all('implicit', min_score => 'NaN')$$);

--
-- At most so many of a group
--

-- seven groups, and items in none; nearly all in one; each in its own; two that nothing is left in
CREATE TABLE kinds AS
    SELECT kind, item_id, CASE kind WHEN 'sevens' THEN nullif(item_id % 8, 0) WHEN 'one' THEN CASE WHEN item_id % 40 = 3 THEN item_id ELSE 0 END
                                    WHEN 'own' THEN item_id ELSE item_id % 2 END AS in_group
    FROM implicit_items, unnest(ARRAY['sevens', 'one', 'own', 'two']) kind;
CREATE VIEW capped AS SELECT model, user_id, kind, k, per_group FROM callers, unnest(ARRAY['sevens', 'one', 'own', 'two']) kind, unnest(ARRAY[1, 10, 100]) k, unnest(ARRAY[1, 3, 1000]) per_group;
CREATE FUNCTION best_under_cap(capped) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT array_agg((item_id, score)::text ORDER BY score DESC, item_id) FROM (
        SELECT item_id, score FROM (
            SELECT r.item_id, r.score, g.in_group, row_number() OVER (PARTITION BY g.in_group ORDER BY r.place) AS nth
            FROM ranked r JOIN kinds g USING (item_id) WHERE (r.model, r.user_id, g.kind) = ($1.model, $1.user_id, $1.kind)) t
        WHERE in_group IS NULL OR nth <= $1.per_group ORDER BY score DESC, item_id LIMIT $1.k) t $$;
CREATE FUNCTION groups_query(kind text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT format('SELECT item_id, in_group FROM lists.kinds WHERE kind = %L', kind) $$;
SELECT kind, count(*), bool_and(found = best_under_cap(c)) AS same
FROM capped c, LATERAL (SELECT array_agg((item_id, score)::text ORDER BY o) AS found FROM als_recommend(model::regclass, c.user_id, k, groups => groups_query(kind), per_group => c.per_group) WITH ORDINALITY r(item_id, score, o)) f
GROUP BY kind ORDER BY kind;
-- a relation; groups and ids of other types; with other arguments
CREATE TABLE genres AS SELECT item_id::bigint, ('genre ' || in_group)::varchar AS genre, now() AS since FROM kinds WHERE kind = 'sevens';
SELECT count(*), bool_and(a = b) AS same
FROM als_recommend('implicit', 3, groups => 'genres') WITH ORDINALITY a(item_id, score, o)
FULL JOIN als_recommend('implicit', 3, groups => groups_query('sevens')) WITH ORDINALITY b(item_id, score, o) USING (o);
SELECT count(*), count(DISTINCT item_id % 8) AS groups, bool_and(item_id BETWEEN 101 AND 250 AND item_id <> 105) AS filtered, min(score) >= 2 AS at_least
FROM als_recommend('explicit', 3, 50, groups => 'genres', candidates => ARRAY(SELECT generate_series(101, 250)), exclude => ARRAY[105], min_score => 2) WHERE item_id % 8 <> 0;
SELECT count(*), max(n) FROM (SELECT count(*) AS n FROM als_recommend_for('implicit', ARRAY[1, 2], k => 20, groups => 'genres', per_group => 2) WHERE item_id % 8 <> 0 GROUP BY item_id % 8) t;
SELECT count(*), max(n) FROM (SELECT count(*) AS n FROM als_recommend('implicit', 999, 20, groups => 'genres', per_group => 2, cold_start => 'popular') WHERE item_id % 8 <> 0 GROUP BY item_id % 8) t;
-- who is in no group is in no way of others; nulls and unknown items do not matter
SELECT count(*) FROM als_recommend('implicit', 3, groups => 'SELECT 1, 1 WHERE false');
SELECT count(*) FROM als_recommend('implicit', 3, groups => 'VALUES (NULL, 1), (99999, 2), (1, NULL)');
SELECT count(*) FROM als_recommend('implicit', 3, groups => NULL, per_group => 1);
-- more groups of one item than one; the same twice is one
SELECT count(*) FROM als_recommend('implicit', 3, groups => 'SELECT item_id, genre FROM lists.genres UNION ALL SELECT item_id, genre FROM lists.genres');
SELECT * FROM try($$SELECT als_recommend('implicit', 3, 1000, candidates => ARRAY[7, 8], groups => 'SELECT item_id, n FROM lists.genres, generate_series(1, 2) n', exclude_seen => false, exclude => ARRAY[8])$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 3, groups => 'nowhere')$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 3, groups => 'SELECT 1')$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 3, groups => 'SELECT item_id, point(1, 1) FROM lists.genres')$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 3, groups => 'SELECT now(), 1')$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 3, groups => 'SELECT 1, 1; SELECT 2, 2')$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 3, groups => 'SELECT item_id, genre FROM lists.genres FOR UPDATE')$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 3, groups => 'genres', per_group => 0)$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 3, groups => 'genres', per_group => NULL)$$);

--
-- Diversity: maximal marginal relevance by its definition, of the best 10 k, at least 100
--

CREATE TABLE cosines AS
    SELECT m AS model, i.item_id AS a, s.item_id AS b, s.score FROM unnest(ARRAY['implicit', 'explicit']) m, implicit_items i, als_similar_items(m::regclass, i.item_id, 1000) s;
CREATE UNIQUE INDEX ON cosines (model, a, b);
ANALYZE cosines;
CREATE TYPE wish AS (model text, user_id int, k int, diversity float8, kind text, per_group int);
CREATE FUNCTION most_relevant(w wish) RETURNS text[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    items int[] := '{}';
    list text[];
    next record;
    depth int := CASE WHEN w.diversity > 0 THEN greatest(10 * w.k, 100) ELSE 1000 END;
BEGIN
    WHILE coalesce(cardinality(list), 0) < w.k LOOP
        SELECT r.item_id, r.score INTO next
        FROM ranked r LEFT JOIN kinds g ON g.item_id = r.item_id AND g.kind = w.kind,
             LATERAL (SELECT coalesce(max(c.score), 0) AS score FROM cosines c WHERE c.model = w.model AND c.a = r.item_id AND c.b = ANY (items)) alike
        WHERE (r.model, r.user_id) = (w.model, w.user_id) AND r.item_id <> ALL (items) AND r.place <= depth
          AND (g.in_group IS NULL OR (SELECT count(*) FROM kinds o WHERE o.kind = w.kind AND o.in_group = g.in_group AND o.item_id = ANY (items)) < w.per_group)
        ORDER BY (1 - w.diversity) * r.score::float8 - w.diversity * greatest(alike.score::float8, 0) DESC, r.place LIMIT 1;
        IF NOT FOUND THEN
            -- once more, from more of them
            EXIT WHEN depth >= 1000;
            depth := 8 * depth;
            items := '{}';
            list := NULL;
            CONTINUE;
        END IF;
        items := items || next.item_id;
        list := list || (next.item_id, next.score)::text;
    END LOOP;
    RETURN list;
END $$;
CREATE FUNCTION diverse(w wish) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT array_agg((item_id, score)::text ORDER BY o)
    FROM als_recommend(w.model::regclass, w.user_id, w.k, diversity => w.diversity, groups => groups_query(w.kind), per_group => w.per_group) WITH ORDINALITY r(item_id, score, o) $$;
CREATE TABLE wishes AS SELECT model, user_id, k, diversity, kind, per_group
    FROM unnest(ARRAY['implicit', 'explicit']) model, (VALUES (1, 8), (4, 15)) u(user_id, k), unnest(ARRAY[0, 0.05, 0.3, 0.7, 0.95, 1]::float8[]) diversity,
         (VALUES (NULL, 1), ('sevens', 2), ('one', 1)) g(kind, per_group);
SELECT model, kind, count(*), count(DISTINCT diverse(w::wish)) > 6 AS differ, bool_and(diverse(w::wish) = most_relevant(w::wish)) AS same
FROM (SELECT model, user_id, k, diversity, kind, per_group FROM wishes) w GROUP BY model, kind ORDER BY 1, 2;
-- the first is the best in any case, and all items come in the end
SELECT bool_and(r.item_id = (SELECT item_id FROM als_recommend('implicit', 5, 1))) AS best FROM unnest(ARRAY[0, 0.5, 1]::float8[]) d, als_recommend('implicit', 5, 1, diversity => d) r;
SELECT count(*), count(DISTINCT item_id), bool_and(item_id IN (SELECT item_id FROM ranked WHERE model = 'implicit' AND user_id = 5)) AS eligible FROM als_recommend('implicit', 5, 1000, diversity => 0.5);
SELECT count(*) FROM als_recommend_for('explicit', ARRAY[1, 2], k => 15, diversity => 0.5, candidates => ARRAY(SELECT generate_series(1, 12)));
-- the same where nothing is kept
SELECT diverse(('implicit', 7, 12, 0.4, 'sevens', 1)) AS kept \gset
SET als.cache_size = '64kB';
SELECT diverse(('implicit', 7, 12, 0.4, 'sevens', 1)) = :'kept' AS same;
RESET als.cache_size;
--
-- Boosts
--

CREATE TABLE boosts AS
    SELECT size, item_id, amount FROM (VALUES ('few', 50), ('half', 2), ('all', 1)) s(size, n), implicit_items,
         LATERAL (SELECT ((item_id * 7919) % 101 - 40)::float8 / 60) a(amount) WHERE item_id % n = 0;
CREATE VIEW boosting AS SELECT model, user_id, size, boost_by, k, min_score, diversity, kind
    FROM callers, unnest(ARRAY['few', 'half', 'all']) size, unnest(ARRAY['sum', 'product']) boost_by,
         (VALUES (1, NULL::float8), (10, 0.4), (1000, NULL)) a(k, min_score), (VALUES (0::float8, NULL), (0, 'sevens')) l(diversity, kind);
CREATE FUNCTION boosts_query(size text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT format('SELECT item_id, amount FROM lists.boosts WHERE size = %L', size) $$;
CREATE FUNCTION best_boosted(b boosting) RETURNS text[] LANGUAGE sql STABLE AS $$
    SELECT array_agg((item_id, score)::text ORDER BY score DESC, item_id) FROM (
        SELECT item_id, score FROM (
            SELECT r.item_id, s.score, g.in_group, row_number() OVER (PARTITION BY g.in_group ORDER BY s.score DESC, r.item_id) AS nth
            FROM ranked r LEFT JOIN boosts a ON a.item_id = r.item_id AND a.size = b.size
                 LEFT JOIN kinds g ON g.item_id = r.item_id AND g.kind = b.kind,
                 LATERAL (SELECT (CASE b.boost_by WHEN 'sum' THEN r.score::float8 + coalesce(a.amount, 0) ELSE r.score::float8 * coalesce(a.amount, 1) END)::real AS score) s
            WHERE (r.model, r.user_id) = (b.model, b.user_id)) t
        WHERE (in_group IS NULL OR nth <= 1) AND (b.min_score IS NULL OR score >= b.min_score) ORDER BY score DESC, item_id LIMIT b.k) t $$;
SELECT size, boost_by, kind, count(*), bool_and(found IS NOT DISTINCT FROM best_boosted(b)) AS same
FROM boosting b, LATERAL (SELECT array_agg((item_id, score)::text ORDER BY o) AS found
                          FROM als_recommend(model::regclass, b.user_id, k, boost => boosts_query(size), boost_by => b.boost_by,
                                             min_score => b.min_score, groups => groups_query(kind)) WITH ORDINALITY r(item_id, score, o)) f
GROUP BY size, boost_by, kind ORDER BY 1, 2, 3;
-- with filters
SELECT array_agg(item_id ORDER BY o) AS list FROM als_recommend('implicit', 5, 5, false, exclude => ARRAY[10], candidates => ARRAY[10, 20, 30, 41],
    boost => 'VALUES (10, 100.0), (41, 50.0), (20, 25.0), (50, 70.0), (99999, 1.0), (NULL, 1.0), (30, NULL)') WITH ORDINALITY r(item_id, score, o);
SELECT item_id FROM als_recommend_for('implicit', ARRAY[1, 2], k => 1, boost => 'SELECT 77, 1000');
-- a diverse list weighs what is boosted
SELECT item_id FROM als_recommend('implicit', 5, 1, diversity => 0.9, boost => 'SELECT 78, 1000');
-- the same where nothing is kept
SELECT array_agg(r::text) AS kept FROM als_recommend('explicit', 7, 20, boost => boosts_query('half')) r \gset
SET als.cache_size = '64kB';
SELECT array_agg(r::text) = :'kept' AS same FROM als_recommend('explicit', 7, 20, boost => boosts_query('half')) r;
RESET als.cache_size;
SELECT * FROM try($$SELECT als_recommend('implicit', 3, boost => 'SELECT 1, n FROM generate_series(1, 2) n')$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 3, boost => 'SELECT 1, float8 ''Infinity''')$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 3, exclude_seen => false, boost => 'SELECT 1, 1e300')$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 3, boost => 'SELECT 1, text ''x''')$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 3, boost => 'SELECT 1, now()')$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 3, boost => 'SELECT now(), 1')$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 3, boost => 'nowhere')$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 3, boost => 'SELECT 1, 1', boost_by => 'power')$$);
SELECT * FROM try($$SELECT als_recommend_for('implicit', ARRAY[3], boost => 'SELECT 1, 1', boost_by => NULL)$$);

-- many items, of which some are the same, with an index and without
CREATE TABLE user_factors AS SELECT u AS user_id, ARRAY(SELECT sin(u * f * 7.3)::real FROM generate_series(1, 6) f) AS factors FROM generate_series(1, 6) u;
CREATE TABLE item_factors AS SELECT i AS item_id, ARRAY(SELECT (sin(j * f * 1.7 + f) * (0.1 + j % 50 / 50.0))::real FROM generate_series(1, 6) f) AS factors FROM generate_series(1, 5000) i, LATERAL (SELECT i - i % 7 / 6 AS j) same;
SELECT (als_import('many', 'lists.user_factors', 'lists.item_factors', 'SELECT 1 AS user_id, 1 AS item_id, 1 AS rating')).items;
CREATE FUNCTION next_by_next(caller int, k int, diversity float8) RETURNS bigint[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    items int[] := '{}';
BEGIN
    FOR i IN 1..k LOOP
        items := items || (
            SELECT item_id FROM (SELECT item_id, als_predict('many', caller, item_id) AS score FROM many_items ORDER BY 2 DESC, 1 LIMIT 100) s
            LEFT JOIN (SELECT n.item_id, max(n.score) AS most FROM unnest(items) c, als_similar_items('many', c, 5000) n GROUP BY 1) m USING (item_id)
            WHERE item_id <> ALL (items)
            ORDER BY (1 - diversity) * score::float8 - diversity * greatest(coalesce(most, 0), 0)::float8 DESC, score DESC, item_id LIMIT 1);
    END LOOP;
    RETURN items;
END $$;
CREATE TABLE next_ones AS SELECT u, d, next_by_next(u, 7, d) AS expected FROM generate_series(1, 6) u, unnest(ARRAY[0.1, 0.4, 0.8, 1]) d;
SELECT d, count(*), bool_and(found = expected) AS same
FROM next_ones, LATERAL (SELECT array_agg(item_id ORDER BY o) AS found FROM als_recommend('many', u, 7, exclude_seen => false, diversity => d) WITH ORDINALITY r(item_id, score, o)) f GROUP BY d ORDER BY d;
SET als.cache_size = '64kB';
SELECT d, count(*), bool_and(found = expected) AS same
FROM next_ones, LATERAL (SELECT array_agg(item_id ORDER BY o) AS found FROM als_recommend('many', u, 7, exclude_seen => false, diversity => d) WITH ORDINALITY r(item_id, score, o)) f GROUP BY d ORDER BY d;
RESET als.cache_size;

--
-- Zero vectors are like nothing, each other included
--

UPDATE implicit_items SET factors = array_fill(0::real, ARRAY[8]) WHERE item_id IN (1, 2, 3);
SELECT array_agg(item_id ORDER BY o) AS list FROM als_recommend('implicit', 5, 3, false, candidates => ARRAY[1, 2, 3], diversity => 1) WITH ORDINALITY r(item_id, score, o);
SELECT * FROM try($$SELECT als_recommend('implicit', 3, diversity => 1.1)$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 3, diversity => -0.1)$$);
SELECT * FROM try($$SELECT als_recommend('implicit', 3, diversity => 'NaN')$$);
SELECT * FROM try($$SELECT als_recommend_for('implicit', ARRAY[3], diversity => NULL)$$);

SET client_min_messages = error;
DROP SCHEMA lists CASCADE;
