/*
 * import.c
 *	  als_import: a model out of factors that another program has trained.
 *
 * The factors of each side are read from a relation or query and written as a
 * training writes its own: new heaps are filled, swapped in and indexed, and a
 * run is added that says how they were made, as far as that is known.
 */
#include "compat.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/arguments.h"
#include "common/progress.h"
#include "common/side.h"
#include "funcapi.h"
#include "model/factor_table.h"
#include "model/model.h"
#include "model/model_cache.h"
#include "parser/parse_coerce.h"
#include "ratings/source.h"
#include "ratings/source_ratings.h"
#include "train/describe_run.h"
#include "train/train.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(als_import);

enum
{
	ARG_MODEL,
	ARG_USERS,
	ARG_ITEMS,
	ARG_RATINGS,
	ARG_OPTIONS,
	/* options, as als_import has them */
	ARG_REGULARIZATION = ARG_OPTIONS + 10,
	ARG_SCALING,
	ARG_BY,
	ARG_ALPHA,
	ARG_NONNEGATIVE,
	ARG_BIASES,
	ARG_MEAN_RATING
};

/* The factors of one side, while they are read and after */
typedef struct ImportedSide
{
	DestReceiver pub;			/* takes rows (id, factors[, bias]) */
	AlsSide		side;
	bool		explicit;		/* rows have a bias behind their factors */
	bool		biased;			/* which is read, and 0 otherwise */
	bool		nonnegative;	/* which may not be below zero then */
	double		mean;			/* part of every score */
	int			factors;		/* 0 until the first row */
	IdType		type;
	IdMap	   *map;
	MemoryContext context;		/* of the rows */
	MemoryContext row_context;	/* reset for every row */
	float	   *rows;			/* [capacity x als_stride(factors + biased)] */
	uint32		capacity;
	RatedIds	ids;			/* once all are read, in order of arrival */
} ImportedSide;

/* The length of a row of factors in memory */
static size_t
row_stride(const ImportedSide *imported)
{
	return als_stride(imported->factors + (imported->explicit ? 1 : 0));
}

/* Raises for a row that cannot be one of the factors of an id. */
pg_noreturn static void
reject_factors(const ImportedSide *imported, Datum id, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s %s has no factors that a model can have",
					side_names[imported->side],
					id_to_text(&imported->type, id)),
			 errdetail("%s", detail),
			 errhint("Each row has an id and as many finite factors as all others, for users and items alike.")));
}

/* Takes over the factors of an id, and checks them. */
static void
take_factors(ImportedSide *imported, Datum id, ArrayType *array, float *row)
{
	int			size = ARR_NDIM(array) == 1 ? ARR_DIMS(array)[0] : 0;

	if (ARR_NDIM(array) > 1)
		reject_factors(imported, id,
					   psprintf("It has an array of %d dimensions.",
								ARR_NDIM(array)));
	if (size < 1 || size > ALS_MAX_FACTORS)
		reject_factors(imported, id,
					   psprintf("It has %d factors; there may be 1 to %d.",
								size, ALS_MAX_FACTORS));
	if (imported->factors != size)
		reject_factors(imported, id,
					   psprintf("It has %d factors, and others have %d.",
								size, imported->factors));
	if (ARR_HASNULL(array))
		reject_factors(imported, id, "One of them is null.");
	memcpy(row, ARR_DATA_PTR(array), size * sizeof(float));
	for (int i = 0; i < size; i++)
	{
		if (!isfinite(row[i]))
			reject_factors(imported, id,
						   psprintf("Factor %d is %g.", i + 1, row[i]));
		if (imported->nonnegative && row[i] < 0)
			reject_factors(imported, id,
						   psprintf("With nonnegative, factor %d must not be %g.",
									i + 1, row[i]));
	}
}

/* Raises for a row whose scores might not be finite. */
static void
check_length(const ImportedSide *imported, Datum id, const float *row)
{
	if (!factors_fit(row, imported->factors, imported->explicit, imported->mean))
		reject_factors(imported, id, factors_fit_detail(imported->explicit));
}

/* Room for the row of the next id */
static float *
next_row(ImportedSide *imported, uint32 index)
{
	size_t		bytes = row_stride(imported) * sizeof(float);

	if (index >= imported->capacity)
	{
		imported->capacity = Max(1024, 2 * (size_t) index);
		imported->rows = imported->rows == NULL ?
			MemoryContextAllocHuge(imported->context,
								   imported->capacity * bytes) :
			repalloc_huge(imported->rows, imported->capacity * bytes);
	}
	return memset((char *) imported->rows + index * bytes, 0, bytes);
}

/* The receiver's callback: a row of a side. */
static bool
receive_factors(TupleTableSlot *slot, DestReceiver *self)
{
	ImportedSide *imported = (ImportedSide *) self;
	MemoryContext old = MemoryContextSwitchTo(imported->row_context);
	uint32		known = idmap_size(imported->map);
	ArrayType  *array;
	Datum		id;
	float	   *row;

	slot_getallattrs(slot);
	id = slot->tts_values[0];
	if (slot->tts_isnull[0])
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("column \"%s\" of the factors of %s contains a null value",
						side_id_columns[imported->side],
						side_plurals[imported->side]),
				 errhint("Use a SELECT that leaves such rows out.")));
	if (slot->tts_isnull[1])
		reject_factors(imported, id, "Its factors are null.");
	array = DatumGetArrayTypeP(slot->tts_values[1]);
	if (imported->factors == 0 && ARR_NDIM(array) == 1)
		imported->factors = Min(ARR_DIMS(array)[0], ALS_MAX_FACTORS);
	if (idmap_add(imported->map, id) < known)
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("%s %s is there more than once",
						side_names[imported->side],
						id_to_text(&imported->type, id)),
				 errhint("Use a SELECT with one row for each id.")));
	row = next_row(imported, known);
	take_factors(imported, id, array, row);
	if (imported->biased)
	{
		row[imported->factors] = slot->tts_isnull[2] ? NAN :
			DatumGetFloat4(slot->tts_values[2]);
		if (!isfinite(row[imported->factors]))
			reject_factors(imported, id,
						   "With explicit feedback it has to have a finite bias, unless biases are off.");
	}
	check_length(imported, id, row);
	MemoryContextSwitchTo(old);
	MemoryContextReset(imported->row_context);
	return true;
}

/* The column of a side's source; an error for one that is not there. */
static Form_pg_attribute
side_column(TupleDesc columns, AlsSide side, const char *name)
{
	for (int i = 0; i < columns->natts; i++)
		if (strcmp(NameStr(TupleDescAttr(columns, i)->attname), name) == 0)
			return TupleDescAttr(columns, i);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" does not exist in the factors of %s",
					name, side_plurals[side]),
			 errhint("Use a SELECT with columns %s, factors%s.",
					 side_id_columns[side],
					 strcmp(name, "bias") == 0 ? " and bias" : "")));
}

/* The factors of a side's source, as an expression of type real[] */
static const char *
factors_expression(TupleDesc columns, AlsSide side)
{
	Form_pg_attribute column = side_column(columns, side, "factors");
	Oid			type = column->atttypid;
	Oid			wanted = FLOAT4ARRAYOID;

	if (type == wanted)
		return "factors";
	if (!can_coerce_type(1, &type, &wanted, COERCION_EXPLICIT))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("factors of %s are of type %s, which does not become real[]",
						side_plurals[side], format_type_be(type)),
				 errhint("Use a SELECT that makes them one.")));
	return "factors::pg_catalog.float4[]";
}

/* Reads the factors of a side. */
static void
read_side(ImportedSide *imported, const char *source, MemoryContext context)
{
	AlsSide		side = imported->side;
	SourceReading reading;
	TupleDesc	columns;
	Form_pg_attribute id;
	SPIPlanPtr	plan;

	source_begin(&reading, psprintf("factors of %s", side_plurals[side]), source,
				 NULL);
	columns = source_plan(source_prepare(&reading, "*", "", 0, NULL))->resultDesc;
	id = side_column(columns, side, side_id_columns[side]);
	if (!id_type_init(&imported->type, id->atttypid, id->atttypmod,
					  id->attcollation, context))
		reject_unhashable(id->atttypid, NameStr(id->attname));
	if (imported->biased)
		side_column(columns, side, "bias");
	plan = source_prepare(&reading,
						  psprintf("%s, %s%s", side_id_columns[side],
								   factors_expression(columns, side),
								   imported->biased ?
								   ", bias::pg_catalog.float4" : ""),
						  "", 0, NULL);

	imported->context = context;
	imported->map = idmap_create(context, &imported->type);
	imported->row_context = AllocSetContextCreate(context, "als imported row",
												  ALLOCSET_SMALL_SIZES);
	source_receiver_init(&imported->pub, receive_factors);
	source_execute(&reading, plan, NULL, &imported->pub, true);
	source_end(&reading);
	MemoryContextSwitchTo(context);

	imported->ids.size = idmap_size(imported->map);
	if (imported->ids.size == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("there are no factors of %s", side_plurals[side]),
				 errhint("Check that the relation or query returns rows.")));
	imported->ids.ids = MemoryContextAllocHuge(context, imported->ids.size *
											   sizeof(Datum));
	for (uint32 i = 0; i < imported->ids.size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		imported->ids.ids[i] = idmap_id(imported->map, i);
	}
}

/* Checks that there are ratings to read later; the text to keep, or NULL. */
static char *
check_ratings(const RatingSource *source, const ModelTarget *target)
{
	SourceReading reading;
	TupleDesc	columns;
	char	   *canonical;

	canonical = source_begin(&reading, "ratings", source->source, NULL);
	columns = source_plan(source_prepare(&reading, "*", "", 0, NULL))->resultDesc;
	source_column(columns, source->user_column, "user_column");
	source_column(columns, source->item_column, "item_column");
	if (source->rating_column != NULL)
		source_column(columns, source->rating_column, "rating_column");
	source_check_weighing(columns, &source->weighing);
	source_end(&reading);
	if (!is_temporary_for_others(target, source->source))
		return canonical;
	notice_temporary(target, "ratings");
	return NULL;
}

/* A value of the run that may be null */
static void
set_value(Datum *values, bool *nulls, ModelColumn column, Datum value)
{
	values[column - 1] = value;
	nulls[column - 1] = false;
}

/* Fills in what is known of a run but for its number and its tables. */
static void
describe_import(FunctionCallInfo fcinfo, Datum *values, bool *nulls,
				const TrainOptions *options, const char *ratings,
				const ImportedSide *imported)
{
	const TrainerParameters *parameters = &options->parameters;
	bool		explicit = parameters->feedback == ALS_EXPLICIT;

	memset(nulls, true, MODEL_COLUMNS * sizeof(bool));
	set_value(values, nulls, MODEL_TRAINED_AT,
			  TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	describe_source(values, nulls, ratings, &options->source);
	set_value(values, nulls, MODEL_FEEDBACK,
			  CStringGetTextDatum(feedback_name(parameters->feedback)));
	set_value(values, nulls, MODEL_FACTORS,
			  Int32GetDatum(imported[ALS_USERS].factors));
	if (!PG_ARGISNULL(ARG_REGULARIZATION))
	{
		set_value(values, nulls, MODEL_REGULARIZATION,
				  Float8GetDatum(parameters->regularization));
		set_value(values, nulls, MODEL_REGULARIZATION_SCALING,
				  Float8GetDatum(parameters->regularization_scaling));
		set_value(values, nulls, MODEL_REGULARIZATION_BY,
				  CStringGetTextDatum(regularization_by_name(parameters->by_ratings)));
	}
	if (!explicit && !PG_ARGISNULL(ARG_ALPHA))
		set_value(values, nulls, MODEL_ALPHA,
				  Float8GetDatum(parameters->alpha));
	set_value(values, nulls, MODEL_NONNEGATIVE,
			  BoolGetDatum(options->nonnegative));
	set_value(values, nulls, MODEL_USERS,
			  Int64GetDatum(imported[ALS_USERS].ids.size));
	set_value(values, nulls, MODEL_ITEMS,
			  Int64GetDatum(imported[ALS_ITEMS].ids.size));
	if (!explicit)
		return;
	set_value(values, nulls, MODEL_BIASES, BoolGetDatum(parameters->biases));
	set_value(values, nulls, MODEL_MEAN_RATING,
			  Float8GetDatum(PG_ARGISNULL(ARG_MEAN_RATING) ? 0 :
							 PG_GETARG_FLOAT8(ARG_MEAN_RATING)));
}

/* Raises for arguments that say nothing or do not go together. */
static void
check_arguments(FunctionCallInfo fcinfo, const TrainOptions *options)
{
	static const char *const names[] = {"model", "users", "items"};

	for (int i = ARG_MODEL; i <= ARG_ITEMS; i++)
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not be null", names[i]),
					 errhint("Give the model a name, and the factors of users and items as relations or SELECTs.")));
	if (PG_ARGISNULL(ARG_MEAN_RATING))
		return;
	if (options->parameters.feedback == ALS_IMPLICIT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mean_rating has no meaning with implicit feedback"),
				 errhint("Pass feedback => 'explicit' if scores are ratings.")));
	if (!isfinite((float) PG_GETARG_FLOAT8(ARG_MEAN_RATING)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mean_rating must not be %g",
						PG_GETARG_FLOAT8(ARG_MEAN_RATING)),
				 errhint("It is a number within the range of type real.")));
}

/* Reads both sides, and writes them and their run; returns the run. */
static Datum
import(FunctionCallInfo fcinfo, TrainOptions *options, ModelTarget *target,
	   TupleDesc row_type, MemoryContext context)
{
	ImportedSide imported[2] = {{.side = ALS_USERS}, {.side = ALS_ITEMS}};
	const IdType *types[2];
	const RatedIds *ids[2];
	const float *rows[2];
	char	   *ratings = NULL;
	Datum		values[MODEL_COLUMNS];
	bool		nulls[MODEL_COLUMNS];
	instr_time	started;

	INSTR_TIME_SET_CURRENT(started);
	progress_phase(PROGRESS_READING);
	for (int side = 0; side < 2; side++)
	{
		imported[side].explicit = options->parameters.feedback == ALS_EXPLICIT;
		imported[side].biased = imported[side].explicit && options->parameters.biases;
		imported[side].nonnegative = options->nonnegative;
		imported[side].mean = PG_ARGISNULL(ARG_MEAN_RATING) ? 0 :
			PG_GETARG_FLOAT8(ARG_MEAN_RATING);
		/* as many factors as the other side has */
		imported[side].factors = imported[ALS_USERS].factors;
		read_side(&imported[side],
				  text_to_cstring(PG_GETARG_TEXT_PP(ARG_USERS + side)),
				  context);
		types[side] = &imported[side].type;
		ids[side] = &imported[side].ids;
		rows[side] = imported[side].rows;
	}
	if (!PG_ARGISNULL(ARG_RATINGS))
	{
		options->source.source = text_to_cstring(PG_GETARG_TEXT_PP(ARG_RATINGS));
		ratings = check_ratings(&options->source, target);
	}
	model_check_unchanged(target);

	model_prepare_tables(target, options->parameters.feedback, types, ids);
	model_store_factors(target, ids, rows, imported[ALS_USERS].factors,
						options->parameters.feedback);
	describe_import(fcinfo, values, nulls, options, ratings, imported);
	set_value(values, nulls, MODEL_SECONDS,
			  Float8GetDatum(seconds_since(started)));
	return model_add_run(target, row_type, values, nulls);
}

/* als_import(model, users, items, ...) */
Datum
als_import(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	TrainOptions options;
	ModelTarget target;
	Progress	before;
	TupleDesc	row_type;
	Datum		row;

	require_arguments(fcinfo, ARG_MEAN_RATING + 1);
	prevent_training("als_import()");
	if (get_call_result_type(fcinfo, NULL, &row_type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be als_model");
	context = AllocSetContextCreate(caller, "als import",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	options_from_arguments(&options, fcinfo, ARG_OPTIONS, USE_IMPORT);
	options_settle(&options);
	check_arguments(fcinfo, &options);

	model_begin_training(text_to_cstring(PG_GETARG_TEXT_PP(ARG_MODEL)),
						 row_type, "als_import", 0, &target);
	before = progress_begin(target.name, target.model);
	row = import(fcinfo, &options, &target, row_type, context);
	progress_end(&before);
	MemoryContextSwitchTo(caller);
	row = datumCopy(row, false, -1);
	MemoryContextDelete(context);
	PG_RETURN_DATUM(row);
}
