/*
 * arguments.c
 *	  Checks of the arguments of SQL functions, and rows that they return.
 */
#include "compat.h"

#include <float.h>
#include <math.h>

#include "common/arguments.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

Tuplestorestate *
begin_rows(FunctionCallInfo fcinfo, TupleDesc *row_type)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;

	if (result == NULL || !IsA(result, ReturnSetInfo) ||
		(result->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	old = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &result->setDesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	result->returnMode = SFRM_Materialize;
	result->setResult =
		tuplestore_begin_heap((result->allowedModes & SFRM_Materialize_Random) != 0,
							  false, work_mem);
	MemoryContextSwitchTo(old);
	*row_type = result->setDesc;
	return result->setResult;
}

void
require_arguments(FunctionCallInfo fcinfo, int n)
{
	if (PG_NARGS() < n)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("function %s is older than the library of extension als",
						get_func_name(fcinfo->flinfo->fn_oid)),
				 errdetail("It has %d arguments, where the library takes %d.", PG_NARGS(), n),
				 errhint("Run ALTER EXTENSION als UPDATE, and reconnect.")));
	if (PG_NARGS() > n)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("function %s is newer than the library of extension als",
						get_func_name(fcinfo->flinfo->fn_oid)),
				 errdetail("It has %d arguments, where the library takes %d.", PG_NARGS(), n),
				 errhint("Reconnect; or restart the server if als is in shared_preload_libraries.")));
}

void
require_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
}

void
add_ids_argument(FunctionCallInfo fcinfo, int argument, const char *name,
				 const char *what, IdMap *ids)
{
	IdArray		array;

	id_array_argument(fcinfo, argument, name, what, idmap_type(ids), &array);
	for (int i = 0; i < array.size; i++)
	{
		Datum		id;

		CHECK_FOR_INTERRUPTS();
		if (!array.nulls[i] &&
			id_convert(&array.conversion, array.elements[i], &id))
			idmap_add(ids, id);
	}
}

uint32
k_argument(FunctionCallInfo fcinfo, int argument)
{
	int64		k = PG_GETARG_INT64(argument);

	if (k < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("k must not be negative"),
				 errhint("It is the number of rows to return.")));
	return (uint32) Min(k, PG_INT32_MAX);
}

float
min_score_argument(FunctionCallInfo fcinfo, int argument)
{
	double		least;
	float		rounded;

	if (PG_ARGISNULL(argument))
		return -INFINITY;
	least = PG_GETARG_FLOAT8(argument);
	if (isnan(least))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("min_score must not be NaN"),
				 errhint("It is the least score of what is returned, or null for any.")));
	if (least < -FLT_MAX)
		return -INFINITY;
	/* which no score reaches */
	if (least >= FLT_MAX)
		return FLT_MAX;
	rounded = (float) least;
	return rounded < least ? nextafterf(rounded, INFINITY) : rounded;
}

/* Is a text this word? */
static inline bool
text_is(const text * value, const char *word)
{
	size_t		length = strlen(word);

	return VARSIZE_ANY_EXHDR(value) == length &&
		memcmp(VARDATA_ANY(value), word, length) == 0;
}

bool
biases_argument(FunctionCallInfo fcinfo, int argument)
{
	/* once for each prediction, so without a copy */
	text	   *cold_start = PG_GETARG_TEXT_PP(argument);
	bool		by_biases = text_is(cold_start, "biases");

	if (!by_biases && !text_is(cold_start, "none"))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown cold_start \"%s\"",
						text_to_cstring(cold_start)),
				 errhint("It is 'none' or 'biases'.")));
	return by_biases;
}

int32
run_argument(FunctionCallInfo fcinfo, int argument)
{
	int32		run;

	if (PG_ARGISNULL(argument))
		return 0;
	run = PG_GETARG_INT32(argument);
	if (run < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("run must not be %d", run),
				 errhint("It is the number of a training run in the model's table, 1 or more.")));
	return run;
}

int
workers_argument(FunctionCallInfo fcinfo, int argument)
{
	int			workers;

	if (PG_ARGISNULL(argument))
		return -1;
	workers = PG_GETARG_INT32(argument);
	if (workers < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("workers must not be %d", workers),
				 errhint("It is the number of parallel workers to ask for, or null.")));
	return workers;
}

void
choose_id_type(IdConversion *conversion, IdType *type, Oid model, AlsSide side,
			   Oid own, TupleDesc row_type, const char *typed)
{
	Oid			wanted = TupleDescAttr(row_type, 0)->atttypid;

	if (!id_result_init(conversion, type, own, wanted, side_names[side],
						CurrentMemoryContext))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s ids of model \"%s\" are of type %s, not %s",
						side_names[side], get_rel_name(model),
						format_type_be(own), format_type_be(wanted)),
				 errhint("Name the type in the call: %s(NULL::%s, '%s', ...).",
						 typed, format_type_be(own), get_rel_name(model))));
}
