/*
 * ids.h
 *	  What the ids of users and items are: a type with equality, a hash and
 *	  perhaps an order, and how values of other types become such ids.
 */
#ifndef ALS_IDS_H
#define ALS_IDS_H

#include "postgres.h"

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

/* How a value of some type becomes an id */
typedef enum IdPath
{
	ID_AS_IS,					/* same type or binary compatible */
	ID_INTEGER,					/* between integers, if it fits */
	ID_NUMERIC,					/* from numeric to an integer, if it is one */
	ID_FLOAT,					/* likewise from real and double precision */
	ID_REAL,					/* from other numbers to real, if it is one */
	ID_TO_OID,					/* from an integer to oid, if it fits */
	ID_FROM_OID,				/* and back */
	ID_DATE,					/* between dates and timestamps, likewise */
	ID_FUNCTION,				/* by a cast function */
	ID_INPUT,					/* by the type's input function, from text */
	ID_INPUT_UNKNOWN			/* the same, from an unknown literal */
} IdPath;

/* A cast from one type to another */
typedef struct IdCast
{
	FmgrInfo	function;		/* fn_oid is invalid for binary compatible types */
	int			nargs;
} IdCast;

typedef struct IdConversion
{
	IdPath		path;
	Oid			source;
	const IdType *target;
	int16		source_length;	/* for numbers */
	IdCast		cast;			/* for ID_FUNCTION */
	FmgrInfo	input;			/* the target's input function */
	FmgrInfo	output;			/* the source's output function */
	Oid			ioparam;
	bool		verified;		/* an id must become the value again */
	IdCast		back;			/* by which it does */
	FmgrInfo	equal;			/* of the source's type */
	Oid			collation;		/* for that */
	IdCast		length;			/* of a result: applies its type modifier */
	int32		typmod;			/* which that is; -1: none */
	bool		domain;			/* of a result: check its type's constraints */
	void	   *domain_state;
	MemoryContext context;		/* of that */
} IdConversion;

/* Looks up the type; false if it has no default hash operator class. */
extern bool id_type_init(IdType *id, Oid type, int32 typmod, Oid collation,
						 MemoryContext context);

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

/* The value as text, for messages. */
extern char *id_to_text(const IdType *id, Datum value);

/* Is the text of a value the same whatever the settings? */
extern bool id_text_is_stable(Oid type);

/*
 * Prepares the cast of values of a type to a length, or other modifier, that
 * id_cast is told; false for arrays, whose elements have it.
 */
extern bool id_modifier_init(IdCast *cast, Oid type, MemoryContext context);

/* Casts a value, to the length that typmod says; -1: any. */
extern Datum id_cast(IdCast *cast, Oid collation, Datum value, int32 typmod,
					 bool explicit);

/*
 * Prepares the conversion of values of type source; an error that names what
 * ("user") if they cannot be compared with ids.
 */
extern void id_conversion_init(IdConversion *conversion, const IdType *target,
							   Oid source, const char *what,
							   MemoryContext context);

/*
 * Prepares the conversion of ids of type own to the type that a result has;
 * false if not all ids become such without loss.
 */
extern bool id_result_init(IdConversion *conversion, IdType *result, Oid own,
						   Oid wanted, const char *what,
						   MemoryContext context);

/*
 * Finds the id that equals a value, as "WHERE id = value" would; false if none
 * can, such as 1.5 or one out of range for integers.
 */
extern bool id_convert(IdConversion *conversion, Datum value, Datum *id);

/* Converts an id to the type of a result; raises if it does not fit. */
extern Datum id_convert_result(IdConversion *conversion, Datum id);

/* An array argument, of type "any" */
typedef struct IdArray
{
	int			size;
	Datum	   *elements;
	bool	   *nulls;
	IdConversion conversion;	/* of an element to an id */
} IdArray;

/*
 * Takes apart an argument that is an array of ids or an untyped literal of
 * one, and not null; an error for anything else, which names what ("item").
 */
extern void id_array_argument(FunctionCallInfo fcinfo, int argument,
							  const char *name, const char *what,
							  const IdType *type, IdArray *array);

#endif							/* ALS_IDS_H */
