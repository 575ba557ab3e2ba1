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
 * version of the model (row_solver.c).  A row is solved by the solver that als_train has
 * for solver => 'cholesky', and its result tells its part of the objective, so that
 * whoever adds up all rows knows what als_train would have said.
 *
 * An aggregate is what engines push down to where the ratings are.  Hence all
 * that it has to know comes with the call, and its options are jsonb:
 * postgres_fdw sends no text, whose collation it cannot vouch for.
 */
#include "compat.h"

#include "common/arena.h"
#include "common/settings.h"
#include "common/side.h"
#include "funcapi.h"
#include "ratings/csr_blocks.h"
#include "serve/fold_in.h"
#include "serve/row_solver.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

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

/* Makes room for so many ratings, in the row's memory context. */
static void
reserve(RatedRow *row, uint64 capacity)
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
add_rating(RatedRow *row, Datum value, double rating)
{
	RowSolver  *solver = row->solver;
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
reject_rating(const RowSolver *solver, Oid id_type, Datum id, double rating)
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
add_integers(RatedRow *row, Oid id_type, const char *ids, int length,
			 const float4 *ratings, int size)
{
	RowSolver  *solver = row->solver;
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
add_ratings(RatedRow *row, Oid id_type, ArrayType *id_array, int16 length,
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
	RatedRow   *row;
	RowSolver  *solver;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "als_solve_transfn called in non-aggregate context");

	solver = row_solver_find(fcinfo, ARG_OPTIONS, id_type, true);
	if (PG_ARGISNULL(ARG_ID) || PG_ARGISNULL(ARG_RATING))
		reject_null(PG_ARGISNULL(ARG_ID) ? "ids" : "ratings");
	if (!rating_is_real(PG_GETARG_FLOAT8(ARG_RATING)))
		reject_rating(solver, id_type, PG_GETARG_DATUM(ARG_ID),
					  PG_GETARG_FLOAT8(ARG_RATING));
	if (PG_ARGISNULL(ARG_STATE))
	{
		row = MemoryContextAllocZero(context, sizeof(RatedRow));
		row->solver = solver;
		row->context = context;
		reserve(row, FIRST_CAPACITY);
	}
	else
		row = (RatedRow *) PG_GETARG_POINTER(ARG_STATE);

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

/* als_solve's final function: solves the row; null if none of its ids is known. */
Datum
als_solve_finalfn(PG_FUNCTION_ARGS)
{
	RatedRow   *row;

	if (!AggCheckCallContext(fcinfo, NULL))
		elog(ERROR, "als_solve_finalfn called in non-aggregate context");
	if (PG_ARGISNULL(ARG_STATE))
		PG_RETURN_NULL();
	row = (RatedRow *) PG_GETARG_POINTER(ARG_STATE);
	if (row->size == 0)
		PG_RETURN_NULL();
	if (fcinfo->flinfo->fn_extra == NULL)
		fcinfo->flinfo->fn_extra = solution_type(fcinfo,
												 fcinfo->flinfo->fn_mcxt);
	PG_RETURN_DATUM(row_solver_solve(row, fcinfo->flinfo->fn_extra));
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
	RowSolver  *solver;
	RatedRow   *row;
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
	solver = row_solver_find(fcinfo, ARG_ARRAY_OPTIONS, id_type, false);
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
	PG_RETURN_DATUM(row_solver_solve(row, solver->result));
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
