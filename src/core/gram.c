/*
 * gram.c
 *	  The Gram matrix of a side, and what rows are solved against.
 */
#include <float.h>
#include <string.h>

#include "als_core.h"
#include "factorize.h"
#include "outer_products.h"

/*
 * Rows whose products are summed in single precision: 512, and fewer where that
 * many products, rank^2 a row, would take long.
 */
#define SSYRK_ROWS 512
#define SSYRK_PRODUCTS ((size_t) 1 << 27)

/*
 * Sums in single precision do if no less than this is left of any diagonal
 * element when base is factored: the share by which they are wrong is to be
 * small beside it.
 */
#define LEAST_PIVOT 0x1p-5

size_t
als_gram_workspace(int rank)
{
	return (size_t) rank * (size_t) rank * sizeof(float);
}

/* gram = sum of f f', by ssyrk in groups of rows that are added in double */
void
als_gram(const AlsBlas *blas, AlsPoll poll, int rank, size_t nrows,
		 const float *rows, double *gram, void *workspace)
{
	size_t		n = (size_t) rank;
	int			stride = als_stride(rank);
	float	   *group = workspace;
	size_t		most = SSYRK_PRODUCTS / (n * n);
	size_t		rows_at_once = most < SSYRK_ROWS ? most : SSYRK_ROWS;
	const float one = 1;
	const float zero = 0;

	memset(gram, 0, n * n * sizeof(double));
	for (size_t first = 0; first < nrows; first += rows_at_once)
	{
		int			count = (int) (nrows - first < rows_at_once ?
								   nrows - first : rows_at_once);

		als_poll(poll);
		blas->ssyrk("L", "N", &rank, &count, &one,
					rows + first * (size_t) stride, &stride, &zero,
					group, &rank, 1, 1);
		for (size_t j = 0; j < n; j++)
			for (size_t i = j; i < n; i++)
				gram[j * n + i] += group[j * n + i];
	}
}

size_t
als_gram_exact_workspace(int rank)
{
	return ALS_OUTER_ROWS * (size_t) als_stride(rank) * sizeof(double);
}

void
als_gram_exact(const AlsBlas *blas, AlsPoll poll, int rank, size_t nrows,
			   const float *rows, double *gram, void *workspace)
{
	memset(gram, 0, (size_t) rank * (size_t) rank * sizeof(double));
	als_add_all_outer_products(blas, poll, rank, als_stride(rank), nrows, rows,
							   NULL, workspace, gram);
}

/* The matrix that is factored or diagonalized, and what that takes */
size_t
als_gram_finish_workspace(const AlsSystem *system)
{
	size_t		n = (size_t) system->rank;
	size_t		matrix = n * n * sizeof(double);

	if (!als_diagonalizes(system))
		return matrix;
	return matrix + (n * n + n) * sizeof(double) +
		als_diagonalize_workspace(system->rank);
}

/* Lower triangle of out [stride x stride] := that of a[n x n], in single */
static void
round_triangle(size_t n, size_t stride, const double *a, float *out)
{
	memset(out, 0, stride * stride * sizeof(float));
	for (size_t j = 0; j < n; j++)
		for (size_t i = j; i < n; i++)
			out[j * stride + i] = (float) a[j * n + i];
}

/* Writes Q and D of the Gram matrix, which is overwritten; 0 or an error. */
static int
diagonalize(const AlsSystem *system, double *gram, float *rotation,
			float *spectrum, double *vectors)
{
	size_t		n = (size_t) system->rank;
	size_t		stride = (size_t) als_stride(system->rank);
	double	   *values = vectors + n * n;
	int			info = als_diagonalize(system->blas, system->poll,
									   system->rank, gram, values, vectors,
									   values + n);

	if (info != 0)
		return info;
	memset(rotation, 0, stride * stride * sizeof(float));
	memset(spectrum, 0, stride * sizeof(float));
	for (size_t j = 0; j < n; j++)
	{
		/* rounding may carry one that is zero below it */
		spectrum[j] = values[j] > 0 ? (float) values[j] : 0;
		for (size_t i = 0; i < n; i++)
			rotation[j * stride + i] = (float) vectors[j * n + i];
	}
	return 0;
}

int
als_gram_finish(const AlsSystem *system, double regularization,
				int npartials, double *partials, int exact,
				float *base, float *base_factor, float *spectrum,
				void *workspace)
{
	int			rank = system->rank;
	size_t		n = (size_t) rank;
	size_t		stride = (size_t) als_stride(rank);
	double		shift = regularization *
		als_regularization_scale(system, NULL, NULL, 0);
	double		least = exact ? 4 * (double) FLT_EPSILON : LEAST_PIVOT;
	double	   *gram = partials;
	double	   *factored = workspace;
	int			info;

	for (int p = 1; p < npartials; p++)
	{
		als_poll(system->poll);
		for (size_t i = 0; i < n * n; i++)
			gram[i] += partials[(size_t) p * n * n + i];
	}
	memcpy(factored, gram, n * n * sizeof(double));
	for (size_t j = 0; j < n; j++)
		factored[j * n + j] += shift;
	round_triangle(n, stride, factored, base);

	info = als_factorize_certain(system->blas, system->poll, rank, factored,
								 rank);
	if (info != 0)
		return exact ? info : ALS_SUM_IN_DOUBLE;
	for (size_t j = 0; j < n; j++)
	{
		double		pivot = factored[j * n + j];

		if (!(pivot * pivot > least * (double) base[j * stride + j]))
			return exact ? ALS_SOLVE_IN_DOUBLE : ALS_SUM_IN_DOUBLE;
	}
	round_triangle(n, stride, factored, base_factor);
	if (!als_diagonalizes(system))
		return ALS_OK;
	memcpy(factored, gram, n * n * sizeof(double));
	return diagonalize(system, factored, base_factor, spectrum,
					   factored + n * n);
}
