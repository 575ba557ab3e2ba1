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
#include "optimizer/optimizer.h"
#include "ratings/source.h"
#include "ratings/source_ratings.h"
#include "serve/live_ratings.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
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
	row_ratings_init(row, SPI_processed);
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

void
live_ratings_add_seen(ModelCache *cache, AlsSide side, Datum id,
					  const char *function, IdMap *others)
{
	SourceReader reader = {function, get_rel_name(cache->model),
	"exclude_seen => false"};
	SourceReading reading;
	IdConversion conversion;
	SPIPlanPtr	plan;

	source_begin(&reading, "ratings", cache->run.source, &reader);
	plan = kept_plan(cache, &reading, id_column(cache, other_side(side)), "",
					 side, equals_id);
	source_execute(&reading, plan, &id, NULL, false);
	read_id_init(&conversion, cache, other_side(side));

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		other = SPI_getbinval(SPI_tuptable->vals[i],
										  SPI_tuptable->tupdesc, 1, &isnull);

		if (!isnull && id_convert(&conversion, other, &other))
			idmap_add(others, other);
	}
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
									  format_type_extended(array_type, -1,
														   FORMAT_TYPE_FORCE_QUALIFY),
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

/* Orders items by falling score, equal ones by id. */
static int
compare_popular(const void *a, const void *b, void *type)
{
	const ScoredItem *item_a = a;
	const ScoredItem *item_b = b;

	CHECK_FOR_INTERRUPTS();
	if (item_a->score != item_b->score)
		return item_a->score > item_b->score ? -1 : 1;
	return id_compare(type, item_a->id, item_b->id);
}

/*
 * Whether a query sees the same rows whenever and with whatever settings the
 * present user runs it, as long as nobody changes them.
 */
static bool
is_settled(CachedPlanSource *plan)
{
	return !plan->dependsOnRLS &&
		!contain_mutable_functions((Node *) plan->query_list);
}

/* Takes over the counts of the source's items, by what they are in the model. */
static void
take_counts(const ModelCache *cache, PopularItems *popular)
{
	const IdType *type = &cache->sides[ALS_ITEMS].type;
	MemoryContext working = AllocSetContextCreate(popular->context,
												  "als counting",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext context = AllocSetContextCreate(working, "als conversion",
												  ALLOCSET_SMALL_SIZES);
	IdMap	   *items = idmap_create(working, type);
	MemoryContext old = MemoryContextSwitchTo(working);
	int64	   *counts = MemoryContextAllocHuge(working, Max(SPI_processed, 1) *
												sizeof(int64));
	IdConversion conversion;

	read_id_init(&conversion, cache, ALS_ITEMS);
	MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		uint32		known = idmap_size(items);
		bool		isnull;
		Datum		id = SPI_getbinval(SPI_tuptable->vals[i],
									   SPI_tuptable->tupdesc, 1, &isnull);
		int64		count = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i],
														SPI_tuptable->tupdesc, 2,
														&isnull));

		CHECK_FOR_INTERRUPTS();
		if (id_convert(&conversion, id, &id))
		{
			uint32		item = idmap_add(items, id);

			counts[item] = count + (item < known ? counts[item] : 0);
		}
		MemoryContextReset(context);
	}

	MemoryContextSwitchTo(popular->context);
	popular->size = idmap_size(items);
	popular->items = MemoryContextAllocHuge(popular->context,
											Max(popular->size, 1) *
											sizeof(ScoredItem));
	for (uint32 i = 0; i < popular->size; i++)
	{
		CHECK_FOR_INTERRUPTS();
		popular->items[i].id = id_copy(type, idmap_id(items, i));
		popular->items[i].score = (float) counts[i];
	}
	MemoryContextDelete(working);
	qsort_arg(popular->items, popular->size, sizeof(ScoredItem),
			  compare_popular, unconstify(IdType *, type));
	MemoryContextSwitchTo(old);
}

/*
 * The condition that a row's time is $2 or later, whose type is *type: points in
 * time, to the microsecond, since a time without time zone is UTC's.
 */
static char *
is_since(const ModelCache *cache, const SourceReading *reading, Oid *type)
{
	const char *column = quote_identifier(cache->run.weighing.time_column);
	SPIPlanPtr	plan = source_prepare(reading, column, "", 0, NULL);
	TupleDesc	columns = source_plan(plan)->resultDesc;

	*type = getBaseType(TupleDescAttr(columns, 0)->atttypid) == TIMESTAMPTZOID ?
		TIMESTAMPTZOID : TIMESTAMPOID;
	return psprintf(" AND %s OPERATOR(pg_catalog.>=) $2", column);
}

PopularItems *
live_ratings_take_popular(ModelCache *cache, const Interval *since,
						  const char *function)
{
	Oid			types[] = {INT8OID, InvalidOid};
	Datum		values[2];
	int			nvalues = since != NULL ? 2 : 1;
	const char *column = id_column(cache, ALS_ITEMS);
	const char *condition = "";
	PopularItems *popular = since == NULL ? cache->popular : NULL;
	SourceReader reader = {function, get_rel_name(cache->model),
	"cold_start => 'none'"};
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context;
	SourceReading reading;
	SPIPlanPtr	plan;
	CachedPlanSource *query;

	/* nobody else frees it while user code runs */
	if (popular != NULL)
	{
		cache->popular = NULL;
		MemoryContextSetParent(popular->context, caller);
	}

	source_begin(&reading, "ratings", cache->run.source, &reader);
	if (since != NULL)
	{
		condition = is_since(cache, &reading, &types[1]);
		values[1] = DirectFunctionCall2(timestamptz_mi_interval,
										TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()),
										IntervalPGetDatum(since));
	}
	plan = source_prepare(&reading,
						  psprintf("%s, pg_catalog.count(*)", column),
						  psprintf(" WHERE %s IS DISTINCT FROM NULL%s GROUP BY 1 LIMIT $1",
								   column, condition),
						  nvalues, types);
	query = source_plan(plan);
	if (popular != NULL && popular->role == GetUserId() &&
		equal(popular->query, query->query_list))
	{
		/* may this user, still? */
		values[0] = Int64GetDatum(0);
		source_execute(&reading, plan, values, NULL, false);
	}
	else
	{
		context = AllocSetContextCreate(caller, "als popular items",
										ALLOCSET_SMALL_SIZES);
		MemoryContextSwitchTo(context);
		popular = palloc0(sizeof(PopularItems));
		popular->context = context;
		popular->role = GetUserId();
		popular->settled = since == NULL && is_settled(query);
		popular->query = copyObject(query->query_list);
		values[0] = Int64GetDatum(PG_INT64_MAX);
		source_execute(&reading, plan, values, NULL, false);
		take_counts(cache, popular);
	}
	source_end(&reading);
	MemoryContextSwitchTo(caller);
	return popular;
}

void
live_ratings_keep_popular(ModelCache *cache, PopularItems *popular)
{
	if (!popular->settled ||
		!cache_make_room(MemoryContextMemAllocated(popular->context, true)))
		return;
	if (cache->popular != NULL)
		MemoryContextDelete(cache->popular->context);
	MemoryContextSetParent(popular->context, cache->context);
	cache->popular = popular;
}
