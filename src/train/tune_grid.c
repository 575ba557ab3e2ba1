/*
 * tune_grid.c
 *	  The parameters that als_tune tries.
 */
#include "compat.h"

#include <math.h>

#include "core/als_core.h"
#include "train/tune_grid.h"

#define MOST_COMBINATIONS 1000000

static int
compare_axes(const void *a, const void *b)
{
	return ((const GridAxis *) a)->option - ((const GridAxis *) b)->option;
}

/* Reads the values of a parameter: an array of them, or a single one. */
static void
read_values(GridAxis *axis, JsonbValue *value)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	element;

	if (value->type != jbvBinary ||
		!JsonContainerIsArray(value->val.binary.data))
	{
		axis->size = 1;
		axis->values = palloc(sizeof(JsonbValue));
		axis->values[0] = *value;
		return;
	}
	axis->size = 0;
	axis->values = palloc(Max(JsonContainerSize(value->val.binary.data), 1) *
						  sizeof(JsonbValue));
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &element, true)) != WJB_DONE)
		if (token == WJB_ELEM)
			axis->values[axis->size++] = element;
	if (axis->size == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("grid has no values for \"%s\"", axis->name),
				 errhint("Give it at least one, or leave it out for its default.")));
}

/* Raises for a value that the parameter cannot have. */
static void
check_values(const GridAxis *axis)
{
	TrainOptions ignored;

	for (int i = 0; i < axis->size; i++)
		options_set(&ignored, axis->option, USE_GRID, &axis->values[i]);
}

Grid *
grid_parse(Jsonb *jsonb)
{
	Grid	   *grid = palloc0(sizeof(Grid));
	double		size = 1;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("grid must be a JSON object"),
				 errhint("For example {\"factors\": [32, 64], \"alpha\": [1, 10, 40]}.")));

	grid->axes = palloc(Max(JB_ROOT_COUNT(jsonb), 1) * sizeof(GridAxis));
	iterator = JsonbIteratorInit(&jsonb->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		GridAxis   *axis = &grid->axes[grid->naxes];

		if (token != WJB_KEY)
			continue;
		axis->name = pnstrdup(value.val.string.val, value.val.string.len);
		axis->option = options_find(axis->name, USE_GRID, "grid parameter");
		JsonbIteratorNext(&iterator, &value, true);
		read_values(axis, &value);
		check_values(axis);
		size *= axis->size;
		grid->naxes++;
	}
	if (size > MOST_COMBINATIONS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("grid has %.0f combinations", size),
				 errdetail("The limit is %d.", MOST_COMBINATIONS),
				 errhint("Give fewer values; trials => n tries a random sample of what is left.")));
	grid->size = (int) size;
	qsort(grid->axes, grid->naxes, sizeof(GridAxis), compare_axes);
	return grid;
}

/* The values that the axes have in a combination. */
static void
grid_values(const Grid *grid, int combination, JsonbValue **values)
{
	for (int i = grid->naxes - 1; i >= 0; i--)
	{
		values[i] = &grid->axes[i].values[combination % grid->axes[i].size];
		combination /= grid->axes[i].size;
	}
}

void
grid_options(const Grid *grid, int combination, TrainOptions *options)
{
	JsonbValue **values = palloc(Max(grid->naxes, 1) * sizeof(JsonbValue *));

	grid_values(grid, combination, values);
	for (int i = 0; i < grid->naxes; i++)
		options_set(options, grid->axes[i].option, USE_GRID, values[i]);
	options_settle(options);
	pfree(values);
}

Jsonb *
grid_json(const Grid *grid, int combination)
{
	JsonbValue **values = palloc(Max(grid->naxes, 1) * sizeof(JsonbValue *));
	JsonbParseState *state = NULL;
	JsonbValue *object;

	grid_values(grid, combination, values);
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < grid->naxes; i++)
	{
		JsonbValue	name;

		name.type = jbvString;
		name.val.string.val = grid->axes[i].name;
		name.val.string.len = (int) strlen(grid->axes[i].name);
		pushJsonbValue(&state, WJB_KEY, &name);
		pushJsonbValue(&state, WJB_VALUE, values[i]);
	}
	object = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	pfree(values);
	return JsonbValueToJsonb(object);
}

void
grid_sample(const Grid *grid, int size, uint64 seed, int *combinations)
{
	int			chosen = 0;

	/* selection sampling: Knuth, volume 2, algorithm 3.4.2 S */
	for (int i = 0; chosen < size; i++)
	{
		uint64		random = als_scatter(als_scatter(seed) + (uint64) i);

		if (ldexp((double) (random >> 11), -53) * (grid->size - i) <
			size - chosen)
			combinations[chosen++] = i;
	}
}
