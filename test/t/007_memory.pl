# Ratings beyond maintenance_work_mem go to temporary files: the memory of a
# training does not grow with their number, and its result stays the same.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use Test::More;

plan skip_all => 'needs /proc' unless -r "/proc/$$/status";

my $node = start_server('main', q{
shared_buffers = 16MB
max_parallel_workers_per_gather = 0
jit = off
});
# two million ratings of the same 4,000 users and 1,000 items
$node->safe_psql('postgres', q{
CREATE UNLOGGED TABLE ratings AS
    SELECT i % 4000 AS user_id, (i / 4000 * 7 + i % 4000 * 3) % 1000 AS item_id, 1::real AS rating
    FROM generate_series(0, 1999999) i;
CREATE FUNCTION peak_kilobytes() RETURNS int LANGUAGE sql AS $$
    SELECT substring(pg_read_file('/proc/' || pg_backend_pid() || '/status', 0, 10000) FROM 'VmHWM:\s*(\d+) kB')::int $$;
});

# Kilobytes that a backend takes at most, beyond what it took before, for a
# training of so many ratings.
sub peak
{
	my ($model, $count, $memory, $where) = @_;
	my ($stdout, $stderr);
	$node->psql('postgres', qq{
		SET maintenance_work_mem = '$memory';
		SELECT peak_kilobytes();
		SELECT 'trained', ratings FROM als_train('$model', 'SELECT * FROM ratings LIMIT $count', factors => 16, iterations => 2, workers => 0, verbose => true);
		SELECT peak_kilobytes();},
		stdout => \$stdout, stderr => \$stderr, on_error_die => 1);
	my ($before, $trained, $after) = split /\n/, $stdout;

	is($trained, "trained|$count", "$model: $count ratings with $memory");
	is($stderr =~ /NOTICE:  ratings exceed maintenance_work_mem and spill to temporary files/ ? 'files' : 'memory',
		$where, "$model: in $where");
	note("$before kB before, $after kB at most");
	return $after - $before;
}

my $few = peak('few', 500000, '1MB', 'files');
my $many = peak('many', 2000000, '1MB', 'files');
my $in_memory = peak('in_memory', 2000000, '1GB', 'memory');
# 1.5 million more triplets of 12 bytes would be 18 MB, sorted ones 24 MB more
cmp_ok($many - $few, '<', 4000, 'four times the ratings take no more memory');
# or else this measures nothing
cmp_ok($in_memory - $many, '>', 20000, 'unlike a training that may hold them');

is($node->safe_psql('postgres', q{
	SELECT count(*) FROM in_memory_users JOIN many_users USING (user_id, factors);
	SELECT count(*) FROM in_memory_items JOIN many_items USING (item_id, factors);
	SELECT count(*) FROM in_memory JOIN many USING (losses);}),
	"4000\n1000\n1", 'and the factors are those of a training in memory');

# listing the combinations of a grid leaves nothing behind but them: 150,000
# within a kilobyte each, of which a trial's options are the most
my ($listed, $unread);
$node->psql('postgres', q{
	SELECT peak_kilobytes();
	SELECT als_tune('never', 'nowhere', (SELECT jsonb_build_object('solver', 'cholesky', 'regularization_by', 'confidence', 'factors', jsonb_agg(i), 'alpha', jsonb_agg(i)) FROM generate_series(1, 387) i));
	SELECT peak_kilobytes();},
	on_error_stop => 0, stdout => \$listed, stderr => \$unread);
like($unread, qr/ERROR:  relation "nowhere" does not exist/, 'a grid is listed before ratings are read');
my ($unlisted, $list) = split /\n/, $listed;
note("$unlisted kB before, $list kB at most");
cmp_ok($list - $unlisted, '<', 387 * 387, 'combinations take no more than their trials');

# what is sorted of the weights that were read before, 16 MB of a million pairs, is
# not kept beside what is sorted of the next
sub weighed_peak
{
	my ($weights) = @_;
	my $out = $node->safe_psql('postgres', qq{
		SET maintenance_work_mem = '1GB';
		SELECT peak_kilobytes();
		SELECT count(*) FROM als_tune('weighed', 'SELECT *, (ARRAY[''a'', ''b''])[1 + user_id % 2] AS event FROM ratings WHERE user_id < 2000',
			'{"event_weights": {"a": 1, "b": $weights}, "factors": 2, "iterations": 1}', event_column => 'event', rating_column => NULL, workers => 0);
		SELECT peak_kilobytes();});
	my ($before, $trials, $after) = split /\n/, $out;
	note("$trials weighings: $before kB before, $after kB at most");
	return $after - $before;
}
my $one_weighing = weighed_peak('2');
cmp_ok(weighed_peak('[2, 3, 4]') - $one_weighing, '<', 28000, 'what is sorted for other weights is not kept');

# a limit is kept to where half the files are written: 8 MB of triplets, in which an
# id has two bytes and a rating none, and as much on the way to their rows
my ($stdout, $stderr);
$node->psql('postgres', qq{
	\\set VERBOSITY verbose
	SET maintenance_work_mem = '1MB';
	SET temp_file_limit = '12MB';
	SELECT als_train('limited', 'ratings', factors => 16, workers => 0);
	SELECT count(*) FROM pg_class WHERE relname ~ '^limited';},
	on_error_stop => 0, stdout => \$stdout, stderr => \$stderr);
like($stderr, qr/ERROR:  53400: temporary file size exceeds "?temp_file_limit/, 'temp_file_limit is respected');
is($stdout, '0', 'the model is not there');
is(temporary_files($node), 0, 'nor are temporary files');

done_testing();
