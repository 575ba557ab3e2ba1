/*
 * collect.h
 *	  Rows of a source taken into ratings, by one process or by several.
 */
#ifndef ALS_COLLECT_H
#define ALS_COLLECT_H

#include "ratings/holdout.h"
#include "ratings/ratings.h"

/* Where a process's rows go */
typedef struct Collector
{
	Ratings    *ratings;
	Ratings    *held_out;		/* NULL: nothing is set aside */
	Holdout    *holdout;		/* what is, then */
	MemoryContext row_context;	/* for that, reset for every row */
	Oid			rating_type;	/* InvalidOid: no rating, every row counts 1 */
	bool		weighted;		/* rows have weights, behind their ratings */
	uint64		rows;			/* so far */
	uint64		shown;			/* of these and those of others */
	struct SharedReading *shared;	/* NULL: nobody else collects */
	struct Collector *outer;	/* the leader's other reading, around it */
} Collector;

/* The type in which to ask for a column of ratings */
extern Oid	collect_rating_type(Oid type);

/*
 * Takes a row; the rating is of the collector's type.  A weight of 0 leaves the row
 * out, and what is set aside has none.
 */
extern void collect_row(Collector *collector, Datum user, bool user_null,
						Datum item, bool item_null,
						Datum rating, bool rating_null,
						Datum weight, bool weight_null);

/*
 * The aggregate als_collect, or the one that takes weights, by which several processes take rows, as what to
 * call it in a query, and its oid; NULL if the user may not, or if the name alone does
 * not tell it from others.
 */
extern char *collect_aggregate(bool weighted, Oid *aggregate);

/*
 * Before any row: lets workers that run the aggregate collect into what this
 * collects into.  False if there is no shared memory left.
 */
extern bool collect_share(Collector *collector, const RatingSource *names,
						  const IdType *user_type, const IdType *item_type,
						  size_t memory, double fraction, int64 seed,
						  size_t held_out_memory);

/*
 * The query with the aggregate begins, the first argument of which is the key
 * that is returned; it ends, or has failed.
 */
extern int64 collect_begin(Collector *collector);
extern void collect_end(Collector *collector);

/* All rows are there: finishes what they were collected into. */
extern void collect_finish(Collector *collector);

#endif							/* ALS_COLLECT_H */
