-- The ratings' ids may have another type by now than the model's, and several of
-- them be the same id of the model: then they are one user, or one item
SET client_min_messages = warning;
CREATE SCHEMA same_ids;
SET search_path = same_ids, public;
CREATE COLLATION insensitive (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE base AS
    SELECT u, i, (1 + (u * 31 + i * 17) % 5)::real AS rating
    FROM generate_series(1, 20) u, generate_series(1, 15) i
    WHERE (u * 7919 + i * 104729 + u * i * 13) % 97 < 45;
-- user 21 and item 16 are in no model
CREATE TABLE test AS
    SELECT u, i, (1 + (u * 5 + i * 3) % 5)::real AS rating FROM generate_series(1, 21) u, generate_series(1, 16) i WHERE (u * 11 + i * 7) % 10 < 3;

-- id n in the model, and how it is spelled in the ratings of another type, in one
-- row or another; compared: has = between the types
CREATE TABLE kinds (kind text, type text, id text, other_type text, one text, another text, compared boolean);
INSERT INTO kinds VALUES
    ('float', 'double precision', '9007199254740992 + 4 * n', 'bigint', '9007199254740992 + 4 * n', '9007199254740993 + 4 * n', true),
    ('text', 'text COLLATE insensitive', '''Id '' || n', 'text', '''ID '' || n', '''id '' || n', true),
    ('uuid', 'uuid', 'md5(n::text)', 'text', 'md5(n::text)', 'upper(md5(n::text))', false),
    ('integer', 'integer', 'n', 'text', 'n', '''0'' || n', false);
-- For each kind: its ids; ratings and a test set in the model's type (twin) and
-- in the other, of which both models are made while it is the model's
CREATE FUNCTION filled(query text, k kinds) RETURNS text LANGUAGE sql AS $$
    SELECT replace(replace(query, 'kind_', k.kind || '_'), 'id_type', k.type)
$$;
DO $$
DECLARE
    k kinds;
    f text;
    t text;
BEGIN
    FOR k IN TABLE kinds LOOP
        EXECUTE filled(format('CREATE TABLE kind_ids AS SELECT n, (%s)::%s AS id, ARRAY[%s, %s]::%s[] AS spelled FROM generate_series(1, 21) n',
                              k.id, k.type, k.one, k.another, k.other_type), k);
        FOREACH t IN ARRAY ARRAY['base', 'test'] LOOP
            EXECUTE filled(format('CREATE TABLE kind_twin_%1$s AS SELECT a.id AS user_id, b.id AS item_id, rating FROM %1$s JOIN kind_ids a ON a.n = u JOIN kind_ids b ON b.n = i', t), k);
        END LOOP;
        EXECUTE filled('CREATE VIEW kind_base AS TABLE kind_twin_base', k);
        FOREACH f IN ARRAY ARRAY['implicit', 'explicit'] LOOP
            EXECUTE filled(format('SELECT als_train(''kind_twin_%1$s'', ''kind_twin_base'', feedback => %1$L, factors => 4, regularization => 0.3, alpha => 2, iterations => 3),
                                          als_train(''kind_%1$s'', ''kind_base'', feedback => %1$L, factors => 4, regularization => 0.3, alpha => 2, iterations => 3)', f), k);
        END LOOP;
        EXECUTE filled('DROP VIEW kind_base', k);
        FOREACH t IN ARRAY ARRAY['base', 'test'] LOOP
            EXECUTE filled(format('CREATE TABLE kind_%1$s AS SELECT a.spelled[1 + i %% 2] AS user_id, b.spelled[1 + u %% 3 %% 2] AS item_id, rating FROM %1$s JOIN kind_ids a ON a.n = u JOIN kind_ids b ON b.n = i', t), k);
        END LOOP;
    END LOOP;
END $$;
-- twice as many ids or nearly so
SELECT (SELECT count(DISTINCT user_id) FROM text_base) AS users, (SELECT count(DISTINCT item_id) FROM text_base) AS items,
       (SELECT count(DISTINCT user_id) FROM text_test) AS test_users, (SELECT count(DISTINCT item_id) FROM text_test) AS test_items;

-- both models answer the same, and the one whose ratings are spelled as it is
-- answers right (see ids_by_value and evaluate)
CREATE TABLE calls (name text, needs_comparison boolean, query text);
INSERT INTO calls VALUES
    ('recommend_all', false, 'SELECT * FROM als_recommend_all_as(NULL::id_type, NULL::id_type, ''MODEL'', 5)'),
    ('recommend_all, of some users', true, 'SELECT * FROM als_recommend_all_as(NULL::id_type, NULL::id_type, ''MODEL'', 5, ARRAY(SELECT id FROM kind_ids WHERE n < 4))'),
    ('recommend', true, 'SELECT id, r.* FROM kind_ids, als_recommend_as(NULL::id_type, ''MODEL'', id, 5) r'),
    ('recommend what is popular', true, 'SELECT r.* FROM als_recommend_as(NULL::id_type, ''MODEL'', NULL::id_type, 20, cold_start => ''popular'') r'),
    ('explain', true, 'SELECT a.n, e.* FROM kind_ids a, kind_ids b, als_explain_as(NULL::id_type, ''MODEL'', a.id, b.id) e WHERE b.n = 3'),
    ('evaluate', false, 'SELECT metric, round(value::numeric, 6), round(popularity::numeric, 6) FROM als_evaluate(''MODEL'', ''TEST'', k => 3)'),
    ('evaluate, with other ratings to leave out', false, 'SELECT metric, round(value::numeric, 6), round(popularity::numeric, 6) FROM als_evaluate(''MODEL'', ''TEST'', k => 3, training => ''TRAINING'')'),
    ('evaluate_users', false, 'SELECT user_id, m.* FROM als_evaluate_users_as(NULL::id_type, ''MODEL'', ''TEST'', k => 3) e, measures(to_jsonb(e) - ''user_id'') m'),
    ('refresh', true, 'SELECT n, als_refresh_user(''MODEL'', id), als_refresh_item(''MODEL'', id) FROM kind_ids WHERE n > 15'),
    ('predict', true, 'SELECT a.n, b.n, round(als_predict(''MODEL'', a.id, b.id)::numeric, 4) FROM kind_ids a, kind_ids b');
-- the order in which users and pairs are added up is not the same
CREATE FUNCTION measures(row_of jsonb) RETURNS TABLE (name text, value numeric) LANGUAGE sql AS $$
    SELECT key, round(CASE value WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE value::numeric END, 6) FROM jsonb_each_text(row_of)
$$;
CREATE TABLE answers (kind text, feedback text, name text, twin boolean, answer text);
DO $$
DECLARE
    k kinds;
    f text;
    c calls;
    twin text;
BEGIN
    FOR k IN TABLE kinds LOOP
        FOREACH f IN ARRAY ARRAY['implicit', 'explicit'] LOOP
            FOR c IN SELECT * FROM calls WHERE k.compared OR NOT needs_comparison LOOP
                FOREACH twin IN ARRAY ARRAY['', 'twin_'] LOOP
                    EXECUTE filled(format('INSERT INTO answers SELECT %L, %L, %L, %L, q::text FROM (%s) q', k.kind, f, c.name, twin = 'twin_',
                        replace(replace(replace(c.query, 'MODEL', 'kind_' || twin || f), 'TEST', 'kind_' || twin || 'test'), 'TRAINING', 'kind_' || twin || 'base')), k);
                END LOOP;
            END LOOP;
        END LOOP;
    END LOOP;
END $$;
SELECT name, count(DISTINCT (kind, feedback)) AS of, count(answer) FILTER (WHERE kind = 'text') AS rows, string_agg(DISTINCT kind || ' ' || feedback, ', ') FILTER (WHERE a <> 2) AS wrong
FROM (SELECT kind, feedback, name, lower(answer) AS answer, count(*) AS a FROM answers GROUP BY 1, 2, 3, 4) s GROUP BY name ORDER BY name COLLATE "C";
-- small enough to read: users and items that are unknown are one each
SELECT metric, t.value AS text, i.value AS integer
FROM als_evaluate('text_implicit', 'text_test') t JOIN als_evaluate('integer_implicit', 'integer_test') i USING (metric) WHERE metric ~ 'users$|unknown|pairs';
SELECT count(DISTINCT u) FILTER (WHERE u < 21 AND i < 16) AS users, count(*) FILTER (WHERE u < 21 AND i < 16) AS pairs,
       count(DISTINCT u) FILTER (WHERE u = 21) AS unknown_users, count(DISTINCT i) FILTER (WHERE i = 16) AS unknown_items, count(*) FILTER (WHERE u = 21 OR i = 16) AS unknown_pairs
FROM test;

-- what validates a training
SELECT count(DISTINCT (curve, round(value::numeric, 6))) AS iterations
FROM unnest(ARRAY['integer_test', 'integer_twin_test']) t, LATERAL als_train('v', 'integer_twin_base', factors => 3, iterations => 3, validation => t) v,
     unnest(validation_curve) WITH ORDINALITY c(value, curve);

-- ratings that are in temporary files
CREATE TABLE many AS SELECT u AS user_id, i AS item_id, 1 AS rating FROM generate_series(1, 100) u, generate_series(1, 700) i WHERE (u + i) % 2 = 0;
SELECT users, items FROM als_train('many_model', 'many', factors => 2, iterations => 1);
ALTER TABLE many ALTER user_id TYPE text, ALTER item_id TYPE text;
UPDATE many SET user_id = repeat('0', item_id::int % 3) || user_id, item_id = repeat('0', user_id::int % 3) || item_id;
SET maintenance_work_mem = '1MB';
SELECT count(*) AS users, bool_and(items = 350 AND seen = 0) AS right
FROM (SELECT r.user_id, count(*) AS items, count(*) FILTER (WHERE (r.user_id + r.item_id) % 2 = 0) AS seen FROM als_recommend_all('many_model', 1000) r GROUP BY 1) s;
SELECT metric, value FROM als_evaluate('many_model', 'many') WHERE metric ~ 'users$|unknown_items|^pairs';
RESET maintenance_work_mem;

-- 0 and -0 are one user, stored as the same one in whatever order they come
CREATE TABLE zeros (user_id float8, item_id int, rating real);
INSERT INTO zeros VALUES ('-0', 1, 1), ('0', 2, 1), (1, 1, 1), (1, 2, 1);
SELECT users FROM als_train('zeros_model', 'SELECT * FROM zeros ORDER BY item_id', factors => 1, iterations => 1);
SELECT user_id FROM zeros_model_users ORDER BY 1;
SELECT users FROM als_train('zeros_model', 'SELECT * FROM zeros ORDER BY item_id DESC', factors => 1, iterations => 1);
SELECT user_id FROM zeros_model_users ORDER BY 1;

-- the most popular: an id that none can equal counts for none
CREATE TABLE numbers AS SELECT u AS user_id, i AS item_id, 1 AS rating FROM generate_series(1, 6) u, generate_series(1, 4) i WHERE i <= u;
SELECT users FROM als_train('numbers_model', 'numbers', factors => 2);
ALTER TABLE numbers ALTER item_id TYPE numeric;
INSERT INTO numbers VALUES (7, 3.6, 1), (8, 3.6, 1), (9, 99999999999, 1), (9, 4.00, 1);
SELECT * FROM als_recommend('numbers_model', NULL::int, cold_start => 'popular');

SET client_min_messages = error;
DROP SCHEMA same_ids CASCADE;
