# als_train_sharded from a table that Citus distributes: every iteration as
# als_train's; whatever ends a training leaves the old model serving, and nothing
# behind for longer than until the next one.  Runs where the server has Citus.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use Test::More;

my @nodes = start_citus();
my ($coordinator, @workers) = @nodes;
sub asks { return $coordinator->safe_psql('postgres', $_[0]); }

# what is read waits for whoever has a lock, from the second iteration on
asks(q{
CREATE TABLE local_ratings AS SELECT user_id, 'i' || item_id AS film, rating FROM some_ratings(200, 100, 20);
INSERT INTO local_ratings SELECT user_id, film, -rating / 4 FROM local_ratings WHERE user_id % 7 = 0;
CREATE TABLE ratings (LIKE local_ratings);
SELECT create_distributed_table('ratings', 'user_id', shard_count => 8);
INSERT INTO ratings SELECT * FROM local_ratings;
CREATE TABLE by_film (LIKE local_ratings);
SELECT create_distributed_table('by_film', 'film');
CREATE TABLE empty (LIKE local_ratings);
SELECT create_distributed_table('empty', 'user_id');
CREATE TABLE reference_ratings (LIKE local_ratings);
SELECT create_reference_table('reference_ratings');
});

sub nothing_left
{
	my ($name) = @_;
	is($_->safe_psql('postgres', q{SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE starts_with(nspname, 'als_sharded')}),
		0, "$name: nothing is left on " . $_->name) foreach @nodes;
	return;
}

my $training = q{item_column => 'film', factors => 6, alpha => 2, regularization => 0.5, regularization_scaling => 0};
is(asks("SELECT run, users, items FROM als_train_sharded('m', 'ratings', $training, iterations => 5)"), '1|198|99', 'trained');
asks(qq{
SELECT FROM als_import('reference', 'SELECT DISTINCT user_id, array_fill(0::real, ARRAY[6]) AS factors FROM local_ratings',
	'SELECT DISTINCT film AS item_id, als_starting_factors(film, 6) AS factors FROM local_ratings', regularization => 0.5, regularization_scaling => 0, alpha => 2);
SELECT FROM als_train('reference', 'local_ratings', $training, iterations => 5, solver => 'cholesky', warm_start => true)});
is(asks(q{
SELECT a.ratings = b.ratings, cardinality(a.losses), (SELECT max(abs(x / y - 1)) < 1e-5 FROM unnest(a.losses, b.losses) t(x, y)),
	(SELECT max(abs(x - y)) < 1e-4 FROM m_users u JOIN reference_users r USING (user_id), unnest(u.factors, r.factors) t(x, y)),
	(SELECT max(abs(x - y)) < 1e-4 FROM m_items u JOIN reference_items r USING (item_id), unnest(u.factors, r.factors) t(x, y)),
	(SELECT count(*) FROM als_recommend_as(NULL::text, 'm', 7, 5)), a.source
FROM m a, reference b WHERE b.run = 2}), 't|5|t|t|t|5|public.ratings', 'as als_train from the same start');
nothing_left('after a training');

# names that need quotes, another number of shards, and one session on a node
asks(qq{
CREATE SCHEMA "o'dd %s";
CREATE TABLE "o'dd %s"."ra""tings 1" ("a user" int, "%1\$s" text, "it's" real);
SELECT create_distributed_table('"o''dd %s"."ra""tings 1"', 'a user', shard_count => 5);
INSERT INTO "o'dd %s"."ra""tings 1" SELECT * FROM local_ratings;
SET citus.max_adaptive_executor_pool_size = 1;
SELECT FROM als_train_sharded('odd', '"o''dd %s"."ra""tings 1"', 'a user', '%1\$s', 'it''s', factors => 6, alpha => 2, regularization => 0.5, regularization_scaling => 0, iterations => 5)});
is(asks(q{
SELECT (SELECT max(abs(x / y - 1)) < 1e-6 FROM unnest(a.losses, b.losses) t(x, y)),
	(SELECT max(abs(x - y)) < 1e-5 FROM odd_users u JOIN m_users r USING (user_id), unnest(u.factors, r.factors) t(x, y)) FROM odd a, m b}), 't|t', 'the same from a table with names that need quotes');
nothing_left('after that');

# explicit feedback, and what is not given is what als_train chooses
asks(q{SET client_min_messages = warning;
SELECT FROM als_train_sharded('stars', 'ratings', item_column => 'film', feedback => 'explicit', factors => 6, iterations => 3);
SELECT FROM als_train('stars_chosen', 'local_ratings', item_column => 'film', feedback => 'explicit', factors => 6, iterations => 1);
SELECT FROM als_train_sharded('chosen', 'ratings', item_column => 'film', factors => 3, iterations => 1);
SELECT FROM als_train('reference_chosen', 'local_ratings', item_column => 'film', factors => 3, iterations => 1);
SELECT als_import('stars_reference', 'SELECT DISTINCT user_id, array_fill(0::real, ARRAY[6]) AS factors, 0 AS bias FROM local_ratings',
	'SELECT DISTINCT film AS item_id, als_starting_factors(film, 6) AS factors, 0 AS bias FROM local_ratings', feedback => 'explicit', mean_rating => 0, regularization => 1) IS NULL;
SELECT FROM stars s, LATERAL als_train('stars_reference', 'local_ratings', item_column => 'film', feedback => 'explicit', factors => 6, iterations => 3, solver => 'cholesky', warm_start => true,
	regularization => s.regularization, regularization_scaling => s.regularization_scaling)});
is(asks(q{SELECT abs(a.regularization / b.regularization - 1) < 1e-9, a.regularization_scaling = b.regularization_scaling, coalesce(abs(a.alpha / b.alpha - 1) < 1e-9, a.alpha IS NULL AND b.alpha IS NULL)
	FROM (VALUES ('chosen'), ('stars')) v(name), LATERAL (SELECT * FROM chosen WHERE name = 'chosen' UNION ALL SELECT * FROM stars WHERE name = 'stars') a,
	LATERAL (SELECT * FROM reference_chosen WHERE name = 'chosen' UNION ALL SELECT * FROM stars_chosen WHERE name = 'stars') b}), "t|t|t\nt|t|t", 'chosen as als_train chooses');
is(asks(q{SELECT abs(a.mean_rating - b.mean_rating) < 1e-6, (SELECT max(abs(x / y - 1)) < 1e-5 FROM unnest(a.losses, b.losses) t(x, y)),
	(SELECT max(abs(x - y)) < 1e-4 FROM stars_users u JOIN stars_reference_users r USING (user_id), unnest(u.factors || u.bias, r.factors || r.bias) t(x, y))
	FROM stars a, stars_reference b WHERE b.run = 2}), 't|t|t', 'explicit feedback as als_train');

# solving runs on the nodes
like(asks(qq{SET client_min_messages = log; SET citus.log_remote_commands = on; EXPLAIN (VERBOSE) SELECT user_id, als_solve(film, rating, '{"model": "m", "side": "users"}') FROM ratings GROUP BY user_id}),
	qr/Task Count: 8.*Query: SELECT user_id, public\.als_solve\(film.*GROUP BY user_id/s, 'als_solve is pushed down');

foreach my $case (
	[ q{'m', 'by_film', item_column => 'film'}, qr/42809: table "public\.by_film" is not distributed by column "user_id"/ ],
	[ q{'m', 'local_ratings', item_column => 'film'}, qr/42809: the ratings of "public\.local_ratings" are not on several servers/ ],
	[ q{'m', 'reference_ratings', item_column => 'film'}, qr/42809: the ratings of "public\.reference_ratings" are not on several servers/ ],
	[ q{'m', 'empty', item_column => 'film'}, qr/P0002: there are no ratings to train from/ ],
	[ q{'m', 'ratings', item_column => 'film', alpha => -1}, qr/22023: alpha must not be -1/ ],
	[ q{'m', 'ratings', item_column => 'film', regularization => 0, factors => 200}, qr/38000: a node of Citus cannot take part in the training\n.*Node \d+ says: .*the normal equations are singular/s ])
{
	my ($arguments, $pattern) = @$case;
	my ($status, $stdout, $stderr) = $coordinator->psql('postgres', "\\set VERBOSITY verbose\nSELECT als_train_sharded($arguments)");
	like($stderr, qr/ERROR:  $pattern/, $arguments);
}
my ($status, $stdout, $stderr) = $coordinator->psql('postgres', "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT als_train_sharded('m', 'ratings', $training)");
like($stderr, qr/ERROR:  als_train_sharded with Citus needs isolation level READ COMMITTED/, 'another isolation level');
asks(q{INSERT INTO ratings VALUES (8, 'i9', 'NaN')});
($status, $stdout, $stderr) = $coordinator->psql('postgres', "SELECT als_train_sharded('m', 'ratings', $training)");
like($stderr, qr/says: .*ratings must not contain the value NaN/s, 'NaN');
($status, $stdout, $stderr) = $coordinator->psql('postgres', "\\set VERBOSITY verbose\nSELECT als_sharded_run(ARRAY['SELECT * FROM public.als_sharded_nodes(''public'', ''coordinator'', ''SELECT'', ''SELECT 1 / 0'', NULL, NULL)'], true)");
like($stderr, qr/ERROR:  38000: a node of Citus cannot take part in the training\n.*Node \d+ says: .*division by zero/s, 'what the coordinator cannot answer');
asks(q{DELETE FROM ratings WHERE rating = 'NaN'});
# a function of somebody else's that fits the nodes' calls better
foreach my $node ($coordinator, $workers[1])
{
	$node->safe_psql('postgres', q{SET citus.enable_ddl_propagation = off; CREATE FUNCTION als_solve_row(text[], real[], jsonb) RETURNS als_solution LANGUAGE sql AS 'SELECT NULL::public.als_solution'});
	($status, $stdout, $stderr) = $coordinator->psql('postgres', "SELECT als_train_sharded('m', 'ratings', $training)");
	like($stderr, qr/function (?:public\.)?als_solve_row\(text\[\],real\[\],jsonb\) in database "postgres" is not of the extension als/, 'a function of others on ' . $node->name);
	$node->safe_psql('postgres', 'SET citus.enable_ddl_propagation = off; DROP FUNCTION als_solve_row(text[], real[], jsonb)');
}
nothing_left('after errors');

# cancelled while it reads, and a worker away
my $answer = q{SELECT count(*), sum(score) FROM als_recommend_all_as(NULL::int, NULL::text, 'm', 3, exclude_seen => false)};
my $answers = asks($answer);
my $lock = open_session($coordinator, 'BEGIN; LOCK TABLE ratings IN ACCESS EXCLUSIVE MODE;');
my $victim = background($coordinator, 'victim', "SELECT als_train_sharded('m', 'ratings', $training)");
wait_until($coordinator, q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted});
cancel($coordinator, 'victim');
$victim->{run}->finish;
like($victim->{err}, qr/57014/, 'cancelled');
close_sessions($lock);
$workers[1]->stop('immediate');
($status, $stdout, $stderr) = $coordinator->psql('postgres', "SELECT als_train_sharded('m', 'ratings', $training)");
like($stderr, qr/ERROR:  (?:connection to the remote node|a node of Citus cannot)/, 'a worker is away');
is(asks($answer), $answers, 'the model serves');
$workers[1]->start;
is(asks("SELECT run FROM als_train_sharded('m', 'ratings', $training, iterations => 2)"), 2, 'trained again');
nothing_left('after all');

# a user who comes meanwhile, with an item that comes meanwhile
my $long = background($coordinator, 'long', "SELECT run FROM als_train_sharded('m', 'ratings', $training, iterations => 50, verbose => true)");
wait_for_message($long, qr/iteration 1 of 50/);
asks(q{INSERT INTO ratings VALUES (1000, 'new', 1)});
$long->{run}->finish;
is($long->{out}, "3\n", 'ratings are added meanwhile');
unlike($long->{err}, qr/ERROR/, 'which is no error');
is(asks(q{SELECT count(*) FROM m_users WHERE user_id = 1000}), 0, 'the model does not know who came');
asks(q{DELETE FROM ratings WHERE user_id = 1000});

# a model of another training at the same time does not matter; nor does a rollback
asks("BEGIN; SELECT als_train_sharded('m', 'ratings', $training, iterations => 1); ROLLBACK");
is(asks("SELECT run FROM als_train_sharded('m', 'ratings', $training, iterations => 1)"), 4, 'what a rolled back training leaves, the next one removes');
nothing_left('and after that');

done_testing();
