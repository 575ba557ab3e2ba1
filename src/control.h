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

/* Two for every factor table in use; beyond that the oldest make room. */
#define SHARED_SLOTS 128

/* A piece that is there or being made */
typedef struct SharedSlot
{
	SharedKey	key;
	uint64		number;			/* 0: the slot is empty */
	dsm_handle	handle;			/* DSM_HANDLE_INVALID: not there (yet) */
	size_t		size;			/* 0: not known yet */
	uint64		last_use;		/* control->clock of the last mapping */
} SharedSlot;

typedef struct SharedControl
{
	int			tranche;		/* of lock; never changes */
	LWLock		lock;			/* of all below */
	ConditionVariable made;		/* a piece was published or given up */
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
 * possible (now).
 */
extern SharedControl *control_find(void);

/*
 * Takes a step that needs shared memory.  Returns 0, or ERRCODE_DISK_FULL or
 * ERRCODE_OUT_OF_MEMORY, with all of it undone; raises any other error.
 */
extern int	try_shared_memory(void (*step) (void *arg), void *arg);

#endif							/* ALS_CONTROL_H */
