/*
 * version.c
 *	  What runs here: the library, the SQL objects, the kernels, the BLAS.
 */
#include "compat.h"

#include <dlfcn.h>
#include <limits.h>

#include "common/blas_loader.h"
#include "common/extension.h"
#include "common/settings.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(als_version);

/* The file of the BLAS that the core calls, by where a routine of it lies */
static const char *
blas_file(void)
{
	static char path[PATH_MAX];
	Dl_info		library;

	if (dladdr((void *) blas_load()->ssyrk, &library) == 0)
		elog(ERROR, "dladdr failed");
	/* by alternatives, the name alone says little */
	return realpath(library.dli_fname, path) != NULL ? path : library.dli_fname;
}

/* als_version(): one row */
Datum
als_version(PG_FUNCTION_ARGS)
{
	enum
	{
		LIBRARY, SQL_OBJECTS, KERNELS, BLAS, COLUMNS
	};
	TupleDesc	row_type;
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS] = {false};
	char	   *sql = extension_version();

	if (get_call_result_type(fcinfo, NULL, &row_type) != TYPEFUNC_COMPOSITE ||
		row_type->natts != COLUMNS)
		elog(ERROR, "return type must be a row of %d columns", COLUMNS);
	values[LIBRARY] = CStringGetTextDatum(ALS_VERSION);
	nulls[SQL_OBJECTS] = sql == NULL;
	if (sql != NULL)
		values[SQL_OBJECTS] = CStringGetTextDatum(sql);
	if (sql != NULL && strcmp(sql, ALS_VERSION) != 0)
		ereport(WARNING,
				(errmsg("the library of als is of version %s, its SQL objects are of version %s",
						ALS_VERSION, sql),
				 errhint("Run ALTER EXTENSION als UPDATE if the SQL objects are older; else reconnect, or restart the server if als is in shared_preload_libraries.")));
	values[KERNELS] = CStringGetTextDatum(chosen_kernels()->name);
	values[BLAS] = CStringGetTextDatum(blas_file());
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row_type), values,
													  nulls)));
}
