/*
 * batch_topk.h
 *	  The k best items for many users, by the leader and its workers; or for many
 *	  items, those that are most similar, where items are users too.
 *
 * Results are computed in rounds of as many users as there is room for.  Users
 * of a round are claimed in batches; what one of them gets depends on nobody
 * else, so any number of workers gives the same bits.
 */
#ifndef ALS_BATCH_TOPK_H
#define ALS_BATCH_TOPK_H

#include "common/arena.h"
#include "common/id_conversion.h"
#include "common/idmap.h"
#include "common/side.h"
#include "core/als_core.h"
#include "core/als_heap.h"
#include "port/atomics.h"
#include "utils/tuplestore.h"

/* What processes share, at the start of the arena; offsets count from here */
typedef struct BatchTopK
{
	int			stride;
	float		mean;			/* part of every score */
	float		min_score;		/* of what is returned */
	uint32		k;				/* at most nitems */
	uint32		nusers;
	uint32		nitems;			/* those that may be recommended */
	bool		similar;		/* users have squares and a row of their own */
	bool		cosine;			/* scores are cosines, and not inner products */
	uint32		seen_items;		/* different items in the set of seen ones */
	AlsSide		seen_side;		/* of users in it; ALS_ITEMS for an audience */
	uint32		round;			/* users of a round, at most */

	/* lists by more than scores: als_rerank.h */
	int			factors;		/* of stride, those that a cosine is of */
	double		diversity;
	uint32		per_group;		/* 0: no groups */
	uint32		ngroups;
	uint32		nboosts;		/* items with a boost */
	bool		multiply;		/* boosts are multiplied with, and not added */

	/* the users of this round */
	uint32		first;
	uint32		last;
	pg_atomic_uint32 next_user;

	size_t		users_offset;	/* float [nusers x stride] */
	size_t		items_offset;	/* float [nitems x stride], in order of ids */
	size_t		index_offset;	/* AlsIndex of the items */
	size_t		squares_offset; /* float [nitems]: |item|^2, if similar */
	size_t		own_rows_offset;	/* uint32 [nusers]: rows of items that are
									 * the user, or NOT_THERE, if similar */
	size_t		groups_offset;	/* uint32 [nitems]: groups, if there are */
	size_t		boosted_offset; /* uint32 [nboosts]: rows of items */
	size_t		amounts_offset; /* double [nboosts]: their boosts */
	size_t		has_boost_offset;	/* uint64 [nitems / 64, rounded up]: a
									 * bitmap, if there are boosts */
	size_t		seen_rows_offset;	/* uint32 [nusers]: rows of the set */
	size_t		item_rows_offset;	/* uint32 [seen_items]: rows of items */
	size_t		best_offset;	/* AlsRankedItem [round x k], output, best
								 * first; their order is the row of items */
	size_t		sizes_offset;	/* uint32 [round]: how many, output */
} BatchTopK;

static inline void *
batch_topk_at(const BatchTopK *job, size_t offset)
{
	return (char *) job + offset;
}

static inline float *
batch_topk_users(const BatchTopK *job)
{
	return batch_topk_at(job, job->users_offset);
}

static inline float *
batch_topk_items(const BatchTopK *job)
{
	return batch_topk_at(job, job->items_offset);
}

/* The squares of items, and which of these users are; if similar */
static inline float *
batch_topk_squares(const BatchTopK *job)
{
	return batch_topk_at(job, job->squares_offset);
}

static inline uint32 *
batch_topk_own_rows(const BatchTopK *job)
{
	return batch_topk_at(job, job->own_rows_offset);
}

/* The groups of items, if there are any */
static inline uint32 *
batch_topk_groups(const BatchTopK *job)
{
	return batch_topk_at(job, job->groups_offset);
}

/* Items with a boost, how large it is, and which items these are */
static inline uint32 *
batch_topk_boosted(const BatchTopK *job)
{
	return batch_topk_at(job, job->boosted_offset);
}

static inline double *
batch_topk_amounts(const BatchTopK *job)
{
	return batch_topk_at(job, job->amounts_offset);
}

static inline uint64 *
batch_topk_has_boost(const BatchTopK *job)
{
	return batch_topk_at(job, job->has_boost_offset);
}

/* Are lists chosen from the ranking by more than scores? */
static inline bool
batch_topk_chooses(const BatchTopK *job)
{
	return job->diversity > 0 || job->per_group > 0;
}

/* Words of a bitmap of the items */
static inline size_t
batch_topk_words(const BatchTopK *job)
{
	return ((size_t) job->nitems + 63) / 64;
}

/* Where users are in the set of seen items, which is blocks; or NOT_THERE */
static inline uint32 *
seen_rows(const BatchTopK *job)
{
	return batch_topk_at(job, job->seen_rows_offset);
}

/* What items the columns of that set are; or NOT_THERE */
static inline uint32 *
seen_item_rows(const BatchTopK *job)
{
	return batch_topk_at(job, job->item_rows_offset);
}

/* The best for a user of this round; returns how many. */
static inline uint32
batch_topk_best(const BatchTopK *job, uint32 user, AlsRankedItem **best)
{
	uint32		place = user - job->first;
	uint32	   *sizes = batch_topk_at(job, job->sizes_offset);

	*best = (AlsRankedItem *) batch_topk_at(job, job->best_offset) +
		(size_t) place * job->k;
	return sizes[place];
}

/*
 * Allocates what the sizes in layout ask for, and copies them, with as many
 * users in a round as fit in budget bytes; users, items and what is seen, groups
 * and boosts, or the squares and the users' own rows, are the caller's to fill in,
 * and the index.  If
 * scores are cosines, that is of the items divided by their lengths.
 */
extern Arena batch_topk_begin(const BatchTopK *layout, size_t budget, bool shared);

/* unit[stride] := the row divided by its length; 0 if it has no cosine. */
extern void batch_topk_unit_row(int stride, const float *row, float square,
								float *unit);

/* What rows of users and items are, and how their ids are returned */
typedef struct BatchTopKIds
{
	IdMap	   *users;
	IdMap	   *items;
	const uint32 *places;		/* [items] their rows, in the order of ids */
	IdConversion *user_conversion;
	IdConversion *item_conversion;
} BatchTopKIds;

/*
 * Runs all rounds, and adds to store what they find: rows of user, item, score
 * and rank.
 */
extern void batch_topk_run_all(Arena *arena, Arena *seen, int nworkers,
							   const BatchTopKIds *ids, Tuplestorestate *store,
							   TupleDesc row_type);

#endif							/* ALS_BATCH_TOPK_H */
