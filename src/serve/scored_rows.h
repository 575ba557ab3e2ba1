/*
 * scored_rows.h
 *	  The best items or users as a set of rows (id, score).
 */
#ifndef ALS_SCORED_ROWS_H
#define ALS_SCORED_ROWS_H

#include "common/id_conversion.h"
#include "common/topk.h"
#include "funcapi.h"
#include "model/model_cache.h"

/* The result of a call, returned row by row */
typedef struct ScoredRows
{
	ModelCache *cache;			/* the version that it was computed with */
	ScoredItem *items;
	uint32		size;
	IdType		type;			/* that was asked for */
	IdConversion conversion;	/* to that type */
} ScoredRows;

/*
 * Computes a whole result, in a context that lives until the last row.  first
 * is the place of the model among the arguments.
 */
typedef void (*ScoredRowsFunction) (FunctionCallInfo fcinfo, int first,
									TupleDesc row_type, ScoredRows *result);

/* A set-returning function's rows, one for each call. */
extern Datum return_scored_rows(FunctionCallInfo fcinfo, int first,
								ScoredRowsFunction compute);

/*
 * Chooses the type that ids are returned as: the model's own, or one that it
 * becomes without loss.  An error's hint names the function, called typed, in
 * which the type can be given.
 */
extern void scored_rows_choose_type(ScoredRows *result, const ModelCache *cache,
									AlsSide side, TupleDesc row_type,
									const char *typed);

#endif							/* ALS_SCORED_ROWS_H */
