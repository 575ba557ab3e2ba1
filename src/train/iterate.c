/*
 * iterate.c
 *	  The program that every process of a training runs.
 *
 * Phases with a barrier behind each, and within a phase pieces of work claimed
 * from a shared counter:
 *
 *	  the items' starting factors, see start.c			 (implicit)
 *	  the items moved on along their last change (implicit, CG)
 *	  for each side:
 *		1. Gram matrix of the other side, by ranges of rows	 (implicit)
 *		2. the leader adds the ranges up and factors the sum
 *		3. the other side's rows, prepared for the solver	 (explicit or CG)
 *		4. the side's rows solved, by blocks
 *		factors of its features, then priors, see features.c
 *	  the leader adds up the loss and decides whether to go on
 *	  5. the factors measured, by batches of users			 (validation)
 *	  the leader sums that up, keeps the best and decides likewise
 *
 * Pieces of work depend on the data alone, and results are added up in the
 * order of pieces, so that any number of processes gives the same bits.
 */
#include "compat.h"

#include <math.h>

#include "common/arena.h"
#include "common/blas_loader.h"
#include "common/bulk.h"
#include "common/progress.h"
#include "common/settings.h"
#include "common/side.h"
#include "portability/instr_time.h"
#include "train/features.h"
#include "train/start.h"
#include "train/trainer_process.h"
#include "train/validation.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define GRAM_RANGES 16			/* at most */
#define GRAM_ROWS 2048			/* at least, in a range */

/* Of their last change, how far items are moved on; see docs/experiments.md */
#define AHEAD 0.6f

uint32
gram_ranges(uint32 nrows, int stride, uint32 *length)
{
	uint32		ranges = nrows / Max(GRAM_ROWS, 2 * stride);

	ranges = Min(Max(ranges, 1), GRAM_RANGES);
	*length = nrows / ranges + (nrows % ranges != 0);
	return ranges;
}

/* Sets up what a process has of its own. */
static void
begin(TrainerProcess *me, const ParallelProcess *process,
	  Arena *const arenas[PARALLEL_ARENAS])
{
	TrainerState *shared = (TrainerState *) arenas[TRAINER_STATE]->address;
	const TrainerParameters *parameters = &shared->parameters;
	AlsSystem  *system = &me->system;
	size_t		size;

	memset(me, 0, sizeof(*me));
	me->process = process;
	me->arenas = arenas;
	me->shared = shared;
	me->blocks = (RatingBlocks *) arenas[TRAINER_RATINGS]->address;
	if (!me->process->leader)
	{
		blocks_attach(arenas[TRAINER_RATINGS]);
		if (shared->validating)
			blocks_attach(arenas[TRAINER_HELD_OUT]);
	}
	for (int side = 0; side < 2; side++)
		me->readers[side] = blocks_reader(arenas[TRAINER_RATINGS], side);

	system->kernels = chosen_kernels();
	system->blas = blas_load();
	system->feedback = parameters->feedback;
	system->solver = parameters->solver;
	system->rank = shared->rank;
	system->cg_steps = parameters->cg_steps;
	system->alpha = (float) parameters->alpha;
	system->regularization = (float) parameters->regularization;
	system->regularization_scaling = parameters->regularization_scaling;
	system->by_ratings = parameters->by_ratings;
	system->mean = (float) shared->mean;
	system->unbiased = !parameters->biases;
	if (parameters->feedback == ALS_EXPLICIT)
		system->bias = shared_at(shared, shared->bias_offset);
	else
	{
		system->base = shared_at(shared, shared->base_offset);
		system->base_factor = shared_at(shared, shared->base_factor_offset);
		system->spectrum = shared_at(shared, shared->spectrum_offset);
		system->gram = shared_at(shared, shared->grams_offset);
	}
	system->poll = poll_interrupts;

	size = Max(als_solve_workspace(system), als_gram_workspace(shared->rank));
	size = Max(size, als_gram_exact_workspace(shared->rank));
	size = Max(size, als_gram_finish_workspace(system));
	if (shared->spectral)
		size = Max(size, als_spectral_workspace(shared->rank));
	features_attach(me);
	for (int side = 0; side < 2; side++)
		size = Max(size, als_features_workspace(me->features[side].nfeatures));
	me->workspace = allocate_aligned(CurrentMemoryContext, size);
}

void
note_failure(TrainerState *shared, int failure, AlsSide side, int64 row)
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

void
sum_gram(TrainerProcess *me, AlsSide side)
{
	TrainerState *shared = me->shared;
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
		als_gram(me->system.blas, me->system.poll, shared->rank,
				 Min(length, nrows - first),
				 side_factors(shared, side) + first * stride,
				 grams + (size_t) range * shared->rank * shared->rank,
				 me->workspace);
	}
}

/*
 * Phase 2, the leader's: the matrix that a side's rows are solved against, from
 * ranges, or all rows as one, of the other side's.
 */
static int
factor_gram(TrainerProcess *me, int ranges, bool exact)
{
	TrainerState *shared = me->shared;

	return als_gram_finish(&me->system, shared->parameters.regularization,
						   ranges, shared_at(shared, shared->grams_offset),
						   exact, shared_at(shared, shared->base_offset),
						   shared_at(shared, shared->base_factor_offset),
						   shared_at(shared, shared->spectrum_offset),
						   me->workspace);
}

static void
finish_gram(TrainerProcess *me, AlsSide side)
{
	TrainerState *shared = me->shared;
	uint32		nrows = me->blocks->sides[side].nrows;
	uint32		length;
	uint32		ranges = gram_ranges(nrows, als_stride(shared->rank), &length);
	int			result;

	/* singular whatever rounding makes of it: fewer rows than factors */
	if (shared->parameters.regularization == 0 && nrows < (uint32) shared->rank)
	{
		note_failure(shared, (int) nrows + 1, side, FAILED_GRAM);
		return;
	}
	result = factor_gram(me, ranges, false);
	if (result == ALS_SUM_IN_DOUBLE)
	{
		als_gram_exact(me->system.blas, me->system.poll, shared->rank, nrows,
					   side_factors(shared, side),
					   shared_at(shared, shared->grams_offset), me->workspace);
		result = factor_gram(me, 1, true);
	}
	shared->exact = result == ALS_SOLVE_IN_DOUBLE;
	if (result > 0)
		note_failure(shared, result, side, FAILED_GRAM);
}

/* Phase 3: a side's rows as the solver of the other wants them. */
static void
prepare_rows(TrainerProcess *me, AlsSide side)
{
	TrainerState *shared = me->shared;
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
solve_rows(TrainerProcess *me, AlsSide side)
{
	TrainerState *shared = me->shared;
	size_t		stride = als_stride(shared->rank);
	const uint32 *first_row = blocks_first_row(me->blocks, side);
	double	   *losses = shared_at(shared, shared->block_losses_offset);
	double	   *penalties = shared_at(shared, shared->block_penalties_offset);
	bool		drawn = shared->features[side].nfeatures > 0;
	const float *priors = shared_at(shared, shared->features[side].priors_offset);
	uint32		block;

	me->system.stored = side_factors(shared, other_side(side));
	me->system.fixed = needs_preparation(&shared->parameters) ?
		shared_at(shared, shared->prepared_offset) : me->system.stored;

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
		if (drawn)
			rows.prior = priors + first_row[block] * stride;
		if (me->process->leader)
			progress_rows((side == ALS_ITEMS ?
						   me->blocks->sides[ALS_USERS].nrows : 0) +
						  first_row[block]);
		result = als_solve_rows(&me->system, &rows, solved, me->workspace,
								&loss, &failed);
		if (result != ALS_OK)
		{
			note_failure(shared, result, side, first_row[block] + failed);
			return;
		}
		if (side == ALS_ITEMS)
			losses[block] = loss;
		/* priors change yet, and what they add comes with them */
		if (drawn && side == ALS_ITEMS)
			losses[block] -= me->system.regularization *
				als_penalty(&me->system, &rows, solved);
		else if (!drawn && side == ALS_USERS)
			penalties[block] = als_penalty(&me->system, &rows, solved);
	}
}

void
reset_pieces(TrainerState *shared)
{
	pg_atomic_write_u32(&shared->next_gram, 0);
	pg_atomic_write_u32(&shared->next_prepare, 0);
	pg_atomic_write_u32(&shared->next_solve, 0);
	pg_atomic_write_u32(&shared->next_group, 0);
	pg_atomic_write_u32(&shared->next_prior, 0);
}

/*
 * Before an iteration the items y move on from what they were before the last
 * one, y := y + AHEAD (y - previous), unless it did harm: an extrapolation by
 * Nesterov (Mitchell, Ye and De Sterck 2020).  They are solved at its end, so
 * that every iteration ends with items that are best for its users.
 */
static void
move_items_on(TrainerProcess *me)
{
	TrainerState *shared = me->shared;
	const double *losses = shared_at(shared, shared->losses_offset);
	int			done = shared->iterations;
	float		share = done >= 2 && losses[done - 1] < losses[done - 2] ?
		AHEAD : 0;
	size_t		stride = als_stride(shared->rank);
	uint32		nrows = me->blocks->sides[ALS_ITEMS].nrows;
	float	   *previous = shared_at(shared, shared->previous_offset);
	uint32		first;

	while ((first = pg_atomic_fetch_add_u32(&shared->next_prepare, 1) *
			PREPARE_ROWS) < nrows)
	{
		CHECK_FOR_INTERRUPTS();
		als_move_on(share, Min(PREPARE_ROWS, nrows - first) * stride,
					side_factors(shared, ALS_ITEMS) + first * stride,
					previous + first * stride);
	}
	parallel_wait(me->process);
}

/* Half an iteration: one side solved against the other; false on failure. */
static bool
solve_side(TrainerProcess *me, AlsSide side)
{
	TrainerState *shared = me->shared;
	AlsSide		other = other_side(side);

	me->system.nfixed = me->blocks->sides[other].nrows;
	if (shared->parameters.feedback == ALS_IMPLICIT)
		sum_gram(me, other);
	parallel_wait(me->process);

	if (me->process->leader)
	{
		if (shared->parameters.feedback == ALS_IMPLICIT)
			finish_gram(me, other);
		reset_pieces(shared);
	}
	parallel_wait(me->process);
	if (shared->failure != ALS_OK)
		return false;
	me->system.exact = shared->exact;

	if (needs_preparation(&shared->parameters))
	{
		prepare_rows(me, other);
		parallel_wait(me->process);
	}

	solve_rows(me, side);
	parallel_wait(me->process);
	if (shared->failure != ALS_OK)
		return false;
	if (shared->features[side].nfeatures > 0)
		features_solve(me, side);
	return true;
}

/* Is it to be measured what the iteration has made?  On the way to the end always. */
static bool
is_measured(const TrainerState *shared)
{
	int			last_pause = 0;

	for (int i = 0; i < shared->rungs.count - 1; i++)
	{
		last_pause = shared->rungs.iterations[i];
		if (last_pause == shared->iterations)
			return true;
	}
	return shared->stop || shared->iterations > last_pause;
}

/*
 * The leader's end of an iteration: the objective is what the items' blocks
 * report plus the users' regularization, and of sides with features that which
 * comes with the priors.
 */
static void
finish_iteration(TrainerProcess *me)
{
	TrainerState *shared = me->shared;
	const TrainerParameters *parameters = &shared->parameters;
	const double *block_losses = shared_at(shared, shared->block_losses_offset);
	const double *penalties = shared_at(shared, shared->block_penalties_offset);
	double	   *losses = shared_at(shared, shared->losses_offset);
	double		loss = 0;
	double		penalty = 0;
	int			done = shared->iterations++;

	for (uint32 b = 0; b < me->blocks->sides[ALS_ITEMS].nblocks; b++)
		loss += block_losses[b];
	for (uint32 b = 0; b < me->blocks->sides[ALS_USERS].nblocks &&
		 shared->features[ALS_USERS].nfeatures == 0; b++)
		penalty += penalties[b];
	for (int side = 0; side < 2; side++)
		penalty += shared->features[side].penalty;
	losses[done] = loss + parameters->regularization * penalty;
	progress_iteration(shared->iterations, losses[done]);

	if (!isfinite(losses[done]))
		note_failure(shared, ALS_NOT_FINITE, ALS_ITEMS, 0);
	shared->stop = shared->failure != ALS_OK ||
		shared->iterations == parameters->iterations ||
		(parameters->tolerance > 0 && done > 0 &&
		 losses[done - 1] - losses[done] <=
		 parameters->tolerance * fabs(losses[done - 1]));

	if (shared->deadline != 0 && GetCurrentTimestamp() >= shared->deadline)
		shared->stop = true;
	shared->measure = shared->validating && shared->failure == ALS_OK &&
		is_measured(shared);

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

/* The leader's beginning of phase 5: what is to be measured. */
static void
take_factors(TrainerProcess *me)
{
	TrainerState *shared = me->shared;
	float	   *factors[2] = {side_factors(shared, ALS_USERS),
	side_factors(shared, ALS_ITEMS)};

	progress_phase(PROGRESS_VALIDATING);
	validation_take((Measurement *) me->arenas[TRAINER_MEASUREMENT]->address, factors,
					shared->rank);
}

/* Phase 5: the factors measured on what was set aside. */
static void
measure_factors(TrainerProcess *me)
{
	Arena	   *const sets[2] = {[TEST_SET] = me->arenas[TRAINER_HELD_OUT],
	[TRAINING_SET] = me->arenas[TRAINER_RATINGS]};

	metrics_measure(me->arenas[TRAINER_MEASUREMENT], sets);
}

/* Keeps the factors as the best. */
static void
keep_factors(TrainerProcess *me)
{
	TrainerState *shared = me->shared;
	size_t		stride = als_stride(shared->rank);

	for (int side = 0; side < 2; side++)
	{
		const FeatureState *features = &shared->features[side];

		copy_large(best_factors(shared, side), side_factors(shared, side),
				   (me->blocks->sides[side].nrows + (size_t) features->nnew) *
				   stride * sizeof(float));
		copy_large(shared_at(shared, features->best_offset),
				   shared_at(shared, features->factors_offset),
				   features->nfeatures * stride * sizeof(float));
	}
}

/* The leader's end of phase 5: sums up, and compares with the best so far. */
static void
judge_factors(TrainerProcess *me)
{
	TrainerState *shared = me->shared;
	Measurement *measurement = (Measurement *) me->arenas[TRAINER_MEASUREMENT]->address;
	double	   *curve = shared_at(shared, shared->curve_offset);
	int			done = shared->iterations;
	MeasureCounts counts;
	double		value = metric_value(measurement, shared->metric);

	metrics_count(measurement, &counts);
	metrics_restart(measurement);
	if (isnan(value))
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("%s has no value on the validation set",
						metric_names[shared->metric]),
				 errdetail("Ratings in it whose user and item have factors: " UINT64_FORMAT ", of them relevant: " UINT64_FORMAT ".",
						   counts.pairs, counts.relevant),
				 errhint("Validate on more ratings, of users and items that have others to train from.")));

	curve[done - 1] = value;
	if (shared->best_iteration == 0 ||
		metric_better(shared->metric, value, curve[shared->best_iteration - 1]))
	{
		shared->best_iteration = done;
		keep_factors(me);
		metrics_user_values(measurement, shared->metric, 0, 0, NULL,
							shared_at(shared, shared->values_offset));
	}
	else if (shared->patience > 0 &&
			 done - shared->best_iteration >= shared->patience)
		shared->stop = true;
	if (shared->parameters.verbose)
		ereport(NOTICE,
				(errmsg("validation: %s %.6g, best of iteration %d",
						metric_names[shared->metric], value,
						shared->best_iteration)));
}

void
iterate(const ParallelProcess *process, Arena *const arenas[PARALLEL_ARENAS])
{
	TrainerProcess me;
	TrainerState *shared;
	instr_time	started;

	begin(&me, process, arenas);
	shared = me.shared;
	if (process->leader)
		progress_iterations(shared->parameters.iterations,
							(uint64) me.blocks->sides[ALS_USERS].nrows +
							me.blocks->sides[ALS_ITEMS].nrows);
	INSTR_TIME_SET_CURRENT(started);
	me.iteration_start = started;
	if (shared->spectral && shared->iterations == 0)
		start_from_singular_vectors(&me);
	if (shared->iterations == 0)
		features_start(&me);
	while (shared->failure == ALS_OK && !shared->stop &&
		   shared->iterations < shared->pause)
	{
		if (shared->ahead && shared->iterations > 0)
			move_items_on(&me);
		if (!solve_side(&me, ALS_USERS) || !solve_side(&me, ALS_ITEMS))
			break;
		if (process->leader)
		{
			finish_iteration(&me);
			reset_pieces(shared);
			shared->measure = shared->measure && features_fill_measured(&me);
			if (shared->measure)
				take_factors(&me);
		}
		parallel_wait(me.process);
		if (shared->measure)
		{
			measure_factors(&me);
			parallel_wait(me.process);
			if (process->leader)
				judge_factors(&me);
			parallel_wait(me.process);
		}
		INSTR_TIME_SET_CURRENT(me.iteration_start);
	}

	if (process->leader)
	{
		instr_time	ended;

		INSTR_TIME_SET_CURRENT(ended);
		INSTR_TIME_SUBTRACT(ended, started);
		shared->seconds += INSTR_TIME_GET_DOUBLE(ended);
	}
	for (int side = 0; side < 2; side++)
		blocks_reader_close(me.readers[side]);
}
