/*
 * row.h
 *	  What the solvers share of one row: its ratings, loaded in chunks.
 */
#ifndef ALS_ROW_H
#define ALS_ROW_H

#include "als_core.h"
#include "workspace.h"

/* How much of itself the loss of a row may be wrong by, as far as is known */
#define ALS_LOSS_TOLERANCE 0x1p-16

/* The ratings of one row */
typedef struct Row
{
	const AlsEntry *entries;
	const float *weights;		/* as in AlsRows */
	size_t		n;
	size_t		available;		/* n and the entries of the rows behind */
	const float *prior;			/* [stride], NULL: 0 */
	float	   *turned_prior;	/* in the coordinates of conjugate gradient,
								 * to be overwritten; likewise */
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

/*
 * What the n ratings of a loaded chunk add to the objective at x, their f.x
 * being in dots: w (f.x)^2 - 2 t f.x + c, the constant c being that at x = 0,
 * t where p = 1 (implicit) or t^2 / w (explicit).
 */
extern double als_chunk_objective(const AlsSystem *system, const Row *row,
								  const Workspace *workspace, size_t n);

/*
 * x := solution for one row with ratings, with the objective there in
 * *objective.  Returns ALS_OK, ALS_NOT_FINITE, ALS_NOT_OPTIMAL or the failing
 * pivot; the caller checks that x and *objective are finite.
 */
typedef int RowSolver (const AlsSystem *system, const Row *row,
					   const Workspace *workspace, float *x,
					   double *objective);

/* Is A singular, whatever rounding makes of it?  lambda = 0 and n is too small. */
extern int	als_lacks_ratings(const AlsSystem *system, const Row *row);

#endif							/* ALS_ROW_H */
