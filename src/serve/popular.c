/*
 * popular.c
 *	  The items with the most ratings.
 *
 * One query counts the rows of all items.  What it counts is kept with the version of
 * the model where it cannot change from call to call but by new ratings, and sorted
 * then, so that later calls read the first of them; of what is counted for one call
 * alone the best are picked.  What is popular since a time is kept until that time has
 * moved by a hundredth of the way.
 */
#include "compat.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "ratings/source.h"
#include "serve/popular.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/timestamp.h"

#define FUNCTION "als_recommend"

#define FIRST_CAPACITY 1024		/* items */
#define KEPT_SHARE 100			/* of an interval: see above */
#define KEPT_COUNTS 4			/* of a model, by intervals and roles */

/* Orders items by falling score, equal ones by id. */
static int
compare_popular(const void *a, const void *b, void *type)
{
	const ScoredItem *item_a = a;
	const ScoredItem *item_b = b;

	CHECK_FOR_INTERRUPTS();
	if (item_a->score != item_b->score)
		return item_a->score > item_b->score ? -1 : 1;
	return id_compare(type, item_a->id, item_b->id);
}

/*
 * Whether a query sees the same rows whenever and with whatever settings the
 * present user runs it, as long as nobody changes them.
 */
static bool
is_settled(CachedPlanSource *plan)
{
	return !plan->dependsOnRLS &&
		!contain_mutable_functions((Node *) plan->query_list);
}

/* Are they two equal intervals, or none? */
static bool
is_same_interval(const Interval *a, const Interval *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return a->month == b->month && a->day == b->day && a->time == b->time;
}

/*
 * Takes what the present user has counted of an interval out of what is kept, so that
 * nobody else frees it while user code runs; NULL if there is nothing.
 */
static PopularItems *
take_kept(ModelCache *cache, const Interval *since)
{
	dlist_iter	iter;

	dlist_foreach(iter, &cache->popular)
	{
		PopularItems *popular = dlist_container(PopularItems, node, iter.cur);

		if (popular->role == GetUserId() &&
			is_same_interval(popular->since, since))
		{
			popular_unlink(cache, popular);
			MemoryContextSetParent(popular->context, CurrentMemoryContext);
			return popular;
		}
	}
	return NULL;
}

/* May it be taken for what a query would count now, since the given time if any? */
static bool
is_good(const PopularItems *popular, const CachedPlanSource *query,
		Timestamp earliest)
{
	if (!equal(popular->query, query->query_list))
		return false;
	return popular->since == NULL ||
		(earliest >= popular->earliest &&
		 earliest - popular->earliest <=
		 (GetCurrentTransactionStartTimestamp() - earliest) / KEPT_SHARE);
}

/* Where the rows of the query go */
typedef struct CountReceiver
{
	IdReceiver	pub;
	MemoryContext row_context;	/* of what becomes of an id on the way */
	IdMap	   *items;
	int64	   *counts;			/* [items] */
	uint32		capacity;
} CountReceiver;

/* The receiver's callback: rows of (item, count); several may be one item. */
static bool
receive_count(TupleTableSlot *slot, DestReceiver *self)
{
	CountReceiver *receiver = (CountReceiver *) self;
	MemoryContext old = MemoryContextSwitchTo(receiver->row_context);
	uint32		known = idmap_size(receiver->items);
	uint32		item;
	Datum		id;

	slot_getallattrs(slot);
	if (id_convert(&receiver->pub.conversion, slot->tts_values[0], &id))
	{
		item = idmap_add(receiver->items, id);
		if (item == receiver->capacity)
		{
			receiver->capacity *= 2;
			receiver->counts = repalloc_huge(receiver->counts,
											 receiver->capacity * sizeof(int64));
		}
		if (item == known)
			receiver->counts[item] = 0;
		receiver->counts[item] += DatumGetInt64(slot->tts_values[1]);
	}
	MemoryContextReset(receiver->row_context);
	MemoryContextSwitchTo(old);
	return true;
}

/* Counts the source's items, by what they are in the model. */
static void
count_items(const ModelCache *cache, SourceReading *reading, SPIPlanPtr plan,
			Datum *values, PopularItems *popular)
{
	const IdType *type = &cache->sides[ALS_ITEMS].type;
	MemoryContext working = AllocSetContextCreate(popular->context,
												  "als counting",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	CountReceiver receiver = {0};

	receiver.row_context = AllocSetContextCreate(working, "als conversion",
												 ALLOCSET_SMALL_SIZES);
	receiver.items = idmap_create(working, type);
	receiver.capacity = FIRST_CAPACITY;
	receiver.counts = MemoryContextAlloc(working, FIRST_CAPACITY * sizeof(int64));
	source_id_receiver_init(&receiver.pub, ALS_ITEMS, type, receive_count);
	values[0] = Int64GetDatum(PG_INT64_MAX);
	source_execute(reading, plan, values, &receiver.pub.pub, false);

	old = MemoryContextSwitchTo(popular->context);
	popular->size = idmap_size(receiver.items);
	popular->items = MemoryContextAllocHuge(popular->context,
											Max(popular->size, 1) *
											sizeof(ScoredItem));
	for (uint32 i = 0; i < popular->size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		popular->items[i].id = id_copy(type, idmap_id(receiver.items, i));
		popular->items[i].score = (float) receiver.counts[i];
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(working);
}

/*
 * The condition that a row's time is $2 or later, whose type is *type: points in
 * time, to the microsecond, since a time without time zone is UTC's.
 */
static char *
is_since(const ModelCache *cache, const SourceReading *reading, Oid *type)
{
	const char *column = quote_identifier(cache->run.weighing.time_column);
	SPIPlanPtr	plan = source_prepare(reading, column, "", 0, NULL);
	TupleDesc	columns = source_plan(plan)->resultDesc;

	*type = getBaseType(TupleDescAttr(columns, 0)->atttypid) == TIMESTAMPTZOID ?
		TIMESTAMPTZOID : TIMESTAMPOID;
	return psprintf(" AND %s OPERATOR(pg_catalog.>=) $2", column);
}

/*
 * The counts of the ratings' items, in the current memory context: taken from what is
 * kept of the model, or counted.
 */
static PopularItems *
take_popular(ModelCache *cache, const Interval *since)
{
	Oid			types[] = {INT8OID, InvalidOid};
	Datum		values[2];
	int			nvalues = since != NULL ? 2 : 1;
	const char *column = quote_identifier(cache->run.item_column);
	const char *condition = "";
	PopularItems *popular = take_kept(cache, since);
	Timestamp	earliest = 0;
	SourceReader reader = {FUNCTION, get_rel_name(cache->model),
	"cold_start => 'none'"};
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	SourceReading reading;
	SPIPlanPtr	plan;
	CachedPlanSource *query;

	source_begin(&reading, "ratings", cache->run.source, &reader);
	if (since != NULL)
	{
		condition = is_since(cache, &reading, &types[1]);
		values[1] = DirectFunctionCall2(timestamptz_mi_interval,
										TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()),
										IntervalPGetDatum(since));
		earliest = DatumGetTimestampTz(values[1]);
	}
	plan = source_prepare(&reading,
						  psprintf("%s, pg_catalog.count(*)", column),
						  psprintf(" WHERE %s IS DISTINCT FROM NULL%s GROUP BY 1 LIMIT $1",
								   column, condition),
						  nvalues, types);
	query = source_plan(plan);
	if (popular != NULL && is_good(popular, query, earliest))
	{
		/* may this user, still? */
		values[0] = Int64GetDatum(0);
		source_execute(&reading, plan, values, NULL, false);
	}
	else
	{
		context = AllocSetContextCreate(caller, "als popular items",
										ALLOCSET_SMALL_SIZES);
		MemoryContextSwitchTo(context);
		popular = palloc0(sizeof(PopularItems));
		popular->context = context;
		popular->role = GetUserId();
		popular->settled = is_settled(query);
		popular->query = copyObject(query->query_list);
		if (since != NULL)
			popular->since = memcpy(palloc(sizeof(Interval)), since, sizeof(Interval));
		popular->earliest = earliest;
		popular->uncommitted = TransactionIdIsValid(GetTopTransactionIdIfAny());
		count_items(cache, &reading, plan, values, popular);
	}
	source_end(&reading);
	MemoryContextSwitchTo(caller);
	return popular;
}

/* Gives them back, to be kept if they are good for others and als.cache_size allows. */
static void
keep_popular(ModelCache *cache, PopularItems *popular)
{
	if (!popular->settled ||
		!cache_make_room(MemoryContextMemAllocated(popular->context, true)))
		return;
	if (!popular->sorted)
		qsort_arg(popular->items, popular->size, sizeof(ScoredItem),
				  compare_popular, &cache->sides[ALS_ITEMS].type);
	popular->sorted = true;
	if (cache->npopular == KEPT_COUNTS)
	{
		PopularItems *last = dlist_container(PopularItems, node,
											 dlist_tail_node(&cache->popular));

		popular_unlink(cache, last);
		MemoryContextDelete(last->context);
	}
	MemoryContextSetParent(popular->context, cache->context);
	dlist_push_head(&cache->popular, &popular->node);
	cache->npopular++;
}

/* Does the model know an item, and do the filters let it through? */
static bool
is_eligible(const SideSearch *search, Datum id)
{
	uint32		index;

	return !idmap_find(search->excluded, id, &index) &&
		(search->candidates == NULL ||
		 idmap_find(search->candidates, id, &index)) &&
		cache_lookup(search->cache, ALS_ITEMS, id) != NULL;
}

void
popular_best(SideSearch *search, uint32 k, ScoredRows *result)
{
	ModelCache *cache = search->cache;
	PopularItems *popular;
	TopK	   *best;

	model_require_source(cache->model, &cache->run,
						 "Train it with als_train from a table that stays, or pass cold_start => 'none'.");
	popular = take_popular(cache, search->popular_since);
	if (cache_replaced(cache))
		return;
	best = topk_create(&cache->sides[ALS_ITEMS].type, Min(k, popular->size));
	for (uint64 i = 0; i < popular->size &&
		 !(popular->sorted && best->size == best->k); i++)
	{
		const ScoredItem *item = &popular->items[i];

		CHECK_FOR_INTERRUPTS();
		if (topk_may_enter(best, item->score) && is_eligible(search, item->id))
			topk_add(best, item->id, item->score, NO_ROW);
	}
	result->items = topk_finish(best, &result->size);
	keep_popular(cache, popular);
}
