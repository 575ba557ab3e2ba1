/*
 * tune_grid.h
 *	  The parameters that als_tune tries: every combination of the values of a
 *	  JSON object, such as {"factors": [32, 64], "alpha": [1, 10, 40]}; or, with
 *	  {"factors": 64, "alpha": {"from": 1, "to": 40}}, what to search.
 */
#ifndef ALS_TUNE_GRID_H
#define ALS_TUNE_GRID_H

#include "train/options.h"

/* A parameter and its values */
typedef struct GridAxis
{
	char	   *name;
	int			option;			/* see options_find */
	int			size;			/* 1 for a range */
	JsonbValue *values;			/* [size] */
	bool		range;
	double		from;			/* of a range; NAN if it is not said */
	double		to;
} GridAxis;

/* In the order of als_train's parameters; the last one varies fastest. */
typedef struct Grid
{
	int			naxes;
	GridAxis   *axes;
	int			size;			/* combinations */
	int			weighings;		/* of what rows weigh; each is so many
								 * combinations in succession */
	bool		searched;		/* there is no grid, or a range in it */
} Grid;

/*
 * Takes a grid apart, which must stay in memory; raises for a wrong one.  NULL
 * is what to search where nothing is said of it.
 */
extern Grid *grid_parse(Jsonb *jsonb);

/* Which of its weighings a combination has. */
extern int	grid_weighing(const Grid *grid, int combination);

/* The axis of a parameter, or NULL. */
extern const GridAxis *grid_axis(const Grid *grid, const char *name);

/* Sets the parameters of a combination but for ranges, and settles all. */
extern void grid_options(const Grid *grid, int combination,
						 TrainOptions *options);

/* Adds a key and a value to an object. */
extern void push_pair(JsonbInState *state, const char *name,
					  JsonbValue *value);

/* A combination as a JSON object. */
extern Jsonb *grid_json(const Grid *grid, int combination);

/*
 * Chooses a random sample of combinations, each with the same probability,
 * without replacement; in ascending order.
 */
extern void grid_sample(const Grid *grid, int size, uint64 seed,
						int *combinations);

#endif							/* ALS_TUNE_GRID_H */
