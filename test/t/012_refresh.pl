# Refreshes of single rows, beside each other and beside trainings: nothing is
# lost, nothing is stored over something newer, nobody waits for nobody.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Utils;
use Test::More;

# a deadlock that somebody has to detect would be a failure, and a slow one
my $node = start_server('main', "deadlock_timeout = '100ms'");
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(60, 40, 20);
-- in a session that sets test.gate, reading the ratings waits for whoever holds
-- that lock, having taken its snapshot before
CREATE VIEW gated AS
    SELECT r.* FROM (SELECT CASE WHEN gate <> '' THEN wait_for(gate::int) ELSE true END AS w
                     FROM current_setting('test.gate', true) gate OFFSET 0) w, ratings r
    WHERE w.w;
SELECT run FROM als_train('model', 'gated', factors => 8, alpha => 40, regularization => 0.01);
-- is a user's row what all ratings of now make of it?
CREATE FUNCTION current(who int) RETURNS text LANGUAGE sql AS $$
    SELECT count(*) || ' ' || coalesce(bool_and(factors = als_fold_in('model',
               (SELECT array_agg(item_id) FROM ratings WHERE user_id = who),
               (SELECT array_agg(rating::float8) FROM ratings WHERE user_id = who))), false)
    FROM model_users WHERE user_id = who $$;
-- and an item's, to which nothing folds in: how far the normal equations of its
-- ratings against the users of now are from zero, in parts of their right side
CREATE FUNCTION current_item(model text, what int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format('
        WITH run AS (SELECT regularization, alpha FROM %1$I ORDER BY run DESC LIMIT 1),
             item AS (SELECT factors::float8[] AS x FROM %3$I WHERE item_id = $1),
             others AS (SELECT factors::float8[] AS y, alpha * coalesce(rating, 0) AS c, coalesce(rating > 0, false)::int AS p,
                               (SELECT sum(a * b) FROM unnest(factors::float8[], x) AS t(a, b)) AS score
                        FROM %2$I LEFT JOIN (SELECT user_id, sum(rating) AS rating FROM ratings WHERE item_id = $1 GROUP BY 1) r USING (user_id), item, run),
             equations AS (SELECT sum((1 + c) * (score - p) * y[j]) + min(regularization * x[j]) AS residual, sum((1 + c) * p * y[j]) AS right_side
                           FROM others, item, run, generate_series(1, cardinality(y)) j GROUP BY j)
        SELECT (SELECT count(*) FROM item) || '' '' || coalesce(sqrt(sum(residual ^ 2)) < 1e-4 * sqrt(sum(right_side ^ 2)), false) FROM equations',
        model, model || '_users', model || '_items') INTO result USING what;
    RETURN result;
END $$;
});

sub rate { return $node->safe_psql('postgres', "INSERT INTO ratings VALUES ($_[0], $_[1], $_[2])"); }
sub current { return $node->safe_psql('postgres', "SELECT current($_[0])"); }
sub current_item { return $node->safe_psql('postgres', "SELECT current_item('model', $_[0])"); }

my $training = q{SELECT run FROM als_train('model', 'gated', factors => 8, alpha => 40, regularization => 0.01);};
my ($reader, $trainer, $a, $b, $holder) = map { open_session($node) } 1 .. 5;
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
is(current_item(5), '1 true', 'it is what the ratings make of it');
is(ask($a, q{BEGIN; DELETE FROM ratings WHERE user_id = 3; SELECT als_refresh_user('model', 3); ROLLBACK;}), 'f', 'one that is rolled back');
is(ask($reader, $score), $new, 'is not');

# a refresh that comes during a training waits for it, so that what it stores is
# not overwritten with what the training has read before; readers do not wait
ask($holder, 'SELECT pg_advisory_lock(1);');
ask($trainer, 'SET test.gate = 1;');
begin_query($trainer, $training);
wait_for_lock($node, 'advisory');
rate(4, $_, 5) foreach 1 .. 10;
begin_query($a, q{SELECT als_refresh_user('model', 4);});
begin_query($b, q{SELECT als_refresh_user('model', 61), als_refresh_user('model', 5);});
wait_for_lock($node, 'relation', 2);
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
wait_for_lock($node, 'relation');
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
wait_for_lock($node, 'advisory');
ask($a, '\set VERBOSITY verbose');
like(ask($a, q{SELECT als_refresh_user('model', 6);}), qr/ERROR:  55P03: als_refresh_user cannot wait for the training of model "model".*HINT:  Call it in a transaction of its own/s,
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
is(ask($a, q{SELECT run, age IS NULL, new_ratings IS NULL FROM als_staleness('model');}), '5|f|f', 'als_staleness reads the run that serves, as all that reads');
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

# Of the same row: the second waits for the first, and reads after that.  A side's
# rows are there, new, not committed, and deleted; partner is a row of the other
# side that rates or is rated.
foreach my $side (
	{ name => 'user', there => 10, new => 66, uncommitted => [ 67, 68 ], deleted => 11, partner => 1, current => \&current },
	{ name => 'item', there => 10, new => 41, uncommitted => [ 42, 43 ], deleted => 43, partner => 12, current => \&current_item })
{
	my ($name, $current, $partner) = @$side{qw(name current partner)};
	my $refresh = sub { return "SELECT als_refresh_$name('model', $_[0]);" };
	my $pair = sub { my ($id, $other) = @_; return $name eq 'user' ? ($id, $partner + $other) : ($partner + $other, $id) };
	my $give = sub { return rate($pair->(@_[0, 1]), $_[2]) };

	# a row that is there; the first refresh has read before the second rating came
	my $id = $side->{there};
	ask($holder, 'SELECT pg_advisory_lock(1);');
	ask($a, 'SET test.gate = 1;');
	begin_query($a, $refresh->($id));
	wait_for_lock($node, 'advisory');
	$give->($id, $_, 5) foreach 0 .. 4;
	begin_query($b, $refresh->($id));
	wait_for_lock($node, 'transactionid');
	is($current->($id), '1 false', "a row of one $name is not what it will be while two refreshes of it wait");
	ask($holder, 'SELECT pg_advisory_unlock(1);');
	is(end_query($a), 't', 'the first refresh');
	is(end_query($b), 't', "and the second, of the same $name");
	is($current->($id), '1 true', 'the newer ratings have won');
	# a new row: both read, the one that has read first is the last to store
	$id = $side->{new};
	ask($holder, 'SELECT pg_advisory_lock(1);');
	$give->($id, 0, 5);
	begin_query($a, $refresh->($id));
	wait_for_lock($node, 'advisory');
	$give->($id, 1, 5);
	is(ask($b, $refresh->($id)), 't', "a new $name");
	ask($holder, 'SELECT pg_advisory_unlock(1);');
	is(end_query($a), 't', 'and the same from older ratings');
	is($current->($id), '1 true', 'the newer ratings have won');
	ask($a, 'RESET test.gate;');
	# a new row that is not committed yet, or never
	foreach my $end ('COMMIT', 'ROLLBACK')
	{
		$id = $side->{uncommitted}[ $end eq 'ROLLBACK' ];
		$give->($id, 0, 5);
		ask($a, sprintf('BEGIN; INSERT INTO ratings VALUES (%d, %d, 4);', $pair->($id, 1)));
		is(ask($a, $refresh->($id)), 't', "a new $name, not committed");
		$give->($id, 2, 5);
		begin_query($b, $refresh->($id));
		wait_for_lock($node, 'transactionid');
		ask($a, "$end;");
		is(end_query($b), 't', 'and the same from another session, with a rating more');
		is($current->($id), '1 true', "after $end");
	}
	# a row that somebody deletes meanwhile
	$id = $side->{deleted};
	$node->safe_psql('postgres', "DELETE FROM ratings WHERE ${name}_id = $id");
	is(ask($a, 'BEGIN; ' . $refresh->($id)), 'f', "a $name without ratings is deleted");
	begin_query($b, $refresh->($id));
	wait_for_lock($node, 'transactionid');
	$give->($id, 0, 5);
	ask($a, 'COMMIT;');
	is(end_query($b), 't', 'and is back with a rating');
	is($current->($id), '1 true', 'as a new row');
}
# a user and an item that he has rated, each against the other as it was
my $row_of = sub { $node->safe_psql('postgres', "SELECT factors FROM model_$_[0]s WHERE $_[0]_id = $_[1]") };
rate(15, 12, 5);
ask($a, 'BEGIN;');
is(ask($a, q{SELECT als_refresh_item('model', 12);}), 't', 'an item, not committed');
is(ask($b, q{SELECT als_refresh_user('model', 15);}), 't', 'a user of it does not wait');
is(current(15), '1 true', 'and is solved against the item that is there');
ask($a, 'COMMIT;');
is(current_item(12), '1 false', 'as the item was against the user before');
is(ask($b, q{SELECT als_refresh_item('model', 12);}), 't', 'another refresh');
is(current_item(12), '1 true', 'goes by the new one');
my $row = $row_of->('item', 12);
is(ask($a, q{SELECT als_refresh_item('model', 12);}), 't', 'one more');
is($row_of->('item', 12), $row, 'changes nothing');

# Many rows at once: whoever refreshes takes them in the order of their ids, be they
# there or not, so that one waits for the other and not both
rate($_, 5, 3) foreach 20, 22, 80, 81;
is(ask($a, q{BEGIN; SELECT als_refresh('model', ARRAY[81, 22, 80, 20]);}), '4', 'four users, two of them new, not committed');
begin_query($b, q{SELECT als_refresh('model', ARRAY[20, 80, 25, 81, 22]);});
wait_for_lock($node, 'transactionid');
is(ask($reader, q{SELECT als_predict('model', 20, 1) IS NULL, als_predict('model', 80, 1) IS NULL;}), 'f|t', 'readers go on meanwhile');
rate($_, 6, 5) foreach 20, 81;
ask($a, 'COMMIT;');
is(end_query($b), '5', 'and the same and one more, from another session');
is(current($_), '1 true', "user $_ is there once, and current") foreach 20, 22, 25, 80, 81;
# a row that a refresh has inserted, and does not have after all
$node->safe_psql('postgres', 'DELETE FROM ratings WHERE user_id = 80');
is(ask($a, q{BEGIN; SELECT als_refresh('model', ARRAY[80, 82, 83]);}), '0', 'one without ratings and two who never had any');
rate(82, 1, 5);
begin_query($b, q{SELECT als_refresh_user('model', 82);});
wait_for_lock($node, 'transactionid');
ask($a, 'COMMIT;');
is(end_query($b), 't', 'one of whom has some by now, for the next');
is($node->safe_psql('postgres', q{SELECT string_agg(user_id::text, ',') FROM model_users WHERE user_id IN (80, 82, 83)}), '82', 'and the others are not there');
# an old snapshot
ask($a, 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;');
is(ask($b, q{SELECT als_refresh('model', ARRAY[20]);}), '1', 'a refresh after a snapshot was taken');
like(ask($a, q{SELECT als_refresh('model', ARRAY[19, 20]);}), qr/ERROR:  40001: could not serialize access due to concurrent update/, 'is too new for it');
ask($a, 'ROLLBACK;');
# a training comes between, and refreshes wait for it
ask($holder, 'SELECT pg_advisory_lock(1);');
ask($trainer, 'SET test.gate = 1;');
begin_query($trainer, $training);
wait_for_lock($node, 'advisory');
rate($_, 7, 5) foreach 20, 84;
begin_query($a, q{SELECT als_refresh('model', ARRAY[20, 84]);});
wait_for_lock($node, 'relation');
ask($holder, 'SELECT pg_advisory_unlock(1);');
like(end_query($trainer), qr/^\d+$/, 'a training');
is(end_query($a), '2', 'and a refresh of two users after it');
is(current($_), '1 true', "of whom $_ is current") foreach 20, 84;
ask($trainer, 'RESET test.gate;');

# ids without an order: one refresh at a time
$node->safe_psql('postgres', q{
CREATE VIEW xids AS SELECT user_id::text::xid AS user_id, item_id, rating FROM ratings;
SELECT run FROM als_train('unordered', 'xids', factors => 4, alpha => 40, regularization => 0.01);});
rate(69, 1, 5);
is(ask($a, q{BEGIN; SELECT als_refresh_user('unordered', '69'::xid);}), 't', 'an id without an order');
begin_query($b, q{SELECT als_refresh_user('unordered', '69'::xid);});
wait_for_lock($node, 'relation');
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
-- rows of another model, users and items in turn, all that is stored being logged
-- in its transaction.  If a row's ratings and the other side are the same before
-- and after its refresh, it must be what they make of it.
SELECT run FROM als_train('other', 'ratings', factors => 4, alpha => 40, regularization => 0.01);
CREATE TABLE stored (number serial, side text, id int, run int, checked boolean, factors real[]);
CREATE FUNCTION given(side text, what int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN md5((SELECT string_agg(r::text, ',' ORDER BY r::text) FROM ratings r WHERE CASE side WHEN 'users' THEN user_id ELSE item_id END = what)
               || CASE side WHEN 'users' THEN (SELECT string_agg(i::text, ',' ORDER BY item_id) FROM other_items i)
                  ELSE (SELECT string_agg(u::text, ',' ORDER BY user_id) FROM other_users u) END);
END $$;
CREATE PROCEDURE refresh_one(side text, what int) LANGUAGE plpgsql AS $$
DECLARE
    before text;
    solved boolean;
BEGIN
    -- locks the row, and the model against trainings
    IF side = 'users' THEN PERFORM als_refresh_user('other', what); ELSE PERFORM als_refresh_item('other', what); END IF;
    before := given(side, what);
    IF side = 'users' THEN
        PERFORM als_refresh_user('other', what);
        solved := (SELECT factors = als_fold_in('other', (SELECT array_agg(item_id) FROM ratings WHERE user_id = what),
                                                (SELECT array_agg(rating::float8) FROM ratings WHERE user_id = what))
                   FROM other_users WHERE user_id = what);
    ELSE
        PERFORM als_refresh_item('other', what);
        solved := current_item('other', what) = '1 true';
    END IF;
    IF before = given(side, what) AND solved IS NOT TRUE THEN
        RAISE '% % is not what its ratings make of it', side, what;
    END IF;
    INSERT INTO stored (side, id, run, checked, factors)
        SELECT side, what, (SELECT max(o.run) FROM other o), before = given(side, what), f.factors
        FROM (SELECT 'users' AS s, user_id AS id, factors FROM other_users UNION ALL SELECT 'items', item_id, factors FROM other_items) f
        WHERE f.s = side AND f.id = what;
END $$;
CREATE PROCEDURE refresh_other(seed int, times int) LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. times LOOP
        CALL refresh_one('users', 1 + (n * seed) % 20);
        CALL refresh_one('items', 1 + (n * seed) % 10);
        COMMIT;
        PERFORM als_recommend('other', 3, 5);
        COMMIT;
    END LOOP;
END $$;
CREATE PROCEDURE train_other() LANGUAGE plpgsql AS $$
DECLARE
    trained int := (SELECT run FROM als_train('other', 'ratings', factors => 4, alpha => 40, regularization => 0.01));
BEGIN
    INSERT INTO stored (side, id, run, factors)
        SELECT 'users', user_id, trained, factors FROM other_users UNION ALL SELECT 'items', item_id, trained, factors FROM other_items;
END $$;
-- the last that was stored, and what is there
CREATE VIEW lost AS
    SELECT side, id, s.factors AS stored, f.factors
    FROM (SELECT DISTINCT ON (side, id) * FROM stored WHERE run = (SELECT max(run) FROM other) ORDER BY side, id, number DESC) s
         FULL JOIN (SELECT 'users' AS side, user_id AS id, factors FROM other_users UNION ALL SELECT 'items', item_id, factors FROM other_items) f USING (side, id)
    WHERE s.factors IS DISTINCT FROM f.factors;
CREATE TABLE before AS SELECT DISTINCT user_id, item_id FROM ratings;
});
my $other_trainer = open_session($node);
my @workers = map { open_session($node) } 1 .. 6;
begin_query($workers[$_], "CALL work($_, 150);") foreach 0 .. 3;
begin_query($workers[$_], "CALL refresh_other($_, 150);") foreach 4, 5;
my $rounds = 0;
my @failed;
while (grep { is_busy($_) } @workers)
{
	begin_query($trainer, $training);
	begin_query($other_trainer, 'CALL train_other();');
	push @failed, grep { !/^\d*$/ } map { end_query($_) } $trainer, $other_trainer;
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
# nor of the other model, in which each row is the one that was stored last
my ($checked, $refreshed, $trainings) = split /\|/, $node->safe_psql('postgres',
	'SELECT count(*) FILTER (WHERE checked), count(checked), count(DISTINCT run) FROM stored');
note("$trainings trainings, $checked of $refreshed refreshes checked");
is($refreshed, 4 * 150, 'all refreshes of the other model are written down');
cmp_ok($checked, '>', 0, 'of which some went on undisturbed');
is($node->safe_psql('postgres', 'TABLE lost'), '', 'every row is the one that was stored last');
# more of those, without trainings
begin_query($workers[$_], "CALL work($_, 150);") foreach 0 .. 3;
is(end_query($_), '', 'refreshes by themselves') foreach @workers[0 .. 3];
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT current(user_id), ',') FROM (SELECT DISTINCT user_id FROM log WHERE run = (SELECT max(run) FROM model)) t}),
	'1 true', 'none is lost');
# and many at a time, beside one by one: rows come and go, in whichever order they
# are asked for
$node->safe_psql('postgres', q{
CREATE PROCEDURE work_many(seed int, times int) LANGUAGE plpgsql AS $$
DECLARE
    who int[];
BEGIN
    FOR n IN 1 .. times LOOP
        who := ARRAY(SELECT 1 + (n * 7 + seed * 5 + i * (2 * seed + 1)) % 120 FROM generate_series(1, 12) i);
        IF n % 2 = 0 THEN
            INSERT INTO ratings SELECT id, 1 + (n + id) % 40, 1 + n % 5 FROM unnest(who) id;
        ELSE
            DELETE FROM ratings WHERE user_id = ANY (who[1:4]) AND user_id > 90;
        END IF;
        PERFORM als_refresh('model', who);
        INSERT INTO log SELECT id, 1, max(run) FROM model, unnest(who) id GROUP BY id;
        COMMIT;
        -- in other words, of both sides, against each other
        PERFORM als_refresh('other', who, ARRAY(SELECT id % 40 FROM unnest(who) id), workers => 0);
        COMMIT;
    END LOOP;
END $$;
});
begin_query($workers[$_], "CALL work_many($_, 60);") foreach 0 .. 2;
begin_query($workers[3], 'CALL work(3, 150);');
is(end_query($_), '', 'refreshes of many') foreach @workers[0 .. 3];
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT current(user_id), ',') FROM (SELECT DISTINCT user_id FROM log JOIN ratings USING (user_id)) t}),
	'1 true', 'none is lost');
is($node->safe_psql('postgres', q{SELECT count(*) FROM model_users WHERE user_id NOT IN (SELECT user_id FROM ratings)}), '0', 'and whoever has no ratings is gone');
# and of all rows of the other model, in the sessions that did it before
$node->safe_psql('postgres', 'TRUNCATE stored');
is(ask($workers[4], 'CALL refresh_other(1, 20);'), '', 'users and items one by one');
is(ask($workers[5], 'CALL refresh_other(1, 20);'), '', 'and in another session');
is($node->safe_psql('postgres', 'SELECT count(*), bool_and(checked), count(DISTINCT (side, id)) FROM stored'), '80|t|30', 'are what the ratings make of them');
unlike(slurp_file($node->logfile), qr/deadlock detected/, 'there was no deadlock');

close_sessions();
done_testing();
