/*
 * metrics.c
 *	  How good factors are on a test set, by the leader and its workers.
 *
 * A batch of users is scored against a block of items at a time, which stays
 * in the cache meanwhile.  Scores are not kept: see core/rank_metrics.c.
 */
#include "compat.h"

#include <math.h>

#include "common/parallel.h"
#include "common/settings.h"
#include "evaluate/metrics.h"
#include "ratings/csr_blocks.h"
#include "utils/memutils.h"

#define BATCH_USERS 64
#define BATCH_BEST (1024 * 1024)	/* items of top k in a batch, roughly */

/* A user in the batch */
typedef struct BatchUser
{
	const float *factors;		/* NULL if not known */
	AlsRanking	rankings[RANKERS];
	UserMeasures measures;
	uint32	   *not_others;		/* relevant or left out, ascending */
	uint32		nnot_others;
	uint32		next;			/* of them, behind the items done */
	bool		ranked;			/* else only errors are measured */
} BatchUser;

/* One process's view */
typedef struct Measurer
{
	Measurement *measurement;
	const AlsKernels *kernels;
	BlockReader *readers[2];
	uint32		trained;		/* users of the training set */
	MemoryContext batch;		/* reset for every one */
	double	   *directions;		/* [factors] sum over a list */
} Measurer;

PGDLLEXPORT void als_metrics_worker(dsm_segment *segment, shm_toc *toc);

#define ST_SORT sort_items
#define ST_ELEMENT_TYPE uint32
#define ST_CHECK_FOR_INTERRUPTS
#define ST_COMPARE(a, b) (*(a) < *(b) ? -1 : *(a) > *(b))
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/* How many numbers of lists that items are in are counted */
static size_t
lists_of_items(const Measurement *measurement)
{
	return measurement->lists ? (size_t) measurement->nrankers *
		measurement->ncutoffs * measurement->nitems : 0;
}

size_t
metrics_lay_out(Measurement *layout)
{
	size_t		row = layout->stride * sizeof(float);
	size_t		size = 0;

	arena_reserve(&size, sizeof(Measurement));
	layout->users_offset =
		arena_reserve(&size, layout->users_limit * sizeof(MeasuredUser));
	layout->measures_offset =
		arena_reserve(&size, layout->users_limit * sizeof(UserMeasures));
	layout->lists_offset =
		arena_reserve(&size, layout->errors_only ? 0 :
					  (size_t) layout->users_limit * layout->nrankers *
					  layout->ncutoffs * sizeof(ListMeasures));
	layout->factors_offset[ALS_USERS] =
		arena_reserve(&size, layout->users_limit * row);
	layout->factors_offset[ALS_ITEMS] =
		arena_reserve(&size, layout->nitems * row);
	for (int set = 0; set < 2; set++)
		layout->items_offset[set] =
			arena_reserve(&size, layout->set_items[set] * sizeof(uint32));
	layout->order_offset = arena_reserve(&size, layout->nitems * sizeof(uint32));
	layout->by_order_offset =
		arena_reserve(&size, layout->lists ? layout->nitems * sizeof(uint32) : 0);
	layout->popularity_offset =
		arena_reserve(&size, layout->training_users > 0 ?
					  layout->nitems * sizeof(float) : 0);
	layout->recommended_offset =
		arena_reserve(&size, lists_of_items(layout) * sizeof(pg_atomic_uint32));
	return size;
}

Arena
metrics_begin(const Measurement *layout, bool shared)
{
	Measurement measurement = *layout;
	size_t		size = metrics_lay_out(&measurement);
	Arena		arena = arena_create(size, shared, "the evaluation");

	*(Measurement *) arena.address = measurement;
	pg_atomic_init_u32(&((Measurement *) arena.address)->next_user, 0);
	metrics_restart((Measurement *) arena.address);
	return arena;
}

void
metrics_restart(Measurement *measurement)
{
	size_t		size = lists_of_items(measurement);
	pg_atomic_uint32 *recommended = recommended_items(measurement, 0, 0);

	for (size_t i = 0; i < size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		pg_atomic_init_u32(&recommended[i], 0);
	}
	pg_atomic_write_u32(&measurement->next_user, 0);
}

/* Allocates an array that may be large. */
static void *
allocate(size_t count, size_t size)
{
	return MemoryContextAllocHuge(CurrentMemoryContext, Max(count, 1) * size);
}

/*
 * Adds to a user's errors what the predictions for a rating are off by.  The item's
 * factors are NULL, as the user's may be, if it is not known; the score means
 * nothing then.
 */
static void
add_errors(const Measurement *measurement, BatchUser *user, const float *item,
		   float rating, float score)
{
	UserMeasures *measures = &user->measures;
	double		value = measurement->feedback == ALS_EXPLICIT ? rating : rating > 0;
	double		predictions[PREDICTORS] = {score, measurement->mean};
	int			bias = measurement->factors;
	int			count = 1;

	if (measurement->biases)
	{
		predictions[PREDICT_BY_BIASES] = (double) measurement->mean +
			(user->factors != NULL ? user->factors[bias] : 0) +
			(item != NULL ? item[bias + 1] : 0);
		if (user->factors == NULL || item == NULL)
			predictions[PREDICT_BY_MODEL] = predictions[PREDICT_BY_BIASES];
		count = PREDICTORS;
	}
	measures->predicted++;
	for (int by = 0; by < count; by++)
	{
		double		error = value - predictions[by];

		measures->squared_error[by] += error * error;
		measures->absolute_error[by] += fabs(error);
	}
}

/*
 * Reads a user's row of the test set: measures errors, collects relevant
 * items.  Returns all the row's items, sorted, and their number in *count.
 */
static uint32 *
read_test_row(Measurer *me, BatchUser *user, uint32 row, uint32 *count)
{
	const Measurement *measurement = me->measurement;
	const float *factors = measured_factors(measurement, ALS_ITEMS);
	const uint32 *order = item_order(measurement);
	const uint32 *model_items = set_items(measurement, TEST_SET);
	AlsRows		rows = blocks_read_rows(me->readers[TEST_SET], row, row + 1);
	size_t		size = rows.start[1] - rows.start[0];
	uint32	   *items = allocate(size, sizeof(uint32));
	UserMeasures *measures = &user->measures;

	for (int by = 0; by < measurement->nrankers; by++)
		user->rankings[by].relevant = allocate(size, sizeof(AlsRankedItem));
	user->not_others = allocate(size, sizeof(uint32));
	for (size_t i = 0; i < size; i++)
	{
		float		rating = rows.entries[i].rating;
		uint32		item = model_items[rows.entries[i].column];
		const float *item_factors;
		float		score;

		CHECK_FOR_INTERRUPTS();
		if (item == NOT_THERE || user->factors == NULL)
		{
			if (measurement->by_known_biases)
				add_errors(measurement, user, item == NOT_THERE ? NULL : factors +
						   (size_t) item * measurement->stride, rating, 0);
			continue;
		}
		item_factors = factors + (size_t) item * measurement->stride;
		score = me->kernels->dot(measurement->stride, user->factors,
								 item_factors) + measurement->mean;
		add_errors(measurement, user, item_factors, rating, score);
		items[measures->pairs++] = item;
		if (rating >= measurement->relevant_from)
		{
			for (int by = 0; by < measurement->nrankers; by++)
			{
				AlsRankedItem relevant = {score, order[item]};

				if (by == RANK_BY_POPULARITY)
					relevant.score = item_popularity(measurement)[item];
				user->rankings[by].relevant[measures->relevant] = relevant;
			}
			user->not_others[user->nnot_others++] = item;
			measures->relevant++;
		}
	}
	sort_items(items, measures->pairs);
	*count = measures->pairs;
	return items;
}

/* Is a number in a sorted array? */
static bool
is_among(uint32 number, const uint32 *numbers, uint32 count)
{
	uint32		low = 0;
	uint32		high = count;

	while (low < high)
	{
		uint32		middle = low + (high - low) / 2;

		if (numbers[middle] < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && numbers[low] == number;
}

/*
 * Reads a user's row of the training set: its items are left out, but for
 * those of the test set.
 */
static void
read_training_row(Measurer *me, BatchUser *user, uint32 row,
				  const uint32 *test_items, uint32 ntest_items)
{
	const uint32 *model_items = set_items(me->measurement, TRAINING_SET);
	AlsRows		rows = blocks_read_rows(me->readers[TRAINING_SET], row, row + 1);
	size_t		size = rows.start[1] - rows.start[0];

	user->not_others = repalloc_huge(user->not_others,
									 Max(user->nnot_others + size, 1) *
									 sizeof(uint32));
	for (size_t i = 0; i < size; i++)
	{
		uint32		item = model_items[rows.entries[i].column];

		CHECK_FOR_INTERRUPTS();
		if (item != NOT_THERE && !is_among(item, test_items, ntest_items))
			user->not_others[user->nnot_others++] = item;
	}
}

/* How many items the longest list has that is measured */
static uint32
longest_list(const Measurement *measurement)
{
	return Min(measurement->cutoffs[measurement->ncutoffs - 1],
			   measurement->nitems);
}

/* Prepares a user of the batch. */
static void
begin_measuring(Measurer *me, BatchUser *user, const MeasuredUser *measured)
{
	const Measurement *measurement = me->measurement;
	uint32	   *test_items;
	uint32		ntest_items;

	memset(user, 0, sizeof(*user));
	if (measured->factors != NOT_THERE)
		user->factors = measured_factors(measurement, ALS_USERS) +
			(size_t) measured->factors * measurement->stride;
	test_items = read_test_row(me, user, measured->rows[TEST_SET], &ntest_items);
	user->ranked = user->measures.relevant > 0 && !measurement->errors_only;
	if (!user->ranked)
		return;
	if (measured->rows[TRAINING_SET] < me->trained)
		read_training_row(me, user, measured->rows[TRAINING_SET],
						  test_items, ntest_items);
	sort_items(user->not_others, user->nnot_others);

	for (int by = 0; by < measurement->nrankers; by++)
	{
		AlsRanking *ranking = &user->rankings[by];
		size_t		relevant = (size_t) user->measures.relevant + 1;

		ranking->nrelevant = user->measures.relevant;
		ranking->capacity = longest_list(measurement);
		ranking->scores = allocate(relevant, sizeof(float));
		ranking->beating = allocate(relevant, sizeof(uint32));
		ranking->best = allocate(ranking->capacity, sizeof(AlsRankedItem));
		als_ranking_begin(ranking, poll_interrupts);
	}
}

/* Ranks a block of items for one user. */
static void
rank_items(Measurer *me, BatchUser *user, uint32 first, uint32 count)
{
	const Measurement *measurement = me->measurement;
	float		scores[RANKERS][ALS_RANKING_PIECE];

	me->kernels->scores(measurement->stride, count,
						measured_factors(measurement, ALS_ITEMS) +
						(size_t) first * measurement->stride,
						user->factors, scores[RANK_BY_MODEL]);
	for (uint32 i = 0; i < count; i++)
		scores[RANK_BY_MODEL][i] += measurement->mean;
	if (measurement->nrankers > RANK_BY_POPULARITY)
		memcpy(scores[RANK_BY_POPULARITY], item_popularity(measurement) + first,
			   count * sizeof(float));
	for (; user->next < user->nnot_others &&
		 user->not_others[user->next] < first + count; user->next++)
		for (int by = 0; by < measurement->nrankers; by++)
			scores[by][user->not_others[user->next] - first] = NAN;
	for (int by = 0; by < measurement->nrankers; by++)
		als_ranking_add(&user->rankings[by], count, scores[by],
						item_order(measurement) + first);
}

/*
 * Adds the direction of an item's factors to the sum over a list; false if
 * they are zero and have none.
 */
static bool
add_direction(Measurer *me, uint32 item)
{
	const Measurement *measurement = me->measurement;
	const float *factors = measured_factors(measurement, ALS_ITEMS) +
		(size_t) item * measurement->stride;
	double		squares = 0;

	for (int i = 0; i < measurement->factors; i++)
		squares += (double) factors[i] * factors[i];
	if (squares == 0)
		return false;
	for (int i = 0; i < measurement->factors; i++)
		me->directions[i] += factors[i] / sqrt(squares);
	return true;
}

/*
 * Measures what a list is like apart from what is relevant.  The cosines of all
 * pairs come from the sum s of its directions, since s's is the sum over pairs.
 */
static void
measure_list(Measurer *me, AlsRanking *ranking, Ranker by, ListMeasures *lists)
{
	const Measurement *measurement = me->measurement;
	const float *popularity = item_popularity(measurement);
	double		information = 0;
	uint32		directed = 0;
	uint32		size = 0;

	als_heap_sort(ranking->best, ranking->nbest, poll_interrupts);
	memset(me->directions, 0, measurement->factors * sizeof(double));
	for (int cutoff = 0; cutoff < measurement->ncutoffs; cutoff++)
	{
		uint32		end = Min(measurement->cutoffs[cutoff], ranking->nbest);
		double		squares = 0;

		for (; size < end; size++)
		{
			uint32		order = ranking->best[size].order;
			uint32		item = items_by_order(measurement)[order];

			CHECK_FOR_INTERRUPTS();
			pg_atomic_fetch_add_u32(recommended_items(measurement, by, cutoff) + order, 1);
			if (measurement->training_users > 0)
				information += log2(measurement->training_users /
									(double) Max(popularity[item], 1));
			directed += add_direction(me, item);
		}
		for (int i = 0; i < measurement->factors; i++)
			squares += me->directions[i] * me->directions[i];
		lists[cutoff].novelty = measurement->training_users > 0 ?
			information / size : NAN;
		lists[cutoff].diversity = size > 1 ?
			1 - (squares - directed) / ((double) size * (size - 1)) : NAN;
	}
}

/* Measures a user whose items have been ranked. */
static void
measure_rankings(Measurer *me, BatchUser *user, uint32 index)
{
	const Measurement *measurement = me->measurement;

	for (int by = 0; by < measurement->nrankers; by++)
	{
		ListMeasures *lists = user_lists(measurement, index, by);

		for (int cutoff = 0; cutoff < measurement->ncutoffs; cutoff++)
			als_ranking_finish(&user->rankings[by],
							   measurement->cutoffs[cutoff],
							   &lists[cutoff].accuracy, poll_interrupts);
		if (measurement->lists)
			measure_list(me, &user->rankings[by], by, lists);
	}
}

/* Measures the users [first, last). */
static void
measure_batch(Measurer *me, uint32 first, uint32 last)
{
	Measurement *measurement = me->measurement;
	UserMeasures *measures = user_measures(measurement);
	BatchUser	users[BATCH_USERS];
	MemoryContext old = MemoryContextSwitchTo(me->batch);

	for (uint32 u = first; u < last; u++)
		begin_measuring(me, &users[u - first], &measured_users(measurement)[u]);

	for (uint32 item = 0; item < measurement->nitems; item += ALS_RANKING_PIECE)
	{
		CHECK_FOR_INTERRUPTS();
		for (uint32 u = 0; u < last - first; u++)
			if (users[u].ranked)
				rank_items(me, &users[u], item,
						   Min(ALS_RANKING_PIECE, measurement->nitems - item));
	}

	for (uint32 u = 0; u < last - first; u++)
	{
		if (users[u].ranked)
			measure_rankings(me, &users[u], first + u);
		measures[first + u] = users[u].measures;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(me->batch);
}

void
metrics_measure(Arena *arena, Arena *const sets[2])
{
	Measurement *measurement = (Measurement *) arena->address;
	uint32		best = Max(longest_list(measurement), 1) * measurement->nrankers;
	uint32		batch = Max(Min(BATCH_BEST / best, BATCH_USERS), 1);
	Measurer	me = {0};
	uint32		first;

	me.measurement = measurement;
	me.kernels = chosen_kernels();
	for (int set = 0; set < 2; set++)
		if (sets[set] != NULL)
			me.readers[set] = blocks_reader(sets[set], ALS_USERS);
	if (sets[TRAINING_SET] != NULL)
		me.trained = ((const RatingBlocks *) sets[TRAINING_SET]->address)->sides[ALS_USERS].nrows;
	me.batch = AllocSetContextCreate(CurrentMemoryContext, "als measuring",
									 ALLOCSET_DEFAULT_SIZES);
	me.directions = allocate(measurement->factors, sizeof(double));

	while ((first = pg_atomic_fetch_add_u32(&measurement->next_user, batch)) <
		   measurement->nusers)
		measure_batch(&me, first, Min(first + batch, measurement->nusers));

	for (int set = 0; set < 2; set++)
		if (me.readers[set] != NULL)
			blocks_reader_close(me.readers[set]);
	pfree(me.directions);
	MemoryContextDelete(me.batch);
}

/* What each process does: measures users until none is left. */
static void
measure(const ParallelProcess *process, Arena *const arenas[PARALLEL_ARENAS])
{
	Arena	   *const *sets = &arenas[1];

	for (int set = 0; set < 2 && !process->leader; set++)
		if (sets[set] != NULL)
			blocks_attach(sets[set]);
	metrics_measure(arenas[0], sets);
}

/* Entry point of a worker. */
void
als_metrics_worker(dsm_segment *segment, shm_toc *toc)
{
	parallel_work(toc, measure);
}

void
metrics_run(Arena *arena, Arena *const sets[2], int nworkers)
{
	Arena	   *const arenas[PARALLEL_ARENAS] = {arena, sets[0], sets[1]};

	parallel_run("als_metrics_worker", measure, arenas, nworkers);
}
