/*
 * triplets.h
 *	  Ratings as triplets of indices: how a process collects them, and how
 *	  several walk over them.
 */
#ifndef ALS_TRIPLETS_H
#define ALS_TRIPLETS_H

#include "common/arena.h"
#include "port/atomics.h"
#include "ratings/packed.h"
#include "storage/buffile.h"
#include "storage/sharedfileset.h"
#include "utils/dsa.h"

/*
 * One rating as collected: the indices are in order of arrival.  Where ratings have
 * no weights it ends before that, so that arrays of them go by rating_size.
 */
typedef struct Rating
{
	uint32		user;
	uint32		item;
	float4		rating;
	float4		weight;
} Rating;

static inline size_t
rating_size(bool weighted)
{
	return weighted ? sizeof(Rating) : offsetof(Rating, weight);
}

/* The i-th of ratings of a size */
static inline Rating *
rating_at(const Rating *ratings, size_t size, uint64 i)
{
	return (Rating *) ((char *) unconstify(Rating *, ratings) + i * size);
}

/*
 * What processes that collect or sort together share, in an arena: behind it lies
 * an area of dynamic shared memory, which grows.
 */
typedef struct TripletStore
{
	SharedFileSet fileset;		/* of files of triplets */
	pg_atomic_uint32 files;		/* how many there are: the number of the next */
	size_t		area_offset;	/* of the area, from here */
} TripletStore;

/* How many triplets may be held in memory, by all that share this */
typedef struct TripletRoom
{
	uint64		limit;
	pg_atomic_uint64 taken;		/* so many there is room for */
	pg_atomic_uint32 spilled;	/* 1 once somebody wanted more: to files */
} TripletRoom;

/* A piece of memory that triplets are collected in */
typedef struct TripletPiece
{
	dsa_pointer shared;			/* in the area, or InvalidDsaPointer */
	Rating	   *ratings;
	uint64		size;			/* known once the next piece begins */
	uint64		capacity;
} TripletPiece;

/* What a process has collected */
typedef struct Triplets
{
	bool		weighted;
	size_t		rating_size;
	Rating	   *next;			/* where the next goes, in the last piece */
	Rating	   *end;			/* of that */
	MemoryContext context;
	TripletRoom *room;			/* that of others too, or own_room */
	TripletRoom own_room;
	uint64		held;			/* in pieces there is room for so many */
	bool		shared;			/* let others map what is large */
	TripletPiece *pieces;
	int			npieces;
	Arena		store;			/* a TripletStore, once one is needed */
	dsa_area   *area;			/* of that */
	BufFile    *file;			/* NULL until there is no room */
	uint32		file_number;
	uint32		chunks;			/* in the file */
} Triplets;

/* Where triplets lie, for whoever walks over them */
typedef struct TripletSource
{
	uint32		part;			/* who has collected them: see ratings.h */
	uint64		size;			/* in memory */
	const Rating *address;		/* the leader's, NULL in a file */
	dsa_pointer shared;			/* others', or InvalidDsaPointer */
	uint32		file;			/* the number, in a file */
	uint32		chunks;			/* in that */
} TripletSource;

/* Walks go by so many at a time, or what is left of a source: a chunk of a file. */
#define TRIPLET_BATCH PACKED_CHUNK

/* A walk of one of the processes */
typedef struct TripletReader TripletReader;

/*
 * Creates a store in an arena of size bytes, which begins with it.  Where no
 * segment is left there is none.
 */
extern Arena triplet_store_create(size_t size, dsa_area **area);

/* Attaches a worker, which has mapped the arena. */
extern dsa_area *triplet_store_attach(Arena *store);

extern void triplet_room_init(TripletRoom *room, uint64 limit);

/* Begins to collect, at most limit of them in memory, which may be shared. */
extern void triplets_begin(Triplets *triplets, MemoryContext context,
						   bool weighted, uint64 limit, bool shared);

/*
 * Before the first: lets them lie where others map them, in a store that is
 * theirs too, and share the room with them.  A worker has nothing of its own.
 */
extern void triplets_join(Triplets *triplets, TripletRoom *room,
						  const Arena *store, dsa_area *area);

/* Makes room for at least one more. */
extern void triplets_make_room(Triplets *triplets);

static inline void
triplets_add(Triplets *triplets, uint32 user, uint32 item, float4 rating,
			 float4 weight)
{
	if (unlikely(triplets->next == triplets->end))
		triplets_make_room(triplets);
	triplets->next->user = user;
	triplets->next->item = item;
	triplets->next->rating = rating;
	if (triplets->weighted)
		triplets->next->weight = weight;
	triplets->next = rating_at(triplets->next, triplets->rating_size, 1);
}

/* All are there. */
extern void triplets_finish(Triplets *triplets);

/* Is some of it in a file, or of others who share the room? */
extern bool triplets_spilled(const Triplets *triplets);

/* Their sources, as many as triplets_nsources says */
extern int	triplets_nsources(const Triplets *triplets);
extern void triplets_sources(const Triplets *triplets, TripletSource *sources);

/*
 * Puts sources first that the leader alone can read; returns how many batches
 * these are, and all.
 */
extern uint32 triplet_sources_order(TripletSource *sources, int nsources,
									uint32 *batches);

/* Reads batches, by rising numbers; the store is NULL if there is none. */
extern TripletReader *triplet_reader_open(const TripletSource *sources,
										  Arena *store, bool weighted,
										  bool leader);
extern const Rating *triplet_reader_read(TripletReader *reader, uint32 batch,
										 size_t *size, uint32 *part);
extern void triplet_reader_close(TripletReader *reader);

/* Raises that there is no segment for ratings in files. */
pg_noreturn extern void reject_no_segment(void);

/* A worker leaves what it has to others, and detaches. */
extern void triplets_leave(Triplets *triplets);

/* Frees memory and files, unless an error does. */
extern void triplets_free(Triplets *triplets);

#endif							/* ALS_TRIPLETS_H */
