/*
 * test_search.c
 *	  A search by way of an index finds what a look at all rows does, and looks
 *	  at few of them.
 */
#include "problem.h"
#include "tap.h"
#include "tests.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows whose directions fade, as those of factors do, and a few odd ones */
static void
fill_rows(float *rows, int rank, size_t nrows, double fade, double magnitude,
		  Random *random)
{
	size_t		stride = (size_t) als_stride(rank);

	memset(rows, 0, nrows * stride * sizeof(float));
	for (size_t r = 0; r < nrows; r++)
	{
		double		scale = magnitude / (1 + 0.01 * (double) r);

		for (size_t i = 0; i < (size_t) rank; i++)
		{
			rows[r * stride + i] = (float) (random_normal(random) * scale);
			scale *= fade;
		}
	}
	/* zeros, one direction only, very long, very short, all but nothing */
	memset(rows, 0, stride * sizeof(float));
	memset(rows + stride, 0, stride * sizeof(float));
	rows[stride + (size_t) rank - 1] = 3;
	for (size_t i = 0; i < (size_t) rank; i++)
	{
		rows[2 * stride + i] = 1e15f;
		rows[3 * stride + i] = 1e-15f;
		rows[4 * stride + i] = 1e-42f;
	}
}

/* What a case of the test knows of an index */
typedef struct Case
{
	const AlsKernels *kernels;
	int			stride;
	size_t		nrows;
	float	   *rows;
	AlsIndex   *index;
} Case;

static void
make_case(Case *test, const AlsKernels *kernels, int rank, size_t nrows,
		  double fade, double magnitude, Random *random)
{
	size_t		size = als_index_size(als_stride(rank), nrows);
	void	   *elsewhere = allocate_aligned(size);

	test->kernels = kernels;
	test->stride = als_stride(rank);
	test->nrows = nrows;
	test->rows = allocate_aligned(nrows * (size_t) test->stride * sizeof(float));
	fill_rows(test->rows, rank, nrows, fade, magnitude, random);
	als_index_build(test->stride, nrows, test->rows, elsewhere, NULL);

	/* it may be moved */
	test->index = allocate_aligned(size);
	memcpy(test->index, elsewhere, size);
	memset(elsewhere, 0xff, size);
	free(elsewhere);
}

static void
free_case(Case *test)
{
	free(test->rows);
	free(test->index);
}

static float
product(const Case *test, const float *x, size_t row)
{
	return test->kernels->dot(test->stride, x,
							  test->rows + row * (size_t) test->stride);
}

static int
is_found(uint64_t found, int i)
{
	return (int) (found >> i & 1);
}

/*
 * Counts what is wrong with searches of a block in behalf of x and another:
 * rows that are not found although their product is as large as that of one
 * row; those of no row.
 */
static size_t
count_missed(const Case *test, size_t block, const float *x,
			 const AlsQuery *query, const AlsQuery *other, Random *random)
{
	size_t		left = test->nrows - block * ALS_INDEX_BLOCK;
	int			n = (int) (left < ALS_INDEX_BLOCK ? left : ALS_INDEX_BLOCK);
	float		limit = als_index_limit(test->index, block, query);
	float		exact[ALS_INDEX_BLOCK];
	size_t		wrong = 0;

	for (int i = 0; i < n; i++)
	{
		exact[i] = product(test, x, als_index_row(test->index, block, i));
		/* a product that overflows has no limit */
		wrong += isnan(exact[i]) ? !isinf(limit) : !(exact[i] <= limit);
	}
	for (int at = 0; at < 4; at++)
	{
		const AlsQuery *queries[] = {other, query};
		float		least[] = {-INFINITY,
		exact[(size_t) (random_uniform(random) * n) % (size_t) n]};
		uint64_t	found[2];
		uint64_t	alone;

		als_index_search(test->index, test->kernels, block, 2, queries, least,
						 found);
		als_index_search(test->index, test->kernels, block, 1, queries + 1,
						 least + 1, &alone);
		wrong += alone != found[1];
		for (int i = 0; i < ALS_INDEX_BLOCK; i++)
		{
			wrong += is_found(found[0], i) != (i < n);
			if (i >= n)
				wrong += (size_t) is_found(found[1], i);
			else if (!(exact[i] < least[1]))
				wrong += !is_found(found[1], i);
		}
	}
	return wrong;
}

/* The same for all blocks; every row is there once, limits fall. */
static size_t
count_wrong(const Case *test, const float *x, const AlsQuery *other,
			Random *random)
{
	char	   *seen = allocate(test->nrows);
	float		before = INFINITY;
	size_t		wrong = 0;
	AlsQuery	query;

	als_query_prepare(test->stride, x, &query);
	memset(seen, 0, test->nrows);
	for (size_t b = 0; b < als_index_blocks(test->index); b++)
	{
		float		limit = als_index_limit(test->index, b, &query);

		wrong += !(limit <= before);
		before = limit;
		wrong += count_missed(test, b, x, &query, other, random);
		for (size_t i = 0; i < ALS_INDEX_BLOCK &&
			 b * ALS_INDEX_BLOCK + i < test->nrows; i++)
			seen[als_index_row(test->index, b, (int) i)]++;
	}
	for (size_t r = 0; r < test->nrows; r++)
		wrong += seen[r] != 1;
	free(seen);
	return wrong;
}

static void
check_found(const AlsKernels *kernels, int rank, double fade,
			double magnitude, Random *random)
{
	size_t		wrong = 0;
	Case		test;
	AlsQuery	other;

	make_case(&test, kernels, rank, 600, fade, magnitude, random);
	als_query_prepare(test.stride, test.rows + 10 * (size_t) test.stride,
					  &other);
	for (size_t x = 0; x < test.nrows; x++)
		wrong += count_wrong(&test, test.rows + x * (size_t) test.stride,
							 &other, random);
	ok(wrong == 0, "%s: searches of rank %d, fading by %g from %g, find what they should",
	   kernels->name, rank, fade, magnitude);
	free_case(&test);
}

/* The kernel alone: all sums that 16 bits hold, and what is next to them */
static void
check_kernel(const AlsKernels *kernels, int stride, Random *random)
{
	uint32_t   *quads = allocate_aligned(ALS_INDEX_BLOCK * (size_t) stride);
	AlsQuery	x[ALS_INDEX_QUERIES] = {{0}};
	const AlsQuery *queries[ALS_INDEX_QUERIES];
	int			sums[ALS_INDEX_QUERIES][ALS_INDEX_BLOCK] = {{0}};
	size_t		wrong = 0;

	/* few factors may be large where there are many */
	for (int q = 0; q < ALS_INDEX_QUERIES; q++)
	{
		queries[q] = &x[q];
		for (int d = 0; d < stride; d++)
		{
			int8_t	   *byte = &x[q].bytes[d];

			*byte = d % (stride / 16) == 0 ?
				(int8_t) (random_uniform(random) * 31 - 15) :
				(int8_t) (random_uniform(random) * 3 - 1);
			x[q].offset = (uint16_t) (x[q].offset + 128 * *byte);
		}
	}
	memset(quads, 0, ALS_INDEX_BLOCK * (size_t) stride);
	for (int i = 0; i < ALS_INDEX_BLOCK; i++)
		for (int d = 0; d < stride; d++)
		{
			int			byte = (int) (random_uniform(random) * 255) + 1;

			if (d % (stride / 16) != 0)
				byte = 128 + byte % 2;
			quads[als_index_quad(i, d)] |= (uint32_t) byte << 8 * (d % 4);
			for (int q = 0; q < ALS_INDEX_QUERIES; q++)
				sums[q][i] += x[q].bytes[d] * (byte - 128);
		}
	for (int i = 0; i < ALS_INDEX_BLOCK; i++)
	{
		int			n = i % ALS_INDEX_QUERIES + 1;
		int16_t		least[ALS_INDEX_QUERIES];
		uint64_t	found[ALS_INDEX_QUERIES];

		for (int q = 0; q < n; q++)
			least[q] = (int16_t) (sums[q][i] + q % 2);
		kernels->byte_search(stride, quads, n, queries, least, found);
		for (int q = 0; q < n; q++)
			for (int j = 0; j < ALS_INDEX_BLOCK; j++)
				wrong += is_found(found[q], j) !=
					(sums[q][j] >= least[q]);
	}
	ok(wrong == 0, "%s: rows by %d bytes", kernels->name, stride);
	free(quads);
}

/*
 * The greatest product found by a search, and how many products it took;
 * users unlike the rows, as those of a model.
 */
static void
check_search(const AlsKernels *kernels, Random *random)
{
	enum
	{
		RANK = 64, ROWS = 3000, USERS = 100
	};
	size_t		taken = 0;
	int			right = 1;
	Case		test;
	float	   *users = allocate_aligned(USERS * RANK * sizeof(float));

	make_case(&test, kernels, RANK, ROWS, 1, 1, random);
	memset(test.rows + 2 * RANK, 0, RANK * sizeof(float));
	als_index_build(RANK, ROWS, test.rows, test.index, NULL);
	for (size_t i = 0; i < USERS * RANK; i++)
		users[i] = (float) random_normal(random);
	for (size_t u = 0; u < USERS; u++)
	{
		const float *x = users + u * RANK;
		AlsQuery	query;
		const AlsQuery *queries[] = {&query};
		float		best = -INFINITY;
		float		greatest = -INFINITY;

		als_query_prepare(RANK, x, &query);

		for (size_t r = 0; r < ROWS; r++)
			greatest = fmaxf(greatest, product(&test, x, r));
		for (size_t b = 0; b < als_index_blocks(test.index) &&
			 als_index_limit(test.index, b, &query) >= best; b++)
		{
			uint64_t	found;

			als_index_search(test.index, kernels, b, 1, queries, &best, &found);
			for (int i = 0; i < ALS_INDEX_BLOCK; i++)
				if (is_found(found, i))
				{
					best = fmaxf(best, product(&test, x,
											   als_index_row(test.index, b, i)));
					taken++;
				}
		}
		right &= memcmp(&best, &greatest, sizeof(float)) == 0;
	}
	ok(right, "%s: a search finds the greatest product", kernels->name);
	ok(taken < USERS * ROWS / 20, "%s: a search computes few products (%zu of %d)",
	   kernels->name, taken, USERS * ROWS);
	free_case(&test);
	free(users);
}

void
test_search(void)
{
	static const int ranks[] = {1, 17, 64, 300};
	static const double fades[] = {1, 0.5};
	static const double magnitudes[] = {1, 1e-20, 1e19};
	Random		random = {7};

	for (size_t n = 0; n < LENGTH(kernel_names); n++)
	{
		const AlsKernels *kernels = als_kernels(kernel_names[n]);

		if (kernels == NULL)
		{
			skip("this machine cannot run them", "%s: search", kernel_names[n]);
			continue;
		}
		for (size_t r = 0; r < LENGTH(ranks); r++)
			for (size_t f = 0; f < LENGTH(fades); f++)
				for (size_t m = 0; m < LENGTH(magnitudes); m++)
					check_found(kernels, ranks[r], fades[f], magnitudes[m],
								&random);
		for (int stride = 16; stride <= 1040; stride *= 2)
			check_kernel(kernels, stride, &random);
		check_search(kernels, &random);
	}
}
