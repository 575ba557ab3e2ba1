/*
 * vectors.h
 *	  Vectors of the compiler, for loops that are not kernels.
 */
#ifndef ALS_VECTORS_H
#define ALS_VECTORS_H

/* als_stride pads a row of factors to a whole number of these. */
typedef float Floats16 __attribute__((vector_size(64)));

/* Eight floats, and the same in double */
typedef float Floats8 __attribute__((vector_size(32)));
typedef double Doubles8 __attribute__((vector_size(64)));

/* A macro: no function passes vectors, whose ABI depends on the target. */
#define TO_DOUBLES8(floats) __builtin_convertvector(floats, Doubles8)

#endif							/* ALS_VECTORS_H */
