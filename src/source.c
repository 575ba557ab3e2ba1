/*
 * source.c
 *	  What a model is trained from: a relation or a SELECT.
 *
 * Either becomes a FROM clause with the alias "ratings"; columns are read
 * from there by name.
 */
#include "compat.h"

#include "catalog/namespace.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "parser/scansup.h"
#include "source.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/varlena.h"

/* Skips white space and comments. */
static const char *
skip_blank(const char *text)
{
	for (;;)
	{
		if (scanner_isspace(*text))
			text++;
		else if (text[0] == '-' && text[1] == '-')
			text += strcspn(text, "\r\n");
		else if (text[0] == '/' && text[1] == '*')
		{
			const char *end = strstr(text + 2, "*/");

			text = end ? end + 2 : text + strlen(text);
		}
		else
			return text;
	}
}

/* Does the text begin like a query?  No unquoted name can. */
static bool
is_query(const char *text)
{
	static const char *const keywords[] = {"select", "with", "values", "table"};

	text = skip_blank(text);
	if (*text == '(')
		return true;
	for (size_t i = 0; i < lengthof(keywords); i++)
	{
		size_t		length = strlen(keywords[i]);

		if (pg_strncasecmp(text, keywords[i], length) == 0 &&
			(scanner_isspace(text[length]) || text[length] == '(' ||
			 text[length] == '*' || text[length] == '"' ||
			 text[length] == '\'' || text[length] == '/' ||
			 text[length] == '-'))
			return true;
	}
	return false;
}

/* The query without blanks around it and without a closing semicolon. */
static char *
trim_query(const char *query)
{
	char	   *trimmed;
	size_t		length;

	query = skip_blank(query);
	trimmed = pstrdup(query);
	length = strlen(trimmed);
	while (length > 0 && (scanner_isspace(trimmed[length - 1]) ||
						  trimmed[length - 1] == ';'))
		length--;
	trimmed[length] = '\0';
	return trimmed;
}

/* The relation's quoted and qualified name, after checking what it is. */
static char *
qualified_relation(const char *name)
{
	List	   *names = textToQualifiedNameList(cstring_to_text(name));
	RangeVar   *rangevar = makeRangeVarFromNameList(names);
	Oid			relation = RangeVarGetRelid(rangevar, NoLock, true);

	if (!OidIsValid(relation))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s\" does not exist", name),
				 errhint("Give the ratings as the name of a table or view, or as a SELECT.")));

	switch (get_rel_relkind(relation))
	{
		case RELKIND_RELATION:
		case RELKIND_PARTITIONED_TABLE:
		case RELKIND_VIEW:
		case RELKIND_MATVIEW:
		case RELKIND_FOREIGN_TABLE:
			break;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("cannot read ratings from relation \"%s\"", name),
					 errdetail("It is not a table, view, materialized view or foreign table."),
					 errhint("Give the ratings as the name of a table or view, or as a SELECT.")));
	}
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
									  get_rel_name(relation));
}

char *
source_from_clause(const char *source, char **canonical)
{
	if (is_query(source))
	{
		*canonical = trim_query(source);
		/* on a line of its own, the parenthesis survives a closing comment */
		return psprintf("(%s\n) AS ratings", *canonical);
	}
	*canonical = qualified_relation(source);
	return psprintf("%s AS ratings", *canonical);
}

TupleDesc
source_columns(const char *from_clause)
{
	char	   *query = psprintf("SELECT * FROM %s", from_clause);
	SPIPlanPtr	plan = SPI_prepare(query, 0, NULL);
	List	   *sources;
	CachedPlanSource *plansource;
	TupleDesc	columns;

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	sources = SPI_plan_get_plan_sources(plan);
	plansource = list_length(sources) == 1 ? linitial(sources) : NULL;
	if (plansource == NULL || plansource->resultDesc == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ratings must be a relation or a single SELECT")));
	columns = CreateTupleDescCopy(plansource->resultDesc);
	SPI_freeplan(plan);
	pfree(query);
	return columns;
}

Form_pg_attribute
source_column(TupleDesc columns, const char *column, const char *option)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < columns->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(columns, i);

		if (strcmp(NameStr(attribute->attname), column) == 0)
			return attribute;
		appendStringInfo(&names, "%s\"%s\"", i > 0 ? ", " : "",
						 NameStr(attribute->attname));
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" does not exist in the ratings", column),
			 errdetail("Their columns are %s.", names.data),
			 errhint("Name the column with %s => '...'.", option)));
}
