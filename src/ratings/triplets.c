/*
 * triplets.c
 *	  Ratings as triplets of indices.
 *
 * A process collects triplets in pieces of memory, up to a limit, and in a
 * temporary file beyond that.  The first pieces are its own: few triplets are
 * sorted by the leader alone.  Later ones are shared memory, each a quarter of
 * what there is, so that they are few; and a file can be read by all.
 *
 * Whoever walks over them goes by batches that are numbered through all pieces
 * and the file: processes that walk together claim numbers.
 */
#include "compat.h"

#include "common/bulk.h"
#include "ratings/triplets.h"
#include "utils/memutils.h"

#define FIRST_PIECE 1024		/* triplets */
#define PRIVATE_PIECES (512 * 1024) /* all that are the process's own */
#define FILE_PIECE (64 * 1024)	/* buffered before the file */

static const char file_name[] = "ratings";

struct TripletReader
{
	const TripletSource *sources;
	SharedFileSet *fileset;
	bool		leader;
	int			source;			/* that is being read */
	uint32		first_batch;	/* its first */
	Arena		arena;			/* attached for it */
	const Rating *ratings;		/* of a source in memory */
	BufFile    *file;			/* of one that is not */
	Rating	   *buffer;			/* [TRIPLET_BATCH], for that */
};

void
reject_no_segment(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
			 errmsg("too many dynamic shared memory segments"),
			 errdetail("Ratings in temporary files need one."),
			 errhint("Try again later, or raise maintenance_work_mem or max_connections.")));
}

void
triplets_begin(Triplets *triplets, MemoryContext context, uint64 limit,
			   bool shared)
{
	memset(triplets, 0, sizeof(*triplets));
	triplets->context = context;
	triplets->shared = shared;
	triplets->limit = Max(limit, FIRST_PIECE);
}

/* Begins a piece with room for so many. */
static void
add_piece(Triplets *triplets, uint64 capacity, bool shared)
{
	MemoryContext old = MemoryContextSwitchTo(triplets->context);
	size_t		bytes = capacity * sizeof(Rating);
	TripletPiece *piece;

	if (triplets->pieces == NULL)
		triplets->pieces = palloc(sizeof(TripletPiece));
	else
		triplets->pieces = repalloc(triplets->pieces,
									(triplets->npieces + 1) * sizeof(TripletPiece));
	piece = &triplets->pieces[triplets->npieces];
	memset(piece, 0, sizeof(*piece));
	if (shared)
		piece->arena = arena_create_shared(bytes, "the ratings");
	piece->ratings = piece->arena.segment != NULL ?
		(Rating *) piece->arena.address :
		MemoryContextAllocHuge(triplets->context, bytes);
	piece->capacity = capacity;
	triplets->npieces++;
	triplets->room += capacity;
	triplets->next = piece->ratings;
	triplets->end = piece->ratings + capacity;
	MemoryContextSwitchTo(old);
}

/* Notes how many the last piece has. */
static void
end_piece(Triplets *triplets)
{
	if (triplets->npieces > 0)
	{
		TripletPiece *piece = &triplets->pieces[triplets->npieces - 1];

		piece->size = triplets->next - piece->ratings;
	}
}

/* Frees all memory. */
static void
free_pieces(Triplets *triplets)
{
	for (int i = 0; i < triplets->npieces; i++)
	{
		TripletPiece *piece = &triplets->pieces[i];

		if (piece->arena.segment != NULL)
			arena_free(&piece->arena);
		else
			pfree(piece->ratings);
	}
	triplets->npieces = 0;
	triplets->room = 0;
	triplets->next = triplets->end = NULL;
}

/* Creates the file, which outlives the row being read. */
static void
create_file(Triplets *triplets)
{
	MemoryContext old = MemoryContextSwitchTo(triplets->context);

	triplets->files = arena_create_shared(sizeof(SharedFileSet), "the ratings");
	if (triplets->files.segment == NULL)
		reject_no_segment();
	SharedFileSetInit((SharedFileSet *) triplets->files.address,
					  triplets->files.segment);
	triplets->file = shared_file_create((SharedFileSet *) triplets->files.address,
										file_name);
	MemoryContextSwitchTo(old);
}

/* Writes what is in memory to the file; a single piece is left, to fill anew. */
static void
spill(Triplets *triplets)
{
	bool		first = triplets->file == NULL;

	if (first)
		create_file(triplets);
	for (int i = 0; i < triplets->npieces; i++)
	{
		TripletPiece *piece = &triplets->pieces[i];

		file_write(triplets->file, piece->ratings, piece->size * sizeof(Rating));
		triplets->in_file += piece->size;
	}
	if (first)
	{
		free_pieces(triplets);
		add_piece(triplets, Min(FILE_PIECE, triplets->limit), false);
	}
	triplets->next = triplets->pieces[0].ratings;
}

void
triplets_make_room(Triplets *triplets)
{
	end_piece(triplets);
	if (triplets->file != NULL || triplets->room >= triplets->limit)
		spill(triplets);
	else
	{
		bool		many = triplets->room >= PRIVATE_PIECES;
		uint64		capacity = many ?
			Max(triplets->room / 4, PRIVATE_PIECES / 2) :
			Max(triplets->room, FIRST_PIECE);

		add_piece(triplets, Min(capacity, triplets->limit - triplets->room),
				  many && triplets->shared);
	}
}

void
triplets_finish(Triplets *triplets)
{
	end_piece(triplets);
	if (triplets->file != NULL)
	{
		spill(triplets);
		free_pieces(triplets);
		/* it stays open, and so counts towards temp_file_limit */
		shared_file_export(triplets->file);
	}
}

int
triplets_nsources(const Triplets *triplets)
{
	return triplets->file != NULL ? 1 : triplets->npieces;
}

uint32
triplets_sources(const Triplets *triplets, TripletSource *sources)
{
	int			nsources = 0;
	uint32		own = 0;

	/* a piece may be the leader's own because no segment was left */
	for (int shared = 0; shared < 2; shared++)
	{
		for (int i = 0; i < triplets->npieces; i++)
		{
			const TripletPiece *piece = &triplets->pieces[i];
			TripletSource *source = &sources[nsources];

			if ((piece->arena.segment != NULL) != (shared == 1))
				continue;
			source->size = piece->size;
			source->address = piece->ratings;
			source->handle = shared ? piece->arena.handle : DSM_HANDLE_INVALID;
			nsources++;
		}
		if (!shared)
			own = triplets_batches(sources, nsources);
	}
	if (triplets->file != NULL)
	{
		sources[nsources].size = triplets->in_file;
		sources[nsources].address = NULL;
		sources[nsources].handle = DSM_HANDLE_INVALID;
	}
	return own;
}

/* The batches of one */
static inline uint32
source_batches(const TripletSource *source)
{
	return (uint32) ((source->size + TRIPLET_BATCH - 1) / TRIPLET_BATCH);
}

uint32
triplets_batches(const TripletSource *sources, int nsources)
{
	uint32		batches = 0;

	for (int i = 0; i < nsources; i++)
		batches += source_batches(&sources[i]);
	return batches;
}

/* Lets go of the source being read. */
static void
close_source(TripletReader *reader)
{
	if (reader->file != NULL)
		BufFileClose(reader->file);
	reader->file = NULL;
	arena_free(&reader->arena);
	reader->ratings = NULL;
}

/* Gets at the source that comes next. */
static void
open_source(TripletReader *reader)
{
	const TripletSource *source = &reader->sources[reader->source];

	if (source->address == NULL)
	{
		reader->file = shared_file_open(reader->fileset, file_name);
		if (reader->buffer == NULL)
			reader->buffer = palloc(TRIPLET_BATCH * sizeof(Rating));
	}
	else if (reader->leader)
		reader->ratings = source->address;
	else
	{
		reader->arena = arena_attach(source->handle);
		reader->ratings = (const Rating *) reader->arena.address;
	}
}

TripletReader *
triplet_reader_open(const TripletSource *sources, SharedFileSet *fileset,
					bool leader)
{
	TripletReader *reader = palloc0(sizeof(TripletReader));

	reader->sources = sources;
	reader->fileset = fileset;
	reader->leader = leader;
	return reader;
}

const Rating *
triplet_reader_read(TripletReader *reader, uint32 batch, size_t *size)
{
	const TripletSource *source = &reader->sources[reader->source];
	uint64		start;

	while (batch - reader->first_batch >= source_batches(source))
	{
		close_source(reader);
		reader->first_batch += source_batches(source);
		source = &reader->sources[++reader->source];
	}
	if (reader->file == NULL && reader->ratings == NULL)
		open_source(reader);

	start = (uint64) (batch - reader->first_batch) * TRIPLET_BATCH;
	*size = Min(source->size - start, TRIPLET_BATCH);
	if (reader->ratings != NULL)
		return reader->ratings + start;
	file_seek(reader->file, start * sizeof(Rating));
	file_read(reader->file, reader->buffer, *size * sizeof(Rating));
	return reader->buffer;
}

void
triplet_reader_close(TripletReader *reader)
{
	close_source(reader);
	if (reader->buffer != NULL)
		pfree(reader->buffer);
	pfree(reader);
}

void
triplets_free(Triplets *triplets)
{
	free_pieces(triplets);
	if (triplets->file != NULL)
	{
		BufFileClose(triplets->file);
		triplets->file = NULL;
		/* and the file goes with its set */
		arena_free(&triplets->files);
	}
}
