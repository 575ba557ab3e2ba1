# als_stat_models: what calls do with a model, added up over sessions, for those who may
# see it.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_server('main', "shared_preload_libraries = 'als'");
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(60, 40, 20);
SELECT run FROM als_train('model', 'ratings', factors => 4);
SELECT run FROM als_train('other', 'ratings', factors => 4);
INSERT INTO ratings VALUES (100, 1, 5), (100, 2, 4);
CREATE ROLE anybody LOGIN;
CREATE ROLE monitor LOGIN;
GRANT pg_read_all_stats TO monitor;
CREATE ROLE owner LOGIN;
ALTER TABLE other OWNER TO owner;
ALTER TABLE other_users OWNER TO owner;
ALTER TABLE other_items OWNER TO owner;
});
my ($users, $items) = split /\|/, $node->safe_psql('postgres', 'SELECT users, items FROM model');
sub stats
{
	my ($columns, $role) = @_;
	return $node->safe_psql('postgres', ($role ? "SET ROLE $role; " : '') . "SELECT $columns FROM als_stat_models ORDER BY model::text COLLATE \"C\"");
}
my $counts = 'model, calls, rows, fold_ins, unknown_users';
is(stats($counts), '', 'nobody has called yet');

# calls of several sessions, each of which is one call
my ($a, $b) = map { open_session($node) } 1 .. 2;
ask($a, q{SELECT count(*) FROM als_recommend('model', 1, 5);});
is(stats($counts), 'model|1|5|0|0', 'a call and its rows');
ask($b, q{SELECT count(als_predict('model', 1, item_id)) FROM model_items;});
is(stats($counts), sprintf('model|%d|%d|0|0', 1 + $items, 5 + $items), 'each prediction is one, with a row');
ask($a, q{SELECT count(*) FROM als_recommend('model', 100, 3);
	SELECT count(*) FROM als_recommend('model', 1, 3, fresh => true);
	SELECT als_predict('model', 1, 1, fresh => true), als_fold_in('model', ARRAY[1]);
	SELECT count(*) FROM als_recommend_for('model', ARRAY[1, 2], k => 3);});
is(stats($counts), sprintf('model|%d|%d|5|0', 6 + $items, 16 + $items), 'those that fold somebody in');
ask($b, q{SELECT count(*) FROM als_recommend('model', 999);
	SELECT count(*) FROM als_recommend('model', 999, 4, cold_start => 'popular');
	SELECT als_predict('model', 999, 1);
	SELECT count(*) FROM als_recommend_together('model', ARRAY[1, 999], 2);
	SELECT als_recommend('model', 999, cold_start => 'error');
	SELECT als_predict('model', 1, 'x'::point);});
is(stats($counts), sprintf('model|%d|%d|5|4', 10 + $items, 22 + $items), 'of whom nothing is known; and errors are no calls');
ask($a, q{SELECT count(*) FROM als_similar_items('model', 1, 2);
	SELECT count(*) FROM als_explain('model', 1, 2, 1);
	SELECT count(*) FROM als_audience('model', 1, 2);
	SELECT count(*) FROM als_recommend_all('model', 1, exclude_seen => false);
	SELECT count(*) FROM als_audience_all('model', 1, exclude_seen => false);
	SELECT count(*) FROM als_similar_items_all('model', 1);});
is(stats($counts), sprintf('model|%d|%d|5|4', 16 + $items, 27 + $users + 3 * $items), 'and lists of other kinds');

# what was in memory, and what was read
$node->safe_psql('postgres', 'SELECT als_stat_reset()');
my $c = open_session($node);
my $cache = 'calls, cache_hits, cache_misses';
is(stats($cache), '0|0|0', 'a reset begins anew');
ask($c, q{SELECT als_predict('model', 1, 1);});
is(stats($cache), '1|0|2', 'a session reads a user and an item');
ask($c, q{SELECT als_predict('model', 1, 1);});
is(stats($cache), '2|2|2', 'and has them then');
ask($c, q{SELECT als_refresh_user('model', 1);});
ask($c, q{SELECT als_predict('model', 1, 1);});
is(stats($cache), '3|3|3', 'and reads the user again after a refresh, the item being there');

# times: a call that waits takes as long
is($node->safe_psql('postgres', q{SELECT mean_time > 0 AND mean_time <= max_time AND max_time <= total_time AND abs(mean_time * calls - total_time) < 1e-6 * total_time AND since <= now() FROM als_stat_models}),
	't', 'times add up');
$node->safe_psql('postgres', q{CREATE VIEW slow AS SELECT r.* FROM (SELECT pg_sleep(0.2) OFFSET 0) s, ratings r; UPDATE other SET source = 'slow'});
ask($c, q{SELECT count(*) FROM als_recommend('other', 1, 5);});
is($node->safe_psql('postgres', q{SELECT max_time >= 200 AND mean_time = max_time FROM als_stat_models WHERE model = 'other'::regclass}), 't', 'the time of a call is all of it');

# who may see what
is(stats('model'), "model\nother", 'a superuser sees all models');
is(stats('model', 'monitor'), "model\nother", 'so does a role with pg_read_all_stats');
is(stats('model', 'owner'), 'other', 'owners see their own');
is(stats('model', 'anybody'), '', 'others none');
fails_with($node, 'SET ROLE anybody; SELECT als_stat_reset();', qr/ERROR:  42501: permission denied for function als_stat_reset/, 'nor may they reset them');
is($node->safe_psql('postgres', q{CREATE DATABASE second}) . $node->safe_psql('second', q{CREATE EXTENSION als; SELECT count(*) FROM als_stat_models; SELECT als_stat_reset()}), "0\n", 'each database has its own models');
is(stats('model'), "model\nother", 'and its own reset');

# those of a model that is dropped go with it; off is off
$node->safe_psql('postgres', 'DROP TABLE other');
is(stats('model'), 'model', 'what is dropped is not shown');
my $before = stats($cache);
$node->safe_psql('postgres', q{SET als.track_calls = off; SELECT als_predict('model', 1, 1)});
is(stats($cache), $before, 'nothing is counted with als.track_calls = off');
fails_with($node, 'SET ROLE anybody; SET als.track_calls = off;', qr/ERROR:  42501: permission denied to set parameter "als.track_calls"/, 'which is not for everybody to set');

# more models than there is room for: those used last stay
$node->safe_psql('postgres', q{
DO $$ BEGIN
    FOR n IN 1 .. 260 LOOP
        PERFORM als_import('m' || n, 'SELECT 1 AS user_id, ''{1}''::real[] AS factors', 'SELECT 1 AS item_id, ''{1}''::real[] AS factors');
    END LOOP;
END $$;});
$node->safe_psql('postgres', join ';', map { "SELECT als_predict('m$_', 1, 1)" } 1 .. 260);
is($node->safe_psql('postgres', q{SELECT count(*), count(*) FILTER (WHERE model::text IN ('m258', 'm259', 'm260')) FROM als_stat_models}), '256|3', 'models are counted as far as there is room');

# at once
$node->safe_psql('postgres', 'SELECT als_stat_reset()');
begin_query($_, q{SELECT count(als_predict('m260', 1, 1)) FROM generate_series(1, 20000);}) foreach $a, $b, $c;
end_query($_) foreach $a, $b, $c;
is($node->safe_psql('postgres', q{SELECT calls, rows, cache_hits + cache_misses FROM als_stat_models WHERE model = 'm260'::regclass}), '60000|60000|120000', 'no call is lost');

# a server starts with nothing
$node->restart;
is(stats($counts), '', 'a restart begins anew');

close_sessions();
done_testing();
