/*
 * better.h
 *	  Is a run that has been trained better than the one that serves?
 */
#ifndef ALS_BETTER_H
#define ALS_BETTER_H

#include "train/train.h"

/*
 * Measures both on what was set aside, by the metric of the validation, and puts
 * the figures into the input.
 */
extern bool is_better(const ModelTarget *target, const TrainOptions *options,
					  TrainInput *input, const TrainerResult *result);

#endif							/* ALS_BETTER_H */
