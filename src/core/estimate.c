/*
 * estimate.c
 *	  Means over users and differences of them, and how far chance may have
 *	  moved them.
 */
#include "als_estimate.h"

#include <math.h>

/*
 * Degrees of freedom beyond which t stays as it is, within 2 millionths of the
 * normal distribution's: differences of lgamma lose digits there.
 */
#define MOST_FREEDOM 1e6

/* a[i] - b[i], or a[i] if there is no b */
static double
difference_at(const double *a, const double *b, size_t i)
{
	return b != NULL ? a[i] - b[i] : a[i];
}

/* The mean of a - b, or of a. */
static AlsEstimate
estimate(const double *a, const double *b, size_t n)
{
	AlsEstimate result = {0, NAN, NAN};
	double		sum = 0;
	double		squares = 0;

	for (size_t i = 0; i < n; i++)
	{
		double		value = difference_at(a, b, i);

		if (isnan(value))
			continue;
		sum += value;
		result.n++;
	}
	if (result.n == 0)
		return result;
	result.value = sum / (double) result.n;
	if (result.n == 1)
		return result;
	for (size_t i = 0; i < n; i++)
	{
		double		deviation = difference_at(a, b, i) - result.value;

		if (!isnan(deviation))
			squares += deviation * deviation;
	}
	result.standard_error = sqrt(squares / (double) (result.n - 1) /
								 (double) result.n);
	return result;
}

AlsEstimate
als_estimate_mean(const double *values, size_t n)
{
	return estimate(values, NULL, n);
}

AlsEstimate
als_estimate_difference(const double *a, const double *b, size_t n)
{
	return estimate(a, b, n);
}

/*
 * I_x(a, b), the regularized incomplete beta function, for x < (a + 1) /
 * (a + b + 2), where its continued fraction converges fast: DLMF 8.17.22,
 * evaluated as Lentz does.  Terms have magnitudes around 1, so that none is
 * near 0 but by chance.
 */
static double
incomplete_beta(double x, double a, double b)
{
	double		front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) +
							a * log(x) + b * log1p(-x)) / a;
	double		c = 1;
	double		d = 1 / (1 - (a + b) * x / (a + 1));
	double		fraction = d;

	for (int m = 1; m <= 10000; m++)
	{
		double		even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
		double		odd = -(a + m) * (a + b + m) * x /
			((a + 2 * m) * (a + 2 * m + 1));
		double		factor;

		d = 1 / (1 + even * d);
		c = 1 + even / c;
		fraction *= c * d;
		d = 1 / (1 + odd * d);
		c = 1 + odd / c;
		factor = c * d;
		fraction *= factor;
		if (fabs(factor - 1) < 1e-15)
			break;
	}
	return front * fraction;
}

/* How likely Student's t is to be farther from 0 than t > 0, either way. */
static double
beyond(double t, double freedom)
{
	double		x = freedom / (freedom + t * t);
	double		a = freedom / 2;

	if (x < (a + 1) / (a + 2.5))
		return incomplete_beta(x, a, 0.5);
	return 1 - incomplete_beta(t * t / (freedom + t * t), 0.5, a);
}

double
als_estimate_margin(const AlsEstimate *estimate, double confidence)
{
	double		freedom = fmin((double) estimate->n - 1, MOST_FREEDOM);
	double		low = 0;
	double		high = 1;

	if (isnan(estimate->standard_error))
		return NAN;
	while (beyond(high, freedom) > 1 - confidence && high < 1e300)
		high *= 2;
	/* halves until no number is left between */
	for (;;)
	{
		double		middle = low + (high - low) / 2;

		if (middle <= low || middle >= high)
			break;
		if (beyond(middle, freedom) > 1 - confidence)
			low = middle;
		else
			high = middle;
	}
	return high * estimate->standard_error;
}
