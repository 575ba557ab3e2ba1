/*
 * fuzzer.c
 *	  Runs libFuzzer in a backend: als_fuzz('SELECT ... $1 ...', '{-max_total_time=60}')
 *	  executes a query with one input after another, a text, each in a subtransaction
 *	  that is rolled back.
 *
 * scripts/libfuzzer.sh builds als so that libFuzzer sees where an input leads, and loads
 * this into the server before it.  Errors are answers, but for internal errors; these,
 * and what takes more than ten seconds, abort, as do crashes and failed assertions, and
 * libFuzzer leaves the input in a file.  It never returns: the process ends with it.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(als_fuzz);

#define MOST_MILLISECONDS 10000

extern int	LLVMFuzzerRunDriver(int *argc, char ***argv,
								int (*test) (const uint8_t *data, size_t size));

static SPIPlanPtr plan;
static MemoryContext input_context;

/* Executes the query; returns the SQLSTATE of its error, or 0. */
static int
execute(Datum input)
{
	MemoryContext old = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile int code = 0;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(old);
	PG_TRY();
	{
		enable_timeout_after(STATEMENT_TIMEOUT, MOST_MILLISECONDS);
		SPI_execute_plan(plan, &input, NULL, false, 0);
		SPI_freetuptable(SPI_tuptable);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(old);
		code = geterrcode();
		if (code == ERRCODE_INTERNAL_ERROR || code == ERRCODE_QUERY_CANCELED)
			EmitErrorReport();
		FlushErrorState();
	}
	PG_END_TRY();
	disable_timeout(STATEMENT_TIMEOUT, false);
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = owner;
	return code;
}

/* libFuzzer's callback */
static int
test_input(const uint8_t *data, size_t size)
{
	MemoryContext old;
	int			code;

	if (!pg_verifymbstr((const char *) data, size, true))
		return 0;
	old = MemoryContextSwitchTo(input_context);
	code = execute(PointerGetDatum(cstring_to_text_with_len((const char *) data, size)));
	MemoryContextSwitchTo(old);
	MemoryContextReset(input_context);
	if (code == ERRCODE_INTERNAL_ERROR || code == ERRCODE_QUERY_CANCELED)
		abort();
	return 0;
}

Datum
als_fuzz(PG_FUNCTION_ARGS)
{
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Datum	   *flags;
	int			nflags;
	Oid			type = TEXTOID;
	char	  **argv;
	int			argc = 1;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), TEXTOID, -1, false, TYPALIGN_INT,
					  &flags, NULL, &nflags);
	argv = MemoryContextAllocZero(TopMemoryContext, (nflags + 2) * sizeof(char *));
	argv[0] = "als_fuzz";
	for (int i = 0; i < nflags; i++)
		argv[argc++] = MemoryContextStrdup(TopMemoryContext, TextDatumGetCString(flags[i]));

	SPI_connect();
	plan = SPI_prepare(query, 1, &type);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare: %s", SPI_result_code_string(SPI_result));
	input_context = AllocSetContextCreate(TopMemoryContext, "als fuzz",
										  ALLOCSET_DEFAULT_SIZES);
	LLVMFuzzerRunDriver(&argc, &argv, test_input);
	PG_RETURN_VOID();
}
