/*
 * evaluate_arguments.c
 *	  The arguments that the functions of an evaluation have in common.
 */
#include "compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/arguments.h"
#include "evaluate/evaluate_arguments.h"
#include "utils/builtins.h"

/* Their places, counted from that of the model */
enum
{
	ARG_MODEL, ARG_TEST, ARG_USER_COLUMN, ARG_ITEM_COLUMN, ARG_RATING_COLUMN,
	ARG_K, ARG_TRAINING, ARG_EXCLUDE_SEEN, ARG_RELEVANT_FROM, ARG_WORKERS
};

StaticAssertDecl(ARG_WORKERS + 1 == EVALUATE_ARGUMENTS, "arguments are counted");

/* A text argument; NULL for a null. */
static char *
text_argument(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL :
		text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

/* Raises unless it is a number of recommendations; returns it. */
static uint32
check_k(int64 k)
{
	if (k < 1 || k > PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("k must not be " INT64_FORMAT, k),
				 errhint("It is the number of recommendations to judge, between 1 and %d.",
						 PG_INT32_MAX)));
	return (uint32) k;
}

#define ST_SORT sort_cutoffs
#define ST_ELEMENT_TYPE uint32
#define ST_COMPARE(a, b) (*(a) < *(b) ? -1 : *(a) > *(b))
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

void
evaluate_more_k(EvaluateOptions *options, ArrayType *array)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	int			different = 1;

	deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			continue;
		if (options->ncutoffs == MOST_CUTOFFS)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("more_k must not have more than %d elements",
							MOST_CUTOFFS - 1)));
		options->cutoffs[options->ncutoffs++] = check_k(DatumGetInt64(elements[i]));
	}
	sort_cutoffs(options->cutoffs, options->ncutoffs);
	for (int i = 1; i < options->ncutoffs; i++)
		if (options->cutoffs[i] != options->cutoffs[i - 1])
			options->cutoffs[different++] = options->cutoffs[i];
	options->ncutoffs = different;
}

void
evaluate_arguments(EvaluateOptions *options, FunctionCallInfo fcinfo, int first)
{
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

	options->cutoffs[0] = check_k(PG_GETARG_INT64(first + ARG_K));
	options->ncutoffs = 1;

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
