/*
 * source_ratings.h
 *	  The ratings of a source, to train from or to evaluate on.
 */
#ifndef ALS_SOURCE_RATINGS_H
#define ALS_SOURCE_RATINGS_H

#include "access/tupdesc.h"
#include "ratings/ratings.h"

/* Raises unless the columns by which rows are weighed are there and of their types. */
extern void source_check_weighing(TupleDesc columns, const Weighing *weighing);

/*
 * Reads a relation or query as the current user, with a snapshot of its own,
 * into a finished collection below parent, which as many workers as the user has
 * asked for may sort.  *canonical is the text to keep with a model.
 */
extern Ratings *source_read(MemoryContext parent, const RatingSource *source,
							size_t memory, int workers, char **canonical);

/* A share of the rows to set aside, that of als_holdout */
typedef struct SourceSplit
{
	double		fraction;
	int64		seed;
	size_t		memory;			/* for what is set aside */
	Ratings    *held_out;		/* what was: output */
} SourceSplit;

/* The same, but for what is set aside. */
extern Ratings *source_read_split(MemoryContext parent,
								  const RatingSource *source, size_t memory,
								  int workers, SourceSplit *split,
								  char **canonical);

#endif							/* ALS_SOURCE_RATINGS_H */
