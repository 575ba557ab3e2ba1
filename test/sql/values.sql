-- A value names the id that WHERE id = value finds, and no id if none can be
-- equal, whatever its type: nothing is rounded, cut off or out of range
SET client_min_messages = warning;
CREATE SCHEMA values;
SET search_path = values, public;
CREATE DOMAIN code AS integer CHECK (VALUE > 0);
CREATE TYPE mood AS ENUM ('1', '2', '3', '4');
-- ids 1 to 4 of many types
CREATE TABLE kinds (kind text PRIMARY KEY, type text, expression text);
INSERT INTO kinds VALUES
    ('smallint', 'smallint', 'n'), ('integer', 'integer', 'n'), ('bigint', 'bigint', 'n'), ('numeric', 'numeric', 'n'),
    ('real', 'real', 'n'), ('double', 'double precision', 'n'), ('text', 'text', 'n'), ('varchar', 'varchar(3)', 'n'),
    ('char', 'char(5)', 'n'), ('name', 'name', 'n::text'), ('code', 'code', 'n'), ('mood', 'mood', 'n::text'),
    ('letter', '"char"', 'n::text'), ('date', 'date', 'date ''2020-01-01'' + n'),
    ('timestamp', 'timestamp', 'date ''2020-01-01'' + n'), ('uuid', 'uuid', 'lpad(n::text, 32, ''0'')'),
    ('timestamptz', 'timestamptz', 'date ''2020-01-01'' + n'), ('time', 'time', 'time ''00:00'' + n * interval ''1 hour'''),
    ('interval', 'interval', 'n * interval ''1 hour'''), ('oid', 'oid', 'n'), ('inet', 'inet', '''10.0.0.'' || n'),
    ('jsonb', 'jsonb', 'to_jsonb(n)'), ('array', 'integer[]', 'ARRAY[n]');
DO $$
DECLARE
    k kinds;
BEGIN
    FOR k IN TABLE kinds LOOP
        EXECUTE format('CREATE TABLE %I AS SELECT (%s)::%s AS user_id, i AS item_id, 1 + i %% 2 AS rating FROM generate_series(1, 4) n, generate_series(1, 6) i WHERE i <> n',
                       k.kind || '_ratings', k.expression, k.type);
        PERFORM als_train('m_' || k.kind, k.kind || '_ratings', factors => 2, iterations => 1);
    END LOOP;
END $$;
CREATE TABLE given (value text);
INSERT INTO given VALUES ('1::smallint'), ('2::integer'), ('3::bigint'), ('4::numeric'), ('4.0::numeric'), ('5'), ('-1'),
    ('1.4::numeric'), ('1.6::numeric'), ('99999999999::numeric'), ('1e30::numeric'), ('''NaN''::numeric'), ('''Infinity''::numeric'),
    ('4294967297::bigint'), ('65537'), ('2::real'), ('2.5::real'), ('0.1::real'), ('0.1::numeric'), ('0.1::double precision'), ('3::double precision'), ('3.5::double precision'),
    ('1e300::double precision'), ('''NaN''::double precision'), ('''-Infinity''::double precision'), ('9223372036854775808::double precision'),
    ('0.99999999999999999::numeric'), ('''1''::text'), ('''2''::varchar'), ('''1  ''::char(3)'), ('''3''::name'),
    ('''1234''::text'), ('''12345678''::varchar'), ('repeat(''1'', 70)'), ('''11''::text'), ('''1 ''::text'),
    ('date ''2020-01-02'''), ('timestamp ''2020-01-02 00:00'''), ('timestamp ''2020-01-02 12:00'''), ('''infinity''::timestamp'),
    ('2::code'), ('to_jsonb(3)'), ('ARRAY[2]'), ('lpad(''2'', 32, ''0'')::uuid'),
    ('-1::smallint'), ('-1::bigint'), ('4294967295::bigint'), ('4294967296::bigint'), ('2::oid'), ('4294967295::oid'), ('2::regclass'),
    ('date ''5874897-12-31'''), ('date ''infinity'''), ('timestamp ''294276-12-31 23:59:59'''), ('timestamptz ''2020-01-02 00:00'''), ('timestamptz ''294276-12-31'''), ('timetz ''02:00'''), ('interval ''1 hour'''), ('cidr ''10.0.0.2'''),
    ('''-1'''), ('''2'''), ('''99999999999''');
-- what an expression says of a value: whether it is found, or what is wrong
CREATE FUNCTION outcome(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE query INTO answer;
    RETURN coalesce(answer, 'null');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
CREATE TABLE results AS
    SELECT kind, value,
           outcome(format('SELECT count(DISTINCT user_id) > 0 FROM %I WHERE user_id = %s', kind || '_ratings', value)) AS sql,
           outcome(format('SELECT als_predict(%L, %s, 1) IS NOT NULL', 'm_' || kind, value)) AS predict,
           outcome(format('SELECT count(*) > 0 FROM als_recommend(%L, %s)', 'm_' || kind, value)) AS recommend,
           outcome(format('SELECT count(*) > 0 FROM als_recommend_all_as(NULL::text, NULL::bigint, %L, users => ARRAY[%s])', 'm_' || kind, value)) AS recommend_all,
           outcome(format('SELECT count(*) > 0 FROM als_explain(%L, %s, 1)', 'm_' || kind, value)) AS explain,
           outcome(format('SELECT als_refresh_user(%L, %s)', 'm_' || kind, value)) AS refresh
    FROM kinds, given;
-- where SQL compares, all functions find what it finds
SELECT kind, value, sql, predict, recommend, recommend_all, explain, refresh FROM results
WHERE sql IN ('true', 'false') AND NOT (predict = sql AND recommend = sql AND explain = sql AND refresh = sql
    AND (recommend_all = sql OR kind = 'array'))
ORDER BY kind, value;
SELECT count(*) > 200 AS many, count(*) FILTER (WHERE sql = 'true') > 50 AS found FROM results WHERE sql IN ('true', 'false');
-- where it does not, text is taken for what a literal would be, the text of a
-- value for itself, and all else is refused; out of range is what no literal can be
-- (of intervals, PostgreSQL 14 has shorter ones)
SELECT predict, count(*) FROM results WHERE sql NOT IN ('true', 'false') AND (kind, predict) <> ('interval', '22015') GROUP BY 1 ORDER BY 1;
SELECT kind, value, predict FROM results WHERE sql NOT IN ('true', 'false') AND predict IN ('true', '22003') ORDER BY 1, 2;
-- integers and oids, of which SQL compares some by their bits
SELECT kind, value, sql, predict FROM results WHERE kind = 'oid' AND value ~ '^-?\d+(::(smallint|integer|bigint|oid))?$' OR value ~ '::oid$' AND kind IN ('smallint', 'integer', 'bigint') ORDER BY 1, 2;

-- arrays: of items, with what no item can be
SELECT array_agg(item_id ORDER BY item_id) FROM als_recommend('m_integer', 1, 10, false, candidates => ARRAY[1.4, 2, 1.6, 99999999999, 'NaN']::numeric[]);
SELECT array_agg(item_id ORDER BY item_id) FROM als_recommend('m_integer', 1, 10, false, exclude => ARRAY[1.4, 2, 1.6, 3.0]::numeric[]);
SELECT array_agg(item_id ORDER BY item_id) FROM als_recommend('m_integer', 1, 10, false, '{1,2}', '{1,2,3}');

-- name and char(n) are what their text is, alone and in an array
SELECT kind, value, array_agg(DISTINCT type ORDER BY type) AS types, alone, in_array
FROM (SELECT kind, value, type, outcome(format('SELECT als_refresh_user(%L, %L::%s)', 'm_' || kind, value, type)) AS alone,
             outcome(format('SELECT count(*) > 0 FROM als_recommend_all_as(NULL::text, NULL::bigint, %L, users => ARRAY[%L::%s])', 'm_' || kind, value, type)) AS in_array
      FROM (VALUES ('uuid', lpad('2', 32, '0')), ('uuid', '2'), ('mood', '2'), ('mood', '5'), ('letter', '2'),
                   ('integer', '2'), ('date', '2020-01-02')) v(kind, value),
           unnest(ARRAY['text', 'varchar', 'char(40)', 'name']) type) t
GROUP BY kind, value, alone, in_array ORDER BY kind, value;
-- a value of type "char", which becomes text without being a string
SELECT als_refresh_user('m_letter', '3'::"char"), count(*) FROM als_similar_users_as(NULL::text, 'm_letter', '3'::"char", 2);
SELECT count(*) FROM als_recommend_as(NULL::bigint, 'm_letter', '3'::"char", 2, false);

-- results: what does not fit the type that is asked for is no id
CREATE DOMAIN small AS bigint CHECK (VALUE < 4);
CREATE DOMAIN short AS varchar(3);
CREATE TABLE long_ratings AS SELECT n AS user_id, repeat('item ' || i, 20) AS item_id, 1 AS rating FROM generate_series(1, 4) n, generate_series(1, 6) i;
SELECT (als_train('m_long', 'long_ratings', factors => 2, iterations => 1)).run;
SELECT count(*) FROM als_recommend_as(NULL::name, 'm_long', 1, 3, false);
SELECT count(*) FROM als_recommend_as(NULL::short, 'm_long', 1, 3, false);
SELECT count(*) FROM als_recommend_as(NULL::text, 'm_long', 1, 3, false);
SELECT count(*) FROM als_recommend_as(NULL::small, 'm_integer', 1, 10, false);
SELECT array_agg(item_id ORDER BY item_id) FROM als_recommend_as(NULL::small, 'm_integer', 1, 10, false, candidates => ARRAY[1, 2]);

-- a source whose ids have become longer, or numbers with fractions: what is seen
-- is what is equal, not what it would be cut off or rounded to
CREATE TABLE cut_ratings AS SELECT user_id, item_id::text::varchar(3) AS item_id, rating FROM integer_ratings;
SELECT (als_train('m_cut', 'cut_ratings', factors => 2, iterations => 1)).run;
ALTER TABLE cut_ratings ALTER item_id TYPE text;
UPDATE cut_ratings SET item_id = '555' || item_id WHERE user_id = 1;
INSERT INTO cut_ratings VALUES (1, '2', 1);
SELECT array_agg(item_id ORDER BY item_id) FROM als_recommend_as(NULL::text, 'm_cut', 1);
CREATE TABLE round_ratings AS TABLE integer_ratings;
SELECT (als_train('m_round', 'round_ratings', factors => 2, iterations => 1)).run;
ALTER TABLE round_ratings ALTER item_id TYPE numeric;
UPDATE round_ratings SET item_id = item_id + 0.4 WHERE user_id = 1;
INSERT INTO round_ratings VALUES (1, 2, 1);
SELECT array_agg(item_id ORDER BY item_id) FROM als_recommend('m_round', 1);

-- parameters without a type
PREPARE p1 AS SELECT als_predict('m_integer', $1, $2) IS NOT NULL, als_predict('m_integer', $3, 2) IS NOT NULL, als_predict('m_integer', 1, $4) IS NOT NULL;
EXECUTE p1(1, 2, 1, 2);
PREPARE p2 AS SELECT count(*) FROM als_recommend('m_integer', $1, $2, $3, $4, $5, $6);
EXECUTE p2('1', 10, false, '{1,2}', '{2,3,4}', 'none');
PREPARE p3 AS SELECT count(*) FROM als_recommend('m_integer', 1, 10, false, exclude => $1);
EXECUTE p3('{1,2}');
PREPARE p4 AS SELECT count(*) FROM als_recommend('m_integer', $1, candidates => $2);
EXECUTE p4('1', '{1,2}');
PREPARE p5 AS SELECT count(*) FROM als_recommend_as(NULL::bigint, 'm_integer', $1, $2, $3, $4);
EXECUTE p5('1', 10, false, '{1,2}');
PREPARE p6 AS SELECT count(*) FROM als_recommend_for('m_integer', $1, $2, $3, $4, $5, $6);
EXECUTE p6('{1,2}', '{1,1}', 10, true, '{3}', '{3,4}');
PREPARE p7 AS SELECT count(*) FROM als_recommend_for('m_integer', $1), als_recommend_for_as(NULL::bigint, 'm_integer', $2);
EXECUTE p7('{1,2}', '{1,2}');
PREPARE p8 AS SELECT count(*) FROM als_recommend_all('m_integer', $1, $2, $3, $4, $5, $6);
EXECUTE p8(10, '{1,2}', false, '{1}', '{1,2,3}', 0);
PREPARE p9 AS SELECT count(*) FROM als_recommend_all('m_integer', 2, users => $1);
EXECUTE p9('{1,2}');
PREPARE p10 AS SELECT count(*) FROM als_similar_items('m_integer', $1, $2), als_similar_users_as(NULL::bigint, 'm_integer', $3, $4, $5);
EXECUTE p10('1', 2, '1', 2, 'cosine');
PREPARE p11 AS SELECT count(*) FROM als_explain('m_integer', $1, $2, $3) a, als_explain('m_integer', 1, $4) b, als_explain('m_integer', $5, 1) c;
EXECUTE p11('1', '1', 2, '1', '1');
PREPARE p12 AS SELECT cardinality(als_fold_in('m_integer', $1, $2)), als_refresh_user('m_integer', $3), als_refresh_item('m_integer', $4);
EXECUTE p12('{1,2}', '{1,1}', '1', '1');
PREPARE p13 AS SELECT als_holdout($1, $2, 1), als_holdout($3, 1, 1), als_holdout(1, $4, 1);
EXECUTE p13('a', 'b', 'c', 'd');
PREPARE p14 AS SELECT value FROM als_evaluate('m_integer', $1, k => $2, more_k => $3) WHERE metric = 'users';
EXECUTE p14('values.integer_ratings', 3, '{5}');
PREPARE p15 AS SELECT count(*) FROM als_recommend('m_integer', $1, exclude_seen => false, exclude => $2);
EXECUTE p15('1', '{2,3}');
EXECUTE p15('1', '{}');
EXECUTE p15('1', NULL);
PREPARE p16 AS SELECT count(*) FROM als_recommend_for('m_integer', $1, exclude => $2), als_recommend_all('m_integer', 1, exclude => $3);
EXECUTE p16('{1,2}', '{3}', '{1}');
PREPARE p17(int[], bigint[], varchar) AS SELECT count(*) FROM als_recommend('m_integer', 1, exclude_seen => false, exclude => $1, candidates => $2), als_recommend('m_integer', 1, exclude_seen => false, exclude => $3) r;
EXECUTE p17('{2}', '{2,3,4}', '{2,3}');
-- with one that has a type the other has it too
PREPARE p18(numeric[]) AS SELECT count(*) FROM als_recommend('m_integer', 1, exclude_seen => false, exclude => $1, candidates => $2);
SELECT parameter_types FROM pg_prepared_statements WHERE name = 'p18';
EXECUTE p18('{2,3.5}', '{2,3,4}');
-- what takes a cast
CREATE FUNCTION prepare(query text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'PREPARE p AS ' || query;
    DEALLOCATE p;
    RETURN 'works';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT call, prepare(format('SELECT * FROM ' || call, '$1')) AS without, prepare(format('SELECT * FROM ' || call, '$1::bigint[]')) AS with_cast
FROM unnest(ARRAY['als_recommend_all(''m_integer'', users => %s)', 'als_recommend_as(NULL::bigint, ''m_integer'', 1, exclude => %s)',
                  'als_recommend_as(NULL::bigint, ''m_integer'', 1, candidates => %s)', 'als_recommend_for_as(NULL::bigint, ''m_integer'', ARRAY[1], exclude => %s)',
                  'als_recommend_for_as(NULL::bigint, ''m_integer'', ARRAY[1], candidates => %s)', 'als_recommend_all_as(NULL::bigint, NULL::bigint, ''m_integer'', users => %s)',
                  'als_recommend_all_as(NULL::bigint, NULL::bigint, ''m_integer'', exclude => %s)', 'als_recommend_all_as(NULL::bigint, NULL::bigint, ''m_integer'', candidates => %s)']) call;
SELECT prepare('SELECT (als_train_agg(''m'', $1, $2, 1, NULL)).run') AS without, prepare('SELECT (als_train_agg(''m'', $1::bigint, $2::bigint, 1, NULL)).run') AS with_cast;
-- a split is by the type that a pair has
SELECT als_holdout(3, 4, 0.5, s) AS integers, als_holdout('3', '4', 0.5, s) AS texts FROM generate_series(1, 20) s WHERE als_holdout(3, 4, 0.5, s) <> als_holdout('3', '4', 0.5, s) LIMIT 1;
-- k of any integer type
SELECT count(*) FROM als_recommend('m_integer', 1, 3::bigint, false);
SELECT count(*) FROM als_recommend('m_integer', 1, 9223372036854775807, false);
SELECT count(*) FROM als_recommend('m_integer', 1, 3::smallint, false);
-- ids that are arrays are in an array as their texts, or as values of a domain
CREATE DOMAIN tuple AS integer[];
SELECT run FROM als_train('m_items', 'SELECT item_id AS user_id, user_id AS item_id, rating FROM array_ratings', factors => 2, iterations => 1);
CREATE FUNCTION of_arrays(argument text) RETURNS TABLE (users text, candidates text, not_excluded text, fold_in text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT string_agg(DISTINCT user_id, '' '') FROM als_recommend_all_as(NULL::text, NULL::bigint, ''m_array'', users => %s)', argument) INTO users;
    EXECUTE format('SELECT string_agg(item_id, '' '' ORDER BY item_id) FROM als_recommend_as(NULL::text, ''m_items'', 1, exclude_seen => false, candidates => %s)', argument) INTO candidates;
    EXECUTE format('SELECT string_agg(item_id, '' '' ORDER BY item_id) FROM als_recommend_as(NULL::text, ''m_items'', 1, exclude_seen => false, exclude => %s)', argument) INTO not_excluded;
    EXECUTE format('SELECT als_fold_in(''m_items'', %s) = als_fold_in(''m_items'', ARRAY[''{1}'', ''{3}'']::tuple[])', argument) INTO fold_in;
    RETURN NEXT;
EXCEPTION WHEN OTHERS THEN
    users := SQLSTATE;
    candidates := SQLERRM;
    GET STACKED DIAGNOSTICS fold_in = PG_EXCEPTION_HINT;
    RETURN NEXT;
END $$;
SELECT argument, o.* FROM unnest(ARRAY[$$'{"{1}","{3}","{7}",NULL}'$$, $$ARRAY['{1}', '{3}', '{7}', NULL]$$, $$ARRAY['{1}', '{3}', '{7}', NULL]::tuple[]$$,
    $$'{1,3}'$$, 'ARRAY[1, 3]', 'ARRAY[ARRAY[1], ARRAY[3]]']) argument, of_arrays(argument) o;

-- under a plan that may be parallel, also of what only the leader sees
CREATE TEMP TABLE temporary_ratings AS TABLE integer_ratings;
SELECT (als_train('pg_temp.m_temporary', 'temporary_ratings', factors => 2, iterations => 1)).run;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CREATE TABLE pairs AS TABLE integer_ratings;
ALTER TABLE pairs SET (parallel_workers = 2);
SELECT count(als_predict('m_temporary', user_id, item_id)), count(als_fold_in('m_temporary', ARRAY[item_id])) FROM pairs;
SELECT count(als_predict('m_integer', user_id, item_id)), count(als_fold_in('m_integer', ARRAY[item_id])) FROM pairs;
SELECT count(*) FROM pairs, als_recommend_for('m_temporary', ARRAY[item_id], k => 1);
SELECT bool_and(proparallel = 'r') FROM pg_proc WHERE proname ~ '^als_(predict|recommend(_for)?(_as)?|fold_in|similar_(items|users)(_as)?|explain(_as)?)$';
DROP TABLE m_temporary;
DROP SCHEMA values CASCADE;
