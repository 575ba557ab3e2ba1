-- What libFuzzer makes inputs for (scripts/libfuzzer.sh): a name, a query of $1, a text,
-- and inputs to begin with.
SET client_min_messages = warning;
CREATE EXTENSION als;
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, 1 + (u + i) % 5 AS rating, 'kind ' || u % 3 AS event, now() - i * interval '1 day' AS rated
    FROM generate_series(1, 20) u, generate_series(1, 15) i WHERE u * i % 4 <> 0;
CREATE TABLE traits AS SELECT DISTINCT item_id, 'trait ' || item_id % 4 AS feature FROM ratings;
CREATE TABLE habits AS SELECT DISTINCT user_id, 'trait ' || user_id % 4 AS feature FROM ratings;
SELECT FROM als_train('m1', 'ratings', factors => 4, iterations => 2, item_features => 'traits', user_features => 'habits');
SELECT FROM als_train('m2', 'SELECT ''user '' || user_id AS user_id, item_id::text, rating FROM ratings', factors => 4, iterations => 2);
SELECT FROM als_train('m3', 'SELECT md5(user_id::text)::uuid AS user_id, item_id::numeric, rating FROM ratings', factors => 4, iterations => 2);
SELECT FROM als_train('m4', 'SELECT user_id::float8, date ''2020-01-01'' + item_id AS item_id, rating FROM ratings', factors => 4, iterations => 2, feedback => 'explicit');
SELECT FROM als_train('m5', 'SELECT ARRAY[user_id] AS user_id, int4range(item_id, item_id + 1) AS item_id, rating FROM ratings', factors => 4, iterations => 2);
-- the model that the first character chooses
CREATE FUNCTION model_of(input text) RETURNS regclass LANGUAGE sql STABLE AS $$ SELECT ('m' || 1 + (ascii(input) + 1) % 5)::regclass $$;
-- ratings whose second ends every training, after its parameters have been read
CREATE VIEW bad AS SELECT 1 AS user_id, 1 AS item_id, 1::float8 AS rating, 'a' AS event, now() AS rated UNION ALL SELECT 1, 2, 'NaN', 'a', now();

CREATE TABLE targets (name text PRIMARY KEY, query text, seeds text[]);
INSERT INTO targets VALUES
('options', 'SELECT als_train_agg(''new'', user_id, item_id, rating, $1::jsonb) FROM bad',
    '{"{\"factors\": 3, \"alpha\": 2.5, \"seed\": -1, \"solver\": \"cg\"}","{\"feedback\": \"explicit\", \"biases\": false, \"workers\": null}"}'),
('grid', 'SELECT * FROM als_tune(''new'', ''bad'', grid => $1::jsonb, validation_fraction => 0.5, workers => 0)',
    '{"{\"factors\": 2, \"alpha\": {\"from\": 1, \"to\": 40}}","{\"regularization\": [0.1, 1e30], \"solver\": [\"cg\", \"cholesky\"], \"nonnegative\": [true]}"}'),
('weights', 'SELECT als_train(''new'', ''bad'', event_column => ''event'', event_weights => $1::jsonb)',
    '{"{\"a\": 1, \"b\": 2.5e3, \"\": 0}"}'),
('weighing', 'SELECT * FROM als_tune(''new'', ''bad'', grid => $1::jsonb, event_column => ''event'', time_column => ''rated'', validation_fraction => 0.5, workers => 0)',
    '{"{\"event_weights\": {\"a\": [1, 2], \"b\": 3}, \"half_life\": [\"7 days\", null]}"}'),
('solving', 'SELECT als_solve_row(ARRAY[1, 2], ARRAY[1, 2]::real[], $1::jsonb)',
    '{"{\"model\": \"m1\", \"side\": \"users\"}"}'),
('features', 'SELECT count(*) FROM als_recommend_for(''m1'', ''{1,2}'', features => $1::jsonb)',
    '{"{\"trait 1\": 1, \"trait 2\": -2.5e-3}"}'),
('ids', 'SELECT als_predict(model_of($1), split_part(substr($1, 2), '';'', 1), split_part($1, '';'', 2)), (SELECT count(*) FROM als_recommend_as(NULL::text, model_of($1), split_part(substr($1, 2), '';'', 1), 3)), (SELECT count(*) FROM als_similar_items_as(NULL::text, model_of($1), split_part($1, '';'', 2), 3))',
    '{17;3,"2user 1;4","3c4ca4238-a0b9-2382-0dcc-509a6f75849b;3.0",42e0;2020-01-05,"5{3};[3,4)"}'),
('arrays', 'SELECT als_fold_in(model_of($1), split_part(substr($1, 2), '';'', 1), split_part(substr($1, 2), '';'', 2)::float8[]), (SELECT count(*) FROM als_recommend_for_as(NULL::text, model_of($1), split_part(substr($1, 2), '';'', 1), exclude => split_part($1, '';'', 3), candidates => split_part($1, '';'', 4)))',
    '{"1{1,2,NULL};{1,2,3};{4};{5,6,7}","2{\"1\",\"2\"};{1,-0.5};{};{3}","3{1.0,[2:3]={1,2}};{NULL};{1.5};{2}","5{\"[3,4)\",empty};{1,1};{};{\"[1,2)\"}"}'),
('rows', 'UPDATE m1_items SET factors = $1::real[] WHERE item_id = 3; SELECT als_predict(''m1'', 1, 3), (SELECT count(*) FROM als_recommend(''m1'', 1, 20)), (SELECT count(*) FROM als_explain(''m1'', 1, 3)), als_fold_in(''m1'', ARRAY[1, 3])',
    '{"{1,2,3,4}","{NaN,Infinity,-0,1e-45}","[0:3]={NULL,1,2,3e38}","{{1,2},{3,4}}"}'),
('rows_explicit', 'UPDATE m4_users SET factors = $1::real[], bias = ($1::real[])[1] WHERE user_id = 3; SELECT als_predict(''m4'', 3, date ''2020-01-03''), (SELECT count(*) FROM als_recommend(''m4'', 3, 20)), (SELECT count(*) FROM als_audience(''m4'', date ''2020-01-03'', 20))',
    '{"{1,2,3,4}","{1e19,-1e19,0,0}"}'),
('packed', 'SELECT count(*), als_pack_factors(f) FROM als_unpack_factors(decode($1, ''escape''), 1 + length($1) % 2) f',
    '{"\\000\\000\\200\\077\\000\\000\\000\\100"}');
