# A model that is trained on one server and served on others: replicated logically,
# where a retraining arrives as one transaction, or fetched by postgres_fdw.  A
# physical standby is in 004_dump_standby.pl.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $trainer = PostgreSQL::Test::Cluster->new('trainer');
$trainer->init(allows_streaming => 'logical');
$trainer->start;
install_als($trainer);
my $reader = start_server('reader', q{shared_preload_libraries = 'als'}, 'wal_level = replica');

sub trains { return $trainer->safe_psql('postgres', $_[0]); }
sub reads { return $reader->safe_psql('postgres', $_[0]); }

# with more factors than a row holds beside the others, which PostgreSQL stores apart
trains(q{
CREATE SCHEMA shop;
CREATE TABLE ratings AS SELECT * FROM some_ratings(60, 40, 30);
SELECT als_train('shop.m', 'ratings', factors => 600, iterations => 2);
SELECT als_train('movie_als', 'ratings', feedback => 'explicit', factors => 4, iterations => 2, regularization => 0.1);
SELECT als_train('f', 'ratings', factors => 4, iterations => 2, user_features => 'SELECT user_id, CASE WHEN user_id % 2 = 0 THEN ''even'' ELSE ''odd'' END FROM ratings GROUP BY 1');
});
my @tables = ((map { ($_, "${_}_users", "${_}_items") } 'shop.m', 'movie_als', 'f'), 'f_features');

#
# Logical replication
#
my $dump = $trainer->basedir . '/schema.sql';
command_ok([ 'pg_dump', '-h', $trainer->host, '-p', $trainer->port, '--schema-only', '-f', $dump, (map { ('-t', $_) } @tables), 'postgres' ], 'pg_dump of the tables');
reads('CREATE SCHEMA shop');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', $reader->host, '-p', $reader->port, '-d', 'postgres', '-f', $dump ], 'restored');
my ($publish, $subscribe, $server, $fetch) = documented('Serving on several servers');
my ($host, $port) = ($trainer->host, $trainer->port);
trains($publish);
trains('ALTER PUBLICATION models ADD TABLE shop.m, shop.m_users, shop.m_items, f, f_users, f_items, f_features');
reads($subscribe =~ s/host=trainer dbname=shop/host=$host port=$port dbname=postgres/r);
wait_until($reader, q{SELECT count(*) = 10 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel});

# What a server answers
my $answers = q{SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM (
    SELECT 'm', u.user_id, r.item_id, r.score FROM shop.m_users u, als_recommend('shop.m', u.user_id, 5, exclude_seen => false) r
    UNION ALL SELECT 'e', u.user_id, r.item_id, r.score FROM movie_als_users u, als_recommend('movie_als', u.user_id, 5, exclude_seen => false) r
    UNION ALL SELECT 'features', 0, r.item_id, r.score FROM als_recommend_for('f', NULL, features => '{"even": 1}') r
    UNION ALL SELECT 'fold in', 0, r.item_id, r.score FROM als_recommend_for('shop.m', ARRAY[1, 2, 3]) r) t;};
my $session = open_session($reader);
my $before = ask($session, $answers);
like($before, qr/^[0-9a-f]{32}$/, 'a reader serves');
is($before, trains($answers), 'what the trainer does');

foreach my $change (
	[ 'als_train', q{SELECT als_train('shop.m', 'ratings', factors => 600, iterations => 2, seed => 7)} ],
	[ 'with other factors', q{SELECT als_train('shop.m', 'ratings', factors => 5, iterations => 2)} ],
	[ 'explicit', q{SELECT als_train('movie_als', 'ratings', feedback => 'explicit', factors => 8, iterations => 2, regularization => 0.2)} ],
	[ 'features', q{SELECT als_train('f', 'ratings', factors => 4, iterations => 2, seed => 7, user_features => 'SELECT user_id, CASE WHEN user_id % 3 = 0 THEN ''even'' ELSE ''odd'' END FROM ratings GROUP BY 1')} ],
	[ 'fewer rows', q{SELECT als_train('shop.m', 'SELECT * FROM ratings WHERE user_id < 30 AND item_id < 20', factors => 5, iterations => 2)} ],
	[ 'more rows', q{SELECT als_train_agg('shop.m', user_id, item_id, rating, '{"factors": 6, "iterations": 2}') FROM ratings} ],
	[ 'als_tune', q{SELECT als_tune('shop.m', 'ratings', '{"factors": [3], "iterations": 2}')} ],
	[ 'als_import', q{SELECT als_import('shop.m', 'SELECT user_id, factors[1:2] AS factors FROM shop.m_users', 'SELECT item_id, factors[1:2] AS factors FROM shop.m_items', regularization => 0.1, alpha => 5)} ],
	[ 'als_refresh_user', q{SELECT als_train('shop.m', 'ratings', factors => 5, iterations => 2); INSERT INTO ratings VALUES (3, 7, 100); SELECT als_refresh_user('shop.m', 3)} ])
{
	my ($name, $statement) = @$change;
	trains($statement);
	$trainer->wait_for_catchup('models');
	my $after = ask($session, $answers);
	isnt($after, $before, "$name: a session on the reader notices");
	is($after, trains($answers), 'and serves what the trainer does');
	$before = $after;
}
my $all = q{SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM (SELECT user_id, factors, NULL::real FROM shop.m_users UNION ALL SELECT item_id, factors, NULL FROM shop.m_items UNION ALL SELECT * FROM movie_als_users UNION ALL SELECT * FROM movie_als_items) t};
is(reads($all), trains($all), 'with the same factors');

# all rows of a table are one message to other sessions, or the commit of many would
# not fit into its record
my $first = reads('SELECT pg_current_wal_lsn()');
trains(q{SELECT als_train('shop.m', 'ratings', factors => 4, iterations => 2)});
$trainer->wait_for_catchup('models');
my $last = reads('SELECT pg_current_wal_lsn()');
my ($waldump) = run_command([ 'pg_waldump', '-p', $reader->data_dir . '/pg_wal', '-r', 'Transaction', '-s', $first, '-e', $last ]);
my ($messages) = sort { $b <=> $a } map { scalar(() = /relcache/g) } split /\n/, $waldump;
cmp_ok($messages, '>', 0, 'a reader tells of a new model');
cmp_ok($messages, '<', 40, 'but not for each row');
$before = ask($session, $answers);
is($before, trains($answers), 'and serves it');

# a run and its factors come at once: whoever reads meanwhile has the old ones, and
# replication waits for him
ask($session, q{BEGIN; SELECT als_predict('shop.m', 1, 1) IS NULL;});
trains(q{SELECT als_train('shop.m', 'ratings', factors => 9, iterations => 2)});
wait_until($reader, q{SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.backend_type LIKE 'logical replication%'});
is(ask($session, $answers), $before, 'who has read is served from the old model');
ask($session, 'COMMIT;');
$trainer->wait_for_catchup('models');
is(ask($session, $answers), trains($answers), 'and then from the new one');

# an error leaves the published model as it was; so does one while it is written
$before = trains($answers);
trains(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no'; END$$;
CREATE TRIGGER refuse BEFORE INSERT ON shop.m FOR EACH ROW EXECUTE FUNCTION refuse();});
isnt($trainer->psql('postgres', q{SELECT als_train('shop.m', 'ratings', factors => 3, iterations => 2)}), 0, 'a training fails');
trains('DROP TRIGGER refuse ON shop.m');
is(trains($answers), $before, 'the model is the old one');
trains(q{SELECT als_train('movie_als', 'ratings', feedback => 'explicit', factors => 3, iterations => 2)});
$trainer->wait_for_catchup('models');
is(ask($session, $answers), trains($answers), 'for the reader as well');

is(close_sessions($session), '', 'without an error');
reads('DROP SUBSCRIPTION models');
trains('DROP PUBLICATION models');

# a first training that is published, and one that is not, have the same result
trains(q{CREATE PUBLICATION everything FOR ALL TABLES});
trains(q{SELECT als_train('published', 'ratings', factors => 4, iterations => 2) FROM generate_series(1, 2)});
trains(q{DROP PUBLICATION everything});
trains(q{SELECT als_train('unpublished', 'ratings', factors => 4, iterations => 2)});
is(trains(q{SELECT factors_of('published') = factors_of('unpublished')}), 't', 'published or not, the factors are the same');

#
# Fetched by postgres_fdw
#
SKIP:
{
	skip 'postgres_fdw is not available', 1
	  unless reads(q{SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'});
	reads(q{DROP TABLE shop.m, shop.m_users, shop.m_items, movie_als, movie_als_users, movie_als_items});
	reads($server =~ s/host 'trainer', dbname 'shop'/host '$host', port '$port', dbname 'postgres'/r);
	reads('IMPORT FOREIGN SCHEMA shop LIMIT TO (m, m_users, m_items) FROM SERVER trainer INTO trained');
	my $m = $fetch =~ s/'movie_als'/'shop.m'/r =~ s/trained\.movie_als/trained.m/gr;
	is(reads($m), 1, 'a model is fetched');
	is(reads($fetch), 1, 'an explicit one');
	is(reads($all), trains($all), 'with the same factors');
	is(reads($answers), trains($answers), 'and answers so');
	$session = open_session($reader);
	ask($session, $answers);
	trains(q{SELECT als_train('shop.m', 'ratings', factors => 12, iterations => 2, alpha => 3)});
	is(reads($m), 2, 'and fetched again');
	is(ask($session, $answers), trains($answers), 'a session notices');
	$trainer->stop;
	my ($status, $stdout, $stderr) = $reader->psql('postgres', $m =~ s/FROM \(.*?\) t,\s+/FROM (SELECT * FROM shop.m ORDER BY run DESC LIMIT 1) t, /sr);
	like($stderr, qr/ERROR:  could not connect to server "trainer".*reading factors of users from trained\.m_users, from server "trainer"/s, 'without the trainer it fails');
	like(ask($session, $answers), qr/^[0-9a-f]{32}$/, 'and the model serves');
	is(close_sessions($session), '', 'without an error');
}

done_testing();
