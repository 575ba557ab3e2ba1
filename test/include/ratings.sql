\set ECHO none
-- Ratings from 1 to 5 of users 1 to users and items 1 to items.  Of 97 pairs about
-- so many are rated; without their number, the first items are rated most.
CREATE FUNCTION some_ratings(users int, items int, of_97 int DEFAULT NULL)
RETURNS TABLE (user_id int, item_id int, rating real) LANGUAGE sql IMMUTABLE AS $$
    SELECT u, i, (1 + (u * 31 + i * 17) % 5)::real
    FROM generate_series(1, users) u, generate_series(1, items) i,
         LATERAL (SELECT u::bigint * 7919 + i::bigint * 104729 + u::bigint * i * 13 AS pair) p
    WHERE CASE WHEN of_97 IS NULL THEN pair % (4 + i / 10) = 0 ELSE pair % 97 < of_97 END
$$;
\set ECHO all
