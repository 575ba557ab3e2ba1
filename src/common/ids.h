/*
 * ids.h
 *	  What the ids of users and items are: a type with equality, a hash and
 *	  perhaps an order.
 */
#ifndef ALS_IDS_H
#define ALS_IDS_H

#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"

/* A hashable type whose values name users or items */
typedef struct IdType
{
	Oid			type;
	int32		typmod;
	Oid			collation;
	int16		typlen;
	bool		typbyval;
	bool		integer;		/* int2, int4 or int8: compares as int64 */
	FmgrInfo	hash;			/* extended: 64 bits */
	FmgrInfo	equal;
	FmgrInfo	compare;		/* fn_oid is invalid without a btree order */
} IdType;

/* The integer types, which skip the function manager. */
static inline bool
is_integer_type(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* Looks up the type; false if it has no default hash operator class. */
extern bool id_type_init(IdType *id, Oid type, int32 typmod, Oid collation,
						 MemoryContext context);

/* Are they one type, of ids that are told apart likewise? */
extern bool id_type_is_same(const IdType *a, const IdType *b);

/* Has the functions of a copy of a type keep what they know in a context of its own. */
extern void id_type_own(IdType *copy, MemoryContext context);

extern uint64 id_hash(const IdType *id, Datum value);
extern bool id_equal(const IdType *id, Datum a, Datum b);

/* The value of an id of integer type. */
static inline int64
id_integer(const IdType *id, Datum value)
{
	switch (id->typlen)
	{
		case 2:
			return DatumGetInt16(value);
		case 4:
			return DatumGetInt32(value);
		default:
			return DatumGetInt64(value);
	}
}

/* The i-th of integers of length bytes each, as arrays have them */
static inline int64
id_integer_at(const char *integers, int length, int i)
{
	switch (length)
	{
		case 2:
			return ((const int16 *) integers)[i];
		case 4:
			return ((const int32 *) integers)[i];
		default:
			return ((const int64 *) integers)[i];
	}
}

/* An id of integer type; the value is cut off where it does not fit. */
static inline Datum
id_from_integer(const IdType *id, int64 value)
{
	switch (id->typlen)
	{
		case 2:
			return Int16GetDatum((int16) value);
		case 4:
			return Int32GetDatum((int32) value);
		default:
			return Int64GetDatum(value);
	}
}

/* The hash of an integer: MurmurHash3's finalizer, a bijection of 64 bits. */
static inline uint64
id_hash_integer(int64 value)
{
	uint64		h = (uint64) value;

	h ^= h >> 33;
	h *= UINT64CONST(0xff51afd7ed558ccd);
	h ^= h >> 33;
	h *= UINT64CONST(0xc4ceb9fe1a85ec53);
	h ^= h >> 33;
	return h;
}

/*
 * Order in which ties are broken: the type's own where it has one, by hash
 * and bytes otherwise.
 */
extern int	id_compare(const IdType *id, Datum a, Datum b);

/* Compares the bytes of two values: an order that every type has. */
extern int	id_compare_image(const IdType *id, Datum a, Datum b);

/* Fills in the place that each of the ids has in that order. */
extern void id_places(const IdType *id, const Datum *ids, uint32 size,
					  uint32 *places);

/* Copy in the current memory context, detoasted and not packed. */
extern Datum id_copy(const IdType *id, Datum value);

/* A type of any length, for a query: "character" alone would be character(1). */
extern char *type_name_any_length(Oid type);

/* The value as text, for messages. */
extern char *id_to_text(const IdType *id, Datum value);

#endif							/* ALS_IDS_H */
