/*
 * csr_blocks.c
 *	  Reading ratings that csr_build.c has sorted, by blocks of whole rows.
 */
#include "compat.h"

#include "common/bulk.h"
#include "ratings/csr_blocks.h"
#include "utils/memutils.h"

const char *const blocks_file_names[2] = {"users", "items"};

struct BlockReader
{
	const RatingBlocks *blocks;
	const uint64 *row_start;
	const uint32 *first_row;
	const AlsEntry *entries;	/* in memory, NULL if spilled */
	BufFile    *file;			/* if spilled */
	AlsEntry   *buffer;			/* [largest_block], if spilled */
};

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
	reader->row_start = blocks_row_start(blocks, side);
	reader->first_row = blocks_first_row(blocks, side);
	if (blocks->spilled)
	{
		reader->file = shared_file_open(&blocks->fileset, blocks_file_names[side]);
		reader->buffer =
			MemoryContextAllocHuge(CurrentMemoryContext,
								   blocks->sides[side].largest_block *
								   sizeof(AlsEntry));
	}
	else
		reader->entries = (const AlsEntry *)
			((char *) blocks + blocks->sides[side].entries_offset);
	return reader;
}

AlsRows
blocks_read(BlockReader *reader, uint32 block)
{
	return blocks_read_rows(reader, reader->first_row[block],
							reader->first_row[block + 1]);
}

AlsRows
blocks_read_rows(BlockReader *reader, uint32 first, uint32 last)
{
	uint64		start = reader->row_start[first];
	AlsRows		rows;

	rows.nrows = last - first;
	rows.start = reader->row_start + first;
	if (reader->file != NULL)
	{
		if (BufFileSeek(reader->file, 0, start * sizeof(AlsEntry),
						SEEK_SET) != 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not seek in temporary file: %m")));
		file_read(reader->file, reader->buffer,
				  (reader->row_start[last] - start) * sizeof(AlsEntry));
		rows.entries = reader->buffer;
	}
	else
		rows.entries = reader->entries + start;
	return rows;
}

void
blocks_reader_close(BlockReader *reader)
{
	if (reader->file != NULL)
	{
		BufFileClose(reader->file);
		pfree(reader->buffer);
	}
	pfree(reader);
}
