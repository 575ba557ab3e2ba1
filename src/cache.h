/*
 * cache.h
 *	  What a backend keeps of the models that it serves, and when it forgets.
 */
#ifndef ALS_CACHE_H
#define ALS_CACHE_H

#include "executor/spi.h"
#include "idmap.h"
#include "image.h"
#include "model.h"
#include "shared.h"
#include "topk.h"
#include "utils/snapshot.h"

/*
 * One side's factors, as serving wants them: [factors, padding], or for an
 * explicit model [x_u, b_u, 1] and [y_i, 1, b_i], so that the score is an
 * inner product in either case.
 */
typedef struct SideCache
{
	MemoryContext context;		/* of all but the base; unmaps the rest */
	IdType		type;
	FactorColumns columns;
	IdMap	   *ids;			/* of rows that were asked for; or NULL */
	float	   *rows;			/* [capacity x stride], aligned, by index */
	void	   *allocation;		/* what rows lies in */
	uint32		capacity;
	uint64		misses;			/* since an image was last tried */
	Image	   *image;			/* of all the table, or NULL */
	uint64		shared;			/* the image's piece; 0: it is private */
	size_t		mapped;			/* bytes of image and index, if shared */
	uint32		scans;			/* of all the image's rows */
	AlsIndex   *index;			/* of the image, once it pays; or NULL */
	MemoryContext base_context; /* of base */
	float	   *base;			/* see fold_in; NULL: not there */
} SideCache;

/* Rows that are scored at once where there is no index */
#define CACHE_BLOCK 256

typedef struct ModelCache
{
	struct ModelCache *next;
	Oid			model;
	bool		valid;			/* all below is current */
	bool		loaded;			/* all but what the following say is */
	bool		changed;		/* set by relcache invalidation */
	bool		side_changed[2];	/* likewise, of a factor table alone */
	uint64		generation;		/* counts (re)loads of the header */
	uint64		last_use;
	MemoryContext context;		/* all that hangs on this struct */
	ModelRun	run;
	int			stride;
	SideCache	sides[2];		/* by AlsSide */
	SPIPlanPtr	seen_plan;		/* the user's items in the live source */
	ScoredItem *popular;		/* see history_popular; NULL: not there */
	uint64		popular_size;
	Oid			popular_role;	/* who has counted them, and may see them */
} ModelCache;

/* Called once for every tuple of a factor table; false ends the scan. */
typedef bool (*FactorVisitor) (Datum id, const float *row, void *arg);

/* Called once for every id of a factor table. */
typedef void (*IdVisitor) (Datum id, void *arg);

/* Registers the invalidation callback. */
extern void cache_init(void);

/*
 * The model, for the rest of the statement: checks that it is one and that
 * the user may SELECT from it, locks its tables for reading until the
 * transaction ends, and makes sure that what is kept of it is current.
 */
extern ModelCache *cache_open(Oid model);

/*
 * Factors of one id, kept or read through the index; NULL if the model does
 * not know it.  Valid until the next call.
 */
extern const float *cache_lookup(ModelCache *cache, AlsSide side, Datum id);

/* Has the image of a side, if als.cache_size allows; false if it does not. */
extern bool cache_load(ModelCache *cache, AlsSide side);

/*
 * The index of a side's image, for a search through all its rows; NULL if it
 * is not worth its price (yet).
 */
extern const AlsIndex *cache_index(ModelCache *cache, AlsSide side);

/* Reads a side from its table, without keeping it. */
extern void cache_scan(ModelCache *cache, AlsSide side,
					   FactorVisitor visitor, void *arg);

/* A new snapshot to read a side with, registered */
extern Snapshot cache_snapshot(const ModelCache *cache, AlsSide side);

/* The same as cache_scan with a snapshot, and of the ids alone */
extern void cache_scan_snapshot(ModelCache *cache, AlsSide side,
								Snapshot snapshot, FactorVisitor visitor,
								void *arg);
extern void cache_scan_ids(ModelCache *cache, AlsSide side, Snapshot snapshot,
						   IdVisitor visitor, void *arg);

/* Reads the row of one id from the table; false if there is none. */
extern bool cache_fetch(ModelCache *cache, AlsSide side, Datum id, float *row);

/*
 * What a part of a side is known by to other backends; false if it is not to
 * be shared.
 */
extern bool cache_shared_key(const ModelCache *cache, AlsSide side,
							 SharedPart part, SharedKey *key);

/*
 * A memory context for size bytes more to be kept of a model; NULL if
 * als.cache_size does not allow that.
 */
extern MemoryContext cache_keep(ModelCache *cache, size_t size,
								const char *name);

/* No side has more rows than this. */
extern uint64 cache_rows_limit(ModelCache *cache, AlsSide side);

#endif							/* ALS_CACHE_H */
