/*
 * regularization.c
 *	  lambda s of a row, and what it multiplies.
 */
#include "regularization.h"

#include <math.h>

/*
 * How many of n ratings are above 0, but no less than 1: a row without any is 0,
 * whatever lambda above 0 is multiplied by.
 */
static uint64_t
count_positive(const AlsEntry *entries, uint64_t n)
{
	uint64_t	count = 0;

	for (uint64_t k = 0; k < n; k++)
		count += entries[k].rating > 0;
	return count > 0 ? count : 1;
}

/* The sum of n weights */
static double
sum_weights(const float *weights, uint64_t n)
{
	double		sum = 0;

	for (uint64_t k = 0; k < n; k++)
		sum += (double) weights[k];
	return sum;
}

/* s of what counts so much */
static double
scale_of(const AlsSystem *system, double size)
{
	return system->regularization_scaling == 1 ? size :
		pow(size, system->regularization_scaling);
}

double
als_regularization_scale(const AlsSystem *system, const AlsEntry *entries,
						 const float *weights, uint64_t n)
{
	double		size = (double) n;

	if (system->regularization_scaling == 0)
		return 1;
	if (system->feedback == ALS_IMPLICIT && system->by_ratings)
		size = (double) count_positive(entries, n);
	else if (system->feedback == ALS_IMPLICIT)
		size = (double) system->nfixed + (double) system->alpha * size;
	else if (weights != NULL)
		size = sum_weights(weights, n);
	return scale_of(system, size);
}

double
als_features_scale(const AlsSystem *system)
{
	if (system->feedback == ALS_EXPLICIT || system->by_ratings)
		return INFINITY;
	return scale_of(system, (double) system->nfixed);
}

double
als_row_shift(const AlsSystem *system, const AlsEntry *entries,
			  const float *weights, uint64_t n)
{
	return (double) system->regularization *
		als_regularization_scale(system, entries, weights, n);
}

double
als_squared_norm(int rank, const float *x)
{
	double		sum = 0;

	for (int i = 0; i < rank; i++)
		sum += (double) x[i] * (double) x[i];
	return sum;
}

double
als_squared_distance(int rank, const float *x, const float *prior)
{
	double		sum = 0;

	if (prior == NULL)
		return als_squared_norm(rank, x);
	for (int i = 0; i < rank; i++)
	{
		double		difference = (double) x[i] - (double) prior[i];

		sum += difference * difference;
	}
	return sum;
}

double
als_penalty(const AlsSystem *system, const AlsRows *rows, const float *solved)
{
	size_t		stride = (size_t) als_stride(system->rank);
	double		penalty = 0;

	for (uint32_t r = 0; r < rows->nrows; r++)
	{
		uint64_t	first = rows->start[r] - rows->start[0];

		penalty += als_squared_distance(system->rank, solved + r * stride,
										rows->prior == NULL ? NULL :
										rows->prior + r * stride) *
			als_regularization_scale(system, rows->entries + first,
									 rows->weights == NULL ? NULL :
									 rows->weights + first,
									 rows->start[r + 1] - rows->start[r]);
	}
	return penalty;
}
