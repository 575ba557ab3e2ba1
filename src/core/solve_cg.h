/*
 * solve_cg.h
 *	  Conjugate gradient for one row.
 */
#ifndef ALS_SOLVE_CG_H
#define ALS_SOLVE_CG_H

#include "row.h"

/* What single precision is good enough for, of a row solved in it */
typedef enum Trust
{
	TRUST_ALL,
	TRUST_SOLUTION,				/* but not the objective */
	TRUST_NOTHING
} Trust;

/*
 * Improves x for one row with ratings, both in the coordinates of whiten.h if
 * implicit, with the objective there in *objective.  Returns what is right of
 * these: nothing if single precision overflows, x then being NaN.
 */
extern Trust als_solve_row_cg(const AlsSystem *system, const Row *row,
							  const Workspace *workspace, float *x,
							  double *objective);

#endif							/* ALS_SOLVE_CG_H */
