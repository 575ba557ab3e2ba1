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
#include "model/model.h"
#include "model/model_cache.h"
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
	MemoryContextSwitchTo(old);
	state->pin = pin;
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

/*
 * Computes the score; false if the model does not know one of the ids, unless
 * what is known of its biases is to do.
 */
static bool
score(PredictState *state, FunctionCallInfo fcinfo, bool by_biases,
	  float *result)
{
	ModelCache *cache = state->pin->cache;
	int			bias = cache->run.factors;
	const float *user = find_row(state, ALS_USERS, PG_GETARG_DATUM(1));
	const float *item;

	if (user == NULL && !by_biases)
		return false;
	if (user != NULL)
		memcpy(state->row, user, cache->stride * sizeof(float));
	if (cache_replaced(cache))
		return false;
	item = find_row(state, ALS_ITEMS, PG_GETARG_DATUM(2));
	if (user != NULL && item != NULL)
		*result = state->kernels->dot(cache->stride, state->row, item) +
			cache->run.mean_rating;
	else if (by_biases)
		*result = (user != NULL ? state->row[bias] : 0) +
			(item != NULL ? item[bias + 1] : 0) + cache->run.mean_rating;
	else
		return false;
	return true;
}

/* als_predict(model, user, item, cold_start, run) */
Datum
als_predict(PG_FUNCTION_ARGS)
{
	PredictState *state = fcinfo->flinfo->fn_extra;
	int			times = 0;
	bool		by_biases;
	bool		known;
	int32		run;
	float		result = 0;

	if (state == NULL)
	{
		require_arguments(fcinfo, 5);
		state = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt,
									   sizeof(PredictState));
		state->context = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt,
											   "als predict",
											   ALLOCSET_SMALL_SIZES);
		fcinfo->flinfo->fn_extra = state;
	}
	for (int i = 0; i < 4; i++)
		if (PG_ARGISNULL(i))
			PG_RETURN_NULL();
	by_biases = biases_argument(fcinfo, 3);
	run = run_argument(fcinfo, 4);
	do
	{
		if (!cache_pin_ready(state->pin, PG_GETARG_OID(0), run))
			open_model(state, PG_GETARG_OID(0), run, fcinfo);
		if (by_biases)
			model_require_biases(PG_GETARG_OID(0), &state->pin->cache->run);
		known = score(state, fcinfo, by_biases, &result);
	} while (cache_replaced(state->pin->cache) &&
			 cache_start_over(state->pin->cache, &times));

	if (!known)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT4(result);
}
