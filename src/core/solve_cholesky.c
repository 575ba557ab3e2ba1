/*
 * solve_cholesky.c
 *	  The exact solution for one row, by Cholesky factorization.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "solve.h"

/* y += x over count floats */
static void
add(size_t count, const float *x, float *y)
{
	for (size_t i = 0; i < count; i++)
		y[i] += x[i];
}

/*
 * A = B + sum w f f' and b = sum t f.  A row of several chunks adds each up on
 * its own first, so that long rows lose no precision.
 */
static void
normal_equations(const AlsSystem *system, const Row *row,
				 const Workspace *workspace)
{
	size_t		stride = (size_t) als_stride(system->rank);
	size_t		square = stride * stride;
	float	   *a = workspace->a;
	float	   *b = workspace->r;

	if (system->feedback == ALS_IMPLICIT)
		memcpy(a, system->base, square * sizeof(float));
	else
	{
		memset(a, 0, square * sizeof(float));
		for (size_t i = 0; i < (size_t) system->rank; i++)
			a[i * stride + i] = system->regularization * (float) row->n;
	}
	memset(b, 0, stride * sizeof(float));
	memset(workspace->q, 0, stride * sizeof(float));

	for (size_t first = 0; first < row->n; first += workspace->chunk)
	{
		size_t		n = als_load_chunk(system, row, first, workspace);
		float	   *to = row->n > workspace->chunk ? workspace->a_partial : a;

		if (to != a)
			memset(to, 0, square * sizeof(float));
		system->kernels->weighted_gram(system->rank, (int) stride, n,
									   workspace->gathered,
									   workspace->weight, to);
		if (to != a)
			add(square, to, a);

		memset(workspace->partial, 0, stride * sizeof(float));
		system->kernels->residual((int) stride, n, workspace->gathered,
								  workspace->weight, workspace->target,
								  workspace->q, workspace->partial,
								  workspace->dots);
		add(stride, workspace->partial, b);
	}
}

/* x'Bx, from the lower triangle of B */
static double
base_norm(const AlsSystem *system, const Row *row, const float *x)
{
	size_t		stride = (size_t) als_stride(system->rank);
	double		sum = 0;

	if (system->feedback == ALS_EXPLICIT)
		return (double) system->regularization * (double) row->n *
			als_squared_norm(system->rank, x);
	for (size_t j = 0; j < (size_t) system->rank; j++)
	{
		const float *column = system->base + j * stride;

		sum += (double) x[j] *
			(2 * (double) system->kernels->dot((int) stride, column, x) -
			 (double) column[j] * (double) x[j]);
	}
	return sum;
}

/* The objective at x: x'Bx and what the ratings add */
static double
objective_at(const AlsSystem *system, const Row *row,
			 const Workspace *workspace, const float *x)
{
	int			stride = als_stride(system->rank);
	double		sum = base_norm(system, row, x);

	for (size_t first = 0; first < row->n; first += workspace->chunk)
	{
		size_t		n = row->n;

		if (row->n > workspace->chunk)
			n = als_load_chunk(system, row, first, workspace);
		system->kernels->scores(stride, n, workspace->gathered, x,
								workspace->dots);
		sum += als_chunk_objective(system, workspace, n);
	}
	return sum;
}

int
als_solve_row_cholesky(const AlsSystem *system, const Row *row,
					   const Workspace *workspace, float *x,
					   double *objective)
{
	int			stride = als_stride(system->rank);
	float	   *a = workspace->a;
	float	   *diagonal = workspace->p;
	const int	one = 1;
	int			info;

	/* singular whatever rounding makes of it: fewer ratings than factors */
	if (system->feedback == ALS_EXPLICIT && system->regularization <= 0 &&
		row->n < (size_t) system->rank)
		return (int) row->n + 1;

	normal_equations(system, row, workspace);
	for (int i = 0; i < system->rank; i++)
	{
		diagonal[i] = a[(size_t) i * (size_t) stride + (size_t) i];
		if (!isfinite(diagonal[i]))
			return ALS_NOT_FINITE;
	}
	memcpy(x, workspace->r, (size_t) stride * sizeof(float));

	system->blas->spotrf("L", &system->rank, a, &stride, &info, 1);
	if (info != 0)
		return info;
	for (int i = 0; i < system->rank; i++)
	{
		float		pivot = a[(size_t) i * (size_t) stride + (size_t) i];

		/* below this, rounding has decided the pivot */
		if (pivot * pivot <= 4 * FLT_EPSILON * diagonal[i])
			return i + 1;
	}
	system->blas->spotrs("L", &system->rank, &one, a, &stride, x, &stride,
						 &info, 1);
	*objective = objective_at(system, row, workspace, x);
	return ALS_OK;
}
