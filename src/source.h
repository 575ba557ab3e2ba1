/*
 * source.h
 *	  What a model is trained from: a relation or a SELECT.
 */
#ifndef ALS_SOURCE_H
#define ALS_SOURCE_H

#include "access/tupdesc.h"

/*
 * Recognises the text that als_train was given and returns what can follow
 * FROM, with an alias: a quoted and qualified relation name, or the query in
 * parentheses.  *canonical is the text to keep with the model.
 */
extern char *source_from_clause(const char *source, char **canonical);

/* The columns of a FROM clause; within an SPI connection. */
extern TupleDesc source_columns(const char *from_clause);

/*
 * The attribute called column; an error that lists what there is for one
 * that is not there.
 */
extern Form_pg_attribute source_column(TupleDesc columns, const char *column,
									   const char *option);

#endif							/* ALS_SOURCE_H */
