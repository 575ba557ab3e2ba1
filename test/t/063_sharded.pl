# als_train_sharded on three servers with postgres_fdw: every iteration as
# als_train's, however many servers there are; only factors travel; whatever ends a
# training leaves the old model serving, and nothing behind for longer than until
# the next one.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $main = start_server('main', $countable_segments);
plan skip_all => 'postgres_fdw and dblink are not available'
  if $main->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name IN ('postgres_fdw', 'dblink')}) < 2;

sub asks { return $main->safe_psql('postgres', $_[0]); }

sub fails { return fails_with($main, @_); }

asks(q{
CREATE EXTENSION postgres_fdw;
CREATE TABLE local_ratings AS SELECT * FROM some_ratings(200, 100, 20);
INSERT INTO local_ratings SELECT user_id, item_id, -rating / 4 FROM local_ratings WHERE (user_id + item_id) % 7 = 0;
CREATE VIEW local_text_ratings AS SELECT 'u' || user_id AS user_id, ('i' || item_id)::varchar(20) AS item_id, rating FROM local_ratings;
});
my %shards;
foreach my $name ('east', 'north', 'south')
{
	my $shard = $shards{$name} = PostgreSQL::Test::Cluster->new($name);
	$shard->init;
	$shard->append_conf('postgresql.conf', 'log_statement = all');
	$shard->start;
	$shard->safe_psql('postgres', 'CREATE EXTENSION als');
	asks(sprintf(q{CREATE SERVER %s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '%s', port '%s', dbname 'postgres', async_capable 'true');},
			$name, $shard->host, $shard->port) . "CREATE USER MAPPING FOR CURRENT_USER SERVER $name");
}
my @names = sort keys %shards;

# A table on some of the servers, with a table of the same name on each
sub distribute
{
	my ($table, $source, $user, $item, @on) = @_;
	asks("CREATE TABLE $table (user_id $user, item_id $item, rating real) PARTITION BY HASH (user_id)");
	foreach my $i (0 .. $#on)
	{
		$shards{ $on[$i] }->safe_psql('postgres', "CREATE TABLE $table (user_id $user, item_id $item, rating real)");
		asks(sprintf 'CREATE FOREIGN TABLE %s_%d PARTITION OF %s FOR VALUES WITH (MODULUS %d, REMAINDER %d) SERVER %s OPTIONS (table_name %s)',
			$table, $i, $table, scalar @on, $i, $on[$i], "'$table'");
	}
	asks("INSERT INTO $table SELECT * FROM $source");
	return;
}
distribute('three', 'local_ratings', 'int', 'int', @names);
distribute('two', 'local_ratings', 'int', 'int', @names[ 0, 1 ]);
distribute('one', 'local_ratings', 'int', 'int', $names[0]);
distribute('texts', 'local_text_ratings', 'text COLLATE "C"', 'varchar(20)', @names);
distribute('equal', '(SELECT user_id, item_id, 4.7::real FROM local_ratings) e', 'int', 'int', @names);
distribute('far', '(SELECT user_id, item_id, 1e6 + rating FROM local_ratings) f', 'int', 'int', @names);
distribute('nulls', '(SELECT user_id, item_id, NULL::real FROM local_ratings) n', 'int', 'int', @names);
distribute('nans', q{(SELECT user_id, item_id, 'NaN'::real FROM local_ratings) n}, 'int', 'int', @names);
distribute('none', 'local_ratings WHERE false', 'int', 'int', @names);

#
# What is missing is said
#

my $training = q{factors => 6, alpha => 2, regularization => 0.5};
my $before = asks('SELECT count(*) FROM pg_namespace');
fails("SELECT als_train_sharded('m', 'three')", qr/ERROR:  55000: als_train_sharded needs the extension dblink\n/, 'no dblink');
asks('CREATE SCHEMA tools; CREATE EXTENSION dblink SCHEMA tools');
$shards{south}->safe_psql('postgres', 'DROP EXTENSION als');
fails("SELECT als_train_sharded('m', 'three')", qr/ERROR:  55000: server "south" does not have the extension als in schema "public"\n/, 'als is missing on a server');
$shards{south}->safe_psql('postgres', 'CREATE EXTENSION als');

# servers that lead to one database, and one that leads back
foreach my $again ([ 'again', $shards{east} ], [ 'back', $main ])
{
	my ($name, $node) = @$again;
	asks(sprintf q{CREATE SERVER %s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '%s', port '%s', dbname 'postgres');},
		$name, $node->host, $node->port);
	asks("CREATE USER MAPPING FOR CURRENT_USER SERVER $name");
}
asks(q{
CREATE TABLE twice (user_id int, item_id int, rating real) PARTITION BY HASH (user_id);
CREATE FOREIGN TABLE twice_0 PARTITION OF twice FOR VALUES WITH (MODULUS 2, REMAINDER 0) SERVER east OPTIONS (table_name 'one');
CREATE FOREIGN TABLE twice_1 PARTITION OF twice FOR VALUES WITH (MODULUS 2, REMAINDER 1) SERVER again OPTIONS (table_name 'one');
CREATE TABLE home (user_id int, item_id int, rating real) PARTITION BY HASH (user_id);
CREATE FOREIGN TABLE home_0 PARTITION OF home FOR VALUES WITH (MODULUS 1, REMAINDER 0) SERVER back OPTIONS (table_name 'local_ratings');
});
my $each = qr/\n.*HINT:  Several servers on one machine need a database each\./s;
fails("SELECT als_train_sharded('m', 'twice')", qr/ERROR:  55000: servers "again" and "east" lead to the same database$each/, 'one database twice');
fails("SELECT als_train_sharded('m', 'home')", qr/ERROR:  55000: server "back" leads to this database$each/, 'this database');

#
# As als_train
#

# Trains with both from the same start; what they differ in
sub compare
{
	my ($model, $table, $local, $options) = @_;
	my ($bias, $mean) = $options =~ /explicit/ ? (', 0 AS bias', ', mean_rating => 0') : ('', '');
	asks("SELECT als_train_sharded('$model', '$table', $training, iterations => 5$options)");
	return asks(qq{
SET client_min_messages = warning;
DROP TABLE IF EXISTS reference;
SELECT FROM als_import('reference', 'SELECT DISTINCT user_id, array_fill(0::real, ARRAY[6]) AS factors$bias FROM $local',
	'SELECT DISTINCT item_id, als_starting_factors(item_id, 6) AS factors$bias FROM $local', regularization => 0.5, alpha => 2$options$mean);
SELECT FROM als_train('reference', '$local', $training, iterations => 5$options, solver => 'cholesky', warm_start => true);
SELECT a.users = b.users AND a.items = b.items AND a.ratings = b.ratings, a.iterations, a.solver, cardinality(a.losses), a.loss = a.losses[5],
	(SELECT max(abs(x / y - 1)) < 1e-5 FROM unnest(a.losses, b.losses) t(x, y)),
	(SELECT max(abs(x - y)) < 1e-4 FROM ${model}_users u JOIN reference_users r USING (user_id), unnest(u.factors, r.factors) t(x, y)),
	(SELECT max(abs(x - y)) < 1e-4 FROM ${model}_items u JOIN reference_items r USING (item_id), unnest(u.factors, r.factors) t(x, y)),
	(SELECT count(*) = a.users FROM ${model}_users JOIN reference_users USING (user_id))
FROM $model a, reference b WHERE b.run = 2 ORDER BY a.run DESC LIMIT 1}) =~ s/^\s+//r;
}

# Nothing is left, or will be in a moment.
sub nothing_left
{
	my ($name) = @_;
	wait_until($_, q{SELECT count(*) = 0 FROM pg_namespace WHERE starts_with(nspname, 'als_sharded')}) foreach values %shards;
	is(asks(q{SELECT count(*) FROM pg_namespace WHERE starts_with(nspname, 'als_sharded')}), 0, "$name: nothing is left");
	return;
}

my $same = 't|5|cholesky|5|t|t|t|t|t';
is(compare('three_als', 'three', 'local_ratings', ''), $same, 'three servers: as als_train');
is(compare('two_als', 'two', 'local_ratings', ''), $same, 'two');
is(compare('one_als', 'one', 'local_ratings', ''), $same, 'one');
is(compare('texts_als', 'texts', 'local_text_ratings', ''), $same, 'ids of other types');
is(compare('scaled_als', 'three', 'local_ratings', ', regularization_scaling => 0.5'), $same, 'lambda that grows with the ratings');
is(compare('spark_als', 'three', 'local_ratings', q{, regularization_scaling => 1, regularization_by => 'ratings'}), $same, 'and with their number alone');
is(compare('explicit_als', 'three', 'local_ratings', q{, feedback => 'explicit'}), $same, 'explicit feedback');
is(asks(q{SELECT abs(a.mean_rating - b.mean_rating) < 1e-6, a.alpha IS NULL, a.biases,
	(SELECT max(abs(u.bias - r.bias)) < 1e-4 FROM explicit_als_users u JOIN reference_users r USING (user_id)),
	(SELECT max(abs(u.bias - r.bias)) < 1e-4 FROM explicit_als_items u JOIN reference_items r USING (item_id)) FROM explicit_als a, reference b WHERE b.run = 2}),
	't|t|t|t|t', 'and its biases');

# what is not given is what als_train chooses
foreach my $case (map({ [ 'three', $_ ] } '', q{, alpha => 3, regularization_by => 'ratings'}, ', regularization => 0.1', ', regularization_scaling => 0.3', q{, feedback => 'explicit'}, q{, rating_column => NULL}),
	# far from 0, where squares less the mean's square are rounding errors
	map({ [ $_, q{, feedback => 'explicit'} ] } 'equal', 'far'))
{
	my ($table, $options) = @$case;
	asks(qq{SET client_min_messages = warning; DROP TABLE IF EXISTS reference, chosen_als;
SELECT FROM als_train_sharded('chosen_als', '$table', factors => 3, iterations => 1$options);
SELECT FROM als_train('reference', 'SELECT * FROM $table', factors => 3, iterations => 1$options)});
	is(asks(q{SELECT abs(a.regularization / b.regularization - 1) < 1e-9, a.regularization_scaling = b.regularization_scaling,
		coalesce(abs(a.alpha / b.alpha - 1) < 1e-9, a.alpha IS NULL AND b.alpha IS NULL) FROM chosen_als a, reference b}), 't|t|t', "chosen as als_train chooses: $table$options");
}
# however numbers are written
is(asks(q{SET client_min_messages = warning; SET extra_float_digits = -15;
SELECT FROM als_train_sharded('digits_als', 'three', factors => 3, iterations => 2, feedback => 'explicit', regularization => 0.123456789);
SET extra_float_digits = 1;
SELECT FROM als_train_sharded('digits_als', 'three', factors => 3, iterations => 2, feedback => 'explicit', regularization => 0.123456789);
SELECT abs(a.loss / b.loss - 1) < 1e-9, a.mean_rating = b.mean_rating FROM digits_als a, digits_als b WHERE a.run = 1 AND b.run = 2}), 't|t', 'however numbers are written');
nothing_left('after trainings');
is(asks(q{SELECT count(*) FROM (SELECT losses[5] FROM three_als UNION ALL SELECT losses[5] FROM two_als UNION ALL SELECT losses[5] FROM one_als) l(loss), three_als t WHERE abs(l.loss / t.loss - 1) < 1e-6}),
	3, 'any number of servers: the same loss');
is(asks(q{SELECT (SELECT count(*) FROM als_recommend('three_als', 7, 5)), (SELECT count(*) FROM als_recommend('three_als', 7, 1000)) + (SELECT count(DISTINCT item_id) FROM local_ratings WHERE user_id = 7) =
	(SELECT count(*) FROM three_als_items), (SELECT count(*) FROM three_als, als_convergence(three_als)), (SELECT source FROM three_als), als_refresh_user('three_als', 7)}),
	'5|t|5|public.three|t', 'it is a model as any other');
is(asks(q{SELECT run, loss < 1e9 FROM als_train_sharded('three_als', 'three', factors => 3, iterations => 1)}), '2|t', 'trained again');
is(asks(q{SELECT run FROM als_train_sharded('"Odd ''name"', 'three', rating_column => NULL, factors => 3, iterations => 1)}), '1', 'without ratings, with an odd name');
is(asks(q{CREATE SCHEMA s; SET search_path = s, public; SELECT run FROM als_train_sharded('m', 'three', factors => 3, iterations => 1); SELECT 's.m'::regclass, current_setting('search_path')}),
	"1\nm|s, public", 'where the search path says');

# als in a schema that is not in the search_path
asks('CREATE DATABASE here');
asks('CREATE DATABASE there');
$main->safe_psql($_, 'CREATE SCHEMA ext; CREATE EXTENSION als SCHEMA ext; CREATE SCHEMA s') foreach 'here', 'there';
$main->safe_psql('there', 'CREATE TABLE ratings (user_id int, item_id int, rating real)');
$main->safe_psql('here', sprintf q{
CREATE EXTENSION postgres_fdw;
CREATE EXTENSION dblink SCHEMA ext;
CREATE SERVER there FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '%s', port '%s', dbname 'there');
CREATE USER MAPPING FOR CURRENT_USER SERVER there;
CREATE TABLE ratings (user_id int, item_id int, rating real) PARTITION BY HASH (user_id);
CREATE FOREIGN TABLE ratings_0 PARTITION OF ratings FOR VALUES WITH (MODULUS 1, REMAINDER 0) SERVER there OPTIONS (table_name 'ratings');
INSERT INTO ratings SELECT u, i, 1 FROM generate_series(1, 9) u, generate_series(1, 9) i WHERE u %% 3 = i %% 3;
}, $main->host, $main->port);
foreach my $case ([ 'm', 'public.m', 1 ], [ 'here.public.m', 'public.m', 2 ], [ 'here.s.other', 's.other', 1 ])
{
	my ($name, $table, $run) = @$case;
	is($main->safe_psql('here', "SELECT run, items FROM ext.als_train_sharded('$name', 'ratings', factors => 3, iterations => 1)"), "$run|9", "als in another schema: $name");
	is($main->safe_psql('here', "SELECT max(run) FROM $table"), $run, "it is $table");
}
foreach my $case ([ 'there.s.other', qr/0A000: cross-database references are not implemented/ ], [ 'm', qr/3F000: no schema has been selected to create in/ ])
{
	my ($name, $pattern) = @$case;
	my ($status, $stdout, $stderr) = $main->psql('here', "\\set VERBOSITY verbose\nSET search_path = '';\nSELECT ext.als_train_sharded('$name', 'public.ratings', factors => 3)");
	like($stderr, qr/ERROR:  $pattern/, "$name: says so");
}

# ids that are written in more than one way
distribute('dates', q{(SELECT '2020-01-31'::date + user_id AS user_id, item_id, rating FROM local_ratings) d}, 'date', 'int', $names[0]);
is(asks(q{SET DateStyle = German; SELECT run FROM als_train_sharded('dates_als', 'dates', factors => 3, iterations => 1)}), 1, 'dates as ids');

# The tables on a server are dropped however long the transaction takes to let them go.
$shards{east}->safe_psql('postgres', q{
ALTER DATABASE postgres SET statement_timeout = '1h';
ALTER DATABASE postgres SET client_connection_check_interval = '1h';
CREATE TABLE timeouts (number int GENERATED ALWAYS AS IDENTITY, settings text);
CREATE FUNCTION note_timeouts() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.timeouts (settings) SELECT string_agg(setting, ',' ORDER BY name) FROM pg_settings
    WHERE name IN ('client_connection_check_interval', 'lock_timeout', 'statement_timeout');
END $$;
CREATE EVENT TRIGGER note_timeouts ON ddl_command_start WHEN TAG IN ('DROP SCHEMA') EXECUTE FUNCTION note_timeouts();
});
asks(q{SELECT FROM als_train_sharded('three_als', 'three', factors => 3, iterations => 1)});
nothing_left('a training');
fails(q{SELECT als_train_sharded('m', 'three', factors => 200, regularization => 0, iterations => 1)}, qr/ERROR/, 'a failure');
nothing_left('a failure');
is($shards{east}->safe_psql('postgres', q{SELECT settings FROM timeouts ORDER BY number}), join("\n", ('3600000,10000,3600000', '0,0,0') x 2), 'what is dropped at the end may wait');
$shards{east}->safe_psql('postgres', q{
DROP EVENT TRIGGER note_timeouts;
ALTER DATABASE postgres RESET ALL;
});

# what the servers have been asked: they solve, and no ratings leave them after the copy
my %seen = map { $_ => -s $shards{$_}->logfile } @names;
asks(q{SELECT als_train_sharded('three_als', 'three', factors => 3, iterations => 3)});
foreach my $name (@names)
{
	my $log = slurp_file($shards{$name}->logfile, $seen{$name});
	my @reads = $log =~ /DECLARE c\d+ CURSOR FOR\s+(SELECT [^\n]*)/g;
	foreach my $side ('users', 'items')
	{
		is(scalar(grep { /^SELECT ids, factors, ratings, loss, penalty FROM als_sharded_\w+\.solved_$side$/ } @reads), 3, "$name solves its $side");
	}
	my @ratings = grep { /FROM public\.three/ } @reads;
	cmp_ok(scalar(@ratings), '<=', 2, "$name is asked for ratings to begin with alone");
	is(join(' ', sort map { /FROM als_sharded_\w+\.(\w+)$/ } grep { !/solved/ } @reads), 'emptied imported staged started', "... and otherwise does what is done once");
}

#
# What cannot be trained from
#

asks(q{
CREATE TABLE by_item (user_id int, item_id int, rating real) PARTITION BY HASH (item_id);
CREATE FOREIGN TABLE by_item_0 PARTITION OF by_item FOR VALUES WITH (MODULUS 1, REMAINDER 0) SERVER east OPTIONS (table_name 'one');
CREATE TABLE by_both (user_id int, item_id int, rating real) PARTITION BY HASH (user_id, item_id);
CREATE TABLE mixed (user_id int, item_id int, rating real) PARTITION BY HASH (user_id);
CREATE FOREIGN TABLE mixed_0 PARTITION OF mixed FOR VALUES WITH (MODULUS 2, REMAINDER 0) SERVER east OPTIONS (table_name 'one');
CREATE TABLE mixed_1 PARTITION OF mixed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE bare (user_id int, item_id int, rating real) PARTITION BY HASH (user_id);
CREATE TABLE deep (user_id int, item_id int, rating real) PARTITION BY HASH (user_id);
CREATE TABLE deep_0 PARTITION OF deep FOR VALUES WITH (MODULUS 1, REMAINDER 0) PARTITION BY HASH (item_id);
CREATE FOREIGN TABLE deep_00 PARTITION OF deep_0 FOR VALUES WITH (MODULUS 1, REMAINDER 0) SERVER east OPTIONS (table_name 'one');
CREATE VIEW a_view AS TABLE three;
});
foreach my $case (
	[ q{'m', 'local_ratings'}, qr/42809: the ratings of "public\.local_ratings" are not on several servers\n.*HINT:  Train with als_train/s ],
	[ q{'m', 'a_view'}, qr/42809: the ratings of "public\.a_view" are not on several servers/ ],
	[ q{'m', 'by_item'}, qr/42809: table "public\.by_item" is not partitioned by column "user_id"\n.*DETAIL:  All ratings of a user have to be on one server/s ],
	[ q{'m', 'by_both'}, qr/42809: table "public\.by_both" is not partitioned by column "user_id"/ ],
	[ q{'m', 'deep'}, qr/42809: table "public\.deep" is not partitioned by column "user_id"/ ],
	[ q{'m', 'three', user_column => 'item_id', item_column => 'user_id'}, qr/42809: table "public\.three" is not partitioned by column "item_id"/ ],
	[ q{'m', 'mixed'}, qr/42809: partition "public\.mixed_1" is not a foreign table of postgres_fdw/ ],
	[ q{'m', 'bare'}, qr/P0002: there are no ratings to train from/ ],
	[ q{'m', 'none'}, qr/P0002: there are no ratings to train from/ ],
	[ q{'m', 'nulls'}, qr/22004: column "rating" of the ratings contains a null value\n.*DETAIL:  It is the rating of item \d+ by user \d+/s ],
	[ q{'m', 'nans'}, qr/22003: column "rating" of the ratings contains the value NaN\n.*DETAIL:  It is the rating of item \d+ by user \d+/s ],
	[ q{'m', 'nowhere'}, qr/42P01: relation "nowhere" does not exist/ ],
	[ q{'m', 0::oid::regclass}, qr/42703: column "user_id" does not exist in the ratings/ ],
	[ q{'m', NULL}, qr/22004: ratings must not be null/ ],
	[ q{NULL, 'three'}, qr/22004: model must not be null/ ],
	[ q{'local_ratings', 'three'}, qr/42809: "(?:public\.)?local_ratings" is not an als model/ ],
	[ q{'nowhere.m', 'three'}, qr/3F000: schema "nowhere" does not exist/ ],
	[ q{'a.b.c.d', 'three'}, qr/42601: improper (?:relation|qualified) name/ ],
	[ q{'m', 'three', item_column => 'film'}, qr/42703: column "film" does not exist in the ratings/ ],
	[ q{'m', 'three', rating_column => 'stars'}, qr/42703: column "stars" does not exist in the ratings/ ],
	[ q{'m', 'texts', rating_column => 'item_id'}, qr/42804: rating column "item_id" is of type character varying\(20\), which is not numeric/ ],
	[ q{'m', 'three', factors => 0}, qr/22023: factors must not be 0\n.*HINT:  It is a whole number between 1 and 1024/s ],
	[ q{'m', 'three', iterations => 0}, qr/22023: iterations must not be 0/ ],
	[ q{'m', 'three', iterations => NULL}, qr/22004: iterations must not be null/ ],
	[ q{'m', 'three', alpha => -1}, qr/22023: alpha must not be -1/ ],
	[ q{'m', 'three', regularization => 'NaN'}, qr/22023: regularization must not be nan/i ],
	[ q{'m', 'three', regularization_by => 'x'}, qr/22023: unknown regularization_by "x"/ ],
	[ q{'m', 'three', regularization => 0, factors => 200}, qr/22003: the normal equations are singular/ ])
{
	my ($arguments, $pattern) = @$case;
	fails("SELECT als_train_sharded($arguments)", qr/ERROR:  $pattern/, $arguments);
}
# a model that cannot be retrained, before it is
asks(q{
CREATE ROLE other;
GRANT CREATE ON DATABASE postgres TO other;
GRANT CREATE ON SCHEMA public TO other;
GRANT SELECT ON three TO other;
CREATE TABLE others_als_items ();
});
foreach my $case (
	[ q{SET ROLE other; SELECT als_train_sharded('three_als', 'three', iterations => 1, verbose => true)}, qr/42501: must be owner of table three_als/ ],
	[ q{SELECT als_train_sharded('three_als', 'three', feedback => 'explicit', iterations => 1, verbose => true)}, qr/55000: model "three_als" was trained from implicit feedback/ ],
	[ q{SELECT als_train_sharded('three_als', 'texts', factors => 3, iterations => 1, verbose => true)}, qr/42804: user ids of model "three_als" are of type integer, not text/ ],
	[ q{SELECT als_train_sharded('others_als', 'three', factors => 3, iterations => 1, verbose => true)}, qr/42P07: relation "others_als_items" already exists/ ])
{
	my ($statement, $pattern) = @$case;
	my ($status, $stdout, $stderr) = $main->psql('postgres', "\\set VERBOSITY verbose\n$statement");
	like($stderr, qr/ERROR:  $pattern/, $statement);
	unlike($stderr, qr/iteration 1/, '... at once');
}
fails(q{BEGIN; SELECT FROM als_train_sharded('two_als', 'two', factors => 3, iterations => 1); SELECT FROM als_train_sharded('two_als', 'two', factors => 3, iterations => 1)},
	qr/55006: model "two_als" has been trained by als_train_sharded in this transaction already/, 'twice in a transaction');
is(asks(q{BEGIN; SELECT run > 1 FROM als_train_sharded('two_als', 'two', factors => 3, iterations => 1); SELECT run FROM als_train_sharded('other_als', 'two', factors => 3, iterations => 1); COMMIT}),
	"t\n1", 'two models in a transaction');
foreach my $row ([ q{(7, 9, 'NaN')}, qr/22003: ratings must not contain the value NaN/ ], [ '(7, 9, NULL)', qr/22004: ratings of als_solve must not be null/ ],
	[ '(7, NULL, 1)', qr/22004: ids of als_solve must not be null|23502/ ], [ '(NULL, 7, 1)', qr/22004|23502/ ])
{
	asks("INSERT INTO two VALUES $row->[0]");
	fails(q{SELECT als_train_sharded('two_als', 'two', factors => 3)}, qr/ERROR:  $row->[1]/, $row->[0]);
	asks(q{DELETE FROM two WHERE rating = 'NaN' OR rating IS NULL OR user_id IS NULL OR item_id IS NULL});
}
nothing_left('after errors');

#
# A training that does not get to its end, in its second iteration
#

my $short = qq{SELECT run FROM als_train_sharded('long_als', 'three', $training, iterations => 2)};
my $long = qq{SELECT run FROM als_train_sharded('long_als', 'three', $training, iterations => 100000, verbose => true)};
is(asks($short), '1', 'a training that gets there');
my $answer = 'SELECT count(*), sum(score) FROM als_recommend_all(\'long_als\', 3, exclude_seen => false)';
my $answers = asks($answer);

# Starts a training that would go on for long, lets something happen to it and waits
# for its end; returns what it has said
sub interrupt
{
	my ($what) = @_;
	my $victim = background($main, 'victim', $long);
	wait_for_message($victim, qr/iteration 2 of/);
	$what->();
	$victim->{run}->finish;
	return $victim->{err};
}

like(interrupt(sub { cancel($main, 'victim') }), qr/57014: canceling statement due to user request/, 'a training is cancelled');
nothing_left('cancelled');
is(asks($answer), $answers, 'cancelled: the model serves');

interrupt(sub { asks(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'}) });
is(asks($answer), $answers, 'terminated: the model serves');
is(asks(q{SELECT count(*) FROM pg_namespace WHERE starts_with(nspname, 'als_sharded')}), 0, 'terminated: nothing is left here');
wait_until($_, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'postgres_fdw'}) foreach values %shards;
my $rows = q{DO $$ DECLARE r regclass; n bigint; BEGIN FOR r IN SELECT oid FROM pg_class WHERE relname IN ('ratings', 'by_user', 'by_item', 'users', 'items') AND starts_with(relnamespace::regnamespace::text, 'als_sharded') LOOP
	EXECUTE 'SELECT count(*) FROM ' || r INTO n; RAISE WARNING 'rows: %', n; END LOOP; END $$};
my $said;
$shards{east}->psql('postgres', $rows, stderr => \$said);
is(scalar(() = $said =~ /rows: 0/g), 5, 'terminated: empty tables are left on the servers');
is(asks($short), '2', 'the next training works');
nothing_left('and it removes them');

$answers = asks($answer);
like(interrupt(sub { $shards{north}->stop('immediate') }), qr/ERROR: .*(?:server closed the connection|terminating connection|could not)/s, 'a server dies');
is(asks($answer), $answers, 'a dead server: the model serves');
fails($short, qr/ERROR:  08001: could not connect to server "north"|ERROR:  08001: could not establish connection/, 'a training without it');
$shards{north}->start;
is(asks($short), '3', 'the next training works');
nothing_left('and what the dead one had is removed');

# the caller does not want it after all
$answers = asks($answer);
asks("BEGIN; $short; ROLLBACK");
is(asks($answer), $answers, 'rolled back: the model serves');
nothing_left('rolled back');

done_testing();
