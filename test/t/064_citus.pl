# On Citus: trained from a distributed table, and served on every node.  Runs where
# the server has Citus.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use Test::More;

my @nodes = start_citus();
my ($coordinator, @workers) = @nodes;
sub asks { return $coordinator->safe_psql('postgres', $_[0]); }

is($_->safe_psql('postgres', q{SELECT count(*) FROM pg_extension WHERE extname = 'als'}), 1, $_->name . ' has als') foreach @nodes;

asks(q{
CREATE TABLE local_ratings AS SELECT user_id, item_id AS movie_id, rating FROM some_ratings(200, 100, 20);
CREATE TABLE ratings (LIKE local_ratings, PRIMARY KEY (user_id, movie_id));
SELECT create_distributed_table('ratings', 'user_id', shard_count => 8);
INSERT INTO ratings SELECT * FROM local_ratings;
CREATE TABLE users (user_id int PRIMARY KEY);
SELECT create_distributed_table('users', 'user_id', colocate_with => 'ratings');
INSERT INTO users SELECT * FROM generate_series(1, 210);
});

# trained to the bit as from a local table, and answering so
my $train = q{SELECT run, users, items FROM als_train('MODEL', 'SOURCE', item_column => 'movie_id', factors => 8, iterations => 3, validation_fraction => 0.1)};
sub of { my ($query, $model, $source) = @_; return $query =~ s/MODEL/$model/gr =~ s/SOURCE/$source/gr; }
is(asks(of($train, 'local_als', 'local_ratings')), '1|198|99', 'trained from a local table');
is(asks(of($train, 'movie_als', 'ratings')), '1|198|99', 'trained from a distributed table');
is(asks(q{SELECT fingerprint('movie_als') = fingerprint('local_als')}), 't', 'with the same bits');
foreach my $query (
	q{SELECT u, r FROM generate_series(1, 40) u, als_recommend('MODEL', u, 5) r},
	q{SELECT r FROM als_recommend('MODEL', 5000, 5, cold_start => 'popular') r},
	q{SELECT r FROM als_recommend_all('MODEL', 3) r ORDER BY user_id, rank},
	q{SELECT als_evaluate('MODEL', 'SELECT * FROM SOURCE WHERE als_holdout(user_id, movie_id, 0.2)', training => 'SELECT * FROM SOURCE WHERE NOT als_holdout(user_id, movie_id, 0.2)', item_column => 'movie_id')})
{
	my $answer = asks(of($query, 'movie_als', 'ratings'));
	ok(length $answer > 20, $query);
	is($answer, asks(of($query, 'local_als', 'local_ratings')), 'as from a local table');
}

# one user's rows are asked of one shard
foreach my $call (
	[ q{als_recommend('movie_als', 8, 5)}, 'movie_id', 'user_id', 8, 1 ],
	[ q{als_explain('movie_als', 8, 5, 5)}, 'movie_id, (rating)::double precision AS rating', 'user_id', 8, 1 ],
	[ q{als_refresh_user('movie_als', 8)}, 'movie_id, (rating)::double precision AS rating', 'user_id', 8, 1 ],
	[ q{als_refresh_item('movie_als', 5)}, 'user_id, (rating)::double precision AS rating', 'movie_id', 5, 8 ])
{
	my ($query, $columns, $column, $id, $shards) = @$call;
	my ($status, $stdout, $stderr) = $coordinator->psql('postgres',
		"SET citus.log_remote_commands = on; SET citus.enable_local_execution = off; SELECT $query");
	is($status, 0, $query);
	my @sent = $stderr =~ /issuing (SELECT .* FROM public\.ratings.*)/g;
	is(scalar @sent, $shards, 'queries that are sent');
	like($_, qr/^SELECT \Q$columns\E FROM public\.ratings_\d+ ratings WHERE \($column OPERATOR\(pg_catalog\.=\) $id\)$/, 'what is sent') foreach $sent[0];
}
is(asks(q{SELECT als_refresh_user('local_als', 8), als_refresh_item('local_als', 5)}), 't|t', 'refreshed');
is(asks(q{SELECT factors_of('movie_als') = factors_of('local_als')}), 't', 'with the same bits');

# the model's tables cannot be Citus' own, since they have triggers; other tables
# carry the factors to the workers, and als_import makes them the same model there
foreach my $table ('movie_als', 'movie_als_users', 'movie_als_items')
{
	my ($status, $stdout, $stderr) = $coordinator->psql('postgres', "SELECT create_reference_table('$table')");
	like($stderr, qr/ERROR:  cannot distribute relation "$table" because it has triggers/, "$table is no reference table");
}
my ($carriers, $carry, $recommend) = grep { /carried|u\.user_id/ } documented('Serving on several servers');
asks($carriers);
is(asks($carry), "t|1\nt|1", 'the workers have the model');
is($_->safe_psql('postgres', q{SELECT md5(string_agg(u::text, ',' ORDER BY user_id)) FROM movie_als_users u}),
	asks(q{SELECT md5(string_agg(u::text, ',' ORDER BY user_id)) FROM movie_als_users u}), $_->name . ' has the same factors') foreach @workers;

# recommending to a distributed table's users runs where they are; the rows of one
# user are with them
$recommend =~ s/;$//;
my $summed = 'SELECT count(*), md5(string_agg(t::text, \',\' ORDER BY user_id, score DESC, item_id)) FROM (QUERY) t';
my $expected = asks(q{SELECT count(*), md5(string_agg(t::text, ',' ORDER BY user_id, score DESC, item_id))
	FROM (SELECT u AS user_id, r.item_id, r.score FROM generate_series(1, 210) u, als_recommend('movie_als', u, 5) r) t});
like($expected, qr/^990\|/, 'the coordinator answers');
foreach my $model (q{'movie_als'}, q{'public.movie_als'}, q{'movie_als'::regclass})
{
	my $query = $recommend =~ s/'movie_als'/$model/r;
	like(asks("EXPLAIN (VERBOSE, COSTS OFF) $query"),
		qr/Custom Scan \(Citus Adaptive\).*Task Count: 8.*FROM public\.users_\d+ u, LATERAL public\.als_recommend\('public\.movie_als'::regclass, .* FROM public\.ratings_\d+ .*Function Scan on public\.als_recommend/s,
		"$model: pushed down");
	is(asks($summed =~ s/QUERY/$query/r), $expected, 'the same recommendations');
}
foreach my $type ('regclass', 'text')
{
	my $query = $recommend =~ s/'movie_als'/\$1::regclass/r;
	is(asks("PREPARE recommend($type) AS " . ($summed =~ s/QUERY/$query/r) . '; ' . "EXECUTE recommend('movie_als'); " x 7),
		join("\n", ($expected) x 7), "prepared, the model as $type");
}

# what als would read itself is a query in a query, which Citus refuses unless told
asks(q{SELECT als_import('live', 'carried_users', 'carried_items', 'ratings', item_column => 'movie_id')});
is(asks(q{SELECT success FROM run_command_on_workers($$SELECT als_import('live', 'carried_users', 'carried_items', 'ratings', item_column => 'movie_id')$$)}), "t\nt", 'a model that knows the ratings');
my $nested = q{SELECT u.user_id, r.item_id, r.score FROM users u, als_recommend('live', u.user_id, 5) r};
my ($status, $stdout, $stderr) = $coordinator->psql('postgres', $nested);
like($stderr, qr/ERROR:  cannot execute a distributed query from a query on a shard.*reading ratings from public\.ratings/s, 'a query in a query');
asks('ALTER ROLE CURRENT_USER SET citus.allow_nested_distributed_execution = on');
is(asks($summed =~ s/QUERY/$nested/r), $expected, 'allowed to the role');
asks('ALTER ROLE CURRENT_USER RESET citus.allow_nested_distributed_execution');

# trained again, and carried again
is(asks(of($train, 'movie_als', 'ratings') =~ s/factors => 8/factors => 5/r), '2|198|99', 'trained again');
is(asks($carry), "t|2\nt|2", 'the workers have the new model');
$expected = asks(q{SELECT count(*), md5(string_agg(t::text, ',' ORDER BY user_id, score DESC, item_id))
	FROM (SELECT u AS user_id, r.item_id, r.score FROM generate_series(1, 210) u, als_recommend('movie_als', u, 5) r) t});
is(asks($summed =~ s/QUERY/$recommend/r), $expected, 'and serve it');

# a worker is away
$workers[1]->stop('immediate');
foreach my $call (q{als_train('movie_als', 'ratings', item_column => 'movie_id')}, q{als_refresh_item('movie_als', 5)}, q{als_recommend_all('movie_als')})
{
	my ($status, $stdout, $stderr) = $coordinator->psql('postgres', "\\set VERBOSITY verbose\nSELECT $call");
	my $port = $workers[1]->port;
	like($stderr, qr/ERROR:  08006: connection to the remote node \S*:$port failed .*reading ratings from public\.ratings/s, "$call says so");
}
is(asks(q{SELECT count(*) FROM als_recommend('movie_als', 8, 5, exclude_seen => false)}), 5, 'the old model serves');
is(asks('SELECT count(*) FROM als_progress'), 0, 'no training is shown');
$workers[1]->start;
is(asks(of($train, 'movie_als', 'ratings')), '3|198|99', 'it is trained again');

done_testing();
