/*
 * solve_cg.c
 *	  Conjugate gradient for one row, beginning with its present factors.
 *
 * The matrix is A = shift I + sum w f f', with shift = 1 in whitened
 * coordinates (implicit) or lambda s (explicit), so a product with it is one
 * pass over the gathered rows.  The objective f(x) = x'Ax - 2 b'x + f(0) takes
 * no pass of its own: it is known at the start from the inner products of the
 * first residual, and every step lowers it by length * |r|^2.  The residual
 * after the last step is not used, and the length of that step needs p'Ap only,
 * which is half a pass.
 *
 * More steps can lower f by r'A^-1 r at most, and A is no less than shift I, so
 * |r|^2 / shift bounds that.  A row ends early when this is a small share of
 * what its steps have won: most rows after two steps where ratings weigh as
 * little as with alpha = 1, next to none with alpha = 40.  A share of |r|^2 at
 * the start is no such measure: where few ratings weigh much, |r|^2 falls first
 * and the error last.
 *
 * Where implicit rows differ in lambda s, no whitening of the fixed rows suits
 * all of them.  Then these are turned such that the Gram matrix is a diagonal
 * D, B = D + lambda s I is diagonal for every row, and each row is whitened on
 * its own by B^-1/2: x^ = B^1/2 x, A^ = I + B^-1/2 (sum w f f') B^-1/2.
 *
 * A prior p adds lambda s p to b, and lambda s (|p|^2 - 2 p.x) to f(x).  It is
 * transformed as the fixed rows are, so that p^.x^ = p.x.
 */
#include "solve_cg.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "regularization.h"
#include "vectors.h"

/* Residuals are small enough when |r|^2 has fallen to this share */
#define NEGLIGIBLE_RESIDUAL 1e-16f

/* Eigenvalues of A beside shift that leave four bits of the residual */
#define MOST_STIFF (0x1p-3f / FLT_EPSILON)

/*
 * Each of the steps allowed is to leave no more than this share of the error:
 * 1/27 in all by default.  docs/experiments.md has what was measured.
 */
#define SHARE_LEFT (1.0f / 3)

/* y := a x + b y */
static void
combine(int stride, float a, const float *x, float b, float *y)
{
	const Floats16 *from = (const Floats16 *) x;
	Floats16   *to = (Floats16 *) y;

	for (int i = 0; i < stride / 16; i++)
		to[i] = a * from[i] + b * to[i];
}

/*
 * The power of two next below a vector's largest element; 0 if all are zero
 * or denormal, infinity if one is not finite: the largest exponent of all.
 */
static float
magnitude(int stride, const float *x)
{
	uint32_t	largest = 0;
	float		power;

	for (int i = 0; i < stride; i++)
	{
		uint32_t	exponent;

		memcpy(&exponent, &x[i], sizeof(exponent));
		exponent &= 0x7f800000;
		if (exponent > largest)
			largest = exponent;
	}
	memcpy(&power, &largest, sizeof(power));
	return power;
}

/* y := a o x, element by element */
static void
multiply(int stride, const float *a, const float *x, float *y)
{
	const Floats16 *factor = (const Floats16 *) a;
	const Floats16 *from = (const Floats16 *) x;
	Floats16   *to = (Floats16 *) y;

	for (int i = 0; i < stride / 16; i++)
		to[i] = factor[i] * from[i];
}

/*
 * sum := sum over the row of (target - weight f.x) f, with the real targets or
 * with zeros.  With the real ones also adds to *objective what the ratings
 * contribute.  Chunks are summed apart, then added up.  scaled: the row is
 * whitened by workspace->scale.
 */
static void
pass(const AlsSystem *system, const Row *row, const Workspace *workspace,
	 int scaled, const float *x, float *sum, double *objective)
{
	int			stride = als_stride(system->rank);

	if (scaled)
	{
		multiply(stride, workspace->scale, x, workspace->scaled);
		x = workspace->scaled;
	}
	memset(sum, 0, (size_t) stride * sizeof(float));
	for (size_t first = 0; first < row->n; first += workspace->chunk)
	{
		const float *target = objective != NULL ? workspace->target :
			workspace->zero;
		size_t		n = row->n;

		memset(workspace->partial, 0, (size_t) stride * sizeof(float));

		/* the first pass has loaded a row of one chunk for the others too */
		if (row->n > workspace->chunk || objective != NULL)
		{
			n = als_load_weights(system, row, first, workspace);
			system->kernels->gather_residual(stride, n, row->available - first,
											 system->fixed,
											 row->entries + first,
											 workspace->weight, target, x,
											 workspace->gathered,
											 workspace->partial,
											 workspace->dots);
		}
		else
			system->kernels->residual(stride, n, workspace->gathered,
									  workspace->weight, target, x,
									  workspace->partial, workspace->dots);
		combine(stride, 1, workspace->partial, 1, sum);
		if (objective != NULL)
			*objective += als_chunk_objective(system, row, workspace, n);
	}
	if (scaled)
		multiply(stride, workspace->scale, sum, sum);
}

/*
 * Sum of w (f.p)^2 over the row: p'Ap but for the shift.  For a row of one
 * chunk after the first pass.  scaled: as above.
 */
static float
curvature(const AlsSystem *system, const Row *row, const Workspace *workspace,
		  int scaled, const float *p)
{
	int			stride = als_stride(system->rank);
	const Floats16 *weight = (const Floats16 *) workspace->weight;
	const Floats16 *dots = (const Floats16 *) workspace->dots;
	float		sum = 0;

	if (scaled)
	{
		multiply(stride, workspace->scale, p, workspace->scaled);
		p = workspace->scaled;
	}
	for (size_t first = 0; first < row->n; first += workspace->chunk)
	{
		size_t		n = row->n;
		Floats16	partial = {0};

		if (row->n > workspace->chunk)
			n = als_load_chunk(system, row, first, workspace);
		system->kernels->scores(stride, n, workspace->gathered, p,
								workspace->dots);
		for (size_t k = 0; k < n / 16; k++)
			partial += weight[k] * dots[k] * dots[k];
		for (size_t k = n / 16 * 16; k < n; k++)
			sum += workspace->weight[k] * workspace->dots[k] *
				workspace->dots[k];
		for (int i = 0; i < 16; i++)
			sum += partial[i];
	}
	return sum;
}

/*
 * What single precision is good enough for.  stiffness: the largest eigenvalue
 * of A / shift, as far as the steps have met it.
 *
 * The objective is that at the start less what the steps have won, each of which
 * may be wrong by eps of it.  Besides, f.x may be wrong by eps |f| |x|, which
 * changes the objective by 2 (w f.x - t) as much: in all by no more than
 * 2 eps |x| sqrt(stiffness shift objective).  And shift |x|^2, part of which the
 * terms of the ratings cancel, may be wrong by eps of it, as lambda s |p|^2,
 * prior_size, may be.
 *
 * The residual is wrong by eps stiffness shift |x|.  If that is not small beside
 * shift |x|, directions that no rating points to are lost in it.
 */
static Trust
judge(const AlsSystem *system, const Row *row, float shift, float stiffness,
	  const float *x, double prior_size, double start, double objective)
{
	double		size = prior_size + (shift > 0 ? (double) shift : 1) *
		(double) system->kernels->dot(als_stride(system->rank), x, x);
	double		error;

	if ((system->feedback == ALS_IMPLICIT || row->weights != NULL) &&
		!(stiffness <= MOST_STIFF))
		return TRUST_NOTHING;
	error = (double) FLT_EPSILON *
		(start - objective + sqrt(size * (double) stiffness * start) + size);
	return error <= ALS_LOSS_TOLERANCE * objective ? TRUST_ALL :
		TRUST_SOLUTION;
}

/*
 * Descends from x, both in the coordinates that the row is solved in.  lambda:
 * that of the row, times s.
 */
static int
descend(const AlsSystem *system, const Row *row, const Workspace *workspace,
		double lambda, float shift, int scaled, float *x, double *objective,
		Trust *trust)
{
	const AlsKernels *kernels = system->kernels;
	int			stride = als_stride(system->rank);
	float	   *r = workspace->r;
	float	   *p = workspace->p;
	float	   *q = workspace->q;
	float		unit;
	float		rr;
	float		enough;

	/* |r|^2 is small enough when it is this share of what has been won */
	float		share = powf(SHARE_LEFT, (float) system->cg_steps) * shift;
	float		won = 0;		/* by how much the steps have lowered f */
	float		ratio = 1;		/* of |r|^2 after and before a step */
	float		curved = 0;		/* ratio / length of the step before */
	float		stiffness = 0;	/* largest r'Ar / |r|^2 */
	double		prior_size = 0;
	double		start;

	/* r = b - A x */
	*objective = (double) shift * als_squared_norm(system->rank, x);
	pass(system, row, workspace, scaled, x, r, objective);
	combine(stride, -shift, x, 1, r);
	if (row->turned_prior != NULL)
	{
		prior_size = lambda * als_squared_norm(system->rank, row->prior);
		*objective += prior_size - 2 * lambda *
			(double) kernels->dot(stride, row->turned_prior, x);
		combine(stride, (float) lambda, row->turned_prior, 1, r);
	}
	start = *objective;

	/*
	 * From here on r, p and q are in units of r's magnitude: exact, and their
	 * inner products neither overflow nor vanish.
	 */
	unit = magnitude(stride, r);
	if (isinf(unit))
		return ALS_NOT_FINITE;
	if (unit == 0)
	{
		*trust = judge(system, row, shift, 1, x, prior_size, start, start);
		return ALS_OK;
	}
	combine(stride, 0, r, 1 / unit, r);

	memcpy(p, r, (size_t) stride * sizeof(float));
	rr = kernels->dot(stride, r, r);
	enough = rr * NEGLIGIBLE_RESIDUAL;
	for (int step = 0; step < system->cg_steps && rr > enough; step++)
	{
		/* the last step, if |r|^2 falls again as it did before */
		int			last = step == system->cg_steps - 1 ||
			rr * ratio <= share * won;
		float		pq;
		float		length;
		float		next;

		if (last)
			pq = shift * kernels->dot(stride, p, p) +
				curvature(system, row, workspace, scaled, p);
		else
		{
			/* q = -A p */
			pass(system, row, workspace, scaled, p, q, NULL);
			combine(stride, -shift, p, 1, q);
			pq = -kernels->dot(stride, p, q);
		}
		if (!isfinite(pq))
			return ALS_NOT_FINITE;
		if (pq <= 0)
		{
			stiffness = INFINITY;
			break;
		}
		length = rr / pq;
		if (!(1 / length + curved <= stiffness))
			stiffness = 1 / length + curved;
		combine(stride, length * unit, p, 1, x);
		won += length * rr;
		*objective -= (double) length * (double) rr *
			(double) unit * (double) unit;
		if (last)
			break;

		/* r = r - length A p, p = r + (|r|^2 / |r before|^2) p */
		combine(stride, length, q, 1, r);
		next = kernels->dot(stride, r, r);
		if (next <= share * won)
			break;
		ratio = next / rr;
		combine(stride, 1, r, ratio, p);
		curved = ratio / length;
		rr = next;
	}
	*trust = judge(system, row, shift, shift > 0 ? stiffness / shift : stiffness,
				   x, prior_size, start, *objective);
	return ALS_OK;
}

Trust
als_solve_row_cg(const AlsSystem *system, const Row *row,
				 const Workspace *workspace, float *x, double *objective)
{
	int			stride = als_stride(system->rank);
	double		lambda = als_row_shift(system, row->entries, row->weights, row->n);
	Trust		trust = TRUST_NOTHING;
	int			result;

	if (!als_diagonalizes(system))
		result = descend(system, row, workspace, lambda,
						 system->feedback == ALS_IMPLICIT ? 1 : (float) lambda,
						 0, x, objective, &trust);
	else
	{
		for (int i = 0; i < stride; i++)
		{
			float		root = sqrtf(system->spectrum[i] + (float) lambda);

			workspace->scale[i] = 1 / root;
			x[i] *= root;
		}
		if (row->turned_prior != NULL)
			multiply(stride, workspace->scale, row->turned_prior,
					 row->turned_prior);
		result = descend(system, row, workspace, lambda, 1, 1, x, objective, &trust);
		multiply(stride, workspace->scale, x, x);
	}

	/* what overflows single precision need not overflow double */
	if (result != ALS_OK || !isfinite(als_squared_norm(system->rank, x)))
	{
		for (int i = 0; i < system->rank; i++)
			x[i] = NAN;
		trust = TRUST_NOTHING;
	}
	return trust;
}
