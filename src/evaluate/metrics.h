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
#include "core/als_rank_metrics.h"
#include "port/atomics.h"
#include "ratings/ratings.h"

/* Both are what blocks_build returns, with ids of their own. */
typedef enum RatingSet
{
	TEST_SET,
	TRAINING_SET				/* left out of rankings, save what is in test */
} RatingSet;

/* A user of the test set whom the model knows */
typedef struct MeasuredUser
{
	uint32		factors;		/* row of the users' factors */
	uint32		rows[2];		/* of the sets; NOT_THERE in training */
} MeasuredUser;

/* What is measured of a user */
typedef struct UserMeasures
{
	uint32		pairs;			/* of the test set, their items known */
	uint32		relevant;		/* among them; 0: ranking means nothing */
	double		squared_error;	/* sums over the pairs */
	double		absolute_error;
	AlsMeasures ranking;
} UserMeasures;

/* One number that says how good factors are */
typedef enum Metric
{
	METRIC_RMSE, METRIC_MAE,	/* lower is better */
	METRIC_PRECISION, METRIC_RECALL, METRIC_RECALL_CAPPED, METRIC_MAP,
	METRIC_NDCG, METRIC_MRR, METRIC_HIT_RATE, METRIC_AUC
} Metric;

#define METRICS (METRIC_AUC + 1)

/* As the columns of als_evaluation are called */
extern const char *const metric_names[METRICS];

/* All users together; what has no value is NaN */
typedef struct MeasureSummary
{
	uint64		users;			/* with a relevant item */
	uint64		pairs;
	uint64		relevant;
	double		rmse;			/* over the pairs */
	double		mae;
	AlsMeasures ranking;		/* means over the users */
	double		coverage;		/* share of items in anybody's top k */
} MeasureSummary;

/* What processes share, at the start of the arena; offsets count from here */
typedef struct Measurement
{
	AlsFeedback feedback;
	int			stride;
	float		mean;			/* part of every score */
	float		relevant_from;	/* the rating that makes an item relevant */
	bool		errors_only;	/* nothing is ranked: rankings mean nothing */
	uint32		k;
	uint32		nusers;			/* those to measure, at most users_limit */
	uint32		users_limit;	/* room for this many */
	uint32		nitems;			/* of the model */
	uint32		set_items[2];	/* different items in each set */

	pg_atomic_uint32 next_user;

	size_t		users_offset;	/* MeasuredUser [users_limit] */
	size_t		measures_offset;	/* UserMeasures [users_limit], output */
	size_t		factors_offset[2];	/* by AlsSide: float [rows x stride] */
	size_t		items_offset[2];	/* uint32 [set_items]: rows of factors */
	size_t		order_offset;	/* uint32 [nitems]: order of their ids */
	size_t		recommended_offset; /* bool [nitems], output: by order, is it
									 * in anybody's top k? */
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

static inline bool *
recommended_items(const Measurement *measurement)
{
	return measurement_at(measurement, measurement->recommended_offset);
}

/*
 * Allocates what the sizes in layout ask for, and copies them; users, factors,
 * items and order are the caller's to fill in.
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

/* Sums up what has been measured, in the order of users. */
extern void metrics_summarize(const Measurement *measurement,
							  MeasureSummary *summary);

extern double metric_value(const MeasureSummary *summary, Metric metric);

/* Is the metric one of errors, not of rankings? */
static inline bool
metric_is_error(Metric metric)
{
	return metric <= METRIC_MAE;
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
