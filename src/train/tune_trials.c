/*
 * tune_trials.c
 *	  Running the trials of als_tune, and keeping of them what is needed.
 *
 * Kept are the trainers of the best trial so far and of those that go on, the
 * latter within maintenance_work_mem.  One that was not kept is trained once
 * more from its beginning, which gives the same bits.
 */
#include "compat.h"

#include <limits.h>
#include <math.h>

#include "common/parallel.h"
#include "common/progress.h"
#include "miscadmin.h"
#include "train/tune.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* So many trials wait for each process that runs one: each takes two segments of
 * shared memory, of which all sessions together have few */
#define BATCH_PER_PROCESS 4

/* Likewise, so many are kept that go on */
#define MOST_KEPT 64

Trial *
trial_add(Tuning *tuning)
{
	Trial	   *trial = MemoryContextAllocZero(tuning->result, sizeof(Trial));

	if (tuning->ntrials == tuning->room)
	{
		tuning->room = Max(2 * tuning->room, 64);
		tuning->trials = tuning->trials == NULL ?
			MemoryContextAllocHuge(tuning->result, tuning->room * sizeof(Trial *)) :
			repalloc_huge(tuning->trials, tuning->room * sizeof(Trial *));
	}
	tuning->trials[tuning->ntrials++] = trial;
	trial->number = tuning->ntrials;
	trial->values = -1;
	return trial;
}

bool
tuning_is_over(const Tuning *tuning)
{
	return tuning->deadline != 0 && tuning->best != NULL &&
		GetCurrentTimestamp() >= tuning->deadline;
}

int
trial_compare(const void *a, const void *b, void *metric)
{
	const Trial *first = *(Trial *const *) a;
	const Trial *second = *(Trial *const *) b;

	if ((first->error == NULL) != (second->error == NULL))
		return first->error == NULL ? -1 : 1;
	if (first->error == NULL && first->metric != second->metric)
		return metric_better(*(Metric *) metric, first->metric, second->metric) ? -1 : 1;
	return first->number - second->number;
}

/* Makes a trial's trainer, unless it has been kept. */
static void
open_trial(Tuning *tuning, Trial *trial)
{
	MemoryContext old;

	if (trial->trainer != NULL)
		return;
	trial->context = AllocSetContextCreate(tuning->data_context, "als trial",
										   ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(trial->context);
	trial->trainer = trainer_begin(&trial->options.parameters,
								   &tuning->input.blocks,
								   (const SideFeatures *const *) tuning->input.features,
								   tuning->input.validation, false,
								   train_workers(&trial->options, &tuning->input));
	trainer_bound(trial->trainer, &tuning->rungs, tuning->deadline);
	MemoryContextSwitchTo(tuning->context);
	tuning->kept = lappend(tuning->kept, trial);
	MemoryContextSwitchTo(old);
	tuning->memory += trainer_memory(trial->trainer);
}

/* Gives back a trial's trainer. */
static void
close_trial(Tuning *tuning, Trial *trial)
{
	tuning->kept = list_delete_ptr(tuning->kept, trial);
	tuning->memory -= trainer_memory(trial->trainer);
	trial->seconds_before += trainer_result(trial->trainer)->seconds;
	trainer_end(trial->trainer);
	MemoryContextDelete(trial->context);
	trial->trainer = NULL;
}

void
trial_release(Tuning *tuning, Trial *trial)
{
	if (trial->trainer != NULL && trial != tuning->best && !trial->goes_on)
		close_trial(tuning, trial);
}

/* Are more trials kept than there is memory for, or segments of it? */
static bool
keeps_too_much(const Tuning *tuning)
{
	return tuning->memory > (size_t) maintenance_work_mem * 1024 ||
		(arena_is_shared(&tuning->input.blocks) && list_length(tuning->kept) > MOST_KEPT);
}

/* Releases those that go on, the worst first, until the rest fits in memory. */
static void
make_room(Tuning *tuning)
{
	while (keeps_too_much(tuning))
	{
		Trial	   *worst = NULL;
		ListCell   *cell;

		foreach(cell, tuning->kept)
		{
			Trial	   *trial = lfirst(cell);

			if (trial != tuning->best &&
				(worst == NULL || trial_compare(&worst, &trial, &tuning->metric) < 0))
				worst = trial;
		}
		if (worst == NULL)
			return;
		close_trial(tuning, worst);
	}
}

/*
 * Writes down what came of a trial, that began; one that fails later stays what it
 * was.
 */
static void
note_result(Tuning *tuning, Trial *trial)
{
	const TrainerResult *result = trainer_result(trial->trainer);
	int			best = result->best_iteration;
	bool		failed = trainer_failed(trial->trainer);
	int			last = result->iterations;

	trial->seconds = trial->seconds_before + result->seconds;
	trial->failed = failed;
	if (failed)
		trial->goes_on = false;
	if (failed && (best == 0 || tuning->rungs.count == 0))
	{
		const char *message;
		char	   *detail;

		trainer_failure(trial->trainer, &message, &detail);
		trial->error = MemoryContextStrdup(tuning->result,
										   psprintf("%s: %s", message, detail));
		return;
	}
	trial->iterations = result->iterations;
	trial->best_iteration = best;
	trial->metric = result->curve[best - 1];
	while (isnan(result->curve[last - 1]))
		last--;
	trial->latest = result->curve[last - 1];
	trial->loss = result->losses[best - 1];
}

/* Says what came of a trial. */
static void
report_trial(const Tuning *tuning, const Trial *trial)
{
	char	   *parameters = JsonbToCString(NULL, &trial->parameters->root,
											VARSIZE(trial->parameters));

	if (trial->error != NULL)
		ereport(NOTICE,
				(errmsg("trial %d of %d, %s: %s", trial->number,
						tuning->limit, parameters, trial->error)));
	else
		ereport(NOTICE,
				(errmsg("trial %d of %d, %s: %s %.6g after iteration %d of %d, %.3f s",
						trial->number, tuning->limit, parameters,
						metric_names[tuning->metric], trial->metric,
						trial->best_iteration, trial->iterations,
						trial->seconds)));
	pfree(parameters);
}

/* Takes over what a trial has come to, and keeps it if it is the best. */
static void
finish_trial(Tuning *tuning, Trial *trial)
{
	Trial	   *before = tuning->best;

	/* when it had its turn, time was up */
	if (trainer_result(trial->trainer)->iterations == 0 && !trainer_failed(trial->trainer))
	{
		tuning->begun -= trial->iterations == 0;
		trial->goes_on = false;
		trial_release(tuning, trial);
		return;
	}
	note_result(tuning, trial);
	if (trial->error == NULL)
		answer_keep(tuning, trial);
	if (tuning->options.parameters.verbose)
		report_trial(tuning, trial);
	if (trial->error == NULL &&
		(before == NULL || trial_compare(&trial, &before, &tuning->metric) < 0))
	{
		tuning->best = trial;
		if (before != NULL)
			trial_release(tuning, before);
	}
	trial_release(tuning, trial);
}

/*
 * How many workers run a trial each, of so many: 0 if all of them had better run
 * one after the other.
 */
static int
workers_side_by_side(const Tuning *tuning, const Trial *first, int count)
{
	TrainOptions all = first->options;
	int			wanted;
	int			alone;

	if (count == 1 || !arena_is_shared(&tuning->input.blocks) ||
		!arena_is_shared(&tuning->input.validation->set))
		return 0;
	all.workers = -1;
	alone = train_workers(&all, &tuning->input);
	all.workers = tuning->options.workers;
	all.parameters.iterations = Min((double) all.parameters.iterations * count, INT_MAX);
	wanted = Min(train_workers(&all, &tuning->input), count - 1);
	return alone < wanted ? wanted : 0;
}

/* Runs trials side by side, or one by all workers, that are open. */
static void
run_batch(Tuning *tuning, Trial *const *trials, int count, int iteration,
		  int nworkers)
{
	Trainer   **trainers = palloc(count * sizeof(Trainer *));

	for (int i = 0; i < count; i++)
		trainers[i] = trials[i]->trainer;
	trainers_run(trainers, count, iteration, nworkers, tuning->best != NULL);
	pfree(trainers);
	for (int i = 0; i < count; i++)
		finish_trial(tuning, trials[i]);
	make_room(tuning);
}

/*
 * Opens the trials that run next, side by side if there are workers for that;
 * returns how many.
 */
static int
open_batch(Tuning *tuning, Trial *const *trials, int count, int nworkers)
{
	int			most = nworkers == 0 ? 1 : Min(count, BATCH_PER_PROCESS * (nworkers + 1));
	size_t		running = 0;
	int			batch = 0;

	do
	{
		Trial	   *trial = trials[batch];
		bool		waited = trial->trainer != NULL;

		open_trial(tuning, trial);
		/* where the server has no segment left, it has to run alone */
		if (!trainer_is_shared(trial->trainer))
		{
			if (batch > 0 && !waited)
				close_trial(tuning, trial);
			if (batch > 0)
				break;
			most = 1;
		}
		running += trainer_running_memory(trial->trainer);
		tuning->begun += trial->iterations == 0;
		batch++;
	} while (batch < most &&
			 tuning->memory + running < (size_t) maintenance_work_mem * 1024);
	return batch;
}

void
trials_run(Tuning *tuning, Trial *const *trials, int count, int iteration)
{
	int			batch;

	for (int done = 0; done < count && !tuning_is_over(tuning); done += batch)
	{
		int			nworkers = workers_side_by_side(tuning, trials[done],
													count - done);

		CHECK_FOR_INTERRUPTS();
		progress_trial(tuning->begun + (trials[done]->iterations == 0), tuning->limit);
		batch = open_batch(tuning, trials + done, count - done, nworkers);
		run_batch(tuning, trials + done, batch, iteration, nworkers);
	}
}
