/*
 * model_swap.c
 *	  A model as relations: replacing the factors.
 *
 * A retraining works like REFRESH MATERIALIZED VIEW: new heaps are filled,
 * swapped in and indexed at the very end of the training, so that readers are
 * served from the old ones until then, oids and grants stay as they are, and
 * an error leaves the old model untouched.  The first training does the same
 * with tables that it has just created empty.
 *
 * Subscribers get what statements do, not new heaps.  So where a factor table is
 * published, it is truncated and its rows are written into it: in the same
 * transaction, but while readers wait.
 *
 * The swap needs both tables for itself, and readers come in any order, by als
 * or by SQL, and stay as long as pg_dump does.  So that none of them waits for
 * long, and none in a circle:
 *
 *	  - for transactions that have read, the training waits as CREATE INDEX
 *		CONCURRENTLY does: for their end, not in the queue for a lock, where
 *		others would wait behind it.  It holds nothing then that a reader
 *		wants;
 *	  - it stands in the queue only once all of these have ended, so that new
 *		ones cannot keep it away for ever: for one table, holding neither, and
 *		for no longer than QUEUE_MILLISECONDS;
 *	  - with one table it does not wait for the other, but looks a few times
 *		whether it is free, and gives up the first if it is not.
 */
#include "compat.h"

#include "access/heapam.h"
#include "access/multixact.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "common/progress.h"
#include "common/subtransaction.h"
#include "model/factor_table.h"
#include "model/model.h"
#include "nodes/makefuncs.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

/* How long readers may wait behind a training, twice over */
#define QUEUE_MILLISECONDS 100
/* With which pauses it looks for the second table, and tries again at first */
#define LOOK_MILLISECONDS 5
#define FIRST_PAUSE_MILLISECONDS 50
#define LAST_PAUSE_MILLISECONDS 1000

/*
 * How often a training finds itself in a deadlock with a transaction that it
 * waits for before it gives up: the other one, which looks once, is to find it
 */
#define DEADLOCKS_BORNE 10

/* Wait event: readers of the old factors */
static uint32 readers_event;

/* An array whose elements the caller fills in for every row. */
static ArrayType *
reals_array(int size)
{
	Size		bytes = ARR_OVERHEAD_NONULLS(1) + size * sizeof(float4);
	ArrayType  *array = palloc0(bytes);

	SET_VARSIZE(array, bytes);
	array->ndim = 1;
	array->elemtype = FLOAT4OID;
	ARR_DIMS(array)[0] = size;
	ARR_LBOUND(array)[0] = 1;
	return array;
}

/* Fills an empty heap of a factor table, without its indexes. */
static void
write_factors(Relation heap, const FactorColumns *columns,
			  const RatedIds *ids, const float *rows, int factors)
{
	size_t		stride = als_stride(factors + (columns->bias != 0 ? 1 : 0));
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(heap),
													&TTSOpsVirtual);
	BulkInsertState state = GetBulkInsertState();
	CommandId	command = GetCurrentCommandId(true);
	ArrayType  *array = reals_array(factors);

	for (uint32 r = 0; r < ids->size; r++)
	{
		const float *row = rows + r * stride;

		CHECK_FOR_INTERRUPTS();
		ExecClearTuple(slot);
		memset(slot->tts_isnull, true,
			   RelationGetDescr(heap)->natts * sizeof(bool));
		memcpy(ARR_DATA_PTR(array), row, factors * sizeof(float4));
		slot->tts_values[columns->id - 1] = ids->ids[r];
		slot->tts_isnull[columns->id - 1] = false;
		slot->tts_values[columns->factors - 1] = PointerGetDatum(array);
		slot->tts_isnull[columns->factors - 1] = false;
		if (columns->bias != 0)
		{
			slot->tts_values[columns->bias - 1] = Float4GetDatum(row[factors]);
			slot->tts_isnull[columns->bias - 1] = false;
		}
		ExecStoreVirtualTuple(slot);
		table_tuple_insert(heap, slot, command,
						   TABLE_INSERT_SKIP_FSM | TABLE_INSERT_FROZEN, state);
		progress_wrote(1);
	}
	FreeBulkInsertState(state);
	table_finish_bulk_insert(heap, TABLE_INSERT_SKIP_FSM);
	ExecDropSingleTupleTableSlot(slot);
}

/* What replaces the factors of a model, by AlsSide */
typedef struct NewFactors
{
	const ModelTarget *target;
	const RatedIds *const *ids;
	const float *const *rows;	/* [ids->size x stride] */
	int			factors;
	AlsFeedback feedback;
} NewFactors;

/* Opens a factor table. */
static Relation
open_table(const NewFactors *new, AlsSide side, LOCKMODE lockmode,
		   FactorColumns *columns)
{
	Relation	model = table_open(new->target->model, NoLock);
	ModelRun	run = {0};
	Relation	table;

	run.feedback = new->feedback;
	run.factor_tables[side] = new->target->last.factor_tables[side];
	table = factor_table_open(model, &run, side, lockmode, columns);
	table_close(model, NoLock);
	return table;
}

/*
 * Makes and fills the heap that will be a factor table's; InvalidOid where the
 * table is published.
 */
static Oid
make_heap(const NewFactors *new, AlsSide side)
{
	FactorColumns columns;
	Relation	table = open_table(new, side, ShareUpdateExclusiveLock, &columns);
	Oid			heap_oid = InvalidOid;

	if (!is_published(table))
	{
		Relation	heap;

		heap_oid = make_heap_like(table, ShareUpdateExclusiveLock);
		heap = table_open(heap_oid, AccessExclusiveLock);
		write_factors(heap, &columns, new->ids[side], new->rows[side],
					  new->factors);
		table_close(heap, NoLock);
	}
	table_close(table, NoLock);
	return heap_oid;
}

/* A step that waits for locks, and for how long */
typedef struct Attempt
{
	bool		(*step) (void *arg);
	void	   *arg;
	int			milliseconds;	/* for each lock; 0: for ever */
} Attempt;

/* Sets how long the step may wait, for as long as the subtransaction lasts. */
static bool
take_limited_step(void *arg)
{
	Attempt    *limited = arg;

	set_config_option("lock_timeout", psprintf("%d", limited->milliseconds),
					  PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
					  false);
	return limited->step(limited->arg);
}

/*
 * Tries something in a subtransaction, in which no lock is waited for longer
 * than so many milliseconds if that is more than 0; the lock_timeout of the
 * user does not count.  What it locked is released again if it fails, which it
 * also does by as many deadlocks as are borne yet.
 */
static bool
attempt(bool (*step) (void *arg), void *arg, int milliseconds,
		int *deadlocks_borne)
{
	Attempt		limited = {step, arg, milliseconds};
	ErrorData  *error;
	bool		succeeded = in_subtransaction(take_limited_step, &limited,
											  &error);

	if (error != NULL && error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE &&
		(error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED ||
		 --*deadlocks_borne < 0))
		ReThrowError(error);
	/* which has ended what is shown */
	if (!succeeded)
		progress_phase(PROGRESS_WAITING);
	return succeeded;
}

/* Waits for the end of a transaction. */
static bool
wait_for_transaction(void *transaction)
{
	return VirtualXactLock(*(const VirtualTransactionId *) transaction, true);
}

/* Sleeps, unless interrupted. */
static void
pause_for(int milliseconds)
{
	(void) WaitLatch(MyLatch,
					 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 milliseconds, wait_event(&readers_event, "AlsReaders"));
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* How much of lock_timeout is left, 0 if it is not set; raises if nothing is. */
static int
lock_timeout_left(const ModelTarget *target, TimestampTz since)
{
	long		left;

	if (LockTimeout == 0)
		return 0;
	left = LockTimeout -
		TimestampDifferenceMilliseconds(since, GetCurrentTimestamp());
	if (left <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not replace the factors of model \"%s\" within lock_timeout",
						target->name),
				 errdetail("Transactions that have read them have not ended."),
				 errhint("Train when such transactions, of pg_dump for example, have ended, or with a higher lock_timeout; 0 waits for as long as they take.")));
	return (int) left;
}

/*
 * Waits for the end of all transactions that use one of the tables now, while
 * others begin to.  One of them may wait for this training, to drop the model
 * for example.  Of the two it is the training that has more to lose.
 */
static void
wait_for_readers(const ModelTarget *target, TimestampTz since)
{
	int			deadlocks_borne = DEADLOCKS_BORNE;

	for (int side = 0; side < 2; side++)
	{
		LOCKTAG		tag;
		VirtualTransactionId *readers;
		int			nreaders;

		SET_LOCKTAG_RELATION(tag, MyDatabaseId, target->last.factor_tables[side]);
		readers = GetLockConflicts(&tag, AccessExclusiveLock, &nreaders);
		for (int i = 0; i < nreaders; i++)
			while (!attempt(wait_for_transaction, &readers[i],
							lock_timeout_left(target, since),
							&deadlocks_borne))
				continue;
		pfree(readers);
	}
}

/* Takes both locks if nobody has to be waited for; takes none otherwise. */
static bool
lock_free_tables(const ModelTarget *target)
{
	const Oid  *tables = target->last.factor_tables;

	if (!ConditionalLockRelationOid(tables[0], AccessExclusiveLock))
		return false;
	if (ConditionalLockRelationOid(tables[1], AccessExclusiveLock))
		return true;
	UnlockRelationOid(tables[0], AccessExclusiveLock);
	return false;
}

/* What lock_tables_briefly does */
typedef struct BriefLock
{
	const Oid  *tables;			/* by AlsSide */
	AlsSide		first;			/* to lock; in the end, the one to begin with */
	int			milliseconds;
} BriefLock;

/*
 * Waits in the queue for one table, and then looks for the other for a while;
 * false if one of them was not to be had.
 */
static bool
lock_tables_briefly(void *arg)
{
	BriefLock  *lock = arg;
	Oid			other = lock->tables[1 - lock->first];

	LockRelationOid(lock->tables[lock->first], AccessExclusiveLock);
	for (int waited = 0; waited < lock->milliseconds;
		 waited += LOOK_MILLISECONDS)
	{
		if (ConditionalLockRelationOid(other, AccessExclusiveLock))
			return true;
		pause_for(LOOK_MILLISECONDS);
	}
	lock->first = 1 - lock->first;
	return false;
}

/* Locks both factor tables against everybody. */
static void
lock_tables(const ModelTarget *target)
{
	/* far from when anybody looks for a deadlock */
	BriefLock	lock = {target->last.factor_tables, ALS_USERS,
	Max(Min(QUEUE_MILLISECONDS, DeadlockTimeout / 4), 1)};
	int			pause = FIRST_PAUSE_MILLISECONDS;
	int			deadlocks_borne = 0;
	TimestampTz since = GetCurrentTimestamp();

	if (lock_free_tables(target))
		return;
	progress_phase(PROGRESS_WAITING);
	for (;;)
	{
		wait_for_readers(target, since);
		if (attempt(lock_tables_briefly, &lock, lock.milliseconds,
					&deadlocks_borne))
			return;
		(void) lock_timeout_left(target, since);
		pause_for(pause);
		pause = Min(pause * 2, LAST_PAUSE_MILLISECONDS);
	}
}

/* Gives a factor table its new heap, and indexes that. */
static void
swap_heap(const NewFactors *new, AlsSide side, Oid heap)
{
	Oid			table_oid = new->target->last.factor_tables[side];
	Relation	table = table_open(table_oid, NoLock);
	char		persistence = table->rd_rel->relpersistence;

	CheckTableNotInUse(table, "als_train");
	pgstat_count_truncate(table);
	pgstat_count_heap_insert(table, new->ids[side]->size);
	table_close(table, NoLock);
	swap_table_heap(table_oid, heap, persistence);
}

/* Truncates a published factor table, writes the new rows, and indexes them. */
static void
rewrite_table(const NewFactors *new, AlsSide side)
{
	TruncateStmt *truncate = makeNode(TruncateStmt);
	FactorColumns columns;
	Relation	table = open_table(new, side, AccessExclusiveLock, &columns);
	Oid			table_oid = RelationGetRelid(table);
	RangeVar   *name = makeRangeVar(get_namespace_name(RelationGetNamespace(table)),
									get_rel_name(table_oid), -1);

	CheckTableNotInUse(table, "als_train");
	name->inh = false;
	truncate->relations = list_make1(name);
	truncate->behavior = DROP_RESTRICT;
	table_close(table, NoLock);
	ExecuteTruncate(truncate);
	CommandCounterIncrement();

	progress_writing(new->ids[side]->size);
	table = open_table(new, side, NoLock, &columns);
	write_factors(table, &columns, new->ids[side], new->rows[side],
				  new->factors);
	table_close(table, NoLock);
	progress_phase(PROGRESS_INDEXING);
	reindex_table(table_oid);
}

void
model_replace_factors(const ModelTarget *target, const RatedIds *const ids[2],
					  const float *const rows[2], int factors,
					  AlsFeedback feedback)
{
	NewFactors	new = {target, ids, rows, factors, feedback};
	Oid			heaps[2];

	progress_writing((uint64) ids[ALS_USERS]->size + ids[ALS_ITEMS]->size);
	for (int side = 0; side < 2; side++)
		heaps[side] = make_heap(&new, side);
	lock_tables(target);
	progress_phase(PROGRESS_INDEXING);
	for (int side = 0; side < 2; side++)
	{
		if (OidIsValid(heaps[side]))
			swap_heap(&new, side, heaps[side]);
		else
			rewrite_table(&new, side);
	}
}
