/*
 * popular.h
 *	  The items with the most ratings.
 */
#ifndef ALS_POPULAR_H
#define ALS_POPULAR_H

#include "serve/side_search.h"

/*
 * The k items of the model with the most rows in the live ratings, which is their
 * score, that the filters of a search let through; equal ones in the order of ids.
 * With search->popular_since, rows count whose time is so long ago at most, and the
 * model has a time column.  The source is read as the caller.  Whoever calls this asks
 * cache_replaced afterwards.
 */
extern void popular_best(SideSearch *search, uint32 k, ScoredRows *result);

#endif							/* ALS_POPULAR_H */
