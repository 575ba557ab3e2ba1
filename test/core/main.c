/*
 * main.c
 *	  Runs all unit tests of the core.
 */
#include "tap.h"
#include "tests.h"

int
main(void)
{
	test_kernels();
	test_initial();
	test_gram();
	test_prepare();
	test_factor();
	test_solve();
	test_loss();
	test_cg();
	test_nonnegative();
	test_failures();
	test_weights();
	test_search();
	test_ranking();
	test_influence();
	test_fuzz();
	return finish();
}
