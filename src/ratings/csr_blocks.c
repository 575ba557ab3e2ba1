/*
 * csr_blocks.c
 *	  Reading ratings that csr_build.c has sorted, by blocks of whole rows.
 */
#include "compat.h"

#include "common/bulk.h"
#include "common/side.h"
#include "ratings/csr_blocks.h"
#include "utils/memutils.h"

struct BlockReader
{
	RatingBlocks *blocks;
	AlsSide		side;
	MemoryContext context;		/* of the reader */
	const uint64 *row_start;
	const uint32 *first_row;
	const AlsEntry *entries;	/* in memory, NULL if spilled */
	BufFile    *file;			/* that is open, if spilled */
	uint32		number;			/* of that */
	AlsEntry   *buffer;			/* [largest_block], if spilled */
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
	if (blocks->spilled)
		reader->buffer =
			MemoryContextAllocHuge(CurrentMemoryContext,
								   blocks->sides[side].largest_block *
								   sizeof(AlsEntry));
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

/* Opens the file that a row is in; returns the first row there. */
static uint32
open_file_of(BlockReader *reader, uint32 row)
{
	const SideBlocks *side = &reader->blocks->sides[reader->side];
	const uint32 *file_row = (const uint32 *)
		((const char *) reader->blocks + side->file_row_offset);
	uint32		low = 0;
	uint32		high = side->nfiles;

	/* it is in one of [low, high) */
	while (high - low > 1)
	{
		uint32		middle = low + (high - low) / 2;

		if (row < file_row[middle])
			high = middle;
		else
			low = middle;
	}
	if (reader->file == NULL || reader->number != low)
	{
		MemoryContext old = MemoryContextSwitchTo(reader->context);
		char		name[MAXPGPATH];

		if (reader->file != NULL)
			BufFileClose(reader->file);
		blocks_file_name(name, reader->side, low);
		reader->file = shared_file_open(&reader->blocks->fileset, name);
		reader->number = low;
		MemoryContextSwitchTo(old);
	}
	return file_row[low];
}

AlsRows
blocks_read_rows(BlockReader *reader, uint32 first, uint32 last)
{
	uint64		start = reader->row_start[first];
	AlsRows		rows = {0};

	rows.nrows = last - first;
	rows.start = reader->row_start + first;
	if (reader->buffer != NULL)
	{
		uint32		file_first = open_file_of(reader, first);

		file_seek(reader->file, (start - reader->row_start[file_first]) *
				  sizeof(AlsEntry));
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
		BufFileClose(reader->file);
	if (reader->buffer != NULL)
		pfree(reader->buffer);
	pfree(reader);
}
