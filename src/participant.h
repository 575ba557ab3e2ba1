/*
 * participant.h
 *	  What the participants of a training share, and the program that each of
 *	  them runs.
 */
#ifndef ALS_PARTICIPANT_H
#define ALS_PARTICIPANT_H

#include "blocks.h"
#include "measure.h"
#include "portability/instr_time.h"
#include "storage/barrier.h"
#include "storage/condition_variable.h"
#include "storage/spin.h"
#include "training.h"

/* What participants share; offsets count from here */
typedef struct TrainingShared
{
	TrainingParameters parameters;
	int			rank;			/* factors, one more for an explicit bias */
	double		mean;

	/* set once by the leader when it knows who takes part */
	slock_t		mutex;			/* protects participants and the failure */
	int			participants;	/* 0 until then */
	ConditionVariable started;
	Barrier		barrier;		/* ends every phase */

	/* written by the leader in phase 2: rows are solved in double */
	bool		exact;

	/* next piece of each phase; reset by the leader in phase 2 */
	pg_atomic_uint32 next_gram;
	pg_atomic_uint32 next_prepare;
	pg_atomic_uint32 next_solve;

	/* why a system could not be solved, the first row of those that failed */
	int			failure;		/* result of the core, ALS_OK if none */
	AlsSide		failed_side;
	int64		failed_row;		/* -1: the Gram matrix itself */

	/* written by the leader between barriers */
	bool		stop;
	int			iterations;		/* done */

	size_t		losses_offset;	/* double [iterations] */
	size_t		factors_offset[2];	/* float [rows x stride], by side */
	size_t		prepared_offset;	/* float [rows x stride], either side */
	size_t		bias_offset;	/* float [rows], explicit */
	size_t		base_offset;	/* float [stride x stride], implicit */
	size_t		base_factor_offset;
	size_t		spectrum_offset;	/* float [stride], implicit */
	size_t		grams_offset;	/* double [ranges x rank x rank], implicit */
	size_t		block_losses_offset;	/* double [blocks], either side */
	size_t		block_penalties_offset;

	/* what validation measures, and the best so far; see validation.h */
	bool		validating;
	Metric		metric;
	int			patience;		/* 0: go on until the end */
	int			best_iteration; /* from 1 */
	size_t		curve_offset;	/* double [iterations] */
	size_t		best_offset[2]; /* float [rows x stride], by side */
} TrainingShared;

/* The areas that participants share */
typedef struct TrainingAreas
{
	Area		ratings;
	Area		shared;
	Area		held_out;		/* what is validated on; its address is NULL if */
	Area		measurement;	/* nothing is, and that of the measurement too */
} TrainingAreas;

/* One participant's view */
typedef struct Participant
{
	TrainingShared *shared;
	TrainingAreas *areas;
	RatingBlocks *blocks;
	BlockReader *readers[2];
	AlsSystem	system;
	void	   *workspace;
	bool		leader;
	instr_time	iteration_start;
} Participant;

static inline void *
shared_at(const TrainingShared *shared, size_t offset)
{
	return (char *) shared + offset;
}

static inline float *
side_factors(const TrainingShared *shared, AlsSide side)
{
	return shared_at(shared, shared->factors_offset[side]);
}

/* The best factors of a side that validation has seen. */
static inline float *
best_factors(const TrainingShared *shared, AlsSide side)
{
	return shared_at(shared, shared->best_offset[side]);
}

/* Does the solver want the other side's rows prepared? */
static inline bool
needs_preparation(const TrainingParameters *parameters)
{
	return parameters->feedback == ALS_EXPLICIT ||
		parameters->solver == ALS_CG;
}

/* How many ranges of rows a Gram matrix is summed from, and how long. */
extern uint32 gram_ranges(uint32 nrows, int stride, uint32 *length);

/* Sets up what a participant has of its own. */
extern void participant_init(Participant *me, TrainingAreas *areas,
							 bool leader);

/* Runs all iterations, once all participants are known. */
extern void participant_run(Participant *me);

#endif							/* ALS_PARTICIPANT_H */
