/*
 * test_fuzz.c
 *	  Random shapes and parameters, judged by the residual of the normal
 *	  equations, as the tests of BLIS and LAPACK are.
 */
#include "reference.h"
#include "tap.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CASES 600

/* A random shape, small ones most often */
static void
random_shape(Random *random, Shape *shape)
{
	static const double densities[] = {0.02, 0.1, 0.5, 1};
	static const double scalings[] = {0, 0.5, 1};

	shape->feedback = random_between(random, 0, 1) ? ALS_EXPLICIT :
		ALS_IMPLICIT;
	shape->solver = (AlsSolver) random_between(random, 0, 2);
	shape->factors = 1 + (int) (pow(random_uniform(random), 3) * 99);
	for (int side = 0; side < 2; side++)
		shape->nrows[side] = (uint32_t) random_between(random, 1, 150);
	shape->density = densities[random_between(random, 0, 3)];
	shape->cg_steps = 1000;
	shape->alpha = (float) pow(10, random_uniform(random) * 5 - 2);
	shape->regularization = (float) pow(10, random_uniform(random) * 5 - 3);
	shape->scaling = scalings[random_between(random, 0, 2)];
	shape->largest = (float) pow(10, random_uniform(random) * 2);
}

/* The factors of a side as they are now */
static float *
copy_factors(const Problem *problem, AlsSide side)
{
	size_t		size = problem->shape.nrows[side] *
		(size_t) als_stride(problem->rank) * sizeof(float);
	float	   *copy = allocate(size);

	memcpy(copy, problem->factors[side], size);
	return copy;
}

void
test_fuzz(void)
{
	static const char *const kernels[] = {"reference", "generic", NULL};
	Random		random = {12};
	double		worst[3] = {0, 0, 0};
	int			bad = 0;

	for (int i = 0; i < CASES; i++)
	{
		Shape		shape;
		Problem    *problem;
		float	   *start;
		AlsSide		side = random_between(&random, 0, 1) ? ALS_ITEMS : ALS_USERS;
		double		loss;
		double		residual;
		int			result;
		int			weighted;

		random_shape(&random, &shape);
		problem = make_problem(&shape, &random);
		problem->kernels = als_kernels(kernels[random_between(&random, 0, 2)]);
		problem->by_ratings = random_between(&random, 0, 1);
		problem->unbiased = random_between(&random, 0, 1);
		weighted = shape.feedback == ALS_EXPLICIT && random_between(&random, 0, 1);
		if (weighted)
			weigh_problem(problem, 1.5, &random);
		start = copy_factors(problem, side);
		result = half_iteration(problem, side, &loss);
		residual = equations_worst_residual(problem, side,
											shape.solver == ALS_CG ?
											start : NULL);
		worst[shape.solver] = fmax(worst[shape.solver], residual);
		if (result != ALS_OK || !(residual < 2e-6))
		{
			note("case %d: result %d, residual %g: feedback %d solver %d factors %d users %u items %u density %g alpha %g lambda %g scaling %g by ratings %d unbiased %d weighted %d largest %g",
				 i, result, residual, shape.feedback, shape.solver,
				 shape.factors, shape.nrows[0], shape.nrows[1],
				 shape.density, (double) shape.alpha,
				 (double) shape.regularization, shape.scaling,
				 problem->by_ratings, problem->unbiased, weighted,
				 (double) shape.largest);
			bad++;
		}
		free(start);
		free_problem(problem);
	}
	note("largest residuals: cg %g, cholesky %g, nonnegative %g",
		 worst[ALS_CG], worst[ALS_CHOLESKY], worst[ALS_NONNEGATIVE]);
	ok(bad == 0, "normal equations of %d random problems are solved", CASES);
}
