/*
 * als_core.h
 *	  The arithmetic of alternating least squares: public interface.
 *
 * Nothing here knows PostgreSQL.  No routine allocates, prints, raises or
 * keeps state: the caller hands over aligned memory whose size it has asked
 * for, and gets back 0 or the reason why a system could not be solved.
 *
 * Layout shared by every routine: a matrix of factors is row-major float,
 * one row per user or item, each row padded with zeros to als_stride(rank)
 * floats, the first row aligned to ALS_ALIGNMENT bytes.  Routines read and
 * write the padding freely but leave it zero.
 *
 * Implicit feedback is Hu, Koren and Volinsky, "Collaborative Filtering for
 * Implicit Feedback Datasets", ICDM 2008, equations 3 to 5, with
 *
 *	  p_ui = 1 if r_ui > 0 else 0		c_ui = 1 + alpha |r_ui|
 *	  min	sum over all (u,i) of c_ui (p_ui - x_u.y_i)^2
 *			+ lambda (sum |x_u|^2 + sum |y_i|^2)
 *
 * Explicit feedback fits mean + b_u + b_i + x_u.y_i to the ratings that
 * exist (Zhou, Wilkinson, Schreiber and Pan, AAIM 2008, equation 2, with
 * biases):
 *
 *	  min	sum over observed of v_ui (r_ui - mean - b_u - b_i - x_u.y_i)^2
 *			+ lambda (sum |x_u|^2 + b_u^2 + sum |y_i|^2 + b_i^2)
 *
 * where v_ui, how sure the rating is, is 1 unless ratings come with weights.
 *
 * In both, lambda is multiplied by s_u for the row of a user and by s_i for
 * that of an item, which grow with what the row has rated: for n ratings and N
 * rows of the other side, with nu = regularization_scaling,
 *
 *	  implicit:  s = (N + alpha n)^nu	explicit:  s = (sum of v)^nu, n^nu without weights
 *
 * nu = 0 leaves lambda alone.  Explicit with nu = 1 is ALS-WR, implicit is the
 * frequency scaling of Rendle, Krichene, Zhang and Koren, "Revisiting the
 * Performance of iALS on Item Recommendation Benchmarks", RecSys 2022.  With
 * by_ratings it is s = n+^nu for the n+ ratings above 0, which for nu = 1 is
 * what Spark's MLlib does.
 *
 * The bias is a factor like any other, stored right behind the others, so
 * explicit models have rank = factors + 1: solving a user, every item's row
 * counts as [y_i, 1] and b_i moves to the right-hand side.  In an unbiased model
 * it counts as [y_i, 0]: nothing but lambda s b_u^2 depends on b_u then, which is
 * 0, as it is where lambda is.
 *
 * With the other side fixed, one row x solves
 *
 *	  (B + sum_k w_k f_k f_k') x = sum_k t_k f_k
 *
 * over its own ratings k, where f_k is the other side's row and
 *
 *	  implicit:  B = G + lambda s I,  w = alpha |r|,  t = (1 + alpha |r|) p
 *	  explicit:  B = lambda s I,      w = v,  t = v (r - mean - other side's bias)
 *
 * with the Gram matrix G = sum of f f' over all rows of the other side.  A
 * nonnegative model has the same objectives, over factors that are not below
 * zero; biases may be of any sign.
 *
 * A row may have a prior p, which it is drawn to in place of 0: lambda s |x|^2
 * becomes lambda s |x - p|^2, biases included, and lambda s p is added to the
 * right-hand side.  als_features.h makes priors of what is known of rows, with
 * a quarter of s, for implicit feedback of what s is without ratings.
 */
#ifndef ALS_CORE_H
#define ALS_CORE_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "als_blas.h"
#include "als_poll.h"

/* Rows times factors, and ratings, are counted by size_t. */
#if SIZE_MAX < UINT64_MAX
#error "als needs a 64-bit system"
#endif

#define ALS_ALIGNMENT 64		/* bytes */
#define ALS_MAX_FACTORS 1024

typedef enum AlsFeedback
{
	ALS_IMPLICIT,
	ALS_EXPLICIT
} AlsFeedback;

typedef enum AlsSolver
{
	ALS_CG,						/* conjugate gradient, warm-started */
	ALS_CHOLESKY,				/* exact */
	ALS_NONNEGATIVE				/* exact, with factors not below zero */
} AlsSolver;

typedef enum AlsSide
{
	ALS_USERS,
	ALS_ITEMS
} AlsSide;

/* Rows of a block of an index, and how many queries may search it at once */
#define ALS_INDEX_BLOCK 64
#define ALS_INDEX_QUERIES 4

/* Results of the solvers; positive values are the 1-based failing pivot. */
#define ALS_OK 0
#define ALS_NOT_FINITE (-1)
#define ALS_NOT_OPTIMAL (-2)	/* the search for nonnegative factors failed */

/* Results of als_gram_finish besides */
#define ALS_SUM_IN_DOUBLE (-3)	/* by als_gram_exact, then again */
#define ALS_SOLVE_IN_DOUBLE (-4)	/* rows need AlsSystem's exact */

/* One rating of a row. */
typedef struct AlsEntry
{
	uint32_t	column;			/* row of the other side */
	float		rating;
} AlsEntry;

/* A vector, finite, whose largest inner products are looked for */
typedef struct AlsQuery
{
	float		length;
	double		inverse;		/* bytes are next to inverse x; 0: all are 0 */
	double		missed;			/* length of x - bytes / inverse */
	uint16_t	offset;			/* 128 times the sum of the bytes, modulo 2^16 */
	int8_t		bytes[ALS_MAX_FACTORS + 16];	/* -64 to 64 */
} AlsQuery;


/* The inner loops for one instruction set. */
typedef struct AlsKernels
{
	const char *name;

	/* a.b over stride floats */
	float		(*dot) (int stride, const float *a, const float *b);

	/* scores[k] = rows[k].x, bit for bit what dot returns */
	void		(*scores) (int stride, size_t nrows, const float *rows,
						   const float *x, float *scores);

	/*
	 * The pass over a row's ratings that conjugate gradient is made of:
	 * dots[k] = rows[k].x, sum += (target[k] - weight[k] dots[k]) rows[k]
	 */
	void		(*residual) (int stride, size_t nrows, const float *rows,
							 const float *weight, const float *target,
							 const float *x, float *sum, float *dots);

	/*
	 * The same where the rows still lie scattered: gathers them on the way,
	 * gathered[k] = fixed[entries[k].column].  The entries go on up to
	 * available, for what is fetched ahead.
	 */
	void		(*gather_residual) (int stride, size_t nrows, size_t available,
									const float *fixed,
									const AlsEntry *entries,
									const float *weight, const float *target,
									const float *x, float *gathered,
									float *sum, float *dots);

	/*
	 * sum[stride] += fixed[entries[k].column] over those of nrows ratings
	 * that are above 0; available as above
	 */
	void		(*sum_rows) (int stride, size_t nrows, size_t available,
							 const float *fixed, const AlsEntry *entries,
							 float *sum);

	/*
	 * Normal equations: the lower triangle of a += weight[k] f_k f_k' and
	 * b[stride] += target[k] f_k, with the same f_k gathered on the way.  a
	 * [stride x stride] is column-major; above its diagonal anything goes,
	 * below it the padding beyond rank is zero.
	 */
	void		(*gather_equations) (int rank, int stride, size_t nrows,
									 size_t available, const float *fixed,
									 const AlsEntry *entries,
									 const float *weight, const float *target,
									 float *gathered, float *a, float *b);

	/*
	 * L in the lower triangle of such a matrix, a = L L' on input.  Returns 0
	 * or the 1-based pivot that is not positive.
	 */
	int			(*cholesky) (int rank, int stride, float *a);

	/* x[stride] := (L L')^-1 x, after cholesky */
	void		(*cholesky_solve) (int rank, int stride, const float *a,
								   float *x);

	/*
	 * Sets bit i of found[q] for the rows i of a block of an index for which
	 * the sum of (byte d of the query) (byte d of the row - 128) over stride
	 * bytes is at least least[q], for n queries, no more than
	 * ALS_INDEX_QUERIES.  The sums fit into 16 bits, though what leads to
	 * them may not.
	 */
	void		(*byte_search) (int stride, const uint32_t *quads, int n,
								const AlsQuery *const *queries,
								const int16_t *least, uint64_t *found);
} AlsKernels;

/*
 * Whole rows of ratings in compressed sparse row form.  start may count from
 * anywhere: row r has the entries [start[r] - start[0], start[r + 1] -
 * start[0]), columns ascending.
 */
typedef struct AlsRows
{
	uint32_t	nrows;
	const uint64_t *start;		/* [nrows + 1] */
	const AlsEntry *entries;
	const float *prior;			/* [nrows x stride], NULL: all 0, which it is
								 * to be for ALS_NONNEGATIVE */
	const float *weights;		/* explicit: v of each, above 0; NULL: all 1 */
} AlsRows;

/* What one half-iteration solves against, the same for all of its rows. */
typedef struct AlsSystem
{
	const AlsKernels *kernels;
	const AlsBlas *blas;
	AlsFeedback feedback;
	AlsSolver	solver;
	int			rank;			/* factors, one more for the bias if explicit */
	int			cg_steps;		/* most for a row */
	float		alpha;
	float		regularization; /* lambda */
	double		regularization_scaling; /* nu; 0 if all rows have the same */
	int			by_ratings;		/* implicit: s counts ratings above 0 alone */
	float		mean;			/* of all ratings; 0 if implicit or unbiased */
	int			unbiased;		/* explicit: biases are 0 */

	/* all rows in double, by Cholesky unless nonnegative */
	int			exact;

	/* rows of the other side, N: all of them, as Gram matrix and s count */
	uint32_t	nfixed;

	/* als_prepare_rows' output: [rows of the other side x stride] */
	const float *fixed;
	const float *bias;			/* explicit: the other side's biases */

	/* implicit: the other side's rows as they are */
	const float *stored;

	/* implicit: G [rank x rank], lower triangle, after als_gram_finish */
	const double *gram;

	/* als_gram_finish's output, implicit only; not for exact */
	const float *base;
	const float *base_factor;
	const float *spectrum;		/* used if als_diagonalizes */

	AlsPoll		poll;
} AlsSystem;

/*
 * How many rows ahead of the row in use the next ones are fetched: so many bytes
 * that memory has the time to answer; see docs/experiments.md
 */
static inline size_t
als_prefetch_rows(size_t stride)
{
	return stride < 64 ? 512 / stride : 8;
}

/* Floats that a row of rank floats takes, padding included. */
static inline int
als_stride(int rank)
{
	return (rank + 15) & ~15;
}

/*
 * w and t of a rating as defined above, in double; sure: v, and bias: the other
 * side's, 0 if implicit.
 */
static inline void
als_weigh(AlsFeedback feedback, double alpha, double mean, double bias,
		  double rating, double sure, double *weight, double *target)
{
	if (feedback == ALS_IMPLICIT)
	{
		*weight = alpha * fabs(rating);
		*target = rating > 0 ? 1 + *weight : 0;
	}
	else
	{
		*weight = sure;
		*target = sure * (rating - mean - bias);
	}
}

/*
 * Where byte d of row i of a block lies: bits 8 (d % 4) and above of a quad.
 */
static inline int
als_index_quad(int i, int d)
{
	return d / 4 * ALS_INDEX_BLOCK + i;
}

/*
 * The generator SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) as a hash: a
 * bijection that scatters all bits.
 */
static inline uint64_t
als_scatter(uint64_t z)
{
	z += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/*
 * The kernels called name ("reference", "generic", "avx2", "avx512"), or the
 * best that this machine has for NULL; NULL if the machine lacks them.
 */
extern const AlsKernels *als_kernels(const char *name);

/*
 * Starting factors of rows first .. first + nrows - 1: a function of seed,
 * side, row and column alone.  out[nrows x stride] is output; the bias of an
 * explicit model (column factors) starts at 0.
 */
extern void als_initial_factors(uint64_t seed, AlsSide side, int factors,
								int rank, size_t first, size_t nrows,
								float *out, AlsPoll poll);

/*
 * rows := rows scaled by size and by the standard deviation of starting factors,
 * plus a small share of those.  [nrows x stride]
 */
extern void als_initial_mix(uint64_t seed, AlsSide side, int factors,
							int rank, size_t first, size_t nrows,
							double size, float *rows);

/*
 * rows[n] := rows + share (rows - previous), and previous[n] := what rows were;
 * with a share of 0, previous may be anything.
 */
extern void als_move_on(float share, size_t n, float *rows, float *previous);

/*
 * The start by singular vectors, in steps; core/spectral.c has the method.
 *
 * als_spectral_basis: from npartials Gram matrices G = Q L Q' of a side, basis =
 * Q L^power, column-major [stride x stride], without the columns that are lost in
 * rounding; *trace is the sum of squares of rows that are turned by it.  Returns 0,
 * or not 0 if nothing converges.  als_spectral_turn: rows := basis' rows, [nrows x
 * stride].  als_spectral_divide: rows by the roots of their numbers of ratings,
 * start[nrows + 1].  als_spectral_sum: sums[rows->nrows x stride] := the sums of the
 * fixed rows with ratings above 0, divided likewise.
 *
 * workspace: als_spectral_workspace bytes.
 */
extern size_t als_spectral_workspace(int rank);
extern int	als_spectral_basis(const AlsSystem *system, int npartials,
							   const double *partials, double power,
							   double *trace, float *basis, void *workspace);
extern void als_spectral_turn(const AlsSystem *system, const float *basis,
							  size_t nrows, float *rows, void *workspace);
extern void als_spectral_divide(const AlsSystem *system, const uint64_t *start,
								size_t nrows, float *rows);
extern void als_spectral_sum(const AlsSystem *system, const AlsRows *rows,
							 float *sums);

/*
 * Gram matrix of nrows rows: gram[rank x rank], symmetric in its lower
 * column-major triangle, output.  Summed in double over fixed groups of rows,
 * so that many rows lose no precision.  workspace: als_gram_workspace bytes.
 */
extern size_t als_gram_workspace(int rank);
extern void als_gram(const AlsBlas *blas, AlsPoll poll, int rank,
					 size_t nrows, const float *rows, double *gram,
					 void *workspace);

/*
 * The same summed in double altogether.  workspace: als_gram_exact_workspace
 * bytes.
 */
extern size_t als_gram_exact_workspace(int rank);
extern void als_gram_exact(const AlsBlas *blas, AlsPoll poll, int rank,
						   size_t nrows, const float *rows, double *gram,
						   void *workspace);

/*
 * s for a row of n ratings: what lambda is multiplied by.  weights as in AlsRows.
 */
extern double als_regularization_scale(const AlsSystem *system,
									   const AlsEntry *entries,
									   const float *weights, uint64_t n);

/*
 * Of s, so much can draw a row to its features: what s is without ratings for
 * implicit feedback, N^nu; INFINITY, which is all, for explicit and by_ratings.
 */
extern double als_features_scale(const AlsSystem *system);

/* Of that, so much does, by docs/experiments.md. */
#define ALS_FEATURES_SHARE 0.25

/* w of a row, whose s is scale; most: als_features_scale's */
static inline double
als_features_weight(double scale, double most)
{
	return ALS_FEATURES_SHARE * fmin(scale, most);
}

/* w / s */
static inline double
als_features_share(double scale, double most)
{
	return ALS_FEATURES_SHARE * (scale > most ? most / scale : 1);
}

/*
 * What the bias of a row has beside lambda s, which is shift: where that is 0,
 * nothing depends on a bias of an unbiased model, and this holds it at 0.
 */
static inline double
als_bias_ridge(const AlsSystem *system, double shift)
{
	return system->feedback == ALS_EXPLICIT && system->unbiased && shift == 0 ? 1 : 0;
}

/*
 * Whether rows differ in lambda s and are solved by a method that wants the
 * Gram matrix diagonal, so that B is diagonal for each of them: implicit CG.
 */
static inline int
als_diagonalizes(const AlsSystem *system)
{
	return system->feedback == ALS_IMPLICIT && system->solver == ALS_CG &&
		system->regularization > 0 && system->regularization_scaling > 0;
}

/*
 * Adds up npartials Gram matrices in order, G in place of partials[0], and
 * writes what rows are solved against, computed in double.  base = G + lambda
 * s I, with the s of a row without ratings, and base_factor = L with L L' =
 * base, both column-major [stride x stride].  If als_diagonalizes, base_factor
 * is Q and spectrum D [stride] instead, with G = Q D Q'; otherwise spectrum is
 * not used.  regularization is lambda in double.  exact: the partials are from
 * als_gram_exact.
 *
 * Returns ALS_OK or, if base is nearly singular: ALS_SUM_IN_DOUBLE, unless
 * exact; then ALS_SOLVE_IN_DOUBLE if it is singular to single precision, and
 * rows cannot be solved against what is written; then the pivot at which it is
 * singular to double precision too.  workspace: als_gram_finish_workspace
 * bytes.
 */
extern size_t als_gram_finish_workspace(const AlsSystem *system);
extern int	als_gram_finish(const AlsSystem *system, double regularization,
							int npartials, double *partials, int exact,
							float *base, float *base_factor, float *spectrum,
							void *workspace);

/*
 * The other side's rows as the solver wants them: for implicit CG whitened by
 * L (out = L^-1 f) or turned by Q (out = Q' f), with the bias replaced by 1 and
 * moved to bias[] for explicit; the other solvers of implicit feedback read the
 * factors as they are.  rows and out [nrows x stride].
 */
extern void als_prepare_rows(const AlsSystem *system, size_t nrows,
							 const float *rows, float *out, float *bias);

/*
 * Solves rows->nrows rows, solved[nrows x stride] in and out (CG starts from
 * what is there, the nonnegative solver from what of it is positive).  A row
 * without ratings is its prior; one that single precision does not carry is
 * solved in double.  Adds to *loss each row's part of the objective at the
 * solution: everything but the other side's regularization, never below 0.  Returns ALS_OK, ALS_NOT_FINITE,
 * ALS_NOT_OPTIMAL or the failing pivot, with *failed the row (0-based) that
 * did.  memory: als_solve_workspace bytes, aligned.
 */
extern size_t als_solve_workspace(const AlsSystem *system);
extern int	als_solve_rows(const AlsSystem *system, const AlsRows *rows,
						   float *solved, void *memory,
						   double *loss, uint32_t *failed);

/*
 * Sum of s |x - p|^2 over solved rows: what lambda multiplies in the objective.
 * solved [rows->nrows x stride].
 */
extern double als_penalty(const AlsSystem *system, const AlsRows *rows,
						  const float *solved);

/*
 * The normal equations of one row, solved for one row f of the other side: the
 * score f.x is the sum of t_k z.f_k over the row's ratings, where z is the
 * solution of (B + sum_k w_k f_k f_k') z = f (Hu, Koren and Volinsky 2008,
 * section 5).  a[rank x rank]: in B's lower triangle, column-major, destroyed;
 * z[rank]: in f, out z; weight[nrows]: w.  rows [nrows x stride], of which the
 * first rank floats count.  In double.  Returns 0 or the failing pivot.
 * workspace: als_gram_exact_workspace bytes.
 */
extern int	als_influence(const AlsBlas *blas, AlsPoll poll, int rank,
						  int stride, size_t nrows, const float *rows,
						  const double *weight, double *a, double *z,
						  void *workspace);

/*
 * Has a vector of this square a cosine with others?  Below the normal numbers the square
 * has lost digits, or is 0 by underflow, and says nothing of the vector's length.
 */
static inline int
als_has_cosine(float square)
{
	return square >= FLT_MIN;
}

/*
 * The cosine of two vectors, from their inner product and their squares, of which
 * als_has_cosine is true.  In double, so that equal vectors have a cosine of exactly 1.
 */
static inline float
als_cosine(float product, float square_a, float square_b)
{
	float		cosine = (float) (product / sqrt((double) square_a * square_b));

	return cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;
}

/* |x|, whatever the magnitude of x. */
extern float als_length(int stride, const float *x);

/* Prepares x[stride] for searches. */
extern void als_query_prepare(int stride, const float *x, AlsQuery *query);

/*
 * The least inner product to look for if all that scores at least score is
 * wanted: a product plus mean, which is rounded.
 */
extern float als_query_least(float score, float mean);

/*
 * An index of rows, finite, for exact searches of the largest inner products:
 * see search.c.  It takes als_index_size bytes, aligned, that may lie anywhere
 * and be moved; the rows are not part of it.
 *
 * A search goes through the blocks in order.  No row of this block or of a
 * later one has an inner product above als_index_limit, which is never not a
 * number.  als_index_search looks for rows of the block in behalf of n queries
 * at once, no more than ALS_INDEX_QUERIES: bit i of found[q] is 0 only if what
 * dot returns for query q and the row als_index_row(index, block, i) is below
 * least[q], which may be -INFINITY, or there is no such row.
 */
typedef struct AlsIndex AlsIndex;

extern size_t als_index_size(int stride, size_t nrows);
extern void als_index_build(int stride, size_t nrows, const float *rows,
							AlsIndex *index, AlsPoll poll);
extern size_t als_index_blocks(const AlsIndex *index);
extern float als_index_limit(const AlsIndex *index, size_t block,
							 const AlsQuery *query);
extern void als_index_search(const AlsIndex *index, const AlsKernels *kernels,
							 size_t block, int n,
							 const AlsQuery *const *queries,
							 const float *least, uint64_t *found);
extern uint32_t als_index_row(const AlsIndex *index, size_t block, int i);

#endif							/* ALS_CORE_H */
