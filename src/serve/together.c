/*
 * together.c
 *	  als_recommend_together: the k best items for several users at once.
 *
 * By the average, items are scored with the mean of the users' factors: scores
 * are linear in these.  By least misery, an item's score is that of the user who
 * likes it least.  Both are searches of als_recommend.
 */
#include "compat.h"

#include "common/arena.h"
#include "common/arguments.h"
#include "serve/shortlist.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(als_recommend_together);
PG_FUNCTION_INFO_V1(als_recommend_together_as);

/* The arguments' places, or behind item_type one further to the right */
enum
{
	ARG_MODEL, ARG_USERS, ARG_K, ARG_EXCLUDE_SEEN, ARG_EXCLUDE, ARG_CANDIDATES,
	ARG_BY, ARG_MIN_SCORE, ARG_DIVERSITY, ARG_GROUPS, ARG_PER_GROUP, ARG_BOOST
};

/* Does the argument by mean the average, and not least misery? */
static bool
is_average(FunctionCallInfo fcinfo, int argument)
{
	char	   *name;

	require_argument(fcinfo, argument, "by");
	name = text_to_cstring(PG_GETARG_TEXT_PP(argument));
	if (strcmp(name, "average") == 0)
		return true;
	if (strcmp(name, "least_misery") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown by \"%s\"", name),
				 errhint("It is \"average\" or \"least_misery\".")));
	return false;
}

/*
 * Finds the factors of all users of whom something is known, and leaves out what
 * any of them has; false if reading that has replaced the model.
 */
static bool
search_for_all(SideSearch *search, IdMap *users, bool exclude_seen)
{
	size_t		stride = search->cache->stride;
	size_t		bytes = Max(idmap_size(users), 1) * stride * sizeof(float);
	float	   *vectors = allocate_aligned(CurrentMemoryContext, bytes);
	uint32		known = 0;

	for (uint32 i = 0; i < idmap_size(users); i++)
	{
		CHECK_FOR_INTERRUPTS();
		search->nvectors = 0;
		if (!side_search_for(search, idmap_id(users, i), exclude_seen,
							 "als_recommend_together"))
			return false;
		if (search->nvectors == 0)
		{
			search->cache->counts.unknown_users++;
			continue;
		}
		memcpy(vectors + known * stride, search->vectors, stride * sizeof(float));
		known++;
	}
	search->vectors = vectors;
	search->nvectors = known;
	return true;
}

/* Puts the mean of the vectors in place of them. */
static void
take_mean(SideSearch *search)
{
	size_t		stride = search->cache->stride;
	size_t		bytes = stride * sizeof(float);
	float	   *mean = allocate_aligned(CurrentMemoryContext, bytes);

	for (size_t d = 0; d < stride; d++)
	{
		double		sum = 0;

		CHECK_FOR_INTERRUPTS();
		for (uint32 v = 0; v < search->nvectors; v++)
			sum += search->vectors[v * stride + d];
		mean[d] = (float) (sum / search->nvectors);
	}
	search->vectors = mean;
	search->nvectors = 1;
}

/*
 * Computes the result; first is the place of the model among the arguments.
 */
static void
together(FunctionCallInfo fcinfo, int first, TupleDesc row_type,
		 ScoredRows *result)
{
	SideSearch	search;
	Shortlist	list;
	ModelCache *cache;
	IdMap	   *users;
	bool		average;
	uint32		k;

	require_arguments(fcinfo, first + ARG_BOOST + 2);
	require_argument(fcinfo, first + ARG_MODEL, "model");
	require_argument(fcinfo, first + ARG_EXCLUDE_SEEN, "exclude_seen");
	require_argument(fcinfo, first + ARG_K, "k");
	k = k_argument(fcinfo, first + ARG_K);
	average = is_average(fcinfo, first + ARG_BY);
	result->cache = cache = cache_open(PG_GETARG_OID(first + ARG_MODEL));
	scored_rows_choose_type(result, cache, ALS_ITEMS, row_type,
							"als_recommend_together_as");
	side_search_init(&search, cache, ALS_ITEMS);
	side_search_min_score(&search, fcinfo, first + ARG_MIN_SCORE);
	shortlist_arguments(&list, fcinfo, first + ARG_DIVERSITY);
	if (PG_ARGISNULL(first + ARG_USERS))
		return;
	users = idmap_create(CurrentMemoryContext, &cache->sides[ALS_USERS].type);
	add_ids_argument(fcinfo, first + ARG_USERS, "users", side_names[ALS_USERS],
					 users);
	if (cache_replaced(cache) ||
		!search_for_all(&search, users, PG_GETARG_BOOL(first + ARG_EXCLUDE_SEEN)))
		return;
	side_search_filters(&search, fcinfo, first + ARG_EXCLUDE,
						first + ARG_CANDIDATES);
	search.boosts = boosts_argument(fcinfo, first + ARG_BOOST, cache);
	if (cache_replaced(cache) || search.nvectors == 0)
		return;
	if (average)
		take_mean(&search);
	shortlist_choose(&list, &search, k, side_search_best, result);
}

/* als_recommend_together(model, users, k, exclude_seen, exclude, ...) */
Datum
als_recommend_together(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 0, together);
}

/* als_recommend_together_as(item_type, model, users, k, exclude_seen, ...) */
Datum
als_recommend_together_as(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 1, together);
}
