# Too little shared memory is an error that says what to do, and no more.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs prlimit of util-linux' if system('prlimit --version >/dev/null 2>&1') != 0;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
max_worker_processes = 16
max_parallel_workers = 8
max_parallel_maintenance_workers = 4
dynamic_shared_memory_type = mmap
});
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION als;
CREATE TABLE ratings AS SELECT i / 2 AS user_id, i % 997 AS item_id, 1 AS rating FROM generate_series(1, 60000) i;
});

# files, and with them segments, of at most 64 MB: WAL segments have 16
my ($pid) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
plan skip_all => 'may not limit the server' if system("prlimit --pid $pid --fsize=67108864:67108864") != 0;

my ($stdout, $stderr);
$node->psql('postgres', q{SELECT als_train('model', 'ratings', factors => 1000, iterations => 1, workers => 2)}, stderr => \$stderr);
like($stderr, qr/ERROR:  could not (resize|write to) .*shared memory/, 'it fails');
like($stderr, qr{HINT:  .*/dev/shm.*dynamic_shared_memory_type}, 'and says what to do');
like($stderr, qr/CONTEXT:  allocating \d+ kB of shared memory for the factors/, 'and how much it wanted');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname LIKE 'model%'}), '0', 'nothing is left');
is($node->safe_psql('postgres', q{SELECT workers, users FROM als_train('model', 'ratings', factors => 100, iterations => 1, workers => 2)}),
	'2|30001', 'what fits works');

done_testing();
