/*
 * partitions.h
 *	  Ratings on their way to their rows, in partitions: ranges of blocks that
 *	  are sorted one by one.
 */
#ifndef ALS_PARTITIONS_H
#define ALS_PARTITIONS_H

#include "ratings/csr_blocks.h"
#include "storage/buffile.h"

/* What is sorted at once: so many ratings a cache holds with room to spare. */
#define PARTITION_RATINGS (64 * 1024)

/* A rating with the row that it goes to; arrays of them go by placed_size. */
typedef struct PlacedRating
{
	uint32		row;
	uint32		column;
	float4		rating;
	float4		weight;			/* where ratings have weights */
} PlacedRating;

static inline size_t
placed_size(bool weighted)
{
	return weighted ? sizeof(PlacedRating) : offsetof(PlacedRating, weight);
}

/* The i-th of ratings of a size */
static inline PlacedRating *
placed_at(const PlacedRating *ratings, size_t size, uint64 i)
{
	return (PlacedRating *) ((char *) unconstify(PlacedRating *, ratings) + i * size);
}

/* Where entries lie, and their weights, if there are any */
typedef struct EntryPlace
{
	AlsEntry   *entries;
	float	   *weights;
} EntryPlace;

/* The place so many entries further on */
static inline EntryPlace
entry_place(EntryPlace place, uint64 entries)
{
	place.entries += entries;
	if (place.weights != NULL)
		place.weights += entries;
	return place;
}

/*
 * The partitions of a side, as processes share them; offsets count from the
 * struct.  A partition's ratings lie in memory, in a region that is as large as
 * the counts say; or in files, of each process that has put some there.
 */
typedef struct Partitions
{
	AlsSide		side;
	bool		weighted;		/* their ratings */
	uint32		count;
	uint32		nrows;
	int			processes;		/* that may put ratings there */
	size_t		first_row_offset;	/* uint32 [count + 1] */
	size_t		start_offset;	/* uint64 [count + 1]: ratings of those before */
	size_t		by_row_offset;	/* uint16 [nrows]: which one a row is in */
	size_t		filled_offset;	/* pg_atomic_uint64 [count]: in the region, in
								 * memory */
	size_t		written_offset; /* uint64 [count x processes]: in files */
} Partitions;

/* Where a side's partitions begin, cut from its blocks */
typedef struct PartitionCut
{
	uint32		count;
	uint32	   *first_row;		/* [count + 1] */
	uint64	   *start;			/* [count + 1] */
} PartitionCut;

/*
 * Cuts blocks, the first rows of which are given, into partitions of at most
 * limit ratings, or of one block.
 */
extern PartitionCut partitions_cut(const RatedIds *ids, uint32 nblocks,
								   const uint32 *first_row, uint64 limit);

/* Lays them out; returns the bytes that they take. */
extern size_t partitions_layout(Partitions *partitions, AlsSide side,
								bool weighted, const PartitionCut *cut,
								int processes, bool in_files);

/* Fills in what has been laid out. */
extern void partitions_fill(Partitions *partitions, const PartitionCut *cut);

static inline const uint32 *
partitions_first_row(const Partitions *partitions)
{
	return (const uint32 *) ((const char *) partitions +
							 partitions->first_row_offset);
}

static inline const uint64 *
partitions_start(const Partitions *partitions)
{
	return (const uint64 *) ((const char *) partitions +
							 partitions->start_offset);
}

/* Puts ratings into partitions, in one of the processes */
typedef struct Distributor
{
	Partitions *partitions;
	size_t		size;			/* of a rating */
	const uint16 *by_row;
	PlacedRating *regions;		/* of all, one after another; NULL: in files */
	SharedFileSet *fileset;		/* of these */
	int			process;		/* its number */
	BufFile   **files;			/* [count], NULL where none is yet */
	PlacedRating *buffers;		/* [count x DISTRIBUTOR_BUFFER] */
	uint16	   *buffered;		/* [count] */
} Distributor;

/* So many are copied at once. */
#define DISTRIBUTOR_BUFFER 64

extern Distributor *distributor_open(Partitions *partitions, int process,
									 PlacedRating *regions,
									 SharedFileSet *fileset);
extern void distributor_flush(Distributor *distributor, uint32 partition);
extern void distributor_close(Distributor *distributor);

/* Fetches what tells a row's partition, which is about to be asked for. */
static inline void
distributor_fetch(const Distributor *distributor, uint32 row)
{
	__builtin_prefetch(&distributor->by_row[row]);
}

static inline void
distributor_put(Distributor *distributor, uint32 row, uint32 column,
				float rating, float weight)
{
	uint32		partition = distributor->by_row[row];
	uint16		place = distributor->buffered[partition]++;
	PlacedRating *placed = placed_at(distributor->buffers, distributor->size,
									 partition * DISTRIBUTOR_BUFFER + place);

	placed->row = row;
	placed->column = column;
	placed->rating = rating;
	if (distributor->partitions->weighted)
		placed->weight = weight;
	if (place == DISTRIBUTOR_BUFFER - 1)
		distributor_flush(distributor, partition);
}

/*
 * Reads a partition from files, piece by piece, and deletes the files: those of the rows from
 * piece_row[i], up to that of the next, come to lie behind row_start of that row,
 * counted from the first.
 */
extern void partition_load(const Partitions *partitions, uint32 partition,
						   SharedFileSet *fileset, uint32 npieces,
						   const uint32 *piece_row, const uint64 *row_start,
						   PlacedRating *ratings);

/*
 * Sorts ratings by row, and by column within it, the columns being numbers below
 * columns.  Row first_row + r comes to lie behind row_start[r] - row_start[0], in
 * place or, where that has no entries, in one of the two arrays of ratings, which are
 * of the same size and used up.  Returns where.
 */
extern EntryPlace partition_sort(PlacedRating *ratings, PlacedRating *other,
								 bool weighted, uint64 size, uint32 columns,
								 uint32 first_row, uint32 nrows,
								 const uint64 *row_start, EntryPlace place);

#endif							/* ALS_PARTITIONS_H */
