-- What is popular of late, for those of whom nothing is known: against SQL over the rows
SET client_min_messages = warning;
CREATE SCHEMA popular_since;
SET search_path = popular_since, public;
\i test/include/errors.sql
SET timezone = 'Asia/Tokyo';
BEGIN;
-- rows of the next days, of now and of long ago, around every boundary; some without a time
CREATE TABLE events AS
    SELECT user_id, item_id, now() + ((user_id * 7 + item_id * 3) % 40 - 35) * interval '6 hours' AS happened
    FROM generate_series(1, 30) user_id, generate_series(1, 25) item_id
    WHERE (user_id * 31 + item_id * 17 + user_id * item_id) % (2 + item_id / 5) = 0;
INSERT INTO events VALUES (1, 3, NULL), (2, 3, NULL), (3, NULL, now()), (4, 777, now()), (5, 2, 'infinity'), (6, 4, '-infinity');
-- the same with a timestamp or a date, in UTC
CREATE VIEW moments AS SELECT user_id, item_id, happened AT TIME ZONE 'UTC' AS happened FROM events;
CREATE VIEW dates AS SELECT user_id, item_id, (happened AT TIME ZONE 'UTC')::date AS happened FROM events;
CREATE VIEW whole AS SELECT * FROM events WHERE item_id IS NOT NULL AND item_id <= 25 AND happened IS NOT NULL AND isfinite(happened);
CREATE FUNCTION trained(name text, source text, arguments text DEFAULT '') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    column_name text;
BEGIN
    EXECUTE format('SELECT time_column FROM als_train(%L, %L, rating_column => NULL, factors => 4, time_column => ''happened'', workers => 0 %s)', name, source, arguments) INTO column_name;
    RETURN column_name;
END $$;
-- a time column alone says when, and fades nothing
SELECT trained('timed', 'whole'), trained('faded', 'whole', $$, half_life => '7 days'$$), trained('stars', 'SELECT *, 1 + user_id % 5 AS rating FROM popular_since.whole', $$, feedback => 'explicit'$$) AS explicit;
SELECT run FROM als_train('plain', 'whole', rating_column => NULL, factors => 4, workers => 0);
SELECT count(*) AS different FROM (TABLE timed_items EXCEPT TABLE plain_items) d;
SELECT half_life, reference_time FROM timed;
-- all rows of the source count, those that a training would not take too
UPDATE timed SET source = 'popular_since.events';
UPDATE faded SET source = 'popular_since.events';

-- by definition
CREATE FUNCTION popular(rows_of text, since interval) RETURNS TABLE (item_id bigint, score real) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT item_id::bigint, count(*)::real FROM %s WHERE item_id <= 25 AND happened >= (now() - $1) %s GROUP BY 1 ORDER BY 2 DESC, 1',
                                rows_of, CASE rows_of WHEN 'events' THEN '' ELSE 'AT TIME ZONE ''UTC''' END) USING since;
END $$;
CREATE FUNCTION same(model regclass, rows_of text, since interval) RETURNS boolean LANGUAGE sql AS $$
    SELECT (SELECT array_agg((item_id, score)::text ORDER BY o) FROM als_recommend(model, 999, 1000, cold_start => 'popular', popular_since => since) WITH ORDINALITY r(item_id, score, o))
           IS NOT DISTINCT FROM (SELECT array_agg((item_id, score)::text ORDER BY o) FROM popular(rows_of, since) WITH ORDINALITY r(item_id, score, o)) $$;
SELECT since, same('timed', 'events', since), same('faded', 'events', since) AS faded, (SELECT count(*) FROM popular('events', since)) AS items, (SELECT sum(score) FROM popular('events', since)) AS rows
FROM unnest(ARRAY['1 microsecond', '6 hours', '6 hours 1 microsecond', '1 day', '3 days', '1 month', '200 years']::interval[]) since;
UPDATE timed SET source = 'popular_since.moments';
SELECT bool_and(same('timed', 'moments', since)) AS same FROM unnest(ARRAY['6 hours', '1 day', '7 days']::interval[]) since;
UPDATE timed SET source = 'SELECT user_id, item_id, happened FROM popular_since.dates';
SELECT bool_and(same('timed', 'dates', since)) AS same FROM unnest(ARRAY['6 hours', '1 day', '7 days']::interval[]) since;
UPDATE timed SET source = 'popular_since.events';
COMMIT;

-- within filters and groups; for a null user; ids as text; not for those who are known
SELECT count(*), min(item_id), max(item_id) FROM als_recommend('timed', NULL::int, 1000, cold_start => 'popular', popular_since => '200 hours', candidates => ARRAY(SELECT generate_series(5, 20)), exclude => ARRAY[10]);
SELECT count(*), count(DISTINCT item_id % 3) AS groups FROM als_recommend('timed', 999, 3, cold_start => 'popular', popular_since => '200 hours', groups => 'SELECT item_id, item_id % 3 FROM popular_since.events WHERE item_id IS NOT NULL');
SELECT count(*) FROM als_recommend_as(NULL::text, 'timed', '999', 4, cold_start => 'popular', popular_since => '200 hours');
SELECT count(*) FROM als_recommend('stars', 999, 4, cold_start => 'popular', popular_since => '1 year');
SELECT count(*) FROM ((SELECT * FROM als_recommend('timed', 1, 5, cold_start => 'popular', popular_since => '1 day')) EXCEPT (SELECT * FROM als_recommend('timed', 1, 5))) d;
-- what is kept of all times stays so
SELECT array_agg(r::text) AS kept FROM als_recommend('timed', 999, cold_start => 'popular') r \gset
SELECT count(*) > 0 AS some FROM als_recommend('timed', 999, cold_start => 'popular', popular_since => '1 day');
SELECT array_agg(r::text) = :'kept' AS same FROM als_recommend('timed', 999, cold_start => 'popular', popular_since => NULL) r;
-- counts are kept until a hundredth of the interval has passed
CREATE FUNCTION best(since interval) RETURNS text LANGUAGE sql AS
    $$ SELECT format('%s: %s', item_id, score >= 100) FROM als_recommend('timed', 999, 1, cold_start => 'popular', popular_since => since) $$;
SELECT best('10 hours'), best('9 hours'), best('1 second');
INSERT INTO events SELECT user_id, 4, now() FROM generate_series(1, 100) user_id;
SELECT best('10 hours') AS kept, best('9 hours') AS kept_too, best('8 hours') AS counted;
SELECT FROM pg_sleep(0.05);
SELECT best('1 second') AS counted_anew;
-- of four intervals, those that were asked for last
SELECT best(('1 day'::interval * n)) = '4: t' AS counted FROM generate_series(1, 4) n;
-- by whom it may be: others count for themselves, or may not
CREATE ROLE als_popular_reader;
GRANT USAGE ON SCHEMA popular_since TO als_popular_reader;
GRANT SELECT ON timed, timed_users, timed_items TO als_popular_reader;
SET ROLE als_popular_reader;
SELECT code, message FROM try($$SELECT popular_since.best('10 hours')$$);
RESET ROLE;
GRANT SELECT ON events TO als_popular_reader;
SET ROLE als_popular_reader;
SELECT best('10 hours');
RESET ROLE;
REVOKE SELECT ON events FROM als_popular_reader;
SET ROLE als_popular_reader;
SELECT code, message FROM try($$SELECT popular_since.best('10 hours')$$);
RESET ROLE;
-- not of rows that are rolled back, be it of late or of all times
SELECT best('10 hours');
BEGIN;
INSERT INTO events SELECT user_id, 7, now() FROM generate_series(1, 500) user_id;
SELECT best('7 hours'), best(NULL), best('10 hours') AS kept;
SAVEPOINT inside;
INSERT INTO events SELECT user_id, 12, now() FROM generate_series(1, 900) user_id;
SELECT best('6 hours') AS inside;
ROLLBACK TO inside;
SELECT best('6 hours') AS outside;
ROLLBACK;
SELECT best('7 hours'), best('6 hours'), best(NULL);
BEGIN;
INSERT INTO events SELECT user_id, 12, now() FROM generate_series(1, 900) user_id;
SELECT best('7 hours') AS kept, best('5 hours') AS counted;
COMMIT;
DELETE FROM events WHERE item_id = 12;
SELECT best('5 hours') AS kept_with_the_transaction;
-- of another table of that name
ALTER TABLE events RENAME TO former;
CREATE TABLE events AS SELECT * FROM former WHERE item_id <> 4;
SELECT best('5 hours') = best('4 hours') AS same, best('5 hours') IN ('4: t', '12: t') AS of_the_former;
-- each time where policies may show something else
ALTER TABLE events ENABLE ROW LEVEL SECURITY;
CREATE POLICY hidden ON events USING (item_id <> current_setting('popular_since.hidden')::int);
GRANT SELECT ON events TO als_popular_reader;
INSERT INTO events SELECT user_id, 9 + user_id % 2, now() FROM generate_series(1, 800) user_id;
SET ROLE als_popular_reader;
SET popular_since.hidden = 9;
SELECT best('5 hours');
SET popular_since.hidden = 10;
SELECT best('5 hours');
RESET ROLE;

SELECT * FROM try($$SELECT als_recommend('plain', 999, cold_start => 'popular', popular_since => '1 day')$$);
SELECT * FROM try($$SELECT als_recommend('timed', 999, popular_since => '1 day')$$);
SELECT since, t.* FROM unnest(ARRAY['0', '-1 day']) since, try(format('SELECT als_recommend(''timed'', 999, cold_start => ''popular'', popular_since => %L)', since)) t;
SELECT * FROM try($$SELECT als_recommend('timed', 999, cold_start => 'popular', popular_since => '178000000 years')$$);
UPDATE timed SET source = 'SELECT user_id, item_id, happened::text FROM popular_since.events';
SELECT code, message FROM try($$SELECT als_recommend('timed', 999, cold_start => 'popular', popular_since => '1 day')$$);
SET client_min_messages = error;
DROP SCHEMA popular_since CASCADE;
DROP ROLE als_popular_reader;
