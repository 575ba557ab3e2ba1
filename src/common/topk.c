/*
 * topk.c
 *	  The k best of a stream of scored items, on PostgreSQL's binary heap with
 *	  the worst of them on top.
 */
#include "compat.h"

#include <math.h>

#include "common/topk.h"
#include "lib/binaryheap.h"

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

TopK *
topk_create(const IdType *type, uint32 k)
{
	TopK	   *topk = palloc(sizeof(TopK));

	topk->type = type;
	topk->k = k;
	topk->size = 0;
	topk->least = INFINITY;
	topk->items = MemoryContextAllocHuge(CurrentMemoryContext,
										 Max(k, 1) * sizeof(ScoredItem));
	topk->heap = binaryheap_allocate(Max(k, 1), compare_worse,
									 unconstify(IdType *, type));
	return topk;
}

/* The worst item kept. */
static inline ScoredItem *
worst(const TopK *topk)
{
	return (ScoredItem *) DatumGetPointer(binaryheap_first(topk->heap));
}

void
topk_add(TopK *topk, Datum id, float score)
{
	ScoredItem	item = {score, id};
	ScoredItem *slot;

	if (topk->size < topk->k)
	{
		slot = &topk->items[topk->size++];
		slot->score = score;
		slot->id = id_copy(topk->type, id);
		binaryheap_add(topk->heap, PointerGetDatum(slot));
		topk->least = worst(topk)->score;
		return;
	}
	if (topk->k == 0 ||
		compare_worse(PointerGetDatum(&item),
					  binaryheap_first(topk->heap),
					  unconstify(IdType *, topk->type)) >= 0)
		return;
	slot = worst(topk);
	if (!topk->type->typbyval)
		pfree(DatumGetPointer(slot->id));
	slot->score = score;
	slot->id = id_copy(topk->type, id);
	binaryheap_replace_first(topk->heap, PointerGetDatum(slot));
	topk->least = worst(topk)->score;
}

ScoredItem *
topk_finish(TopK *topk, uint32 *size)
{
	ScoredItem *sorted = MemoryContextAllocHuge(CurrentMemoryContext,
												Max(topk->size, 1) *
												sizeof(ScoredItem));

	for (uint32 i = topk->size; i > 0; i--)
	{
		CHECK_FOR_INTERRUPTS();
		sorted[i - 1] = *(ScoredItem *)
			DatumGetPointer(binaryheap_remove_first(topk->heap));
	}
	*size = topk->size;
	return sorted;
}
