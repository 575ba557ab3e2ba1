/*
 * boosts.h
 *	  What a call adds to the scores of some items, or multiplies them with.
 */
#ifndef ALS_BOOSTS_H
#define ALS_BOOSTS_H

#include <math.h>

#include "model/model_cache.h"

typedef struct Boosts
{
	IdMap	   *items;
	double	   *amounts;		/* [items] */
	uint32		capacity;
	bool		multiply;		/* or else add */
} Boosts;

/*
 * Reads what the arguments boost, a relation or query, and boost_by behind it
 * say, as the caller; NULL if boost is null.  Whoever calls this asks
 * cache_replaced afterwards.
 */
extern Boosts *boosts_argument(FunctionCallInfo fcinfo, int argument,
							   ModelCache *cache);

/* Raises for a score that is out of range. */
pg_noreturn extern void boosts_reject(void);

/* A score with an amount, in double and rounded. */
static inline float
boosted_score(float score, double amount, bool multiply)
{
	float		boosted = (float) (multiply ? score * amount : score + amount);

	if (!isfinite(boosted))
		boosts_reject();
	return boosted;
}

#endif							/* ALS_BOOSTS_H */
