/*
 * id_conversion.h
 *	  How values of other types become ids, and ids become results.
 */
#ifndef ALS_ID_CONVERSION_H
#define ALS_ID_CONVERSION_H

#include "common/ids.h"

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
	FmgrInfo	function;		/* fn_oid is invalid for binary compatible
								 * types */
	int			nargs;
} IdCast;

typedef struct IdConversion
{
	IdPath		path;
	Oid			source;
	const IdType *target;
	int16		source_length;	/* for numbers */
	IdCast		to_text;		/* of strings that are not text */
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

/* Is the text of a value the same whatever the settings? */
extern bool id_text_is_stable(Oid type);

/* Likewise, of what is compared by its text alone, as events and features are? */
extern bool is_compared_as_text(Oid type);

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

#endif							/* ALS_ID_CONVERSION_H */
