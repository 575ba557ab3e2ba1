/*
 * train.c
 *	  The phases of a trainer, in order: read, sort, iterate, write.
 */
#include "compat.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/parallel.h"
#include "common/progress.h"
#include "funcapi.h"
#include "model/factor_table.h"
#include "ratings/csr_blocks.h"
#include "ratings/source.h"
#include "tcop/utility.h"
#include "train/train.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(als_train);

void
prevent_training(const char *command)
{
	prevent_in_recovery(command,
						"Train on the primary; this server serves the model as soon as it is replicated.");
	if (XactReadOnly)
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot execute %s in a read-only transaction", command),
				 errhint("Use SET TRANSACTION READ WRITE.")));
	PreventCommandIfParallelMode(command);
}

double
seconds_since(instr_time start)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return INSTR_TIME_GET_DOUBLE(now);
}

int
train_workers(const TrainOptions *options, const TrainInput *data)
{
	const TrainerParameters *parameters = &options->parameters;

	return parallel_workers(options->workers,
							(double) ratings_count(data->ratings) *
							als_stride(parameters->factors) *
							parameters->iterations);
}

/*
 * Overwrites the starting factors of ids that the model knows with what is
 * stored for them.
 */
static void
load_starting_factors(const ModelTarget *target, const TrainOptions *options,
					  Trainer *trainer, const Ratings *ratings, AlsSide side)
{
	Relation	model = table_open(target->model, NoLock);
	IdMap	   *map = ratings_map(ratings, side);
	const RatedIds *ids = ratings_ids(ratings, side);
	size_t		stride = als_stride(trainer_rank(trainer));
	int			factors = options->parameters.factors;
	float	   *row = palloc(stride * sizeof(float));
	FactorColumns columns;
	FactorScan	scan;
	Relation	table;
	Snapshot	snapshot;
	Datum		id;

	if (target->last.factors != factors)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot start %d factors from the %d of model \"%s\"",
						factors, target->last.factors, target->name),
				 errhint("Train with the same number of factors, or without warm_start.")));

	table = factor_table_open(model, &target->last, side, AccessShareLock,
							  &columns);
	snapshot = RegisterSnapshot(GetCatalogSnapshot(RelationGetRelid(table)));
	factor_scan_begin(&scan, table, &columns, snapshot);
	while (factor_scan_next(&scan, &id))
	{
		uint32		arrival;

		if (!idmap_find(map, id, &arrival))
			continue;
		factor_table_row(table, &columns, scan.slot, factors, row);
		if (options->nonnegative)
			for (int i = 0; i < factors; i++)
				row[i] = Max(row[i], 0);
		memcpy(trainer_factors(trainer, side) + ids->order[arrival] * stride,
			   row, trainer_rank(trainer) * sizeof(float));
	}
	factor_scan_end(&scan);
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

/* A number for every iteration as double precision[]. */
static Datum
iterations_array(const double *numbers, int count)
{
	Datum	   *elements = palloc(count * sizeof(Datum));

	for (int i = 0; i < count; i++)
		elements[i] = Float8GetDatum(numbers[i]);
	return PointerGetDatum(construct_array(elements, count, FLOAT8OID,
										   sizeof(float8), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}

/* Fills in what a run's validation was and said. */
static void
describe_validation(Datum *values, bool *nulls, const TrainOptions *options,
					const TrainInput *data, const Trainer *trainer)
{
	const ValidationOptions *validation = &options->validation;
	bool		split = data->held_out != NULL && data->validation_from == NULL;
	const double *curve = trainer_curve(trainer);
	int			iterations;

	set_run_text(values, nulls, MODEL_VALIDATION, data->validation_from);
	values[MODEL_VALIDATION_FRACTION - 1] = Float8GetDatum(validation->fraction);
	nulls[MODEL_VALIDATION_FRACTION - 1] = !split;
	values[MODEL_VALIDATION_SEED - 1] = Int64GetDatum(data->split_seed);
	nulls[MODEL_VALIDATION_SEED - 1] = !split;
	set_run_text(values, nulls, MODEL_VALIDATION_METRIC,
				 curve ? metric_names[validation->metric] : NULL);
	values[MODEL_VALIDATION_K - 1] = Int32GetDatum(validation->k);
	nulls[MODEL_VALIDATION_K - 1] = curve == NULL;
	values[MODEL_PATIENCE - 1] = Int32GetDatum(validation->patience);
	nulls[MODEL_PATIENCE - 1] = validation->patience == 0;

	trainer_losses(trainer, &iterations);
	nulls[MODEL_VALIDATION_CURVE - 1] = curve == NULL;
	if (curve != NULL)
		values[MODEL_VALIDATION_CURVE - 1] = iterations_array(curve, iterations);
	values[MODEL_BEST_ITERATION - 1] = Int32GetDatum(trainer_best(trainer));
}

/* Fills in a run but for its number and its tables. */
static void
describe_run(Datum *values, bool *nulls, const TrainOptions *options,
			 const TrainInput *data, const Trainer *trainer)
{
	const TrainerParameters *parameters = &options->parameters;
	const Ratings *ratings = data->ratings;
	const RatingBlocks *blocks = (const RatingBlocks *) data->blocks.address;
	const char *from = data->from;
	bool		explicit = parameters->feedback == ALS_EXPLICIT;
	int			iterations;
	const double *losses = trainer_losses(trainer, &iterations);

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
	values[MODEL_WORKERS - 1] = Int32GetDatum(trainer_workers(trainer));
	values[MODEL_USERS - 1] = Int64GetDatum(ratings_ids(ratings, ALS_USERS)->size);
	values[MODEL_ITEMS - 1] = Int64GetDatum(ratings_ids(ratings, ALS_ITEMS)->size);
	values[MODEL_RATINGS - 1] = Int64GetDatum(blocks->nratings);
	values[MODEL_MEAN_RATING - 1] = Float8GetDatum(blocks->mean);
	nulls[MODEL_MEAN_RATING - 1] = !explicit;
	values[MODEL_LOSS - 1] = Float8GetDatum(losses[trainer_best(trainer) - 1]);
	values[MODEL_LOSSES - 1] = iterations_array(losses, iterations);
	describe_validation(values, nulls, options, data, trainer);
}

/* The share of the budget that is for what is validated on */
static size_t
validation_budget(bool validate)
{
	return validate ? (size_t) maintenance_work_mem * 1024 / 4 : 0;
}

void
train_read(const ModelTarget *target, const TrainOptions *options,
		   TrainInput *data)
{
	const ValidationOptions *validation = &options->validation;
	size_t		other = validation_budget(options_validate(options));
	size_t		memory = blocks_triplet_memory((size_t) maintenance_work_mem * 1024 - other);
	char	   *from;

	INSTR_TIME_SET_CURRENT(data->reading);
	progress_phase(PROGRESS_READING);
	if (validation->fraction >= 0)
	{
		SourceSplit split = {0};

		split.fraction = validation->fraction;
		split.seed = data->split_seed = options->parameters.seed;
		split.memory = blocks_triplet_memory(other);
		data->ratings = source_read_split(CurrentMemoryContext,
										  &options->source, memory, &split,
										  &from);
		data->held_out = split.held_out;
	}
	else
		data->ratings = source_read(CurrentMemoryContext, &options->source,
									memory, &from);
	data->from = from;

	if (validation->source != NULL)
	{
		RatingSource source = options->source;

		source.source = validation->source;
		data->held_out = source_read(CurrentMemoryContext, &source,
									 blocks_triplet_memory(other), &from);
		data->validation_from = from;
	}
	model_check_unchanged(target);
	data->temporary = get_rel_persistence(target->model) != RELPERSISTENCE_TEMP &&
		source_is_temporary(options->source.source);
	if (data->temporary)
		data->from = NULL;
}

void
train_prepare(ModelTarget *target, const TrainOptions *options,
			  const TrainInput *data)
{
	if (ratings_count(data->ratings) == 0)
		reject_no_ratings();
	if (data->held_out != NULL && ratings_count(data->held_out) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("there are no ratings to validate on"),
				 options->validation.source != NULL ?
				 errhint("Check that the relation or query of validation returns rows.") :
				 errhint("Raise validation_fraction above %g, or choose another seed if these ratings are what als_holdout has left with this one.",
						 options->validation.fraction)));
	if (data->temporary)
		ereport(NOTICE,
				(errmsg("model \"%s\" will not know its ratings",
						target->name),
				 errdetail("They are read from a temporary table or view, which other sessions do not have."),
				 errhint("Train from a table that stays, or pass exclude_seen => false where the model is used.")));
	model_prepare_tables(target, options->parameters.feedback,
						 data->ratings);
}

void
train_sort(const TrainOptions *options, TrainInput *data, bool shared)
{
	const TrainerParameters *parameters = &options->parameters;
	Ratings    *ratings = data->ratings;
	size_t		other = validation_budget(data->held_out != NULL);
	instr_time	phase;

	if (parameters->verbose)
	{
		ereport(NOTICE,
				(errmsg("read " UINT64_FORMAT " ratings by %u users of %u items in %.3f s",
						ratings_count(ratings), ratings_ids(ratings, ALS_USERS)->size,
						ratings_ids(ratings, ALS_ITEMS)->size,
						seconds_since(data->reading))));
		if (data->held_out != NULL)
			ereport(NOTICE,
					(errmsg("validating on " UINT64_FORMAT " ratings",
							ratings_count(data->held_out))));
		if (ratings_spilled(ratings))
			ereport(NOTICE,
					(errmsg("ratings exceed maintenance_work_mem and spill to temporary files")));
	}
	INSTR_TIME_SET_CURRENT(phase);
	progress_sorting(ratings_count(ratings));
	data->blocks = blocks_build(ratings, parameters->feedback,
								(size_t) maintenance_work_mem * 1024 - other,
								shared);
	if (data->held_out != NULL)
		data->validation =
			validation_begin(options, ratings,
							 ((RatingBlocks *) data->blocks.address)->mean,
							 data->held_out, other, shared);
	if (parameters->verbose)
		ereport(NOTICE, (errmsg("sorted ratings in %.3f s",
								seconds_since(phase))));
}

Datum
train_store(const ModelTarget *target, const TrainOptions *options,
			const TrainInput *data, Trainer *trainer,
			TupleDesc row_type)
{
	const TrainerParameters *parameters = &options->parameters;
	const RatedIds *ids[2] = {ratings_ids(data->ratings, ALS_USERS),
	ratings_ids(data->ratings, ALS_ITEMS)};
	const float *rows[2] = {trainer_factors(trainer, ALS_USERS),
	trainer_factors(trainer, ALS_ITEMS)};
	Datum		values[MODEL_COLUMNS];
	bool		nulls[MODEL_COLUMNS];
	instr_time	phase;

	INSTR_TIME_SET_CURRENT(phase);
	describe_run(values, nulls, options, data, trainer);
	model_replace_factors(target, ids, rows, parameters->factors,
						  parameters->feedback);
	if (parameters->verbose)
		ereport(NOTICE, (errmsg("wrote factors in %.3f s",
								seconds_since(phase))));

	values[MODEL_SECONDS - 1] = Float8GetDatum(seconds_since(data->started));
	return model_add_run(target, row_type, values, nulls);
}

void
train_end(TrainInput *data)
{
	if (data->validation != NULL)
		validation_end(data->validation);
	arena_free(&data->blocks);
}

Datum
train_model(ModelTarget *target, const TrainOptions *options,
			TrainInput *data, TupleDesc row_type)
{
	int			nworkers = train_workers(options, data);
	Trainer    *trainer;
	Datum		row;

	train_prepare(target, options, data);
	train_sort(options, data, nworkers > 0);
	trainer = trainer_begin(&options->parameters, &data->blocks,
							  data->validation, nworkers);
	if (options->warm_start && target->last.run > 0)
		for (int side = 0; side < 2; side++)
			load_starting_factors(target, options, trainer, data->ratings,
								  side);
	if (!trainer_run(trainer))
		trainer_raise(trainer);
	row = train_store(target, options, data, trainer, row_type);
	trainer_end(trainer);
	train_end(data);
	return row;
}

/* als_train(model, ratings, ...) */
Datum
als_train(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	TrainOptions options;
	TrainInput data = {0};
	ModelTarget target;
	Progress	before;
	TupleDesc	row_type;
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
	options_from_arguments(&options, fcinfo, 2, USE_TRAIN);
	options_settle(&options);
	options.source.source = text_to_cstring(PG_GETARG_TEXT_PP(1));
	model_begin_training(text_to_cstring(PG_GETARG_TEXT_PP(0)),
						 row_type, "als_train", &target);
	INSTR_TIME_SET_CURRENT(data.started);
	before = progress_begin(target.name, target.model);
	train_read(&target, &options, &data);
	row = train_model(&target, &options, &data, row_type);

	progress_end(&before);
	MemoryContextSwitchTo(caller);
	row = datumCopy(row, false, -1);
	MemoryContextDelete(context);
	PG_RETURN_DATUM(row);
}
