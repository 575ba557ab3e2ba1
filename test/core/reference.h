/*
 * reference.h
 *	  The same mathematics written down directly, in double precision.
 */
#ifndef REFERENCE_H
#define REFERENCE_H

#include "problem.h"

/* The normal equations A x = b of one side, a row after the other */
typedef struct Equations
{
	const Problem *problem;
	AlsSide		side;
	size_t		rank;
	double	   *fixed;			/* [rows of the other side x rank] */
	double	   *gram;			/* [rank x rank], implicit */
	double	   *a;				/* [rank x rank] */
	double	   *b;				/* [rank] */
	double		b_size;			/* largest sum of the sizes of what b sums up */
} Equations;

/* The other side's factors as they are now. */
extern Equations *make_equations(const Problem *problem, AlsSide side);
extern void free_equations(Equations *equations);

/* Sets a and b for a row. */
extern void equations_of_row(Equations *equations, uint32_t row);

/* x = A^-1 b by Gaussian elimination, which overwrites a and b. */
extern void equations_solve(Equations *equations, double *x);

/*
 * |b - A x| / (|A| |x| + |b|) in the maximum norm, where b counts as large as
 * what it sums up, and x as no smaller than start, where a solution began:
 * what rounding may have lost.  Of nonnegative factors, the violation of the
 * conditions of Karush, Kuhn and Tucker instead: b - A x may be negative where
 * x is zero, and x may not; infinite if it is.
 */
extern double equations_residual(const Equations *equations, const float *x,
								 double start);

/*
 * The largest residual of the rows of a side, after it has been solved; start
 * is its factors before, NULL if solutions did not begin there.
 */
extern double equations_worst_residual(const Problem *problem, AlsSide side,
									   const float *start);

/* v of a rating, the k-th of a side; 1 if there are no weights */
extern double reference_weight(const Problem *problem, AlsSide side, uint64_t k);

/* What lambda is multiplied by for a row of a side. */
extern double reference_scale(const Problem *problem, AlsSide side,
							  uint32_t row);

/* The objective at the present factors: a loop over all pairs. */
extern double reference_objective(const Problem *problem);

/* The regularization of one side in it. */
extern double reference_penalty(const Problem *problem, AlsSide side);

#endif							/* REFERENCE_H */
