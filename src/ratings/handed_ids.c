/*
 * handed_ids.c
 *	  The ids that a worker has read, on their way to the leader's map.
 */
#include "compat.h"

#include "common/arena.h"
#include "common/bulk.h"
#include "ratings/handed_ids.h"
#include "utils/datum.h"
#include "utils/memutils.h"

/* How many bytes an id takes when it is handed over */
static inline size_t
handed_size(const IdType *type, Datum id)
{
	return type->typbyval ? sizeof(Datum) :
		MAXALIGN(datumGetSize(id, false, type->typlen));
}

void
hand_over_ids(HandedIds *handed, IdMap *map, const uint64 *counts,
			  dsa_area *area)
{
	const IdType *type = idmap_type(map);
	uint32		size = idmap_size(map);
	size_t		bytes = 0;
	char	   *to;

	for (uint32 i = 0; i < size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		bytes += handed_size(type, idmap_id(map, i));
	}
	handed->size = size;
	handed->ids = arena_area_allocate(area, Max(bytes, 1), "ids");
	handed->counts = arena_area_allocate(area, Max(size, 1) * sizeof(uint64), "ids");
	copy_large(dsa_get_address(area, handed->counts), counts,
			   size * sizeof(uint64));
	to = dsa_get_address(area, handed->ids);
	for (uint32 i = 0; i < size; i++)
	{
		Datum		id = idmap_id(map, i);
		size_t		id_size = handed_size(type, id);

		CHECK_FOR_INTERRUPTS();
		if (type->typbyval)
			memcpy(to, &id, sizeof(Datum));
		else
			memcpy(to, DatumGetPointer(id),
				   datumGetSize(id, false, type->typlen));
		to += id_size;
	}
}

uint32 *
take_ids(const HandedIds *handed, IdMap *map, dsa_area *area,
		 MemoryContext context, MemoryContext id_context)
{
	const IdType *type = idmap_type(map);
	char	   *from = dsa_get_address(area, handed->ids);
	uint32	   *indices = MemoryContextAllocHuge(context,
												 Max(handed->size, 1) * sizeof(uint32));

	for (uint32 i = 0; i < handed->size; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(id_context);
		Datum		id;

		CHECK_FOR_INTERRUPTS();
		if (type->typbyval)
			memcpy(&id, from, sizeof(Datum));
		else
			id = PointerGetDatum(from);
		indices[i] = idmap_add(map, id);
		from += handed_size(type, id);
		MemoryContextSwitchTo(old);
		MemoryContextReset(id_context);
	}
	return indices;
}
