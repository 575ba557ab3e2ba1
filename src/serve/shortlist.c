/*
 * shortlist.c
 *	  A list of items chosen from the ranking by more than scores.
 *
 * By groups alone the list is that of all eligible items, of which the first few of
 * the ranking mostly tell it all.  A diverse one is chosen from so many of the best,
 * as Carbonell and Goldstein choose from what is retrieved: an item that is of no
 * use to the user is not the better for being like nothing else.  If groups leave
 * fewer than k of what has been ranked, more is.  So groups are read of a few items
 * only.
 */
#include "compat.h"

#include "common/arena.h"
#include "common/arguments.h"
#include "common/settings.h"
#include "miscadmin.h"
#include "serve/item_values.h"
#include "serve/shortlist.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* A diverse list is chosen from so many times its size, but no fewer than these */
#define DIVERSE_LISTS 10
#define DIVERSE_DEPTH 100
/* The same by groups alone, to begin with */
#define GROUPED_LISTS 2
#define GROUPED_DEPTH 24
/* Of so many more of these groups are read, for each item that the list lacks */
#define MORE_GROUPS 2
/* How many times that is looked at if it does not do */
#define DEEPER 8

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
		list->capacity = Max(2 * list->capacity, GROUPED_DEPTH);
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
				 uint32 *chosen)
{
	if (shortlist->diversity > 0)
		shortlist->copies = Min(k, (size_t) work_mem * 1024 /
								(shortlist->stride * sizeof(float)));
	return als_rerank(shortlist, kernels, poll_interrupts, k, chosen,
					  allocate_aligned(CurrentMemoryContext,
									   als_rerank_workspace(shortlist, k)));
}

/* The list, chosen from those ranked. */
static void
choose(Shortlist *list, const SideSearch *search, const ScoredRows *ranked,
	   uint32 k, ScoredRows *result)
{
	RankedRows	rows = {search->cache, search->side, ranked};
	AlsShortlist shortlist = {
		.size = ranked->size,
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
	result->size = shortlist_rerank(&shortlist, search->kernels, size, chosen);
	result->items = MemoryContextAllocHuge(CurrentMemoryContext,
										   Max(size, 1) * sizeof(ScoredItem));
	for (uint32 i = 0; i < result->size; i++)
		result->items[i] = ranked->items[chosen[i]];
}

uint32
ranking_depth(uint32 k, double diversity)
{
	uint64		depth = diversity > 0 ?
		Max((uint64) k * DIVERSE_LISTS, DIVERSE_DEPTH) :
		Max((uint64) k * GROUPED_LISTS, GROUPED_DEPTH);

	return (uint32) Min(depth, PG_INT32_MAX);
}

uint32
ranking_deeper(uint32 depth)
{
	return (uint32) Min((uint64) depth * DEEPER, PG_INT32_MAX);
}

/*
 * The list, chosen from those ranked, by groups alone from as many as it takes, since
 * to find the group of an item costs much more than to rank it.  False if reading has
 * replaced the model.
 */
static bool
choose_few(Shortlist *list, const SideSearch *search, const ScoredRows *ranked,
		   uint32 k, ScoredRows *result)
{
	ScoredRows	few = *ranked;

	if (list->groups == NULL)
	{
		choose(list, search, ranked, k, result);
		return true;
	}
	if (list->diversity == 0)
		few.size = Min(ranked->size, k);
	for (;;)
	{
		read_groups(list, search->cache, &few);
		if (cache_replaced(search->cache))
			return false;
		choose(list, search, &few, k, result);
		if (result->size == k || few.size == ranked->size)
			return true;
		few.size = Min(ranked->size, (uint64) few.size +
					   MORE_GROUPS * (uint64) (k - result->size) + 1);
	}
}

void
shortlist_choose(Shortlist *list, SideSearch *search, uint32 k, Ranker rank,
				 ScoredRows *result)
{
	uint32		depth = ranking_depth(k, list->diversity);
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
	for (;;)
	{
		ScoredRows	ranked = {0};

		rank(search, depth, &ranked);
		if (!choose_few(list, search, &ranked, k, result) ||
			result->size == k || ranked.size < depth)
			break;
		depth = ranking_deeper(depth);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
}
