/*
 * train.c
 *	  The phases of a trainer, in order: read, sort, iterate, write.
 */
#include "compat.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/arguments.h"
#include "common/bulk.h"
#include "common/parallel.h"
#include "common/progress.h"
#include "common/side.h"
#include "funcapi.h"
#include "model/factor_table.h"
#include "model/feature_table.h"
#include "model/model_cache.h"
#include "ratings/csr_blocks.h"
#include "ratings/source.h"
#include "ratings/source_ratings.h"
#include "tcop/utility.h"
#include "train/better.h"
#include "train/describe_run.h"
#include "train/features.h"
#include "train/train.h"
#include "train/warm_start.h"
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
train_workers(const TrainOptions *options, const TrainInput *input)
{
	const TrainerParameters *parameters = &options->parameters;

	return parallel_workers(options->workers,
							(double) ratings_count(input->ratings) *
							als_stride(parameters->factors) *
							parameters->iterations);
}

/* The share of the budget that is for what is validated on */
static size_t
validation_budget(bool validate)
{
	return validate ? (size_t) maintenance_work_mem * 1024 / 4 : 0;
}

/* Reads what is known of the sides' rows besides. */
static void
read_features(const TrainOptions *options, TrainInput *input)
{
	for (int side = 0; side < 2; side++)
		if (options->features[side] != NULL)
			input->features[side] = features_read(side, options->features[side],
												  options->source.snapshot,
												  input->ratings);
}

void
train_read(const ModelTarget *target, const TrainOptions *options,
		   TrainInput *input)
{
	const ValidationOptions *validation = &options->validation;
	size_t		other = validation_budget(options_validate(options));
	size_t		memory = blocks_triplet_memory((size_t) maintenance_work_mem * 1024 - other,
											   options->source.weighing.apart);
	char	   *from;

	INSTR_TIME_SET_CURRENT(input->reading);
	progress_phase(PROGRESS_READING);
	if (validation->fraction >= 0)
	{
		SourceSplit split = {0};

		split.fraction = validation->fraction;
		split.seed = input->split_seed = options->parameters.seed;
		split.memory = blocks_triplet_memory(other, false);
		input->ratings = source_read_split(CurrentMemoryContext,
										   &options->source, memory,
										   options->workers, &split, &from);
		input->held_out = split.held_out;
	}
	else
		input->ratings = source_read(CurrentMemoryContext, &options->source,
									 memory, options->workers, &from);
	input->from = from;
	read_features(options, input);

	if (validation->source != NULL)
	{
		RatingSource source = options->source;

		source.source = validation->source;
		/* measured is what ratings are, whatever they weigh */
		if (source.weighing.apart)
			source.weighing = (Weighing)
		{
			0
		};
		input->held_out = source_read(CurrentMemoryContext, &source,
									  blocks_triplet_memory(other, false),
									  options->workers, &from);
		input->validation_from = from;
	}
	model_check_unchanged(target);
	input->temporary = is_temporary_for_others(target, options->source.source);
	if (input->temporary)
		input->from = NULL;
	for (int side = 0; side < 2; side++)
		if (options->features[side] != NULL &&
			is_temporary_for_others(target, options->features[side]))
			input->features[side]->source = NULL;
}

bool
is_temporary_for_others(const ModelTarget *target, const char *source)
{
	return get_rel_persistence(target->model) != RELPERSISTENCE_TEMP &&
		source_is_temporary(source);
}

void
notice_temporary(const ModelTarget *target, const char *what)
{
	ereport(NOTICE,
			(errmsg("model \"%s\" will not know its %s", target->name, what),
			 errdetail("They are read from a temporary table or view, which other sessions do not have."),
			 strcmp(what, "ratings") == 0 ?
			 errhint("Train from a table that stays, or pass exclude_seen => false where the model is used.") :
			 errhint("Train from a table that stays.")));
}

/* The ids of a side's ratings, and behind them those that have features only. */
static const RatedIds *
all_ids(const TrainInput *input, AlsSide side)
{
	const RatedIds *rated = ratings_ids(input->ratings, side);
	const SideFeatures *features = input->features[side];
	RatedIds   *all;

	if (features == NULL || features->nnew == 0)
		return rated;
	all = palloc0(sizeof(RatedIds));
	all->size = rated->size + features->nnew;
	all->ids = MemoryContextAllocHuge(CurrentMemoryContext,
									  all->size * sizeof(Datum));
	copy_large(all->ids, rated->ids, rated->size * sizeof(Datum));
	copy_large(all->ids + rated->size, features->new_ids,
			   features->nnew * sizeof(Datum));
	return all;
}

void
train_prepare(ModelTarget *target, const TrainOptions *options,
			  const TrainInput *input)
{
	const IdType *types[2];
	const RatedIds *ids[2];

	if (ratings_count(input->ratings) == 0)
		reject_no_ratings();
	if (input->held_out != NULL && ratings_count(input->held_out) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("there are no ratings to validate on"),
				 options->validation.source != NULL ?
				 errhint("Check that the relation or query of validation returns rows.") :
				 errhint("Raise validation_fraction above %g, or choose another seed if these ratings are what als_holdout has left with this one.",
						 options->validation.fraction)));
	if (input->temporary)
		notice_temporary(target, "ratings");
	for (int side = 0; side < 2; side++)
	{
		if (input->features[side] != NULL && input->features[side]->source == NULL)
			notice_temporary(target, psprintf("features of %s", side_plurals[side]));
		types[side] = idmap_type(ratings_map(input->ratings, side));
		ids[side] = all_ids(input, side);
	}
	model_prepare_tables(target, options->parameters.feedback, types, ids);
	if (input->features[ALS_USERS] != NULL || input->features[ALS_ITEMS] != NULL)
		(void) feature_table_claim(target);
}

void
train_sort(const TrainOptions *options, TrainInput *input, int nworkers)
{
	const TrainerParameters *parameters = &options->parameters;
	Ratings    *ratings = input->ratings;
	size_t		other = validation_budget(input->held_out != NULL);
	RatingBlocks *blocks;
	instr_time	phase;

	if (parameters->verbose)
	{
		ereport(NOTICE,
				(errmsg("read " UINT64_FORMAT " ratings by %u users of %u items in %.3f s",
						ratings_count(ratings), ratings_ids(ratings, ALS_USERS)->size,
						ratings_ids(ratings, ALS_ITEMS)->size,
						seconds_since(input->reading))));
		if (input->held_out != NULL)
			ereport(NOTICE,
					(errmsg("validating on " UINT64_FORMAT " ratings",
							ratings_count(input->held_out))));
		if (ratings_spilled(ratings))
			ereport(NOTICE,
					(errmsg("ratings exceed maintenance_work_mem and spill to temporary files")));
	}
	INSTR_TIME_SET_CURRENT(phase);
	progress_sorting(ratings_count(ratings) +
					 (input->held_out != NULL ? ratings_count(input->held_out) : 0),
					 BLOCKS_PASSES);
	input->blocks = blocks_build(ratings, parameters->feedback,
								 (size_t) maintenance_work_mem * 1024 - other,
								 nworkers);
	blocks = (RatingBlocks *) input->blocks.address;
	if (!parameters->biases)
		blocks->mean = 0;
	input->nratings = blocks->nratings;
	input->mean = blocks->mean;
	if (input->held_out != NULL)
		input->validation =
			validation_begin(options, ratings, input->features,
							 all_ids(input, ALS_ITEMS), input->mean,
							 input->held_out, other, nworkers);
	if (parameters->verbose)
		ereport(NOTICE, (errmsg("sorted ratings in %.3f s",
								seconds_since(phase))));
}

/*
 * Raises for factors of a side whose scores might not be finite.  Those behind the
 * rated ones are what features say.
 */
static void
check_lengths(const TrainerParameters *parameters, double mean, AlsSide side,
			  uint32 rated, uint32 nrows, const float *rows)
{
	bool		explicit = parameters->feedback == ALS_EXPLICIT;
	size_t		stride = als_stride(parameters->factors + (explicit ? 1 : 0));

	for (uint32 i = 0; i < nrows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!factors_fit(rows + i * stride, parameters->factors, explicit, mean))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("the factors of %s are too long to be served",
							side == ALS_USERS ? "a user" : "an item"),
					 errdetail("%s", factors_fit_detail(explicit)),
					 i < rated ? errhint("Scale the ratings down.") :
					 errhint("Scale the values of its features down.")));
	}
}

Datum
train_store(ModelTarget *target, const TrainOptions *options,
			const TrainInput *input, const TrainerResult *result,
			TupleDesc row_type)
{
	const TrainerParameters *parameters = &options->parameters;
	const RatedIds *ids[2] = {all_ids(input, ALS_USERS), all_ids(input, ALS_ITEMS)};
	const float *rows[2] = {result->factors[ALS_USERS],
	result->factors[ALS_ITEMS]};
	FeatureFactors features[2] = {{0}};
	Oid			feature_table;
	Datum		values[MODEL_COLUMNS];
	bool		nulls[MODEL_COLUMNS];
	instr_time	phase;

	INSTR_TIME_SET_CURRENT(phase);
	describe_run(values, nulls, options, input, result);
	for (int side = 0; side < 2; side++)
	{
		if (input->features[side] == NULL)
			continue;
		features[side].size = input->features[side]->nfeatures;
		features[side].names = input->features[side]->names;
		features[side].factors = result->feature_factors[side];
		features_fill_new(input->features[side], result, side);
	}
	for (int side = 0; side < 2; side++)
		check_lengths(parameters, input->mean, side,
					  ratings_ids(input->ratings, side)->size, ids[side]->size,
					  rows[side]);
	feature_table = feature_table_write(target, features, parameters->factors,
										parameters->feedback);
	nulls[MODEL_FEATURE_FACTORS - 1] = !OidIsValid(feature_table);
	values[MODEL_FEATURE_FACTORS - 1] = ObjectIdGetDatum(feature_table);
	model_store_factors(target, ids, rows, parameters->factors,
						parameters->feedback);
	if (parameters->verbose)
		ereport(NOTICE, (errmsg("wrote factors in %.3f s",
								seconds_since(phase))));

	values[MODEL_SECONDS - 1] = Float8GetDatum(seconds_since(input->started));
	return model_add_run(target, row_type, values, nulls);
}

void
train_end(TrainInput *input)
{
	if (input->validation != NULL)
		validation_end(input->validation);
	arena_free(&input->blocks);
}

Datum
train_model(ModelTarget *target, const TrainOptions *options,
			TrainInput *input, TupleDesc row_type)
{
	TrainOptions chosen = *options;
	bool		warm_start = options->warm_start && target->last.run > 0;
	int			nworkers = train_workers(options, input);
	Trainer    *trainer;
	Datum		row;

	train_prepare(target, options, input);
	train_sort(options, input, nworkers);
	choose_parameters(&chosen.parameters, &input->blocks, &input->summary);
	if (options->parameters.verbose)
		notice_chosen(&options->parameters, &chosen.parameters);
	trainer = trainer_begin(&chosen.parameters, &input->blocks,
							(const SideFeatures *const *) input->features,
							input->validation, warm_start, nworkers);
	if (warm_start)
		for (int side = 0; side < 2; side++)
			load_starting_factors(target, options, trainer_result(trainer),
								  input->ratings, side);
	if (!trainer_run(trainer))
		trainer_raise(trainer);
	if (options->deploy == DEPLOY_IF_BETTER && target->last.run > 0)
		target->deploy = is_better(target, &chosen, input,
								   trainer_result(trainer));
	row = train_store(target, &chosen, input, trainer_result(trainer), row_type);
	trainer_end(trainer);
	train_end(input);
	return row;
}

/* Settles whether the run is to serve, or may be; raises if nobody could use it. */
static void
settle_deployment(ModelTarget *target, Deploy deploy)
{
	if (deploy == DEPLOY_NEVER && target->keep == 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("deploy => 'never' has no meaning with keep => 1"),
				 errdetail("The one run that is kept is the one that serves."),
				 errhint("Pass keep => 2 or more.")));
	/* the first run has to serve */
	target->deploy = deploy != DEPLOY_NEVER || target->last.run == 0;
}

/* als_train(model, ratings, ...) */
Datum
als_train(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	TrainOptions options;
	TrainInput	input = {0};
	ModelTarget target;
	Progress	before;
	TupleDesc	row_type;
	Datum		row;

	prevent_training("als_train()");
	require_arguments(fcinfo, 2 + options_count(USE_TRAIN));
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
						 row_type, "als_train", options.keep, &target);
	settle_deployment(&target, options.deploy);
	INSTR_TIME_SET_CURRENT(input.started);
	before = progress_begin(target.name, target.model);
	train_read(&target, &options, &input);
	row = train_model(&target, &options, &input, row_type);

	progress_end(&before);
	MemoryContextSwitchTo(caller);
	row = datumCopy(row, false, -1);
	MemoryContextDelete(context);
	PG_RETURN_DATUM(row);
}
