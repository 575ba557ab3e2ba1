# The examples of docs/drivers.md, each by its driver, print what psql shows.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
# JDBC speaks TCP
$node->append_conf('postgresql.conf', "listen_addresses = '127.0.0.1'");
$node->start;
install_als($node);
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT user_id, item_id AS movie_id, rating FROM some_ratings(60, 40, 20);
SELECT als_train('movie_als', 'ratings', item_column => 'movie_id', factors => 8, workers => 0);
});

# The lists that each of them shows, in one line each, and the error
my @expected = ((map { $node->safe_psql('postgres', "SELECT string_agg(item_id::text, ' ') FROM ($_) l") } (
	q{SELECT item_id FROM als_recommend('movie_als', 42, 5, exclude => ARRAY[1, 2, 3])},
	q{SELECT item_id FROM als_recommend_for('movie_als', ARRAY[10, 20], k => 5)},
	q{SELECT item_id FROM als_recommend_all('movie_als', 2, users => ARRAY[7, 8]) ORDER BY user_id, rank})), 'P0002');

my $page = slurp_file('docs/drivers.md');
my $directory = PostgreSQL::Test::Utils::tempdir();
my ($jdbc) = grep { -e } '/usr/share/java/postgresql.jar';
my $user = $node->safe_psql('postgres', 'SELECT current_user');
my $url = sprintf 'jdbc:postgresql://127.0.0.1:%s/postgres?user=%s', $node->port, $user;

# Does a command succeed, if there is one?
sub works
{
	my (@command) = @_;
	return eval { run_log([@command]) };
}

# Debian's Python has Debian's modules; another may have others.
sub python
{
	my ($modules) = @_;
	my ($python) = grep { works($_, '-c', "import $modules") } '/usr/bin/python3', 'python3';
	return $python && [$python];
}

# For each section: the file, and what runs it, if it is there
my %drivers = (
	'psycopg' => [ 'example.py', python('psycopg') ],
	'asyncpg' => [ 'example.py', python('asyncpg') ],
	'SQLAlchemy' => [ 'example.py', python('sqlalchemy, psycopg2') ],
	'Django' => [ 'example.py', python('django, psycopg2') ],
	'JDBC' => [ 'Lists.java', $jdbc && works('javac', '-version') && [ 'java', '-cp', $jdbc ], $url ],
	'node-postgres' => [ 'example.js', works('node', '-e', "require('pg')") && ['node'] ],
	'Rails' => [ 'example.rb', works('ruby', '-r', 'active_record', '-r', 'pg', '-e', '') && ['ruby'] ]);

local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
local $ENV{PGUSER} = $user;
local $ENV{PGDATABASE} = 'postgres';

foreach my $driver (sort keys %drivers)
{
	my ($file, $run, @arguments) = @{ $drivers{$driver} };
	my ($example) = $page =~ /^## \Q$driver\E\n.*?^```\w+\n(.*?)^```$/ms;
  SKIP:
	{
		skip "$driver is not available", 2 unless $run;
		mkdir "$directory/$driver";
		append_to_file("$directory/$driver/$file", $example);
		my ($result, $errors) = run_command([ @$run, "$directory/$driver/$file", @arguments ]);
		my @printed = map { join ' ', /P0002/ ? 'P0002' : /\d+/g } split /\n/, $result;
		is_deeply(\@printed, \@expected, "$driver prints the same") or diag($errors);
		like($page, qr/^\| \[\Q$driver\E\]/m, 'and is in the table');
	}
}

is(join(' ', sort $page =~ /^## (\S+)$/mg), join(' ', sort keys %drivers), 'all sections are tested');
done_testing();
