/*
 * rerank.c
 *	  A list chosen greedily from a ranking; als_rerank.h says by what.
 *
 * A row's value falls while the list grows, as what is alike to it can only get
 * more.  So a value from earlier is a bound of what it is now, and a row is
 * compared with those that have come since only while its bound is no less than
 * the best value so far, which begins with the row of the best bound; and its
 * share of the score is a bound of any value, so that the search for the next
 * ends at the first row whose share is less.
 */
#include <math.h>
#include <string.h>

#include "als_rerank.h"

/* Rows lie anywhere: so many before one is met, it is fetched. */
#define AHEAD 8

#define CACHE_LINE 16			/* floats */

/* What is known of a row */
typedef struct Candidate
{
	double		value;			/* what is left of its share of its score, by
								 * what it has met */
	float		square;			/* |row|^2 without its bias, once it has met
								 * one; see als_has_cosine */
	float		alike;			/* the largest cosine with those it has met */
	uint32_t	met;			/* so many of the list */
	uint32_t	taken;
} Candidate;

/* The list while it grows; all lies in the workspace. */
typedef struct List
{
	uint32_t	size;
	const uint32_t *chosen;		/* [size] places */
	size_t		start;			/* none before this place may come any more */
	uint32_t	copies;			/* of rows, at most */
	float	   *rows;			/* [copies x stride] the first of the list */
	float	   *squares;		/* [k] */
	float	   *row;			/* [stride] without its bias */
	Candidate  *candidates;
	uint32_t   *groups;			/* [ngroups]: how many of each */
} List;

/* Bytes that keep what follows aligned as rows are */
static size_t
aligned(size_t bytes)
{
	return (bytes + ALS_ALIGNMENT - 1) / ALS_ALIGNMENT * ALS_ALIGNMENT;
}

/*
 * Where the parts of the workspace begin, unless it is NULL; returns its size.
 */
static size_t
lay_out(List *list, const AlsShortlist *shortlist, uint32_t k, char *workspace)
{
	size_t		stride = (size_t) shortlist->stride;
	uint32_t	copies = shortlist->copies < k ? shortlist->copies : k;
	size_t		rows = aligned(stride * sizeof(float));
	size_t		squares = rows + aligned(copies * stride * sizeof(float));
	size_t		candidates = shortlist->diversity == 0 ? 0 :
		squares + aligned(k * sizeof(float));
	size_t		groups = candidates + aligned(shortlist->size * sizeof(Candidate));

	if (workspace != NULL)
	{
		list->copies = copies;
		list->row = (float *) workspace;
		list->rows = (float *) (workspace + rows);
		list->squares = (float *) (workspace + squares);
		list->candidates = (Candidate *) (workspace + candidates);
		list->groups = (uint32_t *) (workspace + groups);
	}
	return groups + shortlist->ngroups * sizeof(uint32_t);
}

size_t
als_rerank_workspace(const AlsShortlist *shortlist, uint32_t k)
{
	return lay_out(NULL, shortlist, k, NULL);
}

/* A row of the ranking, until the next is asked for; NULL: it is gone. */
static const float *
row_of(const AlsShortlist *shortlist, size_t place)
{
	const float *row = shortlist->rows[place];

	return row != NULL ? row : shortlist->fetch(place, shortlist->fetch_arg);
}

/* Copies a row without its bias, and returns its square; the rest is 0. */
static float
copy_row(const AlsShortlist *shortlist, const AlsKernels *kernels, size_t place,
		 float *copy)
{
	const float *row = row_of(shortlist, place);
	size_t		bytes = (size_t) shortlist->factors * sizeof(float);

	if (row == NULL)
		memset(copy, 0, bytes);
	else
		memcpy(copy, row, bytes);
	return kernels->dot(shortlist->stride, copy, copy);
}

/* A row of the list, until the next is asked for */
static const float *
row_of_list(const List *list, const AlsShortlist *shortlist, uint32_t i)
{
	return i < list->copies ? list->rows + i * (size_t) shortlist->stride :
		row_of(shortlist, list->chosen[i]);
}

/* A row's share of its score, which it has until it has met one */
static inline double
share_of(const AlsShortlist *shortlist, size_t place)
{
	return (1 - shortlist->diversity) * shortlist->scores[place];
}

/*
 * Meets the rows of the list that have come since, until the value of this one
 * is less than the best.  Its bias meets the 0 of a copy.
 */
static void
meet(List *list, const AlsShortlist *shortlist, const AlsKernels *kernels,
	 size_t place, double best)
{
	Candidate  *candidate = &list->candidates[place];
	const float *row = shortlist->rows[place];

	if (candidate->met == list->size)
		return;
	/* one that is fetched goes with the next, and others may have to be */
	if (candidate->met == 0 || row == NULL || list->size > list->copies)
	{
		candidate->square = copy_row(shortlist, kernels, place, list->row);
		row = list->row;
	}
	for (; candidate->met < list->size && candidate->value >= best;
		 candidate->met++)
	{
		float		square = list->squares[candidate->met];
		const float *other;
		float		cosine;

		if (!als_has_cosine(candidate->square) || !als_has_cosine(square))
			continue;
		other = row_of_list(list, shortlist, candidate->met);
		if (other == NULL)
			continue;
		cosine = als_cosine(kernels->dot(shortlist->stride, row, other),
							candidate->square, square);
		if (cosine > candidate->alike)
		{
			candidate->alike = cosine;
			candidate->value = share_of(shortlist, place) -
				shortlist->diversity * cosine;
		}
	}
}

/* Adds a row to the list. */
static void
add_to_list(List *list, const AlsShortlist *shortlist, const AlsKernels *kernels,
			size_t place)
{
	list->candidates[place].taken = 1;
	if (shortlist->groups != NULL && shortlist->groups[place] != ALS_NO_GROUP)
		list->groups[shortlist->groups[place]]++;
	if (shortlist->diversity > 0)
		list->squares[list->size] =
			copy_row(shortlist, kernels, place,
					 list->size < list->copies ? list->rows +
					 list->size * (size_t) shortlist->stride : list->row);
	list->size++;
}

/* May a row be the next of the list? */
static int
may_come(const List *list, const AlsShortlist *shortlist, size_t place)
{
	return !list->candidates[place].taken &&
		(shortlist->groups == NULL ||
		 shortlist->groups[place] == ALS_NO_GROUP ||
		 list->groups[shortlist->groups[place]] < shortlist->per_group);
}

/* Fetches a row that will be met if the best value so far is no better. */
static inline void
fetch_ahead(const List *list, const AlsShortlist *shortlist, size_t place,
			double best)
{
	if (place < shortlist->size && list->size > 0 &&
		shortlist->rows[place] != NULL &&
		list->candidates[place].value >= best)
		for (int d = 0; d < shortlist->factors; d += CACHE_LINE)
			__builtin_prefetch(shortlist->rows[place] + d);
}

/*
 * The row with the best value by what it has met: a good one to start from.
 * The size if there is none.
 */
static size_t
most_promising(const List *list, const AlsShortlist *shortlist, AlsWork *work)
{
	size_t		place = shortlist->size;
	double		best = -INFINITY;

	for (size_t i = list->start; i < shortlist->size &&
		 share_of(shortlist, i) > best; i++)
	{
		double		value = list->candidates[i].value;

		als_work(work, 1);
		if (value > best && may_come(list, shortlist, i))
		{
			best = value;
			place = i;
		}
	}
	return place;
}

/* The best of the rows for the next place of the list; size if there is none. */
static size_t
find_next(List *list, const AlsShortlist *shortlist, const AlsKernels *kernels,
		  AlsWork *work)
{
	size_t		next;
	double		best;

	/* what is taken stays so, and a group that is full */
	for (; list->start < shortlist->size &&
		 !may_come(list, shortlist, list->start); list->start++)
		als_work(work, 1);
	next = most_promising(list, shortlist, work);
	if (next == shortlist->size || shortlist->diversity == 0)
		return next;
	meet(list, shortlist, kernels, next, -INFINITY);
	best = list->candidates[next].value;
	for (size_t i = list->start; i < shortlist->size; i++)
	{
		double		now;

		als_work(work, 1);
		if (share_of(shortlist, i) < best)
			break;
		fetch_ahead(list, shortlist, i + AHEAD, best);
		if (list->candidates[i].value < best || i == next ||
			!may_come(list, shortlist, i))
			continue;
		als_work(work, (size_t) shortlist->stride *
				 (list->size - list->candidates[i].met + 1));
		meet(list, shortlist, kernels, i, best);
		now = list->candidates[i].value;
		/* of equal ones the first in the ranking */
		if (now > best || (now == best && i < next))
		{
			best = now;
			next = i;
		}
	}
	return next;
}

uint32_t
als_rerank(const AlsShortlist *shortlist, const AlsKernels *kernels, AlsPoll poll,
		   uint32_t k, uint32_t *chosen, void *workspace)
{
	AlsWork		work = {poll, 0};
	List		list;

	memset(workspace, 0, lay_out(&list, shortlist, k, workspace));
	list.size = 0;
	list.start = 0;
	list.chosen = chosen;
	for (size_t i = 0; i < shortlist->size; i++)
	{
		list.candidates[i].value = share_of(shortlist, i);
		als_work(&work, 1);
	}
	while (list.size < k)
	{
		size_t		next = find_next(&list, shortlist, kernels, &work);

		if (next == shortlist->size)
			break;
		chosen[list.size] = (uint32_t) next;
		add_to_list(&list, shortlist, kernels, next);
	}
	return list.size;
}
