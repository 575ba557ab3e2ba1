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
#define PAIR_PRODUCTS(pairs, pair) \
	_mm256_maddubs_epi16((__m256i) (pairs), _mm256_set1_epi16(pair))
#define LANE_BITS(lanes) _mm_movemask_epi8( \
	_mm_packs_epi16(_mm256_castsi256_si128((__m256i) (lanes)), \
					_mm256_extracti128_si256((__m256i) (lanes), 1)))
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
