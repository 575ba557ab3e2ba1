# A model is data: dumped and restored, or replicated, it serves the same.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->start;
$primary->safe_psql('postgres', q{
CREATE DATABASE source;
CREATE DATABASE plain;
CREATE DATABASE custom;
CREATE DATABASE bare;
});
$primary->safe_psql('source', q{
CREATE EXTENSION als;
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, (1 + (u * 31 + i * 17) % 5)::real AS rating
    FROM generate_series(1, 200) u, generate_series(1, 100) i
    WHERE (u * 7919 + i * 104729 + u * i * 13) % 97 < 20;
CREATE VIEW text_ratings AS SELECT 'u''' || user_id AS user_id, md5(item_id::text)::uuid AS item_id, rating FROM ratings;
SELECT run FROM als_train('model', 'ratings', factors => 20);
SELECT run FROM als_train('explicit_model', 'ratings', feedback => 'explicit', factors => 8, regularization => 0.1);
SELECT run FROM als_train('text_model', 'text_ratings', factors => 8);
});

# Everything that the three models answer.
my $answers = q{
SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM (
    SELECT user_id::text, item_id::text, als_predict('model', user_id, item_id) FROM ratings
    UNION ALL SELECT user_id::text, item_id::text, als_predict('explicit_model', user_id, item_id) FROM ratings
    UNION ALL SELECT user_id, item_id::text, als_predict('text_model', user_id, item_id) FROM text_ratings
    UNION ALL SELECT u.user_id::text, r.item_id::text, score FROM model_users u, als_recommend('model', u.user_id, 5) r
    UNION ALL SELECT u.user_id, r.item_id::text, score FROM text_model_users u, als_recommend_as(NULL::uuid, 'text_model', u.user_id, 5) r) t};
my $expected = $primary->safe_psql('source', $answers);

my $dump = $primary->basedir . '/dump';
my @connection = ('-h', $primary->host, '-p', $primary->port);
command_ok([ 'pg_dump', @connection, '-f', "$dump.sql", 'source' ], 'pg_dump as SQL');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', @connection, '-d', 'plain', '-f', "$dump.sql" ], 'restored');
command_ok([ 'pg_dump', @connection, '-Fc', '-f', "$dump.custom", 'source' ], 'pg_dump in the custom format');
command_ok([ 'pg_restore', @connection, '-d', 'custom', '--exit-on-error', '-j', '2', "$dump.custom" ], 'restored in parallel');
foreach my $database ('plain', 'custom')
{
	is($primary->safe_psql($database, $answers), $expected, "$database: the same answers");
	is($primary->safe_psql($database, q{SELECT string_agg(name, ' ' ORDER BY name) FROM als_models}),
		'explicit_model model text_model', "$database: the same models");
	is($primary->safe_psql($database, q{
		SELECT run FROM als_train('model', 'ratings', factors => 20);
		SELECT count(*) FROM model;
		DROP TABLE model;
		SELECT count(*) FROM pg_class WHERE relname LIKE 'model%' AND relkind = 'r';}),
		"2\n2\n0", "$database: training goes on, and drops again with the factors");
}

# the model alone, where there are no ratings
command_ok([ 'pg_dump', @connection, '-f', "$dump.model", '-t', 'model', '-t', 'model_users', '-t', 'model_items', 'source' ], 'pg_dump of one model');
$primary->safe_psql('bare', 'CREATE EXTENSION als');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', @connection, '-d', 'bare', '-f', "$dump.model" ], 'restored alone');
is($primary->safe_psql('bare', q{SELECT als_predict('model', 3, 5), count(*) FROM als_recommend('model', 3, 5, exclude_seen => false)}),
	$primary->safe_psql('source', q{SELECT als_predict('model', 3, 5), 5}), 'it serves without the ratings');

# a standby
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);
is($standby->safe_psql('source', $answers), $expected, 'a standby gives the same answers');
my ($stdout, $stderr);
$standby->psql('source', q{SELECT als_train('model', 'ratings')}, stderr => \$stderr);
like($stderr, qr/cannot execute als_train\(\) during recovery.*HINT:  Train on the primary/s, 'a standby does not train');

# a session of the standby that stays connected follows a retraining
my $seed = 1;
my $session = IPC::Run::start(
	[ 'psql', '-X', '-A', '-t', '-q', '-d', $standby->connstr('source') ],
	'<', \(my $in = ''), '>', \(my $out = ''), '2>', \(my $err = ''), IPC::Run::timeout(600));
sub ask
{
	my ($query) = @_;
	$out = '';
	$in .= "$query\n\\echo done\n";
	$session->pump until $out =~ /done\n/ || $err ne '';
	die $err if $err ne '';
	$out =~ s/done\n//;
	return $out;
}
my $score = q{SELECT als_predict('model', 3, 5);};
my $before = ask($score);
foreach my $change (
	q{SELECT run FROM als_train('model', 'ratings', factors => 20, seed => 7)},
	q{UPDATE model_items SET factors = array_fill(0::real, ARRAY[20]) WHERE item_id = 5},
	q{DELETE FROM model_users WHERE user_id = 3})
{
	$primary->safe_psql('source', $change);
	$primary->wait_for_catchup($standby);
	my $after = ask($score);
	isnt($after, $before, "a session on the standby notices: $change");
	is($after, $primary->safe_psql('source', $score) . "\n", 'and serves what the primary does');
	$before = $after;
}
$in .= "\\q\n";
$session->finish;

done_testing();
