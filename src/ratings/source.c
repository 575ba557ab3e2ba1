/*
 * source.c
 *	  What a model is trained from: a relation or a SELECT.
 *
 * Either becomes a FROM clause with the alias "ratings"; columns are read
 * from there by name.  All that is read of a source, given or stored with a
 * model, goes through source_begin, source_prepare and source_execute: one
 * SELECT, as the caller, read-only.  Functions that it calls do as they always
 * do.
 *
 * Ratings to train from or to evaluate on are one query that is run to
 * completion, and nothing is materialised.  Where workers may take part it is an
 * aggregate that collects the rows, so that the processes of a parallel plan each
 * collect what they read; or else they go to a receiver of our own.
 */
#include "compat.h"

#include <ctype.h>

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/error_context.h"
#include "common/id_conversion.h"
#include "common/progress.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parser.h"
#include "parser/scansup.h"
#include "ratings/collect.h"
#include "ratings/source.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/varlena.h"

/* Where the rows of the query go */
typedef struct RatingsReceiver
{
	DestReceiver pub;
	Collector	collector;
} RatingsReceiver;

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
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
									  get_rel_name(relation));
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
	return psprintf("%s::%s", column, format_type_be_qualified(type));
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

/* The receiver's callbacks: rows of (user, item[, rating[, weight]]). */
static bool
receive_rating(TupleTableSlot *slot, DestReceiver *self)
{
	Collector  *collector = &((RatingsReceiver *) self)->collector;
	bool		rated = OidIsValid(collector->rating_type);
	bool		weighted = collector->weighted;

	slot_getallattrs(slot);
	collect_row(collector, slot->tts_values[0], slot->tts_isnull[0],
				slot->tts_values[1], slot->tts_isnull[1],
				rated ? slot->tts_values[2] : 0,
				rated && slot->tts_isnull[2],
				weighted ? slot->tts_values[3] : 0,
				weighted && slot->tts_isnull[3]);
	return true;
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

/* The id type of a column of the source. */
void
source_id_type(IdType *type, Form_pg_attribute column, MemoryContext context)
{
	if (!id_type_init(type, column->atttypid, column->atttypmod,
					  column->attcollation, context))
		reject_unhashable(column->atttypid, NameStr(column->attname));
}

/* The column called that, which is as good as double precision, or raises. */
static Form_pg_attribute
number_column(TupleDesc columns, const char *column, const char *option)
{
	Form_pg_attribute attribute = source_column(columns, column, option);
	Oid			source_type = attribute->atttypid;
	Oid			target_type = FLOAT8OID;

	if (!can_coerce_type(1, &source_type, &target_type, COERCION_IMPLICIT))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s column \"%s\" is of type %s, which is not numeric",
						strcmp(option, "rating_column") == 0 ? "rating" : "weight",
						column, format_type_be(attribute->atttypid)),
				 errhint("Use a SELECT that makes it a number, or pass %s => NULL to count every row as 1.",
						 option)));
	return attribute;
}

/*
 * Raises for events whose text, by which they are compared, depends on settings.  Enums'
 * is not immutable since values can be renamed; that of bytea is, says PostgreSQL.
 */
static void
check_event_type(const char *column, Oid type)
{
	Oid			base = getBaseType(type);

	if (get_typtype(base) != TYPTYPE_ENUM &&
		(base == BYTEAOID || !id_text_is_stable(base)))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("event column \"%s\" is of type %s, whose text depends on settings",
						column, format_type_be(type)),
				 errhint("Use a SELECT that makes it text in a way that is the same in all sessions.")));
}

void
source_check_weighing(TupleDesc columns, const Weighing *weighing)
{
	if (weighing->event_column != NULL)
		check_event_type(weighing->event_column,
						 source_column(columns, weighing->event_column,
									   "event_column")->atttypid);
	if (weighing->weight_column != NULL)
		number_column(columns, weighing->weight_column, "weight_column");
	if (weighing->time_column != NULL)
	{
		Oid			type = source_column(columns, weighing->time_column,
										 "time_column")->atttypid;

		switch (getBaseType(type))
		{
			case TIMESTAMPTZOID:
			case TIMESTAMPOID:
			case DATEOID:
				break;
			default:
				ereport(ERROR,
						(errcode(ERRCODE_DATATYPE_MISMATCH),
						 errmsg("time column \"%s\" is of type %s, which is not a point in time",
								weighing->time_column, format_type_be(type)),
						 errhint("Use a SELECT that makes it a timestamptz, timestamp or date; to_timestamp does of seconds since 1970.")));
		}
	}
}

/*
 * The columns that a source's ratings are read from, as a list of targets, and
 * what they are.
 */
static char *
rating_columns(const SourceReading *reading, const RatingSource *source,
			   IdType *user_type, IdType *item_type, Oid *rating_type,
			   MemoryContext context)
{
	TupleDesc	columns = source_plan(source_prepare(reading, "*", "", 0,
													 NULL))->resultDesc;
	StringInfoData targets;

	initStringInfo(&targets);
	source_id_type(user_type, source_column(columns, source->user_column,
											"user_column"), context);
	source_id_type(item_type, source_column(columns, source->item_column,
											"item_column"), context);
	appendStringInfoString(&targets, quote_identifier(source->user_column));
	appendStringInfo(&targets, ", %s", quote_identifier(source->item_column));
	source_check_weighing(columns, &source->weighing);
	*rating_type = InvalidOid;
	if (source->rating_column != NULL)
		*rating_type = collect_rating_type(number_column(columns,
														 source->rating_column,
														 "rating_column")->atttypid);
	if (weighing_is_set(&source->weighing) || *rating_type == FLOAT8OID)
	{
		*rating_type = FLOAT8OID;
		appendStringInfo(&targets, ", %s",
						 weighing_expression(&source->weighing,
											 source->rating_column));
		if (source->weighing.apart)
			appendStringInfo(&targets, ", %s",
							 weight_expression(&source->weighing));
	}
	else if (source->rating_column != NULL)
		appendStringInfo(&targets, ", %s",
						 quote_identifier(source->rating_column));
	return targets.data;
}

/* The plan of what runs without parameters, or whatever they are */
static PlannedStmt *
planned(SPIPlanPtr plan)
{
	CachedPlan *cached = SPI_plan_get_cached_plan(plan);
	PlannedStmt *statement = linitial_node(PlannedStmt, cached->stmt_list);

	/* whose owner is nobody, for the plan is not kept */
	ReleaseCachedPlan(cached, NULL);
	return statement;
}

/* Runs a query of the columns of ratings, in this process. */
static void
read_alone(SourceReading *reading, RatingsReceiver *receiver, SPIPlanPtr plan)
{
	source_receiver_init(&receiver->pub, receive_rating);
	source_execute(reading, plan, NULL, &receiver->pub, true);
}

/* Runs one that aggregates them, in all processes of its plan. */
static void
read_together(SourceReading *reading, Collector *collector, SPIPlanPtr plan)
{
	PG_TRY();
	{
		Datum		key = Int64GetDatum(collect_begin(collector));

		source_execute(reading, plan, &key, NULL, true);
	}
	PG_CATCH();
	{
		collect_end(collector);
		PG_RE_THROW();
	}
	PG_END_TRY();
	collect_end(collector);
}

/* Is a query's target that aggregate, and not what somebody else calls so? */
static bool
calls_aggregate(SPIPlanPtr plan, Oid aggregate)
{
	Query	   *query = linitial_node(Query, source_plan(plan)->query_list);
	Expr	   *target = linitial_node(TargetEntry, query->targetList)->expr;

	return IsA(target, Aggref) && ((Aggref *) target)->aggfnoid == aggregate;
}

/* Prepares that, if workers are to take part; NULL if they are not. */
static SPIPlanPtr
prepare_together(const SourceReading *reading, const char *targets,
				 const char *tail, bool rated, bool weighted)
{
	Oid			oid;
	const char *aggregate = collect_aggregate(weighted, &oid);
	Oid			type = INT8OID;
	SPIPlanPtr	plan;

	if (aggregate == NULL)
		return NULL;
	plan = source_prepare(reading,
						  psprintf("%s($1, %s%s)", aggregate, targets,
								   rated ? "" : ", NULL::pg_catalog.float8"),
						  tail, 1, &type);
	if (!calls_aggregate(plan, oid))
		return NULL;
	/* planned once, to find out and to run */
	source_plan(plan)->cursor_options |= CURSOR_OPT_GENERIC_PLAN;
	return planned(plan)->parallelModeNeeded ? plan : NULL;
}

Ratings *
source_read_split(MemoryContext parent, const RatingSource *source,
				  size_t memory, int workers, SourceSplit *split,
				  char **canonical)
{
	MemoryContext context = CurrentMemoryContext;
	SourceReading reading;
	RatingsReceiver receiver = {0};
	Collector  *collector = &receiver.collector;
	IdType		user_type;
	IdType		item_type;
	const char *targets;
	const char *tail;
	SPIPlanPtr	alone;
	SPIPlanPtr	together = NULL;

	*canonical = source_begin(&reading, "ratings", source->source,
							  source->reader);
	reading.snapshot = source->snapshot;
	collector->weighted = source->weighing.apart;
	targets = rating_columns(&reading, source, &user_type, &item_type,
							 &collector->rating_type, context);
	tail = source->condition == NULL ? "" :
		psprintf(" WHERE %s", source->condition);
	alone = source_prepare(&reading, targets, tail, 0, NULL);
	if (workers != 0)
		together = prepare_together(&reading, targets, tail,
									OidIsValid(collector->rating_type),
									collector->weighted);
	MemoryContextSwitchTo(context);

	collector->ratings = ratings_begin(parent, &user_type, &item_type, source,
									   collector->weighted, memory, workers != 0);
	if (split != NULL)
	{
		collector->held_out = ratings_begin(parent, &user_type, &item_type,
											source, false, split->memory,
											workers != 0);
		collector->holdout = holdout_create(user_type.type, item_type.type,
											split->fraction, split->seed);
		collector->row_context = AllocSetContextCreate(context, "als holdout",
													   ALLOCSET_SMALL_SIZES);
	}
	progress_expect(planned(alone)->planTree->plan_rows);
	if (together != NULL &&
		collect_share(collector, source, &user_type, &item_type, memory,
					  split != NULL ? split->fraction : -1,
					  split != NULL ? split->seed : 0,
					  split != NULL ? split->memory : 0))
		read_together(&reading, collector, together);
	else
		read_alone(&reading, &receiver, alone);
	source_end(&reading);

	collect_finish(collector);
	if (split != NULL)
		split->held_out = collector->held_out;
	return collector->ratings;
}

Ratings *
source_read(MemoryContext parent, const RatingSource *source,
			size_t memory, int workers, char **canonical)
{
	return source_read_split(parent, source, memory, workers, NULL, canonical);
}
