/*
 * kernels_vector.h
 *	  The tuned kernels, for any width of vector.
 *
 * Included by a file per instruction set, which defines WIDTH (floats in a
 * vector: 4, 8 or 16), KERNELS (the name of the table) and KERNELS_NAME, and
 * sets the compiler's target.
 *
 * What counts within a row is size_t: as PostgreSQL is compiled with -fwrapv,
 * an int would have to wrap around, and addresses be computed anew each time.
 */
#include <math.h>
#include <string.h>

#include "kernels.h"

typedef float Vector __attribute__((vector_size(WIDTH * 4)));
typedef float Quarter __attribute__((vector_size(16)));
typedef uint32_t Quads __attribute__((vector_size(WIDTH * 4)));
typedef int32_t Lanes __attribute__((vector_size(WIDTH * 4)));
typedef uint16_t Pairs __attribute__((vector_size(WIDTH * 4)));
typedef int16_t SignedPairs __attribute__((vector_size(WIDTH * 4)));

/*
 * Picks, in every quarter, four of the eight floats of two vectors' quarters:
 * 0 to 3 are the first one's, 4 to 7 the second one's.
 */
#define FROM(i, quarter) ((i) % 4 + 4 * (quarter) + ((i) < 4 ? 0 : WIDTH))
#define QUARTER(quarter, i, j, k, l) \
	FROM(i, quarter), FROM(j, quarter), FROM(k, quarter), FROM(l, quarter)
#if WIDTH == 4
#define QUARTERS(...) QUARTER(0, __VA_ARGS__)
#elif WIDTH == 8
#define QUARTERS(...) QUARTER(0, __VA_ARGS__), QUARTER(1, __VA_ARGS__)
#else
#define QUARTERS(...) \
	QUARTER(0, __VA_ARGS__), QUARTER(1, __VA_ARGS__), \
		QUARTER(2, __VA_ARGS__), QUARTER(3, __VA_ARGS__)
#endif
#if defined(__clang__) || __GNUC__ >= 12
#define PICK(a, b, ...) __builtin_shufflevector(a, b, QUARTERS(__VA_ARGS__))
#else
#define PICK(a, b, ...) \
	__builtin_shuffle(a, b, (int __attribute__((vector_size(WIDTH * 4)))) \
					  {QUARTERS(__VA_ARGS__)})
#endif

/* Unrolls a short loop of fixed length into registers. */
#define UNROLL _Pragma("GCC unroll 8")

static inline Vector
load(const float *p)
{
	return *(const Vector *) p;
}

static inline void
store(float *p, Vector v)
{
	*(Vector *) p = v;
}

/* The same value in every lane. */
static inline Vector
broadcast(float value)
{
	/* 0 + value would not do: it keeps the compiler from a plain copy */
#if WIDTH == 4
	return (Vector) {value, value, value, value};
#elif WIDTH == 8
	return (Vector) {value, value, value, value, value, value, value, value};
#else
	return (Vector) {
		value, value, value, value, value, value, value, value,
		value, value, value, value, value, value, value, value
	};
#endif
}

/*
 * a b + c, rounded once where the machine can.  Said, not left to the compiler
 * (-ffp-contract=off), which would round differently from place to place.
 */
static inline Vector
multiply_add(Vector a, Vector b, Vector c)
{
#ifdef MULTIPLY_ADD
	return MULTIPLY_ADD(a, b, c);
#else
	return a * b + c;
#endif
}

/* Sum of a vector's quarters. */
static inline Quarter
quarters(Vector v)
{
	union
	{
		Vector		whole;
		Quarter		quarter[WIDTH / 4];
	}			parts = {v};
	Quarter		sum = parts.quarter[0];

	UNROLL
	for (int i = 1; i < WIDTH / 4; i++)
		sum += parts.quarter[i];
	return sum;
}

/*
 * The sums of the lanes of four vectors: within quarters first, so that the
 * four vectors become one.
 */
static inline Quarter
lanes4(const Vector *v)
{
	Vector		ab = PICK(v[0], v[1], 0, 4, 1, 5) + PICK(v[0], v[1], 2, 6, 3, 7);
	Vector		cd = PICK(v[2], v[3], 0, 4, 1, 5) + PICK(v[2], v[3], 2, 6, 3, 7);

	return quarters(PICK(ab, cd, 0, 1, 4, 5) + PICK(ab, cd, 2, 3, 6, 7));
}

/* Sum of a vector's lanes, in the same order. */
static inline float
lanes(Vector v)
{
	Vector		pairs = v + PICK(v, v, 2, 3, 0, 1);

	return quarters(pairs + PICK(pairs, pairs, 1, 0, 3, 2))[0];
}

/*
 * Products of count rows, 1 or 4, with x, still to be summed over the lanes.
 * Each is added up in the same order: vectors of even and of odd number apart,
 * then both.  Rows that are not where they are wanted are copied on the way.
 */
static inline __attribute__((always_inline)) void
inner_products(size_t count, size_t stride, const float *const *rows,
			   const float *x, float *copies, Vector *sums)
{
	Vector		sum[4][2] = {{{0}}};

	for (size_t i = 0; i < stride; i += 16)
	{
		UNROLL
		for (size_t v = 0; v < 16 / WIDTH; v++)
		{
			size_t		at = i + v * WIDTH;
			Vector		vector = load(x + at);

			UNROLL
			for (size_t row = 0; row < count; row++)
			{
				Vector		part = load(rows[row] + at);

				sum[row][v % 2] = multiply_add(part, vector, sum[row][v % 2]);
				if (copies != NULL)
					store(copies + row * stride + at, part);
			}
		}
	}
	UNROLL
	for (size_t row = 0; row < count; row++)
		sums[row] = sum[row][0] + sum[row][1];
}

/* a.b */
static float
dot(int stride, const float *a, const float *b)
{
	Vector		sum;

	inner_products(1, (size_t) stride, &a, b, NULL, &sum);
	return lanes(sum);
}

/* The four inner products of rows with x. */
static inline __attribute__((always_inline)) Quarter
dot4(size_t stride, const float *rows, const float *x)
{
	const float *four[4] = {rows, rows + stride, rows + 2 * stride,
	rows + 3 * stride};
	Vector		sums[4];

	inner_products(4, stride, four, x, NULL, sums);
	return lanes4(sums);
}

/* Quarters in memory need not be aligned. */
static inline Quarter
load4(const float *p)
{
	Quarter		v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline void
store4(float *p, Quarter v)
{
	memcpy(p, &v, sizeof(v));
}

/* scores[k] = rows[k].x */
static void
scores(int stride, size_t nrows, const float *rows, const float *x,
	   float *scores)
{
	size_t		d = (size_t) stride;
	size_t		k = 0;

	for (; k + 4 <= nrows; k += 4)
		store4(scores + k, dot4(d, rows + k * d, x));
	for (; k < nrows; k++)
		scores[k] = dot(stride, rows + k * d, x);
}

/* Where the factor rows of a pass come from: see AlsKernels */
typedef struct Rows
{
	const float *fixed;			/* NULL: they have been gathered */
	const AlsEntry *entries;
	size_t		available;		/* entries, those beyond the pass included */
	float	   *gathered;
	size_t		distance;		/* als_prefetch_rows */
} Rows;

/* Row k of a pass, fetching one further on. */
static inline __attribute__((always_inline)) const float *
row_at(const Rows *rows, size_t stride, size_t k)
{
	if (rows->fixed == NULL)
		return rows->gathered + k * stride;
	if (k + rows->distance < rows->available)
	{
		const float *ahead = rows->fixed +
		rows->entries[k + rows->distance].column * stride;

		for (size_t i = 0; i < stride; i += 16)
			__builtin_prefetch(ahead + i);
	}
	return rows->fixed + rows->entries[k].column * stride;
}

/* target - weight rows.x for rows k .. k + 3, the inner products in dots */
static inline __attribute__((always_inline)) Quarter
coefficients4(size_t stride, const Rows *rows, size_t k, const float *weight,
			  const float *target, const float *x, float *dots)
{
	const float *four[4] = {row_at(rows, stride, k),
		row_at(rows, stride, k + 1), row_at(rows, stride, k + 2),
	row_at(rows, stride, k + 3)};
	Vector		sums[4];
	Quarter		dot;

	inner_products(4, stride, four, x, rows->fixed == NULL ? NULL :
				   rows->gathered + k * stride, sums);
	dot = lanes4(sums);
	store4(dots + k, dot);
	return load4(target + k) - load4(weight + k) * dot;
}

/* sum += c[k] rows[k] over count rows, 1, 4 or 8 */
static inline __attribute__((always_inline)) void
add_rows(size_t count, size_t stride, const float *rows, const Quarter *c,
		 float *sum)
{
	const float *halves[2] = {rows, rows + 4 * stride};
	Vector		coefficient[8];

	UNROLL
	for (size_t row = 0; row < count; row++)
		coefficient[row] = broadcast(c[row / 4][row % 4]);
	for (size_t i = 0; i < stride; i += WIDTH)
	{
		Vector		even = load(sum + i);
		Vector		odd = {0};

		UNROLL
		for (size_t row = 0; row < count; row += 2)
		{
			const float *from = halves[row / 4] + row % 4 * stride;

			even = multiply_add(coefficient[row], load(from), even);
			if (row + 1 < count)
				odd = multiply_add(coefficient[row + 1], load(from + stride),
								   odd);
		}
		store(sum + i, even + odd);
		halves[0] += WIDTH;
		halves[1] += WIDTH;
	}
}

/*
 * sum += (target[k] - weight[k] rows[k].x) rows[k], eight rows at a time: they
 * are still in L1 when they are added up.
 */
static inline __attribute__((always_inline)) void
residual_pass(size_t stride, size_t nrows, const Rows *rows,
			  const float *weight, const float *target, const float *x,
			  float *sum, float *dots)
{
	size_t		k = 0;
	Quarter		c[2];

	for (; k + 8 <= nrows; k += 8)
	{
		c[0] = coefficients4(stride, rows, k, weight, target, x, dots);
		c[1] = coefficients4(stride, rows, k + 4, weight, target, x, dots);
		add_rows(8, stride, rows->gathered + k * stride, c, sum);
	}
	if (k + 4 <= nrows)
	{
		c[0] = coefficients4(stride, rows, k, weight, target, x, dots);
		add_rows(4, stride, rows->gathered + k * stride, c, sum);
		k += 4;
	}
	for (; k < nrows; k++)
	{
		const float *from = row_at(rows, stride, k);
		float	   *row = rows->gathered + k * stride;
		Vector		sums;
		Vector		coefficient;

		inner_products(1, stride, &from, x, rows->fixed == NULL ? NULL : row,
					   &sums);
		dots[k] = lanes(sums);
		coefficient = broadcast(target[k] - weight[k] * dots[k]);
		for (size_t i = 0; i < stride; i += WIDTH)
			store(sum + i, multiply_add(coefficient, load(row + i),
										load(sum + i)));
	}
}

static void
residual(int stride, size_t nrows, const float *rows, const float *weight,
		 const float *target, const float *x, float *sum, float *dots)
{
	Rows		gathered = {NULL, NULL, 0, (float *) rows, 0};

	residual_pass((size_t) stride, nrows, &gathered, weight, target, x, sum,
				  dots);
}

static void
gather_residual(int stride, size_t nrows, size_t available,
				const float *fixed, const AlsEntry *entries,
				const float *weight, const float *target, const float *x,
				float *gathered, float *sum, float *dots)
{
	Rows		scattered = {fixed, entries, available, gathered,
	als_prefetch_rows((size_t) stride)};

	residual_pass((size_t) stride, nrows, &scattered, weight, target, x, sum,
				  dots);
}

/* sum += the rows k .. k + count - 1 whose rating is above 0; count is 1 or 8 */
static inline __attribute__((always_inline)) void
sum_scattered(size_t count, size_t stride, const Rows *rows, size_t k, float *sum)
{
	const float *from[8];
	Vector		share[8];

	UNROLL
	for (size_t row = 0; row < count; row++)
	{
		from[row] = row_at(rows, stride, k + row);
		share[row] = broadcast(rows->entries[k + row].rating > 0);
	}
	for (size_t i = 0; i < stride; i += WIDTH)
	{
		Vector		even = load(sum + i);
		Vector		odd = {0};

		UNROLL
		for (size_t row = 0; row < count; row += 2)
		{
			even = multiply_add(share[row], load(from[row] + i), even);
			if (row + 1 < count)
				odd = multiply_add(share[row + 1], load(from[row + 1] + i), odd);
		}
		store(sum + i, even + odd);
	}
}

static void
sum_rows(int stride, size_t nrows, size_t available, const float *fixed,
		 const AlsEntry *entries, float *sum)
{
	Rows		scattered = {fixed, entries, available, NULL,
	als_prefetch_rows((size_t) stride)};
	size_t		k = 0;

	for (; k + 8 <= nrows; k += 8)
		sum_scattered(8, (size_t) stride, &scattered, k, sum);
	for (; k < nrows; k++)
		sum_scattered(1, (size_t) stride, &scattered, k, sum);
}

#include "kernels_equations.h"

/* Four bytes of x as a quad, in which the first one is the lowest on any machine */
static inline uint32_t
quad_of(const int8_t *bytes)
{
	uint32_t	quad;

	memcpy(&quad, bytes, sizeof(quad));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	quad = __builtin_bswap32(quad);
#endif
	return quad;
}

/* The same quad in every lane. */
static inline Quads
broadcast_quad(uint32_t quad)
{
	return (Quads) {0} + quad;
}

/*
 * Adds the products of the rows' quads of bytes with a quad of x to sums,
 * modulo 2^16: to all of a lane or, where no instruction does that, those of
 * bytes 0 and 1 to its lower half and those of 2 and 3 to its upper one.  The
 * largest product of a pair, 255 64 2, just fits.
 */
static inline Quads
add_products(Quads sums, Quads rows, Quads x)
{
#if defined(QUAD_PRODUCTS)
	return (Quads) QUAD_PRODUCTS(sums, rows, x);
#elif defined(PAIR_PRODUCTS)
	return (Quads) ((Pairs) sums + (Pairs) PAIR_PRODUCTS(rows, x));
#else
	/* signed bytes, extended */
	Pairs		even = (Pairs) ((SignedPairs) ((Pairs) x << 8) >> 8);
	Pairs		odd = (Pairs) ((SignedPairs) x >> 8);

	return (Quads) ((Pairs) sums + ((Pairs) rows & 0xff) * even +
					((Pairs) rows >> 8) * odd);
#endif
}

/* The sum of a lane in its upper half; what is in the lower one adds nothing */
static inline Lanes
lane_sums(Quads sums)
{
#ifdef QUAD_PRODUCTS
	return (Lanes) (sums << 16);
#else
	return (Lanes) (sums + (sums << 16));
#endif
}

/* The larger one, lane by lane. */
static inline Lanes
larger(Lanes a, Lanes b)
{
#ifdef LARGER
	return (Lanes) LARGER(a, b);
#else
	Lanes		which = a > b;

	return (a & which) | (b & ~which);
#endif
}

/* A bit for each lane, all of whose bits are the same. */
static inline uint64_t
lane_bits(Lanes lanes)
{
#ifdef LANE_BITS
	return (uint64_t) LANE_BITS(lanes);
#else
	uint64_t	bits = 0;

	for (int i = 0; i < WIDTH; i++)
		bits |= (uint64_t) (lanes[i] & 1) << i;
	return bits;
#endif
}

/* Vectors of sums that fit into the registers, and of a block's quads */
#define SUMS (WIDTH == 16 ? 16 : 8)
#define BLOCK_VECTORS (ALS_INDEX_BLOCK / WIDTH)

/*
 * Searches a block for count queries, 1, 2 or 4, as many rows at a time as there
 * are registers.  The sums overflow on the way, which takes nothing
 * away from the last one.
 */
static inline __attribute__((always_inline)) void
search_block(int count, int stride, const uint32_t *quads,
			 const AlsQuery *const *queries, const int16_t *least,
			 uint64_t *found)
{
	const int	vectors = SUMS / count < BLOCK_VECTORS ? SUMS / count :
	BLOCK_VECTORS;

	for (int q = 0; q < count; q++)
		found[q] = 0;
	for (int first = 0; first < BLOCK_VECTORS; first += vectors)
	{
		const uint32_t *from = quads + first * WIDTH;
		Quads		sum[4][8];

		UNROLL
		for (int q = 0; q < count; q++)
			UNROLL
			for (int v = 0; v < vectors; v++)
				sum[q][v] = broadcast_quad((uint16_t) -queries[q]->offset);
		for (int d = 0; d < stride; d += 4, from += ALS_INDEX_BLOCK)
			UNROLL
			for (int q = 0; q < count; q++)
			{
				Quads		x = broadcast_quad(quad_of(queries[q]->bytes + d));

				UNROLL
				for (int v = 0; v < vectors; v++)
					sum[q][v] = add_products(sum[q][v], *(const Quads *)
											 (from + v * WIDTH), x);
			}
		UNROLL
		for (int q = 0; q < count; q++)
		{
			int32_t		enough = (int32_t) least[q] * 65536;
			Lanes		largest = lane_sums(sum[q][0]);

			UNROLL
			for (int v = 1; v < vectors; v++)
				largest = larger(largest, lane_sums(sum[q][v]));
			/* most blocks have none */
			if (lane_bits(largest >= enough) == 0)
				continue;
			for (int v = 0; v < vectors; v++)
				found[q] |= lane_bits(lane_sums(sum[q][v]) >= enough) <<
					(first + v) * WIDTH;
		}
	}
}

/* Finds the rows for which the sum of x_d (byte d - 128) suffices. */
static void
byte_search(int stride, const uint32_t *quads, int n,
			const AlsQuery *const *queries, const int16_t *least,
			uint64_t *found)
{
#if WIDTH == 16
	if (n == 4)
	{
		search_block(4, stride, quads, queries, least, found);
		return;
	}
#endif
	for (; n >= 2; n -= 2, queries += 2, least += 2, found += 2)
		search_block(2, stride, quads, queries, least, found);
	if (n == 1)
		search_block(1, stride, quads, queries, least, found);
}

const AlsKernels KERNELS = {
	KERNELS_NAME, dot, scores, residual, gather_residual, sum_rows,
	gather_equations,
	cholesky, cholesky_solve, byte_search
};
