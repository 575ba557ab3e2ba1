/*
 * shortlist.h
 *	  A list of items chosen from the ranking by more than scores: how alike they
 *	  are, and how many are of a kind.  core/als_rerank.h has the definition.
 */
#ifndef ALS_SHORTLIST_H
#define ALS_SHORTLIST_H

#include "core/als_rerank.h"
#include "serve/side_search.h"

/* What the arguments ask for */
typedef struct Shortlist
{
	double		diversity;		/* 0: by scores alone */
	const char *groups;			/* relation or query; NULL: none */
	uint32		per_group;

	/* what is known of groups so far */
	IdMap	   *items;			/* that have been looked for */
	uint32	   *item_groups;	/* [items]: a place in kinds, or ALS_NO_GROUP */
	uint32		capacity;		/* of these */
	IdMap	   *kinds;			/* the groups; NULL: none yet */
	IdType		kind_type;
	MemoryContext context;		/* of all that */
} Shortlist;

/* The arguments diversity, groups and per_group, the first at a place. */
extern void shortlist_arguments(Shortlist *list, FunctionCallInfo fcinfo,
								int argument);

/* How much of a ranking is looked at: so many rows, of those that matter */
typedef struct RankingDepth
{
	uint64		rows;
	uint64		all;			/* rows that there can be */
	float		asked;			/* the least score that the call asks for */
	float		min_score;		/* that a row needs to matter, no less */
} RankingDepth;

/*
 * Begins with what a list of k mostly takes; deepens if it did not do, with the
 * share that als_rerank has returned.
 */
extern void ranking_depth_begin(RankingDepth *depth, uint32 k, uint64 all,
								float min_score);
extern void ranking_depth_deepen(RankingDepth *depth, double diversity,
								 double share);

/*
 * No rows but the size that have been ranked have a score above this; -Infinity
 * if there are no others.  last is the score of the last one.
 */
extern float ranking_depth_limit(const RankingDepth *depth, uint64 size,
								 float last);

/* als_rerank with memory of the current context. */
extern uint32 shortlist_rerank(AlsShortlist *shortlist,
							   const AlsKernels *kernels, uint32 k,
							   uint32 *chosen, double *share);

/*
 * Reads the groups of all items, as the caller.  Whoever calls this asks
 * cache_replaced afterwards.
 */
extern void shortlist_read_groups(Shortlist *list, ModelCache *cache);

/* The group of an item, a place in list->kinds, or ALS_NO_GROUP. */
extern uint32 shortlist_group(const Shortlist *list, Datum item);

/* Puts the best rows into the result, depth at most. */
typedef void (*Ranker) (SideSearch *search, uint32 depth, ScoredRows *result);

/*
 * The k items of the list that the arguments ask for, from as much of the
 * ranking as that takes.  Whoever calls this asks cache_replaced afterwards if
 * there are groups.
 */
extern void shortlist_choose(Shortlist *list, SideSearch *search, uint32 k,
							 Ranker rank, ScoredRows *result);

#endif							/* ALS_SHORTLIST_H */
