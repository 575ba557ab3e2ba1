/*
 * influence.c
 *	  What each of a row's ratings contributes to a score.
 */
#include "als_core.h"
#include "factorize.h"
#include "outer_products.h"

/* a += sum w f f', factored in place; z := a^-1 z */
int
als_influence(const AlsBlas *blas, AlsPoll poll, int rank, int stride,
			  size_t nrows, const float *rows, const double *weight, double *a,
			  double *z, void *workspace)
{
	int			info;

	als_add_all_outer_products(blas, poll, rank, stride, nrows, rows, weight,
							   workspace, a);
	info = als_factorize_certain(blas, poll, rank, a, rank);
	if (info == 0)
		als_factorized_solve(blas, rank, a, rank, z);
	return info;
}
