/*
 * gram.c
 *	  The Gram matrix of a side, and what rows are solved against.
 */
#include <float.h>
#include <string.h>

#include "als_core.h"
#include "factor.h"

/* Rows whose products are summed in single precision */
#define GROUP 512

size_t
als_gram_workspace(int rank)
{
	return (size_t) rank * (size_t) rank * sizeof(float);
}

/* gram = sum of f f', by ssyrk in groups of rows that are added in double */
void
als_gram(const AlsBlas *blas, AlsPoll poll, int rank, size_t nrows,
		 const float *rows, double *gram, void *workspace)
{
	size_t		n = (size_t) rank;
	int			stride = als_stride(rank);
	float	   *group = workspace;
	const float one = 1;
	const float zero = 0;

	memset(gram, 0, n * n * sizeof(double));
	for (size_t first = 0; first < nrows; first += GROUP)
	{
		int			count = (int) (nrows - first < GROUP ? nrows - first : GROUP);

		als_poll(poll);
		blas->ssyrk("L", "N", &rank, &count, &one,
					rows + first * (size_t) stride, &stride, &zero,
					group, &rank, 1, 1);
		for (size_t j = 0; j < n; j++)
			for (size_t i = j; i < n; i++)
				gram[j * n + i] += group[j * n + i];
	}
}

size_t
als_gram_finish_workspace(const AlsSystem *system)
{
	size_t		n = (size_t) system->rank;

	if (!als_diagonalizes(system))
		return 0;
	return (n * n + n) * sizeof(double) +
		als_diagonalize_workspace(system->rank);
}

/* Writes Q and D of the Gram matrix, which is overwritten; 0 or an error. */
static int
diagonalize(const AlsSystem *system, double *gram, float *rotation,
			float *spectrum, double *vectors)
{
	size_t		n = (size_t) system->rank;
	size_t		stride = (size_t) als_stride(system->rank);
	double	   *values = vectors + n * n;
	int			info = als_diagonalize(system->blas, system->poll,
									   system->rank, gram, values, vectors,
									   values + n);

	if (info != 0)
		return info;
	memset(rotation, 0, stride * stride * sizeof(float));
	memset(spectrum, 0, stride * sizeof(float));
	for (size_t j = 0; j < n; j++)
	{
		/* rounding may carry one that is zero below it */
		spectrum[j] = values[j] > 0 ? (float) values[j] : 0;
		for (size_t i = 0; i < n; i++)
			rotation[j * stride + i] = (float) vectors[j * n + i];
	}
	return 0;
}

int
als_gram_finish(const AlsSystem *system, double regularization,
				int npartials, double *partials,
				float *base, float *base_factor, float *spectrum,
				void *workspace)
{
	int			rank = system->rank;
	size_t		n = (size_t) rank;
	size_t		stride = (size_t) als_stride(rank);
	double		shift = regularization * als_regularization_scale(system, 0);
	double	   *gram = partials;
	double	   *factored = gram;
	int			info;

	memset(base, 0, stride * stride * sizeof(float));
	memset(base_factor, 0, stride * stride * sizeof(float));
	for (int p = 1; p < npartials; p++)
	{
		als_poll(system->poll);
		for (size_t i = 0; i < n * n; i++)
			gram[i] += partials[(size_t) p * n * n + i];
	}
	if (als_diagonalizes(system))
	{
		factored = workspace;
		memcpy(factored, gram, n * n * sizeof(double));
	}
	for (size_t j = 0; j < n; j++)
	{
		factored[j * n + j] += shift;
		for (size_t i = j; i < n; i++)
			base[j * stride + i] = (float) factored[j * n + i];
	}

	info = als_factor(system->blas, system->poll, rank, factored, rank);
	if (info != 0)
		return info;
	for (size_t j = 0; j < n; j++)
	{
		double		pivot = factored[j * n + j];

		/* below this, rounding the factors to float has decided it */
		if (!(pivot * pivot > 4 * (double) FLT_EPSILON *
			  (double) base[j * stride + j]))
			return (int) j + 1;
		for (size_t i = j; i < n; i++)
			base_factor[j * stride + i] = (float) factored[j * n + i];
	}
	if (als_diagonalizes(system))
		return diagonalize(system, gram, base_factor, spectrum, workspace);
	return 0;
}
