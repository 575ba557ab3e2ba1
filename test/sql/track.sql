-- A queue of ratings that change: als_track, als_refresh without arguments, als_untrack
SET client_min_messages = warning;
CREATE SCHEMA track;
SET search_path = track, public;
\i test/include/errors.sql
\i test/include/ratings.sql
\i test/include/models.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(30, 20, 25);
SELECT users, items FROM als_train('model', 'ratings', factors => 3, alpha => 2, regularization => 0.3);
SELECT als_track('model') AS queue;
SELECT attname, atttypid::regtype FROM pg_attribute WHERE attrelid = 'model_changes'::regclass AND attnum > 0 ORDER BY attnum;
SELECT als_refresh('model') AS nothing;

-- what is noted: both ids of a row that comes, changes or goes, and of what it was
INSERT INTO ratings VALUES (1, 2, 5), (100, 3, 1), (101, 999, 1);
UPDATE ratings SET rating = 1 WHERE user_id = 2 AND item_id = (SELECT min(item_id) FROM ratings WHERE user_id = 2);
UPDATE ratings SET user_id = 102 WHERE user_id = 3 AND item_id = (SELECT min(item_id) FROM ratings WHERE user_id = 3);
DELETE FROM ratings WHERE user_id = 4;
INSERT INTO ratings VALUES (NULL, 7, 1), (8, NULL, 1);
DELETE FROM ratings WHERE user_id IS NULL OR item_id IS NULL;
SELECT array_agg(DISTINCT user_id) AS users, count(*) = count(*) FILTER (WHERE user_id IN (1, 2, 3, 4, 8, 100, 101, 102) OR user_id IS NULL) AS no_others FROM model_changes;
-- and is refreshed, once
BEGIN;
SELECT als_refresh('model', ARRAY(SELECT DISTINCT user_id FROM model_changes), ARRAY(SELECT DISTINCT item_id FROM model_changes)) AS known;
SELECT factors_of('model') AS factors \gset
ROLLBACK;
SELECT als_refresh('model') AS known;
SELECT factors_of('model') = :'factors' AS same, (SELECT count(*) FROM model_changes) AS queued;
SELECT als_refresh('model') AS nothing;
-- nothing is taken by a refresh that fails, or is rolled back
INSERT INTO ratings VALUES (1, 3, 5), (5, 1, 'NaN');
SELECT code FROM try($$SELECT als_refresh('model')$$);
SELECT count(*) FROM model_changes;
DELETE FROM ratings WHERE rating = 'NaN';
BEGIN;
SELECT als_refresh('model') AS known;
ROLLBACK;
SELECT count(*) FROM model_changes;
-- and nothing of the queue by one that is told what to do
SELECT als_refresh('model', ARRAY[1]) AS known;
SELECT count(*) FROM model_changes;
SELECT als_refresh('model') AS known;
-- nor is it in the way that the queue is published, as FOR ALL TABLES does it
SET client_min_messages = error;
CREATE PUBLICATION regress_als_track FOR TABLE model_changes;
SET client_min_messages = warning;
INSERT INTO ratings VALUES (1, 5, 5);
SELECT code, message FROM try($$SELECT als_refresh('model')$$);
SELECT count(*) FROM model_changes;
DROP PUBLICATION regress_als_track;

-- whatever is renamed or moved
ALTER TABLE ratings RENAME TO opinions;
CREATE VIEW ratings AS TABLE opinions;
CREATE SCHEMA track_elsewhere;
ALTER TABLE model_changes RENAME TO waiting;
ALTER TABLE waiting SET SCHEMA track_elsewhere;
ALTER TABLE model RENAME TO renamed;
INSERT INTO opinions VALUES (1, 4, 5);
SELECT als_refresh('renamed') AS known;
SELECT count(*) FROM track_elsewhere.waiting;
-- two models of one table
DROP VIEW ratings;
ALTER TABLE opinions RENAME TO ratings;
SELECT users FROM als_train('second', 'ratings', factors => 3);
SELECT als_track('second');
INSERT INTO ratings VALUES (2, 5, 5);
SELECT als_refresh('second') AS second, als_refresh('renamed') AS first;
-- a training leaves the queue alone
INSERT INTO ratings VALUES (2, 6, 5);
SELECT run FROM als_train('second', 'ratings', factors => 3);
SELECT als_refresh('second') AS second;
-- the end of it
SELECT als_untrack('second');
SELECT to_regclass('second_changes') AS queue, count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'ratings'::regclass;
DROP TABLE renamed;
SELECT to_regclass('track_elsewhere.waiting') AS queue, count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'ratings'::regclass;
INSERT INTO ratings VALUES (2, 7, 5);

-- partitions; ids of other types; a table that is dropped
CREATE TABLE parted (user_id text, item_id varchar(10), rating real) PARTITION BY LIST (item_id);
CREATE TABLE parted_a PARTITION OF parted FOR VALUES IN ('a', 'b');
CREATE TABLE parted_c PARTITION OF parted DEFAULT;
INSERT INTO parted VALUES ('x', 'a', 1), ('x', 'c', 2), ('y', 'b', 1), ('y', 'c', 1);
SELECT users, items FROM als_train('parted_model', 'parted', factors => 2);
SELECT als_track('parted_model');
CREATE TABLE parted_d PARTITION OF parted FOR VALUES IN ('d');
INSERT INTO parted VALUES ('z', 'd', 1), ('z', 'a', 1);
UPDATE parted SET item_id = 'a' WHERE user_id = 'x' AND item_id = 'c';
SELECT * FROM parted_model_changes ORDER BY 1, 2;
SELECT als_refresh('parted_model');
SELECT user_id FROM parted_model_users ORDER BY 1;
-- from PostgreSQL 15 on, one that is detached keeps the trigger until the model is untracked
ALTER TABLE parted DETACH PARTITION parted_a;
INSERT INTO parted_a VALUES ('v', 'b', 1);
SELECT count(*) = (current_setting('server_version_num')::int >= 150000)::int AS as_documented FROM parted_model_changes;
BEGIN;
SELECT code = CASE WHEN current_setting('server_version_num')::int < 150000 THEN 'none' ELSE '42710' END AS as_documented
    FROM try($$ALTER TABLE parted ATTACH PARTITION parted_a FOR VALUES IN ('a', 'b')$$);
ROLLBACK;
SELECT als_untrack('parted_model');
ALTER TABLE parted ATTACH PARTITION parted_a FOR VALUES IN ('a', 'b');
SELECT als_track('parted_model');
DROP TABLE parted;
SELECT code, message FROM try($$SELECT als_refresh('parted_model')$$);
SELECT als_untrack('parted_model');

-- whoever changes the ratings needs no right on the queue
CREATE ROLE regress_als_writer;
GRANT USAGE ON SCHEMA track TO regress_als_writer;
GRANT INSERT ON ratings TO regress_als_writer;
SELECT als_track('second');
SET ROLE regress_als_writer;
INSERT INTO ratings VALUES (9, 9, 1);
SELECT code, message FROM try('SELECT FROM track.second_changes');
SELECT code, message FROM try($$SELECT als_track('second')$$);
SELECT code, message FROM try($$SELECT als_untrack('second')$$);
RESET ROLE;
SELECT * FROM second_changes;
-- the model's owner must own the ratings as well
GRANT CREATE ON SCHEMA track TO regress_als_writer;
GRANT SELECT ON ratings TO regress_als_writer;
SET ROLE regress_als_writer;
SELECT users FROM als_train('theirs', 'ratings', factors => 3);
SELECT code, message FROM try($$SELECT als_track('theirs')$$);
RESET ROLE;
DROP TABLE theirs;
-- als on a table of its own; triggers that it has not made
CREATE TABLE other (user_id int, item_id int);
CREATE TRIGGER t AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION als_note_change('user_id', 'item_id');
SELECT code, message FROM try('INSERT INTO other VALUES (1, 1)');
DROP TRIGGER t ON other;
CREATE TRIGGER t BEFORE INSERT ON other FOR EACH STATEMENT EXECUTE FUNCTION als_note_change('user_id', 'item_id');
SELECT code, message FROM try('INSERT INTO other VALUES (1, 1)');
DROP TRIGGER t ON other;
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON other FROM second_changes FOR EACH ROW EXECUTE FUNCTION als_note_change('user_id', 'nowhere');
SELECT * FROM try('INSERT INTO other VALUES (1, 1)');
-- nor does code of whoever owns the ratings run as the queue's owner: a cast, a domain
ALTER TABLE other ALTER user_id TYPE bigint;
DROP TRIGGER t ON other;
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON other FROM second_changes FOR EACH ROW EXECUTE FUNCTION als_note_change('user_id', 'item_id');
SELECT * FROM try('INSERT INTO other VALUES (1, 1)');
CREATE FUNCTION who() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'as %', current_user; RETURN true; END $$;
CREATE DOMAIN checked AS integer CHECK (who());
ALTER TABLE other ALTER user_id TYPE checked;
GRANT INSERT ON other TO regress_als_writer;
SET client_min_messages = notice;
SET ROLE regress_als_writer;
INSERT INTO other VALUES (2, 2);
RESET ROLE;
SET client_min_messages = warning;
SELECT * FROM second_changes WHERE user_id = 2;
-- nor anything that the queue has: it is to be as it was made
CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'runs as %', current_user; END $$;
CREATE FUNCTION try_queue(change text, undo text) RETURNS TABLE (code text, message text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE change;
    RETURN QUERY SELECT e.code, e.message FROM try('INSERT INTO ratings VALUES (9, 9, 1)') e;
    EXECUTE undo;
END $$;
SELECT change, t.* FROM (VALUES
    ('CREATE TRIGGER t BEFORE INSERT ON second_changes FOR EACH ROW EXECUTE FUNCTION stop()', 'DROP TRIGGER t ON second_changes'),
    ('CREATE RULE r AS ON INSERT TO second_changes DO INSTEAD NOTHING', 'DROP RULE r ON second_changes'),
    ('ALTER TABLE second_changes ALTER user_id SET DEFAULT 1', 'ALTER TABLE second_changes ALTER user_id DROP DEFAULT'),
    ('ALTER TABLE second_changes ADD CONSTRAINT c CHECK (who())', 'ALTER TABLE second_changes DROP CONSTRAINT c'),
    ('ALTER TABLE second_changes ENABLE ROW LEVEL SECURITY', 'ALTER TABLE second_changes DISABLE ROW LEVEL SECURITY'),
    ('CREATE INDEX i ON second_changes (user_id) WHERE user_id > 0', 'DROP INDEX i'),
    ('ALTER TABLE second_changes RENAME user_id TO u', 'ALTER TABLE second_changes RENAME u TO user_id')) c (change, undo), try_queue(change, undo) t;
ALTER TABLE second_changes ADD more int;
SELECT detail, hint FROM try('INSERT INTO ratings VALUES (9, 9, 1)');
ALTER TABLE second_changes DROP more;
SELECT code FROM try('INSERT INTO ratings VALUES (9, 9, 1)');
SELECT als_untrack('second');
SELECT als_track('second');
-- the owner of the ratings, who is another one, may not add to the queue; and may
CREATE TABLE their_ratings (user_id int, item_id int);
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON their_ratings FROM second_changes FOR EACH ROW EXECUTE FUNCTION als_note_change('user_id', 'item_id');
ALTER TABLE their_ratings OWNER TO regress_als_writer;
SELECT * FROM try('INSERT INTO their_ratings VALUES (50, 50)');
GRANT INSERT ON second_changes TO regress_als_writer;
INSERT INTO their_ratings VALUES (50, 50);
SELECT * FROM second_changes WHERE user_id = 50;
DROP TABLE other, their_ratings;
REVOKE INSERT ON second_changes FROM regress_als_writer;
CREATE TABLE checked_ratings (user_id checked, item_id numeric(5, 2), rating real);
INSERT INTO checked_ratings VALUES (1, 1, 1), (2, 2, 1);
SELECT users FROM als_train('checked_model', 'checked_ratings', factors => 2);
SELECT als_track('checked_model');
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'checked_model_changes'::regclass AND attnum > 0 ORDER BY attnum;
INSERT INTO checked_ratings VALUES (3, 1, 1);
SELECT als_refresh('checked_model');
DROP TABLE checked_model;
-- character has no length; owners: the model's has to own the ratings, whose owner may add to the queue
CREATE TABLE chars (user_id char(5), item_id varchar(3), rating real);
INSERT INTO chars VALUES ('abc', '101', 1), ('d', '011', 1);
SELECT users FROM als_train('chars_model', 'chars', factors => 2);
ALTER TABLE chars OWNER TO regress_als_writer;
SELECT als_track('chars_model');
SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'chars_model_changes'::regclass AND attnum > 0;
SELECT has_table_privilege('regress_als_writer', 'chars_model_changes', 'INSERT') AS granted, has_table_privilege('regress_als_writer', 'chars_model_changes', 'SELECT') AS more;
SET ROLE regress_als_writer;
INSERT INTO chars VALUES ('xyz', '111', 1);
RESET ROLE;
SELECT * FROM chars_model_changes;
SELECT als_refresh('chars_model');
SELECT als_untrack('chars_model');
ALTER TABLE chars_model OWNER TO regress_als_writer;
ALTER TABLE chars_model_users OWNER TO regress_als_writer;
ALTER TABLE chars_model_items OWNER TO regress_als_writer;
ALTER TABLE chars OWNER TO current_user;
SELECT * FROM try($$SELECT als_track('chars_model')$$);
DROP TABLE chars_model;

-- names of triggers that meet; a queue of another model
CREATE SCHEMA track_a;
CREATE SCHEMA track_a_b;
SELECT users FROM als_train('track_a.b_c', 'ratings', factors => 2, iterations => 1);
SELECT users FROM als_train('track_a_b.c', 'ratings', factors => 2, iterations => 1);
SELECT als_track('track_a.b_c') AS first, als_track('track_a_b.c') AS second;
INSERT INTO ratings VALUES (60, 1, 1);
SELECT (SELECT count(*) FROM track_a.b_c_changes) AS first, (SELECT count(*) FROM track_a_b.c_changes) AS second;
SELECT users FROM als_train('borrower', 'ratings', factors => 2, iterations => 1);
ALTER TABLE second_changes RENAME TO borrower_changes;
SELECT code, message FROM try($$SELECT als_track('borrower')$$);
ALTER TABLE borrower_changes RENAME TO second_changes;
-- a log of the same columns is no queue
CREATE TABLE audited_changes (user_id int, item_id int);
SELECT users FROM als_train('audited', 'ratings', factors => 2, iterations => 1);
SELECT * FROM try($$SELECT als_track('audited')$$);
DROP SCHEMA track_a, track_a_b CASCADE;
-- tables that inherit
CREATE TABLE family (user_id int, item_id int, rating real);
CREATE TABLE child () INHERITS (family);
INSERT INTO family VALUES (1, 1, 1), (2, 2, 1);
SELECT users FROM als_train('family_model', 'family', factors => 2, iterations => 1);
SELECT * FROM try($$SELECT als_track('family_model')$$);
DROP TABLE child;
SELECT als_track('family_model');

-- errors
CREATE VIEW a_view AS TABLE ratings;
CREATE TABLE third_changes (id int);
CREATE TEMP TABLE temp_ratings AS TABLE ratings;
SELECT users FROM als_train('query', 'SELECT * FROM ratings', factors => 2, iterations => 1);
SELECT users FROM als_train('of_view', 'a_view', factors => 2, iterations => 1);
SELECT users FROM als_train('third', 'ratings', factors => 2, iterations => 1);
SELECT users FROM als_train('pg_temp.temp_model', 'ratings', factors => 2, iterations => 1);
SELECT users FROM als_train('no_source', 'temp_ratings', factors => 2, iterations => 1);
SELECT e.* FROM unnest(ARRAY[
    $$SELECT als_track('second')$$,
    $$SELECT als_track('ratings')$$,
    $$SELECT als_track(0)$$,
    $$SELECT als_track('query')$$,
    $$SELECT als_track('of_view')$$,
    $$SELECT als_track('third')$$,
    $$SELECT als_track('pg_temp.temp_model')$$,
    $$SELECT als_track('no_source')$$,
    $$SELECT als_untrack('third')$$,
    $$SELECT als_untrack('ratings')$$,
    $$SELECT als_refresh('third')$$]) s, try(s) e;
BEGIN READ ONLY;
SELECT code, message FROM try($$SELECT als_track('third')$$);
SELECT code, message FROM try($$SELECT als_untrack('second')$$);
ROLLBACK;

SET client_min_messages = error;
DROP SCHEMA track, track_elsewhere CASCADE;
DROP OWNED BY regress_als_writer;
DROP ROLE regress_als_writer;
