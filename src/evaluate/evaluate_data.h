/*
 * evaluate_data.h
 *	  A model and a test set brought together, to be measured.
 */
#ifndef ALS_EVALUATE_DATA_H
#define ALS_EVALUATE_DATA_H

#include "evaluate/metrics.h"
#include "model/model_cache.h"
#include "ratings/ratings.h"

/* What is asked for */
typedef struct EvaluateOptions
{
	Oid			model;
	int32		run;			/* 0: the one that serves */
	RatingSource test;
	char	   *training;		/* NULL: the model's source */
	bool		exclude_seen;
	int			ncutoffs;
	uint32		cutoffs[MOST_CUTOFFS];	/* different k, ascending */
	bool		lists;			/* popularity, and what lists are like, too */
	bool		by_known_biases;	/* errors are over pairs not known too */
	bool		has_relevant_from;
	double		relevant_from;
	int			workers;		/* -1: as many as are worth it */
} EvaluateOptions;

/* An evaluation in the making */
typedef struct Evaluation
{
	const EvaluateOptions *options;
	ModelCache *cache;
	Ratings    *ratings[2];		/* by RatingSet; NULL for no training set */
	Arena		sets[2];		/* the same, sorted; given back once measured */
	IdMap	   *users;			/* of the test set, as the model's type */
	bool	   *known;			/* [users] does the model know them? */
	IdMap	   *items;			/* of the model */
	Arena		arena;
	Measurement *measurement;
	uint64		test_pairs;		/* known or not */
	uint64		unknown_users;
	uint64		unknown_items;
} Evaluation;

/*
 * Reads the ratings and measures the model by them, in the current memory
 * context; the measures are in measurement.
 */
extern Evaluation *evaluate(const EvaluateOptions *options);

/* Gives back the measurement. */
extern void evaluation_end(Evaluation *evaluation);

#endif							/* ALS_EVALUATE_DATA_H */
