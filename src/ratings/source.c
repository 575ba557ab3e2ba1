/*
 * source.c
 *	  What a model is trained from: a relation or a SELECT.
 *
 * Either becomes a FROM clause with the alias "ratings"; columns are read
 * from there by name.  All that is read of a source, given or stored with a
 * model, goes through source_begin, source_prepare and source_execute: one
 * SELECT, as the caller, read-only.  Functions that it calls do as they always
 * do.
 */
#include "compat.h"

#include <ctype.h>

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "common/error_context.h"
#include "common/names.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parser.h"
#include "parser/scansup.h"
#include "ratings/ratings.h"
#include "ratings/source.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

/*
 * Is the text a relation's name, which has nothing but identifiers and dots?
 * PostgreSQL takes any text without blanks for an identifier: VALUES(1,2,3).
 */
static bool
is_name(const char *text)
{
	List	   *names;
	bool		quoted = false;

	for (const char *c = text; *c != '\0'; c++)
	{
		if (*c == '"')
			quoted = !quoted;
		else if (!quoted && !isalnum((unsigned char) *c) &&
				 !IS_HIGHBIT_SET(*c) && !scanner_isspace(*c) &&
				 strchr("_$.", *c) == NULL)
			return false;
	}
	return SplitIdentifierString(pstrdup(text), '.', &names) && names != NIL;
}

/* Says that a source does not parse, with the place in its own text. */
static void
parsing_error_context(void *arg)
{
	const SourceReading *reading = arg;
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(reading->name);
	}
	errhint("Give the %s as the name of a table or view, or as a SELECT.",
			reading->what);
}

/* Is there an INTO?  It stands in the first of several SELECTs. */
static bool
has_into(const SelectStmt *select)
{
	while (select->op != SETOP_NONE)
		select = select->larg;
	return select->intoClause != NULL;
}

/*
 * The text of the only statement of a query, which has to be a SELECT.  That
 * the parser takes all of it for one is what makes it safe to put into
 * parentheses: nothing in it can close them.
 */
static char *
single_select(SourceReading *reading)
{
	const char *query = reading->name;
	ErrorContextCallback callback;
	List	   *statements;
	RawStmt    *statement;
	char	   *select;
	size_t		length;

	error_context_push(&callback, parsing_error_context, reading);
	statements = raw_parser(query, RAW_PARSE_DEFAULT);
	error_context_pop(&callback);

	statement = statements == NIL ? NULL : linitial_node(RawStmt, statements);
	if (list_length(statements) != 1 || !IsA(statement->stmt, SelectStmt) ||
		has_into((SelectStmt *) statement->stmt))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a relation or a single SELECT",
						reading->what),
				 errhint("Give the %s as the name of a table or view, or as a SELECT.",
						 reading->what)));
	/* without a semicolon, or blanks around it */
	select = pstrdup(query + Max(statement->stmt_location, 0));
	if (statement->stmt_len > 0)
		select[statement->stmt_len] = '\0';
	while (scanner_isspace(*select))
		select++;
	length = strlen(select);
	while (length > 0 && scanner_isspace(select[length - 1]))
		length--;
	select[length] = '\0';
	return select;
}

/* The relation's quoted and qualified name, after checking what it is. */
static char *
qualified_relation(const SourceReading *reading)
{
	const char *name = reading->name;
	List	   *names = textToQualifiedNameList(cstring_to_text(name));
	RangeVar   *rangevar = makeRangeVarFromNameList(names);

	/* locked as the query will do, so that it cannot go meanwhile */
	Oid			relation = RangeVarGetRelid(rangevar, AccessShareLock, true);

	if (!OidIsValid(relation))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s\" does not exist", name),
				 errhint("Give the %s as the name of a table or view, or as a SELECT.",
						 reading->what)));

	switch (get_rel_relkind(relation))
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_VIEW:
		case RELKIND_MATVIEW:
		case RELKIND_FOREIGN_TABLE:
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("cannot read %s from relation \"%s\"",
							reading->what, name),
					 errdetail("It is not a table, view, materialized view or foreign table."),
					 errhint("Give the %s as the name of a table or view, or as a SELECT.",
							 reading->what)));
	}
	return qualified_name(relation);
}

/*
 * What can follow FROM, with an alias: a quoted and qualified name, or a query
 * in parentheses.  *canonical is that without.
 */
static char *
from_clause(SourceReading *reading, char **canonical)
{
	if (is_name(reading->name))
	{
		*canonical = qualified_relation(reading);
		return psprintf("%s AS ratings", *canonical);
	}
	*canonical = single_select(reading);
	/* on a line of its own, the parenthesis survives a closing comment */
	return psprintf("(%s\n) AS ratings", *canonical);
}

char *
source_begin(SourceReading *reading, const char *what, const char *source,
			 const SourceReader *reader)
{
	char	   *canonical;

	reading->what = what;
	reading->name = source;
	reading->reader = reader;
	reading->snapshot = NULL;
	reading->executing = NULL;
	error_context_push(&reading->callback, source_error_context, reading);
	reading->from_clause = from_clause(reading, &canonical);
	reading->is_query = reading->from_clause[0] == '(';
	reading->name = canonical;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	return canonical;
}

/* Does a query lock rows, itself or in a view? */
static bool
locks_rows(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return ((Query *) node)->rowMarks != NIL ||
			query_tree_walker((Query *) node, locks_rows, context, 0);
	return expression_tree_walker(node, locks_rows, context);
}

SPIPlanPtr
source_prepare(const SourceReading *reading, const char *targets,
			   const char *tail, int nargs, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(psprintf("SELECT %s FROM %s%s",
												   targets,
												   reading->from_clause, tail),
										  nargs, types, CURSOR_OPT_PARALLEL_OK);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare_cursor failed: %s",
			 SPI_result_code_string(SPI_result));
	if (locks_rows((Node *) source_plan(plan)->query_list, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s must not be read FOR UPDATE or with another lock on rows",
						reading->what),
				 errhint("Leave the locking clause out, of views as well.")));
	return plan;
}

CachedPlanSource *
source_plan(SPIPlanPtr plan)
{
	List	   *sources = SPI_plan_get_plan_sources(plan);

	if (list_length(sources) != 1)
		elog(ERROR, "a query on ratings has become %d queries",
			 list_length(sources));
	return linitial(sources);
}

/* The parameters of what was prepared; NULL for none. */
static ParamListInfo
parameters(SPIPlanPtr plan, const Datum *values)
{
	int			count = SPI_getargcount(plan);
	ParamListInfo list;

	if (count == 0)
		return NULL;
	list = makeParamList(count);
	for (int i = 0; i < count; i++)
	{
		list->params[i].value = values[i];
		list->params[i].isnull = false;
		list->params[i].pflags = PARAM_FLAG_CONST;
		list->params[i].ptype = SPI_getargtypeid(plan, i);
	}
	return list;
}

void
source_execute(SourceReading *reading, SPIPlanPtr plan, const Datum *values,
			   DestReceiver *receiver, bool new_snapshot)
{
	int			result;

	reading->executing = plan;
	if (new_snapshot)
	{
		CommandCounterIncrement();
		PushActiveSnapshot(reading->snapshot ? reading->snapshot :
						   GetTransactionSnapshot());
	}
	if (receiver != NULL)
	{
		SPIExecuteOptions options = {0};

		options.params = parameters(plan, values);
		options.read_only = true;
		options.dest = receiver;
		result = SPI_execute_plan_extended(plan, &options);
	}
	else
		result = SPI_execute_plan(plan, unconstify(Datum *, values), NULL,
								  true, 0);
	if (result < 0)
		elog(ERROR, "reading ratings failed: %s",
			 SPI_result_code_string(result));
	if (new_snapshot)
		PopActiveSnapshot();
}

const char *
source_operand(const char *column, Oid type)
{
	if (type < FirstNormalObjectId)
		return column;
	return psprintf("%s::%s", column, type_name_any_length(type));
}

const char *
source_collation(const IdType *type)
{
	if (!OidIsValid(type->collation) ||
		get_collation_isdeterministic(type->collation))
		return "";
	return psprintf(" COLLATE %s", generate_collation_name(type->collation));
}

void
source_end(SourceReading *reading)
{
	SPI_finish();
	error_context_pop(&reading->callback);
}

bool
source_is_temporary(const char *source)
{
	SourceReading reading;
	ListCell   *cell;
	bool		result = false;

	source_begin(&reading, "ratings", source, NULL);
	/* views are among these, and what they are made of */
	foreach(cell, source_plan(source_prepare(&reading, "*", "", 0,
											 NULL))->relationOids)
	{
		if (get_rel_persistence(lfirst_oid(cell)) == RELPERSISTENCE_TEMP)
			result = true;
	}
	source_end(&reading);
	return result;
}

Form_pg_attribute
source_column(TupleDesc columns, const char *column, const char *option)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < columns->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(columns, i);

		if (strcmp(NameStr(attribute->attname), column) == 0)
			return attribute;
		appendStringInfo(&names, "%s\"%s\"", i > 0 ? ", " : "",
						 NameStr(attribute->attname));
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" does not exist in the ratings", column),
			 errdetail("Their columns are %s.", names.data),
			 errhint("Name the column with %s => '...'.", option)));
}

/* Nothing to do when rows begin or end */
static void
ignore_startup(DestReceiver *self, int operation, TupleDesc typeinfo)
{
}

static void
ignore_end(DestReceiver *self)
{
}

void
source_receiver_init(DestReceiver *receiver,
					 bool (*receive) (TupleTableSlot *slot, DestReceiver *self))
{
	receiver->receiveSlot = receive;
	receiver->rStartup = ignore_startup;
	receiver->rShutdown = ignore_end;
	receiver->rDestroy = ignore_end;
	receiver->mydest = DestNone;
}

/* Prepares the conversion of ids, whose column is of whatever type. */
static void
start_ids(DestReceiver *self, int operation, TupleDesc columns)
{
	IdReceiver *receiver = (IdReceiver *) self;

	id_conversion_init(&receiver->conversion, receiver->type,
					   TupleDescAttr(columns, 0)->atttypid,
					   side_names[receiver->side], CurrentMemoryContext);
}

void
source_id_receiver_init(IdReceiver *receiver, AlsSide side, const IdType *type,
						bool (*receive) (TupleTableSlot *slot, DestReceiver *self))
{
	source_receiver_init(&receiver->pub, receive);
	receiver->pub.rStartup = start_ids;
	receiver->side = side;
	receiver->type = type;
}

/* The id type of a column of the source. */
void
source_id_type(IdType *type, Form_pg_attribute column, MemoryContext context)
{
	if (!id_type_init(type, column->atttypid, column->atttypmod,
					  column->attcollation, context))
		reject_unhashable(column->atttypid, NameStr(column->attname));
}
