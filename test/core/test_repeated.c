/*
 * test_repeated.c
 *	  What a weight of an explicit rating means: that it is there so many times.
 */
#include "reference.h"
#include "tap.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const solvers[] = {"cg", "cholesky", "nonnegative"};

/* Weights that are whole numbers up to most */
static void
weigh_by_counts(Problem *problem, int most, Random *random)
{
	uint64_t	count = problem->start[ALS_USERS][problem->shape.nrows[ALS_USERS]];

	weigh_problem(problem, 0, random);
	for (uint64_t k = 0; k < count; k++)
		problem->weights[ALS_USERS][k] = (float) random_between(random, 1, most);
}

/* Each rating of the users as often as its weight says, and no weights */
static void
repeat_ratings(Problem *problem)
{
	uint32_t	nusers = problem->shape.nrows[ALS_USERS];
	uint64_t   *start = problem->start[ALS_USERS];
	float	   *weights = problem->weights[ALS_USERS];
	uint64_t	most = 0;
	uint64_t	from = 0;
	uint64_t	to = 0;
	AlsEntry   *repeated;

	for (uint64_t k = 0; k < start[nusers]; k++)
		most += (uint64_t) weights[k];
	repeated = allocate(most * sizeof(AlsEntry));
	for (uint32_t u = 0; u < nusers; u++)
	{
		for (; from < start[u + 1]; from++)
			for (int i = 0; i < (int) weights[from]; i++)
				repeated[to++] = problem->entries[ALS_USERS][from];
		start[u + 1] = to;
	}
	free(problem->entries[ALS_USERS]);
	problem->entries[ALS_USERS] = repeated;
	free(weights);
	problem->weights[ALS_USERS] = NULL;
}

/* Half an iteration of two problems, and the objective of each */
static void
solve_both(Problem *const *problems, double *objectives)
{
	for (int i = 0; i < 2; i++)
	{
		AlsRows		rows = problem_rows(problems[i], ALS_USERS);
		AlsSystem	system = problem_system(problems[i], ALS_USERS);
		double		loss;
		int			result = half_iteration(problems[i], ALS_USERS, &loss);

		objectives[i] = result == ALS_OK ? loss +
			als_penalty(&system, &rows, problems[i]->factors[ALS_USERS]) : NAN;
	}
}

/* The largest difference of the users' factors */
static double
difference(Problem *const *problems)
{
	size_t		n = problems[0]->shape.nrows[ALS_USERS] *
		(size_t) als_stride(problems[0]->rank);
	double		worst = 0;

	for (size_t i = 0; i < n; i++)
	{
		double		error = fabs((double) problems[0]->factors[ALS_USERS][i] -
								 (double) problems[1]->factors[ALS_USERS][i]);

		/* fmax would drop NaN */
		if (!(error <= worst))
			worst = error;
	}
	return worst;
}

void
test_repeated(void)
{
	for (int most = 1; most <= 4; most += 3)
		for (int kind = 0; kind < 6; kind++)
		{
			Shape		shape = {
				ALS_EXPLICIT, (AlsSolver) (kind % 3), 12, {60, 900}, 0.3, 100,
				0, 0.1f, kind / 3, 5
			};
			Problem    *problems[2];
			double		objectives[2];
			double		error;

			for (int i = 0; i < 2; i++)
			{
				Random		random = {16};

				problems[i] = make_problem(&shape, &random);
				weigh_by_counts(problems[i], most, &random);
			}
			repeat_ratings(problems[1]);
			solve_both(problems, objectives);
			error = difference(problems);
			if (most == 1)
				ok(error == 0 && objectives[0] == objectives[1],
				   "%s: weights of 1 are none, to the bit, nu %g",
				   solvers[shape.solver], shape.scaling);
			else
				ok(error < 1e-5 && fabs(objectives[0] - objectives[1]) <=
				   1e-6 * objectives[1],
				   "%s: a weight is how often a rating is there, nu %g",
				   solvers[shape.solver], shape.scaling);
			if (!(error < 1e-5))
				note("factors differ by %g, objectives %.9g and %.9g", error,
					 objectives[0], objectives[1]);
			for (int i = 0; i < 2; i++)
				free_problem(problems[i]);
		}
}
