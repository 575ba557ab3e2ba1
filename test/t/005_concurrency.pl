# Readers are served from the old model until a retraining commits, and from the
# new one after that; trainings of one model wait for each other.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_server('main');
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(200, 100, 20);
-- reading it waits for whoever holds a lock
CREATE VIEW slow_ratings AS SELECT r.* FROM (SELECT wait_for(1) AS w OFFSET 0) w, ratings r WHERE w.w;
SELECT run FROM als_train('model', 'ratings', factors => 8, seed => 1);
});

my ($reader, $trainer, $other, $holder) = map { open_session($node) } 1 .. 4;
my $score = q{SELECT als_predict('model', 3, 5), (SELECT sum(score) FROM als_recommend('model', 3, 5));};
my $prepared = 'EXECUTE score;';

ask($reader, q{PREPARE score AS SELECT als_predict('model', 3, 5), (SELECT sum(score) FROM als_recommend('model', 3, 5));});
my $old = ask($reader, $score);
like($old, qr/^0\.\d+\|/, 'the old score');

# a training in the middle of reading
ask($holder, 'SELECT pg_advisory_lock(1);');
begin_query($trainer, q{SELECT run FROM als_train('model', 'slow_ratings', factors => 8, seed => 2);});
wait_for_lock($node, 'advisory');
is(ask($reader, $score), $old, 'the old model serves while another trains');
is(ask($reader, $prepared), $old, 'also a prepared statement');

# a second one has to wait for it
begin_query($other, q{SELECT run FROM als_train('model', 'ratings', factors => 8, seed => 3); SELECT clock_timestamp();});
wait_for_lock($node, 'relation');
is(ask($reader, $score), $old, 'two trainings do not hinder readers');
my $released = ask($holder, 'SELECT clock_timestamp();');
ask($holder, 'SELECT pg_advisory_unlock(1);');
is(end_query($trainer), '2', 'the first one ends');
my ($run, $ended) = split /\n/, end_query($other);
is($run, '3', 'and then the second');
is($node->safe_psql('postgres', "SELECT seconds > 0, seconds <= extract(epoch FROM '$ended'::timestamptz - '$released') FROM model WHERE run = 3"), 't|t',
	'whose seconds are those since it has had its turn');
is($node->safe_psql('postgres', 'SELECT string_agg(seed::text, chr(32) ORDER BY run) FROM model'), '1 2 3', 'both runs are there');

my $new = ask($reader, $score);
isnt($new, $old, 'the new model serves, in the same session');
is(ask($reader, $prepared), $new, 'and in the same prepared statement');
is($node->safe_psql('postgres', $score), $new, 'as in a new session');

# within its transaction a training is seen by itself, and by others once
# it commits; readers wait only for the commit
ask($trainer, q{BEGIN; SELECT run FROM als_train('model', 'ratings', factors => 8, seed => 4);});
my $own = ask($trainer, $score);
isnt($own, $new, 'the trainer sees its model');
begin_query($reader, $score);
wait_for_lock($node, 'relation');
ask($trainer, 'ROLLBACK;');
is(end_query($reader), $new, 'a reader gets the old model if it is rolled back');
is(ask($trainer, $score), $new, 'and so does the trainer');
ask($trainer, q{BEGIN; SELECT run FROM als_train('model', 'ratings', factors => 8, seed => 4);});
begin_query($reader, $score);
wait_for_lock($node, 'relation');
ask($trainer, 'COMMIT;');
is(end_query($reader), $own, 'and the new one if it commits');

# likewise for a part of a transaction, and for tables changed by hand
is(ask($trainer, qq{BEGIN; SAVEPOINT before; SELECT run FROM als_train('model', 'ratings', factors => 8, seed => 6);
		SELECT als_predict('model', 3, 5) = ${\ ($own =~ /^([^|]+)/)[0]}::real;
		ROLLBACK TO before; $score}), "5\nf\n$own", 'a savepoint brings the model back');
is(ask($trainer, $score . ' COMMIT; ' . $score), "$own\n$own", 'and so it stays');
is(ask($trainer, q{BEGIN; DELETE FROM model_users WHERE user_id = 3; SELECT als_predict('model', 3, 5) IS NULL;
		ROLLBACK; } . $score), "t\n$own", 'rows deleted by hand are back after ROLLBACK');
is(ask($reader, $prepared), $own, 'for a reader nothing has happened');
is($node->safe_psql('postgres', 'SELECT string_agg(seed::text, chr(32) ORDER BY run) FROM model'), '1 2 3 4', 'nor has it in the table of runs');

# a transaction with an old snapshot gets one model, the newest: never an
# empty one, nor the old run with new factors
ask($reader, 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;');
$node->safe_psql('postgres', q{SELECT run FROM als_train('model', 'ratings', factors => 12, seed => 5)});
is(ask($reader, $score), $node->safe_psql('postgres', $score), 'an old snapshot is no hindrance');
ask($reader, 'COMMIT;');

# readers all the while, of models that alternate between two: the same ratings
# from two seeds, and explicit ones whose mean has to come from the same run as
# their factors.  Readers go on until they have seen the models change many
# times, and trainings until the readers are done, so that neither can miss the
# other.
$node->safe_psql('postgres', q{
CREATE VIEW shifted AS SELECT user_id, item_id, rating + 100 AS rating FROM ratings;
-- whatever a model answers, as one row; nulls and missing rows show
CREATE FUNCTION answers(model text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT als_predict(model::regclass, 3, 5) || ' ' ||
           (SELECT count(score) || ' ' || sum(score) FROM als_recommend(model::regclass, 3, 20)) $$;
CREATE PROCEDURE read(model text, a text, b text, changes int) LANGUAGE plpgsql AS $$
DECLARE
    now text;
    before text;
BEGIN
    WHILE changes > 0 LOOP
        now := als_predict(model::regclass, 3, 5)::text;
        IF (now IN (split_part(a, ' ', 1), split_part(b, ' ', 1))) IS NOT TRUE THEN
            RAISE 'als_predict gives %, not of % or %', now, a, b;
        END IF;
        COMMIT;
        -- a statement takes all it wants from one model: it holds the lock
        now := answers(model);
        IF (now IN (a, b)) IS NOT TRUE THEN
            RAISE 'the answers are %, not % or %', now, a, b;
        END IF;
        IF now <> before THEN
            changes := changes - 1;
        END IF;
        before := now;
        COMMIT;
    END LOOP;
END $$;
});
my %trainings = (
	seeds => [ map { "SELECT run FROM als_train('seeds', 'ratings', factors => 8, seed => $_)" } 1, 2 ],
	stars => [ map { "SELECT run FROM als_train('stars', '$_', feedback => 'explicit', factors => 4, regularization => 0.1)" } 'ratings', 'shifted' ]);
my (%answers, @readers);
foreach my $model ('seeds', 'stars')
{
	foreach my $training (@{ $trainings{$model} })
	{
		$node->safe_psql('postgres', $training);
		push @{ $answers{$model} }, $node->safe_psql('postgres', "SELECT answers('$model')");
	}
	like($_, qr/^[\d.]+ 20 [\d.]+$/, "$model: answers") foreach @{ $answers{$model} };
	isnt($answers{$model}[0], $answers{$model}[1], "$model: two models that differ");
}
my ($low) = $answers{stars}[0] =~ /^(\S+)/;
my ($high) = $answers{stars}[1] =~ /^(\S+)/;
cmp_ok(abs($high - $low - 100), '<', 0.01, 'stars: a hundred apart');

foreach my $model ('seeds', 'stars', 'seeds', 'stars')
{
	my $reader = open_session($node);
	begin_query($reader, "CALL read('$model', '$answers{$model}[0]', '$answers{$model}[1]', 20);");
	push @readers, $reader;
}
# and clients of pgbench, with prepared statements and whole transactions
my @clients;
my %bench;
foreach my $model ('seeds', 'stars')
{
	my ($a, $b) = map { "'$_'" } @{ $answers{$model} };
	my ($score_a, $score_b) = map { /^(\S+)/; "'$1'::real" } @{ $answers{$model} };
	my $script = $node->basedir . "/read_$model.sql";
	append_to_file($script, qq{
SELECT 1 / coalesce(als_predict('$model', 3, 5) IN ($score_a, $score_b), false)::int;
SELECT 1 / coalesce(answers('$model') IN ($a, $b), false)::int;
BEGIN;
SELECT als_predict('$model', 3, 5) AS first \\gset
SELECT 1 / coalesce(answers('$model') IN ($a, $b), false)::int;
SELECT 1 / coalesce(als_predict('$model', 3, 5) = (:first)::real, false)::int;
COMMIT;
});
	$bench{$model} = { out => '', err => '' };
	push @clients, IPC::Run::start(
		[ 'pgbench', '-n', '-M', 'prepared', '-c', '2', '-t', '300', '-f', $script, $node->connstr('postgres') ],
		'>', \$bench{$model}{out}, '2>', \$bench{$model}{err}, IPC::Run::timeout(600));
}
my $rounds = 0;
my @failed;
while (grep({ is_busy($_) } @readers) || grep { $_->pumpable } @clients)
{
	# both models are trained by two sessions each, in turns that vary
	foreach my $i (0, 1)
	{
		begin_query($trainer, "$trainings{seeds}[$i]; $trainings{stars}[$i];");
		begin_query($other, "$trainings{stars}[1 - $i]; $trainings{seeds}[$i];");
		push @failed, grep { !/^\d+\n\d+$/ } map { end_query($_) } $trainer, $other;
	}
	$rounds++;
	last if @failed;
	$_->pump_nb foreach grep { $_->pumpable } @clients, map { $_->{run} } @readers;
}
is(join("\n", @failed), '', 'every training went through');
note("$rounds rounds of trainings");
is(end_query($_), '', 'a reader saw nothing but the two models, and both') foreach @readers;
foreach my $model ('seeds', 'stars')
{
	my $client = shift @clients;
	ok($client->finish, "$model: every client of pgbench got one model or the other") or diag($bench{$model}{err});
	like($bench{$model}{out}, qr{actually processed: 600/600}, "$model: in every transaction");
}

close_sessions();
done_testing();
