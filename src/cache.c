/*
 * cache.c
 *	  What a backend keeps of the models that it serves, and when it forgets.
 *
 * For each model: the newest run, and the factors that were asked for.  Single
 * ids are read through the index when they are first needed; a session that
 * asks for many gets the whole side at once, with a sequential scan.  All of
 * it stays within als.cache_size: the model used longest ago is forgotten
 * first, and a side that does not fit is never kept whole.
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

#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "cache.h"
#include "catalog/pg_am.h"
#include "commands/trigger.h"
#include "settings.h"
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

/* Memory that all models take. */
static size_t
memory_used(void)
{
	size_t		used = 0;

	for (ModelCache *cache = models; cache != NULL; cache = cache->next)
		if (cache->context != NULL)
			used += MemoryContextMemAllocated(cache->context, true);
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

/* Empties what is kept of one side. */
static void
empty_side(ModelCache *cache, SideCache *side)
{
	if (side->context != NULL)
		MemoryContextDelete(side->context);
	side->context = AllocSetContextCreate(cache->context, "als factors",
										  ALLOCSET_DEFAULT_SIZES);
	side->ids = NULL;
	side->rows = NULL;
	side->allocation = NULL;
	side->capacity = 0;
	side->complete = false;
	side->scans = 0;
	side->index = NULL;
	side->misses = 0;
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
		empty_side(cache, side);
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
	empty_side(cache, side);

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

/* Copies a tuple's factors in the form that serving wants. */
static void
read_row(const ModelCache *cache, AlsSide side, Relation table,
		 TupleTableSlot *slot, float *row)
{
	int			factors = cache->run.factors;

	memset(row, 0, cache->stride * sizeof(float));
	factor_table_row(table, &cache->sides[side].columns, slot, factors, row);
	if (cache->run.feedback == ALS_EXPLICIT)
		serve_bias(row, factors, side);
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

/*
 * Opens an index by which one id can be found, with the equality to look it
 * up by; NULL if the table has none.
 */
static Relation
open_id_index(Relation table, AttrNumber id, Oid *equality,
			  StrategyNumber *strategy)
{
	List	   *indexes = RelationGetIndexList(table);
	ListCell   *cell;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);
		Form_pg_index form = index->rd_index;
		bool		btree = index->rd_rel->relam == BTREE_AM_OID;

		*strategy = btree ? BTEqualStrategyNumber : HTEqualStrategyNumber;
		if ((btree || index->rd_rel->relam == HASH_AM_OID) &&
			form->indisvalid && form->indkey.values[0] == id &&
			RelationGetIndexPredicate(index) == NIL)
		{
			Oid			type = index->rd_opcintype[0];
			Oid			operator = get_opfamily_member(index->rd_opfamily[0],
													   type, type, *strategy);

			if (OidIsValid(operator))
			{
				*equality = get_opcode(operator);
				list_free(indexes);
				return index;
			}
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return NULL;
}

/* Reads the row of one id from the table; false if there is none. */
static bool
fetch_row(ModelCache *cache, AlsSide which, Datum id, float *row)
{
	SideCache  *side = &cache->sides[which];
	Relation	table = table_open(cache->run.factor_tables[which],
								   AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetCatalogSnapshot(RelationGetRelid(table)));
	TupleTableSlot *slot = table_slot_create(table, NULL);
	bool		found = false;
	bool		isnull;
	Oid			equality;
	StrategyNumber strategy;
	Relation	index = open_id_index(table, side->columns.id, &equality,
									  &strategy);

	if (index != NULL)
	{
		ScanKeyData key;
		IndexScanDesc scan;

		ScanKeyEntryInitialize(&key, 0, 1, strategy, InvalidOid,
							   index->rd_indcollation[0], equality, id);
		scan = index_scan_begin(table, index, snapshot, 1);
		index_rescan(scan, &key, 1, NULL, 0);
		while (!found && index_getnext_slot(scan, ForwardScanDirection, slot))
			found = id_equal(&side->type, id,
							 slot_getattr(slot, side->columns.id, &isnull));
		if (found)
			read_row(cache, which, table, slot, row);
		index_endscan(scan);
		index_close(index, AccessShareLock);
	}
	else
	{
		TableScanDesc scan = table_beginscan(table, snapshot, 0, NULL);

		while (!found && table_scan_getnextslot(scan, ForwardScanDirection,
												slot))
		{
			Datum		value = slot_getattr(slot, side->columns.id, &isnull);

			CHECK_FOR_INTERRUPTS();
			found = !isnull && id_equal(&side->type, id, value);
		}
		if (found)
			read_row(cache, which, table, slot, row);
		table_endscan(scan);
	}
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	table_close(table, NoLock);
	return found;
}

uint64
cache_rows_limit(ModelCache *cache, AlsSide side)
{
	Relation	table;
	uint64		limit;

	if (cache->sides[side].complete)
		return idmap_size(cache->sides[side].ids);
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

	if (side->ids != NULL && idmap_find(side->ids, id, &index))
		return side->rows + (size_t) index * cache->stride;
	if (side->complete)
		return NULL;

	/* a session that asks for many ids is better served with all of them */
	if (++side->misses >= (uint64) Max(MISSES, cache->run.rows[which] / MISSES_SHARE))
	{
		side->misses = 0;
		if (cache_load(cache, which))
			return cache_lookup(cache, which, id);
	}

	if (!fetch_row(cache, which, id, row))
		return NULL;
	if (!keep_row(cache, side, id, row))
		empty_side(cache, side);
	return row;
}

void
cache_scan(ModelCache *cache, AlsSide which, FactorVisitor visitor, void *arg)
{
	SideCache  *side = &cache->sides[which];
	Relation	table = table_open(cache->run.factor_tables[which],
								   AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetCatalogSnapshot(RelationGetRelid(table)));
	TupleTableSlot *slot = table_slot_create(table, NULL);
	TableScanDesc scan = table_beginscan(table, snapshot, 0, NULL);
	float	   *row = MemoryContextAllocHuge(CurrentMemoryContext,
											 cache->stride * sizeof(float) +
											 ALS_ALIGNMENT);
	float	   *aligned = (float *) TYPEALIGN(ALS_ALIGNMENT, row);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		Datum		id = slot_getattr(slot, side->columns.id, &isnull);

		CHECK_FOR_INTERRUPTS();
		read_row(cache, which, table, slot, aligned);
		if (!isnull && !visitor(id, aligned, arg))
			break;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	table_close(table, NoLock);
	pfree(row);
}

/* What cache_load fills */
typedef struct Loading
{
	ModelCache *cache;
	SideCache	side;
	bool		fits;
} Loading;

/* Adds one row to what is being loaded. */
static bool
load_row(Datum id, const float *row, void *arg)
{
	Loading    *loading = arg;

	loading->fits = keep_row(loading->cache, &loading->side, id, row);
	return loading->fits;
}

bool
cache_load(ModelCache *cache, AlsSide which)
{
	SideCache  *side = &cache->sides[which];
	uint32		rows = Min(Max(cache->run.rows[which], FIRST_CAPACITY),
						   PG_INT32_MAX);
	Loading		loading = {cache, *side, true};

	if (side->complete)
		return true;
	if (!make_room(cache, rows * (cache->stride * sizeof(float) + ID_BYTES)))
		return false;

	/* an error meanwhile leaves what was kept before */
	loading.side.context = AllocSetContextCreate(CurrentMemoryContext,
												 "als factors",
												 ALLOCSET_DEFAULT_SIZES);
	loading.side.ids = NULL;
	loading.side.allocation = NULL;
	enlarge(&loading.side, rows, cache->stride);
	cache_scan(cache, which, load_row, &loading);
	if (!loading.fits)
	{
		MemoryContextDelete(loading.side.context);
		return false;
	}

	MemoryContextDelete(side->context);
	MemoryContextSetParent(loading.side.context, cache->context);
	*side = loading.side;
	side->complete = true;
	return true;
}

const AlsIndex *
cache_index(ModelCache *cache, AlsSide which)
{
	SideCache  *side = &cache->sides[which];
	uint32		rows = idmap_size(side->ids);
	size_t		bytes = als_index_size(cache->stride, rows) + ALS_ALIGNMENT;
	void	   *allocation;
	AlsIndex   *index;

	/* a session that asks once would only pay for it */
	if (side->index != NULL || side->scans++ == 0 ||
		!make_room(cache, bytes))
		return side->index;

	allocation = MemoryContextAllocHuge(side->context, bytes);
	index = (AlsIndex *) TYPEALIGN(ALS_ALIGNMENT, allocation);
	als_index_build(cache->stride, rows, side->rows, index, poll_interrupts);
	side->index = index;
	return index;
}
