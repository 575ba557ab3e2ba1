/*
 * whiten.h
 *	  The coordinates in which conjugate gradient solves implicit rows.
 *
 * As als_gram_finish has it, with B = L L' the same for all rows, fixed rows
 * and solutions become
 *
 *	  f^ = L^-1 f		x^ = L' x		so that f^.x^ = f.x and x^'x^ = x'Bx
 *
 * and if als_diagonalizes, G = Q D Q',
 *
 *	  f^ = Q' f			x^ = Q' x		so that f^.x^ = f.x and x^'D x^ = x'Gx
 */
#ifndef ALS_WHITEN_H
#define ALS_WHITEN_H

#include "als_core.h"

/* Rows that BLAS gets together, at most; fixed, for the same bits always */
#define ALS_WHITEN_ROWS 64

/* out := f^ for no more than ALS_WHITEN_ROWS rows; both [count x stride]. */
extern void als_whiten_fixed(const AlsSystem *system, int count,
							 const float *rows, float *out);

/*
 * rows := x^ for no more than ALS_WHITEN_ROWS rows, and back.  buffer
 * [ALS_WHITEN_ROWS x stride] is used if als_diagonalizes.
 */
extern void als_whiten_solved(const AlsSystem *system, int count, float *rows,
							  float *buffer);
extern void als_unwhiten_solved(const AlsSystem *system, int count,
								float *rows, float *buffer);

#endif							/* ALS_WHITEN_H */
