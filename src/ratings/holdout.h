/*
 * holdout.h
 *	  A split of ratings into two parts, by their ids alone.
 */
#ifndef ALS_HOLDOUT_H
#define ALS_HOLDOUT_H

#include "postgres.h"

/* How pairs of ids of two types are split */
typedef struct Holdout Holdout;

/*
 * Prepares a split that holds out a fraction from 0 to 1, in the current memory
 * context; raises for types whose text depends on settings, and for collations by which
 * texts of different bytes are equal.
 */
extern Holdout *holdout_create(const Oid types[2], const Oid collations[2],
							   double fraction, int64 seed);

/* Is the pair held out?  Uses the current memory context. */
extern bool holdout_holds_out(Holdout *holdout, Datum user, Datum item);

#endif							/* ALS_HOLDOUT_H */
