-- als_holdout: a split that is the same everywhere and always
SET client_min_messages = warning;
CREATE SCHEMA holdout;
SET search_path = holdout, public;

-- These rows are fixed for good: no version and no machine may change them.
SELECT array_agg(i) FILTER (WHERE als_holdout(1, i, 0.2)) AS seed_0,
       array_agg(i) FILTER (WHERE als_holdout(1, i, 0.2, 1)) AS seed_1,
       array_agg(i) FILTER (WHERE als_holdout(-1, -i, 0.2)) AS negative,
       array_agg(i) FILTER (WHERE als_holdout(i, 1, 0.2)) AS users,
       array_agg(i) FILTER (WHERE als_holdout(i * 1000000000000, i, 0.2, -9223372036854775808)) AS large
FROM generate_series(1::bigint, 40) i;
SELECT array_agg(i) FILTER (WHERE als_holdout('user ' || i, 'nginx', 0.2)) AS text,
       array_agg(i) FILTER (WHERE als_holdout(md5(i::text)::uuid, 1, 0.2)) AS uuid,
       array_agg(i) FILTER (WHERE als_holdout('日本' || i, repeat('x', i), 0.2)) AS lengths,
       array_agg(i) FILTER (WHERE als_holdout(decode(repeat('00', i), 'hex'), ''::bytea, 0.2)) AS zeros,
       array_agg(i) FILTER (WHERE als_holdout(i::oid, ('10.0.0.' || i)::inet, 0.2)) AS other
FROM generate_series(1, 40) i;

-- the algorithm as docs/reference.md has it, in SQL
CREATE FUNCTION modulo_64(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS
    'SELECT mod(mod($1, 18446744073709551616) + 18446744073709551616, 18446744073709551616)';
CREATE FUNCTION to_signed(numeric) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    'SELECT (CASE WHEN $1 >= 9223372036854775808 THEN $1 - 18446744073709551616 ELSE $1 END)::bigint';
CREATE FUNCTION xor_shift(z numeric, bits int) RETURNS numeric LANGUAGE sql IMMUTABLE AS
    'SELECT modulo_64(to_signed(z) # to_signed(div(z, 2::numeric ^ bits)))';
CREATE FUNCTION scatter(z bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT to_signed(xor_shift(c, 31)) FROM
        (SELECT modulo_64(z + 11400714819323198485) AS a) a,
        LATERAL (SELECT modulo_64(xor_shift(a, 30) * 13787848793156543929) AS b) b,
        LATERAL (SELECT modulo_64(xor_shift(b, 27) * 10723151780598845931) AS c) c
$$;
SELECT count(*), sum((als_holdout(u, i, 0.3, s) = (modulo_64(scatter(scatter(scatter(s) # u) # i)) < 0.3 * 18446744073709551616))::int) AS same
FROM generate_series(-3, 3) u, generate_series(1::bigint, 10) i, generate_series(0::bigint, 2) s;

-- integers of any width are the same
SELECT count(*), count(*) FILTER (WHERE als_holdout(u, i, 0.5) = als_holdout(u::smallint, i::bigint, 0.5)
                                    AND als_holdout(u, i, 0.5) = als_holdout(u::bigint, i::smallint, 0.5)) AS same
FROM generate_series(-20, 20) u, generate_series(-20, 20) i;
-- and so are text, varchar, literals and char(n); numeric whatever its scale; domains
CREATE DOMAIN code AS text;
SELECT bool_and(als_holdout('u' || i, 'v', 0.5) = als_holdout(('u' || i)::varchar(9), 'v'::char(5), 0.5)) AS text,
       bool_and(als_holdout('u' || i, 'v', 0.5) = als_holdout(('u' || i)::code, 'v'::char(30), 0.5)) AS domain,
       bool_and(als_holdout(i, 'v', 0.5) = als_holdout(i, 'v'::text, 0.5)) AS literal,
       bool_and(als_holdout(i / 10.0, 1, 0.5) = als_holdout(round(i / 10.0, 1), 1, 0.5)) AS numeric
FROM generate_series(1, 100) i;
PREPARE untyped AS SELECT als_holdout($1, $2, 0.5) = als_holdout('a'::text, 'b'::text, 0.5) AS parameters;
EXECUTE untyped('a', 'b');

-- the share is met to within 4 standard deviations, for every form of ids
SELECT form, fraction, abs(held - fraction * 40000) < 4 * sqrt(40000 * fraction * (1 - fraction)) + 1e-9 AS met
FROM unnest(ARRAY[0, 0.001, 0.1, 0.5, 0.9, 1]::float8[]) fraction,
    LATERAL (SELECT count(*) FILTER (WHERE als_holdout(u, i, fraction)) AS integers,
                    count(*) FILTER (WHERE als_holdout('u' || u, 'i' || i, fraction)) AS texts,
                    count(*) FILTER (WHERE als_holdout(u * 1024, i * 1024, fraction, 7)) AS multiples
             FROM generate_series(1, 200) u, generate_series(1, 200) i) counts,
    LATERAL (VALUES ('integers', integers), ('texts', texts), ('multiples', multiples)) forms(form, held)
ORDER BY 1, 2;
-- within every user too: as many users are off by 3 as chance has it
SELECT count(*) FILTER (WHERE abs(held - 100) > 3 * sqrt(80)) < 8 AS users
FROM (SELECT u, count(*) FILTER (WHERE als_holdout(u, i, 0.2)) AS held
      FROM generate_series(1, 500) u, generate_series(1, 500) i GROUP BY u) t;
-- a larger share holds out all that a smaller one does
SELECT count(*) FILTER (WHERE als_holdout(u, i, 0.1) AND NOT als_holdout(u, i, 0.2)) AS lost
FROM generate_series(1, 100) u, generate_series(1, 100) i;
-- seeds are independent of each other, and users and items change places
SELECT abs(count(*) FILTER (WHERE als_holdout(u, i, 0.5, 1) AND als_holdout(u, i, 0.5, 2)) - 10000) < 4 * sqrt(7500) AS seeds,
       abs(count(*) FILTER (WHERE als_holdout(u, i, 0.5) AND als_holdout(i, u, 0.5)) - 10000) < 6 * sqrt(7500) AS sides
FROM generate_series(1, 200) u, generate_series(1, 200) i;

-- immutable: it may be indexed
CREATE TABLE ratings AS SELECT u AS user_id, i AS item_id FROM generate_series(1, 20) u, generate_series(1, 20) i;
CREATE INDEX ON ratings ((1)) WHERE als_holdout(user_id, item_id, 0.2);
SELECT provolatile, proparallel, proisstrict FROM pg_proc WHERE proname = 'als_holdout';

-- nulls
SELECT als_holdout(NULL, 1, 0.5) IS NULL AS user, als_holdout(1, NULL::text, 0.5) IS NULL AS item,
       als_holdout(1, 1, NULL) IS NULL AS fraction, als_holdout(1, 1, 0.5, NULL) IS NULL AS seed;

-- what cannot be: shares, and types whose text depends on settings
SELECT als_holdout(1, 1, -0.1);
SELECT als_holdout(1, 1, 1.1);
SELECT als_holdout(1, 1, 'nan');
SELECT als_holdout(1, 1, 'infinity');
SELECT als_holdout(1.5::float8, 1, 0.5);
SELECT als_holdout(1, '2000-01-01'::date, 0.5);
SELECT als_holdout(1, ARRAY[1], 0.5);
SELECT als_holdout(1, point(1, 2), 0.5);
-- and spellings of what is equal
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
SELECT als_holdout('a' COLLATE nocase, 1, 0.5);
CREATE TABLE spelled AS SELECT ('u' || i % 5) COLLATE nocase AS user_id, i % 7 AS item_id FROM generate_series(1, 35) i;
SELECT als_train('spelled_als', 'spelled', rating_column => NULL, factors => 2, validation_fraction => 0.3);

SET client_min_messages = error;
DROP SCHEMA holdout CASCADE;
