/*
 * bounds.c
 *	  Upper bounds on inner products, from a sixteenth of the memory or so.
 *
 * With an orthonormal basis of a few directions, a vector is its head, the
 * coordinates along those, and a tail at right angles to them.  By Cauchy and
 * Schwarz
 *
 *	  x.y <= head(x).head(y) + |tail(x)| |tail(y)|
 *
 * which is the inner product of two vectors of ALS_BOUND floats, the head and
 * the length of the tail.  Any basis is right; that of the principal
 * directions leaves the shortest tails.
 */
#include <math.h>
#include <string.h>

#include "als_core.h"

#define DIRECTIONS (ALS_BOUND - 1)

/* Rounds of subspace iteration; what they leave only loosens the bounds */
#define ROUNDS 6

/*
 * Tails are taken this much longer, as a share of the squared length: more
 * than what rounding the basis, the head and the score itself can lose.
 */
#define SLACK 2e-5f

/* v := v - (u.v) u for the directions before it, then v / |v| */
static void
orthonormalize(const AlsKernels *kernels, int stride, int count,
			   float *basis)
{
	for (int v = 0; v < count; v++)
	{
		float	   *vector = basis + v * stride;
		float		length;

		/* twice is enough */
		for (int u = 0; u < 2 * v; u++)
		{
			const float *other = basis + u % v * stride;
			float		along = kernels->dot(stride, other, vector);

			for (int i = 0; i < stride; i++)
				vector[i] -= along * other[i];
		}
		length = sqrtf(kernels->dot(stride, vector, vector));
		for (int i = 0; i < stride; i++)
			vector[i] = length > 0 ? vector[i] / length : 0;
	}
}

size_t
als_bounds_workspace(int stride, size_t nrows)
{
	return ((size_t) stride * (size_t) stride +
			(size_t) ALS_BOUND * (size_t) stride + nrows) * sizeof(float);
}

void
als_bounds_basis(const AlsKernels *kernels, int stride, size_t nrows,
				 const float *rows, float *basis, void *workspace)
{
	size_t		n = (size_t) stride;
	float	   *gram = workspace;
	float	   *next = gram + n * n;
	float	   *ones = next + ALS_BOUND * n;

	for (size_t r = 0; r < nrows; r++)
		ones[r] = 1;
	memset(gram, 0, n * n * sizeof(float));
	kernels->weighted_gram(stride, stride, nrows, rows, ones, gram);
	for (size_t j = 0; j < n; j++)
		for (size_t i = j + 1; i < n; i++)
			gram[i * n + j] = gram[j * n + i];

	memset(basis, 0, DIRECTIONS * n * sizeof(float));
	for (size_t v = 0; v < DIRECTIONS; v++)
		basis[v * n + v] = 1;
	for (int round = 0; round < ROUNDS; round++)
	{
		for (size_t v = 0; v < DIRECTIONS; v++)
			kernels->scores(stride, n, gram, basis + v * n, next + v * n);
		memcpy(basis, next, DIRECTIONS * n * sizeof(float));
		orthonormalize(kernels, stride, DIRECTIONS, basis);
	}
}

void
als_bounds(const AlsKernels *kernels, int stride, size_t nrows,
		   const float *rows, const float *basis, float *bounds)
{
	for (size_t r = 0; r < nrows; r++)
	{
		const float *row = rows + r * (size_t) stride;
		float	   *bound = bounds + r * ALS_BOUND;
		float		square = kernels->dot(stride, row, row);
		float		tail = square * (1 + SLACK);

		kernels->scores(stride, DIRECTIONS, basis, row, bound);
		for (int v = 0; v < DIRECTIONS; v++)
			tail -= bound[v] * bound[v];
		bound[DIRECTIONS] = sqrtf(tail > square * SLACK ? tail :
								  square * SLACK);
	}
}
