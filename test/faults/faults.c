/*
 * faults.c
 *	  Makes one request of a server process fail: the n-th for memory, for a segment of
 *	  dynamic shared memory, or for room on the disk.
 *
 * test/t/075_faults.pl loads this into a server by LD_PRELOAD.  Both share a file, whose
 * name is in ALS_FAULTS: the test writes what to fail, all processes count.  Only the
 * process named there is meant, and those that are forked afterwards: its workers.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum Kind
{
	NOTHING, MEMORY, SEGMENT, DISK
};

/* The file; the test packs and unpacks it as such. */
typedef struct Faults
{
	int64_t		kind;
	int64_t		round;			/* counts up whenever it is written */
	int64_t		process;
	int64_t		fail_at;		/* which request; 0: none, they are counted */
	int64_t		requests;		/* so far */
} Faults;

static volatile Faults *faults;
static int64_t me;
static int64_t born;			/* in which round */
static char *als_start;			/* where als.so is */
static char *als_end;

/*
 * PostgreSQL would leave something: the file of a segment that it makes, or a folder that
 * it removes.
 */
static int	spared;

/* glibc's own, which must not be looked up: that allocates. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *pointer, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static void
after_fork(void)
{
	me = getpid();
	born = faults->round;
}

__attribute__((constructor)) static void
attach(void)
{
	const char *path = getenv("ALS_FAULTS");
	int			fd = path ? (int) syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0) : -1;
	void	   *address;

	if (fd < 0)
		return;
	address = (void *) syscall(SYS_mmap, NULL, sizeof(Faults),
							   PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (address == MAP_FAILED)
		return;
	faults = address;
	me = getpid();
	pthread_atfork(NULL, NULL, after_fork);
}

/* Looks for als.so, and notes which addresses it has. */
static int
note_als(struct dl_phdr_info *library, size_t size, void *arg)
{
	(void) size;
	(void) arg;
	if (strstr(library->dlpi_name, "/als.so") == NULL)
		return 0;
	for (int i = 0; i < library->dlpi_phnum; i++)
		if (library->dlpi_phdr[i].p_type == PT_LOAD &&
			(library->dlpi_phdr[i].p_flags & PF_X))
		{
			als_start = (char *) library->dlpi_addr + library->dlpi_phdr[i].p_vaddr;
			als_end = als_start + library->dlpi_phdr[i].p_memsz;
		}
	return 1;
}

/*
 * Counts a request; returns whether it is to fail.  Of workers only those of als are meant:
 * PostgreSQL takes a lack of memory at their start for wrong values of settings.  The
 * server's log has whose the request was.
 */
static int
fails(int64_t kind)
{
	static int	inside = 0;		/* the first backtrace allocates */
	void	   *frames[64];
	int			depth;
	int			meant;
	int			result = 0;

	if (faults == NULL || faults->kind != kind || inside ||
		(me != faults->process && born != faults->round))
		return 0;
	inside = 1;
	depth = backtrace(frames, 64);
	meant = me == faults->process;
	if (!meant && als_start == NULL)
		dl_iterate_phdr(note_als, NULL);
	for (int i = 0; i < depth && !meant; i++)
		meant = (char *) frames[i] >= als_start && (char *) frames[i] < als_end;
	if (meant &&
		__atomic_add_fetch(&faults->requests, 1, __ATOMIC_SEQ_CST) == faults->fail_at)
	{
		backtrace_symbols_fd(frames, depth, STDERR_FILENO);
		result = 1;
	}
	inside = 0;
	return result;
}

/* Whether a file lies in a folder of the data directory. */
static int
lies_in(int fd, const char *folder)
{
	char		link[64];
	char		path[4096];
	ssize_t		length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof(path) - 1);
	if (length < 0)
		return 0;
	path[length] = '\0';
	return strstr(path, folder) != NULL;
}

static int
full(int fd)
{
	int			saved = errno;
	int			result;

	if (faults == NULL || (faults->kind != DISK && faults->kind != SEGMENT))
		return 0;
	result = lies_in(fd, faults->kind == DISK ? "/base/" : "/pg_dynshmem/") &&
		fails(faults->kind);
	errno = result ? ENOSPC : saved;
	return result;
}

/*
 * Memory
 */

#define OR_FAIL(kind, code, failure, call) \
	(fails(kind) ? (errno = (code), (failure)) : (call))

void *
malloc(size_t size)
{
	return spared ? __libc_malloc(size) :
		OR_FAIL(MEMORY, ENOMEM, NULL, __libc_malloc(size));
}

void *
calloc(size_t n, size_t size)
{
	return OR_FAIL(MEMORY, ENOMEM, NULL, __libc_calloc(n, size));
}

void *
realloc(void *pointer, size_t size)
{
	return OR_FAIL(MEMORY, ENOMEM, NULL, __libc_realloc(pointer, size));
}

int
posix_memalign(void **pointer, size_t alignment, size_t size)
{
	void	   *result = fails(MEMORY) ? NULL : __libc_memalign(alignment, size);

	if (result == NULL)
		return ENOMEM;
	*pointer = result;
	return 0;
}

/*
 * Files
 */

#define REAL(name) \
	static __typeof__(&name) real; \
	if (real == NULL) \
		real = (__typeof__(&name)) dlsym(RTLD_NEXT, #name)

#define DEFINE_MMAP(name, off) \
void * \
name(void *address, size_t length, int protection, int flags, int fd, off offset) \
{ \
	REAL(name); \
	spared = 0; \
	if ((flags & MAP_SHARED) && fd >= 0 && faults != NULL && \
		faults->kind == SEGMENT && lies_in(fd, "/pg_dynshmem/") && fails(SEGMENT)) \
	{ \
		errno = ENOMEM; \
		return MAP_FAILED; \
	} \
	return real(address, length, protection, flags, fd, offset); \
}

#define DEFINE_OPEN(name) \
int \
name(const char *path, int flags, ...) \
{ \
	va_list		arguments; \
	mode_t		mode; \
	REAL(name); \
	va_start(arguments, flags); \
	mode = flags & (O_CREAT | O_TMPFILE) ? (mode_t) va_arg(arguments, int) : 0; \
	va_end(arguments); \
	if (strncmp(path, "pg_dynshmem/", 12) == 0) \
	{ \
		if (fails(SEGMENT)) \
		{ \
			errno = ENFILE; \
			return -1; \
		} \
		spared = (flags & O_CREAT) != 0; \
	} \
	return real(path, flags, mode); \
}

#define DEFINE_PWRITE(name, off) \
ssize_t \
name(int fd, const void *bytes, size_t length, off offset) \
{ \
	REAL(name); \
	return full(fd) ? -1 : real(fd, bytes, length, offset); \
}

#define DEFINE_PWRITEV(name, off) \
ssize_t \
name(int fd, const struct iovec *pieces, int count, off offset) \
{ \
	REAL(name); \
	return full(fd) ? -1 : real(fd, pieces, count, offset); \
}

#define DEFINE_FALLOCATE(name, off) \
int \
name(int fd, off offset, off length) \
{ \
	REAL(name); \
	return full(fd) ? ENOSPC : real(fd, offset, length); \
}

DEFINE_MMAP(mmap, off_t)
DEFINE_MMAP(mmap64, off64_t)
DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_PWRITE(pwrite, off_t)
DEFINE_PWRITE(pwrite64, off64_t)
DEFINE_PWRITEV(pwritev, off_t)
DEFINE_PWRITEV(pwritev64, off64_t)
DEFINE_FALLOCATE(posix_fallocate, off_t)
DEFINE_FALLOCATE(posix_fallocate64, off64_t)

DIR *
opendir(const char *path)
{
	DIR		   *result;

	REAL(opendir);
	spared = 1;
	result = real(path);
	spared = 0;
	return result;
}

ssize_t
write(int fd, const void *bytes, size_t length)
{
	REAL(write);
	return full(fd) ? -1 : real(fd, bytes, length);
}
