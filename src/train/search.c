/*
 * search.c
 *	  Which points of a range of parameters als_tune tries next.
 *
 * In rounds, each with the points of a box and a number of factors:
 *
 *	  1. the whole ranges, with the fewest factors: EXPLORING of all trials
 *	  2. twice the factors, and a box of half the width around the best so far
 *	  ... as long as that was better, with no box below NARROWEST
 *	  3. then half the width again and again, with the best number of factors
 *
 * What is best for few factors is near what is best for many (Rendle, Krichene,
 * Zhang and Koren 2021), so most trials are cheap ones.
 *
 * The points of a box are those of an additive recurrence (Kronecker sequence),
 *
 *	  x_k = frac(s + k (1/g, 1/g^2, ...)),	 g^(d+1) = g + 1
 *
 * in d dimensions: the golden ratio for d = 1, and its kin for more, which fill
 * a box evenly however many are taken (Roberts 2018).  The seed decides on s.
 */
#include "compat.h"

#include <math.h>

#include "core/als_core.h"
#include "train/search.h"

#define EXPLORING 0.4
#define NARROWEST 0.25
#define ROUNDS_AFTER 3			/* at least, after the first */

/* How close to the end of a range is at its edge, as a share of the range */
#define EDGE 0.05

static int
count_dimensions(const Search *search)
{
	int			dimensions = 0;

	for (int d = 0; d < SEARCH_DIMENSIONS; d++)
		dimensions += search->ranges[d].searched;
	return dimensions;
}

void
search_begin(Search *search)
{
	search->left = search->trials;
	search->rounds = 0;
	search->growing = true;
	search->width = 1;
	search->drawn = 0;
}

/* How many trials a round has. */
static int
round_size(const Search *search)
{
	int			exploring = Max((int) (search->trials * EXPLORING), 1);
	int			rounds = Max(search->nlevels - 1, ROUNDS_AFTER);

	if (count_dimensions(search) == 0)
		return 1;
	if (search->rounds == 0)
		return exploring;
	return Min((search->trials - exploring + rounds - 1) / rounds, search->left);
}

/* The box of a round, around the best if there is one. */
static void
place_box(const Search *search, const SearchBest *best, SearchRound *round)
{
	for (int d = 0; d < SEARCH_DIMENSIONS; d++)
	{
		const SearchRange *range = &search->ranges[d];
		double		middle = best ? best->point[d] : (range->from + range->to) / 2;
		double		width = (range->to - range->from) * search->width;
		double		from = middle - width / 2;

		if (range->fixed)
			from = Max(range->from, Min(from, range->to - width));
		round->middle[d] = middle;
		round->from[d] = from;
		round->width[d] = width;
	}
}

bool
search_next(Search *search, const SearchBest *best, SearchRound *round)
{
	bool		narrows = count_dimensions(search) > 0;
	bool		first = search->rounds == 0;

	if (search->left == 0 || (!narrows && !first && best == NULL))
		return false;
	round->center = first;
	round->level = best ? best->level : 0;
	if (best != NULL)
	{
		bool		doubles;

		search->growing &= best->level == search->level;
		doubles = search->growing && best->level + 1 < search->nlevels;
		if (!doubles && !narrows)
			return false;
		if (doubles)
		{
			round->level++;
			round->center = true;
		}
		search->width = Max(search->width / 2, doubles ? NARROWEST : 0);
	}

	round->count = round_size(search);
	round->first = search->drawn;
	place_box(search, best, round);
	search->level = round->level;
	search->left -= round->count;
	search->drawn += round->count;
	search->rounds++;
	return true;
}

/* The positive root of g^(d+1) = g + 1 */
static double
sequence_base(int dimensions)
{
	double		g = 2;

	/* a contraction: 40 steps leave nothing but rounding */
	for (int i = 0; i < 40; i++)
		g = pow(1 + g, 1.0 / (dimensions + 1));
	return g;
}

void
search_point(const Search *search, const SearchRound *round, int number,
			 SearchPoint point)
{
	double		base = sequence_base(count_dimensions(search));
	double		step = 1;
	double		whole;

	for (int d = 0; d < SEARCH_DIMENSIONS; d++)
	{
		uint64		random = als_scatter(als_scatter(search->seed) + (uint64) d);
		double		shift = ldexp((double) (random >> 11), -53);

		point[d] = round->middle[d];
		if (!search->ranges[d].searched)
			continue;
		step /= base;
		if (number > 0 || !round->center)
			point[d] = round->from[d] + round->width[d] *
				modf(shift + (double) (round->first + number) * step, &whole);
	}
}

int
search_edge(const Search *search, SearchDimension dimension,
			const SearchPoint point)
{
	const SearchRange *range = &search->ranges[dimension];
	double		share = (point[dimension] - range->from) / (range->to - range->from);

	if (!range->searched || !range->given || !(range->to > range->from))
		return 0;
	return share <= EDGE ? -1 : share >= 1 - EDGE ? 1 : 0;
}
