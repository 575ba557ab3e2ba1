/*
 * staleness.c
 *	  als_staleness: how far the ratings have moved on since a model was trained.
 *
 * The ratings are read and sorted as those of a training are, which merges pairs
 * that come twice; what they are worth does not matter.  A sample is one of users,
 * with all that they have: users, pairs and unknown users are in it by its share.
 */
#include "compat.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/arguments.h"
#include "common/names.h"
#include "common/parallel.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "ratings/csr_blocks.h"
#include "ratings/source.h"
#include "ratings/source_ratings.h"
#include "serve/live_ratings.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(als_staleness);

#define FUNCTION "als_staleness"

/* The arguments' places */
enum
{
	ARG_MODEL, ARG_SAMPLE, ARG_TIME_COLUMN
};

/* The columns of the result */
enum
{
	COLUMN_RUN, COLUMN_AGE, COLUMN_RATINGS, COLUMN_NEW_RATINGS, COLUMN_USERS,
	COLUMN_UNKNOWN_USERS, COLUMN_ITEMS, COLUMN_UNKNOWN_ITEMS, COLUMN_DRIFT,
	COLUMNS
};

/* What a call finds out */
typedef struct Staleness
{
	ModelCache *cache;
	double		sample;
	const char *time_column;	/* NULL: none */
	TimestampTz trained_at;
	bool		has_trained_at;
	int64		trained_ratings;	/* -1: not known */
	uint64		pairs;
	uint32		size[2];		/* users and items, by AlsSide */
	uint32		unknown[2];
	double		drift;			/* NAN: not known */
} Staleness;

/* Ids that are looked for among those of a model */
typedef struct LookedFor
{
	IdMap	   *ids;
	bool	   *known;			/* [size of ids] */
} LookedFor;

/*
 * Reads when the run that serves was trained, and on how much.  The run may be newer
 * than the transaction's snapshot.
 */
static void
read_run_row(Staleness *stale)
{
	ModelCache *cache = stale->cache;
	Oid			type = INT4OID;
	Datum		run = Int32GetDatum(cache->run.run);
	bool		isnull;
	Datum		value;
	SPIPlanPtr	plan;

	stale->trained_ratings = -1;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	plan = SPI_prepare(psprintf("SELECT trained_at, ratings FROM %s WHERE run OPERATOR(pg_catalog.=) $1",
								qualified_name(cache->model)),
					   1, &type);
	if (plan == NULL ||
		SPI_execute_snapshot(plan, &run, NULL, GetLatestSnapshot(),
							 InvalidSnapshot, true, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "reading a run failed");
	if (SPI_processed == 1)
	{
		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
							  &isnull);
		stale->has_trained_at = !isnull;
		stale->trained_at = isnull ? 0 : DatumGetTimestampTz(value);
		/* edited by hand: it has no age */
		stale->has_trained_at &= !TIMESTAMP_NOT_FINITE(stale->trained_at);
		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2,
							  &isnull);
		if (!isnull)
			stale->trained_ratings = DatumGetInt64(value);
	}
	SPI_finish();
}

/* The condition on ratings that count: with both ids, of the sample. */
static char *
sample_condition(const Staleness *stale)
{
	const char *user = quote_identifier(stale->cache->run.user_column);
	StringInfoData condition;

	initStringInfo(&condition);
	appendStringInfo(&condition, "%s IS DISTINCT FROM NULL AND %s IS DISTINCT FROM NULL",
					 user, quote_identifier(stale->cache->run.item_column));
	if (stale->sample < 1)
		appendStringInfo(&condition, " AND %s(%s, %s, %.17g::pg_catalog.float8, 0::pg_catalog.int8)",
						 qualified_function("als_holdout"),
						 user, user, stale->sample);
	return condition.data;
}

/* Marks an id of the model as known. */
static void
mark_known(Datum id, void *arg)
{
	LookedFor  *looked_for = arg;
	uint32		index;

	if (idmap_find(looked_for->ids, id, &index))
		looked_for->known[index] = true;
}

/* Counts a side's ids of the ratings, and those that the model does not know. */
static void
count_unknown(Staleness *stale, Ratings *ratings, AlsSide side)
{
	ModelCache *cache = stale->cache;
	LookedFor	looked_for;
	Snapshot	snapshot;
	uint32	   *indices;

	stale->size[side] = ratings_ids(ratings, side)->size;
	looked_for.ids = idmap_create(CurrentMemoryContext, &cache->sides[side].type);
	indices = ratings_map_ids(ratings, side, looked_for.ids, true);
	looked_for.known = palloc_extended(Max(idmap_size(looked_for.ids), 1),
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	snapshot = cache_snapshot(cache);
	cache_scan_ids(cache, side, snapshot, mark_known, &looked_for);
	UnregisterSnapshot(snapshot);
	for (uint32 i = 0; i < ratings_ids(ratings, side)->size; i++)
		if (indices[i] == NOT_THERE || !looked_for.known[indices[i]])
			stale->unknown[side]++;
}

/* Counts pairs, users and items in the ratings. */
static void
count_ratings(Staleness *stale)
{
	const ModelRun *run = &stale->cache->run;
	size_t		budget = (size_t) maintenance_work_mem * 1024 / 2;
	SourceReader reader = {FUNCTION, get_rel_name(stale->cache->model), NULL};
	RatingSource source = {
		.source = run->source,
		.user_column = run->user_column,
		.item_column = run->item_column,
		.condition = sample_condition(stale),
		.reader = &reader
	};
	char	   *canonical;
	Ratings    *ratings = source_read(CurrentMemoryContext, &source,
									  blocks_triplet_memory(budget, false), -1,
									  &canonical);
	Arena		blocks;

	if (cache_replaced(stale->cache) || ratings_count(ratings) == 0)
		return;
	for (int side = 0; side < 2; side++)
		count_unknown(stale, ratings, side);
	blocks = blocks_build(ratings, ALS_IMPLICIT, budget, 0);
	stale->pairs = ((RatingBlocks *) blocks.address)->nratings;
	arena_free(&blocks);
	ratings_close(ratings);
}

/* A number of ratings in a row of counts: before the training, or of all */
static double
count_in(SPITupleTable *counts, uint64 row, int column)
{
	bool		isnull;

	return (double) DatumGetInt64(SPI_getbinval(counts->vals[row], counts->tupdesc,
												column, &isnull));
}

/*
 * The total variation distance between the items' shares of the ratings before the
 * training and of all ratings: half the sum of their differences.  NAN if there were
 * none before.
 */
static double
distance(SPITupleTable *counts, uint64 size)
{
	double		before = 0;
	double		all = 0;
	double		sum = 0;

	for (uint64 i = 0; i < size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		before += count_in(counts, i, 1);
		all += count_in(counts, i, 2);
	}
	if (before == 0)
		return NAN;
	for (uint64 i = 0; i < size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		sum += fabs(count_in(counts, i, 1) / before - count_in(counts, i, 2) / all);
	}
	return sum / 2;
}

/* Measures how far the popularity of items has drifted. */
static void
measure_drift(Staleness *stale, bool named)
{
	ModelCache *cache = stale->cache;
	SourceReader reader = {FUNCTION, get_rel_name(cache->model), NULL};
	SourceReading reading;
	SPIPlanPtr	plan;
	Oid			type;
	Datum		value;

	source_begin(&reading, "ratings", cache->run.source, &reader);
	type = live_ratings_time_type(&reading, &reader, stale->time_column, named);
	value = live_ratings_time(stale->trained_at, type);
	/* in an order that rows do not tell, so that sums have the same bits */
	plan = source_prepare(&reading,
						  psprintf("pg_catalog.count(*) FILTER (WHERE %s OPERATOR(pg_catalog.<) $1) AS als_before,"
								   " pg_catalog.count(*) AS als_all",
								   quote_identifier(stale->time_column)),
						  psprintf(" WHERE %s GROUP BY %s ORDER BY 1, 2",
								   sample_condition(stale),
								   quote_identifier(cache->run.item_column)),
						  1, &type);
	source_execute(&reading, plan, &value, NULL, true);
	stale->drift = distance(SPI_tuptable, SPI_processed);
	source_end(&reading);
}

/* The argument sample, a share above 0. */
static double
sample_argument(FunctionCallInfo fcinfo)
{
	double		sample = PG_GETARG_FLOAT8(ARG_SAMPLE);

	if (!(sample > 0 && sample <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sample must be above 0 and at most 1, not %g", sample),
				 errhint("It is the share of the users whose ratings are counted.")));
	return sample;
}

/* Fills in a number, which may be an estimate from a sample. */
static void
put_estimate(const Staleness *stale, double number, int column, Datum *values,
			 bool *nulls)
{
	values[column] = Int64GetDatum((int64) rint(number / stale->sample));
	nulls[column] = false;
}

/* als_staleness(model, sample, time_column) */
Datum
als_staleness(PG_FUNCTION_ARGS)
{
	Staleness	stale;
	bool		named;
	int			times = 0;
	TupleDesc	row_type;
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS];

	require_arguments(fcinfo, ARG_TIME_COLUMN + 1);
	require_argument(fcinfo, ARG_MODEL, "model");
	require_argument(fcinfo, ARG_SAMPLE, "sample");
	named = !PG_ARGISNULL(ARG_TIME_COLUMN);
	PreventCommandIfParallelMode(FUNCTION "()");
	if (get_call_result_type(fcinfo, NULL, &row_type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	do
	{
		memset(&stale, 0, sizeof(stale));
		stale.drift = NAN;
		stale.sample = sample_argument(fcinfo);
		stale.cache = cache_open(PG_GETARG_OID(ARG_MODEL));
		model_require_source(stale.cache->model, &stale.cache->run,
							 "Train it with als_train, from a table that stays.");
		stale.time_column = named ?
			text_to_cstring(PG_GETARG_TEXT_PP(ARG_TIME_COLUMN)) :
			stale.cache->run.weighing.time_column;
		read_run_row(&stale);
		count_ratings(&stale);
		if (stale.time_column != NULL && stale.has_trained_at &&
			!cache_replaced(stale.cache))
			measure_drift(&stale, named);
	} while (cache_replaced(stale.cache) &&
			 cache_start_over(stale.cache, &times));

	memset(nulls, true, sizeof(nulls));
	values[COLUMN_RUN] = Int32GetDatum(stale.cache->run.run);
	nulls[COLUMN_RUN] = false;
	if (stale.has_trained_at)
	{
		values[COLUMN_AGE] =
			DirectFunctionCall2(timestamp_mi,
								TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()),
								TimestampTzGetDatum(stale.trained_at));
		nulls[COLUMN_AGE] = false;
	}
	put_estimate(&stale, stale.pairs, COLUMN_RATINGS, values, nulls);
	if (stale.trained_ratings >= 0)
	{
		values[COLUMN_NEW_RATINGS] =
			Int64GetDatum(DatumGetInt64(values[COLUMN_RATINGS]) -
						  stale.trained_ratings);
		nulls[COLUMN_NEW_RATINGS] = false;
	}
	put_estimate(&stale, stale.size[ALS_USERS], COLUMN_USERS, values, nulls);
	put_estimate(&stale, stale.unknown[ALS_USERS], COLUMN_UNKNOWN_USERS, values,
				 nulls);
	/* the same items come with other users: a sample's number is not a share */
	values[COLUMN_ITEMS] = Int64GetDatum(stale.size[ALS_ITEMS]);
	values[COLUMN_UNKNOWN_ITEMS] = Int64GetDatum(stale.unknown[ALS_ITEMS]);
	nulls[COLUMN_ITEMS] = nulls[COLUMN_UNKNOWN_ITEMS] = false;
	if (!isnan(stale.drift))
	{
		values[COLUMN_DRIFT] = Float8GetDatum(stale.drift);
		nulls[COLUMN_DRIFT] = false;
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(row_type),
													  values, nulls)));
}
