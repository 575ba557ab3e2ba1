/*
 * options.c
 *	  The parameters of a training, from SQL arguments or from jsonb.
 *
 * One table describes all of them, in the order of als_train's arguments.
 */
#include "compat.h"

#include <float.h>
#include <math.h>

#include "common/arguments.h"
#include "core/als_core.h"
#include "lib/stringinfo.h"
#include "train/choose.h"
#include "train/options.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

typedef enum OptionType
{
	OPTION_TEXT,
	OPTION_FEEDBACK,
	OPTION_SOLVER,
	OPTION_BY,
	OPTION_METRIC,
	OPTION_DEPLOY,
	OPTION_INTEGER,
	OPTION_SEED,
	OPTION_REAL,
	OPTION_BOOLEAN,
	OPTION_WEIGHTS,
	OPTION_INTERVAL,
	OPTION_TIME
} OptionType;

typedef struct Option
{
	const char *name;
	OptionType	type;
	size_t		offset;			/* in TrainOptions */
	double		minimum;
	double		maximum;
	int			uses;			/* OptionUse */
	int			null_uses;		/* those in which it may be null */
} Option;

#define AT(field) offsetof(TrainOptions, field)

#define EVERYWHERE (USE_TRAIN | USE_AGGREGATE | USE_TUNE)
#define PARAMETER (USE_TRAIN | USE_AGGREGATE | USE_GRID)
#define IMPORTED (PARAMETER | USE_IMPORT)
#define SOLVED (IMPORTED | USE_SHARDED)
#define READING (USE_TRAIN | USE_TUNE)
#define WEIGHING (READING | USE_IMPORT)
#define SHARDED (PARAMETER | USE_SHARDED)

static const Option options_table[] = {
	{"user_column", OPTION_TEXT, AT(source.user_column), 0, 0, READING | USE_IMPORT, 0},
	{"item_column", OPTION_TEXT, AT(source.item_column), 0, 0, READING | USE_IMPORT, 0},
	{"rating_column", OPTION_TEXT, AT(source.rating_column), 0, 0, READING | USE_IMPORT, READING | USE_IMPORT},
	{"event_column", OPTION_TEXT, AT(source.weighing.event_column), 0, 0, WEIGHING, WEIGHING},
	{"event_weights", OPTION_WEIGHTS, AT(source.weighing.event_weights), 0, 0, WEIGHING | USE_GRID, WEIGHING},
	{"time_column", OPTION_TEXT, AT(source.weighing.time_column), 0, 0, WEIGHING, WEIGHING},
	{"half_life", OPTION_INTERVAL, AT(source.weighing.half_life), 0, 0, WEIGHING | USE_GRID, WEIGHING | USE_GRID},
	{"reference_time", OPTION_TIME, AT(source.weighing.reference_time), 0, 0, WEIGHING, WEIGHING},
	{"weight_column", OPTION_TEXT, AT(source.weighing.weight_column), 0, 0, WEIGHING, WEIGHING},
	{"user_features", OPTION_TEXT, AT(features[ALS_USERS]), 0, 0, READING, READING},
	{"item_features", OPTION_TEXT, AT(features[ALS_ITEMS]), 0, 0, READING, READING},
	{"feedback", OPTION_FEEDBACK, AT(parameters.feedback), 0, 0, EVERYWHERE | USE_IMPORT | USE_SHARDED, 0},
	{"factors", OPTION_INTEGER, AT(parameters.factors), 1, ALS_MAX_FACTORS, SHARDED, 0},
	{"regularization", OPTION_REAL, AT(parameters.regularization), 0, 1e30, SOLVED, SOLVED},
	{"regularization_scaling", OPTION_REAL, AT(parameters.regularization_scaling), 0, 2, SOLVED, SOLVED},
	{"regularization_by", OPTION_BY, AT(parameters.by_ratings), 0, 0, SOLVED, 0},
	{"feature_regularization", OPTION_REAL, AT(parameters.feature_regularization), 1e-6, 1e30, USE_TRAIN | USE_GRID, USE_TRAIN | USE_GRID},
	{"alpha", OPTION_REAL, AT(parameters.alpha), 0, 1e30, SOLVED, SOLVED},
	{"nonnegative", OPTION_BOOLEAN, AT(nonnegative), 0, 0, IMPORTED, 0},
	{"biases", OPTION_BOOLEAN, AT(parameters.biases), 0, 0, EVERYWHERE | USE_IMPORT, 0},
	{"iterations", OPTION_INTEGER, AT(parameters.iterations), 1, 100000, SHARDED, 0},
	{"solver", OPTION_SOLVER, AT(parameters.solver), 0, 0, PARAMETER, 0},
	{"cg_steps", OPTION_INTEGER, AT(parameters.cg_steps), 1, 10000, PARAMETER, 0},
	{"tolerance", OPTION_REAL, AT(parameters.tolerance), 0, 1, PARAMETER, 0},
	{"validation", OPTION_TEXT, AT(validation.source), 0, 0, READING, READING},
	{"validation_fraction", OPTION_REAL, AT(validation.fraction), 0, 1, READING, READING},
	{"validation_metric", OPTION_METRIC, AT(validation.metric), 0, 0, READING, READING},
	{"validation_k", OPTION_INTEGER, AT(validation.k), 1, PG_INT32_MAX, READING, 0},
	{"patience", OPTION_INTEGER, AT(validation.patience), 1, 100000, READING, READING},
	{"seed", OPTION_SEED, AT(parameters.seed), 0, 0, EVERYWHERE | USE_GRID | USE_SHARDED, 0},
	{"workers", OPTION_INTEGER, AT(workers), 0, 1024, EVERYWHERE, EVERYWHERE},
	{"warm_start", OPTION_BOOLEAN, AT(warm_start), 0, 0, USE_TRAIN | USE_AGGREGATE, 0},
	{"keep", OPTION_INTEGER, AT(keep), 1, 1000, USE_TRAIN | USE_AGGREGATE, USE_TRAIN | USE_AGGREGATE},
	{"deploy", OPTION_DEPLOY, AT(deploy), 0, 0, USE_TRAIN, 0},
	{"verbose", OPTION_BOOLEAN, AT(parameters.verbose), 0, 0, EVERYWHERE, 0},
};

static const char *const feedback_names[] = {"implicit", "explicit"};
static const char *const solver_names[] = {"cg", "cholesky"};
static const char *const deploy_names[] = {"always", "never", "if_better"};
static const char *const by_names[] = {"confidence", "ratings"};

static const TrainOptions defaults = {
	.source.weighing.reference_time = DT_NOBEGIN,
	.parameters = {
		.feedback = ALS_IMPLICIT,
		.solver = ALS_CG,
		.factors = 100,
		.iterations = 15,
		.cg_steps = 3,
		.regularization = TO_BE_CHOSEN,
		.regularization_scaling = TO_BE_CHOSEN,
		.feature_regularization = TO_BE_CHOSEN,
		.alpha = TO_BE_CHOSEN,
		.biases = true,
		.seed = 42,
	},
	.validation = {
		.fraction = -1,
		.metric = -1,
		.k = 10,
	},
	.workers = -1,
};

const char *
feedback_name(AlsFeedback feedback)
{
	return feedback_names[feedback];
}

const char *
solver_name(AlsSolver solver)
{
	return solver == ALS_NONNEGATIVE ? NULL : solver_names[solver];
}

const char *
deploy_name(Deploy deploy)
{
	return deploy_names[deploy];
}

const char *
regularization_by_name(bool by_ratings)
{
	return by_names[by_ratings];
}

static inline void *
option_field(TrainOptions *options, const Option *option)
{
	return (char *) options + option->offset;
}

/* The place of one of the words that an option may be. */
static int
choose(const Option *option, const char *value, const char *const *names,
	   int count)
{
	StringInfoData known;

	for (int i = 0; i < count; i++)
		if (strcmp(value, names[i]) == 0)
			return i;
	initStringInfo(&known);
	for (int i = 0; i < count; i++)
		appendStringInfo(&known, "%s\"%s\"", i == 0 ? "" :
						 i < count - 1 ? ", " : " or ", names[i]);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown %s \"%s\"", option->name, value),
			 errhint(count == 2 ? "It is either %s." : "It is one of %s.",
					 known.data)));
}

static void
set_text(TrainOptions *options, const Option *option, char *value)
{
	void	   *field = option_field(options, option);

	if (option->type == OPTION_FEEDBACK)
		*(AlsFeedback *) field = choose(option, value, feedback_names,
										lengthof(feedback_names));
	else if (option->type == OPTION_SOLVER)
		*(AlsSolver *) field = choose(option, value, solver_names,
									  lengthof(solver_names));
	else if (option->type == OPTION_BY)
		*(bool *) field = choose(option, value, by_names, lengthof(by_names)) == 1;
	else if (option->type == OPTION_DEPLOY)
		*(Deploy *) field = choose(option, value, deploy_names,
								   lengthof(deploy_names));
	else if (option->type == OPTION_METRIC)
		*(int *) field = choose(option, value, metric_names, METRICS);
	else
		*(char **) field = value;
}

static void
set_number(TrainOptions *options, const Option *option, double value)
{
	void	   *field = option_field(options, option);

	if (option->type == OPTION_REAL)
	{
		if (!(value >= option->minimum && value <= option->maximum))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s must not be %g", option->name, value),
					 errhint("It is a finite number between %g and %g.",
							 option->minimum, option->maximum)));
		*(double *) field = value;
	}
	else
	{
		if (!(value >= option->minimum && value <= option->maximum))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s must not be %.0f", option->name, value),
					 errhint("It is a whole number between %.0f and %.0f.",
							 option->minimum, option->maximum)));
		*(int *) field = (int) value;
	}
}

/* Raises for what are no weights of events. */
static void
set_weights(TrainOptions *options, const Option *option, Jsonb *weights)
{
	options_check_event_weights(weights, least_event_weight(ALS_IMPLICIT));
	*(Jsonb **) option_field(options, option) = weights;
}

/* Raises for an interval in which nothing can fade. */
static void
set_interval(TrainOptions *options, const Option *option, Interval *interval)
{
	if (!half_life_is_valid(interval))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be %s", option->name,
						DatumGetCString(DirectFunctionCall1(interval_out,
															IntervalPGetDatum(interval)))),
				 errhint("It is the time, above 0, in which an event comes to count half, '30 days' for example.")));
	*(Interval **) option_field(options, option) = interval;
}

/* Raises for a time that is not finite. */
static void
set_time(TrainOptions *options, const Option *option, TimestampTz time)
{
	if (TIMESTAMP_NOT_FINITE(time))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be infinite", option->name),
				 errhint("Leave it out for the start of the transaction.")));
	*(TimestampTz *) option_field(options, option) = time;
}

/* Raises for a null that has no meaning. */
static void
check_null(const Option *option, OptionUse use)
{
	if ((option->null_uses & use) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", option->name),
				 errhint("Leave it out for its default.")));
}

int
options_count(OptionUse use)
{
	int			count = 0;

	for (size_t i = 0; i < lengthof(options_table); i++)
		count += (options_table[i].uses & use) != 0;
	return count;
}

void
options_from_arguments(TrainOptions *options, FunctionCallInfo fcinfo,
					   int first, OptionUse use)
{
	int			next = first;

	*options = defaults;
	for (size_t i = 0; i < lengthof(options_table); i++)
	{
		const Option *option = &options_table[i];
		int			argument;

		if ((option->uses & use) == 0)
			continue;
		argument = next++;
		if (PG_ARGISNULL(argument))
		{
			check_null(option, use);
			continue;
		}
		switch (option->type)
		{
			case OPTION_TEXT:
			case OPTION_FEEDBACK:
			case OPTION_SOLVER:
			case OPTION_BY:
			case OPTION_METRIC:
			case OPTION_DEPLOY:
				set_text(options, option,
						 text_to_cstring(PG_GETARG_TEXT_PP(argument)));
				break;
			case OPTION_INTEGER:
				set_number(options, option, PG_GETARG_INT32(argument));
				break;
			case OPTION_SEED:
				options->parameters.seed = PG_GETARG_INT64(argument);
				break;
			case OPTION_REAL:
				set_number(options, option, PG_GETARG_FLOAT8(argument));
				break;
			case OPTION_BOOLEAN:
				*(bool *) option_field(options, option) =
					PG_GETARG_BOOL(argument);
				break;
			case OPTION_WEIGHTS:
				set_weights(options, option, PG_GETARG_JSONB_P_COPY(argument));
				break;
			case OPTION_INTERVAL:
				set_interval(options, option, PG_GETARG_INTERVAL_P(argument));
				break;
			case OPTION_TIME:
				set_time(options, option, PG_GETARG_TIMESTAMPTZ(argument));
				break;
		}
	}
}

/* The options that have a use, for hints. */
static char *
known_options(OptionUse use)
{
	StringInfoData known;

	initStringInfo(&known);
	for (size_t i = 0; i < lengthof(options_table); i++)
		if (options_table[i].uses & use)
			appendStringInfo(&known, "%s%s", known.len > 0 ? ", " : "",
							 options_table[i].name);
	return known.data;
}

/* Raises for a value of the wrong JSON type. */
static void
reject_option_type(const Option *option, OptionUse use, const char *expected)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" must be %s", option->name, expected),
			 errhint("The options are %s.", known_options(use))));
}

/* Raises for a string that is no interval. */
static Interval *
interval_from_string(const JsonbValue *value)
{
	char	   *text = pnstrdup(value->val.string.val, value->val.string.len);

	return DatumGetIntervalP(DirectFunctionCall3(interval_in, CStringGetDatum(text),
												 ObjectIdGetDatum(InvalidOid),
												 Int32GetDatum(-1)));
}

int
options_find(const char *name, OptionUse use, const char *what)
{
	for (size_t i = 0; i < lengthof(options_table); i++)
		if ((options_table[i].uses & use) &&
			strcmp(options_table[i].name, name) == 0)
			return (int) i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown %s \"%s\"", what, name),
			 errhint("The options are %s.", known_options(use))));
}

void
options_set(TrainOptions *options, int place, OptionUse use,
			JsonbValue *value)
{
	const Option *option = &options_table[place];
	Datum		numeric = value->type == jbvNumeric ?
		NumericGetDatum(value->val.numeric) : (Datum) 0;
	double		number = 0;

	if (value->type == jbvNumeric)
		number = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
													numeric));
	if (value->type == jbvNull)
	{
		check_null(option, use);
		if (option->type == OPTION_INTERVAL)
			*(Interval **) option_field(options, option) = NULL;
		return;
	}
	switch (option->type)
	{
		case OPTION_TEXT:
		case OPTION_FEEDBACK:
		case OPTION_SOLVER:
		case OPTION_BY:
		case OPTION_METRIC:
		case OPTION_DEPLOY:
			if (value->type != jbvString)
				reject_option_type(option, use, "a string");
			set_text(options, option, pnstrdup(value->val.string.val,
											   value->val.string.len));
			break;
		case OPTION_INTEGER:
			if (value->type != jbvNumeric || number != floor(number))
				reject_option_type(option, use, "a whole number");
			set_number(options, option, number);
			break;
		case OPTION_SEED:
			if (value->type != jbvNumeric || number != floor(number) ||
				fabs(number) > 9223372036854775808.0)
				reject_option_type(option, use, "a whole number of type bigint");
			options->parameters.seed =
				DatumGetInt64(DirectFunctionCall1(numeric_int8, numeric));
			break;
		case OPTION_REAL:
			if (value->type != jbvNumeric)
				reject_option_type(option, use, "a number");
			set_number(options, option, number);
			break;
		case OPTION_BOOLEAN:
			if (value->type != jbvBool)
				reject_option_type(option, use, "true or false");
			*(bool *) option_field(options, option) = value->val.boolean;
			break;
		case OPTION_WEIGHTS:
			set_weights(options, option, JsonbValueToJsonb(value));
			break;
		case OPTION_INTERVAL:
			if (value->type != jbvString)
				reject_option_type(option, use, "a string with an interval");
			set_interval(options, option, interval_from_string(value));
			break;
		case OPTION_TIME:
			/* no JSON has it */
			break;
	}
}

void
options_from_jsonb(TrainOptions *options, Jsonb *jsonb)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	*options = defaults;
	options->source.user_column = "user_id";
	options->source.item_column = "item_id";
	options->source.rating_column = "rating";
	if (jsonb == NULL)
	{
		options_settle(options);
		return;
	}
	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options must be a JSON object"),
				 errhint("For example {\"factors\": 64}.")));

	iterator = JsonbIteratorInit(&jsonb->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		int			place;

		if (token != WJB_KEY)
			continue;
		place = options_find(pnstrdup(value.val.string.val,
									  value.val.string.len),
							 USE_AGGREGATE, "option");
		JsonbIteratorNext(&iterator, &value, true);
		options_set(options, place, USE_AGGREGATE, &value);
	}
	options_settle(options);
}
