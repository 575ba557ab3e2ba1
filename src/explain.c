/*
 * explain.c
 *	  als_explain: which of a user's ratings made a score.
 *
 * Hu, Koren and Volinsky 2008, section 5.  A user's factors solve
 * A x = sum_j t_j f_j over his ratings (see als_core.h), so that the score of
 * item i is y_i.x = sum_j t_j z.f_j with z = A^-1 y_i: one system to solve,
 * then an inner product for each of his ratings.  The ratings are those of
 * the live source, so the sum is the score of the user as he is now, solved
 * exactly against the items as they are stored.
 */
#include "compat.h"

#include <math.h>

#include "blas.h"
#include "executor/spi.h"
#include "ranked.h"
#include "source.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

PG_FUNCTION_INFO_V1(als_explain);
PG_FUNCTION_INFO_V1(als_explain_as);

/* The arguments' places, or behind item_type one further to the right */
enum
{
	ARG_MODEL, ARG_USER, ARG_ITEM, ARG_K
};

/* Rows read from the table that are summed up together */
#define BATCH 512

/* A user's ratings in the live source, duplicates merged */
typedef struct History
{
	IdMap	   *items;
	double	   *ratings;		/* sums, until they are averaged */
	uint32	   *counts;			/* of duplicates */
	uint32		capacity;
} History;

/* Rows on their way into a Gram matrix */
typedef struct GramBatch
{
	const AlsBlas *blas;
	int			stride;
	int			rank;
	size_t		size;
	float	   *rows;			/* [BATCH x stride] */
	double	   *partial;		/* [rank x rank] */
	double	   *gram;			/* [rank x rank] */
	void	   *workspace;
} GramBatch;

/* Says whose privileges count when the live source cannot be read. */
static void
history_error_context(void *source)
{
	if (geterrcode() == ERRCODE_INSUFFICIENT_PRIVILEGE)
		errhint("als_explain reads the user's ratings with the privileges of the user who calls it.");
	errcontext("reading a user's ratings from %s", (const char *) source);
}

/* Adds a rating to the history. */
static void
add_rating(History *history, Datum item, double rating)
{
	uint32		before = idmap_size(history->items);
	uint32		index = idmap_add(history->items, item);

	if (index == history->capacity)
	{
		history->capacity *= 2;
		history->ratings = repalloc_huge(history->ratings,
										 history->capacity * sizeof(double));
		history->counts = repalloc_huge(history->counts,
										history->capacity * sizeof(uint32));
	}
	if (index == before)
	{
		history->ratings[index] = 0;
		history->counts[index] = 0;
	}
	history->ratings[index] += rating;
	history->counts[index]++;
}

/* Reads what a user has in the live source. */
static void
read_history(const ModelCache *cache, Datum user, History *history)
{
	const ModelRun *run = &cache->run;
	const IdType *item_type = idmap_type(history->items);
	Oid			argument = cache->sides[ALS_USERS].type.type;
	ErrorContextCallback callback;
	char	   *canonical;
	char	   *query;

	query = psprintf("SELECT ratings.%s::%s, %s FROM %s WHERE ratings.%s = $1",
					 quote_identifier(run->item_column),
					 format_type_extended(item_type->type, item_type->typmod,
										  FORMAT_TYPE_TYPEMOD_GIVEN |
										  FORMAT_TYPE_FORCE_QUALIFY),
					 run->rating_column == NULL ? "1::pg_catalog.float8" :
					 psprintf("ratings.%s::pg_catalog.float8",
							  quote_identifier(run->rating_column)),
					 source_from_clause(run->source, &canonical),
					 quote_identifier(run->user_column));

	callback.callback = history_error_context;
	callback.arg = canonical;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(query, 1, &argument, &user, NULL, true, 0) !=
		SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	columns = SPI_tuptable->tupdesc;
		bool		no_item;
		bool		no_rating;
		Datum		item = SPI_getbinval(tuple, columns, 1, &no_item);
		double		rating = DatumGetFloat8(SPI_getbinval(tuple, columns, 2,
														  &no_rating));

		if (!no_item && (no_rating || !isfinite(rating)))
			ereport(ERROR,
					(errcode(no_rating ? ERRCODE_NULL_VALUE_NOT_ALLOWED :
							 ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("the rating of item %s is not a finite number",
							id_to_text(item_type, item)),
					 errhint("Leave such rows out of the ratings, with a SELECT for example.")));
		if (!no_item)
			add_rating(history, item, rating);
	}
	SPI_finish();
	error_context_stack = callback.previous;
}

/* Adds the rows of a batch to the Gram matrix. */
static void
add_batch(GramBatch *batch)
{
	als_gram(batch->blas, batch->rank, batch->size, batch->rows,
			 batch->partial, batch->workspace);
	for (int i = 0; i < batch->rank * batch->rank; i++)
		batch->gram[i] += batch->partial[i];
	batch->size = 0;
}

/* Adds a row that is read from the table to the batch. */
static bool
add_row(Datum id, const float *row, void *arg)
{
	GramBatch  *batch = arg;

	memcpy(batch->rows + batch->size++ * batch->stride, row,
		   batch->stride * sizeof(float));
	if (batch->size == BATCH)
		add_batch(batch);
	return true;
}

/* gram[rank x rank] = sum of y y' over all items of an implicit model */
static void
item_gram(ModelCache *cache, double *gram)
{
	GramBatch	batch = {0};
	SideCache  *items = &cache->sides[ALS_ITEMS];

	batch.blas = blas_load();
	batch.rank = cache->run.factors;
	batch.stride = cache->stride;
	batch.workspace = palloc(als_gram_workspace(batch.rank));
	if (cache_load(cache, ALS_ITEMS))
	{
		als_gram(batch.blas, batch.rank, items->image->nrows,
				 image_rows(items->image), gram, batch.workspace);
		return;
	}
	batch.rows = palloc(BATCH * batch.stride * sizeof(float));
	batch.partial = palloc(batch.rank * batch.rank * sizeof(double));
	batch.gram = gram;
	memset(gram, 0, batch.rank * batch.rank * sizeof(double));
	cache_scan(cache, ALS_ITEMS, add_row, &batch);
	add_batch(&batch);
}

/*
 * Scores the items of the history by what they contribute to the score of
 * row, an item's.
 */
static void
rank_contributions(ModelCache *cache, const History *history,
				   const float *row, TopK *best)
{
	bool		implicit = cache->run.feedback == ALS_IMPLICIT;
	int			factors = cache->run.factors;
	int			rank = implicit ? factors : factors + 1;
	uint32		size = idmap_size(history->items);
	double	   *a = palloc0(rank * rank * sizeof(double));
	double	   *z = palloc(rank * sizeof(double));
	double	   *weights = palloc_extended(size * sizeof(double),
										  MCXT_ALLOC_HUGE);
	double	   *targets = palloc_extended(size * sizeof(double),
										  MCXT_ALLOC_HUGE);
	Datum	   *ids = palloc_extended(size * sizeof(Datum), MCXT_ALLOC_HUGE);
	float	   *rows = palloc_extended((size_t) size * cache->stride * sizeof(float),
									   MCXT_ALLOC_HUGE);
	size_t		known = 0;
	double		diagonal;

	for (int i = 0; i < rank; i++)
		z[i] = row[i];

	/* the ratings of items that the model knows */
	for (uint32 i = 0; i < size; i++)
	{
		Datum		id = idmap_id(history->items, i);
		double		rating = history->ratings[i];

		CHECK_FOR_INTERRUPTS();
		row = cache_lookup(cache, ALS_ITEMS, id);
		if (row == NULL)
			continue;
		if (implicit)
		{
			weights[known] = cache->run.alpha * fabs(rating);
			targets[known] = rating > 0 ? 1 + weights[known] : 0;
		}
		else
		{
			weights[known] = 1;
			targets[known] = rating / history->counts[i] -
				cache->run.mean_rating - row[factors + 1];
		}
		memcpy(rows + known * cache->stride, row,
			   cache->stride * sizeof(float));
		ids[known++] = id;
	}
	if (known == 0)
		return;

	/* lambda s, with the s of als_core.h */
	diagonal = cache->run.regularization *
		pow(implicit ? cache->run.rows[ALS_ITEMS] + cache->run.alpha * known :
			known, cache->run.regularization_scaling);
	if (implicit)
		item_gram(cache, a);
	for (int i = 0; i < rank; i++)
		a[i * rank + i] += diagonal;
	if (als_influence(blas_load(), rank, cache->stride, known, rows, weights,
					  a, z) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("the normal equations of the user are singular"),
				 errhint("Train the model with a larger regularization.")));

	for (size_t k = 0; k < known; k++)
	{
		double		product = 0;

		for (int i = 0; i < rank; i++)
			product += z[i] * rows[k * cache->stride + i];
		topk_add(best, ids[k], (float) (targets[k] * product));
	}
}

/* Computes the whole result. */
static void
explain(FunctionCallInfo fcinfo, int first, TupleDesc row_type, Ranked *result)
{
	Oid			model;
	ModelCache *cache;
	IdConversion conversion;
	History		history;
	const float *row;
	float	   *item_row;
	TopK	   *best;
	Datum		user;
	Datum		item;
	uint32		k = PG_UINT32_MAX;

	require_argument(fcinfo, first + ARG_MODEL, "model");
	model = PG_GETARG_OID(first + ARG_MODEL);
	if (!PG_ARGISNULL(first + ARG_K))
		k = ranked_k(fcinfo, first + ARG_K);

	cache = cache_open(model);
	ranked_choose_type(result, cache, ALS_ITEMS, row_type, "als_explain_as");
	if (cache->run.nonnegative)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot explain the scores of a nonnegative model"),
				 errdetail("With factors that are not below zero, a score is not a sum over the user's ratings."),
				 errhint("Train model \"%s\" without nonnegative.",
						 get_rel_name(model))));
	if (cache->run.source == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" does not know where its ratings are",
						get_rel_name(model)),
				 errdetail("It was trained by als_train_agg, whose rows are gone."),
				 errhint("Train it with als_train.")));
	if (PG_ARGISNULL(first + ARG_USER) || PG_ARGISNULL(first + ARG_ITEM))
		return;
	id_conversion_init(&conversion, &cache->sides[ALS_USERS].type,
					   get_fn_expr_argtype(fcinfo->flinfo, first + ARG_USER),
					   "user", CurrentMemoryContext);
	if (!id_convert(&conversion, PG_GETARG_DATUM(first + ARG_USER), &user))
		return;
	id_conversion_init(&conversion, &cache->sides[ALS_ITEMS].type,
					   get_fn_expr_argtype(fcinfo->flinfo, first + ARG_ITEM),
					   "item", CurrentMemoryContext);
	if (!id_convert(&conversion, PG_GETARG_DATUM(first + ARG_ITEM), &item))
		return;

	history.items = idmap_create(CurrentMemoryContext,
								 &cache->sides[ALS_ITEMS].type);
	history.capacity = 64;
	history.ratings = palloc(history.capacity * sizeof(double));
	history.counts = palloc(history.capacity * sizeof(uint32));
	read_history(cache, user, &history);
	/* the source may be a view that uses models itself */
	cache = cache_open(model);

	row = cache_lookup(cache, ALS_ITEMS, item);
	if (row == NULL)
		return;
	item_row = palloc(cache->stride * sizeof(float));
	memcpy(item_row, row, cache->stride * sizeof(float));
	best = topk_create(&cache->sides[ALS_ITEMS].type,
					   Min(k, idmap_size(history.items)));
	rank_contributions(cache, &history, item_row, best);
	result->items = topk_finish(best, &result->size);
}

/* als_explain(model, user_id, item, k) */
Datum
als_explain(PG_FUNCTION_ARGS)
{
	return ranked_rows(fcinfo, 0, explain);
}

/* als_explain_as(item_type, model, user_id, item, k) */
Datum
als_explain_as(PG_FUNCTION_ARGS)
{
	return ranked_rows(fcinfo, 1, explain);
}
