/*
 * training.c
 *	  The iterations of a training, by the leader and its workers.
 *
 * Every participant runs the same program, training_participate: the phases
 * of an iteration with a barrier behind each, and within a phase pieces of
 * work claimed from a shared counter.
 *
 *	  for each side:
 *		1. Gram matrix of the other side, by ranges of rows	 (implicit)
 *		2. the leader adds the ranges up and factors the sum
 *		3. the other side's rows, prepared for the solver	 (not Cholesky's)
 *		4. the side's rows solved, by blocks
 *	  the leader adds up the loss and decides whether to go on
 *
 * Pieces of work depend on the data alone, and results are added up in the
 * order of pieces, so that any number of participants gives the same bits.
 *
 * All that they share lies in one area: this header, the factors of both
 * sides and the workspace that phases hand over.  Without workers it is
 * private memory and the barriers do nothing.
 */
#include "compat.h"

#include <math.h>

#include "access/parallel.h"
#include "access/xact.h"
#include "blas.h"
#include "blocks.h"
#include "settings.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/barrier.h"
#include "storage/condition_variable.h"
#include "storage/spin.h"
#include "training.h"
#include "utils/memutils.h"

#define GRAM_RANGES 16			/* at most */
#define GRAM_ROWS 2048			/* at least, in a range */
#define PREPARE_ROWS 1024		/* in a piece of phase 3 */

/* Keys of the parallel context's table of contents */
#define KEY_HANDLES 1

/* The segments that a worker maps */
typedef struct TrainingHandles
{
	dsm_handle	ratings;
	dsm_handle	shared;
} TrainingHandles;

/* What participants share; offsets count from here */
typedef struct TrainingShared
{
	TrainingParameters parameters;
	int			rank;			/* factors, one more for an explicit bias */
	double		mean;

	/* set once by the leader when it knows who takes part */
	slock_t		mutex;			/* protects participants and the failure */
	int			participants;	/* 0 until then */
	ConditionVariable started;
	Barrier		barrier;		/* ends every phase */

	/* next piece of each phase; reset by the leader in phase 2 */
	pg_atomic_uint32 next_gram;
	pg_atomic_uint32 next_prepare;
	pg_atomic_uint32 next_solve;

	/* why a system could not be solved, the first row of those that failed */
	int			failure;		/* ALS_OK, ALS_NOT_FINITE or a pivot */
	AlsSide		failed_side;
	int64		failed_row;		/* -1: the Gram matrix itself */

	/* written by the leader between barriers */
	bool		stop;
	int			iterations;		/* done */

	size_t		losses_offset;	/* double [iterations] */
	size_t		factors_offset[2];	/* float [rows x stride], by side */
	size_t		prepared_offset;	/* float [rows x stride], either side */
	size_t		bias_offset;	/* float [rows], explicit */
	size_t		base_offset;	/* float [stride x stride], implicit */
	size_t		base_factor_offset;
	size_t		grams_offset;	/* double [ranges x rank x rank], implicit */
	size_t		block_losses_offset;	/* double [blocks], either side */
	size_t		block_penalties_offset;
} TrainingShared;

/* One participant's view */
typedef struct Participant
{
	TrainingShared *shared;
	RatingBlocks *blocks;
	BlockReader *readers[2];
	AlsSystem	system;
	void	   *workspace;
	bool		leader;
	instr_time	iteration_start;
} Participant;

struct Training
{
	Area		ratings;
	Area		area;
	TrainingShared *shared;
	int			nworkers;		/* asked for */
	int			launched;
};

PGDLLEXPORT void als_training_worker(dsm_segment *segment, shm_toc *toc);

static inline void *
shared_at(const TrainingShared *shared, size_t offset)
{
	return (char *) shared + offset;
}

static inline float *
side_factors(const TrainingShared *shared, AlsSide side)
{
	return shared_at(shared, shared->factors_offset[side]);
}

/* Does the solver want the other side's rows prepared? */
static inline bool
needs_preparation(const TrainingParameters *parameters)
{
	return parameters->feedback == ALS_EXPLICIT ||
		parameters->solver == ALS_CG;
}

/* How many ranges of rows a Gram matrix is summed from, and how long. */
static uint32
gram_ranges(uint32 nrows, int stride, uint32 *length)
{
	uint32		ranges = nrows / Max(GRAM_ROWS, 2 * stride);

	ranges = Min(Max(ranges, 1), GRAM_RANGES);
	*length = nrows / ranges + (nrows % ranges != 0);
	return ranges;
}

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
	return training;
}

/* Lets a long computation be cancelled. */
static void
poll_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
}

/* Sets up what a participant has of its own. */
static void
participant_init(Participant *me, TrainingShared *shared, Area *ratings,
				 bool leader)
{
	const TrainingParameters *parameters = &shared->parameters;
	AlsSystem  *system = &me->system;
	size_t		size;

	memset(me, 0, sizeof(*me));
	me->shared = shared;
	me->blocks = (RatingBlocks *) ratings->address;
	me->leader = leader;
	for (int side = 0; side < 2; side++)
		me->readers[side] = blocks_reader(ratings, side);

	system->kernels = chosen_kernels();
	system->blas = blas_load();
	system->feedback = parameters->feedback;
	system->solver = parameters->solver;
	system->rank = shared->rank;
	system->cg_steps = parameters->cg_steps;
	system->alpha = (float) parameters->alpha;
	system->regularization = (float) parameters->regularization;
	system->mean = (float) shared->mean;
	if (parameters->feedback == ALS_EXPLICIT)
		system->bias = shared_at(shared, shared->bias_offset);
	else
	{
		system->base = shared_at(shared, shared->base_offset);
		system->base_factor = shared_at(shared, shared->base_factor_offset);
	}
	system->poll = poll_interrupts;

	size = Max(als_solve_workspace(system), als_gram_workspace(shared->rank));
	me->workspace = MemoryContextAllocHuge(CurrentMemoryContext,
										   size + ALS_ALIGNMENT);
	me->workspace = (void *) TYPEALIGN(ALS_ALIGNMENT, me->workspace);
}

/* Ends a phase: nobody goes on before all have come. */
static void
end_phase(Participant *me)
{
	CHECK_FOR_INTERRUPTS();
	if (me->shared->participants > 1)
		BarrierArriveAndWait(&me->shared->barrier, PG_WAIT_EXTENSION);
}

/* Remembers that a system could not be solved; of several, the first row. */
static void
note_failure(TrainingShared *shared, int failure, AlsSide side, int64 row)
{
	SpinLockAcquire(&shared->mutex);
	if (shared->failure == ALS_OK || row < shared->failed_row)
	{
		shared->failure = failure;
		shared->failed_side = side;
		shared->failed_row = row;
	}
	SpinLockRelease(&shared->mutex);
}

/* Phase 1: partial Gram matrices of a side. */
static void
sum_gram(Participant *me, AlsSide side)
{
	TrainingShared *shared = me->shared;
	size_t		stride = als_stride(shared->rank);
	uint32		nrows = me->blocks->sides[side].nrows;
	uint32		length;
	uint32		ranges = gram_ranges(nrows, stride, &length);
	double	   *grams = shared_at(shared, shared->grams_offset);
	uint32		range;

	while ((range = pg_atomic_fetch_add_u32(&shared->next_gram, 1)) < ranges)
	{
		uint32		first = Min(range * length, nrows);

		CHECK_FOR_INTERRUPTS();
		als_gram(me->system.blas, shared->rank, Min(length, nrows - first),
				 side_factors(shared, side) + first * stride,
				 grams + (size_t) range * shared->rank * shared->rank,
				 me->workspace);
	}
}

/* Phase 2, the leader's: the matrix that a side's rows are solved against. */
static void
finish_gram(Participant *me, AlsSide side)
{
	TrainingShared *shared = me->shared;
	uint32		length;
	uint32		ranges = gram_ranges(me->blocks->sides[side].nrows,
									 als_stride(shared->rank), &length);
	int			pivot;

	pivot = als_gram_finish(me->system.blas, shared->rank, ranges,
							shared_at(shared, shared->grams_offset),
							shared->parameters.regularization,
							shared_at(shared, shared->base_offset),
							shared_at(shared, shared->base_factor_offset));
	if (pivot != 0)
		note_failure(shared, pivot, side, -1);
}

/* Phase 3: a side's rows as the solver of the other wants them. */
static void
prepare_rows(Participant *me, AlsSide side)
{
	TrainingShared *shared = me->shared;
	size_t		stride = als_stride(shared->rank);
	uint32		nrows = me->blocks->sides[side].nrows;
	float	   *prepared = shared_at(shared, shared->prepared_offset);
	float	   *bias = me->system.bias ?
	shared_at(shared, shared->bias_offset) : NULL;
	uint32		first;

	while ((first = pg_atomic_fetch_add_u32(&shared->next_prepare, 1) *
			PREPARE_ROWS) < nrows)
	{
		CHECK_FOR_INTERRUPTS();
		als_prepare_rows(&me->system, Min(PREPARE_ROWS, nrows - first),
						 side_factors(shared, side) + first * stride,
						 prepared + first * stride,
						 bias ? bias + first : NULL);
	}
}

/* Phase 4: the side's rows, by blocks, the longest rows first. */
static void
solve_rows(Participant *me, AlsSide side)
{
	TrainingShared *shared = me->shared;
	size_t		stride = als_stride(shared->rank);
	const uint32 *first_row = blocks_first_row(me->blocks, side);
	double	   *losses = shared_at(shared, shared->block_losses_offset);
	double	   *penalties = shared_at(shared, shared->block_penalties_offset);
	uint32		block;

	me->system.fixed = needs_preparation(&shared->parameters) ?
		shared_at(shared, shared->prepared_offset) :
		side_factors(shared, side == ALS_USERS ? ALS_ITEMS : ALS_USERS);

	while ((block = pg_atomic_fetch_add_u32(&shared->next_solve, 1)) <
		   me->blocks->sides[side].nblocks)
	{
		AlsRows		rows = blocks_read(me->readers[side], block);
		float	   *solved = side_factors(shared, side) +
		first_row[block] * stride;
		double		loss = 0;
		uint32		failed = 0;
		int			result;

		CHECK_FOR_INTERRUPTS();
		result = als_solve_rows(&me->system, &rows, solved, me->workspace,
								&loss, &failed);
		if (result != ALS_OK)
		{
			note_failure(shared, result, side, first_row[block] + failed);
			return;
		}
		if (side == ALS_USERS)
			penalties[block] = als_penalty(shared->parameters.feedback,
										   shared->rank, &rows, solved);
		else
			losses[block] = loss;
	}
}

/* Half an iteration: one side solved against the other; false on failure. */
static bool
solve_side(Participant *me, AlsSide side)
{
	TrainingShared *shared = me->shared;
	AlsSide		other = side == ALS_USERS ? ALS_ITEMS : ALS_USERS;

	if (shared->parameters.feedback == ALS_IMPLICIT)
		sum_gram(me, other);
	end_phase(me);

	if (me->leader)
	{
		if (shared->parameters.feedback == ALS_IMPLICIT)
			finish_gram(me, other);
		pg_atomic_write_u32(&shared->next_gram, 0);
		pg_atomic_write_u32(&shared->next_prepare, 0);
		pg_atomic_write_u32(&shared->next_solve, 0);
	}
	end_phase(me);
	if (shared->failure != ALS_OK)
		return false;

	if (needs_preparation(&shared->parameters))
	{
		prepare_rows(me, other);
		end_phase(me);
	}

	solve_rows(me, side);
	end_phase(me);
	return shared->failure == ALS_OK;
}

/*
 * The leader's end of an iteration: the objective is what the items' blocks
 * report plus the users' regularization.
 */
static void
finish_iteration(Participant *me)
{
	TrainingShared *shared = me->shared;
	const TrainingParameters *parameters = &shared->parameters;
	const double *block_losses = shared_at(shared, shared->block_losses_offset);
	const double *penalties = shared_at(shared, shared->block_penalties_offset);
	double	   *losses = shared_at(shared, shared->losses_offset);
	double		loss = 0;
	double		penalty = 0;
	int			done = shared->iterations++;

	for (uint32 b = 0; b < me->blocks->sides[ALS_ITEMS].nblocks; b++)
		loss += block_losses[b];
	for (uint32 b = 0; b < me->blocks->sides[ALS_USERS].nblocks; b++)
		penalty += penalties[b];
	losses[done] = loss + parameters->regularization * penalty;

	if (!isfinite(losses[done]))
		note_failure(shared, ALS_NOT_FINITE, ALS_ITEMS, 0);
	shared->stop = shared->failure != ALS_OK ||
		shared->iterations == parameters->iterations ||
		(parameters->tolerance > 0 && done > 0 &&
		 losses[done - 1] - losses[done] <=
		 parameters->tolerance * fabs(losses[done - 1]));

	if (parameters->verbose)
	{
		instr_time	now;
		double		seconds;

		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, me->iteration_start);
		seconds = INSTR_TIME_GET_DOUBLE(now);
		ereport(NOTICE,
				(errmsg("iteration %d of %d: loss %.6g, %.3f s, %.0f ratings/s",
						shared->iterations, parameters->iterations,
						losses[done], seconds,
						(double) me->blocks->nratings / Max(seconds, 1e-9))));
	}
}

/* All iterations, as one of the participants. */
static void
training_participate(Participant *me)
{
	do
	{
		INSTR_TIME_SET_CURRENT(me->iteration_start);
		if (!solve_side(me, ALS_USERS) || !solve_side(me, ALS_ITEMS))
			break;
		if (me->leader)
			finish_iteration(me);
		end_phase(me);
	} while (!me->shared->stop);

	for (int side = 0; side < 2; side++)
		blocks_reader_close(me->readers[side]);
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

	training_participate(&me);
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
	training_participate(&leader);

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
