/*
 * subtransaction.h
 *	  A step that may fail without ending the transaction.
 */
#ifndef ALS_SUBTRANSACTION_H
#define ALS_SUBTRANSACTION_H

#include "postgres.h"

/*
 * Takes a step in a subtransaction, which is rolled back, with the locks that
 * it has taken, if the step returns false or raises; what is raised is *error
 * then, and else that is NULL.  Returns whether the step has succeeded.
 */
extern bool in_subtransaction(bool (*step) (void *arg), void *arg,
							  ErrorData **error);

#endif							/* ALS_SUBTRANSACTION_H */
