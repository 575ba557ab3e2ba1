/*
 * als_blas.h
 *	  The BLAS and LAPACK routines that the core calls, as a table.
 *
 * Behind a table because a server process must not have a BLAS among its
 * load-time dependencies (see src/blas.c).  Fortran calling convention:
 * everything by reference, column-major, and a hidden length for every
 * character argument, which compilers may rely on.
 */
#ifndef ALS_BLAS_H
#define ALS_BLAS_H

#include <stddef.h>

typedef struct AlsBlas
{
	/* C = alpha A A' + beta C, one triangle */
	void		(*ssyrk) (const char *uplo, const char *trans,
						  const int *n, const int *k,
						  const float *alpha, const float *a, const int *lda,
						  const float *beta, float *c, const int *ldc,
						  size_t uplo_length, size_t trans_length);

	/* C = alpha op(A) op(B) + beta C */
	void		(*sgemm) (const char *transa, const char *transb,
						  const int *m, const int *n, const int *k,
						  const float *alpha, const float *a, const int *lda,
						  const float *b, const int *ldb,
						  const float *beta, float *c, const int *ldc,
						  size_t transa_length, size_t transb_length);

	/* B = alpha op(A)^-1 B, A triangular */
	void		(*strsm) (const char *side, const char *uplo,
						  const char *transa, const char *diag,
						  const int *m, const int *n,
						  const float *alpha, const float *a, const int *lda,
						  float *b, const int *ldb,
						  size_t side_length, size_t uplo_length,
						  size_t transa_length, size_t diag_length);

	/* B = alpha op(A) B, A triangular */
	void		(*strmm) (const char *side, const char *uplo,
						  const char *transa, const char *diag,
						  const int *m, const int *n,
						  const float *alpha, const float *a, const int *lda,
						  float *b, const int *ldb,
						  size_t side_length, size_t uplo_length,
						  size_t transa_length, size_t diag_length);

	/* A = L L' */
	void		(*dpotrf) (const char *uplo, const int *n,
						   double *a, const int *lda, int *info,
						   size_t uplo_length);

	/* B = A^-1 B, A factored by dpotrf */
	void		(*dpotrs) (const char *uplo, const int *n, const int *nrhs,
						   const double *a, const int *lda,
						   double *b, const int *ldb, int *info,
						   size_t uplo_length);

	/* A = Q diag(w) Q', w ascending, Q in place of A */
	void		(*dsyevd) (const char *jobz, const char *uplo, const int *n,
						   double *a, const int *lda, double *w,
						   double *work, const int *lwork,
						   int *iwork, const int *liwork, int *info,
						   size_t jobz_length, size_t uplo_length);
} AlsBlas;

/* The table of the BLAS and LAPACK that als_blas.c was linked with. */
extern const AlsBlas als_blas;

#endif							/* ALS_BLAS_H */
