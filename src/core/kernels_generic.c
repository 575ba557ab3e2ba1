/*
 * kernels_generic.c
 *	  The kernels for what every machine of its kind has: SSE2 or NEON.
 */
#define WIDTH 4
#define KERNELS als_kernels_generic
#define KERNELS_NAME "generic"
#include "kernels_vector.h"
