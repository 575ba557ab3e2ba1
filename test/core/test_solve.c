/*
 * test_solve.c
 *	  Half-iterations against closed forms and the objective itself.
 */
#include "reference.h"
#include "tap.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows beyond this are not compared at large ranks: elimination takes long. */
static uint32_t
rows_to_compare(const Problem *problem, AlsSide side)
{
	uint32_t	nrows = problem->shape.nrows[side];

	return problem->rank > 512 ? 2 : nrows < 40 ? nrows : 40;
}

/* Largest |x - exact| / |exact| of a side that has been solved */
static double
solution_error(const Problem *problem, AlsSide side)
{
	Equations  *equations = make_equations(problem, side);
	size_t		stride = (size_t) als_stride(problem->rank);
	double	   *exact = allocate(equations->rank * sizeof(double));
	double		worst = 0;

	for (uint32_t r = 0; r < rows_to_compare(problem, side); r++)
	{
		const float *x = problem->factors[side] + r * stride;
		double		difference = 0;
		double		norm = 0;

		/* no rating: the prior by definition, and A may be 0 */
		if (problem->start[side][r] == problem->start[side][r + 1])
			for (size_t i = 0; i < equations->rank; i++)
				exact[i] = prior_of(problem, side, r, i);
		else
		{
			equations_of_row(equations, r);
			equations_solve(equations, exact);
		}
		for (size_t i = 0; i < stride; i++)
		{
			double		expected = i < equations->rank ? exact[i] : 0;

			difference += pow((double) x[i] - expected, 2);
			norm += expected * expected;
		}
		difference = norm > 0 ? sqrt(difference / norm) : sqrt(difference);
		/* fmax would drop NaN */
		if (!(difference <= worst))
			worst = difference;
	}
	free(exact);
	free_equations(equations);
	return worst;
}

static const char *
describe(const Shape *shape)
{
	static const char *const names[2][3] = {
		{"implicit cg", "implicit cholesky", "implicit nonnegative"},
		{"explicit cg", "explicit cholesky", "explicit nonnegative"}
	};

	return names[shape->feedback][shape->solver];
}

/* What rows may have besides, as bits of a mask */
enum
{
	PRIORS = 1,
	WEIGHTS = 2,
	EXTRAS = 4					/* how many masks there are */
};

/* Can rows have it? */
static int
can_have(const Shape *shape, int extras)
{
	return !((extras & PRIORS) && shape->solver == ALS_NONNEGATIVE) &&
		!((extras & WEIGHTS) && shape->feedback == ALS_IMPLICIT);
}

static void
add_extras(Problem *problem, int extras, Random *random)
{
	if (extras & PRIORS)
		draw_priors(problem, random);
	if (extras & WEIGHTS)
		weigh_problem(problem, 1, random);
}

static const char *
describe_extras(int extras)
{
	static const char *const names[] = {
		"", " with priors", " with weights", " with priors and weights"
	};

	return names[extras];
}

/*
 * One half-iteration per side gives the closed form; nonnegative factors, which have
 * none, are those of test_nonnegative.
 */
static void
test_closed_form(const Shape *shape, int extras, Random *random)
{
	for (AlsSide side = ALS_USERS; side <= ALS_ITEMS; side++)
	{
		Problem    *problem = make_problem(shape, random);
		uint32_t	nrows = shape->nrows[side];
		double		loss;
		double		error;
		int			result;

		add_extras(problem, extras, random);
		result = half_iteration(problem, side, &loss);
		error = solution_error(problem, side);
		ok(result == ALS_OK && error < 1e-4,
		   "%s%s: %s are the closed form, rank %d, %u rows against %u, nu %g",
		   describe(shape), describe_extras(extras),
		   side == ALS_USERS ? "users" : "items",
		   problem->rank, nrows, shape->nrows[1 - side], shape->scaling);
		if (!(error < 1e-4))
			note("result %d, relative error %g", result, error);
		free_problem(problem);
	}
}

/* With all that rows can have besides; at large ranks, which take long, no weights */
static void
test_closed_forms(const Shape *shape, Random *random, Random *extra)
{
	for (int extras = 0; extras < EXTRAS; extras++)
		if (can_have(shape, extras) &&
			!((extras & WEIGHTS) && shape->factors > 512))
			test_closed_form(shape, extras, extras == 0 ? random : extra);
}

/* The same bits whichever calls rows are solved in, and the core calls back. */
static void
test_split(const Shape *shape, int extras)
{
	Random		random = {11};
	Random		again = {11};
	Problem    *whole = make_problem(shape, &random);
	Problem    *split = make_problem(shape, &again);
	size_t		size = shape->nrows[ALS_USERS] *
		(size_t) als_stride(whole->rank) * sizeof(float);
	double		loss;
	double		split_loss;
	uint32_t	failed;

	add_extras(whole, extras, &random);
	add_extras(split, extras, &again);
	half_iteration(whole, ALS_USERS, &loss);
	half_iteration_in_calls(split, ALS_USERS, 64, &split_loss, &failed);
	ok(memcmp(whole->factors[ALS_USERS], split->factors[ALS_USERS],
			  size) == 0 && loss == split_loss,
	   "%s%s: the same bits in calls of 64 rows, nu %g", describe(shape),
	   describe_extras(extras), shape->scaling);
	ok(whole->polls > 0, "%s: polls, nu %g", describe(shape), shape->scaling);
	free_problem(whole);
	free_problem(split);
}

/*
 * The same bits where the first of the rows' entries is the five billionth, and
 * with regularization by ratings, which looks at them.
 */
static void
test_large_starts(const Shape *shape, int by_ratings)
{
	Random		random = {12};
	Random		again = {12};
	Problem    *small = make_problem(shape, &random);
	Problem    *large = make_problem(shape, &again);
	uint32_t	nrows = shape->nrows[ALS_USERS];
	size_t		size = nrows * (size_t) als_stride(small->rank) * sizeof(float);
	Problem    *problems[2] = {small, large};
	double		loss[2];
	double		penalty[2];

	for (uint32_t r = 0; r <= nrows; r++)
		large->start[ALS_USERS][r] += UINT64_C(5000000000);
	for (int i = 0; i < 2; i++)
	{
		AlsRows		rows = problem_rows(problems[i], ALS_USERS);
		AlsSystem	system;

		problems[i]->by_ratings = by_ratings;
		half_iteration(problems[i], ALS_USERS, &loss[i]);
		system = problem_system(problems[i], ALS_USERS);
		penalty[i] = als_penalty(&system, &rows, problems[i]->factors[ALS_USERS]);
	}
	ok(memcmp(small->factors[ALS_USERS], large->factors[ALS_USERS], size) == 0 &&
	   loss[0] == loss[1] && penalty[0] == penalty[1],
	   "%s: the same bits behind five billion ratings, nu %g%s",
	   describe(shape), shape->scaling, by_ratings ? ", by ratings" : "");
	free_problem(small);
	free_problem(large);
}

void
test_solve(void)
{
	static const Size sizes[] = {
		{1, {50, 40}, 0.3},
		{3, {70, 200}, 0.1},
		{16, {150, 90}, 0.1},
		{64, {80, 300}, 0.1},
		{100, {70, 150}, 0.2},
		{128, {65, 200}, 0.2},
		/* rows longer than what is gathered at a time: 4096, or 1 MB */
		{7, {3, 9000}, 0.9},
		{64, {2, 4200}, 1},
		{1023, {3, 270}, 1},
	};
	Random		random = {4};
	Random		extra = {40};

	for (size_t i = 0; i < LENGTH(sizes); i++)
		for (int kind = 0; kind < 4; kind++)
		{
			Shape		shape = {
				kind % 2 ? ALS_EXPLICIT : ALS_IMPLICIT,
				kind / 2 ? ALS_CHOLESKY : ALS_CG,
				sizes[i].factors,
				{sizes[i].nrows[0], sizes[i].nrows[1]},
				sizes[i].density, 300, 2, 0.5f, 0, 5
			};

			/* nothing is left to scale it: lambda n is */
			if (shape.feedback == ALS_EXPLICIT)
			{
				shape.regularization = 0.05f;
				shape.scaling = 1;
			}
			/* the largest rank there is, the bias included or not */
			if (shape.feedback == ALS_IMPLICIT && shape.factors == 1023)
				shape.factors = 1024;
			test_closed_forms(&shape, &random, &extra);

			/* rows that differ in regularization, and explicit ones not */
			shape.regularization = 0.2f;
			shape.scaling = 0.5;
			test_closed_forms(&shape, &random, &extra);
			shape.regularization = shape.feedback == ALS_EXPLICIT ? 2 : 0.1f;
			shape.scaling = shape.feedback == ALS_EXPLICIT ? 0 : 1;
			test_closed_forms(&shape, &random, &extra);
		}
	for (int kind = 0; kind < 12; kind++)
	{
		Shape		shape = {
			kind % 2 ? ALS_EXPLICIT : ALS_IMPLICIT,
			(AlsSolver) (kind / 2 % 3),
			20, {200, 100}, 0.1, 3, 40, 0.1f, kind / 6 ? 0.5 : kind % 2, 5
		};

		for (int extras = 0; extras < EXTRAS; extras++)
			if (can_have(&shape, extras))
				test_split(&shape, extras);
		for (int by_ratings = 0; by_ratings <= (shape.scaling != 0); by_ratings++)
			test_large_starts(&shape, by_ratings);
	}
}

/* The penalty of two blocks of rows, of which the second does not start at 0 */
static double
penalty_in_blocks(const AlsSystem *system, const AlsRows *rows,
				  const float *solved)
{
	uint32_t	half = rows->nrows / 2;
	size_t		before = half * (size_t) als_stride(system->rank);
	AlsRows		first = {half, rows->start, rows->entries, rows->prior, rows->weights};
	AlsRows		second = {
		rows->nrows - half, rows->start + half,
		rows->entries + rows->start[half],
		rows->prior == NULL ? NULL : rows->prior + before,
		rows->weights == NULL ? NULL : rows->weights + rows->start[half]
	};

	return als_penalty(system, &first, solved) +
		als_penalty(system, &second, solved + before);
}

/* The loss is the objective after every half-iteration, and falls. */
static void
test_loss_of(const Shape *shape, int by_ratings, int extras, Random *random)
{
	Problem    *problem = make_problem(shape, random);
	double		before = INFINITY;
	double		worst = 0;
	double		penalty_error = 0;
	int			falls = 1;
	int			result = ALS_OK;

	problem->by_ratings = by_ratings;
	add_extras(problem, extras, random);
	for (int half = 0; half < 10 && result == ALS_OK; half++)
	{
		AlsSide		side = half % 2 ? ALS_ITEMS : ALS_USERS;
		AlsRows		rows = problem_rows(problem, side);
		AlsSystem	system = problem_system(problem, side);
		double		loss;
		double		objective;
		double		penalty;

		result = half_iteration(problem, side, &loss);
		objective = reference_objective(problem);
		loss += reference_penalty(problem, 1 - side);
		worst = fmax(worst, fabs(loss - objective) / objective);

		penalty = penalty_in_blocks(&system, &rows, problem->factors[side]);
		penalty_error = fmax(penalty_error,
							 fabs((double) shape->regularization * penalty -
								  reference_penalty(problem, side)));

		/* rounding may lift it a little at the bottom */
		falls &= loss <= before * (1 + 1e-6);
		before = loss;
	}
	ok(result == ALS_OK && worst < 1e-5,
	   "%s%s: the loss is the objective, rank %d, lambda %g, nu %g",
	   describe(shape), describe_extras(extras), problem->rank,
	   (double) shape->regularization, shape->scaling);
	if (!(worst < 1e-5))
		note("result %d, relative error %g", result, worst);
	ok(falls, "%s: the loss falls, rank %d, lambda %g, nu %g",
	   describe(shape), problem->rank, (double) shape->regularization,
	   shape->scaling);
	ok(penalty_error <= 1e-9 * before, "%s: penalty, rank %d, lambda %g, nu %g",
	   describe(shape), problem->rank, (double) shape->regularization,
	   shape->scaling);
	free_problem(problem);
}

/* With all that rows can have besides */
static void
test_losses_of(const Shape *shape, Random *random, Random *extra)
{
	for (int extras = 0; extras < EXTRAS; extras++)
		if (can_have(shape, extras))
			test_loss_of(shape, 0, extras, extras == 0 ? random : extra);
}

void
test_loss(void)
{
	static const float lambdas[] = {0.01f, 1, 100, 0.1f, 0.01f};
	static const double scalings[] = {0, 0, 0, 0.5, 1};
	Random		random = {5};
	Random		extra = {50};

	for (int kind = 0; kind < 6; kind++)
	{
		Shape		shape = {
			kind % 2 ? ALS_EXPLICIT : ALS_IMPLICIT,
			(AlsSolver) (kind / 2),
			32, {150, 120}, 0.15, 3, 40, 0, 0, 5
		};

		for (size_t i = 0; i < LENGTH(lambdas); i++)
		{
			shape.regularization = lambdas[i];
			shape.scaling = scalings[i];
			test_losses_of(&shape, &random, &extra);
		}
		test_loss_of(&shape, 1, 0, &random);
		/* in several chunks */
		shape.nrows[ALS_USERS] = 100;
		shape.nrows[ALS_ITEMS] = 4200;
		shape.density = 1;
		shape.regularization = 0.1f;
		test_losses_of(&shape, &random, &extra);
	}
}
