/*
 * similar.c
 *	  als_similar_items, als_similar_users: the nearest neighbours of an item
 *	  or a user among its kind.
 *
 * Exact: all rows of the side are compared.  Two rows are compared by their
 * factors alone, in explicit models too: a bias says how high something is
 * rated, not what it is like.
 */
#include "compat.h"

#include "common/arena.h"
#include "common/arguments.h"
#include "common/id_conversion.h"
#include "common/side.h"
#include "serve/side_search.h"
#include "serve/similar.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(als_similar_items);
PG_FUNCTION_INFO_V1(als_similar_items_as);
PG_FUNCTION_INFO_V1(als_similar_users);
PG_FUNCTION_INFO_V1(als_similar_users_as);

/* The arguments' places, or behind the type one further to the right */
enum
{
	ARG_MODEL, ARG_ID, ARG_K, ARG_METRIC, ARG_EXCLUDE, ARG_CANDIDATES,
	ARG_MIN_SCORE
};

/* Whose neighbours are sought */
typedef struct Neighbour
{
	float	   *row;			/* [stride] its factors */
	float	   *other;			/* [stride] those of another, if explicit */
	float		square;			/* |row|^2 */
	bool		cosine;
} Neighbour;

bool
is_cosine(const char *metric)
{
	if (strcmp(metric, "cosine") == 0)
		return true;
	if (strcmp(metric, "inner_product") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown metric \"%s\"", metric),
				 errhint("The metrics are \"cosine\" and \"inner_product\".")));
	return false;
}

/* A row of floats, aligned and zero. */
static float *
allocate_row(int stride)
{
	size_t		bytes = stride * sizeof(float);

	return memset(allocate_aligned(CurrentMemoryContext, bytes), 0, bytes);
}

/* Compares with one row; false if there is no cosine. */
static bool
compare_row(const SideSearch *search, const float *row, float *score)
{
	const Neighbour *neighbour = search->measure_arg;
	int			stride = search->cache->stride;
	const AlsKernels *kernels = search->kernels;

	if (neighbour->other != NULL)
	{
		memcpy(neighbour->other, row, search->cache->run.factors * sizeof(float));
		row = neighbour->other;
	}
	*score = kernels->dot(stride, neighbour->row, row);
	if (neighbour->cosine)
	{
		float		square = kernels->dot(stride, row, row);

		if (!als_has_cosine(square))
			return false;
		*score = als_cosine(*score, square, neighbour->square);
	}
	return true;
}

/* Computes the whole result for one side. */
static void
similar(FunctionCallInfo fcinfo, int first, TupleDesc row_type, ScoredRows *result,
		AlsSide side, const char *typed)
{
	SideSearch	search;
	Neighbour	neighbour = {0};
	IdConversion conversion;
	ModelCache *cache;
	Datum		id;
	const float *row;
	uint32		k;

	require_arguments(fcinfo, first + ARG_MIN_SCORE + 1);
	require_argument(fcinfo, first + ARG_MODEL, "model");
	require_argument(fcinfo, first + ARG_K, "k");
	require_argument(fcinfo, first + ARG_METRIC, "metric");
	k = k_argument(fcinfo, first + ARG_K);
	neighbour.cosine = is_cosine(text_to_cstring(PG_GETARG_TEXT_PP(first + ARG_METRIC)));

	result->cache = cache = cache_open(PG_GETARG_OID(first + ARG_MODEL));
	scored_rows_choose_type(result, cache, side, row_type, typed);
	side_search_init(&search, cache, side);
	side_search_min_score(&search, fcinfo, first + ARG_MIN_SCORE);
	if (PG_ARGISNULL(first + ARG_ID))
		return;
	id_conversion_init(&conversion, &cache->sides[side].type,
					   get_fn_expr_argtype(fcinfo->flinfo, first + ARG_ID),
					   side_names[side],
					   CurrentMemoryContext);
	if (!id_convert(&conversion, PG_GETARG_DATUM(first + ARG_ID), &id))
		return;
	side_search_filters(&search, fcinfo, first + ARG_EXCLUDE,
						first + ARG_CANDIDATES);
	/* an id is not its own neighbour */
	idmap_add(search.excluded, id);
	if (cache_replaced(cache))
		return;
	row = cache_lookup(cache, side, id);
	if (row == NULL)
		return;

	neighbour.row = allocate_row(cache->stride);
	memcpy(neighbour.row, row, cache->run.factors * sizeof(float));
	neighbour.square = search.kernels->dot(cache->stride, neighbour.row,
										   neighbour.row);
	if (neighbour.cosine && !als_has_cosine(neighbour.square))
		return;
	if (cache->run.feedback == ALS_EXPLICIT)
		neighbour.other = allocate_row(cache->stride);
	search.measure = compare_row;
	search.measure_arg = &neighbour;
	side_search_best(&search, k, result);
}

/* The result of als_similar_items. */
static void
similar_items(FunctionCallInfo fcinfo, int first, TupleDesc row_type,
			  ScoredRows *result)
{
	similar(fcinfo, first, row_type, result, ALS_ITEMS, "als_similar_items_as");
}

/* The result of als_similar_users. */
static void
similar_users(FunctionCallInfo fcinfo, int first, TupleDesc row_type,
			  ScoredRows *result)
{
	similar(fcinfo, first, row_type, result, ALS_USERS, "als_similar_users_as");
}

/* als_similar_items(model, item_id, k, metric, exclude, ...) */
Datum
als_similar_items(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 0, similar_items);
}

/* als_similar_items_as(item_type, model, item_id, k, metric, ...) */
Datum
als_similar_items_as(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 1, similar_items);
}

/* als_similar_users(model, user_id, k, metric, exclude, ...) */
Datum
als_similar_users(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 0, similar_users);
}

/* als_similar_users_as(user_type, model, user_id, k, metric, ...) */
Datum
als_similar_users_as(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 1, similar_users);
}
