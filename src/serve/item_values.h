/*
 * item_values.h
 *	  What a call says of items by a relation or query: a row for an item, with
 *	  the item in its first column and the value in its second.
 */
#ifndef ALS_ITEM_VALUES_H
#define ALS_ITEM_VALUES_H

#include "model/model_cache.h"

/* Called for each row that is of an item of the model's type, without nulls. */
typedef void (*ItemValueVisitor) (Datum item, Datum value,
								  Form_pg_attribute column, void *arg);

/*
 * Reads them as the caller, of these items only if wanted is not NULL.  cast
 * follows the value ("::pg_catalog.float8"); errors call them what ("groups").
 * Whoever calls this asks cache_replaced afterwards.
 */
extern void item_values_read(ModelCache *cache, const char *what,
							 const char *source, const char *cast,
							 IdMap *wanted, ItemValueVisitor visit, void *arg);

#endif							/* ALS_ITEM_VALUES_H */
