# Runs that are kept, and another one that comes to serve: beside readers, trainings
# and refreshes every answer is from one committed run; a dump and a standby have all
# of them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# What would be a deadlock is found soon.  The factors of a run say which one it is: all
# are its number, and scores its square.
my $node = start_server('main', "deadlock_timeout = '100ms'", "wal_level = 'logical'", 'max_wal_senders = 4');
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT u AS user_id, i AS item_id, 1 AS rating FROM generate_series(1, 20) u, generate_series(1, 15) i WHERE (u + i) % 3 = 0;
CREATE FUNCTION train(next int) RETURNS int LANGUAGE sql AS $$
    SELECT run FROM als_import('m', format('SELECT u AS user_id, ARRAY[%s, 0]::real[] AS factors FROM generate_series(1, 20) u', next),
        format('SELECT i AS item_id, ARRAY[%s, 1]::real[] AS factors FROM generate_series(1, 15) i', next), 'ratings', alpha => 1, regularization => 1, regularization_scaling => 0)
$$;
SELECT run FROM als_train('m', 'ratings', factors => 2, keep => 4);
SELECT train(n) FROM generate_series(2, 4) n;
-- the run that a user of its own and all items are of; an error if there are several
CREATE FUNCTION answers_from(number int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    result int;
    scores float8[];
BEGIN
    SELECT array_agg(DISTINCT score) INTO scores FROM als_recommend('m', 20, 15, exclude_seen => false, run => number);
    result := sqrt(scores[1]);
    IF cardinality(scores) <> 1 OR scores[1] <> result ^ 2 OR als_predict('m', 20, 1, run => number) <> scores[1] THEN
        RAISE EXCEPTION 'an answer from several runs: %', scores;
    END IF;
    RETURN result;
END $$;
});
sub asks { return $node->safe_psql('postgres', $_[0]); }
my ($reader, $writer, $other) = map { open_session($node, '\set VERBOSITY verbose') } 1 .. 3;
sub runs { return asks(q{SELECT string_agg(run || CASE WHEN serving THEN '*' ELSE '' END, ' ' ORDER BY run) FROM m WHERE user_factors IS NOT NULL}); }
is(runs(), '1 2 3 4*', 'four runs');

# readers of the one, of the other, or of both hold a deployment up, and it nobody
foreach my $read ([ 'that serves', 'NULL', 4 ], [ 'that will serve', '2', 2 ])
{
	ask($reader, 'BEGIN;');
	is(ask($reader, "SELECT answers_from($read->[1]);"), $read->[2], "a transaction has read the run $read->[0]");
	begin_query($writer, q{SELECT als_deploy('m', 2);});
	wait_until($node, q{SELECT count(*) = 1 FROM als_progress WHERE phase = 'waiting'});
	is(asks('SELECT answers_from(NULL), answers_from(2), answers_from(3)'), '4|2|3', 'others go on reading');
	is(ask($reader, 'SELECT answers_from(NULL), answers_from(2), answers_from(3);'), '4|2|3', 'and so does that transaction');
	like(ask($reader, q{SELECT als_refresh_user('m', 1);}), qr/ERROR:  55P03: als_refresh_user cannot wait for the training of model "m"/, 'which gets an error where it would wait in a circle');
	ask($reader, 'ROLLBACK;');
	is(end_query($writer), '', 'it is deployed then');
	is(runs(), '1 2* 3 4', 'and the one before is kept');
	is(asks('SELECT answers_from(NULL), answers_from(2), answers_from(4)'), '2|2|4', 'both answer as they did');
	asks(q{SELECT als_deploy('m', 4)});
}
# a run that is not kept any longer has readers
ask($reader, 'BEGIN;');
is(ask($reader, 'SELECT answers_from(2);'), '2', 'a transaction has read a kept run');
begin_query($writer, 'SELECT train(5);');
is(end_query($writer), '5', 'a training waits for nobody who reads what stays');
begin_query($writer, 'SELECT train(6);');
wait_until($node, q{SELECT count(*) = 1 FROM als_progress WHERE phase = 'waiting'});
is(ask($reader, 'SELECT answers_from(2);'), '2', 'and for one of what goes, who reads on');
ask($reader, 'COMMIT;');
is(end_query($writer), '6', 'until it is done');
like(ask($reader, 'SELECT answers_from(2);'), qr/ERROR:  42704: run 2 of model "m" is not kept/, 'then it is gone');

# a refresh and a deployment wait for each other
ask($other, 'BEGIN;');
is(ask($other, q{SELECT als_refresh_user('m', 1);}), 't', 'a refresh');
my $refreshed = ask($other, q{SELECT als_predict('m', 1, 1);});
begin_query($writer, q{SELECT als_deploy('m', 4);});
wait_for_lock($node, 'relation');
ask($other, 'COMMIT;');
is(end_query($writer), '', 'a deployment waits for it');
is(asks(q{SELECT als_predict('m', 1, 1, run => 6)}), $refreshed, 'and takes it along');
ask($writer, q{BEGIN; SELECT als_deploy('m', 6);});
begin_query($other, q{SELECT als_refresh_user('m', 2);});
wait_for_lock($node, 'relation');
ask($writer, 'ROLLBACK;');
is(end_query($other), 't', 'a refresh waits for a deployment');
is(runs(), '3 4* 5 6', 'which was rolled back');
# two of them, and a training
ask($writer, q{BEGIN; SELECT als_deploy('m', 5);});
begin_query($other, q{SELECT als_deploy('m', 6);});
wait_for_lock($node, 'relation');
begin_query($reader, 'SELECT train(7);');
wait_until($node, q{SELECT count(*) = 2 FROM pg_locks WHERE NOT granted AND relation = 'm'::regclass});
ask($writer, 'COMMIT;');
is(end_query($other), '', 'one after the other');
is(end_query($reader), '7', 'they go on');
is(runs(), '4 5 6 7*', 'to the last');

# what is deleted stays deleted: factors are not copied beside those who change them
sub known { return asks("SELECT array_agg(run ORDER BY run) FROM m WHERE user_factors IS NOT NULL AND als_predict('m', $_[0], 1, run => run) IS NOT NULL"); }
is(known(7), '{4,5,6,7}', 'all runs know a user');
ask($other, 'BEGIN; DELETE FROM m_users WHERE user_id = 7; DELETE FROM m_users_5 WHERE user_id = 7;');
begin_query($writer, q{SELECT als_deploy('m', 5);});
wait_until($node, q{SELECT count(*) = 1 FROM als_progress WHERE phase = 'waiting'});
is(asks('SELECT answers_from(NULL), answers_from(5)'), '7|5', 'a deployment waits for who deletes, and readers go on');
like(ask($other, q{SELECT als_refresh_user('m', 7);}), qr/ERROR:  55P03: als_refresh_user cannot wait for the training of model "m"/, 'who cannot wait for it');
ask($other, 'ROLLBACK;');
is(end_query($writer), '', 'it goes on if he gives up');
is(known(7), '{4,5,6,7}', 'and has lost nothing');
asks(q{SELECT als_deploy('m', 7)});
ask($other, 'BEGIN; DELETE FROM m_users WHERE user_id = 7; DELETE FROM m_users_5 WHERE user_id = 7;');
begin_query($writer, q{SELECT als_deploy('m', 5);});
wait_until($node, q{SELECT count(*) = 1 FROM als_progress WHERE phase = 'waiting'});
ask($other, 'COMMIT;');
is(end_query($writer), '', 'it goes on if he commits');
is(known(7), '{4,6}', 'and brings nothing back');
ask($other, 'BEGIN; DELETE FROM m_users WHERE user_id = 8;');
begin_query($writer, 'SELECT train(8);');
wait_until($node, q{SELECT count(*) = 1 FROM als_progress WHERE phase = 'waiting'});
ask($other, 'COMMIT;');
is(end_query($writer), '8', 'a training that keeps what serves does the same');
is(known(8), '{6,7,8}', 'what it keeps does not have the user, and what it has trained does');
# those who would change what has been copied wait, and do not keep it from swapping
ask($reader, 'BEGIN; SELECT answers_from(NULL);');
begin_query($writer, q{SELECT als_deploy('m', 7);});
wait_until($node, q{SELECT count(*) = 1 FROM als_progress WHERE phase = 'waiting'});
begin_query($other, q{DELETE FROM m_users WHERE user_id = 9;});
my $third = open_session($node);
begin_query($third, q{DELETE FROM m_items WHERE item_id = 9;});
wait_for_lock($node, 'relation', 2);
ask($reader, 'COMMIT;');
is(end_query($_), '', 'a deployment with writers behind it') foreach $writer, $other, $third;
is(close_sessions($third), '', 'without an error');
is(known(9), '{5,6,8}', 'they change what serves then');
is(asks(q{SELECT als_predict('m', 20, 9) IS NULL, als_predict('m', 20, 9, run => 8)}), 't|64', 'of both sides');
asks(q{SELECT als_deploy('m', 8)});
# who has read them and would change them then is in a circle, which ends him and not the
# deployment; who takes his lock first is not
ask($reader, 'BEGIN; SELECT answers_from(NULL);');
begin_query($writer, q{SELECT als_deploy('m', 7);});
wait_until($node, q{SELECT count(*) = 1 FROM als_progress WHERE phase = 'waiting'});
like(ask($reader, 'DELETE FROM m_users WHERE user_id = 10;'), qr/ERROR:  40P01: deadlock detected/, 'a reader that would change what is copied');
ask($reader, 'ROLLBACK;');
is(end_query($writer), '', 'does not end a deployment');
asks(q{SELECT als_deploy('m', 8)});
ask($reader, 'BEGIN; LOCK TABLE m_users, m_items IN ROW EXCLUSIVE MODE; SELECT answers_from(NULL);');
begin_query($writer, q{SELECT als_deploy('m', 7);});
wait_until($node, q{SELECT count(*) = 1 FROM als_progress WHERE phase = 'waiting'});
is(ask($reader, 'DELETE FROM m_users WHERE user_id = 10;'), '', 'one that has locked them first does so');
ask($reader, 'COMMIT;');
is(end_query($writer), '', 'before the deployment');
is(known(10), '{5,6,7}', 'which copies what is left');
asks(q{SELECT als_deploy('m', 8)});
# nor does an old snapshot store something over what has been carried there and back
ask($other, 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;');
asks($_) foreach q{INSERT INTO ratings VALUES (1, 1, 1)}, q{SELECT als_refresh_user('m', 1)}, q{SELECT als_deploy('m', 7)}, q{SELECT als_deploy('m', 8)};
$refreshed = asks(q{SELECT als_predict('m', 1, 1)});
like(ask($other, q{SELECT als_refresh_user('m', 1);}), qr/ERROR:  40001: could not serialize access due to concurrent training/, 'an old snapshot after two deployments');
ask($other, 'ROLLBACK;');
is(asks(q{SELECT als_predict('m', 1, 1)}), $refreshed, 'the newer refresh stays');

# what a session keeps of a run is forgotten with what changes it
is(ask($reader, 'SELECT answers_from(5), answers_from(NULL);'), '5|8', 'a session has read a kept run');
asks('UPDATE m_users_5 SET factors = ARRAY[50, 0]::real[]');
is(ask($reader, q{SELECT als_predict('m', 20, 1, run => 5);}), '250', 'and notices DML on its tables');
asks('UPDATE m_users_5 SET factors = ARRAY[5, 0]::real[]');
is(ask($reader, q{SELECT answers_from(5);}), '5', 'twice');

# all at once
$node->safe_psql('postgres', q{
CREATE PROCEDURE read_many() LANGUAGE plpgsql AS $$
DECLARE
    number int;
    last int := 0;
BEGIN
    WHILE NOT EXISTS (SELECT FROM done HAVING count(*) = 3) LOOP
        last := answers_from(NULL);
        COMMIT;
        SELECT run INTO number FROM m WHERE run > 4 AND user_factors IS NOT NULL ORDER BY random() LIMIT 1;
        BEGIN
            IF answers_from(number) <> number THEN
                RAISE EXCEPTION 'run % answers as %', number, answers_from(number);
            END IF;
        EXCEPTION WHEN undefined_object THEN    -- it is not kept any longer
            last := 0;
        END;
        COMMIT;
    END LOOP;
END $$;
CREATE TABLE done (what text);
CREATE PROCEDURE train_many() LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. 25 LOOP
        -- the number is known once the model is locked
        LOCK TABLE m IN SHARE UPDATE EXCLUSIVE MODE;
        PERFORM train((SELECT max(run) + 1 FROM m));
        COMMIT;
    END LOOP;
    INSERT INTO done VALUES ('trained');
END $$;
CREATE PROCEDURE deploy_many() LANGUAGE plpgsql AS $$
DECLARE
    number int;
BEGIN
    FOR n IN 1 .. 60 LOOP
        SELECT run INTO number FROM m WHERE user_factors IS NOT NULL AND NOT serving ORDER BY random() LIMIT 1;
        BEGIN
            PERFORM als_deploy('m', number);
        EXCEPTION WHEN undefined_object THEN
            NULL;
        END;
        COMMIT;
    END LOOP;
    INSERT INTO done VALUES ('deployed');
END $$;
CREATE PROCEDURE refresh_many() LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. 100 LOOP
        PERFORM als_refresh_user('m', 1 + n % 10);
        COMMIT;
    END LOOP;
    INSERT INTO done VALUES ('refreshed');
END $$;
});
my @sessions = map { open_session($node) } 1 .. 7;
my @calls = ('train_many', 'deploy_many', 'refresh_many', ('read_many') x 4);
begin_query($sessions[$_], "CALL $calls[$_]();") foreach 0 .. $#calls;
is(end_query($sessions[$_]), '', "$calls[$_] beside the others") foreach 0 .. $#calls;
is(asks('SELECT count(*) FROM m WHERE serving'), '1', 'one run serves');
is(asks(q{SELECT count(*), bool_and(answers_from(run) = run) FROM m WHERE user_factors IS NOT NULL}), '4|t', 'four are kept, and answer');
is(asks(q{SELECT count(*) FROM pg_class WHERE relname ~ '^m_(users|items)' AND relkind = 'r'}), '8', 'there are no more tables than that');
is(close_sessions(@sessions), '', 'without an error');

# a dump has all runs
my $all_answers = q{SELECT m.run, serving, md5(string_agg(als_predict('m', u, i, run => m.run)::text, ',' ORDER BY u, i)) FROM m, generate_series(1, 20) u, generate_series(1, 15) i
	WHERE user_factors IS NOT NULL GROUP BY 1, 2 ORDER BY 1};
my $expected = asks($all_answers);
my $dump = $node->basedir . '/dump.sql';
$node->safe_psql('postgres', 'CREATE DATABASE restored');
my @connection = ('-h', $node->host, '-p', $node->port);
command_ok([ 'pg_dump', @connection, '-f', $dump, 'postgres' ], 'pg_dump');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', @connection, '-d', 'restored', '-f', $dump ], 'restored');
is($node->safe_psql('restored', $all_answers), $expected, 'the same answers from all runs');
my $kept = $node->safe_psql('restored', 'SELECT max(run) FROM m WHERE user_factors IS NOT NULL AND NOT serving');
$node->safe_psql('restored', "SELECT als_deploy('m', $kept)");
is($node->safe_psql('restored', 'SELECT answers_from(NULL)'), $kept, 'a run is deployed there');
my $next = 1 + $node->safe_psql('restored', 'SELECT max(run) FROM m');
is($node->safe_psql('restored', "SELECT train($next)"), $next, 'and one trained');
is($node->safe_psql('restored', q{SELECT count(*), bool_and(answers_from(run) = run) FROM m WHERE user_factors IS NOT NULL}), '4|t', 'which leaves as many');
is($node->safe_psql('restored', q{DROP TABLE m; SELECT count(*) FROM pg_class WHERE relname ~ '^m_' AND relkind IN ('r', 'i')}), '0', 'all hang on the model again');

# a standby serves them, and what is deployed
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $all_answers), $expected, 'a standby gives the same answers');
fails_with($standby, "SELECT als_deploy('m', $kept)", qr/ERROR:  25006: cannot execute als_deploy\(\) during recovery\nHINT:  Deploy on the primary/, 'als_deploy on it');
my $session = open_session($standby);
is(ask($session, "SELECT answers_from($kept);"), $kept, 'a session on it has read two runs') if ask($session, 'SELECT answers_from(NULL);');
asks("SELECT als_deploy('m', $kept)");
$node->wait_for_catchup($standby);
is(ask($session, "SELECT answers_from(NULL), answers_from($kept);"), "$kept|$kept", 'and serves the one that is deployed');
is(close_sessions($session), '', 'without an error');
$standby->stop;

# subscribers would not have the tables
asks('CREATE PUBLICATION models FOR TABLE m');
foreach my $statement (q{SELECT train(99)}, qq{SELECT als_deploy('m', (SELECT min(run) FROM m WHERE user_factors IS NOT NULL AND NOT serving))},
	q{SELECT als_train('m', 'ratings', factors => 2, keep => 2)}, q{SELECT als_train('m', 'ratings', factors => 2, keep => 2, deploy => 'never')})
{
	fails_with($node, $statement, qr/ERROR:  0A000: cannot keep runs of published model "m"/, $statement);
}
is(asks(q{SELECT keep FROM als_train('m', 'ratings', factors => 2, keep => 1)}), '1', 'one that keeps nothing works');
is(asks(q{SELECT count(*) FROM pg_class WHERE relname ~ '^m_(users|items)' AND relkind = 'r'}), '2', 'and drops what was kept');

done_testing();
