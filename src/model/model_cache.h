/*
 * model_cache.h
 *	  What a backend keeps of the models that it serves, and when it forgets.
 */
#ifndef ALS_MODEL_CACHE_H
#define ALS_MODEL_CACHE_H

#include <float.h>
#include <math.h>

#include "common/idmap.h"
#include "common/topk.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "model/factor_image.h"
#include "model/factor_table.h"
#include "model/model.h"
#include "model/model_stats.h"
#include "model/shared_cache.h"
#include "utils/snapshot.h"

/*
 * One side's factors, as serving wants them: [factors, padding], or for an
 * explicit model [x_u, b_u, 1] and [y_i, 1, b_i], so that the score is an
 * inner product in either case.
 */
typedef struct SideCache
{
	MemoryContext context;		/* of all but the Gram matrix; unmaps the rest */
	Oid			file;			/* of the table that it was opened with */
	bool		busy;			/* a row is being added to ids and rows */
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
	MemoryContext gram_context; /* of gram */
	double	   *gram;			/* of all rows, see fold_in; NULL: not there */
} SideCache;

/* Rows that are scored at once where there is no index */
#define CACHE_BLOCK 256

/* Items with their numbers of ratings as scores; popular.c has them */
typedef struct PopularItems
{
	dlist_node	node;			/* among those that are kept of a version */
	MemoryContext context;		/* of all of it */
	ScoredItem *items;
	bool		sorted;			/* the most popular first */
	uint64		size;
	Oid			role;			/* who has counted them, and may see them */
	List	   *query;			/* by what query, as analyzed: it says which
								 * tables the names of the source meant */
	bool		settled;		/* may be kept: others do not see others */
	const Interval *since;		/* NULL: of all times */
	Timestamp	earliest;		/* since when, at the time of counting */
	bool		uncommitted;	/* may count rows that will be rolled back */
} PopularItems;

/*
 * One version of a model: what is kept of a run and of the factors that belong
 * to it.  Nobody frees or empties a version that is pinned.
 */
typedef struct ModelCache
{
	dlist_node	node;			/* among all versions of all models */
	dlist_head	pins;			/* of those who use it */
	Oid			model;
	int32		number;			/* of the run that was asked for; 0: the one
								 * that serves */
	bool		current;		/* what the next cache_open may return */
	bool		valid;			/* ... without looking: locked, nothing
								 * changed */
	bool		changed;		/* set by relcache invalidation */
	bool		side_changed[2];	/* likewise, of a factor table alone */
	Oid			checked_role;	/* may use it; InvalidOid: to be checked */
	uint64		last_use;
	MemoryContext context;		/* of all of it, the struct as well */
	ModelRun	run;
	int			stride;
	SideCache	sides[2];		/* by AlsSide */
	dlist_head	plans;			/* kept_plans.c has them */
	int			nplans;
	dlist_head	popular;		/* what is kept and not in use, last used
								 * first */
	int			npopular;
	ModelCounts counts;			/* of calls */
} ModelCache;

/* Takes a version's popular items out of what is kept. */
static inline void
popular_unlink(ModelCache *cache, PopularItems *popular)
{
	dlist_delete(&popular->node);
	cache->npopular--;
}

/*
 * Keeps a version from being freed until the memory context that the pin was
 * made in is reset, or until the transaction ends.
 */
typedef struct CachePin
{
	dlist_node	node;			/* among the version's pins */
	ModelCache *cache;			/* NULL: let go */
	MemoryContextCallback callback;
} CachePin;

/* Called once for every tuple of a factor table; false ends the scan. */
typedef bool (*FactorVisitor) (Datum id, const float *row, void *arg);

/* Called once for every id of a factor table. */
typedef void (*IdVisitor) (Datum id, void *arg);

/* Registers the callbacks. */
extern void cache_init(void);

/*
 * A run of the model, the one that serves for 0 or one that is kept by its number,
 * pinned in the current memory context: checks that it is one and that the user
 * may SELECT from it, locks its tables for reading until the transaction ends, and
 * makes sure that what is kept of it is current.
 */
extern CachePin *cache_pin(Oid model, int32 number);

/* The same for those who need not know when it is let go */
static inline ModelCache *
cache_open_run(Oid model, int32 number)
{
	return cache_pin(model, number)->cache;
}

/* The run that serves */
static inline ModelCache *
cache_open(Oid model)
{
	return cache_open_run(model, 0);
}

/* Would cache_pin return the same version, without anything to be done? */
static inline bool
cache_pin_ready(const CachePin *pin, Oid model, int32 number)
{
	return pin != NULL && pin->cache != NULL && pin->cache->valid &&
		pin->cache->model == model && pin->cache->number == number &&
		pin->cache->checked_role == GetUserId();
}

/* cache_replaced where something has changed */
extern bool cache_check_replaced(const ModelCache *cache);

/*
 * To be asked when user code has run, such as a query on a model's source: has
 * it replaced the factors?  Then the caller must start over with another
 * cache_open.
 */
static inline bool
cache_replaced(const ModelCache *cache)
{
	return !cache->valid && cache_check_replaced(cache);
}

/* Raises if a call starts over too often; true otherwise. */
extern bool cache_start_over(const ModelCache *cache, int *times);

/* Is a version in use by nobody but one call? */
static inline bool
cache_used_once(ModelCache *cache)
{
	return !dlist_has_next(&cache->pins, dlist_head_node(&cache->pins));
}

/*
 * Factors of one id, kept or read through the index; NULL if the model does
 * not know it.  Valid until the next call.
 */
extern const float *cache_lookup(ModelCache *cache, AlsSide which, Datum id);

/* Has the image of a side, if als.cache_size allows; false if it does not. */
extern bool cache_load(ModelCache *cache, AlsSide which);

/*
 * The index of a side's image, for a search through all its rows; NULL if it
 * is not worth its price (yet).
 */
extern const AlsIndex *cache_index(ModelCache *cache, AlsSide which);

/* Reads a side from its table, without keeping it. */
extern void cache_scan(ModelCache *cache, AlsSide which,
					   FactorVisitor visitor, void *arg);

/* A new snapshot to read both sides with, registered */
extern Snapshot cache_snapshot(const ModelCache *cache);

/* The same as cache_scan with a snapshot, and of the ids alone */
extern void cache_scan_snapshot(ModelCache *cache, AlsSide which,
								Snapshot snapshot, FactorVisitor visitor,
								void *arg);
extern void cache_scan_ids(ModelCache *cache, AlsSide which, Snapshot snapshot,
						   IdVisitor visitor, void *arg);

/* Reads the row of one id from the table; false if there is none. */
extern bool cache_fetch(ModelCache *cache, AlsSide which, Datum id, float *row);

/*
 * What a part of a side is known by to other backends; false if it is not to
 * be shared.
 */
extern bool cache_shared_key(const ModelCache *cache, AlsSide which,
							 SharedPart part, SharedKey *key);

/*
 * A memory context for size bytes more to be kept of a model; NULL if
 * als.cache_size does not allow that.
 */
extern MemoryContext cache_keep(ModelCache *cache, size_t size,
								const char *name);

/*
 * Makes room for size bytes more of a model, by forgetting others that nobody
 * uses; false if it does not fit all the same.
 */
extern bool cache_make_room(size_t size);

/* Empties what is kept of one side; what will be lies in context. */
extern void cache_empty_side(ModelCache *cache, AlsSide which,
							 MemoryContext context);

/*
 * Is the squared length of a row so far within the range of type real that
 * scores are as well?  By Cauchy and Schwarz, no inner product of two such rows
 * exceeds the larger of their squares, nor does a part of its sum.
 */
extern bool cache_row_fits(const ModelCache *cache, const float *row);

/*
 * The same of the sum of its squares, with the bias and the 1 beside it, and the model's
 * mean rating.  Rounding adds much less than a hundredth to a sum of so many products.
 */
static inline bool
serving_fits(double squares, double mean)
{
	return squares + fabs(mean) < FLT_MAX * 0.99;
}

/* The same of factors as they are stored, of an explicit model with their bias behind. */
static inline bool
factors_fit(const float *row, int factors, bool explicit, double mean)
{
	double		squares = explicit ? 1 : 0;

	for (int i = 0; i < factors + (explicit ? 1 : 0); i++)
		squares += (double) row[i] * row[i];
	return serving_fits(squares, mean);
}

/* What an error says of factors that do not fit */
static inline const char *
factors_fit_detail(bool explicit)
{
	return explicit ?
		"The sum of their squares, with the bias and the mean rating, is not within the range of type real." :
		"The sum of their squares is not within the range of type real.";
}

/* Are a row's factors, without the bias, all zero? */
static inline bool
cache_row_is_zero(const ModelCache *cache, const float *row)
{
	for (int i = 0; i < cache->run.factors; i++)
		if (row[i] != 0)
			return false;
	return true;
}

/*
 * Does a row, or NULL, say anything of what a user likes, or of who likes an
 * item?  Implicit feedback makes a zero vector of ratings of which none is
 * positive, and all of the other side are as good as any other to that.  With
 * explicit feedback, they have biases.
 */
static inline bool
cache_knows(const ModelCache *cache, const float *row)
{
	return row != NULL && (cache->run.feedback == ALS_EXPLICIT ||
						   !cache_row_is_zero(cache, row));
}

/* No side has more rows than this. */
extern uint64 cache_rows_limit(ModelCache *cache, AlsSide side);

#endif							/* ALS_MODEL_CACHE_H */
