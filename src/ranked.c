/*
 * ranked.c
 *	  The best items or users as a set of rows (id, score).
 */
#include "compat.h"

#include "ranked.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

Tuplestorestate *
begin_rows(FunctionCallInfo fcinfo, TupleDesc *row_type)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;

	if (result == NULL || !IsA(result, ReturnSetInfo) ||
		(result->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	old = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &result->setDesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	result->returnMode = SFRM_Materialize;
	result->setResult =
		tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0,
							  false, work_mem);
	MemoryContextSwitchTo(old);
	*row_type = result->setDesc;
	return result->setResult;
}

void
require_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
}

void
add_ids_argument(FunctionCallInfo fcinfo, int argument, const char *name,
				 const char *what, IdMap *ids)
{
	IdArray		array;

	id_array_argument(fcinfo, argument, name, what, idmap_type(ids), &array);
	for (int i = 0; i < array.size; i++)
	{
		Datum		id;

		if (!array.nulls[i] &&
			id_convert(&array.conversion, array.elements[i], &id))
			idmap_add(ids, id);
	}
}

uint32
ranked_k(FunctionCallInfo fcinfo, int argument)
{
	int64		k = PG_GETARG_INT64(argument);

	if (k < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("k must not be negative"),
				 errhint("It is the number of rows to return.")));
	return (uint32) Min(k, PG_INT32_MAX);
}

void
ranked_choose_type(Ranked *result, const ModelCache *cache, AlsSide side,
				   TupleDesc row_type, const char *typed)
{
	const char *what = side == ALS_USERS ? "user" : "item";
	Oid			own = cache->sides[side].type.type;
	Oid			wanted = TupleDescAttr(row_type, 0)->atttypid;

	if (!id_result_init(&result->conversion, &result->type, own, wanted, what,
						CurrentMemoryContext))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s ids of model \"%s\" are of type %s, not %s",
						what, get_rel_name(cache->model),
						format_type_be(own), format_type_be(wanted)),
				 errhint("Name the type in the call: %s(NULL::%s, '%s', ...).",
						 typed, format_type_be(own),
						 get_rel_name(cache->model))));
}

Datum
ranked_rows(FunctionCallInfo fcinfo, int first, RankedFunction compute)
{
	FuncCallContext *context;
	Ranked	   *result;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;
		TupleDesc	row_type;
		int			times = 0;

		context = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(context->multi_call_memory_ctx);
		if (get_call_result_type(fcinfo, NULL, &row_type) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		context->tuple_desc = BlessTupleDesc(row_type);
		result = palloc0(sizeof(Ranked));
		do
		{
			memset(result, 0, sizeof(Ranked));
			compute(fcinfo, first, context->tuple_desc, result);
		} while (cache_replaced(result->cache) &&
				 cache_start_over(result->cache, &times));
		context->user_fctx = result;
		MemoryContextSwitchTo(old);
	}

	context = SRF_PERCALL_SETUP();
	result = context->user_fctx;
	if (context->call_cntr < result->size)
	{
		ScoredItem *item = &result->items[context->call_cntr];
		Datum		values[2];
		bool		nulls[2] = {false, false};

		values[0] = id_convert_result(&result->conversion, item->id);
		values[1] = Float4GetDatum(item->score);
		SRF_RETURN_NEXT(context,
						HeapTupleGetDatum(heap_form_tuple(context->tuple_desc,
														  values, nulls)));
	}
	SRF_RETURN_DONE(context);
}
