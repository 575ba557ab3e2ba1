/*
 * explain.c
 *	  als_explain: which of a user's ratings made a score.
 *
 * Hu, Koren and Volinsky 2008, section 5.  A user's factors solve
 * A x = sum_j t_j f_j over his ratings (see als_core.h), so that the score of
 * item i is y_i.x = sum_j t_j z.f_j with z = A^-1 y_i: one system to solve,
 * then an inner product for each of his ratings.  The ratings are those of
 * the live source, so the sum is the score of the user as he is now, solved
 * exactly against the items as they are stored.  A user with features solves
 * A x = sum_j t_j f_j + lambda s p: explain_features.c has that part.
 */
#include "compat.h"

#include <math.h>

#include "common/arguments.h"
#include "common/id_conversion.h"
#include "common/side.h"
#include "serve/explain.h"
#include "serve/live_ratings.h"
#include "serve/scored_rows.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(als_explain);
PG_FUNCTION_INFO_V1(als_explain_as);

/* The arguments' places, or behind item_type one further to the right */
enum
{
	ARG_MODEL, ARG_USER, ARG_ITEM, ARG_K
};

double
solve_influence(ModelCache *cache, AlsSide side, const KnownRatings *known,
				double *z, double *targets)
{
	bool		implicit = cache->run.feedback == ALS_IMPLICIT;
	AlsSystem	system;
	int			rank;
	int			stride;
	double	   *a;
	double	   *weights;
	double		scale;
	double		diagonal;

	row_system(cache, side, &system);
	rank = system.rank;
	stride = als_stride(rank);
	weights = palloc_extended(known->size * sizeof(double), MCXT_ALLOC_HUGE);
	for (uint64 k = 0; k < known->size; k++)
	{
		CHECK_FOR_INTERRUPTS();
		als_weigh(cache->run.feedback, cache->run.alpha,
				  cache->run.mean_rating, implicit ? 0 : known->bias[k],
				  known->entries[k].rating,
				  known->weights == NULL ? 1 : known->weights[k],
				  &weights[k], &targets[k]);
	}

	a = palloc0(rank * rank * sizeof(double));
	if (implicit)
		side_gram(cache, other_side(side), a);
	scale = als_regularization_scale(&system, known->entries, known->weights,
									 known->size);
	diagonal = cache->run.regularization * scale;
	for (int i = 0; i < rank; i++)
		a[i * rank + i] += diagonal;
	a[rank * rank - 1] += als_bias_ridge(&system, diagonal);
	if (als_influence(system.blas, system.poll, rank, stride, known->size,
					  known->fixed, weights, a, z,
					  palloc(als_gram_exact_workspace(rank))) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("the normal equations of the %s are singular",
						side_names[side]),
				 errhint("Train the model with a larger regularization.")));
	return diagonal * als_features_share(scale, als_features_scale(&system));
}

float
contribution_is_real(double contribution)
{
	/* + 0: what contributes nothing says 0, whatever its sign */
	float		value = (float) (contribution + 0);

	if (!isfinite(value))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("the contributions to this score are out of the range of type real"),
				 errhint("Train the model with a larger regularization.")));
	return value;
}

/*
 * Scores what the user has rated by what it contributes to the score of an
 * item: z[rank], destroyed, is the item's row.
 */
static void
rank_contributions(ModelCache *cache, const KnownRatings *known, double *z,
				   TopK *best)
{
	int			rank = cache->run.factors +
		(cache->run.feedback == ALS_EXPLICIT ? 1 : 0);
	int			stride = als_stride(rank);
	double	   *targets = palloc_extended(known->size * sizeof(double),
										  MCXT_ALLOC_HUGE);

	solve_influence(cache, ALS_USERS, known, z, targets);
	for (uint64 k = 0; k < known->size; k++)
	{
		double		product = 0;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < rank; i++)
			product += z[i] * known->fixed[k * stride + i];
		topk_add(best, known->ids[k], contribution_is_real(targets[k] * product),
				 NO_ROW);
	}
}

/* Computes the whole result. */
static void
explain(FunctionCallInfo fcinfo, int first, TupleDesc row_type, ScoredRows *result)
{
	Oid			model;
	ModelCache *cache;
	IdConversion conversion;
	RowRatings	ratings;
	KnownRatings known;
	const float *row;
	double	   *z;
	TopK	   *best;
	Datum		user;
	Datum		item;
	uint32		k = PG_UINT32_MAX;

	require_arguments(fcinfo, first + ARG_K + 1);
	require_argument(fcinfo, first + ARG_MODEL, "model");
	model = PG_GETARG_OID(first + ARG_MODEL);
	if (!PG_ARGISNULL(first + ARG_K))
		k = k_argument(fcinfo, first + ARG_K);

	result->cache = cache = cache_open(model);
	scored_rows_choose_type(result, cache, ALS_ITEMS, row_type, "als_explain_as");
	if (cache->run.nonnegative)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot explain the scores of a nonnegative model"),
				 errdetail("With factors that are not below zero, a score is not a sum over the user's ratings."),
				 errhint("Train model \"%s\" without nonnegative.",
						 get_rel_name(model))));
	model_require_source(cache->model, &cache->run,
						 "Train it with als_train, from a table that stays.");
	if (PG_ARGISNULL(first + ARG_USER) || PG_ARGISNULL(first + ARG_ITEM))
		return;
	id_conversion_init(&conversion, &cache->sides[ALS_USERS].type,
					   get_fn_expr_argtype(fcinfo->flinfo, first + ARG_USER),
					   "user", CurrentMemoryContext);
	if (!id_convert(&conversion, PG_GETARG_DATUM(first + ARG_USER), &user))
		return;
	id_conversion_init(&conversion, &cache->sides[ALS_ITEMS].type,
					   get_fn_expr_argtype(fcinfo->flinfo, first + ARG_ITEM),
					   "item", CurrentMemoryContext);
	if (!id_convert(&conversion, PG_GETARG_DATUM(first + ARG_ITEM), &item))
		return;

	live_ratings_read(cache, ALS_USERS, user, true, "als_explain", &ratings);
	if (cache_replaced(cache))
		return;

	row = cache_lookup(cache, ALS_ITEMS, item);
	if (row == NULL)
		return;
	z = palloc(cache->stride * sizeof(double));
	for (int i = 0; i < cache->stride; i++)
		z[i] = row[i];
	gather_known(cache, ALS_USERS, &ratings, &known);
	if (known.size == 0)
		return;
	best = topk_create(&cache->sides[ALS_ITEMS].type, Min(k, known.size));
	rank_contributions(cache, &known, z, best);
	result->items = topk_finish(best, &result->size);
}

/* als_explain(model, user_id, item_id, k) */
Datum
als_explain(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 0, explain);
}

/* als_explain_as(item_type, model, user_id, item_id, k) */
Datum
als_explain_as(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 1, explain);
}
