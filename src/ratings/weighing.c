/*
 * weighing.c
 *	  What a row of the source weighs: by its event, its age, and a column.
 *
 * It is PostgreSQL that weighs: whatever reads ratings, in one process or several,
 * all of them or those of one user, asks for this expression in place of the column.
 */
#include "compat.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/extension.h"
#include "common/shortest_dec.h"
#include "lib/stringinfo.h"
#include "parser/parse_func.h"
#include "ratings/weighing.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(als_reject_value);

/* A constant of type text, or double precision, whatever extra_float_digits is. */
static char *
text_constant(const char *text)
{
	return psprintf("%s::pg_catalog.text", quote_literal_cstr(text));
}

static char *
real_constant(double value)
{
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	double_to_shortest_decimal_buf(value, digits);
	return psprintf("'%s'::pg_catalog.float8", digits);
}

/* A column as double precision. */
static char *
real_column(const char *column)
{
	return psprintf("%s::pg_catalog.float8", quote_identifier(column));
}

/* The number that a JSON value is, NAN for none. */
static double
json_number(const JsonbValue *value)
{
	if (value->type != jbvNumeric)
		return NAN;
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
											  NumericGetDatum(value->val.numeric)));
}

const char *
event_weights_fault(const Jsonb *event_weights, double least)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;
	bool		empty = true;

	if (!JB_ROOT_IS_OBJECT(event_weights))
		return "It is not a JSON object.";
	iterator = JsonbIteratorInit(unconstify(JsonbContainer *,
											&event_weights->root));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char	   *event;
		double		weight;

		if (token != WJB_KEY)
			continue;
		empty = false;
		event = pnstrdup(value.val.string.val, value.val.string.len);
		JsonbIteratorNext(&iterator, &value, true);
		weight = json_number(&value);
		/* false for NAN, too */
		if (!(weight >= least && weight <= 1e30))
			return psprintf("The weight of \"%s\" is not a number between %s and 1e30.",
							event, least < 0 ? "-1e30" : "0");
	}
	return empty ? "There are no events in it." : NULL;
}

double
half_life_seconds(const Interval *half_life)
{
	return DatumGetFloat8(DirectFunctionCall2(interval_part,
											  CStringGetTextDatum("epoch"),
											  IntervalPGetDatum(half_life)));
}

bool
half_life_is_valid(const Interval *half_life)
{
	double		seconds = half_life_seconds(half_life);

	return isfinite(seconds) && seconds > 0;
}

/*
 * als_reject_value as what to call it in a query; NULL if the user may not, or if it is
 * gone.
 */
static char *
reject_function(void)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Oid			schema = extension_schema();
	char	   *name;
	Oid			function;

	if (!OidIsValid(schema) || !may_use_schema(schema, GetUserId()))
		return NULL;
	name = get_namespace_name(schema);
	function = LookupFuncName(list_make2(makeString(name),
										 makeString("als_reject_value")),
							  lengthof(types), types, true);
	if (!OidIsValid(function) || !may_execute(function, GetUserId()))
		return NULL;
	return quote_qualified_identifier(name, "als_reject_value");
}

/* What a row ends with whose column has a value that it must not have. */
static char *
rejection(const char *reject, const char *column, const char *value,
		  const char *detail, const char *hint)
{
	if (reject == NULL)
		return pstrdup("NULL::pg_catalog.float8");
	return psprintf("%s(%s, %s, %s, %s)", reject, text_constant(column), value,
					text_constant(detail), text_constant(hint));
}

/* What the weight column says. */
static char *
column_expression(const char *column, const char *reject)
{
	const char *value = real_column(column);

	/* NaN is above all numbers, infinity above those that are finite */
	return psprintf("CASE WHEN %s OPERATOR(pg_catalog.>=) 0::pg_catalog.float8"
					" AND %s OPERATOR(pg_catalog.<) 'infinity'::pg_catalog.float8"
					" THEN %s ELSE %s END",
					value, value, value,
					rejection(reject, column,
							  psprintf("(%s)::pg_catalog.text", value),
							  "Weights are finite and not below 0.",
							  "Use a SELECT that leaves such rows out."));
}

/*
 * What the row is rated: a column, or 1; or plus or minus a weight, unless that is
 * apart.  A rating that is null or not finite is left for those who take it to reject.
 */
static char *
rating_expression(const Weighing *weighing, const char *rating_column,
				  const char *reject)
{
	const char *rating = rating_column == NULL ? "1::pg_catalog.float8" :
		real_column(rating_column);
	char	   *weight;

	if (weighing->weight_column == NULL || weighing->apart)
		return pstrdup(rating);
	weight = column_expression(weighing->weight_column, reject);
	if (rating_column == NULL)
		return weight;
	return psprintf("CASE WHEN %s OPERATOR(pg_catalog.>) 0::pg_catalog.float8"
					" AND %s OPERATOR(pg_catalog.<) 'infinity'::pg_catalog.float8 THEN %s"
					" WHEN %s OPERATOR(pg_catalog.<=) 0::pg_catalog.float8"
					" AND %s OPERATOR(pg_catalog.>) '-infinity'::pg_catalog.float8"
					" THEN OPERATOR(pg_catalog.-) (%s) ELSE %s END",
					rating, rating, weight, rating, rating, weight, rating);
}

/* What its event weighs. */
static char *
event_expression(const Weighing *weighing, const char *reject)
{
	const char *column = weighing->event_column;

	/* by bytes, whatever the column's collation holds for equal */
	const char *event = psprintf("(%s::pg_catalog.text COLLATE pg_catalog.\"C\")",
								 quote_identifier(column));
	StringInfoData expression;
	StringInfoData known;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	initStringInfo(&expression);
	initStringInfo(&known);
	appendStringInfoString(&expression, "CASE");
	iterator = JsonbIteratorInit(unconstify(JsonbContainer *,
											&weighing->event_weights->root));
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char	   *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(value.val.string.val, value.val.string.len);
		JsonbIteratorNext(&iterator, &value, true);
		appendStringInfo(&expression, " WHEN %s OPERATOR(pg_catalog.=) %s THEN %s",
						 event, text_constant(name),
						 real_constant(json_number(&value)));
		appendStringInfo(&known, "%s\"%s\"", known.len > 0 ? ", " : "", name);
	}
	appendStringInfo(&expression, " ELSE %s END",
					 rejection(reject, column, event,
							   psprintf("The events in event_weights are %s.",
										known.data),
							   "Give it a weight in event_weights, or use a SELECT that leaves such rows out."));
	return expression.data;
}

/*
 * What is left of it: 2 to the power of minus its age in half-lives.  date_part takes
 * a timestamp without time zone, and a date, for UTC's.
 */
static char *
fading_expression(const Weighing *weighing, const char *reject)
{
	const char *time = quote_identifier(weighing->time_column);
	double		reference =
		DatumGetFloat8(DirectFunctionCall2(timestamptz_part,
										   CStringGetTextDatum("epoch"),
										   TimestampTzGetDatum(weighing->reference_time)));

	/* LEAST and GREATEST do not mind nulls */
	return psprintf("CASE WHEN %s IS NULL THEN %s ELSE"
					" pg_catalog.power(2::pg_catalog.float8, LEAST(0::pg_catalog.float8, GREATEST(%s,"
					" (pg_catalog.date_part('epoch'::pg_catalog.text, %s) OPERATOR(pg_catalog.-) %s)"
					" OPERATOR(pg_catalog./) %s))) END",
					time, rejection(reject, weighing->time_column,
									"NULL::pg_catalog.text", "", ""),
					real_constant(-FADED), time, real_constant(reference),
					real_constant(half_life_seconds(weighing->half_life)));
}

/* An expression times what the row's event weighs, and what is left of that. */
static char *
times_event(const char *factor, const Weighing *weighing, const char *reject)
{
	StringInfoData expression;

	initStringInfo(&expression);
	appendStringInfo(&expression, "(%s)", factor);
	if (weighing->event_column != NULL)
		appendStringInfo(&expression, " OPERATOR(pg_catalog.*) (%s)",
						 event_expression(weighing, reject));
	if (weighing->half_life != NULL)
		appendStringInfo(&expression, " OPERATOR(pg_catalog.*) (%s)",
						 fading_expression(weighing, reject));
	return expression.data;
}

char *
weighing_expression(const Weighing *weighing, const char *rating_column)
{
	char	   *reject = weighing_is_set(weighing) ? reject_function() : NULL;
	char	   *rating = rating_expression(weighing, rating_column, reject);

	return weighing->apart ? rating : times_event(rating, weighing, reject);
}

char *
weight_expression(const Weighing *weighing)
{
	char	   *reject = reject_function();

	return times_event(weighing->weight_column == NULL ? "1::pg_catalog.float8" :
					   column_expression(weighing->weight_column, reject),
					   weighing, reject);
}

/*
 * als_reject_value(column_name, value, detail, hint): raises that a column of the
 * ratings has a value, which may be null.
 */
Datum
als_reject_value(PG_FUNCTION_ARGS)
{
	char	   *texts[4];

	for (int i = 0; i < 4; i++)
		texts[i] = PG_ARGISNULL(i) ? NULL :
			text_to_cstring(PG_GETARG_TEXT_PP(i));
	if (texts[1] == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("column \"%s\" of the ratings contains a null value",
						texts[0] ? texts[0] : ""),
				 errhint("Use a SELECT that leaves such rows out.")));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("column \"%s\" of the ratings contains the value \"%s\"",
					texts[0] ? texts[0] : "", texts[1]),
			 texts[2] ? errdetail("%s", texts[2]) : 0,
			 texts[3] ? errhint("%s", texts[3]) : 0));
}
