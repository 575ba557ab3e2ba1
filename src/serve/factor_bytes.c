/*
 * factor_bytes.c
 *	  als_pack_factors and als_unpack_factors: the factors of many rows as one
 *	  value, for their way from one server to another.
 *
 * Four bytes a factor in network order, one row after the other.  postgres_fdw
 * sends values as text: eight characters a factor, where an array has eleven and
 * takes five times as long to write and to read.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "core/als_core.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "port/pg_bswap.h"
#include "serve/fold_in.h"
#include "utils/array.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(als_pack_factors_transfn);
PG_FUNCTION_INFO_V1(als_pack_factors_finalfn);
PG_FUNCTION_INFO_V1(als_unpack_factors);

/* Copies floats, or the bits of floats in network order, as the other of both. */
static void
swap_floats(char *to, const char *from, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		uint32		bits;

		memcpy(&bits, from + i * sizeof(uint32), sizeof(uint32));
		bits = pg_hton32(bits);
		memcpy(to + i * sizeof(uint32), &bits, sizeof(uint32));
	}
}

/* als_pack_factors' transition function: adds the factors of a row. */
Datum
als_pack_factors_transfn(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	StringInfo	bytes;
	ArrayType  *array;
	int			size;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "als_pack_factors_transfn called in non-aggregate context");
	if (PG_ARGISNULL(0))
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		bytes = makeStringInfo();
		MemoryContextSwitchTo(old);
	}
	else
		bytes = (StringInfo) PG_GETARG_POINTER(0);
	if (PG_ARGISNULL(1))
		PG_RETURN_POINTER(bytes);

	array = PG_GETARG_ARRAYTYPE_P(1);
	if (array_contains_nulls(array))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("factors must not contain null values")));
	size = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) * sizeof(float4);
	enlargeStringInfo(bytes, size);
	swap_floats(bytes->data + bytes->len, ARR_DATA_PTR(array),
				size / sizeof(float4));
	bytes->len += size;
	PG_RETURN_POINTER(bytes);
}

/* als_pack_factors' final function */
Datum
als_pack_factors_finalfn(PG_FUNCTION_ARGS)
{
	StringInfo	bytes;
	bytea	   *result;

	if (!AggCheckCallContext(fcinfo, NULL))
		elog(ERROR, "als_pack_factors_finalfn called in non-aggregate context");
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	bytes = (StringInfo) PG_GETARG_POINTER(0);
	result = palloc(VARHDRSZ + bytes->len);
	SET_VARSIZE(result, VARHDRSZ + bytes->len);
	memcpy(VARDATA(result), bytes->data, bytes->len);
	PG_RETURN_BYTEA_P(result);
}

/*
 * als_unpack_factors(packed, factors): the rows again, of so many factors each,
 * in the same order.
 */
Datum
als_unpack_factors(PG_FUNCTION_ARGS)
{
	FuncCallContext *call;
	float	   *row;
	int			factors;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;
		bytea	   *packed;
		size_t		size;

		factors = PG_GETARG_INT32(1);
		call = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(call->multi_call_memory_ctx);
		packed = PG_GETARG_BYTEA_P_COPY(0);
		size = VARSIZE(packed) - VARHDRSZ;
		/* one more than factors, for a bias */
		if (factors < 1 || factors > ALS_MAX_FACTORS + 1 ||
			size % (factors * sizeof(float4)) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%d bytes are not rows of %d factors",
							(int) size, factors),
					 errhint("Give what als_pack_factors has returned, and how many factors each row of it has.")));
		call->user_fctx = packed;
		call->max_calls = size / (factors * sizeof(float4));
		MemoryContextSwitchTo(old);
	}
	call = SRF_PERCALL_SETUP();
	if (call->call_cntr == call->max_calls)
		SRF_RETURN_DONE(call);
	factors = (VARSIZE(call->user_fctx) - VARHDRSZ) / call->max_calls /
		sizeof(float4);
	row = palloc(factors * sizeof(float));
	swap_floats((char *) row, VARDATA(call->user_fctx) +
				call->call_cntr * factors * sizeof(float4), factors);
	SRF_RETURN_NEXT(call, reals_datum(row, factors));
}
