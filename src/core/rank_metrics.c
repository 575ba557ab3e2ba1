/*
 * rank_metrics.c
 *	  How good a user's ranking of items is.
 */
#include "als_rank_metrics.h"

#include <math.h>
#include <string.h>

/* Turns items that are best first into worst first. */
static void
reverse(AlsRankedItem *items, uint32_t size)
{
	for (uint32_t i = 0; i < size / 2; i++)
	{
		AlsRankedItem item = items[i];

		items[i] = items[size - 1 - i];
		items[size - 1 - i] = item;
	}
}

void
als_ranking_begin(AlsRanking *ranking, AlsPoll poll)
{
	uint32_t	n = ranking->nrelevant;
	AlsWork		work = {poll, 0};

	ranking->nbest = 0;
	ranking->ties = 0;
	memset(ranking->beating, 0, ((size_t) n + 1) * sizeof(uint32_t));
	als_heap_sort(ranking->relevant, n, poll);
	reverse(ranking->relevant, n);
	for (uint32_t i = 0; i < n; i++)
	{
		ranking->scores[i] = ranking->relevant[i].score;
		als_heap_add(ranking->best, &ranking->nbest, ranking->capacity,
					 ranking->relevant[i]);
		als_work(&work, ALS_HEAP_WORK);
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
	/* a tie counts one half, whatever the order of ids */
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
			als_heap_add(ranking->best, &ranking->nbest, ranking->capacity,
						 item);
	}
}

void
als_ranking_finish(const AlsRanking *ranking, uint32_t k,
				   AlsMeasures *measures, AlsPoll poll)
{
	AlsWork		work = {poll, 0};
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
		als_work(&work, 1);
	}
	for (uint32_t i = 0; i <= n; i++)
	{
		others += ranking->beating[i];
		beaten_twice += 2 * (int64_t) i * ranking->beating[i];
		als_work(&work, 1);
	}
	for (uint32_t i = 1; i <= reachable; i++)
	{
		ideal += 1 / log2(1 + (double) i);
		als_work(&work, 1);
	}

	measures->precision = hits / (double) k;
	measures->recall = hits / (double) n;
	measures->recall_capped = hits / (double) reachable;
	measures->average_precision = precisions / (double) reachable;
	measures->ndcg = gain / ideal;
	measures->hit = hits > 0;
	measures->auc = 1 - (double) beaten_twice / 2 /
		((double) n * (double) others);
}
