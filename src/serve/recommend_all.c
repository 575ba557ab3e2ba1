/*
 * recommend_all.c
 *	  als_recommend_all: the best items for all users, or for many; and
 *	  als_audience_all, the best users for all items.
 *
 * That is the same with the sides swapped: what follows, and batch_topk.c, call
 * users those who are asked for, and items what is found for them.
 *
 * First everything is gathered: what users have seen, which is read and sorted
 * as the ratings of a training are, the items that the filters let through, and
 * the users' factors.  Then come rounds of as many users as
 * maintenance_work_mem has room for results of: batch_topk.c finds them, and they
 * go to the tuplestore that is returned.
 */
#include "compat.h"

#include "access/xact.h"
#include "common/arguments.h"
#include "common/id_conversion.h"
#include "common/parallel.h"
#include "common/settings.h"
#include "common/side.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "model/model_cache.h"
#include "ratings/csr_blocks.h"
#include "ratings/source.h"
#include "ratings/source_ratings.h"
#include "serve/batch_lists.h"
#include "serve/batch_topk.h"
#include "serve/live_ratings.h"
#include "serve/scored_rows.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(als_recommend_all);
PG_FUNCTION_INFO_V1(als_recommend_all_as);
PG_FUNCTION_INFO_V1(als_audience_all);
PG_FUNCTION_INFO_V1(als_audience_all_as);

/* The arguments' places, or behind the two types two further to the right */
enum
{
	ARG_MODEL, ARG_K, ARG_USERS, ARG_EXCLUDE_SEEN, ARG_EXCLUDE, ARG_CANDIDATES,
	ARG_WORKERS, ARG_MIN_SCORE,
	/* those of als_recommend_all alone */
	ARG_DIVERSITY, ARG_GROUPS, ARG_PER_GROUP, ARG_BOOST, ARG_BOOST_BY, ARG_RUN
};

/* A side's ids as the result has them */
typedef struct ResultIds
{
	IdType		own;			/* of the model; the cache may go */
	IdType		type;			/* that was asked for */
	IdConversion conversion;	/* from one to the other */
} ResultIds;

/* A call in the making */
typedef struct Recommendations
{
	const char *function;
	AlsSide		user_side;		/* ALS_ITEMS for an audience */
	AlsSide		item_side;		/* the other one */
	Oid			model;
	int32		run;			/* 0: the one that serves */
	ModelCache *cache;			/* while gathering */
	ResultIds	sides[2];		/* by AlsSide */
	uint32		k;
	float		min_score;
	int			workers;		/* -1: as many as pay */
	IdMap	   *wanted;			/* users; NULL: all */
	IdMap	   *excluded;		/* items; NULL: none */
	IdMap	   *candidates;		/* items; NULL: all */
	Shortlist	list;			/* of items: how it is chosen */
	Boosts	   *boosts;			/* of items; NULL: none */

	IdMap	   *users;			/* in the order of their factors */
	float	   *few;			/* [wanted x stride] those of users, if wanted
								 * are few; else NULL */
	IdMap	   *items;			/* that may be recommended */
	uint32	   *places;			/* [items] in the order of ids: their rows */
	Ratings    *ratings;		/* what users have seen; NULL: all the same */
	Arena		seen;			/* the same, sorted */
	Arena		arena;
	BatchTopK  *job;
} Recommendations;

/* Chooses the type of a column of ids, as the model's or without loss. */
static void
choose_type(Recommendations *call, AlsSide side, Oid wanted)
{
	const IdType *own = &call->cache->sides[side].type;
	const IdType *first = &call->cache->sides[call->user_side].type;
	const IdType *second = &call->cache->sides[call->item_side].type;
	const char *what = side_names[side];
	ResultIds  *ids = &call->sides[side];

	id_type_init(&ids->own, own->type, own->typmod, own->collation,
				 CurrentMemoryContext);
	if (!id_result_init(&ids->conversion, &ids->type, own->type, wanted, what,
						CurrentMemoryContext))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s ids of model \"%s\" are of type %s, not %s",
						what, get_rel_name(call->model),
						format_type_be(own->type), format_type_be(wanted)),
				 errhint("Name the types in the call: %s_as(NULL::%s, NULL::%s, '%s', ...).",
						 call->function, format_type_be(first->type),
						 format_type_be(second->type),
						 get_rel_name(call->model))));
}

/* A set of ids that an argument is; NULL if that is null. */
static IdMap *
ids_argument(FunctionCallInfo fcinfo, int argument, const char *name,
			 const char *what, const IdType *type)
{
	IdMap	   *ids;

	if (PG_ARGISNULL(argument))
		return NULL;
	ids = idmap_create(CurrentMemoryContext, type);
	add_ids_argument(fcinfo, argument, name, what, ids);
	return ids;
}

/* Reads the arguments; first is the place of the model among them. */
static void
read_all_arguments(Recommendations *call, FunctionCallInfo fcinfo, int first,
				   TupleDesc row_type)
{
	bool		lists = call->user_side == ALS_USERS;

	require_arguments(fcinfo, first + (lists ? ARG_RUN : ARG_MIN_SCORE) + 1);
	require_argument(fcinfo, first + ARG_MODEL, "model");
	require_argument(fcinfo, first + ARG_K, "k");
	require_argument(fcinfo, first + ARG_EXCLUDE_SEEN, "exclude_seen");
	call->k = k_argument(fcinfo, first + ARG_K);
	call->workers = workers_argument(fcinfo, first + ARG_WORKERS);
	call->min_score = min_score_argument(fcinfo, first + ARG_MIN_SCORE);

	call->model = PG_GETARG_OID(first + ARG_MODEL);
	if (lists)
		call->run = run_argument(fcinfo, first + ARG_RUN);
	call->cache = cache_open_run(call->model, call->run);
	choose_type(call, call->user_side, TupleDescAttr(row_type, 0)->atttypid);
	choose_type(call, call->item_side, TupleDescAttr(row_type, 1)->atttypid);
	call->wanted = ids_argument(fcinfo, first + ARG_USERS,
								call->user_side == ALS_USERS ? "users" : "items",
								side_names[call->user_side],
								&call->sides[call->user_side].own);
	call->excluded = ids_argument(fcinfo, first + ARG_EXCLUDE, "exclude",
								  side_names[call->item_side],
								  &call->sides[call->item_side].own);
	call->candidates = ids_argument(fcinfo, first + ARG_CANDIDATES,
									"candidates", side_names[call->item_side],
									&call->sides[call->item_side].own);
	if (!lists)
		return;
	shortlist_arguments(&call->list, fcinfo, first + ARG_DIVERSITY);
	if (call->list.groups != NULL && call->k > 0)
		shortlist_read_groups(&call->list, call->cache);
	call->boosts = boosts_argument(fcinfo, first + ARG_BOOST, call->cache);
}

/*
 * Reads what users have seen from the model's ratings, as als_recommend does:
 * rows without a user or an item say nothing.
 */
static void
read_seen_ratings(Recommendations *call)
{
	const ModelRun *run = &call->cache->run;
	size_t		memory = blocks_triplet_memory((size_t) maintenance_work_mem *
											   1024 / 2, false);
	SourceReader reader = {call->function,
	get_rel_name(call->cache->model), "exclude_seen => false"};
	RatingSource source = {
		.source = run->source,
		.user_column = run->user_column,
		.item_column = run->item_column
	};
	const char *columns[2] = {quote_identifier(run->user_column),
	quote_identifier(run->item_column)};
	StringInfoData condition;
	char	   *canonical;

	initStringInfo(&condition);
	appendStringInfo(&condition, "%s IS DISTINCT FROM NULL AND %s IS DISTINCT FROM NULL",
					 columns[ALS_USERS], columns[ALS_ITEMS]);
	if (call->wanted != NULL)
		live_ratings_only(&condition, columns[call->user_side], call->wanted);
	source.condition = condition.data;
	source.reader = &reader;
	call->ratings = source_read(CurrentMemoryContext, &source, memory,
								call->workers, &canonical);
	if (ratings_count(call->ratings) == 0)
		call->ratings = NULL;	/* nor is there a file */
}

/* Collects the users who are asked for and known. */
static bool
add_user(Datum id, const float *row, void *arg)
{
	Recommendations *call = arg;
	uint32		index;

	if (cache_knows(call->cache, row) &&
		(call->wanted == NULL || idmap_find(call->wanted, id, &index)))
		idmap_add(call->users, id);
	return true;
}

/* The same where they are few, with their factors. */
static void
look_up_users(Recommendations *call)
{
	size_t		stride = call->cache->stride;

	call->few = MemoryContextAllocHuge(CurrentMemoryContext,
									   Max(idmap_size(call->wanted), 1) *
									   stride * sizeof(float));
	for (uint32 i = 0; i < idmap_size(call->wanted); i++)
	{
		Datum		id = idmap_id(call->wanted, i);
		const float *row = cache_lookup(call->cache, call->user_side, id);

		CHECK_FOR_INTERRUPTS();
		if (!cache_knows(call->cache, row))
			continue;
		/* before the id is hashed, by which the row may go */
		memcpy(call->few + idmap_size(call->users) * stride, row,
			   stride * sizeof(float));
		idmap_add(call->users, id);
	}
}

/* Collects the items that the filters let through. */
static void
add_candidate(Datum id, void *arg)
{
	Recommendations *call = arg;
	uint32		index;

	if ((call->excluded == NULL || !idmap_find(call->excluded, id, &index)) &&
		(call->candidates == NULL || idmap_find(call->candidates, id, &index)))
		idmap_add(call->items, id);
}

/* Copies a row of factors to its place among rows. */
static void
copy_row(const BatchTopK *job, float *rows, uint32 place, const float *row)
{
	memcpy(rows + (size_t) place * job->stride, row,
		   job->stride * sizeof(float));
}

/* Copies the factors of a user who is asked for. */
static bool
place_user(Datum id, const float *row, void *arg)
{
	Recommendations *call = arg;
	uint32		index;

	if (idmap_find(call->users, id, &index))
		copy_row(call->job, batch_topk_users(call->job), index, row);
	return true;
}

/* Copies the factors of an item that may be recommended. */
static bool
place_item(Datum id, const float *row, void *arg)
{
	Recommendations *call = arg;
	uint32		index;

	if (idmap_find(call->items, id, &index))
		copy_row(call->job, batch_topk_items(call->job),
				 call->places[index], row);
	return true;
}

/* Finds out where items and users are in the order of ids and among the seen. */
static void
place_items(Recommendations *call)
{
	uint32		size = idmap_size(call->items);
	Datum	   *ids = MemoryContextAllocHuge(CurrentMemoryContext,
											 Max(size, 1) * sizeof(Datum));

	call->places = MemoryContextAllocHuge(CurrentMemoryContext,
										  Max(size, 1) * sizeof(uint32));
	for (uint32 i = 0; i < size; i++)
		ids[i] = idmap_id(call->items, i);
	id_places(idmap_type(call->items), ids, size, call->places);
	pfree(ids);
}

/* Fills in what users have seen: rows and columns are those of call->seen. */
static void
place_seen(Recommendations *call, uint32 nseen_users, uint32 *seen_users,
		   uint32 *seen_items)
{
	BatchTopK  *job = call->job;
	uint32	   *rows = seen_rows(job);
	uint32	   *items = seen_item_rows(job);

	for (uint32 u = 0; u < job->nusers; u++)
		rows[u] = NOT_THERE;
	for (uint32 row = 0; row < nseen_users; row++)
		if (seen_users[row] != NOT_THERE)
			rows[seen_users[row]] = row;
	for (uint32 column = 0; column < job->seen_items; column++)
		items[column] = seen_items[column] == NOT_THERE ? NOT_THERE :
			call->places[seen_items[column]];
}

/*
 * Gathers all that the rounds need; false if there is nothing to recommend or
 * nobody to recommend it to.
 */
static bool
gather(Recommendations *call, int *nworkers)
{
	size_t		budget = (size_t) maintenance_work_mem * 1024 / 2;
	BatchTopK	layout = {0};
	uint32		nseen_users = 0;
	uint32	   *seen_users = NULL;
	uint32	   *seen_items = NULL;

	/* one for ids and factors: others may add rows, or delete them */
	Snapshot	snapshot = cache_snapshot(call->cache);

	call->users = idmap_create(CurrentMemoryContext,
							   &call->sides[call->user_side].own);
	call->items = idmap_create(CurrentMemoryContext,
							   &call->sides[call->item_side].own);
	/* looking one up costs as much as reading a dozen in sequence */
	if (call->wanted != NULL && idmap_size(call->wanted) <=
		cache_rows_limit(call->cache, call->user_side) / 16)
		look_up_users(call);
	else
		cache_scan_snapshot(call->cache, call->user_side, snapshot, add_user,
							call);
	cache_scan_ids(call->cache, call->item_side, snapshot, add_candidate, call);
	layout.stride = call->cache->stride;
	layout.mean = call->cache->run.mean_rating;
	layout.min_score = call->min_score;
	layout.nusers = idmap_size(call->users);
	layout.nitems = idmap_size(call->items);
	layout.k = Min(call->k, layout.nitems);
	layout.seen_side = call->user_side;
	layout.factors = call->cache->run.factors;
	batch_lists_lay_out(&layout, &call->list, call->boosts, call->items);
	if (layout.k == 0 || layout.nusers == 0)
	{
		UnregisterSnapshot(snapshot);
		return false;
	}
	*nworkers = parallel_workers(call->workers, (double) layout.nusers *
								 layout.nitems * layout.stride / sizeof(float));
	place_items(call);

	if (call->ratings != NULL)
	{
		/* ids first, since sorting uses the ratings up */
		seen_users = ratings_map_ids(call->ratings, call->user_side,
									 call->users, false);
		seen_items = ratings_map_ids(call->ratings, call->item_side,
									 call->items, false);
		nseen_users = ratings_ids(call->ratings, call->user_side)->size;
		layout.seen_items = ratings_ids(call->ratings, call->item_side)->size;
		call->seen = blocks_build(call->ratings, ALS_IMPLICIT, budget,
								  *nworkers);
	}
	call->arena = batch_topk_begin(&layout, budget / 2, *nworkers > 0);
	call->job = (BatchTopK *) call->arena.address;
	if (call->ratings != NULL)
		place_seen(call, nseen_users, seen_users, seen_items);
	batch_lists_place(call->job, &call->list, call->boosts, call->items,
					  call->places);
	if (call->few != NULL)
		memcpy(batch_topk_users(call->job), call->few,
			   (size_t) layout.nusers * layout.stride * sizeof(float));
	else
		cache_scan_snapshot(call->cache, call->user_side, snapshot, place_user,
							call);
	cache_scan_snapshot(call->cache, call->item_side, snapshot, place_item, call);
	UnregisterSnapshot(snapshot);
	als_index_build(layout.stride, layout.nitems,
					batch_topk_items(call->job),
					batch_topk_at(call->job, call->job->index_offset),
					poll_interrupts);
	return true;
}

/* Computes all rounds. */
static void
run_rounds(Recommendations *call, int nworkers, Tuplestorestate *store,
		   TupleDesc row_type)
{
	const BatchTopKIds ids = {
		.users = call->users,
		.items = call->items,
		.places = call->places,
		.user_conversion = &call->sides[call->user_side].conversion,
		.item_conversion = &call->sides[call->item_side].conversion,
	};

	batch_topk_run_all(&call->arena, call->ratings ? &call->seen : NULL,
					   nworkers, &ids, store, row_type);
}

/* Computes the result in the current memory context; first is as above. */
static void
recommend_all(FunctionCallInfo fcinfo, int first, AlsSide user_side,
			  Tuplestorestate *store, TupleDesc row_type)
{
	Recommendations call;
	const char *function = user_side == ALS_USERS ? "als_recommend_all" :
		"als_audience_all";
	instr_time	start;
	int			nworkers;
	int			times = 0;

	stats_begin(&start);
	PreventCommandIfParallelMode(psprintf("%s()", function));
	for (;;)
	{
		memset(&call, 0, sizeof(call));
		call.function = function;
		call.user_side = user_side;
		call.item_side = other_side(user_side);
		read_all_arguments(&call, fcinfo, first, row_type);
		if (call.k == 0)
			return;
		if (PG_GETARG_BOOL(first + ARG_EXCLUDE_SEEN) &&
			call.cache->run.source != NULL)
			read_seen_ratings(&call);
		if (!cache_replaced(call.cache))
			break;
		/* with new types of ids, perhaps */
		if (call.ratings != NULL)
			ratings_close(call.ratings);
		cache_start_over(call.cache, &times);
	}
	call.cache = cache_open_run(call.model, call.run);
	if (gather(&call, &nworkers))
		run_rounds(&call, nworkers, store, row_type);
	arena_free(&call.arena);
	arena_free(&call.seen);
	if (call.ratings != NULL)
		ratings_close(call.ratings);
	stats_end(call.model, &call.cache->counts, start,
			  tuplestore_tuple_count(store));
}

/* Returns all rows at once. */
static Datum
return_all(FunctionCallInfo fcinfo, int first, AlsSide user_side)
{
	MemoryContext old = CurrentMemoryContext;
	TupleDesc	row_type;
	Tuplestorestate *store = begin_rows(fcinfo, &row_type);
	MemoryContext context = AllocSetContextCreate(old, "als recommending",
												  ALLOCSET_DEFAULT_SIZES);

	MemoryContextSwitchTo(context);
	recommend_all(fcinfo, first, user_side, store, row_type);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	PG_RETURN_NULL();
}

/* als_recommend_all(model, k, users, exclude_seen, exclude, ...) */
Datum
als_recommend_all(PG_FUNCTION_ARGS)
{
	return return_all(fcinfo, 0, ALS_USERS);
}

/* als_recommend_all_as(user_type, item_type, model, k, users, ...) */
Datum
als_recommend_all_as(PG_FUNCTION_ARGS)
{
	return return_all(fcinfo, 2, ALS_USERS);
}

/* als_audience_all(model, k, items, exclude_seen, exclude, ...) */
Datum
als_audience_all(PG_FUNCTION_ARGS)
{
	return return_all(fcinfo, 0, ALS_ITEMS);
}

/* als_audience_all_as(item_type, user_type, model, k, items, ...) */
Datum
als_audience_all_as(PG_FUNCTION_ARGS)
{
	return return_all(fcinfo, 2, ALS_ITEMS);
}
