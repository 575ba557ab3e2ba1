/*
 * evaluate_arguments.h
 *	  The arguments that the functions of an evaluation have in common.
 */
#ifndef ALS_EVALUATE_ARGUMENTS_H
#define ALS_EVALUATE_ARGUMENTS_H

#include "evaluate/evaluate_data.h"
#include "fmgr.h"
#include "utils/array.h"

#define EVALUATE_ARGUMENTS 10	/* from the model to workers */

/* Reads them; first is the place of the model, behind which the others come. */
extern void evaluate_arguments(EvaluateOptions *options,
							   FunctionCallInfo fcinfo, int first);

/* Adds the k of an array of bigint; nulls in it do not count. */
extern void evaluate_more_k(EvaluateOptions *options, ArrayType *array);

#endif							/* ALS_EVALUATE_ARGUMENTS_H */
