/*
 * feature_table.h
 *	  The factors of features: a table that a model has if it was trained with
 *	  some, a row for each feature of a side.
 */
#ifndef ALS_FEATURE_TABLE_H
#define ALS_FEATURE_TABLE_H

#include "model/model.h"

/* The factors of a side's features */
typedef struct FeatureFactors
{
	uint32		size;			/* 0: it has none */
	const Datum *names;			/* [size] text */
	const float *factors;		/* [size x als_stride(rank)], the bias the
								 * last if explicit */
} FeatureFactors;

/*
 * Writes the factors of the run to come, by AlsSide, into the table of a model that
 * is trained, which is created if there is none.  Returns the table, or InvalidOid
 * if no side has features.
 */
extern Oid	feature_table_write(const ModelTarget *target,
								const FeatureFactors features[2], int factors,
								AlsFeedback feedback);

/* Deletes those of runs that are not kept, once the run's factors are stored. */
extern void feature_table_forget(const ModelTarget *target);

#endif							/* ALS_FEATURE_TABLE_H */
