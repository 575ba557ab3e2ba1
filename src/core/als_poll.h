/*
 * als_poll.h
 *	  Polling for a cancel in the middle of long work.
 *
 * Work is counted in numbers read, compared or added up, of which a core does a
 * million within 20 milliseconds even if each is a cache miss; not in rows,
 * which may be of any length.
 */
#ifndef ALS_POLL_H
#define ALS_POLL_H

#include <stddef.h>

/*
 * Called every few milliseconds of long work.  It may leave by longjmp, so
 * nothing may be held meanwhile that would have to be given back, and what is
 * being computed is lost.  NULL: no polling.
 */
typedef void (*AlsPoll) (void);

/* Numbers after which to poll */
#define ALS_POLL_WORK ((size_t) 1 << 20)

/* Work since the last poll */
typedef struct AlsWork
{
	AlsPoll		poll;
	size_t		done;
} AlsWork;

static inline void
als_poll(AlsPoll poll)
{
	if (poll != NULL)
		poll();
}

/* Polls if so much more work is enough for it. */
static inline void
als_work(AlsWork *work, size_t amount)
{
	work->done += amount;
	if (work->done >= ALS_POLL_WORK)
	{
		work->done = 0;
		als_poll(work->poll);
	}
}

#endif							/* ALS_POLL_H */
