/*
 * note_change.c
 *	  als_note_change: the trigger that fills the queue of als_track.
 *
 * Whoever has the right TRIGGER on a table can make such a trigger, with ratings of
 * his own and that table as the queue.  So it stores values into a table of which it
 * knows that nothing else happens, and only where the owner of the ratings could.
 */
#include "compat.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "commands/trigger.h"
#include "common/side.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "serve/track.h"
#include "utils/acl.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(als_note_change);

/* Raises for a trigger that als_track has not made. */
pg_noreturn static void
reject_trigger(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("als_note_change must be called by a trigger of als_track")));
}

/* Raises if a table is no queue, or the owner of the ratings may not add to it. */
static void
check_queue(const TriggerData *trigger, Relation queue)
{
	Oid			owner = trigger->tg_relation->rd_rel->relowner;

	if (!queue_is_plain(queue))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("\"%s\" cannot serve as a queue of changed ratings",
						RelationGetRelationName(queue)),
				 errdetail("A queue has the columns user_id and item_id, and no other column, index, constraint, default, trigger, rule or row-level security."),
				 errhint("Undo what was changed; or drop the queue, or call als_untrack, and track the model again.")));
	if (pg_class_aclcheck(RelationGetRelid(queue), owner, ACL_INSERT) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the owner of table \"%s\" may not add to queue \"%s\"",
						RelationGetRelationName(trigger->tg_relation),
						RelationGetRelationName(queue)),
				 errdetail("Trigger \"%s\" notes what changes for a model.",
						   trigger->tg_trigger->tgname),
				 errhint("GRANT INSERT on the queue to role \"%s\".",
						 GetUserNameFromId(owner, true))));
}

/*
 * The column of the ratings that has a side's ids.  It has to be of the queue's type,
 * as a cast could be code of somebody else.
 */
static AttrNumber
find_column(const TriggerData *trigger, Relation queue, AlsSide side)
{
	Relation	ratings = trigger->tg_relation;
	const char *name = trigger->tg_trigger->tgargs[side];
	Oid			queue_type = TupleDescAttr(RelationGetDescr(queue), side)->atttypid;
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
						RelationGetRelationName(queue)),
				 errdetail("Trigger \"%s\" notes what changes for a model.",
						   trigger->tg_trigger->tgname),
				 errhint("Drop the queue, or call als_untrack, and track the model again.")));
	return column;
}

/* Adds the ids of a row to the queue. */
static void
note_row(Relation queue, const AttrNumber columns[2], const TriggerData *trigger,
		 HeapTuple row)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(queue),
													&TTSOpsVirtual);

	for (int side = 0; side < 2; side++)
		slot->tts_values[side] = SPI_getbinval(row,
											   RelationGetDescr(trigger->tg_relation),
											   columns[side],
											   &slot->tts_isnull[side]);
	ExecStoreVirtualTuple(slot);
	simple_table_tuple_insert(queue, slot);
	ExecDropSingleTupleTableSlot(slot);
}

/* Do two versions of a row have the same ids? */
static bool
has_same_ids(const AttrNumber columns[2], const TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);

	for (int side = 0; side < 2; side++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, columns[side] - 1);
		bool		old_null;
		bool		new_null;
		Datum		old_id = SPI_getbinval(trigger->tg_trigtuple, desc,
										   columns[side], &old_null);
		Datum		new_id = SPI_getbinval(trigger->tg_newtuple, desc,
										   columns[side], &new_null);

		if (old_null != new_null ||
			(!old_null && !datum_image_eq(old_id, new_id, column->attbyval,
										  column->attlen)))
			return false;
	}
	return true;
}

/*
 * als_note_change(user_column, item_column): trigger that adds a changed rating to
 * the queue.  Whoever changes it needs no right on the queue, the owner of the ratings
 * does.  The values are stored as they are, without a query: no code of anybody runs.
 */
Datum
als_note_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	AttrNumber	columns[2];
	Relation	queue;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!OidIsValid(trigger->tg_trigger->tgconstrrelid) ||
		trigger->tg_trigger->tgnargs != 2)
		reject_trigger();
	queue = relation_open(trigger->tg_trigger->tgconstrrelid, RowExclusiveLock);
	check_queue(trigger, queue);
	for (int side = 0; side < 2; side++)
		columns[side] = find_column(trigger, queue, side);
	note_row(queue, columns, trigger, trigger->tg_trigtuple);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) &&
		!has_same_ids(columns, trigger))
		note_row(queue, columns, trigger, trigger->tg_newtuple);
	relation_close(queue, NoLock);
	PG_RETURN_POINTER(NULL);
}
