/*
 * describe_run.c
 *	  The row of als_model that a training writes.
 */
#include "compat.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "train/describe_run.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* A text column of the run; null for NULL. */
static void
set_run_text(Datum *values, bool *nulls, ModelColumn column, const char *text)
{
	nulls[column - 1] = text == NULL;

	if (text != NULL)
		values[column - 1] = CStringGetTextDatum(text);
}

/* A value of the run; null if it is not known. */
static void
set_run_value(Datum *values, bool *nulls, ModelColumn column, bool known,
			  Datum value)
{
	nulls[column - 1] = !known;
	values[column - 1] = value;
}

/* Of a source that can be read, what its rows weigh. */
static void
describe_weighing(Datum *values, bool *nulls, const char *from,
				  const Weighing *weighing)
{
	bool		fades = from != NULL && weighing->half_life != NULL;

	set_run_text(values, nulls, MODEL_EVENT_COLUMN,
				 from ? weighing->event_column : NULL);
	set_run_value(values, nulls, MODEL_EVENT_WEIGHTS,
				  from != NULL && weighing->event_column != NULL,
				  JsonbPGetDatum(weighing->event_weights));
	set_run_text(values, nulls, MODEL_TIME_COLUMN,
				 from ? weighing->time_column : NULL);
	set_run_value(values, nulls, MODEL_HALF_LIFE, fades,
				  IntervalPGetDatum(weighing->half_life));
	set_run_value(values, nulls, MODEL_REFERENCE_TIME, fades,
				  TimestampTzGetDatum(weighing->reference_time));
	set_run_text(values, nulls, MODEL_WEIGHT_COLUMN,
				 from ? weighing->weight_column : NULL);
}

void
describe_source(Datum *values, bool *nulls, const char *from,
				const RatingSource *source)
{
	set_run_text(values, nulls, MODEL_SOURCE, from);
	set_run_text(values, nulls, MODEL_USER_COLUMN,
				 from ? source->user_column : NULL);
	set_run_text(values, nulls, MODEL_ITEM_COLUMN,
				 from ? source->item_column : NULL);
	set_run_text(values, nulls, MODEL_RATING_COLUMN,
				 from ? source->rating_column : NULL);
	describe_weighing(values, nulls, from, &source->weighing);
}

/* A number for every iteration as double precision[]; NaN becomes null. */
static Datum
iterations_array(const double *numbers, int count)
{
	Datum	   *elements = palloc(count * sizeof(Datum));
	bool	   *nulls = palloc(count * sizeof(bool));
	int			first = 1;

	for (int i = 0; i < count; i++)
	{
		elements[i] = Float8GetDatum(numbers[i]);
		nulls[i] = isnan(numbers[i]);
	}
	return PointerGetDatum(construct_md_array(elements, nulls, 1, &count, &first,
											  FLOAT8OID, sizeof(float8),
											  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/* Fills in what a run's validation was and said. */
static void
describe_validation(Datum *values, bool *nulls, const TrainOptions *options,
					const TrainInput *input, const TrainerResult *result)
{
	const ValidationOptions *validation = &options->validation;
	bool		split = input->held_out != NULL && input->validation_from == NULL;
	const double *curve = result->curve;

	set_run_text(values, nulls, MODEL_VALIDATION, input->validation_from);
	values[MODEL_VALIDATION_FRACTION - 1] = Float8GetDatum(validation->fraction);
	nulls[MODEL_VALIDATION_FRACTION - 1] = !split;
	values[MODEL_VALIDATION_SEED - 1] = Int64GetDatum(input->split_seed);
	nulls[MODEL_VALIDATION_SEED - 1] = !split;
	set_run_text(values, nulls, MODEL_VALIDATION_METRIC,
				 curve ? metric_names[validation->metric] : NULL);
	values[MODEL_VALIDATION_K - 1] = Int32GetDatum(validation->k);
	nulls[MODEL_VALIDATION_K - 1] = curve == NULL;
	values[MODEL_PATIENCE - 1] = Int32GetDatum(validation->patience);
	nulls[MODEL_PATIENCE - 1] = validation->patience == 0;

	nulls[MODEL_VALIDATION_CURVE - 1] = curve == NULL;
	if (curve != NULL)
		values[MODEL_VALIDATION_CURVE - 1] = iterations_array(curve, result->iterations);
	values[MODEL_BEST_ITERATION - 1] = Int32GetDatum(result->best_iteration);
}

/* Fills in whether the run was to serve, and what it was compared by. */
static void
describe_deployment(Datum *values, bool *nulls, const TrainOptions *options,
					const RunComparison *compared)
{
	bool		known = compared->run > 0;

	set_run_text(values, nulls, MODEL_DEPLOY, deploy_name(options->deploy));
	set_run_value(values, nulls, MODEL_COMPARED_WITH, known,
				  Int32GetDatum(compared->run));
	set_run_value(values, nulls, MODEL_COMPARED_VALUE,
				  known && !isnan(compared->value),
				  Float8GetDatum(compared->value));
	set_run_value(values, nulls, MODEL_COMPARED_OTHER,
				  known && !isnan(compared->other),
				  Float8GetDatum(compared->other));
	set_run_value(values, nulls, MODEL_COMPARED_ERROR,
				  known && !isnan(compared->standard_error),
				  Float8GetDatum(compared->standard_error));
}

/* Where features are, and of how many rows there are no ratings. */
static void
describe_features(Datum *values, bool *nulls,
				  const TrainerParameters *parameters,
				  SideFeatures *const features[2])
{
	static const ModelColumn sources[2] = {MODEL_USER_FEATURES, MODEL_ITEM_FEATURES};
	static const ModelColumn counts[2] = {MODEL_NEW_USERS, MODEL_NEW_ITEMS};

	for (int side = 0; side < 2; side++)
	{
		set_run_text(values, nulls, sources[side],
					 features[side] ? features[side]->source : NULL);
		set_run_value(values, nulls, counts[side], features[side] != NULL,
					  Int64GetDatum(features[side] ? features[side]->nnew : 0));
	}
	set_run_value(values, nulls, MODEL_FEATURE_REGULARIZATION,
				  features[ALS_USERS] != NULL || features[ALS_ITEMS] != NULL,
				  Float8GetDatum(parameters->feature_regularization));
}

void
describe_run(Datum *values, bool *nulls, const TrainOptions *options,
			 const TrainInput *input, const TrainerResult *result)
{
	const TrainerParameters *parameters = &options->parameters;
	const Ratings *ratings = input->ratings;
	bool		explicit = parameters->feedback == ALS_EXPLICIT;

	memset(nulls, false, MODEL_COLUMNS * sizeof(bool));
	values[MODEL_TRAINED_AT - 1] =
		TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	describe_source(values, nulls, input->from, &options->source);
	describe_features(values, nulls, parameters, input->features);
	set_run_text(values, nulls, MODEL_FEEDBACK,
				 feedback_name(parameters->feedback));
	values[MODEL_FACTORS - 1] = Int32GetDatum(parameters->factors);
	values[MODEL_REGULARIZATION - 1] = Float8GetDatum(parameters->regularization);
	values[MODEL_REGULARIZATION_SCALING - 1] =
		Float8GetDatum(parameters->regularization_scaling);
	set_run_text(values, nulls, MODEL_REGULARIZATION_BY,
				 regularization_by_name(parameters->by_ratings));
	values[MODEL_ALPHA - 1] = Float8GetDatum(parameters->alpha);
	nulls[MODEL_ALPHA - 1] = explicit;
	values[MODEL_NONNEGATIVE - 1] = BoolGetDatum(options->nonnegative);
	values[MODEL_BIASES - 1] = BoolGetDatum(parameters->biases);
	nulls[MODEL_BIASES - 1] = !explicit;
	values[MODEL_ITERATIONS - 1] = Int32GetDatum(parameters->iterations);
	set_run_text(values, nulls, MODEL_SOLVER, solver_name(parameters->solver));
	values[MODEL_CG_STEPS - 1] = Int32GetDatum(parameters->cg_steps);
	nulls[MODEL_CG_STEPS - 1] = parameters->solver != ALS_CG;
	values[MODEL_TOLERANCE - 1] = Float8GetDatum(parameters->tolerance);
	values[MODEL_SEED - 1] = Int64GetDatum(parameters->seed);
	values[MODEL_WARM_START - 1] = BoolGetDatum(options->warm_start);
	values[MODEL_WORKERS - 1] = Int32GetDatum(result->workers);
	values[MODEL_USERS - 1] = Int64GetDatum(ratings_ids(ratings, ALS_USERS)->size);
	values[MODEL_ITEMS - 1] = Int64GetDatum(ratings_ids(ratings, ALS_ITEMS)->size);
	values[MODEL_RATINGS - 1] = Int64GetDatum(input->nratings);
	values[MODEL_MEAN_RATING - 1] = Float8GetDatum(input->mean);
	nulls[MODEL_MEAN_RATING - 1] = !explicit;
	values[MODEL_LOSS - 1] = Float8GetDatum(result->losses[result->best_iteration - 1]);
	values[MODEL_LOSSES - 1] = iterations_array(result->losses,
												result->iterations);
	describe_validation(values, nulls, options, input, result);
	describe_deployment(values, nulls, options, &input->compared);
}
