/*
 * csr_sort.c
 *	  The programs that the processes of a sort run: see csr_build.c.
 */
#include "compat.h"

#include "access/parallel.h"
#include "common/bulk.h"
#include "common/progress.h"
#include "common/side.h"
#include "ratings/csr_sort.h"
#include "ratings/packed.h"
#include "utils/memutils.h"

#define ORDER_AHEAD 32			/* ratings whose rows are fetched ahead */
#define PARTITION_AHEAD 16		/* and then the rows' partitions */

/* Memory that grows with what it is used for */
typedef struct RatingBuffer
{
	PlacedRating *ratings;
	uint64		room;
} RatingBuffer;

/* What a process needs while it sorts */
typedef struct Sorter
{
	SharedSort *state;
	RatingBlocks *blocks;
	RatingBuffer loaded;		/* a partition, in files */
	RatingBuffer other;			/* as large as a piece of it */

	/* the partition being sorted, piece by piece */
	PlacedRating *ratings;
	uint32		npieces;
	uint32	   *piece_row;		/* [npieces + 1]: their first rows */
} Sorter;

/* A file of sorted blocks that is being written */
typedef struct BlockFile
{
	BufFile    *file;
	AlsSide		side;
	uint32		block;			/* the next */
	uint64		place;			/* where it begins */
} BlockFile;

PGDLLEXPORT void als_distribute_worker(dsm_segment *segment, shm_toc *toc);
PGDLLEXPORT void als_sort_worker(dsm_segment *segment, shm_toc *toc);

/* The entries of a side in memory, and their weights */
static EntryPlace
side_entries(RatingBlocks *blocks, AlsSide side)
{
	const SideBlocks *sorted = &blocks->sides[side];
	EntryPlace	place = {
		.entries = (AlsEntry *) ((char *) blocks + sorted->entries_offset)
	};

	if (blocks->weighted)
		place.weights = (float *) ((char *) blocks + sorted->weights_offset);
	return place;
}

/* Counts ratings that have gone through a pass; the leader shows those of all. */
static void
count_sorted(SharedSort *state, uint64 ratings)
{
	uint64		sorted = pg_atomic_add_fetch_u64(&state->sorted, ratings);

	if (!IsParallelWorker())
	{
		progress_sorted(sorted - state->shown);
		state->shown = sorted;
	}
}

/* Puts a batch of triplets into partitions of users. */
static void
distribute_batch(Distributor *users, SharedSort *state,
				 TripletReader *reader, uint32 batch)
{
	size_t		size;
	uint32		part;
	const Rating *ratings = triplet_reader_read(reader, batch, &size, &part);
	const size_t *order = (size_t *) state_at(state, state->order_offset) + 2 * part;
	const uint32 *user_order = state_at(state, order[ALS_USERS]);
	const uint32 *item_order = state_at(state, order[ALS_ITEMS]);
	size_t		record = rating_size(state->weighted);

	CHECK_FOR_INTERRUPTS();
	for (size_t i = 0; i < size; i++)
	{
		const Rating *rating = rating_at(ratings, record, i);

		if (i + ORDER_AHEAD < size)
		{
			const Rating *ahead = rating_at(ratings, record, i + ORDER_AHEAD);

			__builtin_prefetch(&user_order[ahead->user]);
			__builtin_prefetch(&item_order[ahead->item]);
		}
		if (i + PARTITION_AHEAD < size)
			distributor_fetch(users, user_order[rating_at(ratings, record,
														  i + PARTITION_AHEAD)->user]);
		distributor_put(users, user_order[rating->user],
						item_order[rating->item], rating->rating,
						state->weighted ? rating->weight : 1);
	}
	count_sorted(state, size);
}

void
sort_distribute(const ParallelProcess *process, Arena *const arenas[PARALLEL_ARENAS])
{
	SharedSort *state = (SharedSort *) arenas[SORT_STATE]->address;
	SharedFileSet *fileset = NULL;
	TripletReader *reader;
	Distributor *users;
	uint32		batch;

	if (state->spilled)
	{
		fileset = &((RatingBlocks *) arenas[SORT_BLOCKS]->address)->fileset;
		if (!process->leader)
			blocks_attach(arenas[SORT_BLOCKS]);
	}
	reader = triplet_reader_open(state_at(state, state->sources_offset),
								 arenas[SORT_TRIPLETS], state->weighted,
								 process->leader);
	users = distributor_open(side_partitions(state, ALS_USERS), process->number,
							 regions(state), fileset);
	if (process->leader)
		for (batch = 0; batch < state->own_batches; batch++)
			distribute_batch(users, state, reader, batch);
	while ((batch = state->own_batches +
			pg_atomic_fetch_add_u32(&state->next_batch, 1)) < state->batches)
		distribute_batch(users, state, reader, batch);
	distributor_close(users);
	triplet_reader_close(reader);
}

/* Entry point of a worker of the first run. */
void
als_distribute_worker(dsm_segment *segment, shm_toc *toc)
{
	parallel_work(toc, sort_distribute);
}

/* Makes room for so many in a buffer. */
static void
make_room(RatingBuffer *buffer, bool weighted, uint64 size)
{
	if (size <= buffer->room)
		return;
	if (buffer->ratings != NULL)
		pfree(buffer->ratings);
	buffer->ratings = MemoryContextAllocHuge(CurrentMemoryContext,
											 size * placed_size(weighted));
	buffer->room = size;
}

/*
 * Cuts a partition in files into pieces: blocks that a cache holds together, or
 * one.  In memory a partition is such a piece.
 */
static void
cut_pieces(Sorter *sorter, AlsSide side, const uint32 rows[2])
{
	const uint64 *row_start = side_row_start(sorter->blocks, side);
	const uint32 *first_row = blocks_first_row(sorter->blocks, side);
	uint32		block = blocks_find(sorter->blocks, side, rows[0]);
	uint32		end = blocks_find(sorter->blocks, side, rows[1] - 1) + 1;

	if (sorter->piece_row != NULL)
		pfree(sorter->piece_row);
	sorter->piece_row = MemoryContextAllocHuge(CurrentMemoryContext,
											   ((size_t) end - block + 1) * sizeof(uint32));
	sorter->npieces = 0;
	for (; block < end; block++)
	{
		CHECK_FOR_INTERRUPTS();
		if (sorter->npieces == 0 ||
			(sorter->state->spilled &&
			 row_start[first_row[block + 1]] -
			 row_start[sorter->piece_row[sorter->npieces - 1]] > PARTITION_RATINGS))
			sorter->piece_row[sorter->npieces++] = first_row[block];
	}
	sorter->piece_row[sorter->npieces] = rows[1];
}

/* Gets at a partition of a side, which is sorted piece by piece from then on. */
static void
begin_partition(Sorter *sorter, AlsSide side, uint32 partition)
{
	const Partitions *partitions = side_partitions(sorter->state, side);
	const uint32 *rows = partitions_first_row(partitions) + partition;
	const uint64 *row_start = side_row_start(sorter->blocks, side);

	cut_pieces(sorter, side, rows);
	if (sorter->state->spilled)
	{
		make_room(&sorter->loaded, sorter->state->weighted,
				  row_start[rows[1]] - row_start[rows[0]]);
		sorter->ratings = sorter->loaded.ratings;
		partition_load(partitions, partition, &sorter->blocks->fileset,
					   sorter->npieces, sorter->piece_row, row_start,
					   sorter->ratings);
	}
	else
		sorter->ratings = placed_at(regions(sorter->state),
									placed_size(sorter->state->weighted),
									partitions_start(partitions)[partition]);
}

/* Sorts the next piece; returns its entries, which in files are yet to be stored. */
static EntryPlace
sort_piece(Sorter *sorter, AlsSide side, uint32 piece)
{
	SharedSort *state = sorter->state;
	const uint32 *rows = sorter->piece_row + piece;
	const uint64 *row_start = side_row_start(sorter->blocks, side) + rows[0];
	uint64		size = row_start[rows[1] - rows[0]] - row_start[0];
	EntryPlace	place = {NULL};

	make_room(&sorter->other, state->weighted, size);
	if (!state->spilled)
		place = entry_place(side_entries(sorter->blocks, side), row_start[0]);
	place = partition_sort(sorter->ratings, sorter->other.ratings,
						   state->weighted, size,
						   sorter->blocks->sides[other_side(side)].nrows,
						   rows[0], rows[1] - rows[0], row_start, place);
	sorter->ratings = placed_at(sorter->ratings, placed_size(state->weighted), size);
	count_sorted(state, size);
	return place;
}

/* Creates the file of a partition. */
static BlockFile
create_block_file(RatingBlocks *blocks, AlsSide side, uint32 partition,
				  uint32 first_row)
{
	char		name[MAXPGPATH];
	BlockFile	file = {.side = side};

	blocks_file_name(name, side, partition);
	file.file = shared_file_create(&blocks->fileset, name);
	file.block = blocks_find(blocks, side, first_row);
	return file;
}

/*
 * Writes the next blocks, those before last_row, with their entries, which end where
 * row_start says, or at end.
 */
static void
write_blocks(BlockFile *file, RatingBlocks *blocks, uint32 last_row, uint64 end,
			 EntryPlace entries)
{
	const uint64 *row_start = side_row_start(blocks, file->side);
	const uint32 *first_row = blocks_first_row(blocks, file->side);
	uint64	   *place = blocks_file_place(blocks, file->side);

	for (; first_row[file->block] < last_row; file->block++)
	{
		uint32		next = first_row[file->block + 1];
		uint64		size = (next < last_row ? row_start[next] : end) -
			row_start[first_row[file->block]];

		place[file->block] = file->place;
		file->place += packed_write(file->file, entries.entries, ENTRY_FIELDS, size);
		if (entries.weights != NULL)
			file->place += packed_write(file->file, entries.weights, 1, size);
		entries = entry_place(entries, size);
	}
}

/* Leaves it to the readers. */
static void
close_block_file(BlockFile *file)
{
	shared_file_export(file->file);
	BufFileClose(file->file);
}

/* Counts, by item, the ratings that merging will leave out of a sorted row. */
static bool
count_duplicates(const AlsEntry *row, uint64 size, pg_atomic_uint64 *merged)
{
	bool		found = false;

	for (uint64 i = 1; i < size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (unlikely(row[i].column == row[i - 1].column))
		{
			pg_atomic_fetch_add_u64(&merged[row[i].column], 1);
			found = true;
		}
	}
	return found;
}

static RowSums
sum_row(EntryPlace row, uint64 size)
{
	RowSums		sums = {0};

	for (uint64 i = 0; i < size; i++)
	{
		double		weight = row.weights == NULL ? 1 : row.weights[i];

		CHECK_FOR_INTERRUPTS();
		sums.ratings += weight * row.entries[i].rating;
		sums.weights += weight;
	}
	return sums;
}

/*
 * Merges duplicates in the rows [first, last) of users, which are sorted and
 * begin at a place, and moves what is left together.  row_start[first .. last]
 * counts ratings; on return it counts what is left from place on, but for
 * row_start[last], where the next piece begins.  Returns the number of these.
 */
static uint64
merge_rows(SharedSort *state, uint64 *row_start, uint32 first, uint32 last,
		   uint64 place, EntryPlace entries)
{
	RowSums    *row_sums = state_at(state, state->row_sums_offset);
	pg_atomic_uint64 *merged = state_at(state, state->merged_offset);
	uint64		origin = row_start[first];
	uint64		begin = origin;
	uint64		filled = 0;

	for (uint32 r = first; r < last; r++)
	{
		EntryPlace	row = entry_place(entries, begin - origin);
		EntryPlace	to = entry_place(entries, filled);
		uint64		end = row_start[r + 1];
		uint64		size = end - begin;

		if (count_duplicates(row.entries, size, merged))
			size = merge_duplicates(row.entries, row.weights, size, state->feedback);
		row_sums[r] = sum_row(row, size);
		if (row.entries != to.entries)
		{
			memmove(to.entries, row.entries, size * sizeof(AlsEntry));
			if (row.weights != NULL)
				memmove(to.weights, row.weights, size * sizeof(float));
		}
		/* what does not change, others may be reading */
		if (row_start[r] != place + filled)
			row_start[r] = place + filled;
		filled += size;
		begin = end;
	}
	return filled;
}

/* Puts sorted rows of users, [first, last), into partitions of items. */
static void
pass_on(Distributor *items, const uint64 *row_start, uint32 first, uint32 last,
		uint64 end, EntryPlace place)
{
	const AlsEntry *last_entry = place.entries + (end - row_start[first]);

	for (uint32 r = first; r < last; r++)
	{
		EntryPlace	row = entry_place(place, row_start[r] - row_start[first]);
		uint64		size = (r + 1 < last ? row_start[r + 1] : end) - row_start[r];

		for (uint64 i = 0; i < size; i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (row.entries + i + PARTITION_AHEAD < last_entry)
				distributor_fetch(items, row.entries[i + PARTITION_AHEAD].column);
			distributor_put(items, row.entries[i].column, r, row.entries[i].rating,
							row.weights == NULL ? 1 : row.weights[i]);
		}
	}
}

/*
 * Sorts a partition of users and merges duplicates.  In files what is left is
 * passed on at once, in memory when the regions are free for items.
 */
static void
sort_users(Sorter *sorter, Distributor *items, uint32 partition)
{
	SharedSort *state = sorter->state;
	RatingBlocks *blocks = sorter->blocks;
	uint64	   *row_start = side_row_start(blocks, ALS_USERS);
	BlockFile	file = {0};
	uint64		start;
	uint64		end;

	begin_partition(sorter, ALS_USERS, partition);
	start = end = row_start[sorter->piece_row[0]];
	if (state->spilled)
		file = create_block_file(blocks, ALS_USERS, partition, sorter->piece_row[0]);
	for (uint32 piece = 0; piece < sorter->npieces; piece++)
	{
		const uint32 *rows = sorter->piece_row + piece;
		EntryPlace	entries = sort_piece(sorter, ALS_USERS, piece);

		end += merge_rows(state, row_start, rows[0], rows[1], end, entries);
		if (state->spilled)
		{
			write_blocks(&file, blocks, rows[1], end, entries);
			pass_on(items, row_start, rows[0], rows[1], end, entries);
		}
	}
	((uint64 *) state_at(state, state->sizes_offset))[partition] = end - start;
	if (state->spilled)
		close_block_file(&file);
}

/* Sorts a partition of items. */
static void
sort_items(Sorter *sorter, uint32 partition)
{
	SharedSort *state = sorter->state;
	RatingBlocks *blocks = sorter->blocks;
	const uint64 *row_start = side_row_start(blocks, ALS_ITEMS);
	BlockFile	file = {0};

	begin_partition(sorter, ALS_ITEMS, partition);
	if (state->spilled)
		file = create_block_file(blocks, ALS_ITEMS, partition, sorter->piece_row[0]);
	for (uint32 piece = 0; piece < sorter->npieces; piece++)
	{
		uint32		end_row = sorter->piece_row[piece + 1];
		EntryPlace	entries = sort_piece(sorter, ALS_ITEMS, piece);

		if (state->spilled)
			write_blocks(&file, blocks, end_row, row_start[end_row], entries);
	}
	if (state->spilled)
		close_block_file(&file);
}

/* Lets the counts say what merging has left, and moves that together in memory. */
static void
settle(SharedSort *state, RatingBlocks *blocks)
{
	const Partitions *users = side_partitions(state, ALS_USERS);
	const uint64 *start = partitions_start(users);
	const uint32 *first_row = partitions_first_row(users);
	const uint64 *sizes = state_at(state, state->sizes_offset);
	const RowSums *row_sums = state_at(state, state->row_sums_offset);
	const pg_atomic_uint64 *merged = state_at(state, state->merged_offset);
	uint64	   *user_start = side_row_start(blocks, ALS_USERS);
	uint64	   *item_start = side_row_start(blocks, ALS_ITEMS);
	EntryPlace	place = {NULL};
	uint64		left_out = 0;
	RowSums		sums = {0};

	if (!state->spilled)
		place = side_entries(blocks, ALS_USERS);

	for (uint32 p = 0; p < users->count; p++)
	{
		for (uint32 u = first_row[p]; u < first_row[p + 1]; u++)
		{
			CHECK_FOR_INTERRUPTS();
			sums.ratings += row_sums[u].ratings;
			sums.weights += row_sums[u].weights;
			user_start[u] -= left_out;
		}
		if (place.entries != NULL && left_out > 0)
		{
			EntryPlace	from = entry_place(place, start[p]);
			EntryPlace	to = entry_place(place, start[p] - left_out);

			move_large(to.entries, from.entries, sizes[p] * sizeof(AlsEntry));
			if (place.weights != NULL)
				move_large(to.weights, from.weights, sizes[p] * sizeof(float));
		}
		left_out += start[p + 1] - start[p] - sizes[p];
	}
	user_start[users->nrows] -= left_out;
	blocks->nratings = user_start[users->nrows];
	blocks->mean = sums.ratings / sums.weights;

	if (left_out == 0)
		return;
	left_out = 0;
	for (uint32 i = 0; i < blocks->sides[ALS_ITEMS].nrows; i++)
	{
		CHECK_FOR_INTERRUPTS();
		left_out += pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &merged[i]));
		item_start[i + 1] -= left_out;
	}
}

/* Claims a partition of a side; false if there is none left. */
static bool
claim(const SharedSort *state, AlsSide side, pg_atomic_uint32 *next,
	  uint32 *partition)
{
	*partition = pg_atomic_fetch_add_u32(next, 1);
	return *partition < side_partitions(state, side)->count;
}

void
sort_partitions(const ParallelProcess *process,
				Arena *const arenas[PARALLEL_ARENAS])
{
	SharedSort *state = (SharedSort *) arenas[SORT_STATE]->address;
	RatingBlocks *blocks = (RatingBlocks *) arenas[SORT_BLOCKS]->address;
	const uint64 *row_start = side_row_start(blocks, ALS_USERS);
	const uint32 *first_row = partitions_first_row(side_partitions(state, ALS_USERS));
	Sorter		sorter = {.state = state,.blocks = blocks};
	Distributor *items;
	uint32		partition;

	if (!process->leader)
		blocks_attach(arenas[SORT_BLOCKS]);
	items = distributor_open(side_partitions(state, ALS_ITEMS), process->number,
							 regions(state), &blocks->fileset);
	while (claim(state, ALS_USERS, &state->next_sorted[ALS_USERS], &partition))
		sort_users(&sorter, items, partition);
	if (state->spilled)
		distributor_close(items);
	parallel_wait(process);

	if (process->leader)
		settle(state, blocks);
	parallel_wait(process);

	if (!state->spilled)
	{
		EntryPlace	place = side_entries(blocks, ALS_USERS);

		while (claim(state, ALS_USERS, &state->next_passed_on, &partition))
			pass_on(items, row_start, first_row[partition],
					first_row[partition + 1], row_start[first_row[partition + 1]],
					entry_place(place, row_start[first_row[partition]]));
		distributor_close(items);
		parallel_wait(process);
	}

	while (claim(state, ALS_ITEMS, &state->next_sorted[ALS_ITEMS], &partition))
		sort_items(&sorter, partition);
}

/* Entry point of a worker of the second run. */
void
als_sort_worker(dsm_segment *segment, shm_toc *toc)
{
	parallel_work(toc, sort_partitions);
}
