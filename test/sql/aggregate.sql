-- als_train_agg wherever a query may put an aggregate, and what it leaves
-- behind: no warning of files or memory that nobody has given back
SET client_min_messages = warning;
CREATE SCHEMA aggregate;
SET search_path = aggregate, public;
SET max_parallel_maintenance_workers = 2;
CREATE TABLE sales AS
    SELECT s AS shop, u AS user_id, i AS item_id, 1 + (u * i + s) % 4 AS rating
    FROM generate_series(1, 3) s, generate_series(1, 20) u, generate_series(1, 15) i
    WHERE (u * 7 + i * 3 + s) % 5 < 2;
ANALYZE sales;
-- what each shop's model should be
SELECT (als_train('reference_' || s, format('SELECT * FROM aggregate.sales WHERE shop = %s', s),
                  factors => 4, iterations => 2)).ratings AS reference FROM generate_series(1, 3) s;
-- the loss of every run of a shop, and whether its factors are the reference's
CREATE FUNCTION runs(prefix text) RETURNS TABLE (shop integer, runs bigint, right_losses bigint, right_factors boolean)
LANGUAGE plpgsql AS $$
BEGIN
    FOR shop IN SELECT s FROM generate_series(1, 3) s WHERE to_regclass(prefix || s) IS NOT NULL LOOP
        EXECUTE format('SELECT count(*), count(*) FILTER (WHERE m.losses = r.losses) FROM %I m, %I r',
                       prefix || shop, 'reference_' || shop) INTO runs, right_losses;
        EXECUTE format('SELECT count(*) = 0 FROM (TABLE %1$I EXCEPT TABLE %2$I) d',
                       prefix || shop || '_users', 'reference_' || shop || '_users') INTO right_factors;
        RETURN NEXT;
    END LOOP;
END $$;

-- a hash aggregate that is scanned again without being read again
SET work_mem = '64MB';
SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT als_train_agg('rescan_' || shop, user_id, item_id, rating, '{"factors": 4, "iterations": 2}') AS m
    FROM sales GROUP BY shop OFFSET 0;
SELECT n, (SELECT sum((t.m).users) FROM
    (SELECT als_train_agg('rescan_' || shop, user_id, item_id, rating, '{"factors": 4, "iterations": 2}') AS m
     FROM sales GROUP BY shop OFFSET 0) t WHERE (t.m).factors <> n) FROM generate_series(1, 3) n;
SELECT * FROM runs('rescan_');
-- with ids of other types, and with a limit that ends each scan early
SELECT n, (SELECT (t.m).users FROM
    (SELECT als_train_agg('texts_' || shop, user_id::text, item_id::text, rating, '{"factors": 4, "iterations": 2}') AS m
     FROM sales GROUP BY shop OFFSET 0) t WHERE (t.m).factors <> n LIMIT 1) FROM generate_series(1, 3) n;
SELECT max(run) AS runs FROM texts_1;
RESET enable_sort;
RESET work_mem;

-- twice the same: one training; the same rows for two models: two
SELECT (a).run, (b).run, (a).loss = (b).loss AS same FROM (
    SELECT als_train_agg('twice_1', user_id, item_id, rating, '{"factors": 4, "iterations": 2}') AS a,
           als_train_agg('twice_1', user_id, item_id, rating, '{"factors": 4, "iterations": 2}') AS b
    FROM sales WHERE shop = 1) t;
SELECT (a).run, (b).run, (a).losses[2] = (b).losses[2] AS same FROM (
    SELECT als_train_agg('twice_2', user_id, item_id, rating, '{"factors": 4, "iterations": 2}') AS a,
           als_train_agg('twice_3', user_id, item_id, rating, '{"factors": 4, "iterations": 3}') AS b
    FROM sales WHERE shop = 2) t;
SELECT * FROM runs('twice_') WHERE shop < 3;

-- FILTER, ORDER BY and DISTINCT
SELECT (als_train_agg('filtered_' || 1, user_id, item_id, rating, '{"factors": 4, "iterations": 2}') FILTER (WHERE shop = 1)).run FROM sales;
SELECT (als_train_agg('ordered_1', user_id, item_id, rating, '{"factors": 4, "iterations": 2}'
                      ORDER BY item_id DESC, user_id)).run FROM sales WHERE shop = 1;
SELECT (als_train_agg(DISTINCT 'distinct_1', user_id, item_id, rating, '{"factors": 4, "iterations": 2}')).run
FROM (SELECT * FROM sales UNION ALL SELECT * FROM sales) s WHERE shop = 1;
SELECT * FROM runs('filtered_') UNION ALL SELECT * FROM runs('ordered_') UNION ALL SELECT * FROM runs('distinct_');
-- nothing that passes the filter
SELECT als_train_agg('filtered_2', user_id, item_id, rating, '{"factors": 4}') FILTER (WHERE shop = 9) FROM sales;

-- groups: sorted, hashed, and sets of them
SET enable_hashagg = off;
SELECT shop, (als_train_agg('sorted_' || shop, user_id, item_id, rating, '{"factors": 4, "iterations": 2}')).run FROM sales GROUP BY shop ORDER BY shop;
RESET enable_hashagg;
SELECT shop, (als_train_agg('sets_' || coalesce(shop, 0), user_id, item_id, rating, '{"factors": 4, "iterations": 2}')).run
FROM sales GROUP BY GROUPING SETS ((shop), (shop, shop)) ORDER BY shop;
SET enable_sort = off;
SELECT shop, even, count(*), (als_train_agg(CASE WHEN true THEN 'mixed' END, user_id, item_id, rating, '{"factors": 4, "iterations": 2}')).users
FROM (SELECT *, user_id % 2 = 0 AS even FROM sales) s GROUP BY GROUPING SETS ((shop), (even), ()) ORDER BY shop, even;
RESET enable_sort;
SELECT count(*) AS runs FROM mixed;
SELECT * FROM runs('sorted_') UNION ALL SELECT * FROM runs('sets_');

-- no window function
SELECT als_train_agg('window', user_id, item_id, rating, '{}') OVER (ORDER BY user_id) FROM sales;
SELECT als_train_agg('window', user_id, item_id, rating, '{}') OVER (PARTITION BY shop) FROM sales WHERE false;

-- evaluated never
SELECT CASE WHEN false THEN (SELECT (als_train_agg('never', user_id, item_id, rating, '{}')).run FROM sales) END AS never;
SELECT n, (SELECT (als_train_agg('never', user_id, item_id, rating, '{}')).run FROM sales WHERE n > 0 OFFSET 1) FROM generate_series(1, 2) n WHERE n > 5;
SELECT to_regclass('never') IS NULL AS never;

-- ratings in a temporary file: whatever ends the query, the file goes with it
SET maintenance_work_mem = '1MB';
CREATE TABLE many AS
    SELECT s AS shop, u AS user_id, i AS item_id, 1 AS rating
    FROM generate_series(1, 3) s, generate_series(1, 300) u, generate_series(1, 150) i;
ANALYZE many;
SELECT (als_train('spilled_reference', 'SELECT * FROM aggregate.many WHERE shop = 1', factors => 2, iterations => 1)).ratings;
SET enable_sort = off;
SELECT shop, (als_train_agg('spilled_' || shop, user_id, item_id, rating, '{"factors": 2, "iterations": 1}')).users
FROM many GROUP BY shop LIMIT 1;
SELECT n, (SELECT (t.m).users FROM
    (SELECT als_train_agg('spilled_' || shop, user_id, item_id, rating, '{"factors": 2, "iterations": 1}') AS m
     FROM many GROUP BY shop OFFSET 0) t WHERE (t.m).factors <> n AND (t.m).users + n > 0 LIMIT 1) FROM generate_series(3, 5) n;
SELECT max(run) AS runs FROM spilled_1;
SELECT count(*) = 0 AS same FROM (SELECT user_id, factors FROM spilled_1_users EXCEPT TABLE spilled_reference_users) d;
BEGIN;
DECLARE c CURSOR FOR SELECT (als_train_agg('cursor_' || shop, user_id, item_id, rating, '{"factors": 2, "iterations": 1}')).users
FROM many GROUP BY shop;
FETCH 1 FROM c;
CLOSE c;
-- the rows are read within a savepoint, and the cursor ends after it
DECLARE c CURSOR FOR SELECT (als_train_agg('cursor_' || shop, user_id, item_id, rating, '{"factors": 2, "iterations": 1}')).users
FROM many GROUP BY shop;
SAVEPOINT s;
FETCH 1 FROM c;
RELEASE s;
FETCH 1 FROM c;
COMMIT;
BEGIN;
DECLARE c CURSOR FOR SELECT (als_train_agg('cursor_' || shop, user_id, item_id, rating, '{"factors": 2, "iterations": 1}')).users
FROM many GROUP BY shop;
SAVEPOINT s;
FETCH 1 FROM c;
ROLLBACK TO s;
FETCH 1 FROM c;
ROLLBACK;
RESET enable_sort;
-- an error while reading, while training, and afterwards; caught, or not
\i test/include/errors.sql
SELECT als_train_agg('failing', user_id, item_id, 1 / (user_id - 300), '{}') FROM many;
SELECT * FROM try($$SELECT als_train_agg('failing', user_id, item_id, 1 / (user_id - 300), '{}') FROM aggregate.many$$);
SELECT * FROM try($$SELECT als_train_agg('failing', user_id, item_id, 2e38, '{"factors": 2}') FROM aggregate.many$$);
SELECT * FROM try($$SELECT 1 / ((m).users - 300) FROM (SELECT als_train_agg('failing', user_id, item_id, 1, '{"factors": 2, "iterations": 1}') AS m FROM aggregate.many OFFSET 0) t$$);
SELECT to_regclass('failing') IS NULL AS failed;

-- other functions that read ratings and then have no use for them
SELECT count(*) FROM als_recommend_all('spilled_reference', 3, candidates => '{}'::bigint[]);
SELECT count(*) FROM als_recommend_all('spilled_reference', 3, users => '{-1}'::bigint[]);
SELECT count(*) FROM als_recommend_all('spilled_reference', 3, exclude => (SELECT array_agg(item_id) FROM spilled_reference_items));
SELECT * FROM try($$SELECT als_evaluate('aggregate.spilled_reference', 'SELECT 1 AS user_id, 1 AS item_id, 1 AS rating WHERE false')$$);
SELECT metric, value FROM als_evaluate('spilled_reference', 'SELECT -user_id AS user_id, item_id, rating FROM aggregate.many') WHERE metric IN ('pairs', 'unknown_users');
SELECT * FROM try($$SELECT als_train('failing', 'aggregate.many', factors => 2, validation => 'SELECT 1 AS user_id, 1 AS item_id, 1 AS rating WHERE false')$$);
SELECT count(*) FROM (SELECT * FROM als_tune('tuned', 'SELECT * FROM aggregate.many WHERE shop = 1', '{"factors": [1, 2], "iterations": [1]}', validation_fraction => 0.5) LIMIT 1) t;
SELECT als_tune('tuned', 'SELECT * FROM aggregate.many WHERE shop = 1', '{"factors": [1, 2], "iterations": [1]}', validation_fraction => 0.5) IS NULL AS none LIMIT 1;
SELECT als_recommend_all('spilled_reference', 3, exclude_seen => false) IS NULL AS none LIMIT 1;
SELECT count(*) FROM pg_ls_dir('base/pgsql_tmp', true, false);
SET client_min_messages = error;
DROP SCHEMA aggregate CASCADE;
