/*
 * regularization.h
 *	  lambda s of a row, and what it multiplies.
 */
#ifndef ALS_REGULARIZATION_H
#define ALS_REGULARIZATION_H

#include "als_core.h"

/* lambda s of a row of n ratings; weights as in AlsRows */
extern double als_row_shift(const AlsSystem *system, const AlsEntry *entries,
							const float *weights, uint64_t n);

/* |x|^2 */
extern double als_squared_norm(int rank, const float *x);

/* |x - prior|^2; a prior that is NULL is 0. */
extern double als_squared_distance(int rank, const float *x,
								   const float *prior);

#endif							/* ALS_REGULARIZATION_H */
