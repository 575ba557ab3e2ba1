/*
 * packed.c
 *	  Records of numbers in temporary files, in as few bytes as they differ in.
 *
 * Beyond the caches of the disk, a byte of a file costs more than the arithmetic
 * that saves it.  A chunk of records has for each field its least value, and each
 * record the difference from that, without the low bits in which all agree, in
 * whole bytes (Goldstein, Ramakrishnan and Shaft 1998: a frame of reference).
 * Indices of one partition then have two bytes or three; ratings from 1 to 5, read
 * as integers, one; ratings that are all the same, none.
 */
#include "compat.h"

#include "common/bulk.h"
#include "port/pg_bitutils.h"
#include "port/pg_bswap.h"
#include "ratings/packed.h"

#define SLICE 1024				/* records packed at a time */

/* How a chunk has a field */
typedef struct PackedField
{
	uint32		base;			/* the least value */
	uint16		shift;			/* low bits in which all agree */
	uint16		bytes;			/* of each record */
} PackedField;

/* What a chunk begins with */
typedef struct PackedChunk
{
	uint32		size;			/* records */
	PackedField fields[PACKED_FIELDS];
} PackedChunk;

/* Bytes of that, with so many fields */
static inline size_t
header_size(int fields)
{
	return offsetof(PackedChunk, fields) + fields * sizeof(PackedField);
}

/* Bytes of a record in a chunk */
static inline size_t
record_size(const PackedChunk *chunk, int fields)
{
	size_t		size = 0;

	for (int f = 0; f < fields; f++)
		size += chunk->fields[f].bytes;
	return size;
}

/* A number whose low bytes come first in memory */
static inline uint32
low_bytes_first(uint32 number)
{
#ifdef WORDS_BIGENDIAN
	return pg_bswap32(number);
#else
	return number;
#endif
}

/* The bytes that a field takes, its values being every so many numbers. */
static inline PackedField
measure_field(const uint32 *values, int step, uint32 size)
{
	PackedField field = {0};
	uint32		first = values[0];
	uint32		least = first;
	uint32		most = first;
	uint32		differs = 0;

	for (uint32 i = 1; i < size; i++)
	{
		uint32		value = values[(size_t) i * step];

		least = Min(least, value);
		most = Max(most, value);
		differs |= value ^ first;
	}
	field.base = least;
	if (differs != 0)
	{
		field.shift = pg_rightmost_one_pos32(differs);
		field.bytes = pg_leftmost_one_pos32((most - least) >> field.shift) / 8 + 1;
	}
	return field;
}

/* Packs records; writes three bytes too many. */
static inline void
pack(char *to, const uint32 *records, int fields, uint32 size,
	 PackedChunk chunk)
{
	for (uint32 i = 0; i < size; i++)
		for (int f = 0; f < fields; f++)
		{
			uint32		number = low_bytes_first((*records++ - chunk.fields[f].base) >>
												 chunk.fields[f].shift);

			memcpy(to, &number, sizeof(number));
			to += chunk.fields[f].bytes;
		}
}

/* Unpacks them; reads three bytes too many. */
static inline void
unpack(const char *from, uint32 *records, int fields, uint32 size,
	   PackedChunk chunk)
{
	uint32		masks[PACKED_FIELDS];

	for (int f = 0; f < fields; f++)
		masks[f] = (uint32) ((UINT64CONST(1) << 8 * chunk.fields[f].bytes) - 1);
	for (uint32 i = 0; i < size; i++)
		for (int f = 0; f < fields; f++)
		{
			uint32		number;

			memcpy(&number, from, sizeof(number));
			from += chunk.fields[f].bytes;
			*records++ = chunk.fields[f].base +
				((low_bytes_first(number) & masks[f]) << chunk.fields[f].shift);
		}
}

/* Writes a chunk; returns its bytes. */
static size_t
write_chunk(BufFile *file, const uint32 *numbers, int fields, uint32 size)
{
	char		slice[SLICE * PACKED_FIELDS * sizeof(uint32) + sizeof(uint32)];
	PackedChunk chunk;
	size_t		bytes;

	chunk.size = size;
	for (int f = 0; f < fields; f++)
		chunk.fields[f] = measure_field(numbers + f, fields, size);
	bytes = record_size(&chunk, fields);
	BufFileWrite(file, &chunk, header_size(fields));
	for (uint32 start = 0; start < size; start += SLICE)
	{
		uint32		length = Min(size - start, SLICE);

		CHECK_FOR_INTERRUPTS();
		/* the number of fields known to the compiler */
		switch (fields)
		{
			case 1:
				pack(slice, numbers, 1, length, chunk);
				break;
			case 2:
				pack(slice, numbers, 2, length, chunk);
				break;
			case 3:
				pack(slice, numbers, 3, length, chunk);
				break;
			default:
				pack(slice, numbers, 4, length, chunk);
		}
		BufFileWrite(file, slice, length * bytes);
		numbers += (size_t) length * fields;
	}
	return header_size(fields) + size * bytes;
}

uint64
packed_write(BufFile *file, const void *records, int fields, uint64 size)
{
	const uint32 *numbers = records;
	uint64		bytes = 0;

	for (uint64 start = 0; start < size; start += PACKED_CHUNK)
		bytes += write_chunk(file, numbers + start * fields, fields,
							 (uint32) Min(size - start, PACKED_CHUNK));
	return bytes;
}

uint32
packed_read(BufFile *file, void *records, int fields)
{
	uint32	   *numbers = records;
	char		slice[SLICE * PACKED_FIELDS * sizeof(uint32) + sizeof(uint32)];
	PackedChunk chunk;
	size_t		bytes;

	file_read_exact(file, &chunk, header_size(fields));
	bytes = record_size(&chunk, fields);
	for (uint32 start = 0; start < chunk.size; start += SLICE)
	{
		uint32		length = Min(chunk.size - start, SLICE);

		CHECK_FOR_INTERRUPTS();
		if (bytes > 0)
			file_read_exact(file, slice, length * bytes);
		switch (fields)
		{
			case 1:
				unpack(slice, numbers, 1, length, chunk);
				break;
			case 2:
				unpack(slice, numbers, 2, length, chunk);
				break;
			case 3:
				unpack(slice, numbers, 3, length, chunk);
				break;
			default:
				unpack(slice, numbers, 4, length, chunk);
		}
		numbers += (size_t) length * fields;
	}
	return chunk.size;
}

void
packed_skip(BufFile *file, int fields)
{
	PackedChunk chunk;

	file_read_exact(file, &chunk, header_size(fields));
	file_skip(file, chunk.size * record_size(&chunk, fields));
}
