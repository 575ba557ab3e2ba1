/*
 * control.c
 *	  The struct in shared memory by which backends find each other's pieces.
 *
 * PostgreSQL 17 and later have a registry for such, and create it when it is
 * first asked for.  Before, it has to be asked for when the server starts, by
 * way of shared_preload_libraries.
 */
#include "compat.h"

#include "access/xact.h"
#include "control.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#define CONTROL_NAME "als"

static SharedControl *control = NULL;

int
try_shared_memory(void (*step) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		step(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;

	if (error == NULL)
		return 0;
	if (error->sqlerrcode != ERRCODE_DISK_FULL &&
		error->sqlerrcode != ERRCODE_OUT_OF_MEMORY)
		ReThrowError(error);
	return error->sqlerrcode;
}

/* Initializes the struct, of which only the lock's address is known. */
static void
init_control(void *memory)
{
	SharedControl *new_control = memory;

	memset(new_control, 0, sizeof(SharedControl));
	new_control->tranche = LWLockNewTrancheId();
	LWLockInitialize(&new_control->lock, new_control->tranche);
	ConditionVariableInit(&new_control->made);
	for (int i = 0; i < SHARED_SLOTS; i++)
		new_control->slots[i].handle = DSM_HANDLE_INVALID;
}

#if ALS_HAVE_DSM_REGISTRY

void
control_request(void)
{
}

bool
control_possible(void)
{
	return true;
}

/* Finds the struct, or creates it, for which the disk may be full. */
static void
find_in_registry(void *arg)
{
	bool		found;

	control = GetNamedDSMSegment(CONTROL_NAME, sizeof(SharedControl),
								 init_control, &found);
	LWLockRegisterTranche(control->tranche, CONTROL_NAME);
}

SharedControl *
control_find(void)
{
	/* a parallel worker has no subtransactions */
	if (control == NULL && !IsInParallelMode() &&
		try_shared_memory(find_in_registry, NULL) == ERRCODE_OUT_OF_MEMORY)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not map the shared memory of als")));
	return control;
}

#else

static shmem_startup_hook_type previous_startup_hook = NULL;

/* Hook: creates the struct when the server starts, or finds it. */
static void
create_control(void)
{
	bool		found;

	if (previous_startup_hook != NULL)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	control = ShmemInitStruct(CONTROL_NAME, sizeof(SharedControl), &found);
	if (!found)
		init_control(control);
	LWLockRelease(AddinShmemInitLock);
	LWLockRegisterTranche(control->tranche, CONTROL_NAME);
}

#if ALS_HAVE_SHMEM_REQUEST_HOOK

static shmem_request_hook_type previous_request_hook = NULL;

/* Hook: asks for the struct's memory. */
static void
request_control(void)
{
	if (previous_request_hook != NULL)
		previous_request_hook();
	RequestAddinShmemSpace(sizeof(SharedControl));
}

#endif

void
control_request(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
#if ALS_HAVE_SHMEM_REQUEST_HOOK
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_control;
#else
	RequestAddinShmemSpace(sizeof(SharedControl));
#endif
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = create_control;
}

bool
control_possible(void)
{
	return control != NULL;
}

SharedControl *
control_find(void)
{
	return control;
}

#endif
