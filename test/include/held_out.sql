\set ECHO none
-- Ratings with zeros, negative ones and duplicate pairs; what a fraction of 0.2 of
-- them trains from and validates on
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, ((u * 31 + i * 17) % 7 - 1)::real / 2 AS rating
    FROM generate_series(-20, 40) u, generate_series(1, 50) i
    WHERE (u * 7919 + i * 104729 + u * i * 13) % 5 IN (0, 1, 2);
INSERT INTO ratings SELECT user_id, item_id, rating / 2 FROM ratings WHERE item_id % 10 = 0;
CREATE VIEW training AS SELECT * FROM ratings WHERE NOT als_holdout(user_id, item_id, 0.2, 42);
CREATE VIEW held_out AS SELECT * FROM ratings WHERE als_holdout(user_id, item_id, 0.2, 42);
\set ECHO all
