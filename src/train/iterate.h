/*
 * iterate.h
 *	  What the processes of a training share, and the program that each of them
 *	  runs.
 */
#ifndef ALS_ITERATE_H
#define ALS_ITERATE_H

#include "common/parallel.h"
#include "evaluate/metrics.h"
#include "ratings/csr_blocks.h"
#include "storage/spin.h"
#include "train/trainer.h"

/* What they share of a side's features; offsets count from the TrainerState */
typedef struct FeatureState
{
	uint32		nfeatures;		/* 0: its rows have none */
	uint32		nnew;			/* rows behind those that are rated, to be
								 * measured as well */
	double		ridge;			/* see als_features.h */
	double		penalty;		/* what lambda multiplies of it in the
								 * objective */
	size_t		start_offset;	/* uint64 [rows + new rows + 1] */
	size_t		entries_offset; /* AlsEntry [features of all these rows] */
	size_t		scale_offset;	/* double [rows], s */
	size_t		diagonal_offset;	/* double [features] */
	size_t		matrix_offset;	/* double [features x features]; 0: too many */
	size_t		factors_offset; /* float [features x stride] */
	size_t		best_offset;	/* likewise, by validation */
	size_t		priors_offset;	/* float [rows x stride] */
	size_t		penalties_offset;	/* double [ranges of rows] */
} FeatureState;

/* What the processes of a training share; offsets count from here */
typedef struct TrainerState
{
	TrainerParameters parameters;
	int			rank;			/* factors, one more for an explicit bias */
	double		mean;

	bool		spectral;		/* items start from singular vectors */
	bool		ahead;			/* users are solved against items further on */
	double		trace;			/* of what was turned last, by the leader */

	/* written by the leader in phase 2: rows are solved in double */
	bool		exact;

	/* next piece of each phase; reset by the leader in phase 2 */
	pg_atomic_uint32 next_gram;
	pg_atomic_uint32 next_prepare;
	pg_atomic_uint32 next_solve;
	pg_atomic_uint32 next_group;
	pg_atomic_uint32 next_prior;

	/* why a system could not be solved, the first row of those that failed */
	slock_t		mutex;			/* protects the three */
	int			failure;		/* result of the core, ALS_OK if none */
	AlsSide		failed_side;
	int64		failed_row;		/* or one of those below */

	/* where it pauses and ends, see trainer_bound */
	Rungs		rungs;
	int			pause;			/* after this iteration at the latest */
	TimestampTz deadline;		/* 0: none */

	/* written by the leader between barriers */
	bool		stop;			/* for good */
	bool		measure;		/* the iteration that is done */
	int			iterations;		/* done */
	double		seconds;		/* of these */

	size_t		losses_offset;	/* double [iterations] */
	size_t		factors_offset[2];	/* float [rows x stride], by side */
	size_t		previous_offset;	/* float [items x stride], if ahead */
	size_t		prepared_offset;	/* float [rows x stride], either side */
	size_t		bias_offset;	/* float [rows], explicit */
	size_t		base_offset;	/* float [stride x stride], implicit */
	size_t		base_factor_offset;
	size_t		spectrum_offset;	/* float [stride], implicit */
	size_t		grams_offset;	/* double [ranges x rank x rank], implicit */
	size_t		block_losses_offset;	/* double [blocks], either side */
	size_t		block_penalties_offset;
	FeatureState features[2];	/* by side */

	/* what validation measures, and the best so far; see validation.h */
	bool		validating;
	Metric		metric;
	int			patience;		/* 0: go on until the end */
	int			best_iteration; /* from 1 */
	size_t		curve_offset;	/* double [iterations] */
	size_t		values_offset;	/* double [users to measure], by the best */
	size_t		best_offset[2]; /* float [rows x stride], by side */
} TrainerState;

/* In the place of a failed row: the Gram matrix, or that of the features */
#define FAILED_GRAM (-1)
#define FAILED_FEATURES (-2)

/* The arenas that they share, in the order in which parallel_run has them */
typedef enum TrainerArena
{
	TRAINER_STATE,				/* TrainerState and what it counts offsets of */
	TRAINER_RATINGS,			/* RatingBlocks */
	TRAINER_HELD_OUT,			/* RatingBlocks to validate on, or not there */
	TRAINER_MEASUREMENT			/* Measurement of the validation, likewise */
} TrainerArena;

static inline void *
shared_at(const TrainerState *shared, size_t offset)
{
	return (char *) shared + offset;
}

static inline float *
side_factors(const TrainerState *shared, AlsSide side)
{
	return shared_at(shared, shared->factors_offset[side]);
}

/* The best factors of a side that validation has seen. */
static inline float *
best_factors(const TrainerState *shared, AlsSide side)
{
	return shared_at(shared, shared->best_offset[side]);
}

/* Does the solver want the other side's rows prepared? */
static inline bool
needs_preparation(const TrainerParameters *parameters)
{
	return parameters->feedback == ALS_EXPLICIT ||
		parameters->solver == ALS_CG;
}

/* How many ranges of rows a Gram matrix is summed from, and how long. */
extern uint32 gram_ranges(uint32 nrows, int stride, uint32 *length);

/* What each process of a training does: all iterations. */
extern void iterate(const ParallelProcess *process,
					Arena *const arenas[PARALLEL_ARENAS]);

#endif							/* ALS_ITERATE_H */
