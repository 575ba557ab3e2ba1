/*
 * metrics.h
 *	  How good factors are on a test set, by the leader and its workers.
 *
 * Users are claimed in batches.  What is measured of a user depends on nobody
 * else, so any number of workers gives the same bits.
 */
#ifndef ALS_METRICS_H
#define ALS_METRICS_H

#include <math.h>

#include "common/arena.h"
#include "core/als_core.h"
#include "core/als_estimate.h"
#include "core/als_rank_metrics.h"
#include "port/atomics.h"
#include "ratings/ratings.h"

/* Both are what blocks_build returns, with ids of their own. */
typedef enum RatingSet
{
	TEST_SET,
	TRAINING_SET				/* left out of rankings, save what is in test */
} RatingSet;

/* A user of the test set, whom the model knows as a rule */
typedef struct MeasuredUser
{
	uint32		factors;		/* row of the users' factors; NOT_THERE for
								 * one who is not known, with by_known_biases */
	uint32		rows[2];		/* of the sets; NOT_THERE in training, or
								 * beyond its rows, without ratings there */
} MeasuredUser;

/* What ratings are predicted by; all but the model only with biases */
typedef enum Predictor
{
	PREDICT_BY_MODEL,
	PREDICT_BY_MEAN,			/* the model's, for every pair */
	PREDICT_BY_BIASES			/* that and the model's biases */
} Predictor;

#define PREDICTORS (PREDICT_BY_BIASES + 1)

/* What items are ranked by */
typedef enum Ranker
{
	RANK_BY_MODEL,
	RANK_BY_POPULARITY			/* in the training set */
} Ranker;

#define RANKERS (RANK_BY_POPULARITY + 1)

/* What is measured of a user */
typedef struct UserMeasures
{
	uint32		pairs;			/* of the test set, both sides known */
	uint32		predicted;		/* those that errors are over: as many, or
								 * with by_known_biases all */
	uint32		relevant;		/* among them; 0: nothing is ranked */
	double		squared_error[PREDICTORS];	/* sums over the pairs */
	double		absolute_error[PREDICTORS];
} UserMeasures;

/* What is measured of a user's ranking up to k; what has no value is NaN */
typedef struct ListMeasures
{
	AlsMeasures accuracy;
	double		novelty;
	double		diversity;
} ListMeasures;

/* One number that says how good factors are */
typedef enum Metric
{
	METRIC_RMSE, METRIC_MAE,	/* lower is better */
	METRIC_PRECISION, METRIC_RECALL, METRIC_RECALL_CAPPED, METRIC_MAP,
	METRIC_NDCG, METRIC_MRR, METRIC_HIT_RATE, METRIC_AUC,
	METRIC_NOVELTY, METRIC_DIVERSITY,	/* neither better nor worse */
	METRIC_COVERAGE, METRIC_GINI, METRIC_ENTROPY	/* of all lists together */
} Metric;

#define METRICS (METRIC_AUC + 1)	/* those to judge a training by */
#define USER_METRICS (METRIC_DIVERSITY + 1) /* means over users or pairs */
#define ALL_METRICS (METRIC_ENTROPY + 1)

/* As als_evaluate calls them */
extern const char *const metric_names[ALL_METRICS];

/* How many there are of what is measured */
typedef struct MeasureCounts
{
	uint64		users;			/* with a relevant item */
	uint64		pairs;
	uint64		relevant;
} MeasureCounts;

#define MOST_CUTOFFS 100

/* What processes share, at the start of the arena; offsets count from here */
typedef struct Measurement
{
	AlsFeedback feedback;
	int			stride;
	int			factors;		/* in a row, without biases */
	float		mean;			/* part of every score */
	bool		biases;			/* predict by mean and biases as well */
	bool		by_known_biases;	/* if a side is not known, the model
									 * predicts by mean and biases too */
	float		relevant_from;	/* the rating that makes an item relevant */
	bool		errors_only;	/* nothing is ranked: rankings mean nothing */
	bool		lists;			/* measure novelty, and all that follows it */
	int			nrankers;		/* RANKERS, or 1 for the model alone */
	int			ncutoffs;
	uint32		cutoffs[MOST_CUTOFFS];	/* different k, ascending */
	uint32		nusers;			/* those to measure, at most users_limit */
	uint32		users_limit;	/* room for this many */
	uint32		nitems;			/* of the model */
	uint32		set_items[2];	/* different items in each set */
	uint64		training_users; /* what popularity is a share of; 0: unknown */

	pg_atomic_uint32 next_user;

	size_t		users_offset;	/* MeasuredUser [users_limit] */
	size_t		measures_offset;	/* UserMeasures [users_limit], output */
	size_t		lists_offset;	/* ListMeasures [users_limit x nrankers x
								 * ncutoffs], output */
	size_t		factors_offset[2];	/* by AlsSide: float [rows x stride] */
	size_t		items_offset[2];	/* uint32 [set_items]: rows of factors */
	size_t		order_offset;	/* uint32 [nitems]: order of their ids */
	size_t		by_order_offset;	/* uint32 [nitems]: the items in that
									 * order; if there are lists */
	size_t		popularity_offset;	/* float [nitems]: users of the training
									 * set who have it; if ranked by that */
	size_t		recommended_offset; /* pg_atomic_uint32 [nrankers x ncutoffs x
									 * nitems], output: by order, lists that
									 * it is in up to a cutoff, but not up to
									 * the one before; if there are lists */
} Measurement;

static inline void *
measurement_at(const Measurement *measurement, size_t offset)
{
	return (char *) measurement + offset;
}

static inline MeasuredUser *
measured_users(const Measurement *measurement)
{
	return measurement_at(measurement, measurement->users_offset);
}

static inline UserMeasures *
user_measures(const Measurement *measurement)
{
	return measurement_at(measurement, measurement->measures_offset);
}

static inline float *
measured_factors(const Measurement *measurement, AlsSide side)
{
	return measurement_at(measurement, measurement->factors_offset[side]);
}

static inline uint32 *
set_items(const Measurement *measurement, RatingSet set)
{
	return measurement_at(measurement, measurement->items_offset[set]);
}

static inline uint32 *
item_order(const Measurement *measurement)
{
	return measurement_at(measurement, measurement->order_offset);
}

static inline uint32 *
items_by_order(const Measurement *measurement)
{
	return measurement_at(measurement, measurement->by_order_offset);
}

static inline float *
item_popularity(const Measurement *measurement)
{
	return measurement_at(measurement, measurement->popularity_offset);
}

/* A user's ListMeasures, by cutoff */
static inline ListMeasures *
user_lists(const Measurement *measurement, uint32 user, Ranker ranker)
{
	ListMeasures *lists = measurement_at(measurement, measurement->lists_offset);

	return lists + ((size_t) user * measurement->nrankers + ranker) *
		measurement->ncutoffs;
}

static inline pg_atomic_uint32 *
recommended_items(const Measurement *measurement, Ranker ranker, int cutoff)
{
	pg_atomic_uint32 *recommended =
		measurement_at(measurement, measurement->recommended_offset);

	return recommended + ((size_t) ranker * measurement->ncutoffs + cutoff) *
		measurement->nitems;
}

/* Bytes that metrics_begin allocates for a layout, whose offsets it fills in. */
extern size_t metrics_lay_out(Measurement *layout);

/*
 * Allocates what the sizes in layout ask for, and copies them; users, factors,
 * items, order, by_order and popularity are the caller's to fill in.
 */
extern Arena metrics_begin(const Measurement *layout, bool shared);

/* Measures all users; sets are by RatingSet, the training set may be NULL. */
extern void metrics_run(Arena *arena, Arena *const sets[2], int nworkers);

/*
 * What each process does in metrics_run, for those that run together already:
 * measures users until none is left.
 */
extern void metrics_measure(Arena *arena, Arena *const sets[2]);

/* Makes ready to measure again, with other factors for example. */
extern void metrics_restart(Measurement *measurement);

extern void metrics_count(const Measurement *measurement,
						  MeasureCounts *counts);

/*
 * What each user adds to an error or to a mean over users: a value whose mean
 * over the users is the metric, and whose standard error is the metric's.  NaN
 * for users without one, and for those that among, if it is not NULL, lacks.
 * Errors are of the ratios of sums over users, linearized:
 *
 *	  RMSE + n (S_u - RMSE^2 p_u) / (2 RMSE P)		MAE + n (A_u - MAE p_u) / P
 *
 * with S_u, A_u and p_u a user's sums of errors and pairs, and P all n users'
 * pairs.  by is a Predictor for errors, a Ranker for rankings.
 */
extern void metrics_user_values(const Measurement *measurement, Metric metric,
								int by, int cutoff, const bool *among,
								double *values);

/* The metric of all users; NaN if there is none to measure it on. */
extern AlsEstimate metrics_estimate(const Measurement *measurement,
									Metric metric, int by, int cutoff,
									const bool *among);

/* The same of the model at the first k, without the standard error. */
extern double metric_value(const Measurement *measurement, Metric metric);

/* One user's value of a metric of rankings */
extern double list_value(const ListMeasures *list, Metric metric);

/* How the lists up to a cutoff share out the items: coverage and the next. */
extern double metrics_of_lists(const Measurement *measurement, Metric metric,
							   Ranker ranker, int cutoff);

/* Is the metric one of errors, not of rankings? */
static inline bool
metric_is_error(Metric metric)
{
	return metric <= METRIC_MAE;
}

/* Is it the same for all k? */
static inline bool
metric_of_all_ranks(Metric metric)
{
	return metric == METRIC_MRR || metric == METRIC_AUC;
}

/* Is a value of the metric strictly better than another? */
static inline bool
metric_better(Metric metric, double value, double than)
{
	return metric_is_error(metric) ? value < than : value > than;
}

/* The rating from which on an item is relevant, unless something else is said. */
static inline float
usual_relevant_from(AlsFeedback feedback, float mean)
{
	/* the smallest positive number is what greater than 0 means */
	return feedback == ALS_EXPLICIT ? mean : nextafterf(0, 1);
}

#endif							/* ALS_METRICS_H */
