/*
 * normal_equations.c
 *	  The normal equations of one row in single precision, and the objective at
 *	  their solution.
 */
#include "normal_equations.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "regularization.h"

/* y += x over count floats */
static void
add(size_t count, const float *x, float *y)
{
	for (size_t i = 0; i < count; i++)
		y[i] += x[i];
}

/* lambda s of a row; implicit: beyond that which is part of base */
static double
shift_beyond_base(const AlsSystem *system, const Row *row)
{
	double		scale = als_regularization_scale(system, row->entries,
												 row->weights, row->n);

	if (system->feedback == ALS_IMPLICIT)
		scale -= als_regularization_scale(system, NULL, NULL, 0);
	return (double) system->regularization * scale;
}

/*
 * A row of several chunks adds each up on its own first, so that long rows lose
 * no precision.
 */
int
als_normal_equations(const AlsSystem *system, const Row *row,
					 const Workspace *workspace)
{
	size_t		stride = (size_t) als_stride(system->rank);
	size_t		square = stride * stride;
	size_t		bias = (size_t) system->rank - 1;
	float		shift = (float) shift_beyond_base(system, row);
	float	   *a = workspace->a;
	float	   *b = workspace->r;

	if (als_lacks_ratings(system, row))
		return (int) row->n + 1;

	if (system->feedback == ALS_IMPLICIT)
		memcpy(a, system->base, square * sizeof(float));
	else
		memset(a, 0, square * sizeof(float));
	if (shift > 0)
		for (size_t i = 0; i < (size_t) system->rank; i++)
			a[i * stride + i] += shift;
	a[bias * stride + bias] += (float) als_bias_ridge(system, (double) shift);
	memset(b, 0, stride * sizeof(float));
	if (row->prior != NULL)
	{
		float		lambda = (float) als_row_shift(system, row->entries, row->weights, row->n);

		for (size_t i = 0; i < (size_t) system->rank; i++)
			b[i] = lambda * row->prior[i];
	}

	for (size_t first = 0; first < row->n; first += workspace->chunk)
	{
		size_t		n = als_load_weights(system, row, first, workspace);
		float	   *to = row->n > workspace->chunk ? workspace->a_partial : a;

		if (to != a)
			memset(to, 0, square * sizeof(float));
		memset(workspace->partial, 0, stride * sizeof(float));
		system->kernels->gather_equations(system->rank, (int) stride, n,
										  row->available - first,
										  system->fixed, row->entries + first,
										  workspace->weight, workspace->target,
										  workspace->gathered, to,
										  workspace->partial);
		if (to != a)
			add(square, to, a);
		add(stride, workspace->partial, b);
	}
	for (size_t i = 0; i < (size_t) system->rank; i++)
		if (!isfinite(a[i * stride + i]) || !isfinite(b[i]))
			return ALS_NOT_FINITE;
	return ALS_OK;
}

/* x'Bx, from the lower triangle of B */
static double
base_norm(const AlsSystem *system, const Row *row, const float *x)
{
	size_t		stride = (size_t) als_stride(system->rank);
	double		sum = shift_beyond_base(system, row) *
		als_squared_norm(system->rank, x);

	if (system->feedback == ALS_EXPLICIT)
		return sum;
	for (size_t j = 0; j < (size_t) system->rank; j++)
	{
		const float *column = system->base + j * stride;

		sum += (double) x[j] *
			(2 * (double) system->kernels->dot((int) stride, column, x) -
			 (double) column[j] * (double) x[j]);
	}
	return sum;
}

/* x'Bx, and what the ratings and the prior add */
double
als_objective_at(const AlsSystem *system, const Row *row,
				 const Workspace *workspace, const float *x)
{
	int			stride = als_stride(system->rank);
	double		sum = base_norm(system, row, x);

	if (row->prior != NULL)
		sum += als_row_shift(system, row->entries, row->weights, row->n) *
			(als_squared_distance(system->rank, x, row->prior) -
			 als_squared_norm(system->rank, x));
	for (size_t first = 0; first < row->n; first += workspace->chunk)
	{
		size_t		n = row->n;

		if (row->n > workspace->chunk)
			n = als_load_chunk(system, row, first, workspace);
		system->kernels->scores(stride, n, workspace->gathered, x,
								workspace->dots);
		sum += als_chunk_objective(system, row, workspace, n);
	}
	return sum;
}

/*
 * Every f.x may be wrong by eps |f| |x|, which changes the objective by
 * 2 (w f.x - t) as much; with trace = trace of A >= sum w |f|^2, the sum of these
 * is at most 2 eps |x| sqrt(trace objective).  x'Bx, part of which the terms of
 * the ratings cancel, is a sum of terms about as large as b_jj x_j^2, to which a
 * prior adds lambda s |p|^2.
 */
int
als_objective_is_sure(const AlsSystem *system, const Row *row, double trace,
					  const float *x, double objective)
{
	size_t		stride = (size_t) als_stride(system->rank);
	double		size = als_squared_norm(system->rank, x) * trace;
	double		base = 0;

	if (system->feedback == ALS_IMPLICIT)
		for (size_t j = 0; j < (size_t) system->rank; j++)
			base += (double) system->base[j * stride + j] * (double) x[j] *
				(double) x[j];
	if (row->prior != NULL)
		base += als_row_shift(system, row->entries, row->weights, row->n) *
			als_squared_norm(system->rank, row->prior);
	return objective > 0 &&
		(double) FLT_EPSILON * (sqrt(size * objective) + base) <=
		ALS_LOSS_TOLERANCE * objective;
}
