/*
 * history.h
 *	  What users and items have in the ratings that a model was trained from,
 *	  as of now.
 */
#ifndef ALS_HISTORY_H
#define ALS_HISTORY_H

#include "foldin.h"
#include "topk.h"

/*
 * Reads one user's or item's ratings, in the current memory context, as the
 * caller; raises for those that a training would not take.  With the
 * statement's snapshot, or with one that is taken now.  The model has a
 * source.  May make what is kept of the model invalid.
 */
extern void history_read(ModelCache *cache, AlsSide side, Datum id,
						 bool with_active_snapshot, const char *function,
						 RowRatings *row);

/*
 * Adds to a set the items that the user has.  May make what is kept of the
 * model invalid.
 */
extern void history_add_seen(ModelCache *cache, Datum user, IdMap *items);

/*
 * All items of the ratings by falling number of rows, which is their score,
 * equal ones in the order of ids.  Counted once per session and training,
 * unless als.cache_size does not allow to keep it.  The model has a source.
 */
extern const ScoredItem *history_popular(ModelCache *cache,
										 const char *function, uint64 *size);

/* "column operator $1", by which an id is found with its own equality. */
extern char *equals_parameter(const char *column, const IdType *type);

#endif							/* ALS_HISTORY_H */
