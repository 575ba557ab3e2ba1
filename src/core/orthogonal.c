/*
 * orthogonal.c
 *	  One row by orthogonal transformations in double precision, where normal
 *	  equations in double lose its solution.
 *
 * Weights enter normal equations by themselves, and here by their roots: x
 * minimizes |R x - y|^2 over an upper triangle R with R'R = A, to which one
 * rating after the other is added by Givens' rotations.  These do not add large
 * numbers to small ones of other directions, so that no weight is too large:
 * w = 10^30 is 10^15, beside which 1 still counts where rows do not point the
 * same way.
 *
 * For implicit feedback a rating with p = 1 adds w (f.x - 1)^2 to x'Bx - 2 f.x,
 * of which the latter has y = L^-1 sum f to begin with.  A prior adds lambda s p
 * to what y is L^-1 of, for explicit feedback too.
 */
#include "orthogonal.h"

#include <math.h>
#include <string.h>

#include "exact_equations.h"
#include "factorize.h"
#include "regularization.h"

/*
 * Adds a row v with the right-hand side to R x = y, which stays a triangle; v
 * is overwritten.  R [rank x stride] is by rows.
 */
static void
add_row(size_t n, size_t stride, double *triangle, double *y, double *v,
		double right)
{
	for (size_t j = 0; j < n; j++)
	{
		double	   *row = triangle + j * stride;
		double		length;
		double		c;
		double		s;
		double		rotated;

		if (v[j] == 0)
			continue;
		length = hypot(row[j], v[j]);
		c = row[j] / length;
		s = v[j] / length;
		for (size_t i = j; i < n; i++)
		{
			rotated = c * row[i] + s * v[i];
			v[i] = c * v[i] - s * row[i];
			row[i] = rotated;
		}
		rotated = c * y[j] + s * right;
		right = c * right - s * y[j];
		y[j] = rotated;
	}
}

/* R and y of B alone; 0 or the failing pivot */
static int
base_triangle(const AlsSystem *system, const Row *row, double *triangle,
			  double *y)
{
	size_t		n = (size_t) system->rank;
	size_t		stride = (size_t) als_stride(system->rank);
	double		shift = als_row_shift(system, row->entries, row->weights, row->n);
	AlsWork		work = {system->poll, 0};
	int			info;

	memset(triangle, 0, n * stride * sizeof(double));
	memset(y, 0, stride * sizeof(double));
	if (system->feedback == ALS_EXPLICIT)
	{
		for (size_t i = 0; i < n; i++)
		{
			triangle[i * stride + i] = sqrt(shift);
			if (row->prior != NULL)
				y[i] = sqrt(shift) * (double) row->prior[i];
		}
		return 0;
	}

	/* by rows and upper is by columns and lower */
	for (size_t j = 0; j < n; j++)
	{
		memcpy(triangle + j * stride + j, system->gram + j * n + j,
			   (n - j) * sizeof(double));
		triangle[j * stride + j] += shift;
	}
	info = als_factorize_certain(system->blas, system->poll, system->rank,
								 triangle, (int) stride);
	if (info != 0)
		return info;
	for (size_t i = 0; i < n && row->prior != NULL; i++)
		y[i] = shift * (double) row->prior[i];
	for (size_t k = 0; k < row->n; k++)
	{
		als_work(&work, n);
		if (row->entries[k].rating > 0)
		{
			const float *f = als_exact_row(system, &row->entries[k]);

			for (size_t i = 0; i < n; i++)
				y[i] += (double) f[i];
		}
	}
	for (size_t j = 0; j < n; j++)
	{
		y[j] /= triangle[j * stride + j];
		for (size_t i = j + 1; i < n; i++)
			y[i] -= triangle[j * stride + i] * y[j];
	}
	return 0;
}

/* x = R^-1 y for the first n columns of a triangle; y may be x. */
static void
substitute(size_t n, size_t stride, const double *triangle, const double *y,
		   double *x)
{
	for (size_t j = n; j-- > 0;)
	{
		double		sum = y[j];

		for (size_t i = j + 1; i < n; i++)
			sum -= triangle[j * stride + i] * x[i];
		x[j] = sum / triangle[j * stride + j];
	}
}

int
als_orthogonal_equations(const AlsSystem *system, const Row *row,
						 const Workspace *workspace)
{
	size_t		n = (size_t) system->rank;
	size_t		stride = (size_t) als_stride(system->rank);
	double	   *triangle = workspace->exact;
	double	   *y = workspace->right;
	double	   *v = workspace->correction;
	AlsWork		work = {system->poll, 0};
	int			info;

	/* nothing but rounding keeps the triangle from being singular */
	if (als_row_shift(system, row->entries, row->weights, row->n) <= 0)
		return system->rank;
	info = base_triangle(system, row, triangle, y);
	if (info != 0)
		return info;
	for (size_t k = 0; k < row->n; k++)
	{
		const AlsEntry *entry = &row->entries[k];
		const float *f = als_exact_row(system, entry);
		double		weight;
		double		target;
		double		root;

		als_work(&work, n * n);
		als_exact_weigh(system, row, k, &weight, &target);
		root = sqrt(weight);
		for (size_t i = 0; i < n; i++)
			v[i] = root * (double) f[i];
		add_row(n, stride, triangle, y, v,
				system->feedback == ALS_EXPLICIT ? target / root :
				entry->rating > 0 ? root : 0);
	}
	return ALS_OK;
}

int
als_orthogonal_solve(const AlsSystem *system, const Row *row,
					 const Workspace *workspace)
{
	size_t		stride = (size_t) als_stride(system->rank);
	int			info = als_orthogonal_equations(system, row, workspace);

	if (info != ALS_OK)
		return info;
	/* products with rows take its padding, too */
	memset(workspace->solution, 0, stride * sizeof(double));
	substitute((size_t) system->rank, stride, workspace->exact,
			   workspace->right, workspace->solution);
	return ALS_OK;
}

/*
 * With the passive columns first, the triangle of all is (T S; 0 U) and the
 * right-hand side (y, z): T x = y solves for the passive ones, and the gradient of
 * the others is -U'z, without the large weights, which are in T and S.
 */
void
als_orthogonal_passive(const AlsSystem *system, const Workspace *workspace,
					   int npassive, const int *columns, double epsilon)
{
	size_t		rank = (size_t) system->rank;
	size_t		stride = (size_t) als_stride(system->rank);
	double	   *triangle = workspace->factor;
	double	   *y = workspace->passive_solution;
	double	   *v = workspace->correction;
	size_t		n = (size_t) npassive;
	double		largest = 0;
	double		largest_right = 0;
	AlsWork		work = {system->poll, 0};

	memset(triangle, 0, rank * stride * sizeof(double));
	memset(y, 0, stride * sizeof(double));
	for (size_t k = 0; k < rank; k++)
	{
		als_work(&work, rank * rank);
		for (size_t j = 0; j < rank; j++)
		{
			v[j] = (size_t) columns[j] < k ? 0 :
				workspace->exact[k * stride + (size_t) columns[j]];
			largest = fmax(largest, fabs(v[j]));
		}
		largest_right = fmax(largest_right, fabs(workspace->right[k]));
		add_row(rank, stride, triangle, y, v, workspace->right[k]);
	}
	substitute(n, stride, triangle, y, y);
	for (size_t j = 0; j < rank; j++)
	{
		size_t		column = (size_t) columns[j];
		double		gradient = 0;
		double		size = 0;

		workspace->solution[column] = j < n ? y[j] : 0;
		for (size_t k = n; k <= j; k++)
		{
			double		element = triangle[k * stride + j];

			gradient -= element * y[k];
			size += fabs(element) * (fabs(y[k]) + largest_right) +
				largest * fabs(y[k]);
		}
		v[column] = fabs(gradient) > epsilon * size ? gradient : 0;
	}
}
