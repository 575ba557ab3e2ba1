-- What goes with what among the packages of Debian.  Run it at the top of the
-- source tree:  psql -X -q -f demo/demo.sql

\set ON_ERROR_STOP on
\pset pager off
\pset footer off

CREATE EXTENSION als;
CREATE TABLE dependencies (package text, dependency text);
\copy dependencies FROM PROGRAM 'gzip -dc demo/debian-packages.tsv.gz'
ANALYZE dependencies;

\echo
\echo Which package of Debian depends on or recommends which
\echo ======================================================
\echo
\set ECHO queries
SELECT count(DISTINCT package) AS packages,
       count(DISTINCT dependency) AS dependencies,
       count(*) AS pairs
FROM dependencies;

\set ECHO none
\echo A recommender, trained in the database
\echo ======================================
\echo
\set ECHO queries
SELECT users, items, ratings, factors, iterations, round(seconds::numeric, 1) AS seconds
FROM als_train('package_als', 'dependencies',
               user_column => 'package', item_column => 'dependency',
               rating_column => NULL, factors => 64);

SELECT iteration, round(value) AS loss
FROM package_als, unnest(losses) WITH ORDINALITY AS l(value, iteration);

\set ECHO none
\echo What a package might also depend on
\echo ===================================
\echo
\set ECHO queries
SELECT * FROM als_recommend_as(NULL::text, 'package_als', 'redmine', 6);

SELECT package, string_agg(item_id, ', ' ORDER BY score DESC) AS recommended
FROM unnest(ARRAY['phpmyadmin', 'texmaker']) AS package,
     als_recommend_as(NULL::text, 'package_als', package, 6)
GROUP BY package;

SELECT dependency, als_predict('package_als', 'redmine', dependency) AS score
FROM unnest(ARRAY['ruby-rack', 'ruby-nokogiri', 'php-common', 'r-base-core']) AS dependency;

\set ECHO none
\echo What goes with what: items whose factors point the same way
\echo ===========================================================
\echo

-- The cosine between the sum of the given items' factors and those of others
-- which five packages or more depend on.
CREATE FUNCTION goes_with(VARIADIC items text[])
RETURNS TABLE (dependency text, cosine numeric)
LANGUAGE sql STABLE AS $$
    WITH wanted AS (
        SELECT k, sum(x) AS x
        FROM package_als_items, unnest(factors::float8[]) WITH ORDINALITY AS f(x, k)
        WHERE item_id = ANY (items)
        GROUP BY k
    ), popular AS (
        SELECT dependency AS item_id
        FROM dependencies GROUP BY 1 HAVING count(*) >= 5
    )
    SELECT item_id, round((sum(f.x * w.x) / sqrt(sum(f.x ^ 2) * sum(w.x ^ 2)))::numeric, 2)
    FROM popular JOIN package_als_items USING (item_id),
         unnest(factors::float8[]) WITH ORDINALITY AS f(x, k) JOIN wanted w USING (k)
    WHERE item_id <> ALL (items)
    GROUP BY item_id
    ORDER BY 2 DESC, 1
    LIMIT 10
$$;

\set ECHO queries
SELECT * FROM goes_with('python3-numpy', 'python3-scipy');

SELECT * FROM goes_with('nginx');
