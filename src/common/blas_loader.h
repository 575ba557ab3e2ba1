/*
 * blas_loader.h
 *	  Loading BLAS and LAPACK into a server process, without their threads.
 */
#ifndef ALS_BLAS_LOADER_H
#define ALS_BLAS_LOADER_H

#include "core/als_blas.h"

/* The table of BLAS routines; loads the library at first use. */
extern const AlsBlas *blas_load(void);

#endif							/* ALS_BLAS_LOADER_H */
