# A server process has one thread, whatever BLAS is installed and whatever the
# environment tells it; and a session that only serves does not even load BLAS.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs /proc' unless -d "/proc/$$/task";

$ENV{OPENBLAS_NUM_THREADS} = 8;
$ENV{OMP_NUM_THREADS} = 8;
$ENV{BLIS_NUM_THREADS} = 8;

my $node = start_server('main', $parallel_workers);
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(2000, 500, 8);
SELECT run FROM als_train('model', 'ratings', factors => 64);
CREATE FUNCTION threads() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM pg_ls_dir('/proc/' || pg_backend_pid() || '/task') $$;
CREATE FUNCTION maps_blas() RETURNS boolean LANGUAGE sql AS $$
    SELECT pg_read_file('/proc/' || pg_backend_pid() || '/maps', 0, 1000000) ~ 'blas' $$;
});

sub threads
{
	my ($pid) = @_;
	my @tasks = glob("/proc/$pid/task/*");
	return scalar @tasks;
}

# the environment did reach the server
like(slurp_file('/proc/' . postmaster_pid($node) . '/environ'), qr/OPENBLAS_NUM_THREADS=8/, 'the environment asks for threads');

# in the middle of a training, leader and workers: that it iterates means that
# each of them has gone through phases that need BLAS
my $training = background($node, 'leader',
	q{SELECT als_train('model', 'ratings', factors => 64, iterations => 100000, workers => 2, verbose => true)});
wait_for_message($training, qr/iteration 3 of/);
like($training->{err}, qr/iteration 3 of/, 'a training is going on');
my @processes = split /\n/, $node->safe_psql('postgres', q{
	SELECT pid FROM pg_stat_activity
	WHERE backend_type = 'parallel worker' OR application_name = 'leader' AND backend_type = 'client backend'});
is(scalar @processes, 3, 'by a leader and two workers');
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM pg_stat_activity
	WHERE backend_type = 'parallel worker' AND query LIKE '%als\_train(''model''%'}),
	2, 'whose query is shown');
foreach my $pid (@processes)
{
	like(slurp_file("/proc/$pid/maps"), qr/blas/, 'BLAS is loaded');
	is(threads($pid), 1, 'one thread');
}
is(cancel($node, 'leader'), 't', 'cancelled');
$training->{run}->finish;

# one session, before and after
is($node->safe_psql('postgres', q{
	SELECT count(als_predict('model', user_id, item_id)) > 0 FROM ratings;
	SELECT count(*) FROM als_recommend('model', 1, 5);
	SELECT count(*) FROM als_recommend('model', 2, 5, candidates => ARRAY[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], exclude_seen => false);
	SELECT threads(), maps_blas();}),
	"t\n5\n5\n1|f", 'serving does not load BLAS');
foreach my $workers (0, 2)
{
	is($node->safe_psql('postgres', qq{
		SELECT threads(), maps_blas();
		SELECT workers FROM als_train('other', 'ratings', factors => 64, workers => $workers);
		SELECT threads(), maps_blas();
		SELECT workers FROM als_train('other', 'ratings', factors => 100, solver => 'cholesky', workers => $workers);
		SELECT threads(), maps_blas();
		SELECT count(als_predict('other', user_id, item_id)) > 0 FROM ratings;
		SELECT threads();}),
		"1|f\n$workers\n1|t\n$workers\n1|t\nt\n1", "training with $workers workers does, and there is one thread");
}

# a BLAS that starts a thread come what may is refused, not only once
SKIP:
{
	my $directory = PostgreSQL::Test::Utils::tempdir;
	my $openblas = $node->safe_psql('postgres', q{
		DO $$ BEGIN PERFORM als_train('other', 'ratings', factors => 64, workers => 0); END $$;
		SELECT substring(pg_read_file('/proc/' || pg_backend_pid() || '/maps', 0, 1000000) FROM '/[^ \n]*/libopenblas[^/\s]*')});

	append_to_file("$directory/blas.c", q{
#include <pthread.h>
#include <unistd.h>
static void *idle(void *argument) { for (;;) pause(); return argument; }
__attribute__((constructor)) static void start(void)
{
	pthread_t thread;
	pthread_create(&thread, NULL, idle, NULL);
}
});
	# it stands in for libblas.so.3 and passes on to OpenBLAS
	skip 'needs a C compiler and OpenBLAS', 4
		if $openblas eq ''
		|| system("cc -shared -fPIC -o '$directory/libblas.so.3' -Wl,-soname,libblas.so.3 -Wl,--no-as-needed '$directory/blas.c' '$openblas' -lpthread >/dev/null 2>&1") != 0;

	$node->stop;
	{
		local $ENV{LD_LIBRARY_PATH} = $directory;
		$node->start;
	}
	my ($stdout, $stderr);
	$node->psql('postgres', qq{
		SELECT als_train('refused', 'ratings', factors => 5, workers => 0);
		SELECT pg_read_file('/proc/' || pg_backend_pid() || '/maps', 0, 1000000) ~ '$directory/libblas';},
		on_error_stop => 0, stdout => \$stdout);
	skip 'als does not load libblas.so.3', 4 if $stdout !~ /^t$/m;
	$node->psql('postgres', q{
		SELECT run FROM als_train('refused', 'ratings', factors => 5, workers => 0);
		SELECT run FROM als_train('refused', 'ratings', factors => 5, workers => 0);
		SELECT run FROM als_train('refused', 'ratings', factors => 5, workers => 2);
		SELECT count(*) FROM pg_class WHERE relname = 'refused'},
		on_error_stop => 0, stdout => \$stdout, stderr => \$stderr);
	is($stdout, '0', 'none of three trainings in a session goes through');
	my @errors = $stderr =~ /(ERROR: .*)/g;
	is(scalar @errors, 3, 'each ends with an error');
	is(scalar(grep { /the BLAS library starts threads of its own/ } @errors), 3, 'which says why');
	is($node->safe_psql('postgres', q{SELECT count(als_predict('model', user_id, item_id)) > 0 FROM ratings; SELECT threads()}),
		"t\n1", 'serving goes on without BLAS');
}

done_testing();
