/*
 * error_context.h
 *	  What an error says of where it came up.
 */
#ifndef ALS_ERROR_CONTEXT_H
#define ALS_ERROR_CONTEXT_H

#include "utils/elog.h"

/* From here on an error calls function(arg), which calls errcontext. */
static inline void
error_context_push(ErrorContextCallback *callback,
				   void (*function) (void *), void *arg)
{
	callback->callback = function;
	callback->arg = arg;
	callback->previous = error_context_stack;
	error_context_stack = callback;
}

/* No longer; after an error, PostgreSQL sees to that. */
static inline void
error_context_pop(const ErrorContextCallback *callback)
{
	error_context_stack = callback->previous;
}

#endif							/* ALS_ERROR_CONTEXT_H */
