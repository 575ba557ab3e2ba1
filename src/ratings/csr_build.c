/*
 * csr_build.c
 *	  Sorting all ratings by user and, once more, by item.
 *
 * A block is a range of whole rows: the unit that a worker claims, and the
 * unit that is read from a file.  Where blocks begin depends on the number of
 * ratings of each row alone, so that training does the same arithmetic in the
 * same order wherever the ratings are kept.
 *
 * In memory this is a counting sort in three passes: triplets are scattered to
 * their items' rows; these, in order of items, to the users' rows, which comes
 * out sorted by item, and duplicates are merged; the result, in order of users,
 * to the items' rows, which comes out sorted by user.
 *
 * Beyond the budget it goes by partitions, ranges of blocks that fit: triplets
 * go to a temporary file per partition of users; each is loaded, scattered to
 * its rows, which are sorted one by one, appended to the users' file and passed
 * on to a temporary file per partition of items; those are scattered in turn.
 */
#include "compat.h"

#include <math.h>

#include "common/bulk.h"
#include "common/progress.h"
#include "ratings/csr_blocks.h"
#include "utils/memutils.h"

#define BLOCK_RATINGS 16384
#define BLOCK_ROWS 1024

/* A triplet costs this while rows are built: itself and two sorted entries. */
#define BUILD_BYTES (sizeof(Rating) + 2 * sizeof(AlsEntry))

#define FILE_BATCH 8192			/* triplets */

/* A range of a side's rows whose entries are sorted together */
typedef struct Partition
{
	uint32		first_row;
	uint32		last_row;		/* exclusive */
	uint64		size;			/* triplets in the file */
	BufFile    *file;			/* NULL for the only partition, in memory */
} Partition;

typedef struct Partitions
{
	int			count;
	Partition  *partitions;
	uint16	   *by_row;			/* [rows] which partition a row is in */
} Partitions;

#define ST_SORT sort_entries
#define ST_ELEMENT_TYPE AlsEntry
#define ST_CHECK_FOR_INTERRUPTS
#define ST_COMPARE(a, b) \
	((a)->column != (b)->column ? ((a)->column < (b)->column ? -1 : 1) : \
	 (a)->rating < (b)->rating ? -1 : (a)->rating > (b)->rating ? 1 : 0)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

static uint64 *
side_row_start(RatingBlocks *blocks, AlsSide side)
{
	return unconstify(uint64 *, blocks_row_start(blocks, side));
}

size_t
blocks_triplet_memory(size_t budget)
{
	return budget / BUILD_BYTES * sizeof(Rating);
}

/* Ends of the blocks that rows with these counts are cut into. */
static uint32 *
cut_blocks(const RatedIds *ids, uint32 *nblocks, uint64 *largest)
{
	uint32	   *first_row;
	uint32		row = 0;

	first_row = MemoryContextAllocHuge(CurrentMemoryContext,
									   ((size_t) ids->size + 1) * sizeof(uint32));
	*nblocks = 0;
	*largest = 0;
	while (row < ids->size)
	{
		uint32		start = row;
		uint64		size = ids->counts[row++];

		CHECK_FOR_INTERRUPTS();
		while (row < ids->size && row - start < BLOCK_ROWS &&
			   size + ids->counts[row] <= BLOCK_RATINGS)
			size += ids->counts[row++];
		first_row[(*nblocks)++] = start;
		*largest = Max(*largest, size);
	}
	first_row[*nblocks] = ids->size;
	return first_row;
}

/* Lays out the arena and fills in what the counts determine. */
static Arena
create_arena(const Ratings *ratings, bool spilled, bool shared)
{
	const RatedIds *ids[2] = {ratings_ids(ratings, ALS_USERS), ratings_ids(ratings, ALS_ITEMS)};
	uint32	   *first_row[2];
	RatingBlocks layout = {0};
	size_t		size = 0;
	RatingBlocks *blocks;
	Arena		arena;

	arena_reserve(&size, sizeof(RatingBlocks));
	layout.spilled = spilled;
	for (int s = 0; s < 2; s++)
	{
		SideBlocks *side = &layout.sides[s];

		first_row[s] = cut_blocks(ids[s], &side->nblocks,
								  &side->largest_block);
		side->nrows = ids[s]->size;
		side->row_start_offset =
			arena_reserve(&size, ((size_t) side->nrows + 1) * sizeof(uint64));
		side->first_row_offset =
			arena_reserve(&size, ((size_t) side->nblocks + 1) * sizeof(uint32));
		if (!spilled)
			side->entries_offset =
				arena_reserve(&size, ratings_count(ratings) * sizeof(AlsEntry));
	}

	/* a set of shared files needs a segment that its lifetime hangs on */
	arena = arena_create(size, shared || spilled, "the ratings");
	blocks = (RatingBlocks *) arena.address;
	*blocks = layout;
	if (spilled && arena.segment == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("too many dynamic shared memory segments"),
				 errdetail("Ratings in temporary files need one."),
				 errhint("Try again later, or raise maintenance_work_mem or max_connections.")));
	if (spilled)
		SharedFileSetInit(&blocks->fileset, arena.segment);

	for (int s = 0; s < 2; s++)
	{
		uint64	   *row_start = side_row_start(blocks, s);

		memcpy((char *) blocks + blocks->sides[s].first_row_offset,
			   first_row[s],
			   ((size_t) blocks->sides[s].nblocks + 1) * sizeof(uint32));
		pfree(first_row[s]);
		row_start[0] = 0;
		for (uint32 r = 0; r < ids[s]->size; r++)
		{
			CHECK_FOR_INTERRUPTS();
			row_start[r + 1] = row_start[r] + ids[s]->counts[r];
		}
	}
	return arena;
}

/* Groups a side's blocks into partitions of at most limit triplets. */
static Partitions
cut_partitions(const RatingBlocks *blocks, AlsSide side, uint64 limit)
{
	const SideBlocks *layout = &blocks->sides[side];
	const uint64 *row_start = blocks_row_start(blocks, side);
	const uint32 *first_row = blocks_first_row(blocks, side);
	Partitions	result;

	/* keep to a sane number of open files */
	limit = Max(limit, row_start[layout->nrows] / 1024 + 1);
	result.count = 0;
	result.partitions = palloc0(2050 * sizeof(Partition));
	result.by_row = MemoryContextAllocHuge(CurrentMemoryContext,
										   layout->nrows * sizeof(uint16));
	for (uint32 b = 0; b < layout->nblocks; b++)
	{
		uint64		size = row_start[first_row[b + 1]] - row_start[first_row[b]];
		Partition  *partition = &result.partitions[Max(result.count - 1, 0)];

		CHECK_FOR_INTERRUPTS();
		if (result.count == 0 || partition->size + size > limit)
		{
			partition = &result.partitions[result.count++];
			partition->first_row = first_row[b];
			partition->file = BufFileCreateTemp(false);
		}
		partition->last_row = first_row[b + 1];
		partition->size += size;
		for (uint32 r = first_row[b]; r < first_row[b + 1]; r++)
			result.by_row[r] = (uint16) (result.count - 1);
	}
	for (int p = 0; p < result.count; p++)
		result.partitions[p].size = 0;	/* now counts what has been written */
	return result;
}

/* Appends a triplet to the partition that one of its rows is in. */
static inline void
write_to_partition(Partitions *partitions, uint32 row, Rating *rating)
{
	Partition  *partition = &partitions->partitions[partitions->by_row[row]];

	BufFileWrite(partition->file, rating, sizeof(Rating));
	partition->size++;
}

/* Where each row's next entry goes, relative to the first row's start. */
static uint64 *
row_cursors(const uint64 *row_start, uint32 nrows)
{
	uint64	   *cursors;

	cursors = MemoryContextAllocHuge(CurrentMemoryContext,
									 ((size_t) nrows + 1) * sizeof(uint64));
	for (uint32 r = 0; r < nrows; r++)
	{
		CHECK_FOR_INTERRUPTS();
		cursors[r] = row_start[r] - row_start[0];
	}
	return cursors;
}

/* Puts a triplet into its row of one side. */
static inline void
scatter(AlsEntry *entries, uint64 *cursors, uint32 row,
		uint32 column, float rating)
{
	AlsEntry   *entry = &entries[cursors[row]++];

	entry->column = column;
	entry->rating = rating;
}

/* Loads a partition's file, scatters it by row of one side and closes it. */
static void
load_partition(Partition *partition, AlsSide side, const uint64 *row_start,
			   AlsEntry *entries)
{
	uint32		first = partition->first_row;
	uint64	   *cursors = row_cursors(row_start + first,
									  partition->last_row - first);
	Rating	   *batch = palloc(FILE_BATCH * sizeof(Rating));

	if (BufFileSeek(partition->file, 0, 0, SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not rewind temporary file: %m")));
	for (uint64 done = 0; done < partition->size;)
	{
		size_t		size = Min(FILE_BATCH, partition->size - done);

		file_read(partition->file, batch, size * sizeof(Rating));
		for (size_t i = 0; i < size; i++)
		{
			if (side == ALS_USERS)
				scatter(entries, cursors, batch[i].user - first,
						batch[i].item, batch[i].rating);
			else
				scatter(entries, cursors, batch[i].item - first,
						batch[i].user, batch[i].rating);
		}
		done += size;
		progress_sorted(size);
	}
	BufFileClose(partition->file);
	partition->file = NULL;
	pfree(batch);
	pfree(cursors);
}

uint64
merge_duplicates(AlsEntry *entries, uint64 size, AlsFeedback feedback)
{
	uint64		merged = 0;

	for (uint64 i = 0; i < size;)
	{
		AlsEntry	entry = entries[i];
		uint64		end = i + 1;

		CHECK_FOR_INTERRUPTS();
		if (end < size && entries[end].column == entry.column)
		{
			double		sum = 0;

			while (end < size && entries[end].column == entry.column)
			{
				CHECK_FOR_INTERRUPTS();
				end++;
			}
			/* so that the order in which they came does not show */
			sort_entries(&entries[i], end - i);
			for (uint64 k = i; k < end; k++)
			{
				CHECK_FOR_INTERRUPTS();
				sum += entries[k].rating;
			}
			if (feedback == ALS_EXPLICIT)
				sum /= (double) (end - i);
			entry.rating = (float) sum;
			if (!isfinite(entry.rating))
				ereport(ERROR,
						(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						 errmsg("sum of duplicate ratings is out of range for type real"),
						 errhint("Scale the ratings down.")));
		}
		entries[merged++] = entry;
		i = end;
	}
	return merged;
}

/*
 * Merges duplicates in the rows [first, last) of users, which are sorted.  On
 * entry row_start[first .. last] counts triplets, and row_start[first] lies
 * at entries[0]; on return the rows lie there side by side without
 * duplicates, and row_start counts entries from base.  Returns their number.
 */
static uint64
merge_user_rows(AlsEntry *entries, uint64 *row_start, uint32 first,
				uint32 last, uint64 base, AlsFeedback feedback, double *sum)
{
	uint64		origin = row_start[first];
	uint64		begin = origin;
	uint64		filled = 0;

	for (uint32 r = first; r < last; r++)
	{
		uint64		end = row_start[r + 1];
		AlsEntry   *row = entries + (begin - origin);
		uint64		size;
		double		row_sum = 0;

		size = merge_duplicates(row, end - begin, feedback);
		for (uint64 i = 0; i < size; i++)
		{
			CHECK_FOR_INTERRUPTS();
			row_sum += row[i].rating;
		}
		*sum += row_sum;
		if (row != entries + filled)
			memmove(entries + filled, row, size * sizeof(AlsEntry));
		row_start[r] = base + filled;
		filled += size;
		begin = end;
	}
	return filled;
}

/* Turns counts in row_start[1 ..] into starts. */
static void
accumulate(uint64 *row_start, uint32 nrows)
{
	row_start[0] = 0;
	for (uint32 r = 0; r < nrows; r++)
	{
		CHECK_FOR_INTERRUPTS();
		row_start[r + 1] += row_start[r];
	}
}

/*
 * Scatters a side's entries, in order of its rows, to the rows of the other
 * side, which come out sorted.
 */
static void
transpose(uint32 nrows, const uint64 *row_start, const AlsEntry *entries,
		  uint32 other_nrows, const uint64 *other_start, AlsEntry *other)
{
	uint64	   *cursors = row_cursors(other_start, other_nrows);

	for (uint32 r = 0; r < nrows; r++)
	{
		for (uint64 i = row_start[r]; i < row_start[r + 1]; i++)
		{
			CHECK_FOR_INTERRUPTS();
			scatter(other, cursors, entries[i].column, r, entries[i].rating);
		}
		progress_sorted(row_start[r + 1] - row_start[r]);
	}
	pfree(cursors);
}

/* Builds both sides in memory. */
static void
build_in_memory(RatingBlocks *blocks, Ratings *ratings, AlsFeedback feedback,
				double *sum)
{
	uint32		nusers = blocks->sides[ALS_USERS].nrows;
	uint32		nitems = blocks->sides[ALS_ITEMS].nrows;
	uint64	   *user_start = side_row_start(blocks, ALS_USERS);
	uint64	   *item_start = side_row_start(blocks, ALS_ITEMS);
	AlsEntry   *by_user = (AlsEntry *) ((char *) blocks +
										blocks->sides[ALS_USERS].entries_offset);
	AlsEntry   *by_item = (AlsEntry *) ((char *) blocks +
										blocks->sides[ALS_ITEMS].entries_offset);
	uint64	   *cursors = row_cursors(item_start, nitems);
	uint64		ntriplets = user_start[nusers];
	Rating	   *batch;
	size_t		size;

	while ((batch = ratings_next(ratings, &size)) != NULL)
	{
		for (size_t i = 0; i < size; i++)
			scatter(by_item, cursors, batch[i].item, batch[i].user,
					batch[i].rating);
		progress_sorted(size);
	}
	pfree(cursors);

	transpose(nitems, item_start, by_item, nusers, user_start, by_user);
	blocks->nratings = merge_user_rows(by_user, user_start, 0, nusers, 0,
									   feedback, sum);
	user_start[nusers] = blocks->nratings;

	if (blocks->nratings < ntriplets)
	{
		memset(item_start, 0, ((size_t) nitems + 1) * sizeof(uint64));
		for (uint64 i = 0; i < blocks->nratings; i++)
		{
			CHECK_FOR_INTERRUPTS();
			item_start[by_user[i].column + 1]++;
		}
		accumulate(item_start, nitems);
	}
	transpose(nusers, user_start, by_user, nitems, item_start, by_item);
}

/* Room for the entries of the largest partition. */
static AlsEntry *
partition_buffer(const Partitions *partitions)
{
	uint64		largest = 0;

	for (int p = 0; p < partitions->count; p++)
		largest = Max(largest, partitions->partitions[p].size);
	return MemoryContextAllocHuge(CurrentMemoryContext,
								  Max(largest, 1) * sizeof(AlsEntry));
}

/* Sorts a loaded partition's rows of users by item. */
static void
sort_user_rows(AlsEntry *entries, const uint64 *row_start,
			   const Partition *partition)
{
	uint64		origin = row_start[partition->first_row];

	for (uint32 r = partition->first_row; r < partition->last_row; r++)
		sort_entries(entries + (row_start[r] - origin),
					 row_start[r + 1] - row_start[r]);
}

/* Builds both sides in temporary files. */
static void
build_in_files(RatingBlocks *blocks, Ratings *ratings, AlsFeedback feedback,
			   size_t budget, double *sum)
{
	uint32		nusers = blocks->sides[ALS_USERS].nrows;
	uint32		nitems = blocks->sides[ALS_ITEMS].nrows;
	uint64	   *user_start = side_row_start(blocks, ALS_USERS);
	uint64	   *item_start = side_row_start(blocks, ALS_ITEMS);
	uint64		limit = budget / 2 / sizeof(AlsEntry);
	Partitions	user_parts = cut_partitions(blocks, ALS_USERS, limit);
	Partitions	item_parts;
	AlsEntry   *entries;
	BufFile    *file;
	Rating	   *batch;
	size_t		size;

	while ((batch = ratings_next(ratings, &size)) != NULL)
	{
		for (size_t i = 0; i < size; i++)
			write_to_partition(&user_parts, batch[i].user, &batch[i]);
		progress_sorted(size);
	}
	pfree(user_parts.by_row);

	item_parts = cut_partitions(blocks, ALS_ITEMS, limit);
	memset(item_start, 0, ((size_t) nitems + 1) * sizeof(uint64));
	file = shared_file_create(&blocks->fileset, blocks_file_names[ALS_USERS]);
	entries = partition_buffer(&user_parts);
	for (int p = 0; p < user_parts.count; p++)
	{
		Partition  *partition = &user_parts.partitions[p];
		uint64		filled;

		load_partition(partition, ALS_USERS, user_start, entries);
		sort_user_rows(entries, user_start, partition);
		filled = merge_user_rows(entries, user_start, partition->first_row,
								 partition->last_row, blocks->nratings,
								 feedback, sum);
		file_write(file, entries, filled * sizeof(AlsEntry));

		for (uint32 u = partition->first_row; u < partition->last_row; u++)
		{
			uint64		end = u + 1 < partition->last_row ?
				user_start[u + 1] : blocks->nratings + filled;

			for (uint64 i = user_start[u]; i < end; i++)
			{
				AlsEntry   *entry = &entries[i - blocks->nratings];
				Rating		rating = {u, entry->column, entry->rating};

				CHECK_FOR_INTERRUPTS();
				item_start[entry->column + 1]++;
				write_to_partition(&item_parts, entry->column, &rating);
			}
		}
		blocks->nratings += filled;
	}
	user_start[nusers] = blocks->nratings;
	shared_file_export(file);
	BufFileClose(file);
	pfree(entries);
	pfree(item_parts.by_row);

	accumulate(item_start, nitems);
	file = shared_file_create(&blocks->fileset, blocks_file_names[ALS_ITEMS]);
	entries = partition_buffer(&item_parts);
	for (int p = 0; p < item_parts.count; p++)
	{
		Partition  *partition = &item_parts.partitions[p];

		load_partition(partition, ALS_ITEMS, item_start, entries);
		file_write(file, entries, partition->size * sizeof(AlsEntry));
	}
	shared_file_export(file);
	BufFileClose(file);
	pfree(entries);
}

Arena
blocks_build(Ratings *ratings, AlsFeedback feedback, size_t budget,
			 bool shared)
{
	bool		spilled = ratings_spilled(ratings);
	Arena		arena = create_arena(ratings, spilled, shared);
	RatingBlocks *blocks = (RatingBlocks *) arena.address;
	double		sum = 0;

	if (spilled)
		build_in_files(blocks, ratings, feedback, budget, &sum);
	else
		build_in_memory(blocks, ratings, feedback, &sum);
	blocks->mean = sum / (double) blocks->nratings;
	return arena;
}
