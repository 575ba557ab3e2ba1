/*
 * solve.h
 *	  What the two solvers share.
 */
#ifndef ALS_SOLVE_H
#define ALS_SOLVE_H

#include "als_core.h"

/* Rows that are solved together; fixed, for the same bits always */
#define BATCH 64

/* A row of factors is whole blocks; als_stride pads it */
typedef float Block __attribute__((vector_size(64)));

/* A call's workspace, cut up */
typedef struct Workspace
{
	size_t		chunk;			/* ratings that fit into the buffers below */
	float	   *gathered;		/* [chunk x stride] */
	float	   *weight;			/* [chunk] w_k */
	float	   *target;			/* [chunk] t_k */
	float	   *zero;			/* [chunk] zeros, as targets of A p */
	float	   *dots;			/* [chunk] f_k.x */
	float	   *r;				/* [stride] residual; right-hand side */
	float	   *p;				/* [stride] direction; diagonal of A */
	float	   *q;				/* [stride] A p */
	float	   *partial;		/* [stride] what one chunk adds */

	/* CG on a diagonal Gram matrix */
	float	   *scale;			/* [stride] B^-1/2 */
	float	   *scaled;			/* [stride] a vector times that */
	float	   *rotated;		/* [BATCH x stride] rows turned by Q */

	/* Cholesky and nonnegative */
	float	   *a;				/* [stride x stride] */
	float	   *a_partial;		/* [stride x stride] */

	/* nonnegative */
	double	   *factor;			/* [stride x stride] of A's passive part */
	double	   *solution;		/* [stride] x */
	double	   *passive_solution;	/* [stride] x's passive part */
	int		   *passive;		/* [stride] columns that are not held at 0 */
	int		   *is_passive;		/* [stride] which they are */
	int		   *is_infeasible;	/* [stride] columns with a wrong sign */
} Workspace;

/* The ratings of one row */
typedef struct Row
{
	const AlsEntry *entries;
	size_t		n;
	size_t		available;		/* n and the entries of the rows behind */
} Row;

/*
 * Loads weights and targets of the chunk of a row's ratings that begins at
 * first.  Returns the number of ratings.
 */
extern size_t als_load_weights(const AlsSystem *system, const Row *row,
							   size_t first, const Workspace *workspace);

/* Loads the whole chunk, factor rows too. */
extern size_t als_load_chunk(const AlsSystem *system, const Row *row,
							 size_t first, const Workspace *workspace);

/* |x|^2 */
extern double als_squared_norm(int rank, const float *x);

/*
 * What the n ratings of a loaded chunk add to the objective at x, their f.x
 * being in dots: w (f.x)^2 - 2 t f.x + c, the constant c being that at x = 0,
 * t where p = 1 (implicit) or t^2 (explicit).
 */
extern double als_chunk_objective(const AlsSystem *system,
								  const Workspace *workspace, size_t n);

/*
 * The normal equations of a row, in float: lower triangle of A = B + sum w f f'
 * in workspace->a, b = sum t f in workspace->r.  Returns ALS_OK,
 * ALS_NOT_FINITE, or a pivot if A is singular whatever rounding makes of it.
 */
extern int	als_normal_equations(const AlsSystem *system, const Row *row,
								 const Workspace *workspace);

/* The objective of a row at x, after als_normal_equations. */
extern double als_objective_at(const AlsSystem *system, const Row *row,
							   const Workspace *workspace, const float *x);

/*
 * x := solution for one row with ratings, with the objective there in
 * *objective.  Returns ALS_OK, ALS_NOT_FINITE, ALS_NOT_OPTIMAL or the failing
 * pivot; the caller checks that x and *objective are finite.
 */
extern int	als_solve_row_cg(const AlsSystem *system, const Row *row,
							 const Workspace *workspace, float *x,
							 double *objective);
extern int	als_solve_row_cholesky(const AlsSystem *system, const Row *row,
								   const Workspace *workspace, float *x,
								   double *objective);
extern int	als_solve_row_nonnegative(const AlsSystem *system, const Row *row,
									  const Workspace *workspace, float *x,
									  double *objective);

#endif							/* ALS_SOLVE_H */
