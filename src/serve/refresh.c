/*
 * refresh.c
 *	  als_refresh_user and als_refresh_item: one row of a model solved anew
 *	  from the live ratings and features, and stored.
 *
 * Locks, in this order, as trainings and readers take them:
 *
 *	  1. the model's table in SHARE mode, to the end of the transaction.  A
 *		 training holds SHARE UPDATE EXCLUSIVE on it from before it reads the
 *		 ratings.  So a refresh that comes during a training waits for its end
 *		 and solves against the new factors, and a training that comes during a
 *		 refresh waits for that, and then reads what the refresh has read.
 *	  2. the factor tables, by whatever the statements take.  What a training
 *		 has locked of them cannot hold a refresh up because of 1.
 *	  3. the row.  It is locked before its ratings are read, with a snapshot
 *		 taken after that: of two refreshes of one row the later one to store
 *		 has seen what the other has seen.
 *
 * A transaction that holds a lock on a factor table already, having read from
 * the model, may not wait for a training: that will wait for the transaction.
 * Rather than leave it to the deadlock detector, which could pick the training
 * as its victim, such a refresh is an error at once; see model_lock.
 */
#include "compat.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/arguments.h"
#include "common/id_conversion.h"
#include "common/names.h"
#include "common/side.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "serve/fold_in.h"
#include "serve/live_features.h"
#include "serve/live_ratings.h"
#include "serve/refresh.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(als_refresh_user);
PG_FUNCTION_INFO_V1(als_refresh_item);

/* How often an insert is tried that does nothing */
#define STORE_TRIES 10

/* A row being refreshed */
typedef struct Refresh
{
	ModelCache *cache;
	AlsSide		side;
	const char *function;		/* for messages */
	Datum		id;
	const char *table;			/* qualified */
	const char *id_column;
	char	   *matches;		/* condition on the row, with the id as $1 */
} Refresh;

/* The run that serves by a snapshot; the model is locked. */
static void
read_run_again(Oid model, Snapshot snapshot, ModelRun *run)
{
	Relation	relation = table_open(model, AccessShareLock);

	snapshot = RegisterSnapshot(snapshot);
	model_read_run(relation, snapshot, 0, run);
	UnregisterSnapshot(snapshot);
	table_close(relation, NoLock);
}

/* May the user lock rows of a factor table, which is what a refresh begins with? */
static bool
may_refresh(Oid table)
{
	Oid			user = GetUserId();
	bool		missing = false;

	/* what is missing, others say */
	return pg_class_aclcheck_ext(table, user, ACL_UPDATE,
								 &missing) == ACLCHECK_OK || missing ||
		pg_attribute_aclcheck_all(table, user, ACL_UPDATE,
								  ACLMASK_ANY) == ACLCHECK_OK;
}

void
refresh_check_privilege(Oid table)
{
	if (!may_refresh(table))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(table));
}

/*
 * Keeps trainings away until the transaction ends, which is not for those who may
 * refresh neither that side nor the other, if that will do.  Factor tables are locked
 * after the model, as trainings do it, so these are looked at without.
 */
static void
lock_against_training(Oid model, AlsSide side, bool or_other,
					  const char *function)
{
	Relation	relation;
	ModelRun	run;

	LockRelationOid(model, AccessShareLock);
	require_model(model);
	model_check_select(model);
	relation = table_open(model, NoLock);
	model_require_run(relation, 0, &run);
	table_close(relation, NoLock);
	if (!or_other || !may_refresh(run.factor_tables[other_side(side)]))
		refresh_check_privilege(run.factor_tables[side]);
	model_lock(model, ShareLock, function);
}

/*
 * A transaction with an old snapshot would store what is older than what a
 * training has read since, or over refreshes that als_deploy has copied.  Either
 * has written the row of the run that serves.
 */
static void
check_snapshot(const ModelCache *cache)
{
	ModelRun	seen;
	ModelRun	now;

	if (!IsolationUsesXactSnapshot())
		return;
	read_run_again(cache->model, GetTransactionSnapshot(), &seen);
	read_run_again(cache->model, GetLatestSnapshot(), &now);
	if (!ItemPointerEquals(&seen.tid, &now.tid))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent training"),
				 errhint("The transaction might succeed if retried.")));
}

/* Runs a statement on the row, as the caller; returns the rows it concerned. */
static uint64
run_statement(const char *statement, int nargs, Oid *types, Datum *values,
			  int expected)
{
	uint64		processed;
	int			result;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	result = SPI_execute_with_args(statement, nargs, types, values, NULL,
								   false, 0);
	if (result < 0)
		elog(ERROR, "SPI_execute_with_args failed: %s",
			 SPI_result_code_string(result));
	/* a rule may have made something else of it */
	processed = result == expected ? SPI_processed : 0;
	SPI_finish();
	return processed;
}

void
refresh_reject_kept_out(Oid table, const char *function)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s could not change factor table \"%s\"",
					function, get_rel_name(table)),
			 errdetail("A trigger, a rule or another unique index of the table prevents it."),
			 errhint("Drop that: the table belongs to the model.")));
}

/* The same for what a row is stored in. */
pg_noreturn static void
reject_kept_out(const Refresh *refresh)
{
	refresh_reject_kept_out(refresh->cache->run.factor_tables[refresh->side],
							refresh->function);
}

/* Locks the row; false if there is none. */
static bool
lock_row(Refresh *refresh)
{
	const IdType *type = &refresh->cache->sides[refresh->side].type;
	Oid			argument = type->type;

	/* without an order there is no unique index that keeps others away */
	if (!OidIsValid(type->compare.fn_oid))
		LockRelationOid(refresh->cache->run.factor_tables[refresh->side],
						ShareRowExclusiveLock);
	return run_statement(psprintf("SELECT FROM %s WHERE %s FOR UPDATE",
								  refresh->table, refresh->matches),
						 1, &argument, &refresh->id, SPI_OK_SELECT) > 0;
}

/* Deletes the row. */
static void
delete_row(Refresh *refresh)
{
	Oid			argument = refresh->cache->sides[refresh->side].type.type;

	if (run_statement(psprintf("DELETE FROM %s WHERE %s", refresh->table,
							   refresh->matches),
					  1, &argument, &refresh->id, SPI_OK_DELETE) == 0)
		reject_kept_out(refresh);
}

/*
 * Stores a row's factors, in place of those that are there or as new; false
 * if somebody else has stored a new row meanwhile.
 */
static bool
store_row(Refresh *refresh, const float *row, bool exists)
{
	const ModelCache *cache = refresh->cache;
	bool		biased = cache->run.feedback == ALS_EXPLICIT;
	Oid			types[3] = {cache->sides[refresh->side].type.type,
	FLOAT4ARRAYOID, FLOAT4OID};
	Datum		values[3];
	const char *statement;

	values[0] = refresh->id;
	values[1] = reals_datum(row, cache->run.factors);
	values[2] = Float4GetDatum(biased ?
							   row[bias_position(cache, refresh->side)] : 0);
	if (exists)
	{
		statement = psprintf("UPDATE %s SET factors = $2%s WHERE %s",
							 refresh->table, biased ? ", bias = $3" : "",
							 refresh->matches);
		if (run_statement(statement, biased ? 3 : 2, types, values,
						  SPI_OK_UPDATE) == 0)
			reject_kept_out(refresh);
		return true;
	}
	statement = psprintf("INSERT INTO %s (%s, factors%s) VALUES ($1, $2%s) ON CONFLICT DO NOTHING",
						 refresh->table, refresh->id_column,
						 biased ? ", bias" : "", biased ? ", $3" : "");
	return run_statement(statement, biased ? 3 : 2, types, values,
						 SPI_OK_INSERT) > 0;
}

/* Opens the model and converts the id; false if it can be no id of a row. */
static bool
open_row(Refresh *refresh, FunctionCallInfo fcinfo)
{
	IdConversion conversion;

	refresh->cache = cache_open(PG_GETARG_OID(0));
	refresh_check_privilege(refresh->cache->run.factor_tables[refresh->side]);
	id_conversion_init(&conversion, &refresh->cache->sides[refresh->side].type,
					   get_fn_expr_argtype(fcinfo->flinfo, 1),
					   side_names[refresh->side],
					   CurrentMemoryContext);
	return id_convert(&conversion, PG_GETARG_DATUM(1), &refresh->id);
}

/* Names the row for statements; the tables are there, and locked. */
static void
name_row(Refresh *refresh)
{
	Oid			table = refresh->cache->run.factor_tables[refresh->side];

	refresh->table = qualified_name(table);
	refresh->matches = id_equality(refresh->id_column, "$1",
								   &refresh->cache->sides[refresh->side].type);
}

/*
 * Locks the row and reads its ratings and features as they are then; false if
 * something on the way has replaced the model, and perhaps the type of its ids.
 */
static bool
read_refreshed_row(Refresh *refresh, bool *exists, RowRatings *ratings,
				   RowFeatures *features)
{
	if (cache_replaced(refresh->cache))
		return false;
	name_row(refresh);
	*exists = lock_row(refresh);
	CHECK_FOR_INTERRUPTS();
	if (cache_replaced(refresh->cache))
		return false;
	refresh->cache = cache_open(refresh->cache->model);
	live_ratings_read(refresh->cache, refresh->side, refresh->id, false,
					  refresh->function, ratings);
	if (cache_replaced(refresh->cache))
		return false;
	live_features_read(refresh->cache, refresh->side, refresh->id, false,
					   refresh->function, features);
	return !cache_replaced(refresh->cache);
}

/* Solves the row and stores it; does the model know it now? */
static bool
refresh_row(Refresh *refresh, FunctionCallInfo fcinfo)
{
	int			times = 0;
	int			tries = 0;

	while (open_row(refresh, fcinfo))
	{
		bool		exists;
		RowRatings	ratings;
		RowFeatures features;
		const float *row;

		if (!read_refreshed_row(refresh, &exists, &ratings, &features))
		{
			cache_start_over(refresh->cache, &times);
			continue;
		}
		row = fold_in(refresh->cache, refresh->side, &ratings,
					  features_prior(refresh->cache, refresh->side, &features));
		if (row == NULL)
		{
			if (exists)
				delete_row(refresh);
			return false;
		}
		if (store_row(refresh, row, exists))
			return true;
		/* others may add the row and delete it again, but not for ever */
		if (++tries == STORE_TRIES)
			reject_kept_out(refresh);
	}
	return false;
}

ModelCache *
refresh_begin(Oid model, AlsSide side, bool or_other, const char *function)
{
	ModelCache *cache;

	prevent_in_recovery(function,
						"Refresh on the primary; this server serves the row as soon as it is replicated.");
	PreventCommandIfReadOnly(function);
	PreventCommandIfParallelMode(function);
	lock_against_training(model, side, or_other, function);
	cache = cache_open(model);
	check_snapshot(cache);
	model_require_source(model, &cache->run,
						 "Train it with als_train, from a table that stays.");
	return cache;
}

/* Both functions */
static Datum
refresh_argument(FunctionCallInfo fcinfo, AlsSide side, const char *function)
{
	Oid			model = PG_GETARG_OID(0);
	Refresh		refresh = {0};
	bool		known;

	require_arguments(fcinfo, 2);
	refresh.cache = refresh_begin(model, side, false, function);
	refresh.side = side;
	refresh.id_column = side_id_columns[side];
	refresh.function = function;
	known = refresh_row(&refresh, fcinfo);
	stats_discard(&refresh.cache->counts);
	PG_RETURN_BOOL(known);
}

/* als_refresh_user(model, user) */
Datum
als_refresh_user(PG_FUNCTION_ARGS)
{
	return refresh_argument(fcinfo, ALS_USERS, "als_refresh_user");
}

/* als_refresh_item(model, item) */
Datum
als_refresh_item(PG_FUNCTION_ARGS)
{
	return refresh_argument(fcinfo, ALS_ITEMS, "als_refresh_item");
}
