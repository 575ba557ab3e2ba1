/*
 * names.h
 *	  Quoted and qualified names, for statements.
 */
#ifndef ALS_NAMES_H
#define ALS_NAMES_H

/* Of a relation that is locked */
extern char *qualified_name(Oid relation);

/* Of one of the extension's functions; an error if the extension is gone */
extern char *qualified_function(const char *name);

#endif							/* ALS_NAMES_H */
