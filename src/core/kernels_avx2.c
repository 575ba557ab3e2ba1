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
#define PAIR_PRODUCTS(bytes, pair) _mm256_madd_epi16( \
	_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *) (bytes))), \
	_mm256_set1_epi32(pair))
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
