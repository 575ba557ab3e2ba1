/*
 * scored_rows.c
 *	  The best items or users as a set of rows (id, score).
 */
#include "compat.h"

#include "common/arguments.h"
#include "serve/scored_rows.h"

void
scored_rows_choose_type(ScoredRows *result, const ModelCache *cache, AlsSide side,
						TupleDesc row_type, const char *typed)
{
	choose_id_type(&result->conversion, &result->type, cache->model, side,
				   cache->sides[side].type.type, row_type, typed);
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
		instr_time	start;
		int			times = 0;

		stats_begin(&start);
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
		stats_end(result->cache->model, &result->cache->counts, start,
				  result->size);
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
