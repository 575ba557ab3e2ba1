/*
 * settings.h
 *	  The extension's settings.
 */
#ifndef ALS_SETTINGS_H
#define ALS_SETTINGS_H

#include "als_core.h"

/* als.cache_size, in kilobytes: what a backend keeps of models */
extern int	cache_size_setting;

/* The inner loops that als.kernels asks for. */
extern const AlsKernels *chosen_kernels(void);

#endif							/* ALS_SETTINGS_H */
