/*
 * test_factorize.c
 *	  Matrices factored in steps, and how often long work asks whether to go on.
 */
#include "als_heap.h"
#include "factorize.h"
#include "problem.h"
#include "tap.h"
#include "tests.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Polls so far */
static int	polls;

static void
poll(void)
{
	polls++;
}

/* a[n x n] = sum of count vectors' squares, both triangles */
static double *
random_matrix(Random *random, size_t n, size_t count)
{
	double	   *a = allocate(n * n * sizeof(double));
	double	   *f = allocate(n * sizeof(double));

	memset(a, 0, n * n * sizeof(double));
	for (size_t k = 0; k < count; k++)
	{
		for (size_t i = 0; i < n; i++)
			f[i] = random_normal(random);
		for (size_t j = 0; j < n; j++)
			for (size_t i = 0; i < n; i++)
				a[j * n + i] += f[i] * f[j];
	}
	free(f);
	return a;
}

/* Sum of squares of the elements */
static double
squares(const double *a, size_t size)
{
	double		sum = 0;

	for (size_t i = 0; i < size; i++)
		sum += a[i] * a[i];
	return sum;
}

/* L L' - A, against A */
static void
test_cholesky(Random *random, int rank)
{
	size_t		n = (size_t) rank;
	double	   *a = random_matrix(random, n, 2 * n);
	double	   *l = allocate(n * n * sizeof(double));
	double		error = 0;
	int			result;

	memcpy(l, a, n * n * sizeof(double));
	result = als_factorize(&als_blas, poll, rank, l, rank);
	for (size_t j = 0; j < n; j++)
		for (size_t i = j; i < n; i++)
		{
			double		sum = -a[j * n + i];

			for (size_t k = 0; k <= j; k++)
				sum += l[k * n + i] * l[k * n + j];
			error += sum * sum;
		}
	error = sqrt(error / squares(a, n * n));
	ok(result == 0 && error < 1e-14, "Cholesky factor of %d columns", rank);
	if (!(error < 1e-14))
		note("result %d, error %g", result, error);

	/* a pivot in any step */
	for (size_t i = 0; i < n; i++)
		a[(n - 1) * n + i] = a[i * n + n - 1] = 0;
	ok(als_factorize(&als_blas, NULL, rank, a, rank) == rank,
	   "the last of %d pivots is zero", rank);
	free(a);
	free(l);
}

/*
 * A V - V diag(values) against A, and V'V against I: what dsyevd leaves is no
 * less than some n epsilon.
 */
static void
check_diagonal(const AlsBlas *blas, int rank, const double *a,
			   const char *what)
{
	size_t		n = (size_t) rank;
	double	   *copy = allocate(n * n * sizeof(double));
	double	   *values = allocate(n * sizeof(double));
	double	   *vectors = allocate(n * n * sizeof(double));
	void	   *workspace = allocate(als_diagonalize_workspace(rank));
	double		scale = sqrt(squares(a, n * n)) + DBL_MIN;
	double		residual = 0;
	double		skew = 0;
	int			ascending = 1;
	int			result;

	memcpy(copy, a, n * n * sizeof(double));
	result = als_diagonalize(blas, poll, rank, copy, values, vectors,
							 workspace);
	for (size_t k = 0; k < n; k++)
	{
		const double *v = vectors + k * n;

		ascending &= k == 0 || values[k - 1] <= values[k];
		for (size_t i = 0; i < n; i++)
		{
			double		sum = -values[k] * v[i];

			for (size_t j = 0; j < n; j++)
				sum += a[j * n + i] * v[j];
			residual = fmax(residual, fabs(sum));
		}
		for (size_t other = 0; other <= k; other++)
		{
			double		sum = other == k ? -1 : 0;

			for (size_t j = 0; j < n; j++)
				sum += v[j] * vectors[other * n + j];
			skew = fmax(skew, fabs(sum));
		}
	}
	ok(result == 0 && ascending && residual < 4e-14 * (rank + 10) * scale &&
	   skew < 4e-14 * (rank + 10), "%d columns of %s are made diagonal", rank,
	   what);
	note("residual %.2g, V'V - I %.2g", residual / scale, skew);
	free(copy);
	free(values);
	free(vectors);
	free(workspace);
}

/* dstemr that gives up */
static void
fail(const char *jobz, const char *range, const int *n, double *d, double *e,
	 const double *vl, const double *vu, const int *il, const int *iu,
	 int *m, double *w, double *z, const int *ldz, const int *nzc,
	 int *isuppz, int *tryrac, double *work, const int *lwork, int *iwork,
	 const int *liwork, int *info, size_t jobz_length, size_t range_length)
{
	(void) jobz, (void) range, (void) vl, (void) vu, (void) il, (void) iu;
	(void) w, (void) z, (void) ldz, (void) nzc, (void) isuppz, (void) tryrac;
	(void) work, (void) lwork, (void) iwork, (void) liwork;
	(void) jobz_length, (void) range_length;
	for (int i = 0; i < *n; i++)
		d[i] = e[i] = NAN;
	*m = 0;
	*info = 1;
}

static void
test_diagonalize(Random *random, int rank)
{
	size_t		n = (size_t) rank;
	double	   *a = random_matrix(random, n, 3 * n);
	AlsBlas		failing = als_blas;

	check_diagonal(&als_blas, rank, a, "a Gram matrix");
	failing.dstemr = fail;
	check_diagonal(&failing, rank, a, "a Gram matrix, by QR,");
	free(a);

	a = random_matrix(random, n, n / 3);
	check_diagonal(&als_blas, rank, a, "a singular Gram matrix");
	for (size_t i = 0; i < n * n; i++)
		a[i] *= 1e70;
	check_diagonal(&als_blas, rank, a, "a large Gram matrix");
	for (size_t i = 0; i < n * n; i++)
		a[i] *= 1e-145;
	check_diagonal(&als_blas, rank, a, "a small Gram matrix");

	/* all eigenvalues but one are equal, and all of them zero */
	for (size_t i = 0; i < n * n; i++)
		a[i] = 1 + (i % (n + 1) == 0);
	check_diagonal(&als_blas, rank, a, "a matrix of one cluster");
	memset(a, 0, n * n * sizeof(double));
	check_diagonal(&als_blas, rank, a, "zero");
	free(a);
}

/* Checks that polls came as often as so much work wants. */
static void
check_polls(const char *what, double work)
{
	int			least = (int) (work / (double) ALS_POLL_WORK) - 1;

	ok(polls >= least && polls > 0, "%s polls", what);
	if (polls < least)
		note("%d times, not %d", polls, least);
	polls = 0;
}

/* All that is not bound to few rows asks in between. */
static void
test_polls(Random *random)
{
	const int	rank = 256;
	const size_t n = (size_t) rank;
	const size_t nrows = 20000;
	float	   *rows = allocate_aligned(nrows * n * sizeof(float));
	double	   *gram = random_matrix(random, n, 2 * n);
	double	   *values = allocate(n * sizeof(double));
	double	   *weights = allocate(nrows * sizeof(double));
	void	   *workspace = allocate_aligned(als_gram_workspace(rank) +
											 als_diagonalize_workspace(rank));
	double	   *vectors = allocate(n * n * sizeof(double));
	AlsIndex   *index = allocate_aligned(als_index_size(rank, nrows));
	AlsRankedItem *items = allocate(1000000 * sizeof(AlsRankedItem));

	polls = 0;
	als_initial_factors(1, ALS_USERS, rank, rank, 0, nrows, rows, poll);
	check_polls("starting", (double) nrows * rank);
	als_gram(&als_blas, poll, rank, nrows, rows, vectors, workspace);
	/* BLAS is polled between groups of 512 rows */
	ok(polls >= (int) nrows / 512, "the Gram matrix polls");
	polls = 0;
	als_index_build(rank, nrows, rows, index, poll);
	check_polls("an index", (double) nrows * rank * 2);

	for (size_t k = 0; k < nrows; k++)
		weights[k] = 1;
	for (size_t i = 0; i < n; i++)
		values[i] = 1;
	als_influence(&als_blas, poll, rank, rank, nrows, rows, weights, gram,
				  values, workspace);
	check_polls("influence", (double) nrows * rank * rank / 2);

	for (uint32_t i = 0; i < 1000000; i++)
	{
		items[i].score = (float) random_normal(random);
		items[i].order = i;
	}
	als_heap_sort(items, 1000000, poll);
	check_polls("sorting the best", 20e6);
	free(rows);
	free(gram);
	free(values);
	free(weights);
	free(workspace);
	free(vectors);
	free(index);
	free(items);
}

void
test_factorize(void)
{
	const int	ranks[] = {1, 2, 31, 64, 65, 127, 128, 129, 300};
	Random		random = {11};

	for (size_t i = 0; i < sizeof(ranks) / sizeof(*ranks); i++)
	{
		test_cholesky(&random, ranks[i]);
		test_diagonalize(&random, ranks[i]);
	}
	polls = 0;
	test_cholesky(&random, 1000);
	ok(polls >= 15, "factoring polls");
	polls = 0;
	test_diagonalize(&random, 500);
	ok(polls >= 7 * 30, "making diagonal polls");
	test_polls(&random);
}
