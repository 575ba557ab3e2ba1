# Factors are real[], which pgvector casts: an index over them answers like
# als_recommend, and lives through retrainings.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use Test::More;

my $node = start_server('pgvector');
plan skip_all => 'pgvector is not available'
  if $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extension_versions
									WHERE name = 'vector' AND string_to_array(version, '.')::int[] >= '{0,5}'}) eq '0';

# A user's ten best, by pgvector; $how is the settings that choose the plan.
sub nearest
{
	my ($how, $items, $users) = @_;
	return $node->safe_psql('postgres', qq{
		$how
		SELECT array_agg(item_id ORDER BY o) FROM (
			SELECT item_id, row_number() OVER () AS o FROM (
				SELECT item_id FROM $items
				ORDER BY factors::vector(16) <#> (SELECT factors::vector(16) FROM $users WHERE user_id = 7)
				LIMIT 10) t) t});
}
my $exactly = 'SET enable_indexscan = off;';
my $by_index = 'SET enable_seqscan = off; SET hnsw.ef_search = 400;';

sub recommended
{
	my ($model) = @_;
	return $node->safe_psql('postgres', qq{
		SELECT array_agg(item_id ORDER BY o) FROM (
			SELECT item_id, row_number() OVER () AS o FROM als_recommend('$model', 7, 10, exclude_seen => false)) t});
}

# How many items of a list are as good as the ten of als_recommend, but for
# rounding: which of two that are equally good comes first is open
sub as_good
{
	my ($items, $model) = @_;
	return $node->safe_psql('postgres', qq{
		SELECT count(DISTINCT item_id) FROM unnest('$items'::int[]) item_id
		WHERE als_predict('$model', 7, item_id) >= (SELECT min(score) - 1e-5 FROM als_recommend('$model', 7, 10, exclude_seen => false))});
}

$node->safe_psql('postgres', q{
CREATE EXTENSION vector;
CREATE TABLE ratings AS SELECT * FROM some_ratings(200, 600, 9);
SELECT users FROM als_train('model', 'ratings', factors => 16, workers => 0);
CREATE INDEX model_items_hnsw ON model_items USING hnsw ((factors::vector(16)) vector_ip_ops);
});

my $filenode = q{SELECT pg_relation_filenode('model_items_hnsw')};
my $before = $node->safe_psql('postgres', $filenode);
is(as_good(nearest($exactly, 'model_items', 'model_users'), 'model'), 10, 'an exact scan finds the best items');
cmp_ok(as_good(nearest($by_index, 'model_items', 'model_users'), 'model'), '>=', 9, 'the index finds them');
like($node->safe_psql('postgres', q{
	SET enable_seqscan = off;
	EXPLAIN SELECT item_id FROM model_items
	ORDER BY factors::vector(16) <#> (SELECT factors::vector(16) FROM model_users WHERE user_id = 7) LIMIT 10}),
	qr/Index Scan using model_items_hnsw/, 'it is used');
is($node->safe_psql('postgres', q{
	SELECT max(abs(r.score + (i.factors::vector(16) <#> u.factors::vector(16)))) < 1e-5
	FROM model_users u, als_recommend('model', u.user_id, 600, exclude_seen => false) r JOIN model_items i USING (item_id)}),
	't', 'the scores are negated inner products');
is($node->safe_psql('postgres', q{
	SELECT max(abs(r.score - 1 + (i.factors::vector(16) <=> j.factors::vector(16)))) < 1e-5
	FROM model_items i, als_similar_items('model', i.item_id, 5) r JOIN model_items j ON j.item_id = r.item_id}),
	't', 'similar items have a cosine distance of 1 - score');

# a retraining swaps the heap and builds the index anew
is($node->safe_psql('postgres', q{
	INSERT INTO ratings SELECT 7, i, 5 FROM generate_series(1, 600, 4) i;
	SELECT run FROM als_train('model', 'ratings', factors => 16, workers => 0)}), '2', 'retrained');
isnt($node->safe_psql('postgres', $filenode), $before, 'the index was built anew');
is($node->safe_psql('postgres', q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'model_items_hnsw'::regclass}), 't', 'it is valid');
is(as_good(nearest($exactly, 'model_items', 'model_users'), 'model'), 10, 'an exact scan finds the new factors');
cmp_ok(as_good(nearest($by_index, 'model_items', 'model_users'), 'model'), '>=', 9, 'and so does the index');

# another number of factors does not fit the index: an error that changes nothing
my $answer = recommended('model');
my $stderr;
isnt($node->psql('postgres', q{SELECT als_train('model', 'ratings', factors => 8, workers => 0)}, stderr => \$stderr),
	0, 'another number of factors');
like($stderr, qr/expected 16 dimensions, not 8/, 'does not fit the index');
is(recommended('model'), $answer, 'the old factors are still there');
is($node->safe_psql('postgres', 'SELECT max(run), max(factors) FROM model'), '2|16', 'and so is the old run');
is($node->safe_psql('postgres', q{
	DROP INDEX model_items_hnsw;
	SELECT factors FROM als_train('model', 'ratings', factors => 8, workers => 0)}), '8', 'without the index it trains');

# factors copied to a table of their own; a bias is one more dimension
is($node->safe_psql('postgres', q{
	SELECT run FROM als_train('stars', 'ratings', feedback => 'explicit', factors => 15, regularization => 0.1, workers => 0);
	CREATE TABLE star_items AS SELECT item_id, factors || bias AS factors FROM stars_items;
	CREATE TABLE star_vectors AS SELECT item_id, factors::vector(16) FROM star_items;
	CREATE TABLE star_users AS SELECT user_id, factors || 1::real AS factors FROM stars_users;
	CREATE INDEX ON star_vectors USING hnsw (factors vector_ip_ops);}), '1', 'an explicit model as vectors');
is(as_good(nearest($exactly, 'star_items', 'star_users'), 'stars'), 10, 'an exact scan of them');
cmp_ok(as_good(nearest($by_index, 'star_vectors', 'star_users'), 'stars'), '>=', 9, 'and an index');

$node->stop;
done_testing();
