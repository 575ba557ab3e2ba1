/*
 * model_stats.h
 *	  What calls do with each model, added up in shared memory: als_stat_models.
 */
#ifndef ALS_MODEL_STATS_H
#define ALS_MODEL_STATS_H

#include "portability/instr_time.h"

/*
 * What a backend counts of a version of a model as it goes, whether or not it will
 * be added up.
 */
typedef struct ModelCounts
{
	uint64		fold_ins;
	uint64		unknown_users;
	uint64		cache_hits;
	uint64		cache_misses;
	int			place;			/* among the models that are counted: a guess */
} ModelCounts;

/* als.track_calls: add it up? */
extern bool track_calls_setting;

/* A call of a function that serves begins. */
static inline void
stats_begin(instr_time *start)
{
	if (track_calls_setting)
		INSTR_TIME_SET_CURRENT(*start);
	else
		INSTR_TIME_SET_ZERO(*start);
}

/* Forgets what has been counted: it was for no such call. */
static inline void
stats_discard(ModelCounts *counts)
{
	counts->fold_ins = counts->unknown_users = 0;
	counts->cache_hits = counts->cache_misses = 0;
}

/*
 * It ends, having returned so many rows from a model: adds what has been counted, and
 * begins to count anew.  Calls that fail are not counted.
 */
extern void stats_end(Oid model, ModelCounts *counts, instr_time start,
					  uint64 rows);

#endif							/* ALS_MODEL_STATS_H */
