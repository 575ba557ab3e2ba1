/*
 * side.h
 *	  Users and items, the two sides of ratings.
 */
#ifndef ALS_SIDE_H
#define ALS_SIDE_H

#include "core/als_core.h"

/* In messages, and as columns of ids; by AlsSide */
extern const char *const side_names[2];
extern const char *const side_plurals[2];
extern const char *const side_id_columns[2];

static inline AlsSide
other_side(AlsSide side)
{
	return side == ALS_USERS ? ALS_ITEMS : ALS_USERS;
}

#endif							/* ALS_SIDE_H */
