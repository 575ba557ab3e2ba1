/*
 * tune_grid.h
 *	  The parameters that als_tune tries: every combination of the values of a
 *	  JSON object, such as {"factors": [32, 64], "alpha": [1, 10, 40]}.
 */
#ifndef ALS_TUNE_GRID_H
#define ALS_TUNE_GRID_H

#include "train/options.h"

/* A parameter and its values */
typedef struct GridAxis
{
	char	   *name;
	int			option;			/* see options_find */
	int			size;
	JsonbValue *values;			/* [size] */
} GridAxis;

/* In the order of als_train's parameters; the last one varies fastest. */
typedef struct Grid
{
	int			naxes;
	GridAxis   *axes;
	int			size;			/* combinations */
} Grid;

/* Takes a grid apart, which must stay in memory; raises for a wrong one. */
extern Grid *grid_parse(Jsonb *jsonb);

/* Sets the parameters of a combination, and settles all. */
extern void grid_options(const Grid *grid, int combination,
						 TrainOptions *options);

/* A combination as a JSON object. */
extern Jsonb *grid_json(const Grid *grid, int combination);

/*
 * Chooses a random sample of combinations, each with the same probability,
 * without replacement; in ascending order.
 */
extern void grid_sample(const Grid *grid, int size, uint64 seed,
						int *combinations);

#endif							/* ALS_TUNE_GRID_H */
