/*
 * compat.h
 *	  What differs between the supported PostgreSQL versions, 14 to 19.
 *
 * Every test of PG_VERSION_NUM lives here.
 */
#ifndef ALS_COMPAT_H
#define ALS_COMPAT_H

#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/tableam.h"
#include "catalog/catalog.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "storage/buffile.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/sharedfileset.h"
#include "utils/acl.h"
#include "utils/backend_status.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 140000
#error "als needs PostgreSQL 14 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#if PG_VERSION_NUM >= 190000
#include "commands/repack.h"
#include "nodes/miscnodes.h"
#else
#include "commands/cluster.h"
#endif

/* The suffix of shared libraries, which PostgreSQL 14 only gives to its own */
#ifndef DLSUFFIX
#define DLSUFFIX ".so"
#endif

/* PostgreSQL 18 says it in front of a declaration */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* To be called when a tuple descriptor has all its attributes */
#if PG_VERSION_NUM < 190000
#define TupleDescFinalize(tupdesc) ((void) (tupdesc))
#endif

/* The library's name and version, which pg_get_loaded_modules() shows */
#if PG_VERSION_NUM >= 180000
#define ALS_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "als", .version = ALS_VERSION)
#else
#define ALS_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* What is there to share memory with other backends by; see model/shared_registry.c */
#define ALS_HAVE_DSM_REGISTRY (PG_VERSION_NUM >= 170000)
#define ALS_HAVE_SHMEM_REQUEST_HOOK (PG_VERSION_NUM >= 150000)

#if ALS_HAVE_DSM_REGISTRY
#include "storage/dsm_registry.h"
#endif

/* BufFiles in a SharedFileSet */
static inline BufFile *
shared_file_create(SharedFileSet *fileset, const char *name)
{
#if PG_VERSION_NUM >= 150000
	return BufFileCreateFileSet(&fileset->fs, name);
#else
	return BufFileCreateShared(fileset, name);
#endif
}

static inline BufFile *
shared_file_open(SharedFileSet *fileset, const char *name)
{
#if PG_VERSION_NUM >= 150000
	return BufFileOpenFileSet(&fileset->fs, name, O_RDONLY, false);
#else
	return BufFileOpenShared(fileset, name, O_RDONLY);
#endif
}

static inline void
shared_file_export(BufFile *file)
{
#if PG_VERSION_NUM >= 150000
	BufFileExportFileSet(file);
#else
	BufFileExportShared(file);
#endif
}

static inline void
shared_file_delete(SharedFileSet *fileset, const char *name)
{
#if PG_VERSION_NUM >= 150000
	BufFileDeleteFileSet(&fileset->fs, name, false);
#else
	BufFileDeleteShared(fileset, name);
#endif
}

/* Reads exactly size bytes, or raises. */
static inline void
file_read_exact(BufFile *file, void *data, size_t size)
{
#if PG_VERSION_NUM >= 160000
	BufFileReadExact(file, data, size);
#else
	if (BufFileRead(file, data, size) != size)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read from temporary file: %m")));
#endif
}

static inline Oid
make_heap_like(Relation rel, LOCKMODE lockmode)
{
#if PG_VERSION_NUM >= 150000
	return make_new_heap(RelationGetRelid(rel), rel->rd_rel->reltablespace,
						 rel->rd_rel->relam, rel->rd_rel->relpersistence,
						 lockmode);
#else
	return make_new_heap(RelationGetRelid(rel), rel->rd_rel->reltablespace,
						 rel->rd_rel->relpersistence, lockmode);
#endif
}

/* Gives a table the heap that make_heap_like made, and builds its indexes anew. */
static inline void
swap_table_heap(Oid table, Oid heap, char persistence)
{
#if PG_VERSION_NUM >= 190000
	finish_heap_swap(table, heap, false, false, true, true, true, RecentXmin,
					 ReadNextMultiXactId(), persistence);
#else
	finish_heap_swap(table, heap, false, false, true, true, RecentXmin,
					 ReadNextMultiXactId(), persistence);
#endif
}

/* Do subscribers get what is inserted into a table? */
static inline bool
is_published(Relation rel)
{
#if PG_VERSION_NUM >= 150000
	PublicationDesc publication;

	RelationBuildPublicationDesc(rel, &publication);
	return RelationIsLogicallyLogged(rel) && publication.pubactions.pubinsert;
#else
	return RelationIsLogicallyLogged(rel) &&
		GetRelationPublicationActions(rel)->pubinsert;
#endif
}

/* Builds the indexes of a table anew, and checks that they are unique. */
static inline void
reindex_table(Oid table)
{
	ReindexParams parameters = {0};

#if PG_VERSION_NUM >= 170000
	(void) reindex_relation(NULL, table, REINDEX_REL_CHECK_CONSTRAINTS,
							&parameters);
#else
	(void) reindex_relation(table, REINDEX_REL_CHECK_CONSTRAINTS, &parameters);
#endif
}

static inline bool
owns_relation(Oid relation, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relation, role);
#else
	return pg_class_ownercheck(relation, role);
#endif
}

static inline bool
may_use_schema(Oid schema, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, schema, role,
						   ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_namespace_aclcheck(schema, role, ACL_USAGE) == ACLCHECK_OK;
#endif
}

static inline bool
may_execute(Oid function, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ProcedureRelationId, function, role,
						   ACL_EXECUTE) == ACLCHECK_OK;
#else
	return pg_proc_aclcheck(function, role, ACL_EXECUTE) == ACLCHECK_OK;
#endif
}

static inline bool
may_create_in_schema(Oid schema, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, schema, role,
						   ACL_CREATE) == ACLCHECK_OK;
#else
	return pg_namespace_aclcheck(schema, role, ACL_CREATE) == ACLCHECK_OK;
#endif
}

static inline IndexScanDesc
index_scan_begin(Relation heap, Relation index, Snapshot snapshot, int nkeys)
{
#if PG_VERSION_NUM >= 190000
	return index_beginscan(heap, index, snapshot, NULL, nkeys, 0, SO_NONE);
#elif PG_VERSION_NUM >= 180000
	return index_beginscan(heap, index, snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(heap, index, snapshot, nkeys, 0);
#endif
}

/* A scan of all rows of a table */
static inline TableScanDesc
table_scan_begin(Relation table, Snapshot snapshot)
{
#if PG_VERSION_NUM >= 190000
	return table_beginscan(table, snapshot, 0, NULL, SO_NONE);
#else
	return table_beginscan(table, snapshot, 0, NULL);
#endif
}

/* The number of a relation's file */
static inline Oid
relation_file(Relation rel)
{
#if PG_VERSION_NUM >= 160000
	return rel->rd_locator.relNumber;
#else
	return rel->rd_node.relNode;
#endif
}

/* Has this transaction locked the relation, in that mode or a later one? */
static inline bool
holds_relation_lock(Oid relation, LOCKMODE least)
{
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relation);
	for (LOCKMODE mode = least; mode <= AccessExclusiveLock; mode++)
#if PG_VERSION_NUM >= 170000
		if (LockHeldByMe(&tag, mode, false))
#else
		if (LockHeldByMe(&tag, mode))
#endif
			return true;
	return false;
}

/* What pg_stat_activity has of a backend, by its number from 1; or NULL */
static inline const PgBackendStatus *
backend_status(int number)
{
#if PG_VERSION_NUM >= 160000
	LocalPgBackendStatus *local = pgstat_get_local_beentry_by_index(number);
#else
	LocalPgBackendStatus *local = pgstat_fetch_stat_local_beentry(number);
#endif

	return local != NULL ? &local->backendStatus : NULL;
}

/*
 * The wait event of a name, which is asked for once; without names, that of all
 * extensions.
 */
static inline uint32
wait_event(uint32 *known, const char *name)
{
#if PG_VERSION_NUM >= 170000
	if (*known == 0)
		*known = WaitEventExtensionNew(name);
	return *known;
#else
	return PG_WAIT_EXTENSION;
#endif
}

/*
 * A tranche of locks, which every process but that which made it has to be told
 * the name of.
 */
static inline int
lock_tranche_new(const char *name)
{
#if PG_VERSION_NUM >= 190000
	return LWLockNewTrancheId(name);
#else
	return LWLockNewTrancheId();
#endif
}

static inline void
lock_tranche_name(int tranche, const char *name)
{
#if PG_VERSION_NUM < 190000
	LWLockRegisterTranche(tranche, name);
#endif
}

#if ALS_HAVE_DSM_REGISTRY

typedef void (*SharedInit) (void *memory);

#if PG_VERSION_NUM >= 190000
/* Calls what init points to, as the registry calls what it is given. */
static inline void
call_shared_init(void *memory, void *init)
{
	(*(SharedInit *) init) (memory);
}
#endif

/* Shared memory of a name; init initializes what is not there yet. */
static inline void *
named_shared_memory(const char *name, size_t size, SharedInit init)
{
	bool		found;

#if PG_VERSION_NUM >= 190000
	return GetNamedDSMSegment(name, size, call_shared_init, &found, &init);
#else
	return GetNamedDSMSegment(name, size, init, &found);
#endif
}

#endif							/* ALS_HAVE_DSM_REGISTRY */

#if PG_VERSION_NUM >= 190000

/* As they were before: conversions whose overflow is not an error */
static inline Timestamp
date2timestamp_opt_overflow(DateADT date, int *overflow)
{
	ErrorSaveContext errors = {.type = T_ErrorSaveContext};
	Timestamp	result = date2timestamp_safe(date, (Node *) &errors);

	*overflow = errors.error_occurred;
	return result;
}

static inline TimestampTz
date2timestamptz_opt_overflow(DateADT date, int *overflow)
{
	ErrorSaveContext errors = {.type = T_ErrorSaveContext};
	TimestampTz result = date2timestamptz_safe(date, (Node *) &errors);

	*overflow = errors.error_occurred;
	return result;
}

static inline TimestampTz
timestamp2timestamptz_opt_overflow(Timestamp timestamp, int *overflow)
{
	ErrorSaveContext errors = {.type = T_ErrorSaveContext};
	TimestampTz result = timestamp2timestamptz_safe(timestamp, (Node *) &errors);

	*overflow = errors.error_occurred;
	return result;
}

#endif

/* The functions of a qualified name that a call with nargs arguments may mean */
static inline FuncCandidateList
function_candidates(List *names, int nargs)
{
#if PG_VERSION_NUM >= 190000
	int			found;

	return FuncnameGetCandidates(names, nargs, NIL, true, true, false, true, &found);
#else
	return FuncnameGetCandidates(names, nargs, NIL, true, true, false, true);
#endif
}

/* Is a type one of strings?  "char" is not, though PostgreSQL 14 has it there. */
static inline bool
is_string_type(Oid type)
{
#if PG_VERSION_NUM < 150000
	if (getBaseType(type) == CHAROID)
		return false;
#endif
	return TypeCategory(type) == TYPCATEGORY_STRING;
}

/* Is what a function returns always the same?  PostgreSQL 14 errs with intervals. */
static inline bool
is_immutable(Oid function)
{
#if PG_VERSION_NUM < 150000
	if (function == F_INTERVAL_OUT)
		return false;
#endif
	return func_volatile(function) == PROVOLATILE_IMMUTABLE;
}

/* Does a domain check its values? */
static inline bool
domain_has_constraints(Oid type)
{
#if PG_VERSION_NUM >= 190000
	return DomainHasConstraints(type, NULL);
#else
	return DomainHasConstraints(type);
#endif
}

/*
 * A jsonb value as it is pushed, piece by piece; result is the latest one that
 * is complete.
 */
#if PG_VERSION_NUM < 190000
typedef struct JsonbInState
{
	JsonbValue *result;
	JsonbParseState *parseState;
} JsonbInState;
#endif

static inline void
push_jsonb(JsonbInState *state, JsonbIteratorToken token, JsonbValue *value)
{
#if PG_VERSION_NUM >= 190000
	pushJsonbValue(state, token, value);
#else
	state->result = pushJsonbValue(&state->parseState, token, value);
#endif
}

/* Makes unknown settings that begin with prefix an error or a warning. */
static inline void
reserve_guc_prefix(const char *prefix)
{
#if PG_VERSION_NUM >= 150000
	MarkGUCPrefixReserved(prefix);
#else
	EmitWarningsOnPlaceholders(prefix);
#endif
}

#endif							/* ALS_COMPAT_H */
