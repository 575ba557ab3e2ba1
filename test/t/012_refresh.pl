# Refreshes of single rows, beside each other and beside trainings: nothing is
# lost, nothing is stored over something newer, nobody waits for nobody.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
# a deadlock that somebody has to detect would be a failure, and a slow one
$node->append_conf('postgresql.conf', "deadlock_timeout = '100ms'");
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION als;
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, (1 + (u * 31 + i * 17) % 5)::real AS rating
    FROM generate_series(1, 60) u, generate_series(1, 40) i
    WHERE (u * 7919 + i * 104729 + u * i * 13) % 97 < 20;
-- in a session that sets test.gate, reading the ratings waits for whoever holds
-- that lock, having taken its snapshot before
CREATE FUNCTION wait() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    gate int := nullif(current_setting('test.gate', true), '');
BEGIN
    IF gate IS NOT NULL THEN
        PERFORM pg_advisory_lock_shared(gate);
        PERFORM pg_advisory_unlock_shared(gate);
    END IF;
    RETURN true;
END $$;
CREATE VIEW gated AS SELECT r.* FROM (SELECT wait() AS w OFFSET 0) w, ratings r WHERE w.w;
SELECT run FROM als_train('model', 'gated', factors => 8);
-- is a user's row what all ratings of now make of it?
CREATE FUNCTION current(who int) RETURNS text LANGUAGE sql AS $$
    SELECT count(*) || ' ' || coalesce(bool_and(factors = als_fold_in('model',
               (SELECT array_agg(item_id) FROM ratings WHERE user_id = who),
               (SELECT array_agg(rating::float8) FROM ratings WHERE user_id = who))), false)
    FROM model_users WHERE user_id = who $$;
});

# A session that stays connected.
my @sessions;
sub session
{
	my $s = { in => '', out => '', err => '' };
	$s->{run} = IPC::Run::start(
		[ 'psql', '-X', '-A', '-t', '-q', '-d', $node->connstr('postgres') ],
		'<', \$s->{in}, '>', \$s->{out}, '2>', \$s->{err}, IPC::Run::timeout(600));
	push @sessions, $s;
	return $s;
}
sub begin_query
{
	my ($s, $query) = @_;
	$s->{out} = '';
	$s->{err} = '';
	$s->{in} .= "$query\n\\echo done\n";
	$s->{run}->pump_nb;
}
sub end_query
{
	my ($s) = @_;
	$s->{run}->pump until $s->{out} =~ /done\n/ || !$s->{run}->pumpable;
	(my $out = $s->{out}) =~ s/done\n//;
	chomp $out;
	return $out . $s->{err};
}
sub ask
{
	begin_query(@_);
	return end_query($_[0]);
}
# Waits until so many sessions wait for a lock of some kind.
sub wait_for_lock
{
	my ($type, $count) = @_;
	$count //= 1;
	$node->poll_query_until('postgres', "SELECT count(*) >= $count FROM pg_locks WHERE NOT granted AND locktype = '$type'") or die 'timed out';
}
sub rate { return $node->safe_psql('postgres', "INSERT INTO ratings VALUES ($_[0], $_[1], $_[2])"); }
sub current { return $node->safe_psql('postgres', "SELECT current($_[0])"); }

my $training = q{SELECT run FROM als_train('model', 'gated', factors => 8);};
my ($reader, $trainer, $a, $b, $holder) = map { session() } 1 .. 5;
my $score = q{SELECT als_predict('model', 3, 5), (SELECT sum(score) FROM als_recommend('model', 3, 5));};

# what a session keeps is forgotten when somebody else refreshes
my $old = ask($reader, $score);
rate(3, 5, 4);
is(ask($a, q{BEGIN; SELECT als_refresh_user('model', 3);}), 't', 'a refresh');
is(ask($reader, $score) =~ s/\|.*//r, $old =~ s/\|.*//r, 'it is not seen before it commits');
ask($a, 'COMMIT;');
my $new = ask($reader, $score);
isnt($new, $old, 'and by the next statement after that');
is($node->safe_psql('postgres', $score), $new, 'as in a new session');
is(current(3), '1 true', 'it is what the ratings make of it');
$old = $new;
is(ask($a, q{BEGIN; SELECT als_refresh_item('model', 5);}), 't', 'an item');
ask($a, 'COMMIT;');
isnt($new = ask($reader, $score), $old, 'is seen too');
is($node->safe_psql('postgres', $score), $new, 'as in a new session');
is(ask($a, q{BEGIN; DELETE FROM ratings WHERE user_id = 3; SELECT als_refresh_user('model', 3); ROLLBACK;}), 'f', 'one that is rolled back');
is(ask($reader, $score), $new, 'is not');

# a refresh that comes during a training waits for it, so that what it stores is
# not overwritten with what the training has read before; readers do not wait
ask($holder, 'SELECT pg_advisory_lock(1);');
ask($trainer, 'SET test.gate = 1;');
begin_query($trainer, $training);
wait_for_lock('advisory');
rate(4, $_, 5) foreach 1 .. 10;
begin_query($a, q{SELECT als_refresh_user('model', 4);});
begin_query($b, q{SELECT als_refresh_user('model', 61), als_refresh_user('model', 5);});
wait_for_lock('relation', 2);
is(ask($reader, $score), $new, 'readers go on while a training and refreshes wait');
ask($holder, 'SELECT pg_advisory_unlock(1);');
is(end_query($trainer), '2', 'the training ends');
is(end_query($a), 't', 'and then the refresh');
is(end_query($b), "f|t", 'and the other');
is(current(4), '1 true', 'which has all ratings, and the new items');
is(current(5), '1 true', 'and the other');
ask($trainer, 'RESET test.gate;');

# a training that comes during a refresh waits for that, and has its ratings
my $pairs = $node->safe_psql('postgres', 'SELECT count(DISTINCT (user_id, item_id)) FROM ratings');
ask($a, q{BEGIN; INSERT INTO ratings VALUES (62, 1, 5), (62, 2, 4);});
is(ask($a, q{SELECT als_refresh_user('model', 62);}), 't', 'a refresh in a transaction');
begin_query($trainer, $training);
wait_for_lock('relation');
is(ask($b, q{SELECT als_predict('model', 62, 1) IS NULL;}), 't', 'readers go on while a training waits for it');
is(ask($a, q{SELECT als_refresh_user('model', 63), als_refresh_item('model', 1);}), 'f|t', 'and so does the transaction');
ask($a, 'COMMIT;');
is(end_query($trainer), '3', 'the training goes through');
is($node->safe_psql('postgres', 'SELECT ratings FROM model WHERE run = 3'), $pairs + 2, 'and has read what was refreshed');
is(ask($b, q{SELECT als_predict('model', 62, 1) IS NULL;}), 'f', 'the user is there');

# who has read from the model may not wait for a training that will wait for him
ask($holder, 'SELECT pg_advisory_lock(1);');
is(ask($a, q{BEGIN; SELECT als_predict('model', 6, 1) IS NULL;}), 'f', 'a transaction that has read from the model');
ask($trainer, 'SET test.gate = 1;');
begin_query($trainer, $training);
wait_for_lock('advisory');
ask($a, '\set VERBOSITY verbose');
like(ask($a, q{SELECT als_refresh_user('model', 6);}), qr/ERROR:  55P03: als_refresh_user cannot wait for the training of model "model".*HINT:  Refresh in a transaction of its own/s,
	'cannot refresh during a training');
ask($a, 'ROLLBACK;');
ask($holder, 'SELECT pg_advisory_unlock(1);');
is(end_query($trainer), '4', 'which goes on');
is(ask($a, q{BEGIN; SELECT als_predict('model', 6, 1) IS NULL; SELECT als_refresh_user('model', 6); COMMIT;}), "f\nt", 'without a training it can');
ask($trainer, 'RESET test.gate;');

# an old snapshot must not store what a training knows better
ask($a, 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;');
rate(7, 1, 5);
is(ask($trainer, $training), '5', 'a training after a snapshot was taken');
like(ask($a, q{SELECT als_refresh_user('model', 7);}), qr/ERROR:  40001: could not serialize access due to concurrent training/, 'is too new for it');
ask($a, 'ROLLBACK;');
ask($a, 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;');
rate(7, 2, 5);
is(ask($b, q{SELECT als_refresh_user('model', 7);}), 't', 'and so is another refresh');
like(ask($a, q{SELECT als_refresh_user('model', 7);}), qr/ERROR:  40001: could not serialize access due to concurrent update/, 'of the same user');
ask($a, 'ROLLBACK;');
is(current(7), '1 true', 'whose row is the newer one');

# two refreshes of different rows do not wait for each other
rate($_, 3, 5) foreach 8, 9, 64, 65;
is(ask($a, q{BEGIN; SELECT als_refresh_user('model', 8), als_refresh_user('model', 64), als_refresh_item('model', 1);}), 't|t|t', 'a refresh of three rows');
is(ask($b, q{SELECT als_refresh_user('model', 9), als_refresh_user('model', 65), als_refresh_item('model', 2);}), 't|t|t', 'and one of three others meanwhile');
ask($a, 'COMMIT;');
is($node->safe_psql('postgres', 'SELECT count(*) FROM model_users WHERE user_id IN (8, 9, 64, 65)'), '4', 'all are there');

# of the same row: the second waits for the first, and reads after that.  First
# a row that is there; the first refresh has read before the second rating came.
ask($holder, 'SELECT pg_advisory_lock(1);');
ask($a, 'SET test.gate = 1;');
begin_query($a, q{SELECT als_refresh_user('model', 10);});
wait_for_lock('advisory');
rate(10, $_, 5) foreach 1 .. 5;
begin_query($b, q{SELECT als_refresh_user('model', 10);});
wait_for_lock('transactionid');
ask($holder, 'SELECT pg_advisory_unlock(1);');
is(end_query($a), 't', 'the first refresh');
is(end_query($b), 't', 'and the second, of the same user');
is(current(10), '1 true', 'the newer ratings have won');
# a new row: both read, the one that has read first is the last to store
ask($holder, 'SELECT pg_advisory_lock(1);');
rate(66, 1, 5);
begin_query($a, q{SELECT als_refresh_user('model', 66);});
wait_for_lock('advisory');
rate(66, 2, 5);
is(ask($b, q{SELECT als_refresh_user('model', 66);}), 't', 'a new user');
ask($holder, 'SELECT pg_advisory_unlock(1);');
is(end_query($a), 't', 'and the same from older ratings');
is(current(66), '1 true', 'the newer ratings have won');
ask($a, 'RESET test.gate;');
# a new row that is not committed yet, or never
foreach my $end ('COMMIT', 'ROLLBACK')
{
	my $user = $end eq 'COMMIT' ? 67 : 68;
	rate($user, 1, 5);
	ask($a, qq{BEGIN; INSERT INTO ratings VALUES ($user, 2, 4);});
	is(ask($a, qq{SELECT als_refresh_user('model', $user);}), 't', 'a new user, not committed');
	rate($user, 3, 5);
	begin_query($b, qq{SELECT als_refresh_user('model', $user);});
	wait_for_lock('transactionid');
	ask($a, "$end;");
	is(end_query($b), 't', 'and the same from another session, with a rating more');
	is(current($user), '1 true', "after $end");
}
# a row that somebody deletes meanwhile
$node->safe_psql('postgres', 'DELETE FROM ratings WHERE user_id = 11');
is(ask($a, q{BEGIN; SELECT als_refresh_user('model', 11);}), 'f', 'a user without ratings is deleted');
begin_query($b, q{SELECT als_refresh_user('model', 11);});
wait_for_lock('transactionid');
rate(11, 1, 5);
ask($a, 'COMMIT;');
is(end_query($b), 't', 'and is back with a rating');
is(current(11), '1 true', 'as a new row');

# ids without an order: one refresh at a time
$node->safe_psql('postgres', q{
CREATE VIEW xids AS SELECT user_id::text::xid AS user_id, item_id, rating FROM ratings;
SELECT run FROM als_train('unordered', 'xids', factors => 4);});
rate(69, 1, 5);
is(ask($a, q{BEGIN; SELECT als_refresh_user('unordered', '69'::xid);}), 't', 'an id without an order');
begin_query($b, q{SELECT als_refresh_user('unordered', '69'::xid);});
wait_for_lock('relation');
ask($a, 'COMMIT;');
is(end_query($b), 't', 'and once more');
is($node->safe_psql('postgres', q{SELECT count(*) FROM unordered_users WHERE user_id = '69'::xid}), '1', 'is there once');

# All at once.  Sessions rate and refresh, each in transactions of its own, and
# say under which run they did; meanwhile trainings go on until all are done.
$node->safe_psql('postgres', q{
CREATE TABLE log (user_id int, item_id int, run int);
CREATE PROCEDURE work(seed int, times int) LANGUAGE plpgsql AS $$
DECLARE
    who int;
    what int;
BEGIN
    FOR n IN 1 .. times LOOP
        who := 1 + (n * 7 + seed) % 90;
        what := 1 + (n * 11 + seed * 3) % 40;
        INSERT INTO ratings VALUES (who, what, 1 + n % 5);
        PERFORM als_refresh_user('model', who);
        INSERT INTO log SELECT who, what, max(run) FROM model;
        COMMIT;
    END LOOP;
END $$;
-- rows of another model, users and items in turn
SELECT run FROM als_train('both', 'ratings', factors => 4);
CREATE PROCEDURE refresh_both(seed int, times int) LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. times LOOP
        PERFORM als_refresh_user('both', 1 + (n * seed) % 20);
        PERFORM als_refresh_item('both', 1 + (n * seed) % 10);
        COMMIT;
        PERFORM als_recommend('both', 3, 5);
        COMMIT;
    END LOOP;
END $$;
CREATE TABLE before AS SELECT DISTINCT user_id, item_id FROM ratings;
});
my $other_trainer = session();
my @workers = map { session() } 1 .. 6;
begin_query($workers[$_], "CALL work($_, 150);") foreach 0 .. 3;
begin_query($workers[$_], "CALL refresh_both($_, 150);") foreach 4, 5;
my $rounds = 0;
my @failed;
while (grep { $_->{out} !~ /done\n/ && $_->{run}->pumpable } @workers)
{
	begin_query($trainer, $training);
	begin_query($other_trainer, q{SELECT run FROM als_train('both', 'ratings', factors => 4);});
	push @failed, grep { !/^\d+$/ } map { end_query($_) } $trainer, $other_trainer;
	$rounds++;
	last if @failed;
	$_->{run}->pump_nb foreach @workers;
}
is(join("\n", @failed), '', 'every training went through');
note("$rounds rounds of trainings");
is(end_query($_), '', 'and every refresh') foreach @workers;
is($node->safe_psql('postgres', 'SELECT count(*) FROM log'), 4 * 150, 'of which there were many');
# the last training has read all ratings that were refreshed before it, and no
# other; who was refreshed after it is what his ratings make of him
is($node->safe_psql('postgres', q{
	SELECT (SELECT ratings FROM model ORDER BY run DESC LIMIT 1)
	     = (SELECT count(*) FROM (SELECT user_id, item_id FROM log WHERE run < (SELECT max(run) FROM model)
	                              UNION SELECT user_id, item_id FROM before) t)}), 't', 'the last training has read all ratings before it');
is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT DISTINCT user_id FROM log WHERE run = (SELECT max(run) FROM model)) t
	WHERE current(user_id) <> '1 true'}), '0', 'and no refresh after it is lost');
# more of those, without trainings
begin_query($workers[$_], "CALL work($_, 150);") foreach 0 .. 3;
is(end_query($_), '', 'refreshes by themselves') foreach @workers[0 .. 3];
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT current(user_id), ',') FROM (SELECT DISTINCT user_id FROM log WHERE run = (SELECT max(run) FROM model)) t}),
	'1 true', 'none is lost');
unlike(slurp_file($node->logfile), qr/deadlock detected/, 'there was no deadlock');

foreach my $s (@sessions)
{
	$s->{in} .= "\\q\n";
	$s->{run}->finish;
}
done_testing();
