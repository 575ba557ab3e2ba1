# Eight sessions train, refresh, ask, create, rename and drop models at random.
# Nobody gets an error but those that a DROP or another name explains, and in
# the end shared memory, memory, files and their descriptors are what they were.
#
# ALS_SOAK_OPERATIONS is how much each session does (make soak: ten minutes),
# ALS_SOAK_SEED repeats what was done; in which order sessions get to it does
# not repeat.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs /proc' unless -d '/proc/self/fd';

my $operations = $ENV{ALS_SOAK_OPERATIONS} // 400;
my $seed = $ENV{ALS_SOAK_SEED} // 42;
my $sessions = 8;

my $node = start_server('main', q{
shared_preload_libraries = 'als'
dynamic_shared_memory_type = mmap
als.shared_cache_size = '8MB'
max_connections = 20
max_worker_processes = 8
max_parallel_maintenance_workers = 2
log_error_verbosity = verbose
});
$node->safe_psql('postgres', q{
CREATE TABLE ratings AS SELECT * FROM some_ratings(100, 200, 20);
CREATE TABLE few AS SELECT * FROM some_ratings(8, 9, 97);
CREATE TABLE wide AS SELECT i % 50 AS user_id, i AS item_id, 1 AS rating FROM generate_series(1, 4000) i;
-- the first makes what stays
SELECT run FROM als_train('warm', 'few', factors => 2, iterations => 1);
SELECT count(*) FROM als_recommend('warm', 1, 5, exclude_seen => false);
DROP TABLE warm;
});

sub tables { return $node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relkind = 'r' AND oid >= 16384}); }

my $segments_before = segments($node);
my $tables_before = tables();
my $bound = segment_bound($node);

# A number below n, and one of a list, of the session's own sequence
sub any { return int(rand($_[0])); }
sub one { return $_[ int(rand(scalar @_)) ]; }

# What a session may do, and how often
my @kinds = (
	[ 24, sub { my ($m) = @_; my $factors = 2 + any(14); my $workers = any(3) > 0 ? 0 : any(3);
		sprintf(q{SELECT FROM als_train('%s', '%s', factors => %d, iterations => %d, seed => %d, workers => %d)}, $m, one('ratings', 'few', 'few', 'wide'), $factors, 1 + any(2), any(9), $workers) } ],
	[ 1, sub { my ($m) = @_; "SET maintenance_work_mem = '1MB'; SELECT FROM als_train('$m', 'SELECT user_id, item_id + 1000 * n AS item_id, 1 AS rating FROM ratings, generate_series(1, 15) n', factors => 4, iterations => 1, workers => " . any(2) . '); RESET maintenance_work_mem' } ],
	[ 25, sub { my ($m) = @_; join '; ', ("SELECT count(*) FROM als_recommend('$m', " . any(110) . ', 10)') x (1 + any(3)) } ],
	[ 5, sub { my ($m) = @_; "SELECT count(*) FROM als_recommend_all('$m', 3, workers => " . any(2) . ')' } ],
	[ 10, sub { my ($m) = @_; "SELECT count(*) FROM als_similar_items('$m', " . any(220) . ', 5)' } ],
	[ 5, sub { my ($m) = @_; "SELECT count(*) FROM als_similar_users('$m', " . any(110) . ', 5)' } ],
	[ 10, sub { my ($m) = @_; "SELECT count(als_predict('$m', u, i)) FROM generate_series(1, 30) u, generate_series(1, 60) i" } ],
	[ 5, sub { my ($m) = @_; "SELECT als_refresh_user('$m', " . any(110) . ')' } ],
	[ 5, sub { my ($m) = @_; "SELECT als_refresh_item('$m', " . any(220) . ')' } ],
	[ 2, sub { my ($m) = @_; "SELECT als_fold_in('$m', ARRAY[1, 2, 3])" } ],
	[ 2, sub { my ($m) = @_; "SELECT count(*) FROM als_recommend_for('$m', ARRAY[1, 2, 3])" } ],
	[ 2, sub { my ($m) = @_; "SELECT count(*) FROM als_explain('$m', " . any(110) . ', ' . any(220) . ')' } ],
	[ 1, sub { my ($m) = @_; "SELECT FROM als_evaluate('$m', 'few', workers => " . any(2) . ')' } ],
	[ 3, sub { my ($m) = @_; "DROP TABLE $m" } ],
	[ 2, sub { my ($m) = @_; "ALTER TABLE $m RENAME TO " . one(map { "s$_" } 1 .. 12) } ],
	# not a DROP behind a look: it would wait for a training that waits for it
	[ 2, sub { my ($m) = @_; "BEGIN; DROP TABLE $m; SELECT count(*) FROM als_recommend('s1', 7, 10); " . one('ROLLBACK', 'COMMIT') } ],
	[ 2, sub { my ($m) = @_; "BEGIN; SELECT FROM als_train('$m', 'few', factors => 3, iterations => 1); SAVEPOINT s; SELECT count(*) FROM als_recommend('$m', 7, 10); ROLLBACK TO s; SELECT count(*) FROM als_recommend('$m', 7, 10); " . one('ROLLBACK', 'COMMIT') } ],
	[ 2, sub { "SET als.cache_size = " . one(64, 400, 2000, 100000) } ],
	[ 2, sub { 'SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SELECT count(*) FROM ratings JOIN wide USING (item_id); RESET ALL' } ],
	[ 3, sub { '\c -' } ]);
my $weights = 0;
$weights += $_->[0] for @kinds;

# All that a session will do.  The last two stay connected; what they take is
# told after each quarter.
sub script
{
	my ($number) = @_;
	my $script = "\\set VERBOSITY sqlstate\n";
	my $stays = $number > $sessions - 2;
	srand($seed * 1000 + $number);
	foreach my $quarter (1 .. 4)
	{
		for (1 .. $operations / 4)
		{
			my $pick = any($weights);
			my $kind = 0;
			$pick -= $kinds[ $kind++ ][0] while $pick >= $kinds[$kind][0];
			my $sql = $kinds[$kind][1]->('s' . (1 + any(12)));
			next if $stays && $sql =~ /^\\c/;
			$script .= $sql =~ /^\\/ ? "$sql\n" : "$sql;\n";
		}
		$script .= q{SELECT 'measured',
			(SELECT count(*) FROM pg_ls_dir('/proc/self/fd')),
			(SELECT count(*) FROM regexp_matches(pg_read_file('/proc/self/maps'), 'pg_dynshmem', 'g')),
			(SELECT substring(pg_read_file('/proc/self/status') FROM 'RssAnon:\s*(\d+) kB')),
			(SELECT coalesce(sum(total_bytes), 0) / 1024 FROM pg_backend_memory_contexts WHERE name ~ '^als');} . "\n" if $stays;
	}
	my $file = $node->basedir . "/script$number";
	append_to_file($file, $script);
	return $file;
}

local $ENV{PGOPTIONS} = '-c client_min_messages=error';
my @runs;
foreach my $number (1 .. $sessions)
{
	my %run = (out => '', err => '');
	$run{run} = IPC::Run::start([ 'psql', '-X', '-A', '-t', '-q', '-v', 'ON_ERROR_STOP=0', '-f', script($number), '-d', $node->connstr('postgres') ],
		'<', \undef, '>', \$run{out}, '2>', \$run{err});
	push @runs, \%run;
}
my $most = 0;
while (grep { $_->{run}->pumpable } @runs)
{
	$_->{run}->pumpable && $_->{run}->pump_nb for @runs;
	$most = segments($node) if segments($node) > $most;
	select undef, undef, undef, 0.1;
}
is($_->{run}->finish ? 0 : 1, 0, 'a session has come to its end') for @runs;

# What a DROP or another name explains: no such relation, no such model, not
# trained (yet), a name that is taken; and what follows in a transaction.
my %explained = map { $_ => 1 } ('42P01', '42P07', '55000', '25P02', '3B001');
my (%counts, %last, %name_taken, @others);
unlike($_->{err}, qr/connection to server|server closed/, 'no connection is lost') for @runs;
foreach my $line (split /\n/, slurp_file($node->logfile))
{
	# what has waited for whoever takes the same name of a relation
	$name_taken{$1} = 1 if $line =~ /\[(\d+)\] (?:\S+ )?CONTEXT:  while \w+ .*"pg_(?:class_relname|type_typname)_nsp_index"/;
	next unless $line =~ /\[(\d+)\] (?:\S+ )?(ERROR|FATAL|PANIC|WARNING|STATEMENT):  (.*)/;
	my ($pid, $kind, $text) = ($1, $2, $3);
	if ($kind ne 'STATEMENT')
	{
		$last{$pid} = "$kind: $text";
		next;
	}
	my $named = delete $name_taken{$pid};
	my $error = delete $last{$pid} // next;
	my ($state) = $error =~ /^ERROR: (\w{5}):/;
	$counts{ $state // $error }++;
	next if defined $state && $explained{$state};
	# two renamings to one name at the same time, or one and a first training:
	# whichever comes second finds the name in PostgreSQL's catalogs
	next if $error =~ /^ERROR: 23505: .*"pg_(?:class_relname|type_typname)_nsp_index"/ && $text =~ /^ALTER TABLE|\bals_train\(/;
	next if $error =~ /^ERROR: 42710: type "s\d+" already exists/;
	# PostgreSQL names the type first when it creates a table, and the table first
	# when it renames one
	next if $error =~ /^ERROR: 40P01:/ && $named;
	push @others, "$error: $text";
}
note('errors: ', join ', ', map { "$_: $counts{$_}" } sort keys %counts);
is(join("\n", @others, values %last), '', 'no error but those that a DROP or another name explains');
note("segments: $most at the most");
cmp_ok($most, '<=', $segments_before + $bound + 40, 'segments are bounded, those of trainings included');

foreach my $run (@runs[ -2, -1 ])
{
	my @measured = map { [ split /\|/ ] } $run->{out} =~ /^measured\|(.*)$/mg;
	note("file descriptors, mapped pieces, private memory, of that als: ", join ' ', @$_) for @measured;
	is(scalar @measured, 4, 'all quarters are measured');
	cmp_ok($measured[3][0], '<=', $measured[1][0] + 50, 'file descriptors are flat');
	cmp_ok($measured[3][1], '<=', 30, 'mapped pieces are few');
	cmp_ok($measured[3][2], '<=', $measured[1][2] + 8 * 1024, 'memory is flat');
	cmp_ok($measured[3][3], '<=', 110 * 1024, 'and within als.cache_size');
}

wait_until_alone($node);
$node->safe_psql('postgres', q{
DO $$
DECLARE
	model regclass;
BEGIN
	FOR model IN SELECT m.model FROM als_models m LOOP
		EXECUTE format('DROP TABLE %s', model);
	END LOOP;
END $$});
is(segments($node), $segments_before, 'no segment is left');
is(temporary_files($node), 0, 'no temporary file is left');
is(tables(), $tables_before, 'no table is left');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|leak|XX000|: 53\d\d\d:|too many dynamic/, 'nothing in the log');
done_testing();
