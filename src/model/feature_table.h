/*
 * feature_table.h
 *	  The factors of features: a table that a model has if it was trained with
 *	  some, a row for each feature of a side.
 */
#ifndef ALS_FEATURE_TABLE_H
#define ALS_FEATURE_TABLE_H

#include "model/factor_table.h"
#include "model/model.h"

/* The factors of a side's features */
typedef struct FeatureFactors
{
	uint32		size;			/* 0: it has none */
	const Datum *names;			/* [size] text */
	const float *factors;		/* [size x als_stride(rank)], the bias the
								 * last if explicit */
} FeatureFactors;

/*
 * The table of a model that is trained with features, which is created if there is
 * none.  It is locked so that nobody changes what is checked of it; raises if it may
 * refuse rows.
 */
extern Oid	feature_table_claim(const ModelTarget *target);

/*
 * Writes the factors of the run to come, by AlsSide, into that table.  Returns it, or
 * InvalidOid if no side has features.
 */
extern Oid	feature_table_write(const ModelTarget *target,
								const FeatureFactors features[2], int factors,
								AlsFeedback feedback);

/* Deletes those of runs that are not kept, once the run's factors are stored. */
extern void feature_table_forget(const ModelTarget *target);

/* The table of a run, open for reading */
typedef struct FeatureTable
{
	Relation	table;
	Relation	index;			/* of its primary key */
	FactorColumns columns;		/* id: the feature */
	AttrNumber	run_column;
	AttrNumber	side_column;
	Snapshot	snapshot;
	TupleTableSlot *slot;
	int32		run;
	int			factors;
} FeatureTable;

/*
 * Opens the table of a run; raises unless it is one of the model's owner.  It
 * needs no grant of its own, as the factor tables.
 */
extern void feature_table_open(FeatureTable *open, Oid model,
							   const ModelRun *run);
extern void feature_table_close(FeatureTable *open);

/*
 * The factors of a feature, with the bias behind them if there is one; false if
 * the side has no such feature.
 */
extern bool feature_table_find(FeatureTable *open, AlsSide side, Datum feature,
							   float *factors);

/* Called once for each feature. */
typedef void (*FeatureVisitor) (Datum feature, const float *factors, void *arg);

/* Visits all features of a side, in their order; factors has room for a row. */
extern void feature_table_scan(FeatureTable *open, AlsSide side, float *factors,
							   FeatureVisitor visit, void *arg);

#endif							/* ALS_FEATURE_TABLE_H */
