/*
 * rank_ids.h
 *	  The order of a side's ids.
 */
#ifndef ALS_RANK_IDS_H
#define ALS_RANK_IDS_H

#include "ratings/ratings.h"

/*
 * Ranks a side's ids, whose counts are by order of arrival, by falling popularity;
 * what it returns is allocated in a context, what it needs besides in the current one.
 */
extern void rank_ids(RatedIds *ranked, IdMap *map, const uint64 *counts,
					 MemoryContext context);

#endif							/* ALS_RANK_IDS_H */
