/*
 * gram.c
 *	  The Gram matrix of a side, and what rows are solved against.
 */
#include <float.h>
#include <string.h>

#include "als_core.h"

/* Rows whose products are summed in single precision */
#define GROUP 512

size_t
als_gram_workspace(int rank)
{
	return (size_t) rank * (size_t) rank * sizeof(float);
}

/* gram = sum of f f', by ssyrk in groups of rows that are added in double */
void
als_gram(const AlsBlas *blas, int rank, size_t nrows, const float *rows,
		 double *gram, void *workspace)
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

		blas->ssyrk("L", "N", &rank, &count, &one,
					rows + first * (size_t) stride, &stride, &zero,
					group, &rank, 1, 1);
		for (size_t j = 0; j < n; j++)
			for (size_t i = j; i < n; i++)
				gram[j * n + i] += group[j * n + i];
	}
}

int
als_gram_finish(const AlsBlas *blas, int rank, int npartials,
				double *partials, double regularization,
				float *base, float *base_factor)
{
	size_t		n = (size_t) rank;
	size_t		stride = (size_t) als_stride(rank);
	double	   *gram = partials;
	int			info;

	memset(base, 0, stride * stride * sizeof(float));
	memset(base_factor, 0, stride * stride * sizeof(float));
	for (int p = 1; p < npartials; p++)
		for (size_t i = 0; i < n * n; i++)
			gram[i] += partials[(size_t) p * n * n + i];
	for (size_t j = 0; j < n; j++)
	{
		gram[j * n + j] += regularization;
		for (size_t i = j; i < n; i++)
			base[j * stride + i] = (float) gram[j * n + i];
	}

	blas->dpotrf("L", &rank, gram, &rank, &info, 1);
	if (info != 0)
		return info;
	for (size_t j = 0; j < n; j++)
	{
		double		pivot = gram[j * n + j];

		/* below this, rounding the factors to float has decided it */
		if (!(pivot * pivot > 4 * (double) FLT_EPSILON *
			  (double) base[j * stride + j]))
			return (int) j + 1;
		for (size_t i = j; i < n; i++)
			base_factor[j * stride + i] = (float) gram[j * n + i];
	}
	return 0;
}
