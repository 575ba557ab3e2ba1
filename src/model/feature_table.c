/*
 * feature_table.c
 *	  The factors of features: a table that a model has if it was trained with
 *	  some, a row for each feature of a side.
 *
 * Rows say which run they belong to.  A training inserts its own and deletes those
 * of runs that are not kept by SQL, in its transaction: who reads a run finds its
 * features, without any lock.
 */
#include "compat.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "common/side.h"
#include "executor/spi.h"
#include "model/feature_table.h"
#include "model/model_check.h"
#include "model/model_write.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define FEATURE_COLUMNS \
	"run integer, side text, feature text COLLATE \"C\", factors real[] NOT NULL, " \
	"bias real, PRIMARY KEY (run, side, feature)"

/* Does a relation have the columns of such a table? */
static bool
has_columns(Oid table)
{
	static const struct
	{
		const char *name;
		Oid			type;
	}			columns[] = {
		{"run", INT4OID}, {"side", TEXTOID}, {"feature", TEXTOID},
		{"factors", FLOAT4ARRAYOID}, {"bias", FLOAT4OID}
	};

	for (size_t i = 0; i < lengthof(columns); i++)
	{
		AttrNumber	number = get_attnum(table, columns[i].name);

		if (number == InvalidAttrNumber ||
			get_atttype(table, number) != columns[i].type)
			return false;
	}
	return true;
}

/* The table of the run before, or one of earlier runs; or InvalidOid */
static Oid
find_table(const ModelTarget *target)
{
	Relation	model = table_open(target->model, NoLock);
	Oid			table = find_model_table(model, has_columns,
										 target->last.feature_table,
										 psprintf("%s" FEATURES_SUFFIX,
												  target->name));

	table_close(model, NoLock);
	return table;
}

/* The name of a table of the model, for statements */
static const char *
qualified_name(Oid table)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)),
									  get_rel_name(table));
}

/* Runs a statement with arguments that are not null, as the current user. */
static void
run_with(const char *statement, int nargs, Oid *types, Datum *values,
		 int expected)
{
	int			result = SPI_execute_with_args(statement, nargs, types, values,
											   NULL, false, 0);

	if (result != expected)
		elog(ERROR, "SPI_execute_with_args failed: %s",
			 SPI_result_code_string(result));
}

/* Inserts the factors of one side's features. */
static void
insert_features(const char *table, int32 run, AlsSide side,
				const FeatureFactors *features, int factors, bool biased)
{
	size_t		stride = als_stride(factors + (biased ? 1 : 0));
	int			size = (int) features->size;
	Datum	   *elements;
	Datum	   *biases = palloc(size * sizeof(Datum));
	Datum	   *first = palloc(size * sizeof(Datum));
	Datum	   *last = palloc(size * sizeof(Datum));
	Oid			types[7] = {INT4OID, TEXTOID, TEXTARRAYOID, FLOAT4ARRAYOID,
	FLOAT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID};
	Datum		values[7];

	if ((uint64) size * factors > MaxAllocSize / sizeof(float4) / 2)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many features of %s", side_plurals[side]),
				 errdetail("Their factors are %d times %d numbers.", size, factors),
				 errhint("Leave features out that few %s have.", side_plurals[side])));
	elements = palloc_extended((size_t) size * factors * sizeof(Datum),
							   MCXT_ALLOC_HUGE);
	for (int j = 0; j < size; j++)
	{
		const float *row = features->factors + j * stride;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < factors; i++)
			elements[(size_t) j * factors + i] = Float4GetDatum(row[i]);
		biases[j] = Float4GetDatum(biased ? row[factors] : 0);
		first[j] = Int32GetDatum(j * factors + 1);
		last[j] = Int32GetDatum((j + 1) * factors);
	}
	values[0] = Int32GetDatum(run);
	values[1] = CStringGetTextDatum(side_names[side]);
	values[2] = PointerGetDatum(construct_array(unconstify(Datum *, features->names),
												size, TEXTOID, -1, false,
												TYPALIGN_INT));
	values[3] = PointerGetDatum(construct_array(elements, size * factors,
												FLOAT4OID, sizeof(float4), true,
												TYPALIGN_INT));
	values[4] = PointerGetDatum(construct_array(biases, size, FLOAT4OID,
												sizeof(float4), true,
												TYPALIGN_INT));
	values[5] = PointerGetDatum(construct_array(first, size, INT4OID,
												sizeof(int32), true,
												TYPALIGN_INT));
	values[6] = PointerGetDatum(construct_array(last, size, INT4OID,
												sizeof(int32), true,
												TYPALIGN_INT));
	run_with(psprintf("INSERT INTO %s (run, side, feature, factors%s)"
					  " SELECT $1, $2, f.feature, ($4)[f.first : f.last]%s"
					  " FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($5),"
					  " pg_catalog.unnest($6), pg_catalog.unnest($7))"
					  " AS f (feature, bias, first, last)",
					  table, biased ? ", bias" : "", biased ? ", f.bias" : ""),
			 7, types, values, SPI_OK_INSERT);
}

Oid
feature_table_write(const ModelTarget *target,
					const FeatureFactors features[2], int factors,
					AlsFeedback feedback)
{
	int32		run = target->newest + 1;
	Oid			type = INT4OID;
	Datum		value = Int32GetDatum(run);
	Oid			table;
	const char *name;

	if (features[ALS_USERS].size + features[ALS_ITEMS].size == 0)
		return InvalidOid;
	table = find_table(target);
	if (!OidIsValid(table))
		table = create_feature_table(target, FEATURE_COLUMNS);
	depend_on_model(target, table);
	name = qualified_name(table);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	/* of a run whose row has been deleted */
	run_with(psprintf("DELETE FROM %s WHERE run OPERATOR(pg_catalog.=) $1", name),
			 1, &type, &value, SPI_OK_DELETE);
	for (int side = 0; side < 2; side++)
		if (features[side].size > 0)
			insert_features(name, run, side, &features[side], factors,
							feedback == ALS_EXPLICIT);
	SPI_finish();
	return table;
}

/* The numbers of the runs that are kept once the new one is, itself included */
static Datum
kept_runs(const ModelTarget *target)
{
	Datum	   *runs = palloc((list_length(target->kept) + 2) * sizeof(Datum));
	int			count = 0;
	ListCell   *cell;

	runs[count++] = Int32GetDatum(target->newest + 1);
	if (!target->deploy || OidIsValid(target->old_tables[ALS_USERS]))
		runs[count++] = Int32GetDatum(target->last.run);
	foreach(cell, target->kept)
		runs[count++] = Int32GetDatum(((KeptRun *) lfirst(cell))->run);
	return PointerGetDatum(construct_array(runs, count, INT4OID, sizeof(int32),
										   true, TYPALIGN_INT));
}

void
feature_table_forget(const ModelTarget *target)
{
	Oid			table = find_table(target);
	Oid			type = INT4ARRAYOID;
	Datum		value = kept_runs(target);

	if (!OidIsValid(table))
		return;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	run_with(psprintf("DELETE FROM %s WHERE run OPERATOR(pg_catalog.<>) ALL ($1)",
					  qualified_name(table)),
			 1, &type, &value, SPI_OK_DELETE);
	SPI_finish();
}

/* Raises for a relation that cannot be the model's table of features. */
static void
reject_table(Oid model, Oid table, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("\"%s\" cannot serve as the table of features of model \"%s\"",
					get_rel_name(table), get_rel_name(model)),
			 errdetail("%s", detail),
			 errhint("Train the model again.")));
}

/* Is an index that of the primary key, of run, side and feature? */
static bool
is_key(Relation index, const FeatureTable *open)
{
	const Form_pg_index form = index->rd_index;

	return form->indisprimary && form->indisvalid && form->indnkeyatts == 3 &&
		form->indkey.values[0] == open->run_column &&
		form->indkey.values[1] == open->side_column &&
		form->indkey.values[2] == open->columns.id;
}

/* The index by which features are found; NULL if there is none. */
static Relation
open_key(const FeatureTable *open)
{
	List	   *indexes = RelationGetIndexList(open->table);
	Relation	result = NULL;
	ListCell   *cell;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (result == NULL && is_key(index, open))
			result = index;
		else
			index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return result;
}

void
feature_table_open(FeatureTable *open, Oid model, const ModelRun *run)
{
	Relation	relation = table_open(model, AccessShareLock);
	Oid			owner = relation->rd_rel->relowner;
	Oid			table = run->feature_table;

	table_close(relation, NoLock);
	open->table = try_relation_open(table, AccessShareLock);
	if (open->table == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("model \"%s\" has lost its table of features",
						get_rel_name(model)),
				 errhint("Train the model again.")));
	if (open->table->rd_rel->relkind != RELKIND_RELATION)
		reject_table(model, table, "It is not an ordinary table.");
	if (open->table->rd_rel->relowner != owner)
		reject_table(model, table, "It does not belong to the model's owner.");
	if (open->table->rd_rel->relrowsecurity)
		reject_table(model, table, "It has row-level security.");
	if (!has_columns(table))
		reject_table(model, table, "It does not have the columns of such a table.");
	open->run_column = get_attnum(table, "run");
	open->side_column = get_attnum(table, "side");
	open->columns.id = get_attnum(table, "feature");
	open->columns.factors = get_attnum(table, "factors");
	open->columns.bias = run->feedback == ALS_EXPLICIT ?
		get_attnum(table, "bias") : 0;
	open->index = open_key(open);
	if (open->index == NULL)
		reject_table(model, table, "It has no primary key of run, side and feature.");
	open->snapshot = RegisterSnapshot(GetCatalogSnapshot(table));
	open->slot = table_slot_create(open->table, NULL);
	open->run = run->run;
	open->factors = run->factors;
}

void
feature_table_close(FeatureTable *open)
{
	ExecDropSingleTupleTableSlot(open->slot);
	UnregisterSnapshot(open->snapshot);
	index_close(open->index, NoLock);
	table_close(open->table, NoLock);
}

/* Begins to read features of a side: one of them, or all if nkeys is 2. */
static IndexScanDesc
begin_scan(FeatureTable *open, AlsSide side, int nkeys, Datum feature)
{
	IndexScanDesc scan = index_scan_begin(open->table, open->index,
										  open->snapshot, nkeys);
	const Oid  *collations = open->index->rd_indcollation;
	ScanKeyData keys[3];

	ScanKeyEntryInitialize(&keys[0], 0, 1, BTEqualStrategyNumber, InvalidOid,
						   collations[0], F_INT4EQ, Int32GetDatum(open->run));
	ScanKeyEntryInitialize(&keys[1], 0, 2, BTEqualStrategyNumber, InvalidOid,
						   collations[1], F_TEXTEQ,
						   CStringGetTextDatum(side_names[side]));
	ScanKeyEntryInitialize(&keys[2], 0, 3, BTEqualStrategyNumber, InvalidOid,
						   collations[2], F_TEXTEQ, feature);
	index_rescan(scan, keys, nkeys, NULL, 0);
	return scan;
}

bool
feature_table_find(FeatureTable *open, AlsSide side, Datum feature,
				   float *factors)
{
	IndexScanDesc scan = begin_scan(open, side, 3, feature);
	bool		found = index_getnext_slot(scan, ForwardScanDirection, open->slot);

	if (found)
		factor_table_row(open->table, &open->columns, open->slot, open->factors,
						 factors);
	index_endscan(scan);
	return found;
}

void
feature_table_scan(FeatureTable *open, AlsSide side, float *factors,
				   FeatureVisitor visit, void *arg)
{
	IndexScanDesc scan = begin_scan(open, side, 2, (Datum) 0);

	while (index_getnext_slot(scan, ForwardScanDirection, open->slot))
	{
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		factor_table_row(open->table, &open->columns, open->slot, open->factors,
						 factors);
		visit(slot_getattr(open->slot, open->columns.id, &isnull), factors, arg);
	}
	index_endscan(scan);
}
