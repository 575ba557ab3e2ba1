/*
 * csr_blocks.h
 *	  All ratings sorted by user and, once more, by item, in blocks of whole
 *	  rows: in memory as far as the budget goes, in temporary files beyond.
 */
#ifndef ALS_CSR_BLOCKS_H
#define ALS_CSR_BLOCKS_H

#include "common/arena.h"
#include "core/als_core.h"
#include "ratings/ratings.h"
#include "storage/sharedfileset.h"

/*
 * One side's ratings in compressed sparse row form.  Row r's entries are
 * [row_start[r], row_start[r + 1]) of the side's entries, which are in memory
 * behind entries_offset or, if spilled, packed in the side's files, block by block.
 * Weights lie likewise behind weights_offset or, in files, behind a block's entries.
 */
typedef struct SideBlocks
{
	uint32		nrows;
	uint32		nblocks;
	uint64		largest_block;	/* entries, before duplicates were merged */
	size_t		row_start_offset;	/* uint64 [nrows + 1] */
	size_t		first_row_offset;	/* uint32 [nblocks + 1] */
	size_t		entries_offset; /* AlsEntry [nratings], 0 if spilled */
	size_t		weights_offset; /* float [nratings], 0 if spilled or not
								 * weighted */
	uint32		nfiles;			/* if spilled */
	size_t		file_row_offset;	/* uint32 [nfiles + 1]: first row of each */
	size_t		file_place_offset;	/* uint64 [nblocks]: where each begins in
									 * its file */
} SideBlocks;

/* What lies at the start of the arena; offsets count from here */
typedef struct RatingBlocks
{
	bool		spilled;
	bool		weighted;		/* explicit: ratings have weights */
	uint64		nratings;		/* pairs, duplicates merged */
	double		mean;			/* of the ratings, by weight */
	SideBlocks	sides[2];		/* by AlsSide */
	SharedFileSet fileset;		/* if spilled */
} RatingBlocks;

typedef struct BlockReader BlockReader;

/* Bytes of triplets that may be collected if all is to stay in budget bytes. */
extern size_t blocks_triplet_memory(size_t budget, bool weighted);

/* How often sorting goes over all ratings, as progress counts it */
#define BLOCKS_PASSES 3

/*
 * Sorts a finished collection and uses it up.  Duplicate pairs add up for
 * implicit feedback and average for explicit, by weight, and weights add up.  With workers, as many at most,
 * the result is shared.
 */
extern Arena blocks_build(Ratings *ratings, AlsFeedback feedback,
						  size_t budget, int nworkers);

/*
 * Merges duplicates in a row that is sorted by column, in place; returns what
 * is left.  weights are NULL where there are none.
 */
extern uint64 merge_duplicates(AlsEntry *entries, float *weights, uint64 size,
							   AlsFeedback feedback);

/* The same for a row in any order, which it sorts. */
extern uint64 sort_and_merge(AlsEntry *entries, float *weights, uint64 size,
							 AlsFeedback feedback);

static inline const uint64 *
blocks_row_start(const RatingBlocks *blocks, AlsSide side)
{
	return (const uint64 *) ((const char *) blocks +
							 blocks->sides[side].row_start_offset);
}

static inline const uint32 *
blocks_first_row(const RatingBlocks *blocks, AlsSide side)
{
	return (const uint32 *) ((const char *) blocks +
							 blocks->sides[side].first_row_offset);
}

/* Where each block of spilled ratings begins in its file */
static inline uint64 *
blocks_file_place(RatingBlocks *blocks, AlsSide side)
{
	return (uint64 *) ((char *) blocks + blocks->sides[side].file_place_offset);
}

/* The block that a row is in */
extern uint32 blocks_find(const RatingBlocks *blocks, AlsSide side, uint32 row);

/* The fields of an entry, as files have it */
#define ENTRY_FIELDS (sizeof(AlsEntry) / sizeof(uint32))

/* The name of a file of spilled ratings */
extern void blocks_file_name(char name[MAXPGPATH], AlsSide side, uint32 file);

/* Makes files of spilled ratings a worker's too, before it reads them. */
extern void blocks_attach(Arena *arena);

/* Each process reads blocks on its own. */
extern BlockReader *blocks_reader(Arena *arena, AlsSide side);
extern AlsRows blocks_read(BlockReader *reader, uint32 block);

/* The rows [first, last), all of one block. */
extern AlsRows blocks_read_rows(BlockReader *reader, uint32 first,
								uint32 last);
extern void blocks_reader_close(BlockReader *reader);

#endif							/* ALS_CSR_BLOCKS_H */
