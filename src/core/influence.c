/*
 * influence.c
 *	  How much each of a row's ratings has to do with a score.
 */
#include <float.h>

#include "als_core.h"
#include "factor.h"

/* The first pivot that rounding has decided, 1-based; 0: none */
static int
singular_pivot(size_t rank, const double *l)
{
	for (size_t j = 0; j < rank; j++)
	{
		double		pivot = l[j * rank + j];
		double		diagonal = 0;	/* of L L' */

		for (size_t k = 0; k <= j; k++)
			diagonal += l[k * rank + j] * l[k * rank + j];
		if (!(pivot * pivot > 4 * DBL_EPSILON * (double) rank * diagonal))
			return (int) j + 1;
	}
	return 0;
}

/* a += sum w f f', factored in place; z := a^-1 z */
int
als_influence(const AlsBlas *blas, AlsPoll poll, int rank, int stride,
			  size_t nrows, const float *rows, const double *weight, double *a, double *z)
{
	size_t		n = (size_t) rank;
	const int	one = 1;
	AlsWork		work = {poll, 0};
	int			info;

	for (size_t k = 0; k < nrows; k++)
	{
		const float *f = rows + k * (size_t) stride;

		for (size_t j = 0; j < n; j++)
		{
			double		wf = weight[k] * (double) f[j];

			for (size_t i = j; i < n; i++)
				a[j * n + i] += wf * (double) f[i];
		}
		als_work(&work, n * n);
	}
	info = als_factor(blas, poll, rank, a, rank);
	if (info == 0)
		info = singular_pivot(n, a);
	if (info == 0)
		blas->dpotrs("L", &rank, &one, a, &rank, z, &rank, &info, 1);
	return info;
}
