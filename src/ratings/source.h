/*
 * source.h
 *	  What a model is trained from: a relation or a SELECT.
 */
#ifndef ALS_SOURCE_H
#define ALS_SOURCE_H

#include "common/id_conversion.h"
#include "common/side.h"
#include "executor/spi.h"
#include "tcop/dest.h"

/* Who reads what a model was trained from, for messages */
typedef struct SourceReader
{
	const char *function;
	const char *model;			/* its name */
	const char *without;		/* argument that does without; NULL: none */
} SourceReader;

/* A source being read */
typedef struct SourceReading
{
	const char *what;			/* "ratings", or "factors of users", "features
								 * of items", ... */
	const char *name;			/* for messages: the relation or the query */
	const SourceReader *reader; /* NULL: the caller has given the source */
	const char *from_clause;	/* with the alias "ratings" */
	bool		is_query;		/* or else it is a relation's qualified name */
	Snapshot	snapshot;		/* in place of a new one, or NULL */
	SPIPlanPtr	executing;		/* what runs; NULL: not yet */
	ErrorContextCallback callback;
} SourceReading;

/*
 * Begins to read a source: finds out what it is, connects to SPI, and until
 * source_end says with every error what was going on.  Returns the text to keep
 * with a model.
 */
extern char *source_begin(SourceReading *reading, const char *what,
						  const char *source, const SourceReader *reader);

/*
 * Says with an error what was being read, and what the caller can do, who may not
 * be the one who has chosen the source; the callback of source_begin.
 */
extern void source_error_context(void *arg);

/*
 * Prepares SELECT targets FROM the source, followed by tail.  Columns are named
 * without a qualifier: where there is no such column, ratings.x is the call of a
 * function x that somebody may have made.
 */
extern SPIPlanPtr source_prepare(const SourceReading *reading,
								 const char *targets, const char *tail,
								 int nargs, Oid *types);

/*
 * A column as what is left of the equality operator of a type.  Where others may
 * make operators it has that type exactly, so that none fits better.
 */
extern const char *source_operand(const char *column, Oid type);

/*
 * What follows what is right of it: the collation by which ids are equal, where
 * others are than those with the same bytes; the source's may be another by now.
 */
extern const char *source_collation(const IdType *type);

/*
 * The attribute called column; an error that lists what there is, and names the
 * option to choose it with, for one that is not there.
 */
extern Form_pg_attribute source_column(TupleDesc columns, const char *column,
									   const char *option);

/* What ids of a column are; raises for a type that cannot be one of ids. */
extern void source_id_type(IdType *type, Form_pg_attribute column,
						   MemoryContext context);

/* The plan of its query, which is a single one. */
extern CachedPlanSource *source_plan(SPIPlanPtr plan);

/*
 * Runs what was prepared, read-only, into a receiver or SPI_tuptable.  With the
 * statement's snapshot; or with the reading's, if there is none with one that is
 * taken now and sees all that the transaction has done.
 */
extern void source_execute(SourceReading *reading, SPIPlanPtr plan,
						   const Datum *values, DestReceiver *receiver,
						   bool new_snapshot);

/* Makes a receiver of a function that takes each row; true to go on. */
extern void source_receiver_init(DestReceiver *receiver,
								 bool (*receive) (TupleTableSlot *slot,
												  DestReceiver *self));

/* One of rows whose first column is an id of a side */
typedef struct IdReceiver
{
	DestReceiver pub;
	AlsSide		side;
	const IdType *type;
	IdConversion conversion;	/* of the column, when rows come */
} IdReceiver;

/* Makes one likewise. */
extern void source_id_receiver_init(IdReceiver *receiver, AlsSide side,
									const IdType *type,
									bool (*receive) (TupleTableSlot *slot,
													 DestReceiver *self));

/* The end of it; frees what was prepared unless that is kept. */
extern void source_end(SourceReading *reading);

/* Does it use temporary tables or views, which other sessions do not have? */
extern bool source_is_temporary(const char *source);

#endif							/* ALS_SOURCE_H */
