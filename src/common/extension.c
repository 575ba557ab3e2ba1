/*
 * extension.c
 *	  Where the extension's SQL objects are.
 */
#include "compat.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "common/extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

/* A copy of the row of pg_extension, or NULL */
static HeapTuple
find_extension(Relation extensions)
{
	HeapTuple	found = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("als"));
	scan = systable_beginscan(extensions, ExtensionNameIndexId, true, NULL, 1,
							  &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		found = heap_copytuple(tuple);
	systable_endscan(scan);
	return found;
}

Oid
extension_schema(void)
{
	Relation	extensions = table_open(ExtensionRelationId, AccessShareLock);
	HeapTuple	tuple = find_extension(extensions);
	Oid			schema = InvalidOid;

	if (tuple != NULL)
		schema = ((Form_pg_extension) GETSTRUCT(tuple))->extnamespace;
	table_close(extensions, AccessShareLock);
	return schema;
}

char *
extension_version(void)
{
	Relation	extensions = table_open(ExtensionRelationId, AccessShareLock);
	HeapTuple	tuple = find_extension(extensions);
	char	   *version = NULL;
	bool		isnull;

	if (tuple != NULL)
		version = TextDatumGetCString(heap_getattr(tuple, Anum_pg_extension_extversion,
												   RelationGetDescr(extensions), &isnull));
	table_close(extensions, AccessShareLock);
	return version;
}
