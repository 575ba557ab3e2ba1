/*
 * factor_image.h
 *	  All factors of one side of a model, in one piece of memory that may lie
 *	  at a different address in every backend.
 *
 * Behind the head come the rows, the ids, a hash table that finds them, and
 * the bytes of those that are not passed by value.  All distances are counted
 * from the head, which is aligned to ALS_ALIGNMENT.
 */
#ifndef ALS_FACTOR_IMAGE_H
#define ALS_FACTOR_IMAGE_H

#include "common/ids.h"

typedef struct Image
{
	uint32		nrows;
	uint32		capacity;		/* rows that there is room for */
	uint32		stride;			/* floats of a row */
	uint64		mask;			/* places of the hash table - 1 */
	size_t		rows;			/* where float [capacity x stride] is */
	size_t		ids;			/* Datum [capacity], or distances of bytes */
	size_t		places;			/* uint32 [mask + 1]: row + 1, 0 if free */
	size_t		bytes;			/* the next free one */
	size_t		size;			/* of it all */
} Image;

/* Bytes that an id takes beside its Datum: as stored, perhaps packed. */
extern size_t image_id_bytes(const IdType *type, Datum id);

/* Bytes of an image of so many rows, whose ids take so many bytes in all. */
extern size_t image_size(uint32 stride, uint32 rows, size_t id_bytes);

/* Makes an empty image of all that. */
extern void image_init(Image *image, uint32 stride, uint32 rows,
					   size_t id_bytes);

/*
 * Adds a row [stride]; an id that is there already gets it instead of its
 * own.  The rows of image_init are not exceeded.
 */
extern void image_add(Image *image, const IdType *type, Datum id,
					  const float *row);

/* The row of an id; false if it is not there. */
extern bool image_find(const Image *image, const IdType *type, Datum id,
					   uint32 *row);

/*
 * The rows of integers of length bytes each, one after another; IMAGE_NO_ROW of those that
 * are not there.  The ids are of an integer type too, perhaps of another length.
 */
#define IMAGE_NO_ROW PG_UINT32_MAX
extern void image_find_integers(const Image *image, const IdType *type,
								const char *integers, int length, int count,
								uint32 *rows);

/* All rows */
static inline float *
image_rows(const Image *image)
{
	return (float *) ((char *) image + image->rows);
}

/* The id of a row, which belongs to the image */
static inline Datum
image_id(const Image *image, const IdType *type, uint32 row)
{
	Datum		id = ((Datum *) ((char *) image + image->ids))[row];

	return type->typbyval ? id : PointerGetDatum((char *) image + id);
}

#endif							/* ALS_FACTOR_IMAGE_H */
