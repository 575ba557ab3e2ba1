/*
 * track.h
 *	  The queue of a model's ratings that have changed.
 */
#ifndef ALS_TRACK_H
#define ALS_TRACK_H

#include "tcop/dest.h"
#include "utils/relcache.h"

/*
 * Takes what is in the queue of a model, and nobody else is taking, out of it: the
 * receiver gets users and items.  That is undone with the transaction.  Raises if
 * the model is not tracked.
 */
extern void queue_take(Oid model, DestReceiver *receiver);

/*
 * Is a table as als_track makes queues: two columns, and nothing that would run, or
 * have a say, when a row is added?
 */
extern bool queue_is_plain(Relation relation);

/* The types of its users and items, by AlsSide; raises likewise. */
extern void queue_types(Oid model, Oid types[2]);

#endif							/* ALS_TRACK_H */
