/*
 * collect.c
 *	  Rows of a source taken into ratings.
 *
 * One process takes rows from the executor as they come.  Several are those of
 * an aggregate, als_collect or als_collect_weighted, that the planner may run in
 * parallel, whatever the source is: each worker of its plan collects ids and triplets of its own, and
 * its partial aggregation ends with handing these over to the leader, in shared
 * memory.  Nothing of them goes through the tuples of the plan, which only have
 * to come.
 *
 * The aggregate's first argument is the key of the reading that it is for, by which
 * the leader and its workers know theirs.  It has a handle of shared memory and a
 * random number: a query of somebody else's finds nothing.
 */
#include "compat.h"

#include "access/parallel.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/progress.h"
#include "parser/parse_func.h"
#include "ratings/collect.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(als_collect_transfn);
PG_FUNCTION_INFO_V1(als_collect_combinefn);
PG_FUNCTION_INFO_V1(als_collect_finalfn);
PG_FUNCTION_INFO_V1(als_collect_serialfn);
PG_FUNCTION_INFO_V1(als_collect_deserialfn);

/* An id type as workers make it anew */
typedef struct SharedIdType
{
	Oid			type;
	int32		typmod;
	Oid			collation;
} SharedIdType;

/* What the processes of a reading share */
typedef struct SharedReading
{
	SharedRatings ratings;		/* has to come first */
	int64		key;			/* als_collect's argument */
	dsm_handle	held_out;		/* of those set aside, SharedRatings too */
	SharedIdType types[2];		/* by AlsSide */
	Oid			rating_type;	/* InvalidOid: there are no ratings */
	bool		weighted;
	NameData	columns[3];		/* of user, item, rating: for messages */
	double		fraction;		/* to set aside, below 0: nothing */
	int64		seed;
	pg_atomic_uint64 rows;		/* taken by all, now and then */
} SharedReading;

/* The arguments of als_collect_transfn */
enum
{
	ARG_STATE, ARG_KEY, ARG_USER, ARG_ITEM, ARG_RATING, ARG_WEIGHT
};

/* The readings of this process, as leader, the innermost first */
static Collector *readings = NULL;

/*
 * A cast in the query would cost as much as reading a row does, so that the usual
 * types are taken as they are.
 */
Oid
collect_rating_type(Oid type)
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

/* Is a row to be set aside? */
static bool
is_held_out(Collector *collector, Datum user, Datum item)
{
	MemoryContext old = MemoryContextSwitchTo(collector->row_context);
	bool		result = holdout_holds_out(collector->holdout, user, item);

	MemoryContextSwitchTo(old);
	MemoryContextReset(collector->row_context);
	return result;
}

/* Shows the rows that have been taken by now, by all processes. */
static void
show_rows(Collector *collector)
{
	uint64		rows = collector->rows;

	if (collector->shared != NULL)
		rows = pg_atomic_add_fetch_u64(&collector->shared->rows, PROGRESS_STEP);
	if (!IsParallelWorker())
	{
		progress_read(rows - collector->shown);
		collector->shown = rows;
	}
}

void
collect_row(Collector *collector, Datum user, bool user_null,
			Datum item, bool item_null, Datum rating, bool rating_null,
			Datum weight, bool weight_null)
{
	Ratings    *ratings = collector->ratings;
	double		value = 1;
	double		sure = 1;

	if (!OidIsValid(collector->rating_type))
		rating_null = false;
	else if (!rating_null)
		value = rating_value(collector->rating_type, rating);
	/* null ids are for ratings_add to reject */
	if (collector->held_out != NULL && !user_null && !item_null &&
		is_held_out(collector, user, item))
		ratings = collector->held_out;
	if (++collector->rows % PROGRESS_STEP == 0)
		show_rows(collector);
	if (collector->weighted)
		sure = weight_null ? get_float8_nan() : DatumGetFloat8(weight);
	if (sure != 0)
		ratings_add(ratings, user, user_null, item, item_null, value,
					rating_null, sure);
}

char *
collect_aggregate(bool weighted, Oid *aggregate)
{
	Oid			types[] = {INT8OID, ANYOID, ANYOID, ANYOID, FLOAT8OID};
	int			ntypes = weighted ? lengthof(types) : lengthof(types) - 1;
	char	   *function = weighted ? "als_collect_weighted" : "als_collect";
	Oid			schema = extension_schema();
	char	   *name;
	List	   *names;

	if (!OidIsValid(schema) || !may_use_schema(schema, GetUserId()))
		return NULL;
	name = get_namespace_name(schema);
	names = list_make2(makeString(name), makeString(function));
	*aggregate = LookupFuncName(names, ntypes, types, true);
	if (!OidIsValid(*aggregate) || !may_execute(*aggregate, GetUserId()) ||
		function_candidates(names, ntypes)->next != NULL)
		return NULL;
	return quote_qualified_identifier(name, function);
}

/* Notes an id type for workers. */
static void
share_type(SharedIdType *shared, const IdType *type)
{
	shared->type = type->type;
	shared->typmod = type->typmod;
	shared->collation = type->collation;
}

bool
collect_share(Collector *collector, const RatingSource *names,
			  const IdType *user_type, const IdType *item_type,
			  size_t memory, double fraction, int64 seed,
			  size_t held_out_memory)
{
	dsa_area   *area;
	Arena		arena = shared_ratings_create(sizeof(SharedReading),
											  collector->weighted, memory, &area);
	SharedReading *shared;
	uint32		chance;

	if (arena.segment == NULL)
		return false;
	shared = (SharedReading *) arena.address;
	if (collector->held_out != NULL)
	{
		dsa_area   *held_out_area;
		Arena		held_out = shared_ratings_create(sizeof(SharedRatings),
													 false, held_out_memory,
													 &held_out_area);

		if (held_out.segment == NULL)
		{
			dsa_detach(area);
			arena_free(&arena);
			return false;
		}
		ratings_join(collector->held_out, &held_out, held_out_area);
		shared->held_out = held_out.handle;
	}
	ratings_join(collector->ratings, &arena, area);
	share_type(&shared->types[ALS_USERS], user_type);
	share_type(&shared->types[ALS_ITEMS], item_type);
	shared->rating_type = collector->rating_type;
	shared->weighted = collector->weighted;
	namestrcpy(&shared->columns[0], names->user_column);
	namestrcpy(&shared->columns[1], names->item_column);
	namestrcpy(&shared->columns[2], names->rating_column ? names->rating_column : "");
	shared->fraction = fraction;
	shared->seed = seed;
	pg_atomic_init_u64(&shared->rows, 0);
	if (!pg_strong_random(&chance, sizeof(chance)))
		elog(ERROR, "could not generate random values");
	shared->key = (int64) ((uint64) chance << 32 | arena.handle);
	collector->shared = shared;
	return true;
}

int64
collect_begin(Collector *collector)
{
	collector->outer = readings;
	readings = collector;
	return collector->shared->key;
}

void
collect_end(Collector *collector)
{
	readings = collector->outer;
}

/* An id type that the leader has noted */
static void
take_type(IdType *type, const SharedIdType *shared)
{
	if (!id_type_init(type, shared->type, shared->typmod, shared->collation,
					  CurrentMemoryContext))
		elog(ERROR, "cache lookup failed for the hash of type %u", shared->type);
}

/* Begins a worker's part of ratings that it shares with the leader. */
static Ratings *
join_ratings(Arena *arena, const IdType types[2], const RatingSource *names,
			 bool weighted)
{
	Ratings    *ratings = ratings_begin(CurrentMemoryContext, &types[ALS_USERS],
										&types[ALS_ITEMS], names, weighted, 0,
										true);

	ratings_join(ratings, arena, triplet_store_attach(arena));
	return ratings;
}

/* Maps what the leader shares, if it is of the reading with a key. */
static bool
attach_reading(int64 key, Arena *arena)
{
	dsm_segment *segment = dsm_attach((dsm_handle) (uint64) key);

	if (segment == NULL)
		return false;
	*arena = arena_of(segment);
	return dsm_segment_map_length(segment) >= sizeof(SharedReading) + ALS_ALIGNMENT &&
		((SharedReading *) arena->address)->key == key;
}

/* A worker's collector of what the leader shares, in the current context. */
static Collector *
join_leader(Arena arena)
{
	Collector  *collector = palloc0(sizeof(Collector));
	RatingSource names = {0};
	SharedReading *shared = (SharedReading *) arena.address;
	IdType		types[2];

	collector->shared = shared;
	collector->rating_type = shared->rating_type;
	collector->weighted = shared->weighted;
	for (int side = 0; side < 2; side++)
		take_type(&types[side], &shared->types[side]);
	names.user_column = NameStr(shared->columns[0]);
	names.item_column = NameStr(shared->columns[1]);
	if (NameStr(shared->columns[2])[0] != '\0')
		names.rating_column = NameStr(shared->columns[2]);
	collector->ratings = join_ratings(&arena, types, &names, shared->weighted);
	if (shared->fraction >= 0)
	{
		arena = arena_attach(shared->held_out);
		collector->held_out = join_ratings(&arena, types, &names, false);
		collector->holdout =
			holdout_create((Oid[2]) {types[ALS_USERS].type, types[ALS_ITEMS].type},
						   (Oid[2]) {types[ALS_USERS].collation, types[ALS_ITEMS].collation},
						   shared->fraction, shared->seed);
		collector->row_context = AllocSetContextCreate(CurrentMemoryContext,
													   "als holdout",
													   ALLOCSET_SMALL_SIZES);
	}
	return collector;
}

void
collect_finish(Collector *collector)
{
	ratings_finish(collector->ratings);
	if (collector->held_out != NULL)
		ratings_finish(collector->held_out);
}

/* Raises that a function is not for anybody to call. */
static void
reject_caller(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("als_collect cannot be called by a query of one's own"),
			 errhint("Use als_train_agg to train from the rows of a query.")));
}

/* Are the arguments of the types that the reading has? */
static bool
has_types(FunctionCallInfo fcinfo, const SharedReading *shared)
{
	Oid			rating = OidIsValid(shared->rating_type) ?
		shared->rating_type : FLOAT8OID;

	return get_fn_expr_argtype(fcinfo->flinfo, ARG_USER) == shared->types[ALS_USERS].type &&
		get_fn_expr_argtype(fcinfo->flinfo, ARG_ITEM) == shared->types[ALS_ITEMS].type &&
		get_fn_expr_argtype(fcinfo->flinfo, ARG_RATING) == rating &&
		(PG_NARGS() > ARG_WEIGHT) == shared->weighted;
}

/* The collector of the reading that a query is for */
static Collector *
find_collector(FunctionCallInfo fcinfo)
{
	MemoryContext context;
	Collector  *collector = NULL;

	if (AggCheckCallContext(fcinfo, &context) != AGG_CONTEXT_AGGREGATE ||
		PG_ARGISNULL(ARG_KEY))
		reject_caller();
	if (IsParallelWorker())
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		Arena		arena;

		if (attach_reading(PG_GETARG_INT64(ARG_KEY), &arena) &&
			has_types(fcinfo, (SharedReading *) arena.address))
			collector = join_leader(arena);
		MemoryContextSwitchTo(old);
	}
	else
	{
		collector = readings;
		while (collector != NULL &&
			   collector->shared->key != PG_GETARG_INT64(ARG_KEY))
			collector = collector->outer;
		if (collector != NULL && !has_types(fcinfo, collector->shared))
			collector = NULL;
	}
	if (collector == NULL)
		reject_caller();
	return collector;
}

/* als_collect's transition function, and als_collect_weighted's: takes a row. */
Datum
als_collect_transfn(PG_FUNCTION_ARGS)
{
	Collector  *collector;

	if (PG_ARGISNULL(ARG_STATE))
		collector = find_collector(fcinfo);
	else
		collector = (Collector *) PG_GETARG_POINTER(ARG_STATE);
	collect_row(collector, PG_GETARG_DATUM(ARG_USER), PG_ARGISNULL(ARG_USER),
				PG_GETARG_DATUM(ARG_ITEM), PG_ARGISNULL(ARG_ITEM),
				PG_GETARG_DATUM(ARG_RATING), PG_ARGISNULL(ARG_RATING),
				collector->weighted ? PG_GETARG_DATUM(ARG_WEIGHT) : 0,
				collector->weighted && PG_ARGISNULL(ARG_WEIGHT));
	PG_RETURN_POINTER(collector);
}

/* Hands over what a worker has collected, if it is one's own to hand over. */
static void
hand_over(Collector *collector)
{
	if (!IsParallelWorker() || collector->ratings == NULL)
		return;
	if (collector->held_out != NULL)
		ratings_hand_over(collector->held_out);
	ratings_hand_over(collector->ratings);
}

/* als_collect's serialization function: a worker has taken all of its rows. */
Datum
als_collect_serialfn(PG_FUNCTION_ARGS)
{
	hand_over((Collector *) PG_GETARG_POINTER(0));
	PG_RETURN_BYTEA_P(cstring_to_text(""));
}

/* als_collect's deserialization function: that is all that there is to say. */
Datum
als_collect_deserialfn(PG_FUNCTION_ARGS)
{
	/* the state outlives the memory context that this is called in */
	static Collector handed_over;

	PG_RETURN_POINTER(&handed_over);
}

/* als_collect's combine function: nor is there anything to add. */
Datum
als_collect_combinefn(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) && PG_ARGISNULL(1))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(PG_GETARG_DATUM(PG_ARGISNULL(0) ? 1 : 0));
}

/*
 * als_collect's final function: the leader has it all where it has begun.  A plan
 * that is forced to be parallel runs as a whole in a worker, which ends here.
 */
Datum
als_collect_finalfn(PG_FUNCTION_ARGS)
{
	if (!PG_ARGISNULL(0))
		hand_over((Collector *) PG_GETARG_POINTER(0));
	PG_RETURN_VOID();
}
