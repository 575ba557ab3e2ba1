/*
 * cache.c
 *	  What a backend keeps of the models that it serves, and when it forgets.
 *
 * For each model: the newest run, and the factors that were asked for.  Single
 * ids are read through the index when they are first needed; a session that
 * asks for many gets the image of the whole side at once: one that another
 * backend has made (see shared.c), or one made with a sequential scan.  All of
 * it stays within als.cache_size, with what is shared counted by everyone who
 * has it: the model used longest ago is forgotten first, and a side that does
 * not fit is never kept whole.
 *
 * Reading is like reading a catalog: with the newest snapshot and under a
 * lock, so that the run and its factors belong together even where the
 * statement's snapshot is older than a retraining that has swapped the
 * factors.  Whatever changes one of the tables sends a relcache invalidation:
 * a retraining by swapping heaps, DDL as always, and DML by the trigger that
 * each of the tables has.  The callback only sets flags; the next cache_open
 * reads anew what has changed: one side, if it was its table alone, so that
 * refreshing users does not make every session read the items again.  Entries
 * are never freed, so that a statement may hold on to one and compare
 * generations.
 */
#include "compat.h"

#include <math.h>

#include "access/table.h"
#include "access/xact.h"
#include "cache.h"
#include "commands/trigger.h"
#include "settings.h"
#include "shared.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(als_changed);

/* A side is kept whole after this many misses and this share of its rows. */
#define MISSES 1000
#define MISSES_SHARE 16

/* Beside a row: its entry in the map of ids, roughly */
#define ID_BYTES 64

#define FIRST_CAPACITY 64		/* rows */

static ModelCache *models = NULL;
static uint64 clock_ticks = 0;

/* Relcache callback: forget what concerns the relation, 0 meaning all. */
static void
invalidate(Datum arg, Oid relation)
{
	for (ModelCache *cache = models; cache != NULL; cache = cache->next)
	{
		if (relation == InvalidOid || relation == cache->model)
		{
			cache->valid = false;
			cache->changed = true;
		}
		for (int s = 0; s < 2; s++)
			if (relation == cache->run.factor_tables[s])
			{
				cache->valid = false;
				cache->side_changed[s] = true;
			}
	}
}

/*
 * Plans to be freed with the transaction: a plan that is running may use
 * models itself, and so make the model that it belongs to be forgotten.
 */
static List *retired_plans = NIL;

static void
retire_plan(SPIPlanPtr plan)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	retired_plans = lappend(retired_plans, plan);
	MemoryContextSwitchTo(old);
}

/* Transaction callback: none is running any more. */
static void
free_retired_plans(XactEvent event, void *arg)
{
	ListCell   *cell;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	foreach(cell, retired_plans)
		SPI_freeplan(lfirst(cell));
	list_free(retired_plans);
	retired_plans = NIL;
}

void
cache_init(void)
{
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
	RegisterXactCallback(free_retired_plans, NULL);
}

/*
 * Trigger on a model's tables, for each statement or row: DML does not
 * invalidate anything by itself.
 */
Datum
als_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("als_changed must be called as a trigger")));
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	shared_forget(RelationGetRelid(((TriggerData *) fcinfo->context)->tg_relation));
	PG_RETURN_POINTER(NULL);
}

/* Frees all that is kept of a model; the entry stays. */
static void
forget(ModelCache *cache)
{
	cache->valid = false;
	cache->loaded = false;
	if (cache->seen_plan != NULL)
		retire_plan(cache->seen_plan);
	cache->seen_plan = NULL;
	cache->popular = NULL;
	if (cache->context != NULL)
		MemoryContextDelete(cache->context);
	cache->context = NULL;
	memset(cache->sides, 0, sizeof(cache->sides));
}

/* Memory that all models take, with what others have mapped as well. */
static size_t
memory_used(void)
{
	size_t		used = 0;

	for (ModelCache *cache = models; cache != NULL; cache = cache->next)
		if (cache->context != NULL)
			used += MemoryContextMemAllocated(cache->context, true) +
				cache->sides[ALS_USERS].mapped + cache->sides[ALS_ITEMS].mapped;
	return used;
}

/*
 * Makes room for size bytes of one model, by forgetting others, those used
 * longest ago first; false if it does not fit all the same.
 */
static bool
make_room(ModelCache *keep, size_t size)
{
	size_t		limit = (size_t) cache_size_setting * 1024;

	while (memory_used() + size > limit)
	{
		ModelCache *oldest = NULL;

		for (ModelCache *cache = models; cache != NULL; cache = cache->next)
			if (cache != keep && cache->context != NULL &&
				(oldest == NULL || cache->last_use < oldest->last_use))
				oldest = cache;
		if (oldest == NULL)
			return false;
		forget(oldest);
	}
	return true;
}

MemoryContext
cache_keep(ModelCache *cache, size_t size, const char *name)
{
	if (!make_room(cache, size))
		return NULL;
	return AllocSetContextCreateInternal(cache->context, name,
										 ALLOCSET_SMALL_SIZES);
}

/* The entry of a model, perhaps an empty one. */
static ModelCache *
find_entry(Oid model)
{
	ModelCache *cache;

	for (cache = models; cache != NULL; cache = cache->next)
		if (cache->model == model)
			return cache;
	cache = MemoryContextAllocZero(TopMemoryContext, sizeof(ModelCache));
	cache->model = model;
	cache->next = models;
	models = cache;
	return cache;
}

/* Empties what is kept of one side; what will be lies in context. */
static void
empty_side(ModelCache *cache, SideCache *side, MemoryContext context)
{
	if (side->context != NULL)
		MemoryContextDelete(side->context);
	MemoryContextSetParent(context, cache->context);
	side->context = context;
	side->ids = NULL;
	side->rows = NULL;
	side->allocation = NULL;
	side->capacity = 0;
	side->misses = 0;
	side->image = NULL;
	side->shared = 0;
	side->mapped = 0;
	side->scans = 0;
	side->index = NULL;
}

/* A new context for what is kept of one side */
static MemoryContext
side_context(ModelCache *cache)
{
	return AllocSetContextCreate(cache->context, "als factors",
								 ALLOCSET_DEFAULT_SIZES);
}

/* Reads the newest run and looks at the factor tables, locking them. */
static void
load_header(ModelCache *cache)
{
	Relation	model = table_open(cache->model, AccessShareLock);
	Snapshot	snapshot;
	MemoryContext old;

	forget(cache);
	cache->changed = false;
	memset(cache->side_changed, false, sizeof(cache->side_changed));
	cache->context = AllocSetContextCreate(CacheMemoryContext, "als model",
										   ALLOCSET_SMALL_SIZES);
	cache->generation++;
	old = MemoryContextSwitchTo(cache->context);
	snapshot = RegisterSnapshot(GetCatalogSnapshot(cache->model));
	if (!model_newest_run(model, snapshot, &cache->run))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has not been trained",
						RelationGetRelationName(model)),
				 errhint("Train it with als_train.")));
	UnregisterSnapshot(snapshot);
	cache->stride = serving_stride(cache->run.feedback, cache->run.factors);

	for (int s = 0; s < 2; s++)
	{
		SideCache  *side = &cache->sides[s];
		Relation	table = factor_table_open(model, &cache->run, s,
											  AccessShareLock,
											  &side->columns);

		factor_table_id_type(table, &side->columns, &side->type,
							 cache->context);
		empty_side(cache, side, side_context(cache));
		table_close(table, NoLock);
	}
	MemoryContextSwitchTo(old);
	table_close(model, NoLock);
	cache->loaded = true;
}

/*
 * Empties a side whose table has changed, while all that is known of the
 * other side and of the run stays.
 */
static void
reload_side(ModelCache *cache, AlsSide which)
{
	SideCache  *side = &cache->sides[which];
	Relation	model;
	Relation	table;
	Form_pg_attribute id;

	/* an error leaves all to be loaded anew */
	cache->loaded = false;
	cache->side_changed[which] = false;
	model = table_open(cache->model, AccessShareLock);
	table = factor_table_open(model, &cache->run, which, AccessShareLock,
							  &side->columns);
	if (side->base_context != NULL)
		MemoryContextDelete(side->base_context);
	side->base_context = NULL;
	side->base = NULL;
	empty_side(cache, side, side_context(cache));

	/* other ids, and it is another model */
	id = TupleDescAttr(RelationGetDescr(table), side->columns.id - 1);
	cache->loaded = id->atttypid == side->type.type &&
		id->atttypmod == side->type.typmod &&
		id->attcollation == side->type.collation;
	table_close(table, NoLock);
	table_close(model, NoLock);
}

/* Brings what is kept of a model up to date, or some of it. */
static void
load(ModelCache *cache)
{
	if (!cache->loaded || cache->changed)
		load_header(cache);
	for (int s = 0; s < 2; s++)
		if (cache->loaded && cache->side_changed[s])
			reload_side(cache, s);

	/* locking the tables may have brought word of a retraining */
	cache->valid = cache->loaded && !cache->changed &&
		!cache->side_changed[ALS_USERS] && !cache->side_changed[ALS_ITEMS];
}

ModelCache *
cache_open(Oid model)
{
	ModelCache *cache;

	LockRelationOid(model, AccessShareLock);
	cache = find_entry(model);
	if (!cache->valid)
		require_model(model);
	model_check_select(model);
	cache->last_use = ++clock_ticks;

	/* locking may bring word of a retraining */
	if (cache->loaded && !cache->changed)
		for (int s = 0; s < 2; s++)
			LockRelationOid(cache->run.factor_tables[s], AccessShareLock);
	while (!cache->valid)
		load(cache);
	return cache;
}

/* Moves a side's rows to where there is room for capacity of them. */
static void
enlarge(SideCache *side, uint32 capacity, int stride)
{
	size_t		row_bytes = stride * sizeof(float);
	void	   *allocation;
	float	   *rows;

	if (side->ids == NULL)
		side->ids = idmap_create(side->context, &side->type);
	allocation = MemoryContextAllocHuge(side->context, capacity * row_bytes +
										ALS_ALIGNMENT);
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

/* Keeps one more row, if als.cache_size allows; false if it does not. */
static bool
keep_row(ModelCache *cache, SideCache *side, Datum id, const float *row)
{
	uint32		index;

	if (side->ids == NULL || idmap_size(side->ids) == side->capacity)
	{
		uint32		capacity = Max(side->capacity * 2, FIRST_CAPACITY);

		if (!make_room(cache, capacity * (cache->stride * sizeof(float) +
										  ID_BYTES)))
			return false;
		enlarge(side, capacity, cache->stride);
	}
	index = idmap_add(side->ids, id);
	memcpy(side->rows + (size_t) index * cache->stride, row,
		   cache->stride * sizeof(float));
	return true;
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
	static float row[ALS_MAX_FACTORS + 32] pg_attribute_aligned(64);
	SideCache  *side = &cache->sides[which];
	uint32		index;

	if (side->image != NULL)
		return image_find(side->image, &side->type, id, &index) ?
			image_rows(side->image) + (size_t) index * cache->stride : NULL;
	if (side->ids != NULL && idmap_find(side->ids, id, &index))
		return side->rows + (size_t) index * cache->stride;

	/* a session that asks for many ids is better served with all of them */
	if (++side->misses >= (uint64) Max(MISSES, cache->run.rows[which] / MISSES_SHARE))
	{
		side->misses = 0;
		if (cache_load(cache, which))
			return cache_lookup(cache, which, id);
	}

	if (!cache_fetch(cache, which, id, row))
		return NULL;
	if (!keep_row(cache, side, id, row))
		empty_side(cache, side, side_context(cache));
	return row;
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
		loading->snapshot = cache_snapshot(cache, loading->side);
		cache_scan_ids(cache, loading->side, loading->snapshot, measure_id,
					   loading);
		if (loading->rows > PG_INT32_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("too many rows in factor table \"%s\"",
							get_rel_name(cache->run.factor_tables[loading->side]))));
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
	void	   *memory = (void *)
		TYPEALIGN(ALS_ALIGNMENT,
				  MemoryContextAllocHuge(context, size + ALS_ALIGNMENT));

	maker->fill(memory, maker->arg);
	return memory;
}

bool
cache_load(ModelCache *cache, AlsSide which)
{
	SideCache  *side = &cache->sides[which];
	Loading		loading = {.cache = cache, .side = which};
	SharedMaker maker = {measure_side, load_side, &loading};
	SharedPiece piece = {0};
	SharedKey	key;
	MemoryContext context;
	bool		fits = true;

	if (side->image != NULL)
		return true;
	if (!make_room(cache, cache->run.rows[which] *
				   (cache->stride * sizeof(float) + ID_BYTES)))
		return false;

	/* an error meanwhile leaves what was kept before */
	context = AllocSetContextCreate(CurrentMemoryContext, "als factors",
									ALLOCSET_DEFAULT_SIZES);
	if (cache_shared_key(cache, which, SHARED_FACTORS, &key) &&
		shared_get(&key, &maker, context, &piece))
		fits = make_room(cache, piece.size);
	else
	{
		size_t		size = measure_side(&loading);

		fits = make_room(cache, size);
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

	empty_side(cache, side, context);
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
	if (!make_room(cache, measure_index(&indexing)))
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
