/*
 * csr_sort.h
 *	  What the processes of a sort share, and the programs that each of them runs.
 */
#ifndef ALS_CSR_SORT_H
#define ALS_CSR_SORT_H

#include "common/parallel.h"
#include "port/atomics.h"
#include "ratings/csr_blocks.h"
#include "ratings/partitions.h"

/* What the processes share; offsets count from here */
typedef struct SharedSort
{
	AlsFeedback feedback;
	bool		spilled;
	bool		weighted;
	int			nsources;		/* of triplets */
	uint32		own_batches;	/* of triplets: the leader's own come first */
	uint32		batches;		/* all of them */
	size_t		sources_offset; /* TripletSource [nsources] */
	size_t		order_offset;	/* size_t [parts][2]: of uint32 [ids], their
								 * rows; by part and side */
	size_t		partitions_offset[2];	/* Partitions; by side */
	size_t		sizes_offset;	/* uint64 [partitions of users]: what is left
								 * of each when duplicates are merged */
	size_t		regions_offset; /* PlacedRating [ratings], in memory */
	size_t		row_sums_offset;	/* RowSums [users] */
	size_t		merged_offset;	/* pg_atomic_uint64 [items]: ratings that
								 * merging has left out */

	/* how far they are, in ratings and passes */
	pg_atomic_uint64 sorted;
	uint64		shown;			/* of that, by the leader */

	/* what is next to claim */
	pg_atomic_uint32 next_batch;
	pg_atomic_uint32 next_sorted[2];	/* partitions; by side */
	pg_atomic_uint32 next_passed_on;	/* partition of users, in memory */
} SharedSort;

/* Sums over what a user has rated */
typedef struct RowSums
{
	double		ratings;		/* times their weights */
	double		weights;
} RowSums;

/* The arenas, in the order in which parallel_run has them */
typedef enum SortArena
{
	SORT_STATE,					/* SharedSort and what it counts offsets of */
	SORT_BLOCKS,				/* RatingBlocks; in memory not in the first
								 * run */
	SORT_TRIPLETS				/* TripletStore, if there is one, in the first
								 * run */
} SortArena;

/* What lies behind an offset */
static inline void *
state_at(const SharedSort *state, size_t offset)
{
	return (char *) state + offset;
}

static inline Partitions *
side_partitions(const SharedSort *state, AlsSide side)
{
	return state_at(state, state->partitions_offset[side]);
}

/* The regions of partitions, NULL if they are in files */
static inline PlacedRating *
regions(const SharedSort *state)
{
	return state->spilled ? NULL : state_at(state, state->regions_offset);
}

static inline uint64 *
side_row_start(RatingBlocks *blocks, AlsSide side)
{
	return unconstify(uint64 *, blocks_row_start(blocks, side));
}

/*
 * What each process does in the first run, which uses the triplets up, and in
 * the second, which makes blocks of them.
 */
extern void sort_distribute(const ParallelProcess *process,
							Arena *const arenas[PARALLEL_ARENAS]);
extern void sort_partitions(const ParallelProcess *process,
							Arena *const arenas[PARALLEL_ARENAS]);

#endif							/* ALS_CSR_SORT_H */
