/*
 * solve_exact.c
 *	  The exact solution for one row in double precision: for rows that single
 *	  precision does not carry, and wherever a single row is all there is to
 *	  solve.
 */
#include "solve_exact.h"

#include <string.h>

#include "exact_equations.h"
#include "factorize.h"
#include "orthogonal.h"

/* By normal equations: ALS_OK, ALS_NOT_FINITE or the failing pivot. */
static int
solve_equations(const AlsSystem *system, const Row *row,
				const Workspace *workspace)
{
	int			rank = system->rank;
	int			info = als_exact_equations(system, row, workspace);

	if (info == ALS_OK)
		info = als_factorize_certain(system->blas, system->poll, rank,
									 workspace->exact, rank);
	if (info != ALS_OK)
		return info;
	memset(workspace->solution, 0,
		   (size_t) als_stride(rank) * sizeof(double));
	memcpy(workspace->solution, workspace->right,
		   (size_t) rank * sizeof(double));
	als_factorized_solve(system->blas, rank, workspace->exact, rank,
						 workspace->solution);
	return als_exact_refine(system, row, workspace, rank, NULL,
							workspace->exact, rank);
}

/*
 * Is it a solution after als_orthogonal_solve?  By the correction for its
 * residual: with rows that point the same way, and weights beyond double, it may
 * be anything.
 */
static int
check_orthogonal(const AlsSystem *system, const Row *row,
				 const Workspace *workspace)
{
	int			rank = system->rank;
	int			stride = als_stride(rank);
	double	   *residual = workspace->correction;

	als_exact_residual(system, row, workspace->solution, residual);
	/* R by rows is L by columns */
	als_factorized_solve(system->blas, rank, workspace->exact, stride,
						 residual);
	return als_largest((size_t) rank, residual) <= ALS_TOLERABLE_CORRECTION *
		als_largest((size_t) rank, workspace->solution) ? ALS_OK : rank;
}

int
als_solve_row_exact(const AlsSystem *system, const Row *row,
					const Workspace *workspace, float *x, double *objective)
{
	int			info = solve_equations(system, row, workspace);

	if (info > 0)
	{
		info = als_orthogonal_solve(system, row, workspace);
		if (info == ALS_OK)
			info = check_orthogonal(system, row, workspace);
	}
	if (info != ALS_OK)
		return info;
	/* padding that was multiplied by infinity is no number any more */
	for (int i = 0; i < als_stride(system->rank); i++)
		x[i] = i < system->rank ? (float) workspace->solution[i] : 0;
	*objective = als_exact_objective(system, row, workspace, x);
	return ALS_OK;
}
