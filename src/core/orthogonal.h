/*
 * orthogonal.h
 *	  One row by orthogonal transformations in double precision.
 */
#ifndef ALS_ORTHOGONAL_H
#define ALS_ORTHOGONAL_H

#include "row.h"

/*
 * The triangle R with R'R = A in workspace->exact, by rows of stride, and y with
 * R'y = b in workspace->right.  Returns ALS_OK or a pivot.
 */
extern int	als_orthogonal_equations(const AlsSystem *system, const Row *row,
									 const Workspace *workspace);

/* workspace->solution := solution by these.  Returns ALS_OK or a pivot. */
extern int	als_orthogonal_solve(const AlsSystem *system, const Row *row,
								 const Workspace *workspace);

/*
 * After als_orthogonal_equations: workspace->solution := solution where all
 * columns but the first npassive of columns[rank] are held at 0, and
 * workspace->correction := the gradient of these, 0 where it may be what
 * rounding by epsilon has made.
 */
extern void als_orthogonal_passive(const AlsSystem *system,
								   const Workspace *workspace, int npassive,
								   const int *columns, double epsilon);

#endif							/* ALS_ORTHOGONAL_H */
