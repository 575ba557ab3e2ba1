/*
 * validation.h
 *	  Ratings set aside from a training, to measure its factors by after each
 *	  iteration.
 *
 * Measured is what als_evaluate would of a model with these factors, to the
 * same bits.
 */
#ifndef ALS_VALIDATION_H
#define ALS_VALIDATION_H

#include "common/arena.h"
#include "evaluate/metrics.h"
#include "ratings/features.h"
#include "train/options.h"

/* What is measured, whatever the number of factors */
typedef struct Validation
{
	Metric		metric;
	int			k;
	int			patience;		/* 0: go on until the end */
	AlsFeedback feedback;
	float		mean;			/* of the ratings to train from */
	Arena		set;			/* the ratings set aside, sorted */
	bool		shared;			/* may workers measure with it? */
	uint32		set_items;		/* different ones in it */
	uint32	   *items;			/* [set_items] among those to rank, or
								 * NOT_THERE */
	uint32		nusers;			/* in both */
	MeasuredUser *users;		/* [nusers] */
	uint32		nitems;			/* to rank: all that are trained, or some */
	uint32	   *order;			/* [nitems] in the order of ids */
	uint32		ntrained;		/* those that are trained */
	uint32	   *trained;		/* [ntrained] likewise, among those to rank */
} Validation;

/*
 * Sorts what is set aside, using it up, and maps its ids to those of the
 * ratings to train from, whose mean must be known, and of features.  items: the
 * ids of both.
 */
extern Validation *validation_begin(const TrainOptions *options,
									const Ratings *ratings,
									SideFeatures *const features[2],
									const RatedIds *items, double mean,
									Ratings *held_out, size_t budget,
									int nworkers);

/* Bytes that the processes of a training with so many factors share to measure. */
extern size_t validation_size(const Validation *validation, int factors);

/* Allocates them. */
extern Arena validation_arena(const Validation *validation, int factors,
							  bool shared);

/*
 * Takes over factors as training has them, by side, to be measured next: those
 * of the users and items that are.
 */
extern void validation_take(Measurement *measurement, float *const factors[2],
							int rank);

extern void validation_end(Validation *validation);

#endif							/* ALS_VALIDATION_H */
