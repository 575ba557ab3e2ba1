/*
 * als_blas.c
 *	  The BLAS and LAPACK that this file is linked with, as a table.
 *
 * Built into a library of its own, the only one that depends on BLAS.
 */
#include "als_blas.h"

extern AlsRankUpdate ssyrk_;
extern AlsMultiply sgemm_;
extern AlsTriangular strsm_;
extern AlsTriangular strmm_;
extern AlsFactorize dpotrf_;
extern AlsFactorizedSolve dpotrs_;
extern AlsTriangularDouble dtrsm_;
extern AlsRankUpdateDouble dsyrk_;
extern AlsRank2Update dsyr2k_;
extern AlsTridiagonalPanel dlatrd_;
extern AlsTridiagonalize dsytrd_;
extern AlsReflect dormtr_;
extern AlsEigenvalues dstemr_;
extern AlsEigenvaluesByQr dsteqr_;

const AlsBlas als_blas = {
	ssyrk_, sgemm_, strsm_, strmm_, dpotrf_, dpotrs_, dtrsm_, dsyrk_,
	dsyr2k_, dlatrd_, dsytrd_, dormtr_, dstemr_, dsteqr_
};
