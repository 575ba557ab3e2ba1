/*
 * live_features.c
 *	  What the features of users and items say of them, as of now.
 */
#include "compat.h"

#include <math.h>

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/arena.h"
#include "common/side.h"
#include "model/feature_table.h"
#include "parser/parse_coerce.h"
#include "ratings/features.h"
#include "serve/live_features.h"
#include "serve/live_ratings.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

/* Makes room for so many features. */
static void
row_features_init(RowFeatures *features, uint64 capacity)
{
	features->size = 0;
	features->names = MemoryContextAllocHuge(CurrentMemoryContext,
											 Max(capacity, 1) * sizeof(Datum));
	features->values = MemoryContextAllocHuge(CurrentMemoryContext,
											  Max(capacity, 1) * sizeof(float4));
}

/*
 * The condition on the ids of a source of features, a column of some type: they are
 * compared as id_convert does it, in that of the two types to which the other can be
 * cast without loss, or else as text, so that no row of another id can be taken for
 * this one's, or fail.
 */
static char *
is_of_id(const IdType *type, Oid column_type)
{
	Oid			column_base = getBaseType(column_type);
	Oid			id_base = getBaseType(type->type);
	bool		text = is_string_type(column_base);
	const char *common;
	IdType		wider;
	Oid			function;

	if (column_base == id_base ||
		(type->integer && is_integer_type(column_base)))
		return id_equality(source_operand("als_id", type->type), "$1", type);
	if (is_string_type(id_base) ||
		find_coercion_pathway(id_base, column_base, COERCION_IMPLICIT,
							  &function) != COERCION_PATH_NONE ||
		!id_type_init(&wider, text ? TEXTOID : column_base, -1,
					  text ? C_COLLATION_OID : get_typcollation(column_base),
					  CurrentMemoryContext))
		return id_equality(psprintf("als_id::%s",
									type_name_any_length(type->type)),
						   "$1", type);
	common = type_name_any_length(wider.type);
	return id_equality(psprintf("als_id::%s", common),
					   psprintf("$1::%s", common), &wider);
}

/* Takes over what SPI has read of an id. */
static void
take_features(AlsSide side, const IdType *type, Datum id, bool valued,
			  RowFeatures *features)
{
	TupleDesc	columns = SPI_tuptable->tupdesc;
	IdType		text_type;
	IdMap	   *known;

	if (!id_type_init(&text_type, TEXTOID, -1, C_COLLATION_OID,
					  CurrentMemoryContext))
		elog(ERROR, "type text has no hash");
	known = idmap_create(CurrentMemoryContext, &text_type);
	row_features_init(features, SPI_processed);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		float4		value = 1;
		bool		isnull;
		Datum		feature = SPI_getbinval(tuple, columns, 2, &isnull);

		CHECK_FOR_INTERRUPTS();
		if (isnull)
			continue;
		if (valued)
		{
			Datum		given = SPI_getbinval(tuple, columns, 3, &isnull);

			value = feature_value(side, type, id, feature, given, isnull);
		}
		if (idmap_add(known, feature) < features->size)
			reject_second_feature(side, type, id, feature);
		features->names[features->size] = idmap_id(known, features->size);
		features->values[features->size++] = value;
	}
}

void
live_features_read(ModelCache *cache, AlsSide side, Datum id,
				   bool with_active_snapshot, const char *function,
				   RowFeatures *features)
{
	const IdType *type = &cache->sides[side].type;
	MemoryContext caller = CurrentMemoryContext;
	Oid			argument = type->type;
	SourceReader reader = {function, get_rel_name(cache->model), NULL};
	SourceReading reading;
	FeatureColumns columns;
	SPIPlanPtr	plan;

	features->size = 0;
	if (cache->run.features[side] == NULL)
		return;
	source_begin(&reading, psprintf("features of %s", side_plurals[side]),
				 cache->run.features[side], &reader);
	features_columns(&reading, side, &columns);
	plan = source_prepare(&reading, columns.targets,
						  psprintf("%s WHERE %s", columns.alias,
								   is_of_id(type, columns.id_type)),
						  1, &argument);
	source_execute(&reading, plan, &id, NULL, !with_active_snapshot);
	MemoryContextSwitchTo(caller);
	take_features(side, type, id, columns.valued, features);
	source_end(&reading);
}

void
row_features_argument(Jsonb *jsonb, RowFeatures *features)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("features must be a JSON object with the value of each feature"),
				 errhint("For example {\"country DE\": 1, \"age\": 0.3}.")));
	row_features_init(features, JB_ROOT_COUNT(jsonb));
	iterator = JsonbIteratorInit(&jsonb->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char	   *name;
		float8		number;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(value.val.string.val, value.val.string.len);
		JsonbIteratorNext(&iterator, &value, true);
		if (value.type != jbvNumeric)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("feature \"%s\" must have a number for its value", name),
					 errhint("For example {\"country DE\": 1, \"age\": 0.3}.")));
		number = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
													NumericGetDatum(value.val.numeric)));
		if (!rating_is_real(number))
			ereport(ERROR,
					(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					 errmsg("feature \"%s\" must not have the value %g", name,
							number),
					 errhint("Values must be finite and within the range of type real.")));
		features->names[features->size] = CStringGetTextDatum(name);
		features->values[features->size++] = (float4) number;
	}
}

float *
features_prior(ModelCache *cache, AlsSide side, const RowFeatures *features)
{
	int			rank = cache->run.factors +
		(cache->run.feedback == ALS_EXPLICIT ? 1 : 0);
	size_t		bytes = als_stride(rank) * sizeof(float);
	float	   *factors;
	double	   *sums;
	float	   *prior;
	bool		known = false;
	FeatureTable table;

	if (features->size == 0 || !OidIsValid(cache->run.feature_table))
		return NULL;
	factors = palloc(bytes);
	sums = palloc0(rank * sizeof(double));
	feature_table_open(&table, cache->model, &cache->run);
	for (uint64 k = 0; k < features->size; k++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!feature_table_find(&table, side, features->names[k], factors))
			continue;
		known = true;
		for (int i = 0; i < rank; i++)
			sums[i] += (double) features->values[k] * factors[i];
	}
	feature_table_close(&table);
	if (!known)
		return NULL;
	prior = allocate_aligned(CurrentMemoryContext, bytes);
	memset(prior, 0, bytes);
	for (int i = 0; i < rank; i++)
		prior[i] = (float) sums[i];
	return prior;
}
