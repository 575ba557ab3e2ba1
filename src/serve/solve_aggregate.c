/*
 * solve_aggregate.c
 *	  als_solve, als_solve_row: rows of one side from their ratings, against the stored
 *	  factors of the other side.
 *
 * Half an iteration as SQL, from single ratings by an aggregate, or by a
 * function from what has been grouped once for many iterations:
 *
 *	  SELECT user_id, als_solve(item_id, rating, '{"model": "m", "side": "users"}')
 *	  FROM ratings GROUP BY user_id
 *
 *	  SELECT user_id, als_solve_row(item_ids, ratings, '{"model": "m", "side": "users"}')
 *	  FROM grouped
 *
 * What rows are solved against is prepared once for a query by the aggregate, and by
 * the function, whose call may outlive a query in a loop of PL/pgSQL, once for each
 * version of the model.  A row is solved by the solver that als_train has for solver => 'cholesky', and its result
 * tells its part of the objective, so that whoever adds up all rows knows what
 * als_train would have said.
 *
 * An aggregate is what engines push down to where the ratings are.  Hence all
 * that it has to know comes with the call, and its options are jsonb:
 * postgres_fdw sends no text, whose collation it cannot vouch for.
 */
#include "compat.h"

#include "access/htup_details.h"
#include "common/arena.h"
#include "common/arguments.h"
#include "common/blas_loader.h"
#include "common/settings.h"
#include "common/side.h"
#include "funcapi.h"
#include "ratings/csr_blocks.h"
#include "serve/fold_in.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(als_solve_transfn);
PG_FUNCTION_INFO_V1(als_solve_finalfn);
PG_FUNCTION_INFO_V1(als_solve_row);
PG_FUNCTION_INFO_V1(als_starting_factors);

/* Arguments of the aggregate, behind the state */
enum
{
	ARG_STATE, ARG_ID, ARG_RATING, ARG_OPTIONS
};

/* Arguments of the function */
enum
{
	ARG_IDS, ARG_RATINGS, ARG_ARRAY_OPTIONS
};

#define FIRST_CAPACITY 8		/* ratings */
#define RATINGS_PER_CHECK 65536 /* for interrupts */
#define IDS_AT_ONCE 256
#define SOLUTION_COLUMNS 4		/* of als_solution */

/* One row's ratings */
typedef struct SolveState
{
	struct Solver *solver;
	MemoryContext context;		/* of the entries */
	uint64		size;
	uint64		capacity;
	AlsEntry   *entries;
} SolveState;

/* What all rows are solved with that a version of the model has */
typedef struct Solver
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
	SolveState	row;			/* likewise, used for one row after the other */
} Solver;

/* What a call keeps */
typedef struct SolveCall
{
	MemoryContext context;		/* of the solver, reset for each */
	Solver	   *solver;			/* NULL: there is none */
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
reject_gram(const Solver *solver)
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
prepare_gram(Solver *solver, const float *rows, uint32 nrows)
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

/*
 * Gathers what an explicit row is solved against: factors and 1, biases apart, of those
 * that it has rated, whose places become the columns.  A copy of all others would be
 * another one in each session; this is little beside solving the row.
 */
static void
gather_rated(Solver *solver, SolveState *row)
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

/* The model that options name */
static Oid
model_option(Jsonb *options)
{
	return DatumGetObjectId(DirectFunctionCall1(regclassin,
												CStringGetDatum(string_option(options, "model"))));
}

/* Prepares the solver, in the current memory context, which is its own. */
static Solver *
begin_solver(Jsonb *options, Oid id_type)
{
	Solver	   *solver = palloc0(sizeof(Solver));
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
has_options(const Solver *solver, const Jsonb *options)
{
	return VARSIZE(options) == VARSIZE(solver->options) &&
		memcmp(options, solver->options, VARSIZE(options)) == 0;
}

/*
 * Is the solver that of the model's current version still?  Where something has been
 * rolled back, or another table has changed, that has to be looked at.
 */
static bool
is_current(const Solver *solver)
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

/*
 * The solver for a row, made with the first; id_type is the type of what ids are
 * given as.  An aggregate, whose rows belong together, has one for all of them; a
 * function, which may be called by one query after the other, has what is current.
 */
static Solver *
find_solver(FunctionCallInfo fcinfo, int argument, Oid id_type, bool aggregate)
{
	SolveCall  *call = fcinfo->flinfo->fn_extra;
	Jsonb	   *options;
	MemoryContext old;
	Solver	   *solver;

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

/* Makes room for so many ratings, in the row's memory context. */
static void
reserve(SolveState *row, uint64 capacity)
{
	size_t		size = capacity * sizeof(AlsEntry);

	if (capacity <= row->capacity)
		return;
	row->entries = row->entries == NULL ?
		MemoryContextAllocHuge(row->context, size) :
		repalloc_huge(row->entries, size);
	row->capacity = capacity;
}

/* Adds a rating for which there is room, unless the model does not know the id. */
static inline void
add_rating(SolveState *row, Datum value, double rating)
{
	Solver	   *solver = row->solver;
	Datum		id;
	uint32		column;

	if (id_convert(&solver->conversion, value, &id) &&
		image_find(solver->image, solver->type, id, &column))
	{
		row->entries[row->size].column = column;
		row->entries[row->size].rating = (float4) rating;
		row->size++;
	}
}

/* Are the ids that are given integers, as the model's are? */
static inline bool
finds_integers(const Solver *solver)
{
	return solver->type->integer &&
		(solver->conversion.path == ID_AS_IS ||
		 solver->conversion.path == ID_INTEGER);
}

/* Raises for an id or a rating that is null. */
pg_noreturn static void
reject_null(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("%s of als_solve must not be null", what),
			 errhint("Leave such rows out.")));
}

/* Raises for a rating, of an id of some type, that is not finite. */
pg_noreturn static void
reject_rating(const Solver *solver, Oid id_type, Datum id, double rating)
{
	Oid			output;
	bool		is_varlena;

	getTypeOutputInfo(id_type, &output, &is_varlena);
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("ratings must not contain the value %g", rating),
			 errdetail("It is a rating of %s %s; ratings must be finite and within the range of type real.",
					   side_names[other_side(solver->side)],
					   OidOutputFunctionCall(output, id)),
			 errhint("Leave such rows out.")));
}

/* Adds the ratings of integers that the model knows, likewise. */
static void
add_integers(SolveState *row, Oid id_type, const char *ids, int length,
			 const float4 *ratings, int size)
{
	Solver	   *solver = row->solver;
	IdType		integer = {.typlen = length};
	uint32		columns[IDS_AT_ONCE];

	for (int start = 0; start < size; start += IDS_AT_ONCE)
	{
		int			count = Min(size - start, IDS_AT_ONCE);

		CHECK_FOR_INTERRUPTS();
		image_find_integers(solver->image, solver->type,
							ids + (size_t) start * length, length, count,
							columns);
		for (int i = 0; i < count; i++)
		{
			AlsEntry   *entry = &row->entries[row->size];

			if (!rating_is_real(ratings[start + i]))
				reject_rating(solver, id_type,
							  id_from_integer(&integer,
											  id_integer_at(ids, length, start + i)),
							  ratings[start + i]);
			entry->column = columns[i];
			entry->rating = ratings[start + i];
			row->size += columns[i] != IMAGE_NO_ROW;
		}
	}
}

/* Adds the ratings of ids of any type, likewise. */
static void
add_ratings(SolveState *row, Oid id_type, ArrayType *id_array, int16 length,
			bool by_value, char align, const float4 *ratings)
{
	Datum	   *ids;
	int			size;

	deconstruct_array(id_array, id_type, length, by_value, align, &ids, NULL,
					  &size);
	for (int i = 0; i < size; i++)
	{
		if (i % RATINGS_PER_CHECK == 0)
			CHECK_FOR_INTERRUPTS();
		if (!rating_is_real(ratings[i]))
			reject_rating(row->solver, id_type, ids[i], ratings[i]);
		add_rating(row, ids[i], ratings[i]);
	}
}

/* als_solve's transition function: collects a rating. */
Datum
als_solve_transfn(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	Oid			id_type = get_fn_expr_argtype(fcinfo->flinfo, ARG_ID);
	SolveState *row;
	Solver	   *solver;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "als_solve_transfn called in non-aggregate context");

	solver = find_solver(fcinfo, ARG_OPTIONS, id_type, true);
	if (PG_ARGISNULL(ARG_ID) || PG_ARGISNULL(ARG_RATING))
		reject_null(PG_ARGISNULL(ARG_ID) ? "ids" : "ratings");
	if (!rating_is_real(PG_GETARG_FLOAT8(ARG_RATING)))
		reject_rating(solver, id_type, PG_GETARG_DATUM(ARG_ID),
					  PG_GETARG_FLOAT8(ARG_RATING));
	if (PG_ARGISNULL(ARG_STATE))
	{
		row = MemoryContextAllocZero(context, sizeof(SolveState));
		row->solver = solver;
		row->context = context;
		reserve(row, FIRST_CAPACITY);
	}
	else
		row = (SolveState *) PG_GETARG_POINTER(ARG_STATE);

	if (row->size == row->capacity)
		reserve(row, 2 * row->capacity);
	add_rating(row, PG_GETARG_DATUM(ARG_ID), PG_GETARG_FLOAT8(ARG_RATING));
	PG_RETURN_POINTER(row);
}

/* The type als_solution, which a function returns, in a memory context */
static TupleDesc
solution_type(FunctionCallInfo fcinfo, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	TupleDesc	type;

	if (get_call_result_type(fcinfo, NULL, &type) != TYPEFUNC_COMPOSITE ||
		type->natts != SOLUTION_COLUMNS)
		elog(ERROR, "return type must be als_solution");
	type = BlessTupleDesc(type);
	MemoryContextSwitchTo(old);
	return type;
}

/* Solves a row, of which the model knows some id; an als_solution. */
static Datum
solve(SolveState *row, TupleDesc type)
{
	Solver	   *solver = row->solver;
	AlsSystem  *system = &solver->system;
	AlsRows		rows = {0};
	uint64		start[2] = {0, 0};
	double		loss = 0;
	uint32_t	failed;
	int			result;
	Datum		values[SOLUTION_COLUMNS];
	bool		nulls[SOLUTION_COLUMNS] = {false};

	row->size = sort_and_merge(row->entries, NULL, row->size,
							   system->feedback);
	if (system->feedback == ALS_EXPLICIT)
		gather_rated(solver, row);
	start[1] = row->size;
	rows.nrows = 1;
	rows.start = start;
	rows.entries = row->entries;
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

/* als_solve's final function: solves the row; null if none of its ids is known. */
Datum
als_solve_finalfn(PG_FUNCTION_ARGS)
{
	SolveState *row;

	if (!AggCheckCallContext(fcinfo, NULL))
		elog(ERROR, "als_solve_finalfn called in non-aggregate context");
	if (PG_ARGISNULL(ARG_STATE))
		PG_RETURN_NULL();
	row = (SolveState *) PG_GETARG_POINTER(ARG_STATE);
	if (row->size == 0)
		PG_RETURN_NULL();
	if (fcinfo->flinfo->fn_extra == NULL)
		fcinfo->flinfo->fn_extra = solution_type(fcinfo,
												 fcinfo->flinfo->fn_mcxt);
	PG_RETURN_DATUM(solve(row, fcinfo->flinfo->fn_extra));
}

/*
 * als_solve_row(other_ids, ratings, options): the same of a row whose ratings are
 * arrays already; null if there are none, or if no id is known.  Columns come
 * sorted, without cost, where ids are in the order of the model's table.
 */
Datum
als_solve_row(PG_FUNCTION_ARGS)
{
	Oid			array_type = get_fn_expr_argtype(fcinfo->flinfo, ARG_IDS);
	Oid			id_type = get_element_type(getBaseType(array_type));
	Solver	   *solver;
	SolveState *row;
	ArrayType  *id_array;
	ArrayType  *rating_array;
	int			size;
	int			nratings;
	int16		length;
	bool		by_value;
	char		align;
	const float4 *ratings;

	/* such as pg_stats has, whose arrays are of any type */
	if (!OidIsValid(id_type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the ids of als_solve_row must be an array of ids, not %s",
						format_type_be(array_type)),
				 errhint("Cast them to an array of the type that the model's ids have.")));
	solver = find_solver(fcinfo, ARG_ARRAY_OPTIONS, id_type, false);
	row = &solver->row;
	if (PG_ARGISNULL(ARG_IDS) || PG_ARGISNULL(ARG_RATINGS))
		PG_RETURN_NULL();
	if (solver->result == NULL)
	{
		solver->result = solution_type(fcinfo, solver->context);
		row->solver = solver;
		row->context = solver->context;
	}

	id_array = PG_GETARG_ARRAYTYPE_P(ARG_IDS);
	rating_array = PG_GETARG_ARRAYTYPE_P(ARG_RATINGS);
	size = ArrayGetNItems(ARR_NDIM(id_array), ARR_DIMS(id_array));
	nratings = ArrayGetNItems(ARR_NDIM(rating_array), ARR_DIMS(rating_array));
	if (size != nratings || ARR_NDIM(id_array) > 1 ||
		ARR_NDIM(rating_array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("the arrays of als_solve_row must have one dimension and the same number of elements"),
				 errdetail("There are %d ids and %d ratings.", size, nratings)));
	if (array_contains_nulls(id_array) || array_contains_nulls(rating_array))
		reject_null(array_contains_nulls(id_array) ? "ids" : "ratings");

	get_typlenbyvalalign(id_type, &length, &by_value, &align);
	ratings = (const float4 *) ARR_DATA_PTR(rating_array);
	row->size = 0;
	reserve(row, size);
	if (finds_integers(solver))
		add_integers(row, id_type, ARR_DATA_PTR(id_array), length, ratings, size);
	else
		add_ratings(row, id_type, id_array, length, by_value, align, ratings);
	if (row->size == 0)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(solve(row, solver->result));
}

/*
 * als_starting_factors(id, factors, seed): what a training may begin with, a
 * function of the id alone, whatever other ids there are and wherever they are.
 */
Datum
als_starting_factors(PG_FUNCTION_ARGS)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	int			factors = PG_GETARG_INT32(1);
	IdType		id_type;
	float	   *row;

	if (factors < 1 || factors > ALS_MAX_FACTORS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be %d", "factors", factors),
				 errhint("It is a whole number between 1 and %d.",
						 ALS_MAX_FACTORS)));
	if (!id_type_init(&id_type, type, -1, PG_GET_COLLATION(),
					  CurrentMemoryContext))
		reject_unhashable(type, "id");
	row = allocate_aligned(CurrentMemoryContext,
						   als_stride(factors) * sizeof(float));
	als_initial_factors((uint64) PG_GETARG_INT64(2), ALS_ITEMS, factors,
						factors, id_hash(&id_type, PG_GETARG_DATUM(0)), 1, row,
						poll_interrupts);
	PG_RETURN_DATUM(reals_datum(row, factors));
}
