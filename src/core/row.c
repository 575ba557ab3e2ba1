/*
 * row.c
 *	  What the solvers share of one row: its ratings, loaded in chunks.
 */
#include "row.h"

#include <math.h>
#include <string.h>

#include "vectors.h"

/* Copies the factor rows of n ratings side by side. */
static void
gather(const AlsSystem *system, const AlsEntry *entries, size_t n, float *out)
{
	size_t		stride = (size_t) als_stride(system->rank);
	size_t		distance = als_prefetch_rows(stride);

	for (size_t k = 0; k < n; k++)
	{
		const float *row = system->fixed + entries[k].column * stride;
		size_t		next = k + distance < n ? k + distance : k;
		const float *ahead = system->fixed + entries[next].column * stride;

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
	const float *weights = row->weights == NULL ? NULL : row->weights + first;
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
			float		weight = weights == NULL ? 1 : weights[k];

			workspace->weight[k] = weight;
			workspace->target[k] = weight *
				(entries[k].rating - system->mean -
				 system->bias[entries[k].column]);
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

/* What one rating adds to the objective.  Implicit: t is 1 + w, or 0. */
static double
implicit_objective(double weight, int positive, double dot)
{
	double		target = positive ? 1 + weight : 0;

	return dot * (weight * dot - 2 * target) + target;
}

static double
explicit_objective(double weight, double target, double dot)
{
	double		error = dot - target / weight;

	return weight * error * error;
}

double
als_chunk_objective(const AlsSystem *system, const Row *row,
					const Workspace *workspace, size_t n)
{
	int			implicit = system->feedback == ALS_IMPLICIT;
	size_t		whole = n / 8;
	const float *target = workspace->target;
	const Floats8 *weights = (const Floats8 *) workspace->weight;
	const Floats8 *targets = (const Floats8 *) target;
	const Floats8 *dots = (const Floats8 *) workspace->dots;
	Doubles8	sums = {0};
	double		sum = 0;

	/* a target in single precision has lost the 1 beside a large weight */
	for (size_t k = 0; k < whole && implicit; k++)
	{
		Floats8		one = (Floats8) {1, 1, 1, 1, 1, 1, 1, 1};
		Floats8		p = (Floats8) ((__typeof__(targets[k] > 0)) one &
								   (targets[k] > 0));
		Doubles8	w = TO_DOUBLES8(weights[k]);
		Doubles8	d = TO_DOUBLES8(dots[k]);
		Doubles8	t = TO_DOUBLES8(p) * (1 + w);

		sums += d * (w * d - 2 * t) + t;
	}
	for (size_t k = 0; k < whole && !implicit; k++)
	{
		Doubles8	w = TO_DOUBLES8(weights[k]);
		Doubles8	t = TO_DOUBLES8(targets[k]);
		Doubles8	e = TO_DOUBLES8(dots[k]) - (row->weights == NULL ? t : t / w);

		sums += w * e * e;
	}
	for (size_t k = whole * 8; k < n; k++)
		sum += implicit ?
			implicit_objective((double) workspace->weight[k], target[k] > 0,
							   (double) workspace->dots[k]) :
			explicit_objective((double) workspace->weight[k],
							   (double) target[k],
							   (double) workspace->dots[k]);
	for (int i = 0; i < 8; i++)
		sum += sums[i];
	return sum;
}

int
als_lacks_ratings(const AlsSystem *system, const Row *row)
{
	size_t		unknowns = (size_t) system->rank - (system->unbiased ? 1 : 0);

	return system->feedback == ALS_EXPLICIT && system->regularization <= 0 &&
		row->n < unknowns;
}
