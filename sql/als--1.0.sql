/* als--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION als" to load this file. \quit

-- A model is a table of this type, with a row per training run.  The newest
-- row is the model that serves.
CREATE TYPE als_model AS (
    run             integer,
    trained_at      timestamptz,
    source          text,
    user_column     text,
    item_column     text,
    rating_column   text,
    feedback        text,
    factors         integer,
    regularization  double precision,
    regularization_scaling double precision,
    regularization_by text,
    alpha           double precision,
    nonnegative     boolean,
    biases          boolean,
    iterations      integer,
    solver          text,
    cg_steps        integer,
    tolerance       double precision,
    validation      text,
    validation_fraction double precision,
    validation_seed bigint,
    validation_metric text,
    validation_k    integer,
    patience        integer,
    seed            bigint,
    warm_start      boolean,
    workers         integer,
    users           bigint,
    items           bigint,
    ratings         bigint,
    mean_rating     double precision,
    loss            double precision,
    losses          double precision[],
    validation_curve double precision[],
    best_iteration  integer,
    seconds         double precision,
    user_factors    regclass,
    item_factors    regclass
);
COMMENT ON TYPE als_model IS 'a training run of an als model; a model is a table OF als_model';
COMMENT ON COLUMN als_model.run IS 'number of the training run, from 1';
COMMENT ON COLUMN als_model.trained_at IS 'start of the transaction that trained';
COMMENT ON COLUMN als_model.source IS 'relation or query that was read; null if trained by als_train_agg, or from temporary tables';
COMMENT ON COLUMN als_model.regularization_scaling IS 'exponent with which regularization grows with what a row has rated';
COMMENT ON COLUMN als_model.regularization_by IS 'what regularization_scaling is the exponent of: a row''s confidence, or its number of ratings';
COMMENT ON COLUMN als_model.nonnegative IS 'factors are not below zero; then solver and cg_steps are null';
COMMENT ON COLUMN als_model.biases IS 'scores have the mean rating and biases of user and item in them; null if implicit';
COMMENT ON COLUMN als_model.iterations IS 'iterations asked for; losses has one element per iteration done';
COMMENT ON COLUMN als_model.workers IS 'parallel workers that took part beside the leader';
COMMENT ON COLUMN als_model.ratings IS 'pairs of user and item, duplicates merged';
COMMENT ON COLUMN als_model.mean_rating IS 'mean of the ratings, part of every explicit prediction, 0 without biases; null if implicit';
COMMENT ON COLUMN als_model.loss IS 'the objective of the factors that are kept';
COMMENT ON COLUMN als_model.losses IS 'the objective after each iteration';
COMMENT ON COLUMN als_model.validation IS 'relation or query that was validated on; null if it was set aside from the ratings';
COMMENT ON COLUMN als_model.validation_fraction IS 'share of the ratings that was set aside: als_holdout(user_id, item_id, validation_fraction, validation_seed)';
COMMENT ON COLUMN als_model.validation_metric IS 'what validation_curve is, a column of als_evaluation; null without validation';
COMMENT ON COLUMN als_model.validation_curve IS 'validation_metric after each iteration';
COMMENT ON COLUMN als_model.best_iteration IS 'the iteration whose factors are kept: the best by validation_curve, without one the last';
COMMENT ON COLUMN als_model.seconds IS 'time from the first row read to the last one written';
COMMENT ON COLUMN als_model.user_factors IS 'table with the factors of users';
COMMENT ON COLUMN als_model.item_factors IS 'table with the factors of items';

-- All names are qualified, and all operators take exactly these types: nothing
-- that others may have created before can take their place.
CREATE VIEW als_models AS
    SELECT c.oid::pg_catalog.regclass AS model,
           n.nspname AS schema,
           c.relname AS name,
           pg_catalog.pg_get_userbyid(c.relowner) AS owner,
           pg_catalog.obj_description(c.oid, 'pg_class'::pg_catalog.name) AS description
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE c.reloftype OPERATOR(pg_catalog.=) 'als_model'::pg_catalog.regtype::pg_catalog.oid
      AND c.relkind OPERATOR(pg_catalog.=) 'r'::pg_catalog."char";
COMMENT ON VIEW als_models IS 'all models of the database';
GRANT SELECT ON als_models TO PUBLIC;

--
-- Training
--

CREATE FUNCTION als_train(
    model           text,
    ratings         text,
    user_column     text DEFAULT 'user_id',
    item_column     text DEFAULT 'item_id',
    rating_column   text DEFAULT 'rating',
    feedback        text DEFAULT 'implicit',
    factors         integer DEFAULT 100,
    regularization  double precision DEFAULT NULL,
    regularization_scaling double precision DEFAULT NULL,
    regularization_by text DEFAULT 'confidence',
    alpha           double precision DEFAULT NULL,
    nonnegative     boolean DEFAULT false,
    biases          boolean DEFAULT true,
    iterations      integer DEFAULT 15,
    solver          text DEFAULT 'cg',
    cg_steps        integer DEFAULT 3,
    tolerance       double precision DEFAULT 0,
    validation      text DEFAULT NULL,
    validation_fraction double precision DEFAULT NULL,
    validation_metric text DEFAULT NULL,
    validation_k    integer DEFAULT 10,
    patience        integer DEFAULT NULL,
    seed            bigint DEFAULT 42,
    workers         integer DEFAULT NULL,
    warm_start      boolean DEFAULT false,
    verbose         boolean DEFAULT false
) RETURNS als_model
AS 'MODULE_PATHNAME', 'als_train'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION als_train(text, text, text, text, text, text, integer, double precision, double precision, text, double precision, boolean, boolean, integer, text, integer, double precision, text, double precision, text, integer, integer, bigint, integer, boolean, boolean)
IS 'trains a recommender from a relation or query, as a new model or in place of an old one';

CREATE FUNCTION als_import(
    model           text,
    users           text,
    items           text,
    ratings         text DEFAULT NULL,
    user_column     text DEFAULT 'user_id',
    item_column     text DEFAULT 'item_id',
    rating_column   text DEFAULT 'rating',
    feedback        text DEFAULT 'implicit',
    regularization  double precision DEFAULT NULL,
    regularization_scaling double precision DEFAULT NULL,
    regularization_by text DEFAULT 'confidence',
    alpha           double precision DEFAULT NULL,
    nonnegative     boolean DEFAULT false,
    biases          boolean DEFAULT true,
    mean_rating     double precision DEFAULT NULL
) RETURNS als_model
AS 'MODULE_PATHNAME', 'als_import'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION als_import(text, text, text, text, text, text, text, text, double precision, double precision, text, double precision, boolean, boolean, double precision)
IS 'makes a model, or a new run of one, from factors that another program has trained';

CREATE FUNCTION als_tune(
    model           text,
    ratings         text,
    grid            jsonb,
    trials          integer DEFAULT NULL,
    refit           boolean DEFAULT false,
    user_column     text DEFAULT 'user_id',
    item_column     text DEFAULT 'item_id',
    rating_column   text DEFAULT 'rating',
    feedback        text DEFAULT 'implicit',
    biases          boolean DEFAULT true,
    validation      text DEFAULT NULL,
    validation_fraction double precision DEFAULT NULL,
    validation_metric text DEFAULT NULL,
    validation_k    integer DEFAULT 10,
    patience        integer DEFAULT NULL,
    seed            bigint DEFAULT 42,
    workers         integer DEFAULT NULL,
    verbose         boolean DEFAULT false
) RETURNS TABLE (
    rank            integer,
    trial           integer,
    parameters      jsonb,
    metric          double precision,
    best_iteration  integer,
    iterations      integer,
    loss            double precision,
    seconds         double precision,
    error           text
)
AS 'MODULE_PATHNAME', 'als_tune'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 10;
COMMENT ON FUNCTION als_tune(text, text, jsonb, integer, boolean, text, text, text, text, boolean, text, double precision, text, integer, integer, bigint, integer, boolean)
IS 'trains with every combination of the parameters in a grid, keeps the best model and returns the trials, best first';

CREATE FUNCTION als_collect_transfn(internal, bigint, "any", "any", "any")
RETURNS internal
AS 'MODULE_PATHNAME', 'als_collect_transfn'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION als_collect_transfn(internal, bigint, "any", "any", "any")
IS 'aggregate transition function of als_collect';

CREATE FUNCTION als_collect_combinefn(internal, internal)
RETURNS internal
AS 'MODULE_PATHNAME', 'als_collect_combinefn'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION als_collect_combinefn(internal, internal)
IS 'aggregate combine function of als_collect';

CREATE FUNCTION als_collect_serialfn(internal)
RETURNS bytea
AS 'MODULE_PATHNAME', 'als_collect_serialfn'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION als_collect_serialfn(internal)
IS 'aggregate serialization function of als_collect';

CREATE FUNCTION als_collect_deserialfn(bytea, internal)
RETURNS internal
AS 'MODULE_PATHNAME', 'als_collect_deserialfn'
LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION als_collect_deserialfn(bytea, internal)
IS 'aggregate deserialization function of als_collect';

CREATE FUNCTION als_collect_finalfn(internal)
RETURNS void
AS 'MODULE_PATHNAME', 'als_collect_finalfn'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION als_collect_finalfn(internal)
IS 'aggregate final function of als_collect';

CREATE AGGREGATE als_collect(key bigint, user_id "any", item_id "any", rating "any") (
    SFUNC = als_collect_transfn,
    STYPE = internal,
    FINALFUNC = als_collect_finalfn,
    COMBINEFUNC = als_collect_combinefn,
    SERIALFUNC = als_collect_serialfn,
    DESERIALFUNC = als_collect_deserialfn,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE als_collect(bigint, "any", "any", "any")
IS 'takes the ratings that als reads, in each process of a parallel plan; for the extension''s own queries';

CREATE FUNCTION als_train_agg_transfn(internal, text, "any", "any", double precision, jsonb)
RETURNS internal
AS 'MODULE_PATHNAME', 'als_train_agg_transfn'
LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION als_train_agg_transfn(internal, text, "any", "any", double precision, jsonb)
IS 'aggregate transition function of als_train_agg';

CREATE FUNCTION als_train_agg_finalfn(internal)
RETURNS als_model
AS 'MODULE_PATHNAME', 'als_train_agg_finalfn'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION als_train_agg_finalfn(internal)
IS 'aggregate final function of als_train_agg';

CREATE AGGREGATE als_train_agg(model text, user_id "any", item_id "any", rating double precision, options jsonb) (
    SFUNC = als_train_agg_transfn,
    STYPE = internal,
    SSPACE = 16777216,
    FINALFUNC = als_train_agg_finalfn,
    FINALFUNC_MODIFY = READ_WRITE,
    PARALLEL = UNSAFE
);
COMMENT ON AGGREGATE als_train_agg(text, "any", "any", double precision, jsonb)
IS 'trains a recommender from the rows of a query; options has the names of als_train''s parameters';

CREATE FUNCTION als_changed()
RETURNS trigger
AS 'MODULE_PATHNAME', 'als_changed'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION als_changed()
IS 'trigger on a model''s tables: makes all sessions forget what they keep of the model';

--
-- Watching
--

CREATE FUNCTION als_training_progress(
    OUT pid         integer,
    OUT datid       oid,
    OUT usesysid    oid,
    OUT model       text,
    OUT phase       text,
    OUT trial       integer,
    OUT trials      integer,
    OUT iteration   integer,
    OUT iterations  integer,
    OUT loss        double precision,
    OUT ratings_read bigint,
    OUT rows_solved bigint,
    OUT rows_total  bigint,
    OUT done        double precision,
    OUT elapsed     interval,
    OUT remaining   interval
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'als_training_progress'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 100 ROWS 10;
COMMENT ON FUNCTION als_training_progress()
IS 'trainings that are running; see the view als_progress';

CREATE VIEW als_progress AS
    SELECT p.pid, d.datname, pg_catalog.pg_get_userbyid(p.usesysid) AS usename,
           p.model, p.phase, p.trial, p.trials, p.iteration, p.iterations, p.loss,
           p.ratings_read, p.rows_solved, p.rows_total, p.done, p.elapsed, p.remaining
    FROM als_training_progress() p
    LEFT JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) p.datid;
COMMENT ON VIEW als_progress IS 'trainings that are running, and how far they are';
GRANT SELECT ON als_progress TO PUBLIC;

CREATE FUNCTION als_convergence(
    training        als_model,
    width           integer DEFAULT 40
) RETURNS TABLE (iteration integer, loss double precision, loss_bar text, metric double precision, metric_bar text)
AS 'MODULE_PATHNAME', 'als_convergence'
LANGUAGE C IMMUTABLE PARALLEL SAFE COST 100 ROWS 15;
COMMENT ON FUNCTION als_convergence(als_model, integer)
IS 'the losses of a training, on a logarithmic scale, and what validation has measured, as bars of text';

--
-- Serving
--
-- An id is anycompatible: of whatever type, and text for a parameter or literal
-- without one.  All that is anycompatible in a call becomes one type, so the other
-- one of two ids, and an id beside exclude and candidates, is "any", and once more
-- text, which is what PostgreSQL takes a parameter or literal without a type for
-- where a function has both.  exclude and candidates are of one type, that of an
-- array.  A result that is polymorphic allows no such argument to be left out.
-- There, and for users and items, an array is "any" and once more text; the text
-- form leaves the arguments before it no defaults, so that a call that gives none
-- of them fits one function alone.
--

CREATE FUNCTION als_predict(
    model           regclass,
    user_id         "any",
    item_id         anycompatible
) RETURNS real
AS 'MODULE_PATHNAME', 'als_predict'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 10;
COMMENT ON FUNCTION als_predict(regclass, "any", anycompatible)
IS 'score of an item for a user, or the rating if the model is explicit; null for unknown ids';

CREATE FUNCTION als_predict(
    model           regclass,
    user_id         text,
    item_id         anycompatible
) RETURNS real
AS 'MODULE_PATHNAME', 'als_predict'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 10;
COMMENT ON FUNCTION als_predict(regclass, text, anycompatible)
IS 'score of an item for a user, or the rating if the model is explicit; null for unknown ids';

CREATE FUNCTION als_recommend(
    model           regclass,
    user_id         "any",
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    cold_start      text DEFAULT 'none'
) RETURNS TABLE (item_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_recommend'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend(regclass, "any", bigint, boolean, anycompatible, anycompatible, text)
IS 'the k best items for a user, best first; als_recommend_as for ids that are not integers';

CREATE FUNCTION als_recommend(
    model           regclass,
    user_id         text,
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    cold_start      text DEFAULT 'none'
) RETURNS TABLE (item_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_recommend'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend(regclass, text, bigint, boolean, anycompatible, anycompatible, text)
IS 'the k best items for a user, best first; als_recommend_as for ids that are not integers';

CREATE FUNCTION als_recommend_as(
    item_type       anyelement,
    model           regclass,
    user_id         anycompatible,
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         "any" DEFAULT NULL::bigint[],
    candidates      "any" DEFAULT NULL::bigint[],
    cold_start      text DEFAULT 'none'
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_as(anyelement, regclass, anycompatible, bigint, boolean, "any", "any", text)
IS 'the k best items for a user, best first, with item ids of the given type: als_recommend_as(NULL::text, ...)';

CREATE FUNCTION als_recommend_as(
    item_type       anyelement,
    model           regclass,
    user_id         anycompatible,
    k               bigint,
    exclude_seen    boolean,
    exclude         text,
    candidates      "any" DEFAULT NULL::bigint[],
    cold_start      text DEFAULT 'none'
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_as(anyelement, regclass, anycompatible, bigint, boolean, text, "any", text)
IS 'the k best items for a user, best first, with item ids of the given type: als_recommend_as(NULL::text, ...)';

--
-- Measuring
--

CREATE FUNCTION als_holdout(
    user_id         "any",
    item_id         anycompatible,
    fraction        double precision,
    seed            bigint DEFAULT 0
) RETURNS boolean
AS 'MODULE_PATHNAME', 'als_holdout'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION als_holdout("any", anycompatible, double precision, bigint)
IS 'is this pair one of the given share that is held out for testing? The same everywhere and always';

CREATE FUNCTION als_holdout(
    user_id         text,
    item_id         anycompatible,
    fraction        double precision,
    seed            bigint DEFAULT 0
) RETURNS boolean
AS 'MODULE_PATHNAME', 'als_holdout'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION als_holdout(text, anycompatible, double precision, bigint)
IS 'is this pair one of the given share that is held out for testing? The same everywhere and always';

CREATE TYPE als_evaluation AS (
    users           bigint,
    pairs           bigint,
    relevant        bigint,
    unknown_users   bigint,
    unknown_items   bigint,
    unknown_pairs   bigint,
    rmse            double precision,
    mae             double precision,
    k               integer,
    precision       double precision,
    recall          double precision,
    recall_capped   double precision,
    map             double precision,
    ndcg            double precision,
    mrr             double precision,
    hit_rate        double precision,
    auc             double precision,
    coverage        double precision
);
COMMENT ON TYPE als_evaluation IS 'how good a model is on a test set; see als_evaluate';
COMMENT ON COLUMN als_evaluation.users IS 'users that the ranking is averaged over: known, with a relevant item';
COMMENT ON COLUMN als_evaluation.pairs IS 'pairs of the test set whose user and item the model knows';
COMMENT ON COLUMN als_evaluation.relevant IS 'those of them that are relevant';
COMMENT ON COLUMN als_evaluation.unknown_users IS 'users of the test set that the model does not know';
COMMENT ON COLUMN als_evaluation.unknown_items IS 'items of the test set that the model does not know';
COMMENT ON COLUMN als_evaluation.unknown_pairs IS 'pairs left out since user or item are not known';
COMMENT ON COLUMN als_evaluation.rmse IS 'root mean squared error over the pairs';
COMMENT ON COLUMN als_evaluation.mae IS 'mean absolute error over the pairs';
COMMENT ON COLUMN als_evaluation.precision IS 'relevant items in the top k, divided by k';
COMMENT ON COLUMN als_evaluation.recall IS 'relevant items in the top k, divided by all relevant items of the user';
COMMENT ON COLUMN als_evaluation.recall_capped IS 'relevant items in the top k, divided by as many as could be there';
COMMENT ON COLUMN als_evaluation.map IS 'mean average precision at k';
COMMENT ON COLUMN als_evaluation.ndcg IS 'normalized discounted cumulative gain at k';
COMMENT ON COLUMN als_evaluation.mrr IS 'mean reciprocal rank of the first relevant item, wherever it is';
COMMENT ON COLUMN als_evaluation.hit_rate IS 'share of users with a relevant item in the top k';
COMMENT ON COLUMN als_evaluation.auc IS 'mean share of pairs of a relevant and another item that are in order';
COMMENT ON COLUMN als_evaluation.coverage IS 'share of all items that are in the top k of one of the users';

CREATE FUNCTION als_evaluate(
    model           regclass,
    test            text,
    user_column     text DEFAULT 'user_id',
    item_column     text DEFAULT 'item_id',
    rating_column   text DEFAULT 'rating',
    k               bigint DEFAULT 10,
    training        text DEFAULT NULL,
    exclude_seen    boolean DEFAULT true,
    relevant_from   double precision DEFAULT NULL,
    workers         integer DEFAULT NULL
) RETURNS als_evaluation
AS 'MODULE_PATHNAME', 'als_evaluate'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION als_evaluate(regclass, text, text, text, text, bigint, text, boolean, double precision, integer)
IS 'measures how good a model is on a relation or query of test ratings';

CREATE FUNCTION als_evaluate_users(
    model           regclass,
    test            text,
    user_column     text DEFAULT 'user_id',
    item_column     text DEFAULT 'item_id',
    rating_column   text DEFAULT 'rating',
    k               bigint DEFAULT 10,
    training        text DEFAULT NULL,
    exclude_seen    boolean DEFAULT true,
    relevant_from   double precision DEFAULT NULL,
    workers         integer DEFAULT NULL
) RETURNS TABLE (
    user_id         bigint,
    pairs           bigint,
    relevant        bigint,
    rmse            double precision,
    mae             double precision,
    "precision"     double precision,
    recall          double precision,
    recall_capped   double precision,
    average_precision double precision,
    ndcg            double precision,
    reciprocal_rank double precision,
    hit             boolean,
    auc             double precision
)
AS 'MODULE_PATHNAME', 'als_evaluate_users'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 1000;
COMMENT ON FUNCTION als_evaluate_users(regclass, text, text, text, text, bigint, text, boolean, double precision, integer)
IS 'what als_evaluate averages, for each user; als_evaluate_users_as for ids that are not integers';

CREATE FUNCTION als_evaluate_users_as(
    user_type       anyelement,
    model           regclass,
    test            text,
    user_column     text DEFAULT 'user_id',
    item_column     text DEFAULT 'item_id',
    rating_column   text DEFAULT 'rating',
    k               bigint DEFAULT 10,
    training        text DEFAULT NULL,
    exclude_seen    boolean DEFAULT true,
    relevant_from   double precision DEFAULT NULL,
    workers         integer DEFAULT NULL
) RETURNS TABLE (
    user_id         anyelement,
    pairs           bigint,
    relevant        bigint,
    rmse            double precision,
    mae             double precision,
    "precision"     double precision,
    recall          double precision,
    recall_capped   double precision,
    average_precision double precision,
    ndcg            double precision,
    reciprocal_rank double precision,
    hit             boolean,
    auc             double precision
)
AS 'MODULE_PATHNAME', 'als_evaluate_users_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 1000;
COMMENT ON FUNCTION als_evaluate_users_as(anyelement, regclass, text, text, text, text, bigint, text, boolean, double precision, integer)
IS 'what als_evaluate averages, for each user, with ids of the given type: als_evaluate_users_as(NULL::text, ...)';

--
-- Neighbours and explanations
--

CREATE FUNCTION als_similar_items(
    model           regclass,
    item_id         anycompatible,
    k               bigint DEFAULT 10,
    metric          text DEFAULT 'cosine'
) RETURNS TABLE (item_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_similar_items'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_similar_items(regclass, anycompatible, bigint, text)
IS 'the k items most similar to one, most similar first; als_similar_items_as for ids that are not integers';

CREATE FUNCTION als_similar_items_as(
    item_type       anyelement,
    model           regclass,
    item_id         anycompatible,
    k               bigint DEFAULT 10,
    metric          text DEFAULT 'cosine'
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_similar_items_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_similar_items_as(anyelement, regclass, anycompatible, bigint, text)
IS 'the k items most similar to one, most similar first; with ids of the given type: als_similar_items_as(NULL::text, ...)';

CREATE FUNCTION als_similar_users(
    model           regclass,
    user_id         anycompatible,
    k               bigint DEFAULT 10,
    metric          text DEFAULT 'cosine'
) RETURNS TABLE (user_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_similar_users'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_similar_users(regclass, anycompatible, bigint, text)
IS 'the k users most similar to one, most similar first; als_similar_users_as for ids that are not integers';

CREATE FUNCTION als_similar_users_as(
    user_type       anyelement,
    model           regclass,
    user_id         anycompatible,
    k               bigint DEFAULT 10,
    metric          text DEFAULT 'cosine'
) RETURNS TABLE (user_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_similar_users_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_similar_users_as(anyelement, regclass, anycompatible, bigint, text)
IS 'the k users most similar to one, most similar first; with ids of the given type: als_similar_users_as(NULL::text, ...)';

CREATE FUNCTION als_explain(
    model           regclass,
    user_id         "any",
    item_id         anycompatible,
    k               bigint DEFAULT 10
) RETURNS TABLE (item_id bigint, contribution real)
AS 'MODULE_PATHNAME', 'als_explain'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION als_explain(regclass, "any", anycompatible, bigint)
IS 'what a user''s ratings contribute to the score of an item, most first; als_explain_as for ids that are not integers';

CREATE FUNCTION als_explain(
    model           regclass,
    user_id         text,
    item_id         anycompatible,
    k               bigint DEFAULT 10
) RETURNS TABLE (item_id bigint, contribution real)
AS 'MODULE_PATHNAME', 'als_explain'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION als_explain(regclass, text, anycompatible, bigint)
IS 'what a user''s ratings contribute to the score of an item, most first; als_explain_as for ids that are not integers';

CREATE FUNCTION als_explain_as(
    item_type       anyelement,
    model           regclass,
    user_id         "any",
    item_id         anycompatible,
    k               bigint DEFAULT 10
) RETURNS TABLE (item_id anyelement, contribution real)
AS 'MODULE_PATHNAME', 'als_explain_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION als_explain_as(anyelement, regclass, "any", anycompatible, bigint)
IS 'what a user''s ratings contribute to the score of an item, most first; with ids of the given type: als_explain_as(NULL::text, ...)';

CREATE FUNCTION als_explain_as(
    item_type       anyelement,
    model           regclass,
    user_id         text,
    item_id         anycompatible,
    k               bigint DEFAULT 10
) RETURNS TABLE (item_id anyelement, contribution real)
AS 'MODULE_PATHNAME', 'als_explain_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION als_explain_as(anyelement, regclass, text, anycompatible, bigint)
IS 'what a user''s ratings contribute to the score of an item, most first; with ids of the given type: als_explain_as(NULL::text, ...)';

CREATE FUNCTION als_recommend_for(
    model           regclass,
    items           "any",
    ratings         double precision[] DEFAULT NULL,
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL
) RETURNS TABLE (item_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_recommend_for'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_for(regclass, "any", double precision[], bigint, boolean, anycompatible, anycompatible)
IS 'the k best items for somebody who has these items, best first; als_recommend_for_as for ids that are not integers';

CREATE FUNCTION als_recommend_for(
    model           regclass,
    items           text,
    ratings         double precision[] DEFAULT NULL,
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL
) RETURNS TABLE (item_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_recommend_for'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_for(regclass, text, double precision[], bigint, boolean, anycompatible, anycompatible)
IS 'the k best items for somebody who has these items, best first; als_recommend_for_as for ids that are not integers';

CREATE FUNCTION als_recommend_for_as(
    item_type       anyelement,
    model           regclass,
    items           "any",
    ratings         double precision[] DEFAULT NULL,
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         "any" DEFAULT NULL::bigint[],
    candidates      "any" DEFAULT NULL::bigint[]
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_for_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_for_as(anyelement, regclass, "any", double precision[], bigint, boolean, "any", "any")
IS 'the k best items for somebody who has these items, with item ids of the given type: als_recommend_for_as(NULL::text, ...)';

CREATE FUNCTION als_recommend_for_as(
    item_type       anyelement,
    model           regclass,
    items           text,
    ratings         double precision[] DEFAULT NULL,
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         "any" DEFAULT NULL::bigint[],
    candidates      "any" DEFAULT NULL::bigint[]
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_for_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_for_as(anyelement, regclass, text, double precision[], bigint, boolean, "any", "any")
IS 'the k best items for somebody who has these items, with item ids of the given type: als_recommend_for_as(NULL::text, ...)';

CREATE FUNCTION als_recommend_for_as(
    item_type       anyelement,
    model           regclass,
    items           "any",
    ratings         double precision[],
    k               bigint,
    exclude_seen    boolean,
    exclude         text,
    candidates      "any" DEFAULT NULL::bigint[]
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_for_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_for_as(anyelement, regclass, "any", double precision[], bigint, boolean, text, "any")
IS 'the k best items for somebody who has these items, with item ids of the given type: als_recommend_for_as(NULL::text, ...)';

CREATE FUNCTION als_recommend_for_as(
    item_type       anyelement,
    model           regclass,
    items           text,
    ratings         double precision[],
    k               bigint,
    exclude_seen    boolean,
    exclude         text,
    candidates      "any" DEFAULT NULL::bigint[]
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_for_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_for_as(anyelement, regclass, text, double precision[], bigint, boolean, text, "any")
IS 'the k best items for somebody who has these items, with item ids of the given type: als_recommend_for_as(NULL::text, ...)';

--
-- Everyone at once
--

CREATE FUNCTION als_recommend_all(
    model           regclass,
    k               bigint DEFAULT 10,
    users           "any" DEFAULT NULL::bigint[],
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    workers         integer DEFAULT NULL
) RETURNS TABLE (user_id bigint, item_id bigint, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_recommend_all'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_recommend_all(regclass, bigint, "any", boolean, anycompatible, anycompatible, integer)
IS 'the k best items for all users, or for those of an array; als_recommend_all_as for ids that are not integers';

CREATE FUNCTION als_recommend_all(
    model           regclass,
    k               bigint,
    users           text,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    workers         integer DEFAULT NULL
) RETURNS TABLE (user_id bigint, item_id bigint, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_recommend_all'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_recommend_all(regclass, bigint, text, boolean, anycompatible, anycompatible, integer)
IS 'the k best items for all users, or for those of an array; als_recommend_all_as for ids that are not integers';

CREATE FUNCTION als_recommend_all_as(
    user_type       anyelement,
    item_type       anycompatible,
    model           regclass,
    k               bigint DEFAULT 10,
    users           "any" DEFAULT NULL::bigint[],
    exclude_seen    boolean DEFAULT true,
    exclude         "any" DEFAULT NULL::bigint[],
    candidates      "any" DEFAULT NULL::bigint[],
    workers         integer DEFAULT NULL
) RETURNS TABLE (user_id anyelement, item_id anycompatible, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_recommend_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_recommend_all_as(anyelement, anycompatible, regclass, bigint, "any", boolean, "any", "any", integer)
IS 'the k best items for all users, with ids of the given types: als_recommend_all_as(NULL::text, NULL::uuid, ...)';

CREATE FUNCTION als_recommend_all_as(
    user_type       anyelement,
    item_type       anycompatible,
    model           regclass,
    k               bigint,
    users           text,
    exclude_seen    boolean DEFAULT true,
    exclude         "any" DEFAULT NULL::bigint[],
    candidates      "any" DEFAULT NULL::bigint[],
    workers         integer DEFAULT NULL
) RETURNS TABLE (user_id anyelement, item_id anycompatible, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_recommend_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_recommend_all_as(anyelement, anycompatible, regclass, bigint, text, boolean, "any", "any", integer)
IS 'the k best items for all users, with ids of the given types: als_recommend_all_as(NULL::text, NULL::uuid, ...)';

CREATE FUNCTION als_recommend_all_as(
    user_type       anyelement,
    item_type       anycompatible,
    model           regclass,
    k               bigint,
    users           "any",
    exclude_seen    boolean,
    exclude         text,
    candidates      "any" DEFAULT NULL::bigint[],
    workers         integer DEFAULT NULL
) RETURNS TABLE (user_id anyelement, item_id anycompatible, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_recommend_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_recommend_all_as(anyelement, anycompatible, regclass, bigint, "any", boolean, text, "any", integer)
IS 'the k best items for all users, with ids of the given types: als_recommend_all_as(NULL::text, NULL::uuid, ...)';

CREATE FUNCTION als_recommend_all_as(
    user_type       anyelement,
    item_type       anycompatible,
    model           regclass,
    k               bigint,
    users           text,
    exclude_seen    boolean,
    exclude         text,
    candidates      "any" DEFAULT NULL::bigint[],
    workers         integer DEFAULT NULL
) RETURNS TABLE (user_id anyelement, item_id anycompatible, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_recommend_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_recommend_all_as(anyelement, anycompatible, regclass, bigint, text, boolean, text, "any", integer)
IS 'the k best items for all users, with ids of the given types: als_recommend_all_as(NULL::text, NULL::uuid, ...)';

--
-- New and changed users and items
--

CREATE FUNCTION als_fold_in(
    model           regclass,
    items           "any",
    ratings         double precision[] DEFAULT NULL
) RETURNS real[]
AS 'MODULE_PATHNAME', 'als_fold_in'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000;
COMMENT ON FUNCTION als_fold_in(regclass, "any", double precision[])
IS 'factors of somebody who has these items, and the bias behind them if the model is explicit; null if no item is known';

CREATE FUNCTION als_fold_in(
    model           regclass,
    items           text,
    ratings         double precision[] DEFAULT NULL
) RETURNS real[]
AS 'MODULE_PATHNAME', 'als_fold_in'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000;
COMMENT ON FUNCTION als_fold_in(regclass, text, double precision[])
IS 'factors of somebody who has these items, and the bias behind them if the model is explicit; null if no item is known';

CREATE FUNCTION als_refresh_user(model regclass, user_id anycompatible)
RETURNS boolean
AS 'MODULE_PATHNAME', 'als_refresh_user'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION als_refresh_user(regclass, anycompatible)
IS 'solves a user anew from all his ratings of now, and stores that; whether the model knows him after it';

CREATE FUNCTION als_refresh_item(model regclass, item_id anycompatible)
RETURNS boolean
AS 'MODULE_PATHNAME', 'als_refresh_item'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION als_refresh_item(regclass, anycompatible)
IS 'solves an item anew from all its ratings of now, and stores that; whether the model knows it after it';

--
-- Training where the ratings are
--

CREATE TYPE als_solution AS (
    factors         real[],
    loss            double precision,
    penalty         double precision
);
COMMENT ON TYPE als_solution IS 'a user or item as als_solve has solved it';
COMMENT ON COLUMN als_solution.factors IS 'its factors, and the bias behind them if the model is explicit';
COMMENT ON COLUMN als_solution.loss IS 'its part of the objective, its own regularization included';
COMMENT ON COLUMN als_solution.penalty IS 'its regularization alone';

CREATE FUNCTION als_solve_transfn(internal, "any", double precision, jsonb)
RETURNS internal
AS 'MODULE_PATHNAME', 'als_solve_transfn'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION als_solve_transfn(internal, "any", double precision, jsonb)
IS 'aggregate transition function of als_solve';

CREATE FUNCTION als_solve_finalfn(internal)
RETURNS als_solution
AS 'MODULE_PATHNAME', 'als_solve_finalfn'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000;
COMMENT ON FUNCTION als_solve_finalfn(internal)
IS 'aggregate final function of als_solve';

CREATE AGGREGATE als_solve(other_id "any", rating double precision, options jsonb) (
    SFUNC = als_solve_transfn,
    STYPE = internal,
    SSPACE = 1024,
    FINALFUNC = als_solve_finalfn,
    FINALFUNC_MODIFY = READ_WRITE,
    PARALLEL = RESTRICTED
);
COMMENT ON AGGREGATE als_solve("any", double precision, jsonb)
IS 'solves a user or item from its ratings, as half an iteration of a training does';

CREATE FUNCTION als_starting_factors(item_id "any", factors integer, seed bigint DEFAULT 42)
RETURNS real[]
AS 'MODULE_PATHNAME', 'als_starting_factors'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION als_starting_factors("any", integer, bigint)
IS 'factors of an item to start a training from';
