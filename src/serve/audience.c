/*
 * audience.c
 *	  als_audience: the k best users for an item.
 */
#include "compat.h"

#include "common/arguments.h"
#include "serve/side_search.h"

PG_FUNCTION_INFO_V1(als_audience);
PG_FUNCTION_INFO_V1(als_audience_as);

/* The arguments' places, or behind user_type one further to the right */
enum
{
	ARG_MODEL, ARG_ITEM, ARG_K, ARG_EXCLUDE_SEEN, ARG_EXCLUDE, ARG_CANDIDATES,
	ARG_MIN_SCORE
};

/*
 * Computes the result; first is the place of the model among the arguments.
 */
static void
audience(FunctionCallInfo fcinfo, int first, TupleDesc row_type,
		 ScoredRows *result)
{
	SideSearch	search;
	IdConversion conversion;
	ModelCache *cache;
	Datum		id;
	uint32		k;

	require_arguments(fcinfo, first + ARG_MIN_SCORE + 1);
	require_argument(fcinfo, first + ARG_MODEL, "model");
	require_argument(fcinfo, first + ARG_EXCLUDE_SEEN, "exclude_seen");
	require_argument(fcinfo, first + ARG_K, "k");
	k = k_argument(fcinfo, first + ARG_K);
	result->cache = cache = cache_open(PG_GETARG_OID(first + ARG_MODEL));
	scored_rows_choose_type(result, cache, ALS_USERS, row_type, "als_audience_as");
	side_search_init(&search, cache, ALS_USERS);
	side_search_min_score(&search, fcinfo, first + ARG_MIN_SCORE);
	if (PG_ARGISNULL(first + ARG_ITEM))
		return;
	id_conversion_init(&conversion, &cache->sides[ALS_ITEMS].type,
					   get_fn_expr_argtype(fcinfo->flinfo, first + ARG_ITEM),
					   "item", CurrentMemoryContext);
	if (!id_convert(&conversion, PG_GETARG_DATUM(first + ARG_ITEM), &id) ||
		cache_replaced(cache) ||
		!side_search_for(&search, id, PG_GETARG_BOOL(first + ARG_EXCLUDE_SEEN),
						 "als_audience"))
		return;
	side_search_filters(&search, fcinfo, first + ARG_EXCLUDE,
						first + ARG_CANDIDATES);
	if (search.nvectors > 0 && !cache_replaced(cache))
		side_search_best(&search, k, result);
}

/* als_audience(model, item, k, exclude_seen, exclude, candidates) */
Datum
als_audience(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 0, audience);
}

/* als_audience_as(user_type, model, item, k, exclude_seen, ...) */
Datum
als_audience_as(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 1, audience);
}
