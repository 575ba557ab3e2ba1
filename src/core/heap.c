/*
 * heap.c
 *	  The best of many scored items, in a bounded heap.
 */
#include "als_heap.h"

/* Does a come before b? */
static inline int
is_better(AlsRankedItem a, AlsRankedItem b)
{
	return a.score > b.score || (a.score == b.score && a.order < b.order);
}

/* Puts an item at a place of a heap or below, where none below is worse. */
static void
sift_down(AlsRankedItem *heap, uint32_t size, uint32_t place,
		  AlsRankedItem item)
{
	for (;;)
	{
		uint32_t	child = 2 * place + 1;

		if (child >= size)
			break;
		if (child + 1 < size && is_better(heap[child], heap[child + 1]))
			child++;
		if (!is_better(item, heap[child]))
			break;
		heap[place] = heap[child];
		place = child;
	}
	heap[place] = item;
}

/* Puts an item at a place of a heap or above, where none above is better. */
static void
sift_up(AlsRankedItem *heap, uint32_t place, AlsRankedItem item)
{
	while (place > 0 && is_better(heap[(place - 1) / 2], item))
	{
		heap[place] = heap[(place - 1) / 2];
		place = (place - 1) / 2;
	}
	heap[place] = item;
}

void
als_heap_add(AlsRankedItem *heap, uint32_t *size, uint32_t capacity,
			 AlsRankedItem item)
{
	if (*size < capacity)
		sift_up(heap, (*size)++, item);
	else if (capacity > 0 && is_better(item, heap[0]))
		sift_down(heap, capacity, 0, item);
}

void
als_heap_sort(AlsRankedItem *items, uint32_t size, AlsPoll poll)
{
	AlsWork		work = {poll, 0};

	/* makes a heap, then moves its worst item to the end again and again */
	for (uint32_t i = size / 2; i > 0; i--)
	{
		sift_down(items, size, i - 1, items[i - 1]);
		als_work(&work, ALS_HEAP_WORK);
	}
	for (uint32_t end = size; end > 1; end--)
	{
		AlsRankedItem worst = items[0];

		sift_down(items, end - 1, 0, items[end - 1]);
		items[end - 1] = worst;
		als_work(&work, ALS_HEAP_WORK);
	}
}
