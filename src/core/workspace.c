/*
 * workspace.c
 *	  The memory of a call of als_solve_rows, cut up.
 */
#include "workspace.h"

#include "outer_products.h"
#include "whiten.h"

/*
 * Bytes of factor rows gathered at a time, and how many rows at most: what does
 * not fit into L2 is read from L3, which is faster than to gather it anew in
 * every pass; sums of more rows would lose digits.
 */
#define GATHER_BYTES (1024 * 1024)
#define GATHER_ROWS 4096

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

size_t
als_cut_workspace(const AlsSystem *system, void *memory,
				  Workspace *workspace)
{
	size_t		stride = (size_t) als_stride(system->rank);
	size_t		chunk = chunk_size((int) stride);
	size_t		rotated = als_diagonalizes(system) ? stride : 0;
	size_t		turned = system->solver == ALS_CG ? stride : 0;
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
	TAKE(priors, ALS_WHITEN_ROWS * turned);
	TAKE(weight, chunk);
	TAKE(target, chunk);
	TAKE(zero, chunk);
	TAKE(dots, chunk);
	TAKE(scale, rotated);
	TAKE(scaled, rotated);
	TAKE(rotated, ALS_WHITEN_ROWS * rotated);
	TAKE(exact, stride * stride);
	TAKE(right, stride);
	TAKE(solution, stride);
	TAKE(correction, stride);
	TAKE(products, ALS_OUTER_ROWS * stride);
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

	return als_cut_workspace(system, NULL, &workspace);
}
