/*
 * main.c
 *	  Runs the unit tests of the core: all groups, or those that are named.
 */
#include "tap.h"
#include "tests.h"

#include <stdio.h>
#include <string.h>

static const struct
{
	const char *name;
	void		(*run) (void);
}			groups[] = {
	{"kernels", test_kernels},
	{"initial", test_initial},
	{"gram", test_gram},
	{"prepare", test_prepare},
	{"spectral", test_spectral},
	{"factorize", test_factorize},
	{"solve", test_solve},
	{"loss", test_loss},
	{"cg", test_cg},
	{"nonnegative", test_nonnegative},
	{"failures", test_failures},
	{"weights", test_weights},
	{"repeated", test_repeated},
	{"search", test_search},
	{"rank_metrics", test_rank_metrics},
	{"estimate", test_estimate},
	{"rerank", test_rerank},
	{"influence", test_influence},
	{"features", test_features},
	{"fuzz", test_fuzz},
};

/* Runs the group of a name, or all for NULL; false if there is none. */
static int
run(const char *name)
{
	int			found = 0;

	for (size_t i = 0; i < LENGTH(groups); i++)
		if (name == NULL || strcmp(name, groups[i].name) == 0)
		{
			groups[i].run();
			found = 1;
		}
	return found;
}

int
main(int argc, char **argv)
{
	if (argc == 1)
		run(NULL);
	for (int i = 1; i < argc; i++)
		if (!run(argv[i]))
		{
			fprintf(stderr, "no tests of %s\n", argv[i]);
			return 1;
		}
	return finish();
}
