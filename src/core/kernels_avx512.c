/*
 * kernels_avx512.c
 *	  The kernels for AVX-512.
 */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx2,fma")
#endif
#define WIDTH 16
#define KERNELS als_kernels_avx512
#define KERNELS_NAME "avx512"
#include "kernels_vector.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
/* an empty file is not C */
typedef int als_kernels_avx512_not_here;
#endif
