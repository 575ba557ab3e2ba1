/*
 * ratings.c
 *	  A source of ratings turned into triplets of dense indices.
 *
 * Rows stream through once.  Ids become indices in order of arrival, which the
 * triplets keep (see triplets.c).  When all is read, each side is ordered by
 * falling popularity, so that hot rows share cache lines and long rows are
 * handed out first; ties are broken by the id's hash, so that the order of
 * arrival has no say.
 */
#include "compat.h"

#include "common/bulk.h"
#include "ratings/handed_ids.h"
#include "ratings/rank_ids.h"
#include "ratings/ratings.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* How often each id occurs, by order of arrival */
typedef struct Counts
{
	uint64	   *counts;
	uint32		capacity;
} Counts;

#define PENDING 32

/*
 * Rows whose ids are both integers wait for the memory that they need: for their
 * places in the maps first, and then, as indices, for their counts.
 */
typedef struct Pending
{
	int			count;
	int64		users[PENDING];
	int64		items[PENDING];
	float4		ratings[PENDING];
	float4		weights[PENDING];
	int			uncounted;
	uint32		indices[2][PENDING];	/* by AlsSide */
} Pending;

/* What a worker hands over, in shared memory */
typedef struct HandedRatings
{
	dsa_pointer next;			/* in the list */
	uint64		count;
	HandedIds	sides[2];
	int			nsources;
	TripletSource sources[FLEXIBLE_ARRAY_MEMBER];
} HandedRatings;

/* The same once the leader has it */
typedef struct Part
{
	uint32		size[2];		/* ids, by side */
	uint32	   *indices[2];		/* [size] their indices in the leader's maps */
	int			nsources;
	TripletSource *sources;
} Part;

struct Ratings
{
	MemoryContext context;
	MemoryContext row_context;	/* reset for every row */
	RatingSource names;			/* of the columns, for messages */
	IdMap	   *maps[2];		/* by AlsSide, as the next two */
	Counts		counts[2];
	RatedIds	ranked[2];		/* once finished */
	bool		integers;		/* both ids are */
	Pending		pending;
	uint64		count;
	Triplets	triplets;
	bool		spilled;		/* some are in a file, or were */
	SharedRatings *shared;		/* NULL: nobody else collects */
	Part	   *parts;			/* what has been handed over */
	int			nparts;
	bool		kept;			/* may be sorted again */
	bool		finished;
};

Ratings *
ratings_begin(MemoryContext parent, const IdType *user_type,
			  const IdType *item_type, const RatingSource *names,
			  bool weighted, size_t memory, bool shared)
{
	MemoryContext context = AllocSetContextCreate(parent, "als ratings",
												  ALLOCSET_DEFAULT_SIZES);
	Ratings    *ratings = MemoryContextAllocZero(context, sizeof(Ratings));

	ratings->context = context;
	ratings->row_context = AllocSetContextCreate(context, "als rating",
												 ALLOCSET_SMALL_SIZES);
	ratings->names = *names;
	ratings->maps[ALS_USERS] = idmap_create(context, user_type);
	ratings->maps[ALS_ITEMS] = idmap_create(context, item_type);
	ratings->integers = user_type->integer && item_type->integer;
	triplets_begin(&ratings->triplets, context, weighted,
				   memory / rating_size(weighted), shared);
	return ratings;
}

/* Counts more occurrences of an id. */
static inline void
count_id(Counts *counts, uint32 index, uint64 more, MemoryContext context)
{
	if (index >= counts->capacity)
	{
		uint32		capacity = Max(1024, counts->capacity * 2);
		size_t		known = counts->capacity * sizeof(uint64);
		size_t		size = capacity * sizeof(uint64);
		uint64	   *larger = allocate_large(context, size);

		if (known > 0)
		{
			copy_large(larger, counts->counts, known);
			pfree(counts->counts);
		}
		zero_large(larger + counts->capacity, size - known);
		counts->counts = larger;
		counts->capacity = capacity;
	}
	counts->counts[index] += more;
}

/* Raises for a row without a usable id. */
static void
reject_null_id(const Ratings *ratings, const char *column,
			   const char *other_column, const IdType *other_type,
			   Datum other, bool other_null)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("column \"%s\" of the ratings contains a null value",
					column),
			 errdetail("It is in a row whose \"%s\" is %s.", other_column,
					   other_null ? "null too" :
					   id_to_text(other_type, other)),
			 errhint("Use a SELECT that leaves such rows out.")));
}

/* Raises for a rating that is no finite real. */
static void
reject_rating(const Ratings *ratings, Datum user, Datum item,
			  double rating, bool rating_null)
{
	const char *column = ratings->names.rating_column ?
		ratings->names.rating_column : "rating";
	char	   *user_text = id_to_text(idmap_type(ratings->maps[ALS_USERS]), user);
	char	   *item_text = id_to_text(idmap_type(ratings->maps[ALS_ITEMS]), item);

	if (rating_null)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("column \"%s\" of the ratings contains a null value",
						column),
				 errdetail("It is the rating of item %s by user %s.",
						   item_text, user_text),
				 errhint("Use a SELECT that leaves such rows out, or pass rating_column => NULL to count every row as 1.")));
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("column \"%s\" of the ratings contains the value %g",
					column, rating),
			 errdetail("It is the rating of item %s by user %s; ratings must be finite and within the range of type real.",
					   item_text, user_text),
			 errhint("Use a SELECT that leaves such rows out.")));
}

/* Raises for a weight that is not valid. */
static void
reject_weight(const Ratings *ratings, Datum user, Datum item, double weight)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("a rating has the weight %g", weight),
			 errdetail("It is the rating of item %s by user %s; weights must be 0 or more and within the range of type real.",
					   id_to_text(idmap_type(ratings->maps[ALS_ITEMS]), item),
					   id_to_text(idmap_type(ratings->maps[ALS_USERS]), user)),
			 errhint("Use a SELECT that leaves such rows out.")));
}

/* Appends a triplet. */
static inline void
append(Ratings *ratings, uint32 user, uint32 item, float4 rating, float4 weight)
{
	triplets_add(&ratings->triplets, user, item, rating, weight);
	ratings->count++;
}

/* Counts the ids of a triplet. */
static inline void
count_ids(Ratings *ratings, uint32 user, uint32 item)
{
	count_id(&ratings->counts[ALS_USERS], user, 1, ratings->context);
	count_id(&ratings->counts[ALS_ITEMS], item, 1, ratings->context);
}

/* Counts the ids of the pending rows that have been appended. */
static void
count_pending(Ratings *ratings)
{
	Pending    *pending = &ratings->pending;

	for (int i = 0; i < pending->uncounted; i++)
		count_ids(ratings, pending->indices[ALS_USERS][i],
				  pending->indices[ALS_ITEMS][i]);
	pending->uncounted = 0;
}

/* Looks up the pending rows and appends them, and counts those before. */
static void
append_pending(Ratings *ratings)
{
	Pending    *pending = &ratings->pending;

	count_pending(ratings);
	for (int i = 0; i < pending->count; i++)
	{
		uint32		user = idmap_add_integer(ratings->maps[ALS_USERS],
											 pending->users[i]);
		uint32		item = idmap_add_integer(ratings->maps[ALS_ITEMS],
											 pending->items[i]);

		__builtin_prefetch(&ratings->counts[ALS_USERS].counts[user], 1);
		__builtin_prefetch(&ratings->counts[ALS_ITEMS].counts[item], 1);
		append(ratings, user, item, pending->ratings[i], pending->weights[i]);
		pending->indices[ALS_USERS][i] = user;
		pending->indices[ALS_ITEMS][i] = item;
	}
	pending->uncounted = pending->count;
	pending->count = 0;
}

/* Does so with all that are left. */
static void
finish_pending(Ratings *ratings)
{
	append_pending(ratings);
	count_pending(ratings);
}

void
ratings_add(Ratings *ratings, Datum user, bool user_null,
			Datum item, bool item_null, double rating, bool rating_null,
			double weight)
{
	float4		value = (float4) rating;

	if (unlikely(user_null))
		reject_null_id(ratings, ratings->names.user_column,
					   ratings->names.item_column, idmap_type(ratings->maps[ALS_ITEMS]),
					   item, item_null);
	if (unlikely(item_null))
		reject_null_id(ratings, ratings->names.item_column,
					   ratings->names.user_column, idmap_type(ratings->maps[ALS_USERS]),
					   user, user_null);
	if (unlikely(rating_null || !rating_is_real(rating)))
		reject_rating(ratings, user, item, rating, rating_null);
	if (ratings->triplets.weighted && unlikely(!weight_is_valid(weight)))
		reject_weight(ratings, user, item, weight);

	if (ratings->integers)
	{
		Pending    *pending = &ratings->pending;
		int64		user_integer = id_integer(idmap_type(ratings->maps[ALS_USERS]),
											  user);
		int64		item_integer = id_integer(idmap_type(ratings->maps[ALS_ITEMS]),
											  item);

		idmap_prefetch_integer(ratings->maps[ALS_USERS], user_integer);
		idmap_prefetch_integer(ratings->maps[ALS_ITEMS], item_integer);
		pending->users[pending->count] = user_integer;
		pending->items[pending->count] = item_integer;
		pending->ratings[pending->count] = value;
		pending->weights[pending->count] = (float4) weight;
		if (++pending->count == PENDING)
			append_pending(ratings);
	}
	else
	{
		MemoryContext old = MemoryContextSwitchTo(ratings->row_context);
		uint32		user_index = idmap_add(ratings->maps[ALS_USERS], user);
		uint32		item_index = idmap_add(ratings->maps[ALS_ITEMS], item);

		append(ratings, user_index, item_index, value, (float4) weight);
		count_ids(ratings, user_index, item_index);
		MemoryContextSwitchTo(old);
		MemoryContextReset(ratings->row_context);
	}
}

void
reject_no_ratings(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("there are no ratings to train from"),
			 errhint("Check that the relation or query returns rows.")));
}

void
ratings_keep(Ratings *ratings)
{
	ratings->kept = true;
	/* for they stay beside what is made of them */
	ratings->triplets.room->limit = ratings->triplets.room->limit * 2 / 3;
}

Arena
shared_ratings_create(size_t size, bool weighted, size_t memory, dsa_area **area)
{
	Arena		arena = triplet_store_create(size, area);

	if (arena.segment != NULL)
	{
		SharedRatings *shared = (SharedRatings *) arena.address;

		triplet_room_init(&shared->room, memory / rating_size(weighted));
		SpinLockInit(&shared->mutex);
		shared->parts = InvalidDsaPointer;
	}
	return arena;
}

void
ratings_join(Ratings *ratings, const Arena *arena, dsa_area *area)
{
	ratings->shared = (SharedRatings *) arena->address;
	triplets_join(&ratings->triplets, &ratings->shared->room, arena, area);
}

void
ratings_hand_over(Ratings *ratings)
{
	SharedRatings *shared = ratings->shared;
	Triplets   *triplets = &ratings->triplets;
	dsa_area   *area = triplets->area;
	int			nsources;
	dsa_pointer place;
	HandedRatings *handed;

	finish_pending(ratings);
	triplets_finish(triplets);
	nsources = triplets_nsources(triplets);
	place = arena_area_allocate(area, offsetof(HandedRatings, sources) +
								nsources * sizeof(TripletSource), "ids");
	handed = dsa_get_address(area, place);
	handed->count = ratings->count;
	handed->nsources = nsources;
	triplets_sources(triplets, handed->sources);
	for (int side = 0; side < 2; side++)
		hand_over_ids(&handed->sides[side], ratings->maps[side],
					  ratings->counts[side].counts, area);
	SpinLockAcquire(&shared->mutex);
	handed->next = shared->parts;
	shared->parts = place;
	SpinLockRelease(&shared->mutex);
	triplets_leave(triplets);
}

/* Takes what workers have handed over. */
static void
take_parts(Ratings *ratings)
{
	dsa_area   *area = ratings->triplets.area;
	HandedRatings *handed;

	for (dsa_pointer place = ratings->shared->parts; DsaPointerIsValid(place);
		 place = handed->next)
	{
		MemoryContext old = MemoryContextSwitchTo(ratings->context);
		Part	   *part;

		ratings->parts = ratings->parts == NULL ? palloc(sizeof(Part)) :
			repalloc(ratings->parts, (ratings->nparts + 1) * sizeof(Part));
		part = &ratings->parts[ratings->nparts++];
		handed = dsa_get_address(area, place);
		ratings->count += handed->count;
		part->nsources = handed->nsources;
		part->sources = palloc(Max(part->nsources, 1) * sizeof(TripletSource));
		for (int i = 0; i < part->nsources; i++)
		{
			TripletSource *source = &part->sources[i];

			*source = handed->sources[i];
			source->part = ratings->nparts;
			if (source->address != NULL)
				source->address = dsa_get_address(area, source->shared);
		}
		MemoryContextSwitchTo(old);
		for (int side = 0; side < 2; side++)
		{
			const HandedIds *ids = &handed->sides[side];
			const uint64 *counts = dsa_get_address(area, ids->counts);

			part->size[side] = ids->size;
			part->indices[side] = take_ids(ids, ratings->maps[side], area,
										   ratings->context, ratings->row_context);
			for (uint32 i = 0; i < ids->size; i++)
			{
				CHECK_FOR_INTERRUPTS();
				count_id(&ratings->counts[side], part->indices[side][i], counts[i],
						 ratings->context);
			}
		}
	}
}

void
ratings_finish(Ratings *ratings)
{
	MemoryContext old;

	if (ratings->finished)
		return;
	finish_pending(ratings);
	triplets_finish(&ratings->triplets);
	if (ratings->shared != NULL)
		take_parts(ratings);
	ratings->spilled = triplets_spilled(&ratings->triplets);
	if (ratings->count == 0)
		triplets_free(&ratings->triplets);
	old = MemoryContextSwitchTo(ratings->row_context);
	for (int side = 0; side < 2; side++)
		rank_ids(&ratings->ranked[side], ratings->maps[side],
				 ratings->counts[side].counts, ratings->context);
	MemoryContextSwitchTo(old);
	MemoryContextReset(ratings->row_context);
	if (ratings->count > 0)
	{
		pfree(ratings->counts[ALS_USERS].counts);
		pfree(ratings->counts[ALS_ITEMS].counts);
	}
	ratings->finished = true;
}

int
ratings_parts(const Ratings *ratings)
{
	return ratings->nparts + 1;
}

uint32
ratings_part_ids(const Ratings *ratings, int part, AlsSide side)
{
	return part == 0 ? idmap_size(ratings->maps[side]) :
		ratings->parts[part - 1].size[side];
}

void
ratings_part_order(const Ratings *ratings, int part, AlsSide side, uint32 *rows)
{
	const uint32 *order = ratings->ranked[side].order;
	uint32		size = ratings_part_ids(ratings, part, side);

	if (part == 0)
	{
		copy_large(rows, order, size * sizeof(uint32));
		return;
	}
	for (uint32 i = 0; i < size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		rows[i] = order[ratings->parts[part - 1].indices[side][i]];
	}
}

int
ratings_nsources(const Ratings *ratings)
{
	int			nsources = triplets_nsources(&ratings->triplets);

	for (int i = 0; i < ratings->nparts; i++)
		nsources += ratings->parts[i].nsources;
	return nsources;
}

void
ratings_sources(const Ratings *ratings, TripletSource *sources)
{
	triplets_sources(&ratings->triplets, sources);
	sources += triplets_nsources(&ratings->triplets);
	for (int i = 0; i < ratings->nparts; i++)
	{
		memcpy(sources, ratings->parts[i].sources,
			   ratings->parts[i].nsources * sizeof(TripletSource));
		sources += ratings->parts[i].nsources;
	}
}

Arena *
ratings_store(Ratings *ratings)
{
	return ratings->triplets.store.segment != NULL ?
		&ratings->triplets.store : NULL;
}

void
ratings_use_up(Ratings *ratings)
{
	if (!ratings->kept)
		triplets_free(&ratings->triplets);
}

void
ratings_close(Ratings *ratings)
{
	triplets_free(&ratings->triplets);
}

uint64
ratings_count(const Ratings *ratings)
{
	return ratings->count;
}

bool
ratings_spilled(const Ratings *ratings)
{
	return ratings->spilled;
}

bool
ratings_weighted(const Ratings *ratings)
{
	return ratings->triplets.weighted;
}

const RatedIds *
ratings_ids(const Ratings *ratings, AlsSide side)
{
	return &ratings->ranked[side];
}

IdMap *
ratings_map(const Ratings *ratings, AlsSide side)
{
	return ratings->maps[side];
}

void
reject_unhashable(Oid type, const char *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FUNCTION),
			 errmsg("column \"%s\" of type %s cannot hold ids", column,
					format_type_be(type)),
			 errdetail("The type has no default hash operator class."),
			 errhint("Use a SELECT that casts the ids, to text for example.")));
}
