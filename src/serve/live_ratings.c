/*
 * live_ratings.c
 *	  What users and items have in the ratings that a model was trained from,
 *	  as of now.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "common/id_conversion.h"
#include "common/side.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "model/kept_plans.h"
#include "ratings/source.h"
#include "ratings/source_ratings.h"
#include "serve/live_ratings.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

/* So many ids are looked for in the source; for more, all of it is read. */
#define FEW_IDS 10000

/* The name of the column of the source with a side's ids. */
static const char *
id_column_name(const ModelCache *cache, AlsSide side)
{
	return side == ALS_USERS ? cache->run.user_column : cache->run.item_column;
}

/* The same, quoted. */
static const char *
id_column(const ModelCache *cache, AlsSide side)
{
	return quote_identifier(id_column_name(cache, side));
}

/*
 * What an operand is to be cast to: nothing for an operator of anyarray, which
 * finds the array's type by itself.
 */
static Oid
operand_type(Oid equality, const IdType *type)
{
	Oid			left;
	Oid			right;

	op_input_types(equality, &left, &right);
	return IsPolymorphicType(left) ? left : type->type;
}

char *
id_equality(const char *left, const char *right, const IdType *type)
{
	TypeCacheEntry *cache = lookup_type_cache(type->type, TYPECACHE_EQ_OPR);
	Oid			operand = operand_type(cache->eq_opr, type);
	StringInfoData clause;

	initStringInfo(&clause);
	generate_operator_clause(&clause, left, operand, cache->eq_opr,
							 psprintf("%s%s", right, source_collation(type)),
							 operand);
	return clause.data;
}

/* The condition on a side's ids in the source, for kept_plan. */
static const char *
equals_id(const ModelCache *cache, AlsSide side, TupleDesc columns, Oid *type)
{
	const IdType *id_type = &cache->sides[side].type;

	*type = id_type->type;
	return id_equality(source_operand(id_column(cache, side), id_type->type),
					   "$1", id_type);
}

/* Raises for a row of the given id that a training would not take. */
static void
reject_live_row(const ModelCache *cache, AlsSide side, Datum id, bool other_null,
				bool rating_null, double rating)
{
	AlsSide		other = other_side(side);
	const char *rating_column = cache->run.rating_column ?
		cache->run.rating_column : "rating";
	char	   *id_text = id_to_text(&cache->sides[side].type, id);

	if (other_null || rating_null)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("column \"%s\" of the ratings contains a null value",
						other_null ? id_column_name(cache, other) :
						rating_column),
				 errdetail("It is in a row whose \"%s\" is %s.",
						   id_column_name(cache, side), id_text),
				 errhint("Train from a SELECT that leaves such rows out.")));
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("column \"%s\" of the ratings contains the value %g",
					rating_column, rating),
			 errdetail("It is in a row whose \"%s\" is %s; ratings must be finite and within the range of type real.",
					   id_column_name(cache, side), id_text),
			 errhint("Train from a SELECT that leaves such rows out.")));
}

/* Raises likewise for the weight of a rating. */
static void
reject_live_weight(const ModelCache *cache, AlsSide side, Datum id, double weight)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("a rating has the weight %g", weight),
			 errdetail("It is in a row whose \"%s\" is %s; weights must be 0 or more and within the range of type real.",
					   id_column_name(cache, side),
					   id_to_text(&cache->sides[side].type, id)),
			 errhint("Train from a SELECT that leaves such rows out.")));
}

/*
 * The weight of a row that SPI has read, behind its rating, NaN where it is null; 1 where
 * ratings have none.
 */
static double
live_weight(const ModelCache *cache, uint64 row)
{
	bool		isnull;
	Datum		value;

	if (!cache->run.weighing.apart)
		return 1;
	value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 3,
						  &isnull);
	return isnull ? get_float8_nan() : DatumGetFloat8(value);
}

/* How ids in the first column of what SPI has read become those of a side. */
static void
read_id_init(IdConversion *conversion, const ModelCache *cache, AlsSide side)
{
	id_conversion_init(conversion, &cache->sides[side].type,
					   SPI_gettypeid(SPI_tuptable->tupdesc, 1),
					   side_names[side],
					   CurrentMemoryContext);
}

void
live_ratings_read(ModelCache *cache, AlsSide side, Datum id,
				  bool with_active_snapshot, const char *function, RowRatings *row)
{
	AlsSide		other = other_side(side);
	const Weighing *weighing = &cache->run.weighing;
	MemoryContext caller = CurrentMemoryContext;
	SourceReader reader = {function, get_rel_name(cache->model), NULL};
	SourceReading reading;
	IdConversion conversion;
	SPIPlanPtr	plan;

	source_begin(&reading, "ratings", cache->run.source, &reader);
	plan = kept_plan(cache, &reading,
					 psprintf("%s, %s%s%s", id_column(cache, other),
							  weighing_expression(weighing,
												  cache->run.rating_column),
							  weighing->apart ? ", " : "",
							  weighing->apart ? weight_expression(weighing) : ""),
					 "", side, equals_id);
	source_execute(&reading, plan, &id, NULL, !with_active_snapshot);

	MemoryContextSwitchTo(caller);
	read_id_init(&conversion, cache, other);
	row_ratings_init(row, SPI_processed, weighing->apart);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		id_null;
		bool		rating_null;
		Datum		other_id = SPI_getbinval(SPI_tuptable->vals[i],
											 SPI_tuptable->tupdesc, 1,
											 &id_null);
		Datum		value = SPI_getbinval(SPI_tuptable->vals[i],
										  SPI_tuptable->tupdesc, 2,
										  &rating_null);
		double		rating = rating_null ? 0 : DatumGetFloat8(value);
		double		weight = live_weight(cache, i);

		CHECK_FOR_INTERRUPTS();
		/* as if the row were not there */
		if (weight == 0)
			continue;
		if (id_null || rating_null || !rating_is_real(rating))
			reject_live_row(cache, side, id, id_null, rating_null, rating);
		if (!weight_is_valid(weight))
			reject_live_weight(cache, side, id, weight);
		if (id_convert(&conversion, other_id, &other_id))
			row_ratings_add(row, id_copy(&cache->sides[other].type, other_id),
							rating, weight);
	}
	source_end(&reading);
}

/* Where the ids go that an id has */
typedef struct SeenReceiver
{
	IdReceiver	pub;
	IdMap	   *others;
} SeenReceiver;

/* The receiver's callback: rows of (id). */
static bool
receive_seen(TupleTableSlot *slot, DestReceiver *self)
{
	SeenReceiver *receiver = (SeenReceiver *) self;
	Datum		other;

	slot_getallattrs(slot);
	if (!slot->tts_isnull[0] &&
		id_convert(&receiver->pub.conversion, slot->tts_values[0], &other))
		idmap_add(receiver->others, other);
	return true;
}

void
live_ratings_add_seen(ModelCache *cache, AlsSide side, Datum id,
					  const char *function, IdMap *others)
{
	SourceReader reader = {function, get_rel_name(cache->model),
	"exclude_seen => false"};
	AlsSide		other = other_side(side);
	SeenReceiver receiver = {.others = others};
	SourceReading reading;
	SPIPlanPtr	plan;

	source_begin(&reading, "ratings", cache->run.source, &reader);
	plan = kept_plan(cache, &reading, id_column(cache, other), "", side,
					 equals_id);
	source_id_receiver_init(&receiver.pub, other, &cache->sides[other].type,
							receive_seen);
	source_execute(&reading, plan, &id, &receiver.pub.pub, false);
	source_end(&reading);
}

void
live_ratings_only(StringInfo condition, const char *column, IdMap *wanted)
{
	const IdType *type = idmap_type(wanted);
	Oid			array_type;
	Oid			equal = lookup_type_cache(type->type, TYPECACHE_EQ_OPR)->eq_opr;
	uint32		size = idmap_size(wanted);
	Datum	   *ids;
	ArrayType  *array;
	Oid			left_type;
	Oid			right_type;
	Oid			output;
	bool		varlena;
	int16		length;
	bool		byval;
	char		alignment;

	op_input_types(equal, &left_type, &right_type);
	array_type = get_array_type(IsPolymorphicType(right_type) ?
								type->type : right_type);
	if (size > FEW_IDS || !OidIsValid(array_type) ||
		!id_text_is_stable(type->type))
		return;
	ids = palloc(Max(size, 1) * sizeof(Datum));
	for (uint32 i = 0; i < size; i++)
		ids[i] = idmap_id(wanted, i);
	get_typlenbyvalalign(type->type, &length, &byval, &alignment);
	array = construct_array(ids, size, type->type, length, byval, alignment);
	getTypeOutputInfo(array_type, &output, &varlena);
	appendStringInfoString(condition, " AND ");
	generate_operator_clause(condition, source_operand(column, type->type),
							 type->type, equal,
							 psprintf("ANY (%s::%s%s)",
									  quote_literal_cstr(OidOutputFunctionCall(output, PointerGetDatum(array))),
									  type_name_any_length(array_type),
									  source_collation(type)),
							 right_type);
}

Oid
live_ratings_time_type(SourceReading *reading, const SourceReader *reader,
					   const char *time_column, bool named)
{
	Weighing	weighing = {.time_column = time_column};
	TupleDesc	columns;
	Oid			type;

	/* a column that the call names is no fault of the model's */
	reading->reader = named ? NULL : reader;
	columns = source_plan(source_prepare(reading, "*", "", 0, NULL))->resultDesc;
	source_check_weighing(columns, &weighing);
	type = getBaseType(source_column(columns, time_column, "time_column")->atttypid);
	reading->reader = reader;
	return type;
}

Datum
live_ratings_time(TimestampTz time, Oid type)
{
	/* without a time zone, it is UTC's */
	if (type == DATEOID)
		return DirectFunctionCall1(timestamp_date, TimestampGetDatum(time));
	return TimestampTzGetDatum(time);
}
