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
	float	   *q;				/* [stride] A p; zeros */
	float	   *partial;		/* [stride] what one chunk adds */
	float	   *a;				/* [stride x stride], Cholesky */
	float	   *a_partial;		/* [stride x stride], Cholesky */
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
 * x := solution for one row with ratings, with the objective there in
 * *objective.  Returns ALS_OK, ALS_NOT_FINITE or the failing pivot; the caller
 * checks that x and *objective are finite.
 */
extern int	als_solve_row_cg(const AlsSystem *system, const Row *row,
							 const Workspace *workspace, float *x,
							 double *objective);
extern int	als_solve_row_cholesky(const AlsSystem *system, const Row *row,
								   const Workspace *workspace, float *x,
								   double *objective);

#endif							/* ALS_SOLVE_H */
