/*
 * search.c
 *	  Finding the largest inner products among many rows, a byte per factor.
 *
 * An index holds the rows by falling length, in blocks.  A block has a scale
 * t, and a row y of it bytes q next to y / t; likewise x has a scale s and
 * bytes p.  By Cauchy and Schwarz x.y is at most |x| |y|, and a search may end
 * before the first block whose longest row is too short; and as
 *
 *	  x.y = s t p.q + (x - s p).t q + x.(y - t q)
 *		 <= s t p.q + |x - s p| max |t q| + |x| max |y - t q|
 *
 * with maxima over the block, only rows whose p.q, an integer, is large enough
 * need to be looked at.
 *
 * The scales are such that |p| <= 150 and |q| <= 218: then p.q fits into 16
 * bits, in which all can be added up, and twice as many at a time as in 32 where
 * no instruction adds up four products at once.
 * That is coarser than seven bits for each factor only where a few factors
 * hold most of the length.  Bytes of x are 64 at most, so that the sum of two
 * products, one of which instructions have unsigned, fits as well.
 *
 * Measured and rejected: a scale for each factor, whose error is bounded by the
 * sum of |x_d| max |y_d - s_d q_d| only, let 1.7 times as many rows pass.  The
 * projection of rows on 16 principal directions, with the length of the rest, is
 * a bound too, but a worse one unless the spectrum falls fast: of a million
 * synthetic items with 128 factors, 31 % passed, of which 45 % were long enough;
 * of the bytes' bound, a few hundred items.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "als_core.h"

/* Bounds of bytes and of their length, for x and for the rows: see above */
#define QUERY_BYTE 64
#define QUERY_LENGTH 150
#define ROW_BYTE 127
#define ROW_LENGTH 218

/* Passes of the sort by length, and the values of the bits of each */
#define DIGIT_BITS 8
#define DIGITS (1 << DIGIT_BITS)

/* Of lengths: sums of as many products of factors are finite, and bounds too */
#define SAFE_PRODUCT (FLT_MAX / (4 * (ALS_MAX_FACTORS + 16)))

#define CACHE_LINE 16			/* floats */

/* A row of the matrix at its place in the index */
typedef struct Place
{
	float		length;
	uint32_t	row;
} Place;

/* The start of a block, before the quads of bytes */
typedef struct BlockHead
{
	float		longest;		/* max |y| */
	double		inverse;		/* 1 / t; 0: all bytes are 0 */
	double		length;			/* max |t q| */
	double		missed;			/* max |y - t q|, and what rounding can add */
} BlockHead;

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

/* Bytes of a block: its head, aligned, and a byte for each factor */
static size_t
block_size(int stride)
{
	return ALS_ALIGNMENT + (size_t) stride * ALS_INDEX_BLOCK;
}

/* Where block b lies: behind the head of the index */
static BlockHead *
block_at(const AlsIndex *index, size_t b)
{
	return (BlockHead *) ((char *) index + ALS_ALIGNMENT +
						  b * block_size(index->stride));
}

/* The quads of bytes of a block */
static uint32_t *
quads_of(BlockHead *block)
{
	return (uint32_t *) ((char *) block + ALS_ALIGNMENT);
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
	double		sum[4] = {0};

	for (int i = 0; i < stride; i += 4)
		for (int j = 0; j < 4; j++)
			sum[j] += (double) x[i + j] * (double) x[i + j];
	return (float) sqrt(sum[0] + sum[1] + sum[2] + sum[3]);
}

/*
 * The least scale for which the bytes next to x, which has that length, are
 * no larger than most_byte, and no longer than most_length: rounding adds
 * half to each.
 */
static double
scale_of(int stride, const float *x, float length, double most_byte,
		 double most_length)
{
	float		largest = 0;
	double		by_length = length / (most_length - sqrt(stride) / 2 - 1);

	for (int d = 0; d < stride; d++)
		largest = fabsf(x[d]) > largest ? fabsf(x[d]) : largest;
	return largest / most_byte > by_length ? largest / most_byte : by_length;
}

/* 1 / scale, or 0 for a scale too small to divide by */
static double
inverse_of(double scale)
{
	return scale >= FLT_MIN && scale <= FLT_MAX ? 1 / scale : 0;
}

/* The bytes next to inverse x; returns the length of x - bytes / inverse. */
static double
round_bytes(int stride, const float *x, double inverse, int8_t *bytes)
{
	double		scale = inverse == 0 ? 0 : 1 / inverse;
	float		factor = (float) inverse;
	double		sum[4] = {0};

	for (int d = 0; d < stride; d++)
		bytes[d] = (int8_t) ((int) (x[d] * factor + 128.5f) - 128);
	for (int d = 0; d < stride; d += 4)
		for (int j = 0; j < 4; j++)
		{
			double		left = (double) x[d + j] - scale * bytes[d + j];

			sum[j] += left * left;
		}
	return sqrt(sum[0] + sum[1] + sum[2] + sum[3]);
}

void
als_query_prepare(int stride, const float *x, AlsQuery *query)
{
	query->length = als_length(stride, x);
	query->inverse = inverse_of(scale_of(stride, x, query->length, QUERY_BYTE,
										 QUERY_LENGTH));
	query->missed = round_bytes(stride, x, query->inverse, query->bytes);
	query->offset = 0;
	for (int d = 0; d < stride; d++)
		query->offset = (uint16_t) (query->offset + 128 * query->bytes[d]);
}

float
als_query_least(float score, float mean)
{
	/* a sum is rounded by half an ulp; two more roundings here */
	double		least = (double) score - mean -
		FLT_EPSILON * fabs((double) score);

	return nextafterf((float) least, -INFINITY);
}

size_t
als_index_size(int stride, size_t nrows)
{
	return ALS_ALIGNMENT + blocks_of(nrows) * block_size(stride) +
		nrows * sizeof(Place);
}

/* The bits of a length by which a pass of the sort goes, falling */
static uint32_t
length_digit(float length, int shift)
{
	uint32_t	bits;

	memcpy(&bits, &length, sizeof(bits));
	return ~bits >> shift & (DIGITS - 1);
}

/*
 * Sorts the places: longer rows first, equally long ones in their order.
 * Floats that are not negative are in the order of their bits, by which a
 * radix sort goes: stable, and an even number of passes.  workspace[nrows].
 */
static void
sort_places(size_t nrows, Place *places, Place *workspace, AlsWork *work)
{
	Place	   *from = places;
	Place	   *to = workspace;

	for (int shift = 0; shift < 32; shift += DIGIT_BITS)
	{
		size_t		starts[DIGITS + 1] = {0};
		Place	   *swap = from;

		for (size_t i = 0; i < nrows; i++)
		{
			starts[length_digit(from[i].length, shift) + 1]++;
			als_work(work, 1);
		}
		for (size_t digit = 0; digit < DIGITS; digit++)
			starts[digit + 1] += starts[digit];
		for (size_t i = 0; i < nrows; i++)
		{
			to[starts[length_digit(from[i].length, shift)]++] = from[i];
			als_work(work, 1);
		}
		from = to;
		to = swap;
	}
}

/* Fills a block with its count rows. */
static void
fill_block(int stride, int count, const Place *places, const float *rows,
		   BlockHead *block)
{
	uint32_t   *quads = quads_of(block);
	double		scale = 0;
	int			longest = 0;
	int8_t		bytes[ALS_MAX_FACTORS + 16];

	memset(block, 0, block_size(stride));
	block->longest = places[0].length;
	for (int i = 0; i < count; i++)
		for (int d = 0; d < stride; d += CACHE_LINE)
			__builtin_prefetch(rows + places[i].row * (size_t) stride + d);
	for (int i = 0; i < count; i++)
		scale = fmax(scale, scale_of(stride,
									 rows + places[i].row * (size_t) stride,
									 places[i].length, ROW_BYTE, ROW_LENGTH));
	block->inverse = inverse_of(scale);
	for (int i = 0; i < count; i++)
	{
		const float *row = rows + places[i].row * (size_t) stride;
		int			square = 0;

		block->missed = fmax(block->missed,
							 round_bytes(stride, row, block->inverse, bytes));
		for (int d = 0; d < stride; d += 4)
		{
			uint32_t	quad = 0;

			for (int j = 0; j < 4; j++)
			{
				quad |= (uint32_t) (bytes[d + j] + 128) << 8 * j;
				square += bytes[d + j] * bytes[d + j];
			}
			quads[als_index_quad(i, d)] = quad;
		}
		longest = square > longest ? square : longest;
	}
	block->length = block->inverse == 0 ? 0 : sqrt(longest) / block->inverse;
	block->missed += 2 * rounding(stride) * (double) block->longest;
}

void
als_index_build(int stride, size_t nrows, const float *rows, AlsIndex *index,
				AlsPoll poll)
{
	AlsWork		work = {poll, 0};
	Place	   *places;

	index->nrows = nrows;
	index->stride = stride;
	places = places_of(index);
	for (size_t r = 0; r < nrows; r++)
	{
		places[r].length = als_length(stride, rows + r * (size_t) stride);
		places[r].row = (uint32_t) r;
		als_work(&work, (size_t) stride);
	}
	/* where the blocks will be, there is room */
	sort_places(nrows, places, (Place *) block_at(index, 0), &work);
	for (size_t b = 0; b < blocks_of(nrows); b++)
	{
		size_t		first = b * ALS_INDEX_BLOCK;
		size_t		left = nrows - first;

		als_work(&work, (size_t) stride * ALS_INDEX_BLOCK);
		fill_block(stride,
				   (int) (left < ALS_INDEX_BLOCK ? left : ALS_INDEX_BLOCK),
				   places + first, rows, block_at(index, b));
	}
}

size_t
als_index_blocks(const AlsIndex *index)
{
	return blocks_of(index->nrows);
}

/* Could computing with products of these lengths overflow? */
static inline int
may_overflow(const BlockHead *block, const AlsQuery *query)
{
	return !(query->length * block->longest < SAFE_PRODUCT);
}

/* The limit by length; infinite where computing with it could overflow */
static inline float
limit_of(const AlsIndex *index, const BlockHead *block, const AlsQuery *query)
{
	if (may_overflow(block, query))
		return INFINITY;
	return query->length * block->longest *
		(1 + rounding(index->stride)) + FLT_MIN;
}

float
als_index_limit(const AlsIndex *index, size_t block, const AlsQuery *query)
{
	return limit_of(index, block_at(index, block), query);
}

/*
 * The least p.q with which a row's product with x may be no less than least;
 * INT16_MIN for any, and more than p.q can be for none.
 */
static int16_t
least_product(const BlockHead *block, const AlsQuery *query, float least)
{
	double		inverse = query->inverse * block->inverse;
	double		left;

	if (may_overflow(block, query))
		return INT16_MIN;
	left = least - query->missed * block->length -
		query->length * block->missed - FLT_MIN;
	if (inverse == 0)
		return left <= 0 ? INT16_MIN : INT16_MAX;
	left = left * inverse - 1;
	if (left < INT16_MIN)
		return INT16_MIN;
	return left < INT16_MAX ? (int16_t) left : INT16_MAX;
}

void
als_index_search(const AlsIndex *index, const AlsKernels *kernels,
				 size_t block, int n, const AlsQuery *const *queries,
				 const float *least, uint64_t *found)
{
	BlockHead  *head = block_at(index, block);
	size_t		rows = index->nrows - block * ALS_INDEX_BLOCK;
	int16_t		products[ALS_INDEX_QUERIES] = {0};

	for (int q = 0; q < n; q++)
		products[q] = least_product(head, queries[q], least[q]);
	kernels->byte_search(index->stride, quads_of(head), n, queries, products,
						 found);
	if (rows < ALS_INDEX_BLOCK)
		for (int q = 0; q < n; q++)
			found[q] &= ((uint64_t) 1 << rows) - 1;
}

uint32_t
als_index_row(const AlsIndex *index, size_t block, int i)
{
	return places_of(index)[block * ALS_INDEX_BLOCK + (size_t) i].row;
}
