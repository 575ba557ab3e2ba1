/*
 * train.h
 *	  The phases of a training, in order.
 */
#ifndef ALS_TRAIN_H
#define ALS_TRAIN_H

#include "access/tupdesc.h"
#include "model.h"
#include "options.h"
#include "portability/instr_time.h"

/* Raises where nothing can be written. */
extern void prevent_training(const char *command);

/*
 * Trains from finished ratings and stores the model: sorts, iterates, writes.
 * from is what was read, NULL for an aggregate; started when reading began.
 * Returns the new row of the model's table.
 */
extern Datum train_model(ModelTarget *target, const TrainOptions *options,
						 Ratings *ratings, const char *from,
						 instr_time started, TupleDesc row_type);

#endif							/* ALS_TRAIN_H */
