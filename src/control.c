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
#include "subtransaction.h"

#define CONTROL_NAME "als"

static SharedControl *control = NULL;

SharedControl *
control_there(void)
{
	return control;
}

int
try_shared_memory(bool (*step) (void *arg), void *arg)
{
	ErrorData  *error;

	if (IsInParallelMode())
	{
		step(arg);
		return 0;
	}
	if (in_subtransaction(step, arg, &error))
		return 0;

	/*
	 * A lack of resources, or what an earlier one has left in the registry of
	 * PostgreSQL 17 and later: an entry without its segment
	 */
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) !=
		ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) &&
		error->sqlerrcode != ERRCODE_INTERNAL_ERROR)
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
static bool
find_in_registry(void *arg)
{
	bool		found;

	control = GetNamedDSMSegment(CONTROL_NAME, sizeof(SharedControl),
								 init_control, &found);
	LWLockRegisterTranche(control->tranche, CONTROL_NAME);
	return true;
}

SharedControl *
control_find(bool required)
{
	/* in parallel mode a failure could not be undone */
	if (control == NULL && !IsInParallelMode())
	{
		int			code = try_shared_memory(find_in_registry, NULL);

		/* without room on the disk, or in the registry, nobody has it */
		if (required && code != 0 && code != ERRCODE_DISK_FULL &&
			code != ERRCODE_INTERNAL_ERROR)
			ereport(ERROR,
					(errcode(code),
					 errmsg("could not map the shared memory of als")));
	}
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
control_find(bool required)
{
	return control;
}

#endif
