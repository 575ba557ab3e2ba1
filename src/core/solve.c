/*
 * solve.c
 *	  Solving rows in batches, each by its solver.
 */
#include <math.h>
#include <string.h>

#include "als_core.h"
#include "exact_equations.h"
#include "row.h"
#include "solve_cg.h"
#include "solve_cholesky.h"
#include "solve_exact.h"
#include "solve_nonnegative.h"
#include "whiten.h"
#include "workspace.h"

/* Rows that are solved together: those that are whitened together */
#define BATCH ALS_WHITEN_ROWS

/* Is every factor finite? */
static int
is_finite(int rank, const float *x)
{
	for (int i = 0; i < rank; i++)
		if (!isfinite(x[i]))
			return 0;
	return 1;
}

/*
 * Solves one row, which may have no ratings: that is zero.  Of conjugate
 * gradient, *trust says what is to be computed in double yet.
 */
static int
solve_row(const AlsSystem *system, const Row *row, const Workspace *workspace,
		  float *x, double *objective, Trust *trust)
{
	*trust = TRUST_ALL;
	if (row->n == 0)
	{
		memset(x, 0, (size_t) als_stride(system->rank) * sizeof(float));
		return ALS_OK;
	}
	switch (system->solver)
	{
		case ALS_CG:
			*trust = system->exact ? TRUST_NOTHING :
				als_solve_row_cg(system, row, workspace, x, objective);
			return ALS_OK;
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
ratings_of(const AlsRows *rows, uint32_t r)
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

	als_cut_workspace(system, memory, &workspace);
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
			als_whiten_solved(system, (int) count, batch, workspace.rotated);
		for (uint32_t i = 0; i < count; i++)
		{
			Row			row = ratings_of(rows, first + i);

			results[i] = solve_row(system, &row, &workspace,
								   batch + i * stride, &objectives[i],
								   &trust[i]);
		}
		als_poll(system->poll);
		if (transformed)
			als_unwhiten_solved(system, (int) count, batch, workspace.rotated);
		for (uint32_t i = 0; i < count; i++)
		{
			Row			row = ratings_of(rows, first + i);
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
