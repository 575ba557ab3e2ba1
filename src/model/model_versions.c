/*
 * model_versions.c
 *	  The runs of a model whose factors are kept: the one that serves, and
 *	  others.
 *
 * The run that serves always has the same factor tables, so that grants, views,
 * indexes and publications of these stay.  Each other run that is kept has a pair of
 * its own, which its row names.  When another run comes to serve, the factors of
 * the one before are copied to such a pair, and its own are swapped in, as a
 * training does: readers go on meanwhile.
 */
#include "compat.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "common/arguments.h"
#include "common/progress.h"
#include "common/side.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "model/factor_table.h"
#include "model/feature_table.h"
#include "model/model_check.h"
#include "model/model_swap.h"
#include "model/model_versions.h"
#include "model/model_write.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(als_deploy);

/* Adds the factor tables of runs, a list of KeptRun *, to others, or removes them. */
static List *
change_tables(List *tables, List *runs, List *(*change) (List *, Oid))
{
	ListCell   *cell;

	foreach(cell, runs)
	{
		for (int side = 0; side < 2; side++)
			tables = change(tables,
							((KeptRun *) lfirst(cell))->factor_tables[side]);
	}
	return tables;
}

/*
 * All factor tables of the model that do not serve: of other runs, and of runs
 * whose rows have been deleted.  A dump does not carry what hangs on the model.
 */
static List *
other_tables(Relation model, const ModelTarget *target)
{
	List	   *tables = dependent_factor_tables(model);

	for (int side = 0; side < 2; side++)
		tables = list_delete_oid(tables, target->last.factor_tables[side]);
	tables = change_tables(tables, target->kept, list_append_unique_oid);
	return change_tables(tables, target->surplus, list_append_unique_oid);
}

void
claim_kept_runs(Relation model, const ModelTarget *target)
{
	ListCell   *cell;

	foreach(cell, target->kept)
	{
		const KeptRun *kept = lfirst(cell);
		ModelRun	run = target->last; /* whose columns it has */

		run.run = kept->run;
		run.serving = false;
		for (int side = 0; side < 2; side++)
		{
			FactorColumns columns;

			run.factor_tables[side] = kept->factor_tables[side];
			table_close(factor_table_open(model, &run, side,
										  ShareUpdateExclusiveLock, &columns),
						NoLock);
		}
	}
	foreach(cell, other_tables(model, target))
		check_droppable(model, lfirst_oid(cell));
}

void
check_may_keep(const ModelTarget *target)
{
	Relation	model = table_open(target->model, NoLock);

	check_may_create(RelationGetNamespace(model));
	if (is_published(model))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot keep runs of published model \"%s\"",
						target->name),
				 errdetail("Subscribers do not have the tables of such runs."),
				 errhint("Train with keep => 1, or take the model's table out of the publication.")));
	table_close(model, NoLock);
}

/*
 * Creates the tables of a run that is kept, in which it has columns like those
 * that serve.
 */
static void
create_kept_tables(const ModelTarget *target, int32 run, Oid tables[2])
{
	static const char *const suffixes[] = {"users", "items"};
	Relation	model = table_open(target->model, NoLock);

	for (int side = 0; side < 2; side++)
	{
		FactorColumns columns;
		IdType		type;
		Relation	table = factor_table_open(model, &target->last, side,
											  ShareUpdateExclusiveLock,
											  &columns);
		char	   *name = ChooseRelationName(target->name, suffixes[side],
											  psprintf("%d", run),
											  RelationGetNamespace(model),
											  false);

		factor_table_id_type(table, &columns, &type, CurrentMemoryContext);
		table_close(table, NoLock);
		tables[side] = create_factor_table(target, side, name, &type,
										   target->last.feedback);
		depend_on_model(target, tables[side]);
	}
	table_close(model, NoLock);
	CommandCounterIncrement();
}

/*
 * Locks the factors that are to be copied against changes, which would be lost; list
 * others has factor tables besides those that serve.
 */
static void
lock_copied(const ModelTarget *target, List *others)
{
	List	   *tables = list_copy(others);

	for (int side = 0; side < 2; side++)
		tables = lappend_oid(tables, target->last.factor_tables[side]);
	lock_tables(target, tables, ShareRowExclusiveLock);
}

/* Gives the factors of the run that serves, which are locked, tables of their own. */
static void
keep_serving_run(ModelTarget *target)
{
	NewFactors	copy = {
		.target = target,
		.feedback = target->last.feedback,
		.tables = target->old_tables,
		.copied = target->last.factor_tables
	};

	create_kept_tables(target, target->last.run, target->old_tables);
	swap_factors(&copy, NIL);
}

/*
 * Divides the kept runs, of which another one wants to be, into those that stay
 * and the surplus; does the other one get a place?
 */
static bool
settle_places(ModelTarget *target, int32 other)
{
	int			places = target->keep - 1;
	bool		has_place = other == 0;
	List	   *kept = NIL;
	ListCell   *cell;

	foreach(cell, target->kept)
	{
		KeptRun    *run = lfirst(cell);

		if (!has_place && other > run->run && places > 0)
		{
			has_place = true;
			places--;
		}
		if (places > 0)
		{
			kept = lappend(kept, run);
			places--;
		}
		else
			target->surplus = lappend(target->surplus, run);
	}
	target->kept = kept;
	return other > 0 && (has_place || places > 0);
}

/* Drops factor tables that no run has any longer. */
static void
drop_tables(const ModelTarget *target, List *tables)
{
	ListCell   *cell;

	if (tables != NIL)
		lock_tables(target, tables, AccessExclusiveLock);
	foreach(cell, tables)
	{
		ObjectAddress table;

		ObjectAddressSet(table, RelationRelationId, lfirst_oid(cell));
		deleteDependencyRecordsForClass(RelationRelationId, table.objectId,
										RelationRelationId,
										DEPENDENCY_INTERNAL);
		CommandCounterIncrement();
		performDeletion(&table, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	}
}

/* The factor tables that are to be dropped, once kept runs are settled */
static List *
surplus_tables(const ModelTarget *target)
{
	Relation	model = table_open(target->model, NoLock);
	List	   *tables = other_tables(model, target);

	tables = change_tables(tables, target->kept, list_delete_oid);
	for (int side = 0; side < 2; side++)
	{
		tables = list_delete_oid(tables, target->new_tables[side]);
		tables = list_delete_oid(tables, target->old_tables[side]);
	}
	table_close(model, NoLock);
	return tables;
}

void
model_store_factors(ModelTarget *target, const RatedIds *const ids[2],
					const float *const rows[2], int factors,
					AlsFeedback feedback)
{
	NewFactors	new = {
		.target = target,
		.feedback = feedback,
		.tables = target->new_tables,
		.ids = ids,
		.rows = rows,
		.factors = factors
	};
	Relation	model = table_open(target->model, NoLock);
	List	   *surplus;
	ListCell   *cell;

	/* functions of ids may have run since it was done last */
	claim_kept_runs(model, target);
	table_close(model, NoLock);
	if (settle_places(target, target->deploy ? target->last.run :
					  target->newest + 1))
	{
		if (target->deploy)
		{
			lock_copied(target, NIL);
			keep_serving_run(target);
		}
		else
			create_kept_tables(target, target->newest + 1, target->new_tables);
	}
	if (target->deploy)
		memcpy(target->new_tables, target->last.factor_tables,
			   sizeof(target->new_tables));
	surplus = surplus_tables(target);
	foreach(cell, change_tables(NIL, target->kept, list_append_unique_oid))
		depend_on_model(target, lfirst_oid(cell));
	if (OidIsValid(target->new_tables[ALS_USERS]))
		swap_factors(&new, surplus);
	drop_tables(target, surplus);
	feature_table_forget(target);
}

/*
 * Runs a statement that writes one row of the model's table, as the current user;
 * raises if it has not.  The row may be newer than the transaction's snapshot.
 */
static void
write_run(const ModelTarget *target, const char *statement, int nargs,
		  Oid *types, Datum *values, const char *nulls)
{
	const char *table = quote_qualified_identifier(target->schema, target->name);
	SPIPlanPtr	plan;
	int			result;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	plan = SPI_prepare(psprintf(statement, table), nargs, types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s",
			 SPI_result_code_string(SPI_result));
	result = SPI_execute_snapshot(plan, values, nulls, GetLatestSnapshot(),
								  InvalidSnapshot, false, true, 0);
	if (result < 0)
		elog(ERROR, "SPI_execute_snapshot failed: %s",
			 SPI_result_code_string(result));
	if ((result != SPI_OK_INSERT && result != SPI_OK_UPDATE) || SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not write a run of model \"%s\"", target->name),
				 errdetail("A trigger or a rule of its table prevents it."),
				 errhint("Drop that, or train under another name.")));
	SPI_finish();
}

/* Writes into a run's row whether it serves, and its tables. */
static void
set_run(const ModelTarget *target, int32 run, bool serving,
		const Oid tables[2])
{
	Oid			types[] = {INT4OID, BOOLOID, REGCLASSOID, REGCLASSOID};
	Datum		values[] = {Int32GetDatum(run), BoolGetDatum(serving),
		ObjectIdGetDatum(tables[ALS_USERS]),
	ObjectIdGetDatum(tables[ALS_ITEMS])};

	write_run(target, "UPDATE %s SET serving = $2, user_factors = $3, item_factors = $4 WHERE run OPERATOR(pg_catalog.=) $1",
			  lengthof(types), types, values,
			  OidIsValid(tables[ALS_USERS]) ? NULL : "  nn");
}

Datum
model_add_run(const ModelTarget *target, TupleDesc type,
			  Datum *values, bool *nulls)
{
	static const Oid none[2] = {InvalidOid, InvalidOid};
	Oid			argument_type = type->tdtypeid;
	ListCell   *cell;
	Datum		row;

	values[MODEL_RUN - 1] = Int32GetDatum(target->newest + 1);
	nulls[MODEL_RUN - 1] = false;
	values[MODEL_KEEP - 1] = Int32GetDatum(target->keep);
	nulls[MODEL_KEEP - 1] = false;
	values[MODEL_SERVING - 1] = BoolGetDatum(target->deploy);
	nulls[MODEL_SERVING - 1] = false;
	for (int side = 0; side < 2; side++)
	{
		ModelColumn column = side == ALS_USERS ? MODEL_USER_FACTORS :
			MODEL_ITEM_FACTORS;

		values[column - 1] = ObjectIdGetDatum(target->new_tables[side]);
		nulls[column - 1] = !OidIsValid(target->new_tables[side]);
	}
	row = run_form(type, values, nulls);

	if (target->deploy && target->last.run > 0)
		set_run(target, target->last.run, false, target->old_tables);
	foreach(cell, target->surplus)
		set_run(target, ((KeptRun *) lfirst(cell))->run, false, none);
	write_run(target, "INSERT INTO %s SELECT ($1).*", 1, &argument_type, &row,
			  NULL);
	return row;
}

/* Raises unless the ids of a kept table are of the type of those that serve. */
static void
check_same_ids(Relation model, const ModelTarget *target, const ModelRun *kept,
			   AlsSide side)
{
	const ModelRun *runs[] = {&target->last, kept};
	IdType		types[2];

	for (int i = 0; i < 2; i++)
	{
		FactorColumns columns;
		Relation	table = factor_table_open(model, runs[i], side, NoLock,
											  &columns);

		factor_table_id_type(table, &columns, &types[i], CurrentMemoryContext);
		table_close(table, NoLock);
	}
	if (types[0].type != types[1].type || types[0].typmod != types[1].typmod ||
		types[0].collation != types[1].collation)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s ids of run %d of model \"%s\" are not of the type of those that serve",
						side_names[side], kept->run, target->name),
				 errhint("Give both columns the same type with ALTER TABLE.")));
}

/* Makes a kept run serve, and keeps the one that has served. */
static void
deploy(ModelTarget *target, const ModelRun *kept)
{
	NewFactors	new = {
		.target = target,
		.feedback = target->last.feedback,
		.tables = target->last.factor_tables,
		.copied = kept->factor_tables
	};
	Relation	model = table_open(target->model, NoLock);
	List	   *tables = NIL;

	for (int side = 0; side < 2; side++)
	{
		check_same_ids(model, target, kept, side);
		tables = lappend_oid(tables, kept->factor_tables[side]);
	}
	table_close(model, NoLock);
	lock_copied(target, tables);
	keep_serving_run(target);
	swap_factors(&new, tables);
	set_run(target, target->last.run, false, target->old_tables);
	set_run(target, kept->run, true, target->last.factor_tables);
	drop_tables(target, tables);
}

/* als_deploy(model, run) */
Datum
als_deploy(PG_FUNCTION_ARGS)
{
	Oid			model;
	Relation	relation;
	ModelRun	run;
	ModelTarget target = {0};
	Progress	before;

	prevent_in_recovery("als_deploy()",
						"Deploy on the primary; this server serves the run as soon as it is replicated.");
	PreventCommandIfReadOnly("als_deploy()");
	PreventCommandIfParallelMode("als_deploy()");
	require_arguments(fcinfo, 2);
	require_argument(fcinfo, 0, "model");
	require_argument(fcinfo, 1, "run");
	model = PG_GETARG_OID(0);
	require_model(model);
	model_check_owner(model);
	model_lock(model, ShareUpdateExclusiveLock, "als_deploy");
	require_model(model);
	model_check_owner(model);

	relation = table_open(model, NoLock);
	model_require_run(relation, run_argument(fcinfo, 1), &run);
	table_close(relation, NoLock);
	if (!run.serving)
	{
		model_open_target(model, 0, &target);
		check_may_keep(&target);
		before = progress_begin(target.name, target.model);
		deploy(&target, &run);
		progress_end(&before);
	}
	PG_RETURN_VOID();
}
