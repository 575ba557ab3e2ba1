# Too little shared memory is an error that says what to do, and no more: the
# same training goes through without workers, and the server lives on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs prlimit of util-linux' if system('prlimit --version >/dev/null 2>&1') != 0;

# No file, and with it no segment, of more than 40 MB: WAL segments have 16,
# and no table below comes near it.
my $limit = 40 * 1024 * 1024;

foreach my $type ('mmap', 'posix')
{
	my $node = start_server($type, $parallel_workers, $countable_segments, "dynamic_shared_memory_type = $type\n");
	$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT i / 12 AS user_id, i % 997 AS item_id, 1 AS rating FROM generate_series(1, 60000) i;
SELECT run FROM als_train('old', 'ratings', factors => 5, workers => 0);
});

	my $pid = postmaster_pid($node);
	if (!limit_file_size($node, $limit))
	{
		plan skip_all => 'may not limit the server' if $type eq 'mmap';
		last;
	}
	# those of posix have no owner to tell by
	my $segments_before = segments($node);
	my $state = q{SELECT string_agg(relname, ' ' ORDER BY relname) || ' ' || factors_of('old') FROM pg_class WHERE relname ~ '^(old|new)' AND relkind = 'r'};
	my $state_before = $node->safe_psql('postgres', $state);
	like($state_before, qr/^old old_items old_users [0-9a-f]{32}$/, "$type: before");

	foreach my $model ('new', 'old')
	{
		my ($stdout, $stderr);
		# the session goes on after its error
		$node->psql('postgres', qq{
			\\set VERBOSITY verbose
			SELECT als_train('$model', 'ratings', factors => 1000, iterations => 1, workers => 2);
			SELECT 'still here', workers FROM als_train('small', 'ratings', factors => 10, iterations => 1, workers => 2);
			DROP TABLE small;},
			on_error_stop => 0, stdout => \$stdout, stderr => \$stderr);
		like($stderr, qr/ERROR:  53200: could not (resize|write to|allocate) .*shared memory/, "$type, $model: it fails");
		like($stderr, qr{HINT:  .*/dev/shm.*dynamic_shared_memory_type.*workers => 0}, "$type, $model: and says what to do");
		like($stderr, qr/CONTEXT:  allocating \d+ kB of shared memory for the factors/, "$type, $model: and how much it wanted");
		my ($wanted) = $stderr =~ /allocating (\d+) kB/;
		cmp_ok($wanted * 1024, '>', $limit, "$type, $model: which is more than there is");
		is($stdout, 'still here|2', "$type, $model: what fits works, in the same session");
		is($node->safe_psql('postgres', $state), $state_before, "$type, $model: nothing is left, nothing is lost");
		is(segments($node), $segments_before, "$type, $model: no segment either");
	}

	is($node->safe_psql('postgres', q{SELECT workers, users, items FROM als_train('new', 'ratings', factors => 1000, iterations => 1, workers => 0)}),
		'0|5001|997', "$type: the same without workers");
	is($node->safe_psql('postgres', q{SELECT count(als_predict('new', user_id, item_id)) FROM ratings}),
		'60000', "$type: and it serves");
	is(postmaster_pid($node), $pid, "$type: the server is the same");
	unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|reinitializing/, "$type: and has never crashed");
	$node->stop;
}

# A full /dev/shm, of a server that has one of its own
SKIP:
{
	my @own = ('unshare', '--user', '--map-current-user', '--keep-caps', '--mount');
	my $mount = 'mount -t tmpfs -o size=12m als_test /dev/shm';
	skip 'may not have a /dev/shm of its own', 1
	  if system("@own sh -c '$mount' >/dev/null 2>&1") != 0;

	my $node = PostgreSQL::Test::Cluster->new('full');
	$node->init;
	$node->append_conf('postgresql.conf', q{
max_parallel_maintenance_workers = 2
dynamic_shared_memory_type = posix
shared_preload_libraries = 'als'
});
	my ($data, $log) = ($node->data_dir, $node->logfile);
	is(system(@own, 'sh', '-c', "$mount && exec pg_ctl -s -w -D '$data' -l '$log' start"), 0, 'full: the server starts');
	$node->_update_pid(1);
	install_als($node);
	$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT i % 50 AS user_id, i % 9000 AS item_id, 1 AS rating FROM generate_series(1, 20000) i;
});
	my ($stdout, $stderr);
	$node->psql('postgres', q{
		\set VERBOSITY verbose
		SELECT als_train('model', 'ratings', factors => 400, iterations => 1, workers => 2);
		SELECT 'trained', workers FROM als_train('model', 'ratings', factors => 400, iterations => 1, workers => 0);
		SELECT 'served', count(*) FROM als_recommend('model', 7, 20, exclude_seen => false), generate_series(1, 2);
		SELECT 'again', count(*) FROM als_recommend('model', 7, 20, exclude_seen => false);},
		on_error_stop => 0, stdout => \$stdout, stderr => \$stderr);
	like($stderr, qr/ERROR:  53100: could not resize .*shared memory.*: No space left on device/, 'full: a training fails');
	like($stderr, qr{HINT:  .*/dev/shm.*dynamic_shared_memory_type.*workers => 0}, 'full: and says what to do');
	is(() = $stderr =~ /ERROR:/g, 1, 'full: it alone does');
	is($stdout, "trained|0\nserved|40\nagain|20", 'full: another does not, and serving keeps copies of its own');

	# trials of als_tune side by side: few wait at a time, so that many fit where one does
	is($node->safe_psql('postgres', q{
		SELECT count(*), count(error) FROM als_tune('tuned', 'SELECT i % 500 AS user_id, i * 7919 % 300 AS item_id, 1 AS rating FROM generate_series(1, 20000) i',
			jsonb_build_object('factors', 16, 'iterations', 1, 'alpha', (SELECT jsonb_agg(a) FROM generate_series(1, 100) a)), workers => 2)}),
		'100|0', 'full: a hundred trials side by side');
	$node->stop;
}

done_testing();
