/*
 * blas_loader.c
 *	  Loading BLAS and LAPACK into a server process, without their threads.
 *
 * A PostgreSQL backend is single-threaded, and the usual OpenBLAS starts a
 * thread per core in its constructor: too early for any call to prevent, and
 * with PostgreSQL's signals unblocked, so that its handlers could run there.
 * Therefore BLAS is not among als.so's dependencies.  It stands behind
 * als_blas.so, which is loaded here, at first use, with the environment that
 * tells every BLAS to stay with one thread and with all signals blocked
 * meanwhile.  Whatever starts a thread all the same is refused.
 */
#include "compat.h"

#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <unistd.h>

#include "common/blas_loader.h"
#include "storage/ipc.h"

static const AlsBlas *loaded = NULL;

/* The library is there, and so are its threads: refused for good. */
static bool refused = false;

/* Whether BLAS has ended the process, and whether that would be seen */
static bool exits = false;
static bool watched = false;

/* Raises for a BLAS with threads of its own. */
static void
refuse_threads(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("the BLAS library starts threads of its own"),
			 errdetail("A server process has to stay single-threaded."),
			 errhint("Install a BLAS that obeys OPENBLAS_NUM_THREADS or OMP_NUM_THREADS, or one without threads such as libopenblas0-serial, and reconnect.")));
}

/* The threads of this process; 1 where the system does not say. */
static int
count_threads(void)
{
	DIR		   *tasks = opendir("/proc/self/task");
	struct dirent *task;
	int			count = 0;

	if (tasks == NULL)
		return 1;
	while ((task = readdir(tasks)) != NULL)
		if (task->d_name[0] != '.')
			count++;
	closedir(tasks);
	return count;
}

/*
 * BLAS may end the process by exit(), as libgfortran does when it cannot have memory.  Says
 * so: of a worker the leader would not hear otherwise, and wait at the barrier forever, since
 * PostgreSQL signals to it before it closes the queue.
 */
static void
report_exit(int code, Datum arg)
{
	/* not by proc_exit() */
	if (code != -1)
		return;
	exits = true;
	ereport(FATAL,
			(errcode(ERRCODE_SYSTEM_ERROR),
			 errmsg("the BLAS library has ended the process"),
			 errhint("The server log has what it said. Most likely memory is short.")));
}

/*
 * After what PostgreSQL does about shared memory.  The callbacks of a library that is
 * half initialized crash, and with them the server would.
 */
static void
exit_at_once(int code, Datum arg)
{
	if (exits)
		_exit(1);
}

const AlsBlas *
blas_load(void)
{
	static const char *const settings[] = {
		"OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS",
		"BLIS_NUM_THREADS", "MKL_NUM_THREADS"
	};
	char		path[MAXPGPATH];
	Dl_info		self;
	sigset_t	all;
	sigset_t	old;
	void	   *library;
	const AlsBlas *table = NULL;
	const char *failure = NULL;
	int			threads;

	if (loaded != NULL)
		return loaded;
	if (refused)
		refuse_threads();

	/* it lies beside the library that this function is in */
	if (dladdr((void *) &loaded, &self) == 0)
		elog(ERROR, "dladdr failed");
	strlcpy(path, self.dli_fname, sizeof(path));
	get_parent_directory(path);
	join_path_components(path, path, "als_blas" DLSUFFIX);
	for (size_t i = 0; i < lengthof(settings); i++)
		setenv(settings[i], "1", 1);

	if (!watched)
	{
		before_shmem_exit(report_exit, 0);
		on_proc_exit(exit_at_once, 0);
		watched = true;
	}

	threads = count_threads();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (library != NULL)
		table = dlsym(library, "als_blas");
	if (table == NULL)
		failure = dlerror();
	pthread_sigmask(SIG_SETMASK, &old, NULL);

	if (table == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FILE),
				 errmsg("could not load library \"%s\": %s", path, failure),
				 errhint("Install BLAS and LAPACK, for example the package libopenblas0.")));
	refused = count_threads() > threads;
	if (refused)
		refuse_threads();
	loaded = table;
	return loaded;
}
