/*
 * solve_cholesky.c
 *	  The exact solution for one row, by Cholesky factorization.
 */
#include <float.h>
#include <string.h>

#include "solve.h"

int
als_solve_row_cholesky(const AlsSystem *system, const Row *row,
					   const Workspace *workspace, float *x,
					   double *objective)
{
	int			stride = als_stride(system->rank);
	float	   *a = workspace->a;
	float	   *diagonal = workspace->p;
	int			info = als_normal_equations(system, row, workspace);

	if (info != ALS_OK)
		return info;
	for (int i = 0; i < system->rank; i++)
		diagonal[i] = a[(size_t) i * (size_t) stride + (size_t) i];
	memcpy(x, workspace->r, (size_t) stride * sizeof(float));

	info = system->kernels->cholesky(system->rank, stride, a);
	if (info != 0)
		return info;
	for (int i = 0; i < system->rank; i++)
	{
		float		pivot = a[(size_t) i * (size_t) stride + (size_t) i];

		/* below this, rounding has decided the pivot */
		if (pivot * pivot <= 4 * FLT_EPSILON * diagonal[i])
			return i + 1;
	}
	system->kernels->cholesky_solve(system->rank, stride, a, x);
	*objective = als_objective_at(system, row, workspace, x);
	return ALS_OK;
}
