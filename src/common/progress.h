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
	uint64		rows;			/* solved in this iteration */
	uint64		rows_total;
	TimestampTz started;
	TimestampTz training_started;
} Progress;

/*
 * Begins to show a training; returns what was shown before, for the end.  An
 * error ends it too, as PostgreSQL does for all progress.
 */
extern Progress progress_begin(const char *name, Oid model);
extern void progress_end(const Progress *before);

extern void progress_phase(ProgressPhase phase);

/* So many ratings have been read, perhaps for no training: then that is all. */
extern void progress_reading(uint64 ratings);

/* So many were read in all. */
extern void progress_sorting(uint64 ratings);

/* The first of trials is the one that the remaining time is counted from. */
extern void progress_trial(int trial, int trials);

/* Training begins: so many iterations, with so many rows to solve in each. */
extern void progress_iterations(int iterations, uint64 rows_total);
extern void progress_rows(uint64 rows);
extern void progress_iteration(int iteration, double loss);

#endif							/* ALS_PROGRESS_H */
