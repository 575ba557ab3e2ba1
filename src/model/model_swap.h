/*
 * model_swap.h
 *	  Replacing the contents of factor tables beside their readers.
 */
#ifndef ALS_MODEL_SWAP_H
#define ALS_MODEL_SWAP_H

#include "model/model.h"

/* What the contents of two factor tables become, by AlsSide */
typedef struct NewFactors
{
	const ModelTarget *target;
	AlsFeedback feedback;
	const Oid  *tables;			/* whose contents they are */
	const Oid  *copied;			/* the tables that have them; NULL: what is
								 * below */
	const RatedIds *const *ids;
	const float *const *rows;	/* [ids->size x stride] */
	int			factors;
} NewFactors;

/*
 * Replaces the contents of both tables, as REFRESH MATERIALIZED VIEW does: new
 * heaps are filled, swapped in and indexed.  Other tables, which are to be dropped,
 * are locked together with them.
 */
extern void swap_factors(const NewFactors *new, List *others);

/* Locks factor tables of the model, beside readers as a swap does. */
extern void lock_tables(const ModelTarget *target, List *tables,
						LOCKMODE lockmode);

#endif							/* ALS_MODEL_SWAP_H */
