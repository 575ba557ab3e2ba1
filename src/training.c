/*
 * training.c
 *	  A training from its starting factors to its last: memory, workers and
 *	  errors.
 *
 * All that the participants share lies in one area: a header, the factors of
 * both sides and the workspace that phases hand over.  Without workers it is
 * private memory and the barriers do nothing.  The ratings lie in an area of
 * their own, see blocks.c.
 */
#include "compat.h"

#include <math.h>

#include "access/parallel.h"
#include "access/xact.h"
#include "bulk.h"
#include "participant.h"
#include "pgstat.h"
#include "training.h"
#include "progress.h"
#include "settings.h"
#include "utils/memutils.h"
#include "validation.h"

/* Keys of the parallel context's table of contents */
#define KEY_HANDLES 1

/* The segments that a worker maps */
typedef struct TrainingHandles
{
	dsm_handle	ratings;
	dsm_handle	shared;
	dsm_handle	held_out;		/* DSM_HANDLE_INVALID: no validation */
	dsm_handle	measurement;
} TrainingHandles;

struct Training
{
	TrainingAreas areas;
	TrainingShared *shared;
	int			nworkers;		/* asked for */
	int			launched;
};

PGDLLEXPORT void als_training_worker(dsm_segment *segment, shm_toc *toc);

Training *
training_begin(const TrainingParameters *parameters, Area *ratings,
			   const Validation *validation, int nworkers)
{
	const RatingBlocks *blocks = (const RatingBlocks *) ratings->address;
	bool		explicit = parameters->feedback == ALS_EXPLICIT;
	int			rank = parameters->factors + (explicit ? 1 : 0);
	size_t		stride = als_stride(rank);
	size_t		nrows[2] = {blocks->sides[ALS_USERS].nrows,
	blocks->sides[ALS_ITEMS].nrows};
	size_t		most_rows = Max(nrows[ALS_USERS], nrows[ALS_ITEMS]);
	size_t		most_blocks = Max(blocks->sides[ALS_USERS].nblocks,
								  blocks->sides[ALS_ITEMS].nblocks);
	size_t		size = 0;
	TrainingShared layout = {0};
	TrainingShared *shared;
	Training   *training = palloc0(sizeof(Training));

	layout.parameters = *parameters;
	layout.rank = rank;
	layout.mean = explicit ? blocks->mean : 0;

	area_reserve(&size, sizeof(TrainingShared));
	layout.losses_offset = area_reserve(&size, parameters->iterations * sizeof(double));
	for (int side = 0; side < 2; side++)
		layout.factors_offset[side] =
			area_reserve(&size, nrows[side] * stride * sizeof(float));
	if (validation != NULL)
	{
		layout.validating = true;
		layout.metric = validation->metric;
		layout.patience = validation->patience;
		layout.curve_offset = area_reserve(&size, parameters->iterations * sizeof(double));
		for (int side = 0; side < 2; side++)
			layout.best_offset[side] =
				area_reserve(&size, nrows[side] * stride * sizeof(float));
	}
	if (needs_preparation(parameters))
		layout.prepared_offset = area_reserve(&size, most_rows * stride * sizeof(float));
	if (explicit)
		layout.bias_offset = area_reserve(&size, most_rows * sizeof(float));
	else
	{
		uint32		length;
		uint32		ranges = gram_ranges(most_rows, stride, &length);

		layout.base_offset = area_reserve(&size, stride * stride * sizeof(float));
		layout.base_factor_offset = area_reserve(&size, stride * stride * sizeof(float));
		layout.spectrum_offset = area_reserve(&size, stride * sizeof(float));
		layout.grams_offset = area_reserve(&size, (size_t) ranges * rank * rank *
									  sizeof(double));
	}
	layout.block_losses_offset = area_reserve(&size, most_blocks * sizeof(double));
	layout.block_penalties_offset = area_reserve(&size, most_blocks * sizeof(double));

	training->areas.ratings = *ratings;
	training->nworkers = nworkers;
	training->areas.shared = area_create(size, nworkers > 0, "the factors");
	if (validation != NULL)
	{
		training->areas.held_out = validation->set;
		training->areas.measurement = validation_area(validation,
													  parameters->factors,
													  nworkers > 0);
	}
	training->shared = shared = (TrainingShared *) training->areas.shared.address;
	*shared = layout;
	SpinLockInit(&shared->mutex);
	ConditionVariableInit(&shared->started);
	pg_atomic_init_u32(&shared->next_gram, 0);
	pg_atomic_init_u32(&shared->next_prepare, 0);
	pg_atomic_init_u32(&shared->next_solve, 0);

	/* users are solved first: their starting values are those of CG */
	zero_large(side_factors(shared, ALS_USERS),
			   nrows[ALS_USERS] * stride * sizeof(float));
	als_initial_factors((uint64) parameters->seed, ALS_ITEMS,
						parameters->factors, rank, 0, nrows[ALS_ITEMS],
						side_factors(shared, ALS_ITEMS), poll_interrupts);
	if (parameters->solver == ALS_NONNEGATIVE)
		for (size_t r = 0; r < nrows[ALS_ITEMS]; r++)
		{
			float	   *row = side_factors(shared, ALS_ITEMS) + r * stride;

			CHECK_FOR_INTERRUPTS();
			for (size_t i = 0; i < stride; i++)
				row[i] = fabsf(row[i]);
		}
	return training;
}

/* Maps sorted ratings in a worker. */
static Area
attach_ratings(dsm_handle handle)
{
	Area		area = area_attach(handle);
	RatingBlocks *blocks = (RatingBlocks *) area.address;

	if (blocks->spilled)
		SharedFileSetAttach(&blocks->fileset, area.segment);
	return area;
}

/* Entry point of a worker. */
void
als_training_worker(dsm_segment *segment, shm_toc *toc)
{
	TrainingHandles *handles = shm_toc_lookup(toc, KEY_HANDLES, false);
	TrainingAreas areas = {0};
	TrainingShared *shared;
	Participant me;

	areas.ratings = attach_ratings(handles->ratings);
	areas.shared = area_attach(handles->shared);
	if (handles->measurement != DSM_HANDLE_INVALID)
	{
		areas.held_out = attach_ratings(handles->held_out);
		areas.measurement = area_attach(handles->measurement);
	}
	shared = (TrainingShared *) areas.shared.address;
	participant_init(&me, &areas, false);

	/* the barrier is of use once the leader has counted its participants */
	ConditionVariablePrepareToSleep(&shared->started);
	for (;;)
	{
		bool		started;

		SpinLockAcquire(&shared->mutex);
		started = shared->participants > 0;
		SpinLockRelease(&shared->mutex);
		if (started)
			break;
		ConditionVariableSleep(&shared->started, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();

	participant_run(&me);
	area_free(&areas.ratings);
	area_free(&areas.shared);
	area_free(&areas.held_out);
	area_free(&areas.measurement);
}

/* Can workers map all that there is of a training? */
static bool
workers_possible(const TrainingAreas *areas, bool validating)
{
	return area_is_shared(&areas->ratings) && area_is_shared(&areas->shared) &&
		(!validating || (area_is_shared(&areas->held_out) &&
						 area_is_shared(&areas->measurement)));
}

/* Lets the participants begin. */
static void
start_participants(TrainingShared *shared, int participants)
{
	BarrierInit(&shared->barrier, participants);
	SpinLockAcquire(&shared->mutex);
	shared->participants = participants;
	SpinLockRelease(&shared->mutex);
	ConditionVariableBroadcast(&shared->started);
}

void
training_failure(const Training *training, const char **message,
				 char **detail)
{
	const TrainingShared *shared = training->shared;
	bool		user = shared->failed_side == ALS_USERS;
	const char *row = user ? "a user" : "an item";

	if (shared->failure == ALS_NOT_FINITE)
	{
		*message = "training does not converge to finite factors";
		*detail = psprintf("The factors of %s are out of the range of type real.",
						   row);
	}
	else if (shared->failure == ALS_NOT_OPTIMAL)
	{
		*message = "training does not find nonnegative factors";
		*detail = psprintf("The normal equations of %s are too close to singular.",
						   row);
	}
	else
	{
		*message = "the normal equations are singular";
		*detail = shared->failed_row < 0 ?
			psprintf("The Gram matrix of the %s is singular to double precision.",
					 user ? "users" : "items") :
			psprintf("Those of %s are singular to double precision.", row);
	}
}

void
training_raise(const Training *training)
{
	const TrainingShared *shared = training->shared;
	double		regularization = shared->parameters.regularization;
	const char *message;
	char	   *detail;

	training_failure(training, &message, &detail);
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("%s", message),
			 errdetail("%s", detail),
			 shared->failure == ALS_NOT_FINITE ?
			 errhint("Scale the ratings down, lower alpha or raise regularization.") :
			 shared->failure != ALS_NOT_OPTIMAL && shared->failed_row < 0 ?
			 errhint("Raise regularization above %g, or train fewer factors than there are users and items.",
					 regularization) :
			 errhint("Raise regularization above %g.", regularization)));
}

bool
training_run(Training *training)
{
	TrainingShared *shared = training->shared;
	ParallelContext *context = NULL;
	Participant leader;

	participant_init(&leader, &training->areas, true);

	if (training->nworkers > 0 &&
		workers_possible(&training->areas, shared->validating))
	{
		TrainingHandles *handles;

		EnterParallelMode();
		context = CreateParallelContext("$libdir/als", "als_training_worker",
										training->nworkers);
		shm_toc_estimate_chunk(&context->estimator, sizeof(TrainingHandles));
		shm_toc_estimate_keys(&context->estimator, 1);
		InitializeParallelDSM(context);
		handles = shm_toc_allocate(context->toc, sizeof(TrainingHandles));
		handles->ratings = training->areas.ratings.handle;
		handles->shared = training->areas.shared.handle;
		handles->held_out = handles->measurement = DSM_HANDLE_INVALID;
		if (shared->validating)
		{
			handles->held_out = training->areas.held_out.handle;
			handles->measurement = training->areas.measurement.handle;
		}
		shm_toc_insert(context->toc, KEY_HANDLES, handles);
		LaunchParallelWorkers(context);
		training->launched = context->nworkers_launched;
		if (training->launched > 0)
			WaitForParallelWorkersToAttach(context);
	}

	progress_iterations(shared->parameters.iterations,
						(uint64) leader.blocks->sides[ALS_USERS].nrows +
						leader.blocks->sides[ALS_ITEMS].nrows);
	start_participants(shared, training->launched + 1);
	participant_run(&leader);

	if (context != NULL)
	{
		WaitForParallelWorkersToFinish(context);
		DestroyParallelContext(context);
		ExitParallelMode();
	}
	return shared->failure == ALS_OK;
}

float *
training_factors(Training *training, AlsSide side)
{
	if (training->shared->best_iteration > 0)
		return best_factors(training->shared, side);
	return side_factors(training->shared, side);
}

int
training_rank(const Training *training)
{
	return training->shared->rank;
}

const double *
training_losses(const Training *training, int *count)
{
	*count = training->shared->iterations;
	return shared_at(training->shared, training->shared->losses_offset);
}

int
training_workers(const Training *training)
{
	return training->launched;
}

const double *
training_curve(const Training *training)
{
	const TrainingShared *shared = training->shared;

	return shared->validating ? shared_at(shared, shared->curve_offset) : NULL;
}

int
training_best(const Training *training)
{
	const TrainingShared *shared = training->shared;

	return shared->validating ? shared->best_iteration : shared->iterations;
}

void
training_end(Training *training)
{
	area_free(&training->areas.shared);
	area_free(&training->areas.measurement);
}
