/*
 * run_row.c
 *	  A training run as a row of als_model.
 *
 * A table stays one OF als_model in ways that move its columns: attributes that
 * were dropped before count in the numbers of those that follow, and whoever
 * owns a table chooses their types.  So columns are found by name and type in
 * each relation that is read and in each type that is formed, and a relation
 * where one has another type is no model.
 *
 * The library may be newer or older than the SQL objects, between an update of
 * the package and ALTER EXTENSION UPDATE.  So a column that a run can do without
 * may be missing, and reads as null, which is its default; one that is not known
 * is not read, and null in a new row.
 */
#include "compat.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "model/run_row.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

/* The columns of als_model, in the order of ModelColumn */
static const struct
{
	const char *name;
	Oid			type;
	bool		required;		/* nothing is served without */
}			columns_of_type[MODEL_COLUMNS] = {
	{"run", INT4OID, true},
	{"trained_at", TIMESTAMPTZOID, false},
	{"source", TEXTOID, false},
	{"user_column", TEXTOID, false},
	{"item_column", TEXTOID, false},
	{"rating_column", TEXTOID, false},
	{"event_column", TEXTOID, false},
	{"event_weights", JSONBOID, false},
	{"time_column", TEXTOID, false},
	{"half_life", INTERVALOID, false},
	{"reference_time", TIMESTAMPTZOID, false},
	{"weight_column", TEXTOID, false},
	{"user_features", TEXTOID, false},
	{"item_features", TEXTOID, false},
	{"feedback", TEXTOID, true},
	{"factors", INT4OID, true},
	{"regularization", FLOAT8OID, true},
	{"regularization_scaling", FLOAT8OID, true},
	{"regularization_by", TEXTOID, false},
	{"feature_regularization", FLOAT8OID, false},
	{"alpha", FLOAT8OID, true},
	{"nonnegative", BOOLOID, false},
	{"biases", BOOLOID, false},
	{"iterations", INT4OID, false},
	{"solver", TEXTOID, false},
	{"cg_steps", INT4OID, false},
	{"tolerance", FLOAT8OID, false},
	{"validation", TEXTOID, false},
	{"validation_fraction", FLOAT8OID, false},
	{"validation_seed", INT8OID, false},
	{"validation_metric", TEXTOID, false},
	{"validation_k", INT4OID, false},
	{"patience", INT4OID, false},
	{"seed", INT8OID, false},
	{"warm_start", BOOLOID, false},
	{"workers", INT4OID, false},
	{"users", INT8OID, true},
	{"items", INT8OID, true},
	{"new_users", INT8OID, false},
	{"new_items", INT8OID, false},
	{"ratings", INT8OID, false},
	{"mean_rating", FLOAT8OID, true},
	{"loss", FLOAT8OID, false},
	{"losses", FLOAT8ARRAYOID, false},
	{"validation_curve", FLOAT8ARRAYOID, false},
	{"best_iteration", INT4OID, false},
	{"seconds", FLOAT8OID, false},
	{"deploy", TEXTOID, false},
	{"compared_with", INT4OID, false},
	{"compared_value", FLOAT8OID, false},
	{"compared_other", FLOAT8OID, false},
	{"compared_error", FLOAT8OID, false},
	{"keep", INT4OID, false},
	{"serving", BOOLOID, true},
	{"user_factors", REGCLASSOID, true},
	{"item_factors", REGCLASSOID, true},
	{"feature_factors", REGCLASSOID, false},
};

/* Where they are in a relation or type, by ModelColumn less 1 */
typedef struct RunColumns
{
	AttrNumber	numbers[MODEL_COLUMNS]; /* 0: not there */
} RunColumns;

/* A row of a model's table, and a walk over those that have a number */
typedef struct RunRow
{
	Relation	model;
	RunColumns	columns;
	TupleTableSlot *slot;
	TableScanDesc scan;
	int32		number;
	bool		serving;
} RunRow;

/* Finds the columns; false if one has another type or is missed. */
static bool
find_columns(TupleDesc desc, RunColumns *columns)
{
	memset(columns, 0, sizeof(*columns));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		for (int column = 0; column < MODEL_COLUMNS; column++)
		{
			if (attribute->attisdropped ||
				strcmp(NameStr(attribute->attname),
					   columns_of_type[column].name) != 0)
				continue;
			if (attribute->atttypid != columns_of_type[column].type)
				return false;
			columns->numbers[column] = attribute->attnum;
		}
	}
	for (int column = 0; column < MODEL_COLUMNS; column++)
		if (columns_of_type[column].required && columns->numbers[column] == 0)
			return false;
	return true;
}

void
run_check_type(TupleDesc type)
{
	RunColumns	columns;

	if (!find_columns(type, &columns))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("type als_model does not have the columns that it was created with"),
				 errhint("Create the extension als anew.")));
}

/* The value of a column; null if it is not there. */
static Datum
run_value(const RunRow *row, ModelColumn column, bool *isnull)
{
	AttrNumber	number = row->columns.numbers[column - 1];

	if (number == 0)
	{
		*isnull = true;
		return (Datum) 0;
	}
	return slot_getattr(row->slot, number, isnull);
}

/* A text column, copied; NULL if it is null. */
static char *
run_text(const RunRow *row, ModelColumn column)
{
	bool		isnull;
	Datum		value = run_value(row, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* Raises for a row of the model's table that als_train cannot have written. */
pg_noreturn static void
reject_run(const RunRow *row, ModelColumn column)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("run %d of model \"%s\" is not what a training has written",
					row->number, RelationGetRelationName(row->model)),
			 errdetail("Its column \"%s\" does not make sense.",
					   columns_of_type[column - 1].name),
			 errhint("Correct the row, or delete all rows and train the model again.")));
}

/* A parameter that is finite and not negative, or NAN if not known; or raises. */
static double
run_parameter(const RunRow *row, ModelColumn column)
{
	bool		isnull;
	Datum		value = run_value(row, column, &isnull);

	if (isnull)
		return NAN;
	if (!isfinite(DatumGetFloat8(value)) || DatumGetFloat8(value) < 0)
		reject_run(row, column);
	return DatumGetFloat8(value);
}

/* A number of rows, or raises. */
static int64
run_count(const RunRow *row, ModelColumn column)
{
	bool		isnull;
	Datum		value = run_value(row, column, &isnull);

	if (isnull || DatumGetInt64(value) < 0)
		reject_run(row, column);
	return DatumGetInt64(value);
}

/* A table, or InvalidOid. */
static Oid
run_table(const RunRow *row, ModelColumn column)
{
	bool		isnull;
	Datum		value = run_value(row, column, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

/* The factor tables, by AlsSide */
static void
run_tables(const RunRow *row, Oid tables[2])
{
	tables[ALS_USERS] = run_table(row, MODEL_USER_FACTORS);
	tables[ALS_ITEMS] = run_table(row, MODEL_ITEM_FACTORS);
}

/* What rows of the source weigh, or raises. */
static void
read_weighing(const RunRow *row, AlsFeedback feedback, Weighing *weighing)
{
	bool		isnull;
	Datum		value;

	weighing->event_column = run_text(row, MODEL_EVENT_COLUMN);
	value = run_value(row, MODEL_EVENT_WEIGHTS, &isnull);
	if (!isnull)
		weighing->event_weights = DatumGetJsonbPCopy(value);
	if ((weighing->event_column == NULL) != isnull ||
		(!isnull && event_weights_fault(weighing->event_weights,
										least_event_weight(feedback)) != NULL))
		reject_run(row, MODEL_EVENT_WEIGHTS);

	weighing->time_column = run_text(row, MODEL_TIME_COLUMN);
	value = run_value(row, MODEL_HALF_LIFE, &isnull);
	if (!isnull)
	{
		Interval   *half_life = palloc(sizeof(Interval));

		*half_life = *DatumGetIntervalP(value);
		weighing->half_life = half_life;
		if (weighing->time_column == NULL || !half_life_is_valid(half_life))
			reject_run(row, MODEL_HALF_LIFE);
		value = run_value(row, MODEL_REFERENCE_TIME, &isnull);
		if (isnull || TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(value)))
			reject_run(row, MODEL_REFERENCE_TIME);
		weighing->reference_time = DatumGetTimestampTz(value);
	}
	weighing->weight_column = run_text(row, MODEL_WEIGHT_COLUMN);
	weighing_settle(weighing, feedback);
}

/* Reads what serving needs. */
static void
read_run(const RunRow *row, ModelRun *run)
{
	bool		isnull;
	char	   *feedback = run_text(row, MODEL_FEEDBACK);
	char	   *by;
	Datum		value;

	run->run = row->number;
	run->tid = row->slot->tts_tid;
	run->serving = row->serving;
	if (feedback != NULL && strcmp(feedback, "implicit") == 0)
		run->feedback = ALS_IMPLICIT;
	else if (feedback != NULL && strcmp(feedback, "explicit") == 0)
		run->feedback = ALS_EXPLICIT;
	else
		reject_run(row, MODEL_FEEDBACK);

	value = run_value(row, MODEL_FACTORS, &isnull);
	run->factors = isnull ? 0 : DatumGetInt32(value);
	if (run->factors < 1 || run->factors > ALS_MAX_FACTORS)
		reject_run(row, MODEL_FACTORS);
	run->regularization = run_parameter(row, MODEL_REGULARIZATION);
	run->regularization_scaling =
		run_parameter(row, MODEL_REGULARIZATION_SCALING);
	by = run_text(row, MODEL_REGULARIZATION_BY);
	run->by_ratings = by != NULL && strcmp(by, "ratings") == 0;
	if (by != NULL && !run->by_ratings && strcmp(by, "confidence") != 0)
		reject_run(row, MODEL_REGULARIZATION_BY);
	value = run_value(row, MODEL_NONNEGATIVE, &isnull);
	run->nonnegative = !isnull && DatumGetBool(value);
	value = run_value(row, MODEL_BIASES, &isnull);
	run->biases = isnull || DatumGetBool(value);
	if (run->feedback == ALS_IMPLICIT)
		run->alpha = run_parameter(row, MODEL_ALPHA);

	value = run_value(row, MODEL_MEAN_RATING, &isnull);
	if (run->feedback == ALS_EXPLICIT && isnull)
		reject_run(row, MODEL_MEAN_RATING);
	run->mean_rating = isnull ? 0 : (float) DatumGetFloat8(value);
	if (!isfinite(run->mean_rating))
		reject_run(row, MODEL_MEAN_RATING);

	run->source = run_text(row, MODEL_SOURCE);
	run->user_column = run_text(row, MODEL_USER_COLUMN);
	run->item_column = run_text(row, MODEL_ITEM_COLUMN);
	run->rating_column = run_text(row, MODEL_RATING_COLUMN);
	read_weighing(row, run->feedback, &run->weighing);
	run->features[ALS_USERS] = run_text(row, MODEL_USER_FEATURES);
	run->features[ALS_ITEMS] = run_text(row, MODEL_ITEM_FEATURES);
	run_value(row, MODEL_NEW_USERS, &isnull);
	run->has_features[ALS_USERS] = !isnull;
	run_value(row, MODEL_NEW_ITEMS, &isnull);
	run->has_features[ALS_ITEMS] = !isnull;
	if (run->source != NULL && run->user_column == NULL)
		reject_run(row, MODEL_USER_COLUMN);
	if (run->source != NULL && run->item_column == NULL)
		reject_run(row, MODEL_ITEM_COLUMN);
	run->rows[ALS_USERS] = run_count(row, MODEL_USERS);
	run->rows[ALS_ITEMS] = run_count(row, MODEL_ITEMS);
	run_tables(row, run->factor_tables);
	run->feature_table = run_table(row, MODEL_FEATURE_FACTORS);
}

/* Begins a walk over the rows of a model's table. */
static void
begin_rows(RunRow *row, Relation model, Snapshot snapshot)
{
	row->model = model;
	if (!find_columns(RelationGetDescr(model), &row->columns))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an als model",
						RelationGetRelationName(model)),
				 errdetail("Its columns are not those of the type als_model."),
				 errhint("Drop it and train the model again.")));
	row->slot = table_slot_create(model, NULL);
	row->scan = table_scan_begin(model, snapshot);
}

/* Goes on to the next row that has a number; false behind the last. */
static bool
next_row(RunRow *row)
{
	bool		isnull;
	Datum		value;

	do
	{
		if (!table_scan_getnextslot(row->scan, ForwardScanDirection, row->slot))
			return false;
		value = run_value(row, MODEL_RUN, &isnull);
		row->number = isnull ? 0 : DatumGetInt32(value);
	} while (row->number <= 0);
	value = run_value(row, MODEL_SERVING, &isnull);
	row->serving = !isnull && DatumGetBool(value);
	return true;
}

/* Ends the walk. */
static void
end_rows(RunRow *row)
{
	table_endscan(row->scan);
	ExecDropSingleTupleTableSlot(row->slot);
}

/*
 * Finds the tables of the run that serves; false if there are no runs.  Raises
 * unless one of them is marked as serving.
 */
static bool
find_serving_tables(Relation model, Snapshot snapshot, Oid tables[2])
{
	RunRow		row;
	int			rows = 0;
	int			serving = 0;

	begin_rows(&row, model, snapshot);
	for (; next_row(&row); rows++)
		if (row.serving)
		{
			serving++;
			run_tables(&row, tables);
		}
	end_rows(&row);
	if (rows > 0 && serving != 1)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("%d runs of model \"%s\" are marked as serving",
						serving, RelationGetRelationName(model)),
				 errdetail("Its table has been edited: serving has to be true in one row."),
				 errhint("Set it in the row of a run that has factor tables, or delete all rows and train the model again.")));
	return rows > 0;
}

/*
 * Is a run kept that does not serve?  Raises if it names tables of the one that
 * does, which are replaced.
 */
static bool
is_kept(const RunRow *row, const Oid serving[2], Oid tables[2])
{
	run_tables(row, tables);
	for (int side = 0; side < 2; side++)
		if (OidIsValid(tables[side]) &&
			(tables[side] == serving[ALS_USERS] ||
			 tables[side] == serving[ALS_ITEMS]))
			reject_run(row, side == ALS_USERS ? MODEL_USER_FACTORS :
					   MODEL_ITEM_FACTORS);
	return !row->serving &&
		OidIsValid(tables[ALS_USERS]) && OidIsValid(tables[ALS_ITEMS]);
}

/* Raises for a run that there is not, or not any more. */
static void
reject_run_number(Relation model, int32 number, bool exists)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 exists ?
			 errmsg("run %d of model \"%s\" is not kept", number,
					RelationGetRelationName(model)) :
			 errmsg("model \"%s\" has no run %d",
					RelationGetRelationName(model), number),
			 errdetail("Runs that are kept have factor tables in their rows."),
			 errhint("Train with keep => 2 to keep the run before, with more to keep others too.")));
}

bool
model_read_run(Relation model, Snapshot snapshot, int32 number, ModelRun *run)
{
	RunRow		row;
	Oid			serving[2];
	Oid			tables[2];

	memset(run, 0, sizeof(*run));
	if (!find_serving_tables(model, snapshot, serving))
		return false;
	begin_rows(&row, model, snapshot);
	while (run->run == 0 && next_row(&row))
		if (number == 0 ? row.serving : row.number == number)
		{
			if (!row.serving && !is_kept(&row, serving, tables))
				reject_run_number(model, number, true);
			read_run(&row, run);
		}
	end_rows(&row);
	if (run->run == 0)
		reject_run_number(model, number, false);
	return true;
}

/* The order of kept runs: the newest first */
static int
compare_kept(const ListCell *a, const ListCell *b)
{
	const KeptRun *first = lfirst(a);
	const KeptRun *second = lfirst(b);

	return first->run > second->run ? -1 : first->run < second->run;
}

void
model_list_runs(Relation model, Snapshot snapshot, RunList *list)
{
	RunRow		row;
	Oid			serving[2];
	Oid			tables[2];

	memset(list, 0, sizeof(*list));
	list->keep = 1;
	if (!find_serving_tables(model, snapshot, serving))
		return;
	begin_rows(&row, model, snapshot);
	while (next_row(&row))
	{
		if (row.number > list->newest)
		{
			bool		isnull;
			Datum		value = run_value(&row, MODEL_KEEP, &isnull);

			list->newest = row.number;
			list->keep = isnull ? 1 : Max(DatumGetInt32(value), 1);
		}
		if (!row.serving && is_kept(&row, serving, tables))
		{
			KeptRun    *kept = palloc(sizeof(KeptRun));

			kept->run = row.number;
			memcpy(kept->factor_tables, tables, sizeof(tables));
			list->kept = lappend(list->kept, kept);
		}
	}
	end_rows(&row);
	list_sort(list->kept, compare_kept);
}

Datum
run_form(TupleDesc type, const Datum *values, const bool *nulls)
{
	Datum	   *row_values = palloc0(type->natts * sizeof(Datum));
	bool	   *row_nulls = palloc(type->natts * sizeof(bool));
	RunColumns	columns;

	run_check_type(type);
	find_columns(type, &columns);
	memset(row_nulls, true, type->natts * sizeof(bool));
	for (int column = 0; column < MODEL_COLUMNS; column++)
	{
		AttrNumber	number = columns.numbers[column];

		if (number == 0)
			continue;
		row_values[number - 1] = values[column];
		row_nulls[number - 1] = nulls[column];
	}
	return HeapTupleGetDatum(heap_form_tuple(type, row_values, row_nulls));
}
