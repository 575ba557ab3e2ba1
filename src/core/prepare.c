/*
 * prepare.c
 *	  The other side's rows as the solver wants them.
 */
#include <string.h>

#include "als_core.h"
#include "whiten.h"

/* Implicit: out := f^ of all rows */
static void
prepare_implicit(const AlsSystem *system, size_t nrows, const float *rows,
				 float *out)
{
	size_t		stride = (size_t) als_stride(system->rank);

	for (size_t first = 0; first < nrows; first += ALS_WHITEN_ROWS)
	{
		size_t		count = nrows - first < ALS_WHITEN_ROWS ? nrows - first :
			ALS_WHITEN_ROWS;

		als_poll(system->poll);
		als_whiten_fixed(system, (int) count, rows + first * stride,
						 out + first * stride);
	}
}

void
als_prepare_rows(const AlsSystem *system, size_t nrows, const float *rows,
				 float *out, float *bias)
{
	size_t		stride = (size_t) als_stride(system->rank);

	if (system->feedback == ALS_IMPLICIT && !system->exact)
	{
		prepare_implicit(system, nrows, rows, out);
		return;
	}
	memcpy(out, rows, nrows * stride * sizeof(float));
	if (system->feedback == ALS_IMPLICIT)
		return;
	for (size_t r = 0; r < nrows; r++)
	{
		float	   *last = out + r * stride + (size_t) system->rank - 1;

		bias[r] = *last;
		*last = system->unbiased ? 0 : 1;
	}
}
