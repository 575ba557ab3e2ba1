# The memory of a training does not grow with the number of ratings.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs /proc' unless -r "/proc/$$/status";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
max_worker_processes = 16
shared_buffers = 16MB
max_parallel_workers_per_gather = 0
jit = off
});
$node->start;
# two million ratings of the same 4,000 users and 1,000 items
$node->safe_psql('postgres', q{
CREATE EXTENSION als;
CREATE UNLOGGED TABLE ratings AS
    SELECT i % 4000 AS user_id, (i / 4000 * 7 + i % 4000 * 3) % 1000 AS item_id, 1::real AS rating
    FROM generate_series(0, 1999999) i;
CREATE FUNCTION peak_kilobytes() RETURNS int LANGUAGE sql AS $$
    SELECT substring(pg_read_file('/proc/' || pg_backend_pid() || '/status', 0, 10000) FROM 'VmHWM:\s*(\d+) kB')::int $$;
});

# Kilobytes that a backend takes at most for a training of so many ratings.
sub peak
{
	my ($count, $memory) = @_;
	my $result = $node->safe_psql('postgres', qq{
		SET maintenance_work_mem = '$memory';
		SELECT peak_kilobytes();
		SELECT 'trained', ratings FROM als_train('model_$count', 'SELECT * FROM ratings LIMIT $count', factors => 16, iterations => 2, workers => 0);
		SELECT peak_kilobytes();});
	my ($before, $trained, $after) = split /\n/, $result;

	is($trained, "trained|$count", "$count ratings with $memory");
	note("$before kB before, $after kB at most");
	return $after - $before;
}

my $few = peak(500000, '1MB');
my $many = peak(2000000, '1MB');
# 1.5 million more triplets of 12 bytes would be 18 MB, sorted ones 24 MB more
cmp_ok($many - $few, '<', 4000, 'four times the ratings take no more memory');

is($node->safe_psql('postgres', q{
	SET maintenance_work_mem = '1GB';
	SELECT run FROM als_train('in_memory', 'ratings', factors => 16, iterations => 2);
	SELECT count(*) FROM in_memory_users a JOIN model_2000000_users b USING (user_id, factors);}),
	"1\n4000", 'and the factors are those of a training in memory');

done_testing();
