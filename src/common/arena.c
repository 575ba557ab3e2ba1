/*
 * arena.c
 *	  A piece of memory for a training.
 */
#include "compat.h"

#include "common/arena.h"
#include "common/error_context.h"
#include "core/als_core.h"
#include "utils/memutils.h"

typedef struct ArenaRequest
{
	size_t		size;
	const char *purpose;
} ArenaRequest;

/* Says how much was wanted and which settings limit it. */
static void
arena_error_context(void *arg)
{
	ArenaRequest *request = arg;

	errhint("Enlarge the server's shared memory (in a container, the size of /dev/shm, for example with docker run --shm-size), set dynamic_shared_memory_type to mmap, pass workers => 0, or train with fewer factors.");
	errcontext("allocating %zu kB of shared memory for %s",
			   request->size / 1024, request->purpose);
}

size_t
arena_reserve(size_t *size, size_t bytes)
{
	size_t		offset = *size;

	*size += TYPEALIGN(ALS_ALIGNMENT, bytes);
	return offset;
}

Arena
arena_create_shared(size_t size, const char *purpose)
{
	ArenaRequest request = {size, purpose};
	ErrorContextCallback callback;
	Arena		arena = {0};

	error_context_push(&callback, arena_error_context, &request);
	arena.segment = dsm_create(size + ALS_ALIGNMENT,
							   DSM_CREATE_NULL_IF_MAXSEGMENTS);
	error_context_pop(&callback);
	arena.handle = DSM_HANDLE_INVALID;
	if (arena.segment != NULL)
	{
		arena.handle = dsm_segment_handle(arena.segment);
		arena.address = (char *) TYPEALIGN(ALS_ALIGNMENT,
										   dsm_segment_address(arena.segment));
	}
	return arena;
}

Arena
arena_create(size_t size, bool shared, const char *purpose)
{
	Arena		arena = {0};

	if (shared)
		arena = arena_create_shared(size, purpose);
	if (arena.segment == NULL)
	{
		arena.handle = DSM_HANDLE_INVALID;
		arena.address = allocate_aligned(CurrentMemoryContext, size);
	}
	return arena;
}

Arena
arena_attach(dsm_handle handle)
{
	Arena		arena;

	arena.segment = dsm_attach(handle);
	if (arena.segment == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not map dynamic shared memory segment")));
	arena.handle = handle;
	arena.address = (char *) TYPEALIGN(ALS_ALIGNMENT,
									   dsm_segment_address(arena.segment));
	return arena;
}

void
arena_free(Arena *arena)
{
	/* private memory goes with its context */
	if (arena->segment != NULL)
		dsm_detach(arena->segment);
	arena->segment = NULL;
}

void *
allocate_aligned(MemoryContext context, size_t size)
{
	return (void *) TYPEALIGN(ALS_ALIGNMENT,
							  MemoryContextAllocHuge(context,
													 size + ALS_ALIGNMENT));
}
