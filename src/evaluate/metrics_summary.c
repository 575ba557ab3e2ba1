/*
 * metrics_summary.c
 *	  What has been measured of users, summed up in their order.
 */
#include "compat.h"

#include <math.h>

#include "evaluate/metrics.h"
#include "miscadmin.h"
#include "utils/memutils.h"

const char *const metric_names[ALL_METRICS] = {
	"rmse", "mae", "precision", "recall", "recall_capped", "map", "ndcg", "mrr",
	"hit_rate", "auc", "novelty", "diversity", "coverage", "gini", "entropy"
};

/* Where the metrics of rankings are in ListMeasures */
static const size_t list_offsets[USER_METRICS] = {
	[METRIC_PRECISION] = offsetof(ListMeasures, accuracy.precision),
	[METRIC_RECALL] = offsetof(ListMeasures, accuracy.recall),
	[METRIC_RECALL_CAPPED] = offsetof(ListMeasures, accuracy.recall_capped),
	[METRIC_MAP] = offsetof(ListMeasures, accuracy.average_precision),
	[METRIC_NDCG] = offsetof(ListMeasures, accuracy.ndcg),
	[METRIC_MRR] = offsetof(ListMeasures, accuracy.reciprocal_rank),
	[METRIC_HIT_RATE] = offsetof(ListMeasures, accuracy.hit),
	[METRIC_AUC] = offsetof(ListMeasures, accuracy.auc),
	[METRIC_NOVELTY] = offsetof(ListMeasures, novelty),
	[METRIC_DIVERSITY] = offsetof(ListMeasures, diversity)
};

#define ST_SORT sort_counts
#define ST_ELEMENT_TYPE uint64
#define ST_CHECK_FOR_INTERRUPTS
#define ST_COMPARE(a, b) (*(a) < *(b) ? -1 : *(a) > *(b))
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

double
list_value(const ListMeasures *list, Metric metric)
{
	return *(const double *) ((const char *) list + list_offsets[metric]);
}

void
metrics_count(const Measurement *measurement, MeasureCounts *counts)
{
	const UserMeasures *measures = user_measures(measurement);

	memset(counts, 0, sizeof(*counts));
	for (uint32 u = 0; u < measurement->nusers; u++)
	{
		CHECK_FOR_INTERRUPTS();
		counts->pairs += measures[u].pairs;
		counts->relevant += measures[u].relevant;
		counts->users += measures[u].relevant > 0;
	}
}

/* A user's sum of errors; NaN if the user is not to be measured. */
static double
user_error(const Measurement *measurement, uint32 user, Metric metric, int by,
		   const bool *among)
{
	const UserMeasures *measures = &user_measures(measurement)[user];

	if (measures->predicted == 0 || (among != NULL && !among[user]))
		return NAN;
	return metric == METRIC_RMSE ? measures->squared_error[by] :
		measures->absolute_error[by];
}

/*
 * The mean error over the pairs, squared for RMSE; NaN if there are none.
 * Counts the pairs, and the users who have them.
 */
static double
mean_error(const Measurement *measurement, Metric metric, int by,
		   const bool *among, double *pairs, double *users)
{
	double		sum = 0;

	*pairs = 0;
	*users = 0;
	for (uint32 u = 0; u < measurement->nusers; u++)
	{
		double		error = user_error(measurement, u, metric, by, among);

		CHECK_FOR_INTERRUPTS();
		if (isnan(error))
			continue;
		sum += error;
		*pairs += user_measures(measurement)[u].predicted;
		*users += 1;
	}
	return sum / *pairs;
}

/* The value that a mean error is to be told as */
static double
error_of_mean(Metric metric, double mean)
{
	return metric == METRIC_RMSE ? sqrt(mean) : mean;
}

/* See metrics_user_values: an error. */
static void
error_values(const Measurement *measurement, Metric metric, int by,
			 const bool *among, double *values)
{
	double		pairs;
	double		users;
	double		mean = mean_error(measurement, metric, by, among, &pairs, &users);
	double		value = error_of_mean(metric, mean);

	/* that of the root, where it is one: infinite at 0, where nobody differs */
	double		slope = metric == METRIC_RMSE && value > 0 ? 1 / (2 * value) : 1;

	for (uint32 u = 0; u < measurement->nusers; u++)
	{
		CHECK_FOR_INTERRUPTS();
		values[u] = value + users * slope / pairs *
			(user_error(measurement, u, metric, by, among) -
			 mean * user_measures(measurement)[u].predicted);
	}
}

void
metrics_user_values(const Measurement *measurement, Metric metric, int by,
					int cutoff, const bool *among, double *values)
{
	if (metric_is_error(metric))
	{
		error_values(measurement, metric, by, among, values);
		return;
	}
	for (uint32 u = 0; u < measurement->nusers; u++)
	{
		CHECK_FOR_INTERRUPTS();
		values[u] = user_measures(measurement)[u].relevant == 0 ||
			(among != NULL && !among[u]) ? NAN :
			list_value(&user_lists(measurement, u, by)[cutoff], metric);
	}
}

AlsEstimate
metrics_estimate(const Measurement *measurement, Metric metric, int by,
				 int cutoff, const bool *among)
{
	double	   *values = MemoryContextAllocHuge(CurrentMemoryContext,
												Max(measurement->nusers, 1) *
												sizeof(double));
	AlsEstimate estimate;
	double		pairs;
	double		users;

	metrics_user_values(measurement, metric, by, cutoff, among, values);
	estimate = als_estimate_mean(values, measurement->nusers);
	if (metric_is_error(metric))
		estimate.value = error_of_mean(metric,
									   mean_error(measurement, metric, by,
												  among, &pairs, &users));
	pfree(values);
	return estimate;
}

double
metric_value(const Measurement *measurement, Metric metric)
{
	return metrics_estimate(measurement, metric, 0, 0, NULL).value;
}

/*
 * In how many lists up to a cutoff each item is, ascending; how many lists'
 * places that is together in *total.
 */
static uint64 *
list_counts(const Measurement *measurement, Ranker ranker, int cutoff,
			uint64 *total)
{
	uint32		nitems = measurement->nitems;
	uint64	   *counts = MemoryContextAllocExtended(CurrentMemoryContext,
													Max(nitems, 1) * sizeof(uint64),
													MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	*total = 0;
	for (int c = 0; c <= cutoff; c++)
	{
		pg_atomic_uint32 *recommended = recommended_items(measurement, ranker, c);

		for (uint32 i = 0; i < nitems; i++)
		{
			uint32		count = pg_atomic_read_u32(&recommended[i]);

			CHECK_FOR_INTERRUPTS();
			counts[i] += count;
			*total += count;
		}
	}
	sort_counts(counts, nitems);
	return counts;
}

double
metrics_of_lists(const Measurement *measurement, Metric metric, Ranker ranker,
				 int cutoff)
{
	double		nitems = measurement->nitems;
	uint64		total;
	uint64	   *counts = list_counts(measurement, ranker, cutoff, &total);
	double		covered = 0;
	double		inequality = 0;
	double		entropy = 0;

	for (uint32 i = 0; i < measurement->nitems && total > 0; i++)
	{
		double		share = (double) counts[i] / total;

		CHECK_FOR_INTERRUPTS();
		/* whole numbers, so that it is 0 where all are equal */
		inequality += (2 * (i + 1.0) - nitems - 1) * counts[i];
		if (counts[i] == 0)
			continue;
		covered++;
		entropy -= share * log2(share);
	}
	pfree(counts);
	if (total == 0)
		return NAN;
	switch (metric)
	{
		case METRIC_COVERAGE:
			return covered / nitems;
		case METRIC_GINI:
			return inequality / total / nitems;
		case METRIC_ENTROPY:
			return entropy;
		default:
			pg_unreachable();
	}
}
