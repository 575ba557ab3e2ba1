/*
 * kernels_reference.c
 *	  The kernels as plain loops: what the tuned ones are checked against.
 */
#include <math.h>

#include "kernels.h"

/* a.b */
static float
dot(int stride, const float *a, const float *b)
{
	float		sum = 0;

	for (int i = 0; i < stride; i++)
		sum += a[i] * b[i];
	return sum;
}

/* scores[k] = rows[k].x */
static void
scores(int stride, size_t nrows, const float *rows, const float *x,
	   float *scores)
{
	for (size_t k = 0; k < nrows; k++)
		scores[k] = dot(stride, rows + k * (size_t) stride, x);
}

/* sum += (target[k] - weight[k] rows[k].x) rows[k] */
static void
residual(int stride, size_t nrows, const float *rows, const float *weight,
		 const float *target, const float *x, float *sum, float *dots)
{
	for (size_t k = 0; k < nrows; k++)
	{
		const float *row = rows + k * (size_t) stride;
		float		coefficient;

		dots[k] = dot(stride, row, x);
		coefficient = target[k] - weight[k] * dots[k];
		for (int i = 0; i < stride; i++)
			sum[i] += coefficient * row[i];
	}
}

/* the same, after gathered[k] = fixed[entries[k].column] */
static void
gather_residual(int stride, size_t nrows, size_t available,
				const float *fixed, const AlsEntry *entries,
				const float *weight, const float *target, const float *x,
				float *gathered, float *sum, float *dots)
{
	(void) available;
	for (size_t k = 0; k < nrows; k++)
		for (int i = 0; i < stride; i++)
			gathered[k * (size_t) stride + (size_t) i] =
				fixed[entries[k].column * (size_t) stride + (size_t) i];
	residual(stride, nrows, gathered, weight, target, x, sum, dots);
}

/* sum += fixed[entries[k].column] where the rating is above 0 */
static void
sum_rows(int stride, size_t nrows, size_t available, const float *fixed,
		 const AlsEntry *entries, float *sum)
{
	(void) available;
	for (size_t k = 0; k < nrows; k++)
		if (entries[k].rating > 0)
			for (int i = 0; i < stride; i++)
				sum[i] += fixed[entries[k].column * (size_t) stride + (size_t) i];
}

/*
 * lower triangle of a += weight[k] f_k f_k' and b += target[k] f_k, after
 * gathered[k] = f_k = fixed[entries[k].column]
 */
static void
gather_equations(int rank, int stride, size_t nrows, size_t available,
				 const float *fixed, const AlsEntry *entries,
				 const float *weight, const float *target, float *gathered,
				 float *a, float *b)
{
	(void) available;
	for (size_t k = 0; k < nrows; k++)
	{
		const float *from = fixed + entries[k].column * (size_t) stride;
		float	   *row = gathered + k * (size_t) stride;

		for (int i = 0; i < stride; i++)
		{
			row[i] = from[i];
			b[i] += target[k] * row[i];
		}
		for (int j = 0; j < rank; j++)
		{
			float		scaled = weight[k] * row[j];

			for (int i = j; i < rank; i++)
				a[(size_t) j * (size_t) stride + (size_t) i] += scaled * row[i];
		}
	}
}

/* a = L L' */
static int
cholesky(int rank, int stride, float *a)
{
	size_t		d = (size_t) stride;
	size_t		n = (size_t) rank;

	for (size_t j = 0; j < n; j++)
	{
		for (size_t k = 0; k < j; k++)
			for (size_t i = j; i < n; i++)
				a[j * d + i] -= a[k * d + i] * a[k * d + j];
		if (!(a[j * d + j] > 0))
			return (int) j + 1;
		a[j * d + j] = sqrtf(a[j * d + j]);
		for (size_t i = j + 1; i < n; i++)
			a[j * d + i] /= a[j * d + j];
	}
	return 0;
}

/* x := (L L')^-1 x */
static void
cholesky_solve(int rank, int stride, const float *a, float *x)
{
	size_t		d = (size_t) stride;
	size_t		n = (size_t) rank;

	for (size_t j = 0; j < n; j++)
	{
		x[j] /= a[j * d + j];
		for (size_t i = j + 1; i < n; i++)
			x[i] -= a[j * d + i] * x[j];
	}
	for (size_t j = n; j-- > 0;)
	{
		for (size_t i = j + 1; i < n; i++)
			x[j] -= a[j * d + i] * x[i];
		x[j] /= a[j * d + j];
	}
}

/* finds the rows i for which the sum of x_d (byte d - 128) suffices */
static void
byte_search(int stride, const uint32_t *quads, int n,
			const AlsQuery *const *queries, const int16_t *least,
			uint64_t *found)
{
	for (int q = 0; q < n; q++)
	{
		found[q] = 0;
		for (int i = 0; i < ALS_INDEX_BLOCK; i++)
		{
			int			sum = 0;

			for (int d = 0; d < stride; d++)
			{
				uint32_t	quad = quads[als_index_quad(i, d)];

				sum += queries[q]->bytes[d] *
					((int) (quad >> 8 * (d % 4) & 0xff) - 128);
			}
			found[q] |= (uint64_t) (sum >= least[q]) << i;
		}
	}
}

const AlsKernels als_kernels_reference = {
	"reference", dot, scores, residual, gather_residual, sum_rows,
	gather_equations,
	cholesky, cholesky_solve, byte_search
};
