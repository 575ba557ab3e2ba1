/*
 * als_rank_metrics.h
 *	  How good a user's ranking of items is: public interface.
 *
 * A ranking is not sorted: the relevant items are, and every other item only
 * counts how many of them it beats.  That gives all ranks.
 *
 *	  begin		with the relevant items of the test set, one or more
 *	  add		all others that may be recommended, in any order and pieces
 *	  finish	gives the measures, once for each k
 */
#ifndef ALS_RANK_METRICS_H
#define ALS_RANK_METRICS_H

#include <stdint.h>

#include "als_heap.h"
#include "als_poll.h"

/* One user's ranking; the caller sets the first part and owns all arrays. */
typedef struct AlsRanking
{
	uint32_t	nrelevant;
	uint32_t	capacity;		/* of best: the largest k, or as many items as
								 * there are */
	AlsRankedItem *relevant;	/* [nrelevant] begin sorts them, worst first */
	float	   *scores;			/* [nrelevant + 1] theirs, and infinity */
	uint32_t   *beating;		/* [nrelevant + 1] others that beat so many */
	AlsRankedItem *best;		/* [capacity] the top ones, a heap, worst
								 * first */

	uint32_t	nbest;
	int64_t		ties;			/* what they add to twice the items beaten */
} AlsRanking;

/* What is measured of a user's ranking; of no meaning without a relevant item */
typedef struct AlsMeasures
{
	double		precision;
	double		recall;
	double		recall_capped;
	double		average_precision;
	double		ndcg;
	double		reciprocal_rank;
	double		hit;			/* 1 or 0 */
	double		auc;			/* NaN if all items are relevant */
} AlsMeasures;

extern void als_ranking_begin(AlsRanking *ranking, AlsPoll poll);

/* Adds n items, at most this many; those whose score is NaN are left out. */
#define ALS_RANKING_PIECE 256
extern void als_ranking_add(AlsRanking *ranking, uint32_t n,
							const float *scores, const uint32_t *order);

extern void als_ranking_finish(const AlsRanking *ranking, uint32_t k,
							   AlsMeasures *measures, AlsPoll poll);

#endif							/* ALS_RANK_METRICS_H */
