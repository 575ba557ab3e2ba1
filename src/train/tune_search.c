/*
 * tune_search.c
 *	  als_tune without a grid: what it searches, and which trials go on.
 *
 * Coordinates are decadic logarithms: of alpha and regularization themselves
 * where their range is given, else of their ratio to what choose.c chooses, the
 * regularization for this alpha and scaling.  So the search begins with als's
 * own choice, and lambda moves with what it depends on.
 *
 * The trials of a round run against each other (successive halving, Jamieson
 * and Talwalkar 2016): all of them for a quarter of the iterations, the best
 * third up to half of them, the best third of these to the end.
 */
#include "compat.h"

#include <limits.h>
#include <math.h>

#include "common/shortest_dec.h"
#include "core/als_core.h"
#include "ratings/csr_blocks.h"
#include "train/tune.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

/* Trials where nothing is said */
#define TRIALS 60

/* At most */
#define MOST_TRIALS 100000

/* The ranges where they are not given, around what is chosen */
#define ALPHA_DECADES 1.5
#define REGULARIZATION_DECADES 1.0
#define MOST_SCALING 1.0
#define FEWEST_FACTORS 16
#define MOST_FACTORS 128

/* One trial in so many goes on */
#define ONE_GOES_ON 3

/* The share of the iterations behind which trials pause first is one in so many,
 * then twice that, and so on */
#define FIRST_PAUSE 4

/* The ends of the number of factors; 0 for the upper one that depends on the ratings */
static void
factor_range(const Grid *grid, int *from, int *to)
{
	const GridAxis *axis = grid_axis(grid, "factors");

	*from = FEWEST_FACTORS;
	*to = 0;
	if (axis == NULL)
		return;
	if (!axis->range)
		*from = *to = DatumGetInt32(DirectFunctionCall1(numeric_int4,
														NumericGetDatum(axis->values[0].val.numeric)));
	else
	{
		if (!isnan(axis->to))
			*to = (int) axis->to;
		if (!isnan(axis->from))
			*from = (int) axis->from;
		else if (*to > 0)
			*from = Min(*from, *to);
	}
}

int
search_most_factors(const Grid *grid)
{
	int			from;
	int			to;

	factor_range(grid, &from, &to);
	return to > 0 ? to : Max(from, MOST_FACTORS);
}

/* Lists the numbers of factors, each twice the one before. */
static void
list_levels(const Tuning *tuning, Search *search)
{
	const RatingBlocks *blocks = (const RatingBlocks *) tuning->input.blocks.address;
	uint32		rows = Min(blocks->sides[ALS_USERS].nrows, blocks->sides[ALS_ITEMS].nrows);
	int			factors;
	int			to;

	factor_range(tuning->grid, &factors, &to);
	if (to == 0)
		to = Max(factors, (int) Min(MOST_FACTORS, rows));
	for (; factors < to && search->nlevels < SEARCH_LEVELS - 1; factors *= 2)
		search->levels[search->nlevels++] = factors;
	search->levels[search->nlevels++] = to;
}

/* Fills in the range of a parameter on a logarithmic scale. */
static void
logarithmic_range(const Grid *grid, const char *name, double decades,
				  SearchRange *range)
{
	const GridAxis *axis = grid_axis(grid, name);

	range->searched = axis == NULL || axis->range;
	range->fixed = range->given = range->searched && axis != NULL && !isnan(axis->from);
	range->from = range->fixed ? log10(axis->from) : -decades;
	range->to = range->fixed ? log10(axis->to) : decades;
}

/* Fills in that of the scaling: with a lambda that is given it is that of the papers. */
static void
scaling_range(const Tuning *tuning, const SearchRange *regularization,
			  SearchRange *range)
{
	const GridAxis *axis = grid_axis(tuning->grid, "regularization_scaling");

	range->searched = axis != NULL ? axis->range :
		tuning->options.parameters.feedback == ALS_EXPLICIT &&
		regularization->searched && !regularization->fixed;
	range->fixed = true;
	range->given = axis != NULL && axis->range && !isnan(axis->from);
	range->from = range->given ? axis->from : 0;
	range->to = range->given ? axis->to : MOST_SCALING;
}

static void
begin_search(const Tuning *tuning, Search *search)
{
	SearchRange *ranges = search->ranges;

	memset(search, 0, sizeof(*search));
	if (tuning->options.parameters.feedback == ALS_IMPLICIT)
		logarithmic_range(tuning->grid, "alpha", ALPHA_DECADES, &ranges[SEARCH_ALPHA]);
	logarithmic_range(tuning->grid, "regularization", REGULARIZATION_DECADES,
					  &ranges[SEARCH_REGULARIZATION]);
	scaling_range(tuning, &ranges[SEARCH_REGULARIZATION], &ranges[SEARCH_SCALING]);
	list_levels(tuning, search);
	search->trials = tuning->limit;
	search->seed = (uint64) tuning->options.parameters.seed;
	search_begin(search);
}

/* A value as people write it: three digits say enough. */
static double
rounded(double value)
{
	char		text[32];

	snprintf(text, sizeof(text), "%.3g", Min(Max(value, 1e-30), 1e30));
	return strtod(text, NULL);
}

/* A value rounded, but not out of the range that was given for it, if there is one */
static double
within(double value, const Grid *grid, const char *name)
{
	const GridAxis *axis = grid_axis(grid, name);

	return axis == NULL || isnan(axis->from) ? value : Min(Max(value, axis->from), axis->to);
}

/* The options of a point. */
static void
set_options(Tuning *tuning, const Search *search, Trial *trial)
{
	const SearchRange *ranges = search->ranges;
	const double *point = trial->place.point;
	TrainerParameters *parameters = &trial->options.parameters;
	TrainerParameters chosen;

	trial->options = tuning->options;
	parameters->verbose = false;
	parameters->factors = search->levels[trial->place.level];
	if (ranges[SEARCH_ALPHA].searched && ranges[SEARCH_ALPHA].fixed)
		parameters->alpha = within(rounded(pow(10, point[SEARCH_ALPHA])), tuning->grid, "alpha");
	if (ranges[SEARCH_REGULARIZATION].searched && ranges[SEARCH_REGULARIZATION].fixed)
		parameters->regularization = within(rounded(pow(10, point[SEARCH_REGULARIZATION])),
											tuning->grid, "regularization");
	if (ranges[SEARCH_SCALING].searched)
		parameters->regularization_scaling = within(rint(point[SEARCH_SCALING] * 100) / 100,
													tuning->grid, "regularization_scaling");
	grid_options(tuning->grid, 0, &trial->options);

	/* alpha first, by which lambda is chosen */
	chosen = *parameters;
	choose_parameters(&chosen, &tuning->input.blocks, &tuning->input.summary);
	parameters->alpha = chosen.alpha;
	if (ranges[SEARCH_ALPHA].searched && !ranges[SEARCH_ALPHA].fixed)
		parameters->alpha = rounded(chosen.alpha * pow(10, point[SEARCH_ALPHA]));
	choose_parameters(parameters, &tuning->input.blocks, &tuning->input.summary);
	if (ranges[SEARCH_REGULARIZATION].searched && !ranges[SEARCH_REGULARIZATION].fixed)
		parameters->regularization = rounded(parameters->regularization *
											 pow(10, point[SEARCH_REGULARIZATION]));
}

/* Adds a parameter and its number to an object. */
static void
push_number(JsonbInState *state, const char *name, double number)
{
	char		text[DOUBLE_SHORTEST_DECIMAL_LEN];
	JsonbValue	value;

	/* the same whatever the session's extra_float_digits */
	double_to_shortest_decimal_buf(number, text);
	value.type = jbvNumeric;
	value.val.numeric =
		DatumGetNumeric(DirectFunctionCall3(numeric_in,
											CStringGetDatum(text),
											ObjectIdGetDatum(InvalidOid),
											Int32GetDatum(-1)));
	push_pair(state, name, &value);
}

/* The parameters of a trial: what is searched or chosen, and what the grid says. */
static Jsonb *
parameters_json(const Tuning *tuning, const TrainOptions *options)
{
	const TrainerParameters *parameters = &options->parameters;
	const Grid *grid = tuning->grid;
	JsonbInState state = {0};
	JsonbValue	nonnegative = {.type = jbvBool,.val.boolean = options->nonnegative};

	/* of two with the same name the later one stays */
	push_jsonb(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < grid->naxes; i++)
		if (!grid->axes[i].range)
			push_pair(&state, grid->axes[i].name, &grid->axes[i].values[0]);
	if (options->nonnegative || grid_axis(grid, "nonnegative") != NULL)
		push_pair(&state, "nonnegative", &nonnegative);
	if (parameters->by_ratings || grid_axis(grid, "regularization_by") != NULL)
	{
		JsonbValue	by;

		by.type = jbvString;
		by.val.string.val = unconstify(char *, regularization_by_name(parameters->by_ratings));
		by.val.string.len = (int) strlen(by.val.string.val);
		push_pair(&state, "regularization_by", &by);
	}
	push_number(&state, "factors", parameters->factors);
	push_number(&state, "regularization", parameters->regularization);
	push_number(&state, "regularization_scaling", parameters->regularization_scaling);
	if (parameters->feedback == ALS_IMPLICIT)
		push_number(&state, "alpha", parameters->alpha);
	push_jsonb(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

/* Fills in a trial's parameters from its options. */
static void
describe_trial(const Tuning *tuning, Trial *trial)
{
	MemoryContext old = MemoryContextSwitchTo(tuning->result);

	trial->parameters = parameters_json(tuning, &trial->options);
	MemoryContextSwitchTo(old);
}

/* Orders pointers to trials by what was measured last, those that failed last, however late. */
static int
compare_latest(const void *a, const void *b, void *metric)
{
	const Trial *first = *(Trial *const *) a;
	const Trial *second = *(Trial *const *) b;

	if (first->failed != second->failed)
		return first->failed ? 1 : -1;
	if (first->error == NULL && second->error == NULL &&
		first->latest != second->latest)
		return metric_better(*(Metric *) metric, first->latest, second->latest) ? -1 : 1;
	return trial_compare(a, b, metric);
}

/* Leaves the best third of the trials of a round; returns how many that are. */
static int
cut(Tuning *tuning, Trial **trials, int count)
{
	int			left = (count + ONE_GOES_ON - 1) / ONE_GOES_ON;

	qsort_arg(trials, count, sizeof(Trial *), compare_latest, &tuning->metric);
	for (int i = 0; i < count; i++)
		if (i >= left || trials[i]->failed || trials[i]->iterations == 0)
		{
			trials[i]->goes_on = false;
			trial_release(tuning, trials[i]);
		}
	while (left > 0 && !trials[left - 1]->goes_on)
		left--;
	return left;
}

/*
 * Runs the trials of a round against each other; returns the one that was best
 * after its last iteration, or the one before if that was better.  Those that were
 * best early and then got worse want more regularization, with more factors even
 * more of it, and are no place to go on from.
 */
static Trial *
run_round(Tuning *tuning, const Search *search, const SearchRound *round,
		  Trial *before)
{
	Trial	  **trials = palloc(round->count * sizeof(Trial *));
	int			left = round->count;

	for (int i = 0; i < round->count; i++)
	{
		Trial	   *trial = trials[i] = trial_add(tuning);

		trial->place.level = round->level;
		search_point(search, round, i, trial->place.point);
		set_options(tuning, search, trial);
		describe_trial(tuning, trial);
		trial->goes_on = true;
	}
	for (int rung = 0; rung < tuning->rungs.count && left > 0; rung++)
	{
		trials_run(tuning, trials, left, tuning->rungs.iterations[rung]);
		if (tuning_is_over(tuning))
			break;
		if (rung + 1 < tuning->rungs.count)
			left = cut(tuning, trials, left);
	}
	for (int i = 0; i < left; i++)
		if (trials[i]->iterations > 0 && !trials[i]->failed &&
			(before == NULL || compare_latest(&trials[i], &before, &tuning->metric) < 0))
			before = trials[i];
	for (int i = 0; i < round->count; i++)
	{
		trials[i]->goes_on = false;
		trial_release(tuning, trials[i]);
	}
	pfree(trials);
	return before;
}

/* Where trials of so many iterations pause */
static void
set_rungs(Rungs *rungs, int iterations)
{
	rungs->count = 0;
	for (int share = FIRST_PAUSE; share >= 1; share /= 2)
	{
		int			iteration = (iterations + share - 1) / share;

		if (rungs->count == 0 || iteration > rungs->iterations[rungs->count - 1])
			rungs->iterations[rungs->count++] = iteration;
	}
}

void
search_prepare(Tuning *tuning)
{
	TrainOptions options = tuning->options;

	tuning->limit = Min(tuning->limit == 0 ? TRIALS : tuning->limit, MOST_TRIALS);
	options.parameters.factors = search_most_factors(tuning->grid);
	grid_options(tuning->grid, 0, &options);
	tuning->metric = options.validation.metric;
	tuning->options.validation.metric = tuning->metric;
	set_rungs(&tuning->rungs, options.parameters.iterations);
}

/* Are the parameters of the model's last run known, and can they be tried? */
static bool
has_present(const Tuning *tuning)
{
	const ModelRun *run = &tuning->target.last;
	const TrainerParameters *parameters = &tuning->options.parameters;
	const char *const *features = tuning->options.features;
	bool		plain = features[ALS_USERS] == NULL && features[ALS_ITEMS] == NULL;

	return run->run > 0 && tuning->limit > 1 &&
		run->feedback == parameters->feedback &&
		run->factors >= 1 && run->factors <= ALS_MAX_FACTORS &&
		run->regularization >= 0 && run->regularization_scaling >= 0 &&
		run->alpha >= 0 &&
		(run->feedback == ALS_IMPLICIT || run->biases == parameters->biases) &&
		(plain || (!run->nonnegative && run->regularization > 0));
}

/* Trains with them, to compare with. */
static void
run_present(Tuning *tuning)
{
	const ModelRun *run = &tuning->target.last;
	Trial	   *trial = trial_add(tuning);
	TrainOptions *options = &trial->options;

	*options = tuning->options;
	grid_options(tuning->grid, 0, options);
	options->parameters.verbose = false;
	options->parameters.factors = run->factors;
	options->parameters.regularization = run->regularization;
	options->parameters.regularization_scaling = run->regularization_scaling;
	options->parameters.by_ratings = run->by_ratings;
	options->parameters.alpha = run->alpha;
	options->nonnegative = run->nonnegative;
	if (run->nonnegative)
		options->parameters.solver = ALS_NONNEGATIVE;
	else if (options->parameters.solver == ALS_NONNEGATIVE)
		options->parameters.solver = ALS_CG;
	trial->present = true;
	describe_trial(tuning, trial);
	trials_run(tuning, &trial, 1, INT_MAX);
}

void
search_run(Tuning *tuning)
{
	Search	   *search = palloc(sizeof(Search));
	bool		present = has_present(tuning);
	SearchRound round;
	Trial	   *best = NULL;

	tuning->search = search;
	begin_search(tuning, search);
	search->trials = search->left = tuning->limit - present;
	while (!tuning_is_over(tuning) &&
		   search_next(search, best ? &best->place : NULL, &round))
		best = run_round(tuning, search, &round, best);
	if (present && !tuning_is_over(tuning))
		run_present(tuning);
}
