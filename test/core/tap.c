/*
 * tap.c
 *	  Test results in the Test Anything Protocol.
 */
#include "tap.h"

#include <stdarg.h>
#include <stdio.h>

static int	results = 0;
static int	failures = 0;

void
ok(int passed, const char *name,...)
{
	va_list		arguments;

	va_start(arguments, name);
	printf("%sok %d - ", passed ? "" : "not ", ++results);
	vprintf(name, arguments);
	printf("\n");
	fflush(stdout);
	va_end(arguments);
	failures += !passed;
}

void
skip(const char *reason, const char *name,...)
{
	va_list		arguments;

	va_start(arguments, name);
	printf("ok %d - ", ++results);
	vprintf(name, arguments);
	printf(" # SKIP %s\n", reason);
	va_end(arguments);
}

void
note(const char *text,...)
{
	va_list		arguments;

	va_start(arguments, text);
	printf("# ");
	vprintf(text, arguments);
	printf("\n");
	va_end(arguments);
}

int
finish(void)
{
	printf("1..%d\n", results);
	return failures != 0;
}
