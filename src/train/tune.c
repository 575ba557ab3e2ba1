/*
 * tune.c
 *	  als_tune: trainings with many parameters on the same ratings, read and
 *	  sorted once; the best by validation becomes the model.
 *
 * What rows weigh may be a parameter of the grid.  Then they are read and sorted
 * for each of these weighings, with the same snapshot, and the trials of one run
 * after those of the other.
 */
#include "compat.h"

#include <limits.h>
#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/arguments.h"
#include "common/progress.h"
#include "funcapi.h"
#include "train/tune.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(als_tune);

/* The arguments' places; the rest are those of options.c */
enum
{
	ARG_MODEL, ARG_RATINGS, ARG_GRID, ARG_TRIALS, ARG_TIMEOUT, ARG_REFIT,
	ARG_OPTIONS
};

/* Columns of the result */
enum
{
	COLUMN_RANK, COLUMN_TRIAL, COLUMN_PARAMETERS, COLUMN_METRIC,
	COLUMN_BASELINE, COLUMN_P_VALUE, COLUMN_BEST_ITERATION, COLUMN_ITERATIONS,
	COLUMN_LOSS, COLUMN_SECONDS, COLUMN_REMARKS, COLUMN_ERROR, COLUMNS
};

/* Raises for what must be said. */
static void
check_arguments(FunctionCallInfo fcinfo)
{
	require_arguments(fcinfo, ARG_OPTIONS + options_count(USE_TUNE));
	if (PG_ARGISNULL(ARG_MODEL) || PG_ARGISNULL(ARG_RATINGS))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null",
						PG_ARGISNULL(ARG_MODEL) ? "model" : "ratings"),
				 errhint("Give the model a name and the ratings as a relation or SELECT.")));
	if (!PG_ARGISNULL(ARG_TRIALS) && PG_GETARG_INT32(ARG_TRIALS) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trials must not be %d", PG_GETARG_INT32(ARG_TRIALS)),
				 errhint("It is the number of combinations to try, or null for all.")));
}

/* When trials have to end: 0 for no time limit; raises for one that is none. */
static TimestampTz
read_deadline(FunctionCallInfo fcinfo)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz deadline;

	if (PG_ARGISNULL(ARG_TIMEOUT))
		return 0;
	deadline = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
													   TimestampTzGetDatum(now),
													   PG_GETARG_DATUM(ARG_TIMEOUT)));
	if (deadline <= now)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must be greater than 0"),
				 errhint("It is the time in which trials may begin and iterate, for example '10 minutes', or null for as long as it takes.")));
	return deadline;
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

/* Lists the combinations of a grid to try. */
static void
list_trials(Tuning *tuning)
{
	const Grid *grid = tuning->grid;
	int		   *combinations;
	MemoryContext context = AllocSetContextCreate(tuning->context,
												  "als tuning combination",
												  ALLOCSET_DEFAULT_SIZES);

	tuning->limit = tuning->limit == 0 ? grid->size : Min(tuning->limit, grid->size);
	combinations = palloc(tuning->limit * sizeof(int));
	grid_sample(grid, tuning->limit, (uint64) tuning->options.parameters.seed,
				combinations);
	for (int i = 0; i < tuning->limit; i++)
	{
		Trial	   *trial = trial_add(tuning);
		MemoryContext old = MemoryContextSwitchTo(context);
		Jsonb	   *parameters = grid_json(grid, combinations[i]);

		CHECK_FOR_INTERRUPTS();
		trial->parameters = MemoryContextAlloc(tuning->result, VARSIZE(parameters));
		memcpy(trial->parameters, parameters, VARSIZE(parameters));
		trial->weighing = grid_weighing(grid, combinations[i]);
		trial->options = tuning->options;
		/* those whose rows weigh the same share what says so */
		if (i == 0 || trial->weighing != tuning->trials[i - 1]->weighing)
			MemoryContextSwitchTo(old);
		grid_options(grid, combinations[i], &trial->options);
		if (CurrentMemoryContext == context)
			trial->options.source = tuning->trials[i - 1]->options.source;
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
	pfree(combinations);
	tuning->metric = tuning->trials[0]->options.validation.metric;
}

/* Chooses what the options of a trial leave open, and says so. */
static void
settle_trial(Tuning *tuning, Trial *trial)
{
	TrainerParameters asked = trial->options.parameters;

	choose_parameters(&trial->options.parameters, &tuning->input.blocks,
					  &tuning->input.summary);
	if (asked.verbose)
		notice_chosen(&asked, &trial->options.parameters);
	trial->options.parameters.verbose = false;
}

/* How many workers trials want, each or all together */
static int
want_workers(const Tuning *tuning)
{
	double		iterations = 0;
	TrainOptions all = tuning->options;

	for (int i = 0; i < tuning->ntrials; i++)
	{
		const TrainerParameters *parameters = &tuning->trials[i]->options.parameters;

		all.parameters.factors = Max(all.parameters.factors, parameters->factors);
		iterations += parameters->iterations;
	}
	if (tuning->grid->searched)
	{
		all.parameters.factors = search_most_factors(tuning->grid);
		iterations = (double) tuning->limit * tuning->rungs.iterations[0];
	}
	all.parameters.iterations = (int) Min(iterations, INT_MAX);
	return train_workers(&all, &tuning->input);
}

/* Raises that there is no model to keep. */
static void
reject_all_failed(const Tuning *tuning)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("none of the trials could be trained"),
			 errdetail("Trial 1: %s", tuning->trials[0]->error),
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

/*
 * Raises unless what has been read is as much as the first time, when its rows
 * weighed something else: otherwise trials would not compare.
 */
static void
check_same_data(Tuning *tuning)
{
	const TrainInput *input = &tuning->input;

	if (tuning->nusers == 0)
	{
		tuning->nusers = input->validation->nusers;
		tuning->nratings = input->nratings;
	}
	else if (tuning->nusers != input->validation->nusers ||
			 tuning->nratings != input->nratings)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("ratings are others when they are read again"),
				 errdetail("They are read for each combination of event_weights and half_life in the grid, whose trials are compared."),
				 errhint("Use a table, or a query without random() and the like.")));
}

/* Reads and sorts what trials train from whose rows weigh the same. */
static void
read_data(Tuning *tuning, const RatingSource *source)
{
	TrainOptions options = tuning->options;
	MemoryContext old;

	tuning->data_context = AllocSetContextCreate(tuning->context,
												 "als tuning data",
												 ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(tuning->data_context);
	/* the grid's seeds are not for setting aside */
	options.validation.metric = tuning->metric;
	options.source = *source;
	options.source.snapshot = tuning->snapshot;
	train_read(&tuning->target, &options, &tuning->input);
	/* which has been said */
	tuning->input.temporary &= tuning->nusers == 0;
	train_prepare(&tuning->target, &options, &tuning->input);
	tuning->sorted_context = AllocSetContextCreate(tuning->data_context,
												   "als tuning blocks",
												   ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(tuning->sorted_context);
	train_sort(&options, &tuning->input, want_workers(tuning));
	check_same_data(tuning);
	MemoryContextSwitchTo(old);
}

/*
 * Gives back what trials have trained from, but for what it takes to store the best
 * of them.
 */
static void
put_away_data(Tuning *tuning)
{
	TrainInput	nothing = {.started = tuning->input.started};
	MemoryContext context = tuning->data_context;

	train_end(&tuning->input);
	MemoryContextDelete(tuning->sorted_context);
	tuning->input.validation = NULL;
	if (tuning->best != NULL && tuning->best->weighing == tuning->weighing)
	{
		context = tuning->best_context;
		tuning->best_context = tuning->data_context;
		tuning->best_input = tuning->input;
	}
	if (context != NULL)
		MemoryContextDelete(context);
	tuning->input = nothing;
}

/* Runs the trials of a grid, those whose rows weigh the same in succession. */
static void
run_grid(Tuning *tuning)
{
	int			next;

	for (int first = 0; first < tuning->ntrials && !tuning_is_over(tuning); first = next)
	{
		Trial	  **trials = tuning->trials + first;

		if (first > 0)
			put_away_data(tuning);
		tuning->weighing = trials[0]->weighing;
		read_data(tuning, &trials[0]->options.source);
		for (next = first; next < tuning->ntrials &&
			 tuning->trials[next]->weighing == tuning->weighing; next++)
			settle_trial(tuning, tuning->trials[next]);
		trials_run(tuning, trials, next - first, INT_MAX);
	}
}

/* Runs those of a search. */
static void
run_search(Tuning *tuning)
{
	TrainOptions options = tuning->options;

	grid_options(tuning->grid, 0, &options);
	read_data(tuning, &options.source);
	search_run(tuning);
}

/* Stores the model of the best trial. */
static void
store_best(Tuning *tuning, TupleDesc row_type)
{
	TrainOptions options = tuning->best->options;

	options.parameters.verbose = tuning->options.parameters.verbose;
	train_store(&tuning->target, &options,
				tuning->best->weighing == tuning->weighing ? &tuning->input : &tuning->best_input,
				trainer_result(tuning->best->trainer), row_type);
}

/* Trains once more on all ratings, up to the best iteration, and stores that. */
static void
store_refit(Tuning *tuning, TupleDesc row_type)
{
	TrainOptions options = tuning->best->options;
	TrainInput	input = {.started = tuning->input.started};
	Trainer    *trainer;
	int			nworkers;

	options.parameters.verbose = tuning->options.parameters.verbose;
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
	trainer = trainer_begin(&options.parameters, &input.blocks,
							(const SideFeatures *const *) input.features, NULL,
							false, nworkers);
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
	Trial	   *best = tuning->best;

	tuning->best = NULL;
	trial_release(tuning, best);
	tuning->best = best;
	train_end(&tuning->input);
	MemoryContextDelete(tuning->data_context);
	if (tuning->best_context != NULL)
		MemoryContextDelete(tuning->best_context);
	if (tuning->snapshot != NULL)
		UnregisterSnapshot(tuning->snapshot);
}

/* Leaves the trials that have run, in order of merit. */
static void
order_trials(Tuning *tuning)
{
	int			run = 0;

	for (int i = 0; i < tuning->ntrials; i++)
		if (tuning->trials[i]->iterations > 0 || tuning->trials[i]->error != NULL)
			tuning->trials[run++] = tuning->trials[i];
	tuning->ntrials = run;
	qsort_arg(tuning->trials, run, sizeof(Trial *), trial_compare, &tuning->metric);
}

/* Runs all trials and stores the best; leaves the trials in order of merit. */
static void
tune(Tuning *tuning, FunctionCallInfo fcinfo)
{
	TupleDesc	row_type = model_row_type(fcinfo);
	Progress	before;

	tuning->context = CurrentMemoryContext;
	read_options(tuning, fcinfo);
	tuning->limit = PG_ARGISNULL(ARG_TRIALS) ? 0 : PG_GETARG_INT32(ARG_TRIALS);
	tuning->grid = grid_parse(PG_ARGISNULL(ARG_GRID) ? NULL : PG_GETARG_JSONB_P(ARG_GRID));
	if (tuning->grid->searched)
		search_prepare(tuning);
	else
		list_trials(tuning);

	model_begin_training(text_to_cstring(PG_GETARG_TEXT_PP(ARG_MODEL)),
						 row_type, "als_tune", 0, &tuning->target);
	INSTR_TIME_SET_CURRENT(tuning->input.started);
	tuning->deadline = read_deadline(fcinfo);
	before = progress_begin(tuning->target.name, tuning->target.model);
	if (tuning->grid->weighings > 1)
	{
		/* what the transaction has done is seen as well */
		CommandCounterIncrement();
		tuning->snapshot = RegisterSnapshot(GetTransactionSnapshot());
	}
	if (tuning->grid->searched)
		run_search(tuning);
	else
		run_grid(tuning);
	if (tuning->best == NULL)
		reject_all_failed(tuning);
	answer(tuning);

	if (!tuning->refit)
		store_best(tuning, row_type);
	end_trials(tuning);
	if (tuning->refit)
		store_refit(tuning, row_type);
	progress_end(&before);
	order_trials(tuning);
}

/* The row of a trial. */
static HeapTuple
trial_row(const Trial *trial, int rank, double baseline, TupleDesc row_type)
{
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS] = {false};

	values[COLUMN_RANK] = Int32GetDatum(rank);
	values[COLUMN_TRIAL] = Int32GetDatum(trial->number);
	values[COLUMN_PARAMETERS] = JsonbPGetDatum(trial->parameters);
	values[COLUMN_METRIC] = Float8GetDatum(trial->metric);
	values[COLUMN_BASELINE] = Float8GetDatum(baseline);
	nulls[COLUMN_BASELINE] = isnan(baseline);
	values[COLUMN_P_VALUE] = Float8GetDatum(trial->p_value);
	nulls[COLUMN_P_VALUE] = isnan(trial->p_value);
	values[COLUMN_BEST_ITERATION] = Int32GetDatum(trial->best_iteration);
	values[COLUMN_ITERATIONS] = Int32GetDatum(trial->iterations);
	values[COLUMN_LOSS] = Float8GetDatum(trial->loss);
	values[COLUMN_SECONDS] = Float8GetDatum(trial->seconds);
	nulls[COLUMN_REMARKS] = trial->remarks == NULL;
	if (trial->remarks != NULL)
		values[COLUMN_REMARKS] = CStringGetTextDatum(trial->remarks);
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
		MemoryContext context;
		MemoryContext old;
		TupleDesc	row_type;
		Tuning	   *tuning;

		prevent_training("als_tune()");
		check_arguments(fcinfo);
		call = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		tuning = palloc0(sizeof(Tuning));
		tuning->result = call->multi_call_memory_ctx;
		if (get_call_result_type(fcinfo, NULL, &row_type) != TYPEFUNC_COMPOSITE ||
			row_type->natts != COLUMNS)
			elog(ERROR, "return type must be a row type of %d columns", COLUMNS);
		call->tuple_desc = BlessTupleDesc(row_type);

		context = AllocSetContextCreate(tuning->result, "als tuning",
										ALLOCSET_DEFAULT_SIZES);
		MemoryContextSwitchTo(context);
		tune(tuning, fcinfo);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
		call->user_fctx = tuning;
		call->max_calls = tuning->ntrials;
	}

	call = SRF_PERCALL_SETUP();
	if (call->call_cntr < call->max_calls)
	{
		const Tuning *tuning = call->user_fctx;
		HeapTuple	row = trial_row(tuning->trials[call->call_cntr],
									(int) call->call_cntr + 1,
									tuning->baseline, call->tuple_desc);

		SRF_RETURN_NEXT(call, HeapTupleGetDatum(row));
	}
	SRF_RETURN_DONE(call);
}
