/*
 * kernels_dispatch.c
 *	  Which kernels this machine can run.
 */
#include "kernels.h"

#include <string.h>

const AlsKernels *
als_kernels(const char *name)
{
	const AlsKernels *available[4];
	int			count = 0;

#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f") &&
		__builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512vnni"))
		available[count++] = &als_kernels_avx512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		available[count++] = &als_kernels_avx2;
#endif
	available[count++] = &als_kernels_generic;
	available[count++] = &als_kernels_reference;

	if (name == NULL)
		return available[0];
	for (int i = 0; i < count; i++)
		if (strcmp(available[i]->name, name) == 0)
			return available[i];
	return NULL;
}
