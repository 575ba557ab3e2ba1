/*
 * tap.h
 *	  Test results in the Test Anything Protocol.
 */
#ifndef TAP_H
#define TAP_H

/* One result and its name, as for printf. */
extern void ok(int passed, const char *name,...)
			__attribute__((format(printf, 2, 3)));

/* A result for what this machine cannot run. */
extern void skip(const char *reason, const char *name,...)
			__attribute__((format(printf, 2, 3)));

/* A remark. */
extern void note(const char *text,...) __attribute__((format(printf, 1, 2)));

/* Prints the plan; returns the exit status. */
extern int	finish(void);

#endif							/* TAP_H */
