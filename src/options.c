/*
 * options.c
 *	  The parameters of a training, from SQL arguments or from jsonb.
 *
 * One table describes all of them, in the order of als_train's arguments.
 */
#include "compat.h"

#include <float.h>
#include <math.h>

#include "als_core.h"
#include "lib/stringinfo.h"
#include "options.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

typedef enum OptionType
{
	OPTION_COLUMN,				/* char *: of the source, not of a query */
	OPTION_FEEDBACK,
	OPTION_SOLVER,
	OPTION_INTEGER,
	OPTION_SEED,
	OPTION_REAL,
	OPTION_BOOLEAN
} OptionType;

typedef struct Option
{
	const char *name;
	OptionType	type;
	size_t		offset;			/* in TrainOptions */
	double		minimum;
	double		maximum;
	bool		nullable;
} Option;

#define AT(field) offsetof(TrainOptions, field)

static const Option options_table[] = {
	{"user_column", OPTION_COLUMN, AT(source.user_column), 0, 0, false},
	{"item_column", OPTION_COLUMN, AT(source.item_column), 0, 0, false},
	{"rating_column", OPTION_COLUMN, AT(source.rating_column), 0, 0, true},
	{"feedback", OPTION_FEEDBACK, AT(parameters.feedback), 0, 0, false},
	{"factors", OPTION_INTEGER, AT(parameters.factors), 1, ALS_MAX_FACTORS, false},
	{"regularization", OPTION_REAL, AT(parameters.regularization), 0, 1e30, false},
	{"regularization_scaling", OPTION_REAL, AT(parameters.regularization_scaling), 0, 2, true},
	{"alpha", OPTION_REAL, AT(parameters.alpha), 0, 1e30, false},
	{"nonnegative", OPTION_BOOLEAN, AT(nonnegative), 0, 0, false},
	{"iterations", OPTION_INTEGER, AT(parameters.iterations), 1, 100000, false},
	{"solver", OPTION_SOLVER, AT(parameters.solver), 0, 0, false},
	{"cg_steps", OPTION_INTEGER, AT(parameters.cg_steps), 1, 10000, false},
	{"tolerance", OPTION_REAL, AT(parameters.tolerance), 0, 1, false},
	{"seed", OPTION_SEED, AT(parameters.seed), 0, 0, false},
	{"workers", OPTION_INTEGER, AT(workers), 0, 1024, true},
	{"warm_start", OPTION_BOOLEAN, AT(warm_start), 0, 0, false},
	{"verbose", OPTION_BOOLEAN, AT(parameters.verbose), 0, 0, false},
};

static const char *const feedback_names[] = {"implicit", "explicit"};
static const char *const solver_names[] = {"cg", "cholesky"};

static const TrainOptions defaults = {
	.parameters = {
		.feedback = ALS_IMPLICIT,
		.solver = ALS_CG,
		.factors = 100,
		.iterations = 15,
		.cg_steps = 3,
		.regularization = 0.01,
		.regularization_scaling = -1,	/* as the feedback has it */
		.alpha = 40,
		.seed = 42,
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

static inline void *
option_field(TrainOptions *options, const Option *option)
{
	return (char *) options + option->offset;
}

/* Sets an option that has a choice of two words. */
static int
choose(const Option *option, const char *value, const char *const *names)
{
	for (int i = 0; i < 2; i++)
		if (strcmp(value, names[i]) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown %s \"%s\"", option->name, value),
			 errhint("It is either \"%s\" or \"%s\".", names[0], names[1])));
}

static void
set_text(TrainOptions *options, const Option *option, char *value)
{
	void	   *field = option_field(options, option);

	if (option->type == OPTION_FEEDBACK)
		*(AlsFeedback *) field = choose(option, value, feedback_names);
	else if (option->type == OPTION_SOLVER)
		*(AlsSolver *) field = choose(option, value, solver_names);
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

/* Raises for a null that has no meaning. */
static void
check_null(const Option *option)
{
	if (!option->nullable)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", option->name),
				 errhint("Leave it out for its default.")));
}

/* Settles what depends on more than one option. */
static void
settle(TrainOptions *options)
{
	TrainingParameters *parameters = &options->parameters;

	if (parameters->regularization_scaling < 0)
		parameters->regularization_scaling =
			parameters->feedback == ALS_EXPLICIT ? 1 : 0;
	if (options->nonnegative)
		parameters->solver = ALS_NONNEGATIVE;
}

void
options_from_arguments(TrainOptions *options, FunctionCallInfo fcinfo)
{
	*options = defaults;
	for (size_t i = 0; i < lengthof(options_table); i++)
	{
		const Option *option = &options_table[i];
		int			argument = (int) i + 2;

		if (PG_ARGISNULL(argument))
		{
			check_null(option);
			continue;
		}
		switch (option->type)
		{
			case OPTION_COLUMN:
			case OPTION_FEEDBACK:
			case OPTION_SOLVER:
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
		}
	}
	settle(options);
}

/* The options that a query's training has, for hints. */
static char *
known_options(void)
{
	StringInfoData known;

	initStringInfo(&known);
	for (size_t i = 0; i < lengthof(options_table); i++)
		if (options_table[i].type != OPTION_COLUMN)
			appendStringInfo(&known, "%s%s", known.len > 0 ? ", " : "",
							 options_table[i].name);
	return known.data;
}

/* Raises for a value of the wrong JSON type. */
static void
reject_option_type(const Option *option, const char *expected)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" must be %s", option->name, expected),
			 errhint("The options are %s.", known_options())));
}

/* Sets one option from a JSON value. */
static void
set_json(TrainOptions *options, const Option *option, JsonbValue *value)
{
	Datum		numeric = value->type == jbvNumeric ?
		NumericGetDatum(value->val.numeric) : (Datum) 0;
	double		number = 0;

	if (value->type == jbvNumeric)
		number = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
													numeric));
	if (value->type == jbvNull)
	{
		check_null(option);
		return;
	}
	switch (option->type)
	{
		case OPTION_COLUMN:
		case OPTION_FEEDBACK:
		case OPTION_SOLVER:
			if (value->type != jbvString)
				reject_option_type(option, "a string");
			set_text(options, option, pnstrdup(value->val.string.val,
											   value->val.string.len));
			break;
		case OPTION_INTEGER:
			if (value->type != jbvNumeric || number != floor(number))
				reject_option_type(option, "a whole number");
			set_number(options, option, number);
			break;
		case OPTION_SEED:
			if (value->type != jbvNumeric || number != floor(number) ||
				fabs(number) > 9e18)
				reject_option_type(option, "a whole number of type bigint");
			options->parameters.seed =
				DatumGetInt64(DirectFunctionCall1(numeric_int8, numeric));
			break;
		case OPTION_REAL:
			if (value->type != jbvNumeric)
				reject_option_type(option, "a number");
			set_number(options, option, number);
			break;
		case OPTION_BOOLEAN:
			if (value->type != jbvBool)
				reject_option_type(option, "true or false");
			*(bool *) option_field(options, option) = value->val.boolean;
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
		settle(options);
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
		const Option *option = NULL;
		char	   *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(value.val.string.val, value.val.string.len);
		for (size_t i = 0; i < lengthof(options_table); i++)
			if (options_table[i].type != OPTION_COLUMN &&
				strcmp(options_table[i].name, name) == 0)
				option = &options_table[i];
		if (option == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("unknown option \"%s\"", name),
					 errhint("The options are %s.", known_options())));
		JsonbIteratorNext(&iterator, &value, true);
		set_json(options, option, &value);
	}
	settle(options);
}
