/*
 * solve_cholesky.c
 *	  The exact solution for one row, by Cholesky factorization: in single
 *	  precision, or in double where that does not do.
 */
#include "solve_cholesky.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "exact_equations.h"
#include "normal_equations.h"
#include "regularization.h"
#include "solve_exact.h"

/* By how much a row's objective may be above the minimum, against itself */
#define ABOVE_MINIMUM 0x1p-10

/* At most; two leave nothing to correct as a rule */
#define REFINEMENTS 4

/*
 * x += (L L')^-1 (b - A x), the residual in double and the rest in single, until
 * it stays.  Returns 0 if it does not.
 */
static int
refine(const AlsSystem *system, const Row *row, const Workspace *workspace,
	   float *x)
{
	double	   *solution = workspace->solution;
	double	   *residual = workspace->correction;
	float	   *correction = workspace->r;
	int			stride = als_stride(system->rank);
	int			stays = 0;

	for (int i = 0; i < stride; i++)
		solution[i] = (double) x[i];
	for (int step = 0; step < REFINEMENTS && !stays; step++)
	{
		double		size = 0;
		double		change = 0;

		als_exact_residual(system, row, solution, residual);
		for (int i = 0; i < stride; i++)
			correction[i] = (float) residual[i];
		system->kernels->cholesky_solve(system->rank, stride, workspace->a,
										correction);
		for (int i = 0; i < system->rank; i++)
		{
			solution[i] += (double) correction[i];
			if (!(fabs((double) correction[i]) <= change))
				change = fabs((double) correction[i]);
			size = fmax(size, fabs(solution[i]));
		}
		stays = change <= 4 * (double) FLT_EPSILON * size;
	}
	for (int i = 0; i < system->rank; i++)
		x[i] = (float) solution[i];
	return stays;
}

/*
 * In single precision.  Returns ALS_OK, ALS_NOT_FINITE or the pivot of which
 * rounding has left too little.
 */
static int
factorize_and_solve(const AlsSystem *system, const Row *row,
					const Workspace *workspace, float *x, double *trace)
{
	int			stride = als_stride(system->rank);
	float	   *a = workspace->a;
	float	   *diagonal = workspace->p;
	int			sure = 1;
	int			info = als_normal_equations(system, row, workspace);

	if (info != ALS_OK)
		return info;
	*trace = 0;
	for (int i = 0; i < system->rank; i++)
	{
		diagonal[i] = a[(size_t) i * (size_t) stride + (size_t) i];
		*trace += (double) diagonal[i];
	}
	memcpy(x, workspace->r, (size_t) stride * sizeof(float));

	info = system->kernels->cholesky(system->rank, stride, a);
	if (info != 0)
		return info;
	for (int i = 0; i < system->rank; i++)
	{
		float		pivot = a[(size_t) i * (size_t) stride + (size_t) i];

		if (!(pivot * pivot >= ALS_LEAST_PIVOT * diagonal[i]))
			return i + 1;
		sure &= pivot * pivot >= ALS_SURE_PIVOT * diagonal[i];
	}
	system->kernels->cholesky_solve(system->rank, stride, a, x);
	return sure || refine(system, row, workspace, x) ? ALS_OK : system->rank;
}

/*
 * Is the objective at x next to the minimum?  The residual b - A x is no more
 * than eps |A| |x|, and the objective above the minimum by r'A^-1 r, where A is
 * no less than lambda s I, or about the least pivot of base.
 */
static int
is_minimum(const AlsSystem *system, const Row *row, double trace,
		   const float *x, double objective)
{
	size_t		stride = (size_t) als_stride(system->rank);
	double		shift = als_row_shift(system, row->entries, row->weights, row->n);
	double		residual = (double) FLT_EPSILON / 2 * trace;

	if (system->feedback == ALS_IMPLICIT)
	{
		float		least = INFINITY;

		for (size_t j = 0; j < (size_t) system->rank; j++)
			least = fminf(least, system->base_factor[j * stride + j]);
		shift = fmax(shift, (double) least * (double) least);
	}
	return shift <= 0 || residual * residual *
		als_squared_norm(system->rank, x) <= ABOVE_MINIMUM * shift * objective;
}

int
als_solve_row_cholesky(const AlsSystem *system, const Row *row,
					   const Workspace *workspace, float *x,
					   double *objective)
{
	double		trace;

	if (system->exact ||
		factorize_and_solve(system, row, workspace, x, &trace) != ALS_OK)
		return als_solve_row_exact(system, row, workspace, x, objective);
	*objective = als_objective_at(system, row, workspace, x);
	if (!is_minimum(system, row, trace, x, *objective))
		return als_solve_row_exact(system, row, workspace, x, objective);
	if (!als_objective_is_sure(system, row, trace, x, *objective))
		*objective = als_exact_objective(system, row, workspace, x);
	return ALS_OK;
}
