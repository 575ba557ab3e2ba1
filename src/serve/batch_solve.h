/*
 * batch_solve.h
 *	  Many rows of a side solved from their ratings, each as fold_in does, by the
 *	  leader and its workers.
 */
#ifndef ALS_BATCH_SOLVE_H
#define ALS_BATCH_SOLVE_H

#include "common/arena.h"
#include "model/model_cache.h"
#include "port/atomics.h"
#include "ratings/ratings.h"

/* What processes share; offsets count from its start. */
typedef struct BatchSolve
{
	AlsSystem	system;			/* but for its pointers */
	AlsSide		side;			/* of the rows */
	uint32		nrows;
	uint32		ncolumns;		/* what they have ratings of */
	size_t		places_offset;	/* uint32 [ncolumns]: which of fixed that is;
								 * NOT_THERE: the model does not know it */
	size_t		fixed_offset;	/* float [ids x stride] in the order of ids */
	size_t		bias_offset;	/* float [ids], if explicit */
	size_t		gram_offset;	/* double [rank x rank], if implicit */
	size_t		solved_offset;	/* float [nrows x stride] */
	size_t		results_offset; /* int [nrows]; ALS_OK before, too */
	pg_atomic_uint32 next_row;	/* to be solved */
} BatchSolve;

/* The result of a row without a rating of what the model knows, or not wanted */
#define BATCH_NOTHING_KNOWN (-1000)

/*
 * Solves those rows of a side of finished ratings that are not NOT_THERE in
 * wanted against the factors of the other side, with the same bits as fold_in, and
 * uses the ratings up.  Rows are in the final order of the ratings' ids, of which
 * wanted has been made by ratings_map_ids.  Workers are as for parallel_workers.
 */
extern Arena batch_solve(ModelCache *cache, AlsSide side, Ratings *ratings,
						 const uint32 *wanted, int workers);

/*
 * A row in the form of SideCache, in the current memory context; NULL if nothing
 * is known of it.  Raises if it could not be solved.
 */
extern float *batch_solve_row(const BatchSolve *job, const ModelCache *cache,
							  uint32 row);

#endif							/* ALS_BATCH_SOLVE_H */
