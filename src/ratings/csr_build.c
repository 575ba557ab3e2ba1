/*
 * csr_build.c
 *	  Sorting all ratings by user and, once more, by item.
 *
 * A block is a range of whole rows: the unit that a worker claims, and the
 * unit that is read from a file.  Where blocks begin depends on the number of
 * ratings of each row alone, so that training does the same arithmetic in the
 * same order wherever the ratings are kept.
 *
 * Leader and workers sort in two runs, by partitions: ranges of blocks (see
 * partitions.c).  In the first run they claim batches of triplets, give them
 * the rows that their indices stand for, and put them into partitions of users.
 * Then the triplets are done with.  In the second they claim these partitions,
 * sort each, merge duplicates and put what is left into partitions of items,
 * which they claim and sort in turn.  A partition is sorted by one process
 * alone, and its order does not depend on that in which ratings came: so the
 * result has the same bits with any number of processes.
 *
 * In memory the regions of partitions are 12 bytes a rating, of which there are
 * two at first, triplets and users; later, one and the result of 16.  In files
 * the buffers of all processes together have half the budget; but each has 24
 * bytes times a row's ratings, or times a 1,024th of all, if these are more.  A
 * weight makes 4 bytes more of each.
 * Files, of triplets, of partitions and of what is sorted, are packed (packed.c).
 */
#include "compat.h"

#include "common/bulk.h"
#include "ratings/csr_sort.h"
#include "utils/memutils.h"

#define BLOCK_RATINGS 16384
#define BLOCK_ROWS 1024


/*
 * With fewer a worker wins nothing: shared memory has to be made and given back,
 * and workers start twice.
 */
#define SORTED_ALONE (8 * 1024 * 1024)

/* As many files as it takes, and no more partitions than these for speed */
#define FILE_PARTITIONS 64

size_t
blocks_triplet_memory(size_t budget, bool weighted)
{
	/* while rows are built, itself and two sorted entries */
	size_t		entry = sizeof(AlsEntry) + (weighted ? sizeof(float) : 0);

	return budget / (rating_size(weighted) + 2 * entry) * rating_size(weighted);
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

/* Lays out the arena of the result and fills in what the counts determine. */
static Arena
create_blocks(const Ratings *ratings, uint32 *const first_row[2],
			  const SideBlocks sides[2], const PartitionCut cuts[2], bool shared)
{
	bool		spilled = ratings_spilled(ratings);
	RatingBlocks layout = {0};
	size_t		size = 0;
	RatingBlocks *blocks;
	Arena		arena;

	arena_reserve(&size, sizeof(RatingBlocks));
	layout.spilled = spilled;
	layout.weighted = ratings_weighted(ratings);
	for (int s = 0; s < 2; s++)
	{
		SideBlocks *side = &layout.sides[s];

		*side = sides[s];
		side->row_start_offset =
			arena_reserve(&size, ((size_t) side->nrows + 1) * sizeof(uint64));
		side->first_row_offset =
			arena_reserve(&size, ((size_t) side->nblocks + 1) * sizeof(uint32));
		if (spilled)
		{
			side->nfiles = cuts[s].count;
			side->file_row_offset =
				arena_reserve(&size, (side->nfiles + 1) * sizeof(uint32));
			side->file_place_offset =
				arena_reserve(&size, (size_t) side->nblocks * sizeof(uint64));
		}
		else
			side->entries_offset =
				arena_reserve(&size, ratings_count(ratings) * sizeof(AlsEntry));
		if (!spilled && layout.weighted)
			side->weights_offset =
				arena_reserve(&size, ratings_count(ratings) * sizeof(float));
	}

	/* a set of shared files needs a segment that its lifetime hangs on */
	arena = arena_create(size, shared || spilled, "the ratings");
	blocks = (RatingBlocks *) arena.address;
	*blocks = layout;
	if (spilled && arena.segment == NULL)
		reject_no_segment();
	if (spilled)
		SharedFileSetInit(&blocks->fileset, arena.segment);

	for (int s = 0; s < 2; s++)
	{
		const RatedIds *ids = ratings_ids(ratings, s);
		uint64	   *row_start = side_row_start(blocks, s);

		memcpy((char *) blocks + blocks->sides[s].first_row_offset,
			   first_row[s],
			   ((size_t) blocks->sides[s].nblocks + 1) * sizeof(uint32));
		if (spilled)
			memcpy((char *) blocks + blocks->sides[s].file_row_offset,
				   cuts[s].first_row,
				   (blocks->sides[s].nfiles + 1) * sizeof(uint32));
		row_start[0] = 0;
		for (uint32 r = 0; r < ids->size; r++)
		{
			CHECK_FOR_INTERRUPTS();
			row_start[r + 1] = row_start[r] + ids->counts[r];
		}
	}
	return arena;
}

/* Lays out what the processes share while they sort, and fills it in. */
static Arena
create_state(const Ratings *ratings, const PartitionCut cuts[2],
			 AlsFeedback feedback, int processes, bool shared)
{
	const RatedIds *ids[2] = {ratings_ids(ratings, ALS_USERS), ratings_ids(ratings, ALS_ITEMS)};
	int			nparts = ratings_parts(ratings);
	SharedSort	layout = {0};
	Partitions	partitions[2];
	size_t		size = 0;
	SharedSort *state;
	size_t	   *orders = palloc(nparts * 2 * sizeof(size_t));
	TripletSource *sources;
	pg_atomic_uint64 *merged;
	Arena		arena;

	arena_reserve(&size, sizeof(SharedSort));
	layout.feedback = feedback;
	layout.spilled = ratings_spilled(ratings);
	layout.weighted = ratings_weighted(ratings);
	layout.nsources = ratings_nsources(ratings);
	layout.sources_offset = arena_reserve(&size, layout.nsources * sizeof(TripletSource));
	layout.order_offset = arena_reserve(&size, nparts * 2 * sizeof(size_t));
	for (int s = 0; s < 2; s++)
	{
		for (int part = 0; part < nparts; part++)
			orders[2 * part + s] =
				arena_reserve(&size, ratings_part_ids(ratings, part, s) * sizeof(uint32));
		layout.partitions_offset[s] =
			arena_reserve(&size, partitions_layout(&partitions[s], s, layout.weighted,
												   &cuts[s], processes,
												   layout.spilled));
	}
	layout.row_sums_offset = arena_reserve(&size, ids[ALS_USERS]->size * sizeof(RowSums));
	layout.merged_offset = arena_reserve(&size, ids[ALS_ITEMS]->size * sizeof(pg_atomic_uint64));
	layout.sizes_offset = arena_reserve(&size, cuts[ALS_USERS].count * sizeof(uint64));
	if (!layout.spilled)
		layout.regions_offset = arena_reserve(&size, ratings_count(ratings) *
											  placed_size(layout.weighted));

	arena = arena_create(size, shared, "the ratings");
	state = (SharedSort *) arena.address;
	*state = layout;
	pg_atomic_init_u64(&state->sorted, 0);
	pg_atomic_init_u32(&state->next_batch, 0);
	pg_atomic_init_u32(&state->next_passed_on, 0);
	sources = state_at(state, state->sources_offset);
	ratings_sources(ratings, sources);
	state->own_batches = triplet_sources_order(sources, state->nsources,
											   &state->batches);
	memcpy(state_at(state, state->order_offset), orders,
		   nparts * 2 * sizeof(size_t));
	for (int s = 0; s < 2; s++)
	{
		pg_atomic_init_u32(&state->next_sorted[s], 0);
		for (int part = 0; part < nparts; part++)
			ratings_part_order(ratings, part, s,
							   state_at(state, orders[2 * part + s]));
		*side_partitions(state, s) = partitions[s];
		partitions_fill(side_partitions(state, s), &cuts[s]);
	}
	merged = state_at(state, state->merged_offset);
	for (uint32 i = 0; i < ids[ALS_ITEMS]->size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		pg_atomic_init_u64(&merged[i], 0);
	}
	return arena;
}

/* How many ratings a partition may have, as far as rows allow. */
static uint64
partition_limit(const Ratings *ratings, size_t budget, int processes)
{
	uint64		limit = PARTITION_RATINGS;

	if (ratings_spilled(ratings))
	{
		/* two buffers of each process, in half the budget */
		limit = Max(limit, ratings_count(ratings) / FILE_PARTITIONS);
		limit = Min(limit, budget / 2 / processes /
					(2 * placed_size(ratings_weighted(ratings))));
	}
	return limit;
}

Arena
blocks_build(Ratings *ratings, AlsFeedback feedback, size_t budget, int nworkers)
{
	bool		spilled = ratings_spilled(ratings);
	bool		shared = nworkers > 0;
	int			helpers = ratings_count(ratings) > SORTED_ALONE ? nworkers : 0;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "als sorting",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	SideBlocks	sides[2] = {0};
	uint32	   *first_row[2];
	PartitionCut cuts[2];
	Arena		state;
	Arena		blocks;
	Arena	   *arenas[PARALLEL_ARENAS] = {NULL};

	for (int s = 0; s < 2; s++)
	{
		const RatedIds *ids = ratings_ids(ratings, s);

		first_row[s] = cut_blocks(ids, &sides[s].nblocks, &sides[s].largest_block);
		sides[s].nrows = ids->size;
		cuts[s] = partitions_cut(ids, sides[s].nblocks, first_row[s],
								 partition_limit(ratings, budget, helpers + 1));
	}
	state = create_state(ratings, cuts, feedback, helpers + 1, helpers > 0);
	arenas[SORT_STATE] = &state;
	if (spilled)
	{
		MemoryContextSwitchTo(old);
		blocks = create_blocks(ratings, first_row, sides, cuts, shared);
		MemoryContextSwitchTo(context);
		arenas[SORT_BLOCKS] = &blocks;
	}
	arenas[SORT_TRIPLETS] = ratings_store(ratings);
	parallel_run("als_distribute_worker", sort_distribute, arenas, helpers);
	arenas[SORT_TRIPLETS] = NULL;
	ratings_use_up(ratings);

	if (!spilled)
	{
		MemoryContextSwitchTo(old);
		blocks = create_blocks(ratings, first_row, sides, cuts, shared);
		MemoryContextSwitchTo(context);
		arenas[SORT_BLOCKS] = &blocks;
	}
	parallel_run("als_sort_worker", sort_partitions, arenas, helpers);
	arena_free(&state);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return blocks;
}
