/*
 * solve_nonnegative.c
 *	  The exact solution for one row whose factors are not below zero.
 *
 * Block principal pivoting of Portugal, Judice and Vicente, Mathematics of
 * Computation 63 (1994), as used for factor models by Kim and Park, SIAM
 * Journal on Scientific Computing 33 (2011).  x minimizes x'Ax - 2 b'x over
 * x >= 0 if, and only if, with the gradient y = A x - b,
 *
 *	  x >= 0,  y >= 0,  x_i y_i = 0 for every i
 *
 * Some columns are passive: there y = 0 and x solves the normal equations; in
 * the others x = 0.  Columns with the wrong sign of x or y change sides, all of
 * them while that makes fewer of them, else the last one alone, which ends
 * after finitely many exchanges (Murty).  Single precision is what A and b are
 * known to, so all else is done in double and a gradient within that precision
 * of zero counts as zero.  A bias is always passive.
 */
#include <float.h>
#include <string.h>

#include "factor.h"
#include "solve.h"

/* Exchanges of all columns that do not help before one is exchanged alone */
#define PATIENCE 3

/* Exchanges after which it is hopeless: far more than are ever needed */
#define MOST_EXCHANGES(rank) (100 + 10 * (rank))

/* An element of the symmetric matrix whose lower triangle is A */
static double
element(const Workspace *workspace, int stride, int i, int j)
{
	return (double) workspace->a[i > j ? j * stride + i : i * stride + j];
}

/*
 * x := solution with what is not passive at zero.  Returns ALS_OK or the
 * failing pivot.
 */
static int
solve_passive(const AlsSystem *system, const Workspace *workspace)
{
	int			stride = als_stride(system->rank);
	int		   *passive = workspace->passive;
	double	   *factor = workspace->factor;
	double	   *x = workspace->passive_solution;
	const int	one = 1;
	int			n = 0;
	int			info;

	for (int i = 0; i < system->rank; i++)
	{
		workspace->solution[i] = 0;
		if (workspace->is_passive[i])
			passive[n++] = i;
	}
	if (n == 0)
		return ALS_OK;

	for (int j = 0; j < n; j++)
	{
		x[j] = (double) workspace->r[passive[j]];
		for (int i = j; i < n; i++)
			factor[j * stride + i] = element(workspace, stride, passive[i],
											 passive[j]);
	}
	info = als_factor(system->blas, system->poll, n, factor, stride);
	if (info != 0)
		return passive[info - 1] + 1;
	for (int j = 0; j < n; j++)
	{
		double		pivot = factor[j * stride + j];

		/* below this, the rounding of A has decided the pivot */
		if (pivot * pivot <= 4 * (double) FLT_EPSILON *
			element(workspace, stride, passive[j], passive[j]))
			return passive[j] + 1;
	}
	system->blas->dpotrs("L", &n, &one, factor, &stride, x, &stride, &info, 1);
	for (int j = 0; j < n; j++)
		workspace->solution[passive[j]] = x[j];
	return ALS_OK;
}

/*
 * Does column i have the wrong sign?  Its gradient counts as zero if it is
 * within single precision of the sizes of what it is the sum of.
 */
static int
is_infeasible(const AlsSystem *system, const Workspace *workspace, int i)
{
	int			stride = als_stride(system->rank);
	double		gradient = -(double) workspace->r[i];
	double		size = -gradient;

	if (workspace->is_passive[i])
		return workspace->solution[i] < 0;

	size = size < 0 ? -size : size;
	for (int j = 0; j < system->rank; j++)
	{
		double		term = element(workspace, stride, i, j) *
		workspace->solution[j];

		gradient += term;
		size += term < 0 ? -term : term;
	}
	return gradient < -(double) FLT_EPSILON * size;
}

/*
 * Marks the columns with a wrong sign, of the first count.  Returns how many
 * they are, *last being the last of them.
 */
static int
find_infeasible(const AlsSystem *system, const Workspace *workspace, int count,
				int *last)
{
	int			found = 0;

	for (int i = 0; i < count; i++)
	{
		workspace->is_infeasible[i] = is_infeasible(system, workspace, i);
		if (workspace->is_infeasible[i])
		{
			found++;
			*last = i;
		}
	}
	return found;
}

/* Exchanges columns until none has a wrong sign. */
static int
exchange(const AlsSystem *system, const Workspace *workspace, int bounded)
{
	int			fewest = bounded + 1;
	int			patience = PATIENCE;

	for (int i = 0; i < MOST_EXCHANGES(system->rank); i++)
	{
		int			last = 0;
		int			info;
		int			infeasible;

		als_poll(system->poll);
		info = solve_passive(system, workspace);
		if (info != ALS_OK)
			return info;
		infeasible = find_infeasible(system, workspace, bounded, &last);
		if (infeasible == 0)
			return ALS_OK;

		if (infeasible < fewest)
		{
			fewest = infeasible;
			patience = PATIENCE;
		}
		else
			patience--;
		for (int j = patience >= 0 ? 0 : last; j <= last; j++)
			workspace->is_passive[j] ^= workspace->is_infeasible[j];
	}
	return ALS_NOT_OPTIMAL;
}

int
als_solve_row_nonnegative(const AlsSystem *system, const Row *row,
						  const Workspace *workspace, float *x,
						  double *objective)
{
	int			bounded = system->rank - (system->feedback == ALS_EXPLICIT);
	int			positive = 0;
	int			info = als_normal_equations(system, row, workspace);

	if (info != ALS_OK)
		return info;

	/* what was positive the last time most often is so again */
	for (int i = 0; i < bounded; i++)
		positive |= x[i] > 0;
	for (int i = 0; i < system->rank; i++)
		workspace->is_passive[i] = i >= bounded || !positive || x[i] > 0;

	info = exchange(system, workspace, bounded);
	if (info != ALS_OK)
		return info;
	for (int i = 0; i < system->rank; i++)
		x[i] = (float) workspace->solution[i];
	*objective = als_objective_at(system, row, workspace, x);
	return ALS_OK;
}
