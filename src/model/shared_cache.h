/*
 * shared_cache.h
 *	  What one backend has made of a factor table, for all others to use.
 *
 * See shared_cache.c for the protocol that keeps anything stale from being used.
 */
#ifndef ALS_SHARED_CACHE_H
#define ALS_SHARED_CACHE_H

#include "postgres.h"

#include "common/ids.h"

/* What is shared of a factor table */
typedef enum SharedPart
{
	SHARED_FACTORS,				/* an Image of all its rows */
	SHARED_INDEX				/* the AlsIndex of that image's rows */
} SharedPart;

/* All that the contents depend on; to be filled with zeros first */
typedef struct SharedKey
{
	Oid			database;
	Oid			table;
	SharedPart	part;
	Oid			file;			/* relfilenode of the table */
	uint64		image;			/* of SHARED_INDEX: the image's piece */
	int32		stride;
	int32		factors;
	Oid			id_type;
	int32		id_typmod;
	Oid			id_collation;
	int16		columns[4];		/* numbers of those that are read; 0 */
	TransactionId triggers[2];	/* versions of those that tell of changes */
} SharedKey;

/* How to make the contents */
typedef struct SharedMaker
{
	size_t		(*size) (void *arg);	/* bytes of them */
	void		(*fill) (void *memory, void *arg);	/* aligned memory */
	void	   *arg;
} SharedMaker;

typedef struct SharedPiece
{
	void	   *memory;			/* aligned to ALS_ALIGNMENT; never written */
	size_t		size;
	uint64		number;			/* what tells pieces apart; not 0 */
} SharedPiece;


/* Registers what keeps the pieces of tables that are gone from staying. */
extern void shared_init(void);

/*
 * Finds what another backend has made, waits while one is making it, or makes
 * it, which an error may interrupt.  Mapped for as long as context lives.
 *
 * False if that cannot be shared (now): the server is not set up for it or is
 * in recovery, the piece and others in use do not fit into
 * als.shared_cache_size or it alone not into als.cache_size, there is no more
 * shared memory, or the table has changes that are not committed.  It may have
 * been made all the same, unshared, when the table changes meanwhile.
 */
extern bool shared_get(const SharedKey *key, const SharedMaker *maker,
					   MemoryContext context, SharedPiece *piece);

/* The same without making it: false if it is not there already. */
extern bool shared_find(const SharedKey *key, MemoryContext context,
						SharedPiece *piece);

/*
 * Called by the trigger of a table, in the transaction that changes it, after
 * the change: what has been made of the table will not be found any more.
 */
extern void shared_forget(Oid table);

#endif							/* ALS_SHARED_CACHE_H */
