/*
 * idmap.c
 *	  A map from ids of any hashable type to dense indices and back.
 *
 * Integers have a table of their own, small and without calls, and those that
 * are small for their number an array in front of it; all other types share a
 * table that goes through the type's functions.  Where a type has values
 * that are equal but not identical (numeric 1.0 and 1.00, text under a
 * nondeterministic collation), the one whose bytes come first is kept, so that
 * the order in which they arrive does not show.
 */
#include "compat.h"

#include "common/bulk.h"
#include "common/idmap.h"
#include "port/pg_bitutils.h"

/* The array in front of the integers' table has this many places per id. */
#define DIRECT_SHARE 8
#define NO_INDEX PG_UINT32_MAX

/* Ids between two chances to be interrupted */
#define INTERRUPT_STEP 65536

typedef struct IntegerEntry
{
	int64		id;
	uint32		index;
	uint32		status;			/* simplehash's */
} IntegerEntry;

typedef struct IdEntry
{
	Datum		id;
	uint32		hash;
	uint32		index;
	uint32		status;			/* simplehash's */
} IdEntry;

static inline bool id_entry_equal(const IdType *type, Datum a, Datum b);

#define SH_PREFIX		integerhash
#define SH_ELEMENT_TYPE	IntegerEntry
#define SH_USE_NONDEFAULT_ALLOCATOR
#define SH_KEY_TYPE		int64
#define SH_KEY			id
#define SH_HASH_KEY(tb, key)	((uint32) id_hash_integer(key))
#define SH_EQUAL(tb, a, b)		((a) == (b))
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static inline void *
integerhash_allocate(integerhash_hash * hash, Size size)
{
	void	   *entries = allocate_large(hash->ctx, size);

	zero_large(entries, size);
	return entries;
}

static inline void
integerhash_free(integerhash_hash * hash, void *entries)
{
	pfree(entries);
}

#define SH_PREFIX		idhash
#define SH_ELEMENT_TYPE	IdEntry
#define SH_KEY_TYPE		Datum
#define SH_KEY			id
#define SH_HASH_KEY(tb, key)	((uint32) id_hash((tb)->private_data, key))
#define SH_EQUAL(tb, a, b)		id_entry_equal((tb)->private_data, a, b)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, entry)	((entry)->hash)
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct IdMap
{
	MemoryContext context;		/* everything below, this struct included */
	IdType		type;
	integerhash_hash *integers; /* one of these two is NULL */
	idhash_hash *hash;
	uint32	   *direct;			/* [direct_size] indices of the integers from
								 * 0, NO_INDEX if not there */
	uint64		direct_size;
	Datum	   *ids;			/* [size], by index */
	uint32		size;
	uint32		capacity;
};

static inline bool
id_entry_equal(const IdType *type, Datum a, Datum b)
{
	return id_equal(type, a, b);
}

IdMap *
idmap_create(MemoryContext parent, const IdType *type)
{
	MemoryContext context = AllocSetContextCreate(parent, "als ids",
												  ALLOCSET_DEFAULT_SIZES);
	IdMap	   *map = MemoryContextAllocZero(context, sizeof(IdMap));

	map->context = context;
	map->type = *type;
	id_type_own(&map->type, context);
	if (type->integer)
		map->integers = integerhash_create(context, 256, NULL);
	else
		map->hash = idhash_create(context, 256, &map->type);
	map->capacity = 256;
	map->ids = MemoryContextAlloc(context, map->capacity * sizeof(Datum));
	return map;
}

/*
 * Makes room for one more id.  Whatever can fail on the way to an index is
 * done before the id is entered, so that an error leaves the map as it was.
 */
static inline void
reserve_index(IdMap *map)
{
	if (map->size >= PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many different ids"),
				 errdetail("A model holds at most %d users and as many items.",
						   PG_INT32_MAX)));
	if (map->size == map->capacity)
	{
		map->ids = repalloc_huge(map->ids,
								 2 * (size_t) map->capacity * sizeof(Datum));
		map->capacity *= 2;
	}
}

/* Gives the reserved index to an id, a copy of the map's own. */
static inline uint32
take_index(IdMap *map, Datum id)
{
	map->ids[map->size] = id;
	return map->size++;
}

/* Lengthens the array until it has a place for id, and fills it in anew. */
static void
grow_direct(IdMap *map, int64 id)
{
	uint64		size = Max(1024, pg_nextpower2_64((uint64) id + 1));
	uint32	   *direct;

	direct = allocate_large(map->context, size * sizeof(uint32));
	set_large(direct, -1, size * sizeof(uint32));
	for (uint32 i = 0; i < map->size; i++)
	{
		int64		known = id_integer(&map->type, map->ids[i]);

		if (i % INTERRUPT_STEP == 0)
			CHECK_FOR_INTERRUPTS();
		if (known >= 0 && (uint64) known < size)
			direct[known] = i;
	}
	/* an interrupt has left the map as it was */
	if (map->direct != NULL)
		pfree(map->direct);
	map->direct = direct;
	map->direct_size = size;
}

/* Is a place of the array in front that of an id? */
static inline bool
in_direct(const IdMap *map, int64 id)
{
	return id >= 0 && (uint64) id < map->direct_size;
}

uint32
idmap_add_integer(IdMap *map, int64 id)
{
	bool		found;
	IntegerEntry *entry;

	if (in_direct(map, id))
	{
		if (unlikely(map->direct[id] == NO_INDEX))
		{
			reserve_index(map);
			map->direct[id] = take_index(map, id_from_integer(&map->type, id));
		}
		return map->direct[id];
	}
	reserve_index(map);
	entry = integerhash_insert(map->integers, id, &found);
	if (!found)
	{
		entry->index = take_index(map, id_from_integer(&map->type, id));
		if (id >= 0 && id < (int64) DIRECT_SHARE * map->size)
		{
			uint32		index = entry->index;

			grow_direct(map, id);
			return index;
		}
	}
	return entry->index;
}

/* The index of an integer, or NO_INDEX */
static inline uint32
find_integer(IdMap *map, int64 id)
{
	IntegerEntry *entry;

	if (in_direct(map, id))
		return map->direct[id];
	entry = integerhash_lookup(map->integers, id);
	return entry != NULL ? entry->index : NO_INDEX;
}

void
idmap_prefetch_integer(const IdMap *map, int64 id)
{
	if (in_direct(map, id))
		__builtin_prefetch(&map->direct[id]);
	else
		__builtin_prefetch(&map->integers->data[(uint32) id_hash_integer(id) &
												map->integers->sizemask]);
}

uint32
idmap_add(IdMap *map, Datum id)
{
	IdEntry    *entry;
	MemoryContext old;
	bool		found;

	if (map->integers != NULL)
		return idmap_add_integer(map, id_integer(&map->type, id));

	entry = idhash_lookup(map->hash, id);
	if (entry != NULL && id_compare_image(&map->type, id, entry->id) >= 0)
		return entry->index;

	old = MemoryContextSwitchTo(map->context);
	id = id_copy(&map->type, id);
	MemoryContextSwitchTo(old);
	if (entry != NULL)
	{
		entry->id = map->ids[entry->index] = id;
		return entry->index;
	}
	reserve_index(map);
	entry = idhash_insert(map->hash, id, &found);
	entry->index = take_index(map, id);
	return entry->index;
}

bool
idmap_find(IdMap *map, Datum id, uint32 *index)
{
	if (map->integers != NULL)
	{
		*index = find_integer(map, id_integer(&map->type, id));
		return *index != NO_INDEX;
	}
	else
	{
		IdEntry    *entry = idhash_lookup(map->hash, id);

		if (entry != NULL)
			*index = entry->index;
		return entry != NULL;
	}
}

Datum
idmap_id(const IdMap *map, uint32 index)
{
	return map->ids[index];
}

uint32
idmap_size(const IdMap *map)
{
	return map->size;
}

const IdType *
idmap_type(const IdMap *map)
{
	return &map->type;
}
