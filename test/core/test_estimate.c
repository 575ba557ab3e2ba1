/*
 * test_estimate.c
 *	  Means over users, differences of them, and their intervals.
 */
#include "als_estimate.h"
#include "tap.h"
#include "tests.h"

#include <math.h>

static int
near(double a, double b, double tolerance)
{
	return fabs(a - b) <= tolerance * fabs(b);
}

/* How likely Student's t is below -t or above t: the density by Simpson's rule */
static double
tails(double t, double freedom)
{
	const int	steps = 20000;
	double		inside = 0;

	for (int i = 0; i <= steps; i++)
	{
		double		x = t * i / steps;
		double		weight = i == 0 || i == steps ? 1 : i % 2 == 1 ? 4 : 2;

		inside += weight * exp(lgamma((freedom + 1) / 2) - lgamma(freedom / 2) -
							   (freedom + 1) / 2 * log1p(x * x / freedom)) /
			sqrt(freedom * M_PI);
	}
	return 1 - 2 * inside * t / steps / 3;
}

void
test_estimate(void)
{
	/* tables of Student's t, two-sided */
	static const struct
	{
		size_t		n;
		double		confidence;
		double		t;
	}			table[] = {
		{2, 0.95, 12.706205}, {3, 0.95, 4.302653}, {3, 0.99, 9.924843},
		{11, 0.95, 2.228139}, {11, 0.5, 0.699812}, {31, 0.99, 2.749996},
		{31, 0.95, 2.042272}, {121, 0.95, 1.979930}, {1000001, 0.95, 1.959966}
	};
	static const double freedoms[] = {1, 2, 5, 40, 333, 5000};
	static const double confidences[] = {0.01, 0.3, 0.5, 0.9};
	const double a[] = {1, NAN, 4, 2, 9};
	const double b[] = {0.5, 3, NAN, 1, 2};
	const double same[] = {3, 3, 3};
	AlsEstimate estimate = als_estimate_mean(a, 5);
	double		known = 0.6744897501960817;

	ok(estimate.n == 4 && estimate.value == 4 &&
	   near(estimate.standard_error, sqrt((9 + 0 + 4 + 25) / 3.0 / 4), 1e-15),
	   "a mean, without NaN");
	estimate = als_estimate_difference(a, b, 5);
	ok(estimate.n == 3 && near(estimate.value, 8.5 / 3, 1e-15) &&
	   near(estimate.standard_error,
			sqrt((pow(0.5 - 8.5 / 3, 2) + pow(1 - 8.5 / 3, 2) + pow(7 - 8.5 / 3, 2)) / 2 / 3), 1e-15),
	   "a difference, where both are there");
	estimate = als_estimate_mean(same, 3);
	ok(estimate.value == 3 && estimate.standard_error == 0 &&
	   als_estimate_margin(&estimate, 0.95) == 0, "values that are equal");
	estimate = als_estimate_mean(a, 1);
	ok(estimate.n == 1 && estimate.value == 1 && isnan(estimate.standard_error) &&
	   isnan(als_estimate_margin(&estimate, 0.95)), "one value");
	estimate = als_estimate_mean(a + 1, 1);
	ok(estimate.n == 0 && isnan(estimate.value) && isnan(estimate.standard_error),
	   "no value");

	for (size_t i = 0; i < LENGTH(table); i++)
	{
		AlsEstimate unit = {table[i].n, 0, 1};

		ok(near(als_estimate_margin(&unit, table[i].confidence), table[i].t, 1e-6),
		   "Student's t of %zu values at %g", table[i].n, table[i].confidence);
	}
	for (size_t i = 0; i < LENGTH(freedoms); i++)
		for (size_t j = 0; j < LENGTH(confidences); j++)
		{
			AlsEstimate unit = {(size_t) freedoms[i] + 1, 0, 1};
			double		t = als_estimate_margin(&unit, confidences[j]);

			ok(fabs(tails(t, freedoms[i]) - (1 - confidences[j])) < 1e-9,
			   "its integral, %g degrees of freedom, at %g", freedoms[i],
			   confidences[j]);
		}
	/* beyond all tables: the normal distribution */
	estimate = (AlsEstimate)
	{
		(size_t) 1 << 40, 0, 2
	};
	ok(near(als_estimate_margin(&estimate, 0.5), 2 * known, 3e-6),
	   "a great many values");
}
