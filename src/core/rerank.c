/*
 * rerank.c
 *	  A list chosen greedily from a ranking; als_rerank.h says by what.
 *
 * A row's value falls while the list grows, as what is alike to it can only get
 * more.  So a value from earlier is a bound of what it is now, and a row is
 * compared with those that have come since only if its bound is above the best
 * value so far; and its share of the score is a bound of any value, so that the
 * search for the next ends at the first row whose share is no better.
 */
#include <math.h>
#include <string.h>

#include "als_rerank.h"

/* What is known of a row */
typedef struct Candidate
{
	float		square;			/* |row|^2; 0: alike to nothing */
	float		alike;			/* the largest cosine with those it has met */
	uint32_t	met;			/* so many of the list */
	uint32_t	taken;
} Candidate;

size_t
als_rerank_workspace(const AlsShortlist *shortlist)
{
	return shortlist->size * sizeof(Candidate) +
		shortlist->ngroups * sizeof(uint32_t);
}

/* Meets the rows of the list that have come since. */
static void
meet(const AlsShortlist *shortlist, const AlsKernels *kernels, size_t place,
	 Candidate *candidates, uint32_t size, const uint32_t *chosen)
{
	Candidate  *candidate = &candidates[place];
	const float *row = shortlist->rows + place * (size_t) shortlist->stride;

	for (; candidate->met < size; candidate->met++)
	{
		uint32_t	other = chosen[candidate->met];
		float		cosine;

		if (candidate->square == 0 || candidates[other].square == 0)
			continue;
		cosine = als_cosine(kernels->dot(shortlist->stride, row, shortlist->rows +
										 other * (size_t) shortlist->stride),
							candidate->square, candidates[other].square);
		if (cosine > candidate->alike)
			candidate->alike = cosine;
	}
}

uint32_t
als_rerank(const AlsShortlist *shortlist, const AlsKernels *kernels, AlsPoll poll,
		   uint32_t k, uint32_t *chosen, void *workspace)
{
	double		diversity = shortlist->diversity;
	Candidate  *candidates = workspace;
	uint32_t   *taken = (uint32_t *) (candidates + shortlist->size);
	AlsWork		work = {poll, 0};
	uint32_t	size = 0;

	memset(workspace, 0, als_rerank_workspace(shortlist));
	if (diversity > 0)
		for (size_t i = 0; i < shortlist->size; i++)
		{
			const float *row = shortlist->rows + i * (size_t) shortlist->stride;

			candidates[i].square = kernels->dot(shortlist->stride, row, row);
			als_work(&work, (size_t) shortlist->stride);
		}

	for (; size < k; size++)
	{
		double		best = -INFINITY;
		size_t		next = shortlist->size;
		size_t		i;

		for (i = 0; i < shortlist->size; i++)
		{
			Candidate  *candidate = &candidates[i];
			double		share = (1 - diversity) * shortlist->scores[i];
			uint32_t	met = candidate->met;

			als_work(&work, 1);
			if (next < shortlist->size && share <= best)
				break;
			if (candidate->taken ||
				(shortlist->groups != NULL &&
				 shortlist->groups[i] != ALS_NO_GROUP &&
				 taken[shortlist->groups[i]] >= shortlist->per_group))
				continue;
			if (diversity > 0 &&
				(next == shortlist->size ||
				 share - diversity * candidate->alike > best))
			{
				meet(shortlist, kernels, i, candidates, size, chosen);
				als_work(&work, (size_t) shortlist->stride * (size - met));
			}
			if (next == shortlist->size ||
				share - diversity * candidate->alike > best)
			{
				best = share - diversity * candidate->alike;
				next = i;
			}
		}
		/* rows that are not here have at most the last one's score */
		if (next == shortlist->size ||
			(i == shortlist->size && !shortlist->complete &&
			 best < (1 - diversity) * shortlist->scores[i - 1]))
			break;
		chosen[size] = (uint32_t) next;
		candidates[next].taken = 1;
		if (shortlist->groups != NULL && shortlist->groups[next] != ALS_NO_GROUP)
			taken[shortlist->groups[next]]++;
	}
	return size;
}
