/*
 * outer_products.h
 *	  Sums of weighted outer products of rows, in double.
 */
#ifndef ALS_OUTER_PRODUCTS_H
#define ALS_OUTER_PRODUCTS_H

#include "als_blas.h"
#include "als_poll.h"

/* Rows that are added at a time; fixed, for the same bits always */
#define ALS_OUTER_ROWS 32

/*
 * Lower triangle of a[rank x rank] += sum of weight[k] f_k f_k' over nrows
 * rows, no more than ALS_OUTER_ROWS; weight may be NULL: 1.  buffer
 * [ALS_OUTER_ROWS x stride].
 */
extern void als_add_outer_products(const AlsBlas *blas, int rank, int stride,
								   size_t nrows, const float *const *rows,
								   const double *weight, double *buffer,
								   double *a);

/* The same for any number of rows side by side, rows[nrows x stride]. */
extern void als_add_all_outer_products(const AlsBlas *blas, AlsPoll poll,
									   int rank, int stride, size_t nrows,
									   const float *rows,
									   const double *weight, double *buffer,
									   double *a);

#endif							/* ALS_OUTER_PRODUCTS_H */
