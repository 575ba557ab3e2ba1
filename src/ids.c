/*
 * ids.c
 *	  What the ids of users and items are.
 */
#include "compat.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "ids.h"
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

/* The integer types, which skip the function manager. */
static bool
is_integer_type(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

bool
id_type_init(IdType *id, Oid type, int32 typmod, Oid collation,
			 MemoryContext context)
{
	TypeCacheEntry *cache = lookup_type_cache(type,
											  TYPECACHE_HASH_EXTENDED_PROC |
											  TYPECACHE_EQ_OPR |
											  TYPECACHE_CMP_PROC);

	if (!OidIsValid(cache->hash_extended_proc) || !OidIsValid(cache->eq_opr))
		return false;

	memset(id, 0, sizeof(*id));
	id->type = type;
	id->typmod = typmod;
	id->collation = collation;
	id->typlen = cache->typlen;
	id->typbyval = cache->typbyval;
	id->integer = is_integer_type(getBaseType(type));
	fmgr_info_cxt(cache->hash_extended_proc, &id->hash, context);
	fmgr_info_cxt(get_opcode(cache->eq_opr), &id->equal, context);
	if (OidIsValid(cache->cmp_proc))
		fmgr_info_cxt(cache->cmp_proc, &id->compare, context);
	return true;
}

uint64
id_hash(const IdType *id, Datum value)
{
	if (id->integer)
		return id_hash_integer(id_integer(id, value));
	return DatumGetUInt64(FunctionCall2Coll((FmgrInfo *) &id->hash,
											id->collation, value,
											UInt64GetDatum(0)));
}

bool
id_equal(const IdType *id, Datum a, Datum b)
{
	if (id->integer)
		return id_integer(id, a) == id_integer(id, b);
	return DatumGetBool(FunctionCall2Coll((FmgrInfo *) &id->equal,
										  id->collation, a, b));
}

int
id_compare_image(const IdType *id, Datum a, Datum b)
{
	const char *bytes_a = DatumGetPointer(a);
	const char *bytes_b = DatumGetPointer(b);
	size_t		length_a;
	size_t		length_b;
	int			order;

	if (id->typbyval)
		return a < b ? -1 : a > b ? 1 : 0;

	if (id->typlen == -1)
	{
		struct varlena *varlena_a = PG_DETOAST_DATUM_PACKED(a);
		struct varlena *varlena_b = PG_DETOAST_DATUM_PACKED(b);

		bytes_a = VARDATA_ANY(varlena_a);
		bytes_b = VARDATA_ANY(varlena_b);
		length_a = VARSIZE_ANY_EXHDR(varlena_a);
		length_b = VARSIZE_ANY_EXHDR(varlena_b);
	}
	else
	{
		length_a = datumGetSize(a, false, id->typlen);
		length_b = datumGetSize(b, false, id->typlen);
	}
	order = memcmp(bytes_a, bytes_b, Min(length_a, length_b));
	if (order == 0 && length_a != length_b)
		order = length_a < length_b ? -1 : 1;
	return order;
}

int
id_compare(const IdType *id, Datum a, Datum b)
{
	uint64		hash_a;
	uint64		hash_b;

	if (OidIsValid(id->compare.fn_oid))
		return DatumGetInt32(FunctionCall2Coll((FmgrInfo *) &id->compare,
											   id->collation, a, b));
	hash_a = id_hash(id, a);
	hash_b = id_hash(id, b);
	if (hash_a != hash_b)
		return hash_a < hash_b ? -1 : 1;
	return id_compare_image(id, a, b);
}

/* What compare_indices compares by */
typedef struct IdOrder
{
	const IdType *type;
	const Datum *ids;
} IdOrder;

/* Compares indices of ids by the order in which ties are broken. */
static int
compare_indices(const void *a, const void *b, void *arg)
{
	const IdOrder *order = arg;

	CHECK_FOR_INTERRUPTS();
	return id_compare(order->type, order->ids[*(const uint32 *) a],
					  order->ids[*(const uint32 *) b]);
}

void
id_places(const IdType *id, const Datum *ids, uint32 size, uint32 *places)
{
	IdOrder		order = {id, ids};
	uint32	   *sorted = MemoryContextAllocHuge(CurrentMemoryContext,
												Max(size, 1) * sizeof(uint32));

	for (uint32 i = 0; i < size; i++)
		sorted[i] = i;
	qsort_arg(sorted, size, sizeof(uint32), compare_indices, &order);
	for (uint32 i = 0; i < size; i++)
		places[sorted[i]] = i;
	pfree(sorted);
}

Datum
id_copy(const IdType *id, Datum value)
{
	if (id->typlen == -1)
		return PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	return datumCopy(value, id->typbyval, id->typlen);
}

char *
id_to_text(const IdType *id, Datum value)
{
	Oid			output;
	bool		varlena;

	getTypeOutputInfo(id->type, &output, &varlena);
	return OidOutputFunctionCall(output, value);
}

void
id_conversion_init(IdConversion *conversion, const IdType *target,
				   Oid source, const char *what, MemoryContext context)
{
	Oid			base = source == UNKNOWNOID ? source : getBaseType(source);
	Oid			target_base = getBaseType(target->type);
	Oid			function;
	bool		varlena;
	CoercionPathType path;

	memset(conversion, 0, sizeof(*conversion));
	conversion->source = source;
	conversion->target = target;

	if (source == UNKNOWNOID)
	{
		getTypeInputInfo(target->type, &function, &conversion->ioparam);
		fmgr_info_cxt(function, &conversion->function, context);
		conversion->path = ID_INPUT_UNKNOWN;
		return;
	}
	if (is_integer_type(base) && target->integer)
	{
		conversion->path = base == target_base ? ID_AS_IS : ID_INTEGER;
		conversion->source_length = get_typlen(base);
		return;
	}
	if (base == target_base)
	{
		conversion->path = ID_AS_IS;
		return;
	}

	path = find_coercion_pathway(target_base, base, COERCION_EXPLICIT,
								 &function);
	switch (path)
	{
		case COERCION_PATH_RELABELTYPE:
			conversion->path = ID_AS_IS;
			break;
		case COERCION_PATH_FUNC:
			fmgr_info_cxt(function, &conversion->function, context);
			conversion->nargs = get_func_nargs(function);
			conversion->path = ID_FUNCTION;
			break;
		case COERCION_PATH_COERCEVIAIO:
			getTypeOutputInfo(base, &function, &varlena);
			fmgr_info_cxt(function, &conversion->output, context);
			getTypeInputInfo(target->type, &function, &conversion->ioparam);
			fmgr_info_cxt(function, &conversion->function, context);
			conversion->path = ID_INPUT;
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("cannot use a value of type %s as %s id",
							format_type_be(source), what),
					 errdetail("The model's %s ids are of type %s.", what,
							   format_type_be(target->type)),
					 errhint("Cast it: CAST(... AS %s).",
							 format_type_be(target->type))));
	}
}

bool
id_result_init(IdConversion *conversion, IdType *result, Oid own,
			   Oid wanted, const char *what, MemoryContext context)
{
	char		category;
	bool		preferred;

	get_type_category_preferred(wanted, &category, &preferred);
	if (!can_coerce_type(1, &own, &wanted, category == TYPCATEGORY_STRING ?
						 COERCION_ASSIGNMENT : COERCION_IMPLICIT) ||
		!id_type_init(result, wanted, -1, get_typcollation(wanted), context))
		return false;
	id_conversion_init(conversion, result, own, what, context);
	return true;
}

bool
id_text_is_stable(Oid type)
{
	Oid			base = getBaseType(type);
	Oid			function;
	bool		varlena;

	/* extra_float_digits decides how floats look, though PostgreSQL denies it */
	getTypeOutputInfo(base, &function, &varlena);
	return base != FLOAT4OID && base != FLOAT8OID &&
		func_volatile(function) == PROVOLATILE_IMMUTABLE;
}

bool
id_convert(IdConversion *conversion, Datum value, Datum *id)
{
	const IdType *target = conversion->target;

	switch (conversion->path)
	{
		case ID_AS_IS:
			*id = value;
			return true;

		case ID_INTEGER:
			{
				int64		integer = conversion->source_length == 2 ?
					DatumGetInt16(value) : conversion->source_length == 4 ?
					DatumGetInt32(value) : DatumGetInt64(value);

				*id = id_from_integer(target, integer);
				return id_integer(target, *id) == integer;
			}

		case ID_FUNCTION:
			if (conversion->nargs == 1)
				*id = FunctionCall1Coll(&conversion->function,
										target->collation, value);
			else if (conversion->nargs == 2)
				*id = FunctionCall2Coll(&conversion->function,
										target->collation, value,
										Int32GetDatum(target->typmod));
			else
				*id = FunctionCall3Coll(&conversion->function,
										target->collation, value,
										Int32GetDatum(target->typmod),
										BoolGetDatum(true));
			return true;

		case ID_INPUT:
			*id = InputFunctionCall(&conversion->function,
									OutputFunctionCall(&conversion->output,
													   value),
									conversion->ioparam, target->typmod);
			return true;

		case ID_INPUT_UNKNOWN:
			*id = InputFunctionCall(&conversion->function,
									DatumGetCString(value),
									conversion->ioparam, target->typmod);
			return true;
	}
	pg_unreachable();
}

void
id_array_argument(FunctionCallInfo fcinfo, int argument, const char *name,
				  const char *what, const IdType *type, IdArray *array)
{
	Oid			array_type = get_fn_expr_argtype(fcinfo->flinfo, argument);
	Datum		value = PG_GETARG_DATUM(argument);
	Oid			element_type;
	int16		length;
	bool		byval;
	char		alignment;

	if (array_type == UNKNOWNOID)
	{
		Oid			input;
		Oid			ioparam;

		array_type = get_array_type(type->type);
		getTypeInputInfo(array_type, &input, &ioparam);
		value = OidInputFunctionCall(input, DatumGetCString(value), ioparam,
									 type->typmod);
	}
	element_type = get_base_element_type(array_type);
	if (!OidIsValid(element_type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s must be an array of %s ids, not %s", name, what,
						format_type_be(array_type)),
				 errhint("For example %s => ARRAY[...] or %s => ARRAY(SELECT ...).",
						 name, name)));

	id_conversion_init(&array->conversion, type, element_type, what,
					   CurrentMemoryContext);
	get_typlenbyvalalign(element_type, &length, &byval, &alignment);
	deconstruct_array(DatumGetArrayTypeP(value), element_type, length, byval,
					  alignment, &array->elements, &array->nulls,
					  &array->size);
}
