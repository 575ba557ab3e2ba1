/*
 * ranking.c
 *	  How good a user's ranking of items is.
 */
#include <math.h>
#include <string.h>

#include "als_ranking.h"

/* Does a come before b? */
static inline int
is_better(AlsRankedItem a, AlsRankedItem b)
{
	return a.score > b.score || (a.score == b.score && a.order < b.order);
}

/* Puts an item at the top of a heap, worst first, and lets it sink. */
static void
sink(AlsRankedItem *heap, uint32_t size, uint32_t place, AlsRankedItem item)
{
	for (;;)
	{
		uint32_t	child = 2 * place + 1;

		if (child >= size)
			break;
		if (child + 1 < size && is_better(heap[child], heap[child + 1]))
			child++;
		if (!is_better(item, heap[child]))
			break;
		heap[place] = heap[child];
		place = child;
	}
	heap[place] = item;
}

/* Adds an item to a heap that has room. */
static void
rise(AlsRankedItem *heap, uint32_t place, AlsRankedItem item)
{
	while (place > 0 && is_better(heap[(place - 1) / 2], item))
	{
		heap[place] = heap[(place - 1) / 2];
		place = (place - 1) / 2;
	}
	heap[place] = item;
}

/* Sorts items, worst first. */
static void
sort_items(AlsRankedItem *items, uint32_t size)
{
	/* the heap's top is the worst: taken away in turn, best first */
	for (uint32_t i = size / 2; i > 0; i--)
		sink(items, size, i - 1, items[i - 1]);
	for (uint32_t end = size; end > 1; end--)
	{
		AlsRankedItem worst = items[0];

		sink(items, end - 1, 0, items[end - 1]);
		items[end - 1] = worst;
	}
	for (uint32_t i = 0; i < size / 2; i++)
	{
		AlsRankedItem item = items[i];

		items[i] = items[size - 1 - i];
		items[size - 1 - i] = item;
	}
}

/* Keeps an item that is among the k best so far. */
static void
keep_best(AlsRanking *ranking, AlsRankedItem item)
{
	if (ranking->nbest < ranking->capacity)
		rise(ranking->best, ranking->nbest++, item);
	else if (ranking->capacity > 0 && is_better(item, ranking->best[0]))
		sink(ranking->best, ranking->capacity, 0, item);
}

void
als_ranking_begin(AlsRanking *ranking)
{
	uint32_t	n = ranking->nrelevant;

	ranking->nbest = 0;
	ranking->ties = 0;
	memset(ranking->beating, 0, ((size_t) n + 1) * sizeof(uint32_t));
	sort_items(ranking->relevant, n);
	for (uint32_t i = 0; i < n; i++)
	{
		ranking->scores[i] = ranking->relevant[i].score;
		keep_best(ranking, ranking->relevant[i]);
	}
	/* saves asking whether an item beats all before asking for a tie */
	ranking->scores[n] = INFINITY;
}

/* Counts an item that ties with the relevant item at first, at least. */
static void
count_tied(AlsRanking *ranking, AlsRankedItem item, uint32_t first)
{
	uint32_t	low = first;
	uint32_t	high = ranking->nrelevant;
	uint32_t	end;

	/* the end of those with this score */
	while (low < high)
	{
		uint32_t	middle = low + (high - low) / 2;

		if (ranking->scores[middle] <= item.score)
			low = middle + 1;
		else
			high = middle;
	}
	end = low;

	/* among them, the end of those whose ids come later */
	low = first;
	high = end;
	while (low < high)
	{
		uint32_t	middle = low + (high - low) / 2;

		if (ranking->relevant[middle].order > item.order)
			low = middle + 1;
		else
			high = middle;
	}
	ranking->beating[low]++;
	/* half of the ties are won, whatever the order of ids */
	ranking->ties += (int64_t) first + end - 2 * (int64_t) low;
}

void
als_ranking_add(AlsRanking *ranking, uint32_t n, const float *scores,
				const uint32_t *order)
{
	const float *relevant = ranking->scores;
	uint32_t	beaten[ALS_RANKING_PIECE] = {0};
	uint32_t	half;

	/*
	 * Binary searches for the first relevant item that is not worse, all in
	 * step, so that none waits for another; the mask is a branch that cannot
	 * be mispredicted.
	 */
	for (uint32_t left = ranking->nrelevant; left > 1; left -= half)
	{
		half = left / 2;
		for (uint32_t i = 0; i < n; i++)
			beaten[i] += half &
				-(uint32_t) (relevant[beaten[i] + half - 1] < scores[i]);
	}

	for (uint32_t i = 0; i < n; i++)
	{
		AlsRankedItem item = {scores[i], order[i]};
		uint32_t	first = beaten[i] + (relevant[beaten[i]] < item.score);

		if (isnan(item.score))
			continue;
		if (relevant[first] == item.score)
			count_tied(ranking, item, first);
		else
			ranking->beating[first]++;
		if (ranking->nbest < ranking->capacity ||
			item.score >= ranking->best[0].score)
			keep_best(ranking, item);
	}
}

void
als_ranking_finish(const AlsRanking *ranking, AlsMeasures *measures)
{
	uint32_t	k = ranking->k;
	uint32_t	n = ranking->nrelevant;
	uint32_t	reachable = n < k ? n : k;
	uint64_t	others_above = 0;
	uint64_t	others = 0;
	int64_t		beaten_twice = ranking->ties;
	uint32_t	hits = 0;
	double		precisions = 0;
	double		gain = 0;
	double		ideal = 0;

	memset(measures, 0, sizeof(*measures));
	/* the relevant items, best first; found counts them */
	for (uint32_t found = 1; found <= n; found++)
	{
		uint64_t	rank;

		others_above += ranking->beating[n - found + 1];
		rank = others_above + found;
		if (found == 1)
			measures->reciprocal_rank = 1 / (double) rank;
		if (rank > k)
			break;
		hits++;
		precisions += found / (double) rank;
		gain += 1 / log2(1 + (double) rank);
	}
	for (uint32_t i = 0; i <= n; i++)
	{
		others += ranking->beating[i];
		beaten_twice += 2 * (int64_t) i * ranking->beating[i];
	}
	for (uint32_t i = 1; i <= reachable; i++)
		ideal += 1 / log2(1 + (double) i);

	measures->precision = hits / (double) k;
	measures->recall = hits / (double) n;
	measures->recall_capped = hits / (double) reachable;
	measures->average_precision = precisions / (double) reachable;
	measures->ndcg = gain / ideal;
	measures->hit = hits > 0;
	measures->auc = 1 - (double) beaten_twice / 2 /
		((double) n * (double) others);
}
