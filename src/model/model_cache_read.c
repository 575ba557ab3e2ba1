/*
 * model_cache_read.c
 *	  Reading the factor tables of a version of a model, in the form that
 *	  serving wants.
 */
#include "compat.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/indexing.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "common/arena.h"
#include "model/factor_table.h"
#include "model/model_cache.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

/* The triggers that model_write.c creates */
static const struct
{
	const char *name;
	char		enabled;
}			change_triggers[2] =

{
	{"als_changed", TRIGGER_FIRES_ALWAYS},
	{"als_changed_replica", TRIGGER_FIRES_ON_REPLICA}
};

bool
cache_row_fits(const ModelCache *cache, const float *row)
{
	double		length = als_length(cache->stride, row);

	return serving_fits(length * length, cache->run.mean_rating);
}

/*
 * Opens a factor table.  User code of this transaction may have swapped its
 * factors since the version was made, to which they do not belong then: callers
 * ask cache_replaced after user code has run, and start over, but it may also
 * run where they cannot, in hashing ids.
 */
static Relation
open_factors(const ModelCache *cache, AlsSide side)
{
	Relation	table = table_open(cache->run.factor_tables[side],
								   AccessShareLock);

	if (relation_file(table) != cache->sides[side].file)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("the factors of model \"%s\" have been replaced while they were in use",
						get_rel_name(cache->model)),
				 errdetail("The function that has replaced them runs where ids are read, converted or compared."),
				 errhint("Train the model in a statement of its own.")));
	return table;
}

/* Copies a tuple's factors in the form that serving wants. */
static void
read_served_row(const ModelCache *cache, AlsSide side, Relation table,
				TupleTableSlot *slot, float *row)
{
	int			factors = cache->run.factors;

	memset(row, 0, cache->stride * sizeof(float));
	factor_table_row(table, &cache->sides[side].columns, slot, factors, row);
	if (cache->run.feedback == ALS_EXPLICIT)
		serve_bias(row, factors, side);
	if (!cache_row_fits(cache, row))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("factor table \"%s\" contains a row that is too long",
						RelationGetRelationName(table)),
				 errdetail("The sum of its factors' squares is not within the range of type real."),
				 errhint("Train the model again.")));
}

Snapshot
cache_snapshot(const ModelCache *cache)
{
	return RegisterSnapshot(GetCatalogSnapshot(cache->model));
}

bool
cache_fetch(ModelCache *cache, AlsSide which, Datum id, float *row)
{
	SideCache  *side = &cache->sides[which];
	Relation	table = open_factors(cache, which);
	Snapshot	snapshot = cache_snapshot(cache);
	TupleTableSlot *slot = table_slot_create(table, NULL);
	bool		found = factor_table_find(table, &side->columns, &side->type,
										  snapshot, id, slot);

	if (found)
		read_served_row(cache, which, table, slot, row);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	table_close(table, NoLock);
	return found;
}

void
cache_scan_ids(ModelCache *cache, AlsSide which, Snapshot snapshot,
			   IdVisitor visitor, void *arg)
{
	Relation	table = open_factors(cache, which);
	FactorScan	scan;
	Datum		id;

	factor_scan_begin(&scan, table, &cache->sides[which].columns, snapshot);
	while (factor_scan_next(&scan, &id))
		visitor(id, arg);
	factor_scan_end(&scan);
	table_close(table, NoLock);
}

void
cache_scan(ModelCache *cache, AlsSide which, FactorVisitor visitor, void *arg)
{
	Snapshot	snapshot = cache_snapshot(cache);

	cache_scan_snapshot(cache, which, snapshot, visitor, arg);
	UnregisterSnapshot(snapshot);
}

void
cache_scan_snapshot(ModelCache *cache, AlsSide which, Snapshot snapshot,
					FactorVisitor visitor, void *arg)
{
	Relation	table = open_factors(cache, which);
	float	   *row = allocate_aligned(CurrentMemoryContext,
									   cache->stride * sizeof(float));
	FactorScan	scan;
	Datum		id;

	factor_scan_begin(&scan, table, &cache->sides[which].columns, snapshot);
	while (factor_scan_next(&scan, &id))
	{
		read_served_row(cache, which, table, scan.slot, row);
		if (!visitor(id, row, arg))
			break;
	}
	factor_scan_end(&scan);
	table_close(table, NoLock);
}

/*
 * Finds the versions of the triggers that tell of changes; false if there are
 * not both of them, or if they would miss any.
 */
static bool
find_triggers(Oid table, TransactionId versions[2])
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	bool		found[2] = {false, false};
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(table));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, NULL, 1,
							  &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tuple);

		for (int t = 0; t < 2; t++)
			if (strcmp(NameStr(trigger->tgname), change_triggers[t].name) == 0 &&
				trigger->tgenabled == change_triggers[t].enabled)
			{
				found[t] = true;
				versions[t] = HeapTupleHeaderGetRawXmin(tuple->t_data);
			}
	}
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	return found[0] && found[1];
}

bool
cache_shared_key(const ModelCache *cache, AlsSide which, SharedPart part,
				 SharedKey *key)
{
	const SideCache *side = &cache->sides[which];
	Relation	table = open_factors(cache, which);
	bool		possible;

	memset(key, 0, sizeof(*key));
	key->database = MyDatabaseId;
	key->table = RelationGetRelid(table);
	key->part = part;
	key->file = relation_file(table);
	if (part == SHARED_INDEX)
		key->image = side->shared;
	key->stride = cache->stride;
	key->factors = cache->run.factors;
	key->id_type = side->type.type;
	key->id_typmod = side->type.typmod;
	key->id_collation = side->type.collation;
	key->columns[0] = side->columns.id;
	key->columns[1] = side->columns.factors;
	key->columns[2] = side->columns.bias;
	possible = !RelationUsesLocalBuffers(table) &&
		find_triggers(key->table, key->triggers);
	table_close(table, NoLock);
	return possible;
}
