# als_recommend_all gives thousands of users what sorting all scores gives, bit
# for bit, whatever the number of workers, the memory and the kernels; and a
# call that is cancelled leaves nothing behind.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use Test::More;

my $node = start_server('main', $parallel_workers, $countable_segments, $telling_log);
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(2000, 500);
CREATE INDEX ON ratings (user_id);
SELECT run FROM als_train('implicit', 'ratings', factors => 20);
SELECT run FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 30, regularization => 0.1);
-- lengths that differ by far, and ties
UPDATE implicit_items SET factors = (SELECT array_agg((f / item_id)::real ORDER BY o) FROM unnest(factors) WITH ORDINALITY t(f, o)) WHERE item_id % 3 = 0;
UPDATE implicit_items SET factors = (SELECT factors FROM implicit_items WHERE item_id = 40) WHERE item_id % 50 = 2;
-- floats are written with as many digits as tell them apart
CREATE VIEW sorted AS
    SELECT model, user_id, item_id, score, row_number() OVER (PARTITION BY model, user_id ORDER BY score DESC, item_id) AS rank
    FROM (SELECT m.model, u.user_id, i.item_id, als_predict(m.model::regclass, u.user_id, i.item_id) AS score
          FROM (VALUES ('implicit'), ('explicit')) m(model), implicit_users u, implicit_items i
          WHERE NOT EXISTS (SELECT FROM ratings r WHERE r.user_id = u.user_id AND r.item_id = i.item_id)) t;
});

# A digest of the result of a query, and how many workers and temporary files that
# they share it took
sub digest
{
	my ($query, $settings) = @_;
	return run_and_count($node, qq{
		$settings
		SELECT count(*), md5(string_agg((user_id, item_id, score, rank)::text, ',' ORDER BY user_id, rank))
		FROM $query r}, 'fileset');
}

foreach my $model ('implicit', 'explicit')
{
	my ($expected) = digest("(SELECT * FROM sorted WHERE model = '$model' AND rank <= 10)", "SET als.kernels = generic;");
	foreach my $kernels ('reference', 'generic', 'avx2', 'avx512')
	{
		my ($status, $out, $err) = $node->psql('postgres', "SET als.kernels = $kernels");
	  SKIP:
		{
			skip "this machine cannot run $kernels", 2 if $status != 0;
			my $set = "SET als.kernels = $kernels;";
			my $sorted = $kernels eq 'generic' ? $expected :
				(digest("(SELECT * FROM sorted WHERE model = '$model' AND rank <= 10)", $set))[0];
			is((digest("als_recommend_all('$model', workers => 0)", $set))[0], $sorted,
				"$model, $kernels: als_recommend_all is a full sort");
			is((digest("(SELECT user_id, r.*, row_number() OVER (PARTITION BY user_id) AS rank FROM ${model}_users, als_recommend('$model', user_id, 10) r)", $set))[0],
				$sorted, "$model, $kernels: als_recommend is a full sort");
		}
	}

	my $expected_auto = (digest("als_recommend_all('$model', workers => 0)", ''))[0];
	foreach my $count (1, 3)
	{
		my ($result, $workers) = digest("als_recommend_all('$model', workers => $count)", '');
		is($result, $expected_auto, "$model, $count workers: the same");
		is($workers, $count, "$model, $count workers: there were as many");
		my $files;
		($result, $workers, $files) = digest("als_recommend_all('$model', workers => $count)", "SET maintenance_work_mem = '1MB';");
		is($result, $expected_auto, "$model, $count workers, little memory: the same");
		cmp_ok($files, '>', 0, "$model, $count workers, little memory: there were files");
	}
	is((digest("als_recommend_all('$model', workers => 2)", 'SET max_parallel_workers = 0;'))[0], $expected_auto,
		"$model, no worker to be had: the same");
	my $some = "ARRAY(SELECT user_id FROM ${model}_users WHERE user_id % 100 < 7)";
	is((digest("als_recommend_all('$model', users => $some, workers => 2)", ''))[0],
		(digest("(SELECT * FROM als_recommend_all('$model') WHERE user_id % 100 < 7)", ''))[0],
		"$model: some users");
}
is((digest("als_recommend_all('implicit', 400, workers => 2)", "SET maintenance_work_mem = '1MB';"))[0],
	(digest("(SELECT * FROM sorted WHERE model = 'implicit' AND rank <= 400)", ''))[0], 'many rounds');

# One that is cancelled with workers, files and a result under way leaves nothing.
cancel_leaves_nothing($node, 'als_recommend_all', q{
	DO $$ BEGIN
		SET maintenance_work_mem = '1MB';
		SET work_mem = '64kB';
		LOOP
			PERFORM count(*) FROM als_recommend_all('implicit', 100, workers => 2);
		END LOOP;
	END $$});

$node->stop;
done_testing();
