/*
 * best.c
 *	  The best of many scored items, in a heap whose top is the worst.
 */
#include "als_ranking.h"

/* Numbers that an item reads on its way through a heap, at most */
#define SINK_WORK 32

/* Does a come before b? */
static inline int
is_better(AlsRankedItem a, AlsRankedItem b)
{
	return a.score > b.score || (a.score == b.score && a.order < b.order);
}

/* Puts an item at a place of a heap and lets it sink. */
static void
sink(AlsRankedItem *heap, uint32_t size, uint32_t place, AlsRankedItem item)
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

/* Adds an item to a heap that has room. */
static void
rise(AlsRankedItem *heap, uint32_t place, AlsRankedItem item)
{
	while (place > 0 && is_better(heap[(place - 1) / 2], item))
	{
		heap[place] = heap[(place - 1) / 2];
		place = (place - 1) / 2;
	}
	heap[place] = item;
}

void
als_best_add(AlsRankedItem *heap, uint32_t *size, uint32_t capacity,
			 AlsRankedItem item)
{
	if (*size < capacity)
		rise(heap, (*size)++, item);
	else if (capacity > 0 && is_better(item, heap[0]))
		sink(heap, capacity, 0, item);
}

void
als_best_sort(AlsRankedItem *items, uint32_t size, AlsPoll poll)
{
	AlsWork		work = {poll, 0};

	/* the heap's top is the worst: taken away in turn, to the end */
	for (uint32_t i = size / 2; i > 0; i--)
	{
		sink(items, size, i - 1, items[i - 1]);
		als_work(&work, SINK_WORK);
	}
	for (uint32_t end = size; end > 1; end--)
	{
		AlsRankedItem worst = items[0];

		sink(items, end - 1, 0, items[end - 1]);
		items[end - 1] = worst;
		als_work(&work, SINK_WORK);
	}
}
