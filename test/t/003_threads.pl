# A server process has one thread, whatever BLAS is installed and whatever the
# environment tells it; and a session that only serves does not even load BLAS.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs /proc' unless -d "/proc/$$/task";

$ENV{OPENBLAS_NUM_THREADS} = 8;
$ENV{OMP_NUM_THREADS} = 8;
$ENV{BLIS_NUM_THREADS} = 8;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
max_worker_processes = 16
max_parallel_workers = 8
max_parallel_maintenance_workers = 4
});
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION als;
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, 1 AS rating
    FROM generate_series(1, 2000) u, generate_series(1, 500) i
    WHERE (u::bigint * 7919 + i * 104729 + u::bigint * i * 13) % 97 < 8;
SELECT run FROM als_train('model', 'ratings', factors => 64);
});

sub threads
{
	my ($pid) = @_;
	my @tasks = glob("/proc/$pid/task/*");
	return scalar @tasks;
}

sub maps_blas
{
	my ($pid) = @_;
	return slurp_file("/proc/$pid/maps") =~ /blas/ ? 1 : 0;
}

# in the middle of a training, leader and workers
my $psql = IPC::Run::start(
	[ 'psql', '-X', '-d', $node->connstr('postgres') . " application_name=leader",
	  '-c', q{SELECT als_train('model', 'ratings', factors => 64, iterations => 100000, workers => 2)} ],
	'>', \my $out, '2>', \my $err);
my $pids = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'parallel worker' OR application_name = 'leader' AND backend_type = 'client backend'};
$node->poll_query_until('postgres', "SELECT count(*) = 3 FROM ($pids) t") or die 'timed out';
my @processes = split /\n/, $node->safe_psql('postgres', $pids);
foreach my $pid (@processes)
{
	# BLAS is there as soon as the first phase begins
	my $tries = 0;
	until (maps_blas($pid) || $tries++ > 600) { select(undef, undef, undef, 0.1); }
	is(maps_blas($pid), 1, 'BLAS is loaded');
	is(threads($pid), 1, 'one thread');
}
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'leader' AND backend_type = 'client backend'});
$psql->finish;

# one session, before and after
is($node->safe_psql('postgres', q{
	CREATE FUNCTION threads() RETURNS bigint LANGUAGE sql AS $$SELECT count(*) FROM pg_ls_dir('/proc/' || pg_backend_pid() || '/task')$$;
	CREATE FUNCTION maps_blas() RETURNS boolean LANGUAGE sql AS $$SELECT pg_read_file('/proc/' || pg_backend_pid() || '/maps', 0, 1000000) ~ 'blas'$$;
	SELECT count(als_predict('model', user_id, item_id)) > 0 FROM ratings;
	SELECT count(*) FROM als_recommend('model', 1, 5);
	SELECT threads(), maps_blas();
	SELECT loss > 0 FROM als_train('other', 'ratings', factors => 64, workers => 0);
	SELECT threads(), maps_blas();
	SELECT loss > 0 FROM als_train('other', 'ratings', factors => 100, solver => 'cholesky', workers => 0);
	SELECT threads();}),
	"t\n5\n1|f\nt\n1|t\nt\n1", 'serving does not load BLAS, training does, and there is one thread');

done_testing();
