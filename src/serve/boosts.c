/*
 * boosts.c
 *	  What a call adds to the scores of some items, or multiplies them with.
 */
#include "compat.h"

#include "common/arguments.h"
#include "serve/boosts.h"
#include "serve/item_values.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define FIRST_CAPACITY 64

/* Takes note of an item's amount. */
static void
take_boost(Datum item, Datum value, Form_pg_attribute column, void *arg)
{
	Boosts	   *boosts = arg;
	double		amount = DatumGetFloat8(value);
	uint32		known = idmap_size(boosts->items);
	uint32		place;

	if (!isfinite(amount))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("boosts must not contain the value %g", amount),
				 errdetail("It is that of item %s.",
						   id_to_text(idmap_type(boosts->items), item))));
	place = idmap_add(boosts->items, item);
	if (place < known)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("item %s has more than one boost",
						id_to_text(idmap_type(boosts->items), item)),
				 errhint("Give each item one amount, with GROUP BY and sum() for example.")));
	if (place >= boosts->capacity)
	{
		boosts->capacity *= 2;
		boosts->amounts = repalloc_huge(boosts->amounts, boosts->capacity *
										sizeof(double));
	}
	boosts->amounts[place] = amount;
}

/* Does the argument boost_by mean the product? */
static bool
is_product(FunctionCallInfo fcinfo, int argument)
{
	char	   *name;

	require_argument(fcinfo, argument, "boost_by");
	name = text_to_cstring(PG_GETARG_TEXT_PP(argument));
	if (strcmp(name, "product") == 0)
		return true;
	if (strcmp(name, "sum") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown boost_by \"%s\"", name),
				 errhint("It is \"sum\" or \"product\".")));
	return false;
}

Boosts *
boosts_argument(FunctionCallInfo fcinfo, int argument, ModelCache *cache)
{
	bool		multiply = is_product(fcinfo, argument + 1);
	Boosts	   *boosts;

	if (PG_ARGISNULL(argument))
		return NULL;
	boosts = palloc0(sizeof(Boosts));
	boosts->multiply = multiply;
	boosts->items = idmap_create(CurrentMemoryContext,
								 &cache->sides[ALS_ITEMS].type);
	boosts->capacity = FIRST_CAPACITY;
	boosts->amounts = palloc(FIRST_CAPACITY * sizeof(double));
	item_values_read(cache, "boosts",
					 text_to_cstring(PG_GETARG_TEXT_PP(argument)),
					 "::pg_catalog.float8", NULL, take_boost, boosts);
	return boosts;
}

void
boosts_reject(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
			 errmsg("a boosted score is out of the range of type real"),
			 errhint("Give smaller boosts.")));
}
