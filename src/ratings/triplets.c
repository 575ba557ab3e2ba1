/*
 * triplets.c
 *	  Ratings as triplets of indices.
 *
 * A process collects triplets in pieces of memory, as long as there is room, and
 * in a temporary file beyond that.  The first pieces are its own: few triplets
 * are sorted by the leader alone.  Later ones are shared memory, each a quarter
 * of what there is, so that they are few; and a file can be read by all.  A
 * worker's are shared from the first, since they outlive it.
 *
 * Whoever walks over them goes by batches that are numbered through all pieces
 * and files: processes that walk together claim numbers.
 */
#include "compat.h"

#include "access/parallel.h"
#include "ratings/triplets.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"

#define FIRST_PIECE 1024		/* triplets */
#define PRIVATE_PIECES (512 * 1024) /* all that are the process's own */
#define FIRST_SHARED_PIECE (64 * 1024)

struct TripletReader
{
	const TripletSource *sources;
	Arena	   *store;
	dsa_area   *area;			/* a worker's, once it needs it */
	size_t		rating_size;
	bool		leader;
	int			source;			/* that is being read */
	uint32		first_batch;	/* its first */
	const Rating *ratings;		/* of a source in memory */
	BufFile    *file;			/* of one that is not */
	uint32		next_chunk;		/* of that */
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

Arena
triplet_store_create(size_t size, dsa_area **area)
{
	size_t		bytes = 0;
	size_t		offset;
	TripletStore *store;
	Arena		arena;

	arena_reserve(&bytes, size);
	offset = arena_reserve(&bytes, dsa_minimum_size());
	arena = arena_create_shared(bytes, "the ratings");
	if (arena.segment == NULL)
		return arena;
	store = (TripletStore *) arena.address;
	SharedFileSetInit(&store->fileset, arena.segment);
	pg_atomic_init_u32(&store->files, 0);
	store->area_offset = offset;
	*area = dsa_create_in_place(arena.address + offset, dsa_minimum_size(),
								LWTRANCHE_PARALLEL_QUERY_DSA, arena.segment);
	return arena;
}

dsa_area *
triplet_store_attach(Arena *arena)
{
	TripletStore *store = (TripletStore *) arena->address;

	SharedFileSetAttach(&store->fileset, arena->segment);
	return dsa_attach_in_place(arena->address + store->area_offset,
							   arena->segment);
}

void
triplet_room_init(TripletRoom *room, uint64 limit)
{
	room->limit = Max(limit, FIRST_PIECE);
	pg_atomic_init_u64(&room->taken, 0);
	pg_atomic_init_u32(&room->spilled, 0);
}

void
triplets_begin(Triplets *triplets, MemoryContext context, bool weighted,
			   uint64 limit, bool shared)
{
	memset(triplets, 0, sizeof(*triplets));
	triplets->weighted = weighted;
	triplets->rating_size = rating_size(weighted);
	triplets->context = context;
	triplets->shared = shared;
	triplets->room = &triplets->own_room;
	triplet_room_init(triplets->room, limit);
}

void
triplets_join(Triplets *triplets, TripletRoom *room, const Arena *store,
			  dsa_area *area)
{
	triplets->room = room;
	triplets->store = *store;
	triplets->area = area;
}

/* Creates a store of one's own, if there is none; false if there can be none. */
static bool
make_store(Triplets *triplets)
{
	if (triplets->store.segment == NULL)
		triplets->store = triplet_store_create(sizeof(TripletStore),
											   &triplets->area);
	return triplets->store.segment != NULL;
}

/* Begins a piece with room for so many. */
static void
add_piece(Triplets *triplets, uint64 capacity, bool shared)
{
	MemoryContext old = MemoryContextSwitchTo(triplets->context);
	size_t		bytes = capacity * triplets->rating_size;
	TripletPiece *piece;

	if (triplets->pieces == NULL)
		triplets->pieces = palloc(sizeof(TripletPiece));
	else
		triplets->pieces = repalloc(triplets->pieces,
									(triplets->npieces + 1) * sizeof(TripletPiece));
	piece = &triplets->pieces[triplets->npieces];
	memset(piece, 0, sizeof(*piece));
	piece->shared = InvalidDsaPointer;
	if (shared && make_store(triplets))
	{
		piece->shared = arena_area_allocate(triplets->area, bytes, "the ratings");
		piece->ratings = dsa_get_address(triplets->area, piece->shared);
	}
	else
		piece->ratings = MemoryContextAllocHuge(triplets->context, bytes);
	piece->capacity = capacity;
	triplets->npieces++;
	triplets->held += capacity;
	triplets->next = piece->ratings;
	triplets->end = rating_at(piece->ratings, triplets->rating_size, capacity);
	MemoryContextSwitchTo(old);
}

/* Notes how many the last piece has. */
static void
end_piece(Triplets *triplets)
{
	if (triplets->npieces > 0)
	{
		TripletPiece *piece = &triplets->pieces[triplets->npieces - 1];

		piece->size = ((char *) triplets->next - (char *) piece->ratings) /
			triplets->rating_size;
	}
}

/* Frees all memory. */
static void
free_pieces(Triplets *triplets)
{
	for (int i = 0; i < triplets->npieces; i++)
	{
		TripletPiece *piece = &triplets->pieces[i];

		if (DsaPointerIsValid(piece->shared))
			dsa_free(triplets->area, piece->shared);
		else
			pfree(piece->ratings);
	}
	if (triplets->area != NULL)
		dsa_trim(triplets->area);
	triplets->npieces = 0;
	triplets->held = 0;
	triplets->next = triplets->end = NULL;
}

/* The name of a file */
static void
file_name(char name[MAXPGPATH], uint32 number)
{
	snprintf(name, MAXPGPATH, "ratings.%u", number);
}

/* Creates the file, which outlives the row being read. */
static void
create_file(Triplets *triplets)
{
	MemoryContext old = MemoryContextSwitchTo(triplets->context);
	TripletStore *store;
	char		name[MAXPGPATH];

	if (!make_store(triplets))
		reject_no_segment();
	store = (TripletStore *) triplets->store.address;
	triplets->file_number = pg_atomic_fetch_add_u32(&store->files, 1);
	file_name(name, triplets->file_number);
	triplets->file = shared_file_create(&store->fileset, name);
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

		packed_write(triplets->file, piece->ratings,
					 triplets->rating_size / sizeof(uint32), piece->size);
		triplets->chunks += (piece->size + TRIPLET_BATCH - 1) / TRIPLET_BATCH;
	}
	if (first)
	{
		free_pieces(triplets);
		add_piece(triplets, Min(TRIPLET_BATCH, triplets->room->limit), false);
	}
	triplets->next = triplets->pieces[0].ratings;
}

/* Takes room for as many as wanted, or what there is; 0 if there is none. */
static uint64
take_room(TripletRoom *room, uint64 wanted)
{
	uint64		taken = pg_atomic_fetch_add_u64(&room->taken, wanted);

	if (pg_atomic_read_u32(&room->spilled) == 0 && taken < room->limit)
		return Min(wanted, room->limit - taken);
	pg_atomic_write_u32(&room->spilled, 1);
	return 0;
}

void
triplets_make_room(Triplets *triplets)
{
	uint64		capacity = 0;
	bool		mine = !IsParallelWorker() && triplets->held < PRIVATE_PIECES;
	bool		shared = triplets->shared && !mine;

	end_piece(triplets);
	if (triplets->file == NULL)
		capacity = take_room(triplets->room,
							 mine ? Max(triplets->held, FIRST_PIECE) :
							 Max(triplets->held / 4, FIRST_SHARED_PIECE));
	if (capacity > 0)
		add_piece(triplets, capacity, shared);
	else
		spill(triplets);
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

bool
triplets_spilled(const Triplets *triplets)
{
	return pg_atomic_read_u32(&triplets->room->spilled) != 0;
}

int
triplets_nsources(const Triplets *triplets)
{
	return triplets->file != NULL ? 1 : triplets->npieces;
}

void
triplets_sources(const Triplets *triplets, TripletSource *sources)
{
	memset(sources, 0, triplets_nsources(triplets) * sizeof(TripletSource));
	for (int i = 0; i < triplets->npieces; i++)
	{
		sources[i].size = triplets->pieces[i].size;
		sources[i].address = triplets->pieces[i].ratings;
		sources[i].shared = triplets->pieces[i].shared;
	}
	if (triplets->file != NULL)
	{
		sources[0].shared = InvalidDsaPointer;
		sources[0].file = triplets->file_number;
		sources[0].chunks = triplets->chunks;
	}
}

/* Can only the leader read a source? */
static inline bool
is_private(const TripletSource *source)
{
	return source->address != NULL && !DsaPointerIsValid(source->shared);
}

/* The batches of one */
static inline uint32
source_batches(const TripletSource *source)
{
	return source->address == NULL ? source->chunks :
		(uint32) ((source->size + TRIPLET_BATCH - 1) / TRIPLET_BATCH);
}

uint32
triplet_sources_order(TripletSource *sources, int nsources, uint32 *batches)
{
	uint32		own = 0;
	int			nown = 0;

	*batches = 0;
	for (int i = 0; i < nsources; i++)
	{
		TripletSource source = sources[i];

		*batches += source_batches(&source);
		if (!is_private(&source))
			continue;
		own += source_batches(&source);
		sources[i] = sources[nown];
		sources[nown++] = source;
	}
	return own;
}

/* Lets go of the source being read. */
static void
close_source(TripletReader *reader)
{
	if (reader->file != NULL)
		BufFileClose(reader->file);
	reader->file = NULL;
	reader->ratings = NULL;
}

/* Gets at the source that comes next. */
static void
open_source(TripletReader *reader)
{
	const TripletSource *source = &reader->sources[reader->source];

	if (source->address != NULL && reader->leader)
	{
		reader->ratings = source->address;
		return;
	}
	if (reader->area == NULL && !reader->leader)
		reader->area = triplet_store_attach(reader->store);
	if (source->address != NULL)
		reader->ratings = dsa_get_address(reader->area, source->shared);
	else
	{
		TripletStore *store = (TripletStore *) reader->store->address;
		char		name[MAXPGPATH];

		file_name(name, source->file);
		reader->file = shared_file_open(&store->fileset, name);
		reader->next_chunk = 0;
		if (reader->buffer == NULL)
			reader->buffer = palloc(TRIPLET_BATCH * reader->rating_size);
	}
}

TripletReader *
triplet_reader_open(const TripletSource *sources, Arena *store, bool weighted,
					bool leader)
{
	TripletReader *reader = palloc0(sizeof(TripletReader));

	reader->sources = sources;
	reader->store = store;
	reader->rating_size = rating_size(weighted);
	reader->leader = leader;
	return reader;
}

const Rating *
triplet_reader_read(TripletReader *reader, uint32 batch, size_t *size,
					uint32 *part)
{
	const TripletSource *source = &reader->sources[reader->source];
	int			fields = reader->rating_size / sizeof(uint32);

	while (batch - reader->first_batch >= source_batches(source))
	{
		close_source(reader);
		reader->first_batch += source_batches(source);
		source = &reader->sources[++reader->source];
	}
	if (reader->file == NULL && reader->ratings == NULL)
		open_source(reader);

	*part = source->part;
	batch -= reader->first_batch;
	if (reader->ratings != NULL)
	{
		uint64		start = (uint64) batch * TRIPLET_BATCH;

		*size = Min(source->size - start, TRIPLET_BATCH);
		return rating_at(reader->ratings, reader->rating_size, start);
	}
	for (; reader->next_chunk < batch; reader->next_chunk++)
		packed_skip(reader->file, fields);
	*size = packed_read(reader->file, reader->buffer, fields);
	reader->next_chunk++;
	return reader->buffer;
}

void
triplet_reader_close(TripletReader *reader)
{
	close_source(reader);
	if (reader->area != NULL)
		dsa_detach(reader->area);
	if (reader->buffer != NULL)
		pfree(reader->buffer);
	pfree(reader);
}

void
triplets_leave(Triplets *triplets)
{
	if (triplets->file != NULL)
		BufFileClose(triplets->file);
	triplets->file = NULL;
	if (triplets->area != NULL)
		dsa_detach(triplets->area);
	triplets->area = NULL;
	arena_free(&triplets->store);
}

void
triplets_free(Triplets *triplets)
{
	free_pieces(triplets);
	/* others' pieces go with the area, files with their set */
	triplets_leave(triplets);
}
