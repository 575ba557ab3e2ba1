/*
 * source.c
 *	  What a model is trained from: a relation or a SELECT.
 *
 * Either becomes a FROM clause with the alias "ratings"; columns are read
 * from there by name.  A text that is no name of a relation goes through
 * PostgreSQL's own parser first and has to be one SELECT.  One query is planned
 * and run to completion into a receiver of our own: it may use a parallel plan,
 * and nothing is materialised.
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "holdout.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parser.h"
#include "parser/scansup.h"
#include "progress.h"
#include "source.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

/* Where the rows of the query go */
typedef struct RatingsReceiver
{
	DestReceiver pub;
	Ratings    *ratings;
	Ratings    *held_out;		/* NULL: nothing is set aside */
	Holdout    *holdout;		/* what is, then */
	MemoryContext row_context;	/* for that, reset for every row */
	Oid			rating_type;	/* InvalidOid: no rating, every row counts 1 */
	uint64		rows;			/* so far */
} RatingsReceiver;

/* How many rows are read before others see that */
#define PROGRESS_ROWS 65536

/* Says that a source does not parse, with the place in its own text. */
static void
parsing_error_context(void *source)
{
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(source);
	}
	errhint("Give the ratings as the name of a table or view, or as a SELECT.");
}

/* Does a raw parse tree lock rows anywhere? */
static bool
locks_rows(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SelectStmt) && ((SelectStmt *) node)->lockingClause != NIL)
		return true;
	return raw_expression_tree_walker(node, locks_rows, context);
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
single_select(const char *query)
{
	ErrorContextCallback callback;
	List	   *statements;
	RawStmt    *statement;
	char	   *select;
	size_t		length;

	callback.callback = parsing_error_context;
	callback.arg = unconstify(char *, query);
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	statements = raw_parser(query, RAW_PARSE_DEFAULT);
	error_context_stack = callback.previous;

	statement = statements == NIL ? NULL : linitial_node(RawStmt, statements);
	if (list_length(statements) != 1 || !IsA(statement->stmt, SelectStmt) ||
		has_into((SelectStmt *) statement->stmt))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ratings must be a relation or a single SELECT"),
				 errhint("Give the ratings as the name of a table or view, or as a SELECT.")));
	if (locks_rows(statement->stmt, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("ratings must not be read FOR UPDATE or with another lock on rows"),
				 errhint("Leave the locking clause out.")));

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

/* The name of a relation, taken apart; NIL if the text is no such name. */
static List *
relation_names(const char *source)
{
	List	   *parts;
	List	   *names = NIL;
	ListCell   *cell;

	if (!SplitIdentifierString(pstrdup(source), '.', &parts))
		return NIL;
	foreach(cell, parts)
		names = lappend(names, makeString(pstrdup(lfirst(cell))));
	return names;
}

/* The relation's quoted and qualified name, after checking what it is. */
static char *
qualified_relation(const char *name, List *names)
{
	RangeVar   *rangevar = makeRangeVarFromNameList(names);
	Oid			relation = RangeVarGetRelid(rangevar, NoLock, true);

	if (!OidIsValid(relation))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s\" does not exist", name),
				 errhint("Give the ratings as the name of a table or view, or as a SELECT.")));

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
					 errmsg("cannot read ratings from relation \"%s\"", name),
					 errdetail("It is not a table, view, materialized view or foreign table."),
					 errhint("Give the ratings as the name of a table or view, or as a SELECT.")));
	}
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
									  get_rel_name(relation));
}

char *
source_from_clause(const char *source, char **canonical)
{
	List	   *names = relation_names(source);

	if (names != NIL)
	{
		*canonical = qualified_relation(source, names);
		return psprintf("%s AS ratings", *canonical);
	}
	*canonical = single_select(source);
	/* on a line of its own, the parenthesis survives a closing comment */
	return psprintf("(%s\n) AS ratings", *canonical);
}

/* The plan of a FROM clause; within an SPI connection. */
static SPIPlanPtr
source_plan(const char *from_clause, CachedPlanSource **source)
{
	char	   *query = psprintf("SELECT * FROM %s", from_clause);
	SPIPlanPtr	plan = SPI_prepare(query, 0, NULL);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	*source = linitial(SPI_plan_get_plan_sources(plan));
	pfree(query);
	return plan;
}

/* The columns of a FROM clause; within an SPI connection. */
static TupleDesc
source_columns(const char *from_clause)
{
	CachedPlanSource *source;
	SPIPlanPtr	plan = source_plan(from_clause, &source);
	TupleDesc	columns = CreateTupleDescCopy(source->resultDesc);

	SPI_freeplan(plan);
	return columns;
}

bool
source_is_temporary(const char *source)
{
	char	   *canonical;
	char	   *from_clause = source_from_clause(source, &canonical);
	CachedPlanSource *plansource;
	SPIPlanPtr	plan;
	ListCell   *cell;
	bool		result = false;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	plan = source_plan(from_clause, &plansource);
	/* views are among these, and what they are made of */
	foreach(cell, plansource->relationOids)
		if (get_rel_persistence(lfirst_oid(cell)) == RELPERSISTENCE_TEMP)
			result = true;
	SPI_freeplan(plan);
	SPI_finish();
	return result;
}

/*
 * The attribute called column; an error that lists what there is for one
 * that is not there.
 */
static Form_pg_attribute
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

/*
 * The type in which to ask for a column of ratings.  A cast in the query would
 * cost as much as reading a row does, so that the usual types are taken as they
 * are.
 */
static Oid
received_type(Oid type)
{
	switch (type)
	{
		case FLOAT4OID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return type;
		default:
			return FLOAT8OID;
	}
}

/* A rating of one of these types. */
static inline double
rating_value(Oid type, Datum value)
{
	switch (type)
	{
		case FLOAT4OID:
			return DatumGetFloat4(value);
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return (double) DatumGetInt64(value);
		default:
			return DatumGetFloat8(value);
	}
}

/* Is a row to be set aside? */
static bool
is_held_out(RatingsReceiver *receiver, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(receiver->row_context);
	bool		result = holdout_holds_out(receiver->holdout,
										   slot->tts_values[0],
										   slot->tts_values[1]);

	MemoryContextSwitchTo(old);
	MemoryContextReset(receiver->row_context);
	return result;
}

/* The receiver's callbacks: rows of (user, item[, rating]). */
static bool
receive_rating(TupleTableSlot *slot, DestReceiver *self)
{
	RatingsReceiver *receiver = (RatingsReceiver *) self;
	Ratings    *ratings = receiver->ratings;
	double		rating = 1;
	bool		isnull = false;

	slot_getallattrs(slot);
	if (OidIsValid(receiver->rating_type))
	{
		isnull = slot->tts_isnull[2];
		if (!isnull)
			rating = rating_value(receiver->rating_type, slot->tts_values[2]);
	}
	/* null ids are for ratings_add to reject */
	if (receiver->held_out != NULL && !slot->tts_isnull[0] &&
		!slot->tts_isnull[1] && is_held_out(receiver, slot))
		ratings = receiver->held_out;
	if (++receiver->rows % PROGRESS_ROWS == 0)
		progress_reading(receiver->rows);
	ratings_add(ratings, slot->tts_values[0], slot->tts_isnull[0],
				slot->tts_values[1], slot->tts_isnull[1], rating, isnull);
	return true;
}

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc typeinfo)
{
}

static void
receiver_end(DestReceiver *self)
{
}

/* Says what was going on when reading the source failed. */
static void
reading_error_context(void *source)
{
	if (geterrcode() == ERRCODE_INSUFFICIENT_PRIVILEGE)
		errhint("The ratings are read with the privileges of the user who calls the function.");
	errcontext("reading ratings from %s", (const char *) source);
}

/* The id type of a column of the source. */
static void
column_id_type(IdType *type, Form_pg_attribute column)
{
	if (!id_type_init(type, column->atttypid, column->atttypmod,
					  column->attcollation, CurrentMemoryContext))
		reject_unhashable(column->atttypid, NameStr(column->attname));
}

Ratings *
source_read_split(MemoryContext parent, const RatingSource *source,
				  size_t memory, SourceSplit *split, char **from)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorContextCallback callback;
	SPIExecuteOptions options = {0};
	RatingsReceiver receiver = {0};
	StringInfoData query;
	IdType		user_type;
	IdType		item_type;
	TupleDesc	columns;
	char	   *from_clause = source_from_clause(source->source, from);

	initStringInfo(&query);
	callback.callback = reading_error_context;
	callback.arg = *from;
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	columns = source_columns(from_clause);
	MemoryContextSwitchTo(context);
	column_id_type(&user_type, source_column(columns, source->user_column,
											 "user_column"));
	column_id_type(&item_type, source_column(columns, source->item_column,
											 "item_column"));
	appendStringInfo(&query, "SELECT ratings.%s",
					 quote_identifier(source->user_column));
	appendStringInfo(&query, ", ratings.%s",
					 quote_identifier(source->item_column));
	if (source->rating_column != NULL)
	{
		Form_pg_attribute column = source_column(columns,
												 source->rating_column,
												 "rating_column");
		Oid			source_type = column->atttypid;
		Oid			target_type = FLOAT8OID;

		if (!can_coerce_type(1, &source_type, &target_type,
							 COERCION_IMPLICIT))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("rating column \"%s\" is of type %s, which is not numeric",
							source->rating_column,
							format_type_be(column->atttypid)),
					 errhint("Use a SELECT that makes it a number, or pass rating_column => NULL to count every row as 1.")));
		receiver.rating_type = received_type(column->atttypid);
		appendStringInfo(&query, ", ratings.%s",
						 quote_identifier(source->rating_column));
		if (receiver.rating_type != column->atttypid)
			appendStringInfoString(&query, "::pg_catalog.float8");
	}
	appendStringInfo(&query, " FROM %s", from_clause);

	receiver.pub.receiveSlot = receive_rating;
	receiver.pub.rStartup = receiver_startup;
	receiver.pub.rShutdown = receiver_end;
	receiver.pub.rDestroy = receiver_end;
	receiver.pub.mydest = DestNone;
	receiver.ratings = ratings_begin(parent, &user_type, &item_type, source,
									 memory);
	if (split != NULL)
	{
		receiver.held_out = ratings_begin(parent, &user_type, &item_type,
										  source, split->memory);
		receiver.holdout = holdout_create(user_type.type, item_type.type,
										  split->fraction, split->seed);
		receiver.row_context = AllocSetContextCreate(CurrentMemoryContext,
													 "als holdout",
													 ALLOCSET_SMALL_SIZES);
	}

	/* nothing is written, but all is read that has been by now */
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	options.dest = &receiver.pub;
	options.read_only = true;
	if (SPI_execute_extended(query.data, &options) < 0)
		elog(ERROR, "SPI_execute_extended failed");
	PopActiveSnapshot();
	SPI_finish();

	error_context_stack = callback.previous;
	ratings_finish(receiver.ratings);
	if (split != NULL)
	{
		ratings_finish(receiver.held_out);
		split->held_out = receiver.held_out;
	}
	return receiver.ratings;
}

Ratings *
source_read(MemoryContext parent, const RatingSource *source,
			size_t memory, char **from)
{
	return source_read_split(parent, source, memory, NULL, from);
}
