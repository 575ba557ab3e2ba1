/*
 * solve.h
 *	  What the two solvers share.
 */
#ifndef ALS_SOLVE_H
#define ALS_SOLVE_H

#include "als_core.h"

/* Rows that are solved together; fixed, for the same bits always */
#define BATCH 64

/* Rows that are added to a matrix in double at a time; fixed likewise */
#define ALS_EXACT_ROWS 32

/*
 * What is left of a diagonal element when a matrix is factored in single
 * precision.  No less than the first share: solutions are good to single
 * precision.  Less than the second: rounding may have decided it.
 */
#define ALS_SURE_PIVOT 0x1p-10f
#define ALS_LEAST_PIVOT 0x1p-14f

/* How much of itself the loss of a row may be wrong by, as far as is known */
#define ALS_LOSS_TOLERANCE 0x1p-16

/* A row of factors is whole blocks; als_stride pads it */
typedef float Block __attribute__((vector_size(64)));

/* Eight floats, and the same in double */
typedef float Floats __attribute__((vector_size(32)));
typedef double Doubles __attribute__((vector_size(64)));

/* No function, so that the ABI has no say in it */
#define DOUBLES(floats) __builtin_convertvector(floats, Doubles)

/* A call's workspace, cut up */
typedef struct Workspace
{
	size_t		chunk;			/* ratings that fit into the buffers below */
	float	   *gathered;		/* [chunk x stride] */
	float	   *weight;			/* [chunk] w_k */
	float	   *target;			/* [chunk] t_k */
	float	   *zero;			/* [chunk] zeros, as targets of A p */
	float	   *dots;			/* [chunk] f_k.x */
	float	   *r;				/* [stride] residual; right-hand side */
	float	   *p;				/* [stride] direction; diagonal of A */
	float	   *q;				/* [stride] A p */
	float	   *partial;		/* [stride] what one chunk adds */

	/* CG on a diagonal Gram matrix */
	float	   *scale;			/* [stride] B^-1/2 */
	float	   *scaled;			/* [stride] a vector times that */
	float	   *rotated;		/* [BATCH x stride] rows turned by Q */

	/* Cholesky and nonnegative */
	float	   *a;				/* [stride x stride] */
	float	   *a_partial;		/* [stride x stride] */

	/* in double */
	double	   *exact;			/* [rank x rank] A, lower triangle, or its L */
	double	   *right;			/* [stride] right-hand side */
	double	   *solution;		/* [stride] x */
	double	   *correction;		/* [stride] residual, and what it adds to x */
	double	   *products;		/* [ALS_EXACT_ROWS x stride] */

	/* nonnegative */
	double	   *factor;			/* [stride x stride] of A's passive part */
	double	   *passive_solution;	/* [stride] x's passive part */
	int		   *passive;		/* [stride] columns that are not held at 0 */
	int		   *is_passive;		/* [stride] which they are */
	int		   *is_infeasible;	/* [stride] columns with a wrong sign */
} Workspace;

/* The ratings of one row */
typedef struct Row
{
	const AlsEntry *entries;
	size_t		n;
	size_t		available;		/* n and the entries of the rows behind */
} Row;

/*
 * Loads weights and targets of the chunk of a row's ratings that begins at
 * first.  Returns the number of ratings.
 */
extern size_t als_load_weights(const AlsSystem *system, const Row *row,
							   size_t first, const Workspace *workspace);

/* Loads the whole chunk, factor rows too. */
extern size_t als_load_chunk(const AlsSystem *system, const Row *row,
							 size_t first, const Workspace *workspace);

/* |x|^2 */
extern double als_squared_norm(int rank, const float *x);

/*
 * What the n ratings of a loaded chunk add to the objective at x, their f.x
 * being in dots: w (f.x)^2 - 2 t f.x + c, the constant c being that at x = 0,
 * t where p = 1 (implicit) or t^2 (explicit).
 */
extern double als_chunk_objective(const AlsSystem *system,
								  const Workspace *workspace, size_t n);

/*
 * The normal equations of a row, in float: lower triangle of A = B + sum w f f'
 * in workspace->a, b = sum t f in workspace->r.  Returns ALS_OK,
 * ALS_NOT_FINITE, or a pivot if A is singular whatever rounding makes of it.
 */
extern int	als_normal_equations(const AlsSystem *system, const Row *row,
								 const Workspace *workspace);

extern int	als_lacks_ratings(const AlsSystem *system, const Row *row);

/* The objective of a row at x, after als_normal_equations, in float. */
extern double als_objective_at(const AlsSystem *system, const Row *row,
							   const Workspace *workspace, const float *x);

/*
 * Is that right to single precision?  trace: of A, or at least the largest
 * eigenvalue of sum w f f'.
 */
extern int	als_objective_is_sure(const AlsSystem *system, double trace,
								  const float *x, double objective);

/*
 * The same in double: A in workspace->exact, b in workspace->right; b - A x,
 * without A, and the objective at x.  Implicit: against the rows as they are
 * stored.
 */
extern int	als_exact_equations(const AlsSystem *system, const Row *row,
								const Workspace *workspace);
extern void als_exact_residual(const AlsSystem *system, const Row *row,
							   const double *x, double *r);
extern double als_exact_objective(const AlsSystem *system, const Row *row,
								  const Workspace *workspace, const float *x);

/* a[rank x rank] += sum of weight f f' over rows; weight may be NULL: 1. */
extern void als_exact_add(const AlsBlas *blas, int rank, int stride,
						  size_t nrows, const float *const *rows,
						  const double *weight, double *buffer, double *a);

/* The same of rows [nrows x stride] side by side, however many. */
extern void als_exact_add_all(const AlsBlas *blas, AlsPoll poll, int rank,
							  int stride, size_t nrows, const float *rows,
							  const double *weight, double *buffer,
							  double *a);

/* a = L L' in place.  Returns 0 or the pivot that rounding has decided. */
extern int	als_exact_factor(const AlsBlas *blas, AlsPoll poll, int rank,
							 int ld, double *a);

/*
 * Refines workspace->solution, of which the n columns are free (NULL: all) and
 * of whose equations factor is L.  Returns ALS_OK, or n if it does not converge.
 */
extern int	als_exact_refine(const AlsSystem *system, const Row *row,
							 const Workspace *workspace, int n,
							 const int *columns, const double *factor, int ld);

/* Of a rating: the row of the other side, w and t.  Of a row: lambda s */
extern const float *als_exact_row(const AlsSystem *system,
								  const AlsEntry *entry);
extern void als_exact_weigh(const AlsSystem *system, const AlsEntry *entry,
							double *weight, double *target);
extern double als_exact_shift(const AlsSystem *system, const Row *row);

/*
 * Without normal equations: the triangle R with R'R = A in workspace->exact, by
 * rows, and y with R'y = b in workspace->right.  Returns ALS_OK or a pivot.
 */
extern int	als_orthogonal_equations(const AlsSystem *system, const Row *row,
									 const Workspace *workspace);

/*
 * workspace->solution := solution where all columns but the first npassive of
 * columns[rank] are held at 0, and workspace->correction := the gradient of
 * these, 0 where it may be what rounding by epsilon has made.
 */
extern void als_orthogonal_passive(const AlsSystem *system,
								   const Workspace *workspace, int npassive,
								   const int *columns, double epsilon);

/* workspace->solution := solution by these.  Returns ALS_OK or a pivot. */
extern int	als_solve_row_orthogonal(const AlsSystem *system, const Row *row,
									 const Workspace *workspace);

/* What single precision is good enough for, of a row solved in it */
typedef enum Trust
{
	TRUST_ALL,
	TRUST_SOLUTION,				/* but not the objective */
	TRUST_NOTHING
} Trust;

/*
 * x := solution for one row with ratings, with the objective there in
 * *objective.  Returns ALS_OK, ALS_NOT_FINITE, ALS_NOT_OPTIMAL or the failing
 * pivot; the caller checks that x and *objective are finite.
 */
extern int	als_solve_row_cg(const AlsSystem *system, const Row *row,
							 const Workspace *workspace, float *x,
							 double *objective, Trust *trust);
extern int	als_solve_row_exact(const AlsSystem *system, const Row *row,
								const Workspace *workspace, float *x,
								double *objective);
extern int	als_solve_row_cholesky(const AlsSystem *system, const Row *row,
								   const Workspace *workspace, float *x,
								   double *objective);
extern int	als_solve_row_nonnegative(const AlsSystem *system, const Row *row,
									  const Workspace *workspace, float *x,
									  double *objective);

#endif							/* ALS_SOLVE_H */
