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
	size_t		dense = system->solver != ALS_CG ? stride : 0;
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
	TAKE(factor, bounded * stride);
	TAKE(solution, bounded);
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

double
als_chunk_objective(const AlsSystem *system, const Workspace *workspace,
					size_t n)
{
	const float *weight = workspace->weight;
	const float *target = workspace->target;
	double		sum = 0;

	if (system->feedback == ALS_IMPLICIT)
		for (size_t k = 0; k < n; k++)
		{
			double		d = (double) workspace->dots[k];
			double		t = (double) target[k];

			sum += d * ((double) weight[k] * d - 2 * t) + t;
		}
	else
		for (size_t k = 0; k < n; k++)
		{
			double		d = (double) workspace->dots[k];
			double		t = (double) target[k];

			sum += (d - t) * (d - t);
		}
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

/* Solves one row, which may have no ratings: that is zero. */
static int
solve_row(const AlsSystem *system, const Row *row, const Workspace *workspace,
		  float *x, double *objective)
{
	if (row->n == 0)
	{
		memset(x, 0, (size_t) als_stride(system->rank) * sizeof(float));
		return ALS_OK;
	}
	switch (system->solver)
	{
		case ALS_CG:
			return als_solve_row_cg(system, row, workspace, x, objective);
		case ALS_CHOLESKY:
			return als_solve_row_cholesky(system, row, workspace, x,
										  objective);
		case ALS_NONNEGATIVE:
			return als_solve_row_nonnegative(system, row, workspace, x,
											 objective);
	}
	return ALS_NOT_FINITE;
}

int
als_solve_rows(const AlsSystem *system, const AlsRows *rows, float *solved,
			   void *memory, double *loss, uint32_t *failed)
{
	size_t		stride = (size_t) als_stride(system->rank);
	int			transformed = system->feedback == ALS_IMPLICIT &&
	system->solver == ALS_CG;
	Workspace	workspace;

	cut_workspace(system, memory, &workspace);
	memset(workspace.zero, 0, workspace.chunk * sizeof(float));

	for (uint32_t first = 0; first < rows->nrows; first += BATCH)
	{
		uint32_t	last = rows->nrows - first < BATCH ? rows->nrows :
		first + BATCH;
		float	   *batch = solved + first * stride;

		als_poll(system->poll);
		if (transformed)
			to_solver(system, &workspace, (int) (last - first), batch);
		for (uint32_t r = first; r < last; r++)
		{
			Row			row = {rows->entries + (rows->start[r] - rows->start[0]),
				(size_t) (rows->start[r + 1] - rows->start[r]),
			(size_t) (rows->start[rows->nrows] - rows->start[r])};
			float	   *x = solved + r * stride;
			double		objective = 0;
			int			result;

			result = solve_row(system, &row, &workspace, x, &objective);
			if (result == ALS_OK && !isfinite(objective))
				result = ALS_NOT_FINITE;
			if (result != ALS_OK)
			{
				*failed = r;
				return result;
			}
			*loss += objective;
		}
		als_poll(system->poll);
		if (transformed)
			from_solver(system, &workspace, (int) (last - first), batch);
		for (uint32_t r = first; r < last; r++)
			if (!is_finite(system->rank, solved + r * stride))
			{
				*failed = r;
				return ALS_NOT_FINITE;
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
