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

/* x := the prior of a row without ratings, which is all that there is of it. */
static void
take_prior(const AlsSystem *system, const Row *row, float *x)
{
	size_t		size = (size_t) als_stride(system->rank) * sizeof(float);

	if (row->prior != NULL)
		memcpy(x, row->prior, size);
	else
		memset(x, 0, size);
}

/*
 * Solves one row, unless it has no ratings.  Of conjugate
 * gradient, *trust says what is to be computed in double yet.
 */
static int
solve_row(const AlsSystem *system, const Row *row, const Workspace *workspace,
		  float *x, double *objective, Trust *trust)
{
	*trust = TRUST_ALL;
	if (row->n == 0)
		return ALS_OK;
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

/* A row's ratings and its prior */
static Row
row_of(const AlsSystem *system, const AlsRows *rows, uint32_t r)
{
	uint64_t	first = rows->start[r] - rows->start[0];
	Row			row = {
		.entries = rows->entries + first,
		.n = (size_t) (rows->start[r + 1] - rows->start[r]),
		.available = (size_t) (rows->start[rows->nrows] - rows->start[r])
	};

	if (rows->weights != NULL)
		row.weights = rows->weights + first;
	if (rows->prior != NULL)
		row.prior = rows->prior + r * (size_t) als_stride(system->rank);
	return row;
}

/*
 * Turns the priors of some rows to the coordinates of conjugate gradient, where
 * p.x is p^.x^ as f.x is f^.x^, and keeps them in the workspace.
 */
static void
turn_priors(const AlsSystem *system, uint32_t count, const float *priors,
			const Workspace *workspace)
{
	if (system->feedback == ALS_IMPLICIT)
		als_whiten_fixed(system, (int) count, priors, workspace->priors);
	else
		memcpy(workspace->priors, priors, count *
			   (size_t) als_stride(system->rank) * sizeof(float));
}

int
als_solve_rows(const AlsSystem *system, const AlsRows *rows, float *solved,
			   void *memory, double *loss, uint32_t *failed)
{
	size_t		stride = (size_t) als_stride(system->rank);
	int			by_steps = system->solver == ALS_CG && !system->exact;
	int			transformed = system->feedback == ALS_IMPLICIT && by_steps;
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
		if (by_steps && rows->prior != NULL)
			turn_priors(system, count, rows->prior + first * stride,
						&workspace);
		for (uint32_t i = 0; i < count; i++)
		{
			Row			row = row_of(system, rows, first + i);

			if (by_steps && row.prior != NULL)
				row.turned_prior = workspace.priors + i * stride;
			results[i] = solve_row(system, &row, &workspace,
								   batch + i * stride, &objectives[i],
								   &trust[i]);
		}
		als_poll(system->poll);
		if (transformed)
			als_unwhiten_solved(system, (int) count, batch, workspace.rotated);
		for (uint32_t i = 0; i < count; i++)
		{
			Row			row = row_of(system, rows, first + i);
			float	   *x = batch + i * stride;

			if (row.n == 0)
				take_prior(system, &row, x);
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
