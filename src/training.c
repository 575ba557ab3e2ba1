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
#include "participant.h"
#include "pgstat.h"
#include "training.h"
#include "utils/memutils.h"

/* Keys of the parallel context's table of contents */
#define KEY_HANDLES 1

/* The segments that a worker maps */
typedef struct TrainingHandles
{
	dsm_handle	ratings;
	dsm_handle	shared;
} TrainingHandles;

struct Training
{
	Area		ratings;
	Area		area;
	TrainingShared *shared;
	int			nworkers;		/* asked for */
	int			launched;
};

PGDLLEXPORT void als_training_worker(dsm_segment *segment, shm_toc *toc);

/* Reserves room in the layout of the area. */
static size_t
reserve(size_t *size, size_t bytes)
{
	size_t		offset = *size;

	*size += TYPEALIGN(ALS_ALIGNMENT, bytes);
	return offset;
}

Training *
training_begin(const TrainingParameters *parameters, Area *ratings,
			   int nworkers)
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

	reserve(&size, sizeof(TrainingShared));
	layout.losses_offset = reserve(&size, parameters->iterations * sizeof(double));
	for (int side = 0; side < 2; side++)
		layout.factors_offset[side] =
			reserve(&size, nrows[side] * stride * sizeof(float));
	if (needs_preparation(parameters))
		layout.prepared_offset = reserve(&size, most_rows * stride * sizeof(float));
	if (explicit)
		layout.bias_offset = reserve(&size, most_rows * sizeof(float));
	else
	{
		uint32		length;
		uint32		ranges = gram_ranges(most_rows, stride, &length);

		layout.base_offset = reserve(&size, stride * stride * sizeof(float));
		layout.base_factor_offset = reserve(&size, stride * stride * sizeof(float));
		layout.spectrum_offset = reserve(&size, stride * sizeof(float));
		layout.grams_offset = reserve(&size, (size_t) ranges * rank * rank *
									  sizeof(double));
	}
	layout.block_losses_offset = reserve(&size, most_blocks * sizeof(double));
	layout.block_penalties_offset = reserve(&size, most_blocks * sizeof(double));

	training->ratings = *ratings;
	training->nworkers = nworkers;
	training->area = area_create(size, nworkers > 0, "the factors");
	training->shared = shared = (TrainingShared *) training->area.address;
	*shared = layout;
	SpinLockInit(&shared->mutex);
	ConditionVariableInit(&shared->started);
	pg_atomic_init_u32(&shared->next_gram, 0);
	pg_atomic_init_u32(&shared->next_prepare, 0);
	pg_atomic_init_u32(&shared->next_solve, 0);

	/* users are solved first: their starting values are those of CG */
	memset(side_factors(shared, ALS_USERS), 0,
		   nrows[ALS_USERS] * stride * sizeof(float));
	als_initial_factors((uint64) parameters->seed, ALS_ITEMS,
						parameters->factors, rank, 0, nrows[ALS_ITEMS],
						side_factors(shared, ALS_ITEMS));
	if (parameters->solver == ALS_NONNEGATIVE)
		for (size_t i = 0; i < nrows[ALS_ITEMS] * stride; i++)
			side_factors(shared, ALS_ITEMS)[i] =
				fabsf(side_factors(shared, ALS_ITEMS)[i]);
	return training;
}

/* Entry point of a worker. */
void
als_training_worker(dsm_segment *segment, shm_toc *toc)
{
	TrainingHandles *handles = shm_toc_lookup(toc, KEY_HANDLES, false);
	Area		ratings = area_attach(handles->ratings);
	Area		area = area_attach(handles->shared);
	RatingBlocks *blocks = (RatingBlocks *) ratings.address;
	TrainingShared *shared = (TrainingShared *) area.address;
	Participant me;

	if (blocks->spilled)
		SharedFileSetAttach(&blocks->fileset, ratings.segment);
	participant_init(&me, shared, &ratings, false);

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
	area_free(&ratings);
	area_free(&area);
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

/* Raises what note_failure has noted. */
static void
report_failure(const TrainingShared *shared)
{
	const char *side = shared->failed_side == ALS_USERS ? "user" : "item";

	if (shared->failure == ALS_NOT_FINITE)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("training does not converge to finite factors"),
				 errdetail("The factors of a %s are out of the range of type real.",
						   side),
				 errhint("Scale the ratings down, lower alpha or raise regularization.")));
	if (shared->failure == ALS_NOT_OPTIMAL)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("training does not find nonnegative factors"),
				 errdetail("The normal equations of a %s are too close to singular.",
						   side),
				 errhint("Raise regularization above %g.",
						 shared->parameters.regularization)));
	if (shared->failed_row < 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("the normal equations are singular"),
				 errdetail("The Gram matrix of the %ss is singular to single precision.",
						   side),
				 errhint("Raise regularization above %g, or train fewer factors than there are users and items.",
						 shared->parameters.regularization)));
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("the normal equations are singular"),
			 errdetail("Those of a %s are singular to single precision.", side),
			 errhint("Raise regularization above %g.",
					 shared->parameters.regularization)));
}

void
training_run(Training *training)
{
	TrainingShared *shared = training->shared;
	ParallelContext *context = NULL;
	Participant leader;

	participant_init(&leader, shared, &training->ratings, true);

	if (training->nworkers > 0)
	{
		TrainingHandles *handles;

		EnterParallelMode();
		context = CreateParallelContext("$libdir/als", "als_training_worker",
										training->nworkers);
		shm_toc_estimate_chunk(&context->estimator, sizeof(TrainingHandles));
		shm_toc_estimate_keys(&context->estimator, 1);
		InitializeParallelDSM(context);
		handles = shm_toc_allocate(context->toc, sizeof(TrainingHandles));
		handles->ratings = training->ratings.handle;
		handles->shared = training->area.handle;
		shm_toc_insert(context->toc, KEY_HANDLES, handles);
		LaunchParallelWorkers(context);
		training->launched = context->nworkers_launched;
		if (training->launched > 0)
			WaitForParallelWorkersToAttach(context);
	}

	start_participants(shared, training->launched + 1);
	participant_run(&leader);

	if (context != NULL)
	{
		WaitForParallelWorkersToFinish(context);
		DestroyParallelContext(context);
		ExitParallelMode();
	}
	if (shared->failure != ALS_OK)
		report_failure(shared);
}

float *
training_factors(Training *training, AlsSide side)
{
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

void
training_end(Training *training)
{
	area_free(&training->area);
	area_free(&training->ratings);
}
