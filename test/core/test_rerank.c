/*
 * test_rerank.c
 *	  Lists chosen from a ranking are those that the definition gives.
 */
#include "als_rerank.h"
#include "problem.h"
#include "tap.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS 150
#define FACTORS 5
#define GROUPS 7

/* The cosine of two rows of the shortlist, at least 0 */
static double
alike(const AlsShortlist *shortlist, const AlsKernels *kernels, size_t a,
	  size_t b)
{
	int			stride = shortlist->stride;
	float	   *x = allocate_aligned((size_t) stride * sizeof(float));
	float	   *y = allocate_aligned((size_t) stride * sizeof(float));
	float		square_x;
	float		square_y;
	float		product;

	memset(x, 0, (size_t) stride * sizeof(float));
	memset(y, 0, (size_t) stride * sizeof(float));
	memcpy(x, shortlist->rows[a], FACTORS * sizeof(float));
	memcpy(y, shortlist->rows[b], FACTORS * sizeof(float));
	square_x = kernels->dot(stride, x, x);
	square_y = kernels->dot(stride, y, y);
	product = kernels->dot(stride, x, y);
	free(x);
	free(y);
	if (square_x == 0 || square_y == 0)
		return 0;
	return fmax(0, als_cosine(product, square_x, square_y));
}

/* The list by its definition: all values, for every place of it. */
static uint32_t
choose(const AlsShortlist *shortlist, const AlsKernels *kernels, uint32_t k,
	   uint32_t *chosen)
{
	uint32_t	size = 0;

	for (; size < k; size++)
	{
		double		best = -INFINITY;
		int			found = 0;

		for (uint32_t i = 0; i < shortlist->size; i++)
		{
			double		most = 0;
			uint32_t	kind = 0;
			int			there = 0;
			double		value;

			for (uint32_t c = 0; c < size; c++)
			{
				there |= chosen[c] == i;
				if (shortlist->groups != NULL &&
					shortlist->groups[i] != ALS_NO_GROUP)
					kind += shortlist->groups[chosen[c]] ==
						shortlist->groups[i];
				if (shortlist->diversity > 0)
					most = fmax(most, alike(shortlist, kernels, i, chosen[c]));
			}
			value = (1 - shortlist->diversity) * shortlist->scores[i] -
				shortlist->diversity * most;
			if (there || kind >= shortlist->per_group ||
				(found && value <= best))
				continue;
			best = value;
			chosen[size] = i;
			found = 1;
		}
		if (!found)
			break;
	}
	return size;
}

static int
falling(const void *a, const void *b)
{
	float		x = *(const float *) a;
	float		y = *(const float *) b;

	return (x < y) - (x > y);
}

/* Rows that are there one at a time */
typedef struct Fetching
{
	const float *rows;
	int			stride;
	float	   *last;
} Fetching;

static const float *
fetch(size_t place, void *arg)
{
	const Fetching *fetching = arg;

	return memcpy(fetching->last,
				  fetching->rows + place * (size_t) fetching->stride,
				  (size_t) fetching->stride * sizeof(float));
}

static int	polls;

static void
count_poll(void)
{
	polls++;
}

/* A long list by groups alone: the work is a few numbers for each row. */
static void
check_long_list(void)
{
	uint32_t	n = 100000;
	float	   *scores = calloc(n, sizeof(float));
	uint32_t   *groups = calloc(n, sizeof(uint32_t));
	uint32_t   *chosen = calloc(n, sizeof(uint32_t));
	AlsShortlist shortlist = {.size = n,.scores = scores,
		.groups = groups,.ngroups = 10,.per_group = n / 20
	};
	void	   *workspace;
	int			wrong = 0;

	for (uint32_t i = 0; i < n; i++)
		groups[i] = i % 10;
	workspace = allocate_aligned(als_rerank_workspace(&shortlist, n));
	polls = 0;
	ok(als_rerank(&shortlist, als_kernels("reference"), count_poll, n, chosen,
				  workspace) == n / 2, "half of a long ranking");
	for (uint32_t i = 0; i < n / 2; i++)
		wrong += chosen[i] != i;
	ok(wrong == 0 && polls < 2, "in one walk: %d polls", polls);
	free(workspace);
	free(chosen);
	free(groups);
	free(scores);
}

/* A random ranking: the list is that of the definition. */
static void
check_list(Random *random, double diversity, uint32_t per_group, double values,
		   uint32_t k)
{
	const AlsKernels *kernels = als_kernels("reference");
	int			stride = als_stride(FACTORS);
	float	   *rows = allocate_aligned(ROWS * (size_t) stride * sizeof(float));
	const float *places[ROWS];
	float		scores[ROWS];
	uint32_t	groups[ROWS];
	uint32_t	expected[ROWS];
	uint32_t	chosen[ROWS];
	AlsShortlist shortlist = {ROWS, scores, per_group == 0 ? NULL : groups,
		GROUPS, per_group == 0 ? 1 : per_group, diversity, stride, FACTORS,
		places, fetch, NULL, ROWS
	};
	Fetching	fetching = {rows, stride, NULL};
	void	   *workspace;
	uint32_t	size;

	memset(rows, 0, ROWS * (size_t) stride * sizeof(float));
	for (uint32_t i = 0; i < ROWS; i++)
	{
		scores[i] = (float) (floor(random_uniform(random) * values) / values -
							 0.2);
		groups[i] = (uint32_t) random_between(random, 0, GROUPS);
		if (groups[i] == GROUPS)
			groups[i] = ALS_NO_GROUP;
		/* a few zero vectors, and a few that are the same */
		places[i] = rows + i * (size_t) stride;
		rows[i * (size_t) stride + FACTORS] = (float) random_normal(random);
		for (int d = 0; d < FACTORS && i % 11 != 3; d++)
			rows[i * (size_t) stride + (size_t) d] = i % 13 == 5 ? (float) d :
				(float) random_normal(random);
	}
	qsort(scores, ROWS, sizeof(float), falling);
	workspace = allocate_aligned(als_rerank_workspace(&shortlist, k));
	size = choose(&shortlist, kernels, k, expected);
	ok(als_rerank(&shortlist, kernels, NULL, k, chosen,
				  workspace) == size &&
	   memcmp(chosen, expected, size * sizeof(uint32_t)) == 0,
	   "%u rows, diversity %g, %u of a group, %g values", size, diversity,
	   per_group, values);

	/* the same where rows are fetched, and last until the next */
	free(workspace);
	fetching.last = allocate_aligned((size_t) stride * sizeof(float));
	memset(places, 0, sizeof(places));
	shortlist.fetch_arg = &fetching;
	shortlist.copies = 2;
	workspace = allocate_aligned(als_rerank_workspace(&shortlist, k));
	ok(als_rerank(&shortlist, kernels, NULL, k, chosen,
				  workspace) == size &&
	   memcmp(chosen, expected, size * sizeof(uint32_t)) == 0,
	   "the same with rows that are fetched");
	free(fetching.last);
	free(workspace);
	free(rows);
}

void
test_rerank(void)
{
	static const double diversities[] = {0, 0.01, 0.3, 0.7, 1};
	static const uint32_t caps[] = {0, 1, 3, ROWS};
	static const double values[] = {1, 5, 1e6};
	static const uint32_t ks[] = {1, 10, ROWS};
	Random		random = {21};

	check_long_list();
	for (size_t d = 0; d < LENGTH(diversities); d++)
		for (size_t c = 0; c < LENGTH(caps); c++)
			for (size_t v = 0; v < LENGTH(values); v++)
				for (size_t i = 0; i < LENGTH(ks); i++)
					check_list(&random, diversities[d], caps[c], values[v],
							   ks[i]);
}
