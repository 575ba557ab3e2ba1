/*
 * better.c
 *	  Is a run that has been trained better than the one that serves?
 *
 * Both are measured on the ratings that the training has set aside, of the users
 * and among the items that both know; neither recommends what a user has in the
 * ratings that were trained from.  Users are paired, as als_compare does: what is
 * easy or hard for a user is so for both.
 */
#include "compat.h"

#include <math.h>

#include "common/parallel.h"
#include "common/progress.h"
#include "model/model_cache.h"
#include "train/better.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* The run that serves, and what the training has in common with it */
typedef struct Serving
{
	ModelCache *cache;
	const Ratings *ratings;		/* of the training */
	SideFeatures *const *features;	/* by AlsSide */
	AlsSide		side;			/* that is read */
	uint32	   *places[2];		/* by AlsSide, [rows of the training]: among
								 * what is measured, or NOT_THERE */
	Measurement *measurement;	/* of it; NULL while ids are read */
} Serving;

/* How many users or items the training has factors of */
static uint32
trained_rows(const Serving *serving, AlsSide side)
{
	const SideFeatures *features = serving->features[side];

	return ratings_ids(serving->ratings, side)->size +
		(features == NULL ? 0 : features->nnew);
}

/* The place of an id that is read, NULL if the training does not know it. */
static uint32 *
find_place(const Serving *serving, Datum id)
{
	AlsSide		side = serving->side;
	uint32		arrival;
	uint32		row;

	if (idmap_find(ratings_map(serving->ratings, side), id, &arrival))
		row = ratings_ids(serving->ratings, side)->order[arrival];
	else
		row = features_new_row(serving->features[side], id);
	return row == NOT_THERE ? NULL : &serving->places[side][row];
}

/* Marks an id that both know. */
static void
mark_known(Datum id, void *arg)
{
	uint32	   *place = find_place(arg, id);

	if (place != NULL)
		*place = 0;
}

/* Takes over a row of factors, if it is measured. */
static bool
take_served(Datum id, const float *row, void *arg)
{
	const Serving *serving = arg;
	const Measurement *measurement = serving->measurement;
	const uint32 *place = find_place(serving, id);

	if (place != NULL && *place != NOT_THERE)
		memcpy(measured_factors(measurement, serving->side) +
			   (size_t) *place * measurement->stride, row,
			   measurement->stride * sizeof(float));
	return true;
}

/* Finds the users and items of the training that the run that serves knows. */
static void
find_known(Serving *serving, Snapshot snapshot)
{
	for (int side = 0; side < 2; side++)
	{
		uint32		size = trained_rows(serving, side);

		serving->side = side;
		serving->places[side] = MemoryContextAllocHuge(CurrentMemoryContext,
													   size * sizeof(uint32));
		for (uint32 row = 0; row < size; row++)
			serving->places[side][row] = NOT_THERE;
		cache_scan_ids(serving->cache, side, snapshot, mark_known, serving);
	}
}

/* Numbers the users that are measured, in their order; others have no place. */
static void
number_users(Serving *serving, Validation *common)
{
	const MeasuredUser *users = common->users;
	uint32		size = trained_rows(serving, ALS_USERS);
	uint32	   *places = MemoryContextAllocHuge(CurrentMemoryContext,
												size * sizeof(uint32));
	uint32		nusers = 0;

	for (uint32 row = 0; row < size; row++)
		places[row] = NOT_THERE;
	common->users = MemoryContextAllocHuge(CurrentMemoryContext,
										   Max(common->nusers, 1) * sizeof(MeasuredUser));
	for (uint32 u = 0; u < common->nusers; u++)
	{
		uint32		row = users[u].rows[TRAINING_SET];

		if (serving->places[ALS_USERS][row] == NOT_THERE)
			continue;
		common->users[nusers] = users[u];
		common->users[nusers].factors = places[row] = nusers;
		nusers++;
	}
	common->nusers = nusers;
	serving->places[ALS_USERS] = places;
}

/* Numbers the items that both know, in the order of ids. */
static void
number_items(Serving *serving, Validation *common)
{
	uint32	   *places = serving->places[ALS_ITEMS];
	uint32		size = common->nitems;
	uint32	   *by_order = MemoryContextAllocHuge(CurrentMemoryContext,
												  size * sizeof(uint32));
	const uint32 *items = common->items;
	uint32		nitems = 0;

	for (uint32 row = 0; row < size; row++)
		by_order[common->order[row]] = row;
	common->order = MemoryContextAllocHuge(CurrentMemoryContext,
										   size * sizeof(uint32));
	for (uint32 i = 0; i < size; i++)
		if (places[by_order[i]] != NOT_THERE)
		{
			common->order[nitems] = nitems;
			places[by_order[i]] = nitems++;
		}
	common->nitems = nitems;
	common->trained = places;
	common->items = MemoryContextAllocHuge(CurrentMemoryContext,
										   Max(common->set_items, 1) * sizeof(uint32));
	for (uint32 i = 0; i < common->set_items; i++)
		common->items[i] = items[i] == NOT_THERE ? NOT_THERE : places[items[i]];
	pfree(by_order);
}

/* What each user is worth to a run whose factors have been taken over. */
static double *
measure(const TrainOptions *options, const TrainInput *input, Arena *arena)
{
	Arena	   *const sets[2] = {
		[TEST_SET] = &input->validation->set,
		[TRAINING_SET] = (Arena *) &input->blocks
	};
	Measurement *measurement = (Measurement *) arena->address;
	double	   *values = MemoryContextAllocHuge(CurrentMemoryContext,
												Max(measurement->nusers, 1) * sizeof(double));

	metrics_run(arena, sets,
				parallel_workers(options->workers,
								 (double) measurement->nusers *
								 measurement->nitems * measurement->stride));
	metrics_user_values(measurement, input->validation->metric, 0, 0, NULL,
						values);
	arena_free(arena);
	return values;
}

bool
is_better(const ModelTarget *target, const TrainOptions *options,
		  TrainInput *input, const TrainerResult *result)
{
	Serving		serving = {.ratings = input->ratings,.features = input->features};
	Validation	common = *input->validation;
	RunComparison *compared = &input->compared;
	bool		shared = arena_is_shared(&input->blocks);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "als comparison",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	AlsEstimate difference;
	Snapshot	snapshot;
	double	   *values;
	double	   *others;
	Arena		arena;

	progress_phase(PROGRESS_VALIDATING);
	serving.cache = cache_open(target->model);
	snapshot = cache_snapshot(serving.cache);
	find_known(&serving, snapshot);
	number_users(&serving, &common);
	number_items(&serving, &common);

	arena = validation_arena(&common, options->parameters.factors, shared);
	validation_take((Measurement *) arena.address, result->factors,
					result->rank);
	values = measure(options, input, &arena);

	arena = validation_arena(&common, serving.cache->run.factors, shared);
	serving.measurement = (Measurement *) arena.address;
	serving.measurement->mean = serving.cache->run.mean_rating;
	for (int side = 0; side < 2; side++)
	{
		serving.side = side;
		cache_scan_snapshot(serving.cache, side, snapshot, take_served,
							&serving);
	}
	UnregisterSnapshot(snapshot);
	others = measure(options, input, &arena);

	difference = als_estimate_difference(values, others, common.nusers);
	compared->run = target->last.run;
	compared->value = als_estimate_mean(values, common.nusers).value;
	compared->other = als_estimate_mean(others, common.nusers).value;
	compared->standard_error = difference.standard_error;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return metric_better(common.metric, difference.value, 0);
}
