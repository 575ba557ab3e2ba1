/*
 * tune_answer.c
 *	  What als_tune says of its trials: are they better than no model and than
 *	  the present one, are the differences larger than chance, what to try next.
 *
 * What each user of the validation was worth to a trial goes to a temporary
 * file, since the best trial, which all are compared with, is known at the end.
 */
#include "compat.h"

#include <math.h>

#include "common/bulk.h"
#include "common/parallel.h"
#include "lib/stringinfo.h"
#include "ratings/csr_blocks.h"
#include "train/tune.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

/* The usual level: what is less likely is not called chance */
#define SIGNIFICANT 0.05

void
answer_keep(Tuning *tuning, Trial *trial)
{
	size_t		size = tuning->input.validation->nusers * sizeof(double);

	if (tuning->values == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(tuning->context);

		tuning->values = BufFileCreateTemp(false);
		MemoryContextSwitchTo(old);
	}
	if (trial->values < 0)
		trial->values = tuning->nvalues++;
	file_seek(tuning->values, trial->values * (uint64) size);
	file_write(tuning->values, unconstify(double *, trainer_result(trial->trainer)->values), size);
}

/*
 * Measures what there is without a model: popularity, or the mean for errors.
 * Returns false if there is none for this metric.
 */
static bool
measure_baseline(Tuning *tuning, double *values)
{
	Validation *validation = tuning->input.validation;
	bool		errors = metric_is_error(tuning->metric);
	RatingBlocks *blocks = (RatingBlocks *) tuning->input.blocks.address;
	const uint64 *start = blocks_row_start(blocks, ALS_ITEMS);
	Arena	   *const sets[2] = {[TEST_SET] = &validation->set,[TRAINING_SET] = &tuning->input.blocks};
	Arena		arena;
	Measurement *measurement;
	float	   *rows;

	/* without feedback on a scale there is no mean to predict */
	if (errors && (validation->feedback == ALS_IMPLICIT || !tuning->options.parameters.biases))
		return false;
	arena = validation_arena(validation, 1, validation->shared);
	measurement = (Measurement *) arena.address;
	rows = measured_factors(measurement, ALS_USERS);
	memset(rows, 0, measurement->nusers * measurement->stride * sizeof(float));
	for (size_t u = 0; u < measurement->nusers; u++)
		rows[u * measurement->stride] = errors ? 0 : 1;
	rows = measured_factors(measurement, ALS_ITEMS);
	memset(rows, 0, measurement->nitems * measurement->stride * sizeof(float));
	/* those behind have no ratings */
	for (size_t i = 0; i < blocks->sides[ALS_ITEMS].nrows; i++)
		rows[i * measurement->stride] = (float) (start[i + 1] - start[i]);
	metrics_run(&arena, sets, parallel_workers(tuning->options.workers,
											   (double) measurement->nusers * measurement->nitems *
											   measurement->stride));
	tuning->baseline = metric_value(measurement, tuning->metric);
	metrics_user_values(measurement, tuning->metric, 0, 0, NULL, values);
	arena_free(&arena);
	return !isnan(tuning->baseline);
}

/*
 * How likely two equally good trials differ as much as these, or more, if users
 * are a random sample: two-sided, by the normal distribution.
 */
static double
p_value(const double *one, const double *other, uint32 nusers)
{
	AlsEstimate difference = als_estimate_difference(one, other, nusers);

	return difference.value == 0 ? 1 :
		erfc(fabs(difference.value) / difference.standard_error / sqrt(2));
}

/* How likely chance makes such a difference, in words; empty if nothing is known */
static char *
chance(double p)
{
	return isnan(p) ? pstrdup("") : p < 0.0001 ? pstrdup(" (p < 0.0001)") :
		psprintf(" (p = %.2g%s)", p, p > SIGNIFICANT ? ", so perhaps by chance" : "");
}

/* By how much a value is better than another, in percent; empty if that says nothing. */
static char *
by_percent(Metric metric, double value, double than)
{
	double		percent = 100 * fabs(metric_is_error(metric) ? 1 - value / than : value / than - 1);

	return than <= 0 ? pstrdup("") :
		psprintf(percent < 100 ? "%.3g %% " : "%.0f %% ", percent);
}

/* The best against what there is without a model. */
static void
remark_baseline(const Tuning *tuning, double p, StringInfo remarks)
{
	Metric		metric = tuning->metric;
	double		value = tuning->best->metric;
	const char *name = metric_is_error(metric) ? "the mean rating" : "what is popular";

	if (metric_better(metric, value, tuning->baseline))
		appendStringInfo(remarks, "It is %sbetter than %s, with %s %.4g%s.",
						 by_percent(metric, value, tuning->baseline), name,
						 metric_names[metric], tuning->baseline, chance(p));
	else
		appendStringInfo(remarks, "It is no better than %s, with %s %.4g: these ratings do not tell more.",
						 name, metric_names[metric], tuning->baseline);
}

/* The best against the parameters of the present model. */
static void
remark_present(const Tuning *tuning, StringInfo remarks)
{
	const Trial *best = tuning->best;

	for (int i = 0; i < tuning->ntrials; i++)
	{
		const Trial *trial = tuning->trials[i];

		if (!trial->present || trial->error != NULL || trial->iterations == 0)
			continue;
		if (trial == best)
			appendStringInfoString(remarks, " The parameters of the present model are the best.");
		else if (trial->metric == best->metric)
			appendStringInfo(remarks, " The parameters of the present model, trial %d, are as good.", trial->number);
		else
			appendStringInfo(remarks, " It is %sbetter than the parameters of the present model, trial %d%s.",
							 by_percent(tuning->metric, best->metric, trial->metric),
							 trial->number, chance(trial->p_value));
	}
}

/* Which trials may be as good. */
static void
remark_equals(const Tuning *tuning, StringInfo remarks)
{
	const Trial *best = tuning->best;
	const Trial *smallest = best;
	int			equals = 0;

	for (int i = 0; i < tuning->ntrials; i++)
	{
		const Trial *trial = tuning->trials[i];

		if (trial == best || !(trial->p_value > SIGNIFICANT))
			continue;
		equals++;
		if (trial->options.parameters.factors < smallest->options.parameters.factors ||
			(trial->options.parameters.factors == smallest->options.parameters.factors &&
			 smallest != best && metric_better(tuning->metric, trial->metric, smallest->metric)))
			smallest = trial;
	}
	if (equals > 0)
		appendStringInfo(remarks, " %d other trial%s may be as good (p > %g)", equals, equals > 1 ? "s" : "", SIGNIFICANT);
	if (smallest != best)
		appendStringInfo(remarks, ", with fewer factors the best of them trial %d: %d factors", smallest->number,
						 smallest->options.parameters.factors);
	if (equals > 0)
		appendStringInfoChar(remarks, '.');
}

/* A parameter that lies at the edge of a range that was given. */
static void
remark_range(const Search *search, SearchDimension dimension, const char *name,
			 const SearchPoint point, StringInfo remarks)
{
	int			edge = search_edge(search, dimension, point);
	double		end = pow(10, edge < 0 ? search->ranges[dimension].from : search->ranges[dimension].to);

	if (edge == 0)
		return;
	appendStringInfo(remarks, " %s is at the %s end of its range", name, edge < 0 ? "lower" : "upper");
	if (dimension != SEARCH_SCALING)
		appendStringInfo(remarks, ": try {\"%s\": {\"from\": %.3g, \"to\": %.3g}}", name, end / 10, end * 10);
	appendStringInfoChar(remarks, '.');
}

/* What lies at an edge of what was searched. */
static void
remark_search(const Tuning *tuning, StringInfo remarks)
{
	const Search *search = tuning->search;
	const SearchBest *place = &tuning->best->place;
	int			factors = tuning->best->options.parameters.factors;

	if (tuning->best->present)
		return;
	remark_range(search, SEARCH_ALPHA, "alpha", place->point, remarks);
	remark_range(search, SEARCH_REGULARIZATION, "regularization", place->point, remarks);
	remark_range(search, SEARCH_SCALING, "regularization_scaling", place->point, remarks);
	if (search->nlevels > 1 && place->level == search->nlevels - 1 && factors < ALS_MAX_FACTORS)
		appendStringInfo(remarks, " No more factors were tried: try {\"factors\": {\"from\": %d, \"to\": %d}}.",
						 factors, Min(2 * factors, ALS_MAX_FACTORS));
	if (search->nlevels > 1 && place->level == 0 && search->rounds > 1 && factors > 1)
		appendStringInfo(remarks, " No fewer factors were tried: try {\"factors\": {\"from\": %d, \"to\": %d}}.",
						 Max(factors / 4, 1), factors);
}

/* What lies at an edge of the grid. */
static void
remark_grid(const Tuning *tuning, StringInfo remarks)
{
	const TrainerParameters *best = &tuning->best->options.parameters;
	const struct
	{
		const char *name;
		double		value;
	}			parameters[] = {
		{"factors", best->factors},
		{"alpha", best->alpha},
		{"regularization", best->regularization},
		{"regularization_scaling", best->regularization_scaling}
	};

	for (size_t i = 0; i < lengthof(parameters); i++)
	{
		const GridAxis *axis = grid_axis(tuning->grid, parameters[i].name);
		double		least = INFINITY;
		double		most = -INFINITY;

		for (int v = 0; axis != NULL && v < axis->size; v++)
			if (axis->values[v].type == jbvNumeric)
			{
				double		value = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
																	   NumericGetDatum(axis->values[v].val.numeric)));

				least = Min(least, value);
				most = Max(most, value);
			}
		if (least < most && (parameters[i].value == least || parameters[i].value == most))
			appendStringInfo(remarks, " %s is the %s of the grid: try %s.", parameters[i].name,
							 parameters[i].value == least ? "least" : "most",
							 parameters[i].value == least ? "less" : "more");
	}
}

/* What a person asks about the best trial. */
static char *
remarks_on_best(Tuning *tuning, double baseline_p)
{
	Trial	   *best = tuning->best;
	StringInfoData remarks;

	initStringInfo(&remarks);
	if (!isnan(tuning->baseline))
		remark_baseline(tuning, baseline_p, &remarks);
	remark_present(tuning, &remarks);
	remark_equals(tuning, &remarks);
	if (tuning->grid->searched)
		remark_search(tuning, &remarks);
	else
		remark_grid(tuning, &remarks);
	if (best->best_iteration == best->options.parameters.iterations)
		appendStringInfoString(&remarks, " The last iteration was the best: try more.");
	if (tuning_is_over(tuning) && tuning->begun < tuning->limit)
		appendStringInfo(&remarks, " Time was up after %d of %d trials.", tuning->begun, tuning->limit);
	return remarks.data + (remarks.data[0] == ' ' ? 1 : 0);
}

void
answer(Tuning *tuning)
{
	uint32		nusers = tuning->input.validation->nusers;
	size_t		size = nusers * sizeof(double);
	const double *best = trainer_result(tuning->best->trainer)->values;
	double	   *values = MemoryContextAllocHuge(CurrentMemoryContext, Max(size, 1));
	double		baseline_p = NAN;
	MemoryContext old;

	tuning->baseline = NAN;
	if (measure_baseline(tuning, values))
		baseline_p = p_value(best, values, nusers);
	for (int i = 0; i < tuning->ntrials; i++)
	{
		Trial	   *trial = tuning->trials[i];

		trial->p_value = NAN;
		if (trial == tuning->best || trial->values < 0)
			continue;
		CHECK_FOR_INTERRUPTS();
		file_seek(tuning->values, trial->values * (uint64) size);
		file_read(tuning->values, values, size);
		trial->p_value = p_value(best, values, nusers);
		if (trial->present)
			trial->remarks = "The parameters of the present model.";
	}
	BufFileClose(tuning->values);
	pfree(values);
	old = MemoryContextSwitchTo(tuning->result);
	tuning->best->remarks = remarks_on_best(tuning, baseline_p);
	MemoryContextSwitchTo(old);
}
