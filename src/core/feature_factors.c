/*
 * feature_factors.c
 *	  Rows of a side that are drawn to what their features say.
 */
#include "als_features.h"

#include <math.h>
#include <string.h>

#include "factorize.h"
#include "regularization.h"
#include "vectors.h"

/*
 * A residual that is negligible, as a share of the diagonal times the factors,
 * which are stored in single precision.
 */
#define NEGLIGIBLE_RESIDUAL 1e-7

/* A number for each of a group's columns */
typedef Doubles8 Columns;

/* A row's features */
static inline const AlsEntry *
features_of(const AlsRows *rows, uint32_t r, size_t *n)
{
	*n = (size_t) (rows->start[r + 1] - rows->start[r]);
	return rows->entries + (rows->start[r] - rows->start[0]);
}

/* w of a row */
static inline double
weight_of(const AlsFeatures *features, uint32_t r)
{
	return als_features_weight(features->scale[r], features->most);
}

int
als_features_prepare(const AlsFeatures *features, double *diagonal,
					 double *matrix)
{
	size_t		size = features->nfeatures;
	AlsWork		work = {features->poll, 0};

	for (size_t j = 0; j < size; j++)
		diagonal[j] = features->ridge;
	if (matrix != NULL)
		memset(matrix, 0, size * size * sizeof(double));
	for (uint32_t r = 0; r < features->rows.nrows; r++)
	{
		size_t		n;
		const AlsEntry *entries = features_of(&features->rows, r, &n);
		double		weight = weight_of(features, r);

		als_work(&work, matrix != NULL ? n * n : n);
		for (size_t k = 0; k < n; k++)
		{
			double		value = weight * (double) entries[k].rating;
			size_t		column = entries[k].column;

			diagonal[column] += value * (double) entries[k].rating;
			/* columns ascend: in the lower triangle */
			for (size_t l = k; l < n && matrix != NULL; l++)
				matrix[column * size + entries[l].column] +=
					value * (double) entries[l].rating;
		}
	}
	for (size_t j = 0; j < size; j++)
		if (!isfinite(diagonal[j]))
			return ALS_NOT_FINITE;
	if (matrix == NULL)
		return ALS_OK;
	for (size_t j = 0; j < size; j++)
		matrix[j * size + j] += features->ridge;
	return als_factorize_certain(features->blas, features->poll, (int) size,
								 matrix, (int) size);
}

/*
 * sums[nfeatures] := G' W Y, or G' (W Y - S P), for the columns of Y that begin at
 * rows and those of P that begin at priors
 */
static void
sum_rows(const AlsFeatures *features, const float *rows, const float *priors,
		 Columns *sums)
{
	size_t		stride = (size_t) als_stride(features->rank);
	AlsWork		work = {features->poll, 0};

	memset(sums, 0, features->nfeatures * sizeof(Columns));
	for (uint32_t r = 0; r < features->rows.nrows; r++)
	{
		size_t		n;
		const AlsEntry *entries = features_of(&features->rows, r, &n);
		Columns		row = TO_DOUBLES8(*(const Floats8 *) (rows + r * stride));

		row *= weight_of(features, r);
		if (priors != NULL)
			row -= features->scale[r] *
				TO_DOUBLES8(*(const Floats8 *) (priors + r * stride));
		als_work(&work, (n + 1) * ALS_FEATURE_COLUMNS);
		for (size_t k = 0; k < n; k++)
			sums[entries[k].column] += (double) entries[k].rating * row;
	}
}

/*
 * product := (G' W G + ridge I) p, unless it is NULL, and *curvature := p'(that)
 * of each column, which is half the work.
 */
static void
multiply(const AlsFeatures *features, const Columns *p, Columns *product,
		 Columns *curvature)
{
	AlsWork		work = {features->poll, 0};
	Columns		sum = {0};

	for (uint32_t j = 0; j < features->nfeatures; j++)
	{
		Columns		column = features->ridge * p[j];

		sum += column * p[j];
		if (product != NULL)
			product[j] = column;
	}
	for (uint32_t r = 0; r < features->rows.nrows; r++)
	{
		size_t		n;
		const AlsEntry *entries = features_of(&features->rows, r, &n);
		Columns		row = {0};
		Columns		scaled;

		als_work(&work, 2 * n * ALS_FEATURE_COLUMNS);
		for (size_t k = 0; k < n; k++)
			row += (double) entries[k].rating * p[entries[k].column];
		scaled = weight_of(features, r) * row;
		sum += scaled * row;
		for (size_t k = 0; k < n && product != NULL; k++)
			product[entries[k].column] += (double) entries[k].rating * scaled;
	}
	*curvature = sum;
}

/* By the factored matrix; columns [ALS_FEATURE_COLUMNS x nfeatures] is scratch. */
static void
solve_factored(const AlsFeatures *features, const Columns *right, Columns *x,
			   double *columns)
{
	const int	count = ALS_FEATURE_COLUMNS;
	const int	size = (int) features->nfeatures;
	int			info;

	for (int c = 0; c < count; c++)
		for (int j = 0; j < size; j++)
			columns[(size_t) c * (size_t) size + (size_t) j] = right[j][c];
	als_poll(features->poll);
	features->blas->dpotrs("L", &size, &count, features->matrix, &size,
						   columns, &size, &info, 1);
	for (int c = 0; c < count; c++)
		for (int j = 0; j < size; j++)
			x[j][c] = columns[(size_t) c * (size_t) size + (size_t) j];
}

/*
 * By conjugate gradient from x on, scaled by the diagonal: each column has steps
 * of its own, and the length of 0 once it is done.  r: in the residual at x;
 * p, q: scratch.
 */
static void
descend(const AlsFeatures *features, Columns *r, Columns *x, Columns *p,
		Columns *q)
{
	uint32_t	size = features->nfeatures;
	Columns		left = {0};
	Columns		enough = {0};

	for (uint32_t j = 0; j < size; j++)
	{
		double		reciprocal = 1 / features->diagonal[j];
		Columns		own = r[j] + features->diagonal[j] * x[j];

		p[j] = reciprocal * r[j];
		left += p[j] * r[j];
		enough += reciprocal * own * own;
	}
	enough *= NEGLIGIBLE_RESIDUAL * NEGLIGIBLE_RESIDUAL;
	for (int step = 1; step <= features->steps; step++)
	{
		int			last = step == features->steps;
		int			going = 0;
		Columns		curvature;
		Columns		length = {0};
		Columns		ratio = {0};
		Columns		next = {0};

		multiply(features, p, last ? NULL : q, &curvature);
		for (int c = 0; c < ALS_FEATURE_COLUMNS; c++)
			if (left[c] > enough[c] && curvature[c] > 0)
			{
				length[c] = left[c] / curvature[c];
				going = 1;
			}
		if (!going)
			break;
		for (uint32_t j = 0; j < size; j++)
		{
			x[j] += length * p[j];
			if (last)
				continue;
			r[j] -= length * q[j];
			next += 1 / features->diagonal[j] * r[j] * r[j];
		}
		if (last)
			break;
		for (int c = 0; c < ALS_FEATURE_COLUMNS; c++)
			if (length[c] > 0)
				ratio[c] = next[c] / left[c];
		for (uint32_t j = 0; j < size; j++)
			p[j] = 1 / features->diagonal[j] * r[j] + ratio * p[j];
		left = next;
	}
}

size_t
als_features_workspace(uint32_t nfeatures)
{
	return 4 * (size_t) nfeatures * sizeof(Columns);
}

void
als_features_solve(const AlsFeatures *features, int group, const float *rows,
				   const float *priors, float *factors, void *workspace)
{
	size_t		stride = (size_t) als_stride(features->rank);
	size_t		size = features->nfeatures;
	size_t		first = (size_t) group * ALS_FEATURE_COLUMNS;
	Columns    *right = workspace;
	Columns    *x = right + size;
	Columns    *p = x + size;
	Columns    *q = p + size;

	if (features->matrix != NULL)
	{
		sum_rows(features, rows + first, NULL, right);
		solve_factored(features, right, x, (double *) p);
	}
	else
	{
		sum_rows(features, rows + first, priors + first, right);
		for (size_t j = 0; j < size; j++)
		{
			x[j] = TO_DOUBLES8(*(const Floats8 *) (factors + j * stride + first));
			right[j] -= features->ridge * x[j];
		}
		descend(features, right, x, p, q);
	}
	for (size_t j = 0; j < size; j++)
		for (size_t c = 0; c < ALS_FEATURE_COLUMNS; c++)
			factors[j * stride + first + c] = (float) x[j][c];
}

void
als_features_priors(int rank, const AlsRows *rows, const double *scale,
					double most, const float *factors, float *priors,
					AlsPoll poll)
{
	size_t		stride = (size_t) als_stride(rank);
	AlsWork		work = {poll, 0};

	for (uint32_t r = 0; r < rows->nrows; r++)
	{
		float	   *prior = priors + r * stride;
		double		share = scale == NULL ? 1 : als_features_share(scale[r], most);
		size_t		n;
		const AlsEntry *entries = features_of(rows, r, &n);

		for (size_t i = 0; i < stride; i += 8)
		{
			Doubles8	sum = {0};

			als_work(&work, (n + 1) * 8);

			for (size_t k = 0; k < n; k++)
				sum += (double) entries[k].rating *
					TO_DOUBLES8(*(const Floats8 *)
								(factors + entries[k].column * stride + i));
			for (size_t c = 0; c < 8; c++)
				prior[i + c] = (float) (share * sum[c]);
		}
	}
}

/* By p = w / s B'g, w |y - B'g|^2 + (s - w) |y|^2 is s |y - p|^2 + (s / w - 1) s |p|^2. */
double
als_features_penalty(int rank, uint32_t nrows, const double *scale, double most,
					 const float *rows, const float *priors)
{
	size_t		stride = (size_t) als_stride(rank);
	double		sum = 0;

	for (uint32_t r = 0; r < nrows; r++)
	{
		const float *prior = priors + r * stride;
		double		rest = 1 / als_features_share(scale[r], most) - 1;

		sum += scale[r] * (als_squared_distance(rank, rows + r * stride, prior) +
						   (rest > 0 ? rest * als_squared_norm(rank, prior) : 0));
	}
	return sum;
}

double
als_features_norm(int rank, uint32_t nfeatures, const float *factors)
{
	double		sum = 0;

	for (uint32_t j = 0; j < nfeatures; j++)
		sum += als_squared_norm(rank, factors + j *
								(size_t) als_stride(rank));
	return sum;
}
