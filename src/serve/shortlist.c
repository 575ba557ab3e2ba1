/*
 * shortlist.c
 *	  A list of items chosen from the ranking by more than scores.
 *
 * The list is that of all eligible items.  As no item has a greater share in it
 * than its score gives, the first few of the ranking mostly tell it all; if they
 * do not, more are ranked, but for those whose score is too low to matter, by
 * what the last of the list has.  So groups are read of a few items only.
 */
#include "compat.h"

#include <float.h>
#include <math.h>

#include "common/arena.h"
#include "common/arguments.h"
#include "common/settings.h"
#include "miscadmin.h"
#include "serve/item_values.h"
#include "serve/shortlist.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* How much of the ranking is looked at first, and how much more if need be */
#define FIRST_DEPTH 64
#define FIRST_LISTS 4
#define DEEPER 8
/* The first of it where each item costs looking up its group, and nothing else */
#define FIRST_DEPTH_GROUPS 24
#define FIRST_LISTS_GROUPS 2

void
shortlist_arguments(Shortlist *list, FunctionCallInfo fcinfo, int argument)
{
	int			per_group;

	memset(list, 0, sizeof(Shortlist));
	list->context = CurrentMemoryContext;
	require_argument(fcinfo, argument, "diversity");
	require_argument(fcinfo, argument + 2, "per_group");
	list->diversity = PG_GETARG_FLOAT8(argument);
	if (!(list->diversity >= 0 && list->diversity <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("diversity must be between 0 and 1, not %g",
						list->diversity),
				 errhint("0 orders by scores alone, 1 by how little items are alike.")));
	if (!PG_ARGISNULL(argument + 1))
		list->groups = text_to_cstring(PG_GETARG_TEXT_PP(argument + 1));
	per_group = PG_GETARG_INT32(argument + 2);
	if (per_group < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("per_group must not be %d", per_group),
				 errhint("It is the number of items of a group that a list may have, at least 1.")));
	list->per_group = per_group;
}

/* Takes note of an item's group, if it is one that has been looked for. */
static void
take_group(Datum item, Datum value, Form_pg_attribute column, void *arg)
{
	Shortlist  *list = arg;
	uint32		place;
	uint32		kind;

	if (!idmap_find(list->items, item, &place))
		return;
	if (list->kinds == NULL)
	{
		if (!id_type_init(&list->kind_type, column->atttypid, column->atttypmod,
						  column->attcollation, list->context))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("groups cannot be of type %s",
							format_type_be(column->atttypid)),
					 errhint("Give them as a type with a hash operator class: cast them, to text for example.")));
		list->kinds = idmap_create(list->context, &list->kind_type);
	}
	else if (list->kind_type.type != column->atttypid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("the groups have changed while they were read")));
	kind = idmap_add(list->kinds, value);
	if (list->item_groups[place] != ALS_NO_GROUP &&
		list->item_groups[place] != kind)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("item %s is in more than one group",
						id_to_text(idmap_type(list->items), item)),
				 errhint("Give each item one group, with DISTINCT ON or min() for example.")));
	list->item_groups[place] = kind;
}

/* Makes an item one that is looked for, in no group yet; returns its place. */
static uint32
look_for(Shortlist *list, Datum item)
{
	uint32		known = idmap_size(list->items);
	uint32		place = idmap_add(list->items, item);

	if (place < known)
		return place;
	if (place == list->capacity)
	{
		list->capacity = Max(2 * list->capacity, FIRST_DEPTH);
		if (list->item_groups == NULL)
			list->item_groups =
				MemoryContextAlloc(list->context,
								   list->capacity * sizeof(uint32));
		else
			list->item_groups =
				repalloc_huge(list->item_groups,
							  (size_t) list->capacity * sizeof(uint32));
	}
	list->item_groups[place] = ALS_NO_GROUP;
	return place;
}

/* Takes note of the group of whatever item it is. */
static void
take_any_group(Datum item, Datum value, Form_pg_attribute column, void *arg)
{
	look_for(arg, item);
	take_group(item, value, column, arg);
}

void
shortlist_read_groups(Shortlist *list, ModelCache *cache)
{
	list->items = idmap_create(list->context, &cache->sides[ALS_ITEMS].type);
	item_values_read(cache, "groups", list->groups, "", NULL, take_any_group,
					 list);
}

/* Reads the groups of those ranked that have not been looked for. */
static void
read_groups(Shortlist *list, ModelCache *cache, const ScoredRows *ranked)
{
	const IdType *type = &cache->sides[ALS_ITEMS].type;
	IdMap	   *wanted = idmap_create(CurrentMemoryContext, type);
	uint32		known;

	if (list->items == NULL)
		list->items = idmap_create(list->context, type);
	known = idmap_size(list->items);
	for (uint32 i = 0; i < ranked->size; i++)
		if (look_for(list, ranked->items[i].id) >= known)
			idmap_add(wanted, ranked->items[i].id);
	if (idmap_size(wanted) == 0)
		return;
	item_values_read(cache, "groups", list->groups, "", wanted, take_group,
					 list);
}

uint32
shortlist_group(const Shortlist *list, Datum item)
{
	uint32		place;

	return idmap_find(list->items, item, &place) ? list->item_groups[place] :
		ALS_NO_GROUP;
}

/* The groups of those ranked. */
static uint32 *
groups_of(const Shortlist *list, const ScoredRows *ranked)
{
	uint32	   *groups = MemoryContextAllocHuge(CurrentMemoryContext,
												Max(ranked->size, 1) *
												sizeof(uint32));

	for (uint32 i = 0; i < ranked->size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		groups[i] = shortlist_group(list, ranked->items[i].id);
	}
	return groups;
}

/* Those ranked, and where to look for the factors of one */
typedef struct RankedRows
{
	ModelCache *cache;
	AlsSide		side;
	const ScoredRows *ranked;
} RankedRows;

/* Reads the factors of one of those ranked. */
static const float *
fetch_row(size_t place, void *arg)
{
	RankedRows *rows = arg;

	CHECK_FOR_INTERRUPTS();
	return cache_lookup(rows->cache, rows->side, rows->ranked->items[place].id);
}

/* Where the factors of those ranked are in the image, if there is one. */
static const float **
rows_of(const RankedRows *rows)
{
	const SideCache *side = &rows->cache->sides[rows->side];
	uint32		size = rows->ranked->size;
	const float **places = MemoryContextAllocHuge(CurrentMemoryContext,
												  Max(size, 1) * sizeof(float *));

	for (uint32 i = 0; i < size; i++)
	{
		const ScoredItem *item = &rows->ranked->items[i];
		uint32		row = item->row;

		CHECK_FOR_INTERRUPTS();
		if (side->image != NULL &&
			(row != NO_ROW ||
			 image_find(side->image, &side->type, item->id, &row)))
			places[i] = image_rows(side->image) +
				(size_t) row * rows->cache->stride;
		else
			places[i] = NULL;
	}
	return places;
}

/* The scores of those ranked. */
static float *
scores_of(const ScoredRows *ranked)
{
	float	   *scores = MemoryContextAllocHuge(CurrentMemoryContext,
												Max(ranked->size, 1) *
												sizeof(float));

	for (uint32 i = 0; i < ranked->size; i++)
		scores[i] = ranked->items[i].score;
	return scores;
}

uint32
shortlist_rerank(AlsShortlist *shortlist, const AlsKernels *kernels, uint32 k,
				 uint32 *chosen, double *share)
{
	if (shortlist->diversity > 0)
		shortlist->copies = Min(k, (size_t) work_mem * 1024 /
								(shortlist->stride * sizeof(float)));
	return als_rerank(shortlist, kernels, poll_interrupts, k, chosen, share,
					  allocate_aligned(CurrentMemoryContext,
									   als_rerank_workspace(shortlist, k)));
}

/*
 * As much of the list as those ranked tell; how much is in result->size.  No
 * others have a score above the limit, which is -Infinity if there are none.
 * *share is that of als_rerank.
 */
static void
choose(Shortlist *list, const SideSearch *search, const ScoredRows *ranked,
	   float limit, uint32 k, ScoredRows *result, double *share)
{
	RankedRows	rows = {search->cache, search->side, ranked};
	AlsShortlist shortlist = {
		.size = ranked->size,
		.complete = isinf(limit),
		.limit = limit,
		.scores = scores_of(ranked),
		.per_group = list->per_group,
		.diversity = list->diversity,
		.stride = search->cache->stride,
		.factors = search->cache->run.factors,
		.fetch = fetch_row,
		.fetch_arg = &rows
	};
	uint32		size = Min(k, ranked->size);
	uint32	   *chosen = MemoryContextAllocHuge(CurrentMemoryContext,
												Max(size, 1) * sizeof(uint32));

	if (list->groups != NULL)
	{
		shortlist.groups = groups_of(list, ranked);
		shortlist.ngroups = list->kinds == NULL ? 0 : idmap_size(list->kinds);
	}
	if (list->diversity > 0)
		shortlist.rows = rows_of(&rows);
	result->size = shortlist_rerank(&shortlist, search->kernels, size, chosen,
									share);
	result->items = MemoryContextAllocHuge(CurrentMemoryContext,
										   Max(size, 1) * sizeof(ScoredItem));
	for (uint32 i = 0; i < result->size; i++)
		result->items[i] = ranked->items[chosen[i]];
	if (size < k)
		*share = -INFINITY;
}

/*
 * The score that an item needs to be worth ranking, if the k-th of the list has
 * such a share of its own left; a little less.
 */
static float
least_score(double diversity, double share)
{
	double		score = share / (1 - diversity);

	return isfinite(score) && fabs(score) < FLT_MAX ?
		nextafterf((float) score, -INFINITY) : -INFINITY;
}

void
ranking_depth_begin(RankingDepth *depth, uint32 k, uint64 all, float min_score)
{
	depth->rows = Min(Max((uint64) k * FIRST_LISTS, FIRST_DEPTH), PG_INT32_MAX);
	depth->all = all;
	depth->asked = depth->min_score = min_score;
}

void
ranking_depth_deepen(RankingDepth *depth, double diversity, double share)
{
	depth->rows = Min(depth->rows * DEEPER, PG_INT32_MAX);
	if (diversity > 0)
		depth->min_score = Max(depth->asked, least_score(diversity, share));
}

float
ranking_depth_limit(const RankingDepth *depth, uint64 size, float last)
{
	if (size == depth->rows && depth->rows < depth->all)
		return last;
	return depth->min_score > depth->asked ? depth->min_score : -INFINITY;
}

void
shortlist_choose(Shortlist *list, SideSearch *search, uint32 k, Ranker rank,
				 ScoredRows *result)
{
	float		min_score = search->min_score;
	RankingDepth depth;
	MemoryContext context;
	MemoryContext old;

	if (k == 0 || (list->groups == NULL && list->diversity == 0))
	{
		rank(search, k, result);
		return;
	}
	/* the last of them stays, with the ids of the result */
	context = AllocSetContextCreate(CurrentMemoryContext, "als shortlist",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	ranking_depth_begin(&depth, k, cache_rows_limit(search->cache, search->side),
						min_score);
	if (list->diversity == 0)
		depth.rows = Min(Max((uint64) k * FIRST_LISTS_GROUPS, FIRST_DEPTH_GROUPS),
						 PG_INT32_MAX);
	for (;;)
	{
		ScoredRows	ranked = {0};
		float		limit;
		double		share;

		search->min_score = depth.min_score;
		rank(search, (uint32) depth.rows, &ranked);
		limit = ranking_depth_limit(&depth, ranked.size, ranked.size == 0 ? 0 :
									ranked.items[ranked.size - 1].score);
		if (list->groups != NULL)
			read_groups(list, search->cache, &ranked);
		if (cache_replaced(search->cache))
			break;
		choose(list, search, &ranked, limit, k, result, &share);
		if (result->size == k || isinf(limit))
			break;
		ranking_depth_deepen(&depth, list->diversity, share);
		MemoryContextReset(context);
	}
	search->min_score = min_score;
	MemoryContextSwitchTo(old);
}
