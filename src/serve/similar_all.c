/*
 * similar_all.c
 *	  als_similar_items_all: the nearest neighbours of all items, or of many.
 *
 * What als_similar_items returns for each of them, by the search of
 * als_recommend_all, in which the items are the users as well.
 */
#include "compat.h"

#include "access/xact.h"
#include "common/arena.h"
#include "common/arguments.h"
#include "common/id_conversion.h"
#include "common/parallel.h"
#include "common/settings.h"
#include "model/model_cache.h"
#include "ratings/ratings.h"
#include "serve/batch_topk.h"
#include "serve/similar.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(als_similar_items_all);
PG_FUNCTION_INFO_V1(als_similar_items_all_as);

/* The arguments' places, or behind item_type one further to the right */
enum
{
	ARG_MODEL, ARG_K, ARG_ITEMS, ARG_METRIC, ARG_EXCLUDE, ARG_CANDIDATES,
	ARG_WORKERS, ARG_MIN_SCORE
};

/* A call in the making */
typedef struct Neighbours
{
	ModelCache *cache;
	IdType		own;			/* of the model's ids; the cache may go */
	IdType		type;			/* that was asked for */
	IdConversion conversion;
	BatchTopK	layout;			/* what the arguments say of it */
	int			workers;		/* -1: as many as pay */
	IdMap	   *wanted;			/* whose neighbours; NULL: all */
	IdMap	   *excluded;		/* NULL: none */
	IdMap	   *candidates;		/* NULL: all */

	IdMap	   *users;			/* items whose neighbours are sought */
	IdMap	   *items;			/* that may be neighbours */
	uint32	   *places;			/* [items] in the order of ids: their rows */
	Arena		arena;
	BatchTopK  *job;
} Neighbours;

/* A set of items that an argument is; NULL if that is null. */
static IdMap *
items_argument(FunctionCallInfo fcinfo, int argument, const char *name,
			   const IdType *type)
{
	IdMap	   *ids;

	if (PG_ARGISNULL(argument))
		return NULL;
	ids = idmap_create(CurrentMemoryContext, type);
	add_ids_argument(fcinfo, argument, name, side_names[ALS_ITEMS], ids);
	return ids;
}

/* Reads the arguments; first is the place of the model among them. */
static void
read_arguments(Neighbours *call, FunctionCallInfo fcinfo, int first,
			   TupleDesc row_type)
{
	const IdType *own;

	require_arguments(fcinfo, first + ARG_MIN_SCORE + 1);
	require_argument(fcinfo, first + ARG_MODEL, "model");
	require_argument(fcinfo, first + ARG_K, "k");
	require_argument(fcinfo, first + ARG_METRIC, "metric");
	call->layout.k = k_argument(fcinfo, first + ARG_K);
	call->layout.similar = true;
	call->layout.cosine =
		is_cosine(text_to_cstring(PG_GETARG_TEXT_PP(first + ARG_METRIC)));
	call->layout.min_score = min_score_argument(fcinfo, first + ARG_MIN_SCORE);
	call->workers = workers_argument(fcinfo, first + ARG_WORKERS);

	call->cache = cache_open(PG_GETARG_OID(first + ARG_MODEL));
	own = &call->cache->sides[ALS_ITEMS].type;
	id_type_init(&call->own, own->type, own->typmod, own->collation,
				 CurrentMemoryContext);
	choose_id_type(&call->conversion, &call->type, call->cache->model, ALS_ITEMS,
				   own->type, row_type, "als_similar_items_all_as");
	call->wanted = items_argument(fcinfo, first + ARG_ITEMS, "items", &call->own);
	call->excluded = items_argument(fcinfo, first + ARG_EXCLUDE, "exclude",
									&call->own);
	call->candidates = items_argument(fcinfo, first + ARG_CANDIDATES,
									  "candidates", &call->own);
}

/* Collects the items whose neighbours are sought, and those that may be. */
static void
add_item(Datum id, void *arg)
{
	Neighbours *call = arg;
	uint32		index;

	if (call->wanted == NULL || idmap_find(call->wanted, id, &index))
		idmap_add(call->users, id);
	if ((call->excluded == NULL || !idmap_find(call->excluded, id, &index)) &&
		(call->candidates == NULL || idmap_find(call->candidates, id, &index)))
		idmap_add(call->items, id);
}

/* Copies the factors of an item to where it is sought, and is found. */
static bool
place_item(Datum id, const float *row, void *arg)
{
	Neighbours *call = arg;
	BatchTopK  *job = call->job;
	size_t		bytes = call->cache->run.factors * sizeof(float);
	uint32		item = NOT_THERE;
	uint32		user;

	if (idmap_find(call->items, id, &item))
	{
		float	   *copy;

		item = call->places[item];
		copy = batch_topk_items(job) + (size_t) item * job->stride;
		memcpy(copy, row, bytes);
		batch_topk_squares(job)[item] =
			chosen_kernels()->dot(job->stride, copy, copy);
	}
	else
		item = NOT_THERE;
	if (idmap_find(call->users, id, &user))
	{
		memcpy(batch_topk_users(job) + (size_t) user * job->stride, row, bytes);
		batch_topk_own_rows(job)[user] = item;
	}
	return true;
}

/* The index of the items, or of what their cosines are products of */
static void
build_index(const BatchTopK *job)
{
	AlsIndex   *index = batch_topk_at(job, job->index_offset);
	const float *items = batch_topk_items(job);
	size_t		stride = job->stride;
	float	   *units;

	if (!job->cosine)
	{
		als_index_build(job->stride, job->nitems, items, index, poll_interrupts);
		return;
	}
	units = allocate_aligned(CurrentMemoryContext,
							 job->nitems * stride * sizeof(float));
	for (uint32 i = 0; i < job->nitems; i++)
	{
		CHECK_FOR_INTERRUPTS();
		batch_topk_unit_row(job->stride, items + i * stride,
							batch_topk_squares(job)[i], units + i * stride);
	}
	als_index_build(job->stride, job->nitems, units, index, poll_interrupts);
}

/* Gathers all that the rounds need; false if there is nothing to be found. */
static bool
gather(Neighbours *call, int *nworkers)
{
	size_t		budget = (size_t) maintenance_work_mem * 1024 / 2;
	BatchTopK  *layout = &call->layout;
	Snapshot	snapshot = cache_snapshot(call->cache);
	MemoryContext context;
	MemoryContext old;
	Datum	   *ids;

	call->users = idmap_create(CurrentMemoryContext, &call->own);
	call->items = idmap_create(CurrentMemoryContext, &call->own);
	cache_scan_ids(call->cache, ALS_ITEMS, snapshot, add_item, call);
	layout->stride = call->cache->stride;
	layout->nusers = idmap_size(call->users);
	layout->nitems = idmap_size(call->items);
	layout->k = Min(layout->k, layout->nitems);
	if (layout->k == 0 || layout->nusers == 0)
	{
		UnregisterSnapshot(snapshot);
		return false;
	}
	*nworkers = parallel_workers(call->workers, (double) layout->nusers *
								 layout->nitems * layout->stride / sizeof(float));

	ids = MemoryContextAllocHuge(CurrentMemoryContext,
								 layout->nitems * sizeof(Datum));
	call->places = MemoryContextAllocHuge(CurrentMemoryContext,
										  layout->nitems * sizeof(uint32));
	for (uint32 i = 0; i < layout->nitems; i++)
		ids[i] = idmap_id(call->items, i);
	id_places(&call->own, ids, layout->nitems, call->places);
	pfree(ids);

	call->arena = batch_topk_begin(layout, budget, *nworkers > 0);
	call->job = (BatchTopK *) call->arena.address;
	memset(batch_topk_users(call->job), 0,
		   (size_t) layout->nusers * layout->stride * sizeof(float));
	memset(batch_topk_items(call->job), 0,
		   (size_t) layout->nitems * layout->stride * sizeof(float));
	cache_scan_snapshot(call->cache, ALS_ITEMS, snapshot, place_item, call);
	UnregisterSnapshot(snapshot);

	context = AllocSetContextCreate(CurrentMemoryContext, "als unit rows",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	build_index(call->job);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return true;
}

/* Computes the result in the current memory context; first is as above. */
static void
similar_all(FunctionCallInfo fcinfo, int first, Tuplestorestate *store,
			TupleDesc row_type)
{
	Neighbours	call;
	BatchTopKIds ids = {0};
	instr_time	start;
	int			nworkers;
	int			times = 0;

	stats_begin(&start);
	PreventCommandIfParallelMode("als_similar_items_all()");
	for (;;)
	{
		memset(&call, 0, sizeof(call));
		read_arguments(&call, fcinfo, first, row_type);
		if (!cache_replaced(call.cache))
			break;
		cache_start_over(call.cache, &times);
	}
	if (gather(&call, &nworkers))
	{
		ids.users = call.users;
		ids.items = call.items;
		ids.places = call.places;
		ids.user_conversion = ids.item_conversion = &call.conversion;
		batch_topk_run_all(&call.arena, NULL, nworkers, &ids, store, row_type);
		arena_free(&call.arena);
	}
	stats_end(call.cache->model, &call.cache->counts, start,
			  tuplestore_tuple_count(store));
}

/* Returns all rows at once. */
static Datum
return_all(FunctionCallInfo fcinfo, int first)
{
	MemoryContext old = CurrentMemoryContext;
	TupleDesc	row_type;
	Tuplestorestate *store = begin_rows(fcinfo, &row_type);
	MemoryContext context = AllocSetContextCreate(old, "als neighbours of all",
												  ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(context);
	similar_all(fcinfo, first, store, row_type);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	PG_RETURN_NULL();
}

/* als_similar_items_all(model, k, items, metric, exclude, ...) */
Datum
als_similar_items_all(PG_FUNCTION_ARGS)
{
	return return_all(fcinfo, 0);
}

/* als_similar_items_all_as(item_type, model, k, items, metric, ...) */
Datum
als_similar_items_all_as(PG_FUNCTION_ARGS)
{
	return return_all(fcinfo, 1);
}
