# Disks, shared memory, workers and locks that do not suffice.  A statement either gives
# the answer that it gives where there is room, or ends with an error that says what is
# missing; then its model is as before, the same session goes on, and nothing is left.
#
#   ALS_ROOM_STEP   how many times more room there is with each try of a statement, until
#                   it goes through: 4 unless it says otherwise
#   ALS_MODELS      how many models there are for few locks: 300

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $step = $ENV{ALS_ROOM_STEP} // 4;
my $models = $ENV{ALS_MODELS} // 300;

my $made = q{
CREATE TABLE ratings AS SELECT i % 9973 AS user_id, i * 7919::bigint % 997 AS item_id, 1 + i % 5 AS rating FROM generate_series(1, 200000) i;
CREATE TABLE few AS SELECT * FROM some_ratings(60, 40, 20);
CREATE TABLE tastes AS SELECT DISTINCT item_id, 'kind ' || item_id % 7 AS feature FROM ratings;
};
my $little = q{SET maintenance_work_mem = '1MB'; SET work_mem = '64kB';};

# What is tried: a name, a statement, and whether it leaves a model m
my $options = 'factors => 8, iterations => 1, seed => 1';
my @statements = (
	[ 'training', "SELECT users, loss FROM als_train('m', 'ratings', $options, workers => WORKERS)", 1 ],
	[ 'training with features', "SELECT users, loss FROM als_train('m', 'ratings', $options, item_features => 'tastes', workers => WORKERS)", 1 ],
	[ 'importing', q{SELECT users, items FROM als_import('m', 'old_users', 'old_items')}, 1 ],
	[ 'tuning', q{SELECT count(*), count(error), sum(metric) FROM als_tune('m', 'ratings', '{"factors": [4, 8], "iterations": 1}', validation_fraction => 0.2, workers => WORKERS)}, 1 ],
	[ 'measuring', q{SELECT als_evaluate('old', 'ratings', workers => WORKERS)} ],
	[ 'recommending to all', q{SELECT count(*), sum(score) FROM als_recommend_all('old', 20, workers => WORKERS)} ],
	[ 'audiences of all', q{SELECT count(*), sum(score) FROM als_audience_all('old', 20, workers => WORKERS)} ],
	[ 'similar items of all', q{SELECT count(*), sum(score) FROM als_similar_items_all('old', 20, workers => WORKERS)} ],
	[ 'refreshing', q{SELECT als_refresh('old', users => (SELECT array_agg(n) FROM generate_series(1, 300) n), workers => WORKERS)}, 1 ],
	[ 'recommending', q{SELECT string_agg(item_id || ' ' || score, ',') FROM als_recommend('old', 7, 20)} ],
	[ 'recommending to a visitor', q{SELECT string_agg(item_id || ' ' || score, ',') FROM als_recommend_for('old', ARRAY[1, 2, 3])} ]);

# Everything that answers could depend on, to be compared
my $state = q{SELECT fingerprint('old'), (SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname ~ '^(m|old)($|_)' AND relkind = 'r')};
my %answers;

sub with_workers { my ($statement, $workers) = @_; return $statement =~ s/WORKERS/$workers/r }

# Runs statements in a session of its own, each in a transaction that is rolled back.
# Returns what the last one prints and what it says.
sub attempt
{
	my ($node, $settings, $statement) = @_;
	$node->psql('postgres', "\\set VERBOSITY verbose\n$settings\nBEGIN;\n$statement;\nROLLBACK;\nSELECT 'goes on';",
		on_error_stop => 0, stdout => \my $stdout, stderr => \my $stderr);
	my $goes_on = $stdout =~ s/\n?goes on\z//;
	return ($stdout, $stderr, $goes_on);
}

# A server whose temporary files and tables lie on a small disk of its own, and whose
# /dev/shm is small; undef if that is not allowed.
sub start_confined
{
	my ($name, $disk, $shm, @settings) = @_;
	my @own = ('unshare', '--user', '--map-current-user', '--keep-caps', '--mount');
	my $directory = PostgreSQL::Test::Utils::tempdir;
	my $mount = join ' && ', $disk ? "mount -t tmpfs -o size=$disk als_test '$directory'" : (), $shm ? "mount -t tmpfs -o size=$shm als_test /dev/shm" : ();
	return undef if system("@own sh -c \"$mount\" >/dev/null 2>&1") != 0;

	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	$node->append_conf('postgresql.conf', $_) foreach $parallel_workers, 'dynamic_shared_memory_type = posix', @settings;
	my ($data, $log) = ($node->data_dir, $node->logfile);
	is(system(@own, 'sh', '-c', "$mount && exec pg_ctl -s -w -D '$data' -l '$log' start"), 0, "$name: the server starts");
	$node->_update_pid(1);
	install_als($node);
	$node->safe_psql('postgres', "CREATE TABLESPACE small LOCATION '$directory'") if $disk;
	return ($node, $directory);
}

# Tries a statement with more and more room until it goes through; give is called with
# that room, and left returns what there is of it.  Returns how many errors there were.
sub until_it_fits
{
	my ($node, $name, $settings, $statement, $answer, $code, $at_most, $give, $left) = @_;
	my $errors = 0;
	my $before = $node->safe_psql('postgres', $state);
	for (my $room = 0;; $room = 4 * int(16 + $room * $step / 4))
	{
		my $given = $give->($room);
		my ($said, $error, $goes_on) = attempt($node, $given . $settings, $statement);
		ok($goes_on, "$name, $room kB: the session goes on") or diag($error);
		if ($error =~ /ERROR/)
		{
			like($error, qr/ERROR:  $code: /, "$name, $room kB: says that it needs more");
			# what is written into tables that there are stays until a VACUUM
			is($left->(), $room, "$name, $room kB: all room is there again") if $left && $name !~ /refreshing/;
			$errors++;
		}
		else
		{
			is($said, $answer, "$name, $room kB: the right answer");
		}
		is($node->safe_psql('postgres', $state), $before, "$name, $room kB: its models are as before");
		is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_tablespace t, pg_ls_tmpdir(t.oid) WHERE spcname <> 'pg_global'}), 0, "$name, $room kB: no temporary files are left");
		last if $error !~ /ERROR/;
		last unless cmp_ok($room, '<', $at_most, "$name: needs a bounded room");
	}
	return $errors;
}

# The usual server, whose answers all others have to give
{
	my $node = start_server('usual', $parallel_workers);
	$node->safe_psql('postgres', $made . "SELECT run FROM als_train('old', 'ratings', factors => 8, iterations => 2, workers => 0)");
	foreach (@statements)
	{
		my ($name, $statement) = @$_;
		($answers{$name}, my $said) = attempt($node, $little, with_workers($statement, 2));
		like($answers{$name}, qr/\S/, "$name: answers");
		is($said, '', "$name: and says nothing");
	}

	# whose administrator allows temporary files of so many kB; a worker may have as many
	foreach (@statements)
	{
		my ($name, $statement) = @$_;
		foreach my $workers ($statement =~ /WORKERS/ ? (0, 2) : 0)
		{
			my $errors = until_it_fits($node, "temp_file_limit, $name, $workers workers", $little, with_workers($statement, $workers),
				$answers{$name}, '53400', 100000, sub { "SET temp_file_limit = $_[0];" });
			note("temp_file_limit, $name, $workers workers: $errors errors");
		}
	}
	$node->stop;
}

#
# Too little room on the disk
#

SKIP:
{
	my $size = 64 * 1024;
	my ($node, $directory) = start_confined('disk', "${size}k", undef, 'autovacuum = off');
	skip 'may not mount a file system', 1 unless $node;
	$node->safe_psql('postgres', $made . "SET default_tablespace = 'small'; SELECT run FROM als_train('old', 'ratings', factors => 8, iterations => 2, workers => 0)");

	# A command where the server sees the disk; it prints a number.
	my $shell = sub {
		my ($command) = @_;
		return $node->safe_psql('postgres', qq{CREATE TEMP TABLE f (n int); COPY f FROM PROGRAM 'cd "$directory" && $command'; SELECT n FROM f});
	};
	# Free room in kB, and less of it
	my $free = sub { return $shell->('df -k --output=avail . | tail -n 1') };
	my $leave = sub {
		my ($room) = @_;
		$shell->('rm -f ballast && echo 0');
		$node->safe_psql('postgres', 'CHECKPOINT');
		my $ballast = $free->() - $room;
		$shell->("head -c ${ballast}k /dev/zero >ballast && echo 0");
		is($free->(), $room, "$room kB are left");
		return '';
	};
	my $left = sub { $node->safe_psql('postgres', 'CHECKPOINT'); return $free->() };

	foreach (@statements)
	{
		my ($name, $statement, $writes) = @$_;
		foreach my $workers ($statement =~ /WORKERS/ ? (0, 2) : 0)
		{
			my $run = with_workers($statement, $workers);
			my $errors = until_it_fits($node, "temporary files, $name, $workers workers", "SET temp_tablespaces = 'small'; $little", $run, $answers{$name}, '53100', $size / 2, $leave, $left);
			note("temporary files, $name, $workers workers: $errors errors");
			if ($writes)
			{
				$errors = until_it_fits($node, "tables, $name, $workers workers", "SET default_tablespace = 'small'; $little", $run, $answers{$name}, '53100', $size / 2, $leave, $left);
				note("tables, $name, $workers workers: $errors errors");
			}
			$leave->(1024);
		}
	}
	is($node->safe_psql('postgres', 'SELECT count(als_predict(model, user_id, item_id)) FROM ratings, als_models'), 200000, 'the model serves');
	$node->stop;
}

#
# Too little shared memory, no workers
#

# A server gives the answers, or for want of shared memory says what to do; without
# workers it gives them all.
sub answers_or_says
{
	my ($node, $name, $wanted) = @_;
	$node->safe_psql('postgres', $made . "SELECT run FROM als_train('old', 'ratings', factors => 8, iterations => 2, workers => 0)");
	my $errors = 0;
	my $before = $node->safe_psql('postgres', $state);
	foreach (@statements)
	{
		my ($what, $statement) = @$_;
		foreach my $workers ($statement =~ /WORKERS/ ? (2, 0) : 0)
		{
			my ($said, $error, $goes_on) = attempt($node, $little, with_workers($statement, $workers));
			ok($goes_on, "$name, $what, $workers workers: the session goes on") or diag($error);
			if ($wanted && $workers && $error =~ /ERROR/)
			{
				like($error, qr/ERROR:  53[12]00: could not (?:resize|allocate) .*shared memory/, "$name, $what: says that it needs more");
				like($error, qr{HINT:  .*/dev/shm.*workers => 0}, "$name, $what: and what to do");
				$errors++;
			}
			else
			{
				is($said, $answers{$what}, "$name, $what, $workers workers: the right answer") or diag($error);
			}
			is($node->safe_psql('postgres', $state), $before, "$name, $what, $workers workers: its models are as before");
		}
	}
	note("$name: $errors errors");
	return $errors;
}

SKIP:
{
	# two of which PostgreSQL takes for statistics
	my ($node) = start_confined('segments', undef, '3m', q{
shared_preload_libraries = 'als'
max_parallel_workers_per_gather = 0
track_counts = off
});
	skip 'may not mount a file system', 1 unless $node;
	cmp_ok(answers_or_says($node, '1 MB of /dev/shm', 1), '>', 0, 'which does not suffice for all');
	$node->stop;
}

{
	my $node = start_server('none', 'max_worker_processes = 0', 'max_parallel_workers = 0');
	answers_or_says($node, 'no workers', 0);
	$node->stop;
}

#
# Few locks, many models
#

{
	my $node = start_server('locks', q{
max_locks_per_transaction = 10
max_connections = 10
max_worker_processes = 0
max_wal_senders = 0
autovacuum = off
shared_preload_libraries = 'als'
});
	$node->safe_psql('postgres', qq{
CREATE TABLE ratings AS SELECT * FROM some_ratings(12, 20, 40);
CREATE SCHEMA many;
SET client_min_messages = error;
DO \$\$ BEGIN FOR n IN 1 .. $models LOOP PERFORM als_train('many.m' || n, 'ratings', factors => 2, iterations => 1, seed => n, workers => 0); COMMIT; END LOOP; END \$\$;
CREATE TABLE served AS SELECT 0 AS n, 0::bigint AS item_id, 0::real AS score WHERE false;
DO \$\$ BEGIN FOR n IN 1 .. $models LOOP INSERT INTO served SELECT n, item_id, score FROM als_recommend(('many.m' || n)::regclass, 1 + n % 5, 3, false); COMMIT; END LOOP; END \$\$;
});
	is($node->safe_psql('postgres', 'SELECT count(DISTINCT n), count(*) FROM served'), "$models|" . 3 * $models, "each of $models models serves");
	cmp_ok($node->safe_psql('postgres', 'SELECT count(DISTINCT score) FROM served'), '>', $models, 'they are different models');

	my $serve = q{SELECT s.n FROM (SELECT n, array_agg((item_id, score)::text ORDER BY score DESC, item_id) AS expected FROM served GROUP BY n ORDER BY n) s,
		LATERAL (SELECT array_agg((item_id, score)::text ORDER BY score DESC, item_id) AS got FROM als_recommend(('many.m' || n)::regclass, 1 + n % 5, 3, false)) r WHERE got IS DISTINCT FROM expected};
	my $out_of_locks = qr/^psql:\S+ ERROR:  53200: out of shared memory\nHINT:  You might need to increase "?max_locks_per_transaction"?/m;
	my ($said, $error, $goes_on) = attempt($node, '', $serve);
	like($error, $out_of_locks, "from all in one transaction: PostgreSQL has no more locks");
	is($said, '', 'no answer was wrong until then');
	ok($goes_on, 'the session goes on');

	# one by one, with savepoints: those that there are locks for are right, the others errors
	$node->psql('postgres', qq{
CREATE TEMP TABLE tried (n int, code text);
BEGIN;
DO \$\$ DECLARE wrong int; BEGIN FOR i IN 1 .. $models LOOP
	BEGIN
		SELECT count(*) INTO wrong FROM (SELECT item_id, score FROM served WHERE n = i EXCEPT SELECT item_id, score FROM als_recommend(('many.m' || i)::regclass, 1 + i % 5, 3, false)) d;
		INSERT INTO tried VALUES (i, 'wrong: ' || wrong);
	EXCEPTION WHEN OTHERS THEN
		INSERT INTO tried VALUES (i, SQLSTATE);
	END;
END LOOP; END \$\$;
COMMIT;
SELECT string_agg(DISTINCT code, ' ' ORDER BY code), count(DISTINCT n) FROM tried}, stdout => \$said, stderr => \$error);
	is($said, "53200 wrong: 0|$models", 'a loop over all: right or out of locks');

	($said, $error, $goes_on) = attempt($node, '', "SELECT count(*) FROM als_models");
	is($said, $models, 'als_models lists all of them') or diag($error);
	foreach ('DROP SCHEMA many CASCADE', 'DROP EXTENSION als CASCADE')
	{
		($said, $error, $goes_on) = attempt($node, 'SET client_min_messages = error;', $_);
		like($error, $out_of_locks, "$_: PostgreSQL has no more locks");
		ok($goes_on, 'the session goes on');
	}
	is($node->safe_psql('postgres', "SELECT count(*) FROM als_models"), $models, 'all models are still there');
	is($node->safe_psql('postgres', qq{
SET client_min_messages = error;
CREATE TEMP TABLE wrong (n int);
DO \$\$ BEGIN FOR i IN 1 .. $models LOOP
	INSERT INTO wrong SELECT i FROM (SELECT item_id, score FROM served WHERE n = i EXCEPT SELECT item_id, score FROM als_recommend(('many.m' || i)::regclass, 1 + i % 5, 3, false)) d;
	COMMIT;
END LOOP; END \$\$;
SELECT count(*) FROM wrong}), 0, 'and serve as before');

	# another trains all anew, in transactions of their own, and drops them
	is($node->safe_psql('postgres', qq{
SET client_min_messages = error;
DO \$\$ BEGIN FOR n IN 1 .. $models LOOP PERFORM als_train('many.m' || n, 'ratings', factors => 2, iterations => 1, seed => n, workers => 0); COMMIT; END LOOP; END \$\$;
SELECT count(*) FROM als_models}), $models, 'each is trained again');
	is($node->safe_psql('postgres', qq{
SET client_min_messages = error;
DO \$\$ BEGIN FOR n IN 1 .. $models LOOP EXECUTE 'DROP TABLE many.m' || n || ' CASCADE'; COMMIT; END LOOP; END \$\$;
DROP SCHEMA many;
SELECT (SELECT count(*) FROM als_models), (SELECT count(*) FROM pg_class WHERE relname ~ '^m\\d'), (SELECT count(*) FROM als_stat_models)}), '0|0|0', 'each is dropped, and nothing is left');
	$node->stop;
}

done_testing();
