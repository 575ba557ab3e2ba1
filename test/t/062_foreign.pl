# Ratings on other servers, by postgres_fdw: trained from like local ones, and one
# user's rows are asked of the server that has them alone.  A server that is away
# is an error that names it, the model serves on, and nothing is left behind.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $main = start_server('main', $parallel_workers, $telling_log, $countable_segments);
plan skip_all => 'postgres_fdw is not available'
  unless $main->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'});

# two shards, which log what they are asked
my @shards;
foreach my $name ('north', 'south')
{
	my $shard = PostgreSQL::Test::Cluster->new($name);
	$shard->init;
	$shard->append_conf('postgresql.conf', 'log_statement = all');
	$shard->start;
	push @shards, $shard;
}
my ($north, $south) = @shards;

sub asks { return $main->safe_psql('postgres', $_[0]); }

sub fails { return fails_with($main, @_); }

# What the shards have been asked since the last call, one line for each query
my %read;
sub asked
{
	my @queries;
	foreach my $shard (@shards)
	{
		my $log = slurp_file($shard->logfile, $read{ $shard->name } // 0);
		$read{ $shard->name } += length $log;
		push @queries, map { $shard->name . ": $_" }
		  $log =~ /(?:DECLARE c\d+ CURSOR FOR\s+)(SELECT [^\n]*)/g;
	}
	return join "\n", @queries;
}

# ratings by hash of the user, as the guide has them
my ($create, $document_train) = documented('Ratings on several servers');
foreach my $shard (@shards)
{
	my ($name, $host, $port) = ($shard->name, $shard->host, $shard->port);
	$create =~ s/host '$name', dbname 'shop'/host '$host', port '$port', dbname 'postgres'/ or die "no server $name in the guide";
}
asks($create);
asks(q{
CREATE TABLE local_ratings AS SELECT user_id, item_id AS movie_id, rating FROM some_ratings(200, 100, 20);
CREATE TABLE text_ratings (user_id text COLLATE "C", item_id varchar(20), rating real) PARTITION BY HASH (user_id);
});
foreach my $i (0, 1)
{
	my ($shard, $name) = ($shards[$i], $shards[$i]->name);
	$shard->safe_psql('postgres', qq{
CREATE TABLE ratings_$name (user_id int, movie_id int, rating real);
CREATE TABLE text_ratings_$i (user_id text COLLATE "C", item_id varchar(20), rating real);
CREATE TABLE all_ratings (user_id int, movie_id int, rating real);
CREATE TABLE many AS SELECT u * 2 + $i AS user_id, i AS item_id, (u + i) % 5 + 1 AS rating FROM generate_series(1, 300) u, generate_series(1, 100) i;
CREATE FUNCTION wait_for(number int) RETURNS boolean LANGUAGE plpgsql AS \$\$
BEGIN
    PERFORM pg_advisory_lock_shared(number);
    PERFORM pg_advisory_unlock_shared(number);
    RETURN true;
END \$\$;
-- waits for whoever holds a lock when half of it has been read
CREATE VIEW gated_$i AS SELECT * FROM many WHERE item_id <= 50 UNION ALL SELECT m.* FROM wait_for(1) w, many m WHERE w AND item_id > 50;
});
	asks(qq{
CREATE FOREIGN TABLE text_ratings_$i PARTITION OF text_ratings FOR VALUES WITH (MODULUS 2, REMAINDER $i) SERVER $name;
CREATE FOREIGN TABLE gated_$i (user_id int, item_id int, rating int) SERVER $name;
});
}
asks(q{
CREATE FOREIGN TABLE all_ratings (user_id int, movie_id int, rating real) SERVER north;
CREATE VIEW gated AS SELECT * FROM gated_0 UNION ALL SELECT * FROM gated_1;
INSERT INTO ratings (user_id, movie_id, rating) SELECT * FROM local_ratings;
INSERT INTO all_ratings SELECT * FROM local_ratings;
INSERT INTO text_ratings SELECT 'u' || user_id, 'i' || movie_id, rating FROM local_ratings;
CREATE VIEW local_text_ratings AS SELECT 'u' || user_id AS user_id, ('i' || movie_id)::varchar(20) AS item_id, rating FROM local_ratings;
});

# trained to the bit as from a local table; partitions are read at the same time
my $parameters = 'factors => 8, iterations => 3, validation_fraction => 0.1';
like(asks('EXPLAIN SELECT user_id, movie_id, rating FROM ratings AS ratings'),
	qr/Append.*\n.*Async Foreign Scan on ratings_north.*\n.*Async Foreign Scan on ratings_south/, 'partitions are read at the same time');
foreach my $training (
	[ 'local', 'local_ratings', '' ],
	[ 'm', 'ratings', "north: SELECT user_id, movie_id, rating FROM public.ratings_north\nsouth: SELECT user_id, movie_id, rating FROM public.ratings_south" ],
	[ 'single', 'all_ratings', 'north: SELECT user_id, movie_id, rating FROM public.all_ratings' ],
	[ 'local_t', 'local_text_ratings', '' ],
	[ 't', 'text_ratings', "north: SELECT user_id, item_id, rating FROM public.text_ratings_0\nsouth: SELECT user_id, item_id, rating FROM public.text_ratings_1" ])
{
	my ($model, $source, $remote) = @$training;
	asked();
	my $column = $source =~ /text/ ? 'item_id' : 'movie_id';
	is(asks("SELECT run, users, items FROM als_train('$model', '$source', item_column => '$column', $parameters)"), '1|198|99', "trained from $source");
	is(asked(), $remote, 'what the servers are asked');
}
is(asks("SELECT fingerprint('$_->[0]') = fingerprint('$_->[1]')"), 't', "$_->[0] and $_->[1] have the same bits")
  foreach [ 'm', 'local' ], [ 'single', 'local' ], [ 't', 'local_t' ];

# what serves asks for the rows that it needs, of the server that has them; with a
# plan that is made for the value, and with one that is kept for all
sub rows_of_user { my ($server, $table, $id, $columns) = @_; return "$server: SELECT $columns FROM public.$table WHERE ((user_id = $id))"; }
my $northern = asks('SELECT min(user_id) FROM ratings_north');
my $not_null = 'WHERE ((user_id IS NOT NULL)) AND ((movie_id IS NOT NULL))';
asks(q{INSERT INTO ratings SELECT 1000, movie_id, rating FROM local_ratings WHERE user_id = 7});
asks(q{INSERT INTO all_ratings SELECT user_id, movie_id, rating FROM ratings WHERE user_id = 1000});
foreach my $mode ('force_custom_plan', 'force_generic_plan')
{
	my $session = open_session($main, "SET plan_cache_mode = $mode;");
	my $of = sub { $mode eq 'force_generic_plan' ? $_[1] : $_[0] };
	foreach my $call (
		[ q{als_recommend('m', 8, 5)}, rows_of_user('south', 'ratings_south', $of->(8, '$1::integer'), 'movie_id') ],
		[ qq{als_recommend('m', $northern, 5)}, rows_of_user('north', 'ratings_north', $of->($northern, '$1::integer'), 'movie_id') ],
		[ q{als_recommend('m', 1000, 5)}, rows_of_user('north', 'ratings_north', $of->(1000, '$1::integer'), 'movie_id, rating') ],
		[ q{als_explain('m', 8, 5, 5)}, rows_of_user('south', 'ratings_south', $of->(8, '$1::integer'), 'movie_id, rating') ],
		[ q{als_refresh_user('m', 8)}, rows_of_user('south', 'ratings_south', $of->(8, '$1::integer'), 'movie_id, rating') ],
		[ q{als_refresh_item('m', 5)}, join "\n", map { "$_: SELECT user_id, rating FROM public.ratings_$_ WHERE ((movie_id = " . $of->(5, '$1::integer') . '))' } 'north', 'south' ],
		[ q{als_recommend_all('m', 5, users => ARRAY[7, 8])}, "south: SELECT user_id, movie_id FROM public.ratings_south $not_null AND ((user_id = ANY ('{7,8}'::integer[])))" ],
		[ q{als_recommend_all('m', 5)}, "north: SELECT user_id, movie_id FROM public.ratings_north $not_null\nsouth: SELECT user_id, movie_id FROM public.ratings_south $not_null" ],
		[ q{als_recommend_for('m', ARRAY[1, 2])}, '' ],
		[ q{als_similar_items('m', 1)}, '' ],
		[ q{als_recommend_as(NULL::text, 't', 'u7', 5)}, rows_of_user('north', 'text_ratings_0', $of->(q{'u7'}, '$1::text'), 'item_id') ],
		[ q{als_explain_as(NULL::text, 't', 'u8', 'i5', 5)}, rows_of_user('south', 'text_ratings_1', $of->(q{'u8'}, '$1::text'), 'item_id, rating') ],
		[ q{als_refresh_item('t', 'i5')}, join "\n", map { "$_->[0]: SELECT user_id, rating FROM public.text_ratings_$_->[1] WHERE ((item_id::text = " . $of->(q{'i5'}, '$1::character varying') . '::text))' } [ 'north', 0 ], [ 'south', 1 ] ])
	{
		my ($query, $remote) = @$call;
		asked();
		my $result = ask($session, "SELECT $query;");
		unlike($result, qr/ERROR/, $query);
		# 14 says of what type these constants are
		is(asked() =~ s/'(u\d)'::text/'$1'/r, $remote, "what the servers are asked, $mode");
	}
	is(close_sessions($session), '', 'without an error');
}
# and answers as a model with the ratings at hand does
asks(q{SELECT als_train('single', 'all_ratings', item_column => 'movie_id', factors => 8, iterations => 3), als_train('m', 'ratings', item_column => 'movie_id', factors => 8, iterations => 3)});
asks(q{INSERT INTO local_ratings SELECT user_id, movie_id, rating FROM ratings WHERE user_id = 1000});
asks(q{SELECT als_train('local', 'local_ratings', item_column => 'movie_id', factors => 8, iterations => 3)});
foreach my $query (
	q{SELECT u, r FROM generate_series(1, 40) u, als_recommend('MODEL', u, 5) r},
	q{SELECT r FROM als_recommend('MODEL', 5000, 5, cold_start => 'popular') r},
	q{SELECT r FROM als_recommend_all('MODEL', 3) r ORDER BY user_id, rank},
	q{SELECT u, r FROM generate_series(1, 40) u, als_explain('MODEL', u, 5, 5) r},
	q{SELECT als_evaluate('MODEL', 'SELECT * FROM SOURCE WHERE als_holdout(user_id, movie_id, 0.2)', training => 'SELECT * FROM SOURCE WHERE NOT als_holdout(user_id, movie_id, 0.2)', item_column => 'movie_id')})
{
	my %answers = map { $_->[0] => asks($query =~ s/MODEL/$_->[0]/r =~ s/SOURCE/$_->[1]/gr) } [ 'local', 'local_ratings' ], [ 'm', 'ratings' ], [ 'single', 'all_ratings' ];
	ok(length $answers{local} > 20, $query);
	is($answers{$_}, $answers{local}, "$_ answers so") foreach 'm', 'single';
}

# with als on the servers, they split the ratings themselves
foreach my $shard (@shards)
{
	$shard->safe_psql('postgres', 'CREATE EXTENSION als');
	asks('ALTER SERVER ' . $shard->name . q{ OPTIONS (ADD extensions 'als')});
}
asked();
is(asks('SELECT count(*) FROM ratings WHERE als_holdout(user_id, movie_id, 0.2)'),
	asks('SELECT count(*) FROM local_ratings WHERE als_holdout(user_id, movie_id, 0.2)'), 'the same split');
like(asked(), qr/^north: .*als_holdout\(.*\nsouth: .*als_holdout\(/, 'made where the rows are');

# privileges are those of whoever asks
asks(q{CREATE ROLE reader; GRANT SELECT ON m, ratings TO reader});
fails(q{SET ROLE reader; SELECT als_recommend('m', 8, 5)},
	qr/ERROR:  42704: user mapping not found for .*HINT:  als_recommend reads the model's ratings with the privileges of the user who calls it; exclude_seen => false does without them\..*reading ratings from public\.ratings/s, 'without a user mapping');
is(asks(q{SET ROLE reader; SELECT count(*) FROM als_recommend('m', 8, 5, exclude_seen => false)}), 5, 'without live ratings');

# something else that is undefined has nothing to do with privileges
my ($status, $stdout, $stderr) = $main->psql('postgres', q{SELECT als_train('undefined', 'SELECT user_id, movie_id AS item_id, current_setting(''no.such'')::real AS rating FROM local_ratings')});
like($stderr, qr/ERROR:  unrecognized configuration parameter "no\.such"/, 'something undefined');
unlike($stderr, qr/HINT/, 'is said without a hint');

# Nothing is left of a call that has failed.
sub nothing_left
{
	my ($segments, $served) = @_;
	wait_until_alone($main);
	is(temporary_files($main), 0, 'no temporary files are left');
	is(segments($main), $segments, 'no shared memory is left');
	is(asks('SELECT count(*) FROM als_progress'), 0, 'no training is shown');
	is(asks(q{SELECT count(*) FROM pg_locks WHERE pid <> pg_backend_pid() AND locktype = 'relation'}), 0, 'no lock is held');
	$north->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'postgres_fdw'}) or die 'timed out';
	is(asks(qq{SELECT string_agg(item_id || ' ' || score, ',') FROM als_recommend('m', $northern, 5)}), $served, 'the old model serves');
	return;
}
my $served = asks(qq{SELECT string_agg(item_id || ' ' || score, ',') FROM als_recommend('m', $northern, 5)});
wait_until_alone($main);
my $segments = segments($main);

# a training is cancelled while it waits for a server
my $holder = open_session($south, 'SELECT pg_advisory_lock(1);');
my $training = background($main, 'trainer', q{SET maintenance_work_mem = '1MB'; SELECT als_train('m', 'gated', factors => 8)});
wait_for_lock($south, 'advisory');
is(cancel($main, 'trainer'), 't', 'a training that waits for a server');
$training->{run}->finish;
like($training->{err}, qr/ERROR:  57014: canceling statement due to user request\n.*reading ratings from public\.gated/s, 'is cancelled');
close_sessions($holder);
nothing_left($segments, $served);

# who trains goes away, and no server is to blame
$holder = open_session($south, 'SELECT pg_advisory_lock(1);');
$training = background($main, 'trainer', q{SET client_connection_check_interval = '100ms'; SET maintenance_work_mem = '1MB'; SELECT als_train('m', 'gated', factors => 8)});
wait_for_lock($south, 'advisory');
my $seen = -s $main->logfile;
$training->{run}->signal('KILL');
wait_until($main, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'trainer'});
close_sessions($holder);
$training->{run}->finish;
my ($said) = slurp_file($main->logfile, $seen) =~ /(FATAL: .*connection to client lost\n.*CONTEXT: .*\n(?:\t.*\n)*)/;
like($said, qr/reading ratings from public\.gated/, 'the client is lost');
unlike($said, qr/server/, 'no server is blamed');
nothing_left($segments, $served);

# a server goes away in the middle, or just the process there
foreach my $asynchronous ('true', 'false')
{
	asks("ALTER SERVER $_ OPTIONS (SET async_capable '$asynchronous')") foreach 'north', 'south';
	foreach my $how ('stop', 'terminate')
	{
		$holder = open_session($south, 'SELECT pg_advisory_lock(1);');
		$training = background($main, 'trainer', q{SET maintenance_work_mem = '1MB'; SELECT als_train('m', 'gated', factors => 8)});
		wait_for_lock($south, 'advisory');
		if ($how eq 'stop')
		{
			$south->stop('immediate');
		}
		else
		{
			$south->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted});
			close_sessions($holder);
		}
		$training->{run}->finish;
		like($training->{err}, qr/ERROR:  08006: .*CONTEXT:  remote SQL command: .*reading ratings from public\.gated, from servers "north", "south"/s, "$how, asynchronous $asynchronous: says so");
		like($training->{err}, qr/remote SQL command: SELECT .* FROM public\.gated_1\n/, 'and names the table') if $asynchronous eq 'true';
		$south->start if $how eq 'stop';
		nothing_left($segments, $served);
	}
}

# away from the beginning; a session goes on
my $session = open_session($main, qq{SELECT count(*) FROM als_recommend('m', 8, 5), als_recommend('m', $northern, 5);});
$south->stop('immediate');
my $away = qr/ERROR:  08001: could not connect to server "south"\n.*reading ratings from public\.ratings, from servers "north", "south"/s;
fails(q{SELECT als_train('m', 'ratings', item_column => 'movie_id', factors => 8)}, $away, 'als_train');
fails(q{SELECT als_evaluate('m', 'ratings', item_column => 'movie_id')}, $away, 'als_evaluate');
fails(q{SELECT als_recommend('m', 8, 5)}, qr/$away.*/s, 'als_recommend');
fails(q{SELECT als_recommend('m', 8, 5)}, qr/HINT:  exclude_seen => false does without the ratings/, 'als_recommend');
fails(q{SELECT als_refresh_item('m', 5)}, $away, 'als_refresh_item');
fails(q{SELECT als_recommend_all('m', 5)}, $away, 'als_recommend_all');
is(asks(q{SELECT count(*) FROM als_recommend('m', 8, 5, exclude_seen => false)}), 5, 'the model serves without the ratings');
is(asks(q{SELECT count(*) FROM als_recommend_for('m', ARRAY[1, 2], k => 5)}), 5, 'and folds in');
like(ask($session, q{SELECT als_recommend('m', 8, 5);}), qr/ERROR/, 'a session that was connected has an error');
is(ask($session, qq{SELECT count(*) FROM als_recommend('m', $northern, 5);}), 5, 'and is served where the server is there');
$south->start;
is(ask($session, q{SELECT count(*) FROM als_recommend('m', 8, 5);}), 5, 'and where it is back');
close_sessions($session);
nothing_left($segments, $served);
is(asks(q{SELECT run FROM als_train('m', 'ratings', item_column => 'movie_id', factors => 8)}), 3, 'it is trained again');

like(asks($document_train), qr/^\(1,/, 'as the guide has it');

done_testing();
