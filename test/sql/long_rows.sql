-- Factors that are finite, but whose products are not: no function answers with
-- infinity or what is not a number, and all agree.
SET client_min_messages = warning;
CREATE SCHEMA long_rows;
SET search_path = long_rows, public;
\set SHOW_CONTEXT never
\i test/include/ratings.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(30, 100, 40);
SELECT users, items FROM als_train('implicit', 'ratings', factors => 2, alpha => 1, regularization => 0.01, iterations => 2);
SELECT users, items FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 2, iterations => 2);

-- What all functions say of a change
CREATE FUNCTION try_all(model text, change text) RETURNS TABLE (answer text, functions text) LANGUAGE plpgsql AS $$
DECLARE
    call text;
    found text;
    answers text[] = '{}';
BEGIN
    FOREACH call IN ARRAY ARRAY[
        'als_predict(%L, 3, 4)', 'als_recommend(%L, 3)', 'als_recommend(%L, 3, candidates => ARRAY[4])',
        'als_recommend_all(%L, users => ARRAY[3])', 'als_recommend_for(%L, ARRAY[4])', 'als_fold_in(%L, ARRAY[4])',
        'als_similar_items(%L, 4)', 'als_similar_items(%L, 5, metric => ''inner_product'')', 'als_similar_users(%L, 3)',
        'als_explain(%L, 3, 4)', 'als_evaluate(%L, ''long_rows.ratings'')', 'als_evaluate_users(%L, ''long_rows.ratings'')',
        'als_refresh_user(%L, 3)', 'als_refresh_item(%L, 4)']
    LOOP
        BEGIN
            EXECUTE format(change, model);
            EXECUTE format('SELECT string_agg(t::text, '' '') FROM ' || call || ' t', model) INTO found;
            RAISE EXCEPTION '%', CASE WHEN found ~* 'inf|nan' THEN found ELSE 'finite' END;
        EXCEPTION WHEN OTHERS THEN
            answers = answers || ARRAY[CASE WHEN sqlerrm = 'finite' OR sqlstate = '22003' THEN 'finite, or out of range' ELSE sqlstate || ' ' || sqlerrm END || '|' || substring(call FROM '^als_(\w+)')];
        END;
    END LOOP;
    RETURN QUERY SELECT split_part(a, '|', 1), string_agg(DISTINCT split_part(a, '|', 2), ', ') FROM unnest(answers) a GROUP BY 1 ORDER BY 1;
END $$;
SELECT change, t.* FROM unnest(ARRAY[
    'UPDATE %I_items SET factors = ''{1e20,1e20}''',
    'UPDATE %I_items SET factors = ''{1e20,-1e20}'' WHERE item_id = 4',
    'UPDATE %I_users SET factors = ''{1e20,1e20}''',
    'UPDATE %I_items SET factors = ''{1e19,1e19}''',
    'UPDATE %I_items SET factors = ''{1e19,-1e19}''; UPDATE %1$I_users SET factors = ''{1e19,1e19}''']) change,
    try_all('implicit', change) t;
SELECT change, t.* FROM unnest(ARRAY[
    'UPDATE %I_items SET bias = 1e20',
    'UPDATE %I_users SET factors = ''{1e19,0}'', bias = 1.7e19',
    'UPDATE %I_users SET factors = ''{1e19,0}'', bias = 1e19; UPDATE %1$I_items SET factors = ''{1e19,0}'', bias = 1e19',
    'UPDATE %I SET mean_rating = 3e38; UPDATE %1$I_items SET factors = ''{1e19,0}''',
    'UPDATE %I SET mean_rating = -3e38']) change,
    try_all('explicit', change) t;

-- Within that range scores are right, and in order, by whatever way they come:
-- the inner product in double precision is the judge.
UPDATE implicit_items SET factors = ARRAY[(item_id - 50) * 1e17, (item_id * 37 % 100 - 50) * 2e17]::real[];
UPDATE implicit_users SET factors = ARRAY[(user_id - 15) * 5e17, 1e19]::real[];
CREATE VIEW scores AS
    SELECT user_id, item_id::bigint, als_predict('implicit', user_id, item_id) AS score,
           u.factors[1]::float8 * i.factors[1] + u.factors[2]::float8 * i.factors[2] AS exact
    FROM implicit_users u, implicit_items i;
SELECT count(*), bool_and(abs(score - exact) <= 1e-6 * 1e38) AS right, max(abs(score)) > 1e38 AS large FROM scores;
CREATE VIEW best AS
    SELECT user_id, item_id, score FROM (SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY score DESC, item_id) AS place FROM scores) t
    WHERE place <= 7;
CREATE FUNCTION agree() RETURNS TABLE (recommend boolean, all_users boolean, few_users boolean) LANGUAGE sql AS $$
    SELECT array(SELECT (user_id, r.item_id, r.score)::text FROM implicit_users, als_recommend('implicit', user_id, 7, exclude_seen => false) r ORDER BY 1)
         = array(SELECT b::text FROM best b ORDER BY 1),
           array(SELECT (user_id, item_id, score)::text FROM als_recommend_all('implicit', 7, exclude_seen => false) ORDER BY 1)
         = array(SELECT b::text FROM best b ORDER BY 1),
           array(SELECT (user_id, item_id, score)::text FROM als_recommend_all('implicit', 7, users => ARRAY[3], exclude_seen => false) ORDER BY 1)
         = array(SELECT b::text FROM best b WHERE user_id = 3 ORDER BY 1)
$$;
SELECT * FROM agree();
SET als.cache_size = '64kB';
SELECT * FROM agree();
RESET als.cache_size;

-- What is folded in or refreshed obeys the same rule as what is read.
UPDATE implicit_items SET factors = '{1e-20,0}';
SELECT (als_fold_in('implicit', ARRAY[4], ARRAY[3e36]))[1] > 1e18 AS fits;
-- 2e19, whose square does not
SELECT als_fold_in('implicit', ARRAY[4], ARRAY[3e37]);
SELECT * FROM als_recommend_for('implicit', ARRAY[4], ARRAY[3e37]);
DELETE FROM ratings WHERE user_id = 3;
INSERT INTO ratings VALUES (3, 4, 3e37);
SELECT als_refresh_user('implicit', 3);
SELECT count(*) FROM als_recommend('implicit', 1, 1);
DROP SCHEMA long_rows CASCADE;
