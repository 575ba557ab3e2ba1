/*
 * progress.c
 *	  What other sessions see of a training: the view als_progress.
 *
 * A backend's entry in pg_stat_activity has room for the progress of a command,
 * 20 numbers, which PostgreSQL clears when the command fails or the
 * backend dies, whatever the reason.  A training puts its own there, under a
 * number that none of PostgreSQL's commands has, so that the views
 * pg_stat_progress_... pass it over.
 *
 * Building an index writes some of these numbers itself, without asking.  A
 * checksum tells: while it does not fit, all that is known is that the phase is
 * PROGRESS_INDEXING, when the training started, and its model if that is not
 * new.
 */
#include "compat.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "common/arguments.h"
#include "common/progress.h"
#include "core/als_core.h"
#include "funcapi.h"
#include "utils/acl.h"
#include "utils/backend_progress.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(als_training_progress);

/* "als" and a number */
#define COMMAND ((ProgressCommandType) 0x616c7301)

/* The numbers; two that are small share one.  Indexing leaves the last alone. */
enum
{
	SLOT_NAME,					/* as bytes */
	SLOT_PHASE = SLOT_NAME + NAMEDATALEN / sizeof(int64),
	SLOT_TRIAL,					/* and trials */
	SLOT_ITERATION,				/* and iterations */
	SLOT_LOSS,					/* as bits */
	SLOT_RATINGS,
	SLOT_WORK,
	SLOT_WORK_TOTAL,
	SLOT_PHASE_STARTED,
	SLOT_CHECKSUM,
	SLOT_STARTED,
	SLOTS
};

StaticAssertDecl(SLOTS <= PGSTAT_NUM_PROGRESS_PARAM, "too many numbers");

/* The columns of als_training_progress */
enum
{
	COLUMN_PID, COLUMN_DATABASE, COLUMN_USER, COLUMN_MODEL, COLUMN_PHASE,
	COLUMN_TRIAL, COLUMN_TRIALS, COLUMN_ITERATION, COLUMN_ITERATIONS,
	COLUMN_LOSS, COLUMN_RATINGS, COLUMN_ROWS, COLUMN_ROWS_TOTAL,
	COLUMN_DONE, COLUMN_ELAPSED, COLUMN_REMAINING, COLUMNS
};

static const char *const phase_names[] = {
	"reading", "sorting", "training", "validating", "writing", "waiting",
	"indexing"
};

/* Of this backend */
static Progress progress;

/* Is it still under way?  An error ends it with its subtransaction. */
static bool
is_running(void)
{
	return progress.subtransaction != InvalidSubTransactionId &&
		progress.transaction == GetCurrentTransactionStartTimestamp() &&
		SubTransactionIsActive(progress.subtransaction);
}

static int64
checksum(const int64 *slots)
{
	uint64		sum = 0;

	for (int i = 0; i < SLOT_CHECKSUM; i++)
		sum = als_scatter(sum ^ (uint64) slots[i]);
	return (int64) sum;
}

static int64
pair(int32 low, int32 high)
{
	return (int64) ((uint64) (uint32) high << 32 | (uint32) low);
}

/*
 * Shows all of it; begins anew if DDL, or an error that was caught, has ended it.
 * Nothing of a worker that iterates for its leader.
 */
static void
show(void)
{
	int			index[SLOTS];
	int64		slots[SLOTS] = {0};

	if (progress.subtransaction == InvalidSubTransactionId)
		return;
	for (int i = 0; i < SLOTS; i++)
		index[i] = i;
	memcpy(&slots[SLOT_NAME], &progress.name, NAMEDATALEN);
	slots[SLOT_PHASE] = progress.phase;
	slots[SLOT_TRIAL] = pair(progress.trial, progress.trials);
	slots[SLOT_ITERATION] = pair(progress.iteration, progress.iterations);
	memcpy(&slots[SLOT_LOSS], &progress.loss, sizeof(double));
	slots[SLOT_RATINGS] = (int64) progress.ratings;
	slots[SLOT_WORK] = (int64) progress.work;
	slots[SLOT_WORK_TOTAL] = (int64) progress.work_total;
	slots[SLOT_PHASE_STARTED] = progress.phase_started;
	slots[SLOT_CHECKSUM] = checksum(slots);
	slots[SLOT_STARTED] = progress.started;

	if (MyBEEntry != NULL && MyBEEntry->st_progress_command != COMMAND)
		pgstat_progress_start_command(COMMAND, progress.model);
	pgstat_progress_update_multi_param(SLOTS, index, slots);
}

Progress
progress_begin(const char *name, Oid model)
{
	Progress	before = progress;

	if (!is_running())
		before.subtransaction = InvalidSubTransactionId;
	memset(&progress, 0, sizeof(progress));
	progress.subtransaction = GetCurrentSubTransactionId();
	progress.transaction = GetCurrentTransactionStartTimestamp();
	progress.model = model;
	namestrcpy(&progress.name, name);
	progress.loss = NAN;
	progress.started = GetCurrentTimestamp();
	show();
	return before;
}

void
progress_end(const Progress *before)
{
	progress = *before;
	pgstat_progress_end_command();
	if (progress.subtransaction != InvalidSubTransactionId)
		show();
}

/* A phase of its own begins, with so much work to do. */
static void
begin_phase(ProgressPhase phase, uint64 work_total)
{
	progress.phase = phase;
	progress.work = 0;
	progress.work_total = work_total;
	progress.phase_started = GetCurrentTimestamp();
	show();
}

void
progress_phase(ProgressPhase phase)
{
	if (phase == PROGRESS_READING)
	{
		/* a refit begins anew, after iterations of others */
		progress.ratings = 0;
		progress.iteration = progress.iterations = 0;
		progress.loss = NAN;
	}
	if (phase == PROGRESS_VALIDATING)
	{
		/* part of the iterations */
		progress.phase = phase;
		show();
	}
	else
		begin_phase(phase, 0);
}

/* Is what is read for a training?  Others read ratings as well. */
static bool
is_reading(void)
{
	return progress.phase == PROGRESS_READING && is_running();
}

void
progress_expect(double ratings)
{
	if (!is_reading())
		return;
	progress.work_total += (uint64) Min(Max(ratings, 0), 1e18);
	show();
}

void
progress_read(uint64 ratings)
{
	if (!is_reading())
		return;
	progress.ratings += ratings;
	progress.work += ratings;
	show();
}

void
progress_sorting(uint64 ratings, int passes)
{
	progress.ratings = ratings;
	begin_phase(PROGRESS_SORTING, ratings * passes);
}

/* Adds to the work of a phase, if it is that, and shows it in steps. */
static void
add_work(ProgressPhase phase, uint64 more)
{
	uint64		steps = progress.work / PROGRESS_STEP;

	if (progress.phase != phase)
		return;
	progress.work += more;
	if (progress.work / PROGRESS_STEP > steps && is_running())
		show();
}

void
progress_sorted(uint64 ratings)
{
	add_work(PROGRESS_SORTING, ratings);
}

void
progress_writing(uint64 rows)
{
	begin_phase(PROGRESS_WRITING, rows);
}

void
progress_wrote(uint64 rows)
{
	add_work(PROGRESS_WRITING, rows);
}

void
progress_trial(int trial, int trials)
{
	progress.trial = trial;
	progress.trials = trials;
	show();
}

void
progress_iterations(int iterations, uint64 rows_total)
{
	progress.phase = PROGRESS_TRAINING;
	progress.iteration = 0;
	progress.iterations = iterations;
	progress.loss = NAN;
	progress.work = 0;
	progress.work_total = rows_total;
	if (progress.trial <= 1)
		progress.phase_started = GetCurrentTimestamp();
	show();
}

void
progress_rows(uint64 rows)
{
	progress.phase = PROGRESS_TRAINING;
	progress.work = rows;
	show();
}

void
progress_iteration(int iteration, double loss)
{
	progress.phase = PROGRESS_TRAINING;
	progress.iteration = iteration;
	progress.loss = loss;
	progress.work = 0;
	show();
}

/* What another backend shows; false if part of it has been overwritten. */
static bool
read_progress(const PgBackendStatus *backend, Progress *other)
{
	const int64 *slots = backend->st_progress_param;

	memset(other, 0, sizeof(*other));
	other->model = backend->st_progress_command_target;
	other->started = slots[SLOT_STARTED];
	if (slots[SLOT_CHECKSUM] != checksum(slots))
		return false;
	memcpy(&other->name, &slots[SLOT_NAME], NAMEDATALEN);
	other->phase = slots[SLOT_PHASE];
	other->trial = (int32) slots[SLOT_TRIAL];
	other->trials = (int32) (slots[SLOT_TRIAL] >> 32);
	other->iteration = (int32) slots[SLOT_ITERATION];
	other->iterations = (int32) (slots[SLOT_ITERATION] >> 32);
	memcpy(&other->loss, &slots[SLOT_LOSS], sizeof(double));
	other->ratings = (uint64) slots[SLOT_RATINGS];
	other->work = (uint64) slots[SLOT_WORK];
	other->work_total = (uint64) slots[SLOT_WORK_TOTAL];
	other->phase_started = slots[SLOT_PHASE_STARTED];
	return true;
}

/* Does it solve rows, or measure what they are worth? */
static bool
is_iterating(const Progress *other)
{
	return other->phase == PROGRESS_TRAINING ||
		other->phase == PROGRESS_VALIDATING;
}

/*
 * The share of the phase that is done, that of all iterations of all trials if
 * it trains; below 0 where it is not known, as when more ratings have been read
 * than were expected.
 */
static double
share_done(const Progress *other)
{
	double		share;

	if (other->work_total == 0 || other->work > other->work_total)
		return -1;
	share = (double) other->work / (double) other->work_total;
	if (!is_iterating(other))
		return share;
	share = (other->iteration + share) / other->iterations;
	return other->trials > 0 ?
		(other->trial - 1 + share) / other->trials : share;
}

/* A length of time as an interval. */
static Datum
interval(double microseconds)
{
	Interval   *result = palloc0(sizeof(Interval));

	result->time = (TimeOffset) microseconds;
	return IntervalPGetDatum(result);
}

/* Sets a column that is not null. */
static void
set_column(Datum *values, bool *nulls, int column, Datum value)
{
	values[column] = value;
	nulls[column] = false;
}

/* Fills in the columns of what another backend of this database shows. */
static void
describe_phase(const Progress *other, Datum *values, bool *nulls)
{
	double		elapsed = (double) (GetCurrentTimestamp() - other->phase_started);
	double		done = share_done(other);

	set_column(values, nulls, COLUMN_MODEL,
			   CStringGetTextDatum(NameStr(other->name)));
	set_column(values, nulls, COLUMN_PHASE,
			   CStringGetTextDatum(phase_names[other->phase]));
	set_column(values, nulls, COLUMN_RATINGS, Int64GetDatum(other->ratings));
	if (done >= 0)
		set_column(values, nulls, COLUMN_DONE, Float8GetDatum(done));
	if (done > 0)
		set_column(values, nulls, COLUMN_REMAINING,
				   interval(elapsed * (1 / done - 1)));
	if (other->trials > 0)
	{
		set_column(values, nulls, COLUMN_TRIAL, Int32GetDatum(other->trial));
		set_column(values, nulls, COLUMN_TRIALS, Int32GetDatum(other->trials));
	}
	if (other->iterations == 0)
		return;
	set_column(values, nulls, COLUMN_ITERATION, Int32GetDatum(other->iteration));
	set_column(values, nulls, COLUMN_ITERATIONS,
			   Int32GetDatum(other->iterations));
	if (!isnan(other->loss))
		set_column(values, nulls, COLUMN_LOSS, Float8GetDatum(other->loss));
	if (!is_iterating(other))
		return;
	set_column(values, nulls, COLUMN_ROWS, Int64GetDatum(other->work));
	set_column(values, nulls, COLUMN_ROWS_TOTAL,
			   Int64GetDatum(other->work_total));
}

/* The row of a backend; others than its user see no more than that it is one. */
static void
put_backend(const PgBackendStatus *backend, Tuplestorestate *store,
			TupleDesc row_type)
{
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS];
	Progress	other;

	memset(nulls, true, sizeof(nulls));
	set_column(values, nulls, COLUMN_PID, Int32GetDatum(backend->st_procpid));
	set_column(values, nulls, COLUMN_DATABASE,
			   ObjectIdGetDatum(backend->st_databaseid));
	set_column(values, nulls, COLUMN_USER, ObjectIdGetDatum(backend->st_userid));
	/* names of other databases may be in another encoding */
	if (backend->st_databaseid == MyDatabaseId &&
		(has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) ||
		 has_privs_of_role(GetUserId(), backend->st_userid)))
	{
		bool		whole = read_progress(backend, &other);
		const char *name;

		set_column(values, nulls, COLUMN_ELAPSED,
				   interval((double) (GetCurrentTimestamp() - other.started)));
		if (whole)
			describe_phase(&other, values, nulls);
		else
		{
			set_column(values, nulls, COLUMN_PHASE,
					   CStringGetTextDatum(phase_names[PROGRESS_INDEXING]));
			name = get_rel_name(other.model);
			if (name != NULL)
				set_column(values, nulls, COLUMN_MODEL,
						   CStringGetTextDatum(name));
		}
	}
	tuplestore_putvalues(store, row_type, values, nulls);
}

/* als_training_progress(): what the view als_progress shows */
Datum
als_training_progress(PG_FUNCTION_ARGS)
{
	TupleDesc	row_type;
	Tuplestorestate *store = begin_rows(fcinfo, &row_type);
	int			backends = pgstat_fetch_stat_numbackends();

	for (int i = 1; i <= backends; i++)
	{
		const PgBackendStatus *backend = backend_status(i);

		if (backend != NULL && backend->st_progress_command == COMMAND)
			put_backend(backend, store, row_type);
	}
	PG_RETURN_NULL();
}
