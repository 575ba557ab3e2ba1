# A validation has the same curve, als_tune the same trials, and the model the
# same factors, bit for bit, whatever the number of workers, the order of the
# rows and the memory; and a training that is cancelled while it validates
# leaves nothing behind.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use Test::More;

my $node = start_server('main', $parallel_workers, $countable_segments, $telling_log);
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(4000, 600);
-- some pairs twice
INSERT INTO ratings SELECT user_id, item_id, rating / 3 FROM ratings WHERE item_id % 50 = 0;
CREATE TABLE shuffled AS SELECT * FROM ratings ORDER BY md5(user_id::text || item_id || 'x');
CREATE VIEW training AS SELECT * FROM shuffled WHERE NOT als_holdout(user_id, item_id, 0.3, 42);
CREATE VIEW held_out AS SELECT * FROM shuffled WHERE als_holdout(user_id, item_id, 0.3, 42);
});

# Trains; returns what came out, how many workers took part, and how many
# temporary files there were.
sub train
{
	my ($source, $arguments, $settings) = @_;
	my ($result, undef, $files) = run_and_count($node, qq{
		SET client_min_messages = warning;
		DROP TABLE IF EXISTS model;
		$settings
		SELECT workers FROM als_train('model', '$source', factors => 12, iterations => 6, patience => 3, $arguments);
		SELECT fingerprint('model')});
	my ($workers, $fingerprint) = $result =~ /^(\d+)\n([0-9a-f]{32}.*)$/ or die "not a training: $result";
	return ($fingerprint, $workers, $files);
}

my $little_memory = q{SET maintenance_work_mem = '1MB';};
foreach my $feedback ('implicit', 'explicit')
{
	my $how = "feedback => '$feedback', regularization => 0.1";
	my $split = "$how, validation_fraction => 0.3";
	my ($expected, $workers, $files) = train('ratings', "$split, workers => 0", '');
	like($expected, qr/\{.*\{.*\d\)$/, "$feedback: validated");
	is("$workers workers, $files files", '0 workers, 0 files', "$feedback: alone and in memory");

	foreach my $count (1, 3)
	{
		my $result;
		($result, $workers, $files) = train('shuffled', "$split, workers => $count", '');
		is($result, $expected, "$feedback, $count workers: the same");
		is($workers, $count, "$feedback, $count workers: they took part");
		is((train('training', "$how, validation => 'held_out', workers => $count", ''))[0], $expected,
			"$feedback, $count workers, a view to validate on: the same");
	}
	foreach my $count (0, 2)
	{
		my $result;
		($result, $workers, $files) = train('shuffled', "$split, workers => $count", $little_memory);
		is($result, $expected, "$feedback, $count workers, files: the same");
		cmp_ok($files, '>', 0, "$feedback, $count workers, files: there were some");
	}
	is((train('ratings', "$split, workers => 2", 'SET max_parallel_workers = 0;'))[0], $expected,
		"$feedback, no worker to be had: the same");
	is((train('ratings', "$split, workers => 0", $parallel_plan))[0], $expected,
		"$feedback, parallel plan: the same");
	# als_evaluate agrees
	is($node->safe_psql('postgres', qq{
		SELECT validation_curve[best_iteration] = value
		FROM model, als_evaluate('model', 'held_out') WHERE metric = validation_metric AND run = (SELECT max(run) FROM model)}), 't',
		"$feedback: als_evaluate says the same");
}

# als_tune: the same trials and the same model, and memory given back.
sub tune
{
	my ($source, $arguments, $settings) = @_;
	my $result = $node->safe_psql('postgres', qq{
		SET client_min_messages = warning;
		DROP TABLE IF EXISTS model;
		$settings
		SELECT rank, trial, parameters, metric, baseline, p_value, remarks, best_iteration, iterations, loss, error
		FROM als_tune('model', '$source', '{"factors": [4, 12, 20], "regularization": [0.1, 1]}', patience => 2, $arguments);
		SELECT fingerprint('model')});
	return $result;
}
wait_until_alone($node);
my $segments = segments($node);
foreach my $refit ('false', 'true')
{
	my $how = "validation_fraction => 0.3, refit => $refit";
	my $expected = tune('ratings', "$how, workers => 0", '');
	like($expected, qr/^1\|.*\n6\|.*\n[0-9a-f]{32}/s, "tuned, refit $refit");
	foreach my $setting ('', $little_memory)
	{
		my $result = tune('shuffled', "$how, workers => 2", $setting);
		is($result, $expected, "tuned by workers, refit $refit, $setting: the same");
		# a worker may still be on its way out
		ok($node->poll_query_until('postgres',
			"SELECT count(*) <= $segments FROM pg_ls_dir('pg_dynshmem') f WHERE f LIKE 'mmap.%'"), "tuned by workers, refit $refit, $setting: no shared memory is left");
	}
}

# A search does too: trials that a process runs alone or all together, that are
# kept or trained anew, whatever there is of workers and memory.
sub search
{
	my ($source, $grid, $arguments, $settings) = @_;
	return $node->safe_psql('postgres', qq{
		SET client_min_messages = warning;
		DROP TABLE IF EXISTS model;
		$settings
		SELECT rank, trial, parameters, metric, baseline, p_value, remarks, best_iteration, iterations, loss, error
		FROM als_tune('model', '$source', $grid trials => 12, validation_fraction => 0.3, $arguments);
		SELECT fingerprint('model')});
}
foreach my $feedback ('implicit', 'explicit')
{
	my $grid = q{grid => '{"factors": {"from": 4, "to": 16}, "iterations": 9}',};
	my $expected = search('ratings', $grid, "feedback => '$feedback', workers => 0", '');
	like($expected, qr/^1\|.*\n12\|.*\n[0-9a-f]{32}/s, "$feedback, searched");
	foreach my $workers (0, 1, 3)
	{
		foreach my $setting ('', $little_memory)
		{
			is(search('shuffled', $grid, "feedback => '$feedback', workers => $workers", $setting), $expected,
				"$feedback, searched by $workers workers, $setting: the same");
		}
	}
	is(search('shuffled', $grid, "feedback => '$feedback'", ''), $expected, "$feedback, searched by as many as pay: the same");
	isnt(search('ratings', $grid, "feedback => '$feedback', seed => 43", ''), $expected, "$feedback, another seed: another search");
	ok($node->poll_query_until('postgres',
		"SELECT count(*) <= $segments FROM pg_ls_dir('pg_dynshmem') f WHERE f LIKE 'mmap.%'"), "$feedback, searched: no shared memory is left");
}

# Nothing to measure is an error of the leader's, with workers waiting for it.
my ($stdout, $stderr);
isnt($node->psql('postgres', q{
	SELECT als_train('nothing', 'ratings', feedback => 'explicit', workers => 2, validation => 'SELECT -1 AS user_id, 1 AS item_id, 1 AS rating')},
	stdout => \$stdout, stderr => \$stderr), 0, 'nothing to measure: an error');
like($stderr, qr/rmse has no value on the validation set/, 'nothing to measure: it says so');

# Cancelled with workers and files: nothing is left.
cancel_leaves_nothing($node, 'a search side by side', q{
	SELECT als_tune('cancelled', 'ratings', '{"factors": {"from": 4, "to": 16}, "iterations": 100000}', workers => 2)});
cancel_leaves_nothing($node, 'a validating training', q{
	SET maintenance_work_mem = '1MB';
	SELECT als_train('cancelled', 'ratings', iterations => 100000, validation_fraction => 0.3, workers => 2)});

done_testing();
