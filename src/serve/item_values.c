/*
 * item_values.c
 *	  What a call says of items by a relation or query.
 */
#include "compat.h"

#include "model/kept_plans.h"
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
 * The condition that the item, the first of the columns, is one of an array; none if
 * there are no such arrays, or perhaps none, or no such comparison: to read too much is
 * not wrong.  For kept_plan.
 */
static const char *
is_wanted(const ModelCache *cache, AlsSide side, TupleDesc columns, Oid *type)
{
	const IdType *id_type = &cache->sides[side].type;
	Oid			base = getBaseType(id_type->type);
	Oid			equal = lookup_type_cache(base, TYPECACHE_EQ_OPR)->eq_opr;
	StringInfoData clause;
	Oid			left_type;
	Oid			right_type;

	op_input_types(equal, &left_type, &right_type);
	*type = get_array_type(IsPolymorphicType(right_type) ? base : right_type);
	if (!OidIsValid(*type) || type_is_rowtype(base) ||
		!is_comparable(id_type, TupleDescAttr(columns, 0)->atttypid, left_type))
		return NULL;
	initStringInfo(&clause);
	generate_operator_clause(&clause, source_operand("als_item", base), base,
							 equal,
							 psprintf("ANY ($1%s)", source_collation(id_type)),
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

/* Where the rows go */
typedef struct ValueReceiver
{
	IdReceiver	pub;
	ItemValueVisitor visit;
	void	   *arg;
} ValueReceiver;

/* The receiver's callback: rows of (item, value). */
static bool
receive_value(TupleTableSlot *slot, DestReceiver *self)
{
	ValueReceiver *receiver = (ValueReceiver *) self;
	Datum		item;

	slot_getallattrs(slot);
	if (!slot->tts_isnull[0] && !slot->tts_isnull[1] &&
		id_convert(&receiver->pub.conversion, slot->tts_values[0], &item))
		receiver->visit(item, slot->tts_values[1],
						TupleDescAttr(slot->tts_tupleDescriptor, 1),
						receiver->arg);
	return true;
}

void
item_values_read(ModelCache *cache, const char *what, const char *source,
				 const char *cast, IdMap *wanted, ItemValueVisitor visit, void *arg)
{
	ValueReceiver receiver = {0};
	SourceReading reading;
	SPIPlanPtr	plan;
	Datum		array = (Datum) 0;

	source_begin(&reading, what, source, NULL);
	plan = kept_plan(cache, &reading, psprintf("als_item, als_value%s", cast),
					 "(als_item, als_value)", ALS_ITEMS,
					 wanted != NULL ? is_wanted : NULL);
	if (SPI_getargcount(plan) > 0)
		array = array_of(wanted, get_element_type(SPI_getargtypeid(plan, 0)));
	source_id_receiver_init(&receiver.pub, ALS_ITEMS,
							&cache->sides[ALS_ITEMS].type, receive_value);
	receiver.visit = visit;
	receiver.arg = arg;
	source_execute(&reading, plan, &array, &receiver.pub.pub, false);
	source_end(&reading);
}
