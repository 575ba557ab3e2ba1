/*
 * item_values.c
 *	  What a call says of items by a relation or query.
 */
#include "compat.h"

#include "common/id_conversion.h"
#include "common/side.h"
#include "parser/parse_coerce.h"
#include "ratings/source.h"
#include "serve/item_values.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"

/*
 * Can values of type source, of a column, be compared with ids by the operator, whose
 * left operand is left_type, without a cast that may fail?  A domain is what it is of.
 */
static bool
is_comparable(const IdType *type, Oid source, Oid left_type)
{
	Oid			base = getBaseType(source);

	return base == getBaseType(type->type) ||
		(type->integer && is_integer_type(base)) ||
		(!IsPolymorphicType(left_type) && IsBinaryCoercible(base, left_type));
}

/*
 * The condition that the item, a column of type source, is one of an array, $1, of
 * *array_type; nothing if there are no such arrays, or perhaps none, or no such
 * comparison: to read too much is not wrong.
 */
static const char *
is_wanted(const IdType *type, Oid source, Oid *element_type, Oid *array_type)
{
	Oid			base = getBaseType(type->type);
	Oid			equal = lookup_type_cache(base, TYPECACHE_EQ_OPR)->eq_opr;
	StringInfoData clause;
	Oid			left_type;
	Oid			right_type;

	op_input_types(equal, &left_type, &right_type);
	*element_type = IsPolymorphicType(right_type) ? base : right_type;
	*array_type = get_array_type(*element_type);
	if (!OidIsValid(*array_type) || type_is_rowtype(base) ||
		!is_comparable(type, source, left_type))
		return "";
	initStringInfo(&clause);
	appendStringInfoString(&clause, " WHERE ");
	generate_operator_clause(&clause, source_operand("als_item", base), base,
							 equal,
							 psprintf("ANY ($1%s)", source_collation(type)),
							 right_type);
	return clause.data;
}

/* The ids as an array of a type that is that of the ids, or has the same bytes */
static Datum
array_of(IdMap *ids, Oid element_type)
{
	uint32		size = idmap_size(ids);
	Datum	   *elements = palloc(Max(size, 1) * sizeof(Datum));
	int16		length;
	bool		byval;
	char		alignment;

	for (uint32 i = 0; i < size; i++)
		elements[i] = idmap_id(ids, i);
	get_typlenbyvalalign(element_type, &length, &byval, &alignment);
	return PointerGetDatum(construct_array(elements, size, element_type, length,
										   byval, alignment));
}

/* Is a kept plan for what is read now, of which plan reads everything? */
static bool
is_kept(const KeptPlan *kept, const char *text, SPIPlanPtr plan, Oid element_type)
{
	return kept->plan != NULL && strcmp(kept->text, text) == 0 &&
		kept->element_type == element_type &&
		equal(kept->query, source_plan(plan)->query_list);
}

/*
 * The plan that reads what items have, of all of them or of some, which come as an array
 * of *element_type; if that is none, all are read.  The first one of a version is kept
 * for the same text, which PostgreSQL itself reads anew where names mean something else;
 * so that another text of the same meaning will not do.  Of a relation the text has the
 * whole name, and the plan is good until that changes.
 */
static SPIPlanPtr
values_plan(ModelCache *cache, const SourceReading *reading, const char *targets,
			bool some, Oid *element_type)
{
	static const char *const columns = "(als_item, als_value)";
	KeptPlan   *kept = &cache->values_plans[some];
	char	   *text = psprintf("%s FROM %s", targets, reading->from_clause);
	const char *condition = "";
	SPIPlanPtr	plan;
	List	   *query;
	Oid			array_type;

	if (kept->plan != NULL && !reading->is_query &&
		strcmp(kept->text, text) == 0 && SPI_plan_is_valid(kept->plan))
	{
		*element_type = kept->element_type;
		return kept->plan;
	}

	plan = source_prepare(reading, targets, columns, 0, NULL);
	if (some)
		condition = is_wanted(&cache->sides[ALS_ITEMS].type,
							  TupleDescAttr(source_plan(plan)->resultDesc, 0)->atttypid,
							  element_type, &array_type);
	if (condition[0] == '\0')
		*element_type = InvalidOid;
	if (is_kept(kept, text, plan, *element_type))
		return kept->plan;
	query = source_plan(plan)->query_list;
	if (condition[0] != '\0')
		plan = source_prepare(reading, targets, psprintf("%s%s", columns, condition),
							  1, &array_type);
	if (kept->plan == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(cache->context);

		kept->text = pstrdup(text);
		kept->query = copyObject(query);
		kept->element_type = *element_type;
		MemoryContextSwitchTo(old);
		SPI_keepplan(plan);
		kept->plan = plan;
	}
	return plan;
}

void
item_values_read(ModelCache *cache, const char *what, const char *source,
				 const char *cast, IdMap *wanted, ItemValueVisitor visit, void *arg)
{
	const IdType *type = &cache->sides[ALS_ITEMS].type;
	const char *targets;
	SourceReading reading;
	IdConversion conversion;
	SPIPlanPtr	plan;
	Oid			element_type;
	Datum		array = (Datum) 0;
	TupleDesc	columns;

	source_begin(&reading, what, source, NULL);
	targets = psprintf("als_item, als_value%s", cast);
	plan = values_plan(cache, &reading, targets, wanted != NULL, &element_type);
	if (OidIsValid(element_type))
		array = array_of(wanted, element_type);
	source_execute(&reading, plan, &array, NULL, false);
	columns = SPI_tuptable->tupdesc;
	id_conversion_init(&conversion, type, SPI_gettypeid(columns, 1),
					   side_names[ALS_ITEMS], CurrentMemoryContext);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		item_null;
		bool		value_null;
		Datum		item = SPI_getbinval(SPI_tuptable->vals[i], columns, 1,
										 &item_null);
		Datum		value = SPI_getbinval(SPI_tuptable->vals[i], columns, 2,
										  &value_null);

		CHECK_FOR_INTERRUPTS();
		if (!item_null && !value_null && id_convert(&conversion, item, &item))
			visit(item, value, TupleDescAttr(columns, 1), arg);
	}
	source_end(&reading);
}
