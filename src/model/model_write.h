/*
 * model_write.h
 *	  What storing a run needs of the tables of a model, beside model.h.
 */
#ifndef ALS_MODEL_WRITE_H
#define ALS_MODEL_WRITE_H

#include "model/model.h"
#include "utils/relcache.h"

/* Raises unless the user may create tables in the schema. */
extern void check_may_create(Oid schema);

/* Raises unless the model is the user's. */
extern void model_check_owner(Oid model);

/*
 * Reads the runs of a model that is locked against trainings, and claims its
 * tables.  keep is how many runs to keep, 0 for as many as before.
 */
extern void model_open_target(Oid model, int keep, ModelTarget *target);

/* Creates an empty factor table. */
extern Oid	create_factor_table(const ModelTarget *target, AlsSide side,
								const char *name, const IdType *type,
								AlsFeedback feedback);

/* Creates a model's table of features, with these columns. */
extern Oid	create_feature_table(const ModelTarget *target,
								 const char *columns);

/*
 * Makes DROP TABLE of the model take a factor table along, and refuse to drop
 * that alone.  Recorded anew by each training, since pg_dump does not carry it.
 */
extern void depend_on_model(const ModelTarget *target, Oid table);

#endif							/* ALS_MODEL_WRITE_H */
