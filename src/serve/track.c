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
#include "access/relation.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "commands/trigger.h"
#include "common/names.h"
#include "common/side.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "model/model_cache.h"
#include "model/model_check.h"
#include "parser/parse_func.h"
#include "ratings/source.h"
#include "serve/track.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(als_track);
PG_FUNCTION_INFO_V1(als_untrack);

/* Has it the columns of a queue? */
static bool
has_queue_columns(Oid relation)
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
	SysScanDesc scan = begin_dependencies(depend, model, true);
	Oid			queue = InvalidOid;
	HeapTuple	tuple;

	while (!OidIsValid(queue) && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend row = (Form_pg_depend) GETSTRUCT(tuple);

		if (row->classid == RelationRelationId &&
			row->deptype == DEPENDENCY_AUTO && has_queue_columns(row->objid))
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

bool
queue_is_plain(Relation relation)
{
	TupleDesc	desc = RelationGetDescr(relation);

	if (relation->rd_rel->relkind != RELKIND_RELATION ||
		relation->rd_rel->relpersistence == RELPERSISTENCE_TEMP ||
		relation->rd_rel->relispartition ||
		relation->rd_rel->relrowsecurity ||
		relation->trigdesc != NULL || relation->rd_rules != NULL ||
		RelationGetIndexList(relation) != NIL ||
		desc->constr != NULL || desc->natts != 2)
		return false;
	for (int side = 0; side < 2; side++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, side);

		if (strcmp(NameStr(column->attname), side_id_columns[side]) != 0 ||
			column->atttypmod != -1)
			return false;
	}
	return true;
}

/* Does a relation hang on another one, as a queue does on its model? */
static bool
hangs_on_relation(Oid relation)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	SysScanDesc scan = begin_dependencies(depend, relation, false);
	bool		found = false;
	HeapTuple	tuple;

	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = ((Form_pg_depend) GETSTRUCT(tuple))->refclassid == RelationRelationId;
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return found;
}

/*
 * The triggers that fill a queue, and the tables that they are on; without those that
 * partitions have of their parents.
 */
static List *
find_triggers(Oid queue, List **tables)
{
	List	   *name = textToQualifiedNameList(cstring_to_text(qualified_function("als_note_change")));
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	List	   *triggers = NIL;
	ScanKeyData keys[3];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_trigger_tgconstrrelid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(queue));
	ScanKeyInit(&keys[1], Anum_pg_trigger_tgfoid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(LookupFuncName(name, 0, NULL, false)));
	ScanKeyInit(&keys[2], Anum_pg_trigger_tgparentid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(InvalidOid));
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 3, keys);
	*tables = NIL;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger row = (Form_pg_trigger) GETSTRUCT(tuple);

		triggers = lappend_oid(triggers, row->oid);
		*tables = lappend_oid(*tables, row->tgrelid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return triggers;
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
 * The table of a model's ratings, locked against changes, and the types that a queue
 * of them has; raises if the user may not put a trigger on it, or the model's owner
 * may not learn what changes.
 */
static Oid
open_ratings(ModelCache *cache, Oid types[2])
{
	const ModelRun *run = &cache->run;
	SourceReader reader = {"als_track", get_rel_name(cache->model), NULL};
	MemoryContext caller = CurrentMemoryContext;
	SourceReading reading;
	TupleDesc	desc;
	Oid			ratings = InvalidOid;
	char		relkind = RELKIND_VIEW;

	source_begin(&reading, "ratings", run->source, &reader);
	if (!reading.is_query)
	{
		RangeVar   *name = makeRangeVarFromNameList(textToQualifiedNameList(cstring_to_text(reading.name)));

		ratings = RangeVarGetRelidExtended(name, ShareRowExclusiveLock, 0,
										   RangeVarCallbackOwnsRelation, NULL);
		relkind = get_rel_relkind(ratings);
	}
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot track the ratings of model \"%s\"",
						get_rel_name(cache->model)),
				 errdetail("They are not those of a table, of which triggers tell what changes."),
				 errhint("Put triggers of your own on the tables that they are from, and call als_refresh with what has changed.")));
	if (relkind == RELKIND_RELATION &&
		find_inheritance_children(ratings, NoLock) != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot track the ratings of model \"%s\"",
						get_rel_name(cache->model)),
				 errdetail("Other tables inherit from \"%s\", and a trigger on it does not tell what changes in these.",
						   get_rel_name(ratings)),
				 errhint("Partition the table, or put triggers of your own on all of them, and call als_refresh with what has changed.")));

	desc = source_plan(source_prepare(&reading, "*", "", 0, NULL))->resultDesc;
	MemoryContextSwitchTo(caller);
	/* not domains: what is noted is only copied */
	for (int side = 0; side < 2; side++)
		types[side] = getBaseType(source_column(desc, side == ALS_USERS ?
												run->user_column : run->item_column,
												side == ALS_USERS ? "user_column" :
												"item_column")->atttypid);
	source_end(&reading);
	if (!has_privs_of_role(relation_owner(cache->model), relation_owner(ratings)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot track the ratings of model \"%s\"",
						get_rel_name(cache->model)),
				 errdetail("The owner of the model, to whom the queue belongs, is not an owner of table \"%s\".",
						   get_rel_name(ratings)),
				 errhint("Give the model to the owner of the ratings with ALTER TABLE ... OWNER TO.")));
	return ratings;
}

/* Is it a queue of these ratings that has been restored from a dump? */
static bool
is_restored_queue(Oid relation, Oid ratings, const Oid types[2])
{
	Relation	queue = relation_open(relation, ShareRowExclusiveLock);
	List	   *tables;
	bool		is_queue = queue_is_plain(queue) &&
		TupleDescAttr(RelationGetDescr(queue), ALS_USERS)->atttypid == types[ALS_USERS] &&
		TupleDescAttr(RelationGetDescr(queue), ALS_ITEMS)->atttypid == types[ALS_ITEMS] &&
		!hangs_on_relation(relation);

	relation_close(queue, NoLock);
	if (!is_queue)
		return false;
	find_triggers(relation, &tables);
	return list_member_oid(tables, ratings);
}

/* Makes the table of a queue. */
static void
create_queue(const char *qualified, Oid owner, const Oid types[2])
{
	const char *names[2];

	/* no lengths, either */
	for (int side = 0; side < 2; side++)
		names[side] = type_name_any_length(types[side]);
	run_command(psprintf("CREATE TABLE %s (%s %s, %s %s)", qualified,
						 side_id_columns[ALS_USERS], names[ALS_USERS],
						 side_id_columns[ALS_ITEMS], names[ALS_ITEMS]));
	if (owner != GetUserId())
		run_command(psprintf("ALTER TABLE %s OWNER TO %s", qualified,
							 quote_identifier(GetUserNameFromId(owner, false))));
}

/*
 * Makes the queue of a model; one that is there already, but does not hang on the
 * model, is one that has been restored from a dump.
 */
static Oid
make_queue(Oid model, Oid ratings, const Oid types[2])
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
		create_queue(qualified, owner, types);
		queue = get_relname_relid(name, schema);
	}
	else if (relation_owner(queue) != owner ||
			 !is_restored_queue(queue, ratings, types))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" already exists and is no queue of model \"%s\"",
						name, get_rel_name(model)),
				 errdetail("One that is restored from a dump has the columns and the owner that als_track gives it, a trigger on the ratings fills it, and it is of no other model."),
				 errhint("Drop or rename the relation.")));
	/* it has no key, and FOR ALL TABLES publishes it */
	run_command(psprintf("ALTER TABLE %s REPLICA IDENTITY FULL", qualified));
	ObjectAddressSet(dependent, RelationRelationId, queue);
	ObjectAddressSet(referenced, RelationRelationId, model);
	recordDependencyOn(&dependent, &referenced, DEPENDENCY_AUTO);
	return queue;
}

/* A name for a trigger that neither the ratings nor partitions of them have. */
static const char *
choose_trigger_name(Oid model, Oid ratings)
{
	const char *schema = get_namespace_name(get_rel_namespace(model));
	List	   *tables = find_all_inheritors(ratings, NoLock, NULL);
	const char *name = makeObjectName(schema, get_rel_name(model), "als_track");
	int			tries = 0;
	bool		used;

	do
	{
		ListCell   *cell;

		used = false;
		foreach(cell, tables)
			used |= OidIsValid(get_trigger_oid(lfirst_oid(cell), name, true)) ||
			ConstraintNameIsUsed(CONSTRAINT_RELATION, lfirst_oid(cell), name);
		if (used)
			name = makeObjectName(schema, get_rel_name(model),
								  psprintf("als_track%d", ++tries));
	} while (used);
	return name;
}

/* Makes the trigger by which a table fills a queue, instead of what does already. */
static void
make_trigger(Oid model, Oid ratings, Oid queue, const ModelRun *run)
{
	Oid			owner = relation_owner(ratings);
	List	   *tables;
	List	   *triggers = find_triggers(queue, &tables);
	ListCell   *trigger;
	ListCell   *table;

	forboth(trigger, triggers, table, tables)
	{
		ObjectAddress address;

		if (lfirst_oid(table) != ratings)
			continue;
		ObjectAddressSet(address, TriggerRelationId, lfirst_oid(trigger));
		performDeletion(&address, DROP_RESTRICT, 0);
		CommandCounterIncrement();
	}
	run_command(psprintf("CREATE CONSTRAINT TRIGGER %s AFTER INSERT OR UPDATE OR DELETE ON %s"
						 " FROM %s FOR EACH ROW EXECUTE FUNCTION %s(%s, %s)",
						 quote_identifier(choose_trigger_name(model, ratings)),
						 qualified_name(ratings), qualified_name(queue),
						 qualified_function("als_note_change"),
						 quote_literal_cstr(run->user_column),
						 quote_literal_cstr(run->item_column)));
	if (pg_class_aclcheck(queue, owner, ACL_INSERT) != ACLCHECK_OK)
		run_command(psprintf("GRANT INSERT ON %s TO %s", qualified_name(queue),
							 quote_identifier(GetUserNameFromId(owner, false))));
}

/* als_track(model): makes the queue, and the trigger that fills it. */
Datum
als_track(PG_FUNCTION_ARGS)
{
	Oid			model = PG_GETARG_OID(0);
	ModelCache *cache;
	Oid			types[2];
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
	ratings = open_ratings(cache, types);
	queue = make_queue(model, ratings, types);
	make_trigger(model, ratings, queue, &cache->run);
	PG_RETURN_OID(queue);
}

/*
 * Locks the tables that fill a queue, before the queue, as whoever writes to them does.
 */
static void
lock_ratings(Oid queue)
{
	List	   *tables;
	ListCell   *table;

	find_triggers(queue, &tables);
	foreach(table, tables)
	{
		LockRelationOid(lfirst_oid(table), AccessExclusiveLock);
		find_all_inheritors(lfirst_oid(table), AccessExclusiveLock, NULL);
	}
}

/*
 * als_untrack(model): drops the queue, and with it the trigger.  The lock of the model
 * keeps refreshes away, which delete from the queue before they read the ratings.
 */
Datum
als_untrack(PG_FUNCTION_ARGS)
{
	Oid			model = PG_GETARG_OID(0);
	Oid			queue;

	PreventCommandIfReadOnly("als_untrack()");
	PreventCommandIfParallelMode("als_untrack()");
	LockRelationOid(model, AccessShareLock);
	require_model(model);
	if (!owns_relation(model, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(model));
	model_lock(model, ShareUpdateExclusiveLock, "als_untrack");
	queue = require_queue(model);
	if (!owns_relation(queue, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(queue));
	lock_ratings(queue);
	run_command(psprintf("DROP TABLE %s", qualified_name(queue)));
	PG_RETURN_VOID();
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
	result = SPI_execute_extended(psprintf("WITH taken AS MATERIALIZED (SELECT ctid AS place FROM %s FOR UPDATE SKIP LOCKED)"
										   " DELETE FROM %s AS queue USING taken WHERE queue.ctid OPERATOR(pg_catalog.=) taken.place"
										   " RETURNING queue.%s, queue.%s", queue, queue,
										   side_id_columns[ALS_USERS],
										   side_id_columns[ALS_ITEMS]), &options);
	if (result < 0)
		elog(ERROR, "SPI_execute_extended failed: %s",
			 SPI_result_code_string(result));
	SPI_finish();
}
