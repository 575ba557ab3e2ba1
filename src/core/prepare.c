/*
 * prepare.c
 *	  The other side's rows as the solver wants them.
 */
#include <string.h>

#include "als_core.h"

/* Rows handed to BLAS at a time: a fixed number, for the same bits always */
#define BATCH 64

/* Implicit: out = L^-1 f, so that G + lambda I becomes the identity. */
static void
whiten(const AlsSystem *system, size_t nrows, float *out)
{
	int			stride = als_stride(system->rank);
	const float one = 1;

	for (size_t first = 0; first < nrows; first += BATCH)
	{
		int			count = (int) (nrows - first < BATCH ? nrows - first : BATCH);

		als_poll(system->poll);
		system->blas->strsm("L", "L", "N", "N", &system->rank, &count, &one,
							system->base_factor, &stride,
							out + first * (size_t) stride, &stride,
							1, 1, 1, 1);
	}
}

/* Implicit, diagonalized: out = Q' f, so that the Gram matrix is diagonal. */
static void
rotate(const AlsSystem *system, size_t nrows, const float *rows, float *out)
{
	int			stride = als_stride(system->rank);
	const float one = 1;
	const float zero = 0;

	for (size_t first = 0; first < nrows; first += BATCH)
	{
		int			count = (int) (nrows - first < BATCH ? nrows - first : BATCH);

		als_poll(system->poll);
		system->blas->sgemm("T", "N", &system->rank, &count, &system->rank,
							&one, system->base_factor, &stride,
							rows + first * (size_t) stride, &stride, &zero,
							out + first * (size_t) stride, &stride, 1, 1);
	}
}

void
als_prepare_rows(const AlsSystem *system, size_t nrows, const float *rows,
				 float *out, float *bias)
{
	size_t		stride = (size_t) als_stride(system->rank);

	memcpy(out, rows, nrows * stride * sizeof(float));
	if (system->exact && system->feedback == ALS_IMPLICIT)
		return;
	if (system->feedback == ALS_IMPLICIT)
	{
		if (als_diagonalizes(system))
			rotate(system, nrows, rows, out);
		else
			whiten(system, nrows, out);
		return;
	}
	for (size_t r = 0; r < nrows; r++)
	{
		float	   *last = out + r * stride + (size_t) system->rank - 1;

		bias[r] = *last;
		*last = 1;
	}
}
