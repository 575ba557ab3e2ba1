/*
 * problem.c
 *	  Random problems, and half-iterations on them as a training does them.
 */
#include "problem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const kernel_names[4] = {"reference", "generic", "avx2", "avx512"};

/* xorshift64* of Vigna, not what the core uses */
uint64_t
random_bits(Random *random)
{
	uint64_t	x = random->state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	random->state = x;
	return x * UINT64_C(0x2545f4914f6cdd1d);
}

double
random_uniform(Random *random)
{
	return (double) (random_bits(random) >> 11) /
		(double) (UINT64_C(1) << 53);
}

double
random_normal(Random *random)
{
	double		u = 1 - random_uniform(random);
	double		v = random_uniform(random);

	return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

int
random_between(Random *random, int low, int high)
{
	return low + (int) (random_uniform(random) * (high - low + 1));
}

void *
allocate(size_t size)
{
	void	   *memory = malloc(size > 0 ? size : 1);

	if (memory == NULL)
	{
		fprintf(stderr, "out of memory\n");
		exit(2);
	}
	return memory;
}

void *
allocate_aligned(size_t size)
{
	void	   *memory;

	if (posix_memalign(&memory, ALS_ALIGNMENT, size > 0 ? size : 1) != 0)
	{
		fprintf(stderr, "out of memory\n");
		exit(2);
	}
	return memory;
}

/* A random rating of the problem's kind */
static float
random_rating(const Shape *shape, Random *random)
{
	float		size = (float) random_uniform(random) * shape->largest;

	if (shape->feedback == ALS_EXPLICIT)
		return 1 + size;
	switch (random_between(random, 0, 9))
	{
		case 0:
			return -size;
		case 1:
			return 0;
		default:
			return 0.5f + size;
	}
}

/* The ratings by item, from those by user; weights too, if there are */
static void
transpose(Problem *problem)
{
	uint32_t	nusers = problem->shape.nrows[ALS_USERS];
	uint32_t	nitems = problem->shape.nrows[ALS_ITEMS];
	const uint64_t *start = problem->start[ALS_USERS];
	const AlsEntry *entries = problem->entries[ALS_USERS];
	uint64_t   *to_start = problem->start[ALS_ITEMS];
	uint64_t   *next = allocate(nitems * sizeof(uint64_t));

	memset(to_start, 0, (nitems + 1) * sizeof(uint64_t));
	for (uint64_t k = 0; k < start[nusers]; k++)
		to_start[entries[k].column + 1]++;
	for (uint32_t i = 0; i < nitems; i++)
	{
		to_start[i + 1] += to_start[i];
		next[i] = to_start[i];
	}
	for (uint32_t u = 0; u < nusers; u++)
		for (uint64_t k = start[u]; k < start[u + 1]; k++)
		{
			uint64_t	at = next[entries[k].column]++;
			AlsEntry   *to = &problem->entries[ALS_ITEMS][at];

			to->column = u;
			to->rating = entries[k].rating;
			if (problem->weights[ALS_USERS] != NULL)
				problem->weights[ALS_ITEMS][at] = problem->weights[ALS_USERS][k];
		}
	free(next);
}

Problem *
make_problem(const Shape *shape, Random *random)
{
	Problem    *problem = allocate(sizeof(Problem));
	AlsEntry   *entries = allocate((size_t) shape->nrows[ALS_USERS] *
								   shape->nrows[ALS_ITEMS] * sizeof(AlsEntry));
	uint64_t	count = 0;
	double		sum = 0;
	size_t		stride;

	memset(problem, 0, sizeof(Problem));
	problem->shape = *shape;
	problem->kernels = als_kernels(NULL);
	problem->rank = shape->factors + (shape->feedback == ALS_EXPLICIT);
	stride = (size_t) als_stride(problem->rank);
	for (int side = 0; side < 2; side++)
	{
		size_t		nrows = shape->nrows[side];

		problem->start[side] = allocate((nrows + 1) * sizeof(uint64_t));
		problem->factors[side] =
			allocate_aligned(nrows * stride * sizeof(float));
		memset(problem->factors[side], 0, nrows * stride * sizeof(float));
		for (size_t r = 0; r < nrows; r++)
			for (int c = 0; c < problem->rank; c++)
			{
				float		factor = (float) (random_normal(random) /
											  sqrt(problem->rank));

				if (shape->solver == ALS_NONNEGATIVE && c < shape->factors)
					factor = fabsf(factor);
				problem->factors[side][r * stride + (size_t) c] = factor;
			}
	}

	for (uint32_t u = 0; u < shape->nrows[ALS_USERS]; u++)
	{
		problem->start[ALS_USERS][u] = count;
		for (uint32_t i = 0; i < shape->nrows[ALS_ITEMS]; i++)
			if (random_uniform(random) < shape->density)
			{
				AlsEntry   *entry = &entries[count++];

				entry->column = i;
				entry->rating = random_rating(shape, random);
				sum += (double) entry->rating;
			}
	}
	problem->start[ALS_USERS][shape->nrows[ALS_USERS]] = count;
	for (int side = 0; side < 2; side++)
		problem->entries[side] = allocate(count * sizeof(AlsEntry));
	memcpy(problem->entries[ALS_USERS], entries, count * sizeof(AlsEntry));
	free(entries);
	if (shape->feedback == ALS_EXPLICIT && count > 0)
		problem->mean = (float) (sum / (double) count);
	transpose(problem);
	return problem;
}

void
weigh_problem(Problem *problem, double spread, Random *random)
{
	uint64_t	count = problem->start[ALS_USERS][problem->shape.nrows[ALS_USERS]];
	double		sum = 0;
	double		total = 0;

	for (int side = 0; side < 2; side++)
		problem->weights[side] = allocate(count * sizeof(float));
	for (uint64_t k = 0; k < count; k++)
	{
		float		weight = (float) pow(10, spread * (2 * random_uniform(random) - 1));

		problem->weights[ALS_USERS][k] = weight;
		sum += (double) weight * (double) problem->entries[ALS_USERS][k].rating;
		total += (double) weight;
	}
	if (count > 0)
		problem->mean = (float) (sum / total);
	transpose(problem);
}

void
free_problem(Problem *problem)
{
	for (int side = 0; side < 2; side++)
	{
		free(problem->start[side]);
		free(problem->entries[side]);
		free(problem->weights[side]);
		free(problem->factors[side]);
		free(problem->priors[side]);
	}
	free(problem);
}

void
draw_priors(Problem *problem, Random *random)
{
	size_t		stride = (size_t) als_stride(problem->rank);

	for (int side = 0; side < 2; side++)
	{
		size_t		nrows = problem->shape.nrows[side];
		float	   *priors = allocate_aligned(nrows * stride * sizeof(float));

		memset(priors, 0, nrows * stride * sizeof(float));
		for (size_t r = 0; r < nrows; r++)
			for (size_t c = 0; c < (size_t) problem->rank; c++)
				priors[r * stride + c] = (float) (random_normal(random) /
												  sqrt(problem->rank));
		/* as one without a bias has it */
		for (size_t r = 0; r < nrows && problem->unbiased; r++)
			priors[r * stride + (size_t) problem->shape.factors] = 0;
		problem->priors[side] = priors;
	}
}

AlsRows
problem_rows(const Problem *problem, AlsSide side)
{
	AlsRows		rows = {
		problem->shape.nrows[side], problem->start[side],
		problem->entries[side], problem->priors[side], problem->weights[side]
	};

	return rows;
}

AlsSystem
problem_system(const Problem *problem, AlsSide side)
{
	const Shape *shape = &problem->shape;
	AlsSystem	system = {
		.kernels = problem->kernels,
		.blas = &als_blas,
		.feedback = shape->feedback,
		.solver = shape->solver,
		.rank = problem->rank,
		.cg_steps = shape->cg_steps,
		.alpha = shape->alpha,
		.regularization = shape->regularization,
		.regularization_scaling = shape->scaling,
		.by_ratings = problem->by_ratings,
		.mean = problem->mean,
		.unbiased = problem->unbiased,
		.nfixed = shape->nrows[1 - side],
		.fixed = problem->factors[1 - side],
		.stored = problem->factors[1 - side],
	};

	return system;
}

/* The only state that a callback without arguments can reach */
static Problem *polled;

static void
count_poll(void)
{
	polled->polls++;
}

/* base, base_factor and spectrum; returns the failing pivot */
static int
make_base(AlsSystem *system, const float *rows, double *partials,
		  float *base, float *base_factor, float *spectrum)
{
	size_t		nrows = system->nfixed;
	size_t		rank = (size_t) system->rank;
	size_t		half = nrows / 2;
	void	   *workspace = allocate_aligned(als_gram_workspace(system->rank));
	void	   *exact = allocate_aligned(als_gram_exact_workspace(system->rank));
	void	   *finish = allocate_aligned(als_gram_finish_workspace(system));
	int			result;

	als_gram(system->blas, NULL, system->rank, half, rows, partials, workspace);
	als_gram(system->blas, NULL, system->rank, nrows - half,
			 rows + half * (size_t) als_stride(system->rank),
			 partials + rank * rank, workspace);
	result = als_gram_finish(system, (double) system->regularization, 2,
							 partials, 0, base, base_factor, spectrum, finish);
	if (result == ALS_SUM_IN_DOUBLE)
	{
		als_gram_exact(system->blas, NULL, system->rank, nrows, rows, partials,
					   exact);
		result = als_gram_finish(system, (double) system->regularization, 1,
								 partials, 1, base, base_factor, spectrum,
								 finish);
	}
	if (result == ALS_SOLVE_IN_DOUBLE)
	{
		system->exact = 1;
		result = ALS_OK;
	}
	system->gram = partials;
	system->base = base;
	system->base_factor = base_factor;
	system->spectrum = spectrum;
	free(workspace);
	free(exact);
	free(finish);
	return result;
}

int
half_iteration_in_calls(Problem *problem, AlsSide side,
						uint32_t rows_per_call, double *loss,
						uint32_t *failed)
{
	const Shape *shape = &problem->shape;
	size_t		stride = (size_t) als_stride(problem->rank);
	size_t		nfixed = shape->nrows[1 - side];
	const float *fixed = problem->factors[1 - side];
	float	   *prepared = allocate_aligned(nfixed * stride * sizeof(float));
	float	   *bias = allocate(nfixed * sizeof(float));
	float	   *base = allocate_aligned(stride * stride * sizeof(float));
	float	   *base_factor = allocate_aligned(stride * stride * sizeof(float));
	float	   *spectrum = allocate_aligned(stride * sizeof(float));
	double	   *partials = allocate(2 * stride * stride * sizeof(double));
	AlsSystem	system = problem_system(problem, side);
	int			result = ALS_OK;

	system.bias = bias;
	system.poll = count_poll;
	polled = problem;
	*loss = 0;
	*failed = UINT32_MAX;
	if (shape->feedback == ALS_IMPLICIT)
		result = make_base(&system, fixed, partials, base, base_factor,
						   spectrum);
	if (result == ALS_OK)
	{
		void	   *workspace = allocate_aligned(als_solve_workspace(&system));

		if (shape->feedback == ALS_EXPLICIT || shape->solver == ALS_CG)
		{
			als_prepare_rows(&system, nfixed, fixed, prepared, bias);
			system.fixed = prepared;
		}
		for (uint32_t r = 0; r < shape->nrows[side] && result == ALS_OK;
			 r += rows_per_call)
		{
			uint32_t	left = shape->nrows[side] - r;
			uint32_t	in_call;
			uint64_t	first = problem->start[side][r] - problem->start[side][0];
			AlsRows		rows = {
				left < rows_per_call ? left : rows_per_call,
				problem->start[side] + r,
				problem->entries[side] + first,
				problem->priors[side] == NULL ? NULL :
				problem->priors[side] + r * stride,
				problem->weights[side] == NULL ? NULL :
				problem->weights[side] + first
			};

			result = als_solve_rows(&system, &rows,
									problem->factors[side] + r * stride,
									workspace, loss, &in_call);
			if (result != ALS_OK)
				*failed = r + in_call;
		}
		free(workspace);
	}
	free(prepared);
	free(bias);
	free(base);
	free(base_factor);
	free(spectrum);
	free(partials);
	return result;
}

int
half_iteration(Problem *problem, AlsSide side, double *loss)
{
	uint32_t	failed;

	return half_iteration_in_calls(problem, side, 1u << 30, loss, &failed);
}
