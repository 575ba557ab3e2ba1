/*
 * als.c
 *	  Module magic and settings.
 */
#include "compat.h"

#include "common/settings.h"
#include "fmgr.h"
#include "model/model_cache.h"
#include "model/model_stats.h"
#include "model/shared_cache.h"
#include "model/shared_registry.h"

ALS_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

int			cache_size_setting;
int			shared_cache_size_setting;
static char *kernels_setting;

/* als.kernels must name kernels that this machine can run. */
static bool
check_kernels(char **value, void **extra, GucSource source)
{
	if (strcmp(*value, "auto") == 0 || als_kernels(*value) != NULL)
		return true;
	GUC_check_errdetail("This machine has no kernels \"%s\".", *value);
	GUC_check_errhint("The names are auto, reference, generic, avx2 and avx512.");
	return false;
}

const AlsKernels *
chosen_kernels(void)
{
	return als_kernels(strcmp(kernels_setting, "auto") == 0 ? NULL :
					   kernels_setting);
}

void
poll_interrupts(void)
{
	CHECK_FOR_INTERRUPTS();
}

/* Called when the library is loaded. */
void
_PG_init(void)
{
	DefineCustomIntVariable("als.cache_size",
							"Sets the memory that a session keeps models' factors in.",
							"Larger models are read from their tables for every recommendation.",
							&cache_size_setting,
							256 * 1024, 64, MAX_KILOBYTES,
							PGC_USERSET, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomIntVariable("als.shared_cache_size",
							"Sets the shared memory that sessions share models' factors in.",
							"What does not fit, each session keeps to itself; zero shares nothing.",
							&shared_cache_size_setting,
							256 * 1024, 0, MAX_KILOBYTES,
							PGC_SIGHUP, GUC_UNIT_KB,
							NULL, NULL, NULL);
	DefineCustomStringVariable("als.kernels",
							   "Sets the instruction set of the inner loops.",
							   "One of auto, reference, generic, avx2 and avx512; meant for tests.",
							   &kernels_setting,
							   "auto", PGC_USERSET, GUC_NOT_IN_SAMPLE,
							   check_kernels, NULL, NULL);
	DefineCustomBoolVariable("als.track_calls",
							 "Counts what calls do with each model, for als_stat_models.",
							 "In the server's shared memory: before PostgreSQL 17, als has to be in shared_preload_libraries.",
							 &track_calls_setting,
							 true, PGC_SUSET, 0,
							 NULL, NULL, NULL);
	reserve_guc_prefix("als");
	cache_init();
	shared_init();
	registry_request();
}
