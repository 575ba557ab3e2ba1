/*
 * spectral.c
 *	  Starting factors from the leading singular vectors of the ratings.
 *
 * Let P be 1 where a rating is above 0 and else 0, and B = D_u^-1/2 P D_i^-1/2
 * the same with each row and column divided by the root of its number of ratings.
 * Random columns multiplied with B and B' in turn, and made orthonormal before
 * each product, come to span B's leading singular vectors (Halko, Martinsson and
 * Tropp 2011, algorithm 4.4).  What makes columns orthonormal is their Gram
 * matrix, G = Q L Q': those of F Q L^-1/2 are.
 *
 * After the last product F = B' U with orthonormal columns of U, so that L = S^2,
 * and F Q L^-1/4 = V S^1/2: with the singular values S, B is nearest to U S V',
 * and of all X Y' = U S V' the factors U S^1/2 and V S^1/2 are the smallest.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "als_core.h"
#include "factorize.h"
#include "whiten.h"

/* Columns with less than this share of the largest are lost in rounding. */
#define LEAST_COLUMN (16 * (double) FLT_EPSILON)

#define SUM_ROWS 4096			/* between two polls */

size_t
als_spectral_workspace(int rank)
{
	size_t		n = (size_t) rank;
	size_t		diagonalizing = (2 * n * n + n) * sizeof(double) +
		als_diagonalize_workspace(rank);
	size_t		turning = ALS_WHITEN_ROWS * (size_t) als_stride(rank) *
		sizeof(float);

	return diagonalizing > turning ? diagonalizing : turning;
}

int
als_spectral_basis(const AlsSystem *system, int npartials,
				   const double *partials, double power, double *trace,
				   float *basis, void *workspace)
{
	size_t		n = (size_t) system->rank;
	size_t		stride = (size_t) als_stride(system->rank);
	double	   *gram = workspace;
	double	   *vectors = gram + n * n;
	double	   *values = vectors + n * n;
	int			info;

	memcpy(gram, partials, n * n * sizeof(double));
	for (int p = 1; p < npartials; p++)
	{
		als_poll(system->poll);
		for (size_t i = 0; i < n * n; i++)
			gram[i] += partials[(size_t) p * n * n + i];
	}
	info = als_diagonalize(system->blas, system->poll, system->rank, gram,
						   values, vectors, values + n);
	if (info != 0)
		return info;

	memset(basis, 0, stride * stride * sizeof(float));
	*trace = 0;
	for (size_t j = 0; j < n; j++)
	{
		double		scale;

		if (!(values[j] > LEAST_COLUMN * values[n - 1]))
			continue;
		scale = pow(values[j], power);
		*trace += values[j] * scale * scale;
		for (size_t i = 0; i < n; i++)
			basis[j * stride + i] = (float) (scale * vectors[j * n + i]);
	}
	return 0;
}

void
als_spectral_turn(const AlsSystem *system, const float *basis, size_t nrows,
				  float *rows, void *workspace)
{
	int			stride = als_stride(system->rank);
	float	   *buffer = workspace;
	const float one = 1;
	const float zero = 0;

	for (size_t first = 0; first < nrows; first += ALS_WHITEN_ROWS)
	{
		int			count = (int) (nrows - first < ALS_WHITEN_ROWS ?
								   nrows - first : ALS_WHITEN_ROWS);
		float	   *batch = rows + first * (size_t) stride;

		als_poll(system->poll);
		memcpy(buffer, batch,
			   (size_t) count * (size_t) stride * sizeof(float));
		system->blas->sgemm("T", "N", &system->rank, &count, &system->rank,
							&one, basis, &stride, buffer, &stride,
							&zero, batch, &stride, 1, 1);
	}
}

void
als_spectral_divide(const AlsSystem *system, const uint64_t *start,
					size_t nrows, float *rows)
{
	size_t		stride = (size_t) als_stride(system->rank);

	for (size_t r = 0; r < nrows; r++)
	{
		uint64_t	n = start[r + 1] - start[r];
		float		scale = n > 0 ? 1 / sqrtf((float) n) : 0;

		for (size_t i = 0; i < stride; i++)
			rows[r * stride + i] *= scale;
	}
}

void
als_spectral_sum(const AlsSystem *system, const AlsRows *rows, float *sums)
{
	int			stride = als_stride(system->rank);

	for (uint32_t r = 0; r < rows->nrows; r++)
	{
		const AlsEntry *entries = rows->entries +
			(rows->start[r] - rows->start[0]);
		size_t		left = (size_t) (rows->start[r + 1] - rows->start[r]);
		size_t		available = (size_t) (rows->start[rows->nrows] - rows->start[r]);
		float	   *sum = sums + r * (size_t) stride;

		memset(sum, 0, (size_t) stride * sizeof(float));
		while (left > 0)
		{
			size_t		n = left < SUM_ROWS ? left : SUM_ROWS;

			als_poll(system->poll);
			system->kernels->sum_rows(stride, n, available, system->fixed,
									  entries, sum);
			entries += n;
			left -= n;
			available -= n;
		}
	}
	als_spectral_divide(system, rows->start, rows->nrows, sums);
}
