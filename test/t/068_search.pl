# A search finds what a full grid does, in a third of the work: on MovieLens-100K
# and a third of the users of 1M, where they are at hand.  Work is counted, not timed: iterations times
# factors, what an iteration costs being at least in proportion to them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use Test::More;

my $data = ($ENV{ALS_SHARED} || '../shared') . '/data';
my %files = (
	ml_100k => [ "$data/ml-100k/u.data.gz", q{awk -v OFS="\t" "{print \$1, \$2, \$3}"} ],
	ml_1m => [ "$data/ml-1m/ratings.dat.gz", q{awk -F:: -v OFS="\t" "{print \$1, \$2, \$3}"} ]);
my @there = grep { -r $files{$_}[0] } sort keys %files;
plan skip_all => "no MovieLens in $data (set ALS_SHARED)" unless @there;

my $node = start_server('main', 'max_parallel_maintenance_workers = 1');
foreach my $name (@there)
{
	my ($file, $columns) = @{ $files{$name} };
	$node->safe_psql('postgres', qq{
CREATE TABLE $name (user_id int, item_id int, rating real);
COPY $name FROM PROGRAM 'gzip -dc $file | $columns';
});

	$node->safe_psql('postgres', 'DELETE FROM ml_1m WHERE user_id % 3 > 0') if $name eq 'ml_1m';

	# 60 combinations that cover what is good for both, and as many trials
	my $count = q{count(*), max(metric), sum((parameters->>'factors')::int * iterations)};
	my ($combinations, $best_of_grid, $grid_work) = split /\|/, $node->safe_psql('postgres', qq{
SELECT $count FROM als_tune('grid', '$name',
	'{"factors": [32, 64, 128], "regularization": [0.001, 0.003, 0.01, 0.03, 0.1], "regularization_scaling": 1, "alpha": [0.05, 0.15, 0.5, 2]}')});
	my ($trials, $best, $work) = split /\|/, $node->safe_psql('postgres', qq{
CREATE TABLE found AS SELECT * FROM als_tune('searched', '$name');
SELECT $count FROM found});
	is("$combinations $trials", '60 60', "$name: as many trials");
	note("$name: the grid's best $best_of_grid with $grid_work, the search's $best with $work");
	# the standard error of either is more than a hundredth of it
	cmp_ok($best, '>', 0.99 * $best_of_grid, "$name: finds what the grid does");
	cmp_ok($work, '<=', $grid_work / 3, "$name: in a third of the work");
	is($node->safe_psql('postgres', q{
SELECT metric > baseline, remarks ~ '% better than what is popular, with ndcg 0\.\d+ \(p < 0\.0001\)' FROM found WHERE rank = 1}), 't|t',
		"$name: better than what is popular");
	$node->safe_psql('postgres', 'DROP TABLE grid, searched, found');
}

$node->stop;
done_testing();
