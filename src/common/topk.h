/*
 * topk.h
 *	  The k best of a stream of scored items.
 */
#ifndef ALS_TOPK_H
#define ALS_TOPK_H

#include <math.h>

#include "common/ids.h"

/* Of an item whose place nobody has told */
#define NO_ROW PG_UINT32_MAX

typedef struct ScoredItem
{
	float		score;
	uint32		row;			/* of the image that it is from; or NO_ROW */
	Datum		id;
} ScoredItem;

typedef struct TopK
{
	const IdType *type;
	uint32		k;
	uint32		size;
	uint32		capacity;		/* of items */
	float		least;			/* score of the worst, once there is a heap */
	bool		has_heap;		/* items are one; or there are no more than k */
	ScoredItem *items;			/* [capacity] */
} TopK;

/*
 * Keeps the k best of what is added: higher
 * scores first, equal scores in the order of ids.
 */
extern TopK *topk_create(const IdType *type, uint32 k);

/* Can an item with this score still be among the best? */
static inline bool
topk_may_enter(const TopK *topk, float score)
{
	return topk->size < topk->k || score >= topk->least;
}

/* The least score with which an item can still be among the best */
static inline float
topk_least(const TopK *topk)
{
	return topk->size < topk->k ? -INFINITY : topk->least;
}

/* Adds an item; the id is copied. */
extern void topk_add(TopK *topk, Datum id, float score, uint32 row);

/* The best, in order; their number in *size.  Ends the collection. */
extern ScoredItem *topk_finish(TopK *topk, uint32 *size);

#endif							/* ALS_TOPK_H */
