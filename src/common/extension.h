/*
 * extension.h
 *	  Where the extension's SQL objects are.
 */
#ifndef ALS_EXTENSION_H
#define ALS_EXTENSION_H

/* The schema of the extension, InvalidOid if that is gone */
extern Oid	extension_schema(void);

/* The version of the extension's SQL objects, NULL if it is gone */
extern char *extension_version(void);

#endif							/* ALS_EXTENSION_H */
