/*
 * problem.h
 *	  Random problems, and half-iterations on them as a training does them.
 */
#ifndef PROBLEM_H
#define PROBLEM_H

#include "als_core.h"

/* A seeded generator of random numbers */
typedef struct Random
{
	uint64_t	state;
} Random;

extern uint64_t random_bits(Random *random);
extern double random_uniform(Random *random);	/* 0 <= . < 1 */
extern double random_normal(Random *random);
extern int	random_between(Random *random, int low, int high);

/* Memory of exactly this size, so that sanitizers see the end; never fails. */
extern void *allocate(size_t size);
extern void *allocate_aligned(size_t size);

/* The names of all kernels, of which a machine may lack some */
extern const char *const kernel_names[4];

/* How large a random problem is */
typedef struct Size
{
	int			factors;
	uint32_t	nrows[2];		/* users, items */
	double		density;		/* share of the pairs that are rated */
} Size;

/* What a random problem looks like */
typedef struct Shape
{
	AlsFeedback feedback;
	AlsSolver	solver;
	int			factors;
	uint32_t	nrows[2];		/* users, items */
	double		density;		/* share of the pairs that are rated */
	int			cg_steps;
	float		alpha;
	float		regularization;
	double		scaling;		/* nu */
	float		largest;		/* rating, in size */
} Shape;

/* Ratings by user and by item, and factors of both sides */
typedef struct Problem
{
	Shape		shape;
	const AlsKernels *kernels;
	int			rank;
	float		mean;
	int			by_ratings;		/* as in AlsSystem; 0 until a test sets them */
	int			unbiased;
	uint64_t   *start[2];
	AlsEntry   *entries[2];
	float	   *weights[2];		/* of these, as in AlsRows; NULL until
								 * weigh_problem */
	float	   *factors[2];		/* [nrows x stride] */
	float	   *priors[2];		/* likewise; NULL until draw_priors */
	int			polls;			/* how often the core called back, so far */
} Problem;

/*
 * Ratings at random pairs: implicit ones of 0.5 to largest with a few zero or
 * negative, explicit ones of 1 to largest.  Factors are normal, or their sizes
 * if they are not to be negative.
 */
extern Problem *make_problem(const Shape *shape, Random *random);
extern void free_problem(Problem *problem);

/* Gives all rows priors, about as large as their factors. */
extern void draw_priors(Problem *problem, Random *random);

/* Element c of a row's prior */
static inline double
prior_of(const Problem *problem, AlsSide side, uint32_t row, size_t c)
{
	return problem->priors[side] == NULL ? 0 :
		(double) problem->priors[side][row * (size_t) als_stride(problem->rank) + c];
}

/*
 * Weights of explicit ratings, of sizes from 10^-spread to 10^spread, with the mean
 * that goes with them.
 */
extern void weigh_problem(Problem *problem, double spread, Random *random);

/*
 * Solves one side against the other.  The Gram matrix is made in two parts,
 * rows are solved in calls of at most rows_per_call.  Returns what the core
 * does, the failing pivot of als_gram_finish included; *loss without the
 * regularization of the other side.
 */
extern int	half_iteration_in_calls(Problem *problem, AlsSide side,
									uint32_t rows_per_call, double *loss,
									uint32_t *failed);
extern int	half_iteration(Problem *problem, AlsSide side, double *loss);

/* The rows of a side for als_core.h, and what they are solved against. */
extern AlsRows problem_rows(const Problem *problem, AlsSide side);
extern AlsSystem problem_system(const Problem *problem, AlsSide side);

#endif							/* PROBLEM_H */
