CREATE EXTENSION als;
SELECT library, sql_objects, blas FROM als_version();
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, 1 AS rating
    FROM generate_series(1, 60) u, generate_series(1, 40) i
    WHERE (u * 7 + i * 3) % 5 < 2 AND u % 2 = i % 2;
SELECT users, items FROM als_train('films', 'ratings', factors => 8);
SELECT count(*) FROM als_recommend('films', 1, 5);
