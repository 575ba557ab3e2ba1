/*
 * als_estimate.h
 *	  Means over users and differences of them, and how far chance may have
 *	  moved them: public interface.
 */
#ifndef ALS_ESTIMATE_H
#define ALS_ESTIMATE_H

#include <stddef.h>

/* A mean; NaN is what cannot be said of so few values. */
typedef struct AlsEstimate
{
	size_t		n;				/* values that it is the mean of */
	double		value;			/* NaN without any */
	double		standard_error; /* NaN with fewer than two */
} AlsEstimate;

/*
 * The mean of n values, NaN left out, with its standard error
 *
 *	  sqrt(sum (v - mean)^2 / (n - 1) / n)
 */
extern AlsEstimate als_estimate_mean(const double *values, size_t n);

/*
 * The mean of a - b over those of n places at which neither is NaN: what is
 * common to both, users who are easy to please for example, cancels.
 */
extern AlsEstimate als_estimate_difference(const double *a, const double *b,
										   size_t n);

/*
 * Half the length of the interval around an estimate that holds the truth with
 * this confidence, above 0 and below 1: that of Student's t, with n - 1 degrees
 * of freedom.  NaN where there is no standard error.
 */
extern double als_estimate_margin(const AlsEstimate *estimate,
								  double confidence);

#endif							/* ALS_ESTIMATE_H */
