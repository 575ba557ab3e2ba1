# The same data, parameters and seed give the same factors, bit for bit:
# whatever the number of workers, the order of the rows, the memory, the plan
# that reads them, and whether als_train or the aggregate collects them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_server('main', $parallel_workers, $telling_log);
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(3000, 600);
-- some pairs twice
INSERT INTO ratings SELECT user_id, item_id, rating / 3 FROM ratings WHERE item_id % 50 = 0;
-- in other orders
CREATE TABLE by_item AS SELECT * FROM ratings ORDER BY item_id DESC, md5(user_id::text), rating;
CREATE TABLE by_rating AS SELECT * FROM ratings ORDER BY rating, md5(item_id::text);
CREATE TABLE shuffled AS SELECT * FROM ratings ORDER BY md5(user_id::text || item_id || 'x');
});

# Runs a training that returns the number of its workers.  Returns where it
# took place, which should differ, and what came out, which should not.
sub run_training
{
	my ($training, $settings) = @_;
	my ($stdout, $stderr);

	$node->psql('postgres', qq{
		LOAD 'als';
		SET client_min_messages = warning;
		DROP TABLE IF EXISTS model;
		SET client_min_messages = notice;
		$settings
		$training;
		SELECT fingerprint('model');},
		stdout => \$stdout, stderr => \$stderr, on_error_die => 1);
	my ($workers, $fingerprint) = $stdout =~ /^(\d+)\n([0-9a-f]{32}\(.+\))$/
		or die "not a training: $stdout";
	my $where = $stderr =~ /spill to temporary files/ ? 'files' : 'memory';
	return ("$workers workers, $where", $fingerprint);
}

sub train
{
	my ($source, $parameters, $settings) = @_;
	return run_training(qq{
		SELECT workers FROM als_train('model', \$\$$source\$\$,
			iterations => 2, verbose => true, $parameters)}, $settings);
}

sub train_agg
{
	my ($source, $options, $settings) = @_;
	return run_training(qq{
		SELECT (als_train_agg('model', user_id, item_id, rating,
			'{"iterations": 2, "verbose": true, $options}')).workers
		FROM $source}, $settings);
}

# Compares a training with what should have taken place and come out.
sub same
{
	my ($name, $where, $expected, @result) = @_;
	is($result[0], $where, "$name: $where");
	is($result[1], $expected, "$name: the same bits");
}

my $little_memory = "SET maintenance_work_mem = '1MB';";

my %fingerprints;
foreach my $feedback ('implicit', 'explicit')
{
	foreach my $solver ('cg', 'cholesky')
	{
		foreach my $factors (1, 16, 33, 100)
		{
			my $name = "$feedback, $solver, $factors";
			my $sql = "feedback => '$feedback', solver => '$solver', factors => $factors";
			my $json = qq{"feedback": "$feedback", "solver": "$solver", "factors": $factors};

			my ($where, $expected) = train('ratings', "$sql, workers => 0", '');
			is($where, '0 workers, memory', "$name: alone");
			$fingerprints{$expected} = 1;

			same($name, '4 workers, files', $expected,
				train('by_item', "$sql, workers => 4", $little_memory));
			same("$name, aggregate", '1 workers, memory', $expected,
				train_agg('shuffled', qq{$json, "workers": 1}, ''));

			# what does not depend on the number of factors, only once
			next if $factors != 33;
			same($name, '1 workers, memory', $expected,
				train('ratings', "$sql, workers => 1", ''));
			same($name, '4 workers, memory', $expected,
				train('ratings', "$sql, workers => 4", ''));
			same("$name, another order", '2 workers, memory', $expected,
				train('by_item', "$sql, workers => 2", ''));
			same("$name, another order", '0 workers, files', $expected,
				train('by_rating', "$sql, workers => 0", $little_memory));
			same("$name, parallel plan", '1 workers, memory', $expected,
				train('ratings', "$sql, workers => 1", $parallel_plan));
			same("$name, parallel plan", '0 workers, files', $expected,
				train('ratings', "$sql, workers => 0", $parallel_plan . $little_memory));
			same("$name, aggregate", '0 workers, files', $expected,
				train_agg('shuffled', qq{$json, "workers": 0}, $little_memory));
			same("$name, no worker to be had", '0 workers, memory', $expected,
				train('ratings', "$sql, workers => 2", 'SET max_parallel_workers = 0;'));
		}
	}
}
# what is said instead of chosen: rows that differ in regularization or do not, and
# factors that are not below zero
foreach my $feedback ('implicit', 'explicit')
{
	foreach my $parameters ('regularization_scaling => 0', 'regularization_scaling => 0.5', 'nonnegative => true',
		'regularization_scaling => 0.5, nonnegative => true')
	{
		my $name = "$feedback, $parameters";
		my $sql = "feedback => '$feedback', $parameters, factors => 33, regularization => 0.1";

		my ($where, $expected) = train('ratings', "$sql, workers => 0", '');
		$fingerprints{$expected} = 1;
		same($name, '4 workers, memory', $expected,
			train('by_item', "$sql, workers => 4", ''));
		same($name, '1 workers, files', $expected,
			train('shuffled', "$sql, workers => 1", $little_memory));
	}
}
# features, few and many, in any order, and the rows that have nothing else
$node->safe_psql('postgres', q{
CREATE TABLE features AS
    SELECT n AS id, 'kind ' || n % 11 AS feature, 1::real AS value FROM generate_series(1, 3100) n
    UNION ALL SELECT n, 'size', n % 13 / 7.0 FROM generate_series(1, 3100) n;
CREATE TABLE tags AS TABLE features;
INSERT INTO tags SELECT n, 'tag ' || n * m % 1009, 1 FROM generate_series(1, 3100) n, generate_series(1, 9) m GROUP BY 1, 2;
CREATE TABLE shuffled_features AS SELECT * FROM features ORDER BY md5(id::text || feature);
CREATE TABLE shuffled_tags AS SELECT * FROM tags ORDER BY md5(id::text || feature);
CREATE FUNCTION of_features(model text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE result text;
BEGIN
    EXECUTE format('SELECT md5(string_agg(t::text, $1 ORDER BY side, feature)) FROM %I t', model || '_features') INTO result USING ',';
    RETURN result;
END $$;
});
foreach my $feedback ('implicit', 'explicit')
{
	foreach my $solver ('cg', 'cholesky')
	{
		my $sql = "feedback => '$feedback', solver => '$solver', factors => 33";
		my $features = "user_features => 'features', item_features => 'tags'";
		my $shuffled = "user_features => 'shuffled_features', item_features => 'shuffled_tags'";
		my $of_features = q{SELECT of_features('model')};
		my $name = "$feedback, $solver, features";

		my ($where, $expected) = train('ratings', "$sql, $features, workers => 0", '');
		my $expected_features = $node->safe_psql('postgres', $of_features);
		$fingerprints{$expected} = 1;
		same($name, '4 workers, memory', $expected, train('by_item', "$sql, $shuffled, workers => 4", ''));
		is($node->safe_psql('postgres', $of_features), $expected_features, "$name: factors of features by 4 workers");
		same($name, '1 workers, files', $expected, train('shuffled', "$sql, $features, workers => 1", $little_memory));
		is($node->safe_psql('postgres', $of_features), $expected_features, "$name: factors of features from files");
	}
}
is(scalar keys %fingerprints, 28, 'other parameters give other factors');
my (undef, $seed_7) = train('ratings', 'factors => 16, seed => 7, workers => 0', '');
ok(!$fingerprints{$seed_7}, 'so does another seed');

# what was chosen stands in notices
my $stderr;
$node->psql('postgres', q{
	SELECT als_train('said', 'ratings', factors => 2, iterations => 1, verbose => true);
	SELECT als_train('said_stars', 'ratings', feedback => 'explicit', alpha => 3, factors => 2, iterations => 1, verbose => true);
	SELECT als_train('said', 'ratings', alpha => 3, regularization => 1, factors => 2, iterations => 1, verbose => true);},
	stderr => \$stderr, on_error_die => 1);
is_deeply([ $stderr =~ /NOTICE:  (\w+) is [0-9.e+-]+(.*), chosen from the ratings/g ],
	[ 'alpha', '', 'regularization', ' with regularization_scaling 1', 'regularization', ' with regularization_scaling 0.5' ],
	'notices of what was chosen');

# the plan that reads really is parallel: with the very settings, ids that are
# process ids are those of other processes
is($node->safe_psql('postgres', qq{
	CREATE FUNCTION reader() RETURNS int LANGUAGE plpgsql PARALLEL SAFE AS 'BEGIN RETURN pg_backend_pid(); END';
	$parallel_plan
	SELECT users > 0 FROM als_train('readers', 'SELECT reader() AS user_id, item_id, 1 AS rating FROM ratings', factors => 1, iterations => 1, workers => 0);
	SELECT count(*) FROM readers_users WHERE user_id = pg_backend_pid();}),
	"t\n0", 'parallel workers read the ratings');

# what spills shows up in the log as temporary files do
my $offset = -s $node->logfile;
train('ratings', 'factors => 3, workers => 0', '');
unlike(slurp_file($node->logfile, $offset), qr/temporary file: path/, 'no temporary files in memory');
$offset = -s $node->logfile;
train('ratings', 'factors => 3, workers => 0', $little_memory);
like(slurp_file($node->logfile, $offset), qr/temporary file: path/, 'temporary files are logged');

# every set of kernels that the machine has, within itself; before the library
# is loaded, any value of its setting would do
foreach my $kernels ('reference', 'generic', 'avx2', 'avx512')
{
	my $set = "SET als.kernels = '$kernels';";
	my ($stdout, $stderr);

	if ($node->psql('postgres', "LOAD 'als'; $set", stderr => \$stderr) != 0)
	{
		like($stderr, qr/This machine has no kernels "$kernels"/, "no kernels $kernels here");
		like($kernels, qr/^avx/, "$kernels may be missing");
		next;
	}
	foreach my $feedback ('implicit', 'explicit')
	{
		foreach my $solver ("solver => 'cg'", "solver => 'cholesky'", 'nonnegative => true',
			"solver => 'cg', regularization_scaling => 0.5")
		{
			my $parameters = "feedback => '$feedback', $solver, factors => 20, regularization => 0.1";
			my ($where, $expected) = train('ratings', "$parameters, workers => 0", $set);
			same("kernels $kernels, $feedback, $solver", '2 workers, memory', $expected,
				train('ratings', "$parameters, workers => 2", $set));
		}
	}
}

done_testing();
