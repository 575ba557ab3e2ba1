/*
 * track.c
 *	  als_track, als_untrack: a queue of the ratings that have changed, which
 *	  als_refresh empties.
 *
 * A queue is a table with a row (user_id, item_id) for each row of the ratings that
 * has been inserted, updated or deleted.  It is filled by a constraint trigger on the
 * ratings that is FROM the queue: so PostgreSQL keeps which queue that is, whatever
 * is renamed, pg_dump carries it, and the trigger goes when the queue does.  The
 * queue hangs on the model, and goes when that is dropped.
 *
 * A change and its row in the queue are of one transaction.  als_refresh deletes the
 * rows that it sees and reads the ratings after that, in one transaction as well: it
 * reads all changes whose rows it has deleted, and rows of others stay.
 */
#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_depend.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "common/extension.h"
#include "common/side.h"
#include "executor/spi.h"
#include "model/model_cache.h"
#include "ratings/source.h"
#include "serve/track.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(als_track);
PG_FUNCTION_INFO_V1(als_untrack);
PG_FUNCTION_INFO_V1(als_note_change);

/* What a trigger keeps from row to row of a statement */
typedef struct NoteState
{
	AttrNumber	columns[2];		/* of the ratings, by AlsSide */
	SPIPlanPtr	plan;
	Oid			owner;			/* of the queue */
	MemoryContextCallback end;
} NoteState;

/* The name of a relation, quoted and qualified. */
static const char *
qualified_name(Oid relation)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
									  get_rel_name(relation));
}

/* Is it a table that can be a queue? */
static bool
is_queue(Oid relation)
{
	return get_rel_relkind(relation) == RELKIND_RELATION &&
		get_attnum(relation, side_id_columns[ALS_USERS]) != InvalidAttrNumber &&
		get_attnum(relation, side_id_columns[ALS_ITEMS]) != InvalidAttrNumber;
}

/* The queue that hangs on a model; InvalidOid if there is none. */
static Oid
find_queue(Oid model)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	Oid			queue = InvalidOid;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(model));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, keys);
	while (!OidIsValid(queue) && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend row = (Form_pg_depend) GETSTRUCT(tuple);

		if (row->classid == RelationRelationId &&
			row->deptype == DEPENDENCY_AUTO && is_queue(row->objid))
			queue = row->objid;
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return queue;
}

/* The same, or raises. */
static Oid
require_queue(Oid model)
{
	Oid			queue = find_queue(model);

	if (!OidIsValid(queue))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" is not tracked", get_rel_name(model)),
				 errhint("Call als_track first; or refresh users, items or what has changed since a time.")));
	return queue;
}

/* Runs a command as the current user. */
static void
run_command(const char *command)
{
	int			result;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	result = SPI_execute(command, false, 0);
	if (result != SPI_OK_UTILITY)
		elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(result));
	SPI_finish();
}

/*
 * The table of a model's ratings, locked against changes, and the columns with the
 * ids as those of a new table; raises if it is none that the user may put a trigger
 * on.
 */
static Oid
open_ratings(ModelCache *cache, const char **columns)
{
	const ModelRun *run = &cache->run;
	SourceReader reader = {"als_track", get_rel_name(cache->model), NULL};
	MemoryContext caller = CurrentMemoryContext;
	SourceReading reading;
	StringInfoData definition;
	TupleDesc	desc;
	Oid			ratings = InvalidOid;
	char		relkind = RELKIND_VIEW;

	source_begin(&reading, "ratings", run->source, &reader);
	if (!reading.is_query)
	{
		RangeVar   *name = makeRangeVarFromNameList(textToQualifiedNameList(cstring_to_text(reading.name)));

		ratings = RangeVarGetRelid(name, ShareRowExclusiveLock, false);
		relkind = get_rel_relkind(ratings);
	}
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot track the ratings of model \"%s\"",
						get_rel_name(cache->model)),
				 errdetail("They are not those of a table, of which triggers tell what changes."),
				 errhint("Put triggers of your own on the tables that they are from, and call als_refresh with what has changed.")));
	if (!owns_relation(ratings, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(ratings));

	desc = source_plan(source_prepare(&reading, "*", "", 0, NULL))->resultDesc;
	MemoryContextSwitchTo(caller);
	initStringInfo(&definition);
	for (int side = 0; side < 2; side++)
	{
		Form_pg_attribute column =
			source_column(desc, side == ALS_USERS ? run->user_column :
						  run->item_column, side == ALS_USERS ? "user_column" :
						  "item_column");

		/* neither of a domain nor of a length: what is noted is only copied */
		appendStringInfo(&definition, "%s%s %s", side == 0 ? "" : ", ",
						 side_id_columns[side],
						 format_type_extended(getBaseType(column->atttypid), -1,
											  FORMAT_TYPE_FORCE_QUALIFY));
	}
	source_end(&reading);
	*columns = definition.data;
	return ratings;
}

/*
 * Makes the queue of a model; one that is there already, but does not hang on the
 * model, is one that has been restored from a dump.
 */
static Oid
make_queue(Oid model, const char *columns)
{
	Oid			schema = get_rel_namespace(model);
	char	   *name = makeObjectName(get_rel_name(model), NULL, "changes");
	Oid			queue = get_relname_relid(name, schema);
	Oid			owner = relation_owner(model);
	const char *qualified = quote_qualified_identifier(get_namespace_name(schema),
													   name);
	ObjectAddress dependent;
	ObjectAddress referenced;

	if (!OidIsValid(queue))
	{
		run_command(psprintf("CREATE TABLE %s (%s)", qualified, columns));
		if (owner != GetUserId())
			run_command(psprintf("ALTER TABLE %s OWNER TO %s", qualified,
								 quote_identifier(GetUserNameFromId(owner, false))));
		queue = get_relname_relid(name, schema);
	}
	else if (!is_queue(queue) || relation_owner(queue) != owner)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" already exists and is no queue of model \"%s\"",
						name, get_rel_name(model)),
				 errhint("Drop or rename the relation.")));
	ObjectAddressSet(dependent, RelationRelationId, queue);
	ObjectAddressSet(referenced, RelationRelationId, model);
	recordDependencyOn(&dependent, &referenced, DEPENDENCY_AUTO);
	return queue;
}

/* als_track(model): makes the queue, and the trigger that fills it. */
Datum
als_track(PG_FUNCTION_ARGS)
{
	Oid			model = PG_GETARG_OID(0);
	ModelCache *cache;
	const char *columns;
	const char *trigger;
	Oid			ratings;
	Oid			queue;

	PreventCommandIfReadOnly("als_track()");
	PreventCommandIfParallelMode("als_track()");
	LockRelationOid(model, AccessShareLock);
	require_model(model);
	if (!owns_relation(model, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(model));
	model_lock(model, ShareUpdateExclusiveLock, "als_track");
	cache = cache_open(model);
	if (get_rel_persistence(model) == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot track temporary model \"%s\"",
						get_rel_name(model)),
				 errdetail("Other sessions, which change the ratings, could not fill its queue.")));
	model_require_source(model, &cache->run,
						 "Train it with als_train, from a table that stays.");
	if (OidIsValid(find_queue(model)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("model \"%s\" is tracked already", get_rel_name(model)),
				 errhint("als_untrack ends it.")));
	ratings = open_ratings(cache, &columns);
	queue = make_queue(model, columns);
	trigger = quote_identifier(makeObjectName(get_namespace_name(get_rel_namespace(model)),
											  get_rel_name(model), "als_track"));
	run_command(psprintf("DROP TRIGGER IF EXISTS %s ON %s", trigger,
						 qualified_name(ratings)));
	run_command(psprintf("CREATE CONSTRAINT TRIGGER %s AFTER INSERT OR UPDATE OR DELETE ON %s"
						 " FROM %s FOR EACH ROW EXECUTE FUNCTION %s(%s, %s)",
						 trigger, qualified_name(ratings), qualified_name(queue),
						 quote_qualified_identifier(get_namespace_name(extension_schema()),
													"als_note_change"),
						 quote_literal_cstr(cache->run.user_column),
						 quote_literal_cstr(cache->run.item_column)));
	PG_RETURN_OID(queue);
}

/* als_untrack(model): drops the queue, and with it the trigger. */
Datum
als_untrack(PG_FUNCTION_ARGS)
{
	Oid			model = PG_GETARG_OID(0);

	PreventCommandIfReadOnly("als_untrack()");
	PreventCommandIfParallelMode("als_untrack()");
	require_model(model);
	run_command(psprintf("DROP TABLE %s", qualified_name(require_queue(model))));
	PG_RETURN_VOID();
}

/* Raises for a trigger that als_track has not made. */
pg_noreturn static void
reject_trigger(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("als_note_change must be called by a trigger of als_track")));
}

/*
 * The column of the ratings that has a side's ids.  It has to be of the queue's type:
 * a cast could be code of somebody else, which would run as the queue's owner.
 */
static AttrNumber
find_column(const TriggerData *trigger, AlsSide side)
{
	Relation	ratings = trigger->tg_relation;
	const char *name = trigger->tg_trigger->tgargs[side];
	Oid			queue = trigger->tg_trigger->tgconstrrelid;
	Oid			queue_type = get_atttype(queue, get_attnum(queue, side_id_columns[side]));
	int			column = SPI_fnumber(RelationGetDescr(ratings), name);
	Oid			type = column <= 0 ? InvalidOid :
		getBaseType(SPI_gettypeid(RelationGetDescr(ratings), column));

	if (column <= 0 || type != queue_type)
		ereport(ERROR,
				(errcode(column <= 0 ? ERRCODE_UNDEFINED_COLUMN : ERRCODE_DATATYPE_MISMATCH),
				 column <= 0 ?
				 errmsg("column \"%s\" of table \"%s\" does not exist",
						name, RelationGetRelationName(ratings)) :
				 errmsg("column \"%s\" of table \"%s\" is not of the type that queue \"%s\" has",
						name, RelationGetRelationName(ratings),
						get_rel_name(queue)),
				 errdetail("Trigger \"%s\" notes what changes for a model.",
						   trigger->tg_trigger->tgname),
				 errhint("Drop the queue, or call als_untrack, and track the model again.")));
	return column;
}

/* The end of a statement: frees its plan. */
static void
end_notes(void *arg)
{
	SPI_freeplan(((NoteState *) arg)->plan);
}

/* Prepares to note changes, for the rows of a statement. */
static NoteState *
begin_notes(const TriggerData *trigger, MemoryContext context)
{
	NoteState  *state = MemoryContextAllocZero(context, sizeof(NoteState));
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	Oid			queue = trigger->tg_trigger->tgconstrrelid;
	Oid			types[2];

	if (!OidIsValid(queue) || trigger->tg_trigger->tgnargs != 2)
		reject_trigger();
	for (int side = 0; side < 2; side++)
	{
		state->columns[side] = find_column(trigger, side);
		types[side] = SPI_gettypeid(desc, state->columns[side]);
	}
	state->owner = relation_owner(queue);
	state->plan = SPI_prepare(psprintf("INSERT INTO %s (%s, %s) VALUES ($1, $2)",
									   qualified_name(queue),
									   side_id_columns[ALS_USERS],
									   side_id_columns[ALS_ITEMS]), 2, types);
	if (state->plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(state->plan);
	state->end.func = end_notes;
	state->end.arg = state;
	MemoryContextRegisterResetCallback(context, &state->end);
	return state;
}

/* Adds the ids of a row to the queue. */
static void
note_row(const NoteState *state, const TriggerData *trigger, HeapTuple row)
{
	Datum		values[2];
	char		nulls[2];
	int			result;

	for (int side = 0; side < 2; side++)
	{
		bool		isnull;

		values[side] = SPI_getbinval(row, RelationGetDescr(trigger->tg_relation),
									 state->columns[side], &isnull);
		nulls[side] = isnull ? 'n' : ' ';
	}
	result = SPI_execute_plan(state->plan, values, nulls, false, 0);
	if (result < 0)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(result));
}

/* Do two versions of a row have the same ids? */
static bool
has_same_ids(const NoteState *state, const TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);

	for (int side = 0; side < 2; side++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, state->columns[side] - 1);
		bool		old_null;
		bool		new_null;
		Datum		old_id = SPI_getbinval(trigger->tg_trigtuple, desc,
										   state->columns[side], &old_null);
		Datum		new_id = SPI_getbinval(trigger->tg_newtuple, desc,
										   state->columns[side], &new_null);

		if (old_null != new_null ||
			(!old_null && !datum_image_eq(old_id, new_id, column->attbyval,
										  column->attlen)))
			return false;
	}
	return true;
}

/*
 * als_note_change(user_column, item_column): trigger that adds a changed rating to
 * the queue, as the queue's owner.  To make a trigger that is FROM a table takes the
 * right TRIGGER on that, and nothing runs but what the queue itself has.
 */
Datum
als_note_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	NoteState  *state;
	Oid			user;
	int			security;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event))
		reject_trigger();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (fcinfo->flinfo->fn_extra == NULL)
		fcinfo->flinfo->fn_extra = begin_notes(trigger, fcinfo->flinfo->fn_mcxt);
	state = fcinfo->flinfo->fn_extra;

	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(state->owner, security | SECURITY_LOCAL_USERID_CHANGE);
	note_row(state, trigger, trigger->tg_trigtuple);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) &&
		!has_same_ids(state, trigger))
		note_row(state, trigger, trigger->tg_newtuple);
	SetUserIdAndSecContext(user, security);
	SPI_finish();
	PG_RETURN_POINTER(NULL);
}

void
queue_types(Oid model, Oid types[2])
{
	Oid			queue = require_queue(model);

	for (int side = 0; side < 2; side++)
		types[side] = get_atttype(queue, get_attnum(queue, side_id_columns[side]));
}

void
queue_take(Oid model, DestReceiver *receiver)
{
	const char *queue = qualified_name(require_queue(model));
	SPIExecuteOptions options = {0};
	int			result;

	options.dest = receiver;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	result = SPI_execute_extended(psprintf("DELETE FROM %s WHERE ctid = ANY (ARRAY(SELECT ctid FROM %s FOR UPDATE SKIP LOCKED))"
										   " RETURNING %s, %s", queue, queue,
										   side_id_columns[ALS_USERS],
										   side_id_columns[ALS_ITEMS]), &options);
	if (result < 0)
		elog(ERROR, "SPI_execute_extended failed: %s",
			 SPI_result_code_string(result));
	SPI_finish();
}
