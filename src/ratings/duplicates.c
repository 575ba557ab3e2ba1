/*
 * duplicates.c
 *	  Several ratings of a pair merged into one, whatever their order.
 */
#include "compat.h"

#include <math.h>

#include "miscadmin.h"
#include "ratings/csr_blocks.h"
#include "utils/memutils.h"

#define ST_SORT sort_entries
#define ST_ELEMENT_TYPE AlsEntry
#define ST_CHECK_FOR_INTERRUPTS
#define ST_COMPARE(a, b) \
	((a)->column != (b)->column ? ((a)->column < (b)->column ? -1 : 1) : \
	 (a)->rating < (b)->rating ? -1 : (a)->rating > (b)->rating ? 1 : 0)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* An entry with its weight */
typedef struct WeightedEntry
{
	AlsEntry	entry;
	float		weight;
} WeightedEntry;

#define ST_SORT sort_weighted_entries
#define ST_ELEMENT_TYPE WeightedEntry
#define ST_CHECK_FOR_INTERRUPTS
#define ST_COMPARE(a, b) \
	((a)->entry.column != (b)->entry.column ? \
	 ((a)->entry.column < (b)->entry.column ? -1 : 1) : \
	 (a)->entry.rating != (b)->entry.rating ? \
	 ((a)->entry.rating < (b)->entry.rating ? -1 : 1) : \
	 (a)->weight < (b)->weight ? -1 : (a)->weight > (b)->weight ? 1 : 0)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* Raises for what duplicates sum up to. */
pg_noreturn static void
reject_sum(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("sum of duplicate %s is out of range for type real", what),
			 errhint("Scale the %s down.", what)));
}

/* Sorts entries, whose weights go with them. */
static void
sort_with_weights(AlsEntry *entries, float *weights, uint64 size)
{
	WeightedEntry *sorted = MemoryContextAllocHuge(CurrentMemoryContext,
												   size * sizeof(WeightedEntry));

	for (uint64 k = 0; k < size; k++)
	{
		CHECK_FOR_INTERRUPTS();
		sorted[k].entry = entries[k];
		sorted[k].weight = weights[k];
	}
	sort_weighted_entries(sorted, size);
	for (uint64 k = 0; k < size; k++)
	{
		CHECK_FOR_INTERRUPTS();
		entries[k] = sorted[k].entry;
		weights[k] = sorted[k].weight;
	}
	pfree(sorted);
}

/* One rating and weight for several of a pair, whatever their order. */
static void
average(AlsEntry *entries, float *weights, uint64 size)
{
	double		sum = 0;
	double		weight = 0;

	sort_with_weights(entries, weights, size);
	for (uint64 k = 0; k < size; k++)
	{
		CHECK_FOR_INTERRUPTS();
		sum += (double) weights[k] * entries[k].rating;
		weight += weights[k];
	}
	entries[0].rating = (float) (sum / weight);
	weights[0] = (float) weight;
	if (!isfinite(weights[0]))
		reject_sum("weights");
}

/* The same without weights: their sum, or their mean. */
static void
add_up(AlsEntry *entries, uint64 size, AlsFeedback feedback)
{
	double		sum = 0;

	sort_entries(entries, size);
	for (uint64 k = 0; k < size; k++)
	{
		CHECK_FOR_INTERRUPTS();
		sum += entries[k].rating;
	}
	if (feedback == ALS_EXPLICIT)
		sum /= (double) size;
	entries[0].rating = (float) sum;
	if (!isfinite(entries[0].rating))
		reject_sum("ratings");
}

uint64
merge_duplicates(AlsEntry *entries, float *weights, uint64 size,
				 AlsFeedback feedback)
{
	uint64		merged = 0;

	for (uint64 i = 0; i < size;)
	{
		uint64		end = i + 1;

		CHECK_FOR_INTERRUPTS();
		while (end < size && entries[end].column == entries[i].column)
		{
			CHECK_FOR_INTERRUPTS();
			end++;
		}
		if (end - i > 1 && weights != NULL)
			average(&entries[i], &weights[i], end - i);
		else if (end - i > 1)
			add_up(&entries[i], end - i, feedback);
		if (weights != NULL)
			weights[merged] = weights[i];
		entries[merged++] = entries[i];
		i = end;
	}
	return merged;
}

uint64
sort_and_merge(AlsEntry *entries, float *weights, uint64 size,
			   AlsFeedback feedback)
{
	uint64		ascending = Min(size, 1);

	while (ascending < size &&
		   entries[ascending - 1].column < entries[ascending].column)
		ascending++;
	if (ascending == size)
		return size;
	if (weights != NULL)
		sort_with_weights(entries, weights, size);
	else
		sort_entries(entries, size);
	return merge_duplicates(entries, weights, size, feedback);
}
