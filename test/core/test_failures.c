/*
 * test_failures.c
 *	  Systems without a solution, and numbers too large for one.
 */
#include "reference.h"
#include "tap.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const solvers[] = {"cg", "cholesky", "nonnegative"};

/* Without lambda, fewer rows than factors have a singular Gram matrix. */
static void
test_singular_gram(void)
{
	static const uint32_t nitems[] = {0, 1, 5, 16};
	Random		random = {6};

	for (size_t i = 0; i < LENGTH(nitems); i++)
	{
		Shape		shape = {
			ALS_IMPLICIT, ALS_CG, 20, {30, nitems[i]}, 0.5, 3, 1, 0, 0, 5
		};
		Problem    *problem = make_problem(&shape, &random);
		double		loss;
		int			result = half_iteration(problem, ALS_USERS, &loss);

		/* rounding may carry it past the first that is zero */
		ok(result > (int) nitems[i],
		   "implicit: %u rows, 20 factors, no lambda: a pivot fails",
		   nitems[i]);
		free_problem(problem);
	}
}

/* Without lambda, rows with fewer ratings than factors have no solution. */
static void
test_singular_row(void)
{
	Random		random = {7};
	Shape		shape = {
		ALS_EXPLICIT, ALS_CHOLESKY, 20, {30, 200}, 1, 3, 1, 0, 1, 5
	};
	Problem    *problem = make_problem(&shape, &random);
	double		loss;
	uint32_t	failed;
	int			result;

	result = half_iteration_in_calls(problem, ALS_USERS, 64, &loss, &failed);
	ok(result == ALS_OK, "explicit cholesky: enough ratings, no lambda");
	problem->unbiased = 1;
	result = half_iteration_in_calls(problem, ALS_USERS, 64, &loss, &failed);
	ok(result == ALS_OK, "explicit cholesky: enough ratings, no lambda, no biases");
	problem->unbiased = 0;

	/* leaves row 17 with 11 ratings, and the next with many */
	problem->start[ALS_USERS][18] = problem->start[ALS_USERS][17] + 11;
	result = half_iteration_in_calls(problem, ALS_USERS, 64, &loss, &failed);
	ok(result > 11 && failed == 17,
	   "explicit cholesky: 11 ratings, 20 factors, no lambda: a pivot fails");

	problem->shape.solver = ALS_CG;
	result = half_iteration_in_calls(problem, ALS_USERS, 64, &loss, &failed);
	ok(result == ALS_OK && isfinite(loss),
	   "explicit cg: too few ratings, no lambda: still some solution");
	free_problem(problem);
}

/* Are all factors of a side finite? */
static int
is_finite_side(const Problem *problem, AlsSide side)
{
	size_t		count = problem->shape.nrows[side] *
		(size_t) als_stride(problem->rank);

	for (size_t i = 0; i < count; i++)
		if (!isfinite(problem->factors[side][i]))
			return 0;
	return 1;
}

/* The objective at x = 0, that is without what a half-iteration could do */
static double
objective_without(Problem *problem, AlsSide side)
{
	size_t		size = problem->shape.nrows[side] *
		(size_t) als_stride(problem->rank) * sizeof(float);
	float	   *solved = problem->factors[side];
	double		objective;

	problem->factors[side] = allocate_aligned(size);
	memset(problem->factors[side], 0, size);
	objective = reference_objective(problem);
	free(problem->factors[side]);
	problem->factors[side] = solved;
	return objective;
}

/* Ratings up to what floats hold: a solution, or the word that there is none. */
static void
test_large_ratings(void)
{
	static const float sizes[] = {
		1e3f, 1e6f, 1e9f, 1e12f, 1e15f, 1e18f, 1e21f, 1e27f, 1e33f, 1e38f
	};

	for (int kind = 0; kind < 6; kind++)
		for (size_t i = 0; i < LENGTH(sizes); i++)
		{
			Random		random = {8};
			Shape		shape = {
				kind / 3 ? ALS_EXPLICIT : ALS_IMPLICIT,
				(AlsSolver) (kind % 3),
				16, {100, 300}, 0.3, 20, 40, 0.1f, kind / 3 ? 1 : 0, sizes[i]
			};
			Problem    *problem = make_problem(&shape, &random);
			const char *feedback = kind / 3 ? "explicit" : "implicit";
			double		start = objective_without(problem, ALS_USERS);
			double		loss;
			int			result = half_iteration(problem, ALS_USERS, &loss);

			ok(result != ALS_OK ||
			   (isfinite(loss) && is_finite_side(problem, ALS_USERS)),
			   "%s %s: ratings up to %g: finite, or an error",
			   feedback, solvers[kind % 3], (double) sizes[i]);
			ok(result != ALS_OK ||
			   reference_objective(problem) < start * 0.999,
			   "%s %s: ratings up to %g: nearer, or an error",
			   feedback, solvers[kind % 3], (double) sizes[i]);
			if (sizes[i] < 1e16f)
				ok(result == ALS_OK, "%s %s: ratings up to %g: a solution",
				   feedback, solvers[kind % 3], (double) sizes[i]);
			free_problem(problem);
		}
}

/* What is not a number in the input never becomes a solution. */
static void
test_not_finite(void)
{
	static const float values[] = {NAN, INFINITY, -INFINITY};

	for (int kind = 0; kind < 6; kind++)
		for (size_t i = 0; i < LENGTH(values); i++)
		{
			Random		random = {9};
			Shape		shape = {
				kind / 3 ? ALS_EXPLICIT : ALS_IMPLICIT,
				(AlsSolver) (kind % 3),
				8, {70, 30}, 0.5, 3, 40, 0.1f, kind / 3 ? 1 : 0, 5
			};
			Problem    *problem = make_problem(&shape, &random);
			double		loss;
			uint32_t	failed;
			int			result;

			problem->entries[ALS_USERS][problem->start[ALS_USERS][66]].rating =
				values[i];
			result = half_iteration_in_calls(problem, ALS_USERS, 64, &loss,
											 &failed);
			ok(result == ALS_NOT_FINITE && failed == 66,
			   "%s %s: a rating of %g is not finite",
			   kind / 3 ? "explicit" : "implicit", solvers[kind % 3],
			   (double) values[i]);
			if (result != ALS_NOT_FINITE || failed != 66)
				note("result %d, row %u", result, failed);
			free_problem(problem);
		}
}

/* Rows without ratings, and no rows at all */
static void
test_empty(void)
{
	for (int kind = 0; kind < 6; kind++)
	{
		Random		random = {10};
		Shape		shape = {
			kind / 3 ? ALS_EXPLICIT : ALS_IMPLICIT,
			(AlsSolver) (kind % 3),
			8, {70, 30}, 0, 3, 40, 0.1f, kind / 3 ? 1 : 0, 5
		};
		const char *feedback = kind / 3 ? "explicit" : "implicit";
		Problem    *problem = make_problem(&shape, &random);
		double		loss;
		int			result = half_iteration(problem, ALS_USERS, &loss);

		ok(result == ALS_OK && loss == 0 &&
		   reference_penalty(problem, ALS_USERS) == 0,
		   "%s %s: rows without ratings are zero", feedback,
		   solvers[kind % 3]);
		free_problem(problem);

		shape.nrows[ALS_USERS] = 0;
		problem = make_problem(&shape, &random);
		result = half_iteration(problem, ALS_USERS, &loss);
		ok(result == ALS_OK && loss == 0, "%s %s: no rows at all", feedback,
		   solvers[kind % 3]);
		free_problem(problem);
	}
}

void
test_failures(void)
{
	test_singular_gram();
	test_singular_row();
	test_large_ratings();
	test_not_finite();
	test_empty();
}
