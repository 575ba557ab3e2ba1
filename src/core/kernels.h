/*
 * kernels.h
 *	  The kernels for each instruction set; see AlsKernels in als_core.h.
 */
#ifndef ALS_KERNELS_H
#define ALS_KERNELS_H

#include "als_core.h"

extern const AlsKernels als_kernels_reference;
extern const AlsKernels als_kernels_generic;
extern const AlsKernels als_kernels_avx2;	/* x86-64 only */
extern const AlsKernels als_kernels_avx512; /* x86-64 only */

#endif							/* ALS_KERNELS_H */
