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

	als_exact_add_all(blas, poll, rank, stride, nrows, rows, weight, workspace,
					  a);
	info = als_exact_factor(blas, poll, rank, rank, a);
	if (info == 0)
		blas->dpotrs("L", &rank, &one, a, &rank, z, &rank, &info, 1);
	return info;
}
