/*
 * options_settle.c
 *	  What the parameters of a training say of each other.
 */
#include "compat.h"

#include <ctype.h>

#include "access/xact.h"
#include "common/side.h"
#include "train/choose.h"
#include "train/options.h"
#include "utils/timestamp.h"

/* In rows that are drawn to their features; docs/experiments.md has what was measured */
#define DEFAULT_FEATURE_REGULARIZATION 10

void
options_check_event_weights(const Jsonb *weights, double least)
{
	const char *fault = event_weights_fault(weights, least);

	if (fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event_weights must be a JSON object with the weight of each event"),
				 errdetail("%s", fault),
				 errhint("For example {\"view\": 1, \"cart\": 2, \"buy\": 5}.")));
}

/* Is it a number, which no relation is called without quotes? */
static bool
is_number(const char *text)
{
	char	   *end;

	/* strtod takes nan and infinity too, which may well be relations */
	strtod(text, &end);
	return end != text && *end == '\0' && !isalpha((unsigned char) end[-1]);
}

/* Raises for what the options of a validation say of each other. */
static void
check_validation(const ValidationOptions *validation, bool validate,
				 Deploy deploy)
{
	if (validation->source != NULL && validation->fraction >= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("validation and validation_fraction exclude each other"),
				 errhint("Name a relation or query to validate on, or the share of the ratings to set aside for that.")));
	if (validation->source != NULL && is_number(validation->source))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("validation must not be a number"),
				 errdetail("It is the relation or query to validate on."),
				 errhint("Pass validation_fraction => %s to set aside a share of the ratings.",
						 validation->source)));
	if (!validate && (validation->patience > 0 || validation->metric >= 0 ||
					  deploy == DEPLOY_IF_BETTER))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s has no meaning without something to validate on",
						validation->patience > 0 ? "patience" :
						validation->metric >= 0 ? "validation_metric" :
						"deploy => 'if_better'"),
				 errhint("Pass validation => '...', a relation or query, or validation_fraction => 0.1, the share of the ratings to set aside.")));
}

/* Raises for one of two options without which the other has no meaning. */
static void
check_pair(const char *given, bool is_given, const char *needed, bool is_there)
{
	if (is_given && !is_there)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s has no meaning without %s", given, needed),
				 errhint("Pass both or neither.")));
}

/* Settles what rows weigh: since when, and whether all is there to say so. */
static void
settle_weighing(Weighing *weighing, AlsFeedback feedback)
{
	bool		refers = weighing->reference_time != DT_NOBEGIN;

	check_pair("event_column", weighing->event_column != NULL,
			   "event_weights", weighing->event_weights != NULL);
	check_pair("event_weights", weighing->event_weights != NULL,
			   "event_column", weighing->event_column != NULL);
	check_pair("half_life", weighing->half_life != NULL,
			   "time_column", weighing->time_column != NULL);
	check_pair("reference_time", refers, "half_life",
			   weighing->half_life != NULL);
	if (weighing->event_weights != NULL)
		options_check_event_weights(weighing->event_weights,
									least_event_weight(feedback));
	weighing_settle(weighing, feedback);
	if (!refers)
		weighing->reference_time = GetCurrentTransactionStartTimestamp();
}

/*
 * nu where it is not said: the rule's where lambda is the rule's too, else that
 * of the papers.
 */
static double
default_scaling(const TrainerParameters *parameters)
{
	bool		explicit = parameters->feedback == ALS_EXPLICIT;

	if (parameters->regularization == TO_BE_CHOSEN)
		return explicit ? 0.5 : 1;
	return explicit || parameters->by_ratings ? 1 : 0;
}

/* Settles how features are regularized, and raises where they cannot be used. */
static void
settle_features(TrainOptions *options)
{
	TrainerParameters *parameters = &options->parameters;
	AlsSide		side = options->features[ALS_USERS] != NULL ? ALS_USERS : ALS_ITEMS;
	bool		any = options->features[side] != NULL;

	if (parameters->feature_regularization != TO_BE_CHOSEN && !any)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("feature_regularization has no meaning without features"),
				 errhint("Pass item_features or user_features => '...', a relation or query.")));
	if (any && options->nonnegative)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s_features cannot be used for a nonnegative model",
						side_names[side]),
				 errdetail("What features say of a row may be below zero."),
				 errhint("Train without nonnegative, or without features.")));
	if (any && parameters->regularization == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s_features have no meaning with regularization => 0",
						side_names[side]),
				 errdetail("It is regularization that draws a row to what its features say."),
				 errhint("Raise regularization above 0, or leave it out.")));
	if (parameters->feature_regularization == TO_BE_CHOSEN)
		parameters->feature_regularization = DEFAULT_FEATURE_REGULARIZATION;
}

void
options_settle(TrainOptions *options)
{
	TrainerParameters *parameters = &options->parameters;

	settle_features(options);
	check_validation(&options->validation, options_validate(options),
					 options->deploy);
	settle_weighing(&options->source.weighing, parameters->feedback);
	if (!parameters->biases && parameters->feedback == ALS_IMPLICIT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("biases => false has no meaning with implicit feedback"),
				 errdetail("Implicit models have no biases."),
				 errhint("Pass feedback => 'explicit' if ratings are values to predict.")));
	if (options->validation.metric < 0)
		options->validation.metric =
			parameters->feedback == ALS_EXPLICIT ? METRIC_RMSE : METRIC_NDCG;

	if (parameters->regularization_scaling == TO_BE_CHOSEN)
		parameters->regularization_scaling = default_scaling(parameters);
	if (parameters->feedback == ALS_EXPLICIT)
		parameters->alpha = 0;	/* has no meaning */
	if (options->nonnegative)
		parameters->solver = ALS_NONNEGATIVE;
}
