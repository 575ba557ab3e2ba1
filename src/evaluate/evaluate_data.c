/*
 * evaluate_data.c
 *	  A model and a test set brought together, to be measured.
 *
 * Test and training ratings are read as those of a training are, with ids of
 * their own; those that the model knows are mapped to rows of its factors.
 */
#include "compat.h"

#include <math.h>

#include "access/xact.h"
#include "common/parallel.h"
#include "evaluate/evaluate_data.h"
#include "ratings/csr_blocks.h"
#include "ratings/source.h"
#include "ratings/source_ratings.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* Reads what the model was trained from. */
static Ratings *
read_model_source(Oid model, const ModelRun *run, size_t memory,
				  int workers)
{
	SourceReader reader = {"als_evaluate", get_rel_name(model),
	"exclude_seen => false or training => '...'"};
	RatingSource source = {
		.source = run->source,
		.user_column = run->user_column,
		.item_column = run->item_column
	};
	char	   *from;

	model_require_source(model, run,
						 "Name the training ratings with training => '...', or leave nothing out with exclude_seen => false.");

	source.reader = &reader;
	return source_read(CurrentMemoryContext, &source, memory, workers, &from);
}

/* Reads the training set that is named, which has the columns of the test set. */
static Ratings *
read_training(const EvaluateOptions *options, size_t memory)
{
	RatingSource source = options->test;
	char	   *from;

	source.source = options->training;
	source.rating_column = NULL;
	return source_read(CurrentMemoryContext, &source, memory, options->workers,
					   &from);
}

/* How many indices are NOT_THERE. */
static uint32
count_missing(const uint32 *indices, uint32 size)
{
	uint32		missing = 0;

	for (uint32 i = 0; i < size; i++)
		missing += indices[i] == NOT_THERE;
	return missing;
}

/* Collects the ids of the model's items. */
static void
number_item(Datum id, void *arg)
{
	idmap_add(((Evaluation *) arg)->items, id);
}

/* Copies an item's factors. */
static bool
copy_item_factors(Datum id, const float *row, void *arg)
{
	Measurement *measurement = ((Evaluation *) arg)->measurement;
	uint32		index;

	if (idmap_find(((Evaluation *) arg)->items, id, &index))
		memcpy(measured_factors(measurement, ALS_ITEMS) +
			   (size_t) index * measurement->stride, row,
			   measurement->stride * sizeof(float));
	return true;
}

/* Copies the factors of a user of the test set. */
static bool
copy_user_factors(Datum id, const float *row, void *arg)
{
	Evaluation *evaluation = arg;
	Measurement *measurement = evaluation->measurement;
	uint32		index;

	if (idmap_find(evaluation->users, id, &index))
	{
		memcpy(measured_factors(measurement, ALS_USERS) +
			   (size_t) index * measurement->stride, row,
			   measurement->stride * sizeof(float));
		evaluation->known[index] = true;
	}
	return true;
}

/* Fills in the place of every item in the order of ids. */
static void
order_items(uint32 *order, IdMap *items)
{
	uint32		size = idmap_size(items);
	Datum	   *ids = MemoryContextAllocHuge(CurrentMemoryContext,
											 Max(size, 1) * sizeof(Datum));

	for (uint32 i = 0; i < size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ids[i] = idmap_id(items, i);
	}
	id_places(idmap_type(items), ids, size, order);
	pfree(ids);
}

/* Fills in the items in the order of ids. */
static void
invert_order(Measurement *measurement)
{
	const uint32 *order = item_order(measurement);
	uint32	   *by_order = items_by_order(measurement);

	for (uint32 i = 0; i < measurement->nitems; i++)
	{
		CHECK_FOR_INTERRUPTS();
		by_order[order[i]] = i;
	}
}

/* Counts the users of the training set who have each item. */
static void
count_popularity(Measurement *measurement, const Arena *training,
				 const uint32 *items)
{
	const RatingBlocks *blocks = (const RatingBlocks *) training->address;
	const uint64 *start = blocks_row_start(blocks, ALS_ITEMS);
	float	   *popularity = item_popularity(measurement);

	memset(popularity, 0, measurement->nitems * sizeof(float));
	for (uint32 row = 0; row < measurement->set_items[TRAINING_SET]; row++)
	{
		CHECK_FOR_INTERRUPTS();
		if (items[row] != NOT_THERE)
			popularity[items[row]] = (float) (start[row + 1] - start[row]);
	}
}

/* The rating from which on an item is relevant. */
static float
choose_relevant_from(const EvaluateOptions *options, const ModelRun *run)
{
	if (options->has_relevant_from)
		return (float) options->relevant_from;
	return usual_relevant_from(run->feedback, run->mean_rating);
}

/*
 * Lists the users to measure: those of the test set that the model knows, and
 * the others if they are to be predicted for.
 * users says by set who the rows of its ratings are.
 */
static void
list_test_users(Evaluation *evaluation, uint32 *const users[2])
{
	uint32		ntest_rows = ratings_ids(evaluation->ratings[TEST_SET], ALS_USERS)->size;
	uint32		nusers = idmap_size(evaluation->users);
	uint32	   *training_rows = MemoryContextAllocHuge(CurrentMemoryContext,
													   Max(nusers, 1) * sizeof(uint32));
	MeasuredUser *measured = measured_users(evaluation->measurement);

	for (uint32 u = 0; u < nusers; u++)
		training_rows[u] = NOT_THERE;
	if (users[TRAINING_SET] != NULL && evaluation->options->exclude_seen)
	{
		uint32		size = ratings_ids(evaluation->ratings[TRAINING_SET], ALS_USERS)->size;

		for (uint32 row = 0; row < size; row++)
		{
			CHECK_FOR_INTERRUPTS();
			if (users[TRAINING_SET][row] != NOT_THERE)
				training_rows[users[TRAINING_SET][row]] = row;
		}
	}

	for (uint32 row = 0; row < ntest_rows; row++)
	{
		uint32		user = users[TEST_SET][row];
		MeasuredUser *next = &measured[evaluation->measurement->nusers];

		CHECK_FOR_INTERRUPTS();
		if (user == NOT_THERE || !evaluation->known[user])
		{
			evaluation->unknown_users++;
			if (!evaluation->options->by_known_biases)
				continue;
			user = NOT_THERE;
		}
		next->factors = user;
		next->rows[TEST_SET] = row;
		next->rows[TRAINING_SET] = user != NOT_THERE ? training_rows[user] : NOT_THERE;
		evaluation->measurement->nusers++;
	}
	pfree(training_rows);
}

/* Gathers all that is measured, and measures. */
static void
measure_all(Evaluation *evaluation)
{
	const EvaluateOptions *options = evaluation->options;
	ModelCache *cache = evaluation->cache;
	size_t		budget = (size_t) maintenance_work_mem * 1024 / 2;
	Measurement layout = {0};
	Arena	   *sets[2] = {NULL, NULL};
	uint32	   *users[2] = {NULL, NULL};
	uint32	   *items[2] = {NULL, NULL};
	int			nworkers;

	/* one for ids and factors: others may add rows, or delete them */
	Snapshot	snapshot = cache_snapshot(cache);

	/* what is sorted is not kept, be it private */
	MemoryContext blocks = AllocSetContextCreate(CurrentMemoryContext,
												 "als evaluation blocks",
												 ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = CurrentMemoryContext;

	Assert(evaluation->ratings[TEST_SET] != NULL);
	evaluation->users = idmap_create(CurrentMemoryContext,
									 &cache->sides[ALS_USERS].type);
	evaluation->items = idmap_create(CurrentMemoryContext,
									 &cache->sides[ALS_ITEMS].type);
	cache_scan_ids(cache, ALS_ITEMS, snapshot, number_item, evaluation);
	nworkers = parallel_workers(options->workers,
								(double) ratings_ids(evaluation->ratings[TEST_SET], ALS_USERS)->size *
								idmap_size(evaluation->items) * cache->stride);

	for (int set = 0; set < 2; set++)
	{
		Ratings    *ratings = evaluation->ratings[set];

		if (ratings == NULL)
			continue;
		/* ids first, since sorting uses the ratings up */
		users[set] = ratings_map_ids(ratings, ALS_USERS, evaluation->users,
									 set == TEST_SET);
		items[set] = ratings_map_ids(ratings, ALS_ITEMS, evaluation->items,
									 false);
		layout.set_items[set] = ratings_ids(ratings, ALS_ITEMS)->size;
		MemoryContextSwitchTo(blocks);
		evaluation->sets[set] = blocks_build(ratings, cache->run.feedback,
											 budget, nworkers);
		MemoryContextSwitchTo(old);
		sets[set] = &evaluation->sets[set];
	}
	evaluation->known = palloc_extended(Max(idmap_size(evaluation->users), 1) *
										sizeof(bool),
										MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	evaluation->unknown_items = count_missing(items[TEST_SET],
											  layout.set_items[TEST_SET]);
	evaluation->test_pairs =
		((RatingBlocks *) evaluation->sets[TEST_SET].address)->nratings;

	layout.feedback = cache->run.feedback;
	layout.stride = cache->stride;
	layout.mean = cache->run.mean_rating;
	layout.biases = cache->run.feedback == ALS_EXPLICIT && cache->run.biases;
	layout.by_known_biases = options->by_known_biases;
	layout.relevant_from = choose_relevant_from(options, &cache->run);
	layout.factors = cache->run.factors;
	layout.ncutoffs = options->ncutoffs;
	memcpy(layout.cutoffs, options->cutoffs, sizeof(layout.cutoffs));
	layout.lists = options->lists;
	if (options->lists && sets[TRAINING_SET] != NULL)
		layout.training_users = ratings_ids(evaluation->ratings[TRAINING_SET],
											ALS_USERS)->size;
	layout.nrankers = layout.training_users > 0 ? RANKERS : 1;
	layout.users_limit = ratings_ids(evaluation->ratings[TEST_SET], ALS_USERS)->size;
	layout.nitems = idmap_size(evaluation->items);
	evaluation->arena = metrics_begin(&layout, nworkers > 0);
	evaluation->measurement = (Measurement *) evaluation->arena.address;
	for (int set = 0; set < 2; set++)
		if (sets[set] != NULL)
			memcpy(set_items(evaluation->measurement, set), items[set],
				   layout.set_items[set] * sizeof(uint32));
	cache_scan_snapshot(cache, ALS_ITEMS, snapshot, copy_item_factors, evaluation);
	cache_scan_snapshot(cache, ALS_USERS, snapshot, copy_user_factors, evaluation);
	UnregisterSnapshot(snapshot);
	order_items(item_order(evaluation->measurement), evaluation->items);
	if (layout.lists)
		invert_order(evaluation->measurement);
	if (layout.training_users > 0)
		count_popularity(evaluation->measurement, sets[TRAINING_SET],
						 items[TRAINING_SET]);
	list_test_users(evaluation, users);

	metrics_run(&evaluation->arena, sets, nworkers);
	for (int set = 0; set < 2; set++)
		if (sets[set] != NULL)
			arena_free(sets[set]);
	MemoryContextDelete(blocks);
}

Evaluation *
evaluate(const EvaluateOptions *options)
{
	Evaluation *evaluation = palloc0(sizeof(Evaluation));
	size_t		memory = blocks_triplet_memory((size_t) maintenance_work_mem * 1024 / 2, false);
	ModelCache *cache;
	char	   *from;

	PreventCommandIfParallelMode("als_evaluate()");
	evaluation->options = options;
	cache = cache_open_run(options->model, options->run);
	if (options->by_known_biases)
		model_require_biases(options->model, &cache->run);
	evaluation->ratings[TEST_SET] = source_read(CurrentMemoryContext,
												&options->test, memory,
												options->workers, &from);
	if (options->exclude_seen || (options->lists && options->training != NULL))
		evaluation->ratings[TRAINING_SET] = options->training ?
			read_training(options, memory) :
			read_model_source(options->model, &cache->run, memory,
							  options->workers);
	/* reading may have changed the model */
	evaluation->cache = cache_open_run(options->model, options->run);
	if (options->by_known_biases)
		model_require_biases(options->model, &evaluation->cache->run);

	measure_all(evaluation);
	return evaluation;
}

void
evaluation_end(Evaluation *evaluation)
{
	arena_free(&evaluation->arena);
}
