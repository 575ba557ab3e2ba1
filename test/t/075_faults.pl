# Requests that statements make of the system fail, one at a time: for memory, for a
# segment of shared memory, for room on the disk.  Each time the statement ends with an
# error that says so, or does without; the server lives, the model is as it was, and the
# same call works.  Nothing is left.  The COMMIT is spared: PostgreSQL needs memory for
# dropping files behind it, and panics without.
#
#   ALS_FAULTS   how many of a statement's requests of each kind fail, spread over all
#                of them; 3 unless it says otherwise, all with "all" (make faults)

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $wanted = $ENV{ALS_FAULTS} // 3;

my $library = "$PostgreSQL::Test::Utils::tmp_check/faults.so";
my $compiler = $ENV{CC} // 'cc';
plan skip_all => 'needs a C compiler and glibc'
  if system("echo '#include <execinfo.h>' | $compiler -E - >/dev/null 2>&1") != 0;
plan skip_all => 'sanitizers have to come first' if qx(pg_config --cflags) =~ /-fsanitize/;
system_or_bail("$compiler -shared -fPIC -O1 -o '$library' '$FindBin::RealBin/../faults/faults.c' -ldl");

#
# What fails is in a file that all processes of the server map.
#

my @fields = qw(kind round process fail_at requests);
my %kinds = (nothing => 0, memory => 1, segment => 2, disk => 3);
my $control = "$PostgreSQL::Test::Utils::tmp_check/faults";
my $round = 0;
unlink $control;
append_to_file($control, pack('q5', (0) x @fields));

# Lets a request fail that a process, or a worker that it will start, makes; 0 only
# counts them.
sub let_fail
{
	my ($kind, $process, $request) = @_;
	open my $file, '+<:raw', $control or die "$control: $!";
	syswrite $file, pack('q5', $kinds{$kind}, ++$round, $process, $request, 0);
	close $file;
	return;
}

# How many there have been since
sub requests
{
	open my $file, '<:raw', $control or die "$control: $!";
	sysread $file, my $content, 8 * @fields;
	return (unpack 'q5', $content)[-1];
}

#
# The server
#

my $node = PostgreSQL::Test::Cluster->new('main');
# locales take memory of their own, in which PostgreSQL takes a failure for a wrong name
$node->init(extra => [ '--no-locale' ]);
$node->append_conf('postgresql.conf', $_) foreach $parallel_workers, $countable_segments, q{
autovacuum = off
shared_preload_libraries = 'als'
};
{
	local $ENV{LD_PRELOAD} = $library;
	local $ENV{ALS_FAULTS} = $control;
	$node->start;
}
install_als($node);
my $first = q{als_train('m', 'ratings', factors => 8, iterations => 2, seed => 1, workers => 0)};
$node->safe_psql('postgres', qq{
CREATE TABLE ratings AS SELECT * FROM some_ratings(120, 60, 20);
CREATE TABLE many AS SELECT i % 400 AS user_id, i / 400 AS item_id, 1 AS rating FROM generate_series(0, 79999) i;
SELECT run FROM $first;
});
my $postmaster = postmaster_pid($node);

# Files of the database that no relation has.  Those of dropped ones go with a checkpoint.
sub orphans
{
	$node->safe_psql('postgres', 'CHECKPOINT');
	return $node->safe_psql('postgres', q{
		SELECT string_agg(name, ' ') FROM pg_database,
			LATERAL (SELECT name, substring(name FROM '^\d+')::oid AS filenode FROM pg_ls_dir('base/' || oid) name WHERE name ~ '^\d') f
		WHERE datname = current_database() AND NOT EXISTS (SELECT FROM pg_class WHERE pg_relation_filenode(oid) = filenode)});
}

sub relations
{
	return $node->safe_psql('postgres', q{SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE oid >= 16384 AND relname !~ '^pg_toast'});
}

#
# What is run, and how often something fails in it
#

my $state = q{SELECT fingerprint('m');};
my $options = 'factors => 8, iterations => 2, seed => 2';
my @statements = (
	[ 'a training', "SELECT users FROM als_train('m', 'ratings', $options, workers => 0);", 1 ],
	[ 'with workers', "SELECT users FROM als_train('m', 'ratings', $options, workers => 2);", 1 ],
	[ 'in files', "SELECT users FROM als_train('m', 'many', factors => 4, iterations => 1, workers => 0);", 1 ],
	[ 'in files, with workers', "SELECT users FROM als_train('m', 'many', factors => 4, iterations => 1, workers => 2);", 1 ],
	[ 'tuning', q{SELECT count(*), count(error), sum(metric) FROM als_tune('m', 'ratings', '{"factors": [4, 8], "iterations": 2}', validation_fraction => 0.2, workers => 2);}, 1 ],
	[ 'refreshing', q{SELECT als_refresh('m', users => ARRAY[1, 2, 3], items => ARRAY[4, 5]);}, 1 ],
	[ 'a recommendation', q{SELECT string_agg(item_id || ' ' || score, ',') FROM als_recommend('m', 7, 5);} ],
	[ 'an unknown user', q{SELECT string_agg(item_id || ' ' || score, ',') FROM als_recommend_for('m', ARRAY[1, 2, 3]);} ],
	[ 'all recommendations', q{SELECT count(*), sum(score) FROM als_recommend_all('m', 5, workers => 2);} ],
	[ 'measuring', q{SELECT als_evaluate('m', 'ratings', workers => 2);} ]);

# Errors that say what is missing; and those of a process that could not even start
my $says = qr/^(?:53\d\d\d|58P01|58000|55000): /;

my $session;
sub session
{
	$session //= open_session($node, '\set VERBOSITY verbose', q{SET maintenance_work_mem = '1MB'; SET max_parallel_workers_per_gather = 0;});
	return $session;
}

sub leave
{
	close_sessions($session) if $session;
	undef $session;
	return;
}

# Runs a statement in the session; returns what it said, without warnings, and how many
# requests it has made.
sub run
{
	my ($statement, $kind, $request) = @_;
	let_fail('nothing', 0, 0);
	my $process = ask(session(), 'SELECT pg_backend_pid();');
	ask(session(), 'BEGIN;');
	let_fail($kind, $process, $request);
	my $said = ask(session(), $statement);
	my $requests = requests();
	let_fail('nothing', 0, 0);
	ask(session(), 'COMMIT;') unless $said =~ /FATAL|server closed/;
	return ($said =~ s/^(?:.*?(?:WARNING|DETAIL|CONTEXT|LOCATION|HINT):.*\n?)+//mgr, $requests);
}

my %count = (tries => 0, errors => 0);
my $segments = segments($node);
foreach (@statements)
{
	my ($name, $statement, $changes) = @$_;
	foreach (([ 'memory', 1 ], [ 'memory', 0 ], [ 'segment', 0 ], [ 'disk', 0 ]))
	{
		my ($kind, $fresh) = @$_;
		my $case = ($fresh ? 'first call' : 'later call') . ", $name, $kind";
		my $before = ask(session(), $state);
		my $relations_before = relations();
		leave() if $fresh;
		my ($answer, $requests) = run($statement, $kind, 0);
		unlike($answer, qr/ERROR|FATAL/, "$case: $requests requests");
		cmp_ok($requests, '>', 0, "$case: they are seen") if $kind eq 'memory';
		my $after = ask(session(), $state);
		my @wrong;
		ask(session(), "SELECT FROM $first;");

		my $step = $wanted eq 'all' || $requests <= $wanted ? 1 : $requests / $wanted;
		# the last ones are those of the end
		for (my $place = $requests; $place >= 1; $place -= $step)
		{
			my $request = int $place;
			ask(session(), "SELECT FROM $first;") if $changes;
			leave() if $fresh;
			my ($said) = run($statement, $kind, $request);
			$count{tries}++;
			my ($error) = $said =~ /(?:ERROR|FATAL):  (.*)/;
			if (defined $error)
			{
				$count{errors}++;
				$count{$error =~ s/\d{4,}|".*?"/.../gr}++;
				push @wrong, "$request: $error" unless $error =~ $says;
			}
			elsif ($said ne $answer)
			{
				push @wrong, "$request: other answer: $said";
			}
			leave() if $said =~ /FATAL|server closed/;
			push @wrong, "$request: other factors" if ask(session(), $state) ne (defined $error ? $before : $after);
			my ($again) = run($statement, $kind, 0);
			push @wrong, "$request: afterwards: $again" if $again ne $answer;
		}
		is(join("\n", @wrong), '', "$case: errors that say so, and nothing else");
		# which also gives back what sessions share
		ask(session(), "SELECT FROM $first;");
		is(ask(session(), $state), $before, "$case: the same model");
		leave();
		wait_until_alone($node);
		is(segments($node), $segments, "$case: no segments are left");
		is(temporary_files($node), 0, "$case: nor temporary files");
		is(orphans(), '', "$case: nor others");
		is(relations(), $relations_before, "$case: nor relations");
	}
}
cmp_ok($count{errors}, '>', 0, 'some were told as errors');
is(postmaster_pid($node), $postmaster, 'the server is the same');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|reinitializing|TRAP/, 'and has never crashed');
note "$count{$_} $_" foreach sort keys %count;
done_testing();
