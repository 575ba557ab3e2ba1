/*
 * solve_cholesky.c
 *	  The exact solution for one row, by Cholesky factorization: in single
 *	  precision, or in double where that does not do.
 */
#include <string.h>

#include "solve.h"

/* Each of which leaves less than 2^-6 of the error */
#define REFINEMENTS 2

/* x += (L L')^-1 (b - A x), the residual in double and the rest in single */
static void
refine(const AlsSystem *system, const Row *row, const Workspace *workspace,
	   float *x)
{
	double	   *solution = workspace->solution;
	double	   *residual = workspace->correction;
	float	   *correction = workspace->r;
	int			stride = als_stride(system->rank);

	for (int i = 0; i < stride; i++)
		solution[i] = (double) x[i];
	for (int step = 0; step < REFINEMENTS; step++)
	{
		als_exact_residual(system, row, solution, residual);
		for (int i = 0; i < stride; i++)
			correction[i] = (float) residual[i];
		system->kernels->cholesky_solve(system->rank, stride, workspace->a,
										correction);
		for (int i = 0; i < system->rank; i++)
			solution[i] += (double) correction[i];
	}
	for (int i = 0; i < system->rank; i++)
		x[i] = (float) solution[i];
}

/*
 * In single precision.  Returns ALS_OK, ALS_NOT_FINITE or the pivot of which
 * rounding has left too little.
 */
static int
solve_single(const AlsSystem *system, const Row *row,
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
	if (!sure)
		refine(system, row, workspace, x);
	return ALS_OK;
}

int
als_solve_row_cholesky(const AlsSystem *system, const Row *row,
					   const Workspace *workspace, float *x,
					   double *objective)
{
	double		trace;

	if (system->exact ||
		solve_single(system, row, workspace, x, &trace) != ALS_OK)
		return als_solve_row_exact(system, row, workspace, x, objective);
	*objective = als_objective_at(system, row, workspace, x);
	if (!als_objective_is_sure(system, trace, x, *objective))
		*objective = als_exact_objective(system, row, workspace, x);
	return ALS_OK;
}
