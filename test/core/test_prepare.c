/*
 * test_prepare.c
 *	  What comes before rows are solved: starting factors, Gram matrix,
 *	  prepared rows.
 */
#include "problem.h"
#include "tap.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Random rows with zeros behind the rank */
static float *
random_rows(Random *random, size_t nrows, int rank)
{
	size_t		stride = (size_t) als_stride(rank);
	float	   *rows = allocate_aligned(nrows * stride * sizeof(float));

	for (size_t i = 0; i < nrows * stride; i++)
		rows[i] = i % stride < (size_t) rank ?
			(float) random_normal(random) : 0;
	return rows;
}

/* Starting factors of a model, in pieces of rows */
static float *
initial_factors(uint64_t seed, AlsSide side, int factors, int rank,
				size_t nrows, size_t piece)
{
	size_t		stride = (size_t) als_stride(rank);
	float	   *rows = allocate_aligned(nrows * stride * sizeof(float));

	memset(rows, 0xff, nrows * stride * sizeof(float));
	for (size_t first = 0; first < nrows; first += piece)
		als_initial_factors(seed, side, factors, rank, first,
							nrows - first < piece ? nrows - first : piece,
							rows + first * stride, NULL);
	return rows;
}

/* Share of equal elements among the factors of two sets of rows */
static double
equal_share(const float *a, const float *b, size_t nrows, int factors)
{
	size_t		stride = (size_t) als_stride(factors);
	size_t		equal = 0;

	for (size_t r = 0; r < nrows; r++)
		for (size_t c = 0; c < (size_t) factors; c++)
			equal += a[r * stride + c] == b[r * stride + c];
	return (double) equal / (double) (nrows * (size_t) factors);
}

void
test_initial(void)
{
	const size_t nrows = 2000;
	const int	factors = 50;
	const size_t stride = (size_t) als_stride(factors);
	float	   *rows = initial_factors(7, ALS_USERS, factors, factors, nrows, nrows);
	float	   *pieces = initial_factors(7, ALS_USERS, factors, factors, nrows, 77);
	float	   *seed = initial_factors(8, ALS_USERS, factors, factors, nrows, nrows);
	float	   *side = initial_factors(7, ALS_ITEMS, factors, factors, nrows, nrows);
	float	   *biased = initial_factors(7, ALS_USERS, 48, 49, nrows, nrows);
	size_t		biased_stride = (size_t) als_stride(49);
	double		sum = 0;
	double		squares = 0;
	double		neighbours = 0;
	double		count = (double) nrows * factors;
	int			padded = 1;
	int			unbiased = 1;

	ok(memcmp(rows, pieces, nrows * stride * sizeof(float)) == 0,
	   "starting factors do not depend on how they are split");
	for (size_t r = 0; r < nrows; r++)
		for (size_t c = 0; c < stride; c++)
		{
			double		value = (double) rows[r * stride + c];

			sum += value;
			squares += value * value;
			if (c > 0)
				neighbours += value * (double) rows[r * stride + c - 1];
			if (c >= (size_t) factors)
				padded &= value == 0;
		}
	for (size_t r = 0; r < nrows; r++)
		for (size_t c = 48; c < biased_stride; c++)
			unbiased &= biased[r * biased_stride + c] == 0;
	ok(squares > 0 && fabs(sum) < 4 * sqrt(squares),
	   "starting factors have zero mean");
	ok(fabs(neighbours) < 4 * squares / sqrt(count),
	   "neighbouring starting factors are not correlated");
	ok(padded, "starting factors are padded with zeros");
	ok(unbiased, "biases start at zero");
	ok(equal_share(rows, seed, nrows, factors) < 0.001,
	   "starting factors depend on the seed");
	ok(equal_share(rows, side, nrows, factors) < 0.001,
	   "starting factors depend on the side");
	ok(equal_share(rows, rows + stride, nrows - 1, factors) < 0.001,
	   "starting factors depend on the row");
	free(rows);
	free(pieces);
	free(seed);
	free(side);
	free(biased);
}

/* Largest error of the lower triangle of the Gram matrix, against its diagonal */
static double
gram_error(const float *rows, size_t nrows, int rank, const double *gram)
{
	size_t		n = (size_t) rank;
	size_t		stride = (size_t) als_stride(rank);
	double		error = 0;

	for (size_t j = 0; j < n; j++)
		for (size_t i = j; i < n; i++)
		{
			double		sum = 0;

			for (size_t r = 0; r < nrows; r++)
				sum += (double) rows[r * stride + i] *
					(double) rows[r * stride + j];
			error = fmax(error, fabs(sum - gram[j * n + i]) /
						 ((double) nrows + 1));
		}
	return error;
}

/* Largest difference between L L' and G + lambda I, both of them as returned */
static double
factor_error(int rank, const float *base, const float *base_factor)
{
	size_t		stride = (size_t) als_stride(rank);
	double		error = 0;
	double		largest = 0;

	for (size_t j = 0; j < (size_t) rank; j++)
		for (size_t i = j; i < (size_t) rank; i++)
		{
			double		sum = 0;

			for (size_t k = 0; k <= j; k++)
				sum += (double) base_factor[k * stride + i] *
					(double) base_factor[k * stride + j];
			error = fmax(error, fabs(sum - (double) base[j * stride + i]));
			largest = fmax(largest, fabs((double) base[j * stride + i]));
		}
	return error / largest;
}

static void
test_gram_of(Random *random, int rank, size_t nrows)
{
	size_t		n = (size_t) rank;
	size_t		stride = (size_t) als_stride(rank);
	float	   *rows = random_rows(random, nrows, rank);
	double	   *gram = allocate(3 * n * n * sizeof(double));
	double	   *diagonal = allocate(n * sizeof(double));
	float	   *base = allocate_aligned(stride * stride * sizeof(float));
	float	   *base_factor = allocate_aligned(stride * stride * sizeof(float));
	void	   *workspace = allocate_aligned(als_gram_workspace(rank));
	AlsSystem	system = {
		.blas = &als_blas,
		.feedback = ALS_IMPLICIT,
		.solver = ALS_CG,
		.rank = rank,
		.regularization = 5
	};
	void	   *finish = allocate_aligned(als_gram_finish_workspace(&system));
	int			right = 1;
	int			clean = 1;
	int			result;

	als_gram(&als_blas, NULL, rank, nrows, rows, gram, workspace);
	ok(gram_error(rows, nrows, rank, gram) < 1e-6,
	   "Gram matrix of %d rows at rank %d", (int) nrows, rank);

	memcpy(gram + n * n, gram, n * n * sizeof(double));
	memcpy(gram + 2 * n * n, gram, n * n * sizeof(double));
	for (size_t i = 0; i < n; i++)
		diagonal[i] = gram[i * n + i];
	memset(base, 0xff, stride * stride * sizeof(float));
	memset(base_factor, 0xff, stride * stride * sizeof(float));
	result = als_gram_finish(&system, 5, 3, gram, 0, base, base_factor, NULL,
							 finish);
	for (size_t i = 0; i < n; i++)
		right &= fabs(3 * diagonal[i] + 5 - (double) base[i * stride + i]) <=
			1e-6 * (double) base[i * stride + i];
	for (size_t j = 0; j < stride; j++)
		for (size_t i = 0; i < stride; i++)
			if (i < j || i >= n)
				clean &= base_factor[j * stride + i] == 0;
	ok(result == 0 && right,
	   "partial Gram matrices and lambda are added up at rank %d", rank);
	ok(factor_error(rank, base, base_factor) < 1e-6,
	   "Cholesky factor of %d rows at rank %d", (int) nrows, rank);
	ok(clean, "nothing but zeros outside the Cholesky factor at rank %d", rank);
	free(rows);
	free(gram);
	free(diagonal);
	free(base);
	free(base_factor);
	free(workspace);
	free(finish);
}

/* Columns that differ too little for single precision, or for double */
static void
test_nearly_singular(double difference, int exact, int expected)
{
	double		gram[4] = {1, 1, 0, 1 + difference};
	double		finish[4];
	float	   *base = allocate_aligned(16 * 16 * sizeof(float));
	float	   *base_factor = allocate_aligned(16 * 16 * sizeof(float));
	AlsSystem	system = {
		.blas = &als_blas,
		.feedback = ALS_IMPLICIT,
		.solver = ALS_CG,
		.rank = 2
	};

	ok(als_gram_finish(&system, 0, 1, gram, exact, base, base_factor, NULL,
					   finish) == expected, "a pivot of %g, %s: %d", difference,
	   exact ? "exact" : "in single precision", expected);
	free(base);
	free(base_factor);
}

/*
 * Rows that differ in regularization: the rows are turned such that their Gram
 * matrix is the spectrum, which is that of the rows as they were.
 */
static void
test_diagonal(Random *random, int rank, size_t nrows)
{
	size_t		n = (size_t) rank;
	size_t		stride = (size_t) als_stride(rank);
	float	   *rows = random_rows(random, nrows, rank);
	float	   *out = allocate_aligned(nrows * stride * sizeof(float));
	float	   *base = allocate_aligned(stride * stride * sizeof(float));
	float	   *rotation = allocate_aligned(stride * stride * sizeof(float));
	float	   *spectrum = allocate_aligned(stride * sizeof(float));
	double	   *gram = allocate(n * n * sizeof(double));
	AlsSystem	system = {
		.blas = &als_blas,
		.feedback = ALS_IMPLICIT,
		.solver = ALS_CG,
		.rank = rank,
		.regularization = 0.5f,
		.regularization_scaling = 0.5,
		.alpha = 3,
		.nfixed = (uint32_t) nrows,
		.base_factor = rotation
	};
	void	   *workspace = allocate_aligned(als_gram_workspace(rank));
	void	   *finish = allocate_aligned(als_gram_finish_workspace(&system));
	double		scale = sqrt((double) nrows);
	double		error = 0;
	int			clean = 1;
	int			result;

	als_gram(&als_blas, NULL, rank, nrows, rows, gram, workspace);
	memset(spectrum, 0xff, stride * sizeof(float));
	memset(rotation, 0xff, stride * stride * sizeof(float));
	result = als_gram_finish(&system, 0.5, 1, gram, 0, base, rotation, spectrum,
							 finish);
	als_prepare_rows(&system, nrows, rows, out, NULL);
	for (size_t j = 0; j < n; j++)
		for (size_t i = j; i < n; i++)
		{
			double		turned = i == j ? -(double) spectrum[i] : 0;
			double		kept = i == j ? 0.5 * scale : 0;

			for (size_t r = 0; r < nrows; r++)
			{
				turned += (double) out[r * stride + i] *
					(double) out[r * stride + j];
				kept += (double) rows[r * stride + i] *
					(double) rows[r * stride + j];
			}
			error = fmax(error, fabs(turned));
			error = fmax(error, fabs(kept - (double) base[j * stride + i]));
		}
	for (size_t r = 0; r < nrows; r++)
		for (size_t i = n; i < stride; i++)
			clean &= out[r * stride + i] == 0;
	ok(result == 0 && error < 2e-6 * (double) (nrows + n),
	   "the Gram matrix of %d rows is made diagonal at rank %d",
	   (int) nrows, rank);
	if (!(error < 2e-6 * (double) (nrows + n)))
		note("result %d, error %g", result, error);
	ok(clean, "turned rows are padded with zeros at rank %d", rank);
	free(rows);
	free(out);
	free(base);
	free(rotation);
	free(spectrum);
	free(gram);
	free(workspace);
	free(finish);
}

void
test_gram(void)
{
	Random		random = {2};

	test_nearly_singular(1e-1, 0, ALS_OK);
	test_nearly_singular(1e-2, 0, ALS_SUM_IN_DOUBLE);
	test_nearly_singular(0, 0, ALS_SUM_IN_DOUBLE);
	test_nearly_singular(1e-6, 1, ALS_OK);
	test_nearly_singular(4e-7, 1, ALS_SOLVE_IN_DOUBLE);
	test_nearly_singular(1e-14, 1, ALS_SOLVE_IN_DOUBLE);
	test_nearly_singular(1e-15, 1, 2);
	test_gram_of(&random, 1, 1);
	test_gram_of(&random, 3, 2);
	test_gram_of(&random, 16, 512);
	test_gram_of(&random, 64, 3001);
	test_gram_of(&random, 100, 777);
	test_gram_of(&random, 130, 0);
	test_diagonal(&random, 1, 3);
	test_diagonal(&random, 17, 500);
	test_diagonal(&random, 64, 40);
	test_diagonal(&random, 130, 300);
}

/* Largest difference between L out and rows, against the rows */
static double
whitening_error(int rank, size_t nrows, const float *base_factor,
				const float *rows, const float *out)
{
	size_t		stride = (size_t) als_stride(rank);
	double		error = 0;

	for (size_t r = 0; r < nrows; r++)
		for (size_t i = 0; i < stride; i++)
		{
			double		sum = 0;

			for (size_t j = 0; j <= i; j++)
				sum += (double) base_factor[j * stride + i] *
					(double) out[r * stride + j];
			error = fmax(error, fabs(sum - (double) rows[r * stride + i]));
		}
	return error;
}

static void
test_whitening(Random *random, int rank, size_t nrows)
{
	size_t		stride = (size_t) als_stride(rank);
	float	   *rows = random_rows(random, nrows, rank);
	float	   *out = allocate_aligned(nrows * stride * sizeof(float));
	float	   *split = allocate_aligned(nrows * stride * sizeof(float));
	float	   *base_factor = allocate_aligned(stride * stride * sizeof(float));
	AlsSystem	system = {
		.blas = &als_blas,
		.feedback = ALS_IMPLICIT,
		.solver = ALS_CG,
		.rank = rank,
		.base_factor = base_factor
	};

	memset(base_factor, 0, stride * stride * sizeof(float));
	for (size_t j = 0; j < (size_t) rank; j++)
		for (size_t i = j; i < (size_t) rank; i++)
			base_factor[j * stride + i] = i == j ? 2 :
				(float) (random_normal(random) / rank);
	als_prepare_rows(&system, nrows, rows, out, NULL);
	ok(whitening_error(rank, nrows, base_factor, rows, out) < 1e-5,
	   "%d rows are whitened at rank %d", (int) nrows, rank);

	als_prepare_rows(&system, nrows < 64 ? nrows : 64, rows, split, NULL);
	if (nrows > 64)
		als_prepare_rows(&system, nrows - 64, rows + 64 * stride,
						 split + 64 * stride, NULL);
	ok(memcmp(out, split, nrows * stride * sizeof(float)) == 0,
	   "whitening %d rows in two calls gives the same bits", (int) nrows);
	free(rows);
	free(out);
	free(split);
	free(base_factor);
}

static void
test_biases(Random *random, int rank, size_t nrows)
{
	size_t		stride = (size_t) als_stride(rank);
	float	   *rows = random_rows(random, nrows, rank);
	float	   *out = allocate_aligned(nrows * stride * sizeof(float));
	float	   *bias = allocate(nrows * sizeof(float));
	AlsSystem	system = {
		.blas = &als_blas,
		.feedback = ALS_EXPLICIT,
		.solver = ALS_CG,
		.rank = rank
	};
	int			right = 1;

	als_prepare_rows(&system, nrows, rows, out, bias);
	for (size_t r = 0; r < nrows; r++)
		for (size_t i = 0; i < stride; i++)
		{
			float		from = rows[r * stride + i];
			float		to = out[r * stride + i];

			if (i == (size_t) rank - 1)
				right &= to == 1 && bias[r] == from;
			else
				right &= to == from;
		}
	ok(right, "biases of %d rows move at rank %d", (int) nrows, rank);
	free(rows);
	free(out);
	free(bias);
}

void
test_prepare(void)
{
	Random		random = {3};

	test_whitening(&random, 1, 1);
	test_whitening(&random, 17, 64);
	test_whitening(&random, 64, 200);
	test_biases(&random, 1, 3);
	test_biases(&random, 17, 70);
	test_biases(&random, 65, 0);
}
