/*
 * arguments.h
 *	  Checks of the arguments of SQL functions, and rows that they return.
 */
#ifndef ALS_ARGUMENTS_H
#define ALS_ARGUMENTS_H

#include "common/id_conversion.h"
#include "common/idmap.h"
#include "common/side.h"
#include "fmgr.h"
#include "utils/tuplestore.h"

/*
 * Makes a set-returning function return all its rows at once: those that are
 * put into the result, whose row type is *row_type.
 */
extern Tuplestorestate *begin_rows(FunctionCallInfo fcinfo,
								   TupleDesc *row_type);

/*
 * Raises unless the call has n arguments: the SQL function may be of an older version
 * of the extension, which had fewer, or of a newer one.
 */
extern void require_arguments(FunctionCallInfo fcinfo, int n);

/* Raises for a null where a value is needed. */
extern void require_argument(FunctionCallInfo fcinfo, int argument,
							 const char *name);

/*
 * Adds to a set the elements of an array argument that is not null; nulls in
 * it do not count.  Errors name what the ids are of ("item").
 */
extern void add_ids_argument(FunctionCallInfo fcinfo, int argument,
							 const char *name, const char *what, IdMap *ids);

/* The argument run: the number of a run, or 0 for null. */
extern int32 run_argument(FunctionCallInfo fcinfo, int argument);

/* The argument k, which is not null; raises if it is negative. */
extern uint32 k_argument(FunctionCallInfo fcinfo, int argument);

/*
 * The argument min_score: the least float that is no less than it, but finite;
 * -Infinity for null.
 */
extern float min_score_argument(FunctionCallInfo fcinfo, int argument);

/*
 * The argument cold_start, which is not null: does it ask for the mean and
 * whatever bias is known, 'biases', rather than for 'none'?
 */
extern bool biases_argument(FunctionCallInfo fcinfo, int argument);

/* The argument workers: -1 if it is null; raises if it is negative. */
extern int	workers_argument(FunctionCallInfo fcinfo, int argument);

/*
 * Chooses the type that the first column of a result returns ids of type own
 * as: that which the row type has, if they become it without loss.  The hint of
 * the error names the function, called typed, in which it can be given.
 */
extern void choose_id_type(IdConversion *conversion, IdType *type, Oid model,
						   AlsSide side, Oid own, TupleDesc row_type,
						   const char *typed);

#endif							/* ALS_ARGUMENTS_H */
