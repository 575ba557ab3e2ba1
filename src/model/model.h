/*
 * model.h
 *	  A model as relations: a typed table with a row per training run, and two
 *	  tables of factors.
 */
#ifndef ALS_MODEL_H
#define ALS_MODEL_H

#include "common/ids.h"
#include "core/als_core.h"
#include "executor/tuptable.h"
#include "model/run_row.h"
#include "ratings/ratings.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"

/* Where the columns of a factor table are */
typedef struct FactorColumns
{
	AttrNumber	id;
	AttrNumber	factors;
	AttrNumber	bias;			/* 0: the model has no biases */
} FactorColumns;

/* A model being trained */
typedef struct ModelTarget
{
	Oid			model;
	char	   *schema;
	char	   *name;
	char	   *extension_schema;
	ModelRun	last;			/* the run before; run is 0 for the first, and
								 * the tables are those that are there */
	Oid			factor_tables[2];	/* by AlsSide */
} ModelTarget;

/*
 * Puts a bias, which stands behind the factors of an explicit row, where
 * serving wants it: [x_u, b_u, 1] and [y_i, 1, b_i], so that the score is an
 * inner product.
 */
static inline void
serve_bias(float *row, int factors, AlsSide side)
{
	float		bias = row[factors];

	row[factors] = side == ALS_USERS ? bias : 1;
	row[factors + 1] = side == ALS_USERS ? 1 : bias;
}

/* The length of a row that serving wants. */
static inline int
serving_stride(AlsFeedback feedback, int factors)
{
	return als_stride(factors + (feedback == ALS_EXPLICIT ? 2 : 0));
}

/* Is the relation a model, a table OF als_model? */
extern bool is_model(Oid relation);

/* Raises unless it is. */
extern void require_model(Oid relation);

/* Raises on a standby, where nothing is written: the hint says where instead. */
extern void prevent_in_recovery(const char *command, const char *hint);

/* Raises unless the user may SELECT from the model. */
extern void model_check_select(Oid model);

/*
 * Opens a factor table of the model and checks that it is one: same owner,
 * expected columns.
 */
extern Relation factor_table_open(Relation model, const ModelRun *run,
								  AlsSide side, LOCKMODE lockmode,
								  FactorColumns *columns);

/* The id type of an open factor table. */
extern void factor_table_id_type(Relation table, const FactorColumns *columns,
								 IdType *type, MemoryContext context);

/*
 * Copies the factors of a tuple to row[factors], and the bias behind them if
 * there is one; raises for an array that is not [factors] finite reals.
 */
extern void factor_table_row(Relation table, const FactorColumns *columns,
							 TupleTableSlot *slot, int factors, float *row);

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
								 const Ratings *ratings);

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

#endif							/* ALS_MODEL_H */
