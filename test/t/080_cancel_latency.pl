# A cancel arrives wherever it finds a statement.  What counts is the CPU time
# that the processes still take, the leader from the signal to the error and the
# workers from it to their end: a busy machine makes that hardly longer, unlike
# the time on the clock.  Giving memory and temporary files back comes after the
# error, is the system's, and cannot be interrupted: it is only told.
#
# How long that was is told and is no failure; the test is that the cancel ends the
# statement, wherever it comes, and that session and server go on.
#
# This takes half an hour, so that it is not part of make check: "make cancel"
# runs it and prints two tables in Markdown: of statements in which one thing takes
# most of the time, and of the phases that als_progress says trainings were in.
# Variables:
#
#   ALS_CANCEL_PLACES    places all over each statement where it is cancelled
#   ALS_CANCEL_PHASES    a regular expression for the names of statements

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest qw(open_session ask close_sessions);
use IPC::Run;
use List::Util qw(max);
use POSIX qw(ceil);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $places = $ENV{ALS_CANCEL_PLACES};
my $wanted = $ENV{ALS_CANCEL_PHASES} // '.';

plan skip_all => 'takes half an hour: make cancel' unless $places;
plan skip_all => 'needs the CPU time of processes' unless -r "/proc/$$/schedstat";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
max_worker_processes = 16
max_parallel_workers = 8
max_parallel_workers_per_gather = 0
jit = off
track_counts = off
maintenance_work_mem = 4GB
work_mem = 1GB
als.cache_size = 8GB
# the tables of a million factors need not be durable
fsync = off
max_wal_size = 8GB
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION als');
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');

# CPU time of a process so far, in milliseconds; undefined once it is gone
sub cpu
{
	my ($pid) = @_;
	open my $file, '<', "/proc/$pid/schedstat" or return undef;
	my ($time) = split / /, <$file> // return undef;
	return $time / 1e6;
}

# Parallel workers of a backend
my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
sub workers
{
	my ($leader) = @_;
	my @children = map { m{^/proc/(\d+)/} } glob '/proc/[0-9]*/schedstat';
	my @workers;
	foreach my $pid (@children)
	{
		open my $file, '<', "/proc/$pid/cmdline" or next;
		my $command = <$file> // '';
		push @workers, $pid if $command =~ /parallel worker for PID $leader\b/;
	}
	return @workers;
}

# What a training of a process does, '' if there is none
my $watcher = open_session($node);
sub phase
{
	my ($pid) = @_;
	return ask($watcher, "SELECT phase || CASE WHEN phase = 'training' AND iteration = 0 THEN ': start, first iteration' ELSE '' END FROM als_progress WHERE pid = $pid;");
}

# The most that a share of numbers have, of which there are some
sub percentile
{
	my ($share, @numbers) = @_;
	return (sort { $a <=> $b } @numbers)[ ceil($share * @numbers) - 1 ];
}

# Runs a statement in a session of its own, prepared by others, and cancels it
# when it has taken so much CPU time.  Returns what it has taken in all, and
# since the cancel up to the error and up to its end (undefined if the statement
# was faster), the phase in which it was cancelled, and what psql has said.
sub run
{
	my ($prelude, $statement, $when) = @_;
	my ($in, $out, $err) = ('', '', '');
	my $psql = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
		'<', \$in, '>', \$out, '2>', \$err, IPC::Run::timeout(3600));

	$in .= "\\set VERBOSITY verbose\n$prelude\nSELECT 'pid', pg_backend_pid();\n";
	$psql->pump until $out =~ /^pid\|(\d+)$/m;
	my $pid = $1;
	my $start = cpu($pid);
	my ($cancelled, $answered, $phase, %begun, %taken);

	$in .= "$statement\n;\n\\echo done\n";
	while ($out !~ /^done$/m)
	{
		$psql->pump_nb;
		$answered //= cpu($pid) if $err =~ /canceling statement/;
		if (defined $when && !defined $cancelled && cpu($pid) - $start >= $when)
		{
			$phase = phase($pid);
			$cancelled = cpu($pid);
			kill 'INT', $pid or die "no process $pid";
			$begun{$_} = cpu($_) foreach workers($pid);
		}
		usleep(500);
		foreach my $worker (keys %begun)
		{
			my $now = cpu($worker);
			$taken{$worker} = $now - $begun{$worker} if defined $now && defined $begun{$worker};
		}
	}
	my $end = cpu($pid);
	$in .= "SELECT 'goes on', pg_backend_pid();\n\\q\n";
	$psql->finish;
	$err .= "\n$statement: session $pid did not go on" unless $out =~ /^goes on\|$pid$/m;
	return ($end - $start, undef, undef, undef, $err) unless defined $answered;
	return ($end - $start, max($answered - $cancelled, values %taken), $end - $cancelled, $phase, $err);
}

# Numbers between 0 and 1 that are always the same
my $state = 1;
sub chance
{
	$state = ($state * 1103515245 + 12345) % 2**31;
	return $state / 2**31;
}

# Cancels a statement all over its CPU time, or within two shares of it.
my %phases;
sub cancel
{
	my ($name, $statement, %with) = @_;
	return unless $name =~ /$wanted/;
	my $prelude = $with{prelude} // '';
	my ($from, $to) = @{ $with{within} // [ 0, 1 ] };

	# a training that is not cancelled leaves no model either
	my ($whole) = run($prelude, $statement);
	$node->safe_psql('postgres', 'SET client_min_messages = error; DROP TABLE IF EXISTS m');
	my (@latencies, @ends, @wrong);
	foreach my $place (0 .. $places - 1)
	{
		my (undef, $latency, $end, $phase, $said) = run($prelude, $statement, ($from + ($to - $from) * ($place + chance()) / $places) * $whole);
		$node->safe_psql('postgres', 'SET client_min_messages = error; DROP TABLE IF EXISTS m');
		push @wrong, $said if $said =~ /did not go on|server closed|^(?:FATAL|PANIC)|^ERROR:  (?!57014|22012)/m;
		next unless defined $latency;
		push @wrong, $said unless $said =~ /^ERROR:  57014: canceling statement due to user request$/m;
		push @latencies, $latency;
		push @ends, $end;
		push @{ $phases{$phase} }, $latency if $phase ne '';
	}
	cmp_ok(scalar @latencies, '>', 0, "$name: was cancelled");
	is(join("\n", @wrong), '', "$name: ends with 57014, and the session goes on");
	diag(sprintf '| %s | %.1f | %d | %.0f | %.0f | %.0f |', $name, $whole / 1000, scalar @latencies,
		percentile(0.5, @latencies), percentile(0.99, @latencies), max(@ends))
	  if @latencies;
	return;
}

# Ratings that are made while they are read
sub ratings
{
	my ($n, $user, $item, $rating) = @_;
	return "SELECT $user AS user_id, $item AS item_id, $rating AS rating FROM (SELECT generate_series(0, $n - 1) AS i) s";
}

sub train
{
	my ($ratings, $options) = @_;
	return "SELECT run FROM als_train('m', \$\$$ratings\$\$, workers => 0, $options)";
}

diag('| statement | CPU, s | cancels | to the error, ms: half | 99 % | to the end, ms: most |');

my $few = 'factors => 2, iterations => 1';
my $n = 3_000_000;
cancel('reading, and sorting in memory', train(ratings($n, 'i::bigint * 7919 % 100003', 'i::bigint * 104729 % 10007', '1'), $few));
cancel('reading ids of text', train(ratings($n / 10, "'user ' || i", "'item ' || i % 1000", '1'), $few));
cancel('sorting in files, many rows', train(ratings($n, 'i::bigint * 7919 % 100003', 'i::bigint * 104729 % 10007', '1'), $few),
	prelude => "SET maintenance_work_mem = '1MB';");
cancel('writing and indexing', "SELECT run FROM als_import('m', 'SELECT n AS user_id, ''{1,2,3,4,5,6,7,8}''::real[] AS factors FROM generate_series(1, 400000) n', 'SELECT n AS item_id, ''{1,2,3,4,5,6,7,8}''::real[] AS factors FROM generate_series(1, 400000) n')");
cancel('writing and indexing ids of text', "SELECT run FROM als_import('m', 'SELECT ''user '' || n AS user_id, ''{1,2}''::real[] AS factors FROM generate_series(1, 400000) n', 'SELECT ''item '' || n AS item_id, ''{1,2}''::real[] AS factors FROM generate_series(1, 1000) n')");
# which fails at its end; a map of ids grows a last time at 7.5 million
$n = 8_000_000;
my $apart = train(ratings($n, 'i::bigint * 1000003', '1', "1 / ($n - 1 - i)"), $few);
cancel('reading many users far apart', $apart);
cancel('a map of ids grows', $apart, within => [ 0.91, 0.97 ]);
cancel('reading many users close together', train(ratings($n, 'i::bigint * 6', '1', "1 / ($n - 1 - i)"), $few));
$n = 1_000_000;
cancel('sorting in files, one long row', train(ratings($n, '1', "i::bigint * 7919 % $n", '1'), $few),
	prelude => "SET maintenance_work_mem = '1MB';");
cancel('reading by an aggregate', "SELECT (als_train_agg('m', user_id, item_id, rating, '{\"factors\": 2, \"iterations\": 1, \"workers\": 0}')).run FROM (" .
	ratings($n, 'i::bigint * 7919 % 100003', 'i::bigint * 104729 % 10007', '1') . ') AS ratings');
cancel('adding up duplicates', train(ratings($n, '1', 'i % 2', "i::bigint * 7919 % 10007"), $few));
cancel('one hot row, 16 factors', train(ratings($n / 4, '1', "i", '1'), 'factors => 16, iterations => 3'));
$n = 3_000;
cancel('many rows of 768 factors', train(ratings($n, 'i % 10', 'i', '1'), 'factors => 768, iterations => 1'));
$n = 3_000;
cancel('many rows of 256 factors, nonnegative', train(ratings($n, 'i % 2', 'i', '1'), 'factors => 256, iterations => 1, nonnegative => true, alpha => 1, regularization => 1'));
$n = 10_000;
my $square = ratings($n, 'i % 500', 'i::bigint * 7919 % 700', '1 + i % 3');
cancel('conjugate gradient, 1,024 factors', train($square, 'factors => 1024, iterations => 1'));
cancel('conjugate gradient, 1,024 factors, scaling', train($square, 'factors => 1024, iterations => 1, regularization_scaling => 0.5'));
cancel('explicit, 1,023 factors', train($square, q{factors => 1023, iterations => 3, feedback => 'explicit'}));
cancel('features, 1,000 of them', train($square, q{factors => 64, iterations => 3, item_features => $f$SELECT i, f, 1 FROM generate_series(0, 699) i, generate_series(1, 1000) f WHERE (i + f) % 7 = 0$f$}));
$n = 5_000;
$square = ratings($n, 'i % 10', 'i::bigint * 7919 % 15', '1 + i % 3');
cancel('Cholesky, 1,024 factors', train($square, q{factors => 1024, iterations => 1, solver => 'cholesky'}));
cancel('nonnegative, 1,024 factors', train($square, q{factors => 1024, iterations => 1, nonnegative => true}));
$n = 500_000;
$square = ratings($n, 'i::bigint * 7919 % 20011', 'i::bigint * 104729 % 5003', '1 + i % 3');
cancel('validating', train($square, q{factors => 32, iterations => 1, validation_fraction => 0.2}));
cancel('two workers', train($square, q{factors => 64, iterations => 2}) =~ s/workers => 0/workers => 2/r);
cancel('two workers, in files', train($square, q{factors => 64, iterations => 2}) =~ s/workers => 0/workers => 2/r,
	prelude => "SET maintenance_work_mem = '1MB';");
$square = ratings($n / 5, 'i::bigint * 7919 % 2011', 'i::bigint * 104729 % 503', '1 + i % 3');
cancel('tuning by a grid', "SELECT * FROM als_tune('m', \$\$$square\$\$, '{\"factors\": [16, 32], \"alpha\": [1, 10], \"iterations\": 5}', validation_fraction => 0.1, workers => 0)");
cancel('tuning by a search', "SELECT * FROM als_tune('m', \$\$$square\$\$, trials => 6, validation_fraction => 0.1, workers => 0)");
cancel('tuning by a search, two workers', "SELECT * FROM als_tune('m', \$\$$square\$\$, trials => 12, validation_fraction => 0.1, workers => 2)");

# Cancels what is served from a model of many items, or one of a user with many
# ratings.
my $items = 300_000;
my $rated = 30_000;
my $made = 0;
sub cancel_serving
{
	my ($name, @statement) = @_;
	return unless $name =~ /$wanted/;
	$node->safe_psql('postgres', 'CREATE TABLE ratings AS ' . ratings($items, 'i % 10', 'i', '1') . ';
		CREATE TABLE rated AS ' . ratings($rated, '1', 'i', '1') . ";
		CREATE TABLE wide AS " . ratings($items, 'i % 20000', 'i % 997', '1 + i % 5') . ";
		SELECT als_train('big', 'ratings', factors => 32, iterations => 1);
		SELECT als_train('long', 'rated', factors => 512, iterations => 1);
		SELECT als_train('wide_model', 'wide', factors => 32, iterations => 1);
		SELECT als_train('words', 'SELECT user_id::text, item_id::text, rating FROM ratings', factors => 16, iterations => 1)")
	  unless $made++;
	cancel($name, @statement);
	return;
}

my $recommend = "SELECT count(*) FROM als_recommend('big', 1, 10, false)";
my $kept = "$recommend; $recommend; $recommend;";
cancel_serving('the image and the index', "SELECT ($recommend), ($recommend), ($recommend)");
cancel_serving('als_recommend, as many as there are', "SELECT count(*) FROM als_recommend('big', 1, $items, false)", prelude => $kept);
cancel_serving('als_recommend, ids of text', "SELECT count(*) FROM als_recommend_as(NULL::text, 'words', '1'::text, $items, false)");
cancel_serving('als_recommend, seen and excluded', "SELECT count(*) FROM als_recommend('big', 1, $items, true, (SELECT array_agg(item_id) FROM ratings))", prelude => $kept);
cancel_serving('als_recommend, candidates', "SELECT count(*) FROM als_recommend('big', 1, $items, false, candidates => (SELECT array_agg(item_id) FROM ratings))", prelude => $kept);
cancel_serving('als_recommend, groups and boosts', "SELECT count(*) FROM als_recommend('big', 1, 1000, false, groups => 'SELECT item_id, item_id % 1000 FROM ratings', boost => 'SELECT item_id, 0.1 FROM ratings', diversity => 0.5)", prelude => $kept);
cancel_serving('als_audience, as many as there are', "SELECT count(*) FROM als_audience('wide_model', 1, 20000)");
cancel_serving('als_similar_items, as many as there are', "SELECT count(*) FROM als_similar_items('big', 1, $items)", prelude => $kept);
cancel_serving('als_similar_items_all', "SELECT count(*) FROM als_similar_items_all('wide_model', 500, workers => 0)");
cancel_serving('als_explain, 512 factors', "SELECT count(*) FROM als_explain('long', 1, 1)");
cancel_serving('als_fold_in, 512 factors', "SELECT als_fold_in('long', (SELECT array_agg(item_id) FROM rated))");
cancel_serving('als_refresh', "SELECT als_refresh('wide_model', users => (SELECT array_agg(n) FROM generate_series(0, 19999) n), workers => 0)");
cancel_serving('als_refresh, 512 factors', "SELECT als_refresh('long', items => (SELECT array_agg(n) FROM generate_series(0, 399) n), workers => 0)");
cancel_serving('als_evaluate', "SELECT als_evaluate('wide_model', 'wide', workers => 0)");
cancel_serving('als_evaluate, two workers', "SELECT als_evaluate('wide_model', 'wide', workers => 2)");
cancel_serving('als_evaluate, ids of text', "SELECT als_evaluate('words', 'SELECT user_id::text, item_id::text, rating FROM ratings', workers => 0)");
cancel_serving('als_evaluate, 100 cutoffs', "SELECT als_evaluate('wide_model', 'wide', more_k => (SELECT array_agg(k) FROM generate_series(1, 100) k WHERE k <> 10), exclude_seen => false, workers => 0)");
cancel_serving('als_evaluate_users', "SELECT count(*) FROM als_evaluate_users('wide_model', 'wide', workers => 0)");
cancel_serving('als_compare', "SELECT * FROM als_compare('wide_model', 'wide_model', 'wide', workers => 0)");
cancel_serving('als_recommend_all', "SELECT count(*) FROM als_recommend_all('wide_model', 100, workers => 0)");
cancel_serving('als_recommend_all, two workers', "SELECT count(*) FROM als_recommend_all('wide_model', 100, workers => 2)");
cancel_serving('als_recommend_all, as many as there are', "SELECT count(*) FROM als_recommend_all('big', $items, exclude_seen => false, workers => 0)");
cancel_serving('als_audience_all', "SELECT count(*) FROM als_audience_all('wide_model', 1000, workers => 0)");
cancel_serving('als_solve', "SELECT count(s) FROM (SELECT als_solve(item_id, rating::float8, '{\"model\": \"wide_model\", \"side\": \"users\"}') AS s FROM wide GROUP BY user_id) t");
cancel_serving('als_solve, a long row of 512 factors', "SELECT als_solve(item_id, rating::float8, '{\"model\": \"long\", \"side\": \"users\"}') IS NULL FROM rated");
my $grouped = 'SELECT array_agg(item_id) AS items, array_agg(rating::real) AS ratings FROM wide GROUP BY user_id OFFSET 0';
cancel_serving('als_solve_row', "SELECT count(als_solve_row(items, ratings, '{\"model\": \"wide_model\", \"side\": \"users\"}')) FROM ($grouped) g");
cancel_serving('als_solve_row, a long row of 512 factors', "SELECT als_solve_row(array_agg(item_id), array_agg(rating::real), '{\"model\": \"long\", \"side\": \"users\"}') IS NULL FROM rated");

diag('| phase of trainings, by als_progress | cancels | to the error, ms: half | 99 % | most |');
foreach my $phase (sort keys %phases)
{
	my @latencies = @{ $phases{$phase} };
	diag(sprintf '| %s | %d | %.0f | %.0f | %.0f |', $phase, scalar @latencies, map { percentile($_, @latencies) } 0.5, 0.99, 1);
}

is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, 'the server has gone on');
close_sessions();
$node->stop;
done_testing();
