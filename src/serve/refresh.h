/*
 * refresh.h
 *	  What refreshes of one row and of many have in common.
 */
#ifndef ALS_REFRESH_H
#define ALS_REFRESH_H

#include "model/model_cache.h"

/*
 * Begins a refresh of a model by a function: keeps trainings away until the
 * transaction ends, and raises where nothing can be refreshed, or for a user who may not
 * refresh the side, nor the other if that will do.
 */
extern ModelCache *refresh_begin(Oid model, AlsSide side, bool or_other,
								 const char *function);

/*
 * Raises for a user who may not lock rows of a factor table, which is what a
 * refresh begins with.
 */
extern void refresh_check_privilege(Oid table);

/* Raises for a factor table that does not take what a function stores. */
pg_noreturn extern void refresh_reject_kept_out(Oid table,
												const char *function);

#endif							/* ALS_REFRESH_H */
