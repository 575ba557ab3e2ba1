/*
 * bulk.h
 *	  Any amount of memory or of a temporary file, which can be interrupted.
 */
#ifndef ALS_BULK_H
#define ALS_BULK_H

#include "storage/buffile.h"

/*
 * Asks for huge pages where memory is large, before it is touched: for what is read here
 * and there, and so misses the TLB.  What the kernel answers does not matter.
 */
extern void ask_huge_pages(void *memory, size_t size);

/* Allocates it in a context, and asks for them. */
extern void *allocate_large(MemoryContext context, size_t size);

/* memset, also to zero, and memcpy */
extern void set_large(void *to, int byte, size_t size);
extern void zero_large(void *to, size_t size);
extern void copy_large(void *to, const void *from, size_t size);

/* memmove to somewhere before */
extern void move_large(void *to, const void *from, size_t size);

/* Read exactly size bytes, or write them, or raise. */
extern void file_read(BufFile *file, void *data, size_t size);
extern void file_write(BufFile *file, void *data, size_t size);

/* Go to a place from the start, or so much further, or raise. */
extern void file_seek(BufFile *file, uint64 place);
extern void file_skip(BufFile *file, uint64 size);

#endif							/* ALS_BULK_H */
