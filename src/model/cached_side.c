/*
 * cached_side.c
 *	  The factors of one side of a model that a backend keeps.
 *
 * Single ids are read through the index when they are first needed; a session
 * that asks for many gets the image of the whole side at once: one that another
 * backend has made (see shared_cache.c), or one made with a sequential scan.
 * What is shared counts as memory of every session that has it; a side that does
 * not fit into als.cache_size is never kept whole.
 *
 * Hashing and comparing ids may be user code, which may ask for the same side.
 * An image stays for as long as its version; rows that are kept one by one may
 * move, so a row is used before the next user code runs.
 */
#include "compat.h"

#include "access/table.h"
#include "common/arena.h"
#include "common/settings.h"
#include "model/model_cache.h"
#include "storage/bufmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* A side is kept whole after this many misses and this share of its rows. */
#define MISSES 1000
#define MISSES_SHARE 16

/* Beside a row: its entry in the map of ids, roughly */
#define ID_BYTES 64

#define FIRST_CAPACITY 64		/* rows */

/* Moves a side's rows to where there is room for capacity of them. */
static void
enlarge(SideCache *side, uint32 capacity, int stride)
{
	size_t		row_bytes = stride * sizeof(float);
	void	   *allocation;
	float	   *rows;

	if (side->ids == NULL)
		side->ids = idmap_create(side->context, &side->type);
	allocation = MemoryContextAllocHuge(side->context,
										capacity * row_bytes + ALS_ALIGNMENT);
	rows = (float *) TYPEALIGN(ALS_ALIGNMENT, allocation);
	if (side->allocation != NULL)
	{
		memcpy(rows, side->rows, side->capacity * row_bytes);
		pfree(side->allocation);
	}
	side->allocation = allocation;
	side->rows = rows;
	side->capacity = capacity;
}

/*
 * Keeps one more row.  If als.cache_size does not allow that, those before it
 * are forgotten.
 */
static void
keep_row(ModelCache *cache, AlsSide which, Datum id, const float *row)
{
	SideCache  *side = &cache->sides[which];
	bool		full = side->ids == NULL || idmap_size(side->ids) == side->capacity;
	uint32		capacity = Max(side->capacity * 2, FIRST_CAPACITY);

	if (full && !cache_make_room(capacity *
								 (cache->stride * sizeof(float) + ID_BYTES)))
	{
		cache_empty_side(cache, which,
						 AllocSetContextCreate(cache->context, "als factors",
											   ALLOCSET_DEFAULT_SIZES));
		return;
	}
	if (full)
		enlarge(side, capacity, cache->stride);

	side->busy = true;
	PG_TRY();
	{
		uint32		index = idmap_add(side->ids, id);

		memcpy(side->rows + (size_t) index * cache->stride, row,
			   cache->stride * sizeof(float));
		side->busy = false;
	}
	PG_CATCH();
	{
		/* busy as it is: a hash table that could not grow is no more */
		cache->changed = true;
		PG_RE_THROW();
	}
	PG_END_TRY();
}

uint64
cache_rows_limit(ModelCache *cache, AlsSide side)
{
	Relation	table;
	uint64		limit;

	if (cache->sides[side].image != NULL)
		return cache->sides[side].image->nrows;
	table = table_open(cache->run.factor_tables[side], AccessShareLock);
	limit = (uint64) RelationGetNumberOfBlocks(table) * MaxHeapTuplesPerPage;
	table_close(table, NoLock);
	return limit;
}

const float *
cache_lookup(ModelCache *cache, AlsSide which, Datum id)
{
	static float result[ALS_MAX_FACTORS + 32] pg_attribute_aligned(ALS_ALIGNMENT);
	float		row[ALS_MAX_FACTORS + 32];
	SideCache  *side = &cache->sides[which];
	uint32		index;

	if (side->image != NULL)
	{
		cache->counts.cache_hits++;
		return image_find(side->image, &side->type, id, &index) ?
			image_rows(side->image) + (size_t) index * cache->stride : NULL;
	}
	if (side->ids != NULL && !side->busy && idmap_find(side->ids, id, &index))
	{
		cache->counts.cache_hits++;
		return side->rows + (size_t) index * cache->stride;
	}

	/* a session that asks for many ids is better served with all of them */
	if (++side->misses >= (uint64) Max(MISSES, cache->run.rows[which] / MISSES_SHARE) &&
		!side->busy)
	{
		side->misses = 0;
		if (cache_load(cache, which))
			return cache_lookup(cache, which, id);
	}

	cache->counts.cache_misses++;
	if (!cache_fetch(cache, which, id, row))
		return NULL;
	if (side->image == NULL && !side->busy)
		keep_row(cache, which, id, row);

	/* the next user code may ask for another */
	memcpy(result, row, cache->stride * sizeof(float));
	return result;
}

/* What an image of a side is made from */
typedef struct Loading
{
	ModelCache *cache;
	AlsSide		side;
	Snapshot	snapshot;		/* NULL: nothing has been read yet */
	uint64		rows;
	size_t		id_bytes;
	Image	   *image;
} Loading;

/* Visits an id to measure the image. */
static void
measure_id(Datum id, void *arg)
{
	Loading    *loading = arg;

	loading->rows++;
	loading->id_bytes +=
		image_id_bytes(&loading->cache->sides[loading->side].type, id);
}

/* The size of the image, of what a snapshot taken now sees. */
static size_t
measure_side(void *arg)
{
	Loading    *loading = arg;
	ModelCache *cache = loading->cache;

	if (loading->snapshot == NULL)
	{
		loading->snapshot = cache_snapshot(cache);
		cache_scan_ids(cache, loading->side, loading->snapshot, measure_id,
					   loading);
		if (loading->rows > PG_INT32_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("too many rows in factor table \"%s\"",
							get_rel_name(
										 cache->run.factor_tables[loading->side]))));
	}
	return image_size(cache->stride, loading->rows, loading->id_bytes);
}

/* Adds one row to the image. */
static bool
load_row(Datum id, const float *row, void *arg)
{
	Loading    *loading = arg;

	image_add(loading->image, &loading->cache->sides[loading->side].type, id,
			  row);
	return true;
}

/* Makes the image that has been measured. */
static void
load_side(void *memory, void *arg)
{
	Loading    *loading = arg;

	loading->image = memory;
	image_init(loading->image, loading->cache->stride, loading->rows,
			   loading->id_bytes);
	cache_scan_snapshot(loading->cache, loading->side, loading->snapshot,
						load_row, loading);
}

/* Memory of its own, aligned, for what cannot be shared */
static void *
make_private(MemoryContext context, const SharedMaker *maker, size_t size)
{
	void	   *memory = allocate_aligned(context, size);

	maker->fill(memory, maker->arg);
	return memory;
}

bool
cache_load(ModelCache *cache, AlsSide which)
{
	SideCache  *side = &cache->sides[which];
	Loading		loading = {
		.cache = cache,
		.side = which
	};
	SharedMaker maker = {measure_side, load_side, &loading};
	SharedPiece piece = {0};
	SharedKey	key;
	MemoryContext context;
	bool		fits = true;

	if (side->image != NULL)
	{
		cache->counts.cache_hits++;
		return true;
	}
	cache->counts.cache_misses++;
	if (side->busy ||
		!cache_make_room(cache->run.rows[which] *
						 (cache->stride * sizeof(float) + ID_BYTES)))
		return false;

	/* an error meanwhile leaves what was kept before */
	context = AllocSetContextCreate(CurrentMemoryContext, "als factors",
									ALLOCSET_DEFAULT_SIZES);
	if (cache_shared_key(cache, which, SHARED_FACTORS, &key) &&
		shared_get(&key, &maker, context, &piece))
		fits = cache_make_room(piece.size);
	else
	{
		size_t		size = measure_side(&loading);

		fits = cache_make_room(size);
		if (fits)
			piece.memory = make_private(context, &maker, size);
	}
	if (loading.snapshot != NULL)
		UnregisterSnapshot(loading.snapshot);
	if (!fits)
	{
		MemoryContextDelete(context);
		return false;
	}

	/* user code that hashes ids may have made one as well, or be at it */
	if (side->image != NULL || side->busy)
	{
		MemoryContextDelete(context);
		return side->image != NULL;
	}
	cache_empty_side(cache, which, context);
	side->image = piece.memory;
	side->shared = piece.number;
	side->mapped = piece.size;
	return true;
}

/* What an index is made from */
typedef struct Indexing
{
	ModelCache *cache;
	const Image *image;
} Indexing;

/* The size of the index. */
static size_t
measure_index(void *arg)
{
	Indexing   *indexing = arg;

	return als_index_size(indexing->cache->stride, indexing->image->nrows);
}

/* Makes the index. */
static void
build_index(void *memory, void *arg)
{
	Indexing   *indexing = arg;

	als_index_build(indexing->cache->stride, indexing->image->nrows,
					image_rows(indexing->image), memory, poll_interrupts);
}

const AlsIndex *
cache_index(ModelCache *cache, AlsSide which)
{
	SideCache  *side = &cache->sides[which];
	Indexing	indexing = {cache, side->image};
	SharedMaker maker = {measure_index, build_index, &indexing};
	SharedPiece piece = {0};
	SharedKey	key;
	bool		again;

	if (side->index != NULL)
		return side->index;

	/* a session that asks once would only pay for making it */
	again = side->scans++ > 0;
	if (!cache_make_room(measure_index(&indexing)))
		return NULL;
	if (side->shared != 0 &&
		cache_shared_key(cache, which, SHARED_INDEX, &key) &&
		(again ? shared_get(&key, &maker, side->context, &piece) :
		 shared_find(&key, side->context, &piece)))
		side->mapped += piece.size;
	else if (again)
		piece.memory = make_private(side->context, &maker,
									measure_index(&indexing));
	side->index = piece.memory;
	return side->index;
}
