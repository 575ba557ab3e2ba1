/*
 * als_features.h
 *	  Rows of a side that are drawn to what their features say.
 *
 * Row i of a side has the features g_i, a sparse vector, and each feature has
 * factors, which are the rows of B.  Of s_i, w_i draws the row to the sum B'g_i
 * of its features' factors times their values, and the rest to 0:
 *
 *	  min	sum (w_i |y_i - B'g_i|^2 + (s_i - w_i) |y_i|^2) + ridge |B|^2
 *
 * of which lambda times is part of the objective, with w_i = N^nu / 4 for implicit
 * feedback, a quarter of what s is without ratings, and w_i = s_i / 4 for others.
 * So the prior of the row (als_core.h) is p_i = w_i / s_i B'g_i, and B is the
 * solution of
 *
 *	  (G' W G + ridge I) B = G' W Y
 *
 * with the g_i as rows of G and the w_i on the diagonal of W.  For few features
 * this matrix is factored, once, since neither G nor w change in a training.
 * For many it is never made: conjugate gradient takes products with it, scaled
 * by its diagonal, from the last B on.  Its steps lower the objective each, so
 * few of them do in an iteration.
 *
 * Columns of B are independent of each other, and solved in groups of
 * ALS_FEATURE_COLUMNS, which any process may take: a group's sums are always
 * those of the same rows in the same order.
 */
#ifndef ALS_FEATURES_H
#define ALS_FEATURES_H

#include "als_core.h"

/* So many features at most are solved by a factored matrix. */
#define ALS_FACTORED_FEATURES 512

/* Columns of B that are solved together */
#define ALS_FEATURE_COLUMNS 8

typedef struct AlsFeatures
{
	const AlsBlas *blas;
	AlsPoll		poll;
	int			rank;
	uint32_t	nfeatures;
	AlsRows		rows;			/* of each row, its features (columns) and
								 * their values (ratings) */
	const double *scale;		/* [rows.nrows] s */
	double		most;			/* als_features_scale's */
	double		ridge;			/* above 0 */
	int			steps;			/* of conjugate gradient, at most */

	/* als_features_prepare's output */
	const double *diagonal;		/* [nfeatures] of the matrix */
	const double *matrix;		/* [nfeatures x nfeatures], factored; NULL if
								 * there are too many for that */
} AlsFeatures;

/* How many groups of columns there are */
static inline int
als_feature_groups(int rank)
{
	return als_stride(rank) / ALS_FEATURE_COLUMNS;
}

/*
 * Fills in diagonal and, unless there are too many features, matrix.  Returns
 * ALS_OK, ALS_NOT_FINITE or the failing pivot.
 */
extern int	als_features_prepare(const AlsFeatures *features,
								 double *diagonal, double *matrix);

/*
 * Solves a group of columns of factors[nfeatures x stride], in and out, against
 * rows[nrows x stride].  priors[nrows x stride]: what the factors have made of
 * them, before.  workspace: als_features_workspace bytes.
 */
extern size_t als_features_workspace(uint32_t nfeatures);
extern void als_features_solve(const AlsFeatures *features, int group,
							   const float *rows, const float *priors,
							   float *factors, void *workspace);

/*
 * priors[rows->nrows x stride] := B'g of rows, by their features, times w / s;
 * scale [rows->nrows]: s, NULL if that is 1.
 */
extern void als_features_priors(int rank, const AlsRows *rows,
								const double *scale, double most,
								const float *factors, float *priors,
								AlsPoll poll);

/* Sum of w |y - B'g|^2 + (s - w) |y|^2 over nrows rows with such priors */
extern double als_features_penalty(int rank, uint32_t nrows,
								   const double *scale, double most,
								   const float *rows, const float *priors);

/* |B|^2 */
extern double als_features_norm(int rank, uint32_t nfeatures,
								const float *factors);

#endif							/* ALS_FEATURES_H */
