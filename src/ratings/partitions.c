/*
 * partitions.c
 *	  Ratings on their way to their rows, in partitions.
 *
 * Wherever ratings come from, each goes to the partition of its row by way of a
 * buffer that is copied when it is full, so that neither memory nor files see
 * single ratings.  In memory a buffer takes the next free part of the
 * partition's region; in files it goes to that of the process.  The order within
 * a partition is thus anything.
 *
 * A partition is sorted by columns, digit by digit from the least, and then by
 * rows, whose places are known: three or four passes over memory that a cache
 * holds, where ratings scattered to their rows at once would each miss it.  Those of
 * files are larger: they are read into pieces that a cache holds.
 */
#include "compat.h"

#include "common/side.h"
#include "port/pg_bitutils.h"
#include "ratings/packed.h"
#include "ratings/partitions.h"
#include "utils/memutils.h"

/* More are many open files, and buffers that no cache holds. */
#define MOST_PARTITIONS 1024

#define DIGIT_BITS 11			/* at most */
#define MOST_DIGITS 3			/* of 32 bits */
#define POLL_RATINGS 16384		/* sorted between two looks for interrupts */

PartitionCut
partitions_cut(const RatedIds *ids, uint32 nblocks, const uint32 *first_row,
			   uint64 limit)
{
	PartitionCut cut;
	uint64		total = 0;
	uint64		done = 0;

	for (uint32 r = 0; r < ids->size; r++)
	{
		CHECK_FOR_INTERRUPTS();
		total += ids->counts[r];
	}
	limit = Max(limit, total / MOST_PARTITIONS + 1);
	/* any two neighbours are more than the limit */
	cut.first_row = palloc((2 * MOST_PARTITIONS + 3) * sizeof(uint32));
	cut.start = palloc((2 * MOST_PARTITIONS + 3) * sizeof(uint64));
	cut.count = 0;
	for (uint32 b = 0; b < nblocks; b++)
	{
		uint64		size = 0;

		for (uint32 r = first_row[b]; r < first_row[b + 1]; r++)
		{
			CHECK_FOR_INTERRUPTS();
			size += ids->counts[r];
		}
		if (cut.count == 0 || done + size - cut.start[cut.count - 1] > limit)
		{
			cut.first_row[cut.count] = first_row[b];
			cut.start[cut.count++] = done;
		}
		done += size;
	}
	cut.first_row[cut.count] = ids->size;
	cut.start[cut.count] = done;
	return cut;
}

size_t
partitions_layout(Partitions *partitions, AlsSide side, bool weighted,
				  const PartitionCut *cut, int processes, bool in_files)
{
	size_t		size = 0;

	memset(partitions, 0, sizeof(*partitions));
	partitions->side = side;
	partitions->weighted = weighted;
	partitions->count = cut->count;
	partitions->nrows = cut->first_row[cut->count];
	partitions->processes = processes;
	arena_reserve(&size, sizeof(Partitions));
	partitions->first_row_offset =
		arena_reserve(&size, (cut->count + 1) * sizeof(uint32));
	partitions->start_offset =
		arena_reserve(&size, (cut->count + 1) * sizeof(uint64));
	partitions->by_row_offset =
		arena_reserve(&size, partitions->nrows * sizeof(uint16));
	if (in_files)
		partitions->written_offset =
			arena_reserve(&size, (size_t) cut->count * processes * sizeof(uint64));
	else
		partitions->filled_offset =
			arena_reserve(&size, cut->count * sizeof(pg_atomic_uint64));
	return size;
}

/* What lies behind an offset */
static inline void *
partitions_at(const Partitions *partitions, size_t offset)
{
	return (char *) partitions + offset;
}

void
partitions_fill(Partitions *partitions, const PartitionCut *cut)
{
	uint16	   *by_row = partitions_at(partitions, partitions->by_row_offset);

	memcpy(partitions_at(partitions, partitions->first_row_offset),
		   cut->first_row, (cut->count + 1) * sizeof(uint32));
	memcpy(partitions_at(partitions, partitions->start_offset),
		   cut->start, (cut->count + 1) * sizeof(uint64));
	for (uint32 p = 0; p < cut->count; p++)
	{
		for (uint32 r = cut->first_row[p]; r < cut->first_row[p + 1]; r++)
		{
			CHECK_FOR_INTERRUPTS();
			by_row[r] = (uint16) p;
		}
		if (partitions->filled_offset > 0)
		{
			pg_atomic_uint64 *filled = partitions_at(partitions,
													 partitions->filled_offset);

			pg_atomic_init_u64(&filled[p], 0);
		}
	}
	if (partitions->written_offset > 0)
		memset(partitions_at(partitions, partitions->written_offset), 0,
			   (size_t) cut->count * partitions->processes * sizeof(uint64));
}

/* The name of the file of a partition that a process has filled */
static void
file_name(char name[MAXPGPATH], AlsSide side, uint32 partition, int process)
{
	snprintf(name, MAXPGPATH, "of_%s.%u.%d", side_names[side],
			 partition, process);
}

Distributor *
distributor_open(Partitions *partitions, int process, PlacedRating *regions,
				 SharedFileSet *fileset)
{
	Distributor *distributor = palloc0(sizeof(Distributor));

	Assert(process < partitions->processes);
	distributor->partitions = partitions;
	distributor->size = placed_size(partitions->weighted);
	distributor->by_row = partitions_at(partitions, partitions->by_row_offset);
	distributor->regions = regions;
	distributor->fileset = fileset;
	distributor->process = process;
	if (regions == NULL)
		distributor->files = palloc0(partitions->count * sizeof(BufFile *));
	distributor->buffers = palloc(partitions->count * DISTRIBUTOR_BUFFER *
								  distributor->size);
	distributor->buffered = palloc0(partitions->count * sizeof(uint16));
	return distributor;
}

void
distributor_flush(Distributor *distributor, uint32 partition)
{
	Partitions *partitions = distributor->partitions;
	PlacedRating *buffer = placed_at(distributor->buffers, distributor->size,
									 partition * DISTRIBUTOR_BUFFER);
	uint16		size = distributor->buffered[partition];

	if (distributor->regions != NULL)
	{
		pg_atomic_uint64 *filled = partitions_at(partitions,
												 partitions->filled_offset);
		uint64		place = partitions_start(partitions)[partition] +
			pg_atomic_fetch_add_u64(&filled[partition], size);

		memcpy(placed_at(distributor->regions, distributor->size, place), buffer,
			   size * distributor->size);
	}
	else
	{
		BufFile   **file = &distributor->files[partition];
		uint64	   *written = partitions_at(partitions,
											partitions->written_offset);

		if (*file == NULL)
		{
			char		name[MAXPGPATH];

			file_name(name, partitions->side, partition, distributor->process);
			*file = shared_file_create(distributor->fileset, name);
		}
		packed_write(*file, buffer, distributor->size / sizeof(uint32), size);
		written[(size_t) partition * partitions->processes +
				distributor->process] += size;
	}
	distributor->buffered[partition] = 0;
}

void
distributor_close(Distributor *distributor)
{
	for (uint32 p = 0; p < distributor->partitions->count; p++)
	{
		CHECK_FOR_INTERRUPTS();
		if (distributor->buffered[p] > 0)
			distributor_flush(distributor, p);
		if (distributor->files != NULL && distributor->files[p] != NULL)
		{
			shared_file_export(distributor->files[p]);
			BufFileClose(distributor->files[p]);
		}
	}
	if (distributor->files != NULL)
		pfree(distributor->files);
	pfree(distributor->buffers);
	pfree(distributor->buffered);
	pfree(distributor);
}

/* What the processes have written of a partition: [processes] */
static const uint64 *
partition_parts(const Partitions *partitions, uint32 partition)
{
	const uint64 *written = partitions_at(partitions, partitions->written_offset);

	return written + (size_t) partition * partitions->processes;
}

/*
 * Puts a chunk into the pieces of its rows, at next, which moves on.  The size of a
 * rating is a constant wherever this is called.
 */
static pg_attribute_always_inline void
place_chunk(const PlacedRating *chunk, size_t rating_size, uint32 size,
			uint32 first_row, const uint32 *piece_of, PlacedRating **next)
{
	for (uint32 i = 0; i < size; i++)
	{
		const PlacedRating *rating = placed_at(chunk, rating_size, i);
		PlacedRating **to = &next[piece_of[rating->row - first_row]];

		memcpy(*to, rating, rating_size);
		*to = placed_at(*to, rating_size, 1);
	}
}

void
partition_load(const Partitions *partitions, uint32 partition,
			   SharedFileSet *fileset, uint32 npieces, const uint32 *piece_row,
			   const uint64 *row_start, PlacedRating *ratings)
{
	const uint64 *parts = partition_parts(partitions, partition);
	size_t		rating_size = placed_size(partitions->weighted);
	uint32		first_row = piece_row[0];
	size_t		nrows = piece_row[npieces] - first_row;
	uint32	   *piece_of = MemoryContextAllocHuge(CurrentMemoryContext,
												  nrows * sizeof(uint32));
	PlacedRating **next = palloc(npieces * sizeof(PlacedRating *));

	for (uint32 p = 0; p < npieces; p++)
	{
		next[p] = placed_at(ratings, rating_size,
							row_start[piece_row[p]] - row_start[first_row]);
		for (uint32 r = piece_row[p]; r < piece_row[p + 1]; r++)
		{
			CHECK_FOR_INTERRUPTS();
			piece_of[r - first_row] = p;
		}
	}
	for (int i = 0; i < partitions->processes; i++)
	{
		PlacedRating chunk[DISTRIBUTOR_BUFFER];
		uint32		size;
		char		name[MAXPGPATH];
		BufFile    *file;

		if (parts[i] == 0)
			continue;
		file_name(name, partitions->side, partition, i);
		file = shared_file_open(fileset, name);
		for (uint64 done = 0; done < parts[i]; done += size)
		{
			size = packed_read(file, chunk, rating_size / sizeof(uint32));
			if (partitions->weighted)
				place_chunk(chunk, placed_size(true), size, first_row, piece_of, next);
			else
				place_chunk(chunk, placed_size(false), size, first_row, piece_of, next);
		}
		BufFileClose(file);
		shared_file_delete(fileset, name);
	}
	pfree(next);
	pfree(piece_of);
}

/* How columns are read as digits */
typedef struct Digits
{
	int			count;
	int			shift[MOST_DIGITS + 1]; /* of each, from the least, and the
										 * end */
} Digits;

/* How the numbers below columns are */
static Digits
digits_of(uint32 columns)
{
	int			bits = columns > 1 ? pg_leftmost_one_pos32(columns - 1) + 1 : 0;
	Digits		digits;

	digits.count = (bits + DIGIT_BITS - 1) / DIGIT_BITS;
	for (int d = 0; d <= digits.count; d++)
		digits.shift[d] = digits.count > 0 ? bits * d / digits.count : 0;
	return digits;
}

/* A digit of a column */
static inline uint32
digit_of(const Digits *digits, int d, uint32 column)
{
	return column >> digits->shift[d] &
		((1U << (digits->shift[d + 1] - digits->shift[d])) - 1);
}

/* Counts how often each digit occurs, and says where those ratings go. */
static void
place_digits(const Digits *digits, const PlacedRating *ratings,
			 size_t rating_size, uint64 size, uint64 places[MOST_DIGITS][1 << DIGIT_BITS])
{
	for (int d = 0; d < digits->count; d++)
		memset(places[d], 0, sizeof(places[d]));
	for (uint64 start = 0; start < size; start += POLL_RATINGS)
	{
		uint64		end = Min(size, start + POLL_RATINGS);

		CHECK_FOR_INTERRUPTS();
		for (uint64 i = start; i < end; i++)
			for (int d = 0; d < digits->count; d++)
				places[d][digit_of(digits, d, placed_at(ratings, rating_size, i)->column)]++;
	}
	for (int d = 0; d < digits->count; d++)
	{
		uint64		place = 0;

		for (int digit = 0; digit < 1 << DIGIT_BITS; digit++)
		{
			uint64		count = places[d][digit];

			places[d][digit] = place;
			place += count;
		}
	}
}

/*
 * Moves ratings in order of a digit, keeping that of equals.  Their size is a
 * constant wherever this is called, so that it copies words.
 */
static pg_attribute_always_inline void
sort_by_digit(const PlacedRating *from, PlacedRating *to, size_t rating_size,
			  uint64 size, const Digits *digits, int d, uint64 *places)
{
	for (uint64 start = 0; start < size; start += POLL_RATINGS)
	{
		uint64		end = Min(size, start + POLL_RATINGS);

		CHECK_FOR_INTERRUPTS();
		for (uint64 i = start; i < end; i++)
		{
			const PlacedRating *rating = placed_at(from, rating_size, i);
			uint64		place = places[digit_of(digits, d, rating->column)]++;

			memcpy(placed_at(to, rating_size, place), rating, rating_size);
		}
	}
}

EntryPlace
partition_sort(PlacedRating *ratings, PlacedRating *other, bool weighted,
			   uint64 size, uint32 columns, uint32 first_row, uint32 nrows,
			   const uint64 *row_start, EntryPlace place)
{
	size_t		rating_size = placed_size(weighted);
	Digits		digits = digits_of(columns);
	uint64		digit_places[MOST_DIGITS][1 << DIGIT_BITS];
	uint64	   *places = MemoryContextAllocHuge(CurrentMemoryContext,
												nrows * sizeof(uint64));

	place_digits(&digits, ratings, rating_size, size, digit_places);
	for (int d = 0; d < digits.count; d++)
	{
		PlacedRating *sorted = other;

		if (weighted)
			sort_by_digit(ratings, other, placed_size(true), size, &digits, d,
						  digit_places[d]);
		else
			sort_by_digit(ratings, other, placed_size(false), size, &digits, d,
						  digit_places[d]);
		other = ratings;
		ratings = sorted;
	}

	for (uint32 r = 0; r < nrows; r++)
	{
		CHECK_FOR_INTERRUPTS();
		places[r] = row_start[r] - row_start[0];
	}
	if (place.entries == NULL)
	{
		place.entries = (AlsEntry *) other;
		place.weights = weighted ? (float *) (place.entries + size) : NULL;
	}
	for (uint64 start = 0; start < size; start += POLL_RATINGS)
	{
		uint64		end = Min(size, start + POLL_RATINGS);

		CHECK_FOR_INTERRUPTS();
		for (uint64 i = start; i < end; i++)
		{
			const PlacedRating *rating = placed_at(ratings, rating_size, i);
			uint64		to = places[rating->row - first_row]++;

			place.entries[to].column = rating->column;
			place.entries[to].rating = rating->rating;
			if (weighted)
				place.weights[to] = rating->weight;
		}
	}
	pfree(places);
	return place;
}
