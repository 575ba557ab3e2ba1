/*
 * weighing.h
 *	  What a row of the source weighs: by its event, its age, and a column.
 */
#ifndef ALS_WEIGHING_H
#define ALS_WEIGHING_H

#include <math.h>

#include "core/als_core.h"
#include "datatype/timestamp.h"
#include "utils/jsonb.h"

/* Parameters of the data; column names are not quoted */
typedef struct Weighing
{
	const char *event_column;	/* NULL: all events weigh the same */
	const Jsonb *event_weights; /* {"event": weight, ...}, with event_column */
	const char *time_column;	/* NULL: nobody knows */
	const Interval *half_life;	/* NULL: nothing fades */
	TimestampTz reference_time; /* which ages are counted back from */
	const char *weight_column;	/* NULL: the rating says it all */
	bool		apart;			/* explicit feedback: all of it makes a weight
								 * beside the rating */
} Weighing;

/* Is there anything that makes another rating of a source's? */
static inline bool
weighing_is_set(const Weighing *weighing)
{
	return weighing->event_column != NULL || weighing->half_life != NULL ||
		weighing->weight_column != NULL;
}

/* Says where the weights of a training with such feedback go. */
static inline void
weighing_settle(Weighing *weighing, AlsFeedback feedback)
{
	weighing->apart = feedback == ALS_EXPLICIT && weighing_is_set(weighing);
}

/* Weights of implicit events may be below 0, where ratings may be. */
static inline double
least_event_weight(AlsFeedback feedback)
{
	return feedback == ALS_EXPLICIT ? 0 : -1e30;
}

/* What is wrong with event_weights, none of which is to be below least; or NULL. */
extern const char *event_weights_fault(const Jsonb *event_weights, double least);

/* Seconds of a half-life; months and years have as many as extract says. */
extern double half_life_seconds(const Interval *half_life);

/* Is it one by which something can fade, above 0 and finite? */
extern bool half_life_is_valid(const Interval *half_life);

/*
 * The rating of a row as an expression of type double precision over the columns of
 * a source, which are named without a qualifier:
 *
 *		rating * weight of the event * 2 ^ -(age / half-life)
 *
 * where age is that of the row's time at the reference time, not below 0 and not
 * above FADED half-lives.  With a weight column rating is plus or minus that weight,
 * by whether it is above 0.  rating_column may be NULL: 1.  Of weights that are apart
 * it is the rating alone.
 *
 * It means the same in every session: timestamps without a time zone are UTC's, and no
 * operator or function can be another.  For an event that has no weight, a null or a
 * negative weight it raises an error, by als_reject_value if the user may execute it;
 * it is null or NaN where the rating is, and where he may not.
 */
#define FADED 50				/* 1e-15: so alpha stays in its range */
extern char *weighing_expression(const Weighing *weighing,
								 const char *rating_column);

/*
 * The weight of a row likewise, where weights are apart: the weight column, or 1,
 * times what of the above is behind the rating.
 */
extern char *weight_expression(const Weighing *weighing);

/* Can a row with this weight be trained from?  With 0 it counts as if it were not there. */
static inline bool
weight_is_valid(double weight)
{
	float		value = (float) weight;

	return weight >= 0 && isfinite(value) && (value > 0 || weight == 0);
}

/* What a weight makes of an implicit rating, which only says whether the item is liked */
static inline double
weighed_rating(double rating, double weight)
{
	return rating > 0 ? weight : -weight;
}

#endif							/* ALS_WEIGHING_H */
