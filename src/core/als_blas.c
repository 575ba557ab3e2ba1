/*
 * als_blas.c
 *	  The BLAS and LAPACK that this file is linked with, as a table.
 *
 * Built into a library of its own, the only one that depends on BLAS.
 */
#include "als_blas.h"

extern void ssyrk_(const char *, const char *, const int *, const int *,
				   const float *, const float *, const int *,
				   const float *, float *, const int *, size_t, size_t);
extern void sgemm_(const char *, const char *, const int *, const int *,
				   const int *, const float *, const float *, const int *,
				   const float *, const int *, const float *, float *,
				   const int *, size_t, size_t);
extern void strsm_(const char *, const char *, const char *, const char *,
				   const int *, const int *, const float *, const float *,
				   const int *, float *, const int *,
				   size_t, size_t, size_t, size_t);
extern void strmm_(const char *, const char *, const char *, const char *,
				   const int *, const int *, const float *, const float *,
				   const int *, float *, const int *,
				   size_t, size_t, size_t, size_t);
extern void dpotrf_(const char *, const int *, double *, const int *, int *,
					size_t);
extern void dpotrs_(const char *, const int *, const int *, const double *,
					const int *, double *, const int *, int *, size_t);
extern void dtrsm_(const char *, const char *, const char *, const char *,
				   const int *, const int *, const double *, const double *,
				   const int *, double *, const int *,
				   size_t, size_t, size_t, size_t);
extern void dsyrk_(const char *, const char *, const int *, const int *,
				   const double *, const double *, const int *,
				   const double *, double *, const int *, size_t, size_t);
extern void dsyr2k_(const char *, const char *, const int *, const int *,
					const double *, const double *, const int *,
					const double *, const int *, const double *, double *,
					const int *, size_t, size_t);
extern void dlatrd_(const char *, const int *, const int *, double *,
					const int *, double *, double *, double *, const int *,
					size_t);
extern void dsytrd_(const char *, const int *, double *, const int *,
					double *, double *, double *, double *, const int *,
					int *, size_t);
extern void dormtr_(const char *, const char *, const char *, const int *,
					const int *, const double *, const int *, const double *,
					double *, const int *, double *, const int *, int *,
					size_t, size_t, size_t);
extern void dstemr_(const char *, const char *, const int *, double *,
					double *, const double *, const double *, const int *,
					const int *, int *, double *, double *, const int *,
					const int *, int *, int *, double *, const int *, int *,
					const int *, int *, size_t, size_t);
extern void dsteqr_(const char *, const int *, double *, double *, double *,
					const int *, double *, int *, size_t);

const AlsBlas als_blas = {
	ssyrk_, sgemm_, strsm_, strmm_, dpotrf_, dpotrs_, dtrsm_, dsyrk_,
	dsyr2k_, dlatrd_, dsytrd_, dormtr_, dstemr_, dsteqr_
};
