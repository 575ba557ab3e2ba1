/*
 * live_ratings.h
 *	  What users and items have in the ratings that a model was trained from,
 *	  as of now.
 */
#ifndef ALS_LIVE_RATINGS_H
#define ALS_LIVE_RATINGS_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "ratings/source.h"
#include "serve/fold_in.h"

/*
 * Reads one user's or item's ratings, in the current memory context, as the
 * caller; raises for those that a training would not take.  With the
 * statement's snapshot, or with one that is taken now.  The model has a
 * source.  Whoever calls this or the following asks cache_replaced afterwards:
 * the source may be a view that uses models itself.
 */
extern void live_ratings_read(ModelCache *cache, AlsSide side, Datum id,
							  bool with_active_snapshot, const char *function,
							  RowRatings *row);

/* Adds to a set what an id has: the items of a user, or an item's users. */
extern void live_ratings_add_seen(ModelCache *cache, AlsSide side, Datum id,
								  const char *function, IdMap *others);

/*
 * Adds to a condition on the ratings that a column is one of the ids, if that may
 * be said in text and they are few; to read too much is not wrong.
 */
extern void live_ratings_only(StringInfo condition, const char *column,
							  IdMap *wanted);

/*
 * The type, other than a domain, of the column of the ratings with their time;
 * raises unless it is one.  named: it is the call that names it, not the model.
 */
extern Oid	live_ratings_time_type(SourceReading *reading,
								   const SourceReader *reader,
								   const char *time_column, bool named);

/* A time as one of that type */
extern Datum live_ratings_time(TimestampTz time, Oid type);

/* "left operator right", by which ids are equal as their type has it. */
extern char *id_equality(const char *left, const char *right,
						 const IdType *type);

#endif							/* ALS_LIVE_RATINGS_H */
