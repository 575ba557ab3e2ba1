/*
 * influence.c
 *	  How much each of a row's ratings has to do with a score.
 */
#include "solve.h"

/* a += sum w f f', factored in place; z := a^-1 z */
int
als_influence(const AlsBlas *blas, AlsPoll poll, int rank, int stride,
			  size_t nrows, const float *rows, const double *weight, double *a,
			  double *z, void *workspace)
{
	const int	one = 1;
	int			info;

	for (size_t first = 0; first < nrows; first += ALS_EXACT_ROWS)
	{
		size_t		count = nrows - first < ALS_EXACT_ROWS ? nrows - first :
		ALS_EXACT_ROWS;
		const float *some[ALS_EXACT_ROWS];

		als_poll(poll);
		for (size_t k = 0; k < count; k++)
			some[k] = rows + (first + k) * (size_t) stride;
		als_exact_add(blas, rank, stride, count, some, weight + first,
					  workspace, a);
	}
	info = als_exact_factor(blas, poll, rank, rank, a);
	if (info == 0)
		blas->dpotrs("L", &rank, &one, a, &rank, z, &rank, &info, 1);
	return info;
}
