/*
 * factorize.h
 *	  Matrices factored in double, in steps that can be polled between.
 */
#ifndef ALS_FACTORIZE_H
#define ALS_FACTORIZE_H

#include "als_blas.h"
#include "als_poll.h"

/*
 * L with A = L L' in the lower column-major triangle of a[stride x n], as
 * dpotrf.  Returns 0 or the 1-based pivot that is not positive.
 */
extern int	als_factorize(const AlsBlas *blas, AlsPoll poll, int n, double *a,
						  int stride);

/*
 * The same, but for rounding too: returns the first pivot of which it leaves
 * nothing that is certain, pivot^2 <= 4 eps n (L L')_jj.
 */
extern int	als_factorize_certain(const AlsBlas *blas, AlsPoll poll, int n,
								  double *a, int stride);

/* x[n] := (L L')^-1 x */
extern void als_factorized_solve(const AlsBlas *blas, int n, const double *a,
								 int stride, double *x);

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

#endif							/* ALS_FACTORIZE_H */
