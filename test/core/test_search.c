/*
 * test_search.c
 *	  An index's bounds are never below inner products, and close to them; a
 *	  search by way of it finds what a look at all rows does.
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

/* Counts what is wrong with the bounds for one x; every row is there once. */
static size_t
count_wrong(const Case *test, const float *x)
{
	float		length = als_length(test->stride, x);
	float	   *bounds = allocate_aligned(ALS_INDEX_BLOCK * sizeof(float));
	char	   *seen = allocate(test->nrows);
	float		before = INFINITY;
	size_t		wrong = 0;

	memset(seen, 0, test->nrows);
	for (size_t b = 0; b < als_index_blocks(test->index); b++)
	{
		float		limit = als_index_limit(test->index, b, length);
		size_t		n = als_index_bounds(test->index, test->kernels, b, x,
										 length, bounds);

		wrong += !(limit <= before);
		before = limit;
		for (size_t i = 0; i < n; i++)
		{
			uint32_t	row = als_index_row(test->index, b, i);
			float		exact = product(test, x, row);

			seen[row]++;
			/* a product that overflows has infinite bounds */
			wrong += isnan(exact) ? !isinf(bounds[i]) || !isinf(limit) :
				!(exact <= bounds[i] && exact <= limit);
		}
	}
	for (size_t r = 0; r < test->nrows; r++)
		wrong += seen[r] != 1;
	free(bounds);
	free(seen);
	return wrong;
}

static void
check_bounds(const AlsKernels *kernels, int rank, double fade,
			 double magnitude, Random *random)
{
	size_t		wrong = 0;
	Case		test;

	make_case(&test, kernels, rank, 600, fade, magnitude, random);
	for (size_t x = 0; x < test.nrows; x++)
		wrong += count_wrong(&test, test.rows + x * (size_t) test.stride);
	ok(wrong == 0, "%s: bounds of rank %d, fading by %g from %g, hold for all pairs",
	   kernels->name, rank, fade, magnitude);
	free_case(&test);
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
	float	   *bounds = allocate_aligned(ALS_INDEX_BLOCK * sizeof(float));

	make_case(&test, kernels, RANK, ROWS, 1, 1, random);
	memset(test.rows + 2 * RANK, 0, RANK * sizeof(float));
	als_index_build(RANK, ROWS, test.rows, test.index, NULL);
	for (size_t i = 0; i < USERS * RANK; i++)
		users[i] = (float) random_normal(random);
	for (size_t u = 0; u < USERS; u++)
	{
		const float *x = users + u * RANK;
		float		length = als_length(RANK, x);
		float		best = -INFINITY;
		float		greatest = -INFINITY;

		for (size_t r = 0; r < ROWS; r++)
			greatest = fmaxf(greatest, product(&test, x, r));
		for (size_t b = 0; b < als_index_blocks(test.index) &&
			 als_index_limit(test.index, b, length) >= best; b++)
		{
			size_t		n = als_index_bounds(test.index, kernels, b, x, length,
											 bounds);

			for (size_t i = 0; i < n; i++)
				if (bounds[i] >= best)
				{
					best = fmaxf(best, product(&test, x,
											   als_index_row(test.index, b, i)));
					taken++;
				}
		}
		right &= memcmp(&best, &greatest, sizeof(float)) == 0;
	}
	ok(right, "%s: a search finds the greatest product", kernels->name);
	ok(taken < USERS * ROWS / 50, "%s: a search computes few products (%zu of %d)",
	   kernels->name, taken, USERS * ROWS);
	free_case(&test);
	free(users);
	free(bounds);
}

void
test_search(void)
{
	static const char *const names[] = {"reference", "generic", "avx2", "avx512"};
	static const int ranks[] = {1, 17, 64, 300};
	static const double fades[] = {1, 0.5};
	static const double magnitudes[] = {1, 1e-20, 1e19};
	Random		random = {7};

	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
	{
		const AlsKernels *kernels = als_kernels(names[n]);

		if (kernels == NULL)
		{
			skip("this machine cannot run them", "%s: search", names[n]);
			continue;
		}
		for (size_t r = 0; r < sizeof(ranks) / sizeof(ranks[0]); r++)
			for (size_t f = 0; f < sizeof(fades) / sizeof(fades[0]); f++)
				for (size_t m = 0; m < sizeof(magnitudes) / sizeof(magnitudes[0]); m++)
					check_bounds(kernels, ranks[r], fades[f], magnitudes[m],
								 &random);
		check_search(kernels, &random);
	}
}
