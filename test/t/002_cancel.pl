# A training that ends before its time leaves nothing behind: no tables, no
# temporary files, no shared memory, no workers; an old model stays as it was,
# and the session that was cancelled can go on.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
max_worker_processes = 16
max_parallel_workers = 8
max_parallel_maintenance_workers = 4
# segments are files that can be counted, and statistics take none of them
track_counts = off
dynamic_shared_memory_type = mmap
});
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION als;
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, 1 AS rating
    FROM generate_series(1, 2000) u, generate_series(1, 500) i
    WHERE (u::bigint * 7919 + i * 104729 + u::bigint * i * 13) % 97 < 8;
SELECT run FROM als_train('old', 'ratings', factors => 5);
CREATE FUNCTION contents() RETURNS text LANGUAGE sql AS $$
    SELECT md5((SELECT string_agg(m::text, ',' ORDER BY run) FROM old m)
            || (SELECT string_agg(u::text, ',' ORDER BY user_id) FROM old_users u)
            || (SELECT string_agg(i::text, ',' ORDER BY item_id) FROM old_items i)) $$;
});
my $contents = $node->safe_psql('postgres', 'SELECT contents()');
like($contents, qr/^[0-9a-f]{32}$/, 'an old model');

# Segments of dynamic shared memory that the server holds.
sub segments
{
	my @files = glob($node->data_dir . '/pg_dynshmem/mmap.*');
	return scalar @files;
}
my $segments_before = segments();

# Temporary files, and directories of those that processes share.
sub temporary_files
{
	my @files = glob($node->data_dir . '/base/pgsql_tmp/*');
	return scalar @files;
}

# What a broken-off training must not leave.
sub check_nothing_left
{
	my ($name) = @_;

	$node->poll_query_until('postgres',
		q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker'
		  OR application_name = 'victim'}) or die 'timed out';
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname LIKE 'new%'}),
		'0', "$name: no tables");
	is($node->safe_psql('postgres', 'SELECT contents()'), $contents, "$name: the old model is as it was");
	is(temporary_files(), 0, "$name: no temporary files");
	is(segments(), $segments_before, "$name: no shared memory");
}

# Starts a statement in a session of its own, waits until it is where it should
# be: a query says so, or what the statement has written.  Ends it by another
# statement, and returns what it wrote.
sub break_off
{
	my ($statement, $there, $end, $look) = @_;
	my ($out, $err) = ('', '');
	my $psql = IPC::Run::start(
		[ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose',
		  '-d', $node->connstr('postgres') . " application_name=victim", '-c', $statement ],
		'>', \$out, '2>', \$err, IPC::Run::timeout(600));

	if (ref $there)
	{
		$psql->pump until $err =~ $there || !$psql->pumpable;
		die "not there: $err" unless $err =~ $there;
	}
	else
	{
		$node->poll_query_until('postgres', $there) or die "timed out waiting: $err";
	}
	$look->() if $look;
	is($node->safe_psql('postgres', $end), 't', 'one process was told to end');
	$psql->finish;
	return $err;
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
	cmp_ok(segments(), '>', $segments_before, 'in shared memory');
};
my $has_files = sub { cmp_ok(temporary_files(), '>', 0, 'there are temporary files'); };
my $has_both = sub { $has_workers->(); $has_files->(); };

foreach my $model ('new', 'old')
{
	like(break_off("SELECT als_train('$model', \$\$$sleepy\$\$)", $sleeps, $cancel),
		$cancelled, "$model: cancelled while reading");
	check_nothing_left("$model, reading");

	# rows without end and without materialising them: the temporary files are
	# those that ratings spill to
	like(break_off("SET maintenance_work_mem = '1MB'; SELECT als_train('$model', 'SELECT i % 10 AS user_id, i % 7 AS item_id, 1 AS rating FROM (SELECT generate_series(1, 1000000000000) AS i) s')",
			'SELECT count(*) > 0 FROM pg_ls_tmpdir()', $cancel, $has_files),
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
