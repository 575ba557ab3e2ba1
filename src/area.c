/*
 * area.c
 *	  A piece of memory for a training.
 */
#include "compat.h"

#include "als_core.h"
#include "area.h"
#include "utils/memutils.h"

typedef struct AreaRequest
{
	size_t		size;
	const char *purpose;
} AreaRequest;

/* Says how much was wanted and which settings limit it. */
static void
area_error_context(void *arg)
{
	AreaRequest *request = arg;

	errhint("Enlarge the server's shared memory (in a container, the size of /dev/shm, for example with docker run --shm-size), set dynamic_shared_memory_type to mmap, pass workers => 0, or train with fewer factors.");
	errcontext("allocating %zu kB of shared memory for %s",
			   request->size / 1024, request->purpose);
}

size_t
area_reserve(size_t *size, size_t bytes)
{
	size_t		offset = *size;

	*size += TYPEALIGN(ALS_ALIGNMENT, bytes);
	return offset;
}

Area
area_create(size_t size, bool shared, const char *purpose)
{
	Area		area = {0};

	if (shared)
	{
		AreaRequest request = {size, purpose};
		ErrorContextCallback callback;

		callback.callback = area_error_context;
		callback.arg = &request;
		callback.previous = error_context_stack;
		error_context_stack = &callback;
		area.segment = dsm_create(size + ALS_ALIGNMENT,
								  DSM_CREATE_NULL_IF_MAXSEGMENTS);
		error_context_stack = callback.previous;
	}
	if (area.segment != NULL)
	{
		area.handle = dsm_segment_handle(area.segment);
		area.address = dsm_segment_address(area.segment);
	}
	else
	{
		area.handle = DSM_HANDLE_INVALID;
		area.address = MemoryContextAllocHuge(CurrentMemoryContext,
											  size + ALS_ALIGNMENT);
	}
	area.address = (char *) TYPEALIGN(ALS_ALIGNMENT, area.address);
	return area;
}

Area
area_attach(dsm_handle handle)
{
	Area		area;

	area.segment = dsm_attach(handle);
	if (area.segment == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("could not map dynamic shared memory segment")));
	area.handle = handle;
	area.address = (char *) TYPEALIGN(ALS_ALIGNMENT,
									  dsm_segment_address(area.segment));
	return area;
}

void
area_free(Area *area)
{
	/* private memory goes with its context */
	if (area->segment != NULL)
		dsm_detach(area->segment);
	area->segment = NULL;
}
