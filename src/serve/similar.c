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

#include <math.h>

#include "common/arena.h"
#include "common/arguments.h"
#include "common/id_conversion.h"
#include "common/settings.h"
#include "common/side.h"
#include "serve/scored_rows.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(als_similar_items);
PG_FUNCTION_INFO_V1(als_similar_items_as);
PG_FUNCTION_INFO_V1(als_similar_users);
PG_FUNCTION_INFO_V1(als_similar_users_as);

/* The arguments' places, or behind the type one further to the right */
enum
{
	ARG_MODEL, ARG_ID, ARG_K, ARG_METRIC
};

/* A search in the making */
typedef struct Search
{
	ModelCache *cache;
	const AlsKernels *kernels;
	const IdType *type;
	Datum		id;				/* whose neighbours */
	float	   *row;			/* [stride] its factors */
	float	   *other;			/* [stride] those of another, if explicit */
	float		square;			/* |row|^2 */
	bool		cosine;
	TopK	   *best;
} Search;

/* Does the metric's name mean cosine, and not the inner product? */
static bool
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

/* Compares with one row; that of the id itself and zero vectors do not count. */
static bool
compare_row(Datum id, const float *row, void *arg)
{
	Search	   *search = arg;
	int			stride = search->cache->stride;
	float		score;

	if (search->other != NULL)
	{
		memcpy(search->other, row, search->cache->run.factors * sizeof(float));
		row = search->other;
	}
	score = search->kernels->dot(stride, search->row, row);
	if (search->cosine)
	{
		double		square = search->kernels->dot(stride, row, row);

		if (square == 0)
			return true;
		/* in double, so that equal vectors have a cosine of exactly 1 */
		score = score / sqrt(square * search->square);
		score = Max(-1, Min(1, score));
	}
	if (topk_may_enter(search->best, score) &&
		!id_equal(search->type, id, search->id))
		topk_add(search->best, id, score);
	return true;
}

/* Compares with all rows of a side that is kept whole. */
static void
compare_kept(Search *search, const SideCache *side)
{
	for (uint32 i = 0; i < side->image->nrows; i++)
	{
		if (i % CACHE_BLOCK == 0)
			CHECK_FOR_INTERRUPTS();
		compare_row(image_id(side->image, &side->type, i),
					image_rows(side->image) +
					(size_t) i * search->cache->stride, search);
	}
}

/* Computes the whole result for one side. */
static void
similar(FunctionCallInfo fcinfo, int first, TupleDesc row_type, ScoredRows *result,
		AlsSide side, const char *typed)
{
	Search		search = {0};
	IdConversion conversion;
	ModelCache *cache;
	const float *row;
	uint32		k;
	bool		kept;

	require_argument(fcinfo, first + ARG_MODEL, "model");
	require_argument(fcinfo, first + ARG_K, "k");
	require_argument(fcinfo, first + ARG_METRIC, "metric");
	k = k_argument(fcinfo, first + ARG_K);
	search.cosine = is_cosine(text_to_cstring(PG_GETARG_TEXT_PP(first + ARG_METRIC)));

	result->cache = cache = cache_open(PG_GETARG_OID(first + ARG_MODEL));
	scored_rows_choose_type(result, cache, side, row_type, typed);
	if (PG_ARGISNULL(first + ARG_ID))
		return;
	search.type = &cache->sides[side].type;
	id_conversion_init(&conversion, search.type,
					   get_fn_expr_argtype(fcinfo->flinfo, first + ARG_ID),
					   side_names[side],
					   CurrentMemoryContext);
	if (!id_convert(&conversion, PG_GETARG_DATUM(first + ARG_ID), &search.id) ||
		cache_replaced(cache))
		return;
	row = cache_lookup(cache, side, search.id);
	if (row == NULL)
		return;

	search.cache = cache;
	search.kernels = chosen_kernels();
	search.row = allocate_row(cache->stride);
	memcpy(search.row, row, cache->run.factors * sizeof(float));
	search.square = search.kernels->dot(cache->stride, search.row, search.row);
	if (search.cosine && search.square == 0)
		return;
	if (cache->run.feedback == ALS_EXPLICIT)
		search.other = allocate_row(cache->stride);

	kept = cache_load(cache, side);
	search.best = topk_create(search.type,
							  Min(k, cache_rows_limit(cache, side)));
	if (kept)
		compare_kept(&search, &cache->sides[side]);
	else
		cache_scan(cache, side, compare_row, &search);
	result->items = topk_finish(search.best, &result->size);
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

/* als_similar_items(model, item_id, k, metric) */
Datum
als_similar_items(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 0, similar_items);
}

/* als_similar_items_as(item_type, model, item_id, k, metric) */
Datum
als_similar_items_as(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 1, similar_items);
}

/* als_similar_users(model, user_id, k, metric) */
Datum
als_similar_users(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 0, similar_users);
}

/* als_similar_users_as(user_type, model, user_id, k, metric) */
Datum
als_similar_users_as(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 1, similar_users);
}
