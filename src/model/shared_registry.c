/*
 * shared_registry.c
 *	  The struct in shared memory by which backends find each other's pieces.
 *
 * With shared_preload_libraries it is asked for when the server starts, and
 * every process has it.  PostgreSQL 17 and later also have a registry for such,
 * which creates it when it is first asked for.
 */
#include "compat.h"

#include "access/xact.h"
#include "common/subtransaction.h"
#include "model/shared_registry.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#define REGISTRY_NAME "als"

static SharedRegistry *registry = NULL;

SharedRegistry *
registry_there(void)
{
	return registry;
}

/*
 * Does an error say that shared memory cannot be had?  For want of resources, of files or
 * of rights to them; or for what such an error has left in the registry of PostgreSQL 17 and
 * later, an entry without its segment.
 */
static bool
is_lack(int code)
{
	int			category = ERRCODE_TO_CATEGORY(code);

	return category == ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) ||
		category == ERRCODE_TO_CATEGORY(ERRCODE_SYSTEM_ERROR) ||
		code == ERRCODE_INSUFFICIENT_PRIVILEGE || code == ERRCODE_INTERNAL_ERROR;
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

	if (!is_lack(error->sqlerrcode))
		ReThrowError(error);
	return error->sqlerrcode;
}

/* Initializes the struct, of which only the lock's address is known. */
static void
init_registry(void *memory)
{
	SharedRegistry *new_registry = memory;

	memset(new_registry, 0, sizeof(SharedRegistry));
	new_registry->tranche = lock_tranche_new(REGISTRY_NAME);
	LWLockInitialize(&new_registry->lock, new_registry->tranche);
	ConditionVariableInit(&new_registry->made);
	for (int i = 0; i < SHARED_SLOTS; i++)
		new_registry->slots[i].handle = DSM_HANDLE_INVALID;
	for (int i = 0; i < SHARED_STATS; i++)
		SpinLockInit(&new_registry->stats[i].mutex);
}

static shmem_startup_hook_type previous_startup_hook = NULL;

/* Hook: creates the struct when the server starts, or finds it. */
static void
create_registry(void)
{
	bool		found;

	if (previous_startup_hook != NULL)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	registry = ShmemInitStruct(REGISTRY_NAME, sizeof(SharedRegistry), &found);
	if (!found)
		init_registry(registry);
	LWLockRelease(AddinShmemInitLock);
	lock_tranche_name(registry->tranche, REGISTRY_NAME);
}

#if ALS_HAVE_SHMEM_REQUEST_HOOK

static shmem_request_hook_type previous_request_hook = NULL;

/* Hook: asks for the struct's memory. */
static void
request_registry(void)
{
	if (previous_request_hook != NULL)
		previous_request_hook();
	RequestAddinShmemSpace(sizeof(SharedRegistry));
}

#endif

void
registry_request(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
#if ALS_HAVE_SHMEM_REQUEST_HOOK
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_registry;
#else
	RequestAddinShmemSpace(sizeof(SharedRegistry));
#endif
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = create_registry;
}

#if ALS_HAVE_DSM_REGISTRY

bool
registry_possible(void)
{
	return true;
}

/* Finds the struct, or creates it, for which the disk may be full. */
static bool
find_in_registry(void *arg)
{
	registry = named_shared_memory(REGISTRY_NAME, sizeof(SharedRegistry),
								   init_registry);
	lock_tranche_name(registry->tranche, REGISTRY_NAME);
	return true;
}

SharedRegistry *
registry_find(bool required)
{
	/* in parallel mode a failure could not be undone */
	if (registry == NULL && !IsInParallelMode())
	{
		int			code = try_shared_memory(find_in_registry, NULL);

		/* without room on the disk, or in the registry, nobody has it */
		if (required && code != 0 && code != ERRCODE_DISK_FULL &&
			code != ERRCODE_INTERNAL_ERROR)
			ereport(ERROR,
					(errcode(code),
					 errmsg("could not map the shared memory of als")));
	}
	return registry;
}

#else

bool
registry_possible(void)
{
	return registry != NULL;
}

SharedRegistry *
registry_find(bool required)
{
	return registry;
}

#endif
