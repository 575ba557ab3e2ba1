/*
 * kept_plans.h
 *	  Plans of queries on relations and SELECTs that a version of a model keeps from
 *	  call to call.
 */
#ifndef ALS_KEPT_PLANS_H
#define ALS_KEPT_PLANS_H

#include "model/model_cache.h"
#include "ratings/source.h"

/*
 * What follows WHERE, in terms of the columns that a query returns and of $1, whose
 * type goes into *type; NULL for no condition.  The same for the same columns, as long
 * as the types of the model's ids are.
 */
typedef const char *(*KeptCondition) (const ModelCache *cache, AlsSide side,
									  TupleDesc columns, Oid *type);

/*
 * The plan of SELECT targets FROM the source, followed by tail and a condition, which
 * is NULL for none; with side it says what is read.  As source_prepare makes it, or
 * kept from an earlier call with the same text, if that means the same today.
 */
extern SPIPlanPtr kept_plan(ModelCache *cache, const SourceReading *reading,
							const char *targets, const char *tail,
							AlsSide side, KeptCondition condition);

/* Frees what is kept. */
extern void kept_plans_free(ModelCache *cache);

#endif							/* ALS_KEPT_PLANS_H */
