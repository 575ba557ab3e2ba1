/*
 * parallel.h
 *	  A function run by the leader and its parallel workers together, on memory
 *	  that they share.
 */
#ifndef ALS_PARALLEL_H
#define ALS_PARALLEL_H

#include "common/arena.h"
#include "storage/barrier.h"
#include "storage/shm_toc.h"

/* Arenas that the processes share, at most */
#define PARALLEL_ARENAS 4

/* One of the processes that run a function together, as it sees itself */
typedef struct ParallelProcess
{
	bool		leader;
	int			number;			/* from 0, the leader, to processes - 1 */
	int			processes;		/* how many they are */
	Barrier    *barrier;		/* NULL if there are no workers */
} ParallelProcess;

/* What each of them does; arenas that are not there are NULL. */
typedef void (*ParallelFunction) (const ParallelProcess *process,
								  Arena *const arenas[PARALLEL_ARENAS]);

/*
 * Runs the function here and in as many as nworkers workers, whose entry point
 * in this library is called worker; all begin when it is known how many they
 * are.  There are no workers if an arena is private, for nworkers is 0 or the
 * server has no segment left.  Returns how many there were when all are done;
 * an error of a worker is raised here.
 */
extern int	parallel_run(const char *worker, ParallelFunction function,
						 Arena *const arenas[PARALLEL_ARENAS], int nworkers);

/* What the entry point has to do. */
extern void parallel_work(shm_toc *toc, ParallelFunction function);

/* Ends a phase: no process goes on before all have come. */
extern void parallel_wait(const ParallelProcess *process);

/*
 * How many workers to ask for: as many as the user has, or if that is below 0
 * as pay for work, counted in floats to read.
 */
extern int	parallel_workers(int asked, double work);

#endif							/* ALS_PARALLEL_H */
