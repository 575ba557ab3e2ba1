# A model is data: dumped and restored, or replicated, it serves the same.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 'logical');
$primary->start;
$primary->safe_psql('postgres', q{
CREATE DATABASE source;
CREATE DATABASE plain;
CREATE DATABASE custom;
CREATE DATABASE bare;
CREATE DATABASE subscriber;
});
install_als($primary, 'source');
$primary->safe_psql('source', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(200, 100, 20);
CREATE VIEW text_ratings AS SELECT 'u''' || user_id AS user_id, md5(item_id::text)::uuid AS item_id, rating FROM ratings;
CREATE VIEW big_ratings AS SELECT md5(user_id::text)::uuid AS user_id, item_id + 5000000000 AS item_id, rating FROM ratings;
SELECT run FROM als_train('model', 'ratings', factors => 20);
SELECT run FROM als_train('big_model', 'big_ratings', feedback => 'explicit', factors => 8, regularization => 0.1);
SELECT run FROM als_train('explicit_model', 'ratings', feedback => 'explicit', factors => 8, regularization => 0.1);
SELECT run FROM als_train('text_model', 'text_ratings', factors => 8);
CREATE VIEW item_features AS SELECT n AS item_id, 'kind ' || n % 7 AS feature FROM generate_series(1, 130) n;
SELECT run FROM als_train('featured', 'ratings', factors => 8, item_features => 'item_features');
});

# Everything that the models answer: how much, and what.
my $answers = q{
SELECT count(*), count(score), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM (
    SELECT user_id::text, item_id::text, als_predict('model', user_id, item_id) AS score FROM ratings
    UNION ALL SELECT user_id::text, item_id::text, als_predict('explicit_model', user_id, item_id) FROM ratings
    UNION ALL SELECT user_id, item_id::text, als_predict('text_model', user_id, item_id) FROM text_ratings
    UNION ALL SELECT user_id::text, item_id::text, als_predict('big_model', user_id, item_id) FROM big_ratings
    UNION ALL SELECT run::text, feature, factors[1] FROM featured_features
    UNION ALL SELECT u.user_id::text, r.item_id::text, score FROM featured_users u, als_recommend('featured', u.user_id, 5) r
    UNION ALL SELECT u.user_id::text, r.item_id::text, score FROM model_users u, als_recommend('model', u.user_id, 5) r
    UNION ALL SELECT u.user_id::text, r.item_id::text, score FROM explicit_model_users u, als_recommend('explicit_model', u.user_id, 5) r
    UNION ALL SELECT u.user_id::text, r.item_id::text, score FROM big_model_users u, als_recommend('big_model', u.user_id, 5) r
    UNION ALL SELECT u.user_id, r.item_id::text, score FROM text_model_users u, als_recommend_as(NULL::uuid, 'text_model', u.user_id, 5) r) t};
my $expected = $primary->safe_psql('source', $answers);
my ($ratings, $users, $items) = split /\|/, $primary->safe_psql('source',
	'SELECT count(*), count(DISTINCT user_id), count(DISTINCT item_id) FROM ratings');
my $rows = 4 * $ratings + 5 * 5 * $users + 7;
like($expected, qr/^$rows\|$rows\|[0-9a-f]{32}$/, 'the models answer');

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
		'big_model explicit_model featured model text_model', "$database: the same models");
	# the link that DROP TABLE follows is not in the dump; a training makes it
	foreach my $training (
		q{'model', 'ratings', factors => 20},
		q{'explicit_model', 'ratings', feedback => 'explicit', factors => 8, regularization => 0.1},
		q{'big_model', 'big_ratings', feedback => 'explicit', factors => 8, regularization => 0.1},
		q{'text_model', 'text_ratings', factors => 8},
		q{'featured', 'ratings', factors => 8, item_features => 'item_features'})
	{
		is($primary->safe_psql($database, "SELECT run FROM als_train($training)"), '2', "$database: als_train($training)");
	}
	$primary->safe_psql($database, 'UPDATE featured_features SET run = 1');
	is($primary->safe_psql($database, $answers), $expected, "$database: the same answers after training again");
	is($primary->safe_psql($database, q{
		DROP TABLE model, explicit_model, big_model, text_model, featured;
		SELECT count(*) FROM pg_class WHERE relname ~ 'model|featured' AND relkind IN ('r', 'i');
		SELECT count(*) FROM als_models;}), "0\n0", "$database: models are dropped with their factors");
}

# models alone, where there are no ratings
$primary->safe_psql('bare', 'CREATE EXTENSION als');
foreach my $model ('model', 'explicit_model', 'text_model')
{
	command_ok([ 'pg_dump', @connection, '-f', "$dump.$model", '-t', $model, '-t', "${model}_users", '-t', "${model}_items", 'source' ], "pg_dump of $model");
	command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', @connection, '-d', 'bare', '-f', "$dump.$model" ], 'restored alone');
	my $served = qq{
		SELECT count(score), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM (
			SELECT u.user_id::text, i.item_id::text, als_predict('$model', u.user_id, i.item_id) AS score FROM ${model}_users u, ${model}_items i
			UNION ALL SELECT u.user_id::text, r.item_id::text, r.score
			FROM ${model}_users u, als_recommend_as((SELECT item_id FROM ${model}_items LIMIT 1), '$model', u.user_id, 5, exclude_seen => false) r) t};
	my $result = $primary->safe_psql('bare', $served);
	$rows = $users * $items + 5 * $users;
	like($result, qr/^$rows\|/, "$model: it serves without the ratings");
	is($result, $primary->safe_psql('source', $served), "$model: the same");
	my $stderr;
	isnt($primary->psql('bare', qq{SELECT als_recommend_as((SELECT item_id FROM ${model}_items LIMIT 1), '$model', (SELECT user_id FROM ${model}_users LIMIT 1))}, stderr => \$stderr),
		0, "$model: what a user has seen cannot be known there");
	like($stderr, qr/ERROR:  relation "\S*ratings" does not exist/, "$model: and the error says so");
}

# whose factors are in another schema: both schemas have to come along
$primary->safe_psql('source', q{
CREATE SCHEMA shop;
CREATE SCHEMA apart;
SELECT run FROM als_train('shop.moved', 'ratings', factors => 4);
ALTER TABLE shop.moved_items SET SCHEMA apart;
});
my $moved = q{SELECT count(*), md5(string_agg(r::text, ',' ORDER BY u.user_id, r.item_id)) FROM shop.moved_users u, als_recommend('shop.moved', u.user_id, 5, exclude_seen => false) r};
# PostgreSQL 16 and later name the relation, as the last line of both does.
my $missing = $primary->safe_psql('source', q{
SELECT CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'schema "apart"' ELSE 'relation "apart.moved_items"' END});
foreach my $case ([ 'half', '-n', 'shop' ], [ 'whole', '-n', 'shop', '-n', 'apart' ])
{
	my ($database, @schemas) = @$case;
	$primary->safe_psql('postgres', "CREATE DATABASE $database");
	$primary->safe_psql($database, 'CREATE EXTENSION als');
	command_ok([ 'pg_dump', @connection, '-f', "$dump.$database", @schemas, 'source' ], "pg_dump @schemas");
	my @restore = ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', @connection, '-d', $database, '-f', "$dump.$database");
	if ($database eq 'half')
	{
		command_checks_all(\@restore, 3, [qr/^/], [qr/ERROR:  \Q$missing\E does not exist\n.*"apart\.moved_items"/], 'what is missing is named');
		next;
	}
	command_ok(\@restore, 'restored');
	is($primary->safe_psql($database, $moved), $primary->safe_psql('source', $moved), 'it serves the same');
}
$primary->safe_psql('source', 'DROP SCHEMA shop, apart CASCADE');

# one with features and a run that is kept, by the command of the guide
my ($command) = slurp_file('docs/guide.md') =~ /^(pg_dump -t movie_als .*) shop \| psql other$/m;
$primary->safe_psql('source', qq{SELECT run FROM als_train('movie_als', 'ratings', factors => 8, item_features => 'item_features', keep => 2, seed => $_)}) foreach 1, 2;
command_ok([ 'sh', '-c', "$command @connection -f $dump.movie_als source" ], $command);
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', @connection, '-d', 'bare', '-f', "$dump.movie_als" ], 'restored alone');
my $kept = q{SELECT r.run, count(als_predict('movie_als', user_id, item_id, run => r.run)), md5(string_agg(als_predict('movie_als', user_id, item_id, run => r.run)::text, ',' ORDER BY user_id, item_id)), (SELECT count(*) FROM movie_als_features)
	FROM movie_als r, movie_als_users, movie_als_items GROUP BY 1 ORDER BY 1};
is($primary->safe_psql('bare', $kept), $primary->safe_psql('source', $kept), 'both runs answer the same');
$primary->safe_psql('source', 'DROP TABLE movie_als');

# a standby
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);
is($standby->safe_psql('source', $answers), $expected, 'a standby gives the same answers');
# all else that reads, also for somebody who is not in the models yet
$primary->safe_psql('source', 'INSERT INTO ratings VALUES (999, 3, 5), (999, 8, 1)');
$primary->wait_for_catchup($standby);
my $split = q{'model', 'SELECT * FROM ratings WHERE als_holdout(user_id, item_id, 0.3)', training => 'SELECT * FROM ratings WHERE NOT als_holdout(user_id, item_id, 0.3)'};
foreach my $reads (
	[ 'als_fold_in', 2, q{SELECT als_fold_in(m::regclass, ARRAY[1, 5, 9], ARRAY[5, 1, 3]) FROM unnest(ARRAY['model', 'explicit_model']) m} ],
	[ 'als_recommend, folding in', 10, q{SELECT m, r FROM unnest(ARRAY['model', 'explicit_model']) m, als_recommend(m::regclass, 999, 5) r} ],
	[ 'als_recommend, popular items', 5, q{SELECT als_recommend('model', 12345, 5, cold_start => 'popular')} ],
	[ 'als_recommend_for', 15, q{SELECT m, r FROM unnest(ARRAY['model', 'explicit_model']) m, als_recommend_for(m::regclass, ARRAY[1, 5, 9], k => 5, exclude => ARRAY[2]) r
		UNION ALL SELECT 'big_model', r FROM als_recommend_for('big_model', ARRAY[5000000001, 5000000005], k => 5) r} ],
	[ 'als_recommend_for_as', 5, q{SELECT als_recommend_for_as(NULL::uuid, 'text_model', ARRAY[md5('1')::uuid], k => 5)} ],
	[ 'als_recommend_together', 10, q{SELECT b, r FROM unnest(ARRAY['average', 'least_misery']) b, als_recommend_together('explicit_model', ARRAY[3, 4, 999], 5, by => b) r} ],
	[ 'als_recommend_together_as', 5, q{SELECT als_recommend_together_as(NULL::uuid, 'text_model', ARRAY['u''7', 'u''8'], 5)} ],
	[ 'als_audience', 15, q{SELECT m, r FROM unnest(ARRAY['model', 'explicit_model']) m, als_audience(m::regclass, 3, 5) r
		UNION ALL SELECT 'text_model', r FROM als_audience_as(NULL::text, 'text_model', md5('3')::uuid, 5) r} ],
	[ 'als_audience_all', 6, q{SELECT r FROM als_audience_all('model', 3, ARRAY[3, 8], exclude_seen => false) r ORDER BY item_id, rank} ],
	[ 'als_audience_all_as', 3, q{SELECT r FROM als_audience_all_as(NULL::uuid, NULL::text, 'text_model', 3, ARRAY[md5('3')::uuid], exclude_seen => false, workers => 0) r ORDER BY rank} ],
	[ 'als_similar_items', 10, q{SELECT m, r FROM unnest(ARRAY['cosine', 'inner_product']) m, als_similar_items('model', 7, 5, m) r} ],
	[ 'als_similar_items_as', 5, q{SELECT als_similar_items_as(NULL::uuid, 'text_model', md5('7')::uuid, 5)} ],
	[ 'als_similar_items_all', 6, q{SELECT r FROM als_similar_items_all('model', 3, ARRAY[7, 8]) r ORDER BY item_id, rank} ],
	[ 'als_similar_items_all_as', 3, q{SELECT r FROM als_similar_items_all_as(NULL::uuid, 'text_model', 3, ARRAY[md5('7')::uuid], workers => 0) r ORDER BY rank} ],
	[ 'als_similar_users', 10, q{SELECT m, r FROM unnest(ARRAY['cosine', 'inner_product']) m, als_similar_users('model', 7, 5, m) r} ],
	[ 'als_similar_users_as', 5, q{SELECT als_similar_users_as(NULL::text, 'text_model', 'u''7', 5)} ],
	[ 'als_explain', 12, q{SELECT m, u, r FROM unnest(ARRAY['model', 'explicit_model']) m, unnest(ARRAY[3, 4, 999]) u, als_explain(m::regclass, u, 5, 2) r} ],
	[ 'als_explain_as', 5, q{SELECT als_explain_as(NULL::uuid, 'text_model', 'u''7', md5('5')::uuid, 5)} ],
	[ 'als_recommend_all', 3 * $users, q{SELECT r FROM als_recommend_all('model', 3) r ORDER BY user_id, rank} ],
	[ 'als_recommend_all for some', 6, q{SELECT r FROM als_recommend_all('explicit_model', 3, users => ARRAY[3, 4, 999], workers => 0) r ORDER BY user_id, rank} ],
	[ 'als_recommend_all_as', 3 * $users, q{SELECT r FROM als_recommend_all_as(NULL::text, NULL::uuid, 'text_model', 3) r ORDER BY user_id, rank} ],
	[ 'als_evaluate', 44, qq{SELECT als_evaluate($split) UNION ALL SELECT als_evaluate('explicit_model', 'ratings', exclude_seen => false, workers => 0)} ],
	[ 'als_evaluate_users', $users, qq{SELECT e FROM als_evaluate_users($split) e ORDER BY user_id} ],
	[ 'als_convergence', 15, q{SELECT als_convergence(m) FROM model m} ],
	[ 'COPY', 3 * $users, q{COPY (SELECT r FROM als_recommend_all('model', 3) r ORDER BY user_id, rank) TO STDOUT} ],
	[ 'als_models', 5, 'SELECT * FROM als_models ORDER BY name' ])
{
	my ($name, $lines, $query) = @$reads;
	my $result = $standby->safe_psql('source', $query);
	is(scalar(split /\n/, $result), $lines, "a standby answers: $name");
	is($result, $primary->safe_psql('source', $query), 'as the primary does');
}
$primary->safe_psql('source', 'DELETE FROM ratings WHERE user_id = 999');

# all that writes, which says why not
foreach my $writes (
	[ 'als_train()', q{als_train('model', 'ratings')}, 'Train on the primary' ],
	[ 'als_train()', q{als_train('another_model', 'ratings')}, 'Train on the primary' ],
	[ 'als_train_agg()', q{als_train_agg('model', user_id, item_id, rating, NULL) FROM ratings}, 'Train on the primary' ],
	[ 'als_tune()', q{als_tune('model', 'ratings', '{"factors": [2, 3]}')}, 'Train on the primary' ],
	[ 'als_refresh_user', q{als_refresh_user('model', 3)}, 'Refresh on the primary' ],
	[ 'als_refresh_item', q{als_refresh_item('model', 3)}, 'Refresh on the primary' ])
{
	my ($function, $call, $hint) = @$writes;
	my $stderr;
	isnt($standby->psql('source', "\\set VERBOSITY verbose\nSELECT $call", stderr => \$stderr), 0, "a standby refuses: $call");
	like($stderr, qr/ERROR:  25006: cannot execute \Q$function\E during recovery\n.*HINT:  $hint;/s, 'and says why');
}

# a session that stays connected follows whatever changes a model
my $session = open_session($standby, '\c source');
ask($session, q{PREPARE answer AS SELECT als_predict('model', 3, 5), count(*), sum(score), min(item_id) FROM als_recommend('model', 3, 5);});
my $score = q{SELECT als_predict('model', 3, 5), count(*), sum(score), min(item_id) FROM als_recommend('model', 3, 5);};
my $before = ask($session, $score);
like($before, qr/^-?[\d.e-]+\|5\|/, 'a session on the standby has answers');
foreach my $change (
	q{SELECT run FROM als_train('model', 'ratings', factors => 20, seed => 7)},
	q{UPDATE model_items SET factors = array_fill(0::real, ARRAY[20]) WHERE item_id = 5},
	q{DELETE FROM model_users WHERE user_id = 3})
{
	$primary->safe_psql('source', $change);
	$primary->wait_for_catchup($standby);
	my $after = ask($session, $score);
	isnt($after, $before, "a session on the standby notices: $change");
	is($after, $primary->safe_psql('source', $score), 'and serves what the primary does');
	is(ask($session, 'EXECUTE answer;'), $after, 'also a prepared statement');
	$before = $after;
}
is(close_sessions($session), '', 'without an error');

# what is written without firing the usual triggers
$primary->safe_psql('source', q{
CREATE TABLE zero_items (LIKE model_items);
INSERT INTO zero_items SELECT item_id, array_fill(0::real, ARRAY[20]) FROM model_items;
});
$session = open_session($primary, '\c source');
$before = ask($session, $score);
foreach my $change (
	'UPDATE model_items SET factors = array_fill(0.5::real, ARRAY[20]) WHERE item_id = 5',
	'INSERT INTO model_users SELECT 3, factors FROM model_users WHERE user_id = 4',
	'DELETE FROM model_users WHERE user_id = 3',
	"UPDATE model SET item_factors = 'zero_items' WHERE serving")
{
	$primary->safe_psql('source', "SET session_replication_role = replica; $change");
	my $after = ask($session, $score);
	isnt($after, $before, "session_replication_role = replica is noticed: $change");
	is($after, $primary->safe_psql('source', $score), 'and what is served is current');
	$before = $after;
}
is(close_sessions($session), '', 'without an error');
$primary->safe_psql('source', q{
UPDATE model SET item_factors = 'model_items' WHERE serving;
SELECT run FROM als_train('model', 'ratings', factors => 20);
});

# a subscriber's apply worker is such a session, and fires no statement triggers
command_ok([ 'pg_dump', @connection, '--schema-only', '-f', "$dump.schema", '-t', 'model', '-t', 'model_users', '-t', 'model_items', 'source' ], 'pg_dump of a schema');
$primary->safe_psql('subscriber', 'CREATE EXTENSION als');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', @connection, '-d', 'subscriber', '-f', "$dump.schema" ], 'restored');
$primary->safe_psql('source', q{
CREATE PUBLICATION models FOR TABLE model, model_users, model_items;
SELECT pg_create_logical_replication_slot('models', 'pgoutput');
});
$primary->safe_psql('subscriber', sprintf(q{
CREATE SUBSCRIPTION models CONNECTION 'host=%s port=%s dbname=source' PUBLICATION models WITH (create_slot = false, slot_name = 'models')
}, $primary->host, $primary->port));
$primary->poll_query_until('subscriber', q{SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel}) or die 'timed out';
my $replicated = q{SELECT als_predict('model', 7, 5), als_predict('model', 7, 6), als_predict('model', 8, 6);};
$session = open_session($primary, '\c subscriber');
$before = ask($session, $replicated);
is($before, $primary->safe_psql('source', $replicated), 'a subscriber serves what the publisher does');
foreach my $change (
	'UPDATE model_items SET factors = array_fill(0.25::real, ARRAY[20]) WHERE item_id = 5',
	"INSERT INTO ratings VALUES (7, 5, 100); SELECT als_refresh_user('model', 7)",
	'DELETE FROM model_users WHERE user_id = 8')
{
	$primary->safe_psql('source', $change);
	$primary->wait_for_catchup('models');
	my $after = ask($session, $replicated);
	isnt($after, $before, "a session on the subscriber notices: $change");
	is($after, $primary->safe_psql('source', $replicated), 'and serves what the publisher does');
	$before = $after;
}
is(close_sessions($session), '', 'without an error');
$primary->safe_psql('subscriber', 'DROP SUBSCRIPTION models');

done_testing();
