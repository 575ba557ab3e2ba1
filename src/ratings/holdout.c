/*
 * holdout.c
 *	  als_holdout: a split of ratings into two parts, by their ids alone.
 *
 * The hash is written down here rather than taken from the types' hash
 * functions, which may change between versions and machines: a pair stays on
 * its side for good.  Integers count as 64 bits, whatever their width; all
 * else as bytes, in words of 64 bits, the first byte lowest.
 */
#include "compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/arguments.h"
#include "common/id_conversion.h"
#include "common/ids.h"
#include "core/als_core.h"
#include "ratings/holdout.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(als_holdout);

/* What of an id is hashed */
typedef enum HoldoutForm
{
	HOLDOUT_INT2, HOLDOUT_INT4, HOLDOUT_INT8,
	HOLDOUT_UUID,				/* its bytes */
	HOLDOUT_BYTES,				/* those of text and bytea */
	HOLDOUT_BLANK_PADDED,		/* those of char(n), trailing blanks not */
	HOLDOUT_NUMERIC,			/* text without trailing zeros */
	HOLDOUT_UNKNOWN,			/* a literal: text */
	HOLDOUT_TEXT				/* what the output function returns */
} HoldoutForm;

struct Holdout
{
	HoldoutForm forms[2];		/* of the user's and the item's id */
	FmgrInfo	output[2];		/* for HOLDOUT_TEXT */
	double		fraction;
	int64		seed;
};

/* Decides what of an id is hashed; raises where settings would change it. */
static HoldoutForm
choose_form(Oid type, FmgrInfo *output, MemoryContext context)
{
	Oid			base = getBaseType(type);
	Oid			function;
	bool		varlena;

	switch (base)
	{
		case INT2OID:
			return HOLDOUT_INT2;
		case INT4OID:
			return HOLDOUT_INT4;
		case INT8OID:
			return HOLDOUT_INT8;
		case UUIDOID:
			return HOLDOUT_UUID;
		case TEXTOID:
		case VARCHAROID:
		case BYTEAOID:
			return HOLDOUT_BYTES;
		case BPCHAROID:
			return HOLDOUT_BLANK_PADDED;
		case NUMERICOID:
			return HOLDOUT_NUMERIC;
		case UNKNOWNOID:
			return HOLDOUT_UNKNOWN;
	}

	if (!id_text_is_stable(base))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot split by ids of type %s",
						format_type_be(type)),
				 errdetail("Their text depends on settings, so the split would too."),
				 errhint("Cast the id to bigint or text in a way that is the same in all sessions.")));
	getTypeOutputInfo(base, &function, &varlena);
	fmgr_info_cxt(function, output, context);
	return HOLDOUT_TEXT;
}

/* Mixes bytes into a hash. */
static uint64
add_bytes(uint64 hash, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i += 8)
	{
		uint64		word = 0;

		for (size_t j = 0; j < 8 && i + j < length; j++)
			word |= (uint64) (unsigned char) bytes[i + j] << (8 * j);
		hash = als_scatter(hash ^ word);
	}
	return als_scatter(hash ^ (uint64) length);
}

/* Mixes an id into a hash. */
static uint64
add_id(uint64 hash, HoldoutForm form, FmgrInfo *output, Datum id)
{
	text	   *bytes;
	char	   *string;

	switch (form)
	{
		case HOLDOUT_INT2:
			return als_scatter(hash ^ (uint64) (int64) DatumGetInt16(id));
		case HOLDOUT_INT4:
			return als_scatter(hash ^ (uint64) (int64) DatumGetInt32(id));
		case HOLDOUT_INT8:
			return als_scatter(hash ^ (uint64) DatumGetInt64(id));
		case HOLDOUT_UUID:
			return add_bytes(hash, (char *) DatumGetUUIDP(id)->data, UUID_LEN);
		case HOLDOUT_BYTES:
			bytes = DatumGetTextPP(id);
			return add_bytes(hash, VARDATA_ANY(bytes),
							 VARSIZE_ANY_EXHDR(bytes));
		case HOLDOUT_BLANK_PADDED:
			bytes = DatumGetTextPP(id);
			return add_bytes(hash, VARDATA_ANY(bytes),
							 bpchartruelen(VARDATA_ANY(bytes),
										   VARSIZE_ANY_EXHDR(bytes)));
		case HOLDOUT_NUMERIC:
			string = numeric_normalize(DatumGetNumeric(id));
			break;
		case HOLDOUT_UNKNOWN:
			string = DatumGetCString(id);
			break;
		case HOLDOUT_TEXT:
			string = OutputFunctionCall(output, id);
			break;
		default:
			pg_unreachable();
	}
	return add_bytes(hash, string, strlen(string));
}

/* Raises for ids that may be equal with other bytes, which is what is hashed. */
static void
check_collation(Oid type, Oid collation)
{
	if (OidIsValid(get_typcollation(type)) && OidIsValid(collation) &&
		!get_collation_isdeterministic(collation))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot split by ids whose collation is nondeterministic"),
				 errdetail("Ids that are equal may be spelled differently, and it is the spelling that is split by."),
				 errhint("Use a SELECT that spells them alike, with lower() for example, and gives them another collation.")));
}

Holdout *
holdout_create(const Oid types[2], const Oid collations[2], double fraction,
			   int64 seed)
{
	Holdout    *holdout = palloc0(sizeof(Holdout));

	for (int i = 0; i < 2; i++)
	{
		check_collation(types[i], collations[i]);
		holdout->forms[i] = choose_form(types[i], &holdout->output[i],
										CurrentMemoryContext);
	}
	holdout->fraction = fraction;
	holdout->seed = seed;
	return holdout;
}

bool
holdout_holds_out(Holdout *holdout, Datum user, Datum item)
{
	uint64		hash = als_scatter((uint64) holdout->seed);

	hash = add_id(hash, holdout->forms[0], &holdout->output[0], user);
	hash = add_id(hash, holdout->forms[1], &holdout->output[1], item);
	/* 53 bits make a uniform number below 1 */
	return ldexp((double) (hash >> 11), -53) < holdout->fraction;
}

/* als_holdout(user_id, item_id, fraction, seed) */
Datum
als_holdout(PG_FUNCTION_ARGS)
{
	Holdout    *holdout = fcinfo->flinfo->fn_extra;
	double		fraction;

	require_arguments(fcinfo, 4);
	fraction = PG_GETARG_FLOAT8(2);
	if (!(fraction >= 0 && fraction <= 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("fraction must not be %g", fraction),
				 errhint("It is the share of the pairs to hold out, between 0 and 1.")));
	if (holdout == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
		Oid			types[2];
		Oid			collations[2];

		for (int i = 0; i < 2; i++)
		{
			types[i] = get_fn_expr_argtype(fcinfo->flinfo, i);
			collations[i] = PG_GET_COLLATION();
		}
		holdout = holdout_create(types, collations, 0, 0);
		MemoryContextSwitchTo(old);
		fcinfo->flinfo->fn_extra = holdout;
	}
	holdout->fraction = fraction;
	holdout->seed = PG_GETARG_INT64(3);
	PG_RETURN_BOOL(holdout_holds_out(holdout, PG_GETARG_DATUM(0),
									 PG_GETARG_DATUM(1)));
}
