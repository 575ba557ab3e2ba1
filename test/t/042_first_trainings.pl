# First trainings of one name at the same time wait for each other, and a model
# whose runs a dump has not had is trained in the tables that it has had.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_server('main');
$node->safe_psql('postgres', q{
-- as of PostgreSQL 15
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE ROLE stranger;
CREATE TABLE ratings AS SELECT * FROM some_ratings(30, 40, 39);
GRANT SELECT ON ratings TO stranger;
});

sub train { return "SELECT run, users FROM als_train('$_[0]', 'ratings', factors => 3);"; }
my ($first, $second) = map { open_session($node, '\set VERBOSITY verbose') } 1 .. 2;

foreach my $isolation ('READ COMMITTED', 'SERIALIZABLE')
{
	ask($second, "BEGIN ISOLATION LEVEL $isolation; SELECT;");
	is(ask($first, 'BEGIN; ' . train('m')), '1|30', 'a first training');
	begin_query($second, train('m'));
	wait_for_lock($node, 'object');
	ask($first, 'ROLLBACK;');
	is(end_query($second), '1|30', "is another's once it is rolled back, $isolation");
	ask($second, "ROLLBACK; BEGIN ISOLATION LEVEL $isolation; SELECT;");
	is(ask($first, 'BEGIN; ' . train('m')), '1|30', 'and again');
	begin_query($second, train('m'));
	wait_for_lock($node, 'object');
	ask($first, 'COMMIT;');
	is(end_query($second), '2|30', "it is trained again once it commits, $isolation");
	ask($second, 'COMMIT; DROP TABLE m;');
}
# with somebody else's, and with other names that collide
ask($first, 'BEGIN; ' . train('m'));
begin_query($second, 'SET ROLE stranger; ' . train('m'));
like(end_query($second), qr/ERROR:  42501: permission denied for schema public/, 'who may not create tables does not wait');
ask($second, 'RESET ROLE; GRANT CREATE ON SCHEMA public TO stranger; SET ROLE stranger;');
begin_query($second, train('m'));
wait_for_lock($node, 'object');
ask($first, 'COMMIT;');
like(end_query($second), qr/ERROR:  42501: must be owner of table m\b/, "another's model");
ask($second, 'RESET ROLE;');
ask($first, 'BEGIN; ' . train('n'));
begin_query($second, train('n_items'));
wait_for_lock($node, 'object');
ask($first, 'COMMIT;');
like(end_query($second), qr/ERROR:  42P07: relation "n_items" already exists and is not an als model/, 'the name of a factor table');
# all at once
$node->safe_psql('postgres', 'DROP TABLE m, n');
my @many = map { open_session($node) } 1 .. 6;
begin_query($_, train('m')) foreach @many;
is(join(' ', sort map { end_query($_) } @many), join(' ', map { "$_|30" } 1 .. 6), 'all of six are trained');

# a dump without data, restored
my $dump = $node->basedir . '/schema.sql';
$node->safe_psql('postgres', q{
SELECT run FROM als_train('stars', 'SELECT user_id::text::varchar(5) AS user_id, item_id, rating FROM ratings', feedback => 'explicit', factors => 3);});
$node->command_ok([ 'pg_dump', '-s', '-f', $dump, $node->connstr('postgres') ], 'a dump of the schema');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('restored') ], 'restored');
my ($code, $out, $err) = $node->psql('restored', q{SELECT als_predict('m', 1, 1)});
like($err, qr/model "m" has not been trained/, 'is no model yet');
$node->safe_psql('restored', q{
INSERT INTO ratings SELECT * FROM some_ratings(30, 40, 39);});
is($node->safe_psql('restored', train('m') . q{SELECT run, user_factors, item_factors
	FROM als_train('stars', 'SELECT user_id::text::varchar(5) AS user_id, item_id, rating FROM ratings', feedback => 'explicit', factors => 3)}),
	"1|30\n1|stars_users|stars_items", 'until it is trained');
my $same = q{SELECT array_agg(als_predict('m', u, i) ORDER BY u, i), array_agg(als_predict('stars', u, i) ORDER BY u, i)
	FROM generate_series(1, 30) u, generate_series(1, 40) i};
is($node->safe_psql('restored', $same), $node->safe_psql('postgres', $same), 'then it is the same');
$node->safe_psql('restored', 'DROP TABLE m, stars');
is($node->safe_psql('restored', q{SELECT count(*) FROM pg_class WHERE relname IN ('m_users', 'm_items', 'stars_users', 'stars_items')}), '0',
	'and its tables are dropped with it');

close_sessions();
$node->stop;
done_testing();
