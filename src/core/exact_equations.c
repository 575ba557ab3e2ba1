/*
 * exact_equations.c
 *	  The normal equations of one row in double precision, and the objective at
 *	  their solution.
 *
 * Products of factors and ratings are exact in double, and their sums good to
 * sixteen digits.  Where weights of 10^12 meet a regularization of 0.01, the
 * normal equations still lose what matters in the directions that no rating
 * points to.  Hence a solution is refined by its residual, which is summed up
 * from t_k - w_k f_k.x: there the large numbers cancel before they are added to
 * small ones.  If the refinement converges, the factorization was good enough;
 * if it does not, orthogonal.c solves the row.
 */
#include "exact_equations.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "factorize.h"
#include "outer_products.h"
#include "regularization.h"
#include "vectors.h"

/* Refinements, each half of the one before at most; two or three are usual */
#define MOST_REFINEMENTS 20

/* Beside the solution: a correction that single precision does not show */
#define NEGLIGIBLE_CORRECTION ((double) FLT_EPSILON / 16)

/* y += c f */
static inline void
add_multiple(size_t stride, double c, const float *f, double *y)
{
	for (size_t i = 0; i < stride; i += 8)
		*(Doubles8 *) (y + i) += c * TO_DOUBLES8(*(const Floats8 *) (f + i));
}

/* f.x */
static double
product(size_t stride, const float *f, const double *x)
{
	Doubles8	sum = {0};
	double		total = 0;

	for (size_t i = 0; i < stride; i += 8)
		sum += TO_DOUBLES8(*(const Floats8 *) (f + i)) *
			*(const Doubles8 *) (x + i);
	for (int i = 0; i < 8; i++)
		total += sum[i];
	return total;
}

const float *
als_exact_row(const AlsSystem *system, const AlsEntry *entry)
{
	const float *rows = system->feedback == ALS_IMPLICIT ? system->stored :
		system->fixed;

	return rows + entry->column * (size_t) als_stride(system->rank);
}

void
als_exact_weigh(const AlsSystem *system, const Row *row, size_t k,
				double *weight, double *target)
{
	const AlsEntry *entry = &row->entries[k];
	int			implicit = system->feedback == ALS_IMPLICIT;

	als_weigh(system->feedback, (double) system->alpha, (double) system->mean,
			  implicit ? 0 : (double) system->bias[entry->column],
			  (double) entry->rating,
			  row->weights == NULL ? 1 : (double) row->weights[k], weight, target);
}

/* b += lambda s p */
static void
add_prior(const AlsSystem *system, const Row *row, double *b)
{
	double		shift = als_row_shift(system, row->entries, row->weights, row->n);

	for (int i = 0; i < system->rank && row->prior != NULL; i++)
		b[i] += shift * (double) row->prior[i];
}

int
als_exact_equations(const AlsSystem *system, const Row *row,
					const Workspace *workspace)
{
	size_t		n = (size_t) system->rank;
	size_t		stride = (size_t) als_stride(system->rank);
	double		shift = als_row_shift(system, row->entries, row->weights, row->n);
	double	   *a = workspace->exact;
	double	   *b = workspace->right;

	if (als_lacks_ratings(system, row))
		return (int) row->n + 1;
	if (system->feedback == ALS_IMPLICIT)
		memcpy(a, system->gram, n * n * sizeof(double));
	else
		memset(a, 0, n * n * sizeof(double));
	for (size_t i = 0; i < n; i++)
		a[i * n + i] += shift;
	a[n * n - 1] += als_bias_ridge(system, shift);
	memset(b, 0, stride * sizeof(double));
	add_prior(system, row, b);

	for (size_t first = 0; first < row->n; first += ALS_OUTER_ROWS)
	{
		size_t		count = row->n - first < ALS_OUTER_ROWS ?
			row->n - first : ALS_OUTER_ROWS;
		const float *rows[ALS_OUTER_ROWS];
		double		weight[ALS_OUTER_ROWS];

		als_poll(system->poll);
		for (size_t k = 0; k < count; k++)
		{
			double		target;

			rows[k] = als_exact_row(system, &row->entries[first + k]);
			als_exact_weigh(system, row, first + k, &weight[k], &target);
			add_multiple(stride, target, rows[k], b);
		}
		als_add_outer_products(system->blas, system->rank, (int) stride, count,
							   rows, weight, workspace->products, a);
	}
	for (size_t i = 0; i < n; i++)
		if (!isfinite(a[i * n + i]) || !isfinite(b[i]))
			return ALS_NOT_FINITE;
	return ALS_OK;
}

/* r := B x */
static void
multiply_base(const AlsSystem *system, const Row *row, const double *x,
			  double *r)
{
	size_t		n = (size_t) system->rank;
	double		shift = als_row_shift(system, row->entries, row->weights, row->n);

	for (size_t i = 0; i < n; i++)
		r[i] = shift * x[i];
	if (system->feedback == ALS_EXPLICIT)
		return;
	for (size_t j = 0; j < n; j++)
	{
		const double *column = system->gram + j * n;
		double		sum = column[j] * x[j];

		for (size_t i = j + 1; i < n; i++)
		{
			r[i] += column[i] * x[j];
			sum += column[i] * x[i];
		}
		r[j] += sum;
	}
}

void
als_exact_residual(const AlsSystem *system, const Row *row, const double *x,
				   double *r)
{
	size_t		stride = (size_t) als_stride(system->rank);
	AlsWork		work = {system->poll, 0};

	memset(r, 0, stride * sizeof(double));
	multiply_base(system, row, x, r);
	for (size_t i = 0; i < stride; i++)
		r[i] = -r[i];
	add_prior(system, row, r);
	for (size_t k = 0; k < row->n; k++)
	{
		const float *f = als_exact_row(system, &row->entries[k]);
		double		weight;
		double		target;
		double		coefficient;

		als_work(&work, stride);
		als_exact_weigh(system, row, k, &weight, &target);
		coefficient = target - weight * product(stride, f, x);
		add_multiple(stride, coefficient, f, r);
	}
}

/*
 * Squared errors of the ratings, and those of the pairs without one: all pairs,
 * x'Gx, less those with one.
 */
double
als_exact_objective(const AlsSystem *system, const Row *row,
					const Workspace *workspace, const float *x)
{
	size_t		n = (size_t) system->rank;
	size_t		stride = (size_t) als_stride(system->rank);
	double	   *exact = workspace->solution;
	double	   *base = workspace->correction;
	double		shift = als_row_shift(system, row->entries, row->weights, row->n);
	double		penalty = shift * als_squared_distance(system->rank, x,
													   row->prior);
	double		others = -shift * als_squared_norm(system->rank, x);
	double		sum = 0;
	AlsWork		work = {system->poll, 0};

	for (size_t i = 0; i < stride; i++)
		exact[i] = (double) x[i];
	multiply_base(system, row, exact, base);
	for (size_t i = 0; i < n; i++)
		others += base[i] * exact[i];
	for (size_t k = 0; k < row->n; k++)
	{
		const AlsEntry *entry = &row->entries[k];
		double		dot = product(stride, als_exact_row(system, entry), exact);
		double		weight;
		double		target;

		als_work(&work, stride);
		als_exact_weigh(system, row, k, &weight, &target);
		if (system->feedback == ALS_IMPLICIT)
		{
			double		error = (entry->rating > 0) - dot;

			sum += (1 + weight) * error * error;
			others -= dot * dot;
		}
		else
		{
			double		error = target / weight - dot;

			sum += weight * error * error;
		}
	}
	if (system->feedback == ALS_IMPLICIT && others > 0)
		sum += others;
	return sum + penalty;
}

double
als_largest(size_t n, const double *x)
{
	double		size = 0;

	/* fmax would drop NaN */
	for (size_t i = 0; i < n; i++)
		if (!(fabs(x[i]) <= size))
			size = fabs(x[i]);
	return size;
}

int
als_exact_refine(const AlsSystem *system, const Row *row,
				 const Workspace *workspace, int n, const int *columns,
				 const double *factor, int ld)
{
	double	   *solution = workspace->solution;
	double	   *residual = workspace->correction;
	double		before = INFINITY;

	for (int i = 0; i < MOST_REFINEMENTS; i++)
	{
		double		correction;
		double		size;

		als_exact_residual(system, row, solution, residual);
		/* columns ascend */
		for (int j = 0; columns != NULL && j < n; j++)
			residual[j] = residual[columns[j]];
		als_factorized_solve(system->blas, n, factor, ld, residual);
		for (int j = 0; j < n; j++)
			solution[columns != NULL ? columns[j] : j] += residual[j];
		correction = als_largest((size_t) n, residual);
		size = als_largest((size_t) system->rank, solution);
		if (correction <= NEGLIGIBLE_CORRECTION * size)
			return ALS_OK;
		/* it gets no better */
		if (!(correction <= before / 2))
			return correction <= ALS_TOLERABLE_CORRECTION * size ? ALS_OK : n;
		before = correction;
	}
	return n;
}
