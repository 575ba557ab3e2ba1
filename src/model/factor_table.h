/*
 * factor_table.h
 *	  Reading a table of factors: one row for each user or item.
 */
#ifndef ALS_FACTOR_TABLE_H
#define ALS_FACTOR_TABLE_H

#include "access/tableam.h"
#include "common/ids.h"
#include "model/run_row.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

/* Where the columns of a factor table are */
typedef struct FactorColumns
{
	AttrNumber	id;
	AttrNumber	factors;
	AttrNumber	bias;			/* 0: the model has no biases */
} FactorColumns;

/* A walk over the rows that have an id */
typedef struct FactorScan
{
	AttrNumber	id;				/* its column */
	TupleTableSlot *slot;		/* the row, for factor_table_row */
	TableScanDesc scan;
} FactorScan;

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
 * Begins a walk, goes on to the next row, whose id is put into *id, or returns
 * false behind the last, and ends it, there or before.
 */
extern void factor_scan_begin(FactorScan *scan, Relation table,
							  const FactorColumns *columns, Snapshot snapshot);
extern bool factor_scan_next(FactorScan *scan, Datum *id);
extern void factor_scan_end(FactorScan *scan);

/*
 * Finds the row of an id, by an index if there is one; it is put into a slot
 * that the caller has made.
 */
extern bool factor_table_find(Relation table, const FactorColumns *columns,
							  const IdType *type, Snapshot snapshot, Datum id,
							  TupleTableSlot *slot);

#endif							/* ALS_FACTOR_TABLE_H */
