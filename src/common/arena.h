/*
 * arena.h
 *	  A piece of memory for a training: dynamic shared memory where workers
 *	  take part, private memory where there are none.
 */
#ifndef ALS_ARENA_H
#define ALS_ARENA_H

#include "storage/dsm.h"
#include "utils/dsa.h"

typedef struct Arena
{
	char	   *address;		/* aligned to ALS_ALIGNMENT */
	dsm_segment *segment;		/* NULL if private */
	dsm_handle	handle;			/* DSM_HANDLE_INVALID if private */
} Arena;

/* Reserves room in the layout of an arena; returns its offset. */
extern size_t arena_reserve(size_t *size, size_t bytes);

/*
 * Allocates; what it is for goes into the message if there is no memory.  Where
 * shared memory is asked for and the server has no segment left, it is private.
 * Private memory belongs to the current memory context, a segment to the
 * current resource owner: both go away with the transaction at the latest.
 */
extern Arena arena_create(size_t size, bool shared, const char *purpose);

/* The same, but a segment or nothing: then its address is NULL. */
extern Arena arena_create_shared(size_t size, const char *purpose);

/*
 * Asks for huge pages where private memory is large, before it is touched.  The pages of
 * shared memory have been allocated by then.
 */
extern void arena_ask_huge_pages(const Arena *arena, size_t size);

/* Can workers map it? */
static inline bool
arena_is_shared(const Arena *arena)
{
	return arena->handle != DSM_HANDLE_INVALID;
}

/* Maps a segment in a worker. */
extern Arena arena_attach(dsm_handle handle);

/* One that is mapped */
extern Arena arena_of(dsm_segment *segment);

extern void arena_free(Arena *arena);

/* For error_context_push: says which settings limit shared memory. */
extern void shared_memory_hint(void *arg);

/* Allocates in an area of shared memory that grows, or raises likewise. */
extern dsa_pointer arena_area_allocate(dsa_area *area, size_t size,
									   const char *purpose);

/*
 * Allocates private memory of any size that is aligned likewise.  It cannot be
 * freed by itself, but goes with the context.
 */
extern void *allocate_aligned(MemoryContext context, size_t size);

#endif							/* ALS_ARENA_H */
