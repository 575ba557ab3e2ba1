/*
 * features.c
 *	  Features in the iterations: their factors, and the priors of rows.
 *
 * Behind the phases of a side whose rows have features are two more:
 *
 *	  the factors of its features, by groups of columns
 *	  the priors of its rows, and the penalty, by ranges of rows
 *
 * So rows, factors of features and priors belong together when an iteration
 * ends, and its loss is the objective at all of them.
 */
#include "compat.h"

#include <math.h>

#include "common/bulk.h"
#include "common/settings.h"
#include "common/side.h"
#include "train/features.h"

/*
 * Steps of conjugate gradient where there are too many features for a matrix: as
 * rows are, their factors are moved on by a few in an iteration, from where they
 * were, or to the minimum.  docs/experiments.md has what was measured.
 */
#define DESCENT_STEPS 2
#define EXACT_STEPS 200

/* How many ranges of rows there are */
static inline uint32
prior_ranges(uint32 nrows)
{
	return nrows / PREPARE_ROWS + (nrows % PREPARE_ROWS != 0);
}

void
features_reserve(FeatureState *state, const SideFeatures *features,
				 size_t stride, bool validating, size_t *size)
{
	size_t		nrows = features->nrows;
	size_t		nfeatures = features->nfeatures;
	size_t		factors = nfeatures * stride * sizeof(float);
	size_t		nall;

	state->nfeatures = features->nfeatures;
	state->nnew = validating ? features->nnew : 0;
	nall = nrows + state->nnew;
	state->start_offset = arena_reserve(size, (nall + 1) * sizeof(uint64));
	state->entries_offset = arena_reserve(size, features->start[nall] *
										  sizeof(AlsEntry));
	state->scale_offset = arena_reserve(size, nrows * sizeof(double));
	state->diagonal_offset = arena_reserve(size, nfeatures * sizeof(double));
	if (nfeatures <= ALS_FACTORED_FEATURES)
		state->matrix_offset = arena_reserve(size, nfeatures * nfeatures *
											 sizeof(double));
	state->factors_offset = arena_reserve(size, factors);
	if (validating)
		state->best_offset = arena_reserve(size, factors);
	state->priors_offset = arena_reserve(size, nrows * stride * sizeof(float));
	state->penalties_offset = arena_reserve(size, prior_ranges(features->nrows) *
											sizeof(double));
}

void
features_load(TrainerState *shared, AlsSide side, const SideFeatures *features)
{
	const FeatureState *state = &shared->features[side];
	size_t		nrows = features->nrows;
	size_t		nall = nrows + state->nnew;
	size_t		stride = als_stride(shared->rank);

	copy_large(shared_at(shared, state->start_offset), features->start,
			   (nall + 1) * sizeof(uint64));
	copy_large(shared_at(shared, state->entries_offset), features->entries,
			   features->start[nall] * sizeof(AlsEntry));
	zero_large(shared_at(shared, state->factors_offset),
			   features->nfeatures * stride * sizeof(float));
	zero_large(shared_at(shared, state->priors_offset),
			   nrows * stride * sizeof(float));
}

void
features_attach(TrainerProcess *me)
{
	TrainerState *shared = me->shared;

	for (int side = 0; side < 2; side++)
	{
		const FeatureState *state = &shared->features[side];

		me->system.nfixed = me->blocks->sides[other_side(side)].nrows;
		me->features[side] = (AlsFeatures)
		{
			.blas = me->system.blas,
				.poll = poll_interrupts,
				.rank = shared->rank,
				.nfeatures = state->nfeatures,
				.rows =
			{
				.nrows = me->blocks->sides[side].nrows,
					.start = shared_at(shared, state->start_offset),
					.entries = shared_at(shared, state->entries_offset)
			},
				.scale = shared_at(shared, state->scale_offset),
				.most = als_features_scale(&me->system),
				.ridge = state->ridge,
				.steps = shared->parameters.solver == ALS_CG ?
				DESCENT_STEPS : EXACT_STEPS,
				.diagonal = shared_at(shared, state->diagonal_offset),
				.matrix = state->matrix_offset == 0 ? NULL :
				shared_at(shared, state->matrix_offset)
		};
	}
}

/* s of all rows of a side, by blocks of their ratings */
static void
take_scales(TrainerProcess *me, AlsSide side)
{
	TrainerState *shared = me->shared;
	const uint32 *first_row = blocks_first_row(me->blocks, side);
	double	   *scale = shared_at(shared, shared->features[side].scale_offset);
	uint32		block;

	me->system.nfixed = me->blocks->sides[other_side(side)].nrows;
	while ((block = pg_atomic_fetch_add_u32(&shared->next_solve, 1)) <
		   me->blocks->sides[side].nblocks)
	{
		AlsRows		rows = blocks_read(me->readers[side], block);

		CHECK_FOR_INTERRUPTS();
		for (uint32 r = 0; r < rows.nrows; r++)
		{
			uint64		at = rows.start[r] - rows.start[0];

			scale[first_row[block] + r] =
				als_regularization_scale(&me->system, rows.entries + at,
										 rows.weights ? rows.weights + at : NULL,
										 rows.start[r + 1] - rows.start[r]);
		}
	}
}

/*
 * The leader's: the matrix of a side's features.  A feature is worth as much
 * regularization as so many rows that are drawn to theirs as usual.
 */
static void
prepare_matrix(TrainerProcess *me, AlsSide side)
{
	TrainerState *shared = me->shared;
	FeatureState *state = &shared->features[side];
	const double *scale = shared_at(shared, state->scale_offset);
	uint32		nrows = me->blocks->sides[side].nrows;
	double		sum = 0;
	int			result;

	for (uint32 r = 0; r < nrows; r++)
		sum += als_features_weight(scale[r], me->features[side].most);
	state->ridge = shared->parameters.feature_regularization * sum / nrows;
	me->features[side].ridge = state->ridge;
	result = als_features_prepare(&me->features[side],
								  shared_at(shared, state->diagonal_offset),
								  state->matrix_offset == 0 ? NULL :
								  shared_at(shared, state->matrix_offset));
	if (result != ALS_OK)
		note_failure(shared, result, side, FAILED_FEATURES);
}

/* The priors of a side's rows, and what each range of them adds to the penalty */
static void
make_priors(TrainerProcess *me, AlsSide side)
{
	TrainerState *shared = me->shared;
	const FeatureState *state = &shared->features[side];
	const AlsFeatures *features = &me->features[side];
	size_t		stride = als_stride(shared->rank);
	uint32		nrows = features->rows.nrows;
	float	   *priors = shared_at(shared, state->priors_offset);
	double	   *penalties = shared_at(shared, state->penalties_offset);
	uint32		range;

	while ((range = pg_atomic_fetch_add_u32(&shared->next_prior, 1)) <
		   prior_ranges(nrows))
	{
		uint32		first = range * PREPARE_ROWS;
		AlsRows		rows = {
			.nrows = Min(PREPARE_ROWS, nrows - first),
			.start = features->rows.start + first,
			.entries = features->rows.entries + features->rows.start[first]
		};

		CHECK_FOR_INTERRUPTS();
		als_features_priors(shared->rank, &rows, features->scale + first,
							features->most,
							shared_at(shared, state->factors_offset),
							priors + first * stride, poll_interrupts);
		penalties[range] =
			als_features_penalty(shared->rank, rows.nrows, features->scale + first,
								 features->most, side_factors(shared, side) + first * stride,
								 priors + first * stride);
	}
}

void
features_solve(TrainerProcess *me, AlsSide side)
{
	TrainerState *shared = me->shared;
	FeatureState *state = &shared->features[side];
	float	   *factors = shared_at(shared, state->factors_offset);
	const double *penalties = shared_at(shared, state->penalties_offset);
	uint32		group;

	while ((group = pg_atomic_fetch_add_u32(&shared->next_group, 1)) <
		   (uint32) als_feature_groups(shared->rank))
	{
		CHECK_FOR_INTERRUPTS();
		als_features_solve(&me->features[side], group,
						   side_factors(shared, side),
						   shared_at(shared, state->priors_offset), factors,
						   me->workspace);
	}
	parallel_wait(me->process);
	make_priors(me, side);
	parallel_wait(me->process);
	if (!me->process->leader)
		return;
	state->penalty = state->ridge *
		als_features_norm(shared->rank, state->nfeatures, factors);
	for (uint32 range = 0; range < prior_ranges(me->features[side].rows.nrows); range++)
		state->penalty += penalties[range];
}

void
features_start(TrainerProcess *me)
{
	TrainerState *shared = me->shared;

	for (int side = 0; side < 2; side++)
	{
		if (shared->features[side].nfeatures == 0)
			continue;
		take_scales(me, side);
		parallel_wait(me->process);
		if (me->process->leader)
		{
			prepare_matrix(me, side);
			reset_pieces(shared);
		}
		parallel_wait(me->process);
		if (shared->failure != ALS_OK)
			return;
		me->features[side].ridge = shared->features[side].ridge;
		features_solve(me, side);
	}
	/* everybody is done with the pieces */
	parallel_wait(me->process);
	if (me->process->leader)
		reset_pieces(shared);
	parallel_wait(me->process);
}

/* The factors of rows without ratings; are they finite? */
static bool
fill_rows(int rank, const AlsRows *rows, const float *feature_factors, float *to)
{
	size_t		size = rows->nrows * (size_t) als_stride(rank);

	als_features_priors(rank, rows, NULL, 0, feature_factors, to, poll_interrupts);
	for (size_t i = 0; i < size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!isfinite(to[i]))
			return false;
	}
	return true;
}

bool
features_fill_measured(TrainerProcess *me)
{
	TrainerState *shared = me->shared;

	for (int side = 0; side < 2; side++)
	{
		const FeatureState *state = &shared->features[side];
		const AlsRows *all = &me->features[side].rows;
		AlsRows		rows = {.nrows = state->nnew};

		if (state->nnew == 0)
			continue;
		rows.start = all->start + all->nrows;
		rows.entries = all->entries + all->start[all->nrows];
		if (!fill_rows(shared->rank, &rows, shared_at(shared, state->factors_offset),
					   side_factors(shared, side) +
					   all->nrows * (size_t) als_stride(shared->rank)))
		{
			note_failure(shared, ALS_NOT_FINITE, side, FAILED_FEATURES);
			return false;
		}
	}
	return true;
}

void
features_fill_new(const SideFeatures *features, const TrainerResult *result,
				  AlsSide side)
{
	AlsRows		rows = features_rows(features, features->nrows, features->nnew);

	if (!fill_rows(result->rank, &rows, result->feature_factors[side],
				   result->factors[side] +
				   features->nrows * (size_t) als_stride(result->rank)))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("the factors of %s without ratings are out of the range of type real",
						side_plurals[side]),
				 errhint("Scale the values of their features down.")));
}
