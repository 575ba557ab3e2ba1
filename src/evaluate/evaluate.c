/*
 * evaluate.c
 *	  als_evaluate and als_evaluate_users: how good a model is on a test set.
 */
#include "compat.h"

#include <math.h>

#include "common/arguments.h"
#include "common/id_conversion.h"
#include "common/parallel.h"
#include "evaluate/evaluate_data.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(als_evaluate);
PG_FUNCTION_INFO_V1(als_evaluate_users);
PG_FUNCTION_INFO_V1(als_evaluate_users_as);

/* The arguments' places, or behind user_type one further to the right */
enum
{
	ARG_MODEL, ARG_TEST, ARG_USER_COLUMN, ARG_ITEM_COLUMN, ARG_RATING_COLUMN,
	ARG_K, ARG_TRAINING, ARG_EXCLUDE_SEEN, ARG_RELEVANT_FROM, ARG_WORKERS
};

/* Columns of type als_evaluation, and of als_evaluate_users */
#define EVALUATION_COLUMNS 18
#define USER_COLUMNS 13
#define FIRST_RANKING_COLUMN 5

/* What als_evaluate_users returns row by row */
typedef struct UsersResult
{
	UserMeasures *measures;		/* [size] */
	Datum	   *ids;			/* [size] */
	uint32		size;
	IdConversion conversion;	/* to the type that was asked for */
	IdType		user_type;
} UsersResult;

/* A text argument; NULL for a null. */
static char *
text_argument(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL :
		text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

/* Reads the arguments; first is the place of the model among them. */
static void
read_arguments(EvaluateOptions *options, FunctionCallInfo fcinfo, int first)
{
	int64		k;

	require_argument(fcinfo, first + ARG_MODEL, "model");
	require_argument(fcinfo, first + ARG_TEST, "test");
	require_argument(fcinfo, first + ARG_USER_COLUMN, "user_column");
	require_argument(fcinfo, first + ARG_ITEM_COLUMN, "item_column");
	require_argument(fcinfo, first + ARG_K, "k");
	require_argument(fcinfo, first + ARG_EXCLUDE_SEEN, "exclude_seen");

	options->model = PG_GETARG_OID(first + ARG_MODEL);
	options->test.source = text_argument(fcinfo, first + ARG_TEST);
	options->test.user_column = text_argument(fcinfo, first + ARG_USER_COLUMN);
	options->test.item_column = text_argument(fcinfo, first + ARG_ITEM_COLUMN);
	options->test.rating_column = text_argument(fcinfo, first + ARG_RATING_COLUMN);
	options->training = text_argument(fcinfo, first + ARG_TRAINING);
	options->exclude_seen = PG_GETARG_BOOL(first + ARG_EXCLUDE_SEEN);

	k = PG_GETARG_INT64(first + ARG_K);
	if (k < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("k must not be " INT64_FORMAT, k),
				 errhint("It is the number of recommendations to judge, 1 or more.")));
	options->k = (int) Min(k, PG_INT32_MAX);

	options->has_relevant_from = !PG_ARGISNULL(first + ARG_RELEVANT_FROM);
	if (options->has_relevant_from)
	{
		options->relevant_from = PG_GETARG_FLOAT8(first + ARG_RELEVANT_FROM);
		if (!isfinite((float) options->relevant_from))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("relevant_from must not be %g",
							options->relevant_from),
					 errhint("It is the rating from which on an item is relevant, a finite number.")));
	}

	options->workers = workers_argument(fcinfo, first + ARG_WORKERS);
}

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

/* The row that sums up all users. */
static HeapTuple
summary_row(const Evaluation *evaluation, TupleDesc row_type)
{
	MeasureSummary summary;
	Datum		values[EVALUATION_COLUMNS];
	bool		nulls[EVALUATION_COLUMNS] = {false};
	int			column = 0;

	metrics_summarize(evaluation->measurement, &summary);
	values[column++] = Int64GetDatum(summary.users);
	values[column++] = Int64GetDatum(summary.pairs);
	values[column++] = Int64GetDatum(summary.relevant);
	values[column++] = Int64GetDatum(evaluation->unknown_users);
	values[column++] = Int64GetDatum(evaluation->unknown_items);
	values[column++] = Int64GetDatum(evaluation->test_pairs - summary.pairs);
	set_measure(values, nulls, column++, summary.rmse);
	set_measure(values, nulls, column++, summary.mae);
	values[column++] = Int32GetDatum(evaluation->options->k);
	column = set_ranking(values, nulls, column, &summary.ranking);
	set_measure(values, nulls, column++, summary.ranking.hit);
	set_measure(values, nulls, column++, summary.ranking.auc);
	set_measure(values, nulls, column++, summary.coverage);
	Assert(column == EVALUATION_COLUMNS);
	return heap_form_tuple(row_type, values, nulls);
}

/* als_evaluate(model, test, ...) */
Datum
als_evaluate(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	EvaluateOptions options = {0};
	Evaluation *evaluation;
	TupleDesc	row_type;
	HeapTuple	row;

	if (get_call_result_type(fcinfo, NULL, &row_type) != TYPEFUNC_COMPOSITE ||
		row_type->natts != EVALUATION_COLUMNS)
		elog(ERROR, "return type must be als_evaluation");
	BlessTupleDesc(row_type);

	context = AllocSetContextCreate(caller, "als evaluation",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	read_arguments(&options, fcinfo, 0);
	evaluation = evaluate(&options);
	MemoryContextSwitchTo(caller);
	row = summary_row(evaluation, row_type);
	evaluation_end(evaluation);
	MemoryContextDelete(context);
	PG_RETURN_DATUM(HeapTupleGetDatum(row));
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
	read_arguments(&options, fcinfo, first);
	own = cache_open(options.model)->sides[ALS_USERS].type.type;
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
	result->ids = MemoryContextAllocHuge(caller, Max(result->size, 1) *
										 sizeof(Datum));
	memcpy(result->measures, user_measures(evaluation->measurement),
		   result->size * sizeof(UserMeasures));
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
	Datum		values[USER_COLUMNS];
	bool		nulls[USER_COLUMNS] = {false};
	int			column = 1;

	values[0] = id_convert_result(&result->conversion, result->ids[place]);
	values[column++] = Int64GetDatum(user->pairs);
	values[column++] = Int64GetDatum(user->relevant);
	set_measure(values, nulls, column++, sqrt(user->squared_error / user->pairs));
	set_measure(values, nulls, column++, user->absolute_error / user->pairs);
	column = set_ranking(values, nulls, column, &user->ranking);
	values[column++] = BoolGetDatum(user->ranking.hit > 0);
	set_measure(values, nulls, column++, user->ranking.auc);
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
