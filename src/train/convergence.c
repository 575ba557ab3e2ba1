/*
 * convergence.c
 *	  als_convergence: how a training converged, as bars of text.
 */
#include "compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/arguments.h"
#include "executor/executor.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(als_convergence);

/* The result's columns: iteration, loss, loss_bar, metric, metric_bar */
#define COLUMNS 5

#define WIDEST 1000				/* characters of a bar */

/* What is drawn: a number for each iteration */
typedef struct Curve
{
	Datum	   *values;
	bool	   *nulls;
	int			size;
	double		least;			/* of those that can be drawn */
	double		greatest;
} Curve;

/* What of a value its bar is proportional to */
static double
linear(double value)
{
	return value;
}

/* A column of the training, an array; of no elements if it is null. */
static void
read_curve(HeapTupleHeader training, const char *column,
		   double (*scale) (double), Curve *curve)
{
	bool		isnull;
	Datum		array = GetAttributeByName(training, column, &isnull);

	memset(curve, 0, sizeof(Curve));
	curve->least = INFINITY;
	curve->greatest = -INFINITY;
	if (isnull)
		return;
	deconstruct_array(DatumGetArrayTypeP(array), FLOAT8OID, sizeof(float8),
					  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &curve->values,
					  &curve->nulls, &curve->size);
	for (int i = 0; i < curve->size; i++)
	{
		double		value = curve->nulls[i] ? NAN :
			scale(DatumGetFloat8(curve->values[i]));

		if (isfinite(value))
		{
			curve->least = Min(curve->least, value);
			curve->greatest = Max(curve->greatest, value);
		}
	}
}

/*
 * Fills in a value of a curve and its bar, from 1 for the least to width for
 * the greatest; what cannot be drawn has the shortest.
 */
static void
draw(const Curve *curve, int place, double (*scale) (double), int width,
	 const char *suffix, Datum *values, bool *nulls)
{
	double		range = curve->greatest - curve->least;
	double		share;
	int			length;
	char	   *bar;

	nulls[0] = nulls[1] = place >= curve->size || curve->nulls[place];
	if (nulls[0])
		return;
	values[0] = curve->values[place];
	share = (scale(DatumGetFloat8(values[0])) - curve->least) / range;
	length = isfinite(share) && isfinite(range) ?
		(int) rint(1 + (width - 1) * share) : 1;
	bar = palloc(length + strlen(suffix) + 1);
	memset(bar, '#', length);
	strcpy(bar + length, suffix);
	values[1] = CStringGetTextDatum(bar);
}

/* als_convergence(training, width) */
Datum
als_convergence(PG_FUNCTION_ARGS)
{
	TupleDesc	row_type;
	Tuplestorestate *store = begin_rows(fcinfo, &row_type);
	MemoryContext context;
	MemoryContext old;
	HeapTupleHeader training;
	Curve		losses;
	Curve		metrics;
	int			best;
	int			width;
	bool		no_best;

	require_argument(fcinfo, 1, "width");
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	width = Min(Max(PG_GETARG_INT32(1), 1), WIDEST);
	training = PG_GETARG_HEAPTUPLEHEADER(0);
	read_curve(training, "losses", log, &losses);
	read_curve(training, "validation_curve", linear, &metrics);
	best = DatumGetInt32(GetAttributeByName(training, "best_iteration",
											&no_best));

	context = AllocSetContextCreate(CurrentMemoryContext, "als convergence",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	for (int i = 0; i < Max(losses.size, metrics.size); i++)
	{
		Datum		values[COLUMNS];
		bool		nulls[COLUMNS] = {false};

		CHECK_FOR_INTERRUPTS();
		values[0] = Int32GetDatum(i + 1);
		draw(&losses, i, log, width, "", values + 1, nulls + 1);
		draw(&metrics, i, linear, width,
			 !no_best && i + 1 == best ? " best" : "", values + 3, nulls + 3);
		tuplestore_putvalues(store, row_type, values, nulls);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return (Datum) 0;
}
