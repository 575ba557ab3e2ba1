/*
 * source_errors.c
 *	  What an error says of the source that was being read.
 */
#include "compat.h"

#include "catalog/pg_inherits.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "ratings/source.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"

/* What a reader can do who may not be the one who has chosen the source. */
static void
hint_at_privileges(const SourceReading *reading)
{
	const SourceReader *reader = reading->reader;

	if (reader == NULL)
		errhint("The %s are read with the privileges of the user who calls the function.",
				reading->what);
	else if (reader->without == NULL)
		errhint("%s reads the model's %s with the privileges of the user who calls it.",
				reader->function, reading->what);
	else
		errhint("%s reads the model's %s with the privileges of the user who calls it; %s does without them.",
				reader->function, reading->what, reader->without);
}

/* Says that the ratings are no longer what they were. */
static void
hint_at_training(const SourceReading *reading)
{
	const SourceReader *reader = reading->reader;

	errdetail("The %s of model \"%s\" can no longer be read from where it was trained.",
			  reading->what, reader->model);
	if (reader->without == NULL)
		errhint("Train the model from where its %s are now.", reading->what);
	else
		errhint("Train the model from where its %s are now; %s does without them.",
				reading->what, reader->without);
}

/* The foreign servers that a query reads from: ", from servers ...", or nothing. */
static char *
from_servers(SPIPlanPtr plan)
{
	List	   *servers = NIL;
	StringInfoData names;
	ListCell   *relation;
	ListCell   *cell;

	foreach(relation, source_plan(plan)->relationOids)
	{
		List	   *tables = find_all_inheritors(lfirst_oid(relation), NoLock,
												 NULL);

		foreach(cell, tables)
			if (get_rel_relkind(lfirst_oid(cell)) == RELKIND_FOREIGN_TABLE)
			servers = list_append_unique_oid(servers,
											 GetForeignTable(lfirst_oid(cell))->serverid);
	}
	initStringInfo(&names);
	foreach(cell, servers)
		appendStringInfo(&names, "%s\"%s\"",
						 names.len > 0 ? ", " :
						 list_length(servers) == 1 ? ", from server " :
						 ", from servers ",
						 GetForeignServer(lfirst_oid(cell))->servername);
	return names.data;
}

void
source_error_context(void *arg)
{
	const SourceReading *reading = arg;
	const SourceReader *reader = reading->reader;
	int			code = geterrcode();
	bool		is_away = reading->executing != NULL &&
		ERRCODE_TO_CATEGORY(code) == ERRCODE_CONNECTION_EXCEPTION &&
		!ClientConnectionLost;
	bool		is_undefined = reading->executing != NULL &&
		code == ERRCODE_UNDEFINED_OBJECT;
	const char *servers = is_away || is_undefined ?
		from_servers(reading->executing) : "";

	/* what is undefined, once servers are asked, is a user mapping */
	if (code == ERRCODE_INSUFFICIENT_PRIVILEGE ||
		(is_undefined && servers[0] != '\0'))
		hint_at_privileges(reading);
	else if (reader != NULL &&
			 (code == ERRCODE_UNDEFINED_SCHEMA ||
			  ERRCODE_TO_CATEGORY(code) ==
			  ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION))
		hint_at_training(reading);
	else if (reader != NULL && is_away && reader->without != NULL)
		errhint("%s does without the ratings.", reader->without);

	/* whose connection is lost in the middle is not said otherwise */
	errcontext("reading %s from %s%s", reading->what, reading->name,
			   is_away ? servers : "");
}
