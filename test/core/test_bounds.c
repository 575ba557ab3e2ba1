/*
 * test_bounds.c
 *	  Bounds on inner products are never below them, and often close.
 */
#include "problem.h"
#include "tap.h"
#include "tests.h"

#include <stdlib.h>
#include <string.h>

/* Rows whose directions fade, as those of factors do, and a few odd ones */
static void
fill_rows(float *rows, int rank, size_t nrows, double fade, Random *random)
{
	size_t		stride = (size_t) als_stride(rank);

	memset(rows, 0, nrows * stride * sizeof(float));
	for (size_t r = 0; r < nrows; r++)
	{
		double		scale = 10 / (1 + (double) r);

		for (size_t i = 0; i < (size_t) rank; i++)
		{
			rows[r * stride + i] = (float) (random_normal(random) * scale);
			scale *= fade;
		}
	}
	/* zeros, one direction only, very long and very short */
	memset(rows, 0, stride * sizeof(float));
	memset(rows + stride, 0, stride * sizeof(float));
	rows[stride + (size_t) rank - 1] = 3;
	for (size_t i = 0; i < (size_t) rank; i++)
	{
		rows[2 * stride + i] = 1e15f;
		rows[3 * stride + i] = 1e-15f;
	}
}

/* Every pair of rows, one shape */
static void
check_bounds(const AlsKernels *kernels, int rank, double fade,
			 Random *random)
{
	size_t		stride = (size_t) als_stride(rank);
	size_t		nrows = 300;
	float	   *rows = allocate_aligned(nrows * stride * sizeof(float));
	float	   *basis = allocate_aligned(ALS_BOUND * stride * sizeof(float));
	float	   *bounds = allocate_aligned(nrows * ALS_BOUND * sizeof(float));
	void	   *workspace = allocate_aligned(als_bounds_workspace((int) stride,
																  nrows));
	size_t		below = 0;
	size_t		apart = 0;

	fill_rows(rows, rank, nrows, fade, random);
	als_bounds_basis(kernels, (int) stride, nrows - 4, rows + 4 * stride,
					 basis, workspace);
	als_bounds(kernels, (int) stride, nrows, rows, basis, bounds);
	for (size_t x = 0; x < nrows; x++)
	{
		float		one[ALS_BOUND] __attribute__((aligned(64)));

		/* the bound of a row alone is that among the others */
		als_bounds(kernels, (int) stride, 1, rows + x * stride, basis, one);
		apart += memcmp(one, bounds + x * ALS_BOUND, sizeof(one)) != 0;
		for (size_t y = 0; y < nrows; y++)
			below += kernels->dot(ALS_BOUND, one, bounds + y * ALS_BOUND) <
				kernels->dot((int) stride, rows + x * stride,
							 rows + y * stride);
	}
	ok(below == 0, "%s: bounds of rank %d, fading by %g, hold for all pairs",
	   kernels->name, rank, fade);
	ok(apart == 0, "%s: bounds of rank %d, fading by %g, do not depend on other rows",
	   kernels->name, rank, fade);
	free(rows);
	free(basis);
	free(bounds);
	free(workspace);
}

void
test_bounds(void)
{
	static const char *const names[] = {"reference", "generic", "avx2", "avx512"};
	static const int ranks[] = {17, 32, 64, 100, 300};
	static const double fades[] = {1, 0.9, 0.5};
	Random		random = {7};

	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
	{
		const AlsKernels *kernels = als_kernels(names[n]);

		if (kernels == NULL)
		{
			skip("this machine cannot run them", "%s: bounds", names[n]);
			continue;
		}
		for (size_t r = 0; r < sizeof(ranks) / sizeof(ranks[0]); r++)
			for (size_t f = 0; f < sizeof(fades) / sizeof(fades[0]); f++)
				check_bounds(kernels, ranks[r], fades[f], &random);
	}
}
