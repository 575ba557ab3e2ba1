/*
 * test_rank_metrics.c
 *	  Measures of rankings are those of the rankings sorted out in full.
 */
#include "als_rank_metrics.h"
#include "problem.h"
#include "tap.h"
#include "tests.h"

#include <math.h>
#include <stdlib.h>

#define ITEMS 200

/* Does a come before b?  By definition, apart from what is tested. */
static int
comes_first(AlsRankedItem a, AlsRankedItem b)
{
	return a.score != b.score ? a.score > b.score : a.order < b.order;
}

/* The measures by definition, from the rank of each relevant item */
static void
measure_sorted(const AlsRankedItem *items, const int *kind, uint32_t k,
			   AlsMeasures *measures)
{
	double		relevant = 0;
	double		hits = 0;
	double		wins = 0;
	double		contests = 0;
	double		best_rank = INFINITY;
	double		dcg = 0;
	double		ideal = 0;
	double		precisions = 0;
	double		reachable;

	for (int i = 0; i < ITEMS; i++)
	{
		double		rank = 1;
		double		relevant_rank = 1;

		if (kind[i] != 1)
			continue;
		relevant++;
		for (int j = 0; j < ITEMS; j++)
		{
			if (kind[j] == 2 || j == i)
				continue;
			rank += comes_first(items[j], items[i]);
			relevant_rank += kind[j] == 1 && comes_first(items[j], items[i]);
			if (kind[j] == 0)
			{
				contests++;
				wins += items[i].score > items[j].score ? 1 :
					items[i].score == items[j].score ? 0.5 : 0;
			}
		}
		best_rank = fmin(best_rank, rank);
		if (rank <= k)
		{
			hits++;
			precisions += relevant_rank / rank;
			dcg += log(2) / log(1 + rank);
		}
	}
	reachable = fmin(relevant, k);
	for (int i = 1; i <= reachable; i++)
		ideal += log(2) / log(1 + i);
	measures->precision = hits / k;
	measures->recall = hits / relevant;
	measures->recall_capped = hits / reachable;
	measures->average_precision = precisions / reachable;
	measures->ndcg = dcg / ideal;
	measures->reciprocal_rank = 1 / best_rank;
	measures->hit = hits > 0;
	measures->auc = wins / contests;
}

static int
same(double a, double b)
{
	return (isnan(a) && isnan(b)) || fabs(a - b) < 1e-12;
}

/*
 * A ranking of random scores, of which there are few where values is small;
 * a share of items is relevant, another is left out.
 */
static void
check_ranking(uint32_t k, double values, double relevant_share,
			  double left_out_share, Random *random)
{
	AlsRankedItem items[ITEMS];
	int			kind[ITEMS];	/* 0 other, 1 relevant, 2 left out */
	float		scores[ITEMS];
	uint32_t	order[ITEMS];
	AlsRankedItem relevant[ITEMS];
	float		relevant_scores[ITEMS + 1];
	uint32_t	beating[ITEMS + 1];
	AlsRankedItem best[ITEMS];
	AlsRanking	ranking = {.capacity = k < ITEMS ? k : ITEMS,
		.relevant = relevant,.scores = relevant_scores,.beating = beating,
	.best = best};
	AlsMeasures expected;
	AlsMeasures measures;
	int			wrong_best = 0;
	uint32_t	eligible = 0;

	for (int i = 0; i < ITEMS; i++)
	{
		double		draw = random_uniform(random);

		items[i].score = (float) (floor(random_uniform(random) * values) /
								  values - 0.5);
		items[i].order = (uint32_t) ((i * 77 + 13) % ITEMS);
		kind[i] = draw < relevant_share ? 1 :
			draw < relevant_share + left_out_share ? 2 : 0;
	}
	kind[0] = 1;
	for (int i = 0; i < ITEMS; i++)
	{
		scores[i] = kind[i] == 0 ? items[i].score : NAN;
		order[i] = items[i].order;
		if (kind[i] == 1)
			relevant[ranking.nrelevant++] = items[i];
		eligible += kind[i] != 2;
	}

	als_ranking_begin(&ranking, NULL);
	als_ranking_add(&ranking, ITEMS / 3, scores, order);
	als_ranking_add(&ranking, 0, scores, order);
	als_ranking_add(&ranking, ITEMS - ITEMS / 3, scores + ITEMS / 3,
					order + ITEMS / 3);
	/* of a smaller k first: that changes nothing */
	als_ranking_finish(&ranking, 1, &measures, NULL);
	als_ranking_finish(&ranking, k, &measures, NULL);
	measure_sorted(items, kind, k, &expected);

	ok(same(measures.precision, expected.precision) &&
	   same(measures.recall, expected.recall) &&
	   same(measures.recall_capped, expected.recall_capped) &&
	   same(measures.average_precision, expected.average_precision) &&
	   same(measures.ndcg, expected.ndcg) &&
	   same(measures.reciprocal_rank, expected.reciprocal_rank) &&
	   same(measures.hit, expected.hit) &&
	   same(measures.auc, expected.auc),
	   "measures at %u, %g values, %u relevant, %u eligible", k, values,
	   ranking.nrelevant, eligible);

	/* an item is among the best if fewer than k come before it */
	for (int i = 0; i < ITEMS; i++)
	{
		uint32_t	before = 0;
		int			kept = 0;

		for (int j = 0; j < ITEMS; j++)
			before += kind[j] != 2 && comes_first(items[j], items[i]);
		for (uint32_t b = 0; b < ranking.nbest; b++)
			kept |= best[b].order == items[i].order;
		wrong_best += kept != (kind[i] != 2 && before < k);
	}
	ok(wrong_best == 0 && ranking.nbest == (k < eligible ? k : eligible),
	   "the best %u of them", ranking.nbest);
}

void
test_rank_metrics(void)
{
	static const uint32_t ks[] = {1, 2, 10, ITEMS - 1, ITEMS, 3 * ITEMS};
	static const double values[] = {1, 3, 40, 1e6};
	Random		random = {5};

	for (size_t i = 0; i < sizeof(ks) / sizeof(ks[0]); i++)
		for (size_t j = 0; j < sizeof(values) / sizeof(values[0]); j++)
		{
			check_ranking(ks[i], values[j], 0, 0.3, &random);
			check_ranking(ks[i], values[j], 0.1, 0.3, &random);
			check_ranking(ks[i], values[j], 0.6, 0, &random);
			check_ranking(ks[i], values[j], 0.5, 0.6, &random);
			check_ranking(ks[i], values[j], 1, 0, &random);
		}
}
