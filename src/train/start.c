/*
 * start.c
 *	  Where an implicit training starts: the leading singular vectors of the
 *	  ratings, by block power iteration from random factors.
 *
 * Each product with the ratings, or with their transpose, has the phases of
 * half an iteration: Gram matrix, a basis by the leader, rows turned, blocks
 * of rows summed.  core/spectral.c has the method.
 */
#include "compat.h"

#include <math.h>

#include "common/bulk.h"
#include "common/side.h"
#include "train/start.h"

/* Products with the ratings and their transpose */
#define SPECTRAL_ROUNDS 2

/* A side's columns made orthonormal, or what another power makes of them. */
static bool
turn_columns(TrainerProcess *me, AlsSide side, double power, bool last)
{
	TrainerState *shared = me->shared;
	size_t		stride = als_stride(shared->rank);
	uint32		nrows = me->blocks->sides[side].nrows;
	const uint64 *start = blocks_row_start(me->blocks, side);
	float	   *basis = shared_at(shared, shared->base_factor_offset);
	uint32		first;

	sum_gram(me, side);
	parallel_wait(me->process);
	if (me->process->leader)
	{
		uint32		length;
		int			ranges = gram_ranges(nrows, stride, &length);
		int			result = als_spectral_basis(&me->system, ranges,
												shared_at(shared, shared->grams_offset),
												power, &shared->trace, basis,
												me->workspace);

		if (result != 0)
			note_failure(shared, ALS_NOT_FINITE, side, 0);
		reset_pieces(shared);
	}
	parallel_wait(me->process);
	if (shared->failure != ALS_OK)
		return false;
	while ((first = pg_atomic_fetch_add_u32(&shared->next_prepare, 1) *
			PREPARE_ROWS) < nrows)
	{
		float	   *rows = side_factors(shared, side) + first * stride;
		uint32		count = Min(PREPARE_ROWS, nrows - first);

		CHECK_FOR_INTERRUPTS();
		als_spectral_turn(&me->system, basis, count, rows, me->workspace);
		if (last)
			als_initial_mix((uint64) shared->parameters.seed, side,
							shared->parameters.factors, shared->rank, first,
							count, shared->trace > 0 ?
							sqrt(nrows * (double) shared->rank / shared->trace) : 0,
							rows);
		else
			als_spectral_divide(&me->system, start + first, count, rows);
	}
	parallel_wait(me->process);
	return true;
}

/* A side's rows := B or B' times the other's. */
static void
multiply_ratings(TrainerProcess *me, AlsSide side)
{
	TrainerState *shared = me->shared;
	size_t		stride = als_stride(shared->rank);
	const uint32 *first_row = blocks_first_row(me->blocks, side);
	uint32		block;

	me->system.fixed = side_factors(shared, other_side(side));
	while ((block = pg_atomic_fetch_add_u32(&shared->next_solve, 1)) <
		   me->blocks->sides[side].nblocks)
	{
		AlsRows		rows = blocks_read(me->readers[side], block);

		CHECK_FOR_INTERRUPTS();
		als_spectral_sum(&me->system, &rows, side_factors(shared, side) +
						 first_row[block] * stride);
	}
	parallel_wait(me->process);
}

void
start_from_singular_vectors(TrainerProcess *me)
{
	TrainerState *shared = me->shared;

	for (int product = 0; product < 2 * SPECTRAL_ROUNDS; product++)
	{
		AlsSide		side = product % 2;

		if (!turn_columns(me, other_side(side), -0.5, false))
			return;
		multiply_ratings(me, side);
	}
	if (!turn_columns(me, ALS_ITEMS, -0.25, true))
		return;
	if (me->process->leader)
	{
		zero_large(side_factors(shared, ALS_USERS),
				   me->blocks->sides[ALS_USERS].nrows *
				   (size_t) als_stride(shared->rank) * sizeof(float));
		reset_pieces(shared);
	}
	parallel_wait(me->process);
}
