/*
 * id_conversion.c
 *	  How values of other types become ids, and ids become results.
 */
#include "compat.h"

#include <math.h>

#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "common/id_conversion.h"
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

/* The type oid, and those that are it under other names. */
static bool
is_oid_type(Oid type)
{
	return !is_integer_type(type) && IsBinaryCoercible(type, OIDOID);
}

/* Prepares a cast by a function, or none for binary compatible types. */
static void
id_cast_init(IdCast *cast, Oid function, MemoryContext context)
{
	memset(cast, 0, sizeof(*cast));
	if (!OidIsValid(function))
		return;
	fmgr_info_cxt(function, &cast->function, context);
	cast->nargs = get_func_nargs(function);
}

Datum
id_cast(IdCast *cast, Oid collation, Datum value, int32 typmod, bool explicit)
{
	if (!OidIsValid(cast->function.fn_oid))
		return value;
	if (cast->nargs == 1)
		return FunctionCall1Coll(&cast->function, collation, value);
	if (cast->nargs == 2)
		return FunctionCall2Coll(&cast->function, collation, value,
								 Int32GetDatum(typmod));
	return FunctionCall3Coll(&cast->function, collation, value,
							 Int32GetDatum(typmod), BoolGetDatum(explicit));
}

bool
id_modifier_init(IdCast *cast, Oid type, MemoryContext context)
{
	Oid			function;
	CoercionPathType path = find_typmod_coercion_function(type, &function);

	/* of an array, the function is one for elements */
	if (path != COERCION_PATH_FUNC && path != COERCION_PATH_NONE)
		return false;
	id_cast_init(cast, path == COERCION_PATH_FUNC ? function : InvalidOid,
				 context);
	return true;
}

/* Prepares the input of ids from text; a domain's CHECK is not asked. */
static void
input_init(IdConversion *conversion, MemoryContext context)
{
	Oid			function;

	getTypeInputInfo(getBaseType(conversion->target->type), &function,
					 &conversion->ioparam);
	fmgr_info_cxt(function, &conversion->input, context);
}

/* Raises for values that cannot be compared with ids. */
static void
reject_source(Oid source, const IdType *target, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("cannot use a value of type %s as %s id",
					format_type_be(source), what),
			 errdetail("The model's %s ids are of type %s.", what,
					   format_type_be(target->type)),
			 OidIsValid(get_element_type(getBaseType(target->type))) ?
			 errhint("Cast it: CAST(... AS %s); or, in an array, which cannot hold arrays, CAST(... AS text).",
					 format_type_be(target->type)) :
			 errhint("Cast it: CAST(... AS %s).",
					 format_type_be(target->type))));
}

/*
 * Where "id = value" compares ids that have become values of the source's type,
 * the id that a value is cast to has to become that value again.
 */
static void
verify_init(IdConversion *conversion, Oid source, Oid back,
			MemoryContext context)
{
	TypeCacheEntry *type = lookup_type_cache(source, TYPECACHE_EQ_OPR);

	if (!OidIsValid(type->eq_opr))
		return;
	conversion->verified = true;
	id_cast_init(&conversion->back, back, context);
	fmgr_info_cxt(get_opcode(type->eq_opr), &conversion->equal, context);
	if (type_is_collatable(source))
		conversion->collation = OidIsValid(conversion->target->collation) ?
			conversion->target->collation : DEFAULT_COLLATION_OID;
}

/* How a value becomes an id without a cast; false if there is no such way. */
static bool
direct_path(const IdType *target, Oid base, Oid target_base, IdPath *path)
{
	bool		integer = is_integer_type(base);

	if (base == target_base)
		*path = ID_AS_IS;
	else if (target->integer && integer)
		*path = ID_INTEGER;
	else if (target->integer && base == NUMERICOID)
		*path = ID_NUMERIC;
	else if (target->integer && (base == FLOAT4OID || base == FLOAT8OID))
		*path = ID_FLOAT;
	else if (target_base == FLOAT4OID &&
			 (integer || base == NUMERICOID || base == FLOAT8OID))
		*path = ID_REAL;
	else if (is_oid_type(target_base) && integer)
		*path = ID_TO_OID;
	else if (target->integer && is_oid_type(base))
		*path = ID_FROM_OID;
	else if ((base == DATEOID && (target_base == TIMESTAMPOID ||
								  target_base == TIMESTAMPTZOID)) ||
			 (base == TIMESTAMPOID && target_base == TIMESTAMPTZOID))
		*path = ID_DATE;
	else
		return false;
	return true;
}

/*
 * The rules are those of "id = value" in SQL, without its errors for values
 * that no id can equal.  Where SQL has no such comparison, text may still be
 * the text of an id, as in a literal, and the text of a value an id.
 */
void
id_conversion_init(IdConversion *conversion, const IdType *target,
				   Oid source, const char *what, MemoryContext context)
{
	Oid			base = source == UNKNOWNOID ? source : getBaseType(source);
	Oid			target_base = getBaseType(target->type);
	CoercionPathType forth;
	CoercionPathType back;
	bool		text;
	bool		text_target;
	Oid			back_function;
	Oid			function;
	bool		varlena;

	memset(conversion, 0, sizeof(*conversion));
	conversion->source = source;
	conversion->target = target;
	conversion->typmod = -1;
	conversion->context = context;

	if (source == UNKNOWNOID)
	{
		input_init(conversion, context);
		conversion->path = ID_INPUT_UNKNOWN;
		return;
	}
	conversion->source_length = get_typlen(base);
	if (direct_path(target, base, target_base, &conversion->path))
		return;

	/* which is compared as text */
	if (base == VARCHAROID)
		base = TEXTOID;
	text = is_string_type(base);
	text_target = is_string_type(target_base);
	forth = find_coercion_pathway(target_base, base, COERCION_IMPLICIT,
								  &function);
	back = find_coercion_pathway(base, target_base, COERCION_IMPLICIT,
								 &back_function);
	if (forth == COERCION_PATH_NONE && back == COERCION_PATH_NONE &&
		!text && !text_target)
		reject_source(source, target, what);
	/* of name or char(n), whose blanks are not part of it, the text counts */
	if (forth == COERCION_PATH_NONE && back == COERCION_PATH_NONE &&
		!text_target &&
		find_coercion_pathway(TEXTOID, base, COERCION_IMPLICIT,
							  &function) != COERCION_PATH_NONE)
	{
		id_cast_init(&conversion->to_text, function, context);
		base = TEXTOID;
		back = find_coercion_pathway(base, target_base, COERCION_IMPLICIT,
									 &back_function);
	}
	forth = find_coercion_pathway(target_base, base, COERCION_EXPLICIT,
								  &function);
	if (text && !text_target && back == COERCION_PATH_NONE)
		forth = COERCION_PATH_COERCEVIAIO;
	switch (forth)
	{
		case COERCION_PATH_RELABELTYPE:
			/* which a cast by no function is, of what is made text before */
			conversion->path = OidIsValid(conversion->to_text.function.fn_oid) ?
				ID_FUNCTION : ID_AS_IS;
			break;
		case COERCION_PATH_FUNC:
			id_cast_init(&conversion->cast, function, context);
			conversion->path = ID_FUNCTION;
			break;
		case COERCION_PATH_COERCEVIAIO:
			getTypeOutputInfo(base, &function, &varlena);
			fmgr_info_cxt(function, &conversion->output, context);
			input_init(conversion, context);
			conversion->path = ID_INPUT;
			break;
		default:
			reject_source(source, target, what);
	}
	if (back == COERCION_PATH_FUNC ||
		(back == COERCION_PATH_RELABELTYPE && conversion->path != ID_AS_IS))
		verify_init(conversion, base, back_function, context);
}

bool
id_result_init(IdConversion *conversion, IdType *result, Oid own,
			   Oid wanted, const char *what, MemoryContext context)
{
	Oid			base;
	Oid			function;

	if (!can_coerce_type(1, &own, &wanted, is_string_type(wanted) ?
						 COERCION_ASSIGNMENT : COERCION_IMPLICIT) ||
		!id_type_init(result, wanted, -1, get_typcollation(wanted), context))
		return false;
	id_conversion_init(conversion, result, own, what, context);

	/* which integers are cast to implicitly, though it does not have them all */
	base = getBaseType(own);
	if (getBaseType(wanted) == FLOAT8OID && is_integer_type(base) &&
		find_coercion_pathway(base, FLOAT8OID, COERCION_ASSIGNMENT,
							  &function) == COERCION_PATH_FUNC)
		verify_init(conversion, base, function, context);

	/* what a domain adds to its type */
	conversion->domain = domain_has_constraints(wanted);
	conversion->typmod = -1;
	base = getBaseTypeAndTypmod(wanted, &conversion->typmod);
	return conversion->typmod < 0 || wanted == own ||
		id_modifier_init(&conversion->length, base, context);
}

bool
id_text_is_stable(Oid type)
{
	Oid			base = getBaseType(type);
	char		category;
	bool		preferred;
	Oid			function;
	bool		varlena;

	/*
	 * extra_float_digits decides how floats look, those of points and boxes
	 * as well, though PostgreSQL denies it
	 */
	get_type_category_preferred(base, &category, &preferred);
	getTypeOutputInfo(base, &function, &varlena);
	return base != FLOAT4OID && base != FLOAT8OID &&
		category != TYPCATEGORY_GEOMETRIC && is_immutable(function);
}

bool
is_compared_as_text(Oid type)
{
	Oid			base = getBaseType(type);

	/*
	 * enums' is not immutable since values can be renamed; bytea's is, says
	 * PostgreSQL
	 */
	return get_typtype(base) == TYPTYPE_ENUM ||
		(base != BYTEAOID && id_text_is_stable(base));
}

/* An integer as an id; false if it is out of range. */
static inline bool
integer_id(const IdType *target, int64 integer, Datum *id)
{
	*id = id_from_integer(target, integer);
	return id_integer(target, *id) == integer;
}

/* The id that is a number of type numeric; false if there is none. */
static bool
numeric_id(const IdType *target, Datum value, Datum *id)
{
	Numeric		number = DatumGetNumeric(value);

	if (numeric_is_nan(number) || numeric_is_inf(number) ||
		!DatumGetBool(DirectFunctionCall2(numeric_eq, value,
										  DirectFunctionCall2(numeric_trunc, value,
															  Int32GetDatum(0)))) ||
		DatumGetBool(DirectFunctionCall2(numeric_lt, value,
										 NumericGetDatum(int64_to_numeric(PG_INT64_MIN)))) ||
		DatumGetBool(DirectFunctionCall2(numeric_gt, value,
										 NumericGetDatum(int64_to_numeric(PG_INT64_MAX)))))
		return false;
	return integer_id(target,
					  DatumGetInt64(DirectFunctionCall1(numeric_int8, value)),
					  id);
}

/* The id that is a floating-point number; false if there is none. */
static bool
float_id(const IdType *target, double value, Datum *id)
{
	/* the bounds are powers of two, and so exact */
	return value >= -ldexp(1, 63) && value < ldexp(1, 63) &&
		value == rint(value) && integer_id(target, (int64) value, id);
}

/* A value of type smallint, integer or bigint */
static inline int64
integer_value(const IdConversion *conversion, Datum value)
{
	return conversion->source_length == 2 ? DatumGetInt16(value) :
		conversion->source_length == 4 ? DatumGetInt32(value) :
		DatumGetInt64(value);
}

/* The id of type real that equals a number in double precision */
static bool
real_id(const IdConversion *conversion, Datum value, Datum *id)
{
	Oid			base = getBaseType(conversion->source);
	double		number = base == FLOAT8OID ? DatumGetFloat8(value) :
		base == NUMERICOID ?
		DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value)) :
		(double) integer_value(conversion, value);
	float		real = (float) number;

	*id = Float4GetDatum(real);
	return (double) real == number || (isnan(real) && isnan(number));
}

/* The id of type oid that equals an integer, which "=" makes an oid. */
static bool
oid_id(const IdConversion *conversion, Datum value, Datum *id)
{
	int64		integer = integer_value(conversion, value);

	*id = ObjectIdGetDatum((Oid) integer);
	/* shorter ones are taken by their bits */
	return conversion->source_length < 8 || (Oid) integer == integer;
}

/* The timestamp that equals a date, or a timestamp without time zone. */
static bool
date_id(const IdConversion *conversion, Datum value, Datum *id)
{
	bool		zone = getBaseType(conversion->target->type) == TIMESTAMPTZOID;
	int			overflow = 0;

	if (getBaseType(conversion->source) == TIMESTAMPOID)
		*id = TimestampTzGetDatum(timestamp2timestamptz_opt_overflow(DatumGetTimestamp(value),
																	 &overflow));
	else if (zone)
		*id = TimestampTzGetDatum(date2timestamptz_opt_overflow(DatumGetDateADT(value),
																&overflow));
	else
		*id = TimestampGetDatum(date2timestamp_opt_overflow(DatumGetDateADT(value),
															&overflow));
	return overflow == 0;
}

/* The text of a value that is converted by it; else the value */
static Datum
text_of(IdConversion *conversion, Datum value)
{
	return id_cast(&conversion->to_text, DEFAULT_COLLATION_OID, value, -1,
				   false);
}

bool
id_convert(IdConversion *conversion, Datum value, Datum *id)
{
	const IdType *target = conversion->target;

	switch (conversion->path)
	{
		case ID_AS_IS:
			*id = value;
			break;

		case ID_INTEGER:
			return integer_id(target, integer_value(conversion, value), id);

		case ID_NUMERIC:
			return numeric_id(target, value, id);

		case ID_FLOAT:
			return float_id(target, conversion->source_length == 4 ?
							DatumGetFloat4(value) : DatumGetFloat8(value), id);

		case ID_REAL:
			return real_id(conversion, value, id);

		case ID_TO_OID:
			return oid_id(conversion, value, id);

		case ID_FROM_OID:
			return integer_id(target, target->typlen == 8 ?
							  (int64) DatumGetObjectId(value) :
							  (int32) DatumGetObjectId(value), id);

		case ID_DATE:
			return date_id(conversion, value, id);

		case ID_FUNCTION:
			value = text_of(conversion, value);
			*id = id_cast(&conversion->cast, target->collation, value, -1,
						  true);
			break;

		case ID_INPUT:
			value = text_of(conversion, value);
			*id = InputFunctionCall(&conversion->input,
									OutputFunctionCall(&conversion->output,
													   value),
									conversion->ioparam, -1);
			break;

		case ID_INPUT_UNKNOWN:
			*id = InputFunctionCall(&conversion->input,
									DatumGetCString(value),
									conversion->ioparam, -1);
			break;
	}
	if (!conversion->verified)
		return true;
	return DatumGetBool(FunctionCall2Coll(&conversion->equal,
										  conversion->collation,
										  id_cast(&conversion->back,
												  conversion->collation,
												  *id, -1, false),
										  value));
}

Datum
id_convert_result(IdConversion *conversion, Datum id)
{
	const IdType *type = conversion->target;
	Datum		result;
	bool		fits = id_convert(conversion, id, &result);

	if (fits && OidIsValid(conversion->length.function.fn_oid))
	{
		Datum		cut = id_cast(&conversion->length, type->collation,
								  result, conversion->typmod, false);

		fits = id_equal(type, cut, result);
		result = cut;
	}
	if (!fits)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("an id does not fit type %s",
						format_type_be(type->type)),
				 errhint("Name a type in the call that holds all ids of the model.")));
	if (conversion->domain)
		domain_check(result, false, type->type, &conversion->domain_state,
					 conversion->context);
	return result;
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

	/* a literal, or what a driver sends as one */
	if (array_type == UNKNOWNOID || array_type == TEXTOID ||
		array_type == VARCHAROID)
	{
		const char *literal = array_type == UNKNOWNOID ?
			DatumGetCString(value) : TextDatumGetCString(value);
		Oid			input;
		Oid			ioparam;

		array_type = get_array_type(getBaseType(type->type));
		/* there are none of arrays, whose texts it has then */
		if (!OidIsValid(array_type))
			array_type = TEXTARRAYOID;
		getTypeInputInfo(array_type, &input, &ioparam);
		value = OidInputFunctionCall(input, unconstify(char *, literal),
									 ioparam, -1);
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
