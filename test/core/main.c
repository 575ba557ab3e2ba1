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
	test_spectral();
	test_factorize();
	test_solve();
	test_loss();
	test_cg();
	test_nonnegative();
	test_failures();
	test_weights();
	test_repeated();
	test_search();
	test_rank_metrics();
	test_estimate();
	test_rerank();
	test_influence();
	test_features();
	test_fuzz();
	return finish();
}
