/*
 * predict.c
 *	  als_predict: the score of one item for one user.
 */
#include "compat.h"

#include "cache.h"
#include "fmgr.h"
#include "settings.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(als_predict);

/* What a call site keeps between rows */
typedef struct PredictState
{
	MemoryContext context;		/* of the conversions, reset for each model */
	Oid			model;
	uint64		generation;
	ModelCache *cache;
	IdConversion user;
	IdConversion item;
	const AlsKernels *kernels;
	float	   *row;			/* [stride] the user's, aligned */
} PredictState;

/* Gets ready for a model, or for its new factors. */
static void
open_model(PredictState *state, Oid model, FunctionCallInfo fcinfo)
{
	state->cache = cache_open(model);
	if (state->model == model && state->generation == state->cache->generation)
		return;
	state->model = InvalidOid;
	MemoryContextReset(state->context);
	id_conversion_init(&state->user, &state->cache->sides[ALS_USERS].type,
					   get_fn_expr_argtype(fcinfo->flinfo, 1), "user",
					   state->context);
	id_conversion_init(&state->item, &state->cache->sides[ALS_ITEMS].type,
					   get_fn_expr_argtype(fcinfo->flinfo, 2), "item",
					   state->context);
	state->kernels = chosen_kernels();
	state->row = MemoryContextAlloc(state->context,
									state->cache->stride * sizeof(float) +
									ALS_ALIGNMENT);
	state->row = (float *) TYPEALIGN(ALS_ALIGNMENT, state->row);
	state->generation = state->cache->generation;
	state->model = model;
}

/* als_predict(model, user, item) */
Datum
als_predict(PG_FUNCTION_ARGS)
{
	PredictState *state = fcinfo->flinfo->fn_extra;
	Oid			model = PG_GETARG_OID(0);
	const float *row;
	Datum		id;

	if (state == NULL)
	{
		state = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt,
									   sizeof(PredictState));
		state->context = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt,
											   "als predict",
											   ALLOCSET_SMALL_SIZES);
		fcinfo->flinfo->fn_extra = state;
	}
	/* 0 may be asked for, and is the model of a fresh state */
	if (state->cache == NULL || state->model != model || !state->cache->valid ||
		state->generation != state->cache->generation)
		open_model(state, model, fcinfo);

	if (!id_convert(&state->user, PG_GETARG_DATUM(1), &id))
		PG_RETURN_NULL();
	row = cache_lookup(state->cache, ALS_USERS, id);
	if (row == NULL)
		PG_RETURN_NULL();
	memcpy(state->row, row, state->cache->stride * sizeof(float));

	if (!id_convert(&state->item, PG_GETARG_DATUM(2), &id))
		PG_RETURN_NULL();
	row = cache_lookup(state->cache, ALS_ITEMS, id);
	if (row == NULL)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT4(state->kernels->dot(state->cache->stride, state->row,
										 row) + state->cache->run.mean_rating);
}
