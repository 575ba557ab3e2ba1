/*
 * search.c
 *	  Upper bounds on inner products with many rows, a byte per factor.
 *
 * An index holds the rows by falling length, in blocks.  Within a block, each
 * factor d has a scale s_d, and a row y the bytes q_d next to y_d / s_d.  What
 * they miss is at most e_d = max |y_d - s_d q_d|, so that
 *
 *	  x.y <= sum of (x_d s_d) q_d + sum of |x_d| e_d
 *
 * and, by Cauchy and Schwarz, x.y <= |x| |y|: a search may end before the
 * first block whose longest row is too short.
 *
 * The principal directions of the rows, and the length of what they leave, are
 * bounds too, of 16 floats a row.  They are worse wherever factors do not
 * fade: of a million synthetic items with 128 factors, they let 31 % pass, of
 * which 45 % were long enough; the bytes let pass a hundred items or so.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

/* A row of the matrix at its place in the index */
typedef struct Place
{
	float		length;
	uint32_t	row;
} Place;

/* The start of the index; what follows it is found by the functions below. */
struct AlsIndex
{
	size_t		nrows;
	int			stride;
};

/* Blocks of an index */
static size_t
blocks_of(size_t nrows)
{
	return (nrows + ALS_INDEX_BLOCK - 1) / ALS_INDEX_BLOCK;
}

/* Bytes of a block: scales, errors and the bytes by factor. */
static size_t
block_size(int stride)
{
	return (size_t) stride * (2 * sizeof(float) + ALS_INDEX_BLOCK);
}

/* Where block b lies: behind the head of the index */
static char *
block_at(const AlsIndex *index, size_t b)
{
	return (char *) index + ALS_ALIGNMENT + b * block_size(index->stride);
}

/* Where the places lie: behind all blocks */
static Place *
places_of(const AlsIndex *index)
{
	return (Place *) block_at(index, blocks_of(index->nrows));
}

/*
 * What rounding can add to an inner product of stride terms or take off its
 * bound, as a share of the product of the lengths; where numbers are so small
 * that they lose digits, it is less than FLT_MIN.
 */
static float
rounding(int stride)
{
	return 2 * (float) (stride + 64) * FLT_EPSILON;
}

float
als_length(int stride, const float *x)
{
	double		sum = 0;

	for (int i = 0; i < stride; i++)
		sum += (double) x[i] * (double) x[i];
	return (float) sqrt(sum);
}

size_t
als_index_size(int stride, size_t nrows)
{
	return ALS_ALIGNMENT + blocks_of(nrows) * block_size(stride) +
		nrows * sizeof(Place);
}

/* Longer rows first, equally long ones in their order. */
static int
compare_places(const void *a, const void *b)
{
	const Place *one = a;
	const Place *other = b;

	if (one->length != other->length)
		return one->length < other->length ? 1 : -1;
	return one->row < other->row ? -1 : 1;
}

/* Fills a block with its count rows. */
static void
fill_block(int stride, size_t count, const Place *places, const float *rows,
		   char *block)
{
	float	   *scale = (float *) block;
	float	   *error = scale + stride;
	int8_t	   *bytes = (int8_t *) (error + stride);
	float		inverse[ALS_MAX_FACTORS + 16];

	memset(block, 0, block_size(stride));
	for (size_t i = 0; i < count; i++)
	{
		const float *row = rows + places[i].row * (size_t) stride;

		for (int d = 0; d < stride; d++)
			scale[d] = fabsf(row[d]) > scale[d] ? fabsf(row[d]) : scale[d];
	}
	for (int d = 0; d < stride; d++)
	{
		/* a scale too small to divide by leaves all to the error */
		scale[d] = scale[d] / 127 < FLT_MIN ? 0 : scale[d] / 127;
		inverse[d] = scale[d] == 0 ? 0 : 1 / scale[d];
	}
	for (size_t i = 0; i < count; i++)
	{
		const float *row = rows + places[i].row * (size_t) stride;

		for (int d = 0; d < stride; d++)
		{
			int			byte = (int) (row[d] * inverse[d] + 127.5f) - 127;
			float		missed = fabsf(row[d] - scale[d] * (float) byte);

			bytes[als_index_byte(stride, (int) i, d)] = (int8_t) byte;
			error[d] = missed > error[d] ? missed : error[d];
		}
	}
}

void
als_index_build(int stride, size_t nrows, const float *rows, AlsIndex *index,
				void (*poll) (void))
{
	Place	   *places;

	index->nrows = nrows;
	index->stride = stride;
	places = places_of(index);
	for (size_t r = 0; r < nrows; r++)
	{
		places[r].length = als_length(stride, rows + r * (size_t) stride);
		places[r].row = (uint32_t) r;
	}
	qsort(places, nrows, sizeof(Place), compare_places);
	for (size_t b = 0; b < blocks_of(nrows); b++)
	{
		size_t		first = b * ALS_INDEX_BLOCK;
		size_t		left = nrows - first;

		if (poll != NULL)
			poll();
		fill_block(stride, left < ALS_INDEX_BLOCK ? left : ALS_INDEX_BLOCK,
				   places + first, rows, block_at(index, b));
	}
}

size_t
als_index_blocks(const AlsIndex *index)
{
	return blocks_of(index->nrows);
}

/* The limit by length; infinite where computing with it could overflow */
float
als_index_limit(const AlsIndex *index, size_t block, float length)
{
	float		product = length *
		places_of(index)[block * ALS_INDEX_BLOCK].length;

	if (!(product < FLT_MAX / (4 * (float) index->stride)))
		return INFINITY;
	return product * (1 + rounding(index->stride)) + FLT_MIN;
}

/*
 * x_d s_d in integers of a unit, as large as 16 bits hold and the sum of stride
 * products with bytes in 32; returns the unit, and in *missed the sum of what
 * a byte of 127 makes of each one's error.
 */
static float
round_scaled(int stride, const float *x, const float *scale,
			 int16_t *rounded, float *missed)
{
	float		scaled[ALS_MAX_FACTORS + 16];
	float		most = (float) (INT32_MAX / 128 / stride);
	float		largest = 0;
	float		unit;
	float		inverse;

	if (most > 32766)
		most = 32766;
	for (int d = 0; d < stride; d++)
	{
		scaled[d] = x[d] * scale[d];
		largest = fabsf(scaled[d]) > largest ? fabsf(scaled[d]) : largest;
	}
	unit = largest / most;
	inverse = unit < FLT_MIN ? 0 : 1 / unit;
	*missed = 0;
	for (int d = 0; d < stride; d++)
	{
		rounded[d] = (int16_t) (scaled[d] * inverse);
		*missed += 127 * fabsf(scaled[d] - unit * (float) rounded[d]);
	}
	return unit;
}

size_t
als_index_bounds(const AlsIndex *index, const AlsKernels *kernels,
				 size_t block, const float *x, float length, float *bounds)
{
	int			stride = index->stride;
	size_t		left = index->nrows - block * ALS_INDEX_BLOCK;
	const float *scale = (const float *) block_at(index, block);
	const float *error = scale + stride;
	const int8_t *bytes = (const int8_t *) (error + stride);
	int16_t		rounded[ALS_MAX_FACTORS + 16];
	int32_t		sums[ALS_INDEX_BLOCK];
	float		limit = als_index_limit(index, block, length);
	float		margin;
	float		unit;

	if (left > ALS_INDEX_BLOCK)
		left = ALS_INDEX_BLOCK;
	if (isinf(limit))
	{
		for (size_t i = 0; i < left; i++)
			bounds[i] = limit;
		return left;
	}
	unit = round_scaled(stride, x, scale, rounded, &margin);
	for (int d = 0; d < stride; d++)
		margin += fabsf(x[d]) * error[d];
	margin += rounding(stride) * (margin + limit) + FLT_MIN;
	kernels->byte_products(stride, bytes, rounded, sums);
	for (size_t i = 0; i < left; i++)
		bounds[i] = margin + unit * (float) sums[i];
	return left;
}

uint32_t
als_index_row(const AlsIndex *index, size_t block, size_t i)
{
	return places_of(index)[block * ALS_INDEX_BLOCK + i].row;
}
