/*
 * test_nonnegative.c
 *	  Factors that are not below zero, by the conditions of Karush, Kuhn and
 *	  Tucker in double precision: met by the minimum and by nothing else.
 */
#include "reference.h"
#include "tap.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How many factors of a side are zero, of those that may not be negative */
static size_t
count_zeros(const Problem *problem, AlsSide side)
{
	size_t		stride = (size_t) als_stride(problem->rank);
	size_t		zeros = 0;

	for (uint32_t r = 0; r < problem->shape.nrows[side]; r++)
		for (int c = 0; c < problem->shape.factors; c++)
			zeros += problem->factors[side][r * stride + (size_t) c] == 0;
	return zeros;
}

/* Iterations from a random start, each of which ends at the minimum. */
static void
test_conditions(const Shape *shape, const char *kernels)
{
	Random		random = {13};
	Problem    *problem = make_problem(shape, &random);
	double		worst = 0;
	int			result = ALS_OK;
	size_t		zeros;
	size_t		count = (size_t) shape->nrows[ALS_ITEMS] *
		(size_t) shape->factors;

	problem->kernels = als_kernels(kernels);
	for (int half = 0; half < 6 && result == ALS_OK; half++)
	{
		AlsSide		side = half % 2 ? ALS_ITEMS : ALS_USERS;
		double		loss;

		/* the first is a cold start, as a training's is */
		if (half == 0)
			memset(problem->factors[ALS_USERS], 0,
				   shape->nrows[ALS_USERS] *
				   (size_t) als_stride(problem->rank) * sizeof(float));
		result = half_iteration(problem, side, &loss);
		worst = fmax(worst, equations_worst_residual(problem, side, NULL));
	}
	ok(result == ALS_OK && worst < 2e-6,
	   "nonnegative: minima, %s, %s, rank %d, lambda %g, nu %g", kernels,
	   shape->feedback == ALS_EXPLICIT ? "explicit" : "implicit",
	   problem->rank, (double) shape->regularization, shape->scaling);
	if (!(worst < 2e-6))
		note("result %d, violation %g", result, worst);

	/* otherwise there was nothing to be held at zero, or nothing else */
	zeros = count_zeros(problem, ALS_ITEMS);
	ok(shape->factors == 1 || (zeros > count / 50 && zeros < count),
	   "nonnegative: some factors are zero, rank %d", problem->rank);
	free_problem(problem);
}

/* Where nothing would be negative, the solution is that of Cholesky. */
static void
test_unbounded(void)
{
	Random		random = {14};
	Shape		shape = {
		ALS_EXPLICIT, ALS_NONNEGATIVE, 3, {60, 40}, 0.5, 3, 1, 0.1f, 1, 5
	};
	Problem    *problem = make_problem(&shape, &random);
	size_t		stride = (size_t) als_stride(problem->rank);
	size_t		size = shape.nrows[ALS_USERS] * stride * sizeof(float);
	float	   *bounded = allocate(size);
	double		loss;
	double		worst = 0;
	int			equal = 0;

	half_iteration(problem, ALS_USERS, &loss);
	memcpy(bounded, problem->factors[ALS_USERS], size);
	problem->shape.solver = ALS_CHOLESKY;
	half_iteration(problem, ALS_USERS, &loss);
	for (uint32_t u = 0; u < shape.nrows[ALS_USERS]; u++)
	{
		const float *x = problem->factors[ALS_USERS] + u * stride;

		if (x[0] < 0 || x[1] < 0 || x[2] < 0)
			continue;
		equal++;
		for (size_t c = 0; c < 3; c++)
			worst = fmax(worst, fabs((double) (x[c] - bounded[u * stride + c])));
	}
	ok(equal > 0 && worst < 1e-4,
	   "nonnegative: %d rows that have no need of it are Cholesky's", equal);
	free(bounded);
	free_problem(problem);
}

/* Columns that are all but equal, and a row that likes nothing */
static void
test_degenerate(void)
{
	Random		random = {15};
	Shape		shape = {
		ALS_IMPLICIT, ALS_NONNEGATIVE, 24, {40, 60}, 0.3, 3, 10, 0.01f, 0, 5
	};
	Problem    *problem = make_problem(&shape, &random);
	size_t		stride = (size_t) als_stride(problem->rank);
	const uint64_t *start = problem->start[ALS_USERS];
	double		loss;
	double		worst;
	int			result;
	int			zero = 1;

	for (uint32_t i = 0; i < shape.nrows[ALS_ITEMS]; i++)
		for (size_t c = 0; c < 24; c++)
			problem->factors[ALS_ITEMS][i * stride + c] =
				problem->factors[ALS_ITEMS][i * stride + c % 3] *
				(1 + (float) random_normal(&random) * 1e-5f);
	for (uint64_t k = start[7]; k < start[8]; k++)
		problem->entries[ALS_USERS][k].rating =
			-fabsf(problem->entries[ALS_USERS][k].rating);
	result = half_iteration(problem, ALS_USERS, &loss);
	worst = equations_worst_residual(problem, ALS_USERS, NULL);
	for (size_t c = 0; c < 24; c++)
		zero &= problem->factors[ALS_USERS][7 * stride + c] == 0;
	ok(result == ALS_OK && worst < 2e-6,
	   "nonnegative: minima where columns are all but equal");
	if (!(worst < 2e-6))
		note("result %d, violation %g", result, worst);
	ok(zero, "nonnegative: a row without positive ratings is zero");
	free_problem(problem);
}

void
test_nonnegative(void)
{
	static const Size sizes[] = {
		{1, {50, 40}, 0.3},
		{16, {150, 90}, 0.1},
		{33, {80, 300}, 0.2},
		{100, {70, 150}, 0.2},
	};

	for (size_t k = 0; k < LENGTH(kernel_names); k++)
		for (size_t i = 0; i < LENGTH(sizes); i++)
			for (int kind = 0; kind < 4; kind++)
			{
				Shape		shape = {
					kind % 2 ? ALS_EXPLICIT : ALS_IMPLICIT, ALS_NONNEGATIVE,
					sizes[i].factors,
					{sizes[i].nrows[0], sizes[i].nrows[1]},
					sizes[i].density, 3, 10, 0.02f, kind / 2 ? 0.5 : kind % 2, 5
				};

				if (als_kernels(kernel_names[k]) == NULL)
					skip("this machine lacks them",
						 "nonnegative: minima, %s", kernel_names[k]);
				else
					test_conditions(&shape, kernel_names[k]);
			}
	test_unbounded();
	test_degenerate();
}
