/*
 * progress.h
 *	  What other sessions see of a training: the view als_progress.
 */
#ifndef ALS_PROGRESS_H
#define ALS_PROGRESS_H

#include "postgres.h"

#include "datatype/timestamp.h"

typedef enum ProgressPhase
{
	PROGRESS_READING, PROGRESS_SORTING, PROGRESS_TRAINING,
	PROGRESS_VALIDATING, PROGRESS_WRITING, PROGRESS_WAITING, PROGRESS_INDEXING
} ProgressPhase;

/* How much of a phase's work, in rows or ratings, is done before others see it */
#define PROGRESS_STEP 65536

/* A training of a model, InvalidOid if it is new, and how far it is */
typedef struct Progress
{
	SubTransactionId subtransaction;	/* that it runs in; 0: nothing runs */
	TimestampTz transaction;	/* when that began */
	Oid			model;
	NameData	name;
	ProgressPhase phase;
	int32		trial;			/* 0: no trials */
	int32		trials;
	int32		iteration;		/* done */
	int32		iterations;		/* 0: has not begun to train */
	double		loss;			/* NaN: not known yet */
	uint64		ratings;		/* read */
	uint64		work;			/* of the phase, done; of the iteration if it
								 * trains */
	uint64		work_total;		/* 0: not known */
	TimestampTz started;
	TimestampTz phase_started;	/* the first iteration of the first trial */
} Progress;

/*
 * Begins to show a training; returns what was shown before, for the end.  An
 * error ends it too, as PostgreSQL does for all progress.
 */
extern Progress progress_begin(const char *name, Oid model);
extern void progress_end(const Progress *before);

extern void progress_phase(ProgressPhase phase);

/*
 * So many ratings are expected to be read, or have been, beside those before;
 * perhaps for no training: then nothing is shown.
 */
extern void progress_expect(double ratings);
extern void progress_read(uint64 ratings);

/*
 * So many were read in all, and go through so many passes to be sorted; so many
 * have gone through one, beside those before.
 */
extern void progress_sorting(uint64 ratings, int passes);
extern void progress_sorted(uint64 ratings);

/* So many rows will be written, on both sides; so many have been, likewise. */
extern void progress_writing(uint64 rows);
extern void progress_wrote(uint64 rows);

/* The first of trials is the one that the remaining time is counted from. */
extern void progress_trial(int trial, int trials);

/* Training begins: so many iterations, with so many rows to solve in each. */
extern void progress_iterations(int iterations, uint64 rows_total);
extern void progress_rows(uint64 rows);
extern void progress_iteration(int iteration, double loss);

#endif							/* ALS_PROGRESS_H */
