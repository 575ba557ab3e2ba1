/*
 * trainer.h
 *	  The iterations of a training, by the leader and its workers.
 */
#ifndef ALS_TRAINER_H
#define ALS_TRAINER_H

#include "common/arena.h"
#include "core/als_core.h"

struct Validation;

/* What the arithmetic needs to know */
typedef struct TrainerParameters
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
} TrainerParameters;

typedef struct Trainer Trainer;

/*
 * Allocates the factors of both sides and gives them their starting values.
 * ratings is what blocks_build returned, and the caller's to free; validation
 * may be NULL; nworkers as many workers as may help.
 */
extern Trainer *trainer_begin(const TrainerParameters *parameters,
								Arena *ratings,
								const struct Validation *validation,
								int nworkers);

/* Runs all iterations; false if a system cannot be solved. */
extern bool trainer_run(Trainer *trainer);

/* Why not: message and detail. */
extern void trainer_failure(const Trainer *trainer, const char **message,
							 char **detail);

/* Raises that. */
pg_noreturn extern void trainer_raise(const Trainer *trainer);

/*
 * Factors of a side, [rows x als_stride(rank)]; the bias is the last one.
 * After the run, those of the best iteration.
 */
extern float *trainer_factors(Trainer *trainer, AlsSide side);
extern int	trainer_rank(const Trainer *trainer);

/* Loss after each iteration, their number and the workers that took part. */
extern const double *trainer_losses(const Trainer *trainer, int *count);
extern int	trainer_workers(const Trainer *trainer);

/* What validation measured after each iteration; NULL without one. */
extern const double *trainer_curve(const Trainer *trainer);

/* The iteration whose factors are kept, from 1: the best, or the last. */
extern int	trainer_best(const Trainer *trainer);

extern void trainer_end(Trainer *trainer);

#endif							/* ALS_TRAINER_H */
