/*
 * outer_products.c
 *	  Sums of weighted outer products of rows, in double.
 */
#include "outer_products.h"

#include <math.h>

void
als_add_outer_products(const AlsBlas *blas, int rank, int stride,
					   size_t nrows, const float *const *rows,
					   const double *weight, double *buffer, double *a)
{
	size_t		n = (size_t) rank;
	const double one = 1;
	int			count = (int) nrows;

	for (size_t k = 0; k < nrows; k++)
	{
		double		root = weight != NULL ? sqrt(weight[k]) : 1;

		for (size_t i = 0; i < n; i++)
			buffer[k * (size_t) stride + i] = root * (double) rows[k][i];
	}
	blas->dsyrk("L", "N", &rank, &count, &one, buffer, &stride, &one, a, &rank,
				1, 1);
}

void
als_add_all_outer_products(const AlsBlas *blas, AlsPoll poll, int rank,
						   int stride, size_t nrows, const float *rows,
						   const double *weight, double *buffer, double *a)
{
	for (size_t first = 0; first < nrows; first += ALS_OUTER_ROWS)
	{
		size_t		count = nrows - first < ALS_OUTER_ROWS ? nrows - first :
			ALS_OUTER_ROWS;
		const float *some[ALS_OUTER_ROWS];

		als_poll(poll);
		for (size_t k = 0; k < count; k++)
			some[k] = rows + (first + k) * (size_t) stride;
		als_add_outer_products(blas, rank, stride, count, some,
							   weight != NULL ? weight + first : NULL, buffer,
							   a);
	}
}
