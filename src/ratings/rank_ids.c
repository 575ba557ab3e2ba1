/*
 * rank_ids.c
 *	  The order of a side's ids: by falling popularity, ties by their hash.
 */
#include "compat.h"

#include "ratings/rank_ids.h"

/* An id with what it is ranked by */
typedef struct RankedId
{
	uint64		count;
	uint64		hash;
	Datum		id;
	uint32		arrival;
} RankedId;

static inline int
compare_ranked(const RankedId *a, const RankedId *b, IdType *type)
{
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return id_compare_image(type, a->id, b->id);
}

#define ST_SORT sort_ranked_ids
#define ST_ELEMENT_TYPE RankedId
#define ST_COMPARE(a, b, arg) compare_ranked(a, b, arg)
#define ST_COMPARE_ARG_TYPE IdType
#define ST_SCOPE static
#define ST_CHECK_FOR_INTERRUPTS
#define ST_DEFINE
#include "lib/sort_template.h"

void
rank_ids(RatedIds *ranked, IdMap *map, const uint64 *counts,
		 MemoryContext context)
{
	uint32		size = idmap_size(map);
	IdType	   *type = unconstify(IdType *, idmap_type(map));
	RankedId   *sorted = MemoryContextAllocHuge(context,
												size * sizeof(RankedId));

	for (uint32 i = 0; i < size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		sorted[i].count = counts[i];
		sorted[i].id = idmap_id(map, i);
		sorted[i].hash = id_hash(type, sorted[i].id);
		sorted[i].arrival = i;
	}
	sort_ranked_ids(sorted, size, type);

	ranked->size = size;
	ranked->ids = MemoryContextAllocHuge(context, size * sizeof(Datum));
	ranked->counts = MemoryContextAllocHuge(context, size * sizeof(uint64));
	ranked->order = MemoryContextAllocHuge(context, size * sizeof(uint32));
	for (uint32 i = 0; i < size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ranked->ids[i] = sorted[i].id;
		ranked->counts[i] = sorted[i].count;
		ranked->order[sorted[i].arrival] = i;
	}
	pfree(sorted);
}
