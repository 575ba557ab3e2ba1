# als_recommend_all gives thousands of users what sorting all scores gives, bit
# for bit, whatever the number of workers, the memory and the kernels; and a
# call that is cancelled leaves nothing behind.

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
    FROM generate_series(1, 2000) u, generate_series(1, 500) i
    WHERE (u::bigint * 7919 + i * 104729 + u::bigint * i * 13) % (4 + i / 10) = 0;
CREATE INDEX ON ratings (user_id);
SELECT run FROM als_train('implicit', 'ratings', factors => 20);
SELECT run FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 30, regularization => 0.1);
-- lengths that differ by far, and ties
UPDATE implicit_items SET factors = (SELECT array_agg((f / item_id)::real ORDER BY o) FROM unnest(factors) WITH ORDINALITY t(f, o)) WHERE item_id % 3 = 0;
UPDATE implicit_items SET factors = (SELECT factors FROM implicit_items WHERE item_id = 40) WHERE item_id % 50 = 2;
-- floats are written with as many digits as tell them apart
CREATE VIEW sorted AS
    SELECT model, user_id, item_id, score, row_number() OVER (PARTITION BY model, user_id ORDER BY score DESC, item_id) AS rank
    FROM (SELECT m.model, u.user_id, i.item_id, als_predict(m.model::regclass, u.user_id, i.item_id) AS score
          FROM (VALUES ('implicit'), ('explicit')) m(model), implicit_users u, implicit_items i
          WHERE NOT EXISTS (SELECT FROM ratings r WHERE r.user_id = u.user_id AND r.item_id = i.item_id)) t;
});

# A digest of the result of a query, and how many workers and temporary files it took
sub digest
{
	my ($query, $settings) = @_;
	my $offset = -s $node->logfile;
	my $digest = $node->safe_psql('postgres', qq{
		$settings
		SELECT count(*), md5(string_agg((user_id, item_id, score, rank)::text, ',' ORDER BY user_id, rank))
		FROM $query r});
	my $log = slurp_file($node->logfile, $offset);
	my $workers = () = $log =~ /starting background worker process "parallel worker/g;
	my $files = () = $log =~ /temporary file: path "base\/pgsql_tmp\/pgsql_tmp[^"]*fileset/g;
	return ($digest, $workers, $files);
}

foreach my $model ('implicit', 'explicit')
{
	my ($expected) = digest("(SELECT * FROM sorted WHERE model = '$model' AND rank <= 10)", "SET als.kernels = generic;");
	foreach my $kernels ('reference', 'generic', 'avx2', 'avx512')
	{
		my ($status, $out, $err) = $node->psql('postgres', "SET als.kernels = $kernels");
	  SKIP:
		{
			skip "this machine cannot run $kernels", 2 if $status != 0;
			my $set = "SET als.kernels = $kernels;";
			my $sorted = $kernels eq 'generic' ? $expected :
				(digest("(SELECT * FROM sorted WHERE model = '$model' AND rank <= 10)", $set))[0];
			is((digest("als_recommend_all('$model', workers => 0)", $set))[0], $sorted,
				"$model, $kernels: als_recommend_all is a full sort");
			is((digest("(SELECT user_id, r.*, row_number() OVER (PARTITION BY user_id) AS rank FROM ${model}_users, als_recommend('$model', user_id, 10) r)", $set))[0],
				$sorted, "$model, $kernels: als_recommend is a full sort");
		}
	}

	my $expected_auto = (digest("als_recommend_all('$model', workers => 0)", ''))[0];
	foreach my $count (1, 3)
	{
		my ($result, $workers) = digest("als_recommend_all('$model', workers => $count)", '');
		is($result, $expected_auto, "$model, $count workers: the same");
		is($workers, $count, "$model, $count workers: there were as many");
		my $files;
		($result, $workers, $files) = digest("als_recommend_all('$model', workers => $count)", "SET maintenance_work_mem = '1MB';");
		is($result, $expected_auto, "$model, $count workers, little memory: the same");
		cmp_ok($files, '>', 0, "$model, $count workers, little memory: there were files");
	}
	is((digest("als_recommend_all('$model', workers => 2)", 'SET max_parallel_workers = 0;'))[0], $expected_auto,
		"$model, no worker to be had: the same");
	my $some = "ARRAY(SELECT user_id FROM ${model}_users WHERE user_id % 100 < 7)";
	is((digest("als_recommend_all('$model', users => $some, workers => 2)", ''))[0],
		(digest("(SELECT * FROM als_recommend_all('$model') WHERE user_id % 100 < 7)", ''))[0],
		"$model: some users");
}
is((digest("als_recommend_all('implicit', 400, workers => 2)", "SET maintenance_work_mem = '1MB';"))[0],
	(digest("(SELECT * FROM sorted WHERE model = 'implicit' AND rank <= 400)", ''))[0], 'many rounds');

# One that is cancelled with workers, files and a result under way leaves nothing.
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
			SET work_mem = '64kB';
			LOOP
				PERFORM count(*) FROM als_recommend_all('implicit', 100, workers => 2);
			END LOOP;
		END $$} ],
	'>', \$out, '2>', \$err, IPC::Run::timeout(600));
$node->poll_query_until('postgres',
	q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker' AND application_name = 'victim'})
	or die 'timed out';
$node->safe_psql('postgres',
	q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim' AND backend_type = 'client backend'});
$psql->finish;
like($err, qr/canceling statement due to user request/, 'cancelled');
$node->poll_query_until('postgres',
	q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'parallel worker' OR application_name = 'victim'})
	or die 'timed out';
my @files = glob($node->data_dir . '/base/pgsql_tmp/*');
is(scalar @files, 0, 'no temporary files are left');
my @segments_after = glob($node->data_dir . '/pg_dynshmem/mmap.*');
is(scalar @segments_after, scalar @segments, 'no shared memory is left');

$node->stop;
done_testing();
