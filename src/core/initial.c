/*
 * initial.c
 *	  Starting factors.
 */
#include <string.h>

#include "als_core.h"

/* Standard deviation of starting factors; see docs/experiments.md. */
#define SCALE 0.25f

/* How much of them is left in those by singular vectors, for columns without any */
#define SHARE (1.0f / 16)

/* Sum of four uniform 16-bit numbers, centred: close to normal, variance 1. */
static float
draw(uint64_t bits)
{
	int			sum = (int) (bits & 0xffff) + (int) (bits >> 16 & 0xffff) +
		(int) (bits >> 32 & 0xffff) + (int) (bits >> 48);

	return (float) (sum - 2 * 0xffff) * (1.7320508f / 65536);
}

/* Of one number of a row */
static float
starting_value(uint64_t row, size_t column, size_t factors)
{
	return column < factors ? SCALE * draw(als_scatter(row + column)) : 0;
}

void
als_initial_factors(uint64_t seed, AlsSide side, int factors, int rank,
					size_t first, size_t nrows, float *out, AlsPoll poll)
{
	size_t		stride = (size_t) als_stride(rank);
	uint64_t	base = als_scatter(als_scatter(seed) + (uint64_t) side);
	AlsWork		work = {poll, 0};

	for (size_t r = 0; r < nrows; r++)
	{
		uint64_t	row = als_scatter(base + first + r);

		for (size_t c = 0; c < stride; c++)
			out[r * stride + c] = starting_value(row, c, (size_t) factors);
		als_work(&work, stride);
	}
}

void
als_initial_mix(uint64_t seed, AlsSide side, int factors, int rank,
				size_t first, size_t nrows, double size, float *rows)
{
	size_t		stride = (size_t) als_stride(rank);
	uint64_t	base = als_scatter(als_scatter(seed) + (uint64_t) side);
	float		scale = SCALE * (float) size;

	for (size_t r = 0; r < nrows; r++)
	{
		uint64_t	row = als_scatter(base + first + r);

		for (size_t c = 0; c < stride; c++)
			rows[r * stride + c] = scale * rows[r * stride + c] +
				SHARE * starting_value(row, c, (size_t) factors);
	}
}

void
als_move_on(float share, size_t n, float *rows, float *previous)
{
	for (size_t i = 0; i < n; i++)
	{
		float		now = rows[i];

		if (share > 0)
			rows[i] = now + share * (now - previous[i]);
		previous[i] = now;
	}
}
