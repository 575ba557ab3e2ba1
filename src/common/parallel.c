/*
 * parallel.c
 *	  A function run by the leader and its parallel workers together, on memory
 *	  that they share.
 */
#include "compat.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "common/error_context.h"
#include "common/parallel.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/spin.h"
#include "tcop/tcopprot.h"

/* Keys of the parallel context's table of contents */
#define KEY_SHARED 1
#define KEY_QUERY 2

/* Floats read that make another worker worth its start */
#define WORK_PER_WORKER (64.0 * 1024 * 1024)

/* What the leader tells its workers */
typedef struct ParallelShared
{
	dsm_handle	arenas[PARALLEL_ARENAS];	/* DSM_HANDLE_INVALID: not there */
	slock_t		mutex;			/* protects processes */
	int			processes;		/* 0 until the leader knows */
	ConditionVariable started;	/* that it does */
	Barrier		barrier;		/* of parallel_wait; initialized before */
} ParallelShared;

/* Wait events: the end of a phase, the start of all processes */
static uint32 phase_event;
static uint32 start_event;

int
parallel_workers(int asked, double work)
{
	if (asked >= 0)
		return Min(asked, max_parallel_maintenance_workers);
	return (int) Min(work / WORK_PER_WORKER, max_parallel_maintenance_workers);
}

void
parallel_wait(const ParallelProcess *process)
{
	CHECK_FOR_INTERRUPTS();
	if (process->barrier != NULL)
		BarrierArriveAndWait(process->barrier, wait_event(&phase_event, "AlsPhase"));
}

/* Waits until the leader has counted the processes; returns their number. */
static int
wait_for_start(ParallelShared *shared)
{
	int			processes;

	ConditionVariablePrepareToSleep(&shared->started);
	for (;;)
	{
		SpinLockAcquire(&shared->mutex);
		processes = shared->processes;
		SpinLockRelease(&shared->mutex);
		if (processes > 0)
			break;
		ConditionVariableSleep(&shared->started, wait_event(&start_event, "AlsStart"));
	}
	ConditionVariableCancelSleep();
	return processes;
}

void
parallel_work(shm_toc *toc, ParallelFunction function)
{
	ParallelShared *shared = shm_toc_lookup(toc, KEY_SHARED, false);
	ParallelProcess process = {0};
	Arena		attached[PARALLEL_ARENAS];
	Arena	   *arenas[PARALLEL_ARENAS] = {NULL};

	/* what pg_stat_activity shows of the worker; NULL if there is no query */
	debug_query_string = shm_toc_lookup(toc, KEY_QUERY, true);
	pgstat_report_activity(STATE_RUNNING, debug_query_string);

	for (int i = 0; i < PARALLEL_ARENAS; i++)
		if (shared->arenas[i] != DSM_HANDLE_INVALID)
		{
			attached[i] = arena_attach(shared->arenas[i]);
			arenas[i] = &attached[i];
		}
	process.number = ParallelWorkerNumber + 1;
	process.processes = wait_for_start(shared);
	process.barrier = &shared->barrier;
	function(&process, arenas);
	for (int i = 0; i < PARALLEL_ARENAS; i++)
		if (arenas[i] != NULL)
			arena_free(arenas[i]);
}

/* Launches workers, which wait for the start. */
static ParallelContext *
launch(const char *worker, Arena *const arenas[PARALLEL_ARENAS], int nworkers,
	   ParallelShared **shared)
{
	size_t		length = debug_query_string ? strlen(debug_query_string) + 1 : 0;
	ParallelContext *context;
	ErrorContextCallback callback;

	EnterParallelMode();
	context = CreateParallelContext("$libdir/als", worker, nworkers);
	shm_toc_estimate_chunk(&context->estimator, sizeof(ParallelShared));
	shm_toc_estimate_chunk(&context->estimator, length);
	shm_toc_estimate_keys(&context->estimator, 2);
	error_context_push(&callback, shared_memory_hint, NULL);
	InitializeParallelDSM(context);
	error_context_pop(&callback);

	*shared = shm_toc_allocate(context->toc, sizeof(ParallelShared));
	for (int i = 0; i < PARALLEL_ARENAS; i++)
		(*shared)->arenas[i] = arenas[i] ? arenas[i]->handle :
			DSM_HANDLE_INVALID;
	SpinLockInit(&(*shared)->mutex);
	(*shared)->processes = 0;
	ConditionVariableInit(&(*shared)->started);
	shm_toc_insert(context->toc, KEY_SHARED, *shared);
	if (length > 0)
	{
		char	   *query = shm_toc_allocate(context->toc, length);

		memcpy(query, debug_query_string, length);
		shm_toc_insert(context->toc, KEY_QUERY, query);
	}
	LaunchParallelWorkers(context);
	if (context->nworkers_launched > 0)
		WaitForParallelWorkersToAttach(context);
	return context;
}

/* Lets all begin. */
static void
start(ParallelShared *shared, int processes)
{
	BarrierInit(&shared->barrier, processes);
	SpinLockAcquire(&shared->mutex);
	shared->processes = processes;
	SpinLockRelease(&shared->mutex);
	ConditionVariableBroadcast(&shared->started);
}

int
parallel_run(const char *worker, ParallelFunction function,
			 Arena *const arenas[PARALLEL_ARENAS], int nworkers)
{
	ParallelProcess leader = {.leader = true,.processes = 1};
	ParallelContext *context = NULL;
	int			launched = 0;
	bool		shared = true;

	for (int i = 0; i < PARALLEL_ARENAS; i++)
		shared &= arenas[i] == NULL || arena_is_shared(arenas[i]);
	if (nworkers > 0 && shared)
	{
		ParallelShared *told;

		context = launch(worker, arenas, nworkers, &told);
		launched = context->nworkers_launched;
		leader.processes = launched + 1;
		if (launched > 0)
			leader.barrier = &told->barrier;
		start(told, leader.processes);
	}
	function(&leader, arenas);
	if (context != NULL)
	{
		WaitForParallelWorkersToFinish(context);
		DestroyParallelContext(context);
		ExitParallelMode();
	}
	return launched;
}
