/*
 * factor_table.c
 *	  Reading a table of factors: one row for each user or item.
 */
#include "compat.h"

#include <math.h>

#include "access/relation.h"
#include "access/relscan.h"
#include "access/stratnum.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "common/side.h"
#include "model/factor_table.h"
#include "ratings/ratings.h"
#include "utils/array.h"
#include "utils/lsyscache.h"

/* Raises for a relation that cannot be the model's factor table. */
static void
reject_factor_table(Relation model, Relation table, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("\"%s\" cannot serve as a factor table of model \"%s\"",
					RelationGetRelationName(table),
					RelationGetRelationName(model)),
			 errdetail("%s", detail)));
}

/* Finds the columns of a factor table; there may be no others. */
static void
find_factor_columns(Relation model, Relation table, const ModelRun *run,
					AlsSide side, FactorColumns *columns)
{
	TupleDesc	desc = RelationGetDescr(table);

	memset(columns, 0, sizeof(*columns));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		const char *name = NameStr(attribute->attname);

		if (attribute->attisdropped)
			continue;
		if (strcmp(name, side_id_columns[side]) == 0)
			columns->id = attribute->attnum;
		else if (strcmp(name, "factors") == 0 &&
				 attribute->atttypid == FLOAT4ARRAYOID)
			columns->factors = attribute->attnum;
		else if (strcmp(name, "bias") == 0 &&
				 attribute->atttypid == FLOAT4OID &&
				 run->feedback == ALS_EXPLICIT)
			columns->bias = attribute->attnum;
		else
			reject_factor_table(model, table,
								psprintf("It has a column \"%s\" that a factor table does not have.",
										 name));
	}
	if (columns->id == 0 || columns->factors == 0 ||
		(run->feedback == ALS_EXPLICIT && columns->bias == 0))
		reject_factor_table(model, table,
							psprintf("It lacks a column %s, factors real[]%s.",
									 side_id_columns[side],
									 run->feedback == ALS_EXPLICIT ?
									 " or bias real" : ""));
}

Relation
factor_table_open(Relation model, const ModelRun *run, AlsSide side,
				  LOCKMODE lockmode, FactorColumns *columns)
{
	Relation	table = try_relation_open(run->factor_tables[side], lockmode);

	if (table == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("run %d of model \"%s\" has lost its table of %s factors",
						run->run, RelationGetRelationName(model),
						side_names[side]),
				 run->serving ?
				 errhint("Drop the model and train it again.") :
				 errhint("Set user_factors and item_factors to null in its row: it is not kept then.")));
	if (table->rd_rel->relkind != RELKIND_RELATION)
		reject_factor_table(model, table, "It is not an ordinary table.");
	if (table->rd_rel->relowner != model->rd_rel->relowner)
		reject_factor_table(model, table,
							"It does not belong to the model's owner.");
	if (table->rd_rel->relrowsecurity)
		reject_factor_table(model, table, "It has row-level security.");
	find_factor_columns(model, table, run, side, columns);
	return table;
}

void
factor_table_id_type(Relation table, const FactorColumns *columns,
					 IdType *type, MemoryContext context)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(table),
												columns->id - 1);

	if (!id_type_init(type, attribute->atttypid, attribute->atttypmod,
					  attribute->attcollation, context))
		reject_unhashable(attribute->atttypid, NameStr(attribute->attname));
}

void
factor_table_row(Relation table, const FactorColumns *columns,
				 TupleTableSlot *slot, int factors, float *row)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, columns->factors, &isnull);
	ArrayType  *array = isnull ? NULL : DatumGetArrayTypeP(value);
	bool		sound = array != NULL && ARR_NDIM(array) == 1 &&
		ARR_DIMS(array)[0] == factors && !ARR_HASNULL(array);

	if (sound)
	{
		memcpy(row, ARR_DATA_PTR(array), factors * sizeof(float));
		if (columns->bias != 0)
		{
			row[factors] = DatumGetFloat4(slot_getattr(slot, columns->bias,
													   &isnull));
			sound = !isnull && isfinite(row[factors]);
		}
		for (int i = 0; i < factors && sound; i++)
			sound = isfinite(row[i]);
	}
	if (!sound)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("factor table \"%s\" contains a row that is not %d finite factors",
						RelationGetRelationName(table), factors),
				 errhint("Train the model again.")));
	if (array != (ArrayType *) DatumGetPointer(value))
		pfree(array);
}

void
factor_scan_begin(FactorScan *scan, Relation table,
				  const FactorColumns *columns, Snapshot snapshot)
{
	scan->id = columns->id;
	scan->slot = table_slot_create(table, NULL);
	scan->scan = table_scan_begin(table, snapshot);
}

bool
factor_scan_next(FactorScan *scan, Datum *id)
{
	while (table_scan_getnextslot(scan->scan, ForwardScanDirection, scan->slot))
	{
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		*id = slot_getattr(scan->slot, scan->id, &isnull);
		if (!isnull)
			return true;
	}
	return false;
}

void
factor_scan_end(FactorScan *scan)
{
	table_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
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

/* Finds the row of an id without an index. */
static bool
find_by_scan(Relation table, const FactorColumns *columns, const IdType *type,
			 Snapshot snapshot, Datum id, TupleTableSlot *slot)
{
	FactorScan	scan;
	Datum		value;
	bool		found = false;

	factor_scan_begin(&scan, table, columns, snapshot);
	while (!found && factor_scan_next(&scan, &value))
		found = id_equal(type, id, value);
	if (found)
		ExecCopySlot(slot, scan.slot);
	factor_scan_end(&scan);
	return found;
}

bool
factor_table_find(Relation table, const FactorColumns *columns,
				  const IdType *type, Snapshot snapshot, Datum id,
				  TupleTableSlot *slot)
{
	bool		found = false;
	Oid			equality;
	StrategyNumber strategy;
	Relation	index = open_id_index(table, columns->id, &equality,
									  &strategy);
	IndexScanDesc scan;
	ScanKeyData key;

	if (index == NULL)
		return find_by_scan(table, columns, type, snapshot, id, slot);
	ScanKeyEntryInitialize(&key, 0, 1, strategy, InvalidOid,
						   index->rd_indcollation[0], equality, id);
	scan = index_scan_begin(table, index, snapshot, 1);
	index_rescan(scan, &key, 1, NULL, 0);
	while (!found && index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;

		found = id_equal(type, id, slot_getattr(slot, columns->id, &isnull));
	}
	if (found)
		ExecMaterializeSlot(slot);
	index_endscan(scan);
	index_close(index, AccessShareLock);
	return found;
}
