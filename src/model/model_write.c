/*
 * model_write.c
 *	  A model as relations: creating its tables.  model_check.c checks those that it
 *	  has, model_swap.c replaces the factors, model_versions.c keeps runs.
 */
#include "compat.h"

#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "common/names.h"
#include "common/side.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "model/factor_table.h"
#include "model/model.h"
#include "model/model_check.h"
#include "model/model_versions.h"
#include "model/model_write.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

/* The last number of locks on names; that of shared_cache.c on tables is 1 */
#define NAME_LOCK 2

static const char *const side_suffixes[] = {"_users", "_items"};

/* Runs a statement as the current user. */
static void
run_sql(const char *statement, int expected)
{
	int			result;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	result = SPI_execute(statement, false, 0);
	if (result != expected)
		elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(result));
	SPI_finish();
}

/*
 * Makes DML on one of a model's tables known to all sessions, whatever
 * session_replication_role is.  The worker that applies a logical
 * subscription's changes fires triggers for rows alone.
 */
static void
create_triggers(const char *qualified)
{
	const char *function = qualified_function("als_changed");

	run_sql(psprintf("CREATE TRIGGER als_changed AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s()",
					 qualified, function), SPI_OK_UTILITY);
	run_sql(psprintf("CREATE TRIGGER als_changed_replica AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION %s()",
					 qualified, function), SPI_OK_UTILITY);
	run_sql(psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER als_changed, ENABLE REPLICA TRIGGER als_changed_replica",
					 qualified), SPI_OK_UTILITY);
}

/*
 * Reserves a name for this transaction, as long as nobody else creates a
 * relation than trainings, which wait for each other here.
 */
static void
reserve_name(Oid schema, const char *name)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId,
					   hash_combine(schema, string_hash(name, NAMEDATALEN)),
					   NAME_LOCK);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	AcceptInvalidationMessages();
}

/* Raises if a relation that training wants to create is there already. */
static void
reject_taken_name(Oid schema, const char *name)
{
	reserve_name(schema, name);
	if (OidIsValid(get_relname_relid(name, schema)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" already exists and is not an als model",
						name),
				 errhint("Choose another name for the model, or drop the relation.")));
}

void
check_may_create(Oid schema)
{
	if (!may_create_in_schema(schema, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for schema %s",
						get_namespace_name(schema)),
				 errdetail("A new model, and each run that is kept, has tables created there."),
				 errhint("Grant CREATE on it, or name a new model with a schema in which you may create tables.")));
}

/* Raises if the name of a table that ends in suffix would be cut off. */
static void
check_name_length(const char *model, const char *suffix)
{
	if (strlen(model) + strlen(suffix) >= NAMEDATALEN)
		ereport(ERROR,
				(errcode(ERRCODE_NAME_TOO_LONG),
				 errmsg("model name \"%s\" is too long", model),
				 errdetail("Names of models have at most %d bytes.",
						   (int) (NAMEDATALEN - strlen(suffix) - 1)),
				 strcmp(suffix, FEATURES_SUFFIX) == 0 ?
				 errhint("The name of the table of features ends in " FEATURES_SUFFIX ".") :
				 errhint("The names of the factor tables end in _users and _items.")));
}

/* Creates the table of runs of a new model. */
static void
create_model(RangeVar *rangevar, Oid schema, Oid model_type,
			 ModelTarget *target)
{
	const char *qualified;

	target->schema = get_namespace_name(schema);
	target->name = rangevar->relname;

	check_name_length(target->name, side_suffixes[ALS_USERS]);
	reject_taken_name(schema, target->name);
	for (int side = 0; side < 2; side++)
		reject_taken_name(schema, psprintf("%s%s", target->name,
										   side_suffixes[side]));
	qualified = quote_qualified_identifier(target->schema, target->name);
	run_sql(psprintf("CREATE TABLE %s OF %s (PRIMARY KEY (run))", qualified,
					 format_type_be_qualified(model_type)),
			SPI_OK_UTILITY);
	create_triggers(qualified);
	target->model = get_relname_relid(target->name, schema);
}

void
model_check_owner(Oid model)
{
	if (!owns_relation(model, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(model));
}

/*
 * The model of a name, locked against other trainings while readers go on;
 * InvalidOid if there is none.  What was looked at before waiting for the lock
 * is looked at again.
 */
static Oid
lock_model_by_name(RangeVar *rangevar, const char *function)
{
	for (;;)
	{
		Oid			model = RangeVarGetRelid(rangevar, NoLock, true);

		if (!OidIsValid(model) || !is_model(model))
			return InvalidOid;
		model_check_owner(model);
		model_lock(model, ShareUpdateExclusiveLock, function);
		if (RangeVarGetRelid(rangevar, NoLock, true) == model &&
			is_model(model))
		{
			require_model(model);
			model_check_owner(model);
			return model;
		}
		UnlockRelationOid(model, ShareUpdateExclusiveLock);
	}
}

/*
 * Finds the factor tables of a model that has no runs, because they were
 * deleted or a dump has not had them; what is to be known of the last run is
 * what the tables say.
 */
static void
take_over_tables(Relation model, ModelTarget *target)
{
	for (int side = 0; side < 2; side++)
	{
		Oid			table = find_factor_table(model, side,
											  psprintf("%s%s", target->name,
													   side_suffixes[side]));

		target->last.factor_tables[side] = table;
		if (OidIsValid(table))
			target->last.feedback = factor_table_feedback(table);
	}
}

/* Claims the factor tables of the run before, or what is taken over. */
static void
claim_factor_tables(Relation model, const ModelTarget *target)
{
	for (int side = 0; side < 2; side++)
		if (target->last.run > 0 ||
			OidIsValid(target->last.factor_tables[side]))
			claim_factor_table(model, &target->last, side);
}

/* Reads the runs of a model that is locked. */
static void
read_runs(Relation model, ModelTarget *target, int keep)
{
	Snapshot	snapshot =
		RegisterSnapshot(GetCatalogSnapshot(RelationGetRelid(model)));
	RunList		list;

	model_read_run(model, snapshot, 0, &target->last);
	model_list_runs(model, snapshot, &list);
	UnregisterSnapshot(snapshot);
	target->newest = list.newest;
	target->keep = keep > 0 ? keep : list.keep;
	target->kept = list.kept;
}

void
model_open_target(Oid model_oid, int keep, ModelTarget *target)
{
	Relation	model = table_open(model_oid, NoLock);

	target->model = model_oid;
	target->schema = get_namespace_name(RelationGetNamespace(model));
	target->name = pstrdup(RelationGetRelationName(model));
	read_runs(model, target, keep);
	if (target->last.run == 0)
		take_over_tables(model, target);
	claim_factor_tables(model, target);
	claim_kept_runs(model, target);
	table_close(model, NoLock);
}

void
model_begin_training(const char *name, TupleDesc row_type,
					 const char *function, int keep, ModelTarget *target)
{
	RangeVar   *rangevar;
	Oid			schema = InvalidOid;

	run_check_type(row_type);
	memset(target, 0, sizeof(*target));
	target->keep = Max(keep, 1);
	target->deploy = true;
	rangevar = makeRangeVarFromNameList(textToQualifiedNameList(cstring_to_text(name)));
	target->model = lock_model_by_name(rangevar, function);
	if (!OidIsValid(target->model))
	{
		schema = RangeVarGetCreationNamespace(rangevar);
		check_may_create(schema);
		reserve_name(schema, rangevar->relname);
		/* somebody may have trained it meanwhile */
		target->model = lock_model_by_name(rangevar, function);
	}
	if (OidIsValid(target->model))
		model_open_target(target->model, keep, target);
	else
		create_model(rangevar, schema, row_type->tdtypeid, target);
	if (target->keep > 1)
		check_may_keep(target);
	if (target->newest == PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("model \"%s\" has no number left for another run",
						target->name),
				 errhint("Give its rows lower numbers: UPDATE %s SET run = 1 WHERE run = %d, after deleting the others.",
						 quote_qualified_identifier(target->schema,
													target->name),
						 PG_INT32_MAX)));
}

/* Is the model still what it was, under the same name? */
static bool
is_unchanged(const ModelTarget *target)
{
	Oid			schema = get_namespace_oid(target->schema, true);
	Relation	model;
	ModelTarget now = {0};

	if (get_relname_relid(target->name, schema) != target->model ||
		!is_model(target->model))
		return false;
	model = table_open(target->model, NoLock);
	read_runs(model, &now, 0);
	table_close(model, NoLock);
	return now.newest == target->newest &&
		(now.last.run == 0 || run_is_same(&now.last, &target->last));
}

void
model_check_unchanged(const ModelTarget *target)
{
	Relation	model;

	if (!is_unchanged(target))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("model \"%s\" has changed while its ratings were read",
						target->name),
				 errdetail("A function that the ratings are read with changes it."),
				 errhint("Change or train the model in a statement of its own.")));
	model = table_open(target->model, NoLock);
	claim_factor_tables(model, target);
	table_close(model, NoLock);
}

Oid
relation_owner(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relation);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * Gives a new factor table to the model's owner, of whose role the user may be
 * a member only.
 */
static void
give_to_owner(Oid model, Oid table, const char *qualified)
{
	Oid			owner = relation_owner(model);

	if (relation_owner(table) != owner)
		run_sql(psprintf("ALTER TABLE %s OWNER TO %s", qualified,
						 quote_identifier(GetUserNameFromId(owner, false))),
				SPI_OK_UTILITY);
}

Oid
create_factor_table(const ModelTarget *target, AlsSide side, const char *name,
					const IdType *type, AlsFeedback feedback)
{
	const char *qualified = quote_qualified_identifier(target->schema, name);
	const char *id = side_id_columns[side];
	bool		ordered = OidIsValid(type->compare.fn_oid);
	StringInfoData sql;
	Oid			table;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (%s %s", qualified, id,
					 format_type_extended(type->type, type->typmod,
										  FORMAT_TYPE_TYPEMOD_GIVEN |
										  FORMAT_TYPE_FORCE_QUALIFY));
	if (OidIsValid(type->collation) &&
		type->collation != get_typcollation(type->type))
		appendStringInfo(&sql, " COLLATE %s",
						 generate_collation_name(type->collation));
	appendStringInfo(&sql, "%s, factors real[] NOT NULL%s)",
					 ordered ? " PRIMARY KEY" : " NOT NULL",
					 feedback == ALS_EXPLICIT ? ", bias real NOT NULL" : "");
	run_sql(sql.data, SPI_OK_UTILITY);

	/*
	 * a hashable type without an order has no primary key, which publications
	 * need
	 */
	if (!ordered)
	{
		run_sql(psprintf("CREATE INDEX ON %s USING hash (%s)", qualified, id),
				SPI_OK_UTILITY);
		run_sql(psprintf("ALTER TABLE %s REPLICA IDENTITY FULL", qualified),
				SPI_OK_UTILITY);
	}

	/* factors do not compress, and a row of them always fits into a page */
	run_sql(psprintf("ALTER TABLE %s ALTER factors SET STORAGE PLAIN",
					 qualified), SPI_OK_UTILITY);
	create_triggers(qualified);
	table = get_relname_relid(name, get_rel_namespace(target->model));
	give_to_owner(target->model, table, qualified);
	return table;
}

Oid
create_feature_table(const ModelTarget *target, const char *columns)
{
	char	   *name = psprintf("%s" FEATURES_SUFFIX, target->name);
	const char *qualified = quote_qualified_identifier(target->schema, name);
	Oid			schema = get_rel_namespace(target->model);
	Oid			table;

	check_name_length(target->name, FEATURES_SUFFIX);
	reject_taken_name(schema, name);
	run_sql(psprintf("CREATE TABLE %s (%s)", qualified, columns),
			SPI_OK_UTILITY);
	create_triggers(qualified);
	table = get_relname_relid(name, schema);
	give_to_owner(target->model, table, qualified);
	return table;
}

void
depend_on_model(const ModelTarget *target, Oid table)
{
	ObjectAddress dependent;
	ObjectAddress model;

	deleteDependencyRecordsForClass(RelationRelationId, table,
									RelationRelationId, DEPENDENCY_INTERNAL);
	ObjectAddressSet(dependent, RelationRelationId, table);
	ObjectAddressSet(model, RelationRelationId, target->model);
	recordDependencyOn(&dependent, &model, DEPENDENCY_INTERNAL);
}

/* Raises if the feedback is other than that of the run before. */
static void
check_feedback(const ModelTarget *target, AlsFeedback feedback)
{
	if (target->last.feedback != feedback)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" was trained from %s feedback",
						target->name,
						target->last.feedback == ALS_IMPLICIT ?
						"implicit" : "explicit"),
				 errdetail("A retraining replaces the contents of a model's tables, not their columns."),
				 errhint("Drop the model first, or train under another name.")));
}

void
model_prepare_tables(ModelTarget *target, AlsFeedback feedback,
					 const IdType *const types[2],
					 const RatedIds *const ids[2])
{
	Relation	model = table_open(target->model, NoLock);
	Oid			schema = RelationGetNamespace(model);

	for (int side = 0; side < 2; side++)
	{
		check_id_lengths(side, types[side], ids[side]);
		if (OidIsValid(target->last.factor_tables[side]))
		{
			check_feedback(target, feedback);
			check_ids_fit(model, &target->last, side, types[side], ids[side]);
		}
		else
		{
			char	   *name = psprintf("%s%s", target->name,
										side_suffixes[side]);

			reject_taken_name(schema, name);
			target->last.factor_tables[side] =
				create_factor_table(target, side, name, types[side], feedback);
			target->last.feedback = feedback;
		}
		depend_on_model(target, target->last.factor_tables[side]);
	}
	table_close(model, NoLock);
	CommandCounterIncrement();
}
