/*
 * scored_rows.c
 *	  The best items or users as a set of rows (id, score).
 */
#include "compat.h"

#include "common/side.h"
#include "serve/scored_rows.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

void
scored_rows_choose_type(ScoredRows *result, const ModelCache *cache, AlsSide side,
						TupleDesc row_type, const char *typed)
{
	const char *what = side_names[side];
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
return_scored_rows(FunctionCallInfo fcinfo, int first, ScoredRowsFunction compute)
{
	FuncCallContext *context;
	ScoredRows *result;

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
		result = palloc0(sizeof(ScoredRows));
		do
		{
			memset(result, 0, sizeof(ScoredRows));
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
