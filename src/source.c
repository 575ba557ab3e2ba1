/*
 * source.c
 *	  What a model is trained from: a relation or a SELECT.
 *
 * Either becomes a FROM clause with the alias "ratings"; columns are read
 * from there by name.  One query is planned and run to completion into a
 * receiver of our own: it may use a parallel plan, and nothing is
 * materialised.
 */
#include "compat.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "parser/scansup.h"
#include "progress.h"
#include "source.h"
#include "tcop/dest.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/varlena.h"

/* Where the rows of the query go */
typedef struct RatingsReceiver
{
	DestReceiver pub;
	Ratings    *ratings;
	Ratings    *held_out;		/* NULL: nothing is set aside */
	Oid			rating_type;	/* InvalidOid: no rating, every row counts 1 */
	uint64		rows;			/* so far */
} RatingsReceiver;

/* How many rows are read before others see that */
#define PROGRESS_ROWS 65536

/* Skips white space and comments. */
static const char *
skip_blank(const char *text)
{
	for (;;)
	{
		if (scanner_isspace(*text))
			text	  ++;

		else if (text[0] == '-' && text[1] == '-')
			text	  +=strcspn(text, "\r\n");

		else if (text[0] == '/' && text[1] == '*')
		{
			const char *end = strstr(text +2, "*/");

			text = end ? end + 2 : text +strlen(text);
		}
		else
			return text;
	}
}

/* Does the text begin like a query?  No unquoted name can. */
static bool
is_query(const char *text)
{
	static const char *const keywords[] = {"select", "with", "values", "table"};

	text = skip_blank(text);

	if (*text == '(')
		return true;
	for (size_t i = 0; i < lengthof(keywords); i++)
	{
		size_t		length = strlen(keywords[i]);

		if (pg_strncasecmp(text, keywords[i], length) == 0 &&
			(scanner_isspace(text[length]) || text[length] == '(' ||
			 text[length] == '*' || text[length] == '"' ||
			 text[length] == '\'' || text[length] == '/' ||
			 text[length] == '-'))
			return true;
	}
	return false;
}

/* The query without blanks around it and without a closing semicolon. */
static char *
trim_query(const char *query)
{
	char	   *trimmed;
	size_t		length;

	query = skip_blank(query);
	trimmed = pstrdup(query);
	length = strlen(trimmed);
	while (length > 0 && (scanner_isspace(trimmed[length - 1]) ||
						  trimmed[length - 1] == ';'))
		length--;
	trimmed[length] = '\0';
	return trimmed;
}

/* The relation's quoted and qualified name, after checking what it is. */
static char *
qualified_relation(const char *name)
{
	List	   *names = textToQualifiedNameList(cstring_to_text(name));
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
	if (is_query(source))
	{
		*canonical = trim_query(source);
		/* on a line of its own, the parenthesis survives a closing comment */
		return psprintf("(%s\n) AS ratings", *canonical);
	}
	*canonical = qualified_relation(source);
	return psprintf("%s AS ratings", *canonical);
}

/* The columns of a FROM clause; within an SPI connection. */
static TupleDesc
source_columns(const char *from_clause)
{
	char	   *query = psprintf("SELECT * FROM %s", from_clause);
	SPIPlanPtr	plan = SPI_prepare(query, 0, NULL);
	List	   *sources;
	CachedPlanSource *plansource;
	TupleDesc	columns;

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	sources = SPI_plan_get_plan_sources(plan);
	plansource = list_length(sources) == 1 ? linitial(sources) : NULL;
	if (plansource == NULL || plansource->resultDesc == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ratings must be a relation or a single SELECT")));
	columns = CreateTupleDescCopy(plansource->resultDesc);
	SPI_freeplan(plan);
	pfree(query);
	return columns;
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

/* The receiver's callbacks: rows of (user, item[, rating][, set aside]). */
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
	if (receiver->held_out != NULL)
	{
		int			last = slot->tts_tupleDescriptor->natts - 1;

		/* null for ids that are, which ratings_add rejects */
		if (!slot->tts_isnull[last] && DatumGetBool(slot->tts_values[last]))
			ratings = receiver->held_out;
	}
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
	if (split != NULL)
		appendStringInfo(&query, ", %s.als_holdout(ratings.%s, ratings.%s, '%.17g'::pg_catalog.float8, '" INT64_FORMAT "'::pg_catalog.int8)",
						 quote_identifier(split->schema),
						 quote_identifier(source->user_column),
						 quote_identifier(source->item_column),
						 split->fraction, split->seed);
	appendStringInfo(&query, " FROM %s", from_clause);

	receiver.pub.receiveSlot = receive_rating;
	receiver.pub.rStartup = receiver_startup;
	receiver.pub.rShutdown = receiver_end;
	receiver.pub.rDestroy = receiver_end;
	receiver.pub.mydest = DestNone;
	receiver.ratings = ratings_begin(parent, &user_type, &item_type, source,
									 memory);
	if (split != NULL)
		receiver.held_out = ratings_begin(parent, &user_type, &item_type,
										  source, split->memory);

	options.dest = &receiver.pub;
	if (SPI_execute_extended(query.data, &options) < 0)
		elog(ERROR, "SPI_execute_extended failed");
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
