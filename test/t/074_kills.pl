# Backends, workers and the postmaster are killed at random moments of training, tuning,
# refreshing and serving, while others read.  Every answer is from one committed state of
# the model, before and after; nothing but that is left.
#
#   ALS_KILLS       how many are killed; 8 unless it says otherwise, 100 with make faults
#   ALS_KILL_SEED   where chance begins

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

plan skip_all => 'needs /proc' unless -d '/proc/self/fd';

my $kills = $ENV{ALS_KILLS} // 8;
my $seed = $ENV{ALS_KILL_SEED} // 74;
srand($seed);

my $node = start_server('main', $parallel_workers, $countable_segments, q{
restart_after_crash = on
log_statement = none
autovacuum = off
shared_preload_libraries = 'als'
max_parallel_workers_per_gather = 0
});
my $first = q{als_train('m', 'ratings', factors => 16, iterations => 3, seed => 1, keep => 2, workers => 0)};
$node->safe_psql('postgres', qq{
CREATE TABLE ratings AS SELECT * FROM some_ratings(2000, 400, 10);
SELECT run FROM $first;
});
my $postmaster = postmaster_pid($node);
my $segments = segments($node);

#
# What is interrupted: it changes the model always in the same way, or not at all.
#

my @works = (
	[ 'training', q{SELECT FROM als_train('m', 'ratings', factors => 16, iterations => 3, seed => 2, keep => 2, workers => 2)} ],
	[ 'training in files', q{SET maintenance_work_mem = '1MB'; SELECT FROM als_train('m', 'ratings', factors => 16, iterations => 3, seed => 3, keep => 2, workers => 2)} ],
	[ 'a first training', q{SELECT FROM als_train('n', 'ratings', factors => 16, iterations => 3, workers => 2)} ],
	[ 'tuning', q{SELECT FROM als_tune('m', 'ratings', '{"factors": [8, 16], "alpha": [1, 10], "iterations": 2}', validation_fraction => 0.1, workers => 2)} ],
	[ 'refreshing', q{SELECT als_refresh('m', users => (SELECT array_agg(DISTINCT user_id) FROM ratings), workers => 2)} ],
	[ 'serving', q{SELECT count(*) FROM als_recommend_all('m', 100, workers => 2); SELECT als_evaluate('m', 'ratings', exclude_seen => false, workers => 2)} ]);

# All that is committed of the models; and what a reader sees of it.
my $state = q{
SELECT (SELECT string_agg(fingerprint(model::text), ' ' ORDER BY model::text) FROM als_models)
	|| (SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname ~ '^[mn](_|$)' AND relname !~ '_\d+(_pkey)?$')};
my $look = q{SELECT string_agg(item_id || ' ' || score, ',') FROM als_recommend('m', 7, 5, exclude_seen => false)};
sub asks { return $node->safe_psql('postgres', $_[0]); }
sub restore { asks("DROP TABLE IF EXISTS n; SELECT FROM $first"); return; }

restore();
my ($before, $seen_before) = (asks($state), asks($look));
foreach my $work (@works)
{
	my $start = time;
	asks($work->[1]);
	$work->[2] = time - $start;
	push @$work, asks($state), asks($look);
	restore();
	is(asks($state), $before, "$work->[0] can be undone");
}
is(scalar(grep { $_->[3] ne $before } @works), @works - 1, 'all but serving change something');

# A file of a process, which may have ended
sub told
{
	my ($pid, $name) = @_;
	open my $file, '<', "/proc/$pid/$name" or return '';
	return <$file> // '';
}

# Processes of the server, but for the postmaster
sub processes
{
	return grep { told($_, 'stat') =~ /^\d+ \(.*\) \S $postmaster / } map { m{(\d+)$} } glob '/proc/[0-9]*';
}

# File nodes of the database that no relation has, but for those of dropped ones
my %known;
sub new_orphans
{
	asks('CHECKPOINT');
	return grep { !$known{$_}++ } split /\n/, asks(q{
		SELECT DISTINCT filenode FROM pg_database,
			LATERAL (SELECT name, substring(name FROM '^\d+')::oid AS filenode FROM pg_ls_dir('base/' || oid) name WHERE name ~ '^\d') f
		WHERE datname = current_database() AND NOT EXISTS (SELECT FROM pg_class WHERE pg_relation_filenode(oid) = filenode)});
}
is(join(' ', new_orphans()), '', 'no file too many');

my $script = "$PostgreSQL::Test::Utils::tmp_check/reader.sql";
append_to_file($script, "$look;\n" x 100000);
my %count = map { $_ => 0 } qw(orphans answers);

for my $number (1 .. $kills)
{
	my ($name, $work, $duration, $after, $seen_after) = @{ $works[ $number % @works ] };
	my $whom = (qw(backend worker postmaster))[ int rand 3 ];
	my $moment = rand() * 0.8 * $duration;
	my $case = "seed $seed, kill $number, $whom in $name";

	my ($answers, $errors) = ('', '');
	my $reader = IPC::Run::start([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-f', $script ],
		'<', \undef, '>', \$answers, '2>', \$errors, IPC::Run::timeout(600));
	my $victim = open_session($node);
	my $pid = ask($victim, 'SELECT pg_backend_pid();');
	begin_query($victim, "$work;");
	usleep(1e6 * $moment);

	# of which no more children come meanwhile
	kill 'STOP', $postmaster if $whom eq 'postmaster';
	my @processes = processes();
	my @workers = grep { told($_, 'cmdline') =~ /parallel worker for PID $pid\b/ } @processes;
	my $target = $whom eq 'postmaster' ? $postmaster : $whom eq 'worker' && @workers ? $workers[ int rand @workers ] : $pid;
	my $killed = kill 'KILL', $target;
	$count{"$name, $whom"}++ if $killed && is_busy($victim);
	my $finished = defined eval { end_query($victim) } && $victim->{errors} eq '';
	eval { close_sessions($victim) };
	# an idle backend is killed as well, and so is the reader then
	$killed ? $reader->finish : $reader->kill_kill;
	if ($whom eq 'postmaster')
	{
		# its children see it themselves; nobody may wait for them.  A new one starts only if
		# the old one has been waited for.
		my $patience = 60000;
		usleep(10000) while --$patience && (kill(0, $postmaster) || grep { told($_, 'stat') =~ /\) [^ZX] / } @processes);
		BAIL_OUT('the postmaster and its children have not ended') unless $patience;
		$node->kill9;
		$node->start;
		$postmaster = postmaster_pid($node);
	}
	$node->poll_query_until('postgres', 'SELECT true') or BAIL_OUT('the server did not come back');
	wait_until_alone($node);

	my $now = asks($state);
	ok($now eq $after || ($now eq $before && !$finished), "$case: all of it, or nothing") or diag("got $now, before $before, after $after");
	my $seen = asks($look);
	is($seen, $now eq $after ? $seen_after : $seen_before, "$case: served to the bit");
	my @answers = $answers =~ /^(.*)\n/mg;
	$count{answers} += @answers;
	is(join("\n", grep { $_ ne $seen_before && $_ ne $seen_after } @answers), '', "$case: others have seen nothing else");
	is(asks('SELECT count(*) FROM als_progress'), '0', "$case: no training is shown");
	is(temporary_files($node), 0, "$case: no temporary files");
	# PostgreSQL itself leaves those that a killed transaction has made: new and kept tables of
	# both sides, each with an index, a TOAST table and its index
	my @orphans = new_orphans();
	$count{orphans} += @orphans;
	cmp_ok(scalar(@orphans), '<=', $after eq $before ? 0 : 16, "$case: no files but those of a killed CREATE TABLE") or diag("@orphans");
	restore();
	is(asks($state), $before, "$case: it trains again");
	wait_until_alone($node);
	is(segments($node), $segments, "$case: no segments are left");
}
cmp_ok($count{answers}, '>', 0, 'others have asked meanwhile');
note "$count{$_} $_" foreach sort keys %count;
done_testing();
