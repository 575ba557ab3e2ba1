# Segments of dynamic shared memory are few, and everybody's: what als takes of
# them is bounded, and what nobody will ask for again is given back.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Utils;
use Test::More;

# Few connections, and so few segments
my $node = start_server('main', q{
shared_preload_libraries = 'als'
dynamic_shared_memory_type = mmap
max_connections = 8
max_worker_processes = 8
max_parallel_maintenance_workers = 2
autovacuum_max_workers = 1
max_wal_senders = 0
max_prepared_transactions = 2
autovacuum = off
});
my $bound = segment_bound($node);

$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(8, 9, 97);
CREATE TABLE broad AS SELECT i % 50 AS user_id, i AS item_id, 1 AS rating FROM generate_series(1, 4000) i;
CREATE FUNCTION recommend(model regclass) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT count(*) FROM als_recommend(model, 1, 5, exclude_seen => false));
END $$;
-- the first makes what stays
SELECT run FROM als_train('warm', 'ratings', factors => 2, iterations => 1);
SELECT count(*) FROM als_recommend('warm', 1, 5, exclude_seen => false);
DROP TABLE warm;
});

# Bytes of the segments, the server's own included
sub bytes
{
	my $bytes = 0;
	$bytes += -s $_ // 0 for glob($node->data_dir . '/pg_dynshmem/mmap.*');
	return $bytes;
}

# Nobody has anything: what is there is the server's own, and statistics
my $before = segments($node);
my $bytes_before = bytes();

# One session trains, asks twice, drops, three hundred times, while others
# train with workers and ask.  No model is ever asked for by another session.
my $other = open_session($node);
my $dropper = open_session($node);
my $most = 0;
foreach my $round (1 .. 30)
{
	ask($dropper, join '', map {
			"SELECT run FROM als_train('m$_', 'ratings', factors => 2, iterations => 1); SELECT recommend('m$_'), recommend('m$_'); DROP TABLE m$_;"
	} map { $round * 10 + $_ } 1 .. 10);
	is(ask($other, q{SELECT workers FROM als_train('others', 'broad', factors => 4, iterations => 1, workers => 2); SELECT recommend('others');}),
		"2\n5", "round $round: others have workers") if $round % 10 == 0;
	$most = segments($node) if $most < segments($node);
}
cmp_ok($most, '<=', $before + $bound + 6, 'segments are bounded');
# a session that goes on, and drops, has none left of what it has dropped
ask($dropper, 'SELECT 1;');
cmp_ok(segments($node), '<=', $before + 6, 'and given back with the models');
is(close_sessions($dropper), '', 'without an error of the one');
is(close_sessions($other), '', 'or of the other');
wait_until_alone($node);
$node->safe_psql('postgres', 'DROP TABLE others');
is(segments($node), $before, 'nothing is left of them');

# More live models than there are segments: who finds none keeps a copy to
# himself, and sessions end in any order.
$node->safe_psql('postgres', join ';', map { "SELECT run FROM als_train('live$_', 'ratings', factors => 2, iterations => 1)" } 1 .. 75);
my @sessions = map { open_session($node) } 1 .. 5;
my @order = (3, 0, 4, 1, 2);
my $all = join ' UNION ALL ', map { "SELECT recommend('live$_') AS n" } 1 .. 75;
foreach my $again (1, 2)
{
	foreach my $session (@sessions)
	{
		is(ask($session, "SELECT sum(n) FROM ($all) r;"), 75 * 5, "75 models, time $again");
		cmp_ok(segments($node), '<=', $before + $bound + 5, 'segments are bounded');
	}
}
is(ask($sessions[2], q{SELECT workers FROM als_train('live7', 'broad', factors => 4, iterations => 1, workers => 2);}), 2, 'there are some for workers');
ask($sessions[1], 'ALTER TABLE live9 RENAME TO renamed;');
is(ask($sessions[4], q{SELECT recommend('renamed');}), 5, 'a renamed one');
is(ask($sessions[0], q{SELECT recommend('live7');}), 5, 'a retrained one');
foreach my $number (@order)
{
	is(close_sessions($sessions[$number]), '', "session $number: no error");
}
wait_until_alone($node);
cmp_ok(segments($node), '<=', $before + $bound, 'segments are bounded, with nobody there');
$node->safe_psql('postgres', join ';', (map { $_ == 9 ? 'DROP TABLE renamed' : "DROP TABLE live$_" } 1 .. 75));
is(segments($node), $before, 'dropped models are given back');

# Memory is given back when a table is dropped, by whatever, or written anew.
foreach my $case (
	[ 'DROP TABLE', 'DROP TABLE big' ],
	[ 'DROP TABLE, prepared', q{BEGIN; DROP TABLE big; PREPARE TRANSACTION 'drop'} ],
	[ 'DROP SCHEMA', 'DROP SCHEMA shop CASCADE', ],
	[ 'DROP OWNED', 'DROP OWNED BY owner' ],
	[ 'TRUNCATE', 'TRUNCATE big_items' ],
	[ 'retraining', q{SELECT run FROM als_train('big', 'broad', factors => 32, iterations => 1)} ],
	[ 'VACUUM FULL', 'VACUUM FULL big_items' ])
{
	my ($name, $sql) = @$case;
	$node->safe_psql('postgres', q{
DROP ROLE IF EXISTS owner;
CREATE ROLE owner;
CREATE SCHEMA shop AUTHORIZATION owner;
GRANT SELECT ON broad TO owner;
GRANT CREATE ON SCHEMA public TO owner;
SET ROLE owner;
SELECT run FROM als_train('} . ($name eq 'DROP SCHEMA' ? 'shop.big' : 'big') . q{', 'broad', factors => 32, iterations => 1);
});
	$node->safe_psql('postgres', q{SET search_path = public, shop; SELECT recommend('big')});
	wait_until_alone($node);
	cmp_ok(bytes() - $bytes_before, '>', 4000 * 32 * 4, "$name: the items are shared");
	$node->safe_psql('postgres', $sql);
	cmp_ok(bytes(), '==', $bytes_before, "$name: they are given back");
	$node->safe_psql('postgres', q{COMMIT PREPARED 'drop'}) if $sql =~ /PREPARE/;
	$node->safe_psql('postgres', q{DROP TABLE IF EXISTS big; DROP SCHEMA IF EXISTS shop CASCADE; DROP OWNED BY owner; DROP ROLE owner});
}

# What is rolled back costs no more than making it again.
$node->safe_psql('postgres', q{
SELECT run FROM als_train('big', 'broad', factors => 32, iterations => 1);
SELECT recommend('big');
BEGIN; DROP TABLE big; ROLLBACK;
BEGIN; SAVEPOINT s; DROP TABLE big; ROLLBACK TO s; SELECT recommend('big'); COMMIT;
});
is($node->safe_psql('postgres', q{SELECT recommend('big')}), 5, 'a DROP that is rolled back');
cmp_ok(bytes() - $bytes_before, '>', 4000 * 32 * 4, 'which is shared still, or again');

# A database, when nobody is connected to it any more
$node->safe_psql('postgres', 'DROP TABLE big; CREATE DATABASE shop');
install_als($node, 'shop');
$node->safe_psql('shop', q{
CREATE TABLE broad AS SELECT i % 50 AS user_id, i AS item_id, 1 AS rating FROM generate_series(1, 4000) i;
SELECT run FROM als_train('big', 'broad', factors => 32, iterations => 1);
SELECT count(*) FROM als_recommend('big', 1, 5, exclude_seen => false);
});
wait_until_alone($node);
cmp_ok(bytes() - $bytes_before, '>', 4000 * 32 * 4, 'DROP DATABASE: the items are shared');
$node->safe_psql('postgres', 'DROP DATABASE shop');
$node->safe_psql('postgres', 'SELECT 1');
is(bytes(), $bytes_before, 'DROP DATABASE: they are given back with the next transaction');

# Two models that name the same factor tables have them in common, also in a
# session that asks both; and each lets go of them alone.
$node->safe_psql('postgres', q{
SELECT run FROM als_train('first', 'broad', factors => 32, iterations => 1);
CREATE TABLE second OF als_model;
INSERT INTO second SELECT * FROM first;
});
my $both = open_session($node);
is(ask($both, q{SELECT recommend('first'), recommend('second'), recommend('first'), recommend('second');}), '5|5|5|5', 'two models of the same tables');
my $shared = bytes();
cmp_ok($shared - $bytes_before, '<', 2 * 4000 * 32 * 4, 'which are shared once');
is(ask($both, q{DROP TABLE second; SELECT recommend('first');}), 5, 'one of them is dropped');
is(bytes(), $shared, 'the other has them still');
is(ask($both, q{BEGIN; SELECT recommend('first'); SAVEPOINT s; CREATE TABLE third OF als_model; INSERT INTO third SELECT * FROM first; SELECT recommend('third'); ROLLBACK TO s; SELECT recommend('first'); COMMIT;}),
	"5\n5\n5", 'one that is rolled back');
ask($both, 'DROP TABLE first;');
is(bytes(), $bytes_before, 'and both');
is(close_sessions($both), '', 'without an error');
wait_until_alone($node);

# The server's bound is als.shared_cache_size, whatever sessions set: a piece
# takes about 590 kB here.
$node->append_conf('postgresql.conf', q{als.shared_cache_size = '1300kB'});
$node->reload;
$node->safe_psql('postgres', join ';', map { "SELECT run FROM als_train('big$_', 'broad', factors => 32, iterations => 1)" } 1 .. 4);
my $greedy = open_session($node);
is(ask($greedy, q{SET als.cache_size = '1GB'; SELECT recommend('big1'), recommend('big2'), recommend('big3');}), '5|5|5', 'a session with room for all');
my $two = bytes();
cmp_ok($two - $bytes_before, '<', 2 * 1024 * 1024, 'shares no more than the server allows');
my $small = open_session($node);
is(ask($small, q{SET als.cache_size = '64kB'; SELECT recommend('big4');}), 5, 'a session with room for nothing');
is(bytes(), $two, 'takes nothing away');
close_sessions($small);
close_sessions($greedy);
wait_until_alone($node);
$node->safe_psql('postgres', q{SET als.cache_size = '64kB'; SELECT recommend('big4')});
is(bytes(), $two, 'not even from nobody');
$node->safe_psql('postgres', q{SELECT recommend('big4')});
is(bytes(), $two, 'what is not in use makes room');
my ($status, $stdout, $stderr) = $node->psql('postgres', q{SET als.shared_cache_size = '2GB'});
like($stderr, qr/parameter "als.shared_cache_size" cannot be changed now/, 'only the server sets it');
wait_until_alone($node);
$node->append_conf('postgresql.conf', 'als.shared_cache_size = 0');
$node->reload;
$node->poll_query_until('postgres', q{SELECT setting = '0' FROM pg_settings WHERE name = 'als.shared_cache_size'});
$node->safe_psql('postgres', 'SELECT recommend(model) FROM als_models');
is(bytes(), $bytes_before, 'zero shares nothing');

# Where als is not preloaded, a session that has it finds what is there when it
# has changed a table.
if ($node->safe_psql('postgres', q{SELECT current_setting('server_version_num')::int >= 170000}) eq 't')
{
	$node->append_conf('postgresql.conf', q{
shared_preload_libraries = ''
als.shared_cache_size = '256MB'
});
	$node->restart;
	# what als has of segments itself
	$node->safe_psql('postgres', q{SELECT run FROM als_train('big', 'broad', factors => 32, iterations => 1); SELECT recommend('big'); DROP TABLE big});
	my $registry = bytes();
	foreach my $sql (q{SELECT run FROM als_train('big', 'broad', factors => 32, iterations => 1)}, q{LOAD 'als'; DROP TABLE big}, q{LOAD 'als'; BEGIN; DROP TABLE big; PREPARE TRANSACTION 'drop'})
	{
		$node->safe_psql('postgres', q{SELECT run FROM als_train('big', 'broad', factors => 32, iterations => 1)});
		$node->safe_psql('postgres', q{SELECT recommend('big')});
		cmp_ok(bytes() - $registry, '>', 4000 * 32 * 4, 'not preloaded: the items are shared');
		$node->safe_psql('postgres', $sql);
		is(bytes(), $registry, 'and given back');
		$node->safe_psql('postgres', q{COMMIT PREPARED 'drop'}) if $sql =~ /PREPARE/;
	}
}

$node->stop;
unlike(slurp_file($node->logfile), qr/53000|too many dynamic|leak|PANIC|terminated by signal|XX000/, 'nothing leaked, and nobody went without');
is(segments($node), 0, 'nor is a file left');
done_testing();
