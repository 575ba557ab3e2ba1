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
	ModelRun	last;			/* the run that serves; 0 before the first,
								 * and the tables are those that are there,
								 * and both once they are prepared */
	int32		newest;			/* number of the newest run, or 0 */
	int			keep;			/* runs to keep, the serving one included */
	bool		deploy;			/* is the new run to serve? */
	List	   *kept;			/* KeptRun *: those beside the serving one,
								 * newest first */
	Oid			new_tables[2];	/* by AlsSide: of the new run, once written */
	Oid			old_tables[2];	/* likewise, of the run that has served; 0: it
								 * is not kept */
	List	   *surplus;		/* KeptRun *: not kept any longer */
} ModelTarget;

/* How the name of a model's table of features ends */
#define FEATURES_SUFFIX "_features"

/* Is the relation a model, a table OF als_model? */
extern bool is_model(Oid relation);

/* Raises unless it is. */
extern void require_model(Oid relation);

/* The owner of a relation */
extern Oid	relation_owner(Oid relation);

/* Raises on a standby, where nothing is written: the hint says where instead. */
extern void prevent_in_recovery(const char *command, const char *hint);

/* Raises unless the user may SELECT from the model. */
extern void model_check_select(Oid model);

/*
 * Reads the newest version of a run: the one that serves for 0, or one that is
 * kept by its number.  Raises if there is no such run.
 */
extern void model_require_run(Relation model, int32 number, ModelRun *run);

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
 * ends.  keep is how many runs to keep, 0 for as many as before.
 */
extern void model_begin_training(const char *name, TupleDesc row_type,
								 const char *function, int keep,
								 ModelTarget *target);

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
 * Stores the factors of a new run: in the factor tables that serve, or if it is
 * not to, in tables of its own.  By AlsSide, rows[ids->size x stride].
 */
extern void model_store_factors(ModelTarget *target,
								const RatedIds *const ids[2],
								const float *const rows[2], int factors,
								AlsFeedback feedback);

/* Appends the run whose factors have been stored, and returns it. */
extern Datum model_add_run(const ModelTarget *target, TupleDesc type,
						   Datum *values, bool *nulls);

/*
 * Raises unless the model has biases, by which a rating can be predicted of which
 * one side is not known.
 */
extern void model_require_biases(Oid model, const ModelRun *run);

#endif							/* ALS_MODEL_H */
