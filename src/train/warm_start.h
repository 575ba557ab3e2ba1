/*
 * warm_start.h
 *	  Factors to start a training from: those of the run before.
 */
#ifndef ALS_WARM_START_H
#define ALS_WARM_START_H

#include "model/model.h"
#include "train/options.h"
#include "train/trainer.h"

/*
 * Overwrites the starting factors of ids that the model knows with what is
 * stored for them.
 */
extern void load_starting_factors(const ModelTarget *target,
								  const TrainOptions *options,
								  const TrainerResult *start,
								  const Ratings *ratings, AlsSide side);

#endif							/* ALS_WARM_START_H */
