/*
 * fold_in.c
 *	  Factors of one user or item from ratings alone, against the stored
 *	  factors of the other side.
 *
 * This is half an iteration for a single row, with the regularization and
 * alpha that the model was trained with, solved exactly; drawn to what its
 * features say, if there are any.  What makes it cheap
 * for implicit feedback is that the Gram matrix of all rows of the other side
 * is kept between calls, until one of these rows changes.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "common/arena.h"
#include "common/arguments.h"
#include "common/blas_loader.h"
#include "common/id_conversion.h"
#include "common/settings.h"
#include "common/side.h"
#include "ratings/csr_blocks.h"
#include "serve/fold_in.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(als_fold_in);
PG_FUNCTION_INFO_V1(als_fold_in_weighted);

/* Rows added to a Gram matrix at a time */
#define GRAM_ROWS 512

/* A Gram matrix in the making */
typedef struct GramSum
{
	const AlsBlas *blas;
	int			rank;
	size_t		stride;
	double	   *sum;			/* [rank x rank] */
	double	   *partial;		/* likewise, of the rows added last */
	void	   *workspace;
	float	   *rows;			/* [GRAM_ROWS x stride] not added yet */
	int			pending;
} GramSum;

/* Allocates aligned floats in the current memory context. */
static float *
aligned_floats(size_t count)
{
	return allocate_aligned(CurrentMemoryContext, count * sizeof(float));
}

void
row_ratings_init(RowRatings *row, uint64 capacity, bool weighted)
{
	row->size = 0;
	row->capacity = capacity;
	row->weighted = weighted;
	row->ratings = MemoryContextAllocHuge(CurrentMemoryContext,
										  Max(capacity, 1) * sizeof(IdRating));
}

void
row_ratings_add(RowRatings *row, Datum id, double rating, double weight)
{
	Assert(row->size < row->capacity);
	row->ratings[row->size].id = id;
	row->ratings[row->size].rating = (float4) rating;
	row->ratings[row->size].weight = (float4) weight;
	row->size++;
}

/* Adds the rows that wait to the Gram matrix. */
static void
add_pending(GramSum *gram)
{
	size_t		square = (size_t) gram->rank * gram->rank;

	CHECK_FOR_INTERRUPTS();
	als_gram_exact(gram->blas, poll_interrupts, gram->rank, gram->pending,
				   gram->rows, gram->partial, gram->workspace);
	for (size_t i = 0; i < square; i++)
		gram->sum[i] += gram->partial[i];
	gram->pending = 0;
}

/* Takes one more row. */
static bool
gram_row(Datum id, const float *row, void *arg)
{
	GramSum    *gram = arg;

	/* of explicit factors, which are longer, those without the bias */
	memcpy(gram->rows + gram->pending * gram->stride, row,
		   gram->rank * sizeof(float));
	if (++gram->pending == GRAM_ROWS)
		add_pending(gram);
	return true;
}

void
side_gram(ModelCache *cache, AlsSide which, double *gram)
{
	SideCache  *side = &cache->sides[which];
	int			rank = cache->run.factors;
	size_t		stride = als_stride(rank);
	size_t		square = (size_t) rank * rank;
	GramSum		sum = {0};

	sum.blas = blas_load();
	sum.rank = rank;
	sum.stride = stride;
	sum.sum = gram;
	sum.partial = palloc(square * sizeof(double));
	sum.workspace = aligned_floats(als_gram_exact_workspace(rank) /
								   sizeof(float));
	sum.rows = aligned_floats(GRAM_ROWS * stride);
	memset(sum.rows, 0, GRAM_ROWS * stride * sizeof(float));
	memset(gram, 0, square * sizeof(double));
	if (cache_load(cache, which))
		for (uint32 r = 0; r < side->image->nrows; r++)
			gram_row((Datum) 0, image_rows(side->image) + r * cache->stride,
					 &sum);
	else
		cache_scan(cache, which, gram_row, &sum);
	add_pending(&sum);
}

const double *
kept_gram(ModelCache *cache, AlsSide which)
{
	SideCache  *side = &cache->sides[which];
	size_t		size = (size_t) cache->run.factors * cache->run.factors *
		sizeof(double);
	double	   *gram;
	MemoryContext keep;

	if (side->gram != NULL)
		return side->gram;

	gram = palloc(size);
	side_gram(cache, which, gram);
	keep = cache_keep(cache, size, "als Gram matrix");
	if (keep != NULL)
	{
		side->gram = MemoryContextAlloc(keep, size);
		memcpy(side->gram, gram, size);
		side->gram_context = keep;
	}
	return gram;
}

/* Orders ratings by id, and those of one id by value. */
static int
compare_ratings(const void *a, const void *b, void *type)
{
	const IdRating *rating_a = a;
	const IdRating *rating_b = b;
	int			order = id_compare(type, rating_a->id, rating_b->id);

	CHECK_FOR_INTERRUPTS();
	if (order != 0)
		return order;
	return rating_a->rating < rating_b->rating ? -1 :
		rating_a->rating > rating_b->rating ? 1 : 0;
}

void
fixed_row(const ModelCache *cache, AlsSide which, const float *row,
		  float *fixed, float *bias)
{
	bool		explicit = cache->run.feedback == ALS_EXPLICIT;
	int			factors = cache->run.factors;

	memset(fixed, 0, als_stride(factors + (explicit ? 1 : 0)) * sizeof(float));
	memcpy(fixed, row, factors * sizeof(float));
	if (explicit)
	{
		fixed[factors] = cache->run.biases ? 1 : 0;
		*bias = row[bias_position(cache, which)];
	}
}

void
gather_known(ModelCache *cache, AlsSide side, RowRatings *row,
			 KnownRatings *known)
{
	AlsSide		other = other_side(side);
	const IdType *type = &cache->sides[other].type;
	bool		explicit = cache->run.feedback == ALS_EXPLICIT;
	size_t		stride = als_stride(cache->run.factors + (explicit ? 1 : 0));
	const float *factors_row = NULL;
	uint32		columns = 0;
	uint64		entries = 0;

	qsort_arg(row->ratings, row->size, sizeof(IdRating), compare_ratings,
			  (void *) type);
	known->entries = MemoryContextAllocHuge(CurrentMemoryContext,
											row->size * sizeof(AlsEntry));
	known->weights = row->weighted ?
		MemoryContextAllocHuge(CurrentMemoryContext,
							   row->size * sizeof(float)) : NULL;
	known->ids = MemoryContextAllocHuge(CurrentMemoryContext,
										row->size * sizeof(Datum));
	known->fixed = aligned_floats(row->size * stride);
	known->bias = explicit ? aligned_floats(row->size) : NULL;

	for (uint64 i = 0; i < row->size; i++)
	{
		Datum		id = row->ratings[i].id;

		CHECK_FOR_INTERRUPTS();
		if (i == 0 || !id_equal(type, row->ratings[i - 1].id, id))
		{
			factors_row = cache_lookup(cache, other, id);
			if (factors_row != NULL)
			{
				fixed_row(cache, other, factors_row,
						  known->fixed + columns * stride,
						  known->bias ? known->bias + columns : NULL);
				known->ids[columns] = id;
				columns++;
			}
		}
		if (factors_row != NULL)
		{
			known->entries[entries].column = columns - 1;
			known->entries[entries].rating = row->ratings[i].rating;
			if (known->weights != NULL)
				known->weights[entries] = row->ratings[i].weight;
			entries++;
		}
	}
	known->size = entries == 0 ? 0 :
		merge_duplicates(known->entries, known->weights, entries,
						 cache->run.feedback);
}

void
reject_row(const ModelCache *cache, int result)
{
	if (result == ALS_NOT_FINITE)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("the factors of these ratings are out of the range of type real"),
				 errhint("Scale the ratings down.")));
	if (result == ALS_NOT_OPTIMAL)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("no nonnegative factors fit these ratings to double precision"),
				 errhint("Train the model with a regularization above %g.",
						 cache->run.regularization)));
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("the normal equations are singular"),
			 errdetail("Those of the given ratings are singular to double precision."),
			 errhint("Train the model with a regularization above %g.",
					 cache->run.regularization)));
}

/* Raises if a parameter of the training is not known. */
static void
require_parameter(const ModelCache *cache, const char *name, double value)
{
	if (isnan(value))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" does not know its %s",
						get_rel_name(cache->model), name),
				 errdetail("It was imported without."),
				 errhint("Import it again with %s => what it was trained with.",
						 name)));
}

void
row_system(const ModelCache *cache, AlsSide side, AlsSystem *system)
{
	AlsSide		other = other_side(side);

	require_parameter(cache, "regularization", cache->run.regularization);
	require_parameter(cache, "regularization_scaling",
					  cache->run.regularization_scaling);
	require_parameter(cache, "alpha", cache->run.alpha);
	memset(system, 0, sizeof(AlsSystem));
	system->kernels = chosen_kernels();
	system->blas = blas_load();
	system->feedback = cache->run.feedback;
	system->solver = cache->run.nonnegative ? ALS_NONNEGATIVE : ALS_CHOLESKY;
	system->exact = true;
	system->rank = cache->run.factors +
		(cache->run.feedback == ALS_EXPLICIT ? 1 : 0);
	system->alpha = (float) cache->run.alpha;
	system->regularization = (float) cache->run.regularization;
	system->regularization_scaling = cache->run.regularization_scaling;
	system->by_ratings = cache->run.by_ratings;
	system->mean = cache->run.mean_rating;
	system->unbiased = !cache->run.biases;
	system->nfixed = (uint32) cache->run.rows[other];
	system->poll = poll_interrupts;
}

/* The prior of a row with ratings: as much of what its features say as these leave */
static const float *
share_of_prior(const AlsSystem *system, const KnownRatings *known,
			   const float *prior)
{
	size_t		stride = als_stride(system->rank);
	double		scale = als_regularization_scale(system, known->entries,
												 known->weights, known->size);
	double		share = als_features_share(scale, als_features_scale(system));
	float	   *result = aligned_floats(stride);

	for (size_t i = 0; i < stride; i++)
		result[i] = (float) (share * prior[i]);
	return result;
}

/*
 * Solves the row, in the current memory context; the prior, which may be NULL, if
 * nothing is known of its ratings.
 */
static const float *
solve(ModelCache *cache, AlsSide side, RowRatings *row, const float *prior)
{
	AlsSide		other = other_side(side);
	AlsSystem	system;
	KnownRatings known;
	AlsRows		rows = {0};
	uint64		start[2] = {0, 0};
	size_t		stride;
	float	   *solved;
	double		loss = 0;
	uint32_t	failed;
	int			result;

	if (row->size == 0)
		return prior;

	row_system(cache, side, &system);
	/* reads the whole other side, if it can be kept, and so goes first */
	if (cache->run.feedback == ALS_IMPLICIT)
		system.gram = kept_gram(cache, other);
	gather_known(cache, side, row, &known);
	if (known.size == 0)
		return prior;
	system.fixed = system.stored = known.fixed;
	system.bias = known.bias;

	start[1] = known.size;
	rows.nrows = 1;
	rows.start = start;
	rows.entries = known.entries;
	rows.weights = known.weights;
	if (prior != NULL)
		rows.prior = share_of_prior(&system, &known, prior);
	stride = als_stride(system.rank);
	solved = aligned_floats(stride);
	memset(solved, 0, stride * sizeof(float));
	result = als_solve_rows(&system, &rows, solved,
							aligned_floats(als_solve_workspace(&system) /
										   sizeof(float)),
							&loss, &failed);
	if (result != ALS_OK)
		reject_row(cache, result);
	return solved;
}

float *
served_row(const ModelCache *cache, AlsSide side, const float *solved)
{
	int			factors = cache->run.factors;
	float	   *result = aligned_floats(cache->stride);

	memset(result, 0, cache->stride * sizeof(float));
	memcpy(result, solved, factors * sizeof(float));
	if (cache->run.feedback == ALS_EXPLICIT)
	{
		result[factors] = result[factors + 1] = 1;
		result[bias_position(cache, side)] = solved[factors];
	}
	/* what is read is to be served, and what is stored to be read */
	if (!cache_row_fits(cache, result))
		reject_row(cache, ALS_NOT_FINITE);
	return result;
}

float *
fold_in(ModelCache *cache, AlsSide side, RowRatings *row, const float *prior)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "als fold-in",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	const float *solved = solve(cache, side, row, prior);
	float	   *result = NULL;

	MemoryContextSwitchTo(caller);
	if (solved != NULL)
		result = served_row(cache, side, solved);
	MemoryContextDelete(context);
	return result;
}

Datum
reals_datum(const float *values, int size)
{
	Datum	   *elements = palloc(size * sizeof(Datum));

	for (int i = 0; i < size; i++)
		elements[i] = Float4GetDatum(values[i]);
	return PointerGetDatum(construct_array(elements, size, FLOAT4OID,
										   sizeof(float4), true,
										   TYPALIGN_INT));
}

/*
 * The elements of an argument that has one for each of size items, ratings or weights;
 * an error unless all are valid.
 */
static double *
values_argument(ArrayType *array, int size, bool weights)
{
	const char *name = weights ? "weights" : "ratings";
	double	   *values = palloc(Max(size, 1) * sizeof(double));
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	if (weights && ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("weights must be an array of one dimension"),
				 errdetail("It has %d dimensions.", ARR_NDIM(array))));
	deconstruct_array(array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &elements, &nulls, &count);
	if (count != size)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("items and %s must have the same number of elements", name),
				 errdetail("There are %d items and %d %s.", size, count, name),
				 weights ? errhint("Give one weight for each item.") :
				 errhint("Give one rating for each item, or none at all: then each counts 1.")));
	for (int i = 0; i < size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not contain null values", name),
					 errdetail("Element %d is null.", i + 1),
					 weights ? errhint("Leave out items without a weight.") :
					 errhint("Leave out items without a rating, or give no ratings at all: then each counts 1.")));
		values[i] = DatumGetFloat8(elements[i]);
		if (!(weights ? weight_is_valid(values[i]) : rating_is_real(values[i])))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("%s must not contain the value %g", name, values[i]),
					 weights ?
					 errdetail("Weights must be 0 or more and within the range of type real; element %d is not.", i + 1) :
					 errdetail("Ratings must be finite and within the range of type real; element %d is not.", i + 1),
					 errhint("Leave out the item, or scale the %s.", name)));
	}
	return values;
}

void
row_ratings_arguments(FunctionCallInfo fcinfo, int items, int ratings,
					  int weights, const ModelCache *cache, RowRatings *row)
{
	bool		explicit = cache->run.feedback == ALS_EXPLICIT;
	double	   *values = NULL;
	double	   *weight_values = NULL;
	IdArray		array;

	id_array_argument(fcinfo, items, "items", "item",
					  &cache->sides[ALS_ITEMS].type, &array);
	if (!PG_ARGISNULL(ratings))
		values = values_argument(PG_GETARG_ARRAYTYPE_P(ratings), array.size,
								 false);
	if (weights != NO_ARGUMENT && !PG_ARGISNULL(weights))
		weight_values = values_argument(PG_GETARG_ARRAYTYPE_P(weights),
										array.size, true);
	row_ratings_init(row, array.size, cache->run.weighing.apart ||
					 (explicit && weight_values != NULL));
	for (int i = 0; i < array.size; i++)
	{
		double		rating = values != NULL ? values[i] : 1;
		double		weight = 1;
		Datum		id;

		CHECK_FOR_INTERRUPTS();
		if (weight_values != NULL && explicit)
			weight = weight_values[i];
		else if (weight_values != NULL)
			rating = weighed_rating(rating, weight_values[i]);
		if (weight > 0 && !array.nulls[i] &&
			id_convert(&array.conversion, array.elements[i], &id))
			row_ratings_add(row, id, rating, weight);
	}
}

/* als_fold_in(model, items, ratings), and weights behind them if they are an argument */
static Datum
fold_in_arguments(FunctionCallInfo fcinfo, int weights)
{
	ModelCache *cache;
	RowRatings	row;
	const float *solved;
	int			times = 0;
	instr_time	start;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	stats_begin(&start);
	do
	{
		cache = cache_open(PG_GETARG_OID(0));
		row_ratings_arguments(fcinfo, 1, 2, weights, cache, &row);
	} while (cache_replaced(cache) && cache_start_over(cache, &times));
	solved = fold_in(cache, ALS_USERS, &row, NULL);
	cache->counts.fold_ins += solved != NULL;
	stats_end(cache->model, &cache->counts, start, solved != NULL);
	if (solved == NULL)
		PG_RETURN_NULL();

	/* a user's bias lies behind the factors */
	PG_RETURN_DATUM(reals_datum(solved, cache->run.factors +
								(cache->run.feedback == ALS_EXPLICIT ? 1 : 0)));
}

Datum
als_fold_in(PG_FUNCTION_ARGS)
{
	require_arguments(fcinfo, 3);
	return fold_in_arguments(fcinfo, NO_ARGUMENT);
}

Datum
als_fold_in_weighted(PG_FUNCTION_ARGS)
{
	require_arguments(fcinfo, 4);
	return fold_in_arguments(fcinfo, 3);
}
