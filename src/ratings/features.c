/*
 * features.c
 *	  What is known of users or items besides their ratings: a relation or query
 *	  of (id, feature[, value]).
 *
 * Its columns count by their places.  Ids become those of the ratings, features
 * are kept as text, and each row becomes a triple of dense indices; sorted, these
 * are the features of each row.  A row without a feature says nothing, since that
 * is what an outer join or a nullable column makes of something unknown.
 */
#include "compat.h"

#include <math.h>

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/bulk.h"
#include "common/id_conversion.h"
#include "common/side.h"
#include "parser/parse_coerce.h"
#include "ratings/features.h"
#include "ratings/source.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define MOST_FEATURE_BYTES 1024

/* One row of the source; an id that is not rated counts behind those that are */
typedef struct FeatureValue
{
	uint32		row;
	uint32		feature;
	float4		value;
} FeatureValue;

/* Where the rows of the query go */
typedef struct FeatureReceiver
{
	DestReceiver pub;
	AlsSide		side;
	const RatedIds *rated;
	IdMap	   *rated_map;
	IdMap	   *new_map;
	IdMap	   *feature_map;
	IdConversion conversion;	/* of ids */
	bool		valued;			/* there is a third column */
	MemoryContext row_context;
	FeatureValue *values;		/* [capacity] */
	uint64		size;
	uint64		capacity;
} FeatureReceiver;

/* What a message says of an id */
static char *
id_of(AlsSide side, const IdType *type, Datum id)
{
	return psprintf("%s %s", side_names[side], id_to_text(type, id));
}

float4
feature_value(AlsSide side, const IdType *type, Datum id, Datum feature,
			  Datum value, bool isnull)
{
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the value of a feature must not be null"),
				 errdetail("That of feature \"%s\" of %s is.",
						   TextDatumGetCString(feature), id_of(side, type, id)),
				 errhint("Leave such rows out with a WHERE clause: what is not known of somebody is not there.")));
	if (!rating_is_real(DatumGetFloat8(value)))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("the value of a feature must not be %g",
						DatumGetFloat8(value)),
				 errdetail("That of feature \"%s\" of %s is.",
						   TextDatumGetCString(feature), id_of(side, type, id)),
				 errhint("Values must be finite and within the range of type real.")));
	return (float4) DatumGetFloat8(value);
}

/* The row of an id: as rated, or behind these in order of arrival; or raises. */
static uint32
feature_row(FeatureReceiver *receiver, Datum value, Datum *id)
{
	uint32		index;
	uint64		row;

	if (!id_convert(&receiver->conversion, value, id))
	{
		Oid			output;
		bool		varlena;

		getTypeOutputInfo(receiver->conversion.source, &output, &varlena);
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s id %s of the features is not one of type %s",
						side_names[receiver->side],
						OidOutputFunctionCall(output, value),
						format_type_be(idmap_type(receiver->rated_map)->type)),
				 errhint("Use a SELECT that makes ids of the same type as those of the ratings.")));
	}
	if (idmap_find(receiver->rated_map, *id, &index))
		return receiver->rated->order[index];
	row = (uint64) receiver->rated->size + idmap_add(receiver->new_map, *id);
	if (row >= PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many different ids"),
				 errdetail("A model holds at most %d users and as many items.",
						   PG_INT32_MAX)));
	return (uint32) row;
}

/* Raises for a feature that an index has no room for beside others. */
static void
check_feature_length(const FeatureReceiver *receiver, Datum id, Datum feature)
{
	Size		length = VARSIZE_ANY_EXHDR(DatumGetPointer(feature));

	if (length > MOST_FEATURE_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a feature of %s is too long",
						id_of(receiver->side, idmap_type(receiver->rated_map), id)),
				 errdetail("It takes %zu bytes as text; there is room for %d.",
						   length, MOST_FEATURE_BYTES),
				 errhint("Shorten features in a SELECT, with md5() for example.")));
}

/* The receiver's callback: a row of (id, feature[, value]). */
static bool
receive_feature(TupleTableSlot *slot, DestReceiver *self)
{
	FeatureReceiver *receiver = (FeatureReceiver *) self;
	MemoryContext old;
	FeatureValue *value;
	Datum		id;
	Datum		feature;

	slot_getallattrs(slot);
	if (slot->tts_isnull[1])
		return true;
	if (slot->tts_isnull[0])
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s ids of features must not be null",
						side_names[receiver->side]),
				 errhint("Leave such rows out with a WHERE clause.")));
	if (receiver->size == receiver->capacity)
	{
		receiver->capacity *= 2;
		receiver->values = repalloc_huge(receiver->values,
										 receiver->capacity * sizeof(FeatureValue));
	}
	value = &receiver->values[receiver->size];
	old = MemoryContextSwitchTo(receiver->row_context);
	value->row = feature_row(receiver, slot->tts_values[0], &id);
	feature = PointerGetDatum(PG_DETOAST_DATUM_PACKED(slot->tts_values[1]));
	check_feature_length(receiver, id, feature);
	value->feature = idmap_add(receiver->feature_map, feature);
	value->value = !receiver->valued ? 1 :
		feature_value(receiver->side, idmap_type(receiver->rated_map), id, feature,
					  slot->tts_values[2], slot->tts_isnull[2]);
	receiver->size++;
	MemoryContextSwitchTo(old);
	MemoryContextReset(receiver->row_context);
	return true;
}

/* Raises unless there are two columns or three, the third a number. */
static void
check_columns(AlsSide side, TupleDesc columns)
{
	Oid			value_type;
	Oid			number = FLOAT8OID;

	if (columns->natts < 2 || columns->natts > 3)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("features of %s must have two or three columns, not %d",
						side_plurals[side], columns->natts),
				 errdetail("The first is the %s, the second a feature, and the third, if there is one, its value.",
						   side_names[side]),
				 errhint("Use a SELECT that has these columns.")));
	if (!is_compared_as_text(TupleDescAttr(columns, 1)->atttypid))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("features of %s are of type %s, whose text depends on settings",
						side_plurals[side],
						format_type_be(TupleDescAttr(columns, 1)->atttypid)),
				 errhint("Use a SELECT that makes them text in a way that is the same in all sessions.")));
	if (columns->natts < 3)
		return;
	value_type = TupleDescAttr(columns, 2)->atttypid;
	if (!can_coerce_type(1, &value_type, &number, COERCION_IMPLICIT))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the values of features of %s are of type %s, which is not numeric",
						side_plurals[side], format_type_be(value_type)),
				 errhint("Use a SELECT that makes them numbers, or leaves them out: then each counts 1.")));
}

void
features_columns(const SourceReading *reading, AlsSide side,
				 FeatureColumns *columns)
{
	TupleDesc	desc = source_plan(source_prepare(reading, "*", "", 0,
												  NULL))->resultDesc;

	check_columns(side, desc);
	columns->id_type = TupleDescAttr(desc, 0)->atttypid;
	columns->valued = desc->natts == 3;
	columns->targets = columns->valued ?
		"als_id, als_feature::pg_catalog.text, als_value::pg_catalog.float8" :
		"als_id, als_feature::pg_catalog.text";
	columns->alias = columns->valued ? "(als_id, als_feature, als_value)" :
		"(als_id, als_feature)";
}

/* Reads all rows. */
static char *
read_rows(FeatureReceiver *receiver, const char *source, Snapshot snapshot)
{
	MemoryContext context = CurrentMemoryContext;
	SourceReading reading;
	FeatureColumns columns;
	SPIPlanPtr	plan;
	char	   *canonical;

	canonical = source_begin(&reading,
							 psprintf("features of %s",
									  side_plurals[receiver->side]),
							 source, NULL);
	reading.snapshot = snapshot;
	features_columns(&reading, receiver->side, &columns);
	plan = source_prepare(&reading, columns.targets, columns.alias, 0, NULL);
	MemoryContextSwitchTo(context);
	id_conversion_init(&receiver->conversion, idmap_type(receiver->rated_map),
					   columns.id_type, side_names[receiver->side], context);
	receiver->valued = columns.valued;
	canonical = pstrdup(canonical);
	source_receiver_init(&receiver->pub, receive_feature);
	source_execute(&reading, plan, NULL, &receiver->pub, true);
	source_end(&reading);
	MemoryContextSwitchTo(context);
	return canonical;
}

/* The ids of a map in an order that they alone decide; *places has each one's. */
static Datum *
ordered_ids(const IdMap *map, uint32 **places)
{
	uint32		size = idmap_size(map);
	Datum	   *ids = MemoryContextAllocHuge(CurrentMemoryContext,
											 Max(size, 1) * sizeof(Datum));
	Datum	   *ordered = MemoryContextAllocHuge(CurrentMemoryContext,
												 Max(size, 1) * sizeof(Datum));

	*places = MemoryContextAllocHuge(CurrentMemoryContext,
									 Max(size, 1) * sizeof(uint32));
	for (uint32 i = 0; i < size; i++)
		ids[i] = idmap_id(map, i);
	id_places(idmap_type(map), ids, size, *places);
	for (uint32 i = 0; i < size; i++)
		ordered[(*places)[i]] = ids[i];
	pfree(ids);
	return ordered;
}

void
reject_second_feature(AlsSide side, const IdType *type, Datum id,
					  Datum feature)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("%s has feature \"%s\" twice", id_of(side, type, id),
					TextDatumGetCString(feature)),
			 errhint("Use a SELECT DISTINCT, or one that adds its values up.")));
}

static inline int
compare_entries(const AlsEntry *a, const AlsEntry *b)
{
	return a->column < b->column ? -1 : a->column > b->column;
}

#define ST_SORT sort_by_feature
#define ST_ELEMENT_TYPE AlsEntry
#define ST_COMPARE(a, b) compare_entries(a, b)
#define ST_SCOPE static
#define ST_CHECK_FOR_INTERRUPTS
#define ST_DEFINE
#include "lib/sort_template.h"

/* Sorts each row's features, and raises for one that a row has twice. */
static void
sort_features(const FeatureReceiver *receiver, SideFeatures *features)
{
	for (uint32 r = 0; r < features->nrows + features->nnew; r++)
	{
		AlsEntry   *entries = features->entries + features->start[r];
		uint64		n = features->start[r + 1] - features->start[r];

		CHECK_FOR_INTERRUPTS();
		sort_by_feature(entries, n);
		for (uint64 k = 1; k < n; k++)
			if (entries[k].column == entries[k - 1].column)
				reject_second_feature(receiver->side,
									  idmap_type(receiver->rated_map),
									  r < features->nrows ? receiver->rated->ids[r] :
									  features->new_ids[r - features->nrows],
									  features->names[entries[k].column]);
	}
}

/* Makes rows of what has been read. */
static void
build_rows(FeatureReceiver *receiver, SideFeatures *features)
{
	uint32		nrows = features->nrows + features->nnew;
	uint32	   *feature_places;
	uint64	   *next;

	features->new_ids = ordered_ids(receiver->new_map, &features->new_places);
	features->names = ordered_ids(receiver->feature_map, &feature_places);
	features->start = MemoryContextAllocHuge(CurrentMemoryContext,
											 (nrows + (size_t) 1) * sizeof(uint64));
	next = MemoryContextAllocHuge(CurrentMemoryContext,
								  (nrows + (size_t) 1) * sizeof(uint64));
	features->entries = MemoryContextAllocHuge(CurrentMemoryContext,
											   receiver->size * sizeof(AlsEntry));
	zero_large(next, (nrows + (size_t) 1) * sizeof(uint64));
	for (uint64 k = 0; k < receiver->size; k++)
	{
		FeatureValue *value = &receiver->values[k];

		CHECK_FOR_INTERRUPTS();
		if (value->row >= features->nrows)
			value->row = features->nrows +
				features->new_places[value->row - features->nrows];
		next[value->row + 1]++;
	}
	for (uint32 r = 0; r < nrows; r++)
		next[r + 1] += next[r];
	copy_large(features->start, next, (nrows + (size_t) 1) * sizeof(uint64));
	for (uint64 k = 0; k < receiver->size; k++)
	{
		const FeatureValue *value = &receiver->values[k];
		AlsEntry   *entry = &features->entries[next[value->row]++];

		CHECK_FOR_INTERRUPTS();
		entry->column = feature_places[value->feature];
		entry->rating = value->value;
	}
	pfree(next);
	pfree(feature_places);
	sort_features(receiver, features);
}

/* Warns of features from which nothing can be learned. */
static void
warn_of_unrated(AlsSide side, const SideFeatures *features)
{
	if (features->start[features->nrows] == 0)
		ereport(WARNING,
				(errmsg("none of the %s with features has ratings",
						side_plurals[side]),
				 errdetail("So nothing can be learned from their features."),
				 errhint("Check that features and ratings name %s by the same ids.",
						 side_plurals[side])));
}

uint32
features_new_row(const SideFeatures *features, Datum id)
{
	uint32		index;

	return features != NULL && idmap_find(features->new_map, id, &index) ?
		features->nrows + features->new_places[index] : NOT_THERE;
}

SideFeatures *
features_read(AlsSide side, const char *source, Snapshot snapshot,
			  const Ratings *ratings)
{
	MemoryContext working = AllocSetContextCreate(CurrentMemoryContext,
												  "als features as read",
												  ALLOCSET_DEFAULT_SIZES);
	SideFeatures *features = palloc0(sizeof(SideFeatures));
	FeatureReceiver receiver = {
		.side = side,
		.rated = ratings_ids(ratings, side),
		.rated_map = ratings_map(ratings, side),
		.capacity = 1024
	};
	IdType		text_type;

	if (!id_type_init(&text_type, TEXTOID, -1, C_COLLATION_OID, working))
		elog(ERROR, "type text has no hash");
	receiver.row_context = AllocSetContextCreate(working, "als feature",
												 ALLOCSET_SMALL_SIZES);
	receiver.new_map = idmap_create(CurrentMemoryContext,
									idmap_type(receiver.rated_map));
	receiver.feature_map = idmap_create(CurrentMemoryContext, &text_type);
	receiver.values = MemoryContextAllocHuge(working, receiver.capacity *
											 sizeof(FeatureValue));
	features->source = read_rows(&receiver, source, snapshot);
	if (receiver.size == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("there are no features of %s",
						side_plurals[side]),
				 errhint("Check that the relation or query returns rows, or leave it out.")));
	features->nrows = receiver.rated->size;
	features->nnew = idmap_size(receiver.new_map);
	features->new_map = receiver.new_map;
	features->nfeatures = idmap_size(receiver.feature_map);
	build_rows(&receiver, features);
	warn_of_unrated(side, features);
	MemoryContextDelete(working);
	return features;
}
