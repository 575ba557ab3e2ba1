/*
 * sharded.c
 *	  als_sharded_parameters: what als_train_sharded trains with, and
 *	  als_sharded_begin: the model that it trains.
 *
 * The first is given in SQL what als_train reads from sorted ratings.  Both say what
 * als_train would, of parameters and models that are wrong too.
 */
#include "compat.h"

#include "common/arguments.h"
#include "common/idmap.h"
#include "funcapi.h"
#include "model/model.h"
#include "ratings/source.h"
#include "train/choose.h"
#include "train/options.h"
#include "train/train.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(als_sharded_parameters);
PG_FUNCTION_INFO_V1(als_sharded_begin);

/* Arguments: options, in the order of als_train, and sums over the ratings */
enum
{
	ARG_OPTIONS,
	ARG_USERS = ARG_OPTIONS + 8,
	ARG_ITEMS,
	ARG_RATINGS,
	ARG_SIZE,
	ARG_DEVIATION
};

/*
 * The parameters, chosen where they are null from what RatingSummary has; null
 * if there are no ratings yet, after the options have been checked.
 */
Datum
als_sharded_parameters(PG_FUNCTION_ARGS)
{
	TrainOptions options;
	TrainerParameters asked;
	RatingSummary summary;
	TupleDesc	type;
	Datum		values[3];
	bool		nulls[3] = {false};

	if (get_call_result_type(fcinfo, NULL, &type) != TYPEFUNC_COMPOSITE ||
		type->natts != lengthof(values))
		elog(ERROR, "return type must be a row");
	require_arguments(fcinfo, ARG_DEVIATION + 1);
	options_from_arguments(&options, fcinfo, ARG_OPTIONS, USE_SHARDED);
	options_settle(&options);
	for (int i = ARG_USERS; i <= ARG_DEVIATION; i++)
		if (PG_ARGISNULL(i))
			PG_RETURN_NULL();

	asked = options.parameters;
	summary.users = PG_GETARG_FLOAT8(ARG_USERS);
	summary.items = PG_GETARG_FLOAT8(ARG_ITEMS);
	summary.ratings = PG_GETARG_FLOAT8(ARG_RATINGS);
	summary.weights = summary.ratings;
	summary.size = PG_GETARG_FLOAT8(ARG_SIZE);
	summary.deviation = PG_GETARG_FLOAT8(ARG_DEVIATION);
	if (!(summary.ratings >= 1))
		PG_RETURN_NULL();
	choose_parameters(&options.parameters, NULL, &summary);
	notice_chosen(&asked, &options.parameters);
	values[0] = Float8GetDatum(options.parameters.regularization);
	values[1] = Float8GetDatum(options.parameters.regularization_scaling);
	values[2] = Float8GetDatum(options.parameters.alpha);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(type),
													  values, nulls)));
}

/*
 * als_sharded_begin(model, ratings, user_column, item_column, explicit): locks the model
 * and checks that it can be retrained with ids of these columns, or creates its tables,
 * so that no training finds that out in the end.
 */
Datum
als_sharded_begin(PG_FUNCTION_ARGS)
{
	static const char *const options[] = {"user_column", "item_column"};
	AlsFeedback feedback = PG_GETARG_BOOL(4) ? ALS_EXPLICIT : ALS_IMPLICIT;
	RatedIds	none = {0};
	const RatedIds *ids[] = {&none, &none};
	IdType		columns[2];
	const IdType *types[] = {&columns[ALS_USERS], &columns[ALS_ITEMS]};
	MemoryContext context = CurrentMemoryContext;
	SourceReading reading;
	TupleDesc	row_type;
	TupleDesc	ratings;
	ModelTarget target;

	prevent_training("als_train_sharded()");
	if (get_call_result_type(fcinfo, NULL, &row_type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be als_model");
	model_begin_training(text_to_cstring(PG_GETARG_TEXT_PP(0)), row_type,
						 "als_train_sharded", 0, &target);
	source_begin(&reading, "ratings", text_to_cstring(PG_GETARG_TEXT_PP(1)),
				 NULL);
	ratings = source_plan(source_prepare(&reading, "*", "", 0, NULL))->resultDesc;
	for (int side = 0; side < 2; side++)
		source_id_type(&columns[side],
					   source_column(ratings,
									 text_to_cstring(PG_GETARG_TEXT_PP(2 + side)),
									 options[side]), context);
	source_end(&reading);
	model_prepare_tables(&target, feedback, types, ids);
	PG_RETURN_NULL();
}
