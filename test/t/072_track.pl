# The queue of als_track: whatever changes in the ratings is refreshed, whoever writes
# meanwhile, whoever else refreshes, and wherever a refresh ends.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_server('main', "deadlock_timeout = '100ms'", 'shared_buffers = 16MB', 'jit = off');
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(60, 40, 20);
CREATE INDEX ON ratings (user_id);
-- in a session that sets test.gate, storing a user waits for whoever holds that lock
CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('test.gate', true) <> '' THEN PERFORM wait_for(current_setting('test.gate')::int); END IF;
    RETURN NULL;
END $$;
SELECT run FROM als_train('model', 'ratings', factors => 8, alpha => 40, regularization => 0.01);
CREATE TRIGGER gate AFTER UPDATE ON model_users FOR EACH STATEMENT EXECUTE FUNCTION gate();
-- items stay as they are, so that it is the ratings alone that make a user stale
CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.factors := OLD.factors; RETURN NEW; END $$;
CREATE TRIGGER stay BEFORE UPDATE ON model_items FOR EACH ROW EXECUTE FUNCTION stay();
SELECT als_track('model');
-- users who are not what their ratings make of them
CREATE VIEW stale AS
    SELECT user_id FROM model_users FULL JOIN
        (SELECT user_id, array_agg(item_id) AS items, array_agg(rating::float8) AS ratings FROM ratings GROUP BY 1) r USING (user_id)
    WHERE factors IS DISTINCT FROM als_fold_in('model', items, ratings);
SELECT als_refresh('model', ARRAY(SELECT user_id FROM stale));
});
sub stale { return $node->safe_psql('postgres', q{SELECT string_agg(user_id::text, ',' ORDER BY user_id) FROM stale}) }
sub queued { return $node->safe_psql('postgres', q{SELECT string_agg(DISTINCT user_id::text, ',' ORDER BY user_id::text) FROM model_changes}) }
is(stale(), '', 'all users are current');

my ($a, $b, $holder, $writer) = map { open_session($node) } 1 .. 4;
# a change and its row are of one transaction
ask($writer, 'BEGIN; INSERT INTO ratings VALUES (1, 3, 5);');
$node->safe_psql('postgres', 'INSERT INTO ratings VALUES (2, 3, 5)');
is(ask($a, q{SELECT als_refresh('model');}), '2', 'a refresh takes what has been committed, a user and an item');
is(queued(), '', 'which is the end of that');
ask($writer, 'COMMIT;');
is(queued(), '1', 'what is committed later waits');
ask($a, q{SELECT als_refresh('model');});
is(queued(), '', 'for the next');
ask($writer, 'BEGIN; DELETE FROM ratings WHERE user_id = 3; ROLLBACK;');
is(queued(), '', 'what is rolled back leaves nothing');

# two refreshes at once: the second takes what the first has not, without waiting
$node->safe_psql('postgres', 'INSERT INTO ratings VALUES (4, 5, 5)');
ask($a, 'BEGIN;');
is(ask($a, q{SELECT als_refresh('model');}), '2', 'a refresh, not committed');
is(ask($b, q{SELECT als_refresh('model');}), '0', 'another one has nothing to do');
$node->safe_psql('postgres', 'INSERT INTO ratings VALUES (5, 6, 5), (4, 7, 1)');
begin_query($b, q{SELECT als_refresh('model');});
wait_for_lock($node, 'transactionid');
ask($a, 'COMMIT;');
is(end_query($b), '4', 'or waits for a user whom both have to do with');
is(queued(), '', 'and all is done');
is(stale(), '', 'to the last rating');

# one that is killed half-way, having stored, and one that is cancelled
foreach my $end ('pg_terminate_backend', 'pg_cancel_backend')
{
	my $victim = open_session($node);
	ask($holder, 'SELECT pg_advisory_lock(1);');
	ask($victim, 'SET test.gate = 1;');
	$node->safe_psql('postgres', 'INSERT INTO ratings VALUES (6, 8, 5)');
	my $pid = ask($victim, 'SELECT pg_backend_pid();');
	begin_query($victim, q{SELECT als_refresh('model');});
	wait_for_lock($node, 'advisory');
	# what comes meanwhile
	$node->safe_psql('postgres', 'INSERT INTO ratings VALUES (7, 8, 5)');
	is(ask($b, q{SELECT count(*) FROM model_changes;}), '2', 'a refresh half-way');
	$node->safe_psql('postgres', "SELECT $end($pid)");
	wait_until($node, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid AND state = 'active')");
	ask($holder, 'SELECT pg_advisory_unlock(1);');
	is(queued(), '6,7', "after $end, all is in the queue");
	is(ask($b, q{SELECT als_refresh('model');}), '3', 'and the next does it');
	is(queued(), '', 'all of it');
	eval { end_query($victim) };
}

# and a crash
$node->safe_psql('postgres', 'INSERT INTO ratings VALUES (9, 9, 5)');
ask($a, q{BEGIN; SELECT als_refresh('model');});
$node->stop('immediate');
$node->start;
is(queued(), '9', 'or after a crash');
is($node->safe_psql('postgres', q{SELECT als_refresh('model')}), '2', 'it is there, and done');

# All at once: sessions change ratings of users who come and go; others refresh, and
# one of them rolls back each time.
$node->safe_psql('postgres', q{
CREATE PROCEDURE write(seed int, times int) LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. times LOOP
        CASE n % 4
            WHEN 0 THEN DELETE FROM ratings WHERE user_id = 30 + (n * 7 + seed) % 60;
            WHEN 1 THEN UPDATE ratings SET rating = 1 + n % 5 WHERE user_id = 1 + (n * 11 + seed) % 90;
            ELSE INSERT INTO ratings SELECT 1 + (n * 13 + seed * i) % 90, 1 + (n + i) % 40, 1 + n % 5 FROM generate_series(1, 3) i;
        END CASE;
        IF n % 10 = 0 THEN ROLLBACK; ELSE COMMIT; END IF;
    END LOOP;
END $$;
CREATE PROCEDURE refresh(times int, fails boolean) LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. times LOOP
        PERFORM als_refresh('model', workers => 0);
        IF fails THEN ROLLBACK; ELSE COMMIT; END IF;
    END LOOP;
END $$;
});
my @writers = map { open_session($node) } 1 .. 3;
my @refreshers = map { open_session($node) } 1 .. 3;
begin_query($writers[$_], "CALL write($_, 200);") foreach 0 .. $#writers;
my @failed;
my $rounds = 0;
while (grep { is_busy($_) } @writers)
{
	begin_query($refreshers[$_], 'CALL refresh(5, ' . ($_ == 2 ? 'true' : 'false') . ');') foreach 0 .. $#refreshers;
	push @failed, grep { $_ ne '' } map { end_query($_) } @refreshers;
	$rounds++;
	last if @failed;
	$_->{run}->pump_nb foreach @writers;
}
is(end_query($_), '', 'changes are written') foreach @writers;
is(join("\n", @failed), '', 'and refreshed meanwhile');
note("$rounds rounds");
$node->safe_psql('postgres', q{SELECT als_refresh('model')});
is(queued(), '', 'the queue is empty');
is(stale(), '', 'nothing has been missed');
# A dump carries queue and trigger; als_track ties them to the model again.
$node->safe_psql('postgres', 'INSERT INTO ratings VALUES (12, 3, 5)');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
my @connection = ('-h', $node->host, '-p', $node->port);
my $file = $node->basedir . '/dump.sql';
command_ok([ 'pg_dump', @connection, '-f', $file, 'postgres' ], 'a dump');
command_ok([ 'psql', @connection, '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-f', $file, 'restored' ], 'is restored');
$node->safe_psql('restored', 'INSERT INTO ratings VALUES (13, 4, 5)');
is($node->safe_psql('restored', q{SELECT als_track('model')}), 'model_changes', 'is tracked again');
$node->safe_psql('restored', 'INSERT INTO ratings VALUES (14, 5, 5)');
is($node->safe_psql('restored', 'SELECT string_agg(user_id::text, \',\' ORDER BY user_id) FROM model_changes'), '12,13,14', 'with what was in the queue, each change once');
is($node->safe_psql('restored', q{SELECT als_refresh('model')}), '6', 'and is refreshed');
is($node->safe_psql('restored', q{DROP VIEW stale; DROP TABLE model; SELECT count(*) FROM pg_trigger WHERE tgrelid = 'ratings'::regclass}), '0', 'and goes with the model');

# The end of it waits for writers before it takes the queue, and those who come wait for it.
ask($writers[0], 'BEGIN; INSERT INTO ratings VALUES (20, 3, 5);');
begin_query($refreshers[0], q{SELECT als_untrack('model');});
wait_for_lock($node, 'relation');
begin_query($writers[1], 'INSERT INTO ratings VALUES (21, 3, 5);');
wait_until($node, q{SELECT count(*) = 2 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'relation'});
is(ask($writers[0], 'INSERT INTO ratings VALUES (20, 4, 5) RETURNING item_id;'), '4', 'a writer goes on');
ask($writers[0], 'COMMIT;');
is(end_query($refreshers[0]), '', 'als_untrack has waited for it');
is(end_query($writers[1]), '', 'and the next writer for that');
is($node->safe_psql('postgres', q{SELECT to_regclass('model_changes')}), '', 'the queue is gone');
unlike(slurp_file($node->logfile), qr/deadlock detected/, 'there was no deadlock');

close_sessions($_) foreach @writers, @refreshers;

SKIP:
{
	skip 'needs /proc', 12 unless -r "/proc/$$/status";

	# A million changed ratings of 200,000 users: one call refreshes them all, in memory for
	# the ids and not for the changes.
	$node->safe_psql('postgres', q{
	CREATE UNLOGGED TABLE many AS SELECT i % 200000 AS user_id, (i / 200000 * 7 + i % 200000 * 3) % 500 AS item_id, 1::real AS rating FROM generate_series(0, 999999) i;
	SELECT run FROM als_train('large', 'many', factors => 8, iterations => 1, workers => 0);
	SELECT als_track('large');
	CREATE FUNCTION peak_kilobytes() RETURNS int LANGUAGE sql AS $$
	    SELECT substring(pg_read_file('/proc/' || pg_backend_pid() || '/status', 0, 10000) FROM 'VmHWM:\s*(\d+) kB')::int $$;
	});
	my $sample = q{SELECT md5(string_agg(factors::text, ',' ORDER BY user_id)) FROM large_users WHERE user_id % 1000 = 7};
	my @kilobytes;
	foreach my $change ([ 'item_id = user_id * 3 % 500', 200000 ], [ 'true', 1000000 ])
	{
		my ($which, $count) = @$change;
		my $session = open_session($node, q{SET maintenance_work_mem = '4MB';}, q{SET work_mem = '4MB';});
		$node->safe_psql('postgres', "UPDATE many SET rating = rating + 1 WHERE $which");
		is($node->safe_psql('postgres', 'SELECT count(*) FROM large_changes'), $count, "$count changes are queued");
		my (undef, $alone) = split /\n/, $node->safe_psql('postgres', "BEGIN; SELECT als_refresh('large', ARRAY(SELECT 7 + 1000 * i FROM generate_series(0, 199) i)); $sample; ROLLBACK");
		my $before = ask($session, 'SELECT peak_kilobytes();');
		is(ask($session, q{SELECT als_refresh('large', workers => 0);}), 200500, 'one call refreshes all users and items of them');
		push @kilobytes, ask($session, 'SELECT peak_kilobytes();') - $before;
		is($node->safe_psql('postgres', 'SELECT count(*) FROM large_changes'), 0, 'the queue is empty');
		is($node->safe_psql('postgres', $sample), $alone, 'users are as if they had been alone');
		is(close_sessions($session), '', 'without an error');
	}
	note("@kilobytes kB");
	cmp_ok($kilobytes[0], '<', 200500, 'less than a kilobyte for each id');
	cmp_ok($kilobytes[1] - $kilobytes[0], '<', 10000, 'and five times the changes take no more memory');
}

done_testing();
