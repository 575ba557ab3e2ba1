/*
 * row_solver.h
 *	  Solving a row of one side from its ratings, against the stored factors of
 *	  the other side.
 */
#ifndef ALS_ROW_SOLVER_H
#define ALS_ROW_SOLVER_H

#include "access/tupdesc.h"
#include "common/id_conversion.h"
#include "core/als_core.h"
#include "fmgr.h"
#include "model/model_cache.h"
#include "utils/jsonb.h"

#define SOLUTION_COLUMNS 4		/* of als_solution */

/* One row's ratings */
typedef struct RatedRow
{
	struct RowSolver *solver;
	MemoryContext context;		/* of entries and weights */
	uint64		size;
	uint64		capacity;
	bool		weighted;		/* do ratings come with weights? */
	AlsEntry   *entries;
	float	   *weights;		/* explicit: of the entries, if weighted */
} RatedRow;

/* What all rows are solved with that a version of the model has */
typedef struct RowSolver
{
	MemoryContext context;		/* of all of it, the pin as well */
	Jsonb	   *options;		/* as given */
	Oid			model;
	CachePin   *pin;
	ModelCache *cache;			/* which that is of */
	AlsSide		side;			/* of the rows to solve */
	const Image *image;			/* of the other side */
	const IdType *type;
	IdConversion conversion;
	AlsSystem	system;
	float	   *solved;			/* [stride] */
	void	   *workspace;
	MemoryContext rated;		/* of fixed and bias */
	float	   *fixed;			/* explicit: [capacity x stride], what a row
								 * has rated */
	float	   *bias;			/* [capacity] and their biases */
	uint64		capacity;
	TupleDesc	result;			/* als_solution; of the function alone */
	RatedRow	row;			/* likewise, used for one row after the other */
} RowSolver;

/*
 * The solver for a row, made with the first and kept by the function that is called;
 * its options are an argument, and id_type is the type of what ids are given as.  An
 * aggregate, whose rows belong together, has one for all of them; a function, which
 * may be called by one query after the other, has what is current.
 */
extern RowSolver *row_solver_find(FunctionCallInfo fcinfo, int argument, Oid id_type,
								  bool aggregate);

/* Solves a row, of which the model knows some id; an als_solution, of that type. */
extern Datum row_solver_solve(RatedRow *row, TupleDesc type);

/* Are the ids that are given integers, as the model's are? */
static inline bool
finds_integers(const RowSolver *solver)
{
	return solver->type->integer &&
		(solver->conversion.path == ID_AS_IS ||
		 solver->conversion.path == ID_INTEGER);
}

#endif							/* ALS_ROW_SOLVER_H */
