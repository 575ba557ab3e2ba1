/*
 * everyone.c
 *	  The k best items for many users, by the leader and its workers.
 *
 * A batch of users goes through the index of the items together, so that a
 * block of it is in the nearest cache for all of them; a user leaves when no
 * later item can be among his best.
 */
#include "compat.h"

#include <math.h>

#include "blocks.h"
#include "everyone.h"
#include "port/pg_bitutils.h"
#include "settings.h"
#include "team.h"
#include "utils/memutils.h"

#define BATCH_USERS 64
#define LEAVING_BLOCKS 8		/* how often to see who may leave */

/* A user in the batch */
typedef struct BatchUser
{
	const float *factors;
	AlsQuery	query;
	AlsRankedItem *best;		/* [k] a heap */
	uint32		size;			/* of the heap */
	float		least;			/* score with which an item may still enter */
	float		least_product;	/* the same without the mean */
	uint64	   *seen;			/* bitmap of the items; NULL: none */
} BatchUser;

/* One participant's view */
typedef struct Server
{
	Everyone   *everyone;
	const AlsIndex *index;
	const AlsKernels *kernels;
	BlockReader *seen;			/* NULL: nothing is left out */
	BatchUser  *users;			/* [BATCH_USERS] */
	BatchUser  *searching[BATCH_USERS]; /* those still looking */
	int			nsearching;
	uint64	   *bitmaps;		/* [BATCH_USERS x words] */
	size_t		words;			/* of a bitmap */
} Server;

PGDLLEXPORT void als_everyone_worker(dsm_segment *segment, shm_toc *toc);

Area
everyone_begin(const Everyone *layout, size_t budget, bool shared)
{
	Everyone	everyone = *layout;
	size_t		row = everyone.stride * sizeof(float);
	size_t		result = everyone.k * sizeof(AlsRankedItem) + sizeof(uint32);
	size_t		size = 0;
	Area		area;

	everyone.round = Min(Max(budget / result, 1), everyone.nusers);
	area_reserve(&size, sizeof(Everyone));
	everyone.users_offset = area_reserve(&size, everyone.nusers * row);
	everyone.items_offset = area_reserve(&size, everyone.nitems * row);
	everyone.index_offset =
		area_reserve(&size, als_index_size(everyone.stride, everyone.nitems));
	everyone.seen_rows_offset =
		area_reserve(&size, everyone.nusers * sizeof(uint32));
	everyone.item_rows_offset =
		area_reserve(&size, everyone.seen_items * sizeof(uint32));
	everyone.best_offset =
		area_reserve(&size, (size_t) everyone.round * everyone.k *
					 sizeof(AlsRankedItem));
	everyone.sizes_offset = area_reserve(&size, everyone.round * sizeof(uint32));

	area = area_create(size, shared, "the recommendations");
	*(Everyone *) area.address = everyone;
	pg_atomic_init_u32(&((Everyone *) area.address)->next_user, 0);
	return area;
}

/* Marks the items that a user has seen. */
static void
read_seen(Server *me, BatchUser *user, uint32 row, uint64 *bitmap)
{
	const uint32 *items = seen_item_rows(me->everyone);
	AlsRows		rows = blocks_read_rows(me->seen, row, row + 1);

	memset(bitmap, 0, me->words * sizeof(uint64));
	for (size_t i = 0; i < rows.start[1] - rows.start[0]; i++)
	{
		uint32		item = items[rows.entries[i].column];

		if (item != NOT_THERE)
			bitmap[item / 64] |= UINT64CONST(1) << item % 64;
	}
	user->seen = bitmap;
}

/* Prepares the user at a place of the batch. */
static void
begin_user(Server *me, uint32 number, int place)
{
	Everyone   *everyone = me->everyone;
	BatchUser  *user = &me->users[place];

	user->factors = everyone_users(everyone) +
		(size_t) number * everyone->stride;
	als_query_prepare(everyone->stride, user->factors, &user->query);
	everyone_best(everyone, number, &user->best);
	user->size = 0;
	user->least = user->least_product = -INFINITY;
	user->seen = NULL;
	if (me->seen != NULL && seen_rows(everyone)[number] != NOT_THERE)
		read_seen(me, user, seen_rows(everyone)[number],
				  me->bitmaps + place * me->words);
	me->searching[place] = user;
}

/* Scores the items of a block that a search has found. */
static inline void
score_found(Server *me, BatchUser *user, size_t block, uint64 found)
{
	Everyone   *everyone = me->everyone;

	for (; found != 0; found &= found - 1)
	{
		uint32		item = als_index_row(me->index, block,
										 pg_rightmost_one_pos64(found));
		const float *row = everyone_items(everyone) +
			(size_t) item * everyone->stride;
		AlsRankedItem scored = {me->kernels->dot(everyone->stride, row,
												 user->factors) +
		everyone->mean, item};

		if (scored.score < user->least ||
			(user->seen != NULL && user->seen[item / 64] >> item % 64 & 1))
			continue;
		als_best_add(user->best, &user->size, everyone->k, scored);
		if (user->size == everyone->k)
		{
			user->least = user->best[0].score;
			user->least_product = als_query_least(user->least, everyone->mean);
		}
	}
}

/* Searches a block for all who are searching, as many at once as can. */
static void
search_block(Server *me, size_t block)
{
	for (int first = 0; first < me->nsearching; first += ALS_INDEX_QUERIES)
	{
		int			n = Min(ALS_INDEX_QUERIES, me->nsearching - first);
		const AlsQuery *queries[ALS_INDEX_QUERIES];
		float		least[ALS_INDEX_QUERIES];
		uint64		found[ALS_INDEX_QUERIES];

		for (int i = 0; i < n; i++)
		{
			queries[i] = &me->searching[first + i]->query;
			least[i] = me->searching[first + i]->least_product;
		}
		als_index_search(me->index, me->kernels, block, n, queries, least,
						 found);
		for (int i = 0; i < n; i++)
			score_found(me, me->searching[first + i], block, found[i]);
	}
}

/* Drops those for whom neither this block nor a later one has anything. */
static void
let_leave(Server *me, size_t block)
{
	int			left = 0;

	for (int i = 0; i < me->nsearching; i++)
	{
		BatchUser  *user = me->searching[i];

		if (als_index_limit(me->index, block, &user->query) +
			me->everyone->mean >= user->least)
			me->searching[left++] = user;
	}
	me->nsearching = left;
}

/* Finds the best for the users [first, last). */
static void
serve_batch(Server *me, uint32 first, uint32 last)
{
	Everyone   *everyone = me->everyone;
	uint32	   *sizes = everyone_at(everyone, everyone->sizes_offset);

	for (uint32 u = first; u < last; u++)
		begin_user(me, u, u - first);
	me->nsearching = last - first;

	for (size_t block = 0;
		 block < als_index_blocks(me->index) && me->nsearching > 0;
		 block++)
	{
		CHECK_FOR_INTERRUPTS();
		if (block % LEAVING_BLOCKS == 0)
			let_leave(me, block);
		search_block(me, block);
	}

	for (uint32 u = first; u < last; u++)
	{
		BatchUser  *user = &me->users[u - first];

		als_best_sort(user->best, user->size, poll_interrupts);
		sizes[u - everyone->first] = user->size;
	}
}

/* What every participant does: serves batches until none is left. */
static void
serve(Area *area, Area *const sets[TEAM_SETS])
{
	Server		me = {0};
	uint32		first;

	me.everyone = (Everyone *) area->address;
	me.index = everyone_at(me.everyone, me.everyone->index_offset);
	me.kernels = chosen_kernels();
	me.users = palloc(BATCH_USERS * sizeof(BatchUser));
	if (sets[0] != NULL)
	{
		me.seen = blocks_reader(sets[0], ALS_USERS);
		me.words = (me.everyone->nitems + 63) / 64;
		me.bitmaps = MemoryContextAllocHuge(CurrentMemoryContext,
											BATCH_USERS * me.words *
											sizeof(uint64));
	}

	while ((first = me.everyone->first +
			pg_atomic_fetch_add_u32(&me.everyone->next_user, BATCH_USERS)) <
		   me.everyone->last)
		serve_batch(&me, first, Min(first + BATCH_USERS, me.everyone->last));

	if (me.seen != NULL)
	{
		blocks_reader_close(me.seen);
		pfree(me.bitmaps);
	}
	pfree(me.users);
}

/* Entry point of a worker. */
void
als_everyone_worker(dsm_segment *segment, shm_toc *toc)
{
	team_work(toc, serve);
}

void
everyone_run(Area *area, Area *seen, uint32 first, int nworkers)
{
	Everyone   *everyone = (Everyone *) area->address;
	Area	   *sets[TEAM_SETS] = {seen, NULL};

	everyone->first = first;
	everyone->last = first + Min(everyone->round, everyone->nusers - first);
	pg_atomic_write_u32(&everyone->next_user, 0);
	team_run("als_everyone_worker", serve, area, sets, nworkers);
}
