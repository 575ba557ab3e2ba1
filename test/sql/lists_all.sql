-- Diversity, groups and boosts of als_recommend_all: row by row what als_recommend
-- returns, which lists.sql compares with SQL over the scores
SET client_min_messages = warning;
CREATE SCHEMA lists_all;
SET search_path = lists_all, public;
\i test/include/ratings.sql
\i test/include/errors.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(90, 300, 20);
SELECT users, items FROM als_train('implicit', 'ratings', factors => 8);
SELECT users, items FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 8, regularization => 0.1);

-- seven groups, and items in none; nearly all in one, so that a list takes most of the
-- ranking; items that the model does not know; one group alone, of one item
CREATE TABLE kinds AS
    SELECT kind, item_id, CASE kind WHEN 'sevens' THEN nullif(item_id % 8, 0)::text
                                    WHEN 'one' THEN CASE WHEN item_id % 40 = 3 THEN 'own ' || item_id ELSE 'big' END
                                    WHEN 'alone' THEN CASE item_id WHEN 5 THEN 'five' END END AS in_group
    FROM generate_series(1, 320) item_id, unnest(ARRAY['sevens', 'one', 'alone']) kind;
CREATE FUNCTION groups_query(kind text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT format('SELECT item_id, in_group FROM lists_all.kinds WHERE kind = %L', kind) $$;
CREATE TABLE boosts AS
    SELECT size, item_id, amount FROM (VALUES ('few', 50), ('half', 2), ('all', 1)) s(size, n), generate_series(1, 320) item_id,
         LATERAL (SELECT ((item_id * 7919) % 101 - 40)::float8 / 60) a(amount) WHERE item_id % n = 0;
CREATE FUNCTION boosts_query(size text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT format('SELECT item_id, amount FROM lists_all.boosts WHERE size = %L', size) $$;

-- How many rows there are, and how many are not the same in both
CREATE FUNCTION compared(model regclass, k int, diversity float8, kind text, per_group int, boosted text, boost_by text,
                         min_score float8 DEFAULT NULL, workers int DEFAULT 0, seen bool DEFAULT false,
                         OUT count bigint, OUT different bigint) LANGUAGE sql AS $$
    WITH everyone AS (
        SELECT * FROM als_recommend_all(model, k, exclude_seen => NOT seen, exclude => ARRAY[11, 12], min_score => min_score, workers => workers,
                                        diversity => diversity, groups => groups_query(kind), per_group => per_group,
                                        boost => boosts_query(boosted), boost_by => boost_by)
    ), each AS (
        SELECT u.user_id::bigint, r.item_id, r.score, r.rank::int
        FROM implicit_users u,
             als_recommend(model, u.user_id, k, exclude_seen => NOT seen, exclude => ARRAY[11, 12], min_score => min_score,
                           diversity => diversity, groups => groups_query(kind), per_group => per_group,
                           boost => boosts_query(boosted), boost_by => boost_by) WITH ORDINALITY r(item_id, score, rank)
    )
    SELECT (SELECT count(*) FROM everyone), (SELECT count(*) FROM ((TABLE everyone EXCEPT ALL TABLE each) UNION ALL (TABLE each EXCEPT ALL TABLE everyone)) d)
$$;

-- groups
SELECT model, kind, per_group, sum(count), sum(different) AS different
FROM unnest(ARRAY['implicit', 'explicit']) model, unnest(ARRAY['sevens', 'one', 'alone']) kind, unnest(ARRAY[1, 3]) per_group, unnest(ARRAY[1, 10, 400]) k,
     compared(model::regclass, k, 0, kind, per_group, NULL, 'sum')
GROUP BY model, kind, per_group ORDER BY 1, 2, 3;
-- diversity
SELECT model, diversity, sum(count), sum(different) AS different
FROM unnest(ARRAY['implicit', 'explicit']) model, unnest(ARRAY[0.05, 0.5, 0.95, 1]) diversity, unnest(ARRAY[1, 12]) k,
     compared(model::regclass, k, diversity, NULL, 1, NULL, 'sum')
GROUP BY model, diversity ORDER BY 1, 2;
SELECT * FROM compared('implicit', 400, 0.3, NULL, 1, NULL, 'sum');
-- boosts
SELECT model, size, boost_by, sum(count), sum(different) AS different
FROM unnest(ARRAY['implicit', 'explicit']) model, unnest(ARRAY['few', 'half', 'all']) size, unnest(ARRAY['sum', 'product']) boost_by, unnest(ARRAY[1, 10, 400]) k,
     compared(model::regclass, k, 0, NULL, 1, size, boost_by)
GROUP BY model, size, boost_by ORDER BY 1, 2, 3;
-- all at once, with the least score, with what is seen, in workers, with little memory
SELECT model, seen, workers, sum(count) > 800 AS many, sum(different) AS different
FROM unnest(ARRAY['implicit', 'explicit']) model, unnest(ARRAY[false, true]) seen, unnest(ARRAY[0, 2]) workers, unnest(ARRAY[NULL, 0.4]::float8[]) min_score,
     compared(model::regclass, 8, 0.3, 'one', 2, 'half', 'product', min_score, workers, seen)
GROUP BY model, seen, workers ORDER BY 1, 2, 3;
SET work_mem = '64kB';
SET maintenance_work_mem = '1MB';
SELECT * FROM compared('implicit', 300, 0.1, 'sevens', 20, 'few', 'sum');
SELECT * FROM compared('implicit', 8, 0.9, 'one', 2, NULL, 'sum', workers => 2);
RESET work_mem;
RESET maintenance_work_mem;

-- for some users, from few candidates; ids of another type
SELECT count(*), count(DISTINCT user_id), max(n) FROM (
    SELECT user_id, count(*) OVER (PARTITION BY user_id, item_id % 8) AS n
    FROM als_recommend_all('implicit', 20, ARRAY[3, 1, 999], candidates => ARRAY(SELECT generate_series(1, 60)), groups => 'SELECT item_id, in_group FROM lists_all.kinds WHERE kind = ''sevens''', per_group => 2)
    WHERE item_id % 8 <> 0) t;
CREATE TABLE text_ratings AS SELECT 'u' || user_id AS user_id, 'i' || item_id AS item_id, rating FROM ratings;
SELECT users, items FROM als_train('texts', 'text_ratings', factors => 4);
SELECT count(*), count(e) AS same
FROM als_recommend_all_as(NULL::text, NULL::text, 'texts', 5, diversity => 0.4, groups => 'SELECT ''i'' || item_id, in_group FROM lists_all.kinds WHERE kind = ''sevens''', boost => 'VALUES (''i7'', 0.5)') a
LEFT JOIN (SELECT u.user_id, r.* FROM texts_users u,
                  als_recommend_as(NULL::text, 'texts', u.user_id, 5, diversity => 0.4, groups => 'SELECT ''i'' || item_id, in_group FROM lists_all.kinds WHERE kind = ''sevens''', boost => 'VALUES (''i7'', 0.5)') WITH ORDINALITY r(item_id, score, rank)) e
     USING (user_id, item_id, score, rank);
-- no groups, no boosts, nothing to recommend
SELECT (r).*, s.count FROM compared('implicit', 10, 0, 'none', 1, 'none', 'sum') r, (SELECT count(*) FROM als_recommend_all('implicit', exclude => ARRAY[11, 12])) s;
SELECT count(*) FROM als_recommend_all('implicit', 0, groups => 'nowhere');
SELECT count(*) FROM als_recommend_all('implicit', candidates => ARRAY[999], diversity => 0.5, groups => 'VALUES (1, 1)', boost => 'VALUES (1, 1)');

SELECT * FROM try($$SELECT als_recommend_all('implicit', diversity => 1.5)$$);
SELECT * FROM try($$SELECT als_recommend_all('implicit', diversity => NULL)$$);
SELECT * FROM try($$SELECT als_recommend_all('implicit', groups => 'nowhere')$$);
SELECT * FROM try($$SELECT als_recommend_all('implicit', groups => 'VALUES (1, 1), (1, 2)')$$);
SELECT * FROM try($$SELECT als_recommend_all('implicit', groups => 'VALUES (1, 1)', per_group => 0)$$);
SELECT * FROM try($$SELECT als_recommend_all('implicit', boost => 'VALUES (1, 1), (1, 2)')$$);
SELECT * FROM try($$SELECT als_recommend_all('implicit', boost => 'VALUES (1, 1)', boost_by => 'power')$$);
SELECT * FROM try($$SELECT als_recommend_all('implicit', workers => 0, boost => 'VALUES (1, 1e300)')$$);
SELECT * FROM try($$SELECT als_recommend_all('implicit', workers => 2, boost => 'VALUES (1, 1e300)')$$);
DROP SCHEMA lists_all CASCADE;
