/*
 * evaluate.c
 *	  als_evaluate and als_evaluate_users: how good a model is on a test set.
 */
#include "compat.h"

#include <math.h>

#include "common/arguments.h"
#include "common/id_conversion.h"
#include "evaluate/evaluate_arguments.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(als_evaluate);
PG_FUNCTION_INFO_V1(als_evaluate_users);
PG_FUNCTION_INFO_V1(als_evaluate_users_as);

/* Columns of type als_evaluation */
enum
{
	COLUMN_METRIC, COLUMN_K, COLUMN_VALUE, COLUMN_STANDARD_ERROR,
	COLUMN_POPULARITY, COLUMN_MEAN, COLUMN_BIASES, EVALUATION_COLUMNS
};

/* Columns of als_evaluate_users */
#define USER_COLUMNS 13
#define FIRST_RANKING_COLUMN 5

/* What als_evaluate_users returns row by row */
typedef struct UsersResult
{
	UserMeasures *measures;		/* [size] */
	ListMeasures *lists;		/* [size] */
	Datum	   *ids;			/* [size] */
	uint32		size;
	IdConversion conversion;	/* to the type that was asked for */
	IdType		user_type;
} UsersResult;

/* A measure as a column of the result; NaN becomes null. */
static void
set_measure(Datum *values, bool *nulls, int column, double value)
{
	nulls[column] = isnan(value);
	values[column] = Float8GetDatum(value);
}

/* The measures of a ranking, but for hit and AUC, from column on. */
static int
set_ranking(Datum *values, bool *nulls, int column, const AlsMeasures *ranking)
{
	set_measure(values, nulls, column++, ranking->precision);
	set_measure(values, nulls, column++, ranking->recall);
	set_measure(values, nulls, column++, ranking->recall_capped);
	set_measure(values, nulls, column++, ranking->average_precision);
	set_measure(values, nulls, column++, ranking->ndcg);
	set_measure(values, nulls, column++, ranking->reciprocal_rank);
	return column;
}

/* Adds a row to the result of als_evaluate; what is NaN becomes null. */
static void
put_row(Tuplestorestate *rows, TupleDesc row_type, const char *metric,
		uint32 k, const double numbers[EVALUATION_COLUMNS])
{
	Datum		values[EVALUATION_COLUMNS];
	bool		nulls[EVALUATION_COLUMNS];

	for (int column = COLUMN_VALUE; column < EVALUATION_COLUMNS; column++)
		set_measure(values, nulls, column, numbers[column]);
	values[COLUMN_METRIC] = CStringGetTextDatum(metric);
	nulls[COLUMN_METRIC] = false;
	values[COLUMN_K] = Int32GetDatum((int32) k);
	nulls[COLUMN_K] = k == 0;
	tuplestore_putvalues(rows, row_type, values, nulls);
}

/* The numbers of a row, none of which has a value yet */
static void
clear_numbers(double numbers[EVALUATION_COLUMNS])
{
	for (int column = 0; column < EVALUATION_COLUMNS; column++)
		numbers[column] = NAN;
}

/* A row for each count */
static void
put_counts(Tuplestorestate *rows, TupleDesc row_type,
		   const Evaluation *evaluation)
{
	double		numbers[EVALUATION_COLUMNS];
	MeasureCounts counts;

	metrics_count(evaluation->measurement, &counts);
	clear_numbers(numbers);
	numbers[COLUMN_VALUE] = counts.users;
	put_row(rows, row_type, "users", 0, numbers);
	numbers[COLUMN_VALUE] = counts.pairs;
	put_row(rows, row_type, "pairs", 0, numbers);
	numbers[COLUMN_VALUE] = counts.relevant;
	put_row(rows, row_type, "relevant", 0, numbers);
	numbers[COLUMN_VALUE] = evaluation->unknown_users;
	put_row(rows, row_type, "unknown_users", 0, numbers);
	numbers[COLUMN_VALUE] = evaluation->unknown_items;
	put_row(rows, row_type, "unknown_items", 0, numbers);
	numbers[COLUMN_VALUE] = evaluation->test_pairs - counts.pairs;
	put_row(rows, row_type, "unknown_pairs", 0, numbers);
	numbers[COLUMN_VALUE] = 1 - evaluation->unknown_users /
		(double) evaluation->measurement->users_limit;
	put_row(rows, row_type, "users_served", 0, numbers);
}

/* The row of an error */
static void
put_error(Tuplestorestate *rows, TupleDesc row_type,
		  const Measurement *measurement, Metric metric)
{
	double		numbers[EVALUATION_COLUMNS];
	AlsEstimate estimate = metrics_estimate(measurement, metric,
											PREDICT_BY_MODEL, 0, NULL);

	clear_numbers(numbers);
	numbers[COLUMN_VALUE] = estimate.value;
	numbers[COLUMN_STANDARD_ERROR] = estimate.standard_error;
	if (measurement->biases)
	{
		numbers[COLUMN_MEAN] = metrics_estimate(measurement, metric,
												PREDICT_BY_MEAN, 0, NULL).value;
		numbers[COLUMN_BIASES] = metrics_estimate(measurement, metric,
												  PREDICT_BY_BIASES, 0, NULL).value;
	}
	put_row(rows, row_type, metric_names[metric], 0, numbers);
}

/* The row of a metric of rankings at a cutoff, whose k is named unless it is 0 */
static void
put_ranking(Tuplestorestate *rows, TupleDesc row_type,
			const Measurement *measurement, Metric metric, int cutoff, uint32 k)
{
	double		numbers[EVALUATION_COLUMNS];

	clear_numbers(numbers);
	for (int by = 0; by < measurement->nrankers; by++)
	{
		int			column = by == RANK_BY_MODEL ? COLUMN_VALUE : COLUMN_POPULARITY;
		AlsEstimate estimate;

		if (metric >= USER_METRICS)
		{
			numbers[column] = metrics_of_lists(measurement, metric, by, cutoff);
			continue;
		}
		estimate = metrics_estimate(measurement, metric, by, cutoff, NULL);
		numbers[column] = estimate.value;
		if (by == RANK_BY_MODEL)
			numbers[COLUMN_STANDARD_ERROR] = estimate.standard_error;
	}
	put_row(rows, row_type, metric_names[metric], k, numbers);
}

/* als_evaluate(model, test, ...) */
Datum
als_evaluate(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	EvaluateOptions options = {0};
	Evaluation *evaluation;
	const Measurement *measurement;
	Tuplestorestate *rows;
	TupleDesc	row_type;

	rows = begin_rows(fcinfo, &row_type);
	if (row_type->natts != EVALUATION_COLUMNS)
		elog(ERROR, "return type must be als_evaluation");

	context = AllocSetContextCreate(caller, "als evaluation",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	require_arguments(fcinfo, EVALUATE_ARGUMENTS + 3);
	evaluate_arguments(&options, fcinfo, 0);
	if (!PG_ARGISNULL(EVALUATE_ARGUMENTS))
		evaluate_more_k(&options, PG_GETARG_ARRAYTYPE_P(EVALUATE_ARGUMENTS));
	require_argument(fcinfo, EVALUATE_ARGUMENTS + 1, "cold_start");
	options.by_known_biases = biases_argument(fcinfo, EVALUATE_ARGUMENTS + 1);
	options.run = run_argument(fcinfo, EVALUATE_ARGUMENTS + 2);
	options.lists = true;
	evaluation = evaluate(&options);
	measurement = evaluation->measurement;

	put_counts(rows, row_type, evaluation);
	for (Metric metric = 0; metric < ALL_METRICS; metric++)
		if (metric_is_error(metric))
			put_error(rows, row_type, measurement, metric);
		else if (metric_of_all_ranks(metric))
			put_ranking(rows, row_type, measurement, metric, 0, 0);
		else
			for (int cutoff = 0; cutoff < options.ncutoffs; cutoff++)
				put_ranking(rows, row_type, measurement, metric, cutoff,
							options.cutoffs[cutoff]);

	MemoryContextSwitchTo(caller);
	evaluation_end(evaluation);
	MemoryContextDelete(context);
	return (Datum) 0;
}

/* The type that user ids, of type own, are returned as */
static void
choose_user_type(UsersResult *result, Oid model, Oid own, TupleDesc row_type)
{
	choose_id_type(&result->conversion, &result->user_type, model, ALS_USERS,
				   own, row_type, "als_evaluate_users_as");
}

/* Evaluates, and keeps what is returned in the current memory context. */
static UsersResult *
evaluate_users(FunctionCallInfo fcinfo, int first, TupleDesc row_type)
{
	UsersResult *result = palloc0(sizeof(UsersResult));
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "als evaluation",
												  ALLOCSET_DEFAULT_SIZES);
	EvaluateOptions options = {0};
	Evaluation *evaluation;
	const IdType *type;
	Oid			own;

	MemoryContextSwitchTo(context);
	require_arguments(fcinfo, first + EVALUATE_ARGUMENTS + 1);
	evaluate_arguments(&options, fcinfo, first);
	options.run = run_argument(fcinfo, first + EVALUATE_ARGUMENTS);
	own = cache_open_run(options.model, options.run)->sides[ALS_USERS].type.type;
	MemoryContextSwitchTo(caller);
	choose_user_type(result, options.model, own, row_type);
	MemoryContextSwitchTo(context);
	evaluation = evaluate(&options);
	MemoryContextSwitchTo(caller);

	/* reading the ratings may have changed it */
	type = idmap_type(evaluation->users);
	if (type->type != own)
		choose_user_type(result, options.model, type->type, row_type);
	result->size = evaluation->measurement->nusers;
	result->measures = MemoryContextAllocHuge(caller, Max(result->size, 1) *
											  sizeof(UserMeasures));
	result->lists = MemoryContextAllocHuge(caller, Max(result->size, 1) *
										   sizeof(ListMeasures));
	result->ids = MemoryContextAllocHuge(caller, Max(result->size, 1) *
										 sizeof(Datum));
	memcpy(result->measures, user_measures(evaluation->measurement),
		   result->size * sizeof(UserMeasures));
	memcpy(result->lists, user_lists(evaluation->measurement, 0, RANK_BY_MODEL),
		   result->size * sizeof(ListMeasures));
	for (uint32 u = 0; u < result->size; u++)
		result->ids[u] =
			id_copy(type, idmap_id(evaluation->users,
								   measured_users(evaluation->measurement)[u].factors));
	evaluation_end(evaluation);
	MemoryContextDelete(context);
	return result;
}

/* The row of a user. */
static HeapTuple
user_row(UsersResult *result, uint64 place, TupleDesc row_type)
{
	const UserMeasures *user = &result->measures[place];
	const AlsMeasures *ranking = &result->lists[place].accuracy;
	Datum		values[USER_COLUMNS];
	bool		nulls[USER_COLUMNS] = {false};
	int			column = 1;

	values[0] = id_convert_result(&result->conversion, result->ids[place]);
	values[column++] = Int64GetDatum(user->pairs);
	values[column++] = Int64GetDatum(user->relevant);
	set_measure(values, nulls, column++, sqrt(user->squared_error[PREDICT_BY_MODEL] / user->pairs));
	set_measure(values, nulls, column++, user->absolute_error[PREDICT_BY_MODEL] / user->pairs);
	column = set_ranking(values, nulls, column, ranking);
	values[column++] = BoolGetDatum(ranking->hit > 0);
	set_measure(values, nulls, column++, ranking->auc);
	Assert(column == USER_COLUMNS);
	if (user->relevant == 0)
		memset(nulls + FIRST_RANKING_COLUMN, true,
			   (USER_COLUMNS - FIRST_RANKING_COLUMN) * sizeof(bool));
	return heap_form_tuple(row_type, values, nulls);
}

/* Returns the users row by row. */
static Datum
return_users(FunctionCallInfo fcinfo, int first)
{
	FuncCallContext *context;
	UsersResult *result;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;
		TupleDesc	row_type;

		context = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(context->multi_call_memory_ctx);
		if (get_call_result_type(fcinfo, NULL, &row_type) != TYPEFUNC_COMPOSITE ||
			row_type->natts != USER_COLUMNS)
			elog(ERROR, "return type must be a row type of %d columns", USER_COLUMNS);
		context->tuple_desc = BlessTupleDesc(row_type);
		context->user_fctx = evaluate_users(fcinfo, first, context->tuple_desc);
		MemoryContextSwitchTo(old);
	}

	context = SRF_PERCALL_SETUP();
	result = context->user_fctx;
	if (context->call_cntr < result->size)
	{
		HeapTuple	row = user_row(result, context->call_cntr,
								   context->tuple_desc);

		SRF_RETURN_NEXT(context, HeapTupleGetDatum(row));
	}
	SRF_RETURN_DONE(context);
}

/* als_evaluate_users(model, test, ...) */
Datum
als_evaluate_users(PG_FUNCTION_ARGS)
{
	return return_users(fcinfo, 0);
}

/* als_evaluate_users_as(user_type, model, test, ...) */
Datum
als_evaluate_users_as(PG_FUNCTION_ARGS)
{
	return return_users(fcinfo, 1);
}
