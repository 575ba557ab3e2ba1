/*
 * factorize.c
 *	  Matrices factored in double, in steps that can be polled between.
 *
 * LAPACK's own routines take up to a second with ALS_MAX_FACTORS, and cannot be
 * interrupted.  So the outer loops are here, over blocks of LAPACK's size.
 */
#include "factorize.h"

#include <float.h>
#include <string.h>

/* Columns of a step of the Cholesky factorization */
#define CHOLESKY_BLOCK 128

/* Columns that are made tridiagonal in a step */
#define TRIDIAGONAL_PANEL 32

/* Eigenvectors that the reflectors are applied to in a step */
#define REFLECTED 64

/* What dormtr wants: see LAPACK's dormqr */
#define DORMTR_WORK (65 * 64 + REFLECTED * 64)

int
als_factorize(const AlsBlas *blas, AlsPoll poll, int n, double *a, int stride)
{
	const double one = 1;
	const double minus = -1;

	for (int j = 0; j < n; j += CHOLESKY_BLOCK)
	{
		int			width = n - j < CHOLESKY_BLOCK ? n - j : CHOLESKY_BLOCK;
		int			below = n - j - width;
		double	   *diagonal = a + (size_t) j * (size_t) stride + j;
		double	   *panel = diagonal + width;
		int			info;

		als_poll(poll);
		blas->dpotrf("L", &width, diagonal, &stride, &info, 1);
		if (info != 0)
			return j + info;
		if (below == 0)
			break;
		blas->dtrsm("R", "L", "T", "N", &below, &width, &one, diagonal,
					&stride, panel, &stride, 1, 1, 1, 1);
		als_poll(poll);
		blas->dsyrk("L", "N", &below, &width, &minus, panel, &stride, &one,
					panel + (size_t) width * (size_t) stride, &stride, 1, 1);
	}
	return 0;
}

int
als_factorize_certain(const AlsBlas *blas, AlsPoll poll, int n, double *a,
					  int stride)
{
	size_t		d = (size_t) stride;
	int			info = als_factorize(blas, poll, n, a, stride);

	if (info != 0)
		return info;
	for (size_t j = 0; j < (size_t) n; j++)
	{
		double		pivot = a[j * d + j];
		double		diagonal = 0;	/* of L L' */

		for (size_t k = 0; k <= j; k++)
			diagonal += a[k * d + j] * a[k * d + j];
		if (!(pivot * pivot > 4 * DBL_EPSILON * (double) n * diagonal))
			return (int) j + 1;
	}
	return 0;
}

void
als_factorized_solve(const AlsBlas *blas, int n, const double *a, int stride,
					 double *x)
{
	const int	one = 1;
	int			info;

	blas->dpotrs("L", &n, &one, a, &stride, x, &stride, &info, 1);
}

size_t
als_diagonalize_workspace(int n)
{
	size_t		size = (size_t) n;
	size_t		panel = size * TRIDIAGONAL_PANEL;
	size_t		tridiagonal = 18 * size;
	size_t		work = panel > tridiagonal ? panel : tridiagonal;

	if (work < DORMTR_WORK)
		work = DORMTR_WORK;
	return (size * 5 + work) * sizeof(double) + size * 12 * sizeof(int);
}

/*
 * T = H' A H, tridiagonal: its diagonal and what is beside it, with H, a product
 * of reflectors, in place of A.  What LAPACK's dsytrd does.
 */
static void
make_tridiagonal(const AlsBlas *blas, AlsPoll poll, int n, double *a,
				 double *diagonal, double *beside, double *scales,
				 double *work)
{
	size_t		stride = (size_t) n;
	const double one = 1;
	const double minus = -1;
	const int	panel = TRIDIAGONAL_PANEL;
	const int	nwork = TRIDIAGONAL_PANEL * n;
	int			i = 0;
	int			left;
	int			info;

	for (; n - i > 2 * TRIDIAGONAL_PANEL; i += TRIDIAGONAL_PANEL)
	{
		double	   *corner = a + (size_t) i * stride + i;
		int			below = n - i - TRIDIAGONAL_PANEL;

		als_poll(poll);
		left = n - i;
		blas->dlatrd("L", &left, &panel, corner, &n, beside + i, scales + i,
					 work, &n, 1);
		als_poll(poll);
		blas->dsyr2k("L", "N", &below, &panel, &minus, corner + panel, &n,
					 work + panel, &n, &one,
					 corner + TRIDIAGONAL_PANEL * stride + panel, &n, 1, 1);
		for (size_t j = 0; j < TRIDIAGONAL_PANEL; j++)
		{
			corner[j * stride + j + 1] = beside[(size_t) i + j];
			diagonal[(size_t) i + j] = corner[j * stride + j];
		}
	}
	left = n - i;
	blas->dsytrd("L", &left, a + (size_t) i * stride + i, &n, diagonal + i,
				 beside + i, scales + i, work, &nwork, &info, 1);
}

/* T = V diag(values) V', by relatively robust representations, or else by QR */
static int
diagonalize_tridiagonal(const AlsBlas *blas, int n, const double *diagonal,
						const double *beside, double *values, double *vectors,
						double *copy, double *work, int *integers)
{
	size_t		size = (size_t) n * sizeof(double);
	const double zero = 0;
	const int	nwork = 18 * n;
	const int	nintegers = 10 * n;
	int			relative = 1;
	int			found;
	int			info;

	memcpy(copy, diagonal, size);
	memcpy(copy + n, beside, size);
	blas->dstemr("V", "A", &n, copy, copy + n, &zero, &zero, &n, &n, &found,
				 values, vectors, &n, &n, integers + nintegers, &relative,
				 work, &nwork, integers, &nintegers, &info, 1, 1);
	if (info == 0 && found == n)
		return 0;

	memcpy(values, diagonal, size);
	memcpy(copy + n, beside, size);
	blas->dsteqr("I", &n, values, copy + n, vectors, &n, work, &info, 1);
	return info;
}

int
als_diagonalize(const AlsBlas *blas, AlsPoll poll, int n, double *a,
				double *values, double *vectors, void *workspace)
{
	size_t		size = (size_t) n;
	double	   *diagonal = workspace;
	double	   *beside = diagonal + size;
	double	   *scales = beside + size;
	double	   *copy = scales + size;
	int		   *integers = (int *) (copy + 2 * size);
	double	   *work = (double *) (integers + 12 * size);
	const int	nwork = DORMTR_WORK;
	int			info;

	make_tridiagonal(blas, poll, n, a, diagonal, beside, scales, work);
	als_poll(poll);
	info = diagonalize_tridiagonal(blas, n, diagonal, beside, values, vectors,
								   copy, work, integers);
	if (info != 0)
		return info;
	for (int j = 0; j < n; j += REFLECTED)
	{
		int			count = n - j < REFLECTED ? n - j : REFLECTED;

		als_poll(poll);
		blas->dormtr("L", "L", "N", &n, &count, a, &n, scales,
					 vectors + (size_t) j * size, &n, work, &nwork, &info,
					 1, 1, 1);
	}
	return 0;
}
