-- What the page asks: each function is one call of als.  Needs what demo.sql makes.

\set ON_ERROR_STOP on

CREATE SCHEMA app;

CREATE TABLE app.packages AS
SELECT name,
       count(*) FILTER (WHERE needed) AS needed_by,
       count(*) FILTER (WHERE NOT needed) AS needs
FROM (SELECT package, false FROM dependencies
      UNION ALL
      SELECT dependency, true FROM dependencies) AS p(name, needed)
GROUP BY name;
ALTER TABLE app.packages ADD PRIMARY KEY (name);
CREATE INDEX ON dependencies (package);
ANALYZE app.packages, dependencies;

CREATE FUNCTION app.search(words text) RETURNS SETOF app.packages
LANGUAGE sql STABLE AS $$
    SELECT *
    FROM app.packages
    WHERE strpos(name, lower(words)) > 0
    ORDER BY name = lower(words) DESC, starts_with(name, lower(words)) DESC, needed_by DESC, name
    LIMIT 8
$$;

CREATE FUNCTION app.package(package text) RETURNS SETOF app.packages
LANGUAGE sql STABLE AS $$
    SELECT * FROM app.packages WHERE name = package
$$;

-- What few packages need goes with anything: not among the answers.
CREATE FUNCTION app.goes_with(package text) RETURNS TABLE (item text, score real)
LANGUAGE sql STABLE AS $$
    SELECT *
    FROM als_similar_items_as(NULL::text, 'package_als', package, k => 10,
                              candidates => ARRAY(SELECT name FROM app.packages WHERE needed_by >= 5))
$$;

-- Lists of what differs most must not end in what does not matter: min_score.
CREATE FUNCTION app.might_need(package text, diversity float8) RETURNS TABLE (item text, score real)
LANGUAGE sql STABLE AS $$
    SELECT *
    FROM als_recommend_as(NULL::text, 'package_als', package, k => 10,
                          exclude => ARRAY[package], min_score => 0.15, diversity => diversity)
$$;

CREATE FUNCTION app.why(package text, item text) RETURNS TABLE (because text, contribution real)
LANGUAGE sql STABLE AS $$
    SELECT * FROM als_explain_as(NULL::text, 'package_als', package, item, k => 5)
$$;

CREATE FUNCTION app.for_basket(basket json, diversity float8) RETURNS TABLE (item text, score real)
LANGUAGE sql STABLE AS $$
    SELECT *
    FROM als_recommend_for_as(NULL::text, 'package_als',
                              ARRAY(SELECT json_array_elements_text(basket)), k => 10,
                              min_score => 0.15, diversity => diversity)
$$;

-- The text of these functions, for whoever wants to see it
CREATE FUNCTION app.sources() RETURNS TABLE (function name, body text)
LANGUAGE sql STABLE AS $$
    SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'app'::regnamespace
$$;
