# Through PgBouncer in transaction mode: many clients on few sessions of the server, who
# trains is seen by all, and prepared statements work as far as PgBouncer has them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Utils;
use Test::More;

my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin';
plan skip_all => 'PgBouncer is not available' unless $pgbouncer;
my ($version) = `$pgbouncer --version` =~ /^PgBouncer (\d+\.\d+)/;
note "PgBouncer $version";
# since 1.21 it knows which session has what prepared
my $prepares = (split /\./, $version)[1] >= 21;

my $node = start_server('main', $parallel_workers);
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(60, 40, 20);
CREATE TABLE backends (pid int);
SELECT als_train('model', 'ratings', factors => 4, workers => 0);
});

my $port = PostgreSQL::Test::Cluster::get_free_port();
my $directory = PostgreSQL::Test::Utils::tempdir_short();
my $user = $node->safe_psql('postgres', 'SELECT current_user');
append_to_file("$directory/pgbouncer.ini", sprintf(q{
[databases]
* = host=%s port=%s user=%s
[pgbouncer]
pool_mode = transaction
default_pool_size = 2
auth_type = any
unix_socket_dir = %s
listen_port = %s
logfile = %s/070_pgbouncer_pooler.log
%s
}, $node->host, $node->port, $user, $directory, $port, $PostgreSQL::Test::Utils::log_path, $prepares ? 'max_prepared_statements = 10' : ''));
my $pooler = IPC::Run::start([ $pgbouncer, '-q', "$directory/pgbouncer.ini" ]);
END
{
	my $status = $?;
	$pooler->kill_kill if $pooler && $pooler->pumpable;
	$? = $status;
}
my @through = ('-h', $directory, '-p', $port);
my $attempts = 10 * $PostgreSQL::Test::Utils::timeout_default;
until (system('psql', @through, '-X', '-q', '-c', '', 'postgres') == 0)
{
	die 'PgBouncer did not start' if --$attempts == 0 || !$pooler->pumpable;
	select undef, undef, undef, 0.1;
}

# A session through the pooler
sub client
{
	my $s = open_session($node);
	ask($s, "\\connect 'host=$directory port=$port dbname=postgres'");
	return $s;
}

my $answer = q{SELECT sum(score), array_agg(item_id) FROM als_recommend('model', 7, 10, exclude_seen => false);};
sub answer { return $node->safe_psql('postgres', $answer); }

# Four clients, of which two are in transactions at a time
my @clients = map { client() } 1 .. 4;
my %pids;
my $old = answer();
foreach my $round (1 .. 3)
{
	foreach my $pair ([ 0, 1 ], [ 2, 3 ], [ 0, 3 ])
	{
		ask($clients[$_], 'BEGIN;') foreach @$pair;
		$pids{ ask($clients[$_], 'SELECT pg_backend_pid();') } = 1 foreach @$pair;
		is(ask($clients[$_], $answer), $old, "round $round: client $_ has the answer") foreach @$pair;
		ask($clients[$_], 'COMMIT;') foreach @$pair;
	}
}
is(scalar keys %pids, 2, 'four clients have two sessions of the server');

# Whoever trains or refreshes, all see it with their next statement
ask($clients[0], 'BEGIN;');
is(ask($clients[0], $answer), $old, 'a transaction has the old model');
ask($clients[0], 'COMMIT;');
is(ask($clients[1], q{SELECT run FROM als_train('model', 'ratings', factors => 8, workers => 2);}), '2',
	'a client trains, in parallel workers');
my $new = answer();
isnt($new, $old, 'which makes another model');
is(ask($clients[$_], $answer), $new, "client $_ has the new one") foreach 0 .. 3;
ask($clients[2], 'INSERT INTO ratings VALUES (7, 1, 5), (7, 2, 5);');
is(ask($clients[3], q{SELECT als_refresh_user('model', 7);}), 't', 'a client refreshes a user');
my $refreshed = answer();
isnt($refreshed, $new, 'which changes his list');
is(ask($clients[$_], $answer), $refreshed, "client $_ has it") foreach 0 .. 3;

# What a transaction sets ends with it; what a role has, all sessions have
my $size = q{SELECT current_setting('als.cache_size');};
my $default = ask($clients[0], $size);
ask($clients[0], q{BEGIN; SET LOCAL als.cache_size = '1MB';});
is(ask($clients[0], $answer), $refreshed, 'settings of a transaction are its own');
ask($clients[0], 'COMMIT;');
is(ask($clients[$_], $size), $default, "client $_ has nothing of them") foreach 0 .. 3;

# Statements prepared within a transaction
ask($clients[0], q{BEGIN; PREPARE list AS SELECT sum(score), array_agg(item_id) FROM als_recommend('model', $1, $2, exclude_seen => false);});
is(ask($clients[0], q{EXECUTE list('7', 10);}), $refreshed, 'a statement prepared in a transaction, with text for an id');
ask($clients[0], 'DEALLOCATE list; COMMIT;');
is(close_sessions(), '', 'without any errors');

# As drivers do it: with parameters and without a name, or prepared
append_to_file("$directory/lists.sql", q{
\set user random(1, 60)
SELECT count(*) FROM als_recommend('model', :user, 5, exclude => '{1,2}');
SELECT count(*) FROM als_similar_items('model', 3);
SELECT als_predict('model', :user, '3');
INSERT INTO backends VALUES (pg_backend_pid());
});
append_to_file("$directory/train.sql", q{
SELECT als_refresh_user('model', 7);
SELECT run FROM als_train('model', 'ratings', factors => 4, workers => 0);
});
foreach my $mode ('simple', 'extended', 'prepared')
{
  SKIP:
	{
		skip 'PgBouncer prepares since 1.21', 5 if $mode eq 'prepared' && !$prepares;
		$node->safe_psql('postgres', 'TRUNCATE backends');
		my $trainer = IPC::Run::start([ 'pgbench', @through, '-n', '-t', 5, '-f', "$directory/train.sql", 'postgres' ],
			'>', '/dev/null', '2>', \my $complaints);
		$node->command_checks_all(
			[ 'pgbench', @through, '-n', '-M', $mode, '-c', 8, '-t', 20, '-f', "$directory/lists.sql", 'postgres' ],
			0, [qr{transactions actually processed: 160/160}], [qr/^(?!.*(error|ERROR))/s],
			"eight clients ask in mode $mode while another trains");
		ok($trainer->finish, 'which it does') or diag($complaints);
		cmp_ok($node->safe_psql('postgres', 'SELECT count(DISTINCT pid) FROM backends'), '<=', 2, 'all on two sessions');
	}
}

done_testing();
