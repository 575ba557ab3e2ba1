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

\set ECHO none
\echo A package that was uploaded yesterday: nothing depends on it yet
\echo ================================================================
\echo

-- What is known of a package by itself: its section, and the words of its name
-- that fifty packages have.
CREATE TABLE sections (package text, section text);
\copy sections FROM PROGRAM 'gzip -dc demo/debian-sections.tsv.gz'
CREATE TABLE attributes AS
SELECT package, 'section ' || section AS feature
FROM sections
UNION
SELECT package, 'word ' || word
FROM (SELECT package, word, count(*) OVER (PARTITION BY word) AS packages
      FROM sections, regexp_split_to_table(package, '[^a-z]+') AS word
      WHERE word <> '') AS w
WHERE packages >= 50;
-- As things were before r-cran-ggplot2
CREATE VIEW before AS
SELECT * FROM dependencies WHERE 'r-cran-ggplot2' NOT IN (package, dependency);

\set ECHO queries
SELECT users, items, new_users, new_items
FROM als_train('fresh_als', 'before',
               user_column => 'package', item_column => 'dependency',
               rating_column => NULL, factors => 64,
               user_features => 'attributes',
               item_features => 'SELECT * FROM attributes
                                 WHERE package IN (SELECT dependency FROM dependencies)');

\set ECHO none
\echo Who might need it, and who does
\set ECHO queries
SELECT user_id AS package, score, d.dependency AS depends_on
FROM als_audience_as(NULL::text, 'fresh_als', 'r-cran-ggplot2', 10)
     LEFT JOIN dependencies d ON package = user_id AND d.dependency = 'r-cran-ggplot2'
ORDER BY score DESC;

\set ECHO none
\echo What it might need
\set ECHO queries
SELECT item_id AS dependency, score, d.package AS needed_by
FROM als_recommend_as(NULL::text, 'fresh_als', 'r-cran-ggplot2', 6)
     LEFT JOIN dependencies d ON d.package = 'r-cran-ggplot2' AND dependency = item_id
ORDER BY score DESC;

\set ECHO none
\echo Why
\set ECHO queries
SELECT * FROM als_explain_features('fresh_als', 'r-cran-seurat'::text, 'r-cran-ggplot2'::text)
ORDER BY contribution DESC LIMIT 3;
