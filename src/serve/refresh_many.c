/*
 * refresh_many.c
 *	  als_refresh: many rows of a model solved anew from the live ratings, and
 *	  stored.
 *
 * Locks are those of a refresh of one row (refresh.c), taken for all rows before
 * any of their ratings is read:
 *
 *	  - One statement takes the rows of a side in the order of their ids.  A row
 *		that is not there is inserted, with factors of 0, which takes it as well:
 *		INSERT ON CONFLICT DO UPDATE waits for whoever has one or has inserted
 *		it, and locks what it finds.  So all that refresh in the order of ids wait
 *		for each other in one direction, whether rows are there or not.
 *	  - Users go before items, which are solved against the new users.
 *	  - The ratings are read with a snapshot that is newer than all of these locks.
 *
 * Then one statement stores what has been solved, and another deletes the rows of
 * which nothing is known.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "common/arguments.h"
#include "common/names.h"
#include "common/side.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "ratings/csr_blocks.h"
#include "ratings/source.h"
#include "ratings/source_ratings.h"
#include "serve/batch_solve.h"
#include "serve/fold_in.h"
#include "serve/live_features.h"
#include "serve/live_ratings.h"
#include "serve/refresh.h"
#include "serve/track.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(als_refresh);

#define FUNCTION "als_refresh"

/* What statements call the rows that they are given */
#define ROWS "als_rows"

/* The arguments' places */
enum
{
	ARG_MODEL, ARG_USERS, ARG_ITEMS, ARG_SINCE, ARG_TIME_COLUMN, ARG_WORKERS
};

/* The columns of rows given to a statement */
enum
{
	ROW_ID, ROW_FACTORS, ROW_BIAS, ROW_COLUMNS
};

/*
 * The rows of a side that are refreshed.  No version of the model is pinned while
 * statements change its tables, so that what it keeps of the other side stays.
 */
typedef struct RefreshedSide
{
	Oid			model;
	ModelRun	run;			/* but for its texts */
	AlsSide		side;
	Oid			factor_table;
	const char *table;			/* the same, qualified */
	IdType		type;
	IdMap	   *ids;
	uint32	   *sorted;			/* indices of ids, in their order */
	TupleDesc	row_type;		/* of rows given to statements */
} RefreshedSide;

/* Where ids of changed rows go */
typedef struct ChangedReceiver
{
	DestReceiver pub;
	RefreshedSide *sides;		/* [2] by AlsSide */
	IdConversion conversions[2];
	MemoryContext context;		/* of a row */
} ChangedReceiver;

/* Raises for user code that has replaced the model while it was being refreshed. */
pg_noreturn static void
reject_changed(Oid model)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_IN_USE),
			 errmsg("model \"%s\" has changed while its ratings were read",
					get_rel_name(model)),
			 errdetail("A function that the ratings are read with, or a trigger on its tables, changes it."),
			 errhint("Change or train the model in a statement of its own.")));
}

/* Adds the ids of a rating; the callback of a receiver. */
static bool
receive_changed(TupleTableSlot *slot, DestReceiver *self)
{
	ChangedReceiver *receiver = (ChangedReceiver *) self;
	MemoryContext old = MemoryContextSwitchTo(receiver->context);

	slot_getallattrs(slot);
	for (int side = 0; side < 2; side++)
	{
		Datum		id;

		if (!slot->tts_isnull[side] &&
			id_convert(&receiver->conversions[side], slot->tts_values[side], &id))
			idmap_add(receiver->sides[side].ids, id);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(receiver->context);
	return true;
}

/* Begins to receive users and items of some types. */
static void
changed_receiver_init(ChangedReceiver *receiver, RefreshedSide *sides,
					  const Oid types[2])
{
	memset(receiver, 0, sizeof(*receiver));
	source_receiver_init(&receiver->pub, receive_changed);
	receiver->sides = sides;
	receiver->context = AllocSetContextCreate(CurrentMemoryContext,
											  "als changed rating",
											  ALLOCSET_SMALL_SIZES);
	for (int side = 0; side < 2; side++)
		id_conversion_init(&receiver->conversions[side], &sides[side].type,
						   types[side], side_names[side], CurrentMemoryContext);
}

/* Adds the users and items in the model's queue, and takes them out of it. */
static void
take_queue(ModelCache *cache, RefreshedSide *sides)
{
	ChangedReceiver receiver;
	Oid			types[2];

	queue_types(cache->model, types);
	changed_receiver_init(&receiver, sides, types);
	queue_take(cache->model, &receiver.pub);
	MemoryContextDelete(receiver.context);
}

/*
 * Adds the users and items that have ratings of a time or later.  time_column is
 * what the call names; NULL: that of the model.
 */
static void
read_changed(ModelCache *cache, TimestampTz since, const char *time_column,
			 RefreshedSide *sides)
{
	const ModelRun *run = &cache->run;
	SourceReader reader = {FUNCTION, get_rel_name(cache->model), NULL};
	MemoryContext caller = CurrentMemoryContext;
	ChangedReceiver receiver;
	bool		named = time_column != NULL;
	SourceReading reading;
	TupleDesc	columns;
	SPIPlanPtr	plan;
	Oid			types[2];
	Oid			type;
	Datum		value;

	if (!named)
		time_column = run->weighing.time_column;
	if (time_column == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("since needs a time_column"),
				 errdetail("Model \"%s\" was trained without one.",
						   get_rel_name(cache->model)),
				 errhint("Name the column of the ratings with time_column => '...'.")));
	source_begin(&reading, "ratings", run->source, &reader);
	type = live_ratings_time_type(&reading, &reader, time_column, named);
	value = live_ratings_time(since, type);
	plan = source_prepare(&reading,
						  psprintf("%s, %s", quote_identifier(run->user_column),
								   quote_identifier(run->item_column)),
						  psprintf(" WHERE %s OPERATOR(pg_catalog.>=) $1",
								   quote_identifier(time_column)),
						  1, &type);
	columns = source_plan(plan)->resultDesc;
	for (int side = 0; side < 2; side++)
		types[side] = TupleDescAttr(columns, side)->atttypid;
	MemoryContextSwitchTo(caller);
	changed_receiver_init(&receiver, sides, types);
	source_execute(&reading, plan, &value, &receiver.pub, true);
	source_end(&reading);
	MemoryContextDelete(receiver.context);
}

/* Prepares a side, with what is to be kept of it in a context, for no rows yet. */
static void
begin_side(RefreshedSide *refreshed, const ModelCache *cache, AlsSide side,
		   MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	const IdType *type = &cache->sides[side].type;
	Oid			table = cache->run.factor_tables[side];

	refreshed->model = cache->model;
	refreshed->run = cache->run;
	refreshed->side = side;
	refreshed->factor_table = table;
	refreshed->table = qualified_name(table);
	id_type_init(&refreshed->type, type->type, type->typmod, type->collation,
				 context);
	refreshed->ids = idmap_create(context, &refreshed->type);
	refreshed->row_type = CreateTemplateTupleDesc(ROW_COLUMNS);
	TupleDescInitEntry(refreshed->row_type, ROW_ID + 1, "id", type->type,
					   type->typmod, 0);
	TupleDescInitEntryCollation(refreshed->row_type, ROW_ID + 1, type->collation);
	TupleDescInitEntry(refreshed->row_type, ROW_FACTORS + 1, "factors",
					   FLOAT4ARRAYOID, -1, 0);
	TupleDescInitEntry(refreshed->row_type, ROW_BIAS + 1, "bias", FLOAT4OID, -1, 0);
	TupleDescFinalize(refreshed->row_type);
	MemoryContextSwitchTo(old);
}

/* Does a row have a bias beside its factors? */
static inline bool
is_biased(const RefreshedSide *refreshed)
{
	return refreshed->run.feedback == ALS_EXPLICIT;
}

/* Gathers the ids that are to be refreshed, with both sides in a context. */
static void
gather_ids(ModelCache *cache, FunctionCallInfo fcinfo, RefreshedSide *sides,
		   MemoryContext context)
{
	for (int side = 0; side < 2; side++)
	{
		int			argument = side == ALS_USERS ? ARG_USERS : ARG_ITEMS;

		begin_side(&sides[side], cache, side, context);
		if (!PG_ARGISNULL(argument))
			add_ids_argument(fcinfo, argument, side_plurals[side],
							 side_names[side], sides[side].ids);
	}
	if (!PG_ARGISNULL(ARG_SINCE) && !cache_replaced(cache))
		read_changed(cache, PG_GETARG_TIMESTAMPTZ(ARG_SINCE),
					 PG_ARGISNULL(ARG_TIME_COLUMN) ? NULL :
					 text_to_cstring(PG_GETARG_TEXT_PP(ARG_TIME_COLUMN)), sides);
}

/* Sorts the ids. */
static void
sort_ids(RefreshedSide *refreshed)
{
	uint32		size = idmap_size(refreshed->ids);
	Datum	   *values = MemoryContextAllocHuge(CurrentMemoryContext,
												size * sizeof(Datum));
	uint32	   *places = MemoryContextAllocHuge(CurrentMemoryContext,
												size * sizeof(uint32));

	refreshed->sorted = MemoryContextAllocHuge(CurrentMemoryContext,
											   size * sizeof(uint32));
	for (uint32 i = 0; i < size; i++)
		values[i] = idmap_id(refreshed->ids, i);
	id_places(&refreshed->type, values, size, places);
	for (uint32 i = 0; i < size; i++)
		refreshed->sorted[places[i]] = i;
	pfree(places);
	pfree(values);
}

/*
 * Runs a statement on rows that it is given, as the caller; returns how many it
 * concerned.  Raises if a rule has made something else of it.
 */
static uint64
run_with_rows(const RefreshedSide *refreshed, Tuplestorestate *rows,
			  const char *statement, int expected)
{
	EphemeralNamedRelationData relation = {0};
	uint64		processed;
	int			result;

	relation.md.name = ROWS;
	relation.md.reliddesc = InvalidOid;
	relation.md.tupdesc = refreshed->row_type;
	relation.md.enrtype = ENR_NAMED_TUPLESTORE;
	relation.md.enrtuples = idmap_size(refreshed->ids);
	relation.reldata = rows;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	result = SPI_register_relation(&relation);
	if (result != SPI_OK_REL_REGISTER)
		elog(ERROR, "SPI_register_relation failed: %s",
			 SPI_result_code_string(result));
	result = SPI_execute(statement, false, 0);
	if (result < 0)
		elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(result));
	if (result != expected)
		refresh_reject_kept_out(refreshed->factor_table, FUNCTION);
	processed = SPI_processed;
	SPI_finish();
	return processed;
}

/* The condition by which rows of the table and of a statement are the same. */
static char *
same_row(const RefreshedSide *refreshed)
{
	return id_equality(psprintf("stored.%s", side_id_columns[refreshed->side]),
					   ROWS ".id", &refreshed->type);
}

/* Takes all rows, in the order of ids; those that are not there are inserted. */
static void
take_rows(RefreshedSide *refreshed)
{
	const char *id = side_id_columns[refreshed->side];
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
	Datum		values[ROW_COLUMNS] = {0};
	bool		nulls[ROW_COLUMNS] = {false, true, true};
	StringInfoData statement;

	for (uint32 i = 0; i < idmap_size(refreshed->ids); i++)
	{
		CHECK_FOR_INTERRUPTS();
		values[ROW_ID] = idmap_id(refreshed->ids, refreshed->sorted[i]);
		tuplestore_putvalues(rows, refreshed->row_type, values, nulls);
	}
	initStringInfo(&statement);
	appendStringInfo(&statement,
					 "INSERT INTO %s AS stored (%s, factors%s)"
					 " SELECT id, pg_catalog.array_fill(0::pg_catalog.float4, ARRAY[%d])%s FROM " ROWS,
					 refreshed->table, id, is_biased(refreshed) ? ", bias" : "",
					 refreshed->run.factors,
					 is_biased(refreshed) ? ", 0" : "");
	if (OidIsValid(refreshed->type.compare.fn_oid))
		appendStringInfo(&statement,
						 " ON CONFLICT (%s) DO UPDATE SET factors = stored.factors WHERE false",
						 id);
	else
	{
		/* without an order there is no unique index that keeps others away */
		LockRelationOid(refreshed->factor_table, ShareRowExclusiveLock);
		appendStringInfo(&statement,
						 " WHERE NOT EXISTS (SELECT FROM %s AS stored WHERE %s)",
						 refreshed->table, same_row(refreshed));
	}
	run_with_rows(refreshed, rows, statement.data, SPI_OK_INSERT);
	tuplestore_end(rows);
}

/* Reads what the rows have in the ratings now; NULL if that is nothing. */
static Ratings *
read_ratings(const RefreshedSide *refreshed, const ModelCache *cache, int workers)
{
	const ModelRun *run = &cache->run;
	const char *column = quote_identifier(refreshed->side == ALS_USERS ?
										  run->user_column : run->item_column);
	SourceReader reader = {FUNCTION, get_rel_name(cache->model), NULL};
	RatingSource source = {
		.source = run->source,
		.user_column = run->user_column,
		.item_column = run->item_column,
		.rating_column = run->rating_column,
		.weighing = run->weighing,
		.reader = &reader
	};
	StringInfoData condition;
	Ratings    *ratings;
	char	   *canonical;

	initStringInfo(&condition);
	appendStringInfo(&condition, "%s IS DISTINCT FROM NULL", column);
	live_ratings_only(&condition, column, refreshed->ids);
	source.condition = condition.data;
	ratings = source_read(CurrentMemoryContext, &source,
						  blocks_triplet_memory((size_t) maintenance_work_mem *
												1024 / 2, source.weighing.apart),
						  workers, &canonical);
	/* without any there is no file, either */
	return ratings_count(ratings) == 0 ? NULL : ratings;
}

/* A row that is drawn to its features: these are read for each by itself. */
static const float *
solve_with_features(const RefreshedSide *refreshed, ModelCache *cache, Datum id)
{
	AlsSide		side = refreshed->side;
	RowRatings	ratings;
	RowFeatures features;

	live_ratings_read(cache, side, id, false, FUNCTION, &ratings);
	if (!cache_replaced(cache))
		live_features_read(cache, side, id, false, FUNCTION, &features);
	if (cache_replaced(cache))
		reject_changed(refreshed->model);
	return fold_in(cache, side, &ratings, features_prior(cache, side, &features));
}

/*
 * Adds the rows to be stored, with null factors where nothing is known; returns
 * the number of those that have some.  places are the rows of the ids among what
 * has been solved, which is in job, unless the side has features.
 */
static uint32
put_rows(const RefreshedSide *refreshed, ModelCache *cache,
		 const BatchSolve *job, const uint32 *places, Tuplestorestate *rows)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "als refreshed row",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	uint32		known = 0;

	for (uint32 i = 0; i < idmap_size(refreshed->ids); i++)
	{
		uint32		index = refreshed->sorted[i];
		Datum		values[ROW_COLUMNS] = {0};
		bool		nulls[ROW_COLUMNS] = {false, true, true};
		Datum		id = idmap_id(refreshed->ids, index);
		const float *row = cache->run.features[refreshed->side] != NULL ?
			solve_with_features(refreshed, cache, id) :
			places[index] == NOT_THERE ? NULL :
			batch_solve_row(job, cache, places[index]);

		CHECK_FOR_INTERRUPTS();
		values[ROW_ID] = id;
		if (row != NULL)
		{
			values[ROW_FACTORS] = reals_datum(row, cache->run.factors);
			nulls[ROW_FACTORS] = false;
			if (is_biased(refreshed))
				values[ROW_BIAS] =
					Float4GetDatum(row[bias_position(cache, refreshed->side)]);
			nulls[ROW_BIAS] = !is_biased(refreshed);
			known++;
		}
		tuplestore_putvalues(rows, refreshed->row_type, values, nulls);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return known;
}

/*
 * Solves the rows from the ratings of now, and adds them to what is to be stored;
 * returns the number of those of which something is known.
 */
static uint32
solve_rows(const RefreshedSide *refreshed, int workers, Tuplestorestate *rows)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "als refreshing",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ModelCache *cache = cache_open(refreshed->model);
	uint32		size = idmap_size(refreshed->ids);
	uint32	   *places = MemoryContextAllocHuge(context, size * sizeof(uint32));
	Arena		arena = {0};
	Ratings    *ratings = NULL;
	uint32		known;

	if (!run_is_same(&cache->run, &refreshed->run) ||
		!id_type_is_same(&cache->sides[refreshed->side].type, &refreshed->type))
		reject_changed(refreshed->model);
	if (cache->run.features[refreshed->side] == NULL)
		ratings = read_ratings(refreshed, cache, workers);
	if (cache_replaced(cache))
		reject_changed(refreshed->model);
	for (uint32 i = 0; i < size; i++)
		places[i] = NOT_THERE;
	if (ratings != NULL)
	{
		uint32	   *wanted = ratings_map_ids(ratings, refreshed->side,
											 refreshed->ids, false);
		uint32		nrows = ratings_ids(ratings, refreshed->side)->size;

		for (uint32 row = 0; row < nrows; row++)
			if (wanted[row] != NOT_THERE)
				places[wanted[row]] = row;
		arena = batch_solve(cache, refreshed->side, ratings, wanted, workers);
		if (cache_replaced(cache))
			reject_changed(refreshed->model);
	}
	known = put_rows(refreshed, cache, (const BatchSolve *) arena.address, places,
					 rows);
	arena_free(&arena);
	if (ratings != NULL)
		ratings_close(ratings);
	stats_discard(&cache->counts);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return known;
}

/* Stores the rows that have factors, and deletes the others. */
static void
store_rows(const RefreshedSide *refreshed, Tuplestorestate *rows, uint32 known)
{
	const char *same = same_row(refreshed);
	uint32		size = idmap_size(refreshed->ids);
	uint64		stored = 0;

	if (known > 0)
		stored = run_with_rows(refreshed, rows,
							   psprintf("UPDATE %s AS stored SET factors = " ROWS ".factors%s"
										" FROM " ROWS " WHERE %s AND " ROWS ".factors IS NOT NULL",
										refreshed->table,
										is_biased(refreshed) ? ", bias = " ROWS ".bias" : "",
										same), SPI_OK_UPDATE);
	if (known < size)
		stored += run_with_rows(refreshed, rows,
								psprintf("DELETE FROM %s AS stored USING " ROWS
										 " WHERE %s AND " ROWS ".factors IS NULL",
										 refreshed->table, same), SPI_OK_DELETE);
	if (stored != size)
		refresh_reject_kept_out(refreshed->factor_table, FUNCTION);
}

/* Refreshes the rows of a side; returns how many the model knows after it. */
static uint32
refresh_side(RefreshedSide *refreshed, int workers)
{
	Tuplestorestate *rows;
	uint32		known;

	if (idmap_size(refreshed->ids) == 0)
		return 0;
	refresh_check_privilege(refreshed->factor_table);
	sort_ids(refreshed);
	take_rows(refreshed);
	rows = tuplestore_begin_heap(true, false, work_mem);
	known = solve_rows(refreshed, workers, rows);
	store_rows(refreshed, rows, known);
	tuplestore_end(rows);
	return known;
}

/* als_refresh(model, users, items, since, time_column, workers) */
Datum
als_refresh(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	RefreshedSide sides[2];
	ModelCache *cache;
	int64		known = 0;
	int			times = 0;
	int			workers;

	require_arguments(fcinfo, ARG_WORKERS + 1);
	require_argument(fcinfo, ARG_MODEL, "model");
	workers = workers_argument(fcinfo, ARG_WORKERS);
	context = AllocSetContextCreate(caller, "als refresh", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	cache = refresh_begin(PG_GETARG_OID(ARG_MODEL), ALS_USERS, true, FUNCTION);
	for (;;)
	{
		gather_ids(cache, fcinfo, sides, caller);
		if (PG_ARGISNULL(ARG_USERS) && PG_ARGISNULL(ARG_ITEMS) &&
			PG_ARGISNULL(ARG_SINCE))
		{
			/* of a queue that is empty by now, another version would not know */
			take_queue(cache, sides);
			if (cache_replaced(cache))
				reject_changed(cache->model);
		}
		if (!cache_replaced(cache))
			break;
		cache_start_over(cache, &times);
		cache = cache_open(PG_GETARG_OID(ARG_MODEL));
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	for (int side = 0; side < 2; side++)
		known += refresh_side(&sides[side], workers);
	PG_RETURN_INT64(known);
}
