/*
 * describe_run.h
 *	  The row of als_model that a training writes.
 */
#ifndef ALS_DESCRIBE_RUN_H
#define ALS_DESCRIBE_RUN_H

#include "train/train.h"

/* Of these, where the ratings are; from may be NULL: others cannot read them. */
extern void describe_source(Datum *values, bool *nulls, const char *from,
							const RatingSource *source);

/*
 * Fills in values and nulls, by ModelColumn less 1, but for the run's number
 * and its tables.
 */
extern void describe_run(Datum *values, bool *nulls,
						 const TrainOptions *options, const TrainInput *input,
						 const TrainerResult *result);

#endif							/* ALS_DESCRIBE_RUN_H */
