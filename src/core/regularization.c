/*
 * regularization.c
 *	  lambda s of a row, and what it multiplies.
 */
#include "regularization.h"

#include <math.h>

double
als_regularization_scale(const AlsSystem *system, uint64_t n)
{
	double		size = (double) n;

	if (system->regularization_scaling == 0)
		return 1;
	if (system->feedback == ALS_IMPLICIT)
		size = (double) system->nfixed + (double) system->alpha * size;
	return system->regularization_scaling == 1 ? size :
		pow(size, system->regularization_scaling);
}

double
als_row_shift(const AlsSystem *system, uint64_t n)
{
	return (double) system->regularization *
		als_regularization_scale(system, n);
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
als_penalty(const AlsSystem *system, const AlsRows *rows, const float *solved)
{
	size_t		stride = (size_t) als_stride(system->rank);
	double		penalty = 0;

	for (uint32_t r = 0; r < rows->nrows; r++)
		penalty += als_squared_norm(system->rank, solved + r * stride) *
			als_regularization_scale(system,
									 rows->start[r + 1] - rows->start[r]);
	return penalty;
}
