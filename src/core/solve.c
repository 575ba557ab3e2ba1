/*
 * solve.c
 *	  Solving rows: what conjugate gradient and Cholesky have in common.
 */
#include "solve.h"

#include <math.h>
#include <string.h>

/*
 * Bytes of factor rows gathered at a time, and how many rows at most: beyond
 * the second cache a long row streams from the third, which still is faster
 * than gathering it anew in every pass; sums of more rows would lose digits.
 */
#define GATHER_BYTES (1024 * 1024)
#define GATHER_ROWS 4096

/* How many rows ahead of the copy the next ones are fetched */
#define PREFETCH 8

/* Ratings whose factor rows are gathered together. */
static size_t
chunk_size(int stride)
{
	size_t		rows = GATHER_BYTES / ((size_t) stride * sizeof(float));

	return rows < GATHER_ROWS ? rows : GATHER_ROWS;
}

/* Takes count elements off the workspace; NULL if only sizes are added up. */
static void *
take(char *memory, size_t *size, size_t count, size_t element)
{
	size_t		at = *size;

	*size += (count * element + ALS_ALIGNMENT - 1) / ALS_ALIGNMENT *
		ALS_ALIGNMENT;
	return memory == NULL ? NULL : memory + at;
}

/*
 * Cuts the workspace up, what the solver does not use being empty, and returns
 * its size; memory may be NULL for the size alone.
 */
static size_t
cut_workspace(const AlsSystem *system, void *memory, Workspace *workspace)
{
	size_t		stride = (size_t) als_stride(system->rank);
	size_t		chunk = chunk_size((int) stride);
	size_t		rotated = als_diagonalizes(system) ? stride : 0;
	size_t		dense = system->solver != ALS_CG && !system->exact ? stride : 0;
	size_t		bounded = system->solver == ALS_NONNEGATIVE ? stride : 0;
	size_t		size = 0;

#define TAKE(field, count) \
	(workspace->field = take(memory, &size, count, sizeof(*workspace->field)))

	workspace->chunk = chunk;
	TAKE(gathered, chunk * stride);
	TAKE(a, dense * stride);
	TAKE(a_partial, dense * stride);
	TAKE(r, stride);
	TAKE(p, stride);
	TAKE(q, stride);
	TAKE(partial, stride);
	TAKE(weight, chunk);
	TAKE(target, chunk);
	TAKE(zero, chunk);
	TAKE(dots, chunk);
	TAKE(scale, rotated);
	TAKE(scaled, rotated);
	TAKE(rotated, BATCH * rotated);
	TAKE(exact, stride * stride);
	TAKE(right, stride);
	TAKE(solution, stride);
	TAKE(correction, stride);
	TAKE(products, ALS_EXACT_ROWS * stride);
	TAKE(factor, bounded * stride);
	TAKE(passive_solution, bounded);
	TAKE(passive, bounded);
	TAKE(is_passive, bounded);
	TAKE(is_infeasible, bounded);
#undef TAKE

	return size;
}

size_t
als_solve_workspace(const AlsSystem *system)
{
	Workspace	workspace;

	return cut_workspace(system, NULL, &workspace);
}

/* Copies the factor rows of n ratings side by side. */
static void
gather(const AlsSystem *system, const AlsEntry *entries, size_t n, float *out)
{
	size_t		stride = (size_t) als_stride(system->rank);

	for (size_t k = 0; k < n; k++)
	{
		const float *row = system->fixed + entries[k].column * stride;
		const float *ahead = system->fixed +
		entries[k + PREFETCH < n ? k + PREFETCH : k].column * stride;

		for (size_t i = 0; i < stride; i += 16)
		{
			__builtin_prefetch(ahead + i);
			memcpy(out + i, row + i, 16 * sizeof(float));
		}
		out += stride;
	}
}

size_t
als_load_weights(const AlsSystem *system, const Row *row, size_t first,
				 const Workspace *workspace)
{
	const AlsEntry *entries = row->entries + first;
	size_t		left = row->n - first;
	size_t		n = left < workspace->chunk ? left : workspace->chunk;

	als_poll(system->poll);
	if (system->feedback == ALS_IMPLICIT)
		for (size_t k = 0; k < n; k++)
		{
			float		rating = entries[k].rating;

			workspace->weight[k] = system->alpha * fabsf(rating);
			workspace->target[k] = rating > 0 ? 1 + workspace->weight[k] : 0;
		}
	else
		for (size_t k = 0; k < n; k++)
		{
			workspace->weight[k] = 1;
			workspace->target[k] = entries[k].rating - system->mean -
				system->bias[entries[k].column];
		}
	return n;
}

size_t
als_load_chunk(const AlsSystem *system, const Row *row, size_t first,
			   const Workspace *workspace)
{
	size_t		n = als_load_weights(system, row, first, workspace);

	gather(system, row->entries + first, n, workspace->gathered);
	return n;
}

/* The same of one rating.  Implicit: t is 1 + w, or 0. */
static double
implicit_objective(double weight, int positive, double dot)
{
	double		target = positive ? 1 + weight : 0;

	return dot * (weight * dot - 2 * target) + target;
}

static double
explicit_objective(double target, double dot)
{
	return (dot - target) * (dot - target);
}

double
als_chunk_objective(const AlsSystem *system, const Workspace *workspace,
					size_t n)
{
	int			implicit = system->feedback == ALS_IMPLICIT;
	size_t		whole = n / 8;
	const float *target = workspace->target;
	const Floats *weights = (const Floats *) workspace->weight;
	const Floats *targets = (const Floats *) target;
	const Floats *dots = (const Floats *) workspace->dots;
	Doubles		sums = {0};
	double		sum = 0;

	/* a target in single precision has lost the 1 beside a large weight */
	for (size_t k = 0; k < whole && implicit; k++)
	{
		Floats		one = (Floats) {1, 1, 1, 1, 1, 1, 1, 1};
		Floats		p = (Floats) ((__typeof__(targets[k] > 0)) one &
								  (targets[k] > 0));
		Doubles		w = DOUBLES(weights[k]);
		Doubles		d = DOUBLES(dots[k]);
		Doubles		t = DOUBLES(p) * (1 + w);

		sums += d * (w * d - 2 * t) + t;
	}
	for (size_t k = 0; k < whole && !implicit; k++)
	{
		Doubles		e = DOUBLES(dots[k]) - DOUBLES(targets[k]);

		sums += e * e;
	}
	for (size_t k = whole * 8; k < n; k++)
		sum += implicit ?
			implicit_objective((double) workspace->weight[k], target[k] > 0,
							   (double) workspace->dots[k]) :
			explicit_objective((double) target[k],
							   (double) workspace->dots[k]);
	for (int i = 0; i < 8; i++)
		sum += sums[i];
	return sum;
}

/* Is every factor finite? */
static int
is_finite(int rank, const float *x)
{
	for (int i = 0; i < rank; i++)
		if (!isfinite(x[i]))
			return 0;
	return 1;
}

double
als_squared_norm(int rank, const float *x)
{
	double		sum = 0;

	for (int i = 0; i < rank; i++)
		sum += (double) x[i] * (double) x[i];
	return sum;
}

double
als_regularization_scale(const AlsSystem *system, uint64_t n)
{
	double		size = (double) n;

	if (system->regularization_scaling == 0)
		return 1;
	if (system->feedback == ALS_IMPLICIT)
		size = (double) system->nfixed + (double) system->alpha * size;
	return system->regularization_scaling == 1 ? size :
		pow(size, system->regularization_scaling);
}

/* Turns a batch of rows by Q or, with "T", by Q' = Q^-1. */
static void
rotate(const AlsSystem *system, const char *transposed, int count,
	   float *rows, float *rotated)
{
	int			stride = als_stride(system->rank);
	const float one = 1;
	const float zero = 0;

	memcpy(rotated, rows,
		   (size_t) count * (size_t) stride * sizeof(float));
	system->blas->sgemm(transposed, "N", &system->rank, &count, &system->rank,
						&one, system->base_factor, &stride, rotated, &stride,
						&zero, rows, &stride, 1, 1);
}

/* x^ = L' x for a batch of rows ("N": x = L^-T x^, the way back) */
static void
to_whitened(const AlsSystem *system, int count, float *rows)
{
	int			stride = als_stride(system->rank);
	const float one = 1;

	system->blas->strmm("L", "L", "T", "N", &system->rank, &count, &one,
						system->base_factor, &stride, rows, &stride,
						1, 1, 1, 1);
}

static void
from_whitened(const AlsSystem *system, int count, float *rows)
{
	int			stride = als_stride(system->rank);
	const float one = 1;

	system->blas->strsm("L", "L", "T", "N", &system->rank, &count, &one,
						system->base_factor, &stride, rows, &stride,
						1, 1, 1, 1);
}

/* Where conjugate gradient works on a batch of implicit rows, and back */
static void
to_solver(const AlsSystem *system, const Workspace *workspace, int count,
		  float *rows)
{
	if (als_diagonalizes(system))
		rotate(system, "T", count, rows, workspace->rotated);
	else
		to_whitened(system, count, rows);
}

static void
from_solver(const AlsSystem *system, const Workspace *workspace, int count,
			float *rows)
{
	if (als_diagonalizes(system))
		rotate(system, "N", count, rows, workspace->rotated);
	else
		from_whitened(system, count, rows);
}

/*
 * Solves one row, which may have no ratings: that is zero.  Of conjugate
 * gradient, *trust says what is to be computed in double yet.
 */
static int
solve_row(const AlsSystem *system, const Row *row, const Workspace *workspace,
		  float *x, double *objective, Trust *trust)
{
	int			result = ALS_OK;

	*trust = TRUST_ALL;
	if (row->n == 0)
	{
		memset(x, 0, (size_t) als_stride(system->rank) * sizeof(float));
		return ALS_OK;
	}
	switch (system->solver)
	{
		case ALS_CG:
			if (system->exact)
				*trust = TRUST_NOTHING;
			else
				result = als_solve_row_cg(system, row, workspace, x, objective,
										  trust);
			return result;
		case ALS_CHOLESKY:
			return als_solve_row_cholesky(system, row, workspace, x,
										  objective);
		case ALS_NONNEGATIVE:
			return als_solve_row_nonnegative(system, row, workspace, x,
											 objective);
	}
	return ALS_NOT_FINITE;
}

/*
 * What conjugate gradient has left to double precision, with x where factors
 * are stored.  A row solved in double keeps what conjugate gradient has found, if
 * it is finite, where that is better: beyond double, rounding decides.
 */
static int
finish_row(const AlsSystem *system, const Row *row, const Workspace *workspace,
		   Trust trust, float *x, double *objective)
{
	float	   *found = workspace->p;
	size_t		size = (size_t) als_stride(system->rank) * sizeof(float);
	int			usable = !system->exact && is_finite(system->rank, x);
	double		at_found = 0;
	int			result = ALS_OK;

	if (usable)
	{
		memcpy(found, x, size);
		at_found = als_exact_objective(system, row, workspace, x);
		*objective = at_found;
	}
	if (trust == TRUST_SOLUTION)
		return result;
	result = als_solve_row_exact(system, row, workspace, x, objective);
	if (usable && (result != ALS_OK || !(*objective <= at_found)))
	{
		memcpy(x, found, size);
		*objective = at_found;
		result = ALS_OK;
	}
	return result;
}

/* The ratings of a row */
static Row
row_at(const AlsRows *rows, uint32_t r)
{
	Row			row = {rows->entries + (rows->start[r] - rows->start[0]),
		(size_t) (rows->start[r + 1] - rows->start[r]),
	(size_t) (rows->start[rows->nrows] - rows->start[r])};

	return row;
}

int
als_solve_rows(const AlsSystem *system, const AlsRows *rows, float *solved,
			   void *memory, double *loss, uint32_t *failed)
{
	size_t		stride = (size_t) als_stride(system->rank);
	int			transformed = system->feedback == ALS_IMPLICIT &&
	system->solver == ALS_CG && !system->exact;
	Workspace	workspace;

	cut_workspace(system, memory, &workspace);
	memset(workspace.zero, 0, workspace.chunk * sizeof(float));

	for (uint32_t first = 0; first < rows->nrows; first += BATCH)
	{
		uint32_t	count = rows->nrows - first < BATCH ? rows->nrows - first :
		BATCH;
		float	   *batch = solved + first * stride;
		int			results[BATCH];
		double		objectives[BATCH] = {0};
		Trust		trust[BATCH];

		als_poll(system->poll);
		if (transformed)
			to_solver(system, &workspace, (int) count, batch);
		for (uint32_t i = 0; i < count; i++)
		{
			Row			row = row_at(rows, first + i);

			results[i] = solve_row(system, &row, &workspace,
								   batch + i * stride, &objectives[i],
								   &trust[i]);
		}
		als_poll(system->poll);
		if (transformed)
			from_solver(system, &workspace, (int) count, batch);
		for (uint32_t i = 0; i < count; i++)
		{
			Row			row = row_at(rows, first + i);
			float	   *x = batch + i * stride;

			if (results[i] == ALS_OK && trust[i] != TRUST_ALL)
				results[i] = finish_row(system, &row, &workspace, trust[i], x,
										&objectives[i]);
			if (results[i] == ALS_OK && (!isfinite(objectives[i]) ||
										 !is_finite(system->rank, x)))
				results[i] = ALS_NOT_FINITE;
			if (results[i] != ALS_OK)
			{
				*failed = first + i;
				return results[i];
			}
			*loss += objectives[i];
		}
	}
	return ALS_OK;
}

double
als_penalty(const AlsSystem *system, const AlsRows *rows, const float *solved)
{
	size_t		stride = (size_t) als_stride(system->rank);
	double		penalty = 0;

	for (uint32_t r = 0; r < rows->nrows; r++)
		penalty += als_squared_norm(system->rank, solved + r * stride) *
			als_regularization_scale(system,
									 rows->start[r + 1] - rows->start[r]);
	return penalty;
}
