/*
 * arguments.c
 *	  Checks of the arguments of SQL functions, and rows that they return.
 */
#include "compat.h"

#include "common/arguments.h"
#include "common/id_conversion.h"
#include "funcapi.h"

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
