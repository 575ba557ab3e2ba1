# MovieLens-1M, where it is at hand: GroupLens does not allow to ship it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use Test::More;

my $data = ($ENV{ALS_SHARED} || '../shared') . '/data/ml-1m';
plan skip_all => "no MovieLens-1M in $data (set ALS_SHARED)" unless -r "$data/ratings.dat.gz";

my $node = start_server('main', 'max_parallel_maintenance_workers = 1');
$node->safe_psql('postgres', qq{
CREATE TABLE ratings (user_id int, movie_id int, rating real);
COPY ratings FROM PROGRAM 'gzip -dc $data/ratings.dat.gz | awk -F:: -v OFS="\t" "{print \\\$1, \\\$2, \\\$3}"';
CREATE INDEX ON ratings (user_id);
SELECT run FROM als_train('movies', 'ratings', item_column => 'movie_id', factors => 64, alpha => 40, regularization => 0.01);
SELECT run FROM als_train('exact', 'ratings', item_column => 'movie_id', factors => 64, alpha => 40, regularization => 0.01, solver => 'cholesky');
});

is($node->safe_psql('postgres', 'SELECT users, items, ratings FROM movies'), '6040|3706|1000209', 'all of it');
is($node->safe_psql('postgres', q{
	SELECT count(*), bool_and(l < before) FROM (
		SELECT l, lag(l, 1, 'infinity') OVER (ORDER BY o) AS before
		FROM movies, unnest(losses) WITH ORDINALITY s(l, o)) t}), '15|t', 'the loss falls in every iteration');
cmp_ok($node->safe_psql('postgres', 'SELECT m.loss / e.loss FROM movies m, exact e'), '<', 1.01,
	'conjugate gradient is where the exact solver is');
is($node->safe_psql('postgres', q{
	SELECT user_id, count(*), count(*) FILTER (WHERE EXISTS (
		SELECT FROM ratings WHERE ratings.user_id = u.user_id AND movie_id = r.item_id))
	FROM unnest(ARRAY[1, 100, 6040]) u(user_id), als_recommend('movies', u.user_id, 10) r
	GROUP BY user_id ORDER BY user_id}), "1|10|0\n100|10|0\n6040|10|0", 'three users, ten unseen films each');
cmp_ok($node->safe_psql('postgres', q{SELECT avg(als_predict('movies', user_id, movie_id)) FROM ratings}), '>', 0.8,
	'what was watched scores close to 1');
cmp_ok($node->safe_psql('postgres', q{
	SELECT avg(als_predict('movies', user_id, movie_id))
	FROM (SELECT user_id FROM movies_users ORDER BY user_id LIMIT 300) u, (SELECT item_id AS movie_id FROM movies_items) i
	WHERE NOT EXISTS (SELECT FROM ratings r WHERE r.user_id = u.user_id AND r.movie_id = i.movie_id)}), '<', 0.4,
	'what was not scores far less');

# a fifth of it held out; for some users by way of als_recommend too
$node->safe_psql('postgres', q{
CREATE VIEW training AS SELECT * FROM ratings WHERE NOT als_holdout(user_id, movie_id, 0.2);
CREATE VIEW test AS SELECT * FROM ratings WHERE als_holdout(user_id, movie_id, 0.2);
CREATE TABLE test_200 AS SELECT * FROM test WHERE user_id <= 200;
SELECT run FROM als_train('split', 'training', item_column => 'movie_id', factors => 64);
SELECT run FROM als_train('stars', 'training', item_column => 'movie_id', factors => 64, feedback => 'explicit');
});
# popularity: 0.207; the textbook's alpha and regularization: 0.170; the best found: 0.428
cmp_ok($node->safe_psql('postgres', q{SELECT value FROM als_evaluate('split', 'test', item_column => 'movie_id') WHERE metric = 'ndcg'}), '>', 0.41,
	'what is chosen from the ratings recommends well');
# the best found: 0.850
cmp_ok($node->safe_psql('postgres', q{SELECT value FROM als_evaluate('stars', 'test', item_column => 'movie_id') WHERE metric = 'rmse'}), '<', 0.86,
	'and predicts well');
is($node->safe_psql('postgres', q{
	SELECT max(value) FILTER (WHERE metric = 'users') > 6000, sum(value) FILTER (WHERE metric IN ('pairs', 'unknown_pairs')) = (SELECT count(*) FROM test),
		max(value) FILTER (WHERE metric = 'auc') > 0.9, max(popularity) FILTER (WHERE metric = 'ndcg') BETWEEN 0.15 AND 0.25
	FROM als_evaluate('split', 'test', item_column => 'movie_id')}), 't|t|t|t', 'what was held out is predicted');
is($node->safe_psql('postgres', q{
	SELECT u.value, round(p.value::numeric, 9) = round((SELECT count(*)
		FROM (SELECT DISTINCT user_id FROM test_200) u, als_recommend('split', u.user_id) r, test_200 t
		WHERE t.user_id = u.user_id AND t.movie_id = r.item_id) / 10.0 / u.value::int, 9)
	FROM als_evaluate('split', 'test_200', item_column => 'movie_id') u, als_evaluate('split', 'test_200', item_column => 'movie_id') p
	WHERE u.metric = 'users' AND p.metric = 'precision'}), '200|t', 'the same from als_recommend');

done_testing();
