/*
 * exact_equations.h
 *	  The normal equations of one row in double precision, and the objective at
 *	  their solution.  Implicit: against the rows as they are stored.
 */
#ifndef ALS_EXACT_EQUATIONS_H
#define ALS_EXACT_EQUATIONS_H

#include "row.h"

/* Beside the solution: a correction no larger may still be rounding */
#define ALS_TOLERABLE_CORRECTION 0x1p-10

/* Of a rating, the k-th of a row: the row of the other side, w and t */
extern const float *als_exact_row(const AlsSystem *system,
								  const AlsEntry *entry);
extern void als_exact_weigh(const AlsSystem *system, const Row *row, size_t k,
							double *weight, double *target);

/*
 * Lower triangle of A in workspace->exact, b in workspace->right.  Returns
 * ALS_OK, ALS_NOT_FINITE, or a pivot if A is singular whatever rounding makes
 * of it.
 */
extern int	als_exact_equations(const AlsSystem *system, const Row *row,
								const Workspace *workspace);

/* r[stride] := b - A x, from the ratings and not from A */
extern void als_exact_residual(const AlsSystem *system, const Row *row,
							   const double *x, double *r);

/* The objective at x.  Uses workspace->solution and workspace->correction. */
extern double als_exact_objective(const AlsSystem *system, const Row *row,
								  const Workspace *workspace, const float *x);

/* Largest element in size; NaN if there is one */
extern double als_largest(size_t n, const double *x);

/*
 * Refines workspace->solution, of which the n columns are free (NULL: all) and
 * of whose equations factor [n columns, ld apart] is L.  Returns ALS_OK, or n
 * if it does not converge.
 */
extern int	als_exact_refine(const AlsSystem *system, const Row *row,
							 const Workspace *workspace, int n,
							 const int *columns, const double *factor, int ld);

#endif							/* ALS_EXACT_EQUATIONS_H */
