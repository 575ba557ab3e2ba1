/*
 * tests.h
 *	  The groups of tests, a file each.
 */
#ifndef TESTS_H
#define TESTS_H

/* Elements of an array */
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

extern void test_kernels(void);
extern void test_initial(void);
extern void test_gram(void);
extern void test_prepare(void);
extern void test_spectral(void);
extern void test_factorize(void);
extern void test_solve(void);
extern void test_loss(void);
extern void test_cg(void);
extern void test_nonnegative(void);
extern void test_failures(void);
extern void test_weights(void);
extern void test_repeated(void);
extern void test_search(void);
extern void test_rank_metrics(void);
extern void test_estimate(void);
extern void test_rerank(void);
extern void test_influence(void);
extern void test_features(void);
extern void test_fuzz(void);

#endif							/* TESTS_H */
