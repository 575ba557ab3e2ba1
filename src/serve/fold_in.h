/*
 * fold_in.h
 *	  Factors of one user or item from ratings alone, against the stored
 *	  factors of the other side.
 */
#ifndef ALS_FOLD_IN_H
#define ALS_FOLD_IN_H

#include "model/model_cache.h"

/* A rating by the id of whom it is by, or what it is of */
typedef struct IdRating
{
	Datum		id;
	float4		rating;
	float4		weight;			/* 1 unless they are weighted */
} IdRating;

/* One user's or item's ratings, in any order and with duplicates */
typedef struct RowRatings
{
	uint64		size;
	uint64		capacity;
	bool		weighted;		/* explicit: do ratings have weights? */
	IdRating   *ratings;
} RowRatings;

/* Those ratings whose ids the model knows, duplicates merged */
typedef struct KnownRatings
{
	uint64		size;
	AlsEntry   *entries;		/* [size]: the rating of each column */
	float	   *weights;		/* [size]: its weight; NULL: all 1 */
	Datum	   *ids;			/* [size]: of columns, in their order */
	float	   *fixed;			/* [size x stride]: factors; if explicit, 1
								 * behind them, or 0 without biases */
	float	   *bias;			/* [size]; NULL if implicit */
} KnownRatings;

/* Makes room for so many ratings, in the current memory context. */
extern void row_ratings_init(RowRatings *row, uint64 capacity, bool weighted);

/* Adds a rating, for which there is room. */
extern void row_ratings_add(RowRatings *row, Datum id, double rating,
							double weight);

/*
 * Solves one row of a side exactly, as a training would, and returns it in
 * the form of SideCache, in the current memory context.  prior: of
 * features_prior, or NULL.  If the model knows none of the ids that is all there
 * is, or NULL is returned.  Sorts the ratings.
 */
extern float *fold_in(ModelCache *cache, AlsSide side, RowRatings *row,
					  const float *prior);

/*
 * Finds the factors of what a row of a side has ratings of, in the form and
 * stride that its solver wants, in the current memory context.  Sorts the
 * ratings.
 */
extern void gather_known(ModelCache *cache, AlsSide side, RowRatings *row,
						 KnownRatings *known);

/*
 * A row of factors as rows of the other side are solved against it: in the stride
 * of their solver, with 1 behind it and its bias apart if the model is explicit.
 */
extern void fixed_row(const ModelCache *cache, AlsSide which, const float *row,
					  float *fixed, float *bias);

/*
 * A row that has been solved in the form of SideCache, in the current memory
 * context; raises for one that is not to be served.
 */
extern float *served_row(const ModelCache *cache, AlsSide side,
						 const float *solved);

/*
 * What a row of a side is solved with exactly, but for the other side: base,
 * fixed and bias are left to the caller.
 */
extern void row_system(const ModelCache *cache, AlsSide side,
					   AlsSystem *system);

/*
 * gram[factors x factors] of all rows of a side, column-major, at least the
 * lower triangle.
 */
extern void side_gram(ModelCache *cache, AlsSide which, double *gram);

/* The same, kept if als.cache_size allows. */
extern const double *kept_gram(ModelCache *cache, AlsSide which);

/* Raises for a row that could not be solved. */
pg_noreturn extern void reject_row(const ModelCache *cache, int result);

/* Where the bias is in a row that fold_in returns for an explicit model. */
static inline int
bias_position(const ModelCache *cache, AlsSide side)
{
	return cache->run.factors + (side == ALS_USERS ? 0 : 1);
}

/* The values as an array of type real[]. */
extern Datum reals_datum(const float *values, int size);

/*
 * A user's ratings: the arguments items, not null, ratings, and weights, which may
 * be NO_ARGUMENT; an error unless they fit.  Items that are null, cannot be ids or
 * weigh nothing are left out; null ratings are 1 each, null weights are none.
 */
#define NO_ARGUMENT (-1)
extern void row_ratings_arguments(FunctionCallInfo fcinfo, int items,
								  int ratings, int weights,
								  const ModelCache *cache, RowRatings *row);

#endif							/* ALS_FOLD_IN_H */
