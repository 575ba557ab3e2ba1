/*
 * model_check.c
 *	  What a training finds.
 *
 * The swap puts a new heap in the place of the old one, and PostgreSQL checks
 * nothing of it but what its indexes do.  So whatever else would have a say in
 * rows that are inserted by SQL is looked for before the work begins: it is
 * refused, or checked here.  The claimed table's lock keeps it as it is found.
 */
#include "compat.h"

#include "access/genam.h"
#include "access/itup.h"
#include "access/nbtree.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/toast_internals.h"
#include "catalog/dependency.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_index.h"
#include "commands/tablecmds.h"
#include "commands/trigger.h"
#include "common/error_context.h"
#include "common/id_conversion.h"
#include "common/side.h"
#include "mb/pg_wchar.h"
#include "model/factor_table.h"
#include "model/model_check.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* How many bytes of an id a message quotes */
#define QUOTED_BYTES 40

/* What a row of a btree index may take, by a third of a page */
#define INDEX_ROW_BYTES \
	(MAXALIGN_DOWN((BLCKSZ - \
					MAXALIGN(SizeOfPageHeaderData + 3 * sizeof(ItemIdData)) - \
					MAXALIGN(sizeof(BTPageOpaqueData))) / 3) - \
	 MAXALIGN(sizeof(ItemPointerData)))

/* Does it look like a table of a model of the owner's? */
static bool
may_be_table(Oid table, TableTest test, Oid owner)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_class) GETSTRUCT(tuple))->relkind == RELKIND_RELATION &&
		((Form_pg_class) GETSTRUCT(tuple))->relowner == owner;
	ReleaseSysCache(tuple);
	return result && test(table);
}

/* Has it the columns of a factor table of a side? */
static bool
has_factor_columns(Oid table, AlsSide side)
{
	return get_attnum(table, side_id_columns[side]) != InvalidAttrNumber &&
		get_attnum(table, "factors") != InvalidAttrNumber;
}

/* Has it the columns of a factor table of users, or of items? */
static bool
has_factors(Oid table)
{
	return has_factor_columns(table, ALS_USERS) ||
		has_factor_columns(table, ALS_ITEMS);
}

/* The same of one side alone */
static bool
has_user_factors(Oid table)
{
	return has_factor_columns(table, ALS_USERS);
}

static bool
has_item_factors(Oid table)
{
	return has_factor_columns(table, ALS_ITEMS);
}

SysScanDesc
begin_dependencies(Relation depend, Oid table, bool referring)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], referring ? Anum_pg_depend_refclassid :
				Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&keys[1], referring ? Anum_pg_depend_refobjid :
				Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(table));
	return systable_beginscan(depend, referring ? DependReferenceIndexId :
							  DependDependerIndexId, true, NULL, 2, keys);
}

/* The tables that hang on the model and pass a test */
static List *
dependent_tables(Relation model, TableTest test)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	SysScanDesc scan = begin_dependencies(depend, RelationGetRelid(model), true);
	HeapTuple	tuple;
	List	   *tables = NIL;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend row = (Form_pg_depend) GETSTRUCT(tuple);

		if (row->classid == RelationRelationId &&
			row->deptype == DEPENDENCY_INTERNAL &&
			may_be_table(row->objid, test, model->rd_rel->relowner))
			tables = list_append_unique_oid(tables, row->objid);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return tables;
}

List *
dependent_factor_tables(Relation model)
{
	return dependent_tables(model, has_factors);
}

/* The relation that a table hangs on, as on a model; InvalidOid for none */
static Oid
find_holder(Oid table)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	SysScanDesc scan = begin_dependencies(depend, table, false);
	HeapTuple	tuple;
	Oid			holder = InvalidOid;

	while (!OidIsValid(holder) && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend row = (Form_pg_depend) GETSTRUCT(tuple);

		if (row->refclassid == RelationRelationId &&
			row->deptype == DEPENDENCY_INTERNAL)
			holder = row->refobjid;
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return holder;
}

/* Does a view or the like depend on a table? */
static bool
is_depended_on(Oid table)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	SysScanDesc scan = begin_dependencies(depend, table, true);
	HeapTuple	tuple;
	bool		result = false;

	while (!result && HeapTupleIsValid(tuple = systable_getnext(scan)))
		result = ((Form_pg_depend) GETSTRUCT(tuple))->deptype == DEPENDENCY_NORMAL;
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return result;
}

void
check_droppable(Relation model, Oid table)
{
	Oid			holder = find_holder(table);
	bool		others = OidIsValid(holder) && holder != RelationGetRelid(model);

	if (others || is_depended_on(table))
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop factor table \"%s\" when its run is not kept any longer",
						get_rel_name(table)),
				 others ? errdetail("It belongs to another relation.") :
				 errdetail("A view or another object depends on it."),
				 others ?
				 errhint("Set user_factors and item_factors to null in the row of the run.") :
				 errhint("Drop that, and use run => ... instead.")));
}

/* Does it look like a table of this model's, or of none so far? */
static bool
may_be_own_table(Relation model, Oid table, TableTest test)
{
	Oid			holder = find_holder(table);

	/* a dump does not carry what depends on what */
	return (!OidIsValid(holder) || holder == RelationGetRelid(model)) &&
		may_be_table(table, test, model->rd_rel->relowner);
}

Oid
find_model_table(Relation model, TableTest test, Oid known, const char *name)
{
	Oid			named = get_relname_relid(name, RelationGetNamespace(model));
	List	   *dependent;

	if (may_be_own_table(model, known, test))
		return known;
	if (may_be_own_table(model, named, test))
		return named;
	dependent = dependent_tables(model, test);
	return dependent == NIL ? InvalidOid : linitial_oid(dependent);
}

Oid
find_factor_table(Relation model, AlsSide side, const char *name)
{
	return find_model_table(model, side == ALS_USERS ? has_user_factors :
							has_item_factors, InvalidOid, name);
}

AlsFeedback
factor_table_feedback(Oid table)
{
	return get_attnum(table, "bias") != InvalidAttrNumber ? ALS_EXPLICIT :
		ALS_IMPLICIT;
}

/* Raises for a table with something that the swap goes around. */
static void
reject_replacing(Relation table, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot replace the contents of factor table \"%s\"",
					RelationGetRelationName(table)),
			 errdetail("%s", detail),
			 errhint("Drop that, or train under another name.")));
}

/* Raises for foreign keys from or to the table, which are made of triggers. */
static void
check_foreign_keys(Relation table)
{
	const TriggerDesc *triggers = table->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];
		int			type = RI_FKey_trigger_type(trigger->tgfoid);

		if (type == RI_TRIGGER_FK)
			reject_replacing(table,
							 psprintf("Its foreign key \"%s\" would not be checked.",
									  get_constraint_name(trigger->tgconstraint)));
		if (type == RI_TRIGGER_PK)
			reject_replacing(table,
							 psprintf("Foreign key \"%s\" of table \"%s\" refers to it, and would not be checked.",
									  get_constraint_name(trigger->tgconstraint),
									  get_rel_name(trigger->tgconstrrelid)));
	}
}

/*
 * Raises for an index that could refuse the rows when all work is done: a
 * unique one of other columns than the id, or one of an exclusion constraint.
 */
static void
check_indexes(Relation table, const FactorColumns *columns)
{
	List	   *indexes = RelationGetIndexList(table);
	ListCell   *cell;

	foreach(cell, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID,
											ObjectIdGetDatum(lfirst_oid(cell)));
		Form_pg_index index;
		bool		refuses;

		if (!HeapTupleIsValid(tuple))
			continue;
		index = (Form_pg_index) GETSTRUCT(tuple);
		refuses = index->indisexclusion ||
			(index->indisunique &&
			 (index->indnkeyatts != 1 ||
			  index->indkey.values[0] != columns->id));
		ReleaseSysCache(tuple);
		if (refuses)
			reject_replacing(table,
							 psprintf("Its index \"%s\" may refuse what is trained.",
									  get_rel_name(lfirst_oid(cell))));
	}
	list_free(indexes);
}

void
claim_factor_table(Relation model, const ModelRun *run, AlsSide side)
{
	FactorColumns columns;
	Relation	table = factor_table_open(model, run, side,
										  ShareUpdateExclusiveLock, &columns);
	TupleDesc	desc = RelationGetDescr(table);
	Oid			holder = find_holder(RelationGetRelid(table));

	CheckTableNotInUse(table, "als_train");
	if (OidIsValid(holder) && holder != RelationGetRelid(model))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot replace the contents of factor table \"%s\"",
						RelationGetRelationName(table)),
				 errdetail("It belongs to \"%s\".", get_rel_name(holder)),
				 errhint("Set user_factors and item_factors in the row of the run to the model's own tables, or train under another name.")));
	if (table->rd_rel->relispartition)
		reject_replacing(table, "It is a partition.");
	if (table->rd_rules != NULL)
		reject_replacing(table, "It has a rule, which would not be applied.");
	if (desc->constr != NULL && desc->constr->num_check > 0)
		reject_replacing(table,
						 psprintf("Its constraint \"%s\" would not be checked.",
								  desc->constr->check[0].ccname));
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped &&
			TupleDescAttr(desc, i)->attgenerated != '\0')
			reject_replacing(table,
							 psprintf("Its column \"%s\" is generated.",
									  NameStr(TupleDescAttr(desc, i)->attname)));
	check_foreign_keys(table);
	check_indexes(table, &columns);
	table_close(table, NoLock);
}

/* An id as text, or how it begins. */
static char *
quoted_id(const IdType *type, Datum id)
{
	char	   *text = id_to_text(type, id);
	int			length = strlen(text);

	if (length > QUOTED_BYTES)
		return psprintf("%.*s...", pg_mbcliplen(text, length, QUOTED_BYTES),
						text);
	return text;
}

/* Says what was going on when an id did not fit. */
static void
fitting_error_context(void *arg)
{
	const char *const *words = arg;

	errhint("A retraining keeps the columns of a model's tables. Cast the ids in a SELECT, drop the model first, or train under another name.");
	errcontext("storing %s ids as %s", words[0], words[1]);
}

/* Raises for ids of another type than the model's. */
pg_noreturn static void
reject_id_type(Relation model, AlsSide side, const char *own, const char *type)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("%s ids of model \"%s\" are of type %s, not %s",
					side_names[side], RelationGetRelationName(model), own,
					type),
			 errdetail("A retraining replaces the contents of a model's tables, not their columns."),
			 errhint("Cast the ids in a SELECT, drop the model first, or train under another name.")));
}

/* Raises unless the type modifier of the column leaves all ids as they are. */
static void
check_modifier(Relation model, AlsSide side, const IdType *column,
			   int32 typmod, const RatedIds *ids)
{
	MemoryContext context;
	MemoryContext old;
	ErrorContextCallback callback;
	const char *words[2];
	IdCast		coerce;

	if (!id_modifier_init(&coerce, column->type, CurrentMemoryContext))
		reject_id_type(model, side,
					   format_type_with_typemod(column->type, column->typmod),
					   format_type_with_typemod(column->type, typmod));
	words[0] = side_names[side];
	words[1] = format_type_with_typemod(column->type, column->typmod);
	error_context_push(&callback, fitting_error_context, words);
	context = AllocSetContextCreate(CurrentMemoryContext, "als ids",
									ALLOCSET_SMALL_SIZES);
	for (uint32 i = 0; i < ids->size; i++)
	{
		Datum		stored;

		CHECK_FOR_INTERRUPTS();
		old = MemoryContextSwitchTo(context);
		stored = id_cast(&coerce, column->collation, ids->ids[i],
						 column->typmod, false);
		if (!id_equal(column, stored, ids->ids[i]))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("%s id %s does not fit into type %s",
							side_names[side], quoted_id(column, ids->ids[i]),
							words[1])));
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
	error_context_pop(&callback);
}

/* Do two collations tell the same texts apart? */
static bool
same_equality(Oid a, Oid b)
{
	return a == b ||
		(OidIsValid(a) && OidIsValid(b) &&
		 get_collation_isdeterministic(a) && get_collation_isdeterministic(b));
}

void
check_ids_fit(Relation model, const ModelRun *run, AlsSide side,
			  const IdType *type, const RatedIds *ids)
{
	FactorColumns columns;
	IdType		column;
	Relation	table = factor_table_open(model, run, side,
										  ShareUpdateExclusiveLock, &columns);

	factor_table_id_type(table, &columns, &column, CurrentMemoryContext);
	table_close(table, NoLock);
	if (column.type != type->type)
		reject_id_type(model, side, format_type_be(column.type),
					   format_type_be(type->type));
	if (!same_equality(column.collation, type->collation))
		ereport(ERROR,
				(errcode(ERRCODE_COLLATION_MISMATCH),
				 errmsg("%s ids of model \"%s\" are of collation \"%s\" and not \"%s\"",
						side_names[side], RelationGetRelationName(model),
						get_collation_name(column.collation),
						get_collation_name(type->collation)),
				 errdetail("Ids that one of them tells apart are equal by the other."),
				 errhint("Add COLLATE to the ids in a SELECT, drop the model first, or train under another name.")));
	if (column.typmod >= 0 && column.typmod != type->typmod)
		check_modifier(model, side, &column, type->typmod, ids);
}

void
check_id_lengths(AlsSide side, const IdType *type, const RatedIds *ids)
{
	bool		compressed = type->typlen == -1 &&
		get_typstorage(type->type) != TYPSTORAGE_PLAIN;

	/* a hash index has no limit, and what is not a varlena is short */
	if (type->typlen != -1 || !OidIsValid(type->compare.fn_oid))
		return;
	for (uint32 i = 0; i < ids->size; i++)
	{
		Size		bytes = VARSIZE_ANY(DatumGetPointer(ids->ids[i]));

		if (MAXALIGN(sizeof(IndexTupleData) + bytes) <= INDEX_ROW_BYTES)
			continue;
		CHECK_FOR_INTERRUPTS();
		if (compressed)
		{
			Datum		value = toast_compress_datum(ids->ids[i],
													 InvalidCompressionMethod);

			if (DatumGetPointer(value) != NULL)
			{
				bytes = VARSIZE_ANY(DatumGetPointer(value));
				pfree(DatumGetPointer(value));
			}
		}
		if (MAXALIGN(sizeof(IndexTupleData) + bytes) > INDEX_ROW_BYTES)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("%s id %s is too long", side_names[side],
							quoted_id(type, ids->ids[i])),
					 errdetail("It takes %zu bytes, compressed if that helps; an index has room for %zu.",
							   bytes,
							   INDEX_ROW_BYTES - sizeof(IndexTupleData)),
					 errhint("Shorten the ids in a SELECT, with md5() for example.")));
	}
}
