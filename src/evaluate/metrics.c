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
	const float *factors;
	AlsRanking	ranking;
	UserMeasures measures;
	uint32	   *not_others;		/* relevant or left out, ascending */
	uint32		nnot_others;
	uint32		next;			/* of them, behind the items done */
} BatchUser;

/* One process's view */
typedef struct Measurer
{
	Measurement *measurement;
	const AlsKernels *kernels;
	BlockReader *readers[2];
	MemoryContext batch;		/* reset for every one */
} Measurer;

const char *const metric_names[METRICS] = {
	"rmse", "mae", "precision", "recall", "recall_capped", "map", "ndcg", "mrr",
	"hit_rate", "auc"
};

/* Where they are, by Metric */
static const size_t metric_offsets[METRICS] = {
	offsetof(MeasureSummary, rmse),
	offsetof(MeasureSummary, mae),
	offsetof(MeasureSummary, ranking.precision),
	offsetof(MeasureSummary, ranking.recall),
	offsetof(MeasureSummary, ranking.recall_capped),
	offsetof(MeasureSummary, ranking.average_precision),
	offsetof(MeasureSummary, ranking.ndcg),
	offsetof(MeasureSummary, ranking.reciprocal_rank),
	offsetof(MeasureSummary, ranking.hit),
	offsetof(MeasureSummary, ranking.auc)
};

PGDLLEXPORT void als_metrics_worker(dsm_segment *segment, shm_toc *toc);

#define ST_SORT sort_items
#define ST_ELEMENT_TYPE uint32
#define ST_CHECK_FOR_INTERRUPTS
#define ST_COMPARE(a, b) (*(a) < *(b) ? -1 : *(a) > *(b))
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

Arena
metrics_begin(const Measurement *layout, bool shared)
{
	Measurement measurement = *layout;
	size_t		row = measurement.stride * sizeof(float);
	size_t		size = 0;
	Arena		arena;

	arena_reserve(&size, sizeof(Measurement));
	measurement.users_offset =
		arena_reserve(&size, measurement.users_limit * sizeof(MeasuredUser));
	measurement.measures_offset =
		arena_reserve(&size, measurement.users_limit * sizeof(UserMeasures));
	measurement.factors_offset[ALS_USERS] =
		arena_reserve(&size, measurement.users_limit * row);
	measurement.factors_offset[ALS_ITEMS] =
		arena_reserve(&size, measurement.nitems * row);
	for (int set = 0; set < 2; set++)
		measurement.items_offset[set] =
			arena_reserve(&size, measurement.set_items[set] * sizeof(uint32));
	measurement.order_offset = arena_reserve(&size, measurement.nitems * sizeof(uint32));
	measurement.recommended_offset = arena_reserve(&size, measurement.nitems * sizeof(bool));

	arena = arena_create(size, shared, "the evaluation");
	*(Measurement *) arena.address = measurement;
	pg_atomic_init_u32(&((Measurement *) arena.address)->next_user, 0);
	metrics_restart((Measurement *) arena.address);
	return arena;
}

void
metrics_restart(Measurement *measurement)
{
	memset(recommended_items(measurement), false,
		   measurement->nitems * sizeof(bool));
	pg_atomic_write_u32(&measurement->next_user, 0);
}

/* Allocates an array that may be large. */
static void *
allocate(size_t count, size_t size)
{
	return MemoryContextAllocHuge(CurrentMemoryContext, Max(count, 1) * size);
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
	AlsRanking *ranking = &user->ranking;
	UserMeasures *measures = &user->measures;

	ranking->relevant = allocate(size, sizeof(AlsRankedItem));
	user->not_others = allocate(size, sizeof(uint32));
	for (size_t i = 0; i < size; i++)
	{
		float		rating = rows.entries[i].rating;
		uint32		item = model_items[rows.entries[i].column];
		float		score;
		double		error;

		if (item == NOT_THERE)
			continue;
		score = me->kernels->dot(measurement->stride, user->factors, factors +
								 (size_t) item * measurement->stride) +
			measurement->mean;
		error = measurement->feedback == ALS_EXPLICIT ?
			(double) rating - score : (rating > 0 ? 1.0 : 0.0) - score;
		measures->squared_error += error * error;
		measures->absolute_error += fabs(error);
		items[measures->pairs++] = item;
		if (rating >= measurement->relevant_from)
		{
			AlsRankedItem relevant = {score, order[item]};

			ranking->relevant[ranking->nrelevant++] = relevant;
			user->not_others[user->nnot_others++] = item;
		}
	}
	measures->relevant = ranking->nrelevant;
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

		if (item != NOT_THERE && !is_among(item, test_items, ntest_items))
			user->not_others[user->nnot_others++] = item;
	}
}

/* Prepares a user of the batch. */
static void
begin_measuring(Measurer *me, BatchUser *user, const MeasuredUser *measured)
{
	const Measurement *measurement = me->measurement;
	AlsRanking *ranking = &user->ranking;
	uint32	   *test_items;
	uint32		ntest_items;

	memset(user, 0, sizeof(*user));
	user->factors = measured_factors(measurement, ALS_USERS) +
		(size_t) measured->factors * measurement->stride;
	test_items = read_test_row(me, user, measured->rows[TEST_SET], &ntest_items);
	if (measurement->errors_only)
		ranking->nrelevant = 0;
	if (ranking->nrelevant == 0)
		return;
	if (measured->rows[TRAINING_SET] != NOT_THERE)
		read_training_row(me, user, measured->rows[TRAINING_SET],
						  test_items, ntest_items);
	sort_items(user->not_others, user->nnot_others);

	ranking->k = measurement->k;
	ranking->capacity = Min(ranking->k, measurement->nitems);
	ranking->scores = allocate((size_t) ranking->nrelevant + 1, sizeof(float));
	ranking->beating = allocate((size_t) ranking->nrelevant + 1, sizeof(uint32));
	ranking->best = allocate(ranking->capacity, sizeof(AlsRankedItem));
	als_ranking_begin(ranking, poll_interrupts);
}

/* Ranks a block of items for one user. */
static void
rank_items(Measurer *me, BatchUser *user, uint32 first, uint32 count)
{
	const Measurement *measurement = me->measurement;
	float		scores[ALS_RANKING_PIECE];

	me->kernels->scores(measurement->stride, count,
						measured_factors(measurement, ALS_ITEMS) +
						(size_t) first * measurement->stride,
						user->factors, scores);
	for (uint32 i = 0; i < count; i++)
		scores[i] += measurement->mean;
	while (user->next < user->nnot_others &&
		   user->not_others[user->next] < first + count)
		scores[user->not_others[user->next++] - first] = NAN;
	als_ranking_add(&user->ranking, count, scores,
					item_order(measurement) + first);
}

/* Measures the users [first, last). */
static void
measure_batch(Measurer *me, uint32 first, uint32 last)
{
	Measurement *measurement = me->measurement;
	UserMeasures *measures = user_measures(measurement);
	bool	   *recommended = recommended_items(measurement);
	BatchUser	users[BATCH_USERS];
	MemoryContext old = MemoryContextSwitchTo(me->batch);

	for (uint32 u = first; u < last; u++)
		begin_measuring(me, &users[u - first], &measured_users(measurement)[u]);

	for (uint32 item = 0; item < measurement->nitems; item += ALS_RANKING_PIECE)
	{
		CHECK_FOR_INTERRUPTS();
		for (uint32 u = 0; u < last - first; u++)
			if (users[u].ranking.nrelevant > 0)
				rank_items(me, &users[u], item,
						   Min(ALS_RANKING_PIECE, measurement->nitems - item));
	}

	for (uint32 u = 0; u < last - first; u++)
	{
		BatchUser  *user = &users[u];

		if (user->ranking.nrelevant > 0)
			als_ranking_finish(&user->ranking, &user->measures.ranking,
							   poll_interrupts);
		measures[first + u] = user->measures;
		/* several processes may set one, all to the same value */
		for (uint32 i = 0; i < user->ranking.nbest; i++)
			recommended[user->ranking.best[i].order] = true;
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(me->batch);
}

void
metrics_measure(Arena *arena, Arena *const sets[2])
{
	Measurement *measurement = (Measurement *) arena->address;
	uint32		best = Max(Min(measurement->k, measurement->nitems), 1);
	uint32		batch = Max(Min(BATCH_BEST / best, BATCH_USERS), 1);
	Measurer	me = {0};
	uint32		first;

	me.measurement = measurement;
	me.kernels = chosen_kernels();
	for (int set = 0; set < 2; set++)
		if (sets[set] != NULL)
			me.readers[set] = blocks_reader(sets[set], ALS_USERS);
	me.batch = AllocSetContextCreate(CurrentMemoryContext, "als measuring",
									 ALLOCSET_DEFAULT_SIZES);

	while ((first = pg_atomic_fetch_add_u32(&measurement->next_user, batch)) <
		   measurement->nusers)
		measure_batch(&me, first, Min(first + batch, measurement->nusers));

	for (int set = 0; set < 2; set++)
		if (me.readers[set] != NULL)
			blocks_reader_close(me.readers[set]);
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

/* Adds a user's measures to sums. */
static void
add_measures(AlsMeasures *sum, const AlsMeasures *user)
{
	sum->precision += user->precision;
	sum->recall += user->recall;
	sum->recall_capped += user->recall_capped;
	sum->average_precision += user->average_precision;
	sum->ndcg += user->ndcg;
	sum->reciprocal_rank += user->reciprocal_rank;
	sum->hit += user->hit;
	if (!isnan(user->auc))
		sum->auc += user->auc;
}

/* Makes sums over users means. */
static void
divide_measures(AlsMeasures *sum, double users, double auc_users)
{
	sum->precision /= users;
	sum->recall /= users;
	sum->recall_capped /= users;
	sum->average_precision /= users;
	sum->ndcg /= users;
	sum->reciprocal_rank /= users;
	sum->hit /= users;
	sum->auc /= auc_users;
}

void
metrics_summarize(const Measurement *measurement, MeasureSummary *summary)
{
	const UserMeasures *measures = user_measures(measurement);
	const bool *recommended = recommended_items(measurement);
	double		squared_error = 0;
	double		absolute_error = 0;
	uint64		auc_users = 0;
	uint64		covered = 0;

	memset(summary, 0, sizeof(*summary));
	for (uint32 u = 0; u < measurement->nusers; u++)
	{
		const UserMeasures *user = &measures[u];

		summary->pairs += user->pairs;
		squared_error += user->squared_error;
		absolute_error += user->absolute_error;
		if (user->relevant == 0)
			continue;
		summary->users++;
		summary->relevant += user->relevant;
		auc_users += !isnan(user->ranking.auc);
		add_measures(&summary->ranking, &user->ranking);
	}
	for (uint32 i = 0; i < measurement->nitems; i++)
		covered += recommended[i];

	/* what nobody has is divided by 0, which gives NaN */
	summary->rmse = sqrt(squared_error / summary->pairs);
	summary->mae = absolute_error / summary->pairs;
	divide_measures(&summary->ranking, summary->users, auc_users);
	summary->coverage = summary->users > 0 ?
		(double) covered / measurement->nitems : NAN;
}

double
metric_value(const MeasureSummary *summary, Metric metric)
{
	return *(const double *) ((const char *) summary + metric_offsets[metric]);
}
