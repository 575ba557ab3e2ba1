/*
 * shared.c
 *	  What one backend has made of a factor table, for all others to use.
 *
 * A piece is a segment of dynamic shared memory that is filled once and never
 * written again.  The control struct has a slot for each; where it lies in
 * shared memory is the business of control.c.
 *
 * A slot that is found must not be stale.  A retraining, TRUNCATE or whatever
 * else writes the table anew gives it another file, which is part of the key,
 * under a lock that no reader gets past.  Other columns are part of the key as
 * well, and so are the triggers that tell of DML: disabling and enabling them
 * again, with unnoticed changes in between, makes other versions of them.
 *
 * What is left is DML that the triggers notice.  Its transaction, after the
 * change and before its end, takes the table's lock of changes in a mode that
 * it shares with others like it, keeps it until its end, and then empties the
 * table's slots.  Whoever wants to make a piece
 *
 *	  1. gets the lock of changes in a mode that conflicts, or gives up,
 *	  2. reserves a slot, and releases the lock,
 *	  3. takes a snapshot, and reads the table with it,
 *	  4. publishes the piece if the slot has not been emptied meanwhile.
 *
 * Changes that the snapshot of step 3 does not see are of transactions that
 * had not ended in step 2.  They had not emptied the slots of the table by
 * then either, for they would have held the lock.  They do so before they
 * commit.  So nothing is missing from what a slot shows but what has not been
 * committed.  Nor does it show anything too much: a transaction that has
 * changed the table itself, and sees its changes, neither makes nor finds
 * pieces (make_possible; its trigger has emptied the slots).
 *
 * PostgreSQL gives locks back after it has made a commit visible; they survive
 * in prepared transactions, and those of a subtransaction that is rolled back
 * go with its changes.  The lock is not the table's own since VACUUM would
 * conflict with step 1.  There are no pieces on a standby, to which changes
 * come without triggers, and none of temporary tables.
 *
 * Who has mapped a piece keeps it until it is told to forget the table as ever
 * (see cache.c), whatever becomes of the slot.
 */
#include "compat.h"

#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "als_core.h"
#include "catalog/pg_class.h"
#include "control.h"
#include "settings.h"
#include "shared.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

/* What maps a piece, and unmaps it with a memory context */
typedef struct Mapping
{
	MemoryContextCallback callback;
	dsm_segment *segment;
} Mapping;

/* What make_piece is told */
typedef struct Making
{
	const SharedKey *key;
	const SharedMaker *maker;
	MemoryContext context;
	Mapping    *mapping;
	size_t		size;
} Making;

/* Memory context callback: unmaps. */
static void
unmap(void *arg)
{
	Mapping    *mapping = arg;

	if (mapping->segment != NULL)
		dsm_detach(mapping->segment);
}

/* Where a segment will be mapped for as long as a context lives. */
static Mapping *
create_mapping(MemoryContext context)
{
	Mapping    *mapping = MemoryContextAllocZero(context, sizeof(Mapping));

	mapping->callback.func = unmap;
	mapping->callback.arg = mapping;
	MemoryContextRegisterResetCallback(context, &mapping->callback);
	return mapping;
}

/* The aligned memory of a mapping */
static void *
mapped_memory(const Mapping *mapping)
{
	return (void *) TYPEALIGN(ALS_ALIGNMENT,
							  dsm_segment_address(mapping->segment));
}

/* The lock of changes of a table */
static LOCKTAG
changes_lock(Oid table)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, table, 1);
	return tag;
}

/* Empties a slot; others may have its piece mapped. */
static void
empty_slot(SharedSlot *slot)
{
	if (slot->handle != DSM_HANDLE_INVALID)
		dsm_unpin_segment(slot->handle);
	memset(slot, 0, sizeof(*slot));
	slot->handle = DSM_HANDLE_INVALID;
}

static bool
same_table(const SharedKey *a, const SharedKey *b)
{
	return a->database == b->database && a->table == b->table;
}

/* The slot with a key, or NULL */
static SharedSlot *
find_key(SharedControl *control, const SharedKey *key)
{
	for (int i = 0; i < SHARED_SLOTS; i++)
		if (control->slots[i].number != 0 &&
			memcmp(&control->slots[i].key, key, sizeof(*key)) == 0)
			return &control->slots[i];
	return NULL;
}

/* The slot with a number, or NULL if it has been emptied */
static SharedSlot *
find_number(SharedControl *control, uint64 number)
{
	for (int i = 0; i < SHARED_SLOTS; i++)
		if (control->slots[i].number == number)
			return &control->slots[i];
	return NULL;
}

/* Of the pieces of other tables, that mapped or made longest ago, or NULL */
static SharedSlot *
oldest_slot(SharedControl *control, const SharedKey *key)
{
	SharedSlot *oldest = NULL;

	for (int i = 0; i < SHARED_SLOTS; i++)
	{
		SharedSlot *slot = &control->slots[i];

		if (slot->handle != DSM_HANDLE_INVALID &&
			!same_table(&slot->key, key) &&
			(oldest == NULL || slot->last_use < oldest->last_use))
			oldest = slot;
	}
	return oldest;
}

/*
 * Takes a slot for a piece that is to be made, and returns its number; 0 if
 * there is none, or the piece would be of an image that is no longer there.
 */
static uint64
reserve_slot(SharedControl *control, const SharedKey *key)
{
	SharedSlot *slot;

	if (key->part == SHARED_INDEX && find_number(control, key->image) == NULL)
		return 0;

	/* what there was of the table's file before */
	for (int i = 0; i < SHARED_SLOTS; i++)
		if (control->slots[i].number != 0 &&
			same_table(&control->slots[i].key, key) &&
			control->slots[i].key.part == key->part)
			empty_slot(&control->slots[i]);

	slot = find_number(control, 0);
	if (slot == NULL)
		slot = oldest_slot(control, key);
	if (slot == NULL)
		return 0;
	empty_slot(slot);
	slot->key = *key;
	slot->number = ++control->last_number;
	return slot->number;
}

/* Tells, for tests and the curious, what has been done with a piece. */
static void
report(const char *done, const SharedKey *key)
{
	ereport(DEBUG1,
			(errmsg_internal("%s the %s of \"%s\"", done,
							 key->part == SHARED_FACTORS ? "shared factors" :
							 "shared index", get_rel_name(key->table))));
}

/* Maps the piece of a slot; the control struct is locked. */
static void
map_slot(SharedControl *control, SharedSlot *slot, MemoryContext context,
		 SharedPiece *piece)
{
	Mapping    *mapping = create_mapping(context);

	mapping->segment = dsm_attach(slot->handle);
	if (mapping->segment == NULL)
		elog(ERROR, "shared factors have no segment");
	dsm_pin_mapping(mapping->segment);
	slot->last_use = ++control->clock;
	piece->memory = mapped_memory(mapping);
	piece->size = slot->size;
	piece->number = slot->number;
}

/* May this transaction make a piece that others see? */
static bool
make_possible(const SharedKey *key)
{
	return !IsInParallelMode() &&
		!holds_relation_lock(key->table, RowExclusiveLock);
}

/*
 * Maps a piece if it is there, and else, if it is to be made, reserves its
 * slot: *number is not 0 then.  Waits for others who make it.
 */
static bool
find_or_reserve(SharedControl *control, const SharedKey *key, bool make,
				MemoryContext context, SharedPiece *piece, uint64 *number)
{
	LOCKTAG		tag = changes_lock(key->table);
	bool		found = false;
	bool		wait;

	*number = 0;
	make = make && make_possible(key);
	do
	{
		bool		unchanged = make &&
			LockAcquire(&tag, ShareLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
		SharedSlot *slot;

		LWLockAcquire(&control->lock, LW_EXCLUSIVE);
		slot = find_key(control, key);
		found = slot != NULL && slot->handle != DSM_HANDLE_INVALID;
		wait = slot != NULL && !found && make;
		if (found)
			map_slot(control, slot, context, piece);
		else if (slot == NULL && unchanged)
			*number = reserve_slot(control, key);
		LWLockRelease(&control->lock);

		if (unchanged)
			LockRelease(&tag, ShareLock, false);
		if (wait)
			ConditionVariableSleep(&control->made, PG_WAIT_EXTENSION);
	} while (wait);
	ConditionVariableCancelSleep();
	if (found)
		report("found", key);
	return found;
}

/* Empties the slot with a number, if that has not been done already. */
static void
abandon(int code, Datum number)
{
	SharedControl *control = control_find();
	SharedSlot *slot;

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	slot = find_number(control, DatumGetUInt64(number));
	if (slot != NULL)
		empty_slot(slot);
	LWLockRelease(&control->lock);
	ConditionVariableBroadcast(&control->made);
}

/*
 * Gives up pieces of other tables until there is room for size bytes in the
 * slot; false if there is not, or the slot has been emptied.
 */
static bool
make_shared_room(SharedControl *control, uint64 number, size_t size)
{
	size_t		limit = (size_t) cache_size_setting * 1024;
	SharedSlot *slot;
	bool		fits = false;

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	slot = find_number(control, number);
	while (slot != NULL && !fits)
	{
		size_t		used = 0;
		SharedSlot *oldest;

		for (int i = 0; i < SHARED_SLOTS; i++)
			used += control->slots[i].size;
		fits = used + size <= limit;
		if (fits)
			break;
		oldest = oldest_slot(control, &slot->key);
		if (oldest == NULL)
			break;
		empty_slot(oldest);
	}
	if (fits)
		slot->size = size;
	LWLockRelease(&control->lock);
	return fits;
}

/* Creates the segment of a piece. */
static void
create_segment(void *arg)
{
	Making	   *making = arg;

	making->mapping->segment = dsm_create(making->size + ALS_ALIGNMENT, 0);
	dsm_pin_mapping(making->mapping->segment);
}

/* Makes a piece and publishes it, unless its slot has been emptied. */
static bool
make_piece(SharedControl *control, uint64 number, Making *making,
		   SharedPiece *piece)
{
	SharedSlot *slot;

	making->size = making->maker->size(making->maker->arg);
	if (!make_shared_room(control, number, making->size))
		return false;
	making->mapping = create_mapping(making->context);
	if (try_shared_memory(create_segment, making) != 0)
		return false;
	piece->memory = mapped_memory(making->mapping);
	piece->size = making->size;
	piece->number = number;
	making->maker->fill(piece->memory, making->maker->arg);

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	slot = find_number(control, number);
	if (slot != NULL)
	{
		dsm_pin_segment(making->mapping->segment);
		slot->handle = dsm_segment_handle(making->mapping->segment);
		slot->last_use = ++control->clock;
	}
	LWLockRelease(&control->lock);
	ConditionVariableBroadcast(&control->made);
	report(slot != NULL ? "published" : "could not publish", making->key);
	return true;
}

bool
shared_get(const SharedKey *key, const SharedMaker *maker,
		   MemoryContext context, SharedPiece *piece)
{
	SharedControl *control = RecoveryInProgress() ? NULL : control_find();
	Making		making = {key, maker, context, NULL, 0};
	uint64		number;
	bool		made;

	if (control == NULL)
		return false;
	if (find_or_reserve(control, key, true, context, piece, &number))
		return true;
	if (number == 0)
		return false;

	PG_ENSURE_ERROR_CLEANUP(abandon, UInt64GetDatum(number));
	{
		made = make_piece(control, number, &making, piece);
	}
	PG_END_ENSURE_ERROR_CLEANUP(abandon, UInt64GetDatum(number));
	if (!made)
		abandon(0, UInt64GetDatum(number));
	return made;
}

bool
shared_find(const SharedKey *key, MemoryContext context, SharedPiece *piece)
{
	SharedControl *control = RecoveryInProgress() ? NULL : control_find();
	uint64		number;

	return control != NULL &&
		find_or_reserve(control, key, false, context, piece, &number);
}

void
shared_forget(Oid table)
{
	LOCKTAG		tag = changes_lock(table);
	SharedControl *control;

	/* whoever shares pieces later has to see the lock */
	if (!control_possible() ||
		LockAcquire(&tag, RowExclusiveLock, false, false) ==
		LOCKACQUIRE_ALREADY_HELD)
		return;
	control = control_find();
	if (control == NULL)
		return;

	LWLockAcquire(&control->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SHARED_SLOTS; i++)
		if (control->slots[i].key.database == MyDatabaseId &&
			control->slots[i].key.table == table)
			empty_slot(&control->slots[i]);
	LWLockRelease(&control->lock);
	ConditionVariableBroadcast(&control->made);
}
