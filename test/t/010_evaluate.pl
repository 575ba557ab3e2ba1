# An evaluation gives the same measures, bit for bit, whatever the number of
# workers, the order of the rows, the memory and the plan that reads them; and
# one that is cancelled leaves nothing behind.

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
maintenance_work_mem = 64MB
log_temp_files = 0
# says when a worker starts
log_min_messages = debug1
# segments are files that can be counted, and statistics take none of them
track_counts = off
dynamic_shared_memory_type = mmap
});
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION als;
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, (1 + (u * 31 + i * 17) % 5)::real AS rating
    FROM generate_series(1, 4000) u, generate_series(1, 600) i
    WHERE (u::bigint * 7919 + i * 104729 + u::bigint * i * 13) % (4 + i / 10) = 0;
CREATE TABLE training AS SELECT * FROM ratings WHERE NOT als_holdout(user_id, item_id, 0.4);
CREATE TABLE test AS SELECT * FROM ratings WHERE als_holdout(user_id, item_id, 0.4);
-- some pairs twice
INSERT INTO test SELECT user_id, item_id, rating / 3 FROM test WHERE item_id % 50 = 0;
CREATE TABLE shuffled AS SELECT * FROM test ORDER BY md5(user_id::text || item_id || 'x');
CREATE TABLE training_shuffled AS SELECT * FROM training ORDER BY md5(user_id::text || item_id || 'x');
SELECT run FROM als_train('implicit', 'training', factors => 20);
SELECT run FROM als_train('explicit', 'training', feedback => 'explicit', factors => 15, regularization => 0.1);
});

# Evaluates; returns what came out, and how many workers and temporary files
# the server's log tells of.
sub evaluate
{
	my ($model, $arguments, $settings) = @_;
	my $offset = -s $node->logfile;
	# floats are written with as many digits as tell them apart
	my $result = $node->safe_psql('postgres', qq{
		$settings
		SELECT md5(string_agg(u::text, ',' ORDER BY user_id)), (SELECT e FROM als_evaluate('$model', $arguments) e)
		FROM als_evaluate_users('$model', $arguments) u});
	my $log = slurp_file($node->logfile, $offset);
	my $workers = () = $log =~ /starting background worker process "parallel worker/g;
	my $files = () = $log =~ /temporary file: path/g;
	return ($result, $workers, $files);
}

my $little_memory = q{SET maintenance_work_mem = '1MB';};
foreach my $model ('implicit', 'explicit')
{
	my ($expected, $workers, $files) = evaluate($model, "'test', workers => 0", '');
	like($expected, qr/^[0-9a-f]{32}\|\(\d+,\d{5},/, "$model: evaluated");
	is("$workers workers, $files files", '0 workers, 0 files', "$model: alone and in memory");

	foreach my $count (1, 3)
	{
		my $result;
		($result, $workers, $files) = evaluate($model, "'shuffled', workers => $count", '');
		is($result, $expected, "$model, $count workers: the same");
		is($workers, 2 * $count, "$model, $count workers: they took part, twice");
	}
	foreach my $count (0, 2)
	{
		my $result;
		($result, $workers, $files) = evaluate($model, "'test', training => 'training_shuffled', workers => $count", $little_memory);
		is($result, $expected, "$model, $count workers, files: the same");
		cmp_ok($files, '>', 0, "$model, $count workers, files: there were some");
	}
	is((evaluate($model, "'test', workers => 2", 'SET max_parallel_workers = 0;'))[0], $expected,
		"$model, no worker to be had: the same");
	is((evaluate($model, "'test', workers => 0", 'SET als.cache_size = 64;'))[0], $expected,
		"$model, no cache: the same");
	is((evaluate($model, "'test', workers => 0", q{
		SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;}))[0], $expected,
		"$model, parallel plan: the same");
}

# Scores are als_predict's own with all kernels that the machine has.
foreach my $kernels ('reference', 'generic', 'avx2', 'avx512')
{
	my $set = "LOAD 'als'; SET als.kernels = '$kernels';";

	next if $node->psql('postgres', $set) != 0;
	is($node->safe_psql('postgres', qq{
		$set
		SELECT count(*), bool_and(abs(e.mae - p.mae) < 1e-12)
		FROM als_evaluate_users('explicit', 'SELECT * FROM test WHERE user_id <= 50') e
		JOIN (SELECT user_id, avg(abs(rating - als_predict('explicit', user_id, item_id)::float8)) AS mae
		      FROM (SELECT user_id, item_id, avg(rating)::real::float8 AS rating FROM test GROUP BY 1, 2) t GROUP BY 1) p
			USING (user_id)}), '50|t', "kernels $kernels: errors are those of als_predict");
}

# Cancelled with workers and files: nothing is left.
# First, sessions before have to let go of their segments.
$node->poll_query_until('postgres',
	q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'client backend'})
	or die 'timed out';
my @segments = glob($node->data_dir . '/pg_dynshmem/mmap.*');
my ($out, $err) = ('', '');
my $psql = IPC::Run::start(
	[ 'psql', '-X', '-d', $node->connstr('postgres') . ' application_name=victim', '-c', q{
		DO $$ BEGIN
			SET maintenance_work_mem = '1MB';
			LOOP
				PERFORM als_evaluate('implicit', 'test', workers => 2);
			END LOOP;
		END $$} ],
	'>', \$out, '2>', \$err, IPC::Run::timeout(600));
$node->poll_query_until('postgres',
	q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker' AND application_name = 'victim'})
	or die 'timed out';
$node->safe_psql('postgres',
	q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim' AND backend_type = 'client backend'});
$psql->finish;
like($err, qr/canceling statement due to user request/, 'an evaluation is cancelled');
$node->poll_query_until('postgres',
	q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker' OR application_name = 'victim'})
	or die 'timed out';
my @files = glob($node->data_dir . '/base/pgsql_tmp/*');
is(scalar @files, 0, 'no temporary files are left');
my @segments_after = glob($node->data_dir . '/pg_dynshmem/mmap.*');
is(scalar @segments_after, scalar @segments, 'no shared memory is left');

done_testing();
