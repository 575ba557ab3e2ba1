# Readers are served from the old model until a retraining commits, and from the
# new one after that; trainings of one model wait for each other.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION als;
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, (1 + (u * 31 + i * 17) % 5)::real AS rating
    FROM generate_series(1, 200) u, generate_series(1, 100) i
    WHERE (u * 7919 + i * 104729 + u * i * 13) % 97 < 20;
-- reading it waits for whoever holds this lock
CREATE FUNCTION wait() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_lock_shared(1);
    PERFORM pg_advisory_unlock_shared(1);
    RETURN true;
END $$;
CREATE VIEW slow_ratings AS SELECT r.* FROM (SELECT wait() AS w OFFSET 0) w, ratings r WHERE w.w;
SELECT run FROM als_train('model', 'ratings', factors => 8, seed => 1);
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
	$s->{run}->pump until $s->{out} =~ /done\n/;
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
	my ($type) = @_;
	$node->poll_query_until('postgres', "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND locktype = '$type'") or die 'timed out';
}

my $reader = session();
my $trainer = session();
my $other = session();
my $holder = session();
my $score = q{SELECT als_predict('model', 3, 5), (SELECT sum(score) FROM als_recommend('model', 3, 5));};
my $prepared = 'EXECUTE score;';

ask($reader, q{PREPARE score AS SELECT als_predict('model', 3, 5), (SELECT sum(score) FROM als_recommend('model', 3, 5));});
my $old = ask($reader, $score);
like($old, qr/^0\.\d+\|/, 'the old score');

# a training in the middle of reading
ask($holder, 'SELECT pg_advisory_lock(1);');
begin_query($trainer, q{SELECT run FROM als_train('model', 'slow_ratings', factors => 8, seed => 2);});
wait_for_lock('advisory');
is(ask($reader, $score), $old, 'the old model serves while another trains');
is(ask($reader, $prepared), $old, 'also a prepared statement');

# a second one has to wait for it
begin_query($other, q{SELECT run FROM als_train('model', 'ratings', factors => 8, seed => 3);});
wait_for_lock('relation');
is(ask($reader, $score), $old, 'two trainings do not hinder readers');
ask($holder, 'SELECT pg_advisory_unlock(1);');
is(end_query($trainer), '2', 'the first one ends');
is(end_query($other), '3', 'and then the second');
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
wait_for_lock('relation');
ask($trainer, 'ROLLBACK;');
is(end_query($reader), $new, 'a reader gets the old model if it is rolled back');
is(ask($trainer, $score), $new, 'and so does the trainer');
ask($trainer, q{BEGIN; SELECT run FROM als_train('model', 'ratings', factors => 8, seed => 4);});
begin_query($reader, $score);
wait_for_lock('relation');
ask($trainer, 'COMMIT;');
is(end_query($reader), $own, 'and the new one if it commits');

# a transaction with an old snapshot gets one model, the newest: never an
# empty one, nor the old run with new factors
ask($reader, 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;');
$node->safe_psql('postgres', q{SELECT run FROM als_train('model', 'ratings', factors => 12, seed => 5)});
is(ask($reader, $score), $node->safe_psql('postgres', $score), 'an old snapshot is no hindrance');
ask($reader, 'COMMIT;');

# readers all the while, with an explicit model, whose mean and factors have
# to come from the same run: every answer is one of the two
$node->safe_psql('postgres', q{
CREATE VIEW shifted AS SELECT user_id, item_id, rating + 100 AS rating FROM ratings;
SELECT run FROM als_train('stars', 'shifted', feedback => 'explicit', factors => 4, regularization => 0.1);});
my $b = $node->safe_psql('postgres', q{SELECT als_predict('stars', 3, 5)});
$node->safe_psql('postgres', q{SELECT run FROM als_train('stars', 'ratings', feedback => 'explicit', factors => 4, regularization => 0.1)});
my $a = $node->safe_psql('postgres', q{SELECT als_predict('stars', 3, 5)});
cmp_ok(abs($b - $a - 100), '<', 0.01, 'two models far apart');
my $script = $node->basedir . '/read.sql';
append_to_file($script, qq{
SELECT 1 / (als_predict('stars', 3, 5) IN ('$a'::real, '$b'::real))::int;
SELECT 1 / bool_and(score BETWEEN -10 AND 15 OR score BETWEEN 90 AND 115)::int FROM als_recommend('stars', 3, 20);
SELECT 1 / (count(DISTINCT round(als_predict('stars', 3, item_id) / 100)) = 1)::int FROM generate_series(1, 100) item_id;
});
my $train = $node->basedir . '/train.sql';
append_to_file($train, q{
SELECT run FROM als_train('stars', 'shifted', feedback => 'explicit', factors => 4, regularization => 0.1);
SELECT run FROM als_train('stars', 'ratings', feedback => 'explicit', factors => 4, regularization => 0.1);
});
my $readers = IPC::Run::start(
	[ 'pgbench', '-n', '-M', 'prepared', '-c', '3', '-t', '2000', '-f', $script, $node->connstr('postgres') ],
	'>', \(my $bench_out = ''), '2>', \(my $bench_err = ''));
my $trainers = IPC::Run::start(
	[ 'pgbench', '-n', '-c', '2', '-t', '25', '-f', $train, $node->connstr('postgres') ],
	'>', \(my $train_out = ''), '2>', \(my $train_err = ''));
ok($readers->finish, 'every reader got one model or the other') or diag($bench_err);
ok($trainers->finish, 'and the trainings went through') or diag($train_err);

foreach my $s (@sessions)
{
	$s->{in} .= "\\q\n";
	$s->{run}->finish;
}
done_testing();
