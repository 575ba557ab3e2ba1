# Hostile calls of every function of the extension: none may crash the server,
# raise an internal error, hang, keep memory or leave anything behind.
#
# Calls come in batches.  A batch is a file of statements, one a line, which psql
# runs in a session of its own: first it makes an arena, a schema with models of
# all kinds, forged ones among them, and then it calls functions with arguments
# made for them and with arguments made to hurt, under all sorts of settings,
# while it edits, drops and trains the models.  The functions are those that
# pg_depend has, so that new ones are called as well; an argument that nobody has
# said how to make fails the test.
#
#   ALS_FUZZ_CALLS      calls to make, 3,000 unless it says otherwise
#   ALS_FUZZ_SEED       where chance begins
#   ALS_FUZZ_BATCH      make only this batch: with the seed, it repeats one
#   ALS_FUZZ_SESSIONS   batches at the same time
#   ALS_FUZZ_TIMEOUT    seconds that a statement may take
#
# What failed is said with its seed, batch and statement; the batches stay in
# tmp_check/log/fuzz.

use strict;
use warnings;
no warnings 'qw';

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use IPC::Run;
use List::Util qw(sum);
use PostgreSQL::Test::Utils;
use Test::More;

my $calls = $ENV{ALS_FUZZ_CALLS} // 3000;
my $seed = $ENV{ALS_FUZZ_SEED} // 15;
my $sessions = $ENV{ALS_FUZZ_SESSIONS} // 1;
my $timeout = $ENV{ALS_FUZZ_TIMEOUT} // 60;
my $batch_calls = 100;

my $node = start_server('main', qq{
restart_after_crash = on
autovacuum = off
track_functions = all
log_line_prefix = '%m [%p] %e '
max_prepared_transactions = 4
max_worker_processes = 16
statement_timeout = ${timeout}s
lock_timeout = @{[ $sessions > 1 ? '2s' : 0 ]}
});
my $work = "$PostgreSQL::Test::Utils::log_path/fuzz";
mkdir $work;

$node->safe_psql('postgres', q{
CREATE ROLE als_fuzz_other;
CREATE ROLE als_fuzz_nobody;
GRANT CREATE ON DATABASE postgres TO als_fuzz_other;
-- a statement whose errors are caught, but for those that must not come
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'none';
EXCEPTION WHEN OTHERS THEN
    IF SQLSTATE LIKE 'XX%' THEN RAISE; END IF;
    RETURN SQLSTATE;
END $$;
-- the same several times over, in subtransactions of one command
CREATE FUNCTION often(statement text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    codes text[];
BEGIN
    FOR i IN 1..4 LOOP
        codes := codes || public.try(statement);
    END LOOP;
    RETURN codes;
END $$;
CREATE FUNCTION definer(statement text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    RETURN public.try(statement);
END $$;
});
my $has_files = $node->safe_psql('postgres',
	q{SELECT count(*) FROM pg_available_extensions WHERE name = 'file_fdw'});
$node->safe_psql('postgres',
	q{CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw})
  if $has_files;
# which leads here; what it waits for, the session that waits for it may have locked
my $has_servers = $node->safe_psql('postgres',
	q{SELECT count(*) = 2 FROM pg_available_extensions WHERE name IN ('postgres_fdw', 'dblink')}) eq 't';
$node->safe_psql('postgres', qq{CREATE EXTENSION postgres_fdw; CREATE EXTENSION dblink;
CREATE SERVER itself FOREIGN DATA WRAPPER postgres_fdw
	OPTIONS (host '@{[ $node->host ]}', port '@{[ $node->port ]}', dbname 'postgres', options '-c lock_timeout=1s');
CREATE USER MAPPING FOR PUBLIC SERVER itself})
  if $has_servers;

# Errors of class XX that are documented, as patterns
my @documented;
for (split /\n/, slurp_file("$FindBin::RealBin/../../docs/errors.md"))
{
	next unless /^\| `(XX\d\d\d)` \| `(.*?)` \|/;
	push @documented, [ $1, join '.*', map { quotemeta } split /\.\.\./, $2, -1 ];
}

#
# Chance
#

sub chance { return rand() < $_[0] }
sub pick { return $_[ int rand @_ ] }
sub between { return $_[0] + int rand($_[1] - $_[0] + 1) }
sub literal { my ($text) = @_; $text =~ s/'/''/g; return "'$text'" }

# As a statement within a statement
sub quoted { return '$q$' . $_[0] . '$q$' }

#
# Values
#

# What users and items of a kind of model are made of, with X for a number, and
# their types; ARENA is the schema
my %kinds = (
	int => [ 'X', 'X', 'int', 'int' ],
	small => [ 'X::int2', 'X::int8', 'int2', 'int8' ],
	text => [ q{'user "' || X || ''''}, q{U&'\017C\00F3 \+01F600' || X}, 'text', 'text' ],
	long => [ q{repeat('x', 1000) || X}, q{X::text}, 'text', 'text' ],
	uuid => [ 'md5((X)::text)::uuid', 'md5((X)::text)::uuid', 'uuid', 'uuid' ],
	numeric => [ 'X::numeric / 2', 'X::numeric(10,2)', 'numeric', 'numeric' ],
	domain => [ 'X::ARENA.dom', 'X::ARENA.dom', 'ARENA.dom', 'ARENA.dom' ],
	composite => [ q{ROW(X, 'x' || X)::ARENA.pair}, 'X', 'ARENA.pair', 'int' ],
	bytes => [ q{decode(md5((X)::text), 'hex')}, q{('i' || X)::varchar(3)}, 'bytea', 'varchar' ],
	date => [ q{date '2020-01-01' + X}, q{timestamptz '2020-01-01' + X * interval '1 day'}, 'date', 'timestamptz' ],
	float => [ q{CASE X WHEN 1 THEN 'NaN' WHEN 2 THEN '-0' ELSE X::float8 END}, 'X::float4', 'float8', 'float4' ],
	evil => [ 'ROW(X)::ARENA.ev', 'X', 'ARENA.ev', 'int' ],
	char => [ q{chr(64 + X)::"char"}, q{chr(64 + X)::char(3)}, '"char"', 'char(3)' ],
	array => [ 'ARRAY[X, NULL]', q{int4range(X, X + 1)}, 'int[]', 'int4range' ],
	xid => [ '(X)::text::xid', q{(X)::text::name}, 'xid', 'name' ]);

my @hostile_ids = (
	qw(0 -1 7 2147483647 2147483648 -9223372036854775808 9223372036854775807 1.5 196.4 1e300 true NULL '1' ''),
	qw('NaN'::numeric 'Infinity'::numeric 'NaN'::float8 '-0'::float8 '-Infinity'::float4 5e-324::float8 1e-1000 1::smallint),
	qw(NULL::int NULL::text NULL::uuid '1'::text 'x'::name 5::oid 'pg_class'::regclass 'a'::"char" '{}'::int[]),
	qw('{}'::jsonb '1'::xid '(0,1)'::tid B'101' now() current_date point(1,1) int4range(1,2) '127.0.0.1'::inet),
	qw(ROW() ROW(1,2) ROW(1,'x')::ARENA.pair 3::ARENA.dom 'sad'::ARENA.mood 'sad' NULL::ARENA.dom NULL::ARENA.pair),
	q{E'\\\\x'::bytea}, q{'x''y'}, q{'"'}, q{repeat('x', 3000)}, q{repeat('y', 100000)}, q{'1 '::char(5)}, q{'1'::varchar(3)},
	q{U&'\+01F600'}, q{(SELECT 'z' COLLATE "C")}, q{interval '1 day'}, q{ARRAY[ARRAY[1]]}, q{'[0:0]={1}'::int[]}, q{E'\x01'}, q{(SELECT 1 WHERE false)},
	q{'550e8400-e29b-41d4-a716-446655440000'::uuid}, q{(ARRAY[1,2])[5]}, q{(1::text::xml)}, q{'a b'::tsvector}, q{NULL::void}, q{'-5'::ARENA.dom});
my @hostile_arrays = (
	qw('{}' '{1,2}' '{NULL}' '{' NULL NULL::text 5 'x' '{{1,2},{3,4}}'::int[] '{1,NULL,2}'::int[] '{1.5,2}'::numeric[] '{}'::text[]),
	qw('[5:7]={1,2,3}'::int[] '[-2147483648:-2147483647]={1,2}'::int[]  ARRAY[now()] ARRAY[ROW(1,2)]),
	qw(ARRAY[NULL]::uuid[] '{sad}'::ARENA.mood[] ARRAY[3]::ARENA.dom[] ARRAY[ROW(1,'x')]::ARENA.pair[] NULL::bigint[] 'x'::ARENA.dom[]),
	q{(SELECT array_agg(i) FROM generate_series(-5, 30000) i)}, q{array_fill(1, ARRAY[40000])}, q{array_fill(7::bigint, ARRAY[20, 40, 50])}, q{array_fill(NULL::int, ARRAY[3, 3], ARRAY[-1, 5])},
	q{'1 2'::int2vector}, q{'1 2'::oidvector}, q{ARRAY['x', 'y''z', '']}, q{'{"a b", "c\"d"}'}, q{string_to_array(repeat('x,', 3000), ',')}, q{'{}'::jsonb}, q{'{{{1}}}'::bigint[]},
	q{(SELECT array_agg(repeat('x', 1000) || i) FROM generate_series(1, 200) i)}, q{ARRAY[9223372036854775807]}, q{'(1,2)'});
my @hostile_reals = (qw(0 1 -1 0.5 'NaN' 'Infinity' '-Infinity' 5e-324 1e-310 -0.0 1e30 1e300 1.7976931348623157e308 NULL 1e-8 2147483648));
my @hostile_words = ('', ' ', 'x', 'NULL', 'users', "a'b", 'a"b', "\\", '%s%n', '{', "\x{1}", 'x' x 100, 'x' x 5000);
my @hostile_relations = (
	qw(0 1 4294967295 99999999 pg_class pg_toast.pg_toast_1255 information_schema.tables pg_catalog.pg_class_oid_index),
	map { "ARENA.$_" } qw(ratings a_view a_matview a_sequence an_index parted parted_1 sharded of_parted a_composite tt foreign_ratings
	  big forged int int_users int_items untyped));
my @hostile_sources = (
	'', ' ', ';', '--', '/*', '/* /* */ */ SELECT * FROM ARENA.ratings', 'SELECT 1; SELECT 2', 'SELECT * FROM ARENA.ratings;', '(SELECT * FROM ARENA.ratings)',
	'TABLE ARENA.ratings', 'VALUES (1, 2, 3)', 'VALUES (1)', 'SELECT', 'SELECT 1', 'SELECT $1', 'EXPLAIN SELECT * FROM ARENA.ratings', 'BEGIN', 'COMMIT', 'COPY ARENA.ratings TO STDOUT',
	'SELECT 1 AS user_id, 1 AS item_id, 1 AS rating) AS ratings; DROP TABLE ARENA.big; SELECT ratings.item_id::int, 1::float8 FROM (SELECT 1 AS user_id, 1 AS item_id, 1 AS rating',
	'DELETE FROM ARENA.ratings RETURNING *', 'WITH d AS (DELETE FROM ARENA.ratings RETURNING *) SELECT * FROM d', 'SELECT * FROM ARENA.ratings FOR UPDATE',
	'WITH RECURSIVE r AS (SELECT 1 AS user_id, 1 AS item_id, 1 AS rating UNION ALL SELECT user_id + 1, item_id, 1 FROM r WHERE user_id < 50) SELECT * FROM r',
	'SELECT 1 AS user_id, 1 AS item_id, 1 AS rating WHERE false', 'SELECT 1 / 0 AS user_id, 1 AS item_id, 1 AS rating', 'SELECT user_id, item_id, 1 / (user_id - 7) AS rating FROM ARENA.ratings',
	'SELECT NULL AS user_id, NULL AS item_id, NULL AS rating', 'SELECT 1 AS user_id, 1 AS item_id, NULL::float8 AS rating', q{SELECT 1 AS user_id, 1 AS item_id, 'NaN'::float8 AS rating},
	'SELECT 1 AS user_id, 1 AS item_id, 1e300::float8 AS rating', 'SELECT 1 AS user_id, 1 AS item_id, 5e-324::float8 AS rating', q{SELECT 'x' AS user_id, 'y' AS item_id, 'z' AS rating},
	'SELECT 1 AS user_id, 1 AS item_id, 3e38::real AS rating FROM generate_series(1, 3)', 'SELECT user_id, item_id, -rating AS rating FROM ARENA.ratings', 'SELECT user_id, item_id, 0 AS rating FROM ARENA.ratings',
	'SELECT user_id, item_id, rating * 1e18 AS rating FROM ARENA.ratings', 'SELECT user_id, item_id, rating * 1e-30 AS rating FROM ARENA.ratings', 'SELECT point(1, 1) AS user_id, 1 AS item_id, 1 AS rating',
	'SELECT CASE WHEN random() < 0.01 THEN ARENA.retrain() ELSE 0 END + user_id AS user_id, item_id, rating FROM ARENA.ratings', 'SELECT * FROM ARENA.retraining', 'ARENA.retraining', 'ARENA.updating', 'SELECT u AS user_id, u AS item_id, 1 AS rating FROM generate_series(1, 60000) u',
	'SELECT * FROM ARENA.ratings, pg_class', 'SELECT 1 AS user_id, 1 AS user_id, 1 AS item_id, 1 AS rating', 'SELECT u % 300 AS user_id, u / 300 AS item_id, 1 AS rating FROM generate_series(1, 60000) u',
	'ARENA.a_view', 'ARENA.a_matview', 'ARENA.parted', 'ARENA.a_sequence', 'ARENA.an_index', 'ARENA.a_composite', 'ARENA.foreign_ratings', 'ARENA.nowhere', 'nowhere', 'pg_class', 'tt', 'pg_temp.tt',
	'a.b.c.d', '"', '"ARENA".ratings', 'ARENA."ratings"', '0', '16384', 'ARENA.ratings r', 'ARENA.ratings, ARENA.ratings', "SELECT * FROM ARENA.ratings WHERE '", 'ARENA.int_users', 'x' x 200);

my @grids = (
	'{"factors": {"from": 1, "to": 4}, "iterations": 2}', '{"factors": [2, 3]}', '{"factors": [1], "alpha": [1, 40]}', '{"regularization": [0, 0.1, 1e30]}', '{"solver": ["cg", "cholesky"], "iterations": 1}', '{"nonnegative": [true, false]}', '{"feature_regularization": [0.1, 10], "iterations": 1}', '{"regularization_by": ["ratings", "confidence"], "regularization_scaling": 1}',
	'{}', '[]', '1', '"x"', 'null', '{"factors": []}', '{"factors": [[2]]}', '{"factors": {"a": 1}}', '{"factors": null}', '{"factors": ["2"]}', '{"factors": [1e400]}', '{"factors": [-1e400, 0, 1025]}',
	'{"factors": [1.5]}', '{"alpha": [-1]}', '{"unknown": 1}', '{"seed": [1, -9223372036854775808, 1e30]}', '{"cg_steps": [0, 3]}', '{"tolerance": [1, 0.5]}', '{"iterations": [2, 1], "factors": 2, "seed": [1, 2]}',
	'{"event_weights": {"1": [1, 2], "2": 2, "3": [3, 5], "4": 4, "5": 5}, "factors": 2, "iterations": 1}', '{"half_life": ["7 days", null, "1 microsecond"], "factors": 2, "iterations": 1}', '{"half_life": null}',
	'{"event_weights": [{"1": 1}, {"2": [1]}, {}, null]}', '{"event_weights": {"": [], "a": [[]], "b": {}}}', '{"event_weights": {"1": [-1, 0, 1e400]}}', '{"half_life": ["x", 1, {}, "178000000 years"]}', '{"event_weights": {}, "half_life": {"from": 1}}',
	'{"alpha": {}}', '{"alpha": {"from": 1, "to": 1}, "factors": {"to": 3}}', '{"alpha": {"from": 1e-300, "to": 1e30}, "factors": 2}', '{"regularization": {"from": 0, "to": 1}}', '{"regularization": {"from": 1}}',
	'{"factors": {"from": 9, "to": 1}}', '{"factors": {"from": 1.5}}', '{"seed": {}}', '{"alpha": {}, "factors": [1, 2]}', '{"alpha": {"from": null, "to": "x"}}', '{"alpha": {"": 1}}', '{"alpha": {"from": {}, "to": []}}',
	'{"regularization_scaling": {"from": -1, "to": 3}}', '{"regularization_scaling": {}, "alpha": null, "factors": {"from": 1, "to": 1024}, "iterations": 1}',
	'{"regularization_scaling": [0, 1, 2, 3, null]}', '{"": 1}', '{"factors": 2, "workers": 2}', '{"solver": ["x"]}', '{"factors": [' . join(', ', 1 .. 300) . '], "alpha": [' . join(', ', 1 .. 300) . '], "seed": [' . join(', ', 1 .. 300) . ']}');

# A row of so many factors, as somebody might leave it
sub vector
{
	my ($factors) = @_;
	return pick("'{}'", 'NULL', "'{NULL}'", "'{1,2,3}'", "'{{1,2},{3,4}}'", "'[5:8]={1,2,3,4}'", "'{1,NULL,3,4}'", 'array_fill(1::real, ARRAY[2000])') if chance(0.5);
	my $value = pick(qw('NaN' 'Infinity' '-Infinity' 1e20 -1e20 3e38 0 1 1e-45 -0.0 NULL 0.3));
	return "array_fill(${value}::real, ARRAY[$factors]" . pick('', '', '', ', ARRAY[0]', ', ARRAY[-7]') . ')';
}

sub hostile { my ($arena, @from) = @_; return pick(@from) =~ s/\bARENA\b/$arena/gr }

# A value of a kind, as SQL
sub of_kind
{
	my ($arena, $kind, $side, $x) = @_;
	return '(' . ($kinds{$kind}[$side] =~ s/\bX\b/$x/gr =~ s/\bARENA\b/$arena/gr) . ')';
}

sub integer
{
	my @usual = @_;
	return chance(0.75) && @usual ? pick(@usual) : pick(qw(0 1 -1 2147483647 -2147483648 NULL 7 1025 100001));
}

# Are the ids of a call literals without a type, as applications write them?
my $untyped;

sub id
{
	my ($model, $side) = @_;
	return literal($model->{kind} eq 'text' && $side == 0 ? 'user "' . between(1, 12) . "'" : between(1, 20)) if $untyped;
	return hostile($model->{arena}, @hostile_ids) if chance(0.25);
	return of_kind($model->{arena}, $model->{kind}, $side, between(1, 20));
}

sub ids
{
	my ($model, $side) = @_;
	return hostile($model->{arena}, @hostile_arrays) if chance(0.35);
	return literal('{' . join(',', map { between(1, 20) } 1 .. between(0, 6)) . '}') if $untyped;
	my $type = $kinds{ $model->{kind} }[ 2 + $side ] =~ s/\bARENA\b/$model->{arena}/gr;
	# no array of arrays holds other arrays
	return "(SELECT array_agg(x) FROM (VALUES " . join(', ', map { '(' . of_kind($model->{arena}, $model->{kind}, $side, between(1, 20)) . ')' } 0 .. between(0, 5)) . ') v(x))'
	  if $type =~ /\[\]/;
	return 'ARRAY[' . join(', ', map { of_kind($model->{arena}, $model->{kind}, $side, between(1, 20)) } 1 .. between(0, 6)) . "]::${type}[]";
}

sub source
{
	my ($model) = @_;
	return literal(hostile($model->{arena}, @hostile_sources)) if chance(0.3);
	return literal("$model->{arena}.$model->{kind}_ratings") if chance(0.5);
	return literal("SELECT * FROM $model->{arena}.$model->{kind}_ratings WHERE rating < " . between(2, 9));
}

# The table of a model's factors
sub factor_table
{
	my ($name, $side) = @_;
	return $name =~ /"/ ? $name =~ s/"$/_/r . ($side ? 'items"' : 'users"') : $name . ($side ? '_items' : '_users');
}

# Factors to import
sub factors
{
	my ($model, $side) = @_;
	my $table = factor_table($model->{name}, $side);
	my $id = $side ? 'item_id' : 'user_id';
	return literal(pick($table, $table, "SELECT $id, factors FROM $table", "SELECT *, 1 AS bias FROM $table", "SELECT $id, factors::text AS factors FROM $table",
		"SELECT $id, factors[1:1] AS factors FROM $table", "SELECT $id, NULL::real[] AS factors FROM $table", "SELECT $id, factors || '{NaN}' AS factors FROM $table",
		"SELECT $id, ARRAY[factors, factors] AS factors FROM $table", "TABLE $table UNION ALL TABLE $table", factor_table($model->{name}, 1 - $side)));
}

# What is known of users or items besides
sub features
{
	my ($model) = @_;
	return 'NULL' if chance(0.5);
	return literal(hostile($model->{arena}, @hostile_sources)) if chance(0.3);
	return literal(hostile($model->{arena}, 'SELECT item_id, user_id FROM ARENA.ratings GROUP BY 1, 2', 'SELECT user_id, rating, rating FROM ARENA.ratings', 'SELECT user_id % 7, 0 FROM ARENA.ratings GROUP BY 1',
		'SELECT n, n % 2, n FROM generate_series(-3, 30) n', 'SELECT n, m FROM generate_series(-3, 30) n, generate_series(1, 600) m', 'SELECT n, NULL::text FROM generate_series(1, 9) n',
		'SELECT n, 1, 1e38 FROM generate_series(1, 9) n', q{SELECT 'x', 'y', 'z'}, 'SELECT n, repeat(md5(n::text), 100) FROM generate_series(1, 9) n'));
}

sub word
{
	my @usual = @_;
	return chance(0.8) ? literal(pick(@usual)) : chance(0.2) ? 'NULL' : literal(pick(@hostile_words));
}

# An existing model to train, or a name for a new one
sub name
{
	my ($model) = @_;
	return literal($model->{name}) if chance(0.5);
	return literal("$model->{arena}.new_" . between(1, 5)) if chance(0.5);
	return literal("pg_temp.new_" . between(1, 5)) if chance(0.3);
	return literal(hostile($model->{arena}, @hostile_relations, @hostile_words, 'ARENA.' . 'y' x 70, 'ARENA."q""q"', 'nowhere.x', 'ARENA.', '.x', 'postgres.ARENA.new_1', 'pg_catalog.new_1'));
}

sub model
{
	my ($model) = @_;
	return chance(0.85) ? literal($model->{name}) . '::regclass' : chance(0.1) ? 'NULL' :
	  '(' . literal(hostile($model->{arena}, @hostile_relations)) . ')::regclass';
}

sub options
{
	my ($model, $name, $function) = @_;
	return literal('{"model": "' . pick($model->{name}, $model->{name}, hostile($model->{arena}, @hostile_relations)) =~ s/"/\\"/gr . '", "side": "' . pick(qw(users items users items x)) . '"}')
	  if ($function // '') =~ /^als_solve/ && chance(0.9);
	my @all = ('"factors": 4', '"factors": 1', '"factors": 0', '"factors": "4"', '"factors": null', '"iterations": 2', '"iterations": 1', '"iterations": 1e9', '"alpha": 1', '"alpha": -1', '"alpha": 1e400',
		'"regularization": 0', '"regularization": 1e30', '"feedback": "explicit"', '"feedback": 5', '"solver": "cholesky"', '"nonnegative": true', '"seed": 5', '"seed": 1e30', '"workers": 2', '"workers": -1', '"warm_start": true', '"keep": 2', '"keep": 0',
		'"verbose": 1', '"unknown": 1', '"tolerance": 0.5', '"cg_steps": 1', '"regularization_scaling": 1', '"regularization_by": "ratings"', '"biases": false', '"validation": "x"', '"": {}', '"factors": [4]');
	return pick(literal('[]'), literal('5'), literal('null'), literal('"x"'), 'NULL', literal('{')) if chance(0.1);
	return literal('{"factors": 3, "iterations": 1' . join('', map { ', ' . pick(@all) } 1 .. between(0, 2)) . '}');
}

# How to make arguments, by name and type.  Iterations are few, since to train
# long is no fault.
my @arguments = (
	[ qr/^(?:model|other)$/, 'regclass', \&model ],
	[ qr/^model$/, 'text', \&name ],
	[ qr/^ratings$/, 'text', \&source ],
	[ qr/^(?:ratings|sharded|beside)$/, 'regclass', sub { chance(0.1) ? 'NULL' : '(' . literal(hostile($_[0]{arena}, @hostile_relations, ('ARENA.sharded') x 9)) . ')::regclass' } ],
	[ qr/^(?:test|training|validation)$/, 'text', sub { chance(0.3) ? 'NULL' : source(@_) } ],
	[ qr/^user_(?:id|column)$/, qr/^(?:"any"|text|anycompatible)$/, sub { $_[1] =~ /column/ ? word('user_id', 'item_id', 'user_id') : id($_[0], 0) } ],
	[ qr/^item_(?:id|column)$/, qr/^(?:"any"|text|anycompatible)$/, sub { $_[1] =~ /column/ ? word('item_id', 'user_id', 'item_id') : id($_[0], 1) } ],
	[ qr/^rating_column$/, 'text', sub { chance(0.2) ? 'NULL' : word('rating', 'user_id', 'rating') } ],
	# mostly columns that there are, with what goes with them
	[ qr/^(?:event|weight)_column$/, 'text', sub { chance(0.5) ? 'NULL' : word('rating', 'item_id', 'user_id') } ],
	[ qr/^(?:user|item)_features$/, 'text', \&features ],
	[ qr/^side$/, 'text', sub { word('user', 'item', 'users') } ],
	[ qr/^features$/, 'jsonb', sub { chance(0.5) ? 'NULL' : literal(pick('{"1": 1}', '{"1": 1, "2": -0.5, "3": 1e30}', '{"unknown": 3}', '{}', '{"1": 1e400}', '{"1": "x"}', '{"1": null}', '[]', '5', 'null', '{"": 1e-300}')) } ],
	[ qr/^feature_regularization$/, 'double precision', sub { chance(0.8) ? 'NULL' : chance(0.6) ? pick(0.1, 1, 100) : pick(@hostile_reals) } ],
	[ qr/^event_weights$/, 'jsonb', sub { chance(0.5) ? 'NULL' : literal(pick('{"1": 1, "2": 2, "3": 3, "4": 4, "5": 5}', '{"view": 1}', '{"\'": -1, "\\\\": 0}', '{}', '[]', '5', 'null', '{"a": null}', '{"a": {"b": 1}}', '{"a": 1e400}', '{"": 1e-400}')) } ],
	[ qr/^time_column$/, 'text', sub { chance(0.7) ? 'NULL' : word('item_id', 'user_id', 'rating') } ],
	[ qr/^(half_life|popular_since)$/, 'interval', sub { chance(0.7) ? 'NULL' : literal(pick('7 days', '1 year', '1 microsecond', '0', '-1 day', '178000000 years')) } ],
	[ qr/^reference_time$/, 'timestamp with time zone', sub { chance(0.8) ? 'NULL' : literal(pick('2024-01-01', 'infinity', '-infinity', '4714-11-24 BC', '294276-12-31')) } ],
	[ qr/^since$/, 'timestamp with time zone', sub { chance(0.6) ? 'NULL' : literal(pick('2024-01-01', 'infinity', '-infinity', '4714-11-24 BC', '294276-12-31')) } ],
	[ qr/^(?:column_name|value|detail|hint)$/, 'text', sub { pick('NULL', "'x'", "''", "'%s%n'") } ],
	[ qr/^other_id$/, '"any"', sub { id($_[0], between(0, 1)) } ],
	[ qr/^users$/, 'text', sub { ($_[2] // '') =~ /together|refresh/ ? ids($_[0], 0) : chance(0.6) ? factors($_[0], 0) : chance(0.3) ? source(@_) : chance(0.3) ? 'NULL' : ids($_[0], 0) } ],
	[ qr/^items$/, 'text', sub { chance(0.6) ? factors($_[0], 1) : chance(0.3) ? source(@_) : ids($_[0], 1) } ],
	[ qr/^users$/, qr/^(?:"any"|text\[\]|anycompatible)$/, sub { chance(0.3) ? 'NULL' : ids($_[0], 0) } ],
	[ qr/^(?:items|exclude|candidates)$/, qr/^(?:"any"|text|text\[\]|anycompatible)$/, sub { chance($_[1] eq 'items' ? 0.02 : 0.3) ? 'NULL' : ids($_[0], 1) } ],
	[ qr/^(?:ratings|weights)$/, qr/^double precision\[\]$/, sub { pick('NULL', "'{1,2,3}'", "'{}'", "'{NULL}'", "'{NaN}'", "'{-1,0,1e300}'", "'{Infinity,1}'", "'{{1,2},{3,4}}'", 'ARRAY[' . join(', ', map { between(-2, 5) } 1 .. between(1, 6)) . ']::float8[]') } ],
	[ qr/^other_ids$/, 'anyarray', sub { chance(0.1) ? 'NULL' : pick('(SELECT array_agg(DISTINCT user_id) FROM %s)', '(SELECT array_agg(DISTINCT item_id) FROM %s)') =~ s/%s/$_[0]{arena}.$_[0]{kind}_ratings/r } ],
	[ qr/^(?:ratings|weights)$/, 'real[]', sub { pick('NULL', "'{1,2,3}'", "'{}'", "'{NULL}'", "'{NaN}'", "'{{1,2},{3,4}}'", '(SELECT array_agg(1::real) FROM (SELECT DISTINCT ' . pick('user_id', 'item_id') . " FROM $_[0]{arena}.$_[0]{kind}_ratings) r)") } ],
	[ qr/^factors$/, 'real[]', sub { pick('NULL', "'{1,2,3}'", "'{}'", "'{NULL}'", "'{NaN}'", "'{{1,2},{3,4}}'", "'{1}'") } ],
	[ qr/^packed$/, 'bytea', sub { pick('NULL', "''", "'x'", "'\\x3f800000'", "'\\x3f8000003f800000'") } ],
	[ qr/^(?:users|items|ratings|size|deviation)$/, 'double precision', sub { chance(0.7) ? pick(1, 10, 1000) : pick(@hostile_reals) } ],
	[ qr/^(?:rating|weight)$/, 'double precision', sub { chance(0.9) ? 'rating' : pick(@hostile_reals) } ],
	[ qr/^rating$/, '"any"', sub { chance(0.9) ? 'rating' : pick(@hostile_reals) } ],
	[ qr/^key$/, 'bigint', sub { pick('NULL', 0, 5, '(1::bigint << 40) + 12345', '-9223372036854775808', '9223372036854775807') } ],
	[ qr/./, 'bytea', sub { pick('NULL', "''", "'x'") } ],
	[ qr/^(?:groups|boost)$/, 'text', sub { my ($model) = @_; chance(0.5) ? 'NULL' : chance(0.2) ? source(@_) :
		literal(pick('SELECT ID, ID FROM TABLE', 'SELECT ID, length(ID::text) FROM TABLE', 'SELECT ID, 1 FROM TABLE', 'SELECT ID, NULL::int FROM TABLE', 'SELECT ID, factors FROM TABLE', 'TABLE', 'SELECT ID FROM TABLE', 'SELECT ID, point(1, 1) FROM TABLE', 'SELECT ID, n FROM TABLE, generate_series(1, 2) n', 'SELECT NULL, 1', 'SELECT ID, 0.1 FROM TABLE LIMIT 5', 'SELECT ID, 1e300 FROM TABLE', q{SELECT ID, 'NaN'::float8 FROM TABLE}, 'SELECT 1, ARENA.retrain()', 'SELECT ID::text, ID FROM TABLE', "SELECT user_id, rating FROM ARENA.$model->{kind}_ratings")
		=~ s/\bTABLE\b/factor_table($model->{name}, 1)/er =~ s/\bID\b/item_id/gr =~ s/\bARENA\b/$model->{arena}/gr) } ],
	[ qr/^diversity$/, 'double precision', sub { chance(0.6) ? pick(0, 0.1, 0.5, 1) : pick(@hostile_reals) } ],
	[ qr/^per_group$/, 'integer', sub { integer(1, 3, 10, 100) } ],
	[ qr/^(?:other_)?run$/, 'integer', sub { chance(0.5) ? 'NULL' : chance(0.8) ? "(SELECT run FROM $_[0]{name} ORDER BY run DESC OFFSET " . between(0, 2) . ' LIMIT 1)' : integer(1, 2, 3) } ],
	[ qr/^deploy$/, 'text', sub { word('always', 'never', 'if_better') } ],
	[ qr/^keep$/, 'integer', sub { integer(1, 2, 3, 'NULL') } ],
	[ qr/^feedback$/, 'text', sub { word('implicit', 'explicit') } ],
	[ qr/^solver$/, 'text', sub { word('cg', 'cholesky') } ],
	[ qr/^regularization_by$/, 'text', sub { word('confidence', 'ratings') } ],
	[ qr/^metric$/, 'text', sub { word('cosine', 'inner_product') } ],
	[ qr/^validation_metric$/, 'text', sub { word(qw(rmse mae ndcg map auc precision recall)) } ],
	[ qr/^boost_by$/, 'text', sub { word('sum', 'product') } ],
	[ qr/^by$/, 'text', sub { word('average', 'least_misery') } ],
	[ qr/^cold_start$/, 'text', sub { word('none', 'popular', 'error', 'biases') } ],
	[ qr/^factors$/, 'integer', sub { integer(1, 2, 3, 4, 4, 4, 17, chance(0.05) ? 1024 : 5) } ],
	[ qr/^iterations$/, 'integer', sub { chance(0.9) ? pick(1, 2, 3) : pick(0, -1, 100001, 2147483647, 'NULL') } ],
	# as many trials as somebody asks for are run
	[ qr/^trials$/, 'integer', sub { chance(0.9) ? pick(1, 2, 3) : pick(0, -1, 'NULL') } ],
	[ qr/^cg_steps$/, 'integer', sub { integer(1, 2, 3) } ],
	[ qr/^workers$/, 'integer', sub { integer(0, 1, 2, 'NULL') } ],
	[ qr/^(?:k|validation_k|patience|width)$/, 'integer', sub { integer(1, 3, 10, 100) } ],
	[ qr/^k$/, 'bigint', sub { chance(0.1) ? pick('9223372036854775807', '-9223372036854775808', '2147483648') : integer(1, 3, 10, 100) } ],
	[ qr/^seed$/, 'bigint', sub { pick(1, 42, 0, '-9223372036854775808', '9223372036854775807', 'NULL') } ],
	[ qr/^more_k$/, 'bigint[]', sub { chance(0.3) ? 'NULL' : literal(pick('{}', '{1,5,20}', '{3,3,null}', '{{1,2},{7,4}}', '{0}', '{9223372036854775807}', '{' . join(',', 1 .. between(1, 150)) . '}')) } ],
	[ qr/^(?:regularization|regularization_scaling|alpha|tolerance|validation_fraction|relevant_from|confidence|fraction|mean_rating|min_score|sample)$/, 'double precision', sub { chance(0.6) ? pick(0.1, 0.5, 1) : pick(@hostile_reals) } ],
	# false is refused with implicit feedback
	[ qr/^biases$/, 'boolean', sub { pick('true', 'true', 'true', 'true', 'false') } ],
	[ qr/./, 'boolean', sub { pick('true', 'false', 'true', 'false', 'NULL') } ],
	[ qr/^timeout$/, 'interval', sub { pick('NULL', "'1 microsecond'", "'1 hour'", chance(0.7) ? 'NULL' : pick("'0'", "'-1 day'", "'178000000 years'", "'1 month -30 days'")) } ],
	[ qr/^grid$/, 'jsonb', sub { literal(chance(0.6) ? pick(@grids[ 0 .. 5 ]) : pick(@grids)) } ],
	[ qr/^options$/, 'jsonb', \&options ],
	[ qr/_type$/, qr/^any(?:element|compatible)$/, sub { my ($model, $name) = @_;
		(chance(0.7) ? 'NULL::' . $kinds{ $model->{kind} }[ $name =~ /user/ ? 2 : 3 ] : pick(qw(NULL::int NULL::text NULL::bigint 1 NULL NULL::ARENA.pair NULL::ARENA.dom NULL::int[] NULL::numeric NULL::record NULL::void))) =~ s/\bARENA\b/$model->{arena}/gr } ],
	[ qr/^training$/, qr/als_model$/, sub { my ($model) = @_; pick("(SELECT m FROM $model->{name} m ORDER BY run DESC LIMIT 1)", "(SELECT m FROM $model->{arena}.forged m LIMIT 1)", 'NULL', 'ROW(1,2)', 'NULL::als_model') } ],
	# parts of als_train_sharded, which write statements or execute them
	[ qr/^(?:query|act|source|copy|sums|summed|grouped|by_user|by_item|by_side|guard)$/, 'text', sub { chance(0.3) ? 'NULL' : literal(hostile($_[0]{arena}, 'SELECT 1', @hostile_sources)) } ],
	[ qr/^(?:comment|import)$/, 'text', sub { word('x') } ],
	[ qr/^place$/, 'text', sub { word('coordinator', 'all_nodes', 'nodes', 'shards') } ],
	[ qr/^(?:als|dblink|work|server)$/, 'name', sub { word('public', 'public', 'itself', $_[0]{arena}) } ],
	[ qr/^steps$/, 'text[]', sub { pick('NULL', "'{}'", "'{NULL}'", "ARRAY['SELECT 1']", "ARRAY['SELECT 1', 'SELECT 1 / 0']", "'{{SELECT 1},{x}}'", 'ARRAY[' . literal(hostile($_[0]{arena}, @hostile_sources)) . ']') } ],
	[ qr/^(?:types|examples|shards)$/, 'text[]', sub { pick('NULL', "'{}'", "'{int,int[],text,text[]}'", "'{int,int[],text,text[],int[],text[]}'", "'{{a,b},{c,d}}'", "'{NULL,;,\\',}'", 'array_fill(NULL::text, ARRAY[30000])') } ],
	[ qr/^servers$/, 'name[]', sub { pick('NULL', "'{}'", "'{NULL}'", "'{files}'", "'{itself}'", "'{nowhere,files}'", "'{{a},{b}}'", "'[5:6]={a,b}'") } ],
	[ qr/^rank$/, 'integer', sub { integer(1, 4, 100) } ],
	# what SQL cannot give
	[ qr/./, 'internal', sub { pick('NULL', "'0'", "'x'") } ]);

# The functions of the extension with their input arguments
my @functions;
my $listed = $node->safe_psql('postgres', q{
SELECT p.oid::regprocedure, p.proname, p.prokind, p.proretset, p.prorettype::regtype, p.prolang::int, a.name, a.type::regtype, a.number > p.pronargs - p.pronargdefaults
FROM pg_depend d
JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
LEFT JOIN LATERAL (SELECT coalesce(p.proargnames[n], '$' || n), p.proargtypes[n - 1], n FROM generate_series(1, p.pronargs) n) a(name, type, number) ON true
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'als')
ORDER BY p.proname COLLATE "C", 1, a.number});
my @missing;
for (split /\n/, $listed)
{
	my ($signature, $name, $kind, $set, $returns, $language, $argument, $type, $optional) = split /\|/;
	push @functions, { signature => $signature, name => $name, aggregate => $kind eq 'a', set => $set eq 't', sql => $language == 14, arguments => [] }
	  unless @functions && $functions[-1]{signature} eq $signature;
	next if $type eq '';
	my ($how) = grep { $argument =~ $_->[0] && (ref $_->[1] ? $type =~ $_->[1] : $type eq $_->[1]) } @arguments;
	# support functions of aggregates have no names for their arguments, and may not be called
	($how) = [ undef, undef, sub { 'NULL' } ] if !$how && $functions[-1]{arguments}[0] && $functions[-1]{arguments}[0]{type} eq 'internal';
	push @missing, "$argument $type of $signature" unless $how;
	push @{ $functions[-1]{arguments} }, { name => $argument, type => $type, optional => $optional eq 't', make => $how && $how->[2] };
}
is(join(', ', @missing), '', 'arguments of all functions can be made');
BAIL_OUT('no functions') if @functions < 10;
my @views = split /\n/, $node->safe_psql('postgres', q{
SELECT d.objid::regclass FROM pg_depend d JOIN pg_class c ON c.oid = d.objid WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND c.relkind = 'v'
AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'als')});
my @columns = map { [ split /\|/ ] } split /\n/, $node->safe_psql('postgres', q{
SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = (SELECT typrelid FROM pg_type WHERE typname = 'als_model') ORDER BY attnum});

#
# The arena
#

# Statements that make the schema anew, and its models: [name, kind]
sub arena
{
	my ($arena) = @_;
	my @kinds = ('int', 'text', sort { rand() <=> 0.5 } grep { $_ ne 'int' && $_ ne 'text' } sort keys %kinds);
	my @statements = (
		'RESET ALL', 'RESET ROLE', 'SET client_min_messages = warning', "SET als.cache_size = '" . pick('64kB', '100kB', '256MB') . "'", "DROP SCHEMA IF EXISTS $arena CASCADE", "CREATE SCHEMA $arena",
		"GRANT ALL ON SCHEMA $arena TO als_fuzz_other", "GRANT USAGE ON SCHEMA $arena TO als_fuzz_nobody",
		"CREATE TYPE $arena.mood AS ENUM ('sad', 'ok')", "CREATE TYPE $arena.pair AS (a int, b text)",
		# code of a user that runs while ids are compared and converted: it uses
		# other models, trains them and changes their tables
		"SELECT setseed(0." . between(1, 999) . ')',
		"CREATE FUNCTION $arena.look() RETURNS void LANGUAGE plpgsql AS \$\$ BEGIN CASE floor(random() * 400) " . join(' ', map { "WHEN $_->[0] THEN $_->[1];" }
			[ 0, "PERFORM als_predict('$arena.text', 'x', 'x')" ], [ 1, "PERFORM als_recommend_as(NULL::text, '$arena.text', 'x', exclude_seen => false)" ], [ 2, "PERFORM als_similar_items('$arena.int', 3)" ],
			[ 3, "PERFORM set_config('als.cache_size', '64kB', false)" ], [ 4, "PERFORM count(als_predict(model, 1, 1)) FROM als_models WHERE schema = '$arena' AND name IN ('int', 'itself')" ]) . ' ELSE NULL; END CASE; END $$',
		"CREATE FUNCTION $arena.mischief() RETURNS void LANGUAGE plpgsql AS \$\$ BEGIN CASE floor(random() * 400) WHEN 0 THEN PERFORM $arena.retrain(); WHEN 1 THEN UPDATE $arena.composite SET seed = seed; WHEN 2 THEN UPDATE $arena.int SET seed = seed; ELSE PERFORM $arena.look(); END CASE; " .
		"EXCEPTION WHEN OTHERS THEN IF SQLSTATE = 'XX000' AND SQLERRM !~ 'during a parallel operation' THEN RAISE; END IF; END \$\$",
		"CREATE FUNCTION $arena.admits(int) RETURNS boolean LANGUAGE plpgsql AS \$\$ BEGIN PERFORM $arena.mischief(); RETURN \$1 > -5; END \$\$",
		"CREATE FUNCTION $arena.to_int($arena.pair) RETURNS int LANGUAGE plpgsql AS \$\$ BEGIN PERFORM $arena.mischief(); RETURN (\$1).a; END \$\$", "CREATE CAST ($arena.pair AS int) WITH FUNCTION $arena.to_int($arena.pair) AS IMPLICIT",
		"CREATE TYPE $arena.ev AS (x int)",
		# comparisons run while PostgreSQL builds indexes and holds pages: they may
		# not train, nor catch errors
		(map { my ($name, $arguments, $returns, $body) = @$_; my $does = $name =~ /hash/ ? 'mischief' : 'look'; "CREATE FUNCTION $arena.ev_$name(" . ($arguments =~ s/\bev\b/$arena.ev/gr) . ") RETURNS $returns LANGUAGE plpgsql AS \$\$ BEGIN PERFORM $arena.$does(); RETURN $body; END \$\$" }
			[ 'lt', 'ev, ev', 'boolean', '($1).x < ($2).x' ], [ 'le', 'ev, ev', 'boolean', '($1).x <= ($2).x' ], [ 'eq', 'ev, ev', 'boolean', '($1).x = ($2).x' ], [ 'ge', 'ev, ev', 'boolean', '($1).x >= ($2).x' ],
			[ 'gt', 'ev, ev', 'boolean', '($1).x > ($2).x' ], [ 'cmp', 'ev, ev', 'int', 'btint4cmp(($1).x, ($2).x)' ], [ 'hash', 'ev', 'int', 'hashint4(($1).x)' ], [ 'hash64', 'ev, bigint', 'bigint', 'hashint4extended(($1).x, $2)' ]),
		(map { "CREATE OPERATOR $arena.$_->[0] (LEFTARG = $arena.ev, RIGHTARG = $arena.ev, FUNCTION = $arena.ev_$_->[1])" } [ '<', 'lt' ], [ '<=', 'le' ], [ '=', 'eq' ], [ '>=', 'ge' ], [ '>', 'gt' ]),
		"CREATE OPERATOR CLASS $arena.ev_ops DEFAULT FOR TYPE $arena.ev USING btree AS OPERATOR 1 $arena.<, OPERATOR 2 $arena.<=, OPERATOR 3 $arena.=, OPERATOR 4 $arena.>=, OPERATOR 5 $arena.>, FUNCTION 1 $arena.ev_cmp($arena.ev, $arena.ev)",
		"CREATE OPERATOR CLASS $arena.ev_ops DEFAULT FOR TYPE $arena.ev USING hash AS OPERATOR 1 $arena.=, FUNCTION 1 $arena.ev_hash($arena.ev), FUNCTION 2 $arena.ev_hash64($arena.ev, bigint)",
		"CREATE DOMAIN $arena.dom AS int CHECK ($arena.admits(VALUE))",
		"CREATE TABLE $arena.ratings AS SELECT u AS user_id, i AS item_id, (1 + (u * 31 + i * 17) % 5 - CASE u WHEN 3 THEN 9 ELSE 0 END)::real AS rating FROM generate_series(1, 12) u, generate_series(1, 150) i WHERE (u * 7 + i * 3) % 5 < 2",
		"CREATE INDEX an_index ON $arena.ratings (user_id)", "ANALYZE $arena.ratings", "CREATE VIEW $arena.a_view AS TABLE $arena.ratings", "CREATE MATERIALIZED VIEW $arena.a_matview AS TABLE $arena.ratings",
		"CREATE SEQUENCE $arena.a_sequence", "CREATE TYPE $arena.a_composite AS (user_id int, item_id int, rating real)", 'CREATE TEMP TABLE IF NOT EXISTS tt AS SELECT 1 AS user_id, 2 AS item_id, 3 AS rating',
		"CREATE TABLE $arena.parted (user_id int, item_id int, rating real) PARTITION BY RANGE (user_id)", "CREATE TABLE $arena.parted_1 PARTITION OF $arena.parted FOR VALUES FROM (0) TO (10)",
		"INSERT INTO $arena.parted SELECT * FROM $arena.ratings WHERE user_id < 10",
		"CREATE TABLE $arena.big AS SELECT 1 + n % 12 AS u, 1 + n % 15 AS i FROM generate_series(1, 2000) n", "ANALYZE $arena.big",
		"CREATE TABLE $arena.of_parted OF als_model PARTITION BY RANGE (run)", "CREATE TABLE $arena.untyped AS SELECT NULL::als_model AS m",
		"CREATE FUNCTION $arena.touch() RETURNS int LANGUAGE plpgsql AS \$\$ BEGIN UPDATE $arena.composite SET seed = seed; UPDATE $arena.int SET seed = seed; RETURN 1; EXCEPTION WHEN OTHERS THEN RETURN 1; END \$\$",
		"CREATE FUNCTION $arena.again() RETURNS int LANGUAGE plpgsql AS \$\$ BEGIN IF random() < 0.01 AND to_regclass('$arena.itself') IS NOT NULL AND NOT pg_is_in_recovery() THEN PERFORM als_train('$arena.itself', '$arena.ratings', factors => 20, iterations => 1); UPDATE $arena.itself SET source = 'SELECT * FROM $arena.ratings WHERE $arena.again() > 0'; END IF; RETURN 1; END \$\$",
		"CREATE FUNCTION $arena.retrain() RETURNS int LANGUAGE sql AS \$\$ SELECT 0 * (als_train('$arena.int', '$arena.ratings', factors => 9, iterations => 1)).run \$\$",
		"CREATE VIEW $arena.updating AS SELECT user_id, item_id, rating FROM $arena.ratings WHERE CASE WHEN random() < 0.01 THEN $arena.touch() ELSE 1 END > 0",
		"CREATE VIEW $arena.retraining AS SELECT CASE WHEN random() < 0.01 THEN $arena.retrain() ELSE 0 END + user_id AS user_id, item_id, rating FROM $arena.ratings");
	push @statements, $has_files ? "CREATE FOREIGN TABLE $arena.foreign_ratings (user_id int, item_id int, rating real) SERVER files OPTIONS (program 'printf 1,2,3', format 'csv')" :
	  "CREATE TABLE $arena.foreign_ratings (user_id int, item_id int, rating real)";
	push @statements, "CREATE TABLE $arena.sharded (user_id int, item_id int, rating real) PARTITION BY HASH (user_id)",
	  $has_servers ? "CREATE FOREIGN TABLE $arena.sharded_1 PARTITION OF $arena.sharded FOR VALUES WITH (MODULUS 1, REMAINDER 0) SERVER itself OPTIONS (schema_name '$arena', table_name 'ratings')" : ();
	my @models;
	for my $kind (@kinds[ 0 .. 5 ])
	{
		push @statements, "CREATE VIEW $arena.${kind}_ratings AS SELECT " . of_kind($arena, $kind, 0, 'user_id') . ' AS user_id, ' . of_kind($arena, $kind, 1, 'item_id') . " AS item_id, rating, abs(rating) AS sure FROM $arena.ratings";
		my $name = "$arena.$kind";
		$name = "pg_temp.temporary_$kind" if $kind eq $kinds[4];
		my $factors = pick(1, 4, 4, 16, 50);
		my $options = $kind eq 'int' ? '' : pick('', ", feedback => 'explicit'", ", feedback => 'explicit', weight_column => 'sure'", ', nonnegative => true', ", solver => 'cholesky'", $kind eq 'text' ? ', validation_fraction => 0.2' : '');
		push @statements, map { "SELECT (als_train('$name', '$arena.${kind}_ratings', factors => $factors, iterations => $_, regularization => 1, workers => 0, keep => 3$options)).run" } 1 .. 2;
		push @models, { arena => $arena, name => $name, kind => $kind, factors => $factors };
	}
	# of a table, whose changes are tracked
	push @statements, "SELECT (als_train('$arena.tracked', '$arena.ratings', factors => 2, iterations => 1, workers => 0)).run", "SELECT als_track('$arena.tracked')";
	push @models, { arena => $arena, name => "$arena.tracked", kind => 'int', factors => 2 };
	push @statements, "SELECT (als_train_agg('$arena.\"aggre gated\"', user_id, item_id, rating, '{\"factors\": 4, \"iterations\": 1}')).run FROM $arena.ratings",
	  "CREATE TABLE $arena.forged OF als_model", "INSERT INTO $arena.forged TABLE $arena.int", forge("$arena.forged", $arena),
	  # a source that trains its own model, a table with dropped columns
	  "SELECT (als_train('$arena.itself', '$arena.ratings', factors => 3, iterations => 1)).run", "UPDATE $arena.itself SET source = 'SELECT * FROM $arena.ratings WHERE $arena.again() > 0'",
	  "CREATE TABLE $arena.dropped (" . join(', ', map { "x$_ " . pick(qw(int bigint text float8)) . ' DEFAULT ' . between(1, 9) } 1 .. @columns) . ')',
	  "INSERT INTO $arena.dropped DEFAULT VALUES", "ALTER TABLE $arena.dropped " . join(', ', map { "DROP x$_" } 1 .. @columns),
	  # the defaults of new columns leave what the dropped ones hold
	  "DO \$\$ DECLARE c record; v text; BEGIN FOR c IN SELECT attname, atttypid::regtype AS type FROM pg_attribute WHERE attrelid = '$arena.int'::regclass AND attnum > 0 ORDER BY attnum LOOP EXECUTE format('SELECT %I::text FROM $arena.int ORDER BY run DESC LIMIT 1', c.attname) INTO v; EXECUTE format('ALTER TABLE $arena.dropped ADD %I %s DEFAULT %L', c.attname, c.type, v); END LOOP; END \$\$",
	  "ALTER TABLE $arena.dropped OF als_model",
	  "CREATE TABLE $arena.hollow OF als_model", "INSERT INTO $arena.hollow DEFAULT VALUES", forge("$arena.hollow", $arena),
	  "ALTER TABLE $arena.text OWNER TO als_fuzz_other", "GRANT SELECT ON ALL TABLES IN SCHEMA $arena TO als_fuzz_other", "GRANT SELECT ON $arena.int, $arena.ratings TO als_fuzz_nobody";
	push @models, map { { arena => $arena, name => "$arena.$_", kind => 'int', factors => 4 } } ('int', '"aggre gated"', 'forged', 'hollow', 'itself', 'dropped');
	return (\@statements, \@models);
}

# Changes a model's rows to what they should never be
sub forge
{
	my ($table, $arena) = @_;
	return map {
		my ($column, $type) = @{ pick(@columns) };
		my $value = $type eq 'regclass' ? (chance(0.2) ? 'NULL' : literal(hostile($arena, @hostile_relations)) . '::regclass') :
		  $type eq 'text' ? pick('NULL', literal(hostile($arena, @hostile_sources)), literal('x'), literal('explicit'), literal('implicit'), literal('item_id')) :
		  $type eq 'boolean' ? pick('NULL', 'true', 'false') : $type =~ /\[\]/ ? pick('NULL', "'{}'", "'{NULL}'", "'{NaN,1}'", "'{{1}}'", "'{1,2,3}'") :
		  $type eq 'jsonb' ? pick('NULL', "'{}'", "'[1]'", q{'{"view": 1}'}, q{'{"1": null}'}, q{'{"1": 1e300}'}) : $type eq 'interval' ? pick('NULL', "'0'", "'1 day'", "'-1 year'") :
		  $type =~ /^timestamp/ ? pick('NULL', "'infinity'", 'now()') : $type =~ /double/ ? pick(@hostile_reals) : integer(3, 5);
		"UPDATE $table SET $column = $value" } 1 .. between(1, 3);
}

# A statement that changes what models are made of
sub chaos
{
	my ($models) = @_;
	my $model = pick(@$models);
	my ($arena, $name) = @$model{qw(arena name)};
	my $side = pick(0, 1);
	my $id = $side ? 'item_id' : 'user_id';
	my $table = factor_table($name, $side);
	my $one = of_kind($arena, $model->{kind}, $side, between(1, 20));
	return pick(
		"UPDATE $table SET factors = " . vector($model->{factors}), "UPDATE $table SET factors = " . vector($model->{factors}) . " WHERE $id = $one", "INSERT INTO $table ($id, factors) VALUES ($one, " . vector($model->{factors}) . ')',
		"DELETE FROM $table WHERE $id = $one", "DELETE FROM $table", "TRUNCATE $table", "ALTER TABLE $table ADD COLUMN extra int DEFAULT 5", "ALTER TABLE $table DROP COLUMN " . pick('factors', $id, 'extra', 'bias'),
		"ALTER TABLE $table ADD COLUMN factors real[]", "ALTER TABLE $table ADD COLUMN factors real[] DEFAULT '{1,2,3,4}'", "ALTER TABLE $table ADD COLUMN $id int", "ALTER TABLE $table ALTER COLUMN factors TYPE " . pick('float8[]', 'text'), "ALTER TABLE $table ALTER COLUMN $id TYPE text",
		"ALTER TABLE $table ENABLE ROW LEVEL SECURITY", "ALTER TABLE $table FORCE ROW LEVEL SECURITY", "CREATE TABLE $arena.child () INHERITS ($table)", "ALTER TABLE $table INHERIT $arena.ratings", "ALTER TABLE $table RENAME TO renamed",
		"ALTER TABLE $table SET SCHEMA public", "ALTER TABLE $table OWNER TO als_fuzz_other", "DROP TABLE $table CASCADE", "DROP TABLE $table", "DROP TABLE $name", "ALTER TABLE $name RENAME TO renamed_model", "ALTER TABLE $table SET UNLOGGED",
		"ALTER TABLE $name NOT OF", "ALTER TABLE $name OF als_model", "ALTER TABLE $arena.untyped OF als_model", "TRUNCATE $name", "DELETE FROM $name", "INSERT INTO $name TABLE $arena.forged", "INSERT INTO $name DEFAULT VALUES", forge($name, $arena), forge($name, $arena),
		"ALTER TABLE $name OWNER TO als_fuzz_other", "ALTER TABLE $name ENABLE ROW LEVEL SECURITY", "CLUSTER $table", "VACUUM FULL $table", "VACUUM $name, $table", "REINDEX TABLE $table", "ANALYZE $table", "CREATE INDEX ON $table USING hash ($id)",
		"ALTER TABLE $table DROP CONSTRAINT " . pick(qw(int_users_pkey int_items_pkey)), "ALTER TABLE $table ADD CHECK ($id IS NULL)", "ALTER TABLE $table ADD CHECK (factors[1] < 0) NOT VALID", "CREATE RULE r AS ON INSERT TO $table DO INSTEAD NOTHING",
		"CREATE TRIGGER t BEFORE INSERT OR UPDATE ON $table FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()", "CREATE TRIGGER t AFTER INSERT ON $arena.ratings EXECUTE FUNCTION als_changed()", "CREATE TRIGGER t AFTER INSERT ON $table FOR EACH ROW EXECUTE FUNCTION als_changed()",
		"INSERT INTO $arena.ratings VALUES (" . between(1, 20) . ', ' . between(1, 20) . ', ' . pick(1, 5, -1, 0, "'NaN'", 'NULL', "'3e38'") . ')', "DELETE FROM $arena.ratings WHERE user_id = " . between(1, 12), "UPDATE $arena.ratings SET rating = " . pick(0, -1, 'NULL', "'NaN'", "'Infinity'", 1, 3) . ' WHERE item_id = ' . between(1, 15),
		"UPDATE $arena.ratings SET rating = 1 WHERE NOT rating BETWEEN -9 AND 9 OR rating IS NULL", "ALTER TABLE $arena.ratings ALTER COLUMN rating TYPE numeric", "ALTER TABLE $arena.ratings ADD COLUMN more int", "DELETE FROM $arena.ratings", "REVOKE ALL ON $name FROM als_fuzz_other", "GRANT SELECT ON $name TO als_fuzz_nobody",
		"ALTER TABLE $arena.of_parted ATTACH PARTITION $name FOR VALUES FROM (0) TO (100)", "CREATE TABLE $arena.of_part PARTITION OF $arena.of_parted DEFAULT", "COMMENT ON TABLE $name IS 'x'", 'DISCARD ALL', 'DISCARD TEMP', "SELECT count(*) FROM $table", "LOCK TABLE $table IN ACCESS EXCLUSIVE MODE", "ALTER DOMAIN $arena.dom ADD CHECK (VALUE <> 7)",
		(map { "SELECT count(*) FROM $_" } @views), "ALTER TYPE $arena.pair ADD ATTRIBUTE c int CASCADE", "ALTER TYPE $arena.pair DROP ATTRIBUTE b CASCADE", "CHECKPOINT", "SELECT pg_notify('x', 'y')");
}

my @settings = (
	(map { "work_mem = '$_'" } '64kB', '1MB', '64MB'), (map { "maintenance_work_mem = '$_'" } '1MB', '1MB', '64MB'), (map { "als.cache_size = '$_'" } '64kB', '64kB', '65kB', '256MB'), (map { "als.kernels = $_" } qw(auto reference generic avx2 avx512 x)),
	(map { ("max_parallel_workers = $_", "max_parallel_workers_per_gather = $_", "max_parallel_maintenance_workers = $_") } 0, 2), 'parallel_setup_cost = 0', 'parallel_tuple_cost = 0', 'min_parallel_table_scan_size = 0',
	(map { my $what = $_; map { "enable_$what = $_" } 'on', 'off' } qw(hashagg sort seqscan indexscan bitmapscan material nestloop hashjoin)), 'role = als_fuzz_other', 'role = als_fuzz_nobody', 'role = none', 'role = none', 'search_path = pg_catalog', 'search_path = ARENA, public', 'search_path = public',
	'default_transaction_isolation = serializable', "default_transaction_isolation = 'repeatable read'", "default_transaction_isolation = 'read committed'", 'default_transaction_read_only = on', 'default_transaction_read_only = off', 'plan_cache_mode = force_generic_plan', 'jit = on', 'jit_above_cost = 0', 'row_security = off',
	"DateStyle = 'German, DMY'", 'extra_float_digits = -15', "temp_tablespaces = ''", 'temp_file_limit = 100', 'temp_file_limit = -1', "bytea_output = 'escape'", 'xmloption = document', "TimeZone = 'Asia/Kathmandu'", 'client_min_messages = debug1', 'client_min_messages = warning', 'from_collapse_limit = 1', 'check_function_bodies = off');

# SQL that forces parallel plans, as far as this PostgreSQL has a setting for it
sub forced
{
	my ($how) = @_;
	return "SELECT set_config(name, '$how', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')";
}

# How often each function has been called
my %called;

# A call of a function, and what it is called with
sub call
{
	my ($function, $model, $replace) = @_;
	$called{ $function->{signature} }++;
	my $positional = chance(0.1);
	# which is what calls of the text form of a function need to be
	$untyped = chance((grep { $_->{type} eq 'text' && $_->{name} =~ /^(?:user_id|item_id|item|id|users|items|exclude|candidates)$/ } @{ $function->{arguments} }) ? 0.6 : 0.2);
	my @given;
	for my $argument (@{ $function->{arguments} })
	{
		next if $argument->{optional} && !$positional && chance(0.6) && $argument->{name} !~ /^(?:factors|iterations)$/;
		last if $argument->{optional} && $positional && chance(0.3);
		my $value = $replace && $argument->{name} eq 'model' ? $replace : $argument->{make}->($model, $argument->{name}, $function->{name});
		push @given, $positional || $function->{aggregate} || $argument->{name} =~ /^\$/ ? $value : "$argument->{name} => $value";
	}
	return "$function->{name}(" . join(', ', @given) . ')';
}

# A query with an aggregate
sub aggregate_query
{
	my ($function, $model) = @_;
	my $call = call($function, $model);
	my $columns = !chance(0.6) ? $call : $function->{name} eq 'als_solve' ? 'als_solve(' . pick('user_id', 'item_id') . ', rating, ' . options($model, 'options', 'als_solve') . ')' :
	  $call =~ s/\(.*/(/sr . name($model) . ', user_id, item_id, rating, ' . options() . ')';
	$columns =~ s/\(/(DISTINCT / if chance(0.1);
	$columns =~ s/\)$/ ORDER BY rating)/ if chance(0.1);
	$columns .= ' FILTER (WHERE ' . pick('false', 'rating > 2', 'user_id IS NOT NULL') . ')' if chance(0.1);
	$columns .= ' OVER ()' if chance(0.03);
	my $query = "SELECT $columns AS m FROM $model->{arena}.$model->{kind}_ratings" . (chance(0.2) ? ' WHERE ' . pick('false', 'rating > 2') : '') . (chance(0.3) ? ' GROUP BY ' . pick('rating', 'rating > 2', 'user_id', 'item_id', 'GROUPING SETS ((rating > 2), ())', 'rating > 2 LIMIT 1') : '');
	return chance(0.2) ? "SELECT (SELECT sum((t.m).users) FROM ($query OFFSET 0) t WHERE (t.m).users > n) FROM generate_series(1, 3) n" : $query;
}

# Statements around a call
sub statements
{
	my ($function, $models, $in_transaction) = @_;
	my $model = pick(@$models);
	my $call = $function->{aggregate} ? '' : call($function, $model);
	my $query = $function->{aggregate} ? aggregate_query($function, $model) : chance(0.5) ? "SELECT * FROM $call" : "SELECT $call";
	my $style = between(1, 20);
	return "SELECT public.try(" . quoted($query) . ')' if $style == 1;
	return "SELECT public.often(" . quoted($query) . ')' if $style == 2;
	return "SELECT public.definer(" . quoted($query) . ')' if $style == 3;
	return "PREPARE p AS $query; EXECUTE p; EXECUTE p; EXECUTE p; DEALLOCATE p" if $style == 4;
	# PostgreSQL warns of snapshots that functions in SQL leave in cursors
	$style = 6 if $style == 5 && $function->{sql};
	return "BEGIN; DECLARE c CURSOR " . pick('', 'WITH HOLD ') . "FOR $query; FETCH 1 FROM c; " . pick('', 'FETCH ALL FROM c; ', 'CLOSE c; ') . pick('COMMIT', 'ROLLBACK') . '; CLOSE ALL' if $style == 5 && !$in_transaction;
	return "DECLARE c CURSOR FOR $query; SAVEPOINT s; FETCH 1 FROM c; " . pick('ROLLBACK TO s', 'RELEASE s') . '; FETCH 1 FROM c; CLOSE c' if $style == 5;
	return "EXPLAIN (ANALYZE, VERBOSE) $query" if $style == 6;
	return "CREATE TEMP TABLE made (n bigint); INSERT INTO made SELECT count(*) FROM ($query) q; DROP TABLE made" if $style == 7;
	return "$query LIMIT " . pick(0, 1) if $style == 8;
	return "SELECT (SELECT count(*) FROM ($query) q WHERE g > 0) FROM generate_series(1, 3) g" if $style == 9;
	return "SELECT " . call($function, $model, 'v.m') . ' FROM (VALUES ' . join(', ', map { '(' . model(pick(@$models)) . ')' } 1 .. 4) . ') v(m)' if $style == 10 && !$function->{aggregate};
	return "SELECT count(*) FROM (SELECT $call FROM $model->{arena}.big LIMIT 40) q" if $style == 11 && !$function->{aggregate} && !$function->{set};
	return "SELECT $call FROM generate_series(1, 3)" if $style == 12 && !$function->{aggregate};
	# untyped parameters, as drivers send them
	if ($style <= 14 && !$function->{aggregate} && @{ $function->{arguments} })
	{
		my @values = map { $_->{make}->($model, $_->{name}, $function->{name}) } @{ $function->{arguments} };
		my @places = map { chance(0.5) ? "\$$_" : $values[ $_ - 1 ] } 1 .. @values;
		my @used = grep { $places[ $_ - 1 ] eq "\$$_" } 1 .. @values;
		$places[ $used[$_] - 1 ] = '$' . ($_ + 1) for 0 .. $#used;
		return "PREPARE p AS SELECT * FROM $function->{name}(" . join(', ', @places) . '); EXECUTE p' . (@used ? '(' . join(', ', map { $values[ $_ - 1 ] } @used) . ')' : '') . '; DEALLOCATE p';
	}
	return $query;
}

# A file with a batch of statements, one a line
sub batch
{
	my ($number) = @_;
	srand($seed * 10000 + $number);
	my $arena = 'arena' . ($number % $sessions || '');
	my ($statements, $models) = arena($arena);
	my @lines = @$statements;
	my $in_transaction;
	for my $call (1 .. $batch_calls)
	{
		if ($in_transaction && chance(0.15))
		{
			push @lines, pick('COMMIT', 'ROLLBACK', "PREPARE TRANSACTION '$arena'; ROLLBACK PREPARED '$arena'; ROLLBACK");
			$in_transaction = 0;
		}
		elsif (!$in_transaction && chance(0.07))
		{
			push @lines, 'BEGIN ISOLATION LEVEL ' . pick('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE') . pick(' READ ONLY', ' READ WRITE', '');
			$in_transaction = 1;
		}
		push @lines, 'SET ' . (pick(@settings) =~ s/\bARENA\b/$arena/gr) if chance(0.25);
		push @lines, forced(pick('on', 'off', 'regress')) if chance(0.05);
		push @lines, chaos($models) if chance(0.15);
		if (chance(0.02) && !$in_transaction)
		{
			# a fresh start
			push @lines, @$statements;
		}
		push @lines, statements(pick(@functions), $models, $in_transaction);
	}
	push @lines, 'ROLLBACK' if $in_transaction;
	my $file = "$work/batch_$number.sql";
	s/\n/ /g for @lines;
	append_to_file($file, join '', map { "$_;\n" } "\\set VERBOSITY verbose\n\\set ON_ERROR_ROLLBACK on\n\\o /dev/null", @lines);
	return $file;
}

# What psql is to say about a file: what must not come
my @failures;
sub judge
{
	my ($file, $stderr, $status) = @_;
	my @lines = split /\n/, slurp_file($file);
	my ($batch) = $file =~ /(\d+)\.sql/;
	my $last = 0;
	for (split /\n/, $stderr)
	{
		next unless /^psql:[^:]*:(\d+): (.*)/;
		$last = $1;
		my $said = $2;
		my ($code, $message) = $said =~ /^(?:ERROR|FATAL|PANIC):  (\w{5}): (.*)/;
		next if $said =~ /^WARNING/ ? $said !~ /leak|not closed|still referenced/i :
		  $code ? $code !~ /^(?:XX|57|58|08)/ : $said !~ /server closed|connection/;
		next if $code && grep { $code eq $_->[0] && $message =~ /^$_->[1]/ } @documented;
		# PostgreSQL evaluates domains in parallel plans whatever their CHECKs do
		next if $code && $code eq 'XX000' && $message =~ /^cannot start \w+ during a parallel operation/;
		# als_sharded_connect goes where it is told
		next if $code && $code eq '08001' && $message =~ /^could not establish connection/;
		# the least that a function may ask for is more than what some have
		next if $code && $code eq '57014' && $message !~ /statement timeout/;
		push @failures, "seed $seed, batch $batch, line $last: $said\n$lines[$last - 1]";
	}
	push @failures, "seed $seed, batch $batch, after line $last: psql ended with $status\n" . join("\n", grep { defined } @lines[ $last .. $last + 5 ]) if $status != 0;
}

# Runs files at the same time.
sub run_files
{
	my @runs = map {
		my $run = { file => $_, out => '', err => '' };
		$run->{run} = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-f', $_ ], '<', \undef, '>', \$run->{out}, '2>', \$run->{err}, IPC::Run::timeout(60 * $timeout));
		$run } @_;
	for my $run (@runs)
	{
		my $hangs = !eval { $run->{run}->finish; 1 };
		if ($hangs)
		{
			push @failures, "$run->{file}: hangs";
			$run->{run}->kill_kill;
		}
		judge($run->{file}, $run->{err}, $hangs ? 0 : ($run->{run}->full_results)[0]);
	}
	$node->poll_query_until('postgres', 'SELECT true') or BAIL_OUT('the server did not come back');
}

# The arena itself is made without an error.
srand($seed);
my ($statements) = arena('arena');
$node->safe_psql('postgres', join ";\n", grep { !/^UPDATE \S+ SET (?!source = .SELECT)/ } @$statements);

my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
my @batches = defined $ENV{ALS_FUZZ_BATCH} ? ($ENV{ALS_FUZZ_BATCH}) : (1 .. $calls / $batch_calls);
while (my @next = splice @batches, 0, $sessions)
{
	my $before = @failures;
	run_files(map { batch($_) } @next);
	diag($_) for splice @{ [@failures] }, $before;
	last if @failures > 50;
}
# All functions have been called, and those that can have returned; chance may
# need some more batches for that.
sub not_called { return join ', ', grep { !$called{$_} } map { $_->{signature} } @functions }
sub not_returned
{
	my @never = ('als_reject_value', $has_servers ? () : 'als_sharded_servers', qw(als_train_sharded als_sharded_nodes als_sharded_connect));
	return $node->safe_psql('postgres', qq{SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
		LEFT JOIN pg_stat_user_functions f ON f.funcid = p.oid
		WHERE d.deptype = 'e' AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'als')
		AND p.proname <> ALL ('{@{[ join ',', @never ]}}')	-- raises an error; want several servers
		AND p.prokind = 'f' AND p.prorettype <> 'trigger'::regtype AND 'internal'::regtype <> ALL (p.proargtypes) AND coalesce(f.calls, 0) = 0});
}
unless (defined $ENV{ALS_FUZZ_BATCH} || @failures)
{
	my $number = 1000000;
	my @all = @functions;
	while ($number < 1000060)
	{
		my $missing = join ', ', not_returned(), not_called();
		my @some = grep { index($missing, $_->{signature}) >= 0 } @all or last;
		@functions = @some;
		run_files(batch($number++));
		@functions = @all;
	}
	diag($_) for @failures;
	is(not_returned(), '', 'all functions have returned at least once');
	is(not_called(), '', 'all functions of the extension have been called');
	my @times = sort { $a <=> $b } @called{ map { $_->{signature} } @functions };
	note(sprintf '%d calls of %d functions, each from %d to %d times', sum(@times), scalar @times, $times[0], $times[-1]);
}

is(scalar @failures, 0, "no crash, no internal error, no hang, seed $seed");

my $log = slurp_file($node->logfile);
my @said = grep { !/ LOG:  statement/ } $log =~ /^(.*(?:terminated by (?:signal|exception)|TRAP|PANIC:|AddressSanitizer|runtime error|WARNING:.*(?:leak|not closed|still referenced)).*)$/mg;
is(join("\n", @said), '', 'nothing crashed and nothing leaked, by the server log');

# A session that goes on and on keeps no more than at first: of what PostgreSQL has
# counted, and of what the system has given to it alone.  PostgreSQL's caches remember
# what they have not found in a catalog, such as statistics of a table that is rolled
# back or dropped later, and never forget that by themselves; of a model that is rolled
# back they keep 80 entries.  A catalog that is rewritten empties its caches.
my $catalogs = $node->safe_psql('postgres', q{SELECT string_agg(oid::regclass::text, ', ') FROM pg_class
	WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND NOT relisshared});
my $rounds = 4 + int($calls / 5000);
srand($seed);
my ($made, $models) = arena('arena');
$models = [ grep { $_->{kind} =~ /^(?:int|text|uuid)$/ && $_->{name} !~ /itself/ } @$models ];
my @again = map { "SELECT public.try(" . quoted($_) . ')' } map { my $function = $_; map { my $q = statements($function, $models, 1); $q =~ /^(?:PREPARE|DECLARE|EXPLAIN|CREATE)|q\$/ ? () : $q } 1 .. 3 } @functions;
my $used = q{SELECT 'context ' || name || ' ' || coalesce(ident, '') || ' ' || sum(used_bytes) FROM pg_backend_memory_contexts GROUP BY name, ident HAVING sum(used_bytes) > 50000; SELECT 'used ' || sum(used_bytes) FROM pg_backend_memory_contexts WHERE name !~ 'LocalBufferContext|MessageContext|Portal|ExecutorState|printtup|ExprContext'};
my $own = -r "/proc/$$/status" ? q{SELECT 'own ' || (regexp_match(pg_read_file('/proc/self/status'), 'RssAnon:\s*(\d+)'))[1]} : 'SELECT 1';
$node->psql('postgres', join(";\n", @$made, "SET als.cache_size = '64kB'", (map { ((@again) x 3, "VACUUM FULL $catalogs", $used, $own) } 1 .. $rounds)) . ';', on_error_stop => 0, stdout => \my $memory, stderr => \my $errors);
# What runs by chance runs for the first time in later rounds too.
for ([ 'used', 1024, 32 + 8 * $rounds ], [ 'own', 1, 4096 ])
{
	my ($what, $unit, $allowed) = @$_;
	my @kb = map { $_ / $unit } $memory =~ /^$what (\d+)$/mg;
	next unless @kb || $what eq 'used';
	my $flat = @kb == $rounds && $kb[-1] <= $kb[1] + $allowed;
	note(sprintf "kB $what after each of %d rounds of %d calls: %s", $rounds, 3 * @again, join ' ', map { sprintf '%.0f', $_ } @kb);
	diag(join "\n", grep { /^(?:context|used|own) / } split /\n/, $memory) unless $flat;
	ok($flat, "memory of a session is flat: $what");
}

done_testing();
