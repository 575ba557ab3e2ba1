/*
 * normal_equations.h
 *	  The normal equations of one row in single precision, and the objective at
 *	  their solution.
 */
#ifndef ALS_NORMAL_EQUATIONS_H
#define ALS_NORMAL_EQUATIONS_H

#include "row.h"

/*
 * What is left of a diagonal element, as a share of it, when A is factored in
 * single precision.  With no less than the first, solutions are good to single
 * precision; with less than the second, rounding may have decided it.
 */
#define ALS_SURE_PIVOT 0x1p-10f
#define ALS_LEAST_PIVOT 0x1p-14f

/*
 * Lower triangle of A = B + sum w f f' in workspace->a, b = sum t f + lambda s p
 * in workspace->r.  Returns ALS_OK, ALS_NOT_FINITE, or a pivot if A is singular
 * whatever rounding makes of it.
 */
extern int	als_normal_equations(const AlsSystem *system, const Row *row,
								 const Workspace *workspace);

/* The objective of a row at x, after als_normal_equations */
extern double als_objective_at(const AlsSystem *system, const Row *row,
							   const Workspace *workspace, const float *x);

/*
 * Is that right to ALS_LOSS_TOLERANCE?  trace: of A, or at least the largest
 * eigenvalue of sum w f f'.
 */
extern int	als_objective_is_sure(const AlsSystem *system, const Row *row,
								  double trace, const float *x,
								  double objective);

#endif							/* ALS_NORMAL_EQUATIONS_H */
