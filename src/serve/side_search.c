/*
 * side_search.c
 *	  The best rows of one side of a model for a row of the other.
 */
#include "compat.h"

#include <math.h>

#include "common/arena.h"
#include "common/arguments.h"
#include "common/settings.h"
#include "port/pg_bitutils.h"
#include "serve/fold_in.h"
#include "serve/live_features.h"
#include "serve/live_ratings.h"
#include "serve/side_search.h"

#define CACHE_LINE 16			/* floats */

void
side_search_init(SideSearch *search, ModelCache *cache, AlsSide side)
{
	memset(search, 0, sizeof(SideSearch));
	search->cache = cache;
	search->side = side;
	search->kernels = chosen_kernels();
	search->min_score = -INFINITY;
	search->excluded = idmap_create(CurrentMemoryContext,
									&cache->sides[side].type);
}

void
side_search_filters(SideSearch *search, FunctionCallInfo fcinfo, int exclude,
					int candidates)
{
	const char *what = side_names[search->side];

	if (!PG_ARGISNULL(exclude))
		add_ids_argument(fcinfo, exclude, "exclude", what, search->excluded);
	if (!PG_ARGISNULL(candidates))
	{
		search->candidates =
			idmap_create(CurrentMemoryContext,
						 &search->cache->sides[search->side].type);
		add_ids_argument(fcinfo, candidates, "candidates", what,
						 search->candidates);
	}
}

void
side_search_min_score(SideSearch *search, FunctionCallInfo fcinfo, int argument)
{
	search->min_score = min_score_argument(fcinfo, argument);
}

bool
side_search_for(SideSearch *search, Datum id, bool exclude_seen,
				const char *function)
{
	ModelCache *cache = search->cache;
	AlsSide		other = other_side(search->side);
	const float *row = search->fresh ? NULL : cache_lookup(cache, other, id);
	RowRatings	ratings = {0};
	RowFeatures features;

	if (cache_knows(cache, row))
	{
		size_t		bytes = cache->stride * sizeof(float);
		void	   *copy = allocate_aligned(CurrentMemoryContext, bytes);

		search->vectors = memcpy(copy, row, bytes);
		search->nvectors = 1;
		if (exclude_seen && cache->run.source != NULL)
			live_ratings_add_seen(cache, other, id, function, search->excluded);
		return !cache_replaced(cache);
	}
	if (cache->run.source != NULL)
		live_ratings_read(cache, other, id, true, function, &ratings);
	if (cache_replaced(cache))
		return false;
	live_features_read(cache, other, id, true, function, &features);
	if (cache_replaced(cache))
		return false;
	for (uint64 i = 0; i < ratings.size && exclude_seen; i++)
	{
		CHECK_FOR_INTERRUPTS();
		idmap_add(search->excluded, ratings.ratings[i].id);
	}
	/* rows that weigh nothing have been left out, but are seen */
	if (exclude_seen && ratings.size < ratings.capacity)
		live_ratings_add_seen(cache, other, id, function, search->excluded);
	if (cache_replaced(cache))
		return false;
	row = fold_in(cache, other, &ratings, features_prior(cache, other, &features));
	if (cache_knows(cache, row))
	{
		cache->counts.fold_ins++;
		search->vectors = row;
		search->nvectors = 1;
	}
	return true;
}

/* Is the row one that the filters let through? */
static inline bool
is_eligible(const SideSearch *search, Datum id)
{
	uint32		index;

	return !idmap_find(search->excluded, id, &index) &&
		(search->candidates == NULL ||
		 idmap_find(search->candidates, id, &index));
}

/*
 * Offers a row that has been scored, and its place in the image if that is where
 * it is from; those with a boost come by themselves.
 */
static inline void
offer(SideSearch *search, Datum id, float score, uint32 row)
{
	uint32		index;

	if (score < search->min_score || !topk_may_enter(search->best, score))
		return;
	if (!is_eligible(search, id) ||
		(search->boosts != NULL &&
		 idmap_find(search->boosts->items, id, &index)))
		return;
	topk_add(search->best, id, score, row);
}

/* The score of a row; false if it has none. */
static inline bool
score_of(const SideSearch *search, const float *row, float *score)
{
	const ModelCache *cache = search->cache;

	if (search->measure != NULL)
		return search->measure(search, row, score);
	*score = INFINITY;
	for (uint32 v = 0; v < search->nvectors; v++)
	{
		float		by = search->kernels->dot(cache->stride, row, search->vectors +
											  (size_t) v * cache->stride) +
			cache->run.mean_rating;

		*score = Min(*score, by);
	}
	return true;
}

/* Scores a row that is read from the table. */
static bool
score_row(Datum id, const float *row, void *arg)
{
	SideSearch *search = arg;
	float		score;

	if (score_of(search, row, &score))
		offer(search, id, score, NO_ROW);
	return true;
}

/*
 * Scores the candidates alone.  Looking one up costs as much as scoring a
 * dozen rows in sequence, so this is for few of them.
 */
static void
score_candidates(SideSearch *search)
{
	for (uint32 i = 0; i < idmap_size(search->candidates); i++)
	{
		Datum		id = idmap_id(search->candidates, i);
		const float *row = cache_lookup(search->cache, search->side, id);

		CHECK_FOR_INTERRUPTS();
		if (row != NULL)
			score_row(id, row, search);
	}
}

/*
 * Scores the rows that have a boost.  No limit tells what these can be, so they
 * come first, all of them.
 */
static void
score_boosted(SideSearch *search)
{
	Boosts	   *boosts = search->boosts;

	for (uint32 i = 0; i < idmap_size(boosts->items); i++)
	{
		Datum		id = idmap_id(boosts->items, i);
		const float *row = cache_lookup(search->cache, search->side, id);
		float		score;

		CHECK_FOR_INTERRUPTS();
		if (row == NULL || !score_of(search, row, &score))
			continue;
		score = boosted_score(score, boosts->amounts[i], boosts->multiply);
		if (score >= search->min_score &&
			topk_may_enter(search->best, score) && is_eligible(search, id))
			topk_add(search->best, id, score, NO_ROW);
	}
}

/* Offers one of the rows that are kept. */
static inline void
offer_kept(SideSearch *search, uint32 row, float score)
{
	const SideCache *side = &search->cache->sides[search->side];

	offer(search, image_id(side->image, &side->type, row), score, row);
}

/* Measures all rows, which are kept, one by one. */
static void
measure_kept(SideSearch *search)
{
	const SideCache *side = &search->cache->sides[search->side];

	for (uint32 row = 0; row < side->image->nrows; row++)
	{
		if (row % CACHE_BLOCK == 0)
			CHECK_FOR_INTERRUPTS();
		score_row(image_id(side->image, &side->type, row),
				  image_rows(side->image) + (size_t) row * search->cache->stride,
				  search);
	}
}

/* Scores all rows, which are kept, in blocks. */
static void
score_kept(SideSearch *search)
{
	ModelCache *cache = search->cache;
	const Image *image = cache->sides[search->side].image;
	uint32		size = image->nrows;
	float		scores[CACHE_BLOCK];
	float		by[CACHE_BLOCK];

	for (uint32 first = 0; first < size; first += CACHE_BLOCK)
	{
		uint32		count = Min(CACHE_BLOCK, size - first);

		for (uint32 v = 0; v < search->nvectors; v++)
		{
			CHECK_FOR_INTERRUPTS();
			search->kernels->scores(cache->stride, count,
									image_rows(image) +
									(size_t) first * cache->stride,
									search->vectors +
									(size_t) v * cache->stride,
									v == 0 ? scores : by);
			for (uint32 i = 0; v > 0 && i < count; i++)
				scores[i] = Min(scores[i], by[i]);
		}
		for (uint32 i = 0; i < count; i++)
			offer_kept(search, first + i,
					   scores[i] + cache->run.mean_rating);
	}
}

/* The rows of a block whose products with all vectors may be so much. */
static uint64
search_block(const AlsIndex *index, const AlsKernels *kernels, size_t block,
			 const AlsQuery *const *queries, uint32 nqueries, float least)
{
	float		leasts[ALS_INDEX_QUERIES];
	uint64		found = PG_UINT64_MAX;

	for (int i = 0; i < ALS_INDEX_QUERIES; i++)
		leasts[i] = least;
	for (uint32 first = 0; first < nqueries && found != 0;
		 first += ALS_INDEX_QUERIES)
	{
		int			n = Min(ALS_INDEX_QUERIES, nqueries - first);
		uint64		each[ALS_INDEX_QUERIES];

		als_index_search(index, kernels, block, n, queries + first, leasts, each);
		for (int i = 0; i < n; i++)
			found &= each[i];
	}
	return found;
}

/* Fetches the rows of a block that have been found, which lie anywhere. */
static inline void
fetch_ahead(const ModelCache *cache, const AlsIndex *index, size_t block,
			uint64 found, const float *rows)
{
	for (; found != 0; found &= found - 1)
	{
		const float *row = rows + (size_t) cache->stride *
			als_index_row(index, block, pg_rightmost_one_pos64(found));

		for (int d = 0; d < cache->stride; d += CACHE_LINE)
			__builtin_prefetch(row + d);
	}
}

/*
 * The same by way of an index: scores only rows that could enter the result.
 */
static void
search_kept(SideSearch *search, const AlsIndex *index)
{
	ModelCache *cache = search->cache;
	const float *rows = image_rows(cache->sides[search->side].image);
	float		mean = cache->run.mean_rating;
	uint32		nqueries = search->nvectors;
	AlsQuery   *memory = MemoryContextAllocHuge(CurrentMemoryContext,
												nqueries * sizeof(AlsQuery));
	const AlsQuery **queries = MemoryContextAllocHuge(CurrentMemoryContext,
													  nqueries * sizeof(AlsQuery *));

	for (uint32 v = 0; v < nqueries; v++)
	{
		CHECK_FOR_INTERRUPTS();
		als_query_prepare(cache->stride,
						  search->vectors + (size_t) v * cache->stride,
						  &memory[v]);
		queries[v] = &memory[v];
	}
	for (size_t block = 0;
		 block < als_index_blocks(index);
		 block++)
	{
		float		limit = INFINITY;
		float		least =
			als_query_least(Max(topk_least(search->best), search->min_score),
							mean);
		uint64		found;

		CHECK_FOR_INTERRUPTS();
		for (uint32 v = 0; v < nqueries; v++)
			limit = Min(limit, als_index_limit(index, block, queries[v]) + mean);
		if (limit < search->min_score || !topk_may_enter(search->best, limit))
			break;
		found = search_block(index, search->kernels, block, queries, nqueries,
							 least);
		fetch_ahead(cache, index, block, found, rows);
		for (; found != 0; found &= found - 1)
		{
			uint32		row = als_index_row(index, block,
											pg_rightmost_one_pos64(found));
			float		score;

			if (score_of(search, rows + (size_t) row * cache->stride, &score))
				offer_kept(search, row, score);
		}
	}
	pfree(queries);
	pfree(memory);
}

void
side_search_best(SideSearch *search, uint32 k, ScoredRows *result)
{
	ModelCache *cache = search->cache;

	if (search->candidates != NULL &&
		idmap_size(search->candidates) <
		cache_rows_limit(cache, search->side) / 16)
	{
		search->best =
			topk_create(&cache->sides[search->side].type,
						Min(k, idmap_size(search->candidates)));
		if (search->boosts != NULL)
			score_boosted(search);
		score_candidates(search);
	}
	else
	{
		bool		kept = cache_load(cache, search->side);

		search->best =
			topk_create(&cache->sides[search->side].type,
						Min(k, cache_rows_limit(cache, search->side)));
		if (search->boosts != NULL)
			score_boosted(search);
		if (kept)
		{
			const AlsIndex *index = search->measure != NULL ? NULL :
				cache_index(cache, search->side);

			if (search->measure != NULL)
				measure_kept(search);
			else if (index != NULL)
				search_kept(search, index);
			else
				score_kept(search);
		}
		else
			cache_scan(cache, search->side, score_row, search);
	}
	result->items = topk_finish(search->best, &result->size);
}
