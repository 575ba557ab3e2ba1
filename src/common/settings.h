/*
 * settings.h
 *	  The extension's settings, and what the core needs of the server.
 */
#ifndef ALS_SETTINGS_H
#define ALS_SETTINGS_H

#include "core/als_core.h"

/* als.cache_size, in kilobytes: what a backend keeps of models */
extern int	cache_size_setting;

/* als.shared_cache_size, in kilobytes: what all backends share of models */
extern int	shared_cache_size_setting;

/* The inner loops that als.kernels asks for. */
extern const AlsKernels *chosen_kernels(void);

/* Lets a computation of the core be cancelled. */
extern void poll_interrupts(void);

#endif							/* ALS_SETTINGS_H */
