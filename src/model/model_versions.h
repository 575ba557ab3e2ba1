/*
 * model_versions.h
 *	  The runs of a model whose factors are kept.
 */
#ifndef ALS_MODEL_VERSIONS_H
#define ALS_MODEL_VERSIONS_H

#include "model/model.h"
#include "utils/relcache.h"

/*
 * Locks the tables of kept runs so that nobody changes what is checked of them,
 * and raises if one of them is not what it has to be, or could not be dropped.
 */
extern void claim_kept_runs(Relation model, const ModelTarget *target);

/* Raises if subscribers get the rows of runs, whose tables they would not have. */
extern void reject_published(const ModelTarget *target);

#endif							/* ALS_MODEL_VERSIONS_H */
