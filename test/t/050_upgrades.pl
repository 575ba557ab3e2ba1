# A database whose extension has been updated from an older version is what the newer
# version creates: the same objects with the same definitions, comments, costs and
# privileges; what others have made of it, models, views, grants, stays as it is.  Until
# then the library serves the older version's SQL objects.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# What belongs to the extension, with the privileges that pg_dump takes for given
my $listing = q{
SELECT i.type, i.identity, (SELECT string_agg(format('%s: %s', objsubid, initprivs), ', ' ORDER BY objsubid)
                            FROM pg_init_privs p WHERE p.classoid = d.classid AND p.objoid = d.objid)
FROM pg_depend d CROSS JOIN pg_identify_object(d.classid, d.objid, 0) i
WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'als')
ORDER BY 1, 2};
# Then nothing does any more: pg_dump has all of it.
my $release = q{
DELETE FROM pg_init_privs WHERE privtype = 'e';
DELETE FROM pg_depend WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'als')};

my ($present) = slurp_file('als.control') =~ /^default_version = '(.*)'/m;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

# Creates the extension in a database of its own, updated if need be; returns what belongs
# to it and what pg_dump says of that, object by object.
my $databases = 0;

sub objects_of
{
	my (@versions) = @_;
	my $database = 'upgrade' . ++$databases;
	my $first = shift @versions;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	$node->safe_psql($database, "CREATE EXTENSION als VERSION '$first'");
	$node->safe_psql($database, "ALTER EXTENSION als UPDATE TO '$_'") foreach @versions;
	my @members = split /\n/, $node->safe_psql($database, $listing);
	$node->safe_psql($database, $release);
	my ($dump, $stderr) = run_command([ 'pg_dump', '--schema-only', '-d', $node->connstr($database) ]);
	die $stderr if $stderr ne '';
	# what differs each time, and the version
	$dump =~ s/^\\(?:un)?restrict .*$//mg;
	return (@members, split /^--\n(?=-- Name: )/m, $dump);
}

my @fresh = objects_of($present);
cmp_ok(scalar @fresh, '>', 200, 'the extension has objects');
like(join('', @fresh), qr/^CREATE FUNCTION public\.als_train\(.*COST .*^COMMENT ON FUNCTION public\.als_train\(.*^GRANT SELECT ON TABLE public\.als_progress TO PUBLIC/ms,
	'with costs, comments and privileges');

# the scripts that there are, each from its own version
my %next = map { /als--(.*)--(.*)\.sql$/ ? ($1 => $2) : () } glob 'sql/als--*--*.sql';
foreach my $old (sort keys %next)
{
	is(join('', objects_of($old, $next{$old})), join('', objects_of($next{$old})), "from $old to $next{$old}");
}

# 1.1 adds functions and leaves all else alone, so that whatever depends on that is in nobody's way;
# but for als_train_sharded, which is another within, and the parts that it is made of.
my $parts = qr/\bals_(?:train_)?sharded/;
my @before = objects_of('1.0');
my @after = objects_of('1.1');
my %before = map { $_ => 1 } @before;
my %after = map { $_ => 1 } @after;
is(join('', grep { !$after{$_} && !/$parts/ } @before), '', 'all of 1.0 is in 1.1 as it was');
my ($signature) = map { /^function\|(public\.als_train_sharded\(.*)/ ? $1 : () } @before;
is(scalar(grep { $_ eq "function|$signature" } @after), 1, 'als_train_sharded has the arguments that it had');
my $numbers = '(?:double precision|real)';
my @added = grep { !$before{$_} && !/$parts/ } @after;
is(scalar(grep { /^(?:function|aggregate)\|public\.als_(?:fold_in|solve|solve_row|solve_transfn)\(.*$numbers(?:\[\])?,$numbers/ } @added), 5, 'new are five functions');
is(scalar(grep { /^COMMENT ON (?:FUNCTION|AGGREGATE) public\.als_(?:fold_in|solve|solve_row|solve_transfn)\(/m } @added), 5, 'each with a comment');
is(scalar(grep { !/public\.als_(?:fold_in|solve|solve_row|solve_transfn)\(/ } @added), 0, 'and nothing else');

# The same ratings in databases of both versions, and what somebody does with als: models, what
# depends on functions, privileges
my $made = q{
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, 1 + (u * 31 + i * 17) % 5 AS rating, 1 + (u + i) % 3 AS sure
    FROM generate_series(1, 40) u, generate_series(1, 30) i WHERE (u * 7919 + i * 104729 + u * i * 13) % 97 < 40;
SELECT run FROM als_train('implicit', 'ratings', factors => 4, iterations => 3, keep => 2);
SELECT run FROM als_train('implicit', 'ratings', factors => 5, iterations => 3, workers => 2, keep => 2);
SELECT run FROM als_train('explicit', 'ratings', feedback => 'explicit', factors => 4, iterations => 3, solver => 'cholesky', weight_column => 'sure');
SELECT rank FROM als_tune('tuned', 'ratings', '{"factors": [2, 3], "iterations": 2}', validation_fraction => 0.2);
SELECT (als_train_agg('of_rows', user_id, item_id, rating, '{"factors": 3, "iterations": 2}')).run FROM ratings;
SELECT run FROM als_import('imported', 'explicit_users', 'explicit_items', 'ratings', feedback => 'explicit', mean_rating => 3, regularization => 0.1);
CREATE VIEW folded AS SELECT als_fold_in('explicit', ARRAY[1, 2, 3], ARRAY[5, 4, 1]) AS factors;
CREATE VIEW solved AS SELECT user_id, als_solve(item_id, rating, '{"model": "explicit", "side": "users"}') AS s FROM ratings GROUP BY user_id;
CREATE FUNCTION grouped(items integer[], ratings real[]) RETURNS als_solution LANGUAGE sql RETURN als_solve_row(items, ratings, '{"model": "explicit", "side": "users"}');
CREATE VIEW best AS SELECT u AS user_id, r.* FROM generate_series(1, 40) u, als_recommend('implicit', u, 5) r;
};
# What models answer, in digits that tell all floats apart
my $answers = q{
SELECT name, owner FROM als_models ORDER BY name;
SELECT m, u, r.* FROM unnest(ARRAY['implicit', 'explicit', 'tuned', 'of_rows', 'imported']) m, generate_series(1, 40) u,
    LATERAL als_recommend(m, u, 5, m <> 'of_rows') r ORDER BY m, u, score DESC, item_id;
SELECT als_predict('implicit', u, 3, run => 1), als_predict('implicit', u, 3, fresh => true) FROM generate_series(1, 40) u ORDER BY u;
SELECT * FROM folded;
SELECT * FROM solved ORDER BY user_id;
SELECT grouped('{1,2,3}', '{5,4,1}');
SELECT * FROM best ORDER BY user_id, score DESC, item_id;
SELECT metric, value FROM als_evaluate('explicit', 'ratings') ORDER BY metric COLLATE "C";
SELECT * FROM als_similar_items('implicit', 3), als_explain('implicit', 1, 3);
SELECT (SELECT array_agg(i) FROM als_similar_items_all('explicit', 2) i), (SELECT array_agg(r) FROM als_recommend_all('implicit', 2) r);
};
$node->safe_psql('postgres', 'CREATE ROLE reader; CREATE DATABASE old; CREATE DATABASE new');
$node->safe_psql('old', "CREATE EXTENSION als VERSION '1.0'; $made");
$node->safe_psql('new', "CREATE EXTENSION als; $made");
my $before = $node->safe_psql('old', $answers);
cmp_ok($before =~ tr/\n//, '>', 1000, 'models answer');
is($before, $node->safe_psql('new', $answers), 'the present library trains and serves with the SQL objects of 1.0 as with its own');
my $refresh = q{
INSERT INTO ratings VALUES (41, 1, 5, 1), (41, 2, 1, 2);
SELECT als_refresh_user('explicit', 41), als_refresh('implicit', ARRAY[1, 41], ARRAY[3]);
SELECT als_track('implicit');
INSERT INTO ratings VALUES (42, 3, 5, 1);
SELECT als_refresh('implicit');
SELECT als_untrack('implicit');
SELECT new_ratings, unknown_users FROM als_staleness('implicit');
SELECT count(*), sum(factors[1]) FROM implicit_users;
};
is($node->safe_psql('old', $refresh), $node->safe_psql('new', $refresh), 'and refreshes');
$before = $node->safe_psql('old', $answers);

sub version_says
{
	my ($database) = @_;
	my ($status, $stdout, $stderr) = $node->psql($database, 'SELECT library, sql_objects FROM als_version()');
	return "$stdout\n$stderr";
}
like(version_says('old'), qr/^\Q$present\E\|1\.0\n.*WARNING:  the library of als is of version \Q$present\E, its SQL objects are of version 1\.0\nHINT:  Run ALTER EXTENSION als UPDATE if .*reconnect/,
	'als_version tells the two apart, and says what to do');
is(version_says('new'), "$present|$present\n", 'and has nothing to say where they are the same');

# What others have been granted, what they have been denied, and what they have said
my $granted = q{
GRANT EXECUTE ON FUNCTION als_predict(regclass, text, anycompatible, text, integer, boolean) TO reader;
REVOKE EXECUTE ON FUNCTION als_fold_in(regclass, "any", double precision[]) FROM PUBLIC;
GRANT SELECT ON implicit, folded TO reader;
COMMENT ON TABLE implicit IS 'of ratings';
};

# A dump of that database makes one of the present version, which answers the same.
my $dump = "$PostgreSQL::Test::Utils::tmp_check/old.sql";
command_ok([ 'pg_dump', '-d', $node->connstr('old'), '-f', $dump ], 'a dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ], 'and what it makes');
is(version_says('restored'), "$present|$present\n", 'is of the present version');
is($node->safe_psql('restored', $answers), $before, 'and answers the same');

# And so does an update, after which the database is what it would have been.
$node->safe_psql('old', "$granted ALTER EXTENSION als UPDATE");
$node->safe_psql('new', $granted);
is(version_says('old'), version_says('new'), 'an update');
is($node->safe_psql('old', $answers), $before, 'models answer as before');
my @dumps = map { run_command([ 'pg_dump', '--schema-only', '-d', $node->connstr($_) ]) =~ s/^\\(?:un)?restrict .*$//mgr } 'old', 'new';
is($dumps[0], $dumps[1], 'and what depends on them, privileges and comments are there');
my $more = q{
SELECT run FROM als_train('implicit', 'ratings', factors => 4, iterations => 3, weight_column => 'sure');
SELECT als_fold_in(m, ARRAY[1, 2, 3], ARRAY[5, 4, 1], ARRAY[1, 2, 0.5]) FROM unnest(ARRAY['implicit', 'explicit']) m;
SELECT item_id, als_solve(user_id, rating, sure, '{"model": "explicit", "side": "items"}') FROM ratings GROUP BY item_id ORDER BY item_id;
SELECT als_solve_row('{1,2,3}'::int[], '{5,4,1}', '{1,2,0.5}', '{"model": "implicit", "side": "users"}');
};
is($node->safe_psql('old', $more), $node->safe_psql('new', $more), 'and what is new works with models of before');

$node->stop;
done_testing();
