# A training that ends before its time leaves nothing behind: no tables, no
# temporary files, no shared memory, no workers; an old model stays as it was.

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
# segments are files that can be counted
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
CREATE TABLE before AS SELECT * FROM old_users;
});

# Segments of dynamic shared memory that the server holds.
sub segments
{
	my @files = glob($node->data_dir . '/pg_dynshmem/mmap.*');
	return scalar @files;
}
my $segments_before = segments();

# What a broken-off training must not leave.
sub check_nothing_left
{
	my ($name) = @_;

	$node->poll_query_until('postgres',
		q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker'
		  OR application_name = 'victim'}) or die 'timed out';
	is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname LIKE 'new%'}),
		'0', "$name: no tables");
	is($node->safe_psql('postgres', q{SELECT (SELECT count(*) FROM old) || ' ' ||
		(SELECT count(*) FROM old_users JOIN before USING (user_id, factors)) || ' ' || (SELECT count(*) FROM before)}),
		'1 1980 1980', "$name: the old model is as it was");
	my @files = grep { -f || glob("$_/*") } glob($node->data_dir . '/base/pgsql_tmp/*');
	is(scalar @files, 0, "$name: no temporary files");
	is(segments(), $segments_before, "$name: no shared memory");
}

# Starts a statement in a session of its own, waits until a query says that it
# is where it should be, ends it by another, and returns what it wrote.
sub break_off
{
	my ($statement, $there, $end) = @_;
	my ($out, $err) = ('', '');
	my $psql = IPC::Run::start(
		[ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') . " application_name=victim", '-c', $statement ],
		'>', \$out, '2>', \$err);

	$node->poll_query_until('postgres', $there) or die "timed out waiting: $err";
	$node->safe_psql('postgres', $end);
	$psql->finish;
	return $err;
}

my $cancel = q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim' AND backend_type = 'client backend'};
my $terminate = q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim' AND backend_type = 'client backend'};
my $terminate_worker = q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'parallel worker' LIMIT 1};
my $has_workers = q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker'};
# while the source is read, the query waits in its sleep
my $sleeps = q{SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'victim' AND wait_event = 'PgSleep'};
# the leader of an endless training holds the lock on the model's table, and
# nothing is read any more once workers are there
my $endless = 'factors => 10, iterations => 100000';
my $reads_and_sleeps = q{$$SELECT * FROM ratings UNION ALL SELECT 1, 1, 1 FROM pg_sleep(1000)$$};

foreach my $model ('new', 'old')
{
	like(break_off("SELECT als_train('$model', $reads_and_sleeps)", $sleeps, $cancel),
		qr/canceling statement due to user request/, "$model: cancelled while reading");
	check_nothing_left("$model, reading");

	like(break_off("SET maintenance_work_mem = '1MB'; SELECT als_train('$model', $reads_and_sleeps)", $sleeps, $cancel),
		qr/canceling statement due to user request/, "$model: cancelled while reading and spilling");
	check_nothing_left("$model, spilling");

	like(break_off("SET maintenance_work_mem = '1MB'; SELECT als_train('$model', 'ratings', workers => 2, $endless)", $has_workers, $cancel),
		qr/canceling statement due to user request/, "$model: cancelled while iterating");
	check_nothing_left("$model, iterating");

	like(break_off("SELECT als_train('$model', 'ratings', workers => 2, $endless)", $has_workers, $terminate),
		qr/terminating connection due to administrator command/, "$model: leader terminated");
	check_nothing_left("$model, leader terminated");

	like(break_off("SELECT als_train('$model', 'ratings', workers => 2, $endless)", $has_workers, $terminate_worker),
		qr/terminating (connection|background worker)|lost connection to parallel worker/, "$model: worker terminated");
	check_nothing_left("$model, worker terminated");

	# alone, where there is no worker to see: the timeout has to come through
	foreach my $workers (0, 2)
	{
		my ($stdout, $stderr);
		$node->psql('postgres', "SET statement_timeout = '500ms'; SELECT als_train('$model', 'ratings', workers => $workers, $endless)",
			stderr => \$stderr);
		like($stderr, qr/canceling statement due to statement timeout/, "$model: timeout with $workers workers");
		check_nothing_left("$model, timeout with $workers workers");
	}

	$node->psql('postgres', "SET temp_file_limit = '1MB'; SET maintenance_work_mem = '1MB'; SELECT als_train('$model', \$\$SELECT a.user_id, b.item_id, 1 AS rating FROM ratings a, ratings b WHERE a.item_id = 1\$\$)",
		stderr => \my $stderr);
	like($stderr, qr/temporary file size exceeds "?temp_file_limit/, "$model: temp_file_limit is respected");
	check_nothing_left("$model, temp_file_limit");
}

is($node->safe_psql('postgres', q{SELECT run FROM als_train('old', 'ratings', factors => 5, workers => 2)}),
	'2', 'the server is well and trains');

done_testing();
