/*
 * packed.h
 *	  Records of numbers in temporary files, in as few bytes as they differ in.
 */
#ifndef ALS_PACKED_H
#define ALS_PACKED_H

#include "storage/buffile.h"

/* The uint32, or float4, fields of a record, at most */
#define PACKED_FIELDS 4

/* Records of a chunk, at most */
#define PACKED_CHUNK 65536

/* Writes records, in as few chunks as there can be; returns the bytes that they take. */
extern uint64 packed_write(BufFile *file, const void *records, int fields,
						   uint64 size);

/* Reads the next chunk, for which there has to be room; returns its records. */
extern uint32 packed_read(BufFile *file, void *records, int fields);

/* Goes behind the next chunk. */
extern void packed_skip(BufFile *file, int fields);

#endif							/* ALS_PACKED_H */
