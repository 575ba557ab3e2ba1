/*
 * recommend.c
 *	  als_recommend and als_recommend_for: the k best items for a user, or
 *	  for somebody who has some items.
 *
 * Exact: every eligible item is scored, by the same inner product that
 * als_predict returns.  Filters are sets of ids; they are asked only about
 * items whose score could enter the result, except that candidates, if given,
 * are all that is scored.
 */
#include "compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/arena.h"
#include "common/arguments.h"
#include "common/id_conversion.h"
#include "common/settings.h"
#include "model/model_cache.h"
#include "port/pg_bitutils.h"
#include "serve/fold_in.h"
#include "serve/live_ratings.h"
#include "serve/scored_rows.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(als_recommend);
PG_FUNCTION_INFO_V1(als_recommend_as);
PG_FUNCTION_INFO_V1(als_recommend_for);
PG_FUNCTION_INFO_V1(als_recommend_for_as);

/* The arguments' places, or behind item_type one further to the right */
enum
{
	ARG_MODEL, ARG_USER, ARG_K, ARG_EXCLUDE_SEEN, ARG_EXCLUDE, ARG_CANDIDATES,
	ARG_COLD_START
};

/* Those of als_recommend_for, likewise */
enum
{
	FOR_MODEL, FOR_ITEMS, FOR_RATINGS, FOR_K, FOR_EXCLUDE_SEEN, FOR_EXCLUDE,
	FOR_CANDIDATES
};

/* What to do for a user of whom nothing is known */
typedef enum ColdStart
{
	COLD_START_NONE,
	COLD_START_POPULAR,
	COLD_START_ERROR
} ColdStart;

static const char *const cold_start_names[] = {"none", "popular", "error"};

/* A recommendation in the making */
typedef struct Recommendation
{
	ModelCache *cache;
	const AlsKernels *kernels;
	const float *user;			/* [stride]; NULL: nothing is known of him */
	IdMap	   *excluded;		/* NULL: none */
	IdMap	   *candidates;		/* NULL: all items */
	TopK	   *best;
} Recommendation;

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
	const SideCache *items = &recommendation->cache->sides[ALS_ITEMS];

	offer(recommendation, image_id(items->image, &items->type, item), score);
}

/* Scores all items, which are kept, in blocks. */
static void
score_kept(Recommendation *recommendation)
{
	ModelCache *cache = recommendation->cache;
	const Image *items = cache->sides[ALS_ITEMS].image;
	uint32		size = items->nrows;
	float		scores[CACHE_BLOCK];

	for (uint32 first = 0; first < size; first += CACHE_BLOCK)
	{
		uint32		count = Min(CACHE_BLOCK, size - first);

		CHECK_FOR_INTERRUPTS();
		recommendation->kernels->scores(cache->stride, count,
										image_rows(items) +
										(size_t) first * cache->stride,
										recommendation->user, scores);
		for (uint32 i = 0; i < count; i++)
			offer_kept(recommendation, first + i,
					   scores[i] + cache->run.mean_rating);
	}
}

/*
 * The same by way of an index: scores only items that could enter the result.
 */
static void
search_kept(Recommendation *recommendation, const AlsIndex *index)
{
	ModelCache *cache = recommendation->cache;
	const AlsKernels *kernels = recommendation->kernels;
	const float *user = recommendation->user;
	const float *rows = image_rows(cache->sides[ALS_ITEMS].image);
	float		mean = cache->run.mean_rating;
	AlsQuery	query;
	const AlsQuery *queries = &query;

	als_query_prepare(cache->stride, user, &query);
	for (size_t block = 0;
		 block < als_index_blocks(index) &&
		 topk_may_enter(recommendation->best,
						als_index_limit(index, block, &query) + mean);
		 block++)
	{
		float		least =
			als_query_least(topk_least(recommendation->best), mean);
		uint64		found;

		CHECK_FOR_INTERRUPTS();
		als_index_search(index, kernels, block, 1, &queries, &least, &found);
		for (; found != 0; found &= found - 1)
		{
			uint32		item = als_index_row(index, block,
											 pg_rightmost_one_pos64(found));

			offer_kept(recommendation, item, mean +
					   kernels->dot(cache->stride,
									rows + (size_t) item * cache->stride,
									user));
		}
	}
}

/* The argument cold_start, checked. */
static ColdStart
cold_start_argument(FunctionCallInfo fcinfo, int argument)
{
	char	   *name;

	require_argument(fcinfo, argument, "cold_start");
	name = text_to_cstring(PG_GETARG_TEXT_PP(argument));
	for (size_t i = 0; i < lengthof(cold_start_names); i++)
		if (strcmp(name, cold_start_names[i]) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown cold_start \"%s\"", name),
			 errhint("It is \"none\", \"popular\" or \"error\".")));
}

/* The filters that the arguments exclude and candidates are. */
static void
add_filters(FunctionCallInfo fcinfo, int exclude, int candidates,
			Recommendation *recommendation)
{
	const IdType *type = &recommendation->cache->sides[ALS_ITEMS].type;

	if (!PG_ARGISNULL(exclude))
		add_ids_argument(fcinfo, exclude, "exclude", "item",
						 recommendation->excluded);
	if (!PG_ARGISNULL(candidates))
	{
		recommendation->candidates = idmap_create(CurrentMemoryContext, type);
		add_ids_argument(fcinfo, candidates, "candidates", "item",
						 recommendation->candidates);
	}
}

/* Finds the k best for recommendation->user. */
static void
find_best(Recommendation *recommendation, uint32 k, ScoredRows *result)
{
	ModelCache *cache = recommendation->cache;

	recommendation->kernels = chosen_kernels();
	if (recommendation->candidates != NULL &&
		idmap_size(recommendation->candidates) <
		cache_rows_limit(cache, ALS_ITEMS) / 16)
	{
		recommendation->best =
			topk_create(&cache->sides[ALS_ITEMS].type,
						Min(k, idmap_size(recommendation->candidates)));
		score_candidates(recommendation);
	}
	else
	{
		bool		kept = cache_load(cache, ALS_ITEMS);

		recommendation->best =
			topk_create(&cache->sides[ALS_ITEMS].type,
						Min(k, cache_rows_limit(cache, ALS_ITEMS)));
		if (kept)
		{
			const AlsIndex *index = cache_index(cache, ALS_ITEMS);

			if (index != NULL)
				search_kept(recommendation, index);
			else
				score_kept(recommendation);
		}
		else
			cache_scan(cache, ALS_ITEMS, score_row, recommendation);
	}
	result->items = topk_finish(recommendation->best, &result->size);
}

/* The k items with the most ratings that the filters let through. */
static void
find_popular(Recommendation *recommendation, uint32 k, ScoredRows *result)
{
	ModelCache *cache = recommendation->cache;
	PopularItems *popular;

	model_require_source(cache->model, &cache->run,
						 "Train it with als_train from a table that stays, or pass cold_start => 'none'.");
	popular = live_ratings_take_popular(cache, "als_recommend");
	if (cache_replaced(cache))
		return;
	result->items = MemoryContextAllocHuge(CurrentMemoryContext,
										   Max(Min(k, popular->size), 1) *
										   sizeof(ScoredItem));
	for (uint64 i = 0; i < popular->size && result->size < k; i++)
	{
		const ScoredItem *item = &popular->items[i];
		uint32		index;

		CHECK_FOR_INTERRUPTS();
		if (idmap_find(recommendation->excluded, item->id, &index) ||
			(recommendation->candidates != NULL &&
			 !idmap_find(recommendation->candidates, item->id, &index)) ||
			cache_lookup(cache, ALS_ITEMS, item->id) == NULL)
			continue;
		result->items[result->size].score = item->score;
		result->items[result->size].id =
			id_copy(&cache->sides[ALS_ITEMS].type, item->id);
		result->size++;
	}
	live_ratings_keep_popular(cache, popular);
}

/* Raises for a user of whom nothing is known. */
static void
reject_cold_user(const ModelCache *cache, Datum id, bool isnull)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("nothing is known of user %s", isnull ? "null" :
					id_to_text(&cache->sides[ALS_USERS].type, id)),
			 errdetail("Neither has model \"%s\" been trained with ratings%s of the user, nor are there any now of items that it knows.",
					   get_rel_name(cache->model),
					   cache->run.feedback == ALS_IMPLICIT ? " above 0" : ""),
			 errhint("Pass cold_start => 'popular' for the items with the most ratings, or 'none' for no rows.")));
}

/*
 * Finds the factors of a user, stored or folded in from the live source, and
 * leaves out what he has there.  No factors if there is nothing to go by; what
 * is stored may be as little, while there are better ratings by now.
 * False if reading the source has replaced the model.
 */
static bool
find_user(Recommendation *recommendation, Datum id, bool exclude_seen)
{
	ModelCache *cache = recommendation->cache;
	const float *row = cache_lookup(cache, ALS_USERS, id);

	if (cache_knows_user(cache, row))
	{
		size_t		bytes = cache->stride * sizeof(float);
		void	   *copy = allocate_aligned(CurrentMemoryContext, bytes);

		recommendation->user = memcpy(copy, row, bytes);
		if (exclude_seen && cache->run.source != NULL)
			live_ratings_add_seen(cache, id, recommendation->excluded);
		return !cache_replaced(cache);
	}
	if (cache->run.source != NULL)
	{
		RowRatings	ratings;

		live_ratings_read(cache, ALS_USERS, id, true, "als_recommend", &ratings);
		if (cache_replaced(cache))
			return false;
		if (exclude_seen)
			for (uint64 i = 0; i < ratings.size; i++)
				idmap_add(recommendation->excluded, ratings.ratings[i].id);
		row = fold_in(cache, ALS_USERS, &ratings);
		if (cache_knows_user(cache, row))
			recommendation->user = row;
	}
	return true;
}

/*
 * Computes als_recommend's result; first is the place of the model among the
 * arguments.
 */
static void
recommend(FunctionCallInfo fcinfo, int first, TupleDesc row_type,
		  ScoredRows *result)
{
	Recommendation recommendation = {0};
	ColdStart	cold_start;
	ModelCache *cache;
	IdConversion conversion;
	Datum		id = (Datum) 0;
	bool		id_null = PG_ARGISNULL(first + ARG_USER);
	bool		possible = false;
	uint32		k;

	require_argument(fcinfo, first + ARG_MODEL, "model");
	require_argument(fcinfo, first + ARG_EXCLUDE_SEEN, "exclude_seen");
	require_argument(fcinfo, first + ARG_K, "k");
	k = k_argument(fcinfo, first + ARG_K);
	cold_start = cold_start_argument(fcinfo, first + ARG_COLD_START);
	result->cache = cache = cache_open(PG_GETARG_OID(first + ARG_MODEL));
	scored_rows_choose_type(result, cache, ALS_ITEMS, row_type, "als_recommend_as");
	if (!id_null)
	{
		id_conversion_init(&conversion, &cache->sides[ALS_USERS].type,
						   get_fn_expr_argtype(fcinfo->flinfo, first + ARG_USER),
						   "user", CurrentMemoryContext);
		possible = id_convert(&conversion,
							  PG_GETARG_DATUM(first + ARG_USER), &id);
		if (cache_replaced(cache))
			return;
	}

	recommendation.cache = cache;
	recommendation.excluded = idmap_create(CurrentMemoryContext,
										   &cache->sides[ALS_ITEMS].type);
	if (possible && !find_user(&recommendation, id,
							   PG_GETARG_BOOL(first + ARG_EXCLUDE_SEEN)))
		return;
	add_filters(fcinfo, first + ARG_EXCLUDE, first + ARG_CANDIDATES,
				&recommendation);
	if (cache_replaced(cache))
		return;

	if (recommendation.user != NULL)
		find_best(&recommendation, k, result);
	else if (cold_start == COLD_START_POPULAR)
		find_popular(&recommendation, k, result);
	else if (cold_start == COLD_START_ERROR)
		reject_cold_user(recommendation.cache, id, !possible);
}

/*
 * Computes als_recommend_for's result; first is the place of the model among
 * the arguments.
 */
static void
recommend_for(FunctionCallInfo fcinfo, int first, TupleDesc row_type,
			  ScoredRows *result)
{
	Recommendation recommendation = {0};
	ModelCache *cache;
	RowRatings	ratings;
	uint32		k;

	require_argument(fcinfo, first + FOR_MODEL, "model");
	require_argument(fcinfo, first + FOR_EXCLUDE_SEEN, "exclude_seen");
	require_argument(fcinfo, first + FOR_K, "k");
	k = k_argument(fcinfo, first + FOR_K);
	result->cache = cache = cache_open(PG_GETARG_OID(first + FOR_MODEL));
	scored_rows_choose_type(result, cache, ALS_ITEMS, row_type,
							"als_recommend_for_as");
	if (PG_ARGISNULL(first + FOR_ITEMS))
		return;
	row_ratings_arguments(fcinfo, first + FOR_ITEMS, first + FOR_RATINGS,
						  &cache->sides[ALS_ITEMS].type, &ratings);
	recommendation.cache = cache;
	recommendation.excluded = idmap_create(CurrentMemoryContext,
										   &cache->sides[ALS_ITEMS].type);
	if (PG_GETARG_BOOL(first + FOR_EXCLUDE_SEEN))
		for (uint64 i = 0; i < ratings.size; i++)
			idmap_add(recommendation.excluded, ratings.ratings[i].id);
	add_filters(fcinfo, first + FOR_EXCLUDE, first + FOR_CANDIDATES,
				&recommendation);
	if (cache_replaced(cache))
		return;
	recommendation.user = fold_in(cache, ALS_USERS, &ratings);
	if (cache_knows_user(cache, recommendation.user))
		find_best(&recommendation, k, result);
}

/* als_recommend(model, user, k, exclude_seen, exclude, ...) */
Datum
als_recommend(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 0, recommend);
}

/* als_recommend_as(item_type, model, user, k, exclude_seen, ...) */
Datum
als_recommend_as(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 1, recommend);
}

/* als_recommend_for(model, items, ratings, k, exclude_seen, ...) */
Datum
als_recommend_for(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 0, recommend_for);
}

/* als_recommend_for_as(item_type, model, items, ratings, k, ...) */
Datum
als_recommend_for_as(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 1, recommend_for);
}
