/* als--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION als" to load this file. \quit

-- A model is a table of this type, with a row per training run.  One of them is
-- the model that serves.
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
    user_features   text,
    item_features   text,
    feedback        text,
    factors         integer,
    regularization  double precision,
    regularization_scaling double precision,
    regularization_by text,
    feature_regularization double precision,
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
    new_users       bigint,
    new_items       bigint,
    ratings         bigint,
    mean_rating     double precision,
    loss            double precision,
    losses          double precision[],
    validation_curve double precision[],
    best_iteration  integer,
    seconds         double precision,
    deploy          text,
    compared_with   integer,
    compared_value  double precision,
    compared_other  double precision,
    compared_error  double precision,
    keep            integer,
    serving         boolean,
    user_factors    regclass,
    item_factors    regclass,
    feature_factors regclass
);
COMMENT ON TYPE als_model IS 'a training run of an als model; a model is a table OF als_model';
COMMENT ON COLUMN als_model.run IS 'number of the training run, from 1';
COMMENT ON COLUMN als_model.trained_at IS 'start of the transaction that trained';
COMMENT ON COLUMN als_model.source IS 'relation or query that was read; null if trained by als_train_agg, or from temporary tables';
COMMENT ON COLUMN als_model.event_weights IS 'what a rating is multiplied by, by the event in event_column';
COMMENT ON COLUMN als_model.half_life IS 'the age, by time_column, at which a rating counts half';
COMMENT ON COLUMN als_model.reference_time IS 'the time at which ages are taken; what is later counts in full';
COMMENT ON COLUMN als_model.weight_column IS 'column with how sure a rating is: implicit ones then only say whether the item is liked, explicit ones weigh as much';
COMMENT ON COLUMN als_model.user_features IS 'relation or query of (user, feature[, value]) that was read; null without, or from temporary tables';
COMMENT ON COLUMN als_model.item_features IS 'relation or query of (item, feature[, value]), likewise';
COMMENT ON COLUMN als_model.regularization_scaling IS 'exponent with which regularization grows with what a row has rated';
COMMENT ON COLUMN als_model.regularization_by IS 'what regularization_scaling is the exponent of: a row''s confidence, or its number of ratings';
COMMENT ON COLUMN als_model.feature_regularization IS 'how many rows'' regularization each feature''s factors have; null without features';
COMMENT ON COLUMN als_model.nonnegative IS 'factors are not below zero; then solver and cg_steps are null';
COMMENT ON COLUMN als_model.biases IS 'scores have the mean rating and biases of user and item in them; null if implicit';
COMMENT ON COLUMN als_model.iterations IS 'iterations asked for; losses has one element per iteration done';
COMMENT ON COLUMN als_model.workers IS 'parallel workers that took part beside the leader';
COMMENT ON COLUMN als_model.new_users IS 'users with features and without ratings, in user_factors besides; null without features';
COMMENT ON COLUMN als_model.new_items IS 'items with features and without ratings, in item_factors besides; null without features';
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
COMMENT ON COLUMN als_model.deploy IS 'was the run to serve: always, never, or if_better';
COMMENT ON COLUMN als_model.compared_with IS 'with if_better, the run that served then; null for the first';
COMMENT ON COLUMN als_model.compared_value IS 'validation_metric of this run, on what both know';
COMMENT ON COLUMN als_model.compared_other IS 'the same of compared_with';
COMMENT ON COLUMN als_model.compared_error IS 'standard error of their difference, paired over users';
COMMENT ON COLUMN als_model.keep IS 'how many runs are kept, the serving one included';
COMMENT ON COLUMN als_model.serving IS 'does the model serve this run? True in one row';
COMMENT ON COLUMN als_model.user_factors IS 'table with the factors of users; null if the run is not kept';
COMMENT ON COLUMN als_model.item_factors IS 'table with the factors of items; null if the run is not kept';
COMMENT ON COLUMN als_model.feature_factors IS 'table with the factors of features; null without';

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
    user_features   text DEFAULT NULL,
    item_features   text DEFAULT NULL,
    feedback        text DEFAULT 'implicit',
    factors         integer DEFAULT 100,
    regularization  double precision DEFAULT NULL,
    regularization_scaling double precision DEFAULT NULL,
    regularization_by text DEFAULT 'confidence',
    feature_regularization double precision DEFAULT NULL,
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
    keep            integer DEFAULT NULL,
    deploy          text DEFAULT 'always',
    verbose         boolean DEFAULT false
) RETURNS als_model
AS 'MODULE_PATHNAME', 'als_train'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION als_train(text, text, text, text, text, text, jsonb, text, interval, timestamptz, text, text, text, text, integer, double precision, double precision, text, double precision, double precision, boolean, boolean, integer, text, integer, double precision, text, double precision, text, integer, integer, bigint, integer, boolean, integer, text, boolean)
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

CREATE FUNCTION als_deploy(
    model           regclass,
    run             integer
) RETURNS void
AS 'MODULE_PATHNAME', 'als_deploy'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100000;
COMMENT ON FUNCTION als_deploy(regclass, integer)
IS 'makes a run that is kept serve, and keeps the one that has served';

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
    event_column    text DEFAULT NULL,
    event_weights   jsonb DEFAULT NULL,
    time_column     text DEFAULT NULL,
    half_life       interval DEFAULT NULL,
    reference_time  timestamptz DEFAULT NULL,
    weight_column   text DEFAULT NULL,
    user_features   text DEFAULT NULL,
    item_features   text DEFAULT NULL,
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
COMMENT ON FUNCTION als_tune(text, text, jsonb, integer, interval, boolean, text, text, text, text, jsonb, text, interval, timestamptz, text, text, text, text, boolean, text, double precision, text, integer, integer, bigint, integer, boolean)
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

CREATE FUNCTION als_collect_weighted_transfn(internal, bigint, "any", "any", "any", double precision)
RETURNS internal
AS 'MODULE_PATHNAME', 'als_collect_transfn'
LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION als_collect_weighted_transfn(internal, bigint, "any", "any", "any", double precision)
IS 'aggregate transition function of als_collect_weighted';

CREATE AGGREGATE als_collect_weighted(key bigint, user_id "any", item_id "any", rating "any", weight double precision) (
    SFUNC = als_collect_weighted_transfn,
    STYPE = internal,
    FINALFUNC = als_collect_finalfn,
    COMBINEFUNC = als_collect_combinefn,
    SERIALFUNC = als_collect_serialfn,
    DESERIALFUNC = als_collect_deserialfn,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE als_collect_weighted(bigint, "any", "any", "any", double precision)
IS 'the same with weights of the ratings; for the extension''s own queries';

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

CREATE FUNCTION als_model_stats(
    OUT model       oid,
    OUT calls       bigint,
    OUT rows        bigint,
    OUT fold_ins    bigint,
    OUT unknown_users bigint,
    OUT cache_hits  bigint,
    OUT cache_misses bigint,
    OUT total_time  double precision,
    OUT max_time    double precision,
    OUT since       timestamptz
) RETURNS SETOF record
AS 'MODULE_PATHNAME', 'als_model_stats'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 100 ROWS 10;
COMMENT ON FUNCTION als_model_stats()
IS 'what calls have done with each model; see the view als_stat_models';

CREATE VIEW als_stat_models AS
    SELECT s.model::pg_catalog.regclass AS model, s.calls, s.rows, s.fold_ins, s.unknown_users, s.cache_hits, s.cache_misses,
           s.total_time, s.total_time OPERATOR(pg_catalog./) CASE WHEN s.calls OPERATOR(pg_catalog.<>) 0::bigint THEN s.calls END::double precision AS mean_time, s.max_time, s.since
    FROM als_model_stats() s;
COMMENT ON VIEW als_stat_models IS 'calls of functions that serve, of the models whose owner one is, or of all; times are in milliseconds';
GRANT SELECT ON als_stat_models TO PUBLIC;

CREATE FUNCTION als_stat_reset()
RETURNS void
AS 'MODULE_PATHNAME', 'als_stat_reset'
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED COST 100;
COMMENT ON FUNCTION als_stat_reset()
IS 'sets what als_stat_models shows to zero';
REVOKE EXECUTE ON FUNCTION als_stat_reset() FROM PUBLIC;

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
    item_id         anycompatible,
    cold_start      text DEFAULT 'none',
    run             integer DEFAULT NULL,
    fresh           boolean DEFAULT false
) RETURNS real
AS 'MODULE_PATHNAME', 'als_predict'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10;
COMMENT ON FUNCTION als_predict(regclass, "any", anycompatible, text, integer, boolean)
IS 'score of an item for a user, or the rating if the model is explicit; null for unknown ids';

CREATE FUNCTION als_predict(
    model           regclass,
    user_id         text,
    item_id         anycompatible,
    cold_start      text DEFAULT 'none',
    run             integer DEFAULT NULL,
    fresh           boolean DEFAULT false
) RETURNS real
AS 'MODULE_PATHNAME', 'als_predict'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10;
COMMENT ON FUNCTION als_predict(regclass, text, anycompatible, text, integer, boolean)
IS 'score of an item for a user, or the rating if the model is explicit; null for unknown ids';

CREATE FUNCTION als_recommend(
    model           regclass,
    user_id         "any",
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    cold_start      text DEFAULT 'none',
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum',
    run             integer DEFAULT NULL,
    popular_since   interval DEFAULT NULL,
    fresh           boolean DEFAULT false
) RETURNS TABLE (item_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_recommend'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend(regclass, "any", bigint, boolean, anycompatible, anycompatible, text, double precision, double precision, text, integer, text, text, integer, interval, boolean)
IS 'the k best items for a user, best first; als_recommend_as for ids that are not integers';

CREATE FUNCTION als_recommend(
    model           regclass,
    user_id         text,
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    cold_start      text DEFAULT 'none',
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum',
    run             integer DEFAULT NULL,
    popular_since   interval DEFAULT NULL,
    fresh           boolean DEFAULT false
) RETURNS TABLE (item_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_recommend'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend(regclass, text, bigint, boolean, anycompatible, anycompatible, text, double precision, double precision, text, integer, text, text, integer, interval, boolean)
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
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum',
    run             integer DEFAULT NULL,
    popular_since   interval DEFAULT NULL,
    fresh           boolean DEFAULT false
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_as(anyelement, regclass, anycompatible, bigint, boolean, "any", "any", text, double precision, double precision, text, integer, text, text, integer, interval, boolean)
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
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum',
    run             integer DEFAULT NULL,
    popular_since   interval DEFAULT NULL,
    fresh           boolean DEFAULT false
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_as(anyelement, regclass, anycompatible, bigint, boolean, text, "any", text, double precision, double precision, text, integer, text, text, integer, interval, boolean)
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
    cold_start      text DEFAULT 'none',
    run             integer DEFAULT NULL
) RETURNS SETOF als_evaluation
AS 'MODULE_PATHNAME', 'als_evaluate'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 22;
COMMENT ON FUNCTION als_evaluate(regclass, text, text, text, text, bigint, text, boolean, double precision, integer, bigint[], text, integer)
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
    workers         integer DEFAULT NULL,
    run             integer DEFAULT NULL
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
COMMENT ON FUNCTION als_evaluate_users(regclass, text, text, text, text, bigint, text, boolean, double precision, integer, integer)
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
    workers         integer DEFAULT NULL,
    run             integer DEFAULT NULL
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
COMMENT ON FUNCTION als_evaluate_users_as(anyelement, regclass, text, text, text, text, bigint, text, boolean, double precision, integer, integer)
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
    confidence      double precision DEFAULT 0.95,
    run             integer DEFAULT NULL,
    other_run       integer DEFAULT NULL
) RETURNS SETOF als_comparison
AS 'MODULE_PATHNAME', 'als_compare'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 10;
COMMENT ON FUNCTION als_compare(regclass, regclass, text, text, text, text, bigint, text, boolean, double precision, integer, double precision, integer, integer)
IS 'measures two models, or runs of one, on the same users: by how much the first is better, and whether that is more than chance';

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

CREATE FUNCTION als_explain_features(
    model           regclass,
    user_id         "any",
    item_id         anycompatible
) RETURNS TABLE (side text, feature text, contribution real)
AS 'MODULE_PATHNAME', 'als_explain_features'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION als_explain_features(regclass, "any", anycompatible)
IS 'what the features of a user, and those of an item, contribute to a score';

CREATE FUNCTION als_explain_features(
    model           regclass,
    user_id         text,
    item_id         anycompatible
) RETURNS TABLE (side text, feature text, contribution real)
AS 'MODULE_PATHNAME', 'als_explain_features'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 10;
COMMENT ON FUNCTION als_explain_features(regclass, text, anycompatible)
IS 'what the features of a user, and those of an item, contribute to a score';

CREATE FUNCTION als_feature_effects(
    model           regclass,
    side            text
) RETURNS TABLE (feature text, effect double precision, spread double precision)
AS 'MODULE_PATHNAME', 'als_feature_effects'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 100000 ROWS 100;
COMMENT ON FUNCTION als_feature_effects(regclass, text)
IS 'how much each feature of a side, ''user'' or ''item'', adds to scores: the mean, and how much that differs';

CREATE FUNCTION als_recommend_for(
    model           regclass,
    items           "any",
    ratings         double precision[] DEFAULT NULL,
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum',
    features        jsonb DEFAULT NULL
) RETURNS TABLE (item_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_recommend_for'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_for(regclass, "any", double precision[], bigint, boolean, anycompatible, anycompatible, double precision, double precision, text, integer, text, text, jsonb)
IS 'the k best items for somebody who has these items, best first; als_recommend_for_as for ids that are not integers';

CREATE FUNCTION als_recommend_for(
    model           regclass,
    items           text,
    ratings         double precision[] DEFAULT NULL,
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum',
    features        jsonb DEFAULT NULL
) RETURNS TABLE (item_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_recommend_for'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_for(regclass, text, double precision[], bigint, boolean, anycompatible, anycompatible, double precision, double precision, text, integer, text, text, jsonb)
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
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum',
    features        jsonb DEFAULT NULL
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_for_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_for_as(anyelement, regclass, "any", double precision[], bigint, boolean, "any", "any", double precision, double precision, text, integer, text, text, jsonb)
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
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum',
    features        jsonb DEFAULT NULL
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_for_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_for_as(anyelement, regclass, text, double precision[], bigint, boolean, "any", "any", double precision, double precision, text, integer, text, text, jsonb)
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
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum',
    features        jsonb DEFAULT NULL
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_for_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_for_as(anyelement, regclass, "any", double precision[], bigint, boolean, text, "any", double precision, double precision, text, integer, text, text, jsonb)
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
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum',
    features        jsonb DEFAULT NULL
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_for_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_for_as(anyelement, regclass, text, double precision[], bigint, boolean, text, "any", double precision, double precision, text, integer, text, text, jsonb)
IS 'the k best items for somebody who has these items, with item ids of the given type: als_recommend_for_as(NULL::text, ...)';

CREATE FUNCTION als_recommend_together(
    model           regclass,
    users           "any",
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    by              text DEFAULT 'average',
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum'
) RETURNS TABLE (item_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_recommend_together'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_together(regclass, "any", bigint, boolean, anycompatible, anycompatible, text, double precision, double precision, text, integer, text, text)
IS 'the k best items for several users at once, best first; als_recommend_together_as for ids that are not integers';

CREATE FUNCTION als_recommend_together(
    model           regclass,
    users           text,
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    by              text DEFAULT 'average',
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum'
) RETURNS TABLE (item_id bigint, score real)
AS 'MODULE_PATHNAME', 'als_recommend_together'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_together(regclass, text, bigint, boolean, anycompatible, anycompatible, text, double precision, double precision, text, integer, text, text)
IS 'the k best items for several users at once, best first; als_recommend_together_as for ids that are not integers';

CREATE FUNCTION als_recommend_together_as(
    item_type       anyelement,
    model           regclass,
    users           anycompatible,
    k               bigint DEFAULT 10,
    exclude_seen    boolean DEFAULT true,
    exclude         "any" DEFAULT NULL::bigint[],
    candidates      "any" DEFAULT NULL::bigint[],
    by              text DEFAULT 'average',
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum'
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_together_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_together_as(anyelement, regclass, anycompatible, bigint, boolean, "any", "any", text, double precision, double precision, text, integer, text, text)
IS 'the k best items for several users at once, best first, with item ids of the given type: als_recommend_together_as(NULL::text, ...)';

CREATE FUNCTION als_recommend_together_as(
    item_type       anyelement,
    model           regclass,
    users           anycompatible,
    k               bigint,
    exclude_seen    boolean,
    exclude         text,
    candidates      "any" DEFAULT NULL::bigint[],
    by              text DEFAULT 'average',
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum'
) RETURNS TABLE (item_id anyelement, score real)
AS 'MODULE_PATHNAME', 'als_recommend_together_as'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000 ROWS 10;
COMMENT ON FUNCTION als_recommend_together_as(anyelement, regclass, anycompatible, bigint, boolean, text, "any", text, double precision, double precision, text, integer, text, text)
IS 'the k best items for several users at once, best first, with item ids of the given type: als_recommend_together_as(NULL::text, ...)';

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
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum',
    run             integer DEFAULT NULL
) RETURNS TABLE (user_id bigint, item_id bigint, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_recommend_all'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_recommend_all(regclass, bigint, "any", boolean, anycompatible, anycompatible, integer, double precision, double precision, text, integer, text, text, integer)
IS 'the k best items for all users, or for those of an array; als_recommend_all_as for ids that are not integers';

CREATE FUNCTION als_recommend_all(
    model           regclass,
    k               bigint,
    users           text,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum',
    run             integer DEFAULT NULL
) RETURNS TABLE (user_id bigint, item_id bigint, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_recommend_all'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_recommend_all(regclass, bigint, text, boolean, anycompatible, anycompatible, integer, double precision, double precision, text, integer, text, text, integer)
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
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum',
    run             integer DEFAULT NULL
) RETURNS TABLE (user_id anyelement, item_id anycompatible, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_recommend_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_recommend_all_as(anyelement, anycompatible, regclass, bigint, "any", boolean, "any", "any", integer, double precision, double precision, text, integer, text, text, integer)
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
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum',
    run             integer DEFAULT NULL
) RETURNS TABLE (user_id anyelement, item_id anycompatible, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_recommend_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_recommend_all_as(anyelement, anycompatible, regclass, bigint, text, boolean, "any", "any", integer, double precision, double precision, text, integer, text, text, integer)
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
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum',
    run             integer DEFAULT NULL
) RETURNS TABLE (user_id anyelement, item_id anycompatible, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_recommend_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_recommend_all_as(anyelement, anycompatible, regclass, bigint, "any", boolean, text, "any", integer, double precision, double precision, text, integer, text, text, integer)
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
    min_score       double precision DEFAULT NULL,
    diversity       double precision DEFAULT 0,
    groups          text DEFAULT NULL,
    per_group       integer DEFAULT 1,
    boost           text DEFAULT NULL,
    boost_by        text DEFAULT 'sum',
    run             integer DEFAULT NULL
) RETURNS TABLE (user_id anyelement, item_id anycompatible, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_recommend_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_recommend_all_as(anyelement, anycompatible, regclass, bigint, text, boolean, text, "any", integer, double precision, double precision, text, integer, text, text, integer)
IS 'the k best items for all users, with ids of the given types: als_recommend_all_as(NULL::text, NULL::uuid, ...)';

CREATE FUNCTION als_audience_all(
    model           regclass,
    k               bigint DEFAULT 10,
    items           "any" DEFAULT NULL::bigint[],
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id bigint, user_id bigint, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_audience_all'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_audience_all(regclass, bigint, "any", boolean, anycompatible, anycompatible, integer, double precision)
IS 'the k best users for all items, or for those of an array; als_audience_all_as for ids that are not integers';

CREATE FUNCTION als_audience_all(
    model           regclass,
    k               bigint,
    items           text,
    exclude_seen    boolean DEFAULT true,
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id bigint, user_id bigint, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_audience_all'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_audience_all(regclass, bigint, text, boolean, anycompatible, anycompatible, integer, double precision)
IS 'the k best users for all items, or for those of an array; als_audience_all_as for ids that are not integers';

CREATE FUNCTION als_audience_all_as(
    item_type       anyelement,
    user_type       anycompatible,
    model           regclass,
    k               bigint DEFAULT 10,
    items           "any" DEFAULT NULL::bigint[],
    exclude_seen    boolean DEFAULT true,
    exclude         "any" DEFAULT NULL::bigint[],
    candidates      "any" DEFAULT NULL::bigint[],
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id anyelement, user_id anycompatible, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_audience_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_audience_all_as(anyelement, anycompatible, regclass, bigint, "any", boolean, "any", "any", integer, double precision)
IS 'the k best users for all items, with ids of the given types: als_audience_all_as(NULL::text, NULL::uuid, ...)';

CREATE FUNCTION als_audience_all_as(
    item_type       anyelement,
    user_type       anycompatible,
    model           regclass,
    k               bigint,
    items           text,
    exclude_seen    boolean DEFAULT true,
    exclude         "any" DEFAULT NULL::bigint[],
    candidates      "any" DEFAULT NULL::bigint[],
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id anyelement, user_id anycompatible, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_audience_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_audience_all_as(anyelement, anycompatible, regclass, bigint, text, boolean, "any", "any", integer, double precision)
IS 'the k best users for all items, with ids of the given types: als_audience_all_as(NULL::text, NULL::uuid, ...)';

CREATE FUNCTION als_audience_all_as(
    item_type       anyelement,
    user_type       anycompatible,
    model           regclass,
    k               bigint,
    items           "any",
    exclude_seen    boolean,
    exclude         text,
    candidates      "any" DEFAULT NULL::bigint[],
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id anyelement, user_id anycompatible, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_audience_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_audience_all_as(anyelement, anycompatible, regclass, bigint, "any", boolean, text, "any", integer, double precision)
IS 'the k best users for all items, with ids of the given types: als_audience_all_as(NULL::text, NULL::uuid, ...)';

CREATE FUNCTION als_audience_all_as(
    item_type       anyelement,
    user_type       anycompatible,
    model           regclass,
    k               bigint,
    items           text,
    exclude_seen    boolean,
    exclude         text,
    candidates      "any" DEFAULT NULL::bigint[],
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id anyelement, user_id anycompatible, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_audience_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_audience_all_as(anyelement, anycompatible, regclass, bigint, text, boolean, text, "any", integer, double precision)
IS 'the k best users for all items, with ids of the given types: als_audience_all_as(NULL::text, NULL::uuid, ...)';

CREATE FUNCTION als_similar_items_all(
    model           regclass,
    k               bigint DEFAULT 10,
    items           "any" DEFAULT NULL::bigint[],
    metric          text DEFAULT 'cosine',
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id bigint, similar_id bigint, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_similar_items_all'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_similar_items_all(regclass, bigint, "any", text, anycompatible, anycompatible, integer, double precision)
IS 'the k items most similar to each item, or to those of an array; als_similar_items_all_as for ids that are not integers';

CREATE FUNCTION als_similar_items_all(
    model           regclass,
    k               bigint,
    items           text,
    metric          text DEFAULT 'cosine',
    exclude         anycompatible DEFAULT NULL,
    candidates      anycompatible DEFAULT NULL,
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id bigint, similar_id bigint, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_similar_items_all'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_similar_items_all(regclass, bigint, text, text, anycompatible, anycompatible, integer, double precision)
IS 'the k items most similar to each item, or to those of an array; als_similar_items_all_as for ids that are not integers';

CREATE FUNCTION als_similar_items_all_as(
    item_type       anyelement,
    model           regclass,
    k               bigint DEFAULT 10,
    items           "any" DEFAULT NULL::bigint[],
    metric          text DEFAULT 'cosine',
    exclude         "any" DEFAULT NULL::bigint[],
    candidates      "any" DEFAULT NULL::bigint[],
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id anyelement, similar_id anyelement, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_similar_items_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_similar_items_all_as(anyelement, regclass, bigint, "any", text, "any", "any", integer, double precision)
IS 'the k items most similar to each item, with ids of the given type: als_similar_items_all_as(NULL::text, ...)';

CREATE FUNCTION als_similar_items_all_as(
    item_type       anyelement,
    model           regclass,
    k               bigint,
    items           text,
    metric          text DEFAULT 'cosine',
    exclude         "any" DEFAULT NULL::bigint[],
    candidates      "any" DEFAULT NULL::bigint[],
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id anyelement, similar_id anyelement, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_similar_items_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_similar_items_all_as(anyelement, regclass, bigint, text, text, "any", "any", integer, double precision)
IS 'the k items most similar to each item, with ids of the given type: als_similar_items_all_as(NULL::text, ...)';

CREATE FUNCTION als_similar_items_all_as(
    item_type       anyelement,
    model           regclass,
    k               bigint,
    items           "any",
    metric          text,
    exclude         text,
    candidates      "any" DEFAULT NULL::bigint[],
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id anyelement, similar_id anyelement, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_similar_items_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_similar_items_all_as(anyelement, regclass, bigint, "any", text, text, "any", integer, double precision)
IS 'the k items most similar to each item, with ids of the given type: als_similar_items_all_as(NULL::text, ...)';

CREATE FUNCTION als_similar_items_all_as(
    item_type       anyelement,
    model           regclass,
    k               bigint,
    items           text,
    metric          text,
    exclude         text,
    candidates      "any" DEFAULT NULL::bigint[],
    workers         integer DEFAULT NULL,
    min_score       double precision DEFAULT NULL
) RETURNS TABLE (item_id anyelement, similar_id anyelement, score real, rank integer)
AS 'MODULE_PATHNAME', 'als_similar_items_all_as'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 100000;
COMMENT ON FUNCTION als_similar_items_all_as(anyelement, regclass, bigint, text, text, text, "any", integer, double precision)
IS 'the k items most similar to each item, with ids of the given type: als_similar_items_all_as(NULL::text, ...)';

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

CREATE FUNCTION als_refresh(
    model           regclass,
    users           "any" DEFAULT NULL::bigint[],
    items           anycompatible DEFAULT NULL,
    since           timestamptz DEFAULT NULL,
    time_column     text DEFAULT NULL,
    workers         integer DEFAULT NULL
) RETURNS bigint
AS 'MODULE_PATHNAME', 'als_refresh'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION als_refresh(regclass, "any", anycompatible, timestamptz, text, integer)
IS 'solves many users and items anew from all their ratings of now, by default those in the queue of als_track, and stores that; how many of them the model knows after it';

CREATE FUNCTION als_refresh(
    model           regclass,
    users           text,
    items           anycompatible DEFAULT NULL,
    since           timestamptz DEFAULT NULL,
    time_column     text DEFAULT NULL,
    workers         integer DEFAULT NULL
) RETURNS bigint
AS 'MODULE_PATHNAME', 'als_refresh'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION als_refresh(regclass, text, anycompatible, timestamptz, text, integer)
IS 'solves many users and items anew from all their ratings of now, by default those in the queue of als_track, and stores that; how many of them the model knows after it';

CREATE FUNCTION als_note_change()
RETURNS trigger
AS 'MODULE_PATHNAME', 'als_note_change'
LANGUAGE C VOLATILE;
COMMENT ON FUNCTION als_note_change()
IS 'trigger of als_track on the ratings of a model: adds what changes to the model''s queue';

CREATE FUNCTION als_track(model regclass)
RETURNS regclass
AS 'MODULE_PATHNAME', 'als_track'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION als_track(regclass)
IS 'makes a queue of the ratings that change, for als_refresh to empty; returns its table';

CREATE FUNCTION als_untrack(model regclass)
RETURNS void
AS 'MODULE_PATHNAME', 'als_untrack'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION als_untrack(regclass)
IS 'drops the queue of als_track, and the trigger that fills it';

CREATE FUNCTION als_staleness(
    model           regclass,
    sample          double precision DEFAULT 1,
    time_column     text DEFAULT NULL,
    OUT run         integer,
    OUT age         interval,
    OUT ratings     bigint,
    OUT new_ratings bigint,
    OUT users       bigint,
    OUT unknown_users bigint,
    OUT items       bigint,
    OUT unknown_items bigint,
    OUT drift       double precision
)
AS 'MODULE_PATHNAME', 'als_staleness'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000000;
COMMENT ON FUNCTION als_staleness(regclass, double precision, text)
IS 'how far the ratings have moved on since the model was trained: what it has not seen, whom it does not know, how popularity has drifted';

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

CREATE FUNCTION als_solve_row(other_ids anyarray, ratings real[], options jsonb)
RETURNS als_solution
AS 'MODULE_PATHNAME', 'als_solve_row'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000;
COMMENT ON FUNCTION als_solve_row(anyarray, real[], jsonb)
IS 'solves a user or item from its ratings, which have been grouped before';

CREATE FUNCTION als_starting_factors(item_id "any", factors integer, seed bigint DEFAULT 42)
RETURNS real[]
AS 'MODULE_PATHNAME', 'als_starting_factors'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION als_starting_factors("any", integer, bigint)
IS 'factors of an item to start a training from';

CREATE FUNCTION als_pack_factors_transfn(internal, real[])
RETURNS internal
AS 'MODULE_PATHNAME', 'als_pack_factors_transfn'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION als_pack_factors_transfn(internal, real[])
IS 'aggregate transition function of als_pack_factors';

CREATE FUNCTION als_pack_factors_finalfn(internal)
RETURNS bytea
AS 'MODULE_PATHNAME', 'als_pack_factors_finalfn'
LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION als_pack_factors_finalfn(internal)
IS 'aggregate final function of als_pack_factors';

CREATE AGGREGATE als_pack_factors(factors real[]) (
    SFUNC = als_pack_factors_transfn,
    STYPE = internal,
    FINALFUNC = als_pack_factors_finalfn,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE als_pack_factors(real[])
IS 'the factors of many rows as one value, to be sent to another server';

CREATE FUNCTION als_unpack_factors(packed bytea, factors integer)
RETURNS SETOF real[]
AS 'MODULE_PATHNAME', 'als_unpack_factors'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 1000;
COMMENT ON FUNCTION als_unpack_factors(bytea, integer)
IS 'the rows that als_pack_factors has made one value of';

-- als_train_sharded only sends statements: what is computed is als_solve_row, by whatever
-- server has the ratings.  The functions before it write statements, or check what it is
-- given.  Names that the caller gives are looked up along his search_path; all others are
-- pg_catalog's or have their schema.
CREATE FUNCTION als_sharded_parameters(
    feedback        text,
    factors         integer,
    regularization  double precision,
    regularization_scaling double precision,
    regularization_by text,
    alpha           double precision,
    iterations      integer,
    seed            bigint,
    users           double precision DEFAULT NULL,
    items           double precision DEFAULT NULL,
    ratings         double precision DEFAULT NULL,
    size            double precision DEFAULT NULL,
    deviation       double precision DEFAULT NULL,
    OUT chosen_regularization double precision,
    OUT chosen_scaling double precision,
    OUT chosen_alpha double precision
) RETURNS record
AS 'MODULE_PATHNAME', 'als_sharded_parameters'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION als_sharded_parameters(text, integer, double precision, double precision, text, double precision, integer, bigint, double precision, double precision, double precision, double precision, double precision)
IS 'what als_train_sharded trains with: checks its parameters and chooses those that are null';

-- Locks the model, or creates it; raises for one that cannot have such ids and feedback.
CREATE FUNCTION als_sharded_begin(model text, ratings text, user_column text, item_column text, explicit boolean)
RETURNS als_model
AS 'MODULE_PATHNAME', 'als_sharded_begin'
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION als_sharded_begin(text, text, text, text, boolean)
IS 'part of als_train_sharded: checks or creates the model; returns null';

-- The types of the ids of users and items, and of arrays of them, as columns are
-- defined: {user, users, item, items}; and of arrays without a collation.
CREATE FUNCTION als_sharded_types(ratings regclass, user_column text, item_column text, rating_column text)
RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    types text[] := '{}';
    arrays text[] := '{}';
    r record;
BEGIN
    FOR r IN SELECT name, attname, typcategory, format_type(atttypid, atttypmod) AS type,
             CASE WHEN collname <> 'default' THEN format(' COLLATE %I.%I', nspname, collname) ELSE '' END AS collation
             FROM unnest(ARRAY[user_column, item_column, rating_column]) WITH ORDINALITY c(name, n)
             LEFT JOIN pg_attribute ON attrelid = ratings AND attname = name AND attnum > 0 AND NOT attisdropped
             LEFT JOIN pg_type t ON t.oid = atttypid LEFT JOIN pg_collation l ON l.oid = attcollation
             LEFT JOIN pg_namespace s ON s.oid = collnamespace WHERE name IS NOT NULL ORDER BY n LOOP
        IF r.attname IS NULL THEN
            RAISE EXCEPTION 'column "%" does not exist in the ratings', r.name
                USING ERRCODE = 'undefined_column', HINT = 'Name it with user_column, item_column or rating_column.';
        END IF;
        types := types || (r.type || r.collation) || (r.type || '[]' || r.collation);
        arrays := arrays || (r.type || '[]');
    END LOOP;
    IF rating_column IS NOT NULL AND r.typcategory <> 'N' THEN
        RAISE EXCEPTION 'rating column "%" is of type %, which is not numeric', rating_column, types[5] USING ERRCODE = 'datatype_mismatch';
    END IF;
    RETURN types[1:4] || arrays[1:2];
END $$;
COMMENT ON FUNCTION als_sharded_types(regclass, text, text, text)
IS 'part of als_train_sharded: the types of ids';

-- The servers of postgres_fdw that have the ratings; null if Citus distributes them.
CREATE FUNCTION als_sharded_servers(ratings regclass, user_column text)
RETURNS name[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    servers name[];
    r record;
BEGIN
    IF to_regclass('pg_dist_partition') IS NOT NULL THEN
        SELECT column_to_column_name(logicalrelid, partkey) AS key INTO r FROM pg_dist_partition WHERE logicalrelid = ratings AND partmethod = 'h';
        IF FOUND THEN
            IF r.key <> user_column THEN
                RAISE EXCEPTION 'table "%" is not distributed by column "%"', ratings, user_column
                    USING ERRCODE = 'wrong_object_type', DETAIL = 'All ratings of a user have to be on one server.';
            END IF;
            RETURN NULL;
        END IF;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_class WHERE oid = ratings AND relkind = 'p') THEN
        RAISE EXCEPTION 'the ratings of "%" are not on several servers', ratings
            USING ERRCODE = 'wrong_object_type', DETAIL = 'It is neither a partitioned table nor one that Citus distributes.', HINT = 'Train with als_train.';
    END IF;
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
    RETURN servers;
END $$;
COMMENT ON FUNCTION als_sharded_servers(regclass, text)
IS 'part of als_train_sharded: the servers that have the ratings';

-- What a server of postgres_fdw has of the ratings, as a query that it can be asked:
-- (user_id, item_id, rating) of all its partitions, by the names that they have there.
CREATE FUNCTION als_sharded_source(ratings regclass, server name, user_column text, item_column text, rating_column text)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH partitions AS (
        SELECT relid, nspname, relname, (SELECT option_value FROM pg_options_to_table(ftoptions) WHERE option_name = 'schema_name') AS remote_schema,
               (SELECT option_value FROM pg_options_to_table(ftoptions) WHERE option_name = 'table_name') AS remote_table
        FROM pg_partition_tree(ratings) t JOIN pg_foreign_table f ON ftrelid = relid JOIN pg_foreign_server s ON s.oid = ftserver
        JOIN pg_class c ON c.oid = relid JOIN pg_namespace n ON n.oid = relnamespace WHERE srvname = server),
    columns AS (
        SELECT relid, attname, quote_ident(coalesce((SELECT option_value FROM pg_options_to_table(attfdwoptions) WHERE option_name = 'column_name'), attname)) AS name
        FROM partitions JOIN pg_attribute ON attrelid = relid AND attnum > 0 AND NOT attisdropped)
    SELECT string_agg(format('SELECT %s AS user_id, %s AS item_id, %s AS rating FROM %I.%I',
               (SELECT name FROM columns c WHERE c.relid = p.relid AND attname = user_column),
               (SELECT name FROM columns c WHERE c.relid = p.relid AND attname = item_column),
               coalesce((SELECT name FROM columns c WHERE c.relid = p.relid AND attname = rating_column), '1'),
               coalesce(remote_schema, nspname), coalesce(remote_table, relname)), ' UNION ALL ' ORDER BY relid)
    FROM partitions p
$$;
COMMENT ON FUNCTION als_sharded_source(regclass, name, text, text, text)
IS 'part of als_train_sharded: the query of a server''s ratings';

-- Query that groups ratings, (user_id, item_id, rating), into a row (id, other_ids,
-- ratings) for each user or item, with duplicates merged as als_train does it.
CREATE FUNCTION als_sharded_grouped(side text, source text, feedback text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('SELECT id, array_agg(other_id ORDER BY other_id) AS other_ids, array_agg(rating ORDER BY other_id) AS ratings FROM'
        ' (SELECT %s AS id, %s AS other_id, CASE WHEN count(rating) = count(*) THEN %s(rating::real::float8)::real END AS rating'
        ' FROM (%s) s GROUP BY 1, 2) m GROUP BY id',
        CASE side WHEN 'users' THEN 'user_id' ELSE 'item_id' END, CASE side WHEN 'users' THEN 'item_id' ELSE 'user_id' END,
        CASE feedback WHEN 'explicit' THEN 'avg' ELSE 'sum' END, source)
$$;
COMMENT ON FUNCTION als_sharded_grouped(text, text, text)
IS 'part of als_train_sharded: the query that groups ratings';

-- Query of sums over the grouped ratings: what als_sharded_parameters wants.  squares are
-- those of differences from the mean.
CREATE FUNCTION als_sharded_sums(work name)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('SELECT * FROM (SELECT count(*) AS users FROM %1$I.by_user) u, (SELECT count(*) AS items FROM %1$I.by_item) i,'
        ' (SELECT count(*) AS ratings, count(nullif(rating, 0)) AS nonzero, sum(sqrt(abs(rating))) AS roots, avg(rating) AS mean, var_pop(rating) * count(*) AS squares'
        ' FROM (SELECT unnest(ratings)::float8 AS rating FROM %1$I.by_user) r WHERE rating BETWEEN -3.5e38 AND 3.5e38) r', work)
$$;
COMMENT ON FUNCTION als_sharded_sums(name)
IS 'part of als_train_sharded: the query of sums over the ratings';

-- What is made on a server of postgres_fdw.  Views over functions are how postgres_fdw
-- has servers do something, all at the same time and in its transaction, by being read
-- from: group the ratings that they have, make a model, solve against what they have been
-- sent, empty their tables.  Factors come and go in blocks of rows.
CREATE FUNCTION als_sharded_server(work name, comment text, als name, types text[], by_user text, by_item text, sums text,
                                   explicit boolean, factors integer, seed bigint, import text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- rows of the other side in the order of ids, as ids in arrays are
    solve text := 'TRUNCATE %1$I.model_%3$s;'
        ' INSERT INTO %1$I.model_%3$s SELECT id, %4$s FROM (SELECT unnest(ids) AS id, %2$I.als_unpack_factors(factors, %5$s) AS f FROM %1$I.%3$s) s ORDER BY id;'
        ' SELECT t.* FROM generate_series(0, (SELECT max(block) FROM %1$I.by_%6$s)) b(number),'
        ' LATERAL (SELECT array_agg(id) AS ids, %2$I.als_pack_factors((solved).factors), sum((solved).ratings)::bigint, sum((solved).loss), sum((solved).penalty)'
        ' FROM (SELECT id, %2$I.als_solve_row(other_ids, ratings, %7$L::jsonb) AS solved FROM %1$I.by_%6$s WHERE block = number OFFSET 0) s'
        ' WHERE solved IS NOT NULL) t WHERE ids IS NOT NULL';
    group_ratings text := 'INSERT INTO %1$I.by_%2$s SELECT (row_number() OVER () - 1) / %3$s, g.* FROM (%4$s) g; ANALYZE %1$I.by_%2$s (block)';
    stored text := CASE WHEN explicit THEN format('f[:%s], f[%s]', factors, factors + 1) ELSE 'f' END;
    rank integer := factors + explicit::integer;
    block_rows integer := 65536 / factors + 1;      -- a quarter of a megabyte
    block text := ' (ids %1$s, factors bytea, ratings bigint, loss float8, penalty float8)';
    script text;
    r record;
BEGIN
    script := format('DROP SCHEMA IF EXISTS %1$I CASCADE; CREATE SCHEMA %1$I; COMMENT ON SCHEMA %1$I IS %2$L;'
        ' CREATE UNLOGGED TABLE %1$I.ratings (item_id %5$s, user_id %3$s, rating real);'
        ' CREATE UNLOGGED TABLE %1$I.by_user (block bigint, id %3$s NOT NULL, other_ids %6$s, ratings real[]);'
        ' CREATE UNLOGGED TABLE %1$I.by_item (block bigint, id %5$s NOT NULL, other_ids %4$s, ratings real[]);'
        ' CREATE INDEX ON %1$I.by_user (block); CREATE INDEX ON %1$I.by_item (block);'
        ' CREATE UNLOGGED TABLE %1$I.users (ids %4$s, factors bytea);'
        ' CREATE UNLOGGED TABLE %1$I.items (ids %6$s, factors bytea);'
        -- what is read in each iteration is not worth compressing
        ' ALTER TABLE %1$I.by_user ALTER other_ids SET STORAGE EXTERNAL, ALTER ratings SET STORAGE EXTERNAL;'
        ' ALTER TABLE %1$I.by_item ALTER other_ids SET STORAGE EXTERNAL, ALTER ratings SET STORAGE EXTERNAL;'
        ' ALTER TABLE %1$I.users ALTER factors SET STORAGE EXTERNAL; ALTER TABLE %1$I.items ALTER factors SET STORAGE EXTERNAL;'
        ' CREATE UNLOGGED TABLE %1$I.parameters (user_id %3$s, item_id %5$s, regularization float8, regularization_scaling float8, alpha float8, mean_rating float8);',
        work, comment, types[1], types[2], types[3], types[4]);
    FOR r IN SELECT * FROM (VALUES
        ('staged', ' (users bigint, items bigint, ratings bigint, nonzero bigint, roots float8, mean float8, squares float8)',
         concat_ws('; ', format(group_ratings, work, 'user', block_rows, by_user), format(group_ratings, work, 'item', block_rows, by_item),
                   format('TRUNCATE %I.ratings', work), sums)),
        -- its tables are read whole, and gone when the training is
        ('imported', ' (done boolean)', format('SELECT %2$s; ALTER TABLE %1$I.model_users DROP CONSTRAINT IF EXISTS model_users_pkey, SET UNLOGGED;'
         ' ALTER TABLE %1$I.model_items DROP CONSTRAINT IF EXISTS model_items_pkey, SET UNLOGGED; SELECT true', work, import)),
        ('started', format(block, types[6]), format('SELECT array_agg(id), %2$I.als_pack_factors(%2$I.als_starting_factors(id, %3$s, %4$s)%5$s), 0::bigint, 0::float8, 0::float8'
         ' FROM %1$I.by_item GROUP BY block', work, als, factors, seed, CASE WHEN explicit THEN ' || 0::real' END)),
        ('solved_users', format(block, types[5]), format(solve, work, als, 'items', stored, rank, 'user', jsonb_build_object('model', work || '.model', 'side', 'users'))),
        ('solved_items', format(block, types[6]), format(solve, work, als, 'users', stored, rank, 'item', jsonb_build_object('model', work || '.model', 'side', 'items'))),
        ('emptied', ' (done boolean)', format('TRUNCATE %1$I.ratings, %1$I.by_user, %1$I.by_item, %1$I.users, %1$I.items, %1$I.model_users, %1$I.model_items; SELECT true', work)))
        v(name, result, body) LOOP
        script := script || format('CREATE FUNCTION %1$I.%2$I() RETURNS TABLE%3$s LANGUAGE sql SET search_path = pg_catalog, pg_temp SET jit = off AS %4$L;'
            ' CREATE VIEW %1$I.%2$I AS SELECT * FROM %1$I.%2$I();', work, r.name, r.result, r.body);
    END LOOP;
    RETURN script;
END $$;
COMMENT ON FUNCTION als_sharded_server(name, text, name, text[], text, text, text, boolean, integer, bigint, text)
IS 'part of als_train_sharded: what is made on a server of postgres_fdw';

-- The statements of a training with postgres_fdw: once the servers are set up, the query
-- of sums over the ratings, what is sent when parameters are chosen (in the place of
-- @parameters@), the items' start, an iteration, the query of its loss, that of the factors
-- of a side (a format), and what empties the servers' tables.
CREATE FUNCTION als_sharded_postgres_fdw(work name, als name, types text[], servers name[], examples text[], copy text, rank integer,
                                         OUT setup text[], OUT sums text, OUT prepare text[], OUT start text[], OUT iterate text[],
                                         OUT objective text, OUT solved text, OUT emptied text[])
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    local text := format('CREATE SCHEMA %1$I; CREATE TABLE %1$I.ratings (item_id %4$s, user_id %2$s, rating real) PARTITION BY HASH (item_id);'
        ' CREATE UNLOGGED TABLE %1$I.users (ids %3$s, factors bytea, ratings bigint, loss float8, penalty float8);'
        ' CREATE UNLOGGED TABLE %1$I.items (ids %5$s, factors bytea, ratings bigint, loss float8, penalty float8);'
        ' ALTER TABLE %1$I.users ALTER factors SET STORAGE EXTERNAL; ALTER TABLE %1$I.items ALTER factors SET STORAGE EXTERNAL;'
        ' CREATE TABLE %1$I.staged (users bigint, items bigint, ratings bigint, nonzero bigint, roots float8, mean float8, squares float8);'
        ' CREATE TABLE %1$I.imported (done boolean); CREATE TABLE %1$I.started (LIKE %1$I.items); CREATE TABLE %1$I.emptied (done boolean);'
        ' CREATE TABLE %1$I.solved_users (LIKE %1$I.users); CREATE TABLE %1$I.solved_items (LIKE %1$I.items)',
        work, types[1], types[2], types[3], types[4]);
    sent text[] := '{"",""}';           -- to servers, of a side
    solve text := 'TRUNCATE %1$I.%2$I; INSERT INTO %1$I.%2$I SELECT * FROM %1$I.%3$I';
BEGIN
    FOR n IN 1 .. cardinality(servers) LOOP
        local := local || format('; CREATE FOREIGN TABLE %1$I.ratings_%2$s PARTITION OF %1$I.ratings FOR VALUES WITH (MODULUS %3$s, REMAINDER %4$s) SERVER %5$I'
            ' OPTIONS (schema_name %1$L, table_name ''ratings'', batch_size ''5000'');'
            ' CREATE FOREIGN TABLE %1$I.users_%2$s (ids %6$s, factors bytea) SERVER %5$I OPTIONS (schema_name %1$L, table_name ''users'', batch_size ''16'');'
            ' CREATE FOREIGN TABLE %1$I.items_%2$s (ids %7$s, factors bytea) SERVER %5$I OPTIONS (schema_name %1$L, table_name ''items'', batch_size ''16'');'
            ' CREATE FOREIGN TABLE %1$I.parameters_%2$s (user_id %8$s, item_id %9$s, regularization float8, regularization_scaling float8, alpha float8, mean_rating float8)'
            ' SERVER %5$I OPTIONS (schema_name %1$L, table_name ''parameters'')',
            work, n, cardinality(servers), n - 1, servers[n], types[2], types[4], types[1], types[3])
            || (SELECT string_agg(format('; CREATE FOREIGN TABLE %1$I.%2$I () INHERITS (%1$I.%3$I) SERVER %4$I'
                ' OPTIONS (schema_name %1$L, table_name %3$L, async_capable ''true'', fetch_size ''16'')', work, name || '_' || n, name, servers[n]), '' ORDER BY name)
                FROM unnest('{staged,imported,started,solved_users,solved_items,emptied}'::text[]) name);
        sent := ARRAY(SELECT sent[k] || format('TRUNCATE %1$I.%2$s; INSERT INTO %1$I.%2$s SELECT ids, factors FROM %1$I.%3$s;', work, side || '_' || n, side)
                      FROM unnest('{users,items}'::text[]) WITH ORDINALITY s(side, k) ORDER BY k);
        prepare := prepare || format('INSERT INTO %I.parameters_%s VALUES (%L, %L, @parameters@)', work, n, examples[1], examples[2]);
    END LOOP;
    setup := ARRAY[local, copy];
    -- squares of all: sum (q_k + n_k (m_k - m)^2) (Chan, Golub and LeVeque 1979); to read
    -- staged is what groups the ratings
    sums := format('WITH s AS MATERIALIZED (SELECT * FROM %I.staged) SELECT sum(users) AS users, sum(items) AS items, sum(ratings) AS ratings, sum(nonzero) AS nonzero, sum(roots) AS roots,'
                   ' min(overall) AS mean, sum(squares + ratings * (mean - overall) ^ 2) AS squares'
                   ' FROM s, (SELECT sum(ratings * mean) / sum(ratings) FROM s WHERE ratings > 0) m(overall)', work);
    start := ARRAY[format('SELECT * FROM %I.imported', work), format('INSERT INTO %1$I.items SELECT * FROM %1$I.started', work)];
    iterate := ARRAY[sent[2], format(solve, work, 'users', 'solved_users'), sent[1], format(solve, work, 'items', 'solved_items')];
    objective := format('SELECT (SELECT sum(loss) FROM %1$I.items) + (SELECT sum(penalty) FROM %1$I.users) AS loss, (SELECT sum(ratings)::bigint FROM %1$I.users) AS ratings', work);
    solved := format('SELECT unnest(ids) AS id, %I.als_unpack_factors(factors, %s) AS f FROM %I.%%I', als, rank, work);
    emptied := ARRAY[format('SELECT * FROM %I.emptied', work)];
END $$;
COMMENT ON FUNCTION als_sharded_postgres_fdw(name, name, text[], name[], text[], text, integer)
IS 'part of als_train_sharded: the statements of a training with postgres_fdw';

-- The row that a query of one column returns on the coordinator of Citus, committed data alone.
CREATE FUNCTION als_sharded_asked(query text)
RETURNS json
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    r record;
BEGIN
    EXECUTE 'SELECT nodeid, success, result FROM run_command_on_coordinator($1)' INTO r USING query;
    IF NOT r.success THEN
        RAISE EXCEPTION 'a node of Citus cannot take part in the training' USING ERRCODE = 'external_routine_exception',
            DETAIL = format('Node %s says: %s', r.nodeid, r.result);
    END IF;
    RETURN r.result::json;
END $$;
COMMENT ON FUNCTION als_sharded_asked(text)
IS 'part of als_train_sharded: asks the coordinator of Citus';

-- The same with Citus.  What it distributes is read and written by its own connections
-- alone, which commit each step.
CREATE FUNCTION als_sharded_citus(work name, comment text, als name, types text[], ratings regclass, copy text, by_user text, by_item text, summed text,
                                  explicit boolean, factors integer, seed bigint, import text, guard text,
                                  OUT setup text[], OUT sums text, OUT prepare text[], OUT start text[], OUT iterate text[],
                                  OUT objective text, OUT solved text, OUT emptied text[])
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- as one statement: of several it tells the first one's error alone
    sent text := 'SELECT * FROM run_command_on_%s(format(''DO %%%%L'','
        ' format(''BEGIN SET LOCAL search_path = pg_catalog, pg_temp; %%%%s; END'', %%L))) WHERE NOT success';
    here text := format(sent, 'coordinator');
    everywhere text := format(sent, 'all_nodes');
    asked text := format('SELECT s.* FROM json_to_record(%I.als_sharded_asked(%%L)) s(%%s)', als);
    publish text := 'TRUNCATE %1$I.model_%2$s; INSERT INTO %1$I.model_%2$s SELECT id, %3$s FROM (SELECT id, (solved).factors AS f FROM %1$I.%2$s) s WHERE f IS NOT NULL ORDER BY id';
    solve text := 'INSERT INTO %1$I.%2$s SELECT id, %3$I.als_solve_row(other_ids, ratings, %5$L::jsonb) FROM %1$I.by_%4$s';
    stored text := CASE WHEN explicit THEN format('f[:%s], f[%s]', factors, factors + 1) ELSE 'f' END;
BEGIN
    setup := ARRAY[format(everywhere, guard), format(here, format('DROP SCHEMA IF EXISTS %I CASCADE', work)),
        format(here, format('CREATE SCHEMA %1$I; COMMENT ON SCHEMA %1$I IS %2$L; CREATE TABLE %1$I.ratings (item_id %5$s, user_id %3$s, rating real);'
            ' CREATE TABLE %1$I.by_user (id %3$s, other_ids %6$s, ratings real[]); CREATE TABLE %1$I.by_item (id %5$s, other_ids %4$s, ratings real[]);'
            ' ALTER TABLE %1$I.by_user ALTER other_ids SET STORAGE EXTERNAL, ALTER ratings SET STORAGE EXTERNAL;'
            ' ALTER TABLE %1$I.by_item ALTER other_ids SET STORAGE EXTERNAL, ALTER ratings SET STORAGE EXTERNAL;'
            ' CREATE TABLE %1$I.users (id %3$s, solved %7$I.als_solution); CREATE TABLE %1$I.items (id %5$s, solved %7$I.als_solution);'
            ' PERFORM create_distributed_table(''%1$I.ratings'', ''item_id''), create_distributed_table(''%1$I.by_item'', ''id'', colocate_with => ''%1$I.ratings''),'
            ' create_distributed_table(''%1$I.by_user'', ''id'', colocate_with => %8$L), create_reference_table(''%1$I.users''), create_reference_table(''%1$I.items'')',
            work, comment, types[1], types[2], types[3], types[4], als, ratings)),
        format(here, copy), format(here, format('INSERT INTO %I.by_user %s', work, by_user)),
        format(here, format('INSERT INTO %I.by_item %s', work, by_item)), format(here, format('TRUNCATE %I.ratings', work))];
    sums := format(asked, format('SELECT row_to_json(s) FROM (%s) s', summed),
                   'users bigint, items bigint, ratings bigint, nonzero bigint, roots float8, mean float8, squares float8');
    prepare := ARRAY[format(everywhere, 'PERFORM ' || import)];
    start := ARRAY[format(here, format('INSERT INTO %1$I.items SELECT id, ROW(%2$I.als_starting_factors(id, %3$s, %4$s)%5$s, 0, 0, 0)::%2$I.als_solution FROM %1$I.by_item',
                                       work, als, factors, seed, CASE WHEN explicit THEN ' || 0::real' END))];
    iterate := ARRAY[format(everywhere, format(publish, work, 'items', stored)), format(here, format('TRUNCATE %I.users', work)),
        format(here, format(solve, work, 'users', als, 'user', jsonb_build_object('model', work || '.model', 'side', 'users'))),
        format(everywhere, format(publish, work, 'users', stored)), format(here, format('TRUNCATE %I.items', work)),
        format(here, format(solve, work, 'items', als, 'item', jsonb_build_object('model', work || '.model', 'side', 'items')))];
    objective := format(asked, format('SELECT json_build_object(''loss'', (SELECT sum((solved).loss) FROM %1$I.items) + (SELECT sum((solved).penalty) FROM %1$I.users),'
        ' ''ratings'', (SELECT sum((solved).ratings) FROM %1$I.users))', work), 'loss float8, ratings bigint');
    solved := format('SELECT id, (solved).factors AS f FROM %I.%%I WHERE (solved).factors IS NOT NULL', work);
    emptied := '{}';
END $$;
COMMENT ON FUNCTION als_sharded_citus(name, text, name, text[], regclass, text, text, text, text, boolean, integer, bigint, text, text)
IS 'part of als_train_sharded: the statements of a training with Citus';

-- A block of PL/pgSQL that raises if others have functions in als's schema that fit the
-- servers' calls better, since they are made for one type of ids.
CREATE FUNCTION als_sharded_guard()
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT $block$DECLARE f regprocedure := (SELECT min(p.oid) FROM pg_proc p JOIN pg_extension e ON extnamespace = pronamespace
        WHERE extname = 'als' AND proname IN ('als_solve_row', 'als_starting_factors', 'als_pack_factors', 'als_unpack_factors')
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e'
        AND refclassid = 'pg_extension'::regclass AND refobjid = e.oid));
    BEGIN
        IF f IS NOT NULL THEN
            RAISE EXCEPTION 'function % in database "%" is not of the extension als', f, current_database()
                USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = format('als_train_sharded would call %s in its place.', f),
                HINT = 'Drop it, and let nobody else create functions in the schema of als.';
        END IF;
    END$block$
$$;
COMMENT ON FUNCTION als_sharded_guard()
IS 'part of als_train_sharded: looks for functions of others';

-- Makes connections to the servers of postgres_fdw, to set them up and to drop what was
-- made there.
CREATE FUNCTION als_sharded_connect(dblink name, als name, servers name[], guard text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    connection text;
    -- what tells a database from all others, copies of it included
    identity text := 'SELECT concat_ws(''/'', system_identifier, extract(epoch FROM pg_postmaster_start_time()), oid) AS database'
        ' FROM pg_control_system(), pg_database WHERE datname = current_database()';
    databases text[];                      -- this one, and the servers'
    r record;
BEGIN
    EXECUTE identity INTO r;
    databases[0] := r.database;
    FOR n IN 1 .. cardinality(servers) LOOP
        connection := 'als_sharded_' || n;
        EXECUTE format('SELECT %1$I.dblink_disconnect($1) WHERE $1 = ANY (%1$I.dblink_get_connections())', dblink) USING connection;
        EXECUTE format('SELECT %I.dblink_connect($1, $2)', dblink) USING connection, servers[n]::text;
        EXECUTE format('SELECT %I.dblink_exec($1, $2)', dblink) USING connection,
            'SET search_path = pg_catalog, pg_temp; SET client_min_messages = error; SET lock_timeout = ''10s''; SET check_function_bodies = off'::text;
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
        EXECUTE format('SELECT %I.dblink_exec($1, $2)', dblink) USING connection, format('DO %L', guard);
        databases[n] := r.database;
    END LOOP;
END $$;
COMMENT ON FUNCTION als_sharded_connect(name, name, name[], text)
IS 'part of als_train_sharded: connects to the servers of postgres_fdw';

-- Executes statements; those of Citus are queries of the nodes where they have failed.
CREATE FUNCTION als_sharded_run(steps text[], citus boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    step text;
    r record;
BEGIN
    FOREACH step IN ARRAY steps LOOP
        IF NOT citus THEN
            EXECUTE step;
            CONTINUE;
        END IF;
        FOR r IN EXECUTE step LOOP
            RAISE EXCEPTION 'a node of Citus cannot take part in the training' USING ERRCODE = 'external_routine_exception',
                DETAIL = format('Node %s says: %s', r.nodeid, r.result);
        END LOOP;
    END LOOP;
END $$;
COMMENT ON FUNCTION als_sharded_run(text[], boolean)
IS 'part of als_train_sharded: executes statements';

CREATE FUNCTION als_train_sharded(
    model           text,
    ratings         regclass,
    user_column     text DEFAULT 'user_id',
    item_column     text DEFAULT 'item_id',
    rating_column   text DEFAULT 'rating',
    feedback        text DEFAULT 'implicit',
    factors         integer DEFAULT 100,
    regularization  double precision DEFAULT NULL,
    regularization_scaling double precision DEFAULT NULL,
    regularization_by text DEFAULT 'confidence',
    alpha           double precision DEFAULT NULL,
    iterations      integer DEFAULT 15,
    seed            bigint DEFAULT 42,
    verbose         boolean DEFAULT false
) RETURNS als_model
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE COST 1000000
SET DateStyle = 'ISO'           -- of ids that other sessions read
SET extra_float_digits = 3      -- and of parameters
AS $$
DECLARE
    path pg_catalog.text := pg_catalog.current_setting('search_path');
    messages pg_catalog.text := pg_catalog.current_setting('client_min_messages');
    started pg_catalog.timestamptz := pg_catalog.clock_timestamp();
    target pg_catalog.text[] := pg_catalog.parse_ident(model);
    existing pg_catalog.regclass := pg_catalog.to_regclass(model);
    creation pg_catalog.name := pg_catalog.current_schema();
    als pg_catalog.name;                   -- the schemas of the extensions
    dblink pg_catalog.name;
    servers pg_catalog.name[];             -- of postgres_fdw; null: Citus
    citus boolean;
    types pg_catalog.text[];
    examples pg_catalog.text[];            -- an id of a user and one of an item
    work pg_catalog.name;                  -- schema of what is made meanwhile, here and on all servers
    comment pg_catalog.text;
    explicit boolean;
    guard pg_catalog.text;                 -- against functions of others
    settle pg_catalog.text;                -- query of the parameters
    run pg_catalog.text;                   -- of statements
    group_query pg_catalog.text;           -- of the query that groups ratings
    source pg_catalog.text;                -- of all ratings
    copied pg_catalog.text;                -- of their copy on a server
    copy pg_catalog.text;                  -- ... which makes it
    import pg_catalog.text;                -- of a model with one row a side, which are these
    examples_of pg_catalog.text[];
    by_user pg_catalog.text;
    by_item pg_catalog.text;
    summed pg_catalog.text;
    plan pg_catalog.record;
    sums pg_catalog.record;
    chosen pg_catalog.record;
    mean pg_catalog.float8;
    deviation pg_catalog.float8;
    latest pg_catalog.record;              -- loss and number of ratings, duplicates merged
    losses pg_catalog.float8[] := '{}';
    trained pg_catalog.record;
    -- the last that is sent to a server may have to wait for long
    clean pg_catalog.text := 'SELECT set_config(name, ''0'', false) FROM pg_settings WHERE name IN (''lock_timeout'', ''statement_timeout'','
        ' ''transaction_timeout'', ''client_connection_check_interval''); DROP SCHEMA IF EXISTS %I CASCADE';
    leave pg_catalog.text := 'SELECT %1$I.dblink_send_query(c, $1), %1$I.dblink_disconnect(c)'
        ' FROM unnest(%1$I.dblink_get_connections()) c WHERE starts_with(c, ''als_sharded_'')';
    r pg_catalog.record;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    SELECT nspname INTO als FROM pg_extension e JOIN pg_namespace s ON s.oid = e.extnamespace WHERE extname = 'als';
    SELECT nspname INTO dblink FROM pg_extension e JOIN pg_namespace s ON s.oid = e.extnamespace WHERE extname = 'dblink';
    settle := format('SELECT * FROM %I.als_sharded_parameters($1, $2, $3, $4, $5, $6, $7, $8, $9::float8, $10::float8, $11::float8, $12, $13)', als);
    run := format('SELECT %I.als_sharded_run($1, $2)', als);
    group_query := format('SELECT %I.als_sharded_grouped($1, $2, $3)', als);

    -- what was asked for
    FOR r IN SELECT * FROM (VALUES ('model', model), ('ratings', ratings::text), ('user_column', user_column), ('item_column', item_column)) v(name, value)
        WHERE value IS NULL LOOP
        RAISE EXCEPTION '% must not be null', r.name USING ERRCODE = 'null_value_not_allowed';
    END LOOP;
    EXECUTE settle INTO chosen USING feedback, factors, regularization, regularization_scaling, regularization_by, alpha, iterations, seed,
        NULL::bigint, NULL::bigint, NULL::bigint, NULL::float8, NULL::float8;
    explicit := feedback = 'explicit';
    EXECUTE format('SELECT %I.als_sharded_types($1, $2, $3, $4)', als) INTO types USING ratings, user_column, item_column, rating_column;
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
    EXECUTE format('SELECT %I.als_sharded_servers($1, $2)', als) INTO servers USING ratings, user_column;
    citus := servers IS NULL;
    IF citus AND current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'als_train_sharded with Citus needs isolation level READ COMMITTED' USING ERRCODE = 'invalid_transaction_state',
            DETAIL = 'It reads what its own statements on the nodes have committed.';
    ELSIF citus THEN
        PERFORM set_config('citus.multi_shard_modify_mode', 'sequential', true);    -- for DROP SCHEMA
    ELSIF dblink IS NULL THEN
        RAISE EXCEPTION 'als_train_sharded needs the extension dblink' USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'It makes tables on the servers with it.', HINT = 'CREATE EXTENSION dblink.';
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
    EXECUTE format('SELECT %I.als_sharded_begin($1, $2, $3, $4, $5)', als) USING format('%I.%I', target[1], target[2]), ratings::text, user_column, item_column, explicit;
    EXECUTE format('SELECT %I.als_sharded_guard()', als) INTO guard;
    EXECUTE format('DO %L', guard);

    BEGIN
        EXECUTE format('SELECT ARRAY[%I::text, %I::text] FROM %s WHERE %1$I IS NOT NULL AND %2$I IS NOT NULL LIMIT 1', user_column, item_column, ratings)
            INTO examples;
        IF examples IS NULL THEN
            RAISE EXCEPTION 'there are no ratings to train from'
                USING ERRCODE = 'no_data_found', HINT = 'Check that the relation or query returns rows.';
        END IF;

        -- Each server gets a copy of its share of the ratings by item, groups it and its
        -- ratings by user, and has a model to solve against, whose factors are replaced
        -- from half-iteration to half-iteration.  What an earlier training may have left
        -- is dropped.  als_import gets all of its arguments with their types, so that no
        -- other of its name fits better.
        FOR n IN 1 .. 2 LOOP
            examples_of[n] := format('SELECT %s AS %s, pg_catalog.array_fill(0::real, ARRAY[%s]) AS factors%s%s',
                CASE WHEN citus THEN format('%L::%s', examples[n], types[2 * n - 1]) ELSE (ARRAY['user_id', 'item_id'])[n] END,
                (ARRAY['user_id', 'item_id'])[n], factors, CASE WHEN explicit THEN ', 0 AS bias' END, CASE WHEN NOT citus THEN format(' FROM %I.parameters', work) END);
        END LOOP;
        import := format('%I.als_import(%L::text, %L::text, %L::text, NULL::text, ''user_id''::text, ''item_id''::text, ''rating''::text,'
            ' NULL::text, NULL::jsonb, NULL::text, NULL::interval, NULL::timestamptz, NULL::text, %L::text, p.regularization, p.regularization_scaling, %L::text, p.alpha, false, true, p.mean_rating) FROM %s',
            als, work || '.model', examples_of[1], examples_of[2], feedback, regularization_by,
            CASE WHEN citus THEN '(VALUES (@parameters@)) p(regularization, regularization_scaling, alpha, mean_rating)' ELSE format('%I.parameters p', work) END);
        source := format('SELECT %I AS user_id, %I AS item_id, %s AS rating FROM %s', user_column, item_column, coalesce(quote_ident(rating_column), '1'), ratings);
        copied := format('SELECT * FROM %I.ratings', work);
        copy := format('INSERT INTO %I.ratings (user_id, item_id, rating) %s', work, source);
        EXECUTE group_query INTO by_item USING 'items'::text, copied, feedback;
        EXECUTE format('SELECT %I.als_sharded_sums($1)', als) INTO summed USING work;
        IF citus THEN
            EXECUTE group_query INTO by_user USING 'users'::text, source, feedback;
            EXECUTE format('SELECT * FROM %I.als_sharded_citus($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)', als) INTO plan
                USING work, comment, als, types, ratings, copy, by_user, by_item, summed, explicit, factors, seed, import, guard;
        ELSE
            EXECUTE format('SELECT %I.als_sharded_connect($1, $2, $3, $4)', als) USING dblink, als, servers, guard;
            FOR n IN 1 .. cardinality(servers) LOOP
                EXECUTE format('SELECT %I.als_sharded_source($1, $2, $3, $4, $5)', als) INTO source USING ratings, servers[n], user_column, item_column, rating_column;
                EXECUTE group_query INTO by_user USING 'users'::text, source, feedback;
                EXECUTE format('SELECT %1$I.dblink_exec($1, %2$I.als_sharded_server($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12))', dblink, als)
                    USING 'als_sharded_' || n, work, comment, als, types, by_user, by_item, summed, explicit, factors, seed, import;
            END LOOP;
            EXECUTE format('SELECT * FROM %I.als_sharded_postgres_fdw($1, $2, $3, $4, $5, $6, $7)', als) INTO plan
                USING work, als, types, servers, examples, copy, factors + explicit::integer;
        END IF;
        EXECUTE run USING plan.setup, citus;

        EXECUTE plan.sums INTO sums;
        IF sums.ratings = 0 THEN
            EXECUTE format('SELECT %I::text AS "user", %I::text AS item, %I::float8 AS rating FROM %s'
                ' WHERE %3$I IS NULL OR NOT %3$I::float8 BETWEEN -3.5e38 AND 3.5e38 LIMIT 1', user_column, item_column, rating_column, ratings) INTO r;
            IF r.rating IS NULL THEN
                RAISE EXCEPTION 'column "%" of the ratings contains a null value', rating_column USING ERRCODE = 'null_value_not_allowed',
                    DETAIL = format('It is the rating of item %s by user %s; no rating is finite.', r.item, r."user"), HINT = 'Leave such rows out.';
            END IF;
            RAISE EXCEPTION 'column "%" of the ratings contains the value %', rating_column, r.rating USING ERRCODE = 'numeric_value_out_of_range',
                DETAIL = format('It is the rating of item %s by user %s; no rating is finite.', r.item, r."user"), HINT = 'Leave such rows out.';
        END IF;
        mean := sums.mean;
        deviation := sqrt(sums.squares / sums.ratings);
        EXECUTE settle INTO chosen USING feedback, factors, regularization, regularization_scaling, regularization_by, alpha, iterations, seed,
            sums.users, sums.items, sums.ratings, CASE sums.nonzero WHEN 0 THEN 1 ELSE (sums.roots / sums.nonzero) ^ 2 END,
            -- 1 if all are equal, but for rounding: train/choose.c
            CASE WHEN deviation <= 1e-12 * abs(mean) THEN 1 ELSE deviation END;
        EXECUTE run USING ARRAY(SELECT replace(s, '@parameters@', format('%s::float8, %s::float8, %s::float8, %s::float8', chosen.chosen_regularization,
            chosen.chosen_scaling, CASE WHEN explicit THEN 'NULL' ELSE chosen.chosen_alpha::text END, CASE WHEN explicit THEN mean::text ELSE 'NULL' END))
            FROM unnest(plan.prepare) s), citus;
        EXECUTE run USING plan.start, citus;
        FOR iteration IN 1 .. iterations LOOP
            EXECUTE run USING plan.iterate, citus;
            EXECUTE plan.objective INTO latest;
            losses := losses || latest.loss;
            IF "verbose" THEN
                RAISE NOTICE 'iteration % of %: loss %', iteration, iterations, latest.loss;
            END IF;
        END LOOP;

        EXECUTE format('SELECT * FROM %I.als_import($1, $2, $3, $4, $5, $6, $7, NULL::text, NULL::jsonb, NULL::text, NULL::interval, NULL::timestamptz, NULL::text, $8, $9, $10, $11, $12, false, true, $13)', als)
            INTO trained USING format('%I.%I', target[1], target[2]),
            format('SELECT id AS user_id, %s FROM (%s) s', CASE WHEN explicit THEN format('f[:%s] AS factors, f[%s] AS bias', factors, factors + 1) ELSE 'f AS factors' END,
                   format(plan.solved, 'users')),
            format('SELECT id AS item_id, %s FROM (%s) s', CASE WHEN explicit THEN format('f[:%s] AS factors, f[%s] AS bias', factors, factors + 1) ELSE 'f AS factors' END,
                   format(plan.solved, 'items')),
            ratings::text, user_column, item_column, rating_column, feedback, chosen.chosen_regularization, chosen.chosen_scaling, regularization_by,
            CASE WHEN NOT explicit THEN chosen.chosen_alpha END, CASE WHEN explicit THEN mean END;
        EXECUTE format('UPDATE %I.%I SET iterations = $1, solver = ''cholesky'', seed = $2, ratings = $3, loss = $4, losses = $5, best_iteration = $1, seconds = $6'
            ' WHERE run = $7 RETURNING *', target[1], target[2])
            INTO trained USING iterations, seed, latest.ratings, latest.loss, losses, extract(epoch FROM clock_timestamp() - started), trained.run;
        EXECUTE run USING plan.emptied, citus;
        PERFORM set_config('client_min_messages', 'warning', true);
        EXECUTE format('DROP SCHEMA %I CASCADE', work);
        PERFORM set_config('client_min_messages', messages, true);
    EXCEPTION WHEN OTHERS OR query_canceled THEN
        IF citus THEN
            EXECUTE format('SELECT * FROM run_command_on_coordinator(%L)', format('DROP SCHEMA IF EXISTS %I CASCADE', work));
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
COMMENT ON FUNCTION als_train_sharded(text, regclass, text, text, text, text, integer, double precision, double precision, text, double precision, integer, bigint, boolean)
IS 'trains a recommender where the ratings are: on several servers, which solve their own rows';

CREATE FUNCTION als_version(
    OUT library     text,
    OUT sql_objects text,
    OUT kernels     text,
    OUT blas        text
)
AS 'MODULE_PATHNAME', 'als_version'
LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION als_version()
IS 'versions of the library and of the SQL objects of als, the kernels in use, and the file of the BLAS';
