/*
 * shared_registry.h
 *	  The struct in shared memory by which backends find each other's pieces.
 */
#ifndef ALS_SHARED_REGISTRY_H
#define ALS_SHARED_REGISTRY_H

#include "datatype/timestamp.h"
#include "model/shared_cache.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

/* Two for every factor table in use, at the most; see slots_limit */
#define SHARED_SLOTS 256

/*
 * A piece that is there or being made, for as long as its segment is: one that
 * has been retired keeps its slot until nobody has it mapped.
 */
typedef struct SharedSlot
{
	SharedKey	key;
	uint64		number;			/* 0: the slot is free */
	dsm_handle	handle;			/* DSM_HANDLE_INVALID: not there (yet) */
	size_t		size;			/* 0: not known yet */
	uint64		last_use;		/* registry->clock of the last mapping */
	uint32		mappings;		/* of all backends, its maker's included */
	bool		retired;		/* not to be found any more */
} SharedSlot;

/* Models whose calls are counted, at the most */
#define SHARED_STATS 256

/* What calls have done with a model, since a time; times are in milliseconds */
typedef struct StatsSums
{
	int64		calls;
	int64		rows;
	int64		fold_ins;
	int64		unknown_users;
	int64		cache_hits;
	int64		cache_misses;
	double		total_time;
	double		max_time;
	TimestampTz since;
} StatsSums;

/* An entry of model_stats.c */
typedef struct ModelStats
{
	slock_t		mutex;			/* of all below */
	Oid			database;
	Oid			model;			/* InvalidOid: the entry is free */
	TimestampTz last_use;
	StatsSums	sums;
} ModelStats;

typedef struct SharedRegistry
{
	int			tranche;		/* of lock; never changes */
	LWLock		lock;			/* of all below */
	ConditionVariable made;		/* a piece was published or given up */
	int			size_setting;	/* als.shared_cache_size when last looked at */
	uint64		last_number;	/* given to a slot */
	uint64		clock;
	SharedSlot	slots[SHARED_SLOTS];
	ModelStats	stats[SHARED_STATS];
} SharedRegistry;

/* Asks for the struct's memory, if the server is starting. */
extern void registry_request(void);

/* May this server have the struct, now or later? */
extern bool registry_possible(void);

/*
 * The struct, which is created where there is none; NULL if that is not
 * possible (now).  If it is required, an error instead where others may have it
 * and only this backend cannot map it.
 */
extern SharedRegistry *registry_find(bool required);

/* The struct if this backend has found it before, else NULL */
extern SharedRegistry *registry_there(void);

/*
 * Takes a step that needs shared memory, and returns true.  Returns 0, or the SQLSTATE if there
 * is a lack of memory, files or segments, with all of it undone; raises any
 * other error, and in parallel mode, where nothing can be undone, that as well.
 */
extern int	try_shared_memory(bool (*step) (void *arg), void *arg);

/* What segment_slots.c does, all of it with the struct locked: */

/* How many slots, and so segments, als may have. */
extern int	slots_limit(void);

/* The slot with a number, or NULL if it has been freed; 0: a free one */
extern SharedSlot *slot_find_number(SharedRegistry *registry, uint64 number);

/* The slot with a key, unless it is retired; or NULL */
extern SharedSlot *slot_find_key(SharedRegistry *registry, const SharedKey *key);

/*
 * A slot for a piece that is to be made; NULL if there is none, or the piece
 * would be of an image that is no longer there.
 */
extern SharedSlot *slot_reserve(SharedRegistry *registry, const SharedKey *key);

/* Makes a piece impossible to find, and the index of an image with it. */
extern void slot_retire(SharedRegistry *registry, SharedSlot *slot);

/* Frees a slot, and its segment, once that is retired and not mapped. */
extern void slot_free_unused(SharedSlot *slot);

/*
 * Gives up pieces that nobody has mapped, those used longest ago first, until
 * there is room for size bytes; false if that is not to be had.
 */
extern bool slots_make_room(SharedRegistry *registry, size_t size);

#endif							/* ALS_SHARED_REGISTRY_H */
