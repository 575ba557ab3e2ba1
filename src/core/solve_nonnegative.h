/*
 * solve_nonnegative.h
 *	  The exact solution for one row whose factors are not below zero.
 */
#ifndef ALS_SOLVE_NONNEGATIVE_H
#define ALS_SOLVE_NONNEGATIVE_H

#include "row.h"

extern RowSolver als_solve_row_nonnegative;

#endif							/* ALS_SOLVE_NONNEGATIVE_H */
