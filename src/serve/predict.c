/*
 * predict.c
 *	  als_predict: the score of one item for one user.
 */
#include "compat.h"

#include "common/arena.h"
#include "common/arguments.h"
#include "common/id_conversion.h"
#include "common/settings.h"
#include "fmgr.h"
#include "serve/fold_in.h"
#include "serve/live_features.h"
#include "serve/live_ratings.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(als_predict);

/* What a call site keeps between rows */
typedef struct PredictState
{
	MemoryContext context;		/* of all below, reset for each version */
	CachePin   *pin;			/* NULL: no model is open */
	IdConversion user;
	IdConversion item;
	const AlsKernels *kernels;
	float	   *row;			/* [stride] the user's, aligned */
	MemoryContext folding;		/* of what a row is folded in with */
} PredictState;

/* Gets ready for a model, or for its new factors. */
static void
open_model(PredictState *state, Oid model, int32 run,
		   FunctionCallInfo fcinfo)
{
	MemoryContext old;
	ModelCache *cache;
	CachePin   *pin;

	/* lets go first, so that the version may be brought up to date in place */
	state->pin = NULL;
	MemoryContextReset(state->context);
	old = MemoryContextSwitchTo(state->context);
	pin = cache_pin(model, run);
	cache = pin->cache;
	id_conversion_init(&state->user, &cache->sides[ALS_USERS].type,
					   get_fn_expr_argtype(fcinfo->flinfo, 1), "user",
					   state->context);
	id_conversion_init(&state->item, &cache->sides[ALS_ITEMS].type,
					   get_fn_expr_argtype(fcinfo->flinfo, 2), "item",
					   state->context);
	state->kernels = chosen_kernels();
	state->row = allocate_aligned(state->context,
								  cache->stride * sizeof(float));
	state->folding = AllocSetContextCreate(state->context, "als fold-in",
										   ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(old);
	state->pin = pin;
}

/*
 * Folds a user in from his ratings and features of now; false if he cannot be, or if that has
 * replaced the model.
 */
static bool
fold_user(PredictState *state, Datum value)
{
	ModelCache *cache = state->pin->cache;
	MemoryContext old = MemoryContextSwitchTo(state->folding);
	const float *row = NULL;
	RowRatings	ratings;
	RowFeatures features;
	Datum		user;

	model_require_source(cache->model, &cache->run,
						 "Train it with als_train from a table that stays, or pass fresh => false.");
	if (id_convert(&state->user, value, &user) && !cache_replaced(cache))
	{
		live_ratings_read(cache, ALS_USERS, user, true, "als_predict", &ratings);
		if (!cache_replaced(cache))
			live_features_read(cache, ALS_USERS, user, true, "als_predict",
							   &features);
		if (!cache_replaced(cache))
			row = fold_in(cache, ALS_USERS, &ratings,
						  features_prior(cache, ALS_USERS, &features));
	}
	if (row != NULL)
	{
		cache->counts.fold_ins++;
		memcpy(state->row, row, cache->stride * sizeof(float));
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(state->folding);
	return row != NULL;
}

/* A side's row of factors; NULL if the model does not know the id. */
static const float *
find_row(PredictState *state, AlsSide side, Datum value)
{
	ModelCache *cache = state->pin->cache;
	Datum		id;

	if (!id_convert(side == ALS_USERS ? &state->user : &state->item, value, &id) ||
		cache_replaced(cache))
		return NULL;
	return cache_lookup(cache, side, id);
}

/* Has the user's factors in state->row, as stored; false if he is not known. */
static bool
look_up_user(PredictState *state, Datum value)
{
	const float *user = find_row(state, ALS_USERS, value);

	if (user != NULL)
		memcpy(state->row, user, state->pin->cache->stride * sizeof(float));
	return user != NULL;
}

/*
 * Computes the score; false if one of the ids is not known, unless what is known
 * of its biases is to do.
 */
static bool
score(PredictState *state, FunctionCallInfo fcinfo, bool by_biases, bool fresh,
	  float *result)
{
	ModelCache *cache = state->pin->cache;
	int			bias = cache->run.factors;
	bool		known = fresh ? fold_user(state, PG_GETARG_DATUM(1)) :
		look_up_user(state, PG_GETARG_DATUM(1));
	const float *item;

	if (!known)
		cache->counts.unknown_users++;
	if (!known && !by_biases)
		return false;
	if (cache_replaced(cache))
		return false;
	item = find_row(state, ALS_ITEMS, PG_GETARG_DATUM(2));
	if (known && item != NULL)
		*result = state->kernels->dot(cache->stride, state->row, item) +
			cache->run.mean_rating;
	else if (by_biases)
		*result = (known ? state->row[bias] : 0) +
			(item != NULL ? item[bias + 1] : 0) + cache->run.mean_rating;
	else
		return false;
	return true;
}

/* als_predict(model, user, item, cold_start, run, fresh) */
Datum
als_predict(PG_FUNCTION_ARGS)
{
	PredictState *state = fcinfo->flinfo->fn_extra;
	int			times = 0;
	bool		by_biases;
	bool		fresh;
	bool		known;
	int32		run;
	float		result = 0;
	instr_time	start;

	stats_begin(&start);
	if (state == NULL)
	{
		require_arguments(fcinfo, 6);
		state = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt,
									   sizeof(PredictState));
		state->context = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt,
											   "als predict",
											   ALLOCSET_SMALL_SIZES);
		fcinfo->flinfo->fn_extra = state;
	}
	for (int i = 0; i < 6; i++)
		if (i != 4 && PG_ARGISNULL(i))
			PG_RETURN_NULL();
	by_biases = biases_argument(fcinfo, 3);
	run = run_argument(fcinfo, 4);
	fresh = PG_GETARG_BOOL(5);
	do
	{
		if (!cache_pin_ready(state->pin, PG_GETARG_OID(0), run))
			open_model(state, PG_GETARG_OID(0), run, fcinfo);
		if (by_biases)
			model_require_biases(PG_GETARG_OID(0), &state->pin->cache->run);
		known = score(state, fcinfo, by_biases, fresh, &result);
	} while (cache_replaced(state->pin->cache) &&
			 cache_start_over(state->pin->cache, &times));
	stats_end(PG_GETARG_OID(0), &state->pin->cache->counts, start, known);

	if (!known)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT4(result);
}
