/*
 * cache_read.c
 *	  Reading the rows of a factor table, in the form that serving wants.
 */
#include "compat.h"

#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "cache.h"
#include "catalog/pg_am.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

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

Snapshot
cache_snapshot(const ModelCache *cache, AlsSide side)
{
	return RegisterSnapshot(GetCatalogSnapshot(cache->run.factor_tables[side]));
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

bool
cache_fetch(ModelCache *cache, AlsSide which, Datum id, float *row)
{
	SideCache  *side = &cache->sides[which];
	Relation	table = table_open(cache->run.factor_tables[which],
								   AccessShareLock);
	Snapshot	snapshot = cache_snapshot(cache, which);
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

void
cache_scan_ids(ModelCache *cache, AlsSide which, Snapshot snapshot,
			   IdVisitor visitor, void *arg)
{
	Relation	table = table_open(cache->run.factor_tables[which],
								   AccessShareLock);
	AttrNumber	column = cache->sides[which].columns.id;
	TupleTableSlot *slot = table_slot_create(table, NULL);
	TableScanDesc scan = table_beginscan(table, snapshot, 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		Datum		id = slot_getattr(slot, column, &isnull);

		CHECK_FOR_INTERRUPTS();
		if (!isnull)
			visitor(id, arg);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	table_close(table, NoLock);
}

void
cache_scan(ModelCache *cache, AlsSide which, FactorVisitor visitor, void *arg)
{
	Snapshot	snapshot = cache_snapshot(cache, which);

	cache_scan_snapshot(cache, which, snapshot, visitor, arg);
	UnregisterSnapshot(snapshot);
}

void
cache_scan_snapshot(ModelCache *cache, AlsSide which, Snapshot snapshot,
					FactorVisitor visitor, void *arg)
{
	SideCache  *side = &cache->sides[which];
	Relation	table = table_open(cache->run.factor_tables[which],
								   AccessShareLock);
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
	table_close(table, NoLock);
	pfree(row);
}
