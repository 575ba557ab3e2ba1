# The same data, parameters and seed give the same factors, bit for bit:
# whatever the number of workers, the order of the rows, the memory, and
# whether als_train or the aggregate collects them.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
max_worker_processes = 16
max_parallel_workers = 8
max_parallel_maintenance_workers = 4
log_temp_files = 0
});
$node->start;
$node->safe_psql('postgres', q{
CREATE EXTENSION als;
CREATE TABLE ratings AS
    SELECT u AS user_id, i AS item_id, (1 + (u * 31 + i * 17) % 5)::real AS rating
    FROM generate_series(1, 3000) u, generate_series(1, 600) i
    WHERE (u::bigint * 7919 + i * 104729 + u::bigint * i * 13) % (4 + i / 10) = 0;
-- some pairs twice
INSERT INTO ratings SELECT user_id, item_id, rating / 3 FROM ratings WHERE item_id % 50 = 0;
CREATE FUNCTION fingerprint(model text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE format('SELECT md5((SELECT string_agg(u::text, '','' ORDER BY user_id) FROM %I u)
                            || (SELECT string_agg(i::text, '','' ORDER BY item_id) FROM %I i)
                            || (SELECT losses::text FROM %I ORDER BY run DESC LIMIT 1))',
                   model || '_users', model || '_items', model) INTO result;
    RETURN result;
END $$;
});
# 1MB of memory does not hold that many
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM ratings'), '>', 50000, 'ratings');

# Trains with some settings and returns what came out, and the run's workers.
sub train
{
	my ($source, $parameters, $settings) = @_;

	return $node->safe_psql('postgres', qq{
		SET client_min_messages = warning;
		$settings
		DROP TABLE IF EXISTS model;
		SELECT workers FROM als_train('model', \$\$$source\$\$, iterations => 3, $parameters);
		SELECT fingerprint('model');});
}

sub fingerprint_of
{
	my ($result) = @_;
	return (split /\n/, $result)[1];
}

foreach my $options (
	'"factors": 1', '"factors": 33', '"factors": 100',
	'"factors": 33, "solver": "cholesky"',
	'"factors": 16, "feedback": "explicit", "regularization": 0.1',
	'"factors": 15, "feedback": "explicit", "regularization": 0.1, "solver": "cholesky"')
{
	# the same as SQL
	(my $parameters = $options) =~ s/"(\w+)": /$1 => /g;
	$parameters =~ tr/"/'/;
	my $alone = train('ratings', "$parameters, workers => 0", '');
	my $expected = fingerprint_of($alone);
	like($alone, qr/^0\n/, "$parameters: alone");

	foreach my $workers (1, 4)
	{
		my $result = train('ratings', "$parameters, workers => $workers", '');
		like($result, qr/^$workers\n/, "$parameters: $workers workers took part");
		is(fingerprint_of($result), $expected, "$parameters: $workers workers");
	}
	is(fingerprint_of(train('SELECT * FROM ratings ORDER BY item_id DESC, md5(user_id::text), rating', "$parameters, workers => 2", '')),
		$expected, "$parameters: rows in another order");
	is(fingerprint_of(train('ratings', "$parameters, workers => 2", "SET maintenance_work_mem = '1MB';")),
		$expected, "$parameters: spilled, two workers");
	is(fingerprint_of(train('SELECT * FROM ratings ORDER BY rating, md5(item_id::text)', "$parameters, workers => 0", "SET maintenance_work_mem = '1MB';")),
		$expected, "$parameters: spilled, alone, in another order");
	is(fingerprint_of(train('ratings', "$parameters, workers => 1",
			'SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;')),
		$expected, "$parameters: read by a parallel plan");

	foreach my $memory ('1MB', '64MB')
	{
		is($node->safe_psql('postgres', qq{
			SET client_min_messages = warning;
			SET maintenance_work_mem = '$memory';
			DROP TABLE IF EXISTS model;
			SELECT (als_train_agg('model', user_id, item_id, rating, '{$options, "iterations": 3, "workers": 1}')).run
			FROM (SELECT * FROM ratings ORDER BY md5(user_id::text || item_id || 'x')) r;
			SELECT fingerprint('model');}), "1\n$expected", "$parameters: the aggregate, $memory");
	}
}

# spilling is said, and shows up in the log as temporary files do
my $offset = -s $node->logfile;
my ($stdout, $stderr);
$node->psql('postgres', q{
	SET maintenance_work_mem = '1MB';
	SELECT run FROM als_train('model', 'ratings', factors => 3, verbose => true);},
	stdout => \$stdout, stderr => \$stderr);
like($stderr, qr/spill to temporary files/, 'the notice says that it spilled');
like(slurp_file($node->logfile, $offset), qr/temporary file: path/, 'temporary files are logged');

# every set of kernels that the machine has, within itself
foreach my $kernels ('reference', 'generic', 'avx2', 'avx512')
{
	my $set = "SET als.kernels = '$kernels';";

	if ($node->psql('postgres', $set) != 0)
	{
		note("this machine has no kernels $kernels");
		next;
	}
	foreach my $solver ('cg', 'cholesky')
	{
		is(fingerprint_of(train('ratings', "factors => 20, solver => '$solver', workers => 3", $set)),
			fingerprint_of(train('ratings', "factors => 20, solver => '$solver', workers => 0", $set)),
			"kernels $kernels, $solver: workers make no difference");
	}
}

done_testing();
