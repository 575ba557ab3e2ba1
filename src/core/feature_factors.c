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
 * Conjugate gradient ends when the residual has fallen to this share of the
 * right-hand side's size, both scaled by the diagonal: factors are stored in
 * single precision.  Or after so many steps, from which the next call goes on.
 */
#define NEGLIGIBLE_RESIDUAL 1e-7
#define MOST_STEPS 200

/* A number for each of a group's columns */
typedef Doubles8 Columns;

/* A row's features */
static inline const AlsEntry *
features_of(const AlsRows *rows, uint32_t r, size_t *n)
{
	*n = (size_t) (rows->start[r + 1] - rows->start[r]);
	return rows->entries + (rows->start[r] - rows->start[0]);
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

		als_work(&work, matrix != NULL ? n * n : n);
		for (size_t k = 0; k < n; k++)
		{
			double		value = features->scale[r] * (double) entries[k].rating;
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

/* sums[nfeatures] := G' S Y for the columns of Y that begin at rows */
static void
sum_rows(const AlsFeatures *features, const float *rows, Columns *sums)
{
	size_t		stride = (size_t) als_stride(features->rank);
	AlsWork		work = {features->poll, 0};

	memset(sums, 0, features->nfeatures * sizeof(Columns));
	for (uint32_t r = 0; r < features->rows.nrows; r++)
	{
		size_t		n;
		const AlsEntry *entries = features_of(&features->rows, r, &n);
		Columns		row = features->scale[r] *
			TO_DOUBLES8(*(const Floats8 *) (rows + r * stride));

		als_work(&work, (n + 1) * ALS_FEATURE_COLUMNS);
		for (size_t k = 0; k < n; k++)
			sums[entries[k].column] += (double) entries[k].rating * row;
	}
}

/* product := (G' S G + ridge I) x */
static void
multiply(const AlsFeatures *features, const Columns *x, Columns *product)
{
	AlsWork		work = {features->poll, 0};

	for (uint32_t j = 0; j < features->nfeatures; j++)
		product[j] = features->ridge * x[j];
	for (uint32_t r = 0; r < features->rows.nrows; r++)
	{
		size_t		n;
		const AlsEntry *entries = features_of(&features->rows, r, &n);
		Columns		row = {0};

		als_work(&work, 2 * n * ALS_FEATURE_COLUMNS);
		for (size_t k = 0; k < n; k++)
			row += (double) entries[k].rating * x[entries[k].column];
		row *= features->scale[r];
		for (size_t k = 0; k < n; k++)
			product[entries[k].column] += (double) entries[k].rating * row;
	}
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

/* *square := sums of r o r / diagonal, column by column */
static void
scaled_square(const AlsFeatures *features, const Columns *r, Columns *square)
{
	Columns		sum = {0};

	for (uint32_t j = 0; j < features->nfeatures; j++)
		sum += r[j] * r[j] / features->diagonal[j];
	*square = sum;
}

/*
 * By conjugate gradient from x on: each column has steps of its own, and the
 * length of 0 once it is done.  r: in the right-hand side; p, q: scratch.
 */
static void
solve_by_steps(const AlsFeatures *features, Columns *r, Columns *x,
			   Columns *p, Columns *q)
{
	uint32_t	size = features->nfeatures;
	Columns		enough;
	Columns		left;

	scaled_square(features, r, &enough);
	enough *= NEGLIGIBLE_RESIDUAL * NEGLIGIBLE_RESIDUAL;
	multiply(features, x, q);
	for (uint32_t j = 0; j < size; j++)
	{
		r[j] -= q[j];
		p[j] = r[j] / features->diagonal[j];
	}
	scaled_square(features, r, &left);
	for (int step = 0; step < MOST_STEPS; step++)
	{
		Columns		curvature = {0};
		Columns		length = {0};
		Columns		ratio = {0};
		Columns		next;
		int			going = 0;

		multiply(features, p, q);
		for (uint32_t j = 0; j < size; j++)
			curvature += p[j] * q[j];
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
			r[j] -= length * q[j];
		}
		scaled_square(features, r, &next);
		for (int c = 0; c < ALS_FEATURE_COLUMNS; c++)
			if (length[c] > 0)
				ratio[c] = next[c] / left[c];
		for (uint32_t j = 0; j < size; j++)
			p[j] = r[j] / features->diagonal[j] + ratio * p[j];
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
				   float *factors, void *workspace)
{
	size_t		stride = (size_t) als_stride(features->rank);
	size_t		size = features->nfeatures;
	size_t		first = (size_t) group * ALS_FEATURE_COLUMNS;
	Columns    *right = workspace;
	Columns    *x = right + size;
	Columns    *p = x + size;
	Columns    *q = p + size;

	sum_rows(features, rows + first, right);
	if (features->matrix != NULL)
		solve_factored(features, right, x, (double *) p);
	else
	{
		for (size_t j = 0; j < size; j++)
			x[j] = TO_DOUBLES8(*(const Floats8 *) (factors + j * stride + first));
		solve_by_steps(features, right, x, p, q);
	}
	for (size_t j = 0; j < size; j++)
		for (size_t c = 0; c < ALS_FEATURE_COLUMNS; c++)
			factors[j * stride + first + c] = (float) x[j][c];
}

void
als_features_priors(int rank, const AlsRows *rows, const float *factors,
					float *priors, AlsPoll poll)
{
	size_t		stride = (size_t) als_stride(rank);
	AlsWork		work = {poll, 0};

	for (uint32_t r = 0; r < rows->nrows; r++)
	{
		float	   *prior = priors + r * stride;
		size_t		n;
		const AlsEntry *entries = features_of(rows, r, &n);

		als_work(&work, (n + 1) * stride);
		for (size_t i = 0; i < stride; i += 8)
		{
			Doubles8	sum = {0};

			for (size_t k = 0; k < n; k++)
				sum += (double) entries[k].rating *
					TO_DOUBLES8(*(const Floats8 *)
								(factors + entries[k].column * stride + i));
			for (size_t c = 0; c < 8; c++)
				prior[i + c] = (float) sum[c];
		}
	}
}

double
als_features_penalty(int rank, uint32_t nrows, const double *scale,
					 const float *rows, const float *priors)
{
	size_t		stride = (size_t) als_stride(rank);
	double		sum = 0;

	for (uint32_t r = 0; r < nrows; r++)
		sum += scale[r] * als_squared_distance(rank, rows + r * stride,
											   priors + r * stride);
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
