/*
 * compare.c
 *	  als_compare: by how much one model is better than another, and whether
 *	  that is more than chance.
 *
 * Both are measured on the same users.  Some users are easy to please and some
 * are not, which is most of what moves a mean; a user's difference between the
 * models has none of it.
 */
#include "compat.h"

#include <math.h>

#include "common/arguments.h"
#include "common/id_conversion.h"
#include "evaluate/evaluate_arguments.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(als_compare);

/* The first arguments, and the one behind those of an evaluation of other */
enum
{
	ARG_MODEL, ARG_OTHER, ARG_CONFIDENCE = ARG_OTHER + EVALUATE_ARGUMENTS,
	ARG_RUN, ARG_OTHER_RUN
};

/* Columns of type als_comparison */
enum
{
	COLUMN_METRIC, COLUMN_K, COLUMN_USERS, COLUMN_VALUE, COLUMN_OTHER,
	COLUMN_DIFFERENCE, COLUMN_STANDARD_ERROR, COLUMN_LOWER, COLUMN_UPPER,
	COMPARISON_COLUMNS
};

/* One of the two models */
typedef struct ComparedModel
{
	Evaluation *evaluation;
	uint32	   *users;			/* [ncommon] places among the measured users */
	bool	   *among;			/* [nusers] are they measured in both? */
	double	   *values;			/* [nusers] what they add to the metric */
	double	   *common;			/* [ncommon] the same of the users in both */
} ComparedModel;

/* Two models, and the users whom both know */
typedef struct Comparison
{
	ComparedModel models[2];
	uint32		ncommon;
	double		confidence;
} Comparison;

/* Allocates an array that may be large. */
static void *
allocate(size_t count, size_t size)
{
	return MemoryContextAllocHuge(CurrentMemoryContext, Max(count, 1) * size);
}

/* The place among the measured users of each row of the users' factors */
static uint32 *
places_of_users(const Evaluation *evaluation)
{
	uint32		size = idmap_size(evaluation->users);
	uint32	   *places = allocate(size, sizeof(uint32));

	for (uint32 i = 0; i < size; i++)
		places[i] = NOT_THERE;
	for (uint32 u = 0; u < evaluation->measurement->nusers; u++)
		places[measured_users(evaluation->measurement)[u].factors] = u;
	return places;
}

/*
 * Finds the users whom both models know, in the order of the second one's.
 * Their ids may be of different types.
 */
static void
match_users(Comparison *comparison)
{
	ComparedModel *models = comparison->models;
	const Evaluation *first = models[0].evaluation;
	const Evaluation *second = models[1].evaluation;
	uint32	   *places = places_of_users(first);
	uint32		nusers = second->measurement->nusers;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "als conversion",
												  ALLOCSET_SMALL_SIZES);
	IdConversion conversion;

	id_conversion_init(&conversion, idmap_type(first->users),
					   idmap_type(second->users)->type, "user",
					   CurrentMemoryContext);
	for (int m = 0; m < 2; m++)
		models[m].users = allocate(nusers, sizeof(uint32));
	for (uint32 u = 0; u < nusers; u++)
	{
		uint32		row = measured_users(second->measurement)[u].factors;
		MemoryContext old = MemoryContextSwitchTo(context);
		uint32		index;
		Datum		id;

		CHECK_FOR_INTERRUPTS();
		if (id_convert(&conversion, idmap_id(second->users, row), &id) &&
			idmap_find(first->users, id, &index) && places[index] != NOT_THERE)
		{
			models[0].users[comparison->ncommon] = places[index];
			models[1].users[comparison->ncommon++] = u;
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
	pfree(places);
}

/* Marks the users with known pairs in both models, whom errors are taken over. */
static void
mark_users(Comparison *comparison)
{
	ComparedModel *models = comparison->models;

	for (int m = 0; m < 2; m++)
	{
		uint32		nusers = models[m].evaluation->measurement->nusers;

		models[m].among = allocate(nusers, sizeof(bool));
		models[m].values = allocate(nusers, sizeof(double));
		models[m].common = allocate(comparison->ncommon, sizeof(double));
		memset(models[m].among, false, nusers * sizeof(bool));
	}
	for (uint32 i = 0; i < comparison->ncommon; i++)
	{
		bool		both = true;

		for (int m = 0; m < 2; m++)
			both &= user_measures(models[m].evaluation->measurement)[models[m].users[i]].pairs > 0;
		for (int m = 0; m < 2; m++)
			models[m].among[models[m].users[i]] = both;
	}
}

/* Fills in what the users of both models add to a metric, NaN for the others. */
static void
take_values(Comparison *comparison, Metric metric)
{
	ComparedModel *models = comparison->models;

	for (int m = 0; m < 2; m++)
		metrics_user_values(models[m].evaluation->measurement, metric, 0, 0,
							models[m].among, models[m].values);
	for (uint32 i = 0; i < comparison->ncommon; i++)
	{
		double		values[2];

		for (int m = 0; m < 2; m++)
			values[m] = models[m].values[models[m].users[i]];
		for (int m = 0; m < 2; m++)
			models[m].common[i] = isnan(values[1 - m]) ? NAN : values[m];
	}
}

/* Adds the row of a metric to the result; what is NaN becomes null. */
static void
put_metric(Comparison *comparison, Metric metric, Tuplestorestate *rows,
		   TupleDesc row_type)
{
	ComparedModel *models = comparison->models;
	AlsEstimate difference;
	double		margin;
	double		numbers[COMPARISON_COLUMNS];
	Datum		values[COMPARISON_COLUMNS];
	bool		nulls[COMPARISON_COLUMNS] = {false};

	take_values(comparison, metric);
	difference = als_estimate_difference(models[0].common, models[1].common,
										 comparison->ncommon);
	margin = als_estimate_margin(&difference, comparison->confidence);
	numbers[COLUMN_VALUE] = als_estimate_mean(models[0].common, comparison->ncommon).value;
	numbers[COLUMN_OTHER] = als_estimate_mean(models[1].common, comparison->ncommon).value;
	numbers[COLUMN_DIFFERENCE] = difference.value;
	numbers[COLUMN_STANDARD_ERROR] = difference.standard_error;
	numbers[COLUMN_LOWER] = difference.value - margin;
	numbers[COLUMN_UPPER] = difference.value + margin;

	values[COLUMN_METRIC] = CStringGetTextDatum(metric_names[metric]);
	nulls[COLUMN_K] = metric_is_error(metric) || metric_of_all_ranks(metric);
	values[COLUMN_K] = Int32GetDatum(models[0].evaluation->measurement->cutoffs[0]);
	values[COLUMN_USERS] = Int64GetDatum(difference.n);
	for (int column = COLUMN_VALUE; column < COMPARISON_COLUMNS; column++)
	{
		nulls[column] = isnan(numbers[column]);
		values[column] = Float8GetDatum(numbers[column]);
	}
	tuplestore_putvalues(rows, row_type, values, nulls);
}

/* Reads the arguments: the same for both models, but for the models. */
static void
read_arguments(Comparison *comparison, EvaluateOptions options[2],
			   FunctionCallInfo fcinfo)
{
	require_arguments(fcinfo, ARG_OTHER_RUN + 1);
	require_argument(fcinfo, ARG_MODEL, "model");
	require_argument(fcinfo, ARG_OTHER, "other");
	require_argument(fcinfo, ARG_CONFIDENCE, "confidence");
	comparison->confidence = PG_GETARG_FLOAT8(ARG_CONFIDENCE);
	if (!(comparison->confidence > 0 && comparison->confidence < 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("confidence must not be %g", comparison->confidence),
				 errhint("It is the share of intervals that are to hold the truth, above 0 and below 1.")));
	evaluate_arguments(&options[1], fcinfo, ARG_OTHER);
	options[0] = options[1];
	options[0].model = PG_GETARG_OID(ARG_MODEL);
	options[0].run = run_argument(fcinfo, ARG_RUN);
	options[1].run = run_argument(fcinfo, ARG_OTHER_RUN);
}

/* als_compare(model, other, test, ...) */
Datum
als_compare(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	EvaluateOptions options[2] = {0};
	Comparison	comparison = {0};
	ComparedModel *models = comparison.models;
	bool		same_errors;
	Tuplestorestate *rows;
	TupleDesc	row_type;

	rows = begin_rows(fcinfo, &row_type);
	if (row_type->natts != COMPARISON_COLUMNS)
		elog(ERROR, "return type must be als_comparison");

	context = AllocSetContextCreate(caller, "als comparison",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	read_arguments(&comparison, options, fcinfo);
	models[0].evaluation = evaluate(&options[0]);
	/* what is relevant for the one is for the other */
	options[1].has_relevant_from = true;
	options[1].relevant_from = models[0].evaluation->measurement->relevant_from;
	models[1].evaluation = evaluate(&options[1]);
	match_users(&comparison);
	mark_users(&comparison);

	/* errors of a rating and of a preference are no match */
	same_errors = models[0].evaluation->measurement->feedback ==
		models[1].evaluation->measurement->feedback;
	for (Metric metric = 0; metric < METRICS; metric++)
		if (same_errors || !metric_is_error(metric))
			put_metric(&comparison, metric, rows, row_type);

	MemoryContextSwitchTo(caller);
	for (int m = 0; m < 2; m++)
		evaluation_end(models[m].evaluation);
	MemoryContextDelete(context);
	return (Datum) 0;
}
