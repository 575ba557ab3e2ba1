/*
 * train.h
 *	  The phases of a training, in order.
 */
#ifndef ALS_TRAIN_H
#define ALS_TRAIN_H

#include "access/tupdesc.h"
#include "model/model.h"
#include "portability/instr_time.h"
#include "ratings/features.h"
#include "train/choose.h"
#include "train/options.h"
#include "train/validation.h"

/* A run measured beside the one that serves */
typedef struct RunComparison
{
	int32		run;			/* that served; 0: nothing was compared */
	double		value;			/* of the metric; NaN without users to tell */
	double		other;			/* of the run that served */
	double		standard_error; /* of the difference; NaN if not known */
} RunComparison;

/* What trainings read, once it is read and once it is sorted */
typedef struct TrainInput
{
	instr_time	started;		/* when the training had its turn */
	instr_time	reading;		/* when reading began, for a refit once more */
	Ratings    *ratings;
	const char *from;			/* what was read; NULL if others cannot: by an
								 * aggregate, or temporary */
	bool		temporary;		/* it is the latter */
	SideFeatures *features[2];	/* by AlsSide, or NULL */
	Ratings    *held_out;		/* to validate on, or NULL */
	const char *validation_from;	/* likewise; NULL if it was set aside */
	int64		split_seed;		/* with which it was then */
	Arena		blocks;			/* once sorted */
	uint64		nratings;		/* then: pairs */
	double		mean;			/* likewise, 0 without biases */
	RatingSummary summary;		/* once parameters have been chosen by it */
	Validation *validation;		/* likewise; or NULL */
	RunComparison compared;		/* once trained */
} TrainInput;

/* Raises where nothing can be written. */
extern void prevent_training(const char *command);

/*
 * Are the ratings of a model that others may use temporary, so that they cannot
 * read them?
 */
extern bool is_temporary_for_others(const ModelTarget *target,
									const char *source);

/* Says that the model will not know its ratings, or whatever is temporary. */
extern void notice_temporary(const ModelTarget *target, const char *what);

/* Seconds since a point in time. */
extern double seconds_since(instr_time start);

/*
 * Reads the ratings, and what is to be validated on, below the current memory
 * context; input->started has been set.
 */
extern void train_read(const ModelTarget *target, const TrainOptions *options,
					   TrainInput *input);

/* How many workers a training asks for. */
extern int	train_workers(const TrainOptions *options,
						  const TrainInput *input);

/*
 * Raises if there is nothing to train from or to validate on; creates or checks
 * the model's tables, for ids of the types that were read.
 */
extern void train_prepare(ModelTarget *target, const TrainOptions *options,
						  const TrainInput *input);

/* Sorts what was read, for trainings with or without workers. */
extern void train_sort(const TrainOptions *options, TrainInput *input,
					   int nworkers);

/* Writes what was trained; returns the new row of the model's table. */
extern Datum train_store(ModelTarget *target,
						 const TrainOptions *options,
						 const TrainInput *input,
						 const TrainerResult *result,
						 TupleDesc row_type);

/* Gives back shared memory and files. */
extern void train_end(TrainInput *input);

/*
 * A training from finished ratings: sorts, chooses what options leave open,
 * iterates, writes.
 */
extern Datum train_model(ModelTarget *target, const TrainOptions *options,
						 TrainInput *input, TupleDesc row_type);

#endif							/* ALS_TRAIN_H */
