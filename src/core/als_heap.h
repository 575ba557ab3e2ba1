/*
 * als_heap.h
 *	  The best of many scored items, in a bounded heap: public interface.
 *
 * Higher scores come first, equal scores by their place in the order of ids.
 */
#ifndef ALS_HEAP_H
#define ALS_HEAP_H

#include <stdint.h>

#include "als_poll.h"

typedef struct AlsRankedItem
{
	float		score;
	uint32_t	order;			/* of its id among all items' */
} AlsRankedItem;

/* Numbers that an item reads on its way through a heap, at most */
#define ALS_HEAP_WORK 32

/*
 * Keeps an item in a heap of size items if it is among the capacity best so
 * far.  The worst of them is heap[0].
 */
extern void als_heap_add(AlsRankedItem *heap, uint32_t *size,
						 uint32_t capacity, AlsRankedItem item);

/* Sorts items, best first; what was a heap is none any more. */
extern void als_heap_sort(AlsRankedItem *items, uint32_t size, AlsPoll poll);

#endif							/* ALS_HEAP_H */
