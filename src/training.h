/*
 * training.h
 *	  The iterations of a training, by the leader and its workers.
 */
#ifndef ALS_TRAINING_H
#define ALS_TRAINING_H

#include "als_core.h"
#include "area.h"

/* What the arithmetic needs to know */
typedef struct TrainingParameters
{
	AlsFeedback feedback;
	AlsSolver	solver;
	int			factors;
	int			iterations;
	int			cg_steps;
	double		regularization;
	double		regularization_scaling;
	double		alpha;
	double		tolerance;
	int64		seed;
	bool		verbose;
} TrainingParameters;

typedef struct Training Training;

/*
 * Allocates the factors of both sides and gives them their starting values.
 * ratings is what blocks_build returned; nworkers as many workers as may help.
 */
extern Training *training_begin(const TrainingParameters *parameters,
								Area *ratings, int nworkers);

/* Runs all iterations; raises if a system cannot be solved. */
extern void training_run(Training *training);

/* Factors of a side, [rows x als_stride(rank)]; the bias is the last one. */
extern float *training_factors(Training *training, AlsSide side);
extern int	training_rank(const Training *training);

/* Loss after each iteration, their number and the workers that took part. */
extern const double *training_losses(const Training *training, int *count);
extern int	training_workers(const Training *training);

extern void training_end(Training *training);

#endif							/* ALS_TRAINING_H */
