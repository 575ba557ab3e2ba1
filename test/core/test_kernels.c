/*
 * test_kernels.c
 *	  The kernels for every instruction set against sums in double.
 */
#include "problem.h"
#include "tap.h"
#include "tests.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static const int ranks[] = {1, 3, 16, 17, 48, 64, 100, 128, 200, 1024};
static const size_t counts[] = {0, 1, 2, 3, 4, 5, 7, 8, 13, 64, 101, 333};

/* Everything a kernel reads and writes, for one shape */
typedef struct Case
{
	const AlsKernels *kernels;
	int			rank;
	int			stride;
	size_t		nrows;
	float	   *rows;			/* [nrows x stride] */
	float	   *x;				/* [stride] */
	float	   *weight;			/* [nrows] */
	float	   *target;			/* [nrows] */
} Case;

static void
make_case(Case *test, const AlsKernels *kernels, int rank, size_t nrows,
		  Random *random)
{
	size_t		stride = (size_t) als_stride(rank);

	test->kernels = kernels;
	test->rank = rank;
	test->stride = (int) stride;
	test->nrows = nrows;
	test->rows = allocate_aligned(nrows * stride * sizeof(float));
	test->x = allocate_aligned(stride * sizeof(float));
	test->weight = allocate(nrows * sizeof(float));
	test->target = allocate(nrows * sizeof(float));
	for (size_t i = 0; i < nrows * stride; i++)
		test->rows[i] = i % stride < (size_t) rank ?
			(float) random_normal(random) : 0;
	for (size_t i = 0; i < stride; i++)
		test->x[i] = i < (size_t) rank ? (float) random_normal(random) : 0;
	for (size_t k = 0; k < nrows; k++)
	{
		test->weight[k] = (float) random_uniform(random) * 40;
		test->target[k] = (float) random_normal(random) * 40;
	}
}

static void
free_case(Case *test)
{
	free(test->rows);
	free(test->x);
	free(test->weight);
	free(test->target);
}

/* Is value within the rounding of count additions of terms this large? */
static int
is_near(float value, double expected, double magnitude, size_t count)
{
	return fabs((double) value - expected) <=
		(double) FLT_EPSILON * magnitude * (4 + sqrt((double) count));
}

/* The inner product in double, and the sum of its terms' sizes */
static double
exact_dot(const Case *test, size_t k, double *magnitude)
{
	const float *row = test->rows + k * (size_t) test->stride;
	double		sum = 0;

	*magnitude = 0;
	for (int i = 0; i < test->stride; i++)
	{
		double		term = (double) row[i] * (double) test->x[i];

		sum += term;
		*magnitude += fabs(term);
	}
	return sum;
}

static int
check_dot(const Case *test)
{
	int			right = 1;

	for (size_t k = 0; k < test->nrows; k++)
	{
		double		magnitude;
		double		expected = exact_dot(test, k, &magnitude);
		float		dot = test->kernels->dot(test->stride, test->rows +
											 k * (size_t) test->stride,
											 test->x);

		right &= is_near(dot, expected, magnitude, (size_t) test->stride);
	}
	return right;
}

/* Scores are what dot returns, bit for bit, wherever the batch begins. */
static int
check_scores(const Case *test)
{
	int			right = 1;

	for (size_t first = 0; first < 4 && first <= test->nrows; first++)
	{
		size_t		n = test->nrows - first;
		const float *rows = test->rows + first * (size_t) test->stride;
		float	   *scores = allocate(n * sizeof(float));

		test->kernels->scores(test->stride, n, rows, test->x, scores);
		for (size_t k = 0; k < n; k++)
		{
			float		dot = test->kernels->dot(test->stride, rows +
												 k * (size_t) test->stride,
												 test->x);

			right &= memcmp(&scores[k], &dot, sizeof(float)) == 0;
		}
		free(scores);
	}
	return right;
}

static int
check_residual(const Case *test)
{
	size_t		stride = (size_t) test->stride;
	float	   *sum = allocate_aligned(stride * sizeof(float));
	float	   *dots = allocate(test->nrows * sizeof(float));
	double	   *expected = allocate(stride * sizeof(double));
	double	   *magnitude = allocate(stride * sizeof(double));
	int			right = 1;

	for (size_t i = 0; i < stride; i++)
	{
		sum[i] = test->x[i];
		expected[i] = (double) sum[i];
		magnitude[i] = fabs(expected[i]);
	}
	test->kernels->residual(test->stride, test->nrows, test->rows,
							test->weight, test->target, test->x, sum, dots);
	for (size_t k = 0; k < test->nrows; k++)
	{
		double		terms;
		double		dot = exact_dot(test, k, &terms);
		double		weight = (double) test->weight[k];
		double		target = (double) test->target[k];

		right &= is_near(dots[k], dot, terms, stride);
		for (size_t i = 0; i < stride; i++)
		{
			double		f = (double) test->rows[k * stride + i];

			expected[i] += (target - weight * dot) * f;
			magnitude[i] += (fabs(target) + weight * terms) * fabs(f);
		}
	}
	for (size_t i = 0; i < stride; i++)
	{
		right &= is_near(sum[i], expected[i], magnitude[i],
						 test->nrows + stride);
		if (i >= (size_t) test->rank)
			right &= sum[i] == 0;
	}
	free(sum);
	free(dots);
	free(expected);
	free(magnitude);
	return right;
}

/* Gathering on the way changes nothing, bit for bit. */
static int
check_gather_residual(const Case *test)
{
	enum
	{
		BEHIND = 11
	};
	size_t		stride = (size_t) test->stride;
	size_t		n = test->nrows;
	size_t		size = n * stride * sizeof(float);
	float	   *fixed = allocate_aligned(size + stride * sizeof(float));
	float	   *gathered = allocate_aligned(size);
	AlsEntry   *entries = allocate((n + BEHIND) * sizeof(AlsEntry));
	float	   *sums[2];
	float	   *dots[2];
	int			right = 1;

	for (int s = 0; s < 2; s++)
	{
		sums[s] = allocate_aligned(stride * sizeof(float));
		dots[s] = allocate(n * sizeof(float));
		memcpy(sums[s], test->x, stride * sizeof(float));
	}

	/* backwards, with entries of other rows behind */
	for (size_t k = 0; k < n + BEHIND; k++)
		entries[k].column = (uint32_t) (k < n ? n - 1 - k : 0);
	for (size_t k = 0; k < n; k++)
		memcpy(fixed + entries[k].column * stride, test->rows + k * stride,
			   stride * sizeof(float));
	test->kernels->residual(test->stride, n, test->rows, test->weight,
							test->target, test->x, sums[0], dots[0]);
	for (size_t behind = 0; behind <= BEHIND; behind += BEHIND)
	{
		memcpy(sums[1], test->x, stride * sizeof(float));
		memset(gathered, 0xff, size);
		test->kernels->gather_residual(test->stride, n, n + behind, fixed,
									   entries, test->weight, test->target,
									   test->x, gathered, sums[1], dots[1]);
		right &= memcmp(gathered, test->rows, size) == 0;
		right &= memcmp(sums[0], sums[1], stride * sizeof(float)) == 0;
		right &= memcmp(dots[0], dots[1], n * sizeof(float)) == 0;
	}
	for (int s = 0; s < 2; s++)
	{
		free(sums[s]);
		free(dots[s]);
	}
	free(fixed);
	free(gathered);
	free(entries);
	return right;
}

/* One element of the weighted Gram matrix, where one was before. */
static int
check_element(const Case *test, size_t i, size_t j, float value)
{
	size_t		stride = (size_t) test->stride;
	double		sum = 1;
	double		magnitude = 1;

	for (size_t k = 0; k < test->nrows; k++)
	{
		double		term = (double) test->weight[k] *
		(double) test->rows[k * stride + i] *
		(double) test->rows[k * stride + j];

		sum += term;
		magnitude += fabs(term);
	}
	return is_near(value, sum, magnitude, test->nrows);
}

static int
check_weighted_gram(const Case *test)
{
	size_t		stride = (size_t) test->stride;
	size_t		rank = (size_t) test->rank;
	/* all elements of small matrices, some of large ones */
	size_t		step = 1 + rank * rank * test->nrows / 400000;
	float	   *a = allocate_aligned(stride * stride * sizeof(float));
	int			right = 1;

	for (size_t i = 0; i < stride * stride; i++)
		a[i] = 1;
	test->kernels->weighted_gram(test->rank, test->stride, test->nrows,
								 test->rows, test->weight, a);
	for (size_t at = 0; at < rank * rank; at += step)
		if (at % rank >= at / rank)
			right &= check_element(test, at % rank, at / rank,
								   a[at / rank * stride + at % rank]);
	free(a);
	return right;
}

static void
test_kernels_of(const AlsKernels *kernels)
{
	Random		random = {1};

	for (size_t r = 0; r < LENGTH(ranks); r++)
	{
		int			dot = 1;
		int			scores = 1;
		int			residual = 1;
		int			gather = 1;
		int			gram = 1;

		for (size_t c = 0; c < LENGTH(counts); c++)
		{
			Case		test;

			make_case(&test, kernels, ranks[r], counts[c], &random);
			dot &= check_dot(&test);
			scores &= check_scores(&test);
			residual &= check_residual(&test);
			gather &= check_gather_residual(&test);
			gram &= check_weighted_gram(&test);
			free_case(&test);
		}
		ok(dot, "%s: dot at rank %d", kernels->name, ranks[r]);
		ok(scores, "%s: scores are dot at rank %d", kernels->name, ranks[r]);
		ok(residual, "%s: residual at rank %d", kernels->name, ranks[r]);
		ok(gather, "%s: gather_residual is residual at rank %d",
		   kernels->name, ranks[r]);
		ok(gram, "%s: weighted_gram at rank %d", kernels->name, ranks[r]);
	}
}

void
test_kernels(void)
{
	static const char *const names[] = {
		"reference", "generic", "avx2", "avx512"
	};
	const AlsKernels *best = NULL;

	for (size_t i = 0; i < LENGTH(names); i++)
	{
		const AlsKernels *kernels = als_kernels(names[i]);

		if (kernels == NULL)
		{
			skip("not on this machine", "%s", names[i]);
			continue;
		}
		ok(strcmp(kernels->name, names[i]) == 0, "%s: is found", names[i]);
		test_kernels_of(kernels);
		best = kernels;
	}
	ok(als_kernels(NULL) == best, "the best kernels are the default");
	ok(als_kernels("nonsense") == NULL, "unknown kernels are not found");
}
