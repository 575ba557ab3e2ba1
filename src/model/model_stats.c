/*
 * model_stats.c
 *	  What calls do with each model, added up in shared memory.
 *
 * The sums are in the registry, where there is one.  A model has an entry from the
 * first call on; when there are too many models, the one used longest ago loses
 * its own.  The registry's lock protects which model an entry is of, and the entry's
 * mutex that as well and its sums: so adding to an entry that is there takes the mutex
 * alone.
 */
#include "compat.h"

#include "catalog/pg_authid.h"
#include "common/arguments.h"
#include "miscadmin.h"
#include "model/model.h"
#include "model/model_stats.h"
#include "model/shared_registry.h"
#include "utils/acl.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(als_model_stats);
PG_FUNCTION_INFO_V1(als_stat_reset);

bool		track_calls_setting;

/* The columns of als_model_stats */
enum
{
	COLUMN_MODEL, COLUMN_CALLS, COLUMN_ROWS, COLUMN_FOLD_INS,
	COLUMN_UNKNOWN_USERS, COLUMN_CACHE_HITS, COLUMN_CACHE_MISSES,
	COLUMN_TOTAL_TIME, COLUMN_MAX_TIME, COLUMN_SINCE, COLUMNS
};

/* Is the entry that of a model of this database? */
static inline bool
is_of(const ModelStats *entry, Oid model)
{
	return entry->model == model && entry->database == MyDatabaseId;
}

/* The place of a model's entry; -1 if it has none.  The registry is locked. */
static int
find_entry(const SharedRegistry *registry, Oid model)
{
	for (int place = 0; place < SHARED_STATS; place++)
		if (is_of(&registry->stats[place], model))
			return place;
	return -1;
}

/* Sets an entry's sums to zero, as of now.  Its mutex is held. */
static void
zero_entry(ModelStats *entry, TimestampTz now)
{
	memset(&entry->sums, 0, sizeof(entry->sums));
	entry->sums.since = now;
}

/*
 * The place for a model that has no entry: a free one, or that which was used longest
 * ago.  The registry is locked.
 */
static int
free_place(SharedRegistry *registry)
{
	int			oldest = 0;

	for (int place = 0; place < SHARED_STATS; place++)
	{
		if (!OidIsValid(registry->stats[place].model))
			return place;
		if (registry->stats[place].last_use < registry->stats[oldest].last_use)
			oldest = place;
	}
	return oldest;
}

/* The place of a model's entry, which is made if there is none. */
static int
claim_entry(SharedRegistry *registry, Oid model)
{
	TimestampTz now = GetCurrentTimestamp();
	int			place;

	LWLockAcquire(&registry->lock, LW_SHARED);
	place = find_entry(registry, model);
	LWLockRelease(&registry->lock);
	if (place >= 0)
		return place;

	LWLockAcquire(&registry->lock, LW_EXCLUSIVE);
	place = find_entry(registry, model);
	if (place < 0)
	{
		ModelStats *entry;

		place = free_place(registry);
		entry = &registry->stats[place];
		SpinLockAcquire(&entry->mutex);
		entry->database = MyDatabaseId;
		entry->model = model;
		zero_entry(entry, now);
		SpinLockRelease(&entry->mutex);
	}
	LWLockRelease(&registry->lock);
	return place;
}

/* Adds a call to an entry; false if it is not the model's. */
static bool
add_call(ModelStats *entry, Oid model, const ModelCounts *counts, double time,
		 uint64 rows)
{
	StatsSums  *sums = &entry->sums;
	bool		same;

	SpinLockAcquire(&entry->mutex);
	same = is_of(entry, model);
	if (same)
	{
		entry->last_use = GetCurrentTransactionStartTimestamp();
		sums->calls++;
		sums->rows += rows;
		sums->fold_ins += counts->fold_ins;
		sums->unknown_users += counts->unknown_users;
		sums->cache_hits += counts->cache_hits;
		sums->cache_misses += counts->cache_misses;
		sums->total_time += time;
		sums->max_time = Max(sums->max_time, time);
	}
	SpinLockRelease(&entry->mutex);
	return same;
}

void
stats_end(Oid model, ModelCounts *counts, instr_time start, uint64 rows)
{
	SharedRegistry *registry = INSTR_TIME_IS_ZERO(start) ? NULL :
		registry_find(false);

	if (registry != NULL)
	{
		instr_time	now;
		double		time;

		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, start);
		time = INSTR_TIME_GET_MILLISEC(now);
		while (!add_call(&registry->stats[counts->place], model, counts, time, rows))
			counts->place = claim_entry(registry, model);
	}
	stats_discard(counts);
}

/* May the user see what calls do with a model? */
static bool
may_see(Oid model)
{
	return is_model(model) &&
		(has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ||
		 has_privs_of_role(GetUserId(), relation_owner(model)));
}

/* als_model_stats(): what the view als_stat_models shows */
Datum
als_model_stats(PG_FUNCTION_ARGS)
{
	TupleDesc	row_type;
	Tuplestorestate *store = begin_rows(fcinfo, &row_type);
	SharedRegistry *registry = registry_find(false);

	for (int place = 0; registry != NULL && place < SHARED_STATS; place++)
	{
		ModelStats *entry = &registry->stats[place];
		Datum		values[COLUMNS];
		bool		nulls[COLUMNS] = {false};
		StatsSums	sums;
		Oid			database;
		Oid			model;

		SpinLockAcquire(&entry->mutex);
		database = entry->database;
		model = entry->model;
		sums = entry->sums;
		SpinLockRelease(&entry->mutex);
		if (database != MyDatabaseId || !may_see(model))
			continue;
		values[COLUMN_MODEL] = ObjectIdGetDatum(model);
		values[COLUMN_CALLS] = Int64GetDatum(sums.calls);
		values[COLUMN_ROWS] = Int64GetDatum(sums.rows);
		values[COLUMN_FOLD_INS] = Int64GetDatum(sums.fold_ins);
		values[COLUMN_UNKNOWN_USERS] = Int64GetDatum(sums.unknown_users);
		values[COLUMN_CACHE_HITS] = Int64GetDatum(sums.cache_hits);
		values[COLUMN_CACHE_MISSES] = Int64GetDatum(sums.cache_misses);
		values[COLUMN_TOTAL_TIME] = Float8GetDatum(sums.total_time);
		values[COLUMN_MAX_TIME] = Float8GetDatum(sums.max_time);
		values[COLUMN_SINCE] = TimestampTzGetDatum(sums.since);
		tuplestore_putvalues(store, row_type, values, nulls);
	}
	PG_RETURN_NULL();
}

/* als_stat_reset(): sets the sums of this database's models to zero */
Datum
als_stat_reset(PG_FUNCTION_ARGS)
{
	SharedRegistry *registry = registry_find(false);
	TimestampTz now = GetCurrentTimestamp();

	for (int place = 0; registry != NULL && place < SHARED_STATS; place++)
	{
		ModelStats *entry = &registry->stats[place];

		SpinLockAcquire(&entry->mutex);
		if (entry->database == MyDatabaseId)
			zero_entry(entry, now);
		SpinLockRelease(&entry->mutex);
	}
	PG_RETURN_VOID();
}
