/*
 * recommend.c
 *	  als_recommend and als_recommend_for: the k best items for a user, or
 *	  for somebody who has some items.
 *
 * Exact: every eligible item is scored, by the same inner product that
 * als_predict returns.  Filters are sets of ids; they are asked only about
 * items whose score could enter the result, except that candidates, if given,
 * are all that is scored.
 */
#include "compat.h"

#include "catalog/pg_type.h"
#include "common/arguments.h"
#include "common/id_conversion.h"
#include "serve/fold_in.h"
#include "serve/live_features.h"
#include "serve/popular.h"
#include "serve/shortlist.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(als_recommend);
PG_FUNCTION_INFO_V1(als_recommend_as);
PG_FUNCTION_INFO_V1(als_recommend_for);
PG_FUNCTION_INFO_V1(als_recommend_for_as);

/* The arguments' places, or behind item_type one further to the right */
enum
{
	ARG_MODEL, ARG_USER, ARG_K, ARG_EXCLUDE_SEEN, ARG_EXCLUDE, ARG_CANDIDATES,
	ARG_COLD_START, ARG_MIN_SCORE, ARG_DIVERSITY, ARG_GROUPS,
	ARG_PER_GROUP, ARG_BOOST, ARG_BOOST_BY, ARG_RUN, ARG_POPULAR_SINCE, ARG_FRESH
};

/* Those of als_recommend_for, likewise */
enum
{
	FOR_MODEL, FOR_ITEMS, FOR_RATINGS, FOR_K, FOR_EXCLUDE_SEEN, FOR_EXCLUDE,
	FOR_CANDIDATES, FOR_MIN_SCORE, FOR_DIVERSITY, FOR_GROUPS,
	FOR_PER_GROUP, FOR_BOOST, FOR_BOOST_BY, FOR_FEATURES
};

/* What to do for a user of whom nothing is known */
typedef enum ColdStart
{
	COLD_START_NONE,
	COLD_START_POPULAR,
	COLD_START_ERROR
} ColdStart;

static const char *const cold_start_names[] = {"none", "popular", "error"};

/* The argument cold_start, checked. */
static ColdStart
cold_start_argument(FunctionCallInfo fcinfo, int argument)
{
	char	   *name;

	require_argument(fcinfo, argument, "cold_start");
	name = text_to_cstring(PG_GETARG_TEXT_PP(argument));
	for (size_t i = 0; i < lengthof(cold_start_names); i++)
		if (strcmp(name, cold_start_names[i]) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown cold_start \"%s\"", name),
			 errhint("It is \"none\", \"popular\" or \"error\".")));
}

/* The argument popular_since, checked; NULL if it is. */
static const Interval *
popular_since_argument(FunctionCallInfo fcinfo, int argument,
					   const ModelCache *cache, ColdStart cold_start)
{
	const Interval *since;

	if (PG_ARGISNULL(argument))
		return NULL;
	since = PG_GETARG_INTERVAL_P(argument);
	if (cold_start != COLD_START_POPULAR)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("popular_since has no meaning without cold_start => 'popular'"),
				 errhint("Pass both or neither.")));
	if (!half_life_is_valid(since))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("popular_since must not be %s",
						DatumGetCString(DirectFunctionCall1(interval_out,
															IntervalPGetDatum(since)))),
				 errhint("It is how long ago a rating may be that counts, above 0, '7 days' for example.")));
	if (cache->run.weighing.time_column == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" does not know when its ratings are from",
						get_rel_name(cache->model)),
				 errhint("Train it with time_column, or leave popular_since out.")));
	return since;
}

/* Raises for a user of whom nothing is known. */
static void
reject_cold_user(const ModelCache *cache, Datum id, bool isnull)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("nothing is known of user %s", isnull ? "null" :
					id_to_text(&cache->sides[ALS_USERS].type, id)),
			 errdetail("Neither has model \"%s\" been trained with ratings%s of the user, nor are there any now of items that it knows.",
					   get_rel_name(cache->model),
					   cache->run.feedback == ALS_IMPLICIT ? " above 0" : ""),
			 errhint("Pass cold_start => 'popular' for the items with the most ratings, or 'none' for no rows.")));
}

/*
 * Computes als_recommend's result; first is the place of the model among the
 * arguments.
 */
static void
recommend(FunctionCallInfo fcinfo, int first, TupleDesc row_type,
		  ScoredRows *result)
{
	SideSearch	search;
	Shortlist	list;
	ColdStart	cold_start;
	ModelCache *cache;
	IdConversion conversion;
	Datum		id = (Datum) 0;
	bool		id_null = PG_ARGISNULL(first + ARG_USER);
	bool		possible = false;
	uint32		k;

	require_arguments(fcinfo, first + ARG_FRESH + 1);
	require_argument(fcinfo, first + ARG_MODEL, "model");
	require_argument(fcinfo, first + ARG_EXCLUDE_SEEN, "exclude_seen");
	require_argument(fcinfo, first + ARG_FRESH, "fresh");
	require_argument(fcinfo, first + ARG_K, "k");
	k = k_argument(fcinfo, first + ARG_K);
	cold_start = cold_start_argument(fcinfo, first + ARG_COLD_START);
	result->cache = cache = cache_open_run(PG_GETARG_OID(first + ARG_MODEL),
										   run_argument(fcinfo, first + ARG_RUN));
	scored_rows_choose_type(result, cache, ALS_ITEMS, row_type, "als_recommend_as");
	if (!id_null)
	{
		id_conversion_init(&conversion, &cache->sides[ALS_USERS].type,
						   get_fn_expr_argtype(fcinfo->flinfo, first + ARG_USER),
						   "user", CurrentMemoryContext);
		possible = id_convert(&conversion,
							  PG_GETARG_DATUM(first + ARG_USER), &id);
		if (cache_replaced(cache))
			return;
	}

	side_search_init(&search, cache, ALS_ITEMS);
	search.fresh = PG_GETARG_BOOL(first + ARG_FRESH);
	if (search.fresh)
		model_require_source(cache->model, &cache->run,
							 "Train it with als_train from a table that stays, or pass fresh => false.");
	if (possible &&
		!side_search_for(&search, id, PG_GETARG_BOOL(first + ARG_EXCLUDE_SEEN),
						 "als_recommend"))
		return;
	side_search_filters(&search, fcinfo, first + ARG_EXCLUDE,
						first + ARG_CANDIDATES);
	side_search_min_score(&search, fcinfo, first + ARG_MIN_SCORE);
	shortlist_arguments(&list, fcinfo, first + ARG_DIVERSITY);
	search.boosts = boosts_argument(fcinfo, first + ARG_BOOST, cache);
	if (cache_replaced(cache))
		return;
	search.popular_since = popular_since_argument(fcinfo,
												  first + ARG_POPULAR_SINCE,
												  cache, cold_start);

	cache->counts.unknown_users += search.nvectors == 0;
	if (search.nvectors > 0)
		shortlist_choose(&list, &search, k, side_search_best, result);
	else if (cold_start == COLD_START_POPULAR)
	{
		/* how often items are rated is no scale to weigh it with */
		list.diversity = 0;
		shortlist_choose(&list, &search, k, popular_best, result);
	}
	else if (cold_start == COLD_START_ERROR)
		reject_cold_user(cache, id, !possible);
}

/* Raises for a model that knows no features of users. */
static void
require_user_features(const ModelCache *cache)
{
	if (!cache->run.has_features[ALS_USERS])
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model \"%s\" knows no features of users",
						get_rel_name(cache->model)),
				 errhint("Train it with user_features => '...', or leave features out.")));
}

/*
 * Computes als_recommend_for's result; first is the place of the model among
 * the arguments.
 */
static void
recommend_for(FunctionCallInfo fcinfo, int first, TupleDesc row_type,
			  ScoredRows *result)
{
	SideSearch	search;
	Shortlist	list;
	ModelCache *cache;
	RowRatings	ratings = {0};
	RowFeatures features = {0};
	uint32		k;

	require_arguments(fcinfo, first + FOR_FEATURES + 1);
	require_argument(fcinfo, first + FOR_MODEL, "model");
	require_argument(fcinfo, first + FOR_EXCLUDE_SEEN, "exclude_seen");
	require_argument(fcinfo, first + FOR_K, "k");
	k = k_argument(fcinfo, first + FOR_K);
	result->cache = cache = cache_open(PG_GETARG_OID(first + FOR_MODEL));
	scored_rows_choose_type(result, cache, ALS_ITEMS, row_type,
							"als_recommend_for_as");
	if (PG_ARGISNULL(first + FOR_ITEMS) && PG_ARGISNULL(first + FOR_FEATURES))
		return;
	if (!PG_ARGISNULL(first + FOR_ITEMS))
		row_ratings_arguments(fcinfo, first + FOR_ITEMS, first + FOR_RATINGS,
							  NO_ARGUMENT, cache, &ratings);
	if (!PG_ARGISNULL(first + FOR_FEATURES))
	{
		require_user_features(cache);
		row_features_argument(PG_GETARG_JSONB_P(first + FOR_FEATURES), &features);
	}
	side_search_init(&search, cache, ALS_ITEMS);
	if (PG_GETARG_BOOL(first + FOR_EXCLUDE_SEEN))
		for (uint64 i = 0; i < ratings.size; i++)
		{
			CHECK_FOR_INTERRUPTS();
			idmap_add(search.excluded, ratings.ratings[i].id);
		}
	side_search_filters(&search, fcinfo, first + FOR_EXCLUDE,
						first + FOR_CANDIDATES);
	side_search_min_score(&search, fcinfo, first + FOR_MIN_SCORE);
	shortlist_arguments(&list, fcinfo, first + FOR_DIVERSITY);
	search.boosts = boosts_argument(fcinfo, first + FOR_BOOST, cache);
	if (cache_replaced(cache))
		return;
	search.vectors = fold_in(cache, ALS_USERS, &ratings,
							 features_prior(cache, ALS_USERS, &features));
	cache->counts.fold_ins += search.vectors != NULL;
	search.nvectors = 1;
	if (cache_knows(cache, search.vectors))
		shortlist_choose(&list, &search, k, side_search_best, result);
}

/* als_recommend(model, user, k, exclude_seen, exclude, ...) */
Datum
als_recommend(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 0, recommend);
}

/* als_recommend_as(item_type, model, user, k, exclude_seen, ...) */
Datum
als_recommend_as(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 1, recommend);
}

/* als_recommend_for(model, items, ratings, k, exclude_seen, ...) */
Datum
als_recommend_for(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 0, recommend_for);
}

/* als_recommend_for_as(item_type, model, items, ratings, k, ...) */
Datum
als_recommend_for_as(PG_FUNCTION_ARGS)
{
	return return_scored_rows(fcinfo, 1, recommend_for);
}
