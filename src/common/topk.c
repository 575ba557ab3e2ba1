/*
 * topk.c
 *	  The k best of a stream of scored items, on PostgreSQL's binary heap with
 *	  the worst of them on top; there is none while all items are kept.
 *
 * So memory is what there are items for, however large k.
 */
#include "compat.h"

#include <math.h>

#include "common/topk.h"
#include "lib/binaryheap.h"
#include "utils/memutils.h"

#define FIRST_CAPACITY 256		/* items */

/* What PostgreSQL's heap has room for, beside its header */
#define LARGEST_HEAP ((uint32) (MaxAllocSize / sizeof(Datum) - 8))

/* Positive if a is the worse one: the heap's top is its greatest element. */
static int
compare_worse(Datum a, Datum b, void *arg)
{
	const ScoredItem *item_a = (const ScoredItem *) DatumGetPointer(a);
	const ScoredItem *item_b = (const ScoredItem *) DatumGetPointer(b);

	if (item_a->score != item_b->score)
		return item_a->score < item_b->score ? 1 : -1;
	return id_compare(arg, item_a->id, item_b->id);
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
	topk->heap = NULL;
	return topk;
}

/* Makes the heap, of k items, once there is one more. */
static void
make_heap(TopK *topk)
{
	if (topk->k > LARGEST_HEAP)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("k must not exceed %u where there are more rows",
						LARGEST_HEAP),
				 errhint("Ask for fewer, or for all of them.")));
	topk->heap = binaryheap_allocate(topk->k, compare_worse,
									 unconstify(IdType *, topk->type));
	for (uint32 i = 0; i < topk->k; i++)
		binaryheap_add_unordered(topk->heap, PointerGetDatum(&topk->items[i]));
	binaryheap_build(topk->heap);
}

/* The worst item kept. */
static inline ScoredItem *
worst(const TopK *topk)
{
	return (ScoredItem *) DatumGetPointer(binaryheap_first(topk->heap));
}

void
topk_add(TopK *topk, Datum id, float score, uint32 row)
{
	ScoredItem	item = {score, row, id};
	ScoredItem *slot;

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
	if (topk->heap == NULL)
	{
		make_heap(topk);
		topk->least = worst(topk)->score;
	}
	if (compare_worse(PointerGetDatum(&item),
					  binaryheap_first(topk->heap),
					  unconstify(IdType *, topk->type)) >= 0)
		return;
	slot = worst(topk);
	if (!topk->type->typbyval)
		pfree(DatumGetPointer(slot->id));
	slot->score = score;
	slot->row = row;
	slot->id = id_copy(topk->type, id);
	binaryheap_replace_first(topk->heap, PointerGetDatum(slot));
	topk->least = worst(topk)->score;
}

ScoredItem *
topk_finish(TopK *topk, uint32 *size)
{
	sort_items(topk->items, topk->size, topk->type);
	*size = topk->size;
	return topk->items;
}
