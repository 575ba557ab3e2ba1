/*
 * kernels_avx512.c
 *	  The kernels for AVX-512.
 */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx2,fma")
#endif
#include <immintrin.h>

#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define PAIR_PRODUCTS(pairs, pair) \
	_mm512_maddubs_epi16((__m512i) (pairs), _mm512_set1_epi16(pair))
#define LANE_BITS(lanes) _mm512_movepi16_mask((__m512i) (lanes))
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
