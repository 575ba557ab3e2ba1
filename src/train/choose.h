/*
 * choose.h
 *	  Parameters that are chosen from the ratings.
 */
#ifndef ALS_CHOOSE_H
#define ALS_CHOOSE_H

#include "common/arena.h"
#include "train/trainer.h"

/* A parameter that is to be chosen */
#define TO_BE_CHOSEN (-1)

/* What the rule knows of sorted ratings */
typedef struct RatingSummary
{
	double		users;
	double		items;
	double		ratings;		/* 0: not summarized yet */
	double		weights;		/* their sum; as many, where there are none */
	double		size;			/* typical |rating|: the square of the mean
								 * root of those that are not 0; 1 if all are */
	double		deviation;		/* standard deviation, of weighted ones see
								 * choose.c; 1 if all are equal */
} RatingSummary;

/*
 * Chooses alpha and regularization where they are to be chosen.  ratings is
 * what blocks_build returned; summary is filled in when first needed.
 */
extern void choose_parameters(TrainerParameters *parameters, Arena *ratings,
							  RatingSummary *summary);

/* Says what has been chosen where it was asked for. */
extern void notice_chosen(const TrainerParameters *asked,
						  const TrainerParameters *chosen);

#endif							/* ALS_CHOOSE_H */
