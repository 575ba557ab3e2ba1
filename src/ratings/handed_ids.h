/*
 * handed_ids.h
 *	  The ids that a worker has read, on their way to the leader's map.
 */
#ifndef ALS_HANDED_IDS_H
#define ALS_HANDED_IDS_H

#include "common/idmap.h"
#include "utils/dsa.h"

/* One side of what a worker hands over, in shared memory */
typedef struct HandedIds
{
	uint32		size;
	dsa_pointer ids;			/* [size], one after another, each aligned */
	dsa_pointer counts;			/* uint64 [size] */
} HandedIds;

/* Copies a side's ids and counts, by order of arrival, to shared memory. */
extern void hand_over_ids(HandedIds *handed, IdMap *map, const uint64 *counts,
						  dsa_area *area);

/*
 * Adds a worker's ids to the leader's map.  Returns their indices there, [size],
 * in a context; id_context is reset for every id.
 */
extern uint32 *take_ids(const HandedIds *handed, IdMap *map, dsa_area *area,
						MemoryContext context, MemoryContext id_context);

#endif							/* ALS_HANDED_IDS_H */
