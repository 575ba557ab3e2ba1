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
 *	  - with one table it does not wait for the others, but looks a few times
 *		whether they are free, and gives up all if they are not.
 *
 * Tables of runs that are not kept any longer are locked together with these, to be
 * dropped.  In the same way, factors that are to be copied are locked against those
 * who change them.
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
#include "model/model_swap.h"
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

/* What writes rows into an empty heap of a factor table, without its indexes */
typedef struct HeapWriter
{
	Relation	heap;
	TupleTableSlot *slot;		/* the next row */
	BulkInsertState state;
	CommandId	command;
	uint64		rows;			/* written */
} HeapWriter;

/* Begins to write. */
static void
begin_heap(HeapWriter *writer, Relation heap)
{
	writer->heap = heap;
	writer->slot = MakeSingleTupleTableSlot(RelationGetDescr(heap),
											&TTSOpsVirtual);
	writer->state = GetBulkInsertState();
	writer->command = GetCurrentCommandId(true);
	writer->rows = 0;
}

/* Makes an empty row. */
static void
empty_row(HeapWriter *writer)
{
	CHECK_FOR_INTERRUPTS();
	ExecClearTuple(writer->slot);
	memset(writer->slot->tts_isnull, true,
		   RelationGetDescr(writer->heap)->natts * sizeof(bool));
}

/* Fills in a column of the row. */
static void
put_column(HeapWriter *writer, AttrNumber column, Datum value, bool isnull)
{
	writer->slot->tts_values[column - 1] = value;
	writer->slot->tts_isnull[column - 1] = isnull;
}

/* Writes the row. */
static void
write_row(HeapWriter *writer)
{
	ExecStoreVirtualTuple(writer->slot);
	table_tuple_insert(writer->heap, writer->slot, writer->command,
					   TABLE_INSERT_SKIP_FSM | TABLE_INSERT_FROZEN,
					   writer->state);
	writer->rows++;
	progress_wrote(1);
}

/* Ends writing. */
static void
end_heap(HeapWriter *writer)
{
	FreeBulkInsertState(writer->state);
	table_finish_bulk_insert(writer->heap, TABLE_INSERT_SKIP_FSM);
	ExecDropSingleTupleTableSlot(writer->slot);
}

/* Writes the factors of a training. */
static void
write_factors(HeapWriter *writer, const FactorColumns *columns,
			  const RatedIds *ids, const float *rows, int factors)
{
	size_t		stride = als_stride(factors + (columns->bias != 0 ? 1 : 0));
	ArrayType  *array = reals_array(factors);

	for (uint32 r = 0; r < ids->size; r++)
	{
		const float *row = rows + r * stride;

		empty_row(writer);
		memcpy(ARR_DATA_PTR(array), row, factors * sizeof(float4));
		put_column(writer, columns->id, ids->ids[r], false);
		put_column(writer, columns->factors, PointerGetDatum(array), false);
		if (columns->bias != 0)
			put_column(writer, columns->bias, Float4GetDatum(row[factors]),
					   false);
		write_row(writer);
	}
}

/* Writes what another factor table has, as it is. */
static void
copy_factors(HeapWriter *writer, const FactorColumns *columns, Relation from,
			 const FactorColumns *from_columns)
{
	Snapshot	snapshot = RegisterSnapshot(GetCatalogSnapshot(RelationGetRelid(from)));
	FactorScan	scan;
	Datum		value;
	bool		isnull;

	factor_scan_begin(&scan, from, from_columns, snapshot);
	while (factor_scan_next(&scan, &value))
	{
		empty_row(writer);
		put_column(writer, columns->id, value, false);
		value = slot_getattr(scan.slot, from_columns->factors, &isnull);
		put_column(writer, columns->factors, value, isnull);
		if (columns->bias != 0)
		{
			value = slot_getattr(scan.slot, from_columns->bias, &isnull);
			put_column(writer, columns->bias, value, isnull);
		}
		write_row(writer);
	}
	factor_scan_end(&scan);
	UnregisterSnapshot(snapshot);
}

/* Opens a factor table of the model. */
static Relation
open_table(const NewFactors *new, const Oid tables[2], AlsSide side,
		   LOCKMODE lockmode, FactorColumns *columns)
{
	Relation	model = table_open(new->target->model, NoLock);
	ModelRun	run = {0};
	Relation	table;

	run.feedback = new->feedback;
	run.factor_tables[side] = tables[side];
	table = factor_table_open(model, &run, side, lockmode, columns);
	table_close(model, NoLock);
	return table;
}

/* Writes the new rows of a side into an empty heap; returns how many. */
static uint64
fill_heap(const NewFactors *new, AlsSide side, Relation heap,
		  const FactorColumns *columns)
{
	HeapWriter	writer;

	begin_heap(&writer, heap);
	if (new->copied != NULL)
	{
		FactorColumns from_columns;
		Relation	from = open_table(new, new->copied, side, AccessShareLock,
									  &from_columns);

		copy_factors(&writer, columns, from, &from_columns);
		table_close(from, NoLock);
	}
	else
		write_factors(&writer, columns, new->ids[side], new->rows[side],
					  new->factors);
	end_heap(&writer);
	return writer.rows;
}

/* A heap that will be a factor table's */
typedef struct NewHeap
{
	Oid			heap;			/* InvalidOid where the table is published */
	uint64		rows;
} NewHeap;

/* Makes and fills the heap that will be a factor table's. */
static NewHeap
make_heap(const NewFactors *new, AlsSide side)
{
	FactorColumns columns;
	Relation	table = open_table(new, new->tables, side,
								   ShareUpdateExclusiveLock, &columns);
	NewHeap		result = {0};

	if (!is_published(table))
	{
		Relation	heap;

		result.heap = make_heap_like(table, ShareUpdateExclusiveLock);
		heap = table_open(result.heap, AccessExclusiveLock);
		result.rows = fill_heap(new, side, heap, &columns);
		table_close(heap, NoLock);
	}
	table_close(table, NoLock);
	return result;
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
				 errdetail("Transactions that have read or changed them have not ended."),
				 errhint("Train when such transactions, of pg_dump for example, have ended, or with a higher lock_timeout; 0 waits for as long as they take.")));
	return (int) left;
}

/* What is locked, and how */
typedef struct TableLocks
{
	List	   *tables;
	LOCKMODE	lockmode;
	int			first;			/* to lock; in the end, the one to begin with */
	int			milliseconds;
} TableLocks;

/* Who has locked a table, and has to end before it can be locked; how many? */
static int
find_conflicts(const TableLocks *locks, Oid table,
			   VirtualTransactionId **holders)
{
	LOCKTAG		tag;
	int			count;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, table);
	*holders = GetLockConflicts(&tag, locks->lockmode, &count);
	return count;
}

/*
 * Waits for the end of all transactions that have one of the tables now, while
 * others begin to.  One of them may wait for this training, to drop the model
 * for example.  Of the two it is the training that has more to lose.
 */
static void
wait_for_holders(const ModelTarget *target, const TableLocks *locks,
				 TimestampTz since)
{
	int			deadlocks_borne = DEADLOCKS_BORNE;
	ListCell   *cell;

	foreach(cell, locks->tables)
	{
		VirtualTransactionId *holders;
		int			count = find_conflicts(locks, lfirst_oid(cell), &holders);

		for (int i = 0; i < count; i++)
			while (!attempt(wait_for_transaction, &holders[i],
							lock_timeout_left(target, since),
							&deadlocks_borne))
				continue;
		pfree(holders);
	}
}

/*
 * Locks a table if nobody has it.  Who waits for it is no obstacle: he waits for
 * what this training has of it already, and would for ever.
 */
static bool
lock_if_free(const TableLocks *locks, Oid table)
{
	VirtualTransactionId *holders;
	int			count = find_conflicts(locks, table, &holders);

	pfree(holders);
	if (count == 0)
		LockRelationOid(table, locks->lockmode);
	return count == 0;
}

/*
 * Locks one table after the other, from the first one on, as long as nobody has to
 * be waited for; returns how many are locked then.
 */
static int
lock_free_tables(const TableLocks *locks, int locked)
{
	int			count = list_length(locks->tables);

	while (locked < count &&
		   lock_if_free(locks, list_nth_oid(locks->tables,
											(locks->first + locked) % count)))
		locked++;
	return locked;
}

/* Takes all locks if nobody has to be waited for; false if somebody has. */
static bool
lock_tables_at_once(void *arg)
{
	TableLocks *locks = arg;

	return lock_free_tables(locks, 0) == list_length(locks->tables);
}

/*
 * Waits in the queue for one table, and then looks for the others for a while;
 * false if one of them was not to be had.
 */
static bool
lock_tables_briefly(void *arg)
{
	TableLocks *locks = arg;
	int			count = list_length(locks->tables);
	int			locked = 1;

	LockRelationOid(list_nth_oid(locks->tables, locks->first),
					locks->lockmode);
	for (int waited = 0; waited < locks->milliseconds;
		 waited += LOOK_MILLISECONDS)
	{
		locked = lock_free_tables(locks, locked);
		if (locked == count)
			return true;
		pause_for(LOOK_MILLISECONDS);
	}
	locks->first = (locks->first + locked) % count;
	return false;
}

void
lock_tables(const ModelTarget *target, List *tables, LOCKMODE lockmode)
{
	/* far from when anybody looks for a deadlock */
	TableLocks	locks = {tables, lockmode, 0,
	Max(Min(QUEUE_MILLISECONDS, DeadlockTimeout / 4), 1)};
	int			pause = FIRST_PAUSE_MILLISECONDS;
	int			deadlocks_borne = DEADLOCKS_BORNE;
	TimestampTz since = GetCurrentTimestamp();

	if (attempt(lock_tables_at_once, &locks, locks.milliseconds,
				&deadlocks_borne))
		return;
	for (;;)
	{
		wait_for_holders(target, &locks, since);
		if (attempt(lock_tables_briefly, &locks, locks.milliseconds,
					&deadlocks_borne))
			return;
		(void) lock_timeout_left(target, since);
		pause_for(pause);
		pause = Min(pause * 2, LAST_PAUSE_MILLISECONDS);
	}
}

/* How many rows a side will have; 0 if that is not known */
static uint64
rows_expected(const NewFactors *new, AlsSide side)
{
	return new->copied == NULL ? new->ids[side]->size : 0;
}

/* Gives a factor table its new heap, and indexes that. */
static void
swap_heap(Oid table_oid, const NewHeap *new)
{
	Relation	table = table_open(table_oid, NoLock);
	char		persistence = table->rd_rel->relpersistence;

	CheckTableNotInUse(table, "als_train");
	pgstat_count_truncate(table);
	pgstat_count_heap_insert(table, new->rows);
	table_close(table, NoLock);
	swap_table_heap(table_oid, new->heap, persistence);
}

/* Truncates a published factor table, writes the new rows, and indexes them. */
static void
rewrite_table(const NewFactors *new, AlsSide side)
{
	TruncateStmt *truncate = makeNode(TruncateStmt);
	FactorColumns columns;
	Relation	table = open_table(new, new->tables, side, AccessExclusiveLock,
								   &columns);
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

	progress_writing(rows_expected(new, side));
	table = open_table(new, new->tables, side, NoLock, &columns);
	fill_heap(new, side, table, &columns);
	table_close(table, NoLock);
	progress_phase(PROGRESS_INDEXING);
	reindex_table(table_oid);
}

void
swap_factors(const NewFactors *new, List *others)
{
	List	   *tables = list_copy(others);
	NewHeap		heaps[2];

	progress_writing(rows_expected(new, ALS_USERS) +
					 rows_expected(new, ALS_ITEMS));
	for (int side = 0; side < 2; side++)
	{
		heaps[side] = make_heap(new, side);
		tables = lappend_oid(tables, new->tables[side]);
	}
	lock_tables(new->target, tables, AccessExclusiveLock);
	progress_phase(PROGRESS_INDEXING);
	for (int side = 0; side < 2; side++)
	{
		if (OidIsValid(heaps[side].heap))
			swap_heap(new->tables[side], &heaps[side]);
		else
			rewrite_table(new, side);
	}
}
