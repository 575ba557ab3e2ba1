/*
 * run_row.h
 *	  A training run as a row of als_model: which columns there are, reading
 *	  rows of a model's table, and forming a new one.
 */
#ifndef ALS_RUN_ROW_H
#define ALS_RUN_ROW_H

#include "access/tupdesc.h"
#include "core/als_core.h"
#include "nodes/pg_list.h"
#include "ratings/weighing.h"
#include "storage/itemptr.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* Columns of type als_model, in the order of the SQL scripts */
typedef enum ModelColumn
{
	MODEL_RUN = 1,
	MODEL_TRAINED_AT,
	MODEL_SOURCE,
	MODEL_USER_COLUMN,
	MODEL_ITEM_COLUMN,
	MODEL_RATING_COLUMN,
	MODEL_EVENT_COLUMN,
	MODEL_EVENT_WEIGHTS,
	MODEL_TIME_COLUMN,
	MODEL_HALF_LIFE,
	MODEL_REFERENCE_TIME,
	MODEL_WEIGHT_COLUMN,
	MODEL_USER_FEATURES,
	MODEL_ITEM_FEATURES,
	MODEL_FEEDBACK,
	MODEL_FACTORS,
	MODEL_REGULARIZATION,
	MODEL_REGULARIZATION_SCALING,
	MODEL_REGULARIZATION_BY,
	MODEL_FEATURE_REGULARIZATION,
	MODEL_ALPHA,
	MODEL_NONNEGATIVE,
	MODEL_BIASES,
	MODEL_ITERATIONS,
	MODEL_SOLVER,
	MODEL_CG_STEPS,
	MODEL_TOLERANCE,
	MODEL_VALIDATION,
	MODEL_VALIDATION_FRACTION,
	MODEL_VALIDATION_SEED,
	MODEL_VALIDATION_METRIC,
	MODEL_VALIDATION_K,
	MODEL_PATIENCE,
	MODEL_SEED,
	MODEL_WARM_START,
	MODEL_WORKERS,
	MODEL_USERS,
	MODEL_ITEMS,
	MODEL_NEW_USERS,
	MODEL_NEW_ITEMS,
	MODEL_RATINGS,
	MODEL_MEAN_RATING,
	MODEL_LOSS,
	MODEL_LOSSES,
	MODEL_VALIDATION_CURVE,
	MODEL_BEST_ITERATION,
	MODEL_SECONDS,
	MODEL_DEPLOY,
	MODEL_COMPARED_WITH,
	MODEL_COMPARED_VALUE,
	MODEL_COMPARED_OTHER,
	MODEL_COMPARED_ERROR,
	MODEL_KEEP,
	MODEL_SERVING,
	MODEL_USER_FACTORS,
	MODEL_ITEM_FACTORS,
	MODEL_FEATURE_FACTORS
} ModelColumn;

#define MODEL_COLUMNS MODEL_FEATURE_FACTORS

/* What serving needs of a training run */
typedef struct ModelRun
{
	int32		run;			/* 0: the model has never been trained */
	ItemPointerData tid;		/* of its row, as read */
	bool		serving;		/* and is not only kept */
	AlsFeedback feedback;
	int			factors;
	double		regularization; /* NAN if not known, as the next two */
	double		regularization_scaling; /* nu */
	bool		by_ratings;		/* nu is the power of their number */
	bool		nonnegative;
	bool		biases;			/* false: mean and biases are 0 */
	double		alpha;			/* 0 if explicit */
	float		mean_rating;
	char	   *source;			/* NULL: trained by the aggregate */
	char	   *user_column;
	char	   *item_column;
	char	   *rating_column;	/* NULL: every row counts 1 */
	Weighing	weighing;		/* of what a row counts */
	bool		has_features[2];	/* of a side, by AlsSide */
	char	   *features[2];	/* where these are; NULL: not known */
	int64		rows[2];		/* by AlsSide, as trained */
	Oid			factor_tables[2];	/* by AlsSide */
	Oid			feature_table;	/* InvalidOid: trained without features */
} ModelRun;

/* A run that is kept beside the one that serves */
typedef struct KeptRun
{
	int32		run;
	Oid			factor_tables[2];	/* by AlsSide */
} KeptRun;

/* What the rows of a model's table say of its runs together */
typedef struct RunList
{
	int32		newest;			/* 0: the model has never been trained */
	int			keep;			/* how many are to be kept, the serving one
								 * included */
	List	   *kept;			/* KeptRun *, newest first */
} RunList;

/* Do two readings of a run name the same factors? */
static inline bool
run_is_same(const ModelRun *a, const ModelRun *b)
{
	return a->run == b->run && a->feedback == b->feedback &&
		a->factors == b->factors &&
		a->factor_tables[ALS_USERS] == b->factor_tables[ALS_USERS] &&
		a->factor_tables[ALS_ITEMS] == b->factor_tables[ALS_ITEMS];
}

/* Raises unless the type has the columns that a run cannot do without. */
extern void run_check_type(TupleDesc type);

/*
 * A run that the snapshot sees, in the current memory context: the one that
 * serves for 0, or one that is kept by its number.  False if there are no runs
 * at all.  The model's table is open; raises if its columns are not those of
 * als_model, or if there is no such run.
 */
extern bool model_read_run(Relation model, Snapshot snapshot, int32 number,
						   ModelRun *run);

/* All runs that the snapshot sees, likewise. */
extern void model_list_runs(Relation model, Snapshot snapshot, RunList *list);

/* A row of the type from values and nulls by column. */
extern Datum run_form(TupleDesc type, const Datum *values, const bool *nulls);

#endif							/* ALS_RUN_ROW_H */
