# What one session has loaded of a model, others find; and never anything that
# the tables do not contain.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_server('main', q{
max_prepared_transactions = 2
autovacuum = off
});
my $version = $node->safe_psql('postgres', q{SELECT current_setting('server_version_num')::int / 10000});
my $has_registry = $version >= 17;
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(200, 400, 20);
CREATE VIEW texts AS SELECT 'user ' || user_id AS user_id, 'item ' || repeat('x', item_id % 7) || item_id AS item_id, rating FROM ratings;
CREATE VIEW numbers AS SELECT user_id::numeric / 7 AS user_id, md5(item_id::text)::uuid AS item_id, rating FROM ratings;
SELECT run FROM als_train('model', 'ratings', factors => 8);
SELECT run FROM als_train('other', 'ratings', factors => 20, feedback => 'explicit');
SELECT run FROM als_train('texts_model', 'texts', factors => 8);
SELECT run FROM als_train('numbers_model', 'numbers', factors => 8);
});

my $query = q{SELECT string_agg(item_id || ':' || score, ' ')
	FROM als_recommend('model', 7, 20, exclude_seen => false)};

# A session of its own: what it answers, and what it says of shared pieces.
sub look
{
	my ($sql, %options) = @_;
	my ($stdout, $stderr) = ('', '');
	my $times = $options{times} // 1;
	my $run = join('', map { "$sql;\n" } 1 .. $times);
	my $result = $node->psql('postgres', "SET client_min_messages = debug1;\n" . ($options{before} // '') . $run . ($options{after} // ''),
		stdout => \$stdout, stderr => \$stderr, on_error_stop => 0);
	my @pieces = $stderr =~ /DEBUG:  (\w[^\n]* the shared (?:factors|index) of "\w+")/g;
	unlike($stderr, qr/ERROR|WARNING/, 'no error') unless $options{errors};
	return ((split /\n/, $stdout)[-1] // '', join('; ', @pieces));
}

# The same without anything kept
sub truth
{
	my ($sql) = @_;
	my ($answer, $pieces) = look($sql, before => "SET als.cache_size = '64kB';\n");
	is($pieces, '', 'nothing is shared if nothing is kept');
	return $answer;
}

sub found { return join('; ', map { "found the shared $_" } @_) }
sub published { return join('; ', map { "published the shared $_" } @_) }

# Is what it finds the truth, and is it found as expected?
sub is_shared
{
	my ($sql, $expected, $name, %options) = @_;
	my ($answer, $pieces) = look($sql, %options);
	is($pieces, $expected, "$name: shared");
	is($answer, truth($sql), "$name: the answer");
	return;
}

if (!$has_registry)
{
	is_shared($query, '', 'not preloaded');
	$node->append_conf('postgresql.conf', q{shared_preload_libraries = 'als'});
	$node->restart;
}

# Found by the next session, and the index too
is_shared($query, published('factors of "model_items"'), 'first session');
is_shared($query, found('factors of "model_items"'), 'second session');
is_shared($query, found('factors of "model_items"') . '; ' . published('index of "model_items"'),
	'a session that asks twice', times => 2);
is_shared($query, found('factors of "model_items"', 'index of "model_items"'), 'after that');
# Every kind of id, users too, and biases
foreach my $case (
	[ 'texts_model', q{'user 12'}, 'text', 'text' ],
	[ 'numbers_model', q{12::numeric / 7}, 'numeric', 'uuid' ],
	[ 'other', '12', 'int', 'int' ])
{
	my ($model, $user, $user_type, $item_type) = @$case;
	foreach my $kind ('items', 'users')
	{
		my $some = $kind eq 'items' ?
			qq{SELECT string_agg(item_id || ':' || score, ' ') FROM als_recommend_as(NULL::$item_type, '$model', $user, 20, exclude_seen => false)} :
			qq{SELECT string_agg(user_id || ':' || score, ' ') FROM als_similar_users_as(NULL::$user_type, '$model', $user, 20)};
		is_shared($some, published(qq{factors of "${model}_$kind"}), "$model: $kind");
		is_shared($some, found(qq{factors of "${model}_$kind"}), "$model: $kind again");
	}
}
# an id that is not there
is_shared(q{SELECT count(als_predict('texts_model', 'user 12', item || suffix)) FROM
	(SELECT item_id AS item FROM texts_model_items) items, unnest(array['', '?']) suffix},
	'', 'predictions before all is needed');
is_shared(q{SELECT count(als_predict('texts_model', user_id, item_id)) || ',' || count(als_predict('texts_model', user_id, item_id || '?'))
	FROM texts_model_users, texts_model_items},
	found('factors of "texts_model_items"'), 'predictions');

# Others find the old contents until a change is committed, and no one finds,
# or publishes, any contents that are not committed.
my $change = q{UPDATE model_items SET factors = (SELECT array_agg(-f ORDER BY n) FROM unnest(factors) WITH ORDINALITY AS f(f, n)) WHERE item_id % 2 = 0};
my $before = truth($query);
sub is_same { my ($name) = @_; is((look($query))[0], $before, "$name: as before"); return }

# A session that stays connected
my $other = open_session($node);
foreach my $end ('ROLLBACK', 'COMMIT')
{
	look($query, times => 2);
	is(ask($other, "$query;"), $before, "$end: the other session");
	ask($other, "BEGIN; $change;");
	is((look($query))[1], '', "$end: what is being changed is not shared");
	is_same("$end: not committed yet");
	my $own = ask($other, "$query;");
	isnt($own, $before, "$end: but the changing session sees it");
	is((look($query))[1], '', "$end: and does not share it");
	is_same("$end: still not committed");
	is((look(q{SELECT count(*) FROM als_similar_users('model', 7, 20)}))[1],
		$end eq 'ROLLBACK' ? published('factors of "model_users"') : found('factors of "model_users"'),
		"$end: the other table is");
	ask($other, "$end;");
	$before = $own if $end eq 'COMMIT';
	is_shared($query, published('factors of "model_items"'), "$end: anew");
	is_same("$end: ended");
	is(ask($other, "$query;"), $before, "$end: the changing session too");
}

# A savepoint gives back what it has taken
ask($other, "BEGIN; SAVEPOINT s; $change;");
ask($other, 'ROLLBACK TO s;');
is_shared($query, published('factors of "model_items"'), 'rolled back to a savepoint');
is(ask($other, "$query;"), $before, 'the session that has rolled back');
ask($other, 'COMMIT;');
is_shared($query, found('factors of "model_items"'), 'after that');

# Prepared, and committed by another session
ask($other, "BEGIN; $change; PREPARE TRANSACTION 'change';");
is(close_sessions(), '', 'prepared: without an error');
is((look($query))[1], '', 'prepared: not shared');
is_same('prepared');
$node->restart;
is((look($query))[1], '', 'prepared, after a restart: not shared');
is_same('prepared, after a restart');
$node->safe_psql('postgres', q{COMMIT PREPARED 'change'});
is_shared($query, published('factors of "model_items"'), 'prepared: committed');
isnt(truth($query), $before, 'prepared: changed');
$other = open_session($node);

# Other ways to change a table
my @ways = (
	[ 'delete', 'DELETE FROM model_items WHERE item_id % 3 = 0' ],
	[ 'insert', q{INSERT INTO model_items SELECT item_id + 1000, factors FROM model_items WHERE item_id % 3 = 1} ],
	[ 'copy', q{COPY model_items FROM PROGRAM 'echo "5001	{1,1,1,1,1,1,1,1}"'} ],
	[ 'replica', 'SET session_replication_role = replica; DELETE FROM model_items WHERE item_id % 5 = 0' ],
	[ 'refresh', q{UPDATE ratings SET rating = 5 WHERE user_id % 3 = 0; SELECT als_refresh_item('model', 1)} ],
	[ 'retraining', q{SELECT run FROM als_train('model', 'ratings', factors => 9)} ],
	[ 'unnoticed', q{ALTER TABLE model_items DISABLE TRIGGER ALL; DELETE FROM model_items WHERE item_id % 7 = 0;
		ALTER TABLE model_items ENABLE ALWAYS TRIGGER als_changed, ENABLE REPLICA TRIGGER als_changed_replica} ],
	[ 'other column', q{ALTER TABLE model_items DROP factors, ADD factors real[] DEFAULT '{1,2,3,4,5,6,7,8,9}'} ],
	[ 'retraining again', q{SELECT run FROM als_train('model', 'ratings', factors => 9)} ],
	[ 'vacuum full', 'VACUUM FULL model_items' ],
	[ 'cluster', 'CLUSTER model_items USING model_items_pkey' ],
	[ 'type', 'ALTER TABLE model_items ALTER item_id TYPE bigint' ],
	[ 'truncate', q{TRUNCATE model_items; INSERT INTO model_items SELECT i, array_fill((i % 7)::real, array[9]) FROM generate_series(1, 50) i} ],
	[ 'drop', q{DROP TABLE model; SELECT run FROM als_train('model', 'ratings', factors => 8)} ]);
foreach my $way (@ways)
{
	my ($name, $sql) = @$way;
	look($query, times => 2);
	$node->safe_psql('postgres', $sql);
	is_shared($query, published('factors of "model_items"'), $name);
	is_shared($query, found('factors of "model_items"'), "$name, again");
	is(ask($other, "$query;"), truth($query), "$name: a session that has been there before");
}

# Where changes would go unnoticed nothing is shared: pg_restore leaves triggers
# like that.
look($query);
$node->safe_psql('postgres', q{ALTER TABLE model_items DISABLE TRIGGER ALL; DELETE FROM model_items WHERE item_id % 7 = 0;
	ALTER TABLE model_items ENABLE TRIGGER ALL});
is_shared($query, '', 'ordinary triggers');
$node->safe_psql('postgres', 'DROP TRIGGER als_changed ON model_items');
is_shared($query, '', 'without triggers');
$node->safe_psql('postgres', q{DROP TABLE model; SELECT run FROM als_train('model', 'ratings', factors => 8)});

# Within als.shared_cache_size, whatever als.cache_size is: what has been used
# longest ago makes room, unless it is in use.  The two take 330 and 590 kB.
$node->safe_psql('postgres', q{
CREATE TABLE broad AS SELECT i % 50 AS user_id, i AS item_id, 1 AS rating FROM generate_series(1, 4000) i;
SELECT run FROM als_train('one', 'broad', factors => 16, iterations => 1);
SELECT run FROM als_train('two', 'broad', factors => 32, iterations => 1);
});
sub recommend { return qq{SELECT count(*) FROM als_recommend('$_[0]', $_[1], 20, exclude_seen => false)} }

# Waits until sessions have let go of theirs, all but the other one, and asks in a
# new one.
sub look_alone
{
	wait_until_alone($node, 1);
	return (look(@_))[1];
}

sub set_shared_size
{
	my ($size) = @_;
	$node->append_conf('postgresql.conf', "als.shared_cache_size = '$size'");
	$node->reload;
	wait_until($node, "SELECT current_setting('als.shared_cache_size') = '$size'");
	return;
}
set_shared_size('850kB');
is(look_alone(recommend('one', 7)), published('factors of "one_items"'), 'the first fits');
is(look_alone(recommend('two', 7)), published('factors of "two_items"'), 'the second instead of it');
is(look_alone(recommend('two', 7)), found('factors of "two_items"'), 'which is there');
ask($other, recommend('two', 7) . ';');
is(look_alone(recommend('one', 7)), '', 'what is in use makes no room');
ask($other, "SET als.cache_size = '600kB'; " . recommend('one', 7) . '; RESET als.cache_size;');
is(look_alone(recommend('one', 7)), found('factors of "one_items"'), 'until its session needs room for others');
set_shared_size('256MB');
is(look_alone(recommend('two', 7)), published('factors of "two_items"'), 'with more room, both are');
is(look_alone(recommend('one', 7)), found('factors of "one_items"'), 'that is, both');
is((look(recommend('two', 7), before => "SET als.cache_size = '300kB';\n"))[1], '', 'nobody gets what does not fit');

is($node->safe_psql('postgres', recommend('one', 7)
	. q{; SELECT sum(total_bytes) < 100000 FROM pg_backend_memory_contexts WHERE name = 'als factors'}),
	"20\nt", 'a session has next to nothing of its own');

# Temporary models are nobody else's.
is((look(q{SELECT count(*) FROM als_recommend('mine', 7, 20, exclude_seen => false)},
	before => q{SELECT run FROM als_train('pg_temp.mine', 'ratings', factors => 8);
}, errors => 1))[1], '', 'temporary');

# Sessions that begin at the same time wait for the one that was first, and a
# load that is cancelled leaves nothing behind that they wait for for ever.
$node->safe_psql('postgres', q{
CREATE TABLE many AS SELECT i % 50 AS user_id, i AS item_id, 1 AS rating FROM generate_series(1, 60000) i;
SELECT run FROM als_train('many_model', 'many', factors => 16, iterations => 1);});
foreach my $timeout (map { $_ * 3 } 1 .. 20)
{
	$node->psql('postgres', "SET als.cache_size = '1GB'; SET statement_timeout = $timeout;"
		. 'TABLE many_model_items LIMIT 1;' . recommend('many_model', 7), on_error_stop => 0, stderr => \my $ignored);
	$node->safe_psql('postgres', 'UPDATE many_model_items SET item_id = item_id WHERE item_id = 1') if $timeout % 2;
}
is_shared(recommend('many_model', 7), found('factors of "many_model_items"'), 'cancelled ones are over')
	if (look(recommend('many_model', 7)))[0] == 20;

# Every row of the items has the same factors, which say how often they have
# been changed: no answer may be older than a change whose COMMIT has returned
# before it.  Those are what the writers write down in acknowledged; that a change
# can be seen is not enough, since PostgreSQL sends its invalidations just after.
$node->safe_psql('postgres', q{
CREATE TABLE changes AS SELECT 0 AS n;
CREATE TABLE acknowledged AS SELECT 0 AS n;
SELECT run FROM als_train('counted', 'ratings', factors => 1, iterations => 1);
UPDATE counted_users SET factors = '{1}';
UPDATE counted_items SET factors = '{0}';
});
my $scripts = $node->basedir;
append_to_file("$scripts/write", q{
\set end random(1, 4)
BEGIN;
SELECT n + 1 AS n FROM changes FOR UPDATE \gset
SAVEPOINT s;
UPDATE counted_items SET factors = array[-1];
ROLLBACK TO s;
UPDATE counted_items SET factors = array[factors[1] + 1];
UPDATE changes SET n = n + 1;
\if :end = 1
ROLLBACK;
\else
COMMIT;
UPDATE acknowledged SET n = :n WHERE n < :n;
\endif
\sleep 5 ms
});
append_to_file("$scripts/read", q{
SELECT n AS before FROM acknowledged \gset
SELECT min(score) AS least, max(score) AS most FROM als_recommend('counted', 7, 400, exclude_seen => false) \gset
SELECT n AS after FROM changes \gset
SELECT 1 / CASE WHEN :least = :most AND :least BETWEEN :before AND :after THEN 1 ELSE 0 END;
});
my $writer = IPC::Run::start([ 'pgbench', '-n', '-c', 2, '-T', 3600, '-f', "$scripts/write", '-h', $node->host, '-p', $node->port, 'postgres' ],
	'>', \my $written, '2>', \my $write_errors);
foreach my $connect ([ '-C' ], [])
{
	my $result = IPC::Run::run([ 'pgbench', '-n', @$connect, '-c', 4, '-t', 150, '-f', "$scripts/read", '-h', $node->host, '-p', $node->port, 'postgres' ],
		'>', \my $out, '2>', \my $errors);
	ok($result, 'no answer is older than a change or newer: ' . ($connect->[0] // 'kept connections')) or diag($errors);
	like($out, qr{processed: 600/600}, 'all have answered');
}
$writer->signal('TERM');
$writer->finish;
cmp_ok($node->safe_psql('postgres', 'SELECT n FROM changes'), '>', 50, 'there were changes') or diag($write_errors);
$node->safe_psql('postgres', 'BEGIN; UPDATE counted_items SET factors = array[factors[1] + 1]; UPDATE changes SET n = n + 1; COMMIT');
is_shared(q{SELECT count(DISTINCT score) || ',' || (max(score) = (SELECT n FROM changes)) FROM als_recommend('counted', 7, 400, exclude_seen => false)},
	published('factors of "counted_items"'), 'at the end');

# No segment is lost: those of this server are what its sessions can find.
is(close_sessions(), '', 'the other session has had no error');
unlike(slurp_file($node->logfile), qr/leak|PANIC|terminated by signal/, 'nothing leaked');
$node->stop;

# With too little shared memory a session keeps what it needs to itself.
SKIP:
{
	$node->append_conf('postgresql.conf', 'dynamic_shared_memory_type = mmap');
	$node->start;
	$node->safe_psql('postgres', q{
	CREATE TABLE wide AS SELECT i % 50 AS user_id, i % 9000 AS item_id, 1 AS rating FROM generate_series(1, 20000) i;
	SELECT run FROM als_train('wide_model', 'wide', factors => 600, iterations => 1, workers => 0)});
	skip 'may not limit the server', 1 if !limit_file_size($node, 20 * 1024 * 1024);
	my %room = (before => "SET als.cache_size = '1GB';\n");
	is((look(recommend('wide_model', 7), %room, times => 2))[0], 20, 'too little shared memory');
	is((look(recommend('wide_model', 7), %room, times => 2))[1], '', 'nothing is shared');
	is((look($query))[1], published('factors of "model_items"'), 'what fits is');
	$node->stop;
	is(segments($node), 0, 'no segment is left');
	unlike(slurp_file($node->logfile), qr/leak|PANIC|terminated by signal/, 'nothing leaked');
}

done_testing();
