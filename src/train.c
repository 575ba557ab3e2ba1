/*
 * train.c
 *	  The phases of a training, in order: read, sort, iterate, write.
 */
#include "compat.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "blocks.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "source.h"
#include "tcop/utility.h"
#include "train.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(als_train);

/* Floats read per iteration that make another worker worth its start */
#define WORK_PER_WORKER (4.0 * 1024 * 1024)

void
prevent_training(const char *command)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot execute %s during recovery", command),
				 errhint("Train on the primary; this server serves the model as soon as it is replicated.")));
	if (XactReadOnly)
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot execute %s in a read-only transaction", command),
				 errhint("Use SET TRANSACTION READ WRITE.")));
	PreventCommandIfParallelMode(command);
}

/* Seconds since a point in time. */
static double
seconds_since(instr_time start)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return INSTR_TIME_GET_DOUBLE(now);
}

/* How many workers to ask for. */
static int
choose_workers(const TrainOptions *options, uint64 nratings)
{
	double		work = (double) nratings *
		als_stride(options->parameters.factors);

	if (options->workers >= 0)
		return Min(options->workers, max_parallel_maintenance_workers);
	return (int) Min(work / WORK_PER_WORKER, max_parallel_maintenance_workers);
}

/*
 * Overwrites the starting factors of ids that the model knows with what is
 * stored for them.
 */
static void
load_starting_factors(const ModelTarget *target, const TrainOptions *options,
					  Training *training, const Ratings *ratings, AlsSide side)
{
	Relation	model = table_open(target->model, NoLock);
	IdMap	   *map = side == ALS_USERS ? ratings_user_map(ratings) :
		ratings_item_map(ratings);
	const RatedIds *ids = side == ALS_USERS ? ratings_users(ratings) :
		ratings_items(ratings);
	size_t		stride = als_stride(training_rank(training));
	int			factors = options->parameters.factors;
	float	   *row = palloc(stride * sizeof(float));
	FactorColumns columns;
	Relation	table;
	Snapshot	snapshot;
	TableScanDesc scan;
	TupleTableSlot *slot;

	if (target->last.factors != factors)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot start %d factors from the %d of model \"%s\"",
						factors, target->last.factors, target->name),
				 errhint("Train with the same number of factors, or without warm_start.")));

	table = factor_table_open(model, &target->last, side, AccessShareLock,
							  &columns);
	snapshot = RegisterSnapshot(GetCatalogSnapshot(RelationGetRelid(table)));
	slot = table_slot_create(table, NULL);
	scan = table_beginscan(table, snapshot, 0, NULL);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool		isnull;
		Datum		id = slot_getattr(slot, columns.id, &isnull);
		uint32		arrival;

		CHECK_FOR_INTERRUPTS();
		if (isnull || !idmap_find(map, id, &arrival))
			continue;
		factor_table_row(table, &columns, slot, factors, row);
		if (options->nonnegative)
			for (int i = 0; i < factors; i++)
				row[i] = Max(row[i], 0);
		memcpy(training_factors(training, side) + ids->order[arrival] * stride,
			   row, training_rank(training) * sizeof(float));
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	table_close(table, NoLock);
	table_close(model, NoLock);
	pfree(row);
}

/* A text column of the run; null for NULL. */
static void
set_run_text(Datum *values, bool *nulls, ModelColumn column, const char *text)
{
	nulls[column - 1] = text == NULL;

	if (text !=NULL)
		values[column - 1] = CStringGetTextDatum(text);
}

/* The loss of every iteration as double precision[]. */
static Datum
losses_array(const double *losses, int count)
{
	Datum	   *elements = palloc(count * sizeof(Datum));

	for (int i = 0; i < count; i++)
		elements[i] = Float8GetDatum(losses[i]);
	return PointerGetDatum(construct_array(elements, count, FLOAT8OID,
										   sizeof(float8), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

/* Fills in a run but for its number and its tables. */
static void
describe_run(Datum *values, bool *nulls, const TrainOptions *options,
			 const char *from, const Ratings *ratings,
			 const RatingBlocks *blocks, Training *training)
{
	const TrainingParameters *parameters = &options->parameters;
	bool		explicit = parameters->feedback == ALS_EXPLICIT;
	int			iterations;
	const double *losses = training_losses(training, &iterations);

	memset(nulls, false, MODEL_COLUMNS * sizeof(bool));
	values[MODEL_TRAINED_AT - 1] =
		TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	set_run_text(values, nulls, MODEL_SOURCE, from);
	set_run_text(values, nulls, MODEL_USER_COLUMN,
				 from ? options->source.user_column : NULL);
	set_run_text(values, nulls, MODEL_ITEM_COLUMN,
				 from ? options->source.item_column : NULL);
	set_run_text(values, nulls, MODEL_RATING_COLUMN,
				 from ? options->source.rating_column : NULL);
	set_run_text(values, nulls, MODEL_FEEDBACK,
				 feedback_name(parameters->feedback));
	values[MODEL_FACTORS - 1] = Int32GetDatum(parameters->factors);
	values[MODEL_REGULARIZATION - 1] = Float8GetDatum(parameters->regularization);
	values[MODEL_REGULARIZATION_SCALING - 1] =
		Float8GetDatum(parameters->regularization_scaling);
	values[MODEL_ALPHA - 1] = Float8GetDatum(parameters->alpha);
	nulls[MODEL_ALPHA - 1] = explicit;
	values[MODEL_NONNEGATIVE - 1] = BoolGetDatum(options->nonnegative);
	values[MODEL_ITERATIONS - 1] = Int32GetDatum(parameters->iterations);
	set_run_text(values, nulls, MODEL_SOLVER, solver_name(parameters->solver));
	values[MODEL_CG_STEPS - 1] = Int32GetDatum(parameters->cg_steps);
	nulls[MODEL_CG_STEPS - 1] = parameters->solver != ALS_CG;
	values[MODEL_TOLERANCE - 1] = Float8GetDatum(parameters->tolerance);
	values[MODEL_SEED - 1] = Int64GetDatum(parameters->seed);
	values[MODEL_WARM_START - 1] = BoolGetDatum(options->warm_start);
	values[MODEL_WORKERS - 1] = Int32GetDatum(training_workers(training));
	values[MODEL_USERS - 1] = Int64GetDatum(ratings_users(ratings)->size);
	values[MODEL_ITEMS - 1] = Int64GetDatum(ratings_items(ratings)->size);
	values[MODEL_RATINGS - 1] = Int64GetDatum(blocks->nratings);
	values[MODEL_MEAN_RATING - 1] = Float8GetDatum(blocks->mean);
	nulls[MODEL_MEAN_RATING - 1] = !explicit;
	values[MODEL_LOSS - 1] = Float8GetDatum(losses[iterations - 1]);
	values[MODEL_LOSSES - 1] = losses_array(losses, iterations);
}

Datum
train_model(ModelTarget *target, const TrainOptions *options,
			Ratings *ratings, const char *from, instr_time started,
			TupleDesc row_type)
{
	const TrainingParameters *parameters = &options->parameters;
	size_t		budget = (size_t) maintenance_work_mem * 1024;
	int			nworkers = choose_workers(options, ratings_count(ratings));
	bool		spilled = ratings_spilled(ratings);
	Datum		values[MODEL_COLUMNS];
	bool		nulls[MODEL_COLUMNS];
	instr_time	phase;
	Area		area;
	Training   *training;

	if (row_type->natts != MODEL_COLUMNS)
		elog(ERROR, "type als_model has %d columns, expected %d",
			 row_type->natts, MODEL_COLUMNS);
	if (ratings_count(ratings) == 0)
		reject_no_ratings();

	if (parameters->verbose)
	{
		ereport(NOTICE,
				(errmsg("read " UINT64_FORMAT " ratings by %u users of %u items in %.3f s",
						ratings_count(ratings), ratings_users(ratings)->size,
						ratings_items(ratings)->size,
						seconds_since(started))));
		if (spilled)
			ereport(NOTICE,
					(errmsg("ratings exceed maintenance_work_mem and spill to temporary files")));
	}
	model_prepare_tables(target, parameters->feedback,
						 idmap_type(ratings_user_map(ratings)),
						 idmap_type(ratings_item_map(ratings)));

	INSTR_TIME_SET_CURRENT(phase);
	area = blocks_build(ratings, parameters->feedback, budget, nworkers > 0);
	if (parameters->verbose)
		ereport(NOTICE, (errmsg("sorted ratings in %.3f s",
								seconds_since(phase))));

	training = training_begin(parameters, &area, nworkers);
	if (options->warm_start && target->last.run > 0)
		for (int side = 0; side < 2; side++)
			load_starting_factors(target, options, training, ratings, side);
	training_run(training);

	INSTR_TIME_SET_CURRENT(phase);
	describe_run(values, nulls, options, from, ratings,
				 (RatingBlocks *) area.address, training);
	for (int side = 0; side < 2; side++)
		model_replace_factors(target, side,
							  side == ALS_USERS ? ratings_users(ratings) :
							  ratings_items(ratings),
							  training_factors(training, side),
							  parameters->factors, parameters->feedback);
	training_end(training);
	if (parameters->verbose)
		ereport(NOTICE, (errmsg("wrote factors in %.3f s",
								seconds_since(phase))));

	values[MODEL_SECONDS - 1] = Float8GetDatum(seconds_since(started));
	return model_add_run(target, row_type, values, nulls);
}

/* als_train(model, ratings, ...) */
Datum
als_train(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	TrainOptions options;
	ModelTarget target;
	TupleDesc	row_type;
	Ratings    *ratings;
	instr_time	started;
	char	   *from;
	Datum		row;

	prevent_training("als_train()");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null",
						PG_ARGISNULL(0) ? "model" : "ratings"),
				 errhint("Give the model a name and the ratings as a relation or SELECT.")));
	if (get_call_result_type(fcinfo, NULL, &row_type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be als_model");

	context = AllocSetContextCreate(caller, "als training",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	INSTR_TIME_SET_CURRENT(started);

	options_from_arguments(&options, fcinfo);
	options.source.source = text_to_cstring(PG_GETARG_TEXT_PP(1));
	model_begin_training(text_to_cstring(PG_GETARG_TEXT_PP(0)),
						 row_type->tdtypeid, &target);
	ratings = source_read(context, &options.source,
						  blocks_triplet_memory((size_t) maintenance_work_mem * 1024),
						  &from);
	row = train_model(&target, &options, ratings, from, started, row_type);

	MemoryContextSwitchTo(caller);
	row = datumCopy(row, false, -1);
	MemoryContextDelete(context);
	PG_RETURN_DATUM(row);
}
