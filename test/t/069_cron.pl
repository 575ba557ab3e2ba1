# The guide's jobs for pg_cron run on schedule, and what fails is in its table.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use AlsTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = start_server('main');
plan skip_all => 'pg_cron is not available'
  unless $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_cron'});

$node->append_conf('postgresql.conf', sprintf(q{
shared_preload_libraries = 'pg_cron'
cron.host = '%s'
cron.database_name = 'postgres'
}, $node->host));
$node->restart;

my ($jobs, $failures) = documented('Retraining');
$node->safe_psql('postgres', q{
CREATE EXTENSION pg_cron;
CREATE TABLE ratings AS SELECT user_id, item_id AS movie_id, rating, now() - interval '1 day' AS rated_at FROM some_ratings(60, 40, 20);
SELECT als_train('movie_als', 'ratings', item_column => 'movie_id', factors => 4, workers => 0);
CREATE TABLE gone AS SELECT * FROM ratings;
SELECT als_train('stale_als', 'gone', item_column => 'movie_id', factors => 4, workers => 0);
DROP TABLE gone;
UPDATE stale_als SET trained_at = now() - interval '3 days';
INSERT INTO ratings VALUES (1001, 1, 5, now()), (1001, 2, 5, now());
});

# Schedules jobs at every opportunity: since 1.5, pg_cron counts seconds as well.
my $every = $node->safe_psql('postgres', q{
	SELECT CASE WHEN string_to_array(translate(extversion, '-', '.'), '.')::int[] >= '{1,5}' THEN '1 second' ELSE '* * * * *' END
	FROM pg_extension WHERE extname = 'pg_cron'});
sub schedule
{
	my ($sql, $when) = @_;
	$node->safe_psql('postgres', $sql =~ s/^(SELECT cron\.schedule\('\w+', )'[^']*'/$1'$when'/gmr);
	return;
}

# What a job's last run that has ended says
sub ended
{
	my ($job, $status) = @_;
	wait_until($node, qq{
		SELECT count(*) > 0 FROM cron.job_run_details JOIN cron.job USING (jobid)
		WHERE jobname = '$job' AND status = '$status'});
	return $node->safe_psql('postgres', qq{
		SELECT return_message FROM cron.job_run_details JOIN cron.job USING (jobid)
		WHERE jobname = '$job' AND status = '$status' ORDER BY runid DESC LIMIT 1});
}

sub forget
{
	$node->safe_psql('postgres', q{SELECT cron.unschedule(jobid) FROM cron.job});
	return;
}

schedule($jobs, $every);
# the same for a model that is old, and whose ratings are gone
schedule(q{
SELECT cron.schedule('old_alarm', '0 * * * *', replace(command, 'movie_als', 'stale_als')) FROM cron.job WHERE jobname = 'alarm';
SELECT cron.schedule('old_retrain', '0 3 * * *', $$SELECT als_train('stale_als', 'gone', item_column => 'movie_id', factors => 4)$$);
}, $every);

ended('retrain', 'succeeded');
my $users = q{(SELECT count(DISTINCT user_id) FROM ratings)};
is($node->safe_psql('postgres', qq{SELECT users = $users, factors FROM movie_als ORDER BY run DESC LIMIT 1}), 't|64',
	'the model is trained again');
ended('refresh', 'succeeded');
ended('alarm', 'succeeded');
like(ended('old_alarm', 'failed'), qr/model stale_als has not been trained for two days/, 'an alarm is raised');
like(ended('old_retrain', 'failed'), qr/relation "gone" does not exist/, 'so is what a training says');
my $said = $node->safe_psql('postgres', $failures =~ s/\d+;$/100;/r);
like($said, qr/^old_alarm\|.*has not been trained/m, "the guide's query shows the alarm");
like($said, qr/^old_retrain\|.*"gone"/m, 'and the training');
unlike($said, qr/^alarm\|/m, 'but no alarm for a model that is fresh');
is($node->safe_psql('postgres', q{SELECT count(*) FROM als_recommend('stale_als', 1, 3, exclude_seen => false)}), '3',
	'a model whose training fails serves on');
forget();

# the refresh alone, of somebody whom the model does not know
$node->safe_psql('postgres', q{
INSERT INTO ratings VALUES (1002, 3, 5, now());
DELETE FROM cron.job_run_details;
});
my ($refresh) = $jobs =~ /^(SELECT cron\.schedule\('refresh'.*?;)$/ms;
schedule($refresh, '@reboot');

# In background workers, and once, at the start of the server
$node->append_conf('postgresql.conf', q{
cron.use_background_workers = on
max_worker_processes = 20
});
schedule(q{SELECT cron.schedule('worker_retrain', '', $$SELECT als_train('worker_als', 'ratings', item_column => 'movie_id', factors => 4, workers => 2)$$);
SELECT cron.schedule('worker_fails', '', $$SELECT als_train('stale_als', 'gone', item_column => 'movie_id', factors => 4)$$);}, '@reboot');
$node->restart;
ended('refresh', 'succeeded');
is($node->safe_psql('postgres', q{SELECT als_predict('movie_als', 1002, 3) IS NOT NULL}), 't', 'a new user is refreshed');
ended('worker_retrain', 'succeeded');
is($node->safe_psql('postgres', qq{SELECT users = $users FROM worker_als}), 't', 'a background worker trains');
like(ended('worker_fails', 'failed'), qr/relation "gone" does not exist/, 'what it says when it fails is there');

done_testing();
