/*
 * validation.c
 *	  Ratings set aside from a training, to measure its factors by.
 *
 * The set has ids of its own.  Its items are mapped to rows of the factors, its
 * users to the rows that they have among the users of the training, which are
 * at the same time those of their ratings in it, to be left out of rankings.
 * Those that only features are known of have rows behind these.
 */
#include "compat.h"

#include "model/factor_table.h"
#include "model/model.h"
#include "ratings/csr_blocks.h"
#include "train/validation.h"
#include "utils/memutils.h"

/* Rows of the training that a side's ids in the set have. */
static uint32 *
training_rows(const Ratings *ratings, const SideFeatures *features,
			  Ratings *held_out, AlsSide side)
{
	const RatedIds *trained = ratings_ids(ratings, side);
	uint32	   *rows = ratings_map_ids(held_out, side,
									   ratings_map(ratings, side), false);
	uint32		size = ratings_ids(held_out, side)->size;
	uint32	   *new_rows;

	for (uint32 i = 0; i < size; i++)
		if (rows[i] != NOT_THERE)
			rows[i] = trained->order[rows[i]];
	if (features == NULL || features->nnew == 0)
		return rows;
	new_rows = ratings_map_ids(held_out, side, features->new_map, false);
	for (uint32 i = 0; i < size; i++)
		if (new_rows[i] != NOT_THERE)
			rows[i] = features->nrows + features->new_places[new_rows[i]];
	pfree(new_rows);
	return rows;
}

/* Lists the users to measure, in the order of the set. */
static void
list_held_out_users(Validation *validation, const uint32 *rows, uint32 size)
{
	validation->users = MemoryContextAllocHuge(CurrentMemoryContext,
											   Max(size, 1) * sizeof(MeasuredUser));
	for (uint32 row = 0; row < size; row++)
	{
		MeasuredUser *user = &validation->users[validation->nusers];

		if (rows[row] == NOT_THERE)
			continue;
		user->factors = validation->nusers++;
		user->rows[TEST_SET] = row;
		user->rows[TRAINING_SET] = rows[row];
	}
}

Validation *
validation_begin(const TrainOptions *options, const Ratings *ratings,
				 SideFeatures *const features[2], const RatedIds *items,
				 double mean, Ratings *held_out, size_t budget, int nworkers)
{
	Validation *validation = palloc0(sizeof(Validation));
	uint32	   *users = training_rows(ratings, features[ALS_USERS], held_out,
									  ALS_USERS);

	validation->metric = options->validation.metric;
	validation->k = options->validation.k;
	validation->patience = options->validation.patience;
	validation->feedback = options->parameters.feedback;
	validation->mean = validation->feedback == ALS_EXPLICIT ? mean : 0;
	validation->items = training_rows(ratings, features[ALS_ITEMS], held_out,
									  ALS_ITEMS);
	validation->set_items = ratings_ids(held_out, ALS_ITEMS)->size;
	validation->nitems = items->size;
	validation->order = MemoryContextAllocHuge(CurrentMemoryContext,
											   validation->nitems * sizeof(uint32));
	id_places(idmap_type(ratings_map(ratings, ALS_ITEMS)), items->ids,
			  validation->nitems, validation->order);
	validation->ntrained = validation->nitems;
	validation->trained = MemoryContextAllocHuge(CurrentMemoryContext,
												 validation->ntrained * sizeof(uint32));
	for (uint32 i = 0; i < validation->ntrained; i++)
		validation->trained[i] = i;
	list_held_out_users(validation, users, ratings_ids(held_out, ALS_USERS)->size);
	pfree(users);
	validation->set = blocks_build(held_out, validation->feedback, budget,
								   nworkers);
	validation->shared = nworkers > 0;
	return validation;
}

/* The sizes of what is measured of a training with so many factors */
static Measurement
measurement_layout(const Validation *validation, int factors)
{
	Measurement layout = {0};

	layout.feedback = validation->feedback;
	layout.stride = serving_stride(validation->feedback, factors);
	layout.mean = validation->mean;
	layout.relevant_from = usual_relevant_from(validation->feedback,
											   validation->mean);
	layout.errors_only = metric_is_error(validation->metric);
	layout.factors = factors;
	layout.nrankers = 1;
	layout.ncutoffs = 1;
	layout.cutoffs[0] = validation->k;
	layout.nusers = layout.users_limit = validation->nusers;
	layout.nitems = validation->nitems;
	layout.set_items[TEST_SET] = validation->set_items;
	layout.set_items[TRAINING_SET] = validation->ntrained;
	return layout;
}

size_t
validation_size(const Validation *validation, int factors)
{
	Measurement layout = measurement_layout(validation, factors);

	return metrics_lay_out(&layout);
}

Arena
validation_arena(const Validation *validation, int factors, bool shared)
{
	Measurement layout = measurement_layout(validation, factors);
	Arena		arena = metrics_begin(&layout, shared);
	Measurement *measurement = (Measurement *) arena.address;

	memcpy(measured_users(measurement), validation->users,
		   validation->nusers * sizeof(MeasuredUser));
	memcpy(set_items(measurement, TEST_SET), validation->items,
		   validation->set_items * sizeof(uint32));
	memcpy(item_order(measurement), validation->order,
		   validation->nitems * sizeof(uint32));
	memcpy(set_items(measurement, TRAINING_SET), validation->trained,
		   validation->ntrained * sizeof(uint32));
	return arena;
}

/* Copies a row of factors in the form that serving wants. */
static void
take_row(const Measurement *measurement, AlsSide side, float *to,
		 const float *from, int rank)
{
	memset(to, 0, measurement->stride * sizeof(float));
	memcpy(to, from, rank * sizeof(float));
	if (measurement->feedback == ALS_EXPLICIT)
		serve_bias(to, rank - 1, side);
}

void
validation_take(Measurement *measurement, float *const factors[2], int rank)
{
	size_t		from_stride = als_stride(rank);
	size_t		to_stride = measurement->stride;
	const MeasuredUser *users = measured_users(measurement);
	const uint32 *items = set_items(measurement, TRAINING_SET);

	for (size_t u = 0; u < measurement->nusers; u++)
		take_row(measurement, ALS_USERS,
				 measured_factors(measurement, ALS_USERS) + u * to_stride,
				 factors[ALS_USERS] + users[u].rows[TRAINING_SET] * from_stride,
				 rank);
	for (size_t i = 0; i < measurement->set_items[TRAINING_SET]; i++)
		if (items[i] != NOT_THERE)
			take_row(measurement, ALS_ITEMS,
					 measured_factors(measurement, ALS_ITEMS) + items[i] * to_stride,
					 factors[ALS_ITEMS] + i * from_stride, rank);
}

void
validation_end(Validation *validation)
{
	arena_free(&validation->set);
}
