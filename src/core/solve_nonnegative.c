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
 * after finitely many exchanges (Murty).  A bias is always passive.
 *
 * All of this is done in double.  A and b are summed up in single precision
 * first, and in double if that does not do: a gradient within the precision of
 * A and b counts as zero.
 *
 * With very large weights, or next to no regularization, rounding decides the
 * signs in normal equations.  Then columns become passive one by one, that with
 * the steepest gradient first, and stop being so when x would be negative: Lawson
 * and Hanson, Solving Least Squares Problems (1974), chapter 23.  Every step lowers
 * the objective, so that it ends; each takes a triangle of its own (orthogonal.c).
 */
#include "solve_nonnegative.h"

#include <float.h>
#include <string.h>

#include "exact_equations.h"
#include "factorize.h"
#include "normal_equations.h"
#include "orthogonal.h"

/* Exchanges of all columns in a row that may leave as many with a wrong sign */
#define MOST_FUTILE 3

/* Exchanges in all, against rounding: trainings need 2 or 3, and at most 8 */
#define MOST_EXCHANGES(rank) (100 + 10 * (rank))

/* What A and b are known to */
typedef struct Precision
{
	int			exact;
	double		epsilon;
	double		least_pivot;	/* that counts, of its diagonal element */
} Precision;

/* An element of the symmetric matrix whose lower triangle is A */
static double
element(const Workspace *workspace, int rank, int i, int j)
{
	return workspace->exact[i > j ? j * rank + i : i * rank + j];
}

/*
 * x := solution with what is not passive at zero.  Returns ALS_OK or the
 * failing pivot.
 */
static int
solve_passive(const AlsSystem *system, const Row *row,
			  const Workspace *workspace, const Precision *precision)
{
	int			rank = system->rank;
	int			stride = als_stride(system->rank);
	int		   *passive = workspace->passive;
	double	   *factor = workspace->factor;
	double	   *x = workspace->passive_solution;
	int			n = 0;
	int			info;

	memset(workspace->solution, 0, (size_t) stride * sizeof(double));
	for (int i = 0; i < rank; i++)
		if (workspace->is_passive[i])
			passive[n++] = i;
	if (n == 0)
		return ALS_OK;

	for (int j = 0; j < n; j++)
	{
		x[j] = workspace->right[passive[j]];
		for (int i = j; i < n; i++)
			factor[j * stride + i] = element(workspace, rank, passive[i],
											 passive[j]);
	}
	info = als_factorize(system->blas, system->poll, n, factor, stride);
	if (info != 0)
		return passive[info - 1] + 1;
	for (int j = 0; j < n; j++)
	{
		double		pivot = factor[j * stride + j];

		if (!(pivot * pivot >= precision->least_pivot *
			  element(workspace, rank, passive[j], passive[j])))
			return passive[j] + 1;
	}
	als_factorized_solve(system->blas, n, factor, stride, x);
	for (int j = 0; j < n; j++)
		workspace->solution[passive[j]] = x[j];
	return precision->exact ?
		als_exact_refine(system, row, workspace, n, passive, factor, stride) :
		ALS_OK;
}

/*
 * Does column i have the wrong sign?  Its gradient counts as zero if it is
 * within the precision of the sizes of what it is the sum of.
 */
static int
is_infeasible(const AlsSystem *system, const Workspace *workspace,
			  const Precision *precision, int i)
{
	double		gradient = -workspace->right[i];
	double		size = -gradient;

	if (workspace->is_passive[i])
		return workspace->solution[i] < 0;

	size = size < 0 ? -size : size;
	for (int j = 0; j < system->rank; j++)
	{
		double		term = element(workspace, system->rank, i, j) *
			workspace->solution[j];

		gradient += term;
		size += term < 0 ? -term : term;
	}
	return gradient < -precision->epsilon * size;
}

/*
 * Marks the columns with a wrong sign, of the first count.  Returns how many
 * they are, *last being the last of them.
 */
static int
find_infeasible(const AlsSystem *system, const Workspace *workspace,
				const Precision *precision, int count, int *last)
{
	int			found = 0;

	for (int i = 0; i < count; i++)
	{
		workspace->is_infeasible[i] = is_infeasible(system, workspace,
													precision, i);
		if (workspace->is_infeasible[i])
		{
			found++;
			*last = i;
		}
	}
	return found;
}

/*
 * Exchanges columns until none has a wrong sign, beginning with what of x is
 * positive: what was so the last time most often is so again.
 */
static int
exchange(const AlsSystem *system, const Row *row, const Workspace *workspace,
		 const Precision *precision, int bounded, const float *x)
{
	int			fewest = bounded + 1;
	int			futile = 0;
	int			positive = 0;

	for (int i = 0; i < bounded; i++)
		positive |= x[i] > 0;
	for (int i = 0; i < system->rank; i++)
		workspace->is_passive[i] = i >= bounded || !positive || x[i] > 0;

	for (int i = 0; i < MOST_EXCHANGES(system->rank); i++)
	{
		int			last = 0;
		int			info;
		int			infeasible;

		als_poll(system->poll);
		info = solve_passive(system, row, workspace, precision);
		if (info != ALS_OK)
			return info;
		infeasible = find_infeasible(system, workspace, precision, bounded,
									 &last);
		if (infeasible == 0)
			return ALS_OK;

		if (infeasible < fewest)
		{
			fewest = infeasible;
			futile = 0;
		}
		else
			futile++;
		for (int j = futile <= MOST_FUTILE ? 0 : last; j <= last; j++)
			workspace->is_passive[j] ^= workspace->is_infeasible[j];
	}
	return ALS_NOT_OPTIMAL;
}

/* By normal equations in single precision; *trace := that of A */
static int
exchange_in_single(const AlsSystem *system, const Row *row,
				   const Workspace *workspace, int bounded, const float *x,
				   double *trace)
{
	static const Precision precision = {
		0, (double) FLT_EPSILON, (double) ALS_SURE_PIVOT
	};
	size_t		n = (size_t) system->rank;
	size_t		stride = (size_t) als_stride(system->rank);
	int			info = als_normal_equations(system, row, workspace);

	if (info != ALS_OK)
		return info;
	*trace = 0;
	for (size_t j = 0; j < n; j++)
	{
		for (size_t i = j; i < n; i++)
			workspace->exact[j * n + i] = (double) workspace->a[j * stride + i];
		workspace->right[j] = (double) workspace->r[j];
		*trace += workspace->exact[j * n + j];
	}
	return exchange(system, row, workspace, &precision, bounded, x);
}

/* By normal equations in double */
static int
exchange_in_double(const AlsSystem *system, const Row *row,
				   const Workspace *workspace, int bounded, const float *x)
{
	Precision	precision = {
		1, DBL_EPSILON * system->rank, 4 * DBL_EPSILON * system->rank
	};
	int			info = als_exact_equations(system, row, workspace);

	if (info != ALS_OK)
		return info;
	return exchange(system, row, workspace, &precision, bounded, x);
}

/* The passive columns first, in order, then the others; how many are passive */
static int
order_columns(const Workspace *workspace, int rank)
{
	int			npassive = 0;
	int			n;

	for (int i = 0; i < rank; i++)
		if (workspace->is_passive[i])
			workspace->passive[npassive++] = i;
	n = npassive;
	for (int i = 0; i < rank; i++)
		if (!workspace->is_passive[i])
			workspace->passive[n++] = i;
	return npassive;
}

/*
 * Goes from the feasible point as far towards the solution for the passive columns
 * as it stays feasible; what is 0 then is not passive any more.  Returns how far,
 * 1 being all the way.
 */
static double
step_towards(const Workspace *workspace, int rank, int bounded,
			 double *feasible)
{
	const double *solution = workspace->solution;
	double		length = 1;
	int			nearest = -1;

	for (int i = 0; i < bounded; i++)
		if (workspace->is_passive[i] && solution[i] < 0 &&
			feasible[i] <= length * (feasible[i] - solution[i]))
		{
			length = feasible[i] / (feasible[i] - solution[i]);
			nearest = i;
		}
	for (int i = 0; i < rank; i++)
	{
		if (!workspace->is_passive[i])
			continue;
		feasible[i] += length * (solution[i] - feasible[i]);
		if (i < bounded && (i == nearest || (length < 1 && feasible[i] <= 0)))
			feasible[i] = workspace->is_passive[i] = 0;
	}
	return length;
}

/* The column with the steepest gradient of those that are not barred, or -1 */
static int
steepest(const Workspace *workspace, int bounded, const int *barred)
{
	int			found = -1;

	for (int i = 0; i < bounded; i++)
		if (!workspace->is_passive[i] && !barred[i] &&
			workspace->correction[i] < 0 &&
			(found < 0 || workspace->correction[i] < workspace->correction[found]))
			found = i;
	return found;
}

/* Solves without normal equations, beginning with x. */
static int
add_one_by_one(const AlsSystem *system, const Row *row,
			   const Workspace *workspace, int bounded, const float *x)
{
	int			rank = system->rank;
	double		epsilon = DBL_EPSILON * rank;
	double	   *feasible = workspace->products;
	int		   *barred = workspace->is_infeasible;
	int			info = als_orthogonal_equations(system, row, workspace);

	if (info != ALS_OK)
		return info;
	memset(barred, 0, (size_t) rank * sizeof(int));
	for (int i = 0; i < rank; i++)
	{
		workspace->is_passive[i] = i >= bounded || x[i] > 0;
		feasible[i] = workspace->is_passive[i] ? (double) x[i] : 0;
	}
	for (int i = 0; i < MOST_EXCHANGES(rank); i++)
	{
		double		length;
		int			column;

		als_orthogonal_passive(system, workspace,
							   order_columns(workspace, rank),
							   workspace->passive, epsilon);
		length = step_towards(workspace, rank, bounded, feasible);
		/* where a step has no length, the gradient was rounding */
		if (length > 0)
			memset(barred, 0, (size_t) rank * sizeof(int));
		if (length < 1)
			continue;
		column = steepest(workspace, bounded, barred);
		if (column < 0)
			return ALS_OK;
		workspace->is_passive[column] = barred[column] = 1;
	}
	return ALS_NOT_OPTIMAL;
}

int
als_solve_row_nonnegative(const AlsSystem *system, const Row *row,
						  const Workspace *workspace, float *x,
						  double *objective)
{
	int			bounded = system->rank - (system->feedback == ALS_EXPLICIT);
	double		trace;
	int			single = !system->exact &&
		exchange_in_single(system, row, workspace, bounded, x, &trace) == ALS_OK;
	int			info = single ? ALS_OK :
		exchange_in_double(system, row, workspace, bounded, x);

	if (info > 0 || info == ALS_NOT_OPTIMAL)
		info = add_one_by_one(system, row, workspace, bounded, x);
	if (info != ALS_OK)
		return info;
	for (int i = 0; i < system->rank; i++)
		x[i] = (float) workspace->solution[i];
	if (single)
	{
		*objective = als_objective_at(system, row, workspace, x);
		single = als_objective_is_sure(system, row, trace, x, *objective);
	}
	if (!single)
		*objective = als_exact_objective(system, row, workspace, x);
	return ALS_OK;
}
