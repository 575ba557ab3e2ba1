/*
 * reference.c
 *	  The same mathematics written down directly, in double precision.
 */
#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

Equations *
make_equations(const Problem *problem, AlsSide side)
{
	Equations  *equations = allocate(sizeof(Equations));
	size_t		rank = (size_t) problem->rank;
	size_t		stride = (size_t) als_stride(problem->rank);
	size_t		nfixed = problem->shape.nrows[1 - side];

	equations->problem = problem;
	equations->side = side;
	equations->rank = rank;
	equations->fixed = allocate(nfixed * rank * sizeof(double));
	equations->gram = allocate(rank * rank * sizeof(double));
	equations->a = allocate(rank * rank * sizeof(double));
	equations->b = allocate(rank * sizeof(double));

	for (size_t r = 0; r < nfixed; r++)
		for (size_t c = 0; c < rank; c++)
			equations->fixed[r * rank + c] =
				(double) problem->factors[1 - side][r * stride + c];
	memset(equations->gram, 0, rank * rank * sizeof(double));
	if (problem->shape.feedback == ALS_IMPLICIT)
		for (size_t r = 0; r < nfixed; r++)
			for (size_t i = 0; i < rank; i++)
				for (size_t j = 0; j < rank; j++)
					equations->gram[i * rank + j] +=
						equations->fixed[r * rank + i] *
						equations->fixed[r * rank + j];
	return equations;
}

void
free_equations(Equations *equations)
{
	free(equations->fixed);
	free(equations->gram);
	free(equations->a);
	free(equations->b);
	free(equations);
}

void
equations_of_row(Equations *equations, uint32_t row)
{
	const Problem *problem = equations->problem;
	const Shape *shape = &problem->shape;
	size_t		rank = equations->rank;
	const uint64_t *start = problem->start[equations->side];
	double		shift = (double) shape->regularization *
		reference_scale(problem, equations->side, row);
	double	   *f = allocate(rank * sizeof(double));
	double	   *sizes = allocate(rank * sizeof(double));

	memcpy(equations->a, equations->gram, rank * rank * sizeof(double));
	memset(equations->b, 0, rank * sizeof(double));
	memset(sizes, 0, rank * sizeof(double));
	for (size_t i = 0; i < rank; i++)
	{
		equations->a[i * rank + i] += shift;
		equations->b[i] = shift * prior_of(problem, equations->side, row, i);
		sizes[i] = fabs(equations->b[i]);
	}

	for (uint64_t k = start[row]; k < start[row + 1]; k++)
	{
		const AlsEntry *entry = &problem->entries[equations->side][k];
		double		rating = (double) entry->rating;
		double		weight = (double) shape->alpha * fabs(rating);
		double		target = rating > 0 ? 1 + weight : 0;

		memcpy(f, equations->fixed + entry->column * rank,
			   rank * sizeof(double));
		if (shape->feedback == ALS_EXPLICIT)
		{
			weight = reference_weight(problem, equations->side, k);
			target = weight * (rating - (double) problem->mean - f[rank - 1]);
			f[rank - 1] = problem->unbiased ? 0 : 1;
		}
		for (size_t i = 0; i < rank; i++)
		{
			for (size_t j = 0; j < rank; j++)
				equations->a[i * rank + j] += weight * f[i] * f[j];
			equations->b[i] += target * f[i];
			sizes[i] += fabs(target * f[i]);
		}
	}
	equations->b_size = 0;
	for (size_t i = 0; i < rank; i++)
		equations->b_size = fmax(equations->b_size, sizes[i]);
	free(f);
	free(sizes);
}

void
equations_solve(Equations *equations, double *x)
{
	size_t		n = equations->rank;
	double	   *a = equations->a;
	double	   *b = equations->b;

	for (size_t k = 0; k < n; k++)
	{
		size_t		pivot = k;

		for (size_t i = k + 1; i < n; i++)
			if (fabs(a[i * n + k]) > fabs(a[pivot * n + k]))
				pivot = i;
		for (size_t j = k; j < n && pivot != k; j++)
		{
			double		other = a[k * n + j];

			a[k * n + j] = a[pivot * n + j];
			a[pivot * n + j] = other;
		}
		if (pivot != k)
		{
			double		other = b[k];

			b[k] = b[pivot];
			b[pivot] = other;
		}
		for (size_t i = k + 1; i < n; i++)
		{
			double		factor = a[i * n + k] / a[k * n + k];

			for (size_t j = k; j < n; j++)
				a[i * n + j] -= factor * a[k * n + j];
			b[i] -= factor * b[k];
		}
	}
	for (size_t k = n; k-- > 0;)
	{
		double		sum = b[k];

		for (size_t j = k + 1; j < n; j++)
			sum -= a[k * n + j] * x[j];
		x[k] = sum / a[k * n + k];
	}
}

double
equations_residual(const Equations *equations, const float *x, double start)
{
	size_t		n = equations->rank;
	double		norm_a = 0;
	double		norm_x = start;
	double		residual = 0;

	for (size_t i = 0; i < n; i++)
	{
		double		row = 0;
		double		left = equations->b[i];

		for (size_t j = 0; j < n; j++)
		{
			row += fabs(equations->a[i * n + j]);
			left -= equations->a[i * n + j] * (double) x[j];
		}
		norm_a = fmax(norm_a, row);
		norm_x = fmax(norm_x, fabs((double) x[i]));
		if (equations->problem->shape.solver == ALS_NONNEGATIVE &&
			i < (size_t) equations->problem->shape.factors && !(x[i] > 0))
			left = x[i] == 0 ? fmax(left, 0) : INFINITY;
		/* fmax would drop NaN */
		if (!(fabs(left) <= residual))
			residual = fabs(left);
	}
	if (residual == 0)
		return 0;
	return residual / (norm_a * norm_x + equations->b_size);
}

/* The rating of a pair that has one, else NULL; columns are ascending. */
static const AlsEntry *
find_rating(const Problem *problem, uint32_t user, uint64_t *next,
			uint32_t item)
{
	const AlsEntry *entry = &problem->entries[ALS_USERS][*next];

	if (*next == problem->start[ALS_USERS][user + 1] || entry->column != item)
		return NULL;
	(*next)++;
	return entry;
}

double
reference_objective(const Problem *problem)
{
	const Shape *shape = &problem->shape;
	size_t		stride = (size_t) als_stride(problem->rank);
	size_t		factors = (size_t) shape->factors;
	double		sum = reference_penalty(problem, ALS_USERS) +
		reference_penalty(problem, ALS_ITEMS);

	for (uint32_t u = 0; u < shape->nrows[ALS_USERS]; u++)
	{
		const float *x = problem->factors[ALS_USERS] + u * stride;
		uint64_t	next = problem->start[ALS_USERS][u];

		for (uint32_t i = 0; i < shape->nrows[ALS_ITEMS]; i++)
		{
			const float *y = problem->factors[ALS_ITEMS] + i * stride;
			const AlsEntry *entry = find_rating(problem, u, &next, i);
			double		rating = entry != NULL ? (double) entry->rating : 0;
			double		dot = 0;
			double		error;

			if (entry == NULL && shape->feedback == ALS_EXPLICIT)
				continue;
			for (size_t c = 0; c < factors; c++)
				dot += (double) x[c] * (double) y[c];
			if (shape->feedback == ALS_EXPLICIT)
			{
				error = rating - (double) problem->mean -
					(double) x[factors] - (double) y[factors] - dot;
				sum += reference_weight(problem, ALS_USERS, next - 1) *
					error * error;
			}
			else
			{
				error = (rating > 0) - dot;
				sum += (1 + (double) shape->alpha * fabs(rating)) *
					error * error;
			}
		}
	}
	return sum;
}

/* Largest element of a row */
static double
largest(const Problem *problem, const float *row)
{
	double		size = 0;

	for (int i = 0; i < problem->rank; i++)
		size = fmax(size, fabs((double) row[i]));
	return size;
}

double
equations_worst_residual(const Problem *problem, AlsSide side,
						 const float *start)
{
	Equations  *equations = make_equations(problem, side);
	size_t		stride = (size_t) als_stride(problem->rank);
	double		worst = 0;

	for (uint32_t r = 0; r < problem->shape.nrows[side]; r++)
	{
		const float *x = problem->factors[side] + r * stride;
		double		residual;

		equations_of_row(equations, r);
		residual = equations_residual(equations, x, start == NULL ? 0 :
									  largest(problem, start + r * stride));
		if (!(residual <= worst))
			worst = residual;
	}
	free_equations(equations);
	return worst;
}

double
reference_weight(const Problem *problem, AlsSide side, uint64_t k)
{
	return problem->weights[side] == NULL ? 1 : (double) problem->weights[side][k];
}

double
reference_scale(const Problem *problem, AlsSide side, uint32_t row)
{
	const Shape *shape = &problem->shape;
	double		n = 0;

	for (uint64_t k = problem->start[side][row];
		 k < problem->start[side][row + 1]; k++)
		n += reference_weight(problem, side, k);
	if (shape->feedback == ALS_IMPLICIT && problem->by_ratings)
	{
		double		positive = 0;

		for (uint64_t k = problem->start[side][row];
			 k < problem->start[side][row + 1]; k++)
			positive += problem->entries[side][k].rating > 0;
		return pow(fmax(positive, 1), shape->scaling);
	}
	return pow(shape->feedback == ALS_EXPLICIT ? n :
			   shape->nrows[1 - side] + (double) shape->alpha * n,
			   shape->scaling);
}

double
reference_penalty(const Problem *problem, AlsSide side)
{
	size_t		stride = (size_t) als_stride(problem->rank);
	double		sum = 0;

	for (uint32_t r = 0; r < problem->shape.nrows[side]; r++)
	{
		double		weight = reference_scale(problem, side, r);

		for (size_t c = 0; c < (size_t) problem->rank; c++)
		{
			double		x = (double) problem->factors[side][r * stride + c] -
				prior_of(problem, side, r, c);

			sum += weight * x * x;
		}
	}
	return (double) problem->shape.regularization * sum;
}
