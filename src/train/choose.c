/*
 * choose.c
 *	  Parameters that are chosen from the ratings.
 *
 * For U users, I items and n ratings of the typical size r, so that a pair is
 * rated with probability p and a rating adds c = alpha r to its confidence:
 *
 *	  alpha  = CONFIDENCE sqrt(I) U / (n r)
 *	  lambda = NOISE_SHARE E / S^nu
 *
 *	  implicit:  E = (1 + c) sqrt(p (1 - p)) (sqrt(U) + sqrt(I))
 *	  explicit:  E = sigma sqrt(n / (U I)) (sqrt(U) + sqrt(I))
 *
 * where sigma is that of the ratings, whose weights, if they have any, multiply
 * what is fitted: sigma^2 = sum v^2 (r - m)^2 / n, m being the mean by v^2.
 *
 * The first gives what a user has rated a confidence of CONFIDENCE sqrt(I) in
 * all, where what he has not rated has I: few ratings have to say more each
 * than many do.
 *
 * The second keeps noise out of the factors.  If chance alone decided which
 * pairs are rated, and how, then the matrix that they are fitted to would have
 * independent entries of variance (1 + c)^2 p (1 - p), or sigma^2 n / (U I), and
 * E would be its largest singular value (Marchenko and Pastur 1967, Geman 1980).
 * Lambda times the roots of both sides' s is what a singular value has to exceed
 * for a factor not to be zero, and S^nu the typical product of these roots.
 *
 * CONFIDENCE and NOISE_SHARE are measured: docs/experiments.md.
 */
#include "compat.h"

#include <math.h>

#include "miscadmin.h"
#include "ratings/csr_blocks.h"
#include "train/choose.h"

#define CONFIDENCE 4
#define NOISE_SHARE_IMPLICIT 0.5
#define NOISE_SHARE_EXPLICIT 0.55

/* The parameters' ranges */
#define LEAST 1e-30
#define MOST 1e30

#define ENTRIES_PER_CHECK 65536

/* Sums over the ratings */
typedef struct RatingSums
{
	double		count;
	double		weights;
	double		squared_weights;
	double		mean;			/* by these */
	double		squares;		/* of differences from it, weighted so */
	double		nonzero;
	double		roots;			/* of |rating|, of these */
} RatingSums;

/*
 * Adds ratings up: mean and squares by Welford's recurrence, weighted as West has it
 * (1979); weights as in AlsRows.
 */
static void
add_entries(RatingSums *sums, const AlsEntry *entries, const float *weights,
			uint64 n)
{
	for (uint64 k = 0; k < n; k++)
	{
		double		rating = entries[k].rating;
		double		difference = rating - sums->mean;
		double		weight = weights == NULL ? 1 : weights[k];
		double		square = weight * weight;

		if (k % ENTRIES_PER_CHECK == 0)
			CHECK_FOR_INTERRUPTS();
		sums->count++;
		sums->weights += weight;
		sums->squared_weights += square;
		sums->mean += square * difference / sums->squared_weights;
		sums->squares += square * difference * (rating - sums->mean);
		if (rating != 0)
		{
			sums->nonzero++;
			sums->roots += sqrt(fabs(rating));
		}
	}
}

/* In the order of users and items, so that the bits are always the same */
static void
summarize(Arena *ratings, RatingSummary *summary)
{
	const RatingBlocks *blocks = (const RatingBlocks *) ratings->address;
	BlockReader *reader = blocks_reader(ratings, ALS_USERS);
	RatingSums	sums = {0};
	double		weight;

	for (uint32 block = 0; block < blocks->sides[ALS_USERS].nblocks; block++)
	{
		AlsRows		rows = blocks_read(reader, block);

		add_entries(&sums, rows.entries, rows.weights,
					rows.start[rows.nrows] - rows.start[0]);
	}
	blocks_reader_close(reader);

	summary->users = blocks->sides[ALS_USERS].nrows;
	summary->items = blocks->sides[ALS_ITEMS].nrows;
	summary->ratings = sums.count;
	summary->weights = sums.weights;
	summary->size = sums.nonzero == 0 ? 1 :
		sums.roots / sums.nonzero * (sums.roots / sums.nonzero);
	summary->deviation = sqrt(sums.squares / sums.count);
	/* equal, but for the rounding of the mean: as if they differed by 1 */
	weight = sqrt(sums.squared_weights / sums.count);
	if (summary->deviation <= 1e-12 * fabs(sums.mean) * weight)
		summary->deviation = weight;
}

static double
within_range(double value)
{
	return Min(Max(value, LEAST), MOST);
}

static double
choose_alpha(const RatingSummary *summary)
{
	return within_range(CONFIDENCE * sqrt(summary->items) * summary->users /
						summary->ratings / summary->size);
}

/* NOISE_SHARE E */
static double
noise(const TrainerParameters *parameters, const RatingSummary *summary)
{
	double		pairs = summary->users * summary->items;
	double		width = sqrt(summary->users) + sqrt(summary->items);
	double		p;

	if (parameters->feedback == ALS_EXPLICIT)
		return NOISE_SHARE_EXPLICIT * summary->deviation *
			sqrt(summary->ratings / pairs) * width;

	/* Laplace's estimate: never 1, even if all pairs are rated */
	p = (summary->ratings + 1) / (pairs + 2);
	return NOISE_SHARE_IMPLICIT * (1 + parameters->alpha * summary->size) *
		sqrt(p * (1 - p)) * width;
}

/* S: the geometric mean of both sides' mean sizes, see regularization.c */
static double
typical_size(const TrainerParameters *parameters, const RatingSummary *summary)
{
	double		pairs = summary->users * summary->items;
	double		ratings = summary->ratings;

	if (parameters->feedback == ALS_EXPLICIT)
		return summary->weights / sqrt(pairs);
	if (parameters->by_ratings)
		return ratings / sqrt(pairs);
	return (pairs + parameters->alpha * ratings) / sqrt(pairs);
}

static double
choose_regularization(const TrainerParameters *parameters,
					  const RatingSummary *summary)
{
	return within_range(noise(parameters, summary) /
						pow(typical_size(parameters, summary),
							parameters->regularization_scaling));
}

void
choose_parameters(TrainerParameters *parameters, Arena *ratings,
				  RatingSummary *summary)
{
	bool		alpha = parameters->alpha == TO_BE_CHOSEN;
	bool		regularization = parameters->regularization == TO_BE_CHOSEN;

	if ((alpha || regularization) && summary->ratings == 0)
		summarize(ratings, summary);
	if (alpha)
		parameters->alpha = choose_alpha(summary);
	if (regularization)
		parameters->regularization = choose_regularization(parameters, summary);
}

void
notice_chosen(const TrainerParameters *asked, const TrainerParameters *chosen)
{
	if (asked->alpha == TO_BE_CHOSEN)
		ereport(NOTICE,
				(errmsg("alpha is %g, chosen from the ratings", chosen->alpha)));
	if (asked->regularization == TO_BE_CHOSEN)
		ereport(NOTICE,
				(errmsg("regularization is %g with regularization_scaling %g, chosen from the ratings",
						chosen->regularization,
						chosen->regularization_scaling)));
}
