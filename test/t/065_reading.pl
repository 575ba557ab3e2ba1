# Ratings that are read by several processes: the same bits as by one, whatever
# the source and its ids are, the same errors, and nothing is left behind.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_server('main', $parallel_workers, $countable_segments, $telling_log, q{
max_parallel_workers_per_gather = 3
min_parallel_table_scan_size = 0
parallel_setup_cost = 0
parallel_tuple_cost = 0
jit = off
});

# Every kind of id and of relation; text that is toasted, as it is with half of a
# page's worth of characters; numerics that are equal but not identical.
$node->safe_psql('postgres', q{
CREATE ROLE reader;
CREATE COLLATION ignore_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE ratings AS SELECT user_id, item_id, rating FROM some_ratings(1500, 300);
INSERT INTO ratings SELECT user_id, item_id, rating / 3 FROM ratings WHERE item_id % 50 = 0;
CREATE TABLE texts AS SELECT 'user ' || user_id AS user_id, 'item ' || item_id AS item_id, rating FROM ratings;
CREATE TABLE cases AS SELECT (CASE WHEN (user_id + item_id) % 3 = 0 THEN 'user ' ELSE 'USER ' END || user_id) COLLATE ignore_case AS user_id, item_id, rating FROM ratings;
CREATE TABLE uuids AS SELECT md5(user_id::text)::uuid AS user_id, item_id::bigint AS item_id, rating FROM ratings;
CREATE TABLE numerics AS SELECT CASE (user_id + item_id) % 3 WHEN 0 THEN user_id::numeric WHEN 1 THEN user_id + 0.0 ELSE user_id + 0.00 END AS user_id, item_id::smallint AS item_id, rating::numeric AS rating FROM ratings;
CREATE TABLE toasted (user_id text, item_id int, rating float8);
ALTER TABLE toasted ALTER user_id SET STORAGE EXTERNAL;
INSERT INTO toasted SELECT user_id || repeat('x', 3000), item_id, rating FROM ratings WHERE user_id < 40;
CREATE TABLE partitioned (note text, user_id int, item_id int, rating real) PARTITION BY HASH (user_id);
CREATE TABLE part_0 PARTITION OF partitioned FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE part_1 (rating real, gone int, item_id int, user_id int, note text);
ALTER TABLE part_1 DROP gone;
ALTER TABLE partitioned ATTACH PARTITION part_1 FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE part_2 PARTITION OF partitioned FOR VALUES WITH (MODULUS 3, REMAINDER 2);
INSERT INTO partitioned SELECT 'note', user_id, item_id, rating FROM ratings;
CREATE TABLE parent (user_id int, item_id int, rating int);
CREATE TABLE child (more text) INHERITS (parent);
INSERT INTO parent SELECT user_id, item_id, rating FROM ratings WHERE user_id % 2 = 0;
INSERT INTO child SELECT user_id, item_id, rating FROM ratings WHERE user_id % 2 = 1;
CREATE TABLE generated (u int, i int, user_id int GENERATED ALWAYS AS (u * 2) STORED, item_id int GENERATED ALWAYS AS (i + 1) STORED, rating bigint);
INSERT INTO generated (u, i, rating) SELECT user_id, item_id, rating FROM ratings;
CREATE TABLE secured AS SELECT user_id, item_id, rating, user_id % 3 = 0 AS visible FROM ratings;
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON secured TO reader USING (visible);
GRANT SELECT ON secured TO reader;
CREATE TABLE columns AS SELECT user_id, item_id, rating, 'secret' AS secret FROM ratings;
GRANT SELECT (user_id, item_id, rating) ON columns TO reader;
CREATE VIEW viewed AS SELECT r.user_id, r.item_id, avg(rating) AS rating FROM ratings r JOIN (SELECT DISTINCT user_id FROM partitioned WHERE user_id % 5 > 0) p USING (user_id) GROUP BY 1, 2;
CREATE MATERIALIZED VIEW materialized AS SELECT * FROM ratings;
GRANT CREATE ON SCHEMA public TO reader;
ANALYZE;
});

# How the planner is told to read alone, and together, with the leader or without
my $alone = 'SET max_parallel_workers_per_gather = 0;';
my @together = ('', 'SET parallel_leader_participation = off;');

# What comes out of a training, and whether workers have read for it.
sub train
{
	my ($settings, $source, $parameters) = @_;
	my ($stdout, $stderr);
	my $offset = -s $node->logfile;

	$node->psql('postgres', qq{
		SET client_min_messages = warning;
		$settings
		DROP TABLE IF EXISTS model;
		SELECT users, items, ratings FROM als_train('model', \$source\$$source\$source\$, factors => 4, iterations => 2, workers => 1, $parameters);
		RESET SESSION AUTHORIZATION;
		$alone
		SELECT fingerprint('model');
		SELECT md5(string_agg(user_id::text, ',' ORDER BY user_id::text COLLATE "C")) FROM model_users;
		DROP TABLE model;},
		stdout => \$stdout, stderr => \$stderr, on_error_die => 1);
	my $log = slurp_file($node->logfile, $offset);
	my $workers = () = $log =~ /starting background worker process "parallel worker/g;
	return ($stdout, $workers);
}

# More workers are there than train, index and so on: those read.
foreach my $case (
	['ratings', ''], ['ratings', 'rating_column => NULL'], ['ratings', "feedback => 'explicit', regularization => 0.1"],
	['ratings', "validation_fraction => 0.2, feedback => 'explicit', regularization => 0.1"],
	['SELECT * FROM ratings WHERE user_id % 7 < 5', ''],
	['SELECT r.user_id, p.item_id, 1 AS rating FROM ratings r JOIN partitioned p USING (user_id, item_id)', ''],
	(map { [$_, ''] } 'texts', 'cases', 'uuids', 'numerics', 'toasted', 'partitioned', 'parent', 'generated', 'viewed', 'materialized'),
	['partitioned', '', 'SET enable_partitionwise_aggregate = on;'],
	['ratings', '', "SET maintenance_work_mem = '1MB';"],
	['texts', 'validation_fraction => 0.3', "SET maintenance_work_mem = '1MB';"],
	['SELECT i % 90 AS user_id, i % 71 AS item_id, 1 AS rating FROM generate_series(1, 3000) i', '', "SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');"],
	['secured', '', 'SET SESSION AUTHORIZATION reader;'],
	['columns', '', 'SET SESSION AUTHORIZATION reader;'])
{
	my ($source, $parameters, $settings) = @$case;
	$settings //= '';
	my $name = "$source $parameters $settings";
	my ($expected, $workers) = train("$alone $settings", $source, "seed => 1, $parameters" =~ s/, $//r);
	foreach my $how (@together)
	{
		my ($result, $count) = train("$how $settings", $source, "seed => 1, $parameters" =~ s/, $//r);
		cmp_ok($count, '>', $workers, "$name: read together, $how");
		is($result, $expected, "$name: the same, $how");
	}
}

# Workers see what the transaction has done, and its snapshot alone.
my $writer = open_session($node, 'BEGIN', 'UPDATE ratings SET rating = 5', 'DELETE FROM ratings WHERE user_id = 7');
is($node->safe_psql('postgres', q{
	BEGIN;
	INSERT INTO partitioned SELECT 'own', 100000 + i, i % 10, 1 FROM generate_series(1, 1000) i;
	DELETE FROM partitioned WHERE user_id = 9;
	SELECT users, ratings = (SELECT count(*) FROM (SELECT DISTINCT user_id, item_id FROM partitioned) p) FROM als_train('own', 'partitioned', factors => 2, iterations => 1);
	SELECT users FROM als_train('others', 'ratings', factors => 2, iterations => 1);
	ROLLBACK;}), "2499|t\n1500", 'a transaction reads its own rows, and no others that are not committed');
ask($writer, 'ROLLBACK');

# Whatever else reads ratings
$node->safe_psql('postgres', q{SELECT run FROM als_train('served', 'SELECT * FROM ratings WHERE (user_id + item_id) % 4 > 0', factors => 4, iterations => 3)});
foreach my $query (
	q{SELECT e FROM als_evaluate('served', 'SELECT * FROM ratings WHERE (user_id + item_id) % 4 = 0') e},
	q{SELECT md5(string_agg(r::text, ',' ORDER BY user_id, rank)) FROM als_recommend_all('served', 3) r},
	q{SELECT md5(string_agg(metric::text, ',' ORDER BY trial)) FROM als_tune('tuned', 'ratings', '{"factors": [2, 3], "iterations": [2]}', validation_fraction => 0.2)})
{
	my ($expected) = run_and_count($node, "BEGIN; $alone $query; ROLLBACK");
	my ($result, $workers) = run_and_count($node, "BEGIN; $query; ROLLBACK");
	is($result, $expected, "the same: $query");
	cmp_ok($workers, '>', 0, 'by workers');
}
is($node->safe_psql('postgres', q{BEGIN READ ONLY; SELECT count(*) > 0 FROM als_evaluate('served', 'ratings'); COMMIT}), 't', 'read-only');

# Errors are the same.  Each comes from a worker, since the leader does not read.
$node->safe_psql('postgres', q{
CREATE TABLE null_user AS SELECT * FROM ratings; UPDATE null_user SET user_id = NULL WHERE user_id = 3 AND item_id = (SELECT min(item_id) FROM ratings WHERE user_id = 3);
CREATE TABLE null_rating AS SELECT * FROM ratings; UPDATE null_rating SET rating = NULL WHERE user_id = 3 AND item_id = (SELECT min(item_id) FROM ratings WHERE user_id = 3);
CREATE TABLE not_a_number AS SELECT * FROM ratings; UPDATE not_a_number SET rating = 'NaN' WHERE user_id = 3 AND item_id = (SELECT min(item_id) FROM ratings WHERE user_id = 3);
CREATE VIEW divided AS SELECT user_id, item_id, 1 / (user_id - 3) AS rating FROM ratings;
});
foreach my $source ('null_user', 'null_rating', 'not_a_number', 'divided')
{
	my @errors;
	foreach my $how ($alone, $together[1])
	{
		my $stderr;
		$node->psql('postgres', "\\set VERBOSITY verbose\n$how SELECT als_train('failed', '$source')", stderr => \$stderr);
		cmp_ok($stderr =~ /CONTEXT:.*parallel worker/s ? 1 : 0, '==', $how eq $alone ? 0 : 1, "$source: by whom");
		push @errors, join '|', $stderr =~ /(?:ERROR|DETAIL|HINT):  (.*)/g;
	}
	like($errors[0], qr/^\w{5}: /, "$source: an error");
	is($errors[1], $errors[0], "$source: the same");
}

# The aggregate is nobody else's.
foreach my $call ('als_collect(NULL, user_id, item_id, rating)', 'als_collect(5, user_id, item_id, rating)', 'als_collect((1::bigint << 40) + 12345, user_id, item_id, rating)', 'als_collect_weighted(5, user_id, item_id, rating, 1)')
{
	my $stderr;
	foreach my $how ($alone, $together[1])
	{
		$node->psql('postgres', "$how SELECT $call FROM ratings", stderr => \$stderr);
		like($stderr, qr/ERROR:  als_collect cannot be called by a query of one's own/, "$call is refused, $how");
	}
}
# nor missed, where it may not be called
$node->safe_psql('postgres', q{REVOKE EXECUTE ON FUNCTION als_collect(bigint, "any", "any", "any") FROM PUBLIC});
is((train('SET SESSION AUTHORIZATION reader;', 'columns', 'seed => 1'))[0], (train("$alone SET SESSION AUTHORIZATION reader;", 'columns', 'seed => 1'))[0], 'without the aggregate');
$node->safe_psql('postgres', q{GRANT EXECUTE ON FUNCTION als_collect(bigint, "any", "any", "any") TO PUBLIC});

# Plans can be shown.
unlike((run_and_count($node, q{
	LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_verbose = on; SET auto_explain.log_nested_statements = on;
	SELECT run FROM als_train('explained', 'ratings', factors => 2, iterations => 1)}))[0], qr/internal/, 'auto_explain shows them');

# Broken off while workers read, with and without files, nothing is left.
$node->safe_psql('postgres', q{
CREATE FUNCTION slow(i int) RETURNS int LANGUAGE plpgsql PARALLEL SAFE AS $$
BEGIN
	IF i = 150 THEN PERFORM pg_sleep(0.01); END IF;
	RETURN i;
END $$;
CREATE TABLE many AS SELECT i % 1000 AS user_id, i % 1009 AS item_id, 1 AS rating FROM generate_series(1, 300000) i;
ANALYZE many;
});
my $segments = segments($node);
my $reads = q{SELECT count(*) > 1 FROM pg_stat_activity w JOIN pg_stat_activity l ON l.pid = w.leader_pid
	WHERE w.backend_type = 'parallel worker' AND l.application_name = 'victim' AND w.wait_event = 'PgSleep'};
foreach my $memory ('1GB', '1MB')
{
	foreach my $end (q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim' AND backend_type = 'client backend'},
		q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'parallel worker' LIMIT 1},
		q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim' AND backend_type = 'client backend'})
	{
		my $victim = background($node, 'victim', "SET maintenance_work_mem = '$memory'; SELECT als_train('new', 'SELECT slow(m.user_id) AS user_id, slow(m.item_id + g) AS item_id, rating FROM many m, generate_series(1, 1000) g')");
		wait_until($node, $reads);
		is($node->safe_psql('postgres', $end), 't', 'one process was told to end');
		$victim->{run}->finish;
		like($victim->{err}, qr/canceling statement|terminating (connection|background worker)|lost connection to parallel worker/, "$memory: it ends");
		wait_until_alone($node, 1);
		is(temporary_files($node), 0, "$memory: no temporary files are left");
		is(segments($node), $segments, "$memory: no shared memory is left");
	}
}
unlike(slurp_file($node->logfile), qr/leak|PANIC|XX000|terminated by signal/, 'nothing leaked');
done_testing();
