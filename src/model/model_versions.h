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

/*
 * Raises unless runs of the model can be kept: the user may create their tables, and
 * subscribers do not get the rows without these.
 */
extern void check_may_keep(const ModelTarget *target);

#endif							/* ALS_MODEL_VERSIONS_H */
