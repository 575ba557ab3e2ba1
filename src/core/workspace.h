/*
 * workspace.h
 *	  The memory of a call of als_solve_rows, cut up.
 */
#ifndef ALS_WORKSPACE_H
#define ALS_WORKSPACE_H

#include "als_core.h"

typedef struct Workspace
{
	size_t		chunk;			/* ratings that fit into the buffers below */
	float	   *gathered;		/* [chunk x stride] f_k */
	float	   *weight;			/* [chunk] w_k */
	float	   *target;			/* [chunk] t_k */
	float	   *zero;			/* [chunk] zeros, as targets of A p */
	float	   *dots;			/* [chunk] f_k.x */
	float	   *r;				/* [stride] residual; right-hand side */
	float	   *p;				/* [stride] direction; diagonal of A */
	float	   *q;				/* [stride] A p */
	float	   *partial;		/* [stride] what one chunk adds */
	float	   *priors;			/* [ALS_WHITEN_ROWS x stride] turned; CG */

	/* conjugate gradient on a diagonal Gram matrix */
	float	   *scale;			/* [stride] B^-1/2 */
	float	   *scaled;			/* [stride] a vector times that */
	float	   *rotated;		/* [ALS_WHITEN_ROWS x stride] */

	/* Cholesky and nonnegative */
	float	   *a;				/* [stride x stride] */
	float	   *a_partial;		/* [stride x stride] */

	/* in double */
	double	   *exact;			/* [rank x rank] A, lower triangle, or its L */
	double	   *right;			/* [stride] right-hand side */
	double	   *solution;		/* [stride] x */
	double	   *correction;		/* [stride] residual, and what it adds to x */
	double	   *products;		/* [ALS_OUTER_ROWS x stride] */

	/* nonnegative */
	double	   *factor;			/* [stride x stride] of A's passive part */
	double	   *passive_solution;	/* [stride] x's passive part */
	int		   *passive;		/* [stride] columns that are not held at 0 */
	int		   *is_passive;		/* [stride] which they are */
	int		   *is_infeasible;	/* [stride] columns with a wrong sign */
} Workspace;

/*
 * Cuts memory of als_solve_workspace bytes up; what the solver does not use is
 * empty.  Returns its size; memory may be NULL for the size alone.
 */
extern size_t als_cut_workspace(const AlsSystem *system, void *memory,
								Workspace *workspace);

#endif							/* ALS_WORKSPACE_H */
