/*
 * sharded.c
 *	  als_sharded_parameters: what als_train_sharded trains with.
 *
 * It is given in SQL what als_train reads from sorted ratings, and says what
 * als_train would, of parameters that are wrong too.
 */
#include "compat.h"

#include "funcapi.h"
#include "train/choose.h"
#include "train/options.h"

PG_FUNCTION_INFO_V1(als_sharded_parameters);

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
	options_from_arguments(&options, fcinfo, ARG_OPTIONS, USE_SHARDED);
	options_settle(&options);
	for (int i = ARG_USERS; i <= ARG_DEVIATION; i++)
		if (PG_ARGISNULL(i))
			PG_RETURN_NULL();

	asked = options.parameters;
	summary.users = PG_GETARG_FLOAT8(ARG_USERS);
	summary.items = PG_GETARG_FLOAT8(ARG_ITEMS);
	summary.ratings = PG_GETARG_FLOAT8(ARG_RATINGS);
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
