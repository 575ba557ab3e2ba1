/*
 * whiten.c
 *	  The coordinates in which conjugate gradient solves implicit rows.
 */
#include "whiten.h"

#include <string.h>

/* Copies rows, padding included. */
static void
copy_rows(const AlsSystem *system, int count, const float *rows, float *out)
{
	memcpy(out, rows, (size_t) count * (size_t) als_stride(system->rank) *
		   sizeof(float));
}

/* out := Q rows or, with "T", Q' rows, but for the padding */
static void
rotate(const AlsSystem *system, const char *transposed, int count,
	   const float *rows, float *out)
{
	int			stride = als_stride(system->rank);
	const float one = 1;
	const float zero = 0;

	system->blas->sgemm(transposed, "N", &system->rank, &count, &system->rank,
						&one, system->base_factor, &stride, rows, &stride,
						&zero, out, &stride, 1, 1);
}

/*
 * rows := L^-1 rows (strsm, "N"), L^-T rows (strsm, "T") or L' rows (strmm,
 * "T")
 */
static void
apply_triangle(const AlsSystem *system, AlsTriangular *routine,
			   const char *transposed, int count, float *rows)
{
	int			stride = als_stride(system->rank);
	const float one = 1;

	routine("L", "L", transposed, "N", &system->rank, &count, &one,
			system->base_factor, &stride, rows, &stride, 1, 1, 1, 1);
}

void
als_whiten_fixed(const AlsSystem *system, int count, const float *rows,
				 float *out)
{
	copy_rows(system, count, rows, out);
	if (als_diagonalizes(system))
		rotate(system, "T", count, rows, out);
	else
		apply_triangle(system, system->blas->strsm, "N", count, out);
}

/* rows := Q' rows ("T") or Q rows ("N") if als_diagonalizes, else as routine */
static void
transform_solved(const AlsSystem *system, const char *transposed,
				 AlsTriangular *routine, int count, float *rows,
				 float *buffer)
{
	if (als_diagonalizes(system))
	{
		copy_rows(system, count, rows, buffer);
		rotate(system, transposed, count, buffer, rows);
	}
	else
		apply_triangle(system, routine, "T", count, rows);
}

void
als_whiten_solved(const AlsSystem *system, int count, float *rows,
				  float *buffer)
{
	transform_solved(system, "T", system->blas->strmm, count, rows, buffer);
}

void
als_unwhiten_solved(const AlsSystem *system, int count, float *rows,
					float *buffer)
{
	transform_solved(system, "N", system->blas->strsm, count, rows, buffer);
}
