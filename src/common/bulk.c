/*
 * bulk.c
 *	  Any amount of memory or of a temporary file, which can be interrupted.
 */
#include "compat.h"

#include <sys/mman.h>

#include "common/bulk.h"
#include "utils/memutils.h"

/* Bytes at a time: some milliseconds, if all pages are new */
#define PIECE (16 * 1024 * 1024)

/*
 * As much is worth huge pages: a TLB does not know it in pages of 4 kB, and malloc maps it
 * by itself, so that the advice ends with it.
 */
#define HUGE_MEMORY (32 * 1024 * 1024)
#define HUGE_PAGE (2 * 1024 * 1024)

void
ask_huge_pages(void *memory, size_t size)
{
#ifdef MADV_HUGEPAGE
	char	   *start = (char *) TYPEALIGN(HUGE_PAGE, memory);
	char	   *end = (char *) TYPEALIGN_DOWN(HUGE_PAGE, (char *) memory + size);

	if (size >= HUGE_MEMORY)
		(void) madvise(start, end - start, MADV_HUGEPAGE);
#endif
}

void *
allocate_large(MemoryContext context, size_t size)
{
	void	   *memory = MemoryContextAllocHuge(context, size);

	ask_huge_pages(memory, size);
	return memory;
}

void
set_large(void *to, int byte, size_t size)
{
	for (size_t done = 0; done < size; done += PIECE)
	{
		CHECK_FOR_INTERRUPTS();
		memset((char *) to + done, byte, Min(size - done, PIECE));
	}
}

void
zero_large(void *to, size_t size)
{
	set_large(to, 0, size);
}

void
copy_large(void *to, const void *from, size_t size)
{
	for (size_t done = 0; done < size; done += PIECE)
	{
		CHECK_FOR_INTERRUPTS();
		memcpy((char *) to + done, (const char *) from + done,
			   Min(size - done, PIECE));
	}
}

void
move_large(void *to, const void *from, size_t size)
{
	for (size_t done = 0; done < size; done += PIECE)
	{
		CHECK_FOR_INTERRUPTS();
		memmove((char *) to + done, (const char *) from + done,
				Min(size - done, PIECE));
	}
}

void
file_read(BufFile *file, void *data, size_t size)
{
	for (size_t done = 0; done < size; done += PIECE)
	{
		CHECK_FOR_INTERRUPTS();
		file_read_exact(file, (char *) data + done, Min(size - done, PIECE));
	}
}

void
file_write(BufFile *file, void *data, size_t size)
{
	for (size_t done = 0; done < size; done += PIECE)
	{
		CHECK_FOR_INTERRUPTS();
		BufFileWrite(file, (char *) data + done, Min(size - done, PIECE));
	}
}

/* Goes to a place as BufFileSeek does, or raises. */
static void
seek_from(BufFile *file, uint64 place, int whence)
{
	if (BufFileSeek(file, 0, (off_t) place, whence) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not seek in temporary file: %m")));
}

void
file_seek(BufFile *file, uint64 place)
{
	seek_from(file, place, SEEK_SET);
}

void
file_skip(BufFile *file, uint64 size)
{
	seek_from(file, size, SEEK_CUR);
}
