/*
 * batch_lists.h
 *	  What lists of a batch are chosen by, apart from factors: boosts, groups and
 *	  how alike items are.
 */
#ifndef ALS_BATCH_LISTS_H
#define ALS_BATCH_LISTS_H

#include "serve/batch_topk.h"
#include "serve/shortlist.h"

/* Adds to the layout of a job with such items what is asked for of the lists. */
extern void batch_lists_lay_out(BatchTopK *layout, const Shortlist *list,
								const Boosts *boosts, IdMap *items);

/* The same for its contents; places are the rows of items. */
extern void batch_lists_place(BatchTopK *job, const Shortlist *list,
							  const Boosts *boosts, IdMap *items,
							  const uint32 *places);

/* A list [k] chosen from a user's ranking; returns its size. */
extern uint32 batch_lists_choose(const BatchTopK *job, const AlsKernels *kernels,
								 const AlsRankedItem *ranking, uint32 size,
								 AlsRankedItem *list);

#endif							/* ALS_BATCH_LISTS_H */
