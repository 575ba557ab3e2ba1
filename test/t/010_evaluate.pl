# An evaluation gives the same measures, bit for bit, whatever the number of
# workers, the order of the rows, the memory and the plan that reads them; and
# one that is cancelled leaves nothing behind.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use Test::More;

my $node = start_server('main', $parallel_workers, $countable_segments, $telling_log);
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(4000, 600);
CREATE TABLE training AS SELECT * FROM ratings WHERE NOT als_holdout(user_id, item_id, 0.4);
CREATE TABLE test AS SELECT * FROM ratings WHERE als_holdout(user_id, item_id, 0.4);
-- some pairs twice
INSERT INTO test SELECT user_id, item_id, rating / 3 FROM test WHERE item_id % 50 = 0;
CREATE TABLE shuffled AS SELECT * FROM test ORDER BY md5(user_id::text || item_id || 'x');
CREATE TABLE training_shuffled AS SELECT * FROM training ORDER BY md5(user_id::text || item_id || 'x');
SELECT run FROM als_train('implicit', 'training', factors => 20);
SELECT run FROM als_train('explicit', 'training', feedback => 'explicit', factors => 15, regularization => 0.1);
});

# Evaluates; returns what came out, and how many workers and temporary files
# there were.
sub evaluate
{
	my ($model, $arguments, $settings) = @_;
	# floats are written with as many digits as tell them apart
	return run_and_count($node, qq{
		$settings
		SELECT md5(string_agg(u::text, ',' ORDER BY user_id)), (SELECT string_agg(e::text, ' ') FROM als_evaluate('$model', $arguments, more_k => '{1,200,7}') e)
		FROM als_evaluate_users('$model', $arguments) u});
}

my $little_memory = q{SET maintenance_work_mem = '1MB';};
foreach my $model ('implicit', 'explicit')
{
	my ($expected, $workers, $files) = evaluate($model, "'test', workers => 0", '');
	like($expected, qr/^[0-9a-f]{32}\|\(users,,\d+,,,,\) \(pairs,,\d{5},/, "$model: evaluated");
	is("$workers workers, $files files", '0 workers, 0 files', "$model: alone and in memory");

	foreach my $count (1, 3)
	{
		my $result;
		($result, $workers, $files) = evaluate($model, "'shuffled', workers => $count", '');
		is($result, $expected, "$model, $count workers: the same");
		is($workers, 2 * $count, "$model, $count workers: they took part, twice");
	}
	foreach my $count (0, 2)
	{
		my $result;
		($result, $workers, $files) = evaluate($model, "'test', training => 'training_shuffled', workers => $count", $little_memory);
		is($result, $expected, "$model, $count workers, files: the same");
		cmp_ok($files, '>', 0, "$model, $count workers, files: there were some");
	}
	is((evaluate($model, "'test', workers => 2", 'SET max_parallel_workers = 0;'))[0], $expected,
		"$model, no worker to be had: the same");
	is((evaluate($model, "'test', workers => 0", 'SET als.cache_size = 64;'))[0], $expected,
		"$model, no cache: the same");
	is((evaluate($model, "'test', workers => 0", $parallel_plan))[0], $expected,
		"$model, parallel plan: the same");
}

# Scores are als_predict's own with all kernels that the machine has.
foreach my $kernels ('reference', 'generic', 'avx2', 'avx512')
{
	my $set = "LOAD 'als'; SET als.kernels = '$kernels';";

	next if $node->psql('postgres', $set) != 0;
	is($node->safe_psql('postgres', qq{
		$set
		SELECT count(*), bool_and(abs(e.mae - p.mae) < 1e-12)
		FROM als_evaluate_users('explicit', 'SELECT * FROM test WHERE user_id <= 50') e
		JOIN (SELECT user_id, avg(abs(rating - als_predict('explicit', user_id, item_id)::float8)) AS mae
		      FROM (SELECT user_id, item_id, avg(rating)::real::float8 AS rating FROM test GROUP BY 1, 2) t GROUP BY 1) p
			USING (user_id)}), '50|t', "kernels $kernels: errors are those of als_predict");
}

# Cancelled with workers and files: nothing is left.
cancel_leaves_nothing($node, 'an evaluation', q{
	DO $$ BEGIN
		SET maintenance_work_mem = '1MB';
		LOOP
			PERFORM als_evaluate('implicit', 'test', workers => 2);
		END LOOP;
	END $$});

done_testing();
