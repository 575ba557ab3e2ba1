/*
 * names.c
 *	  Quoted and qualified names, for statements.
 */
#include "compat.h"

#include "common/extension.h"
#include "common/names.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

char *
qualified_name(Oid relation)
{
	char	   *name = get_rel_name(relation);

	if (name == NULL)
		elog(ERROR, "cache lookup failed for relation %u", relation);
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
									  name);
}

char *
qualified_function(const char *name)
{
	Oid			schema = extension_schema();

	/* the search path would find another one */
	if (!OidIsValid(schema))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("extension \"als\" does not exist"),
				 errdetail("It has been dropped since the session called it.")));
	return quote_qualified_identifier(get_namespace_name(schema), name);
}
