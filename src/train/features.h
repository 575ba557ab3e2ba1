/*
 * features.h
 *	  Features in the iterations: their factors, and the priors of rows.
 */
#ifndef ALS_TRAIN_FEATURES_H
#define ALS_TRAIN_FEATURES_H

#include "ratings/features.h"
#include "train/trainer_process.h"

/* Reserves room for a side's features; validating: for the best factors too. */
extern void features_reserve(FeatureState *state, const SideFeatures *features,
							 size_t stride, bool validating, size_t *size);

/* Copies what has been read there. */
extern void features_load(TrainerState *shared, AlsSide side,
						  const SideFeatures *features);

/* Makes them known to a process. */
extern void features_attach(TrainerProcess *me);

/*
 * Before the first iteration: what the rows weigh, the matrices, and the
 * factors of the features for the rows that the training starts from.
 */
extern void features_start(TrainerProcess *me);

/*
 * Once a side's rows are solved: the factors of its features for these, the
 * priors that they make, and what both add to the objective.
 */
extern void features_solve(TrainerProcess *me, AlsSide side);

/*
 * The leader's, before a validation: the factors of rows that no rating of the
 * training has.  False, and noted, if they are out of range.
 */
extern bool features_fill_measured(TrainerProcess *me);

/*
 * The factors of rows that no rating has, in the places behind those that are
 * rated.
 */
extern void features_fill_new(const SideFeatures *features,
							  const TrainerResult *result, AlsSide side);

#endif							/* ALS_TRAIN_FEATURES_H */
