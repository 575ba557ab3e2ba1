/*
 * model.c
 *	  A model as relations: what counts as one, privileges, and locks.
 *
 * The table of runs knows its factor tables by oid, in regclass columns, so
 * that renaming and moving any of the three changes nothing, and pg_dump
 * carries the link.  Since that column could name any table, a factor table
 * counts only if it belongs to the model's owner; that is what makes SELECT on
 * the model enough to predict.
 */
#include "compat.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "model/model.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

bool
is_model(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid			type = InvalidOid;
	char	   *name;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_class class = (Form_pg_class) GETSTRUCT(tuple);

		/* a partitioned table may be of a type as well, and has no rows */
		if (class->relkind == RELKIND_RELATION)
			type = class->reloftype;
		ReleaseSysCache(tuple);
	}
	if (!OidIsValid(type) ||
		getExtensionOfObject(TypeRelationId, type) !=
		get_extension_oid("als", true))
		return false;
	name = get_rel_name(get_typ_typrelid(type));
	return name != NULL && strcmp(name, "als_model") == 0;
}

void
prevent_in_recovery(const char *command, const char *hint)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot execute %s during recovery", command),
				 errhint("%s", hint)));
}

void
require_model(Oid relation)
{
	char	   *name = get_rel_name(relation);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("model with OID %u does not exist", relation)));
	if (!is_model(relation))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an als model", name),
				 errdetail("A model is a table that als_train has created."),
				 errhint("The view als_models lists all models.")));
	if (isOtherTempNamespace(get_rel_namespace(relation)))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot use temporary model \"%s\" of another session",
						name)));
}

void
model_check_select(Oid model)
{
	AclResult	result = pg_class_aclcheck(model, GetUserId(), ACL_SELECT);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_TABLE, get_rel_name(model));
	if (check_enable_rls(model, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot use model \"%s\" under row-level security",
						get_rel_name(model)),
				 errhint("Disable row-level security on the model's table; SELECT on it is the right to predict.")));
}

void
model_require_run(Relation model, int32 number, ModelRun *run)
{
	Snapshot	snapshot =
		RegisterSnapshot(GetCatalogSnapshot(RelationGetRelid(model)));

	if (!model_read_run(model, snapshot, number, run))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has not been trained",
						RelationGetRelationName(model)),
				 errhint("Train it with als_train.")));
	UnregisterSnapshot(snapshot);
}

void
model_require_source(Oid model, const ModelRun *run, const char *hint)
{
	if (run->source == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" does not know what it was trained from",
						get_rel_name(model)),
				 errdetail("It was trained by als_train_agg or from a temporary table, or imported without ratings."),
				 errhint("%s", hint)));
}

/* Has this transaction locked one of the tables for reading? */
static bool
has_read(const Oid tables[2])
{
	for (int side = 0; side < 2; side++)
		if (OidIsValid(tables[side]) &&
			holds_relation_lock(tables[side], AccessShareLock))
			return true;
	return false;
}

/* Has this transaction read the factors of a run? */
static bool
has_read_factors(Oid relation)
{
	Relation	model = try_relation_open(relation, AccessShareLock);
	bool		result = false;

	if (model == NULL)
		return false;
	if (is_model(relation))
	{
		Snapshot	snapshot = RegisterSnapshot(GetCatalogSnapshot(relation));
		ModelRun	run;
		RunList		list;
		ListCell   *cell;

		model_list_runs(model, snapshot, &list);
		result = model_read_run(model, snapshot, 0, &run) &&
			has_read(run.factor_tables);
		foreach(cell, list.kept)
			result |= has_read(((KeptRun *) lfirst(cell))->factor_tables);
		UnregisterSnapshot(snapshot);
	}
	relation_close(model, AccessShareLock);
	return result;
}

/* Does a training hold the model, and not only refreshes? */
static bool
is_being_trained(Oid model, LOCKMODE wanted)
{
	if (wanted != ShareLock && ConditionalLockRelationOid(model, ShareLock))
	{
		UnlockRelationOid(model, ShareLock);
		return false;
	}
	return true;
}

void
model_lock(Oid model, LOCKMODE mode, const char *function)
{
	if (ConditionalLockRelationOid(model, mode))
		return;
	if (is_being_trained(model, mode) && has_read_factors(model))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("%s cannot wait for the training of model \"%s\"",
						function, get_rel_name(model)),
				 errdetail("This transaction has read from the model before, and so the training would wait for it."),
				 errhint("Call it in a transaction of its own, or before reading from the model.")));
	LockRelationOid(model, mode);
}

void
model_require_biases(Oid model, const ModelRun *run)
{
	if (run->feedback != ALS_EXPLICIT || !run->biases)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" has no biases", get_rel_name(model)),
				 errdetail("Models of explicit feedback have, unless they are trained with biases => false."),
				 errhint("Leave cold_start out: what is not known is not predicted then.")));
}
