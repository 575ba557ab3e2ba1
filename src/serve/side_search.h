/*
 * side_search.h
 *	  The best rows of one side of a model for a row of the other: the items for
 *	  a user or several, or the users for an item; or by another measure, as
 *	  neighbours are.
 *
 * Exact: every eligible row is scored, by the same inner product that
 * als_predict returns, or by the measure.  Filters are sets of ids; they are asked only about rows
 * whose score could enter the result, except that candidates, if given, are all
 * that is scored.
 */
#ifndef ALS_SIDE_SEARCH_H
#define ALS_SIDE_SEARCH_H

#include "serve/boosts.h"
#include "serve/scored_rows.h"

typedef struct SideSearch SideSearch;

/* The score of a row; false if it has none. */
typedef bool (*RowMeasure) (const SideSearch *search, const float *row,
							float *score);

/* What is searched for, and among what */
struct SideSearch
{
	ModelCache *cache;
	AlsSide		side;			/* whose rows are returned */
	bool		fresh;			/* the other side is folded in, known or not */
	const AlsKernels *kernels;
	const float *vectors;		/* [nvectors x stride] of the other side */
	uint32		nvectors;		/* 0: nothing is known of it */
	RowMeasure	measure;		/* NULL: the inner product with the vector,
								 * plus the mean; of several the least */
	void	   *measure_arg;
	float		min_score;		/* of what is returned */
	IdMap	   *excluded;
	IdMap	   *candidates;		/* NULL: all rows */
	Boosts	   *boosts;			/* of items; NULL: none */
	const Interval *popular_since;	/* how long ago the ratings may be that
									 * make items popular; NULL: ever */
	TopK	   *best;
};

/* Begins a search that leaves nothing out, for nobody yet. */
extern void side_search_init(SideSearch *search, ModelCache *cache, AlsSide side);

/* Adds the filters that the arguments exclude and candidates are. */
extern void side_search_filters(SideSearch *search, FunctionCallInfo fcinfo,
								int exclude, int candidates);

/* The argument min_score; null: any. */
extern void side_search_min_score(SideSearch *search, FunctionCallInfo fcinfo,
								  int argument);

/*
 * Finds the factors of an id of the other side, stored or folded in from the
 * live sources of ratings and features, and leaves out what it has rated there if
 * exclude_seen.  No factors if there is nothing to go by; what is stored may be
 * as little, while there are better ratings by now.  False if reading the sources
 * has replaced the model.  With search->fresh the model has a source.
 */
extern bool side_search_for(SideSearch *search, Datum id, bool exclude_seen,
							const char *function);

/* The k best rows for search->vectors. */
extern void side_search_best(SideSearch *search, uint32 k, ScoredRows *result);

#endif							/* ALS_SIDE_SEARCH_H */
