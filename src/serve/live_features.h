/*
 * live_features.h
 *	  What the features of users and items say of them, as of now.
 */
#ifndef ALS_LIVE_FEATURES_H
#define ALS_LIVE_FEATURES_H

#include "model/model_cache.h"
#include "utils/jsonb.h"

/* The features of one user or item */
typedef struct RowFeatures
{
	uint64		size;
	Datum	   *names;			/* [size] text */
	float4	   *values;			/* [size] */
} RowFeatures;

/*
 * Reads the features of an id from where the model was trained, as the caller,
 * in the current memory context; raises for those that a training would not
 * take.  None if the side was trained without.  Whoever calls this asks
 * cache_replaced afterwards.
 */
extern void live_features_read(ModelCache *cache, AlsSide side, Datum id,
							   bool with_active_snapshot, const char *function,
							   RowFeatures *features);

/* The argument features, {"feature": value, ...}; raises for anything else. */
extern void row_features_argument(Jsonb *jsonb, RowFeatures *features);

/*
 * What they say of a row of a side: the sum of their factors times their values,
 * [als_stride(rank)] as a training has it, in the current memory context; NULL
 * if the model knows none of them.
 */
extern float *features_prior(ModelCache *cache, AlsSide side,
							 const RowFeatures *features);

#endif							/* ALS_LIVE_FEATURES_H */
