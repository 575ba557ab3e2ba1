/*
 * source.h
 *	  What a model is trained from: a relation or a SELECT.
 */
#ifndef ALS_SOURCE_H
#define ALS_SOURCE_H

#include "ratings.h"

/*
 * Recognises the text that als_train was given and returns what can follow
 * FROM, with an alias: a quoted and qualified relation name, or the query in
 * parentheses, which is known to be a single SELECT then.  *canonical is the
 * text to keep with the model.
 */
extern char *source_from_clause(const char *source, char **canonical);

/*
 * Reads a relation or query through SPI as the current user, into a finished
 * collection below parent.  *canonical is as above.
 */
extern Ratings *source_read(MemoryContext parent, const RatingSource *source,
							size_t memory, char **canonical);

/* A share of the rows to set aside, by als_holdout */
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
								  SourceSplit *split, char **canonical);

/* Does it use temporary tables or views, which other sessions do not have? */
extern bool source_is_temporary(const char *source);

#endif							/* ALS_SOURCE_H */
