/*
 * history.c
 *	  What users and items have in the ratings that a model was trained from,
 *	  as of now.
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "history.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "source.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

/* For messages about reading a model's ratings */
typedef struct Reading
{
	const char *function;
	const char *source;
	ErrorContextCallback callback;
} Reading;

/* Says what was going on when reading failed. */
static void
reading_error_context(void *arg)
{
	Reading    *reading = arg;

	if (geterrcode() == ERRCODE_INSUFFICIENT_PRIVILEGE)
		errhint("%s reads the model's ratings with the privileges of the user who calls it.",
				reading->function);
	errcontext("reading ratings from %s", reading->source);
}

/* Connects to SPI, with what to say if something fails. */
static void
begin_reading(Reading *reading, const ModelCache *cache, const char *function)
{
	reading->function = function;
	reading->source = pstrdup(cache->run.source);
	reading->callback.callback = reading_error_context;
	reading->callback.arg = reading;
	reading->callback.previous = error_context_stack;
	error_context_stack = &reading->callback;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

static void
end_reading(Reading *reading)
{
	SPI_finish();
	error_context_stack = reading->callback.previous;
}

/* The name of the column of the source with a side's ids. */
static const char *
id_column_name(const ModelCache *cache, AlsSide side)
{
	return side == ALS_USERS ? cache->run.user_column : cache->run.item_column;
}

/* The same as an expression. */
static char *
id_column(const ModelCache *cache, AlsSide side)
{
	return psprintf("ratings.%s",
					quote_identifier(id_column_name(cache, side)));
}

/* The type of a side's ids, as text. */
static char *
id_type_name(const ModelCache *cache, AlsSide side)
{
	const IdType *type = &cache->sides[side].type;

	return format_type_extended(type->type, type->typmod,
								FORMAT_TYPE_TYPEMOD_GIVEN |
								FORMAT_TYPE_FORCE_QUALIFY);
}

char *
equals_parameter(const char *column, const IdType *type)
{
	TypeCacheEntry *cache = lookup_type_cache(type->type, TYPECACHE_EQ_OPR);
	StringInfoData clause;

	initStringInfo(&clause);
	generate_operator_clause(&clause, column, type->type, cache->eq_opr,
							 "$1", type->type);
	return clause.data;
}

/* Raises for a row of the given id that a training would not take. */
static void
reject_row(const ModelCache *cache, AlsSide side, Datum id, bool other_null,
		   bool rating_null, double rating)
{
	AlsSide		other = side == ALS_USERS ? ALS_ITEMS : ALS_USERS;
	const char *rating_column = cache->run.rating_column;
	char	   *id_text = id_to_text(&cache->sides[side].type, id);

	if (other_null || rating_null)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("column \"%s\" of the ratings contains a null value",
						other_null ? id_column_name(cache, other) :
						rating_column),
				 errdetail("It is in a row whose \"%s\" is %s.",
						   id_column_name(cache, side), id_text),
				 errhint("Train from a SELECT that leaves such rows out.")));
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("column \"%s\" of the ratings contains the value %g",
					rating_column, rating),
			 errdetail("It is in a row whose \"%s\" is %s; ratings must be finite and within the range of type real.",
					   id_column_name(cache, side), id_text),
			 errhint("Train from a SELECT that leaves such rows out.")));
}

void
history_read(ModelCache *cache, AlsSide side, Datum id,
			 bool with_active_snapshot, const char *function, RowRatings *row)
{
	AlsSide		other = side == ALS_USERS ? ALS_ITEMS : ALS_USERS;
	MemoryContext caller = CurrentMemoryContext;
	Oid			argument = cache->sides[side].type.type;
	const char *rating_column = cache->run.rating_column;
	char	   *canonical;
	char	   *query;
	Reading		reading;

	begin_reading(&reading, cache, function);
	query = psprintf("SELECT %s::%s, %s::pg_catalog.float8 FROM %s WHERE %s",
					 id_column(cache, other), id_type_name(cache, other),
					 rating_column == NULL ? "1" :
					 psprintf("ratings.%s", quote_identifier(rating_column)),
					 source_from_clause(cache->run.source, &canonical),
					 equals_parameter(id_column(cache, side),
									  &cache->sides[side].type));
	if (!with_active_snapshot)
	{
		CommandCounterIncrement();
		PushActiveSnapshot(GetTransactionSnapshot());
	}
	if (SPI_execute_with_args(query, 1, &argument, &id, NULL, true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed");
	if (!with_active_snapshot)
		PopActiveSnapshot();

	MemoryContextSwitchTo(caller);
	row_ratings_init(row, SPI_processed);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		id_null;
		bool		rating_null;
		Datum		other_id = SPI_getbinval(SPI_tuptable->vals[i],
											 SPI_tuptable->tupdesc, 1,
											 &id_null);
		Datum		value = SPI_getbinval(SPI_tuptable->vals[i],
										  SPI_tuptable->tupdesc, 2,
										  &rating_null);
		double		rating = rating_null ? 0 : DatumGetFloat8(value);

		CHECK_FOR_INTERRUPTS();
		if (id_null || rating_null || !rating_is_real(rating))
			reject_row(cache, side, id, id_null, rating_null, rating);
		row_ratings_add(row, id_copy(&cache->sides[other].type, other_id),
						rating);
	}
	end_reading(&reading);
}

/* Says what to do when the live source cannot be read. */
static void
seen_error_context(void *arg)
{
	if (geterrcode() == ERRCODE_INSUFFICIENT_PRIVILEGE)
		errhint("als_recommend reads what the user has already seen with the privileges of the user who calls it; exclude_seen => false skips that.");
	errcontext("finding items already seen in %s", (const char *) arg);
}

/* Prepares the query for what a user has in the live source. */
static SPIPlanPtr
prepare_seen(ModelCache *cache)
{
	Oid			argument = cache->sides[ALS_USERS].type.type;
	char	   *canonical;
	SPIPlanPtr	plan;

	plan = SPI_prepare(psprintf("SELECT %s::%s FROM %s WHERE %s",
								id_column(cache, ALS_ITEMS),
								id_type_name(cache, ALS_ITEMS),
								source_from_clause(cache->run.source,
												   &canonical),
								equals_parameter(id_column(cache, ALS_USERS),
												 &cache->sides[ALS_USERS].type)),
					   1, &argument);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	return plan;
}

void
history_add_seen(ModelCache *cache, Datum user, IdMap *items)
{
	ErrorContextCallback callback;

	callback.callback = seen_error_context;
	callback.arg = pstrdup(cache->run.source);
	callback.previous = error_context_stack;
	error_context_stack = &callback;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (cache->seen_plan == NULL)
		cache->seen_plan = prepare_seen(cache);
	if (SPI_execute_plan(cache->seen_plan, &user, NULL, true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan failed");

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		item = SPI_getbinval(SPI_tuptable->vals[i],
										 SPI_tuptable->tupdesc, 1, &isnull);

		if (!isnull)
			idmap_add(items, item);
	}
	SPI_finish();
	error_context_stack = callback.previous;
}

/* Orders items by falling score, equal ones by id. */
static int
compare_popular(const void *a, const void *b, void *type)
{
	const ScoredItem *item_a = a;
	const ScoredItem *item_b = b;

	if (item_a->score != item_b->score)
		return item_a->score > item_b->score ? -1 : 1;
	return id_compare(type, item_a->id, item_b->id);
}

/* The query that counts the rows of each item. */
static char *
count_query(ModelCache *cache)
{
	char	   *canonical;

	return psprintf("SELECT %s::%s, pg_catalog.count(*) FROM %s WHERE %s IS NOT NULL GROUP BY 1",
					id_column(cache, ALS_ITEMS),
					id_type_name(cache, ALS_ITEMS),
					source_from_clause(cache->run.source, &canonical),
					id_column(cache, ALS_ITEMS));
}

/*
 * Whether a query sees the same rows whenever and with whatever settings the
 * present user runs it, as long as nobody changes them.
 */
static bool
is_settled(SPIPlanPtr plan)
{
	ListCell   *cell;

	foreach(cell, SPI_plan_get_plan_sources(plan))
	{
		CachedPlanSource *source = lfirst(cell);

		if (source->dependsOnRLS ||
			contain_mutable_functions((Node *) source->query_list))
			return false;
	}
	return true;
}

/* Counts the rows of each item, in the current memory context. */
static void
count_items(ModelCache *cache, const char *function, PopularItems *popular)
{
	IdType	   *type = &cache->sides[ALS_ITEMS].type;
	MemoryContext caller = CurrentMemoryContext;
	SPIPlanPtr	plan;
	Reading		reading;

	begin_reading(&reading, cache, function);
	plan = SPI_prepare(count_query(cache), 0, NULL);
	if (plan == NULL ||
		SPI_execute_plan(plan, NULL, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "counting items failed");
	popular->settled = is_settled(plan);

	MemoryContextSwitchTo(caller);
	popular->size = SPI_processed;
	popular->items = MemoryContextAllocHuge(caller, Max(popular->size, 1) *
											sizeof(ScoredItem));
	for (uint64 i = 0; i < popular->size; i++)
	{
		ScoredItem *item = &popular->items[i];
		bool		isnull;

		item->id = id_copy(type,
						   SPI_getbinval(SPI_tuptable->vals[i],
										 SPI_tuptable->tupdesc, 1, &isnull));
		item->score = (float)
			DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i],
										SPI_tuptable->tupdesc, 2, &isnull));
	}
	end_reading(&reading);
	qsort_arg(popular->items, popular->size, sizeof(ScoredItem),
			  compare_popular, type);
}

/* Raises if the user may not read, or no longer, what has been counted. */
static void
check_countable(ModelCache *cache, const char *function)
{
	Reading		reading;

	begin_reading(&reading, cache, function);
	if (SPI_execute(psprintf("%s LIMIT 0", count_query(cache)), true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "SPI_execute failed");
	end_reading(&reading);
}

PopularItems *
history_take_popular(ModelCache *cache, const char *function)
{
	PopularItems *popular = cache->popular;
	MemoryContext context;
	MemoryContext caller;

	if (popular != NULL && popular->role == GetUserId())
	{
		cache->popular = NULL;
		MemoryContextSetParent(popular->context, CurrentMemoryContext);
		check_countable(cache, function);
		return popular;
	}

	context = AllocSetContextCreate(CurrentMemoryContext, "als popular items",
									ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(context);
	popular = palloc0(sizeof(PopularItems));
	popular->context = context;
	popular->role = GetUserId();
	count_items(cache, function, popular);
	MemoryContextSwitchTo(caller);
	return popular;
}

void
history_keep_popular(ModelCache *cache, PopularItems *popular)
{
	if (!popular->settled ||
		!cache_make_room(MemoryContextMemAllocated(popular->context, true)))
		return;
	if (cache->popular != NULL)
		MemoryContextDelete(cache->popular->context);
	MemoryContextSetParent(popular->context, cache->context);
	cache->popular = popular;
}
