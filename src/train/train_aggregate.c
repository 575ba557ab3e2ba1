/*
 * train_aggregate.c
 *	  als_train_agg: the same training over the rows of any query.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "common/progress.h"
#include "funcapi.h"
#include "nodes/execnodes.h"
#include "nodes/nodeFuncs.h"
#include "ratings/csr_blocks.h"
#include "train/train.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(als_train_agg_transfn);
PG_FUNCTION_INFO_V1(als_train_agg_finalfn);

/* Arguments of the aggregate, counted without the state */
enum
{
	AGG_MODEL, AGG_USER, AGG_ITEM, AGG_RATING, AGG_OPTIONS
};

/*
 * The aggregate's state.  Lives in the aggregate's memory context; triplets
 * beyond maintenance_work_mem are in a temporary file.
 *
 * A hash aggregate that is scanned again without being read again, as in a
 * correlated subquery, calls the final function again on the states that it
 * has.  That trains again, as a sorted one would, so the ratings are kept.
 */
typedef struct TrainState
{
	char	   *model;
	Jsonb	   *json;			/* options as given, NULL for none */
	TrainOptions options;
	instr_time	started;
	Ratings    *ratings;
} TrainState;

/* The id type of an argument, with the column's own typmod and collation. */
static void
argument_id_type(FunctionCallInfo fcinfo, int argument, const char *name,
				 IdType *type)
{
	Aggref	   *aggref = AggGetAggref(fcinfo);
	Node	   *expression = (Node *) list_nth_node(TargetEntry, aggref->args,
													argument)->expr;
	Oid			oid = exprType(expression);

	if (oid == UNKNOWNOID)
		ereport(ERROR,
				(errcode(ERRCODE_INDETERMINATE_DATATYPE),
				 errmsg("could not determine the type of %s", name),
				 errhint("Cast it to the type of the ids.")));
	if (!id_type_init(type, oid, exprTypmod(expression),
					  exprCollation(expression), CurrentMemoryContext))
		reject_unhashable(oid, name);
}

/* Ends a state that perhaps was never trained from, under LIMIT for example. */
static void
end_state(Datum state)
{
	ratings_close(((TrainState *) DatumGetPointer(state))->ratings);
}

/* Starts a training with the first row. */
static TrainState *
begin_state(FunctionCallInfo fcinfo, MemoryContext context)
{
	TrainState *state = palloc0(sizeof(TrainState));
	IdType		user_type;
	IdType		item_type;

	prevent_training("als_train_agg()");
	if (PG_ARGISNULL(1 + AGG_MODEL))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("model must not be null"),
				 errhint("Give the model a name.")));
	INSTR_TIME_SET_CURRENT(state->started);
	state->model = text_to_cstring(PG_GETARG_TEXT_PP(1 + AGG_MODEL));
	if (!PG_ARGISNULL(1 + AGG_OPTIONS))
		state->json = PG_GETARG_JSONB_P_COPY(1 + AGG_OPTIONS);
	options_from_jsonb(&state->options, state->json);
	argument_id_type(fcinfo, AGG_USER, "user_id", &user_type);
	argument_id_type(fcinfo, AGG_ITEM, "item_id", &item_type);
	state->ratings = ratings_begin(context, &user_type, &item_type,
								   &state->options.source, false,
								   blocks_triplet_memory((size_t) maintenance_work_mem * 1024, false),
								   state->options.workers != 0);
	if (castNode(AggState, fcinfo->context)->aggstrategy == AGG_HASHED)
		ratings_keep(state->ratings);
	AggRegisterCallback(fcinfo, end_state, PointerGetDatum(state));
	return state;
}

/* Raises if a row names another model or other options than the first. */
static void
check_same_training(FunctionCallInfo fcinfo, const TrainState *state)
{
	bool		same = !PG_ARGISNULL(1 + AGG_MODEL) &&
		PG_ARGISNULL(1 + AGG_OPTIONS) == (state->json == NULL);

	if (same)
	{
		text	   *model = PG_GETARG_TEXT_PP(1 + AGG_MODEL);
		size_t		length = VARSIZE_ANY_EXHDR(model);

		same = length == strlen(state->model) &&
			memcmp(VARDATA_ANY(model), state->model, length) == 0;
	}
	if (same && state->json != NULL)
	{
		Jsonb	   *json = PG_GETARG_JSONB_P(1 + AGG_OPTIONS);

		same = VARSIZE(json) == VARSIZE(state->json) &&
			memcmp(json, state->json, VARSIZE(json)) == 0;
	}
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("model and options must be the same for all rows of a group"),
				 errhint("Use GROUP BY to train several models in one query.")));
}

/* als_train_agg's transition function: collects a row. */
Datum
als_train_agg_transfn(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	TrainState *state;

	if (AggCheckCallContext(fcinfo, &context) != AGG_CONTEXT_AGGREGATE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("als_train_agg cannot be used as a window function")));

	if (PG_ARGISNULL(0))
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		state = begin_state(fcinfo, context);
		MemoryContextSwitchTo(old);
	}
	else
	{
		state = (TrainState *) PG_GETARG_POINTER(0);
		check_same_training(fcinfo, state);
	}

	ratings_add(state->ratings,
				PG_GETARG_DATUM(1 + AGG_USER), PG_ARGISNULL(1 + AGG_USER),
				PG_GETARG_DATUM(1 + AGG_ITEM), PG_ARGISNULL(1 + AGG_ITEM),
				PG_ARGISNULL(1 + AGG_RATING) ? 0 :
				PG_GETARG_FLOAT8(1 + AGG_RATING),
				PG_ARGISNULL(1 + AGG_RATING), 1);
	PG_RETURN_POINTER(state);
}

/* als_train_agg's final function: trains and stores the model. */
Datum
als_train_agg_finalfn(PG_FUNCTION_ARGS)
{
	TrainState *state;
	TrainInput	input = {0};
	ModelTarget target;
	Progress	before;
	TupleDesc	row_type;
	Datum		row;

	if (!AggCheckCallContext(fcinfo, NULL))
		elog(ERROR, "als_train_agg_finalfn called in non-aggregate context");
	if (PG_ARGISNULL(0))
		reject_no_ratings();
	if (get_call_result_type(fcinfo, NULL, &row_type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be als_model");

	state = (TrainState *) PG_GETARG_POINTER(0);
	model_begin_training(state->model, row_type, "als_train_agg",
						 state->options.keep, &target);
	before = progress_begin(target.name, target.model);
	ratings_finish(state->ratings);
	input.ratings = state->ratings;
	input.started = input.reading = state->started;
	row = train_model(&target, &state->options, &input, row_type);
	INSTR_TIME_SET_CURRENT(state->started); /* should it train again */
	progress_end(&before);
	PG_RETURN_DATUM(row);
}
