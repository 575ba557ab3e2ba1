/*
 * team.h
 *	  A function run by the leader and parallel workers on areas they share.
 */
#ifndef ALS_TEAM_H
#define ALS_TEAM_H

#include "area.h"
#include "fmgr.h"
#include "storage/shm_toc.h"

/* Ratings that blocks_build has sorted, at most this many */
#define TEAM_SETS 2

/*
 * What every participant does until nothing is left; sets that are not there
 * are NULL.
 */
typedef void (*TeamFunction) (Area *area, Area *const sets[TEAM_SETS]);

/*
 * Runs the function here and in as many as nworkers workers, whose entry point
 * in this library is called worker; returns when all are done.  There are none
 * if an area is private, for nworkers is 0 or the server has no segment left.
 */
extern void team_run(const char *worker, TeamFunction function, Area *area,
					 Area *const sets[TEAM_SETS], int nworkers);

/* What the entry point has to do. */
extern void team_work(shm_toc *toc, TeamFunction function);

/*
 * How many workers to ask for: as many as the user has, or if that is below 0
 * as pay for work, counted in floats to read.
 */
extern int	team_size(int asked, double work);

/* The argument workers: -1 if it is null; raises if it is negative. */
extern int	team_size_argument(FunctionCallInfo fcinfo, int argument);

#endif							/* ALS_TEAM_H */
