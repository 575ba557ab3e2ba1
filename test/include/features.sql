\set ECHO none
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, (1 + (u * 31 + i * 17) % 9)::real / 2 AS rating
    FROM generate_series(1, 40) u, generate_series(1, 30) i
    WHERE (u * 7919 + i * 104729 + u * i * 13) % 97 < CASE WHEN u % 3 = i % 3 THEN 45 ELSE 9 END;
-- a feature everybody has, one for each of three kinds, its copy, and a number; 31 to 35 have no ratings
CREATE TABLE item_features AS
    SELECT i AS id, feature, value::float8 FROM generate_series(1, 35) i,
        LATERAL (VALUES ('all', 1), ('kind ' || i % 3, 1), ('copy ' || i % 3, 1), ('size', (i * 7 % 11) / 5.0 - 1)) f (feature, value)
    WHERE i <> 17;
-- of any type, many or none; 41 and 42 have no ratings
CREATE TABLE user_features AS
    SELECT u AS id, n AS feature, 1::float8 AS value FROM generate_series(1, 42) u, generate_series(1, 4) n
    WHERE (u + n) % 3 = 0 OR u = 42;

-- a side's factors with the bias behind them, those of its features, and the priors that they make
CREATE FUNCTION rows_of(model text, side text) RETURNS TABLE (id int, f float8[]) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT %s_id, factors::float8[] || array_remove(ARRAY[(to_jsonb(t)->>''bias'')::float8], NULL) FROM %I t',
                                side, model || '_' || side || 's');
END $$;
CREATE FUNCTION features_of(model text, side text) RETURNS TABLE (feature text, f float8[]) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT feature, factors::float8[] || array_remove(ARRAY[bias::float8], NULL) FROM %I WHERE side = %L',
                                model || '_features', side);
END $$;
CREATE FUNCTION priors_of(model text, side text) RETURNS TABLE (id int, p float8[]) LANGUAGE sql AS $$
    WITH given AS (SELECT id, feature::text, value FROM item_features WHERE side = 'item'
                   UNION ALL SELECT id, feature::text, value FROM user_features WHERE side = 'user'),
         sums AS (SELECT r.id, n, coalesce(sum(value * f.f[n]), 0) AS x
                  FROM rows_of(model, side) r CROSS JOIN generate_series(1, cardinality(r.f)) n
                  LEFT JOIN given g ON g.id = r.id LEFT JOIN features_of(model, side) f USING (feature) GROUP BY r.id, n)
    SELECT id, array_agg(x ORDER BY n) FROM sums GROUP BY id
$$;

-- rows that have ratings with s, and w, as much of it as draws them to their features, a
-- quarter of what s is without ratings or by them
CREATE FUNCTION scaled(run als_model, side text) RETURNS TABLE (id int, s float8, w float8) LANGUAGE sql AS $$
    SELECT id, CASE WHEN counted THEN n ELSE others + run.alpha * n END ^ run.regularization_scaling, CASE WHEN counted THEN n ELSE others END ^ run.regularization_scaling / 4
    FROM (SELECT CASE side WHEN 'user' THEN user_id ELSE item_id END AS id, count(*) AS n, run.feedback = 'explicit' OR run.regularization_by = 'ratings' AS counted,
                 CASE side WHEN 'user' THEN run.items ELSE run.users END AS others FROM ratings GROUP BY 1) r
$$;

-- A row solves (B + sum w f f') x = sum t f + lambda w p, with the rows of the other side
-- in others
CREATE FUNCTION row_of(run als_model, side text, wanted int, prior float8[], s float8, pull float8) RETURNS float8[] LANGUAGE plpgsql AS $$
DECLARE
    explicit boolean := run.feedback = 'explicit';
    n int := cardinality(prior);
    a float8[] := array_fill(0::float8, ARRAY[n, n]);
    b float8[] := array_fill(0::float8, ARRAY[n]);
    other record;
    x float8[];
    w float8;
    t float8;
BEGIN
    FOR other IN SELECT o.f, r.rating FROM others o LEFT JOIN ratings r
            ON r.user_id = CASE side WHEN 'user' THEN wanted ELSE o.id END AND r.item_id = CASE side WHEN 'item' THEN wanted ELSE o.id END LOOP
        CONTINUE WHEN explicit AND other.rating IS NULL;
        x := other.f;
        w := CASE WHEN explicit THEN 1 ELSE 1 + run.alpha * coalesce(other.rating, 0) END;
        t := CASE WHEN explicit THEN other.rating - run.mean_rating - x[n] WHEN other.rating > 0 THEN w ELSE 0 END;
        IF explicit THEN
            x[n] := 1;
        END IF;
        FOR i IN 1 .. n LOOP
            b[i] := b[i] + t * x[i];
            FOR j IN 1 .. n LOOP
                a[i][j] := a[i][j] + w * x[i] * x[j];
            END LOOP;
        END LOOP;
    END LOOP;
    FOR i IN 1 .. n LOOP
        a[i][i] := a[i][i] + run.regularization * s;
        b[i] := b[i] + run.regularization * pull * prior[i];
    END LOOP;
    RETURN solve(a, b);
END $$;
CREATE TEMP TABLE others (id int, f float8[]);
\set ECHO all
