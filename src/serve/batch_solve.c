/*
 * batch_solve.c
 *	  Many rows of a side solved from their ratings, by the leader and its
 *	  workers.
 *
 * What they are solved against is gathered in the order of ids, and so are each
 * row's ratings: sums are those of fold_in, whatever else is read, in whichever
 * order and by however many.
 */
#include "compat.h"

#include "common/blas_loader.h"
#include "common/parallel.h"
#include "common/settings.h"
#include "common/side.h"
#include "ratings/csr_blocks.h"
#include "serve/batch_solve.h"
#include "serve/fold_in.h"
#include "utils/memutils.h"

/* Rows that a process takes at a time */
#define ROWS_AT_ONCE 16

/* One process's view */
typedef struct SolveProcess
{
	BatchSolve *job;
	AlsSystem	system;
	BlockReader *reader;
	void	   *workspace;
	AlsEntry   *entries;		/* [capacity] of the row */
	float	   *weights;		/* likewise, if ratings have weights */
	size_t		capacity;
} SolveProcess;

PGDLLEXPORT void als_batch_solve_worker(dsm_segment *segment, shm_toc *toc);

static inline void *
job_at(const BatchSolve *job, size_t offset)
{
	return (char *) job + offset;
}

/* Solves one row; returns its result. */
static int
solve_row(SolveProcess *me, uint32 row)
{
	BatchSolve *job = me->job;
	const uint32 *places = job_at(job, job->places_offset);
	size_t		stride = als_stride(job->system.rank);
	float	   *solved = (float *) job_at(job, job->solved_offset) + row * stride;
	AlsRows		all = blocks_read_rows(me->reader, row, row + 1);
	AlsRows		rows = {0};
	uint64		start[2] = {0, 0};
	size_t		size = all.start[1] - all.start[0];
	double		loss = 0;
	uint32_t	failed;

	if (size > me->capacity)
	{
		if (me->entries != NULL)
			pfree(me->entries);
		if (me->weights != NULL)
			pfree(me->weights);
		me->capacity = Max(size, 2 * me->capacity);
		me->entries = MemoryContextAllocHuge(CurrentMemoryContext,
											 me->capacity * sizeof(AlsEntry));
		if (all.weights != NULL)
			me->weights = MemoryContextAllocHuge(CurrentMemoryContext,
												 me->capacity * sizeof(float));
	}
	for (size_t i = 0; i < size; i++)
	{
		uint32		place = places[all.entries[i].column];

		if (place == NOT_THERE)
			continue;
		me->entries[start[1]].column = place;
		if (all.weights != NULL)
			me->weights[start[1]] = all.weights[i];
		me->entries[start[1]++].rating = all.entries[i].rating;
	}
	if (start[1] == 0)
		return BATCH_NOTHING_KNOWN;
	start[1] = sort_and_merge(me->entries, me->weights, start[1],
							  job->system.feedback);
	rows.nrows = 1;
	rows.start = start;
	rows.entries = me->entries;
	rows.weights = me->weights;
	memset(solved, 0, stride * sizeof(float));
	return als_solve_rows(&me->system, &rows, solved, me->workspace, &loss,
						  &failed);
}

/* What each process does: solves rows until none is left. */
static void
solve_rows(const ParallelProcess *process, Arena *const arenas[PARALLEL_ARENAS])
{
	SolveProcess me = {0};
	BatchSolve *job = (BatchSolve *) arenas[0]->address;
	int		   *results = job_at(job, job->results_offset);
	uint32		first;

	me.job = job;
	me.system = job->system;
	me.system.kernels = chosen_kernels();
	me.system.blas = blas_load();
	me.system.poll = poll_interrupts;
	me.system.fixed = me.system.stored = job_at(job, job->fixed_offset);
	if (job->system.feedback == ALS_EXPLICIT)
		me.system.bias = job_at(job, job->bias_offset);
	else
		me.system.gram = job_at(job, job->gram_offset);
	me.workspace = allocate_aligned(CurrentMemoryContext,
									als_solve_workspace(&me.system));
	if (!process->leader)
		blocks_attach(arenas[1]);
	me.reader = blocks_reader(arenas[1], job->side);
	while ((first = pg_atomic_fetch_add_u32(&job->next_row, ROWS_AT_ONCE)) <
		   job->nrows)
		for (uint32 row = first; row < Min(first + ROWS_AT_ONCE, job->nrows); row++)
		{
			CHECK_FOR_INTERRUPTS();
			if (results[row] == ALS_OK)
				results[row] = solve_row(&me, row);
		}
	blocks_reader_close(me.reader);
}

/* Entry point of a worker. */
void
als_batch_solve_worker(dsm_segment *segment, shm_toc *toc)
{
	parallel_work(toc, solve_rows);
}

/*
 * Copies the factors of the ids to their places in the order of ids, and fills in
 * which of these are those of the columns, whose places among the ids are given.
 */
static void
fill_fixed(ModelCache *cache, BatchSolve *job, IdMap *ids, const uint32 *columns)
{
	AlsSide		other = other_side(job->side);
	uint32		size = idmap_size(ids);
	uint32	   *order = MemoryContextAllocHuge(CurrentMemoryContext,
											   Max(size, 1) * sizeof(uint32));
	Datum	   *values = MemoryContextAllocHuge(CurrentMemoryContext,
												Max(size, 1) * sizeof(Datum));
	uint32	   *places = job_at(job, job->places_offset);
	size_t		stride = als_stride(job->system.rank);
	float	   *fixed = job_at(job, job->fixed_offset);
	float	   *bias = job_at(job, job->bias_offset);

	for (uint32 i = 0; i < size; i++)
		values[i] = idmap_id(ids, i);
	id_places(idmap_type(ids), values, size, order);
	for (uint32 i = 0; i < size; i++)
	{
		const float *row = cache_lookup(cache, other, values[i]);

		CHECK_FOR_INTERRUPTS();
		if (row != NULL)
			fixed_row(cache, other, row, fixed + order[i] * stride,
					  bias + order[i]);
		else
			order[i] = NOT_THERE;
	}
	for (uint32 c = 0; c < job->ncolumns; c++)
		places[c] = columns[c] == NOT_THERE ? NOT_THERE : order[columns[c]];
	pfree(values);
	pfree(order);
}

Arena
batch_solve(ModelCache *cache, AlsSide side, Ratings *ratings,
			const uint32 *wanted, int workers)
{
	AlsSide		other = other_side(side);
	BatchSolve	layout = {.side = side};
	bool		implicit = cache->run.feedback == ALS_IMPLICIT;
	const double *gram = NULL;
	IdMap	   *ids = idmap_create(CurrentMemoryContext, &cache->sides[other].type);
	uint32	   *columns;
	size_t		square;
	size_t		row_bytes;
	size_t		size = 0;
	int			nworkers;
	Arena		arena;
	Arena		blocks;
	Arena	   *arenas[PARALLEL_ARENAS] = {&arena, &blocks};
	BatchSolve *job;
	int		   *results;

	row_system(cache, side, &layout.system);
	/* reads the whole other side, if it can be kept, and so goes first */
	if (implicit)
		gram = kept_gram(cache, other);
	/* ids first, since sorting uses the ratings up */
	columns = ratings_map_ids(ratings, other, ids, true);
	layout.ncolumns = ratings_ids(ratings, other)->size;
	layout.nrows = ratings_ids(ratings, side)->size;

	/* a matrix for each row: summed up from its ratings, factored */
	square = (size_t) layout.system.rank * layout.system.rank;
	row_bytes = als_stride(layout.system.rank) * sizeof(float);
	nworkers = parallel_workers(workers, (double) square *
								(ratings_count(ratings) +
								 (double) layout.nrows * layout.system.rank));
	blocks = blocks_build(ratings, cache->run.feedback,
						  (size_t) maintenance_work_mem * 1024 / 2, nworkers);
	arena_reserve(&size, sizeof(BatchSolve));
	layout.places_offset = arena_reserve(&size, layout.ncolumns * sizeof(uint32));
	layout.fixed_offset = arena_reserve(&size, idmap_size(ids) * row_bytes);
	layout.bias_offset = arena_reserve(&size, idmap_size(ids) * sizeof(float));
	layout.gram_offset = arena_reserve(&size, square * sizeof(double));
	layout.solved_offset = arena_reserve(&size, layout.nrows * row_bytes);
	layout.results_offset = arena_reserve(&size, layout.nrows * sizeof(int));

	arena = arena_create(size, nworkers > 0, "the rows to refresh");
	job = (BatchSolve *) arena.address;
	*job = layout;
	pg_atomic_init_u32(&job->next_row, 0);
	if (implicit)
		memcpy(job_at(job, job->gram_offset), gram, square * sizeof(double));
	fill_fixed(cache, job, ids, columns);
	results = job_at(job, job->results_offset);
	for (uint32 row = 0; row < job->nrows; row++)
		results[row] = wanted[row] == NOT_THERE ? BATCH_NOTHING_KNOWN : ALS_OK;
	parallel_run("als_batch_solve_worker", solve_rows, arenas, nworkers);
	arena_free(&blocks);
	return arena;
}

float *
batch_solve_row(const BatchSolve *job, const ModelCache *cache, uint32 row)
{
	const int  *results = job_at(job, job->results_offset);
	const float *solved = job_at(job, job->solved_offset);

	if (results[row] == BATCH_NOTHING_KNOWN)
		return NULL;
	if (results[row] != ALS_OK)
		reject_row(cache, results[row]);
	return served_row(cache, job->side,
					  solved + row * als_stride(job->system.rank));
}
