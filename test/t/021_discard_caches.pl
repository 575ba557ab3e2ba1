# Where every look at a catalog may bring word of changes: debug_discard_caches,
# which only a server with assertions has, sends invalidations whenever there
# could be one.  Models are opened all the same, and answer what they always do.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use Test::More;

my $node = start_server('main', 'autovacuum = off');
plan skip_all => 'this server has no debug_discard_caches'
	if $node->safe_psql('postgres', q{SELECT max_val FROM pg_settings WHERE name = 'debug_discard_caches'}) == 0;

$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(30, 40, 39);
SELECT run FROM als_train('model', 'ratings', factors => 4, iterations => 2);
SELECT run FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 4, iterations => 2);
-- ids whose conversion uses another model, and a source that changes its own
CREATE FUNCTION use_other(id text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT count(*) >= 0 FROM als_recommend('model', 3, 2));
END $$;
CREATE DOMAIN checked AS text CHECK (use_other(VALUE));
CREATE TABLE checked_ratings AS SELECT ('u' || user_id)::checked AS user_id, item_id, rating FROM ratings;
SELECT run FROM als_train('checked_model', 'checked_ratings', factors => 4, iterations => 2);
CREATE FUNCTION touch() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE touched SET seconds = seconds;
    UPDATE touched_items SET factors = factors WHERE item_id = 1;
    RETURN true;
END $$;
SELECT run FROM als_train('touched', 'ratings', factors => 4, iterations => 2);
CREATE VIEW touching AS SELECT * FROM ratings WHERE (SELECT touch());
UPDATE touched SET source = 'public.touching';
});

# The same in a session like any other, and in one that forgets all the time
sub same_answers
{
	my ($name, $sql) = @_;
	my $answer = $node->safe_psql('postgres', $sql);
	local $ENV{PGOPTIONS} = '-c debug_discard_caches=1';

	isnt($answer, '', "$name: an answer");
	is($node->safe_psql('postgres', $sql), $answer, "$name: the same");
	return;
}

foreach my $model ('model', 'explicit')
{
	same_answers("$model: predict", qq{
SELECT als_predict('$model', u, 1) FROM generate_series(1, 2) u;
SELECT als_predict('$model', 999, 1) IS NULL});
	same_answers("$model: recommend", qq{
SELECT * FROM als_recommend('$model', 1, 5);
SELECT * FROM als_recommend('$model', 1, 5);
SELECT * FROM als_recommend('$model', 999, 5, cold_start => 'popular')});
	same_answers("$model: neighbours and explanations", qq{
SELECT * FROM als_similar_items('$model', 1, 5);
SELECT * FROM als_explain('$model', 1, 3);
SELECT * FROM als_recommend_for('$model', ARRAY[1, 2], k => 5)});
	same_answers("$model: everybody", qq{
SELECT * FROM als_recommend_all('$model', 2, workers => 0) ORDER BY user_id, rank;
SELECT * FROM als_evaluate('$model', 'ratings', exclude_seen => false, workers => 0)});
}
same_answers('ids with a CHECK', q{
SELECT als_predict('checked_model', 'u3', 1);
SELECT * FROM als_recommend('checked_model', 'u3', 5)});
same_answers('a source that changes the model', q{
BEGIN;
SELECT * FROM als_recommend('touched', 1, 5);
SELECT als_refresh_user('touched', 1);
SELECT factors FROM touched_users WHERE user_id = 1;
ROLLBACK});
same_answers('a training in the same transaction', q{
BEGIN;
SELECT als_predict('model', 1, 1);
SELECT run FROM als_train('model', 'ratings', factors => 5, iterations => 2, workers => 0);
SELECT als_predict('model', 1, 1);
ROLLBACK;
SELECT als_predict('model', 1, 1)});

done_testing();
