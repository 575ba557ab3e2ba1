# A training takes its tables for itself at the end: it waits for those who read
# them, in whatever order and for however long, and nobody waits for it
# meanwhile; a deadlock is nobody's lot.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Utils;
use Test::More;

# what would be a deadlock is found soon
my $node = start_server('main', "deadlock_timeout = '100ms'");
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(30, 40, 39);
SELECT run FROM als_train('m', 'ratings', factors => 3);
-- reading it waits for whoever holds a lock
CREATE VIEW gated AS SELECT r.* FROM (SELECT wait_for(1) AS w OFFSET 0) w, ratings r WHERE w.w;
});

sub asks { return $node->safe_psql('postgres', $_[0]); }
# Waits until the training waits for readers.
sub wait_for_waiting
{
	wait_until($node, q{SELECT count(*) = 1 FROM als_progress WHERE phase = 'waiting'});
}
my ($reader, $trainer, $holder, $other) = map { open_session($node, '\set VERBOSITY verbose') } 1 .. 4;
my $runs = 1;
my $score = q{SELECT als_predict('m', 1, 1) IS NOT NULL;};

# reads in any order, in one transaction, while a training waits for its end
my %trainings = (
	als_train => q{SELECT (als_train('m', 'ratings', factors => 3)).run;},
	als_train_agg => q{SELECT (als_train_agg('m', user_id, item_id, rating, '{"factors": 3}')).run FROM ratings;},
	als_tune => q{SELECT max(run) FROM als_tune('m', 'ratings', '{"factors": [3]}'), m;});
my @reads = (
	[ 'items by SQL', 'SELECT count(*) FROM m_items;', '40' ],
	[ 'users by SQL', 'SELECT count(*) FROM m_users;', '30' ],
	[ 'als_predict', $score, 't' ],
	[ 'candidates of the items', q{SELECT count(*) FROM als_recommend('m', 1, 10, exclude_seen => false, candidates => ARRAY(SELECT item_id FROM m_items));}, '10' ]);
foreach my $isolation ('READ COMMITTED', 'SERIALIZABLE')
{
	foreach my $training (sort keys %trainings)
	{
		foreach my $first (@reads)
		{
			ask($reader, "BEGIN ISOLATION LEVEL $isolation;");
			is(ask($reader, $first->[1]), $first->[2], "$first->[0], $isolation");
			begin_query($trainer, $trainings{$training});
			wait_for_waiting();
			is(ask($reader, $_->[1]), $_->[2], "and then $_->[0], while $training waits") foreach @reads;
			is(asks($score), 't', 'others do not wait');
			ask($reader, 'COMMIT;');
			my $result = end_query($trainer);
			is($result, $training eq 'als_tune' ? $runs : $runs + 1, "$training ends");
			$runs++;
		}
	}
}

# somebody who reads like pg_dump, to the end of his transaction; others go on
ask($holder, 'BEGIN; LOCK TABLE m, m_users, m_items IN ACCESS SHARE MODE;');
begin_query($trainer, $trainings{als_train});
wait_for_waiting();
is(asks($score), 't', 'a reader is served beside another that stays') foreach 1 .. 20;
is(asks('SELECT count(*) FROM m_items, m_users'), '1200', 'and by SQL');
my $pid = ask($holder, 'SELECT pg_backend_pid();');
wait_until($node, "SELECT $pid = ANY (pg_blocking_pids(pid)) FROM als_progress");
ask($holder, 'COMMIT;');
is(end_query($trainer), ++$runs, 'the training ends once he has gone');

# several that overlap, one after the other
ask($holder, 'BEGIN; SELECT count(*) FROM m_users;');
begin_query($trainer, $trainings{als_train});
wait_for_waiting();
ask($reader, 'BEGIN; SELECT count(*) FROM m_items;');
ask($holder, 'COMMIT; BEGIN; SELECT count(*) FROM m_users;');
ask($reader, 'COMMIT; BEGIN; SELECT count(*) FROM m_items;');
ask($reader, 'COMMIT;');
ask($holder, 'COMMIT;');
is(end_query($trainer), ++$runs, 'the training ends once all have gone');

# lock_timeout bounds the wait, and a cancel ends it: the old model stays
my $before = asks(q{SELECT array_agg(factors ORDER BY item_id) FROM m_items});
ask($holder, 'BEGIN; SELECT count(*) FROM m_items;');
like(ask($trainer, "SET lock_timeout = '300ms'; $trainings{als_train}"),
	qr/ERROR:  55P03: could not replace the factors of model "m" within lock_timeout\nDETAIL:  .*\nHINT:  /, 'no longer than lock_timeout');
ask($trainer, 'RESET lock_timeout;');
begin_query($trainer, q{SELECT (als_train('m', 'ratings', factors => 3, seed => 7)).run;});
wait_for_waiting();
asks('SELECT pg_cancel_backend(pid) FROM als_progress');
like(end_query($trainer), qr/ERROR:  57014: canceling statement due to user request/, 'a cancel ends the wait');
like(ask($trainer, "SET statement_timeout = '300ms'; $trainings{als_train}"),
	qr/ERROR:  57014: canceling statement due to statement timeout/, 'and so does statement_timeout');
ask($trainer, 'RESET statement_timeout;');
is(ask($trainer, 'SHOW lock_timeout;'), '0', 'settings are what they were');
ask($holder, 'COMMIT;');
is(asks(q{SELECT array_agg(factors ORDER BY item_id) FROM m_items}), $before, 'the old model is there');
is(asks(q{SELECT count(*) FROM pg_class WHERE relname LIKE 'pg_temp_%'}), '0', 'and nothing else');
my ($database, $files) = split /\|/, asks(q{CHECKPOINT; SELECT oid, (SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'i', 't', 'm', 'S') AND NOT relisshared) FROM pg_database WHERE datname = 'postgres'});
is(asks(qq{SELECT count(*) FROM pg_ls_dir('base/$database') f WHERE f ~ '^\\d+\$' AND pg_filenode_relation(0, f::oid) IS NULL}), '0', 'no file is left');

# a training in a transaction that has read the model itself, in subtransactions
# of plpgsql, and twice
foreach my $isolation ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
	$runs += 2;
	is(ask($trainer, "BEGIN ISOLATION LEVEL $isolation; $reads[0][1] $score $trainings{als_train} $trainings{als_train} $score COMMIT;"),
		"40\nt\n" . ($runs - 1) . "\n$runs\nt", "a transaction that has read the model trains it, $isolation");
}
ask($holder, 'BEGIN; SELECT count(*) FROM m_items;');
begin_query($trainer, q{
DO $$
BEGIN
    BEGIN
        PERFORM als_train('m', 'ratings', factors => 3);
        RAISE division_by_zero;
    EXCEPTION WHEN division_by_zero THEN
        PERFORM als_train('m', 'ratings', factors => 4);
    END;
END $$;
SELECT max(run), count(*) FROM m;});
wait_for_waiting();
is(asks($score), 't', 'readers are served while a subtransaction waits');
ask($holder, 'COMMIT;');
$runs++;
is(end_query($trainer), "$runs|$runs", 'and it trains');
is(asks('SELECT DISTINCT cardinality(factors) FROM m_items'), '4', 'as it should');

# who has read the model and then would wait for a training is told at once,
# and not the training; but he waits for a refresh
ask($holder, 'SELECT pg_advisory_lock(1);');
begin_query($trainer, q{SELECT (als_train('m', 'gated', factors => 3)).run;});
wait_for_lock($node, 'advisory');
ask($reader, "BEGIN; SELECT count(*) FROM m_items;");
like(ask($reader, $trainings{als_train}), qr/ERROR:  55P03: als_train cannot wait for the training of model "m"\n/, 'a second training');
ask($reader, 'ROLLBACK;');
ask($holder, 'SELECT pg_advisory_unlock(1);');
is(end_query($trainer), ++$runs, 'the first one ends');
ask($holder, q{BEGIN; SELECT als_refresh_user('m', 1);});
begin_query($trainer, "BEGIN; $score $trainings{als_train} COMMIT;");
wait_for_lock($node, 'relation');
ask($holder, 'COMMIT;');
is(end_query($trainer), "t\n" . ++$runs, 'a refresh is waited for');

# what the session itself uses is known before anything is read
$node->safe_psql('postgres', 'CREATE SEQUENCE reads');
like(ask($trainer, q{
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM m_items;
FETCH 1 FROM c;
SELECT als_train('m', 'SELECT r.* FROM ratings r, (SELECT nextval($$reads$$) OFFSET 0) n', factors => 3);}),
	qr/ERROR:  55006: cannot als_train "m_items" because it is being used by active queries in this session/, 'a cursor of the session');
ask($trainer, 'ROLLBACK;');
is(asks('SELECT is_called FROM reads'), 'f', 'before the ratings are read');

# and all at once: nobody fails
my $script = $node->basedir . '/readers.sql';
append_to_file($script, q{
\set u random(1, 30)
BEGIN;
SELECT count(*) FROM m_items;
SELECT als_predict('m', :u, 1);
SELECT count(*) FROM als_recommend('m', :u, 10, candidates => ARRAY(SELECT item_id FROM m_items WHERE item_id > :u));
COMMIT;
SELECT count(*) FROM als_recommend('m', :u, 10, candidates => ARRAY(SELECT item_id FROM m_items WHERE item_id > :u));
});
my ($out, $err) = ('', '');
my $bench = IPC::Run::start([ 'pgbench', '-n', '-c', '4', '-t', '400', '-f', $script, $node->connstr('postgres') ],
	'>', \$out, '2>', \$err, IPC::Run::timeout(600));
my $trained = 0;
do
{
	is(ask($trainer, $trainings{als_train}), ++$runs, 'a training among readers');
	$bench->pump_nb;
} while ($trained++ < 5 || ($bench->pumpable && $trained < 30));
$bench->finish;
like($out, qr/number of transactions actually processed: 1600\/1600/, 'all readers were served');
is($err =~ s/^pgbench.*\n//r, '', 'without an error');
is(asks('SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()'), '0', 'there was no deadlock at all');

# Who has read the model, and then changes it, waits for the training that waits
# for him.  The training is the first to find that, again and again, and is not
# the one to fail.
foreach my $statement ('DROP TABLE m', 'ALTER TABLE m ADD CHECK (run > 0)', 'LOCK TABLE m_items')
{
	ask($reader, "SET deadlock_timeout = '300ms'; BEGIN;");
	ask($reader, $reads[0][1]);
	begin_query($trainer, $trainings{als_train});
	wait_for_waiting();
	like(ask($reader, "$statement;"), qr/ERROR:  40P01: deadlock detected\n/, "$statement is the victim");
	ask($reader, 'ROLLBACK; RESET deadlock_timeout;');
	is(end_query($trainer), ++$runs, 'and not the training');
}

close_sessions();
$node->stop;
done_testing();
