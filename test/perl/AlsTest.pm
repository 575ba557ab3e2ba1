# What the tests share: a server, sessions that wait for one another, and what
# somebody may leave behind.
package AlsTest;

use strict;
use warnings;

use Exporter 'import';
use File::Basename;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(
  $parallel_workers $countable_segments $telling_log $parallel_plan
  documented
  start_server start_citus install_als postmaster_pid limit_file_size
  open_session begin_query is_busy end_query ask close_sessions
  background wait_for_message cancel fails_with
  wait_until wait_for_lock wait_until_alone
  segments segment_bound temporary_files run_and_count cancel_leaves_nothing);

# The SQL in a section of the guide that needs other servers, block by block
sub documented
{
	my ($heading) = @_;
	my ($section) = slurp_file('docs/guide.md') =~ /^## \Q$heading\E\n(.*?)(?=^## )/ms;
	return $section =~ /^```sql skip\n(.*?)^```$/msg;
}

#
# Servers
#

# Settings: as many workers as a test may want
our $parallel_workers = q{
max_worker_processes = 16
max_parallel_workers = 8
max_parallel_maintenance_workers = 4
};

# Segments are files that can be counted, and statistics take none of them.
our $countable_segments = q{
track_counts = off
dynamic_shared_memory_type = mmap
};

# The log tells of workers that start, and of temporary files.
our $telling_log = q{
log_min_messages = debug1
log_temp_files = 0
};

# In a session: workers read the ratings.
our $parallel_plan = q{
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET parallel_leader_participation = off;
};

# A server that runs with the settings given, whose database postgres has als.
sub start_server
{
	my ($name, @settings) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	$node->append_conf('postgresql.conf', $_) foreach @settings;
	$node->start;
	install_als($node);
	return $node;
}

# Creates the extension in a database, and functions that tests have in common:
# those of test/include, and one that waits for whoever holds an advisory lock.
sub install_als
{
	my ($node, $database) = @_;
	my $include = dirname(__FILE__) . '/../include';
	$node->safe_psql($database // 'postgres', join '', q{
CREATE EXTENSION als;
CREATE FUNCTION wait_for(number int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_lock_shared(number);
    PERFORM pg_advisory_unlock_shared(number);
    RETURN true;
END $$;
}, map { slurp_file("$include/$_.sql") } 'ratings', 'models');
	return;
}

# The error that a statement ends with, and all that it says
sub fails_with
{
	my ($node, $statement, $pattern, $name) = @_;
	my ($status, $stdout, $stderr) = $node->psql('postgres', "\\set VERBOSITY verbose\n$statement");
	isnt($status, 0, "$name: fails");
	like($stderr, $pattern, "$name: says so");
	return;
}

# A coordinator and two workers of Citus with als on all; skips all tests where the
# server has none.  The nodes speak TCP, and Citus is the first library.
sub start_citus
{
	my ($coordinator, @workers) = map { PostgreSQL::Test::Cluster->new($_) } 'coordinator', 'worker1', 'worker2';
	$_->init foreach $coordinator, @workers;
	$coordinator->start;
	plan skip_all => 'Citus is not available'
	  unless $coordinator->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'citus'});
	$coordinator->stop;
	foreach my $node ($coordinator, @workers)
	{
		$node->append_conf('postgresql.conf', q{
listen_addresses = '127.0.0.1'
shared_preload_libraries = 'citus, als'
citus.node_conninfo = 'sslmode=prefer'
citus.enable_statistics_collection = off
max_connections = 100
});
		$node->start;
		$node->safe_psql('postgres', 'CREATE EXTENSION citus');
	}
	note $coordinator->safe_psql('postgres', 'SELECT citus_version()');
	$coordinator->safe_psql('postgres', sprintf q{SELECT citus_set_coordinator_host('127.0.0.1', %s)}, $coordinator->port);
	$coordinator->safe_psql('postgres', sprintf q{SELECT citus_add_node('127.0.0.1', %s)}, $_->port) foreach @workers;
	install_als($coordinator);
	return ($coordinator, @workers);
}

sub postmaster_pid
{
	my ($node) = @_;
	my ($pid) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	return $pid;
}

# Lets the server have no file, and with it no segment, of more bytes.  Returns
# whether that may be done.
sub limit_file_size
{
	my ($node, $bytes) = @_;
	my $pid = postmaster_pid($node);
	return system("prlimit --pid $pid --fsize=$bytes:$bytes >/dev/null 2>&1") == 0;
}

#
# Sessions that stay connected
#

# A session with a node's database postgres, in which the statements given have
# been run.
my @sessions;

sub open_session
{
	my ($node, @statements) = @_;
	my $s = { in => '', out => '', err => '', errors => '', timer => IPC::Run::timeout(600) };
	$s->{run} = IPC::Run::start(
		[ 'psql', '-X', '-A', '-t', '-q', '-d', $node->connstr('postgres') ],
		'<', \$s->{in}, '>', \$s->{out}, '2>', \$s->{err}, $s->{timer});
	push @sessions, $s;
	ask($s, $_) foreach @statements;
	return $s;
}

# Sends a query, without waiting for its end.
sub begin_query
{
	my ($s, $query) = @_;
	$s->{timer}->start;    # each query has as long
	$s->{out} = '';
	$s->{err} = '';
	$s->{in} .= "$query\n\\echo done\n\\warn done\n";
	$s->{run}->pump_nb;
	return;
}

# Whether it has not ended yet
sub is_busy
{
	my ($s) = @_;
	return $s->{run}->pumpable && ($s->{out} !~ /done\n/ || $s->{err} !~ /done\n/);
}

# Waits for its end; returns what it has printed, and then its errors.
sub end_query
{
	my ($s) = @_;
	$s->{run}->pump while is_busy($s);
	s/done\n// foreach $s->{out}, $s->{err};
	$s->{errors} .= $s->{err};
	(my $said = $s->{out} . $s->{err}) =~ s/\n\z//;
	return $said;
}

sub ask
{
	begin_query(@_);
	return end_query($_[0]);
}

# Ends sessions, by default all; returns all errors that they have had.
sub close_sessions
{
	my @ending = @_ ? @_ : @sessions;
	foreach my $s (@ending)
	{
		$s->{in} .= "\\q\n";
		$s->{err} = '';
		$s->{run}->finish;
		$s->{errors} .= $s->{err};
		@sessions = grep { $_ != $s } @sessions;
	}
	return join '', map { $_->{errors} } @ending;
}

#
# Statements that run meanwhile
#

# Starts a statement in a session of that name.  What it prints is in out and
# err, and it is waited for with finish of its run.
sub background
{
	my ($node, $name, $statement) = @_;
	my $s = { out => '', err => '' };
	$s->{run} = IPC::Run::start(
		[ 'psql', '-X', '-A', '-t', '-q', '-v', 'VERBOSITY=verbose',
			'-d', $node->connstr('postgres') . " application_name=$name", '-c', $statement ],
		'>', \$s->{out}, '2>', \$s->{err}, IPC::Run::timeout(600));
	return $s;
}

# Waits until it has said something.
sub wait_for_message
{
	my ($s, $pattern) = @_;
	$s->{run}->pump until $s->{err} =~ $pattern || !$s->{run}->pumpable;
	die "not there: $s->{err}" unless $s->{err} =~ $pattern;
	return;
}

# Cancels what the session of a name does; 't' if there was one.
sub cancel
{
	my ($node, $name) = @_;
	return $node->safe_psql('postgres',
		qq{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = '$name' AND backend_type = 'client backend'});
}

#
# Waiting
#

# Waits until a query gives true.
sub wait_until
{
	my ($node, $query) = @_;
	$node->poll_query_until('postgres', $query) or die "timed out waiting for: $query";
	return;
}

# Waits until so many sessions wait for a lock of some kind.
sub wait_for_lock
{
	my ($node, $type, $count) = @_;
	$count //= 1;
	wait_until($node, "SELECT count(*) >= $count FROM pg_locks WHERE NOT granted AND locktype = '$type'");
	return;
}

# Waits until all other sessions and their workers have left, or all but so many.
sub wait_until_alone
{
	my ($node, $others) = @_;
	$others //= 0;
	wait_until($node, qq{SELECT count(*) = $others FROM pg_stat_activity
		WHERE backend_type IN ('client backend', 'parallel worker') AND pid <> pg_backend_pid()});
	return;
}

#
# What somebody takes, and may leave behind
#

# Segments of dynamic shared memory that the server holds
sub segments
{
	my ($node) = @_;
	my @files = glob($node->data_dir . '/pg_dynshmem/mmap.*');
	return scalar @files;
}

# What als may take of them: a quarter of those that the server has, 64, and 5
# for each process.
sub segment_bound
{
	my ($node) = @_;
	return int($node->safe_psql('postgres', q{
SELECT (64 + 5 * (2 + sum(setting::int))) / 4 FROM pg_settings
WHERE name IN ('max_connections', 'max_worker_processes', 'max_wal_senders',
	CASE WHEN current_setting('server_version_num')::int < 180000 THEN 'autovacuum_max_workers' ELSE 'autovacuum_worker_slots' END)}));
}

# Temporary files, and directories of those that processes share
sub temporary_files
{
	my ($node) = @_;
	my @files = glob($node->data_dir . '/base/pgsql_tmp/*');
	return scalar @files;
}

# Runs SQL.  Returns what it prints, and, by a log that tells, how many parallel
# workers were started and how many temporary files of a kind were written.
sub run_and_count
{
	my ($node, $sql, $kind) = @_;
	$kind //= '';
	my $offset = -s $node->logfile;
	my $result = $node->safe_psql('postgres', $sql);
	my $log = slurp_file($node->logfile, $offset);
	my $workers = () = $log =~ /starting background worker process "parallel worker/g;
	my $files = () = $log =~ /temporary file: path "[^"]*$kind/g;
	return ($result, $workers, $files);
}

# Cancels an endless statement once it has workers: nothing is left of it.
sub cancel_leaves_nothing
{
	my ($node, $name, $statement) = @_;
	# sessions before have to let go of their segments
	wait_until_alone($node);
	my $before = segments($node);
	my $victim = background($node, 'victim', $statement);
	wait_until($node, q{SELECT count(*) > 0 FROM pg_stat_activity
		WHERE backend_type = 'parallel worker' AND application_name = 'victim'});
	cancel($node, 'victim');
	$victim->{run}->finish;
	like($victim->{err}, qr/canceling statement due to user request/, "$name is cancelled");
	wait_until_alone($node);
	is(temporary_files($node), 0, 'no temporary files are left');
	is(segments($node), $before, 'no shared memory is left');
	return;
}

1;
