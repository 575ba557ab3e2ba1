/*
 * test_spectral.c
 *	  Starting factors by singular vectors against the matrix that they are of.
 */
#include "problem.h"
#include "tap.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A side's rows turned by a power of its Gram matrix; false if that fails. */
static int
turn(const AlsSystem *system, Problem *problem, AlsSide side, double power,
	 int divide, double *trace)
{
	size_t		rank = (size_t) problem->rank;
	size_t		stride = (size_t) als_stride(problem->rank);
	size_t		nrows = problem->shape.nrows[side];
	size_t		half = nrows / 2;
	float	   *rows = problem->factors[side];
	double	   *partials = allocate(2 * rank * rank * sizeof(double));
	float	   *basis = allocate(stride * stride * sizeof(float));
	void	   *gram = allocate_aligned(als_gram_workspace(problem->rank));
	void	   *workspace = allocate_aligned(als_spectral_workspace(problem->rank));
	int			result;

	als_gram(system->blas, NULL, problem->rank, half, rows, partials, gram);
	als_gram(system->blas, NULL, problem->rank, nrows - half,
			 rows + half * stride, partials + rank * rank, gram);
	result = als_spectral_basis(system, 2, partials, power, trace, basis,
								workspace);
	als_spectral_turn(system, basis, nrows, rows, workspace);
	if (divide)
		als_spectral_divide(system, problem->start[side], nrows, rows);
	free(partials);
	free(basis);
	free(gram);
	free(workspace);
	return result == 0;
}

/* The items' factors as a training starts them, but for their size. */
static int
start_items(Problem *problem, double *trace)
{
	AlsSystem	system = problem_system(problem, ALS_ITEMS);
	int			done = 1;

	als_initial_factors(5, ALS_ITEMS, problem->rank, problem->rank, 0,
						problem->shape.nrows[ALS_ITEMS],
						problem->factors[ALS_ITEMS], NULL);
	for (int product = 0; product < 4; product++)
	{
		AlsSide		side = product % 2 ? ALS_ITEMS : ALS_USERS;
		AlsRows		rows = problem_rows(problem, side);

		done &= turn(&system, problem, 1 - side, -0.5, 1, trace);
		system.fixed = problem->factors[1 - side];
		als_spectral_sum(&system, &rows, problem->factors[side]);
	}
	done &= turn(&system, problem, ALS_ITEMS, -0.25, 0, trace);
	return done;
}

/* B'B, by the definition of B */
static double *
square_of_ratings(const Problem *problem)
{
	size_t		n = problem->shape.nrows[ALS_ITEMS];
	double	   *square = allocate(n * n * sizeof(double));
	const uint64_t *users = problem->start[ALS_USERS];
	const uint64_t *items = problem->start[ALS_ITEMS];

	memset(square, 0, n * n * sizeof(double));
	for (uint32_t u = 0; u < problem->shape.nrows[ALS_USERS]; u++)
		for (uint64_t k = users[u]; k < users[u + 1]; k++)
			for (uint64_t l = users[u]; l < users[u + 1]; l++)
			{
				AlsEntry	a = problem->entries[ALS_USERS][k];
				AlsEntry	b = problem->entries[ALS_USERS][l];

				if (a.rating > 0 && b.rating > 0)
					square[a.column * n + b.column] += 1 /
						((double) (users[u + 1] - users[u]) *
						 sqrt((double) (items[a.column + 1] - items[a.column]) *
							  (double) (items[b.column + 1] - items[b.column])));
			}
	return square;
}

/*
 * If no more singular values than factors are above 0, Y Y' = V S V', whose
 * square is B'B.
 */
static void
test_square(const Shape *shape, uint32_t groups)
{
	Random		random = {21};
	Problem    *problem = make_problem(shape, &random);
	size_t		n = shape->nrows[ALS_ITEMS];
	size_t		stride = (size_t) als_stride(problem->rank);
	const float *factors = problem->factors[ALS_ITEMS];
	double	   *product = allocate(n * n * sizeof(double));
	double	   *square;
	double		trace;
	double		sum = 0;
	double		difference = 0;
	double		size = 0;
	int			done;

	/* p = 1 within a group alone: each is one singular value */
	for (AlsSide side = ALS_USERS; side <= ALS_ITEMS && groups > 0; side++)
		for (uint32_t r = 0; r < shape->nrows[side]; r++)
			for (uint64_t k = problem->start[side][r]; k < problem->start[side][r + 1]; k++)
			{
				AlsEntry   *entry = &problem->entries[side][k];

				entry->rating = entry->column % groups == r % groups ? 1 : -1;
			}
	square = square_of_ratings(problem);
	done = start_items(problem, &trace);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
		{
			product[i * n + j] = 0;
			for (size_t c = 0; c < stride; c++)
				product[i * n + j] += (double) factors[i * stride + c] *
					(double) factors[j * stride + c];
		}
	for (size_t i = 0; i < n; i++)
		sum += product[i * n + i];
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
		{
			double		squared = 0;

			for (size_t c = 0; c < n; c++)
				squared += product[i * n + c] * product[j * n + c];
			difference += pow(squared - square[i * n + j], 2);
			size += pow(square[i * n + j], 2);
		}
	ok(done && sqrt(difference / size) < 1e-4 && fabs(sum - trace) < 1e-4 * trace,
	   "%u users, %u items, %u groups, %d factors: the items' Gram matrix is the root of B'B",
	   shape->nrows[ALS_USERS], shape->nrows[ALS_ITEMS], groups, problem->rank);
	if (!(sqrt(difference / size) < 1e-4))
		note("relative difference %g, trace %g of %g", sqrt(difference / size), sum, trace);
	free(square);
	free(product);
	free_problem(problem);
}

/* What previous holds does not matter before rows move. */
static void
test_move_on(void)
{
	float		rows[3] = {1, -2, 0.5f};
	float		previous[3] = {NAN, INFINITY, 7};

	als_move_on(0, 3, rows, previous);
	ok(rows[0] == 1 && rows[1] == -2 && rows[2] == 0.5f &&
	   memcmp(rows, previous, sizeof(rows)) == 0,
	   "rows that stay are what they were before");
	rows[0] = 3;
	rows[1] = -3;
	als_move_on(0.5f, 3, rows, previous);
	ok(rows[0] == 4 && rows[1] == -3.5f && rows[2] == 0.5f &&
	   previous[0] == 3 && previous[1] == -3 && previous[2] == 0.5f,
	   "rows move on by a share of their last change");
}

void
test_spectral(void)
{
	Shape		shape = {ALS_IMPLICIT, ALS_CG, 32, {300, 20}, 0.3, 3, 40, 0.1f, 0, 5};

	test_square(&shape, 0);
	shape.density = 1;
	test_square(&shape, 0);
	test_square(&shape, 1);
	test_square(&shape, 5);
	/* more items than factors; rows longer than what is summed between polls */
	shape.nrows[ALS_ITEMS] = 100;
	test_square(&shape, 7);
	shape.factors = 3;
	shape.nrows[ALS_USERS] = 9000;
	shape.nrows[ALS_ITEMS] = 9;
	test_square(&shape, 3);
	/* next to nothing */
	shape.nrows[ALS_USERS] = 1;
	shape.nrows[ALS_ITEMS] = 1;
	test_square(&shape, 1);
	test_move_on();
}
