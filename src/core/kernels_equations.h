/*
 * kernels_equations.h
 *	  The tuned kernels for normal equations: adding up, factoring, solving.
 *
 * Part of kernels_vector.h.  All matrices are column-major, of stride x stride
 * floats, of which the lower triangle counts.  Everything here is tiles of four
 * columns and one to three vectors of rows, summed up in registers.  A tile
 * that straddles the diagonal or the end also writes above and beyond it, where
 * nothing is read.
 */

/*
 * One tile, columns j .. j + 3, rows i .. i + height * WIDTH - 1:
 * a += sign sum of left[k] right[k]' over n vectors k.
 */
static inline __attribute__((always_inline)) void
tile(size_t height, int sign, size_t stride, size_t n, const float *right,
	 const float *left, size_t i, size_t j, float *a)
{
	Vector		sum[4][3] = {{{0}}};

	a += j * stride + i;
	for (size_t k = 0; k < n; k++, right += stride, left += stride)
		UNROLL
		for (size_t c = 0; c < 4; c++)
		{
			Vector		factor = broadcast(right[j + c]);

			UNROLL
			for (size_t h = 0; h < height; h++)
				sum[c][h] = multiply_add(factor, load(left + i + h * WIDTH),
										 sum[c][h]);
		}
	UNROLL
	for (size_t c = 0; c < 4; c++)
		UNROLL
		for (size_t h = 0; h < height; h++)
		{
			float	   *to = a + c * stride + h * WIDTH;

			store(to, sign > 0 ? load(to) + sum[c][h] : load(to) - sum[c][h]);
		}
}

/* The same for columns j .. j + 3 and all rows from i on. */
static inline __attribute__((always_inline)) void
tiles(int sign, size_t stride, size_t n, const float *right,
	  const float *left, size_t i, size_t j, float *a)
{
	for (; i + 3 * WIDTH <= stride; i += 3 * WIDTH)
		tile(3, sign, stride, n, right, left, i, j, a);
	if (i + 2 * WIDTH <= stride)
		tile(2, sign, stride, n, right, left, i, j, a);
	else if (i < stride)
		tile(1, sign, stride, n, right, left, i, j, a);
}

/* Floats of rows, and as many weighted ones, that stay in L1 */
#define EQUATIONS_PART 2048

/*
 * Lower triangle of a += weight[k] f_k f_k' and b += target[k] f_k, over parts
 * of the rows that stay in L1, where gathered keeps them.
 */
static void
gather_equations(int rank, int stride, size_t nrows, size_t available,
				 const float *fixed, const AlsEntry *entries,
				 const float *weight, const float *target, float *gathered,
				 float *a, float *b)
{
	Rows		scattered = {fixed, entries, available, gathered,
	als_prefetch_rows((size_t) stride)};
	float		weighted[EQUATIONS_PART + 8 * (ALS_MAX_FACTORS + 16)]
		__attribute__((aligned(ALS_ALIGNMENT)));
	size_t		d = (size_t) stride;
	size_t		part = EQUATIONS_PART / d + 8;

	for (size_t first = 0; first < nrows; first += part)
	{
		size_t		count = nrows - first < part ? nrows - first : part;
		float	   *rows = gathered + first * d;

		for (size_t k = 0; k < count; k++)
		{
			const float *from = row_at(&scattered, d, first + k);
			Vector		w = broadcast(weight[first + k]);

			for (size_t i = 0; i < d; i += WIDTH)
			{
				Vector		f = load(from + i);

				store(rows + k * d + i, f);
				store(weighted + k * d + i, w * f);
			}
		}
		for (size_t k = 0; k < count;)
		{
			const float *t = target + first + k;
			Quarter		c[2] = {{t[0]}};

			if (count - k >= 8)
			{
				c[0] = load4(t);
				c[1] = load4(t + 4);
				add_rows(8, d, rows + k * d, c, b);
				k += 8;
			}
			else
			{
				add_rows(1, d, rows + k * d, c, b);
				k++;
			}
		}
		for (size_t j = 0; j < (size_t) rank; j += 4)
			tiles(1, d, count, rows, weighted, j / WIDTH * WIDTH, j, a);
	}
}

/* Columns that are updated together by all columns before them */
#define CHOLESKY_PANEL 16

/*
 * Factors columns j .. j + 3, all rows of which know of the columns before:
 * first the square on the diagonal, then all rows below.  What lies above the
 * diagonal, but not above its block of 16 rows, becomes zero.  Returns 0 or the
 * failing pivot.
 */
static inline int
factor_columns(int rank, size_t stride, size_t j, float *a)
{
	size_t		n = (size_t) rank - j < 4 ? (size_t) rank - j : 4;
	float		l[4][4];
	Vector		inverse[4];
	Vector		below[4][4];

	for (size_t c = 0; c < 4; c++)
	{
		float		pivot = c < n ? a[(j + c) * stride + j + c] : 1;
		float		root;

		for (size_t k = 0; c < n && k < c; k++)
			pivot -= l[c][k] * l[c][k];
		if (!(pivot > 0))
			return (int) (j + c) + 1;
		root = sqrtf(pivot);
		inverse[c] = broadcast(1 / root);
		for (size_t r = c + 1; r < 4; r++)
		{
			float		value = r < n ? a[(j + c) * stride + j + r] : 0;

			for (size_t k = 0; k < c; k++)
				value -= l[r][k] * l[c][k];
			l[r][c] = value / root;
			below[r][c] = broadcast(-l[r][c]);
		}
	}
	a += j * stride;
	for (size_t i = j / WIDTH * WIDTH; i < stride; i += WIDTH)
	{
		Vector		column[4];

		UNROLL
		for (size_t c = 0; c < 4; c++)
		{
			column[c] = load(a + c * stride + i);
			UNROLL
			for (size_t k = 0; k < c; k++)
				column[c] = multiply_add(below[c][k], column[k], column[c]);
			column[c] *= inverse[c];
			store(a + c * stride + i, column[c]);
		}
	}
	for (size_t c = 0; c < 4; c++)
		for (size_t i = j / 16 * 16; i < j + c; i++)
			a[c * stride + i] = 0;
	return 0;
}

/*
 * a = L L', from left to right: a panel of columns is brought up to date with
 * all columns before it, then factored by four.
 */
static int
cholesky(int rank, int stride, float *a)
{
	size_t		d = (size_t) stride;
	size_t		n = (size_t) rank;

	for (size_t panel = 0; panel < n; panel += CHOLESKY_PANEL)
	{
		size_t		end = n - panel < CHOLESKY_PANEL ? n :
		panel + CHOLESKY_PANEL;

		if (panel > 0)
			for (size_t j = panel; j < end; j += 4)
				tiles(-1, d, panel, a, a, j / WIDTH * WIDTH, j, a);
		for (size_t j = panel; j < end; j += 4)
		{
			int			info;

			if (j > panel)
				tiles(-1, d, j - panel, a + panel * d, a + panel * d,
					  j / WIDTH * WIDTH, j, a);
			info = factor_columns(rank, d, j, a);
			if (info != 0)
				return info;
		}
	}
	return 0;
}

/* x := (L L')^-1 x, for a factored by cholesky, four columns at a time */
static void
cholesky_solve(int rank, int stride, const float *a, float *x)
{
	size_t		d = (size_t) stride;
	size_t		n = (size_t) rank;

	/* L y = x, from the top: what is known goes from the rows below */
	for (size_t j = 0; j < n; j += 4)
	{
		size_t		columns = n - j < 4 ? n - j : 4;
		const float *l = a + j * d;
		float		y[4] = {0};
		Vector		minus[4];

		for (size_t c = 0; c < columns; c++)
		{
			y[c] = x[j + c];
			for (size_t k = 0; k < c; k++)
				y[c] -= l[k * d + j + c] * y[k];
			y[c] /= l[c * d + j + c];
		}
		for (size_t c = 0; c < 4; c++)
			minus[c] = broadcast(-y[c]);
		for (size_t i = j / WIDTH * WIDTH; i < d; i += WIDTH)
		{
			Vector		even = multiply_add(minus[0], load(l + i),
											load(x + i));
			Vector		odd = minus[1] * load(l + d + i);

			even = multiply_add(minus[2], load(l + 2 * d + i), even);
			odd = multiply_add(minus[3], load(l + 3 * d + i), odd);
			store(x + i, even + odd);
		}
		memcpy(x + j, y, columns * sizeof(float));
	}

	/* L' x = y, from the bottom: columns times what is known */
	for (size_t j = (n - 1) / 4 * 4 + 4; j > 0;)
	{
		size_t		columns;
		const float *l;
		const float *below[4];
		float		y[4] = {0};
		Vector		sums[4];
		Quarter		known;

		j -= 4;
		columns = n - j < 4 ? n - j : 4;
		l = a + j * d;
		memcpy(y, x + j, columns * sizeof(float));
		memset(x + j, 0, columns * sizeof(float));
		for (size_t c = 0; c < 4; c++)
			below[c] = l + c * d + j / 16 * 16;
		inner_products(4, d - j / 16 * 16, below, x + j / 16 * 16,
					   NULL, sums);
		known = lanes4(sums);
		for (size_t c = columns; c-- > 0;)
		{
			float		value = y[c] - known[c];

			for (size_t k = c + 1; k < columns; k++)
				value -= l[c * d + j + k] * x[j + k];
			x[j + c] = value / l[c * d + j + c];
		}
	}
}
