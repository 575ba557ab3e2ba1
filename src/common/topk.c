/*
 * topk.c
 *	  The k best of a stream of scored items, in a heap with the worst of them on top;
 *	  there is none while all items are kept.
 *
 * So memory is what there are items for, however large k.  PostgreSQL's binary heap
 * calls a function for each comparison, which is most of what a long list costs.
 */
#include "compat.h"

#include <math.h>

#include "common/topk.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#define FIRST_CAPACITY 256		/* items */

/* Is a the worse one? */
static inline bool
is_worse(const IdType *type, const ScoredItem *a, const ScoredItem *b)
{
	return a->score != b->score ? a->score < b->score :
		id_compare(type, a->id, b->id) > 0;
}

/* Better items first */
#define ST_SORT sort_items
#define ST_ELEMENT_TYPE ScoredItem
#define ST_COMPARE(a, b, type) \
	((a)->score != (b)->score ? ((a)->score < (b)->score ? 1 : -1) : \
	 id_compare(type, (a)->id, (b)->id))
#define ST_COMPARE_ARG_TYPE const IdType
#define ST_CHECK_FOR_INTERRUPTS
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

TopK *
topk_create(const IdType *type, uint32 k)
{
	TopK	   *topk = palloc(sizeof(TopK));

	topk->type = type;
	topk->k = k;
	topk->size = 0;
	topk->capacity = Max(Min(k, FIRST_CAPACITY), 1);
	topk->least = k == 0 ? INFINITY : -INFINITY;
	topk->items = palloc(topk->capacity * sizeof(ScoredItem));
	topk->has_heap = false;
	return topk;
}

/* Puts an item at a place of the heap or below, where none below is worse. */
static void
sift_down(TopK *topk, uint32 place, ScoredItem item)
{
	ScoredItem *items = topk->items;

	for (;;)
	{
		uint32		child = 2 * place + 1;

		if (child >= topk->k)
			break;
		if (child + 1 < topk->k &&
			is_worse(topk->type, &items[child + 1], &items[child]))
			child++;
		if (!is_worse(topk->type, &items[child], &item))
			break;
		items[place] = items[child];
		place = child;
	}
	items[place] = item;
}

/* Makes the heap, of k items, once there is one more. */
static void
make_heap(TopK *topk)
{
	for (uint32 place = topk->k / 2; place > 0; place--)
	{
		CHECK_FOR_INTERRUPTS();
		sift_down(topk, place - 1, topk->items[place - 1]);
	}
	topk->has_heap = true;
	topk->least = topk->items[0].score;
}

void
topk_add(TopK *topk, Datum id, float score, uint32 row)
{
	ScoredItem	item = {score, row, id};

	if (topk->size < topk->k)
	{
		if (topk->size == topk->capacity)
		{
			topk->capacity = Min((uint64) topk->capacity * 2, topk->k);
			topk->items = repalloc_huge(topk->items,
										topk->capacity * sizeof(ScoredItem));
		}
		item.id = id_copy(topk->type, id);
		topk->items[topk->size++] = item;
		return;
	}
	if (topk->k == 0)
		return;
	if (!topk->has_heap)
		make_heap(topk);
	if (!is_worse(topk->type, &topk->items[0], &item))
		return;
	if (!topk->type->typbyval)
		pfree(DatumGetPointer(topk->items[0].id));
	item.id = id_copy(topk->type, id);
	sift_down(topk, 0, item);
	topk->least = topk->items[0].score;
}

ScoredItem *
topk_finish(TopK *topk, uint32 *size)
{
	sort_items(topk->items, topk->size, topk->type);
	*size = topk->size;
	return topk->items;
}
