/* als--1.0--1.1.sql */

-- complain if script is sourced in psql, rather than via ALTER EXTENSION
\echo Use "ALTER EXTENSION als UPDATE TO '1.1'" to load this file. \quit

--
-- Solving from ratings with weights.  Functions of their own in the library, so that
-- one of version 1.0 does not take a weight for options.
--

CREATE FUNCTION als_fold_in(
    model           regclass,
    items           "any",
    ratings         double precision[],
    weights         double precision[]
) RETURNS real[]
AS 'MODULE_PATHNAME', 'als_fold_in_weighted'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000;
COMMENT ON FUNCTION als_fold_in(regclass, "any", double precision[], double precision[])
IS 'factors of somebody who has these items with these weights, and the bias behind them if the model is explicit; null if no item is known';

CREATE FUNCTION als_fold_in(
    model           regclass,
    items           text,
    ratings         double precision[],
    weights         double precision[]
) RETURNS real[]
AS 'MODULE_PATHNAME', 'als_fold_in_weighted'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000;
COMMENT ON FUNCTION als_fold_in(regclass, text, double precision[], double precision[])
IS 'factors of somebody who has these items with these weights, and the bias behind them if the model is explicit; null if no item is known';

CREATE FUNCTION als_solve_transfn(internal, "any", double precision, double precision, jsonb)
RETURNS internal
AS 'MODULE_PATHNAME', 'als_solve_weighted_transfn'
LANGUAGE C STABLE PARALLEL RESTRICTED;
COMMENT ON FUNCTION als_solve_transfn(internal, "any", double precision, double precision, jsonb)
IS 'aggregate transition function of als_solve with weights';

CREATE AGGREGATE als_solve(other_id "any", rating double precision, weight double precision, options jsonb) (
    SFUNC = als_solve_transfn,
    STYPE = internal,
    SSPACE = 1024,
    FINALFUNC = als_solve_finalfn,
    FINALFUNC_MODIFY = READ_WRITE,
    PARALLEL = RESTRICTED
);
COMMENT ON AGGREGATE als_solve("any", double precision, double precision, jsonb)
IS 'solves a user or item from its ratings and their weights, as half an iteration of a training does';

CREATE FUNCTION als_solve_row(other_ids anyarray, ratings real[], weights real[], options jsonb)
RETURNS als_solution
AS 'MODULE_PATHNAME', 'als_solve_row_weighted'
LANGUAGE C STABLE PARALLEL RESTRICTED COST 10000;
COMMENT ON FUNCTION als_solve_row(anyarray, real[], real[], jsonb)
IS 'solves a user or item from its ratings and their weights, which have been grouped before';
