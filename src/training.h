/*
 * training.h
 *	  The iterations of a training, by the leader and its workers.
 */
#ifndef ALS_TRAINING_H
#define ALS_TRAINING_H

#include "als_core.h"
#include "area.h"

struct Validation;

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
 * ratings is what blocks_build returned, and the caller's to free; validation
 * may be NULL; nworkers as many workers as may help.
 */
extern Training *training_begin(const TrainingParameters *parameters,
								Area *ratings,
								const struct Validation *validation,
								int nworkers);

/* Runs all iterations; false if a system cannot be solved. */
extern bool training_run(Training *training);

/* Why not: message and detail. */
extern void training_failure(const Training *training, const char **message,
							 char **detail);

/* Raises that. */
pg_noreturn extern void training_raise(const Training *training);

/*
 * Factors of a side, [rows x als_stride(rank)]; the bias is the last one.
 * After the run, those of the best iteration.
 */
extern float *training_factors(Training *training, AlsSide side);
extern int	training_rank(const Training *training);

/* Loss after each iteration, their number and the workers that took part. */
extern const double *training_losses(const Training *training, int *count);
extern int	training_workers(const Training *training);

/* What validation measured after each iteration; NULL without one. */
extern const double *training_curve(const Training *training);

/* The iteration whose factors are kept, from 1: the best, or the last. */
extern int	training_best(const Training *training);

extern void training_end(Training *training);

#endif							/* ALS_TRAINING_H */
