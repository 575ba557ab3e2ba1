/*
 * features.h
 *	  What is known of users or items besides their ratings: a relation or query
 *	  of (id, feature[, value]).
 */
#ifndef ALS_FEATURES_SOURCE_H
#define ALS_FEATURES_SOURCE_H

#include "ratings/ratings.h"
#include "ratings/source.h"

/*
 * The features of a side's rows, those of the ratings first and behind them
 * those of ids that no rating has, both in an order that the ids alone decide.
 * In one memory context.
 */
typedef struct SideFeatures
{
	char	   *source;			/* the text to keep with a model */
	uint32		nrows;			/* of the ratings */
	uint32		nnew;			/* behind them */
	Datum	   *new_ids;		/* [nnew] of the ratings' type */
	IdMap	   *new_map;		/* the same as they came */
	uint32	   *new_places;		/* [nnew] order of arrival -> place */
	uint32		nfeatures;
	Datum	   *names;			/* [nfeatures] text */
	uint64	   *start;			/* [nrows + nnew + 1] */
	AlsEntry   *entries;		/* feature and value, features ascending */
} SideFeatures;

/*
 * Reads the features of a side as the current user, with this snapshot or, if it
 * is NULL, one of its own, into the current memory context; the ratings are
 * finished.
 */
extern SideFeatures *features_read(AlsSide side, const char *source,
								   Snapshot snapshot, const Ratings *ratings);

/* The row of an id that no rating has; NOT_THERE without features of it. */
extern uint32 features_new_row(const SideFeatures *features, Datum id);

/* What a source of features is read as */
typedef struct FeatureColumns
{
	Oid			id_type;		/* of the first column */
	bool		valued;			/* there is a third column */
	const char *targets;		/* of the query: id, feature, and perhaps
								 * value */
	const char *alias;			/* which names the columns so */
} FeatureColumns;

/* Raises unless the columns of a source are those of features. */
extern void features_columns(const SourceReading *reading, AlsSide side,
							 FeatureColumns *columns);

/* The value of the feature of an id, or raises for one that is none. */
extern float4 feature_value(AlsSide side, const IdType *type, Datum id,
							Datum feature, Datum value, bool isnull);

/* Raises that an id has a feature twice. */
pg_noreturn extern void reject_second_feature(AlsSide side, const IdType *type,
											  Datum id, Datum feature);

/* The features of some rows, as the core has them */
static inline AlsRows
features_rows(const SideFeatures *features, uint32 first, uint32 nrows)
{
	AlsRows		rows = {
		.nrows = nrows,
		.start = features->start + first,
		.entries = features->entries + features->start[first]
	};

	return rows;
}

#endif							/* ALS_FEATURES_SOURCE_H */
