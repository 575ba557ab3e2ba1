/*
 * team.c
 *	  A function run by the leader and parallel workers on areas they share.
 */
#include "compat.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "blocks.h"
#include "team.h"

/* Key of the parallel context's table of contents */
#define KEY_HANDLES 1

/* Floats read that make another worker worth its start */
#define WORK_PER_WORKER (64.0 * 1024 * 1024)

/* The segments that a worker maps */
typedef struct TeamHandles
{
	dsm_handle	area;
	dsm_handle	sets[TEAM_SETS];	/* DSM_HANDLE_INVALID: not there */
} TeamHandles;

int
team_size_argument(FunctionCallInfo fcinfo, int argument)
{
	int			workers;

	if (PG_ARGISNULL(argument))
		return -1;
	workers = PG_GETARG_INT32(argument);
	if (workers < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("workers must not be %d", workers),
				 errhint("It is the number of parallel workers to ask for, or null.")));
	return workers;
}

int
team_size(int asked, double work)
{
	if (asked >= 0)
		return Min(asked, max_parallel_maintenance_workers);
	return (int) Min(work / WORK_PER_WORKER, max_parallel_maintenance_workers);
}

void
team_work(shm_toc *toc, TeamFunction function)
{
	TeamHandles *handles = shm_toc_lookup(toc, KEY_HANDLES, false);
	Area		area = area_attach(handles->area);
	Area		areas[TEAM_SETS];
	Area	   *sets[TEAM_SETS] = {NULL};

	for (int set = 0; set < TEAM_SETS; set++)
		if (handles->sets[set] != DSM_HANDLE_INVALID)
		{
			RatingBlocks *blocks;

			areas[set] = area_attach(handles->sets[set]);
			sets[set] = &areas[set];
			blocks = (RatingBlocks *) areas[set].address;
			if (blocks->spilled)
				SharedFileSetAttach(&blocks->fileset, areas[set].segment);
		}
	function(&area, sets);
	for (int set = 0; set < TEAM_SETS; set++)
		if (sets[set] != NULL)
			area_free(sets[set]);
	area_free(&area);
}

void
team_run(const char *worker, TeamFunction function, Area *area,
		 Area *const sets[TEAM_SETS], int nworkers)
{
	ParallelContext *context = NULL;
	bool		shared = area_is_shared(area);

	for (int set = 0; set < TEAM_SETS; set++)
		shared &= sets[set] == NULL || area_is_shared(sets[set]);
	if (nworkers > 0 && shared)
	{
		TeamHandles *handles;

		EnterParallelMode();
		context = CreateParallelContext("$libdir/als", worker, nworkers);
		shm_toc_estimate_chunk(&context->estimator, sizeof(TeamHandles));
		shm_toc_estimate_keys(&context->estimator, 1);
		InitializeParallelDSM(context);
		handles = shm_toc_allocate(context->toc, sizeof(TeamHandles));
		handles->area = area->handle;
		for (int set = 0; set < TEAM_SETS; set++)
			handles->sets[set] = sets[set] ? sets[set]->handle :
				DSM_HANDLE_INVALID;
		shm_toc_insert(context->toc, KEY_HANDLES, handles);
		LaunchParallelWorkers(context);
	}
	function(area, sets);
	if (context != NULL)
	{
		WaitForParallelWorkersToFinish(context);
		DestroyParallelContext(context);
		ExitParallelMode();
	}
}
