/*
 * explain_features.c
 *	  als_explain_features: how much of a score comes from features, and which.
 *
 * A row that is drawn to p = sum_j v_j B_j by w of its s solves A x = sum_k t_k f_k +
 * lambda w p.  So the score with a row y of the other side, z = A^-1 y, is what
 * its ratings contribute, t_k z.f_k, and what its features do, lambda w v_j z.B_j.
 * A row without ratings is p, and each feature contributes v_j y.B_j.
 */
#include "compat.h"

#include "common/arguments.h"
#include "common/id_conversion.h"
#include "common/side.h"
#include "model/feature_table.h"
#include "serve/explain.h"
#include "serve/live_features.h"
#include "serve/live_ratings.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(als_explain_features);

/* The arguments' places */
enum
{
	ARG_MODEL, ARG_USER, ARG_ITEM
};

/* Columns of the result */
enum
{
	COLUMN_SIDE, COLUMN_FEATURE, COLUMN_CONTRIBUTION, COLUMNS
};

/* What a row of a side has, and the row of the other side that it meets */
typedef struct ExplainedRow
{
	RowFeatures features;
	KnownRatings known;
	double	   *z;				/* [stride] */
} ExplainedRow;

/* The argument of a side's id; false if it can be no id. */
static bool
id_argument(FunctionCallInfo fcinfo, int argument, const ModelCache *cache,
			AlsSide side, Datum *id)
{
	IdConversion conversion;

	if (PG_ARGISNULL(argument))
		return false;
	id_conversion_init(&conversion, &cache->sides[side].type,
					   get_fn_expr_argtype(fcinfo->flinfo, argument),
					   side_names[side], CurrentMemoryContext);
	return id_convert(&conversion, PG_GETARG_DATUM(argument), id);
}

/*
 * Reads what a row of a side has now; false if it has no features, the row of the
 * other side is not there, or something has replaced the model.
 */
static bool
read_row(ModelCache *cache, AlsSide side, const Datum ids[2], ExplainedRow *row)
{
	RowRatings	ratings;
	const float *other;

	live_ratings_read(cache, side, ids[side], true, "als_explain_features",
					  &ratings);
	if (cache_replaced(cache))
		return false;
	live_features_read(cache, side, ids[side], true, "als_explain_features",
					   &row->features);
	if (cache_replaced(cache))
		return false;
	other = cache_lookup(cache, other_side(side), ids[other_side(side)]);
	if (other == NULL || row->features.size == 0)
		return false;
	row->z = palloc(cache->stride * sizeof(double));
	for (int i = 0; i < cache->stride; i++)
		row->z[i] = other[i];
	/* as its bias is moved to the right-hand side */
	if (cache->run.feedback == ALS_EXPLICIT)
		row->z[cache->run.factors] = 1;
	gather_known(cache, side, &ratings, &row->known);
	return true;
}

/* Puts what a row's features contribute. */
static void
put_contributions(ModelCache *cache, AlsSide side, ExplainedRow *row,
				  Tuplestorestate *rows, TupleDesc row_type)
{
	int			rank = cache->run.factors +
		(cache->run.feedback == ALS_EXPLICIT ? 1 : 0);
	float	   *factors = palloc(als_stride(rank) * sizeof(float));
	double		pull = 1;
	FeatureTable table;

	if (row->known.size > 0)
		pull = solve_influence(cache, side, &row->known, row->z,
							   palloc_extended(row->known.size * sizeof(double),
											   MCXT_ALLOC_HUGE));
	feature_table_open(&table, cache->model, &cache->run);
	for (uint64 k = 0; k < row->features.size; k++)
	{
		double		product = 0;
		Datum		values[COLUMNS];
		bool		nulls[COLUMNS] = {false};

		CHECK_FOR_INTERRUPTS();
		if (!feature_table_find(&table, side, row->features.names[k], factors))
			continue;
		for (int i = 0; i < rank; i++)
			product += row->z[i] * factors[i];
		values[COLUMN_SIDE] = CStringGetTextDatum(side_names[side]);
		values[COLUMN_FEATURE] = row->features.names[k];
		values[COLUMN_CONTRIBUTION] =
			Float4GetDatum(contribution_is_real(pull * row->features.values[k] *
												product));
		tuplestore_putvalues(rows, row_type, values, nulls);
	}
	feature_table_close(&table);
}

/* als_explain_features(model, user_id, item_id) */
Datum
als_explain_features(PG_FUNCTION_ARGS)
{
	Tuplestorestate *rows;
	TupleDesc	row_type;
	ModelCache *cache;
	int			times = 0;
	ExplainedRow explained[2];
	bool		there[2];

	rows = begin_rows(fcinfo, &row_type);
	require_arguments(fcinfo, 3);
	require_argument(fcinfo, ARG_MODEL, "model");
	do
	{
		Datum		ids[2];
		bool		known;

		memset(there, 0, sizeof(there));
		cache = cache_open(PG_GETARG_OID(ARG_MODEL));
		model_require_source(cache->model, &cache->run,
							 "Train it with als_train, from a table that stays.");
		known = id_argument(fcinfo, ARG_USER, cache, ALS_USERS, &ids[ALS_USERS]) &&
			id_argument(fcinfo, ARG_ITEM, cache, ALS_ITEMS, &ids[ALS_ITEMS]);
		for (int side = 0; side < 2 && known && !cache_replaced(cache); side++)
			there[side] = OidIsValid(cache->run.feature_table) &&
				read_row(cache, side, ids, &explained[side]);
	} while (cache_replaced(cache) && cache_start_over(cache, &times));

	for (int side = 0; side < 2; side++)
		if (there[side])
			put_contributions(cache, side, &explained[side], rows, row_type);
	return (Datum) 0;
}
