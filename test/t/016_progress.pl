# als_progress shows other sessions what a training does, and no longer than
# it does it, in whatever way it ends; and als_tune says what its trials do.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use Test::More;
use Time::HiRes qw(time);

my $node = start_server('main', $parallel_workers);
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(1000, 300);
CREATE FUNCTION train_inner() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    RETURN (als_train('inner_model', 'ratings', factors => 2, iterations => 1)).run;
END $$;
CREATE DATABASE elsewhere;
CREATE ROLE stranger;
CREATE ROLE statistician IN ROLE pg_read_all_stats;
});

# Waits until what is shown is so
sub wait_for
{
	my ($condition, $name) = @_;
	ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM als_progress WHERE $condition"), $name)
		or diag($node->safe_psql('postgres', 'TABLE als_progress'));
}
sub is_gone
{
	my ($name) = @_;
	is($node->safe_psql('postgres', 'SELECT count(*) FROM als_progress'), '0', $name);
}

# A session that holds what trainings wait for
my $holder = open_session($node);

# reading, and before it a training inside of the training
ask($holder, 'SELECT pg_advisory_lock(1);');
my $training = background($node, 'trainer', q{SELECT run FROM als_train('model',
	'SELECT * FROM ratings WHERE (SELECT train_inner()) > 0 AND (SELECT wait_for(1)) AND item_id > 0', factors => 4, iterations => 2)});
wait_for(q{model = 'model' AND phase = 'reading' AND ratings_read = 0 AND iterations IS NULL AND loss IS NULL
	AND rows_total IS NULL AND trial IS NULL AND done = 0 AND remaining IS NULL
	AND datname = 'postgres' AND usename = current_user AND elapsed >= '0'
	AND pid = (SELECT pid FROM pg_stat_activity WHERE application_name = 'trainer' AND wait_event = 'advisory')},
	'reading, after a training inside');
is($node->safe_psql('postgres', 'SET ROLE stranger; SELECT pid IS NOT NULL, datname, model IS NULL AND phase IS NULL AND elapsed IS NULL FROM als_progress'),
	't|postgres|t', 'a stranger sees that there is one');
is($node->safe_psql('postgres', 'SET ROLE statistician; SELECT model, phase FROM als_progress'),
	'model|reading', 'who may read all statistics sees it');
$node->safe_psql('elsewhere', 'CREATE EXTENSION als');
is($node->safe_psql('elsewhere', 'SELECT datname, model IS NULL FROM als_progress'), 'postgres|t',
	'another database sees that there is one');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_stat_progress_create_index'), '0', 'it is no command of PostgreSQL');
ask($holder, 'SELECT pg_advisory_unlock(1);');
$training->{run}->finish;
is($training->{err}, '', 'it ends') ;
is_gone('gone with its end');

# how much of each phase is done, and what it still takes: reading by what PostgreSQL expects of the query
$node->safe_psql('postgres', q{
CREATE TABLE many AS SELECT i % 5000 AS user_id, i % 777 AS item_id, i AS number FROM generate_series(1, 200000) i;
ANALYZE many;
CREATE FUNCTION stop(number int) RETURNS int LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF number IN (100000, 200000) THEN PERFORM public.wait_for(number); END IF;
    RETURN 1;
END $$;
});
ask($holder, 'SELECT pg_advisory_lock(100000), pg_advisory_lock(200000);');
$training = background($node, 'trainer', q{SELECT run FROM als_train('half_read', 'SELECT user_id, item_id, stop(number) AS rating FROM many', factors => 4, iterations => 2)});
my $stopped = q{pid IN (SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory')};
wait_for(qq{phase = 'reading' AND ratings_read = 65536 AND done = 65536 / 200000.0 AND remaining BETWEEN elapsed AND 3 * elapsed AND $stopped}, 'half read');
ask($holder, 'SELECT pg_advisory_unlock(100000);');
wait_for(qq{phase = 'reading' AND ratings_read = 3 * 65536 AND done = ratings_read / 200000.0 AND remaining < elapsed AND $stopped}, 'nearly read');
ask($holder, 'SELECT pg_advisory_unlock(200000);');
$training->{run}->finish;
# it does not know better than PostgreSQL
ask($holder, 'SELECT pg_advisory_lock(200000);');
$training = background($node, 'trainer', q{SELECT run FROM als_train('half_read', 'SELECT *, stop(number) AS rating FROM many WHERE user_id + 0 = user_id', factors => 4, iterations => 2)});
wait_for(qq{phase = 'reading' AND ratings_read = 3 * 65536 AND done IS NULL AND remaining IS NULL AND $stopped}, 'more than expected');
ask($holder, 'SELECT pg_advisory_unlock(200000);');
$training->{run}->finish;

# sorting, in memory and in files, and writing
foreach my $memory ('1MB', '64MB')
{
	$training = background($node, 'trainer', qq{DO \$\$ BEGIN PERFORM set_config('maintenance_work_mem', '$memory', false);
		LOOP PERFORM als_train('sorted', 'SELECT number AS user_id, item_id, 1 AS rating FROM many', factors => 1, iterations => 1, workers => 0); COMMIT; END LOOP; END \$\$});
	# either is short: a loop finds what a client comes too late for
	is($node->safe_psql('postgres', q{
		CREATE TEMP TABLE seen (phase text, whole bool);
		DO $$
		BEGIN
			WHILE (SELECT count(DISTINCT phase) < 2 FROM seen) LOOP
				PERFORM pg_stat_clear_snapshot();
				INSERT INTO seen SELECT phase, done BETWEEN 0 AND 1 AND remaining >= '0' FROM als_progress WHERE phase IN ('sorting', 'writing') AND done > 0;
			END LOOP;
		END $$;
		SELECT bool_and(whole) FROM seen}), 't', "sorting and writing, $memory");
	$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM als_progress');
	$training->{run}->finish;
}

# training, with and without workers; cancelled and terminated
foreach my $workers (0, 2)
{
	my $function = $workers ? 'pg_terminate_backend' : 'pg_cancel_backend';
	$training = background($node, 'trainer', "SELECT run FROM als_train('other', 'ratings', factors => 4, iterations => 100000, workers => $workers)");
	wait_for(q{model = 'other' AND phase = 'training' AND iteration > 10 AND iterations = 100000 AND loss > 0
		AND ratings_read = (SELECT count(*) FROM ratings)
		AND rows_total = (SELECT count(DISTINCT user_id) + count(DISTINCT item_id) FROM ratings)
		AND rows_solved < rows_total AND done BETWEEN iteration / 100000.0 AND (iteration + 1) / 100000.0 AND elapsed > '0' AND remaining > elapsed}, "training, $workers workers");
	$node->safe_psql('postgres', "SELECT $function(pid) FROM als_progress");
	$training->{run}->finish;
	like($training->{err}, qr/canceling statement|terminating connection/, "$function");
	ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM als_progress'), "$function: gone");
}

# validating and trials
$training = background($node, 'trainer', q{SELECT count(*) FROM als_tune('tuned', 'ratings', '{"factors": [2, 3], "iterations": 100000}',
	validation_fraction => 0.2, workers => 0)});
wait_for(q{model = 'tuned' AND phase = 'validating' AND trial = 1 AND trials = 2 AND iteration > 1 AND remaining > elapsed}, 'validating, a trial');
wait_for(q{model = 'tuned' AND phase = 'training' AND trial = 1}, 'training, a trial');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM als_progress');
$training->{run}->finish;
is_gone('gone with als_tune');
$training = background($node, 'trainer', q{SELECT count(*) FROM als_tune('tuned', 'ratings', '{"iterations": [1, 100000]}', workers => 0)});
wait_for(q{model = 'tuned' AND trial = 2 AND trials = 2 AND iterations = 100000}, 'the second trial');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM als_progress');
$training->{run}->finish;

# als_train_agg
$training = background($node, 'trainer', q{SELECT (als_train_agg('aggregated', user_id, item_id, rating, '{"factors": 4, "iterations": 100000}')).run FROM ratings});
wait_for(q{model = 'aggregated' AND phase = 'training' AND iteration > 1 AND ratings_read > 0}, 'als_train_agg');
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(pid) FROM als_progress');
$training->{run}->finish;

# indexing writes numbers of its own, and a training whose source has errors that are caught goes on
$node->safe_psql('postgres', q{
CREATE FUNCTION indexed(factors real[]) RETURNS real LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    PERFORM public.wait_for(2);
    RETURN factors[1];
END $$;
CREATE INDEX ON model_items (indexed(factors));
CREATE FUNCTION caught(number int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    RETURN 1 / (number - number);
EXCEPTION WHEN division_by_zero THEN
    RETURN number;
END $$;
});
ask($holder, 'SELECT pg_advisory_lock(2);');
$training = background($node, 'trainer', q{SELECT run FROM als_train('model', 'SELECT * FROM ratings WHERE caught(user_id) > 0', factors => 4, iterations => 2)});
wait_for(q{model = 'model' AND phase = 'indexing' AND elapsed > '0' AND pid IN (SELECT pid FROM pg_stat_activity WHERE wait_event = 'advisory')}, 'indexing');
ask($holder, 'SELECT pg_advisory_unlock(2);');
$training->{run}->finish;
is($training->{err}, '', 'it ends');
is_gone('gone with its end');

# als_tune: what it says of its trials is what it returns of them, one that fails
# among them; without verbose it says nothing
my $tune = q{SELECT trial, parameters, metric, best_iteration, iterations, seconds, error FROM als_tune('tuned',
	'SELECT r.* FROM ratings r, (SELECT pg_sleep(CASE nextval($$reads$$) WHEN 1 THEN 0.5 ELSE 0 END) OFFSET 0) n WHERE user_id <= 60 AND item_id <= 50',
	'{"alpha": 40, "factors": [60, 3], "regularization": [0, 0.1], "iterations": 4, "solver": "cholesky"}', workers => 0, %s) ORDER BY trial};
$node->safe_psql('postgres', 'CREATE SEQUENCE reads');
sub trials
{
	my ($options) = @_;
	my ($stdout, $stderr, @lines);
	$node->safe_psql('postgres', 'ALTER SEQUENCE reads RESTART');
	my $started = time();
	is($node->psql('postgres', sprintf($tune, $options), stdout => \$stdout, stderr => \$stderr), 0, "als_tune, $options");
	my $seconds = time() - $started;
	foreach (split /\n/, $stdout)
	{
		my ($trial, $parameters, $metric, $best, $iterations, $took, $error) = split /\|/;
		push @lines, "trial $trial of 4, $parameters: " . ($error ne '' ? $error :
			sprintf('ndcg %.6g after iteration %d of %d, %.3f s', $metric, $best, $iterations, $took));
	}
	return (\@lines, [ map { s/^psql:<stdin>:\d+: NOTICE:  //r } split /\n/, $stderr ], $seconds);
}
my ($trials, $said) = trials('verbose => false');
is(join("\n", @$said), '', 'says nothing');
($trials, $said) = trials('verbose => true');
my $read = qr/read \d+ ratings by \d+ users of \d+ items in ([\d.]+) s/;
my $sorted = qr/sorted ratings in [\d.]+ s/;
my $wrote = qr/wrote factors in [\d.]+ s/;
is(scalar(@$said), 8, 'says it of reading, what is validated on, sorting, four trials and writing');
like($said->[0], qr/^$read$/, 'read');
like($said->[1], qr/^validating on \d+ ratings$/, 'validating');
like($said->[2], qr/^$sorted$/, 'sorted');
is(join("\n", @$said[3 .. 6]), join("\n", @$trials), 'the trials');
is(scalar(grep { /"regularization": 0\}: the normal equations are singular: / } @$trials), 1, 'of which one has failed');
like($said->[7], qr/^$wrote$/, 'written');
# a refit says what a training does
($trials, $said, my $seconds) = trials('verbose => true, refit => true');
is(join("\n", @$said[3 .. 6]), join("\n", @$trials), 'the trials again');
my ($first, $second) = map { /^$read$/ } @$said;
cmp_ok($second, '<=', $seconds - $first, 'reading once more takes its own time');
like(join("\n", @$said[7 .. $#$said]), qr/^$read\n$sorted\n(iteration \d of (\d): loss .*\n){1,4}$wrote$/, 'and the refit');
my $best = $node->safe_psql('postgres', 'SELECT iterations FROM tuned ORDER BY run DESC LIMIT 1');
is(join(' ', map { /^iteration (\d of \d):/ } @$said), join(' ', map { "$_ of $best" } 1 .. $best), 'in as many iterations as were best');
# all fail
$node->psql('postgres', q{SELECT als_tune('tuned', 'SELECT * FROM ratings WHERE user_id <= 60 AND item_id <= 50',
	'{"alpha": 40, "factors": [60, 61], "regularization": 0, "solver": "cholesky"}', verbose => true)}, stderr => \my $stderr);
like($stderr, qr/NOTICE:  trial 1 of 2, .* singular.*\n.*NOTICE:  trial 2 of 2, .* singular.*\n.*ERROR:  none of the trials/, 'trials that all fail');
is_gone('gone with them');

# what is shown of it before the trials, when it refits, and when it writes that
$node->safe_psql('postgres', q{
ALTER SEQUENCE reads RESTART 11;
CREATE INDEX ON tuned_items (indexed(factors));
});
ask($holder, 'SELECT pg_advisory_lock(11), pg_advisory_lock(12);');
$training = background($node, 'trainer', q{SELECT count(*) FROM als_tune('tuned', 'SELECT r.* FROM ratings r, (SELECT wait_for(nextval($$reads$$)::int) OFFSET 0) n',
	'{"factors": [2, 3], "iterations": 2}', workers => 0, refit => true)});
my $waits = q{pid = (SELECT pid FROM pg_stat_activity WHERE application_name = 'trainer' AND wait_event = 'advisory')};
my $reads = qq{model = 'tuned' AND phase = 'reading' AND $waits AND elapsed > '0' AND ratings_read = 0 AND trial IS NULL AND trials IS NULL
	AND iteration IS NULL AND iterations IS NULL AND loss IS NULL AND rows_solved IS NULL AND rows_total IS NULL AND done = 0 AND remaining IS NULL};
wait_for($reads, 'reading, before the trials');
ask($holder, 'SELECT pg_advisory_unlock(11);');
ok($node->poll_query_until('postgres', "SELECT is_called AND last_value = 12 FROM reads"), 'the trials end');
wait_for($reads, 'reading, for the refit');
# readers of both sides, one after the other
ask($holder, 'BEGIN; SELECT count(*) FROM tuned_users;');
ask($holder, 'SELECT pg_advisory_unlock(12);');
my $writes = q{model = 'tuned' AND phase = 'waiting' AND trial IS NULL AND trials IS NULL AND iteration = iterations AND loss > 0
	AND ratings_read = (SELECT count(*) FROM ratings) AND elapsed > '0'
	AND pid = (SELECT pid FROM pg_locks WHERE NOT granted AND locktype = 'virtualxid')};
wait_for($writes, 'waiting for a reader');
ask($holder, 'SELECT pg_advisory_lock(2); COMMIT;');
wait_for(qq{model = 'tuned' AND phase = 'indexing' AND $waits AND trial IS NULL AND trials IS NULL AND elapsed > '0'}, 'indexing');
ask($holder, 'SELECT pg_advisory_unlock(2);');
$training->{run}->finish;
is($training->{err}, '', 'it ends');
is_gone('gone with its end');
# and without refitting, when the last trial is the last that was done
ask($holder, 'BEGIN; SELECT count(*) FROM tuned_items;');
$training = background($node, 'trainer', q{SELECT count(*) FROM als_tune('tuned', 'ratings', '{"factors": [2, 3], "iterations": 2}', workers => 0)});
wait_for(q{model = 'tuned' AND phase = 'waiting' AND trial = 2 AND trials = 2 AND iteration = 2 AND iterations = 2 AND loss > 0
	AND pid = (SELECT pid FROM pg_locks WHERE NOT granted AND locktype = 'virtualxid')}, 'waiting without a refit');
ask($holder, 'COMMIT;');
$training->{run}->finish;
is($training->{err}, '', 'it ends');
is_gone('gone with its end');

is(close_sessions(), '', 'without an error of the holder');
$node->stop;
done_testing();
