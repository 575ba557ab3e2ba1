/*
 * arena.c
 *	  A piece of memory for a training.
 */
#include "compat.h"

#include "common/arena.h"
#include "common/bulk.h"
#include "common/error_context.h"
#include "core/als_core.h"
#include "utils/memutils.h"

typedef struct ArenaRequest
{
	size_t		size;
	const char *purpose;
} ArenaRequest;

void
shared_memory_hint(void *arg)
{
	errhint("Enlarge the server's shared memory (in a container, the size of /dev/shm, for example with docker run --shm-size), set dynamic_shared_memory_type to mmap, pass workers => 0, or train with fewer factors.");
}

/* Says how much was wanted too. */
static void
arena_error_context(void *arg)
{
	ArenaRequest *request = arg;

	shared_memory_hint(NULL);
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
arena_of(dsm_segment *segment)
{
	Arena		arena;

	arena.segment = segment;
	arena.handle = dsm_segment_handle(segment);
	arena.address = (char *) TYPEALIGN(ALS_ALIGNMENT, dsm_segment_address(segment));
	return arena;
}

Arena
arena_create_shared(size_t size, const char *purpose)
{
	ArenaRequest request = {size, purpose};
	ErrorContextCallback callback;
	dsm_segment *segment;
	Arena		none = {.handle = DSM_HANDLE_INVALID};

	error_context_push(&callback, arena_error_context, &request);
	segment = dsm_create(size + ALS_ALIGNMENT, DSM_CREATE_NULL_IF_MAXSEGMENTS);
	error_context_pop(&callback);
	return segment != NULL ? arena_of(segment) : none;
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
	dsm_segment *segment = dsm_attach(handle);

	if (segment == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not map dynamic shared memory segment")));
	return arena_of(segment);
}

void
arena_ask_huge_pages(const Arena *arena, size_t size)
{
	if (!arena_is_shared(arena))
		ask_huge_pages(arena->address, size);
}

dsa_pointer
arena_area_allocate(dsa_area *area, size_t size, const char *purpose)
{
	ArenaRequest request = {size, purpose};
	ErrorContextCallback callback;
	dsa_pointer result;

	error_context_push(&callback, arena_error_context, &request);
	result = dsa_allocate_extended(area, size, DSA_ALLOC_HUGE);
	error_context_pop(&callback);
	return result;
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
