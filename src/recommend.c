/*
 * recommend.c
 *	  als_recommend: the k best items for a user.
 *
 * Exact: every eligible item is scored, by the same inner product that
 * als_predict returns.  Filters are sets of ids; they are asked only about
 * items whose score could enter the result, except that candidates, if they
 * are few, are all that is scored.
 */
#include "compat.h"

#include <math.h>

#include "cache.h"
#include "catalog/pg_type.h"
#include "ranked.h"
#include "settings.h"
#include "source.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(als_recommend);
PG_FUNCTION_INFO_V1(als_recommend_as);

/* The arguments' places, or behind item_type one further to the right */
enum
{
	ARG_MODEL, ARG_USER, ARG_K, ARG_EXCLUDE_SEEN, ARG_EXCLUDE, ARG_CANDIDATES
};

/* A recommendation in the making */
typedef struct Recommendation
{
	ModelCache *cache;
	const AlsKernels *kernels;
	const float *user;			/* [stride] */
	IdMap	   *excluded;		/* NULL: none */
	IdMap	   *candidates;		/* NULL: all items */
	TopK	   *best;
} Recommendation;

/* Says what to do when the live source cannot be read. */
static void
seen_error_context(void *arg)
{
	errhint("als_recommend reads what the user has already seen with the privileges of the user who calls it; exclude_seen => false skips that.");
	errcontext("finding items already seen in %s",
			   ((ModelCache *) arg)->run.source);
}

/* Prepares the query for what a user has in the live source. */
static SPIPlanPtr
prepare_seen(ModelCache *cache)
{
	const IdType *item_type = &cache->sides[ALS_ITEMS].type;
	Oid			argument = cache->sides[ALS_USERS].type.type;
	char	   *canonical;
	char	   *from = source_from_clause(cache->run.source, &canonical);
	SPIPlanPtr	plan;

	plan = SPI_prepare(psprintf("SELECT ratings.%s::%s FROM %s WHERE ratings.%s = $1",
								quote_identifier(cache->run.item_column),
								format_type_extended(item_type->type,
													 item_type->typmod,
													 FORMAT_TYPE_TYPEMOD_GIVEN |
													 FORMAT_TYPE_FORCE_QUALIFY),
								from,
								quote_identifier(cache->run.user_column)),
					   1, &argument);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	return plan;
}

/* Adds to a set the items that the user has in the live source. */
static void
add_seen(ModelCache *cache, Datum user, IdMap *items)
{
	ErrorContextCallback callback;

	callback.callback = seen_error_context;
	callback.arg = cache;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (cache->seen_plan == NULL)
		cache->seen_plan = prepare_seen(cache);
	if (SPI_execute_plan(cache->seen_plan, &user, NULL, true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan failed");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		item = SPI_getbinval(SPI_tuptable->vals[i],
										 SPI_tuptable->tupdesc, 1, &isnull);

		if (!isnull)
			idmap_add(items, item);
	}
	SPI_finish();
	error_context_stack = callback.previous;
}

/* Adds to a set the elements of an array argument; nulls do not count. */
static void
add_array(FunctionCallInfo fcinfo, int argument, const char *name,
		  IdMap *items)
{
	const IdType *type = idmap_type(items);
	Oid			array_type = get_fn_expr_argtype(fcinfo->flinfo, argument);
	Datum		value = PG_GETARG_DATUM(argument);
	IdConversion conversion;
	ArrayIterator iterator;
	Datum		element;
	bool		isnull;

	if (array_type == UNKNOWNOID)
	{
		Oid			input;
		Oid			ioparam;

		array_type = get_array_type(type->type);
		getTypeInputInfo(array_type, &input, &ioparam);
		value = OidInputFunctionCall(input, DatumGetCString(value), ioparam,
									 type->typmod);
	}
	if (!OidIsValid(get_base_element_type(array_type)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s must be an array of item ids, not %s", name,
						format_type_be(array_type)),
				 errhint("For example %s => ARRAY[...] or %s => ARRAY(SELECT ...).",
						 name, name)));

	id_conversion_init(&conversion, type, get_base_element_type(array_type),
					   "item", CurrentMemoryContext);
	iterator = array_create_iterator(DatumGetArrayTypeP(value), 0, NULL);
	while (array_iterate(iterator, &element, &isnull))
	{
		Datum		id;

		if (!isnull && id_convert(&conversion, element, &id))
			idmap_add(items, id);
	}
	array_free_iterator(iterator);
}

/* Offers an item that has been scored. */
static inline void
offer(Recommendation *recommendation, Datum id, float score)
{
	uint32		index;

	if (!topk_may_enter(recommendation->best, score))
		return;
	if (recommendation->excluded != NULL &&
		idmap_find(recommendation->excluded, id, &index))
		return;
	if (recommendation->candidates != NULL &&
		!idmap_find(recommendation->candidates, id, &index))
		return;
	topk_add(recommendation->best, id, score);
}

/* Scores an item that is read from the table. */
static bool
score_row(Datum id, const float *row, void *arg)
{
	Recommendation *recommendation = arg;
	ModelCache *cache = recommendation->cache;

	offer(recommendation, id,
		  recommendation->kernels->dot(cache->stride, row,
									   recommendation->user) +
		  cache->run.mean_rating);
	return true;
}

/*
 * Scores the candidates alone.  Looking one up costs as much as scoring a
 * dozen rows in sequence, so this is for few of them.
 */
static void
score_candidates(Recommendation *recommendation)
{
	for (uint32 i = 0; i < idmap_size(recommendation->candidates); i++)
	{
		Datum		id = idmap_id(recommendation->candidates, i);
		const float *row = cache_lookup(recommendation->cache, ALS_ITEMS, id);

		CHECK_FOR_INTERRUPTS();
		if (row != NULL)
			score_row(id, row, recommendation);
	}
}

/* Scores one of the items that are kept. */
static inline void
offer_kept(Recommendation *recommendation, uint32 item, float score)
{
	offer(recommendation,
		  idmap_id(recommendation->cache->sides[ALS_ITEMS].ids, item), score);
}

/* Scores all items, which are kept, in blocks. */
static void
score_kept(Recommendation *recommendation)
{
	ModelCache *cache = recommendation->cache;
	SideCache  *items = &cache->sides[ALS_ITEMS];
	uint32		size = idmap_size(items->ids);
	float		scores[CACHE_BLOCK];

	for (uint32 first = 0; first < size; first += CACHE_BLOCK)
	{
		uint32		count = Min(CACHE_BLOCK, size - first);

		CHECK_FOR_INTERRUPTS();
		recommendation->kernels->scores(cache->stride, count,
										items->rows +
										(size_t) first * cache->stride,
										recommendation->user, scores);
		for (uint32 i = 0; i < count; i++)
			offer_kept(recommendation, first + i,
					   scores[i] + cache->run.mean_rating);
	}
}

/*
 * The same by way of an index: scores only items that are long enough and
 * whose bound could enter the result.
 */
static void
search_kept(Recommendation *recommendation, const AlsIndex *index)
{
	ModelCache *cache = recommendation->cache;
	const AlsKernels *kernels = recommendation->kernels;
	const float *user = recommendation->user;
	const float *rows = cache->sides[ALS_ITEMS].rows;
	float		mean = cache->run.mean_rating;
	float		length = als_length(cache->stride, user);
	float		bounds[ALS_INDEX_BLOCK] pg_attribute_aligned(ALS_ALIGNMENT);

	for (size_t block = 0;
		 block < als_index_blocks(index) &&
		 topk_may_enter(recommendation->best,
						als_index_limit(index, block, length) + mean);
		 block++)
	{
		size_t		count = als_index_bounds(index, kernels, block, user,
											 length, bounds);

		CHECK_FOR_INTERRUPTS();
		for (size_t i = 0; i < count; i++)
		{
			uint32		item;

			if (!topk_may_enter(recommendation->best, bounds[i] + mean))
				continue;
			item = als_index_row(index, block, i);
			offer_kept(recommendation, item, mean +
					   kernels->dot(cache->stride,
									rows + (size_t) item * cache->stride,
									user));
		}
	}
}

/* Computes the whole result. */
static void
recommend(FunctionCallInfo fcinfo, int first, TupleDesc row_type,
		  Ranked *result)
{
	Recommendation recommendation = {0};
	Oid			model;
	ModelCache *cache;
	IdConversion conversion;
	const float *row;
	float	   *user;
	Datum		id;
	uint32		k;

	require_argument(fcinfo, first + ARG_MODEL, "model");
	require_argument(fcinfo, first + ARG_K, "k");
	require_argument(fcinfo, first + ARG_EXCLUDE_SEEN, "exclude_seen");
	model = PG_GETARG_OID(first + ARG_MODEL);
	k = ranked_k(fcinfo, first + ARG_K);

	cache = cache_open(model);
	ranked_choose_type(result, cache, ALS_ITEMS, row_type, "als_recommend_as");
	if (PG_ARGISNULL(first + ARG_USER))
		return;
	id_conversion_init(&conversion, &cache->sides[ALS_USERS].type,
					   get_fn_expr_argtype(fcinfo->flinfo, first + ARG_USER), "user",
					   CurrentMemoryContext);
	if (!id_convert(&conversion, PG_GETARG_DATUM(first + ARG_USER), &id))
		return;

	recommendation.excluded = idmap_create(CurrentMemoryContext,
										   &cache->sides[ALS_ITEMS].type);
	if (PG_GETARG_BOOL(first + ARG_EXCLUDE_SEEN) && cache->run.source != NULL)
	{
		add_seen(cache, id, recommendation.excluded);
		/* the source may be a view that uses models itself */
		cache = cache_open(model);
	}
	if (!PG_ARGISNULL(first + ARG_EXCLUDE))
		add_array(fcinfo, first + ARG_EXCLUDE, "exclude", recommendation.excluded);
	if (!PG_ARGISNULL(first + ARG_CANDIDATES))
	{
		recommendation.candidates = idmap_create(CurrentMemoryContext,
												 &cache->sides[ALS_ITEMS].type);
		add_array(fcinfo, first + ARG_CANDIDATES, "candidates",
				  recommendation.candidates);
	}

	row = cache_lookup(cache, ALS_USERS, id);
	if (row == NULL)
		return;
	user = palloc(cache->stride * sizeof(float) + ALS_ALIGNMENT);
	user = (float *) TYPEALIGN(ALS_ALIGNMENT, user);
	memcpy(user, row, cache->stride * sizeof(float));

	recommendation.cache = cache;
	recommendation.kernels = chosen_kernels();
	recommendation.user = user;
	if (recommendation.candidates != NULL &&
		idmap_size(recommendation.candidates) <
		cache_rows_limit(cache, ALS_ITEMS) / 16)
	{
		recommendation.best =
			topk_create(&cache->sides[ALS_ITEMS].type,
						Min(k, idmap_size(recommendation.candidates)));
		score_candidates(&recommendation);
	}
	else
	{
		bool		kept = cache_load(cache, ALS_ITEMS);

		recommendation.best =
			topk_create(&cache->sides[ALS_ITEMS].type,
						Min(k, cache_rows_limit(cache, ALS_ITEMS)));
		if (kept)
		{
			const AlsIndex *index = cache_index(cache, ALS_ITEMS);

			if (index != NULL)
				search_kept(&recommendation, index);
			else
				score_kept(&recommendation);
		}
		else
			cache_scan(cache, ALS_ITEMS, score_row, &recommendation);
	}
	result->items = topk_finish(recommendation.best, &result->size);
}

/* als_recommend(model, user, k, exclude_seen, exclude, candidates) */
Datum
als_recommend(PG_FUNCTION_ARGS)
{
	return ranked_rows(fcinfo, 0, recommend);
}

/* als_recommend_as(item_type, model, user, k, exclude_seen, ...) */
Datum
als_recommend_as(PG_FUNCTION_ARGS)
{
	return ranked_rows(fcinfo, 1, recommend);
}
