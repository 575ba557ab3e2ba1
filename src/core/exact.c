/*
 * exact.c
 *	  One row in double precision: for rows that single precision does not
 *	  carry, and wherever a single row is all there is to solve.
 *
 * What factors and ratings are multiplied to is exact in double, and sums of it
 * are good to sixteen digits.  Where weights of 10^12 meet a regularization of
 * 0.01, the normal equations still lose what matters in the directions that no
 * rating points to.  Hence the solution is refined by its residual, which is
 * summed up from t_k - w_k f_k.x: there the large numbers cancel before they
 * are added to small ones.  That the refinement converges also shows that the
 * factorization is worth something; if it does not, orthogonal.c is left.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "factor.h"
#include "solve.h"

/* Refinements, each of which has to halve the last one; two or three are usual */
#define MOST_REFINEMENTS 20

/* Beside the solution: a correction that changes nothing, and one that might */
#define NEGLIGIBLE ((double) FLT_EPSILON / 16)
#define TOLERABLE 0x1p-10

/* f.x */
static double
product(size_t stride, const float *f, const double *x)
{
	Doubles		sum = {0};
	double		total = 0;

	for (size_t i = 0; i < stride; i += 8)
		sum += DOUBLES(*(const Floats *) (f + i)) * *(const Doubles *) (x + i);
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
als_exact_weigh(const AlsSystem *system, const AlsEntry *entry,
				double *weight, double *target)
{
	double		rating = (double) entry->rating;

	if (system->feedback == ALS_IMPLICIT)
	{
		*weight = (double) system->alpha * fabs(rating);
		*target = rating > 0 ? 1 + *weight : 0;
	}
	else
	{
		*weight = 1;
		*target = rating - (double) system->mean -
			(double) system->bias[entry->column];
	}
}

double
als_exact_shift(const AlsSystem *system, const Row *row)
{
	return (double) system->regularization *
		als_regularization_scale(system, row->n);
}

void
als_exact_add(const AlsBlas *blas, int rank, int stride, size_t nrows,
			  const float *const *rows, const double *weight, double *buffer,
			  double *a)
{
	size_t		n = (size_t) rank;
	const double one = 1;
	int			count = (int) nrows;

	for (size_t k = 0; k < nrows; k++)
	{
		double		root = weight != NULL ? sqrt(weight[k]) : 1;

		for (size_t i = 0; i < n; i++)
			buffer[k * (size_t) stride + i] = root * (double) rows[k][i];
	}
	blas->dsyrk("L", "N", &rank, &count, &one, buffer, &stride, &one, a, &rank,
				1, 1);
}

void
als_exact_add_all(const AlsBlas *blas, AlsPoll poll, int rank, int stride,
				  size_t nrows, const float *rows, const double *weight,
				  double *buffer, double *a)
{
	for (size_t first = 0; first < nrows; first += ALS_EXACT_ROWS)
	{
		size_t		count = nrows - first < ALS_EXACT_ROWS ? nrows - first :
		ALS_EXACT_ROWS;
		const float *some[ALS_EXACT_ROWS];

		als_poll(poll);
		for (size_t k = 0; k < count; k++)
			some[k] = rows + (first + k) * (size_t) stride;
		als_exact_add(blas, rank, stride, count, some,
					  weight != NULL ? weight + first : NULL, buffer, a);
	}
}

int
als_exact_factor(const AlsBlas *blas, AlsPoll poll, int rank, int ld,
				 double *a)
{
	size_t		n = (size_t) rank;
	size_t		stride = (size_t) ld;
	int			info = als_factor(blas, poll, rank, a, ld);

	if (info != 0)
		return info;
	for (size_t j = 0; j < n; j++)
	{
		double		pivot = a[j * stride + j];
		double		diagonal = 0;	/* of L L' */

		for (size_t k = 0; k <= j; k++)
			diagonal += a[k * stride + j] * a[k * stride + j];
		/* below this, rounding has decided the pivot */
		if (!(pivot * pivot > 4 * DBL_EPSILON * (double) rank * diagonal))
			return (int) j + 1;
	}
	return 0;
}

int
als_exact_equations(const AlsSystem *system, const Row *row,
					const Workspace *workspace)
{
	size_t		n = (size_t) system->rank;
	size_t		stride = (size_t) als_stride(system->rank);
	double		shift = als_exact_shift(system, row);
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
	memset(b, 0, stride * sizeof(double));

	for (size_t first = 0; first < row->n; first += ALS_EXACT_ROWS)
	{
		size_t		count = row->n - first < ALS_EXACT_ROWS ?
		row->n - first : ALS_EXACT_ROWS;
		const float *rows[ALS_EXACT_ROWS];
		double		weight[ALS_EXACT_ROWS];

		als_poll(system->poll);
		for (size_t k = 0; k < count; k++)
		{
			const AlsEntry *entry = &row->entries[first + k];
			double		target;

			rows[k] = als_exact_row(system, entry);
			als_exact_weigh(system, entry, &weight[k], &target);
			for (size_t i = 0; i < stride; i += 8)
				*(Doubles *) (b + i) += target * DOUBLES(*(const Floats *) (rows[k] + i));
		}
		als_exact_add(system->blas, system->rank, (int) stride, count, rows,
					  weight, workspace->products, a);
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
	double		shift = als_exact_shift(system, row);

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
	for (size_t k = 0; k < row->n; k++)
	{
		const float *f = als_exact_row(system, &row->entries[k]);
		double		weight;
		double		target;
		double		coefficient;

		als_work(&work, stride);
		als_exact_weigh(system, &row->entries[k], &weight, &target);
		coefficient = target - weight * product(stride, f, x);
		for (size_t i = 0; i < stride; i += 8)
			*(Doubles *) (r + i) += coefficient * DOUBLES(*(const Floats *) (f + i));
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
	double		shift = als_exact_shift(system, row);
	double		penalty = shift * als_squared_norm(system->rank, x);
	double		others = -penalty;
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
		als_exact_weigh(system, entry, &weight, &target);
		if (system->feedback == ALS_IMPLICIT)
		{
			double		error = (entry->rating > 0) - dot;

			sum += (1 + weight) * error * error;
			others -= dot * dot;
		}
		else
			sum += (target - dot) * (target - dot);
	}
	if (system->feedback == ALS_IMPLICIT && others > 0)
		sum += others;
	return sum + penalty;
}

/* Largest element in size */
static double
largest(size_t n, const double *x)
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
	const int	one = 1;
	double		before = INFINITY;
	int			info;

	for (int i = 0; i < MOST_REFINEMENTS; i++)
	{
		double		correction;
		double		size;

		als_exact_residual(system, row, solution, residual);
		/* columns ascend */
		for (int j = 0; columns != NULL && j < n; j++)
			residual[j] = residual[columns[j]];
		system->blas->dpotrs("L", &n, &one, factor, &ld, residual, &ld, &info,
							 1);
		for (int j = 0; j < n; j++)
			solution[columns != NULL ? columns[j] : j] += residual[j];
		correction = largest((size_t) n, residual);
		size = largest((size_t) system->rank, solution);
		if (correction <= NEGLIGIBLE * size)
			return ALS_OK;
		/* it gets no better */
		if (!(correction <= before / 2))
			return correction <= TOLERABLE * size ? ALS_OK : n;
		before = correction;
	}
	return n;
}

/* By normal equations: ALS_OK, ALS_NOT_FINITE or the failing pivot. */
static int
solve_equations(const AlsSystem *system, const Row *row,
				const Workspace *workspace)
{
	int			rank = system->rank;
	const int	one = 1;
	int			info = als_exact_equations(system, row, workspace);

	if (info == ALS_OK)
		info = als_exact_factor(system->blas, system->poll, rank, rank, workspace->exact);
	if (info != ALS_OK)
		return info;
	memset(workspace->solution, 0,
		   (size_t) als_stride(rank) * sizeof(double));
	memcpy(workspace->solution, workspace->right,
		   (size_t) rank * sizeof(double));
	system->blas->dpotrs("L", &rank, &one, workspace->exact, &rank,
						 workspace->solution, &rank, &info, 1);
	return als_exact_refine(system, row, workspace, rank, NULL,
							workspace->exact, rank);
}

/*
 * Is it a solution after als_solve_row_orthogonal?  By what its residual would
 * correct; rows that point the same way have made it anything if their weights
 * are beyond double.
 */
static int
check_orthogonal(const AlsSystem *system, const Row *row,
				 const Workspace *workspace)
{
	int			rank = system->rank;
	int			stride = als_stride(rank);
	const int	one = 1;
	double	   *residual = workspace->correction;
	int			info;

	als_exact_residual(system, row, workspace->solution, residual);
	/* R by rows is L by columns */
	system->blas->dpotrs("L", &rank, &one, workspace->exact, &stride, residual,
						 &stride, &info, 1);
	return largest((size_t) rank, residual) <= TOLERABLE *
		largest((size_t) rank, workspace->solution) ? ALS_OK : rank;
}

int
als_solve_row_exact(const AlsSystem *system, const Row *row,
					const Workspace *workspace, float *x, double *objective)
{
	int			info = solve_equations(system, row, workspace);

	if (info > 0)
	{
		info = als_solve_row_orthogonal(system, row, workspace);
		if (info == ALS_OK)
			info = check_orthogonal(system, row, workspace);
	}
	if (info != ALS_OK)
		return info;
	for (int i = 0; i < system->rank; i++)
		x[i] = (float) workspace->solution[i];
	*objective = als_exact_objective(system, row, workspace, x);
	return ALS_OK;
}
