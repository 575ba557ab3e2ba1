# Ratings that are sorted by several processes, in memory or by way of files:
# the same bits, within the budget, and nothing is left behind.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = start_server('main', $parallel_workers, $countable_segments, $telling_log, q{
max_parallel_workers_per_gather = 0
jit = off
});

# A long row of users and one of items, rows of a single rating, and pairs that come
# up to five times.
$node->safe_psql('postgres', q{
CREATE UNLOGGED TABLE ratings AS
	SELECT CASE WHEN i % 7 = 0 THEN 0 ELSE i % 30011 END AS user_id,
		CASE WHEN i % 11 = 0 THEN 0 ELSE (i::bigint * i) % 40009 END AS item_id,
		((i % 5 + 1) / 3.0)::real AS rating
	FROM generate_series(1, 900000) i;
-- alone in its row
INSERT INTO ratings SELECT 100000 + i, 0, 1 FROM generate_series(1, 5000) i;
CREATE UNLOGGED TABLE shuffled AS SELECT * FROM ratings ORDER BY hashint8extended(user_id * 40009::bigint + item_id, 1), rating;
});

# As many as it takes for workers to sort, pairs up to ten times
my $many = 'SELECT user_id, (item_id + g * 4001) % 40009 AS item_id, rating FROM ratings, generate_series(1, 10) g';

my $training = 'factors => 3, iterations => 1, verbose => true';

# Trains; returns what came out, where ratings were, and how many workers came.
sub train
{
	my ($source, $parameters, $memory) = @_;
	my ($stdout, $stderr);
	my $offset = -s $node->logfile;

	$node->psql('postgres', qq{
		LOAD 'als';
		SET client_min_messages = warning;
		DROP TABLE IF EXISTS model;
		SET client_min_messages = notice;
		SET maintenance_work_mem = '$memory';
		SELECT run FROM als_train('model', '$source', $training, $parameters);
		SELECT fingerprint('model') || ratings || ' ' || COALESCE(mean_rating, 0) FROM model;},
		stdout => \$stdout, stderr => \$stderr, on_error_die => 1);
	my $log = slurp_file($node->logfile, $offset);
	my $workers = () = $log =~ /starting background worker process "parallel worker/g;
	return ($stdout, $stderr =~ /spill to temporary files/ ? 'files' : 'memory', $workers);
}

foreach my $feedback ('implicit', 'explicit')
{
	my ($expected, $where, $workers) = train('ratings', "feedback => '$feedback', workers => 0", '1GB');
	is("$where, $workers", 'memory, 0', "$feedback: alone");

	# these train, the leader has sorted
	foreach my $case (['shuffled', 1, '1GB', 'memory, 1'], ['shuffled', 0, '2MB', 'files, 0'],
		['ratings', 2, '2MB', 'files, 2'], ['shuffled', 3, '16MB', 'files, 3'])
	{
		my ($source, $count, $memory, $how) = @$case;
		my $result;
		($result, $where, $workers) = train($source, "feedback => '$feedback', workers => $count", $memory);
		is("$where, $workers", $how, "$feedback, $source, $count workers, $memory: as expected");
		is($result, $expected, "$feedback, $source, $count workers, $memory: the same bits");
	}
}

# what is merged is right
is($node->safe_psql('postgres', q{
	SELECT m.ratings = (SELECT count(*) FROM (SELECT DISTINCT user_id, item_id FROM ratings) d)
	FROM model m}), 't', 'pairs are counted once');

# each of two runs that sort, and the one that trains
my ($of_many) = train($many, 'workers => 0', '1GB');
foreach my $case ([1, '1GB', 'memory, 3'], [3, '1GB', 'memory, 9'], [2, '8MB', 'files, 6'], [3, '64MB', 'files, 9'])
{
	my ($count, $memory, $how) = @$case;
	my ($result, $where, $workers) = train($many, "workers => $count", $memory);
	is("$where, $workers", $how, "many, $count workers, $memory: as expected");
	is($result, $of_many, "many, $count workers, $memory: the same bits");
}

# Files have a rating in as few bytes as it takes, which are none, one, and all.
foreach my $rating ('1', '1 + item_id % 9 / 2.0',
	'CASE user_id % 4 WHEN 0 THEN -rating WHEN 1 THEN 0 WHEN 2 THEN 1e-30 * rating ELSE 1e6 * rating END')
{
	my $source = "SELECT user_id, item_id, $rating AS rating FROM ratings";
	my ($in_memory) = train($source, 'workers => 0', '1GB');
	my ($result, $where) = train($source, 'workers => 0', '2MB');
	is($where, 'files', "$rating: in files");
	is($result, $in_memory, "$rating: the same bits");
}

# Files count towards the limit of the process that writes them: in MB, 7 and 70 of
# triplets, and as many again on the way to their rows.
foreach my $case (['ratings', 0, '6MB'], ['ratings', 0, '10MB'], [$many, 2, '80MB'])
{
	my ($source, $workers, $limit) = @$case;
	my ($stdout, $stderr);
	$node->psql('postgres', qq{
		\\set VERBOSITY verbose
		SET maintenance_work_mem = '2MB';
		SET temp_file_limit = '$limit';
		SELECT als_train('limited', '$source', factors => 3, workers => $workers);
		SELECT count(*) FROM pg_class WHERE relname ~ '^limited';},
		on_error_stop => 0, stdout => \$stdout, stderr => \$stderr);
	like($stderr, qr/ERROR:  53400: temporary file size exceeds "?temp_file_limit/, "$limit: temp_file_limit is respected");
	is($stdout, '0', "$limit: the model is not there");
	wait_until_alone($node);
	is(temporary_files($node), 0, "$limit: nor are temporary files");
}

# Cancelled, or without a worker, while they sort: nothing is left.  Trainings
# that fail afterwards go through that again and again.
my $again = qq{
	DO \$\$ BEGIN
		SET maintenance_work_mem = 'MEMORY';
		LOOP
			BEGIN
				PERFORM als_train('failing', '$many', factors => 3, iterations => 1, workers => 2, regularization => 0, alpha => 1e30);
			EXCEPTION WHEN numeric_value_out_of_range THEN
			END;
		END LOOP;
	END \$\$};
my $sorts = q{SELECT count(*) > 0 FROM pg_stat_activity w JOIN pg_stat_activity l ON l.pid = w.leader_pid
	WHERE w.backend_type = 'parallel worker' AND l.application_name = 'victim'};
my $gone = q{SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'victim' AND backend_type = 'client backend')};
foreach my $memory ('1GB', '2MB')
{
	my $segments = segments($node);
	foreach my $end (q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim' AND backend_type = 'client backend'},
		q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'parallel worker' LIMIT 1},
		q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim' AND backend_type = 'client backend'})
	{
		my $victim = background($node, 'victim', $again =~ s/MEMORY/$memory/r);
		wait_until($node, $sorts);
		# a worker may be gone before it is told to, or the training may fail by itself first
		my $tries = 6000;
		while ($node->safe_psql('postgres', $gone) ne 't')
		{
			die "$memory: it does not end" unless --$tries;
			$node->safe_psql('postgres', $end);
			usleep(50000);
		}
		$victim->{run}->finish;
		like($victim->{err}, qr/canceling statement|terminating (connection|background worker)|lost connection to parallel worker/, "$memory: it ends");
		wait_until_alone($node);
		is(temporary_files($node), 0, "$memory: no temporary files are left");
		is(segments($node), $segments, "$memory: no shared memory is left");
	}
}

unlike(slurp_file($node->logfile), qr/leak|PANIC|XX000|terminated by signal/, 'nothing leaked');
done_testing();
