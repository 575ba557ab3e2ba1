/*
 * model_cache.c
 *	  What a backend keeps of the models that it serves, and when it forgets it.
 *
 * For each run that is used a version: the run, and of its factors those that
 * were asked for (cached_side.c).  All of it stays within als.cache_size: the model
 * used longest ago is forgotten first.
 *
 * Reading is like reading a catalog: with the newest snapshot and under a
 * lock, so that the run and its factors belong together even where the
 * statement's snapshot is older than a retraining that has swapped the
 * factors.  Whatever changes one of the tables sends a relcache invalidation:
 * a retraining by swapping heaps, DDL as always, and DML by the trigger that
 * each of the tables has.  The callback only sets flags; the next cache_pin
 * looks what has changed: one side, if it was its table alone, so that
 * refreshing users does not make every session read the items again.
 *
 * User code may run in the middle of a call: the query of a source, the CHECK
 * of a domain, a cast.  It may use other models and so need room, retrain this
 * one, or drop it.  So whoever uses a version has pinned it.  A version that is
 * pinned is not freed, and not emptied either; if it is no longer current, a
 * new one takes its place, and it goes with its last pin.  Pins hang on memory
 * contexts, so that errors let them go as well, and end with the transaction
 * at the latest, as the locks do that keep a version's tables as they are.
 */
#include "compat.h"

#include "access/table.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "common/settings.h"
#include "model/factor_table.h"
#include "model/kept_plans.h"
#include "model/model_cache.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(als_changed);

/* How often a call starts over because its own queries replace the factors */
#define START_OVER_LIMIT 3

/* Versions of all models, at most one of each run current */
static dlist_head versions = DLIST_STATIC_INIT(versions);

static uint64 clock_ticks = 0;

/* Relcache callback: what has changed is looked at later; 0 means all. */
static void
invalidate(Datum arg, Oid relation)
{
	dlist_iter	iter;

	dlist_foreach(iter, &versions)
	{
		ModelCache *cache = dlist_container(ModelCache, node, iter.cur);

		if (relation == InvalidOid || relation == cache->model)
		{
			cache->valid = false;
			cache->changed = true;
		}
		for (int s = 0; s < 2; s++)
			if (relation == cache->run.factor_tables[s])
			{
				cache->valid = false;
				cache->side_changed[s] = true;
			}
	}
}

/* Syscache callback: a role may have lost what it was a member of. */
static void
forget_roles(Datum arg, int cache_id, uint32 hash)
{
	dlist_iter	iter;

	dlist_foreach(iter, &versions)
		dlist_container(ModelCache, node, iter.cur)->checked_role = InvalidOid;
}

/* Nothing is locked any more. */
static void
forget_locks(void)
{
	dlist_iter	iter;

	dlist_foreach(iter, &versions)
		dlist_container(ModelCache, node, iter.cur)->valid = false;
}

/* Frees a version that nobody uses. */
static inline void
free_version(ModelCache *cache)
{
	Assert(dlist_is_empty(&cache->pins));
	MemoryContextDelete(cache->context);
}

/* Memory context callback of a version: what its context does not free. */
static void
version_freed(void *arg)
{
	ModelCache *cache = arg;

	dlist_delete(&cache->node);
	kept_plans_free(cache);
}

/* No call may get a version any more; frees it if nobody has it. */
static void
retire_version(ModelCache *cache)
{
	cache->current = cache->valid = false;
	if (dlist_is_empty(&cache->pins))
		free_version(cache);
}

/* Lets a version go; memory context callback of a pin. */
static void
unpin(void *arg)
{
	CachePin   *pin = arg;
	ModelCache *cache = pin->cache;

	if (cache == NULL)
		return;
	pin->cache = NULL;
	dlist_delete(&pin->node);
	/* what has not been added up by now is of calls that have failed */
	if (dlist_is_empty(&cache->pins))
		stats_discard(&cache->counts);
	if (!cache->current && dlist_is_empty(&cache->pins))
		free_version(cache);
}

/* Pins a version in the current memory context. */
static CachePin *
pin_version(ModelCache *cache)
{
	CachePin   *pin = palloc(sizeof(CachePin));

	pin->cache = cache;
	pin->callback.func = unpin;
	pin->callback.arg = pin;
	dlist_push_head(&cache->pins, &pin->node);
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &pin->callback);
	return pin;
}

/* Keeps what a transaction has counted if it is committed. */
static void
end_counting(ModelCache *cache, bool committed)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &cache->popular)
	{
		PopularItems *popular = dlist_container(PopularItems, node, iter.cur);

		if (popular->uncommitted && !committed)
		{
			popular_unlink(cache, popular);
			MemoryContextDelete(popular->context);
		}
		else
			popular->uncommitted = false;
	}
}

/*
 * Transaction callback: lets everything go that was pinned, and forgets what
 * has changed, so that a model that was dropped takes no memory.
 */
static void
end_transaction(XactEvent event, void *arg)
{
	dlist_mutable_iter iter;

	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE ||
		event == XACT_EVENT_PARALLEL_PRE_COMMIT)
		return;
	forget_locks();
	dlist_foreach_modify(iter, &versions)
	{
		ModelCache *cache = dlist_container(ModelCache, node, iter.cur);
		dlist_mutable_iter pin;

		dlist_foreach_modify(pin, &cache->pins)
		{
			dlist_container(CachePin, node, pin.cur)->cache = NULL;
			dlist_delete(pin.cur);
		}
		if (!cache->current || cache->changed)
			free_version(cache);
		else
			end_counting(cache, event == XACT_EVENT_COMMIT);
	}
}

/* Subtransaction callback: its locks go with it if it is rolled back. */
static void
end_subtransaction(SubXactEvent event, SubTransactionId subtransaction,
				   SubTransactionId parent, void *arg)
{
	dlist_iter	iter;

	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	forget_locks();
	dlist_foreach(iter, &versions)
		end_counting(dlist_container(ModelCache, node, iter.cur), false);
}

void
cache_init(void)
{
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, forget_roles, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, forget_roles, (Datum) 0);
	RegisterXactCallback(end_transaction, NULL);
	RegisterSubXactCallback(end_subtransaction, NULL);
}

/*
 * Has this been called for the same table in the same subtransaction before?  Then
 * the others will learn of it, once for all rows.
 */
static bool
is_told(Oid table)
{
	static Oid	told = InvalidOid;
	static TransactionId transaction = InvalidTransactionId;
	static SubTransactionId subtransaction = InvalidSubTransactionId;
	bool		result = told == table &&
		transaction == GetTopTransactionId() &&
		subtransaction == GetCurrentSubTransactionId();

	told = table;
	transaction = GetTopTransactionId();
	subtransaction = GetCurrentSubTransactionId();
	return result;
}

/*
 * Trigger on a model's tables, for each statement or row: DML does not
 * invalidate anything by itself.  What fires it for each row is a subscription's
 * worker, which need not forget what it does not keep.
 */
Datum
als_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("als_changed must be called as a trigger")));
	if (TRIGGER_FIRED_FOR_ROW(trigger->tg_event) &&
		is_told(RelationGetRelid(trigger->tg_relation)) &&
		dlist_is_empty(&versions))
		PG_RETURN_POINTER(NULL);
	CacheInvalidateRelcache(trigger->tg_relation);
	shared_forget(RelationGetRelid(trigger->tg_relation));
	PG_RETURN_POINTER(NULL);
}

/* May a version go to make room for another? */
static inline bool
may_go(const ModelCache *cache)
{
	return cache->current && dlist_is_empty(unconstify(dlist_head *, &cache->pins));
}

/* Memory that models take, those that may go as well or not, with what others have mapped. */
static size_t
memory_used(bool with_those_that_may_go)
{
	size_t		used = 0;
	dlist_iter	iter;

	dlist_foreach(iter, &versions)
	{
		ModelCache *cache = dlist_container(ModelCache, node, iter.cur);

		if (with_those_that_may_go || !may_go(cache))
			used += MemoryContextMemAllocated(cache->context, true) +
				cache->sides[ALS_USERS].mapped + cache->sides[ALS_ITEMS].mapped;
	}
	return used;
}

bool
cache_make_room(size_t size)
{
	size_t		limit = (size_t) cache_size_setting * 1024;

	/* others are not to go for what does not fit even so */
	if (memory_used(false) + size > limit)
		return false;
	while (memory_used(true) + size > limit)
	{
		ModelCache *oldest = NULL;
		dlist_iter	iter;

		dlist_foreach(iter, &versions)
		{
			ModelCache *cache = dlist_container(ModelCache, node, iter.cur);

			if (may_go(cache) &&
				(oldest == NULL || cache->last_use < oldest->last_use))
				oldest = cache;
		}
		if (oldest == NULL)
			return false;
		free_version(oldest);
	}
	return true;
}

MemoryContext
cache_keep(ModelCache *cache, size_t size, const char *name)
{
	if (!cache_make_room(size))
		return NULL;
	return AllocSetContextCreateInternal(cache->context, name,
										 ALLOCSET_SMALL_SIZES);
}

/* The current version of a model's run, or NULL */
static ModelCache *
find_version(Oid model, int32 number)
{
	dlist_iter	iter;

	dlist_foreach(iter, &versions)
	{
		ModelCache *cache = dlist_container(ModelCache, node, iter.cur);

		if (cache->current && cache->model == model &&
			cache->number == number)
			return cache;
	}
	return NULL;
}

void
cache_empty_side(ModelCache *cache, AlsSide which, MemoryContext context)
{
	SideCache  *side = &cache->sides[which];

	if (side->context != NULL)
		MemoryContextDelete(side->context);
	MemoryContextSetParent(context, cache->context);
	side->context = context;
	side->ids = NULL;
	side->rows = NULL;
	side->allocation = NULL;
	side->capacity = 0;
	side->misses = 0;
	side->image = NULL;
	side->shared = 0;
	side->mapped = 0;
	side->scans = 0;
	side->index = NULL;
}

/*
 * Reads a run and locks the factor tables that it names.  A training may swap
 * factors until they are locked, so the run is read again then.
 */
static void
lock_run(Relation model, int32 number, ModelRun *run)
{
	ModelRun	before;

	model_require_run(model, number, run);
	do
	{
		before = *run;
		for (int s = 0; s < 2; s++)
			if (OidIsValid(run->factor_tables[s]))
				LockRelationOid(run->factor_tables[s], AccessShareLock);
		model_require_run(model, number, run);
	} while (!run_is_same(&before, run));
}

/* Looks at a factor table, of which nothing is kept yet. */
static void
open_side(ModelCache *cache, AlsSide which, Relation model)
{
	SideCache  *side = &cache->sides[which];
	Relation	table = factor_table_open(model, &cache->run, which,
										  AccessShareLock, &side->columns);

	factor_table_id_type(table, &side->columns, &side->type, cache->context);
	side->file = relation_file(table);
	cache_empty_side(cache, which,
					 AllocSetContextCreate(cache->context, "als factors",
										   ALLOCSET_DEFAULT_SIZES));
	table_close(table, NoLock);
}

/* Makes a new version of a run; its model is locked.  An error leaves none. */
static ModelCache *
create_version(Oid model, int32 number)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "als model",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ModelCache *cache = palloc0(sizeof(ModelCache));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));
	Relation	table = table_open(model, AccessShareLock);

	cache->context = context;
	cache->model = model;
	cache->number = number;
	dlist_init(&cache->pins);
	dlist_init(&cache->plans);
	dlist_init(&cache->popular);

	/* from now on invalidations reach it */
	dlist_push_head(&versions, &cache->node);
	callback->func = version_freed;
	callback->arg = cache;
	MemoryContextRegisterResetCallback(context, callback);

	lock_run(table, number, &cache->run);
	cache->stride = serving_stride(cache->run.feedback, cache->run.factors);
	for (int s = 0; s < 2; s++)
		open_side(cache, s, table);
	table_close(table, NoLock);
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, CacheMemoryContext);
	cache->current = true;
	return cache;
}

/*
 * Empties a side whose table has changed, of a version that nobody uses, while
 * all that is known of the other side and of the run stays.
 */
static void
reload_side(ModelCache *cache, AlsSide which)
{
	SideCache  *side = &cache->sides[which];
	Relation	model = table_open(cache->model, AccessShareLock);

	if (side->gram_context != NULL)
		MemoryContextDelete(side->gram_context);
	side->gram_context = NULL;
	side->gram = NULL;
	open_side(cache, which, model);
	table_close(model, NoLock);
}

/*
 * Are a side's ids still of the type that plans and popular items are kept for?
 */
static bool
has_id_type(const ModelCache *cache, AlsSide which)
{
	const SideCache *side = &cache->sides[which];
	HeapTuple	tuple = SearchSysCache2(ATTNUM,
										ObjectIdGetDatum(cache->run.factor_tables[which]),
										Int16GetDatum(side->columns.id));
	bool		same = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_attribute attribute = (Form_pg_attribute) GETSTRUCT(tuple);

		same = attribute->atttypid == side->type.type &&
			attribute->atttypmod == side->type.typmod &&
			attribute->attcollation == side->type.collation;
		ReleaseSysCache(tuple);
	}
	return same;
}

/* Brings a version up to date, or replaces it; its model is locked. */
static ModelCache *
refresh_version(ModelCache *cache)
{
	Oid			model = cache->model;
	int32		number = cache->number;

	/* what comes with the locks may say that there is more to do */
	if (!cache->changed)
		for (int s = 0; s < 2; s++)
			LockRelationOid(cache->run.factor_tables[s], AccessShareLock);
	if (!cache->changed && !cache->side_changed[ALS_USERS] &&
		!cache->side_changed[ALS_ITEMS])
		return cache;

	if (cache->changed || !dlist_is_empty(&cache->pins) ||
		!has_id_type(cache, ALS_USERS) || !has_id_type(cache, ALS_ITEMS))
	{
		retire_version(cache);
		return create_version(model, number);
	}

	/* an error half-way leaves a version to be replaced */
	cache->changed = true;
	for (int s = 0; s < 2; s++)
		if (cache->side_changed[s])
		{
			cache->side_changed[s] = false;
			reload_side(cache, s);
		}
	cache->changed = false;
	return cache;
}

CachePin *
cache_pin(Oid model, int32 number)
{
	ModelCache *cache = find_version(model, number);
	bool		ready = cache != NULL && cache->valid;

	if (!ready)
	{
		require_model(model);
		LockRelationOid(model, AccessShareLock);
		require_model(model);
		cache = find_version(model, number);
	}
	if (!ready || cache->checked_role != GetUserId())
		model_check_select(model);
	if (!ready)
	{
		cache = cache == NULL ? create_version(model, number) :
			refresh_version(cache);

		/*
		 * What has changed since the locks were there is for the next call to
		 * look at.  With debug_discard_caches that is so each time.
		 */
		cache->valid = !cache->changed && !cache->side_changed[ALS_USERS] &&
			!cache->side_changed[ALS_ITEMS];
	}
	cache->checked_role = GetUserId();
	cache->last_use = ++clock_ticks;
	return pin_version(cache);
}

bool
cache_check_replaced(const ModelCache *cache)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "als model",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Relation	model;
	ModelRun	run;
	bool		replaced;

	/* others cannot have: this transaction has locked the tables */
	require_model(cache->model);
	model = table_open(cache->model, AccessShareLock);
	model_require_run(model, cache->number, &run);
	replaced = !run_is_same(&cache->run, &run);
	for (int s = 0; s < 2 && !replaced; s++)
	{
		FactorColumns columns;
		Relation	table = factor_table_open(model, &run, s, AccessShareLock,
											  &columns);

		replaced = relation_file(table) != cache->sides[s].file;
		table_close(table, NoLock);
	}
	table_close(model, NoLock);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return replaced;
}

bool
cache_start_over(const ModelCache *cache, int *times)
{
	if (++*times > START_OVER_LIMIT)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("the factors of model \"%s\" are replaced whenever they are used",
						get_rel_name(cache->model)),
				 errdetail("The function that replaces them runs where ids are read, converted or compared."),
				 errhint("Train the model in a statement of its own.")));
	return true;
}
