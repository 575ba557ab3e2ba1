/*
 * test_influence.c
 *	  What ratings contribute to a score, against the closed form.
 */
#include "reference.h"
#include "tap.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the core is given for one user of an implicit problem */
typedef struct Influence
{
	size_t		rank;
	size_t		nrows;
	float	   *rows;			/* [nrows x stride] */
	double	   *weight;			/* [nrows] */
	double	   *target;			/* [nrows] */
	double	   *a;				/* [rank x rank], B: G + lambda I */
	double	   *z;				/* [rank] */
} Influence;

/* Sets up the equations of a user, for the score of an item. */
static void
prepare(Influence *influence, const Problem *problem, uint32_t user,
		uint32_t item)
{
	size_t		rank = (size_t) problem->rank;
	size_t		stride = (size_t) als_stride(problem->rank);
	const float *items = problem->factors[ALS_ITEMS];
	const AlsEntry *entries = problem->entries[ALS_USERS] +
		problem->start[ALS_USERS][user];

	influence->rank = rank;
	influence->nrows = (size_t) (problem->start[ALS_USERS][user + 1] -
								 problem->start[ALS_USERS][user]);
	influence->rows = allocate(influence->nrows * stride * sizeof(float));
	influence->weight = allocate(influence->nrows * sizeof(double));
	influence->target = allocate(influence->nrows * sizeof(double));
	influence->a = allocate(rank * rank * sizeof(double));
	influence->z = allocate(rank * sizeof(double));
	memset(influence->a, 0, rank * rank * sizeof(double));
	for (size_t j = 0; j < rank; j++)
	{
		influence->a[j * rank + j] = (double) problem->shape.regularization;
		influence->z[j] = (double) items[item * stride + j];
	}
	for (uint32_t r = 0; r < problem->shape.nrows[ALS_ITEMS]; r++)
		for (size_t j = 0; j < rank; j++)
			for (size_t i = j; i < rank; i++)
				influence->a[j * rank + i] += (double) items[r * stride + i] *
					(double) items[r * stride + j];
	for (size_t k = 0; k < influence->nrows; k++)
	{
		double		rating = (double) entries[k].rating;

		memcpy(influence->rows + k * stride,
			   items + entries[k].column * stride, stride * sizeof(float));
		influence->weight[k] = (double) problem->shape.alpha * fabs(rating);
		influence->target[k] = rating > 0 ? 1 + influence->weight[k] : 0;
	}
}

static void
discard(Influence *influence)
{
	free(influence->rows);
	free(influence->weight);
	free(influence->target);
	free(influence->a);
	free(influence->z);
}

/* The contributions add up to the score of the user solved exactly. */
static void
test_sum(int factors, Random *random)
{
	Shape		shape = {
		.feedback = ALS_IMPLICIT,
		.solver = ALS_CHOLESKY,
		.factors = factors,
		.nrows = {10, 200},
		.density = 0.2,
		.alpha = 10,
		.regularization = 0.1f,
		.largest = 5
	};
	Problem    *problem = make_problem(&shape, random);
	size_t		stride = (size_t) als_stride(problem->rank);
	double		worst = 0;
	void	   *workspace =
		allocate_aligned(als_gram_exact_workspace(problem->rank));

	for (uint32_t user = 0; user < 10; user++)
	{
		Influence	influence;
		Equations  *equations = make_equations(problem, ALS_USERS);
		double	   *x = allocate((size_t) factors * sizeof(double));
		double		score = 0;
		double		sum = 0;
		double		size = 0;
		int			result;

		prepare(&influence, problem, user, user);
		result = als_influence(&als_blas, NULL, problem->rank, (int) stride,
							   influence.nrows, influence.rows,
							   influence.weight, influence.a, influence.z,
							   workspace);
		if (result != ALS_OK)
			worst = INFINITY;
		for (size_t k = 0; k < influence.nrows; k++)
		{
			double		product = 0;

			for (size_t i = 0; i < influence.rank; i++)
				product += influence.z[i] *
					(double) influence.rows[k * stride + i];
			sum += influence.target[k] * product;
			size += fabs(influence.target[k] * product);
		}
		equations_of_row(equations, user);
		equations_solve(equations, x);
		for (size_t i = 0; i < influence.rank; i++)
			score += x[i] *
				(double) problem->factors[ALS_ITEMS][user * stride + i];
		if (!(fabs(sum - score) <= worst * (size + fabs(score))))
			worst = fabs(sum - score) / (size + fabs(score));
		free(x);
		free_equations(equations);
		discard(&influence);
	}
	ok(worst < 1e-9, "contributions add up to the score, %d factors", factors);
	if (!(worst < 1e-9))
		note("relative error %g", worst);
	free(workspace);
	free_problem(problem);
}

/* Fewer ratings than factors and no regularization are no system. */
static void
test_singular(Random *random)
{
	float		rows[2 * 16] = {0};
	double		weight[2] = {1, 1};
	double		a[3 * 3] = {0};
	double		z[3] = {1, 1, 1};
	double		workspace[64 * 16];

	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < 3; i++)
			rows[k * 16 + i] = (float) random_normal(random);
	ok(als_influence(&als_blas, NULL, 3, 16, 2, rows, weight, a, z,
					 workspace) == 3,
	   "a singular system is found");
}

void
test_influence(void)
{
	static const int factors[] = {1, 3, 16, 40, 100};
	Random		random = {20080815};

	for (size_t f = 0; f < sizeof(factors) / sizeof(factors[0]); f++)
		test_sum(factors[f], &random);
	test_singular(&random);
}
