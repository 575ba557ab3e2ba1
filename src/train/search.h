/*
 * search.h
 *	  Which points of a range of parameters als_tune tries next.
 */
#ifndef ALS_SEARCH_H
#define ALS_SEARCH_H

#include "postgres.h"

/* What is searched, beside the number of factors */
typedef enum SearchDimension
{
	SEARCH_ALPHA, SEARCH_REGULARIZATION, SEARCH_SCALING
} SearchDimension;

#define SEARCH_DIMENSIONS (SEARCH_SCALING + 1)

typedef double SearchPoint[SEARCH_DIMENSIONS];

/* Where it is searched; what a coordinate means is the caller's. */
typedef struct SearchRange
{
	bool		searched;
	bool		fixed;			/* the best may not lie outside */
	bool		given;			/* and that was somebody's wish */
	double		from;
	double		to;
} SearchRange;

/* Numbers of factors that are tried, at most */
#define SEARCH_LEVELS 16

typedef struct Search
{
	/* filled in by the caller */
	SearchRange ranges[SEARCH_DIMENSIONS];
	int			nlevels;
	int			levels[SEARCH_LEVELS];	/* factors, ascending */
	int			trials;			/* all */
	uint64		seed;

	/* how far it is */
	int			left;			/* trials */
	int			rounds;			/* begun */
	int			level;			/* of the last one */
	bool		growing;		/* more factors were better so far */
	double		width;			/* of the box, as a share of the ranges' */
	uint64		drawn;			/* points of the sequence */
} Search;

/* Trials that run against each other: same factors, points of a box */
typedef struct SearchRound
{
	int			level;
	int			count;			/* points */
	bool		center;			/* the first is the middle of the box */
	double		from[SEARCH_DIMENSIONS];
	double		width[SEARCH_DIMENSIONS];
	SearchPoint middle;
	uint64		first;			/* point of the sequence */
} SearchRound;

/* The best trial so far */
typedef struct SearchBest
{
	int			level;
	SearchPoint point;
} SearchBest;

extern void search_begin(Search *search);

/* The next round, best being NULL if there is no trial yet; false for the end. */
extern bool search_next(Search *search, const SearchBest *best,
						SearchRound *round);

/* A point of a round, from 0. */
extern void search_point(const Search *search, const SearchRound *round,
						 int number, SearchPoint point);

/* Which end of a range that was given a point is close to: -1, 1, or 0 for neither. */
extern int	search_edge(const Search *search, SearchDimension dimension,
						const SearchPoint point);

#endif							/* ALS_SEARCH_H */
