/*
 * solve_exact.h
 *	  The exact solution for one row in double precision.
 */
#ifndef ALS_SOLVE_EXACT_H
#define ALS_SOLVE_EXACT_H

#include "row.h"

extern RowSolver als_solve_row_exact;

#endif							/* ALS_SOLVE_EXACT_H */
