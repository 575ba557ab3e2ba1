/*
 * trainer.h
 *	  The iterations of a training, by the leader and its workers.
 */
#ifndef ALS_TRAINER_H
#define ALS_TRAINER_H

#include "common/arena.h"
#include "core/als_core.h"
#include "datatype/timestamp.h"

struct SideFeatures;
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
	bool		by_ratings;		/* what that is the power of, if implicit */
	double		alpha;
	bool		biases;			/* explicit: with mean and biases */
	double		feature_regularization;
	double		tolerance;
	int64		seed;
	bool		verbose;
} TrainerParameters;

/* What comes of a training, in its memory until trainer_end */
typedef struct TrainerResult
{
	float	   *factors[2];		/* [rows x als_stride(rank)] by AlsSide, the
								 * bias the last: of the best iteration;
								 * before the run, those that it starts from;
								 * with room for rows without ratings behind */
	const float *feature_factors[2];	/* [features x als_stride(rank)] */
	int			rank;
	int			iterations;		/* done */
	const double *losses;		/* [iterations] after each */
	const double *curve;		/* [iterations] what validation measured after
								 * each, NaN where it did not; NULL without
								 * one */
	int			best_iteration; /* from 1, or the last without validation */
	const double *values;		/* [users to measure] by the best, see
								 * metrics_user_values; NULL likewise */
	double		seconds;		/* of all iterations */
	int			workers;		/* that took part */
} TrainerResult;

/*
 * A training that may have to wait while others go on: the iterations after
 * which it pauses, ascending, the last one its end.  It is measured at pauses,
 * and behind the last of them after each iteration.
 */
#define MAX_RUNGS 3
typedef struct Rungs
{
	int			count;			/* 0: never pauses */
	int			iterations[MAX_RUNGS];
} Rungs;

typedef struct Trainer Trainer;

/*
 * Allocates the factors of both sides and gives them their starting values,
 * random ones where the caller will overwrite most of them: warm_start.  ratings
 * is what blocks_build returned, and the caller's to free; features, by AlsSide,
 * and validation may be NULL; nworkers as many workers as may help.
 */
extern Trainer *trainer_begin(const TrainerParameters *parameters,
							  Arena *ratings,
							  const struct SideFeatures *const features[2],
							  const struct Validation *validation,
							  bool warm_start, int nworkers);

/* Before it runs: where it pauses, and the time at which it ends; 0 for never. */
extern void trainer_bound(Trainer *trainer, const Rungs *rungs,
						  TimestampTz deadline);

/* Runs all iterations; false if a system cannot be solved. */
extern bool trainer_run(Trainer *trainer);

/*
 * Runs trainings with the same ratings and validation up to an iteration, or to
 * their end.  With workers, one that is alone is run by all processes together,
 * and several by a process each; the bits do not depend on that.  Once time is up,
 * none begins that has no iteration yet, if anything has been measured: before,
 * which the caller says, or of these.
 */
extern void trainers_run(Trainer *const *trainers, int count, int iteration,
						 int nworkers, bool measured);

/* Can workers map it? */
extern bool trainer_is_shared(const Trainer *trainer);

/* Could not a system be solved? */
extern bool trainer_failed(const Trainer *trainer);

/* Bytes that it takes, while it runs or waits. */
extern size_t trainer_memory(const Trainer *trainer);

/* Bytes that it takes besides while it runs. */
extern size_t trainer_running_memory(const Trainer *trainer);

/* Why not: message and detail. */
extern void trainer_failure(const Trainer *trainer, const char **message,
							char **detail);

/* Raises that. */
pg_noreturn extern void trainer_raise(const Trainer *trainer);

extern const TrainerResult *trainer_result(const Trainer *trainer);

extern void trainer_end(Trainer *trainer);

#endif							/* ALS_TRAINER_H */
