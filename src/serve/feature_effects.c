/*
 * feature_effects.c
 *	  als_feature_effects: what a feature does to scores.
 *
 * A feature of an item whose factors are b adds b.x to its score for a user x: on
 * average m.b with the mean m of the users' rows, and with a variance of
 * b'Gb / N - (m.b)^2, from the Gram matrix G of these N rows.  The other way round
 * for a feature of users.
 */
#include "compat.h"

#include <math.h>

#include "common/arguments.h"
#include "common/side.h"
#include "model/feature_table.h"
#include "serve/fold_in.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(als_feature_effects);

/* Columns of the result */
enum
{
	COLUMN_FEATURE, COLUMN_EFFECT, COLUMN_SPREAD, COLUMNS
};

/* The rows that scores are made with, and where effects go */
typedef struct Effects
{
	int			factors;
	bool		biased;
	uint64		size;			/* rows of the other side */
	double	   *sum;			/* [factors] of them */
	double	   *gram;			/* [factors x factors], lower triangle */
	Tuplestorestate *rows;
	TupleDesc	row_type;
} Effects;

/* The side that the argument names; raises for another name. */
static AlsSide
side_argument(FunctionCallInfo fcinfo, int argument)
{
	char	   *name;

	require_argument(fcinfo, argument, "side");
	name = text_to_cstring(PG_GETARG_TEXT_PP(argument));
	for (int side = 0; side < 2; side++)
		if (strcmp(name, side_names[side]) == 0)
			return side;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown side \"%s\"", name),
			 errhint("It is \"user\" or \"item\".")));
}

/* Adds a row of the other side. */
static bool
add_row(Datum id, const float *row, void *arg)
{
	Effects    *effects = arg;

	for (int i = 0; i < effects->factors; i++)
		effects->sum[i] += row[i];
	effects->size++;
	return true;
}

/* Puts what a feature does. */
static void
put_effect(Datum feature, const float *factors, void *arg)
{
	Effects    *effects = arg;
	size_t		n = effects->factors;
	double		mean = 0;
	double		square = 0;
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS] = {false};

	for (size_t j = 0; j < n; j++)
	{
		const double *column = effects->gram + j * n;

		mean += effects->sum[j] * factors[j];
		square += column[j] * factors[j] * factors[j];
		for (size_t i = j + 1; i < n; i++)
			square += 2 * column[i] * factors[i] * factors[j];
	}
	mean /= effects->size;
	values[COLUMN_FEATURE] = feature;
	values[COLUMN_EFFECT] =
		Float8GetDatum(mean + (effects->biased ? factors[n] : 0));
	values[COLUMN_SPREAD] =
		Float8GetDatum(sqrt(Max(square / effects->size - mean * mean, 0)));
	tuplestore_putvalues(effects->rows, effects->row_type, values, nulls);
}

/* als_feature_effects(model, side) */
Datum
als_feature_effects(PG_FUNCTION_ARGS)
{
	Effects		effects = {0};
	ModelCache *cache;
	AlsSide		side;
	FeatureTable table;
	size_t		n;

	effects.rows = begin_rows(fcinfo, &effects.row_type);
	require_arguments(fcinfo, 2);
	require_argument(fcinfo, 0, "model");
	cache = cache_open(PG_GETARG_OID(0));
	side = side_argument(fcinfo, 1);
	if (!OidIsValid(cache->run.feature_table))
		return (Datum) 0;
	n = effects.factors = cache->run.factors;
	effects.biased = cache->run.feedback == ALS_EXPLICIT;
	effects.sum = palloc0(n * sizeof(double));
	effects.gram = palloc(n * n * sizeof(double));
	side_gram(cache, other_side(side), effects.gram);
	cache_scan(cache, other_side(side), add_row, &effects);
	if (effects.size == 0)
		return (Datum) 0;
	feature_table_open(&table, cache->model, &cache->run);
	feature_table_scan(&table, side, palloc((n + 1) * sizeof(float)),
					   put_effect, &effects);
	feature_table_close(&table);
	return (Datum) 0;
}
