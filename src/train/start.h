/*
 * start.h
 *	  Where an implicit training starts.
 */
#ifndef ALS_START_H
#define ALS_START_H

#include "train/trainer_process.h"

/*
 * Turns the items' random factors to the leading singular vectors of the
 * ratings; users are at 0 again then.  Every process calls it.
 */
extern void start_from_singular_vectors(TrainerProcess *me);

#endif							/* ALS_START_H */
