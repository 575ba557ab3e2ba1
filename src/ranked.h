/*
 * ranked.h
 *	  The best items or users as a set of rows (id, score).
 */
#ifndef ALS_RANKED_H
#define ALS_RANKED_H

#include "cache.h"
#include "funcapi.h"
#include "topk.h"
#include "utils/tuplestore.h"

/* The result of a call, returned row by row */
typedef struct Ranked
{
	ModelCache *cache;			/* the version that it was computed with */
	ScoredItem *items;
	uint32		size;
	IdType		type;			/* that was asked for */
	IdConversion conversion;	/* to that type */
} Ranked;

/*
 * Computes a whole result, in a context that lives until the last row.  first
 * is the place of the model among the arguments.
 */
typedef void (*RankedFunction) (FunctionCallInfo fcinfo, int first,
								TupleDesc row_type, Ranked *result);

/* A set-returning function's rows, one for each call. */
extern Datum ranked_rows(FunctionCallInfo fcinfo, int first,
						 RankedFunction compute);

/*
 * Chooses the type that ids are returned as: the model's own, or one that it
 * becomes without loss.  An error's hint names the function, called typed, in
 * which the type can be given.
 */
extern void ranked_choose_type(Ranked *result, const ModelCache *cache,
							   AlsSide side, TupleDesc row_type,
							   const char *typed);

/*
 * Makes a set-returning function return all its rows at once: those that are
 * put into the result, whose row type is *row_type.
 */
extern Tuplestorestate *begin_rows(FunctionCallInfo fcinfo,
								   TupleDesc *row_type);

/* Raises for a null where a value is needed. */
extern void require_argument(FunctionCallInfo fcinfo, int argument,
							 const char *name);

/*
 * Adds to a set the elements of an array argument that is not null; nulls in
 * it do not count.  Errors name what the ids are of ("item").
 */
extern void add_ids_argument(FunctionCallInfo fcinfo, int argument,
							 const char *name, const char *what, IdMap *ids);

/* The argument k, which is not null; raises if it is negative. */
extern uint32 ranked_k(FunctionCallInfo fcinfo, int argument);

#endif							/* ALS_RANKED_H */
