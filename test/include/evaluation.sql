\set ECHO none
-- What als_evaluate says with one k, of the model or of another column, as a row
CREATE TYPE evaluation AS (
    users bigint, pairs bigint, relevant bigint, unknown_users bigint, unknown_items bigint, unknown_pairs bigint, users_served float8, rmse float8, mae float8, k integer,
    "precision" float8, recall float8, recall_capped float8, map float8, ndcg float8, mrr float8, hit_rate float8, auc float8,
    novelty float8, diversity float8, coverage float8, gini float8, entropy float8
);
CREATE FUNCTION evaluation(
    model regclass, test text, user_column text DEFAULT 'user_id', item_column text DEFAULT 'item_id', rating_column text DEFAULT 'rating', k bigint DEFAULT 10,
    training text DEFAULT NULL, exclude_seen boolean DEFAULT true, relevant_from double precision DEFAULT NULL, workers integer DEFAULT NULL, of text DEFAULT 'value'
) RETURNS evaluation LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT jsonb_populate_record(NULL::evaluation, jsonb_object_agg(e.metric, to_jsonb(e)->of) || jsonb_build_object('k', max(e.k)))
            FROM als_evaluate(model, test, user_column, item_column, rating_column, k, training, exclude_seen, relevant_from, workers) e);
END $$;
\set ECHO all
