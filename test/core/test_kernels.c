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

/* A case's rows scattered: in reverse, other rows' entries behind */
typedef struct Scattered
{
	float	   *fixed;			/* [nrows + 1 x stride] */
	AlsEntry   *entries;		/* [nrows + BEHIND] */
	float	   *gathered;		/* [nrows x stride] */
} Scattered;

#define BEHIND 11

static void
scatter(const Case *test, Scattered *scattered)
{
	size_t		stride = (size_t) test->stride;
	size_t		n = test->nrows;

	scattered->fixed = allocate_aligned((n + 1) * stride * sizeof(float));
	scattered->entries = allocate((n + BEHIND) * sizeof(AlsEntry));
	scattered->gathered = allocate_aligned(n * stride * sizeof(float));
	/* what an earlier case has left there would do */
	memset(scattered->gathered, 0xff, n * stride * sizeof(float));
	for (size_t k = 0; k < n + BEHIND; k++)
		scattered->entries[k].column = (uint32_t) (k < n ? n - 1 - k : 0);
	for (size_t k = 0; k < n; k++)
		memcpy(scattered->fixed + scattered->entries[k].column * stride,
			   test->rows + k * stride, stride * sizeof(float));
}

/* Frees it, and says whether its rows have been gathered. */
static int
is_gathered(const Case *test, Scattered *scattered)
{
	int			gathered = memcmp(scattered->gathered, test->rows,
								  test->nrows * (size_t) test->stride *
								  sizeof(float)) == 0;

	free(scattered->fixed);
	free(scattered->entries);
	free(scattered->gathered);
	return gathered;
}

/* Gathering on the way changes nothing, bit for bit. */
static int
check_gather_residual(const Case *test)
{
	size_t		stride = (size_t) test->stride;
	size_t		n = test->nrows;
	float	   *sums[2];
	float	   *dots[2];
	int			right = 1;

	for (int s = 0; s < 2; s++)
	{
		sums[s] = allocate_aligned(stride * sizeof(float));
		dots[s] = allocate(n * sizeof(float));
		memcpy(sums[s], test->x, stride * sizeof(float));
	}
	test->kernels->residual(test->stride, n, test->rows, test->weight,
							test->target, test->x, sums[0], dots[0]);
	for (size_t behind = 0; behind <= BEHIND; behind += BEHIND)
	{
		Scattered	scattered;

		scatter(test, &scattered);
		memcpy(sums[1], test->x, stride * sizeof(float));
		test->kernels->gather_residual(test->stride, n, n + behind,
									   scattered.fixed, scattered.entries,
									   test->weight, test->target, test->x,
									   scattered.gathered, sums[1], dots[1]);
		right &= is_gathered(test, &scattered);
		right &= memcmp(sums[0], sums[1], stride * sizeof(float)) == 0;
		right &= memcmp(dots[0], dots[1], n * sizeof(float)) == 0;
	}
	for (int s = 0; s < 2; s++)
	{
		free(sums[s]);
		free(dots[s]);
	}
	return right;
}

/*
 * Is it 1 + sum of weight[k] row[k][i] row[k][*j], or of target[k] row[k][i]
 * without j?
 */
static int
is_sum(const Case *test, size_t i, const size_t *j, float value)
{
	size_t		stride = (size_t) test->stride;
	double		sum = 1;
	double		magnitude = 1;

	for (size_t k = 0; k < test->nrows; k++)
	{
		const float *row = test->rows + k * stride;
		double		term = j == NULL ?
			(double) test->target[k] * (double) row[i] :
			(double) test->weight[k] * (double) row[i] * (double) row[*j];

		sum += term;
		magnitude += fabs(term);
	}
	return is_near(value, sum, magnitude, test->nrows);
}

static int
check_gather_equations(const Case *test)
{
	size_t		stride = (size_t) test->stride;
	size_t		rank = (size_t) test->rank;

	/* all elements of small matrices, some of large ones */
	size_t		step = 1 + rank * rank * test->nrows / 400000;
	float	   *a = allocate_aligned(stride * stride * sizeof(float));
	float	   *b = allocate_aligned(stride * sizeof(float));
	int			right = 1;
	Scattered	scattered;

	for (size_t i = 0; i < stride * stride; i++)
		a[i] = 1;
	for (size_t i = 0; i < stride; i++)
		b[i] = 1;
	scatter(test, &scattered);
	test->kernels->gather_equations(test->rank, test->stride, test->nrows,
									test->nrows + BEHIND, scattered.fixed,
									scattered.entries, test->weight,
									test->target, scattered.gathered, a, b);
	right &= is_gathered(test, &scattered);
	for (size_t at = 0; at < rank * rank; at += step)
	{
		size_t		j = at / rank;

		if (at % rank >= j)
			right &= is_sum(test, at % rank, &j, a[j * stride + at % rank]);
	}
	for (size_t i = 0; i < rank; i++)
		right &= is_sum(test, i, NULL, b[i]);
	free(a);
	free(b);
	return right;
}

/* Rows whose rating is not above 0 count for nothing, as 0 times them would. */
static int
check_sum_rows(const Case *test)
{
	size_t		stride = (size_t) test->stride;
	float	   *sum = allocate_aligned(stride * sizeof(float));
	int			right = 1;

	for (size_t behind = 0; behind <= BEHIND; behind += BEHIND)
	{
		Scattered	scattered;

		scatter(test, &scattered);
		for (size_t k = 0; k < test->nrows; k++)
			scattered.entries[k].rating = k % 3 == 1 ? 0 : test->target[k];
		memcpy(sum, test->x, stride * sizeof(float));
		test->kernels->sum_rows(test->stride, test->nrows,
								test->nrows + behind, scattered.fixed,
								scattered.entries, sum);
		for (size_t i = 0; i < stride; i++)
		{
			double		expected = (double) test->x[i];
			double		magnitude = fabs(expected);

			for (size_t k = 0; k < test->nrows; k++)
				if (scattered.entries[k].rating > 0)
				{
					double		term = (double) test->rows[k * stride + i];

					expected += term;
					magnitude += fabs(term);
				}
			right &= is_near(sum[i], expected, magnitude, test->nrows);
			if (i >= (size_t) test->rank)
				right &= sum[i] == 0;
		}
		free(scattered.fixed);
		free(scattered.entries);
		free(scattered.gathered);
	}
	free(sum);
	return right;
}

/*
 * The lower triangle of M M', M lower triangular with at least 1 on its
 * diagonal; above the diagonal it is not to be read.
 */
static float *
make_definite(int rank, Random *random)
{
	size_t		stride = (size_t) als_stride(rank);
	size_t		n = (size_t) rank;
	float	   *a = allocate_aligned(stride * stride * sizeof(float));
	double	   *m = allocate(n * n * sizeof(double));

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k <= i; k++)
			m[i * n + k] = k < i ?
				random_normal(random) / sqrt((double) n) :
				1 + random_uniform(random);
	for (size_t j = 0; j < stride; j++)
		for (size_t i = 0; i < stride; i++)
		{
			double		sum = 0;

			if (i >= j && i < n)
				for (size_t k = 0; k <= j; k++)
					sum += m[i * n + k] * m[j * n + k];
			a[j * stride + i] = i < j ? NAN : (float) sum;
		}
	free(m);
	return a;
}

/* y = L x, or L' x, in double, with the sums of its terms' sizes */
static void
multiply(int rank, const float *l, int transposed, const double *x,
		 const double *x_size, double *y, double *y_size)
{
	size_t		stride = (size_t) als_stride(rank);
	size_t		n = (size_t) rank;

	for (size_t i = 0; i < n; i++)
	{
		y[i] = 0;
		y_size[i] = 0;
	}
	for (size_t j = 0; j < n; j++)
		for (size_t i = j; i < n; i++)
		{
			double		value = (double) l[j * stride + i];
			size_t		to = transposed ? j : i;
			size_t		from = transposed ? i : j;

			y[to] += value * x[from];
			y_size[to] += fabs(value) * x_size[from];
		}
}

/* |A - L L'| and |b - L L' x|, element by element, are the rounding of sums. */
static int
check_cholesky(const AlsKernels *kernels, int rank, Random *random)
{
	size_t		stride = (size_t) als_stride(rank);
	size_t		n = (size_t) rank;
	float	   *a = make_definite(rank, random);
	float	   *l = allocate_aligned(stride * stride * sizeof(float));
	float	   *b = allocate_aligned(stride * sizeof(float));
	float	   *x = allocate_aligned(stride * sizeof(float));
	double	   *vectors = allocate(6 * n * sizeof(double));
	double	   *exact = vectors;
	double	   *size = exact + n;
	double	   *product = size + n;
	int			right = 1;

	for (size_t i = 0; i < stride; i++)
		b[i] = i < n ? (float) random_normal(random) : 0;
	memcpy(l, a, stride * stride * sizeof(float));
	memcpy(x, b, stride * sizeof(float));
	right &= kernels->cholesky(rank, (int) stride, l) == 0;
	kernels->cholesky_solve(rank, (int) stride, l, x);
	for (size_t i = n; i < stride; i++)
		right &= x[i] == 0;

	for (size_t i = 0; i < n; i++)
	{
		exact[i] = (double) x[i];
		size[i] = fabs(exact[i]);
	}
	multiply(rank, l, 1, exact, size, product, product + n);
	multiply(rank, l, 0, product, product + n, product + 2 * n,
			 product + 3 * n);
	for (size_t i = 0; i < n; i++)
		right &= is_near(b[i], product[2 * n + i], product[3 * n + i], n);

	/* row j of L L', for some of a large matrix */
	for (size_t j = 0; j < n; j += 1 + n / 100)
	{
		for (size_t i = 0; i < n; i++)
		{
			exact[i] = i <= j ? (double) l[i * stride + j] : 0;
			size[i] = fabs(exact[i]);
		}
		multiply(rank, l, 0, exact, size, product, product + n);
		for (size_t i = j; i < n; i++)
			right &= is_near(a[j * stride + i], product[i], product[n + i], j);
	}
	free(a);
	free(l);
	free(b);
	free(x);
	free(vectors);
	return right;
}

/* The first pivot that is not positive is named: negative, zero, no number. */
static int
check_pivots(const AlsKernels *kernels, int rank, Random *random)
{
	static const float values[] = {-1, 0, NAN};
	const int	places[] = {0, rank / 3, rank / 2, rank - 1};
	size_t		stride = (size_t) als_stride(rank);
	float	   *definite = make_definite(rank, random);
	float	   *a = allocate_aligned(stride * stride * sizeof(float));
	int			right = 1;

	for (size_t p = 0; p < LENGTH(places); p++)
		for (size_t v = 0; v < LENGTH(values); v++)
		{
			size_t		place = (size_t) places[p];

			memcpy(a, definite, stride * stride * sizeof(float));
			a[place * stride + place] = values[v];
			right &= kernels->cholesky(rank, (int) stride, a) ==
				(int) place + 1;
		}
	free(definite);
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
		int			equations = 1;
		int			sums = 1;

		for (size_t c = 0; c < LENGTH(counts); c++)
		{
			Case		test;

			make_case(&test, kernels, ranks[r], counts[c], &random);
			dot &= check_dot(&test);
			scores &= check_scores(&test);
			residual &= check_residual(&test);
			gather &= check_gather_residual(&test);
			equations &= check_gather_equations(&test);
			sums &= check_sum_rows(&test);
			free_case(&test);
		}
		ok(dot, "%s: dot at rank %d", kernels->name, ranks[r]);
		ok(scores, "%s: scores are dot at rank %d", kernels->name, ranks[r]);
		ok(residual, "%s: residual at rank %d", kernels->name, ranks[r]);
		ok(gather, "%s: gather_residual is residual at rank %d",
		   kernels->name, ranks[r]);
		ok(sums, "%s: sum_rows at rank %d", kernels->name, ranks[r]);
		ok(equations, "%s: gather_equations at rank %d", kernels->name,
		   ranks[r]);
		ok(check_cholesky(kernels, ranks[r], &random),
		   "%s: cholesky and its solution at rank %d", kernels->name, ranks[r]);
		ok(check_pivots(kernels, ranks[r], &random),
		   "%s: cholesky names the failing pivot at rank %d", kernels->name,
		   ranks[r]);
	}
}

void
test_kernels(void)
{
	const AlsKernels *best = NULL;

	for (size_t i = 0; i < LENGTH(kernel_names); i++)
	{
		const AlsKernels *kernels = als_kernels(kernel_names[i]);

		if (kernels == NULL)
		{
			skip("not on this machine", "%s", kernel_names[i]);
			continue;
		}
		ok(strcmp(kernels->name, kernel_names[i]) == 0, "%s: is found", kernel_names[i]);
		test_kernels_of(kernels);
		best = kernels;
	}
	ok(als_kernels(NULL) == best, "the best kernels are the default");
	ok(als_kernels("nonsense") == NULL, "unknown kernels are not found");
}
