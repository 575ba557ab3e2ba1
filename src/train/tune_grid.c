/*
 * tune_grid.c
 *	  The parameters that als_tune tries.
 */
#include "compat.h"

#include <math.h>

#include "core/als_core.h"
#include "miscadmin.h"
#include "train/tune_grid.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#define MOST_COMBINATIONS 1000000

static int
compare_axes(const void *a, const void *b)
{
	return ((const GridAxis *) a)->option - ((const GridAxis *) b)->option;
}

static bool
is_weights(const GridAxis *axis)
{
	return strcmp(axis->name, "event_weights") == 0;
}

/* Is it a parameter of what rows weigh? */
static bool
is_weighing(const GridAxis *axis)
{
	return is_weights(axis) || strcmp(axis->name, "half_life") == 0;
}

static bool
is_positive(const JsonbValue *number)
{
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
											  NumericGetDatum(number->val.numeric))) > 0;
}

/* Sets one end of a range. */
static void
read_end(GridAxis *axis, const JsonbValue *name, const JsonbValue *value)
{
	bool		from = name->val.string.len == 4 && strncmp(name->val.string.val, "from", 4) == 0;
	bool		to = name->val.string.len == 2 && strncmp(name->val.string.val, "to", 2) == 0;

	if ((!from && !to) || value->type != jbvNumeric)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("range of \"%s\" is not understood", axis->name),
				 errhint("For example {\"from\": 0.1, \"to\": 10}, with numbers.")));
	*(from ? &axis->from : &axis->to) =
		DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
										   NumericGetDatum(value->val.numeric)));
	axis->values = repalloc(axis->values, (axis->size + 1) * sizeof(JsonbValue));
	axis->values[axis->size++] = *value;
}

/* Raises for a range that cannot be searched. */
static void
check_range(const GridAxis *axis)
{
	bool		factors = strcmp(axis->name, "factors") == 0;
	bool		logarithmic = strcmp(axis->name, "alpha") == 0 || strcmp(axis->name, "regularization") == 0;

	if (!factors && !logarithmic && strcmp(axis->name, "regularization_scaling") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" cannot have a range", axis->name),
				 errhint("Ranges are of factors, alpha, regularization and regularization_scaling; give the others a value.")));
	if (!factors && axis->size == 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("range of \"%s\" has one end", axis->name),
				 errhint("Give it both, or none: {} is the range that als chooses.")));
	if ((axis->size == 2 && !(axis->from <= axis->to)) ||
		(logarithmic && axis->size == 2 && !(axis->from > 0)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("range of \"%s\" must not be from %g to %g", axis->name, axis->from, axis->to),
				 logarithmic ?
				 errhint("It begins above 0, since it is searched on a logarithmic scale, and does not end before it begins.") :
				 errhint("It does not end before it begins.")));
}

/* Reads a range, an object with the keys "from" and "to" or without. */
static void
read_range(GridAxis *axis, JsonbContainer *object)
{
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	name;
	JsonbValue	value;

	axis->range = true;
	axis->from = axis->to = NAN;
	axis->size = 0;
	axis->values = palloc(sizeof(JsonbValue));
	while ((token = JsonbIteratorNext(&iterator, &name, true)) != WJB_DONE)
		if (token == WJB_KEY)
		{
			JsonbIteratorNext(&iterator, &value, true);
			read_end(axis, &name, &value);
		}
	check_range(axis);
}

/* Raises for more combinations than there may be. */
static void
check_size(double size)
{
	if (size > MOST_COMBINATIONS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("grid has %.0f combinations", size),
				 errdetail("The limit is %d.", MOST_COMBINATIONS),
				 errhint("Give fewer values; trials => n tries a random sample of what is left.")));
}

/* Reads an array of values, or a single one. */
static void
read_list(GridAxis *axis, JsonbValue *value)
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

/* Reads an object of lists, one for each event, and multiplies them out. */
static void
read_weights(GridAxis *axis, JsonbContainer *object)
{
	MemoryContext context;
	Grid		events = {0};
	double		size = 1;
	JsonbIterator *iterator = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue	value;

	events.axes = palloc0(Max(JsonContainerSize(object), 1) * sizeof(GridAxis));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		GridAxis   *event = &events.axes[events.naxes];

		if (token != WJB_KEY)
			continue;
		event->name = pnstrdup(value.val.string.val, value.val.string.len);
		JsonbIteratorNext(&iterator, &value, true);
		read_list(event, &value);
		size *= event->size;
		events.naxes++;
	}
	check_size(size);
	axis->size = (int) size;
	axis->values = palloc(axis->size * sizeof(JsonbValue));
	context = AllocSetContextCreate(CurrentMemoryContext, "als event weights",
									ALLOCSET_SMALL_SIZES);
	for (int i = 0; i < axis->size; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		Jsonb	   *made = grid_json(&events, i);
		Jsonb	   *weights = MemoryContextAlloc(old, VARSIZE(made));

		CHECK_FOR_INTERRUPTS();
		memcpy(weights, made, VARSIZE(made));
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
		axis->values[i].type = jbvBinary;
		axis->values[i].val.binary.data = &weights->root;
		axis->values[i].val.binary.len = VARSIZE(weights) - VARHDRSZ;
	}
	MemoryContextDelete(context);
}

/* Reads the values of a parameter, or its range. */
static void
read_values(GridAxis *axis, JsonbValue *value)
{
	bool		object = value->type == jbvBinary &&
		JsonContainerIsObject(value->val.binary.data);

	axis->range = false;
	if (object && is_weights(axis))
		read_weights(axis, value->val.binary.data);
	else if (object)
		read_range(axis, value->val.binary.data);
	else
		read_list(axis, value);
}

/* Raises for weights that are not of the same events. */
static void
check_events(const GridAxis *axis)
{
	for (int i = 1; i < axis->size; i++)
	{
		JsonbIterator *iterator = JsonbIteratorInit(axis->values[0].val.binary.data);
		JsonbIteratorToken token;
		JsonbValue	event;
		bool		same = JsonContainerSize(axis->values[i].val.binary.data) ==
			JsonContainerSize(axis->values[0].val.binary.data);

		CHECK_FOR_INTERRUPTS();
		while (same && (token = JsonbIteratorNext(&iterator, &event, true)) != WJB_DONE)
			if (token == WJB_KEY)
			{
				JsonbValue *other = findJsonbValueFromContainer(axis->values[i].val.binary.data,
																JB_FOBJECT, &event);

				same = other != NULL;
				if (same)
					pfree(other);
			}
		if (!same)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("weights in the grid must be of the same events"),
					 errdetail("Those of the values of \"event_weights\" differ, and with them the rows that they are for."),
					 errhint("Give each of them a weight for every event, 0 for one that says nothing.")));
	}
}

/*
 * Raises for weights of an event of which some are above 0 and others are not: what
 * is relevant would not be the same in all trials.
 */
static void
check_signs(const GridAxis *axis)
{
	JsonbIterator *iterator = JsonbIteratorInit(axis->values[0].val.binary.data);
	JsonbIteratorToken token;
	JsonbValue	event;
	JsonbValue	weight;

	while ((token = JsonbIteratorNext(&iterator, &event, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		JsonbIteratorNext(&iterator, &weight, true);
		for (int i = 1; i < axis->size; i++)
		{
			JsonbValue *other = findJsonbValueFromContainer(axis->values[i].val.binary.data,
															JB_FOBJECT, &event);
			bool		same = is_positive(other) == is_positive(&weight);

			CHECK_FOR_INTERRUPTS();
			pfree(other);
			if (same)
				continue;
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("weights of \"%s\" in the grid must be all above 0 or none",
							pnstrdup(event.val.string.val, event.val.string.len)),
					 errdetail("What is rated above 0 is relevant where trials are validated, and has to be the same in all of them."),
					 errhint("Compare such weights by als_evaluate, on a test set of what is to be recommended.")));
		}
	}
}

/* Raises for a value that the parameter cannot have. */
static void
check_values(const GridAxis *axis)
{
	TrainOptions ignored;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "als grid value",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	for (int i = 0; i < axis->size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		options_set(&ignored, axis->option, USE_GRID, &axis->values[i]);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	if (is_weights(axis))
	{
		check_events(axis);
		check_signs(axis);
	}
}

Grid *
grid_parse(Jsonb *jsonb)
{
	Grid	   *grid = palloc0(sizeof(Grid));
	double		size = 1;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (jsonb == NULL)
	{
		grid->size = grid->weighings = 1;
		grid->searched = true;
		return grid;
	}
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
		if (axis->range)
		{
			grid->searched = true;
			axis->size = 1;
		}
		size *= axis->size;
		grid->naxes++;
	}
	if (grid->searched && size > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("grid has both ranges and lists of values"),
				 errhint("Where there is a range, the other parameters have a range or a single value.")));
	check_size(size);
	grid->size = (int) size;
	grid->weighings = 1;
	for (int i = 0; i < grid->naxes; i++)
		if (is_weighing(&grid->axes[i]))
			grid->weighings *= grid->axes[i].size;
	/* what rows weigh comes first, and so varies slowest */
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
	Weighing   *weighing = &options->source.weighing;

	grid_values(grid, combination, values);
	for (int i = 0; i < grid->naxes; i++)
		if (!grid->axes[i].range)
			options_set(options, grid->axes[i].option, USE_GRID, values[i]);
	/* where nothing fades, that has no meaning */
	if (weighing->half_life == NULL && grid_axis(grid, "half_life") != NULL)
		weighing->reference_time = DT_NOBEGIN;
	options_settle(options);
	pfree(values);
}

int
grid_weighing(const Grid *grid, int combination)
{
	return combination / (grid->size / grid->weighings);
}

const GridAxis *
grid_axis(const Grid *grid, const char *name)
{
	for (int i = 0; i < grid->naxes; i++)
		if (strcmp(grid->axes[i].name, name) == 0)
			return &grid->axes[i];
	return NULL;
}

void
push_pair(JsonbInState *state, const char *name, JsonbValue *value)
{
	JsonbValue	key;

	key.type = jbvString;
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = (int) strlen(name);
	push_jsonb(state, WJB_KEY, &key);
	push_jsonb(state, WJB_VALUE, value);
}

Jsonb *
grid_json(const Grid *grid, int combination)
{
	JsonbValue **values = palloc(Max(grid->naxes, 1) * sizeof(JsonbValue *));
	JsonbInState state = {0};

	grid_values(grid, combination, values);
	push_jsonb(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < grid->naxes; i++)
		push_pair(&state, grid->axes[i].name, values[i]);
	push_jsonb(&state, WJB_END_OBJECT, NULL);
	pfree(values);
	return JsonbValueToJsonb(state.result);
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
