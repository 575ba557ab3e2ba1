/*
 * trainer_process.h
 *	  A process of a training, and the work that its phases have in common.
 */
#ifndef ALS_TRAINER_PROCESS_H
#define ALS_TRAINER_PROCESS_H

#include "core/als_features.h"
#include "portability/instr_time.h"
#include "train/iterate.h"

#define PREPARE_ROWS 1024		/* in a piece of work that is not a block */

/* One process's view */
typedef struct TrainerProcess
{
	const ParallelProcess *process;
	Arena	   *const *arenas;	/* by TrainerArena */
	TrainerState *shared;
	RatingBlocks *blocks;
	BlockReader *readers[2];
	AlsSystem	system;
	AlsFeatures features[2];	/* by side */
	void	   *workspace;
	instr_time	iteration_start;
} TrainerProcess;

/* Partial Gram matrices of a side, by ranges of rows. */
extern void sum_gram(TrainerProcess *me, AlsSide side);

/* Lets a phase's pieces of work be claimed anew, by the leader. */
extern void reset_pieces(TrainerState *shared);

/* Remembers that a system could not be solved; of several, the first row. */
extern void note_failure(TrainerState *shared, int failure, AlsSide side,
						 int64 row);

#endif							/* ALS_TRAINER_PROCESS_H */
