/*
 * als_rerank.h
 *	  A list chosen from a ranking by more than scores: how alike its rows are,
 *	  and how many of them are of a kind.
 *
 * Maximal marginal relevance (Carbonell and Goldstein 1998): the next of the list
 * is the row i for which
 *
 *	  (1 - diversity) score_i - diversity max(0, cos(i, j) of the rows j before it)
 *
 * is the largest, of those whose group has fewer than per_group rows in the list;
 * of equal ones the first in the ranking.
 */
#ifndef ALS_RERANK_H
#define ALS_RERANK_H

#include "als_core.h"

/* The group of a row that is in none, of which any number may come */
#define ALS_NO_GROUP UINT32_MAX

/* Called for a row by its place in the ranking */
typedef const float *(*AlsFetchRow) (size_t place, void *arg);

/*
 * The rows to choose from, best first, and how.  The rows are asked for only if
 * diversity is not 0.
 */
typedef struct AlsShortlist
{
	size_t		size;
	const float *scores;		/* [size] falling */
	const uint32_t *groups;		/* [size]; NULL: none has one */
	uint32_t	ngroups;
	uint32_t	per_group;		/* at least 1 */
	double		diversity;		/* 0 to 1 */
	int			stride;
	int			factors;		/* numbers of a row that count, a bias does
								 * not */
	const float *const *rows;	/* [size] of stride floats, aligned; NULL:
								 * that one is fetched, each time */
	AlsFetchRow fetch;			/* one that lasts until the next; NULL: it is
								 * gone, and alike to nothing */
	void	   *fetch_arg;
	uint32_t	copies;			/* rows of the list that are not fetched again */
} AlsShortlist;

extern size_t als_rerank_workspace(const AlsShortlist *shortlist, uint32_t k);

/*
 * Writes to chosen[k] the places in the ranking of the list's rows, and returns
 * how many they are: fewer than k if no other row may come.  workspace:
 * als_rerank_workspace bytes, aligned as rows.
 */
extern uint32_t als_rerank(const AlsShortlist *shortlist,
						   const AlsKernels *kernels, AlsPoll poll, uint32_t k,
						   uint32_t *chosen, void *workspace);

#endif							/* ALS_RERANK_H */
