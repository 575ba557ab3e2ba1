/*
 * explain.h
 *	  What ratings and features contribute to a score.
 */
#ifndef ALS_EXPLAIN_H
#define ALS_EXPLAIN_H

#include "serve/fold_in.h"

/*
 * z[rank] := A^-1 z for the normal equations A of a row of a side with these
 * ratings, and targets[known->size] := what they are to become; returns lambda w
 * of the row (als_features.h).
 */
extern double solve_influence(ModelCache *cache, AlsSide side,
							  const KnownRatings *known, double *z,
							  double *targets);

/* A contribution as type real; raises if it is beyond that. */
extern float contribution_is_real(double contribution);

#endif							/* ALS_EXPLAIN_H */
