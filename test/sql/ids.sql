-- Ids of every hashable type, different for users and items
SET client_min_messages = warning;
CREATE SCHEMA ids;
SET search_path = ids, public;
CREATE TABLE base AS
    SELECT u, i, (1 + (u * 31 + i * 17) % 5)::real AS rating
    FROM generate_series(1, 30) u, generate_series(1, 20) i
    WHERE (u * 7919 + i * 104729 + u * i * 13) % 97 < 25;
CREATE DOMAIN code AS text CHECK (value ~ '^c');
CREATE COLLATION insensitive (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');
CREATE TYPE pair AS (a int, b text);

-- the type of the factor tables is the source's own
CREATE TABLE kinds (kind text, user_expression text, item_expression text);
INSERT INTO kinds VALUES
    ('bigint', 'u::bigint', 'i::bigint'),
    ('smallint_int', 'u::smallint', 'i'),
    ('negative', '-u::bigint * 100000000000', '-i'),
    ('text', $$'ü''"\ ' || u$$, $$'日本 ' || i$$),
    ('uuid', 'md5(u::text)::uuid', 'md5(i::text)::uuid'),
    ('varchar_domain', 'u::varchar(10)', $$('c' || i)::code$$),
    ('char', 'u::char(8)', 'i::char(8)'),
    ('numeric_date', 'u + 0.5', $$'2000-01-01'::date + i$$),
    ('bytea_array', $$('x' || u)::bytea$$, 'ARRAY[i, i + 1]'),
    ('float_record', 'u / 3::float8', $$ROW(i, 'x')::pair$$),
    ('inet_jsonb', $$('10.0.0.' || u)::inet$$, $$jsonb_build_object('i', i)$$),
    ('oid_xid', 'u::oid', 'i::text::xid'),
    ('mixed', $$'u' || u$$, 'i');
CREATE FUNCTION train_kind(kind text, user_expression text, item_expression text)
RETURNS TABLE (user_type text, item_type text, users bigint, items bigint, known bigint, recommended bigint)
LANGUAGE plpgsql AS $$
DECLARE
    model text := format('%I', kind);
BEGIN
    EXECUTE format('CREATE TABLE %I AS SELECT %s AS user_id, %s AS item_id, rating FROM base',
                   'ratings ' || kind, user_expression, item_expression);
    SELECT t.users, t.items INTO users, items
    FROM als_train(model, format('%I', 'ratings ' || kind), factors => 4, regularization => 0.1) t;
    SELECT max(format_type(atttypid, atttypmod)) FILTER (WHERE attname = 'user_id'),
           max(format_type(atttypid, atttypmod)) FILTER (WHERE attname = 'item_id')
    INTO user_type, item_type FROM pg_attribute
    WHERE attrelid IN (format('%I', kind || '_users')::regclass, format('%I', kind || '_items')::regclass);
    EXECUTE format('SELECT count(als_predict(%L, user_id, item_id)) FROM %I', model, 'ratings ' || kind) INTO known;
    -- results join to the items without a cast
    EXECUTE format('SELECT count(*) FROM %I u,
        als_recommend_as(NULL::%s, %L, u.user_id, 3) r JOIN %I i ON i.item_id::%2$s = r.item_id',
        kind || '_users', item_type, model, kind || '_items') INTO recommended;
    RETURN NEXT;
END $$;
SELECT kind, t.* FROM kinds, train_kind(kind, user_expression, item_expression) t;
SELECT count(*) FROM base;


-- literals, parameters, columns, and types that cast
SELECT als_predict('bigint', 1, 2) = als_predict('bigint', '1', '2') AS literals,
       als_predict('bigint', 1::smallint, 2::int) = als_predict('bigint', 1::bigint, 2.0::numeric) AS casts,
       als_predict('uuid', md5('1'), md5('2')) = als_predict('uuid', md5('1')::uuid, md5('2')::uuid) AS text_as_uuid,
       als_predict('text', $$ü'"\ 1$$, '日本 2'::varchar) IS NOT NULL AS text,
       als_predict('mixed', 'u1', 2) IS NOT NULL AS mixed;
PREPARE untyped AS SELECT als_predict('uuid', $1, $2) IS NOT NULL;
EXECUTE untyped(md5('1'), md5('2'));
PREPARE typed(int, bigint) AS SELECT als_predict('bigint', $1, $2) = als_predict('smallint_int', $1, $2);
EXECUTE typed(1, 2);
PREPARE recommend AS SELECT count(*) FROM als_recommend('bigint', $1, 3);
EXECUTE recommend('1');

-- an integer that the type cannot hold is unknown, not an error
SELECT als_predict('smallint_int', 100000, 1) IS NULL AS user, als_predict('smallint_int', 1, 10000000000) IS NULL AS item;
SELECT count(*) FROM als_recommend('smallint_int', 100000);

-- ids that are equal are one, whatever their spelling and whichever comes first
CREATE TABLE spellings (user_id numeric, item_id text COLLATE insensitive, rating int);
INSERT INTO spellings VALUES (1.0, 'Apple', 1), (1.00, 'APPLE', 1), (1, 'pear', 1), (2, 'apple', 1);
SELECT users, items, ratings FROM als_train('spelled', 'spellings', factors => 2);
SELECT user_id, item_id FROM spelled_users, spelled_items ORDER BY 1, 2;
SELECT users FROM als_train('spelled_again', 'SELECT * FROM spellings ORDER BY item_id COLLATE "C" DESC, user_id::text', factors => 2);
SELECT count(*) FROM spelled_users a JOIN spelled_again_users b ON a::text = b::text;
SELECT count(*) FROM spelled_items a JOIN spelled_again_items b ON a::text = b::text;
SELECT als_predict('spelled', 1.000, 'aPPle') IS NOT NULL AS known;

-- enums and composite types too
SELECT users, items FROM als_train('moods', 'SELECT m AS user_id, i AS item_id, 1 AS rating
    FROM unnest(enum_range(NULL::ids.mood)) m, generate_series(1, 3) i', factors => 2);
SELECT als_predict('moods', 'glad', 2) IS NOT NULL AS known;
SELECT als_predict('moods', 'glad'::mood, 2) IS NOT NULL AS known;

-- integers: dense and sparse, negative, in any order; an id is one id
CREATE TABLE integers AS
    SELECT id AS user_id, -id AS item_id, (1 + id % 3)::real AS rating
    FROM (SELECT * FROM generate_series(3000, 1, -1) id
          UNION ALL SELECT id * 1000003 FROM generate_series(-50, 50) id
          UNION ALL SELECT * FROM generate_series(-7, 5000) id
          UNION ALL SELECT 9223372036854775807 - id FROM generate_series(0, 9) id) ids(id);
SELECT users = (SELECT count(DISTINCT user_id) FROM integers) AS users,
       items = (SELECT count(DISTINCT item_id) FROM integers) AS items,
       ratings = (SELECT count(DISTINCT (user_id, item_id)) FROM integers) AS ratings
FROM als_train('integers_model', 'integers', factors => 2, iterations => 1);
SELECT count(*) FROM (SELECT user_id FROM integers EXCEPT SELECT user_id FROM integers_model_users) missing;
SELECT count(*) FROM (SELECT item_id FROM integers EXCEPT SELECT item_id FROM integers_model_items) missing;

-- ratings of any numeric type are the same ratings
SELECT count(DISTINCT (als_train('typed', format(
    'SELECT user_id, item_id, rating::%s FROM integers', type), factors => 2, iterations => 2)).loss)
FROM unnest(ARRAY['smallint', 'integer', 'bigint', 'real', 'double precision', 'numeric(5,1)']) type;

-- types of results
SELECT pg_typeof(item_id) FROM als_recommend('smallint_int', 1, 1);
SELECT pg_typeof(item_id) FROM als_recommend_as(NULL::text, 'uuid', md5('1'), 1);
SELECT pg_typeof(item_id) FROM als_recommend_as(NULL::code, 'varchar_domain', '1', 1);
SELECT pg_typeof(item_id) FROM als_recommend_as(NULL::text, 'varchar_domain', '1', 1);
-- double precision does not have all integers
SELECT users, items FROM als_train('long', 'SELECT 1 AS user_id, 9007199254740990 + i AS item_id, 1 AS rating FROM generate_series(0, 3) i', factors => 2, iterations => 1);
SELECT item_id FROM als_recommend_as(NULL::float8, 'long', 1, exclude_seen => false);
SELECT item_id::bigint FROM als_recommend_as(NULL::float8, 'long', 1, exclude_seen => false, exclude => ARRAY[9007199254740993]) ORDER BY 1;

-- groups by ids of other types, as boosts and exclude take them: all items are in one, of which a list has one
CREATE FUNCTION in_one_group(kind text, source text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    listed bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM (SELECT user_id FROM %I ORDER BY user_id::text LIMIT 1) u, als_recommend_as(NULL::%s, %L, u.user_id, 20, false, groups => %L) r',
        kind || '_users', (SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = (kind || '_items')::regclass AND attname = 'item_id'),
        kind, source) INTO listed;
    RETURN listed;
END $$;
SELECT kind, item, in_one_group(kind, format('SELECT %s, 1 FROM generate_series(1, 20) i', item))
FROM (VALUES ('smallint_int', 'i'), ('smallint_int', 'i::smallint'), ('smallint_int', 'i::bigint'), ('smallint_int', 'i::text'), ('smallint_int', 'i::numeric'), ('smallint_int', 'i::float8'),
             ('bigint', 'i::text'), ('bigint', 'i'), ('text', $$'日本 ' || i$$), ('text', $$('日本 ' || i)::varchar$$), ('uuid', 'md5(i::text)::uuid'), ('uuid', 'md5(i::text)'),
             ('varchar_domain', $$'c' || i$$), ('varchar_domain', $$('c' || i)::ids.code$$), ('char', 'i::char(8)'), ('char', 'i::text'),
             ('numeric_date', $$'2000-01-01'::date + i$$), ('numeric_date', $$('2000-01-01'::date + i)::timestamp$$), ('oid_xid', 'i::text::xid'),
             ('bytea_array', 'ARRAY[i, i + 1]'), ('float_record', $$ROW(i, 'x')::ids.pair$$), ('inet_jsonb', $$jsonb_build_object('i', i)$$)) v(kind, item);
-- among rows of other ids, which the model's type does not take
SELECT in_one_group('varchar_domain', $$SELECT 'c' || i, 1 FROM generate_series(1, 20) i UNION ALL SELECT 'x', 1$$);

-- many at once, whose ids are in an array: what each has rated is found
CREATE FUNCTION all_at_once(kind text) RETURNS TABLE (seen bigint, users bigint, refreshed bigint) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT count(*) FROM als_recommend_all_as(NULL::text, NULL::text, %L, 100, users => ARRAY(SELECT DISTINCT user_id FROM %I)) a
        JOIN %2$I r ON r.user_id::text = a.user_id AND r.item_id::text = a.item_id', format('%I', kind), 'ratings ' || kind) INTO seen;
    EXECUTE format('SELECT count(*), als_refresh(%L, array_agg(user_id)) FROM (SELECT DISTINCT user_id FROM %I) u',
                   format('%I', kind), 'ratings ' || kind) INTO users, refreshed;
    RETURN NEXT;
END $$;
SELECT kind, t.* FROM kinds, all_at_once(kind) t;
-- and features, from a column of another type
SELECT users, new_users FROM als_train('featured', $$SELECT user_id::char(8) AS user_id, item_id, rating FROM ids."ratings bigint"$$, factors => 2,
    user_features => $$SELECT u::text, u % 2 FROM generate_series(1, 40) u$$);
DELETE FROM featured_users WHERE user_id = '35';
SELECT als_refresh_user('featured', '35'::char(8)) AS known;

-- nulls are unknown
SELECT als_predict('bigint', NULL, 1) IS NULL, als_predict('bigint', 1, NULL::int) IS NULL, als_predict(NULL, 1, 1) IS NULL;
SELECT count(*) FROM als_recommend('bigint', NULL::int);

SET client_min_messages = error;
DROP SCHEMA ids CASCADE;
