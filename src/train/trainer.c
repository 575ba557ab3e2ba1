/*
 * trainer.c
 *	  A training from its starting factors to its last: memory, workers and
 *	  errors.
 *
 * All that the processes share lies in one arena: a header, the factors of
 * both sides and the workspace that phases hand over.  Without workers it is
 * private memory and the barriers do nothing.  The ratings lie in an arena of
 * their own, see csr_blocks.c.
 */
#include "compat.h"

#include <math.h>

#include "common/bulk.h"
#include "common/progress.h"
#include "common/settings.h"
#include "train/features.h"
#include "train/iterate.h"
#include "train/trainer.h"
#include "train/validation.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

struct Trainer
{
	Arena		arenas[PARALLEL_ARENAS];	/* by TrainerArena; the address of
											 * one that is not there is NULL */
	const Validation *validation;	/* or NULL */
	MemoryContext running;		/* of what is only there while it runs */
	TrainerState *shared;
	size_t		size;			/* bytes of the arenas that are its own */
	int			nworkers;		/* asked for */
	TrainerResult result;
};

/* What processes share that each run trainings of their own */
typedef struct Queue
{
	pg_atomic_uint32 next;
	pg_atomic_uint32 measured;	/* 0: there is nothing to leave yet */
	uint32		size;
	struct
	{
		dsm_handle	state;
		dsm_handle	measurement;
	}			trainers[FLEXIBLE_ARRAY_MEMBER];
} Queue;

/* The arenas that they share, likewise; the rest is where the trainings' is */
enum
{
	QUEUE, QUEUE_RATINGS, QUEUE_HELD_OUT
};

PGDLLEXPORT void als_trainer_worker(dsm_segment *segment, shm_toc *toc);
PGDLLEXPORT void als_queue_worker(dsm_segment *segment, shm_toc *toc);

Trainer *
trainer_begin(const TrainerParameters *parameters, Arena *ratings,
			  const SideFeatures *const features[2],
			  const Validation *validation, bool warm_start, int nworkers)
{
	const RatingBlocks *blocks = (const RatingBlocks *) ratings->address;
	bool		explicit = parameters->feedback == ALS_EXPLICIT;
	int			rank = parameters->factors + (explicit ? 1 : 0);
	size_t		stride = als_stride(rank);
	size_t		nrows[2] = {blocks->sides[ALS_USERS].nrows,
	blocks->sides[ALS_ITEMS].nrows};
	size_t		nall[2] = {nrows[ALS_USERS], nrows[ALS_ITEMS]};
	size_t		most_rows = Max(nrows[ALS_USERS], nrows[ALS_ITEMS]);
	size_t		most_blocks = Max(blocks->sides[ALS_USERS].nblocks,
								  blocks->sides[ALS_ITEMS].nblocks);
	size_t		size = 0;
	TrainerState layout = {0};
	TrainerState *shared;
	Trainer    *trainer = palloc0(sizeof(Trainer));

	layout.parameters = *parameters;
	layout.pause = parameters->iterations;
	layout.rank = rank;
	layout.mean = explicit ? blocks->mean : 0;
	layout.spectral = !explicit && parameters->solver != ALS_NONNEGATIVE && !warm_start;
	layout.ahead = !explicit && parameters->solver == ALS_CG;

	arena_reserve(&size, sizeof(TrainerState));
	layout.losses_offset = arena_reserve(&size, parameters->iterations * sizeof(double));
	for (int side = 0; side < 2; side++)
	{
		if (features[side] != NULL)
			nall[side] += features[side]->nnew;
		layout.factors_offset[side] =
			arena_reserve(&size, nall[side] * stride * sizeof(float));
	}
	if (validation != NULL)
	{
		layout.validating = true;
		layout.metric = validation->metric;
		layout.patience = validation->patience;
		layout.curve_offset = arena_reserve(&size, parameters->iterations * sizeof(double));
		for (int side = 0; side < 2; side++)
			layout.best_offset[side] =
				arena_reserve(&size, nall[side] * stride * sizeof(float));
		layout.values_offset = arena_reserve(&size, validation->nusers * sizeof(double));
	}
	if (layout.ahead)
		layout.previous_offset =
			arena_reserve(&size, nrows[ALS_ITEMS] * stride * sizeof(float));
	if (needs_preparation(parameters))
		layout.prepared_offset = arena_reserve(&size, most_rows * stride * sizeof(float));
	if (explicit)
		layout.bias_offset = arena_reserve(&size, most_rows * sizeof(float));
	else
	{
		uint32		length;
		uint32		ranges = gram_ranges(most_rows, stride, &length);

		layout.base_offset = arena_reserve(&size, stride * stride * sizeof(float));
		layout.base_factor_offset = arena_reserve(&size, stride * stride * sizeof(float));
		layout.spectrum_offset = arena_reserve(&size, stride * sizeof(float));
		layout.grams_offset = arena_reserve(&size, (size_t) ranges * rank * rank *
											sizeof(double));
	}
	layout.block_losses_offset = arena_reserve(&size, most_blocks * sizeof(double));
	layout.block_penalties_offset = arena_reserve(&size, most_blocks * sizeof(double));
	for (int side = 0; side < 2; side++)
		if (features[side] != NULL)
			features_reserve(&layout.features[side], features[side], stride,
							 validation != NULL, &size);

	trainer->arenas[TRAINER_RATINGS] = *ratings;
	trainer->nworkers = nworkers;
	/* one without workers may still be run by a queue, if it is validated */
	trainer->arenas[TRAINER_STATE] =
		arena_create(size, arena_is_shared(ratings) &&
					 (nworkers > 0 || (validation != NULL && validation->shared)),
					 "the factors");
	arena_ask_huge_pages(&trainer->arenas[TRAINER_STATE], size);
	trainer->size = size;
	trainer->validation = validation;
	if (validation != NULL)
		trainer->arenas[TRAINER_HELD_OUT] = validation->set;
	trainer->shared = shared = (TrainerState *) trainer->arenas[TRAINER_STATE].address;
	*shared = layout;
	SpinLockInit(&shared->mutex);
	pg_atomic_init_u32(&shared->next_gram, 0);
	pg_atomic_init_u32(&shared->next_prepare, 0);
	pg_atomic_init_u32(&shared->next_solve, 0);
	pg_atomic_init_u32(&shared->next_group, 0);
	pg_atomic_init_u32(&shared->next_prior, 0);

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

	for (int side = 0; side < 2; side++)
	{
		trainer->result.factors[side] = side_factors(shared, side);
		trainer->result.feature_factors[side] =
			shared_at(shared, shared->features[side].factors_offset);
		if (features[side] != NULL)
			features_load(shared, side, features[side]);
	}
	trainer->result.rank = rank;
	trainer->result.losses = shared_at(shared, shared->losses_offset);
	if (validation != NULL)
	{
		double	   *curve = shared_at(shared, shared->curve_offset);

		for (int i = 0; i < parameters->iterations; i++)
			curve[i] = NAN;
		trainer->result.curve = curve;
		trainer->result.values = shared_at(shared, shared->values_offset);
	}
	return trainer;
}

/* Entry point of a worker. */
void
als_trainer_worker(dsm_segment *segment, shm_toc *toc)
{
	parallel_work(toc, iterate);
}

void
trainer_failure(const Trainer *trainer, const char **message,
				char **detail)
{
	const TrainerState *shared = trainer->shared;
	bool		user = shared->failed_side == ALS_USERS;
	const char *row = user ? "a user" : "an item";

	if (shared->failure == ALS_NOT_FINITE)
	{
		*message = "training does not converge to finite factors";
		*detail = psprintf("The factors of %s are out of the range of type real.",
						   shared->failed_row == FAILED_FEATURES ? "features" : row);
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
			psprintf("The Gram matrix of the %s%s is singular to double precision.",
					 shared->failed_row == FAILED_FEATURES ? "features of " : "",
					 user ? "users" : "items") :
			psprintf("Those of %s are singular to double precision.", row);
	}
}

void
trainer_raise(const Trainer *trainer)
{
	const TrainerState *shared = trainer->shared;
	double		regularization = shared->parameters.regularization;
	const char *message;
	char	   *detail;

	trainer_failure(trainer, &message, &detail);
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("%s", message),
			 errdetail("%s", detail),
			 shared->failed_row == FAILED_FEATURES ?
			 errhint("Raise feature_regularization above %g, or scale the values of features down.",
					 shared->parameters.feature_regularization) :
			 shared->failure == ALS_NOT_FINITE ?
			 errhint("Scale the ratings down, lower alpha or raise regularization.") :
			 shared->failure != ALS_NOT_OPTIMAL && shared->failed_row == FAILED_GRAM ?
			 errhint("Raise regularization above %g, or train fewer factors than there are users and items.",
					 regularization) :
			 errhint("Raise regularization above %g.", regularization)));
}

void
trainer_bound(Trainer *trainer, const Rungs *rungs, TimestampTz deadline)
{
	trainer->shared->rungs = *rungs;
	trainer->shared->deadline = deadline;
}

/* Makes what is only there while a training runs, up to an iteration. */
static void
prepare_run(Trainer *trainer, int iteration)
{
	TrainerState *shared = trainer->shared;
	MemoryContext old;

	shared->pause = Min(iteration, shared->parameters.iterations);
	trainer->running = AllocSetContextCreate(CurrentMemoryContext,
											 "als running training",
											 ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(trainer->running);
	if (trainer->validation != NULL)
		trainer->arenas[TRAINER_MEASUREMENT] =
			validation_arena(trainer->validation, shared->parameters.factors,
							 arena_is_shared(&trainer->arenas[TRAINER_STATE]));
	MemoryContextSwitchTo(old);
}

/* Runs it, by all processes together; returns how many workers there were. */
static int
run_together(Trainer *trainer)
{
	Arena	   *arenas[PARALLEL_ARENAS];

	for (int i = 0; i < PARALLEL_ARENAS; i++)
		arenas[i] = trainer->arenas[i].address ? &trainer->arenas[i] : NULL;
	return parallel_run("als_trainer_worker", iterate, arenas, trainer->nworkers);
}

/* Takes over what it has come to. */
static void
finish_run(Trainer *trainer, int workers)
{
	TrainerState *shared = trainer->shared;
	TrainerResult *result = &trainer->result;

	arena_free(&trainer->arenas[TRAINER_MEASUREMENT]);
	trainer->arenas[TRAINER_MEASUREMENT].address = NULL;
	MemoryContextDelete(trainer->running);
	result->workers = Max(result->workers, workers);
	result->iterations = shared->iterations;
	result->seconds = shared->seconds;
	result->best_iteration = shared->validating ? shared->best_iteration :
		shared->iterations;
	for (int side = 0; side < 2 && shared->best_iteration > 0; side++)
	{
		result->factors[side] = best_factors(shared, side);
		result->feature_factors[side] =
			shared_at(shared, shared->features[side].best_offset);
	}
}

bool
trainer_run(Trainer *trainer)
{
	prepare_run(trainer, trainer->shared->parameters.iterations);
	finish_run(trainer, run_together(trainer));
	return !trainer_failed(trainer);
}

bool
trainer_failed(const Trainer *trainer)
{
	return trainer->shared->failure != ALS_OK;
}

size_t
trainer_memory(const Trainer *trainer)
{
	return trainer->size;
}

bool
trainer_is_shared(const Trainer *trainer)
{
	return arena_is_shared(&trainer->arenas[TRAINER_STATE]);
}

size_t
trainer_running_memory(const Trainer *trainer)
{
	return trainer->validation == NULL ? 0 :
		validation_size(trainer->validation, trainer->shared->parameters.factors);
}

/* Is it too late to begin? */
static bool
is_too_late(const TrainerState *shared, bool measured)
{
	return measured && shared->iterations == 0 && shared->deadline != 0 &&
		GetCurrentTimestamp() >= shared->deadline;
}

/* Runs one training of the queue in this process alone. */
static void
run_alone(Arena *state, Arena *measurement, Arena *const shared[PARALLEL_ARENAS])
{
	const ParallelProcess alone = {.leader = true,.processes = 1};
	Arena	   *const arenas[PARALLEL_ARENAS] = {
		[TRAINER_STATE] = state,
		[TRAINER_RATINGS] = shared[QUEUE_RATINGS],
		[TRAINER_HELD_OUT] = shared[QUEUE_HELD_OUT],
		[TRAINER_MEASUREMENT] = measurement
	};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "als training of a queue",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	iterate(&alone, arenas);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* An arena of a training in the queue; the leader has it already. */
static Arena
map_arena(const ParallelProcess *process, dsm_handle handle)
{
	return process->leader ? arena_of(dsm_find_mapping(handle)) : arena_attach(handle);
}

/* What each process does: runs trainings until none is left. */
static void
run_queue(const ParallelProcess *process, Arena *const arenas[PARALLEL_ARENAS])
{
	Queue	   *queue = (Queue *) arenas[QUEUE]->address;
	uint32		next;

	if (!process->leader)
	{
		blocks_attach(arenas[QUEUE_RATINGS]);
		blocks_attach(arenas[QUEUE_HELD_OUT]);
	}
	while ((next = pg_atomic_fetch_add_u32(&queue->next, 1)) < queue->size)
	{
		Arena		state = map_arena(process, queue->trainers[next].state);
		Arena		measurement = map_arena(process, queue->trainers[next].measurement);
		TrainerState *shared = (TrainerState *) state.address;

		if (!is_too_late(shared, pg_atomic_read_u32(&queue->measured) > 0))
			run_alone(&state, &measurement, arenas);
		if (shared->best_iteration > 0)
			pg_atomic_write_u32(&queue->measured, 1);
		if (!process->leader)
		{
			arena_free(&measurement);
			arena_free(&state);
		}
	}
}

/* Entry point of a worker. */
void
als_queue_worker(dsm_segment *segment, shm_toc *toc)
{
	parallel_work(toc, run_queue);
}

/* Runs trainings that are prepared by a queue; returns how many workers there were. */
static int
run_by_queue(Trainer *const *trainers, int count, int nworkers, bool measured)
{
	Arena		arena = arena_create(offsetof(Queue, trainers) + count * sizeof(((Queue *) NULL)->trainers[0]),
									 true, "a queue of trainings");
	Arena	   *arenas[PARALLEL_ARENAS] = {
		[QUEUE] = &arena,
		[QUEUE_RATINGS] = &trainers[0]->arenas[TRAINER_RATINGS],
		[QUEUE_HELD_OUT] = &trainers[0]->arenas[TRAINER_HELD_OUT]
	};
	Queue	   *queue = (Queue *) arena.address;
	int			workers;

	pg_atomic_init_u32(&queue->next, 0);
	pg_atomic_init_u32(&queue->measured, measured);
	queue->size = count;
	for (int i = 0; i < count; i++)
	{
		queue->trainers[i].state = trainers[i]->arenas[TRAINER_STATE].handle;
		queue->trainers[i].measurement = trainers[i]->arenas[TRAINER_MEASUREMENT].handle;
	}
	workers = parallel_run("als_queue_worker", run_queue, arenas, nworkers);
	arena_free(&arena);
	return workers;
}

void
trainers_run(Trainer *const *trainers, int count, int iteration, int nworkers,
			 bool measured)
{
	bool		by_queue = count > 1 && nworkers > 0;

	for (int i = 0; i < count; i++)
	{
		prepare_run(trainers[i], iteration);
		by_queue &= arena_is_shared(&trainers[i]->arenas[TRAINER_STATE]) &&
			arena_is_shared(&trainers[i]->arenas[TRAINER_MEASUREMENT]);
	}
	if (by_queue)
		run_by_queue(trainers, count, nworkers, measured);
	for (int i = 0; i < count; i++)
	{
		int			workers = 0;

		if (!by_queue && !is_too_late(trainers[i]->shared, measured))
			workers = run_together(trainers[i]);
		finish_run(trainers[i], workers);
		measured |= trainers[i]->shared->best_iteration > 0;
	}
}

const TrainerResult *
trainer_result(const Trainer *trainer)
{
	return &trainer->result;
}

void
trainer_end(Trainer *trainer)
{
	arena_free(&trainer->arenas[TRAINER_STATE]);
	arena_free(&trainer->arenas[TRAINER_MEASUREMENT]);
}
