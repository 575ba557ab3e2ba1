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

/*
 * How many of the best a list of k is chosen from, and how many next if groups
 * leave fewer than k of these.
 */
extern uint32 ranking_depth(uint32 k, double diversity);
extern uint32 ranking_deeper(uint32 depth);

/* als_rerank with memory of the current context. */
extern uint32 shortlist_rerank(AlsShortlist *shortlist,
							   const AlsKernels *kernels, uint32 k,
							   uint32 *chosen);

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
