-- Ids of other types than integers, by value: the ratings and factors of models
-- of integers under other names have to give the same answers, under these names
SET client_min_messages = warning;
SET jit = off;  -- what it would compile runs once
CREATE SCHEMA ids_by_value;
SET search_path = ids_by_value, public;
-- 30 users, 20 items; some ratings are zero or negative, some pairs are there twice
CREATE TABLE base AS
    SELECT u, i, ((u * 31 + i * 17) % 11 - 2)::real / 2 AS rating, (u * 5 + i * 3) % 7 = 0 AS test
    FROM generate_series(1, 30) u, generate_series(1, 20) i
    WHERE (u * 7919 + i * 104729 + u * i * 13) % 97 < 45;
INSERT INTO base SELECT u, i, 1, test FROM base WHERE (u + i) % 7 = 0;
-- a user and an item that no model knows, in the test set
INSERT INTO base VALUES (0, 3, 1, true), (3, 0, 1, true);

-- text in an order that is not that of the numbers; ids that are compressed, or toasted
CREATE TABLE kinds (kind text, user_type text, item_type text, user_expression text, item_expression text);
INSERT INTO kinds VALUES
    ('bigint', 'bigint', 'bigint', 'u', 'i'),
    ('text', 'text', 'text', $$'ü''"\ ' || u$$, $$'%s {日本} ' || i$$),
    ('uuid', 'uuid', 'uuid', 'md5(u::text)::uuid', 'md5(i::text)::uuid'),
    ('long', 'text', 'varchar', $$repeat('long', 1000) || u$$, $$(SELECT string_agg(md5(i || ' ' || n), '') FROM generate_series(1, 70) n)$$);
-- In queries, kind_ stands for a kind and model for a model, user_type and
-- item_type for the types of its ids; kind_user has all u and their ids,
-- kind_item all i, kind_ratings the live ratings.
CREATE FUNCTION filled(query text, k kinds, feedback text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT regexp_replace(regexp_replace(replace(replace(query, 'user_type', k.user_type), 'item_type', k.item_type),
                                         '\mkind_', k.kind || '_', 'g'), '\mmodel', k.kind || '_' || feedback, 'g')
$$;
\i test/include/algebra.sql

DO $$
DECLARE
    k kinds;
    f text;
    s record;
BEGIN
    FOR k IN SELECT * FROM kinds LOOP
        EXECUTE format('CREATE TABLE %s_user AS SELECT u, (%s)::%s AS id FROM generate_series(0, 52) u', k.kind, k.user_expression, k.user_type);
        EXECUTE format('CREATE TABLE %s_item AS SELECT i, (%s)::%s AS id FROM generate_series(0, 50) i', k.kind, k.item_expression, k.item_type);
        EXECUTE filled('CREATE VIEW kind_ratings AS SELECT a.id AS user_id, b.id AS item_id, rating FROM base JOIN kind_user a USING (u) JOIN kind_item b USING (i) WHERE NOT test', k, '');
        EXECUTE filled('CREATE VIEW kind_test AS SELECT a.id AS user_id, b.id AS item_id, rating FROM base JOIN kind_user a USING (u) JOIN kind_item b USING (i) WHERE test', k, '');
        FOREACH f IN ARRAY ARRAY['implicit', 'explicit'] LOOP
            EXECUTE filled(format('SELECT als_train(''model'', ''kind_ratings'', feedback => %L, factors => 5, regularization => 0.3, alpha => 2, iterations => 4)', f), k, f);
            -- the start depends on the ids
            FOR s IN SELECT * FROM (VALUES ('user', 'u'), ('item', 'i')) v(side, number) LOOP
                EXECUTE filled(format('UPDATE model_%1$ss t SET factors = b.factors%4$s FROM bigint_%3$s_%1$ss b JOIN kind_%1$s m ON m.%2$s = b.%1$s_id WHERE t.%1$s_id = m.id',
                                      s.side, s.number, f, CASE f WHEN 'explicit' THEN ', bias = b.bias' ELSE '' END), k, f);
            END LOOP;
        END LOOP;
    END LOOP;
END $$;
-- new ratings: of user and item 7, of user and item 50, who are new; none are left of user and item 9
INSERT INTO base VALUES (7, 1, 5, false), (7, 2, -1, false), (8, 7, 3, false), (50, 1, 3, false), (50, 4, 1, false), (50, 4, 2, false), (50, 11, -1, false),
                        (1, 50, 4, false), (2, 50, 0.5, false), (3, 50, -2, false);
DELETE FROM base WHERE 9 IN (u, i) AND NOT test;

-- What is called, in this order, as rows of a key and a value; ids in the key
-- are numbers again.
CREATE TABLE calls (call int GENERATED ALWAYS AS IDENTITY, name text, query text);
INSERT INTO calls (name, query)
SELECT format(name, side), format(query, side, number)
FROM (VALUES ('user', 'u'), ('item', 'i')) s(side, number), (VALUES
    ('als_similar_%ss_as', $$
        SELECT concat_ws(' ', metric, a.%2$s, b.%2$s), r.score
        FROM kind_%1$s a, unnest(ARRAY['cosine', 'inner_product']) metric,
             als_similar_%1$ss_as(NULL::%1$s_type, 'model', a.id, 1000, metric) r JOIN kind_%1$s b ON b.id = r.%1$s_id$$),
    ('%s cosines and products', $$
        SELECT concat_ws(' ', metric, a.%2$s, b.%2$s), dot(x.factors, y.factors) / CASE metric WHEN 'cosine' THEN sqrt(dot(x.factors, x.factors) * dot(y.factors, y.factors)) ELSE 1 END
        FROM unnest(ARRAY['cosine', 'inner_product']) metric, model_%1$ss x JOIN kind_%1$s a ON a.id = x.%1$s_id, model_%1$ss y JOIN kind_%1$s b ON b.id = y.%1$s_id
        WHERE x.%1$s_id <> y.%1$s_id$$)) q(name, query);
INSERT INTO calls (name, query) VALUES
    ('als_predict', $$
        SELECT concat_ws(' ', u, i), score FROM kind_user a, kind_item b, als_predict('model', a.id, b.id) score WHERE score IS NOT NULL$$),
    ('factors multiplied', $$
        SELECT concat_ws(' ', u, i), dot(x.factors, y.factors) + coalesce((to_jsonb(x)->>'bias')::float8 + (to_jsonb(y)->>'bias')::float8 + mean_rating, 0)
        FROM model, model_users x JOIN kind_user a ON a.id = x.user_id, model_items y JOIN kind_item b ON b.id = y.item_id$$),
    ('als_recommend_as', $$
        SELECT concat_ws(' ', u, i, row_number() OVER (PARTITION BY u ORDER BY o)), score
        FROM kind_user a, LATERAL (SELECT *, row_number() OVER () AS o FROM als_recommend_as(NULL::item_type, 'model', a.id, 12)) r JOIN kind_item b ON b.id = r.item_id
        WHERE u <= 30$$),
    ('als_recommend_all_as', $$
        SELECT concat_ws(' ', u, i, rank), score
        FROM als_recommend_all_as(NULL::user_type, NULL::item_type, 'model', 12) r JOIN kind_user a ON a.id = r.user_id JOIN kind_item b ON b.id = r.item_id$$),
    ('als_predict, ranked', $$
        SELECT concat_ws(' ', u, i, rank), score
        FROM (SELECT u, i, score, row_number() OVER (PARTITION BY u ORDER BY score DESC) AS rank
              FROM kind_user a, kind_item b, als_predict('model', a.id, b.id) score
              WHERE score IS NOT NULL AND NOT EXISTS (SELECT FROM base WHERE base.u = a.u AND base.i = b.i AND NOT test)) s
        WHERE rank <= 12$$),
    ('als_recommend_as, filtered', $$
        SELECT i::text, score
        FROM kind_user a, als_recommend_as(NULL::item_type, 'model', a.id, 1000, exclude_seen => false,
            candidates => ARRAY(SELECT id FROM kind_item WHERE i BETWEEN 5 AND 30), exclude => ARRAY(SELECT id FROM kind_item WHERE i > 12)) r JOIN kind_item b ON b.id = r.item_id
        WHERE u = 3$$),
    ('als_predict, filtered', $$
        SELECT i::text, als_predict('model', a.id, b.id) FROM kind_user a, kind_item b WHERE u = 3 AND i BETWEEN 5 AND 12$$),
    ('als_recommend_for_as', $$
        SELECT i::text, score
        FROM als_recommend_for_as(NULL::item_type, 'model', ARRAY(SELECT id FROM kind_item WHERE i IN (3, 11, 40) ORDER BY i), ARRAY[2.5, 1, 9], 1000) r JOIN kind_item b ON b.id = r.item_id$$),
    ('als_fold_in, multiplied', $$
        SELECT i::text, dot(x[1:5], y.factors) + coalesce(x[6] + (to_jsonb(y)->>'bias')::float8 + mean_rating, 0)
        FROM model, als_fold_in('model', ARRAY(SELECT id FROM kind_item WHERE i IN (3, 11, 40) ORDER BY i), ARRAY[2.5, 1, 9]) x, model_items y JOIN kind_item b ON b.id = y.item_id
        WHERE i NOT IN (3, 11)$$),
    ('als_recommend_as a new user', $$
        SELECT i::text, score
        FROM kind_user a, als_recommend_as(NULL::item_type, 'model', a.id, 1000) r JOIN kind_item b ON b.id = r.item_id
        WHERE u = 50$$),
    ('als_recommend_for_as what he has', $$
        SELECT i::text, score
        FROM kind_user a, LATERAL (SELECT array_agg(item_id) AS items, array_agg(rating::float8) AS ratings FROM kind_ratings WHERE user_id = a.id) h,
             als_recommend_for_as(NULL::item_type, 'model', items, ratings, 1000) r JOIN kind_item b ON b.id = r.item_id
        WHERE u = 50$$),
    ('als_recommend_as nobody what is popular', $$
        SELECT i::text, score FROM als_recommend_as(NULL::item_type, 'model', NULL::user_type, 1000, cold_start => 'popular') r JOIN kind_item b ON b.id = r.item_id$$),
    ('rows counted', $$
        SELECT i::text, count(*) FROM kind_ratings r JOIN kind_item b ON b.id = r.item_id WHERE EXISTS (SELECT FROM model_items y WHERE y.item_id = b.id) GROUP BY i$$),
    ('als_evaluate', $$
        SELECT metric, value FROM als_evaluate('model', 'kind_test', k => 3)$$),
    ('als_evaluate_users_as', $$
        SELECT concat_ws(' ', u, key), CASE value WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE value::float8 END
        FROM als_evaluate_users_as(NULL::user_type, 'model', 'kind_test', k => 3) e JOIN kind_user a ON a.id = e.user_id, jsonb_each_text(to_jsonb(e) - 'user_id')$$),
    ('als_explain_as', $$
        SELECT concat_ws(' ', u, a.i, b.i), contribution
        FROM kind_user, kind_item a, als_explain_as(NULL::item_type, 'model', kind_user.id, a.id, NULL) e JOIN kind_item b ON b.id = e.item_id
        WHERE u IN (3, 7, 50)$$),
    ('als_refresh_user', $$
        SELECT u::text, als_refresh_user('model', id)::int FROM kind_user WHERE u IN (7, 9, 50, 51)$$),
    ('users refreshed', $$
        SELECT concat_ws(' ', u, o), value
        FROM model_users x JOIN kind_user a ON a.id = x.user_id, unnest(factors || (to_jsonb(x)->>'bias')::real) WITH ORDINALITY f(value, o)
        WHERE u IN (7, 9, 50, 51) AND value IS NOT NULL$$),
    ('als_fold_in what they have', $$
        SELECT concat_ws(' ', u, o), value
        FROM kind_user a, LATERAL (SELECT array_agg(item_id) AS items, array_agg(rating::float8) AS ratings FROM kind_ratings WHERE user_id = a.id) h,
             unnest(als_fold_in('model', items, ratings)) WITH ORDINALITY f(value, o)
        WHERE u IN (7, 9, 50, 51)$$),
    ('als_explain_as, added up', $$
        SELECT concat_ws(' ', u, i), sum(contribution) + coalesce((SELECT mean_rating + (to_jsonb(y)->>'bias')::float8 FROM model, model_items y WHERE y.item_id = b.id), 0)
        FROM kind_user a, kind_item b, als_explain_as(NULL::item_type, 'model', a.id, b.id, NULL)
        WHERE u IN (7, 50) GROUP BY u, i, b.id$$),
    ('als_predict whoever is refreshed', $$
        SELECT concat_ws(' ', u, i), score FROM kind_user a, kind_item b, als_predict('model', a.id, b.id) score WHERE u IN (7, 50) AND score IS NOT NULL$$),
    ('als_refresh_item', $$
        SELECT i::text, als_refresh_item('model', id)::int FROM kind_item WHERE i IN (7, 9, 49, 50)$$),
    ('items refreshed', $$
        SELECT concat_ws(' ', i, o), value
        FROM model_items x JOIN kind_item a ON a.id = x.item_id, unnest(factors || (to_jsonb(x)->>'bias')::real) WITH ORDINALITY f(value, o)
        WHERE value IS NOT NULL$$),
    ('als_predict whatever is refreshed', $$
        SELECT concat_ws(' ', u, i), score FROM kind_user a, kind_item b, als_predict('model', a.id, b.id) score WHERE score IS NOT NULL$$);
CREATE TABLE answers (kind text, feedback text, name text, key text, value float8, PRIMARY KEY (name, feedback, kind, key));
DO $$
DECLARE
    k kinds;
    f text;
    c calls;
BEGIN
    FOR k IN SELECT * FROM kinds LOOP
        FOREACH f IN ARRAY ARRAY['implicit', 'explicit'] LOOP
            FOR c IN SELECT * FROM calls ORDER BY call LOOP
                EXECUTE filled(format('INSERT INTO answers SELECT %L, %L, %L, q.* FROM (%s) q', k.kind, f, c.name, c.query), k, f);
            END LOOP;
        END LOOP;
    END LOOP;
END $$;
CREATE FUNCTION near(a float8, b float8) RETURNS boolean LANGUAGE sql IMMUTABLE AS
    'SELECT CASE WHEN a IS NULL OR b IS NULL THEN a IS NULL AND b IS NULL ELSE abs(a - b) < 1e-4 END';
-- each kind against integers
SELECT name, feedback, count(o.value) FILTER (WHERE kind = 'uuid') AS answers,
       string_agg(DISTINCT kind, ', ') FILTER (WHERE b.key IS NULL OR o.key IS NULL OR NOT near(b.value, o.value)) AS wrong
FROM (SELECT kinds.kind, name, feedback, key, value FROM answers a, kinds WHERE a.kind = 'bigint' AND kinds.kind <> 'bigint') b
     FULL JOIN (SELECT * FROM answers WHERE kind <> 'bigint') o USING (kind, name, feedback, key)
GROUP BY name, feedback ORDER BY name COLLATE "C", feedback COLLATE "C";
-- in each kind, one function against others, or SQL
CREATE TABLE equal (a text, b text);
INSERT INTO equal VALUES
    ('als_similar_users_as', 'user cosines and products'),
    ('als_similar_items_as', 'item cosines and products'),
    ('als_predict', 'factors multiplied'),
    ('als_recommend_as', 'als_predict, ranked'),
    ('als_recommend_all_as', 'als_predict, ranked'),
    ('als_recommend_as, filtered', 'als_predict, filtered'),
    ('als_recommend_for_as', 'als_fold_in, multiplied'),
    ('als_recommend_as a new user', 'als_recommend_for_as what he has'),
    ('als_recommend_as nobody what is popular', 'rows counted'),
    ('users refreshed', 'als_fold_in what they have'),
    ('als_explain_as, added up', 'als_predict whoever is refreshed');
SELECT a, b, count(x.value) FILTER (WHERE kind = 'uuid') AS answers,
       string_agg(DISTINCT kind || ' ' || feedback, ', ') FILTER (WHERE x.key IS NULL OR y.key IS NULL OR NOT near(x.value, y.value)) AS wrong
FROM (SELECT * FROM equal JOIN answers ON name = a) x FULL JOIN (SELECT * FROM equal JOIN answers ON name = b) y USING (a, b, kind, feedback, key)
GROUP BY a, b ORDER BY a COLLATE "C";
-- some that are small enough to read
SELECT name, feedback, key, value FROM answers WHERE kind = 'uuid' AND name IN ('als_refresh_user', 'als_refresh_item')
ORDER BY name COLLATE "C", feedback COLLATE "C", key::int;

-- als_tune: a trial is what als_train makes of its parameters, its metric what
-- als_evaluate says of that, and the best is stored
CREATE TABLE trials (kind text, trial int, rank int, trained boolean, evaluated boolean, stored boolean);
DO $$
DECLARE
    k kinds;
    t record;
BEGIN
    FOR k IN SELECT * FROM kinds LOOP
        FOR t IN EXECUTE filled('SELECT * FROM als_tune(''kind_tuned'', ''kind_ratings'', ''{"factors": [2, 3], "alpha": [1, 40], "iterations": 3}'', validation_fraction => 0.2)', k, '') LOOP
            EXECUTE filled(format('SELECT als_train(''kind_trained'', ''kind_ratings'', factors => %s, alpha => %s, iterations => 3, validation_fraction => 0.2)',
                                  t.parameters->'factors', t.parameters->'alpha'), k, '');
            EXECUTE filled('
                INSERT INTO trials SELECT $1, $2, $3, $4 = validation_curve[best_iteration], $4 = e.value,
                    NOT EXISTS (TABLE kind_tuned_users EXCEPT TABLE kind_trained_users) AND NOT EXISTS (TABLE kind_tuned_items EXCEPT TABLE kind_trained_items)
                FROM kind_trained, als_evaluate(''kind_trained'', ''SELECT * FROM kind_ratings WHERE als_holdout(user_id, item_id, 0.2, 42)'') e
                WHERE e.metric = ''ndcg''', k, '') USING k.kind, t.trial, t.rank, t.metric;
            EXECUTE filled('DROP TABLE kind_trained', k, '');
        END LOOP;
    END LOOP;
END $$;
SELECT kind, count(*), bool_and(trained) AS trained, bool_and(evaluated) AS evaluated, bool_and(stored = (rank = 1)) AS stored
FROM trials GROUP BY kind ORDER BY kind COLLATE "C";

SET client_min_messages = error;
DROP SCHEMA ids_by_value CASCADE;
