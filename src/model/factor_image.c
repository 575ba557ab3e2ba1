/*
 * factor_image.c
 *	  All factors of one side of a model, in one piece of memory.
 *
 * The hash table is open addressing with linear probing, at most half full;
 * nothing is ever deleted.
 */
#include "compat.h"

#include "access/detoast.h"
#include "common/arena.h"
#include "core/als_core.h"
#include "model/factor_image.h"
#include "port/pg_bitutils.h"
#include "utils/datum.h"

size_t
image_id_bytes(const IdType *type, Datum id)
{
	if (type->typbyval)
		return 0;
	if (type->typlen == -1)
		return MAXALIGN(toast_raw_datum_size(id));
	return MAXALIGN(datumGetSize(id, false, type->typlen));
}

/* Finds the place of everything behind the head. */
static Image
layout(uint32 stride, uint32 rows, size_t id_bytes)
{
	Image		image = {0};

	image.capacity = rows;
	image.stride = stride;
	image.mask = pg_nextpower2_64(2 * (uint64) Max(rows, 1)) - 1;
	arena_reserve(&image.size, sizeof(Image));
	image.rows = arena_reserve(&image.size,
							   (size_t) rows * stride * sizeof(float));
	image.ids = arena_reserve(&image.size, rows * sizeof(Datum));
	image.places = arena_reserve(&image.size,
								 (image.mask + 1) * sizeof(uint32));
	image.bytes = arena_reserve(&image.size, id_bytes);
	return image;
}

size_t
image_size(uint32 stride, uint32 rows, size_t id_bytes)
{
	return layout(stride, rows, id_bytes).size;
}

void
image_init(Image *image, uint32 stride, uint32 rows, size_t id_bytes)
{
	*image = layout(stride, rows, id_bytes);
	memset((char *) image + image->places, 0,
		   (image->mask + 1) * sizeof(uint32));
}

/* The same of an integer, without the calls: a training asks for each rating. */
static inline uint32 *
find_integer(const Image *image, const IdType *type, int64 value)
{
	uint32	   *places = (uint32 *) ((char *) image + image->places);
	const Datum *ids = (const Datum *) ((const char *) image + image->ids);
	uint64		place = id_hash_integer(value) & image->mask;

	while (places[place] != 0 &&
		   id_integer(type, ids[places[place] - 1]) != value)
		place = (place + 1) & image->mask;
	return &places[place];
}

/* The place of an id in the hash table, or the free one for it */
static inline uint32 *
find_place(const Image *image, const IdType *type, Datum id)
{
	uint32	   *places = (uint32 *) ((char *) image + image->places);
	uint64		place;

	if (type->integer)
		return find_integer(image, type, id_integer(type, id));
	place = id_hash(type, id) & image->mask;
	while (places[place] != 0 &&
		   !id_equal(type, id, image_id(image, type, places[place] - 1)))
		place = (place + 1) & image->mask;
	return &places[place];
}

/* Stores an id as that of the next row. */
static void
store_id(Image *image, const IdType *type, Datum id)
{
	Datum	   *slot = (Datum *) ((char *) image + image->ids) + image->nrows;
	Datum		copy;
	size_t		size;

	if (type->typbyval)
	{
		*slot = id;
		return;
	}
	copy = id_copy(type, id);
	size = datumGetSize(copy, false, type->typlen);
	if (image->bytes + MAXALIGN(size) > image->size)
		elog(ERROR, "image of factors is too small for its ids");
	memcpy((char *) image + image->bytes, DatumGetPointer(copy), size);
	*slot = (Datum) image->bytes;
	image->bytes += MAXALIGN(size);
	pfree(DatumGetPointer(copy));
}

void
image_add(Image *image, const IdType *type, Datum id, const float *row)
{
	uint32	   *place = find_place(image, type, id);

	if (*place == 0)
	{
		if (image->nrows == image->capacity)
			elog(ERROR, "image of factors is too small");
		store_id(image, type, id);
		*place = ++image->nrows;
	}
	memcpy(image_rows(image) + (size_t) (*place - 1) * image->stride, row,
		   image->stride * sizeof(float));
}

void
image_find_integers(const Image *image, const IdType *type,
					const char *integers, int length, int count, uint32 *rows)
{
	for (int i = 0; i < count; i++)
	{
		int64		value = id_integer_at(integers, length, i);

		/* a place has the row + 1 */
		rows[i] = *find_integer(image, type, value) - 1;
	}
}

bool
image_find(const Image *image, const IdType *type, Datum id, uint32 *row)
{
	uint32		place = *find_place(image, type, id);

	*row = place - 1;
	return place != 0;
}
