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
    event_column    text,
    event_weights   jsonb,
    time_column     text,
    half_life       interval,
    reference_time  timestamptz,
    weight_column   text,
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
COMMENT ON COLUMN als_model.event_weights IS 'what a rating is multiplied by, by the event in event_column';
COMMENT ON COLUMN als_model.half_life IS 'the age, by time_column, at which a rating counts half';
COMMENT ON COLUMN als_model.reference_time IS 'the time at which ages are taken; what is later counts in full';
COMMENT ON COLUMN als_model.weight_column IS 'column with how sure a rating is, which then only says whether the item is liked';
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
COMMENT ON COLUMN als_model.validation_metric IS 'what validation_curve is, a metric of als_evaluate; null without validation';
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
    event_column    text DEFAULT NULL,
    event_weights   jsonb DEFAULT NULL,
    time_column     text DEFAULT NULL,
    half_life       interval DEFAULT NULL,
    reference_time  timestamptz DEFAULT NULL,
    weight_column   text DEFAULT NULL,
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
COMMENT ON FUNCTION als_train(text, text, text, text, text, text, jsonb, text, interval, timestamptz, text, text, integer, double precision, double precision, text, double precision, boolean, boolean, integer, text, integer, double precision, text, double precision, text, integer, integer, bigint, integer, boolean, boolean)
IS 'trains a recommender from a relation or query, as a new model or in place of an old one';

CREATE FUNCTION als_import(
    model           text,
    users           text,
    items           text,
    ratings         text DEFAULT NULL,
    user_column     text DEFAULT 'user_id',
    item_column     text DEFAULT 'item_id',
    rating_column   text DEFAULT 'rating',
    event_column    text DEFAULT NULL,
    event_weights   jsonb DEFAULT NULL,
    time_column     text DEFAULT NULL,
    half_life       interval DEFAULT NULL,
    reference_time  timestamptz DEFAULT NULL,
    weight_column   text DEFAULT NULL,
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
COMMENT ON FUNCTION als_import(text, text, text, text, text, text, text, text, jsonb, text, interval, timestamptz, text, text, double precision, double precision, text, double precision, boolean, boolean, double precision)
IS 'makes a model, or a new run of one, from factors that another program has trained';

CREATE FUNCTION als_tune(
    model           text,
    ratings         text,
    grid            jsonb DEFAULT NULL,
    trials          integer DEFAULT NULL,
    timeout         interval DEFAULT NULL,
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
    baseline        double precision,
    p_value         double precision,
    best_iteration  integer,
    iterations      integer,
    loss            double precision,
    seconds         double precision,
    remarks         text,
    error           text
)
AS 'MODULE_PATHNAME', 'als_tune'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 60;
COMMENT ON FUNCTION als_tune(text, text, jsonb, integer, interval, boolean, text, text, text, text, boolean, text, double precision, text, integer, integer, bigint, integer, boolean)
IS 'searches parameters, or tries every combination of those in a grid, keeps the best model and returns the trials, best first';

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

CREATE FUNCTION als_reject_value(column_name text, value text, detail text, hint text)
RETURNS double precision
AS 'MODULE_PATHNAME', 'als_reject_value'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION als_reject_value(text, text, text, text)
IS 'raises an error for a value that ratings must not have; for the extension''s own queries';

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

CREATE FUNCTION als_predict(
    model           regclass,
    user_id         "any",
    item_id         anycompatible,
    cold_start      text
) RETURNS real
AS 'MODULE_PATHNAME', 'als_predict'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 10;
COMMENT ON FUNCTION als_predict(regclass, "any", anycompatible, text)
IS 'the same; with cold_start => ''biases'' the mean rating and what biases are known where an id is not';

CREATE FUNCTION als_predict(
    model           regclass,
    user_id         text,
    item_id         anycompatible,
    cold_start      text
) RETURNS real
AS 'MODULE_PATHNAME', 'als_predict'
LANGUAGE C STABLE STRICT PARALLEL RESTRICTED COST 10;
COMMENT ON FUNCTION als_predict(regclass, text, anycompatible, text)
IS 'the same; with cold_start => ''biases'' the mean rating and what biases are known where an id is not';

CREATE FUNCTION als_recommend(
    model           regclass,
    user_id         "any",
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    cold_start      text DEFAULT 'none',
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_recommend'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend(regclass, "any", bigint, boolean, anycompatible, anycompatible, text, double precision)
IS 'the k best items for a user, best first; als_recommend_as for ids that are not integers';

CREATE FUNCTION als_recommend(
    model           regclass,
    user_id         text,
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    cold_start      text DEFAULT 'none',
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_recommend'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend(regclass, text, bigint, boolean, anycompatible, anycompatible, text, double precision)
IS 'the k best items for a user, best first; als_recommend_as for ids that are not integers';

CREATE FUNCTION als_recommend_as(
    item_type       anyelement,
    model           regclass,
    user_id         anycompatible,
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         "any" DEFAULT NULL::bigint[],
    candidates      "any" DEFAULT NULL::bigint[],
    cold_start      text DEFAULT 'none',
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_as(anyelement, regclass, anycompatible, bigint, boolean, "any", "any", text, double precision)
IS 'the k best items for a user, best first, with item ids of the given type: als_recommend_as(NULL::text, ...)';

CREATE FUNCTION als_recommend_as(
    item_type       anyelement,
    model           regclass,
    user_id         anycompatible,
    k               bigint,
    exclude_seen    boolean,
    exclude         text,
    candidates      "any" DEFAULT NULL::bigint[],
    cold_start      text DEFAULT 'none',
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_as(anyelement, regclass, anycompatible, bigint, boolean, text, "any", text, double precision)
IS 'the k best items for a user, best first, with item ids of the given type: als_recommend_as(NULL::text, ...)';

CREATE FUNCTION als_audience(
    model           regclass,
    item_id         "any",
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (user_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_audience'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_audience(regclass, "any", bigint, boolean, anycompatible, anycompatible, double precision)
IS 'the k best users for an item, best first; als_audience_as for ids that are not integers';

CREATE FUNCTION als_audience(
    model           regclass,
    item_id         text,
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (user_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_audience'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_audience(regclass, text, bigint, boolean, anycompatible, anycompatible, double precision)
IS 'the k best users for an item, best first; als_audience_as for ids that are not integers';

CREATE FUNCTION als_audience_as(
    user_type       anyelement,
    model           regclass,
    item_id         anycompatible,
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         "any" DEFAULT NULL::bigint[],
    candidates      "any" DEFAULT NULL::bigint[],
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (user_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_audience_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_audience_as(anyelement, regclass, anycompatible, bigint, boolean, "any", "any", double precision)
IS 'the k best users for an item, best first, with user ids of the given type: als_audience_as(NULL::text, ...)';

CREATE FUNCTION als_audience_as(
    user_type       anyelement,
    model           regclass,
    item_id         anycompatible,
    k               bigint,
    exclude_seen    boolean,
    exclude         text,
    candidates      "any" DEFAULT NULL::bigint[],
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (user_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_audience_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_audience_as(anyelement, regclass, anycompatible, bigint, boolean, text, "any", double precision)
IS 'the k best users for an item, best first, with user ids of the given type: als_audience_as(NULL::text, ...)';

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
    metric          text,
    k               integer,
    value           double precision,
    standard_error  double precision,
    popularity      double precision,
    mean            double precision,
    biases          double precision
);
COMMENT ON TYPE als_evaluation IS 'one figure of how good a model is on a test set; see als_evaluate';
COMMENT ON COLUMN als_evaluation.metric IS 'what is counted or measured';
COMMENT ON COLUMN als_evaluation.k IS 'over so many recommendations; null where it is not over some';
COMMENT ON COLUMN als_evaluation.value IS 'what the model has';
COMMENT ON COLUMN als_evaluation.standard_error IS 'by how much chance in who is in the test set moves it; null where it is no mean over users';
COMMENT ON COLUMN als_evaluation.popularity IS 'what a ranking by popularity has on the same users; null for counts and errors, and without training ratings';
COMMENT ON COLUMN als_evaluation.mean IS 'the error of the mean rating as prediction for all; null but for explicit feedback with biases';
COMMENT ON COLUMN als_evaluation.biases IS 'the error of mean and biases without factors; null but for explicit feedback with biases';

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
    workers         integer DEFAULT NULL,
    more_k          bigint[] DEFAULT NULL,
    cold_start      text DEFAULT 'none'
) RETURNS SETOF als_evaluation
AS 'MODULE_PATHNAME', 'als_evaluate'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 22;
COMMENT ON FUNCTION als_evaluate(regclass, text, text, text, text, bigint, text, boolean, double precision, integer, bigint[], text)
IS 'measures how good a model is on a relation or query of test ratings, beside a ranking by popularity';

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

CREATE TYPE als_comparison AS (
    metric          text,
    k               integer,
    users           bigint,
    value           double precision,
    other           double precision,
    difference      double precision,
    standard_error  double precision,
    lower           double precision,
    upper           double precision
);
COMMENT ON TYPE als_comparison IS 'one figure of two models on the same users; see als_compare';
COMMENT ON COLUMN als_comparison.metric IS 'what is measured, as als_evaluate defines it';
COMMENT ON COLUMN als_comparison.k IS 'over so many recommendations; null where it is not over some';
COMMENT ON COLUMN als_comparison.users IS 'users on whom both models are measured';
COMMENT ON COLUMN als_comparison.value IS 'what the model has on them';
COMMENT ON COLUMN als_comparison.other IS 'what the other model has on them';
COMMENT ON COLUMN als_comparison.difference IS 'value minus other';
COMMENT ON COLUMN als_comparison.standard_error IS 'by how much chance in who is in the test set moves the difference';
COMMENT ON COLUMN als_comparison.lower IS 'lower end of the interval of the given confidence around the difference';
COMMENT ON COLUMN als_comparison.upper IS 'its upper end; the models differ by more than chance if 0 is outside';

CREATE FUNCTION als_compare(
    model           regclass,
    other           regclass,
    test            text,
    user_column     text DEFAULT 'user_id',
    item_column     text DEFAULT 'item_id',
    rating_column   text DEFAULT 'rating',
    k               bigint DEFAULT 10,
    training        text DEFAULT NULL,
    exclude_seen    boolean DEFAULT true,
    relevant_from   double precision DEFAULT NULL,
    workers         integer DEFAULT NULL,
    confidence      double precision DEFAULT 0.95
) RETURNS SETOF als_comparison
AS 'MODULE_PATHNAME', 'als_compare'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 10;
COMMENT ON FUNCTION als_compare(regclass, regclass, text, text, text, text, bigint, text, boolean, double precision, integer, double precision)
IS 'measures two models on the same users: by how much the first is better, and whether that is more than chance';

--
-- Neighbours and explanations
--

CREATE FUNCTION als_similar_items(
    model           regclass,
    item_id         anycompatible,
    k               bigint DEFAULT 10,
    metric          text DEFAULT 'cosine',
    exclude         "any" DEFAULT NULL::bigint[],
    candidates      "any" DEFAULT NULL::bigint[],
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_similar_items'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_similar_items(regclass, anycompatible, bigint, text, "any", "any", double precision)
IS 'the k items most similar to one, most similar first; als_similar_items_as for ids that are not integers';

CREATE FUNCTION als_similar_items(
    model           regclass,
    item_id         anycompatible,
    k               bigint,
    metric          text,
    exclude         text,
    candidates      "any" DEFAULT NULL::bigint[],
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_similar_items'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_similar_items(regclass, anycompatible, bigint, text, text, "any", double precision)
IS 'the k items most similar to one, most similar first; als_similar_items_as for ids that are not integers';

CREATE FUNCTION als_similar_items_as(
    item_type       anyelement,
    model           regclass,
    item_id         anycompatible,
    k               bigint DEFAULT 10,
    metric          text DEFAULT 'cosine',
    exclude         "any" DEFAULT NULL::bigint[],
    candidates      "any" DEFAULT NULL::bigint[],
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_similar_items_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_similar_items_as(anyelement, regclass, anycompatible, bigint, text, "any", "any", double precision)
IS 'the k items most similar to one, most similar first; with ids of the given type: als_similar_items_as(NULL::text, ...)';

CREATE FUNCTION als_similar_items_as(
    item_type       anyelement,
    model           regclass,
    item_id         anycompatible,
    k               bigint,
    metric          text,
    exclude         text,
    candidates      "any" DEFAULT NULL::bigint[],
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_similar_items_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_similar_items_as(anyelement, regclass, anycompatible, bigint, text, text, "any", double precision)
IS 'the k items most similar to one, most similar first; with ids of the given type: als_similar_items_as(NULL::text, ...)';

CREATE FUNCTION als_similar_users(
    model           regclass,
    user_id         anycompatible,
    k               bigint DEFAULT 10,
    metric          text DEFAULT 'cosine',
    exclude         "any" DEFAULT NULL::bigint[],
    candidates      "any" DEFAULT NULL::bigint[],
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (user_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_similar_users'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_similar_users(regclass, anycompatible, bigint, text, "any", "any", double precision)
IS 'the k users most similar to one, most similar first; als_similar_users_as for ids that are not integers';

CREATE FUNCTION als_similar_users(
    model           regclass,
    user_id         anycompatible,
    k               bigint,
    metric          text,
    exclude         text,
    candidates      "any" DEFAULT NULL::bigint[],
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (user_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_similar_users'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_similar_users(regclass, anycompatible, bigint, text, text, "any", double precision)
IS 'the k users most similar to one, most similar first; als_similar_users_as for ids that are not integers';

CREATE FUNCTION als_similar_users_as(
    user_type       anyelement,
    model           regclass,
    user_id         anycompatible,
    k               bigint DEFAULT 10,
    metric          text DEFAULT 'cosine',
    exclude         "any" DEFAULT NULL::bigint[],
    candidates      "any" DEFAULT NULL::bigint[],
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (user_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_similar_users_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_similar_users_as(anyelement, regclass, anycompatible, bigint, text, "any", "any", double precision)
IS 'the k users most similar to one, most similar first; with ids of the given type: als_similar_users_as(NULL::text, ...)';

CREATE FUNCTION als_similar_users_as(
    user_type       anyelement,
    model           regclass,
    user_id         anycompatible,
    k               bigint,
    metric          text,
    exclude         text,
    candidates      "any" DEFAULT NULL::bigint[],
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (user_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_similar_users_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_similar_users_as(anyelement, regclass, anycompatible, bigint, text, text, "any", double precision)
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
    candidates      anycompatible DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_recommend_for'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_for(regclass, "any", double precision[], bigint, boolean, anycompatible, anycompatible, double precision)
IS 'the k best items for somebody who has these items, best first; als_recommend_for_as for ids that are not integers';

CREATE FUNCTION als_recommend_for(
    model           regclass,
    items           text,
    ratings         double precision[] DEFAULT NULL,
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_recommend_for'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_for(regclass, text, double precision[], bigint, boolean, anycompatible, anycompatible, double precision)
IS 'the k best items for somebody who has these items, best first; als_recommend_for_as for ids that are not integers';

CREATE FUNCTION als_recommend_for_as(
    item_type       anyelement,
    model           regclass,
    items           "any",
    ratings         double precision[] DEFAULT NULL,
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         "any" DEFAULT NULL::bigint[],
    candidates      "any" DEFAULT NULL::bigint[],
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_for_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_for_as(anyelement, regclass, "any", double precision[], bigint, boolean, "any", "any", double precision)
IS 'the k best items for somebody who has these items, with item ids of the given type: als_recommend_for_as(NULL::text, ...)';

CREATE FUNCTION als_recommend_for_as(
    item_type       anyelement,
    model           regclass,
    items           text,
    ratings         double precision[] DEFAULT NULL,
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         "any" DEFAULT NULL::bigint[],
    candidates      "any" DEFAULT NULL::bigint[],
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_for_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_for_as(anyelement, regclass, text, double precision[], bigint, boolean, "any", "any", double precision)
IS 'the k best items for somebody who has these items, with item ids of the given type: als_recommend_for_as(NULL::text, ...)';

CREATE FUNCTION als_recommend_for_as(
    item_type       anyelement,
    model           regclass,
    items           "any",
    ratings         double precision[],
    k               bigint,
    exclude_seen    boolean,
    exclude         text,
    candidates      "any" DEFAULT NULL::bigint[],
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_for_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_for_as(anyelement, regclass, "any", double precision[], bigint, boolean, text, "any", double precision)
IS 'the k best items for somebody who has these items, with item ids of the given type: als_recommend_for_as(NULL::text, ...)';

CREATE FUNCTION als_recommend_for_as(
    item_type       anyelement,
    model           regclass,
    items           text,
    ratings         double precision[],
    k               bigint,
    exclude_seen    boolean,
    exclude         text,
    candidates      "any" DEFAULT NULL::bigint[],
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_for_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_for_as(anyelement, regclass, text, double precision[], bigint, boolean, text, "any", double precision)
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
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (user_id bigint, item_id bigint, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_recommend_all'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_recommend_all(regclass, bigint, "any", boolean, anycompatible, anycompatible, integer, double precision)
IS 'the k best items for all users, or for those of an array; als_recommend_all_as for ids that are not integers';

CREATE FUNCTION als_recommend_all(
    model           regclass,
    k               bigint,
    users           text,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (user_id bigint, item_id bigint, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_recommend_all'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_recommend_all(regclass, bigint, text, boolean, anycompatible, anycompatible, integer, double precision)
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
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (user_id anyelement, item_id anycompatible, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_recommend_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_recommend_all_as(anyelement, anycompatible, regclass, bigint, "any", boolean, "any", "any", integer, double precision)
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
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (user_id anyelement, item_id anycompatible, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_recommend_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_recommend_all_as(anyelement, anycompatible, regclass, bigint, text, boolean, "any", "any", integer, double precision)
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
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (user_id anyelement, item_id anycompatible, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_recommend_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_recommend_all_as(anyelement, anycompatible, regclass, bigint, "any", boolean, text, "any", integer, double precision)
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
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (user_id anyelement, item_id anycompatible, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_recommend_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_recommend_all_as(anyelement, anycompatible, regclass, bigint, text, boolean, text, "any", integer, double precision)
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
    ratings         bigint,
    loss            double precision,
    penalty         double precision
);
COMMENT ON TYPE als_solution IS 'a user or item as als_solve has solved it';
COMMENT ON COLUMN als_solution.factors IS 'its factors, and the bias behind them if the model is explicit';
COMMENT ON COLUMN als_solution.ratings IS 'its ratings of what the model knows, duplicates merged';
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

-- Only sends statements: what is computed is als_solve, by whatever server has the
-- ratings.  Names that the caller gives are looked up along his search_path; all
-- others, of types in DECLARE too, are pg_catalog's or have their schema.  als_import
-- gets all of its arguments with their types, so that no other of its name fits better.
CREATE FUNCTION als_train_sharded(
    model           text,
    ratings         regclass,
    user_column     text DEFAULT 'user_id',
    item_column     text DEFAULT 'item_id',
    rating_column   text DEFAULT 'rating',
    factors         integer DEFAULT 100,
    regularization  double precision DEFAULT 0.01,
    regularization_scaling double precision DEFAULT NULL,
    regularization_by text DEFAULT 'confidence',
    alpha           double precision DEFAULT 40,
    iterations      integer DEFAULT 15,
    seed            bigint DEFAULT 42,
    verbose         boolean DEFAULT false
) RETURNS als_model
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 1000000
SET enable_partitionwise_aggregate = on
SET cpu_operator_cost = 0       -- to solve a row is as much work here as anywhere
SET DateStyle = 'ISO'           -- of ids that other sessions read
AS $$
DECLARE
    path pg_catalog.text := pg_catalog.current_setting('search_path');
    started pg_catalog.timestamptz := pg_catalog.clock_timestamp();
    target pg_catalog.text[] := pg_catalog.parse_ident(model);
    existing pg_catalog.regclass := pg_catalog.to_regclass(model);
    creation pg_catalog.name := pg_catalog.current_schema();
    als pg_catalog.name;                   -- the schemas of the extensions
    dblink pg_catalog.name;
    servers pg_catalog.name[];
    databases pg_catalog.text[];           -- which ones they are: this one, and the servers'
    connection pg_catalog.text;            -- of dblink
    -- what tells a database from all others, copies of it included
    identity pg_catalog.text := 'SELECT concat_ws(''/'', system_identifier, extract(epoch FROM pg_postmaster_start_time()), oid) AS database'
        ' FROM pg_control_system(), pg_database WHERE datname = current_database()';
    -- the last that is sent to a server may have to wait for long
    clean pg_catalog.text := 'SELECT set_config(name, ''0'', false) FROM pg_settings WHERE name IN (''lock_timeout'', ''statement_timeout'','
        ' ''transaction_timeout'', ''client_connection_check_interval''); DROP SCHEMA IF EXISTS %I CASCADE';
    leave pg_catalog.text := 'SELECT %1$I.dblink_send_query(c, $1), %1$I.dblink_disconnect(c)'
        ' FROM unnest(%1$I.dblink_get_connections()) c WHERE starts_with(c, ''als_sharded_'')';
    types pg_catalog.text[] := '{}';       -- of the ids of users and items
    examples pg_catalog.text[];            -- one id of each
    work pg_catalog.name;                  -- schema of what is made meanwhile, here and on all servers
    comment pg_catalog.text;
    import pg_catalog.text;                -- statements, or parts of them
    copy pg_catalog.text;
    start pg_catalog.text;
    setup pg_catalog.text[];
    step pg_catalog.text;
    citus boolean := false;                -- Citus distributes the ratings, not postgres_fdw
    -- by Citus, as one statement: of several it tells the first one's error alone
    sent pg_catalog.text := 'SELECT * FROM run_command_on_%s(format(''DO %%%%L'','
        ' format(''BEGIN SET LOCAL search_path = pg_catalog, pg_temp; %%%%s; END'', %%L))) WHERE NOT success';
    here pg_catalog.text := pg_catalog.format(sent, 'coordinator');
    everywhere pg_catalog.text := pg_catalog.format(sent, 'all_nodes');
    messages pg_catalog.text := pg_catalog.current_setting('client_min_messages');
    users pg_catalog.text;                 -- the half-iterations, as queries
    items pg_catalog.text;
    publish pg_catalog.text[] := '{"",""}'; -- statements that give servers the factors of a side
    steps pg_catalog.text[];               -- of an iteration
    objective pg_catalog.text;             -- query of the loss
    plan pg_catalog.jsonb;
    loss pg_catalog.float8;
    losses pg_catalog.float8[] := '{}';
    known bigint;                          -- ratings, duplicates merged
    trained pg_catalog.record;
    r pg_catalog.record;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    SELECT nspname INTO als FROM pg_extension e JOIN pg_namespace s ON s.oid = e.extnamespace WHERE extname = 'als';
    SELECT nspname INTO dblink FROM pg_extension e JOIN pg_namespace s ON s.oid = e.extnamespace WHERE extname = 'dblink';

    -- what was asked for
    FOR r IN SELECT * FROM (VALUES ('model', model), ('ratings', ratings::text), ('user_column', user_column), ('item_column', item_column),
        ('factors', factors::text), ('regularization', regularization::text), ('alpha', alpha::text), ('iterations', iterations::text),
        ('seed', seed::text)) v(name, value) WHERE value IS NULL LOOP
        RAISE EXCEPTION '% must not be null', r.name USING ERRCODE = 'null_value_not_allowed';
    END LOOP;
    FOR r IN SELECT * FROM (VALUES ('factors', factors, 1024), ('iterations', iterations, 100000)) v(name, value, most)
        WHERE value NOT BETWEEN 1 AND most LOOP
        RAISE EXCEPTION '% must not be %', r.name, r.value
            USING ERRCODE = 'invalid_parameter_value', HINT = format('It is a whole number between 1 and %s.', r.most);
    END LOOP;
    FOREACH step IN ARRAY ARRAY[user_column, item_column, rating_column] LOOP
        SELECT format_type(atttypid, atttypmod) || coalesce((SELECT format(' COLLATE %I.%I', nspname, collname)
            FROM pg_collation c JOIN pg_namespace s ON s.oid = collnamespace
            WHERE c.oid = attcollation AND collname <> 'default'), '') AS type,
            (SELECT typcategory FROM pg_type t WHERE t.oid = atttypid) AS category
        INTO r FROM pg_attribute WHERE attrelid = ratings AND attname = step AND attnum > 0 AND NOT attisdropped;
        IF NOT FOUND AND step IS NOT NULL THEN
            RAISE EXCEPTION 'column "%" does not exist in the ratings', step
                USING ERRCODE = 'undefined_column', HINT = 'Name it with user_column, item_column or rating_column.';
        END IF;
        types := types || r.type;
    END LOOP;
    IF r.category <> 'N' THEN
        RAISE EXCEPTION 'rating column "%" is of type %, which is not numeric', rating_column, types[3] USING ERRCODE = 'datatype_mismatch';
    END IF;
    IF array_length(target, 1) = 3 THEN     -- the first is this database: to_regclass has made sure
        target := target[2:3];
    ELSIF array_length(target, 1) = 1 THEN
        target := ARRAY[coalesce((SELECT nspname FROM pg_class c JOIN pg_namespace s ON s.oid = relnamespace WHERE c.oid = existing), creation), target[1]];
    END IF;
    IF target[1] IS NULL THEN
        RAISE EXCEPTION 'no schema has been selected to create in' USING ERRCODE = 'invalid_schema_name';
    END IF;
    IF EXISTS (SELECT FROM pg_class c WHERE c.oid = existing AND reloftype <> format('%I.als_model', als)::regtype) THEN
        RAISE EXCEPTION '"%" is not an als model', existing USING ERRCODE = 'wrong_object_type', HINT = 'Choose another name for the model.';
    END IF;

    -- where the ratings are
    IF to_regclass('pg_dist_partition') IS NOT NULL THEN
        SELECT column_to_column_name(logicalrelid, partkey) AS key INTO r FROM pg_dist_partition WHERE logicalrelid = ratings AND partmethod = 'h';
        citus := FOUND;
    END IF;
    IF citus THEN
        IF r.key <> user_column THEN
            RAISE EXCEPTION 'table "%" is not distributed by column "%"', ratings, user_column
                USING ERRCODE = 'wrong_object_type', DETAIL = 'All ratings of a user have to be on one server.';
        END IF;
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            RAISE EXCEPTION 'als_train_sharded with Citus needs isolation level READ COMMITTED' USING ERRCODE = 'invalid_transaction_state',
                DETAIL = 'It reads what its own statements on the nodes have committed.';
        END IF;
        PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);    -- for DROP SCHEMA
    ELSIF NOT EXISTS (SELECT FROM pg_class WHERE oid = ratings AND relkind = 'p') THEN
        RAISE EXCEPTION 'the ratings of "%" are not on several servers', ratings
            USING ERRCODE = 'wrong_object_type', DETAIL = 'It is neither a partitioned table nor one that Citus distributes.', HINT = 'Train with als_train.';
    ELSE
        IF EXISTS (SELECT FROM pg_partition_tree(ratings) t JOIN pg_partitioned_table p ON p.partrelid = t.relid
                   WHERE p.partnatts > 1 OR p.partattrs[0] IS DISTINCT FROM
                       (SELECT attnum FROM pg_attribute WHERE attrelid = t.relid AND attname = user_column)) THEN
            RAISE EXCEPTION 'table "%" is not partitioned by column "%"', ratings, user_column
                USING ERRCODE = 'wrong_object_type', DETAIL = 'All ratings of a user have to be on one server.';
        END IF;
        FOR r IN SELECT t.relid FROM pg_partition_tree(ratings) t JOIN pg_class c ON c.oid = t.relid
                 LEFT JOIN pg_foreign_table f ON f.ftrelid = t.relid LEFT JOIN pg_foreign_server s ON s.oid = f.ftserver
                 LEFT JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw LEFT JOIN pg_proc p ON p.oid = w.fdwhandler
                 WHERE relkind <> 'p' AND p.proname IS DISTINCT FROM 'postgres_fdw_handler' LOOP
            RAISE EXCEPTION 'partition "%" is not a foreign table of postgres_fdw', r.relid USING ERRCODE = 'wrong_object_type';
        END LOOP;
        servers := ARRAY(SELECT DISTINCT srvname FROM pg_partition_tree(ratings) t JOIN pg_foreign_table f ON f.ftrelid = t.relid
                         JOIN pg_foreign_server s ON s.oid = f.ftserver ORDER BY srvname);
        IF servers = '{}' THEN
            RAISE EXCEPTION 'there are no ratings to train from' USING ERRCODE = 'no_data_found', DETAIL = 'The table has no partitions.';
        END IF;
        FOR r IN SELECT srvname FROM pg_foreign_server WHERE srvname = ANY (servers) AND NOT EXISTS (SELECT FROM pg_options_to_table(srvoptions)
                 WHERE option_name = 'extensions' AND 'als' = ANY (regexp_split_to_array(option_value, '\s*,\s*'))) LOOP
            RAISE EXCEPTION 'server "%" does not have als among its extensions', r.srvname
                USING ERRCODE = 'object_not_in_prerequisite_state', HINT = format('ALTER SERVER %I OPTIONS (ADD extensions ''als'').', r.srvname);
        END LOOP;
        IF dblink IS NULL THEN
            RAISE EXCEPTION 'als_train_sharded needs the extension dblink' USING ERRCODE = 'object_not_in_prerequisite_state',
                DETAIL = 'It makes tables on the servers with it.', HINT = 'CREATE EXTENSION dblink.';
        END IF;
    END IF;

    -- one training of a model at a time, and one in a transaction: it holds its
    -- tables on the servers until the end
    work := 'als_sharded_' || left(md5(format('%s/%s/%s', (SELECT system_identifier FROM pg_control_system()), current_database(), target)), 16);
    IF EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objsubid = 2 AND granted
               AND classid = (hashtext('als_train_sharded')::bigint & 4294967295)::oid AND objid = (hashtext(work)::bigint & 4294967295)::oid) THEN
        RAISE EXCEPTION 'model "%" has been trained by als_train_sharded in this transaction already', model
            USING ERRCODE = 'object_in_use', HINT = 'Train it in a transaction of its own.';
    END IF;
    comment := format('working tables of als_train_sharded for model %s of database %s', model, current_database());
    PERFORM pg_advisory_xact_lock(hashtext('als_train_sharded'), hashtext(work));

    BEGIN
        EXECUTE format('SELECT ARRAY[%I::text, %I::text] FROM %s WHERE %1$I IS NOT NULL AND %2$I IS NOT NULL LIMIT 1', user_column, item_column, ratings)
            INTO examples;
        IF examples IS NULL THEN
            RAISE EXCEPTION 'there are no ratings to train from'
                USING ERRCODE = 'no_data_found', HINT = 'Check that the relation or query returns rows.';
        END IF;

        -- Each server gets a copy of its share of the ratings by item, and a model to
        -- solve against, whose factors are replaced from half-iteration to
        -- half-iteration.  What an earlier training may have left is dropped.
        import := format('%I.als_import(%L::text, %L::text, %L::text, NULL::text, ''user_id''::text, ''item_id''::text, ''rating''::text,'
            ' NULL::text, NULL::jsonb, NULL::text, NULL::interval, NULL::timestamptz, NULL::text, ''implicit''::text, %L::float8, %L::float8, %L::text, %L::float8, false, true, NULL::float8)', als, work || '.model',
            format('SELECT %L::%s AS user_id, pg_catalog.array_fill(0::real, ARRAY[%s]) AS factors', examples[1], types[1], factors),
            format('SELECT %L::%s AS item_id, pg_catalog.array_fill(0::real, ARRAY[%s]) AS factors', examples[2], types[2], factors),
            regularization, regularization_scaling, regularization_by, alpha);
        copy := format('INSERT INTO %I.by_item SELECT %I, %I, %s FROM %s', work, item_column, user_column, coalesce(quote_ident(rating_column), '1'), ratings);
        start := format('INSERT INTO %1$I.items SELECT item_id, %2$I.als_starting_factors(item_id, %3$s, %4$s) FROM %1$I.by_item GROUP BY item_id', work, als, factors, seed);
        users := format('SELECT id, (s).* FROM (SELECT %I AS id, %I.als_solve(%I, %s, %L) AS s FROM %s GROUP BY 1) t', user_column, als, item_column,
            coalesce(quote_ident(rating_column), '1'), jsonb_build_object('model', work || '.model', 'side', 'users'), ratings);
        items := format('SELECT id, (s).* FROM (SELECT item_id AS id, %I.als_solve(user_id, rating, %L) AS s FROM %I.by_item GROUP BY 1) t',
            als, jsonb_build_object('model', work || '.model', 'side', 'items'), work);
        objective := format('SELECT (SELECT pg_catalog.sum(loss) FROM %1$I.items) OPERATOR(pg_catalog.+) (SELECT pg_catalog.sum(penalty) FROM %1$I.users)', work);
        IF citus THEN
            setup := ARRAY[format(here, format('DROP SCHEMA IF EXISTS %I CASCADE', work)),
                format(here, format('CREATE SCHEMA %1$I; COMMENT ON SCHEMA %1$I IS %2$L; CREATE TABLE %1$I.by_item (item_id %4$s, user_id %3$s, rating real);'
                    'CREATE TABLE %1$I.users (id %3$s, factors real[], ratings bigint, loss float8, penalty float8);'
                    'CREATE TABLE %1$I.items (id %4$s, factors real[], ratings bigint, loss float8, penalty float8);'
                    'PERFORM create_distributed_table(''%1$I.by_item'', ''item_id''), create_reference_table(''%1$I.users''), create_reference_table(''%1$I.items'')',
                    work, comment, types[1], types[2])),
                format(everywhere, 'PERFORM ' || import), format(here, copy), format(here, start)];
            steps := ARRAY[format(everywhere, format('TRUNCATE %1$I.model_items; INSERT INTO %1$I.model_items SELECT id, factors FROM %1$I.items WHERE factors IS NOT NULL', work)),
                format(here, format('TRUNCATE %I.users', work)), format(here, format('INSERT INTO %I.users %s', work, users)),
                format(everywhere, format('TRUNCATE %1$I.model_users; INSERT INTO %1$I.model_users SELECT id, factors FROM %1$I.users WHERE factors IS NOT NULL', work)),
                format(here, format('TRUNCATE %I.items', work)), format(here, format('INSERT INTO %I.items %s', work, items))];
            objective := format('SELECT result::float8 FROM run_command_on_coordinator(%L)', objective);
        ELSE
            EXECUTE format('CREATE SCHEMA %1$I; CREATE TABLE %1$I.by_item (item_id %3$s, user_id %2$s, rating real) PARTITION BY HASH (item_id);'
                'CREATE UNLOGGED TABLE %1$I.users (id %2$s, factors real[], ratings bigint, loss float8, penalty float8);'
                'CREATE UNLOGGED TABLE %1$I.items (id %3$s, factors real[], ratings bigint, loss float8, penalty float8)', work, types[1], types[2]);
            EXECUTE identity INTO r;
            databases[0] := r.database;
            FOR n IN 1 .. cardinality(servers) LOOP
                connection := 'als_sharded_' || n;
                EXECUTE format('SELECT %1$I.dblink_disconnect($1) WHERE $1 = ANY (%1$I.dblink_get_connections())', dblink) USING connection;
                EXECUTE format('SELECT %I.dblink_connect($1, $2)', dblink) USING connection, servers[n]::text;
                EXECUTE format('SELECT %I.dblink_exec($1, $2)', dblink) USING connection,
                    'SET search_path = pg_catalog, pg_temp; SET client_min_messages = error; SET lock_timeout = ''10s'''::text;
                EXECUTE format('SELECT * FROM %I.dblink($1, $2) t(database text, als name)', dblink) INTO r USING connection,
                    format('SELECT (%s), (SELECT nspname FROM pg_extension e JOIN pg_namespace s ON s.oid = e.extnamespace WHERE extname = ''als'')', identity);
                IF r.database = databases[0] THEN
                    RAISE EXCEPTION 'server "%" leads to this database', servers[n]
                        USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Several servers on one machine need a database each.';
                ELSIF r.database = ANY (databases) THEN
                    RAISE EXCEPTION 'servers "%" and "%" lead to the same database', servers[array_position(databases, r.database)], servers[n]
                        USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Several servers on one machine need a database each.';
                ELSIF als IS DISTINCT FROM r.als THEN
                    RAISE EXCEPTION 'server "%" does not have the extension als in schema "%"', servers[n], als
                        USING ERRCODE = 'object_not_in_prerequisite_state', HINT = format('CREATE EXTENSION als SCHEMA %I there.', als);
                END IF;
                databases[n] := r.database;
                EXECUTE format('SELECT %I.dblink_exec($1, $2)', dblink) USING connection, format('DROP SCHEMA IF EXISTS %1$I CASCADE;'
                    'CREATE SCHEMA %1$I; COMMENT ON SCHEMA %1$I IS %2$L; CREATE UNLOGGED TABLE %1$I.ratings (item_id %4$s, user_id %3$s, rating real); DO %5$L',
                    work, comment, types[1], types[2], format('BEGIN PERFORM %s; END', import));
                EXECUTE format('CREATE FOREIGN TABLE %1$I.by_item_%2$s PARTITION OF %1$I.by_item FOR VALUES WITH (MODULUS %3$s, REMAINDER %4$s) SERVER %5$I'
                    ' OPTIONS (schema_name %1$L, table_name ''ratings'', async_capable ''true'', batch_size ''5000'', fetch_size ''1000'');'
                    'CREATE FOREIGN TABLE %1$I.users_%2$s (user_id %6$s, factors real[]) SERVER %5$I OPTIONS (schema_name %1$L, table_name ''model_users'', batch_size ''1000'');'
                    'CREATE FOREIGN TABLE %1$I.items_%2$s (item_id %7$s, factors real[]) SERVER %5$I OPTIONS (schema_name %1$L, table_name ''model_items'', batch_size ''1000'')',
                    work, n, cardinality(servers), n - 1, servers[n], types[1], types[2]);
                FOR side IN 1 .. 2 LOOP
                    publish[side] := publish[side] || format('TRUNCATE %1$I.%2$s_%3$s; INSERT INTO %1$I.%2$s_%3$s SELECT id, factors FROM %1$I.%2$s WHERE factors IS NOT NULL;',
                        work, (ARRAY['users', 'items'])[side], n);
                END LOOP;
            END LOOP;
            FOREACH step IN ARRAY ARRAY[users, items] LOOP
                EXECUTE 'EXPLAIN (FORMAT JSON) ' || step INTO plan;
                IF jsonb_path_exists(plan, '$.**."Node Type" ? (@ == "Aggregate")') THEN
                    RAISE EXCEPTION 'the servers cannot be asked to solve' USING ERRCODE = 'feature_not_supported',
                        DETAIL = 'postgres_fdw does not push the aggregate down.', HINT = 'Types of ids that are not PostgreSQL''s own have to be among the servers'' extensions.';
                END IF;
            END LOOP;
            setup := ARRAY[copy, start];
            steps := ARRAY[publish[2], format('TRUNCATE %1$I.users; INSERT INTO %1$I.users %2$s', work, users),
                publish[1], format('TRUNCATE %1$I.items; INSERT INTO %1$I.items %2$s', work, items)];
        END IF;

        FOR iteration IN 0 .. iterations LOOP
            FOREACH step IN ARRAY CASE iteration WHEN 0 THEN setup ELSE steps END LOOP
                IF NOT citus THEN
                    EXECUTE step;
                    CONTINUE;
                END IF;
                FOR r IN EXECUTE step LOOP
                    RAISE EXCEPTION 'a node of Citus cannot take part in the training' USING ERRCODE = 'external_routine_exception',
                        DETAIL = format('Node %s says: %s', r.nodeid, r.result);
                END LOOP;
            END LOOP;
            CONTINUE WHEN iteration = 0;
            EXECUTE objective INTO loss;
            losses := losses || loss;
            IF "verbose" THEN
                RAISE NOTICE 'iteration % of %: loss %', iteration, iterations, loss;
            END IF;
        END LOOP;
        EXECUTE format('SELECT * FROM %I.als_import($1, $2, $3, $4, $5, $6, $7, NULL::text, NULL::jsonb, NULL::text, NULL::interval, NULL::timestamptz, NULL::text, ''implicit''::text, $8, $9, $10, $11, false, true, NULL::float8)', als)
            INTO trained USING format('%I.%I', target[1], target[2]), format('SELECT id AS user_id, factors FROM %I.users WHERE factors IS NOT NULL', work),
            format('SELECT id AS item_id, factors FROM %I.items WHERE factors IS NOT NULL', work), ratings::text, user_column, item_column, rating_column,
            regularization, regularization_scaling, regularization_by, alpha;
        EXECUTE format('SELECT sum(ratings) FROM %I.users', work) INTO known;
        EXECUTE format('UPDATE %I.%I SET iterations = $1, solver = ''cholesky'', seed = $2, ratings = $3, loss = $4, losses = $5, best_iteration = $1, seconds = $6'
            ' WHERE run = $7 RETURNING *', target[1], target[2])
            INTO trained USING iterations, seed, known, loss, losses, extract(epoch FROM clock_timestamp() - started), trained.run;
        IF citus THEN
            PERFORM set_config('client_min_messages', 'warning', true);
            EXECUTE format('DROP SCHEMA %I CASCADE', work);
            PERFORM set_config('client_min_messages', messages, true);
        ELSE
            EXECUTE format('TRUNCATE %1$I.by_item, %2$s; DROP FOREIGN TABLE %2$s; DROP TABLE %1$I.by_item, %1$I.users, %1$I.items; DROP SCHEMA %1$I', work,
                (SELECT string_agg(format('%1$I.users_%2$s, %1$I.items_%2$s', work, k), ', ') FROM generate_series(1, cardinality(servers)) k));
        END IF;
    EXCEPTION WHEN OTHERS OR query_canceled THEN
        IF citus THEN
            EXECUTE format(here, format('DROP SCHEMA IF EXISTS %I CASCADE', work));
        ELSE
            EXECUTE format(leave, dblink) USING format(clean, work);
        END IF;
        RAISE;
    END;

    -- A server drops its tables when this transaction lets them go, without anybody
    -- waiting for it.
    IF NOT citus THEN
        EXECUTE format(leave, dblink) USING format(clean, work);
    END IF;
    PERFORM set_config('search_path', path, true);
    RETURN trained;
END $$;
COMMENT ON FUNCTION als_train_sharded(text, regclass, text, text, text, integer, double precision, double precision, text, double precision, integer, bigint, boolean)
IS 'trains a recommender where the ratings are: on several servers, which solve their own rows';
