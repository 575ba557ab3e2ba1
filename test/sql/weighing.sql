-- What a row weighs by its event, its age and a column: the same bits as a view in
-- which it has been computed, wherever ratings are read; and every bad input's error.
SET client_min_messages = warning;
SET timezone = 'America/New_York';
SET intervalstyle = 'postgres';
CREATE SCHEMA weighing;
SET search_path = weighing, public;
\i test/include/models.sql
\i test/include/errors.sql

CREATE TYPE kind AS ENUM ('view', 'cart', 'buy');
CREATE DOMAIN moment AS timestamptz;
CREATE TYPE pair AS (length int, x text);
CREATE TABLE events AS
    SELECT u AS user_id, i AS item_id, (ARRAY['view', 'cart', 'buy'])[1 + (u * 5 + i * 3) % 3] AS event,
           timestamptz '2024-06-01 12:00+00' - (u * 37 + i * 101) % 400 * interval '7 hours' AS happened,
           ((u * 31 + i * 17) % 7 - 2)::real AS stars, ((u * 13 + i * 7) % 5) / 2.0 AS sureness
    FROM generate_series(1, 40) u, generate_series(1, 30) i WHERE (u * 7919 + i * 104729 + u * i * 13) % 5 IN (0, 1);
INSERT INTO events SELECT user_id, item_id, 'view', happened + interval '3 days', stars, sureness FROM events WHERE item_id % 4 = 0;

-- trains from events and from a view with the rating; are factors and losses the same?
CREATE FUNCTION same(arguments text, rating text, others text DEFAULT '') RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    prints text[];
BEGIN
    EXECUTE format('CREATE OR REPLACE VIEW computed AS SELECT user_id, item_id, (%s)::float8 AS rating FROM events', rating);
    EXECUTE format('SELECT run > 0 AS trained FROM als_train(''weighed'', ''events'', factors => 5, iterations => 3, %s %s)', arguments, others);
    EXECUTE format('SELECT als_train(''reference'', ''computed'', factors => 5, iterations => 3 %s)', others);
    prints := ARRAY[fingerprint('weighed'), fingerprint('reference')];
    RETURN prints[1] = prints[2];
END $$;
SELECT same($$event_column => 'event', event_weights => '{"view": 1, "cart": 2.5, "buy": 5}', rating_column => NULL$$,
            $$CASE event WHEN 'view' THEN 1 WHEN 'cart' THEN 2.5 WHEN 'buy' THEN 5 END$$);
SELECT same($$event_column => 'event', event_weights => '{"view": -1, "cart": 0, "buy": 0.1}', rating_column => 'stars'$$,
            $$stars * CASE event WHEN 'view' THEN -1 WHEN 'cart' THEN 0 WHEN 'buy' THEN 0.1::float8 END$$);
SELECT same($$time_column => 'happened', half_life => '10 days', reference_time => '2024-06-10 00:00+00', rating_column => NULL$$,
            $$2 ^ -((date_part('epoch', timestamptz '2024-06-10 00:00+00') - date_part('epoch', happened)) / 864000)$$);
-- what is later than the reference counts in full, what is older than 50 half-lives as if it were 50
SELECT same($$time_column => 'happened', half_life => '6 hours', reference_time => '2024-05-15', rating_column => 'stars'$$,
            $$stars * 2 ^ -least(50, greatest(0, date_part('epoch', timestamptz '2024-05-15') - date_part('epoch', happened)) / 21600)$$);
-- where everything is as old as that, parameters are chosen as if nothing were
SELECT abs(old.loss / reference.loss - 1) < 0.01 AS as_fresh
FROM als_train('faded', 'events', factors => 5, rating_column => NULL, time_column => 'happened', half_life => '1 hour', reference_time => '2030-01-01') old,
     als_train('reference', 'events', factors => 5, rating_column => NULL) reference;
-- however numbers are written
CREATE FUNCTION with_digits(digits int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('extra_float_digits', digits::text, true);
    PERFORM als_train('weighed', 'events', factors => 5, iterations => 3, rating_column => 'stars', event_column => 'event', event_weights => '{"view": 1.23456789012345678, "cart": 0.1, "buy": 12.75}',
                      time_column => 'happened', half_life => '123456789 microseconds', reference_time => '2024-06-10 00:00:00.123456+00');
    PERFORM als_train('faded', 'events', factors => 5, iterations => 3, rating_column => NULL, time_column => 'happened', half_life => '12.3 days', reference_time => '2024-06-10 00:00:00.123456+00');
    PERFORM set_config('extra_float_digits', '1', true);
    RETURN fingerprint('weighed') || fingerprint('faded');
END $$;
SELECT count(DISTINCT with_digits(digits)) AS prints, count(*) AS settings FROM unnest('{-15, 0, 1, 3}'::int[]) digits;
-- without a reference time: the start of the transaction
BEGIN;
SELECT same($$time_column => 'happened', half_life => '1 year', rating_column => 'stars'$$,
            $$stars * 2 ^ -((date_part('epoch', now()) - date_part('epoch', happened)) / (365.25 * 86400)::float8)$$);
SELECT reference_time = now() AS now, half_life, time_column FROM weighed ORDER BY run DESC LIMIT 1;
COMMIT;
SELECT same($$weight_column => 'sureness', rating_column => 'stars'$$, $$CASE WHEN stars > 0 THEN sureness ELSE -sureness END$$);
SELECT same($$weight_column => 'sureness', rating_column => NULL$$, $$sureness$$);
SELECT same($$event_column => 'event', event_weights => '{"view": 1, "cart": 2, "buy": 5}', time_column => 'happened', half_life => '10 days',
              reference_time => '2024-06-10 00:00+00', weight_column => 'sureness', rating_column => 'stars'$$,
            $$CASE WHEN stars > 0 THEN sureness ELSE -sureness END::float8 * CASE event WHEN 'view' THEN 1 WHEN 'cart' THEN 2 WHEN 'buy' THEN 5 END
              * 2 ^ -((date_part('epoch', timestamptz '2024-06-10 00:00+00') - date_part('epoch', happened)) / 864000)$$);
-- and so in what is set aside, or named, to validate on
SELECT same($$event_column => 'event', event_weights => '{"view": -1, "cart": 2, "buy": 5}', rating_column => NULL$$,
            $$CASE event WHEN 'view' THEN -1 WHEN 'cart' THEN 2 WHEN 'buy' THEN 5 END$$, ', validation_fraction => 0.3');
SELECT run > 0 AS trained FROM als_train('weighed', 'events', factors => 5, iterations => 3, validation => 'SELECT * FROM events WHERE item_id < 9', rating_column => NULL,
                 event_column => 'event', event_weights => '{"view": -1, "cart": 2, "buy": 5}');
SELECT run > 0 AS trained FROM als_train('reference', 'computed', factors => 5, iterations => 3, validation => 'SELECT * FROM computed WHERE item_id < 9');
SELECT fingerprint('weighed') = fingerprint('reference') AS same;

-- and in every trial
CREATE VIEW tuned_computed AS SELECT user_id, item_id, 2 ^ -((date_part('epoch', timestamptz '2024-06-10 00:00+00') - date_part('epoch', happened)) / 864000)
    * CASE event WHEN 'view' THEN -1 WHEN 'cart' THEN 2 WHEN 'buy' THEN 5 END AS rating FROM events;
SELECT count(*), bool_and((w.parameters, w.metric, w.loss) = (r.parameters, r.metric, r.loss)) AS same
FROM als_tune('weighed_tuned', 'events', '{"factors": [3, 5], "iterations": 3}', rating_column => NULL, event_column => 'event', event_weights => '{"view": -1, "cart": 2, "buy": 5}',
              time_column => 'happened', half_life => '10 days', reference_time => '2024-06-10 00:00+00') w
JOIN als_tune('reference_tuned', 'tuned_computed', '{"factors": [3, 5], "iterations": 3}') r USING (rank);
SELECT fingerprint('weighed_tuned') = fingerprint('reference_tuned') AS same;
BEGIN;
SELECT count(*) FROM als_tune('weighed_tuned', 'events', '{"factors": [3, 5], "iterations": 3}', refit => true, rating_column => NULL, time_column => 'happened', half_life => '1000 days');
CREATE VIEW now_computed AS SELECT user_id, item_id, 2 ^ -((date_part('epoch', now()) - date_part('epoch', happened)) / 86400000) AS rating FROM events;
SELECT count(*) FROM als_tune('reference_tuned', 'now_computed', '{"factors": [3, 5], "iterations": 3}', refit => true);
SELECT fingerprint('weighed_tuned') = fingerprint('reference_tuned') AS same, reference_time = now() AS now FROM weighed_tuned ORDER BY run DESC LIMIT 1;
COMMIT;

-- a grid of weights and half-lives: each trial is the training with these arguments
CREATE TABLE irregular AS
    SELECT u AS user_id, i AS item_id, (ARRAY['view', 'cart', 'buy'])[1 + (u * u + i) % 3] AS event, timestamptz '2024-06-01 12:00+00' - (u * 37 + i * i * 101) % 400 * interval '7 hours' AS happened
    FROM generate_series(1, 60) u, generate_series(1, 40) i WHERE (u * u * 7919 + i * i * 104729 + u * i * i * 13) % 97 < 25;
CREATE FUNCTION weigh_alone(parameters jsonb, others text DEFAULT '') RETURNS als_model LANGUAGE plpgsql AS $$
DECLARE
    result als_model;
BEGIN
    EXECUTE format('SELECT m.* FROM als_train(''alone'', ''irregular'', factors => %s, iterations => 4, rating_column => NULL, event_column => ''event'', event_weights => %L %s %s) m',
                   parameters -> 'factors', parameters -> 'event_weights', others,
                   ', time_column => ''happened'', reference_time => ''2024-06-10 00:00+00'', half_life => ' || quote_literal(parameters ->> 'half_life'))
    INTO result;
    RETURN result;
END $$;
CREATE TABLE grid_trials AS
    SELECT * FROM als_tune('weighed_tuned', 'irregular', '{"event_weights": {"view": 1, "cart": [2, 3], "buy": [5, 20]}, "half_life": ["10 days", null, "1000 days"], "factors": [3, 5], "iterations": 4}',
                           rating_column => NULL, event_column => 'event', time_column => 'happened', reference_time => '2024-06-10 00:00+00', validation_fraction => 0.2, validation_metric => 'auc');
SELECT parameters FROM grid_trials WHERE trial IN (1, 2, 3, 6, 7, 24) ORDER BY trial;
SELECT event_weights = parameters -> 'event_weights' AS weights, half_life IS NOT DISTINCT FROM (parameters ->> 'half_life')::interval AS half_life, time_column,
       (reference_time IS NULL) = (half_life IS NULL) AS reference
FROM weighed_tuned, grid_trials WHERE rank = 1 ORDER BY run DESC LIMIT 1;
SELECT count(*) AS trials, count(DISTINCT t.loss) AS losses, count(DISTINCT t.metric) AS metrics, count(p_value) AS compared, bool_and((a.loss, a.validation_curve[a.best_iteration]) = (t.loss, t.metric)) AS same
FROM grid_trials t, weigh_alone(parameters, ', validation_fraction => 0.2, validation_metric => ''auc''') a;
SELECT (weigh_alone(parameters, ', validation_fraction => 0.2, validation_metric => ''auc''')).run > 0 AS trained FROM grid_trials WHERE rank = 1;
SELECT fingerprint('weighed_tuned') = fingerprint('alone') AS same;
-- with the values in another order the same trials, and the same best, which is read first, last or in between
CREATE FUNCTION tune_weights(weights text, half_lives text, others text DEFAULT '') RETURNS TABLE (trials bigint, same boolean, best boolean) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TEMPORARY TABLE again AS SELECT * FROM als_tune(''again_tuned'', ''irregular'', ''{"iterations": 4, "factors": [3, 5], "event_weights": %s, "half_life": %s}'',
                           rating_column => NULL, event_column => ''event'', time_column => ''happened'', reference_time => ''2024-06-10 00:00+00'', validation_fraction => 0.2, validation_metric => ''auc'' %s)', weights, half_lives, others);
    RETURN QUERY SELECT count(*), bool_and((a.metric, a.loss, a.best_iteration, a.baseline) = (t.metric, t.loss, t.best_iteration, t.baseline) AND (a.rank = 1 OR a.p_value IS NOT DISTINCT FROM t.p_value)),
           fingerprint('again_tuned') = fingerprint('weighed_tuned')
    FROM weighing.grid_trials t JOIN again a USING (parameters);
    DROP TABLE again;
END $$;
SELECT * FROM tune_weights('{"view": 1, "cart": [2, 3], "buy": [5, 20]}', '["10 days", null, "1000 days"]');
SELECT * FROM tune_weights('{"view": 1, "cart": [3, 2], "buy": [20, 5]}', '["1000 days", null, "10 days"]');
SELECT * FROM tune_weights('[{"view": 1, "cart": 2, "buy": 5}, {"view": 1, "cart": 3, "buy": 5}, {"view": 1, "cart": 3, "buy": 20}, {"view": 1, "cart": 2, "buy": 20}]', '[null, "1000 days", "10 days"]', ', workers => 2');
SET maintenance_work_mem = '1MB';
SELECT * FROM tune_weights('{"view": 1, "cart": [3, 2], "buy": [20, 5]}', '[null, "1000 days", "10 days"]', ', workers => 0');
RESET maintenance_work_mem;
-- a sample, no events to weigh, all ratings in the end, a relation to validate on, and a search with one weighing
SELECT count(*) AS trials, bool_and((s.metric, s.loss) = (t.metric, t.loss)) AS same
FROM als_tune('again_tuned', 'irregular', '{"event_weights": {"view": 1, "cart": [2, 3], "buy": [5, 20]}, "half_life": ["10 days", null, "1000 days"], "factors": [3, 5], "iterations": 4}', trials => 5,
              rating_column => NULL, event_column => 'event', time_column => 'happened', reference_time => '2024-06-10 00:00+00', validation_fraction => 0.2, validation_metric => 'auc') s JOIN grid_trials t USING (parameters);
BEGIN;
CREATE TABLE refitted AS SELECT * FROM als_tune('again_tuned', 'events', '{"half_life": ["10 days", "100 days"], "factors": 5, "iterations": 4, "regularization": 0.1, "alpha": 2}', refit => true, rating_column => 'stars', time_column => 'happened');
SELECT run > 0 AS trained FROM refitted, als_train('alone', 'events', half_life => (parameters ->> 'half_life')::interval, factors => 5, iterations => best_iteration, regularization => 0.1, alpha => 2, rating_column => 'stars', time_column => 'happened') WHERE rank = 1;
SELECT fingerprint('again_tuned') = fingerprint('alone') AS same;
COMMIT;
SELECT bool_and((a.loss, a.validation_curve[a.best_iteration]) = (t.loss, t.metric)) AS same
FROM als_tune('again_tuned', 'irregular', '{"event_weights": {"view": [1, 4], "cart": 1, "buy": 2}, "half_life": null, "factors": 3, "iterations": 4}', validation => 'SELECT * FROM irregular WHERE item_id < 9',
              rating_column => NULL, event_column => 'event', time_column => 'happened') t, weigh_alone(parameters, $$, validation => 'SELECT * FROM irregular WHERE item_id < 9'$$) a;
SELECT count(*) AS trials, bool_and(parameters @> '{"event_weights": {"view": 1, "cart": 2, "buy": 5}, "half_life": "10 days"}') AS pinned
FROM als_tune('again_tuned', 'irregular', '{"event_weights": {"view": 1, "cart": [2], "buy": 5}, "half_life": ["10 days"], "factors": {"to": 4}, "iterations": 4}', trials => 3,
              rating_column => NULL, event_column => 'event', time_column => 'happened');
SELECT event_weights, half_life, time_column FROM again_tuned ORDER BY run DESC LIMIT 1;
-- all readings see the same rows, whatever has been added meanwhile; or it is an error
CREATE TABLE growing AS SELECT user_id, item_id, event FROM irregular;
CREATE FUNCTION grow() RETURNS boolean LANGUAGE sql AS 'INSERT INTO weighing.growing SELECT user_id + 100, item_id, event FROM weighing.irregular WHERE item_id = 1 RETURNING true';
SELECT count(*) AS trials, bool_and((g.metric, g.loss) = (t.metric, t.loss)) AS same
FROM als_tune('again_tuned', 'SELECT g.* FROM growing g, (SELECT grow() OFFSET 0) f', '{"event_weights": {"view": 1, "cart": 2, "buy": [5, 6, 7]}, "factors": 3, "iterations": 4}', rating_column => NULL, event_column => 'event') g
JOIN als_tune('weighed_tuned', 'irregular', '{"event_weights": {"view": 1, "cart": 2, "buy": [5, 6, 7]}, "factors": 3, "iterations": 4}', rating_column => NULL, event_column => 'event') t USING (parameters);
SELECT count(*) / (SELECT count(*) FROM irregular WHERE item_id = 1) AS readings FROM growing WHERE user_id > 100;
CREATE SEQUENCE readings;
\x on
SELECT * FROM try($$SELECT als_tune('bad', 'SELECT * FROM weighing.events ORDER BY user_id, item_id LIMIT 100 + 100 * nextval(''weighing.readings'')', '{"half_life": ["10 days", "20 days"], "factors": 3, "iterations": 4}',
    rating_column => NULL, time_column => 'happened')$$);
SELECT grid, t.* FROM unnest(ARRAY['{"event_weights": {}}', '{"event_weights": []}', '{"event_weights": [1]}', '{"event_weights": [[]]}', '{"event_weights": 5}', '{"event_weights": "x"}', '{"event_weights": null}', '{"event_weights": [null]}',
    '{"event_weights": {"view": []}}', '{"event_weights": {"view": ["1"]}}', '{"event_weights": {"view": null}}', '{"event_weights": {"view": {"from": 1, "to": 2}}}', '{"event_weights": [{"view": [1, 2]}]}', '{"event_weights": {"view": [1, 1e31]}}',
    '{"event_weights": {"view": [1, 0]}}', '{"event_weights": {"view": 1, "buy": [-1, 1]}}', '{"event_weights": [{"view": 1, "buy": 1}, {"buy": 1, "view": -1}]}', '{"event_weights": [{"view": 1}, {"buy": 1, "view": 1}]}', '{"event_weights": [{"view": 1}, {"buy": 1}]}', '{"event_weights": {"view": 1, "buy": [2, 3]}, "alpha": {}}',
    '{"half_life": []}', '{"half_life": "x"}', '{"half_life": 7}', '{"half_life": ["0"]}', '{"half_life": ["-1 day"]}', '{"half_life": {}}', '{"half_life": [["1 day"]]}', '{"half_life": [null, "1 day"], "factors": {"to": 4}}']) grid,
    try(format('SELECT als_tune(''bad'', ''events'', %L, rating_column => NULL, event_column => ''event'', event_weights => ''{"view": 1}'', time_column => ''happened'', half_life => ''1 day'')', grid)) t;
SELECT * FROM try(format('SELECT als_tune(''bad'', ''events'', %L)', (SELECT jsonb_build_object('event_weights', jsonb_object_agg(x, '[1, 2]'::jsonb)) FROM generate_series(1, 20) x)));
SELECT grid, arguments, t.* FROM (VALUES ('{"event_weights": {"view": 1}}', ''), ('{"half_life": "1 day"}', ''), ('{"factors": 3}', $$, event_column => 'event'$$),
    ('{"event_weights": {"view": [1, 2]}}', $$, event_column => 'event'$$)) v(grid, arguments),
    try(format('SELECT als_tune(''bad'', ''events'', %L, rating_column => NULL %s)', grid, arguments)) t;
\x off
SELECT relname FROM pg_class WHERE relnamespace = 'weighing'::regnamespace AND relname LIKE 'bad%';

-- columns of other types: events as text of it, by bytes; times of three types, UTC's without a time zone
CREATE VIEW typed AS SELECT user_id, item_id, event::kind AS enum, event::char(9) AS padded, to_jsonb(event) AS json, 1 + length(event) % 2 AS number,
    length(event) > 3 AS truth, upper(event) AS upper, happened::moment AS moment, happened AT TIME ZONE 'UTC' AS local, (happened AT TIME ZONE 'UTC')::date AS date,
    (length(event), 'x')::pair AS row, '{}'::text[] || event AS array, length(event)::float8 AS float, length(event)::real AS real,
    event::bytea AS bytes, interval '1 day' AS interval, length(event)::money AS money
    FROM events;
CREATE FUNCTION print(arguments text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT als_train(''weighed'', ''typed'', factors => 5, iterations => 1, rating_column => NULL, %s)', arguments);
    RETURN fingerprint('weighed');
END $$;
SELECT count(*), count(DISTINCT print(format('event_column => %L, event_weights => %L', title, weights))) AS different
FROM (VALUES ('enum', '{"view": 1, "cart": 2, "buy": 5}'), ('padded', '{"view": 1, "cart": 2, "buy": 5}'), ('json', '{"\"view\"": 1, "\"cart\"": 2, "\"buy\"": 5}'), ('upper', '{"VIEW": 1, "CART": 2, "BUY": 5}')) t(title, weights);
SELECT count(*), count(DISTINCT print(format('event_column => %L, event_weights => %L', title, weights))) AS different
FROM (VALUES ('number', '{"1": 1, "2": 2}'), ('truth', '{"true": 1, "false": 2}')) t(title, weights);
SELECT title, print(format($$time_column => %L, half_life => '10 days', reference_time => '2024-06-10 00:00+00'$$, title)) = p AS same
FROM print($$time_column => 'moment', half_life => '10 days', reference_time => '2024-06-10 00:00+00'$$) p, (VALUES ('local'), ('date')) t(title);
SELECT run > 0 AS trained FROM als_train('reference', $$SELECT user_id, item_id, 2 ^ -((date_part('epoch', timestamptz '2024-06-10 00:00+00') - date_part('epoch', date)) / 864000) AS rating FROM typed$$,
                 factors => 5, iterations => 1);
SELECT fingerprint('weighed') = fingerprint('reference') AS date_same;

-- but none whose text depends on settings
SELECT title, t.* FROM unnest('{float,real,bytes,moment,local,date,interval,money,row,array}'::text[]) title,
    try(format($$SELECT als_train('bad', 'typed', rating_column => NULL, event_column => %L, event_weights => '{"4": 1, "3": 2}')$$, title)) t;

-- names that need quotes, events that do, and the ends of time
CREATE VIEW odd AS SELECT user_id, item_id, CASE event WHEN 'buy' THEN E'it''s \\ "bought"' ELSE event END AS "The ""Event",
    CASE item_id % 9 WHEN 0 THEN 'infinity' WHEN 1 THEN '-infinity' ELSE happened END AS "when" FROM events;
SELECT run > 0 AS trained FROM als_train('weighed', 'odd', factors => 5, iterations => 3, rating_column => NULL, event_column => 'The "Event', event_weights => $$ {"view": 1, "cart": 2, "it's \\ \"bought\"": 5} $$,
                 time_column => 'when', half_life => '10 days', reference_time => '2024-06-10 00:00+00');
CREATE VIEW even AS SELECT user_id, item_id, CASE "The ""Event" WHEN 'view' THEN 1 WHEN 'cart' THEN 2 ELSE 5 END
    * CASE "when" WHEN 'infinity' THEN 1 WHEN '-infinity' THEN 2 ^ (-50) ELSE 2 ^ -((date_part('epoch', timestamptz '2024-06-10 00:00+00') - date_part('epoch', "when")) / 864000) END AS rating FROM odd;
SELECT run > 0 AS trained FROM als_train('reference', 'even', factors => 5, iterations => 3);
SELECT fingerprint('weighed') = fingerprint('reference') AS same;

-- nobody's operators and functions are called instead
CREATE FUNCTION anything(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR = (LEFTARG = text, RIGHTARG = text, FUNCTION = anything);
CREATE FUNCTION date_part(text, timestamptz) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT 0::float8';
CREATE FUNCTION power(float8, float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT 0::float8';
SET search_path = weighing, pg_catalog, public;
SELECT run > 0 AS trained FROM als_train('weighed', 'odd', factors => 5, iterations => 3, rating_column => NULL, event_column => 'The "Event', event_weights => $$ {"view": 1, "cart": 2, "it's \\ \"bought\"": 5} $$,
                 time_column => 'when', half_life => '10 days', reference_time => '2024-06-10 00:00+00');
SET search_path = weighing, public;
DROP OPERATOR weighing.= (text, text);
DROP FUNCTION weighing.date_part(text, timestamptz), weighing.power(float8, float8);
SELECT fingerprint('weighed') = fingerprint('reference') AS same;

-- what serves from live ratings weighs them as the training did, in whatever time zone
SELECT same($$event_column => 'event', event_weights => '{"view": 1, "cart": 2, "buy": 5}', time_column => 'happened', half_life => '10 days',
              reference_time => '2024-06-10 00:00+00', weight_column => 'sureness', rating_column => 'stars'$$,
            $$CASE WHEN stars > 0 THEN sureness ELSE -sureness END::float8 * CASE event WHEN 'view' THEN 1 WHEN 'cart' THEN 2 WHEN 'buy' THEN 5 END
              * 2 ^ -((date_part('epoch', timestamptz '2024-06-10 00:00+00') - date_part('epoch', happened)) / 864000)$$);
SET timezone = 'Asia/Tokyo';
INSERT INTO events VALUES (41, 3, 'buy', '2024-05-20', 4, 2), (41, 8, 'view', '2030-01-01', -1, 1), (7, 5, 'cart', '2024-05-30', 5, 1);
CREATE OR REPLACE VIEW computed AS SELECT user_id, item_id, CASE WHEN stars > 0 THEN sureness ELSE -sureness END::float8 * CASE event WHEN 'view' THEN 1 WHEN 'cart' THEN 2 WHEN 'buy' THEN 5 END
    * 2 ^ least(0, (date_part('epoch', happened) - date_part('epoch', timestamptz '2024-06-10 00:00+00')) / 864000) AS rating FROM events;
SELECT als_refresh_user('weighed', u) AS weighed, als_refresh_user('reference', u) AS reference FROM unnest(ARRAY[7, 41]) u;
SELECT als_refresh_item('weighed', 5) AS weighed, als_refresh_item('reference', 5) AS reference;
SELECT factors_of('weighed') = factors_of('reference') AS same;
SELECT count(*) > 0 AS some, bool_and(w IS NOT DISTINCT FROM r) AS same
FROM als_explain('weighed', 7, 4) WITH ORDINALITY w FULL JOIN als_explain('reference', 7, 4) WITH ORDINALITY r USING (ordinality);
DELETE FROM weighed_users WHERE user_id = 41;
DELETE FROM reference_users WHERE user_id = 41;
SELECT count(*) = 5 AS some, bool_and(w IS NOT DISTINCT FROM r) AS same
FROM als_recommend('weighed', 41, 5) WITH ORDINALITY w FULL JOIN als_recommend('reference', 41, 5) WITH ORDINALITY r USING (ordinality);

-- what the row says, and an import with the same
SELECT rating_column, event_column, event_weights, time_column, half_life, reference_time AT TIME ZONE 'UTC' AS reference, weight_column FROM weighed ORDER BY run DESC LIMIT 1;
SELECT i.event_weights, i.half_life, i.weight_column, i.reference_time = m.reference_time AS same
FROM (SELECT * FROM weighed ORDER BY run DESC LIMIT 1) m, als_import('imported', 'weighed_users', 'weighed_items', 'events', rating_column => m.rating_column, event_column => m.event_column,
    event_weights => m.event_weights, time_column => m.time_column, half_life => m.half_life, reference_time => m.reference_time, weight_column => m.weight_column,
    regularization => m.regularization, regularization_scaling => m.regularization_scaling, alpha => m.alpha) i;
SELECT als_refresh_user('imported', 7), als_refresh_user('weighed', 7);
SELECT factors_of('imported') = factors_of('weighed') AS same;

-- explicit: several ratings of a pair by their weights, in the query that the model keeps;
-- with whole weights as if each came so many times
CREATE TABLE opinions AS
    SELECT u AS user_id, i AS item_id, (u * 31 + i * 17 + n * 3) % 5 + 1 AS stars, (u * 13 + i * 7 + n * 2) % 4 AS sureness
    FROM generate_series(1, 30) u, generate_series(1, 20) i, generate_series(1, 3) n WHERE (u * 7919 + i * 104729 + u * i * 13) % 5 < 2;
SELECT ratings = (SELECT count(DISTINCT (user_id, item_id)) FROM opinions WHERE sureness > 0) AS pairs
FROM als_train('averaged', $$SELECT user_id, item_id, sum(sureness * stars) / sum(sureness)::float8 AS rating
    FROM opinions WHERE sureness > 0 GROUP BY user_id, item_id$$, feedback => 'explicit', factors => 5, iterations => 3);
INSERT INTO opinions VALUES (7, 5, 5, 3), (7, 5, 1, 1), (7, 5, 2, 0), (31, 3, 4, 2), (31, 3, 1, 5), (31, 8, 5, 1);
SELECT als_refresh_user('averaged', u) FROM unnest(ARRAY[7, 9, 31]) u;
SELECT user_id, factors || bias = als_fold_in('averaged', items, stars) AS same
FROM averaged_users JOIN (SELECT user_id, array_agg(item_id) AS items, array_agg(stars::float8) AS stars
                          FROM opinions, generate_series(1, sureness) GROUP BY user_id) o USING (user_id) WHERE user_id IN (7, 9, 31) ORDER BY user_id;

-- rows that cannot be weighed; one process reads, or several
\x on
SELECT * FROM try($$SELECT run > 0 AS trained FROM als_train('bad', 'events', rating_column => NULL, event_column => 'event', event_weights => '{"view": 1, "buy": 5}')$$);
SELECT * FROM try($$SELECT als_train('bad', 'SELECT 1 AS user_id, 2 AS item_id, NULL AS event', rating_column => NULL, event_column => 'event', event_weights => '{"view": 1}')$$);
SELECT * FROM try($$SELECT als_train('bad', 'SELECT 1 AS user_id, 2 AS item_id, NULL::date AS day', rating_column => NULL, time_column => 'day', half_life => '1 day')$$);
SELECT * FROM try($$SELECT als_train('bad', 'SELECT 1 AS user_id, 2 AS item_id, NULL::int AS sure', rating_column => NULL, weight_column => 'sure')$$);
SELECT weight, t.* FROM unnest(ARRAY[-1, 'nan', 'infinity']::real[]) weight,
    try(format('SELECT als_train(''bad'', ''SELECT 1 AS user_id, 2 AS item_id, 1 AS rating, ''''%s''''::real AS sure'', weight_column => ''sure'')', weight)) t;
SELECT rating, t.* FROM unnest(ARRAY[NULL, 'nan', 'infinity', '-infinity']::real[]) rating,
    try(format('SELECT als_train(''bad'', ''SELECT 1 AS user_id, 2 AS item_id, nullif(''''%s'''', '''''''')::real AS rating, 1 AS sure'', weight_column => ''sure'')', rating)) t;
SELECT * FROM try($$SELECT als_train('bad', 'SELECT 1 AS user_id, 2 AS item_id, ''x'' AS event', rating_column => NULL, event_column => 'event', event_weights => '{"x": 1e-50}')$$);
SELECT * FROM try($$SELECT als_train('bad', 'SELECT 1 AS user_id, 2 AS item_id, 1e30 AS rating, ''x'' AS event', event_column => 'event', event_weights => '{"x": 1e30}')$$);
\x off
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
ALTER TABLE events SET (parallel_workers = 2);
SELECT same($$event_column => 'event', event_weights => '{"view": 1, "cart": 2, "buy": 5}', time_column => 'happened', half_life => '10 days',
              reference_time => '2024-06-10 00:00+00', weight_column => 'sureness', rating_column => 'stars'$$,
            $$CASE WHEN stars > 0 THEN sureness ELSE -sureness END::float8 * CASE event WHEN 'view' THEN 1 WHEN 'cart' THEN 2 WHEN 'buy' THEN 5 END
              * 2 ^ least(0, (date_part('epoch', happened) - date_part('epoch', timestamptz '2024-06-10 00:00+00')) / 864000)$$);
SELECT code, message FROM try($$SELECT als_train('bad', 'events', rating_column => NULL, event_column => 'event', event_weights => '{"view": 1, "buy": 5}')$$);
SELECT code, message FROM try($$SELECT als_train('bad', 'SELECT *, -1 AS sure FROM events WHERE item_id > 29 AND stars > 3', rating_column => NULL, weight_column => 'sure')$$);
\x on
-- nor then of a user who is served
SELECT run > 0 AS trained FROM als_train('weighed', 'events', factors => 5, iterations => 1, rating_column => NULL, event_column => 'event', event_weights => '{"view": 1, "cart": 2, "buy": 5}');
INSERT INTO events VALUES (7, 6, 'wish');
SELECT * FROM try($$SELECT als_refresh_user('weighed', 7)$$);
SELECT count(*) FROM als_recommend('weighed', 7, 3);
DELETE FROM events WHERE event = 'wish';

-- columns that are not there or not of their type
SELECT arguments, t.* FROM unnest(ARRAY[
    $$event_column => 'kind', event_weights => '{"view": 1}'$$, $$time_column => 'kind', half_life => '1 day'$$, $$weight_column => 'kind'$$,
    $$time_column => 'event', half_life => '1 day'$$, $$time_column => 'user_id', half_life => '1 day'$$, $$weight_column => 'event'$$, $$weight_column => 'happened'$$]) arguments,
    try(format('SELECT run > 0 AS trained FROM als_train(''bad'', ''events'', rating_column => NULL, %s)', arguments)) t;
SELECT * FROM try($$SELECT als_import('bad', 'weighed_users', 'weighed_items', 'events', rating_column => NULL, weight_column => 'event')$$);

-- arguments out of range, or without what they need
SELECT arguments, t.* FROM unnest(ARRAY[
    $$event_column => 'event'$$, $$event_weights => '{"view": 1}'$$, $$half_life => '1 day'$$, $$reference_time => now()$$,
    $$event_column => 'event', event_weights => '{}'$$, $$event_column => 'event', event_weights => '[1]'$$, $$event_column => 'event', event_weights => '3'$$, $$event_column => 'event', event_weights => 'null'$$,
    $$event_column => 'event', event_weights => '{"view": "1"}'$$, $$event_column => 'event', event_weights => '{"view": null}'$$, $$event_column => 'event', event_weights => '{"view": [1, 2]}'$$,
    $$event_column => 'event', event_weights => '{"view": {"x": 1}}'$$, $$event_column => 'event', event_weights => '{"view": 1e31}'$$, $$event_column => 'event', event_weights => '{"view": 1e400}'$$,
    $$time_column => 'happened', half_life => '0'$$, $$time_column => 'happened', half_life => '-1 day'$$,
    $$time_column => 'happened', half_life => '1 day', reference_time => 'infinity'$$, $$time_column => 'happened', half_life => '1 day', reference_time => '-infinity'$$]) arguments,
    try(format('SELECT als_train(''bad'', ''events'', rating_column => NULL, %s)', arguments)) t;
SELECT relname FROM pg_class WHERE relnamespace = 'weighing'::regnamespace AND relname LIKE 'bad%';

-- rows of the model that no training has written
SELECT run > 0 AS trained FROM als_train('weighed', 'events', factors => 5, iterations => 1, rating_column => NULL, event_column => 'event', event_weights => '{"view": 1, "cart": 2, "buy": 5}',
                 time_column => 'happened', half_life => '1 day');
SELECT change, t.code, t.message, t.detail FROM unnest(ARRAY['event_weights = NULL', $$event_weights = '{"view": "1"}'$$, $$event_weights = '{"view": 1e300}'$$, 'event_column = NULL',
    'time_column = NULL', 'reference_time = NULL', $$reference_time = 'infinity'$$, $$half_life = '-1 day'$$]) change,
    try(format($$DO 'BEGIN UPDATE weighed SET %s; PERFORM als_refresh_user(''weighed'', 7); END'$$, replace(change, '''', ''''''))) t;
SELECT change, t.* FROM unnest(ARRAY[$$event_column = 'gone'$$, $$time_column = 'event'$$, $$event_column = '1); DROP TABLE events'$$, 'half_life = NULL']) change,
    try(format($$DO 'BEGIN UPDATE weighed SET %s; PERFORM als_refresh_user(''weighed'', 7); END'$$, replace(change, '''', ''''''))) t;
\x off

-- who may not execute the function that raises errors
CREATE ROLE als_weigher;
GRANT USAGE ON SCHEMA weighing TO als_weigher;
GRANT SELECT ON events, weighed TO als_weigher;
REVOKE EXECUTE ON FUNCTION als_reject_value FROM PUBLIC;
DELETE FROM weighed_users WHERE user_id = 7;
SET ROLE als_weigher;
SELECT count(*) FROM als_recommend('weighed', 7, 3);
RESET ROLE;
INSERT INTO events VALUES (7, 6, 'wish', now());
SET ROLE als_weigher;
SELECT * FROM try($$SELECT als_recommend('weighed', 7, 3)$$);
RESET ROLE;
GRANT EXECUTE ON FUNCTION als_reject_value TO PUBLIC;
SET ROLE als_weigher;
SELECT * FROM try($$SELECT als_recommend('weighed', 7, 3)$$);
SELECT * FROM try($$SELECT als_reject_value(NULL, NULL, NULL, NULL)$$);
SELECT * FROM try($$SELECT als_reject_value(NULL, 'x', NULL, NULL)$$);
RESET ROLE;
-- nor one of the columns
REVOKE SELECT ON events FROM als_weigher;
GRANT SELECT (user_id, item_id) ON events TO als_weigher;
SET ROLE als_weigher;
SELECT * FROM try($$SELECT als_recommend('weighed', 7, 3)$$);
RESET ROLE;
DROP OWNED BY als_weigher;
DROP ROLE als_weigher;
DROP SCHEMA weighing CASCADE;
