/*
 * model.h
 *	  A model as relations: a typed table with a row per training run, and two
 *	  tables of factors.
 */
#ifndef ALS_MODEL_H
#define ALS_MODEL_H

#include "common/ids.h"
#include "core/als_core.h"
#include "model/run_row.h"
#include "ratings/ratings.h"
#include "storage/lockdefs.h"

/* A model being trained */
typedef struct ModelTarget
{
	Oid			model;
	char	   *schema;
	char	   *name;
	char	   *extension_schema;
	ModelRun	last;			/* the run before; run is 0 for the first, and
								 * the tables are those that are there, and
								 * both once they are prepared */
} ModelTarget;

/* Is the relation a model, a table OF als_model? */
extern bool is_model(Oid relation);

/* Raises unless it is. */
extern void require_model(Oid relation);

/* Raises on a standby, where nothing is written: the hint says where instead. */
extern void prevent_in_recovery(const char *command, const char *hint);

/* Raises unless the user may SELECT from the model. */
extern void model_check_select(Oid model);

/*
 * Raises if the run does not know what it was trained from; the hint says what
 * the caller can do instead.
 */
extern void model_require_source(Oid model, const ModelRun *run,
								 const char *hint);

/*
 * Locks a model, which excludes trainings and, in other modes than that of a
 * refresh, refreshes.  Raises if that would wait for a training that will wait
 * for this transaction, because it has read the factors.
 */
extern void model_lock(Oid model, LOCKMODE mode, const char *function);

/*
 * Finds the model that a function of training was given by name, or creates
 * its table.  It stays locked against other trainings until the transaction
 * ends.
 */
extern void model_begin_training(const char *name, TupleDesc row_type,
								 const char *function, ModelTarget *target);

/*
 * To be asked when the ratings have been read: raises if a function of theirs
 * has changed the model, which its locks do not prevent in this session.
 */
extern void model_check_unchanged(const ModelTarget *target);

/* Creates the factor tables of a new model; checks those of an old one. */
extern void model_prepare_tables(ModelTarget *target, AlsFeedback feedback,
								 const IdType *const types[2],
								 const RatedIds *const ids[2]);

/*
 * Replaces the contents of both factor tables, as REFRESH MATERIALIZED VIEW
 * does: new heaps are filled, swapped in and indexed.  By AlsSide,
 * rows[ids->size x stride].
 */
extern void model_replace_factors(const ModelTarget *target,
								  const RatedIds *const ids[2],
								  const float *const rows[2], int factors,
								  AlsFeedback feedback);

/* Appends a run and returns it. */
extern Datum model_add_run(const ModelTarget *target, TupleDesc type,
						   Datum *values, bool *nulls);

/*
 * Raises unless the model has biases, by which a rating can be predicted of which
 * one side is not known.
 */
extern void model_require_biases(Oid model, const ModelRun *run);

#endif							/* ALS_MODEL_H */
