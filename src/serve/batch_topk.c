/*
 * batch_topk.c
 *	  The k best items for many users, by the leader and its workers.
 *
 * A batch of users goes through the index of the items together, so that a
 * block of it is in the L1 cache for all of them; a user leaves when no later
 * item can be among his best.
 */
#include "compat.h"

#include <float.h>
#include <math.h>

#include "common/parallel.h"
#include "common/settings.h"
#include "port/pg_bitutils.h"
#include "ratings/csr_blocks.h"
#include "serve/batch_lists.h"
#include "serve/batch_topk.h"
#include "utils/memutils.h"

#define COLUMNS 4				/* user, item, score, rank */

#define BATCH_USERS 64
#define LEAVING_BLOCKS 8		/* how often to see who may leave */

/* A user in the batch */
typedef struct BatchUser
{
	const float *factors;
	AlsQuery	query;
	AlsRankedItem *best;		/* [depth] a heap */
	uint32		depth;
	uint32		size;			/* of the heap */
	float		least;			/* score with which an item may still enter */
	float		least_product;	/* the same as what the index has to find */
	float		square;			/* |factors|^2, for cosines */
	uint32		own_row;		/* of items; NOT_THERE: none */
	uint64	   *seen;			/* bitmap of the items; NULL: none */
} BatchUser;

/* One process's view */
typedef struct TopKProcess
{
	BatchTopK  *job;
	const AlsIndex *index;
	const AlsKernels *kernels;
	BlockReader *seen;			/* NULL: nothing is left out */
	BatchUser  *users;			/* [BATCH_USERS] */
	BatchUser  *searching[BATCH_USERS]; /* those still looking */
	int			nsearching;
	uint64	   *bitmaps;		/* [BATCH_USERS x words] */
	size_t		words;			/* of a bitmap */

	/* where lists are chosen from the ranking */
	uint32		depth;			/* that comes first */
	uint32		batch;			/* users at a time */
	AlsRankedItem *rankings;	/* [batch x depth] */
	MemoryContext choosing;		/* of a user's list */
} TopKProcess;

PGDLLEXPORT void als_batch_topk_worker(dsm_segment *segment, shm_toc *toc);

Arena
batch_topk_begin(const BatchTopK *layout, size_t budget, bool shared)
{
	BatchTopK	job = *layout;
	size_t		row = job.stride * sizeof(float);
	size_t		result = job.k * sizeof(AlsRankedItem) + sizeof(uint32);
	size_t		size = 0;
	Arena		arena;

	job.round = Min(Max(budget / result, 1), job.nusers);
	arena_reserve(&size, sizeof(BatchTopK));
	job.users_offset = arena_reserve(&size, job.nusers * row);
	job.items_offset = arena_reserve(&size, job.nitems * row);
	job.index_offset =
		arena_reserve(&size, als_index_size(job.stride, job.nitems));
	if (job.similar)
	{
		job.squares_offset = arena_reserve(&size, job.nitems * sizeof(float));
		job.own_rows_offset = arena_reserve(&size, job.nusers * sizeof(uint32));
	}
	if (job.per_group > 0)
		job.groups_offset = arena_reserve(&size, job.nitems * sizeof(uint32));
	if (job.nboosts > 0)
	{
		job.boosted_offset = arena_reserve(&size, job.nboosts * sizeof(uint32));
		job.amounts_offset = arena_reserve(&size, job.nboosts * sizeof(double));
		job.has_boost_offset = arena_reserve(&size, batch_topk_words(&job) *
											 sizeof(uint64));
	}
	job.seen_rows_offset =
		arena_reserve(&size, job.nusers * sizeof(uint32));
	job.item_rows_offset =
		arena_reserve(&size, job.seen_items * sizeof(uint32));
	job.best_offset =
		arena_reserve(&size, (size_t) job.round * job.k *
					  sizeof(AlsRankedItem));
	job.sizes_offset = arena_reserve(&size, job.round * sizeof(uint32));

	arena = arena_create(size, shared, "the recommendations");
	*(BatchTopK *) arena.address = job;
	pg_atomic_init_u32(&((BatchTopK *) arena.address)->next_user, 0);
	return arena;
}

/* Is a bit of a bitmap set? */
static inline bool
has_bit(const uint64 *bitmap, uint32 bit)
{
	return bitmap[bit / 64] >> bit % 64 & 1;
}

/* Marks the items that a user has seen. */
static void
mark_seen(TopKProcess *me, BatchUser *user, uint32 row, uint64 *bitmap)
{
	const uint32 *items = seen_item_rows(me->job);
	AlsRows		rows = blocks_read_rows(me->seen, row, row + 1);

	memset(bitmap, 0, me->words * sizeof(uint64));
	for (size_t i = 0; i < rows.start[1] - rows.start[0]; i++)
	{
		uint32		item = items[rows.entries[i].column];

		if (item != NOT_THERE)
			bitmap[item / 64] |= UINT64CONST(1) << item % 64;
	}
	user->seen = bitmap;
}

/*
 * The inner product to look for if the score is to be at least so much.  Rows
 * that have been divided by their lengths have products that differ from the
 * cosine by rounding: a unit for each sum and a few for the rest.
 */
static inline float
product_of(const BatchTopK *job, float score)
{
	float		product = als_query_least(score, job->mean);

	return job->cosine ? product - 2 * (job->stride + 8) * FLT_EPSILON : product;
}

void
batch_topk_unit_row(int stride, const float *row, float square, float *unit)
{
	double		inverse = als_has_cosine(square) ? 1 / sqrt(square) : 0;

	for (int d = 0; d < stride; d++)
		unit[d] = (float) (row[d] * inverse);
}

/* Prepares the query for a user, in the form of the rows of the index. */
static void
prepare_query(const BatchTopK *job, BatchUser *user, const AlsKernels *kernels)
{
	float		unit[ALS_MAX_FACTORS + 32] pg_attribute_aligned(ALS_ALIGNMENT);

	if (!job->cosine)
	{
		als_query_prepare(job->stride, user->factors, &user->query);
		return;
	}
	user->square = kernels->dot(job->stride, user->factors, user->factors);
	batch_topk_unit_row(job->stride, user->factors, user->square, unit);
	als_query_prepare(job->stride, unit, &user->query);
}

/* Adds an item to a user's best, if it is one. */
static inline void
offer(const BatchTopK *job, BatchUser *user, AlsRankedItem scored)
{
	if (scored.score < user->least || scored.order == user->own_row ||
		(user->seen != NULL && has_bit(user->seen, scored.order)))
		return;
	als_heap_add(user->best, &user->size, user->depth, scored);
	if (user->size == user->depth)
	{
		user->least = user->best[0].score;
		user->least_product = product_of(job, user->least);
	}
}

/* Scores the items that have a boost: no limit tells what that can be. */
static void
score_boosted(const TopKProcess *me, BatchUser *user)
{
	const BatchTopK *job = me->job;

	for (uint32 i = 0; i < job->nboosts; i++)
	{
		uint32		item = batch_topk_boosted(job)[i];
		const float *row = batch_topk_items(job) +
			(size_t) item * job->stride;
		float		score = me->kernels->dot(job->stride, row, user->factors) +
			job->mean;
		AlsRankedItem scored = {0, item};

		CHECK_FOR_INTERRUPTS();
		scored.score = boosted_score(score, batch_topk_amounts(job)[i],
									 job->multiply);
		offer(job, user, scored);
	}
}

/* Begins a user's search for the best, so many, from such a score on. */
static void
begin_search(TopKProcess *me, uint32 number, BatchUser *user,
			 AlsRankedItem *best, uint32 depth, float min_score)
{
	BatchTopK  *job = me->job;

	user->factors = batch_topk_users(job) +
		(size_t) number * job->stride;
	prepare_query(job, user, me->kernels);
	user->best = best;
	user->depth = depth;
	user->size = 0;
	user->least = min_score;
	user->least_product = product_of(job, min_score);
	user->own_row = job->similar ? batch_topk_own_rows(job)[number] : NOT_THERE;
	user->seen = NULL;
	if (me->seen != NULL && seen_rows(job)[number] != NOT_THERE)
		mark_seen(me, user, seen_rows(job)[number],
				  me->bitmaps + (user - me->users) * me->words);
	score_boosted(me, user);
	me->searching[me->nsearching++] = user;
}

/* Scores the items of a block that a search has found. */
static inline void
score_found(TopKProcess *me, BatchUser *user, size_t block, uint64 found)
{
	BatchTopK  *job = me->job;

	for (; found != 0; found &= found - 1)
	{
		uint32		item = als_index_row(me->index, block,
										 pg_rightmost_one_pos64(found));
		const float *row = batch_topk_items(job) +
			(size_t) item * job->stride;
		AlsRankedItem scored = {me->kernels->dot(job->stride, row,
												 user->factors) +
		job->mean, item};

		/* it has come already */
		if (job->nboosts > 0 && has_bit(batch_topk_has_boost(job), item))
			continue;
		if (job->cosine)
		{
			float		square = batch_topk_squares(job)[item];

			if (!als_has_cosine(square) || !als_has_cosine(user->square))
				continue;
			scored.score = als_cosine(scored.score, square, user->square);
		}
		offer(job, user, scored);
	}
}

/* Searches a block for all who are searching, as many at once as can. */
static void
search_block(TopKProcess *me, size_t block)
{
	for (int first = 0; first < me->nsearching; first += ALS_INDEX_QUERIES)
	{
		int			n = Min(ALS_INDEX_QUERIES, me->nsearching - first);
		const AlsQuery *queries[ALS_INDEX_QUERIES];
		float		least[ALS_INDEX_QUERIES];
		uint64		found[ALS_INDEX_QUERIES];

		for (int i = 0; i < n; i++)
		{
			queries[i] = &me->searching[first + i]->query;
			least[i] = me->searching[first + i]->least_product;
		}
		als_index_search(me->index, me->kernels, block, n, queries, least,
						 found);
		for (int i = 0; i < n; i++)
			score_found(me, me->searching[first + i], block, found[i]);
	}
}

/* Drops those for whom neither this block nor a later one has anything. */
static void
let_leave(TopKProcess *me, size_t block)
{
	int			left = 0;

	for (int i = 0; i < me->nsearching; i++)
	{
		BatchUser  *user = me->searching[i];

		if (als_index_limit(me->index, block, &user->query) >=
			user->least_product)
			me->searching[left++] = user;
	}
	me->nsearching = left;
}

/* Searches for all who have begun. */
static void
search(TopKProcess *me)
{
	for (size_t block = 0;
		 block < als_index_blocks(me->index) && me->nsearching > 0;
		 block++)
	{
		CHECK_FOR_INTERRUPTS();
		if (block % LEAVING_BLOCKS == 0)
			let_leave(me, block);
		search_block(me, block);
	}
	me->nsearching = 0;
}

/*
 * Chooses a user's list from his ranking, from more of it if need be; returns
 * its size.
 */
static uint32
choose_list(TopKProcess *me, uint32 number, BatchUser *user)
{
	BatchTopK  *job = me->job;
	uint32		depth = me->depth;
	MemoryContext old = MemoryContextSwitchTo(me->choosing);
	AlsRankedItem *list;
	uint32		size;

	batch_topk_best(job, number, &list);
	for (;;)
	{
		size = batch_lists_choose(job, me->kernels, user->best, user->size,
								  list);
		MemoryContextReset(me->choosing);
		if (size == job->k || user->size < depth || depth == job->nitems)
			break;
		depth = Min(ranking_deeper(depth), job->nitems);
		begin_search(me, number, user,
					 MemoryContextAllocHuge(me->choosing, depth *
											sizeof(AlsRankedItem)),
					 depth, job->min_score);
		search(me);
		als_heap_sort(user->best, user->size, poll_interrupts);
	}
	MemoryContextSwitchTo(old);
	return size;
}

/* Finds the best for the users [first, last). */
static void
serve_batch(TopKProcess *me, uint32 first, uint32 last)
{
	BatchTopK  *job = me->job;
	uint32	   *sizes = batch_topk_at(job, job->sizes_offset);
	bool		choosing = batch_topk_chooses(job);

	me->nsearching = 0;
	for (uint32 u = first; u < last; u++)
	{
		AlsRankedItem *best = NULL;

		if (choosing)
			best = me->rankings + (u - first) * (size_t) me->depth;
		else
			batch_topk_best(job, u, &best);
		begin_search(me, u, &me->users[u - first], best,
					 choosing ? me->depth : job->k, job->min_score);
	}
	search(me);
	for (uint32 u = first; u < last; u++)
	{
		BatchUser  *user = &me->users[u - first];

		als_heap_sort(user->best, user->size, poll_interrupts);
		sizes[u - job->first] = choosing ? choose_list(me, u, user) : user->size;
	}
}

/* Makes room for rankings, of so many users that it is within work_mem. */
static void
begin_choosing(TopKProcess *me)
{
	BatchTopK  *job = me->job;
	size_t		ranking;

	me->depth = Min(ranking_depth(job->k, job->diversity), job->nitems);
	ranking = me->depth * sizeof(AlsRankedItem);
	me->batch = Min(Max((size_t) work_mem * 1024 / ranking, 1), BATCH_USERS);
	me->rankings = MemoryContextAllocHuge(CurrentMemoryContext,
										  me->batch * ranking);
	me->choosing = AllocSetContextCreate(CurrentMemoryContext, "als lists",
										 ALLOCSET_DEFAULT_SIZES);
}

/* What each process does: serves batches until none is left. */
static void
serve(const ParallelProcess *process, Arena *const arenas[PARALLEL_ARENAS])
{
	TopKProcess me = {0};
	uint32		first;

	me.job = (BatchTopK *) arenas[0]->address;
	me.index = batch_topk_at(me.job, me.job->index_offset);
	me.kernels = chosen_kernels();
	me.users = palloc(BATCH_USERS * sizeof(BatchUser));
	if (arenas[1] != NULL)
	{
		if (!process->leader)
			blocks_attach(arenas[1]);
		me.seen = blocks_reader(arenas[1], me.job->seen_side);
		me.words = batch_topk_words(me.job);
		me.bitmaps = MemoryContextAllocHuge(CurrentMemoryContext,
											BATCH_USERS * me.words *
											sizeof(uint64));
	}

	me.batch = BATCH_USERS;
	if (batch_topk_chooses(me.job))
		begin_choosing(&me);

	while ((first = me.job->first +
			pg_atomic_fetch_add_u32(&me.job->next_user, me.batch)) <
		   me.job->last)
		serve_batch(&me, first, Min(first + me.batch, me.job->last));

	if (me.rankings != NULL)
	{
		pfree(me.rankings);
		MemoryContextDelete(me.choosing);
	}
	if (me.seen != NULL)
	{
		blocks_reader_close(me.seen);
		pfree(me.bitmaps);
	}
	pfree(me.users);
}

/* Entry point of a worker. */
void
als_batch_topk_worker(dsm_segment *segment, shm_toc *toc)
{
	parallel_work(toc, serve);
}

/*
 * Finds the best for the users [first, first + round).  seen is what
 * blocks_build returns, by user, or NULL to leave nothing out.
 */
static void
run_round(Arena *arena, Arena *seen, uint32 first, int nworkers)
{
	BatchTopK  *job = (BatchTopK *) arena->address;
	Arena	   *const arenas[PARALLEL_ARENAS] = {arena, seen};

	job->first = first;
	job->last = first + Min(job->round, job->nusers - first);
	pg_atomic_write_u32(&job->next_user, 0);
	parallel_run("als_batch_topk_worker", serve, arenas, nworkers);
}

/* Adds the results of the last round to store; items are those of the rows' places. */
static void
put_round(const BatchTopK *job, const BatchTopKIds *ids, const uint32 *items,
		  Tuplestorestate *store, TupleDesc row_type)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "als rows of a round",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	for (uint32 user = job->first; user < job->last; user++)
	{
		AlsRankedItem *best;
		uint32		size = batch_topk_best(job, user, &best);
		Datum		values[COLUMNS];
		bool		nulls[COLUMNS] = {false};

		values[0] = id_convert_result(ids->user_conversion,
									  idmap_id(ids->users, user));
		for (uint32 i = 0; i < size; i++)
		{
			CHECK_FOR_INTERRUPTS();
			values[1] = id_convert_result(ids->item_conversion,
										  idmap_id(ids->items,
												   items[best[i].order]));
			values[2] = Float4GetDatum(best[i].score);
			values[3] = Int32GetDatum((int32) i + 1);
			tuplestore_putvalues(store, row_type, values, nulls);
		}
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

void
batch_topk_run_all(Arena *arena, Arena *seen, int nworkers,
				   const BatchTopKIds *ids, Tuplestorestate *store,
				   TupleDesc row_type)
{
	const BatchTopK *job = (const BatchTopK *) arena->address;
	uint32	   *items = MemoryContextAllocHuge(CurrentMemoryContext,
											   job->nitems * sizeof(uint32));

	/* a row of items is a place in the order of ids */
	for (uint32 i = 0; i < job->nitems; i++)
		items[ids->places[i]] = i;
	for (uint32 first = 0; first < job->nusers; first += job->round)
	{
		run_round(arena, seen, first, nworkers);
		put_round(job, ids, items, store, row_type);
	}
}
