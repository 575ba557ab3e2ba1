/*
 * kernels_avx512.c
 *	  The kernels for AVX-512 with VNNI.
 */
#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vnni,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vnni,avx2,fma")
#endif
#include <immintrin.h>

#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define QUAD_PRODUCTS(sums, rows, x) \
	_mm512_dpbusd_epi32((__m512i) (sums), (__m512i) (rows), (__m512i) (x))
#define LARGER(a, b) _mm512_max_epi32((__m512i) (a), (__m512i) (b))
#define LANE_BITS(lanes) \
	_mm512_cmplt_epi32_mask((__m512i) (lanes), _mm512_setzero_si512())
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
