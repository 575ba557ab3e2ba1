/*
 * test_weights.c
 *	  Weights of any size, against a solution in quadruple precision that does
 *	  not go by way of normal equations.
 */
#include "reference.h"
#include "tap.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SIZEOF_FLOAT128__
typedef __float128 Wide;
#else
typedef long double Wide;
#endif

static const char *const solvers[] = {"cg", "cholesky", "nonnegative"};

static Wide
size_of(Wide x)
{
	return x < 0 ? -x : x;
}

/* x = a^-1 x by Gaussian elimination, by rows, which overwrites a. */
static void
eliminate(size_t n, Wide *a, Wide *x)
{
	for (size_t k = 0; k < n; k++)
	{
		size_t		pivot = k;

		for (size_t i = k + 1; i < n; i++)
			if (size_of(a[i * n + k]) > size_of(a[pivot * n + k]))
				pivot = i;
		for (size_t j = 0; j < n && pivot != k; j++)
		{
			Wide		other = a[k * n + j];

			a[k * n + j] = a[pivot * n + j];
			a[pivot * n + j] = other;
		}
		if (pivot != k)
		{
			Wide		other = x[k];

			x[k] = x[pivot];
			x[pivot] = other;
		}
		for (size_t i = k + 1; i < n; i++)
		{
			Wide		factor = a[i * n + k] / a[k * n + k];

			if (factor == 0)
				continue;
			for (size_t j = k; j < n; j++)
				a[i * n + j] -= factor * a[k * n + j];
			x[i] -= factor * x[k];
		}
	}
	for (size_t k = n; k-- > 0;)
	{
		for (size_t j = k + 1; j < n; j++)
			x[k] -= a[k * n + j] * x[j];
		x[k] /= a[k * n + k];
	}
}

/*
 * w and p, or the error to explain, of a rating, the k-th of a side, against row f of a
 * problem
 */
static void
weigh(const Problem *problem, AlsSide side, uint64_t k, const float *f,
	  Wide *weight, Wide *target)
{
	const AlsEntry *entry = &problem->entries[side][k];

	if (problem->shape.feedback == ALS_IMPLICIT)
	{
		*weight = (Wide) problem->shape.alpha * size_of((Wide) entry->rating);
		*target = entry->rating > 0;
		return;
	}
	*weight = (Wide) reference_weight(problem, side, k);
	*target = (Wide) entry->rating - (Wide) problem->mean -
		(Wide) f[problem->rank - 1];
}

/* Element c of a row of the other side, as the equations have it */
static Wide
factor_of(const Problem *problem, const float *f, size_t c)
{
	if (problem->shape.feedback == ALS_EXPLICIT &&
		c == (size_t) problem->rank - 1)
		return 1;
	return (Wide) f[c];
}

/* Is a factor at 0 that may not be below? */
static int
is_held(const Shape *shape, const float *x, size_t c)
{
	return shape->solver == ALS_NONNEGATIVE && c < (size_t) shape->factors &&
		x[c] == 0;
}

/*
 * With e = w (p - f.x), every rating says e / w + f.x = p, and the minimum
 * B x - sum e f = sum f over p = 1, and lambda s times the prior: large weights
 * do no harm here.
 *
 * Nonnegative: with at 0 what is 0 in found.  Returns what the objective would
 * lose, at the most, if one of these were let go.
 */
static Wide
solve_row(const Problem *problem, AlsSide side, uint32_t row,
		  const float *found, Wide *x)
{
	const Shape *shape = &problem->shape;
	size_t		rank = (size_t) problem->rank;
	size_t		stride = (size_t) als_stride(problem->rank);
	const float *fixed = problem->factors[1 - side];
	const uint64_t *start = problem->start[side];
	size_t		count = (size_t) (start[row + 1] - start[row]);
	size_t		n = count + rank;
	Wide	   *a = allocate(n * n * sizeof(Wide));
	Wide	   *b = allocate(n * sizeof(Wide));
	Wide	   *held = allocate(rank * n * sizeof(Wide));
	Wide	   *held_right = allocate(rank * sizeof(Wide));
	Wide	   *curvature = allocate(rank * sizeof(Wide));
	Wide		gain = 0;

	memset(a, 0, n * n * sizeof(Wide));
	memset(b, 0, n * sizeof(Wide));
	memset(curvature, 0, rank * sizeof(Wide));
	for (size_t k = 0; k < count; k++)
	{
		const AlsEntry *entry = &problem->entries[side][start[row] + k];
		const float *f = fixed + entry->column * stride;
		Wide		weight;

		weigh(problem, side, start[row] + k, f, &weight, &b[k]);
		a[k * n + k] = weight > 0 ? 1 / weight : 1;
		for (size_t c = 0; c < rank; c++)
		{
			if (weight > 0)
				a[k * n + count + c] = factor_of(problem, f, c);
			a[(count + c) * n + k] = -factor_of(problem, f, c);
			curvature[c] += weight * factor_of(problem, f, c) *
				factor_of(problem, f, c);
			if (shape->feedback == ALS_IMPLICIT && entry->rating > 0)
				b[count + c] += factor_of(problem, f, c);
		}
		if (!(weight > 0))
			b[k] = 0;
	}
	for (size_t c = 0; c < rank; c++)
	{
		Wide		shift = (Wide) shape->regularization *
			(Wide) reference_scale(problem, side, row);

		a[(count + c) * n + count + c] += shift;
		b[count + c] += shift * (Wide) prior_of(problem, side, row, c);
		for (size_t d = 0; d < rank && shape->feedback == ALS_IMPLICIT; d++)
			for (uint32_t r = 0; r < shape->nrows[1 - side]; r++)
				a[(count + c) * n + count + d] +=
					(Wide) fixed[r * stride + c] * (Wide) fixed[r * stride + d];
	}
	for (size_t c = 0; c < rank; c++)
	{
		Wide	   *equation = a + (count + c) * n;

		memcpy(held + c * n, equation, n * sizeof(Wide));
		held_right[c] = b[count + c];
		curvature[c] += equation[count + c];
		if (!is_held(shape, found, c))
			continue;
		memset(equation, 0, n * sizeof(Wide));
		equation[count + c] = 1;
		b[count + c] = 0;
	}
	eliminate(n, a, b);
	for (size_t c = 0; c < rank; c++)
	{
		Wide		gradient = -held_right[c];

		for (size_t i = 0; i < n; i++)
			gradient += held[c * n + i] * b[i];
		if (is_held(shape, found, c) && gradient < 0 &&
			gradient * gradient > gain * curvature[c])
			gain = gradient * gradient / curvature[c];
	}
	memcpy(x, b + count, rank * sizeof(Wide));
	free(a);
	free(b);
	free(held);
	free(held_right);
	free(curvature);
	return gain;
}

/*
 * A row's part of the objective at x, by a loop over all pairs; *rounding is what
 * x in single precision may add to it.
 */
static Wide
row_objective(const Problem *problem, AlsSide side, uint32_t row,
			  const Wide *x, Wide *rounding)
{
	const Shape *shape = &problem->shape;
	size_t		rank = (size_t) problem->rank;
	size_t		stride = (size_t) als_stride(problem->rank);
	uint64_t	next = problem->start[side][row];
	Wide		scale = (Wide) shape->regularization *
		(Wide) reference_scale(problem, side, row);
	Wide		sum = 0;

	*rounding = 0;
	for (size_t c = 0; c < rank; c++)
	{
		Wide		distance = x[c] - (Wide) prior_of(problem, side, row, c);

		sum += scale * distance * distance;
		*rounding += scale * x[c] * x[c] / (Wide) (UINT64_C(1) << 36);
	}
	for (uint32_t i = 0; i < shape->nrows[1 - side]; i++)
	{
		const AlsEntry *entry = &problem->entries[side][next];
		const float *f = problem->factors[1 - side] + i * stride;
		int			rated = next < problem->start[side][row + 1] &&
			entry->column == i;
		Wide		dot = 0;
		Wide		size = 0;
		Wide		weight = 0;
		Wide		target = 0;

		next += (uint64_t) rated;
		if (!rated && shape->feedback == ALS_EXPLICIT)
			continue;
		for (size_t c = 0; c < rank; c++)
		{
			dot += x[c] * factor_of(problem, f, c);
			size += size_of(x[c] * factor_of(problem, f, c));
		}
		if (rated)
			weigh(problem, side, next - 1, f, &weight, &target);
		if (shape->feedback == ALS_IMPLICIT)
			weight += 1;
		sum += weight * (target - dot) * (target - dot);
		*rounding += weight * size * size / (Wide) (UINT64_C(1) << 36);
	}
	return sum;
}

/* A side's part of the objective at its factors */
static Wide
objective_of(const Problem *problem, AlsSide side)
{
	size_t		rank = (size_t) problem->rank;
	size_t		stride = (size_t) als_stride(problem->rank);
	Wide	   *x = allocate(rank * sizeof(Wide));
	Wide		sum = 0;
	Wide		rounding;

	for (uint32_t r = 0; r < problem->shape.nrows[side]; r++)
	{
		for (size_t c = 0; c < rank; c++)
			x[c] = (Wide) problem->factors[side][r * stride + c];
		sum += row_objective(problem, side, r, x, &rounding);
	}
	free(x);
	return sum;
}

/*
 * By how much the objective of a row is above the minimum, beyond what rounding
 * to single precision may add, against the minimum: the worst of a side
 */
static double
excess(const Problem *problem, AlsSide side)
{
	size_t		rank = (size_t) problem->rank;
	size_t		stride = (size_t) als_stride(problem->rank);
	Wide	   *exact = allocate(rank * sizeof(Wide));
	Wide	   *x = allocate(rank * sizeof(Wide));
	double		worst = 0;

	for (uint32_t r = 0; r < problem->shape.nrows[side]; r++)
	{
		Wide		rounding;
		Wide		minimum;
		Wide		at;
		Wide		gain;

		if (problem->start[side][r] == problem->start[side][r + 1])
			continue;
		gain = solve_row(problem, side, r,
						 problem->factors[side] + r * stride, exact);
		for (size_t c = 0; c < rank; c++)
			x[c] = (Wide) problem->factors[side][r * stride + c];
		minimum = row_objective(problem, side, r, exact, &rounding);
		at = row_objective(problem, side, r, x, &rounding) + gain - rounding;
		if (at > minimum)
			worst = fmax(worst, (double) ((at - minimum) / minimum));
	}
	free(exact);
	free(x);
	return worst;
}

/* How weights and factors are made difficult */
typedef enum Kind
{
	PLAIN,
	DUPLICATES,					/* the other side repeats a few rows */
	SINGLE,						/* one rating a row */
	KINDS
} Kind;

/* Ratings, or their weights, of about a size, or from 10^-30 to 10^30 if that is 0 */
static void
resize(Problem *problem, double size, Kind kind, Random *random)
{
	const Shape *shape = &problem->shape;
	size_t		stride = (size_t) als_stride(problem->rank);
	uint64_t	count = problem->start[ALS_USERS][shape->nrows[ALS_USERS]];
	float	   *items = problem->factors[ALS_ITEMS];

	for (uint64_t k = 0; k < count; k++)
	{
		float	   *resized = problem->weights[ALS_USERS] != NULL ?
			&problem->weights[ALS_USERS][k] :
			&problem->entries[ALS_USERS][k].rating;

		*resized *= (float) (size > 0 ? size :
							 pow(10, 60 * random_uniform(random) - 30));
	}
	for (uint32_t i = 6; kind == DUPLICATES && i < shape->nrows[ALS_ITEMS]; i++)
		memcpy(items + i * stride, items + i % 6 * stride,
			   stride * sizeof(float));
	for (uint32_t u = 0; kind == SINGLE && u < shape->nrows[ALS_USERS]; u++)
	{
		problem->entries[ALS_USERS][u] =
			problem->entries[ALS_USERS][problem->start[ALS_USERS][u]];
		if (problem->weights[ALS_USERS] != NULL)
			problem->weights[ALS_USERS][u] =
				problem->weights[ALS_USERS][problem->start[ALS_USERS][u]];
		problem->start[ALS_USERS][u] = u;
	}
	if (kind == SINGLE)
		problem->start[ALS_USERS][shape->nrows[ALS_USERS]] =
			shape->nrows[ALS_USERS];
}

/* What a series of problems has come to */
typedef struct Worst
{
	int			failed;
	int			unsolved;
	double		loss;
	double		above;
} Worst;

/*
 * Is it beyond double precision?  Where rows repeat that disagree, from weights
 * of 10^12 times lambda on; else from 10^25.
 */
static int
is_beyond(const Shape *shape, double size, Kind kind)
{
	double		weight = (size > 0 ? size : 1e30) /
		(double) shape->regularization;

	return weight > (kind == DUPLICATES ? 1e12 : 1e25);
}

/*
 * Is the solution to be the minimum?  Conjugate gradient leaves that to double
 * precision where weights are too large for its steps, beside the regularization: they
 * may scale that of explicit ratings.
 */
static int
is_exact(const Shape *shape, int weighted, double size, Kind kind)
{
	if (shape->solver != ALS_CG)
		return 1;
	return (shape->feedback == ALS_IMPLICIT || (weighted && shape->scaling == 0)) &&
		size >= 1e8 && !is_beyond(shape, size, kind);
}

/* One half-iteration: whether it is solved, its loss and its solution */
static void
test_problem(const Shape *shape, int weighted, double size, Kind kind, int drawn,
			 const char *kernels, Random *random, Worst *worst)
{
	Problem    *problem = make_problem(shape, random);
	double		most = weighted ? 4 * size : size;
	double		loss;
	double		error;
	double		above;
	Wide		before;
	Wide		after;
	int			result;

	problem->kernels = als_kernels(kernels);
	if (weighted)
		weigh_problem(problem, 0.5, random);
	resize(problem, size, kind, random);
	if (drawn)
		draw_priors(problem, random);
	before = objective_of(problem, ALS_USERS);
	result = half_iteration(problem, ALS_USERS, &loss);

	/* an error, where double precision does not do, and never without need */
	if (result > 0 && is_beyond(shape, most, kind))
	{
		worst->unsolved++;
		free_problem(problem);
		return;
	}
	after = objective_of(problem, ALS_USERS);
	error = after > 0 ? fabs((double) (((Wide) loss - after) / after)) :
		fabs(loss);
	above = is_exact(shape, weighted, most, kind) ? excess(problem, ALS_USERS) : 0;
	if (result != ALS_OK || !(loss >= 0) || !(error < 1e-5) ||
		!(above < 1e-5) ||
		(shape->solver == ALS_CG && !is_beyond(shape, most, kind) &&
		 !(after <= before * (Wide) 1.00001)))
	{
		worst->failed++;
		note("%s %s%s, ratings of %g, kind %d, lambda %g, nu %g, %s: result %d, loss %g, wrong by %g, above the minimum by %g, before %g",
			 weighted ? "weighted" : shape->feedback == ALS_EXPLICIT ?
			 "explicit" : "implicit", solvers[shape->solver],
			 drawn ? " with priors" : "", size, kind,
			 (double) shape->regularization, shape->scaling, kernels, result,
			 loss, error, above, (double) before);
	}
	worst->loss = fmax(worst->loss, error);
	worst->above = fmax(worst->above, above);
	free_problem(problem);
}

void
test_weights(void)
{
	static const double sizes[] = {
		1e-30, 1e-15, 1e-6, 1, 1e4, 1e6, 1e8, 1e10, 1e12, 1e15, 1e18, 1e24,
		1e30, 0
	};
	static const float lambdas[] = {1, 0.01f, 1e-6f};

	for (size_t k = 0; k < LENGTH(kernel_names); k++)
		for (int solver = 0; solver < 9; solver++)
		{
			Random		random = {2015};
			Worst		worst = {0};
			AlsFeedback feedback = solver / 3 ? ALS_EXPLICIT : ALS_IMPLICIT;
			static const char *const names[] = {"implicit", "explicit", "weighted"};
			const char *name = names[solver / 3];
			int			weighted = solver / 3 == 2;
			int			drawable = solver % 3 != ALS_NONNEGATIVE;

			if (als_kernels(kernel_names[k]) == NULL)
			{
				skip("this machine lacks them", "%s %s: weights of any size, %s",
					 name, solvers[solver % 3], kernel_names[k]);
				continue;
			}
			for (size_t i = 0; i < LENGTH(sizes); i++)
				for (size_t l = 0; l < LENGTH(lambdas); l++)
					for (Kind kind = 0; kind < KINDS; kind++)
					{
						Shape		shape = {
							feedback, (AlsSolver) (solver % 3), 12, {12, 24},
							0.4, 3, 1, lambdas[l], (double) (l % 2), 5
						};

						/*
						 * of explicit ratings, factors would have to be as
						 * large
						 */
						if (feedback == ALS_EXPLICIT && !weighted &&
							(sizes[i] == 0 || sizes[i] > 1e20))
							continue;
						for (int drawn = 0; drawn <= drawable; drawn++)
							test_problem(&shape, weighted, sizes[i], kind, drawn,
										 kernel_names[k], &random, &worst);
					}
			ok(worst.failed == 0, "%s %s: weights of any size, %s", name,
			   solvers[solver % 3], kernel_names[k]);
			note("loss wrong by %.2g, %.2g above the minimum, %d not solved",
				 worst.loss, worst.above, worst.unsolved);
		}
}
