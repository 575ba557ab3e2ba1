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
 * Either takes weights too, behind the ratings.
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
PG_FUNCTION_INFO_V1(als_solve_weighted_transfn);
PG_FUNCTION_INFO_V1(als_solve_finalfn);
PG_FUNCTION_INFO_V1(als_solve_row);
PG_FUNCTION_INFO_V1(als_solve_row_weighted);
PG_FUNCTION_INFO_V1(als_starting_factors);

/* Arguments of the aggregate, behind the state; a weight if there is one, and options */
enum
{
	ARG_STATE, ARG_ID, ARG_RATING, ARG_WEIGHT
};

/* Arguments of the function, likewise */
enum
{
	ARG_IDS, ARG_RATINGS, ARG_WEIGHTS
};

#define FIRST_CAPACITY 8		/* ratings */
#define RATINGS_PER_CHECK 65536 /* for interrupts */
#define IDS_AT_ONCE 256

/* Allocates memory in the row's memory context, or makes it larger. */
static void *
resize(RatedRow *row, void *memory, size_t size)
{
	return memory == NULL ? MemoryContextAllocHuge(row->context, size) :
		repalloc_huge(memory, size);
}

/* Makes room for so many ratings. */
static void
reserve(RatedRow *row, uint64 capacity)
{
	if (capacity <= row->capacity)
		return;
	row->entries = resize(row, row->entries, capacity * sizeof(AlsEntry));
	if (row->weighted && row->solver->system.feedback == ALS_EXPLICIT)
		row->weights = resize(row, row->weights, capacity * sizeof(float));
	row->capacity = capacity;
}

/*
 * Adds a rating, for which there is room, of a row of the other side.  An explicit one
 * that weighs 0 counts as if it were not there.
 */
static inline void
add_known(RatedRow *row, uint32 column, double rating, double weight)
{
	AlsEntry   *entry = &row->entries[row->size];

	if (row->weights != NULL)
	{
		if (weight == 0)
			return;
		row->weights[row->size] = (float) weight;
	}
	else if (row->weighted)
		rating = weighed_rating(rating, weight);
	entry->column = column;
	entry->rating = (float4) rating;
	row->size++;
}

/* The same of an id, unless the model does not know it. */
static inline void
add_rating(RatedRow *row, Datum value, double rating, double weight)
{
	RowSolver  *solver = row->solver;
	Datum		id;
	uint32		column;

	if (id_convert(&solver->conversion, value, &id) &&
		image_find(solver->image, solver->type, id, &column))
		add_known(row, column, rating, weight);
}

/* Raises for ids, ratings or weights that are null. */
pg_noreturn static void
reject_null(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("%s of als_solve must not be null", what),
			 errhint("Leave such rows out.")));
}

/* Can a row be solved from a rating that weighs so much? */
static inline bool
is_valid(double rating, double weight)
{
	return rating_is_real(rating) && weight_is_valid(weight);
}

/* Raises for one of an id of some type that is not valid. */
pg_noreturn static void
reject_rating(const RowSolver *solver, Oid id_type, Datum id, double rating,
			  double weight)
{
	bool		real = rating_is_real(rating);
	const char *side = side_names[other_side(solver->side)];
	const char *shown;
	Oid			output;
	bool		is_varlena;

	getTypeOutputInfo(id_type, &output, &is_varlena);
	shown = OidOutputFunctionCall(output, id);
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("%s must not contain the value %g",
					real ? "weights" : "ratings", real ? weight : rating),
			 real ?
			 errdetail("It is the weight of a rating of %s %s; weights must be 0 or more and within the range of type real.",
					   side, shown) :
			 errdetail("It is a rating of %s %s; ratings must be finite and within the range of type real.",
					   side, shown),
			 errhint("Leave such rows out.")));
}

/* Adds the ratings of integers that the model knows, likewise. */
static void
add_integers(RatedRow *row, Oid id_type, const char *ids, int length,
			 const float4 *ratings, const float4 *weights, int size)
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
			float4		rating = ratings[start + i];
			float4		weight = weights == NULL ? 1 : weights[start + i];

			if (unlikely(!is_valid(rating, weight)))
				reject_rating(solver, id_type,
							  id_from_integer(&integer,
											  id_integer_at(ids, length, start + i)),
							  rating, weight);
			if (columns[i] != IMAGE_NO_ROW)
				add_known(row, columns[i], rating, weight);
		}
	}
}

/* Adds the ratings of ids of any type, likewise. */
static void
add_ratings(RatedRow *row, Oid id_type, ArrayType *id_array, int16 length,
			bool by_value, char align, const float4 *ratings,
			const float4 *weights)
{
	Datum	   *ids;
	int			size;

	deconstruct_array(id_array, id_type, length, by_value, align, &ids, NULL,
					  &size);
	for (int i = 0; i < size; i++)
	{
		float4		weight = weights == NULL ? 1 : weights[i];

		if (i % RATINGS_PER_CHECK == 0)
			CHECK_FOR_INTERRUPTS();
		if (!is_valid(ratings[i], weight))
			reject_rating(row->solver, id_type, ids[i], ratings[i], weight);
		add_rating(row, ids[i], ratings[i], weight);
	}
}

/* als_solve's transition function: collects a rating, whose weight may be an argument. */
static Datum
collect_rating(FunctionCallInfo fcinfo, bool weighted)
{
	MemoryContext context;
	Oid			id_type = get_fn_expr_argtype(fcinfo->flinfo, ARG_ID);
	double		rating;
	double		weight = 1;
	RatedRow   *row;
	RowSolver  *solver;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "als_solve_transfn called in non-aggregate context");

	solver = row_solver_find(fcinfo, PG_NARGS() - 1, id_type, true);
	if (PG_ARGISNULL(ARG_ID) || PG_ARGISNULL(ARG_RATING))
		reject_null(PG_ARGISNULL(ARG_ID) ? "ids" : "ratings");
	rating = PG_GETARG_FLOAT8(ARG_RATING);
	if (weighted)
	{
		if (PG_ARGISNULL(ARG_WEIGHT))
			reject_null("weights");
		weight = PG_GETARG_FLOAT8(ARG_WEIGHT);
	}
	if (!is_valid(rating, weight))
		reject_rating(solver, id_type, PG_GETARG_DATUM(ARG_ID), rating, weight);
	if (PG_ARGISNULL(ARG_STATE))
	{
		row = MemoryContextAllocZero(context, sizeof(RatedRow));
		row->solver = solver;
		row->context = context;
		row->weighted = weighted;
		reserve(row, FIRST_CAPACITY);
	}
	else
		row = (RatedRow *) PG_GETARG_POINTER(ARG_STATE);

	if (row->size == row->capacity)
		reserve(row, 2 * row->capacity);
	add_rating(row, PG_GETARG_DATUM(ARG_ID), rating, weight);
	PG_RETURN_POINTER(row);
}

Datum
als_solve_transfn(PG_FUNCTION_ARGS)
{
	return collect_rating(fcinfo, false);
}

Datum
als_solve_weighted_transfn(PG_FUNCTION_ARGS)
{
	return collect_rating(fcinfo, true);
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

/* An argument of als_solve_row whose elements go with ids, of type real, not null */
static const float4 *
reals_argument(ArrayType *ids, ArrayType *array, const char *name)
{
	int			size = ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids));
	int			nreals = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));

	if (size != nreals || ARR_NDIM(ids) > 1 || ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("the arrays of als_solve_row must have one dimension and the same number of elements"),
				 errdetail("There are %d ids and %d %s.", size, nreals, name)));
	if (array_contains_nulls(ids) || array_contains_nulls(array))
		reject_null(array_contains_nulls(ids) ? "ids" : name);
	return (const float4 *) ARR_DATA_PTR(array);
}

/*
 * als_solve_row(other_ids, ratings, options): the same of a row whose ratings are
 * arrays already; null if there are none, or if no id is known.  Weights may be an
 * argument likewise.  Columns come sorted, without cost, where ids are in the order
 * of the model's table.
 */
static Datum
solve_row(FunctionCallInfo fcinfo, bool weighted)
{
	Oid			array_type = get_fn_expr_argtype(fcinfo->flinfo, ARG_IDS);
	Oid			id_type = get_element_type(getBaseType(array_type));
	RowSolver  *solver;
	RatedRow   *row;
	ArrayType  *id_array;
	int			size;
	int16		length;
	bool		by_value;
	char		align;
	const float4 *ratings;
	const float4 *weights = NULL;

	/* such as pg_stats has, whose arrays are of any type */
	if (!OidIsValid(id_type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the ids of als_solve_row must be an array of ids, not %s",
						format_type_be(array_type)),
				 errhint("Cast them to an array of the type that the model's ids have.")));
	solver = row_solver_find(fcinfo, PG_NARGS() - 1, id_type, false);
	row = &solver->row;
	if (PG_ARGISNULL(ARG_IDS) || PG_ARGISNULL(ARG_RATINGS) ||
		(weighted && PG_ARGISNULL(ARG_WEIGHTS)))
		PG_RETURN_NULL();
	if (solver->result == NULL)
	{
		solver->result = solution_type(fcinfo, solver->context);
		row->solver = solver;
		row->context = solver->context;
		row->weighted = weighted;
	}

	id_array = PG_GETARG_ARRAYTYPE_P(ARG_IDS);
	ratings = reals_argument(id_array, PG_GETARG_ARRAYTYPE_P(ARG_RATINGS),
							 "ratings");
	if (weighted)
		weights = reals_argument(id_array, PG_GETARG_ARRAYTYPE_P(ARG_WEIGHTS),
								 "weights");

	size = ArrayGetNItems(ARR_NDIM(id_array), ARR_DIMS(id_array));
	get_typlenbyvalalign(id_type, &length, &by_value, &align);
	row->size = 0;
	reserve(row, size);
	if (finds_integers(solver))
		add_integers(row, id_type, ARR_DATA_PTR(id_array), length, ratings,
					 weights, size);
	else
		add_ratings(row, id_type, id_array, length, by_value, align, ratings,
					weights);
	if (row->size == 0)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(row_solver_solve(row, solver->result));
}

Datum
als_solve_row(PG_FUNCTION_ARGS)
{
	return solve_row(fcinfo, false);
}

Datum
als_solve_row_weighted(PG_FUNCTION_ARGS)
{
	return solve_row(fcinfo, true);
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
