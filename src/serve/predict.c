/*
 * predict.c
 *	  als_predict: the score of one item for one user.
 */
#include "compat.h"

#include "common/arena.h"
#include "common/id_conversion.h"
#include "common/settings.h"
#include "fmgr.h"
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
open_model(PredictState *state, Oid model, FunctionCallInfo fcinfo)
{
	MemoryContext old;
	ModelCache *cache;
	CachePin   *pin;

	/* lets go first, so that the version may be brought up to date in place */
	state->pin = NULL;
	MemoryContextReset(state->context);
	old = MemoryContextSwitchTo(state->context);
	pin = cache_pin(model);
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

/* Computes the score; false if the model does not know one of the ids. */
static bool
score(PredictState *state, FunctionCallInfo fcinfo, float *result)
{
	ModelCache *cache = state->pin->cache;
	const float *row;
	Datum		id;

	if (!id_convert(&state->user, PG_GETARG_DATUM(1), &id) ||
		cache_replaced(cache))
		return false;
	row = cache_lookup(cache, ALS_USERS, id);
	if (row == NULL)
		return false;
	memcpy(state->row, row, cache->stride * sizeof(float));

	if (!id_convert(&state->item, PG_GETARG_DATUM(2), &id) ||
		cache_replaced(cache))
		return false;
	row = cache_lookup(cache, ALS_ITEMS, id);
	if (row == NULL)
		return false;
	*result = state->kernels->dot(cache->stride, state->row, row) +
		cache->run.mean_rating;
	return true;
}

/* als_predict(model, user, item) */
Datum
als_predict(PG_FUNCTION_ARGS)
{
	PredictState *state = fcinfo->flinfo->fn_extra;
	int			times = 0;
	bool		known;
	float		result = 0;

	if (state == NULL)
	{
		state = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt,
									   sizeof(PredictState));
		state->context = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt,
											   "als predict",
											   ALLOCSET_SMALL_SIZES);
		fcinfo->flinfo->fn_extra = state;
	}
	do
	{
		if (!cache_pin_ready(state->pin, PG_GETARG_OID(0)))
			open_model(state, PG_GETARG_OID(0), fcinfo);
		known = score(state, fcinfo, &result);
	} while (cache_replaced(state->pin->cache) &&
			 cache_start_over(state->pin->cache, &times));

	if (!known)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT4(result);
}
