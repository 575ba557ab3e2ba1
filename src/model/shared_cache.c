/*
 * shared_cache.c
 *	  What one backend has made of a factor table, for all others to use.
 *
 * A piece is a segment of dynamic shared memory that is filled once and never
 * written again.  The registry has a slot for each; where it lies in
 * shared memory is the business of shared_registry.c.
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
 * (see model_cache.c), whatever becomes of the slot.  A piece that is not to be found
 * any more is retired: its slot goes with its last mapping, so that the slots
 * count every segment there is.  Their number and sizes are bounded by the
 * server, for segments are few and everybody's: parallel queries need them too.
 * Only what nobody has mapped makes room for others, since nothing else would
 * give any; whoever finds none keeps what it needs to itself.
 *
 * What nobody will ask for again, of tables or databases that are gone and of
 * files that are not the table's any more, is retired by whoever looks for room.
 * A backend that is told that such a table or database has changed looks at the
 * end of its transaction, the one that drops or retrains it included: it has
 * the table's exclusive lock, so the piece is not made again if it fails yet.
 */
#include "compat.h"

#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "common/settings.h"
#include "core/als_core.h"
#include "lib/ilist.h"
#include "model/shared_cache.h"
#include "model/shared_registry.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/wait_event.h"

/*
 * What has a piece mapped, or has taken a slot to do so, for as long as the
 * memory context lives that it lies in.  Several of one backend have the
 * segment in common.
 */
typedef struct Mapping
{
	MemoryContextCallback callback;
	dlist_node	node;			/* in mappings */
	uint64		number;			/* of the slot; 0: none */
	dsm_segment *segment;		/* NULL: not there (yet) */
} Mapping;

/* What the steps that need shared memory are told */
typedef struct Segment
{
	Mapping    *mapping;
	dsm_handle	handle;			/* to be mapped */
	size_t		size;			/* to be created */
} Segment;

static dlist_head mappings = DLIST_STATIC_INIT(mappings);	/* that have slots */
static int	making = 0;			/* pieces that this backend is making */
static uint32 made_event;		/* wait event: another backend makes a piece */
static bool look_again = false; /* something in the registry may be gone */

/* Gives up a mapping's slot; its segment is not mapped any more. */
static void
leave_slot(SharedRegistry *registry, Mapping *mapping)
{
	SharedSlot *slot;

	dlist_delete(&mapping->node);
	LWLockAcquire(&registry->lock, LW_EXCLUSIVE);
	slot = slot_find_number(registry, mapping->number);
	slot->mappings--;
	slot_free_unused(slot);
	LWLockRelease(&registry->lock);
	mapping->number = 0;
}

/* Unmaps a piece, unless this backend has another mapping of it. */
static void
unmap(Mapping *mapping)
{
	dsm_segment *segment = mapping->segment;
	dlist_iter	iter;

	if (mapping->number == 0)
		return;
	mapping->segment = NULL;
	dlist_foreach(iter, &mappings)
	{
		if (dlist_container(Mapping, node, iter.cur)->segment == segment)
			segment = NULL;
	}
	if (segment != NULL)
		dsm_detach(segment);
	leave_slot(registry_there(), mapping);
}

/* Memory context callback: unmaps. */
static void
unmap_with_context(void *arg)
{
	unmap(arg);
}

/*
 * At the end of the process, while the registry is there: it may lie in a
 * segment itself.
 */
static void
unmap_all(int code, Datum arg)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &mappings)
		unmap(dlist_container(Mapping, node, iter.cur));
}

/* What will have a piece mapped for as long as a context lives. */
static Mapping *
create_mapping(MemoryContext context)
{
	static bool registered = false;
	Mapping    *mapping = MemoryContextAllocZero(context, sizeof(Mapping));

	if (!registered)
		before_shmem_exit(unmap_all, (Datum) 0);
	registered = true;
	mapping->callback.func = unmap_with_context;
	mapping->callback.arg = mapping;
	MemoryContextRegisterResetCallback(context, &mapping->callback);
	return mapping;
}

/* Takes part in a slot; the registry is locked. */
static void
enter_slot(SharedRegistry *registry, SharedSlot *slot, Mapping *mapping)
{
	slot->mappings++;
	slot->last_use = ++registry->clock;
	mapping->number = slot->number;
	dlist_push_head(&mappings, &mapping->node);
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

/* Will nobody ask for a piece again? */
static bool
is_gone(const SharedKey *key)
{
	HeapTuple	tuple;
	bool		gone;

	if (key->database != MyDatabaseId)
		return !SearchSysCacheExists1(DATABASEOID,
									  ObjectIdGetDatum(key->database));
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(key->table));
	if (!HeapTupleIsValid(tuple))
		return true;
	gone = ((Form_pg_class) GETSTRUCT(tuple))->relfilenode != key->file;
	ReleaseSysCache(tuple);
	return gone;
}

/* Retires what nobody will ask for again, and what is too much. */
static void
give_up_gone(SharedRegistry *registry)
{
	SharedSlot *slots = palloc(sizeof(registry->slots));

	look_again = false;
	AcceptInvalidationMessages();
	LWLockAcquire(&registry->lock, LW_SHARED);
	memcpy(slots, registry->slots, sizeof(registry->slots));
	LWLockRelease(&registry->lock);

	/* without the lock, since it reads the catalog */
	for (int i = 0; i < slots_limit(); i++)
		if (slots[i].number != 0 && !slots[i].retired &&
			!is_gone(&slots[i].key))
			slots[i].number = 0;

	LWLockAcquire(&registry->lock, LW_EXCLUSIVE);
	for (int i = 0; i < slots_limit(); i++)
		if (slots[i].number != 0 &&
			registry->slots[i].number == slots[i].number)
			slot_retire(registry, &registry->slots[i]);
	slots_make_room(registry, 0);
	registry->size_setting = shared_cache_size_setting;
	LWLockRelease(&registry->lock);
	ConditionVariableBroadcast(&registry->made);
	pfree(slots);
}

/*
 * Relcache callback: looks without the lock, since it only takes a note.  What
 * is in a registry that is not mapped yet is not known.
 */
static void
note_table(Datum arg, Oid table)
{
	SharedRegistry *registry = registry_there();

	if (registry == NULL)
	{
		look_again = registry_possible();
		return;
	}
	for (int i = 0; i < slots_limit(); i++)
		if (registry->slots[i].number != 0 &&
			(table == InvalidOid || registry->slots[i].key.table == table))
			look_again = true;
}

/* Syscache callback: a database has changed. */
static void
note_database(Datum arg, int cache, uint32 hash)
{
	look_again = true;
}

/* Transaction callback: looks if there is a note, or another bound. */
static void
look_at_end(XactEvent event, void *arg)
{
	SharedRegistry *registry;
	bool		look = look_again;

	if ((event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE) ||
		!OidIsValid(MyDatabaseId))
		return;
	/* once: a registry that cannot be had is not asked for at every commit */
	look_again = false;
	registry = look ? registry_find(false) : registry_there();
	if (registry != NULL &&
		(look || registry->size_setting != shared_cache_size_setting))
		give_up_gone(registry);
}

void
shared_init(void)
{
	CacheRegisterRelcacheCallback(note_table, (Datum) 0);
	CacheRegisterSyscacheCallback(DATABASEOID, note_database, (Datum) 0);
	RegisterXactCallback(look_at_end, NULL);
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

/* May this transaction make a piece that others see? */
static bool
make_possible(const SharedKey *key)
{
	return !IsInParallelMode() &&
		!holds_relation_lock(key->table, RowExclusiveLock);
}

/* Does a piece of that size fit into what this session may keep? */
static bool
fits_session(size_t size)
{
	return size <= (size_t) cache_size_setting * 1024;
}

/*
 * Takes part in the slot of a piece if that is there, and else, if it is to be
 * made, in a new one.  Waits for others who make it, unless this backend makes
 * one itself, for which they may be waiting.  Returns a copy of the slot, whose
 * number is 0 if there is none.
 */
static SharedSlot
find_or_reserve(SharedRegistry *registry, const SharedKey *key, bool make,
				Mapping *mapping)
{
	LOCKTAG		tag = changes_lock(key->table);
	SharedSlot	result;
	bool		wait;

	do
	{
		bool		unchanged = make &&
			LockAcquire(&tag, ShareLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
		SharedSlot *slot;
		bool		found;

		LWLockAcquire(&registry->lock, LW_EXCLUSIVE);
		slot = slot_find_key(registry, key);
		found = slot != NULL && slot->handle != DSM_HANDLE_INVALID;
		wait = slot != NULL && !found && make && making == 0;
		if (slot == NULL && unchanged)
			slot = slot_reserve(registry, key);
		else if (!found || !fits_session(slot->size))
			slot = NULL;
		memset(&result, 0, sizeof(result));
		if (slot != NULL)
		{
			enter_slot(registry, slot, mapping);
			result = *slot;
		}
		LWLockRelease(&registry->lock);

		if (unchanged)
			LockRelease(&tag, ShareLock, false);
		if (wait)
			ConditionVariableSleep(&registry->made,
								   wait_event(&made_event, "AlsShared"));
	} while (wait);
	ConditionVariableCancelSleep();
	return result;
}

/* Maps a segment, for the first time or once more. */
static bool
map_segment(void *arg)
{
	Segment    *segment = arg;
	dsm_segment *mapped = dsm_find_mapping(segment->handle);

	if (mapped == NULL)
	{
		mapped = dsm_attach(segment->handle);
		if (mapped == NULL)
			elog(ERROR, "shared factors have no segment");
		dsm_pin_mapping(mapped);
	}
	segment->mapping->segment = mapped;
	return true;
}

/* Creates the segment of a piece. */
static bool
create_segment(void *arg)
{
	Segment    *segment = arg;

	segment->mapping->segment = dsm_create(segment->size + ALS_ALIGNMENT, 0);
	dsm_pin_mapping(segment->mapping->segment);
	return true;
}

/* Describes a piece that is mapped. */
static void
describe(SharedPiece *piece, const Mapping *mapping, size_t size)
{
	piece->memory = mapped_memory(mapping);
	piece->size = size;
	piece->number = mapping->number;
}

/* Maps the piece of a slot. */
static bool
map_piece(const SharedSlot *slot, Mapping *mapping, SharedPiece *piece)
{
	Segment		segment = {
		.mapping = mapping,
		.handle = slot->handle
	};

	if (try_shared_memory(map_segment, &segment) != 0)
		return false;
	describe(piece, mapping, slot->size);
	report("found", &slot->key);
	return true;
}

/* Cleanup: nobody may wait for a piece that is not made. */
static void
stop_making(int code, Datum arg)
{
	SharedRegistry *registry = registry_there();
	Mapping    *mapping = (Mapping *) DatumGetPointer(arg);
	SharedSlot *slot;

	making--;
	LWLockAcquire(&registry->lock, LW_EXCLUSIVE);
	slot = slot_find_number(registry, mapping->number);
	if (slot->handle == DSM_HANDLE_INVALID)
		slot->retired = true;
	LWLockRelease(&registry->lock);
	ConditionVariableBroadcast(&registry->made);
}

/* Makes room for a piece that is being made. */
static bool
take_room(SharedRegistry *registry, const Mapping *mapping, size_t size)
{
	SharedSlot *slot;
	bool		fits;

	LWLockAcquire(&registry->lock, LW_EXCLUSIVE);
	slot = slot_find_number(registry, mapping->number);
	fits = fits_session(size) && !slot->retired &&
		slots_make_room(registry, size);
	if (fits)
		slot->size = size;
	LWLockRelease(&registry->lock);
	return fits;
}

/* Makes a piece and publishes it, unless it has been retired meanwhile. */
static bool
make_piece(SharedRegistry *registry, const SharedKey *key,
		   const SharedMaker *maker, Mapping *mapping, SharedPiece *piece)
{
	Segment		segment = {.mapping = mapping};
	SharedSlot *slot;
	bool		published;

	segment.size = maker->size(maker->arg);
	if (!take_room(registry, mapping, segment.size) ||
		try_shared_memory(create_segment, &segment) != 0)
		return false;
	describe(piece, mapping, segment.size);
	maker->fill(piece->memory, maker->arg);

	LWLockAcquire(&registry->lock, LW_EXCLUSIVE);
	slot = slot_find_number(registry, mapping->number);
	published = !slot->retired;
	if (published)
	{
		dsm_pin_segment(mapping->segment);
		slot->handle = dsm_segment_handle(mapping->segment);
	}
	LWLockRelease(&registry->lock);
	report(published ? "published" : "could not publish", key);
	return true;
}

/* Finds a piece or, if there is a maker, makes it. */
static bool
get(const SharedKey *key, const SharedMaker *maker, MemoryContext context,
	SharedPiece *piece)
{
	SharedRegistry *registry = NULL;
	Mapping    *mapping;
	SharedSlot	slot;
	volatile bool done = false;

	if (shared_cache_size_setting > 0 && !RecoveryInProgress())
		registry = registry_find(false);
	if (registry == NULL)
		return false;
	mapping = create_mapping(context);
	slot = find_or_reserve(registry, key, false, mapping);
	if (slot.number == 0 && maker != NULL && make_possible(key))
	{
		give_up_gone(registry);
		slot = find_or_reserve(registry, key, true, mapping);
	}

	if (slot.number != 0 && slot.handle != DSM_HANDLE_INVALID)
		done = map_piece(&slot, mapping, piece);
	else if (slot.number != 0)
	{
		making++;
		PG_ENSURE_ERROR_CLEANUP(stop_making, PointerGetDatum(mapping));
		{
			done = make_piece(registry, key, maker, mapping, piece);
		}
		PG_END_ENSURE_ERROR_CLEANUP(stop_making, PointerGetDatum(mapping));
		stop_making(0, PointerGetDatum(mapping));
	}
	if (!done)
		unmap(mapping);
	return done;
}

bool
shared_get(const SharedKey *key, const SharedMaker *maker,
		   MemoryContext context, SharedPiece *piece)
{
	return get(key, maker, context, piece);
}

bool
shared_find(const SharedKey *key, MemoryContext context, SharedPiece *piece)
{
	return get(key, NULL, context, piece);
}

void
shared_forget(Oid table)
{
	LOCKTAG		tag = changes_lock(table);
	SharedRegistry *registry;

	/* whoever shares pieces later has to see the lock */
	if (!registry_possible() || LockAcquire(&tag, RowExclusiveLock, false,
											false) == LOCKACQUIRE_ALREADY_HELD)
		return;
	registry = registry_find(true);
	if (registry == NULL)
		return;

	LWLockAcquire(&registry->lock, LW_EXCLUSIVE);
	for (int i = 0; i < slots_limit(); i++)
		if (registry->slots[i].number != 0 &&
			registry->slots[i].key.database == MyDatabaseId &&
			registry->slots[i].key.table == table)
			slot_retire(registry, &registry->slots[i]);
	LWLockRelease(&registry->lock);
	ConditionVariableBroadcast(&registry->made);
}
