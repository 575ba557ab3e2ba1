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

#include "common/id_conversion.h"
#include "common/side.h"
#include "ratings/ratings.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* How often each id occurs, by order of arrival */
typedef struct Counts
{
	uint64	   *counts;
	uint32		capacity;
} Counts;

/* Rows whose ids are both integers, until there are enough to look up */
typedef struct Pending
{
	int			count;
	int64		users[IDMAP_BATCH];
	int64		items[IDMAP_BATCH];
	float4		ratings[IDMAP_BATCH];
} Pending;

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
	bool		spilled;		/* they are in a file, or were */
	bool		kept;			/* may be sorted again */
	bool		finished;
};

/* An id with what it is ranked by */
typedef struct RankedId
{
	uint64		count;
	uint64		hash;
	Datum		id;
	uint32		arrival;
} RankedId;

static inline int
compare_ranked(const RankedId *a, const RankedId *b, IdType *type)
{
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return id_compare_image(type, a->id, b->id);
}

#define ST_SORT sort_ranked_ids
#define ST_ELEMENT_TYPE RankedId
#define ST_COMPARE(a, b, arg) compare_ranked(a, b, arg)
#define ST_COMPARE_ARG_TYPE IdType
#define ST_SCOPE static
#define ST_CHECK_FOR_INTERRUPTS
#define ST_DEFINE
#include "lib/sort_template.h"

Ratings *
ratings_begin(MemoryContext parent, const IdType *user_type,
			  const IdType *item_type, const RatingSource *names,
			  size_t memory, bool shared)
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
	triplets_begin(&ratings->triplets, context, memory / sizeof(Rating), shared);
	return ratings;
}

/* Counts one more occurrence of an id. */
static inline void
count_id(Counts *counts, uint32 index, MemoryContext context)
{
	if (index >= counts->capacity)
	{
		uint32		capacity = Max(1024, counts->capacity * 2);

		if (counts->counts == NULL)
			counts->counts = MemoryContextAllocHuge(context,
													capacity * sizeof(uint64));
		else
			counts->counts = repalloc_huge(counts->counts,
										   capacity * sizeof(uint64));
		memset(counts->counts + counts->capacity, 0,
			   (capacity - counts->capacity) * sizeof(uint64));
		counts->capacity = capacity;
	}
	counts->counts[index]++;
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

/* Appends a triplet and counts its ids. */
static inline void
append(Ratings *ratings, uint32 user, uint32 item, float4 rating)
{
	triplets_add(&ratings->triplets, user, item, rating);
	ratings->count++;
	count_id(&ratings->counts[ALS_USERS], user, ratings->context);
	count_id(&ratings->counts[ALS_ITEMS], item, ratings->context);
}

/* Looks up the pending rows and appends them. */
static void
append_pending(Ratings *ratings)
{
	Pending    *pending = &ratings->pending;
	uint32		users[IDMAP_BATCH];
	uint32		items[IDMAP_BATCH];

	idmap_add_integers(ratings->maps[ALS_USERS], pending->users, pending->count, users);
	idmap_add_integers(ratings->maps[ALS_ITEMS], pending->items, pending->count, items);
	for (int i = 0; i < pending->count; i++)
		append(ratings, users[i], items[i], pending->ratings[i]);
	pending->count = 0;
}

void
ratings_add(Ratings *ratings, Datum user, bool user_null,
			Datum item, bool item_null, double rating, bool rating_null)
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

	if (ratings->integers)
	{
		Pending    *pending = &ratings->pending;

		pending->users[pending->count] = id_integer(idmap_type(ratings->maps[ALS_USERS]),
													user);
		pending->items[pending->count] = id_integer(idmap_type(ratings->maps[ALS_ITEMS]),
													item);
		pending->ratings[pending->count] = value;
		if (++pending->count == IDMAP_BATCH)
			append_pending(ratings);
	}
	else
	{
		MemoryContext old = MemoryContextSwitchTo(ratings->row_context);
		uint32		user_index = idmap_add(ratings->maps[ALS_USERS], user);
		uint32		item_index = idmap_add(ratings->maps[ALS_ITEMS], item);

		append(ratings, user_index, item_index, value);
		MemoryContextSwitchTo(old);
		MemoryContextReset(ratings->row_context);
	}
}

/* Ranks one side's ids by falling popularity. */
static void
rank_ids(RatedIds *ranked, IdMap *map, const Counts *counts,
		 MemoryContext context)
{
	uint32		size = idmap_size(map);
	IdType	   *type = unconstify(IdType *, idmap_type(map));
	RankedId   *sorted = MemoryContextAllocHuge(context,
												size * sizeof(RankedId));

	for (uint32 i = 0; i < size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		sorted[i].count = counts->counts[i];
		sorted[i].id = idmap_id(map, i);
		sorted[i].hash = id_hash(type, sorted[i].id);
		sorted[i].arrival = i;
	}
	sort_ranked_ids(sorted, size, type);

	ranked->size = size;
	ranked->ids = MemoryContextAllocHuge(context, size * sizeof(Datum));
	ranked->counts = MemoryContextAllocHuge(context, size * sizeof(uint64));
	ranked->order = MemoryContextAllocHuge(context, size * sizeof(uint32));
	for (uint32 i = 0; i < size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ranked->ids[i] = sorted[i].id;
		ranked->counts[i] = sorted[i].count;
		ranked->order[sorted[i].arrival] = i;
	}
	pfree(sorted);
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
	ratings->triplets.limit = ratings->triplets.limit * 2 / 3;
}

void
ratings_finish(Ratings *ratings)
{
	MemoryContext old;

	if (ratings->finished)
		return;
	append_pending(ratings);
	old = MemoryContextSwitchTo(ratings->row_context);
	for (int side = 0; side < 2; side++)
		rank_ids(&ratings->ranked[side], ratings->maps[side],
				 &ratings->counts[side], ratings->context);
	MemoryContextSwitchTo(old);
	MemoryContextReset(ratings->row_context);
	if (ratings->count > 0)
	{
		pfree(ratings->counts[ALS_USERS].counts);
		pfree(ratings->counts[ALS_ITEMS].counts);
	}

	triplets_finish(&ratings->triplets);
	ratings->spilled = ratings->triplets.file != NULL;
	ratings->finished = true;
}

const Triplets *
ratings_triplets(const Ratings *ratings)
{
	return &ratings->triplets;
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

/* The row of an id: that of an equal one which came before, or the next. */
static uint32
row_of_id(IdMap *different, uint32 *rows, Datum id, uint32 next)
{
	uint32		known = idmap_size(different);
	uint32		index = idmap_add(different, id);

	if (index == known)
		rows[index] = next;
	return rows[index];
}

uint32 *
ratings_map_ids(Ratings *ratings, AlsSide side, IdMap *map, bool add)
{
	RatedIds   *ids = &ratings->ranked[side];
	const IdType *own = idmap_type(ratings->maps[side]);
	const IdType *type = idmap_type(map);
	size_t		bytes = Max(ids->size, 1) * sizeof(uint32);
	uint32	   *indices = MemoryContextAllocHuge(CurrentMemoryContext, bytes);
	MemoryContext working = AllocSetContextCreate(CurrentMemoryContext,
												  "als mapping",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext context = AllocSetContextCreate(working, "als conversion",
												  ALLOCSET_SMALL_SIZES);
	uint32	   *rows = MemoryContextAllocHuge(working, bytes);
	IdMap	   *different = NULL;	/* where some may become the same */
	uint32	   *different_rows = NULL;
	uint32		size = ids->size;
	IdConversion conversion;

	id_conversion_init(&conversion, type, own->type, side_names[side],
					   CurrentMemoryContext);
	if (own->type != type->type || own->collation != type->collation)
	{
		different = idmap_create(working, type);
		different_rows = MemoryContextAllocHuge(working, bytes);
	}
	ids->size = 0;
	for (uint32 i = 0; i < size; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		uint32		index = NOT_THERE;
		Datum		id;

		CHECK_FOR_INTERRUPTS();
		rows[i] = ids->size;
		if (id_convert(&conversion, ids->ids[i], &id))
		{
			if (different != NULL)
				rows[i] = row_of_id(different, different_rows, id, ids->size);
			if (add)
				index = idmap_add(map, id);
			else if (!idmap_find(map, id, &index))
				index = NOT_THERE;
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);

		if (rows[i] < ids->size)
			ids->counts[rows[i]] += ids->counts[i];
		else
		{
			indices[ids->size] = index;
			ids->ids[ids->size] = ids->ids[i];
			ids->counts[ids->size++] = ids->counts[i];
		}
	}
	for (uint32 i = 0; i < size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ids->order[i] = rows[ids->order[i]];
	}
	MemoryContextDelete(working);
	return indices;
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
