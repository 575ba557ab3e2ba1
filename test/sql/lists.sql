-- What lists of items have beside filters, against SQL over the scores: min_score
SET client_min_messages = warning;
CREATE SCHEMA lists;
SET search_path = lists, public;
\i test/include/ratings.sql
\i test/include/errors.sql
CREATE TABLE ratings AS SELECT * FROM some_ratings(40, 300, 20);
SELECT users, items FROM als_train('implicit', 'ratings', factors => 8);
SELECT users, items FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 8, regularization => 0.1);
CREATE TABLE scores AS
    SELECT m AS model, user_id, item_id, als_predict(m::regclass, user_id, item_id) AS score
    FROM unnest(ARRAY['implicit', 'explicit']) m, implicit_users, implicit_items;
CREATE INDEX ON scores (model, user_id);
-- Of each user, the scores that come into question
CREATE VIEW eligible AS
    SELECT *, row_number() OVER (PARTITION BY model, user_id ORDER BY score DESC, item_id) AS place
    FROM scores s WHERE NOT EXISTS (SELECT FROM ratings r WHERE r.user_id = s.user_id AND r.item_id = s.item_id);
CREATE TABLE ranked AS TABLE eligible;
CREATE INDEX ON ranked (model, user_id);
ANALYZE ranked, scores;
CREATE VIEW callers AS SELECT model, user_id FROM unnest(ARRAY['implicit', 'explicit']) model, generate_series(1, 40, 3) user_id;

--
-- min_score
--

CREATE VIEW least AS SELECT model, user_id, k, min_score FROM callers, unnest(ARRAY[1, 10, 1000]) k,
    unnest(ARRAY['-Infinity', -1, 0, 0.2, 0.5, 2.5, 3, 3.3, 1e300, 'Infinity']::float8[]) min_score;
SELECT model, count(*), count(*) FILTER (WHERE found IS NULL) AS empty, bool_and(found IS NOT DISTINCT FROM expected) AS same, bool_and(everyone IS NOT DISTINCT FROM expected) AS in_all
FROM least l,
     LATERAL (SELECT array_agg((item_id, score)::text ORDER BY place) AS expected FROM ranked r WHERE (r.model, r.user_id) = (l.model, l.user_id) AND place <= k AND score >= min_score) e,
     LATERAL (SELECT array_agg((item_id, score)::text ORDER BY o) AS found FROM als_recommend(model::regclass, l.user_id, k, min_score => l.min_score) WITH ORDINALITY r(item_id, score, o)) f,
     LATERAL (SELECT array_agg((item_id, score)::text ORDER BY rank) AS everyone FROM als_recommend_all(model::regclass, k, ARRAY[l.user_id], min_score => l.min_score, workers => 0)) a
GROUP BY model ORDER BY model;
SELECT count(*), count(*) FILTER (WHERE a = b) AS same FROM als_recommend_for('explicit', ARRAY[1, 2, 3], ARRAY[1, 5, 3], k => 1000, min_score => 3) a
FULL JOIN (SELECT * FROM als_recommend_for('explicit', ARRAY[1, 2, 3], ARRAY[1, 5, 3], k => 1000) WHERE score >= 3) b USING (item_id);
-- with candidates, few or many
SELECT n, bool_and(found IS NOT DISTINCT FROM expected) AS same
FROM callers l, unnest(ARRAY[3, 30, 300]) n,
     LATERAL (SELECT array_agg((item_id, score)::text ORDER BY place) AS expected FROM ranked r WHERE (r.model, r.user_id) = (l.model, l.user_id) AND item_id <= n AND score >= 0.3) e,
     LATERAL (SELECT array_agg((item_id, score)::text ORDER BY o) AS found FROM als_recommend(model::regclass, l.user_id, 1000, candidates => ARRAY(SELECT generate_series(1, n)), min_score => 0.3) WITH ORDINALITY r(item_id, score, o)) f
GROUP BY n ORDER BY n;
SELECT * FROM try($$SELECT als_recommend('implicit', 1, min_score => 'NaN')$$);
SELECT * FROM try($$SELECT als_recommend_for('implicit', ARRAY[1], min_score => 'NaN')$$);
SELECT * FROM try($$SELECT als_recommend_all('implicit', min_score => 'NaN')$$);

SET client_min_messages = error;
DROP SCHEMA lists CASCADE;
