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
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/names.h"
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
#include "utils/syscache.h"

#define FEATURE_COLUMNS \
	"run integer, side text, feature text COLLATE \"C\", factors real[] NOT NULL, " \
	"bias real, PRIMARY KEY (run, side, feature)"

/* How many features a statement inserts */
#define FEATURES_AT_ONCE 10000

/* Where such a statement finds them, in arrays */
#define FEATURE_ROWS \
	" FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($5)," \
	" pg_catalog.unnest($6), pg_catalog.unnest($7))" \
	" AS f (feature, bias, first, last)"

/* How many columns has a relation? */
static int
count_columns(Oid table)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	int			natts;
	int			count = 0;

	if (!HeapTupleIsValid(tuple))
		return 0;
	natts = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
	ReleaseSysCache(tuple);
	/* a column that is dropped has no type */
	for (AttrNumber number = 1; number <= natts; number++)
		count += OidIsValid(get_atttype(table, number));
	return count;
}

/* Does a relation have the columns of such a table, and no others? */
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
	return count_columns(table) == lengthof(columns);
}

/* Is it one?  A copy does not have the trigger. */
static bool
is_feature_table(Oid table)
{
	return has_columns(table) &&
		OidIsValid(get_trigger_oid(table, "als_changed", true));
}

/* The table of the run before, or one of earlier runs; or InvalidOid */
static Oid
find_table(const ModelTarget *target)
{
	Relation	model = table_open(target->model, NoLock);
	Oid			table = find_model_table(model, is_feature_table,
										 target->last.feature_table,
										 psprintf("%s" FEATURES_SUFFIX,
												  target->name));

	table_close(model, NoLock);
	return table;
}

/* Raises for a table with something that has a say in its rows. */
static void
reject_writing(Oid table, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot write the factors of features into table \"%s\"",
					get_rel_name(table)),
			 errdetail("%s", detail),
			 errhint("Drop that, or train under another name.")));
}

/*
 * Runs a statement on the table as the current user, with arguments that are not
 * null; returns how many rows it has changed.  %s is the table.
 */
static uint64
run_with(Oid table, const char *statement, int nargs, Oid *types,
		 Datum *values, int expected)
{
	int			result = SPI_execute_with_args(psprintf(statement,
														qualified_name(table)),
											   nargs, types, values, NULL,
											   false, 0);

	if (result < 0)
		elog(ERROR, "SPI_execute_with_args failed: %s",
			 SPI_result_code_string(result));
	if (result != expected)
		reject_writing(table, "It has a rule.");
	return SPI_processed;
}

/* Raises for foreign keys from or to the table, which are made of triggers. */
static void
check_foreign_keys(Relation table)
{
	const TriggerDesc *triggers = table->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		if (RI_FKey_trigger_type(triggers->triggers[i].tgfoid) != RI_TRIGGER_NONE)
			reject_writing(RelationGetRelid(table),
						   psprintf("Foreign key \"%s\" may refuse what is trained.",
									get_constraint_name(triggers->triggers[i].tgconstraint)));
}

/* Raises for unique indexes and exclusion constraints beside the primary key. */
static void
check_indexes(Relation table)
{
	List	   *indexes = RelationGetIndexList(table);
	ListCell   *cell;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);
		const Form_pg_index form = index->rd_index;

		if (form->indisexclusion || (form->indisunique && !form->indisprimary))
			reject_writing(RelationGetRelid(table),
						   psprintf("Its index \"%s\" may refuse what is trained.",
									RelationGetRelationName(index)));
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
}

/* Locks the table against changes of what is checked of it here. */
static void
claim_table(Oid oid)
{
	Relation	table = table_open(oid, ShareUpdateExclusiveLock);
	const TupleConstr *constraints = RelationGetDescr(table)->constr;

	if (table->rd_rules != NULL)
		reject_writing(oid, "It has a rule.");
	if (table->rd_rel->relrowsecurity)
		reject_writing(oid, "It has row-level security.");
	if (constraints != NULL && constraints->num_check > 0)
		reject_writing(oid, psprintf("Its constraint \"%s\" may refuse what is trained.",
									 constraints->check[0].ccname));
	check_foreign_keys(table);
	check_indexes(table);
	table_close(table, NoLock);
}

Oid
feature_table_claim(const ModelTarget *target)
{
	Oid			table = find_table(target);

	if (!OidIsValid(table))
		table = create_feature_table(target, FEATURE_COLUMNS);
	claim_table(table);
	depend_on_model(target, table);
	CommandCounterIncrement();
	return table;
}

/* Inserts the factors of some of a side's features, of which there are n from first. */
static void
insert_some(Oid table, int32 run, AlsSide side, const FeatureFactors *features,
			size_t first, int n, int factors, bool biased)
{
	size_t		stride = als_stride(factors + (biased ? 1 : 0));
	Datum	   *elements = palloc((size_t) n * factors * sizeof(Datum));
	Datum	   *biases = palloc(n * sizeof(Datum));
	Datum	   *from = palloc(n * sizeof(Datum));
	Datum	   *to = palloc(n * sizeof(Datum));
	Oid			types[7] = {INT4OID, TEXTOID, TEXTARRAYOID, FLOAT4ARRAYOID,
	FLOAT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID};
	Datum		values[7];
	const char *statement =
		biased ?
		"INSERT INTO %s (run, side, feature, factors, bias)"
		" SELECT $1, $2, f.feature, ($4)[f.first : f.last], f.bias" FEATURE_ROWS :
		"INSERT INTO %s (run, side, feature, factors)"
		" SELECT $1, $2, f.feature, ($4)[f.first : f.last]" FEATURE_ROWS;

	for (int j = 0; j < n; j++)
	{
		const float *row = features->factors + (first + j) * stride;

		for (int i = 0; i < factors; i++)
			elements[(size_t) j * factors + i] = Float4GetDatum(row[i]);
		biases[j] = Float4GetDatum(biased ? row[factors] : 0);
		from[j] = Int32GetDatum(j * factors + 1);
		to[j] = Int32GetDatum((j + 1) * factors);
	}
	values[0] = Int32GetDatum(run);
	values[1] = CStringGetTextDatum(side_names[side]);
	values[2] = PointerGetDatum(construct_array(unconstify(Datum *, features->names) + first,
												n, TEXTOID, -1, false,
												TYPALIGN_INT));
	values[3] = PointerGetDatum(construct_array(elements, n * factors,
												FLOAT4OID, sizeof(float4), true,
												TYPALIGN_INT));
	values[4] = PointerGetDatum(construct_array(biases, n, FLOAT4OID,
												sizeof(float4), true,
												TYPALIGN_INT));
	values[5] = PointerGetDatum(construct_array(from, n, INT4OID,
												sizeof(int32), true,
												TYPALIGN_INT));
	values[6] = PointerGetDatum(construct_array(to, n, INT4OID,
												sizeof(int32), true,
												TYPALIGN_INT));
	if (run_with(table, statement, 7, types, values, SPI_OK_INSERT) != (uint64) n)
		reject_writing(table, "A trigger keeps rows out.");
}

/* Inserts the factors of one side's features, so many at a time. */
static void
insert_features(Oid table, int32 run, AlsSide side,
				const FeatureFactors *features, int factors, bool biased)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "als features to insert",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	for (size_t first = 0; first < features->size; first += FEATURES_AT_ONCE)
	{
		CHECK_FOR_INTERRUPTS();
		insert_some(table, run, side, features, first,
					Min(FEATURES_AT_ONCE, features->size - first), factors,
					biased);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
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

	if (features[ALS_USERS].size + features[ALS_ITEMS].size == 0)
		return InvalidOid;
	/* functions of ids may have run since it was done last */
	table = feature_table_claim(target);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	/* of a run whose row has been deleted */
	run_with(table, "DELETE FROM %s WHERE run OPERATOR(pg_catalog.=) $1",
			 1, &type, &value, SPI_OK_DELETE);
	for (int side = 0; side < 2; side++)
		insert_features(table, run, side, &features[side], factors,
						feedback == ALS_EXPLICIT);
	SPI_finish();
	return table;
}

/* The numbers of the runs that are kept once the factors of the new one are stored */
static Datum
kept_runs(const ModelTarget *target)
{
	Datum	   *runs = palloc((list_length(target->kept) + 2) * sizeof(Datum));
	int			count = 0;
	ListCell   *cell;

	if (OidIsValid(target->new_tables[ALS_USERS]))
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
	run_with(table,
			 "DELETE FROM %s WHERE run OPERATOR(pg_catalog.<>) ALL ($1)",
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
