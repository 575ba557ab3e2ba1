/*
 * tune.c
 *	  als_tune: trainings with many parameters on the same ratings, read and
 *	  sorted once; the best by validation becomes the model.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "common/progress.h"
#include "funcapi.h"
#include "train/train.h"
#include "train/tune_grid.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(als_tune);

/* The arguments' places; the rest are those of options.c */
enum
{
	ARG_MODEL, ARG_RATINGS, ARG_GRID, ARG_TRIALS, ARG_REFIT, ARG_OPTIONS
};

/* Columns of the result */
enum
{
	COLUMN_RANK, COLUMN_TRIAL, COLUMN_PARAMETERS, COLUMN_METRIC,
	COLUMN_BEST_ITERATION, COLUMN_ITERATIONS, COLUMN_LOSS, COLUMN_SECONDS,
	COLUMN_ERROR, COLUMNS
};

/* What came of a combination of parameters */
typedef struct Trial
{
	int			number;			/* from 1, in the order of the grid */
	int			combination;	/* of the grid */
	Jsonb	   *parameters;
	char	   *error;			/* NULL: it was trained */
	double		metric;
	int			best_iteration;
	int			iterations;
	double		loss;
	double		seconds;
} Trial;

typedef struct Tuning
{
	TrainOptions options;		/* all but what the grid says; not settled */
	Metric		metric;
	bool		refit;
	Grid	   *grid;
	ModelTarget target;
	MemoryContext data_context; /* what is below */
	TrainInput	input;
	int			ntrials;
	Trial	   *trials;
	Trial	   *best;			/* NULL: none yet */
	Trainer    *best_trainer;
	MemoryContext best_context; /* what it is in */
} Tuning;

/* Raises for what must be said. */
static void
check_arguments(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(ARG_MODEL) || PG_ARGISNULL(ARG_RATINGS) ||
		PG_ARGISNULL(ARG_GRID))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null",
						PG_ARGISNULL(ARG_MODEL) ? "model" :
						PG_ARGISNULL(ARG_RATINGS) ? "ratings" : "grid"),
				 errhint("Give the model a name, the ratings as a relation or SELECT, and the grid as a JSON object.")));
	if (!PG_ARGISNULL(ARG_TRIALS) && PG_GETARG_INT32(ARG_TRIALS) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trials must not be %d", PG_GETARG_INT32(ARG_TRIALS)),
				 errhint("It is the number of combinations to try, or null for all.")));
}

/* Raises for a refit that would change nothing. */
static void
check_refit(const Tuning *tuning)
{
	if (tuning->refit && tuning->options.validation.source != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("refit has no meaning with a validation relation or query"),
				 errdetail("It trains once more on all ratings, with those that were set aside."),
				 errhint("Pass validation_fraction instead of validation.")));
}

/* Reads the options that all trials share, and what to validate on. */
static void
read_options(Tuning *tuning, FunctionCallInfo fcinfo)
{
	TrainOptions *options = &tuning->options;

	options_from_arguments(options, fcinfo, ARG_OPTIONS, USE_TUNE);
	options->source.source = text_to_cstring(PG_GETARG_TEXT_PP(ARG_RATINGS));
	if (!options_validate(options))
		options->validation.fraction = 0.1;
	if (PG_ARGISNULL(ARG_REFIT))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("refit must not be null"),
				 errhint("Leave it out for its default.")));
	tuning->refit = PG_GETARG_BOOL(ARG_REFIT);
	check_refit(tuning);
}

/* Lists the combinations to try, in the result's memory context. */
static void
list_trials(Tuning *tuning, FunctionCallInfo fcinfo, MemoryContext result)
{
	int			limit = PG_ARGISNULL(ARG_TRIALS) ? PG_INT32_MAX :
		PG_GETARG_INT32(ARG_TRIALS);
	MemoryContext old = MemoryContextSwitchTo(result);
	int		   *combinations;

	tuning->ntrials = Min(limit, tuning->grid->size);
	tuning->trials = MemoryContextAllocZero(result,
											tuning->ntrials * sizeof(Trial));
	combinations = palloc(tuning->ntrials * sizeof(int));
	grid_sample(tuning->grid, tuning->ntrials,
				(uint64) tuning->options.parameters.seed, combinations);
	for (int i = 0; i < tuning->ntrials; i++)
	{
		Trial	   *trial = &tuning->trials[i];

		trial->number = i + 1;
		trial->combination = combinations[i];
		trial->parameters = grid_json(tuning->grid, combinations[i]);
	}
	pfree(combinations);
	MemoryContextSwitchTo(old);
}

/* The options of a trial, before what they leave open is chosen. */
static TrainOptions
trial_options(const Tuning *tuning, const Trial *trial)
{
	TrainOptions options = tuning->options;

	grid_options(tuning->grid, trial->combination, &options);
	return options;
}

/* All of them, from what trials train from. */
static TrainOptions
chosen_options(Tuning *tuning, const Trial *trial)
{
	TrainOptions options = trial_options(tuning, trial);

	choose_parameters(&options.parameters, &tuning->input.blocks,
					  &tuning->input.summary);
	return options;
}

/* Does any of the trials want workers? */
static bool
want_workers(const Tuning *tuning)
{
	for (int i = 0; i < tuning->ntrials; i++)
	{
		TrainOptions options = trial_options(tuning, &tuning->trials[i]);

		if (train_workers(&options, &tuning->input) > 0)
			return true;
	}
	return false;
}

/* Writes down what came of a trial. */
static void
note_result(Trial *trial, const Trainer *trainer, bool trained,
			MemoryContext result)
{
	if (trained)
	{
		const TrainerResult *trained_to = trainer_result(trainer);
		int			best = trained_to->best_iteration;

		trial->iterations = trained_to->iterations;
		trial->best_iteration = best;
		trial->metric = trained_to->curve[best - 1];
		trial->loss = trained_to->losses[best - 1];
	}
	else
	{
		const char *message;
		char	   *detail;

		trainer_failure(trainer, &message, &detail);
		trial->error = MemoryContextStrdup(result,
										   psprintf("%s: %s", message, detail));
	}
}

/* Says what came of a trial. */
static void
report_trial(const Tuning *tuning, const Trial *trial)
{
	char	   *parameters = JsonbToCString(NULL, &trial->parameters->root,
											VARSIZE(trial->parameters));

	if (trial->error != NULL)
		ereport(NOTICE,
				(errmsg("trial %d of %d, %s: %s", trial->number,
						tuning->ntrials, parameters, trial->error)));
	else
		ereport(NOTICE,
				(errmsg("trial %d of %d, %s: %s %.6g after iteration %d of %d, %.3f s",
						trial->number, tuning->ntrials, parameters,
						metric_names[tuning->metric], trial->metric,
						trial->best_iteration, trial->iterations,
						trial->seconds)));
	pfree(parameters);
}

/* Trains with the parameters of a trial; keeps what is better than all before. */
static void
run_trial(Tuning *tuning, Trial *trial, MemoryContext result)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "als trial",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	TrainOptions asked = trial_options(tuning, trial);
	TrainOptions options = chosen_options(tuning, trial);
	instr_time	started;
	Trainer    *trainer;
	bool		better;

	CHECK_FOR_INTERRUPTS();
	INSTR_TIME_SET_CURRENT(started);
	progress_trial(trial->number, tuning->ntrials);
	if (options.parameters.verbose)
		notice_chosen(&asked.parameters, &options.parameters);
	options.parameters.verbose = false;
	trainer = trainer_begin(&options.parameters, &tuning->input.blocks,
							tuning->input.validation, false,
							train_workers(&options, &tuning->input));
	note_result(trial, trainer, trainer_run(trainer), result);
	trial->seconds = seconds_since(started);
	if (tuning->options.parameters.verbose)
		report_trial(tuning, trial);
	MemoryContextSwitchTo(old);

	better = trial->error == NULL &&
		(tuning->best == NULL ||
		 metric_better(tuning->metric, trial->metric, tuning->best->metric));
	if (better && tuning->best != NULL)
	{
		trainer_end(tuning->best_trainer);
		MemoryContextDelete(tuning->best_context);
	}
	if (better)
	{
		tuning->best = trial;
		tuning->best_trainer = trainer;
		tuning->best_context = context;
	}
	else
	{
		trainer_end(trainer);
		MemoryContextDelete(context);
	}
}

/* Raises that there is no model to keep. */
static void
reject_all_failed(const Tuning *tuning)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("none of the trials could be trained"),
			 errdetail("Trial 1: %s", tuning->trials[0].error),
			 errhint("Try other parameters, higher regularization for example.")));
}

/* The row type of a model, which is in the schema of this function. */
static TupleDesc
model_row_type(FunctionCallInfo fcinfo)
{
	Oid			schema = get_func_namespace(fcinfo->flinfo->fn_oid);
	Oid			type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
									   CStringGetDatum("als_model"),
									   ObjectIdGetDatum(schema));

	return lookup_rowtype_tupdesc_copy(type, -1);
}

/* Orders trials by their metric, the best first, those that failed last. */
static int
compare_trials(const void *a, const void *b, void *arg)
{
	const Trial *first = a;
	const Trial *second = b;
	Metric		metric = *(const Metric *) arg;

	if ((first->error == NULL) != (second->error == NULL))
		return first->error == NULL ? -1 : 1;
	if (first->error == NULL && first->metric != second->metric)
		return metric_better(metric, first->metric, second->metric) ? -1 : 1;
	return first->number - second->number;
}

/* Reads and sorts what all trials train from. */
static void
read_data(Tuning *tuning)
{
	TrainOptions options = trial_options(tuning, &tuning->trials[0]);
	MemoryContext old;

	tuning->data_context = AllocSetContextCreate(CurrentMemoryContext,
												 "als tuning data",
												 ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(tuning->data_context);
	/* the grid's seeds are not for setting aside */
	options.parameters.seed = tuning->options.parameters.seed;
	train_read(&tuning->target, &options, &tuning->input);
	train_prepare(&tuning->target, &options, &tuning->input);
	train_sort(&options, &tuning->input, want_workers(tuning));
	MemoryContextSwitchTo(old);
}

/* Stores the model of the best trial. */
static void
store_best(Tuning *tuning, TupleDesc row_type)
{
	TrainOptions options = chosen_options(tuning, tuning->best);

	train_store(&tuning->target, &options, &tuning->input,
				trainer_result(tuning->best_trainer), row_type);
}

/* Trains once more on all ratings, up to the best iteration, and stores that. */
static void
store_refit(Tuning *tuning, TupleDesc row_type)
{
	TrainOptions options = chosen_options(tuning, tuning->best);
	TrainInput	input = {.started = tuning->input.started};
	Trainer    *trainer;
	int			nworkers;

	options.parameters.iterations = tuning->best->best_iteration;
	options.parameters.tolerance = 0;
	options.validation.fraction = -1;
	options.validation.patience = 0;
	progress_trial(0, 0);
	train_read(&tuning->target, &options, &input);
	/* which has been said */
	input.temporary = false;
	train_prepare(&tuning->target, &options, &input);
	nworkers = train_workers(&options, &input);
	train_sort(&options, &input, nworkers);
	trainer = trainer_begin(&options.parameters, &input.blocks, NULL, false,
							nworkers);
	if (!trainer_run(trainer))
		trainer_raise(trainer);
	train_store(&tuning->target, &options, &input, trainer_result(trainer), row_type);
	trainer_end(trainer);
	train_end(&input);
}

/* Gives back all that trials have trained from and that the best one made. */
static void
end_trials(Tuning *tuning)
{
	trainer_end(tuning->best_trainer);
	MemoryContextDelete(tuning->best_context);
	train_end(&tuning->input);
	MemoryContextDelete(tuning->data_context);
}

/* Runs all trials and stores the best; leaves the trials in order of merit. */
static void
tune(Tuning *tuning, FunctionCallInfo fcinfo, MemoryContext result)
{
	TupleDesc	row_type = model_row_type(fcinfo);
	Progress	before;

	read_options(tuning, fcinfo);
	tuning->grid = grid_parse(PG_GETARG_JSONB_P(ARG_GRID));
	list_trials(tuning, fcinfo, result);
	tuning->metric = trial_options(tuning, &tuning->trials[0]).validation.metric;

	model_begin_training(text_to_cstring(PG_GETARG_TEXT_PP(ARG_MODEL)),
						 row_type, "als_tune", &tuning->target);
	INSTR_TIME_SET_CURRENT(tuning->input.started);
	before = progress_begin(tuning->target.name, tuning->target.model);
	read_data(tuning);
	for (int i = 0; i < tuning->ntrials; i++)
		run_trial(tuning, &tuning->trials[i], result);
	if (tuning->best == NULL)
		reject_all_failed(tuning);

	if (!tuning->refit)
		store_best(tuning, row_type);
	end_trials(tuning);
	if (tuning->refit)
		store_refit(tuning, row_type);
	progress_end(&before);
	qsort_arg(tuning->trials, tuning->ntrials, sizeof(Trial), compare_trials,
			  &tuning->metric);
}

/* The row of a trial. */
static HeapTuple
trial_row(const Trial *trial, int rank, TupleDesc row_type)
{
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS] = {false};

	values[COLUMN_RANK] = Int32GetDatum(rank);
	values[COLUMN_TRIAL] = Int32GetDatum(trial->number);
	values[COLUMN_PARAMETERS] = JsonbPGetDatum(trial->parameters);
	values[COLUMN_METRIC] = Float8GetDatum(trial->metric);
	values[COLUMN_BEST_ITERATION] = Int32GetDatum(trial->best_iteration);
	values[COLUMN_ITERATIONS] = Int32GetDatum(trial->iterations);
	values[COLUMN_LOSS] = Float8GetDatum(trial->loss);
	values[COLUMN_SECONDS] = Float8GetDatum(trial->seconds);
	nulls[COLUMN_ERROR] = trial->error == NULL;
	if (trial->error != NULL)
	{
		nulls[COLUMN_RANK] = nulls[COLUMN_METRIC] = true;
		nulls[COLUMN_BEST_ITERATION] = nulls[COLUMN_ITERATIONS] = true;
		nulls[COLUMN_LOSS] = true;
		values[COLUMN_ERROR] = CStringGetTextDatum(trial->error);
	}
	return heap_form_tuple(row_type, values, nulls);
}

/* als_tune(model, ratings, grid, ...) */
Datum
als_tune(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext result;
		MemoryContext context;
		MemoryContext old;
		TupleDesc	row_type;
		Tuning		tuning = {0};

		prevent_training("als_tune()");
		check_arguments(fcinfo);
		call = SRF_FIRSTCALL_INIT();
		result = call->multi_call_memory_ctx;
		old = MemoryContextSwitchTo(result);
		if (get_call_result_type(fcinfo, NULL, &row_type) != TYPEFUNC_COMPOSITE ||
			row_type->natts != COLUMNS)
			elog(ERROR, "return type must be a row type of %d columns", COLUMNS);
		call->tuple_desc = BlessTupleDesc(row_type);

		context = AllocSetContextCreate(result, "als tuning",
										ALLOCSET_DEFAULT_SIZES);
		MemoryContextSwitchTo(context);
		tune(&tuning, fcinfo, result);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
		call->user_fctx = tuning.trials;
		call->max_calls = tuning.ntrials;
	}

	call = SRF_PERCALL_SETUP();
	if (call->call_cntr < call->max_calls)
	{
		const Trial *trials = call->user_fctx;
		HeapTuple	row = trial_row(&trials[call->call_cntr],
									(int) call->call_cntr + 1,
									call->tuple_desc);

		SRF_RETURN_NEXT(call, HeapTupleGetDatum(row));
	}
	SRF_RETURN_DONE(call);
}
