# A training that ends before its time leaves nothing behind: no tables, no
# temporary files, no shared memory, no workers; an old model stays as it was,
# and the session that was cancelled can go on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_server('main', $parallel_workers, $countable_segments);
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(2000, 500, 8);
SELECT run FROM als_train('old', 'ratings', factors => 5);
});
my $old = q{SELECT factors_of('old') || md5(string_agg(m::text, ',' ORDER BY run)) FROM old m};
my $contents = $node->safe_psql('postgres', $old);
like($contents, qr/^[0-9a-f]{64}$/, 'an old model');
wait_until_alone($node);
my $segments_before = segments($node);

# What a broken-off training must not leave.
sub check_nothing_left
{
	my ($name) = @_;

	wait_until_alone($node);
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname LIKE 'new%'}),
		'0', "$name: no tables");
	is($node->safe_psql('postgres', $old), $contents, "$name: the old model is as it was");
	is(temporary_files($node), 0, "$name: no temporary files");
	is(segments($node), $segments_before, "$name: no shared memory");
}

# Starts a statement in a session of its own, waits until it is where it should
# be: a query says so, or what the statement has written.  Ends it by another
# statement, and returns what it wrote.
sub break_off
{
	my ($statement, $there, $end, $look) = @_;
	my $victim = background($node, 'victim', $statement);

	if (ref $there)
	{
		wait_for_message($victim, $there);
	}
	else
	{
		wait_until($node, $there);
	}
	$look->() if $look;
	is($node->safe_psql('postgres', $end), 't', 'one process was told to end');
	$victim->{run}->finish;
	return $victim->{err};
}

my $victim = q{FROM pg_stat_activity WHERE application_name = 'victim' AND backend_type = 'client backend'};
my $cancel = "SELECT pg_cancel_backend(pid) $victim";
my $terminate = "SELECT pg_terminate_backend(pid) $victim";
my $terminate_worker = q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'parallel worker' LIMIT 1};
my $cancelled = qr/ERROR:  57014: canceling statement due to user request/;
my $terminated = qr/FATAL:  57P01: terminating connection due to administrator command/;

# while the source is read, the query waits in its sleep
my $sleeps = q{SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'victim' AND wait_event = 'PgSleep'};
my $sleepy = 'SELECT * FROM ratings UNION ALL SELECT 1, 1, 1 FROM pg_sleep(1000)';
# an endless training says when it iterates
my $iterates = qr/NOTICE:  00000: iteration 2 of/;
my $endless = 'factors => 10, iterations => 100000, verbose => true';
my $two_workers = q{SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'parallel worker'};

# While it is there, it does have what it must not leave.
my $has_workers = sub {
	is($node->safe_psql('postgres', $two_workers), 't', 'two workers are at work');
	cmp_ok(segments($node), '>', $segments_before, 'in shared memory');
};
my $has_files = sub { cmp_ok(temporary_files($node), '>', 0, 'there are temporary files'); };
my $has_both = sub { $has_workers->(); $has_files->(); };

foreach my $model ('new', 'old')
{
	like(break_off("SELECT als_train('$model', \$\$$sleepy\$\$)", $sleeps, $cancel),
		$cancelled, "$model: cancelled while reading");
	check_nothing_left("$model, reading");

	# rows without end and without materialising them: the temporary files are
	# those that ratings spill to
	like(break_off("SET maintenance_work_mem = '1MB'; SELECT als_train('$model', 'SELECT i % 10 AS user_id, i % 7 AS item_id, 1 AS rating FROM (SELECT generate_series(1, 1000000000000) AS i) s')",
			q{SELECT count(*) > 0 FROM pg_ls_dir('base/pgsql_tmp', true, false)}, $cancel, $has_files),
		$cancelled, "$model: cancelled in a flood of rows");
	check_nothing_left("$model, flood");

	like(break_off("SET maintenance_work_mem = '1MB'; SELECT als_train('$model', \$\$$sleepy\$\$)", $sleeps, $cancel, $has_files),
		$cancelled, "$model: cancelled while reading and spilling");
	check_nothing_left("$model, spilling");

	like(break_off("SET maintenance_work_mem = '1MB'; SELECT als_train_agg('$model', user_id, item_id, rating, NULL) FROM ($sleepy) r", $sleeps, $cancel, $has_files),
		$cancelled, "$model: the aggregate cancelled while collecting and spilling");
	check_nothing_left("$model, aggregate");

	like(break_off("SELECT als_train('$model', \$\$$sleepy\$\$)", $sleeps, $terminate),
		$terminated, "$model: terminated while reading");
	check_nothing_left("$model, terminated while reading");

	like(break_off("SELECT als_train('$model', 'ratings', workers => 0, $endless)", $iterates, $cancel),
		$cancelled, "$model: cancelled while iterating alone");
	check_nothing_left("$model, iterating alone");

	like(break_off("SELECT als_train('$model', 'ratings', workers => 2, $endless)", $iterates, $cancel, $has_workers),
		$cancelled, "$model: cancelled while iterating with workers");
	check_nothing_left("$model, iterating");

	like(break_off("SET maintenance_work_mem = '1MB'; SELECT als_train('$model', 'ratings', workers => 2, $endless)", $iterates, $cancel, $has_both),
		$cancelled, "$model: cancelled while iterating from files with workers");
	check_nothing_left("$model, iterating from files");

	like(break_off("SELECT als_train_agg('$model', user_id, item_id, rating, '{\"factors\": 10, \"iterations\": 100000, \"workers\": 2, \"verbose\": true}') FROM ratings", $iterates, $cancel, $has_workers),
		$cancelled, "$model: the aggregate cancelled while iterating");
	check_nothing_left("$model, aggregate iterating");

	foreach my $workers (0, 2)
	{
		like(break_off("SET maintenance_work_mem = '1MB'; SELECT als_train('$model', 'ratings', workers => $workers, $endless)",
				$iterates, $terminate, $workers > 0 ? $has_both : $has_files),
			$terminated, "$model: leader terminated with $workers workers");
		check_nothing_left("$model, leader terminated with $workers workers");
	}

	like(break_off("SELECT als_train('$model', 'ratings', workers => 2, $endless)", $iterates, $terminate_worker, $has_workers),
		qr/(ERROR|FATAL):  .*(terminating (connection|background worker)|lost connection to parallel worker)/, "$model: worker terminated");
	check_nothing_left("$model, worker terminated");

	# wherever the timeout finds it, it comes through
	foreach my $workers (0, 2)
	{
		my $stderr;
		$node->psql('postgres', "SET statement_timeout = '500ms'; SELECT als_train('$model', 'ratings', workers => $workers, factors => 10, iterations => 100000)",
			stderr => \$stderr);
		like($stderr, qr/canceling statement due to statement timeout/, "$model: timeout with $workers workers");
		check_nothing_left("$model, timeout with $workers workers");
	}

	$node->psql('postgres', "\\set VERBOSITY verbose\nSET temp_file_limit = '1MB'; SET maintenance_work_mem = '1MB'; SELECT als_train('$model', \$\$SELECT a.user_id, b.item_id, 1 AS rating FROM ratings a, ratings b WHERE a.item_id = 1\$\$)",
		stderr => \my $stderr);
	like($stderr, qr/ERROR:  53400: temporary file size exceeds "?temp_file_limit/, "$model: temp_file_limit is respected");
	check_nothing_left("$model, temp_file_limit");
}

# a session goes on after its training was cancelled, and trains again; within
# a block that catches the error, only the training is undone
like(break_off(qq{
		DO \$\$
		BEGIN
			CREATE TABLE kept (i int);
			BEGIN
				PERFORM als_train('new', 'ratings', workers => 2, $endless);
			EXCEPTION WHEN query_canceled THEN
				RAISE NOTICE 'caught';
			END;
			PERFORM als_train('again', 'ratings', factors => 5, workers => 2);
		END \$\$}, $iterates, $cancel, $has_workers),
	qr/caught/, 'a block catches the error');
check_nothing_left('caught');
is($node->safe_psql('postgres', q{
	SELECT run, workers FROM again;
	SELECT count(*) FROM kept;
	SELECT count(*) FROM (TABLE again_users EXCEPT TABLE old_users) t;}),
	"1|2\n0\n0", 'and the session has trained after that');

is($node->safe_psql('postgres', q{SELECT run, workers FROM als_train('old', 'ratings', factors => 5, workers => 2)}),
	'2|2', 'the server is well and trains');

done_testing();
