/*
 * solve_cholesky.h
 *	  The exact solution for one row, by Cholesky factorization.
 */
#ifndef ALS_SOLVE_CHOLESKY_H
#define ALS_SOLVE_CHOLESKY_H

#include "row.h"

extern RowSolver als_solve_row_cholesky;

#endif							/* ALS_SOLVE_CHOLESKY_H */
