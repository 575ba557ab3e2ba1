/*
 * batch_lists.c
 *	  What lists of a batch are chosen by: shared by the processes, and applied to
 *	  a user's ranking.
 */
#include "compat.h"

#include "serve/batch_lists.h"

void
batch_lists_lay_out(BatchTopK *layout, const Shortlist *list,
					const Boosts *boosts, IdMap *items)
{
	layout->diversity = list->diversity;
	if (list->groups != NULL)
	{
		layout->per_group = list->per_group;
		layout->ngroups = list->kinds == NULL ? 0 : idmap_size(list->kinds);
	}
	if (boosts == NULL)
		return;
	layout->multiply = boosts->multiply;
	for (uint32 i = 0; i < idmap_size(boosts->items); i++)
	{
		uint32		item;

		CHECK_FOR_INTERRUPTS();
		if (idmap_find(items, idmap_id(boosts->items, i), &item))
			layout->nboosts++;
	}
}

/* Fills in which items have a boost. */
static void
place_boosts(BatchTopK *job, const Boosts *boosts, IdMap *items,
			 const uint32 *places)
{
	uint64	   *has_boost = batch_topk_has_boost(job);
	uint32		n = 0;

	memset(has_boost, 0, batch_topk_words(job) * sizeof(uint64));
	for (uint32 i = 0; i < idmap_size(boosts->items); i++)
	{
		uint32		item;

		CHECK_FOR_INTERRUPTS();
		if (!idmap_find(items, idmap_id(boosts->items, i), &item))
			continue;
		item = places[item];
		batch_topk_boosted(job)[n] = item;
		batch_topk_amounts(job)[n++] = boosts->amounts[i];
		has_boost[item / 64] |= UINT64CONST(1) << item % 64;
	}
}

void
batch_lists_place(BatchTopK *job, const Shortlist *list, const Boosts *boosts,
				  IdMap *items, const uint32 *places)
{
	if (job->nboosts > 0)
		place_boosts(job, boosts, items, places);
	if (job->per_group > 0)
		for (uint32 i = 0; i < job->nitems; i++)
		{
			CHECK_FOR_INTERRUPTS();
			batch_topk_groups(job)[places[i]] =
				shortlist_group(list, idmap_id(items, i));
		}
}

uint32
batch_lists_choose(const BatchTopK *job, const AlsKernels *kernels,
				   const AlsRankedItem *ranking, uint32 size,
				   AlsRankedItem *list)
{
	size_t		bytes = Max(size, 1) * sizeof(uint32);
	float	   *scores = MemoryContextAllocHuge(CurrentMemoryContext, bytes);
	uint32	   *groups = MemoryContextAllocHuge(CurrentMemoryContext, bytes);
	const float **rows = MemoryContextAllocHuge(CurrentMemoryContext,
												Max(size, 1) * sizeof(float *));
	uint32		k = Min(job->k, size);
	uint32	   *chosen = MemoryContextAllocHuge(CurrentMemoryContext, bytes);
	AlsShortlist shortlist = {
		.size = size,
		.scores = scores,
		.groups = job->per_group > 0 ? groups : NULL,
		.ngroups = job->ngroups,
		.per_group = job->per_group,
		.diversity = job->diversity,
		.stride = job->stride,
		.factors = job->factors,
		.rows = rows
	};
	uint32		chosen_size;

	for (uint32 i = 0; i < size; i++)
	{
		uint32		item = ranking[i].order;

		scores[i] = ranking[i].score;
		rows[i] = batch_topk_items(job) + (size_t) item * job->stride;
		if (job->per_group > 0)
			groups[i] = batch_topk_groups(job)[item];
	}
	chosen_size = shortlist_rerank(&shortlist, kernels, k, chosen);
	for (uint32 i = 0; i < chosen_size; i++)
		list[i] = ranking[chosen[i]];
	return chosen_size;
}
