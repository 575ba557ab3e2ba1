/*
 * source_ratings.c
 *	  The ratings of a source, to train from or to evaluate on.
 *
 * They are one query that is run to completion, and nothing is materialised.
 * Where workers may take part it is an aggregate that collects the rows, so that
 * the processes of a parallel plan each collect what they read; or else they go
 * to a receiver of our own.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "common/id_conversion.h"
#include "common/progress.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "ratings/collect.h"
#include "ratings/source.h"
#include "ratings/source_ratings.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

/* Where the rows of the query go */
typedef struct RatingsReceiver
{
	DestReceiver pub;
	Collector	collector;
} RatingsReceiver;

/* The receiver's callback: rows of (user, item[, rating[, weight]]). */
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

/* Raises for events whose text, by which they are compared, depends on settings. */
static void
check_event_type(const char *column, Oid type)
{
	if (!is_compared_as_text(type))
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
		collector->holdout =
			holdout_create((Oid[2]) {user_type.type, item_type.type},
						   (Oid[2]) {user_type.collation, item_type.collation},
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
