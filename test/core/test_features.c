/*
 * test_features.c
 *	  Factors of features, and the priors that they make.
 */
#include "als_features.h"
#include "problem.h"
#include "tap.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows with features at random, and their factors */
typedef struct Case
{
	AlsFeatures features;
	uint64_t   *start;
	AlsEntry   *entries;
	double	   *scale;
	double	   *weight;			/* w */
	double	   *diagonal;
	double	   *matrix;
	float	   *rows;			/* [nrows x stride] */
	float	   *priors;			/* likewise */
	float	   *factors;		/* [nfeatures x stride] */
} Case;

/*
 * A row has a feature with this probability, with a value that is 1 for most;
 * the first feature everybody has, the second is the first again, the third
 * nobody has.
 */
static Case *
make_case(int rank, uint32_t nrows, uint32_t nfeatures, double density,
		  double most, Random *random)
{
	Case	   *c = allocate(sizeof(Case));
	size_t		stride = (size_t) als_stride(rank);
	uint64_t	count = 0;

	memset(c, 0, sizeof(Case));
	c->start = allocate((nrows + 1) * sizeof(uint64_t));
	c->entries = allocate((size_t) nrows * nfeatures * sizeof(AlsEntry));
	c->scale = allocate(nrows * sizeof(double));
	c->weight = allocate(nrows * sizeof(double));
	c->diagonal = allocate(nfeatures * sizeof(double));
	c->matrix = allocate((size_t) nfeatures * nfeatures * sizeof(double));
	c->rows = allocate_aligned(nrows * stride * sizeof(float));
	c->priors = allocate_aligned(nrows * stride * sizeof(float));
	c->factors = allocate_aligned(nfeatures * stride * sizeof(float));
	memset(c->rows, 0, nrows * stride * sizeof(float));
	memset(c->factors, 0, nfeatures * stride * sizeof(float));
	for (uint32_t r = 0; r < nrows; r++)
	{
		c->start[r] = count;
		c->scale[r] = 1 + 10 * random_uniform(random);
		c->weight[r] = 0.25 * fmin(c->scale[r], most);
		for (uint32_t j = 0; j < nfeatures; j++)
			if (j < 2 || (j > 2 && random_uniform(random) < density))
			{
				c->entries[count].column = j;
				c->entries[count++].rating = j % 4 < 3 ? 1 :
					(float) random_normal(random);
			}
		for (size_t i = 0; i < (size_t) rank; i++)
			c->rows[r * stride + i] = (float) random_normal(random);
	}
	c->start[nrows] = count;
	c->features = (AlsFeatures)
	{
		.blas = &als_blas,
			.rank = rank,
			.nfeatures = nfeatures,
			.rows =
		{
			.nrows = nrows,.start = c->start,.entries = c->entries
		},
			.scale = c->scale,
			.most = most,
			.ridge = 3,
			.steps = 200,
			.diagonal = c->diagonal,
			.matrix = c->matrix
	};
	return c;
}

static void
free_case(Case *c)
{
	free(c->start);
	free(c->entries);
	free(c->scale);
	free(c->weight);
	free(c->diagonal);
	free(c->matrix);
	free(c->rows);
	free(c->priors);
	free(c->factors);
	free(c);
}

/* Solves all columns, the last group first. */
static void
solve_case(Case *c)
{
	void	   *workspace = allocate_aligned(als_features_workspace(c->features.nfeatures));

	als_features_priors(c->features.rank, &c->features.rows, c->scale,
						c->features.most, c->factors, c->priors, NULL);
	for (int group = als_feature_groups(c->features.rank); group-- > 0;)
		als_features_solve(&c->features, group, c->rows, c->priors, c->factors,
						   workspace);
	free(workspace);
}

/* sum w |y - B'g|^2 + ridge |B|^2, moved by step times a direction */
static double
objective(const Case *c, double step, const float *direction)
{
	const AlsFeatures *features = &c->features;
	size_t		stride = (size_t) als_stride(features->rank);
	double		sum = 0;

	for (size_t i = 0; i < (size_t) features->rank; i++)
	{
		for (uint32_t r = 0; r < features->rows.nrows; r++)
		{
			double		left = (double) c->rows[r * stride + i];

			for (uint64_t k = c->start[r]; k < c->start[r + 1]; k++)
			{
				size_t		at = c->entries[k].column * stride + i;

				left -= (double) c->entries[k].rating *
					((double) c->factors[at] + step * (double) direction[at]);
			}
			sum += c->weight[r] * left * left;
		}
		for (uint32_t j = 0; j < features->nfeatures; j++)
			sum += features->ridge * pow((double) c->factors[j * stride + i] +
										 step * (double) direction[j * stride + i], 2);
	}
	return sum;
}

/*
 * At the minimum no direction leads down: the quadratic through three points of
 * a line has its least value where the factors are, to single precision.
 */
static int
is_minimum(const Case *c, Random *random)
{
	size_t		stride = (size_t) als_stride(c->features.rank);
	size_t		size = c->features.nfeatures * stride;
	float	   *direction = allocate(size * sizeof(float));
	double		worst = 0;

	for (int trial = 0; trial < 10; trial++)
	{
		double		here;
		double		ahead;
		double		behind;

		memset(direction, 0, size * sizeof(float));
		for (uint32_t j = 0; j < c->features.nfeatures; j++)
			for (size_t i = 0; i < (size_t) c->features.rank; i++)
				direction[j * stride + i] = (float) random_normal(random);
		here = objective(c, 0, direction);
		ahead = objective(c, 1, direction);
		behind = objective(c, -1, direction);
		worst = fmax(worst, fabs(ahead - behind) /
					 (2 * (ahead + behind - 2 * here)));
	}
	free(direction);
	if (!(worst < 1e-5))
		note("the minimum is %g away", worst);
	return worst < 1e-5;
}

/* The same by a factored matrix and by conjugate gradient, both a minimum */
static void
test_case(int rank, uint32_t nrows, uint32_t nfeatures, double density,
		  double most)
{
	Random		random = {77};
	Case	   *c = make_case(rank, nrows, nfeatures, density, most, &random);
	size_t		size = nfeatures * (size_t) als_stride(rank);
	float	   *factored = allocate(size * sizeof(float));
	double		largest = 0;
	double		difference = 0;
	double		norm = 0;
	int			result = als_features_prepare(&c->features, c->diagonal,
											  c->matrix);

	solve_case(c);
	ok(result == ALS_OK && is_minimum(c, &random),
	   "features: a minimum by a factored matrix, %u of them, %u rows, rank %d",
	   nfeatures, nrows, rank);
	memcpy(factored, c->factors, size * sizeof(float));
	memset(c->factors, 0, size * sizeof(float));
	c->features.matrix = NULL;
	result = als_features_prepare(&c->features, c->diagonal, NULL);
	solve_case(c);
	for (size_t i = 0; i < size; i++)
	{
		largest = fmax(largest, fabs((double) factored[i]));
		difference = fmax(difference, fabs((double) factored[i] -
										   (double) c->factors[i]));
		norm += (double) c->factors[i] * (double) c->factors[i];
	}
	ok(result == ALS_OK && is_minimum(c, &random) &&
	   difference <= 1e-5 * largest,
	   "features: the same by conjugate gradient, %u of them, %u rows, rank %d",
	   nfeatures, nrows, rank);
	ok(fabs(als_features_norm(rank, nfeatures, c->factors) - norm) <= 1e-12 * norm,
	   "features: |B|^2, %u of them, rank %d", nfeatures, rank);

	memcpy(factored, c->factors, size * sizeof(float));
	solve_case(c);
	difference = 0;
	for (size_t i = 0; i < size; i++)
		difference = fmax(difference, fabs((double) factored[i] -
										   (double) c->factors[i]));
	ok(difference <= 1e-5 * largest,
	   "features: it stays there, %u of them, %u rows, rank %d",
	   nfeatures, nrows, rank);
	free(factored);
	free_case(c);
}

/* y := (G'WG + ridge I) x, or G'W x of rows if of_rows, for one column */
static void
reference_product(const Case *c, int of_rows, const double *x, double *y)
{
	for (uint32_t j = 0; j < c->features.nfeatures; j++)
		y[j] = of_rows ? 0 : c->features.ridge * x[j];
	for (uint32_t r = 0; r < c->features.rows.nrows; r++)
	{
		double		row = of_rows ? x[r] : 0;

		for (uint64_t k = c->start[r]; k < c->start[r + 1] && !of_rows; k++)
			row += (double) c->entries[k].rating * x[c->entries[k].column];
		for (uint64_t k = c->start[r]; k < c->start[r + 1]; k++)
			y[c->entries[k].column] += c->weight[r] *
				(double) c->entries[k].rating * row;
	}
}

static double
reference_dot(uint32_t n, const double *x, const double *y)
{
	double		sum = 0;

	for (uint32_t j = 0; j < n; j++)
		sum += x[j] * y[j];
	return sum;
}

/* Steps of the textbook's preconditioned conjugate gradient from x on */
static void
reference_steps(const Case *c, int steps, const double *column, double *x)
{
	uint32_t	n = c->features.nfeatures;
	double	   *r = allocate(n * sizeof(double));
	double	   *z = allocate(n * sizeof(double));
	double	   *p = allocate(n * sizeof(double));
	double	   *q = allocate(n * sizeof(double));
	double		rz;

	reference_product(c, 1, column, r);
	reference_product(c, 0, x, q);
	for (uint32_t j = 0; j < n; j++)
	{
		r[j] -= q[j];
		p[j] = z[j] = r[j] / c->diagonal[j];
	}
	rz = reference_dot(n, r, z);
	for (int step = 0; step < steps; step++)
	{
		double		length;
		double		before = rz;

		reference_product(c, 0, p, q);
		length = rz / reference_dot(n, p, q);
		for (uint32_t j = 0; j < n; j++)
		{
			x[j] += length * p[j];
			r[j] -= length * q[j];
			z[j] = r[j] / c->diagonal[j];
		}
		rz = reference_dot(n, r, z);
		for (uint32_t j = 0; j < n; j++)
			p[j] = z[j] + rz / before * p[j];
	}
	free(r);
	free(z);
	free(p);
	free(q);
}

/* A few steps are those of a plain loop, and each time lower the objective */
static void
test_steps(int rank, int steps)
{
	Random		random = {80};
	Case	   *c = make_case(rank, 50, 90, 0.1, 7, &random);
	size_t		stride = (size_t) als_stride(rank);
	uint32_t	n = c->features.nfeatures;
	double	   *column = allocate(50 * sizeof(double));
	double	   *x = allocate(n * sizeof(double));
	float	   *still = allocate(n * stride * sizeof(float));
	float	   *before = allocate(n * stride * sizeof(float));
	double		value;
	double		worst = 0;
	int			falls = 1;

	memset(still, 0, n * stride * sizeof(float));
	c->features.matrix = NULL;
	c->features.steps = steps;
	ok(als_features_prepare(&c->features, c->diagonal, NULL) == ALS_OK,
	   "features: prepared for %d steps", steps);
	for (uint32_t j = 0; j < n; j++)
		for (size_t i = 0; i < (size_t) rank; i++)
			c->factors[j * stride + i] = (float) random_normal(&random);
	memcpy(before, c->factors, n * stride * sizeof(float));
	value = objective(c, 0, still);
	solve_case(c);
	for (size_t i = 0; i < (size_t) rank; i++)
	{
		for (uint32_t r = 0; r < 50; r++)
			column[r] = (double) c->rows[r * stride + i];
		for (uint32_t j = 0; j < n; j++)
			x[j] = (double) before[j * stride + i];
		reference_steps(c, steps, column, x);
		for (uint32_t j = 0; j < n; j++)
			worst = fmax(worst, fabs(x[j] - (double) c->factors[j * stride + i]));
	}
	ok(worst < 1e-5, "features: %d steps of conjugate gradient, rank %d", steps,
	   rank);
	for (int round = 0; round < 5; round++)
	{
		double		next = objective(c, 0, still);

		falls &= next < value;
		value = next;
		solve_case(c);
	}
	ok(falls, "features: %d steps lower the objective, rank %d", steps, rank);
	free(column);
	free(x);
	free(still);
	free(before);
	free_case(c);
}

/* Priors against a plain loop, of rows that do not begin at 0 */
static void
test_priors(int rank, double most)
{
	Random		random = {78};
	Case	   *c = make_case(rank, 40, 30, 0.2, most, &random);
	size_t		stride = (size_t) als_stride(rank);
	AlsRows		rows = {
		.nrows = 30,.start = c->start + 10,
		.entries = c->entries + c->start[10]
	};
	float	   *priors = allocate_aligned(30 * stride * sizeof(float));
	float	   *whole = allocate_aligned(30 * stride * sizeof(float));
	double		worst = 0;
	double		expected_penalty = 0;
	double		penalty;

	for (size_t i = 0; i < 30 * stride; i++)
		c->factors[i] = i % stride < (size_t) rank ?
			(float) random_normal(&random) : 0;
	als_features_priors(rank, &rows, c->scale + 10, most, c->factors, priors,
						NULL);
	for (uint32_t r = 0; r < 30; r++)
		for (size_t i = 0; i < stride; i++)
		{
			double		expected = 0;
			double		share = c->weight[r + 10] / c->scale[r + 10];
			double		y = (double) c->rows[(r + 10) * stride + i];
			double		prior = (double) priors[r * stride + i];

			for (uint64_t k = c->start[r + 10]; k < c->start[r + 11]; k++)
				expected += (double) c->entries[k].rating *
					(double) c->factors[c->entries[k].column * stride + i];
			worst = fmax(worst, fabs(share * expected - prior));
			expected_penalty += c->weight[r + 10] * pow(y - prior / share, 2) +
				(c->scale[r + 10] - c->weight[r + 10]) * pow(y, 2);
		}
	ok(worst < 1e-5, "features: priors, rank %d", rank);
	als_features_priors(rank, &rows, NULL, 0, c->factors, whole, NULL);
	for (uint32_t r = 0; r < 30; r++)
		for (size_t i = 0; i < stride; i++)
			worst = fmax(worst, fabs((double) whole[r * stride + i] *
									 c->weight[r + 10] / c->scale[r + 10] -
									 (double) priors[r * stride + i]));
	ok(worst < 1e-5, "features: rows without ratings, rank %d", rank);
	penalty = als_features_penalty(rank, 30, c->scale + 10, most, c->rows + 10 * stride,
								   priors);
	ok(fabs(penalty - expected_penalty) <= 1e-12 * expected_penalty,
	   "features: what rows add to the objective, rank %d", rank);
	free(priors);
	free(whole);
	free_case(c);
}

/* What cannot be solved is said. */
static void
test_bad_features(void)
{
	Random		random = {79};
	Case	   *c = make_case(3, 20, 10, 0.3, 7, &random);

	c->features.ridge = 1e-300;
	ok(als_features_prepare(&c->features, c->diagonal, c->matrix) > 0,
	   "features: collinear ones are singular without a ridge");
	c->features.ridge = INFINITY;
	ok(als_features_prepare(&c->features, c->diagonal, NULL) == ALS_NOT_FINITE,
	   "features: an infinite ridge is not finite");
	free_case(c);
}

void
test_features(void)
{
	test_case(1, 30, 5, 0.4, 7);
	test_case(17, 200, 40, 0.1, 7);
	test_case(17, 200, 40, 0.1, INFINITY);
	test_case(64, 300, 100, 0.05, 7);
	/* more features than rows */
	test_case(10, 30, 120, 0.1, 7);
	test_steps(1, 1);
	test_steps(17, 2);
	test_steps(16, 3);
	test_priors(1, 7);
	test_priors(17, 7);
	test_priors(17, INFINITY);
	test_priors(64, 7);
	test_bad_features();
}
