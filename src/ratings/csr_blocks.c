/*
 * csr_blocks.c
 *	  Reading ratings that csr_build.c has sorted, by blocks of whole rows.
 */
#include "compat.h"

#include "common/bulk.h"
#include "common/side.h"
#include "ratings/csr_blocks.h"
#include "ratings/packed.h"
#include "utils/memutils.h"

struct BlockReader
{
	RatingBlocks *blocks;
	AlsSide		side;
	MemoryContext context;		/* of the reader */
	const uint64 *row_start;
	const uint32 *first_row;
	const AlsEntry *entries;	/* in memory, NULL if spilled */
	const float *weights;		/* likewise, or if there are none */
	BufFile    *file;			/* that is open, if spilled */
	uint32		number;			/* of that */
	AlsEntry   *buffer;			/* [largest_block], if spilled */
	float	   *weight_buffer;	/* likewise, if weighted */
	uint32		buffered;		/* the block there */
};

void
blocks_file_name(char name[MAXPGPATH], AlsSide side, uint32 file)
{
	snprintf(name, MAXPGPATH, "%s.%u", side_names[side], file);
}

void
blocks_attach(Arena *arena)
{
	RatingBlocks *blocks = (RatingBlocks *) arena->address;

	if (blocks->spilled)
		SharedFileSetAttach(&blocks->fileset, arena->segment);
}

BlockReader *
blocks_reader(Arena *arena, AlsSide side)
{
	RatingBlocks *blocks = (RatingBlocks *) arena->address;
	BlockReader *reader = palloc0(sizeof(BlockReader));

	reader->blocks = blocks;
	reader->side = side;
	reader->context = CurrentMemoryContext;
	reader->row_start = blocks_row_start(blocks, side);
	reader->first_row = blocks_first_row(blocks, side);
	reader->buffered = blocks->sides[side].nblocks;
	if (blocks->spilled)
	{
		uint64		largest = blocks->sides[side].largest_block;

		reader->buffer = MemoryContextAllocHuge(CurrentMemoryContext,
												largest * sizeof(AlsEntry));
		if (blocks->weighted)
			reader->weight_buffer = MemoryContextAllocHuge(CurrentMemoryContext,
														   largest * sizeof(float));
	}
	else
	{
		reader->entries = (const AlsEntry *)
			((char *) blocks + blocks->sides[side].entries_offset);
		if (blocks->weighted)
			reader->weights = (const float *)
				((char *) blocks + blocks->sides[side].weights_offset);
	}
	return reader;
}

/* Which of count ranges a row is in, given their first rows */
static uint32
find_range(const uint32 *first_row, uint32 count, uint32 row)
{
	uint32		low = 0;
	uint32		high = count;

	/* it is in one of [low, high) */
	while (high - low > 1)
	{
		uint32		middle = low + (high - low) / 2;

		if (row < first_row[middle])
			high = middle;
		else
			low = middle;
	}
	return low;
}

uint32
blocks_find(const RatingBlocks *blocks, AlsSide side, uint32 row)
{
	return find_range(blocks_first_row(blocks, side),
					  blocks->sides[side].nblocks, row);
}

/* Opens the file that a row is in. */
static void
open_file_of(BlockReader *reader, uint32 row)
{
	const SideBlocks *side = &reader->blocks->sides[reader->side];
	const uint32 *file_row = (const uint32 *)
		((const char *) reader->blocks + side->file_row_offset);
	uint32		number = find_range(file_row, side->nfiles, row);

	if (reader->file == NULL || reader->number != number)
	{
		MemoryContext old = MemoryContextSwitchTo(reader->context);
		char		name[MAXPGPATH];

		if (reader->file != NULL)
			BufFileClose(reader->file);
		blocks_file_name(name, reader->side, number);
		reader->file = shared_file_open(&reader->blocks->fileset, name);
		reader->number = number;
		MemoryContextSwitchTo(old);
	}
}

/* Reads a block of spilled ratings, unless it is the one that was read last. */
static void
load_block(BlockReader *reader, uint32 block)
{
	const uint32 *first_row = reader->first_row + block;
	uint64		size = reader->row_start[first_row[1]] - reader->row_start[first_row[0]];
	uint64		done = 0;

	if (reader->buffered == block)
		return;
	open_file_of(reader, first_row[0]);
	file_seek(reader->file, blocks_file_place(reader->blocks, reader->side)[block]);
	while (done < size)
		done += packed_read(reader->file, reader->buffer + done, ENTRY_FIELDS);
	for (done = 0; reader->weight_buffer != NULL && done < size;)
		done += packed_read(reader->file, reader->weight_buffer + done, 1);
	reader->buffered = block;
}

/* Rows of a block, which is read */
static AlsRows
rows_of(BlockReader *reader, uint32 block, uint32 first, uint32 last)
{
	AlsRows		rows = {0};

	rows.nrows = last - first;
	rows.start = reader->row_start + first;
	if (reader->buffer != NULL)
	{
		uint64		before = rows.start[0] - reader->row_start[reader->first_row[block]];

		load_block(reader, block);
		rows.entries = reader->buffer + before;
		if (reader->weight_buffer != NULL)
			rows.weights = reader->weight_buffer + before;
	}
	else
	{
		rows.entries = reader->entries + rows.start[0];
		if (reader->weights != NULL)
			rows.weights = reader->weights + rows.start[0];
	}
	return rows;
}

AlsRows
blocks_read(BlockReader *reader, uint32 block)
{
	return rows_of(reader, block, reader->first_row[block],
				   reader->first_row[block + 1]);
}

AlsRows
blocks_read_rows(BlockReader *reader, uint32 first, uint32 last)
{
	uint32		block = reader->buffer == NULL ? 0 :
		blocks_find(reader->blocks, reader->side, first);

	return rows_of(reader, block, first, last);
}

void
blocks_reader_close(BlockReader *reader)
{
	if (reader->file != NULL)
		BufFileClose(reader->file);
	if (reader->buffer != NULL)
		pfree(reader->buffer);
	if (reader->weight_buffer != NULL)
		pfree(reader->weight_buffer);
	pfree(reader);
}
