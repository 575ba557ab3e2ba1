/*
 * similar.h
 *	  What the searches for neighbours share.
 */
#ifndef ALS_SIMILAR_H
#define ALS_SIMILAR_H

/* Does the metric's name mean cosine, and not the inner product? */
extern bool is_cosine(const char *metric);

#endif							/* ALS_SIMILAR_H */
