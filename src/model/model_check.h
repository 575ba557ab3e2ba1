/*
 * model_check.h
 *	  What a training finds: tables that it may take over, and whether it may
 *	  replace what they contain with the ids that it has read.
 */
#ifndef ALS_MODEL_CHECK_H
#define ALS_MODEL_CHECK_H

#include "access/genam.h"
#include "model/factor_table.h"
#include "model/model.h"

/* Has a table the columns of one that is looked for? */
typedef bool (*TableTest) (Oid table);

/*
 * A table of the model's owner that passes the test and does not hang on another
 * relation: the one that is known, or else one that has a name, as where a dump has
 * restored it, or hangs on the model; InvalidOid if there is none.
 */
extern Oid	find_model_table(Relation model, TableTest test, Oid known,
							 const char *name);

/*
 * The factor table of a model without runs: one that a run knew which is no
 * longer there, or one that a dump without data has restored; InvalidOid if
 * there is none.
 */
extern Oid	find_factor_table(Relation model, AlsSide side, const char *name);

/* All tables that hang on the model as its factor tables do */
extern List *dependent_factor_tables(Relation model);

/*
 * Begins to look, in pg_depend, at all that refers to a table, or at all that it
 * refers to.
 */
extern SysScanDesc begin_dependencies(Relation depend, Oid table, bool referring);

/*
 * Raises for a factor table that could not be dropped: because of what depends
 * on it, or because it is not the model's.
 */
extern void check_droppable(Relation model, Oid table);

/* The feedback that a factor table has the columns for */
extern AlsFeedback factor_table_feedback(Oid table);

/*
 * Locks the factor table of a run so that until the swap nobody changes what
 * is checked of it, and raises if its contents may not be replaced.
 */
extern void claim_factor_table(Relation model, const ModelRun *run,
							   AlsSide side);

/* Raises unless the ids can be stored in the claimed factor table. */
extern void check_ids_fit(Relation model, const ModelRun *run, AlsSide side,
						  const IdType *type, const RatedIds *ids);

/* Raises for an id that is too long for an index, if it will be in one. */
extern void check_id_lengths(AlsSide side, const IdType *type,
							 const RatedIds *ids);

#endif							/* ALS_MODEL_CHECK_H */
