/*
 * control.h
 *	  The struct in shared memory by which backends find each other's pieces.
 */
#ifndef ALS_CONTROL_H
#define ALS_CONTROL_H

#include "shared.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"
#include "storage/lwlock.h"

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
	uint64		last_use;		/* control->clock of the last mapping */
	uint32		mappings;		/* of all backends, its maker's included */
	bool		retired;		/* not to be found any more */
} SharedSlot;

typedef struct SharedControl
{
	int			tranche;		/* of lock; never changes */
	LWLock		lock;			/* of all below */
	ConditionVariable made;		/* a piece was published or given up */
	int			size_setting;	/* als.shared_cache_size when last looked at */
	uint64		last_number;	/* given to a slot */
	uint64		clock;
	SharedSlot	slots[SHARED_SLOTS];
} SharedControl;

/* Asks for the struct's memory, where that is done at the server's start. */
extern void control_request(void);

/* May this server have the struct, now or later? */
extern bool control_possible(void);

/*
 * The struct, which is created where there is none; NULL if that is not
 * possible (now).  If it is required, an error instead where others may have it
 * and only this backend cannot map it.
 */
extern SharedControl *control_find(bool required);

/* The struct if this backend has found it before, else NULL */
extern SharedControl *control_there(void);

/*
 * Takes a step that needs shared memory.  Returns 0, or the SQLSTATE if there
 * is a lack of memory, files or segments, with all of it undone; raises any
 * other error, and in parallel mode, where nothing can be undone, that as well.
 */
extern int	try_shared_memory(void (*step) (void *arg), void *arg);

#endif							/* ALS_CONTROL_H */
