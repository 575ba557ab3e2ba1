/*
 * kept_plans.c
 *	  Plans of queries on relations and SELECTs that a version of a model keeps from
 *	  call to call.
 *
 * A plan goes by its text, which PostgreSQL itself reads anew where names may mean
 * something else; another text of the same meaning will not do, since the two may mean
 * different things later.  Of a relation the text has the whole name, and the plan is
 * good until something that it depends on changes.  A query's names may come to mean
 * other tables without that, so it is analyzed in each call, and has to come out as it
 * was; what that saves is planning it.
 *
 * Of many texts those are kept that were used last.  None is freed while another call
 * has the version, since that may be running it: user code may call whatever it likes.
 */
#include "compat.h"

#include "model/kept_plans.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

/* Texts of a version, at most */
#define KEPT_PLANS 16

/* A plan, and what it is kept for */
typedef struct KeptPlan
{
	dlist_node	node;			/* among those of the version, last used first */
	MemoryContext context;		/* of all this but the plan */
	const char *text;			/* without the condition */
	AlsSide		side;
	KeptCondition condition;
	List	   *query;			/* the text without the condition, as it was
								 * understood */
	SPIPlanPtr	plan;
} KeptPlan;

/* What is kept for a text; NULL if nothing is. */
static KeptPlan *
find_kept(ModelCache *cache, const char *text, AlsSide side,
		  KeptCondition condition)
{
	dlist_iter	iter;

	dlist_foreach(iter, &cache->plans)
	{
		KeptPlan   *kept = dlist_container(KeptPlan, node, iter.cur);

		if (kept->side == side && kept->condition == condition &&
			strcmp(kept->text, text) == 0)
		{
			dlist_move_head(&cache->plans, &kept->node);
			return kept;
		}
	}
	return NULL;
}

/* Frees one. */
static void
forget(ModelCache *cache, KeptPlan *kept)
{
	dlist_delete(&kept->node);
	cache->nplans--;
	SPI_freeplan(kept->plan);
	MemoryContextDelete(kept->context);
}

/* Keeps a plan, in place of one that is not good any more if there is one. */
static void
keep(ModelCache *cache, KeptPlan *stale, const char *text, AlsSide side,
	 KeptCondition condition, List *query, SPIPlanPtr plan)
{
	MemoryContext context;
	MemoryContext old;
	KeptPlan   *kept;

	if (stale == NULL && cache->nplans == KEPT_PLANS)
		stale = dlist_tail_element(KeptPlan, node, &cache->plans);
	if (stale != NULL)
	{
		if (!cache_used_once(cache))
			return;
		forget(cache, stale);
	}
	context = AllocSetContextCreate(CurrentMemoryContext, "als kept plan",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	kept = palloc(sizeof(KeptPlan));
	kept->context = context;
	kept->text = pstrdup(text);
	kept->side = side;
	kept->condition = condition;
	kept->query = copyObject(query);
	kept->plan = plan;
	MemoryContextSwitchTo(old);
	/* beside the version's, whose callback frees it */
	MemoryContextSetParent(context, CacheMemoryContext);
	SPI_keepplan(plan);
	dlist_push_head(&cache->plans, &kept->node);
	cache->nplans++;
}

SPIPlanPtr
kept_plan(ModelCache *cache, const SourceReading *reading, const char *targets,
		  const char *tail, AlsSide side, KeptCondition condition)
{
	const char *text = psprintf("%s FROM %s%s", targets, reading->from_clause,
								tail);
	KeptPlan   *kept = find_kept(cache, text, side, condition);
	SPIPlanPtr	plan;
	List	   *query;

	if (kept != NULL && !reading->is_query && SPI_plan_is_valid(kept->plan))
		return kept->plan;
	plan = source_prepare(reading, targets, tail, 0, NULL);
	query = source_plan(plan)->query_list;
	if (kept != NULL && equal(kept->query, query))
		return kept->plan;
	if (condition != NULL)
	{
		Oid			type;
		const char *clause = condition(cache, side,
									   source_plan(plan)->resultDesc, &type);

		if (clause != NULL)
			plan = source_prepare(reading, targets,
								  psprintf("%s WHERE %s", tail, clause), 1,
								  &type);
	}
	keep(cache, kept, text, side, condition, query, plan);
	return plan;
}

void
kept_plans_free(ModelCache *cache)
{
	while (!dlist_is_empty(&cache->plans))
		forget(cache, dlist_head_element(KeptPlan, node, &cache->plans));
}
