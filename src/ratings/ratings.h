/*
 * ratings.h
 *	  A source of ratings turned into (user, item, rating) triplets of dense
 *	  indices.
 */
#ifndef ALS_RATINGS_H
#define ALS_RATINGS_H

#include <math.h>

#include "common/idmap.h"
#include "core/als_core.h"
#include "ratings/triplets.h"
#include "ratings/weighing.h"
#include "storage/spin.h"
#include "utils/snapshot.h"

/* One side's ids after collection, in order of falling popularity */
typedef struct RatedIds
{
	uint32		size;
	Datum	   *ids;			/* [size], final order */
	uint64	   *counts;			/* [size] ratings, duplicates counted */
	uint32	   *order;			/* [size] order of arrival -> final */
} RatedIds;

typedef struct Ratings Ratings;

/*
 * What processes share that collect the same ratings together: each has ids,
 * counts and triplets of its own, until workers hand theirs over to the leader.
 */
typedef struct SharedRatings
{
	TripletStore store;			/* of all; has to come first */
	TripletRoom room;			/* for the triplets of all */
	slock_t		mutex;			/* protects parts */
	dsa_pointer parts;			/* what has been handed over, a list */
} SharedRatings;

/* Is a rating finite, and so its value of type real, which is 0 only for 0? */
static inline bool
rating_is_real(double rating)
{
	float4		value = (float4) rating;

	return isfinite(value) && (value != 0 || rating == 0);
}

/* Where ratings come from; column names are not quoted */
typedef struct RatingSource
{
	const char *source;			/* relation name or SELECT, as given */
	const char *user_column;
	const char *item_column;
	const char *rating_column;	/* NULL: every row counts 1 */
	Weighing	weighing;		/* of what a row counts, or weighs */
	const char *condition;		/* on the rows to read; NULL: all */
	Snapshot	snapshot;		/* that shows them; NULL: one taken for it */
	const struct SourceReader *reader;	/* of a model's source; NULL: given */
} RatingSource;

/*
 * Starts a collection in a memory context of its own below parent, keeping at
 * most memory bytes of triplets and a temporary file beyond that; in shared
 * memory, if workers may sort them.  The names of the columns are for messages.
 * Ratings have weights or not.
 */
extern Ratings *ratings_begin(MemoryContext parent, const IdType *user_type,
							  const IdType *item_type,
							  const RatingSource *names, bool weighted,
							  size_t memory, bool shared);

/*
 * Creates what is shared, with the memory for all, in an arena of size bytes that
 * begins with it.  Where no segment is left there is none.
 */
extern Arena shared_ratings_create(size_t size, bool weighted, size_t memory,
								   dsa_area **area);

/*
 * Before any row: collects together with others, to whom the arena belongs as
 * well; from now on it is the ratings' to free.
 */
extern void ratings_join(Ratings *ratings, const Arena *shared, dsa_area *area);

/* Hands over to the leader what a worker has collected, which is the end of it. */
extern void ratings_hand_over(Ratings *ratings);

/*
 * Adds one row; raises for NULL ids, for ratings that are not finite, and for weights
 * that are not valid, if there are to be weights.
 */
extern void ratings_add(Ratings *ratings, Datum user, bool user_null,
						Datum item, bool item_null,
						double rating, bool rating_null, double weight);

/* From now on, before any row, it may be sorted as often as one likes. */
extern void ratings_keep(Ratings *ratings);

/*
 * Ends the collection, once, with what has been handed over, and gives final
 * indices to both sides.
 */
extern void ratings_finish(Ratings *ratings);

extern uint64 ratings_count(const Ratings *ratings);
extern bool ratings_spilled(const Ratings *ratings);
extern bool ratings_weighted(const Ratings *ratings);
extern const RatedIds *ratings_ids(const Ratings *ratings, AlsSide side);
extern IdMap *ratings_map(const Ratings *ratings, AlsSide side);

/*
 * The triplets, by parts that have indices of their own: the leader's is the first,
 * and of each worker there may be more.  ratings_part_order fills in the rows that
 * the ratings_part_ids indices of a part's side are now.
 */
extern int	ratings_parts(const Ratings *ratings);
extern uint32 ratings_part_ids(const Ratings *ratings, int part, AlsSide side);
extern void ratings_part_order(const Ratings *ratings, int part, AlsSide side,
							   uint32 *rows);
extern int	ratings_nsources(const Ratings *ratings);
extern void ratings_sources(const Ratings *ratings, TripletSource *sources);

/* Where they lie if others are to see them: NULL if they do not */
extern Arena *ratings_store(Ratings *ratings);

/* The triplets are sorted: frees them, unless they are kept. */
extern void ratings_use_up(Ratings *ratings);

/*
 * Frees the triplets and what holds them: to be called where ratings may not be
 * sorted, unless it is an error that prevents it.
 */
extern void ratings_close(Ratings *ratings);

/*
 * The indices in a map that a side's ids have, converted from their type, in
 * final order; NOT_THERE for ids that it lacks and may not be added.  Ids that
 * become the same one are one row from then on, so that no index comes twice.
 * To be called before the ratings are sorted.
 */
#define NOT_THERE PG_UINT32_MAX
extern uint32 *ratings_map_ids(Ratings *ratings, AlsSide side, IdMap *map,
							   bool add);

/* Raises that there is nothing to train from. */
extern void reject_no_ratings(void);

/* Raises that an id type has no equality or hash to count by. */
extern void reject_unhashable(Oid type, const char *column);

#endif							/* ALS_RATINGS_H */
