/*
 * row_solver.c
 *	  What rows of one side are solved with, against the stored factors of the other.
 */
#include "compat.h"

#include "access/htup_details.h"
#include "common/arena.h"
#include "common/side.h"
#include "funcapi.h"
#include "ratings/csr_blocks.h"
#include "serve/fold_in.h"
#include "serve/row_solver.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define RATINGS_PER_CHECK 65536 /* for interrupts */

/* What a call keeps */
typedef struct SolveCall
{
	MemoryContext context;		/* of the solver, reset for each */
	RowSolver  *solver;			/* NULL: there is none */
} SolveCall;

/* An option, which is a string. */
static char *
string_option(Jsonb *options, const char *name)
{
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(options) ||
		getKeyJsonValueFromContainer(&options->root, name, strlen(name),
									 &value) == NULL ||
		value.type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("als_solve needs a string \"%s\" in its options", name),
				 errhint("They are {\"model\": name, \"side\": \"users\" or \"items\"}.")));
	return pnstrdup(value.val.string.val, value.val.string.len);
}

/* The side whose rows are to be solved */
static AlsSide
side_option(Jsonb *options)
{
	char	   *name = string_option(options, "side");

	for (int side = 0; side < 2; side++)
		if (strcmp(name, side_plurals[side]) == 0)
			return side;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown side \"%s\"", name),
			 errhint("It is either \"users\" or \"items\".")));
}

/* Raises for a Gram matrix that is singular. */
static void
reject_gram(const RowSolver *solver)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("the normal equations are singular"),
			 errdetail("The Gram matrix of the %s is singular to double precision.",
					   side_plurals[other_side(solver->side)]),
			 errhint("Train the model with a regularization above %g.",
					 solver->cache->run.regularization)));
}

/* Prepares what implicit rows are solved against: the Gram matrix, factored. */
static void
prepare_gram(RowSolver *solver, const float *rows, uint32 nrows)
{
	AlsSystem  *system = &solver->system;
	int			rank = system->rank;
	size_t		square = (size_t) als_stride(rank) * als_stride(rank) * sizeof(float);
	double	   *gram = palloc((size_t) rank * rank * sizeof(double));
	float	   *base = allocate_aligned(CurrentMemoryContext, square);
	float	   *factor = allocate_aligned(CurrentMemoryContext, square);
	void	   *workspace;
	double		regularization = solver->cache->run.regularization;
	size_t		size = als_gram_workspace(rank);
	int			result;

	/* singular whatever rounding makes of it */
	if (regularization == 0 && nrows < (uint32) rank)
		reject_gram(solver);

	size = Max(size, als_gram_exact_workspace(rank));
	size = Max(size, als_gram_finish_workspace(system));
	workspace = allocate_aligned(CurrentMemoryContext, size);
	als_gram(system->blas, system->poll, rank, nrows, rows, gram, workspace);
	result = als_gram_finish(system, regularization, 1, gram, false,
							 base, factor, NULL, workspace);
	if (result == ALS_SUM_IN_DOUBLE)
	{
		als_gram_exact(system->blas, system->poll, rank, nrows, rows, gram,
					   workspace);
		result = als_gram_finish(system, regularization, 1, gram, true,
								 base, factor, NULL, workspace);
	}
	if (result > 0)
		reject_gram(solver);
	system->exact = result == ALS_SOLVE_IN_DOUBLE;
	system->gram = gram;
	system->base = base;
	system->base_factor = factor;
	system->fixed = system->stored = rows;
}

/* The model that options name */
static Oid
model_option(Jsonb *options)
{
	return DatumGetObjectId(DirectFunctionCall1(regclassin,
												CStringGetDatum(string_option(options, "model"))));
}

/* Prepares the solver, in the current memory context, which is its own. */
static RowSolver *
begin_solver(Jsonb *options, Oid id_type)
{
	RowSolver  *solver = palloc0(sizeof(RowSolver));
	AlsSystem  *system = &solver->system;
	AlsSide		other;
	uint32		nrows;

	solver->context = CurrentMemoryContext;
	solver->options = palloc(VARSIZE(options));
	memcpy(solver->options, options, VARSIZE(options));
	solver->side = side_option(solver->options);
	other = other_side(solver->side);
	solver->model = model_option(solver->options);
	solver->pin = cache_pin(solver->model, 0);
	solver->cache = solver->pin->cache;
	if (!cache_load(solver->cache, other))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("the factors of %s do not fit into als.cache_size",
						side_plurals[other]),
				 errhint("Raise als.cache_size.")));
	solver->image = solver->cache->sides[other].image;
	solver->type = &solver->cache->sides[other].type;
	id_conversion_init(&solver->conversion, solver->type, id_type,
					   side_names[other], CurrentMemoryContext);

	nrows = solver->image->nrows;
	row_system(solver->cache, solver->side, system);
	system->exact = false;
	system->nfixed = nrows;
	if (system->feedback == ALS_IMPLICIT)
		prepare_gram(solver, image_rows(solver->image), nrows);
	else
		solver->rated = AllocSetContextCreate(CurrentMemoryContext, "als rated",
											  ALLOCSET_DEFAULT_SIZES);
	solver->solved = allocate_aligned(CurrentMemoryContext,
									  als_stride(system->rank) * sizeof(float));
	solver->workspace = allocate_aligned(CurrentMemoryContext,
										 als_solve_workspace(system));
	return solver;
}

/* Was the solver made for such options? */
static bool
has_options(const RowSolver *solver, const Jsonb *options)
{
	return VARSIZE(options) == VARSIZE(solver->options) &&
		memcmp(options, solver->options, VARSIZE(options)) == 0;
}

/*
 * Is the solver that of the model's current version still?  Where something has been
 * rolled back, or another table has changed, that has to be looked at.
 */
static bool
is_current(const RowSolver *solver)
{
	MemoryContext context;
	MemoryContext old;
	bool		current;

	if (cache_pin_ready(solver->pin, solver->model, 0))
		return true;
	if (solver->pin->cache == NULL)
		return false;
	context = AllocSetContextCreate(CurrentMemoryContext, "als model",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	current = model_option(solver->options) == solver->model &&
		cache_open(solver->model) == solver->cache;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return current;
}

RowSolver *
row_solver_find(FunctionCallInfo fcinfo, int argument, Oid id_type, bool aggregate)
{
	SolveCall  *call = fcinfo->flinfo->fn_extra;
	Jsonb	   *options;
	MemoryContext old;
	RowSolver  *solver;

	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("options must not be null"),
				 errhint("They are {\"model\": name, \"side\": \"users\" or \"items\"}.")));
	options = PG_GETARG_JSONB_P(argument);
	if (call == NULL)
	{
		call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt,
									  sizeof(SolveCall));
		call->context = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt,
											  "als solver",
											  ALLOCSET_DEFAULT_SIZES);
		fcinfo->flinfo->fn_extra = call;
	}
	if (call->solver != NULL && aggregate && !has_options(call->solver, options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the options of als_solve must be the same for all rows of a query"),
				 errhint("Use a query for each model.")));
	if (call->solver != NULL &&
		(aggregate || (has_options(call->solver, options) &&
					   is_current(call->solver))))
		return call->solver;

	/* lets go first, so that there is room for another version */
	call->solver = NULL;
	MemoryContextReset(call->context);
	old = MemoryContextSwitchTo(call->context);
	solver = begin_solver(options, id_type);
	MemoryContextSwitchTo(old);
	call->solver = solver;
	return solver;
}

/*
 * Gathers what an explicit row is solved against: factors and 1, biases apart, of those
 * that it has rated, whose places become the columns.  A copy of all others would be
 * another one in each session; this is little beside solving the row.
 */
static void
gather_rated(RowSolver *solver, RatedRow *row)
{
	AlsSystem  *system = &solver->system;
	ModelCache *cache = solver->cache;
	size_t		stride = als_stride(system->rank);
	int			factors = system->rank - 1;
	int			bias = bias_position(cache, other_side(solver->side));

	if (row->size > solver->capacity)
	{
		uint64		capacity = Max(row->size, 2 * solver->capacity);

		capacity = Min(capacity, solver->image->nrows);
		solver->capacity = 0;
		MemoryContextReset(solver->rated);
		solver->fixed = allocate_aligned(solver->rated,
										 capacity * stride * sizeof(float));
		solver->bias = MemoryContextAllocHuge(solver->rated,
											  capacity * sizeof(float));
		solver->capacity = capacity;
	}
	for (uint64 i = 0; i < row->size; i++)
	{
		const float *from = image_rows(solver->image) +
			(size_t) row->entries[i].column * cache->stride;
		float	   *to = solver->fixed + i * stride;

		if (i % RATINGS_PER_CHECK == 0)
			CHECK_FOR_INTERRUPTS();
		memset(to, 0, stride * sizeof(float));
		memcpy(to, from, factors * sizeof(float));
		to[factors] = cache->run.biases ? 1 : 0;
		solver->bias[i] = from[bias];
		row->entries[i].column = i;
	}
	system->fixed = system->stored = solver->fixed;
	system->bias = solver->bias;
}

Datum
row_solver_solve(RatedRow *row, TupleDesc type)
{
	RowSolver  *solver = row->solver;
	AlsSystem  *system = &solver->system;
	AlsRows		rows = {0};
	uint64		start[2] = {0, 0};
	double		loss = 0;
	uint32_t	failed;
	int			result;
	Datum		values[SOLUTION_COLUMNS];
	bool		nulls[SOLUTION_COLUMNS] = {false};

	row->size = sort_and_merge(row->entries, row->weights, row->size,
							   system->feedback);
	if (system->feedback == ALS_EXPLICIT)
		gather_rated(solver, row);
	start[1] = row->size;
	rows.nrows = 1;
	rows.start = start;
	rows.entries = row->entries;
	rows.weights = row->weights;
	memset(solver->solved, 0, als_stride(system->rank) * sizeof(float));
	result = als_solve_rows(system, &rows, solver->solved, solver->workspace,
							&loss, &failed);
	if (result != ALS_OK)
		reject_row(solver->cache, result);
	values[0] = reals_datum(solver->solved, system->rank);
	values[1] = Int64GetDatum(row->size);
	values[2] = Float8GetDatum(loss);
	values[3] = Float8GetDatum(solver->cache->run.regularization *
							   als_penalty(system, &rows, solver->solved));
	return HeapTupleGetDatum(heap_form_tuple(type, values, nulls));
}
