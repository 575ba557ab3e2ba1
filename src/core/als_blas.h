/*
 * als_blas.h
 *	  The BLAS and LAPACK routines that the core calls, as a table.
 *
 * Behind a table because a server process must not have a BLAS among its
 * load-time dependencies: it loads the library of als_blas.c at first use.
 * Fortran calling convention: everything by reference, column-major, and a
 * hidden length for every character argument, which compilers may rely on.
 */
#ifndef ALS_BLAS_H
#define ALS_BLAS_H

#include <stddef.h>

/* C = alpha A A' + beta C, one triangle */
typedef void AlsRankUpdate (const char *uplo, const char *trans,
							const int *n, const int *k,
							const float *alpha, const float *a,
							const int *lda, const float *beta, float *c,
							const int *ldc, size_t uplo_length,
							size_t trans_length);
typedef void AlsRankUpdateDouble (const char *uplo, const char *trans,
								  const int *n, const int *k,
								  const double *alpha, const double *a,
								  const int *lda, const double *beta,
								  double *c, const int *ldc,
								  size_t uplo_length, size_t trans_length);

/* C = alpha op(A) op(B) + beta C */
typedef void AlsMultiply (const char *transa, const char *transb,
						  const int *m, const int *n, const int *k,
						  const float *alpha, const float *a, const int *lda,
						  const float *b, const int *ldb,
						  const float *beta, float *c, const int *ldc,
						  size_t transa_length, size_t transb_length);

/* B = alpha op(A)^-1 B (strsm, dtrsm) or alpha op(A) B (strmm), A triangular */
typedef void AlsTriangular (const char *side, const char *uplo,
							const char *transa, const char *diag,
							const int *m, const int *n, const float *alpha,
							const float *a, const int *lda,
							float *b, const int *ldb,
							size_t side_length, size_t uplo_length,
							size_t transa_length, size_t diag_length);
typedef void AlsTriangularDouble (const char *side, const char *uplo,
								  const char *transa, const char *diag,
								  const int *m, const int *n,
								  const double *alpha, const double *a,
								  const int *lda, double *b, const int *ldb,
								  size_t side_length, size_t uplo_length,
								  size_t transa_length, size_t diag_length);

/* A = L L' */
typedef void AlsFactorize (const char *uplo, const int *n, double *a,
						   const int *lda, int *info, size_t uplo_length);

/* B = A^-1 B, A factored by dpotrf */
typedef void AlsFactorizedSolve (const char *uplo, const int *n,
								 const int *nrhs, const double *a,
								 const int *lda, double *b, const int *ldb,
								 int *info, size_t uplo_length);

/* C = alpha (A B' + B A') + beta C, one triangle */
typedef void AlsRank2Update (const char *uplo, const char *trans,
							 const int *n, const int *k,
							 const double *alpha, const double *a,
							 const int *lda, const double *b, const int *ldb,
							 const double *beta, double *c, const int *ldc,
							 size_t uplo_length, size_t trans_length);

/* The first nb columns of A made tridiagonal, with W for the others */
typedef void AlsTridiagonalPanel (const char *uplo, const int *n,
								  const int *nb, double *a, const int *lda,
								  double *e, double *tau, double *w,
								  const int *ldw, size_t uplo_length);

/* T = Q' A Q, tridiagonal, the reflectors of Q in place of A */
typedef void AlsTridiagonalize (const char *uplo, const int *n,
								double *a, const int *lda, double *d,
								double *e, double *tau, double *work,
								const int *lwork, int *info,
								size_t uplo_length);

/* C = op(Q) C or C op(Q), Q of dsytrd */
typedef void AlsReflect (const char *side, const char *uplo,
						 const char *trans, const int *m, const int *n,
						 const double *a, const int *lda, const double *tau,
						 double *c, const int *ldc,
						 double *work, const int *lwork, int *info,
						 size_t side_length, size_t uplo_length,
						 size_t trans_length);

/* T = Z diag(w) Z', w ascending: by representations, and by QR */
typedef void AlsEigenvalues (const char *jobz, const char *range,
							 const int *n, double *d, double *e,
							 const double *vl, const double *vu,
							 const int *il, const int *iu, int *m,
							 double *w, double *z, const int *ldz,
							 const int *nzc, int *isuppz, int *tryrac,
							 double *work, const int *lwork,
							 int *iwork, const int *liwork, int *info,
							 size_t jobz_length, size_t range_length);
typedef void AlsEigenvaluesByQr (const char *compz, const int *n, double *d,
								 double *e, double *z, const int *ldz,
								 double *work, int *info,
								 size_t compz_length);

typedef struct AlsBlas
{
	AlsRankUpdate *ssyrk;
	AlsMultiply *sgemm;
	AlsTriangular *strsm;
	AlsTriangular *strmm;
	AlsFactorize *dpotrf;
	AlsFactorizedSolve *dpotrs;
	AlsTriangularDouble *dtrsm;
	AlsRankUpdateDouble *dsyrk;
	AlsRank2Update *dsyr2k;
	AlsTridiagonalPanel *dlatrd;
	AlsTridiagonalize *dsytrd;
	AlsReflect *dormtr;
	AlsEigenvalues *dstemr;
	AlsEigenvaluesByQr *dsteqr;
} AlsBlas;

/* The table of the BLAS and LAPACK that als_blas.c was linked with. */
extern const AlsBlas als_blas;

#endif							/* ALS_BLAS_H */
