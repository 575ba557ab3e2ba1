/*
 * triplets.h
 *	  Ratings as triplets of indices: how a process collects them, and how
 *	  several walk over them.
 */
#ifndef ALS_TRIPLETS_H
#define ALS_TRIPLETS_H

#include "common/arena.h"
#include "storage/buffile.h"
#include "storage/sharedfileset.h"

/* One rating as collected: the indices are in order of arrival. */
typedef struct Rating
{
	uint32		user;
	uint32		item;
	float4		rating;
} Rating;

/* A piece of memory that triplets are collected in */
typedef struct TripletPiece
{
	Arena		arena;			/* if other processes can map it */
	Rating	   *ratings;
	uint64		size;			/* known once the next piece begins */
	uint64		capacity;
} TripletPiece;

/* What a process has collected */
typedef struct Triplets
{
	Rating	   *next;			/* where the next goes, in the last piece */
	Rating	   *end;			/* of that */
	MemoryContext context;
	bool		shared;			/* let others map what is large */
	uint64		limit;			/* triplets to have room for in memory */
	uint64		room;			/* for so many there is */
	TripletPiece *pieces;
	int			npieces;
	Arena		files;			/* a SharedFileSet, once there is a file */
	BufFile    *file;			/* NULL until the limit is reached */
	uint64		in_file;		/* triplets */
} Triplets;

/* Where triplets lie, for whoever walks over them */
typedef struct TripletSource
{
	uint64		size;
	const Rating *address;		/* the leader's, NULL in a file */
	dsm_handle	handle;			/* DSM_HANDLE_INVALID in a file, or if only the
								 * leader has it */
} TripletSource;

/* Walks go by so many at a time, or what is left of a source. */
#define TRIPLET_BATCH 65536

/* A walk of one of the processes */
typedef struct TripletReader TripletReader;

/* Begins to collect, at most limit of them in memory, which may be shared. */
extern void triplets_begin(Triplets *triplets, MemoryContext context,
						   uint64 limit, bool shared);

/* Makes room for at least one more. */
extern void triplets_make_room(Triplets *triplets);

static inline void
triplets_add(Triplets *triplets, uint32 user, uint32 item, float4 rating)
{
	if (unlikely(triplets->next == triplets->end))
		triplets_make_room(triplets);
	triplets->next->user = user;
	triplets->next->item = item;
	triplets->next->rating = rating;
	triplets->next++;
}

/* All are there. */
extern void triplets_finish(Triplets *triplets);

/*
 * Their sources, as many as triplets_nsources says, and first those that the
 * leader alone can read; returns how many batches these are.
 */
extern int	triplets_nsources(const Triplets *triplets);
extern uint32 triplets_sources(const Triplets *triplets,
							   TripletSource *sources);

/* How many batches some sources are. */
extern uint32 triplets_batches(const TripletSource *sources, int nsources);

/*
 * Reads batches, by rising numbers; the file set is that of the triplets,
 * NULL if they are in memory.
 */
extern TripletReader *triplet_reader_open(const TripletSource *sources,
										  SharedFileSet *fileset, bool leader);
extern const Rating *triplet_reader_read(TripletReader *reader, uint32 batch,
										 size_t *size);
extern void triplet_reader_close(TripletReader *reader);

/* Raises that there is no segment for ratings in files. */
pg_noreturn extern void reject_no_segment(void);

/* Frees memory and files, unless an error does. */
extern void triplets_free(Triplets *triplets);

#endif							/* ALS_TRIPLETS_H */
