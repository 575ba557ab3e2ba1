-- Weights of explicit ratings: the objective written down in SQL, what a weight means, and
-- the same bits as a view in which they have been computed; wherever ratings are read.
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE SCHEMA row_weights;
SET search_path = row_weights, public;
\i test/include/algebra.sql
\i test/include/models.sql
\i test/include/errors.sql

CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, (1 + (u * 31 + i * 17 + u * i) % 9 / 2.0)::real AS rating, ((u * 13 + i * 7) % 11 / 4.0)::float8 AS sure,
           (ARRAY['glance', 'visit', 'stay'])[1 + (u * 5 + i * 3) % 3] AS event, timestamptz '2024-06-01 12:00+00' - (u * 37 + i * 101) % 400 * interval '7 hours' AS happened
    FROM generate_series(1, 60) u, generate_series(1, 40) i WHERE (u * 7919 + i * 104729 + u * i * 13) % 5 IN (0, 1);
CREATE VIEW weighty AS SELECT * FROM ratings WHERE sure > 0;

-- the loss is the objective, by the factors as they are stored; s and the mean by weight
SELECT run > 0 AS trained FROM als_train('weighed', 'ratings', feedback => 'explicit', factors => 5, iterations => 1, weight_column => 'sure');
CREATE FUNCTION objective(lambda float8, nu float8) RETURNS float8 LANGUAGE sql VOLATILE AS $$
    WITH m AS (SELECT sum(sure * rating) / sum(sure) AS mean FROM weighty),
    errors AS (SELECT sum(sure * (rating - mean - u.bias - i.bias
                          - (SELECT sum(x::float8 * y::float8) FROM unnest(u.factors, i.factors) AS f (x, y))) ^ 2) AS sum
               FROM m, weighty JOIN weighed_users u USING (user_id) JOIN weighed_items i USING (item_id)),
    sizes AS (SELECT power(s, nu) * (bias::float8 ^ 2 + (SELECT sum(x::float8 ^ 2) FROM unnest(factors) x)) AS size
              FROM (SELECT user_id, sum(sure) AS s FROM weighty GROUP BY 1) w JOIN weighed_users USING (user_id)
              UNION ALL
              SELECT power(s, nu) * (bias::float8 ^ 2 + (SELECT sum(x::float8 ^ 2) FROM unnest(factors) x))
              FROM (SELECT item_id, sum(sure) AS s FROM weighty GROUP BY 1) w JOIN weighed_items USING (item_id))
    SELECT errors.sum + lambda * (SELECT sum(size) FROM sizes) FROM errors
$$;
SELECT nu, options, abs(t.loss / objective(0.3, nu) - 1) < 1e-6 AS loss,
       abs(t.mean_rating / (SELECT sum(sure * rating) / sum(sure) FROM weighty) - 1) < 1e-9 AS mean,
       t.ratings = (SELECT count(*) FROM weighty) AS ratings, t.losses[1] > t.losses[6] AS falls
FROM unnest(ARRAY[0, 0.5, 1]::float8[]) nu, unnest(ARRAY['cg', 'cholesky', 'nonnegative']) options,
     LATERAL als_train('weighed', 'ratings', feedback => 'explicit', factors => 5, iterations => 6, regularization => 0.3, regularization_scaling => nu, weight_column => 'sure',
                       solver => CASE options WHEN 'nonnegative' THEN 'cg' ELSE options END, nonnegative => options = 'nonnegative') t;

-- trains from ratings and from another source; are factors and losses the same?
CREATE FUNCTION same(source text, arguments text, other text, other_arguments text, both_arguments text DEFAULT '') RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    prints text[];
BEGIN
    EXECUTE format('SELECT als_train(''weighed'', %L, feedback => ''explicit'', factors => 5, iterations => 4 %s %s)', source, arguments, both_arguments);
    EXECUTE format('SELECT als_train(''reference'', %L, feedback => ''explicit'', factors => 5, iterations => 4 %s %s)', other, other_arguments, both_arguments);
    prints := ARRAY[fingerprint('weighed'), fingerprint('reference')];
    RETURN prints[1] = prints[2];
END $$;
-- weights of 1 are none, and what weighs 0 is not there
SELECT same('SELECT *, 1 AS one FROM ratings', $$, weight_column => 'one'$$, 'ratings', '');
SELECT same('ratings', $$, weight_column => 'sure'$$, 'weighty', $$, weight_column => 'sure'$$);
SELECT same('SELECT *, 1 AS one FROM ratings', $$, weight_column => 'one', rating_column => NULL$$, 'ratings', ', rating_column => NULL', ', biases => false');
-- a weight of 2 is the row twice; several ratings of a pair are their mean by weight, with the sum of their weights
SELECT same('SELECT *, 2 AS two FROM ratings, generate_series(1, 2)', $$, weight_column => 'two'$$, 'SELECT *, 1 AS one FROM ratings, generate_series(1, 4)', $$, weight_column => 'one'$$);
SELECT same('SELECT user_id, item_id, rating + n AS rating, n / 2.0 AS weight FROM ratings, generate_series(1, 3) n', $$, weight_column => 'weight'$$,
            'SELECT user_id, item_id, ((1 * (rating + 1) + 2 * (rating + 2) + 3 * (rating + 3))::float8 / 6)::real AS rating, 1 AS weight FROM ratings, generate_series(1, 3)', $$, weight_column => 'weight'$$);
-- events and age multiply the weight
SELECT same('ratings', $$, event_column => 'event', event_weights => '{"glance": 0, "visit": 1, "stay": 2.5}', time_column => 'happened', half_life => '10 days', reference_time => '2024-06-10', weight_column => 'sure'$$,
            $$SELECT *, sure * CASE event WHEN 'glance' THEN 0 WHEN 'visit' THEN 1 WHEN 'stay' THEN 2.5 END::float8
              * 2 ^ ((date_part('epoch', happened) - date_part('epoch', timestamptz '2024-06-10')) / 864000) AS weight FROM ratings$$, $$, weight_column => 'weight'$$);
SELECT same('ratings', $$, time_column => 'happened', half_life => '10 days', reference_time => '2024-06-10'$$,
            $$SELECT *, 2 ^ ((date_part('epoch', happened) - date_part('epoch', timestamptz '2024-06-10')) / 864000) AS weight FROM ratings$$, $$, weight_column => 'weight'$$);
SELECT rating_column, event_column, event_weights, time_column, half_life, weight_column FROM weighed ORDER BY run DESC LIMIT 1;

-- what is chosen: four times the weights are four times lambda s
SELECT same('SELECT *, 1 AS one FROM ratings', $$, weight_column => 'one'$$, 'ratings', '') AS chosen_as_without;
SELECT round((w.regularization / r.regularization)::numeric, 9) AS ratio, abs(w.loss / r.loss / 4 - 1) < 1e-6 AS loss
FROM als_train('reference', 'ratings', feedback => 'explicit', factors => 5) r,
     als_train('weighed', 'SELECT *, 4 AS four FROM ratings', feedback => 'explicit', factors => 5, weight_column => 'four') w;
-- and so it is with weights as small as age makes them, and where all ratings are the same
SELECT round((w.regularization / r.regularization * 2 ^ 40)::numeric, 9) AS ratio, abs(w.loss / r.loss * 2 ^ 80 - 1) < 1e-6 AS loss
FROM als_train('reference', 'ratings', feedback => 'explicit', factors => 5) r,
     als_train('weighed', 'SELECT *, 2 ^ -80 AS weight FROM ratings', feedback => 'explicit', factors => 5, weight_column => 'weight') w;
SELECT round((w.regularization / r.regularization)::numeric, 9) AS ratio
FROM als_train('reference', 'SELECT user_id, item_id, 3 AS rating FROM ratings', feedback => 'explicit', factors => 5) r,
     als_train('weighed', 'SELECT user_id, item_id, 3 AS rating, 4 AS four FROM ratings', feedback => 'explicit', factors => 5, weight_column => 'four') w;

-- the same bits wherever ratings are kept, whoever reads them and whoever sorts
CREATE TABLE many AS SELECT u AS user_id, i AS item_id, (u * 31 + i * 17 + u * i) % 9 AS rating, (u * 13 + i * 7) % 4 AS sure
    FROM generate_series(1, 700) u, generate_series(1, 90) i WHERE (u * 7919 + i * 104729 + u * i * 13) % 5 > 0;
INSERT INTO many SELECT user_id, item_id, 9 - rating, 1 FROM many WHERE item_id < 20;
ALTER TABLE many SET (parallel_workers = 2);
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
CREATE FUNCTION print_with(memory text, workers int, ratings text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('maintenance_work_mem', memory, true);
    PERFORM als_train('big', ratings, feedback => 'explicit', factors => 4, iterations => 2, weight_column => 'sure', workers => workers, validation_fraction => 0.1);
    RETURN fingerprint('big');
END $$;
SELECT count(DISTINCT print_with(memory, workers, ratings)) AS prints, count(*) AS ways
FROM unnest(ARRAY['64MB', '1MB']) memory, unnest(ARRAY[0, 2]) workers, unnest(ARRAY['many', 'SELECT * FROM many ORDER BY rating, user_id DESC']) ratings;
RESET min_parallel_table_scan_size;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;

-- what is measured is what ratings are, whatever they weigh
CREATE VIEW training AS SELECT * FROM ratings WHERE NOT als_holdout(user_id, item_id, 0.2, 42);
CREATE VIEW test AS SELECT user_id, item_id, rating FROM ratings WHERE als_holdout(user_id, item_id, 0.2, 42);
SELECT run > 0 AS trained FROM als_train('validated', 'training', feedback => 'explicit', factors => 3, weight_column => 'sure', validation => 'test');
SELECT v.validation_curve[v.best_iteration] = e.value AS same FROM validated v, als_evaluate('validated', 'test') e WHERE e.metric = 'rmse';

-- a row that is solved anew, by the objective with users as they are: what was solved last changes by the
-- rounding of a training alone, which is that of real numbers times how badly rows are conditioned, up to 600
SELECT run > 0 AS trained FROM als_train('weighed', 'ratings', feedback => 'explicit', factors => 5, iterations => 6, solver => 'cholesky', regularization => 0.3, regularization_scaling => 0, weight_column => 'sure',
    event_column => 'event', event_weights => '{"glance": 0.5, "visit": 1, "stay": 2.5}');
CREATE FUNCTION solution(item int) RETURNS float8[] LANGUAGE sql AS $$
    WITH rows AS (SELECT sure * CASE event WHEN 'glance' THEN 0.5 WHEN 'visit' THEN 1 ELSE 2.5 END AS w,
                         rating - (SELECT mean_rating FROM weighed ORDER BY run DESC LIMIT 1) - bias AS target, factors::float8[] || 1.0::float8 AS f
                  FROM weighty JOIN weighed_users USING (user_id) WHERE item_id = item),
    sums AS (SELECT j, k, sum(w * f[j] * f[k]) + CASE WHEN j = k THEN 0.3 ELSE 0 END AS a, sum(w * target * f[j]) AS b
             FROM rows, generate_series(1, 6) j, generate_series(1, 6) k GROUP BY 1, 2)
    SELECT solve((SELECT array_agg(a ORDER BY j) FROM (SELECT j, array_agg(a ORDER BY k) AS a FROM sums GROUP BY 1) s),
                 (SELECT array_agg(b ORDER BY j) FROM sums WHERE k = 1))
$$;
CREATE TABLE solutions AS SELECT item_id, solution(item_id) FROM weighed_items;
SELECT count(*), max(distance(factors || bias, solution)) < 4e-5 AS trained FROM solutions JOIN weighed_items USING (item_id);
SELECT bool_and(als_refresh_item('weighed', item_id)) AS refreshed FROM solutions;
SELECT count(*), max(distance(factors || bias, solution)) < 1e-6 AS solved FROM solutions JOIN weighed_items USING (item_id);
-- nor does refreshing all of them at once, by workers, make another row of it
SELECT als_refresh('weighed', items => (SELECT array_agg(item_id) FROM weighed_items)) = (SELECT count(*) FROM weighed_items) AS all_of_them;
SELECT count(*), max(distance(factors || bias, solution)) < 1e-6 AS solved FROM solutions JOIN weighed_items USING (item_id);
-- what made a score is all of it
SELECT als_refresh_user('weighed', 8);
SELECT bool_and(abs((SELECT sum(contribution) FROM als_explain('weighed', 8, i.item_id, NULL)) - (als_predict('weighed', 8, i.item_id) - m.mean_rating - i.bias)) < 1e-4) AS explained
FROM weighed_items i, (SELECT mean_rating FROM weighed ORDER BY run DESC LIMIT 1) m;
-- a rating of 5 that weighs a thousand times as much, live; and one that weighs nothing any more
UPDATE ratings SET rating = 5, sure = 1000, event = 'visit' WHERE (user_id, item_id) = (SELECT user_id, min(item_id) FROM ratings WHERE user_id = 8 GROUP BY 1);
SELECT als_refresh_user('weighed', 8);
SELECT abs(als_predict('weighed', 8, item_id) - 5) < 0.05 AS sure FROM ratings WHERE user_id = 8 AND sure = 1000;
UPDATE ratings SET sure = 0 WHERE user_id = 8 AND item_id <> (SELECT item_id FROM ratings WHERE user_id = 8 AND sure = 1000);
SELECT als_refresh_user('weighed', 8), (SELECT count(*) FROM als_explain('weighed', 8, 3, NULL)) AS that_count;
-- but it is seen all the same, whether the user is known, read afresh or new
INSERT INTO ratings VALUES (1000, 3, 4, 1, 'visit'), (1000, 4, 4, 0, 'visit');
SELECT who, fresh, count(*) > 0 AS rest, count(*) FILTER (WHERE item_id IN (SELECT item_id FROM ratings WHERE user_id = who)) AS seen
FROM unnest(ARRAY[8, 1000]) who, unnest(ARRAY[false, true]) fresh, LATERAL als_recommend('weighed', who, 100, fresh => fresh)
GROUP BY 1, 2 ORDER BY 1, 2;
DELETE FROM ratings WHERE user_id = 1000;
UPDATE ratings SET sure = 0 WHERE user_id = 8;
SELECT als_refresh_user('weighed', 8);

-- of an imported model as well
SELECT i.weight_column, i.event_weights FROM als_import('imported', 'weighed_users', 'weighed_items', 'ratings', feedback => 'explicit', regularization => 0.3, mean_rating => 3, weight_column => 'sure',
    event_column => 'event', event_weights => '{"glance": 0.5, "visit": 1, "stay": 2.5}') i;
SELECT als_refresh_item('imported', 3), als_refresh_item('weighed', 3);

-- and in every trial
SELECT t.parameters - 'regularization', abs(t.loss / r.loss - 1) < 1e-12 AS same FROM als_tune('tuned', 'ratings', '{"event_weights": [{"glance": 0.5, "visit": 1, "stay": 1}, {"glance": 1, "visit": 2, "stay": 7}], "regularization": [0.3]}',
    feedback => 'explicit', event_column => 'event', weight_column => 'sure', validation_fraction => 0.3) t,
    LATERAL als_train('trained', 'ratings', feedback => 'explicit', event_column => 'event', weight_column => 'sure', validation_fraction => 0.3, regularization => 0.3,
                      event_weights => t.parameters -> 'event_weights') r ORDER BY 1;

-- rows that cannot be weighed
\x on
SELECT weight, t.* FROM unnest(ARRAY['-1', 'nan', 'infinity', '', '1e39', '1e-50']) weight,
    try(format('SELECT als_train(''bad'', ''SELECT 1 AS user_id, 2 AS item_id, 1 AS rating, nullif(''''%s'''', '''''''')::float8 AS sure'', feedback => ''explicit'', weight_column => ''sure'')', weight)) t;
SELECT * FROM try($$SELECT als_train('bad', 'SELECT 1 AS user_id, 2 AS item_id, 1 AS rating, 3e38::float8 AS sure FROM generate_series(1, 2)', feedback => 'explicit', weight_column => 'sure')$$);
SELECT * FROM try($$SELECT als_train('bad', 'SELECT 1 AS user_id, 2 AS item_id, 1 AS rating, 0 AS sure', feedback => 'explicit', weight_column => 'sure')$$);
SELECT * FROM try($$SELECT als_train('bad', 'ratings', feedback => 'explicit', event_column => 'event', event_weights => '{"glance": -1}')$$);
SELECT weight, t.* FROM unnest(ARRAY['-1', 'nan', '1e39']) weight,
    try(format($$DO 'BEGIN DELETE FROM ratings WHERE user_id = 8; INSERT INTO ratings VALUES (8, 3, 1, ''%s'', ''visit''); PERFORM als_refresh_user(''weighed'', 8); END'$$, weight)) t;
-- a model's row that no training has written
SELECT * FROM try($$DO 'BEGIN UPDATE weighed SET event_weights = ''{"glance": -1}''; PERFORM als_refresh_user(''weighed'', 9); END'$$);
\x off

-- who may not execute the function that raises errors
CREATE ROLE als_sure;
GRANT USAGE ON SCHEMA row_weights TO als_sure;
GRANT SELECT ON ratings, weighed TO als_sure;
REVOKE EXECUTE ON FUNCTION als_reject_value FROM PUBLIC;
INSERT INTO ratings VALUES (9, 3, 1, -1, 'visit');
SET ROLE als_sure;
SELECT * FROM try($$SELECT als_explain('weighed', 9, 3)$$);
RESET ROLE;
GRANT EXECUTE ON FUNCTION als_reject_value TO PUBLIC;
SET client_min_messages = error;
DROP SCHEMA row_weights CASCADE;
DROP ROLE als_sure;
