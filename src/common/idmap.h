/*
 * idmap.h
 *	  A map from ids of any hashable type to dense indices and back.
 *
 * Indices count from 0 in the order in which ids were added.
 */
#ifndef ALS_IDMAP_H
#define ALS_IDMAP_H

#include "common/ids.h"

typedef struct IdMap IdMap;

/* Creates a map in a memory context of its own below parent. */
extern IdMap *idmap_create(MemoryContext parent, const IdType *type);

/* The index of an id, which is copied and given the next one if it is new. */
extern uint32 idmap_add(IdMap *map, Datum id);

/*
 * The same for an integer, where the map's type is an integer type.  To prefetch it some
 * time before hides the time that memory takes.
 */
extern void idmap_prefetch_integer(const IdMap *map, int64 id);
extern uint32 idmap_add_integer(IdMap *map, int64 id);

/* The index of an id; false if it is not there. */
extern bool idmap_find(IdMap *map, Datum id, uint32 *index);

/* The id with an index, and their number. */
extern Datum idmap_id(const IdMap *map, uint32 index);
extern uint32 idmap_size(const IdMap *map);

extern const IdType *idmap_type(const IdMap *map);

#endif							/* ALS_IDMAP_H */
