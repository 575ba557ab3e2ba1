/*
 * options.h
 *	  The parameters of a training, from SQL arguments or from jsonb.
 */
#ifndef ALS_OPTIONS_H
#define ALS_OPTIONS_H

#include "evaluate/metrics.h"
#include "fmgr.h"
#include "ratings/ratings.h"
#include "train/trainer.h"
#include "utils/jsonb.h"

/* What to measure after each iteration, and on what */
typedef struct ValidationOptions
{
	char	   *source;			/* relation or SELECT, NULL for none */
	double		fraction;		/* of the ratings, to set aside; -1 for none */
	int			metric;			/* Metric; -1: as the feedback has it */
	int			k;
	int			patience;		/* 0: go on until the end */
} ValidationOptions;

/* Whether a run comes to serve as soon as it is trained */
typedef enum Deploy
{
	DEPLOY_ALWAYS, DEPLOY_NEVER, DEPLOY_IF_BETTER
} Deploy;

typedef struct TrainOptions
{
	RatingSource source;
	const char *features[2];	/* relations or SELECTs, by AlsSide, or NULL */
	TrainerParameters parameters;
	ValidationOptions validation;
	int			workers;		/* -1: as the server's settings allow */
	bool		nonnegative;	/* then parameters.solver is ALS_NONNEGATIVE */
	bool		warm_start;
	int			keep;			/* runs to keep; 0: as many as before */
	Deploy		deploy;
} TrainOptions;

/* Who has an option: bits of a mask */
typedef enum OptionUse
{
	USE_TRAIN = 1,				/* argument of als_train */
	USE_AGGREGATE = 2,			/* key of als_train_agg's options */
	USE_TUNE = 4,				/* argument of als_tune */
	USE_GRID = 8,				/* key of its grid */
	USE_IMPORT = 16,			/* argument of als_import */
	USE_SHARDED = 32			/* argument of als_train_sharded */
} OptionUse;

/* How many arguments are options of a use */
extern int	options_count(OptionUse use);

/*
 * The arguments of als_train, als_tune, als_import or als_sharded_parameters from
 * first on, in the order of declaration; raises for what is out of range.
 */
extern void options_from_arguments(TrainOptions *options,
								   FunctionCallInfo fcinfo, int first,
								   OptionUse use);

/*
 * als_train_agg's options: the same names, defaults and ranges; raises for
 * unknown names and wrong types.  NULL for none.
 */
extern void options_from_jsonb(TrainOptions *options, Jsonb *jsonb);

/*
 * The place of the option that has a use and a name, which orders options as
 * als_train has them; raises if there is none.  what is the thing that has the
 * option, for the message.
 */
extern int	options_find(const char *name, OptionUse use, const char *what);

/* Sets the option in a place from a JSON value; raises for a wrong one. */
extern void options_set(TrainOptions *options, int place, OptionUse use,
						JsonbValue *value);

/* Raises for what is not {"event": weight, ...}, with weights from least on. */
extern void options_check_event_weights(const Jsonb *weights, double least);

/* To be called when all are set: settles what depends on more than one. */
extern void options_settle(TrainOptions *options);

/* Is there something to measure after each iteration? */
static inline bool
options_validate(const TrainOptions *options)
{
	return options->validation.source != NULL ||
		options->validation.fraction >= 0;
}

/* What regularization_scaling is the power of */
extern const char *regularization_by_name(bool by_ratings);

extern const char *deploy_name(Deploy deploy);

extern const char *feedback_name(AlsFeedback feedback);

/* NULL for the nonnegative one, which is not to be chosen. */
extern const char *solver_name(AlsSolver solver);

#endif							/* ALS_OPTIONS_H */
