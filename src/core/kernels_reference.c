/*
 * kernels_reference.c
 *	  The kernels as plain loops: what the tuned ones are checked against.
 */
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

/* lower triangle of a += weight[k] rows[k] rows[k]' */
static void
weighted_gram(int rank, int stride, size_t nrows, const float *rows,
			  const float *weight, float *a)
{
	for (size_t k = 0; k < nrows; k++)
	{
		const float *row = rows + k * (size_t) stride;

		for (int j = 0; j < rank; j++)
		{
			float		scaled = weight[k] * row[j];

			for (int i = j; i < rank; i++)
				a[(size_t) j * (size_t) stride + (size_t) i] += scaled * row[i];
		}
	}
}

/* finds the rows i for which the sum of x_d (byte d - 128) suffices */
static void
byte_search(int stride, const uint16_t *pairs, int n,
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
				int			pair = pairs[als_index_pair(i, d)];

				sum += queries[q]->bytes[d] *
					((d % 2 == 0 ? pair & 0xff : pair >> 8) - 128);
			}
			found[q] |= (uint64_t) (sum >= least[q]) << i;
		}
	}
}

const AlsKernels als_kernels_reference = {
	"reference", dot, scores, residual, gather_residual, weighted_gram, byte_search
};
