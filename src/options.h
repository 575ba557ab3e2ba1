/*
 * options.h
 *	  The parameters of a training, from SQL arguments or from jsonb.
 */
#ifndef ALS_OPTIONS_H
#define ALS_OPTIONS_H

#include "fmgr.h"
#include "ratings.h"
#include "training.h"
#include "utils/jsonb.h"

typedef struct TrainOptions
{
	RatingSource source;
	TrainingParameters parameters;
	int			workers;		/* -1: as the server's settings allow */
	bool		nonnegative;	/* then parameters.solver is ALS_NONNEGATIVE */
	bool		warm_start;
} TrainOptions;

/*
 * als_train's arguments from the third on, in the order of its declaration;
 * raises for what is out of range.
 */
extern void options_from_arguments(TrainOptions *options,
								   FunctionCallInfo fcinfo);

/*
 * als_train_agg's options: the same names, defaults and ranges; raises for
 * unknown names and wrong types.  NULL for none.
 */
extern void options_from_jsonb(TrainOptions *options, Jsonb *jsonb);

extern const char *feedback_name(AlsFeedback feedback);

/* NULL for the nonnegative one, which is not to be chosen. */
extern const char *solver_name(AlsSolver solver);

#endif							/* ALS_OPTIONS_H */
