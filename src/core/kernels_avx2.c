/*
 * kernels_avx2.c
 *	  The kernels for AVX2 and FMA.
 */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#include <immintrin.h>

#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define PAIR_PRODUCTS(rows, x) \
	_mm256_maddubs_epi16((__m256i) (rows), (__m256i) (x))
#define LARGER(a, b) _mm256_max_epi32((__m256i) (a), (__m256i) (b))
#define LANE_BITS(lanes) _mm256_movemask_ps((__m256) (lanes))
#define WIDTH 8
#define KERNELS als_kernels_avx2
#define KERNELS_NAME "avx2"
#include "kernels_vector.h"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
/* an empty file is not C */
typedef int als_kernels_avx2_not_here;
#endif
