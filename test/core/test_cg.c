/*
 * test_cg.c
 *	  A few steps of conjugate gradient against as many in double precision.
 */
#include "reference.h"
#include "tap.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RANK 24
#define STEPS 3

/* The system of a row, which elimination overwrites in Equations */
typedef struct System
{
	double		a[RANK * RANK];
	double		b[RANK];
	double		m[RANK * RANK]; /* A without the ratings of the row */
} System;

static void
product(const double *a, const double *x, double *y)
{
	for (int i = 0; i < RANK; i++)
	{
		y[i] = 0;
		for (int j = 0; j < RANK; j++)
			y[i] += a[i * RANK + j] * x[j];
	}
}

static double
dot(const double *x, const double *y)
{
	double		sum = 0;

	for (int i = 0; i < RANK; i++)
		sum += x[i] * y[i];
	return sum;
}

/* x'Ax - 2 b'x */
static double
objective(const System *system, const double *x)
{
	double		ax[RANK];

	product(system->a, x, ax);
	return dot(x, ax) - 2 * dot(system->b, x);
}

/* x = matrix^-1 y */
static void
solve(Equations *equations, const double *matrix, const double *y, double *x)
{
	memcpy(equations->a, matrix, RANK * RANK * sizeof(double));
	memcpy(equations->b, y, RANK * sizeof(double));
	equations_solve(equations, x);
}

/* STEPS steps from x, preconditioned by M: what whitening comes to. */
static void
steps(Equations *equations, const System *system, double *x)
{
	double		r[RANK];
	double		z[RANK];
	double		p[RANK];
	double		q[RANK];
	double		rz;

	product(system->a, x, q);
	for (int i = 0; i < RANK; i++)
		r[i] = system->b[i] - q[i];
	solve(equations, system->m, r, z);
	memcpy(p, z, sizeof(p));
	rz = dot(r, z);
	for (int step = 0; step < STEPS && rz > 0; step++)
	{
		double		length;
		double		next;

		product(system->a, p, q);
		length = rz / dot(p, q);
		for (int i = 0; i < RANK; i++)
		{
			x[i] += length * p[i];
			r[i] -= length * q[i];
		}
		solve(equations, system->m, r, z);
		next = dot(r, z);
		for (int i = 0; i < RANK; i++)
			p[i] = z[i] + next / rz * p[i];
		rz = next;
	}
}

/*
 * Every row has come as close to its solution as these steps come, or has left
 * no more than 1/27 of what it has won; 1/9 where its last step was foreseen to
 * win as the one before did.  At the start the factors are random, in a second
 * half-iteration they are near.
 */
static void
test_steps(const Shape *shape, Random *random)
{
	Problem    *problem = make_problem(shape, random);
	size_t		stride = (size_t) als_stride(problem->rank);
	size_t		size = shape->nrows[ALS_USERS] * stride * sizeof(float);
	float	   *before = allocate(size);
	uint32_t	as_good = 0;
	uint32_t	early = 0;
	uint32_t	compared = 0;

	for (int half = 0; half < 3; half++)
	{
		AlsSide		side = half % 2 ? ALS_ITEMS : ALS_USERS;
		Equations  *equations;
		double		loss;

		memcpy(before, problem->factors[ALS_USERS], size);
		half_iteration(problem, side, &loss);
		if (side == ALS_ITEMS)
			continue;
		equations = make_equations(problem, side);
		for (uint32_t r = 0; r < shape->nrows[side]; r++)
		{
			System		system;
			double		x[RANK];
			double		start;
			double		ours;
			double		reference;
			double		best;
			const float *from = before + r * stride;
			const float *to = problem->factors[side] + r * stride;

			if (problem->start[side][r] == problem->start[side][r + 1])
				continue;
			equations_of_row(equations, r);
			memcpy(system.a, equations->a, sizeof(system.a));
			memcpy(system.b, equations->b, sizeof(system.b));
			memset(system.m, 0, sizeof(system.m));
			if (shape->feedback == ALS_IMPLICIT)
				memcpy(system.m, equations->gram, sizeof(system.m));
			for (int i = 0; i < RANK; i++)
				system.m[i * RANK + i] += (double) shape->regularization *
					reference_scale(problem, side, r);

			for (int i = 0; i < RANK; i++)
				x[i] = from[i];
			start = objective(&system, x);
			steps(equations, &system, x);
			reference = objective(&system, x);
			for (int i = 0; i < RANK; i++)
				x[i] = to[i];
			ours = objective(&system, x);
			solve(equations, system.a, system.b, x);
			best = objective(&system, x);

			compared++;
			if (ours <= reference + 1e-5 * (start - best) + 1e-6 * fabs(best))
				as_good++;
			else if (ours - best <= (start - ours) / 9)
				early++;
		}
		free_equations(equations);
	}
	ok(compared > 0 && as_good + early == compared,
	   "%s cg, nu %g, alpha %g, lambda %g: as close as %d steps, or close enough",
	   shape->feedback == ALS_IMPLICIT ? "implicit" : "explicit",
	   shape->scaling, (double) shape->alpha, (double) shape->regularization,
	   STEPS);
	note("%u rows, %u of them close enough early", compared, early);
	free(before);
	free_problem(problem);
}

void
test_cg(void)
{
	static const float alphas[] = {0.05f, 1, 40};
	static const float lambdas[] = {0.01f, 1, 30};
	Random		random = {12};

	for (int scaling = 0; scaling <= 2; scaling++)
		for (size_t i = 0; i < 3; i++)
		{
			Shape		shape = {
				ALS_IMPLICIT, ALS_CG, RANK, {120, 150}, 0.2, STEPS, 0, 0,
				0.5 * scaling, 5
			};

			for (size_t j = 0; j < 3; j++)
			{
				shape.alpha = alphas[i];
				shape.regularization = lambdas[j];
				test_steps(&shape, &random);
			}
			/* a bias is one more */
			shape.feedback = ALS_EXPLICIT;
			shape.factors = RANK - 1;
			shape.regularization = lambdas[i];
			test_steps(&shape, &random);
		}
}
