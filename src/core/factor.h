/*
 * factor.h
 *	  Matrices factored in double, in steps that can be polled between.
 */
#ifndef ALS_FACTOR_H
#define ALS_FACTOR_H

#include "als_blas.h"
#include "als_poll.h"

/*
 * L with A = L L' in the lower column-major triangle of a[stride x n], as
 * dpotrf.  Returns 0 or the 1-based pivot that is not positive.
 */
extern int	als_factor(const AlsBlas *blas, AlsPoll poll, int n, double *a,
					   int stride);

/*
 * vectors[n x n] and values[n], ascending, with A = vectors diag(values)
 * vectors' for a symmetric a[n x n], of which the lower triangle is read; a is
 * destroyed.  Returns 0, or not 0 if nothing converges.  workspace:
 * als_diagonalize_workspace bytes.
 */
extern size_t als_diagonalize_workspace(int n);
extern int	als_diagonalize(const AlsBlas *blas, AlsPoll poll, int n,
							double *a, double *values, double *vectors,
							void *workspace);

#endif							/* ALS_FACTOR_H */
