/*
 * map_ids.c
 *	  The ids of ratings as those of another map, of another type perhaps.
 */
#include "compat.h"

#include "common/id_conversion.h"
#include "common/side.h"
#include "ratings/ratings.h"
#include "utils/memutils.h"

/* The row of an id: that of an equal one which came before, or the next. */
static uint32
row_of_id(IdMap *different, uint32 *rows, Datum id, uint32 next)
{
	uint32		known = idmap_size(different);
	uint32		index = idmap_add(different, id);

	if (index == known)
		rows[index] = next;
	return rows[index];
}

uint32 *
ratings_map_ids(Ratings *ratings, AlsSide side, IdMap *map, bool add)
{
	RatedIds   *ids = unconstify(RatedIds *, ratings_ids(ratings, side));
	const IdType *own = idmap_type(ratings_map(ratings, side));
	const IdType *type = idmap_type(map);
	size_t		bytes = Max(ids->size, 1) * sizeof(uint32);
	uint32	   *indices = MemoryContextAllocHuge(CurrentMemoryContext, bytes);
	MemoryContext working = AllocSetContextCreate(CurrentMemoryContext,
												  "als mapping",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext context = AllocSetContextCreate(working, "als conversion",
												  ALLOCSET_SMALL_SIZES);
	uint32	   *rows = MemoryContextAllocHuge(working, bytes);
	IdMap	   *different = NULL;	/* where some may become the same */
	uint32	   *different_rows = NULL;
	uint32		size = ids->size;
	IdConversion conversion;

	id_conversion_init(&conversion, type, own->type, side_names[side],
					   CurrentMemoryContext);
	if (own->type != type->type || own->collation != type->collation)
	{
		different = idmap_create(working, type);
		different_rows = MemoryContextAllocHuge(working, bytes);
	}
	ids->size = 0;
	for (uint32 i = 0; i < size; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		uint32		index = NOT_THERE;
		Datum		id;

		CHECK_FOR_INTERRUPTS();
		rows[i] = ids->size;
		if (id_convert(&conversion, ids->ids[i], &id))
		{
			if (different != NULL)
				rows[i] = row_of_id(different, different_rows, id, ids->size);
			if (add)
				index = idmap_add(map, id);
			else if (!idmap_find(map, id, &index))
				index = NOT_THERE;
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);

		if (rows[i] < ids->size)
			ids->counts[rows[i]] += ids->counts[i];
		else
		{
			indices[ids->size] = index;
			ids->ids[ids->size] = ids->ids[i];
			ids->counts[ids->size++] = ids->counts[i];
		}
	}
	for (uint32 i = 0; i < size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ids->order[i] = rows[ids->order[i]];
	}
	MemoryContextDelete(working);
	return indices;
}
