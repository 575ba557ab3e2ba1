/*
 * tune.h
 *	  als_tune: trials on the same ratings, of a grid or of a search.
 */
#ifndef ALS_TUNE_H
#define ALS_TUNE_H

#include "nodes/pg_list.h"
#include "storage/buffile.h"
#include "train/search.h"
#include "train/train.h"
#include "train/tune_grid.h"

/* What came of a combination of parameters */
typedef struct Trial
{
	int			number;			/* from 1, in the order in which they are
								 * tried */
	Jsonb	   *parameters;
	TrainOptions options;		/* with all that the ratings choose */
	int			weighing;		/* of the grid's */
	SearchBest	place;			/* in the search */
	bool		present;		/* with the parameters of the model so far */
	char	   *error;			/* NULL: it was trained, or has not been yet */
	bool		failed;			/* it cannot be trained on, if it was at all */
	double		metric;			/* the best */
	double		latest;			/* the last that was measured of it */
	int			best_iteration;
	int			iterations;		/* 0: it has not been trained yet */
	double		loss;
	double		seconds;
	int			values;			/* their place in the file; -1: not there */
	double		p_value;		/* of its difference from the best, NaN if
								 * there is none */
	const char *remarks;		/* or NULL */

	/* while it is kept, being the best or to go on */
	bool		goes_on;
	Trainer    *trainer;		/* or NULL */
	MemoryContext context;		/* what that is in */
	double		seconds_before; /* of trainers that were not kept */
} Trial;

typedef struct Tuning
{
	TrainOptions options;		/* all but what the grid says; not settled */
	Metric		metric;
	bool		refit;
	Grid	   *grid;
	Rungs		rungs;			/* where trials pause; none for a grid */
	TimestampTz deadline;		/* 0: none */
	ModelTarget target;
	MemoryContext result;		/* what outlives the call: trials */
	MemoryContext context;		/* what does not, whatever rows weigh */
	MemoryContext data_context; /* what is trained from */
	MemoryContext sorted_context;	/* below it, what is sorted, where private */
	TrainInput	input;			/* that, as its rows weigh now */
	MemoryContext best_context; /* what the best was trained from, where rows */
	TrainInput	best_input;		/* weighed something else: all but what is
								 * sorted; or NULL */
	int			weighing;		/* of the grid's: that of what is read */
	Snapshot	snapshot;		/* with which all of them are read; NULL:
								 * there is only one */
	uint32		nusers;			/* to validate on; 0: not read yet */
	uint64		nratings;		/* to train from */
	int			limit;			/* trials at most */
	int			ntrials;
	Trial	  **trials;			/* [ntrials], room for more */
	int			room;
	int			begun;			/* trials that have run */
	Trial	   *best;			/* NULL: none yet */
	List	   *kept;			/* trials with a trainer */
	size_t		memory;			/* that these take */
	const Search *search;		/* or NULL */
	BufFile    *values;			/* double [users] of trials */
	int			nvalues;		/* trials in it */
	double		baseline;		/* the metric without a model; NaN: none */
} Tuning;

/* tune_trials.c: running them */

/* Adds a trial, whose parameters and options are the caller's to fill in. */
extern Trial *trial_add(Tuning *tuning);

/*
 * Trains them up to an iteration, or to their end: side by side where one is
 * too small for all workers.  Keeps the best, and as far as memory goes those
 * that go on.  Ends early when time is up and there is a best.
 */
extern void trials_run(Tuning *tuning, Trial *const *trials, int count,
					   int iteration);

/* Is there no time left, and something to leave? */
extern bool tuning_is_over(const Tuning *tuning);

/* Frees what a trial has trained, unless it is the best or goes on. */
extern void trial_release(Tuning *tuning, Trial *trial);

/* Orders pointers to trials, the best first, those that failed last. */
extern int	trial_compare(const void *a, const void *b, void *metric);

/* tune_search.c: which ones */

/* Checks early what can be checked, and bounds the trials. */
extern void search_prepare(Tuning *tuning);

/* The most factors that are tried, however the ratings are. */
extern int	search_most_factors(const Grid *grid);

/* Runs all trials of a search, and one with the parameters of the present model. */
extern void search_run(Tuning *tuning);

/* tune_answer.c: what they say */

/* Remembers what users were worth to a trial, to compare it with the best. */
extern void answer_keep(Tuning *tuning, Trial *trial);

/* Compares the trials; fills in the baseline, p values and remarks. */
extern void answer(Tuning *tuning);

#endif							/* ALS_TUNE_H */
